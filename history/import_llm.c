/*
 * llm's logs.db. Another program's file, from anywhere: opened for reading only, with neither views nor triggers nor functions of the schema, with
 * small limits and a time limit; columns are named one by one, and their types are looked at, not believed.
 */
#include "config.h"
#include "history/impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define LLM_MAX_BYTES (16 << 20)  /* of a value */
#define LLM_MAX_ROWS 1000000
#define LLM_MAX_US (120 * INT64_C(1000000)) /* that it may take */
#define STEPS 100000

static const char rows_sql[] =
    "SELECT coalesce(r.conversation_id, r.id), c.name, r.model, r.prompt, r.system, r.response, r.duration_ms,"
    " CAST(round((julianday(r.datetime_utc) - 2440587.5) * 86400000) AS INTEGER)"
    " FROM responses r LEFT JOIN conversations c ON c.id = r.conversation_id"
    " ORDER BY coalesce(r.conversation_id, r.id), r.datetime_utc, r.id";

struct llm {
    sqlite3 *db;
    const char *path;
    int64_t until_us;
};

static int too_long(void *arg)
{
    return clock_mono_us() > ((struct llm *)arg)->until_us;
}

static int fail(struct llm *l, struct err *err)
{
    const char *why = sqlite3_errmsg(l->db);
    int rc = sqlite3_errcode(l->db);
    if (rc == SQLITE_INTERRUPT)
        why = "it takes too long to read";
    else if (rc == SQLITE_NOTADB)
        why = "it is no SQLite database";
    return err_set(err, ERR_INPUT, "%s: cannot be read as llm's logs.db: %s", l->path, why);
}

static int open_llm(struct llm *l, struct err *err)
{
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_DQS_DML,
                              SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION};
    char *name = l->path[0] == '/' ? mem_strdup(l->path) : mem_printf("./%s", l->path); /* never ":memory:" or a URI */
    int rc = sqlite3_open_v2(name, &l->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    free(name);
    if (rc != SQLITE_OK)
        return fail(l, err);
    sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        sqlite3_db_config(l->db, off[i], 0, NULL);
    sqlite3_limit(l->db, SQLITE_LIMIT_LENGTH, LLM_MAX_BYTES);
    sqlite3_limit(l->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(l->db, SQLITE_LIMIT_EXPR_DEPTH, 100);
    l->until_us = clock_mono_us() + LLM_MAX_US;
    sqlite3_progress_handler(l->db, STEPS, too_long, l);
    rc = sqlite3_exec(l->db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA query_only = ON", NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : fail(l, err);
}

/* A text of the row, without NUL at its end or within; NULL for none. Borrowed. */
static const char *text(sqlite3_stmt *st, int column)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL ? NULL : (const char *)sqlite3_column_text(st, column);
}

/* The conversation that rows go to now. */
struct talk {
    char *key;
    int64_t session, node;
};

static int begin_talk(struct hist *h, sqlite3_stmt *st, struct talk *t, int64_t ms, struct err *err)
{
    const char *name = text(st, 1), *system = text(st, 4);
    struct hist_session s = {.title = (char *)(uintptr_t)(name ? name : ""), .title_src = (char *)(uintptr_t)"auto",
                             .system = (char *)(uintptr_t)(system && *system ? system : NULL), .created_ms = ms, .updated_ms = ms};
    free(t->key);
    t->key = mem_strdup(text(st, 0) ? text(st, 0) : "");
    t->node = 0;
    return hist_session_put(h, &s, &t->session, err);
}

static int add_message(struct hist *h, struct talk *t, enum hist_role role, const char *s, int64_t ms, struct err *err)
{
    struct hist_part part = {HIST_TEXT, (char *)(uintptr_t)s, strlen(s)};
    return hist_node_put(h, t->session, t->node, role, HIST_FINAL, ms, &part, 1, &t->node, err);
}

static int add_row(struct hist *h, sqlite3_stmt *st, struct talk *t, int *n, struct err *err)
{
    const char *key = text(st, 0), *model = text(st, 2), *prompt = text(st, 3), *response = text(st, 5);
    int64_t ms = sqlite3_column_int64(st, 7), model_id = 0;
    int rc = 0;
    ms = ms > 0 ? ms : 0;
    if (!t->key || strcmp(t->key, key ? key : "") != 0) {
        rc = begin_talk(h, st, t, ms, err);
        *n += rc == 0;
    }
    if (rc == 0 && prompt && *prompt)
        rc = add_message(h, t, HIST_USER, prompt, ms, err);
    if (rc == 0 && response && *response) {
        rc = add_message(h, t, HIST_ASSISTANT, response, ms, err);
        if (rc == 0 && model && *model)
            rc = hist_model_put(h, &(struct hist_model){.name = model}, &model_id, err);
        double took = sqlite3_column_double(st, 6);
        if (rc == 0 && model_id)
            rc = hist_gen_put(h, t->node, &(struct hist_gen){.model_id = model_id, .decode_ms = took > 0 && took < 1e12 ? took : 0}, err);
    }
    return rc == 0 && t->node ? hist_head_set(h, t->session, t->node, err) : rc;
}

static int add_rows(struct hist *h, struct llm *l, int *n, struct err *err)
{
    sqlite3_stmt *st = NULL;
    struct talk t = {0};
    int rc = 0, got, rows = 0;
    if (sqlite3_prepare_v2(l->db, rows_sql, -1, &st, NULL) != SQLITE_OK)
        return fail(l, err);
    while (rc == 0 && (got = sqlite3_step(st)) != SQLITE_DONE) {
        if (got != SQLITE_ROW)
            rc = fail(l, err);
        else if (++rows > LLM_MAX_ROWS)
            rc = err_set(err, ERR_INPUT, "%s: more than %d responses", l->path, LLM_MAX_ROWS);
        else
            rc = add_row(h, st, &t, n, err);
    }
    sqlite3_finalize(st);
    free(t.key);
    return rc;
}

int hist_import_llm(struct hist *h, const char *path, int *n, struct err *err)
{
    struct llm l = {.path = path};
    int count = 0, rc = open_llm(&l, err);
    if (rc == 0)
        rc = hist_begin(h, err);
    if (rc == 0) {
        rc = add_rows(h, &l, &count, err);
        if (rc == 0)
            rc = hist_commit(h, err);
        else
            hist_rollback(h);
    }
    sqlite3_close(l.db);
    if (rc == 0)
        *n = count;
    return rc;
}
