/*
 * Byte-level BPE: the byte alphabet and the merge table (spec: tokenizers 2.1, 2.4, 6).
 *
 * The merge table is an open-addressing hash table of fixed size, at most half full, keyed by a pair of ids; it gives rank and
 * result. A merge whose sides or result are no tokens is left out (nothing could be emitted for it), and so is one that
 * would make a control token or a mark: text never becomes those.
 */
#include "config.h"

#include "model/tok_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

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

void bpe_bytes(struct tok *t)
{
    for (int b = 0; b < 256; b++) {
        char u[4];
        int32_t id = vocab_find(t, u, utf8_encode(bpe_byte_to_cp(b), u));
        t->byte_id[b] = id >= 0 && vocab_is_text(t, id) ? id : -1;
    }
}

/* ---- merges ---- */

static void merge_add(struct tok *t, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = bpe_merge_home(t, pair);
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
    id = vocab_find(t, join->data, n);
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
    uint32_t size = 64;
    while (size < kv->count * 2)
        size *= 2;
    t->merges = mem_array(size, sizeof *t->merges);
    t->merge_mask = size - 1;
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
            l->h_left = vocab_hash(t, l->s, l->left);
            l->h_right = vocab_hash(t, space + 1, l->right);
            __builtin_prefetch(&t->vocab[(uint32_t)l->h_left & t->vocab_mask]);
            __builtin_prefetch(&t->vocab[(uint32_t)l->h_right & t->vocab_mask]);
        }
        for (int i = 0; i < n; i++, rank++) {
            const struct line *l = &line[i];
            if (!l->right)
                continue;
            int32_t a = vocab_find_hashed(t, l->h_left, l->s, l->left);
            int32_t b = a < 0 ? -1 : vocab_find_hashed(t, l->h_right, l->s + l->left + 1, l->right);
            int32_t ab = b < 0 ? -1 : find_joined(t, l, &guess, &join);
            if (ab >= 0 && vocab_is_text(t, ab))
                merge_add(t, a, b, rank, ab);
        }
    }
    buf_finish(&join);
    return 0;
}

int32_t bpe_whole(const struct tok *t, const char *s, size_t n)
{
    if (!n || n > t->longest)
        return -1;
    char small[256], *u = n * 2 <= sizeof small ? small : mem_alloc(n * 2);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += utf8_encode(bpe_byte_to_cp((unsigned char)s[i]), u + k);
    int32_t id = vocab_find(t, u, k);
    if (u != small)
        free(u);
    return id >= 0 && t->type[id] == TOK_NORMAL ? id : -1; /* user-defined texts are not in the alphabet */
}
