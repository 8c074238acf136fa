#ifndef TESTS_KERNELS_RIG_H
#define TESTS_KERNELS_RIG_H
/*
 * A backend with random weights, and the same weights in double precision for a reference. Tensors are made by name and
 * shape; what a name holds depends on the name alone, so two rigs of one net hold the same.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"
#include "tests/t.h"

#define RIG_TENSORS 40

struct rig_tensor {
    const char *name;
    void *data;     /* as in a file */
    double *value;  /* (rows, cols) */
    int rows, cols;
    const struct bk_weight *w;
};

struct rig {
    const struct bk_ops *ops;
    struct bk *bk;
    struct bk_kv *kv;
    struct rig_tensor t[RIG_TENSORS];
    int n;
    uint64_t salt;
};

static inline uint64_t rig_mix(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [-1, 1). */
static inline double rig_uniform(uint64_t *s)
{
    return (double)(int64_t)rig_mix(s) / 9223372036854775808.0;
}

static inline void rig_open(struct rig *r, int threads, uint64_t salt)
{
    struct err err = {0};
    struct bk_conf conf = {.n_threads = threads};
    *r = (struct rig){.ops = bk_cpu(), .salt = salt};
    if (r->ops->open(&conf, &r->bk, &err))
        fail_msg("%s", err.msg);
}

static inline void rig_close(struct rig *r)
{
    r->ops->close(r->bk);
    for (int i = 0; i < r->n; i++) {
        free(r->t[i].data);
        free(r->t[i].value);
    }
}

static inline void rig_q8_0(unsigned char *p, uint64_t *s, int n, double spread)
{
    for (int b = 0; b < n / 32; b++, p += 34) {
        uint16_t d = quant_f32_to_f16((float)(spread * (0.6 + 0.4 * rig_uniform(s)) / 127));
        memcpy(p, &d, 2);
        for (int i = 0; i < 32; i++)
            p[2 + i] = (unsigned char)(int)(127 * rig_uniform(s));
    }
}

static inline void rig_q4_1(unsigned char *p, uint64_t *s, int n, double spread)
{
    for (int b = 0; b < n / 32; b++, p += 20) {
        uint16_t d = quant_f32_to_f16((float)(spread * (0.6 + 0.4 * rig_uniform(s)) / 8)), m = quant_f32_to_f16((float)-spread);
        memcpy(p, &d, 2);
        memcpy(p + 2, &m, 2);
        for (int i = 0; i < 16; i++)
            p[4 + i] = (unsigned char)rig_mix(s);
    }
}

/* Registers a tensor of (rows, cols) around `middle`, +- spread; BK_VECTOR: rows is 1. */
static inline const struct bk_weight *rig_make(struct rig *r, const char *name, enum bk_use use, enum qtype type, int rows, int cols, double middle,
                                               double spread)
{
    struct rig_tensor *t = &r->t[r->n++];
    assert_true(r->n <= RIG_TENSORS);
    size_t row_bytes = quant_row_bytes(type, cols);
    uint64_t s = r->salt;
    for (const char *c = name; *c; c++)
        s = s * 1099511628211u + (unsigned char)*c;
    *t = (struct rig_tensor){.name = name, .rows = rows, .cols = cols, .data = malloc(row_bytes * (size_t)rows),
                             .value = malloc((size_t)rows * (size_t)cols * sizeof(double))};
    float *row = malloc((size_t)cols * sizeof *row);
    for (int i = 0; i < rows; i++) {
        unsigned char *p = (unsigned char *)t->data + (size_t)i * row_bytes;
        if (type == Q_Q8_0)
            rig_q8_0(p, &s, cols, spread);
        else if (type == Q_Q4_1)
            rig_q4_1(p, &s, cols, spread);
        for (int k = 0; k < cols && (type == Q_F32 || type == Q_F16); k++) {
            float f = (float)(middle + spread * rig_uniform(&s));
            uint16_t h = quant_f32_to_f16(f);
            memcpy(p + (size_t)k * (type == Q_F32 ? 4 : 2), type == Q_F32 ? (void *)&f : (void *)&h, type == Q_F32 ? 4 : 2);
        }
        quant_traits(type)->decode(p, row, cols);
        for (int k = 0; k < cols; k++)
            t->value[(size_t)i * (size_t)cols + (size_t)k] = (double)row[k];
    }
    free(row);
    struct bk_tensor b = {.name = name, .type = type, .ne = {cols, rows, 1, 1}, .data = t->data, .bytes = row_bytes * (size_t)rows};
    struct bk_weight *w = NULL;
    struct err err = {0};
    if (r->ops->weight(r->bk, &b, use, &w, &err))
        fail_msg("%s", err.msg);
    t->w = w;
    return w;
}

/* The identity as output matrix makes the head hand out the residual stream itself. */
static inline const struct bk_weight *rig_identity(struct rig *r, int n)
{
    struct rig_tensor *t = &r->t[r->n++];
    assert_true(r->n <= RIG_TENSORS);
    float *f = calloc((size_t)n * (size_t)n, sizeof *f);
    for (int i = 0; i < n; i++)
        f[(size_t)i * (size_t)n + (size_t)i] = 1;
    *t = (struct rig_tensor){.name = "identity", .data = f, .rows = n, .cols = n};
    struct bk_tensor b = {.name = "identity", .type = Q_F32, .ne = {n, n, 1, 1}, .data = f, .bytes = (size_t)n * (size_t)n * sizeof *f};
    struct bk_weight *w = NULL;
    assert_int_equal(r->ops->weight(r->bk, &b, BK_MATRIX, &w, NULL), 0);
    t->w = w;
    return w;
}

static inline const double *rig_value(const struct rig *r, const struct bk_weight *w)
{
    for (int i = 0; w && i < r->n; i++)
        if (r->t[i].w == w)
            return r->t[i].value;
    return NULL;
}

static inline int rig_rows(const struct rig *r, const struct bk_weight *w)
{
    for (int i = 0; i < r->n; i++)
        if (r->t[i].w == w)
            return r->t[i].rows;
    return 0;
}

/* ---- the reference ---- */

static inline void ref_norm(const struct rig *r, const struct bk_norm *nm, const double *x, int n, double *dst)
{
    const double *w = rig_value(r, nm->w), *b = rig_value(r, nm->b);
    double mean = 0, var = 0;
    for (int i = 0; i < n; i++)
        mean += nm->kind == BK_NORM_LAYER ? x[i] / n : 0;
    for (int i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++) {
        double y = nm->kind == BK_NORM_NONE ? x[i] : (x[i] - mean) / sqrt(var + (double)nm->eps);
        if (nm->kind != BK_NORM_NONE)
            y = y * (w ? w[i] : 1) + (b ? b[i] : 0);
        dst[i] = y;
    }
}

/* Rows [r0, r1) of w.x + b. */
static inline void ref_linear(const struct rig *r, const struct bk_linear *l, int r0, int r1, const double *x, int cols, double *dst)
{
    const double *w = rig_value(r, l->w), *b = rig_value(r, l->b);
    for (int i = r0; i < r1; i++) {
        double sum = b ? b[i] : 0;
        for (int k = 0; k < cols; k++)
            sum += w[(size_t)i * (size_t)cols + (size_t)k] * x[k];
        dst[i - r0] = sum;
    }
}

static inline void ref_rope(const struct bk_rope *rope, int pos, double *x)
{
    for (int i = 0; i < rope->n_rot / 2 && rope->kind != BK_ROPE_NONE; i++) {
        int p = rope->kind == BK_ROPE_NORM ? 2 * i : i, q = rope->kind == BK_ROPE_NORM ? 2 * i + 1 : i + rope->n_rot / 2;
        double t = pos * (double)rope->freq[i], a = x[p], b = x[q], m = (double)rope->magnitude;
        x[p] = m * (a * cos(t) - b * sin(t));
        x[q] = m * (a * sin(t) + b * cos(t));
    }
}

static inline double ref_f16(double x)
{
    return (double)quant_f16_to_f32(quant_f32_to_f16((float)x));
}

/* The block over positions 0..n-1 of x (n, d). */
static inline void ref_attn(const struct rig *r, const struct bk_attn_gqa *a, bool f16, double *x, int n, int d)
{
    int nq = a->n_head * a->d_k, nk = a->n_kv * a->d_k, nv = a->n_kv * a->d_v, no = a->n_head * a->d_v;
    double *nx = calloc((size_t)d, sizeof *nx), *q = calloc((size_t)nq, sizeof *q), *o = calloc((size_t)no, sizeof *o);
    double *k = calloc((size_t)n * (size_t)nk, sizeof *k), *v = calloc((size_t)n * (size_t)nv, sizeof *v), *p = calloc((size_t)n, sizeof *p);
    const double *sinks = rig_value(r, a->sinks);
    for (int t = 0; t < n; t++) {
        double *kt = k + (size_t)t * (size_t)nk, *vt = v + (size_t)t * (size_t)nv, *xt = x + (size_t)t * (size_t)d;
        ref_norm(r, &a->in, xt, d, nx);
        ref_linear(r, &a->q, 0, nq, nx, d, q);
        ref_linear(r, a->k.w ? &a->k : &a->q, a->k.w ? 0 : nq, a->k.w ? nk : nq + nk, nx, d, kt);
        ref_linear(r, a->k.w ? &a->v : &a->q, a->k.w ? 0 : nq + nk, a->k.w ? nv : nq + nk + nv, nx, d, vt);
        for (int h = 0; h < a->n_head; h++) {
            ref_norm(r, &a->q_norm, q + h * a->d_k, a->d_k, q + h * a->d_k);
            ref_rope(&a->rope, t, q + h * a->d_k);
        }
        for (int h = 0; h < a->n_kv; h++) {
            ref_norm(r, &a->k_norm, kt + h * a->d_k, a->d_k, kt + h * a->d_k);
            ref_rope(&a->rope, t, kt + h * a->d_k);
        }
        for (int i = 0; f16 && i < nk; i++)
            kt[i] = ref_f16(kt[i]);
        for (int i = 0; f16 && i < nv; i++)
            vt[i] = ref_f16(vt[i]);
        for (int h = 0; h < a->n_head; h++) {
            int g = h / (a->n_head / a->n_kv), from = a->window && t - a->window + 1 > 0 ? t - a->window + 1 : 0;
            double top = sinks ? sinks[h] : -INFINITY, sum = 0;
            for (int i = from; i <= t; i++) {
                p[i] = 0;
                for (int j = 0; j < a->d_k; j++)
                    p[i] += q[h * a->d_k + j] * k[(size_t)i * (size_t)nk + (size_t)(g * a->d_k + j)];
                p[i] *= (double)a->scale;
                if (a->softcap > 0)
                    p[i] = (double)a->softcap * tanh(p[i] / (double)a->softcap);
                top = fmax(top, p[i]);
            }
            for (int i = from; i <= t; i++)
                sum += p[i] = exp(p[i] - top);
            sum += sinks ? exp(sinks[h] - top) : 0;
            for (int j = 0; j < a->d_v; j++) {
                double y = 0;
                for (int i = from; i <= t; i++)
                    y += p[i] * v[(size_t)i * (size_t)nv + (size_t)(g * a->d_v + j)];
                o[h * a->d_v + j] = y / sum;
            }
        }
        ref_linear(r, &a->o, 0, d, o, no, nx);
        ref_norm(r, &a->post, nx, d, nx);
        for (int i = 0; i < d; i++)
            xt[i] += (double)a->out_scale * nx[i];
    }
    free(nx);
    free(q);
    free(o);
    free(k);
    free(v);
    free(p);
}

static inline void ref_ffn(const struct rig *r, const struct bk_ffn *f, double *x, int n, int d)
{
    double *nx = calloc((size_t)d, sizeof *nx), *g = calloc((size_t)f->n_ff, sizeof *g), *u = calloc((size_t)f->n_ff, sizeof *u);
    for (int t = 0; t < n; t++) {
        double *xt = x + (size_t)t * (size_t)d, lim = (double)f->limit;
        ref_norm(r, &f->in, xt, d, nx);
        ref_linear(r, &f->gate, 0, f->n_ff, nx, d, g);
        ref_linear(r, f->up.w ? &f->up : &f->gate, f->up.w ? 0 : f->n_ff, f->up.w ? f->n_ff : 2 * f->n_ff, nx, d, u);
        for (int i = 0; i < f->n_ff; i++) {
            double a = lim > 0 ? fmin(g[i], lim) : g[i], b = lim > 0 ? fmax(-lim, fmin(u[i], lim)) : u[i];
            g[i] = b * (f->act == BK_SILU ? a / (1 + exp(-a)) : 0.5 * a * (1 + tanh(sqrt(2 / M_PI) * (a + 0.044715 * a * a * a))));
        }
        ref_linear(r, &f->down, 0, d, g, f->n_ff, nx);
        ref_norm(r, &f->post, nx, d, nx);
        for (int i = 0; i < d; i++)
            xt[i] += (double)f->out_scale * nx[i];
    }
    free(nx);
    free(g);
    free(u);
}

#endif
