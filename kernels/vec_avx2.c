/*
 * vec.h for AVX2 with FMA and F16C.
 */
#include "config.h"
#include "kernels/vec.h"

#include <immintrin.h>

typedef __m256 vf;
#define W 8
#define ROWS 6
#define TILE_K 2
#define TILE_V 2
#define v_fma _mm256_fmadd_ps
#define v_max _mm256_max_ps
#define v_min _mm256_min_ps
#define v_set _mm256_set1_ps
#define v_swap(v) _mm256_permute_ps((v), 0xb1)
#define v_widen(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))

static inline void v_narrow(uint16_t *p, vf v)
{
    v = v_max(v_set(-65504.0f), v_min(v_set(65504.0f), v));
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernels/vec_impl.h"

const struct vec_ops *vec_avx2(void)
{
    return &ops;
}
