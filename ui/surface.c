/*
 * The cell grid. See surface.h.
 *
 * Text is drawn cluster by cluster: foreign text first becomes what the sanitizer makes of it, then each grapheme cluster becomes cells by
 * the display-safe rule. Whether a cluster is wide is known from base/utf8.h alone, so a dump, the terminal and the layout agree.
 *
 * Invariant: a cell with cp[0] == 0 stands right of a cell whose character is two columns wide, and nowhere else. Whatever overwrites one
 * half blanks the other.
 */
#include "config.h"
#include "ui/surface.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/sane.h"
#include "base/utf8.h"

#define LINKS_MAX 4096
#define URL_MAX 2048
#define SIDE_MAX 4096 /* rows and columns of a surface; a terminal that says more is not believed */
#define ZWJ 0x200Du
#define REPLACEMENT 0xFFFDu
#define DOTTED 0x25CCu /* what a mark without a base stands on */

struct surface {
    int rows, cols;
    struct cell *cells;
    int cursor_y, cursor_x;
    char **links;
    size_t n_links;
};

static const struct cell blank = {.cp = {' '}};

/* ---- clusters ---- */

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F;
}

static bool is_flag(uint32_t cp)
{
    return cp >= 0x1F1E6 && cp <= 0x1F1FF;
}

/* What adds nothing that all terminals draw alike: variation selectors, skin tones behind a base, joiners. */
static bool is_dropped(uint32_t cp)
{
    return (cp >= 0xFE00 && cp <= 0xFE0F) || (cp >= 0x1F3FB && cp <= 0x1F3FF) || cp == ZWJ || cp == 0x200C || (cp >= 0xE0000 && cp <= 0xE0FFF);
}

static int columns_of(uint32_t cp)
{
    return is_flag(cp) ? 1 : utf8_width(cp);
}

/* Bytes of the cluster at s. A bad byte is one by itself. */
static size_t cluster_bytes(const char *s, size_t n)
{
    size_t at, len;
    uint32_t cp = utf8_decode(s, n, &at);
    utf8proc_int32_t state = 0;
    while (at < n && cp < UTF8_PART) {
        if (is_plain((unsigned char)s[at]) && cp < 0x300)
            break;
        uint32_t next = utf8_decode(s + at, n - at, &len);
        if (next >= UTF8_PART || utf8proc_grapheme_break_stateful((utf8proc_int32_t)cp, (utf8proc_int32_t)next, &state))
            break;
        at += len;
        cp = next;
    }
    return at;
}

/* The cells of a sanitized cluster, at most `max` of them; the right half of a wide one is a cell, too. */
static int cluster_cells(const char *s, size_t n, struct cell *out, int max)
{
    int cells = 0, marks = 0, base = -1;
    bool joined = false;
    for (size_t at = 0, len; at < n; at += len) {
        uint32_t cp = utf8_decode(s + at, n - at, &len);
        if (cp >= UTF8_PART)
            cp = REPLACEMENT;
        int w = columns_of(cp);
        if (base >= 0 && (is_dropped(cp) || (joined && w == 2))) {
            joined |= cp == ZWJ;
            continue;
        }
        if (w == 0 && base >= 0) {
            if (marks < 2)
                out[base].cp[1 + marks++] = cp;
            continue;
        }
        if (cells + (w == 2 ? 2 : 1) > max)
            break;
        base = cells;
        marks = 0;
        out[cells++] = (struct cell){.cp = {w ? cp : DOTTED}};
        if (w == 0 && !is_dropped(cp))
            out[base].cp[1 + marks++] = cp;
        if (w == 2)
            out[cells++] = (struct cell){.cp = {0}};
    }
    return cells;
}

#define CLUSTER_CELLS 16 /* a longer cluster (of spacing marks) is cut */

size_t text_cluster(const char *s, size_t n, int *columns)
{
    if (is_plain((unsigned char)s[0]) && (n == 1 || is_plain((unsigned char)s[1]))) {
        *columns = 1;
        return 1;
    }
    size_t bytes = cluster_bytes(s, n);
    *columns = text_columns(s, bytes);
    return bytes;
}

static int clean_columns(const char *s, size_t n)
{
    struct cell cells[CLUSTER_CELLS];
    int columns = 0;
    for (size_t at = 0; at < n;) {
        if (is_plain((unsigned char)s[at]) && (at + 1 == n || is_plain((unsigned char)s[at + 1]))) {
            at++;
            columns++;
            continue;
        }
        size_t bytes = cluster_bytes(s + at, n - at);
        columns += cluster_cells(s + at, bytes, cells, CLUSTER_CELLS);
        at += bytes;
    }
    return columns;
}

static bool all_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_plain((unsigned char)s[i]))
            return false;
    return true;
}

int text_columns(const char *s, size_t n)
{
    if (all_plain(s, n))
        return (int)n;
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    sane_line(&b, s, n);
    int columns = clean_columns(buf_str(&b), b.len);
    buf_finish(&b);
    return columns;
}

/* ---- the grid ---- */

static int side(int n)
{
    return n < 1 ? 1 : n > SIDE_MAX ? SIDE_MAX : n;
}

void surface_links_reset(struct surface *s)
{
    for (size_t i = 0; i < s->n_links; i++)
        free(s->links[i]);
    free(s->links);
    s->links = NULL;
    s->n_links = 0;
}

void surface_resize(struct surface *s, int rows, int cols)
{
    surface_links_reset(s);
    s->rows = side(rows);
    s->cols = side(cols);
    free(s->cells);
    size_t n = (size_t)s->rows * (size_t)s->cols;
    s->cells = mem_array(n, sizeof *s->cells);
    for (size_t i = 0; i < n; i++)
        s->cells[i] = blank;
    s->cursor_y = s->cursor_x = -1;
}

struct surface *surface_create(int rows, int cols)
{
    struct surface *s = mem_zalloc(sizeof *s);
    surface_resize(s, rows, cols);
    return s;
}

void surface_destroy(struct surface *s)
{
    if (!s)
        return;
    surface_links_reset(s);
    free(s->cells);
    free(s);
}

int surface_rows(const struct surface *s)
{
    return s->rows;
}

int surface_cols(const struct surface *s)
{
    return s->cols;
}

static struct cell *cell_at(const struct surface *s, int y, int x)
{
    return y >= 0 && y < s->rows && x >= 0 && x < s->cols ? &s->cells[(size_t)y * (size_t)s->cols + (size_t)x] : NULL;
}

const struct cell *surface_cell(const struct surface *s, int y, int x)
{
    const struct cell *c = cell_at(s, y, x);
    return c ? c : &blank;
}

void surface_set(struct surface *s, int y, int x, const struct cell *c)
{
    struct cell *at = cell_at(s, y, x);
    if (at)
        *at = *c;
}

/* Columns [x, end) are about to be overwritten: wide characters that stand half in there become blanks. */
static void split(struct surface *s, int y, int x, int end)
{
    struct cell *first = cell_at(s, y, x), *behind = cell_at(s, y, end);
    if (first && !first->cp[0] && x > 0)
        first[-1] = (struct cell){.cp = {' '}, .look = first[-1].look};
    if (behind && !behind->cp[0])
        *behind = (struct cell){.cp = {' '}, .look = behind->look};
}

void surface_blank(struct surface *s, int y, int x, int rows, int cols, struct look look)
{
    int x0 = x < 0 ? 0 : x, x1 = cols > s->cols - x ? s->cols : x + cols, y1 = rows > s->rows - y ? s->rows : y + rows;
    for (int r = y < 0 ? 0 : y; r < y1 && x0 < x1; r++) {
        split(s, r, x0, x1);
        for (int c = x0; c < x1; c++)
            *cell_at(s, r, c) = (struct cell){.cp = {' '}, .look = look};
    }
}

/* Cells of one cluster at x; false: they do not fit before `end`. */
static bool put_cells(struct surface *s, int y, int x, int end, struct look look, const struct cell *cells, int n)
{
    if (x + n > end)
        return false;
    if (!cell_at(s, y, x) || !cell_at(s, y, x + n - 1))
        return true; /* left of the surface, or in no row of it */
    split(s, y, x, x + n);
    for (int i = 0; i < n; i++) {
        struct cell *c = cell_at(s, y, x + i);
        *c = cells[i];
        c->look = look;
    }
    return true;
}

static int put_clean(struct surface *s, int y, int x, int end, struct look look, const char *text, size_t n)
{
    struct cell cells[CLUSTER_CELLS];
    for (size_t at = 0; at < n;) {
        size_t bytes = 1;
        int k = 1;
        if (is_plain((unsigned char)text[at]) && (at + 1 == n || is_plain((unsigned char)text[at + 1]))) {
            cells[0] = (struct cell){.cp = {(unsigned char)text[at]}};
        } else {
            bytes = cluster_bytes(text + at, n - at);
            k = cluster_cells(text + at, bytes, cells, CLUSTER_CELLS);
        }
        if (!put_cells(s, y, x, end, look, cells, k))
            break;
        x += k;
        at += bytes;
    }
    return x;
}

int surface_put(struct surface *s, int y, int x, int end, struct look look, const char *text, size_t n)
{
    if (end > s->cols)
        end = s->cols;
    if (all_plain(text, n))
        return put_clean(s, y, x, end, look, text, n);
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    sane_line(&b, text, n);
    x = put_clean(s, y, x, end, look, buf_str(&b), b.len);
    buf_finish(&b);
    return x;
}

int surface_puts(struct surface *s, int y, int x, int end, struct look look, const char *text)
{
    return surface_put(s, y, x, end, look, text, strlen(text));
}

int surface_fit(struct surface *s, int y, int x, int end, struct look look, const char *text)
{
    size_t n = strlen(text);
    if (end > s->cols)
        end = s->cols;
    if (x + text_columns(text, n) <= end)
        return surface_put(s, y, x, end, look, text, n);
    int dots = end - x >= 4 ? 2 : 0;
    x = surface_put(s, y, x, end - dots, look, text, n);
    return dots ? surface_puts(s, y, x, end, look, "..") : x;
}

void surface_look(struct surface *s, int y, int x, int n, struct look look)
{
    for (int i = 0; i < n; i++) {
        struct cell *c = cell_at(s, y, x + i);
        if (c)
            c->look = look;
    }
}

void surface_cursor(struct surface *s, int y, int x)
{
    bool in = cell_at(s, y, x) != NULL;
    s->cursor_y = in ? y : -1;
    s->cursor_x = in ? x : -1;
}

void surface_get_cursor(const struct surface *s, int *y, int *x)
{
    *y = s->cursor_y;
    *x = s->cursor_x;
}

/* ---- links ---- */

static bool is_web_link(const char *url, size_t n)
{
    if (n > URL_MAX || !((n > 7 && !memcmp(url, "http://", 7)) || (n > 8 && !memcmp(url, "https://", 8))))
        return false;
    for (size_t i = 0; i < n; i++)
        if (url[i] <= 0x20 || url[i] >= 0x7F)
            return false;
    return true;
}

uint16_t surface_link(struct surface *s, const char *url, size_t n)
{
    if (!is_web_link(url, n))
        return 0;
    for (size_t i = 0; i < s->n_links; i++)
        if (strlen(s->links[i]) == n && !memcmp(s->links[i], url, n))
            return (uint16_t)(i + 1);
    if (s->n_links == LINKS_MAX)
        return 0;
    s->links = mem_grow(s->links, s->n_links + 1, sizeof *s->links);
    s->links[s->n_links++] = mem_strndup(url, n);
    return (uint16_t)s->n_links;
}

const char *surface_link_url(const struct surface *s, uint16_t link)
{
    return link && link <= s->n_links ? s->links[link - 1] : NULL;
}

/* ---- dumps ---- */

static const char *const role_names[ROLE_COUNT] = {
    [ROLE_TEXT] = "text", [ROLE_DIM] = "dim", [ROLE_TITLE] = "title", [ROLE_STATUS] = "status", [ROLE_WARN] = "warn", [ROLE_ALERT] = "alert",
    [ROLE_GOOD] = "good", [ROLE_USER] = "user", [ROLE_MODEL] = "model", [ROLE_THOUGHT] = "thought", [ROLE_HEADING] = "heading",
    [ROLE_QUOTE] = "quote", [ROLE_LINK] = "link", [ROLE_CODE] = "code", [ROLE_RULE] = "rule", [ROLE_COMMENT] = "comment",
    [ROLE_STRING] = "string", [ROLE_KEYWORD] = "keyword", [ROLE_NUMBER] = "number", [ROLE_HIT] = "hit", [ROLE_SELECTED] = "selected",
    [ROLE_KEY] = "key",
};

const char *role_name(enum role r)
{
    return r < ROLE_COUNT ? role_names[r] : "?";
}

static bool same_look(struct look a, struct look b)
{
    return a.role == b.role && a.flags == b.flags && a.link == b.link;
}

static void dump_look(const struct surface *s, struct look l, struct buf *out)
{
    static const char *const names[] = {"bold", "italic", "underline", "reverse", "strike"};
    buf_addstr(out, role_name(l.role));
    for (int i = 0; i < 5; i++)
        if (l.flags & 1 << i)
            buf_addf(out, " %s", names[i]);
    if (l.link)
        buf_addf(out, " <%s>", surface_link_url(s, l.link) ? surface_link_url(s, l.link) : "?");
}

static void dump_runs(const struct surface *s, int y, struct buf *out)
{
    bool any = false;
    for (int x = 0, from; x < s->cols; x++) {
        struct look l = cell_at(s, y, x)->look;
        for (from = x; x + 1 < s->cols && same_look(cell_at(s, y, x + 1)->look, l);)
            x++;
        if (same_look(l, (struct look){0}))
            continue;
        buf_addf(out, "%s%d-%d ", any ? ", " : "  @ ", from, x);
        dump_look(s, l, out);
        any = true;
    }
    if (any)
        buf_addch(out, '\n');
}

void surface_dump(const struct surface *s, bool attrs, struct buf *out)
{
    for (int y = 0; y < s->rows; y++) {
        int end = s->cols;
        while (end > 0 && cell_at(s, y, end - 1)->cp[0] == ' ' && !cell_at(s, y, end - 1)->cp[1])
            end--;
        for (int x = 0; x < end; x++)
            for (int i = 0; i < 3 && cell_at(s, y, x)->cp[i]; i++) {
                char text[4];
                buf_add(out, text, utf8_encode(cell_at(s, y, x)->cp[i], text));
            }
        buf_addch(out, '\n');
        if (attrs)
            dump_runs(s, y, out);
    }
}
