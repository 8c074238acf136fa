#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H
/*
 * The one contract that the CPU and the CUDA module both fulfil. The seam is a block of the net, not an operation: the
 * model describes each block once in a plain struct (norms, biases, rope, window, head counts, weight handles), and inside
 * a block the backend is free to fuse. C and C++ include this; the module calls nothing in the program.
 *
 * One thread (the generation thread) calls all of it, except bk_cancel flags, which are read. Errors: 0 or negative
 * enum err_code with *err filled.
 *
 * A forward pass: begin(kv, tokens) .. embed .. for each layer attn_gqa|attn_mla, ffn|moe .. head .. The residual stream
 * x (n_tok, n_embd) f32 lives in the backend between the calls. A pass appends n_tok positions to the KV cache at `pos0`;
 * positions behind are forgotten (rewind = begin with a smaller pos0).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/quant.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BK_ABI 1
#define BK_PAGE 64 /* positions of a KV page */

struct bk;        /* an opened backend: device, threads, weights */
struct bk_weight; /* a tensor the backend holds in its own layout */
struct bk_kv;     /* one KV cache (one timeline) */

struct bk_conf {
    int n_threads;                                /* CPU: compute threads in all, >= 1 */
    void (*log)(void *arg, const char *text);     /* may be NULL */
    void *log_arg;
};

/* A tensor as it lies in the mapped file. Borrowed until weights_ready returns (token_embd: until close). */
struct bk_tensor {
    const char *name;
    enum qtype type;
    int64_t ne[4]; /* ne[0] contiguous; missing dimensions are 1 */
    const void *data;
    size_t bytes;
};

enum bk_use {
    BK_MATRIX, /* (rows = ne[1], cols = ne[0]): products */
    BK_VECTOR, /* norm weights, biases, factors: decoded to f32 */
    BK_EMBED,  /* rows are looked up */
    BK_EMBED_HEAD, /* a tied embedding: both looked up and multiplied */
    BK_EXPERTS, /* (experts = ne[2], rows, cols) */
};

/* Progress of long work; returns true to go on, false to stop (then the call returns ERR_CANCELLED). */
typedef bool (*bk_progress)(void *arg, uint64_t done, uint64_t total);

enum bk_norm_kind { BK_NORM_NONE, BK_NORM_RMS, BK_NORM_LAYER };
struct bk_norm {
    enum bk_norm_kind kind;
    const struct bk_weight *w, *b; /* b may be NULL; w NULL: unweighted */
    float eps;
};

struct bk_linear {
    const struct bk_weight *w, *b; /* b: bias vector or NULL; of expert stacks: (experts, rows) */
};

enum bk_rope_kind { BK_ROPE_NONE, BK_ROPE_NORM, BK_ROPE_NEOX }; /* interleaved pairs, half-split pairs (spec: archs 2) */
struct bk_rope {
    enum bk_rope_kind kind;
    int n_rot;          /* elements rotated, even */
    const float *freq;  /* n_rot/2 angles per position, scaling and factors included; double precision made them. Owned by the model */
    float magnitude;    /* m of YaRN/longrope, else 1 */
};

/* BK_SWIGLU_OAI (gpt-oss): with g = min(gate, limit), u = clamp(up, -limit, limit): g sigmoid(1.702 g) (u + 1). */
enum bk_act { BK_SILU, BK_GELU_TANH, BK_SWIGLU_OAI };

/* x += out_scale * post( o( attention( rope(q_norm(q)), rope(k_norm(k)), v ) ) ), of n = in(x) */
struct bk_attn_gqa {
    int layer;                 /* index into the KV cache */
    struct bk_norm in;
    struct bk_linear q, k, v;  /* k.w == NULL: q holds rows q, then k, then v */
    struct bk_norm q_norm, k_norm; /* per head, length d_k; NONE in most */
    bool norm_wide;            /* they are over all heads at once (olmo2) */
    struct bk_rope rope;
    int n_head, n_kv, d_k, d_v;
    float scale;               /* of q.k */
    float softcap;             /* 0: none */
    int window;                /* 0: none; position p sees p - window + 1 .. p */
    const struct bk_weight *sinks; /* (n_head) logits of a sink, or NULL */
    struct bk_linear o;
    struct bk_norm post;
    float out_scale;           /* 1 in most */
};

/* x += out_scale * post( down( act(gate n) * up n ) ), of n = in(x) */
struct bk_ffn {
    struct bk_norm in;
    struct bk_linear gate, up, down; /* up.w == NULL: gate holds rows gate, then up */
    enum bk_act act;
    float limit;               /* SwiGLU clamp, 0: none */
    int n_ff;
    struct bk_norm post;
    float out_scale;
};

enum bk_gating { BK_GATE_SOFTMAX = 1, BK_GATE_SIGMOID = 2, BK_GATE_SOFTMAX_SELECTED = 3, BK_GATE_SQRT_SOFTPLUS = 4 };
/* Mixture of experts (spec: archs 7). `moe` may be NULL in a backend that has none. */
struct bk_moe {
    struct bk_norm in;
    const struct bk_weight *router, *router_bias, *select_bias;
    int n_expert, n_used, n_group, n_group_used;
    bool group_by_top2;        /* V3 style; else the best expert (V2 style) */
    enum bk_gating gating;
    bool normalize;
    float weight_scale;
    struct bk_linear gate, up, down; /* expert stacks; up.w == NULL: gate holds rows gate, then up */
    const int32_t *by_token;   /* (n_vocab, n_used): the experts of a token; NULL: the router picks them */
    struct bk_linear sh_gate, sh_up, sh_down; /* shared expert(s), w NULL: none */
    const struct bk_weight *sh_scale; /* (n_embd): the shared expert's part is times sigmoid(sh_scale . n); NULL: 1 */
    enum bk_act act;
    float limit, sh_limit;
    int n_ff, n_ff_shared;
    struct bk_norm post;
    float out_scale;
    bool replace;              /* x = instead of x += (between steps of streams) */
};

/* Which positions latent attention sees (spec: archs 9): the top_k of a score that a few small heads give. */
struct bk_index {
    struct bk_linear q, k, proj; /* q reads q_a's normed output; k and proj (weights of the heads) the block's input */
    struct bk_norm k_norm;
    struct bk_rope rope;         /* of the first n_rot values of a head */
    int n_head, d, top_k;
};

/*
 * Multi-head latent attention (spec: archs 8). The cache layer is {n_kv 1, d_k kv_lora + d_rope, d_v kv_lora, window 0, d_extra index->d}.
 * `attn_mla` may be NULL.
 */
struct bk_attn_mla {
    int layer;
    struct bk_norm in;
    struct bk_linear q_a, q_b, q;  /* q_a.w == NULL: q alone */
    struct bk_norm q_a_norm;
    struct bk_linear kv_a;
    struct bk_norm kv_a_norm;
    struct bk_linear k_b, v_b; /* stacks of n_head: (kv_lora rows, d_nope), (d_v rows, kv_lora) */
    struct bk_rope rope;
    const struct bk_index *index; /* NULL: all positions are seen */
    int n_head, d_nope, d_rope, d_v, kv_lora;
    float scale;
    struct bk_linear o;
    float out_scale;
};

/*
 * Makes one entry of `ratio` positions: softmax over the gates, for each value, of what kv gives; normed; rotated at the first
 * position. overlap: kv and gate give two halves, and an entry is of the first halves of the positions before it, too. ratio 0: none.
 */
struct bk_compress {
    struct bk_linear kv, gate;
    const struct bk_weight *ape; /* (ratio, values of gate): added to the gate by position */
    struct bk_norm norm;
    int ratio, d;
    bool overlap;
};

/*
 * Attention of one shared vector a position, key and value at once: the last `window` positions and compressed entries of all
 * before (spec: archs 10). Of the entries all are seen, or those top_k that an index chooses. The cache layer is {1, 1, 1, 0,
 * bk_csa_extra()}. `attn_csa` may be NULL.
 */
struct bk_attn_csa {
    int layer;
    struct bk_norm in;
    struct bk_linear q_a, q_b, kv;
    struct bk_norm q_a_norm, kv_norm;
    struct bk_norm q_norm;       /* of each head, without weights */
    struct bk_rope rope;         /* of the last n_rot values of a head; the output is turned back */
    int n_head, d, window;
    float scale;
    const struct bk_weight *sinks;
    struct bk_compress entries;
    struct bk_compress index;    /* ratio 0: all entries are seen */
    struct bk_linear index_q, index_proj;
    int index_heads, top_k;
    struct bk_linear o_a, o_b;   /* o_a: a stack of n_group, each of its heads; o_b of all groups */
    int n_group;
    bool replace;                /* x = instead of x += */
};
static inline int bk_csa_extra(const struct bk_attn_csa *a)
{
    int per_page = a->entries.ratio ? (BK_PAGE + a->entries.ratio - 1) / a->entries.ratio : 0;
    int kept = a->d + a->entries.d * 2 * (1 + a->entries.overlap) + a->index.d * 2 * (1 + a->index.overlap);
    return kept + (per_page * (a->entries.d + a->index.d) + BK_PAGE - 1) / BK_PAGE;
}

/*
 * Several residual streams (spec: archs 10.3) around blocks that replace x. BEGIN: each is x. PRE: x is their mix, made with the weights
 * that fn reads from all of them. POST: they are mixed, and x is added. END: x is their mix with the head's weights.
 */
enum bk_streams_step { BK_STREAMS_BEGIN, BK_STREAMS_PRE, BK_STREAMS_POST, BK_STREAMS_END };
struct bk_streams {
    const struct bk_weight *fn, *base, *scale; /* (n (2 + n), n n_embd), its rows, 3; END: (n, n n_embd), n, 1 */
    int n, iterations;
    float eps, norm_eps;
};

struct bk_embed {
    const struct bk_weight *w;
    float scale; /* 1 in most, sqrt(n_embd) in gemma */
};

struct bk_head {
    struct bk_norm norm;
    struct bk_linear out;
    float softcap; /* 0: none */
    float scale;   /* 1 in most */
};

enum bk_kv_type { BK_KV_F16, BK_KV_F32 };
struct bk_kv_layer {
    int n_kv, d_k, d_v; /* elements per position: n_kv*d_k and n_kv*d_v */
    int window;         /* 0: all positions are kept */
    int d_extra;        /* f32 values a position that the block keeps besides; 0 in most */
};
struct bk_kv_conf {
    enum bk_kv_type type;
    int n_ctx;
    int n_layer;
    const struct bk_kv_layer *layers; /* copied */
};

struct bk_batch {
    const int32_t *tokens; /* n of them, each < vocabulary */
    int n;                 /* 1 .. max_batch */
    int pos0;              /* position of tokens[0]; <= positions filled so far */
};

struct bk_ops {
    uint32_t abi;
    const char *name; /* "cpu", "cuda" */

    int (*open)(const struct bk_conf *conf, struct bk **out, struct err *err);
    void (*close)(struct bk *b); /* frees weights and caches made from it */
    /* One line for `hadal doctor` and --verbose: what it runs on. Borrowed until close. */
    const char *(*describe)(struct bk *b);
    int max_batch;

    /* Registers a tensor; the handle is usable after weights_ready. */
    int (*weight)(struct bk *b, const struct bk_tensor *t, enum bk_use use, struct bk_weight **out, struct err *err);
    /* Brings all registered weights into the backend's layout. */
    int (*weights_ready)(struct bk *b, bk_progress progress, void *arg, struct err *err);
    /* Tells the widest row and batch that will come, so that scratch memory is made once: (n_embd, n_ff, heads*d, vocabulary, max batch). */
    int (*reserve)(struct bk *b, int n_embd, int n_ff, int n_qkv, int n_vocab, int max_batch, struct err *err);
    /* Bytes held now: weights, scratch. */
    void (*memory)(struct bk *b, uint64_t *weights, uint64_t *scratch);

    uint64_t (*kv_bytes)(const struct bk_kv_conf *conf); /* what kv_create will take */
    int (*kv_create)(struct bk *b, const struct bk_kv_conf *conf, struct bk_kv **out, struct err *err);
    void (*kv_destroy)(struct bk_kv *kv);
    /* Copies the positions of page `page` (BK_PAGE of them) between caches; both conf equal. */
    int (*kv_copy)(struct bk_kv *dst, const struct bk_kv *src, int page, struct err *err);
    /* Page out and in, bytes as kv_page_bytes says, layout private but stable for one `name` and numerics version. */
    size_t (*kv_page_bytes)(const struct bk_kv *kv);
    int (*kv_read)(const struct bk_kv *kv, int page, void *dst, struct err *err);
    int (*kv_write)(struct bk_kv *kv, int page, const void *src, struct err *err);

    int (*begin)(struct bk *b, struct bk_kv *kv, const struct bk_batch *batch, struct err *err);
    int (*embed)(struct bk *b, const struct bk_embed *e, struct err *err);
    int (*attn_gqa)(struct bk *b, const struct bk_attn_gqa *a, struct err *err);
    int (*attn_mla)(struct bk *b, const struct bk_attn_mla *a, struct err *err);
    int (*attn_csa)(struct bk *b, const struct bk_attn_csa *a, struct err *err);
    int (*streams)(struct bk *b, const struct bk_streams *s, enum bk_streams_step step, struct err *err); /* may be NULL */
    int (*ffn)(struct bk *b, const struct bk_ffn *f, struct err *err);
    int (*moe)(struct bk *b, const struct bk_moe *m, struct err *err);
    /* Logits of rows [row0, n) of the batch into host memory (n - row0, n_vocab). */
    int (*head)(struct bk *b, const struct bk_head *h, int row0, float *logits, struct err *err);
};

const struct bk_ops *bk_cpu(void);

/* The module's one symbol. 0, or a negative code with the reason it declines. */
typedef int (*bk_entry_fn)(uint32_t abi, const struct bk_ops **out, struct err *err);
#define BK_ENTRY_NAME "hadal_backend_entry"

#ifdef __cplusplus
}
#endif
#endif
