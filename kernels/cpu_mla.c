/*
 * Latent attention (spec: archs 8) in its absorbed form: what a position leaves in the cache is a latent vector c (kv_lora values) and a
 * rotated key (d_rope), both for all heads. k_b turns each head's query into the space of c, so attention is that of one
 * key/value head of kv_lora + d_rope values, whose value is c again (cpu_attn.c does it); v_b then makes each head's output of what it saw.
 *
 * Three jobs: the queries and the cache's vectors; attention; v_b, o and the residual. The same sums are made for one token as for
 * many, so no result depends on how a text is cut.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define TOGETHER 24 /* tokens rounded together, a multiple of every level's activation panel */

struct mla_job {
    struct bk *b;
    const struct bk_attn_mla *a;
    int d_head, d_key;      /* d_nope + d_rope; kv_lora + d_rope */
    int ld_qa, ld_q, ld_kv, ld_o, ld_xq, ld_xk;
    const struct cpu_rope *rope, *x_rope; /* x: of the index */
    bool fill, x_fill;
    bool round_in, round_qa, round_k, round_v, round_o;
    float *qa, *q, *kv, *o; /* (n, ld): q_a n; queries; kv_a n; outputs of heads */
    float *xq, *xk, *xw;    /* (n, ld): queries and key of the index, weights of its heads */
    void *qa_q, *o_q;
    char *head_q;           /* (n_head) rounded queries, then what heads saw */
    size_t head_q_bytes;    /* of one head */
};

static int min(int a, int b)
{
    return a < b ? a : b;
}

static float *row(float *base, int t, int ld)
{
    return base + (size_t)t * (size_t)ld;
}

/* The products that read the block's input: queries (or their lower rank) and the latent. */
static void project(struct mla_job *j, int ith, const struct act *in)
{
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    const struct bk_linear *q = a->q_a.w ? &a->q_a : &a->q;
    float *dst = a->q_a.w ? j->qa : j->q;
    int ld = a->q_a.w ? j->ld_qa : j->ld_q, step = cpu_step(b, &q->w->mat, b->n), items = (q->w->rows + step - 1) / step;
    int step_kv = cpu_step(b, &a->kv_a.w->mat, b->n), items_kv = (a->kv_a.w->rows + step_kv - 1) / step_kv;
    struct cpu_items it = cpu_items(b, 1, ith, items + items_kv + (a->index ? 2 : 0));
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r = (i - items) * step_kv;
        if (i < items)
            cpu_mul(b, ith, q, in, i * step, min((i + 1) * step, q->w->rows), dst, ld, 0);
        else if (i < items + items_kv)
            cpu_mul(b, ith, &a->kv_a, in, r, min(r + step_kv, a->kv_a.w->rows), j->kv, j->ld_kv, 0);
        else if (i == items + items_kv)
            cpu_mul(b, ith, &a->index->k, in, 0, a->index->d, j->xk, j->ld_xk, 0);
        else
            cpu_mul(b, ith, &a->index->proj, in, 0, a->index->n_head, j->xw, a->index->n_head, 0);
    }
    pool_barrier(b->pool, ith);
}

/* Queries of lower rank: norm, and up. */
static void raise(struct mla_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    int rank = a->q_a.w->rows;
    struct act in;
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
    int step = cpu_step(b, &a->q_b.w->mat, b->n), rows = a->q_b.w->rows, items = (rows + step - 1) / step;
    int step_x = a->index ? cpu_step(b, &a->index->q.w->mat, b->n) : 1, rows_x = a->index ? a->index->q.w->rows : 0;
    it = cpu_items(b, 3, ith, items + (rows_x + step_x - 1) / step_x);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r = (i - items) * step_x;
        if (i < items)
            cpu_mul(b, ith, &a->q_b, &in, i * step, min((i + 1) * step, rows), j->q, j->ld_q, 0);
        else
            cpu_mul(b, ith, &a->index->q, &in, r, min(r + step_x, rows_x), j->xq, j->ld_xq, 0);
    }
    pool_barrier(b->pool, ith);
}

static void rotate(const struct mla_job *j, const struct cpu_rope *r, int t, float *x)
{
    if (r)
        j->b->vec->rope(x, r->table + (size_t)t * 2 * (size_t)r->n_rot, r->n_rot, r->kind == BK_ROPE_NEOX);
}

/* The index's queries and key of a token; the weights of its heads get the scale of both, so that scores are sums of them. */
static void place_index(const struct mla_job *j, int t)
{
    const struct bk_index *x = j->a->index;
    float *k = row(j->xk, t, j->ld_xk), *w = row(j->xw, t, x->n_head);
    for (int h = 0; h < x->n_head; h++)
        rotate(j, j->x_rope, t, row(j->xq, t, j->ld_xq) + h * x->d);
    cpu_norm_row(j->b, &x->k_norm, k, x->d, k);
    rotate(j, j->x_rope, t, k);
    cpu_index_store(j->b, x, j->a->layer, t, k);
    j->b->vec->scale(w, w, 1 / sqrtf((float)x->n_head * (float)x->d), x->n_head);
}

/* The part of head h that is not rotated. */
static struct act nope_of(const struct mla_job *j, int h)
{
    struct act a;
    act_init(&a, j->b->isa, j->b->n, j->a->d_nope, j->q + (size_t)h * (size_t)j->d_head, j->ld_q,
             j->round_k ? j->head_q + (size_t)h * j->head_q_bytes : NULL);
    return a;
}

/* Rotates, rounds, and puts what attention reads into b->qkv: q (n_head of d_key), k (c and rotated key), v (c). */
static void place(struct mla_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    size_t rope = (size_t)a->d_rope * sizeof(float);
    struct cpu_items it = cpu_items(b, 4, ith, (b->n + TOGETHER - 1) / TOGETHER);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t0 = i * TOGETHER, t1 = min(t0 + TOGETHER, b->n);
        for (int t = t0; t < t1; t++) {
            float *to = row(b->qkv, t, b->ld_qkv), *k = to + a->n_head * j->d_key, *kv = row(j->kv, t, j->ld_kv);
            for (int h = 0; h < a->n_head; h++) {
                float *q = row(j->q, t, j->ld_q) + h * j->d_head + a->d_nope;
                rotate(j, j->rope, t, q);
                memcpy(to + h * j->d_key + a->kv_lora, q, rope);
            }
            cpu_norm_row(b, &a->kv_a_norm, kv, a->kv_lora, k);
            rotate(j, j->rope, t, kv + a->kv_lora);
            memcpy(k + a->kv_lora, kv + a->kv_lora, rope);
            memcpy(k + j->d_key, k, (size_t)a->kv_lora * sizeof(float));
            if (a->index)
                place_index(j, t);
        }
        for (int h = 0; j->round_k && h < a->n_head; h++) {
            struct act n = nope_of(j, h);
            act_quantize(&n, b->isa, t0, t1, 0, a->d_nope);
        }
    }
    pool_barrier(b->pool, ith);
}

/* Queries into the space of the latent. */
static void absorb(struct mla_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    int step = cpu_step(b, &a->k_b.w->stack[0], b->n), parts = (a->kv_lora + step - 1) / step;
    struct cpu_items it = cpu_items(b, 5, ith, a->n_head * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int h = i / parts, r0 = i % parts * step;
        struct act n = nope_of(j, h);
        mat_mul(&a->k_b.w->stack[h], &n, r0, min(r0 + step, a->kv_lora), b->qkv + (size_t)h * (size_t)j->d_key, b->ld_qkv, 0, NULL, b->hand[ith].mat);
    }
}

static void before(void *arg, int ith, int nth)
{
    struct mla_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    struct act in;
    cpu_start(b, ith);
    if (j->fill)
        cpu_fill_rope(b, j->rope, ith, nth);
    if (j->x_fill)
        cpu_fill_rope(b, j->x_rope, ith, nth);
    cpu_norm(b, ith, 0, &a->in, 0, j->round_in, &in);
    project(j, ith, &in);
    if (a->q_a.w)
        raise(j, ith);
    place(j, ith);
    absorb(j, ith);
}

/* What head h saw, in the space of the latent. */
static struct act seen_of(const struct mla_job *j, int h)
{
    struct act a;
    act_init(&a, j->b->isa, j->b->n, j->a->kv_lora, j->b->wide + (size_t)h * (size_t)j->a->kv_lora, j->b->ld_wide,
             j->round_v ? j->head_q + (size_t)h * j->head_q_bytes : NULL);
    return a;
}

static void after(void *arg, int ith, int nth)
{
    (void)nth;
    static const struct bk_norm none;
    struct mla_job *j = arg;
    struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    struct act out;
    cpu_start(b, ith);
    int lots = (b->n + TOGETHER - 1) / TOGETHER;
    struct cpu_items it = cpu_items(b, 0, ith, j->round_v ? a->n_head * lots : 0);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        struct act s = seen_of(j, i / lots);
        int t0 = i % lots * TOGETHER;
        act_quantize(&s, b->isa, t0, min(t0 + TOGETHER, b->n), 0, a->kv_lora);
    }
    if (j->round_v)
        pool_barrier(b->pool, ith);
    int step = cpu_step(b, &a->v_b.w->stack[0], b->n), parts = (a->d_v + step - 1) / step;
    it = cpu_items(b, 1, ith, a->n_head * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int h = i / parts, r0 = i % parts * step;
        struct act s = seen_of(j, h);
        mat_mul(&a->v_b.w->stack[h], &s, r0, min(r0 + step, a->d_v), j->o + (size_t)h * (size_t)a->d_v, j->ld_o, 0, NULL, b->hand[ith].mat);
    }
    pool_barrier(b->pool, ith);
    act_init(&out, b->isa, b->n, a->n_head * a->d_v, j->o, j->ld_o, j->round_o ? j->o_q : NULL);
    it = cpu_items(b, 2, ith, out.q ? lots : 0);
    for (int i; (i = cpu_next(&it)) >= 0;)
        act_quantize(&out, b->isa, i * TOGETHER, min((i + 1) * TOGETHER, b->n), 0, out.cols);
    if (out.q)
        pool_barrier(b->pool, ith);
    cpu_add(b, ith, 3, &a->o, &out, &none, a->out_scale);
}

/* ---- the block ---- */

static int check(const struct bk *b, const struct bk_attn_mla *a, struct err *err)
{
    if (a->n_head < 1 || a->d_nope < 1 || a->d_rope < 2 || a->d_rope % 2 || a->d_v < 1 || a->kv_lora < 1)
        return err_set(err, ERR_USAGE, "latent attention of %d heads of %d and %d values over %d cannot be", a->n_head, a->d_nope, a->d_rope, a->kv_lora);
    if (a->rope.kind != BK_ROPE_NONE && a->rope.n_rot != a->d_rope)
        return err_set(err, ERR_USAGE, "%d values are to be rotated, and %d can be", a->rope.n_rot, a->d_rope);
    int q = a->n_head * (a->d_nope + a->d_rope), rc = 0;
    if (a->q_a.w) {
        rc = cpu_check(&a->q_a, "query's first", 0, b->n_embd, err);
        if (!rc)
            rc = cpu_check(&a->q_b, "query's second", q, a->q_a.w->rows, err);
        if (!rc)
            rc = cpu_check_norm(&a->q_a_norm, "query", a->q_a.w->rows, err);
    } else {
        rc = cpu_check(&a->q, "query", q, b->n_embd, err);
    }
    if (!rc)
        rc = cpu_check(&a->kv_a, "latent", a->kv_lora + a->d_rope, b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&a->kv_a_norm, "latent", a->kv_lora, err);
    if (!rc)
        rc = cpu_check_norm(&a->in, "attention", b->n_embd, err);
    if (!rc)
        rc = cpu_check_stack(&a->k_b, "heads' key", a->n_head, a->kv_lora, a->d_nope, err);
    if (!rc)
        rc = cpu_check_stack(&a->v_b, "heads' value", a->n_head, a->d_v, a->kv_lora, err);
    if (!rc && a->index && !a->q_a.w)
        rc = err_set(err, ERR_USAGE, "an index wants queries of lower rank");
    if (!rc && a->index)
        rc = cpu_index_check(b, a->index, a->layer, a->q_a.w->rows, err);
    return rc ? rc : cpu_check(&a->o, "attention output", b->n_embd, a->n_head * a->d_v, err);
}

static int apart(int n)
{
    return (n + 15) / 16 * 16 + 16;
}

static size_t lay_out(struct mla_job *j, char *base)
{
    const struct bk *b = j->b;
    const struct bk_attn_mla *a = j->a;
    size_t n = (size_t)b->n, f = sizeof(float), at = 0;
    j->qa = a->q_a.w ? cpu_piece(base, &at, n * (size_t)j->ld_qa * f) : NULL;
    j->qa_q = j->round_qa ? cpu_piece(base, &at, act_bytes(b->isa, b->n, a->q_a.w->rows)) : NULL;
    j->q = cpu_piece(base, &at, n * (size_t)j->ld_q * f);
    j->kv = cpu_piece(base, &at, n * (size_t)j->ld_kv * f);
    j->o = cpu_piece(base, &at, n * (size_t)j->ld_o * f);
    j->o_q = j->round_o ? cpu_piece(base, &at, act_bytes(b->isa, b->n, a->n_head * a->d_v)) : NULL;
    j->xq = a->index ? cpu_piece(base, &at, n * (size_t)j->ld_xq * f) : NULL;
    j->xk = a->index ? cpu_piece(base, &at, n * (size_t)j->ld_xk * f) : NULL;
    j->xw = a->index ? cpu_piece(base, &at, n * (size_t)a->index->n_head * f) : NULL;
    j->head_q = j->round_k || j->round_v ? cpu_piece(base, &at, (size_t)a->n_head * j->head_q_bytes) : NULL;
    return at;
}

int cpu_attn_mla(struct bk *b, const struct bk_attn_mla *a, struct err *err)
{
    int rc = check(b, a, err);
    if (rc)
        return rc;
    struct bk_attn_gqa core = {.layer = a->layer, .n_head = a->n_head, .n_kv = 1, .d_k = a->kv_lora + a->d_rope, .d_v = a->kv_lora, .scale = a->scale};
    struct mla_job j = {.b = b, .a = a, .d_head = a->d_nope + a->d_rope, .d_key = core.d_k, .round_qa = cpu_reads_q(&a->q_b),
                        .round_in = cpu_reads_q(&a->q_a) || cpu_reads_q(&a->q) || cpu_reads_q(&a->kv_a),
                        .round_k = mat_reads_q(a->k_b.w->type), .round_v = mat_reads_q(a->v_b.w->type), .round_o = cpu_reads_q(&a->o)};
    j.ld_qa = apart(a->q_a.w ? a->q_a.w->rows : 0);
    j.ld_q = apart(a->n_head * j.d_head);
    j.ld_kv = apart(j.d_key);
    j.ld_o = apart(a->n_head * a->d_v);
    size_t nope = act_bytes(b->isa, b->n, a->d_nope), latent = act_bytes(b->isa, b->n, a->kv_lora);
    j.head_q_bytes = nope > latent ? nope : latent;
    struct cpu_seen seen = {0};
    if (a->index) {
        j.ld_xq = apart(a->index->n_head * a->index->d);
        j.ld_xk = apart(a->index->d);
        j.round_in = j.round_in || cpu_reads_q(&a->index->k) || cpu_reads_q(&a->index->proj);
        j.round_qa = j.round_qa || cpu_reads_q(&a->index->q);
    }
    if (a->rope.kind != BK_ROPE_NONE)
        rc = cpu_find_rope(b, &a->rope, &j.rope, &j.fill, err);
    if (!rc && a->index && a->index->rope.kind != BK_ROPE_NONE)
        rc = cpu_find_rope(b, &a->index->rope, &j.x_rope, &j.x_fill, err);
    if (!rc)
        rc = cpu_grow(b, &b->own, &b->own_bytes, lay_out(&j, NULL), err);
    if (rc)
        return rc;
    lay_out(&j, b->own);
    if (!b->kv || (int64_t)core.n_head * core.d_k + core.d_k + core.d_v > b->n_qkv)
        return err_set(err, ERR_USAGE, "attention layer %d is wider than the %d values that were reserved", a->layer, b->n_qkv);
    cpu_run(b, before, &j);
    if (a->index)
        rc = cpu_index(b, a->index, a->layer, j.xq, j.ld_xq, j.xw, a->index->n_head, &seen, err);
    if (!rc)
        rc = cpu_attn_core(b, &core, seen, err);
    if (!rc)
        cpu_run(b, after, &j);
    return rc;
}
