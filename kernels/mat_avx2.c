/*
 * Products with AVX2, FMA and F16C: as mat_avx512.c with tiles of 8 rows, and with vpmaddubsw in place of VNNI. Pairs of products are
 * summed in 16 bits as long as they must fit: 8 vectors of 4-bit codes (8 * 2 * 15 * 127), 4 of 5-bit, 2 of 6-bit codes; 8-bit codes stay
 * signed and lend their sign to the activation (1 * 2 * 128 * 127). Then vpmaddwd makes 32-bit sums of them. So integers are exact, and
 * the float sums add the same terms in the same order as on AVX-512: the two levels agree bit for bit.
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
    TILE = 8,
    PANEL = 4,       /* tokens of a register tile */
    FUSED = 4,       /* most tokens that are multiplied while unpacking */
    FLOAT_PANEL = 6, /* tokens of a float register tile, which has 16 rows */
};

/* ---- activations ---- */

INLINE int32_t reduce_add(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}

INLINE int32_t reduce_max(__m256i v)
{
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}

static void quantize(struct act *a, int t0, int t1, int c0, int c1)
{
    const __m256i abs_mask = _mm256_set1_epi32(0x7FFFFFFF), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int t = t0; t < t1; t++)
        for (int c = c0; c < c1; c += 32) {
            int w, j;
            int32_t *rec = (int32_t *)act_record(a, PANEL, t, c, &w, &j);
            const float *x = a->f + (size_t)t * (size_t)a->ld + c;
            __m256 v[4];
            __m256i i[4], m = _mm256_setzero_si256();
            for (int k = 0; k < 4; k++) {
                v[k] = _mm256_loadu_ps(x + 8 * k);
                /* As integers, magnitudes have the order of floats, and NaN is above infinity. */
                m = _mm256_max_epi32(m, _mm256_and_si256(_mm256_castps_si256(v[k]), abs_mask));
            }
            union { int32_t i; float f; } amax = {.i = reduce_max(m)};
            bool finite = amax.i < 0x7F800000;
            float d = finite ? 0 : NAN, inv = 0;
            if (finite && amax.f >= ACT_TINY) {
                inv = 127 / amax.f;
                d = amax.f / 127;
            }
            const __m256i ok = _mm256_set1_epi32(finite ? -1 : 0);
            for (int k = 0; k < 4; k++)
                i[k] = _mm256_and_si256(_mm256_cvtps_epi32(_mm256_mul_ps(v[k], _mm256_set1_ps(inv))), ok);
            int32_t q[8], h0 = reduce_add(_mm256_add_epi32(i[0], i[1])), h1 = reduce_add(_mm256_add_epi32(i[2], i[3]));
            __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
            _mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(bytes, order));
            for (int k = 0; k < 8; k++)
                rec[(ACT_Q + k) * w + j] = q[k];
            float *recf = (float *)rec;
            recf[ACT_D * w + j] = d;
            recf[ACT_DSUM * w + j] = d * (float)(h0 + h1);
            rec[ACT_N8 * w + j] = -8 * (h0 + h1);
            rec[ACT_N16 * w + j] = -16 * (h0 + h1);
            rec[ACT_N128 * w + j] = -128 * (h0 + h1);
            rec[ACT_H32 * w + j] = -32 * h0;
            rec[(ACT_H32 + 1) * w + j] = -32 * h1;
        }
}

/* ---- tile blocks (layouts: mat_impl.h) ---- */

INLINE __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256 load_half(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* The scales of a block, ready to be taken apart. */
struct head {
    __m256 d, m;        /* m: minimum, or what minima are multiplied by */
    __m256i s[4], n[2]; /* bytes of scales and minima, the first group in front */
};

INLINE void read_head(enum qtype type, const uint8_t *p, struct head *h)
{
    h->d = load_half(p);
    if (mat_form(type).min)
        h->m = load_half(p + 16);
    if (type == Q_Q4_K || type == Q_Q5_K) { /* 12 bytes a row hold 6-bit scales and minima: spec quants 4 */
        const __m256i six = _mm256_set1_epi8(63), low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(48);
        __m256i c0 = load(p + 32), c1 = load(p + 64), c2 = load(p + 96);
        h->s[0] = _mm256_and_si256(c0, six);
        h->n[0] = _mm256_and_si256(c1, six);
        h->s[1] = _mm256_or_si256(_mm256_and_si256(c2, low), _mm256_and_si256(_mm256_srli_epi32(c0, 2), high));
        h->n[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(c2, 4), low), _mm256_and_si256(_mm256_srli_epi32(c1, 2), high));
        h->m = _mm256_xor_ps(h->m, _mm256_set1_ps(-0.0f));
    } else if (type == Q_Q6_K) {
        UNROLL
        for (int i = 0; i < 4; i++)
            h->s[i] = load(p + 16 + 32 * i);
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
INLINE __m256 scale_of(enum qtype type, const struct head *h, int s, int half)
{
    if (type == Q_Q4_K || type == Q_Q5_K) {
        __m256i v = _mm256_and_si256(_mm256_srli_epi32(h->s[0], 8 * s), _mm256_set1_epi32(255));
        return _mm256_mul_ps(h->d, _mm256_cvtepi32_ps(v));
    }
    if (type == Q_Q6_K) {
        __m256i v = _mm256_slli_epi32(h->s[s / 2], 24 - 8 * (2 * (s % 2) + half));
        return _mm256_mul_ps(h->d, _mm256_cvtepi32_ps(_mm256_srai_epi32(v, 24)));
    }
    return h->d;
}

INLINE __m256 min_of(enum qtype type, const struct head *h, int s)
{
    if (type == Q_Q4_K || type == Q_Q5_K) {
        __m256i v = _mm256_and_si256(_mm256_srli_epi32(h->n[0], 8 * s), _mm256_set1_epi32(255));
        return _mm256_mul_ps(h->m, _mm256_cvtepi32_ps(v));
    }
    return h->m;
}

/* Step i of unit u: slots of 8 rows x 4 codes. */
INLINE void read_step(enum qtype type, const uint8_t *codes, int u, int i, __m256i *q)
{
    const __m256i low = _mm256_set1_epi8(15), bit = _mm256_set1_epi8(16), bits = _mm256_set1_epi8(48);
    if (type == Q_Q8_0) {
        q[0] = load(codes + 32 * i);
        return;
    }
    if (type == Q_Q6_K) {
        const uint8_t *p = codes + (u * 8 + i) * 96;
        __m256i a = load(p), b = load(p + 32), c = load(p + 64);
        q[0] = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_and_si256(_mm256_slli_epi16(c, 4), bits));
        q[1] = _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(_mm256_slli_epi16(c, 2), bits));
        q[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low), _mm256_and_si256(c, bits));
        q[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low), _mm256_and_si256(_mm256_srli_epi16(c, 2), bits));
        return;
    }
    const uint8_t *p = codes + 32 * (u * 8 + i);
    if (type == Q_Q5_K)
        p += 32 * (u * 2 + i / 4 + 1);
    __m256i v = load(p);
    q[0] = _mm256_and_si256(v, low);
    q[1] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    if (mat_form(type).bits == 5) {
        int at = i % 4;
        __m256i plane = load(p - 32 * (at + 1));
        q[0] = _mm256_or_si256(q[0], _mm256_and_si256(_mm256_slli_epi16(plane, 4 - at), bit));
        q[1] = _mm256_or_si256(q[1], _mm256_and_si256(at ? _mm256_srli_epi16(plane, at) : plane, bit));
    }
}

/* ---- sums ---- */

INLINE __m256i bcast(const uint32_t *p)
{
    return _mm256_set1_epi32((int)*p);
}

INLINE __m256 bcast_f(const uint32_t *p)
{
    return _mm256_castsi256_ps(bcast(p));
}

/* How many vectors of products fit into 16 bits. */
INLINE int fit(int bits)
{
    return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/* Pairs of products of codes and an activation dword. */
INLINE __m256i pairs(const int bits, __m256i q, __m256i x)
{
    if (bits == 8)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
    return _mm256_maddubs_epi16(q, x);
}

INLINE __m256i widen(__m256i v)
{
    return _mm256_madd_epi16(v, _mm256_set1_epi16(1));
}

INLINE __m256 add_scaled(__m256 acc, __m256i dot, __m256 scale, const uint32_t *d)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale, bcast_f(d)), acc);
}

/* n <= 8 lanes of v to y. */
INLINE void store(float *y, __m256 v, int n, const float *bias)
{
    if (n >= 8) {
        _mm256_storeu_ps(y, bias ? _mm256_add_ps(v, _mm256_loadu_ps(bias)) : v);
        return;
    }
    float lanes[8];
    _mm256_storeu_ps(lanes, v);
    for (int i = 0; i < n; i++)
        y[i] = bias ? lanes[i] + bias[i] : lanes[i];
}

/* ---- fused: up to FUSED tokens ---- */

/* One unit of one tile block times n tokens. x: the record of the unit's first block of 32. */
INLINE void fused_unit(enum qtype type, const int n, const uint8_t *codes, const struct head *h, int u, const uint32_t *x, __m256 *acc)
{
    const struct mat_form f = mat_form(type);
    const int every = fit(f.bits) < f.steps ? fit(f.bits) : f.steps;
    __m256i sum[4][FUSED], dot[4][FUSED]; /* in 16 and in 32 bits */
    UNROLL
    for (int i = 0; i < f.steps; i++) {
        __m256i q[4];
        read_step(type, codes, u, i, q);
        UNROLL
        for (int k = 0; k < f.slots; k++)
            UNROLL
            for (int j = 0; j < n; j++) {
                const uint32_t *rec = f.slots == f.subs ? x + (k * ACT_WORDS + i) * n : x + (4 * k + i) * n;
                __m256i v = pairs(f.bits, q[k], bcast(rec + j));
                sum[k][j] = i % every ? _mm256_add_epi16(sum[k][j], v) : v;
                if (i % every == every - 1) {
                    v = widen(sum[k][j]);
                    dot[k][j] = i < every || (f.halves && i % 4 < every) ? v : _mm256_add_epi32(dot[k][j], v);
                }
            }
        if (f.halves && i % 4 == 3) {
            UNROLL
            for (int s = 0; s < f.subs; s++) {
                const uint32_t *rec = x + s * ACT_WORDS * n;
                __m256 scale = scale_of(type, h, u * f.subs + s, i / 4);
                UNROLL
                for (int j = 0; j < n; j++) {
                    __m256i start = bcast(rec + (f.start + i / 4) * n + j);
                    acc[j] = add_scaled(acc[j], _mm256_add_epi32(dot[s][j], start), scale, rec + ACT_D * n + j);
                }
            }
        }
    }
    if (f.halves)
        return;
    UNROLL
    for (int s = 0; s < f.subs; s++) {
        const uint32_t *rec = x + s * ACT_WORDS * n;
        __m256 scale = scale_of(type, h, u * f.subs + s, 0), min = f.min ? min_of(type, h, u * f.subs + s) : scale;
        UNROLL
        for (int j = 0; j < n; j++) {
            __m256i v = f.slots > f.subs ? _mm256_add_epi32(dot[0][j], dot[1][j]) : dot[s][j];
            if (f.start && f.bits < 8)
                v = _mm256_add_epi32(v, bcast(rec + f.start * n + j));
            acc[j] = add_scaled(acc[j], v, scale, rec + ACT_D * n + j);
            if (f.min)
                acc[j] = _mm256_fmadd_ps(min, bcast_f(rec + ACT_DSUM * n + j), acc[j]);
        }
    }
}

INLINE void fused_n(enum qtype type, const int n, const uint8_t *p, const uint32_t *x, int blocks, float *y, int ldy, int rows, const float *bias)
{
    const struct mat_form f = mat_form(type);
    __m256 acc[FUSED];
    UNROLL
    for (int j = 0; j < n; j++)
        acc[j] = _mm256_setzero_ps();
    for (int b = 0; b < blocks; b++, p += TILE * f.bytes) {
        struct head h;
        const uint8_t *codes = p + TILE * f.codes;
        read_head(type, p, &h);
        for (int g = 0; g < f.groups; g++, codes += TILE * f.group) {
            UNROLL
            for (int u = 0; u < f.units; u++, x += f.subs * ACT_WORDS * n)
                fused_unit(type, n, codes, &h, u, x, acc);
            if (f.groups > 1)
                next_group(type, &h);
        }
    }
    UNROLL
    for (int j = 0; j < n; j++)
        store(y + (size_t)j * (size_t)ldy, acc[j], rows, bias);
}

INLINE void fused_run(enum qtype type, const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    size_t row_bytes = quant_row_bytes(type, m->cols);
    int blocks = mat_blocks(type, m->cols);
    for (int r = r0; r < r1; r += TILE, y += TILE, bias = bias ? bias + TILE : NULL) {
        const uint8_t *p = (const uint8_t *)m->data + (size_t)r * row_bytes;
        if (a->n == 1)
            fused_n(type, 1, p, a->q, blocks, y, ldy, r1 - r, bias);
        else if (a->n == 2)
            fused_n(type, 2, p, a->q, blocks, y, ldy, r1 - r, bias);
        else if (a->n == 3)
            fused_n(type, 3, p, a->q, blocks, y, ldy, r1 - r, bias);
        else
            fused_n(type, 4, p, a->q, blocks, y, ldy, r1 - r, bias);
    }
}

static int fused_max(enum qtype type)
{
    (void)type;
    return FUSED;
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

/* ---- unpacked panels: any number of tokens ---- */

/*
 * An unpacked tile: for each block of 32 columns its 8 vectors of codes, its scale, and its minimum if the type has one; Q6_K: for each 16
 * columns, in the order of the sums, 4 vectors of codes and the scale.
 */
static size_t unpacked_bytes(enum qtype type, int cols)
{
    return (size_t)cols / 32 * (mat_form(type).min || mat_form(type).halves ? 320 : 288);
}

INLINE uint8_t *unpack_unit(enum qtype type, const uint8_t *codes, const struct head *h, int u, uint8_t *dst)
{
    const struct mat_form f = mat_form(type);
    const int size = f.min ? 320 : 288;
    UNROLL
    for (int i = 0; i < f.steps; i++) {
        __m256i q[4];
        read_step(type, codes, u, i, q);
        UNROLL
        for (int k = 0; k < f.slots; k++) {
            int at = f.halves ? (i / 4 * 4 + k) * 160 + i % 4 * 32 : f.slots == f.subs ? k * size + 32 * i : 32 * (4 * k + i);
            _mm256_store_si256((__m256i *)(dst + at), q[k]);
        }
    }
    UNROLL
    for (int s = 0; s < f.subs; s++) {
        int block = u * f.subs + s;
        if (f.halves) {
            _mm256_store_ps((float *)(dst + s * 160 + 128), scale_of(type, h, block, 0));
            _mm256_store_ps((float *)(dst + (s + 4) * 160 + 128), scale_of(type, h, block, 1));
        } else {
            _mm256_store_ps((float *)(dst + s * size + 256), scale_of(type, h, block, 0));
            if (f.min)
                _mm256_store_ps((float *)(dst + s * size + 288), min_of(type, h, block));
        }
    }
    return dst + (f.halves ? 1280 : f.subs * size);
}

INLINE void unpack_type(enum qtype type, const uint8_t *p, int blocks, uint8_t *dst)
{
    const struct mat_form f = mat_form(type);
    for (int b = 0; b < blocks; b++, p += TILE * f.bytes) {
        struct head h;
        const uint8_t *codes = p + TILE * f.codes;
        read_head(type, p, &h);
        for (int g = 0; g < f.groups; g++, codes += TILE * f.group) {
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

/* `type` stands for all types with its bits, minimum and halves. */
INLINE void tile_n(enum qtype type, const int n, const uint8_t *p, const uint32_t *x, int cols, float *y, int ldy, int rows, const float *bias)
{
    const struct mat_form f = mat_form(type);
    const int parts = f.halves ? 8 : 1, steps = f.halves ? 4 : 8, every = fit(f.bits);
    __m256 acc[PANEL];
    UNROLL
    for (int j = 0; j < n; j++)
        acc[j] = _mm256_setzero_ps();
    for (int k = 0; k < cols; k += f.halves ? 128 : 32) {
        for (int part = 0; part < parts; part++) {
            const uint32_t *rec = f.halves ? x + part % 4 * ACT_WORDS * n : x;
            const uint32_t *q = rec + (f.halves ? part / 4 * 4 : 0) * n;
            const uint32_t *start = rec + (f.start + (f.halves ? part / 4 : 0)) * n;
            __m256i sum[PANEL], dot[PANEL];
            UNROLL
            for (int i = 0; i < steps; i++) {
                __m256i v = load(p + 32 * i);
                UNROLL
                for (int j = 0; j < n; j++) {
                    __m256i t = pairs(f.bits, v, bcast(q + i * n + j));
                    sum[j] = i % every ? _mm256_add_epi16(sum[j], t) : t;
                    if (i % every == every - 1)
                        dot[j] = i < every ? widen(sum[j]) : _mm256_add_epi32(dot[j], widen(sum[j]));
                }
            }
            p += 32 * steps;
            __m256 scale = _mm256_load_ps((const float *)p);
            UNROLL
            for (int j = 0; j < n; j++) {
                if (f.start && f.bits < 8)
                    dot[j] = _mm256_add_epi32(dot[j], bcast(start + j));
                acc[j] = add_scaled(acc[j], dot[j], scale, rec + ACT_D * n + j);
            }
            p += 32;
            if (f.min) {
                __m256 min = _mm256_load_ps((const float *)p);
                UNROLL
                for (int j = 0; j < n; j++)
                    acc[j] = _mm256_fmadd_ps(min, bcast_f(rec + ACT_DSUM * n + j), acc[j]);
                p += 32;
            }
        }
        x += (f.halves ? 4 : 1) * ACT_WORDS * n;
    }
    UNROLL
    for (int j = 0; j < n; j++)
        store(y + (size_t)j * (size_t)ldy, acc[j], rows, bias);
}

INLINE void tile_any(enum qtype type, const uint8_t *p, const uint32_t *x, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
    if (w == 1)
        tile_n(type, 1, p, x, cols, y, ldy, rows, bias);
    else if (w == 2)
        tile_n(type, 2, p, x, cols, y, ldy, rows, bias);
    else if (w == 3)
        tile_n(type, 3, p, x, cols, y, ldy, rows, bias);
    else
        tile_n(type, 4, p, x, cols, y, ldy, rows, bias);
}

static void product(enum qtype type, const uint8_t *p, const uint32_t *x, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
    switch (type) {
#define CASE(t)                                                \
    case t:                                                    \
        tile_any(t, p, x, w, cols, y, ldy, rows, bias);        \
        break;
        CASE(Q_Q4_0)
        CASE(Q_Q5_0)
        CASE(Q_Q6_K)
        CASE(Q_Q8_0)
    case Q_Q4_K:
        CASE(Q_Q4_1)
    case Q_Q5_K:
        CASE(Q_Q5_1)
#undef CASE
    default:
        break;
    }
}

/* ---- floats ---- */

/* Eight rows of column k of a [k][16] panel; half 0 or 1. */
INLINE __m256 column(enum qtype type, const void *p, size_t k, int half)
{
    if (type == Q_F32)
        return _mm256_loadu_ps((const float *)p + 16 * k + 8 * half);
    __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)p + 16 * k + 8 * half));
    if (type == Q_F16)
        return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* np panels x n tokens, ld floats between them. */
INLINE void float_tile(enum qtype type, const int np, const int n, const char *p, size_t panel_bytes, const float *x, size_t ld,
                       int cols, float *y, int ldy, int rows, const float *bias)
{
    __m256 acc[8][FLOAT_PANEL];
    UNROLL
    for (int i = 0; i < 2 * np; i++)
        UNROLL
        for (int j = 0; j < n; j++)
            acc[i][j] = _mm256_setzero_ps();
    for (size_t k = 0; k < (size_t)cols; k++, x++) {
        __m256 w[8];
        UNROLL
        for (int i = 0; i < 2 * np; i++)
            w[i] = column(type, p + (size_t)(i / 2) * panel_bytes, k, i % 2);
        UNROLL
        for (int j = 0; j < n; j++) {
            __m256 v = _mm256_set1_ps(x[(size_t)j * ld]);
            UNROLL
            for (int i = 0; i < 2 * np; i++)
                acc[i][j] = _mm256_fmadd_ps(w[i], v, acc[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < 2 * np; i++)
        UNROLL
        for (int j = 0; j < n; j++)
            if (rows > 8 * i)
                store(y + (size_t)j * (size_t)ldy + 8 * i, acc[i][j], rows - 8 * i, bias ? bias + 8 * i : NULL);
}

/* One or two tokens: panels side by side hide the latency of the chains. */
INLINE void few_run(enum qtype type, const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias)
{
    size_t panel_bytes = (size_t)m->cols * (type == Q_F32 ? 64 : 32), ld = (size_t)a->ld;
    const char *p = (const char *)m->data + (size_t)(r0 / 16) * panel_bytes;
    for (int rows = r1 - r0, step; rows > 0; rows -= step, y += step, p += (size_t)(step / 16) * panel_bytes, bias = bias ? bias + step : NULL) {
#define CALL(np, n) float_tile(type, np, n, p, panel_bytes, a->f, ld, m->cols, y, ldy, rows, bias)
        step = rows > 48 ? 64 : rows > 16 ? 32 : 16;
        if (a->n == 2 && step == 64)
            step = 32;
        if (step == 64)
            CALL(4, 1);
        else if (step == 32)
            a->n == 1 ? CALL(2, 1) : CALL(2, 2);
        else
            a->n == 1 ? CALL(1, 1) : CALL(1, 2);
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

INLINE void float_any(enum qtype type, const void *p, const float *x, int ld, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
#define CASE(n)                                                                                     \
    case n:                                                                                         \
        float_tile(type, 1, n, p, 0, x, (size_t)ld, cols, y, ldy, rows, bias);                            \
        break;
    switch (w) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
    }
#undef CASE
}

static void float_product(enum qtype type, const void *p, const float *x, int ld, int w, int cols, float *y, int ldy, int rows, const float *bias)
{
    if (type == Q_F32)
        float_any(Q_F32, p, x, ld, w, cols, y, ldy, rows, bias);
    else if (type == Q_F16)
        float_any(Q_F16, p, x, ld, w, cols, y, ldy, rows, bias);
    else
        float_any(Q_BF16, p, x, ld, w, cols, y, ldy, rows, bias);
}

const struct mat_isa mat_avx2 = {
    .tile = TILE, .panel = PANEL,  .few = 2, .float_panel = FLOAT_PANEL, .halves = true,
    .quantize = quantize, .fused_max = fused_max, .fused_product = fused_product, .unpacked_bytes = unpacked_bytes, .unpack = unpack, .product = product,
    .float_few = float_few, .float_product = float_product,
};
