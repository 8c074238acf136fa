/*
 * The tokenizer: opening a vocabulary, cutting a text at special tokens, encoding, decoding (spec: tokenizers 1, 3, 4, 7).
 *
 * Encoding: the text is walked once and cut at special tokens, leftmost-longest (tok_vocab.c). What lies between two of them is
 * brought into the model's form (byte-level: decoded, normalized where the model's own tokenizer does, cut into pieces by
 * tok_pre.c; SentencePiece: spaces become U+2581, one is put in front) and merged (tok_merge.c). No mark begins in, ends in or
 * reaches over a plain span: what a person typed stays text, while merges may cross the span's border, so that the ids are
 * those of the whole prompt.
 *
 * All numbers of the file are checked here: after tok_open every id is in range and every array as long as the vocabulary.
 */
#include "config.h"

#include "model/tok.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    t->mark = mem_zalloc((size_t)t->n);
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

/* Reads an id; absent keys give `dflt` if there is such a token, else -1. */
static int read_id(const struct tok *t, const struct gguf *g, const char *name, int32_t dflt, int32_t *out, struct err *err)
{
    char key[64] = "tokenizer.ggml.";
    strncat(key, name, sizeof key - strlen(key) - 1);
    uint64_t v = 0;
    int r = gguf_get_u64(g, key, UINT64_MAX, &v, err);
    if (r < 0)
        return r;
    *out = r == 0 && dflt < t->n ? dflt : -1;
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
    int32_t id = vocab_find(t, s, strlen(s));
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
    static const char *const shown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"}; /* gpt-oss: the answer's parser reads them */
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        int32_t id = find_mark(t, shown[i]);
        if (id >= 0)
            t->type[id] = TOK_USER;
    }
    if (s >= 0 && (find_mark(t, "<|tool_response>") >= 0 || find_mark(t, "<end_of_turn>") >= 0)) {
        t->eog[s] = 0; /* there it is an HTML tag */
        t->type[s] = TOK_USER;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id;
        int r = read_id(t, g, keys[i], -1, &id, err);
        if (r < 0)
            return r;
        if (id >= 0)
            t->eog[id] = 1;
    }
    if (t->eos >= 0)
        t->eog[t->eos] = 1;
    return 0;
}

/* ---- open and close ---- */

#define SPACE "\xE2\x96\x81" /* U+2581 stands for a space in SentencePiece's vocabularies */

/* Where the first word of s ends: before a space that follows something else. */
static size_t word_end(const char *s, size_t n)
{
    size_t i = 0;
    while (i + 3 <= n && memcmp(s + i, SPACE, 3) == 0)
        i += 3;
    while (i < n && !(i + 3 <= n && memcmp(s + i, SPACE, 3) == 0))
        i++;
    return i;
}

/* The scores of a SentencePiece vocabulary, as an order of merging. */
static int read_scores(struct tok *t, const struct gguf *g, struct err *err)
{
    const char *path = gguf_path(g);
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.scores");
    if (!kv)
        return err_set(err, ERR_FORMAT, "%s: there are no scores (tokenizer.ggml.scores)", path);
    if (kv->type != GGUF_ARR || kv->count < (uint64_t)t->n)
        return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.scores has %llu entries for %d tokens", path, (unsigned long long)kv->count, t->n);
    t->order = mem_array((size_t)t->n, sizeof *t->order);
    t->words = true;
    for (int32_t id = 0; id < t->n; id++) {
        bool ok;
        union {
            float f;
            int32_t i;
        } v = {.f = (float)gguf_elem_f64(kv, (uint64_t)id, &ok)};
        if (!ok || v.f != v.f)
            return err_set(err, ERR_FORMAT, "%s: tokenizer.ggml.scores: entry %d is no number", path, id);
        /* Sorts as the score does, greatest first; infinite ones stay clear of RANK_NONE. */
        if (v.f == 0)
            v.f = 0; /* not -0 */
        uint32_t up = (uint32_t)v.i ^ (v.i < 0 ? 0xFFFFFFFFu : 0x80000000u);
        t->order[id] = vocab_is_text(t, id) ? ~up : RANK_NONE;
        if (t->words && t->order[id] != RANK_NONE)
            t->words = word_end(t->text[id].s, t->text[id].n) == t->text[id].n;
    }
    return 0;
}

/* byte_id where bytes are tokens <0xXX>. */
static void find_bytes(struct tok *t)
{
    memset(t->byte_id, -1, sizeof t->byte_id);
    for (int32_t id = t->n - 1; id >= 0; id--) {
        int b = t->type[id] == TOK_BYTE ? vocab_byte(&t->text[id]) : -1;
        if (b >= 0)
            t->byte_id[b] = id;
    }
    for (int b = 0; b < 256; b++) {
        char name[8], one = (char)b;
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        int32_t named = vocab_find(t, name, 6), plain = vocab_find(t, &one, 1);
        if (t->byte_id[b] < 0 && named >= 0 && t->type[named] == TOK_NORMAL) /* a file without types */
            t->byte_id[b] = named;
        else if (t->byte_id[b] < 0)
            t->byte_id[b] = plain >= 0 && vocab_is_text(t, plain) ? plain : t->unk;
    }
}

static int find_pre(struct tok *t, const struct gguf *g, struct err *err)
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
    if (pre_no_bos(t->pre))
        t->bos = -1;
    return 0;
}

static int read_model(struct tok *t, const struct gguf *g, struct err *err)
{
    static const char *const names[] = {[TOK_BPE] = "gpt2", [TOK_SPM] = "llama", [TOK_LINES] = "gemma4"};
    struct gguf_str model;
    int r = gguf_get_str(g, "tokenizer.ggml.model", &model, err);
    if (r < 0)
        return r;
    if (r == 0)
        return err_set(err, ERR_FORMAT, "%s: there is no tokenizer (tokenizer.ggml.model)", gguf_path(g));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (model.n == strlen(names[i]) && memcmp(model.s, names[i], model.n) == 0) {
            t->model = (enum tok_model)i;
            return 0;
        }
    return err_set(err, ERR_FORMAT, "%s: the tokenizer \"%.*s\" is not supported; known: gpt2 (byte-level BPE), llama (SentencePiece), gemma4",
                   gguf_path(g), (int)(model.n > 64 ? 64 : model.n), model.s);
}

/* phi-3's tokenizer drops white space behind its special tokens; no key says so. */
static bool is_phi3(const struct gguf *g)
{
    struct gguf_str name;
    if (gguf_get_str(g, "general.name", &name, NULL) != 1)
        return false;
    for (size_t i = 0; i + 4 <= name.n; i++)
        if (strncasecmp(name.s + i, "phi", 3) == 0 && (name.s[i + 3] == '3' || (i + 5 <= name.n && name.s[i + 3] == '-' && name.s[i + 4] == '3')))
            return true;
    return false;
}

static int read_flags(struct tok *t, const struct gguf *g, struct err *err)
{
    int r = gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err);
    if (r >= 0)
        r = gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos, err);
    if (r >= 0 && t->model == TOK_SPM)
        r = gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->space_prefix, err);
    if (r < 0)
        return r;
    if (t->model == TOK_LINES)
        t->add_bos = true;
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    return 0;
}

static int open_tables(struct tok *t, const struct gguf *g, struct err *err)
{
    if (t->model == TOK_SPM) {
        find_bytes(t);
        return read_scores(t, g, err);
    }
    if (t->model == TOK_LINES)
        find_bytes(t);
    else
        bpe_bytes(t);
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.merges");
    if (!kv)
        return err_set(err, ERR_FORMAT, "%s: there are no merges (tokenizer.ggml.merges)", gguf_path(g));
    return bpe_build_merges(t, kv, gguf_path(g), err);
}

int tok_open(const struct gguf *g, struct tok **out, struct err *err)
{
    struct tok *t = mem_zalloc(sizeof *t);
    int r = read_model(t, g, err);
    bool spm = t->model == TOK_SPM;
    t->add_bos = t->space_prefix = spm;
    if (r == 0)
        r = read_tokens(t, g, err);
    if (r == 0)
        r = check_size(t, g, err);
    if (r == 0)
        r = read_id(t, g, "bos_token_id", spm ? 1 : -1, &t->bos, err);
    if (r == 0)
        r = read_id(t, g, "eos_token_id", spm ? 2 : -1, &t->eos, err);
    if (r == 0)
        r = read_id(t, g, "unknown_token_id", spm ? 0 : -1, &t->unk, err);
    if (r == 0 && t->model == TOK_BPE)
        r = find_pre(t, g, err);
    if (r == 0)
        r = read_flags(t, g, err);
    if (r == 0) {
        vocab_build(t);
        r = find_eog(t, g, err);
    }
    if (r == 0) {
        special_mark(t);
        r = open_tables(t, g, err);
    }
    if (r < 0) {
        tok_close(t);
        return r;
    }
    t->strip_after = spm && is_phi3(g);
    special_build(t);
    *out = t;
    return 0;
}

void tok_close(struct tok *t)
{
    if (!t)
        return;
    free(t->text);
    free(t->type);
    free(t->eog);
    free(t->mark);
    free(t->vocab);
    free(t->merges);
    free(t->order);
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

bool tok_add_eos(const struct tok *t)
{
    return t->add_eos;
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
    return vocab_find(t, s, n);
}

/* ---- encoding ---- */

struct work {
    struct pre_text pre;
    struct merge_work merge;
    struct buf text; /* the fragment, when it is not the caller's bytes any more */
};

static void byte_level(const struct tok *t, struct work *w, const char *s, size_t n, struct tok_ids *out)
{
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
        int32_t id = t->ignore_merges ? bpe_whole(t, s, len) : -1;
        if (id >= 0)
            tok_ids_add(out, id);
        else
            merge_piece(t, &w->merge, s, len, out);
        s += len;
    }
}

static void characters(const struct tok *t, struct work *w, const char *s, size_t n, struct tok_ids *out)
{
    buf_reset(&w->text);
    if (t->space_prefix)
        buf_addstr(&w->text, SPACE);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ')
            buf_addstr(&w->text, SPACE);
        else
            buf_addch(&w->text, s[i]);
    }
    s = buf_str(&w->text);
    n = w->text.len;
    while (t->model == TOK_SPM && n) {
        size_t len = t->words ? word_end(s, n) : n;
        merge_piece(t, &w->merge, s, len, out);
        s += len;
        n -= len;
    }
    while (n) { /* lines and line ends */
        size_t len = 1;
        while (len < n && (s[len] == '\n') == (s[0] == '\n'))
            len++;
        int32_t id = s[0] == '\n' ? vocab_find(t, s, len) : -1;
        if (id >= 0 && vocab_is_text(t, id))
            tok_ids_add(out, id);
        else
            merge_piece(t, &w->merge, s, len, out);
        s += len;
        n -= len;
    }
}

/* A stretch without special tokens. */
static void encode_fragment(const struct tok *t, struct work *w, const char *s, size_t n, struct tok_ids *out)
{
    if (!n)
        return;
    if (t->model == TOK_BPE)
        byte_level(t, w, s, n, out);
    else
        characters(t, w, s, n, out);
}

static bool strips(const struct tok *t, int32_t id)
{
    static const char *const names[] = {"<s>", "<unk>", "<|endoftext|>"};
    for (size_t i = 0; t->strip_after && i < sizeof names / sizeof *names; i++)
        if (t->text[id].n == strlen(names[i]) && memcmp(t->text[id].s, names[i], t->text[id].n) == 0)
            return false;
    return t->strip_after;
}

void tok_encode(const struct tok *t, const char *text, size_t n, int flags, const struct tok_span *plain, size_t n_plain,
                struct tok_ids *out)
{
    struct work w = {.text = BUF_INIT(SIZE_MAX / 2)};
    size_t from = 0, span = 0, i = 0;
    if (!plain)
        n_plain = 0;
    while (i < n) {
        while (span < n_plain && (plain[span].to <= i || plain[span].to <= plain[span].from))
            span++;
        size_t open = n - i;
        if (span < n_plain && plain[span].from < n)
            open = plain[span].from > i ? plain[span].from - i : 0;
        int32_t id = special_at(t, text + i, n - i, open, flags);
        if (id < 0) {
            i++;
            continue;
        }
        encode_fragment(t, &w, text + from, i - from, out);
        tok_ids_add(out, id);
        i += t->text[id].n;
        while (strips(t, id) && i < n && strchr(" \t\n\v\f\r", text[i]) && text[i])
            i++;
        from = i;
    }
    encode_fragment(t, &w, text + from, n - from, out);
    pre_text_finish(&w.pre);
    merge_work_finish(&w.merge);
    buf_finish(&w.text);
}

/* ---- decoding ---- */

static void decode_text(const struct tok *t, const struct tok_text *x, struct buf *out)
{
    for (size_t i = 0, len; i < x->n; i += len) {
        uint32_t cp = utf8_decode(x->s + i, x->n - i, &len);
        int b = cp >= UTF8_PART ? -1 : t->model == TOK_BPE ? bpe_cp_to_byte(cp) : cp == 0x2581 ? ' ' : -1;
        if (b >= 0)
            buf_addch(out, (char)b);
        else
            buf_add(out, x->s + i, len);
    }
}

void tok_decode(const struct tok *t, int32_t id, bool special, struct buf *out)
{
    if (id < 0 || id >= t->n)
        return;
    const struct tok_text *x = &t->text[id];
    int byte = vocab_byte(x);
    if (byte >= 0 && t->type[id] != TOK_BYTE && (t->model == TOK_BPE || t->byte_id[byte] != id))
        byte = -1; /* text that looks like one */
    if (t->type[id] == TOK_USER || ((t->type[id] == TOK_CONTROL || t->type[id] == TOK_UNKNOWN) && special))
        buf_add(out, x->s, x->n);
    else if (byte >= 0)
        buf_addch(out, (char)byte);
    else if (t->type[id] != TOK_CONTROL && t->type[id] != TOK_UNKNOWN)
        decode_text(t, x, out);
}

void tok_decode_all(const struct tok *t, const int32_t *ids, size_t n, bool special, struct buf *out)
{
    bool first = t->space_prefix; /* the space that encoding put in front is still to come */
    for (size_t i = 0; i < n; i++) {
        size_t at = out->len;
        tok_decode(t, ids[i], special, out);
        enum tok_type type = tok_kind(t, ids[i]);
        if (type == TOK_CONTROL || type == TOK_UNKNOWN)
            continue;
        if (first && type != TOK_USER && out->len > at && out->data[at] == ' ') {
            memmove(out->data + at, out->data + at + 1, out->len - at);
            out->len--;
        }
        first = false;
    }
}
