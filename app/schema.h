#ifndef APP_SCHEMA_H
#define APP_SCHEMA_H
/*
 * A JSON schema as a grammar (GBNF, model/grammar.h): every text of the grammar is JSON that the schema takes. Not every such JSON is a text
 * of the grammar: members come in the schema's order, white space is short, numbers have at most 15 digits.
 */
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends the grammar. ERR_INPUT: no JSON (line and column), a keyword that is wrong or that cannot be held (with its JSON pointer), or
 * a schema that no text satisfies.
 */
int schema_to_grammar(const char *text, size_t n, struct buf *out, struct err *err);

/* A pattern (regular expression) as an expression of GBNF over the inside of a JSON string. False: *why says what cannot be held. */
bool schema_pattern(const char *pattern, struct buf *out, const char **why);
/* A text as a GBNF literal, quotes and all. */
void schema_literal(struct buf *out, const char *s, size_t n);

#endif
