/*
 * The engine process: `hadal --engine-fd N`, the other end of app/engine_proc.c.
 *
 * Two threads. The control thread reads frames: a job is handed over, a cancellation sets a number that the generation asks for between
 * layers, and the end of the socket means to leave. The generation thread (the main one) runs one job at a time and writes all
 * frames. A model stays open for the next job, and with it the session: its timeline, so that a conversation's next turn reads only
 * what is new.
 *
 * The process writes to nothing but its socket and the log (which standard error is, when there is one). It is confined
 * before it reads the first byte of a model.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/app.h"
#include "app/engine_impl.h"
#include "app/frame.h"
#include "app/reason.h"
#include "app/sandbox.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "model/grammar.h"
#include "model/model.h"
#include "model/sampler_conf.h"
#include "model/template.h"

#define PROGRESS_US 50000 /* between two events of progress */
#define TEXT_US 20000     /* between two events of text */
#define LEAVE_S 1         /* for the generation to notice that the face is gone */

struct server {
    int fd;
    pthread_mutex_t lock; /* of next, done */
    pthread_cond_t wake;
    struct job *next;
    bool done; /* the generation thread has left its loop */
    atomic_bool leave;
    atomic_uint_fast64_t cancelled; /* newest job that was */
    /* the rest is the generation thread's */
    struct frame_out out;
    struct model *model;
    char *path;
    int n_threads, n_ctx; /* as they were asked for */
    struct session *session;
    size_t longest; /* bytes of the longest token */
    struct grammar_vocab *vocab; /* made for the first grammar */
};

/* A job while it runs. */
struct run {
    struct server *s;
    const struct job *job;
    int64_t t0, told; /* microseconds: it came; the last event of progress */
    struct gen_stats st;
    struct buf prompt;
    struct tok_span *spans;
    size_t n_spans;
    struct tok_ids ids;
    struct sampler_conf sampling; /* the job's, with what the model's file recommends */
    struct sampler *sampler;
    struct grammar *grammar; /* NULL: the answer is free */
    struct matcher *matcher;
    float *masked; /* logits */
    /* what the answer says */
    int32_t open, close; /* ids of the thinking tags, or -1 */
    struct utf8_wait wait;
    struct reason reason;
    struct buf bytes, whole, thought, text;
    bool said; /* a text is out; the last one at `told` */
};

static double ms_since(int64_t us)
{
    return (double)(clock_mono_us() - us) / 1000;
}

/* ---- events ---- */

static bool stopped(const struct run *r)
{
    return atomic_load_explicit(&r->s->leave, memory_order_relaxed) || atomic_load_explicit(&r->s->cancelled, memory_order_relaxed) >= r->job->id;
}

static void send_event(struct run *r, struct event *e)
{
    e->job = r->job->id;
    frame_put_event(&r->s->out.b, e);
    if (!frame_send(r->s->fd, &r->s->out))
        atomic_store(&r->s->leave, true);
}

static void tell_progress(struct run *r, enum ev_kind kind, uint64_t done, uint64_t total, int reused)
{
    r->told = clock_mono_us();
    send_event(r, &(struct event){.kind = kind, .done = done, .total = total, .reused = reused});
}

static bool on_load(void *arg, uint64_t done, uint64_t total)
{
    struct run *r = arg;
    if (clock_mono_us() - r->told >= PROGRESS_US)
        tell_progress(r, EV_LOAD, done, total, 0);
    return !stopped(r);
}

/* The first call comes before anything was read: `done` is what was known. */
static bool on_read(void *arg, int done, int total)
{
    struct run *r = arg;
    if (r->st.n_cached < 0)
        r->st.n_cached = done;
    if (clock_mono_us() - r->told >= PROGRESS_US || done == total)
        tell_progress(r, EV_PREFILL, (uint64_t)done, (uint64_t)total, r->st.n_cached);
    return !stopped(r);
}

static bool on_step(void *arg, int done, int total)
{
    (void)done;
    (void)total;
    return !stopped(arg);
}

static void tell_model(struct run *r)
{
    const struct model_info *m = model_info(r->s->model);
    char *engine = mem_printf("hadal %s %s", PACKAGE_VERSION, m->backend_text ? m->backend_text : m->backend);
    struct event e = {.kind = EV_MODEL, .name = (char *)m->name, .fingerprint = (char *)m->fingerprint, .arch = (char *)m->arch,
                      .quant = (char *)m->quant, .backend = (char *)m->backend, .template_sha = (char *)m->template_sha, .engine = engine,
                      .n_ctx_train = m->n_ctx_train, .n_ctx = r->st.n_ctx, .sampler = r->sampling};
    send_event(r, &e);
    free(engine);
}

/* ---- model and session ---- */

static void drop_model(struct server *s)
{
    session_destroy(s->session);
    grammar_vocab_free(s->vocab);
    model_close(s->model);
    free(s->path);
    s->session = NULL;
    s->vocab = NULL;
    s->model = NULL;
    s->path = NULL;
}

static size_t longest_token(const struct tok *t)
{
    struct buf b = BUF_INIT(1 << 20);
    size_t max = 1;
    for (int32_t i = 0; i < tok_count(t); i++) {
        buf_reset(&b);
        tok_decode(t, i, true, &b);
        max = b.len > max ? b.len : max;
    }
    buf_finish(&b);
    return max;
}

static int keep_model(struct run *r, struct err *err)
{
    struct server *s = r->s;
    const struct job *j = r->job;
    if (!j->model_path)
        return err_set(err, ERR_NOMODEL, "the job names no model");
    if (s->model && strcmp(s->path, j->model_path) == 0 && s->n_threads == j->n_threads && gguf_unchanged(model_gguf(s->model)))
        return 0;
    drop_model(s);
    r->told = clock_mono_us();
    int rc = model_open(j->model_path, &(struct model_conf){.n_threads = j->n_threads, .progress = on_load, .arg = r, .n_ctx = j->n_ctx}, &s->model, err);
    if (rc)
        return rc;
    s->path = mem_strdup(j->model_path);
    s->n_threads = j->n_threads;
    s->longest = longest_token(model_tok(s->model));
    r->st.load_ms = ms_since(r->t0);
    log_say("engine: %s in %.0f ms", s->path, r->st.load_ms);
    return 0;
}

static int keep_session(struct run *r, struct err *err)
{
    struct server *s = r->s;
    if (!s->session || s->n_ctx != r->job->n_ctx) {
        session_destroy(s->session);
        s->session = NULL;
        int rc = session_create(s->model, &(struct session_conf){.n_ctx = r->job->n_ctx}, &s->session, err);
        if (rc)
            return rc;
        s->n_ctx = r->job->n_ctx;
    }
    r->st.n_ctx = session_ctx(s->session);
    return 0;
}

/* ---- the prompt ---- */

/* The token's text, NULL for none. */
static char *token_text(const struct tok *t, int32_t id)
{
    struct buf b = BUF_INIT(1 << 20);
    if (id < 0)
        return NULL;
    tok_decode(t, id, true, &b);
    return buf_take(&b);
}

/* at_least: `n` is a lower bound. */
static int too_long(const struct run *r, bool at_least, size_t n, struct err *err)
{
    bool chat = false;
    for (size_t i = 0; i < r->job->n_msgs; i++)
        chat = chat || r->job->msgs[i].role == 2;
    return err_set(err, ERR_TOOLONG, "the %s too long: %s%zu tokens, and the context holds %d with the answer; %s, or give more room with --ctx",
                   chat ? "chat with this prompt is" : "prompt is", at_least ? "at least " : "", n, r->st.n_ctx,
                   chat ? "begin a new chat, shorten the prompt" : "shorten it");
}

/* A text that cannot fit is refused by its size: copying 100 MB and reading them into tokens takes a while. */
static int check_size(const struct run *r, size_t bytes, struct err *err)
{
    size_t least = bytes / r->s->longest;
    return least > (size_t)r->st.n_ctx - 1 && !r->job->prompt_only ? too_long(r, true, least, err) : 0;
}

static int render(struct run *r, struct err *err)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const struct job *j = r->job;
    const struct tok *t = model_tok(r->s->model);
    struct gguf_str own = model_template(r->s->model);
    struct tmpl *tm;
    size_t bytes = 0;
    for (size_t i = 0; i < j->n_msgs; i++)
        bytes += j->msgs[i].n;
    if (check_size(r, bytes, err))
        return ERR_TOOLONG;
    if (!j->tmpl && !own.n)
        return err_set(err, ERR_FORMAT, "%s has no chat template; --template chatml uses ChatML", model_info(r->s->model)->name);
    int rc = tmpl_open(j->tmpl ? j->tmpl : own.s, j->tmpl ? strlen(j->tmpl) : own.n, &tm, err);
    if (rc)
        return rc;
    struct tmpl_msg *msgs = mem_array(j->n_msgs, sizeof *msgs);
    for (size_t i = 0; i < j->n_msgs; i++)
        msgs[i] = (struct tmpl_msg){roles[j->msgs[i].role], j->msgs[i].text, j->msgs[i].n};
    char *bos = token_text(t, tok_bos(t)), *eos = token_text(t, tok_eos(t));
    struct tmpl_vars vars = {.add_generation_prompt = !j->n_msgs || j->msgs[j->n_msgs - 1].role != 2, .bos = bos, .eos = eos};
    rc = tmpl_render(tm, msgs, j->n_msgs, &vars, &r->prompt, &r->spans, &r->n_spans, err);
    if (!rc && buf_over(&r->prompt))
        rc = err_set(err, ERR_TOOLONG, "the prompt is larger than %u MiB", FRAME_MAX >> 20);
    free(bos);
    free(eos);
    free(msgs);
    tmpl_close(tm);
    return rc;
}

static int tokenize(struct run *r, struct err *err)
{
    const struct tok *t = model_tok(r->s->model);
    size_t room = (size_t)r->st.n_ctx - 1; /* one position for the answer */
    if (check_size(r, r->prompt.len, err))
        return ERR_TOOLONG;
    int32_t bos = tok_bos(t);
    if (tok_add_bos(t) && bos >= 0)
        tok_ids_add(&r->ids, bos);
    size_t from = r->ids.n;
    tok_encode(t, buf_str(&r->prompt), r->prompt.len, TOK_SPECIAL, r->spans, r->n_spans, &r->ids);
    if (from && r->ids.n > from && r->ids.id[from] == bos) { /* the template has it, too */
        memmove(r->ids.id, r->ids.id + 1, (r->ids.n - 1) * sizeof *r->ids.id);
        r->ids.n--;
    }
    r->st.n_prompt = r->ids.n < INT32_MAX ? (int)r->ids.n : INT32_MAX;
    return r->ids.n > room && !r->job->prompt_only ? too_long(r, false, r->ids.n, err) : 0;
}

/* ---- the answer ---- */

static void say(struct run *r, enum ev_kind kind, struct buf *b)
{
    if (!b->len)
        return;
    if (!r->said)
        r->st.ttft_ms = ms_since(r->t0);
    r->said = true;
    r->told = clock_mono_us();
    send_event(r, &(struct event){.kind = kind, .text = b->data, .n = b->len, .done = (uint64_t)r->st.n_out, .total = (uint64_t)r->st.n_used});
    buf_reset(b);
}

/* The first text goes out at once, the rest in batches. */
static void say_some(struct run *r, bool all)
{
    if (!all && r->said && clock_mono_us() - r->told < TEXT_US)
        return;
    say(r, EV_THOUGHT, &r->thought);
    say(r, EV_TEXT, &r->text);
}

static void take_token(struct run *r, int32_t id)
{
    bool tag = id == r->open || id == r->close;
    buf_reset(&r->bytes);
    buf_reset(&r->whole);
    tok_decode(model_tok(r->s->model), id, tag, &r->bytes);
    utf8_feed(&r->wait, buf_str(&r->bytes), r->bytes.len, &r->whole);
    reason_feed(&r->reason, buf_str(&r->whole), r->whole.len, &r->thought, &r->text);
    r->st.n_out++;
    r->st.n_reason += reason_thinking(&r->reason);
    say_some(r, false);
}

static void end_text(struct run *r)
{
    buf_reset(&r->whole);
    utf8_flush(&r->wait, &r->whole);
    reason_feed(&r->reason, buf_str(&r->whole), r->whole.len, &r->thought, &r->text);
    reason_flush(&r->reason, &r->thought, &r->text);
    say_some(r, true);
}

static bool ends_with_tag(const struct buf *b)
{
    size_t n = b->len, tag = strlen(REASON_OPEN);
    while (n && (b->data[n - 1] == '\n' || b->data[n - 1] == ' '))
        n--;
    return n >= tag && memcmp(b->data + n - tag, REASON_OPEN, tag) == 0;
}

static int begin_grammar(struct run *r, struct err *err)
{
    struct server *s = r->s;
    const struct tok *t = model_tok(s->model);
    int rc = grammar_parse(r->job->grammar, strlen(r->job->grammar), &r->grammar, err);
    if (rc)
        return rc;
    if (!s->vocab)
        s->vocab = grammar_vocab_new(t);
    r->masked = mem_array((size_t)tok_count(t), sizeof *r->masked);
    return matcher_create(r->grammar, s->vocab, &r->matcher, err);
}

static int begin_answer(struct run *r, struct err *err)
{
    const struct tok *t = model_tok(r->s->model);
    const struct job *j = r->job;
    int rc = sampler_create(&r->sampling, tok_count(t), &r->sampler, err);
    if (!rc && j->logit_bias)
        rc = sampler_biases(j->logit_bias, r->sampler, err);
    if (!rc && r->sampling.dry_multiplier > 0)
        rc = sampler_breakers(j->dry_breakers ? j->dry_breakers : SAMPLER_BREAKERS, r->sampler, t, err);
    if (!rc && j->grammar)
        rc = begin_grammar(r, err);
    if (rc)
        return rc;
    r->open = tok_find(t, REASON_OPEN, strlen(REASON_OPEN));
    r->close = tok_find(t, REASON_CLOSE, strlen(REASON_CLOSE));
    reason_init(&r->reason, ends_with_tag(&r->prompt));
    for (size_t i = 0; i < r->ids.n; i++)
        sampler_accept(r->sampler, r->ids.id[i]);
    return 0;
}

static int read_prompt(struct run *r, struct err *err)
{
    int64_t t = clock_mono_us();
    r->st.n_cached = -1;
    r->told = 0;
    int reused = 0, rc = session_sync(r->s->session, r->ids.id, (int)r->ids.n, &reused, on_read, r, err);
    r->st.n_cached = rc && r->st.n_cached >= 0 ? r->st.n_cached : reused;
    r->st.prefill_ms = ms_since(t);
    r->st.n_used = session_len(r->s->session);
    return rc;
}

/* How many more tokens the answer may have. */
static uint32_t tokens_left(const struct run *r)
{
    int left = r->st.n_ctx - session_len(r->s->session) + 1, most = r->job->max_tokens;
    left = most && most - r->st.n_out < left ? most - r->st.n_out : left;
    return left > 0 ? (uint32_t)left : 0;
}

/*
 * The next token. With a grammar it is drawn freely first, as most of the time that is a token the grammar takes; only when it is refused the
 * others are masked. What is taken leaves room to end the text: a token for each byte will do. Thoughts are free.
 */
static int pick(struct run *r, int32_t *id, struct err *err)
{
    const float *logits = session_logits(r->s->session);
    if (!logits)
        return err_set(err, ERR_IO, "numeric: there are no logits");
    int rc = sampler_next(r->sampler, logits, id, err), count;
    if (rc || !r->matcher || reason_thinking(&r->reason))
        return rc;
    uint32_t room = tokens_left(r) - 1;
    rc = matcher_allows(r->matcher, *id, room, err);
    if (rc == 0) {
        sampler_refuse(r->sampler);
        rc = matcher_mask(r->matcher, room, logits, r->masked, &count, err);
        if (!rc && !count)
            rc = err_set(err, ERR_INCOMPLETE, "no token of this model goes on with the grammar");
        if (!rc)
            rc = sampler_next(r->sampler, r->masked, id, err);
    }
    return rc < 0 ? rc : (rc = matcher_accept(r->matcher, *id, err)) < 0 ? rc : 0;
}

/* The answer ends by itself, or for want of room; is it what the grammar asks for? */
static int check_end(const struct run *r, const char *why, struct err *err)
{
    if (!r->matcher || (matcher_can_end(r->matcher) && !reason_thinking(&r->reason)))
        return 0;
    return err_set(err, ERR_INCOMPLETE, "the answer ends before it is what the grammar asks for: %s", why);
}

/* Token by token; *stop says why it ended. */
static int answer(struct run *r, const char **stop, struct err *err)
{
    struct server *s = r->s;
    int rc = 0;
    for (;;) {
        int32_t id;
        if (stopped(r))
            return err_set(err, ERR_CANCELLED, "stopped");
        if (!gguf_unchanged(model_gguf(s->model)))
            return err_set(err, ERR_FORMAT, "%s: the model file changed while in use", s->path);
        rc = pick(r, &id, err);
        if (rc)
            return rc;
        *stop = "eog";
        if (tok_is_eog(model_tok(s->model), id))
            return check_end(r, "the model stopped in its thoughts", err);
        sampler_accept(r->sampler, id);
        take_token(r, id);
        if (r->matcher && matcher_must_end(r->matcher))
            return 0;
        *stop = "length";
        if (r->job->max_tokens && r->st.n_out >= r->job->max_tokens)
            return check_end(r, "it has as many tokens as it may", err);
        *stop = "context";
        if (session_len(s->session) >= r->st.n_ctx)
            return check_end(r, "the context is full", err);
        rc = session_step(s->session, id, on_step, r, err);
        if (rc)
            return rc;
        r->st.n_used = session_len(s->session);
    }
}

static int run_steps(struct run *r, const char **stop, struct err *err)
{
    int rc = keep_model(r, err);
    if (!rc)
        rc = keep_session(r, err);
    if (rc)
        return rc;
    r->sampling = r->job->sampler;
    sampler_from_file(model_gguf(r->s->model), r->job->given, &r->sampling);
    tell_model(r);
    rc = render(r, err);
    if (!rc)
        rc = tokenize(r, err);
    if (rc)
        return rc;
    if (r->job->prompt_only) {
        *stop = "eog";
        r->st.n_used = r->st.n_prompt;
        send_event(r, &(struct event){.kind = EV_PROMPT, .text = r->prompt.data, .n = r->prompt.len});
        return 0;
    }
    rc = begin_answer(r, err);
    if (!rc)
        rc = read_prompt(r, err);
    if (rc)
        return rc;
    int64_t t = clock_mono_us();
    rc = answer(r, stop, err);
    end_text(r);
    r->st.decode_ms = ms_since(t);
    return rc;
}

static void run_job(struct server *s, const struct job *j)
{
    struct run r = {.s = s, .job = j, .t0 = clock_mono_us(), .prompt = BUF_INIT(FRAME_MAX), .bytes = BUF_INIT(1 << 20), .whole = BUF_INIT(1 << 20),
                    .thought = BUF_INIT(FRAME_MAX_SMALL - 1024), .text = BUF_INIT(FRAME_MAX_SMALL - 1024)};
    struct event last = {.kind = EV_DONE};
    const char *stop = "error";
    int rc = run_steps(&r, &stop, &last.err);
    if (rc == ERR_CANCELLED) {
        last.kind = EV_CANCELLED;
        stop = "cancelled";
    } else if (rc) {
        last.kind = EV_ERROR;
        stop = "error";
        if (s->model && rc == ERR_IO && !gguf_unchanged(model_gguf(s->model)))
            err_set(&last.err, ERR_FORMAT, "%s: the model file changed while in use", s->path);
    }
    snprintf(last.stop, sizeof last.stop, "%s", stop);
    r.st.n_cached = r.st.n_cached < 0 ? 0 : r.st.n_cached;
    last.stats = r.st;
    log_say("engine: job %" PRIu64 ": %s, %d of %d tokens known, %d out in %.0f ms%s%s", j->id, stop, r.st.n_cached, r.st.n_prompt, r.st.n_out,
            r.st.decode_ms, rc ? ": " : "", rc ? last.err.msg : "");
    send_event(&r, &last);
    sampler_destroy(r.sampler);
    matcher_destroy(r.matcher);
    grammar_free(r.grammar);
    free(r.masked);
    free(r.ids.id);
    free(r.spans);
    buf_finish(&r.prompt);
    buf_finish(&r.bytes);
    buf_finish(&r.whole);
    buf_finish(&r.thought);
    buf_finish(&r.text);
}

/* ---- the two threads ---- */

/* False: the face breaks the rules, too. */
static bool take_frame(struct server *s, const struct frame *f, struct err *err)
{
    uint64_t id;
    struct job *j;
    if (f->type == FRAME_CANCEL) {
        if (frame_cancel(f, &id, err))
            return false;
        atomic_store(&s->cancelled, id);
        return true;
    }
    if (frame_job(f, &j, err)) /* an event is none, either */
        return false;
    pthread_mutex_lock(&s->lock);
    struct job *old = s->next;
    s->next = j;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    job_free(old); /* one at a time: the face never sends two */
    return true;
}

static void *control(void *arg)
{
    struct server *s = arg;
    struct frame_in in;
    struct frame f;
    struct err err = {0};
    int rc = 0;
    frame_in_init(&in);
    while (rc == 0 && frame_recv(s->fd, &in) > 0)
        while ((rc = frame_take(&in, &f, &err)) > 0)
            if (!take_frame(s, &f, &err)) {
                rc = ERR_IO;
                break;
            }
    log_say("engine: %s", rc < 0 ? err.msg : "the face is gone");
    frame_in_finish(&in);
    atomic_store(&s->leave, true);
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LEAVE_S;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->wake);
    while (!s->done)
        if (pthread_cond_timedwait(&s->wake, &s->lock, &end) == ETIMEDOUT)
            _exit(0); /* in a library, or in the kernel: nothing here is worth waiting for */
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* The next job; NULL: leave. */
static struct job *next_job(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->next && !atomic_load(&s->leave))
        pthread_cond_wait(&s->wake, &s->lock);
    struct job *j = s->next;
    s->next = NULL;
    if (!j || atomic_load(&s->leave)) {
        job_free(j);
        j = NULL;
        s->done = true;
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return j;
}

/* What a terminal sends to its whole process group is the face's to decide: it asks us to leave. */
static void settle(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGWINCH};
    const char *log = getenv("HADAL_LOG");
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "hadal-engine");
    log_open(NULL);
    int fd = log && *log ? open(log, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd >= 0) { /* a panic, or a library that complains */
        dup2(fd, STDERR_FILENO);
        close(fd);
    }
#ifdef HADAL_SANITIZED
    log_say("engine: not confined: the sanitizers need to trace, and to write their reports");
#else
    char text[200];
    bool all = sandbox_enter(text, sizeof text);
    log_say("engine: %sconfined: %s", all ? "" : "partly ", text);
#endif
}

int engine_main(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return err_exit_status(ERR_USAGE); /* only the program itself calls itself so */
    struct server s = {.fd = fd, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    settle();
    frame_out_init(&s.out);
    if (pthread_create(&thread, NULL, control, &s))
        return err_exit_status(ERR_IO);
    for (struct job *j; (j = next_job(&s));) {
        run_job(&s, j);
        job_free(j);
    }
    shutdown(fd, SHUT_RD); /* wakes the control thread when it was writing that failed */
    pthread_join(thread, NULL);
    drop_model(&s);
    frame_out_finish(&s.out);
    return 0;
}
