#ifndef MODEL_TEMPLATE_H
#define MODEL_TEMPLATE_H
/*
 * Chat templates: messages to the exact bytes of a prompt (spec: chat). Today ChatML and SmolLM2's template are rendered;
 * the engine for every template takes this place later. An unknown template is refused with a sentence that names
 * `--template chatml`.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/tok.h"

struct tmpl;

struct tmpl_msg {
    const char *role; /* "system", "user", "assistant" */
    const char *text; /* borrowed; length-counted, may hold NUL */
    size_t n;
};

struct tmpl_vars {
    bool add_generation_prompt;
    const char *bos, *eos; /* texts of the tokens, or NULL */
};

/* `source`: the template's text (owned by the caller, borrowed until close), or the name "chatml". */
int tmpl_open(const char *source, size_t n, struct tmpl **out, struct err *err);
void tmpl_close(struct tmpl *t);
const char *tmpl_name(const struct tmpl *t); /* "chatml", "smollm2" */

/*
 * Appends the prompt. `spans` (may be NULL) gets the byte ranges that came from the messages' texts, for tok_encode:
 * *spans is owned by the caller (free).
 */
int tmpl_render(const struct tmpl *t, const struct tmpl_msg *msgs, size_t n, const struct tmpl_vars *vars, struct buf *out,
                struct tok_span **spans, size_t *n_spans, struct err *err);

#endif
