/*
 * One question, one answer: hadal "question", a pipe into hadal. stdout carries the answer and nothing else; progress, statistics and
 * complaints go to stderr.
 *
 * Invariants: the prompt is in history before the engine is asked (chat_send), and every way out passes finish(), which has what came saved:
 * the end of the answer, the first SIGINT, SIGTERM, SIGHUP, a reader that left, a full disk. Only a second SIGINT does not wait for the engine.
 *
 * How the text comes out: `live` is text as it comes; else the answer is collected: for --json, --no-stream and -o. --jsonl prints an object
 * an event.
 */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/chat.h"
#include "app/jtext.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ui/line.h"

#define ANSWER_MAX ((size_t)256 << 20)
#define STATUS_EVERY_US 100000 /* between two changes of the status line */
#define STATUS_AFTER_US 300000 /* what is over sooner is not worth a line */
#define TWICE_US 100000        /* nobody presses Ctrl-C again so soon */
#define LEAVE_MS 1000          /* how long SIGTERM and SIGHUP wait for the engine */

enum phase { STARTING, LOADING, READING, THINKING, ANSWERING };

struct once {
    struct conf *conf;
    struct hist *h;
    struct chat *chat;
    bool live, tty; /* tty: progress is shown */
    struct buf answer, thought, notices; /* notices: lines that wait for the end of the answer */
    bool over;                           /* it has come */
    char *full;                          /* what is to be said of the context; NULL: nothing */
    size_t n_text, n_thought; /* bytes so far */
    char last; /* byte of the answer */
    int out_errno; /* of stdout; EPIPE: the reader has left */

    enum phase phase;
    int64_t start_us, phase_us, shown_us;
    uint64_t done, total; /* of the phase */
    int reused, n_before; /* n_before: tokens of the answer when the phase began */
    int quarter;          /* of --plain: what was said last */

    json_t *model; /* what EV_MODEL said */
    bool ended;
    enum hist_state state;
    struct err err;
    char stop[16];
    int signal;
    int64_t int_us; /* when SIGINT came; 0: not yet */
};

/* ---- stdout ---- */

static void stop_for_output(struct once *o)
{
    if (o->out_errno)
        return;
    o->out_errno = errno ? errno : EIO;
    chat_stop(o->chat);
}

static void put_event(struct once *o, json_t *j)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    jput(&b, j, false);
    json_decref(j);
    if (!o->out_errno && !term_raw(TERM_OUT, buf_str(&b), b.len))
        stop_for_output(o);
    buf_finish(&b);
}

static void put_live(struct once *o, const char *s, size_t n)
{
    if (!o->out_errno && !(o->conf->raw ? term_raw(TERM_OUT, s, n) : term_text(TERM_OUT, s, n)))
        stop_for_output(o);
}

/* ---- progress ---- */

static void status_text(const struct once *o, struct buf *b)
{
    char x[32], y[32];
    double s = (double)(clock_mono_us() - o->phase_us) / 1e6;
    int n = chat_tokens(o->chat);
    switch (o->phase) {
    case STARTING:
        buf_addstr(b, "starting");
        break;
    case LOADING:
        buf_addf(b, "loading %.0f of %.0f MB", (double)o->done / 1e6, (double)o->total / 1e6);
        break;
    case READING:
        buf_addf(b, "reading %s of %s tokens", count_text(o->done, x), count_text(o->total, y));
        if (s > 0.2 && o->done > (uint64_t)o->reused)
            buf_addf(b, ", %s/s", count_text((uint64_t)((double)(o->done - (uint64_t)o->reused) / s), x));
        break;
    case THINKING:
    case ANSWERING:
        buf_addf(b, "%s, %s tokens", o->phase == THINKING ? "thinking" : "answering", count_text((uint64_t)n, x));
        if (s > 0.5)
            buf_addf(b, ", %.1f/s", (n - o->n_before) / s);
        break;
    }
}

/* --plain: a line at each quarter of what takes its time; nothing that moves. */
static void show_plain(struct once *o, int64_t now)
{
    int quarter = o->total && o->phase != THINKING && o->phase != ANSWERING ? (int)(4 * o->done / o->total) : 0;
    if (quarter <= o->quarter || quarter > 3 || now - o->phase_us < 4 * STATUS_AFTER_US)
        return;
    o->quarter = quarter;
    term_say(TERM_ERR, "%s, %d %%\n", o->phase == LOADING ? "loading" : "reading", 25 * quarter);
}

static void show(struct once *o, enum phase phase, uint64_t done, uint64_t total)
{
    int64_t now = clock_mono_us();
    if (phase != o->phase) {
        o->phase = phase;
        o->phase_us = now;
        o->quarter = 0;
        o->n_before = chat_tokens(o->chat);
    }
    o->done = done;
    o->total = total;
    if (!o->tty)
        return;
    if (o->conf->plain) {
        show_plain(o, now);
    } else if (now - o->start_us > STATUS_AFTER_US && now - o->shown_us > STATUS_EVERY_US) {
        struct buf b = BUF_INIT(1024);
        status_text(o, &b);
        term_status(buf_str(&b));
        buf_finish(&b);
        o->shown_us = now;
    }
}

/* ---- what the chat says ---- */

static void on_load(void *arg, uint64_t done, uint64_t total)
{
    struct once *o = arg;
    show(o, LOADING, done, total);
    if (o->conf->jsonl)
        put_event(o, json_pack("{s:s, s:I, s:I}", "event", "load", "done", (json_int_t)done, "total", (json_int_t)total));
}

static void on_prefill(void *arg, int done, int total, int reused)
{
    struct once *o = arg;
    o->reused = reused;
    show(o, READING, (uint64_t)done, (uint64_t)total);
    if (o->conf->jsonl)
        put_event(o, json_pack("{s:s, s:i, s:i, s:i}", "event", "prefill", "done", done, "total", total, "cached", reused));
}

static void keep_model(struct once *o, const struct event *e)
{
    json_decref(o->model);
    o->model = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "model", jtext(e->name), "fingerprint", jtext(e->fingerprint), "arch", jtext(e->arch),
                         "quant", jtext(e->quant), "backend", jtext(e->backend), "engine", jtext(e->engine));
}

static void on_model(void *arg, const struct event *e)
{
    struct once *o = arg;
    keep_model(o, e);
    if (o->conf->verbose)
        notice("%s, %s, %s, on %s; %s; context %d of %d", e->name ? e->name : "?", e->arch ? e->arch : "?", e->quant ? e->quant : "?",
               e->backend ? e->backend : "?", e->engine ? e->engine : "?", e->n_ctx, e->n_ctx_train);
    if (o->conf->jsonl) {
        json_t *j = json_pack("{s:s}", "event", "model");
        json_object_update(j, o->model);
        put_event(o, j);
    }
}

static void on_thought(void *arg, const char *s, size_t n)
{
    struct once *o = arg;
    o->n_thought += n;
    show(o, THINKING, 0, 0);
    if (o->conf->jsonl)
        put_event(o, json_pack("{s:s, s:o}", "event", "thought", "text", jtext_n(s, n)));
    if (o->conf->json || o->conf->jsonl)
        buf_add(&o->thought, s, n);
}

static void on_text(void *arg, const char *s, size_t n)
{
    struct once *o = arg;
    o->n_text += n;
    if (n)
        o->last = s[n - 1];
    show(o, ANSWERING, 0, 0);
    if (o->conf->jsonl)
        put_event(o, json_pack("{s:s, s:o}", "event", "text", "text", jtext_n(s, n)));
    if (o->live)
        put_live(o, s, n);
    else
        buf_add(&o->answer, s, n);
    if (buf_over(&o->answer))
        chat_stop(o->chat);
}

static void on_end(void *arg, enum hist_state state, const struct event *e)
{
    struct once *o = arg;
    o->ended = true;
    o->state = state;
    o->err = e->err;
    memcpy(o->stop, e->stop, sizeof o->stop);
}

/* In the middle of an answer on the terminal a notice would stand in its text: it waits for the end. */
static void on_notice(void *arg, const char *text)
{
    struct once *o = arg;
    if (o->live && o->n_text && !o->over && term_is_tty(TERM_OUT)) {
        buf_addstr(&o->notices, text);
        buf_addch(&o->notices, '\n');
    } else {
        notice("%s", text);
    }
}

/* Of no use to one who cannot go on, or who is told that it is full. */
static void on_full(void *arg, const char *text)
{
    struct once *o = arg;
    free(o->full);
    o->full = mem_strdup(text);
}

static void say_notices(struct once *o)
{
    o->over = true;
    if (o->full && o->h && strcmp(o->stop, "context") != 0)
        notice("%s", o->full);
    for (const char *p = buf_str(&o->notices); *p;) {
        size_t n = strcspn(p, "\n");
        notice("%.*s", (int)n, p);
        p += n + 1;
    }
}

/* ---- the end ---- */

static int64_t answer_node(const struct once *o)
{
    const struct hist_path *p = chat_path(o->chat);
    return p && p->n ? p->at[p->n - 1].id : 0;
}

/* "session" and "node" of what was saved, or null. */
static void add_place(const struct once *o, json_t *j)
{
    struct hist_session s = {0};
    bool there = o->h && chat_session(o->chat) && hist_session_get(o->h, chat_session(o->chat), &s, NULL) == 0;
    json_object_set_new(j, "session", there ? jtext(s.uid) : json_null());
    json_object_set_new(j, "node", there && answer_node(o) ? json_integer((json_int_t)answer_node(o)) : json_null());
    if (there)
        hist_session_finish(&s);
}

static json_t *result_json(const struct once *o)
{
    static const struct gen_stats none;
    const struct gen_stats *g = chat_stats(o->chat) ? chat_stats(o->chat) : &none;
    char *params = chat_params(o->chat);
    json_t *j = json_pack("{s:o, s:o}", "answer", jtext_n(buf_str(&o->answer), o->answer.len), "thought",
                          o->n_thought ? jtext_n(buf_str(&o->thought), o->thought.len) : json_null());
    json_object_update(j, o->model);
    json_object_set_new(j, "seed", json_integer((json_int_t)chat_seed(o->chat)));
    json_object_set_new(j, "params", json_loads(params, 0, NULL));
    json_object_set_new(j, "usage", json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "prompt_tokens", g->n_prompt, "cached_tokens", g->n_cached,
                                              "completion_tokens", g->n_out, "thought_tokens", g->n_reason, "context", g->n_ctx, "context_used",
                                              g->n_used));
    json_object_set_new(j, "timings", json_pack("{s:o, s:o, s:o, s:o, s:o}", "load_ms", jreal(g->load_ms, 3), "prefill_ms", jreal(g->prefill_ms, 3),
                                                "ttft_ms", jreal(g->ttft_ms, 3), "decode_ms", jreal(g->decode_ms, 3), "tokens_per_second",
                                                g->decode_ms > 0 ? jreal(1000.0 * g->n_out / g->decode_ms, 3) : json_null()));
    json_object_set_new(j, "stop", jtext(o->out_errno ? "closed" : o->stop));
    if (o->err.code)
        json_object_set_new(j, "error", jtext(o->err.msg));
    add_place(o, j);
    free(params);
    return j;
}

static void say_stats(const struct once *o)
{
    const struct gen_stats *g = chat_stats(o->chat);
    char a[32], b[32], r[32], c[32], d[32];
    if (!g)
        return;
    term_say(TERM_ERR, "[%s tokens, %.1f/s; prompt %s tokens, %s reused; first token after %.2f s; context %s of %s]\n", count_text((uint64_t)g->n_out, a),
             g->decode_ms > 0 ? 1000.0 * g->n_out / g->decode_ms : 0.0, count_text((uint64_t)g->n_prompt, b), count_text((uint64_t)g->n_cached, r), g->ttft_ms / 1000,
             count_text((uint64_t)g->n_used, c), count_text((uint64_t)g->n_ctx, d));
}

/* Where a partial answer is, for messages: "; what there is was saved: hadal show abcdef", or "". */
static void say_where(const struct once *o, struct buf *b)
{
    struct hist_session s = {0};
    char id[7];
    if (!o->h || !o->n_text || hist_session_get(o->h, chat_session(o->chat), &s, NULL))
        return;
    short_id(s.uid, id);
    buf_addf(b, "; what there is was saved: hadal show %s", id);
    hist_session_finish(&s);
}

/* The collected answer, in its form, to -o or stdout; complete: it may go into a file. */
static int deliver(struct once *o, bool complete)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    struct err e;
    int status = 0;
    if (o->conf->json || o->conf->jsonl) {
        json_t *j = result_json(o);
        if (o->conf->jsonl)
            json_object_set_new(j, "event", json_string("end"));
        jput(&b, j, o->conf->json && !o->conf->out_file && term_is_tty(TERM_OUT));
        json_decref(j);
    } else {
        buf_add(&b, buf_str(&o->answer), o->answer.len);
        if (o->n_text && o->last != '\n')
            buf_addch(&b, '\n');
    }
    bool to_file = o->conf->out_file && strcmp(o->conf->out_file, "-") != 0;
    if (to_file && !complete) {
        struct buf where = BUF_INIT(256);
        say_where(o, &where);
        notice("%s is not written: the answer is not complete%s", o->conf->out_file, buf_str(&where));
        buf_finish(&where);
        to_file = false;
        if (o->h)
            buf_reset(&b); /* else stdout is the only place left */
    }
    if (to_file && file_put(o->conf->out_file, buf_str(&b), b.len, &e)) {
        status = report(&e);
        to_file = false;
    }
    if (!to_file && b.len && !o->out_errno) {
        bool as_is = o->conf->raw || o->conf->json || o->conf->jsonl;
        if (!(as_is ? term_raw(TERM_OUT, buf_str(&b), b.len) : term_text(TERM_OUT, buf_str(&b), b.len) && term_text_end(TERM_OUT)))
            o->out_errno = errno;
    }
    buf_finish(&b);
    return status;
}

/* What the person is told of an end that is none, and the exit status. */
static int judge(struct once *o)
{
    struct buf where = BUF_INIT(256);
    int status = 0;
    if (o->signal) {
        status = 128 + o->signal;
    } else if (o->out_errno == EPIPE) {
        status = o->conf->strict ? -ERR_INCOMPLETE : 0;
    } else if (o->out_errno) {
        struct err e;
        errno = o->out_errno;
        err_sys(&e, ERR_IO, "cannot write to standard output");
        status = report(&e);
    } else if (buf_over(&o->answer)) {
        notice("the answer is longer than %zu MiB and was stopped", ANSWER_MAX >> 20);
        status = -ERR_INCOMPLETE;
    } else if (o->err.code) {
        say_where(o, &where);
        struct err e;
        err_set(&e, o->err.code, "%.400s%s", o->err.msg, buf_str(&where));
        status = report(&e);
        if (o->n_text && status == 1)
            status = -ERR_INCOMPLETE;
    } else if (o->state != HIST_FINAL) {
        notice("the answer was cut off");
        status = -ERR_INCOMPLETE;
    } else if (!strcmp(o->stop, "context")) {
        notice("the answer was cut off: the context of %d tokens is full (--ctx makes it larger)", chat_stats(o->chat) ? chat_stats(o->chat)->n_ctx : 0);
        status = -ERR_INCOMPLETE;
    } else if (o->conf->strict && !strcmp(o->stop, "length")) {
        status = -ERR_INCOMPLETE;
    }
    buf_finish(&where);
    return status;
}

static int finish(struct once *o)
{
    term_status("");
    if (!o->ended)
        memcpy(o->stop, "cancelled", sizeof "cancelled");
    bool complete = o->ended && o->state == HIST_FINAL && !o->err.code && !o->out_errno && strcmp(o->stop, "context") != 0 && !buf_over(&o->answer);
    int status = 0;
    if (!o->live) {
        status = deliver(o, complete);
    } else if (!o->out_errno) {
        bool ok = o->conf->raw || term_text_end(TERM_OUT);
        if (ok && o->n_text && o->last != '\n')
            ok = term_raw(TERM_OUT, "\n", 1);
        if (!ok)
            o->out_errno = errno;
    }
    say_notices(o);
    int verdict = judge(o);
    if (o->conf->stats)
        say_stats(o);
    chat_flush(o->chat);
    if (!verdict && !chat_saved(o->chat))
        verdict = -ERR_HISTORY;
    return verdict ? verdict : status;
}

/* ---- the loop ---- */

static void on_signal(struct once *o, int sig)
{
    struct buf b = BUF_INIT(1024);
    int64_t now = clock_mono_us();
    switch (sig) {
    case SIGUSR1:
        status_text(o, &b);
        term_say(TERM_ERR, "hadal: %s\n", buf_str(&b));
        break;
    case SIGINT:
        if (o->int_us && now - o->int_us < TWICE_US)
            break; /* timeout(1) and others send one signal twice */
        if (o->int_us) { /* at once: what came is in history, or goes there now */
            chat_flush(o->chat);
            hist_close(o->h);
            term_status("");
            _exit(128 + SIGINT);
        }
        o->int_us = now;
        /* fall through */
    case SIGTERM:
    case SIGHUP:
        o->signal = sig;
        chat_stop(o->chat);
        break;
    default:
        break;
    }
    buf_finish(&b);
}

static void loop(struct once *o, int sig_fd)
{
    int64_t leave_us = 0; /* when a SIGTERM has waited long enough */
    while (!o->ended && chat_busy(o->chat)) {
        int timeout = chat_timeout_ms(o->chat);
        if (o->signal && o->signal != SIGINT) {
            int64_t now = clock_mono_us();
            leave_us = leave_us ? leave_us : now + LEAVE_MS * 1000;
            if (now >= leave_us)
                return;
            int left = (int)((leave_us - now) / 1000) + 1;
            timeout = timeout < 0 || timeout > left ? left : timeout;
        }
        struct pollfd p[3] = {{.fd = sig_fd, .events = POLLIN}, {.fd = chat_fd(o->chat), .events = POLLIN}, {.fd = STDOUT_FILENO}};
        if (o->conf->out_file || o->out_errno)
            p[2].fd = -1;
        if (poll(p, 3, timeout) < 0 && errno != EINTR)
            return;
        for (int sig; (sig = sig_take());)
            on_signal(o, sig);
        if (p[2].fd >= 0 && p[2].revents & (POLLERR | POLLHUP)) { /* nobody reads any more */
            errno = EPIPE;
            stop_for_output(o);
        }
        chat_work(o->chat);
    }
}

static int converse(struct once *o, const char *prompt, size_t n)
{
    struct err e;
    int64_t session;
    const struct chat_face face = {.arg = o, .load = on_load, .prefill = on_prefill, .text = on_text, .thought = on_thought, .model = on_model,
                                   .end = on_end, .notice = on_notice, .full = on_full};
    int rc = app_session(o->conf, o->h, &session, &e);
    if (!rc && o->conf->out_file && strcmp(o->conf->out_file, "-") != 0)
        rc = file_check(o->conf->out_file, &e);
    int sig_fd = rc ? rc : sig_open(false, NULL, &e);
    if (sig_fd < 0)
        return report(&e);
    rc = chat_create(o->conf, o->h, &face, &o->chat, &e);
    if (!rc && session)
        rc = chat_open(o->chat, session, &e);
    if (!rc)
        rc = chat_send(o->chat, prompt, n, &e);
    int status;
    if (rc) {
        status = app_failed(&e);
    } else {
        /* The question says more than the first line of a pipe. No title of it is no reason to stop. */
        if (o->h && !session && o->conf->prompt && *o->conf->prompt)
            hist_session_rename(o->h, chat_session(o->chat), o->conf->prompt, false, NULL);
        if (o->conf->jsonl) {
            json_t *j = json_pack("{s:s}", "event", "start");
            add_place(o, j);
            put_event(o, j);
        }
        loop(o, sig_fd);
        status = finish(o);
    }
    chat_destroy(o->chat);
    sig_close();
    return status;
}

int face_once(struct conf *conf, struct hist *h, const char *prompt, size_t n)
{
    struct once o = {.conf = conf, .h = h, .answer = BUF_INIT(ANSWER_MAX), .thought = BUF_INIT(ANSWER_MAX), .notices = BUF_INIT(1 << 20)};
    o.live = !conf->json && !conf->jsonl && !conf->no_stream && !conf->out_file;
    o.tty = term_is_tty(TERM_ERR);
    o.start_us = o.phase_us = clock_mono_us();
    keep_model(&o, &(struct event){.kind = EV_MODEL}); /* nothing known yet */
    int status = converse(&o, prompt, n);
    json_decref(o.model);
    buf_finish(&o.answer);
    buf_finish(&o.thought);
    buf_finish(&o.notices);
    free(o.full);
    return status;
}
