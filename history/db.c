/*
 * The connection: opening and its refusals, settings, statements, transactions, and the sentences for what SQLite refuses.
 *
 * - Nothing is written before the file is known to be ours, of a schema we know, and whole as far as opening shows. What turns out
 *   damaged later sets `damaged`, and no transaction begins after that.
 * - The file is never touched by ordinary file calls while a connection is open: closing any descriptor of it would drop
 *   the locks of this process.
 * - Every write transaction is BEGIN IMMEDIATE: a reader that wants to become a writer can be refused at once, without waiting.
 * - Triggers and views are switched off (we have none): a file that someone prepared can run nothing. (trusted_schema stays on: off, this
 *   library's older versions refuse json_valid in our checks, and what is left to a schema are built-in functions.)
 */
#include "config.h"
#include "history/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

/* ---- errors ---- */

int db_fail(struct hist *h, int rc, struct err *err)
{
    int errnum = h->db ? sqlite3_system_errno(h->db) : 0;
    const char *why = h->db ? sqlite3_errmsg(h->db) : sqlite3_errstr(rc);
    h->last = rc;
    log_say("history: sqlite %d, errno %d: %s", rc, errnum, why);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        if (h->busy_ms < 1000)
            return err_set(err, ERR_HISTORY, "history is locked by another program: %s", h->path);
        return err_set(err, ERR_HISTORY, "history is locked by another program (waited %d seconds): %s", h->busy_ms / 1000, h->path);
    case SQLITE_FULL:
        return err_set(err, ERR_HISTORY, "not saved, the disk is full: %s", h->path);
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_TRUNCATE)
            return err_set(err, ERR_HISTORY, "not saved, cannot write history (%s): %s",
                           errnum ? strerror(errnum) : "a full or failing disk, or a file size limit", h->path);
        return err_set(err, ERR_HISTORY, "cannot read history (%s): %s", errnum ? strerror(errnum) : "input/output error", h->path);
    case SQLITE_READONLY:
        if (rc == SQLITE_READONLY_ROLLBACK || rc == SQLITE_READONLY_RECOVERY)
            return err_set(err, ERR_HISTORY, "a write to history was cut off and cannot be undone, for it is read-only: %s", h->path);
        /* fall through */
    case SQLITE_PERM:
        return err_set(err, ERR_HISTORY, "history is read-only: %s", h->path);
    case SQLITE_CANTOPEN:
        return err_set(err, ERR_HISTORY, "cannot open history (%s): %s", errnum ? strerror(errnum) : why, h->path);
    case SQLITE_NOTADB:
        h->damaged = true;
        return err_set(err, ERR_HISTORY, "not a history, or its beginning is damaged; left untouched: %s", h->path);
    case SQLITE_CORRUPT:
        if (rc == SQLITE_CORRUPT_VTAB)
            return err_set(err, ERR_HISTORY, "the search index is damaged; `hadal doctor` makes it anew: %s", h->path);
        h->damaged = true;
        return err_set(err, ERR_HISTORY, "history is damaged, nothing more is written to it: %s", h->path);
    case SQLITE_TOOBIG:
        return err_set(err, ERR_HISTORY, "not saved, the text is longer than %d MiB", HIST_MAX_BYTES >> 20);
    case SQLITE_NOMEM:
        return err_set(err, ERR_HISTORY, "not enough memory for history");
    default:
        return err_set(err, ERR_HISTORY, "history: %s", why);
    }
}

/* ---- statements ---- */

sqlite3_stmt *db_bind(struct hist *h, enum sql_id id, const char *types, ...)
{
    int rc = h->st[id] ? SQLITE_OK : sqlite3_prepare_v3(h->db, sql_text[id], -1, SQLITE_PREPARE_PERSISTENT, &h->st[id], NULL);
    sqlite3_stmt *st = h->st[id];
    va_list ap;
    va_start(ap, types);
    for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
        switch (types[i - 1]) {
        case 'i':
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
            break;
        case 'I': {
            int64_t v = va_arg(ap, int64_t);
            rc = v ? sqlite3_bind_int64(st, i, v) : sqlite3_bind_null(st, i);
            break;
        }
        case 'd':
            rc = sqlite3_bind_double(st, i, va_arg(ap, double));
            break;
        case 's': { /* NULL binds NULL */
            const char *s = va_arg(ap, const char *);
            rc = sqlite3_bind_text64(st, i, s, s ? strlen(s) : 0, SQLITE_STATIC, SQLITE_UTF8);
            break;
        }
        case 'b': {
            const char *p = va_arg(ap, const char *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(st, i, p && n ? p : "", n, SQLITE_STATIC);
            break;
        }
        default:
            BUG("type of a parameter");
        }
    }
    va_end(ap);
    if (rc == SQLITE_OK)
        return st;
    h->last = rc;
    db_reset(st);
    return NULL;
}

void db_reset(sqlite3_stmt *st)
{
    if (!st)
        return;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

int db_row(struct hist *h, sqlite3_stmt *st, struct err *err)
{
    if (!st)
        return db_fail(h, h->last, err);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    int out = rc == SQLITE_DONE ? 0 : db_fail(h, rc, err);
    db_reset(st);
    return out;
}

int db_run(struct hist *h, sqlite3_stmt *st, struct err *err)
{
    int rc = db_row(h, st, err);
    if (rc > 0)
        db_reset(st);
    return rc < 0 ? rc : 0;
}

int db_int(struct hist *h, sqlite3_stmt *st, int64_t *out, struct err *err)
{
    int rc = db_row(h, st, err);
    if (rc > 0) {
        *out = sqlite3_column_int64(st, 0);
        db_reset(st);
    }
    return rc;
}

char *db_text(sqlite3_stmt *st, int column)
{
    return mem_strdup((const char *)sqlite3_column_text(st, column));
}

const char *db_text_or(sqlite3_stmt *st, int column)
{
    const char *s = (const char *)sqlite3_column_text(st, column);
    return s ? s : "";
}

int64_t db_changes(struct hist *h)
{
    return sqlite3_changes64(h->db);
}

/* ---- transactions ---- */

int db_begin(struct hist *h, struct err *err)
{
    if (h->damaged)
        return err_set(err, ERR_HISTORY, "history is damaged, nothing more is written to it: %s", h->path);
    if (h->read_only)
        return err_set(err, ERR_HISTORY, "history is read-only: %s", h->path);
    if (!h->nested)
        return db_run(h, db_bind(h, SQL_BEGIN, ""), err);
    /* SQLite ends a transaction by itself on a full disk and the like. */
    return sqlite3_get_autocommit(h->db) ? err_set(err, ERR_HISTORY, "history: an earlier write failed, nothing of this is saved") : 0;
}

int db_end(struct hist *h, int rc, struct err *err)
{
    if (h->nested)
        return rc;
    if (rc == 0)
        rc = db_run(h, db_bind(h, SQL_COMMIT, ""), err);
    if (rc != 0 && !sqlite3_get_autocommit(h->db))
        db_run(h, db_bind(h, SQL_ROLLBACK, ""), NULL);
    return rc;
}

int hist_begin(struct hist *h, struct err *err)
{
    ASSERT(!h->nested);
    int rc = db_begin(h, err);
    h->nested = rc == 0;
    h->n_fresh_before = h->n_fresh;
    return rc;
}

int hist_commit(struct hist *h, struct err *err)
{
    ASSERT(h->nested);
    int rc = db_begin(h, err); /* is it still there? */
    h->nested = false;
    rc = db_end(h, rc, err);
    if (rc != 0)
        h->n_fresh = h->n_fresh_before; /* another program may get these ids now */
    return rc;
}

void hist_rollback(struct hist *h)
{
    h->nested = false;
    h->n_fresh = h->n_fresh_before;
    db_end(h, ERR_HISTORY, NULL);
}

int db_read_begin(struct hist *h, struct err *err)
{
    return h->nested ? 0 : db_run(h, db_bind(h, SQL_BEGIN_READ, ""), err);
}

void db_read_end(struct hist *h)
{
    if (!h->nested && !sqlite3_get_autocommit(h->db))
        db_run(h, db_bind(h, SQL_COMMIT, ""), NULL);
}

/* ---- opening ---- */

bool db_wal_is_safe(int v)
{
    return v >= 3051003 || (v >= 3050007 && v < 3051000) || (v >= 3044006 && v < 3045000);
}

bool db_is_network(long f_type)
{
    static const uint32_t magic[] = {
        0x00006969, /* NFS */
        0x0000517b, /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2 */
        0x65735546, /* FUSE */
        0x01021997, /* 9P */
        0x5346414f, /* AFS */
        0x00c36400, /* Ceph */
        0x73757245, /* Coda */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x786f4256, /* VirtualBox shared folders */
        0xbacbacbc, /* VMware shared folders */
    };
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++)
        if (magic[i] == (uint32_t)f_type)
            return true;
    return false;
}

static void say(struct hist *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds to the notice. */
static void say(struct hist *h, const char *fmt, ...)
{
    struct buf b = BUF_INIT(4096);
    if (h->notice)
        buf_addf(&b, "%s; ", h->notice);
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_addstr(&b, text);
    free(h->notice);
    h->notice = buf_take(&b);
}

static int exec(struct hist *h, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(h->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_fail(h, rc, err);
}

/* The first column of the first row as text into out[n]. */
static int ask(struct hist *h, const char *sql, char *out, size_t n, struct err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        snprintf(out, n, "%s", rc == SQLITE_ROW ? db_text_or(st, 0) : "");
    }
    int end = sqlite3_finalize(st);
    return end == SQLITE_OK && (rc == SQLITE_ROW || rc == SQLITE_DONE) ? 0 : db_fail(h, end != SQLITE_OK ? end : rc, err);
}

/* What must be set on every connection, before anything of the file is believed. */
static int set_up(struct hist *h, struct err *err)
{
    static const struct {
        int what, on;
    } config[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},   {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };
    static const struct {
        int what, at_most;
    } limit[] = {
        {SQLITE_LIMIT_LENGTH, HIST_MAX_BYTES},  {SQLITE_LIMIT_SQL_LENGTH, 100000}, {SQLITE_LIMIT_COLUMN, 100},
        {SQLITE_LIMIT_EXPR_DEPTH, 100},         {SQLITE_LIMIT_ATTACHED, 1} /* VACUUM needs one */,
        {SQLITE_LIMIT_VARIABLE_NUMBER, 100},    {SQLITE_LIMIT_TRIGGER_DEPTH, 10},  {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    sqlite3_extended_result_codes(h->db, 1);
    hist_set_wait(h, HIST_BUSY_MS);
    for (size_t i = 0; i < sizeof config / sizeof config[0]; i++) {
        int is = -1;
        if (sqlite3_db_config(h->db, config[i].what, config[i].on, &is) != SQLITE_OK || is != config[i].on)
            return err_set(err, ERR_HISTORY, "history: this SQLite (%s) lacks setting %d", sqlite3_libversion(), config[i].what);
    }
    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++)
        sqlite3_limit(h->db, limit[i].what, limit[i].at_most);
    if (find_set_up(h) != SQLITE_OK)
        return db_fail(h, sqlite3_errcode(h->db), err);
    return exec(h, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;"
                   "PRAGMA synchronous = FULL", err);
}

/* Is it ours, and of which schema? fresh: there is nothing in it yet. Nothing is written. */
static int identify(struct hist *h, bool *fresh, int64_t *version, struct err *err)
{
    char id[32], v[32], tables[32];
    int rc = exec(h, "BEGIN", err); /* one state: another process may be making it just now */
    if (rc == 0)
        rc = ask(h, "PRAGMA application_id", id, sizeof id, err);
    if (rc == 0)
        rc = ask(h, "PRAGMA user_version", v, sizeof v, err);
    if (rc == 0)
        rc = ask(h, "SELECT count(*) FROM sqlite_schema", tables, sizeof tables, err);
    int end = sqlite3_get_autocommit(h->db) ? 0 : exec(h, "COMMIT", rc == 0 ? err : NULL);
    if (rc != 0 || end != 0)
        return rc != 0 ? rc : end;
    *version = strtoll(v, NULL, 10);
    *fresh = strcmp(id, "0") == 0 && *version == 0 && strcmp(tables, "0") == 0;
    if (!*fresh && (strtoll(id, NULL, 10) != HIST_APPLICATION_ID || *version < 1))
        return err_set(err, ERR_HISTORY, "another program's database, left untouched: %s", h->path);
    return 0;
}

/* WAL where it is safe, a truncated rollback journal elsewhere; on a network one process at a time. */
static int set_journal(struct hist *h, struct err *err)
{
    struct statfs fs;
    bool network = statfs(h->path, &fs) == 0 && db_is_network((long)fs.f_type);
    bool wal = !network && db_wal_is_safe(sqlite3_libversion_number());
    char mode[32];
    int rc = network ? exec(h, "PRAGMA locking_mode = EXCLUSIVE", err) : 0;
    if (rc == 0)
        rc = ask(h, wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = TRUNCATE", mode, sizeof mode, wal ? NULL : err);
    if (rc != 0 && wal)
        return 0; /* someone is using it with a journal: so do we, this time */
    if (rc != 0)
        return rc;
    if (network)
        say(h, "history is on a network file system: one hadal at a time can use it; a local XDG_DATA_HOME is safer");
    return strcmp(mode, "wal") == 0 && !wal ?
               err_set(err, ERR_HISTORY, "history is open in a newer program, in a mode that this SQLite (%s) cannot share: %s",
                       sqlite3_libversion(), h->path) : 0;
}

static char *directory_of(const struct hist *h)
{
    return mem_strndup(h->path, (size_t)(path_base(h->path) - h->path));
}

static bool can_write(const struct hist *h)
{
    char *dir = directory_of(h);
    bool is = faccessat(AT_FDCWD, h->path, W_OK, AT_EACCESS) == 0 && faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) == 0;
    free(dir);
    return is;
}

/* Before SQLite has the file: makes it and the directories above it, or sets h->read_only (with the notice) where it cannot be written. */
static int prepare_file(struct hist *h, bool *missing, struct err *err)
{
    char *dir = directory_of(h);
    struct stat st;
    int rc = 0, fd;
    *missing = false;
    if (stat(h->path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            rc = err_set(err, ERR_HISTORY, "a directory stands where the history should be: %s", h->path);
        } else if (!S_ISREG(st.st_mode)) {
            rc = err_set(err, ERR_HISTORY, "not a regular file: %s", h->path);
        } else if (!h->read_only && !can_write(h)) {
            h->read_only = true;
            say(h, "history is read-only (%s), nothing new can be saved: %s", strerror(errno), h->path);
        }
    } else if (errno != ENOENT) {
        rc = err_sys(err, ERR_HISTORY, "cannot open history %s", h->path);
    } else if (h->read_only) {
        *missing = true;
    } else if ((rc = path_mkdirs(dir, err)) == 0) {
        fd = open(h->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would ask for 0644 */
        if (fd >= 0)
            close(fd);
        else if (errno != EEXIST)
            rc = err_sys(err, ERR_HISTORY, "cannot create history %s", h->path);
    }
    free(dir);
    return rc;
}

/* Nobody else reads it; the journals get the mode of the file. The directory only where it is the program's own. */
static void set_modes(struct hist *h, bool own_place)
{
    char *dir = directory_of(h);
    struct stat st;
    if (stat(h->path, &st) == 0 && (st.st_mode & 077) && chmod(h->path, 0600) == 0)
        say(h, "others could read the history; its mode is 600 now");
    if (own_place && stat(dir, &st) == 0 && (st.st_mode & 077))
        (void)!chmod(dir, 0700);
    free(dir);
}

enum mode { IN_MEMORY, TO_READ, TO_WRITE };

/* A connection with its settings, and what it leads to; an earlier one is closed. */
static int connect_as(struct hist *h, enum mode mode, bool *fresh, int64_t *version, struct err *err)
{
    static const int flags[] = {
        [IN_MEMORY] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, [TO_READ] = SQLITE_OPEN_READONLY, [TO_WRITE] = SQLITE_OPEN_READWRITE};
    sqlite3_close(h->db);
    h->db = NULL;
    h->damaged = false;
    int rc = sqlite3_open_v2(h->path, &h->db, flags[mode] | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return db_fail(h, rc, err);
    rc = set_up(h, err);
    return rc == 0 ? identify(h, fresh, version, err) : rc;
}

static int connect_file(struct hist *h, bool own_place, bool missing, struct err *err)
{
    bool fresh = missing;
    int64_t version = 0;
    struct err first = {0};
    int rc = missing ? 0 : connect_as(h, h->read_only ? TO_READ : TO_WRITE, &fresh, &version, &first);
    /* What a killed process left half written must be undone even to read. */
    if (rc != 0 && h->read_only && (h->last == SQLITE_READONLY_ROLLBACK || h->last == SQLITE_READONLY_RECOVERY))
        rc = connect_as(h, TO_WRITE, &fresh, &version, &first);
    if (rc != 0)
        return err_set(err, ERR_HISTORY, "%s", first.msg);
    if (h->read_only && fresh) { /* an empty one in memory, so that there is something to look at */
        rc = connect_as(h, IN_MEMORY, &fresh, &version, err);
        return rc == 0 ? schema_upgrade(h, schema_steps, HIST_SCHEMA_VERSION, err) : rc;
    }
    if (version > HIST_SCHEMA_VERSION) {
        h->read_only = true;
        say(h, "history was written by a newer hadal (schema %lld, this one knows %d), so it is open for reading only", (long long)version,
            HIST_SCHEMA_VERSION);
    }
    if (h->read_only && version < HIST_SCHEMA_VERSION && can_write(h)) { /* who only looks may do so after an update of the program, too */
        rc = connect_as(h, TO_WRITE, &fresh, &version, err);
        if (rc == 0)
            rc = schema_upgrade(h, schema_steps, HIST_SCHEMA_VERSION, err);
        if (rc != 0)
            return rc;
        version = HIST_SCHEMA_VERSION;
    }
    if (h->read_only && version < HIST_SCHEMA_VERSION)
        return err_set(err, ERR_HISTORY, "history has the older schema %lld and cannot be upgraded read-only: %s", (long long)version, h->path);
    if (h->read_only)
        return exec(h, "PRAGMA query_only = ON", err);
    set_modes(h, own_place);
    rc = set_journal(h, err);
    return rc == 0 ? schema_upgrade(h, schema_steps, HIST_SCHEMA_VERSION, err) : rc;
}

int hist_open(const char *path, bool read_only, struct hist **out, struct err *err)
{
    struct hist *h = mem_zalloc(sizeof *h);
    struct err why = {0};
    bool missing = false;
    h->read_only = read_only;
    /* "./" keeps SQLite from reading a name as ":memory:" or as a URI. */
    h->path = !path ? path_data("history.db", &why) : path[0] == '/' ? mem_strdup(path) : mem_printf("./%s", path);
    int rc = h->path ? prepare_file(h, &missing, &why) : why.code;
    if (rc == 0)
        rc = connect_file(h, !path, missing, &why);
    owner_self(&h->me);
    if (rc == 0 && !h->read_only && turn_recover(h, NULL) != 0)
        log_say("history: interrupted answers were not marked this time");
    if (rc == 0) {
        *out = h;
        return 0;
    }
    h->read_only = true; /* so that closing writes nothing */
    hist_close(h);
    return err_set(err, ERR_HISTORY, "%s", why.msg);
}

void hist_close(struct hist *h)
{
    if (!h)
        return;
    if (h->db && !h->read_only && !h->damaged) {
        if (h->nested)
            hist_rollback(h);
        turn_abandon(h);
        session_clean(h);
    }
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(h->st[i]);
    sqlite3_close(h->db);
    free(h->live);
    free(h->fresh);
    free(h->notice);
    free(h->path);
    free(h);
}

const char *hist_library(void)
{
    static char text[32];
    snprintf(text, sizeof text, "SQLite %s", sqlite3_libversion());
    return text;
}

const char *hist_path(const struct hist *h)
{
    return h->path;
}

const char *hist_notice(const struct hist *h)
{
    return h->notice;
}

bool hist_read_only(const struct hist *h)
{
    return h->read_only;
}

/*
 * Called while another connection holds the lock. SQLite's own handler waits longer each time, so who has waited long asks
 * rarely and starves behind those that come and go; here everyone asks again after a short time that chance makes different.
 */
static int wait_for_lock(void *arg, int count)
{
    struct hist *h = arg;
    int64_t now = clock_mono_us();
    if (!count)
        h->wait_from_us = now;
    if (now - h->wait_from_us >= (int64_t)h->busy_ms * 1000)
        return 0;
    unsigned char chance;
    sqlite3_randomness(1, &chance);
    usleep(500 + 30u * chance);
    return 1;
}

void hist_set_wait(struct hist *h, int ms)
{
    h->busy_ms = ms;
    sqlite3_busy_handler(h->db, wait_for_lock, h);
}

int hist_check(struct hist *h, struct err *err)
{
    char text[400];
    int rc = ask(h, "PRAGMA quick_check(1)", text, sizeof text, err);
    if (rc == 0 && strcmp(text, "ok") != 0) {
        h->damaged = true;
        for (char *p = text; *p; p++)
            *p = *p == '\n' ? ' ' : *p;
        return err_set(err, ERR_HISTORY, "history is damaged (%s), nothing more is written to it: %s", text, h->path);
    }
    if (rc == 0)
        rc = ask(h, "PRAGMA foreign_key_check", text, sizeof text, err);
    if (rc == 0 && text[0])
        return err_set(err, ERR_HISTORY, "history has rows in table %s that belong to nothing: %s", text, h->path);
    if (rc != 0 || h->read_only) /* the index is checked by a command that counts as a write */
        return rc;
    struct err why = {0};
    if ((rc = db_begin(h, err)) != 0)
        return rc;
    rc = db_run(h, db_bind(h, SQL_INDEX_CHECK, ""), &why);
    if (rc == 0 || h->last != SQLITE_CORRUPT_VTAB)
        return db_end(h, rc == 0 ? 0 : err_set(err, ERR_HISTORY, "%s", why.msg), err);
    rc = db_end(h, db_run(h, db_bind(h, SQL_INDEX_REBUILD, ""), err), err);
    if (rc == 0)
        say(h, "the search index was damaged and has been made anew");
    return rc;
}
