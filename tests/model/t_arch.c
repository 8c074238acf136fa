/*
 * Architectures that the shared goldens do not hold: tiny nets made here from a formula, their logits compared with those of the
 * authors' code in float64. These are in archs.json, which archs.py makes from the files that `t_arch --write DIR` writes.
 */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/buf.h"
#include "model/model.h"
#include "tests/isa.h"
#include "tests/model/mkgguf.h"

#define VOCAB 64
#define TOKENS 40

/* ---- nets ---- */

/*
 * With " Q8_0" behind the name matrices are of that type; then the ways of reading are compared, and that the logits are not far from
 * those of the net of the same name, if there is one.
 * keys: NAME=VALUE, a whole number, one with a point, a list of whole numbers, a word, or true. tensors: NAME:SHAPE of each block, of
 * one block (NAME@0), or once for those that are no block's.
 */
struct net {
    const char *name, *arch;
    const char *keys, *tensors;
};

#define BASE "context_length=64 embedding_length=64 attention.layer_norm_rms_epsilon=0.00001 "
#define HEADS "attention.head_count=4 attention.head_count_kv=2 attention.key_length=16 attention.value_length=16 "
#define ROT "rope.dimension_count=16 "
#define FF "feed_forward_length=96 "
#define ATTN "attn_q.weight:64x64 attn_k.weight:64x32 attn_v.weight:64x32 attn_output.weight:64x64 "
#define QKV_BIAS "attn_q.bias:64 attn_k.bias:32 attn_v.bias:32 "
#define NORMS "attn_norm.weight:64 ffn_norm.weight:64 "
#define POST "post_attention_norm.weight:64 post_ffw_norm.weight:64 "
#define FFN "ffn_gate.weight:64x96 ffn_up.weight:64x96 ffn_down.weight:96x64 "
#define EXPERTS "ffn_gate_inp.weight:64x8 ffn_gate_exps.weight:64x32x8 ffn_up_exps.weight:64x32x8 ffn_down_exps.weight:32x64x8 "
#define EIGHT "expert_count=8 expert_used_count=3 expert_feed_forward_length=32 "
#define OUT "output.weight:64x64 "
#define LATENT_Q "attn_q_a.weight:64x64 attn_q_a_norm.weight:64 attn_q_b.weight:64x256 "
#define POOL(role, block, n, ratio, d)                                                                                                         \
    role "_kv.weight@" #block ":64x" n " " role "_gate.weight@" #block ":64x" n " " role "_ape.weight@" #block ":" n "x" ratio " " role        \
         "_norm.weight@" #block ":" d " "

static const struct net nets[] = {
    {"gemma", "gemma", BASE HEADS ROT FF "block_count=2", ATTN NORMS FFN},
    {"gemma2", "gemma2", BASE HEADS ROT FF "block_count=4 attention.sliding_window=7 attn_logit_softcapping=3.0 final_logit_softcapping=5.0",
     ATTN NORMS POST FFN},
    {"olmo2", "olmo2", BASE HEADS ROT FF "block_count=2 rope.freq_base=500000.0", OUT ATTN "attn_q_norm.weight:64 attn_k_norm.weight:32 " POST FFN},
    {"olmo3", "olmo2",
     BASE HEADS ROT FF "block_count=5 rope.freq_base=500000.0 attention.sliding_window=7 rope.scaling.type=yarn rope.scaling.factor=4.0 "
                       "rope.scaling.original_context_length=16",
     OUT ATTN "attn_q_norm.weight:64 attn_k_norm.weight:32 " POST FFN},
    {"granite", "granite", BASE HEADS ROT FF "block_count=3 embedding_scale=3.0 residual_scale=0.4 logit_scale=1.7 attention.scale=0.11",
     ATTN NORMS FFN},
    {"granitemoe", "granitemoe",
     BASE HEADS ROT EIGHT "feed_forward_length=32 block_count=2 embedding_scale=3.0 residual_scale=0.4 logit_scale=1.7 attention.scale=0.11",
     ATTN NORMS EXPERTS},
    {"glm4", "glm4", BASE HEADS FF "block_count=3 rope.dimension_count=8",
     OUT ATTN QKV_BIAS NORMS POST "ffn_up.weight:64x192 ffn_down.weight:96x64"},
    {"smollm3", "smollm3", BASE HEADS ROT FF "block_count=5 rope.freq_base=2000000.0", ATTN NORMS FFN},
    {"mixtral", "llama", BASE HEADS ROT "feed_forward_length=32 expert_count=8 expert_used_count=3 block_count=2 rope.freq_base=1000000.0",
     OUT ATTN NORMS EXPERTS},
    {"mixtral Q8_0", "llama", BASE HEADS ROT "feed_forward_length=32 expert_count=8 expert_used_count=3 block_count=2 rope.freq_base=1000000.0",
     OUT ATTN NORMS EXPERTS},
    {"mistral", "llama", BASE HEADS ROT FF "block_count=2 attention.sliding_window=7", OUT ATTN NORMS FFN},
    {"qwen2moe", "qwen2moe",
     BASE HEADS ROT EIGHT "feed_forward_length=96 block_count=2 expert_shared_feed_forward_length=96 rope.freq_base=1000000.0",
     OUT ATTN QKV_BIAS NORMS EXPERTS
     "ffn_gate_inp_shexp.weight:64 ffn_gate_shexp.weight:64x96 ffn_up_shexp.weight:64x96 ffn_down_shexp.weight:96x64"},
    {"deepseek", "deepseek", BASE HEADS ROT FF EIGHT "block_count=3 leading_dense_block_count=1 expert_shared_count=2 expert_weights_scale=0.8",
     OUT ATTN NORMS "ffn_gate.weight@0:64x96 ffn_up.weight@0:64x96 ffn_down.weight@0:96x64 " EXPERTS
     "ffn_gate_shexp.weight:64x64 ffn_up_shexp.weight:64x64 ffn_down_shexp.weight:64x64"},
    {"gpt-oss", "gpt-oss",
     BASE HEADS ROT EIGHT "block_count=4 attention.sliding_window=7 rope.freq_base=150000.0 rope.scaling.type=yarn rope.scaling.factor=32.0 "
                          "rope.scaling.original_context_length=4096",
     OUT ATTN QKV_BIAS "attn_output.bias:64 attn_sinks.weight:4 attn_norm.weight:64 post_attention_norm.weight:64 ffn_gate_inp.bias:8 "
     "ffn_gate_exps.bias:32x8 ffn_up_exps.bias:32x8 ffn_down_exps.bias:64x8 " EXPERTS},
    {"deepseek32 Q8_0", "deepseek32",
     BASE FF EIGHT "block_count=3 leading_dense_block_count=1 attention.head_count=4 attention.head_count_kv=1 attention.key_length=96 "
     "attention.value_length=64 attention.key_length_mla=64 attention.value_length_mla=32 attention.kv_lora_rank=64 attention.q_lora_rank=64 "
     "rope.dimension_count=32 attention.indexer.head_count=2 attention.indexer.key_length=32 attention.indexer.top_k=9 expert_shared_count=1 "
     "expert_group_count=4 expert_group_used_count=2 expert_gating_func=2 expert_weights_norm=true expert_weights_scale=2.5",
     OUT NORMS LATENT_Q "attn_kv_a_mqa.weight:64x96 attn_kv_a_norm.weight:64 attn_k_b.weight:32x64x4 attn_v_b.weight:64x32x4 attn_output.weight:128x64 "
     "indexer.attn_q_b.weight:64x64 indexer.attn_k.weight:64x32 indexer.k_norm.weight:32 indexer.k_norm.bias:32 indexer.proj.weight:64x2 "
     "ffn_gate.weight@0:64x96 ffn_up.weight@0:64x96 ffn_down.weight@0:96x64 exp_probs_b.bias:8 " EXPERTS
     "ffn_gate_shexp.weight:64x32 ffn_up_shexp.weight:64x32 ffn_down_shexp.weight:32x64"},
    {"deepseek4 Q8_0", "deepseek4",
     BASE FF EIGHT "block_count=4 attention.head_count=4 attention.head_count_kv=1 attention.key_length=64 attention.value_length=64 "
     "attention.q_lora_rank=64 rope.dimension_count=32 attention.sliding_window=7 attention.compress_ratios=0,4,16,4 "
     "attention.compress_rope_freq_base=500.0 attention.output_group_count=2 attention.output_lora_rank=32 attention.indexer.head_count=2 "
     "attention.indexer.key_length=32 attention.indexer.top_k=3 hyper_connection.count=4 hyper_connection.sinkhorn_iterations=20 "
     "hyper_connection.epsilon=0.000001 expert_shared_count=1 expert_weights_scale=1.5",
     OUT NORMS LATENT_Q "attn_sinks.weight:4 attn_kv.weight:64x64 attn_kv_a_norm.weight:64 attn_output_a.weight:128x64 attn_output_b.weight:64x64 "
     POOL("attn_compressor", 1, "128", "4", "64") POOL("attn_compressor", 2, "64", "16", "64") POOL("attn_compressor", 3, "128", "4", "64")
     POOL("indexer_compressor", 1, "64", "4", "32") POOL("indexer_compressor", 3, "64", "4", "32")
     "indexer.attn_q_b.weight:64x64 indexer.proj.weight:64x2 hc_attn_fn.weight:256x24 hc_attn_base.weight:24 hc_attn_scale.weight:3 "
     "hc_ffn_fn.weight:256x24 hc_ffn_base.weight:24 hc_ffn_scale.weight:3 output_hc_fn.weight:256x4 output_hc_base.weight:4 "
     "output_hc_scale.weight:1 exp_probs_b.bias:8 " EXPERTS "ffn_gate_shexp.weight:64x32 ffn_up_shexp.weight:64x32 ffn_down_shexp.weight:32x64"},
    {"phi3-short", "phi3",
     BASE HEADS FF "block_count=2 rope.dimension_count=12 rope.scaling.type=longrope "
                   "rope.scaling.original_context_length=48",
     OUT "rope_factors_short.weight:6 rope_factors_long.weight:6 attn_qkv.weight:64x128 attn_output.weight:64x64 ffn_up.weight:64x192 "
         "ffn_down.weight:96x64 " NORMS},
    {"phi3-long", "phi3",
     BASE HEADS FF "block_count=2 rope.dimension_count=12 rope.scaling.type=longrope rope.scaling.attn_factor=1.22474487 "
                   "rope.scaling.original_context_length=16",
     OUT "rope_factors_short.weight:6 rope_factors_long.weight:6 attn_qkv.weight:64x128 attn_output.weight:64x64 ffn_up.weight:64x192 "
         "ffn_down.weight:96x64 " NORMS},
};

static bool rounded(const struct net *net)
{
    return strchr(net->name, ' ') != NULL;
}

/* ---- writing one ---- */

struct file {
    struct mk_file head, info; /* header and keys; directory of tensors */
    struct buf data;
    uint64_t n_tensors;
    bool rounded;
};

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* The middle of the values of a tensor, and how far they reach from it. */
static float spread(const char *name, int cols, float *middle)
{
    bool norm = strstr(name, "_norm."), factors = strstr(name, "rope_factors");
    *middle = norm ? 1 : factors ? 1.5f : 0;
    if (norm || strstr(name, ".bias") || factors)
        return 0.3f;
    return strstr(name, "attn_sinks") ? 2 : strstr(name, "token_embd") ? 1 : strstr(name, "ffn_gate_inp") ? 0.5f : 1.7f / sqrtf((float)cols);
}

/* 32 values as a block of Q8_0. */
static void add_block(struct buf *b, const float *v)
{
    float top = 0;
    for (int i = 0; i < 32; i++)
        top = fmaxf(top, fabsf(v[i]));
    uint16_t d = quant_f32_to_f16(top / 127);
    float scale = quant_f16_to_f32(d);
    buf_add(b, &d, 2);
    for (int i = 0; i < 32; i++)
        buf_addch(b, (char)(int8_t)(scale > 0 ? lrintf(v[i] / scale) : 0));
}

static void add_tensor(struct file *f, const char *name, const int *dim, int n)
{
    bool rounded = f->rounded && n > 1 && !strstr(name, "_ape");
    uint64_t seed = 7, count = 1;
    float block[32];
    float middle, half = spread(name, dim[0], &middle);
    mk_str(&f->info, name, strlen(name));
    mk_u32(&f->info, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        mk_u64(&f->info, (uint64_t)dim[i]);
        count *= (uint64_t)dim[i];
    }
    mk_u32(&f->info, rounded ? Q_Q8_0 : Q_F32);
    mk_u64(&f->info, f->data.len);
    f->n_tensors++;
    for (const char *c = name; *c; c++)
        seed = mix(seed ^ (unsigned char)*c);
    for (uint64_t i = 0; i < count; i++) {
        float v = block[i % 32] = middle + half * ((float)(mix(seed + i) >> 40) / 8388608.0f - 1);
        if (!rounded)
            buf_add(&f->data, &v, 4);
        else if (i % 32 == 31)
            add_block(&f->data, block);
    }
    while (f->data.len % 32)
        buf_addch(&f->data, 0);
}

/* Words of a list, one after the other; false behind the last. */
static bool next_word(const char **list, char *out, size_t size)
{
    *list += strspn(*list, " ");
    size_t n = strcspn(*list, " ");
    assert_true(n < size);
    memcpy(out, *list, n);
    out[n] = 0;
    *list += n;
    return n > 0;
}

static int add_keys(struct mk_file *f, const char *arch, const char *list)
{
    char w[96], key[128];
    int blocks = 0;
    while (next_word(&list, w, sizeof w)) {
        char *v = strchr(w, '=');
        assert_non_null(v);
        *v++ = 0;
        snprintf(key, sizeof key, "%s.%s", arch, w);
        if (!strcmp(v, "true")) {
            mk_kv(f, key, GGUF_BOOL);
            buf_addch(&f->b, 1);
        } else if (v[0] > '9') {
            mk_kv_str(f, key, v);
        } else if (strchr(v, ',')) {
            uint64_t n = 1;
            for (const char *c = v; *c; c++)
                n += *c == ',';
            mk_kv_arr(f, key, GGUF_I32, n);
            for (const char *c = v; n--; c = strchr(c, ',') ? strchr(c, ',') + 1 : c)
                mk_u32(f, (uint32_t)atoi(c));
        } else if (strchr(v, '.')) {
            float x = strtof(v, NULL);
            mk_kv(f, key, GGUF_F32);
            mk_bytes(f, &x, 4);
        } else {
            mk_kv_u32(f, key, (uint32_t)atoi(v));
        }
        blocks = strcmp(w, "block_count") ? blocks : atoi(v);
    }
    return blocks;
}

static void add_tensors(struct file *f, const char *list, int blocks)
{
    char w[96], name[128];
    add_tensor(f, "token_embd.weight", (int[]){64, VOCAB}, 2);
    add_tensor(f, "output_norm.weight", (int[]){64}, 1);
    while (next_word(&list, w, sizeof w)) {
        char *v = strchr(w, ':');
        int dim[3], n = sscanf(v + 1, "%dx%dx%d", &dim[0], &dim[1], &dim[2]);
        *v = 0;
        char *only = strchr(w, '@');
        if (only)
            *only++ = 0;
        bool global = !strncmp(w, "output", 6) || !strncmp(w, "rope_", 5);
        for (int i = 0; i < (global ? 1 : blocks); i++) {
            if (only && atoi(only) != i)
                continue;
            snprintf(name, sizeof name, global ? "%s" : "blk.%2$d.%1$s", w, i);
            add_tensor(f, name, dim, n);
        }
    }
}

static void make(const struct net *net, struct buf *out)
{
    struct file f = {.info.b = BUF_INIT(1 << 20), .data = BUF_INIT(1 << 24), .rounded = rounded(net)};
    char text[16];
    mk_begin(&f.head);
    mk_kv_str(&f.head, "general.architecture", net->arch);
    int blocks = add_keys(&f.head, net->arch, net->keys);
    mk_kv_str(&f.head, "tokenizer.ggml.model", "gpt2");
    mk_kv_str(&f.head, "tokenizer.ggml.pre", "gpt-2");
    mk_kv_arr(&f.head, "tokenizer.ggml.tokens", GGUF_STR, VOCAB);
    for (int i = 0; i < VOCAB; i++) {
        snprintf(text, sizeof text, "t%d", i);
        mk_str(&f.head, text, strlen(text));
    }
    mk_kv_arr(&f.head, "tokenizer.ggml.merges", GGUF_STR, 0);
    add_tensors(&f, net->tensors, blocks);
    memcpy(f.head.b.data + 8, &f.n_tensors, 8);
    memcpy(f.head.b.data + 16, &f.head.n_kv, 8);
    *out = f.head.b;
    buf_add(out, f.info.b.data, f.info.b.len);
    while (out->len % 32)
        buf_addch(out, 0);
    buf_add(out, f.data.data, f.data.len);
    buf_finish(&f.info.b);
    buf_finish(&f.data);
}

static void save(const struct net *net, const char *path)
{
    struct buf b;
    make(net, &b);
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(b.data, 1, b.len, f) == b.len && fclose(f) == 0);
    buf_finish(&b);
}

/* ---- comparing ---- */

struct rows {
    float at[TOKENS][VOCAB];
    int n;
};

static void keep_row(void *arg, int pos, const float *logits)
{
    struct rows *r = arg;
    assert_int_equal(pos, r->n);
    memcpy(r->at[r->n++], logits, sizeof r->at[0]);
}

static void read_all(struct model *m, const int32_t *tokens, int n_ctx, enum bk_kv_type kv, int chunk, struct rows *out)
{
    struct session *s = NULL;
    struct err err = {0};
    struct session_conf conf = {n_ctx, kv};
    out->n = 0;
    if (session_create(m, &conf, &s, &err) || session_eval(s, tokens, TOKENS, chunk, keep_row, out, &err))
        fail_msg("%s", err.msg);
    session_destroy(s);
}

static void near(const char *name, json_t *rows, const struct rows *got, double limit)
{
    const char *pos;
    json_t *row, *v;
    size_t i;
    double top = 0, worst = 0;
    json_object_foreach(rows, pos, row) json_array_foreach(row, i, v)
    {
        double want = json_number_value(v), off = fabs(want - (double)got->at[atoi(pos)][i]);
        top = fmax(top, fabs(want));
        worst = off <= worst ? worst : off;
    }
    if (!(worst <= limit * top) || top == 0)
        fail_msg("%s: logits are off by %.3g of %.3g", name, worst, top);
}

static void arch(void **state)
{
    const struct net *net = *state;
    char path[64], file[1024];
    snprintf(file, sizeof file, "%s/tests/model/archs.json", getenv("SRCDIR") ? getenv("SRCDIR") : "..");
    json_t *all = json_load_file(file, 0, NULL), *j = json_object_getn(all, net->name, strcspn(net->name, " "));
    assert_true(all && (j || rounded(net)));
    snprintf(path, sizeof path, "t_arch_%s_%d.gguf", net->name, (int)getpid());
    save(net, path);
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = (i * i * 7 + i * 3 + 11) % VOCAB; /* archs.py has the same */
    int n_ctx = j ? (int)json_integer_value(json_object_get(j, "n_ctx")) : 64;
    struct rows *whole = malloc(sizeof *whole), *other = malloc(sizeof *other);
    for (int threads = 1; threads <= 2; threads++) {
        struct model *m = NULL;
        struct err err = {0};
        struct model_conf conf = {.n_threads = threads};
        if (model_open(path, &conf, &m, &err))
            fail_msg("%s", err.msg);
        if (threads == 1)
            read_all(m, tokens, n_ctx, BK_KV_F32, TOKENS, whole);
        if (threads == 1 && j)
            near(net->name, json_object_get(j, "rows"), whole, rounded(net) ? 0.3 : 1e-5);
        for (int chunk = 1; chunk <= TOKENS; chunk = chunk * 3 + 1) {
            read_all(m, tokens, n_ctx, BK_KV_F32, chunk, other);
            if (memcmp(whole->at, other->at, sizeof whole->at) != 0)
                fail_msg("%s: chunks of %d on %d threads give other bits", net->name, chunk, threads);
        }
        read_all(m, tokens, n_ctx, BK_KV_F16, 16, other);
        if (j)
            near(net->name, json_object_get(j, "rows"), other, rounded(net) ? 0.3 : 2e-2);
        model_close(m);
    }
    unlink(path);
    free(whole);
    free(other);
    json_decref(all);
}

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

int main(int argc, char **argv)
{
    struct CMUnitTest tests[COUNT(nets)] = {{0}};
    if (argc == 3 && !strcmp(argv[1], "--write")) {
        char path[1024];
        for (size_t i = 0; i < COUNT(nets); i++) {
            if (rounded(&nets[i]))
                continue;
            snprintf(path, sizeof path, "%s/%s.gguf", argv[2], nets[i].name);
            save(&nets[i], path);
        }
        return 0;
    }
    for (size_t i = 0; i < COUNT(nets); i++)
        tests[i] = (struct CMUnitTest){nets[i].name, arch, NULL, NULL, (void *)(uintptr_t)&nets[i]};
    return t_every_isa(argv, tests, COUNT(nets));
}
