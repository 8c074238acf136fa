/*
 * A regular expression as GBNF. The two are near enough that one pass does: groups, alternatives and repetitions stand as they are; atoms are
 * rewritten, because a quote or a backslash of the text is two characters inside a JSON string. What looks around, back or lazily
 * into the text has no place in a grammar and is refused.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/schema.h"
#include "base/mem.h"

#define MAX_RANGES 512
#define MAX_CP 0x10FFFFu

struct range {
    uint32_t lo, hi;
};

struct set {
    struct range r[MAX_RANGES];
    int n;
};

struct reading {
    const char *at;
    const char *why;
};

static void add(struct set *s, uint32_t lo, uint32_t hi, struct reading *p)
{
    if (s->n == MAX_RANGES)
        p->why = "a class with more than 512 ranges";
    else
        s->r[s->n++] = (struct range){lo, hi};
}

static bool has(const struct set *s, uint32_t c)
{
    for (int i = 0; i < s->n; i++)
        if (c >= s->r[i].lo && c <= s->r[i].hi)
            return true;
    return false;
}

static int by_lo(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static void turn(struct set *s, struct reading *p)
{
    struct set out = {.n = 0};
    uint32_t from = 0;
    qsort(s->r, (size_t)s->n, sizeof *s->r, by_lo);
    for (int i = 0; i < s->n; i++) {
        if (s->r[i].lo > from)
            add(&out, from, s->r[i].lo - 1, p);
        from = s->r[i].hi >= from ? s->r[i].hi + 1 : from;
    }
    if (from <= MAX_CP)
        add(&out, from, MAX_CP, p);
    *s = out;
}

static void put_class_char(struct buf *out, uint32_t c)
{
    buf_addf(out, c < 0x10000 ? "\\u%04X" : "\\U%08X", (unsigned)c);
}

/* The characters of a set as they stand in a JSON string. False: none of them can. */
static bool put_set(struct buf *out, const struct set *s)
{
    static const struct {
        unsigned char c, e;
    } escapes[] = {{'"', '"'}, {'\\', '\\'}, {'\n', 'n'}, {'\t', 't'}, {'\r', 'r'}, {'\f', 'f'}, {'\b', 'b'}};
    static const struct range plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7E}, {0xA0, 0xAC}, {0xAE, 0x61B}, {0x61D, 0x180D},
                                         {0x180F, 0x200D}, {0x2010, 0x2027}, {0x202F, 0x205F}, {0x2070, 0xD7FF}, {0xF900, 0xFDCF}, {0xFDF0, 0xFEFE},
                                         {0xFF00, 0xFFEF}, {0x10000, 0xDFFFF}}; /* NOT_PLAIN of schema.c */
    bool any = false, class = false;
    buf_addch(out, '(');
    for (int i = 0; i < s->n; i++)
        for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
            uint32_t lo = s->r[i].lo > plain[k].lo ? s->r[i].lo : plain[k].lo, hi = s->r[i].hi < plain[k].hi ? s->r[i].hi : plain[k].hi;
            if (lo > hi)
                continue;
            buf_addstr(out, class ? "" : "[");
            put_class_char(out, lo);
            if (hi > lo) {
                buf_addch(out, '-');
                put_class_char(out, hi);
            }
            class = any = true;
        }
    if (class)
        buf_addch(out, ']');
    for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++)
        if (has(s, escapes[k].c)) {
            buf_addf(out, "%s\"\\\\%s%c\"", any ? " | " : "", escapes[k].e == '"' || escapes[k].e == '\\' ? "\\" : "", escapes[k].e);
            any = true;
        }
    buf_addch(out, ')');
    return any;
}

static uint32_t hex(struct reading *p, int digits)
{
    char text[9] = {0};
    for (int i = 0; i < digits; i++, p->at++) {
        if (!*p->at || !strchr("0123456789abcdefABCDEF", *p->at)) {
            p->why = "an escape without its hexadecimal digits";
            return 0;
        }
        text[i] = *p->at;
    }
    return (uint32_t)strtoul(text, NULL, 16);
}

static uint32_t utf8_char(struct reading *p)
{
    unsigned char c = (unsigned char)*p->at++;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0; /* JSON that was read is UTF-8 */
    uint32_t v = more ? c & (0x3Fu >> more) : c;
    for (; more && *p->at; more--)
        v = v << 6 | ((unsigned char)*p->at++ & 0x3F);
    return v;
}

/* Behind a backslash: adds what it means. */
static void escape(struct reading *p, struct set *s)
{
    static const struct range digit[] = {{'0', '9'}}, word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, space[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
    struct set named = {.n = 0};
    char c = *p->at ? *p->at++ : 0;
    const struct range *r = strchr("dD", c) ? digit : strchr("wW", c) ? word : strchr("sS", c) ? space : NULL;
    if (c && r) {
        size_t n = r == digit ? 1 : r == word ? 4 : 3;
        for (size_t i = 0; i < n; i++)
            add(&named, r[i].lo, r[i].hi, p);
        if (c >= 'A' && c <= 'Z')
            turn(&named, p);
        for (int i = 0; i < named.n; i++)
            add(s, named.r[i].lo, named.r[i].hi, p);
        return;
    }
    uint32_t v;
    switch (c) {
    case 'n':
        v = '\n';
        break;
    case 't':
        v = '\t';
        break;
    case 'r':
        v = '\r';
        break;
    case 'f':
        v = '\f';
        break;
    case 'x':
        v = hex(p, 2);
        break;
    case 'u':
        v = hex(p, 4);
        break;
    default:
        if (!c || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
            p->why = "an escape that stands for more than a character";
        v = (unsigned char)c;
        break;
    }
    add(s, v, v, p);
}

static void bracket(struct reading *p, struct set *s)
{
    bool not = *p->at == '^';
    p->at += not;
    while (!p->why && *p->at != ']') {
        if (!*p->at) {
            p->why = "a class that does not end";
            return;
        }
        int before = s->n;
        if (*p->at == '\\') {
            p->at++;
            escape(p, s);
        } else {
            uint32_t c = utf8_char(p);
            add(s, c, c, p);
        }
        if (p->why || s->n != before + 1 || s->r[before].lo != s->r[before].hi || p->at[0] != '-' || p->at[1] == ']' || !p->at[1])
            continue;
        struct set to = {.n = 0};
        p->at++;
        if (*p->at == '\\') {
            p->at++;
            escape(p, &to);
        } else {
            uint32_t c = utf8_char(p);
            add(&to, c, c, p);
        }
        if (to.n != 1 || to.r[0].lo != to.r[0].hi || to.r[0].lo < s->r[before].lo)
            p->why = "a range of a class that is none";
        else
            s->r[before].hi = to.r[0].lo;
    }
    p->at++;
    if (not)
        turn(s, p);
}

/* {m}, {m,}, {m,n} as it is; false: it is none (a brace that stands for itself). */
static bool counts(struct reading *p, struct buf *out)
{
    const char *q = p->at + 1;
    size_t low = strspn(q, "0123456789"), high = 0;
    bool comma = q[low] == ',';
    high = comma ? strspn(q + low + 1, "0123456789") : 0;
    const char *end = q + low + comma + high;
    if (!low || *end != '}')
        return false;
    buf_add(out, p->at, (size_t)(end + 1 - p->at));
    p->at = end + 1;
    return true;
}

static void repetition(struct reading *p, struct buf *out)
{
    if (*p->at == '{') {
        if (!counts(p, out))
            return;
    } else if (*p->at && strchr("*+?", *p->at)) {
        buf_addch(out, *p->at++);
    } else {
        return;
    }
    if (*p->at == '?') /* lazy: the same texts */
        p->at++;
    if (*p->at && strchr("*+?", *p->at))
        p->why = "a repetition of a repetition";
}

/* Is there an alternative outside all groups? */
static bool splits(const char *s)
{
    int depth = 0;
    for (bool in = false; *s; s++) {
        if (*s == '\\' && s[1])
            s++;
        else if (*s == '[' || *s == ']')
            in = *s == '[';
        else if (!in)
            depth += *s == '(' ? 1 : *s == ')' ? -1 : 0;
        if (*s == '|' && !in && depth == 0)
            return true;
    }
    return false;
}

bool schema_pattern(const char *pattern, struct buf *out, const char **why)
{
    struct reading p = {pattern, NULL};
    size_t n = strlen(pattern), slashes = 0;
    while (n > 1 && slashes < n - 1 && pattern[n - 2 - slashes] == '\\')
        slashes++;
    bool from = pattern[0] == '^', to = n && pattern[n - 1] == '$' && slashes % 2 == 0;
    int depth = 0;
    if ((from || to) && splits(pattern)) {
        *why = "an anchor beside an alternative (put the alternatives into a group)";
        return false;
    }
    p.at += from;
    const char *end = pattern + n - (to && n > (size_t)from);
    buf_addstr(out, from ? "(" : "char* (");
    while (p.at < end && !p.why) {
        struct set s = {.n = 0};
        char c = *p.at;
        buf_addch(out, ' ');
        if (c == '(') {
            p.at++;
            if (p.at[0] == '?' && p.at[1] == ':')
                p.at += 2;
            else if (*p.at == '?')
                p.why = "a group that looks around or has a name";
            buf_addch(out, '(');
            depth++;
            continue;
        }
        if (c == ')' || c == '|') {
            p.at++;
            buf_addstr(out, c == '|' ? "|" : ")");
            depth -= c == ')';
            if (depth < 0)
                p.why = "a parenthesis that closes nothing";
            if (c == ')')
                repetition(&p, out);
            continue;
        }
        if (c == '^' || c == '$') {
            p.why = "an anchor in the middle";
        } else if (strchr("*+?", c)) {
            p.why = "a repetition of nothing";
        } else if (c == '[') {
            p.at++;
            bracket(&p, &s);
        } else if (c == '\\') {
            p.at++;
            escape(&p, &s);
        } else if (c == '.') {
            p.at++;
            add(&s, '\n', '\n', &p);
            turn(&s, &p);
        } else {
            uint32_t v = utf8_char(&p);
            add(&s, v, v, &p);
        }
        if (!p.why && !put_set(out, &s))
            p.why = "a character that is not used in JSON";
        if (!p.why)
            repetition(&p, out);
    }
    if (!p.why && depth)
        p.why = "a parenthesis that is not closed";
    buf_addstr(out, to ? ")" : ") char*");
    *why = p.why;
    return !p.why;
}
