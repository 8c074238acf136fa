/*
 * Messages: a turn as it happens, and reading the tree. Invariants: a parent is older than its children; the ancestors of the head lead to
 * it by last_child; a node in state 'streaming' has an owner, which alone appends to it.
 */
#include "config.h"
#include "history/impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#define BEAT_MS 60000 /* a sign of life while text comes */
#define TITLE_COLUMNS 60
#define TITLE_WITHIN 4096 /* bytes of a prompt in which a title is looked for */

static const char *const roles[] = {"system", "user", "assistant", "tool"};
static const char *const states[] = {"streaming", "final", "interrupted", "error"};
static const char *const kinds[] = {"text", "reasoning", "attachment", "tool_call", "tool_result", "error"};

const char *hist_role_name(int role)
{
    return role >= 0 && role < 4 ? roles[role] : NULL;
}

const char *hist_state_name(int state)
{
    return state >= 0 && state < 4 ? states[state] : NULL;
}

const char *hist_kind_name(int kind)
{
    return kind >= 0 && kind < 6 ? kinds[kind] : NULL;
}

/* The index of a word of the database; 0 for one that is not known (a newer schema). */
static int word(const char *(*name)(int), const char *text)
{
    for (int i = 0; name(i); i++)
        if (strcmp(name(i), text) == 0)
            return i;
    return 0;
}

static int no_message(struct err *err)
{
    return err_set(err, ERR_HISTORY, "no such message in this session");
}

static int find_node(struct hist *h, int64_t node, int64_t *session, enum hist_state *state, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_NODE_GET, "i", node);
    int rc = db_row(h, st, err);
    if (rc == 0)
        return no_message(err);
    if (rc < 0)
        return rc;
    *session = sqlite3_column_int64(st, 0);
    *state = (enum hist_state)word(hist_state_name, db_text_or(st, 2));
    db_reset(st);
    return 0;
}

/* ---- writing ---- */

static int add_node(struct hist *h, int64_t session, int64_t parent, enum hist_role role, enum hist_state state, int64_t created_ms, int64_t *id,
                    struct err *err)
{
    int64_t of = 0;
    enum hist_state parent_state;
    int rc = parent ? find_node(h, parent, &of, &parent_state, err) : 0;
    if (rc == 0 && parent && of != session)
        rc = no_message(err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_NODE_ADD, "iIssi", session, parent, roles[role], states[state], created_ms), err);
    if (rc != 0)
        return rc;
    *id = sqlite3_last_insert_rowid(h->db);
    return parent ? db_run(h, db_bind(h, SQL_NODE_LAST_CHILD, "ii", parent, *id), err) : 0;
}

static int add_part(struct hist *h, int64_t node, int64_t ord, enum hist_kind kind, const char *text, size_t n, struct err *err)
{
    return db_run(h, db_bind(h, SQL_PART_ADD, "iisb", node, ord, kinds[kind], text, n), err);
}

static int own(struct hist *h, int64_t node, int64_t now, struct err *err)
{
    const struct owner *me = &h->me;
    return db_run(h, db_bind(h, SQL_OWNER_ADD, "iiisssi", node, me->pid, me->start, me->boot, me->machine, me->ns, now), err);
}

static struct live *find_live(struct hist *h, int64_t node)
{
    for (size_t i = 0; i < h->n_live; i++)
        if (h->live[i].node == node)
            return &h->live[i];
    return NULL;
}

char *make_title(const char *s, size_t n)
{
    struct buf t = BUF_INIT(TITLE_COLUMNS * 64);
    size_t word_end = 0, fit_end = 0; /* where "..." could follow: behind a word, behind any character */
    int columns = 0, marks = 0;
    bool space = false;
    n = n < TITLE_WITHIN ? n : TITLE_WITHIN;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp = utf8_decode(s + i, n - i, &len);
        if (cp == '\n' || cp == '\r') {
            if (t.len)
                break;
            continue;
        }
        if (cp <= ' ' || cp == 0x7f || (cp >= 0x80 && cp < 0xa1) || cp == 0x3000 || cp >= UTF8_PART) {
            space = t.len > 0;
            continue;
        }
        int width = utf8_width(cp);
        marks = width ? 0 : marks + 1;
        if (marks > 8) /* no letter has so many; the title stays short in bytes, too */
            continue;
        if (space) {
            word_end = t.len;
            if (++columns < TITLE_COLUMNS)
                fit_end = t.len;
            buf_addch(&t, ' ');
            space = false;
        }
        if (columns + width > TITLE_COLUMNS) {
            size_t end = word_end > fit_end / 2 ? word_end : fit_end;
            t.data[end] = 0;
            t.len = end;
            buf_addstr(&t, "…");
            break;
        }
        char c[4];
        columns += width;
        buf_add(&t, c, utf8_encode(cp, c));
        if (columns < TITLE_COLUMNS)
            fit_end = t.len;
    }
    return buf_take(&t);
}

/* The prompt's node and what belongs to it. titled: the session has a title. */
static int add_prompt(struct hist *h, int64_t session, int64_t parent, bool titled, const char *user, size_t n, int64_t now, int64_t *node,
                      struct err *err)
{
    int rc = add_node(h, session, parent, HIST_USER, HIST_FINAL, now, node, err);
    if (rc == 0)
        rc = add_part(h, *node, 0, HIST_TEXT, user, n, err);
    if (rc == 0 && !titled) {
        char *title = make_title(user, n);
        rc = title ? db_run(h, db_bind(h, SQL_SESSION_TITLE, "iss", session, title, "auto"), err) : 0;
        free(title);
    }
    if (rc == 0)
        rc = search_index(h, *node, err);
    return rc == 0 ? input_add(h, session, user, n, err) : rc;
}

int hist_turn_begin(struct hist *h, int64_t session, int64_t parent, const char *user, size_t n, int64_t *user_node, int64_t *answer_node,
                    struct err *err)
{
    int64_t now = clock_wall_ms(), prompt = parent, answer = 0, head = 0;
    bool titled = true;
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    sqlite3_stmt *st = db_bind(h, SQL_SESSION_HEAD_GET, "i", session);
    rc = db_row(h, st, err);
    if (rc > 0) {
        head = sqlite3_column_int64(st, 0);
        titled = *db_text_or(st, 2) != 0 || strcmp(db_text_or(st, 1), "user") == 0;
        db_reset(st);
        rc = 0;
    } else if (rc == 0) {
        rc = err_set(err, ERR_HISTORY, "no such session");
    }
    if (rc == 0 && user)
        rc = add_prompt(h, session, parent, titled, user, n, now, &prompt, err);
    if (rc == 0)
        rc = add_node(h, session, prompt, HIST_ASSISTANT, HIST_STREAMING, now, &answer, err);
    if (rc == 0)
        rc = own(h, answer, now, err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_SESSION_HEAD, "ii", session, answer), err);
    if (rc == 0 && parent != head)
        rc = db_run(h, db_bind(h, SQL_NODE_LEAD, "i", answer), err);
    if (rc == 0 && user)
        rc = db_run(h, db_bind(h, SQL_SESSION_DRAFT, "is", session, NULL), err);
    if (rc == 0)
        rc = session_used(h, session, err);
    rc = db_end(h, rc, err);
    if (rc != 0)
        return rc;
    h->live = mem_grow(h->live, h->n_live + 1, sizeof *h->live);
    h->live[h->n_live++] = (struct live){answer, now};
    if (user && user_node)
        *user_node = prompt;
    *answer_node = answer;
    return 0;
}

/*
 * May this node be written to? Another machine that could not ask us may have called our answer interrupted: then it is taken back.
 */
static int still_open(struct hist *h, int64_t node, int64_t *session, struct err *err)
{
    enum hist_state state;
    struct live *live = find_live(h, node);
    int rc = find_node(h, node, session, &state, err);
    if (rc != 0 || state == HIST_STREAMING)
        return rc;
    if (!live || state != HIST_INTERRUPTED)
        return err_set(err, ERR_HISTORY, "this answer has already ended");
    rc = db_run(h, db_bind(h, SQL_NODE_STATE, "is", node, states[HIST_STREAMING]), err);
    return rc == 0 ? own(h, node, clock_wall_ms(), err) : rc;
}

int hist_append(struct hist *h, int64_t node, enum hist_kind kind, const char *text, size_t n, struct err *err)
{
    if (!n)
        return 0;
    int64_t session, part = 0, ord = -1;
    bool same = false;
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = still_open(h, node, &session, err);
    if (rc == 0) {
        sqlite3_stmt *st = db_bind(h, SQL_PART_LAST, "i", node);
        rc = db_row(h, st, err);
        if (rc > 0) {
            part = sqlite3_column_int64(st, 0);
            same = strcmp(db_text_or(st, 1), kinds[kind]) == 0;
            ord = sqlite3_column_int64(st, 2);
            db_reset(st);
            rc = 0;
        }
    }
    if (rc == 0)
        rc = same ? db_run(h, db_bind(h, SQL_PART_APPEND, "ib", part, text, n), err) : add_part(h, node, ord + 1, kind, text, n, err);
    struct live *live = find_live(h, node);
    int64_t now = clock_wall_ms();
    if (rc == 0 && live && (now - live->beat_ms > BEAT_MS || now < live->beat_ms)) {
        rc = db_run(h, db_bind(h, SQL_OWNER_BEAT, "ii", node, now), err);
        live->beat_ms = now;
    }
    return db_end(h, rc, err);
}

/* The node is over; inside a transaction. */
static int close_node(struct hist *h, int64_t node, enum hist_state state, struct err *err)
{
    int rc = db_run(h, db_bind(h, SQL_NODE_STATE, "is", node, states[state]), err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_OWNER_DROP, "i", node), err);
    return rc == 0 ? search_index(h, node, err) : rc;
}

static int put_gen(struct hist *h, int64_t node, int64_t session, const struct hist_gen *g, struct err *err)
{
    int rc = db_run(h, db_bind(h, SQL_GEN_PUT, "iIsissiiiiddddss", node, g->model_id, g->params, (int64_t)g->seed, g->backend, g->engine,
                               (int64_t)g->n_prompt, (int64_t)g->n_cached, (int64_t)g->n_reason, (int64_t)g->n_out, g->load_ms,
                               g->prefill_ms, g->ttft_ms, g->decode_ms, g->stop, g->error), err);
    return rc == 0 && g->model_id ? db_run(h, db_bind(h, SQL_SESSION_MODEL, "ii", session, g->model_id), err) : rc;
}

static void forget_live(struct hist *h, int64_t node)
{
    struct live *live = find_live(h, node);
    if (live)
        *live = h->live[--h->n_live];
}

int hist_turn_end(struct hist *h, int64_t node, enum hist_state state, const struct hist_gen *gen, struct err *err)
{
    int64_t session;
    ASSERT(state != HIST_STREAMING);
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = still_open(h, node, &session, err);
    if (rc == 0)
        rc = close_node(h, node, state, err);
    if (rc == 0 && gen)
        rc = put_gen(h, node, session, gen, err);
    if (rc == 0)
        rc = session_used(h, session, err);
    rc = db_end(h, rc, err);
    if (rc == 0)
        forget_live(h, node);
    return rc;
}

int hist_gen_put(struct hist *h, int64_t node, const struct hist_gen *gen, struct err *err)
{
    int64_t session;
    enum hist_state state;
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = find_node(h, node, &session, &state, err);
    return db_end(h, rc == 0 ? put_gen(h, node, session, gen, err) : rc, err);
}

int hist_node_put(struct hist *h, int64_t session, int64_t parent, enum hist_role role, enum hist_state state, int64_t created_ms,
                  const struct hist_part *parts, size_t n_parts, int64_t *id, struct err *err)
{
    int64_t node = 0;
    ASSERT(state != HIST_STREAMING);
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = add_node(h, session, parent, role, state, created_ms, &node, err);
    for (size_t i = 0; rc == 0 && i < n_parts; i++)
        rc = add_part(h, node, (int64_t)i, parts[i].kind, parts[i].text, parts[i].n, err);
    if (rc == 0)
        rc = search_index(h, node, err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_SESSION_LISTED, "i", session), err);
    rc = db_end(h, rc, err);
    if (rc == 0)
        *id = node;
    return rc;
}

/* ---- answers without a writer ---- */

int turn_recover(struct hist *h, struct err *err)
{
    int64_t *dead = NULL, now = clock_wall_ms(), session;
    size_t n = 0;
    int rc;
    sqlite3_stmt *st = db_bind(h, SQL_STREAMING, "");
    while ((rc = db_row(h, st, err)) > 0) {
        struct owner o = {.pid = sqlite3_column_int64(st, 1), .start = sqlite3_column_int64(st, 2), .beat_ms = sqlite3_column_int64(st, 6)};
        memccpy(o.boot, db_text_or(st, 3), 0, sizeof o.boot - 1);
        memccpy(o.machine, db_text_or(st, 4), 0, sizeof o.machine - 1);
        memccpy(o.ns, db_text_or(st, 5), 0, sizeof o.ns - 1);
        if (sqlite3_column_type(st, 1) != SQLITE_NULL && owner_alive(&o, &h->me, now))
            continue;
        dead = mem_grow(dead, n + 1, sizeof *dead);
        dead[n++] = sqlite3_column_int64(st, 0);
    }
    if (rc == 0 && n && (rc = db_begin(h, err)) == 0) {
        for (size_t i = 0; i < n && rc == 0; i++) {
            enum hist_state state;
            rc = find_node(h, dead[i], &session, &state, err);
            if (rc == 0 && state == HIST_STREAMING)
                rc = close_node(h, dead[i], HIST_INTERRUPTED, err);
        }
        rc = db_end(h, rc, err);
    }
    free(dead);
    return rc;
}

void turn_abandon(struct hist *h)
{
    while (h->n_live) {
        int64_t session, node = h->live[--h->n_live].node;
        enum hist_state state;
        if (db_begin(h, NULL) != 0)
            continue;
        int rc = find_node(h, node, &session, &state, NULL);
        if (rc == 0 && state == HIST_STREAMING)
            rc = close_node(h, node, HIST_INTERRUPTED, NULL);
        db_end(h, rc, NULL);
    }
}

/* ---- reading ---- */

void hist_path_finish(struct hist_path *p)
{
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->at[i].n_parts; k++)
            free(p->at[i].parts[k].text);
        free(p->at[i].parts);
    }
    free(p->at);
    *p = (struct hist_path){0};
}

static int read_parts(struct hist *h, struct hist_node *node, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_PARTS, "i", node->id);
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        const void *text = sqlite3_column_blob(st, 1);
        size_t n = (size_t)sqlite3_column_bytes(st, 1);
        node->parts = mem_grow(node->parts, node->n_parts + 1, sizeof *node->parts);
        node->parts[node->n_parts++] =
            (struct hist_part){(enum hist_kind)word(hist_kind_name, db_text_or(st, 0)), mem_strndup(text ? text : "", n), n};
    }
    return rc;
}

/* The nodes of a statement, then their parts. */
static int read_nodes(struct hist *h, sqlite3_stmt *st, struct hist_path *p, struct err *err)
{
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        if ((p->n & (p->n - 1)) == 0) /* grows at powers of two */
            p->at = mem_grow(p->at, p->n ? 2 * p->n : 1, sizeof *p->at);
        p->at[p->n++] = (struct hist_node){
            .id = sqlite3_column_int64(st, 0),
            .session = sqlite3_column_int64(st, 1),
            .parent = sqlite3_column_int64(st, 2),
            .role = (enum hist_role)word(hist_role_name, db_text_or(st, 3)),
            .state = (enum hist_state)word(hist_state_name, db_text_or(st, 4)),
            .created_ms = sqlite3_column_int64(st, 5),
            .version = sqlite3_column_int(st, 6),
            .n_versions = sqlite3_column_int(st, 7),
        };
    }
    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = read_parts(h, &p->at[i], err);
    return rc;
}

/* all: every node, else the way to `node`. */
static int read_tree(struct hist *h, int64_t session, int64_t node, bool all, struct hist_path *out, struct err *err)
{
    struct hist_path p = {0};
    int64_t head = 0;
    int rc = db_read_begin(h, err);
    if (rc != 0)
        return rc;
    rc = db_int(h, db_bind(h, SQL_SESSION_HEAD_GET, "i", session), &head, err);
    if (rc == 0)
        rc = err_set(err, ERR_HISTORY, "no such session");
    else if (rc > 0) {
        node = node ? node : head;
        rc = all || node ? read_nodes(h, db_bind(h, all ? SQL_NODE_ALL : SQL_NODE_PATH, "ii", node, session), &p, err) : 0;
        if (rc == 0 && !all && node && p.n == 0)
            rc = no_message(err);
    }
    db_read_end(h);
    if (rc == 0)
        *out = p;
    else
        hist_path_finish(&p);
    return rc;
}

int hist_path_get(struct hist *h, int64_t session, int64_t node, struct hist_path *out, struct err *err)
{
    return read_tree(h, session, node, false, out, err);
}

int hist_nodes(struct hist *h, int64_t session, struct hist_path *out, struct err *err)
{
    return read_tree(h, session, 0, true, out, err);
}

int hist_leaf(struct hist *h, int64_t node, int64_t *leaf, struct err *err)
{
    int64_t found = 0;
    int rc = db_int(h, db_bind(h, SQL_NODE_LEAF, "i", node), &found, err);
    if (rc < 0)
        return rc;
    if (!found)
        return no_message(err);
    *leaf = found;
    return 0;
}

const char *hist_node_text(const struct hist_node *n, size_t *len)
{
    static struct buf joined; /* for a node whose text something stands between */
    const struct hist_part *only = NULL;
    size_t count = 0, total = 0;
    for (size_t i = 0; i < n->n_parts; i++)
        if (n->parts[i].kind == HIST_TEXT) {
            only = &n->parts[i];
            total += only->n;
            count++;
        }
    if (count <= 1) {
        *len = total;
        return only ? only->text : "";
    }
    buf_finish(&joined);
    buf_init(&joined, total);
    for (size_t i = 0; i < n->n_parts; i++)
        if (n->parts[i].kind == HIST_TEXT)
            buf_add(&joined, n->parts[i].text, n->parts[i].n);
    *len = joined.len;
    return buf_str(&joined);
}

/* ---- provenance ---- */

int hist_gen_get(struct hist *h, int64_t node, struct hist_gen *out, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_GEN_GET, "i", node);
    int rc = db_row(h, st, err);
    if (rc <= 0)
        return rc;
    *out = (struct hist_gen){
        .model_id = sqlite3_column_int64(st, 0),
        .params = db_text(st, 1),
        .seed = (uint64_t)sqlite3_column_int64(st, 2),
        .backend = db_text(st, 3),
        .engine = db_text(st, 4),
        .n_prompt = sqlite3_column_int(st, 5),
        .n_cached = sqlite3_column_int(st, 6),
        .n_reason = sqlite3_column_int(st, 7),
        .n_out = sqlite3_column_int(st, 8),
        .load_ms = sqlite3_column_double(st, 9),
        .prefill_ms = sqlite3_column_double(st, 10),
        .ttft_ms = sqlite3_column_double(st, 11),
        .decode_ms = sqlite3_column_double(st, 12),
        .stop = db_text(st, 13),
        .error = db_text(st, 14),
    };
    db_reset(st);
    return 1;
}

void hist_gen_finish(struct hist_gen *g)
{
    free((char *)(uintptr_t)g->params);
    free((char *)(uintptr_t)g->backend);
    free((char *)(uintptr_t)g->engine);
    free((char *)(uintptr_t)g->stop);
    free((char *)(uintptr_t)g->error);
    *g = (struct hist_gen){0};
}

/* ---- prompts typed before ---- */

int input_add(struct hist *h, int64_t session, const char *text, size_t n, struct err *err)
{
    if (!n || n > HIST_MAX_INPUT || memchr(text, 0, n))
        return 0;
    char *s = mem_strndup(text, n);
    sqlite3_stmt *st = db_bind(h, SQL_INPUT_LAST, "");
    int rc = db_row(h, st, err);
    bool same = rc > 0 && strcmp(db_text_or(st, 0), s) == 0;
    if (rc > 0)
        db_reset(st);
    if (rc >= 0 && !same) {
        rc = db_run(h, db_bind(h, SQL_INPUT_ADD, "sIi", s, session, clock_wall_ms()), err);
        if (rc == 0)
            rc = db_run(h, db_bind(h, SQL_INPUT_TRIM, ""), err);
    }
    free(s);
    return rc < 0 ? rc : 0;
}

int hist_input_add(struct hist *h, int64_t session, const char *text, struct err *err)
{
    int rc = db_begin(h, err);
    return rc == 0 ? db_end(h, input_add(h, session, text, strlen(text), err), err) : rc;
}

int hist_input_each(struct hist *h, int limit, void (*each)(void *arg, const char *text), void *arg, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_INPUT_LIST, "i", (int64_t)(limit > 0 ? limit : -1));
    int rc;
    while ((rc = db_row(h, st, err)) > 0)
        each(arg, db_text_or(st, 0));
    return rc;
}
