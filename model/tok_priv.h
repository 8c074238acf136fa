#ifndef MODEL_TOK_PRIV_H
#define MODEL_TOK_PRIV_H
/*
 * Inside the tokenizer: what tok.c, tok_pre.c, tok_vocab.c, tok_bpe.c and tok_merge.c share. Nobody else includes this.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/limits.h"
#include "model/tok.h"

/* ---- pre-tokenizers (tok_pre.c) ---- */

/* Classes of a code point, as bits. LU: Lu and Lt; LL: Ll; LX: the other letters. WS: White_Space, not a category. */
enum {
    C_LU = 1, C_LL = 2, C_LX = 4, C_L = 7, C_N = 8, C_P = 16, C_S = 32, C_M = 64, C_WS = 128
};

/* A text as code points; grown, never shrunk, used again for each fragment of a text. */
struct pre_text {
    uint32_t *cp;
    uint8_t *cls;
    uint8_t *cut; /* 1: a piece begins here; n + 1 entries */
    size_t n, cap;
};

struct pre_type;

/* The row of a pre-tokenizer's name, NULL: unknown. */
const struct pre_type *pre_find(const char *name, size_t n);
bool pre_ignore_merges(const struct pre_type *p);
bool pre_add_bos(const struct pre_type *p);
bool pre_no_bos(const struct pre_type *p); /* the family has no BOS, whatever the file says */
bool pre_nfc(const struct pre_type *p);

/* Fills cp (and n) with the code points of s; true when s was valid UTF-8. A byte that begins no complete character is one U+FFFD. */
bool pre_decode(struct pre_text *t, const char *s, size_t n);
/* Brings the code points to NFC in linear time; true when something changed. */
bool pre_normalize(struct pre_text *t);
/* Fills cls and cut. */
void pre_split(const struct pre_type *p, struct pre_text *t);
void pre_text_finish(struct pre_text *t);
/* Bytes of a code point in UTF-8. */
static inline size_t pre_width(uint32_t cp)
{
    return cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
}

/* ---- a vocabulary ---- */

/*
 * TOK_BPE: bytes in the byte alphabet, merges by rank. TOK_SPM: characters, merges by the score of what they make, bytes that have no
 * token as <0xXX>. TOK_LINES ("gemma4"): characters and <0xXX> as TOK_SPM, merges by rank as TOK_BPE, cut at line ends.
 */
enum tok_model { TOK_BPE, TOK_SPM, TOK_LINES };

struct tok_text {
    const char *s;
    size_t n;
};

struct vocab_slot {
    uint32_t hash;
    uint32_t id1; /* id + 1; 0: empty */
};

struct merge_slot {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank;
    uint32_t id1; /* the result + 1; 0: empty */
};

/* A node of the tree of special texts: all that begin with the same `depth` bytes, of which the parent has fewer. */
struct special_node {
    uint32_t child;   /* the first of n_child nodes, ordered by byte */
    int32_t any;      /* id of a token that begins so */
    int32_t id;       /* of the token that is these bytes, -1: none */
    uint16_t n_child; /* at most 256 */
    uint8_t depth;    /* bytes */
    uint8_t byte;     /* the first one beyond the parent's */
};

#define TOK_MAX_MERGES (2 * LIMIT_VOCAB) /* some files list several merges for one token */
#define TOK_MAX_SPECIAL 128 /* bytes: longer texts are never matched as special, so that matching stays linear */
#define RANK_NONE UINT32_MAX

struct tok {
    enum tok_model model;
    int n;
    struct tok_text *text;
    uint8_t *type; /* enum tok_type */
    uint8_t *eog;
    uint8_t *mark; /* a user-defined token that is a mark of templates or parsers, not text */
    uint64_t seed; /* of the hash tables: texts are foreign */
    struct vocab_slot *vocab;
    uint32_t vocab_mask;
    bool twins; /* some text is there twice */
    struct merge_slot *merges;
    uint32_t merge_mask;
    uint32_t *order;      /* TOK_SPM: of merging into this token: the best score is least; RANK_NONE: never */
    int32_t byte_id[256]; /* the token of a single byte, -1 */
    size_t longest;       /* bytes of the longest text */
    struct special_node *special; /* [0] is the root */
    int32_t bos, eos, unk;
    bool add_bos, add_eos, ignore_merges, nfc;
    bool space_prefix; /* TOK_SPM: a space is put in front of a text */
    bool words;        /* TOK_SPM: no token has a space behind another character, so words can be merged one by one */
    bool strip_after;  /* white space behind a special token is dropped (phi-3) */
    const struct pre_type *pre;
};

/* ---- texts to ids, special tokens (tok_vocab.c) ---- */

/* t->n, text and type are set: builds the map from text to id. */
void vocab_build(struct tok *t);
/* The first id with this text, -1: none. */
int32_t vocab_find(const struct tok *t, const char *s, size_t n);
/* The same in two steps, so that cache misses of several texts overlap. */
uint64_t vocab_hash(const struct tok *t, const char *s, size_t n);
int32_t vocab_find_hashed(const struct tok *t, uint64_t hash, const char *s, size_t n);
/* May what a person typed become this token? */
bool vocab_is_text(const struct tok *t, int32_t id);
/* <0xXX>, exactly; -1: something else. */
int vocab_byte(const struct tok_text *x);
/* Fills mark. Types are final. */
void special_mark(struct tok *t);
void special_build(struct tok *t);
/*
 * The longest token that is matched in raw text at s, or -1. n bytes follow; the first `open` of them are not typed by a person:
 * only there marks may stand.
 */
int32_t special_at(const struct tok *t, const char *s, size_t n, size_t open, int flags);

/* ---- byte-level BPE (tok_bpe.c) ---- */

/* The byte alphabet: byte to code point and back (-1: not of the alphabet). */
uint32_t bpe_byte_to_cp(int byte);
int bpe_cp_to_byte(uint32_t cp);
/* byte_id of TOK_BPE. */
void bpe_bytes(struct tok *t);
/* Builds the merge table. ERR_FORMAT when the array is no array of strings. */
int bpe_build_merges(struct tok *t, const struct gguf_kv *kv, const char *path, struct err *err);
static inline uint32_t bpe_merge_home(const struct tok *t, uint64_t pair)
{
    uint64_t x = (pair ^ t->seed) * 0x9E3779B97F4A7C15u; /* pairs are foreign, too */
    return (uint32_t)(((x ^ x >> 32) * 0xD6E8FEB86659FD93u) >> 32) & t->merge_mask;
}
/* The merge of two tokens, NULL: none. */
static inline const struct merge_slot *bpe_merge(const struct tok *t, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t i = bpe_merge_home(t, pair);; i = (i + 1) & t->merge_mask) {
        const struct merge_slot *m = &t->merges[i];
        if (!m->id1)
            return NULL;
        if (m->pair == pair)
            return m;
    }
}
/* The token that is the whole piece of plain bytes, or -1. */
int32_t bpe_whole(const struct tok *t, const char *s, size_t n);

/* ---- merging (tok_merge.c) ---- */

struct merge_sym {
    int32_t id;    /* -1: no token */
    uint32_t rank; /* of the pair (this, next); RANK_NONE: no merge */
    int32_t to;    /* what the pair becomes */
    uint32_t prev, next;
};

/* Memory of one tok_encode call. */
struct merge_work {
    const char *s; /* the piece */
    size_t n;
    struct merge_sym *sym; /* by the offset of its first byte */
    size_t n_sym;
    uint64_t *heap; /* rank << 32 | position: least rank first, then leftmost */
    size_t n_heap, cap_heap;
};

/* Appends the ids of one piece (TOK_BPE: of plain bytes, not yet in the alphabet). */
void merge_piece(const struct tok *t, struct merge_work *w, const char *s, size_t n, struct tok_ids *out);
void merge_work_finish(struct merge_work *w);

#endif
