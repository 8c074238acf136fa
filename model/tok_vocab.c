/*
 * A vocabulary: the map from text to id, and the tokens that are matched in raw text before anything else (spec: tokenizers 1, 6).
 *
 * The map is an open-addressing hash table of fixed size, at most half full; a slot holds 32 bits of the hash and the id, the
 * texts stay in the mapped file. Texts are foreign, so the hash has a random seed.
 *
 * Special tokens: control and unknown tokens, which only a template may write, and user-defined ones. Of these some are marks,
 * too (<think>, [TOOL_CALLS]): what a person typed must not become one. Others are nothing but text that the model's
 * authors wanted whole: runs of spaces and line ends, single letters, HTML tags; they are matched everywhere, as the model
 * was trained so. Their texts stand in a tree in which a chain without branches is one node, so its size is in proportion to the
 * number of tokens; matching at a place takes at most TOK_MAX_SPECIAL bytes.
 *
 * Files are hostile: a text may be empty, may be there twice (the first id keeps it), may be a megabyte long.
 */
#include "config.h"

#include "model/tok_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- text to id ---- */

uint64_t vocab_hash(const struct tok *t, const char *s, size_t n)
{
    return XXH3_64bits_withSeed(s, n, t->seed);
}

/* The slot of a text: where it is, or the free one where it would be. */
static struct vocab_slot *slot_of(const struct tok *t, uint64_t h, const char *s, size_t n)
{
    for (uint32_t i = (uint32_t)h & t->vocab_mask;; i = (i + 1) & t->vocab_mask) {
        struct vocab_slot *v = &t->vocab[i];
        if (!v->id1)
            return v;
        const struct tok_text *x = &t->text[v->id1 - 1];
        if (v->hash == (uint32_t)(h >> 32) && x->n == n && memcmp(x->s, s, n) == 0)
            return v;
    }
}

int32_t vocab_find_hashed(const struct tok *t, uint64_t hash, const char *s, size_t n)
{
    return (int32_t)slot_of(t, hash, s, n)->id1 - 1;
}

int32_t vocab_find(const struct tok *t, const char *s, size_t n)
{
    return n && n <= t->longest ? vocab_find_hashed(t, vocab_hash(t, s, n), s, n) : -1;
}

void vocab_build(struct tok *t)
{
    uint32_t size = 64;
    while (size < (uint32_t)t->n * 2)
        size *= 2;
    if (getrandom(&t->seed, sizeof t->seed, GRND_NONBLOCK) != sizeof t->seed)
        t->seed = (uint64_t)clock_mono_us() * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)t;
    t->vocab = mem_array(size, sizeof *t->vocab);
    t->vocab_mask = size - 1;
    for (int id = 0; id < t->n; id++) {
        const struct tok_text *x = &t->text[id];
        if (x->n > t->longest)
            t->longest = x->n;
        if (!x->n)
            continue;
        uint64_t h = vocab_hash(t, x->s, x->n);
        struct vocab_slot *v = slot_of(t, h, x->s, x->n);
        if (v->id1)
            t->twins = true;
        else
            *v = (struct vocab_slot){.hash = (uint32_t)(h >> 32), .id1 = (uint32_t)id + 1};
    }
}

bool vocab_is_text(const struct tok *t, int32_t id)
{
    return t->type[id] == TOK_NORMAL || t->type[id] == TOK_UNUSED || (t->type[id] == TOK_USER && !t->mark[id]);
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vocab_byte(const struct tok_text *x)
{
    if (x->n != 6 || memcmp(x->s, "<0x", 3) != 0 || x->s[5] != '>' || hex(x->s[3]) < 0 || hex(x->s[4]) < 0)
        return -1;
    return hex(x->s[3]) * 16 + hex(x->s[4]);
}

/* ---- marks and text ---- */

/* <name> or </name> of HTML: Gemma has them as tokens, and in its templates they mean nothing. */
static bool html_tag(const struct tok_text *x)
{
    static const char names[] = " table caption thead tbody tfoot tr th td h1 h2 h3 h4 h5 h6 blockquote strong em b i u s sub sup code "
                                "ul ol li p br hr a img div span pre ";
    char word[16];
    size_t from = x->n > 2 && x->s[1] == '/' ? 2 : 1, n = x->n > from + 1 ? x->n - from - 1 : 0;
    if (!n || n + 3 > sizeof word || x->s[0] != '<' || x->s[x->n - 1] != '>')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(x->s[from + i] >= 'a' && x->s[from + i] <= 'z') && !(x->s[from + i] >= '0' && x->s[from + i] <= '9'))
            return false;
    word[0] = ' ';
    memcpy(word + 1, x->s + from, n);
    memcpy(word + 1 + n, " ", 2);
    return strstr(names, word) != NULL;
}

/* Brackets and bars (ASCII or the full-width one of DeepSeek's marks) are what marks are made with. */
static bool looks_like_mark(const struct tok_text *x)
{
    for (size_t i = 0; i < x->n; i++)
        if (memchr("<>[]{}|", x->s[i], 7) || (x->n - i >= 3 && memcmp(x->s + i, "\xEF\xBD\x9C", 3) == 0))
            return true;
    return false;
}

void special_mark(struct tok *t)
{
    for (int32_t id = 0; id < t->n; id++)
        t->mark[id] = t->type[id] == TOK_USER &&
                      (id == t->bos || id == t->eos || t->eog[id] || (looks_like_mark(&t->text[id]) && !html_tag(&t->text[id])));
}

/* ---- the tree ---- */

static int by_text(const void *a, const void *b, void *arg)
{
    const struct tok *t = arg;
    const struct tok_text *x = &t->text[*(const int32_t *)a], *y = &t->text[*(const int32_t *)b];
    int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int32_t *sorted_specials(const struct tok *t, uint32_t *n)
{
    uint32_t k = 0, cap = 0;
    int32_t *list = NULL;
    for (int32_t id = 0; id < t->n; id++) {
        const struct tok_text *x = &t->text[id];
        if ((t->type[id] != TOK_CONTROL && t->type[id] != TOK_USER && t->type[id] != TOK_UNKNOWN) || !x->n || x->n > TOK_MAX_SPECIAL)
            continue;
        if (t->twins && vocab_find(t, x->s, x->n) != id)
            continue;
        if (k == cap) {
            cap = cap * 2 + 64;
            list = mem_grow(list, cap, sizeof *list);
        }
        list[k++] = id;
    }
    if (k)
        qsort_r(list, k, sizeof *list, by_text, (void *)t);
    *n = k;
    return list;
}

/* The end of the tokens from `from` on whose byte at `depth` is that of the first. */
static uint32_t same_byte(const struct tok *t, const int32_t *list, uint32_t from, uint32_t to, size_t depth)
{
    char c = t->text[list[from]].s[depth];
    while (to - from > 1) {
        uint32_t mid = from + (to - from) / 2;
        if (t->text[list[mid]].s[depth] == c)
            from = mid;
        else
            to = mid;
    }
    return to;
}

void special_build(struct tok *t)
{
    struct range {
        uint32_t lo, hi; /* of the sorted list */
    } *range;
    uint32_t n;
    int32_t *list = sorted_specials(t, &n);
    t->special = mem_array((size_t)n * 2 + 1, sizeof *t->special); /* each node but the root is a token or branches */
    range = mem_array((size_t)n * 2 + 1, sizeof *range);
    t->special[0].id = -1;
    range[0] = (struct range){0, n};
    for (uint32_t k = 0, used = 1; k < used; k++) { /* nodes in the order of their depth in the tree */
        struct special_node *p = &t->special[k];
        uint32_t lo = range[k].lo, hi = range[k].hi;
        if (lo < hi && t->text[list[lo]].n == p->depth)
            p->id = list[lo++];
        p->child = used;
        while (lo < hi) {
            const struct tok_text *x = &t->text[list[lo]];
            uint32_t end = same_byte(t, list, lo, hi, p->depth);
            const struct tok_text *y = &t->text[list[end - 1]];
            size_t depth = p->depth + 1u;
            while (depth < x->n && depth < y->n && x->s[depth] == y->s[depth])
                depth++;
            t->special[used] = (struct special_node){.any = list[lo], .id = -1, .depth = (uint8_t)depth, .byte = (uint8_t)x->s[p->depth]};
            range[used++] = (struct range){lo, end};
            p->n_child++;
            lo = end;
        }
    }
    free(range);
    free(list);
}

static const struct special_node *child_of(const struct tok *t, const struct special_node *p, unsigned char c)
{
    const struct special_node *first = &t->special[p->child];
    uint32_t n = p->n_child;
    while (n > 1) {
        uint32_t half = n / 2;
        if (first[half].byte <= c) {
            first += half;
            n -= half;
        } else {
            n = half;
        }
    }
    return n && first->byte == c ? first : NULL;
}

int32_t special_at(const struct tok *t, const char *s, size_t n, size_t open, int flags)
{
    const struct special_node *p = &t->special[0];
    int32_t best = -1;
    size_t depth = 0;
    while (depth < n && (p = child_of(t, p, (unsigned char)s[depth])) != NULL) {
        if (p->depth > n || memcmp(t->text[p->any].s + depth + 1, s + depth + 1, p->depth - depth - 1) != 0)
            break;
        depth = p->depth;
        if (p->id < 0)
            continue;
        if (vocab_is_text(t, p->id) || (depth <= open && ((flags & TOK_SPECIAL) || t->type[p->id] == TOK_USER)))
            best = p->id;
    }
    return best;
}
