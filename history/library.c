/*
 * What a person does to sessions as a collection: tags, forks, orders of the list.
 */
#include "config.h"
#include "history/impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

/* ---- tags ---- */

#define TAG_MAX 64

/* The tag without its #, or NULL when it cannot be one. */
static const char *tag_text(const char *tag, struct err *err)
{
    tag += *tag == '#';
    size_t n = strlen(tag);
    bool bad = !n || n > TAG_MAX || !utf8_valid(tag, n) || strchr(tag, ',') || strstr(tag, "\u3000");
    for (size_t i = 0; i < n && !bad; i++)
        bad = (unsigned char)tag[i] <= ' ' || tag[i] == 0x7f;
    if (!bad)
        return tag;
    err_set(err, ERR_HISTORY, "a tag is a word of 1 to %d bytes without blanks or commas, not \"%.80s\"", TAG_MAX, tag);
    return NULL;
}

static int change_tag(struct hist *h, enum sql_id how, int64_t session, const char *tag, struct err *err)
{
    struct hist_session s;
    if (!(tag = tag_text(tag, err)))
        return ERR_HISTORY;
    int rc = hist_session_get(h, session, &s, err);
    if (rc != 0)
        return rc;
    hist_session_finish(&s);
    rc = db_begin(h, err);
    return rc ? rc : db_end(h, db_run(h, db_bind(h, how, "is", session, tag), err), err);
}

int hist_tag_add(struct hist *h, int64_t session, const char *tag, struct err *err)
{
    return change_tag(h, SQL_TAG_ADD, session, tag, err);
}

int hist_tag_remove(struct hist *h, int64_t session, const char *tag, struct err *err)
{
    return change_tag(h, SQL_TAG_REMOVE, session, tag, err);
}

int hist_tags_get(struct hist *h, int64_t session, struct hist_tags *out, struct err *err)
{
    struct hist_tags t = {0};
    sqlite3_stmt *st = session ? db_bind(h, SQL_TAG_LIST, "i", session) : db_bind(h, SQL_TAG_LIST_ALL, "");
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        t.at = mem_grow(t.at, t.n + 1, sizeof *t.at);
        t.at[t.n++] = mem_strdup(db_text_or(st, 0));
    }
    if (rc == 0)
        *out = t;
    else
        hist_tags_finish(&t);
    return rc;
}

void hist_tags_finish(struct hist_tags *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->at[i]);
    free(t->at);
    *t = (struct hist_tags){0};
}

/* ---- forks ---- */

/* Copies one message below `parent`, with all that belongs to it. */
static int copy_node(struct hist *h, int64_t from, int64_t session, int64_t parent, int64_t *copy, struct err *err)
{
    int rc = db_run(h, db_bind(h, SQL_NODE_COPY, "iiI", from, session, parent), err);
    *copy = sqlite3_last_insert_rowid(h->db);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_PART_COPY, "ii", from, *copy), err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_PART_COPY_FILES, "ii", from, *copy), err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_NODE_COPY_GEN, "ii", from, *copy), err);
    if (rc == 0 && parent)
        rc = db_run(h, db_bind(h, SQL_NODE_LAST_CHILD, "ii", parent, *copy), err);
    return rc == 0 ? search_index(h, *copy, err) : rc;
}

static int copy_path(struct hist *h, const struct hist_path *p, int64_t session, struct err *err)
{
    int64_t parent = 0, copy = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        rc = copy_node(h, p->at[i].id, session, parent, &copy, err);
        parent = copy;
    }
    return rc == 0 ? db_run(h, db_bind(h, SQL_SESSION_HEAD, "ii", session, copy), err) : rc;
}

int hist_session_fork(struct hist *h, int64_t id, int64_t node, const char *title, int64_t *fork, struct err *err)
{
    struct hist_session s;
    struct hist_path p = {0};
    int64_t made = 0;
    int rc = hist_session_get(h, id, &s, err);
    if (rc != 0)
        return rc;
    rc = hist_path_get(h, id, node, &p, err);
    if (rc == 0 && p.n == 0)
        rc = err_set(err, ERR_HISTORY, "this session is empty; there is nothing to fork");
    bool outer = rc == 0 && !h->nested;
    if (outer && (rc = hist_begin(h, err)) != 0)
        outer = false;
    if (rc == 0) {
        int64_t now = clock_wall_ms();
        struct hist_session copy = {.title = title ? (char *)(uintptr_t)title : s.title, .title_src = title ? (char *)(uintptr_t)"user" : s.title_src,
                                    .system = s.system, .params = s.params, .created_ms = now, .updated_ms = now};
        rc = hist_session_put(h, &copy, &made, err);
    }
    if (rc == 0)
        rc = copy_path(h, &p, made, err);
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_SESSION_FORKED, "iii", made, id, p.at[p.n - 1].id), err);
    if (rc == 0)
        rc = session_used(h, made, err);
    if (outer && rc == 0)
        rc = hist_commit(h, err);
    else if (outer)
        hist_rollback(h);
    if (rc == 0)
        *fork = made;
    hist_path_finish(&p);
    hist_session_finish(&s);
    return rc;
}

/* ---- orders ---- */

const char *hist_sort_name(int sort)
{
    static const char *const names[] = {"updated", "created", "title", "messages", "model"};
    return sort >= 0 && sort < HIST_SORTS ? names[sort] : NULL;
}

struct ranked {
    struct hist_session s;
    size_t was;
    enum hist_sort by;
};

static int by_order(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    const struct hist_session *s = &x->s, *t = &y->s;
    int c = 0;
    if (s->pinned != t->pinned)
        return s->pinned ? -1 : 1;
    if (x->by == HIST_BY_CREATED)
        c = s->created_ms > t->created_ms ? -1 : s->created_ms < t->created_ms;
    else if (x->by == HIST_BY_TITLE)
        c = strcasecmp(s->title, t->title);
    else if (x->by == HIST_BY_MESSAGES)
        c = t->n_messages - s->n_messages;
    else if (x->by == HIST_BY_MODEL)
        c = !s->model || !t->model ? !s->model - !t->model : strcasecmp(s->model, t->model);
    return c ? c : x->was < y->was ? -1 : 1;
}

void hist_list_sort(struct hist_list *l, enum hist_sort by)
{
    struct ranked *r = mem_alloc((l->n + 1) * sizeof *r);
    for (size_t i = 0; i < l->n; i++)
        r[i] = (struct ranked){l->at[i], i, by};
    qsort(r, l->n, sizeof *r, by_order);
    for (size_t i = 0; i < l->n; i++)
        l->at[i] = r[i].s;
    free(r);
}
