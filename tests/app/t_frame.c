/*
 * Frames: what is written is what is read; every length, count and number of a hostile peer is refused; pieces of any size, and two
 * threads at the two ends of a socket, make no difference.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/frame.h"
#include "base/mem.h"
#include "tests/t.h"

#define HEAD 8

static struct job *a_job(void)
{
    struct job *j = job_new();
    j->id = 0x1122334455667788u;
    j->model_path = mem_strdup("/models/\xC3\xA9.gguf");
    j->n_ctx = 2048;
    j->n_threads = 3;
    j->max_tokens = 77;
    j->prompt_only = true;
    /* every member another value, so that two that change places are seen */
    j->sampler = (struct sampler_conf){0.5f, 40, 0.9f, 0.05f, 1.1f, 64, 0xFFFFFFFFFFFFFFFFu, 0.11f, 0.12f, 0.13f, 0.14f, 0.15f, 0.16f, 0.17f, 1.18f,
                                       5, -1, 0.19f, 0.21f, 2, 0.22f, 0.23f, {SAMPLER_TEMP, SAMPLER_TOP_K}};
    j->given = 0x80000401u;
    j->dry_breakers = mem_strdup("");
    j->grammar = mem_strdup("root ::= \"a\"");
    job_add(j, 0, "", 0);
    job_add(j, 1, "a\0b", 3);
    job_add(j, 2, "\xFF\xC3", 2);
    return j;
}

static struct frame whole(const struct buf *b)
{
    struct frame f;
    size_t used;
    assert_int_equal(frame_next(buf_str(b), b->len, &f, &used, NULL), 1);
    assert_int_equal(used, b->len);
    return f;
}

static void jobs(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
    struct job *j = a_job(), *k;
    frame_put_job(&b, j);
    struct frame f = whole(&b);
    assert_int_equal(frame_job(&f, &k, NULL), 0);
    assert_int_equal(k->id, j->id);
    assert_string_equal(k->model_path, j->model_path);
    assert_null(k->tmpl);
    assert_int_equal(k->n_ctx, 2048);
    assert_int_equal(k->n_threads, 3);
    assert_int_equal(k->max_tokens, 77);
    assert_true(k->prompt_only);
    assert_memory_equal(&k->sampler, &j->sampler, offsetof(struct sampler_conf, order) + sizeof j->sampler.order);
    assert_true(k->given == j->given);
    assert_null(k->logit_bias);
    assert_string_equal(k->dry_breakers, "");
    assert_string_equal(k->grammar, j->grammar);
    assert_int_equal(k->sampler.seed, UINT64_MAX);
    assert_int_equal(k->n_msgs, 3);
    assert_int_equal(k->msgs[1].role, 1);
    assert_int_equal(k->msgs[1].n, 3);
    assert_memory_equal(k->msgs[1].text, "a\0b", 4); /* with the NUL behind */
    frame_put_job(&again, k);
    assert_int_equal(again.len, b.len);
    assert_memory_equal(again.data, b.data, b.len);
    job_free(j);
    job_free(k);
    buf_finish(&b);
    buf_finish(&again);
}

static struct event an_event(enum ev_kind kind)
{
    static char a[] = "name", t[] = "text\xE2\x82\xAC";
    struct event e = {.kind = kind, .job = 7};
    if (kind == EV_MODEL)
        e.name = e.fingerprint = e.quant = a, e.n_ctx_train = 8192, e.n_ctx = 4096;
    if (kind == EV_LOAD || kind == EV_PREFILL)
        e.done = 1, e.total = 1ull << 40, e.reused = 5;
    if (kind >= EV_TEXT && kind <= EV_PROMPT)
        e.text = t, e.n = sizeof t - 1;
    if (kind == EV_TEXT || kind == EV_THOUGHT)
        e.done = 3, e.total = 10;
    if (kind >= EV_DONE) {
        e.stats = (struct gen_stats){1, 2, 3, 4, 5, 6, 0.5, 1e9, 0, 3};
        snprintf(e.stop, sizeof e.stop, "context");
    }
    if (kind == EV_ERROR)
        err_set(&e.err, ERR_TOOLONG, "too long");
    return e;
}

static void events(void **state)
{
    (void)state;
    for (int kind = EV_MODEL; kind <= EV_ERROR; kind++) {
        struct buf b = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
        struct event e = an_event((enum ev_kind)kind), *got;
        frame_put_event(&b, &e);
        struct frame f = whole(&b);
        assert_int_equal(frame_event(&f, &got, NULL), 0);
        assert_int_equal(got->kind, kind);
        assert_int_equal(got->job, 7);
        assert_int_equal(got->total, e.total);
        assert_int_equal(got->n, e.n);
        assert_int_equal(got->stats.n_reason, e.stats.n_reason);
        assert_string_equal(got->stop, e.stop);
        assert_int_equal(got->err.code, e.err.code);
        assert_string_equal(got->err.msg, e.err.msg);
        frame_put_event(&again, got);
        assert_int_equal(again.len, b.len);
        assert_memory_equal(again.data, b.data, b.len);
        event_free(got);
        buf_finish(&b);
        buf_finish(&again);
    }
    struct buf b = BUF_INIT(64);
    frame_put_cancel(&b, 9);
    struct frame f = whole(&b);
    uint64_t id = 0;
    struct event *e;
    assert_int_equal(frame_cancel(&f, &id, NULL), 0);
    assert_int_equal(id, 9);
    assert_int_equal(frame_event(&f, &e, NULL), ERR_IO); /* another type */
    buf_finish(&b);
}

/* ---- a hostile peer ---- */

static int header(int magic, int version, int type, uint32_t len, int kind, struct err *err)
{
    const unsigned char p[12] = {(unsigned char)magic, 'D', (unsigned char)version, (unsigned char)type, (unsigned char)len, (unsigned char)(len >> 8),
                                 (unsigned char)(len >> 16), (unsigned char)(len >> 24), (unsigned char)kind};
    struct frame f;
    size_t used;
    return frame_next(p, sizeof p, &f, &used, err);
}

static void bad_headers(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(header('H', FRAME_VERSION, FRAME_EVENT, 100, EV_TEXT, NULL), 0); /* more must come */
    assert_int_equal(header('X', FRAME_VERSION, FRAME_EVENT, 1, 0, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION + 1, FRAME_EVENT, 1, 0, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "version 4"));
    assert_int_equal(header('H', FRAME_VERSION, 0, 1, 0, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION, 4, 1, 0, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_JOB, FRAME_MAX, 0, &err), 0);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_JOB, FRAME_MAX + 1, 0, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_CANCEL, FRAME_MAX_SMALL + 1, 0, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_EVENT, FRAME_MAX_SMALL, EV_TEXT, &err), 0);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_EVENT, FRAME_MAX_SMALL + 1, EV_TEXT, &err), ERR_IO);
    assert_int_equal(header('H', FRAME_VERSION, FRAME_EVENT, FRAME_MAX_SMALL + 1, EV_PROMPT, &err), 0);
}

static int as_job(const void *p, size_t n)
{
    struct frame f = {FRAME_JOB, p, n};
    struct job *j;
    struct err err = {0};
    int rc = frame_job(&f, &j, &err);
    if (rc == 0)
        job_free(j);
    else
        assert_true(err.msg[0]);
    return rc;
}

static int as_event(const void *p, size_t n)
{
    struct frame f = {FRAME_EVENT, p, n};
    struct event *e;
    int rc = frame_event(&f, &e, NULL);
    if (rc == 0)
        event_free(e);
    return rc;
}

/* Cut at every byte, and with a byte too many. */
static void cut(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    struct job *j = a_job();
    frame_put_job(&b, j);
    job_free(j);
    buf_addch(&b, 0);
    for (size_t n = 0; n < b.len - HEAD - 1; n++) {
        unsigned char *p = malloc(n ? n : 1); /* exactly n bytes, for a sanitizer */
        memcpy(p, b.data + HEAD, n);
        assert_int_equal(as_job(p, n), ERR_IO);
        free(p);
    }
    assert_int_equal(as_job(b.data + HEAD, b.len - HEAD - 1), 0);
    assert_int_equal(as_job(b.data + HEAD, b.len - HEAD), ERR_IO);
    for (int kind = EV_MODEL; kind <= EV_ERROR; kind++) {
        struct event e = an_event((enum ev_kind)kind);
        buf_reset(&b);
        frame_put_event(&b, &e);
        for (size_t n = 0; n < b.len - HEAD; n++)
            assert_int_equal(as_event(b.data + HEAD, n), ERR_IO);
        buf_addch(&b, 0);
        assert_int_equal(as_event(b.data + HEAD, b.len - HEAD), ERR_IO);
    }
    buf_finish(&b);
}

/* Changes one byte of a good frame at the place where `text` stands, plus `at`. */
static void refused(struct buf *b, const char *text, size_t n, int at, int value, int (*read)(const void *, size_t))
{
    char *p = memmem(b->data, b->len, text, n);
    assert_non_null(p);
    char was = p[at];
    p[at] = (char)value;
    assert_int_equal(read(b->data + HEAD, b->len - HEAD), ERR_IO);
    p[at] = was;
    assert_int_equal(read(b->data + HEAD, b->len - HEAD), 0);
}

static void bad_values(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    struct job *j = a_job();
    frame_put_job(&b, j);
    job_free(j);
    refused(&b, "/models", 7, 3, 0, as_job);           /* a NUL in a path */
    refused(&b, "/models", 7, -5, 2, as_job);          /* neither there nor not */
    refused(&b, "/models", 7, -1, 0x7F, as_job);       /* its length */
    refused(&b, "\0\x08\0\0", 4, 3, 0x80, as_job);     /* a negative context */
    refused(&b, "a\0b", 3, -8, 3, as_job);             /* a role */
    refused(&b, "\3\0\0\0\0\0\0\0\0\0\0\0", 12, 2, 1, as_job); /* more messages than bytes */
    buf_reset(&b);
    struct event e = an_event(EV_ERROR);
    frame_put_event(&b, &e);
    refused(&b, "context", 7, -4, 100, as_event);      /* longer than its place */
    refused(&b, "context", 7, 2, 0, as_event);
    refused(&b, "too long", 8, -8, 0, as_event);       /* no error code */
    refused(&b, "\0\0\0\0\x65\xcd\xcd\x41", 8, 7, 0xC1, as_event); /* a time before its beginning */
    buf_reset(&b);
    e.stats.ttft_ms = (double)INFINITY;
    frame_put_event(&b, &e);
    assert_int_equal(as_event(b.data + HEAD, b.len - HEAD), ERR_IO);
    buf_finish(&b);
}

static void too_large(void **state)
{
    (void)state;
    struct job *j = a_job();
    struct buf b = BUF_INIT(100);
    frame_put_cancel(&b, 1);
    size_t n = b.len;
    frame_put_job(&b, j);
    assert_true(buf_over(&b));
    assert_int_equal(b.len, n); /* what was there stands */
    buf_finish(&b);
    struct event e = an_event(EV_TEXT);
    b = BUF_INIT(FRAME_MAX);
    e.text = mem_zalloc(FRAME_MAX_SMALL + 1);
    e.n = FRAME_MAX_SMALL + 1;
    frame_put_event(&b, &e);
    assert_true(buf_over(&b));
    buf_reset(&b);
    e.kind = EV_PROMPT;
    frame_put_event(&b, &e);
    assert_false(buf_over(&b));
    buf_finish(&b);
    free(e.text);
    job_free(j);
}

/* ---- the socket ---- */

static void byte_by_byte(void **state)
{
    (void)state;
    int s[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    struct frame_out out;
    struct frame_in in;
    struct frame f;
    frame_out_init(&out);
    frame_in_init(&in);
    struct event e = an_event(EV_ERROR);
    for (int i = 0; i < 3; i++)
        frame_put_event(&out.b, &e);
    int frames = 0;
    for (size_t i = 0; i < out.b.len; i++) {
        assert_int_equal(send(s[0], out.b.data + i, 1, 0), 1);
        assert_int_equal(frame_recv(s[1], &in), 1);
        for (int rc; (rc = frame_take(&in, &f, NULL)) != 0; frames++) {
            assert_int_equal(rc, 1);
            assert_int_equal(f.n, out.b.len / 3 - HEAD);
        }
    }
    assert_int_equal(frames, 3);
    close(s[0]);
    assert_int_equal(frame_recv(s[1], &in), 0);
    close(s[1]);
    frame_out_finish(&out);
    frame_in_finish(&in);
}

/* The other end: blocking; answers each job with the length of its message, in as many texts. */
static void *other_end(void *arg)
{
    int fd = *(int *)arg;
    struct frame_in in;
    struct frame_out out;
    struct frame f;
    frame_in_init(&in);
    frame_out_init(&out);
    while (frame_recv(fd, &in) > 0) {
        while (frame_take(&in, &f, NULL) > 0) {
            struct job *j;
            if (frame_job(&f, &j, NULL))
                return NULL;
            struct event e = {.kind = EV_PREFILL, .job = j->id, .total = j->msgs[0].n};
            for (int i = 0; i < 1000; i++, e.done++)
                frame_put_event(&out.b, &e);
            job_free(j);
            if (!frame_send(fd, &out))
                return NULL;
        }
    }
    frame_in_finish(&in);
    frame_out_finish(&out);
    return arg;
}

static void two_threads(void **state)
{
    (void)state;
    enum { JOBS = 8 };
    int s[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    fcntl(s[0], F_SETFL, O_NONBLOCK);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, other_end, &s[1]), 0);
    struct frame_in in;
    struct frame_out out;
    struct frame f;
    frame_in_init(&in);
    frame_out_init(&out);
    for (int i = 0; i < JOBS; i++) {
        struct job *j = job_new();
        size_t n = (size_t)i * 300000;
        char *text = mem_zalloc(n + 1);
        j->id = (uint64_t)i;
        job_add(j, 1, text, n);
        frame_put_job(&out.b, j);
        job_free(j);
        free(text);
    }
    uint64_t events = 0;
    bool waited = false;
    while (events < JOBS * 1000) {
        bool sent = frame_send(s[0], &out);
        assert_true(sent || errno == EAGAIN);
        waited |= !sent;
        struct pollfd p = {.fd = s[0], .events = (short)(sent ? POLLIN : POLLIN | POLLOUT)};
        assert_true(poll(&p, 1, 10000) > 0);
        long n = frame_recv(s[0], &in);
        assert_true(n > 0 || errno == EAGAIN);
        while (n > 0 && frame_take(&in, &f, NULL) > 0) {
            struct event *e;
            assert_int_equal(frame_event(&f, &e, NULL), 0);
            assert_int_equal(e->job, events / 1000);
            assert_int_equal(e->done, events % 1000);
            assert_int_equal(e->total, e->job * 300000);
            event_free(e);
            events++;
        }
    }
    assert_true(waited); /* the writing side did not block */
    shutdown(s[0], SHUT_WR);
    void *ok;
    pthread_join(t, &ok);
    assert_non_null(ok);
    assert_false(frame_send(s[0], &out) && out.b.len);
    close(s[1]);
    frame_put_cancel(&out.b, 1);
    assert_false(frame_send(s[0], &out)); /* and no SIGPIPE */
    close(s[0]);
    frame_in_finish(&in);
    frame_out_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs),      cmocka_unit_test(events),    cmocka_unit_test(bad_headers),  cmocka_unit_test(cut),
        cmocka_unit_test(bad_values), cmocka_unit_test(too_large), cmocka_unit_test(byte_by_byte), cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
