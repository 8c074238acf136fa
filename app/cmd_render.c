/*
 * hadal render: messages to the exact bytes of a prompt.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/template.h"

struct rendering {
    bool help;
    char *model, *tmpl;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct rendering),
    {.name = "template", .kind = OPT_TEXT, .at = offsetof(struct rendering, tmpl), .arg = "NAME|FILE", .complete = "chatml files",
     .help = "a template instead of the model's own: chatml, or a file"},
    OPT_ROW_HELP(struct rendering),
    {.name = NULL},
};

static int read_messages(const json_t *j, struct tmpl_msg **out, size_t *n, struct err *err)
{
    const json_t *list = json_object_get(j, "messages");
    if (!json_is_array(list))
        return err_set(err, ERR_INPUT, "standard input has no array \"messages\"");
    *n = json_array_size(list);
    *out = mem_array(*n + 1, sizeof **out);
    for (size_t i = 0; i < *n; i++) {
        const json_t *m = json_array_get(list, i), *role = json_object_get(m, "role"), *text = json_object_get(m, "content");
        if (!json_is_string(role) || !json_is_string(text))
            return err_set(err, ERR_INPUT, "messages[%zu] has no \"role\" and \"content\" that are strings", i);
        if (json_array_size(json_object_get(m, "tool_calls")))
            return err_set(err, ERR_INPUT, "messages[%zu] has \"tool_calls\", which this version cannot render", i);
        (*out)[i] = (struct tmpl_msg){json_string_value(role), json_string_value(text), json_string_length(text)};
    }
    return 0;
}

/* The variable `name`, else the text of the model's token. */
static char *token_text(const json_t *j, const char *name, const struct tok *t, int32_t id)
{
    const json_t *v = json_object_get(j, name);
    if (json_is_string(v))
        return mem_strdup(json_string_value(v));
    if (!t || id < 0)
        return NULL;
    struct buf b = BUF_INIT(65536);
    tok_decode(t, id, true, &b);
    return buf_take(&b);
}

static int render(const json_t *j, const struct tmpl *t, const struct tok *tok, struct buf *out, struct err *err)
{
    struct tmpl_msg *msgs = NULL;
    size_t n = 0;
    struct tmpl_vars v = {.add_generation_prompt = json_is_true(json_object_get(j, "add_generation_prompt"))};
    char *bos = token_text(j, "bos_token", tok, tok ? tok_bos(tok) : -1), *eos = token_text(j, "eos_token", tok, tok ? tok_eos(tok) : -1);
    v.bos = bos;
    v.eos = eos;
    int rc = read_messages(j, &msgs, &n, err);
    if (!rc && json_array_size(json_object_get(j, "tools")) && !strncmp(tmpl_name(t), "qwen", 4))
        rc = err_set(err, ERR_INPUT, "\"tools\" cannot be rendered by this version");
    if (!rc)
        rc = tmpl_render(t, msgs, n, &v, out, NULL, NULL, err);
    free(msgs);
    free(bos);
    free(eos);
    return rc;
}

/* --template, or the file's own. *text must outlive *out. */
static int open_template(const struct rendering *o, const struct gguf *g, char **text, struct tmpl **out, struct err *err)
{
    struct gguf_str s;
    int rc = conf_template(o->tmpl, text, err);
    if (rc)
        return rc;
    if (*text)
        return tmpl_open(*text, strlen(*text), out, err);
    rc = gguf_get_str(g, "tokenizer.chat_template", &s, err);
    if (rc < 0)
        return rc;
    if (!rc)
        return err_set(err, ERR_FORMAT, "%s has no chat template; --template chatml gives it one", gguf_path(g));
    return tmpl_open(s.s, s.n, out, err);
}

static int run(int argc, char **argv)
{
    struct rendering o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_render, &o, argc, argv, &w, 0, 0, &status)) {
        struct gguf *g = NULL;
        struct tok *tok = NULL;
        struct tmpl *t = NULL;
        char *text = NULL;
        struct buf in = {0}, out = BUF_INIT(SIZE_MAX);
        struct err e;
        json_error_t je;
        json_t *j = NULL;
        int rc = o.tmpl && !o.model ? 0 : cmd_gguf(o.model, &g, &e);
        if (!rc && g)
            rc = tok_open(g, &tok, &e);
        if (!rc)
            rc = open_template(&o, g, &text, &t, &e);
        if (!rc)
            rc = cmd_stdin(&in, &e);
        if (!rc && !(j = json_loadb(buf_str(&in), in.len, JSON_ALLOW_NUL, &je)))
            rc = err_set(&e, ERR_INPUT, "standard input is no JSON: line %d: %s", je.line, je.text);
        if (!rc)
            rc = render(j, t, tok, &out, &e);
        status = rc ? report(&e) : cmd_out(&out);
        json_decref(j);
        buf_finish(&out);
        buf_finish(&in);
        tmpl_close(t);
        free(text);
        tok_close(tok);
        gguf_close(g);
    }
    cmd_done(&cmd_render, &o, &w);
    return status;
}

const struct cmd cmd_render = {.name = "render", .args = "", .help = "turn messages, JSON on standard input, into a prompt's bytes",
                               .opts = opts, .run = run,
                               .more = "Input: {\"messages\": [{\"role\", \"content\"} ...], \"add_generation_prompt\": true, ...}; any further member is a "
                                       "variable of the template (bos_token and eos_token, too; the model's own unless given)."};
