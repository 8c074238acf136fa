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

/* True or false; absent gives `dflt`. */
static int yes(struct reader *r, const char *suffix, bool dflt, bool *out)
{
    *out = dflt;
    int rc = gguf_get_bool(r->g, key(r, suffix), out, r->err);
    return rc < 0 ? rc : 0;
}

/* Keys that change the computation in ways the table does not know: only their neutral value passes. */
static int refuse_unknown(struct reader *r, const struct arch *arch)
{
    static const struct {
        const char *suffix;
        double neutral, other;
        bool scale;
    } keys[] = {
        {"pooling_type", 0, 0, false},           {"use_parallel_residual", 0, 0, false}, {"attention.causal", 1, 1, false},
        {"attention.max_alibi_bias", 0, 0, false}, {"attention.clamp_kqv", 0, 0, false},   {"logit_scale", 0, 1, true},
        {"residual_scale", 0, 1, true},          {"embedding_scale", 0, 1, true},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct gguf_kv *kv = gguf_find(r->g, key(r, keys[i].suffix));
        if (!kv || (keys[i].scale && arch->scales))
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
        rc = per_layer(r, "feed_forward_length", n, hp->moe.n_expert ? 0 : 1, LIMIT_FF, hp->moe.n_expert ? ff : NULL, ff);
    hp->layer = mem_array((size_t)n, sizeof *hp->layer);
    for (int i = 0; !rc && i < n; i++) {
        if (kv[i] > head[i] || head[i] % kv[i])
            rc = err_set(r->err, ERR_FORMAT, "%s: layer %d has %d heads and %d key/value heads; the second must divide the first",
                         gguf_path(r->g), i, head[i], kv[i]);
        hp->layer[i] = (struct hp_layer){.n_head = head[i], .n_kv = kv[i], .n_ff = ff[i], .rope = true};
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

/* Which layers slide, and which have no rope. */
static int read_window(struct reader *r, struct hparams *hp)
{
    const struct arch *a = hp->arch;
    int rc = whole(r, "attention.sliding_window", a->csa, LIMIT_CONTEXT, a->window ? -1 : 0, &hp->window), period;
    if (rc)
        return rc;
    const struct gguf_kv *kv = gguf_find(r->g, key(r, "attention.sliding_window_pattern"));
    bool each = kv && kv->type == GGUF_ARR;
    if (each && kv->count < (uint64_t)hp->n_layer)
        return err_set(r->err, ERR_FORMAT, "%s: %s has %" PRIu64 " values for %d layers", gguf_path(r->g), r->key, kv->count, hp->n_layer);
    if (!each)
        rc = whole(r, "attention.sliding_window_pattern", 0, LIMIT_LAYERS, a->full_period, &period);
    for (int i = 0; !rc && i < hp->n_layer; i++) {
        struct hp_layer *l = &hp->layer[i];
        bool ok = true, full = each ? !gguf_elem_u64(kv, (uint64_t)i, &ok) : period && (i + 1) % period == 0;
        if (!ok)
            return err_set(r->err, ERR_FORMAT, "%s: %s of layer %d is no bool", gguf_path(r->g), key(r, "attention.sliding_window_pattern"), i);
        l->sliding = hp->window && !full;
        l->rope = !a->no_rope_period || (i + 1) % a->no_rope_period != 0;
    }
    return rc;
}

static int read_experts(struct reader *r, struct hparams *hp)
{
    struct hp_moe *m = &hp->moe;
    const struct arch *a = hp->arch;
    int gating = 0, rc = whole(r, "expert_count", 0, LIMIT_EXPERTS, a->experts ? -1 : 0, &m->n_expert);
    if (rc || !m->n_expert)
        return rc ? rc : a->experts ? err_set(r->err, ERR_FORMAT, "%s: %s is 0", gguf_path(r->g), r->key) : 0;
    if (!a->gating)
        return err_set(r->err, ERR_FORMAT, "%s: %s is %d; \"%s\" has no experts in this version", gguf_path(r->g), r->key, m->n_expert, a->name);
    rc = whole(r, "expert_used_count", 1, m->n_expert, -1, &m->n_used);
    if (!rc)
        rc = whole(r, "expert_shared_count", 0, LIMIT_EXPERTS, 0, &m->n_shared);
    if (!rc)
        rc = whole(r, "expert_feed_forward_length", 0, LIMIT_FF, 0, &m->n_ff);
    if (!rc)
        rc = whole(r, "expert_shared_feed_forward_length", 0, LIMIT_FF, 0, &m->n_ff_shared);
    if (!rc)
        rc = whole(r, "expert_group_count", 0, LIMIT_EXPERTS, 0, &m->n_group);
    if (!rc)
        rc = whole(r, "expert_group_used_count", 0, LIMIT_EXPERTS, 0, &m->n_group_used);
    if (!rc)
        rc = real(r, "expert_weights_scale", 0, 1e6, 1, &m->scale);
    if (!rc)
        rc = yes(r, "expert_weights_norm", a->expert_norm, &m->normalize);
    if (!rc)
        rc = whole(r, "expert_gating_func", 0, BK_GATE_SQRT_SOFTPLUS, 0, &gating);
    if (rc)
        return rc;
    char bias[64]; /* of the selection, which only sigmoid gates have */
    snprintf(bias, sizeof bias, "blk.%d.exp_probs_b.bias", hp->n_layer - 1);
    m->gating = gating ? (enum bk_gating)gating : gguf_tensor(r->g, bias) ? BK_GATE_SIGMOID : a->gating;
    m->scale = m->scale > 0 ? m->scale : 1;
    if (m->n_group <= 1 || m->n_group_used == 0 || m->n_group_used >= m->n_group)
        m->n_group = m->n_group_used = 0;
    if (m->n_group && (m->n_expert % m->n_group || m->n_group_used * (m->n_expert / m->n_group) < m->n_used))
        return err_set(r->err, ERR_FORMAT, "%s: %d of %d experts cannot be taken from %d of %d groups", gguf_path(r->g), m->n_used, m->n_expert,
                       m->n_group_used, m->n_group);
    return 0;
}

/* The first layers may be dense; multi-token prediction blocks at the end are no layers. */
static int read_layers(struct reader *r, struct hparams *hp)
{
    int dense = 0, extra = 0;
    char name[64];
    int rc = whole(r, "block_count", 1, LIMIT_LAYERS, -1, &hp->n_layer);
    if (!rc)
        rc = whole(r, "nextn_predict_layers", 0, LIMIT_LAYERS, 0, &extra);
    if (!rc && extra && extra < hp->n_layer) {
        snprintf(name, sizeof name, "blk.%d.nextn.eh_proj.weight", hp->n_layer - extra);
        hp->n_layer -= gguf_tensor(r->g, name) ? extra : 0;
    }
    if (!rc)
        rc = read_experts(r, hp);
    if (!rc && hp->moe.n_expert)
        rc = whole(r, "leading_dense_block_count", 0, hp->n_layer, 0, &dense);
    if (!rc)
        rc = read_heads(r, hp);
    for (int i = 0; !rc && i < hp->n_layer; i++) {
        struct hp_layer *l = &hp->layer[i];
        l->moe = hp->moe.n_expert && i >= dense;
        if (!l->moe && !l->n_ff)
            rc = err_set(r->err, ERR_FORMAT, "%s: layer %d has no experts and no %s", gguf_path(r->g), i, key(r, "feed_forward_length"));
    }
    return rc;
}

static int read_index(struct reader *r, struct hparams *hp)
{
    struct hp_mla *m = &hp->mla;
    int rc = whole(r, "attention.indexer.head_count", 1, LIMIT_HEADS, -1, &m->n_index);
    if (!rc)
        rc = whole(r, "attention.indexer.key_length", 2, LIMIT_HEAD_DIM, -1, &m->d_index);
    if (!rc)
        rc = whole(r, "attention.indexer.top_k", 1, LIMIT_CONTEXT, -1, &m->top_k);
    if (!rc && (m->d_rope > m->d_index || (int64_t)m->n_index * m->d_index > LIMIT_FF))
        rc = err_set(r->err, ERR_FORMAT, "%s: the index has %d heads of %d elements; %d to %d in all are accepted", gguf_path(r->g), m->n_index,
                     m->d_index, m->d_rope, LIMIT_FF);
    return rc;
}

/* Heads of latent attention: d_k and d_v become those of a head, whichever form the file has. */
static int read_latent(struct reader *r, struct hparams *hp)
{
    struct hp_mla *m = &hp->mla;
    int k = 0, v = 0;
    int rc = whole(r, "attention.key_length_mla", 0, LIMIT_HEAD_DIM, 0, &k);
    if (!rc)
        rc = whole(r, "attention.value_length_mla", 0, LIMIT_HEAD_DIM, 0, &v);
    if (!rc)
        rc = whole(r, "attention.q_lora_rank", 0, LIMIT_EMBD, 0, &m->q_lora);
    if (!rc)
        rc = whole(r, "attention.kv_lora_rank", 1, LIMIT_HEAD_DIM, -1, &m->kv_lora);
    if (!rc)
        rc = whole(r, "rope.dimension_count", 2, LIMIT_HEAD_DIM, -1, &m->d_rope);
    if (!rc && hp->arch->index)
        rc = read_index(r, hp);
    if (rc)
        return rc;
    m->split = k && v;
    if (m->split) {
        hp->d_k = k;
        hp->d_v = v;
    }
    if (m->d_rope >= hp->d_k)
        return err_set(r->err, ERR_FORMAT, "%s: %s is %d, and the heads have %d elements", gguf_path(r->g), key(r, "rope.dimension_count"), m->d_rope,
                       hp->d_k);
    m->d_nope = hp->d_k - m->d_rope;
    for (int i = 0; i < hp->n_layer; i++)
        if ((int64_t)hp->layer[i].n_head * (m->kv_lora + m->d_rope + hp->d_k + hp->d_v) > LIMIT_FF)
            return err_set(r->err, ERR_FORMAT, "%s: layer %d has %d heads over a latent of %d elements, more than %d in all are not accepted",
                           gguf_path(r->g), i, hp->layer[i].n_head, m->kv_lora, LIMIT_FF);
    return 0;
}

/* A number of each layer, from an array that may be longer; absent gives 0. */
static int real_per_layer(struct reader *r, const char *suffix, int layer, double max, float *out)
{
    const struct gguf_kv *kv = gguf_find(r->g, key(r, suffix));
    bool ok = true;
    double v = kv ? gguf_elem_f64(kv, kv->type == GGUF_ARR ? (uint64_t)layer : 0, &ok) : 0;
    if (!ok || !(v >= 0 && v <= max))
        return err_set(r->err, ERR_FORMAT, "%s: %s of layer %d is no number from 0 to %g", gguf_path(r->g), r->key, layer, max);
    *out = (float)v;
    return 0;
}

static int read_csa(struct reader *r, struct hparams *hp)
{
    struct hp_csa *c = &hp->csa;
    int n = hp->n_layer, *ratio = mem_array((size_t)n, sizeof *ratio);
    int rc = per_layer(r, "attention.compress_ratios", n, 0, 65536, NULL, ratio);
    if (!rc)
        rc = whole(r, "attention.q_lora_rank", 1, LIMIT_EMBD, -1, &hp->mla.q_lora);
    if (!rc)
        rc = read_index(r, hp);
    if (!rc)
        rc = whole(r, "attention.output_group_count", 1, LIMIT_HEADS, -1, &c->n_group);
    if (!rc)
        rc = whole(r, "attention.output_lora_rank", 1, LIMIT_EMBD, -1, &c->o_lora);
    if (!rc)
        rc = whole(r, "hyper_connection.count", 1, 16, -1, &c->n_streams);
    if (!rc)
        rc = whole(r, "hyper_connection.sinkhorn_iterations", 1, 1000, -1, &c->iterations);
    if (!rc)
        rc = real(r, "hyper_connection.epsilon", 0, 1, NAN, &c->eps);
    if (!rc)
        rc = whole(r, "hash_layer_count", 0, n, 0, &c->n_hash);
    for (int i = 0; !rc && i < n; i++) {
        struct hp_layer *l = &hp->layer[i];
        l->ratio = ratio[i];
        if (l->n_head % c->n_group || hp->d_v != hp->d_k || (int64_t)c->n_group * c->o_lora > LIMIT_FF)
            rc = err_set(r->err, ERR_FORMAT, "%s: layer %d has %d heads of %d and %d elements in %d groups", gguf_path(r->g), i, l->n_head, hp->d_k,
                         hp->d_v, c->n_group);
        if (!rc)
            rc = real_per_layer(r, "swiglu_clamp_exp", i, 1e6, &l->limit);
        if (!rc)
            rc = real_per_layer(r, "swiglu_clamp_shexp", i, 1e6, &l->sh_limit);
    }
    free(ratio);
    return rc;
}

/* Multipliers of granite and of Gemma. */
static int read_scales(struct reader *r, struct hparams *hp)
{
    double embed = 0, residual = 0, logit = 0;
    int rc = 0;
    if (hp->arch->scales) {
        rc = real(r, "embedding_scale", 0, 1e6, 0, &embed);
        if (!rc)
            rc = real(r, "residual_scale", 0, 1e6, 0, &residual);
        if (!rc)
            rc = real(r, "logit_scale", 0, 1e6, 0, &logit);
    }
    hp->embed_scale = (float)(hp->arch->embed_sqrt ? sqrt(hp->n_embd) : embed > 0 ? embed : 1);
    hp->out_scale = (float)(residual > 0 ? residual : 1);
    hp->logit_scale = (float)(logit > 0 ? 1 / logit : 1);
    return rc;
}

static bool equals(struct gguf_str s, const char *word)
{
    return s.n == strlen(word) && !memcmp(s.s, word, s.n);
}

static int read_scaling(struct reader *r, struct hparams *hp, double factor, double attn, double yattn)
{
    struct gguf_str type = {"linear", 6};
    bool tuned = true;
    int rc = gguf_get_str(r->g, key(r, "rope.scaling.type"), &type, r->err);
    if (rc < 0)
        return rc;
    if (hp->arch->scales && (rc = yes(r, "rope.scaling.finetuned", true, &tuned)))
        return rc;
    for (int i = 0; !tuned && i < hp->n_layer; i++)
        hp->layer[i].rope = false;
    hp->yarn = equals(type, "yarn") && factor > 0;
    hp->longrope = equals(type, "longrope");
    /* llama3: its factors are in rope_freqs.weight; converters write no type. */
    bool none = equals(type, "none") || hp->longrope || factor == 0;
    if (!none && !equals(type, "linear") && !equals(type, "yarn"))
        return err_set(r->err, ERR_FORMAT, "%s: the rope scaling \"%.*s\" is not supported (none, linear, yarn, longrope are)", gguf_path(r->g),
                       (int)(type.n > 40 ? 40 : type.n), type.s);
    hp->rope_scale = none ? 1 : 1 / factor;
    hp->magnitude = attn > 0 ? attn : 1;
    if (hp->longrope && attn == 0 && hp->n_ctx_train > hp->n_ctx_orig)
        hp->magnitude = sqrt(1 + log(hp->n_ctx_train / hp->n_ctx_orig) / log(hp->n_ctx_orig));
    if (hp->yarn) {
        if (hp->yarn_ext < 0)
            hp->yarn_ext = 1;
        if (hp->yarn_ext != 0 && factor > 1)
            hp->magnitude *= 1 + 0.1 * log(factor);
        hp->magnitude *= yattn > 0 ? yattn : 1;
    }
    return 0;
}

static int read_rope(struct reader *r, struct hparams *hp)
{
    double factor, old, attn, yattn, multiplier, compress;
    int rc = whole(r, "rope.dimension_count", 0, LIMIT_HEAD_DIM, hp->d_k, &hp->n_rot);
    if (!rc && (hp->n_rot > hp->d_k || hp->n_rot < 2 || hp->n_rot % 2))
        return err_set(r->err, ERR_FORMAT, "%s: %s.rope.dimension_count is %d; an even number from 2 to the head size %d is accepted",
                       gguf_path(r->g), r->prefix, hp->n_rot, hp->d_k);
    if (!rc)
        rc = real(r, "rope.freq_base", 1e-3, 1e15, 10000, &hp->rope_base);
    if (!rc)
        rc = real(r, "rope.freq_base_swa", 1e-3, 1e15, hp->arch->local_rope_base > 0 ? hp->arch->local_rope_base : hp->rope_base, &hp->local_base);
    if (!rc)
        rc = real(r, "rope.scale_linear", 0, 1e6, 0, &old);
    if (!rc)
        rc = real(r, "rope.scaling.factor", 0, 1e6, old, &factor);
    if (!rc)
        rc = real(r, "rope.scaling.attn_factor", 0, 1e3, 0, &attn);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_attn_factor", 0, 1e3, 1, &yattn);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_ext_factor", -1, 1e3, -1, &hp->yarn_ext);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, 32, &hp->yarn_fast);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, 1, &hp->yarn_slow);
    if (!rc)
        rc = real(r, "rope.scaling.yarn_log_multiplier", 0, 1e3, 0, &multiplier);
    if (!rc)
        rc = real(r, "rope.scaling.original_context_length", 1, LIMIT_CONTEXT, hp->n_ctx_train, &hp->n_ctx_orig);
    if (!rc)
        rc = read_scaling(r, hp, factor, attn, yattn);
    if (!rc && hp->arch->csa)
        rc = real(r, "attention.compress_rope_freq_base", 1e-3, 1e15, NAN, &compress);
    if (!rc && hp->arch->csa) { /* layers without entries have the plain base */
        hp->magnitude = 1;
        hp->local_base = hp->rope_base;
        hp->rope_base = compress;
    }
    if (!rc && hp->arch->mla) { /* its magnitude is in the scale of q.k instead */
        double mm = hp->yarn && factor > 1 ? 1 + multiplier * log(factor) : 1;
        hp->magnitude = 1;
        hp->attn_scale = (float)(mm * mm / sqrt(hp->d_k));
    }
    return rc;
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

static int read_all(struct reader *r, struct hparams *hp)
{
    const struct arch *a = hp->arch;
    double eps, scale, cap, final;
    int rc = refuse_unknown(r, a);
    if (!rc)
        rc = whole(r, "embedding_length", 1, LIMIT_EMBD, -1, &hp->n_embd);
    if (!rc)
        rc = whole(r, "context_length", 1, LIMIT_CONTEXT, -1, &hp->n_ctx_train);
    if (!rc)
        rc = read_vocab(r, hp);
    if (!rc)
        rc = read_layers(r, hp);
    if (!rc && a->mla)
        rc = read_latent(r, hp);
    if (!rc && a->csa)
        rc = read_csa(r, hp);
    if (!rc)
        rc = read_window(r, hp);
    if (!rc)
        rc = real(r, "attention.layer_norm_rms_epsilon", 0, 1, NAN, &eps);
    if (!rc)
        rc = real(r, "attention.scale", 0, 1e3, 0, &scale);
    if (!rc)
        rc = real(r, "attn_logit_softcapping", 0, 1e6, (double)a->attn_softcap, &cap);
    if (!rc)
        rc = real(r, "final_logit_softcapping", 0, 1e6, (double)a->final_softcap, &final);
    if (!rc)
        rc = read_scales(r, hp);
    if (rc)
        return rc;
    hp->eps = (float)eps;
    hp->attn_softcap = (float)cap;
    hp->final_softcap = (float)final;
    bool wide = hp->n_layer == a->wide_scale_layers;
    hp->attn_scale = (float)(scale > 0 ? scale : 1 / sqrt(wide ? (double)hp->n_embd / hp->layer[0].n_head : hp->d_k));
    return read_rope(r, hp);
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
        char shown[64], known[256];
        size_t n = name.n < 60 ? name.n : 60;
        for (size_t i = 0; i < n; i++)
            shown[i] = name.s[i] ? name.s[i] : '?';
        return err_set(err, ERR_FORMAT, "%s: the architecture \"%.*s\" is not supported; known: %s", gguf_path(g), (int)n, shown,
                       arch_names(known, sizeof known));
    }
    struct reader r = {.g = g, .prefix = hp->arch->name, .err = err};
    rc = read_all(&r, hp);
    if (rc)
        hparams_finish(hp);
    return rc;
}

void hparams_finish(struct hparams *hp)
{
    free(hp->layer);
    hp->layer = NULL;
}
