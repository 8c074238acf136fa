/*
 * The CPU backend's vector code by itself: how exact exp, tanh and the gates are where blocks do not go, what f16 pages hold, and
 * that a row's result does not depend on how many rows are computed with it. For each instruction set this machine has.
 */
#include "config.h"
#include "tests/t.h"

#include <math.h>
#include <stdbool.h>

#include "kernels/vec.h"
#include "tests/isa.h"

static const struct vec_ops *ops(void)
{
    return vec_ops(isa_level());
}

static double uniform(void)
{
    return rand() / (RAND_MAX + 1.0);
}

static void softmax_is_exact(void **state)
{
    (void)state;
    float s[VEC_SPLIT];
    double in[VEC_SPLIT];
    for (int k = 0; k < 400; k++) {
        int a = k % 3 ? rand() % 200 : 0, b = a + 1 + rand() % (VEC_SPLIT - a), n = b + rand() % (VEC_SPLIT - b + 1);
        double spread = k < 200 ? 60 : 4000, top = -INFINITY, sum = 0;
        float max, total;
        for (int i = 0; i < VEC_SPLIT; i++) {
            s[i] = i >= a && i < b ? (float)(spread * (uniform() - 0.5)) : NAN; /* what is not seen may hold anything */
            in[i] = (double)s[i];
            top = i >= a && i < b ? fmax(top, in[i]) : top;
        }
        for (int i = a; i < b; i++) {
            in[i] = (double)(s[i] - (float)top);
            sum += exp(in[i]);
        }
        ops()->softmax(s, a, b, n, 0, &max, &total);
        assert_true((double)max == top);
        assert_true(fabs((double)total - sum) < 1e-6 * sum);
        for (int i = 0; i < n; i++) {
            double want = i >= a && i < b ? exp(in[i]) : 0;
            if (!(fabs((double)s[i] - want) <= 3e-7 * want + 2e-38))
                fail_msg("exp(%.9g) is %.9g, not %.9g", in[i], (double)s[i], want);
        }
    }
}

static void tanh_is_exact(void **state)
{
    (void)state;
    for (double x = 1e-12; x < 1e6; x *= 1.003)
        for (int sign = -1; sign <= 1; sign += 2) {
            float y = (float)(sign * x);
            double want = 2.5 * tanh((double)y / 2.5);
            ops()->softcap(&y, 2.5f, 1);
            if (!(fabs((double)y - want) <= 4e-7 * fabs(want)))
                fail_msg("2.5 tanh(%.9g / 2.5) is %.9g, not %.9g", sign * x, (double)y, want);
        }
}

static void gates_are_exact(void **state)
{
    (void)state;
    for (int i = -12000; i <= 12000; i++) {
        float g = (float)(i * 0.01), one = 1, y;
        double x = (double)g, silu = x / (1 + exp(-x)), gelu = 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        ops()->gate(BK_SILU, 0, &g, &one, 1, &y);
        if (!(fabs((double)y - silu) <= 1e-6 * fabs(silu) + 1e-30))
            fail_msg("silu(%g) is %.9g, not %.9g", x, (double)y, silu);
        ops()->gate(BK_GELU_TANH, 0, &g, &one, 1, &y);
        /* 1 + tanh loses digits below -3; what is compared with does, too. */
        if (!(fabs((double)y - gelu) <= 2e-6 * fabs(gelu) + 1e-12))
            fail_msg("gelu(%g) is %.9g, not %.9g", x, (double)y, gelu);
    }
}

static void pages_hold_f16(void **state)
{
    (void)state;
    enum { DK = 21, DV = 37, DVP = 48 };
    static const float odd[] = {65504, 65519, 65520, 1e30f, -1e30f, INFINITY, -INFINITY, 0, -0.0f, 6e-8f, 3e-8f, 2.9e-8f, 1e-5f, 6.1e-5f, 1.00048828125f};
    uint16_t k_page[DK * BK_PAGE], v_page[DVP * BK_PAGE];
    float k[DK], v[DV], wide[DVP * BK_PAGE];
    memset(k_page, 0, sizeof k_page);
    memset(v_page, 0, sizeof v_page);
    for (int slot = 0; slot < BK_PAGE; slot++) {
        for (int i = 0; i < DV; i++) {
            v[i] = i < 15 ? odd[i] : (float)(exp(20 * uniform() - 12) * (uniform() - 0.5));
            k[i % DK] = v[i];
        }
        ops()->put(k_page, v_page, true, slot, k, DK, v, DV);
        for (int i = 0; i < DV; i++) {
            float held = v[i] > 65504 ? 65504 : v[i] < -65504 ? -65504 : v[i];
            assert_int_equal(v_page[slot * DVP + i], quant_f32_to_f16(held));
        }
        for (int i = 0; i < DK; i++) {
            float held = k[i] > 65504 ? 65504 : k[i] < -65504 ? -65504 : k[i];
            assert_int_equal(k_page[i * BK_PAGE + slot], quant_f32_to_f16(held));
        }
    }
    ops()->widen(v_page, wide, DVP * BK_PAGE);
    for (int i = 0; i < DVP * BK_PAGE; i++) {
        float want = quant_f16_to_f32(v_page[i]);
        assert_memory_equal(&wide[i], &want, sizeof want);
    }
    v[3] = NAN;
    ops()->put(k_page, v_page, true, 5, k, DK, v, DV);
    ops()->widen(v_page, wide, DVP * BK_PAGE);
    assert_true(isnan(wide[5 * DVP + 3]));
}

/* One row alone, from f16, against the same row among others, from widened pages. */
static void rows_are_independent(void **state)
{
    (void)state;
    enum { D = 80, ROWS = 14, N = 61 };
    static uint16_t page[D * BK_PAGE];
    static float wide[D * BK_PAGE], q[ROWS][D], s[ROWS][VEC_SPLIT], alone[VEC_SPLIT], o[ROWS][D], one[D];
    const float *row[ROWS];
    for (int i = 0; i < D * BK_PAGE; i++)
        page[i] = quant_f32_to_f16((float)(uniform() - 0.5));
    ops()->widen(page, wide, D * BK_PAGE);
    for (int r = 0; r < ROWS; r++) {
        row[r] = q[r];
        for (int i = 0; i < D; i++)
            q[r][i] = (float)(uniform() - 0.5);
    }
    for (int rows = 1; rows <= ROWS; rows++) {
        ops()->scores(row, rows, wide, false, D, s[0], NULL);
        ops()->values(s[0], rows, wide, false, D, 40, o[0], true, NULL);
        ops()->values(s[0], rows, wide, false, D, N, o[0], false, NULL);
        for (int r = 0; r < rows; r++) {
            ops()->scores(&row[r], 1, page, true, D, alone, page);
            assert_memory_equal(alone, s[r], BK_PAGE * sizeof(float));
            ops()->values(alone, 1, page, true, D, 40, one, true, page);
            ops()->values(alone, 1, page, true, D, N, one, false, page);
            assert_memory_equal(one, o[r], sizeof one);
        }
    }
    double want = 0;
    for (int i = 0; i < D; i++)
        want += (double)q[0][i] * (double)wide[i * BK_PAGE + 7];
    assert_true(fabs(want - (double)s[0][7]) < 1e-5);
    want = 0;
    for (int i = 0; i < N; i++)
        want += (double)s[0][i] * (double)wide[i * D + 9] * (i < 40 ? 2 : 1);
    assert_true(fabs(want - (double)o[0][9]) < 1e-4);
}

int main(int argc, char **argv)
{
    (void)argc;
    struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_is_exact), cmocka_unit_test(tanh_is_exact),        cmocka_unit_test(gates_are_exact),
        cmocka_unit_test(pages_hold_f16),   cmocka_unit_test(rows_are_independent),
    };
    return t_every_isa(argv, tests, sizeof tests / sizeof tests[0]);
}
