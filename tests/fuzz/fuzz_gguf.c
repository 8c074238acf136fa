/*
 * Fuzz target: bytes as a GGUF file. Opening must refuse or give a directory that can be walked, whose every tensor lies in the file;
 * then the same file as a vocabulary and as a chat template.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "model/gguf.h"
#include "model/template.h"
#include "model/tok.h"
#include "tests/fuzz/fuzz.h"

static volatile uint64_t sink;

static void walk(const struct gguf *g, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        sink += kv->key.n ? (unsigned char)kv->key.s[kv->key.n - 1] : 0;
        struct gguf_str s;
        const unsigned char *cur = NULL;
        if (kv->type == GGUF_ARR && kv->elem == GGUF_STR) {
            uint64_t k = 0;
            while (gguf_next_str(kv, &cur, &s)) {
                sink += s.n ? (unsigned char)s.s[s.n - 1] : 0;
                k++;
            }
            ASSERT(k == kv->count);
        } else if (kv->type == GGUF_ARR || kv->type != GGUF_STR) {
            bool ok;
            for (uint64_t k = 0; k < kv->count; k++) {
                sink += gguf_elem_u64(kv, k, &ok);
                sink += gguf_elem_f64(kv, k, &ok) > 0;
            }
        }
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        const uint8_t *p = t->data;
        ASSERT(p >= data && t->bytes <= n && (size_t)(p - data) <= n - t->bytes);
        sink += t->bytes ? p[0] + p[t->bytes - 1] : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g = NULL;
    struct tok *t = NULL;
    struct tmpl *tm = NULL;
    struct err err = {0};
    if (gguf_open_memory(data, n, "fuzz", &g, &err) < 0) {
        ASSERT(err.code < 0 && err.msg[0]);
        return 0;
    }
    walk(g, data, n);
    struct gguf_str s;
    if (gguf_get_str(g, "tokenizer.chat_template", &s, &err) == 1 && tmpl_open(s.s, s.n, &tm, &err) == 0)
        tmpl_close(tm);
    if (tok_open(g, &t, &err) == 0) {
        struct tok_ids ids = {0};
        tok_encode(t, (const char *)data, n < 256 ? n : 256, TOK_SPECIAL, NULL, 0, &ids);
        struct buf b = BUF_INIT(1 << 22);
        for (size_t i = 0; i < ids.n; i++) {
            ASSERT(ids.id[i] >= 0 && ids.id[i] < tok_count(t));
            tok_decode(t, ids.id[i], true, &b);
        }
        ASSERT(tok_bos(t) < tok_count(t) && tok_eos(t) < tok_count(t));
        buf_finish(&b);
        free(ids.id);
        tok_close(t);
    }
    gguf_close(g);
    return 0;
}
