/*
 * Engines as the face sees them. The scripted one by its language; the process one against children of every kind: this program is
 * started again as its own child (--engine-fd N) and behaves as T_CHILD says.
 */
#include "config.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/engine.h"
#include "app/frame.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tests/t.h"

/* ---- children ---- */

static struct frame_out child_out;

static void tell(int fd, enum ev_kind kind, uint64_t job, const char *text)
{
    struct event e = {.kind = kind, .job = job, .text = (char *)text, .n = text ? strlen(text) : 0};
    snprintf(e.stop, sizeof e.stop, kind == EV_CANCELLED ? "cancelled" : "eog");
    frame_put_event(&child_out.b, &e);
    if (!frame_send(fd, &child_out))
        _exit(5);
}

static void what_is_open(char *text, size_t size)
{
    DIR *d = opendir("/proc/self/fd");
    int self = dirfd(d);
    text[0] = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && atoi(e->d_name) != self)
            snprintf(text + strlen(text), size - strlen(text), "%s ", e->d_name);
    closedir(d);
}

static void answer(int fd, const char *mode, const struct job *j)
{
    char text[1000];
    snprintf(text, sizeof text, "%zu bytes", j->n_msgs ? j->msgs[0].n : 0);
    if (strcmp(mode, "fds") == 0)
        what_is_open(text, sizeof text);
    if (strcmp(mode, "die") == 0) {
        tell(fd, EV_TEXT, j->id, "par");
        kill(getpid(), SIGKILL);
    }
    if (strcmp(mode, "garbage") == 0 && send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0) < 0)
        _exit(5);
    if (strcmp(mode, "foreign") == 0)
        tell(fd, EV_TEXT, j->id + 1, "not yours");
    if (strcmp(mode, "endless") == 0)
        for (char *s = mem_strdup("x");;)
            tell(fd, EV_TEXT, j->id, s = strlen(s) < 500000 ? mem_printf("%s%s", s, s) : s);
    if (strcmp(mode, "hang") == 0)
        for (;;)
            pause();
    tell(fd, EV_TEXT, j->id, text);
    if (strcmp(mode, "patient") == 0)
        return;
    tell(fd, EV_DONE, j->id, NULL);
    if (strcmp(mode, "twice") == 0) {
        tell(fd, EV_TEXT, j->id, "more");
        tell(fd, EV_DONE, j->id, NULL);
    }
}

static int child(int fd)
{
    const char *mode = getenv("T_CHILD");
    struct frame_in in;
    struct frame f;
    struct job *j;
    uint64_t id;
    frame_in_init(&in);
    frame_out_init(&child_out);
    if (strcmp(mode, "none") == 0)
        _exit(3);
    if (strcmp(mode, "slow") == 0)
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    while (frame_recv(fd, &in) > 0)
        while (frame_take(&in, &f, NULL) > 0) {
            if (f.type == FRAME_CANCEL && frame_cancel(&f, &id, NULL) == 0) {
                tell(fd, EV_CANCELLED, id, NULL);
            } else if (frame_job(&f, &j, NULL) == 0) {
                answer(fd, mode, j);
                job_free(j);
            }
        }
    frame_in_finish(&in);
    frame_out_finish(&child_out);
    return 0;
}

/* ---- the face's side ---- */

struct seen {
    char order[200]; /* one letter an event */
    char text[2000];
    struct event last;
    int64_t ms;
};

static void look(struct seen *s, const struct event *e)
{
    static const char letters[] = "mlrtTpdce";
    size_t n = strlen(s->order);
    if (n + 1 < sizeof s->order && !(n && s->order[n - 1] == letters[e->kind])) { /* runs as one letter */
        s->order[n] = letters[e->kind];
        s->order[n + 1] = 0;
    }
    if ((e->kind == EV_TEXT || e->kind == EV_THOUGHT || e->kind == EV_PROMPT) && strlen(s->text) + e->n < sizeof s->text)
        strncat(s->text, e->text, e->n);
    s->last = *e;
    s->last.next = NULL;
}

static void work(struct engine *e, struct seen *s, int wait_ms)
{
    int t = engine_timeout_ms(e);
    struct pollfd p = {.fd = engine_fd(e), .events = POLLIN};
    poll(&p, 1, t >= 0 && t < wait_ms ? t : wait_ms);
    for (struct event *list = engine_poll(e), *next; list; list = next) {
        next = list->next;
        look(s, list);
        event_free(list);
    }
}

/* To the end of the job; cancels after `cancel_ms` (negative: never). */
static void to_end(struct engine *e, struct seen *s, int cancel_ms)
{
    int64_t t0 = clock_mono_us();
    *s = (struct seen){0};
    while (engine_busy(e)) {
        s->ms = (clock_mono_us() - t0) / 1000;
        assert_true(s->ms < 20000);
        if (cancel_ms >= 0 && s->ms >= cancel_ms)
            engine_cancel(e);
        work(e, s, 10);
    }
    work(e, s, 0);
    s->ms = (clock_mono_us() - t0) / 1000;
}

static void submit(struct engine *e, const char *text)
{
    struct job *j = job_new();
    job_add(j, 0, "be brief", 8);
    job_add(j, 1, text, strlen(text));
    assert_int_equal(engine_submit(e, j, NULL), 0);
}

static void ask(struct engine *e, struct seen *s, const char *text)
{
    submit(e, text);
    to_end(e, s, -1);
}

static struct engine *process(const char *mode)
{
    struct engine *e;
    unsetenv("HADAL_ENGINE");
    setenv("T_CHILD", mode, 1);
    assert_int_equal(engine_create(&e, NULL), 0);
    assert_int_equal(engine_fd(e), -1);
    assert_int_equal(engine_pid(e), -1);
    return e;
}

static void process_answers(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e = process("fds");
    ask(e, &s, "x");
    int pid = engine_pid(e);
    assert_true(pid > 0);
    assert_string_equal(s.order, "td");
    assert_string_equal(s.text, "0 1 2 3 "); /* the socket, and nothing of the parent's */
    assert_string_equal(s.last.stop, "eog");
    ask(e, &s, "y");
    assert_int_equal(engine_pid(e), pid); /* it stays */
    engine_destroy(e);
    assert_int_equal(waitpid(pid, NULL, 0), -1); /* reaped */
    engine_destroy(NULL);
}

static void process_dies(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e = process("die");
    ask(e, &s, "x");
    assert_string_equal(s.order, "te");
    assert_string_equal(s.text, "par");
    assert_true(s.last.died);
    assert_int_equal(s.last.err.code, ERR_IO);
    assert_non_null(strstr(s.last.err.msg, "signal 9"));
    assert_int_equal(engine_fd(e), -1);
    setenv("T_CHILD", "fds", 1);
    ask(e, &s, "y"); /* another is made */
    assert_string_equal(s.order, "td");
    /* it dies while it has nothing to do */
    kill(engine_pid(e), SIGKILL);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    work(e, &s, 0);
    ask(e, &s, "z");
    assert_string_equal(s.order, "td");
    kill(engine_pid(e), SIGKILL); /* and is not looked at before the next job */
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    ask(e, &s, "z");
    assert_string_equal(s.order, "td");
    engine_destroy(e);
}

static void process_misbehaves(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *order, *why;
    } cases[] = {
        {"none", "e", "status 3"}, {"garbage", "e", "no message"}, {"foreign", "e", "not asked for"}, {"endless", "te", "without end"}, {"twice", "td", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s;
        struct engine *e = process(cases[i].mode);
        ask(e, &s, "x");
        for (int k = 0; k < 5; k++)
            work(e, &s, 5); /* nothing comes behind the end */
        assert_string_equal(s.order, cases[i].order);
        assert_non_null(strstr(s.last.err.msg, cases[i].why));
        assert_int_equal(s.last.died, s.last.kind == EV_ERROR);
        engine_destroy(e);
    }
}

static void process_is_cancelled(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e = process("patient");
    submit(e, "x");
    assert_int_equal(engine_submit(e, job_new(), NULL), ERR_USAGE); /* one at a time */
    to_end(e, &s, 30);
    assert_string_equal(s.order, "tc");
    assert_true(s.ms < 1000);
    engine_cancel(e); /* nothing runs */
    engine_destroy(e);
    e = process("hang");
    submit(e, "x");
    to_end(e, &s, 0);
    assert_string_equal(s.order, "c");
    assert_false(s.last.died);
    assert_in_range(s.ms, 1900, 4000);
    engine_destroy(e);
}

static void process_is_stopped(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e = process("patient");
    submit(e, "x");
    int pid = engine_pid(e);
    kill(pid, SIGSTOP);
    int64_t t0 = clock_mono_us();
    for (int i = 0; i < 20; i++)
        work(e, &s, 1);
    assert_true(clock_mono_us() - t0 < 500000);
    engine_destroy(e); /* while the job runs, and with a child that does not hear */
    assert_true(clock_mono_us() - t0 < 4000000);
    assert_int_equal(kill(pid, 0), -1);
}

static void large_job(void **state)
{
    (void)state;
    enum { N = 8 << 20 };
    struct seen s;
    struct engine *e = process("slow");
    struct job *j = job_new();
    char *text = mem_zalloc(N);
    job_add(j, 1, text, N);
    int64_t t0 = clock_mono_us();
    assert_int_equal(engine_submit(e, j, NULL), 0);
    assert_true(clock_mono_us() - t0 < 900000); /* did not wait for the child */
    to_end(e, &s, -1);
    assert_string_equal(s.text, "8388608 bytes");
    free(text);
    engine_destroy(e);
}

/* ---- the scripted engine ---- */

static char script_file[64];

static int scripted(const char *text, struct engine **e, struct err *err)
{
    char var[100];
    snprintf(script_file, sizeof script_file, "/tmp/t_engine.%d", (int)getpid());
    FILE *f = fopen(script_file, "w");
    fputs(text, f);
    fclose(f);
    snprintf(var, sizeof var, "script:%s", script_file);
    setenv("HADAL_ENGINE", var, 1);
    int rc = engine_create(e, err);
    unlink(script_file);
    unsetenv("HADAL_ENGINE");
    return rc;
}

static void script_plays(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e;
    assert_int_equal(scripted("# one\n"
                              "model tiny\ncontext 512\nload 30 1000\nread 30 10 4\n"
                              "thought \"hm\\n\"\npace 10\ntext \"one two  three\\x21\"\n"
                              "usage n_used 99\ndone length\n"
                              "echo\nmessages # all\ndone\n",
                              &e, NULL),
                     0);
    ask(e, &s, "x");
    assert_string_equal(s.order, "lmrTtd");
    assert_string_equal(s.text, "hm\none two  three!");
    assert_string_equal(s.last.stop, "length");
    assert_int_equal(s.last.stats.n_prompt, 10);
    assert_int_equal(s.last.stats.n_cached, 4);
    assert_int_equal(s.last.stats.n_out, 4);
    assert_int_equal(s.last.stats.n_reason, 1);
    assert_int_equal(s.last.stats.n_ctx, 512);
    assert_int_equal(s.last.stats.n_used, 99);
    assert_in_range(s.ms, 80, 1000);
    ask(e, &s, "say it");
    assert_string_equal(s.text, "say itsystem: be brief\nuser: say it\n");
    ask(e, &s, "again"); /* from the top */
    assert_string_equal(s.text, "hm\none two  three!");
    engine_destroy(e);
}

static void script_ends(void **state)
{
    (void)state;
    struct seen s;
    struct engine *e;
    assert_int_equal(scripted("text \"a\"\nstall\ndone\ntext \"b\"\ndie 11\nerror toolong \"it is too long\"\npace 2\ntext \"1 2 3 4 5 6\"\n", &e, NULL), 0);
    submit(e, "x");
    to_end(e, &s, 20);
    assert_string_equal(s.order, "mtc");
    assert_string_equal(s.last.stop, "cancelled");
    ask(e, &s, "x");
    assert_string_equal(s.order, "mte");
    assert_true(s.last.died);
    assert_string_equal(s.last.err.msg, "the engine stopped (signal 11)");
    ask(e, &s, "x");
    assert_string_equal(s.order, "me");
    assert_false(s.last.died);
    assert_int_equal(s.last.err.code, ERR_TOOLONG);
    struct job *j = job_new();
    j->max_tokens = 3;
    assert_int_equal(engine_submit(e, j, NULL), 0);
    to_end(e, &s, -1);
    assert_string_equal(s.text, "1 2 3 ");
    assert_string_equal(s.last.stop, "length");
    j = job_new();
    j->prompt_only = true;
    job_add(j, 1, "q", 1);
    assert_int_equal(engine_submit(e, j, NULL), 0);
    to_end(e, &s, -1);
    assert_string_equal(s.order, "mpd");
    assert_string_equal(s.text, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    submit(e, "x");
    engine_destroy(e); /* in the middle */
}

static void script_is_wrong(void **state)
{
    (void)state;
    static const char *const bad[] = {"text hello\n", "text \"a\" b\n", "text \"a\n", "wait\n", "wait x\n", "wait 1 2\n", "jump\n", "usage n_frogs 1\n",
                                      "error frog \"x\"\n", "done aaaaaaaaaaaaaaaa\n", "text \"\\q\"\n", "text \"\\x4\"\n", "model # none\n"};
    struct engine *e = NULL;
    struct err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "\n%s", bad[i]);
        assert_int_equal(scripted(text, &e, &err), ERR_USAGE);
        assert_non_null(strstr(err.msg, ":2: "));
    }
    setenv("HADAL_ENGINE", "script:/nowhere/at/all", 1);
    assert_true(engine_create(&e, &err) < 0);
    setenv("HADAL_ENGINE", "sript:x", 1);
    assert_int_equal(engine_create(&e, &err), ERR_USAGE);
    unsetenv("HADAL_ENGINE");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--engine-fd") == 0)
        return child(atoi(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(process_answers),      cmocka_unit_test(process_dies), cmocka_unit_test(process_misbehaves),
        cmocka_unit_test(process_is_cancelled), cmocka_unit_test(process_is_stopped), cmocka_unit_test(large_job),
        cmocka_unit_test(script_plays),         cmocka_unit_test(script_ends),  cmocka_unit_test(script_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
