/*
 * A model: opens the file, checks that it is one we can run and that it fits into memory, hands the weights to the
 * backend, and knows what a person may want to know of it. The file stays mapped (vocabulary strings, template, and with
 * some backends the embedding live there); pages of weights that were packed are given back as loading goes on.
 */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/utf8.h"
#include "model/impl.h"

static void hex(XXH128_hash_t h, char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

/* Header region, size, and 16 samples of 4 KiB: cheap, and two different files do not agree by accident. */
static void fingerprint(const struct gguf *g, char out[33])
{
    uint64_t size = gguf_file_bytes(g);
    size_t n = gguf_n_tensors(g), head;
    const void *header = gguf_header(g, &head);
    XXH3_state_t *st = XXH3_createState();
    XXH3_128bits_reset(st);
    XXH3_128bits_update(st, &size, sizeof size);
    XXH3_128bits_update(st, header, head);
    for (size_t k = 0; n && k < 16; k++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, k * (n - 1) / 15);
        size_t len = t->bytes < 4096 ? t->bytes : 4096, at = (t->bytes - len) / 16 * k;
        XXH3_128bits_update(st, (const unsigned char *)t->data + at, len);
    }
    hex(XXH3_128bits_digest(st), out);
    XXH3_freeState(st);
}

static char *repaired(const char *s, size_t n)
{
    struct buf b = BUF_INIT(4096);
    utf8_repair(&b, s, n > 1024 ? 1024 : n);
    return b.len ? buf_take(&b) : mem_strdup("");
}

/* The type that most bytes of matrices have. */
static const char *main_type(const struct gguf *g, uint64_t *params)
{
    uint64_t bytes[64] = {0};
    uint32_t best = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        *params += (uint64_t)t->ne[0] * (uint64_t)t->ne[1] * (uint64_t)t->ne[2] * (uint64_t)t->ne[3];
        if (t->type < 64 && t->n_dims > 1)
            bytes[t->type] += t->bytes;
    }
    for (uint32_t t = 0; t < 64; t++)
        if (bytes[t] > bytes[best])
            best = t;
    return quant_traits(best)->name;
}

static void fill_info(struct model *m, const char *path)
{
    struct model_info *in = &m->info;
    struct gguf_str s;
    if (gguf_get_str(m->g, "general.name", &s, NULL) == 1 && s.n)
        m->strings[0] = repaired(s.s, s.n);
    else
        m->strings[0] = repaired(path_base(path), strlen(path_base(path)));
    m->strings[1] = repaired(path, strlen(path));
    in->name = m->strings[0];
    in->path = m->strings[1];
    in->arch = m->hp.arch->name;
    in->quant = main_type(m->g, &in->n_params);
    fingerprint(m->g, in->fingerprint);
    if (m->tmpl.n)
        hex(XXH3_128bits(m->tmpl.s, m->tmpl.n), in->template_sha);
    in->file_bytes = gguf_file_bytes(m->g);
    in->n_ctx_train = m->hp.n_ctx_train;
    in->n_layer = m->hp.n_layer;
    in->n_embd = m->hp.n_embd;
    in->n_vocab = m->hp.n_vocab;
    in->backend = m->net.ops->name;
    in->backend_text = m->net.ops->describe(m->net.bk);
}

/* Files that are GGUF but no model: adapters, projectors. */
static int check_kind(const struct gguf *g, struct err *err)
{
    struct gguf_str type;
    int rc = gguf_get_str(g, "general.type", &type, err);
    if (rc < 0)
        return rc;
    if (rc && !(type.n == 5 && !memcmp(type.s, "model", 5)))
        return err_set(err, ERR_FORMAT, "%s is no model: its general.type is \"%.*s\"", gguf_path(g), (int)(type.n > 40 ? 40 : type.n), type.s);
    return 0;
}

static int check_room(const struct gguf *g, const struct model_conf *conf, struct err *err)
{
    struct model_need need;
    int rc = model_need(g, conf->n_ctx, conf->n_threads, &need, err);
    return rc || need.fits ? rc : model_refuse(g, &need, err);
}

static int check_types(const struct gguf *g, struct err *err)
{
    if (!gguf_n_tensors(g))
        return err_set(err, ERR_FORMAT, "%s holds a vocabulary and no weights", gguf_path(g));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        const struct qtraits *q = quant_traits(t->type);
        if (!q || !q->decode)
            return err_set(err, ERR_FORMAT, "%s: tensors of type %s cannot be computed with yet", gguf_path(g), q ? q->name : "?");
    }
    return 0;
}

int model_check(const struct gguf *g, struct err *err)
{
    struct hparams hp = {0};
    struct tok *tok = NULL;
    int rc = check_kind(g, err);
    if (!rc)
        rc = hparams_read(g, &hp, err);
    if (!rc)
        rc = tok_open(g, &tok, err);
    if (!rc)
        rc = check_types(g, err);
    tok_close(tok);
    hparams_finish(&hp);
    return rc;
}

int model_kv_bytes(const struct gguf *g, int n_ctx, enum bk_kv_type kv, uint64_t *out, struct err *err)
{
    struct hparams hp = {0};
    int rc = hparams_read(g, &hp, err);
    if (rc)
        return rc;
    struct bk_kv_layer *layers = mem_array((size_t)hp.n_layer, sizeof *layers);
    for (int i = 0; i < hp.n_layer; i++)
        layers[i] = net_kv(&hp, i);
    *out = bk_cpu()->kv_bytes(&(struct bk_kv_conf){kv, n_ctx, hp.n_layer, layers});
    free(layers);
    hparams_finish(&hp);
    return 0;
}

/* Where the first value of a tensor is that is no finite number, -1: all are. Reads the file again. */
static int64_t first_bad(const struct gguf_tensor *t, float *row, float *value)
{
    const struct qtraits *q = quant_traits(t->type);
    int64_t rows = t->ne[1] * t->ne[2] * t->ne[3];
    size_t bytes = quant_row_bytes((enum qtype)t->type, t->ne[0]);
    for (int64_t r = 0; r < rows; r++) {
        q->decode((const char *)t->data + bytes * (size_t)r, row, t->ne[0]);
        for (int64_t i = 0; i < t->ne[0]; i++)
            if (!isfinite(*value = row[i]))
                return r * t->ne[0] + i;
    }
    return -1;
}

int model_blame(const struct model *m, struct err *err)
{
    for (size_t i = 0; i < gguf_n_tensors(m->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->g, i);
        const struct qtraits *q = quant_traits(t->type);
        if (!q->decode || (t->type >= Q_I8 && t->type <= Q_F64))
            continue;
        float value, *row = mem_array((size_t)t->ne[0], sizeof *row);
        int64_t at = first_bad(t, row, &value);
        free(row);
        gguf_drop_pages(m->g, t);
        if (at >= 0)
            return err_set(err, ERR_FORMAT, "%s: the tensor %.*s is damaged: its value %" PRId64 " is %f", gguf_path(m->g), (int)t->name.n, t->name.s, at,
                           (double)value);
    }
    return err_set(err, ERR_FORMAT, "%s: the model's output is not finite, though all of its weights are", gguf_path(m->g));
}

struct loading {
    struct model *m;
    const struct model_conf *conf;
    uint64_t dropped; /* bytes of tensors whose pages were given back */
    size_t next;
};

/* Weights are packed about in file order: behind the front their pages are given back, so that the peak stays near one copy. */
static bool loading(void *arg, uint64_t done, uint64_t total)
{
    struct loading *l = arg;
    const struct gguf *g = l->m->g;
    while (l->next < gguf_n_tensors(g) && l->dropped + gguf_tensor_at(g, l->next)->bytes <= done) {
        l->dropped += gguf_tensor_at(g, l->next)->bytes;
        gguf_drop_pages(g, gguf_tensor_at(g, l->next++));
    }
    return !l->conf->progress || l->conf->progress(l->conf->arg, done, total);
}

static int load_weights(struct model *m, const struct model_conf *conf, struct err *err)
{
    struct bk_conf bc = {.n_threads = conf->n_threads > 0 ? conf->n_threads : model_cores()};
    m->net.ops = bk_cpu();
    int rc = m->net.ops->open(&bc, &m->net.bk, err);
    if (!rc)
        rc = net_load(&m->net, m->g, &m->hp, err);
    if (rc)
        return rc;
    struct loading l = {.m = m, .conf = conf};
    rc = m->net.ops->weights_ready(m->net.bk, loading, &l, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < gguf_n_tensors(m->g); i++)
        gguf_drop_pages(m->g, gguf_tensor_at(m->g, i));
    net_loaded(&m->net);
    m->max_batch = m->net.ops->max_batch < MODEL_MAX_BATCH ? m->net.ops->max_batch : MODEL_MAX_BATCH;
    return m->net.ops->reserve(m->net.bk, m->hp.n_embd, m->net.n_wide, m->net.n_qkv, m->hp.n_vocab, m->max_batch, err);
}

int model_open(const char *path, const struct model_conf *conf, struct model **out, struct err *err)
{
    static const struct model_conf none;
    struct model *m = mem_zalloc(sizeof *m);
    int rc = gguf_open(path, &m->g, err);
    if (!rc)
        rc = check_kind(m->g, err);
    if (!rc)
        rc = hparams_read(m->g, &m->hp, err);
    if (!rc)
        rc = tok_open(m->g, &m->tok, err);
    if (!rc && tok_count(m->tok) != m->hp.n_vocab)
        rc = err_set(err, ERR_FORMAT, "%s: the tokenizer has %d tokens, the model %d", gguf_path(m->g), tok_count(m->tok), m->hp.n_vocab);
    if (!rc && gguf_get_str(m->g, "tokenizer.chat_template", &m->tmpl, err) < 0)
        rc = ERR_FORMAT;
    if (!rc)
        rc = check_room(m->g, conf ? conf : &none, err);
    if (!rc)
        rc = load_weights(m, conf ? conf : &none, err);
    if (!rc && !gguf_unchanged(m->g))
        rc = err_set(err, ERR_FORMAT, "%s changed while it was loaded", path);
    if (rc) {
        model_close(m);
        return rc;
    }
    fill_info(m, path);
    *out = m;
    return 0;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    if (m->net.bk)
        m->net.ops->close(m->net.bk);
    net_finish(&m->net);
    hparams_finish(&m->hp);
    tok_close(m->tok);
    gguf_close(m->g);
    for (size_t i = 0; i < sizeof m->strings / sizeof m->strings[0]; i++)
        free(m->strings[i]);
    free(m);
}

const struct model_info *model_info(const struct model *m)
{
    return &m->info;
}

const struct tok *model_tok(const struct model *m)
{
    return m->tok;
}

const struct gguf *model_gguf(const struct model *m)
{
    return m->g;
}

struct gguf_str model_template(const struct model *m)
{
    return m->tmpl.s ? m->tmpl : (struct gguf_str){"", 0};
}
