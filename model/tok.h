#ifndef MODEL_TOK_H
#define MODEL_TOK_H
/*
 * Tokenizers: text to ids and back (spec: tokenizers). Linear time (n log n), no recursion, no regex library. After
 * tok_open a tokenizer is read-only and may be used by several threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"

struct tok;

enum tok_type { TOK_NORMAL = 1, TOK_UNKNOWN, TOK_CONTROL, TOK_USER, TOK_UNUSED, TOK_BYTE };

/* The vocabulary strings stay in the mapped file: g must outlive the tokenizer. */
int tok_open(const struct gguf *g, struct tok **out, struct err *err);
void tok_close(struct tok *t);

int tok_count(const struct tok *t);
int32_t tok_bos(const struct tok *t); /* -1: none */
int32_t tok_eos(const struct tok *t);
/* Does this model's text begin with BOS, end with EOS? The caller adds them (not twice when a template wrote BOS itself). */
bool tok_add_bos(const struct tok *t);
bool tok_add_eos(const struct tok *t);
bool tok_is_eog(const struct tok *t, int32_t id); /* ends a generation */
enum tok_type tok_kind(const struct tok *t, int32_t id);
/* The id of the token with exactly this text, or -1. */
int32_t tok_find(const struct tok *t, const char *s, size_t n);

/* A growing list of ids; free(ids.id) ends it. */
struct tok_ids {
    int32_t *id;
    size_t n, cap;
};
void tok_ids_add(struct tok_ids *ids, int32_t id);

/* A stretch of the text in which no mark may be matched (what a person typed). */
struct tok_span {
    size_t from, to; /* bytes [from, to) */
};

#define TOK_SPECIAL 1 /* control tokens in the text are parsed, too (user-defined ones always are outside spans) */

/*
 * Appends the ids of text[0..n); no BOS or EOS is added. `plain` (n_plain spans, ascending, may be NULL) are stretches where
 * no mark matches, neither inside nor overlapping: no control token, and of the user-defined ones only those that are nothing
 * but text (runs of spaces, letters, HTML tags). Never fails but for memory.
 */
void tok_encode(const struct tok *t, const char *text, size_t n, int flags, const struct tok_span *plain, size_t n_plain,
                struct tok_ids *out);
/* Appends the bytes of one token. Control tokens give nothing unless `special`. The bytes may end inside a character. */
void tok_decode(const struct tok *t, int32_t id, bool special, struct buf *out);
/* The bytes of a whole text's ids: as tok_decode, without the space that a SentencePiece tokenizer puts in front of a text. */
void tok_decode_all(const struct tok *t, const int32_t *ids, size_t n, bool special, struct buf *out);
/* How the pre-tokenizer `pre` splits a text: calls piece() for each. ERR_FORMAT for an unknown name. For tests. */
int tok_pre_split(const char *pre, const char *text, size_t n, void (*piece)(void *arg, const char *s, size_t n), void *arg,
                  struct err *err);

#endif
