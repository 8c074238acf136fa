/*
 * Wrapping at words. See wrap.h. A break is a newline in place of the blanks; nothing else of the text is changed, but blanks at
 * the end of a full line are left out. Wide characters (Chinese, Japanese, Korean) may be parted anywhere.
 */
#include "config.h"
#include "ui/wrap.h"

#include <string.h>

#include "base/utf8.h"

#define INDENT_MAX 12

/* "-", "*", "+", "12." or "12)": the mark of a list. */
static bool is_mark(const struct wrap *w)
{
    if (w->n == 1 && strchr("-*+", w->word[0]))
        return true;
    size_t digits = 0;
    while (digits < w->n && w->word[digits] >= '0' && w->word[digits] <= '9')
        digits++;
    return digits && digits + 1 == w->n && digits <= 3 && strchr(".)", w->word[digits]);
}

static void new_line(struct wrap *w, struct buf *out)
{
    buf_addch(out, '\n');
    w->column = w->blanks = w->indent = 0;
    w->any = false;
}

static void put_blanks(struct wrap *w, struct buf *out)
{
    buf_addf(out, "%*s", w->blanks, "");
    w->column += w->blanks;
    w->blanks = 0;
}

/* The word is whole (or too long to wait for more of it). */
static void place(struct wrap *w, int columns, struct buf *out)
{
    if (!w->n)
        return;
    if (!w->any) { /* the first of its line */
        if (w->n >= 3 && !memcmp(w->word, "```", 3))
            w->fence = !w->fence;
        w->indent = w->blanks + (is_mark(w) ? w->width + 1 : 0);
        if (w->indent > INDENT_MAX || w->indent * 2 > columns)
            w->indent = 0;
    } else if (!w->fence && w->column > w->indent && w->column + w->blanks + w->width > columns) {
        buf_addch(out, '\n');
        w->column = 0;
        w->blanks = w->indent;
    }
    put_blanks(w, out);
    buf_add(out, w->word, w->n);
    w->column += w->width;
    w->any = true;
    w->n = 0;
    w->width = 0;
}

void wrap_feed(struct wrap *w, const char *s, size_t n, int columns, struct buf *out)
{
    size_t len;
    for (size_t i = 0; i < n; i += len) {
        uint32_t c = utf8_decode(s + i, n - i, &len);
        int width = utf8_width(c);
        if (c == '\n') {
            place(w, columns, out);
            new_line(w, out);
        } else if (c == ' ') {
            place(w, columns, out);
            w->blanks++;
        } else if (c == '\t') {
            place(w, columns, out);
            put_blanks(w, out);
            buf_addch(out, '\t');
            w->column = (w->column / 8 + 1) * 8;
        } else {
            if (width == 2 || w->n + len > sizeof w->word)
                place(w, columns, out);
            memcpy(w->word + w->n, s + i, len);
            w->n += len;
            w->width += width;
            if (width == 2)
                place(w, columns, out);
        }
    }
}

void wrap_pause(struct wrap *w, int columns, struct buf *out)
{
    place(w, columns, out);
}

void wrap_flush(struct wrap *w, int columns, struct buf *out)
{
    place(w, columns, out);
    *w = (struct wrap){0};
}
