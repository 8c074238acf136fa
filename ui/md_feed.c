/*
 * What md4c gets to see of a block: the source without its indentation, and with backslashes in front of what it would take for markup and
 * models do not mean so: formulas ($..$, \(..\), \[..\]), 5*6*7 and link definitions. Where a block is still open, the marks that are open in
 * its last line are closed at its end, so that "**bo" is bold at once, and a mark at the very end is held back until it is decided.
 * For each byte that md4c sees, the byte of the source it stands for is known. One pass; what looks ahead remembers that it found nothing.
 */
#include "config.h"
#include "ui/md_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define OPEN_MAX 32   /* marks that may be open at once */
#define RUNS 64

struct scan {
    const char *s;
    const size_t *map;
    size_t n;
    struct feed *out;
    bool open, table;
    bool none[RUNS + 1];    /* no run of so many backticks follows */
    bool no_paren, no_bracket, no_dollars;
    size_t dollar, no_dollar; /* the next $ that may end a formula in this line, 0: none; there is none before */
    struct { char c; int n; } stack[OPEN_MAX];
    int depth;
    int parens; /* of a link's target */
    size_t ticks; /* of an open code span */
};

static void put(struct feed *f, char c, size_t src)
{
    buf_addch(&f->b, c);
    if (f->b.len + 1 > f->cap) {
        f->cap = (f->b.len + 1) * 2;
        f->map = mem_grow(f->map, f->cap, sizeof *f->map);
    }
    f->map[f->b.len - 1] = src;
    f->map[f->b.len] = src + 1;
}

static void put_run(struct scan *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        put(c->out, c->s[i], c->map[i]);
}

static bool is_punct(char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || (unsigned char)c >= 0x80;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Without blanks up to column `strip` of each line. */
static void strip_lines(struct feed *f, const char *source, size_t from, size_t to, int strip)
{
    while (from < to) {
        const char *newline = memchr(source + from, '\n', to - from);
        size_t end = newline ? (size_t)(newline - source) : to;
        int columns = 0;
        while (from < end && columns < strip && (source[from] == ' ' || source[from] == '\t'))
            columns = source[from++] == '\t' ? (columns / 4 + 1) * 4 : columns + 1;
        for (; from < end; from++)
            put(f, source[from], from);
        if (newline)
            put(f, '\n', end);
        from = end + (newline != NULL);
    }
}

static size_t line_end(const struct scan *c, size_t i)
{
    const char *newline = memchr(c->s + i, '\n', c->n - i);
    return newline ? (size_t)(newline - c->s) : c->n;
}

/* As a formula: every mark loses its meaning. */
static void put_literal(struct scan *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (is_punct(c->s[i]))
            put(c->out, '\\', c->map[i]);
        put(c->out, c->s[i], c->map[i]);
    }
}

/* The end of the formula that two bytes at i begin, e.g. \( and \), or $$; 0: there is none. */
static size_t math_end(struct scan *c, size_t i, const char *close, bool *none)
{
    size_t end = c->table ? line_end(c, i) : c->n;
    const char *p = *none ? NULL : memmem(c->s + i + 2, end - i - 2, close, 2);
    if (p)
        return (size_t)(p - c->s) + 2;
    *none |= !c->table;
    return c->open && !c->table ? c->n : 0;
}

/* The end of the $..$ that begins at i, within its line; 0: there is none. */
static size_t dollar_end(struct scan *c, size_t i)
{
    if (i + 1 >= c->n || is_space(c->s[i + 1]) || (i && is_alnum(c->s[i - 1])))
        return 0;
    if (c->dollar <= i + 1 && c->no_dollar <= i + 1) { /* what was found last is behind us */
        size_t k = i + 2;
        c->dollar = 0;
        for (; k < c->n && c->s[k] != '\n' && !c->dollar; k++) {
            if (c->s[k] == '\\')
                k++;
            else if (c->s[k] == '$' && !is_space(c->s[k - 1]) && !(k + 1 < c->n && is_alnum(c->s[k + 1])))
                c->dollar = k;
        }
        c->no_dollar = c->dollar ? c->dollar : k;
    }
    return c->dollar > i + 1 ? c->dollar + 1 : 0;
}

static size_t backslash(struct scan *c, size_t i)
{
    char next = i + 1 < c->n ? c->s[i + 1] : 0;
    size_t end = next == '(' ? math_end(c, i, "\\)", &c->no_paren) : next == '[' ? math_end(c, i, "\\]", &c->no_bracket) : 0;
    if (end) {
        put_literal(c, i, end);
        return end;
    }
    if (next == '(' || next == '[') {
        put_literal(c, i, i + 2);
        return i + 2;
    }
    if (i + 1 == c->n && c->open)
        return c->n;
    end = i + 1 < c->n && next != '\n' ? i + 2 : i + 1;
    put_run(c, i, end);
    return end;
}

static size_t backticks(struct scan *c, size_t i)
{
    size_t k = i, limit = c->table ? line_end(c, i) : c->n;
    while (k < c->n && c->s[k] == '`')
        k++;
    size_t run = k - i;
    if (c->open && k == c->n)
        return c->n;
    if (run <= RUNS && !c->none[run]) {
        for (size_t at = k; at < limit;) {
            const char *tick = memchr(c->s + at, '`', limit - at);
            if (!tick)
                break;
            size_t from = (size_t)(tick - c->s);
            for (at = from; at < c->n && c->s[at] == '`';)
                at++;
            if (at - from == run || (c->open && at == c->n && at - from < run && from > k)) {
                put_run(c, i, from);
                for (size_t m = 0; m < run; m++)
                    put(c->out, '`', c->map[from]);
                return at;
            }
        }
        c->none[run] = !c->table;
        if (c->open) {
            put_run(c, i, c->n);
            c->ticks = run < 3 ? run : 0; /* a fence, as in a quote, closes by itself */
            return c->n;
        }
    }
    put_run(c, i, k);
    return k;
}

/* A run of asterisks, underscores or tildes in a block that is open. */
static size_t emphasis(struct scan *c, size_t i)
{
    size_t k = i;
    char mark = c->s[i];
    while (k < c->n && c->s[k] == mark)
        k++;
    size_t run = k - i;
    if (k == c->n)
        return k;
    bool space_before = i == 0 || is_space(c->s[i - 1]), space_after = is_space(c->s[k]);
    size_t left = run;
    while (!space_before && left && c->depth && c->stack[c->depth - 1].c == mark) {
        int *n = &c->stack[c->depth - 1].n;
        int take = (int)left < *n ? (int)left : *n;
        left -= (size_t)take;
        *n -= take;
        if (!*n)
            c->depth--;
    }
    bool within = i > 0 && is_alnum(c->s[i - 1]);
    if (left && left <= 3 && !space_after && !(within && (mark == '_' || left == 1)) && (mark != '~' || left == 2) && c->depth < OPEN_MAX) {
        c->stack[c->depth].c = mark;
        c->stack[c->depth++].n = (int)left;
    }
    put_run(c, i, k);
    return k;
}

/* "](" with no end of the target yet. */
static size_t target(struct scan *c, size_t i)
{
    int depth = 0;
    for (size_t k = i + 1; k < c->n; k++) {
        if (is_space(c->s[k]) && !depth)
            break;
        if (is_space(c->s[k]) && (k + 1 == c->n || c->s[k + 1] == '"') && !memchr(c->s + k, ')', c->n - k)) { /* a title, not whole */
            c->parens = depth;
            put_run(c, i, k);
            return c->n;
        }
        if (is_space(c->s[k])) {
            put_run(c, i, i + 1);
            return i + 1;
        }
        depth += c->s[k] == '(' ? 1 : c->s[k] == ')' ? -1 : 0;
        if (!depth) {
            put_run(c, i, k + 1);
            return k + 1;
        }
    }
    c->parens = depth;
    put_run(c, i, c->n);
    return c->n;
}

/* The bracket of "[name]:" in the line that begins at i: what would be a link's definition, and vanish. */
static size_t definition(const struct scan *c, size_t i)
{
    while (i < c->n && c->s[i] && strchr(" \t>-+*.)0123456789", c->s[i]))
        i++;
    size_t end = line_end(c, i);
    const char *bracket = i < end && c->s[i] == '[' ? memchr(c->s + i, ']', end - i) : NULL;
    return bracket && bracket + 1 < c->s + end && bracket[1] == ':' ? i : SIZE_MAX;
}

/* "&am" at the end. */
static bool may_be_entity(const struct scan *c, size_t i)
{
    if (c->n - i > 10)
        return false;
    while (++i < c->n)
        if (!is_alnum(c->s[i]) && c->s[i] != '#')
            return false;
    return true;
}

static void scan(struct scan *c)
{
    size_t defines = definition(c, 0);
    for (size_t i = 0; i < c->n;) {
        char ch = c->s[i];
        size_t end = 0;
        if (ch == '\\') {
            i = backslash(c, i);
        } else if (ch == '`') {
            i = backticks(c, i);
        } else if (ch == '$') {
            bool two = i + 1 < c->n && c->s[i + 1] == '$';
            end = two ? math_end(c, i, "$$", &c->no_dollars) : dollar_end(c, i);
            if (end)
                put_literal(c, i, end);
            else
                put_run(c, i, end = i + 1 + two);
            i = end;
        } else if (ch == '*' && i && i + 1 < c->n && is_digit(c->s[i - 1]) && is_digit(c->s[i + 1])) { /* 5*6*7 */
            put_literal(c, i, i + 1);
            i++;
        } else if (c->open && (ch == '*' || ch == '_' || ch == '~')) {
            i = emphasis(c, i);
        } else if (c->open && ch == ']' && i + 1 < c->n && c->s[i + 1] == '(') {
            i = target(c, i);
        } else if (c->open && ((ch == '[' && i + 1 == c->n) || (ch == '&' && may_be_entity(c, i)))) {
            i = c->n;
        } else {
            if (i == defines)
                put(c->out, '\\', c->map[i]);
            put_run(c, i, i + 1);
            i++;
            if (ch == '\n') {
                c->depth = 0;
                defines = definition(c, i);
            }
        }
    }
}

/* Closes what is open. */
static void close_marks(struct scan *c)
{
    struct feed *f = c->out;
    size_t end = c->n ? c->map[c->n] : 0;
    if (!c->ticks) /* a mark closes nothing behind a blank */
        while (f->b.len && (f->b.data[f->b.len - 1] == ' ' || f->b.data[f->b.len - 1] == '\t'))
            f->b.data[--f->b.len] = 0;
    for (size_t i = 0; i < c->ticks; i++)
        put(f, '`', end);
    for (; c->parens > 0; c->parens--)
        put(f, ')', end);
    while (c->depth--)
        for (int i = 0; i < c->stack[c->depth].n; i++)
            put(f, c->stack[c->depth].c, end);
    if (f->map)
        f->map[f->b.len] = end;
}

void feed_build(struct feed *f, const char *source, size_t from, size_t to, int strip, enum lay_how how)
{
    struct feed raw = {.b = BUF_INIT(SIZE_MAX / 2)};
    strip_lines(&raw, source, from, to, strip);
    struct scan c = {.s = buf_str(&raw.b), .map = raw.map, .n = raw.b.len, .out = f, .open = how == LAY_OPEN, .table = how == LAY_TABLE};
    *f = (struct feed){.b = BUF_INIT(SIZE_MAX / 2)};
    if (c.table) {
        size_t head = line_end(&c, 0), end = head < c.n ? line_end(&c, head + 1) : head;
        c.n = head;
        scan(&c);
        for (size_t i = head; i < end; i++) /* md4c wants three dashes a column */
            for (int k = c.s[i] == '-' && c.s[i - 1] != '-' ? 3 : 1; k > 0; k--)
                put(f, c.s[i], c.map[i]);
        c.s += end;
        c.map += end;
        c.n = raw.b.len - end;
    }
    scan(&c);
    if (c.open)
        close_marks(&c);
    if (!f->map) { /* empty: the end still has a place */
        f->map = mem_array(1, sizeof *f->map);
        f->map[0] = to;
    }
    buf_finish(&raw.b);
    free(raw.map);
}

void feed_finish(struct feed *f)
{
    buf_finish(&f->b);
    free(f->map);
}
