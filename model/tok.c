/*
 * The tokenizer: opening a vocabulary, cutting a text at special tokens, encoding, decoding (spec: tokenizers 1, 4, 7).
 *
 * Encoding: the text is walked once. Special tokens are matched leftmost-longest, by narrowing a range of the sorted list of their
 * texts byte by byte; what lies between two of them is decoded, normalized where the model's own tokenizer does, cut into
 * pieces (tok_pre.c) and merged (tok_bpe.c). No match begins in, ends in or reaches over a plain span: what a person typed
 * stays text, while merges may cross the span's border, so that the ids are those of the whole prompt.
 *
 * All numbers of the file are checked here: after tok_open every id is in range and every array as long as the vocabulary.
 */
#include "config.h"

#include "model/tok.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include "model/tok_priv.h"

void tok_ids_add(struct tok_ids *ids, int32_t id)
{
    if (ids->n == ids->cap) {
        ids->cap = ids->cap * 2 + 64;
        ids->id = mem_grow(ids->id, ids->cap, sizeof *ids->id);
    }
    ids->id[ids->n++] = id;
}

/* ---- opening ---- */

static int read_tokens(struct tok *t, const struct gguf *g, struct err *err)
{
    const char *path = gguf_path(g);
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.tokens");
    if (!kv)
        return err_set(err, ERR_FORMAT, "%s: there is no vocabulary (tokenizer.ggml.tokens)", path);
    if (kv->type != GGUF_ARR || kv->elem != GGUF_STR || kv->count == 0)
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.tokens is no array of strings, or is empty", path);
    if (kv->count > LIMIT_VOCAB)
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.tokens has %llu entries, at most %d are allowed", path,
                       (unsigned long long)kv->count, LIMIT_VOCAB);
    t->n = (int)kv->count;
    t->text = mem_array((size_t)t->n, sizeof *t->text);
    t->type = mem_alloc((size_t)t->n);
    t->eog = mem_zalloc((size_t)t->n);
    memset(t->type, TOK_NORMAL, (size_t)t->n);
    const unsigned char *cur = NULL;
    struct gguf_str s;
    for (int i = 0; i < t->n && gguf_next_str(kv, &cur, &s); i++)
        t->text[i] = (struct tok_text){s.s, s.n};

    kv = gguf_find(g, "tokenizer.ggml.token_type");
    if (!kv)
        return 0;
    if (kv->type != GGUF_ARR || kv->count != (uint64_t)t->n)
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.token_type has %llu entries for %d tokens", path,
                       (unsigned long long)kv->count, t->n);
    for (int i = 0; i < t->n; i++) {
        bool ok;
        uint64_t v = gguf_elem_u64(kv, (uint64_t)i, &ok);
        if (!ok)
            return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.token_type: entry %d is no number", path, i);
        t->type[i] = v >= TOK_NORMAL && v <= TOK_BYTE ? (uint8_t)v : TOK_NORMAL;
    }
    return 0;
}

/* Reads an id; -1 when the key is absent. */
static int read_id(const struct tok *t, const struct gguf *g, const char *name, int32_t *out, struct err *err)
{
    char key[64] = "tokenizer.ggml.";
    strncat(key, name, sizeof key - strlen(key) - 1);
    uint64_t v = 0;
    int r = gguf_get_u64(g, key, UINT64_MAX, &v, err);
    if (r < 0)
        return r;
    *out = -1;
    if (r == 0 || v == UINT32_MAX) /* some files write "none" as 2^32 - 1 */
        return 0;
    if (v >= (uint64_t)t->n)
        return err_set(err, ERR_FORMAT, "%s: %s is %llu, but there are %d tokens", gguf_path(g), key, (unsigned long long)v, t->n);
    *out = (int32_t)v;
    return 0;
}

/* A hyperparameter vocab_size that disagrees with the vocabulary: the file was put together wrongly. */
static int check_size(const struct tok *t, const struct gguf *g, struct err *err)
{
    struct gguf_str arch = {0};
    uint64_t v = 0;
    char key[128];
    if (gguf_get_str(g, "general.architecture", &arch, NULL) != 1 || arch.n > 64 || memchr(arch.s, 0, arch.n))
        return 0;
    memcpy(key, arch.s, arch.n);
    memcpy(key + arch.n, ".vocab_size", sizeof ".vocab_size");
    int r = gguf_get_u64(g, key, UINT64_MAX, &v, err);
    if (r < 0)
        return r;
    if (r == 1 && v != (uint64_t)t->n)
        return err_set(err, ERR_FORMAT, "%s: %s is %llu, but there are %d tokens", gguf_path(g), key, (unsigned long long)v, t->n);
    return 0;
}

/* ---- end of generation ---- */

static const char *const eog_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
    "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
    "<|tool_response>", "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>", "[e~[",
    /* fill-in-the-middle: padding and the marks between files */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
    "<reponame>", "<|file_sep|>",
};

/* The id of a control or user-defined token with this text: an ordinary token of the same text ends nothing. */
static int32_t find_mark(const struct tok *t, const char *s)
{
    int32_t id = bpe_find(t, s, strlen(s));
    return id >= 0 && (t->type[id] == TOK_CONTROL || t->type[id] == TOK_USER) ? id : -1;
}

static int find_eog(struct tok *t, const struct gguf *g, struct err *err)
{
    static const char *const keys[] = {"eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"};
    for (size_t i = 0; i < sizeof eog_texts / sizeof *eog_texts; i++) {
        int32_t id = find_mark(t, eog_texts[i]);
        if (id < 0)
            continue;
        t->eog[id] = 1;
        t->type[id] = TOK_CONTROL;
    }
    int32_t end = find_mark(t, "<|end|>"), s = find_mark(t, "</s>");
    if (end >= 0 && ((find_mark(t, "<|return|>") >= 0 && find_mark(t, "<|call|>") >= 0) ||
                     (find_mark(t, "<|calls|>") >= 0 && find_mark(t, "<|flush|>") >= 0))) {
        t->eog[end] = 0; /* there it ends a message, not the answer */
        t->type[end] = TOK_USER;
    }
    if (s >= 0 && (find_mark(t, "<|tool_response>") >= 0 || find_mark(t, "<end_of_turn>") >= 0)) {
        t->eog[s] = 0; /* there it is an HTML tag */
        t->type[s] = TOK_USER;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id;
        int r = read_id(t, g, keys[i], &id, err);
        if (r < 0)
            return r;
        if (id >= 0)
            t->eog[id] = 1;
    }
    if (t->eos >= 0)
        t->eog[t->eos] = 1;
    return 0;
}

/* ---- special tokens ---- */

static int by_text(const void *a, const void *b, void *arg)
{
    const struct tok *t = arg;
    int32_t ia = *(const int32_t *)a, ib = *(const int32_t *)b;
    const struct tok_text *x = &t->text[ia], *y = &t->text[ib];
    int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    if (c == 0)
        c = (x->n > y->n) - (x->n < y->n);
    return c ? c : (ia > ib) - (ia < ib);
}

static void index_specials(struct tok *t)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += t->type[i] != TOK_NORMAL && t->type[i] != TOK_UNUSED && t->type[i] != TOK_BYTE;
    t->special = mem_array((size_t)n + 1, sizeof *t->special);
    for (int i = 0; i < t->n; i++) {
        bool cand = t->type[i] == TOK_CONTROL || t->type[i] == TOK_USER || t->type[i] == TOK_UNKNOWN;
        if (cand && t->text[i].n && t->text[i].n <= TOK_MAX_SPECIAL && (!t->twins || bpe_find(t, t->text[i].s, t->text[i].n) == i))
            t->special[t->n_special++] = i;
    }
    qsort_r(t->special, (size_t)t->n_special, sizeof *t->special, by_text, t);
    for (int c = 0, i = 0; c <= 256; c++) {
        while (i < t->n_special && (unsigned char)t->text[t->special[i]].s[0] < c)
            i++;
        t->special_first[c] = i;
    }
}

/* The longest special token at s (n bytes follow), or -1. */
static int32_t special_at(const struct tok *t, const char *s, size_t n, int flags)
{
    int lo = t->special_first[(unsigned char)s[0]], hi = t->special_first[(unsigned char)s[0] + 1];
    int32_t best = -1;
    for (size_t k = 1; lo < hi; k++) {
        /* All of [lo, hi) begin with s[0..k); the one that ends here, if any, is the first. */
        int32_t id = t->special[lo];
        if (t->text[id].n == k) {
            if ((flags & TOK_SPECIAL) || t->type[id] == TOK_USER)
                best = id;
            lo++;
        }
        if (k == n)
            break;
        unsigned char c = (unsigned char)s[k];
        int a = lo, b = hi;
        while (a < b) {
            int mid = a + (b - a) / 2;
            if ((unsigned char)t->text[t->special[mid]].s[k] < c)
                a = mid + 1;
            else
                b = mid;
        }
        lo = a;
        for (b = hi; a < b;) {
            int mid = a + (b - a) / 2;
            if ((unsigned char)t->text[t->special[mid]].s[k] <= c)
                a = mid + 1;
            else
                b = mid;
        }
        hi = a;
    }
    return best;
}

/* ---- open and close ---- */

static int open_bpe(struct tok *t, const struct gguf *g, struct err *err)
{
    struct gguf_str pre = {"default", 7};
    int r = gguf_get_str(g, "tokenizer.ggml.pre", &pre, err);
    if (r < 0)
        return r;
    if (r == 0)
        log_say("%s: no tokenizer.ggml.pre: the default pre-tokenizer is taken, the ids may differ from the model's own", gguf_path(g));
    t->pre = pre_find(pre.s, pre.n);
    if (!t->pre)
        return err_set(err, ERR_FORMAT, "%s: pre-tokenizer \"%.*s\" is not known", gguf_path(g), (int)(pre.n > 64 ? 64 : pre.n), pre.s);
    t->ignore_merges = pre_ignore_merges(t->pre);
    t->add_bos = pre_add_bos(t->pre);
    t->nfc = pre_nfc(t->pre);
    bpe_build_vocab(t);
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.merges");
    if (!kv)
        return err_set(err, ERR_FORMAT, "%s: there are no merges (tokenizer.ggml.merges)", gguf_path(g));
    return bpe_build_merges(t, kv, gguf_path(g), err);
}

int tok_open(const struct gguf *g, struct tok **out, struct err *err)
{
    struct tok *t = mem_zalloc(sizeof *t);
    struct gguf_str model = {0};
    int r = gguf_get_str(g, "tokenizer.ggml.model", &model, err);
    if (r < 0)
        goto out;
    if (r == 0) {
        r = err_set(err, ERR_FORMAT, "%s: there is no tokenizer (tokenizer.ggml.model)", gguf_path(g));
        goto out;
    }
    if (model.n != 4 || memcmp(model.s, "gpt2", 4) != 0) {
        bool spm = model.n == 5 && memcmp(model.s, "llama", 5) == 0;
        r = err_set(err, ERR_FORMAT, "%s: tokenizer \"%.*s\"%s is not supported yet, only \"gpt2\" (byte-level BPE) is", gguf_path(g),
                    (int)(model.n > 64 ? 64 : model.n), model.s, spm ? " (SentencePiece)" : "");
        goto out;
    }
    if ((r = read_tokens(t, g, err)) < 0 || (r = check_size(t, g, err)) < 0 || (r = read_id(t, g, "bos_token_id", &t->bos, err)) < 0 ||
        (r = read_id(t, g, "eos_token_id", &t->eos, err)) < 0 || (r = open_bpe(t, g, err)) < 0 || (r = find_eog(t, g, err)) < 0)
        goto out;
    r = gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err);
    if (r < 0)
        goto out;
    if (t->bos < 0)
        t->add_bos = false;
    index_specials(t);
    *out = t;
    return 0;
out:
    tok_close(t);
    return r;
}

void tok_close(struct tok *t)
{
    if (!t)
        return;
    free(t->text);
    free(t->type);
    free(t->eog);
    free(t->vocab);
    free(t->merges);
    free(t->special);
    free(t);
}

/* ---- questions ---- */

int tok_count(const struct tok *t)
{
    return t->n;
}

int32_t tok_bos(const struct tok *t)
{
    return t->bos;
}

int32_t tok_eos(const struct tok *t)
{
    return t->eos;
}

bool tok_add_bos(const struct tok *t)
{
    return t->add_bos;
}

bool tok_is_eog(const struct tok *t, int32_t id)
{
    return id >= 0 && id < t->n && t->eog[id];
}

enum tok_type tok_kind(const struct tok *t, int32_t id)
{
    return id >= 0 && id < t->n ? (enum tok_type)t->type[id] : TOK_UNKNOWN;
}

int32_t tok_find(const struct tok *t, const char *s, size_t n)
{
    return bpe_find(t, s, n);
}

/* ---- encoding ---- */

struct work {
    struct pre_text pre;
    struct bpe_work bpe;
    struct buf text; /* the fragment, when it is not the caller's bytes any more */
};

/* A stretch without special tokens. */
static void encode_fragment(const struct tok *t, struct work *w, const char *s, size_t n, struct tok_ids *out)
{
    if (!n)
        return;
    bool changed = !pre_decode(&w->pre, s, n);
    if (t->nfc && pre_normalize(&w->pre))
        changed = true;
    if (changed) {
        buf_reset(&w->text);
        for (size_t i = 0; i < w->pre.n; i++) {
            char u[4];
            buf_add(&w->text, u, utf8_encode(w->pre.cp[i], u));
        }
        s = buf_str(&w->text);
    }
    pre_split(t->pre, &w->pre);
    for (size_t i = 0; i < w->pre.n;) {
        size_t len = 0;
        do
            len += pre_width(w->pre.cp[i++]);
        while (!w->pre.cut[i]);
        bpe_piece(t, &w->bpe, s, len, out);
        s += len;
    }
}

void tok_encode(const struct tok *t, const char *text, size_t n, int flags, const struct tok_span *plain, size_t n_plain,
                struct tok_ids *out)
{
    struct work w = {.text = BUF_INIT(SIZE_MAX / 2)};
    size_t from = 0, span = 0;
    if (!plain)
        n_plain = 0;
    for (size_t i = 0; t->n_special && i < n;) {
        while (span < n_plain && (plain[span].to <= i || plain[span].to <= plain[span].from))
            span++;
        size_t stop = n; /* a match ends here at the latest */
        if (span < n_plain && plain[span].from <= i) {
            i = plain[span].to;
            continue;
        }
        if (span < n_plain && plain[span].from < n)
            stop = plain[span].from;
        unsigned char c = (unsigned char)text[i];
        if (t->special_first[c] == t->special_first[c + 1]) {
            i++;
            continue;
        }
        int32_t id = special_at(t, text + i, stop - i, flags);
        if (id < 0) {
            i++;
            continue;
        }
        encode_fragment(t, &w, text + from, i - from, out);
        tok_ids_add(out, id);
        i += t->text[id].n;
        from = i;
    }
    encode_fragment(t, &w, text + from, n - from, out);
    pre_text_finish(&w.pre);
    bpe_work_finish(&w.bpe);
    buf_finish(&w.text);
}

/* ---- decoding ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* <0xXX>, exactly; -1: something else. */
static int byte_token(const struct tok_text *x)
{
    if (x->n != 6 || memcmp(x->s, "<0x", 3) != 0 || x->s[5] != '>' || hex(x->s[3]) < 0 || hex(x->s[4]) < 0)
        return -1;
    return hex(x->s[3]) * 16 + hex(x->s[4]);
}

void tok_decode(const struct tok *t, int32_t id, bool special, struct buf *out)
{
    if (id < 0 || id >= t->n)
        return;
    const struct tok_text *x = &t->text[id];
    switch (t->type[id]) {
    case TOK_CONTROL:
    case TOK_UNKNOWN:
        if (special)
            buf_add(out, x->s, x->n);
        return;
    case TOK_USER:
        buf_add(out, x->s, x->n);
        return;
    case TOK_BYTE:
        if (byte_token(x) >= 0) {
            buf_addch(out, (char)byte_token(x));
            return;
        }
        break;
    default:
        break;
    }
    for (size_t i = 0; i < x->n;) {
        size_t len;
        uint32_t cp = utf8_decode(x->s + i, x->n - i, &len);
        int b = cp >= UTF8_PART ? -1 : bpe_cp_to_byte(cp);
        if (b >= 0)
            buf_addch(out, (char)b);
        else
            buf_add(out, x->s + i, len);
        i += len;
    }
}
