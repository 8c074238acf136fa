/*
 * Speed of the products, one thread, best of many short runs: GB/s of packed weights for few tokens (weights beyond the caches, and in
 * them), GMAC/s for many. Not a test: `make tests/kernels/bench_mat && tests/kernels/bench_mat [TYPE...]`, levels capped by HADAL_ISA.
 * With OpenBLAS' sgemm in the last line as a measure of the machine.
 */
#include "config.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernels/mat.h"

enum { ROUNDS = 40, BUDGET_US = 4000 };

static void *block(size_t n)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, n))
        abort();
    memset(p, 0, n);
    return p;
}

/* Rows of random codes; every half float of them is small and finite because the high bit of its exponent is cleared. */
static void fill(uint8_t *p, size_t n)
{
    uint64_t s = 88172645463325252u;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        p[i] = (uint8_t)(s >> 32) & 0xBF;
    }
}

struct work {
    struct mat m;
    struct act a;
    float *x, *y;
    void *q, *scratch;
};

static double seconds(void)
{
    return (double)clock_mono_us() * 1e-6;
}

/* Best time of one product in seconds; the matrix is gone through in runs of 64 rows as the backend does. */
static double best(struct work *w)
{
    double min = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        int n = 0;
        double t0 = seconds(), t;
        do {
            for (int r = 0; r < w->m.rows; r += 64)
                mat_mul(&w->m, &w->a, r, r + 64 < w->m.rows ? r + 64 : w->m.rows, w->y, w->m.rows, 0, NULL, w->scratch);
            n++;
            t = seconds() - t0;
        } while (t < BUDGET_US * 1e-6);
        min = t / n < min ? t / n : min;
    }
    return min;
}

static void tokens(struct work *w, int n)
{
    act_init(&w->a, w->m.isa, n, w->m.cols, w->x, w->m.cols, w->q);
    act_quantize(&w->a, w->m.isa, 0, n, 0, w->m.cols);
}

static void run(enum isa isa, enum qtype type, int rows, int cols, const int *counts, int n_counts, const char *what)
{
    struct work w;
    size_t file = (size_t)rows * quant_row_bytes(type, cols);
    uint8_t *src = block(file);
    fill(src, file);
    mat_init(&w.m, isa, type, rows, cols, block(mat_bytes(isa, type, rows, cols)));
    double t0 = seconds();
    mat_pack(&w.m, src, 0, rows);
    double pack = seconds() - t0;
    free(src);
    int max = counts[n_counts - 1];
    w.x = block((size_t)max * (size_t)cols * 4);
    w.y = block((size_t)max * (size_t)rows * 4);
    w.q = block(act_bytes(isa, max, cols));
    w.scratch = block(mat_scratch_bytes(isa, cols, max));
    for (int i = 0; i < max * cols; i++)
        w.x[i] = (float)(i % 2003 * 7919 % 2001 - 1000) * 1e-3f;
    printf("%-7s %-5s %-6s pack %4.1f GB/s ", isa_name(isa), quant_traits(type)->name, what, (double)file / pack * 1e-9);
    for (int i = 0; i < n_counts; i++) {
        tokens(&w, counts[i]);
        double t = best(&w);
        if (counts[i] <= 8)
            printf(" %d: %5.1f GB/s", counts[i], (double)w.m.bytes / t * 1e-9);
        else
            printf(" %d: %5.1f GMAC/s", counts[i], (double)rows * cols * counts[i] / t * 1e-9);
    }
    printf("\n");
    fflush(stdout);
    free(w.m.data);
    free(w.x);
    free(w.y);
    free(w.q);
    free(w.scratch);
}

static void rounding(enum isa isa)
{
    struct work w = {.m = {.isa = isa, .cols = 1536}};
    w.x = block(512 * 1536 * 4);
    w.q = block(act_bytes(isa, 512, 1536));
    for (int i = 0; i < 512 * 1536; i++)
        w.x[i] = (float)(i % 2003 * 7919 % 2001 - 1000) * 1e-3f;
    for (int n = 1; n <= 512; n *= 512) {
        double min = 1e9;
        for (int r = 0; r < 50; r++) {
            double t0 = seconds();
            for (int i = 0; i < 512 / n; i++)
                tokens(&w, n);
            double t = seconds() - t0;
            min = t < min ? t : min;
        }
        printf("%-7s rounding, %d tokens at once: %.2f G elements/s\n", isa_name(isa), n, 512 * 1536 / min * 1e-9);
    }
    free(w.x);
    free(w.q);
}

static void blas(void)
{
    enum { N = 512, K = 576, M = 1536 };
    float *a = block(N * K * 4), *b = block(M * K * 4), *c = block(N * M * 4);
    double min = 1e9;
    openblas_set_num_threads(1);
    for (int r = 0; r < 20; r++) {
        double t0 = seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, M, K, 1, a, K, b, K, 0, c, M);
        double t = seconds() - t0;
        min = t < min ? t : min;
    }
    printf("OpenBLAS sgemm: %.1f GMAC/s\n", (double)N * K * M / min * 1e-9);
    free(a);
    free(b);
    free(c);
}

int main(int argc, char **argv)
{
    static const enum qtype types[] = {Q_Q4_0, Q_Q4_1, Q_Q5_0, Q_Q5_1, Q_Q8_0, Q_Q4_K, Q_Q5_K, Q_Q6_K, Q_F32, Q_F16, Q_BF16, Q_IQ4_XS};
    static const int few[] = {1, 2, 3, 4, 8}, many[] = {12, 32, 512};
    for (int isa = (int)isa_level(); isa >= ISA_SCALAR; isa -= 1) {
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            const struct qtraits *q = quant_traits(types[i]);
            int cols = q->elems == 256 ? 768 : 576, wanted = argc < 2;
            for (int k = 1; k < argc; k++)
                wanted |= !strcmp(argv[k], q->name);
            if (!wanted)
                continue;
            if (isa > ISA_SCALAR)
                run((enum isa)isa, types[i], (int)(96e6 / (double)quant_row_bytes(types[i], cols)) / 64 * 64, cols, few, 5, "memory");
            run((enum isa)isa, types[i], (int)((isa ? 4e6 : 4e5) / (double)quant_row_bytes(types[i], cols)) / 64 * 64, cols, few, isa ? 5 : 1, "cache");
            run((enum isa)isa, types[i], isa ? 1536 : 64, cols, many, isa ? 3 : 2, "many");
        }
        rounding((enum isa)isa);
    }
    blas();
    return 0;
}
