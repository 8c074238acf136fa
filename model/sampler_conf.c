/*
 * What a person asks of the sampler, as a chain: settings, their ranges, the order of the steps, biases and breakers as text, and what a
 * model's file recommends.
 *
 * The chain: biases first, then the steps of the order that are not off. Temperature 0 takes the likeliest token: nothing that leaves
 * tokens out runs then. Mirostat leaves tokens out by itself: of the order only penalties, DRY and temperature run in front of it.
 */
#include "config.h"
#include "model/sampler_conf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

#define BREAKER_MAX 40       /* breakers, and bytes of one */
#define BREAKER_TAIL_MAX 20  /* tokens */

static const char *const names[SAMPLER_TYPES] = {
    [SAMPLER_PENALTIES] = "penalties", [SAMPLER_DRY] = "dry", [SAMPLER_TOP_N_SIGMA] = "top_n_sigma", [SAMPLER_TOP_K] = "top_k",
    [SAMPLER_TYPICAL] = "typical", [SAMPLER_TOP_P] = "top_p", [SAMPLER_MIN_P] = "min_p", [SAMPLER_XTC] = "xtc", [SAMPLER_TEMP] = "temp",
    [SAMPLER_TEMP_EXT] = "temp_ext", [SAMPLER_LOGIT_BIAS] = "logit_bias", [SAMPLER_GREEDY] = "greedy", [SAMPLER_MIROSTAT] = "mirostat",
    [SAMPLER_MIROSTAT_V2] = "mirostat_v2",
};

enum sampler_type sampler_type_find(const char *name, size_t n)
{
    for (int i = 1; i < SAMPLER_TYPES; i++) {
        size_t k = 0;
        while (k < n && names[i][k] && (name[k] == names[i][k] || (name[k] == '-' && names[i][k] == '_')))
            k++;
        if (k == n && !names[i][k])
            return (enum sampler_type)i;
    }
    return SAMPLER_NONE;
}

struct sampler_conf sampler_default(void)
{
    return (struct sampler_conf){.temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1, .repeat_last = 64, .typical = 1,
                                 .xtc_threshold = 0.1f, .dry_base = 1.75f, .dry_allowed_length = 2, .dry_last = -1, .dyntemp_exponent = 1,
                                 .mirostat_tau = 5, .mirostat_eta = 0.1f};
}

int sampler_check(const struct sampler_conf *c, struct err *err)
{
    const struct {
        const char *name;
        double v, min, max;
    } rows[] = {
        {"temp", (double)c->temp, 0, 100},
        {"top-k", c->top_k, 0, 1 << 30},
        {"top-p", (double)c->top_p, 0, 1},
        {"min-p", (double)c->min_p, 0, 1},
        {"typical", (double)c->typical, 0, 1},
        {"top-n-sigma", (double)c->top_n_sigma, 0, 100},
        {"repeat-penalty", (double)c->repeat_penalty, (double)0.01f, 100},
        {"repeat-last", c->repeat_last, 0, 1 << 24},
        {"frequency-penalty", (double)c->frequency_penalty, -100, 100},
        {"presence-penalty", (double)c->presence_penalty, -100, 100},
        {"xtc-probability", (double)c->xtc_probability, 0, 1},
        {"xtc-threshold", (double)c->xtc_threshold, 0, 1},
        {"dry-multiplier", (double)c->dry_multiplier, 0, 100},
        {"dry-base", c->dry_multiplier > 0 ? (double)c->dry_base : 1, 1, 100},
        {"dry-allowed-length", c->dry_allowed_length, 0, 1 << 24},
        {"dry-last", c->dry_last, -1, 1 << 24},
        {"dyntemp-range", (double)c->dyntemp_range, 0, 100},
        {"dyntemp-exponent", (double)c->dyntemp_exponent, 0, 100},
        {"mirostat", c->mirostat, 0, 2},
        {"mirostat-tau", (double)c->mirostat_tau, 0, 100},
        {"mirostat-eta", (double)c->mirostat_eta, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(rows[i].v >= rows[i].min && rows[i].v <= rows[i].max)) /* NaN, too */
            return err_set(err, ERR_USAGE, "%s is %g; %g to %g is accepted", rows[i].name, rows[i].v, rows[i].min, rows[i].max);
    for (size_t i = 0; i < sizeof c->order; i++)
        if (c->order[i] >= SAMPLER_TYPES_SETTABLE)
            return err_set(err, ERR_USAGE, "there is no sampler of the number %d", c->order[i]);
    return 0;
}

/* ---- the order ---- */

int sampler_order_parse(const char *text, uint8_t order[SAMPLER_TYPES_SETTABLE], struct err *err)
{
    uint8_t got[SAMPLER_TYPES_SETTABLE] = {0};
    int n = 0;
    for (const char *p = text; *p;) {
        size_t k = strcspn(p, ",; ");
        if (k) {
            enum sampler_type t = k == 11 && !memcmp(p, "temperature", 11) ? SAMPLER_TEMP : sampler_type_find(p, k);
            if (!t || t >= SAMPLER_TYPES_SETTABLE)
                return err_set(err, ERR_USAGE, "no sampler is called '%.*s' (there are penalties, dry, top_n_sigma, top_k, typical, top_p, min_p, xtc, temp)",
                               k < 40 ? (int)k : 40, p);
            if (memchr(got, (int)t, (size_t)n))
                return err_set(err, ERR_USAGE, "the sampler %s stands twice in the order", names[t]);
            got[n++] = (uint8_t)t;
        }
        p += k + (p[k] != 0);
    }
    if (order)
        memcpy(order, got, sizeof got);
    return 0;
}

static bool as_step(const struct sampler_conf *c, enum sampler_type type, struct sampler_step *s)
{
    *s = (struct sampler_step){.type = type, .draw = -1};
    switch (type) {
    case SAMPLER_PENALTIES:
        s->last_n = c->repeat_last;
        s->repeat = c->repeat_penalty;
        s->freq = c->frequency_penalty;
        s->presence = c->presence_penalty;
        return true;
    case SAMPLER_DRY:
        s->multiplier = c->dry_multiplier;
        s->base = c->dry_base;
        s->allowed = c->dry_allowed_length;
        s->last_n = c->dry_last;
        return c->dry_multiplier > 0;
    case SAMPLER_TEMP:
        s->type = c->dyntemp_range > 0 ? SAMPLER_TEMP_EXT : SAMPLER_TEMP;
        s->t = c->temp;
        s->delta = c->dyntemp_range;
        s->exponent = c->dyntemp_exponent;
        return true;
    default:
        break;
    }
    if (c->mirostat || c->temp <= 0)
        return false;
    switch (type) {
    case SAMPLER_TOP_N_SIGMA:
        s->sigma = c->top_n_sigma;
        return true;
    case SAMPLER_TOP_K:
        s->k = c->top_k;
        return true;
    case SAMPLER_TYPICAL:
        s->p = c->typical;
        return c->typical > 0;
    case SAMPLER_TOP_P:
        s->p = c->top_p;
        return true;
    case SAMPLER_MIN_P:
        s->p = c->min_p;
        return true;
    case SAMPLER_XTC:
        s->p = c->xtc_probability;
        s->threshold = c->xtc_threshold;
        return true;
    default:
        return false;
    }
}

int sampler_create(const struct sampler_conf *c, int n_vocab, struct sampler **out, struct err *err)
{
    struct sampler_step steps[SAMPLER_TYPES_SETTABLE + 2] = {{.type = SAMPLER_LOGIT_BIAS}};
    int n = 1, rc = sampler_check(c, err);
    if (rc)
        return rc;
    for (int i = 0; i < SAMPLER_TYPES_SETTABLE - 1; i++) {
        enum sampler_type type = (enum sampler_type)(c->order[0] ? c->order[i] : i + 1);
        if (!type)
            break;
        n += as_step(c, type, &steps[n]);
    }
    if (c->temp <= 0)
        steps[n++] = (struct sampler_step){.type = SAMPLER_GREEDY};
    else if (c->mirostat)
        steps[n++] = (struct sampler_step){.type = c->mirostat == 1 ? SAMPLER_MIROSTAT : SAMPLER_MIROSTAT_V2, .k = 100, .tau = c->mirostat_tau,
                                           .eta = c->mirostat_eta, .mu = 2 * c->mirostat_tau};
    return sampler_create_chain(steps, n, c->seed, n_vocab, out, err);
}

/* ---- biases as text ---- */

int sampler_biases(const char *text, struct sampler *s, struct err *err)
{
    for (const char *p = text; *p;) {
        size_t k = strcspn(p, ", ");
        char *one = mem_strndup(p, k);
        size_t d = strspn(one, "0123456789");
        int64_t id = -1;
        double x = 0;
        char mark = one[d];
        const char *value = mark == '=' || mark == ':' || mark == '+' ? one + d + 1 : one + d;
        bool good = !k || (d && mark && strchr("=:+-", mark) && (!strcmp(value, "-inf") ? (x = -INFINITY, true) : num_parse_double(value, &x)) &&
                           x <= 1e9 && (x >= -1e9 || x == -INFINITY));
        one[d] = 0;
        if (good && k && (!num_parse_i64(one, &id) || id > INT32_MAX))
            id = INT32_MAX;
        int rc = 0;
        if (!good)
            rc = err_set(err, ERR_USAGE, "a bias is a token's number and what is added, as 15043+1.5 or 42-inf, not '%.*s'", k < 40 ? (int)k : 40, p);
        else if (k && s)
            rc = sampler_bias(s, (int32_t)id, (float)x, err);
        free(one);
        if (rc)
            return rc;
        p += k + (p[k] != 0);
    }
    return 0;
}

/* ---- breakers as text ---- */

/* The tokens that end in the beginning of `text` or hold all of it, each with the tokens of what is missing behind it. */
static void add_breaker(struct sampler *s, const struct tok *t, const char *text, size_t n, struct buf *b)
{
    for (int32_t id = 0; id < tok_count(t); id++) {
        struct tok_ids ids = {0};
        buf_reset(b);
        tok_decode(t, id, true, b);
        const char *token = buf_str(b);
        tok_ids_add(&ids, id);
        if (b->len >= n && memmem(token, b->len, text, n)) {
            sampler_breaker(s, ids.id, 1);
        } else {
            for (size_t from = b->len < n ? 0 : b->len - n + 1; from < b->len; from++) {
                size_t have = b->len - from;
                if (memcmp(token + from, text, have))
                    continue;
                ids.n = 1;
                tok_encode(t, text + have, n - have, 0, NULL, 0, &ids);
                if (ids.n <= BREAKER_TAIL_MAX)
                    sampler_breaker(s, ids.id, (int)ids.n);
            }
        }
        free(ids.id);
    }
}

int sampler_breakers(const char *text, struct sampler *s, const struct tok *t, struct err *err)
{
    struct buf one = BUF_INIT(1 << 16), token = BUF_INIT(1 << 20);
    int n = 0, rc = 0;
    for (const char *p = text; *p && !rc; p += *p != 0) {
        buf_reset(&one);
        for (; *p && *p != ','; p++) {
            if (*p == '\\' && p[1])
                p++;
            buf_addch(&one, p > text && p[-1] == '\\' ? (*p == 'n' ? '\n' : *p == 't' ? '\t' : *p) : *p);
        }
        if (one.len > BREAKER_MAX || (one.len && ++n > BREAKER_MAX))
            rc = err_set(err, ERR_USAGE, "dry-breakers takes at most %d texts of at most %d bytes", BREAKER_MAX, BREAKER_MAX);
        else if (one.len && s)
            add_breaker(s, t, buf_str(&one), one.len, &token);
    }
    buf_finish(&one);
    buf_finish(&token);
    return rc;
}

/* ---- what a model's file recommends ---- */

void sampler_from_file(const struct gguf *g, unsigned given, struct sampler_conf *c)
{
    const struct {
        const char *key;
        float *real;
        int *whole;
    } rows[SAMPLER_KEYS] = {
        [SAMPLER_KEY_TEMP] = {"temp", &c->temp, NULL},
        [SAMPLER_KEY_TOP_K] = {"top_k", NULL, &c->top_k},
        [SAMPLER_KEY_TOP_P] = {"top_p", &c->top_p, NULL},
        [SAMPLER_KEY_MIN_P] = {"min_p", &c->min_p, NULL},
        [SAMPLER_KEY_REPEAT] = {"penalty_repeat", &c->repeat_penalty, NULL},
        [SAMPLER_KEY_REPEAT_LAST] = {"penalty_last_n", NULL, &c->repeat_last},
        [SAMPLER_KEY_XTC_PROBABILITY] = {"xtc_probability", &c->xtc_probability, NULL},
        [SAMPLER_KEY_XTC_THRESHOLD] = {"xtc_threshold", &c->xtc_threshold, NULL},
        [SAMPLER_KEY_MIROSTAT] = {"mirostat", NULL, &c->mirostat},
        [SAMPLER_KEY_MIROSTAT_TAU] = {"mirostat_tau", &c->mirostat_tau, NULL},
        [SAMPLER_KEY_MIROSTAT_ETA] = {"mirostat_eta", &c->mirostat_eta, NULL},
    };
    for (int i = 0; i < SAMPLER_KEYS; i++) {
        char key[64];
        double v;
        struct sampler_conf before = *c;
        snprintf(key, sizeof key, "general.sampling.%s", rows[i].key);
        if (given >> i & 1 || gguf_get_f64(g, key, &v, NULL) <= 0 || !(fabs(v) <= 1 << 30))
            continue;
        if (rows[i].real)
            *rows[i].real = (float)v;
        else
            *rows[i].whole = (int)v;
        if (sampler_check(c, NULL)) /* a file is not asked to be sensible */
            *c = before;
    }
}
