/*
 * Fuzz target: any text through a tiny vocabulary with each pre-tokenizer. Input: one byte chooses the pre-tokenizer, one the flags,
 * two a plain span; the rest is text. What is encoded must decode to the text (bad bytes as U+FFFD), for families
 * that normalize to a fixed point; and nothing special may come out of a plain span.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "model/template.h"
#include "model/tok.h"
#include "tests/fuzz/fuzz.h"
#include "tests/model/mkgguf.h"

static const char *const pres[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-v3", "deepseek-llm", "deepseek-coder",
                                   "falcon", "tekken", "gpt-4o", "default", "laguna"};
#define N_PRES (sizeof pres / sizeof *pres)
#define NORMALIZES(i) ((i) == 3 || (i) == 4)

static struct tok *toks[N_PRES]; /* kept until the end, with what they stand on */
static struct gguf *files[N_PRES];
static char *bytes[N_PRES];
static int32_t n_plain_ids;

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
    mk_end(&f);
    n_plain_ids = (int32_t)n - 4;
    struct tok *t;
    struct err err = {0};
    size_t len = f.b.len;
    bytes[k] = buf_take(&f.b);
    if (gguf_open_memory(bytes[k], len, "fuzz", &files[k], &err) < 0 || tok_open(files[k], &t, &err) < 0)
        err_panic(__FILE__, __LINE__, err.msg);
    return t;
}

static void decode(const struct tok *t, const struct tok_ids *ids, struct buf *out)
{
    for (size_t i = 0; i < ids->n; i++)
        tok_decode(t, ids->id[i], true, out);
}

static void as_seen(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t len;
        if (utf8_decode(s + i, n - i, &len) >= UTF8_PART) {
            buf_addstr(out, "\xEF\xBF\xBD");
            len = 1;
        } else {
            buf_add(out, s + i, len);
        }
        i += len;
    }
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
        toks[k] = make(k);
    const struct tok *t = toks[k];
    const char *s = (const char *)data + 4;
    n -= 4;
    struct tok_span span = {data[2], (size_t)data[2] + data[3]};
    struct tok_ids ids = {0}, again = {0};
    struct buf want = BUF_INIT(1 << 26), got = BUF_INIT(1 << 26), third = BUF_INIT(1 << 26);

    tok_encode(t, s, n, data[1] & 1 ? TOK_SPECIAL : 0, data[1] & 2 ? &span : NULL, data[1] & 2 ? 1 : 0, &ids);
    decode(t, &ids, &got);
    as_seen(s, n, &want);
    if (NORMALIZES(k)) {
        tok_encode(t, buf_str(&got), got.len, 0, NULL, 0, &again);
        decode(t, &again, &third);
        ASSERT(equal(&got, &third));
    } else {
        ASSERT(equal(&want, &got));
    }
    if (data[1] & 4) { /* all of it typed: nothing special */
        ids.n = 0;
        tok_encode(t, s, n, TOK_SPECIAL, &(struct tok_span){0, n}, 1, &ids);
        for (size_t i = 0; i < ids.n; i++)
            ASSERT(ids.id[i] >= 0 && ids.id[i] < n_plain_ids);
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
