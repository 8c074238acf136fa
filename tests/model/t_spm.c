/*
 * Tokenizers on vocabularies made here: what Gemma, phi-3 and gemma4 have and the shared ones have not, special tokens of all
 * kinds, and files that were made to hurt.
 */
#include "config.h"

#include "tests/t.h"

#include <math.h>
#include <time.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "model/gguf.h"
#include "model/tok.h"
#include "tests/model/mkgguf.h"

/* ---- making one ---- */

struct entry {
    const char *text;
    float score;
    int type;
};

struct made {
    struct mk_file f;
    struct gguf *g;
    struct tok *t;
    struct err err;
    int rc;
};

static void make(struct made *m, const char *model, const char *name, const struct entry *e, size_t n, const char *const *merges, size_t n_merges)
{
    *m = (struct made){0};
    mk_begin(&m->f);
    mk_kv_str(&m->f, "general.name", name);
    mk_kv_str(&m->f, "tokenizer.ggml.model", model);
    mk_kv_str(&m->f, "tokenizer.ggml.pre", "gpt-2");
    mk_kv_arr(&m->f, "tokenizer.ggml.tokens", GGUF_STR, n);
    for (size_t i = 0; i < n; i++)
        mk_str(&m->f, e[i].text, strlen(e[i].text));
    mk_kv_arr(&m->f, "tokenizer.ggml.scores", GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        mk_bytes(&m->f, &e[i].score, 4);
    mk_kv_arr(&m->f, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        mk_u32(&m->f, (uint32_t)e[i].type);
    if (merges) {
        mk_kv_arr(&m->f, "tokenizer.ggml.merges", GGUF_STR, n_merges);
        for (size_t i = 0; i < n_merges; i++)
            mk_str(&m->f, merges[i], strlen(merges[i]));
    }
}

static void open_made(struct made *m)
{
    mk_end(&m->f);
    m->rc = gguf_open_memory(m->f.b.data, m->f.b.len, "made", &m->g, &m->err);
    if (!m->rc)
        m->rc = tok_open(m->g, &m->t, &m->err);
}

static void close_made(struct made *m)
{
    tok_close(m->t);
    gguf_close(m->g);
    buf_finish(&m->f.b);
}

/* "text" encodes to these texts, written [a][b] (each token's text in the file). */
static void expect(const struct made *m, const char *text, int flags, bool typed, const char *want)
{
    struct tok_ids ids = {0};
    struct buf b = BUF_INIT(1 << 20);
    size_t n = strlen(text);
    tok_encode(m->t, text, n, flags, typed ? (struct tok_span[]){{0, n}} : NULL, typed ? 1 : 0, &ids);
    const struct gguf_kv *kv = gguf_find(m->g, "tokenizer.ggml.tokens");
    for (size_t i = 0; i < ids.n; i++) {
        const unsigned char *cur = NULL;
        struct gguf_str s = {0};
        for (int32_t k = 0; k <= ids.id[i]; k++)
            assert_true(gguf_next_str(kv, &cur, &s));
        buf_addf(&b, "[%.*s]", (int)s.n, s.s);
    }
    if (strcmp(buf_str(&b), want) != 0)
        fail_msg("\"%s\" gives %s, not %s", text, buf_str(&b), want);
    buf_finish(&b);
    free(ids.id);
}

#define U "\xE2\x96\x81" /* the space of these vocabularies */
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Bytes 00 to FF as <0xXX>, then these: ids of the rest begin at 256. */
static struct entry *with_bytes(const struct entry *e, size_t n)
{
    static char names[256][8];
    struct entry *all = mem_array(n + 256, sizeof *all);
    for (int b = 0; b < 256; b++) {
        snprintf(names[b], sizeof names[b], "<0x%02X>", (unsigned)b);
        all[b] = (struct entry){names[b], 0, TOK_BYTE};
    }
    memcpy(all + 256, e, n * sizeof *e);
    return all;
}

/* ---- as Gemma ---- */

static const struct entry gemma[] = {
    {"<bos>", 0, TOK_CONTROL}, {"<eos>", 0, TOK_CONTROL}, {"<unk>", 0, TOK_UNKNOWN}, {"<start_of_turn>", 0, TOK_CONTROL},
    {"<end_of_turn>", 0, TOK_CONTROL}, {"\n", -1000, TOK_USER}, {"\n\n", -1000, TOK_USER}, {"\n\n\n", -1000, TOK_USER},
    {"  ", -1000, TOK_USER}, {"   ", -1000, TOK_USER}, {"<h1>", -1000, TOK_USER}, {"</h1>", -1000, TOK_USER}, {"</s>", -1000, TOK_USER},
    {"<unused0>", -1000, TOK_USER}, {"<|think|>", -1000, TOK_USER}, {"[multimodal]", -1000, TOK_USER}, {"h", -10, 1}, {"1", -11, 1},
    {"<", -12, 1}, {">", -13, 1}, {U, -14, 1}, {"a", -15, 1}, {"b", -16, 1}, {"ab", -1, 1}, {"ba", -2, 1}, {U "a", -3, 1},
    {"<h", -4, 1}, {"<h1", -5, 1}, {"aba", -6, 1}, {"<end_of_turn", -1, 1}, {"\xC3\xA9", -20, 1},
};

static void gemma_like(void **state)
{
    (void)state;
    struct made m;
    struct entry *all = with_bytes(gemma, COUNT(gemma));
    make(&m, "llama", "gemma", all, COUNT(gemma) + 256, NULL, 0);
    mk_kv_u32(&m.f, "tokenizer.ggml.bos_token_id", 256);
    mk_kv_u32(&m.f, "tokenizer.ggml.eos_token_id", 257);
    mk_kv_u32(&m.f, "tokenizer.ggml.unknown_token_id", 258);
    mk_kv(&m.f, "tokenizer.ggml.add_space_prefix", GGUF_BOOL);
    buf_addch(&m.f.b, 0);
    open_made(&m);
    if (m.rc)
        fail_msg("%s", m.err.msg);
    assert_true(tok_add_bos(m.t));
    assert_false(tok_add_eos(m.t));
    assert_true(tok_is_eog(m.t, 260));
    assert_false(tok_is_eog(m.t, 268)); /* </s> is a tag here */
    for (int typed = 0; typed < 2; typed++) {
        expect(&m, "a", 0, typed, "[a]");
        expect(&m, "", 0, typed, "");
        expect(&m, " a", 0, typed, "[" U "a]");
        /* runs of spaces: longest first, then the rest; the mark in the text is no space */
        expect(&m, "     a", 0, typed, "[   ][  ][a]");
        expect(&m, "    a", 0, typed, "[   ][" U "a]");
        expect(&m, U U "a", 0, typed, "[" U "][" U "a]");
        expect(&m, "\n\n\n\n", 0, typed, "[\n\n\n][\n]");
        /* tags are text, whoever writes them */
        expect(&m, "<h1>a</h1></s>", 0, typed, "[<h1>][a][</h1>][</s>]");
        expect(&m, "<h1 ", 0, typed, "[<h1][" U "]");
        /* the best score first: ab before ba, then aba */
        expect(&m, "bab", 0, typed, "[b][ab]");
        expect(&m, "aba", 0, typed, "[aba]");
        expect(&m, "\xC3\xA9\xC3\xBC\xFF", 0, typed, "[\xC3\xA9][<0xC3>][<0xBC>][<0xFF>]");
        expect(&m, "<0x41>", 0, typed, "[<][<0x30>][<0x78>][<0x34>][1][>]");
    }
    expect(&m, "<unused0>", 0, false, "[<unused0>]");
    expect(&m, "<|think|>[multimodal]", 0, false, "[<|think|>][[multimodal]]");
    expect(&m, "<end_of_turn>a", TOK_SPECIAL, false, "[<end_of_turn>][a]");
    expect(&m, "<unk>", TOK_SPECIAL, false, "[<unk>]");
    /* what a person types becomes no mark, and merging makes none either */
    struct tok_ids ids = {0};
    static const char typed[] = "<|think|>[multimodal]<end_of_turn><unused0><bos>";
    tok_encode(m.t, typed, strlen(typed), TOK_SPECIAL, (struct tok_span[]){{0, sizeof typed - 1}}, 1, &ids);
    for (size_t i = 0; i < ids.n; i++)
        assert_true(ids.id[i] < 256 || ids.id[i] > 271);
    free(ids.id);
    close_made(&m);
    free(all);
}

/* ---- as Llama 2 and phi-3: a space in front ---- */

static void space_in_front(void **state)
{
    (void)state;
    static const struct entry e[] = {
        {"<unk>", 0, TOK_UNKNOWN}, {"<s>", 0, TOK_CONTROL}, {"</s>", 0, TOK_USER}, {"<|user|>", 0, TOK_USER}, {"<|end|>", 0, TOK_CONTROL},
        {U, -1, 1}, {"a", -2, 1}, {U "a", -3, 1}, {U U, -4, 1}, {"<0x0A>", 0, TOK_BYTE},
    };
    for (int phi = 0; phi < 2; phi++) {
        struct made m;
        make(&m, "llama", phi ? "My Phi-3 mini" : "some", e, COUNT(e), NULL, 0);
        open_made(&m);
        if (m.rc)
            fail_msg("%s", m.err.msg);
        assert_int_equal(tok_bos(m.t), 1);
        assert_int_equal(tok_eos(m.t), 2);
        assert_true(tok_is_eog(m.t, 2));
        expect(&m, "a", 0, false, "[" U "a]");
        expect(&m, " a", 0, false, "[" U "][" U "a]");
        expect(&m, "  a", 0, false, "[" U U "][" U "a]");
        expect(&m, "<s>a", TOK_SPECIAL, false, "[<s>][" U "a]");
        expect(&m, "<|user|>\n a", TOK_SPECIAL, false, phi ? "[<|user|>][" U "a]" : "[<|user|>][" U "][<0x0A>][" U "a]");
        expect(&m, "<s>\n", TOK_SPECIAL, false, "[<s>][" U "][<0x0A>]"); /* this one strips nothing */
        expect(&m, "\xC3", 0, false, "[" U "][<unk>]"); /* there is no token for this byte */
        struct buf b = BUF_INIT(100);
        tok_decode_all(m.t, (int32_t[]){1, 7, 7}, 3, false, &b);
        assert_string_equal(buf_str(&b), "a a");
        buf_reset(&b);
        tok_decode_all(m.t, (int32_t[]){1, 7, 4, 7, 9}, 5, true, &b);
        assert_string_equal(buf_str(&b), "<s>a<|end|> a\n");
        buf_reset(&b);
        tok_decode(m.t, 7, false, &b); /* one token of an answer keeps its space */
        assert_string_equal(buf_str(&b), " a");
        buf_finish(&b);
        close_made(&m);
    }
}

/* ---- as gemma4 ---- */

static void lines(void **state)
{
    (void)state;
    static const struct entry e[] = {
        {"<bos>", 0, TOK_CONTROL}, {"\n", 0, 1}, {"\n\n", 0, 1}, {U, 0, 1}, {"a", 0, 1}, {"b", 0, 1}, {"a" U, 0, 1}, {"a" U "b", 0, 1}, {U "b", 0, 1}, {"\na", 0, 1},
    };
    static const char *const merges[] = {"a " U, "a" U " b", U " b", "\n a"};
    struct made m;
    struct entry *all = with_bytes(e, COUNT(e));
    make(&m, "gemma4", "x", all, COUNT(e) + 256, merges, COUNT(merges));
    mk_kv_u32(&m.f, "tokenizer.ggml.bos_token_id", 256);
    open_made(&m);
    if (m.rc)
        fail_msg("%s", m.err.msg);
    assert_true(tok_add_bos(m.t));
    expect(&m, "a b", 0, false, "[a" U "b]");
    expect(&m, " b", 0, false, "[" U "b]");
    expect(&m, "a\n\na", 0, false, "[a][\n\n][a]");
    expect(&m, "\n\n\na", 0, false, "[\n][\n][\n][a]"); /* no merge of line ends, and none reaches over */
    expect(&m, "\xC3\xA9", 0, false, "[<0xC3>][<0xA9>]");
    close_made(&m);
    free(all);
}

/* ---- streaming ---- */

/* Whatever the cut, what utf8_feed gives is whole characters and in sum the text. */
static void cut_at_every_byte(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80\xFF\xE2\x82z\xF0\x9F";
    size_t n = sizeof text - 1;
    struct made m;
    struct entry *all = with_bytes(gemma, COUNT(gemma));
    make(&m, "llama", "x", all, COUNT(gemma) + 256, NULL, 0);
    open_made(&m);
    assert_int_equal(m.rc, 0);
    struct tok_ids ids = {0};
    tok_encode(m.t, text, n, 0, NULL, 0, &ids);
    struct buf whole = BUF_INIT(1000), out = BUF_INIT(1000), one = BUF_INIT(1000);
    tok_decode_all(m.t, ids.id, ids.n, false, &whole);
    assert_int_equal(whole.len, n);
    assert_memory_equal(whole.data, text, n);
    /* token by token: each is a byte or a character */
    struct utf8_wait w = {0};
    bool ends_whole = true;
    for (size_t i = 0; i < ids.n; i++) {
        buf_reset(&one);
        tok_decode(m.t, ids.id[i], false, &one);
        size_t at = out.len;
        utf8_feed(&w, one.data ? one.data + (i == 0) : "", one.len - (i == 0), &out);
        for (size_t k = at, len; k < out.len; k += len)
            ends_whole = ends_whole && utf8_decode(out.data + k, out.len - k, &len) != UTF8_PART;
    }
    utf8_flush(&w, &out);
    assert_true(ends_whole);
    assert_int_equal(out.len, n);
    assert_memory_equal(out.data, text, n);
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++) {
            buf_reset(&out);
            w = (struct utf8_wait){0};
            utf8_feed(&w, text, a, &out);
            utf8_feed(&w, text + a, b - a, &out);
            utf8_feed(&w, text + b, n - b, &out);
            utf8_flush(&w, &out);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, text, n);
        }
    buf_finish(&whole);
    buf_finish(&out);
    buf_finish(&one);
    free(ids.id);
    close_made(&m);
    free(all);
}

/* ---- made to hurt ---- */

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static double time_of(const struct tok *t, const char *unit, size_t bytes, size_t *n_ids)
{
    size_t u = strlen(unit), n = bytes / u * u;
    char *s = mem_alloc(n);
    for (size_t i = 0; i < n; i += u)
        memcpy(s + i, unit, u);
    struct tok_ids ids = {0};
    double a = now();
    tok_encode(t, s, n, TOK_SPECIAL, NULL, 0, &ids);
    a = now() - a;
    *n_ids = ids.n;
    free(ids.id);
    free(s);
    return a;
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define MANY (1 << 16)
#define LONG_TEXT 100000
#else
#define MANY (1 << 20)
#define LONG_TEXT 1000000
#endif

/* 2^20 added tokens that share long beginnings; a text that nearly is one, everywhere. */
static void many_added(void **state)
{
    (void)state;
    struct entry *e = mem_array(MANY, sizeof *e);
    char *names = mem_alloc((size_t)MANY * 24);
    for (int i = 0; i < MANY; i++) {
        snprintf(names + (size_t)i * 24, 24, i < 4 ? "%c" : "<aaaa<aaaa<%c_%d>", "<a_b"[i & 3], i);
        e[i] = (struct entry){names + (size_t)i * 24, -1, i < 4 ? 1 : i & 1 ? TOK_CONTROL : TOK_USER};
    }
    for (int spm = 0; spm < 2; spm++) {
        struct made m;
        size_t n;
        double a = now();
        make(&m, spm ? "llama" : "gpt2", "x", e, MANY, (const char *const[]){"a a"}, 1);
        open_made(&m);
        if (m.rc)
            fail_msg("%s", m.err.msg);
        assert_true(now() - a < 10);
        expect(&m, "<aaaa<aaaa<b_7>", TOK_SPECIAL, false, "[<aaaa<aaaa<b_7>]");
        assert_true(time_of(m.t, "<aaaa<aaaa<_9999999", LONG_TEXT, &n) < 1);
        assert_true(n > LONG_TEXT / 2);
        assert_true(time_of(m.t, "<aaaa<aaaa<b_7>", LONG_TEXT, &n) < 1);
        assert_int_equal(n, LONG_TEXT / 15);
        close_made(&m);
    }
    free(names);
    free(e);
}

/* Special texts a..ab of every length, and tokens a..a of every length: matching and merging stay linear. */
static void nested(void **state)
{
    (void)state;
    enum { N = 1500 };
    struct entry *e = mem_array(N + 200, sizeof *e);
    char *names = mem_alloc((size_t)(N + 200) * (N + 2));
    for (int i = 0; i < N + 200; i++) {
        char *s = names + (size_t)i * (N + 2);
        int len = i < N ? i + 1 : i - N + 1;
        memset(s, 'a', (size_t)len);
        strcpy(s + len, i < N ? "" : "b");
        e[i] = (struct entry){s, (float)(i % 7), i < N ? 1 : TOK_USER};
    }
    struct made m;
    size_t n;
    make(&m, "llama", "x", e, N + 200, NULL, 0);
    open_made(&m);
    if (m.rc)
        fail_msg("%s", m.err.msg);
    assert_true(time_of(m.t, "a", LONG_TEXT, &n) < 1.5);
    assert_true(n > 0);
    expect(&m, "aaab", 0, false, "[aaab]");
    close_made(&m);
    free(names);
    free(e);
}

static void refused(const char *model, int which, const char *word)
{
    static const struct entry e[] = {{"a", -1, 1}, {"b", -2, 1}};
    struct made m = {0};
    mk_begin(&m.f);
    mk_kv_str(&m.f, "tokenizer.ggml.model", model);
    mk_kv_arr(&m.f, "tokenizer.ggml.tokens", GGUF_STR, 2);
    for (int i = 0; i < 2; i++)
        mk_str(&m.f, e[i].text, 1);
    if (which) {
        mk_kv_arr(&m.f, "tokenizer.ggml.scores", which == 3 ? GGUF_STR : GGUF_F32, which == 1 ? 1 : 2);
        for (int i = 0; i < (which == 1 ? 1 : 2); i++) {
            float s = which == 2 ? NAN : e[i].score;
            if (which == 3)
                mk_str(&m.f, "x", 1);
            else
                mk_bytes(&m.f, &s, 4);
        }
    }
    open_made(&m);
    assert_int_equal(m.rc, ERR_FORMAT);
    if (!strstr(m.err.msg, word))
        fail_msg("%s", m.err.msg);
    close_made(&m);
}

static void bad_scores(void **state)
{
    (void)state;
    refused("llama", 0, "there are no scores");
    refused("llama", 1, "scores has 1 entries for 2 tokens");
    refused("llama", 2, "scores: entry 0 is no number");
    refused("llama", 3, "scores: entry 0 is no number");
    refused("gemma4", 4, "there are no merges");
    refused("bert", 0, "\"bert\" is not supported; known: gpt2");
}

/* Equal scores, infinite ones, twins, bytes twice, a byte token that is none: defined, and the leftmost of equals first. */
static void odd_scores(void **state)
{
    (void)state;
    static const struct entry e[] = {
        {"a", 0, 1}, {"b", 0, 1}, {"ab", 1, 1}, {"ba", 1, 1}, {"c", -INFINITY, 1}, {"d", 0, 1}, {"cd", -INFINITY, 1}, {"dc", INFINITY, 1},
        {"ab", 99, 1}, {"<0x61>", 0, TOK_BYTE}, {"<0x7a>", 0, TOK_BYTE}, {"<0x7A>", 0, TOK_BYTE}, {"<0x-1>", 0, TOK_BYTE}, {"<0x1G>", 0, TOK_BYTE},
        {"", 5, 1}, {"aa", -0.0f, TOK_CONTROL}, {"x", 0, TOK_UNUSED},
    };
    struct made m;
    make(&m, "llama", "x", e, COUNT(e), NULL, 0);
    mk_kv_u32(&m.f, "tokenizer.ggml.unknown_token_id", 16);
    mk_kv(&m.f, "tokenizer.ggml.add_space_prefix", GGUF_BOOL);
    buf_addch(&m.f.b, 0);
    open_made(&m);
    if (m.rc)
        fail_msg("%s", m.err.msg);
    expect(&m, "aba", 0, false, "[ab][a]");
    expect(&m, "bab", 0, false, "[ba][b]");
    expect(&m, "cdc", 0, false, "[c][dc]");
    expect(&m, "cd", 0, false, "[cd]");
    expect(&m, "aa", 0, false, "[a][a]"); /* a control token is not made by merging */
    expect(&m, "z", 0, false, "[<0x7a>]");
    expect(&m, "y", 0, false, "[x]"); /* unknown */
    struct tok_ids ids = {0};
    tok_encode(m.t, "ab", 2, 0, NULL, 0, &ids);
    assert_int_equal(ids.id[0], 2); /* the first of twins */
    free(ids.id);
    struct buf b = BUF_INIT(100);
    for (int32_t id = 9; id <= 13; id++)
        tok_decode(m.t, id, false, &b);
    assert_string_equal(buf_str(&b), "azz<0x-1><0x1G>");
    buf_finish(&b);
    close_made(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemma_like), cmocka_unit_test(space_in_front), cmocka_unit_test(lines), cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(many_added), cmocka_unit_test(nested), cmocka_unit_test(bad_scores), cmocka_unit_test(odd_scores),
    };
    return cmocka_run_group_tests_name("model/spm", tests, NULL, NULL);
}
