/*
 * Products with AVX-512 and VNNI (F, BW, DQ, VL, VNNI). A vector is 16 rows: four consecutive columns of each as bytes (quantized), or
 * one column as a float. An activation dword is broadcast against it, so there is no sum across lanes.
 *
 * Weights stay unsigned (vpdpbusd wants it so); a type's offset comes back through the start value of the integer sum, -offset * sum(q).
 * Integer sums of 32 columns (Q6_K: 16) are exact. The float sum of an output adds, block after block in one order,
 *   fma(int, scale * d, acc), then for types with a minimum fma(min, d * sum, acc)
 * and both ways through this file, fused (up to FUSED tokens) and over unpacked panels (more), do exactly that: the results are equal bit
 * for bit. Q6_K goes by 128 columns: the first halves of its four blocks of 32, then the second halves. Floats: fma over k, one chain.
 *
 * Everything but the table at the end is static: an inline function shared with other files could become the copy the linker keeps.
 */
#include "config.h"
#include "kernels/mat_impl.h"

#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum {
    PANEL = 12,  /* tokens of a register tile */
    FUSED = 8,   /* most tokens that are multiplied while unpacking: 2 * 8 integer and 8 float sums */
};

/* ---- activations ---- */

/* What two blocks of 32 become: lanes 0, 1 (of 128 bits) are the halves of the first, 2, 3 of the second. */
struct rounded {
    int32_t q[16], half[16], sum[16];
    float d[8], dsum[8]; /* the first block's is [0], the second's [4] */
};

INLINE void round_two(__m512 x0, __m512 x1, __m512 x2, __m512 x3, struct rounded *o)
{
    const __m512i abs_mask = _mm512_set1_epi32(0x7FFFFFFF), order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    /* As integers, magnitudes have the order of floats, and NaN is above infinity. */
    __m512i m0 = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x0), abs_mask), _mm512_and_si512(_mm512_castps_si512(x1), abs_mask));
    __m512i m1 = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(x2), abs_mask), _mm512_and_si512(_mm512_castps_si512(x3), abs_mask));
    __m512i m = _mm512_max_epi32(_mm512_shuffle_i32x4(m0, m1, 0x44), _mm512_shuffle_i32x4(m0, m1, 0xEE));
    m = _mm512_max_epi32(m, _mm512_shuffle_i32x4(m, m, 0xB1));
    m = _mm512_max_epi32(m, _mm512_shuffle_epi32(m, 0x4E));
    m = _mm512_max_epi32(m, _mm512_shuffle_epi32(m, 0xB1));
    __m256i amax_bits = _mm512_castsi512_si256(_mm512_shuffle_i32x4(m, m, 0x08));
    __m256 amax = _mm256_castsi256_ps(amax_bits);
    __mmask8 odd = _mm256_cmpge_epi32_mask(amax_bits, _mm256_set1_epi32(0x7F800000));
    __mmask8 ok = _mm256_cmp_ps_mask(amax, _mm256_set1_ps(ACT_TINY), _CMP_GE_OQ) & (__mmask8)~odd;
    __m256 inv = _mm256_maskz_div_ps(ok, _mm256_set1_ps(127), amax), d = _mm256_maskz_div_ps(ok, amax, _mm256_set1_ps(127));
    d = _mm256_mask_mov_ps(d, odd, _mm256_set1_ps(NAN));
    __m512 inv0 = _mm512_broadcastss_ps(_mm256_castps256_ps128(inv)), inv1 = _mm512_broadcastss_ps(_mm256_extractf128_ps(inv, 1));
    /* Of a block that is not finite any integers will do: its scale is NaN. */
    __m512i i0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inv0)), i1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inv0));
    __m512i i2 = _mm512_cvtps_epi32(_mm512_mul_ps(x2, inv1)), i3 = _mm512_cvtps_epi32(_mm512_mul_ps(x3, inv1));
    __m512i q = _mm512_packs_epi16(_mm512_packs_epi32(i0, i1), _mm512_packs_epi32(i2, i3));
    q = _mm512_permutexvar_epi32(order, q);
    __m512i half = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), q);
    half = _mm512_add_epi32(half, _mm512_shuffle_epi32(half, 0x4E));
    half = _mm512_add_epi32(half, _mm512_shuffle_epi32(half, 0xB1));
    __m512i sum = _mm512_add_epi32(half, _mm512_shuffle_i32x4(half, half, 0xB1));
    _mm512_storeu_si512(o->q, q);
    _mm512_storeu_si512(o->half, half);
    _mm512_storeu_si512(o->sum, sum);
    _mm256_storeu_ps(o->d, d);
    _mm256_storeu_ps(o->dsum, _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm512_castsi512_si256(_mm512_shuffle_i32x4(sum, sum, 0x08)))));
}

/* Block b (0, 1) to a record of w tokens; rec is at the token. */
INLINE void put_record(const struct rounded *o, int b, uint32_t *rec, const int w)
{
    int32_t *r = (int32_t *)rec, sum = o->sum[8 * b];
    float *f = (float *)rec;
    UNROLL
    for (int i = 0; i < 8; i++)
        r[(ACT_Q + i) * w] = o->q[8 * b + i];
    f[ACT_D * w] = o->d[4 * b];
    f[ACT_DSUM * w] = o->dsum[4 * b];
    r[ACT_N8 * w] = -8 * sum;
    r[ACT_N16 * w] = -16 * sum;
    r[ACT_N128 * w] = -128 * sum;
    r[ACT_H32 * w] = -32 * o->half[8 * b];
    r[(ACT_H32 + 1) * w] = -32 * o->half[8 * b + 4];
}

INLINE void quantize_row(const float *x, uint32_t *rec, const int w, int n)
{
    const __m512 zero = _mm512_setzero_ps();
    struct rounded o;
    for (; n > 0; n -= 64, x += 64, rec += 2 * ACT_WORDS * w) {
        bool two = n > 32;
        round_two(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), two ? _mm512_loadu_ps(x + 32) : zero, two ? _mm512_loadu_ps(x + 48) : zero, &o);
        put_record(&o, 0, rec, w);
        if (two)
            put_record(&o, 1, rec + ACT_WORDS * w, w);
    }
}

static void quantize(struct act *a, int t0, int t1, int c0, int c1)
{
    for (int t = t0; t < t1; t++) {
        int w, j;
        uint32_t *rec = act_record(a, PANEL, t, c0, &w, &j) + j;
        const float *x = a->f + (size_t)t * (size_t)a->ld + c0;
        if (w == PANEL)
            quantize_row(x, rec, PANEL, c1 - c0);
        else if (w == 1)
            quantize_row(x, rec, 1, c1 - c0);
        else
            quantize_row(x, rec, w, c1 - c0);
    }
}

/* ---- tile blocks (layouts: mat_impl.h) ---- */

INLINE __m512i load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

INLINE __m512 load_half(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* The scales of a block, ready to be taken apart. */
struct head {
    __m512 d, m;        /* m: minimum, or what minima are multiplied by */
    __m512i s[4], n[2]; /* bytes of scales and minima, the first group in front */
};

INLINE void read_head(enum qtype type, const uint8_t *p, struct head *h)
{
    h->d = load_half(p);
    if (mat_form(type).min)
        h->m = load_half(p + 32);
    if (type == Q_Q4_K || type == Q_Q5_K) { /* 12 bytes a row hold 6-bit scales and minima: spec quants 4 */
        const __m512i six = _mm512_set1_epi8(63), low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(48);
        __m512i c0 = load(p + 64), c1 = load(p + 128), c2 = load(p + 192);
        h->s[0] = _mm512_and_si512(c0, six);
        h->n[0] = _mm512_and_si512(c1, six);
        h->s[1] = _mm512_or_si512(_mm512_and_si512(c2, low), _mm512_and_si512(_mm512_srli_epi32(c0, 2), high));
        h->n[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(c2, 4), low), _mm512_and_si512(_mm512_srli_epi32(c1, 2), high));
        h->m = _mm512_xor_ps(h->m, _mm512_set1_ps(-0.0f));
    } else if (type == Q_Q6_K) {
        UNROLL
        for (int i = 0; i < 4; i++)
            h->s[i] = load(p + 32 + 64 * i);
    }
}

/* Brings the scales of a block's second group to where the first group's were. */
INLINE void next_group(enum qtype type, struct head *h)
{
    if (type == Q_Q6_K) {
        h->s[0] = h->s[2];
        h->s[1] = h->s[3];
    } else {
        h->s[0] = h->s[1];
        h->n[0] = h->n[1];
    }
}

/* Scale (its half `half`) and minimum of block `s` of 32 of the group. All products are exact. */
INLINE __m512 scale_of(enum qtype type, const struct head *h, int s, int half)
{
    if (type == Q_Q4_K || type == Q_Q5_K) {
        __m512i v = _mm512_and_si512(_mm512_srli_epi32(h->s[0], (unsigned)(8 * s)), _mm512_set1_epi32(255));
        return _mm512_mul_ps(h->d, _mm512_cvtepi32_ps(v));
    }
    if (type == Q_Q6_K) {
        __m512i v = _mm512_slli_epi32(h->s[s / 2], (unsigned)(24 - 8 * (2 * (s % 2) + half)));
        return _mm512_mul_ps(h->d, _mm512_cvtepi32_ps(_mm512_srai_epi32(v, 24)));
    }
    return h->d;
}

INLINE __m512 min_of(enum qtype type, const struct head *h, int s)
{
    if (type == Q_Q4_K || type == Q_Q5_K) {
        __m512i v = _mm512_and_si512(_mm512_srli_epi32(h->n[0], (unsigned)(8 * s)), _mm512_set1_epi32(255));
        return _mm512_mul_ps(h->m, _mm512_cvtepi32_ps(v));
    }
    return h->m;
}

/* Step i of unit u: slots of 16 rows x 4 codes. Slot k holds columns 4i.. of block k of the unit; of nibble types with one block, slot 1 is 16 + 4i.. */
INLINE void read_step(enum qtype type, const uint8_t *codes, int u, int i, __m512i *q)
{
    const __m512i low = _mm512_set1_epi8(15), bit = _mm512_set1_epi8(16), bits = _mm512_set1_epi8(48);
    if (type == Q_Q8_0) {
        q[0] = load(codes + 64 * i);
        return;
    }
    if (type == Q_Q6_K) {
        const uint8_t *p = codes + (u * 8 + i) * 192;
        __m512i a = load(p), b = load(p + 64), c = load(p + 128);
        q[0] = _mm512_ternarylogic_epi32(a, low, _mm512_and_si512(_mm512_slli_epi16(c, 4), bits), 0xEA); /* a & low | c4 */
        q[1] = _mm512_ternarylogic_epi32(b, low, _mm512_and_si512(_mm512_slli_epi16(c, 2), bits), 0xEA);
        q[2] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(a, 4), low, _mm512_and_si512(c, bits), 0xEA);
        q[3] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(b, 4), low, _mm512_and_si512(_mm512_srli_epi16(c, 2), bits), 0xEA);
        return;
    }
    const uint8_t *p = codes + 64 * (u * 8 + i);
    if (type == Q_Q5_K)
        p += 64 * (u * 2 + i / 4 + 1);
    __m512i v = load(p), w = _mm512_srli_epi16(v, 4);
    if (mat_form(type).bits == 5) {
        int at = i % 4;
        __m512i plane = load(p - 64 * (at + 1));
        q[0] = _mm512_ternarylogic_epi32(v, low, _mm512_and_si512(_mm512_slli_epi16(plane, (unsigned)(4 - at)), bit), 0xEA);
        q[1] = _mm512_ternarylogic_epi32(w, low, _mm512_and_si512(at ? _mm512_srli_epi16(plane, (unsigned)at) : plane, bit), 0xEA);
    } else {
        q[0] = _mm512_and_si512(v, low);
        q[1] = _mm512_and_si512(w, low);
    }
}

/* ---- what is added to a float sum, the same everywhere ---- */

INLINE __m512i bcast(const uint32_t *p)
{
    return _mm512_set1_epi32((int)*p);
}

INLINE __m512 bcast_f(const uint32_t *p)
{
    return _mm512_castsi512_ps(bcast(p));
}

INLINE __m512 add_scaled(__m512 acc, __m512i dot, __m512 scale, const uint32_t *d)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale, bcast_f(d)), acc);
}

INLINE void store(float *y, __m512 v, __mmask16 mask, const float *bias)
{
    if (bias)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, bias));
    _mm512_mask_storeu_ps(y, mask, v);
}

INLINE __mmask16 rows_mask(int n)
{
    return n >= 16 ? 0xFFFF : (__mmask16)((1u << n) - 1);
}

/* ---- fused: up to FUSED tokens ---- */

/*
 * One unit of one tile block times n tokens. x: the record of the unit's first block of 32. Two slots of one block have sums of their own
 * as long as there are few chains to fill the pipeline with.
 */
INLINE void fused_unit(enum qtype type, const int n, const uint8_t *codes, const struct head *h, int u, const uint32_t *x, __m512 *acc)
{
    const struct mat_form f = mat_form(type);
    const bool split = f.slots > f.subs && n <= 4;
    const int sums = split ? f.slots : f.subs;
    __m512i dot[4][FUSED];
    UNROLL
    for (int i = 0; i < f.steps; i++) {
        __m512i q[4];
        if (i == 0 || (f.halves && i == 4)) {
            UNROLL
            for (int k = 0; k < sums; k++)
                UNROLL
                for (int j = 0; j < n; j++) {
                    const uint32_t *rec = x + (f.slots == f.subs ? k : 0) * ACT_WORDS * n + j;
                    dot[k][j] = _mm512_setzero_si512();
                    if (f.start && (f.halves || k == 0))
                        dot[k][j] = bcast(rec + (f.start + i / 4) * n);
                }
        }
        read_step(type, codes, u, i, q);
        UNROLL
        for (int k = 0; k < f.slots; k++)
            UNROLL
            for (int j = 0; j < n; j++) {
                const uint32_t *rec = f.slots == f.subs ? x + (k * ACT_WORDS + i) * n : x + (4 * k + i) * n;
                int sum = k < sums ? k : 0;
                dot[sum][j] = _mm512_dpbusd_epi32(dot[sum][j], q[k], bcast(rec + j));
            }
        if (f.halves && i % 4 == 3) {
            UNROLL
            for (int s = 0; s < f.subs; s++) {
                __m512 scale = scale_of(type, h, u * f.subs + s, i / 4);
                UNROLL
                for (int j = 0; j < n; j++)
                    acc[j] = add_scaled(acc[j], dot[s][j], scale, x + (s * ACT_WORDS + ACT_D) * n + j);
            }
        }
    }
    if (f.halves)
        return;
    UNROLL
    for (int s = 0; s < f.subs; s++) {
        const uint32_t *rec = x + s * ACT_WORDS * n;
        __m512 scale = scale_of(type, h, u * f.subs + s, 0), min = f.min ? min_of(type, h, u * f.subs + s) : scale;
        UNROLL
        for (int j = 0; j < n; j++) {
            __m512i sum = split ? _mm512_add_epi32(dot[0][j], dot[1][j]) : dot[s][j];
            acc[j] = add_scaled(acc[j], sum, scale, rec + ACT_D * n + j);
            if (f.min)
                acc[j] = _mm512_fmadd_ps(min, bcast_f(rec + ACT_DSUM * n + j), acc[j]);
        }
    }
}

INLINE void fused_n(enum qtype type, const int n, const uint8_t *p, const uint32_t *x, int blocks, float *y, int ldy, __mmask16 mask,
                    const float *bias)
{
    const struct mat_form f = mat_form(type);
    __m512 acc[FUSED];
    UNROLL
    for (int j = 0; j < n; j++)
        acc[j] = _mm512_setzero_ps();
    for (int b = 0; b < blocks; b++, p += 16 * f.bytes) {
        struct head h;
        const uint8_t *codes = p + 16 * f.codes;
        read_head(type, p, &h);
        for (int g = 0; g < f.groups; g++, codes += 16 * f.group) {
            UNROLL
            for (int u = 0; u < f.units; u++, x += f.subs * ACT_WORDS * n)
                fused_unit(type, n, codes, &h, u, x, acc);
            if (f.groups > 1)
                next_group(type, &h);
        }
    }
    UNROLL
    for (int j = 0; j < n; j++)
        store(y + (size_t)j * (size_t)ldy, acc[j], mask, bias);
}

/* ---- unpacked panels: any number of tokens ---- */

/*
 * An unpacked panel: for each block of 32 columns its 8 vectors of codes, its scale, and its minimum if the type has one; Q6_K: for each
 * 16 columns, in the order of the sums, 4 vectors of codes and the scale.
 */
static size_t unpacked_bytes(enum qtype type, int cols)
{
    return (size_t)cols / 32 * (mat_form(type).min || mat_form(type).halves ? 640 : 576);
}

INLINE uint8_t *unpack_unit(enum qtype type, const uint8_t *codes, const struct head *h, int u, uint8_t *dst)
{
    const struct mat_form f = mat_form(type);
    const int size = f.min ? 640 : 576;
    UNROLL
    for (int i = 0; i < f.steps; i++) {
        __m512i q[4];
        read_step(type, codes, u, i, q);
        UNROLL
        for (int k = 0; k < f.slots; k++) {
            int at = f.halves ? (i / 4 * 4 + k) * 320 + i % 4 * 64 : f.slots == f.subs ? k * size + 64 * i : 64 * (4 * k + i);
            _mm512_store_si512(dst + at, q[k]);
        }
    }
    UNROLL
    for (int s = 0; s < f.subs; s++) {
        int block = u * f.subs + s;
        if (f.halves) {
            _mm512_store_ps(dst + s * 320 + 256, scale_of(type, h, block, 0));
            _mm512_store_ps(dst + (s + 4) * 320 + 256, scale_of(type, h, block, 1));
        } else {
            _mm512_store_ps(dst + s * size + 512, scale_of(type, h, block, 0));
            if (f.min)
                _mm512_store_ps(dst + s * size + 576, min_of(type, h, block));
        }
    }
    return dst + (f.halves ? 2560 : f.subs * size);
}

INLINE void unpack_type(enum qtype type, const uint8_t *p, int blocks, uint8_t *dst)
{
    const struct mat_form f = mat_form(type);
    for (int b = 0; b < blocks; b++, p += 16 * f.bytes) {
        struct head h;
        const uint8_t *codes = p + 16 * f.codes;
        read_head(type, p, &h);
        for (int g = 0; g < f.groups; g++, codes += 16 * f.group) {
            UNROLL
            for (int u = 0; u < f.units; u++)
                dst = unpack_unit(type, codes, &h, u, dst);
            if (f.groups > 1)
                next_group(type, &h);
        }
    }
}

static void unpack(enum qtype type, const uint8_t *p, int cols, uint8_t *dst)
{
    switch (type) {
#define CASE(t)                                                                     \
    case t:                                                \
        unpack_type(t, p, mat_blocks(t, cols), dst); \
        break;
        MAT_INTEGER_CASES(CASE)
#undef CASE
    default:
        break;
    }
}

enum kind { OFFSET, MIN, HALVES };

INLINE void tile_w(const enum kind kind, const int w, const uint8_t *p, const uint32_t *x, int cols, int start, float *y, int ldy, __mmask16 mask,
                   const float *bias)
{
    __m512 acc[PANEL];
    __m512i dot[PANEL];
    const int parts = kind == HALVES ? 8 : 1, steps = kind == HALVES ? 4 : 8;
    UNROLL
    for (int j = 0; j < w; j++)
        acc[j] = _mm512_setzero_ps();
    for (int k = 0; k < cols; k += kind == HALVES ? 128 : 32) {
        for (int part = 0; part < parts; part++) {
            const uint32_t *rec = kind == HALVES ? x + part % 4 * ACT_WORDS * w : x;
            const uint32_t *q = rec + (kind == HALVES ? part / 4 * 4 : 0) * w;
            const uint32_t *first = rec + (start + (kind == HALVES ? part / 4 : 0)) * w;
            UNROLL
            for (int j = 0; j < w; j++)
                dot[j] = kind == MIN ? _mm512_setzero_si512() : bcast(first + j);
            UNROLL
            for (int i = 0; i < steps; i++) {
                __m512i v = load(p + 64 * i);
                UNROLL
                for (int j = 0; j < w; j++)
                    dot[j] = _mm512_dpbusd_epi32(dot[j], v, bcast(q + i * w + j));
            }
            p += kind == HALVES ? 256 : 512;
            __m512 scale = _mm512_load_ps(p);
            UNROLL
            for (int j = 0; j < w; j++)
                acc[j] = add_scaled(acc[j], dot[j], scale, rec + ACT_D * w + j);
            p += 64;
            if (kind == MIN) {
                __m512 min = _mm512_load_ps(p);
                UNROLL
                for (int j = 0; j < w; j++)
                    acc[j] = _mm512_fmadd_ps(min, bcast_f(rec + ACT_DSUM * w + j), acc[j]);
                p += 64;
            }
        }
        x += (kind == HALVES ? 4 : 1) * ACT_WORDS * w;
    }
    UNROLL
    for (int j = 0; j < w; j++)
        store(y + (size_t)j * (size_t)ldy, acc[j], mask, bias);
}

/* Calls f(..., w, ...) with w as a constant. */
#define FOR_WIDTH(w, call) \
    switch (w) {           \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    case 6: call(6); break; \
    case 7: call(7); break; \
    case 8: call(8); break; \
    case 9: call(9); break; \
    case 10: call(10); break; \
    case 11: call(11); break; \
    default: call(12); break; \
    }

static void product(enum qtype type, const uint8_t *p, const uint32_t *x, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
    const struct mat_form f = mat_form(type);
    const __mmask16 mask = rows_mask(rows);
#define CALL(w) tile_w(MIN, w, p, x, cols, 0, y, ldy, mask, bias)
    if (f.min) {
        FOR_WIDTH(w, CALL)
        return;
    }
#undef CALL
#define CALL(w) tile_w(HALVES, w, p, x, cols, f.start, y, ldy, mask, bias)
    if (f.halves) {
        FOR_WIDTH(w, CALL)
        return;
    }
#undef CALL
#define CALL(w) tile_w(OFFSET, w, p, x, cols, f.start, y, ldy, mask, bias)
    FOR_WIDTH(w, CALL)
#undef CALL
}

INLINE void fused_run(enum qtype type, const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    size_t row_bytes = quant_row_bytes(type, m->cols);
    int blocks = mat_blocks(type, m->cols);
    for (int r = r0; r < r1; r += MAT_PANEL, y += MAT_PANEL, bias = bias ? bias + MAT_PANEL : NULL) {
        const uint8_t *p = (const uint8_t *)m->data + (size_t)r * row_bytes;
        __mmask16 mask = rows_mask(r1 - r);
        switch (a->n) {
#define CASE(n)                                                              \
    case n:                                                                  \
        fused_n(type, n, p, a->q, blocks, y, ldy, mask, bias);               \
        break;
            CASE(1)
            CASE(2)
            CASE(3)
            CASE(4)
        default:
            if (mat_form(type).subs > 2)
                break;
            switch (a->n) {
                CASE(5)
                CASE(6)
                CASE(7)
                CASE(8)
            }
#undef CASE
        }
    }
}

static int fused_max(enum qtype type)
{
    return mat_form(type).subs > 2 ? 4 : FUSED;
}

static void fused_product(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    switch (m->type) {
#define CASE(t)                                       \
    case t:                                           \
        fused_run(t, m, a, r0, r1, y, ldy, bias);     \
        break;
        MAT_INTEGER_CASES(CASE)
#undef CASE
    default:
        break;
    }
}

/* ---- floats ---- */

/* 16 rows of column k of a [k][16] panel. */
INLINE __m512 column(enum qtype type, const void *p, size_t k)
{
    if (type == Q_F32)
        return _mm512_loadu_ps((const float *)p + 16 * k);
    __m256i h = _mm256_loadu_si256((const __m256i *)((const uint16_t *)p + 16 * k));
    if (type == Q_F16)
        return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* np panels x n tokens, ld floats between them. */
INLINE void float_tile(enum qtype type, const int np, const int n, const char *p, size_t panel_bytes, const float *x, size_t ld,
                       int cols, float *y, int ldy, int rows, const float *bias)
{
    __m512 acc[4][PANEL];
    UNROLL
    for (int i = 0; i < np; i++)
        UNROLL
        for (int j = 0; j < n; j++)
            acc[i][j] = _mm512_setzero_ps();
    for (size_t k = 0; k < (size_t)cols; k++, x++) {
        __m512 w[4];
        UNROLL
        for (int i = 0; i < np; i++)
            w[i] = column(type, p + (size_t)i * panel_bytes, k);
        UNROLL
        for (int j = 0; j < n; j++) {
            __m512 v = _mm512_set1_ps(x[(size_t)j * ld]);
            UNROLL
            for (int i = 0; i < np; i++)
                acc[i][j] = _mm512_fmadd_ps(w[i], v, acc[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < np; i++)
        UNROLL
        for (int j = 0; j < n; j++)
            if (rows > 16 * i)
                store(y + (size_t)j * (size_t)ldy + 16 * i, acc[i][j], rows_mask(rows - 16 * i), bias ? bias + 16 * i : NULL);
}

/* Up to 3 tokens: four panels side by side hide the latency of the chains. */
INLINE void few_run(enum qtype type, const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    size_t panel_bytes = (size_t)m->cols * (type == Q_F32 ? 64 : 32), ld = (size_t)a->ld;
    const char *p = (const char *)m->data + (size_t)(r0 / 16) * panel_bytes;
    for (int rows = r1 - r0, step; rows > 0; rows -= step, y += step, p += (size_t)(step / 16) * panel_bytes, bias = bias ? bias + step : NULL) {
#define CALL(np, n) float_tile(type, np, n, p, panel_bytes, a->f, ld, m->cols, y, ldy, rows, bias)
        step = rows > 48 ? 64 : 16;
        if (step == 64)
            a->n == 1 ? CALL(4, 1) : a->n == 2 ? CALL(4, 2) : CALL(4, 3);
        else
            a->n == 1 ? CALL(1, 1) : a->n == 2 ? CALL(1, 2) : CALL(1, 3);
#undef CALL
    }
}

static void float_few(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    if (m->type == Q_F32)
        few_run(Q_F32, m, a, r0, r1, y, ldy, bias);
    else if (m->type == Q_F16)
        few_run(Q_F16, m, a, r0, r1, y, ldy, bias);
    else
        few_run(Q_BF16, m, a, r0, r1, y, ldy, bias);
}

static void float_product(enum qtype type, const void *p, const float *x, int ld, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
#define CALL(w) float_tile(Q_F32, 1, w, p, 0, x, (size_t)ld, cols, y, ldy, rows, bias)
    if (type == Q_F32) {
        FOR_WIDTH(w, CALL)
        return;
    }
#undef CALL
#define CALL(w) float_tile(Q_F16, 1, w, p, 0, x, (size_t)ld, cols, y, ldy, rows, bias)
    if (type == Q_F16) {
        FOR_WIDTH(w, CALL)
        return;
    }
#undef CALL
#define CALL(w) float_tile(Q_BF16, 1, w, p, 0, x, (size_t)ld, cols, y, ldy, rows, bias)
    FOR_WIDTH(w, CALL)
#undef CALL
}

const struct mat_isa mat_avx512 = {
    .tile = 16, .panel = PANEL,  .few = 3, .float_panel = PANEL, .halves = true,
    .quantize = quantize, .fused_max = fused_max, .fused_product = fused_product, .unpacked_bytes = unpacked_bytes, .unpack = unpack, .product = product,
    .float_few = float_few, .float_product = float_product,
};
