#ifndef MODEL_TEMPLATE_H
#define MODEL_TEMPLATE_H
/*
 * Chat templates: messages to the exact bytes of a prompt (spec: chat). A template is a program in Jinja that comes with the model;
 * it is compiled once and rendered for every turn, with budgets (model/limits.h), and reaches nothing but what it is given.
 *
 * Whether the prompt begins with the BOS token is the template's business (bos_token): the caller puts one in front only if the tokenizer asks for it
 * and the prompt does not begin with its text already.
 */
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/tok.h"
#include "model/value.h"

struct tmpl;

struct tmpl_msg {
    const char *role; /* "system", "user", "assistant" */
    const char *text; /* borrowed; length-counted, may hold NUL */
    size_t n;
};

struct tmpl_vars {
    bool add_generation_prompt;
    const char *bos, *eos; /* texts of the tokens, or NULL */
    struct value extra;    /* a map of further variables (enable_thinking, tools...), or {0} */
    const struct tm *now;  /* what strftime_now sees; NULL: the local time */
};

/* Why rendering failed. */
struct tmpl_fault {
    bool refused;     /* by the template itself (raise_exception): `text` is what it says */
    int line, column; /* 1-based, 0: nowhere */
    char text[400];
};

/* Whether this is the name of a template that is built in. */
bool tmpl_builtin(const char *name, size_t n);
/* `source`: the template's text (not kept), or a built-in one's name: "chatml". ERR_FORMAT with line and column if it is no template. */
int tmpl_open(const char *source, size_t n, struct tmpl **out, struct err *err);
void tmpl_close(struct tmpl *t);
const char *tmpl_name(const struct tmpl *t); /* the family it looks like: "chatml", "llama3"... or "other" */

/* Whether the template has a variable of this name: enable_thinking, tools... */
bool tmpl_uses(const struct tmpl *t, const char *variable);

/*
 * Appends the prompt. `spans` (may be NULL) gets the byte ranges that came from the messages' texts, ascending and apart, for tok_encode:
 * *spans is owned by the caller (free). ERR_INPUT: the template refuses these messages, or the prompt does not fit `out`;
 * ERR_FORMAT: the template fails. `out` is as before then.
 */
int tmpl_render(const struct tmpl *t, const struct tmpl_msg *msgs, size_t n, const struct tmpl_vars *vars, struct buf *out,
                struct tok_span **spans, size_t *n_spans, struct err *err);
/*
 * The same with all variables (messages, tools, bos_token, add_generation_prompt...) in one map. Strings made as foreign give the spans. `fault`
 * and `now` may be NULL.
 */
int tmpl_render_vars(const struct tmpl *t, struct value vars, const struct tm *now, struct buf *out, struct tok_span **spans, size_t *n_spans,
                     struct tmpl_fault *fault, struct err *err);
/*
 * Whether `role` is one that templates know. Only then it is the program's own text and may become part of a control token ('<|' + role +
 * '|>'); any other is foreign.
 */
bool tmpl_known_role(const char *role, size_t n);

#endif
