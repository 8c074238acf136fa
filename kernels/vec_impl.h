/*
 * The body of vec.h, once for all instruction sets. Included by the vec_<isa>.c files, which define before:
 *   W, vf            lanes of a vector (4, 8, 16), its type
 *   ROWS, TILE_K, TILE_V   register tile: rows at once, vectors of positions, vectors of values
 *   v_fma(a, b, c)   a * b + c
 *   v_max, v_min     the second operand where either is NaN
 *   v_set(x)         x in all lanes
 *   v_swap(v)        neighbours exchanged
 *   v_widen(p)       W f16 to a vector;  v_narrow(p, v) the other way, nearest even, saturating
 * Everything here is static but the one entry, so that no copy of it can serve another instruction set.
 */
#include <math.h>
#include <string.h>

typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef uint32_t vu __attribute__((vector_size(4 * W)));
typedef vf vf_mem __attribute__((aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vf v_load(const float *p)
{
    return *(const vf_mem *)p;
}

INLINE void v_store(float *p, vf v)
{
    *(vf_mem *)p = v;
}

/* n of W lanes, the others `fill`. */
INLINE vf v_load_part(const float *p, int n, float fill)
{
    if (n >= W)
        return v_load(p);
    vf v = v_set(fill);
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void v_store_part(float *p, vf v, int n)
{
    if (n >= W)
        v_store(p, v);
    else
        memcpy(p, &v, (size_t)n * sizeof *p);
}

INLINE vf v_select(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

INLINE vi v_lanes(void)
{
    vi v;
    for (int i = 0; i < W; i++)
        v[i] = i;
    return v;
}

INLINE float v_sum(vf v)
{
    float a[W];
    v_store(a, v);
    for (int s = W / 2; s; s /= 2)
        for (int i = 0; i < s; i++)
            a[i] += a[i + s];
    return a[0];
}

INLINE float v_highest(vf v)
{
    float a[W];
    v_store(a, v);
    for (int s = W / 2; s; s /= 2)
        for (int i = 0; i < s; i++)
            a[i] = a[i] > a[i + s] ? a[i] : a[i + s];
    return a[0];
}

/* e^x = 2^k e^r, |r| <= ln 2 / 2; the polynomial's relative error is 3e-9. Clamped to [-87, 88]. */
INLINE vf v_exp(vf x)
{
    const vf magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits */
    x = v_min(v_set(88.0f), v_max(v_set(-87.0f), x));
    vf t = v_fma(x, v_set(1.44269504f), magic), k = t - magic;
    vf r = v_fma(k, v_set(2.12194440e-4f), v_fma(k, v_set(-0.693359375f), x));
    vf p = v_fma(v_set(0.0013814516f), r, v_set(0.00836878f));
    p = v_fma(p, r, v_set(0.041668393f));
    p = v_fma(p, r, v_set(0.1666652f));
    p = v_fma(p, r, v_set(0.49999994f));
    p = v_fma(p, r * r, r) + v_set(1.0f);
    return (vf)((vu)p + ((vu)t << 23)); /* of lanes that nobody reads, too: unsigned */
}

/* Odd polynomial below 0.65 (relative error 7e-9), 1 - 2 / (e^2|x| + 1) above. */
INLINE vf v_tanh(vf x)
{
    vi sign = (vi)x & (vi)v_set(-0.0f);
    vf a = (vf)((vi)x ^ sign), z = x * x;
    vf p = v_fma(v_set(-0.0055151973f), z, v_set(0.020469455f));
    p = v_fma(p, z, v_set(-0.053688034f));
    p = v_fma(p, z, v_set(0.13330831f));
    p = v_fma(p, z, v_set(-0.3333326f));
    vf low = v_fma(p * z, x, x);
    vf high = v_set(1.0f) - v_set(2.0f) / (v_exp(a + a) + v_set(1.0f));
    return v_select(a < v_set(0.65f), low, (vf)((vi)high | sign));
}

/* ---- rows ---- */

static void norm(enum bk_norm_kind kind, const float *x, const float *w, const float *b, float eps, int n, float *dst)
{
    vf s0 = v_set(0), s1 = v_set(0), mean = v_set(0);
    if (kind == BK_NORM_LAYER) {
        for (int i = 0; i < n; i += W)
            s0 += v_load_part(x + i, n - i, 0);
        mean = v_set(v_sum(s0) / (float)n);
        s0 = v_set(0);
    }
    for (int i = 0; i < n; i += 2 * W) {
        vf u = v_load_part(x + i, n - i, mean[0]) - mean;
        s0 = v_fma(u, u, s0);
        if (i + W < n) {
            vf v = v_load_part(x + i + W, n - i - W, mean[0]) - mean;
            s1 = v_fma(v, v, s1);
        }
    }
    vf f = v_set(1.0f / sqrtf(v_sum(s0 + s1) / (float)n + eps));
    for (int i = 0; i < n; i += W) {
        vf y = (v_load_part(x + i, n - i, 0) - mean) * f;
        if (w)
            y *= v_load_part(w + i, n - i, 0);
        if (b)
            y += v_load_part(b + i, n - i, 0);
        v_store_part(dst + i, y, n - i);
    }
}

static void gate(enum bk_act act, float limit, const float *g, const float *u, int n, float *dst)
{
    for (int i = 0; i < n; i += W) {
        vf a = v_load_part(g + i, n - i, 0), b = v_load_part(u + i, n - i, 0), t = a;
        if (limit > 0) {
            t = a = v_min(v_set(limit), a);
            b = v_max(v_set(-limit), v_min(v_set(limit), b));
        }
        if (act == BK_GELU_TANH) /* 1 + tanh(y) = 2 / (1 + e^-2y), y = sqrt(2 / pi) (a + 0.044715 a^3) */
            t = v_set(1.59576912f) * v_fma(v_set(0.044715f) * a * a, a, a);
        if (act == BK_SWIGLU_OAI) {
            t = v_set(1.702f) * a;
            b += v_set(1.0f);
        }
        v_store_part(dst + i, a / (v_set(1.0f) + v_exp(-t)) * b, n - i);
    }
}

static void add_scaled(float *x, const float *y, float a, int n)
{
    for (int i = 0; i < n; i += W)
        v_store_part(x + i, v_fma(v_set(a), v_load_part(y + i, n - i, 0), v_load_part(x + i, n - i, 0)), n - i);
}

static void scale(float *dst, const float *x, float a, int n)
{
    for (int i = 0; i < n; i += W)
        v_store_part(dst + i, v_set(a) * v_load_part(x + i, n - i, 0), n - i);
}

static void softcap(float *x, float cap, int n)
{
    for (int i = 0; i < n; i += W)
        v_store_part(x + i, v_set(cap) * v_tanh(v_load_part(x + i, n - i, 0) * v_set(1 / cap)), n - i);
}

static void rope(float *x, const float *table, int n_rot, bool neox)
{
    const float *c = table, *s = table + n_rot;
    int half = n_rot / 2;
    if (!neox) {
        for (int i = 0; i < n_rot; i += W) {
            vf v = v_load_part(x + i, n_rot - i, 0), o = v_swap(v);
            v_store_part(x + i, v_fma(o, v_load_part(s + i, n_rot - i, 0), v * v_load_part(c + i, n_rot - i, 0)), n_rot - i);
        }
        return;
    }
    for (int i = 0; i < half; i += W) {
        int n = half - i;
        vf a = v_load_part(x + i, n, 0), b = v_load_part(x + half + i, n, 0);
        v_store_part(x + i, v_fma(b, v_load_part(s + i, n, 0), a * v_load_part(c + i, n, 0)), n);
        v_store_part(x + half + i, v_fma(a, v_load_part(s + half + i, n, 0), b * v_load_part(c + half + i, n, 0)), n);
    }
}

/* ---- pages ---- */

static void put(void *k_page, void *v_page, bool half, int slot, const float *k, int d_k, const float *v, int d_v)
{
    int d_vp = (d_v + VEC_PAD - 1) / VEC_PAD * VEC_PAD;
    if (!half) {
        float *kp = (float *)k_page + slot;
        for (int i = 0; i < d_k; i++)
            kp[(size_t)i * BK_PAGE] = k[i];
        memcpy((float *)v_page + (size_t)slot * d_vp, v, (size_t)d_v * sizeof *v);
        return;
    }
    uint16_t *kp = (uint16_t *)k_page + slot, *vp = (uint16_t *)v_page + (size_t)slot * d_vp, t[W];
    for (int i = 0; i < d_k; i += W) {
        v_narrow(t, v_load_part(k + i, d_k - i, 0));
        for (int j = 0; j < W && i + j < d_k; j++)
            kp[(size_t)(i + j) * BK_PAGE] = t[j];
    }
    for (int i = 0; i < d_v; i += W) /* d_vp is a multiple of W: the lanes behind d_v are its zeros */
        v_narrow(vp + i, v_load_part(v + i, d_v - i, 0));
}

static void widen(const uint16_t *src, float *dst, int n)
{
    for (int i = 0; i < n; i += W)
        v_store(dst + i, v_widen(src + i));
}

INLINE vf load_any(const void *p, size_t i, bool half)
{
    return half ? v_widen((const uint16_t *)p + i) : v_load((const float *)p + i);
}

/*
 * Elements [i, i + n) of the f16 page that comes next: pages are not neighbours in memory, so the hardware does not see it coming. Into the
 * second level: one core then reads 28 GB/s (16 into the first, 13 without; Zen 4, a cache of 94 MB).
 */
INLINE void prefetch_row(const char *next, size_t i, int n)
{
    UNROLL for (int b = 0; b < 2 * n; b += 64)
        __builtin_prefetch(next + 2 * i + b, 0, 2);
}

INLINE void scores_tile(const float *const *q, const void *k, bool half, int d, float *s, const char *next, const int rows)
{
    for (int at = 0; at < BK_PAGE; at += TILE_K * W) {
        vf acc[ROWS][TILE_K], kv[TILE_K];
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int c = 0; c < TILE_K; c++)
                acc[r][c] = v_set(0);
        for (int j = 0; j < d; j++) {
            if (half)
                prefetch_row(next, (size_t)j * BK_PAGE + (size_t)at, TILE_K * W);
            UNROLL for (int c = 0; c < TILE_K; c++)
                kv[c] = load_any(k, (size_t)j * BK_PAGE + (size_t)(at + c * W), half);
            UNROLL for (int r = 0; r < rows; r++) {
                vf x = v_set(q[r][j]);
                UNROLL for (int c = 0; c < TILE_K; c++)
                    acc[r][c] = v_fma(x, kv[c], acc[r][c]);
            }
        }
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int c = 0; c < TILE_K; c++)
                v_store(s + (size_t)r * VEC_SPLIT + at + c * W, acc[r][c]);
    }
}

INLINE void values_tile(const float *p, const void *v, bool half, int d_vp, int n, float *o, bool first, const char *next, const int rows,
                        const int width)
{
    vf acc[ROWS][TILE_V], vv[TILE_V];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < width; c++)
            acc[r][c] = first ? v_set(0) : v_load(o + (size_t)r * d_vp + c * W);
    for (int i = 0; i < n; i++) {
        if (half)
            prefetch_row(next, (size_t)i * d_vp, width * W);
        UNROLL for (int c = 0; c < width; c++)
            vv[c] = load_any(v, (size_t)i * d_vp + (size_t)(c * W), half);
        UNROLL for (int r = 0; r < rows; r++) {
            vf x = v_set(p[(size_t)r * VEC_SPLIT + i]);
            UNROLL for (int c = 0; c < width; c++)
                acc[r][c] = v_fma(x, vv[c], acc[r][c]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < width; c++)
            v_store(o + (size_t)r * d_vp + c * W, acc[r][c]);
}

/* One function a tile's height: the loops over rows are unrolled into registers. */
#define BY_HEIGHT(rows, call) \
    switch (rows) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    default: call(6); break; \
    }
_Static_assert(ROWS == 6, "BY_HEIGHT lists them");

static __attribute__((noinline)) void scores_half(const float *const *q, const void *k, int d, float *s, const char *next, int rows)
{
#define CALL(n) scores_tile(q, k, true, d, s, next, n)
    BY_HEIGHT(rows, CALL)
#undef CALL
}

static __attribute__((noinline)) void scores_full(const float *const *q, const void *k, int d, float *s, int rows)
{
#define CALL(n) scores_tile(q, k, false, d, s, NULL, n)
    BY_HEIGHT(rows, CALL)
#undef CALL
}

static __attribute__((noinline)) void values_half(const float *p, const uint16_t *v, int d_vp, int n, float *o, bool first, const char *next,
                                                  int rows)
{
    int c = 0;
#define CALL(n_rows) values_tile(p, v + c, true, d_vp, n, o + c, first, next + 2 * c, n_rows, TILE_V)
    for (; c + TILE_V * W <= d_vp; c += TILE_V * W)
        BY_HEIGHT(rows, CALL)
#undef CALL
#define CALL(n_rows) values_tile(p, v + c, true, d_vp, n, o + c, first, next + 2 * c, n_rows, 1)
    for (; c < d_vp; c += W)
        BY_HEIGHT(rows, CALL)
#undef CALL
}

static __attribute__((noinline)) void values_full(const float *p, const float *v, int d_vp, int n, float *o, bool first, int rows)
{
    int c = 0;
#define CALL(n_rows) values_tile(p, v + c, false, d_vp, n, o + c, first, NULL, n_rows, TILE_V)
    for (; c + TILE_V * W <= d_vp; c += TILE_V * W)
        BY_HEIGHT(rows, CALL)
#undef CALL
#define CALL(n_rows) values_tile(p, v + c, false, d_vp, n, o + c, first, NULL, n_rows, 1)
    for (; c < d_vp; c += W)
        BY_HEIGHT(rows, CALL)
#undef CALL
}

/* Rows of the next tile when `left` are left: as even as can be, 9 are 5 + 4. */
INLINE int tile_rows(int left)
{
    int tiles = (left + ROWS - 1) / ROWS;
    return (left + tiles - 1) / tiles;
}

static void scores(const float *const *q, int rows, const void *k_page, bool half, int d_k, float *s, const void *next)
{
    for (int r = 0, n; r < rows; r += n) {
        n = tile_rows(rows - r);
        if (half)
            scores_half(q + r, k_page, d_k, s + (size_t)r * VEC_SPLIT, next, n);
        else
            scores_full(q + r, k_page, d_k, s + (size_t)r * VEC_SPLIT, n);
    }
}

static void values(const float *p, int rows, const void *v_page, bool half, int d_vp, int n, float *o, bool first, const void *next)
{
    for (int r = 0, m; r < rows; r += m) {
        m = tile_rows(rows - r);
        if (half)
            values_half(p + (size_t)r * VEC_SPLIT, v_page, d_vp, n, o + (size_t)r * d_vp, first, next, m);
        else
            values_full(p + (size_t)r * VEC_SPLIT, v_page, d_vp, n, o + (size_t)r * d_vp, first, m);
    }
}

static void softmax(float *s, int a, int b, int n, float cap, float *max, float *sum)
{
    int from = a / W * W, to = (b + W - 1) / W * W;
    vf m = v_set(-INFINITY), l = v_set(0);
    if (cap > 0)
        softcap(s + from, cap, to - from);
    for (int i = from; i < to; i += W) {
        vf x = v_load(s + i);
        if (i < a || i + W > b) {
            vi at = v_lanes() + i;
            x = v_select((at >= a) & (at < b), x, v_set(-INFINITY));
        }
        m = v_max(m, x);
    }
    *max = v_highest(m);
    m = v_set(*max);
    for (int i = 0; i < from; i += W)
        v_store(s + i, v_set(0));
    for (int i = from; i < to; i += W) {
        vf x = v_exp(v_load(s + i) - m);
        if (i < a || i + W > b) {
            vi at = v_lanes() + i;
            x = v_select((at >= a) & (at < b), x, v_set(0));
        }
        l += x;
        v_store(s + i, x);
    }
    for (int i = to; i < n; i += W)
        v_store(s + i, v_set(0));
    *sum = v_sum(l);
}

static void merge(float *o, float *max, float *sum, const float *o1, float max1, float sum1, int d_vp)
{
    if (*max == -INFINITY) {
        for (int i = 0; i < d_vp; i += W)
            v_store(o + i, o1 ? v_load(o1 + i) : v_set(0));
        *max = max1;
        *sum = sum1;
        return;
    }
    float m = *max > max1 ? *max : max1;
    vf a = v_exp(v_set(*max - m)), b = v_exp(v_set(max1 - m));
    for (int i = 0; i < d_vp; i += W)
        v_store(o + i, v_fma(o1 ? v_load(o1 + i) : v_set(0), b, v_load(o + i) * a));
    *max = m;
    *sum = v_fma(v_set(sum1), b, v_set(*sum) * a)[0];
}

static const struct vec_ops ops = {
    .norm = norm, .gate = gate, .add_scaled = add_scaled, .scale = scale, .softcap = softcap, .rope = rope, .put = put,
    .widen = widen, .scores = scores, .softmax = softmax, .values = values, .merge = merge,
};
