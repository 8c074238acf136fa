#ifndef BASE_SANE_H
#define BASE_SANE_H
/*
 * The one sanitizer. All text that our own code did not write (model output, files, metadata, titles, error texts of
 * libraries) passes it before it reaches a terminal. Policy (design: reliability 1.5): the output is valid UTF-8 whose
 * only control characters are tab and newline. CR LF and CR become newline; ESC, other C0, DEL as ^[ form, C1 as \x9b;
 * bad bytes become U+FFFD each maximal subpart; bidi embeddings, overrides and isolates, tag characters (outside the three
 * subdivision flags), variation selectors supplement, noncharacters and unassigned code points become <U+202E> form;
 * at most 8 combining marks follow a base character (the rest is dropped and shown as one U+FFFD). LRM, RLM and ALM are
 * shown too. Stored text is never changed, only what is shown.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Carries what a split between two chunks must not change. Zero it to begin. */
struct sane {
    char tail[32]; /* undecided bytes: the beginning of a character, a CR, a flag sequence */
    int n;
    int marks; /* combining marks since the last base character */
};

/* Appends the sanitized form of s; what cannot be decided yet waits in *st. */
void sane_feed(struct sane *st, const char *s, size_t n, struct buf *out);
/* Appends what still waits. */
void sane_flush(struct sane *st, struct buf *out);
/* A whole text. */
void sane_text(struct buf *out, const char *s, size_t n);
/* A whole text on one line: newline and tab are shown as a space, too. For titles, names, error messages. */
void sane_line(struct buf *out, const char *s, size_t n);

#endif
