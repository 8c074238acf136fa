/*
 * vec.h for AVX-512.
 */
#include "config.h"
#include "kernels/vec.h"

#include <immintrin.h>

typedef __m512 vf;
#define W 16
#define ROWS 6
#define TILE_K 4
#define TILE_V 4
#define v_fma _mm512_fmadd_ps
#define v_max _mm512_max_ps
#define v_min _mm512_min_ps
#define v_set _mm512_set1_ps
#define v_swap(v) _mm512_permute_ps((v), 0xb1)
#define v_widen(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))

static inline void v_narrow(uint16_t *p, vf v)
{
    v = v_max(v_set(-65504.0f), v_min(v_set(65504.0f), v));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

#include "kernels/vec_impl.h"

const struct vec_ops *vec_avx512(void)
{
    return &ops;
}
