/*
 * The net: tensors to roles, roles to blocks, and the forward pass over the blocks. Every tensor is looked up by name,
 * its shape compared with what the hyperparameters say, and registered in the backend; from then on the net is plain
 * structs of kernels/backend.h and knows no device.
 */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/impl.h"

struct loader {
    struct net *n;
    const struct gguf *g;
    const struct hparams *hp;
    struct err *err;
    int used; /* tensors of the file */
};

enum need { MUST, MAY };

static int check_tensor(struct loader *l, const struct gguf_tensor *t, const char *name, bool vector, int64_t ne0, int64_t ne1)
{
    const struct qtraits *q = quant_traits(t->type);
    if (t->ne[0] != ne0 || t->ne[1] != ne1 || t->ne[2] != 1 || t->ne[3] != 1)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is %" PRId64 " x %" PRId64 "; %" PRId64 " x %" PRId64 " is wanted",
                       gguf_path(l->g), name, t->ne[0], t->ne[1] * t->ne[2] * t->ne[3], ne0, ne1);
    if (vector && t->type != Q_F32 && t->type != Q_F16 && t->type != Q_BF16)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is of type %s; F32, F16 or BF16 is wanted", gguf_path(l->g), name, q->name);
    if (!q->decode || (t->type >= Q_I8 && t->type <= Q_F64))
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is of type %s, which this version cannot compute with", gguf_path(l->g), name,
                       q->name);
    return 0;
}

/* Registers one tensor of shape {ne0, ne1} (ne1 == 0: a vector of ne0). *out stays NULL when it may be absent and is. */
static int tensor(struct loader *l, const char *name, enum need need, enum bk_use use, int64_t ne0, int64_t ne1, const struct bk_weight **out)
{
    const struct gguf_tensor *t = gguf_tensor(l->g, name);
    *out = NULL;
    if (!t) {
        if (need == MAY)
            return 0;
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), name);
    }
    int rc = check_tensor(l, t, name, use == BK_VECTOR, ne0, ne1 ? ne1 : 1);
    if (rc)
        return rc;
    struct bk_tensor b = {.name = name, .type = (enum qtype)t->type, .data = t->data, .bytes = t->bytes};
    memcpy(b.ne, t->ne, sizeof b.ne);
    struct bk_weight *w = NULL;
    rc = l->n->ops->weight(l->n->bk, &b, use, &w, l->err);
    if (rc)
        return err_wrap(l->err, "%s: the tensor %s", gguf_path(l->g), name);
    l->n->registered += t->bytes;
    l->used++;
    *out = w;
    return 0;
}

/* blk.<i>.<role>.weight (rows, cols) and its optional or required bias. */
static int linear(struct loader *l, int i, const char *role, int64_t cols, int64_t rows, enum need bias, struct bk_linear *out)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight", i, role);
    int rc = tensor(l, name, MUST, BK_MATRIX, cols, rows, &out->w);
    if (rc)
        return rc;
    snprintf(name, sizeof name, "blk.%d.%s.bias", i, role);
    return tensor(l, name, bias, BK_VECTOR, rows, 0, &out->b);
}

static int rms(struct loader *l, const char *name, int64_t n, struct bk_norm *out)
{
    *out = (struct bk_norm){.kind = BK_NORM_RMS, .eps = l->hp->eps};
    return tensor(l, name, MUST, BK_VECTOR, n, 0, &out->w);
}

static int load_layer(struct loader *l, int i)
{
    const struct hparams *hp = l->hp;
    const struct hp_layer *h = &hp->layer[i];
    struct bk_attn_gqa *a = &l->n->layer[i].attn;
    struct bk_ffn *f = &l->n->layer[i].ffn;
    enum need bias = hp->arch->qkv_bias ? MUST : MAY;
    int64_t d = hp->n_embd, q = (int64_t)h->n_head * hp->d_k, k = (int64_t)h->n_kv * hp->d_k, v = (int64_t)h->n_kv * hp->d_v;
    char name[64];
    int rc;
    *a = (struct bk_attn_gqa){.layer = i, .n_head = h->n_head, .n_kv = h->n_kv, .d_k = hp->d_k, .d_v = hp->d_v, .scale = hp->attn_scale,
                              .softcap = hp->attn_softcap, .window = hp->window, .out_scale = 1};
    a->rope = (struct bk_rope){hp->arch->rope, hp->n_rot, l->n->freq, (float)hp->magnitude};
    *f = (struct bk_ffn){.act = hp->arch->act, .n_ff = h->n_ff, .out_scale = 1};
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
    rc = rms(l, name, d, &a->in);
    if (!rc)
        rc = linear(l, i, "attn_q", d, q, bias, &a->q);
    if (!rc)
        rc = linear(l, i, "attn_k", d, k, bias, &a->k);
    if (!rc)
        rc = linear(l, i, "attn_v", d, v, bias, &a->v);
    if (!rc)
        rc = linear(l, i, "attn_output", (int64_t)h->n_head * hp->d_v, d, MAY, &a->o);
    if (!rc && hp->arch->qk_norm) {
        snprintf(name, sizeof name, "blk.%d.attn_q_norm.weight", i);
        rc = rms(l, name, hp->d_k, &a->q_norm);
        snprintf(name, sizeof name, "blk.%d.attn_k_norm.weight", i);
        if (!rc)
            rc = rms(l, name, hp->d_k, &a->k_norm);
    }
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
    if (!rc)
        rc = rms(l, name, d, &f->in);
    if (!rc)
        rc = linear(l, i, "ffn_gate", d, h->n_ff, MAY, &f->gate);
    if (!rc)
        rc = linear(l, i, "ffn_up", d, h->n_ff, MAY, &f->up);
    if (!rc)
        rc = linear(l, i, "ffn_down", h->n_ff, d, MAY, &f->down);
    return rc;
}

/* Angles per position: base^(-2i/n_rot) / factor_i, then linear or YaRN scaling (spec: archs 2). In double, once. */
static int make_freq(struct loader *l)
{
    const struct hparams *hp = l->hp;
    int half = hp->n_rot / 2;
    const struct gguf_tensor *t = gguf_tensor(l->g, "rope_freqs.weight");
    if (!t) /* a few files repeat it per block */
        t = gguf_tensor(l->g, "blk.0.rope_freqs.weight");
    float *factor = mem_array((size_t)half, sizeof *factor);
    l->n->freq = mem_array((size_t)half, sizeof *l->n->freq);
    int rc = 0;
    for (int i = 0; i < half; i++)
        factor[i] = 1;
    if (t) {
        rc = check_tensor(l, t, "rope_freqs.weight", true, half, 1);
        if (rc)
            goto out;
        quant_traits(t->type)->decode(t->data, factor, half);
        l->used++;
    }
    double corr_fast = hp->n_rot * log(hp->n_ctx_orig / (2 * M_PI * hp->yarn_fast)) / (2 * log(hp->rope_base));
    double corr_slow = hp->n_rot * log(hp->n_ctx_orig / (2 * M_PI * hp->yarn_slow)) / (2 * log(hp->rope_base));
    double low = fmax(0, floor(corr_fast)), high = fmin(hp->n_rot - 1, ceil(corr_slow));
    for (int i = 0; i < half; i++) {
        if (!isfinite(factor[i]) || factor[i] <= 0) {
            rc = err_set(l->err, ERR_FORMAT, "%s: rope_freqs.weight has the value %g at %d; finite and above 0 is wanted", gguf_path(l->g),
                         (double)factor[i], i);
            goto out;
        }
        double f = pow(hp->rope_base, -2.0 * i / hp->n_rot) / factor[i], scaled = f * hp->rope_scale;
        if (hp->yarn) {
            double y = (i - low) / fmax(0.001, high - low);
            double ramp = (1 - fmin(1, fmax(0, y))) * hp->yarn_ext;
            scaled = scaled * (1 - ramp) + f * ramp;
        }
        l->n->freq[i] = (float)scaled;
    }
out:
    free(factor);
    return rc;
}

int net_load(struct net *n, const struct gguf *g, const struct hparams *hp, struct err *err)
{
    struct loader l = {.n = n, .g = g, .hp = hp, .err = err};
    n->n_layer = hp->n_layer;
    n->n_vocab = hp->n_vocab;
    n->layer = mem_array((size_t)hp->n_layer, sizeof *n->layer);
    bool tied = !gguf_tensor(g, "output.weight");
    int rc = make_freq(&l);
    n->embed.scale = 1;
    n->head.scale = 1;
    n->head.softcap = hp->final_softcap;
    if (!rc)
        rc = tensor(&l, "token_embd.weight", MUST, tied ? BK_EMBED_HEAD : BK_EMBED, hp->n_embd, hp->n_vocab, &n->embed.w);
    for (int i = 0; !rc && i < hp->n_layer; i++)
        rc = load_layer(&l, i);
    if (!rc)
        rc = rms(&l, "output_norm.weight", hp->n_embd, &n->head.norm);
    if (!rc && tied)
        n->head.out.w = n->embed.w;
    else if (!rc)
        rc = tensor(&l, "output.weight", MUST, BK_MATRIX, hp->n_embd, hp->n_vocab, &n->head.out.w);
    if (!rc && (size_t)l.used < gguf_n_tensors(g))
        log_say("%s: %zu of %zu tensors are not used", gguf_path(g), gguf_n_tensors(g) - (size_t)l.used, gguf_n_tensors(g));
    return rc;
}

void net_finish(struct net *n)
{
    free(n->layer);
    free(n->freq);
    n->layer = NULL;
    n->freq = NULL;
}

int net_forward(const struct net *n, struct bk_kv *kv, const struct bk_batch *batch, int row0, float *logits, bool (*go)(void *arg),
                void *arg, struct err *err)
{
    const struct bk_ops *ops = n->ops;
    int rc = ops->begin(n->bk, kv, batch, err);
    if (!rc)
        rc = ops->embed(n->bk, &n->embed, err);
    for (int i = 0; !rc && i < n->n_layer; i++) {
        rc = ops->attn_gqa(n->bk, &n->layer[i].attn, err);
        if (!rc)
            rc = ops->ffn(n->bk, &n->layer[i].ffn, err);
        if (!rc && go && !go(arg))
            rc = err_set(err, ERR_CANCELLED, "stopped");
    }
    if (!rc && logits)
        rc = ops->head(n->bk, &n->head, row0, logits, err);
    return rc;
}
