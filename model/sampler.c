/*
 * Choosing the next token (definitions: spec chat 9). The chain: repeat penalty, top-k, top-p, min-p, temperature, draw.
 * No full sort of the vocabulary: top-k keeps a heap of k; top-p without top-k takes the best 128, then four times as many,
 * until their sum reaches p; without both, candidates stay in the order of their ids.
 *
 * Random numbers: xoshiro256++ (Blackman and Vigna), its four words filled by splitmix64 from the seed; one draw of 53 bits
 * for each token that is not greedy. Sums are in double. So the same seed, parameters and logits give the same ids.
 */
#include "config.h"
#include "model/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct cand {
    float logit;
    int32_t id;
};

struct sampler {
    struct sampler_conf c;
    int n_vocab;
    uint64_t rng[4];
    int32_t *recent; /* a ring of repeat_last */
    int n_recent, at;
    uint32_t *stamp; /* per id: the last pass that punished it */
    uint32_t pass;
    float *work;       /* punished logits */
    struct cand *cand; /* n_vocab */
    double *p;         /* n_vocab, weights of the candidates */
};

struct sampler_conf sampler_default(void)
{
    return (struct sampler_conf){.temp = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1, .repeat_last = 64, .seed = 0};
}

static int range(struct err *err, const char *name, double v, double min, double max)
{
    if (v >= min && v <= max) /* false for NaN */
        return 0;
    return err_set(err, ERR_USAGE, "%s is %g; %g to %g is accepted", name, v, min, max);
}

int sampler_check(const struct sampler_conf *c, struct err *err)
{
    int rc = range(err, "temp", (double)c->temp, 0, 100);
    if (!rc)
        rc = range(err, "top-k", c->top_k, 0, 1 << 30);
    if (!rc)
        rc = range(err, "top-p", (double)c->top_p, 0, 1);
    if (!rc)
        rc = range(err, "min-p", (double)c->min_p, 0, 1);
    if (!rc)
        rc = range(err, "repeat-penalty", (double)c->repeat_penalty, (double)0.01f, 100);
    if (!rc)
        rc = range(err, "repeat-last", c->repeat_last, 0, 1 << 24);
    return rc;
}

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* [0, 1) */
static double draw(struct sampler *s)
{
    uint64_t *r = s->rng, v = rotl(r[0] + r[3], 23) + r[0], t = r[1] << 17;
    r[2] ^= r[0];
    r[3] ^= r[1];
    r[1] ^= r[2];
    r[0] ^= r[3];
    r[2] ^= t;
    r[3] = rotl(r[3], 45);
    return (double)(v >> 11) * 0x1p-53;
}

int sampler_create(const struct sampler_conf *c, int n_vocab, struct sampler **out, struct err *err)
{
    int rc = sampler_check(c, err);
    if (rc)
        return rc;
    if (n_vocab < 1)
        return err_set(err, ERR_USAGE, "a vocabulary of %d tokens", n_vocab);
    struct sampler *s = mem_zalloc(sizeof *s);
    s->c = *c;
    s->n_vocab = n_vocab;
    uint64_t x = c->seed;
    for (int i = 0; i < 4; i++)
        s->rng[i] = splitmix(&x);
    s->recent = mem_array((size_t)c->repeat_last + 1, sizeof *s->recent);
    s->stamp = mem_array((size_t)n_vocab, sizeof *s->stamp);
    s->work = mem_array((size_t)n_vocab, sizeof *s->work);
    s->cand = mem_array((size_t)n_vocab, sizeof *s->cand);
    s->p = mem_array((size_t)n_vocab, sizeof *s->p);
    *out = s;
    return 0;
}

void sampler_destroy(struct sampler *s)
{
    if (!s)
        return;
    free(s->recent);
    free(s->stamp);
    free(s->work);
    free(s->cand);
    free(s->p);
    free(s);
}

void sampler_accept(struct sampler *s, int32_t id)
{
    if (!s->c.repeat_last || id < 0 || id >= s->n_vocab)
        return;
    s->recent[s->at] = id;
    s->at = (s->at + 1) % s->c.repeat_last;
    if (s->n_recent < s->c.repeat_last)
        s->n_recent++;
}

static const float *punish(struct sampler *s, const float *logits)
{
    if (s->c.repeat_penalty == 1 || !s->n_recent)
        return logits;
    memcpy(s->work, logits, (size_t)s->n_vocab * sizeof *logits);
    s->pass++;
    for (int i = 0; i < s->n_recent; i++) {
        int32_t id = s->recent[i];
        if (s->stamp[id] == s->pass)
            continue;
        s->stamp[id] = s->pass;
        s->work[id] = s->work[id] > 0 ? s->work[id] / s->c.repeat_penalty : s->work[id] * s->c.repeat_penalty;
    }
    return s->work;
}

/* Is a worse than b? Equal logits: the higher id is worse. */
static bool worse(struct cand a, struct cand b)
{
    return a.logit < b.logit || (a.logit == b.logit && a.id > b.id);
}

static int best_first(const void *a, const void *b)
{
    const struct cand *x = a, *y = b;
    return worse(*x, *y) ? 1 : -1;
}

static void sift(struct cand *h, int n, int i)
{
    for (;;) {
        int c = 2 * i + 1;
        if (c >= n)
            return;
        if (c + 1 < n && worse(h[c + 1], h[c]))
            c++;
        if (!worse(h[c], h[i]))
            return;
        struct cand t = h[c];
        h[c] = h[i];
        h[i] = t;
        i = c;
    }
}

/* The k best, best first, into s->cand; minus infinity is no candidate. Returns how many. */
static int select_best(struct sampler *s, const float *l, int k)
{
    struct cand *h = s->cand;
    int n = 0;
    for (int i = 0; i < s->n_vocab; i++) {
        struct cand c = {l[i], i};
        if (c.logit == -INFINITY || (n == k && !worse(h[0], c)))
            continue;
        if (n < k) {
            h[n++] = c;
            if (n == k)
                for (int j = k / 2 - 1; j >= 0; j--)
                    sift(h, k, j);
        } else {
            h[0] = c;
            sift(h, k, 0);
        }
    }
    qsort(h, (size_t)n, sizeof *h, best_first);
    return n;
}

/* How many of the n best-first candidates reach top_p of `total` (the weight of all that stand); -1: these n do not. */
static int reach(const struct sampler *s, int n, float max, double total)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += exp((double)s->cand[i].logit - (double)max);
        if (sum >= (double)s->c.top_p * total)
            return i + 1;
    }
    return -1;
}

static double weight_of_all(const float *l, int n, float max)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)l[i] - (double)max);
    return sum;
}

/* Fills s->cand (and s->p with their weights): what may be drawn. Returns the count. */
static int candidates(struct sampler *s, const float *l, float max, double *sum)
{
    int n = s->n_vocab, k;
    bool cut_k = s->c.top_k > 0 && s->c.top_k < n, cut_p = s->c.top_p < 1;
    if (cut_k) {
        n = select_best(s, l, s->c.top_k);
        if (cut_p) {
            double total = 0;
            for (int i = 0; i < n; i++)
                total += exp((double)s->cand[i].logit - (double)max);
            k = reach(s, n, max, total);
            n = k > 0 ? k : n;
        }
    } else if (cut_p) {
        double total = weight_of_all(l, s->n_vocab, max);
        for (k = 128;; k = k > s->n_vocab / 4 ? s->n_vocab : 4 * k) {
            k = k < s->n_vocab ? k : s->n_vocab;
            n = select_best(s, l, k);
            int m = reach(s, n, max, total);
            if (m > 0 || k == s->n_vocab) {
                n = m > 0 ? m : n;
                break;
            }
        }
    } else {
        for (int i = n = 0; i < s->n_vocab; i++)
            if (l[i] != -INFINITY)
                s->cand[n++] = (struct cand){l[i], i};
    }
    if (s->c.min_p > 0) {
        double floor = (double)max + log((double)s->c.min_p);
        for (int i = k = 0; i < n; i++)
            if ((double)s->cand[i].logit >= floor)
                s->cand[k++] = s->cand[i];
        n = k;
    }
    *sum = 0;
    for (int i = 0; i < n; i++) {
        s->p[i] = s->c.temp > 0 ? exp(((double)s->cand[i].logit - (double)max) / (double)s->c.temp) : 0;
        *sum += s->p[i];
    }
    return n;
}

/* The largest logit, and the lowest id that has it. */
static int scan(const float *l, int n, float *max, int *best, struct err *err)
{
    *best = -1;
    *max = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (isnan(l[i]) || l[i] == INFINITY)
            return err_set(err, ERR_IO, "numeric: the model's output is not finite (logit %d is %f)", i, (double)l[i]);
        if (l[i] > *max) {
            *max = l[i];
            *best = i;
        }
    }
    if (*best < 0)
        return err_set(err, ERR_IO, "numeric: the model gives no token any probability (all logits are minus infinity)");
    return 0;
}

int sampler_next(struct sampler *s, const float *logits, int32_t *id, struct err *err)
{
    const float *l = punish(s, logits);
    float max;
    double sum;
    int best;
    int rc = scan(l, s->n_vocab, &max, &best, err);
    if (rc)
        return rc;
    if (s->c.temp <= 0) {
        *id = best;
        return 0;
    }
    int n = candidates(s, l, max, &sum);
    double u = draw(s) * sum;
    int i = 0;
    while (i < n - 1 && u >= s->p[i])
        u -= s->p[i++];
    *id = s->cand[i].id;
    return 0;
}

int sampler_probs(struct sampler *s, const float *logits, int32_t *ids, float *probs, int max_n, int *count, struct err *err)
{
    const float *l = punish(s, logits);
    float max;
    double sum;
    int best;
    int rc = scan(l, s->n_vocab, &max, &best, err);
    if (rc)
        return rc;
    if (s->c.temp <= 0) {
        *count = 1;
        if (max_n > 0) {
            ids[0] = best;
            probs[0] = 1;
        }
        return 0;
    }
    int n = candidates(s, l, max, &sum);
    qsort(s->cand, (size_t)n, sizeof *s->cand, best_first);
    for (int i = 0; i < n && i < max_n; i++) {
        ids[i] = s->cand[i].id;
        probs[i] = (float)(exp(((double)s->cand[i].logit - (double)max) / (double)s->c.temp) / sum);
    }
    *count = n;
    return 0;
}
