/*
 * Tokenizers against the goldens (ids of three other implementations that agree), and what must hold for any text.
 */
#include "config.h"

#include "tests/t.h"

#include <pthread.h>
#include <time.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "model/gguf.h"
#include "model/tok.h"
#include "tests/model/mkgguf.h"

/* ---- helpers ---- */

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct buf b = BUF_INIT(1u << 28);
    char part[65536];
    size_t k;
    while ((k = fread(part, 1, sizeof part, f)) > 0)
        buf_add(&b, part, k);
    fclose(f);
    *n = b.len;
    return buf_take(&b);
}

struct vocab {
    struct gguf *g;
    struct tok *t;
};

static void open_path(struct vocab *v, const char *path)
{
    struct err err = {0};
    if (gguf_open(path, &v->g, &err) < 0 || tok_open(v->g, &v->t, &err) < 0)
        fail_msg("%s", err.msg);
}

static void open_vocab(struct vocab *v, const char *name)
{
    char file[256];
    snprintf(file, sizeof file, "data/vocab/ggml-vocab-%s.gguf", name);
    open_path(v, t_shared(file));
}

static void close_vocab(struct vocab *v)
{
    tok_close(v->t);
    gguf_close(v->g);
}

static void decode_all(const struct tok *t, const struct tok_ids *ids, struct buf *out)
{
    for (size_t i = 0; i < ids->n; i++)
        tok_decode(t, ids->id[i], true, out);
}

/* Does the text hold a control character that this vocabulary has no token for? (SmolLM2's has none for eight of them.) */
static bool has_lost_byte(const struct tok *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tok_ids ids = {0};
        if ((unsigned char)s[i] < 0x20)
            tok_encode(t, s + i, 1, 0, NULL, 0, &ids);
        bool lost = (unsigned char)s[i] < 0x20 && ids.n == 0;
        free(ids.id);
        if (lost)
            return true;
    }
    return false;
}

/* What the tokenizer sees of a text: each byte that begins no character as U+FFFD. */
static void as_seen(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t len;
        if (utf8_decode(s + i, n - i, &len) >= UTF8_PART) {
            buf_addstr(out, "\xEF\xBF\xBD");
            i++;
        } else {
            buf_add(out, s + i, len);
            i += len;
        }
    }
}

static size_t unhex(const char *h, char *out)
{
    size_t n = 0;
    for (unsigned x; h[0] && h[1] && sscanf(h, "%2x", &x) == 1; h += 2)
        out[n++] = (char)x;
    return n;
}

/* What decoding gives back: BYTE_LEVEL the text as the tokenizer sees it, SPM the bytes with U+2581 as a space. */
enum form { BYTE_LEVEL, NFC, SPM };

static void as_decoded(enum form form, const char *s, size_t n, struct buf *out)
{
    if (form != SPM) {
        as_seen(s, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool mark = n - i >= 3 && memcmp(s + i, "\xE2\x96\x81", 3) == 0;
        buf_addch(out, mark ? ' ' : s[i]);
        i += mark ? 2 : 0;
    }
}

/* Every line of data/tokenizers/NAME.jsonl. Where the text is normalized, it does not come back; nor do spaces behind SPM's specials. */
static void golden(const char *name, enum form form)
{
    char file[256];
    snprintf(file, sizeof file, "data/tokenizers/%s.jsonl", name);
    size_t n;
    char *all = slurp(t_shared(file), &n), *save = NULL;
    struct vocab v;
    open_vocab(&v, name);
    int lines = 0, bad = 0;
    for (char *l = strtok_r(all, "\n", &save); l; l = strtok_r(NULL, "\n", &save), lines++) {
        json_error_t je;
        json_t *o = json_loads(l, JSON_ALLOW_NUL, &je);
        assert_non_null(o);
        const json_t *text = json_object_get(o, "text"), *ids = json_object_get(o, "ids");
        int flags = json_is_true(json_object_get(o, "special")) ? TOK_SPECIAL : 0;
        char *s;
        size_t len;
        if (text) {
            len = json_string_length(text);
            s = mem_strndup(json_string_value(text), len);
        } else {
            const char *h = json_string_value(json_object_get(o, "bytes_hex"));
            assert_non_null(h);
            s = mem_alloc(strlen(h) + 1);
            len = unhex(h, s);
        }
        struct tok_ids got = {0};
        tok_encode(v.t, s, len, flags, NULL, 0, &got);
        bool same = got.n == json_array_size(ids);
        for (size_t i = 0; same && i < got.n; i++)
            same = got.id[i] == json_integer_value(json_array_get(ids, i));
        if (!same) {
            if (bad++ < 5) {
                print_message("%s line %d: %.120s\n  got:", name, lines + 1, l);
                for (size_t i = 0; i < got.n && i < 20; i++)
                    print_message(" %d", got.id[i]);
                print_message("\n");
            }
        } else if (form != NFC && !(form == SPM && flags) && !has_lost_byte(v.t, s, len)) {
            struct buf seen = BUF_INIT(1 << 24), back = BUF_INIT(1 << 24);
            as_decoded(form, s, len, &seen);
            tok_decode_all(v.t, got.id, got.n, true, &back);
            if (seen.len != back.len || memcmp(buf_str(&seen), buf_str(&back), seen.len) != 0) {
                if (bad++ < 5)
                    print_message("%s line %d does not come back: %.120s\n", name, lines + 1, l);
            }
            buf_finish(&seen);
            buf_finish(&back);
        }
        free(got.id);
        free(s);
        json_decref(o);
    }
    free(all);
    close_vocab(&v);
    assert_int_equal(bad, 0);
    assert_true(lines > 700);
}

#define GOLDEN(fn, name, form)                                                                                                         \
    static void fn(void **state)                                                                                                       \
    {                                                                                                                                  \
        (void)state;                                                                                                                   \
        golden(name, form);                                                                                                            \
    }
GOLDEN(ids_of_smollm2, "smollm2", BYTE_LEVEL)
GOLDEN(ids_of_gpt2, "gpt-2", BYTE_LEVEL)
GOLDEN(ids_of_qwen2, "qwen2", NFC)
GOLDEN(ids_of_llama_bpe, "small-llama-bpe", BYTE_LEVEL)
GOLDEN(ids_of_tekken, "small-tekken", BYTE_LEVEL)
GOLDEN(ids_of_gpt4o, "small-gpt-4o", BYTE_LEVEL)
GOLDEN(ids_of_qwen35, "small-qwen35", NFC)
GOLDEN(ids_of_deepseek_llm, "deepseek-llm", BYTE_LEVEL)
GOLDEN(ids_of_deepseek_coder, "deepseek-coder", BYTE_LEVEL)
GOLDEN(ids_of_deepseek_v3, "deepseek-v3", BYTE_LEVEL)
GOLDEN(ids_of_llama_spm, "llama-spm", SPM)

/* The .inp/.out pairs: texts separated by a line of their own, ids one line a text. */
static void inp_out(const char *vocab, const char *pair)
{
    static const char sep[] = "\n__ggml_vocab_test__\n";
    char file[256];
    snprintf(file, sizeof file, "data/vocab/ggml-vocab-%s.gguf.inp", pair);
    size_t n, n_out;
    char *inp = slurp(t_shared(file), &n);
    snprintf(file, sizeof file, "data/vocab/ggml-vocab-%s.gguf.out", pair);
    char *out = slurp(t_shared(file), &n_out), *line = out;
    struct vocab v;
    open_vocab(&v, vocab);
    int cases = 0;
    for (char *s = inp; s && s <= inp + n; cases++) {
        char *e = strstr(s, sep);
        size_t len = e ? (size_t)(e - s) : strlen(s);
        if (!e && cases == 0)
            fail_msg("no separator in %s", file);
        if (!e && len == 0)
            break;
        struct tok_ids got = {0};
        tok_encode(v.t, s, len, 0, NULL, 0, &got);
        struct buf b = BUF_INIT(1 << 20);
        for (size_t i = 0; i < got.n; i++)
            buf_addf(&b, " %d", got.id[i]);
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        if (strcmp(buf_str(&b), line) != 0)
            fail_msg("%s case %d: got%s, not%s", pair, cases, buf_str(&b), line);
        line = end + 1;
        free(got.id);
        buf_finish(&b);
        s = e ? e + sizeof sep - 1 : NULL;
    }
    free(inp);
    free(out);
    close_vocab(&v);
    assert_true(cases >= 46);
}

static void inp_out_pairs(void **state)
{
    (void)state;
    inp_out("gpt-2", "gpt-2");
    inp_out("qwen2", "qwen2");
    inp_out("qwen2", "deepseek-r1-qwen");
    inp_out("deepseek-llm", "deepseek-llm");
    inp_out("deepseek-coder", "deepseek-coder");
    inp_out("llama-spm", "llama-spm");
}

/* ---- pre-tokenizers alone ---- */

struct pieces {
    json_t *want;
    size_t i;
    bool ok;
};

static void on_piece(void *arg, const char *s, size_t n)
{
    struct pieces *p = arg;
    const json_t *w = json_array_get(p->want, p->i++);
    if (!w || json_string_length(w) != n || memcmp(json_string_value(w), s, n) != 0)
        p->ok = false;
}

static void pre_splits(void **state)
{
    (void)state;
    size_t n;
    char *all = slurp(t_shared("data/tokenizers/pre-split.jsonl"), &n), *save = NULL;
    int lines = 0, bad = 0;
    for (char *l = strtok_r(all, "\n", &save); l; l = strtok_r(NULL, "\n", &save), lines++) {
        json_t *o = json_loads(l, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        const json_t *text = json_object_get(o, "text");
        struct pieces p = {.want = json_object_get(o, "pieces"), .ok = true};
        struct err err = {0};
        if (tok_pre_split(json_string_value(json_object_get(o, "pre")), json_string_value(text), json_string_length(text), on_piece, &p,
                          &err) < 0)
            fail_msg("%s", err.msg);
        if (!p.ok || p.i != json_array_size(p.want)) {
            if (bad++ < 8)
                print_message("line %d: %.200s\n", lines + 1, l);
        }
        json_decref(o);
    }
    free(all);
    assert_int_equal(bad, 0);
    assert_true(lines > 6000);
}

static void piece_text(void *arg, const char *s, size_t n)
{
    struct buf *b = arg;
    buf_addch(b, '[');
    buf_add(b, s, n);
    buf_addch(b, ']');
}

/* Rules that the goldens do not reach; worked out by hand from the regular expressions. */
static void pre_splits_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        {"gpt-2", "", ""},
        {"gpt-2", "I'LL it's  x", "[I]['][LL][ it]['s][ ][ x]"},
        {"qwen2", "I'LL it'S\r\n\r\n x", "[I]['LL][ it]['S][\r\n\r\n][ x]"},
        {"llama3", "12345\xC2\xB2", "[123][45\xC2\xB2]"},
        {"falcon", "a$$b 12345", "[a][$$][b][ ][123][45]"},
        {"default", "a$b`c 1234", "[a][$][b][`][c][ ][123][4]"},
        {"laguna", "a\n\nb", "[a][\n\n][b]"},
        {"tekken", "HELLOworld McDonald ab", "[HELLOworld][ Mc][Donald][ ab]"},
        {"gpt-4o", "DON'T don't 1234", "[DON'T][ don't][ ][123][4]"},
        {"smollm", " 12", "[ ][1][2]"},
        {"deepseek-llm", "a \t\nb  ", "[a][ \t][\n][b][  ]"},
        {"kimi-k2", "\xE4\xB8\xAD\xE6\x96\x87" "English\xE6\xB7\xB7  \xE4\xB8\xAD", "[\xE4\xB8\xAD\xE6\x96\x87][English][\xE6\xB7\xB7][ ][ ][\xE4\xB8\xAD]"},
        {"kimi-k2", "DON't 1234/\n", "[DON't][ ][123][4][/\n]"},
        {"smollm", "\xFF\xE4\xBD" "A", "[\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD][A]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = BUF_INIT(1000);
        struct err err = {0};
        assert_int_equal(tok_pre_split(cases[i].pre, cases[i].text, strlen(cases[i].text), piece_text, &b, &err), 0);
        assert_string_equal(buf_str(&b), cases[i].want);
        buf_finish(&b);
    }
    struct err err = {0};
    assert_int_equal(tok_pre_split("no-such", "a", 1, piece_text, NULL, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "no-such"));
}

/* ---- any vocabulary, any text ---- */

/* Every token's text comes back as bytes that encode to something that decodes to the same bytes. */
static void come_back(const char *name, enum form form, int step)
{
    struct vocab v;
    open_vocab(&v, name);
    struct tok_ids ids = {0};
    struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), seen = BUF_INIT(1 << 20);
    for (int32_t id = 0; id < tok_count(v.t); id += step) {
        buf_reset(&a);
        buf_reset(&b);
        buf_reset(&seen);
        ids.n = 0;
        tok_decode(v.t, id, true, &a);
        assert_true(a.len > 0);
        tok_encode(v.t, a.data, a.len, TOK_SPECIAL, NULL, 0, &ids);
        tok_decode_all(v.t, ids.id, ids.n, true, &b);
        as_decoded(form, a.data, a.len, &seen);
        if (seen.len != b.len || memcmp(seen.data, b.data, b.len) != 0)
            fail_msg("%s: token %d", name, id);
        if (tok_kind(v.t, id) == TOK_CONTROL) {
            assert_int_equal(ids.n, 1);
            assert_int_equal(ids.id[0], id);
            size_t before = b.len;
            tok_decode(v.t, id, false, &b);
            assert_int_equal(b.len, before);
        }
    }
    free(ids.id);
    buf_finish(&a);
    buf_finish(&b);
    buf_finish(&seen);
    close_vocab(&v);
}

static void tokens_come_back(void **state)
{
    (void)state;
    come_back("smollm2", BYTE_LEVEL, 1);
    come_back("llama-spm", SPM, 1);
    come_back("gpt-2", BYTE_LEVEL, 1);
    come_back("deepseek-coder", BYTE_LEVEL, 1);
    come_back("deepseek-llm", BYTE_LEVEL, 3);
    come_back("deepseek-v3", BYTE_LEVEL, 3);
    come_back("small-tekken", BYTE_LEVEL, 1);
}

/* No text of a marker, typed by a person, becomes a control token or that marker. */
static void marks_stay_text(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm2", "llama-spm", "gpt-2", "qwen2", "deepseek-coder", "deepseek-llm", "deepseek-v3", "small-gpt-4o"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct vocab v;
        open_vocab(&v, names[k]);
        struct tok_ids ids = {0};
        struct buf b = BUF_INIT(1 << 20);
        int tried = 0;
        for (int32_t id = 0; id < tok_count(v.t); id++) {
            enum tok_type type = tok_kind(v.t, id);
            if (type != TOK_CONTROL && type != TOK_USER)
                continue;
            buf_reset(&b);
            ids.n = 0;
            tok_decode(v.t, id, true, &b);
            bool text = type == TOK_USER && !strpbrk(buf_str(&b), "<>[]{}|") && !strstr(buf_str(&b), "\xEF\xBD\x9C");
            tok_encode(v.t, b.data, b.len, TOK_SPECIAL, (struct tok_span[]){{0, b.len}}, 1, &ids);
            assert_true(ids.n > 0);
            for (size_t i = 0; i < ids.n; i++)
                if ((!text && ids.id[i] == id) || tok_kind(v.t, ids.id[i]) == TOK_CONTROL)
                    fail_msg("%s: the text of token %d gives %d", names[k], id, ids.id[i]);
            if (text && (ids.n != 1 || ids.id[0] != id))
                fail_msg("%s: token %d is text and is not matched", names[k], id);
            tried++;
        }
        assert_true(tried > 0);
        free(ids.id);
        buf_finish(&b);
        close_vocab(&v);
    }
}

static void random_bytes_come_back(void **state)
{
    (void)state;
    static const char *const parts[] = {" ", "\n", "'s", "1", "a", "\xC3\xA9", "e\xCC\x81", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "\t", "!",
                                        "<|im_end|>", "\xFF", "\xE2\x80\x8D", "\xEF\xBB\xBF", "Z", "__", "\r\n"};
    struct vocab v;
    open_vocab(&v, "small-llama-bpe");
    uint32_t seed = 7;
    struct buf s = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), seen = BUF_INIT(1 << 20);
    struct tok_ids ids = {0};
    for (int round = 0; round < 3000; round++) {
        buf_reset(&s);
        buf_reset(&b);
        buf_reset(&seen);
        ids.n = 0;
        for (int k = 0, n = round % 60; k < n; k++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t r = seed >> 8;
            if (r % 5 == 0)
                buf_addch(&s, (char)(r >> 8));
            else
                buf_addstr(&s, parts[(r >> 8) % (sizeof parts / sizeof *parts)]);
        }
        tok_encode(v.t, buf_str(&s), s.len, round & 1 ? TOK_SPECIAL : 0, NULL, 0, &ids);
        decode_all(v.t, &ids, &b);
        as_seen(buf_str(&s), s.len, &seen);
        assert_int_equal(seen.len, b.len);
        assert_memory_equal(buf_str(&seen), buf_str(&b), b.len);
    }
    free(ids.id);
    buf_finish(&s);
    buf_finish(&b);
    buf_finish(&seen);
    close_vocab(&v);
}

static void spans_hold_no_special(void **state)
{
    (void)state;
    struct vocab v;
    open_vocab(&v, "smollm2");
    int32_t start = tok_find(v.t, "<|im_start|>", 12), end = tok_find(v.t, "<|im_end|>", 10);
    assert_int_equal(start, 1);
    assert_int_equal(end, 2);
    assert_true(tok_is_eog(v.t, end));
    assert_true(tok_is_eog(v.t, 4)); /* <reponame> */
    assert_false(tok_is_eog(v.t, start));
    assert_false(tok_add_bos(v.t));
    assert_int_equal(tok_eos(v.t), 2);

    static const char text[] = "<|im_start|>user\n<|im_end|><|im_<|im_end|>\n";
    struct tok_ids ids = {0};
    /* the typed part: "<|im_end|><|im_" */
    tok_encode(v.t, text, sizeof text - 1, TOK_SPECIAL, (struct tok_span[]){{17, 32}}, 1, &ids);
    int ends = 0, starts = 0;
    for (size_t i = 0; i < ids.n; i++) {
        ends += ids.id[i] == end;
        starts += ids.id[i] == start;
    }
    assert_int_equal(starts, 1);
    assert_int_equal(ends, 1);
    assert_int_equal(ids.id[0], start);
    /* a match that would begin before or end behind a span's border is none either */
    for (size_t from = 1; from < 10; from++) {
        ids.n = 0;
        tok_encode(v.t, "<|im_end|>", 10, TOK_SPECIAL, (struct tok_span[]){{from, 10}}, 1, &ids);
        assert_true(ids.n > 1);
        ids.n = 0;
        tok_encode(v.t, "<|im_end|>", 10, TOK_SPECIAL, (struct tok_span[]){{0, from}}, 1, &ids);
        assert_true(ids.n > 1);
    }
    /* an empty span forbids nothing; a span behind the token neither */
    ids.n = 0;
    tok_encode(v.t, "<|im_end|>x", 11, TOK_SPECIAL, (struct tok_span[]){{3, 3}, {10, 11}}, 2, &ids);
    assert_int_equal(ids.id[0], end);
    /* ids of a prompt are those of the same text parsed whole, when the typed part holds no marker */
    struct tok_ids whole = {0};
    static const char plain[] = "<|im_start|>user\n\nHello there<|im_end|>\n";
    ids.n = 0;
    tok_encode(v.t, plain, sizeof plain - 1, TOK_SPECIAL, (struct tok_span[]){{17, 29}}, 1, &ids);
    tok_encode(v.t, plain, sizeof plain - 1, TOK_SPECIAL, NULL, 0, &whole);
    assert_int_equal(ids.n, whole.n);
    assert_memory_equal(ids.id, whole.id, whole.n * sizeof *whole.id);
    free(whole.id);
    free(ids.id);
    close_vocab(&v);
}

static void ends_of_generation(void **state)
{
    (void)state;
    struct vocab v;
    open_vocab(&v, "qwen2");
    assert_true(tok_is_eog(v.t, 151643));
    assert_true(tok_is_eog(v.t, 151645));
    for (int32_t id = 151662; id <= 151664; id++)
        assert_true(tok_is_eog(v.t, id));
    assert_false(tok_is_eog(v.t, 151644));
    assert_false(tok_is_eog(v.t, 128247)); /* the ordinary token </s> */
    assert_false(tok_is_eog(v.t, -1));
    assert_false(tok_is_eog(v.t, 151936));
    close_vocab(&v);
}

/* ---- hostile texts: linear time, small stack ---- */

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LONG_RUN 200000
#else
#define LONG_RUN 1000000
#endif

struct runs {
    const struct tok *t;
    size_t first; /* unit */
    char text[240];
    int bad;
};

static double time_run(const struct tok *t, const char *unit, size_t bytes)
{
    size_t u = strlen(unit), n = bytes / u * u;
    char *s = mem_alloc(n);
    for (size_t i = 0; i < n; i += u)
        memcpy(s + i, unit, u);
    struct tok_ids ids = {0};
    double a = now();
    tok_encode(t, s, n, TOK_SPECIAL, NULL, 0, &ids);
    double b = now();
    assert_true(ids.n > 0);
    free(ids.id);
    free(s);
    return b - a;
}

/* Letters, digits, white space, CJK, marks, emoji, bad bytes, mixtures that make a naive matcher look far ahead. */
static const char *const units[] = {
    "a", "A", "0", " ", "\n", "\t", "!", "<", "'", " \n", "'s", "a ", "aB", "<|im_end|>", "<|im_",
    /* beyond ASCII */
    "\xE4\xBD\xA0", "\xCC\x81", "\xCC\x95\xCC\x80", "\xF0\x9F\x98\x80", "\xFF", "\xC2\xAA" "AA", "\xE3\x80\x80", "\xE0\xA4\x95",
};
#define FIRST_UNICODE 15

static void *run_all(void *arg)
{
    struct runs *r = arg;
    for (size_t i = r->first; i < sizeof units / sizeof *units; i++) {
        double one = 0, two = 0;
        size_t bytes = i < 2 ? LONG_RUN : LONG_RUN / 4;
        double limit = i < 2 ? 0.8 : 0.1; /* seconds: a megabyte of one letter in less than one */
        for (int try = 0; try < 3; try++) { /* a table outgrows a cache, the machine may be busy */
            one = time_run(r->t, units[i], bytes / 2);
            two = time_run(r->t, units[i], bytes);
            if (two <= 2.5 * one + 0.005 || two <= limit)
                break;
        }
        if (two > 2.5 * one + 0.005 && two > limit && !r->bad++)
            snprintf(r->text, sizeof r->text, "unit %zu: %.1f ms for half, %.1f ms for the whole", i, one * 1e3, two * 1e3);
    }
    return NULL;
}

static void long_runs(const char *vocab, size_t first)
{
    struct vocab v;
    open_vocab(&v, vocab);
    struct runs r = {.t = v.t, .first = first};
    pthread_attr_t at;
    pthread_t th;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 256 * 1024);
    assert_int_equal(pthread_create(&th, &at, run_all, &r), 0);
    pthread_join(th, NULL);
    pthread_attr_destroy(&at);
    close_vocab(&v);
    if (r.bad)
        fail_msg("%s: %s", vocab, r.text);
}

static void long_runs_smollm2(void **state)
{
    (void)state;
    long_runs("smollm2", 0);
}

static void long_runs_spm(void **state)
{
    (void)state;
    long_runs("llama-spm", 0);
}

static void long_runs_qwen2(void **state)
{
    (void)state;
    long_runs("qwen2", FIRST_UNICODE); /* normalizes */
}

/* The other pre-tokenizers alone. */
static void ignore_piece(void *arg, const char *s, size_t n)
{
    (void)s;
    *(size_t *)arg += n;
}

static void *split_all(void *arg)
{
    struct runs *r = arg;
    static const char *const pres[] = {"llama-bpe", "qwen35", "deepseek-v3", "deepseek-llm", "deepseek-coder", "falcon", "tekken", "gpt-4o", "kimi-k2", "default"};
    for (size_t k = 0; k < sizeof pres / sizeof *pres; k++)
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            double t[2] = {0, 0};
            for (int try = 0; try < 3 && (try == 0 || t[1] > 2.5 * t[0] + 0.004); try++)
                for (int d = 0; d < 2; d++) {
                    size_t u = strlen(units[i]), n = (size_t)(d + 1) * LONG_RUN / 10 / u * u, got = 0;
                    char *s = mem_alloc(n + 1);
                    for (size_t j = 0; j < n; j += u)
                        memcpy(s + j, units[i], u);
                    s[n] = 'x';
                    double a = now();
                    tok_pre_split(pres[k], s, n + 1, ignore_piece, &got, NULL);
                    t[d] = now() - a;
                    free(s);
                }
            if (t[1] > 2.5 * t[0] + 0.004 && !r->bad++)
                snprintf(r->text, sizeof r->text, "%s unit %zu: %.1f ms, then %.1f ms for twice the text", pres[k], i, t[0] * 1e3, t[1] * 1e3);
        }
    return NULL;
}

static void long_runs_split(void **state)
{
    (void)state;
    struct runs r = {0};
    pthread_attr_t at;
    pthread_t th;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 256 * 1024);
    assert_int_equal(pthread_create(&th, &at, split_all, &r), 0);
    pthread_join(th, NULL);
    pthread_attr_destroy(&at);
    if (r.bad)
        fail_msg("%s", r.text);
}

/* ---- hostile files ---- */

static void begin(struct mk_file *f)
{
    mk_begin(f);
    mk_kv_str(f, "general.architecture", "llama");
    mk_kv_str(f, "tokenizer.ggml.model", "gpt2");
    mk_kv_str(f, "tokenizer.ggml.pre", "gpt-2");
}

static int finish(struct mk_file *f, struct vocab *v, struct err *err)
{
    mk_end(f);
    *v = (struct vocab){0};
    int r = gguf_open_memory(f->b.data, f->b.len, "test", &v->g, err);
    return r < 0 ? r : tok_open(v->g, &v->t, err);
}

static void end(struct mk_file *f, struct vocab *v)
{
    close_vocab(v);
    buf_finish(&f->b);
}

static void hostile_vocabulary(void **state)
{
    (void)state;
    struct mk_file f;
    struct vocab v;
    struct err err = {0};
    begin(&f);
    char *big = mem_zalloc(60000);
    memset(big, 'q', 60000);
    static const char *const toks[] = {"a", "b", "a", "", "ab", "ab", "<0x-1>", "<0x4G>", "<0x41>", "\xFF\xFE", "x y", "<s>", "<s>", "<s>>", "aba"};
    static const int32_t types[] = {1, 1, 1, 3, 1, 1, 6, 6, 6, 1, 4, 3, 3, 4, 1, 4};
    mk_kv_arr(&f, "tokenizer.ggml.tokens", GGUF_STR, 16);
    for (int i = 0; i < 15; i++)
        mk_str(&f, toks[i], strlen(toks[i]));
    mk_str(&f, big, 60000);
    mk_kv_arr(&f, "tokenizer.ggml.token_type", GGUF_I32, 16);
    mk_bytes(&f, types, sizeof types);
    static const char *const merges[] = {"a b", "a b", "", " ", "a", " a", "a ", "  ", "z z", "ab a", "a  b", "a zz", "b a"};
    mk_kv_arr(&f, "tokenizer.ggml.merges", GGUF_STR, 13);
    for (int i = 0; i < 13; i++)
        mk_str(&f, merges[i], strlen(merges[i]));
    if (finish(&f, &v, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(tok_find(v.t, "a", 1), 0);
    assert_int_equal(tok_find(v.t, "ab", 2), 4);
    assert_int_equal(tok_find(v.t, "", 0), -1);
    struct tok_ids ids = {0};
    tok_encode(v.t, "abab<s>>zx y", 12, TOK_SPECIAL, NULL, 0, &ids);
    /* ab, ab; then aba by rank 9: ab a needs the second ab whole, so ab ab stays; <s>> longest; z is unknown and dropped */
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.id[0], 4);
    assert_int_equal(ids.id[1], 4);
    assert_int_equal(ids.id[2], 13);
    assert_int_equal(ids.id[3], 10);
    ids.n = 0;
    tok_encode(v.t, "<s>>", 4, 0, NULL, 0, &ids); /* only the user-defined one */
    assert_int_equal(ids.n, 1);
    assert_int_equal(ids.id[0], 13);
    ids.n = 0;
    tok_encode(v.t, big, 60000, TOK_SPECIAL, NULL, 0, &ids); /* too long to be matched */
    assert_int_equal(ids.n, 0);
    struct buf b = BUF_INIT(100);
    tok_decode(v.t, 6, true, &b);
    tok_decode(v.t, 8, true, &b);
    tok_decode(v.t, 99, true, &b);
    tok_decode(v.t, -5, true, &b);
    assert_string_equal(buf_str(&b), "<0x-1>A");
    buf_finish(&b);
    free(ids.id);
    free(big);
    end(&f, &v);
}

static void refused(int which, const char *word)
{
    struct mk_file f;
    struct vocab v;
    struct err err = {0};
    begin(&f);
    if (which != 0) {
        mk_kv_arr(&f, "tokenizer.ggml.tokens", GGUF_STR, 2);
        mk_str(&f, "a", 1);
        mk_str(&f, "b", 1);
    }
    if (which == 1) {
        mk_kv_arr(&f, "tokenizer.ggml.token_type", GGUF_I32, 1);
        mk_u32(&f, 1);
    }
    if (which == 2)
        mk_kv_u32(&f, "tokenizer.ggml.bos_token_id", 2);
    if (which == 3)
        mk_kv_u32(&f, "tokenizer.ggml.eos_token_id", 0x80000000u);
    if (which == 4) {
        mk_kv_arr(&f, "tokenizer.ggml.merges", GGUF_I32, 1);
        mk_u32(&f, 1);
    }
    if (which == 6)
        mk_kv_u32(&f, "llama.vocab_size", 3);
    int r = finish(&f, &v, &err);
    assert_int_equal(r, ERR_FORMAT);
    assert_non_null(strstr(err.msg, word));
    assert_null(v.t);
    end(&f, &v);
}

static void bad_vocabularies(void **state)
{
    (void)state;
    refused(0, "tokenizer.ggml.tokens");
    refused(1, "token_type has 1 entries for 2 tokens");
    refused(2, "bos_token_id is 2");
    refused(3, "eos_token_id is 2147483648");
    refused(4, "merges is no array of strings");
    refused(5, "there are no merges");
    refused(6, "llama.vocab_size is 3");
}

static void bad_goldens(void **state)
{
    (void)state;
    static const char *const names[] = {"vocab-size-mismatch", "tokens-missing", "token-types-fewer", "bos-out-of-range"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[200];
        struct vocab v = {0};
        struct err err = {0};
        snprintf(file, sizeof file, "goldens/gguf-bad/%s.gguf", names[i]);
        int r = gguf_open(t_shared(file), &v.g, &err);
        if (r == 0)
            r = tok_open(v.g, &v.t, &err);
        if (r != ERR_FORMAT)
            fail_msg("%s: %d", names[i], r);
        close_vocab(&v);
    }
    struct vocab v;
    open_path(&v, t_shared("goldens/gguf-bad/merges-unknown.gguf"));
    struct tok_ids ids = {0};
    tok_encode(v.t, "hello zzyy", 10, 0, NULL, 0, &ids);
    assert_true(ids.n > 0);
    for (size_t i = 0; i < ids.n; i++)
        assert_true(ids.id[i] >= 0 && ids.id[i] < tok_count(v.t));
    free(ids.id);
    close_vocab(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_smollm2), cmocka_unit_test(ids_of_gpt2), cmocka_unit_test(ids_of_qwen2), cmocka_unit_test(ids_of_llama_bpe),
        cmocka_unit_test(ids_of_tekken), cmocka_unit_test(ids_of_gpt4o), cmocka_unit_test(ids_of_qwen35),
        cmocka_unit_test(ids_of_deepseek_llm), cmocka_unit_test(ids_of_deepseek_coder), cmocka_unit_test(ids_of_deepseek_v3),
        cmocka_unit_test(ids_of_llama_spm),
        cmocka_unit_test(inp_out_pairs), cmocka_unit_test(pre_splits), cmocka_unit_test(pre_splits_by_hand),
        cmocka_unit_test(tokens_come_back), cmocka_unit_test(marks_stay_text), cmocka_unit_test(random_bytes_come_back), cmocka_unit_test(spans_hold_no_special),
        cmocka_unit_test(ends_of_generation), cmocka_unit_test(long_runs_smollm2), cmocka_unit_test(long_runs_qwen2),
        cmocka_unit_test(long_runs_spm),
        cmocka_unit_test(long_runs_split), cmocka_unit_test(hostile_vocabulary), cmocka_unit_test(bad_vocabularies),
        cmocka_unit_test(bad_goldens),
    };
    return cmocka_run_group_tests_name("model/tok", tests, NULL, NULL);
}
