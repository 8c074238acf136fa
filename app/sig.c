/*
 * Signals as bytes in a pipe: handlers only write the signal's number, the poll loop reads it. Signals that were ignored when the
 * program began (nohup, background jobs of a plain shell) stay ignored. Fatal faults give the terminal back first
 * and then go the way they would have gone.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"

struct slot {
    int sig;
    bool tty, fault;
    bool set;
    struct sigaction old;
};

static struct slot slots[] = {
    {.sig = SIGINT}, {.sig = SIGTERM}, {.sig = SIGHUP}, {.sig = SIGUSR1}, {.sig = SIGPIPE},
    {.sig = SIGWINCH, .tty = true}, {.sig = SIGTSTP, .tty = true}, {.sig = SIGCONT, .tty = true},
    {.sig = SIGSEGV, .fault = true}, {.sig = SIGBUS, .fault = true}, {.sig = SIGFPE, .fault = true}, {.sig = SIGILL, .fault = true},
    {.sig = SIGABRT, .fault = true}, {.sig = SIGQUIT, .fault = true}, /* Ctrl-\, the emergency exit */
};
#define N_SLOTS (sizeof slots / sizeof *slots)

static int pipe_fd[2] = {-1, -1};
static void (*restore_fn)(void);
static char fault_stack[1 << 16]; /* a fault may be a stack overflow */

static void on_signal(int sig)
{
    int saved = errno;
    unsigned char c = (unsigned char)sig;
    if (write(pipe_fd[1], &c, 1) < 0) {
        /* full: thousands of signals wait already */
    }
    errno = saved;
}

/* The old action is put back; a fault of the processor happens again when this returns, a sent signal is sent again. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (restore_fn)
        restore_fn();
    for (size_t i = 0; i < N_SLOTS; i++)
        if (slots[i].sig == sig)
            sigaction(sig, &slots[i].old, NULL);
    if (info->si_code <= 0 || sig == SIGQUIT)
        raise(sig);
}

static void set_one(struct slot *s)
{
    struct sigaction sa = {0};
    sigfillset(&sa.sa_mask);
    if (s->fault) {
        sa.sa_sigaction = on_fault;
        sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    } else {
        sa.sa_handler = s->sig == SIGPIPE ? SIG_IGN : on_signal;
        sa.sa_flags = SA_RESTART;
    }
    if (sigaction(s->sig, NULL, &s->old))
        return;
    bool ignored = !(s->old.sa_flags & SA_SIGINFO) && s->old.sa_handler == SIG_IGN;
    s->set = !(ignored && !s->fault) && sigaction(s->sig, &sa, NULL) == 0;
}

int sig_open(bool tty, void (*restore)(void), struct err *err)
{
    sig_close();
    if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK))
        return err_sys(err, ERR_IO, "cannot make a pipe for signals");
    restore_fn = restore;
    stack_t st;
    if (!sigaltstack(NULL, &st) && (st.ss_flags & SS_DISABLE)) {
        st = (stack_t){.ss_sp = fault_stack, .ss_size = sizeof fault_stack};
        sigaltstack(&st, NULL);
    }
    for (size_t i = 0; i < N_SLOTS; i++)
        if (tty || !slots[i].tty)
            set_one(&slots[i]);
    return pipe_fd[0];
}

int sig_take(void)
{
    unsigned char c;
    ssize_t n;
    do {
        n = pipe_fd[0] < 0 ? 0 : read(pipe_fd[0], &c, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1 ? c : 0;
}

void sig_close(void)
{
    for (size_t i = 0; i < N_SLOTS; i++) {
        if (slots[i].set)
            sigaction(slots[i].sig, &slots[i].old, NULL);
        slots[i].set = false;
    }
    for (int i = 0; i < 2; i++) {
        if (pipe_fd[i] >= 0)
            close(pipe_fd[i]);
        pipe_fd[i] = -1;
    }
    restore_fn = NULL;
}
