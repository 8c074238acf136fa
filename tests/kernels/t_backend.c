/*
 * The CPU backend's blocks against a plain reference in double precision, and against themselves: the same bits for any
 * number of threads, any cut into batches, after a rewind, and over pages that were copied. main() runs everything once for each instruction
 * set this machine has.
 */
#include "config.h"
#include "tests/t.h"

#include "kernels/cpu.h"
#include "tests/isa.h"
#include "tests/kernels/rig.h"

#define VOCAB 97
#define CTX 700

/* ---- nets of one block ---- */

struct attn_case {
    const char *name;
    int d, n_head, n_kv, d_k, d_v, n; /* n: positions */
    enum bk_rope_kind rope;
    int n_rot;
    float magnitude;
    int window;
    float softcap, out_scale;
    bool sinks, fused, bias, f16;
    enum bk_norm_kind qk_norm, post;
    bool layer; /* LayerNorm in front */
    enum qtype type;
};

/* What is 0 is as in defaults() below. */
static const struct attn_case attn_cases[] = {
    {"plain", .rope = BK_ROPE_NORM},
    {"long, half-split rope", .n = 560, .rope = BK_ROPE_NEOX},
    {"part of the head rotates, magnitude", .rope = BK_ROPE_NEOX, .n_rot = 6, .magnitude = 1.1386f},
    {"part of the head rotates in pairs", .rope = BK_ROPE_NORM, .n_rot = 10, .magnitude = 0.9f},
    {"no rope", .n = 40},
    {"norms of heads, fused, bias", .n = 90, .rope = BK_ROPE_NEOX, .qk_norm = BK_NORM_RMS, .fused = true, .bias = true},
    {"window", .n = 540, .rope = BK_ROPE_NORM, .window = 8},
    {"window over splits", .n = 540, .rope = BK_ROPE_NORM, .window = 270, .sinks = true},
    {"softcap, post norm, scaled", .rope = BK_ROPE_NORM, .softcap = 1.5f, .post = BK_NORM_RMS, .out_scale = 0.7f},
    {"sinks", .rope = BK_ROPE_NORM, .sinks = true},
    {"layer norm", .n = 40, .layer = true, .bias = true, .post = BK_NORM_LAYER},
    {"odd widths", .d = 37, .n_head = 6, .n_kv = 2, .d_k = 10, .d_v = 7, .rope = BK_ROPE_NORM},
    {"one group of seven, wide values", .d = 48, .n_head = 7, .n_kv = 1, .d_k = 20, .d_v = 80, .rope = BK_ROPE_NEOX},
    {"every head its own", .d = 64, .n_head = 5, .n_kv = 5, .d_k = 12, .d_v = 16, .rope = BK_ROPE_NEOX, .n_rot = 8, .f16 = true},
    {"f16 cache", .n = 300, .rope = BK_ROPE_NEOX, .f16 = true},
    {"f16 cache, odd widths", .d = 37, .n_head = 6, .n_kv = 2, .d_k = 10, .d_v = 7, .rope = BK_ROPE_NORM, .f16 = true},
    {"Q8_0", .d = 64, .n_head = 6, .n_kv = 2, .d_k = 32, .d_v = 32, .rope = BK_ROPE_NORM, .f16 = true, .bias = true, .type = Q_Q8_0},
    {"Q4_1, heads that are no whole blocks", .d = 64, .n_head = 4, .n_kv = 4, .d_k = 16, .d_v = 24, .rope = BK_ROPE_NEOX, .fused = true,
     .type = Q_Q4_1},
};

static struct attn_case defaults(struct attn_case c)
{
    if (!c.d)
        c.d = 48, c.n_head = 4, c.n_kv = 2, c.d_k = 16, c.d_v = 16;
    c.n = c.n ? c.n : 275;
    c.n_rot = c.n_rot ? c.n_rot : c.d_k;
    c.magnitude = c.magnitude > 0 ? c.magnitude : 1;
    c.out_scale = c.out_scale > 0 ? c.out_scale : 1;
    return c;
}

struct ffn_case {
    const char *name;
    int d, n_ff;
    enum bk_act act;
    float limit, out_scale;
    bool fused, bias, layer, unweighted;
    enum bk_norm_kind post;
    enum qtype type;
};

static const struct ffn_case ffn_cases[] = {
    {"plain", .d = 48, .n_ff = 96, .out_scale = 1},
    {"odd widths", .d = 37, .n_ff = 51, .out_scale = 1, .bias = true},
    {"fused", .d = 48, .n_ff = 64, .out_scale = 1, .fused = true, .bias = true},
    {"fused, odd widths", .d = 40, .n_ff = 77, .out_scale = 1, .fused = true},
    {"gelu, post norm", .d = 48, .n_ff = 96, .act = BK_GELU_TANH, .out_scale = 1, .post = BK_NORM_RMS},
    {"limit, scaled", .d = 48, .n_ff = 96, .limit = 0.4f, .out_scale = -0.3f},
    {"layer norm", .d = 48, .n_ff = 32, .layer = true, .out_scale = 1, .bias = true},
    {"no weights in the norm", .d = 48, .n_ff = 32, .unweighted = true, .out_scale = 1},
    {"Q8_0", .d = 96, .n_ff = 160, .out_scale = 1, .bias = true, .type = Q_Q8_0},
    {"Q4_1, fused", .d = 96, .n_ff = 160, .out_scale = 1, .fused = true, .type = Q_Q4_1, .post = BK_NORM_RMS},
};

struct net {
    struct rig r;
    int d, n;
    bool f16;
    struct bk_embed embed;
    struct bk_head head;
    bool has_attn;
    struct bk_attn_gqa attn;
    struct bk_ffn ffn;
    float freq[64];
    int32_t tokens[CTX];
};

static void ends(struct net *n)
{
    n->embed = (struct bk_embed){rig_make(&n->r, "embed", BK_EMBED, Q_F32, VOCAB, n->d, 0, 1), 1};
    n->head = (struct bk_head){.out = {rig_identity(&n->r, n->d), NULL}, .scale = 1};
    uint64_t s = 7;
    for (int i = 0; i < CTX; i++)
        n->tokens[i] = (int32_t)(rig_mix(&s) % VOCAB);
}

static void ready(struct net *n, int n_ff, int n_qkv, const struct bk_kv_layer *l)
{
    struct err err = {0};
    struct bk_kv_conf conf = {n->f16 ? BK_KV_F16 : BK_KV_F32, CTX, 1, l};
    if (n->r.ops->weights_ready(n->r.bk, NULL, NULL, &err) || n->r.ops->reserve(n->r.bk, n->d, n_ff, n_qkv, VOCAB, 512, &err) ||
        n->r.ops->kv_create(n->r.bk, &conf, &n->r.kv, &err))
        fail_msg("%s", err.msg);
}

static struct bk_norm make_norm(struct rig *r, enum bk_norm_kind kind, const char *name, const char *bias, int n)
{
    struct bk_norm m = {.kind = kind, .eps = 1e-5f};
    if (kind != BK_NORM_NONE)
        m.w = rig_make(r, name, BK_VECTOR, Q_F32, 1, n, 1, 0.3);
    if (kind == BK_NORM_LAYER)
        m.b = rig_make(r, bias, BK_VECTOR, Q_F16, 1, n, 0, 0.2);
    return m;
}

static struct bk_linear make_linear(struct rig *r, enum qtype type, const char *name, const char *bias, int rows, int cols, double gain)
{
    struct bk_linear l = {rig_make(r, name, BK_MATRIX, type, rows, cols, 0, gain * sqrt(3.0 / cols)), NULL};
    if (bias)
        l.b = rig_make(r, bias, BK_VECTOR, Q_F32, 1, rows, 0, 0.3);
    return l;
}

static struct net *make_attn(const struct attn_case *given, int threads)
{
    const struct attn_case full = defaults(*given), *c = &full;
    struct net *n = calloc(1, sizeof *n);
    struct rig *r = &n->r;
    rig_open(r, threads, 1);
    n->d = c->d;
    n->n = c->n;
    n->f16 = c->f16;
    n->has_attn = true;
    ends(n);
    int nq = c->n_head * c->d_k, nk = c->n_kv * c->d_k, nv = c->n_kv * c->d_v, no = c->n_head * c->d_v;
    for (int i = 0; i < c->n_rot / 2; i++)
        n->freq[i] = (float)pow(100, -2.0 * i / c->n_rot);
    struct bk_attn_gqa *a = &n->attn;
    *a = (struct bk_attn_gqa){.n_head = c->n_head, .n_kv = c->n_kv, .d_k = c->d_k, .d_v = c->d_v, .scale = 1.3f / sqrtf((float)c->d_k),
                              .softcap = c->softcap, .window = c->window, .out_scale = c->out_scale};
    a->rope = (struct bk_rope){c->rope, c->n_rot, n->freq, c->magnitude};
    a->in = make_norm(r, c->layer ? BK_NORM_LAYER : BK_NORM_RMS, "in", "in.b", c->d);
    a->q_norm = make_norm(r, c->qk_norm, "q_norm", NULL, c->d_k);
    a->k_norm = make_norm(r, c->qk_norm, "k_norm", NULL, c->d_k);
    if (c->fused) {
        a->q = make_linear(r, c->type, "qkv", c->bias ? "qkv.b" : NULL, nq + nk + nv, c->d, 1.5);
    } else {
        a->q = make_linear(r, c->type, "q", c->bias ? "q.b" : NULL, nq, c->d, 1.5);
        a->k = make_linear(r, c->type, "k", c->bias ? "k.b" : NULL, nk, c->d, 1.5);
        a->v = make_linear(r, c->type, "v", c->bias ? "v.b" : NULL, nv, c->d, 1);
    }
    if (c->sinks)
        a->sinks = rig_make(r, "sinks", BK_VECTOR, Q_F32, 1, c->n_head, 1, 2);
    a->o = make_linear(r, c->type, "o", c->bias ? "o.b" : NULL, c->d, no, 1);
    a->post = make_norm(r, c->post, "post", "post.b", c->d);
    struct bk_kv_layer l = {c->n_kv, c->d_k, c->d_v, c->window, 0};
    ready(n, 1, nq + nk + nv > no ? nq + nk + nv : no, &l);
    return n;
}

static struct net *make_ffn(const struct ffn_case *c, int threads)
{
    struct net *n = calloc(1, sizeof *n);
    struct rig *r = &n->r;
    rig_open(r, threads, 2);
    n->d = c->d;
    n->n = 100;
    ends(n);
    struct bk_ffn *f = &n->ffn;
    *f = (struct bk_ffn){.act = c->act, .limit = c->limit, .n_ff = c->n_ff, .out_scale = c->out_scale};
    if (c->unweighted)
        f->in = (struct bk_norm){.kind = BK_NORM_RMS, .eps = 1e-3f};
    else
        f->in = make_norm(r, c->layer ? BK_NORM_LAYER : BK_NORM_RMS, "in", "in.b", c->d);
    f->gate = make_linear(r, c->type, "gate", c->bias ? "gate.b" : NULL, c->fused ? 2 * c->n_ff : c->n_ff, c->d, 1.5);
    if (!c->fused)
        f->up = make_linear(r, c->type, "up", c->bias ? "up.b" : NULL, c->n_ff, c->d, 1);
    f->down = make_linear(r, c->type, "down", c->bias ? "down.b" : NULL, c->d, c->n_ff, 1);
    f->post = make_norm(r, c->post, "post", "post.b", c->d);
    struct bk_kv_layer l = {1, 1, 1, 0, 0};
    ready(n, c->n_ff, 1, &l);
    return n;
}

static void drop(struct net *n)
{
    rig_close(&n->r);
    free(n);
}

/* ---- running ---- */

/* Positions [from, to) in batches of `cut`; x of each into out (CTX, d). */
static void pass(struct net *n, struct bk_kv *kv, int from, int to, int cut, float *out)
{
    struct err err = {0};
    for (int pos = from; pos < to; pos += cut) {
        int part = to - pos < cut ? to - pos : cut;
        struct bk_batch batch = {n->tokens + pos, part, pos};
        int rc = n->r.ops->begin(n->r.bk, kv, &batch, &err);
        if (!rc)
            rc = n->r.ops->embed(n->r.bk, &n->embed, &err);
        if (!rc)
            rc = n->has_attn ? n->r.ops->attn_gqa(n->r.bk, &n->attn, &err) : n->r.ops->ffn(n->r.bk, &n->ffn, &err);
        if (!rc)
            rc = n->r.ops->head(n->r.bk, &n->head, 0, out + (size_t)pos * (size_t)n->d, &err);
        if (rc)
            fail_msg("%s", err.msg);
    }
}

static float *row_memory(const struct net *n)
{
    return calloc((size_t)CTX * (size_t)n->d, sizeof(float));
}

static void same_bits(const char *name, const char *what, const struct net *n, const float *a, const float *b)
{
    for (int t = 0; t < n->n; t++)
        if (memcmp(a + (size_t)t * (size_t)n->d, b + (size_t)t * (size_t)n->d, (size_t)n->d * sizeof *a) != 0)
            fail_msg("%s: %s: position %d differs", name, what, t);
}

static void near_reference(const char *name, const struct net *n, const float *got, double limit)
{
    double *x = calloc((size_t)n->n * (size_t)n->d, sizeof *x), top = 0, worst = 0;
    const double *e = rig_value(&n->r, n->embed.w);
    for (int t = 0; t < n->n; t++)
        memcpy(x + (size_t)t * (size_t)n->d, e + (size_t)n->tokens[t] * (size_t)n->d, (size_t)n->d * sizeof *x);
    if (n->has_attn)
        ref_attn(&n->r, &n->attn, n->f16, x, n->n, n->d);
    else
        ref_ffn(&n->r, &n->ffn, x, n->n, n->d);
    for (size_t i = 0; i < (size_t)n->n * (size_t)n->d; i++) {
        top = fmax(top, fabs(x[i]));
        worst = fabs(x[i] - (double)got[i]) <= worst ? worst : fabs(x[i] - (double)got[i]);
    }
    free(x);
    if (!(worst <= limit * top))
        fail_msg("%s: off by %.3g of %.3g, %.3g is allowed", name, worst, top, limit * top);
}

/* One net: against the reference, over cuts, threads and a rewind. */
static void check_net(const char *name, struct net *(*make)(const void *c, int threads), const void *c, double limit)
{
    struct net *n = make(c, 1);
    float *whole = row_memory(n), *other = row_memory(n);
    pass(n, n->r.kv, 0, n->n, 512, whole);
    near_reference(name, n, whole, limit);
    static const int cuts[] = {1, 3, 16, 61};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) { /* each begins at 0 again: a rewind over a filled cache */
        char what[32];
        snprintf(what, sizeof what, "batches of %d", cuts[i]);
        memset(other, 0, (size_t)CTX * (size_t)n->d * sizeof *other);
        pass(n, n->r.kv, 0, n->n, cuts[i], other);
        same_bits(name, what, n, whole, other);
    }
    /* Other tokens behind the middle, then the right ones. */
    int half = n->n / 2 + 5, saved = n->tokens[half];
    n->tokens[half] = (saved + 1) % VOCAB;
    pass(n, n->r.kv, half, n->n, 512, other);
    n->tokens[half] = saved;
    pass(n, n->r.kv, half, half + 1, 1, other);
    pass(n, n->r.kv, half + 1, n->n, 100, other);
    same_bits(name, "rewind", n, whole, other);
    drop(n);
    for (int threads = 2; threads <= 3; threads++) {
        n = make(c, threads);
        pass(n, n->r.kv, 0, n->n, 512, other);
        same_bits(name, threads == 2 ? "2 threads" : "3 threads", n, whole, other);
        pass(n, n->r.kv, n->n - 40, n->n, threads == 2 ? 1 : 4, other);
        same_bits(name, threads == 2 ? "2 threads, one by one" : "3 threads, batches of 4", n, whole, other);
        for (int pos = n->n - 20; pos < n->n; pos++) { /* fewer and more of them in turn, as when other processes come and go */
            n->r.bk->pace.level = pos % threads;
            pass(n, n->r.kv, pos, pos + 1, 1, other);
        }
        same_bits(name, "some of the threads", n, whole, other);
        drop(n);
    }
    free(whole);
    free(other);
}

static struct net *any_attn(const void *c, int threads)
{
    return make_attn(c, threads);
}

static struct net *any_ffn(const void *c, int threads)
{
    return make_ffn(c, threads);
}

static void attention_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attn_cases / sizeof attn_cases[0]; i++) {
        const struct attn_case *c = &attn_cases[i];
        check_net(c->name, any_attn, c, c->type != Q_F32 ? 2e-2 : c->f16 ? 1e-3 : 3e-6);
    }
}

static void feed_forward_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ffn_cases / sizeof ffn_cases[0]; i++)
        check_net(ffn_cases[i].name, any_ffn, &ffn_cases[i], ffn_cases[i].type != Q_F32 ? 2e-2 : 3e-6);
}

/* ---- ends of a pass ---- */

static void embedding_and_head(void **state)
{
    (void)state;
    enum { D = 64, N = 20, FROM = 17 };
    static const enum qtype types[] = {Q_F32, Q_F16, Q_Q8_0};
    for (int k = 0; k < 6; k++) {
        enum qtype type = types[k % 3];
        bool tied = k < 3;
        struct rig r;
        rig_open(&r, 2, 3);
        const struct bk_weight *e = rig_make(&r, "embed", tied ? BK_EMBED_HEAD : BK_EMBED, type, VOCAB, D, 0, 1);
        const struct bk_weight *o = tied ? e : rig_make(&r, "output", BK_MATRIX, type, VOCAB, D, 0, 1);
        struct bk_head h = {make_norm(&r, BK_NORM_RMS, "norm", NULL, D), {o, rig_make(&r, "bias", BK_VECTOR, Q_F32, 1, VOCAB, 0, 1)}, 3, 0.5f};
        struct bk_embed em = {e, 2.5f};
        struct bk_kv_layer l = {1, 1, 1, 0, 0};
        struct bk_kv_conf conf = {BK_KV_F16, N, 1, &l};
        assert_int_equal(r.ops->weights_ready(r.bk, NULL, NULL, NULL), 0);
        assert_int_equal(r.ops->reserve(r.bk, D, 1, 1, VOCAB, N, NULL), 0);
        assert_int_equal(r.ops->kv_create(r.bk, &conf, &r.kv, NULL), 0);
        int32_t tokens[N];
        for (int i = 0; i < N; i++)
            tokens[i] = (int32_t)(i * 31 % VOCAB);
        float all[N * VOCAB], last[(N - FROM) * VOCAB];
        struct bk_batch b = {tokens, N, 0};
        assert_int_equal(r.ops->begin(r.bk, r.kv, &b, NULL), 0);
        assert_int_equal(r.ops->embed(r.bk, &em, NULL), 0);
        assert_int_equal(r.ops->head(r.bk, &h, 0, all, NULL), 0);
        assert_int_equal(r.ops->head(r.bk, &h, FROM, last, NULL), 0);
        assert_memory_equal(all + FROM * VOCAB, last, sizeof last);
        for (int t = 0; t < N; t++) {
            double x[D], y[VOCAB];
            for (int i = 0; i < D; i++)
                x[i] = 2.5 * rig_value(&r, e)[tokens[t] * D + i];
            ref_norm(&r, &h.norm, x, D, x);
            ref_linear(&r, &h.out, 0, VOCAB, x, D, y);
            for (int i = 0; i < VOCAB; i++) {
                double want = 3 * tanh(0.5 * y[i] / 3);
                if (!(fabs(want - (double)all[t * VOCAB + i]) < (type == Q_Q8_0 ? 5e-2 : 1e-5)))
                    fail_msg("type %d, token %d, logit %d: %.7g, %.7g is wanted", (int)type, t, i, (double)all[t * VOCAB + i], want);
            }
        }
        rig_close(&r);
    }
}

/* ---- pages ---- */

static void pages_move(void **state)
{
    (void)state;
    for (int f16 = 0; f16 < 2; f16++) {
        struct attn_case c = defaults(attn_cases[1]);
        c.f16 = f16;
        struct net *n = make_attn(&c, 2);
        const struct bk_ops *ops = n->r.ops;
        float *whole = row_memory(n), *other = row_memory(n);
        struct bk_kv_layer l = {c.n_kv, c.d_k, c.d_v, 0, 0};
        struct bk_kv_conf conf = {f16 ? BK_KV_F16 : BK_KV_F32, CTX, 1, &l};
        struct bk_kv *copied = NULL, *written = NULL;
        pass(n, n->r.kv, 0, n->n, 512, whole);
        memcpy(other, whole, (size_t)CTX * (size_t)n->d * sizeof *other);
        assert_int_equal(ops->kv_create(n->r.bk, &conf, &copied, NULL), 0);
        assert_int_equal(ops->kv_create(n->r.bk, &conf, &written, NULL), 0);
        size_t bytes = ops->kv_page_bytes(n->r.kv);
        assert_int_equal(bytes, (size_t)BK_PAGE * (size_t)(c.n_kv * (c.d_k + c.d_v)) * (f16 ? 2 : 4));
        assert_true(ops->kv_bytes(&conf) >= bytes * (CTX / BK_PAGE));
        char *page = malloc(bytes), *again = malloc(bytes);
        for (int p = 0; p < 5; p++) {
            assert_int_equal(ops->kv_copy(copied, n->r.kv, p, NULL), 0);
            assert_int_equal(ops->kv_read(n->r.kv, p, page, NULL), 0);
            assert_int_equal(ops->kv_write(written, p, page, NULL), 0);
            assert_int_equal(ops->kv_read(written, p, again, NULL), 0);
            assert_memory_equal(page, again, bytes);
        }
        pass(n, copied, 5 * BK_PAGE, n->n, 40, other);
        same_bits("copied pages", "the rest", n, whole, other);
        pass(n, written, 5 * BK_PAGE, n->n, 1, other);
        same_bits("written pages", "the rest", n, whole, other);
        free(page);
        free(again);
        ops->kv_destroy(written);
        drop(n); /* the other caches go with the backend */
        free(whole);
        free(other);
    }
}

/* ---- what is refused ---- */

#define REFUSED(call, code, text) \
    do { \
        struct err err = {0}; \
        assert_int_equal(call, code); \
        if (!strstr(err.msg, text)) \
            fail_msg("\"%s\" does not say \"%s\"", err.msg, text); \
    } while (0)

static bool no(void *arg, uint64_t done, uint64_t total)
{
    (void)arg, (void)done, (void)total;
    return false;
}

static void weights_are_checked(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 1, 1);
    const struct bk_ops *o = r.ops;
    float data[64] = {0};
    struct bk_weight *w = NULL;
    struct bk_tensor t = {"x.weight", Q_F32, {8, 8, 1, 1}, data, sizeof data};
    t.ne[2] = 3;
    REFUSED(o->weight(r.bk, &t, BK_EXPERTS, &w, &err), ERR_FORMAT, "too few");
    t.ne[2] = 1;
    t.bytes--;
    REFUSED(o->weight(r.bk, &t, BK_MATRIX, &w, &err), ERR_FORMAT, "too few");
    t.bytes++;
    t.ne[2] = 2;
    REFUSED(o->weight(r.bk, &t, BK_MATRIX, &w, &err), ERR_FORMAT, "no matrix");
    t.ne[2] = 1;
    t.type = Q_I32;
    REFUSED(o->weight(r.bk, &t, BK_MATRIX, &w, &err), ERR_FORMAT, "type I32");
    t.type = (enum qtype)4;
    REFUSED(o->weight(r.bk, &t, BK_MATRIX, &w, &err), ERR_FORMAT, "x.weight is of type");
    t.type = Q_F32;
    assert_null(w);
    assert_int_equal(o->weight(r.bk, &t, BK_MATRIX, &w, NULL), 0);
    REFUSED(o->weights_ready(r.bk, no, NULL, &err), ERR_CANCELLED, "stopped");
    rig_close(&r);
    rig_open(&r, 1, 1);
    assert_int_equal(o->weight(r.bk, &t, BK_MATRIX, &w, NULL), 0);
    assert_int_equal(o->weights_ready(r.bk, NULL, NULL, NULL), 0);
    REFUSED(o->weight(r.bk, &t, BK_MATRIX, &w, &err), ERR_USAGE, "too late");
    REFUSED(o->weights_ready(r.bk, NULL, NULL, &err), ERR_USAGE, "already");
    REFUSED(o->reserve(r.bk, 8, 8, 8, 8, 100000, &err), ERR_USAGE, "100000 tokens");
    assert_int_equal(o->reserve(r.bk, 8, 8, 8, 8, 4, NULL), 0);
    REFUSED(o->reserve(r.bk, 8, 8, 8, 8, 4, &err), ERR_USAGE, "already");
    rig_close(&r);
    struct bk_conf conf = {.n_threads = 0};
    struct bk *bk = NULL;
    REFUSED(o->open(&conf, &bk, &err), ERR_USAGE, "0 compute threads");
    assert_null(bk);
    o->close(NULL);
}

static void passes_are_checked(void **state)
{
    (void)state;
    struct net *n = make_attn(&attn_cases[0], 1);
    const struct bk_ops *o = n->r.ops;
    struct bk *bk = n->r.bk;
    float *x = row_memory(n);
    struct bk_batch b = {n->tokens, 1, 1};
    REFUSED(o->begin(bk, n->r.kv, &b, &err), ERR_USAGE, "position 1; 0 are filled");
    b = (struct bk_batch){n->tokens, 513, 0};
    REFUSED(o->begin(bk, n->r.kv, &b, &err), ERR_USAGE, "513 tokens");
    b.n = 0;
    REFUSED(o->begin(bk, n->r.kv, &b, &err), ERR_USAGE, "0 tokens");
    REFUSED(o->attn_gqa(bk, &n->attn, &err), ERR_USAGE, "layer 0");
    pass(n, n->r.kv, 0, CTX - 1, 512, x);
    b = (struct bk_batch){n->tokens, 2, CTX - 1};
    REFUSED(o->begin(bk, n->r.kv, &b, &err), ERR_TOOLONG, "2 tokens at position 699 do not fit into a cache of 700");
    b.pos0 = -1;
    REFUSED(o->begin(bk, n->r.kv, &b, &err), ERR_USAGE, "position -1");
    int32_t wild[2] = {3, VOCAB};
    b = (struct bk_batch){wild, 2, 5};
    assert_int_equal(o->begin(bk, n->r.kv, &b, NULL), 0);
    REFUSED(o->embed(bk, &n->embed, &err), ERR_INPUT, "token 97 is not in the vocabulary, 0 to 96");
    wild[1] = -1;
    REFUSED(o->embed(bk, &n->embed, &err), ERR_INPUT, "token -1");
    REFUSED(o->head(bk, &n->head, 2, x, &err), ERR_USAGE, "row 2 of a batch of 2");
    n->attn.layer = 1;
    REFUSED(o->attn_gqa(bk, &n->attn, &err), ERR_USAGE, "layer 1");
    n->attn.layer = 0;
    n->attn.d_k = 8;
    REFUSED(o->attn_gqa(bk, &n->attn, &err), ERR_USAGE, "does not fit its cache");
    n->attn.d_k = 16;
    n->attn.q.w = n->attn.k.w;
    REFUSED(o->attn_gqa(bk, &n->attn, &err), ERR_FORMAT, "the query matrix is 48 x 32; 48 x 64 is wanted");
    struct bk_ffn f = {.n_ff = 1, .gate = n->attn.q};
    REFUSED(o->ffn(bk, &f, &err), ERR_FORMAT, "the gate matrix");
    struct bk_embed e = {n->attn.in.w, 1};
    REFUSED(o->embed(bk, &e, &err), ERR_FORMAT, "the embedding");
    free(x);
    drop(n);
}

static void pages_are_checked(void **state)
{
    (void)state;
    struct net *n = make_attn(&attn_cases[0], 1);
    const struct bk_ops *o = n->r.ops;
    float *x = row_memory(n);
    struct bk_kv_layer l = {2, 16, 16, 0, 0}, wide = {2, 32, 16, 0, 0};
    struct bk_kv_conf conf = {BK_KV_F32, 100, 1, &l};
    struct bk_kv *small = NULL, *other = NULL;
    char *page = calloc(1, o->kv_page_bytes(n->r.kv));
    assert_int_equal(o->kv_create(n->r.bk, &conf, &small, NULL), 0);
    conf.layers = &wide;
    assert_int_equal(o->kv_create(n->r.bk, &conf, &other, NULL), 0);
    pass(n, n->r.kv, 0, 200, 200, x);
    REFUSED(o->kv_read(n->r.kv, 4, page, &err), ERR_USAGE, "page 4 of the cache is not filled: it has 200 positions");
    REFUSED(o->kv_read(n->r.kv, -1, page, &err), ERR_USAGE, "page -1");
    REFUSED(o->kv_write(small, 1, page, &err), ERR_USAGE, "page 1 of the cache cannot be filled");
    REFUSED(o->kv_write(small, INT32_MAX, page, &err), ERR_USAGE, "cannot be filled");
    REFUSED(o->kv_copy(other, n->r.kv, 0, &err), ERR_USAGE, "different shape");
    assert_int_equal(o->kv_copy(small, n->r.kv, 0, NULL), 0);
    assert_int_equal(o->kv_copy(small, n->r.kv, 1, NULL), 0);
    REFUSED(o->kv_copy(small, n->r.kv, 2, &err), ERR_USAGE, "2 pages");
    struct bk_batch b = {n->tokens, 1, 100}; /* the cache is full, not over-full */
    REFUSED(o->begin(n->r.bk, small, &b, &err), ERR_TOOLONG, "cache of 100");
    conf.layers = &(struct bk_kv_layer){INT32_MAX, INT32_MAX, INT32_MAX, 0, 0};
    conf.n_ctx = INT32_MAX;
    assert_true(o->kv_bytes(&conf) == UINT64_MAX);
    REFUSED(o->kv_create(n->r.bk, &conf, &other, &err), ERR_USAGE, "cannot be made");
    conf.layers = &(struct bk_kv_layer){0, 1, 1, 0, 0};
    REFUSED(o->kv_create(n->r.bk, &conf, &other, &err), ERR_USAGE, "cannot be made");
    o->kv_destroy(NULL);
    free(page);
    free(x);
    drop(n);
}

/* ---- how many threads ---- */

static void tokens(struct net *n, float *x, int count)
{
    for (int i = 0; i < count; i++)
        pass(n, n->r.kv, i, i + 1, 1, x);
}

static void threads_go_and_come_back(void **state)
{
    (void)state;
    struct net *n = make_attn(&attn_cases[0], 4);
    struct cpu_pace *p = &n->r.bk->pace;
    float *x = row_memory(n);
    const int ladder[] = {4, 3, 1};
    assert_int_equal(p->n_levels, 3);
    assert_memory_equal(p->threads, ladder, sizeof ladder);
    /* Threads sleep, and passes take what they never take: fewer are tried, and better. */
    p->mean = 1e12;
    p->busy = 100;
    tokens(n, x, 1);
    assert_int_equal(p->trial, 1);
    tokens(n, x, 3);
    assert_int_equal(p->level, 0);
    tokens(n, x, 1);
    assert_int_equal(p->level, 1);
    assert_int_equal(p->trial, -1);
    tokens(n, x, 1);
    assert_int_equal(n->r.bk->n_used, 3);
    pass(n, n->r.kv, 0, 20, 20, x); /* a batch is read by all */
    assert_int_equal(n->r.bk->n_used, 4);
    /* The pause is over, but more threads are no better: one pass, and a longer pause. */
    int64_t pause = p->pause;
    p->next = 0;
    p->busy = -1e6f; /* whatever this machine does */
    p->mean = 1e-3;
    tokens(n, x, 1);
    assert_int_equal(p->trial, 0);
    p->mean = 1e-3;
    tokens(n, x, 1);
    assert_int_equal(p->level, 1);
    assert_int_equal(p->trial, -1);
    assert_true(p->pause == 2 * pause);
    /* And then they are. */
    p->next = 0;
    p->busy = -1e6f; /* whatever this machine does */
    p->mean = 1e12;
    tokens(n, x, 5);
    assert_int_equal(p->level, 0);
    assert_true(p->pause == pause);
    free(x);
    drop(n);
}

static void tells_what_it_is(void **state)
{
    (void)state;
    struct net *n = make_attn(&attn_cases[0], 2);
    uint64_t weights, scratch;
    n->r.ops->memory(n->r.bk, &weights, &scratch);
    assert_true(weights > 48 * 64 * 4 && weights < 1 << 20);
    assert_true(scratch > 512 * 48 * 4);
    assert_non_null(strstr(n->r.ops->describe(n->r.bk), isa_name(isa_level())));
    assert_non_null(strstr(n->r.ops->describe(n->r.bk), "2 threads"));
    drop(n);
}

int main(int argc, char **argv)
{
    (void)argc;
    struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_blocks),    cmocka_unit_test(feed_forward_blocks), cmocka_unit_test(embedding_and_head),
        cmocka_unit_test(pages_move),          cmocka_unit_test(weights_are_checked), cmocka_unit_test(passes_are_checked),
        cmocka_unit_test(pages_are_checked),   cmocka_unit_test(tells_what_it_is),    cmocka_unit_test(threads_go_and_come_back),
    };
    return t_every_isa(argv, tests, sizeof tests / sizeof tests[0]);
}
