/*
 * The attention block with grouped queries. An item is a tile: the query heads of one key/value head at some tokens, so
 * that all its rows share every load of K and V. Row r of a tile is token t0 + r / group, head r % group.
 *
 * Positions are cut at multiples of VEC_SPLIT. A row's softmax over what it sees of a split gives (o, max, sum), and these
 * are merged in ascending order: the cut depends on positions alone, so the result is the same bit for bit however tokens come in batches,
 * tiles or threads. A tile goes through its splits one after another; when there are too few tiles for the threads (decoding), each
 * split is an item of its own, and who finishes a tile's last one merges them in the same order.
 *
 * With one token the items rotate their queries, and the one that has the token's split stores K and V, which no other item
 * reads; with more, all K must be stored before, in a phase of its own.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define TILE_ROWS 48
#define SPLIT_TOKENS 8  /* at most so many tokens are cut by splits */
#define WIDEN_ROWS 12   /* from so many rows on f16 pages are widened first */
#define STORE_TOKENS 8

struct attn_job {
    struct bk *b;
    const struct bk_attn_gqa *a;
    bool fused;             /* q holds q, k, v */
    bool core;              /* q, k and v stand in b->qkv, and the result is left in b->wide */
    int k_at, v_at;         /* in a row of b->qkv */
    int group, d_vp;
    int tile, n_tiles;      /* tokens of a tile */
    int split0, n_splits;   /* n_splits: items of a tile; 1: the whole tile */
    bool split;
    size_t part;            /* floats of a split's result */
    struct cpu_seen seen;
    const struct bk_norm *q_norm, *k_norm; /* of one head */
    const struct cpu_rope *rope;
    bool fill;              /* the rope table is to be made */
    size_t page_at, half_at; /* of the layer in a page; from K to V */
    size_t head_bytes;
    bool half;
};

/* A thread's memory for tiles. */
struct tile_mem {
    float *s;               /* (rows, VEC_SPLIT) */
    float *o, *max, *sum;   /* (rows, d_vp), (rows), (rows): merged */
    float *o1, *max1, *sum1; /* of one split */
    float *page;            /* a widened page */
    float *q;               /* (group, d_k): queries of a single token */
    const float **row;      /* (rows) queries */
};

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

static size_t tile_floats(const struct attn_job *j)
{
    size_t rows = (size_t)(j->tile * j->group), d = (size_t)max(j->a->d_k, j->d_vp);
    return rows * (VEC_SPLIT + 2 * (size_t)j->d_vp + 4) + BK_PAGE * d + (size_t)(j->group * j->a->d_k);
}

static struct tile_mem tile_mem(const struct attn_job *j, int ith)
{
    size_t rows = (size_t)(j->tile * j->group), o = rows * (size_t)j->d_vp, d = (size_t)max(j->a->d_k, j->d_vp);
    struct tile_mem m;
    m.row = j->b->hand[ith].attn;
    m.s = (float *)(m.row + (rows + 7) / 8 * 8); /* of 64-byte lines, whatever follows */
    m.page = m.s + rows * VEC_SPLIT;
    m.o = m.page + BK_PAGE * d;
    m.o1 = m.o + o;
    m.max = m.o1 + o;
    m.sum = m.max + rows;
    m.max1 = m.sum + rows;
    m.sum1 = m.max1 + rows;
    m.q = m.sum1 + rows;
    return m;
}

/* ---- q, k, v ---- */

static void project(struct attn_job *j, int ith, const struct act *in)
{
    struct bk *b = j->b;
    const struct bk_linear *w[3] = {&j->a->q, &j->a->k, &j->a->v};
    int at[3] = {0, j->k_at, j->v_at}, step[3], items[3] = {0}, n = j->fused ? 1 : 3;
    for (int i = 0; i < n; i++) {
        step[i] = cpu_step(b, &w[i]->w->mat, b->n);
        items[i] = (w[i]->w->rows + step[i] - 1) / step[i];
    }
    struct cpu_items it = cpu_items(b, 1, ith, items[0] + items[1] + items[2]);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int m = i < items[0] ? 0 : i < items[0] + items[1] ? 1 : 2;
        int r0 = (i - (m > 0 ? items[0] : 0) - (m > 1 ? items[1] : 0)) * step[m];
        cpu_mul(b, ith, w[m], in, r0, min(r0 + step[m], w[m]->w->rows), b->qkv + at[m], b->ld_qkv, 0);
    }
}

void cpu_rope_row(const struct cpu_rope *r, int pos, float *row)
{
    int n = r->n_rot, half = n / 2;
    float *c = row, *s = row + n;
    for (int i = 0; i < half; i++) {
        double angle = (double)pos * (double)r->freq[i];
        float co = (float)(cos(angle) * (double)r->magnitude), si = (float)(sin(angle) * (double)r->magnitude);
        int p = r->kind == BK_ROPE_NEOX ? i : 2 * i, q = r->kind == BK_ROPE_NEOX ? i + half : 2 * i + 1;
        c[p] = c[q] = co;
        s[p] = -si;
        s[q] = si;
    }
}

void cpu_fill_rope(const struct bk *b, const struct cpu_rope *r, int ith, int nth)
{
    for (int t = ith; t < b->n; t += nth)
        cpu_rope_row(r, b->pos0 + t, r->table + (size_t)t * 2 * (size_t)r->n_rot);
}

static void prepare(const struct attn_job *j, int t, const struct bk_norm *norm, const float *src, float *dst, float scale)
{
    const struct vec_ops *vec = j->b->vec;
    cpu_norm_row(j->b, norm, src, j->a->d_k, dst);
    if (j->rope)
        vec->rope(dst, j->rope->table + (size_t)t * 2 * (size_t)j->rope->n_rot, j->rope->n_rot, j->rope->kind == BK_ROPE_NEOX);
    if (scale != 1)
        vec->scale(dst, dst, scale, j->a->d_k);
}

static char *page_of(const struct attn_job *j, int head, int pos)
{
    const struct bk_kv *kv = j->b->kv;
    return kv->mem + (size_t)(pos / BK_PAGE) * kv->page_bytes + j->page_at + (size_t)head * j->head_bytes;
}

static void store(const struct attn_job *j, int t, int head)
{
    float *row = j->b->qkv + (size_t)t * j->b->ld_qkv, *k = row + j->k_at + head * j->a->d_k;
    int pos = j->b->pos0 + t;
    char *page = page_of(j, head, pos);
    prepare(j, t, j->k_norm, k, k, 1);
    j->b->vec->put(page, page + j->half_at, j->half, pos % BK_PAGE, k, j->a->d_k, row + j->v_at + head * j->a->d_v, j->a->d_v);
}

/* Norms over all heads of a token at once. */
static void norm_wide(struct attn_job *j, int ith, int nth)
{
    struct bk *b = j->b;
    const struct bk_attn_gqa *a = j->a;
    for (int t = ith; t < b->n; t += nth) {
        float *q = b->qkv + (size_t)t * b->ld_qkv, *k = q + j->k_at;
        cpu_norm_row(b, &a->q_norm, q, a->n_head * a->d_k, q);
        cpu_norm_row(b, &a->k_norm, k, a->n_kv * a->d_k, k);
    }
    pool_barrier(b->pool, ith);
}

/* With several tokens: rotates all queries where they are, and stores all K and V. */
static void prepare_all(struct attn_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_attn_gqa *a = j->a;
    struct cpu_items it = cpu_items(b, 2, ith, (b->n + STORE_TOKENS - 1) / STORE_TOKENS);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t0 = i * STORE_TOKENS, t1 = min(t0 + STORE_TOKENS, b->n);
        for (int t = t0; t < t1; t++)
            for (int h = 0; h < a->n_head; h++) {
                float *q = b->qkv + (size_t)t * b->ld_qkv + h * a->d_k;
                prepare(j, t, j->q_norm, q, q, a->scale);
            }
        for (int h = 0; h < a->n_kv; h++)
            for (int t = t0; t < t1; t++)
                store(j, t, h);
    }
}

/* ---- tiles ---- */

struct tile {
    int head, t0, n, rows;  /* key/value head; tokens; n * group */
    int lo, hi;             /* positions that any row sees */
};

/* The positions row r sees. */
static int first_seen(const struct attn_job *j, int pos)
{
    return j->a->window > 0 ? max(0, pos - j->a->window + 1) : 0;
}

static struct tile tile_at(const struct attn_job *j, int item)
{
    struct tile t = {.head = item % j->a->n_kv, .t0 = item / j->a->n_kv * j->tile};
    t.n = min(j->tile, j->b->n - t.t0);
    t.rows = t.n * j->group;
    t.lo = first_seen(j, j->b->pos0 + t.t0);
    t.hi = j->b->pos0 + t.t0 + t.n - 1;
    return t;
}

static void set_queries(struct attn_job *j, const struct tile *t, struct tile_mem *m, int *q_head)
{
    struct bk *b = j->b;
    int d = j->a->d_k, h0 = t->head * j->group;
    for (int r = 0; r < t->rows; r++) {
        const float *q = b->qkv + (size_t)(t->t0 + r / j->group) * b->ld_qkv + (h0 + r % j->group) * d;
        if (b->n > 1) {
            m->row[r] = q;
            continue;
        }
        m->row[r] = m->q + r * d;
        if (*q_head != t->head)
            prepare(j, 0, j->q_norm, q, m->q + r * d, j->a->scale);
    }
    *q_head = t->head;
}

/* Does any token of the tile see something of the page of p? */
static bool tile_sees(const struct attn_job *j, const struct tile *t, int p)
{
    bool any = !j->seen.bits;
    for (int i = 0; !any && i < t->n; i++)
        any = j->seen.bits[(size_t)(t->t0 + i) * (size_t)j->seen.ld + (size_t)(p / BK_PAGE)] != 0;
    return any;
}

/* Gives the scores of positions [from, to) that a token does not see a value; false when none is left in [a0, a1). */
static bool hide(const struct attn_job *j, int token, int base, int from, int to, int a0, int a1, float value, float *s)
{
    const uint64_t *bits = j->seen.bits + (size_t)token * (size_t)j->seen.ld;
    bool left = false;
    for (int p = from; p < to; p++) {
        bool seen = bits[p / BK_PAGE] >> (p % BK_PAGE) & 1;
        left = left || (seen && p >= a0 && p < a1);
        if (!seen)
            s[p - base] = value;
    }
    return left;
}

/* The softmax of one row over what it sees of [from, to). */
static void soften(const struct attn_job *j, const struct tile *t, struct tile_mem *m, int r, int base, int from, int to)
{
    int token = t->t0 + r / j->group, pos = j->b->pos0 + token;
    int a0 = max(first_seen(j, pos), base), a1 = min(pos + 1, to);
    float *s = m->s + (size_t)r * VEC_SPLIT;
    if (a0 >= a1 || (j->seen.bits && !hide(j, token, base, from, to, a0, a1, -INFINITY, s))) {
        memset(s, 0, (size_t)(to - base) * sizeof *s);
        m->sum1[r] = 0;
        return;
    }
    j->b->vec->softmax(s, a0 - base, a1 - base, to - base, j->a->softcap, &m->max1[r], &m->sum1[r]);
    if (j->seen.bits) /* the exponential of the least is not quite 0 */
        hide(j, token, base, from, to, a0, a1, 0, s);
}

/* One split of a tile into m->o1, max1, sum1 (sum 0: the row sees nothing of it). */
static void run_split(const struct attn_job *j, const struct tile *t, struct tile_mem *m, int split)
{
    const struct vec_ops *vec = j->b->vec;
    const struct bk_attn_gqa *a = j->a;
    int base = split * VEC_SPLIT, from = max(t->lo, base) / BK_PAGE * BK_PAGE, to = min(t->hi + 1, base + VEC_SPLIT);
    bool wide = j->half && t->rows > WIDEN_ROWS, first = true;
    if (from >= to) {
        memset(m->sum1, 0, (size_t)t->rows * sizeof *m->sum1);
        return;
    }
    for (int p = from; p < to; p += BK_PAGE) {
        const void *k = page_of(j, t->head, p), *next = page_of(j, t->head, from) + j->half_at;
        if (p + BK_PAGE < to)
            next = page_of(j, t->head, p + BK_PAGE);
        if (!tile_sees(j, t, p))
            continue;
        if (wide) {
            vec->widen(k, m->page, BK_PAGE * a->d_k);
            k = m->page;
        }
        vec->scores(m->row, t->rows, k, j->half && !wide, a->d_k, m->s + (p - base), next);
    }
    for (int r = 0; r < t->rows; r++)
        soften(j, t, m, r, base, from, to);
    for (int p = from; p < to; p += BK_PAGE) {
        const char *v = page_of(j, t->head, p) + j->half_at, *next = v;
        int n = min(BK_PAGE, to - p);
        if (!tile_sees(j, t, p))
            continue;
        if (p + BK_PAGE < to)
            next = page_of(j, t->head, p + BK_PAGE) + j->half_at;
        else if (t->hi >= base + VEC_SPLIT) /* K of the next split, which this thread is likely to have next */
            next = page_of(j, t->head, base + VEC_SPLIT);
        if (wide) {
            vec->widen((const void *)v, m->page, n * j->d_vp);
            v = (const char *)m->page;
        }
        vec->values(m->s + (p - base), t->rows, v, j->half && !wide, j->d_vp, n, m->o1, first, next);
        first = false;
    }
}

static void merge_rows(const struct attn_job *j, int rows, const struct tile_mem *m, const float *o1, const float *max1, const float *sum1)
{
    for (int r = 0; r < rows; r++)
        if (sum1[r] != 0)
            j->b->vec->merge(m->o + (size_t)r * j->d_vp, &m->max[r], &m->sum[r], o1 + (size_t)r * j->d_vp, max1[r], sum1[r], j->d_vp);
}

static void clear_rows(int rows, const struct tile_mem *m)
{
    for (int r = 0; r < rows; r++) {
        m->max[r] = -INFINITY;
        m->sum[r] = 0;
    }
}

/* Divides by the sums, hands the rows over, rounded if the product with o wants that. */
static void finish(struct attn_job *j, const struct tile *t, const struct tile_mem *m, struct act *out)
{
    struct bk *b = j->b;
    const struct bk_attn_gqa *a = j->a;
    int h0 = t->head * j->group;
    for (int r = 0; r < t->rows; r++) {
        int h = h0 + r % j->group;
        float *o = m->o + (size_t)r * j->d_vp;
        if (a->sinks)
            b->vec->merge(o, &m->max[r], &m->sum[r], NULL, a->sinks->vec[h], 1, j->d_vp);
        b->vec->scale(b->wide + (size_t)(t->t0 + r / j->group) * b->ld_wide + h * a->d_v, o, 1 / m->sum[r], a->d_v);
    }
    if (out->q && j->group * a->d_v % 32 == 0)
        act_quantize(out, b->isa, t->t0, t->t0 + t->n, h0 * a->d_v, (h0 + j->group) * a->d_v);
}

/* One split of a tile into shared memory; the last one to come merges all. */
static void run_part(struct attn_job *j, int item, const struct tile *t, struct tile_mem *m, struct act *out)
{
    struct bk *b = j->b;
    int tile = item / j->n_splits, split = item % j->n_splits;
    size_t rows = (size_t)t->rows, n = rows * (size_t)j->d_vp;
    float *part = (float *)b->partial + (size_t)item * j->part;
    struct tile_mem p = *m;
    p.o1 = part;
    p.max1 = part + n;
    p.sum1 = part + n + rows;
    run_split(j, t, &p, j->split0 + split);
    if (atomic_fetch_add_explicit(&b->split_done[tile], 1, memory_order_acq_rel) != j->n_splits - 1)
        return;
    atomic_store_explicit(&b->split_done[tile], 0, memory_order_relaxed);
    clear_rows(t->rows, m);
    for (int s = 0; s < j->n_splits; s++) {
        part = (float *)b->partial + (size_t)(tile * j->n_splits + s) * j->part;
        merge_rows(j, t->rows, m, part, part + n, part + n + rows);
    }
    finish(j, t, m, out);
}

static void attend(struct attn_job *j, int ith, struct act *out)
{
    struct bk *b = j->b;
    struct tile_mem m = tile_mem(j, ith);
    int q_head = -1, n_tiles = j->n_tiles * j->a->n_kv;
    struct cpu_items it = cpu_items(b, 3, ith, n_tiles * j->n_splits);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        /* Late tokens see most: they come first. Splits of a head follow each other. */
        struct tile t = tile_at(j, n_tiles - 1 - i / j->n_splits);
        set_queries(j, &t, &m, &q_head);
        if (b->n == 1 && i % j->n_splits == j->n_splits - 1)
            store(j, 0, t.head);
        if (j->split) {
            run_part(j, i, &t, &m, out);
            continue;
        }
        clear_rows(t.rows, &m);
        for (int s = t.lo / VEC_SPLIT; s <= t.hi / VEC_SPLIT; s++) {
            run_split(j, &t, &m, s);
            merge_rows(j, t.rows, &m, m.o1, m.max1, m.sum1);
        }
        finish(j, &t, &m, out);
    }
}

/* ---- the block ---- */

static void attn(void *arg, int ith, int nth)
{
    struct attn_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_gqa *a = j->a;
    struct act in, out;
    cpu_start(b, ith);
    if (!j->core) {
        if (j->fill)
            cpu_fill_rope(b, j->rope, ith, nth);
        cpu_norm(b, ith, 0, &a->in, 0, cpu_reads_q(&a->q) || cpu_reads_q(&a->k) || cpu_reads_q(&a->v), &in);
        project(j, ith, &in);
        pool_barrier(b->pool, ith);
    }
    if (a->norm_wide)
        norm_wide(j, ith, nth);
    if (b->n > 1) {
        prepare_all(j, ith);
        pool_barrier(b->pool, ith);
    }
    int wide = a->n_head * a->d_v;
    act_init(&out, b->isa, b->n, wide, b->wide, b->ld_wide, !j->core && cpu_reads_q(&a->o) ? b->wide_q : NULL);
    attend(j, ith, &out);
    if (j->core)
        return;
    pool_barrier(b->pool, ith);
    if (out.q && j->group * a->d_v % 32 != 0) { /* heads that are no whole blocks */
        for (int t = ith; t < b->n; t += nth)
            act_quantize(&out, b->isa, t, t + 1, 0, wide);
        pool_barrier(b->pool, ith);
    }
    cpu_add(b, ith, 4, &a->o, &out, &a->post, a->out_scale);
}

static int check_sizes(const struct bk *b, const struct bk_attn_gqa *a, struct err *err)
{
    const struct bk_kv *kv = b->kv;
    if (!kv || a->layer < 0 || a->layer >= kv->n_layer)
        return err_set(err, ERR_USAGE, "attention layer %d is not in the cache", a->layer);
    const struct bk_kv_layer *l = &kv->layer[a->layer];
    if (l->n_kv != a->n_kv || l->d_k != a->d_k || l->d_v != a->d_v || a->n_head < 1 || a->n_head % a->n_kv != 0)
        return err_set(err, ERR_USAGE, "attention layer %d (%d heads over %d of %d and %d values) does not fit its cache", a->layer, a->n_head,
                       a->n_kv, a->d_k, a->d_v);
    int64_t nq = (int64_t)a->n_head * a->d_k, nk = (int64_t)a->n_kv * a->d_k, nv = (int64_t)a->n_kv * a->d_v, no = (int64_t)a->n_head * a->d_v;
    if (nq + nk + nv > b->n_qkv || no > b->n_wide)
        return err_set(err, ERR_USAGE, "attention layer %d is wider than the %d values that were reserved", a->layer, b->n_qkv);
    if (a->rope.kind != BK_ROPE_NONE && (a->rope.n_rot < 2 || a->rope.n_rot % 2 || a->rope.n_rot > a->d_k))
        return err_set(err, ERR_USAGE, "%d of %d values cannot be rotated in pairs", a->rope.n_rot, a->d_k);
    return 0;
}

static int check_weights(const struct bk *b, const struct bk_attn_gqa *a, struct err *err)
{
    int64_t nq = (int64_t)a->n_head * a->d_k, nk = (int64_t)a->n_kv * a->d_k, nv = (int64_t)a->n_kv * a->d_v, no = (int64_t)a->n_head * a->d_v;
    bool fused = !a->k.w;
    int rc = cpu_check(&a->q, "query", (int)(fused ? nq + nk + nv : nq), b->n_embd, err);
    if (!rc && !fused)
        rc = cpu_check(&a->k, "key", (int)nk, b->n_embd, err);
    if (!rc && !fused)
        rc = cpu_check(&a->v, "value", (int)nv, b->n_embd, err);
    if (!rc)
        rc = cpu_check(&a->o, "attention output", b->n_embd, (int)no, err);
    if (!rc)
        rc = cpu_check_norm(&a->in, "attention", b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&a->q_norm, "query", a->norm_wide ? (int)nq : a->d_k, err);
    if (!rc)
        rc = cpu_check_norm(&a->k_norm, "key", a->norm_wide ? (int)nk : a->d_k, err);
    if (!rc)
        rc = cpu_check_norm(&a->post, "attention output", b->n_embd, err);
    if (!rc && a->sinks && a->sinks->cols != a->n_head)
        rc = err_set(err, ERR_FORMAT, "the sinks are not %d values", a->n_head);
    return rc;
}

/* One of two tables, which is enough for nets that alternate. */
int cpu_find_rope(struct bk *b, const struct bk_rope *r, const struct cpu_rope **out, bool *fill, struct err *err)
{
    for (int i = 0; i < 2; i++) {
        struct cpu_rope *c = &b->rope[i];
        if (c->n == b->n && c->freq == r->freq && c->n_rot == r->n_rot && c->kind == r->kind && c->magnitude == r->magnitude) {
            *out = c;
            return 0;
        }
    }
    struct cpu_rope *c = &b->rope[b->rope_turn];
    b->rope_turn ^= 1;
    void *table = c->table;
    int rc = cpu_grow(b, &table, &c->bytes, (size_t)b->max_batch * 2 * (size_t)r->n_rot * sizeof(float), err);
    c->table = table;
    if (rc)
        return rc;
    c->freq = r->freq;
    c->n_rot = r->n_rot;
    c->kind = r->kind;
    c->magnitude = r->magnitude;
    c->n = b->n;
    *out = c;
    *fill = true;
    return 0;
}

/* How the block is cut: tiles as large as pays, but enough of them; splits when tokens are few. */
static int cut(struct attn_job *j, struct err *err)
{
    struct bk *b = j->b;
    int n_kv = j->a->n_kv, want = 4 * b->n_used;
    int tile = min(max(1, TILE_ROWS / j->group), max(1, b->n * n_kv / want));
    j->tile = b->n > SPLIT_TOKENS ? tile : 1;
    j->n_tiles = (b->n + j->tile - 1) / j->tile;
    j->split0 = first_seen(j, b->pos0) / VEC_SPLIT;
    int splits = (b->pos0 + b->n - 1) / VEC_SPLIT - j->split0 + 1;
    j->split = b->n <= SPLIT_TOKENS && splits > 1 && j->n_tiles * n_kv < want;
    j->n_splits = j->split ? splits : 1;
    int rc = 0;
    for (int i = 0; !rc && i < b->n_threads; i++)
        rc = cpu_grow(b, &b->hand[i].attn, &b->hand[i].attn_bytes,
                      tile_floats(j) * sizeof(float) + ((size_t)(j->tile * j->group) + 8) * sizeof(float *), err);
    if (!j->split || rc)
        return rc;
    /* Sized for the whole context, so that it is made once. */
    size_t all = (size_t)(b->kv->n_ctx / VEC_SPLIT + 2), tiles = (size_t)(j->n_tiles * n_kv), have = b->split_done_bytes;
    j->part = (size_t)j->group * ((size_t)j->d_vp + 2);
    j->part = (j->part + 15) / 16 * 16;
    rc = cpu_grow(b, &b->partial, &b->partial_bytes, tiles * all * j->part * sizeof(float), err);
    void *done = b->split_done;
    if (!rc)
        rc = cpu_grow(b, &done, &b->split_done_bytes, tiles * sizeof *b->split_done, err);
    b->split_done = done;
    if (b->split_done_bytes != have)
        memset(done, 0, b->split_done_bytes);
    return rc;
}

static int run(struct bk *b, const struct bk_attn_gqa *a, bool core, struct cpu_seen seen, struct err *err)
{
    static const struct bk_norm none;
    struct attn_job j = {.b = b, .a = a, .core = core, .seen = seen, .fused = !a->k.w, .half = b->kv->type == BK_KV_F16};
    j.k_at = a->n_head * a->d_k;
    j.v_at = j.k_at + a->n_kv * a->d_k;
    j.group = a->n_head / a->n_kv;
    j.d_vp = (a->d_v + VEC_PAD - 1) / VEC_PAD * VEC_PAD;
    size_t e = j.half ? 2 : 4;
    j.q_norm = a->norm_wide ? &none : &a->q_norm;
    j.k_norm = a->norm_wide ? &none : &a->k_norm;
    j.page_at = b->kv->at[a->layer];
    j.half_at = (size_t)a->d_k * BK_PAGE * e;
    j.head_bytes = j.half_at + (size_t)j.d_vp * BK_PAGE * e;
    int rc = cut(&j, err);
    if (!rc && a->rope.kind != BK_ROPE_NONE)
        rc = cpu_find_rope(b, &a->rope, &j.rope, &j.fill, err);
    if (!rc)
        cpu_run(b, attn, &j);
    return rc;
}

int cpu_attn_core(struct bk *b, const struct bk_attn_gqa *a, struct cpu_seen seen, struct err *err)
{
    int rc = check_sizes(b, a, err);
    return rc ? rc : run(b, a, true, seen, err);
}

int cpu_attn_gqa(struct bk *b, const struct bk_attn_gqa *a, struct err *err)
{
    int rc = check_sizes(b, a, err);
    if (!rc)
        rc = check_weights(b, a, err);
    return rc ? rc : run(b, a, false, (struct cpu_seen){0}, err);
}
