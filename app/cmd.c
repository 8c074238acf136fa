/*
 * The table of sub-commands, and what they share. See cmd.h.
 *
 * A new command: a file cmd_NAME.c, a row here, its line in app/local.mk, and an item in man/hadal.1 (a test compares).
 */
#include "config.h"
#include "app/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sane.h"
#include "base/utf8.h"
#include "ui/line.h"

#define STDIN_MAX ((size_t)1 << 30)

static const struct cmd *const table[] = {
    &cmd_ls,     &cmd_show, &cmd_search, &cmd_rename,     &cmd_rm,       &cmd_fork,       &cmd_tag,    &cmd_pin,
    &cmd_archive, &cmd_purge, &cmd_export,     &cmd_import, &cmd_models,
    &cmd_info,   &cmd_doctor, &cmd_completion, &cmd_tokenize, &cmd_detokenize, &cmd_render, &cmd_sample, &cmd_logits, &cmd_eval, &cmd_bench,
};

const struct cmd *cmd_at(int i)
{
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const struct cmd *cmd_find(const char *name)
{
    for (int i = 0; cmd_at(i); i++)
        if (!strcmp(cmd_at(i)->name, name))
            return cmd_at(i);
    return NULL;
}

int cmd_usage(const struct cmd *c, const struct err *err)
{
    struct err e = *err;
    err_set(&e, ERR_USAGE, "%s: %s (hadal %s --help)", c->name, err->msg, c->name);
    return report(&e);
}

static int print_help(const struct cmd *c)
{
    struct buf b = BUF_INIT(65536);
    buf_addf(&b, "usage: hadal %s [OPTION]...%s%s\n\n%c%s.\n", c->name, *c->args ? " " : "", c->args, c->help[0] - 'a' + 'A', c->help + 1);
    if (c->more)
        opts_wrap(&b, 0, c->more);
    buf_addch(&b, '\n');
    opts_help(c->opts, &b);
    return cmd_out(&b);
}

bool cmd_args(const struct cmd *c, void *base, int argc, char **argv, struct words *w, int min, int max, int *status)
{
    struct err e;
    *status = 0;
    if (opts_parse(c->opts, base, argc, argv, w, &e)) {
        *status = cmd_usage(c, &e);
        return false;
    }
    const struct opt *help = opts_find(c->opts, "help", 4);
    if (*(const bool *)(const void *)((const char *)base + help->at)) {
        *status = print_help(c);
        return false;
    }
    if (w->n >= min && (max < 0 || w->n <= max))
        return true;
    if (w->n < min)
        err_set(&e, ERR_USAGE, "%s is missing", c->args);
    else
        err_set(&e, ERR_USAGE, "'%.60s' is too much; `hadal -- %s ...` would ask a question", w->at[max], c->name);
    *status = cmd_usage(c, &e);
    return false;
}

void cmd_done(const struct cmd *c, void *base, struct words *w)
{
    opts_finish(c->opts, base);
    free(w->at);
}

char *words_join(char *const *at, int n)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    for (int i = 0; i < n; i++) {
        if (i)
            buf_addch(&b, ' ');
        buf_addstr(&b, at[i]);
    }
    return buf_take(&b);
}

int cmd_out(struct buf *b)
{
    int status = 0;
    if (!term_raw(TERM_OUT, buf_str(b), b->len) && errno != EPIPE) {
        struct err e;
        err_sys(&e, ERR_IO, "cannot write to standard output");
        status = report(&e);
    }
    buf_finish(b);
    return status;
}

int cmd_out_json(json_t *j)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    jput(&b, j, cmd_out_tty());
    json_decref(j);
    return cmd_out(&b);
}

void cmd_line(struct buf *out, const char *s)
{
    sane_line(out, s, strlen(s));
}

void cmd_cut(struct buf *out, const char *s, int columns)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    cmd_line(&b, s);
    const char *p = buf_str(&b);
    size_t n = b.len, at = 0, len, end = 0; /* end: where the dots go when it is too wide */
    int width = 0;
    for (; at < n; at += len) {
        int w = utf8_width(utf8_decode(p + at, n - at, &len));
        if (width + w < columns)
            end = at + len;
        if (width + w > columns)
            break;
        width += w;
    }
    buf_add(out, p, at < n ? end : n);
    if (at < n)
        buf_addstr(out, "\u2026");
    buf_finish(&b);
}

bool cmd_out_tty(void)
{
    return term_is_tty(TERM_OUT);
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    notice("%s", text);
}

void cmd_conf(struct conf *c)
{
    conf_init(c);
    conf_load(c, warn, NULL, NULL);
    conf_export(c);
}

struct hist *cmd_history(bool read_only, int *status)
{
    struct conf c;
    struct hist *h = NULL;
    struct err e;
    conf_init(&c); /* no-save in the settings is about answers */
    if (app_history(&c, read_only, &h, &e))
        *status = report(&e);
    conf_finish(&c);
    return h;
}

int cmd_session(struct hist *h, const struct words *w, bool deleted, int64_t *id, struct err *err)
{
    char *what = words_join(w->at, w->n);
    int rc = hist_session_find(h, what, deleted, id, err);
    free(what);
    return rc;
}

int cmd_gguf(const char *model, struct gguf **out, struct err *err)
{
    struct conf c;
    char *path = NULL;
    cmd_conf(&c);
    int rc = conf_model_path(model ? model : c.model, &path, err);
    if (!rc)
        rc = gguf_open(path, out, err);
    free(path);
    conf_finish(&c);
    return rc;
}

int cmd_stdin(struct buf *b, struct err *err)
{
    buf_init(b, STDIN_MAX);
    return path_read_fd(STDIN_FILENO, b, "standard input", err);
}
