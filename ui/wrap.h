#ifndef UI_WRAP_H
#define UI_WRAP_H
/*
 * Text that comes in pieces, wrapped at words: a word waits until it is whole. Takes sanitized text (valid UTF-8, no control characters
 * but tab and newline). Lines between ``` fences are left as they are; in a list, the rest of an item stands below its text.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define WRAP_WORD_MAX 512 /* bytes of a word that are held back */

struct wrap {
    char word[WRAP_WORD_MAX];
    size_t n;
    int width;      /* of the word */
    int column;     /* of the cursor, the blanks that wait not counted */
    int blanks;     /* in front of the word */
    int indent;     /* of the line's continuation */
    bool any;       /* a word stands in this line */
    bool fence;     /* between fences */
};

/* Zero it to begin, at the start of a line. */
void wrap_feed(struct wrap *w, const char *s, size_t n, int columns, struct buf *out);
/* No more for now: what is there of a word. */
void wrap_pause(struct wrap *w, int columns, struct buf *out);
/* The end: what waits. */
void wrap_flush(struct wrap *w, int columns, struct buf *out);

#endif
