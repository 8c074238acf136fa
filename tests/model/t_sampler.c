/* The sampler: the shared chains, greedy ties, reproducibility, the distribution of the draw, non-finite logits, ranges. */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>

#include "model/sampler.h"

static const char *type_of(json_t *s)
{
    return json_string_value(json_object_get(s, "type"));
}

/* A chain of the shared file as our fixed order, if it is one: penalties, top-k, top-p, min-p, temperature, each at most once. */
static bool as_conf(json_t *chain, struct sampler_conf *c)
{
    static const char *const order[] = {"penalties", "top_k", "top_p", "min_p", "temp"};
    size_t i, at = 0;
    json_t *s;
    *c = (struct sampler_conf){.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 1};
    json_array_foreach(chain, i, s) {
        while (at < 5 && strcmp(order[at], type_of(s)))
            at++;
        if (at == 5 || json_object_get(s, "min_keep"))
            return false;
        double k = json_number_value(json_object_get(s, "k")), p = json_number_value(json_object_get(s, "p"));
        if (at == 0) {
            if (json_number_value(json_object_get(s, "freq")) != 0 || json_number_value(json_object_get(s, "presence")) != 0)
                return false;
            c->repeat_penalty = (float)json_number_value(json_object_get(s, "repeat"));
            c->repeat_last = (int)json_number_value(json_object_get(s, "last_n"));
        } else if (at == 1) {
            c->top_k = (int)k;
        } else if (at == 2) {
            c->top_p = (float)p;
        } else if (at == 3) {
            c->min_p = (float)p;
        } else {
            c->temp = (float)json_number_value(json_object_get(s, "t"));
        }
        at++;
    }
    return sampler_check(c, NULL) == 0;
}

static void shared_chains(void **state)
{
    (void)state;
    FILE *f = fopen(t_shared("data/samplers.jsonl"), "r");
    assert_non_null(f);
    static char line[1 << 20];
    int matched = 0;
    while (fgets(line, sizeof line, f)) {
        json_error_t je;
        json_t *o = json_loads(line, 0, &je), *v;
        assert_non_null(o);
        struct sampler_conf c;
        json_t *logits = json_object_get(o, "logits"), *last = json_object_get(o, "last_tokens");
        json_t *want = json_object_get(json_object_get(o, "expect"), "ids"), *prob = json_object_get(json_object_get(o, "expect"), "probs");
        int n = (int)json_array_size(logits), got;
        if (!as_conf(json_object_get(json_object_get(o, "params"), "samplers"), &c)) {
            json_decref(o);
            continue;
        }
        struct sampler *s;
        struct err err = {0};
        assert_int_equal(sampler_create(&c, n, &s, &err), 0);
        float *l = calloc((size_t)n, sizeof *l), *p = calloc((size_t)n, sizeof *p);
        int32_t *ids = calloc((size_t)n, sizeof *ids);
        size_t i;
        json_array_foreach(logits, i, v)
            l[i] = json_is_null(v) ? -INFINITY : (float)json_number_value(v);
        json_array_foreach(last, i, v)
            sampler_accept(s, (int32_t)json_integer_value(v));
        assert_int_equal(sampler_probs(s, l, ids, p, n, &got, &err), 0);
        int finite = 0; /* the shared list keeps candidates of probability 0; a draw never takes one */
        json_array_foreach(want, i, v)
            finite += json_number_value(json_array_get(prob, i)) > 0;
        if (got < finite || got > (int)json_array_size(want))
            fail_msg("case %d: %d candidates, %zu wanted", (int)json_integer_value(json_object_get(o, "id")), got, json_array_size(want));
        for (int k = 0; k < got; k++) {
            if (ids[k] != json_integer_value(json_array_get(want, (size_t)k)) ||
                fabs((double)p[k] - json_number_value(json_array_get(prob, (size_t)k))) > 1e-5)
                fail_msg("case %d, candidate %d: id %d probability %g", (int)json_integer_value(json_object_get(o, "id")), k, ids[k], (double)p[k]);
        }
        matched++;
        free(l);
        free(p);
        free(ids);
        sampler_destroy(s);
        json_decref(o);
    }
    fclose(f);
    printf("# %d chains\n", matched);
    assert_true(matched >= 30);
}

static struct sampler *make(struct sampler_conf c, int n)
{
    struct sampler *s = NULL;
    struct err err = {0};
    if (sampler_create(&c, n, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}

static void greedy_takes_the_first(void **state)
{
    (void)state;
    float l[6] = {1, 3, 2, 3, -INFINITY, 3};
    struct sampler_conf c = sampler_default();
    c.temp = 0;
    struct sampler *s = make(c, 6);
    int32_t id;
    assert_int_equal(sampler_next(s, l, &id, NULL), 0);
    assert_int_equal(id, 1);
    sampler_destroy(s);
    c.repeat_penalty = 2;
    s = make(c, 6);
    sampler_accept(s, 1);
    sampler_accept(s, 1); /* twice in the text is punished once */
    sampler_accept(s, 3);
    sampler_accept(s, 5);
    assert_int_equal(sampler_next(s, l, &id, NULL), 0);
    assert_int_equal(id, 2);
    sampler_destroy(s);
}

static void repeat_window_forgets(void **state)
{
    (void)state;
    float l[4] = {4, 3, 2, 1};
    struct sampler_conf c = sampler_default();
    c.temp = 0;
    c.repeat_penalty = 10;
    c.repeat_last = 2;
    struct sampler *s = make(c, 4);
    static const int32_t want[] = {0, 1, 2, 0, 1, 2};
    for (int i = 0; i < 6; i++) {
        int32_t id;
        assert_int_equal(sampler_next(s, l, &id, NULL), 0);
        assert_int_equal(id, want[i]);
        sampler_accept(s, id);
    }
    sampler_destroy(s);
}

/* The first numbers of the generator are part of what history can reproduce: they must not change. */
static void same_seed_same_ids(void **state)
{
    (void)state;
    enum { N = 50000 };
    float *l = malloc(N * sizeof *l);
    for (int i = 0; i < N; i++)
        l[i] = (float)((i * 7919) % 1000) * 0.004f;
    int32_t a[32], b[32];
    int differ = 0;
    for (int mode = 0; mode < 3; mode++) {
        struct sampler_conf c = sampler_default();
        c.seed = 42;
        if (mode)
            c.top_k = 0;
        if (mode == 2)
            c.top_p = 1, c.min_p = 0;
        struct sampler *s = make(c, N), *t = make(c, N);
        c.seed = 43;
        struct sampler *u = make(c, N);
        for (int i = 0; i < 32; i++) {
            int32_t x;
            assert_int_equal(sampler_next(s, l, &a[i], NULL), 0);
            assert_int_equal(sampler_next(t, l, &b[i], NULL), 0);
            assert_int_equal(sampler_next(u, l, &x, NULL), 0);
            differ += x != a[i];
        }
        assert_memory_equal(a, b, sizeof a);
        sampler_destroy(s);
        sampler_destroy(t);
        sampler_destroy(u);
    }
    assert_true(differ > 48);
    struct sampler_conf c = {.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 42};
    struct sampler *s = make(c, 1000);
    float *flat = calloc(1000, sizeof *flat);
    /* xoshiro256++ of splitmix64(42), computed apart from this program */
    static const int32_t pinned[] = {814, 318, 983, 701};
    for (int i = 0; i < 4; i++) {
        int32_t x;
        assert_int_equal(sampler_next(s, flat, &x, NULL), 0);
        assert_int_equal(x, pinned[i]);
    }
    sampler_destroy(s);
    free(flat);
    free(l);
}

static void draws_follow_the_weights(void **state)
{
    (void)state;
    float l[5];
    static const double p[5] = {0.4, 0.3, 0.15, 0.1, 0.05};
    for (int i = 0; i < 5; i++)
        l[i] = (float)log(p[i]);
    struct sampler_conf c = {.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 7};
    struct sampler *s = make(c, 5);
    int n[5] = {0}, total = 20000;
    for (int i = 0; i < total; i++) {
        int32_t id;
        assert_int_equal(sampler_next(s, l, &id, NULL), 0);
        n[id]++;
    }
    double chi = 0;
    for (int i = 0; i < 5; i++)
        chi += (n[i] - p[i] * total) * (n[i] - p[i] * total) / (p[i] * total);
    assert_true(chi < 18.5); /* 0.1 % of 4 degrees of freedom */
    sampler_destroy(s);
}

/* Top-p over a large flat vocabulary needs more than the first selection. */
static void top_p_without_top_k(void **state)
{
    (void)state;
    enum { N = 3000 };
    float l[N];
    for (int i = 0; i < N; i++)
        l[i] = i % 3 ? 0 : 1;
    struct sampler_conf c = {.temp = 1, .top_p = 0.9f, .repeat_penalty = 1};
    struct sampler *s = make(c, N);
    static int32_t ids[N];
    static float p[N];
    int n;
    assert_int_equal(sampler_probs(s, l, ids, p, N, &n, NULL), 0);
    double total = 1000 * exp(1) + 2000, sum = 0;
    int want = 0;
    while (sum < 0.9f * total)
        sum += want++ < 1000 ? exp(1) : 1;
    assert_int_equal(n, want);
    for (int i = 0; i < n; i++)
        assert_int_equal(ids[i], i < 1000 ? 3 * i : 3 * ((i - 1000) / 2) + 1 + (i - 1000) % 2);
    sampler_destroy(s);
}

static void not_finite(void **state)
{
    (void)state;
    enum { N = 100 };
    static const int places[] = {0, 50, 99};
    float l[N] = {0};
    for (int greedy = 0; greedy < 2; greedy++) {
        struct sampler_conf c = sampler_default();
        c.temp = greedy ? 0 : 1;
        struct sampler *s = make(c, N);
        int32_t id = -7;
        struct err err = {0};
        for (int i = 0; i < 3; i++) {
            l[places[i]] = NAN;
            assert_int_equal(sampler_next(s, l, &id, &err), ERR_IO);
            assert_non_null(strstr(err.msg, "numeric"));
            l[places[i]] = INFINITY;
            assert_int_equal(sampler_next(s, l, &id, &err), ERR_IO);
            l[places[i]] = -INFINITY;
            assert_int_equal(sampler_next(s, l, &id, &err), 0);
            l[places[i]] = 0;
        }
        id = -7;
        for (int i = 0; i < N; i++)
            l[i] = -INFINITY;
        assert_int_equal(sampler_next(s, l, &id, &err), ERR_IO);
        assert_int_equal(id, -7);
        l[99] = -5;
        assert_int_equal(sampler_next(s, l, &id, &err), 0);
        assert_int_equal(id, 99);
        memset(l, 0, sizeof l);
        sampler_destroy(s);
    }
}

static void ranges(void **state)
{
    (void)state;
    struct sampler_conf d = sampler_default(), c;
    struct err err = {0};
    assert_int_equal(sampler_check(&d, &err), 0);
#define BAD(field, value, name)                                     \
    c = d;                                                          \
    c.field = value;                                                \
    assert_int_equal(sampler_check(&c, &err), ERR_USAGE);           \
    assert_non_null(strstr(err.msg, name))
    BAD(temp, NAN, "temp");
    BAD(temp, -1, "temp");
    BAD(temp, INFINITY, "temp");
    BAD(top_k, -1, "top-k");
    BAD(top_p, 1.5f, "top-p");
    BAD(top_p, NAN, "top-p");
    BAD(min_p, -0.1f, "min-p");
    BAD(repeat_penalty, 0, "repeat-penalty");
    BAD(repeat_penalty, INFINITY, "repeat-penalty");
    BAD(repeat_last, -1, "repeat-last");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_chains),
        cmocka_unit_test(greedy_takes_the_first),
        cmocka_unit_test(repeat_window_forgets),
        cmocka_unit_test(same_seed_same_ids),
        cmocka_unit_test(draws_follow_the_weights),
        cmocka_unit_test(top_p_without_top_k),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
