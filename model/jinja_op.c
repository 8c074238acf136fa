/*
 * What values can do in a template: comparison, arithmetic, attributes, items, slices, iteration. Semantics are Python's, with two
 * differences: integers have 64 bits (an overflow is an error), and attributes are only what the tables of methods and the members of a
 * mapping hold. What is undefined may be printed, tested and iterated; anything else with it is an error that says what was missing.
 */
#include "config.h"

#include "model/jinja.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

/* What is not there, and where it was looked for. */
struct undef {
    struct value of, key;
    const char *text;
};

const char *op_a(struct value v)
{
    static const char *const names[] = {
        "nothing", "an undefined value", "none", "a boolean", "an integer", "a float", "a string", "a list", "a tuple", "a mapping",
        "a range", "an iterator", "a view of a mapping", "a namespace", "a loop", "a macro", "a function", "a method", "a cycler", "a joiner",
    };
    return names[v.kind];
}

const char *op_type(struct value v)
{
    const char *s = op_a(v), *space = strchr(s, ' ');
    return space ? space + 1 : s;
}

struct value rt_undef(struct rt *rt, struct value of, struct value key)
{
    struct undef *u = vals_alloc(rt->vals, sizeof *u);
    *u = (struct undef){of, key, NULL};
    return (struct value){.kind = VAL_UNDEF, .p = u};
}

struct value rt_undef_text(struct rt *rt, const char *text)
{
    struct undef *u = vals_alloc(rt->vals, sizeof *u);
    *u = (struct undef){.text = text};
    return (struct value){.kind = VAL_UNDEF, .p = u};
}

void rt_say_absent(struct rt *rt, struct value v)
{
    const struct undef *u = v.p;
    if (!u || u->text)
        rt_say(rt, "%s", u ? u->text : "a value is undefined");
    else if (u->of.kind == VAL_ABSENT)
        rt_say(rt, "'%.*s' is undefined", SHOW(u->key.s));
    else if (u->key.kind == VAL_STR)
        rt_say(rt, "the %s has no member '%.*s'", op_type(u->of), SHOW(u->key.s));
    else if (u->key.kind == VAL_INT)
        rt_say(rt, "the %s has no element %lld", op_type(u->of), (long long)u->key.i);
    else
        rt_say(rt, "the %s has no such element", op_type(u->of));
}

/* ---- making things ---- */

struct vlist *op_list(struct rt *rt, size_t room)
{
    struct vlist *l = vlist_new(rt->vals);
    if (vlist_room(rt->vals, l, room))
        return l;
    rt_over(rt);
    return NULL;
}

bool op_push(struct rt *rt, struct vlist *l, struct value v)
{
    return (vlist_push(rt->vals, l, v) || rt_over(rt)) && rt_spend(rt, 1);
}

struct value op_pair(struct rt *rt, struct value a, struct value b)
{
    struct vlist *l = vlist_new(rt->vals);
    l->v = vals_alloc(rt->vals, 2 * sizeof *l->v);
    l->v[0] = a;
    l->v[1] = b;
    l->n = l->cap = 2;
    return (struct value){.kind = VAL_TUPLE, .l = l};
}

struct value op_iter(struct rt *rt, struct vlist *l)
{
    struct iter *i = vals_alloc(rt->vals, sizeof *i);
    *i = (struct iter){l, 0};
    return (struct value){.kind = VAL_ITER, .p = i};
}

static size_t weight(struct value v)
{
    return v.kind == VAL_STR ? 1 + COST_MOVE(v.s->n) : v.kind == VAL_TUPLE ? 1 + v.l->n : 1;
}

bool op_put(struct rt *rt, struct vmap *m, struct value key, struct value v)
{
    if (key.kind == VAL_UNDEF)
        return rt_absent(rt, key);
    if (!vmap_can_key(key))
        return rt_fail(rt, "%s cannot be the key of a mapping", op_a(key));
    return rt_spend(rt, weight(key)) && (vmap_put(rt->vals, m, key, v) || rt_over(rt));
}

/* ---- numbers ---- */

bool op_number(struct value v)
{
    return v.kind == VAL_BOOL || v.kind == VAL_INT || v.kind == VAL_FLOAT;
}

static double as_float(struct value v)
{
    return v.kind == VAL_FLOAT ? v.f : (double)(v.kind == VAL_BOOL ? v.b : v.i);
}

static int64_t as_int(struct value v)
{
    return v.kind == VAL_BOOL ? v.b : v.i;
}

bool op_int(struct rt *rt, struct value v, int64_t *out)
{
    if (v.kind == VAL_UNDEF)
        return rt_absent(rt, v);
    if (v.kind != VAL_INT && v.kind != VAL_BOOL)
        return rt_fail(rt, "expected an integer, got %s", op_a(v));
    *out = as_int(v);
    return true;
}

bool op_true(struct value v)
{
    switch ((int)v.kind) {
    case VAL_ABSENT:
    case VAL_UNDEF:
    case VAL_NONE:
        return false;
    case VAL_BOOL:
        return v.b;
    case VAL_INT:
        return v.i != 0;
    case VAL_FLOAT:
        return v.f != 0;
    case VAL_STR:
        return v.s->n != 0;
    case VAL_LIST:
    case VAL_TUPLE:
        return v.l->n != 0;
    case VAL_MAP:
        return v.m->n != 0;
    case VAL_RANGE:
        return ((const struct range *)v.p)->n != 0;
    case VAL_VIEW:
        return ((const struct view *)v.p)->m->n != 0;
    default:
        return true;
    }
}

/* ---- comparison ---- */

static bool equal(struct rt *rt, struct value a, struct value b, int depth, bool *out);

static bool equal_lists(struct rt *rt, const struct vlist *a, const struct vlist *b, int depth, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n && i < b->n; i++)
        if (!equal(rt, a->v[i], b->v[i], depth, out))
            return false;
    return true;
}

static bool equal_maps(struct rt *rt, const struct vmap *a, const struct vmap *b, int depth, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        const struct vpair *e = vmap_find(b, a->e[i].key);
        if (!rt_spend(rt, weight(a->e[i].key)))
            return false;
        *out = e != NULL;
        if (e && !equal(rt, a->e[i].val, e->val, depth, out))
            return false;
    }
    return true;
}

static bool equal(struct rt *rt, struct value a, struct value b, int depth, bool *out)
{
    if (depth > LIMIT_TMPL_NEST)
        return rt_fail(rt, "values in values, more than %d deep", LIMIT_TMPL_NEST);
    if (!rt_spend(rt, 1))
        return false;
    if (op_number(a) && op_number(b)) {
        *out = val_number_order(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.kind != b.kind)
        return true;
    switch ((int)a.kind) {
    case VAL_NONE:
    case VAL_UNDEF:
        *out = true;
        return true;
    case VAL_STR:
        *out = vstr_same(a.s, b.s);
        return rt_spend(rt, *out ? COST_MOVE(a.s->n) : 0);
    case VAL_LIST:
    case VAL_TUPLE:
        *out = a.l == b.l;
        return *out || equal_lists(rt, a.l, b.l, depth + 1, out);
    case VAL_MAP:
        *out = a.m == b.m;
        return *out || equal_maps(rt, a.m, b.m, depth + 1, out);
    case VAL_RANGE: {
        const struct range *x = a.p, *y = b.p;
        *out = x->n == y->n && (x->n == 0 || (x->start == y->start && (x->n == 1 || x->step == y->step)));
        return true;
    }
    default:
        *out = a.p == b.p;
        return true;
    }
}

bool op_equal(struct rt *rt, struct value a, struct value b, bool *out)
{
    return equal(rt, a, b, 0, out);
}

static bool order(struct rt *rt, struct value a, struct value b, const char *op, int depth, int *out)
{
    if (op_number(a) && op_number(b)) {
        *out = val_number_order(a, b);
        return rt_spend(rt, 1);
    }
    if (a.kind == VAL_STR && b.kind == VAL_STR) {
        *out = vstr_order(a.s, b.s);
        return rt_spend(rt, 1 + COST_MOVE(a.s->n < b.s->n ? a.s->n : b.s->n));
    }
    if (a.kind == VAL_UNDEF || b.kind == VAL_UNDEF)
        return rt_absent(rt, a.kind == VAL_UNDEF ? a : b);
    if (a.kind != b.kind || (a.kind != VAL_LIST && a.kind != VAL_TUPLE))
        return rt_fail(rt, "'%s' does not compare %s with %s", op, op_a(a), op_a(b));
    if (depth > LIMIT_TMPL_NEST)
        return rt_fail(rt, "values in values, more than %d deep", LIMIT_TMPL_NEST);
    for (size_t i = 0; i < a.l->n && i < b.l->n; i++) {
        bool same;
        if (!equal(rt, a.l->v[i], b.l->v[i], depth + 1, &same))
            return false;
        if (!same)
            return order(rt, a.l->v[i], b.l->v[i], op, depth + 1, out);
    }
    *out = (a.l->n > b.l->n) - (a.l->n < b.l->n);
    return true;
}

bool op_order(struct rt *rt, struct value a, struct value b, const char *op, int *out)
{
    return order(rt, a, b, op, 0, out);
}

static bool in_list(struct rt *rt, const struct vlist *l, struct value v, bool *out)
{
    *out = false;
    for (size_t i = 0; !*out && i < l->n; i++)
        if (!op_equal(rt, l->v[i], v, out))
            return false;
    return true;
}

static bool in_map(struct rt *rt, const struct vmap *m, struct value v, bool *out)
{
    if (v.kind != VAL_UNDEF && !vmap_can_key(v))
        return rt_fail(rt, "%s cannot be the key of a mapping", op_a(v));
    *out = v.kind != VAL_UNDEF && vmap_find(m, v) != NULL;
    return rt_spend(rt, weight(v));
}

static bool contains(struct rt *rt, struct value in, struct value v, bool *out)
{
    struct vlist *l;
    switch ((int)in.kind) {
    case VAL_STR:
        if (v.kind != VAL_STR)
            return rt_fail(rt, "'in' looks for a string in a string, not for %s", op_a(v));
        *out = str_find(in.s->s, 0, in.s->n, v.s->s, v.s->n) != SIZE_MAX;
        return rt_spend(rt, COST_FIND(in.s->n));
    case VAL_MAP:
        return in_map(rt, in.m, v, out);
    case VAL_VIEW:
        if (((const struct view *)in.p)->what == 'k')
            return in_map(rt, ((const struct view *)in.p)->m, v, out);
        break;
    default:
        break;
    }
    return op_items(rt, in, &l) && in_list(rt, l, v, out);
}

bool op_compare(struct rt *rt, enum jinja_compare op, struct value a, struct value b, bool *out)
{
    static const char *const names[] = {"==", "!=", "<", "<=", ">", ">="};
    int d;
    if (op == CMP_EQ || op == CMP_NE || op == CMP_IN || op == CMP_NOT_IN) {
        if (op <= CMP_NE ? !op_equal(rt, a, b, out) : !contains(rt, b, a, out))
            return false;
        *out = *out == (op == CMP_EQ || op == CMP_IN);
        return true;
    }
    if (!op_order(rt, a, b, names[op], &d))
        return false;
    *out = d == 2 ? false : op == CMP_LT ? d < 0 : op == CMP_LE ? d <= 0 : op == CMP_GT ? d > 0 : d >= 0;
    return true;
}

/* ---- arithmetic ---- */

static bool overflow(struct rt *rt)
{
    return rt_fail(rt, "an integer is too large");
}

static bool int_power(struct rt *rt, int64_t a, int64_t n, struct value *out)
{
    int64_t r = 1;
    for (; n; n >>= 1) {
        if ((n & 1) && __builtin_mul_overflow(r, a, &r))
            return overflow(rt);
        if (n > 1 && __builtin_mul_overflow(a, a, &a))
            return overflow(rt);
    }
    *out = val_int(r);
    return true;
}

static bool int_arith(struct rt *rt, enum jinja_op op, int64_t a, int64_t b, struct value *out)
{
    int64_t r = 0;
    switch ((int)op) {
    case OP_ADD:
        if (__builtin_add_overflow(a, b, &r))
            return overflow(rt);
        break;
    case OP_SUB:
        if (__builtin_sub_overflow(a, b, &r))
            return overflow(rt);
        break;
    case OP_MUL:
        if (__builtin_mul_overflow(a, b, &r))
            return overflow(rt);
        break;
    case OP_FLOOR_DIV:
    case OP_MOD:
        if (b == 0)
            return rt_fail(rt, "division by zero");
        if (b == -1) {
            if (op == OP_FLOOR_DIV && __builtin_sub_overflow(0, a, &r))
                return overflow(rt);
            break;
        }
        r = op == OP_MOD ? a % b : a / b;
        if (a % b != 0 && (a % b < 0) != (b < 0))
            r += op == OP_MOD ? b : -1;
        break;
    default:
        BUG("unknown operator");
    }
    *out = val_int(r);
    return true;
}

static bool float_arith(struct rt *rt, enum jinja_op op, double a, double b, struct value *out)
{
    double r = 0;
    switch ((int)op) {
    case OP_ADD:
        r = a + b;
        break;
    case OP_SUB:
        r = a - b;
        break;
    case OP_MUL:
        r = a * b;
        break;
    case OP_POW:
        if (a == 0 && b < 0)
            return rt_fail(rt, "zero to a negative power");
        r = pow(a, b);
        if (isnan(r) && !isnan(a) && !isnan(b))
            return rt_fail(rt, "a root of a negative number");
        if (isinf(r) && isfinite(a) && isfinite(b))
            return rt_fail(rt, "a power is too large");
        break;
    default:
        if (b == 0)
            return rt_fail(rt, "division by zero");
        if (op == OP_DIV) {
            r = a / b;
            break;
        }
        double mod = fmod(a, b), div = (a - mod) / b;
        if (mod == 0) {
            mod = copysign(0, b);
        } else if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
        double whole = floor(div);
        whole = div == 0 ? copysign(0, a / b) : div - whole > 0.5 ? whole + 1 : whole;
        r = op == OP_MOD ? mod : whole;
    }
    *out = val_float(r);
    return true;
}

/* A sequence, n times. */
static bool repeat(struct rt *rt, struct value v, int64_t n, struct value *out)
{
    size_t len = v.kind == VAL_STR ? v.s->n : v.l->n, all;
    n = n < 0 ? 0 : n;
    if (__builtin_mul_overflow(len, (size_t)n, &all) || all > rt->max_text)
        return rt_fail(rt, "the template makes %s of more than %zu MB", op_a(v), rt->max_text >> 20);
    if (len == 0)
        n = 0;
    if (v.kind == VAL_STR) {
        size_t mark = rt->n;
        if (!out_room(rt, all))
            return false;
        while (n--)
            if (!rt_spend(rt, 1) || !out_str(rt, v.s))
                return false;
        return out_done(rt, mark, out) && str_mark(rt, v.s->safe, out);
    }
    struct vlist *l = op_list(rt, all);
    while (l && n--)
        for (size_t i = 0; i < len; i++)
            if (!op_push(rt, l, v.l->v[i]))
                return false;
    *out = (struct value){.kind = v.kind, .l = l};
    return l != NULL;
}

static bool join(struct rt *rt, struct vstr *a, struct vstr *b, struct value *out)
{
    const struct vtail *t = a->tail;
    bool in_place = t && t->n == a->n && t->cap - t->n >= b->n;
    if (a->n + b->n > rt->max_text)
        return rt_fail(rt, "the template makes a text of more than %zu MB", rt->max_text >> 20);
    if (!rt_spend(rt, COST_MOVE(b->n + (in_place ? 0 : a->n))))
        return false;
    struct vstr *s = vstr_join(rt->vals, a, b);
    if (!s)
        return rt_over(rt);
    *out = vstr_value(s);
    return true;
}

/* a + b of texts: one that is safe makes the sum safe, and the other is escaped. */
static bool add(struct rt *rt, struct vstr *a, struct vstr *b, struct value *out)
{
    bool safe = a->safe || b->safe;
    return (!safe || a->safe || str_escape(rt, a, &a)) && (!safe || b->safe || str_escape(rt, b, &b)) && join(rt, a, b, out) &&
           str_mark(rt, safe, out);
}

static bool add_lists(struct rt *rt, struct value a, struct value b, struct value *out)
{
    struct vlist *l = op_list(rt, a.l->n + b.l->n);
    for (size_t i = 0; l && i < a.l->n + b.l->n; i++)
        if (!op_push(rt, l, i < a.l->n ? a.l->v[i] : b.l->v[i - a.l->n]))
            return false;
    *out = (struct value){.kind = a.kind, .l = l};
    return l != NULL;
}

static bool is_sequence(struct value v)
{
    return v.kind == VAL_STR || v.kind == VAL_LIST || v.kind == VAL_TUPLE;
}

bool op_arith(struct rt *rt, enum jinja_op op, struct value a, struct value b, struct value *out)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (op_number(a) && op_number(b)) {
        bool ints = a.kind != VAL_FLOAT && b.kind != VAL_FLOAT;
        if (ints && op == OP_POW && as_int(b) >= 0)
            return int_power(rt, as_int(a), as_int(b), out);
        if (ints && op != OP_DIV && op != OP_POW)
            return int_arith(rt, op, as_int(a), as_int(b), out);
        return float_arith(rt, op, as_float(a), as_float(b), out);
    }
    if (op == OP_MOD && a.kind == VAL_STR) {
        bool several = b.kind == VAL_TUPLE;
        return text_percent(rt, a.s, several ? b.l->v : &b, several ? b.l->n : 1, several ? (struct value){0} : b, out);
    }
    if (a.kind == VAL_UNDEF || b.kind == VAL_UNDEF)
        return rt_absent(rt, a.kind == VAL_UNDEF ? a : b);
    if (op == OP_ADD && a.kind == VAL_STR && b.kind == VAL_STR)
        return add(rt, a.s, b.s, out);
    if (op == OP_ADD && a.kind == b.kind && is_sequence(a))
        return add_lists(rt, a, b, out);
    if (op == OP_MUL && is_sequence(a) && (b.kind == VAL_INT || b.kind == VAL_BOOL))
        return repeat(rt, a, as_int(b), out);
    if (op == OP_MUL && is_sequence(b) && (a.kind == VAL_INT || a.kind == VAL_BOOL))
        return repeat(rt, b, as_int(a), out);
    return rt_fail(rt, "'%s' does not work between %s and %s", names[op - OP_ADD], op_a(a), op_a(b));
}

bool op_sign(struct rt *rt, bool minus, struct value a, struct value *out)
{
    if (a.kind == VAL_UNDEF)
        return rt_absent(rt, a);
    if (!op_number(a))
        return rt_fail(rt, "%s has no sign", op_a(a));
    if (a.kind == VAL_FLOAT)
        *out = val_float(minus ? -a.f : a.f);
    else if (minus)
        return int_arith(rt, OP_SUB, 0, as_int(a), out);
    else
        *out = val_int(as_int(a));
    return true;
}

bool op_concat(struct rt *rt, struct value a, struct value b, struct value *out)
{
    struct vstr *x, *y;
    return rt_str(rt, a, &x) && rt_str(rt, b, &y) && join(rt, x, y, out) && str_mark(rt, false, out);
}

/* ---- attributes and items ---- */

static bool bound(struct rt *rt, struct value self, const struct builtin *b, struct value *out)
{
    struct method *m = vals_alloc(rt->vals, sizeof *m);
    *m = (struct method){self, b};
    *out = (struct value){.kind = VAL_METHOD, .p = m};
    return true;
}

static bool loop_attr(struct rt *rt, const struct loop *l, const struct vstr *name, struct value *out)
{
    static const char *const names[] = {"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem"};
    size_t k = 0, n = l->over.kind == VAL_LIST || l->over.kind == VAL_TUPLE ? l->over.l->n : l->n;
    int64_t i = (int64_t)l->i;
    while (k < sizeof names / sizeof *names && !vstr_is(name, names[k]))
        k++;
    switch (k) {
    case 0:
    case 1:
        *out = val_int(i - (int64_t)k);
        return true;
    case 2:
    case 3:
        *out = val_int((int64_t)n - i + 3 - (int64_t)k);
        return true;
    case 4:
    case 5:
        *out = val_bool(k == 4 ? i == 1 : l->i >= n);
        return true;
    case 6:
        *out = val_int((int64_t)n);
        return true;
    case 7:
    case 8:
        *out = val_int(8 - (int64_t)k);
        return true;
    case 9:
        *out = i > 1 ? l->prev : rt_undef_text(rt, "there is no previous item");
        return true;
    case 10:
        *out = rt_undef_text(rt, "there is no next item");
        return l->i >= n || op_item(rt, l->over, val_int(i), out);
    default:
        return false;
    }
}

static bool macro_attr(struct rt *rt, const struct closure *m, const struct vstr *name, struct value *out)
{
    if (vstr_is(name, "name")) {
        *out = vstr_value(m->proto->name);
        return true;
    }
    if (!vstr_is(name, "arguments"))
        return false;
    struct vlist *l = op_list(rt, m->proto->n_param);
    for (uint32_t i = 0; l && i < m->proto->n_param; i++)
        l->v[l->n++] = vstr_value(rt->prog->names[rt->prog->params[m->proto->param + i]]);
    *out = (struct value){.kind = VAL_TUPLE, .l = l};
    return l != NULL;
}

/* An attribute that is there for every value of the kind. False: there is none of that name. */
static bool own_attr(struct rt *rt, struct value of, const struct vstr *name, struct value *out)
{
    const struct builtin *table = NULL, *b;
    size_t n = 0;
    switch ((int)of.kind) {
    case VAL_STR:
        table = str_methods, n = n_str_methods;
        break;
    case VAL_TUPLE:
        if (of.l->group && (vstr_is(name, "grouper") || vstr_is(name, "list"))) {
            *out = of.l->v[name->s[0] == 'l'];
            return true;
        }
        /* fall through */
    case VAL_LIST:
        table = list_methods, n = n_list_methods;
        break;
    case VAL_MAP:
        table = map_methods, n = n_map_methods;
        break;
    case VAL_NS: {
        struct vpair *e = vmap_find(of.m, vstr_value((struct vstr *)(uintptr_t)name));
        if (e)
            *out = e->val;
        return e != NULL;
    }
    case VAL_LOOP:
        if (loop_attr(rt, of.p, name, out))
            return true;
        table = loop_methods, n = n_loop_methods;
        break;
    case VAL_MACRO:
        return macro_attr(rt, of.p, name, out);
    case VAL_CYCLER: {
        const struct cycler *c = of.p;
        if (vstr_is(name, "current")) {
            *out = c->items->v[c->at];
            return true;
        }
        table = cycler_methods, n = n_cycler_methods;
        break;
    }
    default:
        return false;
    }
    b = builtin_find(table, n, name->s, name->n);
    return b && bound(rt, of, b, out);
}

bool op_attr(struct rt *rt, struct value of, struct vstr *name, bool items, struct value *out)
{
    if (of.kind == VAL_UNDEF)
        return rt_absent(rt, of);
    if (own_attr(rt, of, name, out))
        return true;
    struct vpair *e = items && of.kind == VAL_MAP ? vmap_find(of.m, vstr_value(name)) : NULL;
    *out = e ? e->val : rt_undef(rt, of, vstr_value(name));
    return rt_spend(rt, 1);
}

size_t op_next_char(const struct vstr *s, size_t at)
{
    size_t len;
    utf8_decode(s->s + at, s->n - at, &len);
    return at + len;
}

size_t op_char_at(struct vstr *s, size_t i)
{
    size_t at = 0;
    if (vstr_ascii(s))
        return i;
    while (i--)
        at = op_next_char(s, at);
    return at;
}

int64_t op_range_at(const struct range *r, size_t i)
{
    return r->start + (int64_t)i * r->step;
}

/* Element i of a sequence; false if it has none (or is none). */
static bool element(struct rt *rt, struct value of, int64_t i, struct value *out)
{
    size_t n;
    if ((!is_sequence(of) && of.kind != VAL_RANGE) || !op_len(rt, of, &n))
        return false;
    i = i < 0 ? i + (int64_t)n : i;
    if (i < 0 || (uint64_t)i >= n)
        return false;
    if (of.kind == VAL_STR) {
        size_t at = op_char_at(of.s, (size_t)i);
        *out = vstr_value(vstr_sub(rt->vals, of.s, at, op_next_char(of.s, at)));
        rt_spend(rt, vstr_ascii(of.s) ? 1 : COST_CHARS(at));
    } else {
        *out = of.kind == VAL_RANGE ? val_int(op_range_at(of.p, (size_t)i)) : of.l->v[i];
    }
    return true;
}

bool op_item(struct rt *rt, struct value of, struct value key, struct value *out)
{
    if (of.kind == VAL_UNDEF)
        return rt_absent(rt, of);
    if (of.kind == VAL_MAP) {
        struct vpair *e = vmap_can_key(key) ? vmap_find(of.m, key) : NULL;
        if (!rt_spend(rt, weight(key)))
            return false;
        if (e) {
            *out = e->val;
            return true;
        }
    } else if ((key.kind == VAL_INT || key.kind == VAL_BOOL) && element(rt, of, as_int(key), out)) {
        return rt_spend(rt, 1);
    }
    if (key.kind != VAL_STR || !own_attr(rt, of, key.s, out))
        *out = rt_undef(rt, of, key);
    return true;
}

/* One end of a slice: none, or an integer, moved into [low, high]. */
static bool bound_of(struct rt *rt, struct value v, int64_t n, int64_t low, int64_t high, int64_t missing, int64_t *out)
{
    if (v.kind == VAL_NONE) {
        *out = missing;
        return true;
    }
    if (!op_int(rt, v, out))
        return false;
    if (*out < 0)
        *out += n;
    *out = *out < low ? low : *out > high ? high : *out;
    return true;
}

bool op_slice(struct rt *rt, struct value of, const struct value part[3], struct value *out)
{
    size_t len;
    int64_t from, to, step = 1;
    if (of.kind == VAL_UNDEF)
        return rt_absent(rt, of);
    if (!is_sequence(of) && of.kind != VAL_RANGE)
        return rt_fail(rt, "%s has no slices", op_a(of));
    if (!op_len(rt, of, &len) || (part[2].kind != VAL_NONE && !op_int(rt, part[2], &step)))
        return false;
    if (step == 0)
        return rt_fail(rt, "the step of a slice is zero");
    int64_t n = (int64_t)len, low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    step = step < -n - 1 ? -n - 1 : step > n + 1 ? n + 1 : step;
    if (!bound_of(rt, part[0], n, low, high, step < 0 ? high : 0, &from) || !bound_of(rt, part[1], n, low, high, step < 0 ? -1 : n, &to))
        return false;
    int64_t count = step > 0 ? (to - from + step - 1) / step : (to - from + step + 1) / step;
    count = count < 0 ? 0 : count;
    if (of.kind == VAL_STR && step == 1) {
        size_t a = op_char_at(of.s, (size_t)from), b = a;
        if (vstr_ascii(of.s))
            b = a + (size_t)count;
        for (int64_t k = 0; !vstr_ascii(of.s) && k < count; k++)
            b = op_next_char(of.s, b);
        *out = vstr_value(vstr_sub(rt->vals, of.s, a, b));
        return rt_spend(rt, vstr_ascii(of.s) ? 1 : COST_CHARS(b));
    }
    if (of.kind == VAL_STR) {
        size_t mark = rt->n;
        struct value one = {0};
        struct vlist *chars;
        if (!op_items(rt, of, &chars))
            return false;
        for (int64_t k = 0; k < count; k++) {
            one = chars->v[from + k * step];
            if (!rt_spend(rt, 1) || !out_str(rt, one.s))
                return false;
        }
        return out_done(rt, mark, out) && str_mark(rt, of.s->safe, out);
    }
    if (of.kind == VAL_RANGE) {
        const struct range *r = of.p;
        struct range *s = vals_alloc(rt->vals, sizeof *s);
        *s = (struct range){r->start + from * r->step, r->start + to * r->step, r->step * step, (size_t)count};
        *out = (struct value){.kind = VAL_RANGE, .p = s};
        return true;
    }
    struct vlist *l = op_list(rt, (size_t)count);
    for (int64_t k = 0; l && k < count; k++)
        if (!op_push(rt, l, of.l->v[from + k * step]))
            return false;
    *out = (struct value){.kind = of.kind, .l = l};
    return l != NULL;
}

/* ---- iteration ---- */

bool op_chars(struct rt *rt, struct vstr *s, size_t *out)
{
    bool counted = s->chars != VSTR_UNCOUNTED;
    *out = vstr_chars(s);
    return counted || rt_spend(rt, vstr_ascii(s) ? COST_FIND(s->n) : COST_CHARS(s->n));
}

bool op_len(struct rt *rt, struct value v, size_t *out)
{
    *out = 0;
    switch ((int)v.kind) {
    case VAL_UNDEF:
        return true;
    case VAL_STR:
        return op_chars(rt, v.s, out);
    case VAL_LIST:
    case VAL_TUPLE:
        *out = v.l->n;
        return true;
    case VAL_MAP:
        *out = v.m->n;
        return true;
    case VAL_RANGE:
        *out = ((const struct range *)v.p)->n;
        return true;
    case VAL_VIEW:
        *out = ((const struct view *)v.p)->m->n;
        return true;
    default:
        return rt_fail(rt, "%s has no length", op_a(v));
    }
}

bool op_iterable(struct value v)
{
    return is_sequence(v) || v.kind == VAL_MAP || v.kind == VAL_RANGE || v.kind == VAL_ITER || v.kind == VAL_VIEW || v.kind == VAL_UNDEF;
}

static struct value map_item(struct rt *rt, const struct vpair *e, char what)
{
    return what == 'k' ? e->key : what == 'v' ? e->val : op_pair(rt, e->key, e->val);
}

bool op_items(struct rt *rt, struct value v, struct vlist **out)
{
    struct vlist *l;
    const struct vmap *m = NULL;
    size_t n = 0;
    char what = 'k';
    switch ((int)v.kind) {
    case VAL_LIST:
    case VAL_TUPLE:
        *out = v.l;
        return true;
    case VAL_ITER: {
        struct iter *i = v.p;
        l = vlist_new(rt->vals);
        if (i->at < i->l->n)
            *l = (struct vlist){.v = i->l->v + i->at, .n = i->l->n - i->at, .cap = i->l->n - i->at};
        i->at = i->l->n;
        *out = l;
        return true;
    }
    case VAL_MAP:
        m = v.m;
        break;
    case VAL_VIEW:
        m = ((const struct view *)v.p)->m;
        what = ((const struct view *)v.p)->what;
        break;
    default:
        if (!op_iterable(v))
            return rt_fail(rt, "%s cannot be iterated", op_a(v));
    }
    if (m)
        n = m->n;
    else if (!op_len(rt, v, &n))
        return false;
    l = op_list(rt, n);
    if (!l)
        return false;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        struct value item;
        if (m) {
            item = map_item(rt, &m->e[i], what);
        } else if (v.kind == VAL_RANGE) {
            item = val_int(op_range_at(v.p, i));
        } else {
            size_t end = op_next_char(v.s, at);
            item = vstr_value(vstr_sub(rt->vals, v.s, at, end));
            at = end;
        }
        if (vals_over(rt->vals) ? !rt_over(rt) : !op_push(rt, l, item))
            return false;
    }
    *out = l;
    return true;
}
