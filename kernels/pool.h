#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H
/*
 * The compute threads. One generation thread calls; it takes part as thread 0. Who waits spins shortly and then sleeps on a
 * futex: an idle pool costs nothing. Nothing else in the program makes compute threads (OpenBLAS runs single-threaded inside them: blas.h).
 */
#include <stdatomic.h>

#include "base/err.h"

struct pool;

/* n_threads >= 1 in all, the caller included. */
int pool_create(int n_threads, struct pool **out, struct err *err);
void pool_destroy(struct pool *p); /* NULL is fine */
int pool_threads(const struct pool *p);

/* Runs fn(arg, ith, nth) on all threads in use and returns when all are done. Not reentrant. */
typedef void (*pool_fn)(void *arg, int ith, int nth);
void pool_run(struct pool *p, pool_fn fn, void *arg);
/* Between jobs: the next ones run on the first n threads, and the others sleep. */
void pool_use(struct pool *p, int n);
/* How often the threads in use have slept for each other within jobs, so far: often, when other processes hold the cores. */
unsigned pool_slept(const struct pool *p);
/* Inside fn: all threads meet. */
void pool_barrier(struct pool *p, int ith);

/* Inside fn: items 0..n-1 are handed out in runs from a shared counter; set it to 0 before the pool_run or before a barrier. */
static inline int pool_take(atomic_int *next, int run)
{
    return atomic_fetch_add_explicit(next, run, memory_order_relaxed);
}

#endif
