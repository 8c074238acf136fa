/*
 * Templates to programs, in one pass. Statements nest on a stack of their own (struct block), expressions by recursion that is bounded by
 * LIMIT_TMPL_DEPTH; operators are read by precedence. All jumps are relative, so that code whose place comes before what is
 * read later (the value of a conditional, targets of set, filters of a block) is cut out and put back behind it.
 *
 * Which variable a name means is decided at run time, by scopes: a loop's pass, a macro, a with block, a captured block each have
 * their own, `if` has none. The first error stays; whoever fails returns false up to jinja_compile.
 */
#include "config.h"

#include "model/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_ARGS 200
#define MAX_CODE (1 << 20)
#define MAX_MOVED (64 << 20) /* instructions moved, in all */
#define SOURCE_MEMORY (64 << 20)
#define BATCH 64 /* items of a list on the machine's stack */
#define NOWHERE SIZE_MAX

enum level { L_OR, L_AND, L_NOT, L_COMPARE, L_ADD, L_CONCAT, L_MUL, L_POW };

struct code {
    struct ins *v;
    size_t n;
};

enum block_kind { B_IF, B_ELSE, B_FOR, B_FOR_ELSE, B_SET, B_MACRO, B_CALL, B_FILTER, B_WITH, B_GENERATION };

struct block {
    enum block_kind kind;
    uint32_t pos;
    size_t branch;      /* the jump that leaves for the next branch; of a loop: its OP_NEXT */
    size_t ends;        /* jumps to the end, chained through ins.a */
    struct code after;  /* B_SET, B_FILTER: the filters, then the target */
    int proto;          /* B_MACRO, B_CALL */
    int outer;          /* the macro around it */
};

struct comp {
    struct jinja *j;
    struct lexer lex;
    struct token t, ahead;
    bool has_ahead, failed;
    struct jinja_error *e;
    struct vmap *vars, *texts; /* name to variable, text to constant */
    size_t cap_code, cap_consts, cap_args, cap_protos, cap_params, cap_names;
    struct arg *open; /* arguments of the calls that are being read */
    size_t n_open, cap_open;
    size_t moved;
    size_t call_at; /* the OP_CALL that is all of the last expression, or NOWHERE */
    int depth, proto;
    struct block blocks[LIMIT_TMPL_BLOCKS];
    size_t n_blocks;
};

static bool expr(struct comp *c);
static bool binary(struct comp *c, enum level min);

/* ---- errors and tokens ---- */

__attribute__((format(printf, 3, 4))) static bool fail(struct comp *c, size_t pos, const char *fmt, ...)
{
    if (c->failed)
        return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->e->text, sizeof c->e->text, fmt, ap);
    va_end(ap);
    jinja_where(c->j->src, c->j->n_src, pos, c->e);
    c->failed = true;
    return false;
}

static void lex(struct comp *c, struct token *t)
{
    if (!c->failed) {
        lex_next(&c->lex, t);
        if (t->type == T_ERROR) {
            jinja_where(c->j->src, c->j->n_src, t->pos, c->e);
            c->failed = true;
        }
    }
    if (c->failed)
        *t = (struct token){.type = T_EOF};
}

static void advance(struct comp *c)
{
    if (c->has_ahead)
        c->t = c->ahead;
    else
        lex(c, &c->t);
    c->has_ahead = false;
}

static const struct token *look(struct comp *c)
{
    if (!c->has_ahead)
        lex(c, &c->ahead);
    c->has_ahead = true;
    return &c->ahead;
}

static bool token_is_op(const struct token *t, const char *op)
{
    return t->type == T_OP && strcmp(t->op, op) == 0;
}

static bool is_op(const struct comp *c, const char *op)
{
    return token_is_op(&c->t, op);
}

static bool token_is_name(const struct token *t, const char *name)
{
    return t->type == T_NAME && strlen(name) == t->n && memcmp(name, t->s, t->n) == 0;
}

static bool is_name(const struct comp *c, const char *name)
{
    return token_is_name(&c->t, name);
}

static bool skip_op(struct comp *c, const char *op)
{
    if (!is_op(c, op))
        return false;
    advance(c);
    return true;
}

static bool skip_name(struct comp *c, const char *name)
{
    if (!is_name(c, name))
        return false;
    advance(c);
    return true;
}

/* Fails: the token is not what must come here. */
static bool unexpected(struct comp *c, const char *wanted)
{
    char what[80];
    const struct token *t = &c->t;
    if (t->type == T_NAME)
        snprintf(what, sizeof what, "'%.*s'", t->n > 60 ? 60 : (int)t->n, t->s);
    else if (t->type == T_OP)
        snprintf(what, sizeof what, "'%s'", t->op);
    else
        snprintf(what, sizeof what, "%s",
                 t->type == T_STRING ? "a string" : t->type == T_BLOCK_END || t->type == T_PRINT_END ? "the end of the tag"
                 : t->type == T_INT || t->type == T_FLOAT ? "a number" : t->type == T_EOF ? "the end of the template" : "text");
    return fail(c, t->pos, "expected %s, got %s", wanted, what);
}

static bool expect_op(struct comp *c, const char *op)
{
    char wanted[8];
    snprintf(wanted, sizeof wanted, "'%s'", op);
    return skip_op(c, op) || unexpected(c, wanted);
}

static bool expect_name(struct comp *c, const char **s, size_t *n)
{
    *s = c->t.type == T_NAME ? c->t.s : "";
    *n = c->t.n;
    if (c->t.type != T_NAME)
        return unexpected(c, "a name");
    advance(c);
    return true;
}

/* ---- parts of the program ---- */

/* Room for one more in an array of the program. */
#define GROW(p, n, cap)                                                                                                                 \
    do {                                                                                                                               \
        if ((n) == (cap)) {                                                                                                            \
            (cap) = (cap) ? (cap) * 2 : 64;                                                                                            \
            (p) = mem_grow((p), (cap), sizeof *(p));                                                                                   \
        }                                                                                                                              \
    } while (0)

static size_t emit(struct comp *c, enum jinja_op op, int n, long a, long b)
{
    struct jinja *j = c->j;
    GROW(j->code, j->n_code, c->cap_code);
    if (j->n_code >= MAX_CODE)
        fail(c, c->t.pos, "the template is too large");
    else
        j->n_code++;
    c->call_at = op == OP_CALL ? j->n_code - 1 : NOWHERE;
    j->code[j->n_code - 1] = (struct ins){.op = (uint8_t)op, .n = (uint16_t)n, .a = (int32_t)a, .b = (int32_t)b, .pos = c->t.pos};
    return j->n_code - 1;
}

/* As emit, with its place in the source. */
static size_t emit_at(struct comp *c, uint32_t pos, enum jinja_op op, int n, long a, long b)
{
    size_t i = emit(c, op, n, a, b);
    c->j->code[i].pos = pos;
    return i;
}

static void jump_to(struct comp *c, size_t from, size_t to)
{
    c->j->code[from].a = (int32_t)((long)to - (long)from - 1);
}

static void jump_here(struct comp *c, size_t from)
{
    jump_to(c, from, c->j->n_code);
    c->call_at = NOWHERE;
}

/* Jumps whose target is not known yet are chained: each holds the one before it. */
static void chain_add(struct comp *c, size_t *chain, size_t jump)
{
    c->j->code[jump].a = *chain == NOWHERE ? -1 : (int32_t)*chain;
    *chain = jump;
}

static void chain_here(struct comp *c, size_t chain)
{
    while (chain != NOWHERE) {
        int32_t before = c->j->code[chain].a;
        jump_here(c, chain);
        chain = before < 0 ? NOWHERE : (size_t)before;
    }
}

static bool spend(struct comp *c, size_t n)
{
    c->moved += n;
    return c->moved <= MAX_MOVED || fail(c, c->t.pos, "the template is too complex");
}

/* Takes the code from `from` on out of the program. */
static struct code cut(struct comp *c, size_t from)
{
    struct code r = {.n = c->j->n_code - from};
    if (r.n) {
        r.v = mem_alloc(r.n * sizeof *r.v);
        memcpy(r.v, c->j->code + from, r.n * sizeof *r.v);
        c->j->n_code = from;
        spend(c, r.n);
    }
    return r;
}

static void paste(struct comp *c, struct code *s)
{
    for (size_t i = 0; i < s->n; i++)
        emit_at(c, s->v[i].pos, (enum jinja_op)s->v[i].op, s->v[i].n, s->v[i].a, s->v[i].b);
    free(s->v);
    *s = (struct code){0};
}

/* a becomes a + b. */
static void append(struct code *a, struct code *b)
{
    if (b->n) {
        a->v = mem_grow(a->v, a->n + b->n, sizeof *a->v);
        memcpy(a->v + a->n, b->v, b->n * sizeof *b->v);
        a->n += b->n;
    }
    free(b->v);
    *b = (struct code){0};
}

static long constant(struct comp *c, struct value v)
{
    struct jinja *j = c->j;
    if (v.kind == VAL_STR)
        vstr_chars(v.s); /* a program is read-only afterwards */
    GROW(j->consts, j->n_consts, c->cap_consts);
    j->consts[j->n_consts] = v;
    return (long)j->n_consts++;
}

/* A name or another text that may come often. */
static long text_constant(struct comp *c, const char *s, size_t n)
{
    struct vpair *e = vmap_find_text(c->texts, s, n);
    if (e)
        return (long)e->val.i;
    struct value v = vstr_value(vstr_ref(c->j->vals, s, n, false));
    long k = constant(c, v);
    if (!vmap_put(c->j->vals, c->texts, v, val_int(k)))
        fail(c, c->t.pos, "the template is too large");
    return k;
}

static struct vstr *name_of(struct comp *c, const char *s, size_t n)
{
    long k = text_constant(c, s, n);
    return c->j->consts[k].s;
}

static long variable(struct comp *c, const char *s, size_t n)
{
    struct jinja *j = c->j;
    struct vpair *e = vmap_find_text(c->vars, s, n);
    if (e)
        return (long)e->val.i;
    struct vstr *name = vstr_ref(j->vals, s, n, false);
    vstr_chars(name);
    GROW(j->names, j->n_names, c->cap_names);
    j->names[j->n_names] = name;
    if (!vmap_put(j->vals, c->vars, vstr_value(name), val_int((int64_t)j->n_names)))
        fail(c, c->t.pos, "the template is too large");
    return (long)j->n_names++;
}

/* ---- expressions ---- */

/* Items with commas between them, up to `close`; pairs if `map`. Leaves the list or map. */
static bool items(struct comp *c, const char *close, bool map)
{
    uint32_t pos = c->t.pos;
    long n = 0;
    bool more = false, first = true;
    for (; !is_op(c, close); first = false) {
        if (!first && !expect_op(c, ","))
            return false;
        if (is_op(c, close))
            break;
        if (!expr(c) || (map && (!expect_op(c, ":") || !expr(c))))
            return false;
        if (++n == BATCH) {
            emit_at(c, pos, more ? OP_ITEMS_MORE : map ? OP_MAP : OP_LIST, map, 0, n);
            more = true;
            n = 0;
        }
    }
    if (n || !more)
        emit_at(c, pos, more ? OP_ITEMS_MORE : map ? OP_MAP : OP_LIST, map, 0, n);
    return expect_op(c, close);
}

/* Where a tuple without brackets ends. */
static bool tuple_end(const struct comp *c)
{
    return c->t.type == T_PRINT_END || c->t.type == T_BLOCK_END || c->t.type == T_EOF || is_op(c, ")") || is_name(c, "recursive");
}

/* One expression, or several with commas: a tuple. `plain`: conditionals need brackets; `empty`: () is allowed. */
static bool tuple(struct comp *c, bool plain, bool empty)
{
    uint32_t pos = c->t.pos;
    long n = 0;
    bool is_tuple = false, more = false;
    while (!tuple_end(c)) {
        if (!(plain ? binary(c, L_OR) : expr(c)))
            return false;
        n++;
        if (!skip_op(c, ","))
            break;
        is_tuple = true;
        if (n == BATCH) {
            emit_at(c, pos, more ? OP_ITEMS_MORE : OP_LIST, 0, 0, n);
            more = true;
            n = 0;
        }
    }
    if (n == 0 && !is_tuple && !empty)
        return unexpected(c, "an expression");
    if (more) {
        emit_at(c, pos, OP_ITEMS_MORE, 0, 0, n);
        n = -1; /* of the list */
    }
    if (is_tuple || n == 0)
        emit_at(c, pos, OP_TUPLE, 0, 0, n);
    return true;
}

static bool name(struct comp *c)
{
    static const char *const words[] = {"true", "True", "false", "False", "none", "None"};
    for (int i = 0; i < 6; i++)
        if (is_name(c, words[i])) {
            if (i < 4)
                emit(c, OP_CONST, 0, constant(c, val_bool(i < 2)), 0);
            else
                emit(c, OP_NONE, 0, 0, 0);
            advance(c);
            return true;
        }
    if (c->proto >= 0) {
        struct proto *p = &c->j->protos[c->proto];
        p->caller = p->caller || is_name(c, "caller");
        p->varargs = p->varargs || is_name(c, "varargs");
        p->kwargs = p->kwargs || is_name(c, "kwargs");
    }
    emit(c, OP_LOAD, 0, variable(c, c->t.s, c->t.n), 0);
    advance(c);
    return true;
}

static bool primary(struct comp *c)
{
    static const char *const reserved[] = {"and", "or", "not", "in", "is", "if", "else"};
    if (c->t.type == T_NAME) {
        for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
            if (is_name(c, reserved[i]))
                return unexpected(c, "an expression");
        return name(c);
    }
    if (c->t.type == T_STRING) {
        uint32_t pos = c->t.pos;
        struct vstr *s = c->t.val.s;
        for (advance(c); c->t.type == T_STRING; advance(c))
            if (!(s = vstr_join(c->j->vals, s, c->t.val.s)))
                return fail(c, pos, "the template is too large");
        emit_at(c, pos, OP_CONST, 0, constant(c, vstr_value(s)), 0);
        return true;
    }
    if (c->t.type == T_INT || c->t.type == T_FLOAT) {
        emit(c, OP_CONST, 0, constant(c, c->t.val), 0);
        advance(c);
        return true;
    }
    if (skip_op(c, "("))
        return tuple(c, false, true) && expect_op(c, ")");
    if (skip_op(c, "["))
        return items(c, "]", false);
    if (skip_op(c, "{"))
        return items(c, "}", true);
    return unexpected(c, "an expression");
}

/* (...): *n values, and their kinds unless all are plain (*kinds is -1). */
static bool call_args(struct comp *c, int *n, long *kinds)
{
    size_t base = c->n_open;
    uint32_t pos = c->t.pos;
    bool special = false, list = false, map = false, named = false;
    *n = 0;
    if (!expect_op(c, "("))
        return false;
    while (!is_op(c, ")")) {
        struct arg a = {ARG_PLAIN, NULL};
        if (*n && !expect_op(c, ","))
            return false;
        if (is_op(c, ")"))
            break;
        bool wrong = map || (list && is_op(c, "*"));
        if (skip_op(c, "*")) {
            a.kind = ARG_LIST;
            list = true;
        } else if (skip_op(c, "**")) {
            a.kind = ARG_MAP;
            map = true;
        } else if (c->t.type == T_NAME && token_is_op(look(c), "=")) {
            a = (struct arg){ARG_NAMED, name_of(c, c->t.s, c->t.n)};
            named = true;
            advance(c);
            advance(c);
        } else {
            wrong = wrong || list || named;
        }
        if (wrong)
            return fail(c, pos, "the arguments of this call are not in order");
        special = special || a.kind != ARG_PLAIN;
        GROW(c->open, c->n_open, c->cap_open);
        c->open[c->n_open++] = a;
        if (++*n > MAX_ARGS)
            return fail(c, pos, "a call with more than %d arguments", MAX_ARGS);
        if (!expr(c))
            return false;
    }
    *kinds = special ? (long)c->j->n_args : -1;
    for (size_t i = base; special && i < c->n_open; i++) {
        GROW(c->j->args, c->j->n_args, c->cap_args);
        c->j->args[c->j->n_args++] = c->open[i];
    }
    c->n_open = base;
    return expect_op(c, ")");
}

static bool call(struct comp *c)
{
    int n;
    long kinds;
    uint32_t pos = c->t.pos;
    if (!call_args(c, &n, &kinds))
        return false;
    emit_at(c, pos, OP_CALL, n, kinds, 0);
    return true;
}

/* A part of a slice; none where it is left out. */
static bool slice_part(struct comp *c)
{
    if (!is_op(c, ":") && !is_op(c, "]"))
        return expr(c);
    emit(c, OP_NONE, 0, 0, 0);
    return true;
}

static bool subscript(struct comp *c)
{
    uint32_t pos = c->t.pos;
    long n = 1;
    advance(c);
    if (!slice_part(c))
        return false;
    if (skip_op(c, ":")) {
        if (!slice_part(c))
            return false;
        skip_op(c, ":");
        if (!slice_part(c))
            return false;
        emit_at(c, pos, OP_SLICE, 0, 0, 0);
        return expect_op(c, "]");
    }
    while (skip_op(c, ",")) {
        if (!expr(c))
            return false;
        n++;
    }
    if (n > 1)
        emit_at(c, pos, OP_TUPLE, 0, 0, n);
    emit_at(c, pos, OP_ITEM, 0, 0, 0);
    return expect_op(c, "]");
}

static bool postfix(struct comp *c)
{
    for (;;) {
        uint32_t pos = c->t.pos;
        if (skip_op(c, ".")) {
            if (c->t.type == T_NAME) {
                emit_at(c, pos, OP_ATTR, 0, text_constant(c, c->t.s, c->t.n), 0);
            } else if (c->t.type == T_INT) {
                emit_at(c, pos, OP_CONST, 0, constant(c, c->t.val), 0);
                emit_at(c, pos, OP_ITEM, 0, 0, 0);
            } else {
                return unexpected(c, "a name or a number");
            }
            advance(c);
        } else if (is_op(c, "[")) {
            if (!subscript(c))
                return false;
        } else if (is_op(c, "(")) {
            if (!call(c))
                return false;
        } else {
            return true;
        }
    }
}

/* A name of a filter or test, possibly with dots. Its pieces stand side by side in the source, or the name is none of ours anyway. */
static bool dotted_name(struct comp *c, const char **s, size_t *n)
{
    const char *more;
    size_t k;
    if (!expect_name(c, s, n))
        return false;
    while (skip_op(c, ".")) {
        if (!expect_name(c, &more, &k))
            return false;
        *n = (size_t)(more + k - *s);
    }
    return true;
}

/* The name and arguments of a filter, applied to what is on the stack. */
static bool filter(struct comp *c)
{
    uint32_t pos = c->t.pos;
    const char *s;
    size_t len;
    int n = 0;
    long kinds = -1;
    if (!dotted_name(c, &s, &len) || (is_op(c, "(") && !call_args(c, &n, &kinds)))
        return false;
    const struct builtin *b = builtin_find(jinja_filters, n_jinja_filters, s, len);
    if (b)
        emit_at(c, pos, OP_FILTER, n, kinds, b - jinja_filters);
    else
        emit_at(c, pos, OP_UNKNOWN, 0, text_constant(c, s, len), 0);
    return true;
}

static bool test(struct comp *c)
{
    uint32_t pos = c->t.pos;
    const char *s;
    size_t len;
    int n = 0;
    long kinds = -1;
    bool negated = skip_name(c, "not");
    if (!dotted_name(c, &s, &len))
        return false;
    enum token_type t = c->t.type;
    if (is_op(c, "(")) {
        if (!call_args(c, &n, &kinds))
            return false;
    } else if ((t == T_NAME && !is_name(c, "else") && !is_name(c, "or") && !is_name(c, "and")) || t == T_STRING || t == T_INT ||
               t == T_FLOAT || is_op(c, "[") || is_op(c, "{")) {
        if (is_name(c, "is"))
            return fail(c, c->t.pos, "two tests in a chain");
        n = 1;
        if (!primary(c) || !postfix(c))
            return false;
    }
    const struct builtin *b = builtin_find(jinja_tests, n_jinja_tests, s, len);
    if (b)
        emit_at(c, pos, OP_TEST, n, kinds, b - jinja_tests);
    else
        emit_at(c, pos, OP_UNKNOWN, 1, text_constant(c, s, len), 0);
    if (negated)
        emit_at(c, pos, OP_NOT, 0, 0, 0);
    return true;
}

static bool filters(struct comp *c)
{
    for (;;) {
        bool bar = skip_op(c, "|"), is = !bar && skip_name(c, "is");
        if (!bar && !is && !is_op(c, "("))
            return true;
        if (bar ? !filter(c) : is ? !test(c) : !call(c))
            return false;
    }
}

/* Signs, a primary, what hangs on it. Signs bind looser than subscripts, tighter than filters. */
static bool unary(struct comp *c)
{
    uint64_t minus = 0;
    uint32_t pos = c->t.pos;
    int n = 0;
    for (; is_op(c, "-") || is_op(c, "+"); n++) {
        if (n == LIMIT_TMPL_DEPTH)
            return fail(c, pos, "more than %d signs", LIMIT_TMPL_DEPTH);
        minus = minus << 1 | is_op(c, "-");
        advance(c);
    }
    if (!primary(c) || !postfix(c))
        return false;
    for (; n; n--, minus >>= 1)
        emit_at(c, pos, minus & 1 ? OP_NEG : OP_POS, 0, 0, 0);
    return filters(c);
}

/* The comparison that the tokens begin, or -1. */
static int comparison(struct comp *c)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++)
        if (is_op(c, ops[i]))
            return i;
    if (is_name(c, "in"))
        return CMP_IN;
    return is_name(c, "not") && token_is_name(look(c), "in") ? CMP_NOT_IN : -1;
}

/* a < b <= c ...: the first operand is there. */
static bool compare(struct comp *c)
{
    size_t chain = NOWHERE;
    for (int op; (op = comparison(c)) >= 0;) {
        uint32_t pos = c->t.pos;
        advance(c);
        if (op == CMP_NOT_IN)
            advance(c);
        if (!binary(c, L_ADD))
            return false;
        if (comparison(c) >= 0)
            chain_add(c, &chain, emit_at(c, pos, OP_CHAIN, op, 0, 0));
        else
            emit_at(c, pos, OP_COMPARE, op, 0, 0);
    }
    chain_here(c, chain);
    return true;
}

/* The binary operator that the token is, and how tight it binds. */
static bool operator(const struct comp *c, enum jinja_op *op, enum level *level)
{
    static const struct {
        const char *text;
        enum jinja_op op;
        enum level level;
    } table[] = {
        {"+", OP_ADD, L_ADD}, {"-", OP_SUB, L_ADD}, {"~", OP_CONCAT, L_CONCAT}, {"*", OP_MUL, L_MUL}, {"/", OP_DIV, L_MUL},
        {"//", OP_FLOOR_DIV, L_MUL}, {"%", OP_MOD, L_MUL}, {"**", OP_POW, L_POW},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is_op(c, table[i].text)) {
            *op = table[i].op;
            *level = table[i].level;
            return true;
        }
    if (!is_name(c, "and") && !is_name(c, "or"))
        return false;
    *op = is_name(c, "and") ? OP_AND : OP_OR;
    *level = is_name(c, "and") ? L_AND : L_OR;
    return true;
}

/* Operators of `min` and tighter; all associate to the left. */
static bool binary(struct comp *c, enum level min)
{
    if (min <= L_NOT && is_name(c, "not")) {
        uint32_t pos = c->t.pos;
        int n = 0;
        for (; skip_name(c, "not"); n++)
            ;
        if (!binary(c, L_COMPARE))
            return false;
        for (n = n % 2 ? 1 : 2; n; n--)
            emit_at(c, pos, OP_NOT, 0, 0, 0);
    } else if (!unary(c)) {
        return false;
    }
    for (;;) {
        enum jinja_op op;
        enum level level;
        if (min <= L_COMPARE && comparison(c) >= 0) {
            if (!compare(c))
                return false;
            continue;
        }
        if (!operator(c, &op, &level) || level < min)
            return !c->failed;
        uint32_t pos = c->t.pos;
        advance(c);
        if (level > L_AND) {
            if (!binary(c, (enum level)(level + 1)))
                return false;
            emit_at(c, pos, op, 0, 0, 0);
        } else {
            size_t jump = emit_at(c, pos, op, 0, 0, 0);
            if (!binary(c, (enum level)(level + 1)))
                return false;
            jump_here(c, jump);
        }
    }
}

/* a if b else c if d else e: each value is cut out and put behind its condition. */
static bool conditional(struct comp *c)
{
    size_t ends = NOWHERE;
    for (;;) {
        size_t start = c->j->n_code;
        if (!binary(c, L_OR))
            return false;
        uint32_t pos = c->t.pos;
        if (!skip_name(c, "if"))
            break;
        struct code value = cut(c, start);
        bool ok = binary(c, L_OR);
        size_t no = emit_at(c, pos, OP_IF_FALSE, 0, 0, 0);
        paste(c, &value);
        chain_add(c, &ends, emit_at(c, pos, OP_JUMP, 0, 0, 0));
        if (!ok || c->failed)
            return false;
        jump_here(c, no);
        if (!skip_name(c, "else")) {
            emit_at(c, pos, OP_UNDEF, 0, 0, 0);
            break;
        }
    }
    if (ends != NOWHERE)
        chain_here(c, ends);
    return true;
}

static bool expr(struct comp *c)
{
    if (c->depth == LIMIT_TMPL_DEPTH)
        return fail(c, c->t.pos, "expressions in expressions, more than %d deep", LIMIT_TMPL_DEPTH);
    c->depth++;
    bool ok = conditional(c);
    c->depth--;
    return ok;
}

/* ---- statements ---- */

/*
 * What is assigned to: names, with commas or in brackets; with `ns`, members of namespaces. Emits the code that pops the value. `for` loops end
 * theirs by `in`.
 */
static bool target(struct comp *c, bool ns, bool loop);

static bool target_one(struct comp *c, bool ns, bool loop)
{
    uint32_t pos = c->t.pos;
    if (skip_op(c, "(")) {
        if (c->depth == LIMIT_TMPL_DEPTH)
            return fail(c, pos, "expressions in expressions, more than %d deep", LIMIT_TMPL_DEPTH);
        c->depth++;
        bool ok = target(c, ns, loop) && expect_op(c, ")");
        c->depth--;
        return ok;
    }
    static const char *const words[] = {"true", "True", "false", "False", "none", "None", "and", "or", "not", "in", "is", "if", "else"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_name(c, words[i]))
            return fail(c, pos, "'%s' cannot be assigned to", words[i]);
    if (loop && is_name(c, "loop"))
        return fail(c, pos, "'loop' cannot be the variable of a loop");
    const char *s, *member;
    size_t n, k;
    if (!expect_name(c, &s, &n))
        return false;
    if (ns && skip_op(c, ".")) {
        emit_at(c, pos, OP_LOAD, 0, variable(c, s, n), 0);
        if (!expect_name(c, &member, &k))
            return false;
        emit_at(c, pos, OP_STORE_NS, 0, text_constant(c, member, k), 0);
        return true;
    }
    emit_at(c, pos, OP_STORE, 0, variable(c, s, n), 0);
    return true;
}

static bool target(struct comp *c, bool ns, bool loop)
{
    size_t start = c->j->n_code;
    uint32_t pos = c->t.pos;
    int n = 1;
    if (!target_one(c, ns, loop))
        return false;
    if (!is_op(c, ","))
        return true;
    while (skip_op(c, ",")) {
        if (c->t.type == T_BLOCK_END || is_op(c, ")") || is_op(c, "=") || is_name(c, "in"))
            break;
        if (++n > MAX_ARGS)
            return fail(c, pos, "more than %d names to assign to", MAX_ARGS);
        if (!target_one(c, ns, loop))
            return false;
    }
    struct code stores = cut(c, start);
    emit_at(c, pos, OP_UNPACK, n, 0, 0);
    paste(c, &stores);
    return true;
}

static struct block *open_block(struct comp *c, enum block_kind kind, uint32_t pos)
{
    if (c->n_blocks == LIMIT_TMPL_BLOCKS) {
        fail(c, pos, "statements in statements, more than %d deep", LIMIT_TMPL_BLOCKS);
        return NULL;
    }
    struct block *b = &c->blocks[c->n_blocks++];
    *b = (struct block){.kind = kind, .pos = pos, .branch = NOWHERE, .ends = NOWHERE, .proto = -1, .outer = c->proto};
    return b;
}

/* The loop that break and continue mean, or NULL. */
static struct block *loop_of(struct comp *c)
{
    for (size_t i = c->n_blocks; i-- > 0;) {
        struct block *b = &c->blocks[i];
        if (b->kind == B_FOR)
            return b;
        if (b->kind == B_MACRO || b->kind == B_CALL || b->kind == B_GENERATION)
            break;
    }
    return NULL;
}

static bool st_if(struct comp *c, uint32_t pos)
{
    struct block *b = open_block(c, B_IF, pos);
    if (!b || !tuple(c, true, false))
        return false;
    b->branch = emit_at(c, pos, OP_IF_FALSE, 0, 0, 0);
    return true;
}

/* elif and else of an if. */
static bool st_branch(struct comp *c, struct block *b, uint32_t pos, bool last)
{
    chain_add(c, &b->ends, emit_at(c, pos, OP_JUMP, 0, 0, 0));
    jump_here(c, b->branch);
    b->branch = NOWHERE;
    if (last) {
        b->kind = B_ELSE;
        return true;
    }
    if (!tuple(c, true, false))
        return false;
    b->branch = emit_at(c, pos, OP_IF_FALSE, 0, 0, 0);
    return true;
}

static bool st_for(struct comp *c, uint32_t pos)
{
    size_t start = c->j->n_code;
    struct block *b = open_block(c, B_FOR, pos);
    if (!b || !target(c, false, true))
        return false;
    struct code stores = cut(c, start);
    bool ok = skip_name(c, "in") ? tuple(c, true, false) : unexpected(c, "'in'");
    if (ok && skip_name(c, "if")) { /* a loop of its own that finds out which items stay */
        emit_at(c, pos, OP_FOR, 1, 0, 0);
        size_t next = emit_at(c, pos, OP_NEXT, 0, 0, 0);
        for (size_t i = 0; i < stores.n; i++)
            emit_at(c, stores.v[i].pos, (enum jinja_op)stores.v[i].op, stores.v[i].n, stores.v[i].a, stores.v[i].b);
        ok = expr(c);
        emit_at(c, pos, OP_KEEP, 0, 0, 0);
        jump_to(c, emit_at(c, pos, OP_JUMP, 0, 0, 0), next);
        jump_here(c, next);
        emit_at(c, pos, OP_FILTERED, 0, 0, 0);
    }
    emit_at(c, pos, OP_FOR, 0, 0, 0);
    b->branch = emit_at(c, pos, OP_NEXT, 0, 0, 0);
    paste(c, &stores);
    return ok && (!is_name(c, "recursive") || fail(c, c->t.pos, "recursive loops are not supported"));
}

/* The end of a loop's body. */
static void loop_end(struct comp *c, struct block *b, bool with_else)
{
    emit(c, OP_DONE, 0, 0, 0);
    jump_to(c, emit(c, OP_JUMP, 0, 0, 0), b->branch);
    jump_here(c, b->branch);
    chain_here(c, b->ends);
    emit(c, OP_END_FOR, with_else, 0, 0);
    b->ends = NOWHERE;
}

static bool st_for_else(struct comp *c, struct block *b)
{
    loop_end(c, b, true);
    b->kind = B_FOR_ELSE;
    b->branch = emit(c, OP_IF_FALSE, 0, 0, 0);
    emit(c, OP_SCOPE, 0, 0, 0);
    return true;
}

static bool st_jump(struct comp *c, uint32_t pos, bool leave)
{
    struct block *b = loop_of(c);
    if (!b)
        return fail(c, pos, "'%s' outside of a loop", leave ? "break" : "continue");
    size_t jump = emit_at(c, pos, leave ? OP_BREAK : OP_JUMP, 0, 0, 0);
    if (leave)
        chain_add(c, &b->ends, jump);
    else
        jump_to(c, jump, b->branch);
    return true;
}

/* Filters behind a set or filter statement, as code. */
static bool filter_chain(struct comp *c, bool first, struct code *out)
{
    size_t start = c->j->n_code;
    while (first || skip_op(c, "|")) {
        if (!filter(c))
            return false;
        first = false;
    }
    *out = cut(c, start);
    return true;
}

static void capture(struct comp *c, uint32_t pos)
{
    emit_at(c, pos, OP_CAPTURE, 0, 0, 0);
    emit_at(c, pos, OP_SCOPE, 0, 0, 0);
}

static bool st_set(struct comp *c, uint32_t pos)
{
    size_t start = c->j->n_code;
    if (!target(c, true, false))
        return false;
    struct code stores = cut(c, start);
    if (skip_op(c, "=")) {
        bool ok = tuple(c, false, false);
        paste(c, &stores);
        return ok;
    }
    struct block *b = open_block(c, B_SET, pos);
    if (!b || !filter_chain(c, false, &b->after)) {
        free(stores.v);
        return false;
    }
    append(&b->after, &stores);
    capture(c, pos);
    return true;
}

static bool st_filter(struct comp *c, uint32_t pos)
{
    struct block *b = open_block(c, B_FILTER, pos);
    if (!b || !filter_chain(c, true, &b->after))
        return false;
    capture(c, pos);
    return true;
}

static int new_proto(struct comp *c, const char *s, size_t n)
{
    struct jinja *j = c->j;
    GROW(j->protos, j->n_protos, c->cap_protos);
    j->protos[j->n_protos] = (struct proto){.name = name_of(c, s, n), .param = (uint32_t)j->n_params};
    return (int)j->n_protos++;
}

/* (a, b=1): parameters, and code that gives those their defaults that need it. Reads as inside the macro. */
static bool signature(struct comp *c, int proto)
{
    struct jinja *j = c->j;
    int outer = c->proto;
    bool defaults = false;
    c->proto = proto;
    j->protos[proto].param = (uint32_t)j->n_params;
    if (!expect_op(c, "("))
        return false;
    while (!is_op(c, ")")) {
        const char *s;
        size_t n;
        uint32_t pos = c->t.pos;
        if (j->protos[proto].n_param && !expect_op(c, ","))
            return false;
        if (!expect_name(c, &s, &n))
            return false;
        if (j->protos[proto].n_param == MAX_ARGS)
            return fail(c, pos, "more than %d parameters", MAX_ARGS);
        long var = variable(c, s, n);
        GROW(j->params, j->n_params, c->cap_params);
        j->params[j->n_params++] = (int32_t)var;
        j->protos[proto].n_param++;
        if (skip_op(c, "=")) {
            size_t given = emit_at(c, pos, OP_IF_GIVEN, 0, 0, var);
            if (!expr(c))
                return false;
            emit_at(c, pos, OP_STORE, 0, var, 0);
            jump_here(c, given);
            defaults = true;
        } else if (defaults) {
            return fail(c, pos, "a parameter without a default behind one that has it");
        }
    }
    c->proto = outer;
    return expect_op(c, ")");
}

static bool st_macro(struct comp *c, uint32_t pos)
{
    const char *s;
    size_t n;
    if (!expect_name(c, &s, &n))
        return false;
    int proto = new_proto(c, s, n);
    emit_at(c, pos, OP_MACRO, 0, proto, 0);
    emit_at(c, pos, OP_STORE, 0, variable(c, s, n), 0);
    struct block *b = open_block(c, B_MACRO, pos);
    if (!b)
        return false;
    b->branch = emit_at(c, pos, OP_JUMP, 0, 0, 0);
    b->proto = proto;
    c->j->protos[proto].entry = (uint32_t)c->j->n_code;
    if (!signature(c, proto))
        return false;
    c->proto = proto;
    return true;
}

/* The body becomes a macro that the called one gets as its argument `caller`. */
static bool st_call(struct comp *c, uint32_t pos)
{
    struct block *b = open_block(c, B_CALL, pos);
    int proto = new_proto(c, "caller", 6);
    size_t start = c->j->n_code;
    if (!b || (is_op(c, "(") && !signature(c, proto)))
        return false;
    b->after = cut(c, start);
    if (!expr(c))
        return false;
    struct jinja *j = c->j;
    if (c->call_at == NOWHERE || c->call_at != j->n_code - 1)
        return fail(c, pos, "expected a call");
    struct ins made = j->code[--j->n_code];
    if (made.n == MAX_ARGS)
        return fail(c, pos, "a call with more than %d arguments", MAX_ARGS);
    size_t first = j->n_args;
    for (int i = 0; i <= made.n; i++) {
        struct arg a = i == made.n ? (struct arg){ARG_NAMED, name_of(c, "caller", 6)}
                       : made.a < 0 ? (struct arg){ARG_PLAIN, NULL} : j->args[made.a + i];
        GROW(j->args, j->n_args, c->cap_args);
        j->args[j->n_args++] = a;
    }
    emit_at(c, pos, OP_MACRO, 0, proto, 0);
    emit_at(c, made.pos, OP_CALL, made.n + 1, (long)first, 0);
    emit_at(c, pos, OP_PRINT, 0, 0, 0);
    b->branch = emit_at(c, pos, OP_JUMP, 0, 0, 0);
    b->proto = c->proto = proto;
    j->protos[proto].entry = (uint32_t)j->n_code;
    paste(c, &b->after);
    return true;
}

static bool st_with(struct comp *c, uint32_t pos)
{
    struct code stores = {0};
    bool ok = open_block(c, B_WITH, pos) != NULL;
    for (bool first = true; ok && c->t.type != T_BLOCK_END; first = false) {
        size_t start = c->j->n_code;
        ok = (first || expect_op(c, ",")) && target(c, false, false);
        struct code one = cut(c, start);
        ok = ok && expect_op(c, "=") && expr(c) && spend(c, stores.n);
        append(&one, &stores); /* the last value is on top */
        stores = one;
    }
    emit_at(c, pos, OP_SCOPE, 0, 0, 0);
    paste(c, &stores);
    return ok;
}

static bool st_end(struct comp *c, struct block *b)
{
    c->n_blocks--;
    switch (b->kind) {
    case B_IF:
        jump_here(c, b->branch);
        chain_here(c, b->ends);
        break;
    case B_ELSE:
        chain_here(c, b->ends);
        break;
    case B_FOR:
        loop_end(c, b, false);
        break;
    case B_FOR_ELSE:
        emit(c, OP_END_SCOPE, 0, 0, 0);
        jump_here(c, b->branch);
        break;
    case B_SET:
    case B_FILTER:
        emit(c, OP_END_SCOPE, 0, 0, 0);
        emit(c, OP_END_CAPTURE, 0, 0, 0);
        paste(c, &b->after);
        if (b->kind == B_FILTER)
            emit(c, OP_PRINT, 0, 0, 0);
        break;
    case B_MACRO:
    case B_CALL:
        emit(c, OP_RETURN, 0, 0, 0);
        jump_here(c, b->branch);
        c->proto = b->outer;
        break;
    case B_WITH:
    case B_GENERATION:
        emit(c, OP_END_SCOPE, 0, 0, 0);
        break;
    }
    return true;
}

static const char *const block_names[] = {"if", "if", "for", "for", "set", "macro", "call", "filter", "with", "generation"};

/* One tag; the token is its first name. */
static bool statement(struct comp *c)
{
    uint32_t pos = c->t.pos;
    struct block *b = c->n_blocks ? &c->blocks[c->n_blocks - 1] : NULL;
    char word[20];
    if (c->t.type != T_NAME)
        return unexpected(c, "the name of a tag");
    snprintf(word, sizeof word, "%.*s", c->t.n < sizeof word ? (int)c->t.n : 0, c->t.s);
    static const struct {
        const char *name;
        bool (*parse)(struct comp *c, uint32_t pos);
    } table[] = {{"if", st_if}, {"for", st_for}, {"set", st_set}, {"macro", st_macro}, {"call", st_call}, {"filter", st_filter}, {"with", st_with}};
    static const char *const closed[] = {"include", "import", "from", "extends", "block", "autoescape", "do", "print", "trans", "debug"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(word, table[i].name) == 0) {
            advance(c);
            return table[i].parse(c, pos);
        }
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (strcmp(word, closed[i]) == 0)
            return fail(c, pos, "the tag '%s' is not allowed in a chat template", word);
    const struct token tag = c->t;
    advance(c);
    if (strcmp(word, "generation") == 0) {
        emit_at(c, pos, OP_SCOPE, 0, 0, 0);
        return open_block(c, B_GENERATION, pos) != NULL;
    }
    if (strcmp(word, "break") == 0 || strcmp(word, "continue") == 0)
        return st_jump(c, pos, *word == 'b');
    if (b && strncmp(word, "end", 3) == 0 && strcmp(word + 3, block_names[b->kind]) == 0)
        return st_end(c, b);
    if (b && b->kind == B_IF && (strcmp(word, "elif") == 0 || strcmp(word, "else") == 0))
        return st_branch(c, b, pos, word[2] == 's');
    if (b && b->kind == B_FOR && strcmp(word, "else") == 0)
        return st_for_else(c, b);
    char open[60] = "";
    if (b)
        snprintf(open, sizeof open, "; the innermost that is open is '%s'", block_names[b->kind]);
    return fail(c, pos, "unknown tag '%.*s'%s", tag.n > 60 ? 60 : (int)tag.n, tag.s, open);
}

static bool template(struct comp *c)
{
    for (advance(c); c->t.type != T_EOF;) {
        uint32_t pos = c->t.pos;
        if (c->t.type == T_TEXT) {
            emit(c, OP_TEXT, 0, constant(c, vstr_value(vstr_ref(c->j->vals, c->t.s, c->t.n, false))), 0);
            advance(c);
        } else if (c->t.type == T_PRINT) {
            advance(c);
            if (!tuple(c, false, false) || (c->t.type != T_PRINT_END && !unexpected(c, "the end of the tag")))
                return false;
            emit_at(c, pos, OP_PRINT, 0, 0, 0);
            advance(c);
        } else { /* T_BLOCK */
            advance(c);
            if (!statement(c) || (c->t.type != T_BLOCK_END && !unexpected(c, "the end of the tag")))
                return false;
            advance(c);
        }
        if (c->failed)
            return false;
    }
    if (c->n_blocks) {
        const struct block *b = &c->blocks[c->n_blocks - 1];
        return fail(c, b->pos, "this '%s' has no 'end%s'", block_names[b->kind], block_names[b->kind]);
    }
    emit(c, OP_END, 0, 0, 0);
    return !c->failed;
}

/* ---- ---- */

void jinja_where(const char *src, size_t n, size_t pos, struct jinja_error *e)
{
    e->line = e->column = 1;
    for (size_t i = 0; i < pos && i < n; i++)
        if (src[i] == '\n') {
            e->line++;
            e->column = 1;
        } else if (((unsigned char)src[i] & 0xC0) != 0x80) {
            e->column++;
        }
}

void jinja_free(struct jinja *j)
{
    if (!j)
        return;
    vals_destroy(j->vals);
    free(j->code);
    free(j->consts);
    free(j->args);
    free(j->protos);
    free(j->params);
    free(j->names);
    free(j);
}

int jinja_compile(const char *src, size_t n, struct jinja **out, struct jinja_error *e)
{
    *e = (struct jinja_error){0};
    if (n > LIMIT_TMPL_SOURCE) {
        snprintf(e->text, sizeof e->text, "it has %zu bytes, at most %d are read", n, LIMIT_TMPL_SOURCE);
        return -1;
    }
    struct jinja *j = mem_zalloc(sizeof *j);
    struct comp *c = mem_zalloc(sizeof *c);
    j->vals = vals_create(SOURCE_MEMORY);
    j->src = lex_source(j->vals, src, &n);
    j->n_src = n;
    j->params = mem_array(1, sizeof *j->params); /* a macro without parameters points to none of them */
    *c = (struct comp){.j = j, .e = e, .proto = -1, .call_at = NOWHERE, .vars = vmap_new(j->vals), .texts = vmap_new(j->vals)};
    c->lex = (struct lexer){.src = j->src, .n = n, .vals = j->vals, .e = e};
    bool ok = template(c) && !c->failed;
    if (ok && vals_over(j->vals))
        ok = fail(c, 0, "the template is too large");
    for (size_t i = 0; i < c->n_blocks; i++)
        free(c->blocks[i].after.v);
    free(c->open);
    free(c);
    if (!ok) {
        jinja_free(j);
        return -1;
    }
    *out = j;
    return 0;
}
