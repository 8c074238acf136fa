/*
 * The cutter. See md.h.
 *
 * The source is taken line by line, and each whole line either goes on with the open block, or closes it and opens another. A closed block
 * is laid out at once and for good. Fenced code is taken line by line: each of its lines is closed when it is whole. Blocks are small on purpose: an
 * item of a list is one, and a blank line closes everything. What is open, with the line that is not whole yet, is laid out again when
 * the rows are asked for: the cutter's state is kept aside, the unfinished line is cut as if it were whole, and the state is put back.
 * So no row depends on how the text came, but for the last few, which are laid out again when more comes.
 *
 * A line that may still become a marker (a few dashes, asterisks, a number) is held back until it is decided.
 *
 * Where this differs from CommonMark, it is for what models write: newlines within a paragraph are kept; a fence belongs to the list it
 * stands in however it is indented; link definitions, HTML and formulas are text; items keep the numbers they have.
 */
#include "config.h"
#include "ui/md.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "ui/md_impl.h"

#define HOLD_MAX 32

/* ---- one line ---- */

enum what { IS_TEXT, IS_FENCE, IS_HEADING, IS_RULE, IS_QUOTE, IS_ITEM };
struct line {
    const char *s; /* the first that is no blank */
    size_t n;      /* up to the end, without blanks there */
    int indent;    /* columns in front of s */
    enum what what;
    char fence;
    int fence_len;
    int offset; /* of an item's text, from the line's beginning */
    size_t mark;   /* bytes of its mark with the blanks behind it */
    bool first, hollow; /* an item that may be a list's first: a bullet, or number 1; one without text */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool all_of(const char *s, size_t n, const char *set)
{
    for (size_t i = 0; i < n; i++)
        if (!s[i] || !strchr(set, s[i]))
            return false;
    return true;
}

static size_t run_of(const char *s, size_t n, char c)
{
    size_t k = 0;
    while (k < n && s[k] == c)
        k++;
    return k;
}

static bool is_rule(const char *s, size_t n)
{
    size_t marks = 0;
    if (n < 3 || !strchr("-*_", s[0]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == s[0])
            marks++;
        else if (!is_blank(s[i]))
            return false;
    }
    return marks >= 3;
}

static bool is_fence(struct line *l)
{
    if (!l->n || !strchr("`~", l->s[0]))
        return false;
    size_t k = run_of(l->s, l->n, l->s[0]);
    if (k < 3 || (l->s[0] == '`' && memchr(l->s + k, '`', l->n - k)))
        return false;
    l->fence = l->s[0];
    l->fence_len = k > 1000 ? 1000 : (int)k;
    return true;
}

static bool is_item(struct line *l)
{
    size_t k = 0;
    if (l->n && strchr("-*+", l->s[0])) {
        k = 1;
        l->first = true;
    } else {
        while (k < l->n && k < 10 && l->s[k] >= '0' && l->s[k] <= '9')
            k++;
        if (!k || k > 9 || k == l->n || !strchr(".)", l->s[k]))
            return false;
        l->first = k == 1 && l->s[0] == '1';
        k++;
    }
    if (k < l->n && !is_blank(l->s[k]))
        return false;
    l->hollow = k == l->n;
    size_t blanks = 0;
    while (k + blanks < l->n && is_blank(l->s[k + blanks]))
        blanks++;
    if (blanks > 4 || !blanks)
        blanks = 1;
    l->offset = l->indent + (int)(k + blanks);
    l->mark = l->hollow ? k : k + blanks;
    return true;
}

static struct line look_at(const char *s, size_t n, bool list)
{
    struct line l = {0};
    size_t i = 0;
    for (; i < n && is_blank(s[i]); i++)
        l.indent = s[i] == '\t' ? (l.indent / 4 + 1) * 4 : l.indent + 1;
    while (n > i && is_blank(s[n - 1]))
        n--;
    l.s = s + i;
    l.n = n - i;
    if (!l.n || (l.indent >= 4 && !list))
        return l;
    size_t head = run_of(l.s, l.n, '#');
    if (is_rule(l.s, l.n))
        l.what = IS_RULE;
    else if (is_fence(&l))
        l.what = IS_FENCE;
    else if (head >= 1 && head <= 6 && (head == l.n || is_blank(l.s[head])))
        l.what = IS_HEADING;
    else if (l.s[0] == '>')
        l.what = IS_QUOTE;
    else if (is_item(&l))
        l.what = IS_ITEM;
    return l;
}

/* Behind the code span that begins at i, or behind its backticks when there is none. */
static size_t code_end(const char *s, size_t n, size_t i)
{
    size_t run = run_of(s + i, n - i, '`'), k;
    for (size_t at = i + run; at < n; at += k) {
        k = run_of(s + at, n - at, '`');
        if (k == run)
            return at + k;
        k += k == 0;
    }
    return i + run;
}

/* Cells of a table's row: those between bars, a bar at either end not counted. A bar in code is none. */
static size_t count_cells(const char *s, size_t n)
{
    size_t bars = 0, i = 0;
    while (n && is_blank(s[n - 1]))
        n--;
    while (i < n && is_blank(s[i]))
        i++;
    if (i < n && s[i] == '|')
        i++;
    while (i < n) {
        if (s[i] == '`') {
            i = code_end(s, n, i);
            continue;
        }
        bars += s[i] == '|' && i + 1 < n;
        i += s[i] == '\\' ? 2 : 1;
    }
    return bars + 1;
}

static bool is_delimiter(const char *s, size_t n)
{
    return n && memchr(s, '|', n) && memchr(s, '-', n) && all_of(s, n, "|-: \t");
}

/* ---- blocks ---- */

static void put_gap(struct md *m, size_t at)
{
    struct row row = {.text = mem_strdup(""), .from = at, .to = at};
    rows_push(&m->rows, &row);
}

/* Before something is shown that begins at `at`. */
static void begin(struct md *m, size_t at, bool blank, bool heading)
{
    struct cut *c = &m->cut;
    if (c->any && (heading || c->after_heading || (blank && !c->after_code)))
        put_gap(m, at);
    c->any = true;
    c->after_heading = heading;
    c->after_code = false;
}

static void close_block(struct md *m, bool open)
{
    struct cut *c = &m->cut;
    if (c->kind == BLOCK_NONE || c->kind == BLOCK_FENCE)
        return;
    begin(m, c->from, c->gap, false);
    if (c->kind == BLOCK_INDENTED || (c->kind == BLOCK_TABLE && (open || c->ragged)))
        lay_plain(m, c->from, c->to, c->kind == BLOCK_INDENTED);
    else
        lay_markdown(m, c->from, c->to, c->strip, c->kind == BLOCK_TABLE ? LAY_TABLE : open ? LAY_OPEN : LAY_CLOSED);
    c->kind = BLOCK_NONE;
}

static void open_block(struct md *m, enum block_kind kind, size_t from, int strip)
{
    struct cut *c = &m->cut;
    close_block(m, false);
    c->kind = kind;
    c->from = c->last = from;
    c->lines = 0;
    c->strip = strip;
    c->gap = c->blank;
    c->blank = false;
}

static void extend(struct md *m, size_t from, size_t to)
{
    struct cut *c = &m->cut;
    if (to - c->from > BLOCK_MAX && from > c->from)
        open_block(m, c->kind == BLOCK_ITEM ? BLOCK_TEXT : c->kind, from, c->strip);
    c->last = from;
    c->to = to;
    c->lines++;
}

/* Its code begins at `next`. */
static void open_fence(struct md *m, const struct line *l, size_t from, size_t next)
{
    struct cut *c = &m->cut;
    const char *s = l->s + l->fence_len, *end = l->s + l->n;
    close_block(m, false);
    begin(m, from, c->blank, false);
    c->blank = false;
    while (s < end && (is_blank(*s) || *s == '{' || *s == '.'))
        s++;
    const char *word = s;
    while (s < end && !is_blank(*s) && *s != '}' && *s != ',' && *s != ':')
        s++;
    c->kind = BLOCK_FENCE;
    c->fence = l->fence;
    c->fence_len = l->fence_len;
    c->fence_indent = l->indent;
    c->lang = code_lang(word, (size_t)(s - word));
    c->state = (struct code_state){0};
    struct code_block *b = lay_add_code(m, word, (size_t)(s - word));
    b->from = b->to = next;
    b->indent = l->indent;
    lay_code_head(m, from, next);
}

static void close_fence(struct md *m, size_t from, size_t to)
{
    lay_code_end(m, from, to);
    m->cut.kind = BLOCK_NONE;
    m->cut.after_code = true;
}

static void fence_line(struct md *m, size_t from, size_t to, size_t next)
{
    struct cut *c = &m->cut;
    const char *s = m->source.data;
    struct line l = look_at(s + from, to - from, true);
    if (l.what == IS_FENCE && l.fence == c->fence && l.fence_len >= c->fence_len && (size_t)l.fence_len == l.n && l.indent <= c->fence_indent + 3) {
        close_fence(m, from, to);
        return;
    }
    m->codes[m->n_codes - 1].to = next;
    int columns = 0;
    while (from < to && columns < c->fence_indent && is_blank(s[from]))
        columns = s[from++] == '\t' ? (columns / 4 + 1) * 4 : columns + 1;
    lay_code_line(m, c->lang, &c->state, m->n_codes, s + from, to - from, from, NULL);
}

/* ---- the cutter ---- */

/* The line of dashes under a table's head, when the open block ends in such a head: the head is taken from it. */
static bool begins_table(struct md *m, const struct line *l)
{
    struct cut *c = &m->cut;
    const char *s = buf_str(&m->source);
    if ((c->kind != BLOCK_TEXT && !(c->kind == BLOCK_ITEM && c->lines > 1)) || !is_delimiter(l->s, l->n) || !memchr(s + c->last, '|', c->to - c->last))
        return false;
    size_t columns = count_cells(l->s, l->n);
    if (columns > TABLE_COLUMNS || columns != count_cells(s + c->last, c->to - c->last))
        return false;
    size_t head = c->last, head_end = c->to;
    int strip = look_at(s + head, head_end - head, true).indent;
    if (c->lines > 1) {
        c->to = head - 1;
        close_block(m, false);
    } else {
        c->blank = c->gap;
        c->kind = BLOCK_NONE;
    }
    open_block(m, BLOCK_TABLE, head, strip);
    c->to = head_end;
    c->lines = 1;
    c->columns = c->cells = columns;
    c->ragged = false;
    return true;
}

static bool continues_table(struct cut *c, const struct line *l, size_t to)
{
    if (l->what != IS_TEXT || !memchr(l->s, '|', l->n) || to - c->from > TABLE_BYTES || c->cells + c->columns > TABLE_CELLS)
        return false;
    c->cells += c->columns;
    c->ragged |= count_cells(l->s, l->n) > c->columns;
    return true;
}

/* Whether a list's mark is one here, and not just a line of a paragraph that begins like one. */
static bool opens_item(const struct cut *c, const struct line *l)
{
    if (c->kind != BLOCK_TEXT && c->kind != BLOCK_ITEM)
        return true;
    return (c->list && l->indent < c->offset) || (l->first && !l->hollow);
}

static void open_item(struct md *m, const struct line *l, size_t from, size_t to, size_t next)
{
    struct cut *c = &m->cut;
    size_t mark_end = (size_t)(l->s - m->source.data) + l->mark;
    open_block(m, BLOCK_ITEM, from, c->list || l->indent > 1 ? l->indent : 0);
    c->list = true;
    c->offset = l->offset;
    extend(m, from, to);
    struct line rest = look_at(m->source.data + mark_end, to - mark_end, true);
    if (rest.what == IS_FENCE && !l->hollow) {
        c->to = mark_end;
        rest.indent = l->offset;
        open_fence(m, &rest, mark_end, next);
    }
}

static void text_line(struct md *m, const struct line *l, size_t from, size_t to)
{
    struct cut *c = &m->cut;
    bool deep = l->indent >= 4 && !c->list;
    if (c->kind == BLOCK_TABLE || (c->kind == BLOCK_INDENTED && !deep))
        close_block(m, false);
    if (c->kind == BLOCK_NONE) {
        if (l->indent == 0)
            c->list = false;
        open_block(m, deep ? BLOCK_INDENTED : BLOCK_TEXT, from, c->list ? l->indent : 0);
    }
    extend(m, from, to);
}

/* A whole line, source bytes from..to-1; the next begins at `next`. */
static void cut_line(struct md *m, size_t from, size_t to, size_t next)
{
    struct cut *c = &m->cut;
    if (to > from && m->source.data[to - 1] == '\r')
        to--;
    if (c->kind == BLOCK_FENCE) {
        fence_line(m, from, to, next);
        return;
    }
    struct line l = look_at(m->source.data + from, to - from, c->list);
    if (!l.n) {
        close_block(m, false);
        c->blank = true;
        return;
    }
    if (c->kind == BLOCK_TEXT && !c->list && l.indent < 4 && (all_of(l.s, l.n, "=") || all_of(l.s, l.n, "-"))) {
        begin(m, c->from, true, true); /* what came before is a heading */
        c->to = to;
        lay_markdown(m, c->from, c->to, c->strip, LAY_CLOSED);
        c->kind = BLOCK_NONE;
        return;
    }
    if (begins_table(m, &l) || (c->kind == BLOCK_TABLE && continues_table(c, &l, to))) {
        c->last = from;
        c->to = to;
        c->lines++;
        return;
    }
    switch (l.what) {
    case IS_FENCE:
        open_fence(m, &l, from, next);
        return;
    case IS_RULE:
    case IS_HEADING:
        close_block(m, false);
        if (l.indent == 0)
            c->list = false;
        begin(m, from, c->blank, l.what == IS_HEADING);
        c->blank = false;
        if (l.what == IS_RULE)
            lay_rule(m, "", 0, 0, from, to);
        else
            lay_markdown(m, from, to, c->list ? l.indent : 0, m->trying ? LAY_OPEN : LAY_CLOSED);
        return;
    case IS_QUOTE:
        if (c->kind != BLOCK_QUOTE)
            open_block(m, BLOCK_QUOTE, from, c->list ? l.indent : 0);
        extend(m, from, to);
        return;
    case IS_ITEM:
        if (opens_item(c, &l)) {
            open_item(m, &l, from, to, next);
            return;
        }
        break;
    case IS_TEXT:
        break;
    }
    text_line(m, &l, from, to);
}

/* A line that is too long is shown plain, in pieces; returns how much of n bytes at s the next piece takes. */
static size_t piece(const char *s, size_t n)
{
    if (n <= PIECE)
        return n;
    for (size_t k = PIECE; k > PIECE - 64; k--)
        if (s[k - 1] == ' ' && (unsigned char)s[k] < 0x80)
            return k;
    for (size_t k = PIECE; k > PIECE - 64; k--)
        if ((unsigned char)s[k - 1] < 0x80 && (unsigned char)s[k] < 0x80)
            return k;
    for (size_t k = PIECE; k > PIECE - 4; k--)
        if (((unsigned char)s[k] & 0xC0) != 0x80)
            return k;
    return PIECE;
}

static void cut_piece(struct md *m, size_t from, size_t to, bool first)
{
    struct cut *c = &m->cut;
    bool code = c->kind == BLOCK_FENCE;
    if (!code && first) {
        close_block(m, false);
        begin(m, from, c->blank, false);
        c->blank = c->list = false;
    }
    size_t n = m->rows.n;
    if (code) {
        m->codes[m->n_codes - 1].to = to;
        lay_code_line(m, NULL, &c->state, m->n_codes, m->source.data + from, to - from, from, NULL);
    } else {
        lay_plain(m, from, to, false);
    }
    if (!first && n < m->rows.n)
        m->rows.at[n].soft = true;
}

static size_t line_max(const struct cut *c)
{
    return c->kind == BLOCK_FENCE ? LINE_MAX_CODE : LINE_MAX_TEXT;
}

/* Everything whole: lines, and pieces of lines that are too long. */
static void cut_whole(struct md *m)
{
    const struct buf *b = &m->source;
    while (m->line < b->len) {
        const char *s = b->data + m->line;
        size_t left = b->len - m->line, seen = m->scanned > m->line ? m->scanned - m->line : 0;
        const char *newline = seen < left ? memchr(s + seen, '\n', left - seen) : NULL;
        bool whole = newline || m->ended;
        size_t n = newline ? (size_t)(newline - s) : left, next = m->line + n + (newline != NULL);
        m->scanned = newline ? m->line + n : b->len;
        if (m->cut.in_long || n > line_max(&m->cut)) {
            size_t take = piece(s, n);
            if (take == n && !whole)
                return;
            size_t end = take == n && n && s[n - 1] == '\r' ? n - 1 : take;
            cut_piece(m, m->line, m->line + end, !m->cut.in_long);
            m->cut.in_long = take < n;
            m->line = take < n ? m->line + take : next;
            if (take == n && m->cut.kind == BLOCK_FENCE)
                m->codes[m->n_codes - 1].to = next;
            continue;
        }
        if (!whole)
            return;
        cut_line(m, m->line, m->line + n, next);
        m->line = next;
    }
}

/* May still become a marker: not shown yet. */
static bool is_undecided(const struct cut *c, const char *s, size_t n, bool under_bars)
{
    while (n && is_blank(s[0])) {
        s++;
        n--;
    }
    if (c->kind == BLOCK_FENCE)
        return n < HOLD_MAX && run_of(s, n, c->fence) == n;
    if (under_bars && all_of(s, n, "|-: \t"))
        return true;
    if (n > HOLD_MAX)
        return false;
    size_t k = 0;
    while (k < n && s[k] >= '0' && s[k] <= '9')
        k++;
    if (k && k < n && strchr(".)", s[k]))
        k++;
    if (!k && n >= 3 && strchr("-*+", s[0]) && s[1] == ' ' && s[2] == '[') /* a box: - [x] */
        return n == 3 || (n == 4 && strchr(" xX", s[3])) || (n == 5 && s[4] == ']');
    return all_of(s + k, n - k, k ? " " : "#-*+_=`~>|: \t");
}

/* Shows what is open, and the line that is not whole. */
static void lay_open(struct md *m)
{
    struct cut kept = m->cut;
    const char *s = buf_str(&m->source) + m->line;
    size_t n = m->source.len - m->line;
    for (size_t k = 1; k <= 3 && k <= n; k++) { /* a character that is not whole */
        size_t len;
        if (((unsigned char)s[n - k] & 0xC0) == 0x80)
            continue;
        if (utf8_decode(s + n - k, k, &len) == UTF8_PART)
            n -= k;
        break;
    }
    if (m->cut.in_long) {
        cut_piece(m, m->line, m->line + n, false);
    } else {
        bool bars = kept.kind == BLOCK_TEXT && memchr(buf_str(&m->source) + kept.last, '|', kept.to - kept.last);
        m->trying = true;
        if (n && !is_undecided(&m->cut, s, n, bars))
            cut_line(m, m->line, m->line + n, m->line + n);
        m->trying = false;
        close_block(m, true);
    }
    m->cut = kept;
}

static void forget_open(struct md *m)
{
    rows_cut(&m->rows, m->closed);
    while (m->n_links > m->closed_links)
        free(m->links[--m->n_links]);
    while (m->n_codes > m->closed_codes) {
        free(m->codes[--m->n_codes].text);
        free(m->codes[m->n_codes].lang);
    }
}

static void update(struct md *m)
{
    if (m->fresh)
        return;
    forget_open(m);
    cut_whole(m);
    if (m->ended) {
        close_block(m, false);
        if (m->cut.kind == BLOCK_FENCE)
            close_fence(m, m->source.len, m->source.len);
    }
    m->closed = m->rows.n;
    m->closed_links = m->n_links;
    m->closed_codes = m->n_codes;
    if (!m->ended) {
        size_t code_to = m->n_codes ? m->codes[m->n_codes - 1].to : 0;
        int n = m->n_codes;
        lay_open(m);
        if (n)
            m->codes[n - 1].to = code_to;
    }
    m->fresh = true;
}

/* ---- the interface ---- */

struct md *md_create(int width)
{
    struct md *m = mem_zalloc(sizeof *m);
    m->width = width < 1 ? 1 : width;
    buf_init(&m->source, SIZE_MAX / 2);
    rows_init(&m->rows);
    return m;
}

static void forget_all(struct md *m)
{
    m->closed = m->closed_links = m->settled = 0;
    m->closed_codes = 0;
    forget_open(m);
    m->cut = (struct cut){0};
    m->line = m->scanned = 0;
    m->fresh = false;
}

void md_destroy(struct md *m)
{
    if (!m)
        return;
    forget_all(m);
    rows_finish(&m->rows);
    buf_finish(&m->source);
    free(m->codes);
    free(m->links);
    free(m->link_n);
    free(m->spans.at);
    free(m);
}

void md_feed(struct md *m, const char *s, size_t n)
{
    if (!n)
        return;
    if (m->ended) { /* it goes on after all */
        m->ended = false;
        forget_all(m);
    }
    buf_add(&m->source, s, n);
    m->fresh = false;
}

#ifdef HADAL_DEBUG
/* However the text came, the rows are those of a fresh layout. */
static void compare(struct md *m)
{
    struct md *again = md_create(m->width);
    md_feed(again, buf_str(&m->source), m->source.len);
    again->ended = true;
    update(m);
    update(again);
    ASSERT(m->rows.n == again->rows.n);
    for (size_t i = 0; i < m->rows.n; i++)
        ASSERT(row_equal(&m->rows.at[i], &again->rows.at[i]));
    md_destroy(again);
}
#endif

void md_end(struct md *m)
{
    if (m->ended)
        return;
    m->ended = true;
    m->fresh = false;
#ifdef HADAL_DEBUG
    compare(m);
#endif
}

void md_width(struct md *m, int width)
{
    width = width < 1 ? 1 : width;
    if (width == m->width)
        return;
    m->width = width;
    forget_all(m);
}

const struct rows *md_rows(struct md *m)
{
    update(m);
    return &m->rows;
}

size_t md_settled(struct md *m)
{
    update(m);
    size_t n = m->settled;
    m->settled = m->closed;
    return n;
}

const char *md_text(const struct md *m, size_t *n)
{
    *n = m->source.len;
    return buf_str(&m->source);
}

int md_n_code(struct md *m)
{
    update(m);
    return m->n_codes;
}

char *md_code(struct md *m, int i, size_t *n, const char **lang)
{
    update(m);
    if (i < 1 || i > m->n_codes)
        return NULL;
    const struct code_block *b = &m->codes[i - 1];
    struct buf out = BUF_INIT(SIZE_MAX / 2);
    if (lang)
        *lang = b->lang;
    if (b->text) {
        buf_add(&out, b->text, b->n);
    } else {
        const char *s = buf_str(&m->source);
        size_t end = b->to;
        if (i == m->n_codes && m->cut.kind == BLOCK_FENCE && m->line >= b->from)
            end = m->source.len; /* still open: the line that is not whole, too */
        for (size_t at = b->from; at < end;) {
            const char *newline = memchr(s + at, '\n', end - at);
            size_t next = newline ? (size_t)(newline - s) + 1 : end;
            int columns = 0;
            while (at < next && columns < b->indent && is_blank(s[at]) && s[at] != '\r')
                columns = s[at++] == '\t' ? (columns / 4 + 1) * 4 : columns + 1;
            buf_add(&out, s + at, next - at);
            at = next;
        }
    }
    *n = out.len;
    return buf_take(&out);
}

int md_n_links(struct md *m)
{
    update(m);
    return (int)m->n_links;
}

const char *md_link(struct md *m, int i, size_t *n)
{
    update(m);
    if (i < 0 || (size_t)i >= m->n_links)
        return NULL;
    *n = m->link_n[i];
    return m->links[i];
}
