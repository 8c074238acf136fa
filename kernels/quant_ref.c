/*
 * The scalar truth of every tensor encoding (spec: quants). One function a type decodes whole blocks to float32; one table names the
 * types. Nothing here is fast, everything else is tested against it.
 *
 * Invariants: products of code, scale and block scale are exact in float32; types with a minimum round once, in the last addition. So
 * any order of evaluation gives the same bits. Bytes are little-endian, blocks are not aligned.
 *
 * Missing: the codebook types IQ1_*, IQ2_* and IQ3_* have sizes but no decoder (their grids are data that cannot be derived).
 */
#include "config.h"
#include "kernels/quant.h"

#include <string.h>

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)u16(p) | (uint32_t)u16(p + 2) << 16;
}

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* ---- 16-bit floats ---- */

float quant_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
    if (e == 31)
        return from_bits(sign | 0x7F800000 | m << 13);
    if (e)
        return from_bits(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 0x1p-24f;
    return sign ? -f : f;
}

uint16_t quant_f32_to_f16(float f)
{
    uint32_t u = to_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7FFFFFFF;
    if (a > 0x7F800000) /* NaN, made quiet */
        return (uint16_t)(sign | 0x7E00 | (a >> 13 & 1023));
    if (a >= 0x477FF000) /* rounds to 65536 or is infinite */
        return (uint16_t)(sign | 0x7C00);
    if (a < 0x38800000) { /* below 2^-14: a multiple of 2^-24; adding 0.5 puts it into the last bits, rounded to nearest even */
        uint32_t r = to_bits(from_bits(a) + 0.5f) - 0x3F000000;
        return (uint16_t)(sign | r);
    }
    a += 0xFFF + (a >> 13 & 1); /* nearest even; a carry goes into the exponent as it should */
    return (uint16_t)(sign | (a - 0x38000000) >> 13);
}

uint16_t quant_f32_to_bf16(float f)
{
    uint32_t u = to_bits(f);
    if ((u & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static float half(const uint8_t *p)
{
    return quant_f16_to_f32(u16(p));
}

/* ---- plain numbers ---- */

static void d_f32(const void *src, float *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void d_f16(const void *src, float *dst, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++)
        dst[i] = half(p + 2 * i);
}

static void d_bf16(const void *src, float *dst, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++)
        dst[i] = quant_bf16_to_f32(u16(p + 2 * i));
}

#define PLAIN(name, type)                                       \
    static void name(const void *src, float *dst, int64_t n)    \
    {                                                           \
        for (int64_t i = 0; i < n; i++) {                       \
            type v;                                             \
            memcpy(&v, (const char *)src + (size_t)i * sizeof v, sizeof v); \
            dst[i] = (float)v;                                  \
        }                                                       \
    }
PLAIN(d_f64, double)
PLAIN(d_i8, int8_t)
PLAIN(d_i16, int16_t)
PLAIN(d_i32, int32_t)
PLAIN(d_i64, int64_t)

/* ---- blocks of 32 ---- */

/* Codes of the nibble types: byte j holds element j (low) and j + 16 (high). */
static void nibbles(const uint8_t *qs, int q[32])
{
    for (int j = 0; j < 16; j++) {
        q[j] = qs[j] & 15;
        q[j + 16] = qs[j] >> 4;
    }
}

static void fifth_bits(const uint8_t *qh, int q[32])
{
    uint32_t h = u32(qh);
    for (int e = 0; e < 32; e++)
        q[e] |= (int)(h >> e & 1) << 4;
}

/* A decoder: the text behind it sees block `b` and output `y`, once a block. */
#define BLOCKS(name, elems, size)                                                \
    static inline void name##_block(const uint8_t *b, float *y);                 \
    static void name(const void *src, float *dst, int64_t n)                     \
    {                                                                            \
        for (int64_t i = 0; i < n / (elems); i++)                                \
            name##_block((const uint8_t *)src + i * (size), dst + i * (elems));  \
    }                                                                            \
    static inline void name##_block(const uint8_t *b, float *y)

BLOCKS(d_q4_0, 32, 18)
{
    int q[32];
    float d = half(b);
    nibbles(b + 2, q);
    for (int e = 0; e < 32; e++)
        y[e] = (float)(q[e] - 8) * d;
}

BLOCKS(d_q4_1, 32, 20)
{
    int q[32];
    float d = half(b), m = half(b + 2);
    nibbles(b + 4, q);
    for (int e = 0; e < 32; e++)
        y[e] = (float)q[e] * d + m;
}

BLOCKS(d_q5_0, 32, 22)
{
    int q[32];
    float d = half(b);
    nibbles(b + 6, q);
    fifth_bits(b + 2, q);
    for (int e = 0; e < 32; e++)
        y[e] = (float)(q[e] - 16) * d;
}

BLOCKS(d_q5_1, 32, 24)
{
    int q[32];
    float d = half(b), m = half(b + 2);
    nibbles(b + 8, q);
    fifth_bits(b + 4, q);
    for (int e = 0; e < 32; e++)
        y[e] = (float)q[e] * d + m;
}

BLOCKS(d_q8_0, 32, 34)
{
    float d = half(b);
    for (int e = 0; e < 32; e++)
        y[e] = (float)(int8_t)b[2 + e] * d;
}

BLOCKS(d_q8_1, 32, 36)
{
    float d = half(b);
    for (int e = 0; e < 32; e++)
        y[e] = (float)(int8_t)b[4 + e] * d;
}

static const int8_t iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t fp4_table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; /* E2M1 twice as large */

BLOCKS(d_iq4_nl, 32, 18)
{
    int q[32];
    float d = half(b);
    nibbles(b + 2, q);
    for (int e = 0; e < 32; e++)
        y[e] = d * (float)iq4_table[q[e]];
}

BLOCKS(d_mxfp4, 32, 17)
{
    int q[32];
    float d = from_bits(b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23); /* 2^(e - 128) */
    nibbles(b + 1, q);
    for (int e = 0; e < 32; e++)
        y[e] = d * (float)fp4_table[q[e]];
}

/* ---- other small blocks ---- */

static float ue4m3(uint8_t x)
{
    int e = x >> 3 & 15, m = x & 7;
    if ((x & 127) == 127)
        return 0;
    return e ? (float)(8 + m) * from_bits((uint32_t)(e - 10 + 127) << 23) : (float)m * 0x1p-9f;
}

BLOCKS(d_nvfp4, 64, 36)
{
    for (int e = 0; e < 64; e++) {
        int s = e / 16, l = e % 16;
        int q = l < 8 ? b[4 + 8 * s + l] & 15 : b[4 + 8 * s + l - 8] >> 4;
        y[e] = 0.5f * ue4m3(b[s]) * (float)fp4_table[q];
    }
}

BLOCKS(d_q1_0, 128, 18)
{
    float d = half(b);
    for (int e = 0; e < 128; e++)
        y[e] = b[2 + e / 8] >> (e & 7) & 1 ? d : -d;
}

BLOCKS(d_q2_0, 64, 18)
{
    float d = half(b);
    for (int e = 0; e < 64; e++)
        y[e] = (float)((b[2 + e / 4] >> 2 * (e % 4) & 3) - 1) * d;
}

/* ---- blocks of 256 ---- */

BLOCKS(d_q2_k, 256, 84)
{
    float d = half(b + 80), dmin = half(b + 82);
    for (int e = 0; e < 256; e++) {
        int h = e / 128, j = e % 128 / 32, l = e % 32;
        int sc = b[8 * h + 2 * j + l / 16];
        y[e] = d * (float)(sc & 15) * (float)(b[16 + 32 * h + l] >> 2 * j & 3) - dmin * (float)(sc >> 4);
    }
}

/* Scale k (0..15) of Q3_K: 6 bits in 12 bytes. */
static int q3_scale(const uint8_t *c, int k)
{
    int low = k < 8 ? c[k] & 15 : c[k - 8] >> 4;
    return (low | (c[8 + k % 4] >> 2 * (k / 4) & 3) << 4) - 32;
}

BLOCKS(d_q3_k, 256, 110)
{
    float d = half(b + 108);
    for (int e = 0; e < 256; e++) {
        int h = e / 128, j = e % 128 / 32, l = e % 32;
        int q = (b[32 + 32 * h + l] >> 2 * j & 3) + 4 * (b[l] >> (4 * h + j) & 1) - 4;
        y[e] = d * (float)q3_scale(b + 96, 8 * h + 2 * j + l / 16) * (float)q;
    }
}

/* Scale and minimum of sub-block s (0..7) of Q4_K and Q5_K: twice 6 bits in 12 bytes. */
static void k_scale(const uint8_t *c, int s, int *scale, int *min)
{
    if (s < 4) {
        *scale = c[s] & 63;
        *min = c[s + 4] & 63;
    } else {
        *scale = (c[s + 4] & 15) | c[s - 4] >> 6 << 4;
        *min = c[s + 4] >> 4 | c[s] >> 6 << 4;
    }
}

BLOCKS(d_q4_k, 256, 144)
{
    float d = half(b), dmin = half(b + 2);
    for (int s = 0; s < 8; s++) {
        int sc, m;
        k_scale(b + 4, s, &sc, &m);
        for (int l = 0; l < 32; l++)
            y[32 * s + l] = d * (float)sc * (float)(b[16 + 32 * (s / 2) + l] >> 4 * (s % 2) & 15) - dmin * (float)m;
    }
}

BLOCKS(d_q5_k, 256, 176)
{
    float d = half(b), dmin = half(b + 2);
    for (int s = 0; s < 8; s++) {
        int sc, m;
        k_scale(b + 4, s, &sc, &m);
        for (int l = 0; l < 32; l++) {
            int q = (b[48 + 32 * (s / 2) + l] >> 4 * (s % 2) & 15) | (b[16 + l] >> s & 1) << 4;
            y[32 * s + l] = d * (float)sc * (float)q - dmin * (float)m;
        }
    }
}

BLOCKS(d_q6_k, 256, 210)
{
    float d = half(b + 208);
    for (int e = 0; e < 256; e++) {
        int h = e / 128, j = e % 128 / 32, l = e % 32;
        int low = b[64 * h + 32 * (j % 2) + l] >> 4 * (j / 2) & 15;
        int q = (low | (b[128 + 32 * h + l] >> 2 * j & 3) << 4) - 32;
        y[e] = d * (float)(int8_t)b[192 + 8 * h + 2 * j + l / 16] * (float)q;
    }
}

BLOCKS(d_q8_k, 256, 292)
{
    float d = from_bits(u32(b));
    for (int e = 0; e < 256; e++)
        y[e] = d * (float)(int8_t)b[4 + e];
}

BLOCKS(d_iq4_xs, 256, 136)
{
    float d = half(b);
    for (int s = 0; s < 8; s++) {
        int q[32];
        int ls = (b[4 + s / 2] >> 4 * (s % 2) & 15) | (u16(b + 2) >> 2 * s & 3) << 4;
        nibbles(b + 8 + 16 * s, q);
        for (int e = 0; e < 32; e++)
            y[32 * s + e] = d * (float)(ls - 32) * (float)iq4_table[q[e]];
    }
}

/* ---- ternary ---- */

/* Digit n of a byte of base-3 digits, first digit highest: -1, 0, 1. */
static int trit(uint8_t byte, int n)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    return ((uint8_t)(byte * pow3[n]) * 3 >> 8) - 1;
}

BLOCKS(d_tq1_0, 256, 54)
{
    float d = half(b + 52);
    for (int e = 0; e < 160; e++)
        y[e] = (float)trit(b[e % 32], e / 32) * d;
    for (int e = 0; e < 80; e++)
        y[160 + e] = (float)trit(b[32 + e % 16], e / 16) * d;
    for (int e = 0; e < 16; e++)
        y[240 + e] = (float)trit(b[48 + e % 4], e / 4) * d;
}

BLOCKS(d_tq2_0, 256, 66)
{
    float d = half(b + 64);
    for (int e = 0; e < 256; e++)
        y[e] = (float)((b[32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3) - 1) * d;
}

/* ---- the table ---- */

static const struct qtraits types[] = {
    [Q_F32] = {"F32", 1, 4, d_f32},
    [Q_F16] = {"F16", 1, 2, d_f16},
    [Q_Q4_0] = {"Q4_0", 32, 18, d_q4_0},
    [Q_Q4_1] = {"Q4_1", 32, 20, d_q4_1},
    [Q_Q5_0] = {"Q5_0", 32, 22, d_q5_0},
    [Q_Q5_1] = {"Q5_1", 32, 24, d_q5_1},
    [Q_Q8_0] = {"Q8_0", 32, 34, d_q8_0},
    [Q_Q8_1] = {"Q8_1", 32, 36, d_q8_1},
    [Q_Q2_K] = {"Q2_K", 256, 84, d_q2_k},
    [Q_Q3_K] = {"Q3_K", 256, 110, d_q3_k},
    [Q_Q4_K] = {"Q4_K", 256, 144, d_q4_k},
    [Q_Q5_K] = {"Q5_K", 256, 176, d_q5_k},
    [Q_Q6_K] = {"Q6_K", 256, 210, d_q6_k},
    [Q_Q8_K] = {"Q8_K", 256, 292, d_q8_k},
    [Q_IQ2_XXS] = {"IQ2_XXS", 256, 66, NULL},
    [Q_IQ2_XS] = {"IQ2_XS", 256, 74, NULL},
    [Q_IQ3_XXS] = {"IQ3_XXS", 256, 98, NULL},
    [Q_IQ1_S] = {"IQ1_S", 256, 50, NULL},
    [Q_IQ4_NL] = {"IQ4_NL", 32, 18, d_iq4_nl},
    [Q_IQ3_S] = {"IQ3_S", 256, 110, NULL},
    [Q_IQ2_S] = {"IQ2_S", 256, 82, NULL},
    [Q_IQ4_XS] = {"IQ4_XS", 256, 136, d_iq4_xs},
    [Q_I8] = {"I8", 1, 1, d_i8},
    [Q_I16] = {"I16", 1, 2, d_i16},
    [Q_I32] = {"I32", 1, 4, d_i32},
    [Q_I64] = {"I64", 1, 8, d_i64},
    [Q_F64] = {"F64", 1, 8, d_f64},
    [Q_IQ1_M] = {"IQ1_M", 256, 56, NULL},
    [Q_BF16] = {"BF16", 1, 2, d_bf16},
    [Q_TQ1_0] = {"TQ1_0", 256, 54, d_tq1_0},
    [Q_TQ2_0] = {"TQ2_0", 256, 66, d_tq2_0},
    [Q_MXFP4] = {"MXFP4", 32, 17, d_mxfp4},
    [Q_NVFP4] = {"NVFP4", 64, 36, d_nvfp4},
    [Q_Q1_0] = {"Q1_0", 128, 18, d_q1_0},
    [Q_Q2_0] = {"Q2_0", 64, 18, d_q2_0},
};

const struct qtraits *quant_traits(uint32_t id)
{
    if (id >= sizeof types / sizeof types[0] || !types[id].name)
        return NULL;
    return &types[id];
}

const char *quant_refusal(uint32_t id)
{
    if (id == 4 || id == 5)
        return "a removed type (Q4_2, Q4_3)";
    if (id == 36)
        return "a removed repacked type, or ik_llama.cpp's I2_S";
    if ((id >= 31 && id <= 33) || id == 37 || id == 38)
        return "a removed repacked type";
    if ((id >= 97 && id <= 99) || (id >= 133 && id <= 158) || (id >= 202 && id <= 399))
        return "an ik_llama.cpp type";
    return "unknown";
}

size_t quant_row_bytes(enum qtype t, int64_t n)
{
    const struct qtraits *q = quant_traits(t);
    if (!q || n < 0 || n % q->elems)
        return 0;
    uint64_t blocks = (uint64_t)n / (uint64_t)q->elems;
    if (blocks > SIZE_MAX / (uint64_t)q->bytes)
        return 0;
    return (size_t)(blocks * (uint64_t)q->bytes);
}
