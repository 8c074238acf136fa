/*
 * Functions of templates, methods of lists, mappings, loops and cyclers, and how all of them are called: a table entry names the parameters, and
 * arguments are put into their order before the function sees them.
 *
 * Lists and mappings that the template made can be changed by it; those that were given to it cannot.
 */
#include "config.h"

#include "model/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NESTED 16 /* map("map", "map", ...) */

/* ---- calls ---- */

const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name, size_t len)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2, k = strlen(table[mid].name);
        int d = memcmp(table[mid].name, name, k < len ? k : len);
        d = d ? d : (k > len) - (k < len);
        if (d == 0)
            return &table[mid];
        if (d < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* Arguments to parameters; see struct builtin. */
static bool bind(struct rt *rt, const struct builtin *b, struct call *c)
{
    size_t k = 0, named = 0;
    for (const char *p = b->params; *p; k++) {
        bool must = *p == '!';
        p += must;
        size_t len = strcspn(p, ",");
        c->arg[k] = k < c->n ? c->v[k] : (struct value){0};
        for (size_t i = 0; i < c->n_k; i++) {
            if (c->k[i].name->n != len || memcmp(c->k[i].name->s, p, len) != 0)
                continue;
            if (c->arg[k].kind != VAL_ABSENT)
                return rt_fail(rt, "%s got its argument %.*s twice", b->name, (int)len, p);
            c->arg[k] = c->k[i].v;
            named++;
        }
        if (must && c->arg[k].kind == VAL_ABSENT)
            return rt_fail(rt, "%s needs its argument %.*s", b->name, (int)len, p);
        p += len + (p[len] == ',');
    }
    if (c->n > k)
        return rt_fail(rt, "%s takes at most %zu arguments, not %zu", b->name, k, c->n);
    return named == c->n_k || rt_fail(rt, "%s got an argument that it does not know", b->name);
}

bool builtin_call(struct rt *rt, const struct builtin *b, struct value self, struct call *c, struct value *out)
{
    if (rt->nested == MAX_NESTED)
        return rt_fail(rt, "filters in filters, more than %d deep", MAX_NESTED);
    rt->nested++;
    bool ok = (!b->params || bind(rt, b, c)) && b->fn(rt, self, c, out);
    rt->nested--;
    return ok;
}

/* ---- functions ---- */

/* dict(...): a mapping or pairs, then names. */
static struct vmap *map_of(struct rt *rt, const struct call *c)
{
    struct vmap *m = vmap_new(rt->vals);
    struct vlist *l, *pair;
    if (c->n > 1) {
        rt_say(rt, "expected at most 1 argument, got %zu", c->n);
        return NULL;
    }
    if (c->n && c->v[0].kind == VAL_MAP) {
        for (size_t i = 0; i < c->v[0].m->n; i++)
            if (!op_put(rt, m, c->v[0].m->e[i].key, c->v[0].m->e[i].val))
                return NULL;
    } else if (c->n) {
        if (!op_items(rt, c->v[0], &l))
            return NULL;
        for (size_t i = 0; i < l->n; i++) {
            if (!op_items(rt, l->v[i], &pair))
                return NULL;
            if (pair->n != 2) {
                rt_say(rt, "a mapping is made of pairs, not of %zu values", pair->n);
                return NULL;
            }
            if (!op_put(rt, m, pair->v[0], pair->v[1]))
                return NULL;
        }
    }
    for (size_t i = 0; i < c->n_k; i++)
        if (!op_put(rt, m, vstr_value(c->k[i].name), c->k[i].v))
            return NULL;
    return m;
}

static bool f_dict(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    *out = (struct value){.kind = VAL_MAP, .m = map_of(rt, c)};
    return out->m != NULL;
}

static bool f_namespace(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    *out = (struct value){.kind = VAL_NS, .m = map_of(rt, c)};
    return out->m != NULL;
}

static bool f_range(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    int64_t start = 0, stop, step = 1;
    if (c->arg[1].kind == VAL_ABSENT) {
        if (!op_int(rt, c->arg[0], &stop))
            return false;
    } else if (!op_int(rt, c->arg[0], &start) || !op_int(rt, c->arg[1], &stop) || !arg_int(rt, c->arg[2], 1, &step)) {
        return false;
    }
    if (step == 0)
        return rt_fail(rt, "the step of a range is zero");
    struct range *r = vals_alloc(rt->vals, sizeof *r);
    uint64_t span = step > 0 ? (start < stop ? (uint64_t)stop - (uint64_t)start : 0) : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step, n = span / by + (span % by != 0);
    if (n > LIMIT_TMPL_RANGE)
        return rt_fail(rt, "a range of more than %d numbers", LIMIT_TMPL_RANGE);
    *r = (struct range){start, stop, step, (size_t)n};
    *out = (struct value){.kind = VAL_RANGE, .p = r};
    return true;
}

static bool f_raise(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    (void)out;
    struct vstr *s;
    if (!rt_str(rt, c->arg[0], &s))
        return false;
    rt->e->raised = true;
    return rt_fail(rt, "%.*s", s->n < sizeof rt->e->text ? (int)s->n : (int)sizeof rt->e->text, s->n ? s->s : "");
}

static bool f_strftime(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    struct vstr *s;
    return arg_str(rt, c->arg[0], &s) && text_time(rt, s, out);
}

static bool f_cycler(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    struct cycler *y = vals_alloc(rt->vals, sizeof *y);
    *y = (struct cycler){op_list(rt, c->n), 0};
    if (c->n == 0 || c->n_k)
        return rt_fail(rt, "cycler takes one item at least");
    for (size_t i = 0; i < c->n; i++)
        if (!op_push(rt, y->items, c->v[i]))
            return false;
    *out = (struct value){.kind = VAL_CYCLER, .p = y};
    return true;
}

static bool f_joiner(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)self;
    struct joiner *j = vals_alloc(rt->vals, sizeof *j);
    *j = (struct joiner){vstr_ref(rt->vals, ", ", 2, false), false};
    *out = (struct value){.kind = VAL_JOINER, .p = j};
    return c->arg[0].kind == VAL_ABSENT || arg_str(rt, c->arg[0], &j->sep);
}

const struct builtin jinja_functions[] = {
    {"cycler", f_cycler, NULL},
    {"dict", f_dict, NULL},
    {"joiner", f_joiner, "sep"},
    {"namespace", f_namespace, NULL},
    {"raise_exception", f_raise, "!message"},
    {"range", f_range, "!start,stop,step"},
    {"strftime_now", f_strftime, "!format"},
};
const size_t n_jinja_functions = sizeof jinja_functions / sizeof *jinja_functions;

/* ---- methods of lists ---- */

static bool may_change(struct rt *rt, struct value v)
{
    if (v.kind == VAL_TUPLE)
        return rt_fail(rt, "a tuple cannot be changed");
    return !(v.kind == VAL_LIST ? v.l->frozen : v.m->frozen) || rt_fail(rt, "%s that was given to the template cannot be changed", op_a(v));
}

static bool l_append(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    *out = val_none();
    return may_change(rt, self) && op_push(rt, self.l, c->arg[0]);
}

static bool l_clear(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    *out = val_none();
    if (!may_change(rt, self))
        return false;
    self.l->n = 0;
    return true;
}

static bool copy_list(struct rt *rt, const struct vlist *l, struct value *out)
{
    struct vlist *r = op_list(rt, l->n);
    for (size_t i = 0; r && i < l->n; i++)
        if (!op_push(rt, r, l->v[i]))
            return false;
    *out = (struct value){.kind = VAL_LIST, .l = r};
    return r != NULL;
}

static bool l_copy(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    return copy_list(rt, self.l, out);
}

static bool l_count(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    int64_t n = 0;
    bool same;
    for (size_t i = 0; i < self.l->n; i++) {
        if (!op_equal(rt, self.l->v[i], c->arg[0], &same))
            return false;
        n += same;
    }
    *out = val_int(n);
    return true;
}

static bool l_extend(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vlist *more;
    *out = val_none();
    if (!may_change(rt, self) || !op_items(rt, c->arg[0], &more))
        return false;
    for (size_t i = 0, n = more->n; i < n; i++) /* n: it may be the list itself */
        if (!op_push(rt, self.l, more->v[i]))
            return false;
    return true;
}

/* The place of an item, or the count of items. */
static bool place(struct rt *rt, const struct vlist *l, struct value v, size_t *out)
{
    bool same = false;
    for (*out = 0; *out < l->n; ++*out) {
        if (!op_equal(rt, l->v[*out], v, &same))
            return false;
        if (same)
            break;
    }
    return true;
}

static bool l_index(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    size_t i;
    if (!place(rt, self.l, c->arg[0], &i))
        return false;
    *out = val_int((int64_t)i);
    return i < self.l->n || rt_fail(rt, "the value is not in the %s", op_type(self));
}

static bool l_insert(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    int64_t at, n = (int64_t)self.l->n;
    *out = val_none();
    if (!may_change(rt, self) || !op_int(rt, c->arg[0], &at) || !op_push(rt, self.l, c->arg[1]))
        return false;
    at = at < 0 ? (at + n < 0 ? 0 : at + n) : at > n ? n : at;
    memmove(self.l->v + at + 1, self.l->v + at, (size_t)(n - at) * sizeof *self.l->v);
    self.l->v[at] = c->arg[1];
    return rt_spend(rt, (size_t)(n - at) / 4);
}

static bool take_out(struct rt *rt, struct vlist *l, size_t i)
{
    memmove(l->v + i, l->v + i + 1, (l->n - i - 1) * sizeof *l->v);
    l->n--;
    return rt_spend(rt, (l->n - i) / 4);
}

static bool l_pop(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    int64_t at;
    if (!may_change(rt, self) || !arg_int(rt, c->arg[0], -1, &at))
        return false;
    at = at < 0 ? at + (int64_t)self.l->n : at;
    if (at < 0 || (uint64_t)at >= self.l->n)
        return rt_fail(rt, "the list has no element to pop there");
    *out = self.l->v[at];
    return take_out(rt, self.l, (size_t)at);
}

static bool l_remove(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    size_t i;
    *out = val_none();
    if (!may_change(rt, self) || !place(rt, self.l, c->arg[0], &i))
        return false;
    return i < self.l->n ? take_out(rt, self.l, i) : rt_fail(rt, "the value is not in the list");
}

static bool l_reverse(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    *out = val_none();
    if (!may_change(rt, self))
        return false;
    for (size_t i = 0, n = self.l->n; i < n / 2; i++) {
        struct value v = self.l->v[i];
        self.l->v[i] = self.l->v[n - 1 - i];
        self.l->v[n - 1 - i] = v;
    }
    return rt_spend(rt, self.l->n / 4);
}

static bool l_sort(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct value keys;
    *out = val_none();
    return may_change(rt, self) && copy_list(rt, self.l, &keys) && op_sort(rt, keys.l, self.l, op_true(c->arg[0]));
}

const struct builtin list_methods[] = {
    {"append", l_append, "!object"}, {"clear", l_clear, ""},       {"copy", l_copy, ""},
    {"count", l_count, "!value"},    {"extend", l_extend, "!iterable"}, {"index", l_index, "!value"},
    {"insert", l_insert, "!index,!object"}, {"pop", l_pop, "index"},   {"remove", l_remove, "!value"},
    {"reverse", l_reverse, ""},      {"sort", l_sort, "reverse"},
};
const size_t n_list_methods = sizeof list_methods / sizeof *list_methods;

/* ---- methods of mappings ---- */

static bool m_clear(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    *out = val_none();
    if (!may_change(rt, self))
        return false;
    uint64_t seed = self.m->seed;
    *self.m = (struct vmap){.seed = seed};
    return true;
}

static bool m_copy(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    struct call one = {.v = &self, .n = 1};
    *out = (struct value){.kind = VAL_MAP, .m = map_of(rt, &one)};
    return out->m != NULL;
}

/* The member under a key, or NULL. */
static bool member(struct rt *rt, struct value self, struct value key, struct vpair **out)
{
    bool fit = vmap_can_key(key);
    *out = fit ? vmap_find(self.m, key) : NULL;
    return (fit || key.kind == VAL_UNDEF || rt_fail(rt, "%s cannot be the key of a mapping", op_a(key))) &&
           rt_spend(rt, key.kind == VAL_STR ? 1 + COST_MOVE(key.s->n) : 1);
}

static bool m_get(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vpair *e;
    if (!member(rt, self, c->arg[0], &e))
        return false;
    *out = e ? e->val : c->arg[1].kind == VAL_ABSENT ? val_none() : c->arg[1];
    return true;
}

static bool view_of(struct rt *rt, struct value self, char what, struct value *out)
{
    struct view *v = vals_alloc(rt->vals, sizeof *v);
    *v = (struct view){self.m, what};
    *out = (struct value){.kind = VAL_VIEW, .p = v};
    return true;
}

static bool m_items(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    return view_of(rt, self, 'i', out);
}

static bool m_keys(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    return view_of(rt, self, 'k', out);
}

static bool m_values(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    return view_of(rt, self, 'v', out);
}

static bool m_pop(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vpair *e;
    if (!may_change(rt, self) || !member(rt, self, c->arg[0], &e))
        return false;
    if (!e) {
        *out = c->arg[1];
        return out->kind != VAL_ABSENT || rt_fail(rt, "the mapping has no such key to pop");
    }
    *out = e->val;
    vmap_remove(self.m, e);
    return rt_spend(rt, self.m->n);
}

static bool m_popitem(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)c;
    if (!may_change(rt, self))
        return false;
    if (self.m->n == 0)
        return rt_fail(rt, "the mapping is empty");
    struct vpair *e = &self.m->e[self.m->n - 1];
    *out = op_pair(rt, e->key, e->val);
    vmap_remove(self.m, e);
    return rt_spend(rt, self.m->n);
}

static bool m_setdefault(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vpair *e;
    if (!may_change(rt, self) || !member(rt, self, c->arg[0], &e))
        return false;
    *out = e ? e->val : c->arg[1].kind == VAL_ABSENT ? val_none() : c->arg[1];
    return e || op_put(rt, self.m, c->arg[0], *out);
}

static bool m_update(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct vmap *more = may_change(rt, self) ? map_of(rt, c) : NULL;
    *out = val_none();
    for (size_t i = 0; more && i < more->n; i++)
        if (!op_put(rt, self.m, more->e[i].key, more->e[i].val))
            return false;
    return more != NULL;
}

const struct builtin map_methods[] = {
    {"clear", m_clear, ""},      {"copy", m_copy, ""},       {"get", m_get, "!key,default"},  {"items", m_items, ""},
    {"keys", m_keys, ""},        {"pop", m_pop, "!key,default"}, {"popitem", m_popitem, ""}, {"setdefault", m_setdefault, "!key,default"},
    {"update", m_update, NULL},  {"values", m_values, ""},
};
const size_t n_map_methods = sizeof map_methods / sizeof *map_methods;

/* ---- methods of loops and cyclers ---- */

static bool p_changed(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    struct loop *l = self.p;
    struct vlist *now = op_list(rt, c->n);
    bool same = false;
    for (size_t i = 0; now && i < c->n; i++)
        if (!op_push(rt, now, c->v[i]))
            return false;
    if (!now)
        return false;
    struct value v = {.kind = VAL_TUPLE, .l = now};
    if (l->changed.kind != VAL_ABSENT && !op_equal(rt, l->changed, v, &same))
        return false;
    l->changed = v;
    *out = val_bool(!same);
    return true;
}

static bool p_cycle(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    const struct loop *l = self.p;
    if (c->n == 0)
        return rt_fail(rt, "cycle takes one item at least");
    *out = c->v[(l->i - 1) % c->n];
    return true;
}

const struct builtin loop_methods[] = {{"changed", p_changed, NULL}, {"cycle", p_cycle, NULL}};
const size_t n_loop_methods = sizeof loop_methods / sizeof *loop_methods;

static bool y_next(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)rt;
    (void)c;
    struct cycler *y = self.p;
    *out = y->items->v[y->at];
    y->at = (y->at + 1) % y->items->n;
    return true;
}

static bool y_reset(struct rt *rt, struct value self, const struct call *c, struct value *out)
{
    (void)rt;
    (void)c;
    ((struct cycler *)self.p)->at = 0;
    *out = val_none();
    return true;
}

const struct builtin cycler_methods[] = {{"next", y_next, ""}, {"reset", y_reset, ""}};
const size_t n_cycler_methods = sizeof cycler_methods / sizeof *cycler_methods;
