/*
 * Frames between face and engine. See frame.h.
 *
 *   0  2  'H' 'D'
 *   2  1  version
 *   3  1  type
 *   4  4  bytes of the payload, little endian
 *   8     payload
 *
 * Payloads are fields without names in the order of code_job, code_event: integers little endian, floats as their bits, bool one byte
 * 0 or 1, bytes as u32 length and the bytes, an optional string as a bool and the bytes. One function writes and reads
 * each kind, so that the two directions cannot disagree. What is read is canonical: written again it gives the same bytes.
 */
#include "config.h"
#include "app/frame.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define HEAD 8
#define READ_BYTES 65536

/* ---- fields, in both directions ---- */

struct codec {
    struct buf *out;             /* writing, or NULL */
    const unsigned char *p, *end; /* reading */
    const char *bad;             /* reading: the first thing that was wrong */
};

static void fail(struct codec *c, const char *what)
{
    if (!c->bad)
        c->bad = what;
    c->p = c->end;
}

/* n bytes of the payload, or NULL. */
static const unsigned char *take(struct codec *c, size_t n)
{
    if ((size_t)(c->end - c->p) < n) {
        fail(c, "it is cut off");
        return NULL;
    }
    const unsigned char *p = c->p;
    c->p += n;
    return p;
}

static void code_uint(struct codec *c, uint64_t *v, int bytes)
{
    if (c->out) {
        for (int i = 0; i < bytes; i++)
            buf_addch(c->out, (char)(*v >> 8 * i));
        return;
    }
    const unsigned char *p = take(c, (size_t)bytes);
    *v = 0;
    for (int i = 0; p && i < bytes; i++)
        *v |= (uint64_t)p[i] << 8 * i;
}

static void code_u64(struct codec *c, uint64_t *v)
{
    code_uint(c, v, 8);
}

static void code_bool(struct codec *c, bool *v)
{
    uint64_t u = *v;
    code_uint(c, &u, 1);
    if (u > 1)
        fail(c, "a yes or no is neither");
    *v = u == 1;
}

static void code_int(struct codec *c, int *v, int min, int max)
{
    uint64_t u = (uint32_t)*v;
    code_uint(c, &u, 4);
    *v = (int)(int32_t)(uint32_t)u;
    if (!c->out && (*v < min || *v > max)) {
        fail(c, "a number is out of range");
        *v = min;
    }
}

static void code_f32(struct codec *c, float *v)
{
    uint32_t bits;
    memcpy(&bits, v, sizeof bits);
    uint64_t u = bits;
    code_uint(c, &u, 4);
    bits = (uint32_t)u;
    memcpy(v, &bits, sizeof bits);
}

/* A time: not negative, finite. */
static void code_ms(struct codec *c, double *v)
{
    uint64_t u;
    memcpy(&u, v, sizeof u);
    code_uint(c, &u, 8);
    memcpy(v, &u, sizeof u);
    if (!c->out && !(isfinite(*v) && *v >= 0)) {
        fail(c, "a time is out of range");
        *v = 0;
    }
}

/* Bytes with their length; reading gives a copy with a NUL behind it. */
static void code_bytes(struct codec *c, char **s, size_t *n)
{
    uint64_t len = *n;
    if (c->out && len > UINT32_MAX) {
        c->out->over = true;
        return;
    }
    code_uint(c, &len, 4);
    if (c->out) {
        buf_add(c->out, *s, *n);
        return;
    }
    const unsigned char *p = take(c, (size_t)len);
    *s = p ? mem_strndup((const char *)p, (size_t)len) : NULL;
    *n = p ? (size_t)len : 0;
}

/* A string without NUL, or NULL. */
static void code_str(struct codec *c, char **s)
{
    bool there = *s != NULL;
    size_t n = there ? strlen(*s) : 0;
    code_bool(c, &there);
    if (!there)
        return;
    code_bytes(c, s, &n);
    if (*s && strlen(*s) != n)
        fail(c, "a string has a NUL in it");
}

/* A string of at most `size` - 1 bytes in place. */
static void code_chars(struct codec *c, char *s, size_t size)
{
    char *p = s;
    size_t n = strlen(s);
    code_bytes(c, &p, &n);
    if (c->out)
        return;
    if (p && n < size && strlen(p) == n)
        memcpy(s, p, n + 1);
    else
        fail(c, "a string is too long");
    free(p);
}

/* ---- jobs and events ---- */

static void code_sampler(struct codec *c, struct sampler_conf *s)
{
    float *const reals[] = {&s->temp, &s->top_p, &s->min_p, &s->repeat_penalty, &s->frequency_penalty, &s->presence_penalty, &s->typical,
                            &s->top_n_sigma, &s->xtc_probability, &s->xtc_threshold, &s->dry_multiplier, &s->dry_base, &s->dyntemp_range,
                            &s->dyntemp_exponent, &s->mirostat_tau, &s->mirostat_eta};
    int *const wholes[] = {&s->top_k, &s->repeat_last, &s->dry_allowed_length, &s->dry_last, &s->mirostat};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        code_f32(c, reals[i]);
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++)
        code_int(c, wholes[i], INT32_MIN, INT32_MAX);
    code_u64(c, &s->seed);
    for (size_t i = 0; i < sizeof s->order; i++) {
        uint64_t u = s->order[i];
        code_uint(c, &u, 1);
        s->order[i] = (uint8_t)u;
    }
}

static void code_job(struct codec *c, struct job *j)
{
    uint64_t n = j->n_msgs, given = j->given;
    code_u64(c, &j->id);
    code_str(c, &j->model_path);
    code_str(c, &j->tmpl);
    code_int(c, &j->n_ctx, 0, INT32_MAX);
    code_int(c, &j->n_threads, 0, INT32_MAX);
    code_int(c, &j->max_tokens, 0, INT32_MAX);
    code_bool(c, &j->prompt_only);
    code_sampler(c, &j->sampler);
    code_uint(c, &given, 4);
    j->given = (unsigned)given;
    code_str(c, &j->logit_bias);
    code_str(c, &j->dry_breakers);
    code_str(c, &j->grammar);
    code_uint(c, &n, 4);
    if (!c->out) {
        if (n > FRAME_MAX_MESSAGES || n > (uint64_t)(c->end - c->p) / 8) { /* each takes 8 bytes or more */
            fail(c, "there are more messages than bytes for them");
            return;
        }
        j->n_msgs = (size_t)n;
        j->msgs = mem_array(j->n_msgs, sizeof *j->msgs);
    }
    for (size_t i = 0; i < j->n_msgs; i++) {
        code_int(c, &j->msgs[i].role, 0, 2);
        code_bytes(c, &j->msgs[i].text, &j->msgs[i].n);
    }
}

static void code_stats(struct codec *c, struct gen_stats *s)
{
    int *const counts[] = {&s->n_prompt, &s->n_cached, &s->n_out, &s->n_ctx, &s->n_used, &s->n_reason};
    double *const times[] = {&s->load_ms, &s->prefill_ms, &s->ttft_ms, &s->decode_ms};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        code_int(c, counts[i], 0, INT32_MAX);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        code_ms(c, times[i]);
}

static void code_event(struct codec *c, struct event *e)
{
    int kind = (int)e->kind;
    code_int(c, &kind, EV_MODEL, EV_ERROR);
    e->kind = (enum ev_kind)kind;
    code_u64(c, &e->job);
    switch (e->kind) {
    case EV_MODEL: {
        char **const texts[] = {&e->name, &e->fingerprint, &e->arch, &e->quant, &e->backend, &e->template_sha, &e->engine};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            code_str(c, texts[i]);
        code_int(c, &e->n_ctx_train, 0, INT32_MAX);
        code_int(c, &e->n_ctx, 0, INT32_MAX);
        code_sampler(c, &e->sampler);
        break;
    }
    case EV_LOAD:
    case EV_PREFILL:
        code_u64(c, &e->done);
        code_u64(c, &e->total);
        code_int(c, &e->reused, 0, INT32_MAX);
        break;
    case EV_TEXT:
    case EV_THOUGHT:
        code_u64(c, &e->done);
        code_u64(c, &e->total);
        code_bytes(c, &e->text, &e->n);
        break;
    case EV_PROMPT:
        code_bytes(c, &e->text, &e->n);
        break;
    case EV_DONE:
    case EV_CANCELLED:
    case EV_ERROR:
        code_chars(c, e->stop, sizeof e->stop);
        code_stats(c, &e->stats);
        if (e->kind == EV_ERROR) {
            code_int(c, &e->err.code, ERR_CANCELLED, ERR_IO);
            code_chars(c, e->err.msg, sizeof e->err.msg);
        }
        break;
    }
}

/* ---- writing ---- */

static void seal(struct buf *out, enum frame_type type, struct buf *payload, size_t max)
{
    if (buf_over(payload) || payload->len > max || out->len + HEAD + payload->len > out->max) {
        out->over = true;
    } else {
        uint32_t n = (uint32_t)payload->len;
        const unsigned char head[HEAD] = {'H', 'D', FRAME_VERSION, (unsigned char)type, n & 255, n >> 8 & 255, n >> 16 & 255, n >> 24};
        buf_add(out, head, HEAD);
        buf_add(out, payload->data, payload->len);
    }
    buf_finish(payload);
}

void frame_put_job(struct buf *out, const struct job *j)
{
    struct buf b = BUF_INIT(FRAME_MAX);
    struct codec c = {.out = &b};
    code_job(&c, (struct job *)j); /* writing changes nothing */
    seal(out, FRAME_JOB, &b, j->n_msgs > FRAME_MAX_MESSAGES ? 0 : FRAME_MAX);
}

void frame_put_cancel(struct buf *out, uint64_t job)
{
    struct buf b = BUF_INIT(8);
    struct codec c = {.out = &b};
    code_u64(&c, &job);
    seal(out, FRAME_CANCEL, &b, FRAME_MAX_SMALL);
}

void frame_put_event(struct buf *out, const struct event *e)
{
    struct buf b = BUF_INIT(FRAME_MAX);
    struct codec c = {.out = &b};
    code_event(&c, (struct event *)e);
    seal(out, FRAME_EVENT, &b, e->kind == EV_PROMPT ? FRAME_MAX : FRAME_MAX_SMALL);
}

/* ---- reading ---- */

int frame_next(const void *bytes, size_t n, struct frame *f, size_t *used, struct err *err)
{
    const unsigned char *p = bytes;
    if (n < HEAD)
        return 0;
    if (p[0] != 'H' || p[1] != 'D')
        return err_set(err, ERR_IO, "the other process sent what is no message");
    if (p[2] != FRAME_VERSION)
        return err_set(err, ERR_IO, "the other process speaks version %d of the messages, this one %d", p[2], FRAME_VERSION);
    if (p[3] < FRAME_JOB || p[3] > FRAME_EVENT)
        return err_set(err, ERR_IO, "the other process sent a message of unknown type %d", p[3]);
    size_t len = (size_t)p[4] | (size_t)p[5] << 8 | (size_t)p[6] << 16 | (size_t)p[7] << 24;
    size_t max = p[3] == FRAME_CANCEL ? FRAME_MAX_SMALL : FRAME_MAX;
    if (p[3] == FRAME_EVENT && len > FRAME_MAX_SMALL && n >= HEAD + 4 && p[HEAD] != EV_PROMPT)
        max = FRAME_MAX_SMALL;
    if (len > max)
        return err_set(err, ERR_IO, "the other process sent a message of %zu bytes, at most %zu are allowed", len, max);
    if (n - HEAD < len)
        return 0;
    *f = (struct frame){(enum frame_type)p[3], p + HEAD, len};
    *used = HEAD + len;
    return 1;
}

/* Begins reading a frame of this type. */
static struct codec reading(const struct frame *f, enum frame_type want)
{
    struct codec c = {.p = f->data, .end = f->data + f->n};
    if (f->type != want)
        fail(&c, "its type is another");
    return c;
}

static int finish(const struct codec *c, const char *what, struct err *err)
{
    const char *bad = c->bad ? c->bad : c->p != c->end ? "there are bytes behind it" : NULL;
    return bad ? err_set(err, ERR_IO, "the other process sent %s that cannot be read: %s", what, bad) : 0;
}

int frame_job(const struct frame *f, struct job **out, struct err *err)
{
    struct codec c = reading(f, FRAME_JOB);
    struct job *j = job_new();
    code_job(&c, j);
    int rc = finish(&c, "a job", err);
    if (rc)
        job_free(j);
    else
        *out = j;
    return rc;
}

int frame_cancel(const struct frame *f, uint64_t *job, struct err *err)
{
    struct codec c = reading(f, FRAME_CANCEL);
    uint64_t id = 0;
    code_u64(&c, &id);
    int rc = finish(&c, "a cancellation", err);
    if (!rc)
        *job = id;
    return rc;
}

int frame_event(const struct frame *f, struct event **out, struct err *err)
{
    struct codec c = reading(f, FRAME_EVENT);
    struct event *e = mem_zalloc(sizeof *e);
    code_event(&c, e);
    int rc = finish(&c, "an event", err);
    if (rc)
        event_free(e);
    else
        *out = e;
    return rc;
}

/* ---- a socket's two directions ---- */

void frame_in_init(struct frame_in *in)
{
    *in = (struct frame_in){.b = BUF_INIT((size_t)FRAME_MAX + HEAD + READ_BYTES)};
}

void frame_in_finish(struct frame_in *in)
{
    buf_finish(&in->b);
    in->at = 0;
}

long frame_recv(int fd, struct frame_in *in)
{
    static _Thread_local unsigned char bytes[READ_BYTES];
    ssize_t n;
    if (in->at) {
        buf_drop(&in->b, in->at);
        in->at = 0;
    }
    do {
        n = recv(fd, bytes, sizeof bytes, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        buf_add(&in->b, bytes, (size_t)n);
    return n;
}

int frame_take(struct frame_in *in, struct frame *f, struct err *err)
{
    size_t used;
    int rc = frame_next(buf_str(&in->b) + in->at, in->b.len - in->at, f, &used, err);
    if (rc > 0)
        in->at += used;
    return rc;
}

void frame_out_init(struct frame_out *out)
{
    *out = (struct frame_out){.b = BUF_INIT((size_t)FRAME_MAX + (2u << 20))};
}

void frame_out_finish(struct frame_out *out)
{
    buf_finish(&out->b);
    out->at = 0;
}

bool frame_send(int fd, struct frame_out *out)
{
    while (out->at < out->b.len) {
        ssize_t n = send(fd, out->b.data + out->at, out->b.len - out->at, MSG_NOSIGNAL);
        if (n >= 0)
            out->at += (size_t)n;
        else if (errno != EINTR)
            return false;
    }
    if (out->b.cap > FRAME_MAX_SMALL)
        buf_finish(&out->b);
    buf_reset(&out->b);
    out->at = 0;
    return true;
}
