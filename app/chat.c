/*
 * The chat controller. See chat.h.
 *
 * A turn: the prompt and an empty answer are committed (hist_turn_begin), then the engine gets the job, then its text goes three
 * ways: to the face at once, to the path in memory, and into `wait`, from where it is appended to history at least every 300 ms. The end
 * of the turn and its provenance are committed before the face hears of it. What history refuses (locked, full) stays in `wait`, and is
 * tried again: the answer goes on, the face is told once. The next prompt is accepted only when nothing waits any more.
 *
 * Invariants: `turn.node` is the answer that history does not have in full (0: none), and the last of the path while busy; without
 * a history, ids count down from -1. The engine is busy, or `late` is set, exactly while `busy`.
 */
#include "config.h"
#include "app/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define SAVE_MS 250    /* text waits at most so long */
#define RETRY_MS 300   /* after a failure to save */
#define LOCK_MS 50     /* another program's lock is waited for in the middle of an answer */
#define END_LOCK_MS 1000
#define PATIENT_MS 5000
#define SILENT_MS 60000 /* of an engine before the face is told */
#define FILE_AT 1

struct waiting {
    enum hist_kind kind;
    struct buf text;
};

/* A turn that history does not have yet as a whole. */
struct turn {
    int64_t node;
    struct waiting *wait; /* text, oldest first */
    size_t n_wait;
    bool over; /* ended with `state` and `gen` */
    enum hist_state state;
    struct hist_gen gen;
    struct gen_stats stats;
    char *params, *backend, *engine, *stop, *error; /* gen's strings */
    char *model[6]; /* name, file (FILE_AT), fingerprint, arch, quant, template_sha */
    int ctx_train;
};

struct chat {
    const struct conf *conf;
    struct hist *h;
    struct chat_face face;
    struct engine *e;
    int64_t session, fresh; /* the session; one that was made and has no turn yet */
    char *system;
    bool system_own, system_unsaved; /* `system` is this chat's, not the settings'; the session has another */
    bool opened;
    struct hist_path path;
    int64_t last_id; /* without a history: counts down */
    bool busy, raw;
    size_t kept; /* nodes of the path that were there before the running turn */
    struct event *late; /* an end that came before the engine ran */
    struct turn turn;
    int64_t save_at; /* when what waits is written; 0: nothing waits */
    bool complained; /* the face knows that saving fails */
    struct gen_stats stats;
    bool have_stats;
    uint64_t seed;
    struct sampler_conf sampling; /* of the last turn, as the engine uses it */
    int n_out; /* tokens of the running answer */
    int n_ctx, ctx_train, warned; /* warned: 0, 80, 95 percent */
    int64_t heard; /* the engine's last event */
    bool silent_told;
};

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

static void tell(const struct chat *c, const char *text)
{
    log_say("chat: %s", text);
    if (c->face.notice)
        c->face.notice(c->face.arg, text);
}

/* ---- the path in memory ---- */

static void node_finish(struct hist_node *n)
{
    for (size_t i = 0; i < n->n_parts; i++)
        free(n->parts[i].text);
    free(n->parts);
}

static void path_cut(struct hist_path *p, size_t n)
{
    while (p->n > n)
        node_finish(&p->at[--p->n]);
}

static void node_add(struct hist_node *n, enum hist_kind kind, const char *text, size_t len)
{
    if (!n->n_parts || n->parts[n->n_parts - 1].kind != kind) {
        n->parts = mem_grow(n->parts, n->n_parts + 1, sizeof *n->parts);
        n->parts[n->n_parts++] = (struct hist_part){kind, mem_strdup(""), 0};
    }
    struct hist_part *p = &n->parts[n->n_parts - 1];
    p->text = mem_grow(p->text, p->n + len + 1, 1);
    memcpy(p->text + p->n, text, len);
    p->n += len;
    p->text[p->n] = 0;
}

static struct hist_node *path_push(struct chat *c, int64_t id, enum hist_role role, enum hist_state state, int versions)
{
    struct hist_path *p = &c->path;
    p->at = mem_grow(p->at, p->n + 1, sizeof *p->at);
    struct hist_node *n = &p->at[p->n];
    *n = (struct hist_node){.id = id ? id : --c->last_id, .session = c->session, .parent = p->n ? p->at[p->n - 1].id : 0, .role = role, .state = state,
                            .created_ms = clock_wall_ms(), .version = versions, .n_versions = versions};
    p->n++;
    return n;
}

/* How many versions a new node of this role in this place is the last of, as far as the path knows. */
static int versions(const struct chat *c, size_t at, enum hist_role role)
{
    return at < c->path.n && c->path.at[at].role == role ? c->path.at[at].n_versions + 1 : 1;
}

/* ---- saving ---- */

static void turn_finish(struct turn *t)
{
    for (size_t i = 0; i < t->n_wait; i++)
        buf_finish(&t->wait[i].text);
    free(t->wait);
    free(t->params);
    free(t->backend);
    free(t->engine);
    free(t->stop);
    free(t->error);
    for (size_t i = 0; i < sizeof t->model / sizeof *t->model; i++)
        free(t->model[i]);
    *t = (struct turn){0};
}

static int save_end(struct chat *c, struct err *err)
{
    struct turn *t = &c->turn;
    char *const *m = t->model;
    const struct hist_model model = {m[0], m[1], m[2], m[3], m[4], m[5], t->ctx_train};
    const struct gen_stats *s = &t->stats;
    int64_t id = 0;
    int rc = m[2] ? hist_model_put(c->h, &model, &id, err) : 0;
    if (rc)
        return rc;
    t->gen.model_id = id;
    t->gen.params = t->params;
    t->gen.backend = t->backend;
    t->gen.engine = t->engine;
    t->gen.stop = t->stop;
    t->gen.error = t->error;
    t->gen.n_prompt = s->n_prompt;
    t->gen.n_cached = s->n_cached;
    t->gen.n_reason = s->n_reason;
    t->gen.n_out = s->n_out;
    t->gen.load_ms = s->load_ms;
    t->gen.prefill_ms = s->prefill_ms;
    t->gen.ttft_ms = s->ttft_ms;
    t->gen.decode_ms = s->decode_ms;
    return hist_turn_end(c->h, t->node, t->state, &t->gen, err);
}

/* Writes what waits; what was written does not wait any more. */
static int save(struct chat *c, int lock_ms, struct err *err)
{
    struct turn *t = &c->turn;
    size_t done = 0;
    int rc = 0;
    c->save_at = 0;
    if (!t->node)
        return 0;
    hist_set_wait(c->h, lock_ms);
    for (; !rc && done < t->n_wait; done += rc == 0)
        rc = hist_append(c->h, t->node, t->wait[done].kind, buf_str(&t->wait[done].text), t->wait[done].text.len, err);
    for (size_t i = 0; i < done; i++)
        buf_finish(&t->wait[i].text);
    if (done)
        memmove(t->wait, t->wait + done, (t->n_wait - done) * sizeof *t->wait);
    t->n_wait -= done;
    if (!rc && t->over) {
        rc = save_end(c, err);
        if (!rc)
            turn_finish(t);
    }
    hist_set_wait(c->h, PATIENT_MS);
    if (rc)
        c->save_at = now_ms() + RETRY_MS;
    return rc;
}

static void save_or_tell(struct chat *c, int lock_ms)
{
    struct err err = {0};
    bool over = c->turn.over;
    if (save(c, lock_ms, &err) == 0) {
        if (c->complained)
            tell(c, "history: all is saved again");
        c->complained = false;
    } else if (!c->complained) {
        c->complained = true;
        char *text = mem_printf("%s; %s, and saving is tried again", err.msg, over ? "the end of this answer is not saved yet" : "the answer goes on");
        tell(c, text);
        free(text);
    }
}

static void keep_text(struct chat *c, enum hist_kind kind, const char *s, size_t n)
{
    struct turn *t = &c->turn;
    node_add(&c->path.at[c->path.n - 1], kind, s, n);
    if (!t->node)
        return;
    if (!t->n_wait || t->wait[t->n_wait - 1].kind != kind) {
        t->wait = mem_grow(t->wait, t->n_wait + 1, sizeof *t->wait);
        t->wait[t->n_wait++] = (struct waiting){kind, BUF_INIT(SIZE_MAX)};
    }
    buf_add(&t->wait[t->n_wait - 1].text, s, n);
    if (!c->save_at)
        c->save_at = now_ms() + SAVE_MS;
}

/* ---- a job from the settings and the path ---- */

static uint64_t draw_seed(void)
{
    uint32_t seed; /* short enough to be typed again */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint32_t)clock_mono_us();
    return seed;
}

static const char *system_text(const struct chat *c)
{
    return c->system_own ? c->system : c->conf->system;
}

/* The first n nodes of the path as messages. An answer that never came is no message. */
static int make_job(struct chat *c, size_t n, struct job **out, struct err *err)
{
    const struct conf *conf = c->conf;
    struct job *j = job_new();
    int rc = conf_model_path(conf->model, &j->model_path, err);
    if (!rc)
        rc = conf_template(conf->tmpl, &j->tmpl, err);
    if (!rc)
        rc = conf_grammar(conf, &j->grammar, err);
    if (rc) {
        job_free(j);
        return rc;
    }
    j->n_ctx = conf->n_ctx;
    j->n_threads = conf->n_threads;
    j->max_tokens = conf->max_tokens;
    j->sampler = conf_sampler(conf);
    for (int i = 0; i < SAMPLER_KEYS; i++)
        j->given |= (unsigned)conf->gave[i] << i;
    j->logit_bias = mem_strdup(conf->logit_bias);
    j->dry_breakers = mem_strdup(conf->dry_breakers);
    if (!conf->seed_set)
        j->sampler.seed = draw_seed();
    const char *system = system_text(c);
    if (system)
        job_add(j, HIST_SYSTEM, system, strlen(system));
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const struct hist_node *node = &c->path.at[i];
        const char *text = hist_node_text(node, &len);
        if (node->role <= HIST_ASSISTANT && (len || node->role != HIST_ASSISTANT))
            job_add(j, (int)node->role, text, len);
    }
    *out = j;
    return 0;
}

/* ---- turns ---- */

static int idle(const struct chat *c, struct err *err)
{
    return c->busy ? err_set(err, ERR_USAGE, "an answer is still being written; stop it first") : 0;
}

/* The session in history, made when there is none. */
static int need_session(struct chat *c, struct err *err)
{
    int rc = 0;
    if (!c->session && !c->fresh) {
        rc = hist_session_new(c->h, &c->fresh, err);
        c->system_unsaved = true;
    }
    if (!rc && c->system_unsaved) {
        rc = hist_session_set_system(c->h, c->session ? c->session : c->fresh, system_text(c), err);
        c->system_unsaved = rc != 0;
    }
    return rc;
}

/* The turn as history begins it: ids of the new nodes. */
static int begin_history(struct chat *c, size_t keep, const char *user, size_t n, int64_t *prompt, int64_t *answer, struct err *err)
{
    int rc = need_session(c, err);
    if (rc)
        return rc;
    int64_t session = c->session ? c->session : c->fresh;
    rc = hist_turn_begin(c->h, session, keep ? c->path.at[keep - 1].id : 0, user, n, prompt, answer, err);
    if (rc)
        return rc;
    if (c->fresh && !c->system_own) { /* what the session began with stays its own */
        c->system = mem_strdup(c->conf->system);
        c->system_own = true;
    }
    c->session = session;
    c->fresh = 0;
    return 0;
}

static void start_job(struct chat *c, struct job *j)
{
    struct err err = {0};
    c->busy = true;
    c->n_out = 0;
    c->silent_told = false;
    c->heard = now_ms();
    if (engine_submit(c->e, j, &err) == 0)
        return;
    c->late = mem_zalloc(sizeof *c->late);
    c->late->kind = EV_ERROR;
    c->late->err = err;
    snprintf(c->late->stop, sizeof c->late->stop, "error");
}

/* The first `keep` nodes of the path, then a prompt (NULL: none), then an answer. */
static int begin(struct chat *c, size_t keep, const char *user, size_t n, struct err *err)
{
    struct job *j;
    int64_t prompt = 0, answer = 0;
    int rc = make_job(c, keep, &j, err);
    if (rc)
        return rc;
    if (user)
        job_add(j, HIST_USER, user, n);
    if (c->h) {
        rc = save(c, PATIENT_MS, err);
        if (!rc)
            rc = begin_history(c, keep, user, n, &prompt, &answer, err);
        if (rc) {
            job_free(j);
            return rc;
        }
    }
    int v_user = versions(c, keep, HIST_USER), v_answer = versions(c, keep, HIST_ASSISTANT);
    char *text = user ? mem_strndup(user, n) : NULL; /* may be borrowed from the path */
    struct hist_path whole;
    path_cut(&c->path, keep);
    if (user)
        node_add(path_push(c, prompt, HIST_USER, HIST_FINAL, v_user), HIST_TEXT, text, n);
    path_push(c, answer, HIST_ASSISTANT, HIST_STREAMING, user ? 1 : v_answer);
    free(text);
    if (c->h && hist_path_get(c->h, c->session, 0, &whole, NULL) == 0) { /* knows all versions */
        if (whole.n == c->path.n) {
            hist_path_finish(&c->path);
            c->path = whole;
        } else {
            hist_path_finish(&whole);
        }
    }
    c->kept = keep;
    c->raw = false;
    c->complained = false;
    c->seed = j->sampler.seed;
    c->sampling = j->sampler;
    turn_finish(&c->turn);
    c->turn.node = answer;
    c->turn.model[FILE_AT] = mem_strdup(j->model_path);
    c->turn.params = chat_params(c);
    c->turn.gen.seed = c->seed;
    start_job(c, j);
    return 0;
}

int chat_send(struct chat *c, const char *text, size_t n, struct err *err)
{
    int rc = idle(c, err);
    if (rc)
        return rc;
    if (!n)
        return err_set(err, ERR_INPUT, "the prompt is empty");
    return begin(c, c->path.n, text, n, err);
}

int chat_regen(struct chat *c, struct err *err)
{
    size_t n = c->path.n;
    int rc = idle(c, err);
    if (rc)
        return rc;
    if (n && c->path.at[n - 1].role == HIST_ASSISTANT)
        n--;
    if (!n || c->path.at[n - 1].role != HIST_USER)
        return err_set(err, ERR_USAGE, "there is no answer yet that could be given again");
    return begin(c, n, NULL, 0, err);
}

int chat_edit(struct chat *c, int nth, const char *text, size_t n, struct err *err)
{
    int rc = idle(c, err), prompts = 0;
    if (rc)
        return rc;
    if (!n)
        return err_set(err, ERR_INPUT, "the prompt is empty");
    for (size_t i = c->path.n; i-- > 0;) {
        prompts += c->path.at[i].role == HIST_USER;
        if (nth >= 1 && prompts == nth)
            return begin(c, i, text, n, err);
    }
    return err_set(err, ERR_USAGE, "there is no prompt number %d from the end; this chat has %d", nth, prompts);
}

int chat_raw(struct chat *c, struct err *err)
{
    struct job *j;
    int rc = idle(c, err);
    if (!rc && !c->path.n && !system_text(c))
        rc = err_set(err, ERR_USAGE, "the chat is empty: there is no prompt to show");
    if (!rc)
        rc = make_job(c, c->path.n, &j, err);
    if (rc)
        return rc;
    j->prompt_only = true;
    c->raw = true;
    start_job(c, j);
    return 0;
}

/* ---- what the engine says ---- */

/* Says once at 80 and once at 95 percent that the context fills up. */
static void look_at_context(struct chat *c, uint64_t used)
{
    if (c->n_ctx <= 0 || c->raw)
        return;
    int percent = used >= (uint64_t)c->n_ctx ? 100 : (int)(used * 100 / (uint64_t)c->n_ctx), level = percent >= 95 ? 95 : percent >= 80 ? 80 : 0;
    bool higher = level > c->warned;
    c->warned = level;
    if (!higher)
        return;
    char more[80] = "";
    if (c->ctx_train > c->n_ctx)
        snprintf(more, sizeof more, ", and --ctx (/set ctx) gives up to %d", c->ctx_train);
    char *text = mem_printf("the chat fills %d %% of the context, %d of %d tokens; when it is full, answers end. A new chat begins empty%s", percent,
                            used < (uint64_t)c->n_ctx ? (int)used : c->n_ctx, c->n_ctx, more);
    if (c->face.full)
        c->face.full(c->face.arg, text);
    else
        tell(c, text);
    free(text);
}

static void take_model(struct chat *c, const struct event *e)
{
    struct turn *t = &c->turn;
    c->n_ctx = e->n_ctx;
    c->ctx_train = e->n_ctx_train;
    if (!c->raw && t->node && !t->model[2]) {
        const char *const texts[] = {e->name, NULL, e->fingerprint, e->arch, e->quant, e->template_sha};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            if (i != FILE_AT)
                t->model[i] = mem_strdup(texts[i] ? texts[i] : "");
        t->backend = mem_strdup(e->backend);
        t->engine = mem_strdup(e->engine);
        t->ctx_train = e->n_ctx_train;
        if (sampler_check(&e->sampler, NULL) == 0) { /* by an engine in its right mind */
            c->sampling = e->sampler;
            free(t->params);
            t->params = chat_params(c);
        }
    }
    if (c->face.model)
        c->face.model(c->face.arg, e);
}

/* A prompt that did not fit does not stand in the way of the next: the chat goes on from where it was. The prompt stays as a branch. */
static void step_back(struct chat *c)
{
    if (!c->kept || c->kept >= c->path.n)
        return;
    if (c->h && hist_head_set(c->h, c->session, c->path.at[c->kept - 1].id, NULL))
        return;
    path_cut(&c->path, c->kept);
}

static void end_turn(struct chat *c, enum hist_state state, const struct event *e)
{
    struct turn *t = &c->turn;
    c->path.at[c->path.n - 1].state = state;
    c->stats = e->stats;
    c->have_stats = true;
    if (t->node) {
        t->over = true;
        t->state = state;
        t->stats = e->stats;
        t->stop = mem_strdup(e->stop);
        t->error = e->kind == EV_ERROR ? mem_strdup(e->err.msg) : NULL;
        save_or_tell(c, END_LOCK_MS);
    }
    if (e->stats.n_used)
        look_at_context(c, (uint64_t)e->stats.n_used);
    if (e->kind == EV_ERROR && e->err.code == ERR_TOOLONG)
        step_back(c);
}

static void take_end(struct chat *c, const struct event *e)
{
    enum hist_state state = e->kind == EV_DONE ? HIST_FINAL : e->kind == EV_CANCELLED ? HIST_INTERRUPTED : HIST_ERROR;
    if (!c->raw)
        end_turn(c, state, e);
    c->busy = false;
    if (c->face.end)
        c->face.end(c->face.arg, state, e);
}

static void take_event(struct chat *c, const struct event *e)
{
    const struct chat_face *f = &c->face;
    bool thought = e->kind == EV_THOUGHT;
    void (*say)(void *, const char *, size_t) = thought ? f->thought : f->text;
    switch (e->kind) {
    case EV_MODEL:
        take_model(c, e);
        break;
    case EV_LOAD:
        if (f->load)
            f->load(f->arg, e->done, e->total);
        break;
    case EV_PREFILL:
        look_at_context(c, e->total);
        if (f->prefill)
            f->prefill(f->arg, e->done < INT32_MAX ? (int)e->done : INT32_MAX, e->total < INT32_MAX ? (int)e->total : INT32_MAX, e->reused);
        break;
    case EV_TEXT:
    case EV_THOUGHT:
        if (c->raw)
            break;
        c->n_out = e->done < INT32_MAX ? (int)e->done : INT32_MAX;
        keep_text(c, thought ? HIST_REASONING : HIST_TEXT, e->text, e->n);
        if (say)
            say(f->arg, e->text, e->n);
        look_at_context(c, e->total);
        break;
    case EV_PROMPT:
        if (f->prompt)
            f->prompt(f->arg, e->text, e->n);
        break;
    case EV_DONE:
    case EV_CANCELLED:
    case EV_ERROR:
        take_end(c, e);
        break;
    }
}

static void save_if_due(struct chat *c)
{
    if (c->save_at && now_ms() >= c->save_at)
        save_or_tell(c, c->turn.over ? END_LOCK_MS : LOCK_MS);
}

void chat_work(struct chat *c)
{
    struct event *list = c->late ? c->late : engine_poll(c->e), *next;
    c->late = NULL;
    for (; list; list = next) {
        next = list->next;
        save_if_due(c); /* before more is shown: this may be the first turn in a while */
        c->heard = now_ms();
        take_event(c, list);
        event_free(list);
    }
    save_if_due(c);
    if (c->busy && !c->silent_told && now_ms() - c->heard >= SILENT_MS) {
        c->silent_told = true;
        tell(c, "nothing has come from the engine for a minute; it goes on being waited for until you stop it");
    }
}

/* ---- the rest of the interface ---- */

int chat_create(const struct conf *conf, struct hist *h, const struct chat_face *face, struct chat **out, struct err *err)
{
    struct engine *e;
    int rc = engine_create(&e, err);
    if (rc)
        return rc;
    struct chat *c = mem_zalloc(sizeof *c);
    c->conf = conf;
    c->h = h;
    c->e = e;
    if (face)
        c->face = *face;
    *out = c;
    return 0;
}

/* A turn in the middle of which the program ends. */
static void abandon(struct chat *c)
{
    struct turn *t = &c->turn;
    if (!c->busy || c->raw || !t->node)
        return;
    t->over = true;
    t->state = HIST_INTERRUPTED;
    t->stop = mem_strdup("cancelled");
    c->save_at = now_ms();
}

void chat_flush(struct chat *c)
{
    struct err err = {0};
    if (!c->save_at || save(c, PATIENT_MS, &err) == 0)
        return;
    char *text = mem_printf("%s; the end of the last answer is not saved", err.msg);
    tell(c, text);
    free(text);
}

bool chat_saved(const struct chat *c)
{
    return !c->turn.node;
}

void chat_destroy(struct chat *c)
{
    if (!c)
        return;
    abandon(c);
    chat_flush(c);
    engine_destroy(c->e);
    event_free(c->late);
    turn_finish(&c->turn);
    hist_path_finish(&c->path);
    free(c->system);
    free(c);
}

int chat_open(struct chat *c, int64_t session, struct err *err)
{
    struct hist_session s;
    struct hist_path path = {0};
    int rc = idle(c, err);
    if (rc)
        return rc;
    if (session && !c->h)
        return err_set(err, ERR_HISTORY, "this chat is not saved, so there are no others to open");
    if (session) {
        rc = hist_session_get(c->h, session, &s, err);
        if (rc)
            return rc;
        rc = hist_path_get(c->h, session, 0, &path, err);
        if (rc) {
            hist_session_finish(&s);
            return rc;
        }
    }
    chat_flush(c);
    turn_finish(&c->turn);
    c->save_at = 0;
    hist_path_finish(&c->path);
    c->path = path;
    c->session = session;
    c->fresh = 0;
    c->warned = 0;
    c->have_stats = false;
    c->system_own = c->system_unsaved = false;
    free(c->system);
    c->system = NULL;
    if (session) {
        bool given = c->conf->system_given && !c->opened; /* said on this command line, which names this session */
        c->system = mem_strdup(given ? c->conf->system : s.system);
        c->system_own = true;
        c->system_unsaved = given;
        hist_session_finish(&s);
    }
    c->opened = true;
    return 0;
}

int64_t chat_session(const struct chat *c)
{
    return c->session;
}

const struct hist_path *chat_path(const struct chat *c)
{
    return &c->path;
}

const char *chat_system(const struct chat *c)
{
    return system_text(c);
}

int chat_set_system(struct chat *c, const char *text, struct err *err)
{
    int rc = c->session ? hist_session_set_system(c->h, c->session, text, err) : 0;
    if (rc)
        return rc;
    char *copy = mem_strdup(text); /* may be the old one */
    free(c->system);
    c->system = copy;
    c->system_own = true;
    c->system_unsaved = !c->session;
    return 0;
}

bool chat_busy(const struct chat *c)
{
    return c->busy;
}

int chat_tokens(const struct chat *c)
{
    return c->n_out;
}

void chat_stop(struct chat *c)
{
    engine_cancel(c->e);
}

const struct gen_stats *chat_stats(const struct chat *c)
{
    return c->have_stats ? &c->stats : NULL;
}

const struct sampler_conf *chat_sampling(const struct chat *c)
{
    return c->have_stats ? &c->sampling : NULL;
}

char *chat_params(const struct chat *c)
{
    struct conf used = *c->conf;
    used.sampler = c->sampling;
    return conf_params_json(&used, c->seed);
}

uint64_t chat_seed(const struct chat *c)
{
    return c->seed;
}

int chat_fd(const struct chat *c)
{
    return engine_fd(c->e);
}

int chat_timeout_ms(const struct chat *c)
{
    int64_t now = now_ms(), at = INT64_MAX;
    int t = c->late ? 0 : engine_timeout_ms(c->e);
    if (t >= 0)
        at = now + t;
    if (c->save_at && c->save_at < at)
        at = c->save_at;
    if (c->busy && !c->silent_told && c->heard + SILENT_MS < at)
        at = c->heard + SILENT_MS;
    return at == INT64_MAX ? -1 : at > now ? (int)(at - now) : 0;
}
