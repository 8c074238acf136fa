/*
 * How good the numbers are: divergence and perplexity against what they are defined to be; the quantized golden models within 1.25 times
 * of llama.cpp's divergence from a computation in double; two real models likewise, where `make models` has brought them.
 */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/path.h"
#include "model/score.h"
#include "tests/isa.h"

#define BAR 1.25 /* times llama.cpp's divergence */

/* ---- small things ---- */

static struct model *load_path(const char *path)
{
    struct err err = {0};
    struct model *m = NULL;
    if (model_open(path, &(struct model_conf){.n_threads = 2}, &m, &err))
        fail_msg("%s", err.msg);
    return m;
}

static struct session *begin(struct model *m, int n_ctx, enum bk_kv_type kv)
{
    struct session *s = NULL;
    struct err err = {0};
    if (session_create(m, &(struct session_conf){n_ctx, kv}, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}

static json_t *json_of(const char *path)
{
    json_t *j = json_load_file(path, 0, NULL);
    assert_non_null(j);
    return j;
}

static double number(json_t *j, const char *a, const char *b)
{
    json_t *v = json_object_get(json_object_get(j, a), b);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static int32_t *tokens_of(json_t *j, int *n)
{
    json_t *list = json_object_get(j, "tokens");
    *n = (int)json_array_size(list);
    assert_true(*n > 0);
    int32_t *ids = calloc((size_t)*n, sizeof *ids);
    for (int i = 0; i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return ids;
}

/* ---- the functions ---- */

static void close_to(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%.17g, not %.17g", got, want);
}

static void divergence(void **state)
{
    (void)state;
    const float p[] = {0, logf(3)}, q[] = {5, 5}, far[] = {-200, 800, 0}, other[] = {900, -300, 1};
    close_to(score_logsumexp(p, 2), log(4), 1e-7);
    close_to(score_logsumexp(far, 3), 800, 1e-12);
    close_to(score_kl(p, q, 2), 0.25 * log(0.5) + 0.75 * log(1.5), 1e-7);
    close_to(score_kl(q, p, 2), 0.5 * log(2) + 0.5 * log(2 / 3.0), 1e-7);
    assert_true(score_kl(far, far, 3) == 0);
    close_to(score_kl(far, other, 3), 1200, 1e-9);
}

/* ---- perplexity ---- */

struct rows {
    float *at; /* (n_ctx, n_vocab) */
    int n_vocab;
};

static void keep(void *arg, int pos, const float *x)
{
    struct rows *r = arg;
    memcpy(r->at + (size_t)pos * (size_t)r->n_vocab, x, (size_t)r->n_vocab * sizeof *x);
}

/* As the definition says, without thought for memory: the mean of -log p over the second halves, by exp() of each probability. */
static double plain_nll(struct model *m, const struct tok_ids *ids, int n_ctx, int chunks, int *count)
{
    struct session *s = begin(m, n_ctx, BK_KV_F16);
    int v = model_info(m)->n_vocab;
    struct rows r = {calloc((size_t)n_ctx * (size_t)v, sizeof(float)), v};
    int32_t *part = calloc((size_t)n_ctx, sizeof *part);
    double sum = 0;
    *count = 0;
    for (int c = 0; c < chunks; c++) {
        struct err err = {0};
        memcpy(part, ids->id + c * n_ctx, (size_t)n_ctx * sizeof *part);
        if (tok_add_bos(model_tok(m)))
            part[0] = tok_bos(model_tok(m));
        session_rewind(s, 0);
        if (session_eval(s, part, n_ctx, 7, keep, &r, &err))
            fail_msg("%s", err.msg);
        for (int j = n_ctx / 2; j < n_ctx - 1; j++, ++*count) {
            const float *x = r.at + (size_t)j * (size_t)v;
            double all = 0;
            for (int i = 0; i < v; i++)
                all += exp((double)x[i]);
            sum -= log(exp((double)x[part[j + 1]]) / all);
        }
    }
    free(part);
    free(r.at);
    session_destroy(s);
    return sum / *count;
}

static bool count_asks(void *arg, int done, int total, double ppl)
{
    int *n = arg;
    assert_true(done >= 0 && done <= total && ppl >= 0);
    return --*n != 0;
}

/* The golden model, whose tokenizer now asks for BOS (none of the goldens' does). */
static struct model *load_bos(const char *golden)
{
    static const char key[] = "tokenizer.ggml.add_bos_token";
    struct buf b = BUF_INIT(64 << 20);
    char path[64];
    assert_int_equal(path_read(t_shared(golden), &b, NULL), 0);
    char *at = memmem(b.data, b.len, key, sizeof key - 1);
    assert_non_null(at);
    assert_int_equal(at[sizeof key - 1], GGUF_BOOL);
    at[sizeof key - 1 + 4] = 1;
    snprintf(path, sizeof path, "t_score_%d.gguf", (int)getpid());
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(b.data, 1, b.len, f) == b.len && !fclose(f));
    buf_finish(&b);
    struct model *m = load_path(path);
    unlink(path);
    assert_true(tok_add_bos(model_tok(m)) && tok_bos(model_tok(m)) >= 0);
    return m;
}

static void perplexity(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "qwen2"};
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the rain in Spain falls 12 times, <|im_start|>"[(i * i / 7 + i) % 46];
    for (size_t k = 0; k < 3; k++) {
        char file[64];
        snprintf(file, sizeof file, "goldens/%s.gguf", names[k]);
        struct model *m = k < 2 ? load_bos(file) : load_path(t_shared(file));
        struct tok_ids ids = {0};
        struct score s;
        struct err err = {0};
        int count, asks = -1, n_ctx = 33;
        score_tokens(m, text, sizeof text, &ids);
        assert_int_equal(ids.id[0] == tok_bos(model_tok(m)), tok_add_bos(model_tok(m)));
        int chunks = (int)ids.n / n_ctx;
        assert_true(chunks > 3);
        double nll = plain_nll(m, &ids, n_ctx, chunks, &count);
        struct score_conf conf = {.n_ctx = n_ctx, .progress = count_asks, .arg = &asks};
        assert_int_equal(score_text(m, NULL, text, sizeof text, &conf, &s, &err), 0);
        close_to(s.nll.mean, nll, 1e-9);
        close_to(s.ppl, exp(nll), 1e-6 * s.ppl);
        assert_true(s.nll.error > 0 && s.n_ref == 0 && s.n_text == ids.n && s.n == (size_t)count && s.n_chunks == chunks);
        assert_true(asks < -chunks);
        /* Against itself; fewer chunks. */
        conf.n_chunks = 2;
        assert_int_equal(score_text(m, m, text, sizeof text, &conf, &s, &err), 0);
        close_to(s.nll.mean, plain_nll(m, &ids, n_ctx, 2, &count), 1e-9);
        assert_true(s.n_ref == (size_t)count && s.kl.mean == 0 && s.kl_max == 0 && s.same_top.mean == 1 && s.nll_more.mean == 0);
        /* Stopped; too short. */
        asks = 2;
        assert_int_equal(score_text(m, NULL, text, sizeof text, &conf, &s, &err), ERR_CANCELLED);
        assert_int_equal(score_text(m, NULL, text, 20, &conf, &s, &err), ERR_INPUT);
        assert_non_null(strstr(err.msg, "fewer than a chunk of 33"));
        free(ids.id);
        model_close(m);
    }
}

static void against(void **state)
{
    (void)state;
    char text[1500];
    struct score s;
    struct err err = {0};
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "abcdefgh ijklmnop"[(i * i / 5 + i) % 17];
    struct model *f16 = load_path(t_shared("goldens/quant-models/F16.gguf")), *q8 = load_path(t_shared("goldens/quant-models/Q8_0.gguf")),
                 *q4 = load_path(t_shared("goldens/quant-models/Q4_0.gguf")), *other = load_path(t_shared("goldens/llama.gguf"));
    struct score_conf conf = {.n_ctx = 64};
    assert_int_equal(score_text(q8, f16, text, sizeof text, &conf, &s, &err), 0);
    assert_true(s.kl.mean > 1e-5 && s.kl.mean < 1e-2 && s.kl_median <= s.kl_90 && s.kl_90 <= s.kl_99 && s.kl_99 <= s.kl_999 && s.kl_999 <= s.kl_max);
    close_to(s.nll.mean - s.ref_nll.mean, s.nll_more.mean, 1e-9);
    double fine = s.kl.mean;
    assert_int_equal(score_text(q4, f16, text, sizeof text, &conf, &s, &err), 0);
    assert_true(s.kl.mean > 20 * fine && s.same_top.mean < 1 && s.kl.error > 0); /* the README has 7e-4 and 0.17 */
    /* Tokenizers that do not agree. */
    assert_int_equal(score_text(q8, other, text, sizeof text, &conf, &s, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "cannot be compared"));
    model_close(f16);
    model_close(q8);
    model_close(q4);
    model_close(other);
}

/* ---- quantized golden models ---- */

#define VOCAB 320

static const char *const quants[] = {"F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q5_0", "Q4_K_M", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4",
                                     "Q3_K_M", "Q2_K", "TQ2_0", "TQ1_0", "MIXED"};

struct compare {
    float ref[64][VOCAB];
    double kl, most; /* sum; largest difference of a logit */
    int n;
};

static void compare_row(void *arg, int pos, const float *x)
{
    struct compare *c = arg;
    assert_int_equal(pos, c->n);
    c->kl += score_kl(c->ref[pos], x, VOCAB);
    for (int i = 0; i < VOCAB; i++)
        c->most = fmax(c->most, fabs((double)x[i] - (double)c->ref[pos][i]));
    c->n++;
}

static void quant_model(void **state)
{
    const char *name = *state;
    char file[96];
    struct compare c = {.n = 0};
    struct err err = {0};
    int n;
    snprintf(file, sizeof file, "goldens/quant-models/%s.json", name);
    json_t *j = json_of(t_shared(file));
    int32_t *ids = tokens_of(j, &n);
    assert_int_equal(n, 40);
    snprintf(file, sizeof file, "goldens/quant-models/%s.logits.f32", name);
    FILE *f = fopen(t_shared(file), "rb");
    assert_int_equal(fread(c.ref, sizeof c.ref[0], (size_t)n, f), n);
    fclose(f);
    snprintf(file, sizeof file, "goldens/quant-models/%s.gguf", name);
    struct model *m = load_path(t_shared(file));
    double bar = number(j, "bar", "kl_mean"), far = number(j, "bar", "max_abs_diff");
    for (int run = 0; run < 4; run++) {
        enum bk_kv_type kv = run & 1 ? BK_KV_F32 : BK_KV_F16;
        struct session *s = begin(m, 64, kv);
        c.kl = c.most = c.n = 0;
        if (session_eval(s, ids, n, run & 2 ? 1 : 512, compare_row, &c, &err))
            fail_msg("%s", err.msg);
        session_destroy(s);
        printf("%s, %s, %s: KL %.3g, %.2f of llama.cpp's; largest difference %.3g of %.3g\n", name, run & 2 ? "step" : "batch", run & 1 ? "f32" : "f16",
               c.kl / n, c.kl / n / bar, c.most, far);
        if (!(c.kl / n <= BAR * bar) || !(c.most <= 2 * far))
            fail_msg("%s, run %d: KL %.3g, llama.cpp's is %.3g; largest difference %.3g, and %.3g", name, run, c.kl / n, bar, c.most, far);
    }
    model_close(m);
    free(ids);
    json_decref(j);
}

/* The types without a decoder are refused by name. */
static void grids_are_refused(void **state)
{
    (void)state;
    struct model *m = NULL;
    struct err err = {0};
    assert_int_equal(model_open(t_shared("goldens/quant-models/MIXED_IQ.gguf"), NULL, &m, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "IQ3_S"));
}

/* ---- real models on a real text ---- */

#define TOP 64

struct real {
    json_t *ids, *logs;
    const int32_t *tokens;
    double kl, nll;
    int n, n_vocab, same;
};

/* The tail beyond the reference's TOP likeliest tokens is one outcome. */
static void real_row(void *arg, int pos, const float *x)
{
    struct real *r = arg;
    json_t *ids = json_array_get(r->ids, (size_t)pos), *logs = json_array_get(r->logs, (size_t)pos);
    double all = score_logsumexp(x, r->n_vocab), p_rest = 1, q_rest = 1, kl = 0;
    int best = 0;
    for (size_t k = 0; k < TOP; k++) {
        double lp = json_number_value(json_array_get(logs, k)), lq = x[json_integer_value(json_array_get(ids, k))] - all;
        kl += exp(lp) * (lp - lq);
        p_rest -= exp(lp);
        q_rest -= exp(lq);
    }
    if (p_rest > 1e-12)
        kl += p_rest * log(p_rest / fmax(q_rest, 1e-12));
    for (int i = 1; i < r->n_vocab; i++)
        best = x[i] > x[best] ? i : best;
    r->kl += kl;
    r->same += best == (int)json_integer_value(json_array_get(ids, 0));
    if (pos + 1 < r->n)
        r->nll += all - x[r->tokens[pos + 1]];
}

static void real_model(const char *golden, const char *model)
{
    char file[64], *at = path_data("models", NULL);
    char *path = at ? path_join(at, model) : NULL;
    snprintf(file, sizeof file, "goldens/real/%s.json", golden);
    const char *json = t_shared(file);
    bool there = path && path_is_regular(path);
    free(at);
    if (!there) {
        printf("%s is not in the models' folder: make models\n", model);
        free(path);
        skip();
    }
    struct err err = {0};
    json_t *j = json_of(json);
    struct model *m = load_path(path);
    struct real r = {.ids = json_object_get(j, "top_ids"), .logs = json_object_get(j, "top_logprobs"), .n_vocab = model_info(m)->n_vocab};
    int32_t *ids = tokens_of(j, &r.n);
    r.tokens = ids;
    /* The text's tokens are ours, too. */
    struct buf text = BUF_INIT(1 << 20);
    struct tok_ids own = {0};
    assert_int_equal(path_read(t_shared("goldens/real/text.txt"), &text, NULL), 0);
    tok_encode(model_tok(m), buf_str(&text), text.len, 0, NULL, 0, &own);
    assert_int_equal(own.n, r.n);
    assert_memory_equal(own.id, ids, own.n * sizeof *ids);
    struct session *s = begin(m, 512, BK_KV_F16);
    if (session_eval(s, ids, r.n, 64, real_row, &r, &err))
        fail_msg("%s", err.msg);
    double kl = r.kl / r.n, bar = number(j, "llama_cpp", "kl_mean"), same = number(j, "llama_cpp", "same_top1");
    printf("%s: KL %.3g, %.2f of llama.cpp's %.3g; same top %d of %d, llama.cpp's %.0f; NLL %.4f, reference %.4f\n", golden, kl, kl / bar, bar, r.same, r.n, same,
           r.nll / (r.n - 1), json_number_value(json_object_get(j, "nll_mean")));
    if (!(kl <= BAR * bar) || r.same < same - 0.02 * r.n)
        fail_msg("%s: KL %.4g, llama.cpp's is %.4g; same top %d, and %.0f", golden, kl, bar, r.same, same);
    session_destroy(s);
    model_close(m);
    free(own.id);
    buf_finish(&text);
    free(ids);
    free(path);
    json_decref(j);
}

static void real_smollm2(void **state)
{
    (void)state;
    real_model("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf");
}

static void real_qwen(void **state)
{
    (void)state;
    if (isa_level() == ISA_SCALAR)
        skip(); /* half a minute; the scalar level is compared by the quantized models above */
    real_model("qwen0.5b", "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf");
}

int main(int argc, char **argv)
{
    (void)argc;
    enum { N = sizeof quants / sizeof quants[0], REST = 6 };
    struct CMUnitTest tests[N + REST] = {
        [N] = cmocka_unit_test(divergence), cmocka_unit_test(perplexity), cmocka_unit_test(against),
        cmocka_unit_test(grids_are_refused), cmocka_unit_test(real_smollm2), cmocka_unit_test(real_qwen),
    };
    for (int i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){quants[i], quant_model, NULL, NULL, (void *)(uintptr_t)quants[i]};
    return t_every_isa(argv, tests, N + REST);
}
