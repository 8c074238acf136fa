/*
 * The CPU backend: opening, memory, the ends of a pass (embedding, head), and the table. The blocks are in
 * files of their own, how they are cut into work in cpu.h.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "kernels/blas.h"

/* ---- opening ---- */

static void cpu_name(char *name, size_t size)
{
    char line[256];
    snprintf(name, size, "CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *text = strchr(line, ':');
        if (!text || strncmp(line, "model name", 10) != 0)
            continue;
        text[strcspn(text, "\n")] = 0;
        snprintf(name, size, "%s", text + 1 + (text[1] == ' '));
        break;
    }
    if (f)
        fclose(f);
}

const struct vec_ops *vec_ops(enum isa isa)
{
#ifdef HADAL_X86
    if (isa == ISA_AVX512)
        return vec_avx512();
    if (isa == ISA_AVX2)
        return vec_avx2();
#endif
    (void)isa;
    return vec_scalar();
}

static void cpu_close(struct bk *b)
{
    if (!b)
        return;
    while (b->caches)
        cpu_kv_destroy(b->caches);
    cpu_weights_free(b);
    pool_destroy(b->pool);
    for (int i = 0; b->hand && i < b->n_threads; i++) {
        struct cpu_hand *h = &b->hand[i];
        free(h->mat);
        free(h->norm);
        free(h->norm_q);
        free(h->tile[0]);
        free(h->tile[1]);
        free(h->attn);
    }
    free(b->hand);
    free(b->counter);
    free(b->x);
    free(b->norm);
    free(b->qkv);
    free(b->wide);
    free(b->norm_q);
    free(b->wide_q);
    free(b->partial);
    free(b->split_done);
    free(b->own);
    free(b->index);
    free(b->streams);
    free(b->rope[0].table);
    free(b->rope[1].table);
    free(b);
}

static int cpu_open(const struct bk_conf *conf, struct bk **out, struct err *err)
{
    char name[128], threads[32];
    struct bk *b = mem_zalloc(sizeof *b);
    b->weights_end = &b->weights;
    b->isa = isa_level();
    const char *blas = "";
    if (b->isa == ISA_SCALAR && blas_open(conf->n_threads, &blas))
        b->isa = ISA_BLAS;
    b->vec = vec_ops(b->isa);
    int rc = pool_create(conf->n_threads, &b->pool, err);
    if (rc) {
        cpu_close(b);
        return rc;
    }
    b->n_threads = b->n_used = conf->n_threads;
    cpu_pace_init(&b->pace, b->n_threads);
    b->hand = mem_array((size_t)b->n_threads, sizeof *b->hand);
    size_t counters = 2 * CPU_PHASES * (size_t)b->n_threads * sizeof *b->counter;
    b->counter = aligned_alloc(_Alignof(struct cpu_counter), counters);
    if (!b->counter) {
        cpu_close(b);
        return err_set(err, ERR_IO, "no memory for %d compute threads", conf->n_threads);
    }
    memset(b->counter, 0, counters);
    cpu_name(name, sizeof name);
    snprintf(threads, sizeof threads, "%d thread%s", b->n_threads, b->n_threads == 1 ? "" : "s");
    snprintf(b->text, sizeof b->text, "%s, %s%s%s%s, %s", name, isa_name(b->isa), *blas ? " (" : "", blas, *blas ? ")" : "", threads);
    *out = b;
    return 0;
}

static const char *cpu_describe(struct bk *b)
{
    return b->text;
}

/* ---- memory ---- */

/* Rows that are no power of two apart: those of one column do not fall into one set of the cache. */
static int row_floats(int n)
{
    return (n + 15) / 16 * 16 + 16;
}

static bool get(struct bk *b, void *out, size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64 + 64;
    void *p = aligned_alloc(64, bytes);
    memcpy(out, &p, sizeof p);
    b->scratch_bytes += p ? bytes : 0;
    return p != NULL;
}

static int cpu_reserve(struct bk *b, int n_embd, int n_ff, int n_qkv, int n_vocab, int max_batch, struct err *err)
{
    (void)n_vocab; /* logits go where the caller wants them */
    const int limit = 1 << 24;
    if (b->x)
        return err_set(err, ERR_USAGE, "memory is reserved already");
    if (n_embd < 1 || n_ff < 1 || n_qkv < 1 || n_embd > limit || n_ff > limit || n_qkv > limit || max_batch < 1 ||
        max_batch > CPU_MAX_BATCH)
        return err_set(err, ERR_USAGE, "rows of %d, %d and %d values for %d tokens cannot be reserved", n_embd, n_ff, n_qkv, max_batch);
    b->n_embd = n_embd;
    b->n_qkv = n_qkv;
    b->n_wide = n_ff > n_qkv ? n_ff : n_qkv;
    b->max_batch = max_batch;
    b->ld_embd = row_floats(n_embd);
    b->ld_qkv = row_floats(n_qkv);
    b->ld_wide = row_floats(b->n_wide);
    size_t n = (size_t)max_batch, few = n < CPU_FEW ? n : CPU_FEW, f = sizeof(float);
    int widest = n_embd > b->n_wide ? n_embd : b->n_wide;
    bool ok = get(b, &b->x, n * (size_t)b->ld_embd * f) && get(b, &b->norm, n * (size_t)b->ld_embd * f) &&
              get(b, &b->qkv, n * (size_t)b->ld_qkv * f) && get(b, &b->wide, n * (size_t)b->ld_wide * f) &&
              get(b, &b->norm_q, act_bytes(b->isa, max_batch, n_embd)) && get(b, &b->wide_q, act_bytes(b->isa, max_batch, b->n_wide));
    for (int i = 0; ok && i < b->n_threads; i++) {
        struct cpu_hand *h = &b->hand[i];
        ok = get(b, &h->mat, mat_scratch_bytes(b->isa, widest, max_batch)) && get(b, &h->norm, few * (size_t)b->ld_embd * f) &&
             get(b, &h->norm_q, act_bytes(b->isa, (int)few, n_embd)) && get(b, &h->tile[0], n * CPU_TILE * f) &&
             get(b, &h->tile[1], n * CPU_TILE * f);
    }
    return ok ? 0 : err_set(err, ERR_NOMODEL, "no memory for the intermediate values of %d tokens", max_batch);
}

static void cpu_memory(struct bk *b, uint64_t *weights, uint64_t *scratch)
{
    *weights = b->arena_bytes;
    *scratch = b->scratch_bytes;
}

/* ---- a pass ---- */

static int cpu_begin(struct bk *b, struct bk_kv *kv, const struct bk_batch *batch, struct err *err)
{
    if (!b->ready || !b->x)
        return err_set(err, ERR_USAGE, "a pass begins before the weights are ready and memory is reserved");
    if (batch->n < 1 || batch->n > b->max_batch)
        return err_set(err, ERR_USAGE, "a batch of %d tokens is asked for; 1 to %d fit", batch->n, b->max_batch);
    if (batch->pos0 < 0 || batch->pos0 > kv->filled)
        return err_set(err, ERR_USAGE, "a pass begins at position %d; %d are filled", batch->pos0, kv->filled);
    if (batch->n > kv->n_ctx - batch->pos0)
        return err_set(err, ERR_TOOLONG, "%d tokens at position %d do not fit into a cache of %d", batch->n, batch->pos0, kv->n_ctx);
    b->kv = kv;
    b->tokens = batch->tokens;
    b->n = batch->n;
    b->pos0 = batch->pos0;
    b->rope[0].n = b->rope[1].n = 0;
    kv->filled = b->pos0 + b->n;
    cpu_pace_begin(b);
    return 0;
}

struct embed_job {
    struct bk *b;
    const struct bk_embed *e;
};

static void embed(void *arg, int ith, int nth)
{
    struct embed_job *j = arg;
    struct bk *b = j->b;
    const struct bk_weight *w = j->e->w;
    cpu_start(b, ith);
    for (int t = ith; t < b->n; t += nth) {
        float *x = b->x + (size_t)t * b->ld_embd;
        if (w->use == BK_EMBED_HEAD)
            mat_row(&w->mat, b->tokens[t], x);
        else
            quant_traits(w->type)->decode((const char *)w->src + (size_t)b->tokens[t] * quant_row_bytes(w->type, w->cols), x, w->cols);
        if (j->e->scale != 1)
            b->vec->scale(x, x, j->e->scale, w->cols);
    }
}

static int cpu_embed(struct bk *b, const struct bk_embed *e, struct err *err)
{
    const struct bk_weight *w = e->w;
    if (!b->kv || !w || (w->use != BK_EMBED && w->use != BK_EMBED_HEAD) || w->cols != b->n_embd)
        return err_set(err, ERR_FORMAT, "the embedding does not have rows of %d values", b->n_embd);
    for (int t = 0; t < b->n; t++)
        if (b->tokens[t] < 0 || b->tokens[t] >= w->rows)
            return err_set(err, ERR_INPUT, "token %d is not in the vocabulary, 0 to %d", (int)b->tokens[t], w->rows - 1);
    struct embed_job j = {b, e};
    cpu_run(b, embed, &j);
    return 0;
}

struct head_job {
    struct bk *b;
    const struct bk_head *h;
    int row0;
    float *logits;
};

static void head(void *arg, int ith, int nth)
{
    (void)nth;
    struct head_job *j = arg;
    struct bk *b = j->b;
    const struct mat *m = &j->h->out.w->mat;
    struct act a;
    cpu_start(b, ith);
    cpu_norm(b, ith, 0, &j->h->norm, j->row0, mat_reads_q(m->type), &a);
    int step = cpu_step(b, m, a.n);
    struct cpu_items it = cpu_items(b, 1, ith, (m->rows + step - 1) / step);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r0 = i * step, r1 = r0 + step < m->rows ? r0 + step : m->rows;
        cpu_mul(b, ith, &j->h->out, &a, r0, r1, j->logits, m->rows, 0);
        for (int t = 0; t < a.n; t++) {
            float *y = j->logits + (size_t)t * (size_t)m->rows + r0;
            if (j->h->scale != 1)
                b->vec->scale(y, y, j->h->scale, r1 - r0);
            if (j->h->softcap > 0)
                b->vec->softcap(y, j->h->softcap, r1 - r0);
        }
    }
}

static int cpu_head(struct bk *b, const struct bk_head *h, int row0, float *logits, struct err *err)
{
    if (!b->kv || row0 < 0 || row0 >= b->n)
        return err_set(err, ERR_USAGE, "logits from row %d of a batch of %d are asked for", row0, b->n);
    int rc = cpu_check(&h->out, "output", 0, b->n_embd, err);
    if (!rc)
        rc = cpu_check_norm(&h->norm, "output", b->n_embd, err);
    if (rc)
        return rc;
    struct head_job j = {b, h, row0, logits};
    cpu_run(b, head, &j);
    cpu_pace_end(b);
    return 0;
}

const struct bk_ops *bk_cpu(void)
{
    static const struct bk_ops ops = {
        .abi = BK_ABI,
        .name = "cpu",
        .open = cpu_open,
        .close = cpu_close,
        .describe = cpu_describe,
        .max_batch = CPU_MAX_BATCH,
        .weight = cpu_weight,
        .weights_ready = cpu_weights_ready,
        .reserve = cpu_reserve,
        .memory = cpu_memory,
        .kv_bytes = cpu_kv_bytes,
        .kv_create = cpu_kv_create,
        .kv_destroy = cpu_kv_destroy,
        .kv_copy = cpu_kv_copy,
        .kv_page_bytes = cpu_kv_page_bytes,
        .kv_read = cpu_kv_read,
        .kv_write = cpu_kv_write,
        .begin = cpu_begin,
        .embed = cpu_embed,
        .attn_gqa = cpu_attn_gqa,
        .attn_mla = cpu_attn_mla,
        .attn_csa = cpu_attn_csa,
        .streams = cpu_streams,
        .ffn = cpu_ffn,
        .moe = cpu_moe,
        .head = cpu_head,
    };
    return &ops;
}
