/*
 * What a model will take and how fast it will write, told from the header of its file alone. Weights are packed into as many bytes as the file
 * has for them (an embedding that is only looked up stays in the file). Buffers are those that cpu_reserve() makes, counted by its own
 * formulas; attention and experts add a few more as they go, which the tenth on top is for.
 */
#include "config.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "kernels/mat.h"
#include "kernels/probe.h"
#include "model/impl.h"

#define PROBE_MOST ((size_t)64 << 20)
#define PROBE_LEAST ((size_t)4 << 20)
#define MEETINGS_A_LAYER 5

int model_cores(void)
{
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static uint64_t buffers(const struct hparams *hp, int n_threads)
{
    uint64_t n = MODEL_MAX_BATCH, ff = 0, q = 0, f = sizeof(float);
    for (int i = 0; i < hp->n_layer; i++) {
        const struct hp_layer *l = &hp->layer[i];
        uint64_t heads = (uint64_t)l->n_head * (uint64_t)(hp->d_k > hp->d_v ? hp->d_k : hp->d_v);
        uint64_t qkv = heads + (uint64_t)l->n_kv * (uint64_t)(hp->d_k + hp->d_v);
        ff = (uint64_t)l->n_ff > ff ? (uint64_t)l->n_ff : ff;
        ff = heads > ff ? heads : ff;
        q = qkv > q ? qkv : q;
    }
    int wide = (int)(ff > (uint64_t)hp->n_embd ? ff : (uint64_t)hp->n_embd);
    uint64_t rows = n * (2 * (uint64_t)hp->n_embd + q + ff) * f + act_bytes(isa_level(), (int)n, hp->n_embd) + act_bytes(isa_level(), (int)n, (int)ff);
    uint64_t hand = mat_scratch_bytes(isa_level(), wide, (int)n) + 2 * n * 64 * f;
    return (rows + hand * (uint64_t)n_threads + (uint64_t)hp->n_vocab * f) / 10 * 11;
}

/* Whether a token reads it: an embedding of its own is looked up only; of a stack of experts those that are chosen. */
static double share_read(const struct gguf *g, const struct hparams *hp, const struct gguf_tensor *t)
{
    static const char embed[] = "token_embd.weight", experts[] = "_exps.";
    if (t->name.n == sizeof embed - 1 && !memcmp(t->name.s, embed, sizeof embed - 1))
        return gguf_tensor(g, "output.weight") ? 0 : 1;
    if (hp->moe.n_expert > 0 && memmem(t->name.s, t->name.n, experts, sizeof experts - 1))
        return (double)hp->moe.n_used / hp->moe.n_expert;
    return 1;
}

int model_need(const struct gguf *g, int n_ctx, int n_threads, struct model_need *out, struct err *err)
{
    struct hparams hp = {0};
    struct model_need n = {.n_ctx = n_ctx};
    int rc = hparams_read(g, &hp, err);
    if (rc)
        return rc;
    if (!n_ctx)
        n.n_ctx = hp.n_ctx_train < MODEL_DEFAULT_CTX ? hp.n_ctx_train : MODEL_DEFAULT_CTX;
    n.n_threads = n_threads > 0 ? n_threads : model_cores();
    n.n_layer = hp.n_layer;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        n.weights += t->bytes; /* they do not overlap: at most the file's size */
        if (t->type < MODEL_TYPES)
            n.token_bytes[t->type] += (uint64_t)(share_read(g, &hp, t) * (double)t->bytes);
    }
    n.buffers = buffers(&hp, n.n_threads);
    rc = model_kv_bytes(g, n.n_ctx, BK_KV_F16, &n.kv, err);
    hparams_finish(&hp);
    if (!num_add(n.weights + n.buffers, n.kv, &n.total))
        n.total = UINT64_MAX;
    n.free = ram_free();
    n.fits = n.total <= n.free;
    *out = n;
    return rc;
}

int model_fitting_ctx(const struct gguf *g, const struct model_need *n)
{
    int ctx = 0;
    for (int step = n->n_ctx / 2; step > 0; step /= 2) { /* in steps that a person would choose: pages */
        int c = (ctx + step) / BK_PAGE * BK_PAGE;
        uint64_t kv = 0;
        if (c > ctx && !model_kv_bytes(g, c, BK_KV_F16, &kv, NULL) && kv <= n->free && n->weights + n->buffers <= n->free - kv)
            ctx = c;
    }
    return ctx >= 256 ? ctx : 0;
}

int model_refuse(const struct gguf *g, const struct model_need *n, struct err *err)
{
    char all[24], weights[24], kv[24], buf[24], have[24], hint[80];
    int ctx = model_fitting_ctx(g, n);
    if (ctx)
        snprintf(hint, sizeof hint, "--ctx %d would fit", ctx);
    else
        snprintf(hint, sizeof hint, "a file with smaller weights is needed (%s)", n->weights < 2 * n->free ? "a quantization with fewer bits" : "a smaller model");
    return err_set(err, ERR_NOMODEL, "%s does not fit: it needs %s (weights %s, a context of %d %s, buffers %s), and %s of memory are free; %s",
                   gguf_path(g), ram_text(n->total, all), ram_text(n->weights, weights), n->n_ctx, ram_text(n->kv, kv), ram_text(n->buffers, buf),
                   ram_text(n->free, have), hint);
}

/* What was measured in this run, by type and size. */
static struct {
    uint32_t type;
    size_t bytes;
    int n_threads;
    double speed;
} known[32];
static int n_known;

static double speed_of(uint32_t type, size_t bytes, int n_threads)
{
    for (int i = 0; i < n_known; i++)
        if (known[i].type == type && known[i].bytes == bytes && known[i].n_threads == n_threads)
            return known[i].speed;
    double speed = probe_weights((enum qtype)type, bytes, n_threads);
    if (n_known < (int)(sizeof known / sizeof known[0])) {
        known[n_known].type = type;
        known[n_known].bytes = bytes;
        known[n_known].n_threads = n_threads;
        known[n_known++].speed = speed;
    }
    return speed;
}

double model_speed(const struct model_need *n)
{
    static double meeting = -1;
    static int meeting_threads;
    uint64_t all = 0, rest = 0;
    double seconds = 0, measured = 0, took = 0;
    for (uint32_t t = 0; t < MODEL_TYPES; t++)
        all += n->token_bytes[t];
    /* As much as a token reads, up to what is beyond any cache: a small model stays in them. */
    size_t bytes = all > PROBE_MOST ? PROBE_MOST : all < PROBE_LEAST ? PROBE_LEAST : (size_t)all >> 22 << 22;
    for (uint32_t t = 0; t < MODEL_TYPES; t++) {
        double speed = n->token_bytes[t] >= all / 20 + 1 ? speed_of(t, bytes, n->n_threads) : 0;
        if (speed > 0) {
            took += (double)n->token_bytes[t] / speed;
            measured += (double)n->token_bytes[t];
        } else {
            rest += n->token_bytes[t];
        }
    }
    if (!(measured > 0))
        return 0;
    if (meeting < 0 || meeting_threads != n->n_threads) {
        meeting = probe_meeting(n->n_threads);
        meeting_threads = n->n_threads;
    }
    seconds = took * (1 + (double)rest / measured) + meeting * MEETINGS_A_LAYER * n->n_layer;
    return 1 / seconds;
}
