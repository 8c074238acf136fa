/*
 * Products without vector instructions: the truth the other levels are tested against, and what other machines run.
 *
 * Quantized: a row becomes 8-bit integers with a scale for each 16 of them and a minimum for each 32; then one loop serves every type:
 *   y = sum over blocks of 32 of  d * (s0 * dot of the first 16 + s1 * dot of the last 16) + m * (d * sum)
 * with exact integer dots, summed in double. Other types: panels of floats [k][16], summed over k in float.
 */
#include "config.h"
#include "kernels/mat_impl.h"

#include <math.h>
#include <string.h>

/* ---- activations ---- */

/* Rounds 32 floats to q and a scale, which is returned. Not finite: the scale becomes NaN, so that what is computed from it does, too. */
static float round_32(const float *x, int8_t *q)
{
    float amax = 0, d = 0;
    bool finite = true;
    memset(q, 0, 32);
    for (int i = 0; i < 32; i++) {
        finite &= isfinite(x[i]) != 0;
        amax = fmaxf(amax, fabsf(x[i]));
    }
    if (!finite) {
        d = NAN;
    } else if (amax >= ACT_TINY) {
        float inv = 127 / amax;
        d = amax / 127;
        for (int i = 0; i < 32; i++)
            q[i] = (int8_t)lrintf(x[i] * inv);
    }
    return d;
}

static void round_block(const float *x, uint32_t *rec, int w, int j)
{
    int8_t q[32];
    int32_t half[2] = {0, 0};
    float d = round_32(x, q);
    for (int i = 0; i < 32; i++)
        half[i / 16] += q[i];
    int32_t sum = half[0] + half[1];
    float dsum = d * (float)sum;
    const int32_t starts[5] = {-8 * sum, -16 * sum, -128 * sum, -32 * half[0], -32 * half[1]};
    for (int i = 0; i < 8; i++)
        memcpy(rec + (ACT_Q + i) * w + j, q + 4 * i, 4);
    memcpy(rec + ACT_D * w + j, &d, 4);
    memcpy(rec + ACT_DSUM * w + j, &dsum, 4);
    for (int i = 0; i < 5; i++)
        memcpy(rec + (ACT_N8 + i) * w + j, starts + i, 4);
}

static void quantize(struct act *a, int t0, int t1, int c0, int c1)
{
    for (int t = t0; t < t1; t++)
        for (int c = c0; c < c1; c += 32) {
            int w, j;
            uint32_t *rec = act_record(a, mat_scalar.panel, t, c, &w, &j);
            round_block(a->f + (size_t)t * (size_t)a->ld + c, rec, w, j);
        }
}

void mat_round(struct act *a, int t0, int t1, int c0, int c1)
{
    for (int t = t0; t < t1; t++)
        for (int c = c0; c < c1; c += 32) {
            int8_t q[32];
            float d = round_32(a->f + (size_t)t * (size_t)a->ld + c, q), *dst = (float *)a->q + (size_t)t * (size_t)a->cols + c;
            for (int i = 0; i < 32; i++)
                dst[i] = d * (float)q[i];
        }
}

/* ---- rows as integers ---- */

struct row { /* cols / 32 of them */
    int8_t q[32];
    float s[2], m;
};

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float half(const uint8_t *p)
{
    return quant_f16_to_f32(u16(p));
}

static void nibbles(const uint8_t *qs, int offset, struct row *o)
{
    for (int j = 0; j < 16; j++) {
        o->q[j] = (int8_t)((qs[j] & 15) - offset);
        o->q[j + 16] = (int8_t)((qs[j] >> 4) - offset);
    }
}

static void fifth_bits(const uint8_t *qh, struct row *o)
{
    uint32_t h = (uint32_t)u16(qh) | (uint32_t)u16(qh + 2) << 16;
    for (int e = 0; e < 32; e++)
        o->q[e] = (int8_t)(o->q[e] + (int)(h >> e & 1) * 16);
}

static void block_32(enum qtype type, const uint8_t *b, struct row *o)
{
    o->s[0] = o->s[1] = half(b);
    o->m = type == Q_Q4_1 || type == Q_Q5_1 ? half(b + 2) : 0;
    if (type == Q_Q8_0) {
        memcpy(o->q, b + 2, 32);
    } else if (type == Q_Q4_0) {
        nibbles(b + 2, 8, o);
    } else if (type == Q_Q4_1) {
        nibbles(b + 4, 0, o);
    } else {
        const uint8_t *qh = b + (type == Q_Q5_1 ? 4 : 2);
        nibbles(qh + 4, type == Q_Q5_1 ? 0 : 16, o);
        fifth_bits(qh, o);
    }
}

static void block_k45(bool five, const uint8_t *b, struct row *o)
{
    const uint8_t *c = b + 4, *qs = b + (five ? 48 : 16);
    float d = half(b), dmin = half(b + 2);
    for (int s = 0; s < 8; s++, o++) {
        int sc = s < 4 ? c[s] & 63 : (c[s + 4] & 15) | c[s - 4] >> 6 << 4;
        int m = s < 4 ? c[s + 4] & 63 : c[s + 4] >> 4 | c[s] >> 6 << 4;
        o->s[0] = o->s[1] = d * (float)sc;
        o->m = -dmin * (float)m;
        for (int l = 0; l < 32; l++)
            o->q[l] = (int8_t)((qs[32 * (s / 2) + l] >> 4 * (s % 2) & 15) | (five ? b[16 + l] >> s & 1 : 0) << 4);
    }
}

static void block_k6(const uint8_t *b, struct row *o)
{
    float d = half(b + 208);
    for (int s = 0; s < 8; s++, o++) {
        const uint8_t *ql = b + 64 * (s / 4) + 32 * (s % 2), *qh = b + 128 + 32 * (s / 4);
        int j = s % 4;
        for (int i = 0; i < 2; i++)
            o->s[i] = d * (float)(int8_t)b[192 + 2 * s + i];
        o->m = 0;
        for (int l = 0; l < 32; l++)
            o->q[l] = (int8_t)(((ql[l] >> 4 * (j / 2) & 15) | (qh[l] >> 2 * j & 3) << 4) - 32);
    }
}

static void unpack_row(enum qtype type, const uint8_t *b, int cols, struct row *o)
{
    const struct qtraits *q = quant_traits(type);
    for (int k = 0; k < cols; k += q->elems, b += q->bytes, o += q->elems / 32) {
        if (type == Q_Q6_K)
            block_k6(b, o);
        else if (type == Q_Q4_K || type == Q_Q5_K)
            block_k45(type == Q_Q5_K, b, o);
        else
            block_32(type, b, o);
    }
}

/* ---- products ---- */

static int32_t dot16(const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += a[i] * b[i];
    return sum;
}

static double dot_row(const struct row *w, const struct act *a, int t)
{
    int width, j;
    const uint32_t *rec = act_record(a, mat_scalar.panel, t, 0, &width, &j);
    double sum = 0;
    for (int k = 0; k < a->cols; k += 32, w++, rec += ACT_WORDS) {
        const int8_t *q = (const int8_t *)rec;
        float d, dsum;
        memcpy(&d, rec + ACT_D, 4);
        memcpy(&dsum, rec + ACT_DSUM, 4);
        sum += (double)d * ((double)w->s[0] * dot16(w->q, q) + (double)w->s[1] * dot16(w->q + 16, q + 16)) + (double)w->m * (double)dsum;
    }
    return sum;
}

static void rows(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias, void *scratch)
{
    size_t row_bytes = quant_row_bytes(m->type, m->cols);
    for (int r = r0; r < r1; r++) {
        unpack_row(m->type, (const uint8_t *)m->data + (size_t)r * row_bytes, m->cols, scratch);
        for (int t = 0; t < a->n; t++)
            y[(size_t)t * (size_t)ldy + (size_t)(r - r0)] = (float)dot_row(scratch, a, t) + (bias ? bias[r - r0] : 0);
    }
}

static void float_product(enum qtype type, const void *panel, const float *x, int ld, int n, int cols, float *y, int ldy, int rows_there, const float *bias)
{
    const float *w = panel;
    float sum[MAT_PANEL] = {0};
    (void)type; /* F32 */
    (void)n;    /* 1 */
    (void)ld;
    (void)ldy;
    for (int k = 0; k < cols; k++, w += MAT_PANEL)
        for (int r = 0; r < MAT_PANEL; r++)
            sum[r] += w[r] * x[k];
    for (int r = 0; r < rows_there && r < MAT_PANEL; r++)
        y[r] = sum[r] + (bias ? bias[r] : 0);
}

const struct mat_isa mat_scalar = {.panel = 1, .float_panel = 1, .quantize = quantize, .rows = rows, .float_product = float_product};
