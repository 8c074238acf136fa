/*
 * OpenBLAS in the place of the scalar level: few tokens are the same bits as ever, many within rounding of it, for every kind of layout,
 * with a bias, in parts; and --exact leaves it alone.
 */
#include "config.h"
#include "tests/t.h"

#include <math.h>
#include <sys/wait.h>

#include "kernels/backend.h"
#include "kernels/blas.h"
#include "kernels/mat.h"

enum { ROWS = 83, COLS = 512, TOKENS = 41, LD = COLS + 3 };

static float wave(int i)
{
    return (float)(i % 2003 * 7919 % 2001 - 1000) * 1e-3f;
}

static void *block(size_t n)
{
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, n), 0);
    memset(p, 0xA5, n);
    return p;
}

/* Rows whose half floats are finite. */
static uint8_t *make_rows(enum qtype type)
{
    size_t n = ROWS * quant_row_bytes(type, COLS);
    uint8_t *p = malloc(n);
    uint32_t s = 1;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((s = s * 1664525 + 1013904223) >> 24) & 0xBF;
    for (int i = 0; type == Q_F32 && i < ROWS * COLS; i++) {
        float f = wave(i + i / 7);
        memcpy(p + 4 * i, &f, 4);
    }
    return p;
}

static float *product(enum isa isa, enum qtype type, const uint8_t *rows, int n, const float *x)
{
    float bias[ROWS], *y = malloc((size_t)n * ROWS * sizeof *y);
    struct mat m;
    struct act a;
    for (int r = 0; r < ROWS; r++)
        bias[r] = wave(r * 31);
    mat_init(&m, isa, type, ROWS, COLS, block(mat_bytes(isa, type, ROWS, COLS)));
    mat_pack(&m, rows, 0, ROWS);
    void *q = block(act_bytes(isa, n, COLS)), *scratch = block(mat_scratch_bytes(isa, COLS, n));
    act_init(&a, isa, n, COLS, x, LD, mat_reads_q(type) ? q : NULL);
    if (a.q) { /* in parts, as threads would */
        act_quantize(&a, isa, 0, n / 2, 0, COLS);
        act_quantize(&a, isa, n / 2, n, 0, 96);
        act_quantize_from(&a, isa, n / 2, n, 96, COLS, x + (size_t)(n / 2) * LD + 96, LD);
    }
    mat_mul(&m, &a, 0, 80, y, ROWS, 0, bias, scratch);
    mat_mul(&m, &a, 80, ROWS, y, ROWS, 0, bias, scratch);
    free(m.data);
    free(q);
    free(scratch);
    return y;
}

static void open_it(void)
{
    const char *text;
    if (!blas_open(2, &text)) {
        print_message("%s\n", text);
        skip();
    }
}

static void agrees(void **state)
{
    static const enum qtype types[] = {Q_F32, Q_F16, Q_BF16, Q_Q4_0, Q_Q5_1, Q_Q4_K, Q_Q6_K, Q_IQ4_XS, Q_Q3_K};
    (void)state;
    open_it();
    float *x = malloc(TOKENS * LD * sizeof *x);
    for (int i = 0; i < TOKENS * LD; i++)
        x[i] = wave(i);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int n = BLAS_TOKENS - 1; n <= TOKENS; n += TOKENS - BLAS_TOKENS + 1) {
            uint8_t *rows = make_rows(types[i]);
            float *own = product(ISA_SCALAR, types[i], rows, n, x), *got = product(ISA_BLAS, types[i], rows, n, x), top = 0;
            bool same = true;
            for (int k = 0; k < n * ROWS; k++)
                top = fmaxf(top, fabsf(own[k]));
            for (int k = 0; k < n * ROWS; k++) {
                same &= own[k] == got[k];
                if (!(fabsf(own[k] - got[k]) <= 1e-5f * top))
                    fail_msg("%s, %d tokens, %d: %.9g, own %.9g, of at most %g", quant_traits(types[i])->name, n, k, (double)got[k], (double)own[k],
                             (double)top);
            }
            assert_true(same == (n < BLAS_TOKENS)); /* or nobody was asked */
            free(rows);
            free(own);
            free(got);
        }
    free(x);
}

static void not_a_number_stays(void **state)
{
    (void)state;
    open_it();
    float *x = malloc(TOKENS * LD * sizeof *x);
    for (int i = 0; i < TOKENS * LD; i++)
        x[i] = wave(i);
    x[5 * LD + 70] = NAN;
    uint8_t *rows = make_rows(Q_Q4_0);
    float *y = product(ISA_BLAS, Q_Q4_0, rows, TOKENS, x);
    for (int k = 0; k < TOKENS * ROWS; k++)
        assert_true(isnan(y[k]) == (k / ROWS == 5));
    free(rows);
    free(x);
    free(y);
}

static void many_threads_do_without(void **state)
{
    const char *text;
    (void)state;
    open_it();
    assert_false(blas_open(65, &text));
    assert_string_equal(text, "too many threads for OpenBLAS");
}

/* What the backend of a process with this environment says. */
static void describe(const char *exact, char *text, size_t size)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        const struct bk_conf conf = {.n_threads = 1};
        struct bk *b;
        struct err e;
        setenv("HADAL_ISA", "scalar", 1);
        setenv("HADAL_EXACT", exact, 1);
        if (!bk_cpu()->open(&conf, &b, &e)) {
            const char *s = bk_cpu()->describe(b);
            if (write(fd[1], s, strlen(s)) < 0)
                _exit(1);
            bk_cpu()->close(b);
        }
        _exit(0);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], text, size - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* First of all, while this process has loaded nothing. */
static void told_and_left_alone(void **state)
{
    char text[512];
    (void)state;
    describe("1", text, sizeof text);
    assert_non_null(strstr(text, "scalar (exact, no OpenBLAS), 1 thread"));
    describe("0", text, sizeof text);
    assert_non_null(strstr(text, "OpenBLAS"));
    assert_null(strstr(text, "exact"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_and_left_alone), cmocka_unit_test(agrees), cmocka_unit_test(not_a_number_stays), cmocka_unit_test(many_threads_do_without),
    };
    setenv("HADAL_EXACT", "0", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
