/*
 * Filters and tests of templates. What map, select and their kind give is an iterator that is used up by whoever reads it (and is
 * true even when empty), but their work is done at once.
 */
#include "config.h"

#include "model/jinja.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define FILTER(name) static bool name(struct rt *rt, struct value v, const struct call *c, struct value *out)

/* ---- sorting, and keys to sort by ---- */

/* One pass: pairs of runs of `width` become runs of twice that. */
static bool merge_pass(struct rt *rt, const struct value *k, const struct value *v, struct value *k2, struct value *v2, size_t n, size_t width,
                       bool reverse)
{
    for (size_t lo = 0; lo < n; lo += 2 * width) {
        size_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n, a = lo, b = mid;
        for (size_t i = lo; i < hi; i++) {
            int d = 0;
            bool right = a == mid;
            if (a < mid && b < hi) {
                if (!op_order(rt, k[b], k[a], "<", &d))
                    return false;
                right = d != 2 && (reverse ? d > 0 : d < 0);
            }
            size_t from = right ? b++ : a++;
            k2[i] = k[from];
            v2[i] = v[from];
        }
    }
    return rt_spend(rt, n);
}

bool op_sort(struct rt *rt, struct vlist *keys, struct vlist *items, bool reverse)
{
    size_t n = keys->n;
    struct vlist *k = op_list(rt, n), *v = op_list(rt, n);
    if (!k || !v)
        return false;
    struct value *ka = keys->v, *va = items->v, *kb = k->v, *vb = v->v, *t;
    for (size_t width = 1; width < n; width *= 2) {
        if (!merge_pass(rt, ka, va, kb, vb, n, width, reverse))
            return false;
        t = ka, ka = kb, kb = t;
        t = va, va = vb, vb = t;
    }
    if (n && va != items->v) {
        memcpy(items->v, va, n * sizeof *va);
        memcpy(keys->v, ka, n * sizeof *ka);
    }
    return true;
}

/* item.a.b.0 for the attribute "a.b.0" (bytes [from, to) of s): names and numbers. What is missing on the way is `missing`, if given. */
static bool by_path(struct rt *rt, struct value item, const struct vstr *s, size_t from, size_t to, struct value missing, struct value *out)
{
    *out = item;
    for (size_t i = from; i <= to;) {
        size_t end = i;
        while (end < to && s->s[end] != '.')
            end++;
        struct vstr *name = vstr_sub(rt->vals, s, i, end);
        int64_t index;
        struct value key = vstr_value(name);
        if (name->n && strspn(name->s, "0123456789") >= name->n && text_to_int(name->s, name->n, 10, &index) > 0)
            key = val_int(index);
        if (!rt_spend(rt, 1) || !op_item(rt, *out, key, out))
            return false;
        if (out->kind == VAL_UNDEF && missing.kind != VAL_ABSENT)
            *out = missing;
        i = end + 1;
    }
    return true;
}

/* The part of an item that `attribute` (a path, a number, or nothing) means. */
static bool by_attribute(struct rt *rt, struct value item, struct value attribute, struct value *out)
{
    *out = item;
    if (attribute.kind == VAL_ABSENT || attribute.kind == VAL_NONE)
        return true;
    if (attribute.kind != VAL_STR)
        return op_item(rt, item, attribute, out);
    return by_path(rt, item, attribute.s, 0, attribute.s->n, (struct value){0}, out);
}

static bool fold(struct rt *rt, bool case_sensitive, struct value *v)
{
    return case_sensitive || v->kind != VAL_STR || str_case(rt, v->s, CASE_LOWER, v);
}

/* As by_attribute, without regard to case unless asked. */
static bool key_of(struct rt *rt, struct value item, struct value attribute, bool case_sensitive, struct value *out)
{
    return by_attribute(rt, item, attribute, out) && fold(rt, case_sensitive, out);
}

/* The same as a list, of several for the attribute "a,b". Lists compare what is equal first, so that even what has no order sorts then. */
static bool keys_in_list(struct rt *rt, struct value item, struct value attribute, bool case_sensitive, struct value *out)
{
    struct vlist *l = op_list(rt, 0);
    *out = (struct value){.kind = VAL_LIST, .l = l};
    if (attribute.kind != VAL_STR) {
        struct value v;
        return key_of(rt, item, attribute, case_sensitive, &v) && op_push(rt, l, v);
    }
    const struct vstr *s = attribute.s;
    for (size_t i = 0; i <= s->n;) {
        size_t end = i;
        struct value v;
        while (end < s->n && s->s[end] != ',')
            end++;
        if (!by_path(rt, item, s, i, end, (struct value){0}, &v) || !fold(rt, case_sensitive, &v) || !op_push(rt, l, v))
            return false;
        i = end + 1;
    }
    return true;
}

typedef bool key_fn(struct rt *rt, struct value item, struct value attribute, bool case_sensitive, struct value *out);

static struct vlist *keys_of(struct rt *rt, const struct vlist *l, key_fn *key, struct value attribute, bool case_sensitive)
{
    struct vlist *keys = op_list(rt, l->n);
    for (size_t i = 0; keys && i < l->n; i++) {
        struct value k;
        if (!key(rt, l->v[i], attribute, case_sensitive, &k) || !op_push(rt, keys, k))
            return NULL;
    }
    return keys;
}

/* A list of its own with the items of v. */
static struct vlist *fresh(struct rt *rt, struct value v)
{
    struct vlist *l, *r;
    if (!op_items(rt, v, &l) || !(r = op_list(rt, l->n)))
        return NULL;
    for (size_t i = 0; i < l->n; i++)
        if (!op_push(rt, r, l->v[i]))
            return NULL;
    return r;
}

static bool as_list(struct vlist *l, struct value *out)
{
    *out = (struct value){.kind = VAL_LIST, .l = l};
    return l != NULL;
}

static bool as_iter(struct rt *rt, struct vlist *l, struct value *out)
{
    if (l)
        *out = op_iter(rt, l);
    return l != NULL;
}

FILTER(sort)
{
    struct vlist *l = fresh(rt, v), *keys = l ? keys_of(rt, l, keys_in_list, c->arg[2], op_true(c->arg[1])) : NULL;
    return keys && op_sort(rt, keys, l, op_true(c->arg[0])) && as_list(l, out);
}

FILTER(dictsort)
{
    bool by_value = false;
    struct vstr *by;
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (v.kind != VAL_MAP)
        return rt_fail(rt, "dictsort takes a mapping, not %s", op_a(v));
    if (c->arg[1].kind != VAL_ABSENT) {
        if (!arg_str(rt, c->arg[1], &by))
            return false;
        by_value = vstr_is(by, "value");
        if (!by_value && !vstr_is(by, "key"))
            return rt_fail(rt, "dictsort sorts by 'key' or by 'value'");
    }
    struct vlist *keys = op_list(rt, v.m->n), *pairs = op_list(rt, v.m->n);
    for (size_t i = 0; keys && pairs && i < v.m->n; i++) {
        struct value k = by_value ? v.m->e[i].val : v.m->e[i].key;
        if (!fold(rt, op_true(c->arg[0]), &k) || !op_push(rt, keys, k) || !op_push(rt, pairs, op_pair(rt, v.m->e[i].key, v.m->e[i].val)))
            return false;
    }
    return keys && pairs && op_sort(rt, keys, pairs, op_true(c->arg[2])) && as_list(pairs, out);
}

FILTER(groupby)
{
    struct vlist *l = fresh(rt, v), *keys = l ? keys_of(rt, l, key_of, c->arg[0], op_true(c->arg[2])) : NULL, *r = op_list(rt, 0), *group = NULL;
    if (!keys || !r)
        return false;
    for (size_t i = 0; c->arg[1].kind != VAL_ABSENT && i < keys->n; i++)
        if (keys->v[i].kind == VAL_UNDEF)
            keys->v[i] = c->arg[1];
    if (!op_sort(rt, keys, l, false))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        bool same = false;
        if (i && !op_equal(rt, keys->v[i - 1], keys->v[i], &same))
            return false;
        if (!same) {
            struct value name;
            group = op_list(rt, 0);
            if (!by_attribute(rt, l->v[i], c->arg[0], &name))
                return false;
            if (name.kind == VAL_UNDEF)
                name = keys->v[i];
            struct value pair = op_pair(rt, name, (struct value){.kind = VAL_LIST, .l = group});
            pair.l->group = true;
            if (!op_push(rt, r, pair))
                return false;
        }
        if (!op_push(rt, group, l->v[i]))
            return false;
    }
    return as_list(r, out);
}

FILTER(unique)
{
    struct vlist *l, *r = op_list(rt, 0);
    struct vmap *seen = vmap_new(rt->vals);
    if (!op_items(rt, v, &l))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        struct value k;
        size_t before = seen->n;
        if (!key_of(rt, l->v[i], c->arg[1], op_true(c->arg[0]), &k) || !op_put(rt, seen, k, val_none()))
            return false;
        if (seen->n > before && !op_push(rt, r, l->v[i]))
            return false;
    }
    return as_iter(rt, r, out);
}

static bool extreme(struct rt *rt, struct value v, const struct call *c, bool max, struct value *out)
{
    struct vlist *l;
    struct value best = {0}, k;
    int d;
    if (!op_items(rt, v, &l))
        return false;
    *out = rt_undef_text(rt, "the sequence is empty");
    for (size_t i = 0; i < l->n; i++) {
        if (!key_of(rt, l->v[i], c->arg[1], op_true(c->arg[0]), &k) || (i && !op_order(rt, k, best, max ? ">" : "<", &d)))
            return false;
        if (i == 0 || (d != 2 && (max ? d > 0 : d < 0))) {
            best = k;
            *out = l->v[i];
        }
    }
    return true;
}

FILTER(max)
{
    return extreme(rt, v, c, true, out);
}

FILTER(min)
{
    return extreme(rt, v, c, false, out);
}

FILTER(sum)
{
    struct vlist *l;
    struct value item;
    if (!op_items(rt, v, &l))
        return false;
    *out = c->arg[1].kind == VAL_ABSENT ? val_int(0) : c->arg[1];
    if (out->kind == VAL_STR)
        return rt_fail(rt, "sum does not add strings");
    for (size_t i = 0; i < l->n; i++)
        if (!by_attribute(rt, l->v[i], c->arg[0], &item) || !op_arith(rt, OP_ADD, *out, item, out))
            return false;
    return true;
}

/* ---- map and select ---- */

/* The rest of a call behind its first `skip` arguments, for the filter or test that they name. */
static bool apply(struct rt *rt, const struct builtin *table, size_t n, const char *what, struct value v, const struct call *c, size_t skip,
                  struct value *out)
{
    struct vstr *name;
    if (!arg_str(rt, c->v[skip - 1], &name))
        return false;
    const struct builtin *b = builtin_find(table, n, name->s, name->n);
    struct call inner = {.v = c->v + skip, .n = c->n - skip, .k = c->k, .n_k = c->n_k};
    return b ? builtin_call(rt, b, v, &inner, out) : rt_fail(rt, "there is no %s '%.*s'", what, SHOW(name));
}

FILTER(map)
{
    struct value attribute = {0}, missing = {0}, item;
    struct vlist *l, *r = op_list(rt, 0);
    if (!op_true(v)) /* whatever it is */
        return as_iter(rt, r, out);
    for (size_t i = 0; c->n == 0 && i < c->n_k; i++) {
        if (vstr_is(c->k[i].name, "attribute"))
            attribute = c->k[i].v;
        else if (vstr_is(c->k[i].name, "default"))
            missing = c->k[i].v.kind == VAL_NONE ? missing : c->k[i].v;
        else
            return rt_fail(rt, "map has no argument '%.*s'", SHOW(c->k[i].name));
    }
    if (c->n == 0 && attribute.kind == VAL_ABSENT)
        return rt_fail(rt, "map takes the name of a filter, or an attribute");
    if (!op_items(rt, v, &l))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        bool ok = c->n ? apply(rt, jinja_filters, n_jinja_filters, "filter", l->v[i], c, 1, &item)
                  : attribute.kind == VAL_STR ? by_path(rt, l->v[i], attribute.s, 0, attribute.s->n, missing, &item)
                                              : by_attribute(rt, l->v[i], attribute, &item);
        if (!ok)
            return false;
        if (!op_push(rt, r, item) || (vals_over(rt->vals) && !rt_over(rt)))
            return false;
    }
    return as_iter(rt, r, out);
}

/* Items that pass a test (`keep`), or that do not; with `attr`, the test looks at an attribute, the first argument. */
static bool choose(struct rt *rt, struct value v, const struct call *c, bool attr, bool keep, struct value *out)
{
    struct vlist *l, *r = op_list(rt, 0);
    if (!op_true(v)) /* whatever it is */
        return as_iter(rt, r, out);
    if (attr && c->n == 0)
        return rt_fail(rt, "the name of an attribute is missing");
    if (!op_items(rt, v, &l))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        struct value item = l->v[i], yes;
        if (attr && !by_attribute(rt, item, c->v[0], &item))
            return false;
        yes = val_bool(op_true(item));
        if (c->n > attr && !apply(rt, jinja_tests, n_jinja_tests, "test", item, c, 1 + attr, &yes))
            return false;
        if (op_true(yes) == keep && !op_push(rt, r, l->v[i]))
            return false;
    }
    return as_iter(rt, r, out);
}

FILTER(select_)
{
    return choose(rt, v, c, false, true, out);
}

FILTER(reject)
{
    return choose(rt, v, c, false, false, out);
}

FILTER(selectattr)
{
    return choose(rt, v, c, true, true, out);
}

FILTER(rejectattr)
{
    return choose(rt, v, c, true, false, out);
}

/* ---- sequences ---- */

FILTER(first)
{
    struct vlist *l;
    *out = rt_undef_text(rt, "the sequence is empty");
    if (v.kind == VAL_ITER) {
        struct iter *i = v.p;
        if (i->at < i->l->n)
            *out = i->l->v[i->at++];
        return true;
    }
    if (v.kind == VAL_STR)
        return v.s->n == 0 || op_item(rt, v, val_int(0), out);
    if (!op_items(rt, v, &l))
        return false;
    if (l->n)
        *out = l->v[0];
    (void)c;
    return true;
}

FILTER(last)
{
    (void)c;
    struct vlist *l;
    size_t n;
    if (!op_len(rt, v, &n))
        return false;
    *out = rt_undef_text(rt, "the sequence is empty");
    if (n == 0)
        return true;
    if (v.kind == VAL_STR)
        return op_item(rt, v, val_int(-1), out);
    if (!op_items(rt, v, &l))
        return false;
    *out = l->v[n - 1];
    return true;
}

FILTER(length)
{
    (void)c;
    size_t n;
    if (!op_len(rt, v, &n))
        return false;
    *out = val_int((int64_t)n);
    return true;
}

FILTER(list)
{
    (void)c;
    return as_list(fresh(rt, v), out);
}

FILTER(reverse)
{
    (void)c;
    const struct value back[3] = {val_none(), val_none(), val_int(-1)};
    if (v.kind == VAL_STR)
        return op_slice(rt, v, back, out);
    struct vlist *l, *r = op_list(rt, 0);
    if (!op_items(rt, v, &l))
        return false;
    for (size_t i = l->n; i-- > 0;)
        if (!op_push(rt, r, l->v[i]))
            return false;
    return as_iter(rt, r, out);
}

FILTER(items)
{
    (void)c;
    struct vlist *r = op_list(rt, 0);
    if (v.kind != VAL_MAP && v.kind != VAL_UNDEF)
        return rt_fail(rt, "items takes a mapping, not %s", op_a(v));
    for (size_t i = 0; v.kind == VAL_MAP && i < v.m->n; i++)
        if (!op_push(rt, r, op_pair(rt, v.m->e[i].key, v.m->e[i].val)))
            return false;
    return as_iter(rt, r, out);
}

FILTER(join)
{
    struct vstr *sep = vstr_ref(rt->vals, "", 0, false);
    struct vlist *l;
    struct value item;
    if ((c->arg[0].kind != VAL_ABSENT && !rt_str(rt, c->arg[0], &sep)) || !op_items(rt, v, &l))
        return false;
    size_t mark = rt->n;
    for (size_t i = 0; i < l->n; i++)
        if (!rt_spend(rt, 1) || (i && !out_str(rt, sep)) || !by_attribute(rt, l->v[i], c->arg[1], &item) || !out_value(rt, item))
            return false;
    return out_done(rt, mark, out);
}

FILTER(batch)
{
    struct vlist *l, *r = op_list(rt, 0), *row = NULL;
    int64_t n;
    if (!op_int(rt, c->arg[0], &n) || !op_items(rt, v, &l))
        return false;
    n = n < 1 ? 1 : n;
    for (size_t i = 0; i < l->n; i++) {
        if (!row || row->n == (size_t)n) {
            row = op_list(rt, 0);
            if (!op_push(rt, r, (struct value){.kind = VAL_LIST, .l = row}))
                return false;
        }
        if (!op_push(rt, row, l->v[i]))
            return false;
    }
    while (row && c->arg[1].kind != VAL_ABSENT && c->arg[1].kind != VAL_NONE && row->n < (size_t)n)
        if (!op_push(rt, row, c->arg[1]))
            return false;
    return as_iter(rt, r, out);
}

FILTER(slice)
{
    struct vlist *l, *r = op_list(rt, 0);
    int64_t n;
    if (!op_int(rt, c->arg[0], &n) || !op_items(rt, v, &l))
        return false;
    if (n < 1)
        return rt_fail(rt, "slice takes a positive number");
    for (size_t k = 0, at = 0; k < (size_t)n; k++) {
        struct vlist *column = op_list(rt, 0);
        bool more = k < l->n % (size_t)n;
        for (size_t end = at + l->n / (size_t)n + more; at < end; at++)
            if (!op_push(rt, column, l->v[at]))
                return false;
        if (!more && c->arg[1].kind != VAL_ABSENT && c->arg[1].kind != VAL_NONE && !op_push(rt, column, c->arg[1]))
            return false;
        if (!op_push(rt, r, (struct value){.kind = VAL_LIST, .l = column}))
            return false;
    }
    return as_iter(rt, r, out);
}

/* ---- texts ---- */

static bool in_case(struct rt *rt, struct value v, enum str_case how, struct value *out)
{
    struct vstr *s;
    return rt_str(rt, v, &s) && str_case(rt, s, how, out);
}

FILTER(upper)
{
    (void)c;
    return in_case(rt, v, CASE_UPPER, out);
}

FILTER(lower)
{
    (void)c;
    return in_case(rt, v, CASE_LOWER, out);
}

FILTER(title)
{
    (void)c;
    return in_case(rt, v, CASE_FILTER_TITLE, out);
}

FILTER(capitalize)
{
    (void)c;
    return in_case(rt, v, CASE_CAPITAL, out);
}

FILTER(string)
{
    (void)c;
    struct vstr *s;
    if (!rt_str(rt, v, &s))
        return false;
    *out = vstr_value(s);
    return true;
}

FILTER(trim)
{
    struct vstr *s, *chars = NULL;
    if (c->arg[0].kind != VAL_ABSENT && c->arg[0].kind != VAL_NONE && !arg_str(rt, c->arg[0], &chars))
        return false;
    return rt_str(rt, v, &s) && str_strip(rt, s, chars, true, true, out);
}

FILTER(replace)
{
    struct vstr *s, *old, *with;
    int64_t count;
    return rt_str(rt, v, &s) && rt_str(rt, c->arg[0], &old) && rt_str(rt, c->arg[1], &with) && arg_int(rt, c->arg[2], -1, &count) &&
           str_replace(rt, s, old, with, count, out) && str_mark(rt, false, out);
}

FILTER(center)
{
    struct vstr *s;
    int64_t width;
    return rt_str(rt, v, &s) && arg_int(rt, c->arg[0], 80, &width) && str_pad(rt, s, width, vstr_ref(rt->vals, " ", 1, false), '^', out);
}

static bool escaped(struct rt *rt, struct value v, bool force, struct value *out)
{
    struct vstr *s;
    if (!rt_str(rt, v, &s))
        return false;
    *out = vstr_value(s);
    if ((force && !str_mark(rt, false, out)) || !str_escape(rt, out->s, &s))
        return false;
    *out = vstr_value(s);
    return true;
}

FILTER(escape)
{
    (void)c;
    return escaped(rt, v, false, out);
}

FILTER(forceescape)
{
    (void)c;
    return escaped(rt, v, true, out);
}

FILTER(safe)
{
    (void)c;
    struct vstr *s;
    if (!rt_str(rt, v, &s))
        return false;
    *out = vstr_value(s);
    return str_mark(rt, true, out);
}

FILTER(indent)
{
    struct vstr *s, *by = NULL, *blank = vstr_ref(rt->vals, " ", 1, false), *whole;
    struct value width = c->arg[0].kind == VAL_ABSENT ? val_int(4) : c->arg[0], joined;
    bool first_too = op_true(c->arg[1]), blank_too = op_true(c->arg[2]);
    struct vlist *lines;
    if (width.kind != VAL_STR && !op_arith(rt, OP_MUL, vstr_value(blank), width, &width))
        return false;
    by = width.s;
    if (!arg_str(rt, v, &s) || !op_concat(rt, v, vstr_value(vstr_ref(rt->vals, "\n", 1, false)), &joined))
        return false;
    whole = joined.s;
    if (!str_lines(rt, whole, false, &lines))
        return false;
    size_t mark = rt->n;
    for (size_t i = 0; i < lines->n; i++) {
        const struct vstr *line = lines->v[i].s;
        bool in = i ? blank_too || line->n : first_too;
        if (!rt_spend(rt, 1) || (i && !out_cstr(rt, "\n")) || (in && !out_str(rt, by)) || !out_str(rt, line))
            return false;
    }
    return out_done(rt, mark, out);
}

FILTER(truncate)
{
    struct vstr *s, *end = vstr_ref(rt->vals, "...", 3, false);
    int64_t length, leeway;
    struct value cut;
    size_t chars;
    *out = v;
    if (v.kind == VAL_UNDEF)
        return true;
    if (!arg_str(rt, v, &s) || !op_chars(rt, s, &chars) || !arg_int(rt, c->arg[0], 255, &length) || (c->arg[2].kind != VAL_ABSENT && !arg_str(rt, c->arg[2], &end)) ||
        !arg_int(rt, c->arg[3], 5, &leeway))
        return false;
    if (length < (int64_t)vstr_chars(end) || leeway < 0 || leeway > INT32_MAX || length > INT32_MAX)
        return rt_fail(rt, "truncate cannot cut to %lld characters", (long long)length);
    if ((int64_t)chars <= length + leeway)
        return true;
    size_t to = op_char_at(s, (size_t)length - vstr_chars(end)), word = to;
    while (word && s->s[word - 1] != ' ')
        word--;
    if (!op_true(c->arg[1]) && word)
        to = word - 1;
    cut = vstr_value(vstr_sub(rt->vals, s, 0, to));
    return rt_spend(rt, COST_CHARS(to)) && op_concat(rt, cut, vstr_value(end), out);
}

FILTER(wordcount)
{
    (void)c;
    struct vstr *s;
    if (!rt_str(rt, v, &s))
        return false;
    int64_t n = 0;
    bool in = false;
    for (size_t i = 0, len; i < s->n; i += len) {
        uint32_t cp = utf8_decode(s->s + i, s->n - i, &len);
        utf8proc_category_t k = cp > 0x10FFFF ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)cp);
        bool word = cp == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) || (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
        n += word && !in;
        in = word;
    }
    *out = val_int(n);
    return rt_spend(rt, COST_CHARS(s->n));
}

FILTER(format)
{
    struct vstr *s;
    if (!rt_str(rt, v, &s))
        return false;
    if (c->n && c->n_k)
        return rt_fail(rt, "format takes values or names, not both");
    struct value map = {0};
    if (c->n_k) {
        map = (struct value){.kind = VAL_MAP, .m = vmap_new(rt->vals)};
        for (size_t i = 0; i < c->n_k; i++)
            if (!op_put(rt, map.m, vstr_value(c->k[i].name), c->k[i].v))
                return false;
    }
    return text_percent(rt, s, c->v, c->n, map, out);
}

FILTER(tojson)
{
    return text_json(rt, v, c, out);
}

FILTER(from_json)
{
    (void)c;
    struct vstr *s;
    return arg_str(rt, v, &s) && text_from_json(rt, s, out);
}

/* ---- numbers ---- */

FILTER(abs_)
{
    (void)c;
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (!op_number(v))
        return rt_fail(rt, "%s has no absolute value", op_a(v));
    if (v.kind == VAL_FLOAT)
        *out = val_float(fabs(v.f));
    else
        return op_sign(rt, v.kind == VAL_INT && v.i < 0, v, out);
    return true;
}

/* The text without white space around it. */
static bool stripped(struct rt *rt, struct value v, struct vstr **out)
{
    struct value s;
    if (!str_strip(rt, v.s, NULL, true, true, &s))
        return false;
    *out = s.s;
    return true;
}

FILTER(int_)
{
    int64_t base, i = 0;
    double f = NAN;
    struct vstr *s;
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (!arg_int(rt, c->arg[1], 10, &base))
        return false;
    if (base != 0 && (base < 2 || base > 36))
        return rt_fail(rt, "there is no base %lld", (long long)base);
    *out = c->arg[0].kind == VAL_ABSENT ? val_int(0) : c->arg[0];
    if (v.kind == VAL_INT || v.kind == VAL_BOOL) {
        *out = val_int(v.kind == VAL_INT ? v.i : v.b);
    } else if (v.kind == VAL_FLOAT) {
        f = v.f;
    } else if (v.kind == VAL_STR) {
        if (!stripped(rt, v, &s))
            return false;
        int how = text_to_int(s->s, s->n, (int)base, &i);
        if (how < 0)
            return rt_fail(rt, "an integer is too large");
        if (how > 0)
            *out = val_int(i);
        else
            text_to_float(s->s, s->n, &f);
    }
    if (fabs(f) >= 0x1p63 && isfinite(f))
        return rt_fail(rt, "an integer is too large");
    if (isfinite(f))
        *out = val_int((int64_t)f);
    return true;
}

FILTER(float_)
{
    double f;
    struct vstr *s;
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    *out = c->arg[0].kind == VAL_ABSENT ? val_float(0) : c->arg[0];
    if (op_number(v))
        return op_arith(rt, OP_MUL, v, val_float(1), out);
    if (v.kind == VAL_STR) {
        if (!stripped(rt, v, &s))
            return false;
        if (text_to_float(s->s, s->n, &f))
            *out = val_float(f);
    }
    return true;
}

/* Half to even, by the true decimal value. */
static double round_to(double f, int digits)
{
    char s[400];
    if (!isfinite(f) || digits > 300)
        return f;
    if (digits >= 0) {
        snprintf(s, sizeof s, "%.*f", digits > 60 ? 60 : digits, f);
        return strtod(s, NULL);
    }
    double unit = pow(10, -digits), rest = fmod(fabs(f), unit), low = fabs(f) - rest;
    bool up = rest * 2 > unit || (rest * 2 == unit && fmod(low / unit, 2) != 0);
    return copysign(up ? low + unit : low, f);
}

FILTER(round_)
{
    int64_t digits;
    struct vstr *how = NULL;
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (!op_number(v))
        return rt_fail(rt, "%s cannot be rounded", op_a(v));
    if (!arg_int(rt, c->arg[0], 0, &digits) || (c->arg[1].kind != VAL_ABSENT && !arg_str(rt, c->arg[1], &how)))
        return false;
    if (digits < -300 || digits > 300)
        return rt_fail(rt, "round cannot keep %lld digits", (long long)digits);
    double f = v.kind == VAL_FLOAT ? v.f : (double)(v.kind == VAL_INT ? v.i : v.b), unit = pow(10, (double)digits);
    if (!how || vstr_is(how, "common")) {
        if (v.kind != VAL_FLOAT && digits >= 0)
            *out = val_int(v.kind == VAL_INT ? v.i : v.b);
        else
            *out = v.kind == VAL_FLOAT ? val_float(round_to(f, (int)digits)) : val_int((int64_t)round_to(f, (int)digits));
    } else if (vstr_is(how, "ceil") || vstr_is(how, "floor")) {
        *out = val_float((vstr_is(how, "ceil") ? ceil(f * unit) : floor(f * unit)) / unit);
    } else {
        return rt_fail(rt, "round knows common, ceil and floor");
    }
    return true;
}

/* ---- others ---- */

FILTER(default_)
{
    (void)rt;
    bool missing = v.kind == VAL_UNDEF || (op_true(c->arg[1]) && !op_true(v));
    *out = !missing ? v : c->arg[0].kind == VAL_ABSENT ? vstr_value(vstr_ref(rt->vals, "", 0, false)) : c->arg[0];
    return true;
}

FILTER(attr)
{
    struct vstr *name;
    return arg_str(rt, c->arg[0], &name) && op_attr(rt, v, name, false, out);
}

const struct builtin jinja_filters[] = {
    {"abs", abs_, ""},
    {"attr", attr, "!name"},
    {"batch", batch, "!linecount,fill_with"},
    {"capitalize", capitalize, ""},
    {"center", center, "width"},
    {"count", length, ""},
    {"d", default_, "default_value,boolean"},
    {"default", default_, "default_value,boolean"},
    {"dictsort", dictsort, "case_sensitive,by,reverse"},
    {"e", escape, ""},
    {"escape", escape, ""},
    {"first", first, ""},
    {"float", float_, "default"},
    {"forceescape", forceescape, ""},
    {"format", format, NULL},
    {"from_json", from_json, ""},
    {"groupby", groupby, "!attribute,default,case_sensitive"},
    {"indent", indent, "width,first,blank"},
    {"int", int_, "default,base"},
    {"items", items, ""},
    {"join", join, "d,attribute"},
    {"last", last, ""},
    {"length", length, ""},
    {"list", list, ""},
    {"lower", lower, ""},
    {"map", map, NULL},
    {"max", max, "case_sensitive,attribute"},
    {"min", min, "case_sensitive,attribute"},
    {"reject", reject, NULL},
    {"rejectattr", rejectattr, NULL},
    {"replace", replace, "!old,!new,count"},
    {"reverse", reverse, ""},
    {"round", round_, "precision,method"},
    {"safe", safe, ""},
    {"select", select_, NULL},
    {"selectattr", selectattr, NULL},
    {"slice", slice, "!slices,fill_with"},
    {"sort", sort, "reverse,case_sensitive,attribute"},
    {"string", string, ""},
    {"sum", sum, "attribute,start"},
    {"title", title, ""},
    {"tojson", tojson, "ensure_ascii,indent,separators,sort_keys"},
    {"trim", trim, "chars"},
    {"truncate", truncate, "length,killwords,end,leeway"},
    {"unique", unique, "case_sensitive,attribute"},
    {"upper", upper, ""},
    {"wordcount", wordcount, ""},
};
const size_t n_jinja_filters = sizeof jinja_filters / sizeof *jinja_filters;

/* ---- tests ---- */

#define KIND_TEST(name, yes)                                                                                                            \
    FILTER(name)                                                                                                                       \
    {                                                                                                                                  \
        (void)rt;                                                                                                                      \
        (void)c;                                                                                                                       \
        *out = val_bool(yes);                                                                                                          \
        return true;                                                                                                                   \
    }
KIND_TEST(is_defined, v.kind != VAL_UNDEF)
KIND_TEST(is_undefined, v.kind == VAL_UNDEF)
KIND_TEST(is_none, v.kind == VAL_NONE)
KIND_TEST(is_boolean, v.kind == VAL_BOOL)
KIND_TEST(is_true, v.kind == VAL_BOOL && v.b)
KIND_TEST(is_false, v.kind == VAL_BOOL && !v.b)
KIND_TEST(is_integer, v.kind == VAL_INT)
KIND_TEST(is_float, v.kind == VAL_FLOAT)
KIND_TEST(is_number, op_number(v))
KIND_TEST(is_string, v.kind == VAL_STR)
KIND_TEST(is_mapping, v.kind == VAL_MAP)
KIND_TEST(is_iterable, op_iterable(v))
KIND_TEST(is_sequence, op_iterable(v) && v.kind != VAL_ITER && v.kind != VAL_VIEW)
KIND_TEST(is_callable, v.kind == VAL_UNDEF || v.kind == VAL_MACRO || v.kind == VAL_FUNC || v.kind == VAL_METHOD || v.kind == VAL_JOINER)
KIND_TEST(is_escaped, v.kind == VAL_STR && v.s->safe)
KIND_TEST(is_filter, v.kind == VAL_STR && builtin_find(jinja_filters, n_jinja_filters, v.s->s, v.s->n) != NULL)
KIND_TEST(is_test, v.kind == VAL_STR && builtin_find(jinja_tests, n_jinja_tests, v.s->s, v.s->n) != NULL)

static bool compared(struct rt *rt, enum jinja_compare op, struct value a, struct value b, struct value *out)
{
    bool yes;
    if (!op_compare(rt, op, a, b, &yes))
        return false;
    *out = val_bool(yes);
    return true;
}

#define COMPARE_TEST(name, op)                                                                                                          \
    FILTER(name)                                                                                                                       \
    {                                                                                                                                  \
        return compared(rt, op, v, c->arg[0], out);                                                                                    \
    }
COMPARE_TEST(is_eq, CMP_EQ)
COMPARE_TEST(is_ne, CMP_NE)
COMPARE_TEST(is_lt, CMP_LT)
COMPARE_TEST(is_le, CMP_LE)
COMPARE_TEST(is_gt, CMP_GT)
COMPARE_TEST(is_ge, CMP_GE)
COMPARE_TEST(is_in, CMP_IN)

static bool remainder_is(struct rt *rt, struct value v, struct value by, int64_t rest, struct value *out)
{
    struct value r;
    if (v.kind == VAL_STR)
        return rt_fail(rt, "expected a number, got a string");
    return op_arith(rt, OP_MOD, v, by, &r) && compared(rt, CMP_EQ, r, val_int(rest), out);
}

FILTER(is_odd)
{
    (void)c;
    return remainder_is(rt, v, val_int(2), 1, out);
}

FILTER(is_even)
{
    (void)c;
    return remainder_is(rt, v, val_int(2), 0, out);
}

FILTER(is_divisibleby)
{
    return remainder_is(rt, v, c->arg[0], 0, out);
}

FILTER(is_sameas)
{
    (void)rt;
    struct value o = c->arg[0];
    bool same = v.kind == o.kind;
    if (same && v.kind == VAL_BOOL)
        same = v.b == o.b;
    else if (same && v.kind == VAL_INT)
        same = v.i == o.i;
    else if (same && v.kind == VAL_FLOAT)
        same = v.f == o.f;
    else if (same && v.kind != VAL_NONE && v.kind != VAL_UNDEF)
        same = v.p == o.p;
    *out = val_bool(same);
    return true;
}

static bool case_is(struct rt *rt, struct value v, bool up, struct value *out)
{
    struct vstr *s;
    bool yes;
    if (!rt_str(rt, v, &s) || !str_is(rt, s, up, &yes))
        return false;
    *out = val_bool(yes);
    return true;
}

FILTER(is_lower)
{
    (void)c;
    return case_is(rt, v, false, out);
}

FILTER(is_upper)
{
    (void)c;
    return case_is(rt, v, true, out);
}

const struct builtin jinja_tests[] = {
    {"!=", is_ne, "!other"},
    {"<", is_lt, "!other"},
    {"<=", is_le, "!other"},
    {"==", is_eq, "!other"},
    {">", is_gt, "!other"},
    {">=", is_ge, "!other"},
    {"boolean", is_boolean, ""},
    {"callable", is_callable, ""},
    {"defined", is_defined, ""},
    {"divisibleby", is_divisibleby, "!num"},
    {"eq", is_eq, "!other"},
    {"equalto", is_eq, "!other"},
    {"escaped", is_escaped, ""},
    {"even", is_even, ""},
    {"false", is_false, ""},
    {"filter", is_filter, ""},
    {"float", is_float, ""},
    {"ge", is_ge, "!other"},
    {"greaterthan", is_gt, "!other"},
    {"gt", is_gt, "!other"},
    {"in", is_in, "!seq"},
    {"integer", is_integer, ""},
    {"iterable", is_iterable, ""},
    {"le", is_le, "!other"},
    {"lessthan", is_lt, "!other"},
    {"lower", is_lower, ""},
    {"lt", is_lt, "!other"},
    {"mapping", is_mapping, ""},
    {"ne", is_ne, "!other"},
    {"none", is_none, ""},
    {"number", is_number, ""},
    {"odd", is_odd, ""},
    {"sameas", is_sameas, "!other"},
    {"sequence", is_sequence, ""},
    {"string", is_string, ""},
    {"test", is_test, ""},
    {"true", is_true, ""},
    {"undefined", is_undefined, ""},
    {"upper", is_upper, ""},
};
const size_t n_jinja_tests = sizeof jinja_tests / sizeof *jinja_tests;
