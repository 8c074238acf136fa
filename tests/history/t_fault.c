/* What can go wrong with the file: locked, read-only, full, damaged, foreign, newer, older, nowhere. One sentence each, and nothing lost. */
#include "config.h"
#include "tests/history/th.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "history/impl.h"

/* ---- helpers ---- */

static bool sentence(const struct err *e)
{
    return e->code == ERR_HISTORY && *e->msg && !strchr(e->msg, '\n');
}

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *all = malloc(*n + 1);
    assert_int_equal(fread(all, 1, *n, f), *n);
    fclose(f);
    return all;
}

static void spit(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Same bytes as before? */
static bool unchanged(const char *path, const char *data, size_t n)
{
    size_t m;
    char *now = slurp(path, &m);
    bool same = now && m == n && memcmp(now, data, n) == 0;
    free(now);
    return same;
}

static void raw(const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(th_db, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

/* For a child: says what failed, and ends it. */
#define CHECK(x)                                                                                                           \
    do {                                                                                                                   \
        if (!(x)) {                                                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                        \
            _exit(1);                                                                                                      \
        }                                                                                                                  \
    } while (0)

/* Runs f in a child, unprivileged when asked for and we are root. A status of 77 skips the case. */

static void in_child(void (*f)(void), bool drop)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (drop && geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(254);
        f();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with status %#x", status);
}

static int64_t make_one(void)
{
    struct hist *h = th_open();
    int64_t s = th_session(h);
    th_turn(h, s, 0, "remember the pelican", "yes");
    hist_close(h);
    return s;
}

/* ---- locked ---- */

static void locked(void **state)
{
    (void)state;
    int64_t s = make_one(), node;
    struct hist *h = th_open();
    sqlite3 *other;
    struct err err = {0};
    sqlite3_busy_timeout(h->db, 50);
    assert_int_equal(sqlite3_open(th_db, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(hist_turn_begin(h, s, 0, "again", 5, NULL, &node, &err), ERR_HISTORY);
    assert_true(sentence(&err) && strstr(err.msg, "locked by another program"));
    struct hist *second;
    assert_int_equal(hist_open(th_db, false, &second, &err), ERR_HISTORY); /* waits its five seconds */
    assert_true(sentence(&err) && strstr(err.msg, "locked by another program"));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    OK(hist_turn_begin(h, s, 0, "again", 5, NULL, &node, E));
    /* A reader that does not end keeps a commit from happening; the transaction is undone. */
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT * FROM node", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(hist_append(h, node, HIST_TEXT, "lost", 4, &err), ERR_HISTORY);
    assert_true(sqlite3_get_autocommit(h->db));
    sqlite3_close(other);
    OK(hist_append(h, node, HIST_TEXT, "kept", 4, E));
    struct hist_path p;
    OK(hist_path_get(h, s, 0, &p, E));
    assert_string_equal(th_text(&p.at[1]), "kept");
    hist_path_finish(&p);
    hist_close(h);
}

/* ---- read-only ---- */

static int64_t one_session;

static void read_only_file(void)
{
    struct hist *h;
    struct err err = {0};
    int64_t id, node;
    CHECK(hist_open(th_db, false, &h, &err) == 0);
    CHECK(hist_read_only(h) && strstr(hist_notice(h), "read-only"));
    CHECK(hist_session_find(h, "pelican", false, &id, &err) == 0);
    CHECK(hist_turn_begin(h, id, 0, "x", 1, NULL, &node, &err) == ERR_HISTORY && sentence(&err) && strstr(err.msg, "read-only"));
    CHECK(hist_session_delete(h, id, &err) == ERR_HISTORY && hist_draft_set(h, id, "x", &err) == ERR_HISTORY);
    CHECK(hist_check(h, &err) == 0);
    hist_close(h);
}

static void unreadable_file(void)
{
    struct hist *h;
    struct err err = {0};
    CHECK(hist_open(th_db, false, &h, &err) == ERR_HISTORY && sentence(&err));
}

static void read_only(void **state)
{
    (void)state;
    size_t n;
    one_session = make_one();
    char *before = slurp(th_db, &n);
    assert_int_equal(chmod(th_dir, 0755), 0);
    assert_int_equal(chmod(th_db, 0444), 0);
    in_child(read_only_file, true);
    assert_int_equal(chmod(th_db, 0666), 0); /* a writable file in a directory that is not: no journal can be made */
    assert_int_equal(chmod(th_dir, 0555), 0);
    in_child(read_only_file, true);
    assert_int_equal(chmod(th_dir, 0755), 0);
    assert_int_equal(chmod(th_db, 0), 0);
    in_child(unreadable_file, true);
    assert_int_equal(chmod(th_db, 0600), 0);
    assert_true(unchanged(th_db, before, n));

    /* As asked for: nothing is written, not even that an answer was interrupted. */
    struct hist *h;
    struct err err = {0};
    raw("UPDATE node SET state = 'streaming' WHERE role = 'assistant'");
    free(before);
    before = slurp(th_db, &n);
    OK(hist_open(th_db, true, &h, E));
    struct hist_path p;
    OK(hist_path_get(h, one_session, 0, &p, E));
    assert_int_equal(p.at[1].state, HIST_STREAMING);
    hist_path_finish(&p);
    assert_int_equal(hist_session_rename(h, one_session, "x", true, &err), ERR_HISTORY);
    assert_int_equal(hist_begin(h, &err), ERR_HISTORY);
    OK(hist_check(h, E));
    hist_close(h);
    assert_true(unchanged(th_db, before, n));
    free(before);
}

/* Nothing there yet, to be read only: an empty history, and nothing is made. */
static void read_only_missing(void **state)
{
    (void)state;
    struct hist *h;
    struct hist_list l;
    int64_t id;
    OK(hist_open(th_db, true, &h, E));
    assert_true(hist_read_only(h));
    assert_string_equal(hist_path(h), th_db);
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 0);
    assert_int_equal(hist_session_find(h, "", false, &id, NULL), ERR_HISTORY);
    assert_int_equal(hist_session_new(h, &id, NULL), ERR_HISTORY);
    hist_close(h);
    assert_int_equal(access(th_db, F_OK), -1);
    spit(th_db, "", 0);
    OK(hist_open(th_db, true, &h, E));
    hist_close(h);
    assert_true(unchanged(th_db, "", 0));
}

/* Killed in the middle of a commit: the rest is undone, by one who only reads, too. */
static void half_a_commit(void)
{
    sqlite3 *db;
    CHECK(sqlite3_open(th_db, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA cache_size = 1; BEGIN IMMEDIATE;"
                           "UPDATE session SET title = 'half', system = hex(zeroblob(100000));"
                           "UPDATE part SET text = zeroblob(100000)", NULL, NULL, NULL) == SQLITE_OK);
    kill(getpid(), SIGKILL);
}

static void hot_journal(void **state)
{
    (void)state;
    for (int read = 0; read < 2; read++) {
        int64_t s = make_one();
        pid_t pid = fork();
        if (pid == 0) {
            half_a_commit();
            _exit(1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        char journal[120];
        struct stat st;
        snprintf(journal, sizeof journal, "%s-journal", th_db);
        assert_true(stat(journal, &st) == 0 && st.st_size > 0);
        struct hist *h;
        OK(hist_open(th_db, read, &h, E));
        struct hist_session info;
        OK(hist_session_get(h, s, &info, E));
        assert_string_equal(info.title, "remember the pelican");
        hist_session_finish(&info);
        assert_int_equal(hist_session_rename(h, s, "x", true, NULL), read ? ERR_HISTORY : 0);
        OK(hist_check(h, E));
        hist_close(h);
    }
}

/* ---- not a history ---- */

static void refuse(const char *word)
{
    struct hist *h;
    struct err err = {0};
    struct stat st = {0}, now;
    size_t n = 0;
    char *before = stat(th_db, &st) == 0 && S_ISREG(st.st_mode) ? slurp(th_db, &n) : NULL;
    for (int read = 0; read < 2; read++) {
        assert_int_equal(hist_open(th_db, read, &h, &err), ERR_HISTORY);
        if (!sentence(&err) || !strstr(err.msg, word))
            fail_msg("\"%s\" without \"%s\"", err.msg, word);
    }
    assert_true(!before || (unchanged(th_db, before, n) && stat(th_db, &now) == 0 && now.st_mode == st.st_mode));
    free(before);
}

static void not_ours(void **state)
{
    (void)state;
    assert_int_equal(mkdir(th_db, 0700), 0);
    refuse("directory");
    assert_int_equal(rmdir(th_db), 0);
    assert_int_equal(mkfifo(th_db, 0600), 0);
    refuse("not a regular file");
    assert_int_equal(unlink(th_db), 0);
    assert_int_equal(symlink("nowhere/there", th_db), 0);
    struct hist *h;
    struct err err = {0};
    assert_int_equal(hist_open(th_db, false, &h, &err), ERR_HISTORY);
    assert_true(sentence(&err));
    assert_int_equal(unlink(th_db), 0);
    spit(th_db, "hello\n", 6);
    refuse("not a history");
    char zeros[8192] = {0};
    spit(th_db, zeros, sizeof zeros);
    refuse("not a history");
    assert_int_equal(unlink(th_db), 0);
    raw("CREATE TABLE bookmarks(url)");
    refuse("another program's");
    raw("PRAGMA application_id = 77; DROP TABLE bookmarks");
    refuse("another program's");
    raw("PRAGMA application_id = 0; PRAGMA user_version = 5");
    refuse("another program's");
    raw("PRAGMA application_id = 0x6861646c; PRAGMA user_version = 0");
    refuse("another program's");
}

static void newer(void **state)
{
    (void)state;
    size_t n;
    int64_t s = make_one(), node;
    struct hist *h;
    struct err err = {0};
    char sql[60];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", HIST_SCHEMA_VERSION + 1);
    raw(sql);
    char *before = slurp(th_db, &n);
    OK(hist_open(th_db, false, &h, E));
    assert_true(hist_read_only(h));
    assert_non_null(strstr(hist_notice(h), "newer hadal"));
    struct hist_path p;
    OK(hist_path_get(h, s, 0, &p, E));
    assert_string_equal(th_text(&p.at[0]), "remember the pelican");
    hist_path_finish(&p);
    assert_int_equal(hist_turn_begin(h, s, 0, "x", 1, NULL, &node, &err), ERR_HISTORY);
    assert_true(sentence(&err));
    assert_int_equal(hist_purge(h, 0, NULL, &err), ERR_HISTORY);
    hist_close(h);
    assert_true(unchanged(th_db, before, n));
    free(before);
}

/* ---- places ---- */

static void places(void **state)
{
    (void)state;
    struct hist *h;
    struct err err = {0};
    char *home = strdup(getenv("HOME") ? getenv("HOME") : "/");
    struct stat st;
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(hist_open(NULL, false, &h, &err), ERR_HISTORY);
    assert_true(sentence(&err) && strstr(err.msg, "HOME"));
    setenv("HOME", "relative", 1);
    assert_int_equal(hist_open(NULL, false, &h, &err), ERR_HISTORY);
    setenv("HOME", "/proc/none", 1);
    assert_int_equal(hist_open(NULL, false, &h, &err), ERR_HISTORY);
    assert_true(sentence(&err));
    char deep[3000];
    memset(deep, 'd', sizeof deep);
    deep[0] = '/';
    deep[sizeof deep - 1] = 0;
    assert_int_equal(hist_open(deep, false, &h, &err), ERR_HISTORY);
    assert_true(sentence(&err));

    mode_t old = umask(0);
    char path[200], dir[120];
    setenv("HOME", th_dir, 1);
    OK(hist_open(NULL, false, &h, E));
    th_session(h);
    snprintf(dir, sizeof dir, "%s/.local/share/hadal", th_dir);
    snprintf(path, sizeof path, "%s/history.db", dir);
    assert_string_equal(hist_path(h), path);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    assert_true(stat(dir, &st) == 0 && (st.st_mode & 0777) == 0700);
    char journal[220];
    snprintf(journal, sizeof journal, "%s-journal", path);
    if (stat(journal, &st) == 0)
        assert_int_equal(st.st_mode & 0777, 0600);
    assert_null(hist_notice(h));
    hist_close(h);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    OK(hist_open(NULL, false, &h, E));
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    assert_true(stat(dir, &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_non_null(hist_notice(h));
    hist_close(h);
    umask(old);
    unlink(path);
    unlink(journal);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rmdir(dir), 0);
        *strrchr(dir, '/') = 0;
    }
    /* Names that SQLite would take for something else. */
    assert_int_equal(chdir(th_dir), 0);
    OK(hist_open(":memory:", false, &h, E));
    hist_close(h);
    assert_int_equal(access(":memory:", F_OK), 0);
    OK(hist_open("file:x?mode=memory", false, &h, E));
    hist_close(h);
    assert_int_equal(access("file:x?mode=memory", F_OK), 0);
    assert_int_equal(chdir("/"), 0);
    setenv("HOME", home, 1);
    free(home);
}

static void modes(void **state)
{
    (void)state;
    assert_false(db_wal_is_safe(3040001));
    assert_false(db_wal_is_safe(3044005));
    assert_true(db_wal_is_safe(3044006));
    assert_false(db_wal_is_safe(3045000));
    assert_false(db_wal_is_safe(3050006));
    assert_true(db_wal_is_safe(3050007));
    assert_false(db_wal_is_safe(3051002));
    assert_true(db_wal_is_safe(3051003));
    assert_true(db_wal_is_safe(3053000));
    assert_true(db_is_network(0x6969) && db_is_network(0x65735546) && db_is_network((long)0xff534d42) && db_is_network((int)0xff534d42));
    assert_false(db_is_network(0xef53) || db_is_network(0x01021994) || db_is_network(0x9123683e));

    /* A file that was left in WAL mode; then one that someone has open so. */
    int64_t s = make_one();
    bool wal = db_wal_is_safe(sqlite3_libversion_number());
    raw("PRAGMA journal_mode = WAL; UPDATE session SET pinned = 1");
    struct hist *h = th_open();
    struct hist_session info;
    OK(hist_session_get(h, s, &info, E));
    assert_true(info.pinned);
    hist_session_finish(&info);
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(h->db, "PRAGMA journal_mode", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(st, 0), wal ? "wal" : "truncate");
    sqlite3_finalize(st);
    assert_int_equal(sqlite3_prepare_v2(h->db, "PRAGMA synchronous", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(st, 0), 2);
    sqlite3_finalize(st);
    hist_close(h);
    if (wal)
        return;
    sqlite3 *other;
    struct err err = {0};
    assert_int_equal(sqlite3_open(th_db, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA journal_mode = WAL; SELECT * FROM node", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(hist_open(th_db, false, &h, &err), ERR_HISTORY);
    assert_true(sentence(&err));
    sqlite3_close(other);
    OK(hist_open(th_db, false, &h, E));
    hist_close(h);
}

/* ---- older schemas ---- */

static const char *const to_two[] = {"ALTER TABLE session ADD COLUMN mood TEXT", "UPDATE session SET mood = 'calm'", NULL};
static const char *const to_three[] = {"ALTER TABLE session ADD COLUMN tide INTEGER", "UPDATE nothing SET x = 1", NULL};

static int64_t version_of(struct hist *h)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(h->db, "PRAGMA user_version", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static void upgrades(void **state)
{
    (void)state;
    struct schema_step steps[HIST_SCHEMA_VERSION + 2];
    int v = HIST_SCHEMA_VERSION;
    memcpy(steps, schema_steps, sizeof schema_steps);
    steps[v].sql = to_two;
    steps[v + 1].sql = to_three;
    int64_t s = make_one();
    char copy[120];
    struct stat st;
    snprintf(copy, sizeof copy, "%s.v%d", th_db, v);
    struct hist *h = th_open(), *old;
    assert_int_equal(access(copy, F_OK), -1);
    OK(schema_upgrade(h, steps, v + 1, E));
    assert_int_equal(version_of(h), v + 1);
    assert_true(stat(copy, &st) == 0 && (st.st_mode & 0777) == 0600);
    assert_int_equal(sqlite3_exec(h->db, "SELECT mood FROM session", NULL, NULL, NULL), SQLITE_OK);
    /* A step that fails leaves the step before it. */
    struct err err = {0};
    assert_int_equal(schema_upgrade(h, steps, v + 2, &err), ERR_HISTORY);
    assert_true(sentence(&err));
    assert_int_equal(version_of(h), v + 1);
    assert_int_equal(sqlite3_exec(h->db, "SELECT tide FROM session", NULL, NULL, NULL), SQLITE_ERROR);
    struct hist_path p;
    OK(hist_path_get(h, s, 0, &p, E));
    assert_string_equal(th_text(&p.at[0]), "remember the pelican");
    hist_path_finish(&p);
    hist_close(h);
    /* The copy is a whole history. */
    OK(hist_open(copy, false, &old, E));
    assert_null(hist_notice(old));
    OK(hist_path_get(old, s, 0, &p, E));
    hist_path_finish(&p);
    OK(hist_check(old, E));
    hist_close(old);
}

/* ---- full ---- */

static void set_limit(rlim_t soft)
{
    struct rlimit r;
    CHECK(getrlimit(RLIMIT_FSIZE, &r) == 0);
    r.rlim_cur = soft;
    CHECK(setrlimit(RLIMIT_FSIZE, &r) == 0);
}

/* Appends until it fails, then `relief`, then goes on; returns how much was acknowledged. */
static void fill(struct hist *h, void (*relief)(void), const char *word)
{
    struct err err = {0};
    int64_t s, node;
    size_t said = 0;
    char text[1500];
    CHECK(hist_session_new(h, &s, &err) == 0);
    CHECK(hist_turn_begin(h, s, 0, "fill it", 7, NULL, &node, &err) == 0);
    for (int i = 0; i < 5000; i++) {
        memset(text, 'a' + i % 26, sizeof text);
        if (hist_append(h, node, HIST_TEXT, text, sizeof text, &err) != 0)
            break;
        said++;
    }
    CHECK(said > 3 && said < 5000);
    CHECK(sentence(&err) && strstr(err.msg, word));
    int64_t other;
    char *large = calloc(1, 600000);
    CHECK(hist_turn_begin(h, s, node, large, 600000, NULL, &other, &err) == ERR_HISTORY && sentence(&err));
    free(large);
    struct hist_path p;
    CHECK(hist_path_get(h, s, node, &p, &err) == 0 && p.n == 2 && p.at[1].parts[0].n == said * sizeof text);
    hist_path_finish(&p);
    relief();
    CHECK(hist_append(h, node, HIST_TEXT, "!", 1, &err) == 0);
    CHECK(hist_turn_end(h, node, HIST_FINAL, NULL, &err) == 0);
    CHECK(hist_path_get(h, s, node, &p, &err) == 0 && p.at[1].parts[0].n == said * sizeof text + 1);
    for (size_t i = 0; i < said; i++)
        CHECK(p.at[1].parts[0].text[i * sizeof text] == (char)('a' + i % 26));
    hist_path_finish(&p);
    CHECK(hist_check(h, &err) == 0);
    hist_close(h);
}

static void no_limit(void)
{
    set_limit(RLIM_INFINITY);
}

static void file_size_limit(void)
{
    struct hist *h;
    struct stat st;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(hist_open(th_db, false, &h, NULL) == 0 && stat(th_db, &st) == 0);
    set_limit((rlim_t)st.st_size + 100000);
    fill(h, no_limit, "file size limit");
}

static void full_by_limit(void **state)
{
    (void)state;
    in_child(file_size_limit, false);
}

static char ballast[120];

static void drop_ballast(void)
{
    CHECK(unlink(ballast) == 0);
}

static void put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(77);
    close(fd);
}

static void small_disk(void)
{
    struct hist *h;
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        _exit(77);
    char map[40]; /* root in here, so that mounting is allowed */
    snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
    put_text("/proc/self/uid_map", map);
    put_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
    put_text("/proc/self/gid_map", map);
    if (mount("none", th_dir, "tmpfs", 0, "size=1m") < 0)
        _exit(77);
    snprintf(ballast, sizeof ballast, "%s/ballast", th_dir);
    char big[300000] = {1};
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && write(fd, big, sizeof big) == (ssize_t)sizeof big && close(fd) == 0);
    CHECK(hist_open(th_db, false, &h, NULL) == 0);
    fill(h, drop_ballast, "disk is full");
}

static void full_disk(void **state)
{
    (void)state;
    in_child(small_disk, false);
}

/* ---- damaged ---- */

static char *good;
static size_t good_n;

static void make_good(void)
{
    struct hist *h = th_open();
    for (int i = 0; i < 6; i++) {
        int64_t s = th_session(h), at = 0;
        char text[6000];
        OK(hist_begin(h, E));
        for (int k = 0; k < 6; k++) {
            int n = 0;
            for (int w = 0; w < 20 + 200 * (k == 3); w++)
                n += snprintf(text + n, sizeof text - (size_t)n, "word%d of%d ", w * 7 + k, i);
            at = th_turn(h, s, at, text, text);
        }
        OK(hist_commit(h, E));
    }
    hist_close(h);
    good = slurp(th_db, &good_n);
}

/* Everything once; any of it may fail, with a sentence. Returns the first error's code. */
static int use(struct hist *h)
{
    struct hist_list l = {0};
    struct hist_hits hits = {0};
    int first = 0, rc;
    struct err err = {0};
#define TRY(call)                                                                                                          \
    if ((rc = (call)) != 0) {                                                                                              \
        first = first ? first : rc;                                                                                        \
        if (!sentence(&err))                                                                                               \
            fail_msg("no sentence: %s", err.msg);                                                                          \
    }
    TRY(hist_search(h, "word7 -of3", 10, &hits, &err));
    hist_hits_finish(&hits);
    TRY(hist_session_list(h, false, 0, &l, &err));
    for (size_t i = 0; i < l.n; i++) {
        struct hist_path p = {0};
        TRY(hist_nodes(h, l.at[i].id, &p, &err));
        hist_path_finish(&p);
        TRY(hist_path_get(h, l.at[i].id, 0, &p, &err));
        hist_path_finish(&p);
    }
    int64_t s = l.n ? l.at[0].id : 0, node = 0;
    hist_list_finish(&l);
    TRY(hist_turn_begin(h, s, 0, "new words", 9, NULL, &node, &err));
    if (node) {
        TRY(hist_append(h, node, HIST_TEXT, "answer", 6, &err));
        TRY(hist_turn_end(h, node, HIST_FINAL, NULL, &err));
    }
    return first;
}

static void damaged(void **state)
{
    (void)state;
    make_good();
    char *bad = malloc(good_n);
    int refused = 0, found = 0, unnoticed = 0;
    for (int round = 0; round < 400; round++) {
        size_t n = good_n;
        memcpy(bad, good, n);
        switch (round % 4) {
        case 0: /* some bytes */
            for (int i = 0; i < 1 + round % 20; i++)
                bad[th_random() % n] ^= (char)(1 + th_random() % 255);
            break;
        case 1: /* a page */
            memset(bad + th_random() % (n / 4096) * 4096, (int)(th_random() % 3 * 127), 4096);
            break;
        case 2: /* cut */
            n = th_random() % n;
            break;
        default: /* the heads of pages, where it hurts */
            for (int i = 0; i < 3; i++)
                bad[th_random() % (n / 4096) * 4096 + th_random() % 16] ^= (char)(1 + th_random() % 255);
        }
        char journal[120];
        snprintf(journal, sizeof journal, "%s-journal", th_db);
        unlink(journal);
        spit(th_db, bad, n);
        struct hist *h = NULL;
        struct err err = {0};
        if (hist_open(th_db, false, &h, &err) != 0) {
            if (!sentence(&err))
                fail_msg("no sentence: %s", err.msg);
            assert_true(unchanged(th_db, bad, n));
            refused++;
            continue;
        }
        /* What is known to be damaged is not written any more. */
        if (round / 4 % 2 == 0 && hist_check(h, &err) != 0) {
            if (!sentence(&err))
                fail_msg("no sentence: %s", err.msg);
            size_t m;
            char *now = slurp(th_db, &m);
            int rc = use(h);
            if (h->damaged) {
                assert_int_equal(rc, ERR_HISTORY);
                assert_true(unchanged(th_db, now, m));
            }
            free(now);
            found++;
        } else {
            unnoticed += use(h) == 0;
        }
        hist_close(h);
    }
    print_message("damaged files: %d refused, %d found by the check, %d of no consequence\n", refused, found, unnoticed);
    assert_true(refused > 50 && found > 50);
    free(bad);
    free(good);
}

/* A broken index is made anew from the text. */
static void index_repair(void **state)
{
    (void)state;
    make_good();
    free(good);
    raw("DELETE FROM doc_fts_data WHERE id > 10");
    struct hist *h = th_open();
    struct hist_hits hits;
    OK(hist_check(h, E));
    assert_non_null(strstr(hist_notice(h), "index"));
    OK(hist_search(h, "word7", 0, &hits, E));
    assert_true(hits.n > 0);
    hist_hits_finish(&hits);
    OK(hist_check(h, E));
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        th_case(locked), th_case(read_only), th_case(read_only_missing), th_case(hot_journal), th_case(not_ours),  th_case(newer),
        th_case(places), th_case(modes),     th_case(upgrades),          th_case(full_by_limit), th_case(full_disk), th_case(damaged),
        th_case(index_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
