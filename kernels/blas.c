/*
 * OpenBLAS by dlopen, under its soname alone. It computes in the thread that calls it: OPENBLAS_NUM_THREADS keeps it from making threads
 * when it is loaded (other variants listen to openblas_set_num_threads).
 *
 * Before it is used it multiplies two small matrices, once each way round, and must agree with plain sums in double: some of its builds compute
 * wrong results on some processors. HADAL_EXACT=1 (--exact) leaves it alone, since the bits of its sums depend on the number of tokens.
 */
#include "config.h"
#include "kernels/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SONAME "libopenblas.so.0"
#define MAX_THREADS 64 /* each call holds one of its buffers, of which the smallest builds have twice as many */

static __typeof__(&cblas_sgemm) sgemm;
static const char *state;

void blas_product(bool by_column, int n, int rows, int cols, const float *x, int ldx, const float *w, int ldw, float *y, int ldy)
{
    sgemm(CblasRowMajor, CblasNoTrans, by_column ? CblasNoTrans : CblasTrans, n, rows, cols, 1, x, ldx, w, ldw, 0, y, ldy);
}

/* A shape that is no multiple of any register tile, more than one block of the sums deep. What y held before must not matter. */
static bool agrees(bool by_column)
{
    enum { N = 37, ROWS = 43, COLS = 787, LDX = COLS + 5, LDW = COLS + 3, LDY = ROWS + 2 };
    float *x = mem_array(N * LDX, sizeof *x), *w = mem_array(COLS * LDW, sizeof *w), *y = mem_array(N * LDY, sizeof *y);
    unsigned seed = 1;
    bool ok = true;
    for (int i = 0; i < N * LDX; i++)
        x[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
    for (int i = 0; i < COLS * LDW; i++)
        w[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
    for (int i = 0; i < N * LDY; i++)
        y[i] = NAN;
    blas_product(by_column, N, ROWS, COLS, x, LDX, w, LDW, y, LDY);
    for (int t = 0; t < N; t++) {
        for (int r = 0; r < LDY; r++) {
            double want = 0, norm = 0;
            for (int k = 0; k < COLS && r < ROWS; k++) {
                double p = (double)x[t * LDX + k] * (double)w[by_column ? k * LDW + r : r * LDW + k];
                want += p;
                norm += fabs(p);
            }
            double got = (double)y[t * LDY + r];
            ok &= r < ROWS ? fabs(got - want) <= 2e-6 * norm : isnan(got);
        }
    }
    free(x);
    free(w);
    free(y);
    return ok;
}

static bool exact(void)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    const char *e = getenv("HADAL_EXACT");
    for (size_t i = 0; e && i < sizeof yes / sizeof *yes; i++)
        if (!strcmp(e, yes[i]))
            return true;
    return false;
}

/* `symbol` of a library, as a function. */
static void find(void *library, const char *symbol, void *fn)
{
    void *p = dlsym(library, symbol);
    memcpy(fn, &p, sizeof p);
}

static void load(void)
{
    __typeof__(&openblas_set_num_threads) set_threads;
    if (exact()) {
        state = "exact, no OpenBLAS";
        return;
    }
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    state = "no OpenBLAS found";
    if (!library)
        return;
    find(library, "cblas_sgemm", &sgemm);
    find(library, "openblas_set_num_threads", &set_threads);
    if (!sgemm || !set_threads) {
        sgemm = NULL;
        state = SONAME " is no OpenBLAS";
        return;
    }
    set_threads(1);
    state = "OpenBLAS for prefill";
    if (!agrees(false) || !agrees(true)) {
        sgemm = NULL;
        state = "OpenBLAS computes wrong results here and is not used";
    }
}

bool blas_open(int n_threads, const char **text)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    *text = sgemm && n_threads > MAX_THREADS ? "too many threads for OpenBLAS" : state;
    return sgemm && n_threads <= MAX_THREADS;
}
