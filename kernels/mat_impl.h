#ifndef KERNELS_MAT_IMPL_H
#define KERNELS_MAT_IMPL_H
/*
 * What mat.c and the kernels of each instruction set share: layouts, and the table of entry points. Included by files that are compiled
 * with an ISA's own flags, so everything here is a constant, a type or `static inline`.
 *
 * Weights. A panel is MAT_PANEL rows. How a type lies in it:
 *   MAT_ROWS   rows as in the file: every quantized type on the scalar level, and types without a kernel on all levels
 *   MAT_TILES  quantized, on a vector level: tiles of `tile` rows (16 or 8), each a sequence of blocks along the columns; a block of R
 *              rows has R times the bytes of the file's block, as vectors of R dwords (or R half floats) in the order of their use
 *   MAT_FLOATS F32, F16, BF16: element (row, k) at [k][row], 16 rows
 * Rows beyond the matrix are zero.
 *
 * Tile blocks (v = R dwords, one a row; h = R half floats; "x4" four vectors one after another):
 *   Q4_0  h d, v qs x4                            Q4_1  h d, h m, v qs x4
 *   Q5_0  h d, v plane, v qs x4                   Q5_1  h d, h m, v plane, v qs x4
 *   Q8_0  h d, v qs x8 (on AVX-512 with 128 added to each byte)
 *   Q4_K  h d, h dmin, v scales x3, v qs x32      Q5_K  h d, h dmin, v scales x3, (v plane, v qs x4) x8
 *   Q6_K  h d, v scales x4, (v ql[4i..], v ql[32 + 4i..], v qh[4i..]) for i < 8, twice (the halves of 128 elements)
 * A plane holds the fifth bits of the four vectors behind it: bit i of byte b belongs to the low nibble of byte b of vector i, bit 4 + i
 * to the high nibble.
 *
 * Activations. Tokens lie in panels of up to `panel` tokens; the last one is narrower. In a panel of w tokens 32 elements are a record of
 * ACT_WORDS * w dwords: q[8][w] (dword i of token j: elements 4i..4i+3), then w of each other word below. For OpenBLAS: rows of floats.
 */
#include <stdint.h>

#include "kernels/mat.h"

enum mat_layout { MAT_NONE, MAT_ROWS, MAT_TILES, MAT_FLOATS };

enum {
    ACT_Q = 0,
    ACT_D = 8,     /* float: scale */
    ACT_DSUM = 9,  /* float: scale * sum(q), for minima */
    ACT_N8 = 10,   /* int32: -8, -16, -128 times sum(q): where an integer sum starts, for codes with that offset */
    ACT_N16 = 11,
    ACT_N128 = 12,
    ACT_H32 = 13,  /* int32, two: -32 times the sum of the first and of the last 16 */
    ACT_WORDS = 15,
};

/* A block of 32 whose largest magnitude is below this is taken as zero (127 / amax must be finite). */
#define ACT_TINY 1e-36f

/*
 * One instruction set. mat.c walks over panels and tokens and calls these for a tile (`tile` rows, `rows` of them real) or a panel (16 rows).
 * y points at (first token, first row) of what is to be written, ldy floats between tokens; bias at the first row, or NULL.
 */
struct mat_isa {
    int tile;        /* rows of a tile, 0: no tiles */
    int panel;       /* tokens of an activation panel */
    int few;         /* up to so many tokens are multiplied by float_few */
    int float_panel; /* most tokens of float_product */
    bool halves;     /* float products read F16 and BF16 themselves */

    void (*quantize)(struct act *a, int t0, int t1, int c0, int c1);
    /* Every integer type of a level without tiles. */
    void (*rows)(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias, void *scratch);
    /* Tiles [r0, r1) times a->n <= fused_max tokens, multiplied while unpacking. */
    int (*fused_max)(enum qtype type);
    void (*fused_product)(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias);
    /* A tile as bytes with float scales, and its product with a record row of w tokens. */
    size_t (*unpacked_bytes)(enum qtype type, int cols);
    void (*unpack)(enum qtype type, const uint8_t *tile, int cols, uint8_t *dst);
    void (*product)(enum qtype type, const uint8_t *unpacked, const uint32_t *x, int w, int cols, float *y, int ldy, int rows, const float *bias);
    /* Panels [r0, r1) times a->n <= few tokens; one panel times w tokens, ld floats between them. */
    void (*float_few)(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, const float *bias);
    void (*float_product)(enum qtype type, const void *panel, const float *x, int ld, int w, int cols, float *y, int ldy, int rows, const float *bias);
};

extern const struct mat_isa mat_scalar, mat_avx2, mat_avx512;

enum mat_layout mat_layout(enum isa isa, enum qtype type);
/* mat_scalar.c: act_quantize to floats, (n, cols). */
void mat_round(struct act *a, int t0, int t1, int c0, int c1);
/* mat_pack.c: n <= tile rows of file blocks into a tile (the rest zero), and one row of a block back. `flip`: Q8_0 gets 128 added. */
void mat_pack_tile(enum qtype type, int tile, bool flip, const uint8_t *src, size_t row_bytes, int n, int blocks, void *dst);
void mat_unpack_block(enum qtype type, int tile, bool flip, const void *src, int row, uint8_t *dst);

/* The record of panel-wise activations that holds (token, column); `w` gets the panel's width, `j` the token's place in it. */
static inline uint32_t *act_record(const struct act *a, int panel, int t, int col, int *w, int *j)
{
    int first = t / panel * panel;
    *w = a->n - first < panel ? a->n - first : panel;
    *j = t - first;
    return (uint32_t *)a->q + ((size_t)first * (size_t)(a->cols / 32) + (size_t)*w * (size_t)(col / 32)) * ACT_WORDS;
}

/* Types with integer kernels; the others are multiplied as floats. */
static inline bool mat_is_integer(enum qtype t)
{
    return t == Q_Q4_0 || t == Q_Q4_1 || t == Q_Q5_0 || t == Q_Q5_1 || t == Q_Q8_0 || t == Q_Q4_K || t == Q_Q5_K || t == Q_Q6_K;
}

/*
 * How a kernel goes through a tile block. Blocks of 256 are two groups of 128 columns, others one. A group is made of units, which are what
 * shares loads. A unit is `subs` blocks of 32 columns, read in `steps` of `slots` vectors of codes: slot k is block k of the unit; if there
 * are more slots than blocks, slots 0 and 1 are columns 0..15 and 16..31.
 */
struct mat_form {
    int groups, units, subs, steps, slots;
    int bytes, codes, group; /* bytes a row of a block; of what is in front of the codes (planes of blocks of 32 included); of a group's codes */
    int start;               /* the word of a record where integer sums start, 0: codes have no offset */
    int bits;                /* of a code */
    bool min, halves;        /* a minimum for each 32 columns; a scale for each 16 */
};

static inline __attribute__((always_inline)) struct mat_form mat_form(enum qtype type)
{
    switch (type) {
    case Q_Q4_0:
        return (struct mat_form){1, 1, 1, 4, 2, 18, 2, 16, ACT_N8, 4, false, false};
    case Q_Q4_1:
        return (struct mat_form){1, 1, 1, 4, 2, 20, 4, 16, 0, 4, true, false};
    case Q_Q5_0:
        return (struct mat_form){1, 1, 1, 4, 2, 22, 6, 16, ACT_N16, 5, false, false};
    case Q_Q5_1:
        return (struct mat_form){1, 1, 1, 4, 2, 24, 8, 16, 0, 5, true, false};
    case Q_Q8_0:
        return (struct mat_form){1, 1, 1, 8, 1, 34, 2, 32, ACT_N128, 8, false, false};
    case Q_Q4_K:
        return (struct mat_form){2, 2, 2, 8, 2, 144, 16, 64, 0, 4, true, false};
    case Q_Q5_K:
        return (struct mat_form){2, 2, 2, 8, 2, 176, 16, 80, 0, 5, true, false};
    default: /* Q6_K */
        return (struct mat_form){2, 1, 4, 8, 4, 210, 18, 96, ACT_H32, 6, false, true};
    }
}

/* Tile blocks of a row. */
static inline int mat_blocks(enum qtype type, int cols)
{
    return cols / 32 / (mat_form(type).groups * mat_form(type).units * mat_form(type).subs);
}

#define MAT_INTEGER_CASES(CASE) CASE(Q_Q4_0) CASE(Q_Q4_1) CASE(Q_Q5_0) CASE(Q_Q5_1) CASE(Q_Q8_0) CASE(Q_Q4_K) CASE(Q_Q5_K) CASE(Q_Q6_K)

#endif
