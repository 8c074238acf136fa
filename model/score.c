/*
 * Perplexity and divergence. See score.h. Each chunk is read from an empty timeline; its first half gives no logits, the rest comes in
 * rows, of which the numbers that are kept are a few doubles. With a reference, its rows of a chunk are kept until the other model
 * has read the same chunk. Sums are in double; a chunk's length decides the memory, not the text's.
 */
#include "config.h"
#include "model/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

#define ROWS 64 /* positions whose logits are made at once */

double score_logsumexp(const float *x, int n)
{
    float top = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++)
        sum += exp((double)(x[i] - top));
    return top + log(sum);
}

double score_kl(const float *p, const float *q, int n)
{
    double lp = score_logsumexp(p, n), lq = score_logsumexp(q, n), kl = 0;
    for (int i = 0; i < n; i++) {
        double a = p[i] - lp; /* where p is 0 in double, exp(a) is, too */
        kl += exp(a) * (a - (q[i] - lq));
    }
    return kl > 0 ? kl : 0; /* rounding can leave -1e-16 */
}

static int likeliest(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* Mean and error of n numbers that come one by one. */
struct sum {
    double mean, m2;
    size_t n;
};

static void sum_add(struct sum *s, double x)
{
    double d = x - s->mean;
    s->mean += d / (double)++s->n;
    s->m2 += d * (x - s->mean);
}

static struct score_mean sum_mean(const struct sum *s)
{
    double n = (double)s->n;
    return (struct score_mean){s->mean, s->n > 1 ? sqrt(s->m2 / n / (n - 1)) : 0};
}

struct work {
    const struct score_conf *conf;
    struct session *s, *ref;
    int n_vocab, n_chunks, done;
    const int32_t *chunk;  /* tokens of this one */
    float *ref_rows;       /* (scored positions, n_vocab) of this chunk */
    struct sum nll, ref_nll, more, kl, same;
    double *kls;           /* of all positions */
    bool stopped;
};

static int first_scored(const struct work *w)
{
    return w->conf->n_ctx / 2;
}

static void ask(struct work *w)
{
    if (w->conf->progress && !w->conf->progress(w->conf->arg, w->done, w->n_chunks, w->nll.n ? exp(w->nll.mean) : 0))
        w->stopped = true;
}

static void ref_row(void *arg, int pos, const float *x)
{
    struct work *w = arg;
    memcpy(w->ref_rows + (size_t)(pos - first_scored(w)) * (size_t)w->n_vocab, x, (size_t)w->n_vocab * sizeof *x);
}

static void row(void *arg, int pos, const float *x)
{
    struct work *w = arg;
    int32_t next = w->chunk[pos + 1];
    double nll = score_logsumexp(x, w->n_vocab) - x[next];
    sum_add(&w->nll, nll);
    if (!w->ref)
        return;
    const float *r = w->ref_rows + (size_t)(pos - first_scored(w)) * (size_t)w->n_vocab;
    double ref_nll = score_logsumexp(r, w->n_vocab) - r[next], kl = score_kl(r, x, w->n_vocab);
    w->kls[w->kl.n] = kl;
    sum_add(&w->ref_nll, ref_nll);
    sum_add(&w->more, nll - ref_nll);
    sum_add(&w->kl, kl);
    sum_add(&w->same, likeliest(x, w->n_vocab) == likeliest(r, w->n_vocab));
}

/* Reads one chunk in parts between which the caller is asked. */
static int read_chunk(struct work *w, struct session *s, void (*fn)(void *arg, int pos, const float *x), struct err *err)
{
    int first = first_scored(w), end = w->conf->n_ctx - 1, rc = 0;
    session_rewind(s, 0);
    rc = session_eval(s, w->chunk, first, 0, NULL, NULL, err);
    for (int at = first; !rc && at < end;) {
        int n = end - at < ROWS ? end - at : ROWS;
        ask(w);
        rc = w->stopped ? err_set(err, ERR_CANCELLED, "stopped") : session_eval(s, w->chunk + at, n, ROWS, fn, w, err);
        at += n;
    }
    return rc;
}

void score_tokens(const struct model *m, const char *text, size_t n, struct tok_ids *out)
{
    const struct tok *t = model_tok(m);
    if (tok_add_bos(t) && tok_bos(t) >= 0)
        tok_ids_add(out, tok_bos(t));
    tok_encode(t, text, n, 0, NULL, 0, out);
}

static int read_text(struct work *w, const struct model *m, const struct tok_ids *ids, struct err *err)
{
    const struct tok *t = model_tok(m);
    size_t n_ctx = (size_t)w->conf->n_ctx;
    int32_t *chunk = mem_array(n_ctx, sizeof *chunk);
    int rc = 0;
    w->chunk = chunk;
    for (; !rc && w->done < w->n_chunks; w->done++) {
        memcpy(chunk, ids->id + (size_t)w->done * n_ctx, n_ctx * sizeof *chunk);
        if (tok_add_bos(t) && tok_bos(t) >= 0)
            chunk[0] = tok_bos(t);
        if (w->ref)
            rc = read_chunk(w, w->ref, ref_row, err);
        if (!rc)
            rc = read_chunk(w, w->s, row, err);
    }
    if (!rc)
        ask(w);
    free(chunk);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share q of the sorted numbers does not exceed, between two of them by their distance. */
static double quantile(const double *x, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? x[i] + (x[i + 1] - x[i]) * (at - (double)i) : x[n - 1];
}

static void finish(const struct work *w, size_t n_text, struct score *out)
{
    *out = (struct score){.n_text = n_text, .n_chunks = w->n_chunks, .n = w->nll.n, .nll = sum_mean(&w->nll)};
    out->ppl = exp(out->nll.mean);
    out->ppl_error = out->ppl * out->nll.error;
    if (!w->ref)
        return;
    out->n_ref = w->kl.n;
    out->ref_nll = sum_mean(&w->ref_nll);
    out->nll_more = sum_mean(&w->more);
    out->kl = sum_mean(&w->kl);
    out->same_top = sum_mean(&w->same);
    qsort(w->kls, w->kl.n, sizeof *w->kls, by_value);
    out->kl_max = w->kls[w->kl.n - 1];
    out->kl_median = quantile(w->kls, w->kl.n, 0.5);
    out->kl_90 = quantile(w->kls, w->kl.n, 0.9);
    out->kl_99 = quantile(w->kls, w->kl.n, 0.99);
    out->kl_999 = quantile(w->kls, w->kl.n, 0.999);
}

/* Both must read the same tokens: a probability of one has to be of the same thing in the other. */
static int check_ref(const struct model *m, const struct model *ref, const char *text, size_t n, const struct tok_ids *ids, struct err *err)
{
    struct tok_ids other = {0};
    int rc = 0;
    if (model_info(m)->n_vocab != model_info(ref)->n_vocab)
        return err_set(err, ERR_INPUT, "the models cannot be compared: one has %d tokens, the other %d", model_info(m)->n_vocab, model_info(ref)->n_vocab);
    score_tokens(ref, text, n, &other);
    if (other.n != ids->n || memcmp(other.id, ids->id, ids->n * sizeof *ids->id) != 0)
        rc = err_set(err, ERR_INPUT, "the models cannot be compared: they cut the text into other tokens");
    free(other.id);
    return rc;
}

static int make_room(struct work *w, struct model *m, struct model *ref, struct err *err)
{
    struct session_conf sc = {w->conf->n_ctx, w->conf->kv};
    int rc = session_create(m, &sc, &w->s, err);
    if (rc || !ref)
        return rc;
    uint64_t rows = (uint64_t)(w->conf->n_ctx - 1 - first_scored(w)), bytes = 0, have = ram_free();
    char a[24], b[24];
    if (!num_mul(rows * sizeof(float), (uint64_t)w->n_vocab, &bytes) || bytes > have)
        return err_set(err, ERR_NOMODEL, "the logits of %llu positions take %s, and %s of memory are free; a smaller --ctx takes less",
                       (unsigned long long)rows, ram_text(bytes, a), ram_text(have, b));
    rc = session_create(ref, &sc, &w->ref, err);
    w->ref_rows = rc ? NULL : malloc(bytes);
    w->kls = rc ? NULL : malloc(rows * (uint64_t)w->n_chunks * sizeof *w->kls);
    if (!rc && (!w->ref_rows || !w->kls))
        rc = err_set(err, ERR_NOMODEL, "no memory for the logits of %llu positions", (unsigned long long)rows);
    return rc;
}

int score_text(struct model *m, struct model *ref, const char *text, size_t n, const struct score_conf *conf, struct score *out, struct err *err)
{
    struct work w = {.conf = conf, .n_vocab = model_info(m)->n_vocab};
    struct tok_ids ids = {0};
    int rc = 0;
    if (conf->n_ctx < 4)
        return err_set(err, ERR_USAGE, "a chunk of %d tokens is too short: at least 4", conf->n_ctx);
    score_tokens(m, text, n, &ids);
    size_t chunks = ids.n / (size_t)conf->n_ctx;
    if (!chunks)
        rc = err_set(err, ERR_INPUT, "the text has %zu tokens, fewer than a chunk of %d (--ctx)", ids.n, conf->n_ctx);
    w.n_chunks = conf->n_chunks > 0 && (size_t)conf->n_chunks < chunks ? conf->n_chunks : (int)chunks;
    if (!rc && ref)
        rc = check_ref(m, ref, text, n, &ids, err);
    if (!rc)
        rc = make_room(&w, m, ref, err);
    if (!rc)
        rc = read_text(&w, m, &ids, err);
    if (!rc)
        finish(&w, ids.n, out);
    session_destroy(w.s);
    session_destroy(w.ref);
    free(w.ref_rows);
    free(w.kls);
    free(ids.id);
    return rc;
}
