/*
 * hadal models: the files in models/.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "app/ginfo.h"
#include "base/path.h"
#include "model/model.h"

struct models {
    bool help, json;
    int n_ctx;
};

static const struct opt opts[] = {
    {.name = "ctx", .kind = OPT_INT, .at = offsetof(struct models, n_ctx), .max = 1 << 24, .arg = "N", .help = "the context to tell memory for (0: that of a chat)"},
    OPT_ROW_JSON(struct models),
    OPT_ROW_HELP(struct models),
    {.name = NULL},
};

static void put_fit(struct buf *b, const struct ginfo *in)
{
    char total[24], fit[200];
    double speed = in->fits ? model_speed(&in->need) : 0;
    ginfo_fit_text(in, fit, sizeof fit);
    if (in->fits)
        buf_addf(b, "\n    %s of memory with a context of %d: %s", ram_text(in->need.total, total), in->n_ctx, fit);
    else
        buf_addf(b, "\n    with a context of %d %s", in->n_ctx, fit);
    if (speed > 0)
        buf_addf(b, "; about %.*f tokens a second", speed < 10 ? 1 : 0, speed);
}

static void put_row(struct buf *b, const char *name, bool chosen, const struct ginfo *in, const char *trouble)
{
    char bytes[24], params[24];
    buf_addf(b, "%s ", chosen ? "*" : " ");
    cmd_line(b, name);
    if (trouble) {
        buf_addstr(b, "\n    ");
        cmd_line(b, trouble);
    } else {
        ginfo_params_text(in->n_params, params);
        buf_addstr(b, "\n    ");
        cmd_line(b, in->name);
        buf_addf(b, ", ");
        cmd_line(b, in->arch ? in->arch : "?");
        buf_addf(b, ", %s, %s, %s%s", params, in->quant ? in->quant : "no weights", ram_text(in->file_bytes, bytes),
                 in->runs ? "" : ", does not run in this version");
        if (in->runs)
            put_fit(b, in);
    }
    buf_addch(b, '\n');
}

static json_t *row_json(const char *name, const char *path, bool chosen, const struct ginfo *in, const char *trouble)
{
    json_t *j = json_pack("{s:o, s:o, s:b, s:o}", "name", jtext(name), "file", jtext(path), "default", chosen, "error", jtext(trouble));
    if (!trouble)
        json_object_update_new(j, json_pack("{s:o, s:o, s:o, s:I, s:I, s:b, s:b}", "title", jtext(in->name), "arch", jtext(in->arch), "quant",
                                            jtext(in->quant), "parameters", (json_int_t)in->n_params, "bytes", (json_int_t)in->file_bytes, "runs",
                                            in->runs, "fits", in->fits));
    if (!trouble && in->need.total) {
        double speed = in->runs && in->fits ? model_speed(&in->need) : 0;
        json_object_update_new(j, json_pack("{s:i, s:I, s:I, s:o}", "context", in->n_ctx, "memory", (json_int_t)in->need.total, "context_that_fits",
                                            (json_int_t)in->ctx_fits, "tokens_per_second", speed > 0 ? json_real(speed) : json_null()));
    }
    return j;
}

static int list_models(bool json, int n_ctx)
{
    struct conf c;
    struct err e;
    char *dir, *chosen = NULL;
    int n, status;
    char **list = conf_models(&dir, &n, &e);
    if (!list)
        return report(&e);
    cmd_conf(&c);
    conf_model_path(c.model, &chosen, NULL);
    json_t *all = json_array();
    struct buf b = BUF_INIT(SIZE_MAX);
    for (int i = 0; i < n; i++) {
        char *path = path_join(dir, list[i]);
        struct gguf *g = NULL;
        struct ginfo in = {0};
        bool bad = gguf_open(path, &g, &e) != 0, is_default = chosen && !strcmp(chosen, path);
        if (!bad)
            ginfo_read_ctx(g, n_ctx, 0, &in);
        if (json)
            json_array_append_new(all, row_json(list[i], path, is_default, &in, bad ? e.msg : NULL));
        else
            put_row(&b, list[i], is_default, &in, bad ? e.msg : NULL);
        ginfo_finish(&in);
        gguf_close(g);
        free(path);
    }
    if (!n && !json)
        notice("no models: put GGUF files into %s", dir);
    if (json) {
        status = cmd_out_json(all);
    } else {
        json_decref(all);
        status = cmd_out(&b);
    }
    buf_finish(&b);
    free(chosen);
    conf_models_free(list);
    free(dir);
    conf_finish(&c);
    return status;
}

static int run(int argc, char **argv)
{
    struct models o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_models, &o, argc, argv, &w, 0, 0, &status))
        status = list_models(o.json, o.n_ctx);
    cmd_done(&cmd_models, &o, &w);
    return status;
}

const struct cmd cmd_models = {.name = "models", .args = "", .help = "list the models in models/; * is the one that no -m means", .opts = opts, .run = run};
