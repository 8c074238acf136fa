/*
 * Output. Each case runs in a child whose stdout and stderr are a pipe or a pseudo-terminal; the parent reads all that the child writes.
 * A child tells of a wrong return value by its exit status (the line).
 */
#include "config.h"
#include "tests/t.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "ui/line.h"

/* In the child: the line is its exit status (cmocka's checks belong to the parent). */
#define CHECK(x) ((x) ? (void)0 : _exit(__LINE__ > 255 ? 255 : __LINE__))

enum how { PIPE, PTY };

static void env(const char *term, const char *no_color, const char *force)
{
    setenv("TERM", term, 1);
    no_color ? setenv("NO_COLOR", no_color, 1) : unsetenv("NO_COLOR");
    force ? setenv("CLICOLOR_FORCE", force, 1) : unsetenv("CLICOLOR_FORCE");
    unsetenv("COLUMNS");
}

/* Runs fn in a child with both streams at one end; *got gets what came out of the other (slowly, when asked). */
static void run(enum how how, int columns, bool slow, void (*fn)(void), struct buf *got)
{
    int in = -1, out = -1;
    if (how == PTY) {
        struct winsize w = {.ws_row = 24, .ws_col = (unsigned short)columns};
        assert_int_equal(openpty(&in, &out, NULL, NULL, columns ? &w : NULL), 0);
    } else {
        int fd[2];
        assert_int_equal(pipe(fd), 0);
        in = fd[0];
        out = fd[1];
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out, 1);
        dup2(out, 2);
        close(in);
        close(out);
        signal(SIGPIPE, SIG_IGN);
        fn();
        _exit(0);
    }
    close(out);
    char piece[4096];
    for (;;) {
        if (slow)
            usleep(500);
        ssize_t k = read(in, piece, sizeof piece);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        buf_add(got, piece, (size_t)k);
    }
    close(in);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void expect(enum how how, int columns, void (*fn)(void), const char *want)
{
    struct buf got = BUF_INIT(1 << 24);
    run(how, columns, false, fn, &got);
    assert_string_equal(buf_str(&got), want);
    buf_finish(&got);
}

/* ---- sanitizing ---- */
static void chunks(void)
{
    CHECK(term_at_start(TERM_OUT));
    CHECK(term_text(TERM_OUT, "a\xc3", 2));
    CHECK(!term_at_start(TERM_OUT));
    CHECK(term_text(TERM_ERR, "E", 1)); /* another stream, another state */
    CHECK(term_text(TERM_OUT, "\xa4\x1b", 2));
    CHECK(term_text(TERM_OUT, "[2J\r", 4));
    CHECK(term_text(TERM_OUT, "\n", 1));
    CHECK(term_at_start(TERM_OUT));
    CHECK(term_text(TERM_OUT, "\xe2\x80", 2));
    CHECK(!term_at_start(TERM_OUT)); /* something waits */
    CHECK(term_text_end(TERM_OUT));
    CHECK(term_text(TERM_OUT, "", 0));
    CHECK(term_text_end(TERM_OUT));
}

static void t_chunks(void **state)
{
    (void)state;
    expect(PIPE, 0, chunks, "aE\xc3\xa4^[[2J\n\xef\xbf\xbd");
}

static void say(void)
{
    CHECK(term_say(TERM_OUT, "\x1b[1m%s\x1b[0;31m %d\x1b[0m\x1b[K\x1b[", "hi", 7));
    CHECK(term_raw(TERM_OUT, "\x1b\0\xff", 3));
}

static void t_say(void **state)
{
    (void)state;
    env("xterm", NULL, NULL);
    struct buf got = BUF_INIT(1 << 16);
    run(PIPE, 0, false, say, &got);
    assert_int_equal(got.len, 12);
    assert_memory_equal(buf_str(&got), "hi 7\x1b[K\x1b[\x1b\0\xff", 12);
    buf_reset(&got);
    run(PTY, 80, false, say, &got);
    assert_non_null(strstr(buf_str(&got), "\x1b[1mhi\x1b[0;31m 7\x1b[0m"));
    buf_finish(&got);
}

/* ---- failures ---- */
static void closed(void)
{
    int fd[2];
    CHECK(pipe(fd) == 0);
    close(fd[0]);
    dup2(fd[1], 1);
    CHECK(!term_text(TERM_OUT, "a", 1) && errno == EPIPE);
    errno = 0;
    CHECK(!term_say(TERM_OUT, "b") && errno == EPIPE);
    CHECK(!term_text_end(TERM_OUT));
    CHECK(term_say(TERM_ERR, "the other stream goes on\n"));
    close(2);
    CHECK(!term_raw(TERM_ERR, "x", 1) && errno == EBADF);
}

static void full(void)
{
    int fd = open("/dev/full", O_WRONLY);
    CHECK(fd >= 0 && dup2(fd, 1) == 1);
    CHECK(!term_text(TERM_OUT, "a", 1) && errno == ENOSPC);
    CHECK(!term_say(TERM_OUT, "b") && errno == ENOSPC);
}

static void t_failures(void **state)
{
    (void)state;
    expect(PIPE, 0, closed, "the other stream goes on\n");
    expect(PIPE, 0, full, "");
}

#define BIG 400000
static void big_nonblocking(void)
{
    static char text[BIG];
    memset(text, 'x', sizeof text);
    CHECK(fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK) == 0);
    CHECK(term_text(TERM_OUT, text, sizeof text));
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void big_interrupted(void)
{
    static char text[BIG];
    memset(text, 'x', sizeof text);
    struct sigaction a = {.sa_handler = on_alarm}; /* no SA_RESTART */
    sigaction(SIGALRM, &a, NULL);
    struct itimerval t = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
    setitimer(ITIMER_REAL, &t, NULL);
    CHECK(term_text(TERM_OUT, text, sizeof text));
    memset(&t, 0, sizeof t);
    setitimer(ITIMER_REAL, &t, NULL);
}

static void t_slow_reader(void **state)
{
    (void)state;
    void (*const fns[])(void) = {big_nonblocking, big_interrupted};
    for (int i = 0; i < 2; i++) {
        struct buf got = BUF_INIT(1 << 24);
        run(PIPE, 0, true, fns[i], &got);
        assert_int_equal(got.len, BIG);
        assert_int_equal(strspn(buf_str(&got), "x"), BIG);
        buf_finish(&got);
    }
}

/* ---- status line ---- */
static void status(void)
{
    term_status("reading 5 %");
    term_status("reading 5 %"); /* the same: nothing is written */
    term_status("reading 10 %, and very much more than fits");
    term_status("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2"); /* 22 columns */
    term_status("a\x1b[2Jb\n");
    term_text(TERM_OUT, "answer", 6);
    term_status("not beside text");
    term_say(TERM_OUT, "\n");
    term_status("x");
    term_status("");
    term_status("");
}

static void t_status(void **state)
{
    (void)state;
    env("xterm", "1", NULL); /* no colour: plainer to compare */
    expect(PTY, 20, status,
           "reading 5 %" "\rreading 10 %, and v"
           "\r\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\x1b[K"
           "\ra^[[2Jb \x1b[K" "\r\x1b[Kanswer\r\nx\r\x1b[K");
    env("dumb", NULL, NULL);
    expect(PTY, 20, status,
           "reading 5 %" "\rreading 10 %, and v"
           "\r\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2 "
           "\ra^[[2Jb            \r                   \ranswer\r\nx\r \r");
    expect(PIPE, 0, status, "answer\n");
    env("xterm", NULL, NULL);
    struct buf got = BUF_INIT(1 << 16);
    run(PTY, 20, false, status, &got);
    assert_non_null(strstr(buf_str(&got), "\r\x1b[2mreading 10 %, and v\x1b[0m"));
    buf_finish(&got);
}

static void plain(void)
{
    term_status("gone before");
    term_plain(true);
    term_status("never");
    term_say(TERM_ERR, "\x1b[1mwords\x1b[0m\n");
}

static void t_plain(void **state)
{
    (void)state;
    env("xterm", "", NULL);
    expect(PTY, 80, plain, "\x1b[2mgone before\x1b[0m\r\x1b[Kwords\r\n");
}

/* ---- what the terminal is ---- */
static void facts(void)
{
    term_say(TERM_OUT, "%d %d %d\n", term_is_tty(TERM_OUT), term_columns(TERM_OUT), term_color(TERM_OUT));
}

static void columns_env(void)
{
    setenv("COLUMNS", "132", 1);
    facts();
    setenv("COLUMNS", "-5", 1);
    facts();
}

static void t_facts(void **state)
{
    (void)state;
    env("xterm", NULL, NULL);
    expect(PTY, 132, facts, "1 132 1\r\n");
    expect(PTY, 0, facts, "1 80 1\r\n");
    expect(PIPE, 0, facts, "0 80 0\n");
    expect(PIPE, 0, columns_env, "0 132 0\n0 80 0\n");
    env("xterm", "yes", NULL);
    expect(PTY, 80, facts, "1 80 0\r\n");
    env("xterm", "", NULL);
    expect(PTY, 80, facts, "1 80 1\r\n");
    env("dumb", NULL, NULL);
    expect(PTY, 80, facts, "1 80 0\r\n");
    env("xterm", NULL, "1");
    expect(PIPE, 0, facts, "0 80 1\n");
    env("xterm", NULL, "0");
    expect(PIPE, 0, facts, "0 80 0\n");
    env("xterm", "1", "1");
    expect(PIPE, 0, facts, "0 80 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_chunks), cmocka_unit_test(t_say),   cmocka_unit_test(t_failures), cmocka_unit_test(t_slow_reader),
        cmocka_unit_test(t_status), cmocka_unit_test(t_plain), cmocka_unit_test(t_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
