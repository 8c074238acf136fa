/*
 * JSON in templates: the filters tojson (as Python's json.dumps with ensure_ascii off) and from_json. Nested values are walked by
 * recursion up to LIMIT_TMPL_NEST. The contents of strings keep their tags both ways.
 */
#include "config.h"

#include "model/jinja.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct style {
    struct vstr *indent; /* NULL: all in one line */
    struct vstr *between, *colon;
    bool ascii, sorted;
};

static bool write_escape(struct rt *rt, uint32_t cp, bool foreign)
{
    static const char plain[] = "\"\\\n\r\t\b\f", names[] = "\"\\nrtbf";
    char s[16];
    const char *p = cp < 0x80 && cp ? strchr(plain, (int)cp) : NULL;
    int n;
    if (p)
        n = snprintf(s, sizeof s, "\\%c", names[p - plain]);
    else if (cp < 0x10000)
        n = snprintf(s, sizeof s, "\\u%04x", cp);
    else
        n = snprintf(s, sizeof s, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10), 0xDC00 + ((cp - 0x10000) & 0x3FF));
    return out_bytes(rt, s, (size_t)n, foreign);
}

static bool write_str(struct rt *rt, const struct style *st, const struct vstr *s)
{
    size_t from = 0, len = 1;
    if (!out_cstr(rt, "\"") || !rt_spend(rt, COST_CHARS(s->n) / 2))
        return false;
    for (size_t i = 0; i < s->n; i += len) {
        unsigned char c = (unsigned char)s->s[i];
        uint32_t cp = c;
        len = 1;
        if (st->ascii && c >= 0x80)
            cp = utf8_decode(s->s + i, s->n - i, &len);
        if (c >= 0x20 && c != '"' && c != '\\' && !(st->ascii && c >= 0x7F))
            continue;
        if (!out_part(rt, s, from, i) || !write_escape(rt, cp >= UTF8_PART ? 0xFFFD : cp, s->tag ? s->tag[i] : s->foreign))
            return false;
        from = i + len;
    }
    return out_part(rt, s, from, s->n) && out_cstr(rt, "\"");
}

static bool write_number(struct rt *rt, struct value v)
{
    if (v.kind == VAL_FLOAT && !isfinite(v.f))
        return out_cstr(rt, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
    return out_repr(rt, v);
}

static bool newline(struct rt *rt, const struct style *st, int depth)
{
    if (!st->indent)
        return true;
    bool ok = out_cstr(rt, "\n");
    while (ok && depth-- > 0)
        ok = out_str(rt, st->indent);
    return ok;
}

static bool write_value(struct rt *rt, const struct style *st, struct value v, int depth);

static bool write_list(struct rt *rt, const struct style *st, const struct vlist *l, int depth)
{
    if (l->n == 0)
        return out_cstr(rt, "[]");
    if (!out_cstr(rt, "["))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !out_str(rt, st->between)) || !newline(rt, st, depth + 1) || !write_value(rt, st, l->v[i], depth + 1))
            return false;
    return newline(rt, st, depth) && out_cstr(rt, "]");
}

static bool write_key(struct rt *rt, const struct style *st, struct value key)
{
    switch ((int)key.kind) {
    case VAL_STR:
        return write_str(rt, st, key.s);
    case VAL_NONE:
        return out_cstr(rt, "\"null\"");
    case VAL_BOOL:
        return out_cstr(rt, key.b ? "\"true\"" : "\"false\"");
    case VAL_INT:
    case VAL_FLOAT:
        return out_cstr(rt, "\"") && write_number(rt, key) && out_cstr(rt, "\"");
    default:
        return rt_fail(rt, "%s cannot be a key in JSON", op_a(key));
    }
}

static bool write_map(struct rt *rt, const struct style *st, const struct vmap *m, int depth)
{
    if (m->n == 0)
        return out_cstr(rt, "{}");
    struct vlist *keys = op_list(rt, m->n), *order = op_list(rt, m->n);
    if (!keys || !order || !out_cstr(rt, "{"))
        return false;
    for (size_t i = 0; i < m->n; i++) {
        keys->v[i] = m->e[i].key;
        order->v[i] = val_int((int64_t)i);
    }
    keys->n = order->n = m->n;
    if (st->sorted && !op_sort(rt, keys, order, false))
        return false;
    for (size_t i = 0; i < m->n; i++) {
        const struct vpair *e = &m->e[order->v[i].i];
        if ((i && !out_str(rt, st->between)) || !newline(rt, st, depth + 1) || !write_key(rt, st, e->key) || !out_str(rt, st->colon) ||
            !write_value(rt, st, e->val, depth + 1))
            return false;
    }
    return newline(rt, st, depth) && out_cstr(rt, "}");
}

static bool write_value(struct rt *rt, const struct style *st, struct value v, int depth)
{
    struct vlist *l;
    if (depth > LIMIT_TMPL_NEST)
        return rt_fail(rt, "values in values, more than %d deep", LIMIT_TMPL_NEST);
    if (!rt_spend(rt, 1))
        return false;
    switch ((int)v.kind) {
    case VAL_NONE:
        return out_cstr(rt, "null");
    case VAL_BOOL:
        return out_cstr(rt, v.b ? "true" : "false");
    case VAL_INT:
    case VAL_FLOAT:
        return write_number(rt, v);
    case VAL_STR:
        return write_str(rt, st, v.s);
    case VAL_LIST:
    case VAL_TUPLE:
        return write_list(rt, st, v.l, depth);
    case VAL_ITER:
        return op_items(rt, v, &l) && write_list(rt, st, l, depth);
    case VAL_MAP:
        return write_map(rt, st, v.m, depth);
    case VAL_UNDEF:
        return rt_absent(rt, v);
    default:
        return rt_fail(rt, "%s cannot be written as JSON", op_a(v));
    }
}

/* indent: a number of blanks, a string, or none. */
static bool read_indent(struct rt *rt, struct value v, struct vstr **out)
{
    struct value s = v;
    struct vstr *blank = vstr_ref(rt->vals, " ", 1, false);
    if (v.kind == VAL_ABSENT || v.kind == VAL_NONE)
        return true;
    if (v.kind != VAL_STR && !op_arith(rt, OP_MUL, vstr_value(blank), v, &s))
        return false;
    *out = s.s;
    return true;
}

bool text_json(struct rt *rt, struct value v, const struct call *c, struct value *out)
{
    const struct value *ascii = &c->arg[0], *indent = &c->arg[1], *separators = &c->arg[2], *sorted = &c->arg[3];
    struct style st = {.ascii = op_true(*ascii), .sorted = op_true(*sorted)};
    size_t mark = rt->n;
    if (!read_indent(rt, *indent, &st.indent))
        return false;
    st.between = vstr_ref(rt->vals, st.indent ? "," : ", ", st.indent ? 1 : 2, false);
    st.colon = vstr_ref(rt->vals, ": ", 2, false);
    if (separators->kind == VAL_LIST || separators->kind == VAL_TUPLE) {
        if (separators->l->n != 2)
            return rt_fail(rt, "tojson takes two separators");
        if (!arg_str(rt, separators->l->v[0], &st.between) || !arg_str(rt, separators->l->v[1], &st.colon))
            return false;
    }
    return write_value(rt, &st, v, 0) && out_done(rt, mark, out);
}

/* ---- reading ---- */

struct reader {
    struct rt *rt;
    const struct vstr *s;
    size_t i;
};

static bool bad(struct reader *r)
{
    return rt_fail(r->rt, "from_json: no JSON at character %zu", utf8_count(r->s->s, r->i) + 1);
}

static void space(struct reader *r)
{
    while (r->i < r->s->n && (r->s->s[r->i] == ' ' || (r->s->s[r->i] >= 9 && r->s->s[r->i] <= 13 && r->s->s[r->i] != 11 && r->s->s[r->i] != 12)))
        r->i++;
}

static bool skip(struct reader *r, const char *text)
{
    size_t n = strlen(text);
    if (r->s->n - r->i < n || memcmp(r->s->s + r->i, text, n) != 0)
        return false;
    r->i += n;
    return true;
}

static bool read_hex(struct reader *r, uint32_t *cp)
{
    *cp = 0;
    for (int k = 0; k < 4; k++) {
        char c = r->i < r->s->n ? r->s->s[r->i] : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
        if (d < 0)
            return bad(r);
        *cp = *cp << 4 | (uint32_t)d;
        r->i++;
    }
    return true;
}

static bool read_escape(struct reader *r)
{
    static const char names[] = "\"\\/nrtbf", plain[] = "\"\\/\n\r\t\b\f";
    bool foreign = r->s->tag ? r->s->tag[r->i] : r->s->foreign;
    char c = ++r->i < r->s->n ? r->s->s[r->i] : 0, u[4];
    const char *p = c ? strchr(names, c) : NULL;
    uint32_t cp, low;
    if (p) {
        r->i++;
        return out_bytes(r->rt, &plain[p - names], 1, foreign);
    }
    if (c != 'u')
        return bad(r);
    r->i++;
    if (!read_hex(r, &cp))
        return false;
    size_t after = r->i;
    if (cp >= 0xD800 && cp < 0xDC00 && skip(r, "\\u")) {
        if (!read_hex(r, &low))
            return false;
        if (low >= 0xDC00 && low < 0xE000)
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        else
            r->i = after;
    }
    return out_bytes(r->rt, u, utf8_encode(cp >= 0xD800 && cp < 0xE000 ? 0xFFFD : cp, u), foreign);
}

/* Behind the opening quote. */
static bool read_str(struct reader *r, struct value *out)
{
    size_t mark = r->rt->n, from = r->i;
    for (;;) {
        char c = r->i < r->s->n ? r->s->s[r->i] : 0;
        if ((unsigned char)c < 0x20)
            return bad(r);
        if (c != '"' && c != '\\') {
            r->i++;
            continue;
        }
        if (!out_part(r->rt, r->s, from, r->i))
            return false;
        if (c == '"') {
            r->i++;
            return rt_spend(r->rt, COST_FIND(r->i - from) + 1) && out_done(r->rt, mark, out);
        }
        if (!read_escape(r))
            return false;
        from = r->i;
    }
}

static bool is_digit(const struct reader *r, size_t i)
{
    return i < r->s->n && r->s->s[i] >= '0' && r->s->s[i] <= '9';
}

static bool read_number(struct reader *r, struct value *out)
{
    size_t i = r->i, from = i;
    bool whole = true;
    const char *s = r->s->s;
    i += s[i] == '-';
    if (!is_digit(r, i))
        return bad(r);
    if (s[i] == '0')
        i++;
    else
        while (is_digit(r, i))
            i++;
    if (i < r->s->n && s[i] == '.' && is_digit(r, i + 1)) {
        whole = false;
        for (i++; is_digit(r, i); i++)
            ;
    }
    if (i < r->s->n && (s[i] | 0x20) == 'e') {
        size_t k = i + 1 + (i + 1 < r->s->n && (s[i + 1] == '+' || s[i + 1] == '-'));
        for (whole = whole && !is_digit(r, k); is_digit(r, k); k++)
            i = k + 1;
    }
    r->i = i;
    if (whole) {
        int64_t v = 0;
        if (text_to_int(s + from, i - from, 10, &v) < 0)
            return rt_fail(r->rt, "from_json: an integer is too large");
        *out = val_int(v);
        return true;
    }
    double f;
    if (!text_to_float(s + from, i - from, &f))
        return bad(r);
    *out = val_float(f);
    return true;
}

static bool read_value(struct reader *r, int depth, struct value *out);

static bool read_list(struct reader *r, int depth, struct value *out)
{
    struct vlist *l = op_list(r->rt, 0);
    *out = (struct value){.kind = VAL_LIST, .l = l};
    space(r);
    if (skip(r, "]"))
        return true;
    do {
        struct value v;
        if (!read_value(r, depth + 1, &v) || !op_push(r->rt, l, v))
            return false;
    } while (skip(r, ","));
    return skip(r, "]") || bad(r);
}

static bool read_map(struct reader *r, int depth, struct value *out)
{
    struct vmap *m = vmap_new(r->rt->vals);
    *out = (struct value){.kind = VAL_MAP, .m = m};
    space(r);
    if (skip(r, "}"))
        return true;
    do {
        struct value key, v;
        space(r);
        if (!skip(r, "\""))
            return bad(r);
        if (!read_str(r, &key))
            return false;
        space(r);
        if (!skip(r, ":"))
            return bad(r);
        if (!read_value(r, depth + 1, &v) || !op_put(r->rt, m, key, v))
            return false;
    } while (skip(r, ","));
    return skip(r, "}") || bad(r);
}

static bool read_value(struct reader *r, int depth, struct value *out)
{
    bool ok = true;
    if (depth > LIMIT_TMPL_NEST)
        return rt_fail(r->rt, "from_json: values in values, more than %d deep", LIMIT_TMPL_NEST);
    if (!rt_spend(r->rt, 1) || (vals_over(r->rt->vals) && !rt_over(r->rt)))
        return false;
    space(r);
    if (r->i >= r->s->n)
        return bad(r);
    if (skip(r, "{"))
        ok = read_map(r, depth, out);
    else if (skip(r, "["))
        ok = read_list(r, depth, out);
    else if (skip(r, "\""))
        ok = read_str(r, out);
    else if (skip(r, "true"))
        *out = val_bool(true);
    else if (skip(r, "false"))
        *out = val_bool(false);
    else if (skip(r, "null"))
        *out = val_none();
    else if (skip(r, "NaN"))
        *out = val_float(NAN);
    else if (skip(r, "Infinity"))
        *out = val_float(INFINITY);
    else if (skip(r, "-Infinity"))
        *out = val_float(-INFINITY);
    else
        ok = read_number(r, out);
    if (ok)
        space(r);
    return ok;
}

bool text_from_json(struct rt *rt, struct vstr *s, struct value *out)
{
    struct reader r = {rt, s, 0};
    return read_value(&r, 0, out) && (r.i == s->n || bad(&r));
}
