#ifndef UI_MD_H
#define UI_MD_H
/*
 * Markdown of an answer, laid out while it streams. The text is cut into blocks (paragraph, heading, list, table, quote, fenced code,
 * rule); a block that is closed is laid out once by md4c and never again; only the open block at the end is laid out anew when text
 * comes. What one sees at the end equals what a fresh layout of the whole text gives (checked in tests, and in debug builds at md_end).
 * Tables are drawn when they are closed, and stand as text before. Text starts in column 1 and has nothing beside it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "ui/rows.h"

struct md;

struct md *md_create(int width);
void md_destroy(struct md *m);
void md_feed(struct md *m, const char *s, size_t n); /* appends; any cut, whole UTF-8 sequences or not */
void md_end(struct md *m);                           /* the text is complete; one that goes on after all is laid out again */
void md_width(struct md *m, int width);              /* lays everything out again */
/* The rows as of now; borrowed until the next call. */
const struct rows *md_rows(struct md *m);
/*
 * Rows below this number never change again (at this width), and were so already at the last call of md_settled; for painting only what
 * changed.
 */
size_t md_settled(struct md *m);
const char *md_text(const struct md *m, size_t *n); /* the source as it came */
int md_n_code(struct md *m);
/* Fenced block i (from 1): its text without fences, its language ("" when none). Owned by the caller / borrowed. NULL: no such block. */
char *md_code(struct md *m, int i, size_t *n, const char **lang);
const char *md_link(struct md *m, int i, size_t *n); /* target i of the rows' links, from 0, as it came; borrowed; NULL: none */
int md_n_links(struct md *m);

#endif
