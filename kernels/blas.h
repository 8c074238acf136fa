#ifndef KERNELS_BLAS_H
#define KERNELS_BLAS_H
/*
 * OpenBLAS, for machines without vector kernels of our own: there its sgemm multiplies many tokens several times faster than plain C.
 * Loaded when first asked for, so that other machines do not pay for it.
 */
#include <stdbool.h>

#define BLAS_TOKENS 32 /* fewer are faster without */

/*
 * Loads and tries it once; true: blas_product may be called by `n_threads` threads. *text: what is so, for people. Not while other threads
 * use the environment.
 */
bool blas_open(int n_threads, const char **text);
/*
 * y[t * ldy + r] = sum of x[t * ldx + k] * w[r * ldw + k], or with by_column of w[k * ldw + r], for n tokens, `rows` rows, `cols` columns. The
 * order of the sums depends on n.
 */
void blas_product(bool by_column, int n, int rows, int cols, const float *x, int ldx, const float *w, int ldw, float *y, int ldy);

#endif
