/*
 * Chat templates as the program sees them: messages become values, the template's program (jinja.h) does the rest. Texts of messages are
 * foreign, as are their roles unless templates know them; the tokens' texts and what the program adds are its own.
 */
#include "config.h"

#include "model/template.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/jinja.h"

#define MAX_ROLE 32
#define INPUT_MEMORY (64 << 20)

static const char chatml[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct tmpl {
    struct jinja *prog;
    const char *name;
};

static bool has_variable(const struct jinja *j, const char *name)
{
    for (size_t i = 0; i < j->n_names; i++)
        if (vstr_is(j->names[i], name))
            return true;
    return false;
}

/* What a template looks like: texts in it, or a variable it uses, most telling first (spec: chat, fingerprints). */
static const char *family(const struct jinja *j)
{
    static const struct {
        const char *name, *text, *also, *variable;
    } table[] = {
        {"deepseek-v3.2", "\xEF\xBD\x9C" "DSML\xEF\xBD\x9C", "function_calls", NULL},
        {"deepseek-v4.1", "\xEF\xBD\x9C" "DSML\xEF\xBD\x9C", "\xEF\xBD\x9C invoke", NULL},
        {"deepseek-v4", "\xEF\xBD\x9C" "DSML\xEF\xBD\x9C", "tool_calls", NULL},
        {"deepseek-v3.1", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>", "", "thinking"},
        {"deepseek-v3", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>", "", NULL},
        {"chatml", "<|im_start|>", "", NULL},
        {"llama3", "<|start_header_id|>", "", NULL},
        {"gemma", "<start_of_turn>", "", NULL},
        {"phi3", "<|assistant|>", "<|end|>", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_find(j->src, 0, j->n_src, table[i].text, strlen(table[i].text)) != SIZE_MAX &&
            str_find(j->src, 0, j->n_src, table[i].also, strlen(table[i].also)) != SIZE_MAX &&
            (!table[i].variable || has_variable(j, table[i].variable)))
            return table[i].name;
    return "other";
}

bool tmpl_builtin(const char *name, size_t n)
{
    return n == 6 && memcmp(name, "chatml", 6) == 0;
}

#define INSTEAD "; --template chatml uses ChatML in its place"

int tmpl_open(const char *source, size_t n, struct tmpl **out, struct err *err)
{
    struct jinja_error e;
    struct jinja *prog;
    if (tmpl_builtin(source, n)) {
        source = chatml;
        n = sizeof chatml - 1;
    }
    if (jinja_compile(source, n, &prog, &e) < 0)
        return e.line ? err_set(err, ERR_FORMAT, "chat template, line %d, column %d: %s" INSTEAD, e.line, e.column, e.text)
                      : err_set(err, ERR_FORMAT, "chat template: %s" INSTEAD, e.text);
    struct tmpl *t = mem_alloc(sizeof *t);
    *t = (struct tmpl){prog, family(prog)};
    *out = t;
    return 0;
}

void tmpl_close(struct tmpl *t)
{
    if (t)
        jinja_free(t->prog);
    free(t);
}

const char *tmpl_name(const struct tmpl *t)
{
    return t->name;
}

bool tmpl_uses(const struct tmpl *t, const char *variable)
{
    return has_variable(t->prog, variable);
}

bool tmpl_known_role(const char *role, size_t n)
{
    static const char *const known[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython", "model"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == n && memcmp(known[i], role, n) == 0)
            return true;
    return false;
}

int tmpl_render_vars(const struct tmpl *t, struct value vars, const struct tm *now, struct buf *out, struct tok_span **spans, size_t *n_spans,
                     struct tmpl_fault *fault, struct err *err)
{
    struct jinja_error e;
    struct tm local;
    size_t before = out->len;
    if (!now) {
        time_t seconds = time(NULL);
        now = localtime_r(&seconds, &local);
    }
    if (jinja_run(t->prog, vars, now, out, spans, n_spans, &e) == 0)
        return 0;
    out->len = before;
    if (out->data)
        out->data[before] = 0;
    if (fault) {
        *fault = (struct tmpl_fault){.refused = e.raised, .line = e.line, .column = e.column};
        memcpy(fault->text, e.text, sizeof fault->text);
    }
    if (e.raised)
        return err_set(err, ERR_INPUT, "the chat template refuses this conversation: %s", e.text);
    if (!e.line)
        return err_set(err, ERR_INPUT, "%s", e.text);
    return err_set(err, ERR_FORMAT, "chat template, line %d, column %d: %s" INSTEAD, e.line, e.column, e.text);
}

static void set_str(struct vals *v, struct value map, const char *key, const char *s, size_t n, bool foreign)
{
    val_set(v, map, key, strlen(key), false, val_str_ref(v, s, n, foreign));
}

/* A role is a word: no template is asked to render another. */
static bool good_role(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > MAX_ROLE)
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

int tmpl_render(const struct tmpl *t, const struct tmpl_msg *msgs, size_t n, const struct tmpl_vars *vars, struct buf *out,
                struct tok_span **spans, size_t *n_spans, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!good_role(msgs[i].role))
            return err_set(err, ERR_INPUT, "message %zu: a role is a word of letters, digits, _ and - (at most %d)", i + 1, MAX_ROLE);
    struct vals *v = vals_create(INPUT_MEMORY);
    struct value all = val_map(v), list = val_list(v);
    const char *bos = vars->bos ? vars->bos : "", *eos = vars->eos ? vars->eos : "";
    for (size_t i = 0; i < n; i++) {
        const struct tmpl_msg *m = &msgs[i];
        struct value one = val_map(v);
        size_t len = strlen(m->role);
        set_str(v, one, "role", m->role, len, !tmpl_known_role(m->role, len));
        set_str(v, one, "content", m->text, m->n, true);
        val_add(v, list, one);
    }
    val_set(v, all, "messages", 8, false, list);
    val_set(v, all, "add_generation_prompt", 21, false, val_bool(vars->add_generation_prompt));
    set_str(v, all, "bos_token", bos, strlen(bos), false);
    set_str(v, all, "eos_token", eos, strlen(eos), false);
    for (size_t i = 0; vars->extra.kind == VAL_MAP && i < vars->extra.m->n; i++)
        vmap_put(v, all.m, vars->extra.m->e[i].key, vars->extra.m->e[i].val);
    int r = vals_over(v) ? err_set(err, ERR_INPUT, "the conversation has too many messages for a chat template")
                         : tmpl_render_vars(t, all, vars->now, out, spans, n_spans, NULL, err);
    vals_destroy(v);
    return r;
}
