#ifndef APP_JTEXT_H
#define APP_JTEXT_H
/*
 * JSON that we print. Strings may hold anything a model or a file said: bad UTF-8 becomes U+FFFD, and what would act on a terminal
 * (control characters, C1, bidi overrides, tags) is written as \u escapes, so that the text is safe to look at and exact to read back.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

json_t *jtext(const char *s);                  /* NULL gives null */
json_t *jtext_n(const char *s, size_t n);
json_t *jreal(double x, int decimals);         /* rounded */
/* Appends the value and a newline: on one line, or indented. */
void jput(struct buf *out, const json_t *j, bool pretty);

#endif
