/*
 * hadal sample: chains of samplers on given logits, without a model: what would be drawn from. For tests and for those who compare.
 */
#include "config.h"
#include "app/cmd.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/sampler_conf.h"

#define MAX_STEPS 64

struct sampling {
    bool help, jsonl;
};

static const struct opt opts[] = {
    {.name = "jsonl", .kind = OPT_FLAG, .at = offsetof(struct sampling, jsonl), .help = "objects, one a line (the only form there is)"},
    OPT_ROW_HELP(struct sampling),
    {.name = NULL},
};

static double number(const json_t *j, const char *name, double none)
{
    const json_t *v = json_object_get(j, name);
    return json_is_number(v) ? json_number_value(v) : none;
}

static int whole(const json_t *j, const char *name)
{
    double x = number(j, name, 0);
    return x <= INT_MIN ? INT_MIN : x >= INT_MAX ? INT_MAX : (int)x;
}

static int read_step(const json_t *j, struct sampler_step *s, struct err *err)
{
    const char *type = json_string_value(json_object_get(j, "type"));
    enum sampler_type t = type ? sampler_type_find(type, strlen(type)) : SAMPLER_NONE;
    if (!t)
        return err_set(err, ERR_INPUT, "there is no sampler of the type '%.40s'", type ? type : "");
    *s = (struct sampler_step){.type = t, .k = t == SAMPLER_MIROSTAT ? whole(j, "m") : whole(j, "k"), .min_keep = whole(j, "min_keep"),
                               .last_n = whole(j, "last_n"), .p = (float)number(j, t == SAMPLER_XTC ? "probability" : "p", 0),
                               .threshold = (float)number(j, "threshold", 0), .draw = number(j, "draw", -1), .t = (float)number(j, "t", 0),
                               .delta = (float)number(j, "delta", 0), .exponent = (float)number(j, "exponent", 1), .sigma = (float)number(j, "n", 0),
                               .repeat = (float)number(j, "repeat", 1), .freq = (float)number(j, "freq", 0), .presence = (float)number(j, "presence", 0),
                               .multiplier = (float)number(j, "multiplier", 0), .base = (float)number(j, "base", 0),
                               .allowed = whole(j, "allowed_length"), .tau = (float)number(j, "tau", 0), .eta = (float)number(j, "eta", 0),
                               .mu = (float)number(j, "mu", 2 * number(j, "tau", 0))};
    return 0;
}

/* Biases and breakers of a step. */
static int read_lists(const json_t *j, struct sampler *s, struct err *err)
{
    size_t i, k;
    json_t *v, *id;
    json_array_foreach(json_object_get(j, "bias"), i, v) {
        const json_t *x = json_array_get(v, 1);
        int rc = sampler_bias(s, (int32_t)json_integer_value(json_array_get(v, 0)), json_is_null(x) ? -INFINITY : (float)json_number_value(x), err);
        if (rc)
            return rc;
    }
    json_array_foreach(json_object_get(j, "breakers"), i, v) {
        int32_t *ids = mem_array(json_array_size(v) + 1, sizeof *ids);
        json_array_foreach(v, k, id)
            ids[k] = (int32_t)json_integer_value(id);
        sampler_breaker(s, ids, (int)json_array_size(v));
        free(ids);
    }
    return 0;
}

static int read_chain(const json_t *list, int n_vocab, uint64_t seed, struct sampler **out, struct err *err)
{
    struct sampler_step steps[MAX_STEPS];
    size_t n = json_array_size(list);
    int rc = 0;
    if (!json_is_array(list) || n > MAX_STEPS)
        return err_set(err, ERR_INPUT, "\"params\" has no array \"samplers\" of at most %d", MAX_STEPS);
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_step(json_array_get(list, i), &steps[i], err);
    if (!rc)
        rc = sampler_create_chain(steps, (int)n, seed, n_vocab, out, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_lists(json_array_get(list, i), *out, err);
    return rc;
}

static int read_logits(const json_t *j, float **out, int *n, struct err *err)
{
    const json_t *list = json_object_get(j, "logits");
    size_t k = json_array_size(list);
    if (!k || k > 1 << 24)
        return err_set(err, ERR_INPUT, "there is no array \"logits\" of 1 to %d numbers", 1 << 24);
    *out = mem_array(k, sizeof **out);
    for (size_t i = 0; i < k; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_number(v) && !json_is_null(v))
            return err_set(err, ERR_INPUT, "logits[%zu] is neither a number nor null", i);
        (*out)[i] = json_is_null(v) ? -INFINITY : (float)json_number_value(v);
    }
    *n = (int)k;
    return 0;
}

static int sample(const json_t *j, struct buf *out, struct err *err)
{
    const json_t *params = json_object_get(j, "params");
    struct sampler *s = NULL;
    float *logits = NULL, *probs = NULL;
    int32_t *ids = NULL;
    int n = 0, count = 0, rc = read_logits(j, &logits, &n, err);
    size_t i;
    json_t *v;
    if (!rc)
        rc = read_chain(json_object_get(params, "samplers"), n, (uint64_t)number(params, "seed", 0), &s, err);
    if (!rc) {
        json_array_foreach(json_object_get(j, "last_tokens"), i, v)
            sampler_accept(s, (int32_t)json_integer_value(v));
        ids = mem_array((size_t)n, sizeof *ids);
        probs = mem_array((size_t)n, sizeof *probs);
        rc = sampler_probs(s, logits, ids, probs, n, &count, err);
    }
    if (!rc) {
        buf_addstr(out, "{\"ids\":[");
        for (int k = 0; k < count; k++)
            buf_addf(out, "%s%d", k ? "," : "", (int)ids[k]);
        buf_addstr(out, "],\"probs\":[");
        for (int k = 0; k < count; k++)
            buf_addf(out, "%s%.9g", k ? "," : "", (double)probs[k]);
        buf_addstr(out, "]}\n");
    }
    sampler_destroy(s);
    free(logits);
    free(probs);
    free(ids);
    return rc;
}

/* A line each; what was made before a bad one stays. */
static int sample_lines(const struct buf *in, struct buf *out, struct err *err)
{
    const char *p = buf_str(in), *end = p + in->len;
    for (size_t number = 1; p < end; number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        json_error_t je;
        json_t *j = strspn(p, " \t\r") < n ? json_loadb(p, n, 0, &je) : NULL;
        int rc = j ? sample(j, out, err) : strspn(p, " \t\r") < n ? err_set(err, ERR_INPUT, "no JSON: %s", je.text) : 0;
        json_decref(j);
        if (rc)
            return err_wrap(err, "line %zu", number);
        p += n + 1;
    }
    return 0;
}

static int run(int argc, char **argv)
{
    struct sampling o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_sample, &o, argc, argv, &w, 0, 0, &status)) {
        struct buf in = {0}, out = BUF_INIT(SIZE_MAX);
        struct err e;
        int rc = cmd_stdin(&in, &e);
        if (!rc)
            rc = sample_lines(&in, &out, &e);
        status = cmd_out(&out);
        if (rc)
            status = report(&e);
        buf_finish(&in);
    }
    cmd_done(&cmd_sample, &o, &w);
    return status;
}

const struct cmd cmd_sample = {.name = "sample", .args = "", .help = "show which tokens chains of samplers leave of given logits", .opts = opts, .run = run,
                               .more = "A line in: {\"logits\": [...], \"params\": {\"samplers\": [{\"type\": \"top_k\", \"k\": 40}, ...]}, \"last_tokens\": [...]}; "
                                       "a line out: {\"ids\": [...], \"probs\": [...]}, by falling probability. null is minus infinity."};
