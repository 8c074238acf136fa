/* Decoders against the goldens, bit for bit (as numbers: -0 equals +0); 16-bit floats over all their values; sizes and refusals. */
#include "config.h"
#include "tests/t.h"

#include <math.h>

#include "kernels/quant.h"

static void *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    void *p = malloc(*n ? *n : 1);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

/* The codebook types have goldens but no decoder yet. */
static const enum qtype decoded[] = {Q_F16, Q_BF16, Q_Q4_0, Q_Q4_1, Q_Q5_0, Q_Q5_1, Q_Q8_0, Q_Q2_K, Q_Q3_K, Q_Q4_K, Q_Q5_K, Q_Q6_K,
    Q_IQ4_NL, Q_IQ4_XS, Q_TQ1_0, Q_TQ2_0, Q_MXFP4, Q_NVFP4, Q_Q1_0, Q_Q2_0};

static void goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decoded / sizeof decoded[0]; i++) {
        const struct qtraits *q = quant_traits(decoded[i]);
        char name[64];
        size_t nb, nf;
        snprintf(name, sizeof name, "goldens/quants/%s.bin", q->name);
        void *bin = slurp(t_shared(name), &nb);
        snprintf(name, sizeof name, "goldens/quants/%s.f32", q->name);
        float *want = slurp(t_shared(name), &nf);
        int64_t n = (int64_t)(nf / sizeof(float));
        assert_int_equal(quant_row_bytes(decoded[i], n), nb);
        float *got = malloc(nf);
        q->decode(bin, got, n);
        for (int64_t e = 0; e < n; e++)
            if (!(got[e] == want[e]))
                fail_msg("%s: element %lld of block %lld is %.9g, not %.9g", q->name, (long long)(e % q->elems), (long long)(e / q->elems),
                         (double)got[e], (double)want[e]);
        free(got);
        free(want);
        free(bin);
    }
}

static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) { /* there and back is the identity, NaNs become quiet */
        float f = quant_f16_to_f32((uint16_t)h), g = quant_bf16_to_f32((uint16_t)h);
        assert_int_equal(quant_f32_to_f16(f), isnan(f) ? h | 0x200 : h);
        assert_int_equal(quant_f32_to_bf16(g), isnan(g) ? h | 0x40 : h);
    }
    for (uint32_t h = 0; h < 0x7BFF; h++) { /* between neighbours: the nearer, and at the middle the even one */
        float a = quant_f16_to_f32((uint16_t)h), b = quant_f16_to_f32((uint16_t)(h + 1)), mid = (a + b) / 2;
        assert_int_equal(quant_f32_to_f16(mid), h + (h & 1));
        assert_int_equal(quant_f32_to_f16(nextafterf(mid, a)), h);
        assert_int_equal(quant_f32_to_f16(nextafterf(mid, b)), h + 1);
        assert_int_equal(quant_f32_to_f16(-mid), (h + (h & 1)) | 0x8000);
    }
    assert_int_equal(quant_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(quant_f32_to_f16(65520), 0x7C00);
    assert_int_equal(quant_f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(quant_f32_to_bf16(1.00390625f), 0x3F80);         /* a tie goes down to even */
    assert_int_equal(quant_f32_to_bf16(1.01171875f), 0x3F82);         /* a tie goes up to even */
    assert_int_equal(quant_f32_to_bf16(3.4028235e38f), 0x7F80);
    assert_true(quant_f16_to_f32(0x7C00) == INFINITY && quant_f16_to_f32(0xFC00) == -INFINITY);
}

static void plain(void **state)
{
    (void)state;
    const int8_t i8[3] = {-128, 0, 127};
    const int16_t i16[2] = {-32768, 32767};
    const int32_t i32[2] = {-7, 16777216};
    const int64_t i64[2] = {-9, 1LL << 40};
    const double f64[2] = {0.1, -1e300};
    float y[3];
    quant_traits(Q_I8)->decode(i8, y, 3);
    assert_true(y[0] == -128 && y[1] == 0 && y[2] == 127);
    quant_traits(Q_I16)->decode(i16, y, 2);
    assert_true(y[0] == -32768 && y[1] == 32767);
    quant_traits(Q_I32)->decode(i32, y, 2);
    assert_true(y[0] == -7 && y[1] == 16777216);
    quant_traits(Q_I64)->decode(i64, y, 2);
    assert_true(y[0] == -9 && y[1] == 0x1p40f);
    quant_traits(Q_F64)->decode(f64, y, 2);
    assert_true(y[0] == 0.1f && y[1] == -INFINITY);
}

static void sizes(void **state)
{
    (void)state;
    static const struct { enum qtype t; const char *name; int elems, bytes; } want[] = {
        {Q_F32, "F32", 1, 4}, {Q_Q8_1, "Q8_1", 32, 36}, {Q_Q4_K, "Q4_K", 256, 144}, {Q_Q6_K, "Q6_K", 256, 210}, {Q_Q8_K, "Q8_K", 256, 292},
        {Q_IQ2_XXS, "IQ2_XXS", 256, 66}, {Q_IQ2_XS, "IQ2_XS", 256, 74}, {Q_IQ3_XXS, "IQ3_XXS", 256, 98}, {Q_IQ1_S, "IQ1_S", 256, 50},
        {Q_IQ3_S, "IQ3_S", 256, 110}, {Q_IQ2_S, "IQ2_S", 256, 82}, {Q_IQ1_M, "IQ1_M", 256, 56}, {Q_MXFP4, "MXFP4", 32, 17},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const struct qtraits *q = quant_traits(want[i].t);
        assert_string_equal(q->name, want[i].name);
        assert_int_equal(q->elems, want[i].elems);
        assert_int_equal(q->bytes, want[i].bytes);
    }
    assert_int_equal(quant_row_bytes(Q_Q4_1, 576), 360);
    assert_int_equal(quant_row_bytes(Q_Q4_K, 576), 0);
    assert_int_equal(quant_row_bytes(Q_Q4_1, 33), 0);
    assert_int_equal(quant_row_bytes(Q_F16, 33), 66);
    assert_int_equal(quant_row_bytes(Q_F32, INT64_MAX), 0);
    assert_int_equal(quant_row_bytes(Q_F32, -32), 0);
    assert_int_equal(quant_row_bytes((enum qtype)5, 32), 0);
}

static void refusals(void **state)
{
    (void)state;
    static const struct { uint32_t id; const char *word; } want[] = {
        {4, "removed"}, {5, "removed"}, {31, "repacked"}, {33, "repacked"}, {36, "I2_S"}, {38, "repacked"}, {97, "ik_llama.cpp"},
        {144, "ik_llama.cpp"}, {202, "ik_llama.cpp"}, {399, "ik_llama.cpp"}, {43, "unknown"}, {400, "unknown"}, {UINT32_MAX, "unknown"},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_null(quant_traits(want[i].id));
        assert_non_null(strstr(quant_refusal(want[i].id), want[i].word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens), cmocka_unit_test(halves), cmocka_unit_test(plain), cmocka_unit_test(sizes), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
