/*
 * The full screen's models, settings and help: what ui/view_models.c and ui/view_settings.c show. Models are the files in models/, and others that
 * history knows and that are still there; their headers are read one by one while the view stands.
 */
#include "config.h"
#include "app/full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/ginfo.h"
#include "app/keys.h"
#include "app/opts.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "model/model.h"
#include "ui/views.h"

struct entry {
    char *path, *name;
    char quant[24], size[24], ctx[16], fits[64], used[16], speed[32];
    struct ginfo info;
    struct err err;
    bool looked, bad;
    const struct hist_usage *usage; /* of models.used, or NULL */
};

static struct {
    struct entry *at;
    struct model_row *rows;
    size_t n, looked;
    struct hist_usages used;
    char *here; /* path of what answers */
} models;

static void forget(void)
{
    for (size_t i = 0; i < models.n; i++) {
        free(models.at[i].path);
        free(models.at[i].name);
        ginfo_finish(&models.at[i].info);
    }
    free(models.at);
    free(models.rows);
    free(models.here);
    hist_usages_finish(&models.used);
    memset(&models, 0, sizeof models);
}

static void add_entry(char *path)
{
    for (size_t i = 0; i < models.n; i++)
        if (strcmp(models.at[i].path, path) == 0) {
            free(path);
            return;
        }
    models.at = mem_grow(models.at, models.n + 1, sizeof *models.at);
    const char *base = path_base(path);
    size_t n = strlen(base);
    models.at[models.n++] = (struct entry){.path = path, .name = mem_strndup(base, n > 5 && !strcmp(base + n - 5, ".gguf") ? n - 5 : n)};
}

static void gather(struct full *u)
{
    int n = 0;
    char *dir = NULL, **list;
    forget();
    list = conf_models(&dir, &n, NULL);
    for (int i = 0; list && i < n; i++)
        add_entry(path_join(dir, list[i]));
    if (list)
        conf_models_free(list);
    free(dir);
    if (u->f.h)
        hist_models_used(u->f.h, &models.used, NULL);
    for (size_t i = 0; i < models.used.n; i++) {
        const char *file = models.used.at[i].model.file;
        if (file && *file == '/' && access(file, R_OK) == 0)
            add_entry(mem_strdup(file));
    }
    conf_model_path(u->f.conf->model, &models.here, NULL);
    if (models.here)
        add_entry(mem_strdup(models.here));
    for (size_t i = 0; i < models.n; i++)
        for (size_t k = models.used.n; k-- > 0;) { /* the newest wins */
            const char *file = models.used.at[k].model.file;
            if (file && strcmp(file, models.at[i].path) == 0)
                models.at[i].usage = &models.used.at[k];
        }
}

/* What the header says, as it is shown. */
static void look(struct entry *e)
{
    struct gguf *g = NULL;
    e->looked = true;
    e->bad = gguf_open(e->path, &g, &e->err) != 0;
    if (e->bad) {
        snprintf(e->fits, sizeof e->fits, "cannot be read");
        return;
    }
    ginfo_read(g, &e->info);
    gguf_close(g);
    const struct ginfo *in = &e->info;
    snprintf(e->quant, sizeof e->quant, "%s", in->quant ? in->quant : "");
    ram_text(in->file_bytes, e->size);
    if (in->n_ctx_train >= 1000000)
        snprintf(e->ctx, sizeof e->ctx, "%.0fM", (double)in->n_ctx_train / 1e6);
    else if (in->n_ctx_train)
        snprintf(e->ctx, sizeof e->ctx, "%.0fk", (double)in->n_ctx_train / 1024);
    uint64_t need = in->file_bytes + in->kv_bytes;
    char bytes[24];
    e->bad = !in->runs;
    if (!in->runs)
        snprintf(e->fits, sizeof e->fits, "does not run here");
    else if (in->fits)
        snprintf(e->fits, sizeof e->fits, "yes, %s spare", ram_text(in->ram > need ? in->ram - need : 0, bytes));
    else
        snprintf(e->fits, sizeof e->fits, "no, needs %s more", ram_text(need > in->ram ? need - in->ram : 0, bytes));
}

static void model_rows(void *arg, const struct model_row **at, size_t *n, struct say *say)
{
    int64_t now = clock_wall_ms();
    (void)arg;
    (void)say;
    models.rows = mem_grow(models.rows, models.n + 1, sizeof *models.rows);
    for (size_t i = 0; i < models.n; i++) {
        struct entry *e = &models.at[i];
        snprintf(e->used, sizeof e->used, "-");
        if (e->usage && e->usage->used_ms)
            when_text(e->usage->used_ms, now, e->used);
        e->speed[0] = 0;
        if (e->usage && e->usage->decode_tps > 0)
            snprintf(e->speed, sizeof e->speed, "%.1f tok/s", e->usage->decode_tps);
        models.rows[i] = (struct model_row){.name = e->name, .quant = e->quant, .size = e->size, .ctx = e->ctx, .fits = e->looked ? e->fits : "..",
                                            .used = e->used, .speed = e->speed, .here = models.here && !strcmp(models.here, e->path), .bad = e->bad};
    }
    *at = models.rows;
    *n = models.n;
}

static bool more(void *arg)
{
    (void)arg;
    if (models.looked < models.n)
        look(&models.at[models.looked++]);
    return models.looked < models.n;
}

static void detail(void *arg, size_t row, pane_add *add, void *to)
{
    const struct entry *e = &models.at[row];
    const struct ginfo *in = &e->info;
    struct buf b = BUF_INIT(1 << 16);
    char params[24], kv[24];
    (void)arg;
    buf_addf(&b, "%s  %s", in->name ? in->name : e->name, e->quant);
    add(to, ROLE_TITLE, buf_str(&b), b.len);
    buf_reset(&b);
    buf_addf(&b, "file      %s", e->path);
    if (e->looked && e->err.code) {
        buf_addf(&b, "\n%s", e->err.msg);
    } else if (e->looked) {
        ginfo_params_text(in->n_params, params);
        buf_addf(&b, "\narch      %s, %s parameters, context %llu", in->arch ? in->arch : "?", params, (unsigned long long)in->n_ctx_train);
        if (in->kv_bytes)
            buf_addf(&b, "\nmemory    %s and %s for a context of %d", e->size, ram_text(in->kv_bytes, kv), in->n_ctx);
        if (!in->runs)
            buf_addf(&b, "\n%s", in->why_not.msg);
    }
    if (e->usage && (e->usage->decode_tps > 0 || e->usage->prefill_tps > 0)) {
        buf_addf(&b, "\nmeasured  ");
        if (e->usage->prefill_tps > 0)
            buf_addf(&b, "reading %.0f tok/s, ", e->usage->prefill_tps);
        buf_addf(&b, "answering %.1f tok/s", e->usage->decode_tps);
        if (e->usage->load_ms > 0)
            buf_addf(&b, ", loading %.1f s", e->usage->load_ms / 1000);
        buf_addf(&b, " (%d answer%s here, the last ones count)", e->usage->runs, e->usage->runs == 1 ? "" : "s");
    }
    add(to, ROLE_TEXT, buf_str(&b), b.len);
    static const char note[] = "Changing the model keeps the conversation; the prompt is read again.";
    add(to, ROLE_DIM, note, sizeof note - 1);
    buf_finish(&b);
}

static bool use(void *arg, size_t row, struct say *say)
{
    struct full *u = arg;
    const struct entry *e = &models.at[row];
    struct err err = {0};
    say->bad = true;
    if (e->looked && e->err.code) {
        snprintf(say->text, sizeof say->text, "%.200s", e->err.msg);
        return false;
    }
    if (e->looked && !e->info.runs) {
        snprintf(say->text, sizeof say->text, "%.200s", e->info.why_not.msg);
        return false;
    }
    if (conf_set(u->f.conf, "model", e->path, &err)) {
        snprintf(say->text, sizeof say->text, "%s", err.msg);
        return false;
    }
    free(u->model);
    u->model = NULL;
    full_title(u);
    full_say(u, ROLE_GOOD, "%s answers from here on", e->name);
    return true;
}

void full_models(struct full *u)
{
    int n;
    char *dir = NULL, ram[24];
    char **list = conf_models(&dir, &n, NULL);
    gather(u);
    char *right = mem_printf("%s   RAM free %s", dir ? dir : "", ram_text(ram_free(), ram));
    full_push(u, view_models(&(struct view_models_conf){.arg = u, .right = right, .rows = model_rows, .more = more, .detail = detail, .use = use}));
    free(right);
    if (list)
        conf_models_free(list);
    free(dir);
}

/* ---- settings ---- */

static struct {
    struct setting_row *at;
    char **values;
    size_t n;
} settings;

static void forget_settings(void)
{
    for (size_t i = 0; i < settings.n; i++)
        free(settings.values[i]);
    free(settings.values);
    free(settings.at);
    memset(&settings, 0, sizeof settings);
}

static void setting_rows(void *arg, const struct setting_row **at, size_t *n)
{
    struct full *u = arg;
    const char *name, *help;
    struct buf value = BUF_INIT(1 << 20);
    forget_settings();
    for (int i = 0; (name = conf_setting(u->f.conf, i, &help, &value)); i++) {
        const struct opt *o = opts_find(opts_main, name, strlen(name));
        settings.at = mem_grow(settings.at, settings.n + 1, sizeof *settings.at);
        settings.values = mem_grow(settings.values, settings.n + 1, sizeof *settings.values);
        settings.values[settings.n] = mem_strdup(buf_str(&value));
        settings.at[settings.n] = (struct setting_row){name, settings.values[settings.n], help, o && o->kind == OPT_FLAG};
        settings.n++;
        buf_reset(&value);
    }
    buf_finish(&value);
    *at = settings.at;
    *n = settings.n;
}

static bool set(void *arg, const char *name, const char *value, struct say *say)
{
    struct full *u = arg;
    struct err e;
    if (conf_set(u->f.conf, name, value, &e)) {
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        return false;
    }
    if (strcmp(name, "model") == 0) {
        free(u->model);
        u->model = NULL;
    }
    full_title(u);
    return true;
}

void full_settings(struct full *u)
{
    full_push(u, view_settings(&(struct view_settings_conf){.arg = u, .rows = setting_rows, .set = set}));
}

void full_models_finish(void)
{
    forget();
    forget_settings();
}

/* ---- help ---- */

void full_help(struct full *u)
{
    struct help_row *rows;
    size_t n = keys_rows(&rows);
    full_push(u, view_help(rows, n, "hadal " PACKAGE_VERSION "   man hadal"));
    keys_free(rows, n);
}
