/*
 * One token timeline over a KV cache (pages of BK_PAGE positions, made by the backend). The caller hands the whole token
 * list; what is already there as a prefix is kept, the rest is read in chunks. Invariant: the cache holds the keys and
 * values of tokens[0..len), `fresh` says that logits are those of position len - 1. A pass that fails or is stopped
 * leaves len as it was before its chunk (positions behind len may hold anything).
 *
 * Chunks are as large as max_batch unless that would keep the caller waiting: what was measured between two calls of
 * progress makes the next chunk smaller or larger (aim: 40 ms). Results do not depend on the cut.
 */
#include "config.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/impl.h"

#define MIN_CHUNK 32
#define AIM_US 40000

struct session {
    struct model *m;
    struct bk_kv *kv;
    uint64_t kv_bytes;
    int n_ctx, len;
    int32_t *tokens;
    float *logits; /* n_vocab */
    bool fresh;
    int chunk;
};

/* What between-layer calls need. */
struct ask {
    session_progress fn;
    void *arg;
    int done, total;
    int64_t last, longest; /* microseconds between calls */
};

static bool ask(void *arg)
{
    struct ask *a = arg;
    int64_t now = clock_mono_us();
    a->longest = now - a->last > a->longest ? now - a->last : a->longest;
    a->last = now;
    return !a->fn || a->fn(a->arg, a->done, a->total);
}

static int make_kv(struct session *s, enum bk_kv_type type, struct err *err)
{
    const struct net *n = &s->m->net;
    const struct bk_ops *ops = n->ops;
    struct bk_kv_conf conf = {type, s->n_ctx, n->n_layer, n->kv};
    uint64_t have = ram_free(), rest = 0;
    char a[24], b[24];
    int rc;
    s->kv_bytes = ops->kv_bytes(&conf);
    if (!num_add(s->kv_bytes, (uint64_t)s->n_ctx * sizeof *s->tokens, &rest) || rest > have)
        rc = err_set(err, ERR_NOMODEL, "a context of %d positions needs %s of memory for its cache, and %s are free; a smaller --ctx takes less",
                     s->n_ctx, ram_text(s->kv_bytes, a), ram_text(have, b));
    else
        rc = ops->kv_create(n->bk, &conf, &s->kv, err);
    return rc;
}

int session_create(struct model *m, const struct session_conf *conf, struct session **out, struct err *err)
{
    struct session *s = mem_zalloc(sizeof *s);
    s->m = m;
    s->n_ctx = conf && conf->n_ctx > 0 ? conf->n_ctx : m->hp.n_ctx_train < MODEL_DEFAULT_CTX ? m->hp.n_ctx_train : MODEL_DEFAULT_CTX;
    s->chunk = m->max_batch;
    int rc = make_kv(s, conf ? conf->kv : BK_KV_F16, err);
    if (!rc) {
        s->tokens = malloc((size_t)s->n_ctx * sizeof *s->tokens);
        s->logits = malloc((size_t)m->hp.n_vocab * sizeof *s->logits);
        if (!s->tokens || !s->logits)
            rc = err_set(err, ERR_NOMODEL, "no memory for a context of %d positions", s->n_ctx);
    }
    if (rc) {
        session_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void session_destroy(struct session *s)
{
    if (!s)
        return;
    if (s->kv)
        s->m->net.ops->kv_destroy(s->kv);
    free(s->tokens);
    free(s->logits);
    free(s);
}

int session_ctx(const struct session *s)
{
    return s->n_ctx;
}

int session_len(const struct session *s)
{
    return s->len;
}

const int32_t *session_tokens(const struct session *s)
{
    return s->tokens;
}

uint64_t session_kv_bytes(const struct session *s)
{
    return s->kv_bytes;
}

const float *session_logits(const struct session *s)
{
    return s->fresh ? s->logits : NULL;
}

void session_rewind(struct session *s, int n)
{
    if (n < 0)
        n = 0;
    if (n >= s->len)
        return;
    s->len = n;
    s->fresh = false;
}

static int check_tokens(const struct session *s, const int32_t *tokens, int n, struct err *err)
{
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->m->hp.n_vocab)
            return err_set(err, ERR_INPUT, "token %" PRId32 " (number %d) is not in the vocabulary, 0 to %d", tokens[i], i + 1,
                           s->m->hp.n_vocab - 1);
    return 0;
}

/* Logits that are no numbers: says which weights are to blame. */
static int check_logits(const struct session *s, const float *logits, struct err *err)
{
    int n = s->m->hp.n_vocab, bad = 0;
    for (int i = 0; i < n; i++)
        bad |= !(fabsf(logits[i]) <= FLT_MAX);
    return bad ? model_blame(s->m, err) : 0;
}

/* Appends one batch. */
static int pass(struct session *s, const int32_t *tokens, int n, int row0, float *logits, struct ask *a, struct err *err)
{
    struct bk_batch batch = {.tokens = tokens, .n = n, .pos0 = s->len};
    s->fresh = false;
    int rc = net_forward(&s->m->net, s->kv, &batch, s->n_ctx > s->m->hp.n_ctx_orig, row0, logits, a ? ask : NULL, a, err);
    if (!rc && logits)
        rc = check_logits(s, logits + (size_t)(n - 1 - row0) * (size_t)s->m->hp.n_vocab, err);
    if (rc)
        return rc;
    memmove(s->tokens + s->len, tokens, (size_t)n * sizeof *tokens);
    s->len += n;
    return 0;
}

static void fit_chunk(struct session *s, int n, int64_t longest)
{
    if (longest > AIM_US + AIM_US / 4 && n == s->chunk && s->chunk > MIN_CHUNK)
        s->chunk = s->chunk / 2 < MIN_CHUNK ? MIN_CHUNK : s->chunk / 2;
    else if (longest < AIM_US / 3 && s->chunk * 2 <= s->m->max_batch)
        s->chunk *= 2;
}

int session_sync(struct session *s, const int32_t *tokens, int n, int *reused, session_progress progress, void *arg, struct err *err)
{
    if (n < 1)
        return err_set(err, ERR_INPUT, "there is nothing to read: no token");
    if (n > s->n_ctx)
        return err_set(err, ERR_TOOLONG, "the prompt has %d tokens, and the context holds %d", n, s->n_ctx);
    int rc = check_tokens(s, tokens, n, err), keep = 0;
    if (rc)
        return rc;
    while (keep < n && keep < s->len && s->tokens[keep] == tokens[keep])
        keep++;
    if (keep == n && s->len == n && s->fresh) {
        if (reused)
            *reused = n;
        return 0;
    }
    if (keep == n)
        keep = n - 1;
    session_rewind(s, keep);
    if (reused)
        *reused = keep;
    struct ask a = {.fn = progress, .arg = arg, .done = keep, .total = n, .last = clock_mono_us()};
    while (s->len < n) {
        int part = n - s->len < s->chunk ? n - s->len : s->chunk;
        bool last = s->len + part == n;
        a.longest = 0;
        rc = pass(s, tokens + s->len, part, part - 1, last ? s->logits : NULL, &a, err);
        if (rc)
            return rc;
        fit_chunk(s, part, a.longest);
        a.done = s->len;
        if (last)
            s->fresh = true;
        if (progress && !progress(arg, s->len, n) && !last)
            return err_set(err, ERR_CANCELLED, "stopped");
    }
    return 0;
}

int session_step(struct session *s, int32_t token, session_progress progress, void *arg, struct err *err)
{
    if (s->len == s->n_ctx)
        return err_set(err, ERR_TOOLONG, "the context is full: %d of %d positions are used", s->len, s->n_ctx);
    int rc = check_tokens(s, &token, 1, err);
    struct ask a = {.fn = progress, .arg = arg, .done = s->len, .total = s->len + 1};
    if (!rc)
        rc = pass(s, &token, 1, 0, s->logits, progress ? &a : NULL, err);
    if (!rc)
        s->fresh = true;
    return rc;
}

int session_eval(struct session *s, const int32_t *tokens, int n, int chunk, void (*row)(void *arg, int pos, const float *logits),
                 void *arg, struct err *err)
{
    if (n > s->n_ctx - s->len)
        return err_set(err, ERR_TOOLONG, "%d tokens are to be read, and the context of %d has room for %d", n, s->n_ctx, s->n_ctx - s->len);
    int rc = check_tokens(s, tokens, n, err);
    if (rc)
        return rc;
    size_t n_vocab = (size_t)s->m->hp.n_vocab;
    if (chunk < 1 || chunk > s->m->max_batch)
        chunk = s->m->max_batch;
    chunk = chunk < n ? chunk : n;
    float *logits = row ? malloc((size_t)(chunk > 0 ? chunk : 1) * n_vocab * sizeof *logits) : NULL;
    if (row && !logits)
        return err_set(err, ERR_NOMODEL, "no memory for the logits of %d positions", chunk);
    for (int done = 0; !rc && done < n;) {
        int part = n - done < chunk ? n - done : chunk, pos = s->len;
        bool last = done + part == n;
        rc = pass(s, tokens + done, part, row ? 0 : part - 1, row ? logits : last ? s->logits : NULL, NULL, err);
        for (int i = 0; !rc && row && i < part; i++)
            row(arg, pos + i, logits + (size_t)i * n_vocab);
        if (!rc && row && last)
            memcpy(s->logits, logits + (size_t)(part - 1) * n_vocab, n_vocab * sizeof *logits);
        s->fresh = !rc && last;
        done += part;
    }
    free(logits);
    return rc;
}
