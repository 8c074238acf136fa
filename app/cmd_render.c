/*
 * hadal render: messages to the exact bytes of a prompt, or, line by line, any template with any variables.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/jvalue.h"
#include "base/mem.h"
#include "model/limits.h"
#include "model/template.h"

#define VARS_MAX (512u << 20)

struct rendering {
    bool help, jsonl;
    char *model, *tmpl;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct rendering),
    {.name = "template", .kind = OPT_TEXT, .at = offsetof(struct rendering, tmpl), .arg = "NAME|FILE", .complete = "chatml files",
     .help = "a template instead of the model's own: chatml, or a file"},
    {.name = "jsonl", .kind = OPT_FLAG, .at = offsetof(struct rendering, jsonl),
     .help = "an object {\"template\", \"vars\"} a line in, {\"output\"} or {\"error\"} a line out"},
    OPT_ROW_HELP(struct rendering),
    {.name = NULL},
};

/* What strftime_now sees: "now" as 2026-07-01T12:00:00, or the clock (NULL). */
static int read_now(const json_t *j, struct tm *tm, const struct tm **out, struct err *err)
{
    const json_t *now = json_object_get(j, "now");
    *out = NULL;
    if (!now || json_is_null(now))
        return 0;
    memset(tm, 0, sizeof *tm);
    const char *s = json_string_value(now), *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%S", tm) : NULL;
    if (!end || *end)
        return err_set(err, ERR_INPUT, "\"now\" is no time of the form 2026-07-01T12:00:00");
    *out = tm;
    return 0;
}

static int check_messages(const json_t *j, struct err *err)
{
    const json_t *list = json_object_get(j, "messages"), *m;
    size_t i;
    if (!json_is_array(list))
        return err_set(err, ERR_INPUT, "standard input has no array \"messages\"");
    json_array_foreach(list, i, m) {
        if (!json_is_string(json_object_get(m, "role")))
            return err_set(err, ERR_INPUT, "messages[%zu] has no \"role\" that is a string", i);
        if (!json_object_get(m, "content") && !json_object_get(m, "tool_calls"))
            return err_set(err, ERR_INPUT, "messages[%zu] has neither \"content\" nor \"tool_calls\"", i);
    }
    return 0;
}

/* The variable `name`, unless it is given: the text of the model's token. */
static void token_var(struct vals *v, struct value all, const char *name, const struct tok *t, int32_t id)
{
    struct buf b = BUF_INIT(65536);
    if (val_get(all, name).kind != VAL_ABSENT)
        return;
    if (t && id >= 0)
        tok_decode(t, id, true, &b);
    val_set(v, all, name, strlen(name), false, val_str(v, buf_str(&b), b.len, false));
    buf_finish(&b);
}

static int render(const json_t *j, const struct tmpl *t, const struct tok *tok, struct buf *out, struct err *err)
{
    struct tm tm;
    const struct tm *now;
    int rc = check_messages(j, err);
    if (!rc)
        rc = read_now(j, &tm, &now, err);
    if (rc)
        return rc;
    struct vals *v = vals_create(VARS_MAX);
    struct value all = jvalue(v, j, true);
    token_var(v, all, "bos_token", tok, tok ? tok_bos(tok) : -1);
    token_var(v, all, "eos_token", tok, tok ? tok_eos(tok) : -1);
    rc = vals_over(v) ? err_set(err, ERR_INPUT, "the messages are larger than %u MB", VARS_MAX >> 20)
                      : tmpl_render_vars(t, all, now, out, NULL, NULL, NULL, err);
    vals_destroy(v);
    return rc;
}

/* --template, or the file's own. *text must outlive *out. Neither: nothing. */
static int open_template(const struct rendering *o, const struct gguf *g, char **text, struct tmpl **out, struct err *err)
{
    struct gguf_str s;
    int rc = conf_template(o->tmpl, text, err);
    if (rc)
        return rc;
    if (*text)
        return tmpl_open(*text, strlen(*text), out, err);
    if (!g)
        return 0;
    rc = gguf_get_str(g, "tokenizer.chat_template", &s, err);
    if (rc < 0)
        return rc;
    if (!rc)
        return err_set(err, ERR_FORMAT, "%s has no chat template; --template chatml gives it one", gguf_path(g));
    return tmpl_open(s.s, s.n, out, err);
}

/* ---- --jsonl ---- */

/* The output of one line's object, or what went wrong with it: an error of the template's own making is the text it gave. */
static int one_object(const json_t *j, const struct tmpl *given, struct buf *out, struct tmpl_fault *fault, struct err *err)
{
    const json_t *text = json_object_get(j, "template"), *vars = json_object_get(j, "vars");
    struct tmpl *own = NULL;
    struct tm tm;
    const struct tm *now;
    if (!json_is_string(text) && !given)
        return err_set(err, ERR_INPUT, "there is no \"template\"");
    if (vars && !json_is_object(vars))
        return err_set(err, ERR_INPUT, "\"vars\" is no object");
    int rc = read_now(j, &tm, &now, err);
    if (!rc && text)
        rc = tmpl_open(json_string_value(text), json_string_length(text), &own, err);
    if (!rc) {
        struct vals *v = vals_create(VARS_MAX);
        struct value all = vars ? jvalue(v, vars, true) : val_map(v);
        rc = vals_over(v) ? err_set(err, ERR_INPUT, "\"vars\" is larger than %u MB", VARS_MAX >> 20)
                          : tmpl_render_vars(own ? own : given, all, now, out, NULL, NULL, fault, err);
        vals_destroy(v);
    }
    tmpl_close(own);
    return rc;
}

static int objects(const struct buf *in, const struct tmpl *given, struct buf *out, struct err *err)
{
    const char *p = buf_str(in), *end = p + in->len;
    for (size_t number = 1; p < end; number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        if (n && strspn(p, " \t\r") < n) {
            json_error_t je;
            json_t *j = json_loadb(p, n, JSON_ALLOW_NUL, &je), *made;
            struct buf text = BUF_INIT(LIMIT_TMPL_OUTPUT);
            struct tmpl_fault fault = {0};
            struct err e;
            if (!json_is_object(j)) {
                json_decref(j);
                return err_set(err, ERR_INPUT, "line %zu is no JSON object: %s", number, j ? "another value" : je.text);
            }
            if (one_object(j, given, &text, &fault, &e))
                made = json_pack("{s:o}", "error", jtext(fault.refused ? fault.text : e.msg));
            else
                made = json_pack("{s:o}", "output", jtext_n(buf_str(&text), text.len));
            jput(out, made, false);
            json_decref(made);
            json_decref(j);
            buf_finish(&text);
        }
        p += n + 1;
    }
    return 0;
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
        int rc = (o.tmpl || o.jsonl) && !o.model ? 0 : cmd_gguf(o.model, &g, &e);
        if (!rc && g)
            rc = tok_open(g, &tok, &e);
        if (!rc)
            rc = open_template(&o, g, &text, &t, &e);
        if (!rc)
            rc = cmd_stdin(&in, &e);
        if (!rc && o.jsonl) {
            rc = objects(&in, t, &out, &e);
        } else if (!rc) {
            if (!(j = json_loadb(buf_str(&in), in.len, JSON_ALLOW_NUL, &je)))
                rc = err_set(&e, ERR_INPUT, "standard input is no JSON: line %d: %s", je.line, je.text);
            else
                rc = render(j, t, tok, &out, &e);
        }
        /* What was made before a bad line is given, then the line is named. */
        status = rc && !o.jsonl ? 0 : cmd_out(&out);
        if (rc)
            status = report(&e);
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
                                       "variable of the template (bos_token and eos_token, too; the model's own unless given). \"now\": "
                                       "\"2026-07-01T12:00:00\" is the time that the template sees."};
