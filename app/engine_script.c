/*
 * The scripted engine of the tests: HADAL_ENGINE=script:FILE. It answers by a timetable, without a model and without a process.
 *
 * The file is a list of commands, one a line; # begins a comment. A job runs the commands up to and with the next `done`, `error` or
 * `die`; the next job goes on behind it, and at the end of the file the first line follows (so that a file without `done` answers every
 * job alike). A job that is cancelled, or reaches its limit of tokens, ends there and leaves the rest of its commands out. Texts
 * stand in double quotes with \n \t \" \\ and \xHH.
 *
 *   model NAME             what the model is called (from here on; "scripted")
 *   context N              positions of the context (from here on; what the job asks for, or 4096)
 *   load MS [BYTES]        loads for MS milliseconds, with progress (100000000 bytes)
 *   read MS N [REUSED]     reads a prompt of N tokens for MS milliseconds, of which REUSED were known; `prefill` is the same
 *   pace MS [BYTES]        from here on a text comes in pieces of BYTES bytes, whole characters (0: word by word), one every MS
 *                          milliseconds; at first it comes at once. A piece counts as one token
 *   text "..."             a part of the answer
 *   thought "..."          a part of its reasoning
 *   echo                   text: the newest message
 *   messages               text: each message as "role: text" and a newline
 *   wait MS
 *   stall                  nothing more until the job is cancelled
 *   usage KEY N            sets one of the numbers of the end: n_prompt n_cached n_out n_used n_ctx load_ms prefill_ms ttft_ms decode_ms
 *   done [STOP]            the answer is complete ("eog")
 *   error CODE "..."       the job fails; CODE is io, nomodel, format, toolong or input
 *   die [SIGNAL]           the engine dies (of signal 9)
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/engine_impl.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/path.h"
#include "base/utf8.h"

#define STEP_MS 10 /* between two events of progress */
#define MAX_FILE (4u << 20)

enum op { MODEL, CONTEXT, LOAD, READ, PACE, TEXT, THOUGHT, ECHO_LAST, MESSAGES, WAIT, STALL, USAGE, DONE, FAIL, DIE };

static const struct op_row {
    const char *name;
    enum op op;
    int min, max;     /* numbers */
    bool word, quote; /* takes a word first; takes a text last */
} table[] = {
    {"model", MODEL, 0, 0, true, false},  {"context", CONTEXT, 1, 1, false, false}, {"load", LOAD, 1, 2, false, false},
    {"read", READ, 2, 3, false, false},   {"prefill", READ, 2, 3, false, false},    {"pace", PACE, 1, 2, false, false},
    {"text", TEXT, 0, 0, false, true},    {"thought", THOUGHT, 0, 0, false, true},  {"echo", ECHO_LAST, 0, 0, false, false},
    {"messages", MESSAGES, 0, 0, false, false}, {"wait", WAIT, 1, 1, false, false}, {"stall", STALL, 0, 0, false, false},
    {"usage", USAGE, 1, 1, true, false},  {"done", DONE, 0, 0, true, false},        {"error", FAIL, 0, 0, true, true},
    {"die", DIE, 0, 1, false, false},
};

static const struct {
    const char *name;
    int code;
} codes[] = {{"io", ERR_IO}, {"nomodel", ERR_NOMODEL}, {"format", ERR_FORMAT}, {"toolong", ERR_TOOLONG}, {"input", ERR_INPUT}};

struct cmd_line {
    enum op op;
    int n_num;
    uint64_t num[3];
    char *word, *text;
    size_t n;
};

struct script {
    struct engine base;
    struct cmd_line *cmd;
    size_t n_cmd, cap_cmd;
    /* from here on */
    const char *model;
    int n_ctx;
    uint64_t pace_ms, pace_bytes;
    /* the running job */
    struct job *job;
    size_t from, at;    /* its first command; the next one */
    int64_t t0, due;    /* its time began; nothing happens before; due -1: stall */
    bool begun;         /* of the command at `at`: it has begun, `pos` says how far it is */
    uint64_t pos;
    struct buf text;    /* of echo and messages */
    bool told;          /* EV_MODEL is out */
    struct gen_stats stats;
};

/* ---- the file ---- */

static char *next_word(char **p)
{
    char *s = *p + strspn(*p, " \t");
    size_t n = strcspn(s, " \t");
    if (!n)
        return NULL;
    *p = s[n] ? s + n + 1 : s + n;
    s[n] = 0;
    return s;
}

static bool read_quoted(char *p, struct cmd_line *c)
{
    struct buf b = BUF_INIT(MAX_FILE);
    p += strspn(p, " \t");
    bool ok = *p == '"';
    for (p++; ok && *p && *p != '"'; p++) {
        char x = *p;
        if (x == '\\') {
            x = *++p;
            if (x == 'n') {
                x = '\n';
            } else if (x == 't') {
                x = '\t';
            } else if (x == 'x') {
                unsigned v;
                char hex[3] = {p[1], p[1] ? p[2] : 0, 0};
                ok = strspn(hex, "0123456789abcdefABCDEF") == 2 && sscanf(hex, "%x", &v) == 1;
                x = ok ? (char)v : 0;
                p += ok ? 2 : 0;
            } else {
                ok = x == '"' || x == '\\';
            }
        }
        if (ok)
            buf_addch(&b, x);
    }
    ok = ok && *p == '"' && p[1 + strspn(p + 1, " \t")] == 0;
    c->n = b.len;
    c->text = buf_take(&b);
    return ok;
}

/* One line; false: it is wrong. */
static bool read_line(struct script *s, char *line)
{
    const struct op_row *row = NULL;
    char *p = line, *name = next_word(&p);
    if (!name || *name == '#')
        return true;
    for (size_t i = 0; i < sizeof table / sizeof *table && !row; i++)
        row = strcmp(table[i].name, name) == 0 ? &table[i] : NULL;
    if (!row)
        return false;
    if (s->n_cmd == s->cap_cmd) {
        s->cap_cmd = s->cap_cmd * 2 + 16;
        s->cmd = mem_grow(s->cmd, s->cap_cmd, sizeof *s->cmd);
    }
    struct cmd_line *c = &s->cmd[s->n_cmd++];
    *c = (struct cmd_line){.op = row->op};
    char *word = row->word ? next_word(&p) : NULL;
    if (word && *word == '#')
        return row->op == DONE;
    if (row->word && !word && row->op != DONE)
        return false;
    c->word = mem_strdup(word);
    if (row->quote)
        return read_quoted(p, c);
    for (char *w; (w = next_word(&p)) && *w != '#';) {
        if (c->n_num >= row->max || !num_parse_u64(w, &c->num[c->n_num]) || c->num[c->n_num] > INT32_MAX)
            return false;
        c->n_num++;
    }
    return c->n_num >= row->min;
}

static int *count_named(struct gen_stats *s, const char *name)
{
    return strcmp(name, "n_prompt") == 0 ? &s->n_prompt : strcmp(name, "n_cached") == 0 ? &s->n_cached : strcmp(name, "n_out") == 0 ? &s->n_out :
           strcmp(name, "n_used") == 0   ? &s->n_used   : strcmp(name, "n_ctx") == 0    ? &s->n_ctx    : NULL;
}

static double *time_named(struct gen_stats *s, const char *name)
{
    return strcmp(name, "load_ms") == 0   ? &s->load_ms :
           strcmp(name, "prefill_ms") == 0 ? &s->prefill_ms :
           strcmp(name, "ttft_ms") == 0   ? &s->ttft_ms :
           strcmp(name, "decode_ms") == 0 ? &s->decode_ms : NULL;
}

static int code_named(const char *name)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].name, name) == 0)
            return codes[i].code;
    return 0;
}

/* What words may be. */
static bool check(const struct cmd_line *c)
{
    struct gen_stats s;
    if (c->op == USAGE)
        return count_named(&s, c->word) || time_named(&s, c->word);
    if (c->op == FAIL)
        return code_named(c->word) != 0;
    if (c->op == DONE && c->word)
        return strlen(c->word) < sizeof ((struct event *)0)->stop;
    return true;
}

/* ---- running ---- */

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

static struct event *begin_event(struct script *s, enum ev_kind kind)
{
    struct event *e = event_new(kind, s->base.last_job);
    if (kind < EV_DONE)
        return e;
    if (!s->stats.n_used)
        s->stats.n_used = s->stats.n_prompt + s->stats.n_out;
    e->stats = s->stats;
    return e;
}

/* The job is over: the next one begins behind the command that ends this one. */
static void leave(struct script *s)
{
    while (s->at < s->n_cmd && s->cmd[s->at].op != DONE && s->cmd[s->at].op != FAIL && s->cmd[s->at].op != DIE)
        s->at++;
    s->at++;
    job_free(s->job);
    s->job = NULL;
    buf_reset(&s->text);
}

static void end_job(struct script *s, struct event *last, const char *stop)
{
    snprintf(last->stop, sizeof last->stop, "%s", stop);
    leave(s);
    engine_emit(&s->base, last);
}

static void tell_model(struct script *s)
{
    struct event *e = begin_event(s, EV_MODEL);
    e->name = mem_strdup(s->model);
    e->fingerprint = mem_printf("scripted-%s", s->model);
    e->arch = mem_strdup("script");
    e->quant = mem_strdup("none");
    e->backend = mem_strdup("script");
    e->template_sha = mem_strdup("");
    e->engine = mem_strdup("hadal " PACKAGE_VERSION " script");
    e->n_ctx_train = e->n_ctx = s->stats.n_ctx;
    e->sampler = s->job->sampler;
    s->told = true;
    engine_emit(&s->base, e);
}

static void messages(struct script *s, struct buf *out, const char *before, const char *between, const char *behind)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < s->job->n_msgs; i++) {
        buf_addf(out, "%s%s%s", before, roles[s->job->msgs[i].role], between);
        buf_add(out, s->job->msgs[i].text, s->job->msgs[i].n);
        buf_addstr(out, behind);
    }
}

/* Bytes of the next piece of a text. */
static size_t piece(const struct script *s, const char *p, size_t n)
{
    size_t k = 0, len;
    if (!s->pace_ms)
        return n;
    if (s->pace_bytes) {
        while (k < n && k < s->pace_bytes) {
            utf8_decode(p + k, n - k, &len);
            k += len;
        }
        return k;
    }
    while (k < n && p[k] != ' ' && p[k] != '\n')
        k++;
    while (k < n && (p[k] == ' ' || p[k] == '\n'))
        k++;
    return k;
}

/* One piece; true when that was all of the text. */
static bool say(struct script *s, enum ev_kind kind, const char *p, size_t n)
{
    size_t len = piece(s, p + s->pos, n - s->pos);
    if (len) {
        struct event *e = begin_event(s, kind);
        e->text = mem_strndup(p + s->pos, len);
        e->n = len;
        if (s->stats.n_out++ == 0)
            s->stats.ttft_ms = (double)(now_ms() - s->t0);
        s->stats.n_reason += kind == EV_THOUGHT;
        e->done = (uint64_t)s->stats.n_out;
        e->total = (uint64_t)(s->stats.n_prompt + s->stats.n_out);
        engine_emit(&s->base, e);
        s->due += (int64_t)s->pace_ms;
    }
    s->pos += len;
    return s->pos >= n;
}

/* One step of progress over num[0] milliseconds; true at the end. */
static bool progress(struct script *s, enum ev_kind kind, const struct cmd_line *c, uint64_t from, uint64_t total)
{
    struct event *e = begin_event(s, kind);
    uint64_t ms = c->num[0], left = total - from;
    e->done = from + (ms ? (uint64_t)((double)left * (double)s->pos / (double)ms) : left);
    e->total = total;
    e->reused = (int)from;
    engine_emit(&s->base, e);
    if (s->pos >= ms)
        return true;
    uint64_t step = ms - s->pos < STEP_MS ? ms - s->pos : STEP_MS;
    s->pos += step;
    s->due += (int64_t)step;
    return false;
}

static void fail_job(struct script *s, const struct cmd_line *c)
{
    struct event *e = begin_event(s, EV_ERROR);
    err_set(&e->err, code_named(c->word), "%s", c->text);
    end_job(s, e, "error");
}

static void die(struct script *s, const struct cmd_line *c)
{
    char text[64];
    snprintf(text, sizeof text, "the engine stopped (signal %d)", c->n_num ? (int)c->num[0] : 9);
    s->base.seen = s->stats;
    leave(s);
    engine_emit_death(&s->base, text);
}

/* A command, or a part of it; true when it is done. The job may be over then. */
static bool run(struct script *s, const struct cmd_line *c)
{
    struct gen_stats *st = &s->stats;
    switch (c->op) {
    case MODEL:
        s->model = c->word;
        return true;
    case CONTEXT:
        s->n_ctx = st->n_ctx = (int)c->num[0];
        return true;
    case LOAD:
        st->load_ms = (double)c->num[0];
        return progress(s, EV_LOAD, c, 0, c->n_num > 1 ? c->num[1] : 100000000);
    case READ:
        st->prefill_ms = (double)c->num[0];
        st->n_prompt = (int)c->num[1];
        st->n_cached = c->n_num > 2 && c->num[2] < c->num[1] ? (int)c->num[2] : 0;
        return progress(s, EV_PREFILL, c, (uint64_t)st->n_cached, c->num[1]);
    case PACE:
        s->pace_ms = c->num[0];
        s->pace_bytes = c->n_num > 1 ? c->num[1] : 0;
        return true;
    case TEXT:
    case THOUGHT:
        return say(s, c->op == TEXT ? EV_TEXT : EV_THOUGHT, c->text, c->n);
    case ECHO_LAST:
        if (!s->begun && s->job->n_msgs)
            buf_add(&s->text, s->job->msgs[s->job->n_msgs - 1].text, s->job->msgs[s->job->n_msgs - 1].n);
        break;
    case MESSAGES:
        if (!s->begun)
            messages(s, &s->text, "", ": ", "\n");
        break;
    case WAIT:
        if (!s->begun)
            s->due += (int64_t)c->num[0];
        return s->pos++ > 0;
    case STALL:
        s->due = -1;
        return false;
    case USAGE:
        if (count_named(st, c->word))
            *count_named(st, c->word) = (int)c->num[0];
        else
            *time_named(st, c->word) = (double)c->num[0];
        return true;
    case DONE:
        end_job(s, begin_event(s, EV_DONE), c->word ? c->word : "eog");
        return false;
    case FAIL:
        fail_job(s, c);
        return false;
    case DIE:
        die(s, c);
        return false;
    }
    s->begun = true;
    if (!say(s, EV_TEXT, buf_str(&s->text), s->text.len))
        return false;
    buf_reset(&s->text);
    return true;
}

static void prompt_only(struct script *s)
{
    struct buf b = BUF_INIT(MAX_FILE);
    struct event *e = begin_event(s, EV_PROMPT), *last;
    s->at = s->from; /* the next job answers what this one would have */
    messages(s, &b, "<|im_start|>", "\n", "<|im_end|>\n");
    buf_addstr(&b, "<|im_start|>assistant\n");
    e->n = b.len;
    e->text = buf_take(&b);
    engine_emit(&s->base, e);
    last = begin_event(s, EV_DONE);
    snprintf(last->stop, sizeof last->stop, "eog");
    job_free(s->job);
    s->job = NULL;
    engine_emit(&s->base, last);
}

static void work(struct engine *e)
{
    struct script *s = (struct script *)e;
    if (s->job && e->cancelled) {
        end_job(s, begin_event(s, EV_CANCELLED), "cancelled");
        return;
    }
    while (s->job && s->due >= 0 && s->due <= now_ms()) {
        const struct cmd_line end = {.op = DONE}, *c = s->at < s->n_cmd ? &s->cmd[s->at] : &end;
        if (!s->told && c->op != MODEL && c->op != CONTEXT && c->op != LOAD && c->op != WAIT && c->op != STALL && c->op != USAGE && c->op != PACE) {
            tell_model(s);
            if (s->job->prompt_only) {
                prompt_only(s);
                return;
            }
        }
        if (run(s, c)) {
            s->at++;
            s->begun = false;
            s->pos = 0;
        } else {
            s->begun = true;
        }
        if (s->job && s->job->max_tokens && s->stats.n_out >= s->job->max_tokens)
            end_job(s, begin_event(s, EV_DONE), "length");
    }
}

static int submit(struct engine *e, struct job *j, struct err *err)
{
    struct script *s = (struct script *)e;
    (void)err;
    s->job = j;
    s->from = s->at = s->at < s->n_cmd ? s->at : 0;
    s->begun = s->told = false;
    s->pos = 0;
    s->t0 = s->due = now_ms();
    s->stats = (struct gen_stats){.n_ctx = s->n_ctx ? s->n_ctx : j->n_ctx ? j->n_ctx : 4096};
    for (size_t i = 0; i < j->n_msgs; i++)
        s->stats.n_prompt += 4 + (int)(j->msgs[i].n / 4);
    return 0;
}

static void cancel(struct engine *e)
{
    struct script *s = (struct script *)e;
    s->due = now_ms();
}

static int poll_fd(const struct engine *e)
{
    (void)e;
    return -1;
}

static int timeout_ms(const struct engine *e)
{
    const struct script *s = (const struct script *)e;
    if (!s->job || s->due < 0)
        return -1;
    int64_t left = s->due - now_ms();
    return left > 0 ? (int)left : 0;
}

static int pid(const struct engine *e)
{
    (void)e;
    return -1;
}

static void destroy(struct engine *e)
{
    struct script *s = (struct script *)e;
    for (size_t i = 0; i < s->n_cmd; i++) {
        free(s->cmd[i].word);
        free(s->cmd[i].text);
    }
    free(s->cmd);
    job_free(s->job);
    buf_finish(&s->text);
    free(s);
}

int engine_script_create(const char *file, struct engine **out, struct err *err)
{
    static const struct engine_ops ops = {submit, cancel, work, poll_fd, timeout_ms, pid, destroy};
    struct buf b = BUF_INIT(MAX_FILE);
    if (path_read(file, &b, err)) {
        buf_finish(&b);
        return err ? err->code : ERR_INPUT;
    }
    struct script *s = mem_zalloc(sizeof *s);
    *s = (struct script){.base = {.ops = &ops}, .model = "scripted", .text = BUF_INIT(MAX_FILE)};
    int rc = 0, n = 1;
    char *text = buf_take(&b), *line = text;
    for (char *end; !rc && line && *line; line = end ? end + 1 : NULL, n++) {
        end = strchr(line, '\n');
        if (end)
            *end = 0;
        size_t before = s->n_cmd;
        if (!read_line(s, line) || (s->n_cmd > before && !check(&s->cmd[before])))
            rc = err_set(err, ERR_USAGE, "%s:%d: not a command of a scripted engine, or not with these words", file, n);
    }
    free(text);
    if (rc)
        destroy(&s->base);
    else
        *out = &s->base;
    return rc;
}
