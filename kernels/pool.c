/*
 * The compute threads. What threads wait for are words: a counter on a cache line of its own that one thread raises and
 * others watch. A watcher spins for a moment (phases of a net are microseconds apart), then sleeps on a futex: when other
 * processes hold the cores, a spinning thread would keep its own sibling from running. A spin that was in vain halves the next
 * one, a good one doubles it.
 *
 * - Threads are a tree of fan-in 8. `go` is the number of the job a thread is to do; it raises its children's before its own work.
 * - They meet through the tree: each waits until its children have arrived, then raises its own `arrive`; the root
 *   (thread 0) then raises `release`, which all others watch. The end of a job is the same without the release.
 * - `round` counts the meetings of a thread; all threads of a job take part in all of them, so the numbers agree. A thread that was left
 *   out (pool_use) is given the root's number when it comes back.
 * - Raising is an exchange, not a store: it is ordered before the look at `sleepers`, as a sleeper's mark is before its last
 *   look at the value. One of the two sees the other, so no wake-up is lost.
 */
#include "config.h"
#include "kernels/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE 64
#define FAN_IN 8
#define MAX_THREADS 1024
#define SPIN_US 64       /* for the others, within a job: at most */
#define SPIN_LEAST_US 4
#define SPIN_IDLE_US 200 /* for the next job */

struct word {
    _Alignas(LINE) atomic_uint value;
    atomic_int sleepers;
};

struct member {
    struct word go, arrive;
    _Alignas(LINE) unsigned round;
    int spin_us;
    unsigned slept;
    struct pool *pool;
    pthread_t thread;
};

struct pool {
    struct word release;
    unsigned jobs;
    pool_fn fn;
    void *arg;
    bool stop;
    int n, used; /* threads; of the current job */
    struct member member[];
};

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static bool reached(struct word *w, unsigned target, memory_order order)
{
    return (int)(atomic_load_explicit(&w->value, order) - target) >= 0;
}

static void raise_to(struct word *w, unsigned value)
{
    atomic_exchange(&w->value, value);
    if (atomic_load(&w->sleepers))
        syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* True if spinning was enough. */
static bool watch(struct word *w, unsigned target, int spin_us)
{
    int64_t until = 0;
    for (unsigned i = 1;; i++) {
        if (reached(w, target, memory_order_acquire))
            return true;
        relax();
        if (i % 64)
            continue;
        int64_t now = clock_mono_us();
        if (!until)
            until = now + spin_us;
        else if (now >= until)
            break;
    }
    atomic_fetch_add(&w->sleepers, 1);
    for (;;) {
        unsigned seen = atomic_load(&w->value);
        if ((int)(seen - target) >= 0)
            break;
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); /* a signal or a change of value: look again */
    }
    atomic_fetch_sub(&w->sleepers, 1);
    return false;
}

static void watch_other(struct member *m, struct word *w, unsigned target)
{
    bool spun = watch(w, target, m->spin_us);
    int next = spun ? m->spin_us * 2 : m->spin_us / 2;
    m->slept += !spun;
    m->spin_us = next > SPIN_US ? SPIN_US : next < SPIN_LEAST_US ? SPIN_LEAST_US : next;
}

/* Sends the children of `ith` to work. */
static void spread(struct pool *p, int ith, unsigned job)
{
    for (int c = ith * FAN_IN + 1; c <= ith * FAN_IN + FAN_IN && c < p->used; c++)
        raise_to(&p->member[c].go, job);
}

/* Waits for the children of `ith`, then says that it and they have arrived. */
static unsigned gather(struct pool *p, int ith)
{
    struct member *m = &p->member[ith];
    unsigned r = ++m->round;
    for (int c = ith * FAN_IN + 1; c <= ith * FAN_IN + FAN_IN && c < p->used; c++)
        watch_other(m, &p->member[c].arrive, r);
    if (ith)
        raise_to(&m->arrive, r);
    return r;
}

void pool_barrier(struct pool *p, int ith)
{
    if (p->used == 1)
        return;
    unsigned r = gather(p, ith);
    if (ith)
        watch_other(&p->member[ith], &p->release, r);
    else
        raise_to(&p->release, r);
}

void pool_run(struct pool *p, pool_fn fn, void *arg)
{
    if (p->used > 1) {
        p->fn = fn;
        p->arg = arg;
        spread(p, 0, ++p->jobs);
    }
    fn(arg, 0, p->used);
    if (p->used > 1)
        gather(p, 0);
}

static void *work(void *arg)
{
    struct member *m = arg;
    struct pool *p = m->pool;
    int ith = (int)(m - p->member);
    for (unsigned job = 0;;) {
        watch(&m->go, job + 1, SPIN_IDLE_US);
        job = atomic_load_explicit(&m->go.value, memory_order_acquire);
        spread(p, ith, job);
        if (p->stop)
            return NULL;
        p->fn(p->arg, ith, p->used);
        gather(p, ith);
    }
}

static void stop(struct pool *p, int started)
{
    p->stop = true;
    p->used = started;
    spread(p, 0, ++p->jobs);
    for (int i = 1; i < started; i++)
        pthread_join(p->member[i].thread, NULL);
    free(p);
}

int pool_create(int n_threads, struct pool **out, struct err *err)
{
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return err_set(err, ERR_USAGE, "%d compute threads are asked for; 1 to %d can be had", n_threads, MAX_THREADS);
    size_t bytes = sizeof(struct pool) + (size_t)n_threads * sizeof(struct member);
    struct pool *p = aligned_alloc(LINE, bytes);
    if (!p)
        return err_set(err, ERR_IO, "no memory for %d compute threads", n_threads);
    memset(p, 0, bytes);
    p->n = p->used = n_threads;
    for (int i = 0; i < n_threads; i++)
        p->member[i].spin_us = SPIN_US;
    /* Signals are the business of the thread that made the pool. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int started = 1, rc = 0;
    for (; started < n_threads && !rc; started += !rc) {
        struct member *m = &p->member[started];
        m->pool = p;
        rc = pthread_create(&m->thread, NULL, work, m);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        stop(p, started);
        return err_set(err, ERR_IO, "cannot start compute thread %d of %d: %s", started + 1, n_threads, strerror(rc));
    }
    *out = p;
    return 0;
}

void pool_destroy(struct pool *p)
{
    if (p)
        stop(p, p->n);
}

void pool_use(struct pool *p, int n)
{
    ASSERT(n >= 1 && n <= p->n);
    for (int i = p->used; i < n; i++)
        p->member[i].round = p->member[0].round;
    p->used = n;
}

unsigned pool_slept(const struct pool *p)
{
    unsigned sum = 0;
    for (int i = 0; i < p->used; i++)
        sum += p->member[i].slept;
    return sum;
}

int pool_threads(const struct pool *p)
{
    return p->n;
}
