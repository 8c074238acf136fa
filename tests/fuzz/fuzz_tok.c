/*
 * Fuzz target: any text through tiny vocabularies: byte-level with each pre-tokenizer, SentencePiece with and without the space in
 * front, gemma4. Input: one byte chooses the vocabulary, one the flags, two a plain span; the rest is text. What is encoded
 * must decode to the text (byte-level: bad bytes as U+FFFD; else U+2581 as a space), for families that normalize to a
 * fixed point; and no mark may come out of a plain span.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "model/template.h"
#include "model/tok.h"
#include "tests/fuzz/fuzz.h"
#include "tests/model/mkgguf.h"

static const char *const pres[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-v3", "deepseek-llm", "deepseek-coder",
                                   "falcon", "tekken", "gpt-4o", "default", "laguna", "kimi-k2", "spm", "spm-prefix", "gemma4"};
#define N_PRES (sizeof pres / sizeof *pres)
#define BYTE_LEVEL(i) ((i) < N_PRES - 3)
#define PREFIX (N_PRES - 2)
#define NORMALIZES(i) ((i) == 3 || (i) == 4)

static struct tok *toks[N_PRES]; /* kept until the end, with what they stand on */
static struct gguf *files[N_PRES];
static char *bytes[N_PRES];

/* The last four tokens of each are marks. */
static struct tok *finish(struct mk_file *f, size_t k)
{
    struct tok *t;
    struct err err = {0};
    mk_end(f);
    size_t len = f->b.len;
    bytes[k] = buf_take(&f->b);
    if (gguf_open_memory(bytes[k], len, "fuzz", &files[k], &err) < 0 || tok_open(files[k], &t, &err) < 0)
        err_panic(__FILE__, __LINE__, err.msg);
    return t;
}

/* <0xXX> for each byte, some words by score or merges, a user-defined run of spaces, the marks last. */
static struct tok *make_chars(size_t k)
{
    static const char *const words[] = {"\xE2\x96\x81", "a", "b", "ab", "aba", "e", "th", "the", "\xE2\x96\x81the", "aa", "aaaa", "\n\n", "\xC3\xA9", "t", "h"};
    static const char *const merges[] = {"a b", "ab a", "t h", "th e", "\xE2\x96\x81 the", "a a", "aa aa"};
    static const char *const special[] = {"   ", "<|im_start|>", "<|im_end|>", "<think>", "<<"};
    enum { WORDS = sizeof words / sizeof *words };
    struct mk_file f;
    mk_begin(&f);
    mk_kv_str(&f, "tokenizer.ggml.model", k == N_PRES - 1 ? "gemma4" : "llama");
    mk_kv(&f, "tokenizer.ggml.add_space_prefix", GGUF_BOOL);
    buf_addch(&f.b, k == PREFIX);
    uint64_t n = 256 + WORDS + 5;
    mk_kv_arr(&f, "tokenizer.ggml.tokens", GGUF_STR, n);
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        mk_str(&f, name, 6);
    }
    for (size_t i = 0; i < WORDS; i++)
        mk_str(&f, words[i], strlen(words[i]));
    for (int i = 0; i < 5; i++)
        mk_str(&f, special[i], strlen(special[i]));
    mk_kv_arr(&f, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (uint64_t i = 0; i < n; i++)
        mk_u32(&f, i < 256 ? TOK_BYTE : i < 256 + WORDS ? TOK_NORMAL : i == n - 5 || i > n - 3 ? TOK_USER : TOK_CONTROL);
    mk_kv_arr(&f, "tokenizer.ggml.scores", GGUF_F32, n);
    for (uint64_t i = 0; i < n; i++) {
        float s = (float)(i % 5);
        mk_bytes(&f, &s, 4);
    }
    mk_kv_arr(&f, "tokenizer.ggml.merges", GGUF_STR, sizeof merges / sizeof *merges);
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        mk_str(&f, merges[i], strlen(merges[i]));
    return finish(&f, k);
}

/* 256 byte characters, some merges, two control and two user-defined tokens. */
static struct tok *make(size_t k)
{
    static const char *const words[] = {"\xC4\xA0", "a", "b", "ab", "aba", "e", "th", "the", "\xC4\xA0the", "aa", "aaaa", "\xC4\x8A\xC4\x8A", "00"};
    static const char *const merges[] = {"a b", "ab a", "t h", "th e", "\xC4\xA0 the", "a a", "aa aa", "\xC4\x8A \xC4\x8A", "0 0"};
    static const char *const special[] = {"<|im_start|>", "<|im_end|>", "<think>", "<<"};
    struct mk_file f;
    mk_begin(&f);
    mk_kv_str(&f, "tokenizer.ggml.model", "gpt2");
    mk_kv_str(&f, "tokenizer.ggml.pre", pres[k]);
    uint64_t n = 256 + sizeof words / sizeof *words + 4;
    mk_kv_arr(&f, "tokenizer.ggml.tokens", GGUF_STR, n);
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        uint32_t cp = plain ? (uint32_t)b : b <= 0x20 ? 0x100 + (uint32_t)b : b == 0xAD ? 0x143 : 0x121 + (uint32_t)b - 0x7F;
        char u[4];
        mk_str(&f, u, utf8_encode(cp, u));
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        mk_str(&f, words[i], strlen(words[i]));
    for (int i = 0; i < 4; i++)
        mk_str(&f, special[i], strlen(special[i]));
    mk_kv_arr(&f, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (uint64_t i = 0; i < n; i++)
        mk_u32(&f, i + 4 < n ? TOK_NORMAL : i + 2 < n ? TOK_CONTROL : TOK_USER);
    mk_kv_arr(&f, "tokenizer.ggml.merges", GGUF_STR, sizeof merges / sizeof *merges);
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        mk_str(&f, merges[i], strlen(merges[i]));
    return finish(&f, k);
}

/* What decoding should give; SentencePiece: U+2581 as a space. */
static void as_seen(size_t k, const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t len;
        uint32_t c = utf8_decode(s + i, n - i, &len);
        if (c >= UTF8_PART && BYTE_LEVEL(k)) {
            buf_addstr(out, "\xEF\xBF\xBD");
            len = 1;
        } else if (c == 0x2581 && !BYTE_LEVEL(k)) {
            buf_addch(out, ' ');
        } else {
            buf_add(out, s + i, len);
        }
        i += len;
    }
}

static bool has_special(const struct tok *t, const struct tok_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        if (tok_kind(t, ids->id[i]) == TOK_USER || tok_kind(t, ids->id[i]) == TOK_CONTROL)
            return true;
    return false;
}

static bool equal(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && memcmp(buf_str(a), buf_str(b), a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 4)
        return 0;
    size_t k = data[0] % N_PRES;
    if (!toks[k])
        toks[k] = BYTE_LEVEL(k) ? make(k) : make_chars(k);
    const struct tok *t = toks[k];
    const char *s = (const char *)data + 4;
    n -= 4;
    struct tok_span span = {data[2], (size_t)data[2] + data[3]};
    struct tok_ids ids = {0}, again = {0};
    struct buf want = BUF_INIT(1 << 26), got = BUF_INIT(1 << 26), third = BUF_INIT(1 << 26);

    tok_encode(t, s, n, data[1] & 1 ? TOK_SPECIAL : 0, data[1] & 2 ? &span : NULL, data[1] & 2 ? 1 : 0, &ids);
    tok_decode_all(t, ids.id, ids.n, true, &got);
    as_seen(k, s, n, &want);
    if (NORMALIZES(k)) {
        tok_encode(t, buf_str(&got), got.len, 0, NULL, 0, &again);
        tok_decode_all(t, again.id, again.n, true, &third);
        ASSERT(equal(&got, &third));
    } else if (k != PREFIX || !has_special(t, &ids)) { /* there a space follows each special token */
        ASSERT(equal(&want, &got));
    }
    if (data[1] & 4) { /* all of it typed: no mark */
        ids.n = 0;
        tok_encode(t, s, n, TOK_SPECIAL, &(struct tok_span){0, n}, 1, &ids);
        for (size_t i = 0; i < ids.n; i++)
            ASSERT(ids.id[i] >= 0 && ids.id[i] < tok_count(t) - 4);
    }
    struct tmpl *tm;
    if (tmpl_open(s, n, &tm, NULL) == 0)
        tmpl_close(tm);
    free(ids.id);
    free(again.id);
    buf_finish(&want);
    buf_finish(&got);
    buf_finish(&third);
    return 0;
}
