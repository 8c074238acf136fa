/*
 * Layout of an edited text: rows, and where the cursor stands in them. See editor.h. Every byte belongs to one row; the cursor behind a full
 * row stands at the start of the next.
 */
#include "config.h"
#include "ui/editor.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/surface.h"

static void add_row(struct edit_rows *r, size_t from, size_t to)
{
    r->at = mem_grow(r->at, r->n + 1, sizeof *r->at);
    r->at[r->n++] = (struct edit_row){from, to};
}

/* The end of the row that begins at `from`, and where the next one begins (SIZE_MAX: there is none). */
static size_t row_end(const char *text, size_t n, size_t from, int width, size_t *next)
{
    size_t at = from, blank = 0; /* blank: behind the last one that may end the row */
    int x = 0, columns;
    while (at < n && text[at] != '\n') {
        size_t len = text_cluster(text + at, n - at, &columns);
        if (x + columns > width && at > from) {
            *next = blank > from ? blank : at;
            return *next;
        }
        x += columns;
        at += len;
        if (text[at - 1] == ' ')
            blank = at;
    }
    if (at < n)
        *next = at + 1;
    else
        *next = x >= width ? at : SIZE_MAX; /* room for the cursor */
    return at;
}

void edit_layout(struct edit_rows *r, const char *text, size_t n, size_t cursor, int width)
{
    *r = (struct edit_rows){0};
    if (width < 1)
        width = 1;
    for (size_t from = 0, next; from != SIZE_MAX; from = next) {
        size_t to = row_end(text, n, from, width, &next);
        if (from == n && to == n && next != SIZE_MAX)
            next = SIZE_MAX;
        add_row(r, from, to);
        if (cursor >= from)
            r->y = r->n - 1;
    }
    size_t from = r->at[r->y].from;
    r->x = text_columns(text + from, (cursor < r->at[r->y].to ? cursor : r->at[r->y].to) - from);
}

void edit_rows_finish(struct edit_rows *r)
{
    free(r->at);
    *r = (struct edit_rows){0};
}

size_t edit_row_byte(const struct edit_rows *r, const char *text, size_t y, int x)
{
    size_t at = r->at[y].from, to = r->at[y].to;
    bool wrapped = y + 1 < r->n && r->at[y + 1].from == to; /* its end is the next one's start */
    for (int columns; at < to; x -= columns) {
        size_t len = text_cluster(text + at, to - at, &columns);
        if (x < columns || (wrapped && at + len >= to))
            break;
        at += len;
    }
    return at;
}
