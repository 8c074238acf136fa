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
    char name[64];
};

enum need { MUST, MAY };

/* "blk.3.attn_q.weight"; i < 0: without the block. Good until the next call. */
static const char *named(struct loader *l, int i, const char *role, const char *suffix)
{
    char block[24] = "";
    if (i >= 0)
        snprintf(block, sizeof block, "blk.%d.", i);
    snprintf(l->name, sizeof l->name, "%s%s%s%s", block, role, *suffix ? "." : "", suffix);
    return l->name;
}

static const struct gguf_tensor *find(struct loader *l, int i, const char *role, const char *suffix)
{
    return gguf_tensor(l->g, named(l, i, role, suffix));
}

static int check_tensor(struct loader *l, const struct gguf_tensor *t, const char *name, bool vector, const int64_t ne[3])
{
    const struct qtraits *q = quant_traits(t->type);
    if (t->ne[0] != ne[0] || t->ne[1] != ne[1] || t->ne[2] != ne[2] || t->ne[3] != 1)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is %" PRId64 " x %" PRId64 " x %" PRId64 "; %" PRId64 " x %" PRId64 " x %" PRId64 " is wanted",
                       gguf_path(l->g), name, t->ne[0], t->ne[1], t->ne[2] * t->ne[3], ne[0], ne[1], ne[2]);
    if (vector && t->type != Q_F32 && t->type != Q_F16 && t->type != Q_BF16)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is of type %s; F32, F16 or BF16 is wanted", gguf_path(l->g), name, q->name);
    if (!q->decode || (t->type >= Q_I8 && t->type <= Q_F64))
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is of type %s, which this version cannot compute with", gguf_path(l->g), name,
                       q->name);
    return 0;
}

static int hand_over(struct loader *l, const struct bk_tensor *b, enum bk_use use, const struct bk_weight **out)
{
    struct bk_weight *w = NULL;
    int rc = l->n->ops->weight(l->n->bk, b, use, &w, l->err);
    if (rc)
        return err_wrap(l->err, "%s: the tensor %s", gguf_path(l->g), b->name);
    l->n->registered += b->bytes;
    *out = w;
    return 0;
}

/*
 * Registers one tensor of shape {ne0, ne1, ne2}. *out stays NULL when it may be absent and is. A vocabulary may be padded: of a matrix
 * with one row a token, only those of tokens are used.
 */
static int tensor(struct loader *l, const char *name, enum need need, enum bk_use use, int64_t ne0, int64_t ne1, int64_t ne2,
                  const struct bk_weight **out)
{
    const struct gguf_tensor *t = gguf_tensor(l->g, name);
    *out = NULL;
    if (!t) {
        if (need == MAY)
            return 0;
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), name);
    }
    bool padded = (use == BK_EMBED || use == BK_EMBED_HEAD || !strcmp(name, "output.weight")) && t->ne[1] > ne1;
    int rc = check_tensor(l, t, name, use == BK_VECTOR, (int64_t[]){ne0, padded ? t->ne[1] : ne1, ne2});
    if (rc)
        return rc;
    struct bk_tensor b = {.name = name, .type = (enum qtype)t->type, .data = t->data, .bytes = t->bytes, .ne = {ne0, ne1, ne2, 1}};
    if (padded)
        b.bytes = quant_row_bytes(b.type, ne0) * (size_t)ne1;
    l->used++;
    return hand_over(l, &b, use, out);
}

/* blk.<i>.<role>.weight (rows, cols) and its optional or required bias. */
static int linear(struct loader *l, int i, const char *role, int64_t cols, int64_t rows, enum need bias, struct bk_linear *out)
{
    int rc = tensor(l, named(l, i, role, "weight"), MUST, BK_MATRIX, cols, rows, 1, &out->w);
    return rc ? rc : tensor(l, named(l, i, role, "bias"), bias, BK_VECTOR, rows, 1, 1, &out->b);
}

/* The same of a stack of n matrices. */
static int stack(struct loader *l, int i, const char *role, int64_t cols, int64_t rows, int64_t n, struct bk_linear *out)
{
    int rc = tensor(l, named(l, i, role, "weight"), MUST, BK_EXPERTS, cols, rows, n, &out->w);
    return rc ? rc : tensor(l, named(l, i, role, "bias"), MAY, BK_VECTOR, rows, n, 1, &out->b);
}

static int rms(struct loader *l, int i, const char *role, int64_t n, struct bk_norm *out)
{
    *out = (struct bk_norm){.kind = BK_NORM_RMS, .eps = l->hp->eps};
    return tensor(l, named(l, i, role, "weight"), MUST, BK_VECTOR, n, 1, 1, &out->w);
}

/* ---- attention ---- */

struct bk_kv_layer net_kv(const struct hparams *hp, int i)
{
    const struct hp_layer *h = &hp->layer[i];
    const struct hp_mla *m = &hp->mla;
    if (hp->arch->mla)
        return (struct bk_kv_layer){1, m->kv_lora + m->d_rope, m->kv_lora, 0, m->d_index};
    if (hp->arch->csa) {
        bool index = h->ratio == 4;
        struct bk_attn_csa a = {.d = hp->d_k, .entries = {.ratio = h->ratio, .d = h->ratio ? hp->d_k : 0, .overlap = index},
                                .index = {.ratio = index ? 4 : 0, .d = index ? m->d_index : 0, .overlap = index}};
        return (struct bk_kv_layer){1, 1, 1, 0, bk_csa_extra(&a)};
    }
    return (struct bk_kv_layer){h->n_kv, hp->d_k, hp->d_v, h->sliding ? hp->window : 0, 0};
}

static int load_qkv(struct loader *l, int i, struct bk_attn_gqa *a, int64_t d, int64_t q, int64_t k, int64_t v)
{
    enum need bias = l->hp->arch->qkv_bias ? MUST : MAY;
    if (find(l, i, "attn_qkv", "weight"))
        return linear(l, i, "attn_qkv", d, q + k + v, bias, &a->q);
    int rc = linear(l, i, "attn_q", d, q, bias, &a->q);
    if (!rc)
        rc = linear(l, i, "attn_k", d, k, bias, &a->k);
    return rc ? rc : linear(l, i, "attn_v", d, v, bias, &a->v);
}

static int load_attn(struct loader *l, int i, struct bk_attn_gqa *a)
{
    const struct hparams *hp = l->hp;
    const struct arch *arch = hp->arch;
    const struct hp_layer *h = &hp->layer[i];
    int64_t d = hp->n_embd, q = (int64_t)h->n_head * hp->d_k, k = (int64_t)h->n_kv * hp->d_k, v = (int64_t)h->n_kv * hp->d_v;
    bool local = h->sliding && arch->plain_local_rope;
    int window = h->sliding ? hp->window : 0, rc = 0;
    *a = (struct bk_attn_gqa){.layer = i, .n_head = h->n_head, .n_kv = h->n_kv, .d_k = hp->d_k, .d_v = hp->d_v, .scale = hp->attn_scale,
                              .softcap = hp->attn_softcap, .window = window, .norm_wide = arch->qk_norm_wide, .out_scale = hp->out_scale};
    a->rope = (struct bk_rope){h->rope ? arch->rope : BK_ROPE_NONE, hp->n_rot, l->n->freq[local ? FREQ_LOCAL : FREQ_MAIN],
                               local ? 1 : (float)hp->magnitude};
    if (!arch->no_pre_norm)
        rc = rms(l, i, "attn_norm", d, &a->in);
    if (!rc)
        rc = load_qkv(l, i, a, d, q, k, v);
    if (!rc)
        rc = linear(l, i, "attn_output", (int64_t)h->n_head * hp->d_v, d, MAY, &a->o);
    if (!rc && arch->qk_norm)
        rc = rms(l, i, "attn_q_norm", arch->qk_norm_wide ? q : hp->d_k, &a->q_norm);
    if (!rc && arch->qk_norm)
        rc = rms(l, i, "attn_k_norm", arch->qk_norm_wide ? k : hp->d_k, &a->k_norm);
    if (!rc && arch->sinks)
        rc = tensor(l, named(l, i, "attn_sinks", "weight"), MUST, BK_VECTOR, h->n_head, 1, 1, &a->sinks);
    if (!rc && arch->post_norm)
        rc = rms(l, i, "post_attention_norm", d, &a->post);
    return rc;
}

/* attn_kv_b holds, a head, d_nope rows of k and d_v rows of v: makes the stacks that the other form of file has. */
static int split_kv_b(struct loader *l, int i, struct bk_attn_mla *a)
{
    const struct gguf_tensor *t = find(l, i, "attn_kv_b", "weight");
    int64_t r = a->kv_lora, rows = a->d_nope + a->d_v;
    if (!t)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), l->name);
    int rc = check_tensor(l, t, l->name, false, (int64_t[]){r, rows * a->n_head, 1});
    if (rc)
        return rc;
    l->used++;
    size_t row = quant_row_bytes((enum qtype)t->type, r), v_bytes = row * (size_t)(a->d_v * a->n_head);
    size_t k_bytes = (size_t)(r * a->d_nope * a->n_head) * sizeof(float);
    float *k = malloc(k_bytes), *line = malloc((size_t)r * sizeof *line);
    char *v = malloc(v_bytes);
    l->n->made[l->n->n_made++] = k;
    l->n->made[l->n->n_made++] = v;
    if (!k || !v || !line) {
        free(line);
        return err_set(l->err, ERR_NOMODEL, "%s: no memory to split %s (%zu MB)", gguf_path(l->g), l->name, (k_bytes + v_bytes) >> 20);
    }
    for (int64_t h = 0; h < a->n_head; h++) {
        const char *src = (const char *)t->data + row * (size_t)(h * rows);
        for (int64_t j = 0; j < a->d_nope; j++) { /* transposed: {d_nope, kv_lora} a head */
            quant_traits(t->type)->decode(src + row * (size_t)j, line, r);
            for (int64_t c = 0; c < r; c++)
                k[(h * r + c) * a->d_nope + j] = line[c];
        }
        memcpy(v + row * (size_t)(h * a->d_v), src + row * (size_t)a->d_nope, row * (size_t)a->d_v);
    }
    free(line);
    struct bk_tensor kt = {.name = "attn_k_b", .type = Q_F32, .data = k, .bytes = k_bytes, .ne = {a->d_nope, r, a->n_head, 1}};
    struct bk_tensor vt = {.name = "attn_v_b", .type = (enum qtype)t->type, .data = v, .bytes = v_bytes, .ne = {r, a->d_v, a->n_head, 1}};
    rc = hand_over(l, &kt, BK_EXPERTS, &a->k_b.w);
    return rc ? rc : hand_over(l, &vt, BK_EXPERTS, &a->v_b.w);
}

static int load_index(struct loader *l, int i, struct bk_index *x)
{
    const struct hp_mla *m = &l->hp->mla;
    int64_t d = l->hp->n_embd;
    *x = (struct bk_index){.n_head = m->n_index, .d = m->d_index, .top_k = m->top_k};
    x->rope = (struct bk_rope){BK_ROPE_NEOX, m->d_rope, l->n->freq[FREQ_MAIN], (float)l->hp->magnitude};
    x->k_norm = (struct bk_norm){.kind = BK_NORM_LAYER, .eps = 1e-6f};
    int rc = linear(l, i, "indexer.attn_q_b", m->q_lora, (int64_t)m->n_index * m->d_index, MAY, &x->q);
    if (!rc)
        rc = linear(l, i, "indexer.attn_k", d, m->d_index, MAY, &x->k);
    if (!rc)
        rc = linear(l, i, "indexer.proj", d, m->n_index, MAY, &x->proj);
    if (!rc)
        rc = tensor(l, named(l, i, "indexer.k_norm", "weight"), MUST, BK_VECTOR, m->d_index, 1, 1, &x->k_norm.w);
    return rc ? rc : tensor(l, named(l, i, "indexer.k_norm", "bias"), MUST, BK_VECTOR, m->d_index, 1, 1, &x->k_norm.b);
}

static int load_latent(struct loader *l, int i, struct bk_attn_mla *a)
{
    const struct hparams *hp = l->hp;
    const struct hp_mla *m = &hp->mla;
    int64_t d = hp->n_embd, h = hp->layer[i].n_head, q = h * hp->d_k;
    *a = (struct bk_attn_mla){.layer = i, .n_head = (int)h, .d_nope = m->d_nope, .d_rope = m->d_rope, .d_v = hp->d_v, .kv_lora = m->kv_lora,
                              .scale = hp->attn_scale, .out_scale = hp->out_scale};
    a->rope = (struct bk_rope){hp->arch->rope, m->d_rope, l->n->freq[FREQ_MAIN], (float)hp->magnitude};
    int rc = rms(l, i, "attn_norm", d, &a->in);
    if (!rc && !m->q_lora) {
        rc = linear(l, i, "attn_q", d, q, MAY, &a->q);
    } else if (!rc) {
        rc = linear(l, i, "attn_q_a", d, m->q_lora, MAY, &a->q_a);
        if (!rc)
            rc = rms(l, i, "attn_q_a_norm", m->q_lora, &a->q_a_norm);
        if (!rc)
            rc = linear(l, i, "attn_q_b", m->q_lora, q, MAY, &a->q_b);
    }
    if (!rc)
        rc = linear(l, i, "attn_kv_a_mqa", d, m->kv_lora + m->d_rope, MAY, &a->kv_a);
    if (!rc)
        rc = rms(l, i, "attn_kv_a_norm", m->kv_lora, &a->kv_a_norm);
    if (!rc && !m->split)
        rc = split_kv_b(l, i, a);
    if (!rc && m->split)
        rc = stack(l, i, "attn_k_b", m->d_nope, m->kv_lora, h, &a->k_b);
    if (!rc && m->split)
        rc = stack(l, i, "attn_v_b", m->kv_lora, hp->d_v, h, &a->v_b);
    if (!rc && hp->arch->index) {
        rc = load_index(l, i, &l->n->layer[i].index);
        a->index = &l->n->layer[i].index;
    }
    return rc ? rc : linear(l, i, "attn_output", h * hp->d_v, d, MAY, &a->o);
}

/* ---- compressed attention and residual streams (DeepSeek V4) ---- */

/* The first of the names that the file has for a role; files differ in these. */
static const char *either(struct loader *l, int i, const char *a, const char *b)
{
    return !find(l, i, a, "weight") && !gguf_tensor(l->g, named(l, i, a, "")) && (find(l, i, b, "weight") || gguf_tensor(l->g, named(l, i, b, ""))) ? b : a;
}

/* A vector or table whose name may lack ".weight". */
static int table(struct loader *l, int i, const char *role, enum bk_use use, int64_t ne0, int64_t ne1, const struct bk_weight **out)
{
    const char *suffix = !find(l, i, role, "weight") && gguf_tensor(l->g, named(l, i, role, "")) ? "" : "weight";
    return tensor(l, named(l, i, role, suffix), MUST, use, ne0, ne1, 1, out);
}

static int load_compress(struct loader *l, int i, const char *prefix, const char *other, int ratio, int d, struct bk_compress *c)
{
    char a[48], b[48];
    int64_t n = d * (ratio == 4 ? 2 : 1);
    *c = (struct bk_compress){.ratio = ratio, .d = d, .overlap = ratio == 4};
    int rc = 0;
    struct {
        const char *what;
        struct bk_linear *w;
    } two[] = {{"kv", &c->kv}, {"gate", &c->gate}};
    for (int k = 0; !rc && k < 2; k++) {
        snprintf(a, sizeof a, "%s_%s", prefix, two[k].what);
        snprintf(b, sizeof b, "%s_%s", other, two[k].what);
        rc = linear(l, i, either(l, i, a, b), l->hp->n_embd, n, MAY, two[k].w);
    }
    snprintf(a, sizeof a, "%s_ape", prefix);
    snprintf(b, sizeof b, "%s_ape", other);
    if (!rc)
        rc = table(l, i, either(l, i, a, b), BK_VECTOR, n, ratio, &c->ape);
    snprintf(a, sizeof a, "%s_norm", prefix);
    snprintf(b, sizeof b, "%s_norm", other);
    return rc ? rc : rms(l, i, either(l, i, a, b), d, &c->norm);
}

static int load_streams(struct loader *l, int i, const char *role, const char *other, bool head, struct bk_streams *s)
{
    const struct hp_csa *c = &l->hp->csa;
    int64_t n = c->n_streams, rows = head ? n : n * (2 + n);
    char a[32], b[32];
    *s = (struct bk_streams){.n = c->n_streams, .iterations = c->iterations, .eps = (float)c->eps, .norm_eps = l->hp->eps};
    struct {
        const char *what;
        const struct bk_weight **out;
        enum bk_use use;
        int64_t ne0, ne1;
    } three[] = {{"fn", &s->fn, BK_MATRIX, n * l->hp->n_embd, rows}, {"base", &s->base, BK_VECTOR, rows, 1}, {"scale", &s->scale, BK_VECTOR, head ? 1 : 3, 1}};
    int rc = 0;
    for (int k = 0; !rc && k < 3; k++) {
        snprintf(a, sizeof a, "%s_%s", role, three[k].what);
        snprintf(b, sizeof b, "%s_%s", other, three[k].what);
        rc = table(l, i, either(l, i, a, b), three[k].use, three[k].ne0, three[k].ne1, three[k].out);
    }
    return rc;
}

static int load_csa(struct loader *l, int i, struct bk_attn_csa *a)
{
    const struct hparams *hp = l->hp;
    const struct hp_layer *h = &hp->layer[i];
    const struct hp_mla *m = &hp->mla;
    int64_t d = hp->n_embd, q = (int64_t)h->n_head * hp->d_k;
    *a = (struct bk_attn_csa){.layer = i, .n_head = h->n_head, .d = hp->d_k, .window = hp->window, .scale = hp->attn_scale, .n_group = hp->csa.n_group,
                              .replace = true, .q_norm = {.kind = BK_NORM_RMS, .eps = hp->eps}};
    a->rope = (struct bk_rope){hp->arch->rope, hp->n_rot, l->n->freq[h->ratio ? FREQ_MAIN : FREQ_LOCAL], (float)hp->magnitude};
    int rc = rms(l, i, "attn_norm", d, &a->in);
    if (!rc)
        rc = linear(l, i, "attn_q_a", d, m->q_lora, MAY, &a->q_a);
    if (!rc)
        rc = rms(l, i, "attn_q_a_norm", m->q_lora, &a->q_a_norm);
    if (!rc)
        rc = linear(l, i, "attn_q_b", m->q_lora, q, MAY, &a->q_b);
    if (!rc)
        rc = linear(l, i, either(l, i, "attn_kv", either(l, i, "attn_kv_latent", "attn_kv_a_mqa")), d, hp->d_k, MAY, &a->kv);
    if (!rc)
        rc = rms(l, i, "attn_kv_a_norm", hp->d_k, &a->kv_norm);
    if (!rc)
        rc = table(l, i, "attn_sinks", BK_VECTOR, h->n_head, 1, &a->sinks);
    if (!rc && h->ratio)
        rc = load_compress(l, i, "attn_compressor", "attn_compress", h->ratio, hp->d_k, &a->entries);
    if (!rc && h->ratio == 4) {
        a->index_heads = m->n_index;
        a->top_k = m->top_k;
        rc = load_compress(l, i, "indexer_compressor", "indexer.compress", h->ratio, m->d_index, &a->index);
        if (!rc)
            rc = linear(l, i, "indexer.attn_q_b", m->q_lora, (int64_t)m->n_index * m->d_index, MAY, &a->index_q);
        if (!rc)
            rc = linear(l, i, "indexer.proj", d, m->n_index, MAY, &a->index_proj);
    }
    /* The groups' matrices follow each other in one tensor: a stack. */
    int64_t rows = hp->csa.o_lora, cols = q / hp->csa.n_group;
    const struct gguf_tensor *t = find(l, i, "attn_output_a", "weight");
    if (!rc && !t)
        rc = err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), l->name);
    if (!rc)
        rc = check_tensor(l, t, l->name, false, (int64_t[]){cols, rows * hp->csa.n_group, 1});
    if (!rc) {
        struct bk_tensor b = {.name = l->name, .type = (enum qtype)t->type, .data = t->data, .bytes = t->bytes, .ne = {cols, rows, hp->csa.n_group, 1}};
        l->used++;
        rc = hand_over(l, &b, BK_EXPERTS, &a->o_a.w);
    }
    return rc ? rc : linear(l, i, "attn_output_b", rows * hp->csa.n_group, d, MAY, &a->o_b);
}

/* The experts of each token, which the file says instead of a router. */
static int load_by_token(struct loader *l, int i, struct bk_moe *m)
{
    const struct gguf_tensor *t = find(l, i, "ffn_gate_tid2eid", "weight");
    int64_t n = (int64_t)l->hp->n_vocab * m->n_used;
    if (!t)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), l->name);
    if (t->type != Q_I32 || t->ne[0] != m->n_used || t->ne[1] < l->hp->n_vocab || t->ne[2] != 1 || t->ne[3] != 1)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is %" PRId64 " x %" PRId64 " of type %s; %d x %d of I32 is wanted", gguf_path(l->g), l->name,
                       t->ne[0], t->ne[1], quant_traits(t->type)->name, m->n_used, l->hp->n_vocab);
    int32_t *list = mem_array((size_t)n, sizeof *list);
    memcpy(list, t->data, (size_t)n * sizeof *list);
    l->n->by_token[i] = list;
    m->by_token = list;
    l->used++;
    for (int64_t k = 0; k < n; k++)
        if (list[k] < 0 || list[k] >= m->n_expert)
            return err_set(l->err, ERR_FORMAT, "%s: the tensor %s names expert %" PRId32 " of %d", gguf_path(l->g), l->name, list[k], m->n_expert);
    return 0;
}

/* ---- feed-forward ---- */

static const char *ffn_norm(const struct loader *l)
{
    return l->hp->arch->ffn_norm ? l->hp->arch->ffn_norm : "ffn_norm";
}

static int load_ffn(struct loader *l, int i, struct bk_ffn *f)
{
    const struct hparams *hp = l->hp;
    int64_t d = hp->n_embd, ff = hp->layer[i].n_ff;
    int rc = 0;
    *f = (struct bk_ffn){.act = hp->arch->act, .limit = hp->arch->act_limit, .n_ff = (int)ff, .out_scale = hp->out_scale};
    if (!hp->arch->no_pre_norm)
        rc = rms(l, i, ffn_norm(l), d, &f->in);
    if (!rc && hp->arch->fused_up && !find(l, i, "ffn_gate", "weight")) {
        rc = linear(l, i, "ffn_up", d, 2 * ff, MAY, &f->gate);
    } else if (!rc) {
        rc = linear(l, i, "ffn_gate", d, ff, MAY, &f->gate);
        if (!rc)
            rc = linear(l, i, "ffn_up", d, ff, MAY, &f->up);
    }
    if (!rc)
        rc = linear(l, i, "ffn_down", ff, d, MAY, &f->down);
    if (!rc && hp->arch->post_norm)
        rc = rms(l, i, "post_ffw_norm", d, &f->post);
    return rc;
}

/* The width that the file states, or else that of its tensor. */
static int width(struct loader *l, int i, const char *down, int stated)
{
    const struct gguf_tensor *t = find(l, i, down, "weight");
    return stated ? stated : t && t->ne[0] <= LIMIT_FF ? (int)t->ne[0] : 0;
}

static int load_shared(struct loader *l, int i, struct bk_moe *m)
{
    int64_t d = l->hp->n_embd;
    int stated = l->hp->moe.n_ff_shared ? l->hp->moe.n_ff_shared : l->hp->moe.n_ff * l->hp->moe.n_shared;
    if (!find(l, i, "ffn_down_shexp", "weight") && !l->hp->moe.n_shared)
        return 0;
    m->n_ff_shared = width(l, i, "ffn_down_shexp", stated);
    int rc = linear(l, i, "ffn_gate_shexp", d, m->n_ff_shared, MAY, &m->sh_gate);
    if (!rc)
        rc = linear(l, i, "ffn_up_shexp", d, m->n_ff_shared, MAY, &m->sh_up);
    if (!rc)
        rc = linear(l, i, "ffn_down_shexp", m->n_ff_shared, d, MAY, &m->sh_down);
    return rc ? rc : tensor(l, named(l, i, "ffn_gate_inp_shexp", "weight"), MAY, BK_VECTOR, d, 1, 1, &m->sh_scale);
}

static int load_experts(struct loader *l, int i, struct bk_moe *m)
{
    const struct hparams *hp = l->hp;
    const struct hp_moe *h = &hp->moe;
    int64_t d = hp->n_embd, e = h->n_expert;
    *m = (struct bk_moe){.n_expert = h->n_expert, .n_used = h->n_used, .n_group = h->n_group, .n_group_used = h->n_group_used,
                         .gating = h->gating, .normalize = h->normalize, .weight_scale = (float)h->scale, .act = hp->arch->act,
                         .limit = hp->arch->act_limit, .sh_limit = hp->arch->act_limit, .out_scale = hp->out_scale, .replace = hp->arch->csa};
    if (hp->arch->csa) {
        m->limit = hp->layer[i].limit;
        m->sh_limit = hp->layer[i].sh_limit;
    }
    m->n_ff = width(l, i, "ffn_down_exps", h->n_ff);
    int rc = rms(l, i, ffn_norm(l), d, &m->in);
    if (!rc)
        rc = tensor(l, named(l, i, "ffn_gate_inp", "weight"), MUST, BK_MATRIX, d, e, 1, &m->router);
    if (!rc)
        rc = tensor(l, named(l, i, "ffn_gate_inp", "bias"), hp->arch->router_bias ? MUST : MAY, BK_VECTOR, e, 1, 1, &m->router_bias);
    if (!rc)
        rc = tensor(l, named(l, i, "exp_probs_b", "bias"), MAY, BK_VECTOR, e, 1, 1, &m->select_bias);
    if (!rc && i < hp->csa.n_hash)
        rc = load_by_token(l, i, m);
    m->group_by_top2 = m->select_bias != NULL; /* V3's rule; V2 takes the best expert */
    if (!rc && find(l, i, "ffn_gate_up_exps", "weight")) {
        rc = stack(l, i, "ffn_gate_up_exps", d, 2 * (int64_t)m->n_ff, e, &m->gate);
    } else if (!rc) {
        rc = stack(l, i, "ffn_gate_exps", d, m->n_ff, e, &m->gate);
        if (!rc)
            rc = stack(l, i, "ffn_up_exps", d, m->n_ff, e, &m->up);
    }
    if (!rc)
        rc = stack(l, i, "ffn_down_exps", m->n_ff, d, e, &m->down);
    return rc ? rc : load_shared(l, i, m);
}

static int load_layer(struct loader *l, int i)
{
    struct net_layer *y = &l->n->layer[i];
    const struct bk_ops *ops = l->n->ops;
    l->n->kv[i] = net_kv(l->hp, i);
    y->mla = l->hp->arch->mla;
    y->csa = l->hp->arch->csa;
    y->moe = l->hp->layer[i].moe;
    if ((y->mla && !ops->attn_mla) || (y->csa && (!ops->attn_csa || !ops->streams)) || (y->moe && !ops->moe))
        return err_set(l->err, ERR_FORMAT, "%s: the %s backend has no %s", gguf_path(l->g), ops->name,
                       y->mla ? "latent attention" : y->csa ? "compressed attention" : "experts");
    int rc = y->mla ? load_latent(l, i, &y->attn.latent) : y->csa ? load_csa(l, i, &y->attn.csa) : load_attn(l, i, &y->attn.gqa);
    if (!rc && y->csa)
        rc = load_streams(l, i, "hc_attn", "hc_attn", false, &y->streams[0]);
    if (!rc && y->csa)
        rc = load_streams(l, i, "hc_ffn", "hc_ffn", false, &y->streams[1]);
    if (!rc)
        rc = y->moe ? load_experts(l, i, &y->ffn.experts) : load_ffn(l, i, &y->ffn.dense);
    const struct hp_layer *h = &l->hp->layer[i];
    int streams = y->csa ? l->hp->csa.n_streams * l->hp->n_embd : 0;
    int d_k = y->mla ? l->n->kv[i].d_k : l->hp->d_k, d_v = y->mla ? l->n->kv[i].d_v : l->hp->d_v; /* as attention sees them */
    int heads = h->n_head * (d_k > d_v ? d_k : d_v), qkv = h->n_head * d_k + l->n->kv[i].n_kv * (d_k + d_v);
    int wide = y->moe ? y->ffn.experts.n_ff > y->ffn.experts.n_ff_shared ? y->ffn.experts.n_ff : y->ffn.experts.n_ff_shared : h->n_ff;
    l->n->n_wide = wide > l->n->n_wide ? wide : l->n->n_wide;
    l->n->n_qkv = heads > l->n->n_qkv ? heads : l->n->n_qkv;
    l->n->n_qkv = qkv > l->n->n_qkv ? qkv : l->n->n_qkv;
    l->n->n_qkv = streams > l->n->n_qkv ? streams : l->n->n_qkv;
    return rc;
}

/* ---- rope ---- */

/* The factors that a file gives to the angles, all 1 without `name`. */
static int read_factors(struct loader *l, const char *role, enum need need, float *factor, int half)
{
    const struct gguf_tensor *t = find(l, -1, role, "weight");
    if (!t) /* a few files repeat it per block */
        t = find(l, 0, role, "weight");
    for (int i = 0; i < half; i++)
        factor[i] = 1;
    if (!t && need == MUST)
        return err_set(l->err, ERR_FORMAT, "%s: the tensor %s is missing", gguf_path(l->g), named(l, -1, role, "weight"));
    if (!t)
        return 0;
    int rc = check_tensor(l, t, l->name, true, (int64_t[]){half, 1, 1});
    if (rc)
        return rc;
    quant_traits(t->type)->decode(t->data, factor, half);
    l->used++;
    for (int i = 0; i < half; i++)
        if (!isfinite(factor[i]) || factor[i] <= 0)
            return err_set(l->err, ERR_FORMAT, "%s: %s has the value %g at %d; finite and above 0 is wanted", gguf_path(l->g), l->name,
                           (double)factor[i], i);
    return 0;
}

/* Angles per position: base^(-2i/n_rot) / factor_i, then linear or YaRN scaling (spec: archs 2). In double, once. */
static float *angles(const struct hparams *hp, double base, bool scaled, const float *factor)
{
    int half = hp->n_rot / 2;
    float *freq = mem_array((size_t)half, sizeof *freq);
    double low = hp->n_rot * log(hp->n_ctx_orig / (2 * M_PI * hp->yarn_fast)) / (2 * log(base));
    double high = hp->n_rot * log(hp->n_ctx_orig / (2 * M_PI * hp->yarn_slow)) / (2 * log(base));
    low = fmax(0, hp->arch->exact_yarn ? low : floor(low));
    high = fmin(hp->n_rot - 1, hp->arch->exact_yarn ? high : ceil(high));
    for (int i = 0; i < half; i++) {
        double f = pow(base, -2.0 * i / hp->n_rot) / (double)factor[i], s = f * hp->rope_scale;
        if (hp->yarn) {
            double y = (i - low) / fmax(0.001, high - low);
            double ramp = (1 - fmin(1, fmax(0, y))) * hp->yarn_ext;
            s = s * (1 - ramp) + f * ramp;
        }
        freq[i] = (float)(scaled ? s : f);
    }
    return freq;
}

static int make_freq(struct loader *l)
{
    const struct hparams *hp = l->hp;
    int half = hp->n_rot / 2, rc;
    float *factor = mem_array((size_t)half, sizeof *factor);
    for (int i = 0; i < half; i++)
        factor[i] = 1;
    if (hp->arch->plain_local_rope)
        l->n->freq[FREQ_LOCAL] = angles(hp, hp->local_base, false, factor);
    rc = read_factors(l, hp->longrope ? "rope_factors_short" : "rope_freqs", hp->longrope ? MUST : MAY, factor, half);
    if (!rc)
        l->n->freq[FREQ_MAIN] = angles(hp, hp->rope_base, true, factor);
    if (!rc && hp->longrope)
        rc = read_factors(l, "rope_factors_long", MUST, factor, half);
    if (!rc && hp->longrope)
        l->n->freq[FREQ_FAR] = angles(hp, hp->rope_base, true, factor);
    free(factor);
    return rc;
}

/* ---- the whole ---- */

int net_load(struct net *n, const struct gguf *g, const struct hparams *hp, struct err *err)
{
    struct loader l = {.n = n, .g = g, .hp = hp, .err = err};
    n->n_layer = hp->n_layer;
    n->n_vocab = hp->n_vocab;
    n->layer = mem_array((size_t)hp->n_layer, sizeof *n->layer);
    n->kv = mem_array((size_t)hp->n_layer, sizeof *n->kv);
    n->made = mem_array(2 * (size_t)hp->n_layer, sizeof *n->made);
    n->by_token = mem_array((size_t)hp->n_layer, sizeof *n->by_token);
    bool tied = !gguf_tensor(g, "output.weight");
    int rc = make_freq(&l);
    n->embed.scale = hp->embed_scale;
    n->head.scale = hp->logit_scale;
    n->head.softcap = hp->final_softcap;
    if (!rc)
        rc = tensor(&l, "token_embd.weight", MUST, tied ? BK_EMBED_HEAD : BK_EMBED, hp->n_embd, hp->n_vocab, 1, &n->embed.w);
    for (int i = 0; !rc && i < hp->n_layer; i++)
        rc = load_layer(&l, i);
    if (!rc && hp->arch->csa)
        rc = load_streams(&l, -1, "output_hc", "hc_head", true, &n->streams);
    if (!rc)
        rc = rms(&l, -1, "output_norm", hp->n_embd, &n->head.norm);
    if (!rc && tied)
        n->head.out.w = n->embed.w;
    else if (!rc)
        rc = tensor(&l, "output.weight", MUST, BK_MATRIX, hp->n_embd, hp->n_vocab, 1, &n->head.out.w);
    if (!rc && (size_t)l.used < gguf_n_tensors(g))
        log_say("%s: %zu of %zu tensors are not used", gguf_path(g), gguf_n_tensors(g) - (size_t)l.used, gguf_n_tensors(g));
    return rc;
}

void net_loaded(struct net *n)
{
    while (n->n_made)
        free(n->made[--n->n_made]);
}

void net_finish(struct net *n)
{
    net_loaded(n);
    free(n->made);
    for (int i = 0; n->by_token && i < n->n_layer; i++)
        free(n->by_token[i]);
    free(n->by_token);
    free(n->layer);
    free(n->kv);
    for (int i = 0; i < NET_FREQS; i++)
        free(n->freq[i]);
    *n = (struct net){0};
}

/* ---- a pass ---- */

static int attention(const struct net *n, const struct net_layer *y, bool far, struct err *err)
{
    if (y->mla)
        return n->ops->attn_mla(n->bk, &y->attn.latent, err);
    if (y->csa)
        return n->ops->attn_csa(n->bk, &y->attn.csa, err);
    if (!far || !n->freq[FREQ_FAR])
        return n->ops->attn_gqa(n->bk, &y->attn.gqa, err);
    struct bk_attn_gqa a = y->attn.gqa;
    a.rope.freq = n->freq[FREQ_FAR];
    return n->ops->attn_gqa(n->bk, &a, err);
}

static int feed_forward(const struct net *n, const struct net_layer *y, struct err *err)
{
    return y->moe ? n->ops->moe(n->bk, &y->ffn.experts, err) : n->ops->ffn(n->bk, &y->ffn.dense, err);
}

/* A step of the residual streams, where there are several. */
static int streams(const struct net *n, const struct bk_streams *s, enum bk_streams_step step, struct err *err)
{
    return n->streams.n ? n->ops->streams(n->bk, s, step, err) : 0;
}

static int run_layer(const struct net *n, const struct net_layer *y, bool far, struct err *err)
{
    int rc = streams(n, &y->streams[0], BK_STREAMS_PRE, err);
    if (!rc)
        rc = attention(n, y, far, err);
    if (!rc)
        rc = streams(n, &y->streams[0], BK_STREAMS_POST, err);
    if (!rc)
        rc = streams(n, &y->streams[1], BK_STREAMS_PRE, err);
    if (!rc)
        rc = feed_forward(n, y, err);
    return rc ? rc : streams(n, &y->streams[1], BK_STREAMS_POST, err);
}

int net_forward(const struct net *n, struct bk_kv *kv, const struct bk_batch *batch, bool far, int row0, float *logits,
                bool (*go)(void *arg), void *arg, struct err *err)
{
    const struct bk_ops *ops = n->ops;
    int rc = ops->begin(n->bk, kv, batch, err);
    if (!rc)
        rc = ops->embed(n->bk, &n->embed, err);
    if (!rc)
        rc = streams(n, &n->streams, BK_STREAMS_BEGIN, err);
    for (int i = 0; !rc && i < n->n_layer; i++) {
        rc = run_layer(n, &n->layer[i], far, err);
        if (!rc && go && !go(arg))
            rc = err_set(err, ERR_CANCELLED, "stopped");
    }
    if (!rc && logits)
        rc = streams(n, &n->streams, BK_STREAMS_END, err);
    if (!rc && logits)
        rc = ops->head(n->bk, &n->head, row0, logits, err);
    return rc;
}
