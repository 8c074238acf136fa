/*
 * Byte-level BPE: the map from text to id, the merge table, and merging (spec: tokenizers 2.1, 2.4, 6).
 *
 * Both tables are open-addressing hash tables of fixed size, at most half full. The vocabulary's slots hold 32 bits of the
 * hash and the id; the texts stay in the mapped file. The merge table is keyed by a pair of ids and gives rank and result;
 * a merge whose sides or result are no tokens is left out (nothing could be emitted for it).
 *
 * Merging a piece: symbols in a linked list, candidates in a binary heap ordered by (rank, position). A symbol stores the rank of
 * the pair it begins; a heap entry that does not agree with it is stale and skipped. A rank names its pair, so this
 * is exact. O(n log n); pieces of a few bytes, which is nearly all, are merged in a small array without the heap.
 *
 * Files are hostile: a text may be empty, may be there twice (the first id keeps it), may be a megabyte long.
 */
#include "config.h"

#include "model/tok_priv.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "base/utf8.h"

#define SMALL_PIECE 24 /* bytes: up to here a scan for the least rank beats the heap */
#define PROBE_AHEAD 16 /* merges looked up together, so that their cache misses overlap */

/* ---- byte alphabet ---- */

static bool plain_byte(int b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

/* The 68 other bytes, in ascending order, are U+0100 and on: 00-20, 7F-A0, AD. */
uint32_t bpe_byte_to_cp(int b)
{
    if (plain_byte(b))
        return (uint32_t)b;
    if (b <= 0x20)
        return 0x100 + (uint32_t)b;
    return b == 0xAD ? 0x143 : 0x121 + (uint32_t)b - 0x7F;
}

int bpe_cp_to_byte(uint32_t cp)
{
    if (cp < 0x100)
        return plain_byte((int)cp) ? (int)cp : -1;
    if (cp <= 0x120)
        return (int)(cp - 0x100);
    if (cp <= 0x142)
        return (int)(cp - 0x121 + 0x7F);
    return cp == 0x143 ? 0xAD : -1;
}

/* ---- vocabulary ---- */

static uint32_t table_size(size_t n)
{
    uint32_t size = 64;
    while (size < n * 2)
        size *= 2;
    return size;
}

static inline bool same(const struct tok_text *t, const char *s, size_t n)
{
    return t->n == n && memcmp(t->s, s, n) == 0;
}

static int32_t find_hashed(const struct tok *t, uint64_t h, const char *s, size_t n)
{
    for (uint32_t i = (uint32_t)h & t->vocab_mask;; i = (i + 1) & t->vocab_mask) {
        const struct vocab_slot *v = &t->vocab[i];
        if (!v->id1)
            return -1;
        if (v->hash == (uint32_t)(h >> 32) && same(&t->text[v->id1 - 1], s, n))
            return (int32_t)v->id1 - 1;
    }
}

int32_t bpe_find(const struct tok *t, const char *s, size_t n)
{
    return n ? find_hashed(t, XXH3_64bits(s, n), s, n) : -1;
}

void bpe_build_vocab(struct tok *t)
{
    uint32_t size = table_size((size_t)t->n);
    t->vocab = mem_array(size, sizeof *t->vocab);
    t->vocab_mask = size - 1;
    for (int id = 0; id < t->n; id++) {
        const struct tok_text *x = &t->text[id];
        if (x->n > t->longest)
            t->longest = x->n;
        if (!x->n)
            continue;
        uint64_t h = XXH3_64bits(x->s, x->n);
        uint32_t i = (uint32_t)h & t->vocab_mask;
        while (t->vocab[i].id1) {
            if (t->vocab[i].hash == (uint32_t)(h >> 32) && same(&t->text[t->vocab[i].id1 - 1], x->s, x->n))
                break;
            i = (i + 1) & t->vocab_mask;
        }
        if (t->vocab[i].id1) {
            t->twins = true;
            continue;
        }
        t->vocab[i] = (struct vocab_slot){.hash = (uint32_t)(h >> 32), .id1 = (uint32_t)id + 1};
    }
    for (int b = 0; b < 256; b++) {
        char u[4];
        t->byte_id[b] = bpe_find(t, u, utf8_encode(bpe_byte_to_cp(b), u));
    }
}

/* ---- merges ---- */

static inline uint32_t merge_home(const struct tok *t, uint64_t pair)
{
    return (uint32_t)((pair * 0x9E3779B97F4A7C15u) >> t->merge_shift);
}

static inline const struct merge_slot *merge_find(const struct tok *t, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t i = merge_home(t, pair);; i = (i + 1) & t->merge_mask) {
        const struct merge_slot *m = &t->merges[i];
        if (!m->id1)
            return NULL;
        if (m->pair == pair)
            return m;
    }
}

static void merge_add(struct tok *t, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = merge_home(t, pair);
    while (t->merges[i].id1) {
        if (t->merges[i].pair == pair)
            return; /* the first one counts */
        i = (i + 1) & t->merge_mask;
    }
    t->merges[i] = (struct merge_slot){.pair = pair, .rank = rank, .id1 = (uint32_t)result + 1};
}

/* One merge line on its way through the tables. */
struct line {
    const char *s;
    size_t left, right; /* lengths; right follows the space */
    uint64_t h_left, h_right;
};

/* The token left + right. Exports list merges in the order of the tokens they make, so it mostly is the one after *guess. */
static int32_t find_joined(const struct tok *t, const struct line *l, int32_t *guess, struct buf *join)
{
    size_t n = l->left + l->right;
    int32_t id = *guess + 1;
    if (!t->twins && id < t->n && t->text[id].n == n && memcmp(t->text[id].s, l->s, l->left) == 0 &&
        memcmp(t->text[id].s + l->left, l->s + l->left + 1, l->right) == 0) {
        *guess = id;
        return id;
    }
    if (n > t->longest)
        return -1;
    buf_reset(join);
    buf_add(join, l->s, l->left);
    buf_add(join, l->s + l->left + 1, l->right);
    id = bpe_find(t, join->data, n);
    if (id >= 0)
        *guess = id;
    return id;
}

int bpe_build_merges(struct tok *t, const struct gguf_kv *kv, const char *path, struct err *err)
{
    if (kv->type != GGUF_ARR || (kv->count && kv->elem != GGUF_STR))
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.merges is no array of strings", path);
    if (kv->count > TOK_MAX_MERGES)
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.merges has %llu entries, at most %d are allowed", path,
                       (unsigned long long)kv->count, TOK_MAX_MERGES);
    uint32_t size = table_size((size_t)kv->count);
    t->merges = mem_array(size, sizeof *t->merges);
    t->merge_mask = size - 1;
    t->merge_shift = 64 - (uint32_t)__builtin_ctz(size);
    struct buf join = BUF_INIT(SIZE_MAX / 2);
    const unsigned char *cur = NULL;
    int32_t guess = -1;
    uint32_t rank = 0;
    for (bool more = true; more;) {
        struct line line[PROBE_AHEAD];
        int n = 0;
        for (; n < PROBE_AHEAD; n++) {
            struct gguf_str s;
            if (!(more = gguf_next_str(kv, &cur, &s)))
                break;
            const char *space = s.n > 1 ? memchr(s.s + 1, ' ', s.n - 1) : NULL;
            struct line *l = &line[n];
            *l = (struct line){.s = s.s};
            if (!space || space + 1 == s.s + s.n)
                continue; /* names nothing: keeps its rank, merges nothing */
            l->left = (size_t)(space - s.s);
            l->right = s.n - l->left - 1;
            l->h_left = XXH3_64bits(l->s, l->left);
            l->h_right = XXH3_64bits(space + 1, l->right);
            __builtin_prefetch(&t->vocab[(uint32_t)l->h_left & t->vocab_mask]);
            __builtin_prefetch(&t->vocab[(uint32_t)l->h_right & t->vocab_mask]);
        }
        for (int i = 0; i < n; i++, rank++) {
            const struct line *l = &line[i];
            if (!l->right)
                continue;
            int32_t a = find_hashed(t, l->h_left, l->s, l->left);
            int32_t b = a < 0 ? -1 : find_hashed(t, l->h_right, l->s + l->left + 1, l->right);
            int32_t ab = b < 0 ? -1 : find_joined(t, l, &guess, &join);
            if (ab >= 0)
                merge_add(t, a, b, rank, ab);
        }
    }
    buf_finish(&join);
    return 0;
}

/* ---- merging ---- */

static void merge_small(const struct tok *t, const char *s, size_t n, struct tok_ids *out)
{
    int32_t id[SMALL_PIECE], to[SMALL_PIECE]; /* to[i]: what id[i], id[i + 1] become */
    uint32_t rank[SMALL_PIECE];
    for (size_t i = 0; i < n; i++)
        id[i] = t->byte_id[(unsigned char)s[i]];
    for (size_t i = 0; i + 1 < n; i++) {
        const struct merge_slot *m = merge_find(t, id[i], id[i + 1]);
        rank[i] = m ? m->rank : BPE_NONE;
        to[i] = m ? (int32_t)m->id1 - 1 : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == BPE_NONE)
            break;
        id[best] = to[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i - 1] = rank[i];
            to[i - 1] = to[i];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct merge_slot *m = merge_find(t, id[i], id[i + 1]);
            rank[i] = m ? m->rank : BPE_NONE;
            to[i] = m ? (int32_t)m->id1 - 1 : -1;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (id[i] >= 0)
            tok_ids_add(out, id[i]);
}

static void heap_push(struct bpe_work *w, uint64_t x)
{
    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap * 2 + 256;
        w->heap = mem_grow(w->heap, w->cap_heap, sizeof *w->heap);
    }
    size_t i = w->n_heap++;
    for (; i && w->heap[(i - 1) / 2] > x; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = x;
}

static uint64_t heap_pop(struct bpe_work *w)
{
    uint64_t *h = w->heap, top = h[0], x = h[--w->n_heap];
    size_t i = 0, n = w->n_heap;
    for (size_t k = 1; k < n; k = 2 * i + 1) {
        if (k + 1 < n && h[k + 1] < h[k])
            k++;
        if (h[k] >= x)
            break;
        h[i] = h[k];
        i = k;
    }
    if (n)
        h[i] = x;
    return top;
}

/* The pair that begins at symbol i is new: its rank, and a candidate when it merges. */
static void pair_changed(const struct tok *t, struct bpe_work *w, uint32_t i)
{
    struct bpe_sym *a = &w->sym[i];
    const struct merge_slot *m = a->next == BPE_NONE ? NULL : merge_find(t, a->id, w->sym[a->next].id);
    a->rank = m ? m->rank : BPE_NONE;
    if (m)
        heap_push(w, (uint64_t)a->rank << 32 | i);
}

static void merge_large(const struct tok *t, struct bpe_work *w, const char *s, size_t n, struct tok_ids *out)
{
    ASSERT(n < BPE_NONE);
    if (n > w->n_sym) {
        w->n_sym = n + n / 4;
        w->sym = mem_grow(w->sym, w->n_sym, sizeof *w->sym);
    }
    w->n_heap = 0;
    for (size_t i = 0; i < n; i++)
        w->sym[i] = (struct bpe_sym){.id = t->byte_id[(unsigned char)s[i]], .prev = i ? (uint32_t)i - 1 : BPE_NONE,
                                     .next = i + 1 < n ? (uint32_t)i + 1 : BPE_NONE};
    for (size_t i = 0; i < n; i++)
        pair_changed(t, w, (uint32_t)i);
    while (w->n_heap) {
        uint64_t x = heap_pop(w);
        uint32_t i = (uint32_t)x;
        struct bpe_sym *a = &w->sym[i];
        if (a->rank != (uint32_t)(x >> 32))
            continue;
        struct bpe_sym *b = &w->sym[a->next];
        a->id = (int32_t)merge_find(t, a->id, b->id)->id1 - 1;
        b->rank = BPE_NONE; /* gone: no entry of it is valid any more */
        a->next = b->next;
        if (a->next != BPE_NONE)
            w->sym[a->next].prev = i;
        pair_changed(t, w, i);
        if (a->prev != BPE_NONE)
            pair_changed(t, w, a->prev);
    }
    for (uint32_t i = 0; i != BPE_NONE; i = w->sym[i].next)
        if (w->sym[i].id >= 0)
            tok_ids_add(out, w->sym[i].id);
}

/* The token that is the whole piece, or -1. Only ordinary tokens: what a person typed never becomes a special one here. */
static int32_t whole(const struct tok *t, const char *s, size_t n)
{
    if (n > t->longest)
        return -1;
    char small[256], *u = n * 2 <= sizeof small ? small : mem_alloc(n * 2);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += utf8_encode(bpe_byte_to_cp((unsigned char)s[i]), u + k);
    int32_t id = bpe_find(t, u, k);
    if (u != small)
        free(u);
    return id >= 0 && t->type[id] == TOK_NORMAL ? id : -1;
}

void bpe_piece(const struct tok *t, struct bpe_work *w, const char *s, size_t n, struct tok_ids *out)
{
    if (t->ignore_merges) {
        int32_t id = whole(t, s, n);
        if (id >= 0) {
            tok_ids_add(out, id);
            return;
        }
    }
    if (n <= SMALL_PIECE)
        merge_small(t, s, n, out);
    else
        merge_large(t, w, s, n, out);
}

void bpe_work_finish(struct bpe_work *w)
{
    free(w->sym);
    free(w->heap);
    *w = (struct bpe_work){0};
}
