/*
 * Tables: columns as wide as their cells need, two blanks between them, a rule below the head. When that is too wide, the widest columns
 * give way first and their cells are wrapped; when words would have to be cut, each row is shown as a list of "head: cell".
 */
#include "config.h"
#include "ui/md_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define BETWEEN 2
#define LONG 16  /* a word of more columns may be cut .. */
#define NARROW 4 /* .. into no less */

void table_finish(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        free(t->cells[i].text);
        free(t->cells[i].spans);
    }
    free(t->cells);
    *t = (struct table){0};
}

/* "<br>" in a cell is a new line; its bytes, or 0. */
static size_t line_break(const char *s, size_t n)
{
    static const char *const forms[] = {"<br>", "<br/>", "<br />"};
    for (size_t i = 0; n && s[0] == '<' && i < 3; i++)
        if (n >= strlen(forms[i]) && !strncasecmp(s, forms[i], strlen(forms[i])))
            return strlen(forms[i]);
    return 0;
}

static void add_part(struct rows *r, const struct wrap_conf *c, const struct cell_text *t, size_t from, size_t to)
{
    struct row_span *spans = mem_array((size_t)t->n_spans + 1, sizeof *spans);
    int n = 0;
    for (int i = 0; i < t->n_spans; i++) {
        uint32_t a = t->spans[i].from > from ? t->spans[i].from : (uint32_t)from, b = t->spans[i].to < to ? t->spans[i].to : (uint32_t)to;
        if (a < b)
            spans[n++] = (struct row_span){a - (uint32_t)from, b - (uint32_t)from, t->spans[i].look};
    }
    rows_add(r, c, t->text + from, to - from, spans, n, 0);
    free(spans);
}

/* The cell's lines, wrapped. */
static void cell_rows(struct rows *r, const struct wrap_conf *c, const struct cell_text *t)
{
    size_t from = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t k = line_break(t->text + i, t->n - i);
        if (k) {
            add_part(r, c, t, from, i);
            from = i + k;
            i = from - 1;
        }
    }
    add_part(r, c, t, from, t->n);
}

static int cell_width(const struct cell_text *t)
{
    struct rows r;
    int most = 0;
    rows_init(&r);
    cell_rows(&r, &(struct wrap_conf){.width = 1 << 14, .words = true}, t);
    for (size_t i = 0; i < r.n; i++) {
        int w = text_columns(r.at[i].text, r.at[i].n);
        most = w > most ? w : most;
    }
    rows_finish(&r);
    return most;
}

/* The columns that a cell needs so that no word of it is cut; a long word may be, and Chinese, Japanese and Korean break anywhere. */
static int cell_least(const struct cell_text *t)
{
    int least = 1;
    for (size_t i = 0; i < t->n;) {
        size_t from = i;
        bool wide = false;
        for (; i < t->n && t->text[i] != ' ' && !line_break(t->text + i, t->n - i); i++)
            wide |= (unsigned char)t->text[i] >= 0xE0;
        int w = wide ? NARROW : text_columns(t->text + from, i - from);
        w = w > LONG ? NARROW : w;
        least = w > least ? w : least;
        i += i < t->n ? line_break(t->text + i, t->n - i) : 0;
        i += i == from || (i < t->n && t->text[i] == ' ');
    }
    return least;
}

/* Narrows the widest columns, none below its least, until all fit into `room`; false: they do not. */
static bool fit(int *w, const int *least, size_t n, int room)
{
    long sum = 0;
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] > room ? (room > least[i] ? room : least[i]) : w[i];
        sum += w[i];
    }
    for (; sum > room; sum--) {
        size_t widest = n;
        for (size_t i = 0; i < n; i++)
            if (w[i] > least[i] && (widest == n || w[i] >= w[widest]))
                widest = i;
        if (widest == n)
            return false;
        w[widest]--;
    }
    return true;
}

/* A row that is put together from pieces. */
struct draft {
    struct buf text;
    struct row_span *spans;
    int n_spans, cap;
    int column;
};

static void blanks(struct draft *d, int n)
{
    if (n > 0)
        buf_addf(&d->text, "%*s", n, "");
    d->column += n > 0 ? n : 0;
}

static void piece(struct draft *d, const struct row *row, int columns)
{
    size_t at = d->text.len;
    buf_add(&d->text, row->text, row->n);
    d->column += columns;
    if (d->n_spans + row->n_spans > d->cap) {
        d->cap = (d->n_spans + row->n_spans) * 2;
        d->spans = mem_grow(d->spans, (size_t)d->cap, sizeof *d->spans);
    }
    for (int i = 0; i < row->n_spans; i++)
        d->spans[d->n_spans++] = (struct row_span){row->spans[i].from + (uint32_t)at, row->spans[i].to + (uint32_t)at, row->spans[i].look};
}

static void finish_row(struct draft *d, struct rows *r, size_t from, size_t to, bool decor)
{
    struct row row = {.spans = d->spans, .n_spans = d->n_spans, .decor = decor, .from = from, .to = to};
    while (d->text.len && d->text.data[d->text.len - 1] == ' ' && (!d->n_spans || d->spans[d->n_spans - 1].to < d->text.len))
        d->text.data[--d->text.len] = 0;
    row.n = d->text.len;
    row.text = buf_take(&d->text);
    rows_push(r, &row);
    *d = (struct draft){.text = BUF_INIT(SIZE_MAX / 2)};
}

struct range {
    size_t from, to;
};

static struct range row_range(const struct table *t, size_t first)
{
    struct range g = {t->cells[first].from, t->cells[first + t->n_columns - 1].to};
    return g.to < g.from ? (struct range){g.from, g.from} : g;
}

/* One row of the table; returns how many rows that took. */
static size_t draw_row(struct rows *r, const struct table *t, size_t first, const int *w, int base)
{
    struct rows cells[TABLE_COLUMNS];
    size_t lines = 1;
    struct range g = row_range(t, first);
    for (size_t k = 0; k < t->n_columns; k++) {
        rows_init(&cells[k]);
        cell_rows(&cells[k], &(struct wrap_conf){.width = w[k] ? w[k] : 1, .words = true}, &t->cells[first + k]);
        lines = cells[k].n > lines ? cells[k].n : lines;
    }
    struct draft d = {.text = BUF_INIT(SIZE_MAX / 2)};
    for (size_t y = 0; y < lines; y++) {
        int end = base;
        for (size_t k = 0; k < t->n_columns; k++) {
            const struct row *row = y < cells[k].n ? &cells[k].at[y] : NULL;
            int used = row ? text_columns(row->text, row->n) : 0, left = w[k] - used;
            int shift = t->align[k] == CELL_RIGHT ? left : t->align[k] == CELL_CENTER ? left / 2 : 0;
            if (row && row->n) {
                blanks(&d, end + (shift > 0 ? shift : 0) - d.column);
                piece(&d, row, used);
            }
            end += w[k] + BETWEEN;
        }
        finish_row(&d, r, y ? g.to : g.from, g.to, false);
    }
    for (size_t k = 0; k < t->n_columns; k++)
        rows_finish(&cells[k]);
    return lines;
}

static void draw_rule(struct rows *r, const struct table *t, const int *w, int base, size_t at)
{
    struct draft d = {.text = BUF_INIT(SIZE_MAX / 2)};
    blanks(&d, base);
    for (size_t k = 0; k < t->n_columns; k++) {
        for (int i = 0; i < w[k]; i++)
            buf_addch(&d.text, '-');
        if (k + 1 < t->n_columns)
            blanks(&d, BETWEEN);
    }
    d.spans = mem_array(1, sizeof *d.spans);
    d.n_spans = 1;
    d.spans[0] = (struct row_span){0, (uint32_t)d.text.len, {.role = ROLE_RULE}};
    finish_row(&d, r, at, at, true);
}

static void blank_row(struct rows *r, size_t at)
{
    struct row row = {.text = mem_strdup(""), .decor = true, .from = at, .to = at};
    rows_push(r, &row);
}

/* Too many columns: each row as "head: cell" lines. */
static void draw_list(struct rows *r, const struct table *t, int width)
{
    for (size_t first = t->n_columns; first < t->n_cells; first += t->n_columns) {
        struct range g = row_range(t, first);
        if (first > t->n_columns)
            blank_row(r, g.from);
        for (size_t k = 0; k < t->n_columns; k++) {
            const struct cell_text *head = &t->cells[k], *cell = &t->cells[first + k];
            if (!cell->n)
                continue;
            struct cell_text line = {.n_spans = head->n_spans + cell->n_spans};
            struct buf b = BUF_INIT(SIZE_MAX / 2);
            buf_add(&b, head->text, head->n);
            if (head->n)
                buf_addstr(&b, ": ");
            size_t at = b.len;
            buf_add(&b, cell->text, cell->n);
            line.n = b.len;
            line.text = buf_take(&b);
            line.spans = mem_array((size_t)line.n_spans + 1, sizeof *line.spans);
            for (int i = 0; i < head->n_spans; i++)
                line.spans[i] = head->spans[i];
            for (int i = 0; i < cell->n_spans; i++)
                line.spans[head->n_spans + i] =
                    (struct row_span){cell->spans[i].from + (uint32_t)at, cell->spans[i].to + (uint32_t)at, cell->spans[i].look};
            size_t n = r->n;
            cell_rows(r, &(struct wrap_conf){.width = width, .indent = 2, .words = true}, &line);
            for (; n < r->n; n++) {
                r->at[n].exact = false;
                r->at[n].from = cell->from;
                r->at[n].to = cell->to > cell->from ? cell->to : cell->from;
            }
            free(line.text);
            free(line.spans);
        }
    }
}

void table_draw(struct rows *r, const struct table *t, int width, int base)
{
    size_t n = t->n_columns;
    if (!n || n > TABLE_COLUMNS || t->n_cells < n || t->n_cells % n)
        return;
    if (base < 0 || base > width / 4)
        base = 0;
    int w[TABLE_COLUMNS] = {0}, least[TABLE_COLUMNS] = {0};
    for (size_t i = 0; i < t->n_cells; i++) {
        int k = cell_width(&t->cells[i]), l = cell_least(&t->cells[i]);
        w[i % n] = k > w[i % n] ? k : w[i % n];
        least[i % n] = l > least[i % n] ? l : least[i % n];
    }
    if (!fit(w, least, n, width - base - BETWEEN * ((int)n - 1))) {
        draw_list(r, t, width);
        return;
    }
    draw_row(r, t, 0, w, base);
    draw_rule(r, t, w, base, t->cells[n - 1].to);
    bool tall = false;
    for (size_t first = n; first < t->n_cells; first += n) {
        if (tall) /* the row before took several: part them */
            blank_row(r, t->cells[first].from);
        tall = draw_row(r, t, first, w, base) > 1;
    }
}
