/*
 * hadal export [SESSION]: a session as Markdown or JSON.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "base/sane.h"

struct exporting {
    bool help, all;
    char *format, *file;
};

static const struct opt opts[] = {
    {.name = "format", .letter = 'f', .kind = OPT_TEXT, .at = offsetof(struct exporting, format), .arg = "md|json|html", .complete = "md json html",
     .help = "md, html: the conversation; json: every branch with its provenance"},
    {.name = "output", .letter = 'o', .kind = OPT_TEXT, .at = offsetof(struct exporting, file), .arg = "FILE", .complete = "files",
     .help = "write FILE instead of standard output"},
    {.name = "all", .letter = 'a', .kind = OPT_FLAG, .at = offsetof(struct exporting, all), .help = "every session (JSON: an array)"},
    OPT_ROW_HELP(struct exporting),
    {.name = NULL},
};

static int export_all(struct hist *h, enum export_format f, struct buf *out, struct err *err)
{
    struct hist_list l = {0};
    int rc = hist_session_list_of(h, HIST_ALL, 0, &l, err);
    if (!rc && f == EXPORT_JSON)
        buf_addstr(out, "[");
    for (size_t i = 0; !rc && i < l.n; i++) {
        if (i)
            buf_addstr(out, f == EXPORT_JSON ? "," : "\n");
        rc = export_session(h, l.at[i].id, f, out, err);
    }
    if (!rc && f == EXPORT_JSON)
        buf_addstr(out, "]\n");
    hist_list_finish(&l);
    return rc;
}

/* The bytes are the person's own; to a terminal they go sanitized, to a pipe and a file as they are. */
static int deliver(const struct exporting *o, struct buf *b, struct err *err)
{
    if (o->file)
        return file_put(o->file, buf_str(b), b->len, err);
    if (cmd_out_tty()) {
        struct buf shown = BUF_INIT(SIZE_MAX);
        sane_text(&shown, buf_str(b), b->len);
        buf_finish(b);
        *b = shown;
    }
    return 0;
}

static int run(int argc, char **argv)
{
    struct exporting o = {0};
    struct words w;
    int status;
    struct buf b = BUF_INIT(SIZE_MAX);
    if (cmd_args(&cmd_export, &o, argc, argv, &w, 0, -1, &status)) {
        enum export_format f = EXPORT_MD;
        struct err e;
        int64_t id;
        struct hist *h = NULL;
        if (o.file && !strcmp(o.file, "-")) {
            free(o.file);
            o.file = NULL;
        }
        if (!o.format && o.file)
            export_format_of(o.file, &f);
        if (o.format && !export_format_parse(o.format, &f)) {
            err_set(&e, ERR_USAGE, "--format takes md, json or html, not '%.60s'", o.format);
            status = cmd_usage(&cmd_export, &e);
        } else if (o.all && f == EXPORT_HTML) {
            err_set(&e, ERR_USAGE, "a page of HTML is one session; --all takes md or json");
            status = cmd_usage(&cmd_export, &e);
        } else if (o.all && w.n) {
            err_set(&e, ERR_USAGE, "a session or --all, not both");
            status = cmd_usage(&cmd_export, &e);
        } else if ((h = cmd_history(true, &status))) {
            int rc = o.all ? export_all(h, f, &b, &e) : cmd_session(h, &w, false, &id, &e);
            if (!rc && !o.all)
                rc = export_session(h, id, f, &b, &e);
            if (!rc)
                rc = deliver(&o, &b, &e);
            status = rc ? report(&e) : o.file ? 0 : cmd_out(&b);
        }
        hist_close(h);
    }
    buf_finish(&b);
    cmd_done(&cmd_export, &o, &w);
    return status;
}

const struct cmd cmd_export = {.name = "export", .args = "[SESSION]", .help = "write a session as Markdown, JSON or HTML", .opts = opts, .run = run,
                               .more = "SESSION is a short id, or words of a title; left out it is the newest. `hadal import` reads the JSON."};
