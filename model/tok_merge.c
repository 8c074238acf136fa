/*
 * Merging: a piece of text becomes symbols, and adjacent symbols become one, the best pair first (spec: tokenizers 2.4, 3).
 *
 * Symbols are a linked list in an array by the offset of their first byte, so the bytes of a symbol and of a pair need no memory.
 * Candidates are in a binary heap ordered by (rank, position). A symbol stores the rank of the pair it begins; a heap
 * entry that does not agree with it is stale and skipped. What a pair becomes is a merge of the table (by rank) or the token
 * that has the pair's bytes (by score); nothing else differs between the models. O(n log n); byte-level pieces of a few bytes,
 * which is nearly all, are merged in a small array without the heap.
 */
#include "config.h"

#include "model/tok_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

#define SMALL_PIECE 24 /* bytes: up to here a scan for the least rank beats the heap */

static void merge_small(const struct tok *t, const char *s, size_t n, struct tok_ids *out)
{
    int32_t id[SMALL_PIECE], to[SMALL_PIECE]; /* to[i]: what id[i], id[i + 1] become */
    uint32_t rank[SMALL_PIECE];
    for (size_t i = 0; i < n; i++)
        id[i] = t->byte_id[(unsigned char)s[i]];
    for (size_t i = 0; i + 1 < n; i++) {
        const struct merge_slot *m = bpe_merge(t, id[i], id[i + 1]);
        rank[i] = m ? m->rank : RANK_NONE;
        to[i] = m ? (int32_t)m->id1 - 1 : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == RANK_NONE)
            break;
        id[best] = to[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i - 1] = rank[i];
            to[i - 1] = to[i];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct merge_slot *m = bpe_merge(t, id[i], id[i + 1]);
            rank[i] = m ? m->rank : RANK_NONE;
            to[i] = m ? (int32_t)m->id1 - 1 : -1;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (id[i] >= 0)
            tok_ids_add(out, id[i]);
}

/* ---- the heap ---- */

static void heap_push(struct merge_work *w, uint64_t x)
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

static uint64_t heap_pop(struct merge_work *w)
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

/* ---- symbols ---- */

/* Appends the symbol that begins at byte i; *last is the one before it. */
static void symbol(struct merge_work *w, size_t i, int32_t id, uint32_t *last)
{
    w->sym[i] = (struct merge_sym){.id = id, .prev = *last, .next = RANK_NONE};
    if (*last != RANK_NONE)
        w->sym[*last].next = (uint32_t)i;
    *last = (uint32_t)i;
}

static void make_symbols(const struct tok *t, struct merge_work *w)
{
    uint32_t last = RANK_NONE;
    for (size_t i = 0, len = 1; i < w->n; i += len) {
        if (t->model == TOK_BPE) {
            symbol(w, i, t->byte_id[(unsigned char)w->s[i]], &last);
            continue;
        }
        uint32_t c = utf8_decode(w->s + i, w->n - i, &len);
        if (c >= UTF8_PART)
            len = 1;
        int32_t id = vocab_find(t, w->s + i, len);
        if (id >= 0 && vocab_is_text(t, id)) {
            symbol(w, i, id, &last);
        } else if (t->model == TOK_SPM) {
            symbol(w, i, -1, &last); /* a pair with it may still be a token */
        } else {
            for (size_t k = 0; k < len; k++)
                symbol(w, i + k, t->byte_id[(unsigned char)w->s[i + k]], &last);
        }
    }
}

static size_t end_of(const struct merge_work *w, uint32_t i)
{
    return w->sym[i].next == RANK_NONE ? w->n : w->sym[i].next;
}

/* The pair that begins at symbol i is new: its rank, and a candidate when it merges. */
static void pair_changed(const struct tok *t, struct merge_work *w, uint32_t i)
{
    struct merge_sym *a = &w->sym[i];
    a->rank = RANK_NONE;
    if (a->next == RANK_NONE)
        return;
    if (t->model == TOK_SPM) {
        a->to = vocab_find(t, w->s + i, end_of(w, a->next) - i);
        if (a->to >= 0)
            a->rank = t->order[a->to];
    } else {
        const struct merge_slot *m = bpe_merge(t, a->id, w->sym[a->next].id);
        if (m) {
            a->rank = m->rank;
            a->to = (int32_t)m->id1 - 1;
        }
    }
    if (a->rank != RANK_NONE)
        heap_push(w, (uint64_t)a->rank << 32 | i);
}

static void merge_large(const struct tok *t, struct merge_work *w, struct tok_ids *out)
{
    ASSERT(w->n < RANK_NONE);
    if (w->n > w->n_sym) {
        w->n_sym = w->n + w->n / 4;
        w->sym = mem_grow(w->sym, w->n_sym, sizeof *w->sym);
    }
    w->n_heap = 0;
    make_symbols(t, w);
    for (uint32_t i = 0; i != RANK_NONE; i = w->sym[i].next)
        pair_changed(t, w, i);
    while (w->n_heap) {
        uint64_t x = heap_pop(w);
        uint32_t i = (uint32_t)x;
        struct merge_sym *a = &w->sym[i];
        if (a->rank != (uint32_t)(x >> 32))
            continue;
        struct merge_sym *b = &w->sym[a->next];
        a->id = a->to;
        b->rank = RANK_NONE; /* gone: no entry of it is valid any more */
        a->next = b->next;
        if (a->next != RANK_NONE)
            w->sym[a->next].prev = i;
        pair_changed(t, w, i);
        if (a->prev != RANK_NONE)
            pair_changed(t, w, a->prev);
    }
    for (uint32_t i = 0; i != RANK_NONE; i = w->sym[i].next) {
        if (w->sym[i].id >= 0)
            tok_ids_add(out, w->sym[i].id);
        else if (t->model != TOK_BPE)
            for (size_t k = i, end = end_of(w, i); k < end; k++)
                if (t->byte_id[(unsigned char)w->s[k]] >= 0)
                    tok_ids_add(out, t->byte_id[(unsigned char)w->s[k]]);
    }
}

void merge_piece(const struct tok *t, struct merge_work *w, const char *s, size_t n, struct tok_ids *out)
{
    if (t->model == TOK_BPE && n <= SMALL_PIECE) {
        merge_small(t, s, n, out);
        return;
    }
    w->s = s;
    w->n = n;
    merge_large(t, w, out);
}

void merge_work_finish(struct merge_work *w)
{
    free(w->sym);
    free(w->heap);
    *w = (struct merge_work){0};
}
