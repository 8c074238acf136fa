/*
 * The line face: prompt, answer, prompt, on a terminal that scrolls. One poll loop over the terminal, the engine and signals; nothing
 * else waits.
 *
 * Two states. Idle: the prompt is shown and the line is being edited. Busy: a turn runs, the prompt is hidden, the answer is written as it
 * comes, and keys go unseen into the line; a line that is entered meanwhile is queued and taken when the turn is over. What tells of
 * progress stands in the status line, which is gone when text comes; with --plain it is said in words, a line each.
 *
 * What is typed and not yet sent (queue and line) is saved as the session's draft when the keys rest, and put back when the session is
 * opened again. Prompts and answers are saved by app/chat.c.
 */
#include "config.h"
#include "app/face.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/slash.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sane.h"
#include "ui/line.h"

#define QUIET_US 150000      /* a state that is over sooner is not shown */
#define TICK_MS 250          /* how often a status line with a clock is drawn */
#define PAUSE_US 400000      /* a word waits for its end for so long */
#define HISTORY_MAX 1000
#define DRAFT_MAX ((size_t)512 << 20)

/* For readline. */
static void show_prompt(const struct face *f)
{
    const char *name = f->edit ? "edit>" : "you>";
    char *text = term_color(TERM_OUT) ? mem_printf("\1\x1b[1m\2%s\1\x1b[0m\2 ", name) : mem_printf("%s ", name);
    prompt_show(text);
    free(text);
}

/* ---- the progress of a turn ---- */

static void state_text(const struct turn *t, struct buf *b)
{
    char a[32], c[32];
    int64_t now = clock_mono_us();
    switch (t->phase) {
    case PHASE_LOAD:
        count_text(t->done / 1000000, a);
        count_text(t->total / 1000000, c);
        buf_addf(b, "loading %d %%, %s of %s MB", face_percent(t), a, c);
        break;
    case PHASE_READ:
        count_text(t->total, a);
        buf_addf(b, "reading %s tokens, %d %%", a, face_percent(t));
        if (t->reused) {
            count_text((uint64_t)t->reused, c);
            buf_addf(b, ", %s reused", c);
        }
        break;
    case PHASE_THINK:
        buf_addf(b, "thinking, %.0f s, %zu words", (double)(now - t->thought_us) / 1e6, t->words);
        break;
    case PHASE_WAIT:
        buf_addstr(b, "waiting for the model");
        break;
    case PHASE_IDLE:
    case PHASE_ANSWER:
        return;
    }
    if (t->stopping)
        buf_addstr(b, ", stopping");
}

/* The status line; what is being typed stands behind the state. */
static void draw_status(struct face *f)
{
    const struct turn *t = &f->turn;
    if (f->conf->plain || clock_mono_us() - t->began_us < QUIET_US)
        return;
    struct buf b = BUF_INIT(DRAFT_MAX);
    state_text(t, &b);
    if (b.len) {
        char *draft = prompt_draft();
        if (f->n_queue)
            buf_addf(&b, ", %zu queued", f->n_queue);
        if (*draft)
            buf_addf(&b, "   you> %s", draft);
        free(draft);
        term_status(buf_str(&b));
    }
    buf_finish(&b);
}

/* --plain: a state that takes its time is said once, then at each quarter. */
static void say_progress(struct face *f, const char *what)
{
    struct turn *t = &f->turn;
    int quarter = face_percent(t) / 25;
    if (!f->conf->plain || t->done >= t->total)
        return;
    if (t->quarter < 0)
        face_note("%s", what);
    else if (quarter > t->quarter)
        face_note("%d %%", quarter * 25);
    if (quarter > t->quarter)
        t->quarter = quarter;
}

static void enter(struct turn *t, enum phase p)
{
    if (t->phase != p)
        t->quarter = -1;
    t->phase = p;
}

static void on_load(void *arg, uint64_t done, uint64_t total)
{
    struct face *f = arg;
    enter(&f->turn, PHASE_LOAD);
    f->turn.done = done;
    f->turn.total = total;
    say_progress(f, "loading the model");
    draw_status(f);
}

static void on_prefill(void *arg, int done, int total, int reused)
{
    struct face *f = arg;
    char what[64], n[32];
    enter(&f->turn, PHASE_READ);
    f->turn.done = (uint64_t)(done > 0 ? done : 0);
    f->turn.total = (uint64_t)(total > 0 ? total : 0);
    f->turn.reused = reused;
    count_text(f->turn.total, n);
    snprintf(what, sizeof what, "reading %s tokens", n);
    say_progress(f, what);
    draw_status(f);
}

/* Thoughts are over: one line tells of them. */
static void close_thoughts(struct face *f)
{
    struct turn *t = &f->turn;
    if (!t->thinking)
        return;
    t->thinking = false;
    face_note("thinking, %.1f s, %zu words; /thought shows it", (double)(clock_mono_us() - t->thought_us) / 1e6, t->words);
}

static void on_thought(void *arg, const char *s, size_t n)
{
    struct face *f = arg;
    struct turn *t = &f->turn;
    if (!t->thinking) {
        t->thinking = true;
        t->thought_us = clock_mono_us();
        if (f->conf->plain)
            face_note("thinking");
    }
    for (size_t i = 0; i < n; i++) {
        bool space = s[i] == ' ' || s[i] == '\n' || s[i] == '\t';
        t->words += t->in_word && space;
        t->in_word = !space;
    }
    enter(t, PHASE_THINK);
    draw_status(f);
}

/* Tells of what had to wait until the cursor stands at the start of a line. */
static void tell(struct face *f)
{
    for (size_t i = 0; i < f->n_notes; i++) {
        face_note("%s", f->notes[i]);
        free(f->notes[i]);
    }
    f->n_notes = 0;
    for (; f->n_told < f->n_queue; f->n_told++) {
        struct buf b = BUF_INIT(1 << 16);
        face_cut(&b, f->queue[f->n_told], term_columns(TERM_OUT) - 12, false);
        face_note("queued: %s", buf_str(&b));
        buf_finish(&b);
    }
}

/* Newlines wait until it is clear that text follows: the end of an answer has one. */
static void on_text(void *arg, const char *s, size_t n)
{
    struct face *f = arg;
    struct turn *t = &f->turn;
    close_thoughts(f);
    enter(t, PHASE_ANSWER);
    while (n && !t->any && *s == '\n') {
        s++;
        n--;
    }
    size_t body = n;
    while (body && s[body - 1] == '\n')
        body--;
    if (!body) {
        t->newlines += (int)n;
        return;
    }
    if (t->newlines && (f->n_told < f->n_queue || f->n_notes)) {
        t->newlines--;
        term_prose(TERM_OUT, "\n", 1);
        tell(f);
    }
    for (; t->newlines > 0; t->newlines--)
        term_prose(TERM_OUT, "\n", 1);
    t->any = true;
    t->pause_us = clock_mono_us() + PAUSE_US;
    term_prose(TERM_OUT, s, body);
    t->newlines = (int)(n - body);
}

/* /raw */
static void on_prompt(void *arg, const char *s, size_t n)
{
    struct face *f = arg;
    f->turn.any = true;
    enter(&f->turn, PHASE_ANSWER);
    face_text(s, n);
}

static void on_end(void *arg, enum hist_state state, const struct event *e)
{
    struct turn *t = &((struct face *)arg)->turn;
    t->over = true;
    t->state = state;
    t->err = e->err;
    t->died = e->died;
    snprintf(t->stop, sizeof t->stop, "%s", e->stop);
}

static void on_notice(void *arg, const char *text)
{
    struct face *f = arg;
    f->notes = mem_grow(f->notes, f->n_notes + 1, sizeof *f->notes);
    f->notes[f->n_notes++] = mem_strdup(text);
    if (f->turn.phase == PHASE_ANSWER && !term_at_start(TERM_OUT))
        return;
    f->gap |= prompt_shown();
    prompt_hide();
    tell(f);
}

/* ---- the end of a turn ---- */

/* "[318 tokens, 21.4/s, context 9.4k of 32k]" */
static void say_numbers(struct face *f)
{
    const struct turn *t = &f->turn;
    const struct gen_stats *s = chat_stats(f->chat);
    char a[32], c[16];
    struct buf b = BUF_INIT(1024);
    if (!s) {
        if (t->state == HIST_INTERRUPTED)
            face_note("stopped");
        return;
    }
    count_text((uint64_t)(t->raw ? s->n_prompt : s->n_out), a);
    const char *plural = (t->raw ? s->n_prompt : s->n_out) == 1 ? "" : "s";
    if (t->state == HIST_INTERRUPTED)
        buf_addf(&b, "stopped after %s token%s", a, plural);
    else
        buf_addf(&b, "%s token%s", a, plural);
    if (!t->raw) {
        if (s->n_out > 1 && s->decode_ms > 0)
            buf_addf(&b, ", %.1f/s", s->n_out * 1000.0 / s->decode_ms);
        if (!strcmp(t->stop, "length"))
            buf_addstr(&b, ", cut off by max-tokens");
    }
    if (!t->raw && s->n_ctx > 0 && s->n_used > 0) {
        face_short_count((uint64_t)s->n_used, a);
        face_short_count((uint64_t)s->n_ctx, c);
        buf_addf(&b, ", context %s of %s", a, c);
    }
    face_note("%s", buf_str(&b));
    buf_finish(&b);
    if (!strcmp(t->stop, "context"))
        face_note("the context is full, the answer ends here; /new or /set ctx N make room");
}

static void say_error(struct face *f)
{
    const struct turn *t = &f->turn;
    report(&t->err);
    if (t->raw)
        return;
    if (t->died)
        face_note("%s is saved; /regen tries again, the engine starts by itself", t->any ? "what was answered" : "the prompt");
    else if (t->err.code == ERR_TOOLONG)
        face_note("it is in the line again, to be shortened; /new or /set ctx N make room");
    else
        face_note("%s is saved; /regen tries again", t->any ? "what was answered" : "the prompt");
}

static void end_turn(struct face *f)
{
    struct turn *t = &f->turn;
    t->over = false;
    t->pause_us = 0;
    term_status("");
    term_text_end(TERM_OUT);
    if (!term_at_start(TERM_OUT))
        term_say(TERM_OUT, "\n");
    close_thoughts(f);
    f->n_told = f->n_queue; /* they follow at once */
    tell(f);
    if (t->state == HIST_ERROR) {
        say_error(f);
        /* What cannot be answered as it is goes back into the line, to be changed. */
        if (t->err.code == ERR_TOOLONG && !t->raw && f->sent && !f->n_queue) {
            const struct hist_node *n = face_last_prompt(f);
            size_t len;
            face_restore(f, f->sent);
            f->edit = n && !strcmp(hist_node_text(n, &len), f->sent);
        }
    } else {
        say_numbers(f);
    }
    if (f->conf->plain)
        term_say(TERM_OUT, "\a");
    t->phase = PHASE_IDLE;
}

/* ---- input ---- */

static void send_text(struct face *f, const char *text)
{
    struct err e;
    int nth = f->edit;
    f->edit = 0;
    int rc = nth ? chat_edit(f->chat, nth, text, strlen(text), &e) : chat_send(f->chat, text, strlen(text), &e);
    if (face_begin(f, rc, &e)) {
        free(f->sent);
        f->sent = mem_strdup(text);
    } else {
        face_restore(f, text);
        f->edit = nth;
    }
}

/* A whole input, when nothing runs. */
static void take_line(struct face *f, const char *line)
{
    const char *text;
    if (face_is_blank(line)) {
        if (f->edit) {
            f->edit = 0;
            face_note("left as it was");
            f->gap = true;
        }
        return;
    }
    f->gap = true;
    prompt_remember(line);
    if (f->edit) {
        send_text(f, line);
        return;
    }
    switch (slash_line(f, line, &text)) {
    case SLASH_TEXT:
        send_text(f, text);
        break;
    case SLASH_BAD:
        face_restore(f, line);
        break;
    case SLASH_RUN:
        break;
    }
}

static void on_line(void *arg, char *text)
{
    struct face *f = arg;
    f->draft_due_us = clock_mono_us();
    if (!text) {
        f->leave = 0;
    } else if (f->leave >= 0) {
        free(text); /* typed behind /quit: for the shell */
    } else if (f->turn.phase == PHASE_IDLE && (f->edit || !f->n_queue)) {
        take_line(f, text);
        free(text);
    } else if (face_is_blank(text)) {
        free(text);
    } else {
        f->queue = mem_grow(f->queue, f->n_queue + 1, sizeof *f->queue);
        f->queue[f->n_queue++] = text;
        if (term_at_start(TERM_OUT)) /* else at the next end of a line */
            tell(f);
        draw_status(f);
    }
}

static void on_interrupt(void *arg)
{
    struct face *f = arg;
    if (f->turn.phase != PHASE_IDLE) {
        f->turn.stopping = true;
        chat_stop(f->chat);
        draw_status(f);
        return;
    }
    prompt_hide();
    if (f->edit) {
        f->edit = 0;
        face_note("left as it was");
    } else {
        face_note("Ctrl-D leaves, /help lists the commands");
    }
    f->gap = true;
}

static void on_discard(void *arg, const char *text)
{
    struct face *f = arg;
    if (f->edit) {
        f->edit = 0;
        face_note("left as it was");
        term_say(TERM_OUT, "\n");
        show_prompt(f);
    }
    if (f->h && !hist_read_only(f->h))
        hist_input_add(f->h, chat_session(f->chat), text, NULL);
}

static char *on_complete(void *arg, const char *line, int start, const char *word, int i)
{
    return slash_complete(arg, line, start, word, i);
}

/* The next queued line, shown as if it were typed now. */
static void take_queued(struct face *f)
{
    char *line = f->queue[0];
    memmove(f->queue, f->queue + 1, --f->n_queue * sizeof *f->queue);
    f->n_told -= f->n_told > 0;
    prompt_hide();
    if (f->turn.state == HIST_ERROR && f->turn.err.code) {
        /* What failed once would fail again: the person decides. */
        struct buf b = BUF_INIT(DRAFT_MAX);
        buf_addstr(&b, line);
        for (size_t i = 0; i < f->n_queue; i++) {
            buf_addf(&b, "\n%s", f->queue[i]);
            free(f->queue[i]);
        }
        f->n_queue = f->n_told = 0;
        face_restore(f, buf_str(&b));
        buf_finish(&b);
        face_note("what was queued is in the line again");
    } else {
        term_say(TERM_OUT, "\n\x1b[1myou>\x1b[0m ");
        face_text(line, strlen(line));
        take_line(f, line);
    }
    free(line);
}

/* Back to the prompt, when nothing runs: what is to go into the line goes there, unless the person has typed ahead. */
static void idle(struct face *f)
{
    if (f->restore) {
        char *typed = prompt_draft();
        if (*typed) {
            prompt_remember(f->restore);
            face_note("what was in the line is a key Up away");
        } else {
            prompt_prefill(f->restore);
        }
        free(typed);
        free(f->restore);
        f->restore = NULL;
    }
    if (prompt_shown())
        return;
    if (f->gap)
        term_say(TERM_OUT, "\n");
    f->gap = false;
    show_prompt(f);
}

/* ---- the loop ---- */

static void take_signals(struct face *f)
{
    for (int sig; (sig = sig_take());) {
        if (sig == SIGINT)
            prompt_interrupt();
        else if (sig == SIGTERM || sig == SIGHUP)
            f->leave = 128 + sig;
        else if (sig == SIGWINCH)
            prompt_winch();
        else if (sig == SIGTSTP)
            prompt_suspend();
        else if (sig == SIGCONT)
            prompt_resume();
    }
}

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int timeout_ms(const struct face *f)
{
    int ms = chat_timeout_ms(f->chat);
    if (f->turn.phase == PHASE_WAIT || f->turn.phase == PHASE_THINK)
        ms = sooner(ms, TICK_MS);
    int64_t due[] = {f->draft_due_us, f->turn.pause_us};
    for (int i = 0; i < 2; i++) {
        int64_t left = (due[i] - clock_mono_us()) / 1000 + 1;
        if (due[i])
            ms = sooner(ms, left > 0 ? (int)left : 0);
    }
    return ms;
}

static void wait_and_work(struct face *f, int sig_fd)
{
    struct pollfd p[3] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = sig_fd, .events = POLLIN}, {.fd = chat_fd(f->chat), .events = POLLIN}};
    int n = poll(p, 3, timeout_ms(f));
    if (n < 0 && errno != EINTR) {
        f->leave = 1;
        return;
    }
    if (n > 0 && p[0].revents) { /* before the signals: what was typed before one counts */
        prompt_read();
        f->draft_due_us = clock_mono_us() + FACE_DRAFT_REST_US;
        draw_status(f);
    }
    take_signals(f);
    if (f->turn.phase != PHASE_IDLE || (n > 0 && p[2].revents))
        chat_work(f->chat);
    if (f->turn.phase == PHASE_WAIT || f->turn.phase == PHASE_THINK)
        draw_status(f);
    if (f->turn.pause_us && clock_mono_us() >= f->turn.pause_us) {
        f->turn.pause_us = 0;
        term_prose_pause(TERM_OUT);
    }
    if (f->draft_due_us && clock_mono_us() >= f->draft_due_us)
        face_save_draft(f);
    if (!term_text(TERM_OUT, "", 0) && f->leave < 0)
        f->leave = 128 + SIGHUP; /* the terminal is gone */
}

static void loop(struct face *f, int sig_fd)
{
    while (f->leave < 0) {
        if (f->turn.over)
            end_turn(f);
        else if (f->turn.phase == PHASE_IDLE && f->n_queue && !f->edit && !f->restore)
            take_queued(f);
        else {
            if (f->turn.phase == PHASE_IDLE)
                idle(f);
            wait_and_work(f, sig_fd);
        }
    }
}

/* What runs is stopped and kept, what is unsent becomes the draft. */
static void leave(struct face *f)
{
    face_save_draft(f);
    f->n_told = f->n_queue; /* part of the draft */
    prompt_hide();
    face_settle(f);
    term_status("");
    term_text_end(TERM_OUT);
    if (!term_at_start(TERM_OUT))
        term_say(TERM_OUT, "\n");
    tell(f);
}

/* Where to go on, and what stands there. */
static int first_session(struct face *f)
{
    struct err e;
    bool go_on;
    int status = face_first_session(f, &go_on);
    if (status)
        return status;
    struct buf name = BUF_INIT(1 << 16);
    char *path = NULL;
    int no_model = conf_model_path(f->conf->model, &path, &e);
    const char *base = path ? path_base(path) : "no model";
    size_t len = strlen(base);
    face_session_name(f, &name);
    struct buf model = BUF_INIT(1 << 16);
    sane_line(&model, base, len > 5 && !strcmp(base + len - 5, ".gguf") ? len - 5 : len);
    term_say(TERM_OUT, "\x1b[2mhadal %.3s, %s, %s. /help, Ctrl-D quits.\x1b[0m\n", PACKAGE_VERSION, buf_str(&model), buf_str(&name));
    if (no_model && !getenv("HADAL_ENGINE"))
        report(&e);
    if (go_on)
        face_last_exchange(f);
    f->gap = true;
    buf_finish(&model);
    buf_finish(&name);
    free(path);
    return 0;
}

int face_line(struct conf *conf, struct hist *h)
{
    struct err e;
    struct face f = {.conf = conf, .h = h, .leave = -1, .draft = mem_strdup("")};
    const struct chat_face heard = {.arg = &f, .load = on_load, .prefill = on_prefill, .text = on_text, .thought = on_thought,
                                    .prompt = on_prompt, .model = face_model, .end = on_end, .notice = on_notice};
    const struct prompt_conf input = {.name = "hadal", .plain = conf->plain, .arg = &f, .line = on_line, .interrupt = on_interrupt,
                                      .discard = on_discard, .complete = on_complete};
    term_plain(conf->plain);
    int status, sig_fd = sig_open(true, prompt_restore, &e);
    if (sig_fd < 0 || chat_create(conf, h, &heard, &f.chat, &e)) {
        status = report(&e);
    } else if (prompt_open(&input)) {
        err_set(&e, ERR_USAGE, "a chat needs a terminal on standard input; with a question hadal answers once");
        status = report(&e);
    } else {
        err_on_panic(prompt_restore);
        face_load_history(&f, HISTORY_MAX);
        status = first_session(&f);
        if (status == 0) {
            loop(&f, sig_fd);
            leave(&f);
            status = f.leave;
        }
        prompt_close();
        err_on_panic(NULL);
    }
    chat_destroy(f.chat);
    sig_close();
    face_finish(&f);
    return status;
}
