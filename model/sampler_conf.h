#ifndef MODEL_SAMPLER_CONF_H
#define MODEL_SAMPLER_CONF_H
/*
 * Settings of the sampler as text, and what a model's file recommends for them.
 */
#include "model/gguf.h"
#include "model/sampler.h"
#include "model/tok.h"

/* "top_k" or "top-k"; SAMPLER_NONE: no such type. */
enum sampler_type sampler_type_find(const char *name, size_t n);
/* "penalties,top_k,temp" into an order; "" is the usual one. `order` may be NULL: only looks. ERR_USAGE names what is wrong. */
int sampler_order_parse(const char *text, uint8_t order[SAMPLER_TYPES_SETTABLE], struct err *err);
/* "15043+1.5,42-inf": adds each to s (NULL: only looks at the form). ERR_USAGE, also for a token that does not exist. */
int sampler_biases(const char *text, struct sampler *s, struct err *err);
/*
 * DRY's breakers: texts between commas, with \n, \t, \\ and \, in them. Adds the tokens and sequences that may hold each to s, which may
 * be NULL: only looks. ERR_USAGE: too many or too long.
 */
int sampler_breakers(const char *text, struct sampler *s, const struct tok *t, struct err *err);
#define SAMPLER_BREAKERS "\\n,:,\",*" /* the usual ones */

/* Which settings a person gave: the model's file does not change these. */
enum {
    SAMPLER_GAVE_TEMP = 1 << 0,
    SAMPLER_GAVE_TOP_K = 1 << 1,
    SAMPLER_GAVE_TOP_P = 1 << 2,
    SAMPLER_GAVE_MIN_P = 1 << 3,
    SAMPLER_GAVE_REPEAT = 1 << 4,
    SAMPLER_GAVE_REPEAT_LAST = 1 << 5,
    SAMPLER_GAVE_XTC_PROBABILITY = 1 << 6,
    SAMPLER_GAVE_XTC_THRESHOLD = 1 << 7,
    SAMPLER_GAVE_MIROSTAT = 1 << 8,
    SAMPLER_GAVE_MIROSTAT_TAU = 1 << 9,
    SAMPLER_GAVE_MIROSTAT_ETA = 1 << 10,
    SAMPLER_GAVE_ALL = (1 << 11) - 1,
};
/* Takes the file's general.sampling.* keys for what was not given; a value out of range is passed over. */
void sampler_from_file(const struct gguf *g, unsigned given, struct sampler_conf *c);

#endif
