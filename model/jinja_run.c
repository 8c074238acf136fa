/*
 * Running a template: a stack machine. Variables live in scopes: the top level is an array by variable, the others are short lists,
 * innermost first. A loop's pass gets a fresh scope, unless no macro holds the old one, which is then emptied and used again.
 *
 * All that is printed goes into one buffer, each byte with a tag that says whether it is foreign; what is captured (macros, set
 * blocks) and texts under construction are its end for a while (out_take). Loops remember the state at their begin, so that break and
 * continue need no unwinding code.
 *
 * Every instruction costs one unit of work, whatever handles bytes or items costs more (rt_spend); passes and calls are counted apart.
 */
#include "config.h"

#include "model/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MAX_STACK 100000

struct slot {
    int32_t var;
    struct value v;
};

struct scope {
    struct scope *parent;
    struct loop *loop; /* whose pass it is */
    struct slot *slot;
    uint32_t n, cap;
    bool kept; /* a macro was defined here */
};

struct frame {
    uint32_t back;
    struct scope *scope;
    size_t n_running, n_marks, mark;
};

/* ---- errors and budgets ---- */

void rt_say(struct rt *rt, const char *fmt, ...)
{
    if (*rt->e->text)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rt->e->text, sizeof rt->e->text, fmt, ap);
    va_end(ap);
}

bool rt_spend(struct rt *rt, size_t work)
{
    if (work > (size_t)rt->work) {
        rt->work = 0;
        return rt_fail(rt, "the template does not come to an end: more than %d million steps", LIMIT_TMPL_WORK / 1000000);
    }
    rt->work -= (int64_t)work;
    return true;
}

static bool spend_pass(struct rt *rt)
{
    if (rt->loops-- > 0)
        return true;
    rt->loops = 0;
    return rt_fail(rt, "the template does not come to an end: more than %d passes through its loops", LIMIT_TMPL_LOOPS);
}

/* ---- output ---- */

bool out_room(struct rt *rt, size_t n)
{
    return (n <= rt->max_text && rt->n <= rt->max_text - n) || rt_fail(rt, "the template makes a text of more than %zu MB", rt->max_text >> 20);
}

bool out_bytes(struct rt *rt, const char *s, size_t n, bool foreign)
{
    if (!out_room(rt, n) || !rt_spend(rt, COST_MOVE(n)))
        return false;
    if (rt->n + n > rt->cap) {
        size_t need = rt->n + n;
        rt->cap = need > 1 << 20 ? need + need / 8 : need > 2048 ? need * 2 : 4096;
        rt->text = mem_grow(rt->text, rt->cap, 1);
        rt->tag = mem_grow(rt->tag, rt->cap, 1);
    }
    if (n) {
        memcpy(rt->text + rt->n, s, n);
        memset(rt->tag + rt->n, foreign, n);
    }
    rt->n += n;
    return true;
}

bool out_cstr(struct rt *rt, const char *s)
{
    return out_bytes(rt, s, strlen(s), false);
}

bool out_part(struct rt *rt, const struct vstr *s, size_t from, size_t to)
{
    size_t at = rt->n;
    if (!out_bytes(rt, s->s + from, to - from, s->foreign))
        return false;
    if (s->tag && to > from)
        memcpy(rt->tag + at, s->tag + from, to - from);
    return true;
}

bool out_str(struct rt *rt, const struct vstr *s)
{
    return out_part(rt, s, 0, s->n);
}

struct vstr *out_take(struct rt *rt, size_t mark)
{
    size_t n = rt->n - mark;
    rt->n = mark;
    if (n == 0)
        return vstr_ref(rt->vals, "", 0, false);
    bool foreign = rt->tag[mark];
    struct vstr *s = vstr_copy(rt->vals, rt->text + mark, n, foreign);
    if (s && memchr(rt->tag + mark, !foreign, n)) {
        uint8_t *tag = vals_alloc(rt->vals, n);
        s->tag = tag;
        if (tag)
            memcpy(tag, rt->tag + mark, n);
        else
            s = NULL;
    }
    if (!s)
        rt_over(rt);
    return s;
}

bool out_done(struct rt *rt, size_t mark, struct value *out)
{
    struct vstr *s = out_take(rt, mark);
    if (!s)
        return false;
    *out = vstr_value(s);
    return true;
}

bool rt_str(struct rt *rt, struct value v, struct vstr **out)
{
    if (v.kind == VAL_STR) {
        *out = v.s;
        return true;
    }
    size_t mark = rt->n;
    return out_value(rt, v) && (*out = out_take(rt, mark)) != NULL;
}

/* ---- stack and variables ---- */

static bool push(struct rt *rt, struct value v)
{
    if (rt->sp == rt->cap_stack) {
        if (rt->cap_stack >= MAX_STACK)
            return rt_fail(rt, "an expression of the template is too large");
        rt->cap_stack *= 2;
        rt->stack = mem_grow(rt->stack, rt->cap_stack, sizeof *rt->stack);
    }
    rt->stack[rt->sp++] = v;
    return true;
}

static struct value pop(struct rt *rt)
{
    return rt->stack[--rt->sp];
}

static struct value *top(struct rt *rt)
{
    return &rt->stack[rt->sp - 1];
}

static struct slot *find_slot(const struct scope *s, int32_t var)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->slot[i].var == var)
            return &s->slot[i];
    return NULL;
}

static bool load(struct rt *rt, int32_t var)
{
    struct vstr *name = rt->prog->names[var];
    for (const struct scope *s = rt->scope; s; s = s->parent) {
        const struct slot *slot = find_slot(s, var);
        if (!rt_spend(rt, 1 + s->n / 8))
            return false;
        if (slot)
            return push(rt, slot->v.kind == VAL_ABSENT ? rt_undef(rt, (struct value){0}, vstr_value(name)) : slot->v);
        if (s->loop && !s->loop->kept && vstr_is(name, "loop"))
            return push(rt, (struct value){.kind = VAL_LOOP, .p = s->loop});
    }
    struct value v = rt->globals[var];
    return push(rt, v.kind == VAL_ABSENT ? rt_undef(rt, v, vstr_value(name)) : v);
}

static bool scope_set(struct rt *rt, struct scope *s, int32_t var, struct value v)
{
    struct slot *slot = find_slot(s, var);
    if (slot) {
        slot->v = v;
        return true;
    }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 4;
        slot = vals_alloc(rt->vals, cap * sizeof *slot);
        if (!slot)
            return rt_over(rt);
        if (s->n)
            memcpy(slot, s->slot, s->n * sizeof *slot);
        s->slot = slot;
        s->cap = cap;
    }
    s->slot[s->n++] = (struct slot){var, v};
    return rt_spend(rt, 1 + s->n / 8);
}

static bool store(struct rt *rt, int32_t var, struct value v)
{
    if (rt->scope)
        return scope_set(rt, rt->scope, var, v);
    rt->globals[var] = v;
    return true;
}

static struct scope *scope_new(struct rt *rt, struct scope *parent)
{
    struct scope *s = vals_alloc(rt->vals, sizeof *s);
    *s = (struct scope){.parent = parent};
    return s;
}

static bool store_member(struct rt *rt, struct value name)
{
    struct value ns = pop(rt), v = pop(rt);
    if (ns.kind != VAL_NS)
        return ns.kind == VAL_UNDEF ? rt_absent(rt, ns) : rt_fail(rt, "only a namespace has members that can be set, not %s", op_a(ns));
    return op_put(rt, ns.m, name, v);
}

/* ---- loops ---- */

static struct loop *running(struct rt *rt)
{
    return rt->running[rt->n_running - 1];
}

/* Back to what was when the loop began. */
static void unwind(struct rt *rt, const struct loop *l)
{
    if (rt->n_marks > l->marks) {
        rt->n = rt->marks[l->marks];
        rt->n_marks = l->marks;
    }
    rt->sp = l->sp;
    rt->scope = l->outer;
}

static bool loop_begin(struct rt *rt, bool filtering)
{
    struct loop *l = vals_alloc(rt->vals, sizeof *l);
    *l = (struct loop){.over = pop(rt), .outer = rt->scope, .sp = rt->sp, .marks = rt->n_marks};
    if (l->over.kind == VAL_RANGE) {
        l->n = ((const struct range *)l->over.p)->n;
    } else if (l->over.kind == VAL_STR) {
        if (!op_chars(rt, l->over.s, &l->n))
            return false;
    } else if (l->over.kind != VAL_LIST && l->over.kind != VAL_TUPLE) {
        struct vlist *items;
        if (!op_items(rt, l->over, &items))
            return false;
        l->over = (struct value){.kind = VAL_LIST, .l = items};
    }
    if (filtering)
        l->kept = vlist_new(rt->vals);
    if (rt->n_running == rt->cap_running) {
        rt->cap_running = rt->cap_running ? rt->cap_running * 2 : 16;
        rt->running = mem_grow(rt->running, rt->cap_running, sizeof *rt->running);
    }
    rt->running[rt->n_running++] = l;
    return true;
}

/* *more: there was another item, and it is pushed. */
static bool loop_next(struct rt *rt, bool *more)
{
    struct loop *l = running(rt);
    unwind(rt, l);
    if (l->over.kind == VAL_LIST || l->over.kind == VAL_TUPLE)
        l->n = l->over.l->n;
    *more = l->i < l->n;
    if (!*more)
        return true;
    l->prev = l->item;
    if (l->over.kind == VAL_RANGE) {
        l->item = val_int(op_range_at(l->over.p, l->i));
    } else if (l->over.kind == VAL_STR) {
        size_t end = op_next_char(l->over.s, l->at);
        l->item = vstr_value(vstr_sub(rt->vals, l->over.s, l->at, end));
        l->at = end;
    } else {
        l->item = l->over.l->v[l->i];
    }
    l->i++;
    if (!l->scope || l->scope->kept) {
        l->scope = scope_new(rt, l->outer);
        l->scope->loop = l;
    }
    l->scope->n = 0;
    rt->scope = l->scope;
    return spend_pass(rt) && push(rt, l->item);
}

static bool loop_end(struct rt *rt, bool tell)
{
    struct loop *l = running(rt);
    unwind(rt, l);
    rt->n_running--;
    if (l->kept)
        return push(rt, (struct value){.kind = VAL_LIST, .l = l->kept});
    return !tell || push(rt, val_bool(!l->completed));
}

/* ---- sequences ---- */

static bool unpack(struct rt *rt, size_t n)
{
    struct value v = pop(rt);
    struct vlist *l;
    if (!op_items(rt, v, &l))
        return false;
    if (l->n != n)
        return rt_fail(rt, "%zu values for %zu names", l->n, n);
    while (n--)
        if (!push(rt, l->v[n]))
            return false;
    return true;
}

/* The b values on top become a list, or go to the list below them (`more`). */
static bool make_list(struct rt *rt, const struct ins *i, bool more)
{
    size_t n = (size_t)i->b;
    struct value *v = rt->stack + rt->sp - n;
    struct vlist *l = more ? v[-1].l : op_list(rt, n);
    if (!l)
        return false;
    rt->sp -= n;
    for (size_t k = 0; k < n; k++)
        if (!op_push(rt, l, v[k]))
            return false;
    return more || push(rt, (struct value){.kind = i->op == OP_TUPLE ? VAL_TUPLE : VAL_LIST, .l = l});
}

static bool make_map(struct rt *rt, const struct ins *i, bool more)
{
    size_t n = (size_t)i->b;
    struct value *v = rt->stack + rt->sp - 2 * n;
    struct vmap *m = more ? v[-1].m : vmap_new(rt->vals);
    rt->sp -= 2 * n;
    for (size_t k = 0; k < n; k++)
        if (!op_put(rt, m, v[2 * k], v[2 * k + 1]))
            return false;
    return more || push(rt, (struct value){.kind = VAL_MAP, .m = m});
}

/* ---- calls ---- */

static bool gather_map(struct rt *rt, struct value v, struct named *k, size_t *n_k)
{
    for (size_t i = 0; i < v.m->n; i++) {
        if (v.m->e[i].key.kind != VAL_STR)
            return rt_fail(rt, "an argument behind ** has a name that is no text");
        k[(*n_k)++] = (struct named){v.m->e[i].key.s, v.m->e[i].val};
    }
    return rt_spend(rt, v.m->n);
}

/* Takes the arguments of the instruction from the stack. */
static bool gather(struct rt *rt, const struct ins *i, struct call *c)
{
    rt->sp -= i->n;
    const struct value *v = rt->stack + rt->sp;
    *c = (struct call){.v = v, .n = i->n};
    if (i->a < 0)
        return true;
    const struct arg *kinds = &rt->prog->args[i->a];
    size_t room = 0;
    for (uint16_t x = 0; x < i->n; x++) {
        if (kinds[x].kind == ARG_MAP && v[x].kind != VAL_MAP)
            return rt_fail(rt, "the argument behind ** is %s, not a mapping", op_a(v[x]));
        room += kinds[x].kind == ARG_MAP ? v[x].m->n : kinds[x].kind == ARG_NAMED;
    }
    struct vlist *l = op_list(rt, i->n);
    struct named *k = vals_alloc(rt->vals, room * sizeof *k);
    if (!l || !k)
        return rt_over(rt);
    c->k = k;
    for (uint16_t x = 0; x < i->n; x++) {
        struct vlist *more;
        switch (kinds[x].kind) {
        case ARG_PLAIN:
            if (!op_push(rt, l, v[x]))
                return false;
            break;
        case ARG_NAMED:
            k[c->n_k++] = (struct named){kinds[x].name, v[x]};
            break;
        case ARG_MAP:
            if (!gather_map(rt, v[x], k, &c->n_k))
                return false;
            break;
        case ARG_LIST:
            if (!op_items(rt, v[x], &more))
                return false;
            for (size_t m = 0; m < more->n; m++)
                if (!op_push(rt, l, more->v[m]))
                    return false;
            break;
        }
    }
    c->v = l->v;
    c->n = l->n;
    return true;
}

static int32_t variable(const struct rt *rt, const char *name)
{
    for (size_t i = 0; i < rt->prog->n_names; i++)
        if (vstr_is(rt->prog->names[i], name))
            return (int32_t)i;
    return -1;
}

/* Parameters and arguments of a macro into its scope. */
static bool bind(struct rt *rt, const struct proto *p, const struct call *c, struct scope *s)
{
    const int32_t *param = rt->prog->params + p->param;
    struct vmap *rest = vmap_new(rt->vals);
    struct value caller = {0};
    for (size_t i = 0; i < p->n_param; i++)
        if (!scope_set(rt, s, param[i], i < c->n ? c->v[i] : (struct value){0}))
            return false;
    for (size_t k = 0; k < c->n_k; k++) {
        const struct vstr *name = c->k[k].name;
        size_t i = c->n < p->n_param ? c->n : p->n_param;
        while (i < p->n_param && !vstr_same(rt->prog->names[param[i]], name))
            i++;
        bool ok = true;
        if (i < p->n_param)
            ok = scope_set(rt, s, param[i], c->k[k].v);
        else if (vstr_is(name, "caller"))
            caller = c->k[k].v;
        else
            ok = op_put(rt, rest, vstr_value(c->k[k].name), c->k[k].v);
        if (!ok)
            return false;
    }
    if (c->n > p->n_param && !p->varargs)
        return rt_fail(rt, "the macro %.*s takes at most %u arguments, not %zu", SHOW(p->name), p->n_param, c->n);
    if (rest->n && !p->kwargs)
        return rt_fail(rt, "the macro %.*s has no parameter %.*s", SHOW(p->name), SHOW(rest->e[0].key.s));
    if (caller.kind != VAL_ABSENT && !p->caller)
        return rt_fail(rt, "the macro %.*s does not use caller()", SHOW(p->name));
    struct vlist *more = op_list(rt, 0);
    for (size_t i = p->n_param; i < c->n; i++)
        if (!op_push(rt, more, c->v[i]))
            return false;
    return (!p->caller || scope_set(rt, s, variable(rt, "caller"), caller)) &&
           (!p->varargs || scope_set(rt, s, variable(rt, "varargs"), (struct value){.kind = VAL_TUPLE, .l = more})) &&
           (!p->kwargs || scope_set(rt, s, variable(rt, "kwargs"), (struct value){.kind = VAL_MAP, .m = rest}));
}

static bool enter(struct rt *rt, const struct closure *m, const struct call *c, size_t *pc)
{
    struct scope *s = scope_new(rt, m->scope);
    if (rt->n_frames == LIMIT_TMPL_CALLS)
        return rt_fail(rt, "macros that call macros, more than %d deep", LIMIT_TMPL_CALLS);
    if (!spend_pass(rt) || !bind(rt, m->proto, c, s))
        return false;
    rt->frames[rt->n_frames++] = (struct frame){(uint32_t)*pc, rt->scope, rt->n_running, rt->n_marks, rt->n};
    rt->scope = s;
    *pc = m->proto->entry;
    return true;
}

static bool leave(struct rt *rt, size_t *pc)
{
    const struct frame *f = &rt->frames[--rt->n_frames];
    struct value v;
    *pc = f->back;
    rt->scope = f->scope;
    rt->n_running = f->n_running;
    rt->n_marks = f->n_marks;
    return out_done(rt, f->mark, &v) && push(rt, v);
}

static bool joiner_call(struct rt *rt, struct joiner *j)
{
    struct vstr *s = j->used ? j->sep : vstr_ref(rt->vals, "", 0, false);
    j->used = true;
    return push(rt, vstr_value(s));
}

static bool call(struct rt *rt, const struct ins *i, size_t *pc)
{
    struct call c;
    struct value out = {0};
    if (!gather(rt, i, &c))
        return false;
    struct value f = pop(rt);
    switch ((int)f.kind) {
    case VAL_MACRO:
        return enter(rt, f.p, &c, pc);
    case VAL_FUNC:
        return builtin_call(rt, f.p, (struct value){0}, &c, &out) && push(rt, out);
    case VAL_METHOD: {
        const struct method *m = f.p;
        return builtin_call(rt, m->fn, m->self, &c, &out) && push(rt, out);
    }
    case VAL_JOINER:
        return joiner_call(rt, f.p);
    case VAL_UNDEF:
        return rt_absent(rt, f);
    default:
        return rt_fail(rt, "%s cannot be called", op_a(f));
    }
}

static bool apply(struct rt *rt, const struct ins *i, const struct builtin *table)
{
    struct call c;
    struct value out = {0};
    if (!gather(rt, i, &c))
        return false;
    struct value v = pop(rt);
    return builtin_call(rt, &table[i->b], v, &c, &out) && push(rt, out);
}

static bool closure_push(struct rt *rt, const struct proto *p)
{
    struct closure *m = vals_alloc(rt->vals, sizeof *m);
    *m = (struct closure){p, rt->scope};
    for (struct scope *s = rt->scope; s && !s->kept; s = s->parent)
        s->kept = true;
    return push(rt, (struct value){.kind = VAL_MACRO, .p = m});
}

static bool capture(struct rt *rt)
{
    if (rt->n_marks == rt->cap_marks) {
        rt->cap_marks = rt->cap_marks ? rt->cap_marks * 2 : 16;
        rt->marks = mem_grow(rt->marks, rt->cap_marks, sizeof *rt->marks);
    }
    rt->marks[rt->n_marks++] = rt->n;
    return true;
}

/* ---- the machine ---- */

/* Operators: those that take two values and leave one, and some that take one. */
static bool operate(struct rt *rt, const struct ins *i)
{
    struct value b = pop(rt), *a = top(rt), part[3];
    bool yes;
    switch ((enum jinja_op)i->op) {
    case OP_CONCAT:
        return op_concat(rt, *a, b, a);
    case OP_COMPARE:
        if (!op_compare(rt, (enum jinja_compare)i->n, *a, b, &yes))
            return false;
        *a = val_bool(yes);
        return true;
    case OP_ITEM:
        return op_item(rt, *a, b, a);
    case OP_SLICE:
        part[2] = b;
        part[1] = pop(rt);
        part[0] = pop(rt);
        a = top(rt);
        return op_slice(rt, *a, part, a);
    default:
        return op_arith(rt, (enum jinja_op)i->op, *a, b, a);
    }
}

/* x < y < ...: see OP_CHAIN. */
static bool chain(struct rt *rt, const struct ins *i, size_t *pc)
{
    struct value b = pop(rt), *a = top(rt);
    bool yes;
    if (!op_compare(rt, (enum jinja_compare)i->n, *a, b, &yes))
        return false;
    *a = yes ? b : val_bool(false);
    *pc += yes ? 0 : (size_t)i->a;
    return true;
}

static bool step_block(struct rt *rt, const struct ins *i, size_t *pc)
{
    struct value v;
    bool more;
    switch ((enum jinja_op)i->op) {
    case OP_FOR:
        return loop_begin(rt, i->n);
    case OP_NEXT:
        if (!loop_next(rt, &more))
            return false;
        *pc += more ? 0 : (size_t)i->a;
        return true;
    case OP_DONE:
        running(rt)->completed = true;
        return true;
    case OP_END_FOR:
    case OP_FILTERED:
        return loop_end(rt, i->n);
    case OP_KEEP:
        return !op_true(pop(rt)) || op_push(rt, running(rt)->kept, running(rt)->item);
    case OP_SCOPE:
        rt->scope = scope_new(rt, rt->scope);
        return true;
    case OP_END_SCOPE:
        rt->scope = rt->scope->parent;
        return true;
    case OP_CAPTURE:
        return capture(rt);
    case OP_END_CAPTURE:
        return out_done(rt, rt->marks[--rt->n_marks], &v) && push(rt, v);
    case OP_MACRO:
        return closure_push(rt, &rt->prog->protos[i->a]);
    case OP_IF_GIVEN:
        *pc += find_slot(rt->scope, i->b)->v.kind == VAL_ABSENT ? 0 : (size_t)i->a;
        return true;
    case OP_RETURN:
        return leave(rt, pc);
    case OP_CALL:
        return call(rt, i, pc);
    default:
        BUG("unknown instruction");
    }
}

static bool step(struct rt *rt, const struct ins *i, size_t *pc)
{
    struct value v, *t;
    switch ((enum jinja_op)i->op) {
    case OP_CONST:
        return push(rt, rt->prog->consts[i->a]);
    case OP_NONE:
        return push(rt, val_none());
    case OP_UNDEF:
        return push(rt, rt_undef_text(rt, "a conditional without else has no value"));
    case OP_LOAD:
        return load(rt, i->a);
    case OP_STORE:
        return store(rt, i->a, pop(rt));
    case OP_STORE_NS:
        return store_member(rt, rt->prog->consts[i->a]);
    case OP_JUMP:
    case OP_BREAK:
        *pc = (size_t)((long)*pc + i->a);
        return true;
    case OP_IF_FALSE:
        *pc += op_true(pop(rt)) ? 0 : (size_t)i->a;
        return true;
    case OP_AND:
    case OP_OR:
        if (op_true(*top(rt)) == (i->op == OP_OR))
            *pc += (size_t)i->a;
        else
            rt->sp--;
        return true;
    case OP_NOT:
        t = top(rt);
        *t = val_bool(!op_true(*t));
        return true;
    case OP_NEG:
    case OP_POS:
        t = top(rt);
        return op_sign(rt, i->op == OP_NEG, *t, t);
    case OP_CHAIN:
        return chain(rt, i, pc);
    case OP_ATTR:
        t = top(rt);
        return op_attr(rt, *t, rt->prog->consts[i->a].s, true, t);
    case OP_TUPLE:
        if (i->b < 0) {
            top(rt)->kind = VAL_TUPLE;
            return true;
        }
        return make_list(rt, i, false);
    case OP_LIST:
        return make_list(rt, i, false);
    case OP_MAP:
        return make_map(rt, i, false);
    case OP_ITEMS_MORE:
        return i->n ? make_map(rt, i, true) : make_list(rt, i, true);
    case OP_FILTER:
        return apply(rt, i, jinja_filters);
    case OP_TEST:
        return apply(rt, i, jinja_tests);
    case OP_PRINT:
        v = pop(rt);
        return out_value(rt, v);
    case OP_TEXT:
        return out_str(rt, rt->prog->consts[i->a].s);
    case OP_UNPACK:
        return unpack(rt, i->n);
    case OP_UNKNOWN:
        v = rt->prog->consts[i->a];
        return rt_fail(rt, "there is no %s '%.*s'", i->n ? "test" : "filter", SHOW(v.s));
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_FLOOR_DIV:
    case OP_MOD:
    case OP_POW:
    case OP_CONCAT:
    case OP_COMPARE:
    case OP_ITEM:
    case OP_SLICE:
        return operate(rt, i);
    default:
        return step_block(rt, i, pc);
    }
}

static bool run(struct rt *rt)
{
    for (size_t pc = 0;;) {
        const struct ins *i = &rt->prog->code[pc++];
        if (i->op == OP_END)
            return true;
        if (!rt_spend(rt, 1) || !step(rt, i, &pc) || (vals_over(rt->vals) && !rt_over(rt))) {
            jinja_where(rt->prog->src, rt->prog->n_src, i->pos, rt->e);
            return false;
        }
    }
}

/* What the names mean at the begin: a variable that was given, or one of the functions. */
static void globals(struct rt *rt, struct value vars)
{
    const struct jinja *j = rt->prog;
    rt->globals = mem_array(j->n_names, sizeof *rt->globals);
    for (size_t i = 0; i < j->n_names; i++) {
        const struct vstr *name = j->names[i];
        struct vpair *e = vars.kind == VAL_MAP ? vmap_find_text(vars.m, name->s, name->n) : NULL;
        const struct builtin *b = e ? NULL : builtin_find(jinja_functions, n_jinja_functions, name->s, name->n);
        if (e)
            rt->globals[i] = e->val;
        else if (b)
            rt->globals[i] = (struct value){.kind = VAL_FUNC, .p = (void *)(uintptr_t)b};
    }
}

/* The output, and its foreign stretches. */
static bool deliver(const struct rt *rt, struct buf *out, struct tok_span **spans, size_t *n_spans, struct jinja_error *e)
{
    size_t base = out->len, n = 0, cap = 0;
    if (rt->n)
        buf_add(out, rt->text, rt->n);
    if (buf_over(out)) {
        snprintf(e->text, sizeof e->text, "the prompt is longer than %zu bytes", out->max);
        return false;
    }
    if (!spans)
        return true;
    struct tok_span *v = mem_array(1, sizeof *v);
    for (size_t i = 0; i < rt->n;) {
        const uint8_t *p = memchr(rt->tag + i, 1, rt->n - i), *q;
        if (!p)
            break;
        size_t from = (size_t)(p - rt->tag);
        q = memchr(p, 0, rt->n - from);
        i = q ? (size_t)(q - rt->tag) : rt->n;
        if (n == LIMIT_TMPL_SPANS) {
            free(v);
            out->len = base;
            snprintf(e->text, sizeof e->text, "the template cuts the messages into more than %d pieces", LIMIT_TMPL_SPANS);
            return false;
        }
        if (n >= cap) {
            cap = cap * 2 + 16;
            v = mem_grow(v, cap, sizeof *v);
        }
        v[n++] = (struct tok_span){base + from, base + i};
    }
    *spans = v;
    *n_spans = n;
    return true;
}

/* Bytes of all strings in a value that was given: a long conversation is not the template's doing. */
static size_t text_size(struct value v, int depth)
{
    size_t n = v.kind == VAL_STR ? v.s->n : 0;
    for (size_t i = 0; depth < LIMIT_TMPL_NEST && (v.kind == VAL_LIST || v.kind == VAL_TUPLE) && i < v.l->n; i++)
        n += text_size(v.l->v[i], depth + 1);
    for (size_t i = 0; depth < LIMIT_TMPL_NEST && v.kind == VAL_MAP && i < v.m->n; i++)
        n += text_size(v.m->e[i].val, depth + 1);
    return n;
}

int jinja_run(const struct jinja *j, struct value vars, const struct tm *now, struct buf *out, struct tok_span **spans, size_t *n_spans,
              struct jinja_error *e)
{
    *e = (struct jinja_error){0};
    size_t given = text_size(vars, 0);
    struct rt rt = {.prog = j, .now = now, .e = e, .work = LIMIT_TMPL_WORK + (int64_t)given, .loops = LIMIT_TMPL_LOOPS};
    rt.max_text = LIMIT_TMPL_OUTPUT + given;
    rt.max_memory = LIMIT_TMPL_MEMORY + 4 * given;
    rt.vals = vals_create(rt.max_memory);
    rt.frames = mem_array(LIMIT_TMPL_CALLS, sizeof *rt.frames);
    rt.cap_stack = 64;
    rt.stack = mem_array(rt.cap_stack, sizeof *rt.stack);
    globals(&rt, vars);
    bool ok = run(&rt) && deliver(&rt, out, spans, n_spans, e);
    vals_destroy(rt.vals);
    free(rt.frames);
    free(rt.globals);
    free(rt.text);
    free(rt.tag);
    free(rt.stack);
    free(rt.running);
    free(rt.marks);
    return ok ? 0 : -1;
}
