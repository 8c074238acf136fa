/* The sampler: the shared chains, greedy ties, reproducibility, the distribution of the draw, non-finite logits, ranges. */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>

#include "model/sampler.h"
#include "model/sampler_conf.h"
#include "tests/model/mkgguf.h"

static double num(const json_t *s, const char *name, double none)
{
    const json_t *v = json_object_get(s, name);
    return json_is_number(v) ? json_number_value(v) : none;
}

static struct sampler_step as_step(const json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    struct sampler_step s = {.type = sampler_type_find(type, strlen(type)), .k = (int)num(j, "k", num(j, "m", 0)), .min_keep = (int)num(j, "min_keep", 0),
                             .last_n = (int)num(j, "last_n", 0), .p = (float)num(j, "p", num(j, "probability", 0)),
                             .threshold = (float)num(j, "threshold", 0), .draw = num(j, "draw", -1), .t = (float)num(j, "t", 0),
                             .delta = (float)num(j, "delta", 0), .exponent = (float)num(j, "exponent", 1), .sigma = (float)num(j, "n", 0),
                             .repeat = (float)num(j, "repeat", 1), .freq = (float)num(j, "freq", 0), .presence = (float)num(j, "presence", 0),
                             .multiplier = (float)num(j, "multiplier", 0), .base = (float)num(j, "base", 0),
                             .allowed = (int)num(j, "allowed_length", 0), .tau = (float)num(j, "tau", 0), .eta = (float)num(j, "eta", 0),
                             .mu = (float)num(j, "mu", 0)};
    assert_int_not_equal(s.type, SAMPLER_NONE);
    return s;
}

static struct sampler *as_chain(const json_t *chain, int n_vocab)
{
    struct sampler_step steps[16];
    struct sampler *s;
    size_t i, k;
    json_t *j, *v;
    assert_true(json_array_size(chain) <= 16);
    json_array_foreach(chain, i, j)
        steps[i] = as_step(j);
    assert_int_equal(sampler_create_chain(steps, (int)json_array_size(chain), 1, n_vocab, &s, NULL), 0);
    json_array_foreach(chain, i, j) {
        json_array_foreach(json_object_get(j, "bias"), k, v)
            assert_int_equal(sampler_bias(s, (int32_t)json_integer_value(json_array_get(v, 0)),
                                          json_is_null(json_array_get(v, 1)) ? -INFINITY : (float)json_number_value(json_array_get(v, 1)), NULL), 0);
        json_array_foreach(json_object_get(j, "breakers"), k, v) {
            int32_t ids[16];
            int n = (int)json_array_size(v);
            for (int x = 0; x < n; x++)
                ids[x] = (int32_t)json_integer_value(json_array_get(v, (size_t)x));
            sampler_breaker(s, ids, n);
        }
    }
    return s;
}

/* A draw moves mu as the file says for the token that came out. */
static void check_mu(struct sampler *s, const float *l, const json_t *mu_after, int id)
{
    int32_t got;
    char name[16];
    if (!mu_after)
        return;
    double before = sampler_mu(s);
    assert_int_equal(sampler_next(s, l, &got, NULL), 0);
    snprintf(name, sizeof name, "%d", got);
    const json_t *want = json_object_get(mu_after, name);
    assert_non_null(want);
    if (fabs(sampler_mu(s) - json_number_value(want)) > 1e-4)
        fail_msg("case %d: mu after token %d is %g, not %g", id, got, sampler_mu(s), json_number_value(want));
    sampler_refuse(s);
    assert_true(sampler_mu(s) == before);
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
        json_t *logits = json_object_get(o, "logits"), *last = json_object_get(o, "last_tokens"), *expect = json_object_get(o, "expect");
        json_t *want = json_object_get(expect, "ids"), *prob = json_object_get(expect, "probs");
        int n = (int)json_array_size(logits), got, id = (int)json_integer_value(json_object_get(o, "id"));
        struct sampler *s = as_chain(json_object_get(json_object_get(o, "params"), "samplers"), n);
        float *l = calloc((size_t)n, sizeof *l), *p = calloc((size_t)n, sizeof *p);
        int32_t *ids = calloc((size_t)n, sizeof *ids);
        size_t i;
        json_array_foreach(logits, i, v)
            l[i] = json_is_null(v) ? -INFINITY : (float)json_number_value(v);
        json_array_foreach(last, i, v)
            sampler_accept(s, (int32_t)json_integer_value(v));
        assert_int_equal(sampler_probs(s, l, ids, p, n, &got, NULL), 0);
        if (got != (int)json_array_size(want))
            fail_msg("case %d: %d candidates, %zu wanted", id, got, json_array_size(want));
        for (int k = 0; k < got; k++) {
            if (ids[k] != json_integer_value(json_array_get(want, (size_t)k)) ||
                fabs((double)p[k] - json_number_value(json_array_get(prob, (size_t)k))) > 1e-5)
                fail_msg("case %d, candidate %d: id %d probability %g", id, k, ids[k], (double)p[k]);
        }
        check_mu(s, l, json_object_get(expect, "mu_after"), id);
        matched++;
        free(l);
        free(p);
        free(ids);
        sampler_destroy(s);
        json_decref(o);
    }
    fclose(f);
    printf("# %d chains\n", matched);
    assert_true(matched >= 700);
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
    BAD(typical, 1.1f, "typical");
    BAD(top_n_sigma, -1, "top-n-sigma");
    BAD(frequency_penalty, NAN, "frequency-penalty");
    BAD(presence_penalty, 101, "presence-penalty");
    BAD(xtc_probability, 1.5f, "xtc-probability");
    BAD(xtc_threshold, -1, "xtc-threshold");
    BAD(dry_multiplier, -1, "dry-multiplier");
    BAD(dry_allowed_length, -1, "dry-allowed-length");
    BAD(dry_last, -2, "dry-last");
    BAD(dyntemp_range, -1, "dyntemp-range");
    BAD(dyntemp_exponent, INFINITY, "dyntemp-exponent");
    BAD(mirostat, 3, "mirostat");
    BAD(mirostat_tau, -1, "mirostat-tau");
    BAD(mirostat_eta, 2, "mirostat-eta");
    BAD(order[0], SAMPLER_GREEDY, "sampler");
    c = d;
    c.dry_multiplier = 1;
    c.dry_base = 0.5f;
    assert_int_equal(sampler_check(&c, &err), ERR_USAGE);
}

/* ---- what must hold for any logits ---- */

static uint64_t dice = 0x9E3779B97F4A7C15u;

static double chance(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (double)(dice >> 11) * 0x1p-53;
}

static int between(int min, int max)
{
    return min + (int)(chance() * (max - min + 1));
}

enum { MOST = 400 };

struct drawn {
    int n;
    int32_t id[MOST];
    float p[MOST];
};

static void look(struct sampler *s, const float *l, int n, struct drawn *out)
{
    struct err err = {0};
    if (sampler_probs(s, l, out->id, out->p, n, &out->n, &err))
        fail_msg("%s", err.msg);
}

static int place_of(const struct drawn *d, int32_t id)
{
    for (int i = 0; i < d->n; i++)
        if (d->id[i] == id)
            return i;
    return -1;
}

/* Sorted, distinct, possible, and a distribution; looking twice sees the same; what is drawn is among them. */
static void check_drawn(struct sampler *s, const float *l, int n)
{
    static struct drawn a, b;
    double sum = 0;
    bool seen[MOST] = {false};
    int32_t id;
    look(s, l, n, &a);
    look(s, l, n, &b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.id, b.id, (size_t)a.n * sizeof *a.id);
    assert_in_range(a.n, 1, n);
    for (int i = 0; i < a.n; i++) {
        assert_in_range(a.id[i], 0, n - 1);
        assert_false(seen[a.id[i]]);
        seen[a.id[i]] = true;
        assert_true(l[a.id[i]] > -INFINITY);
        assert_true(i == 0 || a.p[i] < a.p[i - 1] || (a.p[i] == a.p[i - 1] && (a.p[i] < 1e-30f || a.id[i] > a.id[i - 1] || l[a.id[i]] != l[a.id[i - 1]])));
        sum += (double)a.p[i];
    }
    assert_true(fabs(sum - 1) < 1e-4);
    assert_int_equal(sampler_next(s, l, &id, NULL), 0);
    assert_true(place_of(&a, id) >= 0);
}

static int random_logits(float *l)
{
    int n = between(1, MOST);
    double wide = chance() * 12;
    for (int i = 0; i < n; i++)
        l[i] = chance() < 0.05 ? -INFINITY : (float)(chance() < 0.2 ? between(-3, 3) : wide * (chance() + chance() - 1));
    l[between(0, n - 1)] = 1;
    return n;
}

static struct sampler_conf random_conf(void)
{
    struct sampler_conf c = sampler_default();
    uint8_t order[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    c.seed = (uint64_t)between(0, 1000);
    c.temp = chance() < 0.1 ? 0 : (float)(chance() * 2 + 0.05);
    c.top_k = chance() < 0.5 ? 0 : between(1, 60);
    c.top_p = chance() < 0.5 ? 1 : (float)chance();
    c.min_p = chance() < 0.5 ? 0 : (float)chance();
    c.typical = chance() < 0.5 ? 1 : (float)chance();
    c.top_n_sigma = chance() < 0.5 ? 0 : (float)chance() * 3;
    c.repeat_penalty = chance() < 0.5 ? 1 : (float)(0.7 + chance());
    c.frequency_penalty = chance() < 0.7 ? 0 : (float)(chance() * 2 - 0.5);
    c.presence_penalty = chance() < 0.7 ? 0 : (float)(chance() * 2 - 0.5);
    c.repeat_last = between(0, 80);
    c.xtc_probability = chance() < 0.5 ? 0 : (float)chance();
    c.xtc_threshold = (float)(chance() * 0.6);
    c.dry_multiplier = chance() < 0.5 ? 0 : (float)chance() * 2;
    c.dry_allowed_length = between(0, 4);
    c.dry_last = between(-1, 60);
    c.dyntemp_range = chance() < 0.6 ? 0 : (float)chance();
    c.mirostat = chance() < 0.7 ? 0 : between(1, 2);
    for (int i = 8; i > 0 && chance() < 0.9; i--) { /* a shuffled part of the steps */
        int k = between(0, i);
        uint8_t t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    memcpy(c.order, order, chance() < 0.3 ? 0 : (size_t)between(1, 9));
    return c;
}

static void any_chain(void **state)
{
    (void)state;
    static float l[MOST];
    for (int round = 0; round < 3000; round++) {
        struct sampler_conf c = random_conf();
        int n = random_logits(l);
        struct sampler *s = make(c, n), *t = make(c, n);
        int32_t breaker[2] = {between(0, n - 1), between(0, n - 1)};
        sampler_breaker(s, breaker, 1 + round % 2);
        sampler_breaker(t, breaker, 1 + round % 2);
        for (int i = between(0, 100); i > 0; i--) {
            int32_t id = between(0, n < 6 ? n - 1 : 5); /* repetitions */
            sampler_accept(s, id);
            sampler_accept(t, id);
        }
        for (int i = 0; i < 4; i++) {
            int32_t a, b;
            check_drawn(s, l, n);
            assert_int_equal(sampler_next(t, l, &b, NULL), 0);
            assert_int_equal(sampler_next(s, l, &a, NULL), 0); /* s is one draw ahead: the same stream */
            assert_int_equal(sampler_next(t, l, &b, NULL), 0);
            assert_int_equal(a, b);
        }
        sampler_destroy(s);
        sampler_destroy(t);
    }
}

/* One step alone against the whole distribution. */
static void one_step(const struct sampler_step *step, const float *l, int n, struct drawn *all, struct drawn *got)
{
    struct sampler *s;
    assert_int_equal(sampler_create_chain(NULL, 0, 1, n, &s, NULL), 0);
    look(s, l, n, all);
    sampler_destroy(s);
    assert_int_equal(sampler_create_chain(step, 1, 1, n, &s, NULL), 0);
    look(s, l, n, got);
    sampler_destroy(s);
}

static double sum_of(const struct drawn *d, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)d->p[i];
    return sum;
}

static void steps_do_what_they_say(void **state)
{
    (void)state;
    static float l[MOST];
    static struct drawn all, got;
    for (int round = 0; round < 1000; round++) {
        int n = random_logits(l), k = between(1, 50);
        float p = (float)chance();
        one_step(&(struct sampler_step){.type = SAMPLER_TOP_K, .k = k}, l, n, &all, &got);
        assert_int_equal(got.n, k < all.n ? k : all.n);
        assert_memory_equal(got.id, all.id, (size_t)got.n * sizeof *got.id);

        one_step(&(struct sampler_step){.type = SAMPLER_TOP_P, .p = p}, l, n, &all, &got);
        assert_memory_equal(got.id, all.id, (size_t)got.n * sizeof *got.id);
        assert_true(sum_of(&all, got.n) >= (double)p - 1e-5 && (got.n == 1 || sum_of(&all, got.n - 1) < (double)p + 1e-5));

        one_step(&(struct sampler_step){.type = SAMPLER_MIN_P, .p = p}, l, n, &all, &got);
        for (int i = 0; i < all.n; i++) {
            double ratio = (double)all.p[i] / (double)all.p[0];
            if (fabs(ratio - (double)p) > 1e-5)
                assert_int_equal(i < got.n, ratio > (double)p);
        }

        one_step(&(struct sampler_step){.type = SAMPLER_TYPICAL, .p = p}, l, n, &all, &got);
        double mass = 0;
        for (int i = 0; i < got.n; i++)
            mass += (double)all.p[place_of(&all, got.id[i])];
        assert_true(mass >= (double)p - 1e-4 || got.n == all.n);

        one_step(&(struct sampler_step){.type = SAMPLER_TEMP, .t = p + 0.05f}, l, n, &all, &got);
        assert_int_equal(got.id[0], all.id[0]);
        assert_true(got.p[0] >= all.p[0] - 1e-6f || p + 0.05f > 1);

        one_step(&(struct sampler_step){.type = SAMPLER_TEMP_EXT, .t = 1, .delta = p, .exponent = 1}, l, n, &all, &got);
        assert_int_equal(got.id[0], all.id[0]);

        one_step(&(struct sampler_step){.type = SAMPLER_XTC, .p = 1, .threshold = p / 2, .draw = 0.5}, l, n, &all, &got);
        int over = 0;
        for (int i = 0; i < all.n; i++)
            over += all.p[i] > p / 2 + 1e-6f;
        if (over > 1)
            assert_true(place_of(&got, all.id[over - 1]) <= 0 && place_of(&got, all.id[0]) < 0);
        assert_int_equal(got.id[got.n - 1], all.id[all.n - 1]);

        one_step(&(struct sampler_step){.type = SAMPLER_GREEDY}, l, n, &all, &got);
        assert_int_equal(got.n, 1);
        assert_int_equal(got.id[0], all.id[0]);

        one_step(&(struct sampler_step){.type = SAMPLER_TOP_N_SIGMA, .sigma = 3 * p}, l, n, &all, &got);
        assert_memory_equal(got.id, all.id, (size_t)got.n * sizeof *got.id);

        one_step(&(struct sampler_step){.type = SAMPLER_MIROSTAT_V2, .tau = 3, .eta = 0.1f, .mu = 8 * p}, l, n, &all, &got);
        for (int i = 0; i < got.n; i++)
            assert_true(i == 0 || -log2((double)all.p[i]) <= (double)(8 * p) + 1e-4);
    }
}

static void biases(void **state)
{
    (void)state;
    float l[4] = {4, 3, 2, 1};
    static struct drawn d;
    struct err err = {0};
    struct sampler_conf c = {.temp = 1, .top_p = 1, .repeat_penalty = 1};
    struct sampler *s = make(c, 4);
    assert_int_equal(sampler_biases("0-inf,3+5, 2=-1,1:0.5", s, &err), 0);
    look(s, l, 4, &d);
    assert_int_equal(d.n, 3);
    assert_int_equal(d.id[0], 3);
    assert_int_equal(d.id[1], 1);
    assert_true(fabs((double)(d.p[0] / d.p[1]) - exp(2.5)) < 1e-3);
    assert_true(fabs((double)(d.p[1] / d.p[2]) - exp(2.5)) < 1e-3);
    assert_int_equal(sampler_biases("4+1", s, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "no token 4 (0 to 3)"));
    assert_int_equal(sampler_biases("99999999999+1", s, &err), ERR_USAGE);
    static const char *const bad[] = {"x", "+1", "1", "1+", "1+x", "1+nan", "1+inf", "1*2", "1+1e99", "-1+2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sampler_biases(bad[i], NULL, &err) != ERR_USAGE)
            fail_msg("%s was taken", bad[i]);
    sampler_destroy(s);
    s = make(c, 2);
    assert_int_equal(sampler_biases("0-inf,1-inf", s, &err), 0);
    int32_t id;
    assert_int_equal(sampler_next(s, l, &id, &err), ERR_IO);
    sampler_destroy(s);
}

static void orders(void **state)
{
    (void)state;
    uint8_t o[SAMPLER_TYPES_SETTABLE];
    struct err err = {0};
    assert_int_equal(sampler_order_parse("top-k; temperature,min_p", o, &err), 0);
    assert_int_equal(o[0], SAMPLER_TOP_K);
    assert_int_equal(o[1], SAMPLER_TEMP);
    assert_int_equal(o[2], SAMPLER_MIN_P);
    assert_int_equal(o[3], 0);
    assert_int_equal(sampler_order_parse("", o, &err), 0);
    assert_int_equal(o[0], 0);
    assert_int_equal(sampler_order_parse("top_k,topk", NULL, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "'topk'"));
    assert_int_equal(sampler_order_parse("greedy", NULL, &err), ERR_USAGE);
    assert_int_equal(sampler_order_parse("temp,top_k,temp", NULL, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "twice"));
    /* the order counts: top-p looks at another distribution behind the temperature */
    float l[6] = {3, 2.5f, 2, 1.5f, 1, 0.5f};
    static struct drawn a, b;
    struct sampler_conf c = {.temp = 3, .top_p = 0.6f, .repeat_penalty = 1};
    struct sampler *s = make(c, 6);
    look(s, l, 6, &a);
    sampler_destroy(s);
    assert_int_equal(sampler_order_parse("temp,top_p", c.order, &err), 0);
    s = make(c, 6);
    look(s, l, 6, &b);
    sampler_destroy(s);
    assert_true(b.n > a.n);
    /* what is left out does nothing; temperature 0 is greedy even with XTC */
    assert_int_equal(sampler_order_parse("xtc", c.order, &err), 0);
    c.temp = 0;
    c.xtc_probability = 1;
    s = make(c, 6);
    look(s, l, 6, &a);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.id[0], 0);
    sampler_destroy(s);
}

static void long_lists(void **state)
{
    (void)state;
    enum { N = 20000 };
    float *l = calloc(N, sizeof *l), *p = calloc(N, sizeof *p);
    int32_t *ids = calloc(N, sizeof *ids), *again = calloc(N, sizeof *again);
    for (int i = 0; i < N; i++)
        l[i] = (float)(chance() + chance());
    l[N - 3] = 9; /* in the tail behind the last block */
    for (int k = 1; k < 3000; k *= 7) { /* the pass with a heap against the ordered list */
        struct sampler_step steps[] = {{.type = SAMPLER_TEMP, .t = 0.999f}, {.type = SAMPLER_TOP_K, .k = k}};
        struct sampler *s;
        int n, m;
        assert_int_equal(sampler_create_chain(steps + 1, 1, 1, N, &s, NULL), 0);
        assert_int_equal(sampler_probs(s, l, ids, p, N, &n, NULL), 0);
        sampler_destroy(s);
        assert_int_equal(sampler_create_chain(steps, 2, 1, N, &s, NULL), 0);
        assert_int_equal(sampler_probs(s, l, again, p, N, &m, NULL), 0);
        sampler_destroy(s);
        assert_int_equal(n, k);
        assert_int_equal(m, k);
        assert_memory_equal(ids, again, (size_t)k * sizeof *ids);
        assert_int_equal(ids[0], N - 3);
    }
    free(l);
    free(p);
    free(ids);
    free(again);
}

/* A model's file: its keys count where the person gave nothing, and only if they make sense. */
static void recommended(void **state)
{
    (void)state;
    struct mk_file f;
    struct gguf *g;
    static const struct {
        const char *key;
        float x;
    } rows[] = {{"general.sampling.temp", 0.6f}, {"general.sampling.top_p", 7}, {"general.sampling.penalty_repeat", 1.05f}};
    mk_begin(&f);
    for (size_t i = 0; i < 3; i++) {
        mk_kv(&f, rows[i].key, GGUF_F32);
        mk_bytes(&f, &rows[i].x, 4);
    }
    mk_kv_u32(&f, "general.sampling.top_k", 20);
    mk_kv_str(&f, "general.sampling.min_p", "many");
    mk_end(&f);
    assert_int_equal(gguf_open_memory(f.b.data, f.b.len, "made", &g, NULL), 0);
    struct sampler_conf c = sampler_default();
    c.repeat_penalty = 1.5f;
    sampler_from_file(g, 1u << SAMPLER_KEY_REPEAT, &c);
    assert_true(c.temp == 0.6f && c.top_k == 20 && c.top_p == 0.95f && c.min_p == 0.05f && c.repeat_penalty == 1.5f);
    gguf_close(g);
    buf_finish(&f.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_chains),     cmocka_unit_test(greedy_takes_the_first), cmocka_unit_test(repeat_window_forgets),
        cmocka_unit_test(same_seed_same_ids), cmocka_unit_test(draws_follow_the_weights), cmocka_unit_test(top_p_without_top_k),
        cmocka_unit_test(not_finite),        cmocka_unit_test(ranges),                 cmocka_unit_test(any_chain),
        cmocka_unit_test(steps_do_what_they_say), cmocka_unit_test(biases),            cmocka_unit_test(orders),
        cmocka_unit_test(long_lists),        cmocka_unit_test(recommended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
