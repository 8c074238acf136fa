/*
 * The chain (definitions: spec chat 9). It works on a list of candidates. Until the first step that leaves some out, the list is not made:
 * the logits stand for it, and what penalties, DRY and biases change is kept beside them, by id ("patches"). So the usual chain
 * costs one pass over the vocabulary, in which blocks of 16 are compared with the worst of the best k so far, and the rest works on
 * these k. No full sort anywhere: a longer list is ordered from its front as far as a step looks.
 *
 * Invariants of the list: no -INFINITY stands in it (`hidden` counts those that would); `sorted` says best first, lower id first among
 * equals; it is never empty behind a step. NaN and +INFINITY are found by whoever makes the list: all compare !(x <= bound).
 *
 * Random numbers: xoshiro256++ (Blackman and Vigna), its four words filled by splitmix64 from the seed; one draw of 53 bits
 * for XTC, and one for each token where a choice is left. Sums are in double.
 */
#include "config.h"
#include "model/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK 16 /* of a pass over the logits */

struct cand {
    double l, w; /* logit; weight or another key of the step at work */
    int32_t id;
};

/* What a step does to one token's logit. */
struct touch {
    int32_t id;
    int count;
    double add;
};

/* Which ids are in a list, and where: slot[id] holds while stamp[id] == pass. */
struct id_map {
    uint32_t *stamp, pass;
    int32_t *slot;
};

struct breaker {
    int32_t next; /* the next one with this head, or -1 */
    int32_t *tail;
    int n_tail;
};

struct sampler {
    struct sampler_step *steps;
    int n_steps, n_vocab;
    uint64_t rng[4];
    int32_t *text; /* all accepted ids */
    int n_text;
    struct touch *bias, *touch;
    int n_bias, n_touch;
    struct breaker *breakers;
    int n_breakers;
    int32_t *first_breaker; /* per id, or NULL while there is none */
    int *reach;             /* DRY: how far the text ending here equals its end */
    size_t reach_cap;
    double mu, mu_before;
    /* one evaluation */
    const float *logits;
    bool listed; /* c is made */
    struct id_map patched, touched;
    struct cand *patch;
    int n_patch;
    struct cand *c; /* n_vocab */
    int n, hidden;
    bool sorted;
    const struct sampler_step *miro; /* the step whose mu the draw moves */
};

/* ---- random numbers ---- */

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

/* ---- life ---- */

static void map_init(struct id_map *m, int n)
{
    m->stamp = mem_array((size_t)n, sizeof *m->stamp);
    m->slot = mem_array((size_t)n, sizeof *m->slot);
}

static void map_finish(struct id_map *m)
{
    free(m->stamp);
    free(m->slot);
}

static void map_reset(struct id_map *m, int n)
{
    if (++m->pass == 0) { /* once in four thousand million tokens */
        memset(m->stamp, 0, (size_t)n * sizeof *m->stamp);
        m->pass = 1;
    }
}

static bool map_has(const struct id_map *m, int32_t id)
{
    return m->stamp[id] == m->pass;
}

static void map_put(struct id_map *m, int32_t id, int slot)
{
    m->stamp[id] = m->pass;
    m->slot[id] = slot;
}

/* Room for one more behind n: grows at powers of two. */
static void *grow(void *p, int n, size_t size)
{
    return n & (n - 1) ? p : mem_grow(p, n ? (size_t)n * 2 : 1, size);
}

int sampler_create_chain(const struct sampler_step *steps, int n, uint64_t seed, int n_vocab, struct sampler **out, struct err *err)
{
    if (n_vocab < 1)
        return err_set(err, ERR_USAGE, "a vocabulary of %d tokens", n_vocab);
    struct sampler *s = mem_zalloc(sizeof *s);
    s->steps = mem_array((size_t)n + 1, sizeof *steps);
    for (int i = 0; i < n; i++) {
        s->steps[i] = steps[i];
        if (steps[i].type == SAMPLER_MIROSTAT || steps[i].type == SAMPLER_MIROSTAT_V2)
            s->mu = (double)steps[i].mu;
    }
    s->n_steps = n;
    s->n_vocab = n_vocab;
    for (int i = 0; i < 4; i++)
        s->rng[i] = splitmix(&seed);
    map_init(&s->patched, n_vocab);
    map_init(&s->touched, n_vocab);
    s->c = mem_array((size_t)n_vocab, sizeof *s->c);
    *out = s;
    return 0;
}

void sampler_destroy(struct sampler *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_breakers; i++)
        free(s->breakers[i].tail);
    free(s->breakers);
    free(s->first_breaker);
    map_finish(&s->patched);
    map_finish(&s->touched);
    free(s->steps);
    free(s->text);
    free(s->bias);
    free(s->touch);
    free(s->reach);
    free(s->patch);
    free(s->c);
    free(s);
}

int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err)
{
    if (id < 0 || id >= s->n_vocab)
        return err_set(err, ERR_USAGE, "logit-bias: there is no token %d (0 to %d)", id, s->n_vocab - 1);
    if (isnan(bias) || bias == INFINITY)
        return err_set(err, ERR_USAGE, "logit-bias: token %d cannot have the bias %g", id, (double)bias);
    for (int i = 0; i < s->n_bias; i++)
        if (s->bias[i].id == id) {
            s->bias[i].add += (double)bias;
            return 0;
        }
    s->bias = grow(s->bias, s->n_bias, sizeof *s->bias);
    s->bias[s->n_bias++] = (struct touch){.id = id, .add = (double)bias};
    return 0;
}

void sampler_breaker(struct sampler *s, const int32_t *ids, int n)
{
    if (n < 1 || ids[0] < 0 || ids[0] >= s->n_vocab)
        return;
    if (!s->first_breaker) {
        s->first_breaker = mem_array((size_t)s->n_vocab, sizeof *s->first_breaker);
        for (int i = 0; i < s->n_vocab; i++)
            s->first_breaker[i] = -1;
    }
    struct breaker b = {.next = s->first_breaker[ids[0]], .n_tail = n - 1};
    if (n > 1) {
        b.tail = mem_array((size_t)n - 1, sizeof *b.tail);
        memcpy(b.tail, ids + 1, ((size_t)n - 1) * sizeof *b.tail);
    }
    s->breakers = grow(s->breakers, s->n_breakers, sizeof *s->breakers);
    s->first_breaker[ids[0]] = s->n_breakers;
    s->breakers[s->n_breakers++] = b;
}

void sampler_accept(struct sampler *s, int32_t id)
{
    if (id < 0 || id >= s->n_vocab)
        return;
    s->text = grow(s->text, s->n_text, sizeof *s->text);
    s->text[s->n_text++] = id;
}

/* ---- the list of candidates ---- */

/* Is a worse than b? */
static bool worse(const struct cand *a, const struct cand *b)
{
    return a->l < b->l || (a->l == b->l && a->id > b->id);
}

static bool worse_key(const struct cand *a, const struct cand *b)
{
    return a->w < b->w || (a->w == b->w && a->id > b->id);
}

typedef bool (*order_fn)(const struct cand *a, const struct cand *b);

static int by_logit(const void *a, const void *b)
{
    return worse(a, b) ? 1 : -1;
}

static int by_key(const void *a, const void *b)
{
    return worse_key(a, b) ? 1 : -1;
}

static void swap(struct cand *a, struct cand *b)
{
    struct cand t = *a;
    *a = *b;
    *b = t;
}

/* Puts the m best of c[0..n) in front, in order. Pivots from a generator of its own: no list is slow on purpose. */
static void order_front(struct cand *c, int n, int m, order_fn is_worse)
{
    uint32_t r = 1;
    m = m < n ? m : n;
    for (int lo = 0, hi = n; hi - lo > 1 && m > lo && m < hi;) {
        r = r * 1664525u + 1013904223u;
        swap(&c[lo + (int)((r >> 8) % (uint32_t)(hi - lo))], &c[hi - 1]);
        int at = lo;
        for (int i = lo; i < hi - 1; i++)
            if (is_worse(&c[hi - 1], &c[i]))
                swap(&c[i], &c[at++]);
        swap(&c[at], &c[hi - 1]);
        if (m <= at)
            hi = at;
        else
            lo = at + 1;
    }
    qsort(c, (size_t)m, sizeof *c, is_worse == worse ? by_logit : by_key);
}

static void sort_all(struct sampler *s)
{
    if (!s->sorted)
        order_front(s->c, s->n, s->n, worse);
    s->sorted = true;
}

/* The best n of a list whose front is in order. */
static void keep_front(struct sampler *s, int n)
{
    s->hidden = n > s->n ? s->hidden < n - s->n ? s->hidden : n - s->n : 0;
    s->n = n < s->n ? n : s->n;
}

static void sift(struct cand *h, int n, int i)
{
    for (;;) {
        int c = 2 * i + 1;
        if (c >= n)
            return;
        if (c + 1 < n && worse(&h[c + 1], &h[c]))
            c++;
        if (!worse(&h[c], &h[i]))
            return;
        swap(&h[c], &h[i]);
        i = c;
    }
}

/* Keeps the k best seen so far in a heap, the worst on top. */
static void heap_add(struct sampler *s, int k, double l, int32_t id)
{
    struct cand c = {.l = l, .id = id};
    if (s->n < k) {
        s->c[s->n++] = c;
        for (int j = k / 2 - 1; s->n == k && j >= 0; j--)
            sift(s->c, k, j);
    } else if (worse(&s->c[0], &c)) {
        s->c[0] = c;
        sift(s->c, k, 0);
    }
}

static int not_finite(int i, float x, struct err *err)
{
    return err_set(err, ERR_IO, "numeric: the model's output is not finite (logit %d is %f)", i, (double)x);
}

/* One of the block is above the bound, or is no number. */
static bool any_above(const float *l, float bound)
{
    int any = 0;
    for (int j = 0; j < BLOCK; j++)
        any |= !(l[j] <= bound);
    return any != 0;
}

/* The k best of all, best first. */
static int list_best(struct sampler *s, int k, struct err *err)
{
    const float *l = s->logits;
    float bound = -INFINITY;
    s->n = 0;
    for (int i = 0; i < s->n_vocab;) {
        int end = i + BLOCK;
        if (end > s->n_vocab) {
            end = s->n_vocab;
        } else if (!any_above(l + i, bound)) {
            i = end;
            continue;
        }
        for (; i < end; i++) {
            if (l[i] <= bound)
                continue;
            if (!(l[i] < INFINITY))
                return not_finite(i, l[i], err);
            if (map_has(&s->patched, i))
                continue;
            heap_add(s, k, (double)l[i], i);
            bound = s->n == k ? (float)s->c[0].l : bound;
        }
    }
    for (int i = 0; i < s->n_patch; i++)
        if (s->patch[i].l > -INFINITY)
            heap_add(s, k, s->patch[i].l, s->patch[i].id);
    qsort(s->c, (size_t)s->n, sizeof *s->c, by_logit);
    s->hidden = 0;
    s->listed = s->sorted = true;
    return 0;
}

/* All that reach `floor` (-INFINITY: all that are possible), by id, those that were changed behind the others. */
static int list_from(struct sampler *s, double floor, struct err *err)
{
    const float *l = s->logits;
    float bound = nextafterf((float)floor, -INFINITY); /* below every float that reaches it */
    s->n = 0;
    for (int i = 0; i < s->n_vocab;) {
        int end = i + BLOCK;
        if (end > s->n_vocab) {
            end = s->n_vocab;
        } else if (!any_above(l + i, bound)) {
            i = end;
            continue;
        }
        for (; i < end; i++) {
            if (l[i] <= bound)
                continue;
            if (!(l[i] < INFINITY))
                return not_finite(i, l[i], err);
            if ((double)l[i] >= floor && !map_has(&s->patched, i))
                s->c[s->n++] = (struct cand){.l = (double)l[i], .id = i};
        }
    }
    for (int i = 0; i < s->n_patch; i++)
        if (s->patch[i].l >= floor && s->patch[i].l > -INFINITY)
            s->c[s->n++] = s->patch[i];
    s->hidden = floor == -INFINITY ? s->n_vocab - s->n : 0;
    s->listed = true;
    s->sorted = false;
    return 0;
}

/* The largest of all logits. */
static int find_max(const struct sampler *s, double *max, struct err *err)
{
    const float *l = s->logits;
    float best = -INFINITY;
    for (int i = 0; i < s->n_vocab;) {
        int end = i + BLOCK;
        if (end > s->n_vocab) {
            end = s->n_vocab;
        } else if (!any_above(l + i, best)) {
            i = end;
            continue;
        }
        for (; i < end; i++) {
            if (l[i] <= best)
                continue;
            if (!(l[i] < INFINITY))
                return not_finite(i, l[i], err);
            if (!map_has(&s->patched, i))
                best = l[i];
        }
    }
    *max = (double)best;
    for (int i = 0; i < s->n_patch; i++)
        *max = s->patch[i].l > *max ? s->patch[i].l : *max;
    return 0;
}

static double list_max(const struct sampler *s)
{
    double max = s->c[0].l;
    for (int i = 1; i < s->n && !s->sorted; i++)
        max = s->c[i].l > max ? s->c[i].l : max;
    return max;
}

/* Sets the weights exp(logit - max) and returns their sum. */
static double weigh(struct sampler *s)
{
    double max = list_max(s), sum = 0;
    for (int i = 0; i < s->n; i++)
        sum += s->c[i].w = exp(s->c[i].l - max);
    return sum;
}

/* Entropy of the weights, in nats. */
static double entropy(const struct sampler *s, double sum)
{
    double h = 0;
    for (int i = 0; i < s->n; i++)
        if (s->c[i].w > 0)
            h -= s->c[i].w / sum * log(s->c[i].w / sum);
    return h;
}

/* ---- steps that change logits of single tokens ---- */

static struct touch *touch_id(struct sampler *s, int32_t id)
{
    if (!map_has(&s->touched, id)) {
        s->touch = grow(s->touch, s->n_touch, sizeof *s->touch);
        s->touch[s->n_touch] = (struct touch){.id = id};
        map_put(&s->touched, id, s->n_touch++);
    }
    return &s->touch[s->touched.slot[id]];
}

static double touched_logit(const struct sampler_step *step, const struct touch *t, double l)
{
    if (step->type != SAMPLER_PENALTIES)
        return l + t->add;
    l = l > 0 ? l / (double)step->repeat : l * (double)step->repeat;
    return l - t->count * (double)step->freq - (double)step->presence;
}

/* Applies what touch[] says, to the list or beside the logits. */
static void apply_touches(struct sampler *s, const struct sampler_step *step)
{
    if (s->listed) {
        int n = 0;
        for (int i = 0; i < s->n; i++) {
            struct cand c = s->c[i];
            if (map_has(&s->touched, c.id))
                c.l = touched_logit(step, &s->touch[s->touched.slot[c.id]], c.l);
            if (c.l > -INFINITY)
                s->c[n++] = c;
        }
        s->hidden += s->n - n;
        s->n = n;
        s->sorted = s->sorted && !s->n_touch;
        return;
    }
    for (int i = 0; i < s->n_touch; i++) {
        int32_t id = s->touch[i].id;
        if (!map_has(&s->patched, id)) {
            s->patch = grow(s->patch, s->n_patch, sizeof *s->patch);
            s->patch[s->n_patch] = (struct cand){.l = (double)s->logits[id], .id = id};
            map_put(&s->patched, id, s->n_patch++);
        }
        double *l = &s->patch[s->patched.slot[id]].l;
        if (*l > -INFINITY)
            *l = touched_logit(step, &s->touch[i], *l);
    }
}

static void touch_penalties(struct sampler *s, const struct sampler_step *step)
{
    if (step->repeat == 1 && step->freq == 0 && step->presence == 0)
        return;
    int n = step->last_n < 0 || step->last_n > s->n_text ? s->n_text : step->last_n;
    for (int i = s->n_text - n; i < s->n_text; i++)
        touch_id(s, s->text[i])->count++;
}

/* DRY: how many tokens behind the last breaker a repetition may have, at most n. */
static int dry_cap(const struct sampler *s, const int32_t *text, int n)
{
    for (int i = 0; i < n && s->first_breaker; i++) {
        int longest = -1;
        for (int b = s->first_breaker[text[n - 1 - i]]; b >= 0; b = s->breakers[b].next) {
            const struct breaker *k = &s->breakers[b];
            if (k->n_tail > longest && k->n_tail <= i && !memcmp(k->tail ? k->tail : text, text + n - i, (size_t)k->n_tail * sizeof *text))
                longest = k->n_tail;
        }
        if (longest >= 0)
            return i - longest;
    }
    return n;
}

static bool is_breaker(const struct sampler *s, int32_t id)
{
    for (int b = s->first_breaker ? s->first_breaker[id] : -1; b >= 0; b = s->breakers[b].next)
        if (!s->breakers[b].n_tail)
            return true;
    return false;
}

/*
 * For every position, how far the text that ends there equals the end of the text: the Z function of the text read backwards.
 * The token behind a long match would repeat what once followed.
 */
static void touch_dry(struct sampler *s, const struct sampler_step *step)
{
    if (step->multiplier == 0 || step->base < 1 || step->last_n == 0)
        return;
    int n = step->last_n < 0 || step->last_n > s->n_text ? s->n_text : step->last_n;
    const int32_t *text = s->text + s->n_text - n;
    int cap = n ? dry_cap(s, text, n) : 0;
    if (n <= step->allowed || cap < step->allowed)
        return;
    if ((size_t)n > s->reach_cap) {
        s->reach_cap = (size_t)n * 2;
        s->reach = mem_grow(s->reach, s->reach_cap, sizeof *s->reach);
    }
    int *z = s->reach; /* by distance from the end */
    z[0] = n;
    for (int i = 1, from = 0, to = 0; i < n; i++) {
        int k = i < to ? z[i - from] < to - i ? z[i - from] : to - i : 0;
        while (i + k < n && text[n - 1 - k] == text[n - 1 - i - k])
            k++;
        z[i] = k;
        if (i + k > to) {
            from = i;
            to = i + k;
        }
    }
    double top = step->base > 1.000001f ? floor(log((double)FLT_MAX) / log((double)step->base)) : 0;
    for (int i = 1; i < n; i++) {
        int k = z[i] < cap ? z[i] : cap;
        int32_t next = text[n - i];
        if (k < step->allowed || is_breaker(s, next))
            continue;
        double e = k - step->allowed;
        double add = -(double)step->multiplier * pow((double)step->base, top > 0 && e > top ? top : e);
        struct touch *t = touch_id(s, next);
        t->add = add < t->add ? add : t->add;
    }
}

static void touch_bias(struct sampler *s)
{
    for (int i = 0; i < s->n_bias; i++)
        touch_id(s, s->bias[i].id)->add = s->bias[i].add;
}

/* ---- steps on the list ---- */

static void cut_top_k(struct sampler *s, int k)
{
    if (!s->sorted && k < s->n)
        order_front(s->c, s->n, k, worse);
    s->sorted = s->sorted || k < s->n;
    keep_front(s, k);
}

static void cut_top_p(struct sampler *s, const struct sampler_step *step)
{
    double sum = weigh(s), reached = 0;
    for (int i = 0, m = 128; i < s->n; i++) {
        if (!s->sorted && (i == 0 || i == m)) {
            m = i ? m > s->n / 4 ? s->n : 4 * m : m;
            order_front(s->c + i, s->n - i, m - i, worse);
        }
        reached += s->c[i].w;
        if (reached >= (double)step->p * sum && i + 1 >= step->min_keep) {
            keep_front(s, i + 1);
            break;
        }
    }
    s->sorted = true;
}

static void cut_min_p(struct sampler *s, const struct sampler_step *step)
{
    double floor = list_max(s) + log((double)step->p);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += s->c[i].l >= floor;
    if (n < step->min_keep) {
        cut_top_k(s, step->min_keep);
        return;
    }
    n = 0;
    for (int i = 0; i < s->n; i++)
        if (s->c[i].l >= floor)
            s->c[n++] = s->c[i];
    keep_front(s, n);
}

static void cut_typical(struct sampler *s, const struct sampler_step *step)
{
    double sum = weigh(s), h = entropy(s, sum), max = list_max(s), reached = 0;
    for (int i = 0; i < s->n; i++)
        s->c[i].w = s->c[i].w > 0 ? -fabs(-log(s->c[i].w / sum) - h) : -INFINITY;
    for (int i = 0, m = 128; i < s->n; i++) {
        if (i == 0 || i == m) {
            m = i ? m > s->n / 4 ? s->n : 4 * m : m;
            order_front(s->c + i, s->n - i, m - i, worse_key);
        }
        reached += exp(s->c[i].l - max) / sum;
        if (reached > (double)step->p && i + 1 >= step->min_keep) {
            keep_front(s, i + 1);
            break;
        }
    }
    s->sorted = false;
}

static void cut_xtc(struct sampler *s, const struct sampler_step *step)
{
    if (step->p <= 0 || step->threshold > 0.5f || s->n + s->hidden < 2)
        return;
    double u = step->draw >= 0 ? step->draw : draw(s);
    if (u > (double)step->p)
        return;
    double sum = weigh(s);
    int over = 0;
    for (int i = 0; i < s->n; i++)
        over += s->c[i].w / sum >= (double)step->threshold;
    if (over < 2 || s->n + s->hidden - (over - 1) < step->min_keep)
        return;
    if (!s->sorted) /* only those over the threshold must be in order */
        order_front(s->c, s->n, over, worse);
    s->n -= over - 1;
    memmove(s->c, s->c + over - 1, (size_t)s->n * sizeof *s->c);
}

static void change_temp(struct sampler *s, double t)
{
    if (t <= 0)
        cut_top_k(s, 1);
    for (int i = 0; t > 0 && i < s->n; i++)
        s->c[i].l /= t;
}

static void change_temp_ext(struct sampler *s, const struct sampler_step *step)
{
    double t = (double)step->t, d = (double)step->delta;
    int count = s->n + s->hidden;
    if (d > 0 && count > 1) {
        double lo = t > d ? t - d : 0, hi = t + d, sum = weigh(s);
        t = lo + (hi - lo) * pow(entropy(s, sum) / log(count), (double)step->exponent);
    }
    if (d <= 0 || count > 1)
        change_temp(s, t);
}

/* sigma deviations of n numbers. */
static double deviation(double n, double sum, double squares, double sigma)
{
    double mean = sum / n, var = squares / n - mean * mean;
    return sigma * sqrt(var > 0 ? var : 0);
}

static void cut_sigma(struct sampler *s, const struct sampler_step *step)
{
    double sum = 0, squares = 0, max = list_max(s);
    for (int i = 0; i < s->n; i++) {
        sum += s->c[i].l - max;
        squares += (s->c[i].l - max) * (s->c[i].l - max);
    }
    double floor = max - deviation(s->n, sum, squares, (double)step->sigma);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (s->c[i].l >= floor)
            s->c[n++] = s->c[i];
    s->hidden += s->n - n;
    s->n = n;
}

static int list_sigma(struct sampler *s, const struct sampler_step *step, struct err *err)
{
    double max, sum = 0, squares = 0;
    int n = 0, rc = find_max(s, &max, err);
    for (int i = 0; !rc && i < s->n_vocab; i++) {
        double l = map_has(&s->patched, i) ? s->patch[s->patched.slot[i]].l : (double)s->logits[i];
        if (l == -INFINITY)
            continue;
        n++;
        sum += l - max;
        squares += (l - max) * (l - max);
    }
    if (!rc)
        rc = list_from(s, n ? max - deviation(n, sum, squares, (double)step->sigma) : 0, err);
    s->hidden = s->n_vocab - s->n;
    return rc;
}

static void cut_mirostat(struct sampler *s, const struct sampler_step *step)
{
    double sum = 0, squares = 0, total = weigh(s);
    int m = step->k < s->n ? step->k : s->n;
    if (!s->sorted)
        order_front(s->c, s->n, m, worse);
    for (int i = 0; i + 1 < m && s->c[i + 1].w / total > 0; i++) {
        double t = log((i + 2) / (double)(i + 1)), b = log(s->c[i].w / s->c[i + 1].w);
        sum += t * b;
        squares += t * t;
    }
    double slope = sum / squares, e = slope - 1;
    double k = pow(e * exp2(s->mu) / (1 - pow(s->n_vocab, -e)), 1 / slope);
    cut_top_k(s, k >= 1 && k < INT32_MAX ? (int)k : k >= INT32_MAX ? INT32_MAX : 1);
}

static void cut_mirostat_v2(struct sampler *s)
{
    double sum = weigh(s), best = 0;
    int n = 0, at = 0;
    for (int i = 0; i < s->n; i++)
        if (s->c[i].w > best || (s->c[i].w == best && worse(&s->c[at], &s->c[i]))) {
            best = s->c[i].w;
            at = i;
        }
    struct cand first = s->c[at];
    for (int i = 0; i < s->n; i++)
        if (-log2(s->c[i].w / sum) <= s->mu)
            s->c[n++] = s->c[i];
    if (!n)
        s->c[n++] = first;
    keep_front(s, n);
}

/* ---- the chain ---- */

/* What a step does while there is no list; true: nothing is left to do for it. */
static bool before_list(struct sampler *s, const struct sampler_step *step, int *rc, struct err *err)
{
    double max;
    if (step->type == SAMPLER_TOP_K && step->k < s->n_vocab) {
        *rc = list_best(s, step->k, err);
        return true;
    }
    if (step->type == SAMPLER_GREEDY || (step->type == SAMPLER_TEMP && step->t <= 0)) {
        *rc = list_best(s, 1, err);
        return true;
    }
    if (step->type == SAMPLER_TOP_N_SIGMA) {
        *rc = list_sigma(s, step, err);
        return true;
    }
    if (step->type == SAMPLER_MIN_P) {
        *rc = find_max(s, &max, err);
        if (!*rc)
            *rc = list_from(s, max == -INFINITY ? 0 : max + log((double)step->p), err);
        if (!*rc && s->n < step->min_keep)
            *rc = list_best(s, step->min_keep < s->n_vocab ? step->min_keep : s->n_vocab, err);
        return true;
    }
    *rc = list_from(s, -INFINITY, err);
    return *rc != 0;
}

/* Does nothing with these numbers. */
static bool is_off(const struct sampler_step *step)
{
    switch (step->type) {
    case SAMPLER_TOP_K:
        return step->k <= 0;
    case SAMPLER_TOP_P:
    case SAMPLER_TYPICAL:
        return step->p >= 1;
    case SAMPLER_MIN_P:
        return step->p <= 0;
    case SAMPLER_TOP_N_SIGMA:
        return step->sigma <= 0;
    case SAMPLER_XTC:
        return step->p <= 0 || step->threshold > 0.5f;
    case SAMPLER_TEMP:
        return step->t == 1;
    case SAMPLER_NONE:
        return true;
    default:
        return false;
    }
}

static void run_step(struct sampler *s, const struct sampler_step *step)
{
    switch (step->type) {
    case SAMPLER_TOP_K:
        cut_top_k(s, step->k);
        break;
    case SAMPLER_TOP_P:
        cut_top_p(s, step);
        break;
    case SAMPLER_MIN_P:
        cut_min_p(s, step);
        break;
    case SAMPLER_TYPICAL:
        cut_typical(s, step);
        break;
    case SAMPLER_XTC:
        cut_xtc(s, step);
        break;
    case SAMPLER_TOP_N_SIGMA:
        cut_sigma(s, step);
        break;
    case SAMPLER_TEMP_EXT:
        change_temp_ext(s, step);
        break;
    case SAMPLER_TEMP:
        change_temp(s, (double)step->t);
        break;
    case SAMPLER_GREEDY:
        cut_top_k(s, 1);
        break;
    case SAMPLER_MIROSTAT:
        cut_mirostat(s, step);
        s->miro = step;
        break;
    case SAMPLER_MIROSTAT_V2:
        cut_mirostat_v2(s);
        s->miro = step;
        break;
    default:
        break;
    }
}

/* Runs the chain: the list of what may be drawn, with weights above 0, whose sum is *sum. */
static int evaluate(struct sampler *s, const float *logits, double *sum, struct err *err)
{
    int rc = 0;
    s->logits = logits;
    s->listed = s->sorted = false;
    s->n_patch = s->n = s->hidden = 0;
    s->miro = NULL;
    map_reset(&s->patched, s->n_vocab);
    for (int i = 0; i <= s->n_steps && !rc; i++) {
        const struct sampler_step *step = &s->steps[i]; /* the one behind the last is SAMPLER_NONE: it makes the list */
        bool touches = step->type == SAMPLER_PENALTIES || step->type == SAMPLER_DRY || step->type == SAMPLER_LOGIT_BIAS;
        if (touches) {
            s->n_touch = 0;
            map_reset(&s->touched, s->n_vocab);
            if (step->type == SAMPLER_PENALTIES)
                touch_penalties(s, step);
            else if (step->type == SAMPLER_DRY)
                touch_dry(s, step);
            else
                touch_bias(s);
            apply_touches(s, step);
        } else if (i == s->n_steps ? !s->listed : !is_off(step)) {
            if ((!s->listed && before_list(s, step, &rc, err)) || !s->n)
                continue;
            run_step(s, step);
        }
    }
    if (rc)
        return rc;
    if (!s->n)
        return err_set(err, ERR_IO, "numeric: the model gives no token any probability (all logits are minus infinity)");
    weigh(s);
    int n = 0;
    *sum = 0;
    for (int i = 0; i < s->n; i++)
        if (s->c[i].w > 0) {
            *sum += s->c[i].w;
            s->c[n++] = s->c[i];
        }
    s->n = n;
    return 0;
}

int sampler_next(struct sampler *s, const float *logits, int32_t *id, struct err *err)
{
    double sum;
    int i = 0, rc = evaluate(s, logits, &sum, err);
    if (rc)
        return rc;
    if (s->n > 1) {
        double u = draw(s) * sum;
        while (i < s->n - 1 && u >= s->c[i].w)
            u -= s->c[i++].w;
    }
    *id = s->c[i].id;
    s->mu_before = s->mu;
    if (s->miro)
        s->mu -= (double)s->miro->eta * (-log2(s->c[i].w / sum) - (double)s->miro->tau);
    return 0;
}

void sampler_refuse(struct sampler *s)
{
    s->mu = s->mu_before;
}

double sampler_mu(const struct sampler *s)
{
    return s->mu;
}

int sampler_probs(struct sampler *s, const float *logits, int32_t *ids, float *probs, int max_n, int *count, struct err *err)
{
    uint64_t rng[4];
    double sum;
    memcpy(rng, s->rng, sizeof rng);
    int rc = evaluate(s, logits, &sum, err);
    memcpy(s->rng, rng, sizeof rng);
    if (rc)
        return rc;
    sort_all(s);
    for (int i = 0; i < s->n && i < max_n; i++) {
        ids[i] = s->c[i].id;
        probs[i] = (float)(s->c[i].w / sum);
    }
    *count = s->n;
    return 0;
}
