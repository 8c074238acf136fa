#ifndef MODEL_TOK_PRIV_H
#define MODEL_TOK_PRIV_H
/*
 * Inside the tokenizer: what tok.c, tok_pre.c and tok_bpe.c share. Nobody else includes this.
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

/* ---- vocabulary and merges (tok_bpe.c) ---- */

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

struct bpe_sym {
    int32_t id;
    uint32_t rank; /* of the pair (this, next); BPE_NONE: no merge */
    uint32_t prev, next;
};
#define BPE_NONE UINT32_MAX

#define TOK_MAX_MERGES (2 * LIMIT_VOCAB) /* some files list several merges for one token */
#define TOK_MAX_SPECIAL 256 /* bytes: longer texts are never matched as special, so that matching stays linear */

/* Memory of one tok_encode call. */
struct bpe_work {
    struct bpe_sym *sym;
    size_t n_sym;
    uint64_t *heap; /* rank << 32 | position: least rank first, then leftmost */
    size_t n_heap, cap_heap;
};

struct tok {
    int n;
    struct tok_text *text;
    uint8_t *type; /* enum tok_type */
    uint8_t *eog;
    struct vocab_slot *vocab;
    uint32_t vocab_mask;
    bool twins; /* some text is there twice */
    struct merge_slot *merges;
    uint32_t merge_shift, merge_mask;
    int32_t byte_id[256]; /* the token of a single byte, -1 */
    size_t longest;       /* bytes of the longest text */
    int32_t *special;     /* ids that are matched in raw text, sorted by text */
    int n_special;
    int special_first[257]; /* special[special_first[c] .. special_first[c + 1]) begin with byte c */
    int32_t bos, eos;
    bool add_bos, ignore_merges, nfc;
    const struct pre_type *pre;
};

/* The byte alphabet: byte to code point and back (-1: not of the alphabet). */
uint32_t bpe_byte_to_cp(int byte);
int bpe_cp_to_byte(uint32_t cp);

/* t->n, text and type are set: builds the map from text to id. */
void bpe_build_vocab(struct tok *t);
/* Builds the merge table. ERR_FORMAT when the array is no array of strings. */
int bpe_build_merges(struct tok *t, const struct gguf_kv *kv, const char *path, struct err *err);
int32_t bpe_find(const struct tok *t, const char *s, size_t n);
/* Appends the ids of one piece of plain bytes (not yet in the alphabet). */
void bpe_piece(const struct tok *t, struct bpe_work *w, const char *s, size_t n, struct tok_ids *out);
void bpe_work_finish(struct bpe_work *w);

#endif
