/*
 * Hyperparameters: metadata to numbers (spec: gguf 4.2, archs 2). Every value is range-checked here, before it is
 * multiplied, divided by or allocated from; what the net could not honour is refused by name instead of ignored.
 */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/impl.h"

struct reader {
    const struct gguf *g;
    const char *prefix;
    struct err *err;
    char key[128];
};

static const char *key(struct reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->prefix, suffix);
    return r->key;
}

/* An integer of [min, max]; `dflt` < 0: the key must be there. */
static int whole(struct reader *r, const char *suffix, int min, int max, int dflt, int *out)
{
    uint64_t v;
    int rc = gguf_get_u64(r->g, key(r, suffix), (uint64_t)max, &v, r->err);
    if (rc < 0)
        return rc;
    if (!rc) {
        if (dflt < 0)
            return err_set(r->err, ERR_FORMAT, "%s: the key %s is missing", gguf_path(r->g), r->key);
        *out = dflt;
        return 0;
    }
    if ((int)v < min)
        return err_set(r->err, ERR_FORMAT, "%s: %s is %d; %d to %d is accepted", gguf_path(r->g), r->key, (int)v, min, max);
    *out = (int)v;
    return 0;
}

/* As whole(), one value a layer: a scalar or an array of at least n_layer. */
static int per_layer(struct reader *r, const char *suffix, int n_layer, int min, int max, const int *dflt, int *out)
{
    const struct gguf_kv *kv = gguf_find(r->g, key(r, suffix));
    int one;
    if (!kv && dflt) {
        memcpy(out, dflt, (size_t)n_layer * sizeof *out);
        return 0;
    }
    if (!kv || kv->type != GGUF_ARR) {
        int rc = whole(r, suffix, min, max, -1, &one);
        if (rc)
            return rc;
        for (int i = 0; i < n_layer; i++)
            out[i] = one;
        return 0;
    }
    if (kv->count < (uint64_t)n_layer)
        return err_set(r->err, ERR_FORMAT, "%s: %s has %" PRIu64 " values for %d layers", gguf_path(r->g), r->key, kv->count, n_layer);
    for (int i = 0; i < n_layer; i++) {
        bool ok;
        uint64_t v = gguf_elem_u64(kv, (uint64_t)i, &ok);
        if (!ok || v < (uint64_t)min || v > (uint64_t)max)
            return err_set(r->err, ERR_FORMAT, "%s: %s of layer %d is no whole number from %d to %d", gguf_path(r->g), r->key, i, min, max);
        out[i] = (int)v;
    }
    return 0;
}

/* A finite number of [min, max]; NAN as default: must be there. */
static int real(struct reader *r, const char *suffix, double min, double max, double dflt, double *out)
{
    double v;
    int rc = gguf_get_f64(r->g, key(r, suffix), &v, r->err);
    if (rc < 0)
        return rc;
    if (!rc) {
        if (isnan(dflt))
            return err_set(r->err, ERR_FORMAT, "%s: the key %s is missing", gguf_path(r->g), r->key);
        *out = dflt;
        return 0;
    }
    if (v < min || v > max)
        return err_set(r->err, ERR_FORMAT, "%s: %s is %g; %g to %g is accepted", gguf_path(r->g), r->key, v, min, max);
    *out = v;
    return 0;
}

/* Keys that change the computation in ways the table does not know: only their neutral value passes. */
static int refuse_unknown(struct reader *r)
{
    static const struct {
        const char *suffix;
        double neutral, other;
    } keys[] = {
        {"pooling_type", 0, 0},          {"use_parallel_residual", 0, 0}, {"attention.causal", 1, 1},
        {"attention.max_alibi_bias", 0, 0}, {"attention.clamp_kqv", 0, 0},   {"logit_scale", 0, 1},
        {"residual_scale", 0, 1},        {"embedding_scale", 0, 1},       {"expert_count", 0, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct gguf_kv *kv = gguf_find(r->g, key(r, keys[i].suffix));
        if (!kv)
            continue;
        bool ok;
        double v = gguf_elem_f64(kv, 0, &ok);
        if (kv->type == GGUF_ARR || !ok || (v != keys[i].neutral && v != keys[i].other))
            return err_set(r->err, ERR_FORMAT, "%s: %s is set to a value that this version cannot run", gguf_path(r->g), r->key);
    }
    return 0;
}

static int read_heads(struct reader *r, struct hparams *hp)
{
    int n = hp->n_layer, rc;
    int *head = mem_array((size_t)n, sizeof *head), *kv = mem_array((size_t)n, sizeof *kv), *ff = mem_array((size_t)n, sizeof *ff);
    rc = per_layer(r, "attention.head_count", n, 1, LIMIT_HEADS, NULL, head);
    if (!rc)
        rc = per_layer(r, "attention.head_count_kv", n, 1, LIMIT_HEADS, head, kv);
    if (!rc)
        rc = per_layer(r, "feed_forward_length", n, 1, LIMIT_FF, NULL, ff);
    hp->layer = mem_array((size_t)n, sizeof *hp->layer);
    for (int i = 0; !rc && i < n; i++) {
        if (kv[i] > head[i] || head[i] % kv[i])
            rc = err_set(r->err, ERR_FORMAT, "%s: layer %d has %d heads and %d key/value heads; the second must divide the first",
                         gguf_path(r->g), i, head[i], kv[i]);
        hp->layer[i] = (struct hp_layer){head[i], kv[i], ff[i]};
    }
    int dflt = -1;
    if (!rc && hp->n_embd % head[0] == 0)
        dflt = hp->n_embd / head[0];
    if (!rc)
        rc = whole(r, "attention.key_length", 1, LIMIT_HEAD_DIM, dflt, &hp->d_k);
    if (!rc)
        rc = whole(r, "attention.value_length", 1, LIMIT_HEAD_DIM, dflt, &hp->d_v);
    for (int i = 0; !rc && i < n; i++)
        if ((int64_t)head[i] * (hp->d_k > hp->d_v ? hp->d_k : hp->d_v) > LIMIT_FF)
            rc = err_set(r->err, ERR_FORMAT, "%s: layer %d has %d heads of %d elements, more than %d in all are not accepted", gguf_path(r->g), i,
                         head[i], hp->d_k, LIMIT_FF);
    free(head);
    free(kv);
    free(ff);
    return rc;
}

static int read_rope(struct reader *r, struct hparams *hp)
{
    double factor, old, attn, yattn;
    struct gguf_str type = {"linear", 6};
    int rc = whole(r, "rope.dimension_count", 0, LIMIT_HEAD_DIM, hp->d_k, &hp->n_rot);
    if (!rc && (hp->n_rot > hp->d_k || hp->n_rot < 2 || hp->n_rot % 2))
        return err_set(r->err, ERR_FORMAT, "%s: %s.rope.dimension_count is %d; an even number from 2 to the head size %d is accepted",
                       gguf_path(r->g), r->prefix, hp->n_rot, hp->d_k);
    if (!rc)
        rc = real(r, "rope.freq_base", 1e-3, 1e15, 10000, &hp->rope_base);
    if (!rc)
        rc = real(r, "rope.scale_linear", 0, 1e6, 0, &old);
    if (!rc)
        rc = real(r, "rope.scaling.factor", 0, 1e6, old, &factor);
    if (!rc)
        rc = real(r, "rope.scaling.attn_factor", 0, 1e3, 1, &attn);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_attn_factor", 0, 1e3, 1, &yattn);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_ext_factor", -1, 1e3, -1, &hp->yarn_ext);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, 32, &hp->yarn_fast);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, 1, &hp->yarn_slow);
    if (!rc)
        rc = real(r, "rope.scaling.original_context_length", 1, LIMIT_CONTEXT, hp->n_ctx_train, &hp->n_ctx_orig);
    if (!rc)
        rc = gguf_get_str(r->g, key(r, "rope.scaling.type"), &type, r->err);
    if (rc < 0)
        return rc;
    bool none = type.n == 4 && !memcmp(type.s, "none", 4), linear = type.n == 6 && !memcmp(type.s, "linear", 6);
    hp->yarn = type.n == 4 && !memcmp(type.s, "yarn", 4);
    /* llama3: its factors are in rope_freqs.weight; converters write no type. */
    if (!none && !linear && !hp->yarn)
        return err_set(r->err, ERR_FORMAT, "%s: the rope scaling \"%.*s\" is not supported (none, linear, yarn are)", gguf_path(r->g),
                       (int)(type.n > 40 ? 40 : type.n), type.s);
    hp->rope_scale = none || factor == 0 ? 1 : 1 / factor;
    hp->magnitude = attn > 0 ? attn : 1;
    hp->yarn = hp->yarn && factor > 0;
    if (hp->yarn) {
        if (hp->yarn_ext < 0)
            hp->yarn_ext = 1;
        if (hp->yarn_ext != 0 && factor > 1)
            hp->magnitude *= 1 + 0.1 * log(factor);
        hp->magnitude *= yattn > 0 ? yattn : 1;
    }
    return 0;
}

static int read_vocab(struct reader *r, struct hparams *hp)
{
    const struct gguf_kv *tokens = gguf_find(r->g, "tokenizer.ggml.tokens");
    if (!tokens)
        return err_set(r->err, ERR_FORMAT, "%s: there is no vocabulary (tokenizer.ggml.tokens)", gguf_path(r->g));
    if (tokens->type != GGUF_ARR || tokens->elem != GGUF_STR || !tokens->count || tokens->count > LIMIT_VOCAB)
        return err_set(r->err, ERR_FORMAT, "%s: tokenizer.ggml.tokens is no array of 1 to %d strings", gguf_path(r->g), LIMIT_VOCAB);
    int n = (int)tokens->count;
    int rc = whole(r, "vocab_size", 1, LIMIT_VOCAB, n, &hp->n_vocab);
    if (!rc && hp->n_vocab != n)
        rc = err_set(r->err, ERR_FORMAT, "%s: %s.vocab_size is %d, but there are %d tokens", gguf_path(r->g), r->prefix, hp->n_vocab, n);
    return rc;
}

int hparams_read(const struct gguf *g, struct hparams *hp, struct err *err)
{
    struct gguf_str name;
    *hp = (struct hparams){0};
    int rc = gguf_get_str(g, "general.architecture", &name, err);
    if (rc < 0)
        return rc;
    if (!rc)
        return err_set(err, ERR_FORMAT, "%s: the key general.architecture is missing", gguf_path(g));
    hp->arch = arch_find(name);
    if (!hp->arch) {
        char shown[64];
        size_t n = name.n < 60 ? name.n : 60;
        for (size_t i = 0; i < n; i++)
            shown[i] = name.s[i] ? name.s[i] : '?';
        return err_set(err, ERR_FORMAT, "%s: the architecture \"%.*s\" is not supported; known: %s", gguf_path(g), (int)n, shown, arch_names());
    }
    struct reader r = {.g = g, .prefix = hp->arch->name, .err = err};
    double eps, scale, cap, final;
    rc = refuse_unknown(&r);
    if (!rc)
        rc = whole(&r, "block_count", 1, LIMIT_LAYERS, -1, &hp->n_layer);
    if (!rc)
        rc = whole(&r, "embedding_length", 1, LIMIT_EMBD, -1, &hp->n_embd);
    if (!rc)
        rc = whole(&r, "context_length", 1, LIMIT_CONTEXT, -1, &hp->n_ctx_train);
    if (!rc)
        rc = read_vocab(&r, hp);
    if (!rc)
        rc = read_heads(&r, hp);
    if (!rc)
        rc = real(&r, "attention.layer_norm_rms_epsilon", 0, 1, NAN, &eps);
    if (!rc)
        rc = real(&r, "attention.scale", 0, 1e3, 0, &scale);
    if (!rc)
        rc = real(&r, "attn_logit_softcapping", 0, 1e6, 0, &cap);
    if (!rc)
        rc = real(&r, "final_logit_softcapping", 0, 1e6, 0, &final);
    if (!rc)
        rc = whole(&r, "attention.sliding_window", 0, LIMIT_CONTEXT, 0, &hp->window);
    if (!rc)
        rc = read_rope(&r, hp);
    if (rc) {
        hparams_finish(hp);
        return rc;
    }
    hp->eps = (float)eps;
    hp->attn_scale = (float)(scale > 0 ? scale : 1 / sqrt(hp->d_k));
    hp->attn_softcap = (float)cap;
    hp->final_softcap = (float)final;
    return 0;
}

void hparams_finish(struct hparams *hp)
{
    free(hp->layer);
    hp->layer = NULL;
}
