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
    float act_limit;       /* SwiGLU's clamp; 0: none */
    const char *ffn_norm;  /* NULL: "ffn_norm" */
    bool qkv_bias;         /* attn_q, k, v must have biases (else they may) */
    bool qk_norm;          /* attn_q_norm, attn_k_norm: RMS per head */
    bool qk_norm_wide;     /* over all heads at once */
    bool no_pre_norm;      /* nothing in front of the blocks */
    bool post_norm;        /* post_attention_norm, post_ffw_norm behind them */
    bool fused_up;         /* ffn_up may hold rows gate, then up */
    bool sinks;            /* attn_sinks */
    bool mla;              /* multi-head latent attention */
    bool index;            /* sees the top_k positions of an index */
    bool csa;              /* compressed attention between residual streams (DeepSeek V4) */
    bool embed_sqrt;       /* embeddings are times sqrt(n_embd) */
    bool scales;           /* embedding_scale, residual_scale, logit_scale are honoured, rope.scaling.finetuned switches rope */
    bool window;           /* attention.sliding_window must be there */
    int full_period;       /* with a sliding window: each so manieth layer sees all; 0: none does */
    bool plain_local_rope; /* the sliding layers have a base of their own and no scaling */
    double local_rope_base; /* of these when the file has no rope.freq_base_swa; 0: as the others' */
    int no_rope_period;    /* each so manieth layer has no rope; 0: all have */
    bool exact_yarn;       /* the bounds of YaRN's ramp are not rounded */
    float attn_softcap, final_softcap; /* when the file does not say */
    int wide_scale_layers; /* with so many layers q is times 1 / sqrt(n_embd / n_head): Gemma's 27B */
    enum bk_gating gating; /* of experts, when the file does not say; 0: there are none */
    bool experts;          /* must have experts (else may) */
    bool expert_norm;      /* expert_weights_norm when the file does not say */
    bool router_bias;      /* ffn_gate_inp.bias must be there */
};
const struct arch *arch_find(struct gguf_str name); /* NULL: unknown */
const char *arch_names(char *out, size_t size);      /* "llama, qwen2, qwen3", in out */

struct hp_layer {
    int n_head, n_kv, n_ff;
    bool sliding; /* sees the last `window` positions */
    bool rope, moe;
    int ratio;              /* csa: positions of a compressed entry; 0: none */
    float limit, sh_limit;  /* clamp of the experts' gates, of the shared one's */
};

struct hp_moe {
    int n_expert, n_used, n_shared, n_ff, n_ff_shared; /* n_expert 0: none; n_ff, n_ff_shared 0: as the tensors say */
    int n_group, n_group_used;                         /* 0: no groups */
    enum bk_gating gating;
    bool normalize;
    double scale;
};

struct hp_mla {
    int q_lora, kv_lora, d_nope, d_rope; /* q_lora 0: attn_q alone */
    bool split;                          /* attn_k_b and attn_v_b; else attn_kv_b */
    int n_index, d_index, top_k;         /* heads of the index; 0: none */
};

struct hp_csa {
    int n_group, o_lora;           /* of the output */
    int n_streams, iterations;
    int n_hash;                    /* first layers whose experts the token says */
    double eps;                    /* of the streams' mixing */
};

struct hparams {
    const struct arch *arch;
    int n_layer, n_embd, n_vocab, n_ctx_train;
    int d_k, d_v, n_rot;
    struct hp_layer *layer; /* n_layer of them */
    int window;             /* 0: none */
    float eps, attn_scale, attn_softcap, final_softcap;
    float embed_scale, out_scale, logit_scale; /* multipliers; 1 in most */
    struct hp_moe moe;
    struct hp_mla mla;      /* csa: its q_lora and index, too */
    struct hp_csa csa;
    /* rope (spec: archs 2) */
    double rope_base, rope_scale; /* scale: 1 / factor */
    double local_base;            /* of sliding layers (csa: those without entries), when arch->plain_local_rope */
    bool yarn, longrope;
    double yarn_ext, yarn_fast, yarn_slow, n_ctx_orig;
    double magnitude;
};
/* Reads and checks every number before anything is made from it. */
int hparams_read(const struct gguf *g, struct hparams *hp, struct err *err);
void hparams_finish(struct hparams *hp);

struct net_layer {
    bool mla, csa, moe;
    struct bk_index index;        /* of latent attention */
    struct bk_streams streams[2]; /* around attention and experts; csa */
    union {
        struct bk_attn_gqa gqa;
        struct bk_attn_mla latent;
        struct bk_attn_csa csa;
    } attn;
    union {
        struct bk_ffn dense;
        struct bk_moe experts;
    } ffn;
};

enum net_freq { FREQ_MAIN, FREQ_LOCAL, FREQ_FAR, NET_FREQS }; /* FAR: MAIN of contexts longer than the original one (longrope) */

/* The whole net over one backend. */
struct net {
    const struct bk_ops *ops;
    struct bk *bk;
    int n_layer, n_vocab;
    int n_wide, n_qkv; /* the widest rows, for reserve */
    struct bk_embed embed;
    struct bk_head head;
    struct bk_streams streams;  /* before the head; n 0: one stream */
    struct net_layer *layer;
    struct bk_kv_layer *kv;     /* what a cache must hold */
    float *freq[NET_FREQS];     /* n_rot / 2 angles each, NULL: not used */
    void **made;                /* tensors that were put together, until net_loaded */
    int n_made;
    int32_t **by_token;         /* n_layer: experts of tokens, NULL: the router picks */
    uint64_t registered;        /* bytes of all weights */
};
/* What a cache must hold for layer i. */
struct bk_kv_layer net_kv(const struct hparams *hp, int i);
/* Names to roles: registers every tensor of the file that the net needs, with its shape checked. */
int net_load(struct net *n, const struct gguf *g, const struct hparams *hp, struct err *err);
void net_loaded(struct net *n); /* the backend has all weights */
void net_finish(struct net *n); /* the backend stays */
/*
 * One forward pass. far: the context is longer than the original one. logits (may be NULL): rows [row0, batch->n). go (may be
 * NULL) is asked between the layers; false ends the pass with ERR_CANCELLED.
 */
int net_forward(const struct net *n, struct bk_kv *kv, const struct bk_batch *batch, bool far, int row0, float *logits,
                bool (*go)(void *arg), void *arg, struct err *err);

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

/* The net gave values that are no numbers: ERR_FORMAT, naming the first tensor that has such values, if one has. */
int model_blame(const struct model *m, struct err *err);

#endif
