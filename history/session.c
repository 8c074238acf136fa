/*
 * Sessions and models: making, finding, listing, deleting. A session is in a list once it has a place; its place follows
 * updated_ms but never goes back, so a clock that jumps does not hide the newest.
 */
#include "config.h"
#include "history/impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

static int no_session(struct err *err)
{
    return err_set(err, ERR_HISTORY, "no such session");
}

/* ---- models ---- */

int hist_model_put(struct hist *h, const struct hist_model *m, int64_t *id, struct err *err)
{
    const char *name = m->name ? m->name : "";
    char *key = m->fingerprint && *m->fingerprint ? mem_strdup(m->fingerprint) : mem_printf("name:%s", name);
    int64_t found = 0;
    int rc = db_begin(h, err);
    if (rc == 0) {
        rc = db_int(h, db_bind(h, SQL_MODEL_FIND, "s", key), &found, err);
        if (rc == 0) {
            rc = db_run(h, db_bind(h, SQL_MODEL_ADD, "sssssis", name, m->file, key, m->arch, m->quant, (int64_t)m->ctx_train, m->template_sha), err);
            found = sqlite3_last_insert_rowid(h->db);
        }
        rc = db_end(h, rc < 0 ? rc : 0, err);
    }
    free(key);
    if (rc == 0)
        *id = found;
    return rc;
}

int hist_model_get(struct hist *h, int64_t id, struct hist_model *out, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_MODEL_GET, "i", id);
    int rc = db_row(h, st, err);
    if (rc <= 0)
        return rc;
    *out = (struct hist_model){db_text(st, 0), db_text(st, 1), db_text(st, 2), db_text(st, 3), db_text(st, 4), db_text(st, 5),
                               sqlite3_column_int(st, 6)};
    db_reset(st);
    return 1;
}

void hist_model_finish(struct hist_model *m)
{
    free((char *)(uintptr_t)m->name);
    free((char *)(uintptr_t)m->file);
    free((char *)(uintptr_t)m->fingerprint);
    free((char *)(uintptr_t)m->arch);
    free((char *)(uintptr_t)m->quant);
    free((char *)(uintptr_t)m->template_sha);
    *m = (struct hist_model){0};
}

static double per_second(double n, double ms)
{
    return n > 0 && ms > 0 ? n * 1000 / ms : 0;
}

int hist_models_used(struct hist *h, struct hist_usages *out, struct err *err)
{
    struct hist_usages l = {0};
    sqlite3_stmt *st = db_bind(h, SQL_MODEL_USED, "");
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        l.at = mem_grow(l.at, l.n + 1, sizeof *l.at);
        l.at[l.n++] = (struct hist_usage){
            .model = {db_text(st, 1), db_text(st, 2), db_text(st, 3), db_text(st, 4), db_text(st, 5), db_text(st, 6), sqlite3_column_int(st, 7)},
            .id = sqlite3_column_int64(st, 0),
            .runs = sqlite3_column_int(st, 8),
            .used_ms = sqlite3_column_int64(st, 9),
            .decode_tps = per_second(sqlite3_column_double(st, 10), sqlite3_column_double(st, 11)),
            .prefill_tps = per_second(sqlite3_column_double(st, 12), sqlite3_column_double(st, 13)),
            .load_ms = sqlite3_column_double(st, 14),
        };
    }
    if (rc == 0)
        *out = l;
    else
        hist_usages_finish(&l);
    return rc;
}

void hist_usages_finish(struct hist_usages *l)
{
    for (size_t i = 0; i < l->n; i++)
        hist_model_finish(&l->at[i].model);
    free(l->at);
    *l = (struct hist_usages){0};
}

/* ---- making ---- */

static int add(struct hist *h, const struct hist_session *s, int64_t *id, struct err *err)
{
    char uid[27];
    int64_t now = clock_wall_ms();
    ulid_make(uid, now);
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = db_run(h, !s ? db_bind(h, SQL_SESSION_ADD, "si", uid, now) :
                        db_bind(h, SQL_SESSION_PUT, "sssssiiIis", uid, s->title ? s->title : "", s->title_src ? s->title_src : "auto", s->system,
                                s->params, s->created_ms, s->updated_ms, s->archived_ms, (int64_t)s->pinned, s->draft), err);
    int64_t made = sqlite3_last_insert_rowid(h->db);
    rc = db_end(h, rc, err);
    if (rc == 0)
        *id = made;
    return rc;
}

int hist_session_new(struct hist *h, int64_t *id, struct err *err)
{
    int rc = add(h, NULL, id, err);
    if (rc == 0) {
        h->fresh = mem_grow(h->fresh, h->n_fresh + 1, sizeof *h->fresh);
        h->fresh[h->n_fresh++] = *id;
    }
    return rc;
}

int hist_session_put(struct hist *h, const struct hist_session *s, int64_t *id, struct err *err)
{
    return add(h, s, id, err);
}

int session_used(struct hist *h, int64_t id, struct err *err)
{
    return db_run(h, db_bind(h, SQL_SESSION_USED, "ii", id, clock_wall_ms()), err);
}

/* ---- reading ---- */

static void read_session(sqlite3_stmt *st, struct hist_session *s)
{
    *s = (struct hist_session){
        .id = sqlite3_column_int64(st, 0),
        .title = mem_strdup(db_text_or(st, 2)),
        .title_src = mem_strdup(db_text_or(st, 3)),
        .system = db_text(st, 4),
        .params = db_text(st, 5),
        .model = db_text(st, 6),
        .created_ms = sqlite3_column_int64(st, 7),
        .updated_ms = sqlite3_column_int64(st, 8),
        .archived_ms = sqlite3_column_int64(st, 9),
        .deleted_ms = sqlite3_column_int64(st, 10),
        .pinned = sqlite3_column_int(st, 11) != 0,
        .head = sqlite3_column_int64(st, 12),
        .draft = db_text(st, 13),
        .n_messages = sqlite3_column_int(st, 14),
        .n_branches = sqlite3_column_int(st, 15),
        .tags = mem_strdup(db_text_or(st, 16)),
        .from_session = sqlite3_column_int64(st, 17),
        .from_node = sqlite3_column_int64(st, 18),
        .head_state = -1,
    };
    for (int i = 0; hist_state_name(i); i++)
        if (strcmp(hist_state_name(i), db_text_or(st, 19)) == 0)
            s->head_state = i;
    memccpy(s->uid, db_text_or(st, 1), 0, sizeof s->uid - 1);
}

void hist_session_finish(struct hist_session *s)
{
    free(s->title);
    free(s->title_src);
    free(s->system);
    free(s->params);
    free(s->model);
    free(s->draft);
    free(s->tags);
    *s = (struct hist_session){0};
}

void hist_list_finish(struct hist_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        hist_session_finish(&l->at[i]);
    free(l->at);
    *l = (struct hist_list){0};
}

int hist_session_get(struct hist *h, int64_t id, struct hist_session *out, struct err *err)
{
    sqlite3_stmt *st = db_bind(h, SQL_SESSION_GET, "i", id);
    int rc = db_row(h, st, err);
    if (rc == 0)
        return no_session(err);
    if (rc < 0)
        return rc;
    read_session(st, out);
    db_reset(st);
    return 0;
}

int hist_session_list_of(struct hist *h, enum hist_which which, int limit, struct hist_list *out, struct err *err)
{
    static const enum sql_id list[] = {[HIST_ACTIVE] = SQL_SESSION_LIST, [HIST_ARCHIVED] = SQL_SESSION_LIST_ARCHIVED,
                                       [HIST_ALL] = SQL_SESSION_LIST_ALL, [HIST_DELETED] = SQL_SESSION_LIST_DELETED};
    struct hist_list l = {0};
    sqlite3_stmt *st = db_bind(h, list[which], "i", (int64_t)(limit > 0 ? limit : -1));
    int rc;
    while ((rc = db_row(h, st, err)) > 0) {
        if ((l.n & (l.n - 1)) == 0) /* grows at powers of two */
            l.at = mem_grow(l.at, l.n ? 2 * l.n : 1, sizeof *l.at);
        read_session(st, &l.at[l.n++]);
    }
    if (rc == 0)
        *out = l;
    else
        hist_list_finish(&l);
    return rc;
}

int hist_session_list(struct hist *h, bool deleted, int limit, struct hist_list *out, struct err *err)
{
    return hist_session_list_of(h, deleted ? HIST_DELETED : HIST_ACTIVE, limit, out, err);
}

/* What a person types for an id: letters that look like digits are those digits. false: cannot be one. */
static bool id_text(const char *what, char out[27])
{
    size_t n = strlen(what);
    if (n < 6 || n > 26)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = what[i];
        c = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        c = (char)(c == 'I' || c == 'L' ? '1' : c == 'O' ? '0' : c);
        if (!strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c))
            return false;
        out[i] = c;
    }
    out[n] = 0;
    return true;
}

/* Takes the only row; of several titles the one that is exactly `what`. *n: rows seen. */
static int only_one(struct hist *h, sqlite3_stmt *st, const char *what, int64_t *id, int *n, struct buf *names, struct err *err)
{
    int rc, exact = 0;
    int64_t exact_id = 0;
    *n = 0;
    while ((rc = db_row(h, st, err)) > 0) {
        const char *uid = db_text_or(st, 1), *title = db_text_or(st, 2);
        if (++*n == 1)
            *id = sqlite3_column_int64(st, 0);
        if (strcasecmp(title, what) == 0 && ++exact)
            exact_id = sqlite3_column_int64(st, 0);
        char low[7] = "";
        for (int i = 0; i < 6 && strlen(uid) == 26; i++)
            low[i] = (char)(uid[20 + i] >= 'A' && uid[20 + i] <= 'Z' ? uid[20 + i] + 32 : uid[20 + i]);
        if (*n <= 3)
            buf_addf(names, "%s%s \"%.60s\"", *n > 1 ? ", " : "", low, title);
    }
    if (rc < 0)
        return rc;
    if (*n > 3)
        buf_addstr(names, ", ...");
    if (exact == 1) {
        *n = 1;
        *id = exact_id;
    }
    return 0;
}

int hist_session_find(struct hist *h, const char *what, bool deleted, int64_t *id, struct err *err)
{
    int64_t found = 0;
    if (!what || !*what) {
        int rc = db_int(h, db_bind(h, deleted ? SQL_SESSION_NEWEST_DELETED : SQL_SESSION_NEWEST, ""), &found, err);
        if (rc == 0)
            return err_set(err, ERR_HISTORY, deleted ? "no session is deleted" : "there is no session yet");
        *id = found;
        return rc < 0 ? rc : 0;
    }
    char typed[27];
    int n = 0, rc = 0;
    struct buf names = BUF_INIT(2000), query = BUF_INIT(1 << 20);
    if (id_text(what, typed))
        rc = only_one(h, db_bind(h, SQL_SESSION_BY_UID, "si", typed, (int64_t)deleted), what, &found, &n, &names, err);
    for (int prefix = 0; rc == 0 && n == 0 && prefix < 2; prefix++) { /* whole words first: that is faster, too */
        buf_reset(&query);
        search_query(&query, what, "title", prefix);
        if (query.len)
            rc = only_one(h, db_bind(h, SQL_SESSION_BY_TITLE, "si", buf_str(&query), (int64_t)deleted), what, &found, &n, &names, err);
    }
    if (rc == 0 && n == 0)
        rc = err_set(err, ERR_HISTORY, deleted ? "no deleted session has this id or these words in its title: %.200s" :
                                                 "no session has this id or these words in its title: %.200s", what);
    else if (rc == 0 && n > 1)
        rc = err_set(err, ERR_HISTORY, "ambiguous, \"%.60s\" fits %d sessions: %s", what, n, buf_str(&names));
    else if (rc == 0)
        *id = found;
    buf_finish(&names);
    buf_finish(&query);
    return rc;
}

/* ---- changing ---- */

/* One statement that must have found its session, in a transaction; then the index of titles where asked. */
static int change(struct hist *h, sqlite3_stmt *st, int64_t id, bool retitle, struct err *err)
{
    int rc = db_run(h, st, err);
    if (rc == 0 && db_changes(h) == 0)
        rc = no_session(err);
    if (rc == 0 && retitle)
        rc = search_retitle(h, id, err);
    return db_end(h, rc, err);
}

int hist_session_rename(struct hist *h, int64_t id, const char *title, bool by_user, struct err *err)
{
    int rc = db_begin(h, err);
    if (rc)
        return rc;
    char *made = title && !by_user ? make_title(title, strlen(title)) : mem_strdup(title);
    rc = change(h, db_bind(h, SQL_SESSION_TITLE, "iss", id, made ? made : "", by_user ? "user" : "auto"), id, true, err);
    free(made);
    return rc;
}

int hist_session_set_system(struct hist *h, int64_t id, const char *text, struct err *err)
{
    int rc = db_begin(h, err);
    return rc ? rc : change(h, db_bind(h, SQL_SESSION_SYSTEM, "is", id, text), id, false, err);
}

int hist_session_set_params(struct hist *h, int64_t id, const char *json, struct err *err)
{
    int rc = db_begin(h, err);
    return rc ? rc : change(h, db_bind(h, SQL_SESSION_PARAMS, "is", id, json), id, false, err);
}

int hist_session_pin(struct hist *h, int64_t id, bool on, struct err *err)
{
    int rc = db_begin(h, err);
    return rc ? rc : change(h, db_bind(h, SQL_SESSION_PIN, "ii", id, (int64_t)on), id, false, err);
}

int hist_session_archive(struct hist *h, int64_t id, bool on, struct err *err)
{
    int rc = db_begin(h, err);
    return rc ? rc : change(h, db_bind(h, SQL_SESSION_ARCHIVE, "ii", id, on ? clock_wall_ms() : (int64_t)0), id, false, err);
}

int hist_session_delete(struct hist *h, int64_t id, struct err *err)
{
    struct hist_session s;
    int rc = hist_session_get(h, id, &s, err);
    if (rc != 0)
        return rc;
    bool gone = s.deleted_ms != 0;
    hist_session_finish(&s);
    rc = gone ? 0 : db_begin(h, err);
    return rc || gone ? rc : db_end(h, db_run(h, db_bind(h, SQL_SESSION_DELETE, "ii", id, clock_wall_ms()), err), err);
}

int hist_session_undelete(struct hist *h, int64_t id, struct err *err)
{
    int rc = db_begin(h, err);
    return rc ? rc : change(h, db_bind(h, SQL_SESSION_UNDELETE, "i", id), id, false, err);
}

int hist_draft_set(struct hist *h, int64_t session, const char *text, struct err *err)
{
    struct hist_session s;
    int rc = hist_session_get(h, session, &s, err);
    if (rc != 0)
        return rc;
    bool same = text ? s.draft && strcmp(s.draft, text) == 0 : !s.draft, empty = s.n_messages == 0,
         listed = !empty || s.draft;
    hist_session_finish(&s);
    if (same)
        return 0;
    if ((rc = db_begin(h, err)) != 0)
        return rc;
    rc = db_run(h, db_bind(h, SQL_SESSION_DRAFT, "is", session, text), err);
    if (rc == 0 && text && !listed)
        rc = session_used(h, session, err);
    if (!text && empty) { /* goes at close */
        h->fresh = mem_grow(h->fresh, h->n_fresh + 1, sizeof *h->fresh);
        h->fresh[h->n_fresh++] = session;
    }
    return db_end(h, rc, err);
}

int hist_head_set(struct hist *h, int64_t session, int64_t node, struct err *err)
{
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    int64_t of = 0;
    if (node && (rc = db_int(h, db_bind(h, SQL_NODE_GET, "i", node), &of, err)) >= 0)
        rc = of == session ? 0 : err_set(err, ERR_HISTORY, "no such message in this session");
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_SESSION_HEAD, "iI", session, node), err);
    if (rc == 0 && db_changes(h) == 0)
        rc = no_session(err);
    if (rc == 0 && node)
        rc = db_run(h, db_bind(h, SQL_NODE_LEAD, "i", node), err);
    return db_end(h, rc, err);
}

/* ---- purging ---- */

/*
 * secure_delete clears what is deleted, but not what stayed behind when SQLite moved a row to another page earlier; writing the whole
 * file anew does. The copy goes through a temporary file that has no name.
 */
static int rewrite_file(struct hist *h, struct err *err)
{
    int rc = sqlite3_exec(h->db, "PRAGMA temp_store = FILE; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    struct err why = {0};
    if (rc != SQLITE_OK)
        db_fail(h, rc, &why);
    sqlite3_exec(h->db, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : err_set(err, ERR_HISTORY, "deleted, but remains of the text may still be in the file: %s", why.msg);
}

static int purge_rows(struct hist *h, int64_t until_ms, int *gone, struct err *err)
{
    int64_t id;
    int rc;
    while ((rc = db_int(h, db_bind(h, SQL_PURGEABLE, "i", until_ms), &id, err)) > 0) {
        rc = db_run(h, db_bind(h, SQL_PURGE_INDEX, "i", id), err);
        if (rc == 0)
            rc = db_run(h, db_bind(h, SQL_SESSION_REMOVE, "i", id), err);
        if (rc != 0)
            return rc;
        ++*gone;
    }
    if (rc == 0 && *gone)
        rc = db_run(h, db_bind(h, SQL_PURGE_ATTACHMENTS, ""), err);
    if (rc == 0 && *gone) /* else its words would stay in older segments of the index */
        rc = db_run(h, db_bind(h, SQL_INDEX_OPTIMIZE, ""), err);
    return rc;
}

int hist_purge(struct hist *h, int64_t older_than_ms, int *n, struct err *err)
{
    int gone = 0;
    ASSERT(!h->nested);
    int rc = db_begin(h, err);
    if (rc != 0)
        return rc;
    rc = db_end(h, purge_rows(h, clock_wall_ms() - older_than_ms, &gone, err), err);
    if (rc != 0)
        return rc;
    if (n)
        *n = gone;
    return gone ? rewrite_file(h, err) : 0;
}

void session_clean(struct hist *h)
{
    int64_t id;
    hist_set_wait(h, 0); /* another time will do */
    for (size_t i = 0; i < h->n_fresh; i++)
        db_run(h, db_bind(h, SQL_SESSION_REMOVE_EMPTY, "i", h->fresh[i]), NULL);
    if (db_int(h, db_bind(h, SQL_PURGEABLE, "i", clock_wall_ms() - HIST_KEEP_MS - HIST_GATHER_MS), &id, NULL) > 0)
        hist_purge(h, HIST_KEEP_MS, NULL, NULL);
}
