#ifndef MODEL_GRAMMAR_H
#define MODEL_GRAMMAR_H
/*
 * Answers held to a grammar in GBNF: rules "name ::= ...", of which root is the text. Literals "..." and classes [a-z] [^a-z] . with the
 * escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH, groups ( ), alternatives |, repetitions * + ? {m} {m,} {m,n}, comments #.
 *
 * A grammar is made once and is read-only; a matcher follows one text, byte by byte or token by token.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/tok.h"

struct grammar;

/* ERR_INPUT with "line L, column C: ...": syntax, an unknown rule, left recursion, a root that never ends, or larger than the budgets. */
int grammar_parse(const char *text, size_t n, struct grammar **out, struct err *err);
void grammar_free(struct grammar *g);

/* The vocabulary, sorted by bytes, with which a matcher looks at many tokens at once. Made once for a tokenizer (about 0.1 s for 150,000). */
struct grammar_vocab;
struct grammar_vocab *grammar_vocab_new(const struct tok *t);
void grammar_vocab_free(struct grammar_vocab *v);

struct matcher;

/* At the beginning of a text. v may be NULL for a matcher of bytes. Both must outlive it. */
int matcher_create(const struct grammar *g, const struct grammar_vocab *v, struct matcher **out, struct err *err);
void matcher_destroy(struct matcher *m);
/* 1: taken; 0: the grammar refuses it here, and nothing changes; ERR_INCOMPLETE: the grammar has more states here than the budget. */
int matcher_byte(struct matcher *m, unsigned char c, struct err *err);
/* The same for a token. One that ends a generation is taken where the text may end. */
int matcher_accept(struct matcher *m, int32_t id, struct err *err);
bool matcher_can_end(const struct matcher *m);  /* what was taken is a whole text */
bool matcher_must_end(const struct matcher *m); /* and nothing can follow */
/* The fewest bytes with which the text can end. */
uint32_t matcher_least(const struct matcher *m);
/* Would matcher_accept take it, and could the text then still end within `room` bytes? 1, 0, or ERR_INCOMPLETE. */
int matcher_allows(struct matcher *m, int32_t id, uint32_t room, struct err *err);
/*
 * out[i] = logits[i] for the tokens that matcher_allows, -INFINITY for the others; *count: how many are allowed. When none
 * leaves enough room, those that come nearest to the end are allowed.
 */
int matcher_mask(struct matcher *m, uint32_t room, const float *logits, float *out, int *count, struct err *err);

#endif
