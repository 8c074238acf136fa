#ifndef UI_ROWS_H
#define UI_ROWS_H
/*
 * A text laid out for a width: rows of styled text, made of logical lines. Copying works on the logical text, so a row knows whether it
 * is only a soft wrap of the one before.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ui/surface.h"

struct row_span {
    uint32_t from, to; /* bytes of the row's text */
    struct look look;  /* link: 1 + index into the owner's list of targets, 0: none */
};

struct row {
    char *text; /* display text, valid UTF-8 without control characters; owned */
    size_t n;
    struct row_span *spans; /* ascending, not overlapping; the rest is ROLE_TEXT; owned */
    int n_spans;
    bool soft;    /* goes on from the row before: joined with it when copied */
    bool decor;   /* a rule, a code block's head: not part of the text when copied */
    bool exact;   /* the source between `from` and `to` is what the row shows, without anything left out or put in */
    int code;     /* 0: no code; else the code block's number within the message, from 1 */
    uint32_t hang; /* blanks in front of a soft row that only indent it */
    uint32_t gap;  /* soft: blanks between it and the row before that vanished at the break */
    size_t from, to; /* bytes of the source text that this row shows */
};

struct rows {
    struct row *at;
    size_t n, cap;
};

void rows_init(struct rows *r);
void rows_finish(struct rows *r);
void rows_cut(struct rows *r, size_t n); /* keeps the first n */
/*
 * Appends one logical line (no newline in it; one that is there counts as a blank), wrapped at words where that is possible, hanging behind
 * `indent` columns on soft rows. The text may be foreign; tabs stand for blanks up to the next eighth column. Spans are in bytes of the text.
 */
struct wrap_conf {
    int width;           /* columns, >= 1 */
    int indent;          /* columns of soft rows; none when that leaves less than half of the width */
    bool words;          /* false: cut anywhere (code) */
    bool decor;
    bool soft;           /* the first row, too, goes on from the row before */
    int code;
    const size_t *source; /* where in the source each byte of the text stands, n + 1 numbers; NULL: at from, from + 1, ..: the rows are exact */
};
void rows_add(struct rows *r, const struct wrap_conf *c, const char *text, size_t n, const struct row_span *spans, int n_spans, size_t from);
/* Plain text with newlines (a prompt, a thought), everything in one look. A newline at the very end adds no row. */
void rows_add_plain(struct rows *r, int width, struct look look, const char *text, size_t n);
void rows_push(struct rows *r, const struct row *row); /* as it is; takes what it owns */
bool row_equal(const struct row *a, const struct row *b);
/*
 * The text of rows first..end-1 for copying, lines parted by newlines: soft rows are joined, with the blanks that vanished at the break;
 * decor is left out; what is exact is taken from the source (NULL: nothing is), tabs and all.
 */
void rows_text(const struct rows *r, size_t first, size_t end, const char *source, struct buf *out);
void row_draw(const struct row *row, struct surface *s, int y, int x, int end, const uint16_t *links);

#endif
