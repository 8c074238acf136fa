/*
 * The engine as a process of its own: this program again (/proc/self/exe --engine-fd 3) at the other end of a socket pair. Made by the
 * first submit, and again by the next one after it died. The child gets the socket, a log if there is one, and nothing else.
 *
 * What the face polls is an epoll descriptor, so that it wakes up for writing, too, while a large job waits to be written. Nothing
 * blocks: a child that is stopped or hangs is killed 2 s after a cancellation, and a dead one is reaped in passing.
 *
 * States: pid < 0: none; pid > 0 and sock >= 0: running; pid > 0 and sock < 0: dying (its socket ended, we wait for the status).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/engine_impl.h"
#include "app/frame.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define GRACE_MS 2000 /* between a request to stop, or to leave, and the kill */
#define REAP_MS 1000  /* for a killed child to become one that can be waited for */
#define READS 32      /* of one call of work */
#define CHILD_FD 3

struct proc {
    struct engine base;
    int ep, sock;
    bool want_out; /* epoll is asked for writing */
    pid_t pid;
    int64_t asked_ms, ended_ms; /* when it was asked to stop; when its socket ended */
    char why[sizeof(((struct err *)0)->msg)]; /* why we gave it up, "" when it went by itself */
    struct frame_in in;
    struct frame_out out;
};

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

/* ---- birth ---- */

/* Between fork and exec: only what is async-signal-safe. */
static void child(int sock, pid_t parent, char *const argv[])
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    int s = fcntl(sock, F_DUPFD, 10), null = open("/dev/null", O_RDWR);
    if (s < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        _exit(126);
#ifndef HADAL_SANITIZED /* a sanitizer's report should be seen */
    if (dup2(null, 2) < 0)
        _exit(126);
#endif
    if (dup2(s, CHILD_FD) < 0)
        _exit(126);
    if (close_range(CHILD_FD + 1, ~0u, 0))
        for (int fd = CHILD_FD + 1; fd < 4096; fd++)
            close(fd);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int start(struct proc *p, struct err *err)
{
    static char name[] = "hadal", option[] = "--engine-fd", number[] = "3";
    char *const argv[] = {name, option, number, NULL};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_sys(err, ERR_IO, "cannot start the engine: no socket");
    struct epoll_event ev = {.events = EPOLLIN};
    pid_t parent = getpid(), pid = -1;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 && epoll_ctl(p->ep, EPOLL_CTL_ADD, pair[0], &ev) == 0)
        pid = fork();
    if (pid == 0)
        child(pair[1], parent, argv);
    int saved = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        errno = saved;
        return err_sys(err, ERR_IO, "cannot start the engine");
    }
    p->pid = pid;
    p->sock = pair[0];
    p->want_out = false;
    p->why[0] = 0;
    log_say("engine: process %d", (int)pid);
    return 0;
}

/* ---- death ---- */

static void hang_up(struct proc *p)
{
    if (p->sock >= 0)
        close(p->sock); /* leaves the epoll, too */
    p->sock = -1;
    p->ended_ms = now_ms();
    frame_in_finish(&p->in);
    frame_out_finish(&p->out);
}

/* It is of no use any more: kills it (which a process that is leaving anyway does not notice). */
static void give_up(struct proc *p, const char *why)
{
    if (why)
        snprintf(p->why, sizeof p->why, "%s", why);
    kill(p->pid, SIGKILL);
    hang_up(p);
}

/* Where a dying child is reaped; true when there is none any more. */
static bool reap(struct proc *p)
{
    char text[sizeof p->why];
    int status = 0;
    pid_t got;
    if (p->pid < 0)
        return true;
    do {
        got = waitpid(p->pid, &status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0 && now_ms() - p->ended_ms < REAP_MS)
        return false;
    if (p->why[0])
        snprintf(text, sizeof text, "%s", p->why);
    else if (got > 0 && WIFSIGNALED(status))
        snprintf(text, sizeof text, "the engine stopped (signal %d, %s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (got > 0 && WIFEXITED(status) && (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127))
        snprintf(text, sizeof text, "the engine could not be started (status %d)", WEXITSTATUS(status));
    else if (got > 0)
        snprintf(text, sizeof text, "the engine stopped (status %d)", WEXITSTATUS(status));
    else
        snprintf(text, sizeof text, "the engine stopped");
    log_say("engine: process %d: %s", (int)p->pid, text);
    p->pid = -1;
    engine_emit_death(&p->base, text);
    return true;
}

/* ---- life ---- */

static void flush(struct proc *p)
{
    if (p->sock < 0)
        return;
    bool want = !frame_send(p->sock, &p->out) && errno == EAGAIN; /* other errors: reading sees the end */
    if (want == p->want_out)
        return;
    struct epoll_event ev = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN};
    epoll_ctl(p->ep, EPOLL_CTL_MOD, p->sock, &ev);
    p->want_out = want;
}

/* Every frame that has come; false: the engine breaks the rules. */
static bool take_frames(struct proc *p, struct err *err)
{
    struct frame f;
    struct event *ev;
    int rc;
    while ((rc = frame_take(&p->in, &f, err)) > 0) {
        if (frame_event(&f, &ev, err))
            return false;
        if (!engine_emit(&p->base, ev)) {
            err_set(err, ERR_IO, "the engine sent what was not asked for, or an answer without end");
            return false;
        }
    }
    return rc == 0;
}

static void work(struct engine *e)
{
    struct proc *p = (struct proc *)e;
    struct err err = {0};
    flush(p);
    for (int i = 0; p->sock >= 0 && i < READS; i++) {
        long n = frame_recv(p->sock, &p->in);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            give_up(p, NULL);
        else if (!take_frames(p, &err))
            give_up(p, err.msg);
    }
    if (p->sock >= 0 && e->busy && e->cancelled && now_ms() - p->asked_ms >= GRACE_MS)
        give_up(p, "the engine did not stop, and was killed");
    if (p->sock < 0)
        reap(p);
}

static int submit(struct engine *e, struct job *j, struct err *err)
{
    struct proc *p = (struct proc *)e;
    int rc = 0;
    work(e); /* it may have died since the last look */
    for (int i = 0; p->sock < 0 && !reap(p) && i < 50; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (p->sock < 0)
        rc = start(p, err); /* one that still could not be reaped is left to init */
    if (!rc) {
        frame_put_job(&p->out.b, j);
        if (buf_over(&p->out.b)) {
            p->out.b.over = false; /* nothing of it was appended */
            rc = err_set(err, ERR_INPUT, "the conversation is too large to be sent to the engine: at most %u MiB, and %d messages", FRAME_MAX >> 20,
                         FRAME_MAX_MESSAGES);
        }
    }
    job_free(j);
    flush(p);
    return rc;
}

static void cancel(struct engine *e)
{
    struct proc *p = (struct proc *)e;
    p->asked_ms = now_ms();
    if (p->sock < 0)
        return;
    frame_put_cancel(&p->out.b, e->last_job);
    flush(p);
}

static int poll_fd(const struct engine *e)
{
    const struct proc *p = (const struct proc *)e;
    return p->sock >= 0 ? p->ep : -1;
}

static int timeout_ms(const struct engine *e)
{
    const struct proc *p = (const struct proc *)e;
    if (p->pid > 0 && p->sock < 0)
        return 1;
    if (p->sock < 0 || !e->busy || !e->cancelled)
        return -1;
    int64_t left = p->asked_ms + GRACE_MS - now_ms();
    return left > 0 ? (int)left : 0;
}

static int pid(const struct engine *e)
{
    const struct proc *p = (const struct proc *)e;
    return p->sock >= 0 ? (int)p->pid : -1;
}

/* Asks by ending our direction of the socket. */
static void destroy(struct engine *e)
{
    struct proc *p = (struct proc *)e;
    int64_t end = now_ms() + GRACE_MS;
    if (p->sock >= 0) {
        shutdown(p->sock, SHUT_WR);
        for (int64_t left; (left = end - now_ms()) > 0;) {
            struct pollfd pf = {.fd = p->sock, .events = POLLIN};
            char rest[4096];
            if (poll(&pf, 1, (int)left) <= 0)
                continue;
            ssize_t n = recv(p->sock, rest, sizeof rest, 0);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                break;
        }
        hang_up(p);
    }
    while (p->pid > 0) {
        pid_t got = waitpid(p->pid, NULL, WNOHANG);
        if (got != 0 && !(got < 0 && errno == EINTR))
            break;
        if (now_ms() >= end)
            kill(p->pid, SIGKILL);
        if (now_ms() >= end + REAP_MS)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    frame_in_finish(&p->in);
    frame_out_finish(&p->out);
    close(p->ep);
    free(p);
}

int engine_proc_create(struct engine **out, struct err *err)
{
    static const struct engine_ops ops = {submit, cancel, work, poll_fd, timeout_ms, pid, destroy};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        return err_sys(err, ERR_IO, "cannot start the engine: no epoll");
    struct proc *p = mem_zalloc(sizeof *p);
    *p = (struct proc){.base = {.ops = &ops}, .ep = ep, .sock = -1, .pid = -1};
    frame_in_init(&p->in);
    frame_out_init(&p->out);
    *out = &p->base;
    return 0;
}
