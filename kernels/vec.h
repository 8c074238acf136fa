#ifndef KERNELS_VEC_H
#define KERNELS_VEC_H
/*
 * What the CPU backend computes on float vectors, per instruction set: norms, gates, rotation, attention over pages.
 * vec_impl.h is the one body; vec_scalar.c, vec_avx2.c and vec_avx512.c compile it. Every result is a fixed sequence of
 * operations for its element (and its instruction set), whatever else is computed in the same call.
 *
 * A page holds BK_PAGE positions of one layer and one key/value head, f16 or f32 ("half"):
 * K is (d_k, BK_PAGE), V is (BK_PAGE, d_vp) with d_vp = d_v rounded up to VEC_PAD, the rest zero.
 */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/mat.h"

#define VEC_PAD 16
#define VEC_SPLIT 256 /* positions of one softmax; splits are merged in ascending order */

struct vec_ops {
    /* dst[0..n) = norm(x) * w + b; w and b may be NULL; dst may be x. */
    void (*norm)(enum bk_norm_kind kind, const float *x, const float *w, const float *b, float eps, int n, float *dst);
    /* dst = act(min(g, limit)) * clamp(u, -limit, limit) (BK_SWIGLU_OAI: + 1); limit 0: none. */
    void (*gate)(enum bk_act act, float limit, const float *g, const float *u, int n, float *dst);
    void (*add_scaled)(float *x, const float *y, float a, int n); /* x += a * y */
    void (*scale)(float *dst, const float *x, float a, int n);    /* dst = a * x */
    void (*softcap)(float *x, float cap, int n);                  /* x = cap * tanh(x / cap) */
    /* Rotates x[0..n_rot) by a row of the table: n_rot cosines, then n_rot sines with their signs. */
    void (*rope)(float *x, const float *table, int n_rot, bool neox);

    /* Stores one position; values beyond what f16 holds become its largest. */
    void (*put)(void *k_page, void *v_page, bool half, int slot, const float *k, int d_k, const float *v, int d_v);
    void (*widen)(const uint16_t *src, float *dst, int n); /* f16 to f32, n a multiple of VEC_PAD */
    /* s[r][0..BK_PAGE) = q[r] . K page, for `rows` rows; s has VEC_SPLIT floats a row. `next`: the f16 page that is read next, a hint. */
    void (*scores)(const float *const *q, int rows, const void *k_page, bool half, int d_k, float *s, const void *next);
    /*
     * Of one row of scores, positions [a, b) are seen and [0, n) was computed: makes it exp(s - max), 0 where not seen.
     * *max and *sum tell of the seen ones; b > a.
     */
    void (*softmax)(float *s, int a, int b, int n, float cap, float *max, float *sum);
    /* o[r] (+)= sum of p[r][i] * V[i] for i in [0, n), ascending; p has VEC_SPLIT floats a row, o has d_vp. `first`: o starts at 0. */
    void (*values)(const float *p, int rows, const void *v_page, bool half, int d_vp, int n, float *o, bool first, const void *next);
    /* Merges what one split gave (o1, max1, sum1) into (o, max, sum); max is -INFINITY before the first. o1 NULL: zeros (a sink). */
    void (*merge)(float *o, float *max, float *sum, const float *o1, float max1, float sum1, int d_vp);
};

const struct vec_ops *vec_scalar(void);
const struct vec_ops *vec_avx2(void);
const struct vec_ops *vec_avx512(void);
const struct vec_ops *vec_ops(enum isa isa);

#endif
