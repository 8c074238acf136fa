/*
 * What the header of a GGUF file tells. See ginfo.h. Everything here is for the eye: a value of the wrong type counts as absent.
 */
#include "config.h"
#include "app/ginfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/utf8.h"
#include "model/model.h"
#include "model/template.h"

#define TEXT_MAX 200

static char *text(const char *s, size_t n)
{
    struct buf b = BUF_INIT(4 * TEXT_MAX);
    utf8_repair(&b, s, n < TEXT_MAX ? n : TEXT_MAX);
    return buf_take(&b);
}

static char *get_text(const struct gguf *g, const char *key)
{
    struct gguf_str s;
    return gguf_get_str(g, key, &s, NULL) == 1 && s.n ? text(s.s, s.n) : NULL;
}

/* The number of the architecture's own key; of a list the first element; 0: not there. */
static uint64_t number(const struct gguf *g, const char *arch, const char *suffix)
{
    char *key = mem_printf("%s.%s", arch, suffix);
    const struct gguf_kv *kv = gguf_find(g, key);
    free(key);
    bool ok = false;
    uint64_t v = kv && kv->count ? gguf_elem_u64(kv, 0, &ok) : 0;
    return ok && v <= UINT32_MAX ? v : 0;
}

static void read_tensors(const struct gguf *g, struct ginfo *in)
{
    uint64_t wide[GINFO_TYPES] = {0};
    in->n_tensors = gguf_n_tensors(g);
    for (size_t i = 0; i < in->n_tensors; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        in->n_params += (uint64_t)t->ne[0] * (uint64_t)t->ne[1] * (uint64_t)t->ne[2] * (uint64_t)t->ne[3];
        in->data_bytes += t->bytes;
        if (t->type >= GINFO_TYPES)
            continue;
        in->types[t->type].tensors++;
        in->types[t->type].bytes += t->bytes;
        if (t->n_dims > 1)
            wide[t->type] += t->bytes;
    }
    uint32_t best = 0;
    for (uint32_t i = 1; i < GINFO_TYPES; i++)
        if (wide[i] > wide[best])
            best = i;
    if (in->n_tensors && quant_traits(best))
        in->quant = quant_traits(best)->name;
}

void ginfo_read(const struct gguf *g, struct ginfo *in)
{
    ginfo_read_ctx(g, 0, 0, in);
}

void ginfo_read_ctx(const struct gguf *g, int n_ctx, int n_threads, struct ginfo *in)
{
    memset(in, 0, sizeof *in);
    const char *file = path_base(gguf_path(g));
    in->arch = get_text(g, "general.architecture");
    in->name = get_text(g, "general.name");
    if (!in->name)
        in->name = text(file, strlen(file));
    in->tokenizer = get_text(g, "tokenizer.ggml.model");
    in->pre = get_text(g, "tokenizer.ggml.pre");
    struct gguf_str s;
    if (gguf_get_str(g, "tokenizer.chat_template", &s, NULL) == 1 && s.n) {
        struct tmpl *t = NULL;
        in->tmpl = mem_strdup(tmpl_open(s.s, s.n, &t, NULL) ? "unknown" : tmpl_name(t));
        tmpl_close(t);
    }
    in->file_bytes = gguf_file_bytes(g);
    in->n_kv = gguf_n_kv(g);
    read_tensors(g, in);
    const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    in->n_vocab = tokens && tokens->type == GGUF_ARR ? tokens->count : 0;
    if (in->arch) {
        in->n_ctx_train = number(g, in->arch, "context_length");
        in->n_layer = number(g, in->arch, "block_count");
        in->n_embd = number(g, in->arch, "embedding_length");
        in->n_ctx = n_ctx ? n_ctx : in->n_ctx_train && in->n_ctx_train < MODEL_DEFAULT_CTX ? (int)in->n_ctx_train : MODEL_DEFAULT_CTX;
        if (model_need(g, in->n_ctx, n_threads, &in->need, NULL))
            in->need.total = 0;
        in->kv_bytes = in->need.kv;
    }
    in->runs = model_check(g, &in->why_not) == 0;
    in->ram = ram_free();
    in->fits = in->need.total ? in->need.fits : in->data_bytes <= in->ram;
    if (in->need.total && !in->fits)
        in->ctx_fits = model_fitting_ctx(g, &in->need);
}

void ginfo_fit_text(const struct ginfo *in, char *out, size_t size)
{
    char need[24], have[24], ctx[64] = "choose one with fewer bits a weight, or a smaller model";
    if (in->ctx_fits)
        snprintf(ctx, sizeof ctx, "--ctx %d would fit", in->ctx_fits);
    if (in->fits)
        snprintf(out, size, "it fits");
    else
        snprintf(out, size, "it does not fit: %s are needed, %s are free; %s", ram_text(in->need.total ? in->need.total : in->data_bytes, need),
                 ram_text(in->ram, have), ctx);
}

void ginfo_finish(struct ginfo *in)
{
    free(in->name);
    free(in->arch);
    free(in->tokenizer);
    free(in->pre);
    free(in->tmpl);
}

void ginfo_params_text(uint64_t n, char out[24])
{
    if (n >= 1000000000)
        snprintf(out, 24, "%.1f B", (double)n / 1e9);
    else if (n >= 1000000)
        snprintf(out, 24, "%.0f M", (double)n / 1e6);
    else
        snprintf(out, 24, "%.0f K", (double)n / 1e3);
}
