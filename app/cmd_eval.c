/*
 * hadal eval: how well a model foretells a text (perplexity), and how far it is from another one, say from the same model before it was
 * quantized. What the numbers are is in model/score.h.
 */
#include "config.h"
#include "app/cmd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/path.h"
#include "model/score.h"
#include "ui/line.h"

#define TEXT_MAX ((size_t)1 << 30)
#define STATUS_EVERY_US 200000

struct eval {
    bool help, json;
    char *model, *text, *against, *kv;
    int n_ctx, n_chunks, n_threads;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct eval),
    {.name = "text", .kind = OPT_TEXT, .at = offsetof(struct eval, text), .arg = "FILE", .complete = "files", .help = "what is foretold; -: standard input"},
    {.name = "against", .kind = OPT_TEXT, .at = offsetof(struct eval, against), .arg = "MODEL", .complete = "models files",
     .help = "compare with this model, as which it should answer"},
    {.name = "ctx", .kind = OPT_INT, .at = offsetof(struct eval, n_ctx), .min = 4, .max = 1 << 24, .arg = "N", .help = "tokens of a chunk (512)"},
    {.name = "chunks", .kind = OPT_INT, .at = offsetof(struct eval, n_chunks), .max = 1 << 24, .arg = "N", .help = "at most N chunks (0: all)"},
    {.name = "threads", .letter = 't', .kind = OPT_INT, .at = offsetof(struct eval, n_threads), .max = 1024, .arg = "N",
     .help = "compute threads (0: one per core)"},
    {.name = "kv", .kind = OPT_TEXT, .at = offsetof(struct eval, kv), .arg = "f16|f32", .complete = "f16 f32", .help = "what the cache holds (f16)"},
    OPT_ROW_JSON(struct eval),
    OPT_ROW_HELP(struct eval),
    {.name = NULL},
};

struct progress {
    int64_t began, shown; /* microseconds */
};

static bool show(void *arg, int done, int total, double ppl)
{
    struct progress *p = arg;
    int64_t now = clock_mono_us();
    char text[128], left[32] = "";
    if (now - p->shown < STATUS_EVERY_US)
        return true;
    p->shown = now;
    if (done)
        snprintf(left, sizeof left, ", %.0f s left", (double)(now - p->began) / 1e6 / done * (total - done));
    if (ppl > 0)
        snprintf(text, sizeof text, "chunk %d of %d, perplexity so far %.4f%s", done + 1 > total ? total : done + 1, total, ppl, left);
    else
        snprintf(text, sizeof text, "chunk 1 of %d", total);
    term_status(text);
    return true;
}

static bool show_load(void *arg, uint64_t done, uint64_t total)
{
    struct progress *p = arg;
    int64_t now = clock_mono_us();
    char text[64];
    if (now - p->shown < STATUS_EVERY_US)
        return true;
    p->shown = now;
    snprintf(text, sizeof text, "loading, %.0f %%", total ? 100.0 * (double)done / (double)total : 0.0);
    term_status(text);
    return true;
}

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static int print_json(const struct score *s, const struct model *m, const struct model *ref, const struct eval *o, double seconds)
{
    json_t *j = json_pack("{s:o, s:i, s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "model", jtext(model_info(m)->path), "ctx", o->n_ctx, "chunks", s->n_chunks,
                          "text_tokens", (json_int_t)s->n_text, "scored", (json_int_t)s->n, "perplexity", real(s->ppl), "perplexity_error",
                          real(s->ppl_error), "nll", real(s->nll.mean), "nll_error", real(s->nll.error), "seconds", real(seconds));
    if (ref) {
        json_t *kl = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "mean", real(s->kl.mean), "error", real(s->kl.error), "median", real(s->kl_median),
                               "q90", real(s->kl_90), "q99", real(s->kl_99), "q999", real(s->kl_999), "max", real(s->kl_max));
        json_object_set_new(j, "against",
                            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model", jtext(model_info(ref)->path), "perplexity", real(exp(s->ref_nll.mean)),
                                      "nll_more", real(s->nll_more.mean), "nll_more_error", real(s->nll_more.error), "kl", kl, "same_top",
                                      real(s->same_top.mean), "same_top_error", real(s->same_top.error)));
    }
    return cmd_out_json(j);
}

static int print_text(const struct score *s, const struct model *m, const struct model *ref, const struct eval *o)
{
    struct buf b = BUF_INIT(65536);
    cmd_line(&b, model_info(m)->name);
    buf_addf(&b, ", %s: %zu tokens of %d chunk%s of %d are scored\n\n", model_info(m)->quant, s->n, s->n_chunks, s->n_chunks == 1 ? "" : "s", o->n_ctx);
    buf_addf(&b, "perplexity     %.4f +/- %.4f\n", s->ppl, s->ppl_error);
    if (ref) {
        buf_addstr(&b, "against        ");
        cmd_line(&b, model_info(ref)->name);
        buf_addf(&b, ", %s: perplexity %.4f, %+.3f %% +/- %.3f %%\n", model_info(ref)->quant, exp(s->ref_nll.mean), 100 * expm1(s->nll_more.mean),
                 100 * exp(s->nll_more.mean) * s->nll_more.error);
        buf_addf(&b, "KL divergence  %.3e +/- %.1e; median %.3e, 90 %% %.3e, 99 %% %.3e, 99.9 %% %.3e, most %.3e\n", s->kl.mean, s->kl.error, s->kl_median,
                 s->kl_90, s->kl_99, s->kl_999, s->kl_max);
        buf_addf(&b, "same likeliest %.2f %% +/- %.2f %%\n", 100 * s->same_top.mean, 100 * s->same_top.error);
    }
    return cmd_out(&b);
}

static int open_model(const char *name, const struct eval *o, struct model **out, struct progress *p, struct err *err)
{
    char *path = NULL;
    int rc = conf_model_path(name, &path, err);
    if (!rc)
        rc = model_open(path, &(struct model_conf){.n_threads = o->n_threads, .progress = show_load, .arg = p, .n_ctx = o->n_ctx}, out, err);
    free(path);
    return rc;
}

static int eval(const struct eval *o)
{
    struct conf c;
    struct err e;
    struct model *m = NULL, *ref = NULL;
    struct buf text = BUF_INIT(TEXT_MAX);
    struct score s;
    struct progress p = {.began = clock_mono_us()};
    struct score_conf sc = {.n_ctx = o->n_ctx, .n_chunks = o->n_chunks, .kv = o->kv && !strcmp(o->kv, "f32") ? BK_KV_F32 : BK_KV_F16, .progress = show, .arg = &p};
    if (!o->text || (o->kv && strcmp(o->kv, "f32") && strcmp(o->kv, "f16"))) {
        err_set(&e, ERR_USAGE, o->text ? "--kv takes f32 or f16" : "--text is missing");
        return cmd_usage(&cmd_eval, &e);
    }
    cmd_conf(&c);
    int rc = strcmp(o->text, "-") ? path_read(o->text, &text, &e) : cmd_stdin(&text, &e);
    if (!rc)
        rc = open_model(o->model ? o->model : c.model, o, &m, &p, &e);
    if (!rc && o->against)
        rc = open_model(o->against, o, &ref, &p, &e);
    p.began = clock_mono_us();
    if (!rc)
        rc = score_text(m, ref, buf_str(&text), text.len, &sc, &s, &e);
    term_status("");
    int status = rc ? report(&e) : 0;
    if (!rc)
        status = o->json ? print_json(&s, m, ref, o, (double)(clock_mono_us() - p.began) / 1e6) : print_text(&s, m, ref, o);
    model_close(m);
    model_close(ref);
    buf_finish(&text);
    conf_finish(&c);
    return status;
}

static int run(int argc, char **argv)
{
    struct eval o = {.n_ctx = 512};
    struct words w;
    int status;
    if (cmd_args(&cmd_eval, &o, argc, argv, &w, 0, 0, &status))
        status = eval(&o);
    cmd_done(&cmd_eval, &o, &w);
    return status;
}

const struct cmd cmd_eval = {.name = "eval", .args = "", .help = "judge a model by a text: perplexity, distance from another model", .opts = opts, .run = run};
