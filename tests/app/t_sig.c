/*
 * Signals: those that come are read from the descriptor in order; what was ignored stays so; a fault restores first and still ends the process.
 */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/app.h"
#include "tests/t.h"

static void taken_in_order(void **state)
{
    (void)state;
    struct err err = {0};
    int fd = sig_open(true, NULL, &err);
    assert_true(fd >= 0);
    assert_int_equal(sig_take(), 0);
    raise(SIGINT);
    raise(SIGWINCH);
    raise(SIGPIPE); /* ignored */
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(sig_take(), SIGINT);
    assert_int_equal(sig_take(), SIGWINCH);
    assert_int_equal(sig_take(), 0);
    sig_close();
    struct sigaction sa;
    sigaction(SIGINT, NULL, &sa);
    assert_true(sa.sa_handler == SIG_DFL);
    assert_int_equal(sig_take(), 0);
}

static void without_a_terminal(void **state)
{
    (void)state;
    signal(SIGHUP, SIG_IGN); /* nohup */
    assert_true(sig_open(false, NULL, NULL) >= 0);
    raise(SIGHUP);
    raise(SIGWINCH);
    assert_int_equal(sig_take(), 0);
    raise(SIGTERM);
    assert_int_equal(sig_take(), SIGTERM);
    sig_close();
    signal(SIGHUP, SIG_DFL);
}

static int told;

static void tell(void)
{
    if (write(told, "r", 1) < 0)
        _exit(9);
}

/* The child faults; the parent sees "restored" and the signal that ended it. */
static void fault(int how)
{
    int p[2], status;
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(how, SIG_DFL); /* not the sanitizer's */
        told = p[1];
        sig_open(true, tell, NULL);
        volatile uintptr_t at = 64;
        if (how == SIGSEGV)
            *(volatile int *)at = 1;
        raise(how);
        _exit(0);
    }
    close(p[1]);
    char c[4];
    assert_int_equal(read(p[0], c, sizeof c), 1);
    close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), how);
}

static void faults(void **state)
{
    (void)state;
#ifndef __SANITIZE_THREAD__
    fault(SIGSEGV);
#endif
    fault(SIGABRT);
    fault(SIGFPE);
}

int main(void)
{
    /* In the background of a plain shell it would be ignored, and stay so. */
    signal(SIGINT, SIG_DFL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_in_order),
        cmocka_unit_test(without_a_terminal),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
