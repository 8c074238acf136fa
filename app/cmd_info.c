/*
 * hadal info FILE: what a model file is, also one that this version cannot run.
 */
#include "config.h"
#include "app/cmd.h"

#include <inttypes.h>
#include <string.h>

#include "app/ginfo.h"
#include "model/model.h"

struct info {
    bool help, json;
    int n_ctx, n_threads;
};

static const struct opt opts[] = {
    {.name = "ctx", .kind = OPT_INT, .at = offsetof(struct info, n_ctx), .max = 1 << 24, .arg = "N", .help = "the context to tell memory for (0: that of a chat)"},
    {.name = "threads", .letter = 't', .kind = OPT_INT, .at = offsetof(struct info, n_threads), .max = 1024, .arg = "N",
     .help = "compute threads to tell speed for (0: one per core)"},
    OPT_ROW_JSON(struct info),
    OPT_ROW_HELP(struct info),
    {.name = NULL},
};

static json_t *count(uint64_t n)
{
    return n ? json_integer((json_int_t)n) : json_null();
}

static int print_json(const struct gguf *g, const struct ginfo *in)
{
    json_t *types = json_array();
    for (uint32_t t = 0; t < GINFO_TYPES; t++)
        if (in->types[t].tensors)
            json_array_append_new(types, json_pack("{s:s, s:o, s:o}", "type", quant_traits(t)->name, "tensors", count(in->types[t].tensors), "bytes",
                                                   count(in->types[t].bytes)));
    json_t *memory = json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:b, s:o}", "weights", count(in->data_bytes), "context", in->n_ctx, "context_bytes",
                               count(in->kv_bytes), "buffers", count(in->need.buffers), "total", count(in->need.total), "free", count(in->ram),
                               "fits", in->fits, "context_that_fits", count((uint64_t)in->ctx_fits));
    double speed = in->runs && in->fits ? model_speed(&in->need) : 0;
    json_t *j = json_pack("{s:o, s:o, s:i, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "file", jtext(gguf_path(g)), "bytes", count(in->file_bytes), "gguf",
                          (int)gguf_version(g), "name", jtext(in->name), "arch", jtext(in->arch), "runs", in->runs, "why_not",
                          in->runs ? json_null() : jtext(in->why_not.msg), "quant", jtext(in->quant), "types", types, "parameters",
                          count(in->n_params));
    json_object_update_new(j, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "context_length", count(in->n_ctx_train), "layers",
                                        count(in->n_layer), "embedding_length", count(in->n_embd), "vocabulary", count(in->n_vocab), "tokenizer",
                                        jtext(in->tokenizer), "pre", jtext(in->pre), "template", jtext(in->tmpl), "tensors",
                                        json_integer((json_int_t)in->n_tensors), "metadata", json_integer((json_int_t)in->n_kv), "memory",
                                        memory));
    json_object_set_new(j, "tokens_per_second", speed > 0 ? json_real(speed) : json_null());
    return cmd_out_json(j);
}

static void put_types(struct buf *b, const struct ginfo *in)
{
    bool said[GINFO_TYPES] = {false};
    for (int row = 0; row < GINFO_TYPES; row++) { /* by falling size */
        int best = -1;
        for (int t = 0; t < GINFO_TYPES; t++)
            if (in->types[t].tensors && !said[t] && (best < 0 || in->types[t].bytes > in->types[best].bytes))
                best = t;
        if (best < 0)
            break;
        said[best] = true;
        buf_addf(b, "%s%s %.1f %% (%" PRIu64 " tensors)", row ? ", " : "", quant_traits((uint32_t)best)->name,
                 in->data_bytes ? 100.0 * (double)in->types[best].bytes / (double)in->data_bytes : 0.0, in->types[best].tensors);
    }
}

static void field(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "%-11s ", name);
    if (value)
        cmd_line(b, value);
    else
        buf_addstr(b, "not said");
}

static int print_text(const struct gguf *g, const struct ginfo *in)
{
    struct buf b = BUF_INIT(65536);
    char params[24], bytes[24], weights[24], kv[24], ram[24];
    ginfo_params_text(in->n_params, params);
    field(&b, "file", gguf_path(g));
    buf_addf(&b, ", %s, GGUF version %u\n", ram_text(in->file_bytes, bytes), gguf_version(g));
    field(&b, "name", in->name);
    buf_addch(&b, '\n');
    field(&b, "arch", in->arch);
    buf_addf(&b, ", %" PRIu64 " layers of width %" PRIu64 "%s\n", in->n_layer, in->n_embd, in->runs ? "" : "; does not run:");
    if (!in->runs) {
        field(&b, "", in->why_not.msg);
        buf_addch(&b, '\n');
    }
    buf_addf(&b, "parameters  %s\n", params);
    if (in->n_tensors) {
        buf_addstr(&b, "types       ");
        put_types(&b, in);
        buf_addch(&b, '\n');
    }
    buf_addf(&b, "context     %" PRIu64 " tokens\n", in->n_ctx_train);
    field(&b, "tokenizer", in->tokenizer);
    if (in->pre) {
        buf_addch(&b, '/');
        cmd_line(&b, in->pre);
    }
    buf_addf(&b, ", %" PRIu64 " tokens\n", in->n_vocab);
    buf_addf(&b, "template    %s\n", !in->tmpl ? "none" : strcmp(in->tmpl, "unknown") ? in->tmpl : "unknown to this version (--template chatml)");
    if (in->n_tensors) {
        char buffers[24], total[24], fit[200];
        ginfo_fit_text(in, fit, sizeof fit);
        buf_addf(&b, "memory      weights %s", ram_text(in->data_bytes, weights));
        if (in->need.total)
            buf_addf(&b, ", a context of %d tokens %s, buffers %s: %s", in->n_ctx, ram_text(in->kv_bytes, kv), ram_text(in->need.buffers, buffers),
                     ram_text(in->need.total, total));
        buf_addf(&b, "; %s free: %s\n", ram_text(in->ram, ram), fit);
        double speed = in->runs && in->fits ? model_speed(&in->need) : 0;
        if (speed > 0)
            buf_addf(&b, "speed       about %.*f tokens a second, by a short measurement\n", speed < 10 ? 1 : 0, speed);
    }
    return cmd_out(&b);
}

static int run(int argc, char **argv)
{
    struct info o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_info, &o, argc, argv, &w, 0, 1, &status)) {
        struct gguf *g = NULL;
        struct err e;
        if (cmd_gguf(w.n ? w.at[0] : NULL, &g, &e)) {
            status = report(&e);
        } else {
            struct ginfo in;
            ginfo_read_ctx(g, o.n_ctx, o.n_threads, &in);
            status = o.json ? print_json(g, &in) : print_text(g, &in);
            ginfo_finish(&in);
        }
        gguf_close(g);
    }
    cmd_done(&cmd_info, &o, &w);
    return status;
}

const struct cmd cmd_info = {.name = "info", .args = "[MODEL]", .help = "say what a model file is, and whether it runs here", .opts = opts, .run = run};
