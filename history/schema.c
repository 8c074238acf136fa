/*
 * The schema and how an older one becomes it. user_version is the number of steps that were taken; application_id says that the file
 * is ours. All tables are STRICT, all JSON is checked, times are milliseconds since 1970 (durations may have a fraction).
 *
 *   model       what wrote an answer
 *   session     a conversation: a tree of nodes and the head (the node that the next message goes below). `place` is its place in
 *               lists: like updated_ms, but never going back; NULL until there is something in it. One that is deleted has
 *               deleted_ms, and can come back, until it is purged
 *   node        one message; never changed once it is final. A parent is older than its children. last_child: the way a person went;
 *               a node without one is the end of a branch. is_copy: came with a fork, from the node that edited_from names
 *   part        what a message is made of, in order. `text` is a BLOB: bytes as they came, with NULs and bad UTF-8
 *   generation  how an answer was made, enough to make it again; the seed is unsigned, so a large one looks negative here
 *   owner       which process writes an answer now (state 'streaming')
 *   doc         the text that is searched, one row a message, repaired and with U+001F between characters of scripts that write no
 *               spaces; doc_fts is its index. search.c keeps both: no triggers, for they are switched off on our connections
 *   input_history  prompts typed before
 *   tag         words by which sessions are found
 *   attachment, node_prefix, snapshot, queued: attached files, prefixes read in advance, their files, prompts that wait
 */
#include "config.h"
#include "history/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static const char *const step_1[] = {
    "CREATE TABLE model("
    " id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL,"
    " file TEXT,"
    " fingerprint TEXT NOT NULL UNIQUE,"
    " arch TEXT,"
    " quant TEXT,"
    " ctx_train INTEGER NOT NULL DEFAULT 0,"
    " template_sha TEXT"
    ") STRICT",

    "CREATE TABLE session("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " uid TEXT NOT NULL UNIQUE CHECK(length(uid) = 26)," /* ULID */
    " title TEXT NOT NULL DEFAULT '',"
    " title_src TEXT NOT NULL DEFAULT 'auto' CHECK(title_src IN ('auto', 'model', 'user')),"
    " created_ms INTEGER NOT NULL,"
    " updated_ms INTEGER NOT NULL,"
    " place INTEGER,"
    " pinned INTEGER NOT NULL DEFAULT 0 CHECK(pinned IN (0, 1)),"
    " archived_ms INTEGER,"
    " deleted_ms INTEGER,"
    " model_id INTEGER REFERENCES model(id)," /* the one last used */
    " persona TEXT,"
    " system TEXT,"
    " params TEXT CHECK(params IS NULL OR json_valid(params)),"
    " head_id INTEGER REFERENCES node(id) ON DELETE SET NULL,"
    " draft TEXT,"
    " draft_point INTEGER,"
    " from_session INTEGER," /* a fork's origin, which may be gone */
    " from_node INTEGER"
    ") STRICT",
    "CREATE INDEX session_place ON session(place)",
    "CREATE INDEX session_deleted ON session(deleted_ms) WHERE deleted_ms IS NOT NULL",
    "CREATE INDEX session_head ON session(head_id)",

    "CREATE TABLE node("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " session_id INTEGER NOT NULL REFERENCES session(id) ON DELETE CASCADE,"
    " parent_id INTEGER CHECK(parent_id IS NULL OR parent_id < id),"
    " last_child INTEGER,"
    " role TEXT NOT NULL CHECK(role IN ('system', 'user', 'assistant', 'tool')),"
    " state TEXT NOT NULL CHECK(state IN ('streaming', 'final', 'interrupted', 'error')),"
    " created_ms INTEGER NOT NULL,"
    " edited_from INTEGER,"
    " is_copy INTEGER NOT NULL DEFAULT 0 CHECK(is_copy IN (0, 1)),"
    " UNIQUE(session_id, id),"
    " FOREIGN KEY(session_id, parent_id) REFERENCES node(session_id, id) DEFERRABLE INITIALLY DEFERRED"
    ") STRICT",
    "CREATE INDEX node_tree ON node(session_id, parent_id, role, last_child)",
    "CREATE INDEX node_streaming ON node(state) WHERE state = 'streaming'",

    "CREATE TABLE part("
    " id INTEGER PRIMARY KEY,"
    " node_id INTEGER NOT NULL REFERENCES node(id) ON DELETE CASCADE,"
    " ord INTEGER NOT NULL,"
    " kind TEXT NOT NULL CHECK(kind IN ('text', 'reasoning', 'attachment', 'tool_call', 'tool_result', 'error')),"
    " text BLOB NOT NULL,"
    " payload TEXT CHECK(payload IS NULL OR json_valid(payload)),"
    " elapsed_ms INTEGER,"
    " UNIQUE(node_id, ord)"
    ") STRICT",

    "CREATE TABLE attachment("
    " id INTEGER PRIMARY KEY,"
    " sha256 TEXT NOT NULL UNIQUE,"
    " mime TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " data BLOB NOT NULL"
    ") STRICT",
    "CREATE TABLE part_attachment("
    " part_id INTEGER NOT NULL REFERENCES part(id) ON DELETE CASCADE,"
    " attachment_id INTEGER NOT NULL REFERENCES attachment(id),"
    " PRIMARY KEY(part_id, attachment_id)"
    ") STRICT, WITHOUT ROWID",
    "CREATE INDEX part_attachment_of ON part_attachment(attachment_id)",

    "CREATE TABLE generation("
    " node_id INTEGER PRIMARY KEY REFERENCES node(id) ON DELETE CASCADE,"
    " model_id INTEGER REFERENCES model(id),"
    " params TEXT CHECK(params IS NULL OR json_valid(params)),"
    " seed INTEGER NOT NULL,"
    " backend TEXT,"
    " engine TEXT,"
    " n_prompt INTEGER NOT NULL,"
    " n_cached INTEGER NOT NULL,"
    " n_reason INTEGER NOT NULL,"
    " n_out INTEGER NOT NULL,"
    " load_ms REAL NOT NULL,"
    " prefill_ms REAL NOT NULL,"
    " ttft_ms REAL NOT NULL,"
    " decode_ms REAL NOT NULL,"
    " energy_mj INTEGER,"
    " energy_src TEXT,"
    " stop TEXT,"
    " error TEXT"
    ") STRICT",

    "CREATE TABLE node_prefix("
    " node_id INTEGER NOT NULL REFERENCES node(id) ON DELETE CASCADE,"
    " model_id INTEGER NOT NULL REFERENCES model(id),"
    " prefix_sha TEXT NOT NULL,"
    " n_tokens INTEGER NOT NULL,"
    " PRIMARY KEY(node_id, model_id)"
    ") STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot("
    " id INTEGER PRIMARY KEY,"
    " model_id INTEGER NOT NULL REFERENCES model(id),"
    " prefix_sha TEXT NOT NULL,"
    " n_tokens INTEGER NOT NULL,"
    " kv_type TEXT NOT NULL,"
    " ctx INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " file TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " used_ms INTEGER NOT NULL,"
    " hits INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE(model_id, prefix_sha, kv_type)"
    ") STRICT",

    "CREATE TABLE queued("
    " id INTEGER PRIMARY KEY,"
    " session_id INTEGER NOT NULL REFERENCES session(id) ON DELETE CASCADE,"
    " text BLOB NOT NULL,"
    " created_ms INTEGER NOT NULL"
    ") STRICT",
    "CREATE INDEX queued_session ON queued(session_id)",

    "CREATE TABLE input_history("
    " id INTEGER PRIMARY KEY,"
    " text TEXT NOT NULL,"
    " session_id INTEGER REFERENCES session(id) ON DELETE CASCADE,"
    " used_ms INTEGER NOT NULL"
    ") STRICT",
    "CREATE INDEX input_history_session ON input_history(session_id)",

    "CREATE TABLE owner("
    " node_id INTEGER PRIMARY KEY REFERENCES node(id) ON DELETE CASCADE,"
    " pid INTEGER NOT NULL,"
    " start INTEGER NOT NULL,"
    " boot TEXT NOT NULL,"
    " machine TEXT NOT NULL,"
    " ns TEXT NOT NULL,"
    " beat_ms INTEGER NOT NULL"
    ") STRICT",

    "CREATE TABLE doc("
    " node_id INTEGER PRIMARY KEY REFERENCES node(id) ON DELETE CASCADE,"
    " title TEXT NOT NULL,"
    " prompt TEXT NOT NULL,"
    " answer TEXT NOT NULL,"
    " reasoning TEXT NOT NULL"
    ") STRICT",
    "CREATE VIRTUAL TABLE doc_fts USING fts5(title, prompt, answer, reasoning, content='doc', content_rowid='node_id',"
    " tokenize=\"unicode61 remove_diacritics 2 tokenchars '_'\")",
    NULL,
};

static const char *const step_2[] = {
    "CREATE TABLE tag("
    " session_id INTEGER NOT NULL REFERENCES session(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL COLLATE NOCASE CHECK(length(name) BETWEEN 1 AND 64),"
    " PRIMARY KEY(session_id, name)"
    ") STRICT, WITHOUT ROWID",
    "CREATE INDEX tag_name ON tag(name)",
    "CREATE INDEX generation_model ON generation(model_id)",
    /* Beginnings of two and three characters get an index of their own, for search as one types. */
    "DROP TABLE doc_fts",
    "CREATE VIRTUAL TABLE doc_fts USING fts5(title, prompt, answer, reasoning, content='doc', content_rowid='node_id',"
    " tokenize=\"unicode61 remove_diacritics 2 tokenchars '_'\", prefix='2 3')",
    "INSERT INTO doc_fts(doc_fts) VALUES('rebuild')",
    NULL,
};

const struct schema_step schema_steps[HIST_SCHEMA_VERSION] = {{step_1}, {step_2}};

static int pragma(struct hist *h, const char *sql, int64_t *value, struct err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        *value = sqlite3_column_int64(st, 0);
    int done = sqlite3_finalize(st);
    return rc == SQLITE_ROW && done == SQLITE_OK ? 0 : db_fail(h, done != SQLITE_OK ? done : rc, err);
}

/* A copy beside the file before an older schema is changed: PATH.v1. One that is there (an upgrade that was cut off) is written anew. */
static int back_up(struct hist *h, int version, struct err *err)
{
    char *copy = mem_printf("%s.v%d", h->path, version);
    int rc = 0, fd;
    if (unlink(copy) < 0 && errno != ENOENT)
        rc = err_sys(err, ERR_HISTORY, "cannot keep a copy of the history as %s", copy);
    else if ((fd = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
        rc = err_sys(err, ERR_HISTORY, "cannot keep a copy of the history as %s", copy);
    else
        close(fd);
    sqlite3_stmt *st = NULL;
    if (rc == 0 && (sqlite3_prepare_v2(h->db, "VACUUM INTO ?", -1, &st, NULL) != SQLITE_OK ||
                    sqlite3_bind_text(st, 1, copy, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(st) != SQLITE_DONE))
        rc = db_fail(h, sqlite3_extended_errcode(h->db), err);
    sqlite3_finalize(st);
    free(copy);
    return rc;
}

/* One step; another process may have taken it while we waited for the lock. */
static int take_step(struct hist *h, const struct schema_step *step, int to, struct err *err)
{
    int64_t version = 0;
    int rc = sqlite3_exec(h->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return db_fail(h, rc, err);
    int out = pragma(h, "PRAGMA user_version", &version, err);
    if (out == 0 && version < to) {
        for (const char *const *s = step->sql; *s && rc == SQLITE_OK; s++)
            rc = sqlite3_exec(h->db, *s, NULL, NULL, NULL);
        char *mark = mem_printf("PRAGMA application_id = %d; PRAGMA user_version = %d", HIST_APPLICATION_ID, to);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(h->db, mark, NULL, NULL, NULL);
        free(mark);
        if (rc != SQLITE_OK)
            out = db_fail(h, rc, err);
    }
    if (out == 0 && (rc = sqlite3_exec(h->db, "COMMIT", NULL, NULL, NULL)) != SQLITE_OK)
        out = db_fail(h, rc, err);
    if (out != 0)
        sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    return out;
}

int schema_upgrade(struct hist *h, const struct schema_step *steps, int n, struct err *err)
{
    int64_t version = 0;
    int rc = pragma(h, "PRAGMA user_version", &version, err);
    if (rc == 0 && version > 0 && version < n)
        rc = back_up(h, (int)version, err);
    for (int i = (int)version; rc == 0 && i < n; i++)
        rc = take_step(h, &steps[i], i + 1, err);
    return rc;
}
