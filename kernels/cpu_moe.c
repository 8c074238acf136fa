/*
 * Mixture of experts (spec: archs 7): each token is read by the few experts its router picks, and by the shared one.
 *
 *   [norm, rounding | router, shared gate] barrier [pick] barrier [sort] barrier [collect] barrier [gates] barrier [down] barrier [sum]
 *
 * With several tokens, those of one expert are collected into rows behind each other (their "places"), so that each expert's matrices
 * are read once; with one token all experts read the same row, and collecting falls away. Every expert writes what it
 * makes of a token into that token's place; the sum over a token's experts is taken at the end in the order in which they
 * were picked. So nothing depends on what other tokens are in the batch, nor on threads.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define COLLECT 24      /* tokens rounded together, a multiple of every level's activation panel */
#define SUM_COLUMNS 512 /* of a token, in one go */

struct moe_job {
    struct bk *b;
    const struct bk_moe *m;
    int n_place;        /* tokens times experts used */
    int most;           /* experts that can be busy */
    bool round_in, round_mid, round_shared;
    int ld_mid, ld_shared;
    struct cpu_gate shared;
    /* Memory of the pass. */
    float *logits;      /* (n, n_expert) */
    float *weight;      /* (n, n_used) */
    float *shared_weight; /* (n) */
    int *pick;          /* (n, n_used) experts */
    int *place;         /* (n, n_used) */
    int *token;         /* (n_place) */
    int *busy;          /* experts that have tokens, ascending */
    int *first;         /* (most + 1) places of a busy expert begin here */
    size_t *q_in, *q_mid; /* (most) offsets of its rounded rows */
    float *in, *mid, *out; /* (n_place, ld_embd), (n_place, ld_mid), (n_place, ld_embd) */
    char *in_q, *mid_q;
    float *shared_mid, *shared_out; /* (n, ld_shared), (n, ld_embd) */
    char *shared_q;
    float *scratch;     /* (n_threads, 2 * n_expert) of picking */
    int n_busy;
};

/* ---- picking ---- */

/* Index of the largest of n values, the lowest of equals; -INFINITY ones are out (then -1). */
static int largest(const float *v, int n)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (v[i] > (best < 0 ? -INFINITY : v[best]))
            best = i;
    return best;
}

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

/* z becomes probabilities. */
static void probabilities(enum bk_gating gating, float *z, int n)
{
    if (gating == BK_GATE_SOFTMAX) {
        float top = z[0], sum = 0;
        for (int i = 1; i < n; i++)
            top = z[i] > top ? z[i] : top;
        for (int i = 0; i < n; i++)
            sum += z[i] = expf(z[i] - top);
        for (int i = 0; i < n; i++)
            z[i] /= sum;
    }
    for (int i = 0; i < n; i++) {
        if (gating == BK_GATE_SIGMOID)
            z[i] = 1 / (1 + expf(-z[i]));
        if (gating == BK_GATE_SQRT_SOFTPLUS)
            z[i] = sqrtf(softplus(z[i]));
    }
}

/* Groups whose best experts are not good enough are out. u: scores; group: room for n_group. */
static void drop_groups(const struct bk_moe *m, float *u, float *group)
{
    int size = m->n_expert / m->n_group;
    for (int g = 0; g < m->n_group; g++) {
        const float *v = u + g * size;
        float a = -INFINITY, b = -INFINITY;
        for (int i = 0; i < size; i++) {
            if (v[i] > a) {
                b = a;
                a = v[i];
            } else if (v[i] > b) {
                b = v[i];
            }
        }
        group[g] = m->group_by_top2 && size > 1 ? a + b : a;
    }
    for (int k = 0; k < m->n_group_used; k++) {
        int g = largest(group, m->n_group);
        if (g >= 0)
            group[g] = -INFINITY; /* kept; what is left below is dropped */
    }
    for (int g = 0; g < m->n_group; g++)
        for (int i = 0; group[g] != -INFINITY && i < size; i++)
            u[g * size + i] = -INFINITY;
}

static void pick_token(const struct moe_job *j, int ith, int t)
{
    const struct bk_moe *m = j->m;
    int n = m->n_expert, k = m->n_used;
    float *p = j->logits + (size_t)t * (size_t)n, *u = j->scratch + (size_t)ith * 2 * (size_t)n, sum = 0;
    float *w = j->weight + (size_t)t * (size_t)k;
    int *pick = j->pick + (size_t)t * (size_t)k;
    probabilities(m->gating, p, n);
    for (int i = 0; i < n && !m->by_token; i++) {
        float v = m->select_bias ? p[i] + m->select_bias->vec[i] : p[i];
        u[i] = v > -INFINITY ? v : -1e37f; /* a NaN is never the largest, yet someone must be picked */
    }
    if (m->n_group > 1 && !m->by_token)
        drop_groups(m, u, u + n);
    for (int i = 0; i < k; i++) {
        int e = m->by_token ? m->by_token[(size_t)j->b->tokens[t] * (size_t)k + (size_t)i] : largest(u, n);
        e = e < 0 || e >= n ? 0 : e;
        u[e] = -INFINITY;
        pick[i] = e;
        w[i] = p[e];
    }
    if (m->gating == BK_GATE_SOFTMAX_SELECTED)
        probabilities(BK_GATE_SOFTMAX, w, k);
    for (int i = 0; i < k; i++)
        sum += w[i];
    for (int i = 0; i < k; i++)
        w[i] = (m->normalize ? w[i] / (sum + 1e-20f) : w[i]) * m->weight_scale;
}

/* The shared expert's weight of a token. */
static float shared_weight(const struct moe_job *j, const float *x)
{
    const struct bk_weight *s = j->m->sh_scale;
    double sum = 0;
    for (int i = 0; s && i < j->b->n_embd; i++)
        sum += (double)s->vec[i] * (double)x[i];
    return s ? (float)(1 / (1 + exp(-sum))) : 1;
}

/* Places: by expert, and by token within one. */
static void sort_places(struct moe_job *j)
{
    int n = j->b->n * j->m->n_used, at = 0;
    int *count = (int *)(void *)j->scratch; /* 2 * n_expert of them */
    memset(count, 0, (size_t)j->m->n_expert * sizeof *count);
    for (int i = 0; i < n; i++)
        count[j->pick[i]]++;
    size_t q_in = 0, q_mid = 0;
    j->n_busy = 0;
    for (int e = 0; e < j->m->n_expert; e++) {
        int tokens = count[e];
        if (!tokens)
            continue;
        int k = j->n_busy++;
        j->busy[k] = e;
        j->first[k] = count[e] = at;
        j->q_in[k] = q_in;
        j->q_mid[k] = q_mid;
        q_in += act_bytes(j->b->isa, tokens, j->b->n_embd);
        q_mid += act_bytes(j->b->isa, tokens, j->m->n_ff);
        at += tokens;
    }
    j->first[j->n_busy] = at;
    for (int i = 0; i < n; i++) {
        int p = count[j->pick[i]]++;
        j->place[i] = p;
        j->token[p] = i / j->m->n_used;
    }
}

static void pick(struct moe_job *j, int ith, int nth, const struct act *in)
{
    struct bk *b = j->b;
    for (int t = ith; t < b->n; t += nth) {
        pick_token(j, ith, t);
        j->shared_weight[t] = shared_weight(j, in->f + (size_t)t * (size_t)in->ld);
    }
    if (b->n > 1)
        pool_barrier(b->pool, ith);
    if (ith == 0)
        sort_places(j);
    pool_barrier(b->pool, ith);
}

/* ---- the experts ---- */

/* The rows that busy expert k reads. */
static struct act rows_of(const struct moe_job *j, int k, const struct act *in)
{
    struct act a;
    int n = j->first[k + 1] - j->first[k];
    if (j->b->n == 1)
        return *in;
    act_init(&a, j->b->isa, n, j->b->n_embd, j->in + (size_t)j->first[k] * (size_t)j->b->ld_embd, j->b->ld_embd,
             j->round_in ? j->in_q + j->q_in[k] : NULL);
    return a;
}

static struct act mid_of(const struct moe_job *j, int k)
{
    struct act a;
    act_init(&a, j->b->isa, j->first[k + 1] - j->first[k], j->m->n_ff, j->mid + (size_t)j->first[k] * (size_t)j->ld_mid, j->ld_mid,
             j->round_mid ? j->mid_q + j->q_mid[k] : NULL);
    return a;
}

static void collect(struct moe_job *j, int ith, const struct act *in)
{
    struct bk *b = j->b;
    int parts = (b->n + COLLECT - 1) / COLLECT; /* of an expert that has all tokens */
    struct cpu_items it = cpu_items(b, 2, ith, j->n_busy * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int k = i / parts, t0 = i % parts * COLLECT, n = j->first[k + 1] - j->first[k];
        int t1 = t0 + COLLECT < n ? t0 + COLLECT : n;
        struct act a = rows_of(j, k, in);
        for (int t = t0; t < t1; t++)
            memcpy(j->in + (size_t)(j->first[k] + t) * (size_t)b->ld_embd, in->f + (size_t)j->token[j->first[k] + t] * (size_t)in->ld,
                   (size_t)b->n_embd * sizeof(float));
        if (a.q && t0 < t1)
            act_quantize(&a, b->isa, t0, t1, 0, b->n_embd);
    }
    pool_barrier(b->pool, ith);
}

static void gates(struct moe_job *j, int ith, const struct act *in)
{
    struct bk *b = j->b;
    const struct bk_moe *m = j->m;
    int parts = (m->n_ff + CPU_GATE_STEP - 1) / CPU_GATE_STEP, last = -1;
    struct act a = {0}, mid = {0};
    struct cpu_gate g = {.n_ff = m->n_ff, .act = m->act, .limit = m->limit};
    struct cpu_items it = cpu_items(b, 3, ith, j->n_busy * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int k = i / parts, c0 = i % parts * CPU_GATE_STEP, c1 = c0 + CPU_GATE_STEP < m->n_ff ? c0 + CPU_GATE_STEP : m->n_ff;
        if (k != last) {
            size_t e = (size_t)j->busy[k];
            a = rows_of(j, k, in);
            mid = mid_of(j, k);
            g.gate = &m->gate.w->stack[e];
            g.gate_b = m->gate.b ? m->gate.b->vec + e * (size_t)m->gate.b->cols : NULL;
            g.up = m->up.w ? &m->up.w->stack[e] : NULL;
            g.up_b = m->up.w && m->up.b ? m->up.b->vec + e * (size_t)m->up.b->cols : NULL;
            last = k;
        }
        cpu_gated(b, ith, &g, &a, c0, c1, &mid);
    }
    pool_barrier(b->pool, ith);
}

static void down(struct moe_job *j, int ith)
{
    struct bk *b = j->b;
    const struct bk_moe *m = j->m;
    bool shared = m->sh_down.w != NULL;
    int step = cpu_step(b, &m->down.w->stack[0], b->n), parts = (b->n_embd + step - 1) / step;
    struct act sh = {0};
    if (shared)
        act_init(&sh, b->isa, b->n, m->n_ff_shared, j->shared_mid, j->ld_shared, j->round_shared ? j->shared_q : NULL);
    struct cpu_items it = cpu_items(b, 4, ith, (j->n_busy + shared) * parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int k = i / parts, r0 = i % parts * step, r1 = r0 + step < b->n_embd ? r0 + step : b->n_embd;
        if (k == j->n_busy) {
            cpu_mul(b, ith, &m->sh_down, &sh, r0, r1, j->shared_out, b->ld_embd, 0);
            continue;
        }
        size_t e = (size_t)j->busy[k];
        struct act mid = mid_of(j, k);
        mat_mul(&m->down.w->stack[e], &mid, r0, r1, j->out + (size_t)j->first[k] * (size_t)b->ld_embd, b->ld_embd, 0,
                m->down.b ? m->down.b->vec + e * (size_t)m->down.b->cols : NULL, b->hand[ith].mat);
    }
    pool_barrier(b->pool, ith);
}

/* Into the place of a token's first expert; then to x. */
static void sum(struct moe_job *j, int ith, int nth)
{
    struct bk *b = j->b;
    const struct bk_moe *m = j->m;
    bool after = m->post.kind != BK_NORM_NONE;
    int width = after ? b->n_embd : SUM_COLUMNS, parts = (b->n_embd + width - 1) / width;
    for (int i = ith; i < b->n * parts; i += nth) {
        int t = i / parts, c = i % parts * width, n = b->n_embd - c < width ? b->n_embd - c : width;
        const int *place = j->place + (size_t)t * (size_t)m->n_used;
        const float *w = j->weight + (size_t)t * (size_t)m->n_used;
        float *y = j->out + (size_t)place[0] * (size_t)b->ld_embd + c;
        b->vec->scale(y, y, w[0], n);
        for (int k = 1; k < m->n_used; k++)
            b->vec->add_scaled(y, j->out + (size_t)place[k] * (size_t)b->ld_embd + c, w[k], n);
        if (m->sh_down.w)
            b->vec->add_scaled(y, j->shared_out + (size_t)t * (size_t)b->ld_embd + c, j->shared_weight[t], n);
        if (after)
            cpu_norm_row(b, &m->post, y, n, y);
        float *x = b->x + (size_t)t * (size_t)b->ld_embd + c;
        if (m->replace)
            b->vec->scale(x, y, m->out_scale, n);
        else
            b->vec->add_scaled(x, y, m->out_scale, n);
    }
}

/* ---- the block ---- */

/* The router's rows, and the gates of the shared expert. */
static void first(struct moe_job *j, int ith, const struct act *in)
{
    struct bk *b = j->b;
    const struct bk_moe *m = j->m;
    const struct bk_linear router = {m->router, m->router_bias};
    int step = cpu_step(b, &m->router->mat, b->n), items = (m->n_expert + step - 1) / step;
    int parts = m->sh_down.w ? (m->n_ff_shared + CPU_GATE_STEP - 1) / CPU_GATE_STEP : 0;
    struct act mid;
    act_init(&mid, b->isa, b->n, m->n_ff_shared, j->shared_mid, j->ld_shared, j->round_shared ? j->shared_q : NULL);
    struct cpu_items it = cpu_items(b, 1, ith, items + parts);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        if (i < items) {
            cpu_mul(b, ith, &router, in, i * step, (i + 1) * step < m->n_expert ? (i + 1) * step : m->n_expert, j->logits, m->n_expert, 0);
            continue;
        }
        int c0 = (i - items) * CPU_GATE_STEP, c1 = c0 + CPU_GATE_STEP < m->n_ff_shared ? c0 + CPU_GATE_STEP : m->n_ff_shared;
        cpu_gated(b, ith, &j->shared, in, c0, c1, &mid);
    }
    pool_barrier(b->pool, ith);
}

static void moe(void *arg, int ith, int nth)
{
    struct moe_job *j = arg;
    struct act in;
    cpu_start(j->b, ith);
    cpu_norm(j->b, ith, 0, &j->m->in, 0, j->round_in, &in);
    first(j, ith, &in);
    pick(j, ith, nth, &in);
    if (j->b->n > 1)
        collect(j, ith, &in);
    gates(j, ith, &in);
    down(j, ith);
    sum(j, ith, nth);
}

static int check(const struct bk *b, const struct bk_moe *m, struct err *err)
{
    if (!b->kv || m->n_expert < 1 || m->n_used < 1 || m->n_used > m->n_expert || m->n_ff < 1 || m->n_ff > b->n_wide ||
        m->n_ff_shared > b->n_wide)
        return err_set(err, ERR_USAGE, "%d of %d experts of %d values do not fit what was reserved (%d)", m->n_used, m->n_expert, m->n_ff, b->n_wide);
    if (m->n_group > 1 && (m->n_expert % m->n_group || m->n_group_used < 1 || m->n_group_used > m->n_group ||
                           m->n_expert / m->n_group * m->n_group_used < m->n_used))
        return err_set(err, ERR_USAGE, "%d experts cannot be picked from %d of %d groups", m->n_used, m->n_group_used, m->n_group);
    struct bk_linear router = {m->router, m->router_bias};
    int rc = cpu_check(&router, "router", m->n_expert, b->n_embd, err);
    if (!rc)
        rc = cpu_check_stack(&m->gate, "experts' gate", m->n_expert, m->up.w ? m->n_ff : 2 * m->n_ff, b->n_embd, err);
    if (!rc && m->up.w)
        rc = cpu_check_stack(&m->up, "experts' up", m->n_expert, m->n_ff, b->n_embd, err);
    if (!rc)
        rc = cpu_check_stack(&m->down, "experts' down", m->n_expert, b->n_embd, m->n_ff, err);
    if (!rc && m->sh_down.w)
        rc = cpu_check(&m->sh_down, "shared expert's down", b->n_embd, m->n_ff_shared, err);
    if (!rc && m->sh_down.w)
        rc = cpu_check(&m->sh_gate, "shared expert's gate", m->sh_up.w ? m->n_ff_shared : 2 * m->n_ff_shared, b->n_embd, err);
    if (!rc && m->sh_down.w && m->sh_up.w)
        rc = cpu_check(&m->sh_up, "shared expert's up", m->n_ff_shared, b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&m->in, "experts' input", b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&m->post, "experts' output", b->n_embd, err);
    if (!rc && ((m->select_bias && m->select_bias->cols != m->n_expert) || (m->sh_scale && m->sh_scale->cols != b->n_embd)))
        rc = err_set(err, ERR_FORMAT, "the experts' selection bias or the shared expert's scale has a wrong length");
    return rc;
}

static size_t lay_out(struct moe_job *j, char *base)
{
    const struct bk *b = j->b;
    const struct bk_moe *m = j->m;
    size_t n = (size_t)b->n, places = (size_t)j->n_place, most = (size_t)j->most, f = sizeof(float), at = 0;
    bool many = b->n > 1, shared = m->sh_down.w != NULL;
    j->logits = cpu_piece(base, &at, n * (size_t)m->n_expert * f);
    j->weight = cpu_piece(base, &at, places * f);
    j->shared_weight = cpu_piece(base, &at, n * f);
    j->pick = cpu_piece(base, &at, places * sizeof(int));
    j->place = cpu_piece(base, &at, places * sizeof(int));
    j->token = cpu_piece(base, &at, places * sizeof(int));
    j->busy = cpu_piece(base, &at, most * sizeof(int));
    j->first = cpu_piece(base, &at, (most + 1) * sizeof(int));
    j->q_in = cpu_piece(base, &at, most * sizeof(size_t));
    j->q_mid = cpu_piece(base, &at, most * sizeof(size_t));
    j->scratch = cpu_piece(base, &at, (size_t)b->n_threads * 2 * (size_t)m->n_expert * f);
    j->out = cpu_piece(base, &at, places * (size_t)b->ld_embd * f);
    j->in = many ? cpu_piece(base, &at, places * (size_t)b->ld_embd * f) : NULL;
    j->mid = cpu_piece(base, &at, places * (size_t)j->ld_mid * f);
    /* Rounded rows end on 64-byte lines, each busy expert's for itself. */
    j->in_q = many && j->round_in ? cpu_piece(base, &at, act_bytes(b->isa, j->n_place, b->n_embd) + most * 64) : NULL;
    j->mid_q = j->round_mid ? cpu_piece(base, &at, act_bytes(b->isa, j->n_place, m->n_ff) + most * 64) : NULL;
    j->shared_mid = shared ? cpu_piece(base, &at, n * (size_t)j->ld_shared * f) : NULL;
    j->shared_out = shared ? cpu_piece(base, &at, n * (size_t)b->ld_embd * f) : NULL;
    j->shared_q = shared && j->round_shared ? cpu_piece(base, &at, act_bytes(b->isa, b->n, m->n_ff_shared)) : NULL;
    return at;
}

int cpu_moe(struct bk *b, const struct bk_moe *m, struct err *err)
{
    int rc = check(b, m, err);
    if (rc)
        return rc;
    struct moe_job j = {.b = b, .m = m, .n_place = b->n * m->n_used, .ld_mid = (m->n_ff + 15) / 16 * 16 + 16,
                        .ld_shared = (m->n_ff_shared + 15) / 16 * 16 + 16};
    const struct bk_linear router = {m->router, NULL};
    j.most = j.n_place < m->n_expert ? j.n_place : m->n_expert;
    j.round_in = cpu_reads_q(&m->gate) || cpu_reads_q(&m->up) || cpu_reads_q(&m->sh_gate) || cpu_reads_q(&m->sh_up) || cpu_reads_q(&router);
    j.round_mid = cpu_reads_q(&m->down);
    j.round_shared = cpu_reads_q(&m->sh_down);
    if (m->sh_down.w)
        j.shared = (struct cpu_gate){.gate = &m->sh_gate.w->mat, .up = m->sh_up.w ? &m->sh_up.w->mat : NULL,
                                     .gate_b = m->sh_gate.b ? m->sh_gate.b->vec : NULL, .up_b = m->sh_up.b ? m->sh_up.b->vec : NULL,
                                     .n_ff = m->n_ff_shared, .act = m->act, .limit = m->sh_limit};
    rc = cpu_grow(b, &b->own, &b->own_bytes, lay_out(&j, NULL), err);
    if (rc)
        return rc;
    lay_out(&j, b->own);
    cpu_run(b, moe, &j);
    return 0;
}
