#ifndef UI_SURFACE_H
#define UI_SURFACE_H
/*
 * A grid of cells between the views and the terminal: views draw into it, ui/term.c shows it as a difference to what stands on the
 * screen, tests dump it as text. Everything that is put passes the sanitizer's rules and a display-safe rule (one cell holds one
 * base character and at most two marks; of a ZWJ sequence the base is shown; variation selectors and skin tones are dropped; regional
 * indicators stand as a pair), so that columns are the same on every terminal. Widths are utf8_width's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* What a piece of text is. A theme (ui/theme.h) says what colour and attributes that has. */
enum role {
    ROLE_TEXT, ROLE_DIM, ROLE_TITLE, ROLE_STATUS, ROLE_WARN, ROLE_ALERT, ROLE_GOOD, ROLE_USER, ROLE_MODEL, ROLE_THOUGHT,
    ROLE_HEADING, ROLE_QUOTE, ROLE_LINK, ROLE_CODE, ROLE_RULE, ROLE_COMMENT, ROLE_STRING, ROLE_KEYWORD, ROLE_NUMBER,
    ROLE_HIT, ROLE_SELECTED, ROLE_KEY, ROLE_COUNT
};
enum { LOOK_BOLD = 1, LOOK_ITALIC = 2, LOOK_UNDERLINE = 4, LOOK_REVERSE = 8, LOOK_STRIKE = 16 };
struct look {
    uint8_t role;  /* enum role */
    uint8_t flags; /* LOOK_* */
    uint16_t link; /* 0: none; else a number that surface_link gave */
};

struct cell {
    uint32_t cp[3];   /* base and marks; cp[0] == 0: the right half of the wide character before it */
    struct look look;
};

struct surface;

struct surface *surface_create(int rows, int cols); /* 1x1 at least; blank */
void surface_destroy(struct surface *s);
void surface_resize(struct surface *s, int rows, int cols); /* blank afterwards */
int surface_rows(const struct surface *s);
int surface_cols(const struct surface *s);
void surface_blank(struct surface *s, int y, int x, int rows, int cols, struct look look); /* clipped */
/*
 * Puts text at (y, x), cut at column `end` (exclusive; also at the surface's edge). Foreign text is fine. Returns the column behind the last
 * cell. A wide character that does not fit whole is left out. Newlines and tabs count as one space.
 */
int surface_put(struct surface *s, int y, int x, int end, struct look look, const char *text, size_t n);
int surface_puts(struct surface *s, int y, int x, int end, struct look look, const char *text);
/* The same, cut with ".." when it does not fit. */
int surface_fit(struct surface *s, int y, int x, int end, struct look look, const char *text);
/* Changes the look of cells that are there. */
void surface_look(struct surface *s, int y, int x, int n, struct look look);
const struct cell *surface_cell(const struct surface *s, int y, int x);
void surface_set(struct surface *s, int y, int x, const struct cell *c); /* as it is; for copies of whole surfaces */
void surface_cursor(struct surface *s, int y, int x); /* -1, -1: hidden */
void surface_get_cursor(const struct surface *s, int *y, int *x);
/* A link target (http or https, printable ASCII; others give 0), kept until the next surface_resize or surface_links_reset. */
uint16_t surface_link(struct surface *s, const char *url, size_t n);
const char *surface_link_url(const struct surface *s, uint16_t link);
void surface_links_reset(struct surface *s);
/* Rows as text, trailing blanks cut, each followed by a newline; with attrs also, for each row that has any, a line of the runs: "  @ 0-12 title, 14-20 dim bold". */
void surface_dump(const struct surface *s, bool attrs, struct buf *out);
const char *role_name(enum role r);

/* Columns of a text as surface_put would draw it. */
int text_columns(const char *s, size_t n);
/* Length in bytes of the grapheme cluster at s (n > 0), and its columns. */
size_t text_cluster(const char *s, size_t n, int *columns);

#endif
