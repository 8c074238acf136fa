/*
 * Attention over the last positions and compressed entries of all before (spec: archs 10.4). What a position leaves is one vector,
 * key and value of all heads; besides, the values and gates that entries are pooled from, so that a timeline can go on from any of
 * its positions. All of it is f32, in the part of a page that the layer lays out:
 *
 *   vectors (BK_PAGE, d) | of entries: values and gates (BK_PAGE, 2 halves) | of the index: the same | entries (per_page, d) |
 *   entries of the index (per_page, d)
 *
 * An entry is in the page of its last position. Four jobs: project, keep and pool; score the index; attend; the output. A token
 * attends to a list of vectors, first the positions, then the entries, in ascending order; the list, and so every sum, depends on the
 * token's past alone.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define TOGETHER 24 /* tokens rounded together, a multiple of every level's activation panel */
#define HEADS 16    /* of an attention item */
#define MOST_ROT 512

/* Where things are in a page, floats. */
struct layout {
    size_t raw, pairs[2], entry[2]; /* [0] entries, [1] index */
    int per_page;
};

struct csa_job {
    struct bk *b;
    const struct bk_attn_csa *a;
    const struct bk_compress *c[2];
    struct layout at;
    const struct cpu_rope *rope;
    bool fill, round_in, round_qa, round_oa, round_ob;
    int ld_qa, ld_q, ld_kv, ld_pair[2], ld_xq, ld_mid, d_vp, per_group, rank;
    float *qa, *q, *kv, *value[2], *gate[2], *xq, *xw, *mid; /* (n, ld) */
    char *qa_q, *oa_q, *mid_q;
    size_t oa_q_bytes;      /* of one group */
    float *own;             /* (n_threads, own_floats) */
    size_t own_floats;
    const float **rows;     /* (n_threads, heads) */
    int row_heads;
    /* The index. */
    int n_block;            /* of BK_PAGE entries */
    float *score, *sorted;  /* (n, n_block, BK_PAGE) */
    uint64_t *bits;         /* (n, n_block); NULL: all entries are seen */
};

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

static float *row(float *base, int t, int ld)
{
    return base + (size_t)t * (size_t)ld;
}

/* ---- the cache ---- */

/* Values a position keeps for pooling, values and gates alike. */
static int pair_half(const struct bk_compress *c)
{
    return c->d * (1 + c->overlap);
}

static struct layout layout(const struct bk_attn_csa *a)
{
    struct layout l = {.per_page = a->entries.ratio ? (BK_PAGE + a->entries.ratio - 1) / a->entries.ratio : 0};
    l.pairs[0] = (size_t)a->d * BK_PAGE;
    l.pairs[1] = l.pairs[0] + 2 * (size_t)pair_half(&a->entries) * BK_PAGE;
    l.entry[0] = l.pairs[1] + 2 * (size_t)pair_half(&a->index) * BK_PAGE;
    l.entry[1] = l.entry[0] + (size_t)l.per_page * (size_t)a->entries.d;
    return l;
}

static float *raw_at(const struct csa_job *j, int pos)
{
    return cpu_extra(j->b->kv, j->a->layer, pos / BK_PAGE) + j->at.raw + (size_t)(pos % BK_PAGE) * (size_t)j->a->d;
}

/* Values, then gates, of a position. */
static float *pair_at(const struct csa_job *j, int which, int pos)
{
    return cpu_extra(j->b->kv, j->a->layer, pos / BK_PAGE) + j->at.pairs[which] + (size_t)(pos % BK_PAGE) * 2 * (size_t)pair_half(j->c[which]);
}

static float *entry_at(const struct csa_job *j, int which, int entry)
{
    int last = (entry + 1) * j->c[which]->ratio - 1;
    return cpu_extra(j->b->kv, j->a->layer, last / BK_PAGE) + j->at.entry[which] +
           (size_t)(last % BK_PAGE / j->c[which]->ratio) * (size_t)j->c[which]->d;
}

/* ---- projections ---- */

struct product {
    const struct bk_linear *w;
    float *dst;
    int ld, step, items;
};

/* Several products of the same rows, as items of one phase. */
static void multiply(struct csa_job *j, int ith, int phase, const struct act *in, struct product *p, int n)
{
    struct bk *b = j->b;
    int total = 0;
    for (int i = 0; i < n; i++) {
        p[i].step = p[i].w->w ? cpu_step(b, &p[i].w->w->mat, b->n) : 1;
        p[i].items = p[i].w->w ? (p[i].w->w->rows + p[i].step - 1) / p[i].step : 0;
        total += p[i].items;
    }
    struct cpu_items it = cpu_items(b, phase, ith, total);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        const struct product *q = p;
        for (; i >= q->items; q++)
            i -= q->items;
        cpu_mul(b, ith, q->w, in, i * q->step, min((i + 1) * q->step, q->w->w->rows), q->dst, q->ld, 0);
    }
    pool_barrier(b->pool, ith);
}

static void project(struct csa_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    struct act in;
    cpu_norm(b, ith, 0, &a->in, 0, j->round_in, &in);
    multiply(j, ith, 1, &in, (struct product[]){{&a->q_a, j->qa, j->ld_qa, 0, 0}, {&a->kv, j->kv, j->ld_kv, 0, 0},
             {&a->entries.kv, j->value[0], j->ld_pair[0], 0, 0}, {&a->entries.gate, j->gate[0], j->ld_pair[0], 0, 0},
             {&a->index.kv, j->value[1], j->ld_pair[1], 0, 0}, {&a->index.gate, j->gate[1], j->ld_pair[1], 0, 0},
             {&a->index_proj, j->xw, a->index_heads, 0, 0}}, 7);
    int rank = a->q_a.w->rows;
    act_init(&in, b->isa, b->n, rank, j->qa, j->ld_qa, j->round_qa ? j->qa_q : NULL);
    struct cpu_items it = cpu_items(b, 2, ith, (b->n + TOGETHER - 1) / TOGETHER);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t0 = i * TOGETHER, t1 = min(t0 + TOGETHER, b->n);
        for (int t = t0; t < t1; t++)
            cpu_norm_row(b, &a->q_a_norm, row(j->qa, t, j->ld_qa), rank, row(j->qa, t, j->ld_qa));
        if (in.q)
            act_quantize(&in, b->isa, t0, t1, 0, rank);
    }
    pool_barrier(b->pool, ith);
    multiply(j, ith, 3, &in, (struct product[]){{&a->q_b, j->q, j->ld_q, 0, 0}, {&a->index_q, j->xq, j->ld_xq, 0, 0}}, 2);
}

/* ---- what positions leave ---- */

/* Turns the last n_rot of d values. */
static void rotate(const struct csa_job *j, const float *table, float *x, int d)
{
    if (j->rope)
        j->b->vec->rope(x + d - j->rope->n_rot, table, j->rope->n_rot, j->rope->kind == BK_ROPE_NEOX);
}

static void place_token(struct csa_job *j, int t)
{
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    const float *table = j->rope ? j->rope->table + (size_t)t * 2 * (size_t)j->rope->n_rot : NULL;
    int pos = b->pos0 + t;
    for (int h = 0; h < a->n_head; h++) {
        float *q = row(j->q, t, j->ld_q) + (size_t)h * (size_t)a->d;
        cpu_norm_row(b, &a->q_norm, q, a->d, q);
        rotate(j, table, q, a->d);
        b->vec->scale(q, q, a->scale, a->d);
    }
    float *kv = row(j->kv, t, j->ld_kv);
    cpu_norm_row(b, &a->kv_norm, kv, a->d, kv);
    rotate(j, table, kv, a->d);
    memcpy(raw_at(j, pos), kv, (size_t)a->d * sizeof *kv);
    for (int k = 0; k < 2; k++) {
        const struct bk_compress *c = j->c[k];
        int n = pair_half(c);
        if (!c->ratio)
            continue;
        float *pair = pair_at(j, k, pos);
        const float *ape = c->ape->vec + (size_t)(pos % c->ratio) * (size_t)n;
        memcpy(pair, row(j->value[k], t, j->ld_pair[k]), (size_t)n * sizeof *pair);
        memcpy(pair + n, row(j->gate[k], t, j->ld_pair[k]), (size_t)n * sizeof *pair);
        b->vec->add_scaled(pair + n, ape, 1, n);
    }
    for (int h = 0; h < a->index_heads; h++)
        rotate(j, table, row(j->xq, t, j->ld_xq) + h * a->index.d, a->index.d);
    if (a->index_heads) {
        float *w = row(j->xw, t, a->index_heads);
        b->vec->scale(w, w, 1 / sqrtf((float)a->index_heads * (float)a->index.d), a->index_heads);
    }
}

/* Positions [p0, p1) join a pool: their values and gates from `from` on. `how`: 0 greatest gates, 1 sums. */
static void join(const struct csa_job *j, int which, int p0, int p1, int from, int how, float *top, float *sum, float *out)
{
    const struct bk_compress *c = j->c[which];
    for (int p = max(p0, 0); p < p1; p++) {
        const float *v = pair_at(j, which, p) + from, *g = v + pair_half(c);
        for (int i = 0; i < c->d; i++) {
            if (how == 0) {
                top[i] = g[i] > top[i] ? g[i] : top[i];
                continue;
            }
            float e = expf(g[i] - top[i]);
            sum[i] += e;
            out[i] += e * v[i];
        }
    }
}

static void pool_entry(struct csa_job *j, int ith, int which, int entry)
{
    const struct bk_compress *c = j->c[which];
    float *top = j->own + (size_t)ith * j->own_floats, *sum = top + c->d, *out = entry_at(j, which, entry);
    float table[2 * MOST_ROT];
    int from = entry * c->ratio;
    for (int i = 0; i < c->d; i++) {
        top[i] = -INFINITY;
        sum[i] = out[i] = 0;
    }
    for (int how = 0; how < 2; how++) {
        if (c->overlap)
            join(j, which, from - c->ratio, from, 0, how, top, sum, out);
        join(j, which, from, from + c->ratio, c->overlap ? c->d : 0, how, top, sum, out);
    }
    for (int i = 0; i < c->d; i++)
        out[i] /= sum[i];
    cpu_norm_row(j->b, &c->norm, out, c->d, out);
    if (j->rope)
        cpu_rope_row(j->rope, from, table);
    rotate(j, table, out, c->d);
}

static void before(void *arg, int ith, int nth)
{
    struct csa_job *j = arg;
    struct bk *b = j->b;
    cpu_start(b, ith);
    if (j->fill)
        cpu_fill_rope(b, j->rope, ith, nth);
    project(j, ith);
    struct cpu_items it = cpu_items(b, 4, ith, b->n);
    for (int t; (t = cpu_next(&it)) >= 0;)
        place_token(j, t);
    pool_barrier(b->pool, ith);
    int r = j->a->entries.ratio, first = r ? b->pos0 / r : 0, n = r ? (b->pos0 + b->n) / r - first : 0, kinds = 1 + (j->a->index.ratio != 0);
    it = cpu_items(b, 5, ith, n * kinds);
    for (int i; (i = cpu_next(&it)) >= 0;)
        pool_entry(j, ith, i % kinds, first + i / kinds);
}

/* ---- the index ---- */

/* Entries that token t could see. */
static int visible(const struct csa_job *j, int t)
{
    return j->a->entries.ratio ? (j->b->pos0 + t + 1) / j->a->entries.ratio : 0;
}

static void score(void *arg, int ith, int nth)
{
    (void)nth;
    struct csa_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    int d = a->index.d, heads = a->index_heads, all = visible(j, b->n - 1);
    float *keys = j->own + (size_t)ith * j->own_floats, *part = keys + (size_t)d * BK_PAGE;
    cpu_start(b, ith);
    struct cpu_items it = cpu_items(b, 0, ith, j->n_block);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        for (int e = 0; e < BK_PAGE; e++) { /* positions into the lanes */
            const float *k = i * BK_PAGE + e < all ? entry_at(j, 1, i * BK_PAGE + e) : NULL;
            for (int c = 0; c < d; c++)
                keys[(size_t)c * BK_PAGE + (size_t)e] = k ? k[c] : 0;
        }
        for (int t = 0; t < b->n; t++)
            if (visible(j, t) > max(a->top_k, i * BK_PAGE))
                cpu_index_scores(b, row(j->xq, t, j->ld_xq), heads, d, row(j->xw, t, heads), keys, j->rows + (size_t)ith * (size_t)j->row_heads, part,
                                 j->score + ((size_t)t * (size_t)j->n_block + (size_t)i) * BK_PAGE);
    }
    pool_barrier(b->pool, ith);
    it = cpu_items(b, 1, ith, b->n);
    for (int t; (t = cpu_next(&it)) >= 0;) {
        size_t at = (size_t)t * (size_t)j->n_block;
        cpu_choose(j->score + at * BK_PAGE, visible(j, t), a->top_k, j->sorted + at * BK_PAGE, j->bits + at, j->n_block);
    }
}

/* ---- attention ---- */

/* The vectors that a token sees, one after the other. */
struct list {
    const struct csa_job *j;
    const uint64_t *bits;
    int pos, to, entry, entries; /* next position, its end; next entry, their number */
};

static const float *next_vector(struct list *l)
{
    if (l->pos < l->to)
        return raw_at(l->j, l->pos++);
    while (l->entry < l->entries) {
        int e = l->entry++;
        if (!l->bits || l->bits[e / 64] >> (e % 64) & 1)
            return entry_at(l->j, 0, e);
    }
    return NULL;
}

/* A thread's memory for an item. */
struct item_mem {
    float *k, *v, *s, *o, *o1, *max, *sum, *max1, *sum1;
};

static size_t item_floats(const struct csa_job *j)
{
    size_t d = (size_t)j->a->d, vp = (size_t)j->d_vp;
    return (d * BK_PAGE + vp * VEC_SPLIT + HEADS * (VEC_SPLIT + 2 * vp + 4) + 15) / 16 * 16;
}

static void item_mem(const struct csa_job *j, float *base, struct item_mem *m)
{
    size_t d = (size_t)j->a->d, vp = (size_t)j->d_vp;
    m->k = base;
    m->v = m->k + d * BK_PAGE;
    m->s = m->v + vp * VEC_SPLIT;
    m->o = m->s + (size_t)HEADS * VEC_SPLIT;
    m->o1 = m->o + HEADS * vp;
    m->max = m->o1 + HEADS * vp;
    m->sum = m->max + HEADS;
    m->max1 = m->sum + HEADS;
    m->sum1 = m->max1 + HEADS;
}

/* Up to VEC_SPLIT vectors of the list; how many there were. */
static int attend_split(const struct csa_job *j, struct list *l, const float *const *q, int heads, struct item_mem *m)
{
    const struct vec_ops *vec = j->b->vec;
    size_t d = (size_t)j->a->d, vp = (size_t)j->d_vp;
    int n = 0, padded;
    const float *x = NULL;
    for (int at = 0; at < VEC_SPLIT; at += BK_PAGE) {
        int from = n;
        for (; n < at + BK_PAGE && (x = next_vector(l)) != NULL; n++) {
            for (size_t i = 0; i < d; i++)
                m->k[i * BK_PAGE + (size_t)(n - at)] = x[i];
            memcpy(m->v + (size_t)n * vp, x, d * sizeof *x);
            memset(m->v + (size_t)n * vp + d, 0, (vp - d) * sizeof *x);
        }
        if (n > from)
            vec->scores(q, heads, m->k, false, (int)d, m->s + at, NULL); /* what is behind n is not looked at */
        if (n < at + BK_PAGE)
            break;
    }
    padded = (n + BK_PAGE - 1) / BK_PAGE * BK_PAGE;
    for (int h = 0; n && h < heads; h++)
        vec->softmax(m->s + (size_t)h * VEC_SPLIT, 0, n, padded, 0, &m->max1[h], &m->sum1[h]);
    for (int at = 0; at < n; at += BK_PAGE)
        vec->values(m->s + at, heads, m->v + (size_t)at * vp, false, j->d_vp, min(BK_PAGE, n - at), m->o1, at == 0, NULL);
    return n;
}

/* Divides, turns back, and hands over. */
static void finish(const struct csa_job *j, int t, int h0, int heads, const struct item_mem *m)
{
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    float back[2 * MOST_ROT];
    int n = j->rope ? j->rope->n_rot : 0;
    const float *table = j->rope ? j->rope->table + (size_t)t * 2 * (size_t)n : NULL;
    for (int i = 0; i < n; i++) {
        back[i] = table[i];
        back[n + i] = -table[n + i];
    }
    for (int h = 0; h < heads; h++) {
        float *o = m->o + (size_t)h * (size_t)j->d_vp, *to = row(b->wide, t, b->ld_wide) + (size_t)(h0 + h) * (size_t)a->d;
        if (a->sinks)
            b->vec->merge(o, &m->max[h], &m->sum[h], NULL, a->sinks->vec[h0 + h], 1, j->d_vp);
        b->vec->scale(to, o, 1 / m->sum[h], a->d);
        rotate(j, back, to, a->d);
    }
}

static void attend(void *arg, int ith, int nth)
{
    (void)nth;
    struct csa_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    int parts = (a->n_head + HEADS - 1) / HEADS;
    struct item_mem m;
    item_mem(j, j->own + (size_t)ith * j->own_floats, &m);
    cpu_start(b, ith);
    struct cpu_items it = cpu_items(b, 0, ith, b->n * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t = b->n - 1 - i / parts, h0 = i % parts * HEADS, heads = min(HEADS, a->n_head - h0), pos = b->pos0 + t;
        const float **q = j->rows + (size_t)ith * (size_t)j->row_heads;
        struct list l = {.j = j, .bits = j->bits ? j->bits + (size_t)t * (size_t)j->n_block : NULL, .pos = max(0, pos - a->window + 1), .to = pos + 1,
                         .entries = visible(j, t)};
        for (int h = 0; h < heads; h++) {
            q[h] = row(j->q, t, j->ld_q) + (size_t)(h0 + h) * (size_t)a->d;
            m.max[h] = -INFINITY;
            m.sum[h] = 0;
        }
        for (int n = VEC_SPLIT; n == VEC_SPLIT;) {
            n = attend_split(j, &l, q, heads, &m);
            for (int h = 0; n && h < heads; h++)
                b->vec->merge(m.o + (size_t)h * (size_t)j->d_vp, &m.max[h], &m.sum[h], m.o1 + (size_t)h * (size_t)j->d_vp, m.max1[h], m.sum1[h], j->d_vp);
        }
        finish(j, t, h0, heads, &m);
    }
}

/* ---- the output ---- */

static struct act group_of(const struct csa_job *j, int g)
{
    struct act a;
    act_init(&a, j->b->isa, j->b->n, j->per_group, j->b->wide + (size_t)g * (size_t)j->per_group, j->b->ld_wide,
             j->round_oa ? j->oa_q + (size_t)g * j->oa_q_bytes : NULL);
    return a;
}

static void after(void *arg, int ith, int nth)
{
    (void)nth;
    static const struct bk_norm none;
    struct csa_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    int lots = (b->n + TOGETHER - 1) / TOGETHER, step = cpu_step(b, &a->o_a.w->stack[0], b->n), parts = (j->rank + step - 1) / step;
    cpu_start(b, ith);
    struct cpu_items it = cpu_items(b, 0, ith, j->round_oa ? a->n_group * lots : 0);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        struct act g = group_of(j, i / lots);
        act_quantize(&g, b->isa, i % lots * TOGETHER, min((i % lots + 1) * TOGETHER, b->n), 0, g.cols);
    }
    pool_barrier(b->pool, ith);
    it = cpu_items(b, 1, ith, a->n_group * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int g = i / parts, r0 = i % parts * step;
        struct act in = group_of(j, g);
        mat_mul(&a->o_a.w->stack[g], &in, r0, min(r0 + step, j->rank), j->mid + (size_t)g * (size_t)j->rank, j->ld_mid, 0, NULL, b->hand[ith].mat);
    }
    pool_barrier(b->pool, ith);
    struct act mid;
    act_init(&mid, b->isa, b->n, a->n_group * j->rank, j->mid, j->ld_mid, j->round_ob ? j->mid_q : NULL);
    it = cpu_items(b, 2, ith, mid.q ? lots : 0);
    for (int i; (i = cpu_next(&it)) >= 0;)
        act_quantize(&mid, b->isa, i * TOGETHER, min((i + 1) * TOGETHER, b->n), 0, mid.cols);
    pool_barrier(b->pool, ith);
    if (!a->replace) {
        cpu_add(b, ith, 3, &a->o_b, &mid, &none, 1);
        return;
    }
    step = cpu_step(b, &a->o_b.w->mat, b->n);
    it = cpu_items(b, 3, ith, (b->n_embd + step - 1) / step);
    for (int i; (i = cpu_next(&it)) >= 0;)
        cpu_mul(b, ith, &a->o_b, &mid, i * step, min((i + 1) * step, b->n_embd), b->x, b->ld_embd, 0);
}

/* ---- the block ---- */

static int check_compress(const struct bk *b, const struct bk_compress *c, const struct bk_rope *rope, const char *what, struct err *err)
{
    int n = pair_half(c), rc;
    if (!c->ratio)
        return 0;
    if (c->ratio < 1 || c->d < 1 || (rope->kind != BK_ROPE_NONE && rope->n_rot > c->d))
        return err_set(err, ERR_USAGE, "%s of %d positions and %d values cannot be", what, c->ratio, c->d);
    rc = cpu_check(&c->kv, what, n, b->n_embd, err);
    if (!rc)
        rc = cpu_check(&c->gate, what, n, b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&c->norm, what, c->d, err);
    if (!rc && (!c->ape || c->ape->use != BK_VECTOR || c->ape->cols != n || c->ape->rows != c->ratio))
        rc = err_set(err, ERR_FORMAT, "the position weights of %s are not %d times %d", what, c->ratio, n);
    return rc;
}

static int check(const struct bk *b, const struct bk_attn_csa *a, struct err *err)
{
    const struct bk_kv *kv = b->kv;
    if (!kv || a->layer < 0 || a->layer >= kv->n_layer || kv->layer[a->layer].d_extra != bk_csa_extra(a))
        return err_set(err, ERR_USAGE, "attention layer %d does not fit its cache", a->layer);
    if (a->n_head < 1 || a->d < 1 || a->window < 1 || a->n_group < 1 || a->n_head % a->n_group || (int64_t)a->n_head * a->d > b->n_wide ||
        (a->index.ratio && (a->index.ratio != a->entries.ratio || a->index_heads < 1 || a->top_k < 1)) || (!a->index.ratio && a->index_heads))
        return err_set(err, ERR_USAGE, "attention layer %d (%d heads of %d in %d groups) cannot be", a->layer, a->n_head, a->d, a->n_group);
    if (a->rope.kind != BK_ROPE_NONE && (a->rope.n_rot < 2 || a->rope.n_rot % 2 || a->rope.n_rot > a->d || a->rope.n_rot > MOST_ROT))
        return err_set(err, ERR_USAGE, "%d of %d values cannot be rotated in pairs", a->rope.n_rot, a->d);
    int rank = a->q_a.w ? a->q_a.w->rows : 0, rc = cpu_check(&a->q_a, "query's first", 0, b->n_embd, err);
    if (!rc)
        rc = cpu_check(&a->q_b, "query's second", a->n_head * a->d, rank, err);
    if (!rc)
        rc = cpu_check(&a->kv, "key", a->d, b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&a->in, "attention", b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&a->q_a_norm, "query", rank, err);
    if (!rc)
        rc = cpu_check_norm(&a->kv_norm, "key", a->d, err);
    if (!rc)
        rc = check_compress(b, &a->entries, &a->rope, "the compressor", err);
    if (!rc)
        rc = check_compress(b, &a->index, &a->rope, "the index", err);
    if (!rc && a->index_heads)
        rc = cpu_check(&a->index_q, "index query", a->index_heads * a->index.d, rank, err);
    if (!rc && a->index_heads)
        rc = cpu_check(&a->index_proj, "index weight", a->index_heads, b->n_embd, err);
    if (!rc)
        rc = cpu_check_stack(&a->o_a, "output's first", a->n_group, a->o_a.w ? a->o_a.w->rows : 0, a->n_head / a->n_group * a->d, err);
    if (!rc)
        rc = cpu_check(&a->o_b, "attention output", b->n_embd, a->n_group * a->o_a.w->rows, err);
    if (!rc && a->sinks && a->sinks->cols != a->n_head)
        rc = err_set(err, ERR_FORMAT, "the sinks are not %d values", a->n_head);
    return rc;
}

static int apart(int n)
{
    return (n + 15) / 16 * 16 + 16;
}

static size_t lay_out(struct csa_job *j, char *base)
{
    const struct bk *b = j->b;
    const struct bk_attn_csa *a = j->a;
    size_t n = (size_t)b->n, f = sizeof(float), at = 0, threads = (size_t)b->n_threads;
    size_t index = (size_t)a->index.d * BK_PAGE + (size_t)a->index_heads * VEC_SPLIT, pool = 2 * (size_t)max(a->entries.d, a->index.d);
    j->own_floats = item_floats(j);
    j->own_floats = index > j->own_floats ? (index + 15) / 16 * 16 : j->own_floats;
    j->own_floats = pool > j->own_floats ? (pool + 15) / 16 * 16 : j->own_floats;
    j->qa = cpu_piece(base, &at, n * (size_t)j->ld_qa * f);
    j->q = cpu_piece(base, &at, n * (size_t)j->ld_q * f);
    j->kv = cpu_piece(base, &at, n * (size_t)j->ld_kv * f);
    for (int k = 0; k < 2; k++) {
        j->value[k] = cpu_piece(base, &at, n * (size_t)j->ld_pair[k] * f);
        j->gate[k] = cpu_piece(base, &at, n * (size_t)j->ld_pair[k] * f);
    }
    j->xq = cpu_piece(base, &at, n * (size_t)j->ld_xq * f);
    j->xw = cpu_piece(base, &at, n * (size_t)a->index_heads * f);
    j->mid = cpu_piece(base, &at, n * (size_t)j->ld_mid * f);
    j->own = cpu_piece(base, &at, threads * j->own_floats * f);
    j->rows = cpu_piece(base, &at, threads * (size_t)j->row_heads * sizeof *j->rows);
    j->qa_q = j->round_qa ? cpu_piece(base, &at, act_bytes(b->isa, b->n, a->q_a.w->rows)) : NULL;
    j->oa_q = j->round_oa ? cpu_piece(base, &at, (size_t)a->n_group * j->oa_q_bytes) : NULL;
    j->mid_q = j->round_ob ? cpu_piece(base, &at, act_bytes(b->isa, b->n, a->n_group * j->rank)) : NULL;
    size_t entries = n * (size_t)j->n_block;
    j->score = cpu_piece(base, &at, entries * BK_PAGE * f);
    j->sorted = cpu_piece(base, &at, entries * BK_PAGE * f);
    j->bits = j->n_block ? cpu_piece(base, &at, entries * sizeof *j->bits) : NULL;
    return at;
}

int cpu_attn_csa(struct bk *b, const struct bk_attn_csa *a, struct err *err)
{
    int rc = check(b, a, err);
    if (rc)
        return rc;
    struct csa_job j = {.b = b, .a = a, .c = {&a->entries, &a->index}, .at = layout(a), .round_qa = cpu_reads_q(&a->q_b) || cpu_reads_q(&a->index_q),
                        .round_oa = mat_reads_q(a->o_a.w->type), .round_ob = cpu_reads_q(&a->o_b), .rank = a->o_a.w->rows};
    const struct bk_linear *in[] = {&a->q_a, &a->kv, &a->entries.kv, &a->entries.gate, &a->index.kv, &a->index.gate, &a->index_proj};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        j.round_in = j.round_in || cpu_reads_q(in[i]);
    j.per_group = a->n_head / a->n_group * a->d;
    j.oa_q_bytes = act_bytes(b->isa, b->n, j.per_group);
    j.ld_qa = apart(a->q_a.w->rows);
    j.ld_q = apart(a->n_head * a->d);
    j.ld_kv = apart(a->d);
    j.ld_pair[0] = apart(pair_half(&a->entries));
    j.ld_pair[1] = apart(pair_half(&a->index));
    j.ld_xq = apart(a->index_heads * a->index.d);
    j.ld_mid = apart(a->n_group * j.rank);
    j.d_vp = (a->d + VEC_PAD - 1) / VEC_PAD * VEC_PAD;
    j.row_heads = max(HEADS, a->index_heads);
    int last = visible(&j, b->n - 1);
    j.n_block = a->index.ratio && last > a->top_k ? (last + BK_PAGE - 1) / BK_PAGE : 0;
    if (a->rope.kind != BK_ROPE_NONE)
        rc = cpu_find_rope(b, &a->rope, &j.rope, &j.fill, err);
    if (!rc)
        rc = cpu_grow(b, &b->own, &b->own_bytes, lay_out(&j, NULL), err);
    if (rc)
        return rc;
    lay_out(&j, b->own);
    cpu_run(b, before, &j);
    if (j.n_block)
        cpu_run(b, score, &j);
    cpu_run(b, attend, &j);
    cpu_run(b, after, &j);
    return 0;
}
