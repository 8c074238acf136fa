/*
 * What the full screen says about itself: header, status line, and what the running answer waits for. Numbers are those that the engine
 * told; a rate or a time to go is shown once it stands on half a second of work.
 */
#include "config.h"
#include "app/full.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sane.h"

#define QUIET_US 150000 /* a state that is over sooner is not shown */
#define RATE_US 500000
#define BAR 20

static void add_bar(struct buf *b, uint64_t done, uint64_t total, int width)
{
    int full = total ? (int)((double)(done < total ? done : total) / (double)total * width) : 0;
    buf_addch(b, '[');
    for (int i = 0; i < width; i++)
        buf_addch(b, i < full ? '#' : '.');
    buf_addch(b, ']');
}

/* Units in a second since the phase began, and the seconds to go; false: too early to tell. */
static bool rate(const struct full *u, double *per_second, double *left)
{
    const struct turn *t = &u->f.turn;
    int64_t us = clock_mono_us() - u->phase_us;
    if (us < RATE_US || t->done <= u->phase_done)
        return false;
    *per_second = (double)(t->done - u->phase_done) * 1e6 / (double)us;
    *left = (double)(t->total > t->done ? t->total - t->done : 0) / *per_second;
    return true;
}

static void add_left(struct buf *b, double seconds)
{
    if (seconds < 90)
        buf_addf(b, "  ETA %.0f s", seconds);
    else
        buf_addf(b, "  ETA %.0f min", seconds / 60);
}

static void load_text(const struct full *u, struct buf *b)
{
    const struct turn *t = &u->f.turn;
    double per_second, left, unit = t->total >= 10000000000u ? 1e9 : 1e6;
    const char *name = unit > 1e8 ? "GB" : "MB";
    add_bar(b, t->done, t->total, BAR);
    buf_addf(b, " %.0f/%.0f %s", (double)t->done / unit, (double)t->total / unit, name);
    if (rate(u, &per_second, &left)) {
        buf_addf(b, per_second >= 1e9 ? "  %.1f GB/s" : "  %.0f MB/s", per_second / (per_second >= 1e9 ? 1e9 : 1e6));
        add_left(b, left);
    }
}

static void read_text(const struct full *u, struct buf *b)
{
    const struct turn *t = &u->f.turn;
    char done[32], total[32];
    double per_second, left;
    add_bar(b, t->done, t->total, BAR);
    buf_addf(b, " %s/%s", count_text(t->done, done), count_text(t->total, total));
    if (rate(u, &per_second, &left)) {
        buf_addf(b, "  %s tok/s", count_text((uint64_t)per_second, done));
        add_left(b, left);
    }
}

/* Up to two lines in the place of the answer that is waited for. */
static void progress(struct full *u)
{
    const struct turn *t = &u->f.turn;
    struct buf one = BUF_INIT(4096), two = BUF_INIT(4096);
    char n[32];
    bool late = clock_mono_us() - t->began_us >= QUIET_US;
    if (t->phase == PHASE_LOAD && late) {
        buf_addstr(&one, "loading  ");
        load_text(u, &one);
    } else if (t->phase == PHASE_READ && late) {
        buf_addstr(&one, "reading  ");
        read_text(u, &one);
        if (t->reused)
            buf_addf(&two, "         %s tokens were known already, not read again", count_text((uint64_t)t->reused, n));
    }
    view_chat_progress(u->chat, buf_str(&one), buf_str(&two));
    buf_finish(&one);
    buf_finish(&two);
}

/* ---- the status line ---- */

struct bits {
    struct status_bit at[10];
    int n;
};

static void add(struct bits *b, enum role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(struct bits *b, enum role role, const char *fmt, ...)
{
    va_list ap;
    if (b->n == (int)(sizeof b->at / sizeof *b->at))
        return;
    va_start(ap, fmt);
    vsnprintf(b->at[b->n].text, sizeof b->at[0].text, fmt, ap);
    va_end(ap);
    b->at[b->n++].role = role;
}

static void state_bit(const struct full *u, struct bits *b)
{
    const struct turn *t = &u->f.turn;
    const struct gen_stats *s = chat_stats(u->f.chat);
    const char *stopping = t->stopping ? ", stopping" : "";
    char n[32];
    switch (t->phase) {
    case PHASE_WAIT: add(b, ROLE_STATUS, "waiting for the model%s", stopping); return;
    case PHASE_LOAD: add(b, ROLE_STATUS, "loading the model%s", stopping); return;
    case PHASE_READ: add(b, ROLE_STATUS, "reading the prompt%s", stopping); return;
    case PHASE_THINK:
        add(b, ROLE_STATUS, "thinking %.0f s  %s tok%s", (double)(clock_mono_us() - t->thought_us) / 1e6,
            count_text((uint64_t)chat_tokens(u->f.chat), n), stopping);
        return;
    case PHASE_ANSWER: add(b, ROLE_STATUS, "answering%s", stopping); return;
    case PHASE_IDLE: break;
    }
    if (view_chat_reading(u->chat))
        add(b, ROLE_STATUS, "reading  h help  i back to writing");
    else if (u->f.edit)
        add(b, ROLE_STATUS, "editing a prompt  Enter sends it beside the old one  C-c leaves it");
    else if (s && t->state == HIST_INTERRUPTED && t->stop[0])
        add(b, ROLE_STATUS, "stopped after %s tokens  C-x r again", count_text((uint64_t)s->n_out, n));
    else if (t->state == HIST_ERROR && t->err.code)
        add(b, ROLE_ALERT, "%.90s", t->err.msg);
    else
        add(b, ROLE_STATUS, "ready");
}

static void context_bit(const struct full *u, struct bits *b)
{
    const struct gen_stats *s = chat_stats(u->f.chat);
    bool busy = u->f.turn.phase != PHASE_IDLE;
    int used = busy ? u->n_prompt + chat_tokens(u->f.chat) : s ? s->n_used : 0, size = busy ? u->n_ctx : s ? s->n_ctx : u->n_ctx;
    char a[16], c[16];
    struct buf bar = BUF_INIT(256);
    if (size <= 0 || used <= 0) {
        add(b, ROLE_STATUS, "%s", "");
        return;
    }
    int percent = used >= size ? 100 : (int)((int64_t)used * 100 / size);
    enum role role = percent >= 95 ? ROLE_ALERT : percent >= 80 ? ROLE_WARN : ROLE_STATUS;
    face_short_count((uint64_t)used, a);
    face_short_count((uint64_t)size, c);
    if (percent >= 95)
        buf_addstr(&bar, "/new or /set ctx N makes room  ");
    buf_addstr(&bar, "ctx ");
    add_bar(&bar, (uint64_t)used, (uint64_t)size, 10);
    add(b, role, "%s %s/%s", buf_str(&bar), a, c);
    buf_finish(&bar);
}

static void speed_bits(const struct full *u, struct bits *b)
{
    const struct turn *t = &u->f.turn;
    const struct gen_stats *s = chat_stats(u->f.chat);
    int n = chat_tokens(u->f.chat);
    int64_t us = u->first_us ? clock_mono_us() - u->first_us : 0;
    if (t->phase == PHASE_ANSWER || t->phase == PHASE_THINK) {
        if (n > 1 && us > RATE_US)
            add(b, ROLE_STATUS, "%.1f tok/s", (n - 1) * 1e6 / (double)us);
        if (u->first_us)
            add(b, ROLE_STATUS, "ttft %.1f s", (double)(u->first_us - t->began_us) / 1e6);
    } else if (t->phase == PHASE_IDLE && s && s->n_out > 1 && s->decode_ms > 0 && !t->raw) {
        add(b, ROLE_STATUS, "%.1f tok/s", s->n_out * 1000.0 / s->decode_ms);
        add(b, ROLE_STATUS, "ttft %.1f s", s->ttft_ms / 1000);
    }
}

void full_status(struct full *u)
{
    struct bits b = {.n = 0};
    progress(u);
    state_bit(u, &b);
    speed_bits(u, &b);
    if (u->f.n_queue)
        add(&b, ROLE_STATUS, "queue %zu", u->f.n_queue);
    if (!u->f.h)
        add(&b, ROLE_STATUS, "nothing is saved");
    else if (hist_read_only(u->f.h))
        add(&b, ROLE_WARN, "read-only");
    else if (u->f.turn.phase == PHASE_IDLE && !chat_saved(u->f.chat))
        add(&b, ROLE_WARN, "not saved yet");
    context_bit(u, &b);
    view_chat_status(u->chat, b.at, b.n);
    view_chat_queue(u->chat, u->f.queue, u->f.n_queue);
    view_chat_label(u->chat, u->f.edit ? "edit> " : "> ");
}

/* ---- the header ---- */

void full_model_name(const struct full *u, struct buf *out)
{
    char *path = NULL;
    struct err e;
    if (u->model) {
        buf_addstr(out, u->model);
    } else if (conf_model_path(u->f.conf->model, &path, &e) == 0) {
        const char *base = path_base(path);
        size_t n = strlen(base);
        sane_line(out, base, n > 5 && !strcmp(base + n - 5, ".gguf") ? n - 5 : n);
    } else {
        buf_addstr(out, "no model");
    }
    free(path);
}

void full_title(struct full *u)
{
    struct hist_session s;
    struct buf title = BUF_INIT(1 << 20), right = BUF_INIT(1 << 20), empty = BUF_INIT(1 << 20);
    int64_t id = chat_session(u->f.chat);
    if (id && u->f.h && hist_session_get(u->f.h, id, &s, NULL) == 0) {
        char name[7];
        short_id(s.uid, name);
        if (*s.title)
            sane_line(&title, s.title, strlen(s.title));
        else
            buf_addf(&title, s.n_messages ? "session %s" : "a new session", name);
        hist_session_finish(&s);
    } else {
        buf_addstr(&title, u->f.h ? "a new session" : "a chat that is not saved");
    }
    full_model_name(u, &right);
    buf_addf(&empty, "hadal %.3s, %s\n\nAsk something. Enter sends, M-Enter is a new line.\nF1 help, F2 sessions, Esc reads, C-d leaves.\n",
             PACKAGE_VERSION, buf_str(&right));
    view_chat_title(u->chat, buf_str(&title), buf_str(&right), buf_str(&empty));
    buf_finish(&title);
    buf_finish(&right);
    buf_finish(&empty);
}
