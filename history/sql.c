/*
 * Every statement that the room runs, but for the schema (schema.c) and the settings of a connection (db.c). Parameters are always
 * bound. Times are milliseconds since 1970.
 */
#include "config.h"
#include "history/impl.h"

/* Columns of a session, as session.c reads them. A node without last_child is the end of a branch. */
#define SESSION_COLUMNS                                                                                                    \
    "SELECT s.id, s.uid, s.title, s.title_src, s.system, s.params, m.name, s.created_ms, s.updated_ms, s.archived_ms,"    \
    " s.deleted_ms, s.pinned, s.head_id, s.draft,"                                                                         \
    " (SELECT count(*) FROM node n WHERE n.session_id = s.id AND n.role <> 'system'),"                                     \
    " (SELECT count(*) FROM node n WHERE n.session_id = s.id AND n.last_child IS NULL),"                                   \
    " (SELECT group_concat(name, ' ') FROM (SELECT name FROM tag WHERE session_id = s.id ORDER BY name)),"                 \
    " s.from_session, s.from_node, (SELECT state FROM node WHERE id = s.head_id)"                                          \
    " FROM session s LEFT JOIN model m ON m.id = s.model_id "

#define NODE_COLUMNS "n.id, n.session_id, n.parent_id, n.role, n.state, n.created_ms"

#define SNIPPET "snippet(doc_fts, -1, char(1), char(2), '…', 24)"

const char *const sql_text[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",

    [SQL_MODEL_FIND] = "SELECT id FROM model WHERE fingerprint = ?1",
    [SQL_MODEL_ADD] = "INSERT INTO model(name, file, fingerprint, arch, quant, ctx_train, template_sha) VALUES(?, ?, ?, ?, ?, ?, ?)",
    [SQL_MODEL_GET] = "SELECT name, file, fingerprint, arch, quant, template_sha, ctx_train FROM model WHERE id = ?",

    [SQL_SESSION_ADD] = "INSERT INTO session(uid, created_ms, updated_ms) VALUES(?1, ?2, ?2)",
    [SQL_SESSION_PUT] = "INSERT INTO session(uid, title, title_src, system, params, created_ms, updated_ms, archived_ms, pinned, draft, place)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?7)",
    [SQL_SESSION_GET] = SESSION_COLUMNS "WHERE s.id = ?",
    [SQL_SESSION_LIST] = SESSION_COLUMNS "WHERE s.place IS NOT NULL AND s.deleted_ms IS NULL AND s.archived_ms IS NULL"
                                         " ORDER BY s.place DESC, s.id DESC LIMIT ?",
    [SQL_SESSION_LIST_ARCHIVED] = SESSION_COLUMNS "WHERE s.place IS NOT NULL AND s.deleted_ms IS NULL AND s.archived_ms IS NOT NULL"
                                                  " ORDER BY s.place DESC, s.id DESC LIMIT ?",
    [SQL_SESSION_LIST_ALL] = SESSION_COLUMNS "WHERE s.place IS NOT NULL AND s.deleted_ms IS NULL ORDER BY s.place DESC, s.id DESC LIMIT ?",
    [SQL_SESSION_LIST_DELETED] = SESSION_COLUMNS "WHERE s.deleted_ms IS NOT NULL ORDER BY s.deleted_ms DESC, s.id DESC LIMIT ?",
    [SQL_SESSION_NEWEST] = "SELECT id FROM session WHERE place IS NOT NULL AND deleted_ms IS NULL AND archived_ms IS NULL"
                           " ORDER BY place DESC, id DESC LIMIT 1",
    [SQL_SESSION_NEWEST_DELETED] = "SELECT id FROM session WHERE deleted_ms IS NOT NULL ORDER BY deleted_ms DESC, id DESC LIMIT 1",
    [SQL_SESSION_BY_UID] = "SELECT id, uid, title FROM session WHERE (uid LIKE ?1 || '%' OR uid LIKE '%' || ?1)"
                           " AND (deleted_ms IS NOT NULL) = ?2 ORDER BY place DESC LIMIT 4",
    [SQL_SESSION_BY_TITLE] = "SELECT s.id, s.uid, s.title FROM doc_fts f CROSS JOIN node n ON n.id = f.rowid"
                             " CROSS JOIN session s ON s.id = n.session_id"
                             " WHERE doc_fts MATCH ?1 AND (s.deleted_ms IS NOT NULL) = ?2 ORDER BY s.place DESC",
    /* What a person chose is changed by a person only. */
    [SQL_SESSION_TITLE] = "UPDATE session SET title = iif(?3 = 'user' OR title_src <> 'user', ?2, title),"
                          " title_src = iif(title_src = 'user', title_src, ?3) WHERE id = ?1",
    [SQL_SESSION_SYSTEM] = "UPDATE session SET system = ?2 WHERE id = ?1",
    [SQL_SESSION_PARAMS] = "UPDATE session SET params = ?2 WHERE id = ?1",
    /* Without a draft, an empty session leaves the lists. */
    [SQL_SESSION_DRAFT] = "UPDATE session SET draft = ?2, place = CASE WHEN ?2 IS NULL AND title = ''"
                          " AND NOT EXISTS (SELECT 1 FROM node WHERE session_id = ?1) THEN NULL ELSE place END WHERE id = ?1 AND draft IS NOT ?2",
    [SQL_SESSION_PIN] = "UPDATE session SET pinned = ?2 WHERE id = ?1",
    [SQL_SESSION_ARCHIVE] = "UPDATE session SET archived_ms = iif(?2 = 0, NULL, coalesce(archived_ms, ?2)) WHERE id = ?1",
    [SQL_SESSION_DELETE] = "UPDATE session SET deleted_ms = ?2 WHERE id = ?1 AND deleted_ms IS NULL",
    [SQL_SESSION_UNDELETE] = "UPDATE session SET deleted_ms = NULL WHERE id = ?1",
    /* A clock that went back does not put the newest session behind older ones; what is used is no longer archived. */
    [SQL_SESSION_USED] = "UPDATE session SET updated_ms = ?2, archived_ms = NULL,"
                         " place = max(?2, coalesce((SELECT place + 1 FROM session WHERE id <> ?1 AND place IS NOT NULL"
                         " ORDER BY place DESC LIMIT 1), 0)) WHERE id = ?1",
    [SQL_SESSION_LISTED] = "UPDATE session SET place = updated_ms WHERE id = ? AND place IS NULL",
    [SQL_SESSION_MODEL] = "UPDATE session SET model_id = ?2 WHERE id = ?1",
    [SQL_SESSION_HEAD] = "UPDATE session SET head_id = ?2 WHERE id = ?1",
    [SQL_SESSION_HEAD_GET] = "SELECT head_id, title_src, title FROM session WHERE id = ?",
    [SQL_SESSION_FORKED] = "UPDATE session SET from_session = ?2, from_node = ?3, model_id = (SELECT model_id FROM session WHERE id = ?2),"
                           " persona = (SELECT persona FROM session WHERE id = ?2) WHERE id = ?1",
    [SQL_TAG_ADD] = "INSERT INTO tag(session_id, name) VALUES(?1, ?2) ON CONFLICT DO NOTHING",
    [SQL_TAG_REMOVE] = "DELETE FROM tag WHERE session_id = ?1 AND name = ?2",
    [SQL_TAG_LIST] = "SELECT name FROM tag WHERE session_id = ? ORDER BY name",
    [SQL_TAG_LIST_ALL] = "SELECT min(t.name) FROM tag t JOIN session s ON s.id = t.session_id WHERE s.deleted_ms IS NULL GROUP BY t.name"
                         " ORDER BY count(*) DESC, t.name",
    /* The newest answer that says how fast the model was. */
    [SQL_MODEL_USED] = "SELECT m.id, m.name, m.file, m.fingerprint, m.arch, m.quant, m.template_sha, m.ctx_train,"
                       " (SELECT count(*) FROM generation WHERE model_id = m.id),"
                       " (SELECT created_ms FROM node WHERE id = (SELECT max(node_id) FROM generation WHERE model_id = m.id)) AS used,"
                       " d.n_out, d.decode_ms, p.n_prompt - p.n_cached, p.prefill_ms,"
                       " (SELECT load_ms FROM generation WHERE model_id = m.id AND load_ms > 0 ORDER BY node_id DESC LIMIT 1)"
                       " FROM model m"
                       " LEFT JOIN generation d ON d.node_id = (SELECT node_id FROM generation WHERE model_id = m.id AND n_out > 1"
                       " AND decode_ms > 0 ORDER BY node_id DESC LIMIT 1)"
                       " LEFT JOIN generation p ON p.node_id = (SELECT node_id FROM generation WHERE model_id = m.id"
                       " AND n_prompt - n_cached >= 32 AND prefill_ms > 0 ORDER BY node_id DESC LIMIT 1)"
                       " ORDER BY used DESC, m.id DESC",
    [SQL_SESSION_REMOVE] = "DELETE FROM session WHERE id = ?",
    [SQL_SESSION_REMOVE_EMPTY] = "DELETE FROM session WHERE id = ?1 AND place IS NULL"
                                 " AND NOT EXISTS (SELECT 1 FROM node WHERE session_id = ?1)",
    /* Not while a process writes an answer in it. */
    [SQL_PURGEABLE] = "SELECT id FROM session WHERE deleted_ms <= ?1"
                      " AND NOT EXISTS (SELECT 1 FROM owner o JOIN node n ON n.id = o.node_id WHERE n.session_id = session.id) LIMIT 1",
    [SQL_PURGE_INDEX] = "INSERT INTO doc_fts(doc_fts, rowid, title, prompt, answer, reasoning)"
                        " SELECT 'delete', d.node_id, d.title, d.prompt, d.answer, d.reasoning"
                        " FROM node n JOIN doc d ON d.node_id = n.id WHERE n.session_id = ?",
    [SQL_PURGE_ATTACHMENTS] = "DELETE FROM attachment WHERE id NOT IN (SELECT attachment_id FROM part_attachment)",
    [SQL_INDEX_OPTIMIZE] = "INSERT INTO doc_fts(doc_fts) VALUES('optimize')",
    [SQL_INDEX_CHECK] = "INSERT INTO doc_fts(doc_fts, rank) VALUES('integrity-check', 1)",
    [SQL_INDEX_REBUILD] = "INSERT INTO doc_fts(doc_fts) VALUES('rebuild')",

    [SQL_NODE_ADD] = "INSERT INTO node(session_id, parent_id, role, state, created_ms) VALUES(?, ?, ?, ?, ?)",
    [SQL_NODE_GET] = "SELECT session_id, role, state FROM node WHERE id = ?",
    [SQL_NODE_STATE] = "UPDATE node SET state = ?2 WHERE id = ?1",
    [SQL_NODE_LAST_CHILD] = "UPDATE node SET last_child = ?2 WHERE id = ?1",
    /* Every ancestor of a node remembers the way to it. Parents are older than their children, so this ends on any data. */
    [SQL_NODE_LEAD] = "WITH RECURSIVE up(id, child) AS ("
                      "SELECT parent_id, id FROM node WHERE id = ?1 AND parent_id < id"
                      " UNION ALL SELECT n.parent_id, n.id FROM up JOIN node n ON n.id = up.id WHERE n.parent_id < n.id)"
                      " UPDATE node SET last_child = up.child FROM up WHERE node.id = up.id AND node.last_child IS NOT up.child",
    [SQL_NODE_LEAF] = "WITH RECURSIVE down(id) AS ("
                      "SELECT id FROM node WHERE id = ?1"
                      " UNION ALL SELECT n.last_child FROM down JOIN node n ON n.id = down.id WHERE n.last_child > n.id)"
                      " SELECT max(id) FROM down",
    [SQL_NODE_PATH] = "WITH RECURSIVE up(id) AS ("
                      "SELECT id FROM node WHERE id = ?1 AND session_id = ?2"
                      " UNION ALL SELECT n.parent_id FROM up JOIN node n ON n.id = up.id WHERE n.parent_id < n.id)"
                      " SELECT " NODE_COLUMNS ","
                      " (SELECT count(*) FROM node v WHERE v.session_id = n.session_id AND v.parent_id IS n.parent_id AND v.role = n.role"
                      " AND v.id <= n.id),"
                      " (SELECT count(*) FROM node v WHERE v.session_id = n.session_id AND v.parent_id IS n.parent_id AND v.role = n.role)"
                      " FROM up JOIN node n ON n.id = up.id ORDER BY n.id",
    [SQL_NODE_ALL] = "SELECT " NODE_COLUMNS ","
                     " row_number() OVER (PARTITION BY n.parent_id, n.role ORDER BY n.id),"
                     " count(*) OVER (PARTITION BY n.parent_id, n.role)"
                     " FROM node n WHERE n.session_id = ?2 ORDER BY n.id",
    /* What is copied from a copy comes from where that came from. */
    [SQL_NODE_COPY] = "INSERT INTO node(session_id, parent_id, role, state, created_ms, edited_from, is_copy)"
                      " SELECT ?2, ?3, role, iif(state = 'streaming', 'interrupted', state), created_ms, iif(is_copy, edited_from, id), 1"
                      " FROM node WHERE id = ?1",
    [SQL_NODE_COPY_GEN] = "INSERT INTO generation SELECT ?2, model_id, params, seed, backend, engine, n_prompt, n_cached, n_reason, n_out,"
                          " load_ms, prefill_ms, ttft_ms, decode_ms, energy_mj, energy_src, stop, error FROM generation WHERE node_id = ?1",
    [SQL_NODE_SESSION] = "SELECT id FROM node WHERE session_id = ? ORDER BY id DESC",
    [SQL_PARTS] = "SELECT kind, text FROM part WHERE node_id = ? ORDER BY ord",
    [SQL_PART_LAST] = "SELECT id, kind, ord FROM part WHERE node_id = ? ORDER BY ord DESC LIMIT 1",
    [SQL_PART_ADD] = "INSERT INTO part(node_id, ord, kind, text) VALUES(?, ?, ?, ?)",
    [SQL_PART_APPEND] = "UPDATE part SET text = CAST(text || ?2 AS BLOB) WHERE id = ?1",

    [SQL_PART_COPY] = "INSERT INTO part(node_id, ord, kind, text, payload, elapsed_ms)"
                      " SELECT ?2, ord, kind, text, payload, elapsed_ms FROM part WHERE node_id = ?1 ORDER BY ord",
    [SQL_PART_COPY_FILES] = "INSERT INTO part_attachment(part_id, attachment_id) SELECT q.id, a.attachment_id FROM part p"
                            " JOIN part q ON q.node_id = ?2 AND q.ord = p.ord JOIN part_attachment a ON a.part_id = p.id WHERE p.node_id = ?1",

    [SQL_GEN_PUT] = "INSERT INTO generation(node_id, model_id, params, seed, backend, engine, n_prompt, n_cached, n_reason, n_out,"
                    " load_ms, prefill_ms, ttft_ms, decode_ms, stop, error) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_GEN_GET] = "SELECT model_id, params, seed, backend, engine, n_prompt, n_cached, n_reason, n_out, load_ms, prefill_ms, ttft_ms,"
                    " decode_ms, stop, error FROM generation WHERE node_id = ?",

    [SQL_OWNER_ADD] = "INSERT OR REPLACE INTO owner(node_id, pid, start, boot, machine, ns, beat_ms) VALUES(?, ?, ?, ?, ?, ?, ?)",
    [SQL_OWNER_BEAT] = "UPDATE owner SET beat_ms = ?2 WHERE node_id = ?1",
    [SQL_OWNER_DROP] = "DELETE FROM owner WHERE node_id = ?",
    [SQL_STREAMING] = "SELECT n.id, o.pid, o.start, o.boot, o.machine, o.ns, o.beat_ms FROM node n LEFT JOIN owner o ON o.node_id = n.id"
                      " WHERE n.state = 'streaming'",

    [SQL_DOC_ADD] = "INSERT OR REPLACE INTO doc(node_id, title, prompt, answer, reasoning) VALUES(?, ?, ?, ?, ?)",
    [SQL_DOC_TITLE] = "UPDATE doc SET title = ?2 WHERE node_id = ?1",
    [SQL_INDEX_ADD] = "INSERT INTO doc_fts(rowid, title, prompt, answer, reasoning)"
                      " SELECT node_id, title, prompt, answer, reasoning FROM doc WHERE node_id = ?",
    [SQL_INDEX_DROP] = "INSERT INTO doc_fts(doc_fts, rowid, title, prompt, answer, reasoning)"
                       " SELECT 'delete', node_id, title, prompt, answer, reasoning FROM doc WHERE node_id = ?",
    [SQL_FIRST_NODE] = "SELECT (SELECT min(id) FROM node WHERE session_id = s.id), s.title FROM session s WHERE s.id = ?",
    [SQL_FIND_COUNT] = "SELECT rowid FROM doc_fts WHERE doc_fts MATCH ?1",
    /* hist_fits (find.c) tests the conditions before a snippet is made. */
    [SQL_FIND_NEWEST] = "SELECT rowid, " SNIPPET " FROM doc_fts WHERE doc_fts MATCH ?1 AND hist_fits(rowid) ORDER BY rowid DESC",
    [SQL_FIND_RANKED] = "SELECT rowid, " SNIPPET " FROM doc_fts WHERE doc_fts MATCH ?1 AND rank MATCH 'bm25(8.0, 4.0, 1.0, 0.3)'"
                        " AND hist_fits(rowid) ORDER BY rank",
    /* A copy of what is there anyway is not shown again, but in the session ?2 that was asked for. */
    [SQL_FIND_ROW] = "SELECT n.session_id, s.uid, s.title, n.role, n.created_ms, coalesce(gm.name, sm.name),"
                     " (SELECT group_concat(name, ' ') FROM tag WHERE session_id = s.id), s.pinned, s.archived_ms IS NOT NULL"
                     " FROM node n JOIN session s ON s.id = n.session_id LEFT JOIN model sm ON sm.id = s.model_id"
                     " LEFT JOIN generation g ON g.node_id = n.id LEFT JOIN model gm ON gm.id = g.model_id"
                     " WHERE n.id = ?1 AND s.deleted_ms IS NULL AND (?2 = 0 OR n.session_id = ?2)"
                     " AND (?2 <> 0 OR NOT n.is_copy OR NOT EXISTS(SELECT 1 FROM node o JOIN session t ON t.id = o.session_id"
                     " WHERE o.id = n.edited_from AND t.deleted_ms IS NULL))",
    [SQL_FIND_SESSIONS] = "SELECT n.session_id FROM doc_fts f CROSS JOIN node n ON n.id = f.rowid WHERE doc_fts MATCH ?1",

    [SQL_INPUT_LAST] = "SELECT text FROM input_history ORDER BY id DESC LIMIT 1",
    [SQL_INPUT_ADD] = "INSERT INTO input_history(text, session_id, used_ms) VALUES(?, ?, ?)",
    [SQL_INPUT_TRIM] = "DELETE FROM input_history WHERE id <= (SELECT max(id) FROM input_history) - 10000",
    [SQL_INPUT_LIST] = "SELECT text FROM (SELECT i.id, i.text FROM input_history i LEFT JOIN session s ON s.id = i.session_id"
                       " WHERE s.deleted_ms IS NULL ORDER BY i.id DESC LIMIT ?) ORDER BY id",
};
