/*
 * GBNF to a graph over bytes. One pass over the text, with a stack of open groups instead of recursion. Every piece of the graph has one
 * entry and one way out (a GN_STEP without next) and lies in one stretch of the node array, so that a repetition copies it by
 * copying nodes. A class with characters beyond ASCII becomes a rule of its own over the bytes of UTF-8; the same class is made once.
 *
 * Then: every rule that is used is defined, none calls itself before it has taken a byte, and `least` is known for every node. A
 * node that never comes to an end is passed over by the matcher, so that every text it has taken can be finished.
 */
#include "config.h"
#include "model/grammar_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_TEXT (16u << 20)
#define MAX_NODES (1 << 20)
#define MAX_RULES (1 << 16)
#define MAX_DEPTH 256       /* groups in groups */
#define MAX_REPEAT 100000
#define MAX_RANGES 4096     /* of one class */
#define MAX_CP 0x10FFFF

struct piece {
    int32_t from, entry, exit; /* nodes [from, where it ended) */
};

/* An open group, or the body of a rule. */
struct level {
    int32_t from, join;  /* its first node; where its alternatives meet */
    int32_t alts;        /* entry of the finished alternatives, or -1 */
    int32_t entry, exit; /* of the alternative that is being read */
    struct piece last;   /* what a repetition mark would repeat; entry -1: nothing */
    size_t at;           /* of its parenthesis */
};

struct range {
    uint32_t lo, hi;
};

struct class_rule {
    uint64_t hash;
    struct range *r;
    int n;
    int32_t rule;
};

struct parser {
    struct grammar *g;
    const char *s, *at, *end;
    struct level level[MAX_DEPTH];
    int depth;
    struct range *ranges;
    int n_ranges;
    struct class_rule *classes;
    int n_classes;
    int32_t *index; /* hash table of rule names: index into rule, or -1 */
    uint32_t n_index;
    struct err *err;
    int rc;
};

/* ---- errors ---- */

static int fail_at(struct parser *p, size_t at, const char *what, const char *name)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column += ((unsigned char)p->s[i] & 0xC0) != 0x80;
        if (p->s[i] == '\n') {
            line++;
            column = 1;
        }
    }
    if (!p->rc)
        p->rc = err_set(p->err, ERR_INPUT, "line %zu, column %zu: %s%s%.60s%s", line, column, what, name ? " '" : "", name ? name : "", name ? "'" : "");
    return p->rc;
}

static int fail(struct parser *p, const char *what)
{
    return fail_at(p, (size_t)(p->at - p->s), what, NULL);
}

/* ---- the graph ---- */

static int32_t add_node(struct parser *p, enum gnode_type type, int32_t next, int32_t alt)
{
    struct grammar *g = p->g;
    if (g->n_node >= MAX_NODES) {
        fail(p, "the grammar is too large (more than 1048576 states)");
        return 0;
    }
    if (g->n_node == g->cap_node) {
        g->cap_node = g->cap_node ? g->cap_node * 2 : 64;
        g->node = mem_grow(g->node, (size_t)g->cap_node, sizeof *g->node);
    }
    g->node[g->n_node] = (struct gnode){type, next, alt};
    return g->n_node++;
}

static int32_t add_set(struct parser *p, const struct gset *set)
{
    struct grammar *g = p->g;
    for (int32_t i = g->n_set; i-- > 0 && i > g->n_set - 512;)
        if (!memcmp(&g->set[i], set, sizeof *set))
            return i;
    if ((g->n_set & (g->n_set - 1)) == 0)
        g->set = mem_grow(g->set, g->n_set ? (size_t)g->n_set * 2 : 1, sizeof *set);
    g->set[g->n_set] = *set;
    return g->n_set++;
}

static int32_t add_bytes(struct parser *p, unsigned lo, unsigned hi)
{
    struct gset set = {{0}};
    for (unsigned c = lo; c <= hi; c++)
        set.bits[c >> 6] |= (uint64_t)1 << (c & 63);
    return add_node(p, GN_BYTES, -1, add_set(p, &set));
}

static struct piece one_node(struct parser *p, enum gnode_type type, int32_t alt)
{
    int32_t from = p->g->n_node, entry = add_node(p, type, -1, alt), exit = add_node(p, GN_STEP, -1, -1);
    p->g->node[entry].next = exit;
    return (struct piece){from, entry, exit};
}

/* A copy of nodes [from, to) that hang together by themselves; the exit leads nowhere yet. */
static struct piece copy(struct parser *p, struct piece a, int32_t to)
{
    int32_t d = p->g->n_node - a.from;
    for (int32_t i = a.from; i < to && !p->rc; i++) {
        struct gnode n = p->g->node[i];
        n.next += n.next >= a.from && n.next < to ? d : 0;
        n.alt += n.type == GN_SPLIT && n.alt >= a.from && n.alt < to ? d : 0;
        if (i == a.exit)
            n.next = -1;
        add_node(p, n.type, n.next, n.alt);
    }
    if (p->rc)
        return a;
    return (struct piece){a.from + d, a.entry + d, a.exit + d};
}

/* a{min,max}; max -1: no end. The first copy is the original. */
static struct piece repeat(struct parser *p, struct piece a, int min, int max)
{
    struct gnode *n;
    int32_t to = p->g->n_node, end, entry = add_node(p, GN_STEP, -1, -1), exit = entry;
    struct piece last = a;
    end = add_node(p, GN_STEP, -1, -1);
    int copies = max < 0 ? (min > 1 ? min : 1) : max;
    for (int i = 0; i < copies && !p->rc; i++) {
        if (i)
            last = copy(p, a, to);
        int32_t in = i < min ? last.entry : add_node(p, GN_SPLIT, last.entry, end);
        if (p->rc)
            break;
        p->g->node[exit].next = in;
        exit = last.exit;
        if (max < 0 && i == copies - 1) { /* the last one again and again */
            int32_t again = i < min ? add_node(p, GN_SPLIT, last.entry, end) : in;
            p->g->node[exit].next = again;
            return (struct piece){a.from, entry, end};
        }
    }
    n = p->g->node;
    if (!p->rc)
        n[exit].next = end;
    return (struct piece){a.from, entry, end};
}

/* ---- groups and sequences ---- */

static void take_last(struct parser *p, struct level *l)
{
    if (l->last.entry < 0)
        return;
    p->g->node[l->exit].next = l->last.entry;
    l->exit = l->last.exit;
    l->last.entry = -1;
}

static void add_piece(struct parser *p, struct piece a)
{
    struct level *l = &p->level[p->depth - 1];
    take_last(p, l);
    l->last = a;
}

static void begin_alternative(struct parser *p, struct level *l)
{
    l->entry = l->exit = add_node(p, GN_STEP, -1, -1);
    l->last.entry = -1;
}

static void end_alternative(struct parser *p, struct level *l)
{
    take_last(p, l);
    p->g->node[l->exit].next = l->join;
    l->alts = l->alts < 0 ? l->entry : add_node(p, GN_SPLIT, l->alts, l->entry);
}

static int begin_group(struct parser *p)
{
    if (p->depth == MAX_DEPTH)
        return fail(p, "more than 256 groups are in one another");
    struct level *l = &p->level[p->depth++];
    *l = (struct level){.from = p->g->n_node, .join = add_node(p, GN_STEP, -1, -1), .alts = -1, .at = (size_t)(p->at - p->s)};
    begin_alternative(p, l);
    return p->rc;
}

static struct piece end_group(struct parser *p)
{
    struct level *l = &p->level[--p->depth];
    end_alternative(p, l);
    return (struct piece){l->from, l->alts, l->join};
}

/* ---- rules ---- */

static uint32_t hash_bytes(const void *data, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 16777619u;
    return h;
}

static int32_t add_rule(struct parser *p, const char *name, size_t n)
{
    struct grammar *g = p->g;
    if (g->n_rule >= MAX_RULES) {
        fail(p, "the grammar has more than 65536 rules");
        return 0;
    }
    if ((g->n_rule & (g->n_rule - 1)) == 0)
        g->rule = mem_grow(g->rule, g->n_rule ? (size_t)g->n_rule * 2 : 1, sizeof *g->rule);
    g->rule[g->n_rule] = (struct grule){.name = mem_strndup(name, n), .entry = -1, .first_use = (size_t)(p->at - p->s)};
    return g->n_rule++;
}

/* The rule of this name, new if need be. */
static int32_t find_rule(struct parser *p, const char *name, size_t n)
{
    struct grammar *g = p->g;
    if ((uint32_t)g->n_rule * 2 >= p->n_index) {
        p->n_index = p->n_index ? p->n_index * 2 : 64;
        free(p->index);
        p->index = mem_array(p->n_index, sizeof *p->index);
        memset(p->index, -1, p->n_index * sizeof *p->index);
        for (int32_t i = 0; i < g->n_rule; i++) {
            uint32_t h = hash_bytes(g->rule[i].name, strlen(g->rule[i].name)) & (p->n_index - 1);
            while (p->index[h] >= 0)
                h = (h + 1) & (p->n_index - 1);
            p->index[h] = i;
        }
    }
    uint32_t h = hash_bytes(name, n) & (p->n_index - 1);
    for (; p->index[h] >= 0; h = (h + 1) & (p->n_index - 1)) {
        const char *s = g->rule[p->index[h]].name;
        if (strlen(s) == n && !memcmp(s, name, n))
            return p->index[h];
    }
    int32_t i = add_rule(p, name, n);
    if (!p->rc)
        p->index[h] = i;
    return i;
}

/* ---- classes ---- */

static void add_range(struct parser *p, uint32_t lo, uint32_t hi)
{
    if (p->n_ranges >= MAX_RANGES) {
        fail(p, "the class has more than 4096 ranges");
        return;
    }
    p->ranges[p->n_ranges++] = (struct range){lo, hi};
}

static int by_lo(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorts, joins what touches, turns round when `not`. */
static void settle_ranges(struct parser *p, bool not)
{
    struct range *r = p->ranges;
    int n = 0;
    qsort(r, (size_t)p->n_ranges, sizeof *r, by_lo);
    for (int i = 0; i < p->n_ranges; i++) {
        if (n && r[i].lo <= r[n - 1].hi + 1)
            r[n - 1].hi = r[i].hi > r[n - 1].hi ? r[i].hi : r[n - 1].hi;
        else
            r[n++] = r[i];
    }
    p->n_ranges = n;
    if (!not)
        return;
    uint32_t from = 0;
    int out = 0;
    struct range *turned = mem_array((size_t)n + 1, sizeof *turned);
    for (int i = 0; i < n; i++) {
        if (r[i].lo > from)
            turned[out++] = (struct range){from, r[i].lo - 1};
        from = r[i].hi + 1;
    }
    if (from <= MAX_CP)
        turned[out++] = (struct range){from, MAX_CP};
    memcpy(r, turned, (size_t)out * sizeof *r);
    p->n_ranges = out;
    free(turned);
}

static int utf8_of(uint32_t c, unsigned char out[4])
{
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char head[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
    out[0] = (unsigned char)(head[n] | c);
    return n;
}

/* One more way through the open group: bytes lo[i] to hi[i]. */
static void byte_ranges(struct parser *p, const unsigned char *lo, const unsigned char *hi, int n)
{
    struct level *l = &p->level[p->depth - 1];
    if (l->exit != l->entry) {
        end_alternative(p, l);
        begin_alternative(p, l);
    }
    for (int i = 0; i < n && !p->rc; i++) {
        int32_t b = add_bytes(p, lo[i], hi[i]);
        p->g->node[l->exit].next = b;
        l->exit = b;
    }
}

/*
 * Code points lo to hi of one length in UTF-8, as byte ranges: cut until all bytes behind the first that differs run from 80 to BF.
 */
static void one_length(struct parser *p, uint32_t lo, uint32_t hi)
{
    while (lo <= hi && !p->rc) {
        uint32_t stop = hi;
        unsigned char a[4], b[4];
        for (int bits = 6; bits < 24; bits += 6) { /* the largest stretch from lo that is one byte range a place */
            uint32_t mask = ((uint32_t)1 << bits) - 1;
            if ((lo & ~mask) == (stop & ~mask))
                break;
            if (lo & mask) {
                stop = lo | mask;
                break;
            }
            if ((stop & mask) != mask)
                stop = (stop & ~mask) - 1;
        }
        int n = utf8_of(lo, a);
        utf8_of(stop, b);
        byte_ranges(p, a, b, n);
        lo = stop + 1;
    }
}

static void code_points(struct parser *p, uint32_t lo, uint32_t hi)
{
    static const struct range parts[] = {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, MAX_CP}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint32_t a = lo > parts[i].lo ? lo : parts[i].lo, b = hi < parts[i].hi ? hi : parts[i].hi;
        if (a <= b && i > 0) /* ASCII has a set of its own */
            one_length(p, a, b);
    }
}

/* The class in p->ranges, settled. */
static struct piece class_piece(struct parser *p)
{
    struct gset ascii = {{0}};
    const struct range *r = p->ranges;
    int n = p->n_ranges;
    for (int i = 0; i < n; i++)
        for (uint32_t c = r[i].lo; c <= r[i].hi && c < 0x80; c++)
            ascii.bits[c >> 6] |= (uint64_t)1 << (c & 63);
    if (!n || r[n - 1].hi < 0x80)
        return one_node(p, GN_BYTES, add_set(p, &ascii));
    uint32_t hash = hash_bytes(r, (size_t)n * sizeof *r);
    for (int i = 0; i < p->n_classes; i++)
        if (p->classes[i].hash == hash && p->classes[i].n == n && !memcmp(p->classes[i].r, r, (size_t)n * sizeof *r))
            return one_node(p, GN_CALL, p->classes[i].rule);
    int32_t rule = add_rule(p, "[]", 2);
    if (begin_group(p))
        return (struct piece){0, 0, 0};
    struct level *l = &p->level[p->depth - 1];
    if (ascii.bits[0] | ascii.bits[1]) {
        int32_t b = add_node(p, GN_BYTES, -1, add_set(p, &ascii));
        p->g->node[l->exit].next = b;
        l->exit = b;
    }
    for (int i = 0; i < n; i++)
        code_points(p, r[i].lo, r[i].hi);
    if (l->exit == l->entry)
        fail(p, "the class holds no character");
    struct piece a = end_group(p);
    int32_t ret = add_node(p, GN_RET, -1, -1);
    if (p->rc)
        return a;
    p->g->node[a.exit].next = ret;
    p->g->rule[rule].entry = a.entry;
    if ((p->n_classes & (p->n_classes - 1)) == 0)
        p->classes = mem_grow(p->classes, p->n_classes ? (size_t)p->n_classes * 2 : 1, sizeof *p->classes);
    struct range *kept = mem_array((size_t)n, sizeof *kept);
    memcpy(kept, r, (size_t)n * sizeof *r);
    p->classes[p->n_classes++] = (struct class_rule){hash, kept, n, rule};
    return one_node(p, GN_CALL, rule);
}

/* ---- reading ---- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* White space and comments; line ends only where they do not end a rule. */
static void skip_space(struct parser *p, bool lines)
{
    while (p->at < p->end) {
        if (*p->at == '#')
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        else if (*p->at == ' ' || *p->at == '\t' || *p->at == '\r' || (lines && *p->at == '\n'))
            p->at++;
        else
            return;
    }
}

static uint32_t read_hex(struct parser *p, int digits)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        char c = p->at < p->end ? *p->at : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) {
            fail(p, "an escape lacks hexadecimal digits");
            return 0;
        }
        v = v * 16 + (uint32_t)d;
    }
    if (v > MAX_CP || (v >= 0xD800 && v < 0xE000))
        fail(p, "an escape is no character");
    return v;
}

/* One character of a literal or class. */
static uint32_t read_char(struct parser *p)
{
    unsigned char c = (unsigned char)*p->at++;
    if (c == '\\') {
        char e = p->at < p->end ? *p->at++ : 0;
        switch (e) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'x':
            return read_hex(p, 2);
        case 'u':
            return read_hex(p, 4);
        case 'U':
            return read_hex(p, 8);
        case '\\':
        case '"':
        case '[':
        case ']':
        case '-':
        case '^':
            return (unsigned char)e;
        default:
            p->at--;
            fail(p, "an unknown escape");
            return 0;
        }
    }
    if (c < 0x80)
        return c;
    int more = c >= 0xF0 && c < 0xF5 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC2 && c < 0xE0 ? 1 : 0;
    uint32_t v = c & (0x3F >> more);
    for (int i = 0; i < more; i++, p->at++) {
        if (p->at >= p->end || ((unsigned char)*p->at & 0xC0) != 0x80) {
            more = 0;
            break;
        }
        v = v << 6 | ((unsigned char)*p->at & 0x3F);
    }
    if (!more || v > MAX_CP || (v >= 0xD800 && v < 0xE000) || (more == 2 && v < 0x800) || (more == 3 && v < 0x10000))
        fail(p, "this is not UTF-8");
    return v;
}

static void read_literal(struct parser *p)
{
    struct piece a = {p->g->n_node, 0, 0};
    a.entry = a.exit = add_node(p, GN_STEP, -1, -1);
    size_t from = (size_t)(p->at - p->s);
    for (p->at++; !p->rc;) {
        if (p->at >= p->end || *p->at == '\n') {
            fail_at(p, from, "the quotes of a literal do not end", NULL);
            return;
        }
        if (*p->at == '"')
            break;
        unsigned char b[4];
        int n = utf8_of(read_char(p), b); /* \xE9 is the character U+00E9, as in classes */
        for (int i = 0; i < n && !p->rc; i++) {
            int32_t x = add_bytes(p, b[i], b[i]);
            p->g->node[a.exit].next = x;
            a.exit = x;
        }
    }
    p->at++;
    int32_t exit = add_node(p, GN_STEP, -1, -1);
    p->g->node[a.exit].next = exit;
    a.exit = exit;
    add_piece(p, a);
}

static void read_class(struct parser *p)
{
    size_t from = (size_t)(p->at - p->s);
    p->at++;
    bool not = p->at < p->end && *p->at == '^';
    p->at += not;
    p->n_ranges = 0;
    while (!p->rc) {
        if (p->at >= p->end || *p->at == '\n') {
            fail_at(p, from, "the bracket of a class does not end", NULL);
            return;
        }
        if (*p->at == ']')
            break;
        uint32_t lo = read_char(p), hi = lo;
        if (!p->rc && p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']' && p->at[1] != '\n') {
            p->at++;
            hi = read_char(p);
            if (!p->rc && hi < lo)
                fail(p, "a range of a class runs backwards");
        }
        add_range(p, lo, hi);
    }
    if (p->rc)
        return;
    p->at++;
    settle_ranges(p, not);
    if (!p->n_ranges)
        fail_at(p, from, "the class holds no character", NULL);
    else
        add_piece(p, class_piece(p));
}

static bool read_count(struct parser *p, int *out)
{
    int v = 0;
    const char *from = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        v = v > MAX_REPEAT ? v : v * 10 + *p->at - '0';
    *out = v;
    return p->at > from;
}

static void read_repetition(struct parser *p)
{
    struct level *l = &p->level[p->depth - 1];
    int min = 0, max = -1;
    if (l->last.entry < 0) {
        fail(p, "a repetition mark has nothing in front of it");
        return;
    }
    char c = *p->at++;
    if (c == '+')
        min = 1;
    if (c == '?')
        max = 1;
    if (c == '{') {
        skip_space(p, false);
        bool low = read_count(p, &min), comma;
        skip_space(p, false);
        comma = p->at < p->end && *p->at == ',';
        p->at += comma;
        skip_space(p, false);
        bool high = comma && read_count(p, &max);
        skip_space(p, false);
        if (p->at >= p->end || *p->at != '}' || (!low && !high)) {
            fail(p, "a repetition is {m}, {m,} or {m,n}");
            return;
        }
        max = !comma ? min : high ? max : -1;
        if (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && max < min)) {
            fail(p, max >= 0 && max < min ? "a repetition's numbers run backwards" : "a repetition has more than 100000 times");
            return;
        }
        p->at++;
    }
    if (max == 0) { /* nothing */
        int32_t e = add_node(p, GN_STEP, -1, -1);
        l->last = (struct piece){l->last.from, e, e};
        return;
    }
    l->last = repeat(p, l->last, min, max);
}

/* Does a rule begin here: name, then "::="? */
static bool rule_begins(const struct parser *p)
{
    const char *q = p->at;
    while (q < p->end && is_name(*q))
        q++;
    if (q == p->at)
        return false;
    while (q < p->end && (*q == ' ' || *q == '\t'))
        q++;
    return p->end - q >= 3 && !memcmp(q, "::=", 3);
}

static void read_piece(struct parser *p)
{
    const char *name = p->at;
    switch (*p->at) {
    case '"':
        read_literal(p);
        return;
    case '[':
        read_class(p);
        return;
    case '.':
        p->at++;
        p->n_ranges = 0;
        add_range(p, 0, MAX_CP);
        add_piece(p, class_piece(p));
        return;
    case '(':
        begin_group(p);
        p->at++;
        return;
    case ')': {
        if (p->depth < 2) {
            fail(p, "a closing parenthesis that none opens");
            return;
        }
        struct piece a = end_group(p);
        p->at++;
        add_piece(p, a);
        return;
    }
    case '|':
        end_alternative(p, &p->level[p->depth - 1]);
        begin_alternative(p, &p->level[p->depth - 1]);
        p->at++;
        skip_space(p, true);
        return;
    case '*':
    case '+':
    case '?':
    case '{':
        read_repetition(p);
        return;
    default:
        break;
    }
    if (!is_name(*p->at)) {
        fail(p, "neither a literal, a class, a rule nor a group");
        return;
    }
    while (p->at < p->end && is_name(*p->at))
        p->at++;
    size_t n = (size_t)(p->at - name);
    p->at = name;
    int32_t rule = find_rule(p, name, n);
    p->at += n;
    add_piece(p, one_node(p, GN_CALL, rule));
}

static void read_rule(struct parser *p)
{
    const char *name = p->at;
    if (!rule_begins(p)) {
        fail(p, "a rule begins with its name and ::=");
        return;
    }
    while (is_name(*p->at))
        p->at++;
    size_t n = (size_t)(p->at - name);
    p->at = name;
    int32_t rule = find_rule(p, name, n);
    if (!p->rc && p->g->rule[rule].entry >= 0)
        fail_at(p, (size_t)(name - p->s), "a second rule of the name", p->g->rule[rule].name);
    p->at += n;
    skip_space(p, false);
    p->at += 3;
    skip_space(p, true);
    begin_group(p);
    while (!p->rc) {
        skip_space(p, p->depth > 1);
        if (p->at >= p->end)
            break;
        if (*p->at == '\n') {
            /* a rule ends with its line, unless the next one goes on with | */
            const char *line = p->at;
            skip_space(p, true);
            if (p->at < p->end && *p->at == '|')
                continue;
            if (p->at < p->end && !rule_begins(p))
                fail(p, "a rule begins with its name and ::=");
            p->at = line;
            break;
        }
        read_piece(p);
    }
    if (p->rc)
        return;
    if (p->depth > 1) {
        fail_at(p, p->level[p->depth - 1].at, "the parenthesis is not closed", NULL);
        return;
    }
    struct piece a = end_group(p);
    int32_t ret = add_node(p, GN_RET, -1, -1);
    p->g->node[a.exit].next = ret;
    p->g->rule[rule].entry = a.entry;
}

/* ---- checks of the whole ---- */

static uint32_t plus(uint32_t a, uint32_t b)
{
    return a == GRAMMAR_NEVER || b == GRAMMAR_NEVER || a > GRAMMAR_NEVER - 1 - b ? GRAMMAR_NEVER : a + b;
}

/* From the ends backwards, until nothing gets shorter. */
static void find_least(struct grammar *g)
{
    g->least = mem_alloc(((size_t)g->n_node + 1) * sizeof *g->least);
    memset(g->least, -1, ((size_t)g->n_node + 1) * sizeof *g->least);
    for (bool again = true; again;) {
        again = false;
        for (int32_t i = g->n_node; i-- > 0;) {
            const struct gnode *n = &g->node[i];
            uint32_t next = n->next >= 0 ? g->least[n->next] : GRAMMAR_NEVER, v = next;
            if (n->type == GN_RET)
                v = 0;
            else if (n->type == GN_BYTES)
                v = plus(next, 1);
            else if (n->type == GN_CALL)
                v = plus(next, g->least[g->rule[n->alt].entry]);
            else if (n->type == GN_SPLIT)
                v = g->least[n->alt] < next ? g->least[n->alt] : next;
            if (v < g->least[i]) {
                g->least[i] = v;
                again = true;
            }
        }
    }
}

/* Rules in the order of a search: 0 not seen, 1 open, 2 done. Finds one that calls itself before a byte is taken. */
static int32_t left_recursion(const struct grammar *g)
{
    unsigned char *state = mem_array((size_t)g->n_rule, 1);
    int32_t *open = mem_array((size_t)g->n_rule, sizeof *open), found = -1; /* rules on the way */
    int32_t *todo = NULL, n_todo = 0, cap = 0;                              /* nodes to look at; -1 ends a rule */
    int32_t *seen = mem_array((size_t)g->n_node + 1, sizeof *seen);         /* node: rule + 1 that looked at it last */
    int n_open = 0;
#define PUSH(x)                                                   \
    do {                                                          \
        if (n_todo + 4 > cap)                                     \
            todo = mem_grow(todo, (size_t)(cap = cap * 2 + 64), sizeof *todo); \
        todo[n_todo++] = (x);                                     \
    } while (0)
    for (int32_t r = 0; r < g->n_rule && found < 0; r++) {
        if (state[r])
            continue;
        state[r] = 1;
        open[n_open++] = r;
        PUSH(-1);
        PUSH(g->rule[r].entry);
        while (n_open && found < 0) {
            int32_t i = todo[--n_todo], rule = open[n_open - 1];
            if (i < 0) {
                state[rule] = 2;
                n_open--;
                continue;
            }
            const struct gnode *n = &g->node[i];
            if (seen[i] == rule + 1 || n->type == GN_BYTES || n->type == GN_RET)
                continue;
            seen[i] = rule + 1;
            bool through = n->type != GN_CALL || g->least[g->rule[n->alt].entry] == 0;
            if (through && n->next >= 0)
                PUSH(n->next);
            if (n->type == GN_SPLIT)
                PUSH(n->alt);
            if (n->type == GN_CALL && state[n->alt] == 1)
                found = n->alt;
            if (n->type == GN_CALL && state[n->alt] == 0) {
                state[n->alt] = 1;
                open[n_open++] = n->alt;
                PUSH(-1);
                PUSH(g->rule[n->alt].entry);
            }
        }
    }
#undef PUSH
    free(state);
    free(open);
    free(todo);
    free(seen);
    return found;
}

static int check(struct parser *p)
{
    struct grammar *g = p->g;
    for (int32_t i = 0; i < g->n_rule; i++)
        if (g->rule[i].entry < 0)
            return fail_at(p, g->rule[i].first_use, "there is no rule", g->rule[i].name);
    find_least(g);
    int32_t left = left_recursion(g);
    if (left >= 0)
        return fail_at(p, g->rule[left].first_use, "the rule calls itself before it has taken a character:", g->rule[left].name);
    if (g->least[g->rule[g->root].entry] == GRAMMAR_NEVER)
        return fail_at(p, g->rule[g->root].first_use, "no text satisfies this grammar: it never ends", NULL);
    return 0;
}

int grammar_parse(const char *text, size_t n, struct grammar **out, struct err *err)
{
    if (n > MAX_TEXT)
        return err_set(err, ERR_INPUT, "the grammar is longer than %u MiB", MAX_TEXT >> 20);
    struct parser *p = mem_zalloc(sizeof *p);
    p->g = mem_zalloc(sizeof *p->g);
    p->s = p->at = text;
    p->end = text + n;
    p->ranges = mem_array(MAX_RANGES + 1, sizeof *p->ranges);
    p->err = err;
    const char *nul = memchr(text, 0, n);
    if (nul)
        fail_at(p, (size_t)(nul - text), "a NUL byte", NULL);
    for (skip_space(p, true); p->at < p->end && !p->rc; skip_space(p, true))
        read_rule(p);
    if (!p->rc) {
        p->at = p->end;
        p->g->root = find_rule(p, "root", 4);
        if (p->g->rule[p->g->root].entry < 0)
            fail_at(p, n, "there is no rule", "root");
    }
    int rc = p->rc ? p->rc : check(p);
    if (rc)
        grammar_free(p->g);
    else
        *out = p->g;
    for (int i = 0; i < p->n_classes; i++)
        free(p->classes[i].r);
    free(p->classes);
    free(p->index);
    free(p->ranges);
    free(p);
    return rc;
}

void grammar_free(struct grammar *g)
{
    if (!g)
        return;
    for (int32_t i = 0; i < g->n_rule; i++)
        free(g->rule[i].name);
    free(g->rule);
    free(g->node);
    free(g->set);
    free(g->least);
    free(g);
}
