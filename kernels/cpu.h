#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H
/*
 * What the files of the CPU backend share. A block of the net is one job of the pool, cut into phases by barriers; within
 * a phase, threads take items (rows of a matrix, tiles of attention) from shared counters. No result depends on who takes what.
 *
 *   attention: [norm, rounding | q k v] barrier [rope, store, if n > 1; barrier] [attention] barrier [o, residual]
 *   ffn:       [norm, rounding | gate up act, rounding] barrier [down, residual]
 *   the others: see their files
 *
 * With few tokens every thread makes the norm for itself, which is cheaper than a barrier.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/mat.h"
#include "kernels/pool.h"
#include "kernels/vec.h"

#define CPU_MAX_BATCH 512
#define CPU_FEW 4    /* tokens whose norm each thread makes for itself */
#define CPU_TILE 64  /* most rows of a matrix in an item */
#define CPU_PHASES 8

struct bk_weight {
    struct bk_weight *next; /* in order of registration */
    enum bk_use use;
    enum qtype type;
    int rows, cols, n;      /* n: matrices of a stack, else 1 */
    const void *src;        /* in the file; BK_EMBED keeps it */
    size_t src_bytes;
    struct mat mat;         /* BK_MATRIX, BK_EMBED_HEAD */
    struct mat *stack;      /* BK_EXPERTS: n of them */
    float *vec;             /* BK_VECTOR: rows * cols floats */
};

struct bk_kv {
    struct bk *b;
    struct bk_kv *next;     /* of the backend's caches */
    enum bk_kv_type type;
    int n_ctx, n_layer, n_pages;
    int filled;             /* positions that hold something */
    struct bk_kv_layer *layer;
    size_t *at;             /* of a layer in a page, bytes */
    size_t page_bytes, map_bytes;
    char *mem;              /* (n_pages, page_bytes) */
};

/* One thread's own memory. */
struct cpu_hand {
    void *mat;              /* what mat_mul wants */
    float *norm;            /* (CPU_FEW, ld_embd) */
    void *norm_q;
    float *tile[2];         /* (max_batch, CPU_TILE) */
    void *attn;             /* grown by the attention block */
    size_t attn_bytes;
};

/* The next item of one thread's share of a phase. */
struct cpu_counter {
    _Alignas(64) atomic_int next;
};

/* Rotation of the positions of the current pass, for one kind of rope. */
struct cpu_rope {
    const float *freq;
    int n_rot, n;           /* n: tokens it is good for; 0: none */
    enum bk_rope_kind kind;
    float magnitude;
    float *table;           /* (n, 2 * n_rot) */
    size_t bytes;
};

/* How many threads a single token is read with: cpu_pace.c. */
#define CPU_LEVELS 12
struct cpu_pace {
    int threads[CPU_LEVELS], n_levels; /* falling */
    int level, trial;       /* in use; on trial or -1 */
    int left;               /* passes of the trial to come */
    int64_t spent;          /* by the trial, microseconds */
    double mean;            /* of recent passes at `level`, microseconds */
    float busy;             /* sleeps in a recent pass */
    unsigned slept;         /* when the pass began */
    int64_t began, next, pause; /* of the pass, 0: not timed; when a trial may be; between trials */
};

struct bk {
    struct pool *pool;
    int n_threads, n_used;  /* in all; in this pass */
    struct cpu_pace pace;
    enum isa isa;
    const struct vec_ops *vec;
    char text[256];

    struct bk_weight *weights, **weights_end;
    void *arena;
    size_t arena_bytes;
    bool ready;
    struct bk_kv *caches;

    /* As reserved. Rows of the float buffers are `ld` apart, never a power of two. */
    int n_embd, n_wide, n_qkv, max_batch, ld_embd, ld_wide, ld_qkv;
    float *x, *norm, *qkv, *wide; /* (max_batch, ld_*); wide: attention output, gated values */
    void *norm_q, *wide_q;
    struct cpu_hand *hand;        /* n_threads */
    struct cpu_counter *counter;  /* (2, CPU_PHASES, n_threads) */
    int turn;                     /* which half of the counters the running job uses */
    void *partial;                /* attention: what splits gave */
    size_t partial_bytes;
    atomic_int *split_done;
    size_t split_done_bytes;
    void *own;                    /* experts, latent attention: what the running block needs */
    size_t own_bytes;
    void *index;
    size_t index_bytes;
    void *streams;                /* (max_batch, n of them, n_embd), and what PRE leaves for POST */
    size_t streams_bytes;
    struct cpu_rope rope[2];
    int rope_turn;
    size_t scratch_bytes;

    /* The current pass. */
    struct bk_kv *kv;
    const int32_t *tokens;
    int n, pos0;
};

/* ---- jobs ---- */

void cpu_run(struct bk *b, pool_fn fn, void *arg);
/* First in a job: makes this thread's counters ready for the next one. */
void cpu_start(struct bk *b, int ith);

struct cpu_items {
    struct cpu_counter *c;
    int ith, nth, n, turn;
};
struct cpu_items cpu_items(struct bk *b, int phase, int ith, int n);

/* The next item in [0, n), or -1. A thread empties its own share, in order, and then helps the others. */
static inline int cpu_next(struct cpu_items *it)
{
    for (; it->turn < it->nth; it->turn++) {
        int who = (it->ith + it->turn) % it->nth;
        int from = (int)((int64_t)it->n * who / it->nth), to = (int)((int64_t)it->n * (who + 1) / it->nth);
        if (from + atomic_load_explicit(&it->c[who].next, memory_order_relaxed) >= to)
            continue;
        int i = from + pool_take(&it->c[who].next, 1);
        if (i < to)
            return i;
    }
    return -1;
}

void cpu_pace_init(struct cpu_pace *p, int n_threads);
void cpu_pace_begin(struct bk *b); /* b->n is set: chooses b->n_used */
void cpu_pace_end(struct bk *b);

/* ---- parts of blocks ---- */

/* Rows of `m` that make an item for n tokens: a multiple of MAT_PANEL, at most CPU_TILE. */
int cpu_step(const struct bk *b, const struct mat *m, int n);
/* Rows [r0, r1) of w into y[t * ld + r]. */
void cpu_mul(struct bk *b, int ith, const struct bk_linear *w, const struct act *a, int r0, int r1, float *y, int ld, int y_row0);
/*
 * *a becomes the norm of tokens [row0, b->n), for every thread; rounded if `round`. Ends with a barrier if there are more
 * than CPU_FEW of them.
 */
void cpu_norm(struct bk *b, int ith, int phase, const struct bk_norm *norm, int row0, bool round, struct act *a);
/* x += scale * post(w a), of all tokens. */
void cpu_add(struct bk *b, int ith, int phase, const struct bk_linear *w, const struct act *a, const struct bk_norm *post, float scale);
void cpu_norm_row(const struct bk *b, const struct bk_norm *norm, const float *x, int n, float *dst);

/* A gate and what it is multiplied with: rows of two matrices, or of one, in which they follow each other (up NULL). */
struct cpu_gate {
    const struct mat *gate, *up;
    const float *gate_b, *up_b; /* biases or NULL */
    int n_ff;
    enum bk_act act;
    float limit;
};
#define CPU_GATE_STEP 32 /* rows of an item: what act_quantize rounds at least; CPU_TILE holds them with a panel more */
/* Values [c0, c1), at most CPU_GATE_STEP, of all tokens: rounded into out->q if it has that, else into its rows of floats. */
void cpu_gated(struct bk *b, int ith, const struct cpu_gate *g, const struct act *in, int c0, int c1, struct act *out);

static inline bool cpu_reads_q(const struct bk_linear *w)
{
    return w->w && mat_reads_q(w->w->type);
}

/* The table for a rope in this pass; *fill is set when its rows are still to be made (cpu_fill_rope, by all threads). */
int cpu_find_rope(struct bk *b, const struct bk_rope *r, const struct cpu_rope **out, bool *fill, struct err *err);
void cpu_fill_rope(const struct bk *b, const struct cpu_rope *r, int ith, int nth);
/* One row of such a table, for any position. */
void cpu_rope_row(const struct cpu_rope *r, int pos, float *row);
/* Positions that each token sees of those it could: a bit for each, of token t from seen[t * ld] on. NULL: all. */
struct cpu_seen {
    const uint64_t *bits;
    int ld; /* pages */
};
_Static_assert(BK_PAGE == 64, "cpu_seen has a word for each page");
/*
 * Attention alone: rows of b->qkv hold q, k and v (before a->rope and a->scale), and each token's n_head * d_v values are left in
 * b->wide. No weights are read.
 */
int cpu_attn_core(struct bk *b, const struct bk_attn_gqa *a, struct cpu_seen seen, struct err *err);
/* The f32 values that a layer's block keeps of a page's positions. */
float *cpu_extra(const struct bk_kv *kv, int layer, int page);

/*
 * The index of latent attention: store keeps a token's key (normed and rotated), then cpu_index scores, after all are stored. What it
 * gives stays until its next call.
 */
int cpu_index_check(const struct bk *b, const struct bk_index *x, int layer, int q_rank, struct err *err);
void cpu_index_store(const struct bk *b, const struct bk_index *x, int layer, int t, const float *k);
int cpu_index(struct bk *b, const struct bk_index *x, int layer, const float *q, int ld_q, const float *w, int ld_w, struct cpu_seen *seen,
              struct err *err);

/*
 * Scores of BK_PAGE keys (d, BK_PAGE): the sum over heads of w times what is positive of q . k. rows: room for `heads`; s: (heads, VEC_SPLIT).
 */
void cpu_index_scores(const struct bk *b, const float *q, int heads, int d, const float *w, const float *keys, const float **rows, float *s,
                      float *out);
/* Bits of the k largest of n scores, of equal ones the earlier; all bits when n <= k. sorted: room for n. */
void cpu_choose(const float *score, int n, int k, float *sorted, uint64_t *bits, int words);

/* A piece of one block of memory, on a 64-byte line; with base NULL it only counts. */
static inline void *cpu_piece(char *base, size_t *at, size_t bytes)
{
    void *p = base ? base + *at : NULL;
    *at += (bytes + 63) / 64 * 64;
    return p;
}
int cpu_check_stack(const struct bk_linear *w, const char *what, int n, int rows, int cols, struct err *err);

/* Makes *p at least `bytes` large (64-aligned; contents are lost). */
int cpu_grow(struct bk *b, void **p, size_t *have, size_t bytes, struct err *err);
/* Says what does not fit, or 0: `w` has `rows` rows (0: any) and `cols` columns and can be multiplied. */
int cpu_check(const struct bk_linear *w, const char *what, int rows, int cols, struct err *err);
int cpu_check_norm(const struct bk_norm *norm, const char *what, int n, struct err *err);

/* ---- the entries of the table ---- */

int cpu_weight(struct bk *b, const struct bk_tensor *t, enum bk_use use, struct bk_weight **out, struct err *err);
int cpu_weights_ready(struct bk *b, bk_progress progress, void *arg, struct err *err);
void cpu_weights_free(struct bk *b);

uint64_t cpu_kv_bytes(const struct bk_kv_conf *conf);
int cpu_kv_create(struct bk *b, const struct bk_kv_conf *conf, struct bk_kv **out, struct err *err);
void cpu_kv_destroy(struct bk_kv *kv);
int cpu_kv_copy(struct bk_kv *dst, const struct bk_kv *src, int page, struct err *err);
size_t cpu_kv_page_bytes(const struct bk_kv *kv);
int cpu_kv_read(const struct bk_kv *kv, int page, void *dst, struct err *err);
int cpu_kv_write(struct bk_kv *kv, int page, const void *src, struct err *err);

int cpu_attn_gqa(struct bk *b, const struct bk_attn_gqa *a, struct err *err);
int cpu_ffn(struct bk *b, const struct bk_ffn *f, struct err *err);
int cpu_attn_mla(struct bk *b, const struct bk_attn_mla *a, struct err *err);
int cpu_moe(struct bk *b, const struct bk_moe *m, struct err *err);
int cpu_attn_csa(struct bk *b, const struct bk_attn_csa *a, struct err *err);
int cpu_streams(struct bk *b, const struct bk_streams *s, enum bk_streams_step step, struct err *err);

#endif
