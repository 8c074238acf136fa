#ifndef UI_CODE_H
#define UI_CODE_H
/*
 * Light colour for code, line by line: comments, strings, keywords and numbers of a dozen languages. A line is looked at once from left to
 * right; what goes on in the next line (a comment, a string) stands in the state. Nothing is parsed, so nothing can be malformed.
 */
#include <stddef.h>
#include <stdint.h>

#include "ui/rows.h"

struct code_lang;

/* By the word behind a fence, in any case ("c++", "Python", "sh"); NULL: not known, its code is shown plain. */
const struct code_lang *code_lang(const char *name, size_t n);
const char *code_lang_name(const struct code_lang *l); /* of its table; "" for NULL */

/* Zero it to begin. */
struct code_state {
    uint8_t mode; /* what the last line ended in the middle of; 0: nothing */
    uint8_t quote; /* which string */
    uint8_t tag;   /* within a tag (HTML) */
    uint32_t mark; /* of a string that a word ends: the word's hash */
};

struct code_spans {
    struct row_span *at; /* ascending, the whole line; owned */
    int n, cap;
};
/* Replaces the spans by those of this line (no newline in it): ROLE_CODE where it is nothing special. */
void code_line(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct code_spans *out);

#endif
