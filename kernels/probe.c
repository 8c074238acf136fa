/*
 * Measures with the very kernels that will run: a matrix of zeros (no byte of it shared, all of it touched) is multiplied with one token by
 * all threads, in items as the blocks cut them; the median of a few passes counts, so that other
 * programs that hold the cores count, too. Where they do, half of the threads can be faster (cpu_pace.c): both are tried.
 */
#include "config.h"
#include "kernels/probe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "kernels/mat.h"
#include "kernels/pool.h"

enum { COLS = 1024, ITEM_BYTES = 32 << 10, PASSES = 9, MEETINGS = 200 };

struct probe {
    struct mat m;
    struct act a;
    float *x, *y;
    void *q;
    char *scratch;
    size_t scratch_bytes;
    int step;
    atomic_int next;
};

static void fill(void *arg, int ith, int nth)
{
    struct probe *p = arg;
    size_t from = p->m.bytes / 64 * (size_t)ith / (size_t)nth * 64, to = p->m.bytes / 64 * (size_t)(ith + 1) / (size_t)nth * 64;
    memset((char *)p->m.data + from, 0, to - from);
}

static void multiply(void *arg, int ith, int nth)
{
    (void)nth;
    struct probe *p = arg;
    for (int r; (r = pool_take(&p->next, 1) * p->step) < p->m.rows;)
        mat_mul(&p->m, &p->a, r, r + p->step < p->m.rows ? r + p->step : p->m.rows, p->y, p->m.rows, 0, NULL, p->scratch + p->scratch_bytes * (size_t)ith);
}

static void nothing(void *arg, int ith, int nth)
{
    (void)arg;
    (void)ith;
    (void)nth;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double usual_pass(struct probe *p, struct pool *pool)
{
    int64_t took[PASSES];
    for (int i = 0; i < PASSES; i++) {
        atomic_store(&p->next, 0);
        int64_t t0 = clock_mono_us();
        pool_run(pool, multiply, p);
        took[i] = clock_mono_us() - t0;
    }
    qsort(took, PASSES, sizeof took[0], by_value);
    return took[PASSES / 2] > 0 ? (double)took[PASSES / 2] * 1e-6 : 1e-6;
}

static void *block(size_t n)
{
    return aligned_alloc(64, (n + 63) / 64 * 64 + 64);
}

double probe_weights(enum qtype type, size_t bytes, int n_threads)
{
    struct probe p = {.step = 0};
    struct pool *pool = NULL;
    enum isa isa = isa_level();
    size_t row = quant_row_bytes(type, COLS), rows = row ? bytes / row / MAT_PANEL * MAT_PANEL : 0, size;
    double speed = 0;
    rows = rows < MAT_PANEL ? MAT_PANEL : rows > 1 << 24 ? 1 << 24 : rows;
    size = row ? mat_bytes(isa, type, (int)rows, COLS) : 0;
    if (!size || pool_create(n_threads, &pool, NULL))
        return 0;
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        data = NULL;
    else
        madvise(data, size, MADV_HUGEPAGE); /* as the weights have */
    p.scratch_bytes = (mat_scratch_bytes(isa, COLS, 1) + 63) / 64 * 64;
    p.scratch = block(p.scratch_bytes * (size_t)n_threads);
    p.x = block(COLS * sizeof *p.x);
    p.y = block(rows * sizeof *p.y);
    p.q = block(act_bytes(isa, 1, COLS));
    if (data && p.scratch && p.x && p.y && p.q) {
        for (int i = 0; i < COLS; i++)
            p.x[i] = (float)(i % 7) - 3;
        mat_init(&p.m, isa, type, (int)rows, COLS, data);
        pool_run(pool, fill, &p);
        act_init(&p.a, isa, 1, COLS, p.x, COLS, p.q);
        act_quantize(&p.a, isa, 0, 1, 0, COLS);
        size_t step = ITEM_BYTES / row / MAT_PANEL * MAT_PANEL;
        p.step = step < MAT_PANEL ? MAT_PANEL : (int)step;
        speed = (double)size / usual_pass(&p, pool);
        if (n_threads > 1) {
            pool_use(pool, (n_threads + 1) / 2);
            double half = (double)size / usual_pass(&p, pool);
            speed = half > speed ? half : speed;
        }
    }
    if (data)
        munmap(data, size);
    free(p.scratch);
    free(p.x);
    free(p.y);
    free(p.q);
    pool_destroy(pool);
    return speed;
}

double probe_meeting(int n_threads)
{
    struct pool *pool = NULL;
    if (n_threads < 2 || pool_create(n_threads, &pool, NULL))
        return 0;
    int64_t best = INT64_MAX;
    for (int i = 0; i < PASSES; i++) {
        int64_t t0 = clock_mono_us();
        for (int k = 0; k < MEETINGS; k++)
            pool_run(pool, nothing, NULL);
        int64_t took = clock_mono_us() - t0;
        best = took < best ? took : best;
    }
    pool_destroy(pool);
    return (double)best * 1e-6 / MEETINGS;
}
