#ifndef KERNELS_MAT_H
#define KERNELS_MAT_H
/*
 * A weight matrix W (rows, cols) in the layout of the running instruction set, and products with it: the seam between
 * the per-ISA kernels and the CPU backend.
 *
 * Numbers: y[t][r] = sum_k W[r][k] * x[t][k]. For quantized W the activations are rounded once to 8 bits with one f32 scale
 * per 32 (struct act); integer dot products are exact and the float sums have one order for each (r, t), so the result does
 * not depend on how many tokens or rows are computed at once, nor on threads. The same holds for float weights and for types without
 * an integer kernel, which are decoded by panels. AVX2 and AVX-512 agree bit for bit; the scalar level within rounding of the float sums.
 * ISA_BLAS is the exception: from BLAS_TOKENS tokens on, the scalar level's rows (and activations, rounded as ever) become floats for OpenBLAS, whose
 * sums have an order that depends on the number of tokens.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/quant.h"

enum isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_BLAS };

/*
 * What this CPU can do, capped by the environment variable HADAL_ISA=scalar|avx2|avx512. Decided once, thread-safe. Never ISA_BLAS, which who
 * has called blas_open may put in the place of ISA_SCALAR.
 */
enum isa isa_level(void);
const char *isa_name(enum isa isa); /* "scalar" (ISA_BLAS, too), "AVX2", "AVX-512" (+ what of it matters) */

#define MAT_PANEL 16 /* rows are split between threads at multiples of this */

struct mat {
    enum qtype type;
    enum isa isa;
    int rows, cols;
    void *data;      /* packed panels; owned by whoever gave the memory to mat_init */
    size_t bytes;    /* of data */
};

/* Bytes of the packed form; 0: nothing multiplies this type (no decoder, or integers). Alignment wanted: 64. */
size_t mat_bytes(enum isa isa, enum qtype type, int rows, int cols);
/* Lays out *m over memory of mat_bytes(). */
void mat_init(struct mat *m, enum isa isa, enum qtype type, int rows, int cols, void *memory);
/* Packs rows [r0, r1) from GGUF rows; `src` is row 0. r0 is a multiple of MAT_PANEL, r1 too or == rows. Threads may pack different rows. */
void mat_pack(struct mat *m, const void *src, int r0, int r1);

/* Activations of n tokens: float rows, and their 8-bit form. All arrays belong to the caller (one block of act_bytes). */
struct act {
    int n, cols;    /* tokens; elements (a multiple of 32 when a quantized matrix is to read it) */
    const float *f; /* (n, ld) float rows */
    int ld;         /* floats between rows; a multiple of 512 is slow for float matrices (rows share cache sets) */
    void *q;        /* 8-bit form, layout private to the ISA; NULL: only float matrices will read it */
};
size_t act_bytes(enum isa isa, int n, int cols);
/* Sets n, cols, f, ld and points q into `memory` (act_bytes; 64-aligned). Computes nothing. */
void act_init(struct act *a, enum isa isa, int n, int cols, const float *f, int ld, void *memory);
/* Rounds columns [c0, c1) (multiples of 32; of 256 or cols for even splitting) of tokens [t0, t1). Parts may run on different threads. */
void act_quantize(struct act *a, enum isa isa, int t0, int t1, int c0, int c1);
/* The same of values that lie elsewhere: src is column c0 of token t0, tokens are ld floats apart. */
void act_quantize_from(struct act *a, enum isa isa, int t0, int t1, int c0, int c1, const float *src, int ld);

/* Scratch bytes that mat_mul wants per thread, 64-aligned. */
size_t mat_scratch_bytes(enum isa isa, int max_cols, int max_tokens);
/*
 * y[t * ldy + r - y_row0] for r in [r0, r1) (as in mat_pack) and all tokens of `a`. `scratch` is this thread's. `bias` (rows floats, or
 * NULL) is added. Reads a->q or a->f, as mat_reads_q says.
 */
void mat_mul(const struct mat *m, const struct act *a, int r0, int r1, float *y, int ldy, int y_row0, const float *bias, void *scratch);
/* Whether products with this type read a->q (the types with integer kernels) or a->f (all others, which are decoded by panels). */
bool mat_reads_q(enum qtype type);
/* Decodes one row back to float32 (for embeddings that share the packed output matrix). */
void mat_row(const struct mat *m, int row, float *dst);

#endif
