#ifndef MODEL_JINJA_H
#define MODEL_JINJA_H
/*
 * The template language (spec: chat 8), seen from its own files and from template.c. A template is compiled once into a program for a
 * stack machine (jinja_lex.c, jinja_parse.c) and run any number of times (jinja_run.c) with operators (jinja_op.c), printing
 * (jinja_text.c), and filters, tests, methods and functions (jinja_filter.c, jinja_str.c, jinja_fmt.c, jinja_func.c, jinja_json.c).
 *
 * Templates come from model files and are hostile: no file, network or environment is in reach; attributes are tables of known names.
 * Every run has budgets (model/limits.h, LIMIT_TMPL_*): loop steps, work, memory, output. Statements and calls nest on stacks of their own;
 * what recurses in C (expressions, values in values) is bounded in depth, so that a thread of 256 KiB is enough.
 */
#include <time.h>

#include "base/buf.h"
#include "model/limits.h"
#include "model/tok.h"
#include "model/value_priv.h"

/* What went wrong, and where in the source (1-based; column in characters; 0: nowhere). */
struct jinja_error {
    bool raised; /* the template itself refused, by raise_exception: text is its message */
    int line, column;
    char text[400];
};

/* ---- programs ---- */

enum jinja_op {
    OP_CONST,     /* push constant a */
    OP_NONE,      /* push none */
    OP_UNDEF,     /* push undefined */
    OP_LOAD,      /* push the variable a */
    OP_STORE,     /* pop into the variable a of the innermost scope */
    OP_STORE_NS,  /* pop a namespace, pop a value: its member, constant a */
    OP_JUMP,      /* a: by so many instructions from the next */
    OP_IF_FALSE,  /* pop; jump by a if false */
    OP_AND,       /* jump by a if the top is false, else pop it */
    OP_OR,        /* jump by a if the top is true, else pop it */
    OP_NOT,
    OP_NEG,
    OP_POS,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR_DIV,
    OP_MOD,
    OP_POW,
    OP_CONCAT,
    OP_COMPARE,   /* n: enum jinja_compare */
    OP_CHAIN,     /* x y: if x n y, leave y; else leave false and jump by a */
    OP_ATTR,      /* pop an object, push its attribute, constant a */
    OP_ITEM,      /* pop a key, pop an object */
    OP_SLICE,     /* pop step, stop, start, object */
    OP_LIST,      /* pop b items */
    OP_TUPLE,
    OP_MAP,       /* pop b pairs */
    OP_ITEMS_MORE, /* pop b items, add them to the list (or pairs to the map) below */
    OP_CALL,      /* n arguments on the stack above the callee; a: their kinds, or -1 */
    OP_FILTER,    /* n arguments above the value; b: filter */
    OP_TEST,
    OP_PRINT,     /* pop, to the output */
    OP_TEXT,      /* constant a to the output */
    OP_UNPACK,    /* pop a sequence of n, push its items, the first on top */
    OP_FOR,       /* pop what to loop over: begin a loop */
    OP_NEXT,      /* push the next item, or jump by a; unwinds to the state at the loop's begin */
    OP_DONE,      /* the body came to its end */
    OP_END_FOR,   /* leave the loop; n: push whether no body came to its end */
    OP_KEEP,      /* pop; if true the current item stays in a filtered loop */
    OP_FILTERED,  /* leave a filtering loop, push the list of what was kept */
    OP_SCOPE,     /* a new scope */
    OP_END_SCOPE,
    OP_CAPTURE,   /* what is printed from here on is kept apart */
    OP_END_CAPTURE, /* push it as a text */
    OP_MACRO,     /* push the macro a, bound to the current scope */
    OP_IF_GIVEN,  /* jump by a if the parameter b was given */
    OP_RETURN,    /* from a macro */
    OP_BREAK,     /* jump by a, to the OP_END_FOR of the innermost loop */
    OP_UNKNOWN,   /* fails: there is no filter (n = 0) or test (n = 1) named constant a */
    OP_END,
};

enum jinja_compare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN };

struct ins {
    uint8_t op;
    uint16_t n;
    int32_t a, b;
    uint32_t pos; /* byte of the source, for errors */
};

/* Kinds of arguments in a call that has more than plain ones. */
enum arg_kind { ARG_PLAIN, ARG_NAMED, ARG_LIST, ARG_MAP };
struct arg {
    enum arg_kind kind;
    struct vstr *name;
};

/* A macro, or the body of a call block. */
struct proto {
    struct vstr *name;
    uint32_t entry;
    uint32_t param, n_param; /* in jinja.params */
    bool varargs, kwargs, caller;
};

struct jinja {
    struct vals *vals; /* owns the source and all constants */
    const char *src;   /* line ends are \n */
    size_t n_src;
    struct ins *code;
    struct value *consts;
    struct arg *args;
    struct proto *protos;
    int32_t *params;     /* variables */
    struct vstr **names; /* of the variables */
    size_t n_code, n_consts, n_args, n_protos, n_params, n_names;
};

/* 0 or -1. The source is copied. */
int jinja_compile(const char *src, size_t n, struct jinja **out, struct jinja_error *e);
void jinja_free(struct jinja *j);
/* Renders with the variables of the map `vars`; appends to out, and one span for each foreign stretch. 0 or -1. */
int jinja_run(const struct jinja *j, struct value vars, const struct tm *now, struct buf *out, struct tok_span **spans, size_t *n_spans,
              struct jinja_error *e);
void jinja_where(const char *src, size_t n, size_t pos, struct jinja_error *e); /* fills line and column */

/* ---- the lexer ---- */

enum token_type {
    T_EOF, T_ERROR, T_TEXT, T_BLOCK, T_BLOCK_END, T_PRINT, T_PRINT_END, T_NAME, T_STRING, T_INT, T_FLOAT, T_OP,
};

struct token {
    enum token_type type;
    char op[3];       /* T_OP */
    uint32_t pos;
    const char *s;    /* T_TEXT, T_NAME: borrowed from the source */
    size_t n;
    struct value val; /* T_STRING, T_INT, T_FLOAT */
};

struct lexer {
    const char *src;
    size_t n, i;
    enum { LEX_TEXT, LEX_TEXT_DONE, LEX_BLOCK, LEX_PRINT } state;
    size_t tag;       /* LEX_TEXT_DONE: where the tag begins */
    char brackets[128];
    size_t n_brackets;
    struct vals *vals;
    struct jinja_error *e; /* filled for T_ERROR */
};

void lex_next(struct lexer *l, struct token *t);
/* Line ends to \n, one at the end dropped; owned by the arena. */
const char *lex_source(struct vals *v, const char *src, size_t *n);

/* ---- a run ---- */

/* A text for %.*s in a message. */
#define SHOW(text) ((text)->n > 100 ? 100 : (int)(text)->n), (text)->s

enum {
    VAL_RANGE = VAL_PRIVATE, /* struct range */
    VAL_ITER,                /* struct iter: what map, select, reverse... give */
    VAL_VIEW,                /* struct view: keys(), values(), items() */
    VAL_NS,                  /* namespace: a map */
    VAL_LOOP,                /* struct loop */
    VAL_MACRO,               /* struct closure */
    VAL_FUNC,                /* struct builtin */
    VAL_METHOD,              /* struct method */
    VAL_CYCLER,              /* struct cycler */
    VAL_JOINER,
};

struct range {
    int64_t start, stop, step;
    size_t n;
};
struct iter {
    struct vlist *l;
    size_t at;
};
struct view {
    struct vmap *m;
    char what; /* 'k', 'v', 'i' */
};
struct closure {
    const struct proto *proto;
    struct scope *scope;
};
struct method {
    struct value self;
    const struct builtin *fn;
};
struct cycler {
    struct vlist *items;
    size_t at;
};
struct joiner {
    struct vstr *sep;
    bool used;
};

/* One loop that is running. It stays readable after its end. */
struct loop {
    struct value over; /* a list, a tuple, a range, or a text */
    size_t i, n;       /* index, once begun plus 1; number of items (of a list: asked anew) */
    size_t at;         /* byte of the next character of a text */
    struct value item, prev;
    struct value changed; /* what loop.changed saw last */
    struct vlist *kept;   /* a filtering loop */
    bool completed; /* a body came to its end */
    struct scope *scope, *outer;
    size_t sp, marks; /* the machine's state at its begin */
};

/* Arguments of a builtin: as given, and by the builtin's parameters. */
struct named {
    struct vstr *name;
    struct value v;
};
struct call {
    const struct value *v;
    size_t n;
    const struct named *k;
    size_t n_k;
    struct value arg[6]; /* VAL_ABSENT where not given */
};

struct rt;
typedef bool builtin_fn(struct rt *rt, struct value self, const struct call *c, struct value *out);
struct builtin {
    const char *name;
    builtin_fn *fn;
    const char *params; /* "!a,b": a must be given, b may be; NULL: fn looks at what was given itself */
};

struct rt {
    const struct jinja *prog;
    struct vals *vals;
    const struct tm *now;
    struct jinja_error *e;
    int64_t work, loops; /* what is left */
    size_t max_text, max_memory;
    int nested;          /* builtins in builtins */

    /* Output, and texts that are being built, one behind the other: bytes and their tags. */
    char *text;
    uint8_t *tag;
    size_t n, cap;

    struct value *stack;
    size_t sp, cap_stack;
    struct value *globals; /* by variable */
    struct scope *scope;   /* NULL: top level */
    struct frame *frames;
    size_t n_frames;
    struct loop **running;
    size_t n_running, cap_running;
    size_t *marks; /* captures: where in the output each begins */
    size_t n_marks, cap_marks;
};

/* Errors: each is false, for `return rt_fail(...)`. The first one stays. */
void rt_say(struct rt *rt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rt_say_absent(struct rt *rt, struct value v);
#define rt_fail(...) (rt_say(__VA_ARGS__), false)
/* v is undefined, and that is an error: says what was missing. */
static inline bool rt_absent(struct rt *rt, struct value v)
{
    rt_say_absent(rt, v);
    return false;
}
/* The arena is full. */
static inline bool rt_over(struct rt *rt)
{
    return rt_fail(rt, "the template needs more than %zu MB of memory", rt->max_memory >> 20);
}
bool rt_spend(struct rt *rt, size_t work); /* true unless the budget is used up */
/* What n bytes cost that are copied or compared, searched, looked at character by character (a unit is about 10 ns). */
#define COST_MOVE(n) ((n) / 32)
#define COST_FIND(n) ((n) / 16)
#define COST_CHARS(n) ((n) / 2)
struct value rt_undef(struct rt *rt, struct value of, struct value key); /* of.key, of[key] */
struct value rt_undef_text(struct rt *rt, const char *text);             /* a constant */

/* Output. False: too long. out_take: what was written since, as a text, and the output is as before. */
bool out_room(struct rt *rt, size_t n); /* n more bytes would fit */
bool out_bytes(struct rt *rt, const char *s, size_t n, bool foreign);
bool out_cstr(struct rt *rt, const char *s);
bool out_str(struct rt *rt, const struct vstr *s);
bool out_part(struct rt *rt, const struct vstr *s, size_t from, size_t to);
struct vstr *out_take(struct rt *rt, size_t mark); /* NULL: failed */
bool out_done(struct rt *rt, size_t mark, struct value *out);
bool out_value(struct rt *rt, struct value v); /* as str() */
bool out_repr(struct rt *rt, struct value v);
/* str(v), without a copy if it is a text. */
bool rt_str(struct rt *rt, struct value v, struct vstr **out);

/* jinja_op.c */
const char *op_type(struct value v); /* "integer" */
const char *op_a(struct value v);    /* "an integer" */
bool op_true(struct value v);
bool op_equal(struct rt *rt, struct value a, struct value b, bool *out);
bool op_order(struct rt *rt, struct value a, struct value b, const char *op, int *out); /* 2: unordered */
bool op_compare(struct rt *rt, enum jinja_compare op, struct value a, struct value b, bool *out);
bool op_arith(struct rt *rt, enum jinja_op op, struct value a, struct value b, struct value *out);
bool op_sign(struct rt *rt, bool minus, struct value a, struct value *out);
bool op_concat(struct rt *rt, struct value a, struct value b, struct value *out);
bool op_attr(struct rt *rt, struct value of, struct vstr *name, bool items, struct value *out);
bool op_item(struct rt *rt, struct value of, struct value key, struct value *out);
bool op_slice(struct rt *rt, struct value of, const struct value part[3], struct value *out);
bool op_len(struct rt *rt, struct value v, size_t *out);
bool op_chars(struct rt *rt, struct vstr *s, size_t *out); /* the count of characters */
/* Any iterable as a list (or the tuple it is); one-shot iterators are used up. */
bool op_items(struct rt *rt, struct value v, struct vlist **out);
bool op_iterable(struct value v);
bool op_number(struct value v); /* bool, int, float */
bool op_int(struct rt *rt, struct value v, int64_t *out); /* bool and int alone */
struct vlist *op_list(struct rt *rt, size_t room);        /* NULL: failed */
bool op_push(struct rt *rt, struct vlist *l, struct value v);
struct value op_pair(struct rt *rt, struct value a, struct value b); /* a tuple */
struct value op_iter(struct rt *rt, struct vlist *l);
/* Sorts keys, and items along with them; what is equal keeps its order. */
bool op_sort(struct rt *rt, struct vlist *keys, struct vlist *items, bool reverse);
bool op_put(struct rt *rt, struct vmap *m, struct value key, struct value v);
/* The byte where character i of s begins (i may be the count of them). */
size_t op_char_at(struct vstr *s, size_t i);
size_t op_next_char(const struct vstr *s, size_t at); /* behind the character at this byte */
int64_t op_range_at(const struct range *r, size_t i);

/* jinja_text.c, jinja_json.c, jinja_fmt.c: values as text, and text as values */
size_t text_float(double f, char out[32]);
bool text_to_float(const char *s, size_t n, double *out);
int text_to_int(const char *s, size_t n, int base, int64_t *out); /* 1: done, 0: is no integer, -1: too large */
/* fmt % v: of n values, or by name from `map`, if it is a mapping: the single value that was given. */
bool text_percent(struct rt *rt, struct vstr *fmt, const struct value *v, size_t n, struct value map, struct value *out);
bool text_format(struct rt *rt, struct vstr *fmt, const struct call *c, struct value *out);
bool text_json(struct rt *rt, struct value v, const struct call *c, struct value *out);
bool text_from_json(struct rt *rt, struct vstr *s, struct value *out);
bool text_time(struct rt *rt, const struct vstr *fmt, struct value *out);

/* jinja_str.c */
extern const struct builtin str_methods[];
extern const size_t n_str_methods;
bool str_space(uint32_t cp);
enum str_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_FILTER_TITLE, CASE_CAPITAL, CASE_SWAP };
/* & < > ' " as HTML writes them, unless s is safe. The result is. */
bool str_escape(struct rt *rt, struct vstr *s, struct vstr **out);
bool str_mark(struct rt *rt, bool safe, struct value *text); /* makes a text safe, or not */
bool str_case(struct rt *rt, struct vstr *s, enum str_case how, struct value *out);
bool str_replace(struct rt *rt, struct vstr *s, struct vstr *old, struct vstr *with, int64_t count, struct value *out);
bool str_strip(struct rt *rt, struct vstr *s, struct vstr *chars, bool left, bool right, struct value *out);
bool str_lines(struct rt *rt, struct vstr *s, bool keep, struct vlist **out);
bool str_pad(struct rt *rt, struct vstr *s, int64_t width, struct vstr *fill, char how, struct value *out);
bool str_is(struct rt *rt, struct vstr *s, bool upper, bool *out); /* islower, isupper */
/* Where `needle` is first in s[from..to), or SIZE_MAX. */
size_t str_find(const char *s, size_t from, size_t to, const char *needle, size_t n);
bool arg_str(struct rt *rt, struct value v, struct vstr **out); /* v is a string, or an error */
/* An integer that may be left out. */
bool arg_int(struct rt *rt, struct value v, int64_t missing, int64_t *out);

/* jinja_filter.c, jinja_func.c */
extern const struct builtin jinja_filters[], jinja_tests[], jinja_functions[];
extern const size_t n_jinja_filters, n_jinja_tests, n_jinja_functions;
extern const struct builtin list_methods[], map_methods[], cycler_methods[], loop_methods[];
extern const size_t n_list_methods, n_map_methods, n_cycler_methods, n_loop_methods;
/* In a table sorted by name; NULL: not there. */
const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name, size_t len);
bool builtin_call(struct rt *rt, const struct builtin *b, struct value self, struct call *c, struct value *out);

#endif
