/*
 * Texts in templates: case, search, cutting, and the methods of strings. Positions that a template sees count characters (a byte that is
 * not UTF-8 counts as one); inside they are bytes. Parts share the bytes of the whole; whatever is made new goes through
 * the output buffer, where each byte keeps its tag.
 */
#include "config.h"

#include "model/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

bool arg_str(struct rt *rt, struct value v, struct vstr **out)
{
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (v.kind != VAL_STR)
        return rt_fail(rt, "expected a string, got %s", op_a(v));
    *out = v.s;
    return true;
}

bool arg_int(struct rt *rt, struct value v, int64_t missing, int64_t *out)
{
    *out = missing;
    return v.kind == VAL_ABSENT || v.kind == VAL_NONE || op_int(rt, v, out);
}

/* ---- safe texts ---- */

bool str_mark(struct rt *rt, bool safe, struct value *text)
{
    if (text->s->safe != safe) {
        text->s = vstr_sub(rt->vals, text->s, 0, text->s->n);
        text->s->safe = safe;
    }
    return true;
}

bool str_escape(struct rt *rt, struct vstr *s, struct vstr **out)
{
    static const char chars[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    size_t mark = rt->n, from = 0;
    for (size_t i = 0; i < s->n && !s->safe; i++) {
        const char *p = s->s[i] ? strchr(chars, s->s[i]) : NULL;
        if (!p)
            continue;
        const char *name = names[p - chars];
        if (!out_part(rt, s, from, i) || !out_bytes(rt, name, strlen(name), s->tag ? s->tag[i] : s->foreign))
            return false;
        from = i + 1;
    }
    struct value v = vstr_value(s);
    if (from && !(out_part(rt, s, from, s->n) && out_done(rt, mark, &v)))
        return false;
    str_mark(rt, true, &v);
    *out = v.s;
    return rt_spend(rt, COST_FIND(s->n));
}

/* What a method of `self` mixes in: a safe text escapes it. */
static bool arg_mixed(struct rt *rt, struct value v, const struct vstr *self, struct vstr **out)
{
    return arg_str(rt, v, out) && (!self->safe || str_escape(rt, *out, out));
}

/* ---- characters ---- */

bool str_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x1F);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static utf8proc_category_t category(uint32_t cp)
{
    return cp > 0x10FFFF ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)cp);
}

static bool is_upper(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_LU || (cp >= 0x2160 && cp <= 0x216F) || (cp >= 0x24B6 && cp <= 0x24CF);
}

static bool is_lower(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_LL || cp == 0xAA || cp == 0xBA || (cp >= 0x2170 && cp <= 0x217F) || (cp >= 0x24D0 && cp <= 0x24E9);
}

static bool is_cased(uint32_t cp)
{
    return is_upper(cp) || is_lower(cp) || category(cp) == UTF8PROC_CATEGORY_LT;
}

/* Signs that may stand inside a word without ending its run of letters. */
static bool case_ignorable(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_LM ||
           k == UTF8PROC_CATEGORY_SK || cp == '\'' || cp == '.' || cp == ':' || cp == 0xB7 || cp == 0x2018 || cp == 0x2019 || cp == 0x2024 ||
           cp == 0x2027;
}

enum { TO_UPPER, TO_LOWER, TO_TITLE };

/*
 * A character in another case: one to three. Characters that become several are those whose case folding is several; their upper
 * case is that of the folding.
 */
static int map_case(uint32_t cp, int to, uint32_t out[3])
{
    if (to == TO_LOWER) {
        out[0] = cp == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
        out[1] = 0x307;
        return cp == 0x130 ? 2 : 1;
    }
    utf8proc_int32_t fold[4], simple = to == TO_TITLE ? utf8proc_totitle((utf8proc_int32_t)cp) : utf8proc_toupper((utf8proc_int32_t)cp);
    utf8proc_ssize_t n = cp < 0x80 ? 1 : utf8proc_decompose_char((utf8proc_int32_t)cp, fold, 4, UTF8PROC_CASEFOLD, NULL);
    out[0] = (uint32_t)simple;
    if (n < 2 || n > 3 || category(cp) == UTF8PROC_CATEGORY_LU || (to == TO_TITLE && cp != 0xDF && (uint32_t)simple != cp))
        return 1;
    if (to == TO_TITLE && category(cp) == UTF8PROC_CATEGORY_LT)
        return 1;
    for (int i = 0; i < n; i++) {
        out[i] = (uint32_t)utf8proc_toupper(fold[i]);
        if (i && to == TO_TITLE && cp != 0x149) /* an iota goes below again */
            out[i] = fold[i] == 0x3B9 ? 0x345 : (uint32_t)fold[i];
    }
    return (int)n;
}

/* The character that ends before byte `at` (at > 0), and where it begins. */
static uint32_t char_before(const struct vstr *s, size_t at, size_t *from)
{
    size_t len;
    *from = at - 1;
    while (*from && at - *from < 4 && ((unsigned char)s->s[*from] & 0xC0) == 0x80)
        --*from;
    uint32_t cp = utf8_decode(s->s + *from, at - *from, &len);
    if (len == at - *from)
        return cp;
    *from = at - 1;
    return UTF8_BAD;
}

/* Whether a capital sigma at [at, end) ends its word: s and not S follows when it becomes small. */
static bool final_sigma(const struct vstr *s, size_t at, size_t end)
{
    uint32_t cp = 0;
    size_t len, from = at;
    while (from && case_ignorable(cp = char_before(s, from, &from)))
        cp = 0;
    if (!is_cased(cp))
        return false;
    for (cp = 0; end < s->n; end += len) {
        cp = utf8_decode(s->s + end, s->n - end, &len);
        if (!case_ignorable(cp))
            break;
        cp = 0;
    }
    return !is_cased(cp);
}

static bool foreign_at(const struct vstr *s, size_t i)
{
    return s->tag ? s->tag[i] : s->foreign;
}

/* Plain ASCII keeps its length, so that the tags can be shared. */
static bool ascii_case(struct rt *rt, struct vstr *s, bool upper, struct value *out)
{
    char *p = vals_alloc(rt->vals, s->n);
    if (!p)
        return rt_over(rt);
    for (size_t i = 0; i < s->n; i++) {
        char c = s->s[i];
        p[i] = upper ? (char)(c >= 'a' && c <= 'z' ? c - 32 : c) : (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    struct vstr *r = vstr_ref(rt->vals, p, s->n, s->foreign);
    r->tag = s->tag;
    r->chars = r->n;
    r->safe = s->safe;
    *out = vstr_value(r);
    return true;
}

bool str_case(struct rt *rt, struct vstr *s, enum str_case how, struct value *out)
{
    size_t mark = rt->n, len, word = 0;
    bool begin = true; /* of a word, for those that care */
    if (!rt_spend(rt, COST_CHARS(s->n)))
        return false;
    if (vstr_ascii(s) && (how == CASE_UPPER || how == CASE_LOWER))
        return ascii_case(rt, s, how == CASE_UPPER, out);
    for (size_t i = 0; i < s->n; i += len) {
        uint32_t cp = utf8_decode(s->s + i, s->n - i, &len), to[3];
        bool separator = str_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int)cp));
        if (cp >= UTF8_PART) {
            if (!out_part(rt, s, i, i + len))
                return false;
            begin = how == CASE_TITLE;
            continue;
        }
        int into = TO_LOWER;
        if (how == CASE_UPPER || (how == CASE_FILTER_TITLE && begin) || (how == CASE_SWAP && is_lower(cp)))
            into = TO_UPPER;
        else if (begin && (how == CASE_TITLE || how == CASE_CAPITAL))
            into = TO_TITLE;
        struct vstr part = *s; /* the filter looks at each word alone */
        part.n = s->n;
        if (how == CASE_FILTER_TITLE) {
            part.s = s->s + word;
            part.n = s->n - word;
        }
        int n = 1;
        if (how == CASE_SWAP && !is_lower(cp) && !is_upper(cp))
            to[0] = cp;
        else if (cp == 0x3A3 && into == TO_LOWER)
            to[0] = final_sigma(&part, i - (size_t)(part.s - s->s), i + len - (size_t)(part.s - s->s)) ? 0x3C2 : 0x3C3;
        else
            n = map_case(cp, into, to);
        begin = how == CASE_TITLE ? !is_cased(cp) : how == CASE_FILTER_TITLE && separator;
        if (how == CASE_FILTER_TITLE && separator)
            word = i + len;
        for (int k = 0; k < n; k++) {
            char u[4];
            if (!out_bytes(rt, u, utf8_encode(to[k], u), foreign_at(s, i)))
                return false;
        }
    }
    return out_done(rt, mark, out) && str_mark(rt, s->safe, out);
}

bool str_is(struct rt *rt, struct vstr *s, bool upper, bool *out)
{
    bool any = false, all = true;
    size_t len;
    for (size_t i = 0; i < s->n && all; i += len) {
        uint32_t cp = utf8_decode(s->s + i, s->n - i, &len);
        any = any || (upper ? is_upper(cp) : is_lower(cp));
        all = !is_cased(cp) || (upper ? is_upper(cp) : is_lower(cp));
    }
    *out = any && all;
    return rt_spend(rt, COST_CHARS(s->n));
}

/* ---- search ---- */

/* In pieces that grow: a sanitizer looks at all that memmem is given, which would make many finds in one text take quadratic time. */
size_t str_find(const char *s, size_t from, size_t to, const char *needle, size_t n)
{
    for (size_t piece = n + 256; to - from >= n; piece *= 2) {
        size_t len = to - from < piece ? to - from : piece;
        const char *p = n ? memmem(s + from, len, needle, n) : s + from;
        if (p)
            return (size_t)(p - s);
        if (len == to - from)
            break;
        from += len - n + 1;
    }
    return SIZE_MAX;
}

/* The last place of `needle` in s[from..to), or SIZE_MAX. */
static bool find_last(struct rt *rt, const char *s, size_t from, size_t to, const char *needle, size_t n, size_t *out)
{
    size_t i = to - from < n ? from : to - n + 1;
    *out = SIZE_MAX;
    while (i-- > from) {
        if (n && (s[i] != needle[0] || s[i + n - 1] != needle[n - 1]))
            continue;
        if (!rt_spend(rt, 1 + COST_MOVE(n)))
            return false;
        if (memcmp(s + i, needle, n) == 0) {
            *out = i;
            break;
        }
    }
    return rt_spend(rt, COST_FIND(to - (*out == SIZE_MAX ? from : *out)));
}

static struct value part(struct rt *rt, const struct vstr *s, size_t from, size_t to)
{
    return vstr_value(vstr_sub(rt->vals, s, from, to));
}

static bool push_part(struct rt *rt, struct vlist *l, const struct vstr *s, size_t from, size_t to)
{
    return op_push(rt, l, part(rt, s, from, to)) && (!vals_over(rt->vals) || rt_over(rt));
}

bool str_replace(struct rt *rt, struct vstr *s, struct vstr *old, struct vstr *with, int64_t count, struct value *out)
{
    size_t mark = rt->n, from = 0, at = 0;
    if (!rt_spend(rt, COST_FIND(s->n)))
        return false;
    if (old->n && (count == 0 || str_find(s->s, 0, s->n, old->s, old->n) == SIZE_MAX)) {
        *out = vstr_value(s);
        return true;
    }
    while (count-- != 0) {
        at = str_find(s->s, at, s->n, old->s, old->n);
        if (at == SIZE_MAX)
            break;
        if (!rt_spend(rt, 1) || !out_part(rt, s, from, at) || !out_str(rt, with))
            return false;
        from = at + old->n;
        if (old->n == 0) {
            if (at == s->n)
                break;
            at = op_next_char(s, at);
        } else {
            at = from;
        }
    }
    return out_part(rt, s, from, s->n) && out_done(rt, mark, out);
}

static bool in_set(const struct vstr *set, const char *c, size_t len)
{
    for (size_t i = 0; i < set->n;) {
        size_t end = op_next_char(set, i);
        if (end - i == len && memcmp(set->s + i, c, len) == 0)
            return true;
        i = end;
    }
    return false;
}

bool str_strip(struct rt *rt, struct vstr *s, struct vstr *chars, bool left, bool right, struct value *out)
{
    size_t from = 0, to = s->n, len, at, begin = to;
    while (left && from < to) {
        uint32_t cp = utf8_decode(s->s + from, to - from, &len);
        if (!rt_spend(rt, chars ? 1 + chars->n / 4 : 0))
            return false;
        if (chars ? !in_set(chars, s->s + from, len) : !str_space(cp))
            break;
        from += len;
    }
    begin = from;
    while (right && to > begin) {
        uint32_t cp = char_before(s, to, &at);
        if (!rt_spend(rt, chars ? 1 + chars->n / 4 : 0))
            return false;
        if (at < begin || (chars ? !in_set(chars, s->s + at, to - at) : !str_space(cp)))
            break;
        to = at;
    }
    *out = from == 0 && to == s->n ? vstr_value(s) : part(rt, s, from, to);
    return rt_spend(rt, COST_CHARS(s->n - (to - from)));
}

/* ---- cutting ---- */

static bool is_line_end(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool str_lines(struct rt *rt, struct vstr *s, bool keep, struct vlist **out)
{
    struct vlist *l = op_list(rt, 0);
    size_t from = 0, len;
    for (size_t i = 0; i < s->n; i += len) {
        if (!is_line_end(utf8_decode(s->s + i, s->n - i, &len)))
            continue;
        if (s->s[i] == '\r' && i + 1 < s->n && s->s[i + 1] == '\n')
            len = 2;
        if (!push_part(rt, l, s, from, keep ? i + len : i))
            return false;
        from = i + len;
    }
    *out = l;
    return rt_spend(rt, COST_CHARS(s->n)) && (from == s->n || push_part(rt, l, s, from, s->n));
}

static bool split_space(struct rt *rt, struct vstr *s, int64_t max, struct vlist *l)
{
    size_t i = 0, len;
    for (;;) {
        while (i < s->n && str_space(utf8_decode(s->s + i, s->n - i, &len)))
            i += len;
        if (i == s->n)
            return rt_spend(rt, COST_CHARS(s->n));
        size_t from = i;
        if (max-- == 0)
            return push_part(rt, l, s, from, s->n) && rt_spend(rt, COST_CHARS(s->n));
        while (i < s->n && !str_space(utf8_decode(s->s + i, s->n - i, &len)))
            i += len;
        if (!push_part(rt, l, s, from, i))
            return false;
    }
}

static void reverse(struct vlist *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct value v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

static bool rsplit_space(struct rt *rt, struct vstr *s, int64_t max, struct vlist *l)
{
    size_t i = s->n, at;
    for (;;) {
        while (i > 0 && str_space(char_before(s, i, &at)))
            i = at;
        if (i == 0)
            break;
        size_t to = i;
        if (max-- == 0) {
            if (!push_part(rt, l, s, 0, to))
                return false;
            break;
        }
        while (i > 0 && !str_space(char_before(s, i, &at)))
            i = at;
        if (!push_part(rt, l, s, i, to))
            return false;
    }
    reverse(l);
    return rt_spend(rt, COST_CHARS(s->n));
}

static bool split(struct rt *rt, struct value self, const struct call *c, bool right, struct value *out)
{
    struct vstr *s = self.s, *sep = NULL;
    int64_t max;
    struct vlist *l = op_list(rt, 0);
    if ((c->arg[0].kind != VAL_ABSENT && c->arg[0].kind != VAL_NONE && !arg_str(rt, c->arg[0], &sep)) || !arg_int(rt, c->arg[1], -1, &max))
        return false;
    *out = (struct value){.kind = VAL_LIST, .l = l};
    if (!sep)
        return right ? rsplit_space(rt, s, max, l) : split_space(rt, s, max, l);
    if (sep->n == 0)
        return rt_fail(rt, "the separator is empty");
    size_t from = 0, to = s->n, at;
    while (max-- != 0) {
        at = right ? SIZE_MAX : str_find(s->s, from, to, sep->s, sep->n);
        if (right && !find_last(rt, s->s, from, to, sep->s, sep->n, &at))
            return false;
        if (at == SIZE_MAX)
            break;
        if (!(right ? push_part(rt, l, s, at + sep->n, to) : push_part(rt, l, s, from, at)))
            return false;
        if (right)
            to = at;
        else
            from = at + sep->n;
    }
    if (!push_part(rt, l, s, from, to))
        return false;
    if (right)
        reverse(l);
    return rt_spend(rt, COST_FIND(s->n));
}

static bool m_split(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return split(rt, self, c, false, out);
}

static bool m_rsplit(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return split(rt, self, c, true, out);
}

static bool m_splitlines(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vlist *l;
    if (!str_lines(rt, self.s, op_true(c->arg[0]), &l))
        return false;
    *out = (struct value){.kind = VAL_LIST, .l = l};
    return true;
}

static bool cut_in_three(struct rt *rt, struct value self, const struct call *c, bool right, struct value *out)
{
    struct vstr *s = self.s, *sep;
    if (!arg_str(rt, c->arg[0], &sep))
        return false;
    if (sep->n == 0)
        return rt_fail(rt, "the separator is empty");
    size_t at = right ? SIZE_MAX : str_find(s->s, 0, s->n, sep->s, sep->n);
    if (right && !find_last(rt, s->s, 0, s->n, sep->s, sep->n, &at))
        return false;
    bool found = at != SIZE_MAX;
    if (!found)
        at = right ? 0 : s->n;
    struct vlist *l = op_list(rt, 3);
    *out = (struct value){.kind = VAL_TUPLE, .l = l};
    return l && push_part(rt, l, s, 0, at) && push_part(rt, l, s, at, found ? at + sep->n : at) &&
           push_part(rt, l, s, found ? at + sep->n : at, s->n) && rt_spend(rt, COST_FIND(s->n));
}

static bool m_partition(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return cut_in_three(rt, self, c, false, out);
}

static bool m_rpartition(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return cut_in_three(rt, self, c, true, out);
}

static bool strip(struct rt *rt, struct value self, const struct call *c, bool left, bool right, struct value *out)
{
    struct vstr *chars = NULL;
    if (c->arg[0].kind != VAL_ABSENT && c->arg[0].kind != VAL_NONE && !arg_str(rt, c->arg[0], &chars))
        return false;
    return str_strip(rt, self.s, chars, left, right, out);
}

static bool m_strip(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return strip(rt, self, c, true, true, out);
}

static bool m_lstrip(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return strip(rt, self, c, true, false, out);
}

static bool m_rstrip(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return strip(rt, self, c, false, true, out);
}

static bool m_removeprefix(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *s = self.s, *p;
    if (!arg_str(rt, c->arg[0], &p))
        return false;
    bool yes = p->n <= s->n && memcmp(s->s, p->s, p->n) == 0;
    *out = yes ? part(rt, s, p->n, s->n) : self;
    return true;
}

static bool m_removesuffix(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *s = self.s, *p;
    if (!arg_str(rt, c->arg[0], &p))
        return false;
    bool yes = p->n <= s->n && memcmp(s->s + s->n - p->n, p->s, p->n) == 0;
    *out = yes ? part(rt, s, 0, s->n - p->n) : self;
    return true;
}

/* ---- looking ---- */

/* The bytes [*from, *to) that optional arguments `start` and `end` (characters) mean. False in *inside: there is no such part. */
static bool limits(struct rt *rt, struct vstr *s, const struct value *arg, size_t *from, size_t *to, bool *inside)
{
    int64_t n, a, b;
    size_t chars;
    if (!op_chars(rt, s, &chars) || !arg_int(rt, arg[0], 0, &a) || !arg_int(rt, arg[1], (int64_t)chars, &b))
        return false;
    n = (int64_t)chars;
    a = a < 0 ? (a + n < 0 ? 0 : a + n) : a;
    b = b < 0 ? (b + n < 0 ? 0 : b + n) : b > n ? n : b;
    *inside = a <= b;
    *from = *inside ? op_char_at(s, (size_t)a) : 0;
    *to = *inside ? op_char_at(s, (size_t)b) : 0;
    return rt_spend(rt, vstr_ascii(s) ? 1 : COST_CHARS(*to));
}

static bool find(struct rt *rt, struct value self, const struct call *c, bool last, bool must, struct value *out)
{
    struct vstr *s = self.s, *needle;
    size_t from, to, at = SIZE_MAX;
    bool inside;
    if (!arg_str(rt, c->arg[0], &needle) || !limits(rt, s, c->arg + 1, &from, &to, &inside))
        return false;
    if (inside && last && !find_last(rt, s->s, from, to, needle->s, needle->n, &at))
        return false;
    if (inside && !last)
        at = str_find(s->s, from, to, needle->s, needle->n);
    if (at == SIZE_MAX && must)
        return rt_fail(rt, "the string does not contain '%.*s'", SHOW(needle));
    *out = val_int(at == SIZE_MAX ? -1 : vstr_ascii(s) ? (int64_t)at : (int64_t)utf8_count(s->s, at));
    return rt_spend(rt, vstr_ascii(s) ? COST_FIND(s->n) : COST_CHARS(s->n));
}

static bool m_find(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return find(rt, self, c, false, false, out);
}

static bool m_rfind(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return find(rt, self, c, true, false, out);
}

static bool m_index(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return find(rt, self, c, false, true, out);
}

static bool m_rindex(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return find(rt, self, c, true, true, out);
}

static bool m_count(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *s = self.s, *needle;
    size_t from, to, n = 0, at;
    bool inside;
    if (!arg_str(rt, c->arg[0], &needle) || !limits(rt, s, c->arg + 1, &from, &to, &inside))
        return false;
    if (inside && needle->n == 0)
        n = utf8_count(s->s + from, to - from) + 1;
    while (inside && needle->n && (at = str_find(s->s, from, to, needle->s, needle->n)) != SIZE_MAX) {
        n++;
        from = at + needle->n;
        if (!rt_spend(rt, 2))
            return false;
    }
    *out = val_int((int64_t)n);
    return rt_spend(rt, COST_CHARS(s->n));
}

static bool affix(struct rt *rt, struct value self, const struct call *c, bool end, struct value *out)
{
    size_t from, to;
    bool inside, yes = false;
    const struct value *v = &c->arg[0];
    size_t n = 1;
    if (v->kind == VAL_TUPLE) {
        n = v->l->n;
        v = v->l->v;
    }
    if (!limits(rt, self.s, c->arg + 1, &from, &to, &inside))
        return false;
    for (size_t i = 0; i < n && !yes; i++) {
        struct vstr *p;
        if (!arg_str(rt, v[i], &p) || !rt_spend(rt, 1 + COST_MOVE(p->n)))
            return false;
        yes = inside && p->n <= to - from && memcmp(self.s->s + (end ? to - p->n : from), p->s, p->n) == 0;
    }
    *out = val_bool(yes);
    return true;
}

static bool m_startswith(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return affix(rt, self, c, false, out);
}

static bool m_endswith(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return affix(rt, self, c, true, out);
}

/* All characters of a kind, and at least one. */
static bool all_are(struct rt *rt, const struct vstr *s, bool (*is)(uint32_t cp), struct value *out)
{
    size_t len;
    bool all = s->n > 0;
    for (size_t i = 0; i < s->n && all; i += len)
        all = is(utf8_decode(s->s + i, s->n - i, &len));
    *out = val_bool(all);
    return rt_spend(rt, COST_CHARS(s->n));
}

static bool is_alpha(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

static bool is_digit(uint32_t cp)
{
    return is_decimal(cp) || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 || cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089);
}

static bool is_numeric(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

static bool is_alnum(uint32_t cp)
{
    return is_alpha(cp) || is_numeric(cp);
}

#define ALL_ARE(method, is)                                                                                                             \
    static bool method(struct rt *rt, struct value self, const struct call *c, struct value *out)                                      \
    {                                                                                                                                  \
        (void)c;                                                                                                                       \
        return all_are(rt, self.s, is, out);                                                                                           \
    }
ALL_ARE(m_isalpha, is_alpha)
ALL_ARE(m_isdecimal, is_decimal)
ALL_ARE(m_isdigit, is_digit)
ALL_ARE(m_isnumeric, is_numeric)
ALL_ARE(m_isalnum, is_alnum)
ALL_ARE(m_isspace, str_space)

static bool m_isascii(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    bool all = true;
    for (size_t i = 0; i < self.s->n && all; i++)
        all = (unsigned char)self.s->s[i] < 0x80;
    *out = val_bool(all);
    return rt_spend(rt, COST_FIND(self.s->n));
}

static bool m_islower(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    bool yes;
    if (!str_is(rt, self.s, false, &yes))
        return false;
    *out = val_bool(yes);
    return true;
}

static bool m_isupper(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    bool yes;
    if (!str_is(rt, self.s, true, &yes))
        return false;
    *out = val_bool(yes);
    return true;
}

static bool m_istitle(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    struct vstr *s = self.s;
    bool any = false, yes = true, before = false;
    size_t len;
    for (size_t i = 0; i < s->n && yes; i += len) {
        uint32_t cp = utf8_decode(s->s + i, s->n - i, &len);
        bool big = is_upper(cp) || category(cp) == UTF8PROC_CATEGORY_LT, cased = is_cased(cp);
        yes = !cased || big != before;
        any = any || cased;
        before = cased;
    }
    *out = val_bool(any && yes);
    return rt_spend(rt, COST_CHARS(s->n));
}

/* ---- making ---- */

#define IN_CASE(method, how)                                                                                                            \
    static bool method(struct rt *rt, struct value self, const struct call *c, struct value *out)                                      \
    {                                                                                                                                  \
        (void)c;                                                                                                                       \
        return str_case(rt, self.s, how, out);                                                                                         \
    }
IN_CASE(m_upper, CASE_UPPER)
IN_CASE(m_lower, CASE_LOWER)
IN_CASE(m_title, CASE_TITLE)
IN_CASE(m_capitalize, CASE_CAPITAL)
IN_CASE(m_swapcase, CASE_SWAP)

static bool m_replace(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *old, *with;
    int64_t count;
    return arg_str(rt, c->arg[0], &old) && arg_mixed(rt, c->arg[1], self.s, &with) && arg_int(rt, c->arg[2], -1, &count) &&
           str_replace(rt, self.s, old, with, count, out) && str_mark(rt, self.s->safe, out);
}

static bool m_join(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vlist *l;
    size_t mark = rt->n;
    if (!op_items(rt, c->arg[0], &l))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        struct vstr *s;
        if ((i && !out_str(rt, self.s)) || !arg_mixed(rt, l->v[i], self.s, &s) || !rt_spend(rt, 1) || !out_str(rt, s))
            return false;
    }
    return out_done(rt, mark, out) && str_mark(rt, self.s->safe, out);
}

bool str_pad(struct rt *rt, struct vstr *s, int64_t width, struct vstr *fill, char how, struct value *out)
{
    size_t chars, mark = rt->n;
    if (!op_chars(rt, s, &chars))
        return false;
    if (vstr_chars(fill) != 1)
        return rt_fail(rt, "what fills must be one character");
    int64_t n = width > (int64_t)chars ? width - (int64_t)chars : 0, left = how == '<' ? 0 : n;
    if (how == '^') /* as Python's str.center */
        left = n / 2 + (n & width & 1);
    if (!out_room(rt, (size_t)n))
        return false;
    for (int64_t i = 0; i <= n; i++) {
        if (i == left && !out_str(rt, s))
            return false;
        if (i < n && (!rt_spend(rt, 2) || !out_str(rt, fill)))
            return false;
    }
    return out_done(rt, mark, out);
}

static bool pad(struct rt *rt, struct value self, const struct call *c, char how, struct value *out)
{
    struct vstr *fill = vstr_ref(rt->vals, " ", 1, false);
    int64_t width;
    return op_int(rt, c->arg[0], &width) && (c->arg[1].kind == VAL_ABSENT || arg_str(rt, c->arg[1], &fill)) &&
           str_pad(rt, self.s, width, fill, how, out);
}

static bool m_center(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return pad(rt, self, c, '^', out);
}

static bool m_ljust(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return pad(rt, self, c, '<', out);
}

static bool m_rjust(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return pad(rt, self, c, '>', out);
}

static bool m_zfill(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *s = self.s;
    int64_t width;
    size_t mark = rt->n, sign = s->n && (s->s[0] == '-' || s->s[0] == '+');
    if (!op_int(rt, c->arg[0], &width))
        return false;
    int64_t n = width > (int64_t)vstr_chars(s) ? width - (int64_t)vstr_chars(s) : 0;
    if (!out_part(rt, s, 0, sign) || !out_room(rt, (size_t)n))
        return false;
    for (; n > 0; n--)
        if (!rt_spend(rt, 2) || !out_bytes(rt, "0", 1, false))
            return false;
    return out_part(rt, s, sign, s->n) && out_done(rt, mark, out);
}

static bool m_expandtabs(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vstr *s = self.s;
    int64_t size, column = 0;
    size_t mark = rt->n, end;
    if (!arg_int(rt, c->arg[0], 8, &size) || (size > 0 && !out_room(rt, (size_t)size)))
        return false;
    for (size_t i = 0; i < s->n; i = end) {
        end = op_next_char(s, i);
        if (s->s[i] == '\t') {
            for (int64_t n = size > 0 ? size - column % size : 0; n > 0; n--, column++)
                if (!rt_spend(rt, 2) || !out_bytes(rt, " ", 1, foreign_at(s, i)))
                    return false;
            continue;
        }
        column = s->s[i] == '\n' || s->s[i] == '\r' ? 0 : column + 1;
        if (!rt_spend(rt, 1) || !out_part(rt, s, i, end))
            return false;
    }
    return out_done(rt, mark, out);
}

static bool m_format(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    return text_format(rt, self.s, c, out);
}

const struct builtin str_methods[] = {
    {"capitalize", m_capitalize, ""},
    {"center", m_center, "!width,fillchar"},
    {"count", m_count, "!sub,start,end"},
    {"endswith", m_endswith, "!suffix,start,end"},
    {"expandtabs", m_expandtabs, "tabsize"},
    {"find", m_find, "!sub,start,end"},
    {"format", m_format, NULL},
    {"index", m_index, "!sub,start,end"},
    {"isalnum", m_isalnum, ""},
    {"isalpha", m_isalpha, ""},
    {"isascii", m_isascii, ""},
    {"isdecimal", m_isdecimal, ""},
    {"isdigit", m_isdigit, ""},
    {"islower", m_islower, ""},
    {"isnumeric", m_isnumeric, ""},
    {"isspace", m_isspace, ""},
    {"istitle", m_istitle, ""},
    {"isupper", m_isupper, ""},
    {"join", m_join, "!iterable"},
    {"ljust", m_ljust, "!width,fillchar"},
    {"lower", m_lower, ""},
    {"lstrip", m_lstrip, "chars"},
    {"partition", m_partition, "!sep"},
    {"removeprefix", m_removeprefix, "!prefix"},
    {"removesuffix", m_removesuffix, "!suffix"},
    {"replace", m_replace, "!old,!new,count"},
    {"rfind", m_rfind, "!sub,start,end"},
    {"rindex", m_rindex, "!sub,start,end"},
    {"rjust", m_rjust, "!width,fillchar"},
    {"rpartition", m_rpartition, "!sep"},
    {"rsplit", m_rsplit, "sep,maxsplit"},
    {"rstrip", m_rstrip, "chars"},
    {"split", m_split, "sep,maxsplit"},
    {"splitlines", m_splitlines, "keepends"},
    {"startswith", m_startswith, "!prefix,start,end"},
    {"strip", m_strip, "chars"},
    {"swapcase", m_swapcase, ""},
    {"title", m_title, ""},
    {"upper", m_upper, ""},
    {"zfill", m_zfill, "!width"},
};
const size_t n_str_methods = sizeof str_methods / sizeof *str_methods;
