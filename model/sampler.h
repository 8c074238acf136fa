#ifndef MODEL_SAMPLER_H
#define MODEL_SAMPLER_H
/*
 * Choosing the next token: a chain of steps, each of which changes logits or leaves candidates out, and a draw (spec: chat 9).
 * Reproducible: the same chain, seed, accepted tokens and logits give the same ids.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sampler_type {
    SAMPLER_NONE,
    SAMPLER_PENALTIES,
    SAMPLER_DRY,
    SAMPLER_TOP_N_SIGMA,
    SAMPLER_TOP_K,
    SAMPLER_TYPICAL,
    SAMPLER_TOP_P,
    SAMPLER_MIN_P,
    SAMPLER_XTC,
    SAMPLER_TEMP,
    SAMPLER_TYPES_SETTABLE, /* those above stand in sampler_conf.order */
    SAMPLER_TEMP_EXT = SAMPLER_TYPES_SETTABLE,
    SAMPLER_LOGIT_BIAS,
    SAMPLER_GREEDY,
    SAMPLER_MIROSTAT,
    SAMPLER_MIROSTAT_V2,
    SAMPLER_TYPES,
};

/* The settings of a person, as a value. Zero is "off" in every member but top_p (1) and repeat_penalty (1). */
struct sampler_conf {
    float temp;           /* <= 0: greedy, whatever else stands here but penalties, dry and biases */
    int top_k;            /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 1: off; this and the next two over the last repeat_last tokens */
    int repeat_last;
    uint64_t seed;
    float frequency_penalty, presence_penalty; /* 0: off */
    float typical;                             /* 0, 1: off */
    float top_n_sigma;                         /* 0: off */
    float xtc_probability, xtc_threshold;      /* probability 0 or threshold above 0.5: off */
    float dry_multiplier, dry_base;            /* multiplier 0: off */
    int dry_allowed_length, dry_last;          /* dry_last -1: the whole text */
    float dyntemp_range, dyntemp_exponent;     /* range 0: off */
    int mirostat;                              /* 0: off; 1, 2: instead of all steps but penalties, dry and temp */
    float mirostat_tau, mirostat_eta;
    uint8_t order[SAMPLER_TYPES_SETTABLE]; /* enum sampler_type up to the first 0, each at most once; all 0: the order of the enum */
};

/* One step of a chain, as the definitions in the spec name its numbers. */
struct sampler_step {
    enum sampler_type type;
    int k;        /* top_k; mirostat: m */
    int min_keep; /* typical, top_p, min_p, xtc keep at least so many */
    int last_n;   /* penalties, dry; negative: all */
    float p;      /* typical, top_p, min_p; xtc: the probability */
    float threshold;
    double draw;  /* xtc: the random number; negative: drawn */
    float t, delta, exponent; /* temp, temp_ext */
    float sigma;              /* top_n_sigma */
    float repeat, freq, presence;
    float multiplier, base;
    int allowed;
    float tau, eta, mu;
};

struct sampler;

/* temp 0.8, top-k 40, top-p 0.95, min-p 0.05, the last 64 tokens, and everything else off. */
struct sampler_conf sampler_default(void);
/* ERR_USAGE with the name and the range when a value is out of range or not finite. */
int sampler_check(const struct sampler_conf *c, struct err *err);
int sampler_create(const struct sampler_conf *c, int n_vocab, struct sampler **out, struct err *err);
/* Any chain. The numbers are taken as they are: one that makes no sense (a negative k) is "off". */
int sampler_create_chain(const struct sampler_step *steps, int n, uint64_t seed, int n_vocab, struct sampler **out, struct err *err);
void sampler_destroy(struct sampler *s);

/* Adds to a token's logit, -INFINITY forbids it. ERR_USAGE: no such token. */
int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err);
/* A sequence of n >= 1 tokens over which DRY does not look back. Ids that do not exist are never met. */
void sampler_breaker(struct sampler *s, const int32_t *ids, int n);

/* Tells the sampler of a token that stands in the text (prompt tokens too): penalties and DRY look at these. */
void sampler_accept(struct sampler *s, int32_t id);
/* The next id from n_vocab logits (not changed). NaN or no finite logit: ERR_IO "numeric". */
int sampler_next(struct sampler *s, const float *logits, int32_t *id, struct err *err);
/* The id of the last sampler_next was refused: mirostat does not learn from it. The random numbers stay drawn. */
void sampler_refuse(struct sampler *s);
/*
 * What sampler_next would draw from, without drawing: the surviving ids by falling probability (lower id first among equals)
 * and their probabilities, at most max_n of them; *count gets how many survive.
 */
int sampler_probs(struct sampler *s, const float *logits, int32_t *ids, float *probs, int max_n, int *count, struct err *err);
/* Mirostat's mu as the last sampler_next left it. */
double sampler_mu(const struct sampler *s);

#endif
