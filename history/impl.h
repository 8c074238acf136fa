#ifndef HISTORY_IMPL_H
#define HISTORY_IMPL_H
/*
 * What the files of this room share: the handle, the statements, errors, transactions.
 */
#include <sqlite3.h>

#include "base/buf.h"
#include "history/hist.h"

#define HIST_APPLICATION_ID 0x6861646c /* "hadl" */
#define HIST_SCHEMA_VERSION 2
#define HIST_BUSY_MS 5000
#define HIST_MAX_BYTES (256 << 20)                    /* the longest value (text of a message, a draft) */
#define HIST_MAX_INDEXED (1 << 20)                    /* of each message, so much is searched */
#define HIST_MAX_INPUT (64 << 10)                     /* a longer prompt is not offered again by the line editor */
#define HIST_KEEP_MS (INT64_C(30) * 24 * 3600 * 1000) /* a deleted session can come back for so long */
#define HIST_GATHER_MS (HIST_KEEP_MS * 7 / 30)        /* and so long later at most it is purged, with others: that takes a while */

/* ---- statements (sql.c): prepared at their first use, kept until the end ---- */
enum sql_id {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_MODEL_FIND,
    SQL_MODEL_ADD,
    SQL_MODEL_GET,
    SQL_SESSION_ADD,
    SQL_SESSION_PUT,
    SQL_SESSION_GET,
    SQL_SESSION_LIST,
    SQL_SESSION_LIST_ARCHIVED,
    SQL_SESSION_LIST_ALL,
    SQL_SESSION_LIST_DELETED,
    SQL_SESSION_NEWEST,
    SQL_SESSION_NEWEST_DELETED,
    SQL_SESSION_BY_UID,
    SQL_SESSION_BY_TITLE,
    SQL_SESSION_TITLE,
    SQL_SESSION_SYSTEM,
    SQL_SESSION_PARAMS,
    SQL_SESSION_DRAFT,
    SQL_SESSION_PIN,
    SQL_SESSION_ARCHIVE,
    SQL_SESSION_DELETE,
    SQL_SESSION_UNDELETE,
    SQL_SESSION_USED,
    SQL_SESSION_LISTED,
    SQL_SESSION_MODEL,
    SQL_SESSION_HEAD,
    SQL_SESSION_HEAD_GET,
    SQL_SESSION_FORKED,
    SQL_TAG_ADD,
    SQL_TAG_REMOVE,
    SQL_TAG_LIST,
    SQL_TAG_LIST_ALL,
    SQL_MODEL_USED,
    SQL_SESSION_REMOVE,
    SQL_SESSION_REMOVE_EMPTY,
    SQL_PURGEABLE,
    SQL_PURGE_INDEX,
    SQL_PURGE_ATTACHMENTS,
    SQL_INDEX_OPTIMIZE,
    SQL_INDEX_CHECK,
    SQL_INDEX_REBUILD,
    SQL_NODE_ADD,
    SQL_NODE_GET,
    SQL_NODE_STATE,
    SQL_NODE_LAST_CHILD,
    SQL_NODE_LEAD,
    SQL_NODE_LEAF,
    SQL_NODE_PATH,
    SQL_NODE_ALL,
    SQL_NODE_COPY,
    SQL_NODE_COPY_GEN,
    SQL_NODE_SESSION,
    SQL_PARTS,
    SQL_PART_LAST,
    SQL_PART_ADD,
    SQL_PART_APPEND,
    SQL_PART_COPY,
    SQL_PART_COPY_FILES,
    SQL_GEN_PUT,
    SQL_GEN_GET,
    SQL_OWNER_ADD,
    SQL_OWNER_BEAT,
    SQL_OWNER_DROP,
    SQL_STREAMING,
    SQL_DOC_ADD,
    SQL_DOC_TITLE,
    SQL_INDEX_ADD,
    SQL_INDEX_DROP,
    SQL_FIRST_NODE,
    SQL_FIND_COUNT,
    SQL_FIND_NEWEST,
    SQL_FIND_RANKED,
    SQL_FIND_ROW,
    SQL_FIND_SESSIONS,
    SQL_INPUT_LAST,
    SQL_INPUT_ADD,
    SQL_INPUT_TRIM,
    SQL_INPUT_LIST,
    SQL_COUNT
};
extern const char *const sql_text[SQL_COUNT];

/* ---- who writes an answer (owner.c) ---- */
struct owner {
    int64_t pid, start;                /* of the process; start in ticks since boot */
    char boot[40], machine[40], ns[32]; /* boot id, machine id, pid namespace; "" where the system does not say */
    int64_t beat_ms;
};
void owner_self(struct owner *o);
/* Can this process still be writing? When it cannot be asked (another machine or namespace): is its last sign of life an hour old? */
bool owner_alive(const struct owner *o, const struct owner *self, int64_t now_ms);

/* An answer that this handle has begun and not ended. */
struct live {
    int64_t node, beat_ms;
};

struct hist {
    sqlite3 *db;
    char *path;
    char *notice;
    bool read_only;
    bool damaged; /* seen damaged: nothing is written any more */
    bool nested;  /* between hist_begin and hist_commit */
    int last;     /* SQLite's code of the last failure */
    int busy_ms;  /* how long a lock is waited for */
    int64_t wait_from_us;
    sqlite3_stmt *st[SQL_COUNT];
    struct owner me;
    struct live *live;
    size_t n_live;
    int64_t *fresh; /* sessions that this handle has made */
    size_t n_fresh, n_fresh_before; /* before: when hist_begin was called */
    struct finding *finding; /* during hist_find */
};

/* ---- db.c ---- */
/* The statement, its parameters bound by letters: i int64, I the same with 0 as NULL, s string or NULL, b bytes (pointer, size_t), d double. */
sqlite3_stmt *db_bind(struct hist *h, enum sql_id id, const char *types, ...);
/* Next row: 1, none (then the statement is reset): 0, or an error. A NULL statement is the error of db_bind. */
int db_row(struct hist *h, sqlite3_stmt *st, struct err *err);
/* Runs a statement whose rows do not matter. */
int db_run(struct hist *h, sqlite3_stmt *st, struct err *err);
/* Ends a statement before its last row. */
void db_reset(sqlite3_stmt *st);
/* One number of the only row; *out alone when there is none: 1 there, 0 none. */
int db_int(struct hist *h, sqlite3_stmt *st, int64_t *out, struct err *err);
char *db_text(sqlite3_stmt *st, int column);           /* owned by the caller; NULL for NULL */
const char *db_text_or(sqlite3_stmt *st, int column);  /* borrowed; "" for NULL */
/* The sentence for what SQLite has just refused; remembers damage. */
int db_fail(struct hist *h, int rc, struct err *err);
/* BEGIN IMMEDIATE, unless hist_begin has; refuses on what must not be written. */
int db_begin(struct hist *h, struct err *err);
/* COMMIT for rc 0, else ROLLBACK; returns rc or what the commit said. A nested one leaves both to hist_commit. */
int db_end(struct hist *h, int rc, struct err *err);
/* One state of the database for several reads. */
int db_read_begin(struct hist *h, struct err *err);
void db_read_end(struct hist *h);
int64_t db_changes(struct hist *h);
/* WAL only where the library has no checkpoint race (fixed in 3.51.3, 3.50.7 and 3.44.6). */
bool db_wal_is_safe(int libversion);
/* File systems where WAL and locks of several machines cannot be trusted; statfs's f_type. */
bool db_is_network(long f_type);

/* ---- schema.c ---- */
struct schema_step {
    const char *const *sql; /* NULL at the end */
};
/* Brings the database to n steps (its user_version), each in a transaction of its own; an old one is copied to PATH.vN first. */
int schema_upgrade(struct hist *h, const struct schema_step *steps, int n, struct err *err);
extern const struct schema_step schema_steps[HIST_SCHEMA_VERSION];

/* ---- rest of the room ---- */
void ulid_make(char out[27], int64_t now_ms);
/* Makes dead writers' answers interrupted. */
int turn_recover(struct hist *h, struct err *err);
/* Ends what this handle has begun and not ended. */
void turn_abandon(struct hist *h);
/* For the list: used now. */
int session_used(struct hist *h, int64_t id, struct err *err);
/* At the end: removes empty sessions of this handle, and what was deleted long ago. */
void session_clean(struct hist *h);
/* The text of one message into the search index; inside a transaction. */
int search_index(struct hist *h, int64_t node, struct err *err);
int search_retitle(struct hist *h, int64_t session, struct err *err);
/* Appends text as it is indexed: scripts without spaces between words get a separator between characters. */
void search_text(struct buf *out, const char *s, size_t n);
#define SEARCH_MAX_QUERY 4096 /* bytes of a query; what is behind them does not count, for FTS5 takes quadratic time over long phrases */
/* A word or phrase of a query, borrowed from what was typed. */
struct word {
    const char *s;
    size_t n;
    bool minus, prefix, quoted;
};
/* The next word of *at, which moves on; false at the end. */
bool search_word(const char **at, struct word *w);
/* Appends a word as FTS5 string. */
void search_add(struct buf *out, const struct word *w, bool prefix);
/* Makes hist_fits(), which the statements of find.c call. */
int find_set_up(struct hist *h);
/* An FTS5 expression from what a person typed; "" when there is nothing to look for. column: NULL or a column's name. */
void search_query(struct buf *out, const char *words, const char *column, bool prefix);
int input_add(struct hist *h, int64_t session, const char *text, size_t n, struct err *err);

/* The first line that says something, without control characters, at most 60 columns, cut between words. NULL: none does. Owned by the caller. */
char *make_title(const char *s, size_t n);

#endif
