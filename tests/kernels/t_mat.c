/*
 * Products on every instruction set this machine has: against a double-precision product of decoded weights and equally rounded
 * activations, bit for bit against themselves over batch sizes, row splits and packing in parts; rows back; nothing read or written
 * outside exact allocations (which the sanitizer build sees).
 */
#include "config.h"
#include "tests/t.h"

#include <math.h>

#include "kernels/mat.h"

static const enum qtype types[] = {Q_F32, Q_F16, Q_BF16, Q_Q4_0, Q_Q4_1, Q_Q5_0, Q_Q5_1, Q_Q8_0, Q_Q4_K, Q_Q5_K, Q_Q6_K,
    Q_IQ4_NL, Q_Q3_K}; /* the last two have no kernel: decoded by panels */
static const int token_counts[] = {1, 2, 3, 4, 5, 7, 8, 12, 13, 33};
enum { MAX_TOKENS = 33 };

static uint64_t seed = 1;

static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static float rnd_float(void) /* about gaussian */
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)rnd() * 0x1p-31f - 1;
    return sum;
}

static void *exact(size_t n)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, n), 0);
    return p;
}

static void put_half(uint8_t *p)
{
    uint16_t h = quant_f32_to_f16(rnd_float() * 0.02f);
    memcpy(p, &h, 2);
}

/* Any bytes are valid blocks but for their half floats, which must be finite. */
static uint8_t *make_rows(enum qtype type, int rows, int cols)
{
    const struct qtraits *q = quant_traits(type);
    size_t n = (size_t)rows * quant_row_bytes(type, cols);
    uint8_t *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rnd() >> 11);
    for (size_t i = 0; i < n; i += (size_t)q->bytes) {
        float f = rnd_float();
        uint16_t h = type == Q_BF16 ? quant_f32_to_bf16(f) : quant_f32_to_f16(f);
        if (type == Q_F32)
            memcpy(p + i, &f, 4);
        else if (type == Q_F16 || type == Q_BF16)
            memcpy(p + i, &h, 2);
        else
            put_half(p + i + (type == Q_Q6_K ? 208 : type == Q_Q3_K ? 108 : 0));
        if (type == Q_Q4_1 || type == Q_Q5_1 || type == Q_Q4_K || type == Q_Q5_K)
            put_half(p + i + 2);
    }
    return p;
}

struct fixture {
    enum isa isa;
    enum qtype type;
    int rows, cols, ld;
    uint8_t *file;  /* rows as in the file */
    float *decoded; /* (rows, cols) */
    float *x;       /* (MAX_TOKENS, ld) */
    double *rounded; /* x as the product sees it */
    struct mat m;
    void *scratch;
    float *single; /* (MAX_TOKENS, rows): each token alone */
};

static void make(struct fixture *f, enum isa isa, enum qtype type, int rows, int cols)
{
    *f = (struct fixture){.isa = isa, .type = type, .rows = rows, .cols = cols, .ld = cols + (int)(rnd() % 3) * 5};
    f->file = make_rows(type, rows, cols);
    f->decoded = malloc((size_t)rows * (size_t)cols * sizeof(float));
    quant_traits(type)->decode(f->file, f->decoded, (int64_t)rows * cols);
    size_t n = (size_t)(MAX_TOKENS - 1) * (size_t)f->ld + (size_t)cols;
    f->x = malloc(n * sizeof(float));
    f->rounded = calloc(n, sizeof(double));
    for (size_t i = 0; i < n; i++)
        f->x[i] = rnd_float() * (i % 97 ? 1 : 30);
    for (int t = 0; t < MAX_TOKENS; t++) {
        float *x = f->x + t * f->ld;
        double *r = f->rounded + t * f->ld;
        if (t == 2) /* a block of zeros */
            memset(x, 0, (cols < 32 ? cols : 32) * sizeof *x);
        for (int k = 0; k < cols && !mat_reads_q(type); k++)
            r[k] = (double)x[k];
        for (int k = 0; k < cols && mat_reads_q(type); k += 32) {
            float amax = 0;
            for (int i = 0; i < 32; i++)
                amax = fmaxf(amax, fabsf(x[k + i]));
            for (int i = 0; i < 32; i++)
                r[k + i] = amax > 0 ? rint((double)(x[k + i] * (127 / amax))) * (double)(amax / 127) : 0;
        }
    }
    mat_init(&f->m, isa, type, rows, cols, exact(mat_bytes(isa, type, rows, cols)));
    memset(f->m.data, 0xA5, f->m.bytes);
    mat_pack(&f->m, f->file, 0, rows);
    f->scratch = exact(mat_scratch_bytes(isa, cols, MAX_TOKENS));
    f->single = malloc((size_t)MAX_TOKENS * (size_t)rows * sizeof(float));
}

static void clean(struct fixture *f)
{
    free(f->file);
    free(f->decoded);
    free(f->x);
    free(f->rounded);
    free(f->m.data);
    free(f->scratch);
    free(f->single);
}

/* Tokens [t0, t0 + n) times rows [r0, r1) into y of exactly the size that is written. */
static float *product(const struct fixture *f, int t0, int n, int r0, int r1, const float *bias)
{
    struct act a;
    int ldy = r1 - r0;
    float *x = malloc(((size_t)(n - 1) * (size_t)f->ld + (size_t)f->cols) * sizeof(float)), *y = malloc((size_t)n * (size_t)ldy * sizeof(float));
    memcpy(x, f->x + t0 * f->ld, ((size_t)(n - 1) * (size_t)f->ld + (size_t)f->cols) * sizeof(float));
    void *q = exact(act_bytes(f->isa, n, f->cols));
    memset(q, 0xA5, act_bytes(f->isa, n, f->cols));
    act_init(&a, f->isa, n, f->cols, x, f->ld, mat_reads_q(f->type) ? q : NULL);
    if (mat_reads_q(f->type)) { /* in parts, as threads would */
        int t = n / 2, c = f->cols / 64 * 32;
        act_quantize(&a, f->isa, 0, t, 0, f->cols);
        act_quantize(&a, f->isa, t, n, 0, c);
        act_quantize(&a, f->isa, t, n, c, f->cols);
    }
    mat_mul(&f->m, &a, r0, r1, y, ldy, r0, bias, f->scratch);
    free(q);
    free(x);
    return y;
}

static void against_double(struct fixture *f)
{
    for (int t = 0; t < MAX_TOKENS; t++) {
        float *y = product(f, t, 1, 0, f->rows, NULL);
        memcpy(f->single + t * f->rows, y, (size_t)f->rows * sizeof *y);
        free(y);
        const double *x = f->rounded + t * f->ld;
        for (int r = 0; r < f->rows; r++) {
            double want = 0, norm = 0;
            const float *w = f->decoded + r * f->cols;
            for (int k = 0; k < f->cols; k++) {
                want += (double)w[k] * x[k];
                norm += fabs((double)w[k] * x[k]);
            }
            double got = (double)f->single[t * f->rows + r];
            if (!(fabs(got - want) <= 2e-6 * norm))
                fail_msg("%s %s (%d, %d): token %d row %d is %.9g, not %.9g (norm %g)", isa_name(f->isa), quant_traits(f->type)->name, f->rows,
                         f->cols, t, r, got, want, norm);
        }
    }
}

static void same(const struct fixture *f, int t0, int n, int r0, int r1)
{
    float *y = product(f, t0, n, r0, r1, NULL);
    for (int t = 0; t < n; t++)
        for (int r = r0; r < r1; r++) {
            float got = y[t * (r1 - r0) + r - r0], want = f->single[(t0 + t) * f->rows + r];
            if (memcmp(&got, &want, 4))
                fail_msg("%s %s (%d, %d): %d tokens, rows %d to %d: token %d row %d is %.9g, alone %.9g", isa_name(f->isa),
                         quant_traits(f->type)->name, f->rows, f->cols, n, r0, r1, t, r, (double)got, (double)want);
        }
    free(y);
}

static void invariance(const struct fixture *f)
{
    for (size_t i = 0; i < sizeof token_counts / sizeof token_counts[0]; i++) {
        int n = token_counts[i], r0 = 0;
        same(f, 0, n, 0, f->rows);
        if (n == 1 || n == 3 || n == 13)
            for (int step = MAT_PANEL; r0 < f->rows; r0 += step, step = (int)(rnd() % 4 + 1) * MAT_PANEL)
                same(f, MAX_TOKENS - n, n, r0, r0 + step < f->rows ? r0 + step : f->rows);
    }
    float *bias = malloc((size_t)f->rows * sizeof *bias);
    for (int r = 0; r < f->rows; r++)
        bias[r] = rnd_float();
    float *y = product(f, 0, 2, 0, f->rows, bias);
    for (int i = 0; i < 2 * f->rows; i++)
        assert_true(y[i] == f->single[i] + bias[i % f->rows]);
    free(y);
    free(bias);
}

static void packing(const struct fixture *f)
{
    struct mat m;
    float *row = malloc((size_t)f->cols * sizeof *row);
    mat_init(&m, f->isa, f->type, f->rows, f->cols, exact(f->m.bytes));
    memset(m.data, 0x5A, m.bytes);
    for (int r0 = (f->rows - 1) / 16 * 16; r0 >= 0; r0 -= 16) /* in parts, last rows first */
        mat_pack(&m, f->file, r0, r0 + 16 < f->rows ? r0 + 16 : f->rows);
    for (int r = 0; r < f->rows; r++) {
        mat_row(&m, r, row);
        assert_memory_equal(row, f->decoded + r * f->cols, (size_t)f->cols * sizeof *row);
    }
    free(m.data);
    free(row);
}

static void run(enum isa isa)
{
    static const int rows[] = {1, 15, 16, 17, 31, 33, 257}, cols[] = {32, 64, 96, 256, 512, 576, 1, 31, 33};
    if (isa > isa_level())
        skip();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (size_t c = 0; c < sizeof cols / sizeof cols[0]; c++)
            for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
                struct fixture f;
                if (cols[c] % quant_traits(types[i])->elems || (rows[r] > 100 && cols[c] > 256))
                    continue;
                make(&f, isa, types[i], rows[r], cols[c]);
                against_double(&f);
                invariance(&f);
                packing(&f);
                clean(&f);
            }
}

static void on_scalar(void **state)
{
    (void)state;
    run(ISA_SCALAR);
}

static void on_avx2(void **state)
{
    (void)state;
    run(ISA_AVX2);
}

static void on_avx512(void **state)
{
    (void)state;
    run(ISA_AVX512);
}

/* What rounding must not turn into numbers, and what must not divide by zero. */
static void odd_values(void **state)
{
    (void)state;
    for (int isa = ISA_SCALAR; isa <= (int)isa_level(); isa++) {
        static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 1e-38f, -1e-45f, 3e38f};
        struct fixture f;
        make(&f, (enum isa)isa, Q_Q8_0, 16, 96);
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            f.x[40 + i] = odd[i];
            float *y = product(&f, 0, 2, 0, 16, NULL);
            for (int r = 0; r < 16; r++) {
                assert_true(isfinite(odd[i]) ? isfinite(y[r]) || fabsf(odd[i]) > 1 : isnan(y[r]));
                assert_true(isfinite(y[16 + r])); /* the other token */
            }
            free(y);
            f.x[40 + i] = 0;
        }
        clean(&f);
    }
}

/* All levels round activations alike and add the same terms, so results differ by the order of float sums alone; AVX2's and AVX-512's not at all. */
static void levels_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const int tokens = 13, rows = 33;
        float *y[3], max = 0;
        uint64_t at = seed;
        for (int isa = ISA_SCALAR; isa <= (int)isa_level(); isa++) {
            struct fixture f;
            seed = at; /* the same matrix */
            make(&f, (enum isa)isa, types[i], rows, 512);
            y[isa] = product(&f, 0, tokens, 0, rows, NULL);
            clean(&f);
            for (int k = 0; k < tokens * rows; k++) {
                max = fmaxf(max, fabsf(y[0][k]));
                assert_true(fabsf(y[0][k] - y[isa][k]) <= 1e-5f * max);
            }
        }
        if (isa_level() == ISA_AVX512)
            assert_memory_equal(y[ISA_AVX2], y[ISA_AVX512], (size_t)(tokens * rows) * sizeof(float));
        for (int isa = ISA_SCALAR; isa <= (int)isa_level(); isa++)
            free(y[isa]);
    }
}

static void refused_types(void **state)
{
    (void)state;
    assert_int_equal(mat_bytes(ISA_SCALAR, Q_IQ2_XXS, 16, 256), 0); /* no decoder */
    assert_int_equal(mat_bytes(ISA_SCALAR, Q_I32, 16, 256), 0);
    assert_int_equal(mat_bytes(ISA_SCALAR, Q_Q4_K, 16, 96), 0); /* no whole blocks */
    assert_int_equal(mat_bytes(ISA_SCALAR, (enum qtype)5, 16, 256), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_scalar), cmocka_unit_test(on_avx2), cmocka_unit_test(on_avx512), cmocka_unit_test(odd_values),
        cmocka_unit_test(levels_agree), cmocka_unit_test(refused_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
