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

/* The settings that a model's file may recommend; it does not change what a person gave. */
enum sampler_key {
    SAMPLER_KEY_TEMP,
    SAMPLER_KEY_TOP_K,
    SAMPLER_KEY_TOP_P,
    SAMPLER_KEY_MIN_P,
    SAMPLER_KEY_REPEAT,
    SAMPLER_KEY_REPEAT_LAST,
    SAMPLER_KEY_XTC_PROBABILITY,
    SAMPLER_KEY_XTC_THRESHOLD,
    SAMPLER_KEY_MIROSTAT,
    SAMPLER_KEY_MIROSTAT_TAU,
    SAMPLER_KEY_MIROSTAT_ETA,
    SAMPLER_KEYS,
};
/* Takes the file's general.sampling.* keys for what is not in `given` (bit 1 << key); a value out of range is passed over. */
void sampler_from_file(const struct gguf *g, unsigned given, struct sampler_conf *c);

#endif
