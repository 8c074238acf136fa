/*
 * Rows of styled text. See rows.h.
 *
 * A logical line becomes rows in three steps: the sanitizer makes it clean, and for each clean byte the place it came from is noted; the clean
 * text is cut into units (grapheme clusters, a tab being one), each with its columns and its span; rows are then runs of units. A unit
 * is never parted and never counted twice in more than two rows, so all of it is linear in the line.
 *
 * At a soft break of prose the blanks between the two rows belong to neither: their number stands in the second row's `gap`, and in the
 * source they lie between the one row's `to` and the other's `from`. Copying puts them back from there.
 *
 * Invariants: a row's text holds no control character; its spans begin and end at clusters; `from` and `to` never go back.
 */
#include "config.h"
#include "ui/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sane.h"
#include "base/utf8.h"

#define TAB 8

/* From UNIT_WIDE on a row may end beside it, but for what may not begin or not end a row. */
enum unit_kind { UNIT_WORD, UNIT_CLOSE, UNIT_OPEN, UNIT_BLANK, UNIT_TAB, UNIT_WIDE, UNIT_WIDE_CLOSE, UNIT_WIDE_OPEN };
struct unit {
    size_t at, src;
    int span; /* index, -1: none */
    uint16_t columns;
    uint8_t kind;
};

struct line {
    struct buf clean;
    size_t *src; /* of each clean byte and of the end, in bytes of the text */
    size_t cap;
    struct unit *u; /* n and one behind */
    size_t n;
};

void rows_init(struct rows *r)
{
    *r = (struct rows){0};
}

void rows_cut(struct rows *r, size_t n)
{
    while (r->n > n) {
        free(r->at[--r->n].text);
        free(r->at[r->n].spans);
    }
}

void rows_finish(struct rows *r)
{
    rows_cut(r, 0);
    free(r->at);
    rows_init(r);
}

void rows_push(struct rows *r, const struct row *row)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 16;
        r->at = mem_grow(r->at, r->cap, sizeof *r->at);
    }
    r->at[r->n++] = *row;
}

bool row_equal(const struct row *a, const struct row *b)
{
    if (a->n != b->n || memcmp(a->text, b->text, a->n) || a->n_spans != b->n_spans || a->soft != b->soft || a->decor != b->decor ||
        a->exact != b->exact || a->code != b->code || a->hang != b->hang || a->gap != b->gap || a->from != b->from || a->to != b->to)
        return false;
    for (int i = 0; i < a->n_spans; i++) {
        const struct row_span *x = &a->spans[i], *y = &b->spans[i];
        if (x->from != y->from || x->to != y->to || x->look.role != y->look.role || x->look.flags != y->look.flags || x->look.link != y->look.link)
            return false;
    }
    return true;
}

/* ---- from text to units ---- */

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7F;
}

/* The clean bytes added since the last call came from the text's byte `src`, and so on if they are plain. */
static void note(struct line *l, size_t from, size_t src, bool plain)
{
    if (l->clean.len + 1 > l->cap) {
        l->cap = (l->clean.len + 1) * 2;
        l->src = mem_grow(l->src, l->cap, sizeof *l->src);
    }
    for (size_t i = from; i < l->clean.len; i++)
        l->src[i] = plain ? src + (i - from) : src;
}

static void clean(struct line *l, const char *text, size_t n)
{
    struct sane st = {0};
    size_t first = 0; /* of what the sanitizer has not decided on yet */
    for (size_t i = 0, len; i < n; i += len) {
        size_t from = l->clean.len;
        len = 0;
        if (st.n == 0) {
            first = i;
            while (i + len < n && is_plain(text[i + len]))
                len++;
        }
        if (len) {
            st.marks = 0;
            buf_add(&l->clean, text + i, len);
            note(l, from, i, true);
            continue;
        }
        utf8_decode(text + i, n - i, &len);
        sane_feed(&st, text + i, len, &l->clean);
        note(l, from, first, false);
    }
    size_t from = l->clean.len;
    sane_flush(&st, &l->clean);
    note(l, from, first, false);
    l->src[l->clean.len] = n;
    for (size_t i = 0; i < l->clean.len; i++)
        if (l->clean.data[i] == '\n')
            l->clean.data[i] = ' ';
}

/* Marks that may not begin, or not end, a row next to Chinese, Japanese or Korean. */
static enum unit_kind kind_of(const char *s, size_t len, int columns)
{
    static const char close[] = "、。，．：；？！）」』】〕〉》］｝・ーゝゞ々ぁぃぅぇぉっゃゅょァィゥェォッャュョ％", open[] = "（「『【〔〈《［｛";
    if (len == 1)
        return strchr(").,:;?!]}%", s[0]) ? UNIT_CLOSE : strchr("([{", s[0]) ? UNIT_OPEN : UNIT_WORD;
    if (columns < 2)
        return UNIT_WORD;
    for (const char *p = close; *p && len == 3; p += 3)
        if (!memcmp(p, s, 3))
            return UNIT_WIDE_CLOSE;
    for (const char *p = open; *p && len == 3; p += 3)
        if (!memcmp(p, s, 3))
            return UNIT_WIDE_OPEN;
    return UNIT_WIDE;
}

static void cut_units(struct line *l, int width, const struct row_span *spans, int n_spans)
{
    const char *s = buf_str(&l->clean);
    size_t n = l->clean.len, column = 0;
    int span = 0;
    l->u = mem_array(n + 1, sizeof *l->u);
    for (size_t at = 0, len; at < n; at += len) {
        struct unit *u = &l->u[l->n++];
        int columns = 1;
        len = 1;
        u->at = at;
        u->src = l->src[at];
        if (s[at] == '\t') {
            size_t blanks = TAB - column % TAB;
            columns = blanks < (size_t)width ? (int)blanks : width;
            column += blanks - (size_t)columns;
            u->kind = UNIT_TAB;
        } else {
            len = text_cluster(s + at, n - at, &columns);
            u->kind = len == 1 && s[at] == ' ' ? UNIT_BLANK : (uint8_t)kind_of(s + at, len, columns);
        }
        u->columns = (uint16_t)columns;
        column += (size_t)columns;
        while (span < n_spans && spans[span].to <= u->src)
            span++;
        u->span = span < n_spans && spans[span].from <= u->src ? span : -1;
    }
    l->u[l->n] = (struct unit){.at = n, .src = l->src[n], .span = -1};
}

static bool is_blank(const struct unit *u)
{
    return u->kind == UNIT_BLANK || u->kind == UNIT_TAB;
}

/* A row of prose may end between the two. */
static bool may_part(const struct unit *a, const struct unit *b)
{
    if (is_blank(b))
        return false;
    if (is_blank(a))
        return true;
    return (a->kind >= UNIT_WIDE || b->kind >= UNIT_WIDE) && a->kind != UNIT_OPEN && a->kind != UNIT_WIDE_OPEN && b->kind != UNIT_CLOSE &&
           b->kind != UNIT_WIDE_CLOSE;
}

/* ---- from units to rows ---- */

/* Units a..end-1 as a row behind `hang` blanks. */
static struct row make_row(const struct line *l, size_t a, size_t end, uint32_t hang, const struct row_span *spans)
{
    struct row row = {.hang = hang};
    struct buf text = BUF_INIT(SIZE_MAX / 2);
    int cap = 0, last = -1;
    if (hang)
        buf_addf(&text, "%*s", (int)hang, "");
    for (size_t i = a; i < end; i++) {
        const struct unit *u = &l->u[i];
        size_t from = text.len;
        if (u->kind == UNIT_TAB)
            buf_addf(&text, "%*s", u->columns, "");
        else
            buf_add(&text, buf_str(&l->clean) + u->at, u[1].at - u->at);
        if (u->span >= 0 && u->span == last) {
            row.spans[row.n_spans - 1].to = (uint32_t)text.len;
        } else if (u->span >= 0) {
            if (row.n_spans == cap)
                row.spans = mem_grow(row.spans, (size_t)(cap = cap ? cap * 2 : 4), sizeof *row.spans);
            row.spans[row.n_spans++] = (struct row_span){(uint32_t)from, (uint32_t)text.len, spans[u->span].look};
        }
        last = u->span;
    }
    row.n = text.len;
    row.text = buf_take(&text);
    return row;
}

/* The end of the row that begins at unit a; *next is where the one behind it begins. */
static size_t fill(const struct line *l, size_t a, int width, bool words, size_t *next)
{
    size_t part = 0, i = a;
    int columns = 0;
    bool seen = false;
    for (; i < l->n && (columns + l->u[i].columns <= width || i == a); i++) {
        columns += l->u[i].columns;
        if (seen && may_part(&l->u[i - 1], &l->u[i]))
            part = i;
        seen |= !is_blank(&l->u[i]);
    }
    *next = i;
    if (i == l->n || !words)
        return i;
    size_t full = i;
    if (is_blank(&l->u[i])) {
        while (*next < l->n && is_blank(&l->u[*next]))
            ++*next;
    } else if (part && !may_part(&l->u[i - 1], &l->u[i])) {
        *next = i = part;
    }
    while (i > a && is_blank(&l->u[i - 1]))
        i--;
    return i > a ? i : full;
}

void rows_add(struct rows *r, const struct wrap_conf *c, const char *text, size_t n, const struct row_span *spans, int n_spans, size_t from)
{
    struct line l = {.clean = BUF_INIT(SIZE_MAX / 2)};
    int width = c->width < 1 ? 1 : c->width;
    int indent = c->indent < 0 || c->indent > width / 2 || width - c->indent < 2 ? 0 : c->indent;
    clean(&l, text, n);
    cut_units(&l, width - indent, spans, n_spans);
    size_t a = 0, next = 0;
    uint32_t gap = 0;
    bool soft = c->soft;
    do {
        bool first = a == 0;
        size_t end = fill(&l, a, first ? width : width - indent, c->words, &next);
        struct row row = make_row(&l, a, end, first ? 0 : (uint32_t)indent, spans);
        row.soft = soft;
        row.decor = c->decor;
        row.code = c->code;
        row.exact = !c->source;
        row.gap = gap;
        size_t f = first ? 0 : l.u[a].src, t = next >= l.n ? n : l.u[end].src;
        row.from = c->source ? c->source[f] : from + f;
        row.to = c->source ? c->source[t] : from + t;
        rows_push(r, &row);
        gap = 0;
        for (; end < next; end++)
            gap += l.u[end].columns;
        soft = true;
        a = next;
    } while (a < l.n);
    buf_finish(&l.clean);
    free(l.src);
    free(l.u);
}

void rows_add_plain(struct rows *r, int width, struct look look, const char *text, size_t n)
{
    struct wrap_conf c = {.width = width, .words = true};
    for (size_t at = 0; at < n;) {
        size_t end = at;
        while (end < n && text[end] != '\n' && text[end] != '\r')
            end++;
        c.indent = 0;
        while (at + (size_t)c.indent < end && text[at + (size_t)c.indent] == ' ' && c.indent < width)
            c.indent++;
        struct row_span all = {0, end - at > UINT32_MAX ? UINT32_MAX : (uint32_t)(end - at), look};
        bool dressed = look.role != ROLE_TEXT || look.flags || look.link;
        rows_add(r, &c, text + at, end - at, &all, dressed, at);
        at = end + 1 < n && text[end] == '\r' && text[end + 1] == '\n' ? end + 2 : end + 1;
    }
}

/* ---- using them ---- */

void rows_text(const struct rows *r, size_t first, size_t end, const char *source, struct buf *out)
{
    const struct row *before = NULL;
    for (size_t i = first; i < end && i < r->n; i++) {
        const struct row *row = &r->at[i];
        if (row->decor)
            continue;
        bool joined = before && row->soft;
        bool exact = source && row->exact;
        if (before && !joined)
            buf_addch(out, '\n');
        if (exact)
            buf_add(out, source + (joined ? before->to : row->from), row->to - (joined ? before->to : row->from));
        else if (joined)
            buf_addf(out, "%*s", (int)row->gap, "");
        if (!exact)
            buf_add(out, row->text + row->hang, row->n - row->hang);
        before = row;
    }
}

void row_draw(const struct row *row, struct surface *s, int y, int x, int end, const uint16_t *links)
{
    static const struct look plain = {0};
    size_t at = 0;
    for (int i = 0; i <= row->n_spans && x < end; i++) {
        const struct row_span *sp = i < row->n_spans ? &row->spans[i] : NULL;
        size_t to = sp ? sp->from : row->n;
        if (to > at)
            x = surface_put(s, y, x, end, plain, row->text + at, to - at);
        if (!sp)
            break;
        struct look look = sp->look;
        look.link = look.link && links ? links[look.link - 1] : 0;
        x = surface_put(s, y, x, end, look, row->text + sp->from, sp->to - sp->from);
        at = sp->to;
    }
}
