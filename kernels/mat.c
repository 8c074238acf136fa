/*
 * The part of mat.h that is the same on every level: which level, sizes, packing, rows back; products go to the level's own file.
 * No vector instruction beyond the compiler's base may be in here.
 */
#include "config.h"
#include "kernels/mat.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "kernels/mat_impl.h"

/* ---- the level ---- */

enum isa isa_level(void)
{
    return ISA_SCALAR;
}

const char *isa_name(enum isa isa)
{
    static const char *const names[] = {"scalar", "AVX2", "AVX-512 (VNNI)"};
    return names[isa];
}

static const struct mat_isa *isa_of(enum isa isa)
{
    ASSERT(isa == ISA_SCALAR);
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

void mat_decode_panel(const struct mat *m, int p, float *dst, float *row)
{
    for (int r = 0; r < MAT_PANEL; r++) {
        bool there = p * MAT_PANEL + r < m->rows;
        if (there)
            mat_row(m, p * MAT_PANEL + r, row);
        for (int k = 0; k < m->cols; k++)
            dst[k * MAT_PANEL + r] = there ? row[k] : 0;
    }
}

/* ---- activations and products ---- */

bool mat_reads_q(enum qtype type)
{
    return mat_is_integer(type);
}

size_t act_bytes(enum isa isa, int n, int cols)
{
    (void)isa;
    return ((size_t)n * (size_t)((cols + 31) / 32) * ACT_WORDS * 4 + 63) & ~(size_t)63;
}

void act_init(struct act *a, enum isa isa, int n, int cols, const float *f, int ld, void *memory)
{
    (void)isa;
    *a = (struct act){.n = n, .cols = cols, .f = f, .ld = ld, .q = memory};
}

void act_quantize(struct act *a, enum isa isa, int t0, int t1, int c0, int c1)
{
    ASSERT(a->cols % 32 == 0 && c0 % 32 == 0 && c1 % 32 == 0);
    isa_of(isa)->quantize(a, t0, t1, c0, c1);
}

size_t mat_scratch_bytes(enum isa isa, int max_cols, int max_tokens)
{
    (void)isa;
    (void)max_tokens;
    /* A decoded panel (16 floats a column), a panel of 12 tokens' floats, one row; whatever else there is, is smaller. */
    return ((size_t)max_cols * 4 * (16 + 12 + 1) + 4095) & ~(size_t)4095;
}

void mat_mul(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, int y_row0, const float *bias, void *scratch)
{
    ASSERT(a->cols == m->cols && r0 % MAT_PANEL == 0 && (r1 % MAT_PANEL == 0 || r1 == m->rows));
    isa_of(m->isa)->mul(m, a, r0, r1, y - y_row0, ldy, bias, scratch);
}
