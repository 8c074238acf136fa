/*
 * The full-screen face. One poll loop over the terminal, the engine, signals and timers.
 *
 * Frames: a key is drawn at once, tokens at most every FRAME_US, and not while the terminal has not taken the last frame. What is on top of
 * the stack of views is drawn and gets the keys; below all lies the chat.
 *
 * Slash commands are those of the line face; what they write is caught and shown, a line as a line, more as a text to scroll in. As there, an
 * input that is sent while an answer runs is queued, and what is unsent is saved as the session's draft when the keys rest.
 */
#include "config.h"
#include "app/full.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "app/slash.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sane.h"
#include "ui/editor.h"
#include "ui/line.h"
#include "ui/term.h"
#include "ui/views.h"

#define FRAME_US 16000
#define FRAME_SSH_US 33000
#define TICK_MS 250
#define TWICE_US 1000000  /* two Ctrl-C within this leave */
#define LONG_US 8000000   /* an answer that took longer is told of, when nobody looks */
#define HISTORY_MOST 20000
#define SLOW_US 5000
#define ESCAPE_MS 25
#define ESCAPE_SSH_MS 50

/* ---- views ---- */

static struct view *top(const struct full *u)
{
    return u->n_stack ? u->stack[u->n_stack - 1] : u->chat;
}

void full_push(struct full *u, struct view *v)
{
    if (u->n_stack == FULL_STACK) {
        view_destroy(v);
        return;
    }
    u->stack[u->n_stack++] = v;
    u->dirty = true;
}

void full_pop(struct full *u)
{
    if (u->n_stack)
        view_destroy(u->stack[--u->n_stack]);
    u->dirty = true;
}

void full_say(struct full *u, enum role role, const char *fmt, ...)
{
    va_list ap;
    char *text;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    view_chat_say(u->chat, text, role);
    free(text);
    u->dirty = true;
}

/* What the settings say of the looks. */
static void use_theme(struct full *u)
{
    enum theme t = THEME_AUTO;
    const char *name = u->f.conf->theme;
    if (name && *name && !theme_parse(name, &t))
        full_say(u, ROLE_WARN, "there is no theme %.40s: auto, dark, light or mono", name);
    if (!u->script)
        term_theme(t);
}

/* ---- the transcript ---- */

/* The message's time: of today the hour, else the day. */
static void time_text(int64_t ms, char out[16])
{
    time_t then = (time_t)(ms / 1000), now = time(NULL);
    struct tm a, b;
    if (localtime_r(&then, &a) && localtime_r(&now, &b) && a.tm_yday == b.tm_yday && a.tm_year == b.tm_year)
        strftime(out, 16, "%H:%M", &a);
    else
        when_text(ms, clock_wall_ms(), out);
}

static void model_of(struct full *u, const struct hist_gen *g, char **name)
{
    struct hist_model m;
    if (u->f.h && g && g->model_id && hist_model_get(u->f.h, g->model_id, &m, NULL) == 1) {
        const char *quant = m.quant && *m.quant && strcmp(m.quant, "none") != 0 ? m.quant : "";
        *name = m.name && *m.name ? mem_printf("%s%s%s", m.name, *quant ? " " : "", quant) : NULL;
        hist_model_finish(&m);
    }
}

/* What stands below an answer that is not as it should be. */
static char *note_of(const struct hist_node *n, const struct hist_gen *g, enum role *role)
{
    *role = ROLE_WARN;
    if (n->state == HIST_INTERRUPTED)
        return g && g->n_out > 0 ? mem_printf("stopped after %d token%s", g->n_out, g->n_out == 1 ? "" : "s") : mem_strdup("stopped here");
    if (n->state == HIST_ERROR) {
        *role = ROLE_ALERT;
        return g && g->error && *g->error ? mem_strdup(g->error) : mem_strdup("an error ended this answer");
    }
    if (n->state != HIST_FINAL || !g || !g->stop)
        return NULL;
    if (!strcmp(g->stop, "length"))
        return mem_strdup("cut off by max-tokens");
    return !strcmp(g->stop, "context") ? mem_strdup("the context is full, the answer ends here") : NULL;
}

static const struct hist_part *part_of(const struct hist_node *n, enum hist_kind kind)
{
    for (size_t i = 0; i < n->n_parts; i++)
        if (n->parts[i].kind == kind)
            return &n->parts[i];
    return NULL;
}

/* What history knows of an answer, looked up once. */
static void look_up(struct full *u, const struct hist_node *n, bool live, struct full_known *x)
{
    struct hist_gen gen;
    if (x->id == n->id && x->state == n->state && !live)
        return;
    free(x->name);
    free(x->thought);
    free(x->note);
    *x = (struct full_known){.id = live ? 0 : n->id, .state = n->state};
    if (n->role != HIST_ASSISTANT)
        return;
    bool have = !live && u->f.h && hist_gen_get(u->f.h, n->id, &gen, NULL) == 1;
    model_of(u, have ? &gen : NULL, &x->name);
    if (!x->name) {
        struct buf b = BUF_INIT(1 << 20);
        full_model_name(u, &b);
        x->name = buf_take(&b);
    }
    x->note = live ? NULL : note_of(n, have ? &gen : NULL, &x->note_role);
    if (u->thought_node == n->id && have)
        x->thought = mem_printf("%.1f s, %d token%s", u->thought_ms / 1000, gen.n_reason, gen.n_reason == 1 ? "" : "s");
    else if (have && gen.n_reason > 0)
        x->thought = mem_printf("%d token%s", gen.n_reason, gen.n_reason == 1 ? "" : "s");
    if (have)
        hist_gen_finish(&gen);
}

static void describe(struct full *u, const struct hist_node *n, bool live, struct chat_message *m, struct full_known *x)
{
    const struct hist_part *thought = part_of(n, HIST_REASONING);
    size_t len;
    const char *text = hist_node_text(n, &len);
    while (n->role == HIST_ASSISTANT && len && *text == '\n') {
        text++;
        len--;
    }
    look_up(u, n, live, x);
    time_text(n->created_ms, x->when);
    *m = (struct chat_message){.id = n->id, .user = n->role == HIST_USER, .name = n->role == HIST_USER ? "you" : x->name, .when = x->when,
                               .version = n->version, .n_versions = n->n_versions, .text = text, .n = len, .thought = thought ? thought->text : "",
                               .n_thought = thought ? thought->n : 0, .thought_head = x->thought, .note = x->note, .note_role = x->note_role, .live = live};
}

void full_sync(struct full *u)
{
    const struct hist_path *p = chat_path(u->f.chat);
    struct chat_message *m = mem_array(p->n ? p->n : 1, sizeof *m);
    size_t n = 0;
    if (p->n > u->n_known) {
        u->known = mem_grow(u->known, p->n, sizeof *u->known);
        memset(u->known + u->n_known, 0, (p->n - u->n_known) * sizeof *u->known);
        u->n_known = p->n;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (p->at[i].role != HIST_USER && p->at[i].role != HIST_ASSISTANT)
            continue;
        bool live = i + 1 == p->n && p->at[i].role == HIST_ASSISTANT && chat_busy(u->f.chat) && !u->f.turn.raw;
        describe(u, &p->at[i], live, &m[n++], &u->known[i]);
    }
    view_chat_sync(u->chat, m, n);
    free(m);
    full_title(u);
    u->dirty = true;
}

/* ---- the running turn ---- */

static void enter(struct full *u, enum phase p, uint64_t done)
{
    if (u->f.turn.phase != p) {
        u->phase_us = clock_mono_us();
        u->phase_done = done;
    }
    u->f.turn.phase = p;
    u->fresh = true;
}

static void on_load(void *arg, uint64_t done, uint64_t total)
{
    struct full *u = arg;
    enter(u, PHASE_LOAD, done);
    u->f.turn.done = done;
    u->f.turn.total = total;
}

static void on_prefill(void *arg, int done, int total, int reused)
{
    struct full *u = arg;
    enter(u, PHASE_READ, (uint64_t)(done > reused ? done : reused > 0 ? reused : 0));
    u->f.turn.done = (uint64_t)(done > 0 ? done : 0);
    u->f.turn.total = (uint64_t)(total > 0 ? total : 0);
    u->f.turn.reused = reused;
    u->n_prompt = total;
}

static void first_text(struct full *u)
{
    if (!u->first_us)
        u->first_us = clock_mono_us();
}

/* Thoughts are over: how long they took. */
static void close_thoughts(struct full *u)
{
    struct turn *t = &u->f.turn;
    const struct hist_path *p = chat_path(u->f.chat);
    if (!t->thinking)
        return;
    t->thinking = false;
    u->thought_ms = (double)(clock_mono_us() - t->thought_us) / 1000;
    u->thought_node = p->n ? p->at[p->n - 1].id : 0;
}

static void on_thought(void *arg, const char *s, size_t n)
{
    struct full *u = arg;
    struct turn *t = &u->f.turn;
    first_text(u);
    if (!t->thinking)
        t->thought_us = clock_mono_us();
    t->thinking = true;
    enter(u, PHASE_THINK, 0);
    view_chat_thought(u->chat, s, n);
}

static void on_text(void *arg, const char *s, size_t n)
{
    struct full *u = arg;
    first_text(u);
    close_thoughts(u);
    enter(u, PHASE_ANSWER, 0);
    while (n && !u->f.turn.any && *s == '\n') {
        s++;
        n--;
    }
    if (!n)
        return;
    u->f.turn.any = true;
    view_chat_text(u->chat, s, n);
}

static void on_prompt(void *arg, const char *s, size_t n)
{
    struct full *u = arg;
    buf_add(&u->raw, s, n);
}

static void on_model(void *arg, const struct event *e)
{
    struct full *u = arg;
    face_model(&u->f, e);
    struct buf b = BUF_INIT(1 << 16);
    sane_line(&b, e->name ? e->name : "?", e->name ? strlen(e->name) : 1);
    if (e->quant && *e->quant && strcmp(e->quant, "none") != 0) {
        buf_addch(&b, ' ');
        sane_line(&b, e->quant, strlen(e->quant));
    }
    free(u->model);
    u->model = buf_take(&b);
    u->n_ctx = e->n_ctx;
    full_sync(u);
}

static void on_end(void *arg, enum hist_state state, const struct event *e)
{
    struct turn *t = &((struct full *)arg)->f.turn;
    t->over = true;
    t->state = state;
    t->err = e->err;
    t->died = e->died;
    snprintf(t->stop, sizeof t->stop, "%s", e->stop);
}

static void on_notice(void *arg, const char *text)
{
    full_say(arg, ROLE_WARN, "%s", text);
}

static void say_error(struct full *u)
{
    const struct turn *t = &u->f.turn;
    if (t->raw)
        full_say(u, ROLE_ALERT, "%s", t->err.msg);
    else if (t->died)
        full_say(u, ROLE_ALERT, "%s; your text is saved, C-x r tries again", t->err.msg);
    else if (t->err.code == ERR_TOOLONG)
        full_say(u, ROLE_ALERT, "%s; it is in the box again, to be shortened", t->err.msg);
    else
        full_say(u, ROLE_ALERT, "%s; C-x r tries again", t->err.msg);
}

static void end_turn(struct full *u)
{
    struct turn *t = &u->f.turn;
    bool raw = t->raw;
    t->over = false;
    close_thoughts(u);
    t->phase = PHASE_IDLE;
    if (t->state == HIST_ERROR) {
        say_error(u);
        if (t->err.code == ERR_TOOLONG && !raw && u->f.sent && !u->f.n_queue) {
            const struct hist_node *n = face_last_prompt(&u->f);
            size_t len;
            face_restore(&u->f, u->f.sent);
            u->f.edit = n && !strcmp(hist_node_text(n, &len), u->f.sent);
        }
    }
    full_sync(u);
    if (raw && t->state != HIST_ERROR && u->raw.len)
        full_push(u, view_text("the prompt as the model sees it", buf_str(&u->raw), u->raw.len));
    buf_reset(&u->raw);
    if (u->unfocused && clock_mono_us() - t->began_us > LONG_US)
        term_notify("hadal: the answer is ready");
    term_title("hadal");
}

/* Follows a turn that chat_send and its like have begun. */
static void began(struct full *u)
{
    u->first_us = 0;
    u->n_prompt = 0;
    u->phase_us = clock_mono_us();
    u->phase_done = 0;
    view_chat_write(u->chat);
    full_sync(u);
    term_title("hadal: answering");
}

/* ---- input ---- */

static void send_text(struct full *u, const char *text)
{
    struct err e;
    int nth = u->f.edit;
    u->f.edit = 0;
    int rc = nth ? chat_edit(u->f.chat, nth, text, strlen(text), &e) : chat_send(u->f.chat, text, strlen(text), &e);
    if (rc) {
        full_say(u, ROLE_ALERT, "%s", e.msg);
        face_restore(&u->f, text);
        u->f.edit = nth;
        return;
    }
    face_begin(&u->f, 0, NULL);
    free(u->f.sent);
    u->f.sent = mem_strdup(text);
    began(u);
}

/* What a command has written: one note as a line, anything else as a text. */
static void show_caught(struct full *u, const char *title, struct buf *b, bool bad)
{
    while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == ' '))
        b->data[--b->len] = 0;
    const char *s = buf_str(b);
    size_t n = b->len;
    if (!n)
        return;
    bool error = !strncmp(s, "hadal: ", 7);
    if (error) {
        s += 7;
        n -= 7;
    }
    bool note = n > 1 && s[0] == '[' && s[n - 1] == ']' && !memmem(s, n, "]\n", 2);
    if (note || !memchr(s, '\n', n)) {
        char *line = note ? mem_strndup(s + 1, n - 2) : mem_strndup(s, n);
        for (char *p = line; *p; p++)
            if (*p == '\n')
                *p = ' ';
        full_say(u, error ? ROLE_ALERT : bad ? ROLE_WARN : ROLE_GOOD, "%s", line);
        free(line);
    } else {
        full_push(u, view_text(title, s, n));
    }
}

static enum slash_is run_slash(struct full *u, const char *line, const char **text)
{
    struct buf b = BUF_INIT((size_t)64 << 20);
    int rows, cols;
    bool was_busy = chat_busy(u->f.chat);
    if (u->script)
        script_size(u->script, &rows, &cols);
    else
        term_size(&rows, &cols);
    term_catch(&b, cols);
    enum slash_is is = slash_line(&u->f, line, text);
    term_catch(NULL, 0);
    if (is != SLASH_TEXT) {
        use_theme(u);
        show_caught(u, line, &b, is == SLASH_BAD);
        if (!was_busy && chat_busy(u->f.chat))
            began(u);
        else
            full_sync(u);
    }
    buf_finish(&b);
    return is;
}

void full_slash(struct full *u, const char *line)
{
    const char *text;
    run_slash(u, line, &text);
}

static void queue(struct full *u, char *text)
{
    u->f.queue = mem_grow(u->f.queue, u->f.n_queue + 1, sizeof *u->f.queue);
    u->f.queue[u->f.n_queue++] = text;
    u->dirty = true;
}

/* A whole input. Commands are obeyed at once, prompts when nothing runs. */
static void on_submit(void *arg, char *line)
{
    struct full *u = arg;
    const char *text = line;
    u->f.draft_due_us = clock_mono_us();
    u->dirty = true;
    if (face_is_blank(line)) {
        if (u->f.edit)
            full_say(u, ROLE_GOOD, "left as it was");
        u->f.edit = 0;
    } else if (u->f.edit && u->f.turn.phase == PHASE_IDLE) {
        send_text(u, line);
    } else if (!u->f.edit && !strcmp(line, "/help")) {
        full_command(u, "help");
    } else {
        enum slash_is is = u->f.edit ? SLASH_TEXT : run_slash(u, line, &text);
        if (is == SLASH_BAD)
            face_restore(&u->f, line);
        else if (is == SLASH_TEXT && u->f.turn.phase == PHASE_IDLE && !u->f.n_queue)
            send_text(u, text);
        else if (is == SLASH_TEXT)
            queue(u, mem_strdup(text));
    }
    free(line);
}

static void on_eof(void *arg)
{
    ((struct full *)arg)->f.leave = 0;
}

/* The next queued prompt, when nothing runs. What failed once would fail again: then the person decides. */
static void take_queued(struct full *u)
{
    struct face *f = &u->f;
    char *line = f->queue[0];
    if (f->turn.state == HIST_ERROR && f->turn.err.code) {
        struct buf b = BUF_INIT((size_t)512 << 20);
        for (size_t i = 0; i < f->n_queue; i++) {
            buf_addf(&b, "%s%s", i ? "\n" : "", f->queue[i]);
            free(f->queue[i]);
        }
        f->n_queue = 0;
        face_restore(f, buf_str(&b));
        buf_finish(&b);
        return;
    }
    memmove(f->queue, f->queue + 1, --f->n_queue * sizeof *f->queue);
    send_text(u, line);
    free(line);
}

/* What is to go into the box goes there, unless something is being written. */
static void restore(struct full *u)
{
    struct face *f = &u->f;
    if (!f->restore)
        return;
    char *typed = prompt_draft();
    if (*typed) {
        prompt_remember(f->restore);
        full_say(u, ROLE_WARN, "what was in the box is a key Up away");
    } else {
        prompt_prefill(f->restore);
    }
    free(typed);
    free(f->restore);
    f->restore = NULL;
    u->dirty = true;
}

void full_open(struct full *u, int64_t session)
{
    struct buf b = BUF_INIT(1 << 20);
    term_catch(&b, 1000);
    bool ok = face_open(&u->f, session);
    term_catch(NULL, 0);
    if (ok && session && u->f.restore == NULL)
        prompt_prefill("");
    show_caught(u, "", &b, false);
    buf_finish(&b);
    u->f.turn.state = HIST_FINAL;
    u->f.turn.err.code = 0;
    view_chat_write(u->chat);
    full_sync(u);
}

/* The chat goes on from the branch that ends with this node. */
static bool go_branch(struct full *u, int64_t session, int64_t node)
{
    struct err e;
    int64_t leaf;
    if (chat_busy(u->f.chat)) {
        full_say(u, ROLE_WARN, "an answer is still being written; stop it first");
        return false;
    }
    if (hist_leaf(u->f.h, node, &leaf, &e) || hist_head_set(u->f.h, session, leaf, &e) || chat_open(u->f.chat, session, &e)) {
        full_say(u, ROLE_ALERT, "%s", e.msg);
        return false;
    }
    full_sync(u);
    return true;
}

void full_goto(struct full *u, int64_t session, int64_t node, const char *needle)
{
    if (!u->f.h)
        return;
    if (session != chat_session(u->f.chat))
        full_open(u, session);
    const struct hist_path *p = chat_path(u->f.chat);
    size_t i = 0;
    while (i < p->n && p->at[i].id != node)
        i++;
    if (i == p->n && !go_branch(u, session, node))
        return;
    view_chat_goto(u->chat, node, needle);
    u->dirty = true;
}

/* ---- commands ---- */

/* Another version of the selected message. */
static void go_version(struct full *u, int by)
{
    struct hist_path all;
    struct err e;
    int64_t at = view_chat_selected(u->chat), session = chat_session(u->f.chat);
    if (!u->f.h || !session || at <= 0)
        return;
    if (hist_nodes(u->f.h, session, &all, &e)) {
        full_say(u, ROLE_ALERT, "%s", e.msg);
        return;
    }
    const struct hist_node *here = NULL, *there = NULL;
    for (size_t i = 0; i < all.n; i++)
        if (all.at[i].id == at)
            here = &all.at[i];
    for (size_t i = 0; here && i < all.n; i++)
        if (all.at[i].parent == here->parent && all.at[i].role == here->role && all.at[i].version == here->version + by)
            there = &all.at[i];
    int64_t to = there ? there->id : 0;
    hist_path_finish(&all);
    if (to && go_branch(u, session, to))
        view_chat_goto(u->chat, to, NULL);
    else if (!to)
        full_say(u, ROLE_WARN, by < 0 ? "this is the first version" : "this is the last version");
}

/* From the selected message back to the number that /edit counts with. */
static void edit_message(struct full *u)
{
    const struct hist_path *p = chat_path(u->f.chat);
    int64_t id = view_chat_selected(u->chat);
    int nth = 0;
    for (size_t i = p->n; i-- > 0;) {
        nth += p->at[i].role == HIST_USER;
        if (p->at[i].role == HIST_USER && (p->at[i].id == id || (i + 1 < p->n && p->at[i + 1].id == id))) {
            char line[32];
            snprintf(line, sizeof line, "/edit %d", nth);
            full_slash(u, line);
            view_chat_write(u->chat);
            return;
        }
    }
}

static void queue_back(struct full *u, bool drop)
{
    struct face *f = &u->f;
    if (!f->n_queue) {
        full_say(u, ROLE_WARN, "nothing is queued");
        return;
    }
    char *text = f->queue[--f->n_queue];
    if (drop) {
        prompt_remember(text);
        full_say(u, ROLE_GOOD, "dropped from the queue; a key Up brings it back");
    } else {
        face_restore(f, text);
    }
    free(text);
    f->draft_due_us = clock_mono_us();
}

static void copy_answer(struct full *u)
{
    size_t n;
    char *text = view_chat_answer(u->chat, false, &n);
    if (text)
        full_copy(u, "the answer", text, n);
    else
        full_say(u, ROLE_WARN, "there is no answer yet");
    free(text);
}

static void command_new(struct full *u)
{
    full_slash(u, "/new");
}

static void command_search(struct full *u)
{
    full_search(u, "");
}

static void command_regen(struct full *u)
{
    full_slash(u, "/regen");
}

static void command_fold(struct full *u)
{
    view_chat_fold(u->chat);
}

static void command_bare(struct full *u)
{
    view_chat_bare(u->chat);
}

static void command_queue(struct full *u)
{
    queue_back(u, false);
}

static void command_drop(struct full *u)
{
    queue_back(u, true);
}

static void command_paste(struct full *u)
{
    (void)u;
    editor_open_labels();
}

static void command_before(struct full *u)
{
    go_version(u, -1);
}

static void command_after(struct full *u)
{
    go_version(u, 1);
}

static const struct {
    const char *name;
    void (*run)(struct full *u);
} commands[] = {
    {"help", full_help}, {"new", command_new}, {"sessions", full_sessions}, {"search", command_search}, {"models", full_models},
    {"settings", full_settings}, {"branches", full_branches}, {"regen", command_regen}, {"regen-message", command_regen}, {"fold", command_fold}, {"bare", command_bare},
    {"copy", copy_answer}, {"queue-edit", command_queue}, {"queue-drop", command_drop}, {"editor", full_editor}, {"open-paste", command_paste},
    {"version-prev", command_before}, {"version-next", command_after}, {"edit-message", edit_message},
};

void full_command(struct full *u, const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name)) {
            commands[i].run(u);
            u->dirty = true;
            return;
        }
}

static void on_command(void *arg, const char *name)
{
    full_command(arg, name);
}

static char *on_complete(void *arg, const char *line, int start, const char *word, int i)
{
    return slash_complete(&((struct full *)arg)->f, line, start, word, i);
}

/* Commands that begin as the line does, while only its first word stands there. */
static const char *on_hint(void *arg, const char *line, int i)
{
    static char text[200];
    const struct slash *s;
    (void)arg;
    if (strchr(line, ' ') || strchr(line, '\n') || (line[1] && strchr(line + 1, '/')))
        return NULL;
    size_t n = strlen(line + 1);
    for (int k = 0; (s = slash_at(k)); k++) {
        if (strncmp(s->name, line + 1, n) != 0 || i--)
            continue;
        char left[64];
        snprintf(left, sizeof left, "/%s %s", s->name, s->args);
        snprintf(text, sizeof text, "%-24s  %s", left, s->help);
        return text;
    }
    return NULL;
}

/* ---- keys ---- */

static void interrupt(struct full *u)
{
    int64_t now = clock_mono_us();
    char *text;
    if (u->f.turn.phase != PHASE_IDLE) {
        u->f.turn.stopping = true;
        chat_stop(u->f.chat);
    } else if (view_chat_reading(u->chat)) {
        view_chat_write(u->chat);
    } else if ((text = editor_stash())) {
        if (*text && u->f.h && !hist_read_only(u->f.h))
            hist_input_add(u->f.h, chat_session(u->f.chat), text, NULL);
        full_say(u, ROLE_GOOD, u->f.edit ? "left as it was; a key Up brings the text back" : "put aside; a key Up brings it back");
        u->f.edit = 0;
        free(text);
        u->f.draft_due_us = now;
    } else if (u->f.edit) {
        u->f.edit = 0;
        full_say(u, ROLE_GOOD, "left as it was");
    } else if (now - u->interrupt_us < TWICE_US) {
        u->f.leave = 0;
    } else {
        u->interrupt_us = now;
        full_say(u, ROLE_GOOD, "C-d leaves, F1 helps");
    }
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* What was typed before: not at the start, which is to be quick, but when it is asked for, or nothing else is to do. */
static void load_history(struct full *u)
{
    if (u->history_there)
        return;
    u->history_there = true;
    face_load_history(&u->f, HISTORY_MOST);
    u->since_us = cpu_us();
}

static void on_key(struct full *u, const struct input_event *e)
{
    static const char *const keys[][2] = {{"F1", "help"}, {"F2", "sessions"}, {"F3", "search"}, {"F4", "models"}};
    struct view *v = top(u);
    u->dirty = true;
    u->f.draft_due_us = clock_mono_us() + FACE_DRAFT_REST_US;
    if (key_is(e, "C-z") && !u->script) {
        face_save_draft(&u->f);
        term_suspend();
        return;
    }
    if (key_is(e, "C-\\"))
        raise(SIGQUIT);
    if (key_is(e, "C-l")) {
        term_redraw();
        return;
    }
    if (key_in(e, "Up C-p C-r C-s Esc M-< M-p Enter C-c"))
        load_history(u);
    if (key_is(e, "C-c") && v == u->chat) {
        interrupt(u);
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (key_is(e, keys[i][0]) && v == u->chat) {
            full_command(u, keys[i][1]);
            return;
        }
    if (view_key(v, e) == VIEW_CLOSE && top(u) == v)
        full_pop(u);
}

static void on_event(struct full *u, const struct input_event *e)
{
    switch (e->kind) {
    case INPUT_REPLY: u->dirty |= term_reply(e->text); break;
    case INPUT_FOCUS_IN: u->unfocused = false; break;
    case INPUT_FOCUS_OUT: u->unfocused = true; break;
    case INPUT_KEY:
    case INPUT_PASTE:
    case INPUT_WHEEL: on_key(u, e); break;
    }
}

static void take_input(struct full *u, const char *bytes, size_t n)
{
    struct input_event e;
    if (n)
        input_feed(u->in, bytes, n, clock_mono_us());
    while (u->f.leave < 0 && input_next(u->in, &e, clock_mono_us())) {
        on_event(u, &e);
        input_event_finish(&e);
    }
}

static void read_terminal(struct full *u)
{
    char bytes[65536];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n && u->typed_ahead; i++, u->typed_ahead--)
        if (bytes[i] == '\n')
            bytes[i] = '\r';
    if (n > 0)
        take_input(u, bytes, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        u->f.leave = n == 0 ? 0 : 128 + SIGHUP; /* the terminal is gone */
}

/* ---- the loop ---- */

static void paint(struct full *u)
{
    struct area all = {0, 0, surface_rows(u->s), surface_cols(u->s)};
    full_status(u);
    surface_links_reset(u->s);
    view_draw(top(u), u->s, all);
    u->dirty = u->fresh = false;
    u->painted_us = clock_mono_us();
    if (u->script)
        return;
    term_show(u->s);
    struct buf text = BUF_INIT((size_t)1 << 20), clean = BUF_INIT((size_t)1 << 20);
    view_chat_screen(u->chat, &text);
    sane_text(&clean, buf_str(&text), text.len);
    term_farewell(buf_str(&clean), clean.len);
    buf_finish(&text);
    buf_finish(&clean);
}

static void resize(struct full *u, int rows, int cols)
{
    surface_resize(u->s, rows, cols);
    u->dirty = true;
}

static void take_signals(struct full *u)
{
    for (int sig; (sig = sig_take());) {
        int rows, cols;
        if (sig == SIGINT) {
            struct input_event e = {.kind = INPUT_KEY, .name = "C-c", .bytes = "\x03", .n_bytes = 1};
            on_key(u, &e);
        } else if (sig == SIGTERM || sig == SIGHUP) {
            u->f.leave = 128 + sig;
        } else if (sig == SIGTSTP) {
            term_suspend();
            u->dirty = true;
        } else if (sig == SIGWINCH || sig == SIGCONT) {
            if (sig == SIGCONT && !u->script)
                term_continue();
            term_resized();
            term_size(&rows, &cols);
            if (!u->script)
                resize(u, rows, cols);
        }
    }
}

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int until_ms(int64_t at_us)
{
    int64_t left = at_us - clock_mono_us();
    return left > 0 ? (int)(left / 1000 + 1) : 0;
}

static int64_t frame_us(void)
{
    return getenv("SSH_CONNECTION") ? FRAME_SSH_US : FRAME_US;
}

static int timeout_ms(const struct full *u)
{
    int ms = sooner(chat_timeout_ms(u->f.chat), input_timeout_ms(u->in, clock_mono_us()));
    ms = sooner(ms, view_tick_ms(top(u)));
    if (u->f.turn.phase != PHASE_IDLE)
        ms = sooner(ms, TICK_MS);
    if (u->fresh)
        ms = sooner(ms, until_ms(u->painted_us + frame_us()));
    if (u->f.draft_due_us)
        ms = sooner(ms, until_ms(u->f.draft_due_us));
    return u->script ? sooner(ms, 2) : ms;
}

/* The script's next keys, and the size it wants. */
static void read_script(struct full *u)
{
    struct buf keys = BUF_INIT((size_t)16 << 20);
    int rows, cols;
    bool idle = u->f.turn.phase == PHASE_IDLE && !u->f.n_queue && !u->f.turn.over;
    if (u->dirty || u->fresh)
        paint(u);
    bool more = script_next(u->script, u->s, idle, &keys, &rows, &cols);
    if (rows != surface_rows(u->s) || cols != surface_cols(u->s))
        resize(u, rows, cols);
    if (keys.len)
        take_input(u, keys.data, keys.len);
    buf_finish(&keys);
    if (!more && u->f.leave < 0)
        u->f.leave = 0;
}

static void wait_and_work(struct full *u, int sig_fd)
{
    struct pollfd p[3] = {{.fd = u->script ? -1 : STDIN_FILENO, .events = POLLIN}, {.fd = sig_fd, .events = POLLIN},
                          {.fd = chat_fd(u->f.chat), .events = POLLIN}};
    int n = poll(p, 3, timeout_ms(u));
    if (n < 0 && errno != EINTR) {
        u->f.leave = 1;
        return;
    }
    if (u->script)
        read_script(u);
    if (n > 0 && p[0].revents)
        read_terminal(u);
    else
        take_input(u, NULL, 0); /* a key Esc, by time */
    take_signals(u);
    if (u->f.turn.phase != PHASE_IDLE || (n > 0 && p[2].revents))
        chat_work(u->f.chat);
    if (u->f.turn.phase != PHASE_IDLE && clock_mono_us() - u->painted_us >= TICK_MS * 1000)
        u->fresh = true;
    if (view_tick(top(u)))
        u->dirty = true;
    if (u->f.draft_due_us && clock_mono_us() >= u->f.draft_due_us) {
        face_save_draft(&u->f);
        load_history(u);
    }
}

/* A turn of the loop that computed for too long would be felt while typing. */
static void check_time(struct full *u)
{
    int64_t now = cpu_us();
    if (now - u->since_us > SLOW_US) {
        log_say("full screen: %d ms between two looks at the keys", (int)((now - u->since_us) / 1000));
        DASSERT(!"the full screen was busy for too long");
    }
    u->since_us = now;
}

static void loop(struct full *u, int sig_fd)
{
    u->since_us = cpu_us();
    while (u->f.leave < 0) {
        check_time(u);
        if (u->f.turn.over)
            end_turn(u);
        if (u->f.turn.phase == PHASE_IDLE && u->f.n_queue && !u->f.edit && !u->f.restore)
            take_queued(u);
        restore(u);
        bool due = u->fresh && clock_mono_us() - u->painted_us >= frame_us() && (u->script || !term_congested());
        if (u->dirty || due)
            paint(u);
        wait_and_work(u, sig_fd);
    }
}

/* ---- beginning and end ---- */

static int begin(struct full *u)
{
    struct buf b = BUF_INIT(1 << 20);
    bool go_on;
    term_catch(&b, 1000);
    int status = face_first_session(&u->f, &go_on);
    char *path = NULL;
    struct err e;
    if (!status && conf_model_path(u->f.conf->model, &path, &e) && !getenv("HADAL_ENGINE"))
        report(&e);
    free(path);
    term_catch(NULL, 0);
    if (status) { /* said on the normal screen, later */
        u->raw = b;
        return status;
    }
    full_sync(u);
    show_caught(u, "", &b, false);
    buf_finish(&b);
    use_theme(u);
    restore(u);
    paint(u);
    u->f.draft_due_us = clock_mono_us() + FACE_DRAFT_REST_US;
    return 0;
}

static void leave(struct full *u)
{
    face_save_draft(&u->f);
    u->dirty = true;
    if (chat_busy(u->f.chat))
        view_chat_say(u->chat, "stopping and saving", ROLE_GOOD);
    paint(u);
    face_settle(&u->f);
    full_sync(u);
    paint(u);
}

static void finish(struct full *u)
{
    while (u->n_stack)
        view_destroy(u->stack[--u->n_stack]);
    full_sessions_finish();
    full_tree_finish();
    full_models_finish();
    view_destroy(u->chat);
    surface_destroy(u->s);
    input_destroy(u->in);
    script_close(u->script);
    free(u->model);
    for (size_t i = 0; i < u->n_known; i++) {
        free(u->known[i].name);
        free(u->known[i].thought);
        free(u->known[i].note);
    }
    free(u->known);
    buf_finish(&u->raw);
    face_finish(&u->f);
}

static int converse(struct full *u, int sig_fd)
{
    const struct view_chat_conf view = {.arg = u, .copy = full_copy, .pipe = full_pipe, .pager = full_pager, .save = full_save,
                                        .command = on_command, .hint = on_hint};
    const struct editor_conf box = {.arg = u, .submit = on_submit, .eof = on_eof, .command = on_command, .complete = on_complete};
    int rows, cols;
    if (u->script)
        script_size(u->script, &rows, &cols);
    else
        term_size(&rows, &cols);
    u->s = surface_create(rows, cols);
    u->in = input_create(getenv("SSH_CONNECTION") ? ESCAPE_SSH_MS : ESCAPE_MS);
    u->chat = view_chat(&view);
    u->raw = BUF_INIT((size_t)1 << 30);
    if (editor_open(&box))
        return err_exit_status(ERR_IO);
    int status = begin(u);
    if (status == 0) {
        loop(u, sig_fd);
        leave(u);
        status = u->f.leave;
    }
    editor_close();
    return status;
}

int face_full(struct conf *conf, struct hist *h)
{
    struct err e;
    struct full u = {.f = {.conf = conf, .h = h, .leave = -1, .draft = mem_strdup("")}};
    const struct chat_face heard = {.arg = &u, .load = on_load, .prefill = on_prefill, .text = on_text, .thought = on_thought,
                                    .prompt = on_prompt, .model = on_model, .end = on_end, .notice = on_notice};
    int status, sig_fd = -1;
    if (script_open(&u.script, &e) || (sig_fd = sig_open(!u.script, term_restore, &e)) < 0 || chat_create(conf, h, &heard, &u.f.chat, &e)) {
        status = report(&e);
    } else if (!u.script && term_open(THEME_AUTO, &e)) {
        notice("%s; going on line by line", e.msg);
        status = -1;
    } else {
        int waiting = 0;
        if (!u.script && ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting > 0)
            u.typed_ahead = (size_t)waiting;
        err_on_panic(term_restore);
        status = converse(&u, sig_fd);
        term_close();
        err_on_panic(NULL);
        if (status && u.raw.len)
            term_raw(TERM_ERR, u.raw.data, u.raw.len);
    }
    chat_destroy(u.f.chat);
    sig_close();
    finish(&u);
    return status;
}
