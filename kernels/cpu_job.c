/*
 * What the blocks of the CPU backend are built of: jobs and their items, norms, products with a matrix.
 *
 * Counters of items exist twice. A job uses one half; meanwhile each thread clears its own counters of the other half (and those
 * of threads that are not in use), which the job before used and no one looks at any more.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES (32 << 10) /* of weights, about a microsecond of reading */
#define NORM_TOKENS 24        /* a multiple of every level's activation panel */

static struct cpu_counter *counters(struct bk *b, int turn, int phase)
{
    return b->counter + (size_t)(turn * CPU_PHASES + phase) * (size_t)b->n_threads;
}

void cpu_run(struct bk *b, pool_fn fn, void *arg)
{
    b->turn ^= 1;
    pool_run(b->pool, fn, arg);
}

void cpu_start(struct bk *b, int ith)
{
    for (int p = 0; p < CPU_PHASES; p++)
        for (int i = ith; i < b->n_threads; i += b->n_used)
            atomic_store_explicit(&counters(b, b->turn ^ 1, p)[i].next, 0, memory_order_relaxed);
}

struct cpu_items cpu_items(struct bk *b, int phase, int ith, int n)
{
    return (struct cpu_items){.c = counters(b, b->turn, phase), .ith = ith, .nth = b->n_used, .n = n};
}

int cpu_step(const struct bk *b, const struct mat *m, int n)
{
    size_t row = m->bytes / (size_t)m->rows;
    int step = n < 16 ? (int)(ITEM_BYTES / (row + 1)) : 32;
    step = step > CPU_TILE ? CPU_TILE : step;
    while (step > MAT_PANEL && m->rows / step < 4 * b->n_used)
        step /= 2;
    return step < MAT_PANEL ? MAT_PANEL : step / MAT_PANEL * MAT_PANEL;
}

void cpu_mul(struct bk *b, int ith, const struct bk_linear *w, const struct act *a, int r0, int r1, float *y, int ld, int y_row0)
{
    mat_mul(&w->w->mat, a, r0, r1, y, ld, y_row0, w->b ? w->b->vec : NULL, b->hand[ith].mat);
}

void cpu_norm_row(const struct bk *b, const struct bk_norm *norm, const float *x, int n, float *dst)
{
    if (norm->kind != BK_NORM_NONE)
        b->vec->norm(norm->kind, x, norm->w ? norm->w->vec : NULL, norm->b ? norm->b->vec : NULL, norm->eps, n, dst);
    else if (dst != x)
        memcpy(dst, x, (size_t)n * sizeof *dst);
}

void cpu_norm(struct bk *b, int ith, int phase, const struct bk_norm *norm, int row0, bool round, struct act *a)
{
    int n = b->n - row0, d = b->n_embd, ld = b->ld_embd;
    bool few = n <= CPU_FEW;
    float *f = few ? b->hand[ith].norm : b->norm;
    const float *x = b->x + (size_t)row0 * ld;
    act_init(a, b->isa, n, d, f, ld, round ? few ? b->hand[ith].norm_q : b->norm_q : NULL);
    struct cpu_items it = cpu_items(b, phase, ith, (n + NORM_TOKENS - 1) / NORM_TOKENS);
    for (int i; (i = few ? it.turn++ ? -1 : 0 : cpu_next(&it)) >= 0;) {
        int t0 = i * NORM_TOKENS, t1 = t0 + NORM_TOKENS < n ? t0 + NORM_TOKENS : n;
        for (int t = t0; t < t1; t++)
            cpu_norm_row(b, norm, x + (size_t)t * ld, d, f + (size_t)t * ld);
        if (round)
            act_quantize(a, b->isa, t0, t1, 0, d);
    }
    if (!few)
        pool_barrier(b->pool, ith);
}

void cpu_add(struct bk *b, int ith, int phase, const struct bk_linear *w, const struct act *a, const struct bk_norm *post, float scale)
{
    const struct mat *m = &w->w->mat;
    int step = cpu_step(b, m, a->n), ld = b->ld_embd;
    bool after = post->kind != BK_NORM_NONE;
    struct cpu_items it = cpu_items(b, phase, ith, (m->rows + step - 1) / step);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r0 = i * step, r1 = r0 + step < m->rows ? r0 + step : m->rows;
        if (after) {
            cpu_mul(b, ith, w, a, r0, r1, b->norm, ld, 0);
            continue;
        }
        float *y = b->hand[ith].tile[0];
        cpu_mul(b, ith, w, a, r0, r1, y, CPU_TILE, r0);
        for (int t = 0; t < a->n; t++) {
            float *x = b->x + (size_t)t * ld + r0;
            __builtin_prefetch(x + 8 * ld, 1);
            __builtin_prefetch(x + 8 * ld + 16, 1);
            b->vec->add_scaled(x, y + (size_t)t * CPU_TILE, scale, r1 - r0);
        }
    }
    if (!after)
        return;
    pool_barrier(b->pool, ith);
    for (int t = ith; t < a->n; t += b->n_used) {
        float *y = b->norm + (size_t)t * ld;
        cpu_norm_row(b, post, y, m->rows, y);
        b->vec->add_scaled(b->x + (size_t)t * ld, y, scale, m->rows);
    }
}

int cpu_grow(struct bk *b, void **p, size_t *have, size_t bytes, struct err *err)
{
    if (bytes <= *have)
        return 0;
    bytes = (bytes + 63) / 64 * 64;
    void *q = aligned_alloc(64, bytes);
    if (!q)
        return err_set(err, ERR_NOMODEL, "no memory for %zu MB of intermediate values", bytes >> 20);
    free(*p);
    b->scratch_bytes += bytes - *have;
    *p = q;
    *have = bytes;
    return 0;
}

int cpu_check(const struct bk_linear *w, const char *what, int rows, int cols, struct err *err)
{
    if (!w->w || (w->w->use != BK_MATRIX && w->w->use != BK_EMBED_HEAD))
        return err_set(err, ERR_FORMAT, "the %s matrix is missing", what);
    if (w->w->cols != cols || (rows && w->w->rows != rows))
        return err_set(err, ERR_FORMAT, "the %s matrix is %d x %d; %d x %d is wanted", what, w->w->cols, w->w->rows, cols, rows);
    if (w->b && (w->b->use != BK_VECTOR || w->b->cols != w->w->rows))
        return err_set(err, ERR_FORMAT, "the bias of the %s matrix does not have its %d rows", what, w->w->rows);
    return 0;
}

int cpu_check_stack(const struct bk_linear *w, const char *what, int n, int rows, int cols, struct err *err)
{
    if (!w->w || w->w->use != BK_EXPERTS)
        return err_set(err, ERR_FORMAT, "the %s matrices are missing", what);
    if (w->w->n != n || w->w->rows != rows || w->w->cols != cols)
        return err_set(err, ERR_FORMAT, "the %s matrices are %d of %d x %d; %d of %d x %d are wanted", what, w->w->n, w->w->cols, w->w->rows,
                       n, cols, rows);
    if (w->b && (w->b->use != BK_VECTOR || w->b->cols != rows || w->b->rows != n))
        return err_set(err, ERR_FORMAT, "the biases of the %s matrices are not %d times %d", what, n, rows);
    return 0;
}

int cpu_check_norm(const struct bk_norm *norm, const char *what, int n, struct err *err)
{
    if (norm->kind != BK_NORM_NONE && ((norm->w && norm->w->cols != n) || (norm->b && norm->b->cols != n)))
        return err_set(err, ERR_FORMAT, "the %s norm does not have %d weights", what, n);
    return 0;
}
