#ifndef MODEL_IMPL_H
#define MODEL_IMPL_H
/*
 * What the files of model/ share and no one else sees: the architecture table, hyperparameters, the net as blocks of
 * kernels/backend.h, and the model.
 */
#include "model/limits.h"
#include "model/model.h"

/*
 * One row an architecture that is a stack of (attention, feed-forward) blocks: what its files cannot say themselves.
 * A new dense architecture is a row here (arch.c) and its goldens.
 */
struct arch {
    const char *name; /* general.architecture, prefix of the keys */
    enum bk_rope_kind rope;
    enum bk_act act;
    bool qkv_bias; /* attn_q, k, v must have biases (else they may) */
    bool qk_norm;  /* attn_q_norm, attn_k_norm: RMS per head */
};
const struct arch *arch_find(struct gguf_str name); /* NULL: unknown */
const char *arch_names(void);                       /* "llama, qwen2, qwen3" */

struct hp_layer {
    int n_head, n_kv, n_ff;
};

struct hparams {
    const struct arch *arch;
    int n_layer, n_embd, n_vocab, n_ctx_train;
    int d_k, d_v, n_rot;
    struct hp_layer *layer; /* n_layer of them */
    int window;             /* 0: none */
    float eps, attn_scale, attn_softcap, final_softcap;
    /* rope (spec: archs 2) */
    double rope_base, rope_scale; /* scale: 1 / factor */
    bool yarn;
    double yarn_ext, yarn_fast, yarn_slow, n_ctx_orig;
    double magnitude;
};
/* Reads and checks every number before anything is made from it. */
int hparams_read(const struct gguf *g, struct hparams *hp, struct err *err);
void hparams_finish(struct hparams *hp);

struct net_layer {
    struct bk_attn_gqa attn;
    struct bk_ffn ffn;
};

/* The whole net over one backend. */
struct net {
    const struct bk_ops *ops;
    struct bk *bk;
    int n_layer, n_vocab;
    struct bk_embed embed;
    struct bk_head head;
    struct net_layer *layer;
    float *freq;        /* n_rot / 2 */
    uint64_t registered; /* bytes of all weights */
};
/* Names to roles: registers every tensor of the file that the net needs, with its shape checked. */
int net_load(struct net *n, const struct gguf *g, const struct hparams *hp, struct err *err);
void net_finish(struct net *n); /* the backend stays */
/*
 * One forward pass. logits (may be NULL): rows [row0, batch->n). go (may be NULL) is asked between the layers; false ends the
 * pass with ERR_CANCELLED.
 */
int net_forward(const struct net *n, struct bk_kv *kv, const struct bk_batch *batch, int row0, float *logits, bool (*go)(void *arg),
                void *arg, struct err *err);

struct model {
    struct gguf *g;
    struct tok *tok;
    struct hparams hp;
    struct net net;
    struct model_info info;
    char *strings[4]; /* what info's strings point to */
    struct gguf_str tmpl;
    int max_batch;
};

#endif
