/*
 * vec.h for any CPU, in the compiler's portable vectors of four.
 */
#include "config.h"
#include "kernels/vec.h"

typedef float vf __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));

#define W 4
#define ROWS 6
#define TILE_K 2
#define TILE_V 2
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_set(x) ((vf){(x), (x), (x), (x)})
#define v_swap(v) ((vf){(v)[1], (v)[0], (v)[3], (v)[2]})

static inline vf v_max(vf a, vf b)
{
    v4i m = a > b;
    return (vf)(((v4i)a & m) | ((v4i)b & ~m));
}

static inline vf v_min(vf a, vf b)
{
    v4i m = a < b;
    return (vf)(((v4i)a & m) | ((v4i)b & ~m));
}

/* The exponent moves by 112 through a product, which brings subnormal numbers along; infinity and NaN keep theirs. */
static inline vf v_widen(const uint16_t *p)
{
    v4i h = {p[0], p[1], p[2], p[3]};
    vf x = (vf)((h & 0x7fff) << 13) * 0x1p112f;
    return (vf)((v4i)x | (((h & 0x7c00) == 0x7c00) & 0x7f800000) | (h & 0x8000) << 16);
}

static inline void v_narrow(uint16_t *p, vf v)
{
    v = v_max(v_set(-65504.0f), v_min(v_set(65504.0f), v));
    for (int i = 0; i < 4; i++)
        p[i] = quant_f32_to_f16(v[i]);
}

#include "kernels/vec_impl.h"

const struct vec_ops *vec_scalar(void)
{
    return &ops;
}
