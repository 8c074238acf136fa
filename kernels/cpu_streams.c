/*
 * Residual streams with learned mixing (spec: archs 10.3). Their state is (n tokens, streams, n_embd) beside x; PRE leaves for POST,
 * a token: post (n), and M (n, n). All is f32, a token for itself, so neither batch nor threads matter.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <math.h>
#include <string.h>

#define MOST 16 /* streams */
#define COLUMNS 512

struct streams_job {
    struct bk *b;
    const struct bk_streams *s;
    enum bk_streams_step step;
    int rows, ld;        /* of fn; floats between tokens of the state */
    float *state, *flat; /* (n, ld); the same, normed */
    float *mix;          /* (n, MOST * (MOST + 2)): fn's rows; then pre, post, M */
    void *flat_q;
};

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float *stream(const struct streams_job *j, int t, int k)
{
    return j->state + (size_t)t * (size_t)j->ld + (size_t)k * (size_t)j->b->n_embd;
}

static float *mix_of(const struct streams_job *j, int t)
{
    return j->mix + (size_t)t * MOST * (MOST + 2);
}

/* M becomes doubly stochastic, nearly: rows by softmax, then columns and rows in turn. m[a * n + b]. */
static void sinkhorn(float *m, int n, int iterations, float eps)
{
    for (int a = 0; a < n; a++) {
        float top = m[a * n], sum = 0;
        for (int k = 1; k < n; k++)
            top = m[a * n + k] > top ? m[a * n + k] : top;
        for (int k = 0; k < n; k++)
            sum += m[a * n + k] = expf(m[a * n + k] - top);
        for (int k = 0; k < n; k++)
            m[a * n + k] = m[a * n + k] / sum + eps;
    }
    for (int i = 0; i < iterations; i++) {
        for (int a = 0; i && a < n; a++) {
            float sum = eps;
            for (int k = 0; k < n; k++)
                sum += m[a * n + k];
            for (int k = 0; k < n; k++)
                m[a * n + k] /= sum;
        }
        for (int k = 0; k < n; k++) {
            float sum = eps;
            for (int a = 0; a < n; a++)
                sum += m[a * n + k];
            for (int a = 0; a < n; a++)
                m[a * n + k] /= sum;
        }
    }
}

/* What fn gave becomes pre, post and M (END: the weights of the head). */
static void weights(const struct streams_job *j, int t)
{
    const struct bk_streams *s = j->s;
    const float *scale = s->scale->vec, *base = s->base->vec;
    float *mix = mix_of(j, t);
    int n = s->n;
    for (int k = 0; k < n; k++)
        mix[k] = sigmoid(mix[k] * scale[0] + base[k]) + s->eps;
    if (j->step == BK_STREAMS_END)
        return;
    for (int k = n; k < 2 * n; k++)
        mix[k] = 2 * sigmoid(mix[k] * scale[1] + base[k]);
    for (int k = 2 * n; k < n * (2 + n); k++)
        mix[k] = mix[k] * scale[2] + base[k];
    sinkhorn(mix + 2 * n, n, s->iterations, s->eps);
}

static void read_weights(struct streams_job *j, int ith)
{
    struct bk *b = j->b;
    int d = j->s->n * b->n_embd;
    const struct mat *m = &j->s->fn->mat;
    struct act a;
    act_init(&a, b->isa, b->n, d, j->flat, j->ld, j->flat_q);
    struct cpu_items it = cpu_items(b, 0, ith, (b->n + 23) / 24); /* a multiple of every level's activation panel */
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int t0 = i * 24, t1 = t0 + 24 < b->n ? t0 + 24 : b->n;
        for (int t = t0; t < t1; t++)
            b->vec->norm(BK_NORM_RMS, stream(j, t, 0), NULL, NULL, j->s->norm_eps, d, j->flat + (size_t)t * (size_t)j->ld);
        if (a.q)
            act_quantize(&a, b->isa, t0, t1, 0, d);
    }
    pool_barrier(b->pool, ith);
    it = cpu_items(b, 1, ith, (j->rows + MAT_PANEL - 1) / MAT_PANEL);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r1 = (i + 1) * MAT_PANEL < j->rows ? (i + 1) * MAT_PANEL : j->rows;
        mat_mul(m, &a, i * MAT_PANEL, r1, j->mix, MOST * (MOST + 2), 0, NULL, b->hand[ith].mat);
    }
    pool_barrier(b->pool, ith);
    it = cpu_items(b, 2, ith, b->n);
    for (int t; (t = cpu_next(&it)) >= 0;)
        weights(j, t);
    pool_barrier(b->pool, ith);
}

/* Columns [c, c + n) of a token. */
static void mix_columns(const struct streams_job *j, int t, int c, int n)
{
    const struct vec_ops *vec = j->b->vec;
    const float *w = mix_of(j, t), *m = w + 2 * j->s->n;
    float *x = j->b->x + (size_t)t * (size_t)j->b->ld_embd + c, old[MOST][COLUMNS];
    int s = j->s->n;
    switch (j->step) {
    case BK_STREAMS_BEGIN:
        for (int k = 0; k < s; k++)
            memcpy(stream(j, t, k) + c, x, (size_t)n * sizeof *x);
        break;
    case BK_STREAMS_PRE:
    case BK_STREAMS_END:
        vec->scale(x, stream(j, t, 0) + c, w[0], n);
        for (int k = 1; k < s; k++)
            vec->add_scaled(x, stream(j, t, k) + c, w[k], n);
        break;
    case BK_STREAMS_POST:
        for (int k = 0; k < s; k++)
            memcpy(old[k], stream(j, t, k) + c, (size_t)n * sizeof *x);
        for (int k = 0; k < s; k++) {
            float *y = stream(j, t, k) + c;
            vec->scale(y, x, w[s + k], n);
            for (int a = 0; a < s; a++) /* over M's first index */
                vec->add_scaled(y, old[a], m[a * s + k], n);
        }
        break;
    }
}

static void streams(void *arg, int ith, int nth)
{
    struct streams_job *j = arg;
    struct bk *b = j->b;
    int parts = (b->n_embd + COLUMNS - 1) / COLUMNS;
    cpu_start(b, ith);
    if (j->step == BK_STREAMS_PRE || j->step == BK_STREAMS_END)
        read_weights(j, ith);
    for (int i = ith; i < b->n * parts; i += nth) {
        int c = i % parts * COLUMNS;
        mix_columns(j, i / parts, c, b->n_embd - c < COLUMNS ? b->n_embd - c : COLUMNS);
    }
}

int cpu_streams(struct bk *b, const struct bk_streams *s, enum bk_streams_step step, struct err *err)
{
    bool reads = step == BK_STREAMS_PRE || step == BK_STREAMS_END;
    struct streams_job j = {.b = b, .s = s, .step = step, .rows = step == BK_STREAMS_END ? s->n : s->n * (2 + s->n)};
    if (!b->kv || s->n < 1 || s->n > MOST || s->iterations < 1)
        return err_set(err, ERR_USAGE, "%d residual streams cannot be mixed; 1 to %d can", s->n, MOST);
    if (reads && (!s->fn || s->fn->use != BK_MATRIX || s->fn->rows != j.rows || s->fn->cols != s->n * b->n_embd || !s->base || s->base->use != BK_VECTOR ||
                  s->base->cols != j.rows || !s->scale || s->scale->use != BK_VECTOR || s->scale->cols != (step == BK_STREAMS_END ? 1 : 3)))
        return err_set(err, ERR_FORMAT, "the weights of %d residual streams do not fit", s->n);
    bool round = reads && mat_reads_q(s->fn->type);
    j.ld = (s->n * b->n_embd + 15) / 16 * 16 + 16;
    /* Made for the largest batch at once: growing loses what is there. */
    size_t n = (size_t)b->max_batch, rows = n * (size_t)j.ld, mix = n * MOST * (MOST + 2);
    int rc = cpu_grow(b, &b->streams, &b->streams_bytes, (2 * rows + mix) * sizeof(float), err);
    if (!rc && round)
        rc = cpu_grow(b, &b->own, &b->own_bytes, act_bytes(b->isa, b->n, s->n * b->n_embd), err);
    if (rc)
        return rc;
    j.state = b->streams;
    j.flat = j.state + rows;
    j.mix = j.flat + rows;
    j.flat_q = round ? b->own : NULL;
    cpu_run(b, streams, &j);
    return 0;
}
