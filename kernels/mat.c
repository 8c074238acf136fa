/*
 * The part of mat.h that is the same on every level: which level, sizes, packing, rows back; products go to the level's own file.
 * No vector instruction beyond the compiler's base may be in here.
 */
#include "config.h"
#include "kernels/mat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "kernels/blas.h"
#include "kernels/mat_impl.h"

#ifdef HADAL_X86
#include <cpuid.h>
#endif

/* ---- the level ---- */

#ifdef HADAL_X86
static enum isa detect(void)
{
    unsigned a, b, c, d, lo, hi;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return ISA_SCALAR;
    const unsigned want = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA, OSXSAVE, AVX, F16C */
    if ((c & want) != want)
        return ISA_SCALAR;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0)); /* what the system saves at a switch */
    if ((lo & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1u << 5))
        return ISA_SCALAR;
    const unsigned b512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if ((lo & 0xE6) != 0xE6 || (b & b512) != b512 || !(c & 1u << 11)) /* VNNI */
        return ISA_AVX2;
    return ISA_AVX512;
}
#else
static enum isa detect(void)
{
    return ISA_SCALAR;
}
#endif

static enum isa level;

static void decide(void)
{
    const char *cap = getenv("HADAL_ISA");
    level = detect();
    if (cap && !strcmp(cap, "scalar"))
        level = ISA_SCALAR;
    else if (cap && !strcmp(cap, "avx2") && level > ISA_AVX2)
        level = ISA_AVX2;
}

enum isa isa_level(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, decide);
    return level;
}

const char *isa_name(enum isa isa)
{
    static const char *const names[] = {"scalar", "AVX2", "AVX-512 (VNNI)", "scalar"};
    return names[isa];
}

static const struct mat_isa *isa_of(enum isa isa)
{
#ifdef HADAL_X86
    if (isa == ISA_AVX512)
        return &mat_avx512;
    if (isa == ISA_AVX2)
        return &mat_avx2;
#endif
    ASSERT(isa == ISA_SCALAR || isa == ISA_BLAS);
    return &mat_scalar;
}

/* ---- weights ---- */

enum mat_layout mat_layout(enum isa isa, enum qtype type)
{
    const struct qtraits *q = quant_traits(type);
    if (!q || !q->decode || (type >= Q_I8 && type <= Q_I64))
        return MAT_NONE;
    if (type == Q_F32 || type == Q_F16 || type == Q_BF16)
        return MAT_FLOATS;
    return mat_is_integer(type) && isa_of(isa)->tile ? MAT_TILES : MAT_ROWS;
}

size_t mat_bytes(enum isa isa, enum qtype type, int rows, int cols)
{
    if (rows <= 0 || cols <= 0 || mat_layout(isa, type) == MAT_NONE)
        return 0;
    size_t padded = ((size_t)rows + MAT_PANEL - 1) / MAT_PANEL * MAT_PANEL;
    return padded * quant_row_bytes(type, cols);
}

void mat_init(struct mat *m, enum isa isa, enum qtype type, int rows, int cols, void *memory)
{
    *m = (struct mat){.type = type, .isa = isa, .rows = rows, .cols = cols, .data = memory, .bytes = mat_bytes(isa, type, rows, cols)};
}

static void pack_tiles(struct mat *m, const uint8_t *src, int r0, int r1)
{
    int tile = isa_of(m->isa)->tile, end = (r1 + MAT_PANEL - 1) / MAT_PANEL * MAT_PANEL;
    size_t row_bytes = quant_row_bytes(m->type, m->cols);
    for (int r = r0; r < end; r += tile) {
        int n = r1 - r < 0 ? 0 : r1 - r < tile ? r1 - r : tile;
        mat_pack_tile(m->type, tile, m->isa == ISA_AVX512, n ? src + (size_t)r * row_bytes : src, row_bytes, n, m->cols / quant_traits(m->type)->elems,
                      (uint8_t *)m->data + (size_t)r * row_bytes);
    }
}

/* Elements of 2 or 4 bytes: [row][k] to [k][row] of 16. */
#define PACK_FLOATS(name, type)                                                           \
    static void name(struct mat *m, const void *src, int r0, int r1)                      \
    {                                                                                     \
        size_t cols = (size_t)m->cols;                                                    \
        for (int p = r0; p < r1; p += MAT_PANEL) {                                        \
            type *dst = (type *)m->data + (size_t)p * cols;                               \
            int n = r1 - p < MAT_PANEL ? r1 - p : MAT_PANEL;                              \
            if (n < MAT_PANEL)                                                            \
                memset(dst, 0, MAT_PANEL * cols * sizeof *dst);                           \
            for (size_t k = 0; k < cols; k++)                                             \
                for (int r = 0; r < n; r++)                                               \
                    memcpy(dst + k * MAT_PANEL + r, (const type *)src + (size_t)(p + r) * cols + k, sizeof *dst); \
        }                                                                                 \
    }
PACK_FLOATS(pack_16, uint16_t)
PACK_FLOATS(pack_32, uint32_t)

void mat_pack(struct mat *m, const void *src, int r0, int r1)
{
    ASSERT(r0 % MAT_PANEL == 0 && (r1 % MAT_PANEL == 0 || r1 == m->rows) && r1 <= m->rows);
    size_t row_bytes = quant_row_bytes(m->type, m->cols);
    switch (mat_layout(m->isa, m->type)) {
    case MAT_TILES:
        pack_tiles(m, src, r0, r1);
        break;
    case MAT_FLOATS:
        if (m->type == Q_F32)
            pack_32(m, src, r0, r1);
        else
            pack_16(m, src, r0, r1);
        break;
    case MAT_ROWS:
        memcpy((char *)m->data + (size_t)r0 * row_bytes, (const char *)src + (size_t)r0 * row_bytes, (size_t)(r1 - r0) * row_bytes);
        break;
    case MAT_NONE:
        BUG("a type that cannot be packed");
    }
}

void mat_row(const struct mat *m, int row, float *dst)
{
    const struct qtraits *q = quant_traits(m->type);
    size_t row_bytes = quant_row_bytes(m->type, m->cols), cols = (size_t)m->cols;
    enum mat_layout layout = mat_layout(m->isa, m->type);
    if (layout == MAT_ROWS) {
        q->decode((const uint8_t *)m->data + (size_t)row * row_bytes, dst, m->cols);
    } else if (layout == MAT_FLOATS) {
        const uint8_t *p = (const uint8_t *)m->data + ((size_t)(row - row % MAT_PANEL) * cols + (size_t)(row % MAT_PANEL)) * (size_t)q->bytes;
        for (size_t k = 0; k < cols; k++)
            q->decode(p + k * MAT_PANEL * (size_t)q->bytes, dst + k, 1);
    } else {
        int tile = isa_of(m->isa)->tile;
        const uint8_t *p = (const uint8_t *)m->data + (size_t)(row - row % tile) * row_bytes;
        uint8_t block[256];
        for (int k = 0; k < m->cols; k += q->elems, p += tile * q->bytes) {
            mat_unpack_block(m->type, tile, m->isa == ISA_AVX512, p, row % tile, block);
            q->decode(block, dst + k, q->elems);
        }
    }
}

/* ---- activations and products ---- */

bool mat_reads_q(enum qtype type)
{
    return mat_is_integer(type);
}

/* Whether n tokens are multiplied by OpenBLAS. Their a->q is then no records but floats, rounded to what records would hold. */
static bool by_blas(enum isa isa, int n)
{
    return isa == ISA_BLAS && n >= BLAS_TOKENS;
}

size_t act_bytes(enum isa isa, int n, int cols)
{
    size_t block = by_blas(isa, n) ? 32 * sizeof(float) : ACT_WORDS * 4;
    return ((size_t)n * (size_t)((cols + 31) / 32) * block + 63) & ~(size_t)63;
}

void act_init(struct act *a, enum isa isa, int n, int cols, const float *f, int ld, void *memory)
{
    (void)isa;
    *a = (struct act){.n = n, .cols = cols, .f = f, .ld = ld, .q = memory};
}

void act_quantize(struct act *a, enum isa isa, int t0, int t1, int c0, int c1)
{
    ASSERT(a->cols % 32 == 0 && c0 % 32 == 0 && c1 % 32 == 0);
    if (by_blas(isa, a->n))
        mat_round(a, t0, t1, c0, c1);
    else
        isa_of(isa)->quantize(a, t0, t1, c0, c1);
}

void act_quantize_from(struct act *a, enum isa isa, int t0, int t1, int c0, int c1, const float *src, int ld)
{
    struct act other = *a;
    other.f = (const float *)((uintptr_t)src - ((size_t)t0 * (size_t)ld + (size_t)c0) * sizeof *src); /* where (0, 0) would be */
    other.ld = ld;
    act_quantize(&other, isa, t0, t1, c0, c1);
}

/* Packed weights are unpacked in groups of panels, so that a panel of activations serves several while it is in the nearest cache. */
enum { GROUP_PANELS = 4, GROUP_BYTES = 256 * 1024, BLAS_ROWS = 64 };

size_t mat_scratch_bytes(enum isa isa, int max_cols, int max_tokens)
{
    (void)max_tokens;
    const struct mat_isa *v = isa_of(isa);
    size_t cols = ((size_t)max_cols + 255) / 256 * 256;
    size_t floats = cols * 4 * (isa == ISA_BLAS ? BLAS_ROWS : MAT_PANEL + 1); /* a decoded panel, a row; more than scalar rows with their scales */
    size_t unpacked = 0;
    if (v->tile) { /* no type takes more than Q6_K: 20 bytes a column of a panel */
        size_t panel = v->unpacked_bytes(Q_Q6_K, (int)cols) * (size_t)(MAT_PANEL / v->tile);
        unpacked = panel * GROUP_PANELS < GROUP_BYTES ? panel * GROUP_PANELS : panel > GROUP_BYTES ? panel : GROUP_BYTES;
    }
    return ((floats > unpacked ? floats : unpacked) + 4095) & ~(size_t)4095;
}

/* What a run of rows is to do; y and bias are at row r0. */
struct job {
    const struct mat *m;
    const struct act *a;
    const struct mat_isa *isa;
    int r0, r1;
    float *y;
    int ldy;
    const float *bias;
};

static float *y_at(const struct job *w, int t, int r)
{
    return w->y + (size_t)t * (size_t)w->ldy + (r - w->r0);
}

static const float *x_at(const struct job *w, int t)
{
    return w->a->f + (size_t)t * (size_t)w->a->ld;
}

static const float *bias_at(const struct job *w, int r)
{
    return w->bias ? w->bias + (r - w->r0) : NULL;
}

static void mul_unpacked(const struct job *w, uint8_t *scratch)
{
    const struct mat *m = w->m;
    const struct mat_isa *v = w->isa;
    size_t row_bytes = quant_row_bytes(m->type, m->cols), tile_bytes = v->unpacked_bytes(m->type, m->cols);
    int panels = (int)(GROUP_BYTES / (tile_bytes * (size_t)(MAT_PANEL / v->tile)));
    int group = (panels < 1 ? 1 : panels > GROUP_PANELS ? GROUP_PANELS : panels) * MAT_PANEL;
    for (int g = w->r0; g < w->r1; g += group) {
        int end = g + group < w->r1 ? g + group : w->r1;
        for (int r = g; r < end; r += v->tile)
            v->unpack(m->type, (const uint8_t *)m->data + (size_t)r * row_bytes, m->cols, scratch + (size_t)((r - g) / v->tile) * tile_bytes);
        for (int t = 0; t < w->a->n; t += v->panel) {
            int width, j;
            const uint32_t *x = act_record(w->a, v->panel, t, 0, &width, &j);
            for (int r = g; r < end; r += v->tile)
                v->product(m->type, scratch + (size_t)((r - g) / v->tile) * tile_bytes, x, width, m->cols, y_at(w, t, r), w->ldy, end - r, bias_at(w, r));
        }
    }
}

static void mul_floats(const struct job *w)
{
    const struct mat *m = w->m;
    size_t row_bytes = quant_row_bytes(m->type, m->cols);
    if (w->a->n <= w->isa->few) {
        w->isa->float_few(m, w->a, w->r0, w->r1, w->y, w->ldy, w->bias);
        return;
    }
    for (int t = 0; t < w->a->n; t += w->isa->float_panel) {
        int n = w->a->n - t < w->isa->float_panel ? w->a->n - t : w->isa->float_panel;
        for (int r = w->r0; r < w->r1; r += MAT_PANEL)
            w->isa->float_product(m->type, (const char *)m->data + (size_t)r * row_bytes, x_at(w, t), w->a->ld, n, m->cols, y_at(w, t, r),
                                  w->ldy, w->r1 - r, bias_at(w, r));
    }
}

/* Types without a kernel: 16 rows at a time become floats. */
static void mul_decoded(const struct job *w, float *scratch)
{
    const struct mat *m = w->m;
    float *panel = scratch, *row = panel + (size_t)m->cols * MAT_PANEL;
    for (int p = w->r0; p < w->r1; p += MAT_PANEL) {
        for (int r = p; r < p + MAT_PANEL; r++) {
            if (r < m->rows)
                mat_row(m, r, row);
            for (int k = 0; k < m->cols; k++)
                panel[(size_t)k * MAT_PANEL + (size_t)(r - p)] = r < m->rows ? row[k] : 0;
        }
        for (int t = 0; t < w->a->n; t += w->isa->float_panel) {
            int n = w->a->n - t < w->isa->float_panel ? w->a->n - t : w->isa->float_panel;
            w->isa->float_product(Q_F32, panel, x_at(w, t), w->a->ld, n, m->cols, y_at(w, t, p), w->ldy, w->r1 - p, bias_at(w, p));
        }
    }
}

/* Rows become floats, as they lie: [row][column], or panels of [column][row] if they are floats already. */
static void mul_blas(const struct job *w, float *scratch)
{
    const struct mat *m = w->m;
    const struct qtraits *q = quant_traits(m->type);
    bool panels = mat_layout(m->isa, m->type) == MAT_FLOATS, integer = mat_is_integer(m->type);
    size_t row_bytes = quant_row_bytes(m->type, m->cols), cols = (size_t)m->cols;
    int n, step = panels ? MAT_PANEL : BLAS_ROWS;
    for (int r = w->r0; r < w->r1; r += n) {
        const char *src = (const char *)m->data + (size_t)r * row_bytes;
        const float *f = (const void *)src;
        n = w->r1 - r < step ? w->r1 - r : step;
        if (m->type != Q_F32) {
            q->decode(src, scratch, (int64_t)(cols * (size_t)(panels ? MAT_PANEL : n)));
            f = scratch;
        }
        blas_product(panels, w->a->n, n, m->cols, integer ? w->a->q : w->a->f, integer ? m->cols : w->a->ld, f, panels ? MAT_PANEL : m->cols, y_at(w, 0, r),
                     w->ldy);
    }
    for (int t = 0; w->bias && t < w->a->n; t++)
        for (int r = w->r0; r < w->r1; r++)
            *y_at(w, t, r) += *bias_at(w, r);
}

void mat_mul(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, int y_row0, const float *bias, void *scratch)
{
    ASSERT(a->cols == m->cols && r0 % MAT_PANEL == 0 && (r1 % MAT_PANEL == 0 || r1 == m->rows));
    if (a->n < 1)
        return;
    struct job w = {m, a, isa_of(m->isa), r0, r1, y + (r0 - y_row0), ldy, bias ? bias + r0 : NULL};
    enum mat_layout layout = mat_layout(m->isa, m->type);
    if (by_blas(m->isa, a->n))
        mul_blas(&w, scratch);
    else if (layout == MAT_TILES && a->n <= w.isa->fused_max(m->type))
        w.isa->fused_product(m, a, r0, r1, w.y, ldy, w.bias);
    else if (layout == MAT_TILES)
        mul_unpacked(&w, scratch);
    else if (mat_is_integer(m->type))
        w.isa->rows(m, a, r0, r1, w.y, ldy, w.bias, scratch);
    else if (layout == MAT_FLOATS && (m->type == Q_F32 || w.isa->halves))
        mul_floats(&w);
    else
        mul_decoded(&w, scratch);
}
