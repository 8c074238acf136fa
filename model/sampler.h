#ifndef MODEL_SAMPLER_H
#define MODEL_SAMPLER_H
/*
 * Choosing the next token. Order: repeat penalty, top-k, top-p, min-p, temperature, draw (spec: chat 9). Reproducible:
 * the same parameters, seed and logits give the same ids.
 */
#include <stdint.h>

#include "base/err.h"

struct sampler_conf {
    float temp;           /* <= 0: greedy */
    int top_k;            /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 1: off; over the last repeat_last tokens */
    int repeat_last;
    uint64_t seed;
};

struct sampler;

/* temp 0.8, top-k 40, top-p 0.95, min-p 0.05, repeat penalty 1, last 64, seed 0. */
struct sampler_conf sampler_default(void);
/* ERR_USAGE with the name and the range when a value is out of range or not finite. */
int sampler_check(const struct sampler_conf *c, struct err *err);
int sampler_create(const struct sampler_conf *c, int n_vocab, struct sampler **out, struct err *err);
void sampler_destroy(struct sampler *s);
/* Tells the sampler of a token that stands in the text (prompt tokens too): the repeat penalty looks at these. */
void sampler_accept(struct sampler *s, int32_t id);
/* The next id from n_vocab logits (not changed). NaN or no finite logit: ERR_IO "numeric". */
int sampler_next(struct sampler *s, const float *logits, int32_t *id, struct err *err);
/*
 * What sampler_next would draw from, without drawing: the surviving ids by falling probability (lower id first among equals)
 * and their probabilities, at most max_n of them; *count gets how many survive.
 */
int sampler_probs(struct sampler *s, const float *logits, int32_t *ids, float *probs, int max_n, int *count, struct err *err);

#endif
