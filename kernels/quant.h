#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H
/*
 * Tensor encodings of GGUF files: ids, block sizes, and the scalar truth (spec: quants). C and C++ (CUDA) include this.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ids are the file format's. */
enum qtype {
    Q_F32 = 0, Q_F16 = 1, Q_Q4_0 = 2, Q_Q4_1 = 3, Q_Q5_0 = 6, Q_Q5_1 = 7, Q_Q8_0 = 8, Q_Q8_1 = 9,
    Q_Q2_K = 10, Q_Q3_K = 11, Q_Q4_K = 12, Q_Q5_K = 13, Q_Q6_K = 14, Q_Q8_K = 15,
    Q_IQ2_XXS = 16, Q_IQ2_XS = 17, Q_IQ3_XXS = 18, Q_IQ1_S = 19, Q_IQ4_NL = 20, Q_IQ3_S = 21, Q_IQ2_S = 22, Q_IQ4_XS = 23,
    Q_I8 = 24, Q_I16 = 25, Q_I32 = 26, Q_I64 = 27, Q_F64 = 28, Q_IQ1_M = 29, Q_BF16 = 30,
    Q_TQ1_0 = 34, Q_TQ2_0 = 35, Q_MXFP4 = 39, Q_NVFP4 = 40, Q_Q1_0 = 41, Q_Q2_0 = 42,
};

/* Writes n elements (a multiple of the block size) of a row as float32. */
typedef void (*quant_decode_fn)(const void *src, float *dst, int64_t n);

struct qtraits {
    const char *name;       /* "Q4_K" */
    int elems, bytes;       /* of one block */
    quant_decode_fn decode; /* NULL: the type has a size but no decoder yet */
};

/* NULL for ids that are unknown, removed, or of another program's fork. */
const struct qtraits *quant_traits(uint32_t id);
/* Why an id without traits is refused, fit to stand in a sentence: "a removed repacked type", "an ik_llama.cpp type", "unknown". */
const char *quant_refusal(uint32_t id);
/* Bytes of one row of n elements; 0 when n is no whole number of blocks. */
size_t quant_row_bytes(enum qtype t, int64_t n);

float quant_f16_to_f32(uint16_t h);
uint16_t quant_f32_to_f16(float f);
static inline float quant_bf16_to_f32(uint16_t h)
{
    union { uint32_t u; float f; } v;
    v.u = (uint32_t)h << 16;
    return v.f;
}
uint16_t quant_f32_to_bf16(float f); /* nearest even, NaN stays quiet */

#ifdef __cplusplus
}
#endif
#endif
