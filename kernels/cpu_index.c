/*
 * The index of sparse latent attention (spec: archs 9): small heads score every position, and a token sees the top_k best.
 * Keys of the index are kept in the cache beside what attention reads, f32, positions in the lanes. Scores are sums in one order,
 * of equal ones the earlier position is taken, so what a token sees depends on its past alone.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define BLOCK 16 /* pages scored as one item */

struct select_job {
    struct bk *b;
    const struct bk_index *x;
    int layer, n_pages;     /* pages that hold positions */
    const float *q, *w;     /* (n, ld_q): rotated queries; (n, ld_w): weights of heads */
    int ld_q, ld_w;
    float *score, *sorted;  /* (n, n_pages * BK_PAGE); the same for sorting */
    float *part;            /* (n_threads, n_head, VEC_SPLIT) */
    const float **rows;     /* (n_threads, n_head) */
    uint64_t *bits;         /* (n, n_pages) */
};

void cpu_index_scores(const struct bk *b, const float *q, int heads, int d, const float *w, const float *keys, const float **rows, float *s,
                      float *out)
{
    for (int h = 0; h < heads; h++)
        rows[h] = q + (size_t)h * (size_t)d;
    b->vec->scores(rows, heads, keys, false, d, s, NULL);
    memset(out, 0, BK_PAGE * sizeof *out);
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < BK_PAGE; i++) {
            float v = s[(size_t)h * VEC_SPLIT + (size_t)i];
            out[i] += w[h] * (v > 0 ? v : 0);
        }
    for (int i = 0; i < BK_PAGE; i++)
        if (!(out[i] > -INFINITY)) /* not a number: the last to be taken */
            out[i] = -INFINITY;
}

static void score_page(const struct select_job *j, int ith, int t, int page)
{
    const struct bk_index *x = j->x;
    size_t own = (size_t)ith * (size_t)x->n_head;
    cpu_index_scores(j->b, j->q + (size_t)t * (size_t)j->ld_q, x->n_head, x->d, j->w + (size_t)t * (size_t)j->ld_w,
                     cpu_extra(j->b->kv, j->layer, page), j->rows + own, j->part + own * VEC_SPLIT,
                     j->score + ((size_t)t * (size_t)j->n_pages + (size_t)page) * BK_PAGE);
}

/* The k-th largest of v[0..n), which is reordered. */
static float kth_largest(float *v, int n, int k)
{
    int lo = 0, hi = n - 1;
    while (lo < hi) {
        float pivot = v[lo + (hi - lo) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i <= j) {
                float x = v[i];
                v[i++] = v[j];
                v[j--] = x;
            }
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
    return v[k - 1];
}

void cpu_choose(const float *score, int n, int k, float *sorted, uint64_t *bits, int words)
{
    if (n <= k) {
        memset(bits, 0xFF, (size_t)words * sizeof *bits);
        return;
    }
    memset(bits, 0, (size_t)words * sizeof *bits);
    memcpy(sorted, score, (size_t)n * sizeof *sorted);
    float least = kth_largest(sorted, n, k);
    int above = 0;
    for (int p = 0; p < n; p++)
        above += score[p] > least;
    for (int p = 0, equal = k - above; p < n; p++)
        if (score[p] > least || (score[p] == least && equal-- > 0))
            bits[p / BK_PAGE] |= (uint64_t)1 << (p % BK_PAGE);
}

static void select_all(void *arg, int ith, int nth)
{
    (void)nth;
    struct select_job *j = arg;
    struct bk *b = j->b;
    int blocks = (j->n_pages + BLOCK - 1) / BLOCK;
    cpu_start(b, ith);
    struct cpu_items it = cpu_items(b, 0, ith, b->n * blocks);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t = i / blocks, last = (b->pos0 + t) / BK_PAGE;
        if (b->pos0 + t + 1 <= j->x->top_k)
            continue;
        for (int p = i % blocks * BLOCK; p <= last && p < (i % blocks + 1) * BLOCK; p++)
            score_page(j, ith, t, p);
    }
    pool_barrier(b->pool, ith);
    it = cpu_items(b, 1, ith, b->n);
    for (int t; (t = cpu_next(&it)) >= 0;) {
        size_t at = (size_t)t * (size_t)j->n_pages;
        cpu_choose(j->score + at * BK_PAGE, b->pos0 + t + 1, j->x->top_k, j->sorted + at * BK_PAGE, j->bits + at, j->n_pages);
    }
}

static size_t lay_out(struct select_job *j, char *base)
{
    size_t n = (size_t)j->b->n * (size_t)j->n_pages, threads = (size_t)j->b->n_threads, heads = (size_t)j->x->n_head, at = 0;
    j->score = cpu_piece(base, &at, n * BK_PAGE * sizeof(float));
    j->sorted = cpu_piece(base, &at, n * BK_PAGE * sizeof(float));
    j->bits = cpu_piece(base, &at, n * sizeof(uint64_t));
    j->part = cpu_piece(base, &at, threads * heads * VEC_SPLIT * sizeof(float));
    j->rows = cpu_piece(base, &at, threads * heads * sizeof(float *));
    return at;
}

int cpu_index(struct bk *b, const struct bk_index *x, int layer, const float *q, int ld_q, const float *w, int ld_w, struct cpu_seen *seen,
              struct err *err)
{
    *seen = (struct cpu_seen){0};
    if (b->pos0 + b->n <= x->top_k)
        return 0;
    struct select_job j = {.b = b, .x = x, .layer = layer, .n_pages = (b->pos0 + b->n - 1) / BK_PAGE + 1, .q = q, .w = w, .ld_q = ld_q, .ld_w = ld_w};
    int rc = cpu_grow(b, &b->index, &b->index_bytes, lay_out(&j, NULL), err);
    if (rc)
        return rc;
    lay_out(&j, b->index);
    cpu_run(b, select_all, &j);
    *seen = (struct cpu_seen){j.bits, j.n_pages};
    return 0;
}

void cpu_index_store(const struct bk *b, const struct bk_index *x, int layer, int t, const float *k)
{
    int pos = b->pos0 + t;
    float *page = cpu_extra(b->kv, layer, pos / BK_PAGE) + pos % BK_PAGE;
    for (int i = 0; i < x->d; i++)
        page[(size_t)i * BK_PAGE] = k[i];
}

int cpu_index_check(const struct bk *b, const struct bk_index *x, int layer, int q_rank, struct err *err)
{
    if (x->n_head < 1 || x->d < 2 || x->top_k < 1 || (x->rope.kind != BK_ROPE_NONE && (x->rope.n_rot < 2 || x->rope.n_rot % 2 || x->rope.n_rot > x->d)))
        return err_set(err, ERR_USAGE, "an index of %d heads of %d values, %d of them rotated, cannot be", x->n_head, x->d, x->rope.n_rot);
    if (!b->kv || layer < 0 || layer >= b->kv->n_layer || b->kv->layer[layer].d_extra != x->d)
        return err_set(err, ERR_USAGE, "the cache of attention layer %d has no room for an index", layer);
    int rc = cpu_check(&x->q, "index query", x->n_head * x->d, q_rank, err);
    if (!rc)
        rc = cpu_check(&x->k, "index key", x->d, b->n_embd, err);
    if (!rc)
        rc = cpu_check(&x->proj, "index weight", x->n_head, b->n_embd, err);
    return rc ? rc : cpu_check_norm(&x->k_norm, "index key", x->d, err);
}
