/*
 * hadal doctor: what hadal finds on this machine, and what is wrong with it.
 */
#include "config.h"
#include "app/cmd.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/ginfo.h"
#include "base/path.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "ui/line.h"
#include "ui/term.h"

struct doctor {
    bool help, json;
};

static const struct opt opts[] = {
    OPT_ROW_JSON(struct doctor),
    OPT_ROW_HELP(struct doctor),
    {.name = NULL},
};

/* One finding a call; both forms are collected. */
struct findings {
    json_t *list;
    struct buf text;
    int wrong;
};

static void found(struct findings *f, bool ok, const char *what, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void found(struct findings *f, bool ok, const char *what, const char *fmt, ...)
{
    char detail[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    json_array_append_new(f->list, json_pack("{s:s, s:b, s:o}", "check", what, "ok", ok, "detail", jtext(detail)));
    buf_addf(&f->text, "%s  %-10s ", ok ? "  " : "!!", what);
    cmd_line(&f->text, detail);
    buf_addch(&f->text, '\n');
    f->wrong += !ok;
}

/* ---- settings ---- */

static void on_warning(void *arg, const char *text)
{
    found(arg, false, "settings", "%s", text);
}

/* Says which settings differ from before, and that they came from `where`. */
static void changed(struct findings *f, const struct conf *before, const struct conf *after, const char *where)
{
    struct buf b = BUF_INIT(65536), old = BUF_INIT(SIZE_MAX), now = BUF_INIT(SIZE_MAX);
    for (const struct opt *o = opts_main; o->name; o++) {
        if (!(o->where & OPT_CONFIG))
            continue;
        buf_reset(&old);
        buf_reset(&now);
        opt_show(o, before, &old);
        opt_show(o, after, &now);
        if (strcmp(buf_str(&old), buf_str(&now)) != 0)
            buf_addf(&b, "%s%s = %.60s", b.len ? ", " : "", o->name, buf_str(&now));
    }
    if (b.len)
        found(f, true, "settings", "%s: %s", where, buf_str(&b));
    buf_finish(&b);
    buf_finish(&old);
    buf_finish(&now);
}

static void look_at_settings(struct findings *f)
{
    struct conf none, file, all;
    struct err e;
    char *path = path_config("config", &e);
    if (!path) {
        found(f, false, "settings", "%s", e.msg);
        return;
    }
    conf_init(&none);
    conf_init(&file);
    conf_init(&all);
    conf_load_file(&file, NULL, NULL);
    conf_load(&all, on_warning, f, NULL);
    conf_export(&all);
    if (access(path, F_OK) < 0)
        found(f, true, "settings", "no file %s; the built-in ones count", path);
    changed(f, &none, &file, path);
    changed(f, &file, &all, "environment");
    conf_finish(&none);
    conf_finish(&file);
    conf_finish(&all);
    free(path);
}

/* ---- files ---- */

static void look_at_history(struct findings *f)
{
    struct err e;
    struct stat st;
    struct hist *h = NULL;
    struct hist_list l = {0};
    char *path = path_data("history.db", &e);
    if (!path) {
        found(f, false, "history", "%s", e.msg);
    } else if (stat(path, &st) < 0) {
        found(f, errno == ENOENT || errno == ENOTDIR, "history", "%s: %s", path, errno == ENOENT ? "none yet" : strerror(errno));
    } else if (hist_open(NULL, false, &h, &e) || hist_check(h, &e) || hist_session_list(h, false, 0, &l, &e)) {
        found(f, false, "history", "%s", e.msg);
    } else {
        char bytes[24];
        found(f, true, "history", "%s, %s, %zu sessions, sound", path, ram_text((uint64_t)st.st_size, bytes), l.n);
        if (hist_notice(h))
            found(f, false, "history", "%s", hist_notice(h));
        if (st.st_mode & 077)
            found(f, false, "history", "others may read it (mode %03o): chmod 600 %s", (unsigned)st.st_mode & 0777, path);
    }
    hist_list_finish(&l);
    hist_close(h);
    free(path);
}

static void look_at_models(struct findings *f)
{
    struct conf c;
    struct err e;
    char *dir, *chosen = NULL;
    int n;
    char **list = conf_models(&dir, &n, &e);
    if (!list) {
        found(f, false, "models", "%s", e.msg);
        return;
    }
    found(f, true, "models", "%s, %d file%s", dir, n, n == 1 ? "" : "s");
    for (int i = 0; i < n; i++) {
        char *path = path_join(dir, list[i]);
        struct gguf *g = NULL;
        if (gguf_open(path, &g, &e))
            found(f, false, "models", "%s", e.msg);
        gguf_close(g);
        free(path);
    }
    conf_init(&c);
    conf_load(&c, NULL, NULL, NULL);
    struct gguf *g = NULL;
    if (conf_model_path(c.model, &chosen, &e) || gguf_open(chosen, &g, &e)) {
        found(f, false, "model", "%s", e.msg);
    } else {
        struct ginfo in;
        char bytes[24], ram[24];
        ginfo_read(g, &in);
        if (!in.runs)
            found(f, false, "model", "%s", in.why_not.msg);
        else
            found(f, in.fits, "model", "%s: %s, %s, %s; %s of memory free", chosen, in.name, in.quant, ram_text(in.file_bytes, bytes),
                  ram_text(in.ram, ram));
        ginfo_finish(&in);
    }
    gguf_close(g);
    free(chosen);
    conf_models_free(list);
    free(dir);
    conf_finish(&c);
}

/* ---- machine ---- */

static void look_at_machine(struct findings *f)
{
    const struct bk_ops *ops = bk_cpu();
    struct bk *bk = NULL;
    struct err e;
    struct bk_conf bc = {.n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    if (ops->open(&bc, &bk, &e)) {
        found(f, false, "processor", "%s", e.msg);
    } else {
        found(f, true, "processor", "%s", ops->describe(bk));
        ops->close(bk);
    }
}

static void look_at_terminal(struct findings *f)
{
    const char *term = getenv("TERM"), *codeset = nl_langinfo(CODESET);
    found(f, true, "terminal", "TERM %s, %d columns, colour %s, input %s, output %s", term && *term ? term : "not set", term_columns(TERM_OUT),
          term_color(TERM_OUT) ? "yes" : "no", isatty(STDIN_FILENO) ? "terminal" : "no terminal", term_is_tty(TERM_OUT) ? "terminal" : "no terminal");
    found(f, !strcmp(codeset, "UTF-8"), "locale", "%s, %s%s", setlocale(LC_CTYPE, NULL), codeset,
          strcmp(codeset, "UTF-8") ? "; hadal writes UTF-8: set LANG to a UTF-8 locale, such as C.UTF-8" : "");
}

static int run(int argc, char **argv)
{
    struct doctor o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_doctor, &o, argc, argv, &w, 0, 0, &status)) {
        struct findings f = {.list = json_array(), .text = BUF_INIT(1 << 24)};
        found(&f, true, "version", "%s", PACKAGE_STRING);
        found(&f, true, "libraries", "%s, %s, %s, jansson %s", hist_library(), prompt_library(), term_library(), JANSSON_VERSION);
        look_at_machine(&f);
        look_at_terminal(&f);
        look_at_settings(&f);
        look_at_history(&f);
        look_at_models(&f);
        if (o.json) {
            status = cmd_out_json(f.list);
        } else {
            json_decref(f.list);
            buf_addf(&f.text, f.wrong ? "%d of these want attention (!!)\n" : "all is well\n", f.wrong);
            status = cmd_out(&f.text);
        }
        buf_finish(&f.text);
        if (!status && f.wrong)
            status = 1;
    }
    cmd_done(&cmd_doctor, &o, &w);
    return status;
}

const struct cmd cmd_doctor = {.name = "doctor", .args = "", .help = "look at history, models, processor, terminal: is all well?",
                               .opts = opts, .run = run};
