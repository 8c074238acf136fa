/*
 * A block's inner life: md4c says what is in it, and this makes rows of that. Text is gathered into a logical line, with a look for each stretch of
 * it and the place in the source of each byte; a line ends where the source's line does. In front of a line stands what it is in: "> " of quotes,
 * the mark of a list item on its first line and blanks on the others. How deep things are nested is up to the text, how much of that is
 * drawn is not: at most DEPTH levels and half of the width.
 */
#include "config.h"
#include "ui/md_impl.h"

#include <md4c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sane.h"
#include "base/utf8.h"

#define DEPTH 16
#define LINKS_MAX 65535

struct level {
    bool quote;
    bool fresh;    /* an item's mark is not shown yet */
    char mark[24];
    int columns;
};
struct numbers { /* of a list */
    unsigned next;
    char delimiter; /* 0: bullets */
};

struct lay {
    struct md *m;
    const struct feed *feed;
    int base;
    struct level level[DEPTH];
    struct numbers list[DEPTH];
    int depth, lists; /* the true ones: may be beyond what is kept */
    int shown;        /* depth of the line that was last shown */
    int quotes;
    /* the logical line */
    struct buf text;
    size_t *source, source_cap;
    struct row_span *spans;
    int n_spans, cap_spans;
    bool started;       /* something of the line is there */
    bool leaf;          /* at the beginning of a paragraph, heading.. */
    size_t seen;        /* bytes of the feed that are done with */
    size_t rows;        /* of the owner when this block began */
    /* looks in force */
    int em, strong, del, code, heading;
    int links;          /* depth */
    uint16_t link;      /* of the innermost */
    size_t link_text;   /* length of the line when it began */
    bool in_code, in_table;
    struct buf lang;
    struct table table;
    uint8_t align;
};

/* ---- pieces without md4c ---- */

void lay_rule(struct md *m, const char *head, size_t n, int code, size_t from, size_t to)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    sane_line(&b, head, n);
    int columns = text_columns(buf_str(&b), b.len);
    if (columns > m->width) {
        buf_reset(&b);
        columns = 0;
    }
    for (; columns < m->width; columns++)
        buf_addch(&b, '-');
    size_t first = m->rows.n;
    struct row_span all = {0, (uint32_t)b.len, {.role = ROLE_RULE}};
    rows_add(&m->rows, &(struct wrap_conf){.width = m->width, .decor = true, .code = code}, buf_str(&b), b.len, &all, 1, from);
    m->rows.at[first].from = from;
    m->rows.at[first].to = to;
    m->rows.at[first].exact = false;
    buf_finish(&b);
}

void lay_plain(struct md *m, size_t from, size_t to, bool code)
{
    const char *s = m->source.data;
    struct wrap_conf c = {.width = m->width, .words = !code};
    for (;;) {
        const char *newline = memchr(s + from, '\n', to - from);
        size_t end = newline ? (size_t)(newline - s) : to, n = end - from;
        if (n && newline && s[end - 1] == '\r')
            n--;
        struct row_span all = {0, (uint32_t)n, {.role = ROLE_CODE}};
        rows_add(&m->rows, &c, s + from, n, &all, code, from);
        if (!newline)
            return;
        from = end + 1;
    }
}

struct code_block *lay_add_code(struct md *m, const char *lang, size_t n)
{
    if (m->n_codes == m->cap_codes) {
        m->cap_codes = m->cap_codes ? m->cap_codes * 2 : 8;
        m->codes = mem_grow(m->codes, (size_t)m->cap_codes, sizeof *m->codes);
    }
    struct code_block *b = &m->codes[m->n_codes++];
    *b = (struct code_block){.lang = mem_strndup(lang, n)};
    return b;
}

/* "-- c1 python -----" */
void lay_code_head(struct md *m, size_t from, size_t to)
{
    struct buf b = BUF_INIT(4096);
    const char *lang = m->codes[m->n_codes - 1].lang;
    buf_addf(&b, "-- c%d ", m->n_codes);
    size_t n = b.len;
    if (*lang) {
        sane_line(&b, lang, strnlen(lang, 64));
        buf_addch(&b, ' ');
    }
    if (text_columns(buf_str(&b), b.len) > m->width)
        b.len = n;
    lay_rule(m, buf_str(&b), b.len, m->n_codes, from, to);
    buf_finish(&b);
}

void lay_code_end(struct md *m, size_t from, size_t to)
{
    lay_rule(m, "", 0, m->n_codes, from, to);
}

void lay_code_line(struct md *m, const struct code_lang *lang, struct code_state *st, int code, const char *s, size_t n, size_t from, const size_t *source)
{
    code_line(lang, st, s, n, &m->spans);
    rows_add(&m->rows, &(struct wrap_conf){.width = m->width, .code = code, .source = source}, s, n, m->spans.at, m->spans.n, from);
}

/* ---- the logical line ---- */

static struct look look_now(const struct lay *l)
{
    struct look k = {.role = ROLE_TEXT};
    if (l->links)
        k.role = ROLE_LINK;
    else if (l->code)
        k.role = ROLE_CODE;
    else if (l->heading)
        k.role = ROLE_HEADING;
    else if (l->quotes)
        k.role = ROLE_QUOTE;
    k.flags = (uint8_t)((l->strong || l->heading ? LOOK_BOLD : 0) | (l->em ? LOOK_ITALIC : 0) | (l->del ? LOOK_STRIKE : 0));
    k.link = l->links ? l->link : 0;
    return k;
}

static void add_source(struct lay *l, size_t src, size_t n, bool step)
{
    if (l->text.len + 1 > l->source_cap) {
        l->source_cap = (l->text.len + 1) * 2;
        l->source = mem_grow(l->source, l->source_cap, sizeof *l->source);
    }
    for (size_t i = 0; i < n; i++)
        l->source[l->text.len - n + i] = step ? l->feed->map[src + i] : l->feed->map[src];
}

static void add_span(struct lay *l, size_t from, size_t to, struct look k)
{
    struct row_span *last = l->n_spans ? &l->spans[l->n_spans - 1] : NULL;
    if (from == to || (k.role == ROLE_TEXT && !k.flags))
        return;
    if (last && last->to == from && last->look.role == k.role && last->look.flags == k.flags && last->look.link == k.link) {
        last->to = (uint32_t)to;
        return;
    }
    if (l->n_spans == l->cap_spans) {
        l->cap_spans = l->cap_spans ? l->cap_spans * 2 : 8;
        l->spans = mem_grow(l->spans, (size_t)l->cap_spans, sizeof *l->spans);
    }
    l->spans[l->n_spans++] = (struct row_span){(uint32_t)from, (uint32_t)to, k};
}

/* n bytes that stand for the feed's byte `at` (step: that are the feed's bytes from there on). */
static void add_text(struct lay *l, const char *s, size_t n, size_t at, bool step)
{
    size_t from = l->text.len;
    buf_add(&l->text, s, n);
    add_source(l, at, n, step);
    add_span(l, from, l->text.len, look_now(l));
    l->started = true;
}

static int levels(const struct lay *l)
{
    return l->depth < DEPTH ? l->depth : DEPTH;
}

/* What stands in front of a line; its columns are its bytes. */
static size_t prefix(struct lay *l, char *out, size_t room)
{
    size_t n = 0, most = (size_t)l->m->width / 2;
    for (int i = 0; i < levels(l); i++) {
        struct level *v = &l->level[i];
        size_t w = (size_t)v->columns;
        if (n + w > room || (i && n + w > most)) {
            v->fresh = false;
            continue;
        }
        if (v->quote)
            memcpy(out + n, "> ", 2);
        else if (v->fresh)
            memcpy(out + n, v->mark, w);
        else
            memset(out + n, ' ', w);
        v->fresh = false;
        n += w;
    }
    return n;
}

/* The line becomes rows. Also an empty one, when something stands in front of it. */
static void flush(struct lay *l)
{
    char front[512];
    size_t base = l->base > 0 && l->base <= l->m->width / 2 && l->base < 200 ? (size_t)l->base : 0;
    memset(front, ' ', base);
    size_t n = base + prefix(l, front + base, sizeof front - base - 1);
    size_t total = n + l->text.len, first = l->feed->map[l->seen];
    char *text = mem_alloc(total + 1);
    size_t *source = mem_array(total + 1, sizeof *source);
    if (l->text.len)
        first = l->source[0];
    for (size_t i = 0; i < n; i++)
        source[i] = first;
    memcpy(text, front, n);
    if (l->text.len) {
        memcpy(text + n, l->text.data, l->text.len);
        memcpy(source + n, l->source, l->text.len * sizeof *source);
    }
    source[total] = l->feed->map[l->seen] > first ? l->feed->map[l->seen] : first;
    for (size_t i = total; i-- > 0 && source[i] > source[total];)
        source[i] = source[total];
    int extra = l->quotes && n > base;
    struct row_span *spans = mem_array((size_t)l->n_spans + 1, sizeof *spans);
    if (extra)
        spans[0] = (struct row_span){(uint32_t)base, (uint32_t)n, {.role = ROLE_QUOTE}};
    for (int i = 0; i < l->n_spans; i++)
        spans[extra + i] = (struct row_span){l->spans[i].from + (uint32_t)n, l->spans[i].to + (uint32_t)n, l->spans[i].look};
    struct wrap_conf c = {.width = l->m->width, .indent = (int)n, .words = true, .source = source};
    rows_add(&l->m->rows, &c, text, total, spans, extra + l->n_spans, 0);
    free(text);
    free(source);
    free(spans);
    buf_reset(&l->text);
    l->n_spans = 0;
    l->started = false;
    l->shown = l->depth;
}

/* A blank line of the source between what is done and byte `at` of the feed. */
static bool blank_before(const struct lay *l, size_t at)
{
    const char *s = buf_str(&l->feed->b);
    bool line = false, any = true;
    for (size_t i = l->seen; i < at; i++) {
        if (s[i] == '\n') {
            if (line && !any)
                return true;
            line = true;
            any = false;
        } else {
            any |= s[i] != ' ' && s[i] != '\t' && s[i] != '>' && s[i] != '\r';
        }
    }
    return false;
}

/* Text of the feed's byte `at` comes. */
static void arrive(struct lay *l, size_t at)
{
    if (l->leaf && l->m->rows.n > l->rows && at > l->seen && blank_before(l, at)) {
        struct level kept[DEPTH];
        int depth = l->depth, n = levels(l);
        memcpy(kept, l->level, sizeof kept);
        for (int i = 0; i < n; i++)
            l->level[i].fresh = false;
        l->depth = depth < l->shown ? depth : l->shown; /* it belongs to what both are in */
        flush(l);
        l->depth = depth;
        memcpy(l->level, kept, sizeof kept);
    }
    l->leaf = false;
    if (!l->started && !l->depth && !l->heading && !l->in_table) { /* indentation within a paragraph is kept */
        const char *s = buf_str(&l->feed->b);
        size_t from = at, n = 0;
        while (from > l->seen && s[from - 1] != '\n')
            from--;
        while (from + n < at && (s[from + n] == ' ' || s[from + n] == '\t'))
            n++;
        if (n && (from == 0 || s[from - 1] == '\n')) {
            buf_add(&l->text, s + from, n);
            add_source(l, from, n, true);
        }
    }
}

/* ---- what md4c says ---- */

static bool in_feed(const struct lay *l, const char *s, size_t n)
{
    const char *b = buf_str(&l->feed->b);
    return s >= b && s + n <= b + l->feed->b.len;
}

static size_t entity(const char *s, size_t n, char out[4])
{
    static const struct { const char *name; uint32_t cp; } known[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", 0xA0}, {"copy", 0xA9}, {"reg", 0xAE}, {"deg", 0xB0},
        {"plusmn", 0xB1}, {"middot", 0xB7}, {"frac12", 0xBD}, {"times", 0xD7}, {"divide", 0xF7}, {"ndash", 0x2013}, {"mdash", 0x2014},
        {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"bull", 0x2022}, {"hellip", 0x2026}, {"euro", 0x20AC},
        {"trade", 0x2122}, {"larr", 0x2190}, {"uarr", 0x2191}, {"rarr", 0x2192}, {"darr", 0x2193}, {"rArr", 0x21D2}, {"minus", 0x2212},
        {"ne", 0x2260}, {"le", 0x2264}, {"ge", 0x2265}, {"pi", 0x3C0}, {"micro", 0xB5}, {"sect", 0xA7}, {"laquo", 0xAB}, {"raquo", 0xBB},
    };
    if (n < 4 || s[0] != '&' || s[n - 1] != ';')
        return 0;
    if (s[1] != '#') {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].name) == n - 2 && !memcmp(known[i].name, s + 1, n - 2))
                return utf8_encode(known[i].cp, out);
        return 0;
    }
    bool hex = s[2] == 'x' || s[2] == 'X';
    uint32_t cp = 0;
    for (size_t i = hex ? 3 : 2; i < n - 1; i++) {
        uint32_t d = s[i] <= '9' ? (uint32_t)(s[i] - '0') : (uint32_t)((s[i] | 32) - 'a' + 10);
        cp = cp * (hex ? 16 : 10) + d;
        if (cp > 0x10FFFF)
            break;
    }
    if (cp == 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    return utf8_encode(cp, out);
}

static int on_text(MD_TEXTTYPE type, const MD_CHAR *s, MD_SIZE size, void *data)
{
    struct lay *l = data;
    size_t n = size, at = l->seen;
    char decoded[4];
    if (in_feed(l, s, n) && n) {
        at = (size_t)(s - l->feed->b.data);
        if (!l->in_code)
            arrive(l, at);
        size_t m = type == MD_TEXT_ENTITY ? entity(s, n, decoded) : 0;
        if (m)
            add_text(l, decoded, m, at, false);
        else
            add_text(l, s, n, at, true);
        l->seen = at + n > l->seen ? at + n : l->seen;
        return 0;
    }
    if (type == MD_TEXT_BR || type == MD_TEXT_SOFTBR) {
        if (l->in_table)
            add_text(l, " ", 1, at, false);
        else
            flush(l);
    } else if (type == MD_TEXT_NULLCHAR) {
        add_text(l, "", 1, at, false);
    } else if (n) {
        add_text(l, s, n, at, false);
    }
    return 0;
}

static void add_link(struct lay *l, const MD_ATTRIBUTE *href)
{
    struct md *m = l->m;
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    for (size_t i = 0; href->substr_offsets && href->substr_offsets[i] < href->size; i++) {
        const char *s = href->text + href->substr_offsets[i];
        size_t n = href->substr_offsets[i + 1] - href->substr_offsets[i];
        char decoded[4];
        size_t k = href->substr_types[i] == MD_TEXT_ENTITY ? entity(s, n, decoded) : 0;
        buf_add(&b, k ? decoded : s, k ? k : n);
    }
    if (m->n_links == m->cap_links) {
        m->cap_links = m->cap_links ? m->cap_links * 2 : 8;
        m->links = mem_grow(m->links, m->cap_links, sizeof *m->links);
        m->link_n = mem_grow(m->link_n, m->cap_links, sizeof *m->link_n);
    }
    m->link_n[m->n_links] = b.len;
    m->links[m->n_links++] = buf_take(&b);
    l->link = m->n_links <= LINKS_MAX ? (uint16_t)m->n_links : 0;
}

static int enter_span(MD_SPANTYPE type, void *detail, void *data)
{
    struct lay *l = data;
    switch (type) {
    case MD_SPAN_EM:
        l->em++;
        break;
    case MD_SPAN_STRONG:
        l->strong++;
        break;
    case MD_SPAN_DEL:
        l->del++;
        break;
    case MD_SPAN_CODE:
        l->code++;
        break;
    case MD_SPAN_A:
    case MD_SPAN_IMG:
        l->links++;
        add_link(l, type == MD_SPAN_A ? &((MD_SPAN_A_DETAIL *)detail)->href : &((MD_SPAN_IMG_DETAIL *)detail)->src);
        l->link_text = l->text.len;
        break;
    default:
        break;
    }
    return 0;
}

static int leave_span(MD_SPANTYPE type, void *detail, void *data)
{
    struct lay *l = data;
    (void)detail;
    switch (type) {
    case MD_SPAN_EM:
        l->em--;
        break;
    case MD_SPAN_STRONG:
        l->strong--;
        break;
    case MD_SPAN_DEL:
        l->del--;
        break;
    case MD_SPAN_CODE:
        l->code--;
        break;
    case MD_SPAN_A:
    case MD_SPAN_IMG:
        if (l->text.len == l->link_text && l->m->n_links) /* no text: the target is */
            add_text(l, l->m->links[l->m->n_links - 1], l->m->link_n[l->m->n_links - 1], l->seen, false);
        l->links--;
        break;
    default:
        break;
    }
    return 0;
}

static void push(struct lay *l, const struct level *v)
{
    if (l->depth < DEPTH)
        l->level[l->depth] = *v;
    l->depth++;
}

static void enter_item(struct lay *l, const MD_BLOCK_LI_DETAIL *d)
{
    struct level v = {.fresh = true};
    struct numbers *list = l->lists && l->lists <= DEPTH ? &l->list[l->lists - 1] : NULL;
    if (list && list->delimiter)
        v.columns = snprintf(v.mark, sizeof v.mark, "%u%c %s", list->next++, list->delimiter, !d->is_task ? "" : d->task_mark == ' ' ? "[ ] " : "[x] ");
    else
        v.columns = snprintf(v.mark, sizeof v.mark, "%s", !d->is_task ? "* " : d->task_mark == ' ' ? "[ ] " : "[x] ");
    push(l, &v);
}

static void enter_list(struct lay *l, unsigned start, char delimiter)
{
    if (l->lists < DEPTH)
        l->list[l->lists] = (struct numbers){start, delimiter};
    l->lists++;
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *data)
{
    struct lay *l = data;
    l->leaf = true;
    switch (type) {
    case MD_BLOCK_QUOTE:
        push(l, &(struct level){.quote = true, .columns = 2});
        l->quotes++;
        break;
    case MD_BLOCK_UL:
        enter_list(l, 0, 0);
        break;
    case MD_BLOCK_OL:
        enter_list(l, ((MD_BLOCK_OL_DETAIL *)detail)->start, ((MD_BLOCK_OL_DETAIL *)detail)->mark_delimiter);
        break;
    case MD_BLOCK_LI:
        if (l->depth && l->depth <= DEPTH && !l->level[l->depth - 1].quote && l->level[l->depth - 1].fresh)
            flush(l); /* an item right in an item */
        enter_item(l, detail);
        break;
    case MD_BLOCK_H:
        l->heading = 1;
        break;
    case MD_BLOCK_HR:
        lay_rule(l->m, "", 0, 0, l->feed->map[l->seen], l->feed->map[l->seen]);
        break;
    case MD_BLOCK_CODE: {
        const MD_ATTRIBUTE *a = &((MD_BLOCK_CODE_DETAIL *)detail)->lang;
        l->in_code = true;
        buf_reset(&l->lang);
        buf_add(&l->lang, a->text, a->size);
        break;
    }
    case MD_BLOCK_TABLE:
        l->in_table = true;
        l->table.n_columns = ((MD_BLOCK_TABLE_DETAIL *)detail)->col_count;
        break;
    case MD_BLOCK_THEAD:
        l->strong++;
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD: {
        MD_ALIGN a = ((MD_BLOCK_TD_DETAIL *)detail)->align;
        l->align = a == MD_ALIGN_CENTER ? CELL_CENTER : a == MD_ALIGN_RIGHT ? CELL_RIGHT : CELL_LEFT;
        break;
    }
    default:
        break;
    }
    return 0;
}

/* A fence within a quote: its lines, as they are. */
static void leave_code(struct lay *l)
{
    struct md *m = l->m;
    const char *s = buf_str(&l->text);
    size_t n = l->text.len, at = l->feed->map[l->seen], end = n && l->source[n - 1] < at ? at : n ? l->source[n - 1] : at;
    struct code_block *b = lay_add_code(m, buf_str(&l->lang), l->lang.len);
    const struct code_lang *lang = code_lang(b->lang, strlen(b->lang));
    struct code_state st = {0};
    b->text = mem_strndup(s, n);
    b->n = n;
    lay_code_head(m, n ? l->source[0] : at, n ? l->source[0] : at);
    for (size_t i = 0; i < n;) {
        const char *newline = memchr(s + i, '\n', n - i);
        size_t k = newline ? (size_t)(newline - s) : n;
        if (k == n) {
            add_source(l, l->seen, 0, false);
            l->source[n] = end;
        }
        lay_code_line(m, lang, &st, m->n_codes, s + i, k - i, 0, l->source + i);
        i = k + 1;
    }
    lay_code_end(m, end, end);
    buf_reset(&l->text);
    l->n_spans = 0;
    l->started = l->in_code = false;
}

static void leave_cell(struct lay *l)
{
    struct table *t = &l->table;
    size_t at = l->feed->map[l->seen];
    if (t->n_cells == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 32;
        t->cells = mem_grow(t->cells, t->cap, sizeof *t->cells);
    }
    if (t->n_cells < t->n_columns && t->n_cells < TABLE_COLUMNS)
        t->align[t->n_cells] = l->align;
    t->cells[t->n_cells++] = (struct cell_text){.text = l->text.len ? mem_strndup(l->text.data, l->text.len) : mem_strdup(""), .n = l->text.len,
        .from = l->text.len ? l->source[0] : at, .to = at, .spans = l->spans, .n_spans = l->n_spans};
    buf_reset(&l->text);
    l->spans = NULL;
    l->n_spans = l->cap_spans = 0;
    l->started = false;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *data)
{
    struct lay *l = data;
    (void)detail;
    switch (type) {
    case MD_BLOCK_LI:
        if (l->started || (l->depth <= DEPTH && l->level[l->depth - 1].fresh))
            flush(l);
        l->depth--;
        break;
    case MD_BLOCK_QUOTE:
        l->depth--;
        l->quotes--;
        break;
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        l->lists--;
        break;
    case MD_BLOCK_P:
    case MD_BLOCK_H:
        if (l->started)
            flush(l);
        l->heading = 0;
        break;
    case MD_BLOCK_CODE:
        leave_code(l);
        break;
    case MD_BLOCK_THEAD:
        l->strong--;
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        leave_cell(l);
        break;
    case MD_BLOCK_TABLE:
        l->in_table = false;
        table_draw(&l->m->rows, &l->table, l->m->width, l->base);
        break;
    default:
        break;
    }
    return 0;
}

void lay_markdown(struct md *m, size_t from, size_t to, int strip, enum lay_how how)
{
    struct feed feed;
    feed_build(&feed, m->source.data, from, to, strip, how);
    struct lay l = {.m = m, .feed = &feed, .base = strip, .text = BUF_INIT(SIZE_MAX / 2), .lang = BUF_INIT(1 << 20), .rows = m->rows.n};
    unsigned flags = MD_FLAG_PERMISSIVEAUTOLINKS | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_NOINDENTEDCODEBLOCKS | MD_FLAG_NOHTML;
    const MD_PARSER parser = {.flags = how == LAY_TABLE ? flags | MD_FLAG_TABLES : flags, .enter_block = enter_block, .leave_block = leave_block,
        .enter_span = enter_span, .leave_span = leave_span, .text = on_text};
    md_parse(buf_str(&feed.b), (MD_SIZE)feed.b.len, &parser, &l);
    if (m->rows.n == l.rows) /* nothing to be seen: then as it is */
        lay_plain(m, from, to, false);
    buf_finish(&l.text);
    buf_finish(&l.lang);
    free(l.source);
    free(l.spans);
    table_finish(&l.table);
    feed_finish(&feed);
}
