/*
 * Grammars: which texts they take, what is wrong with bad ones and where, and masks of whole vocabularies against one token at a time.
 */
#include "config.h"
#include "tests/t.h"

#include <math.h>
#include <stdbool.h>
#include <time.h>

#include "model/grammar.h"

static struct grammar *parse(const char *text)
{
    struct grammar *g = NULL;
    struct err err = {0};
    if (grammar_parse(text, strlen(text), &g, &err))
        fail_msg("%s\n%s", err.msg, text);
    return g;
}

/* 'y': the whole text is one of the grammar; 'p': a beginning of one; 'n': neither. */
static char takes(const struct grammar *g, const char *text, size_t n)
{
    struct matcher *m;
    struct err err = {0};
    if (matcher_create(g, NULL, &m, &err))
        fail_msg("%s", err.msg);
    char is = 'y';
    for (size_t i = 0; i < n && is == 'y'; i++) {
        int rc = matcher_byte(m, (unsigned char)text[i], &err);
        assert_true(rc >= 0);
        is = rc ? 'y' : 'n';
    }
    if (is == 'y' && !matcher_can_end(m))
        is = 'p';
    assert_true(is == 'n' || (matcher_least(m) == 0) == (is == 'y'));
    matcher_destroy(m);
    return is;
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *text;
        char is;
    } rows[] = {
        {"root ::= \"abc\"", "abc", 'y'}, {"root ::= \"abc\"", "ab", 'p'}, {"root ::= \"abc\"", "abd", 'n'}, {"root ::= \"abc\"", "abcd", 'n'},
        {"root ::= \"\"", "", 'y'}, {"root ::=", "", 'y'}, {"root ::= | \"a\"", "", 'y'}, {"root ::= | \"a\"", "a", 'y'},
        {"root ::= [a-c]+ # comment\n", "abcabc", 'y'}, {"root ::= [a-c]+", "", 'p'}, {"root ::= [^a-c]", "d", 'y'}, {"root ::= [^a-c]", "b", 'n'},
        {"root ::= [^a-c]", "\n", 'y'}, {"root ::= [a-]", "-", 'y'}, {"root ::= [\\]\\\\]+", "]\\", 'y'}, {"root ::= \"\\x41\\u00e9\\U0001F600\"", "A\xC3\xA9\xF0\x9F\x98\x80", 'y'},
        {"root ::= \"a\"*", "aaaa", 'y'}, {"root ::= \"a\"?", "aa", 'n'}, {"root ::= \"ab\"{2}", "abab", 'y'}, {"root ::= \"ab\"{2}", "ab", 'p'},
        {"root ::= \"a\"{2,}", "a", 'p'}, {"root ::= \"a\"{2,}", "aaaaa", 'y'}, {"root ::= \"a\"{1,3}", "aaa", 'y'}, {"root ::= \"a\"{1,3}", "aaaa", 'n'},
        {"root ::= \"a\"{,2} \"b\"", "aab", 'y'}, {"root ::= \"a\"{0} \"b\"", "b", 'y'}, {"root ::= \"a\"{0} \"b\"", "ab", 'n'}, {"root ::= \"a\"{0,0}", "", 'y'},
        {"root ::= (\"a\" | \"b\"+)* \"c\"", "abbac", 'y'}, {"root ::= (\n \"a\"\n | \"b\" )\n", "b", 'y'}, {"root ::= \"a\" |\n  \"b\"\n", "b", 'y'},
        {"root ::= \"a\"\n  | \"b\"\n", "b", 'y'},
        {"root ::= x y\nx ::= \"a\"\ny ::= x x | \"b\"\n", "aaa", 'y'}, {"root ::= x y\r\nx ::= \"a\"\r\ny ::= x x | \"b\"\r\n", "ab", 'y'},
        {"root ::= \"(\" root \")\" | \"\"", "((()))", 'y'}, {"root ::= \"(\" root \")\" | \"\"", "((())", 'p'}, {"root ::= \"(\" root \")\" | \"\"", "())", 'n'},
        {"root ::= a*\na ::= (\"x\" | \"\")*", "xxx", 'y'}, /* loops that take nothing */
        {"root ::= (\"a\"{1,2}){2}", "aaaa", 'y'}, {"root ::= (\"a\"{1,2}){2}", "aaaaa", 'n'}, {"root ::= ((\"a\"?){3} \"b\"){2}", "aabaaab", 'y'},
        {"root ::= .", "\xE2\x82\xAC", 'y'}, {"root ::= .", "\xE2\x82", 'p'}, {"root ::= .", "\xED\xA0\x80", 'n'}, {"root ::= .", "\xC0\x80", 'n'},
        {"root ::= .", "\xF4\x90\x80\x80", 'n'}, {"root ::= .", "ab", 'n'}, {"root ::= [\xC3\xA0-\xC3\xBF]", "\xC3\xA9", 'y'}, {"root ::= [\xC3\xA0-\xC3\xBF]", "\xC3\x9F", 'n'},
        {"root ::= \"a\" dead | \"b\"\ndead ::= \"x\" dead", "a", 'n'}, /* what never ends is not begun */
        {"root ::= \"a\" dead | \"b\"\ndead ::= \"x\" dead", "b", 'y'},
        {"root ::= list\nlist ::= \"x\" (\",\" list)?", "x,x,x", 'y'}, {"a_b-2 ::= \"q\"\nroot ::= a_b-2", "q", 'y'},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grammar *g = parse(rows[i].grammar);
        char is = takes(g, rows[i].text, strlen(rows[i].text));
        if (is != rows[i].is)
            fail_msg("%s on '%s': %c, not %c", rows[i].grammar, rows[i].text, is, rows[i].is);
        grammar_free(g);
    }
}

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *grammar, *says;
    } rows[] = {
        {"", "line 1, column 1: there is no rule 'root'"}, {"a ::= \"b\"\n", "line 2, column 1: there is no rule 'root'"},
        {"root ::= \"a\nb ::= \"c\"", "line 1, column 10: the quotes"}, {"root ::= [a", "line 1, column 10: the bracket"}, {"root ::= (\"a\"", "line 1, column 10: the parenthesis"},
        {"root ::= \"a\")", "line 1, column 13: a closing"}, {"root ::= *", "line 1, column 10: a repetition mark"}, {"root ::= \"a\"{3,2}", "run backwards"},
        {"root ::= \"a\"{x}", "a repetition is"}, {"root ::= \"a\"{100001}", "100000"}, {"root ::= [z-a]", "runs backwards"}, {"root ::= []", "holds no character"},
        {"root ::= \"\\q\"", "line 1, column 12: an unknown escape"}, {"root ::= \"\\x4\"", "hexadecimal"}, {"root ::= \"\\uD800\"", "no character"}, {"root ::= \"\xFF\"", "not UTF-8"},
        {"root ::= \"a\" other", "line 1, column 14: there is no rule 'other'"}, {"root ::= \"a\"\n\nroot ::= \"b\"", "line 3, column 1: a second rule of the name 'root'"},
        {"root ::= root \"a\" | \"b\"", "calls itself"}, {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "calls itself"}, {"root ::= (\"a\"? root) | \"b\"", "calls itself"},
        {"root ::= \"a\" root", "no text satisfies"}, {"root ::= a\na ::= \"x\" b\nb ::= \"y\" a", "no text satisfies"}, {"root := \"a\"", "begins with its name"},
        {"root ::= \"a\"\nnonsense\n", "line 2, column 1: a rule begins"}, {"root ::= \"a\" ! \"b\"", "line 1, column 14: neither"}, {"\xC3\xA9 ::= \"a\"", "line 1, column 1"},
        {"# \xC3\xA9\xC3\xA9\nroot ::= \"\xC3\xA9\" \xC3\xA9", "line 2, column 14: neither"},
        {"root ::= ((((\"a\"{1000}){1000}){1000}){1000})", "too large"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grammar *g;
        struct err err = {0};
        if (grammar_parse(rows[i].grammar, strlen(rows[i].grammar), &g, &err) != ERR_INPUT || !strstr(err.msg, rows[i].says))
            fail_msg("%s: %s", rows[i].grammar, err.code ? err.msg : "taken");
    }
    char deep[400] = "root ::= ";
    memset(deep + 9, '(', 300);
    struct grammar *g;
    struct err err = {0};
    assert_int_equal(grammar_parse(deep, 309, &g, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "more than 256 groups"));
}

/* Every code point against a class, through its bytes. */
static void all_of_unicode(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= [\\x00-\\x20\\u00C0-\\u0450\\u1000-\\uFFFD\\U00010010-\\U0010ABCD]"), *not = parse("root ::= [^\\x00-\\x20\\u00C0-\\u0450\\u1000-\\uFFFD\\U00010010-\\U0010ABCD]");
    struct matcher *m[2];
    for (uint32_t c = 0; c <= 0x10FFFF; c += c > 0x11100 && c < 0x10AA00 ? 97 : 1) {
        unsigned char b[4];
        int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, went[2];
        for (int i = n - 1, x = (int)c; i >= 0; i--, x >>= 6)
            b[i] = i ? (unsigned char)(0x80 | (x & 63)) : (unsigned char)(x | (n == 1 ? 0 : n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
        bool in = c <= 0x20 || (c >= 0xC0 && c <= 0x450) || (c >= 0x1000 && c <= 0xFFFD) || (c >= 0x10010 && c <= 0x10ABCD);
        bool half = c >= 0xD800 && c < 0xE000;
        for (int k = 0; k < 2; k++) {
            assert_int_equal(matcher_create(k ? not : g, NULL, &m[k], NULL), 0);
            went[k] = 1;
            for (int i = 0; i < n && went[k]; i++)
                went[k] = matcher_byte(m[k], b[i], NULL);
            matcher_destroy(m[k]);
        }
        if (went[0] != (in && !half) || went[1] != (!in && !half))
            fail_msg("U+%04X: %d %d", c, went[0], went[1]);
    }
    grammar_free(g);
    grammar_free(not);
}

static const char json[] = "root ::= object\n"
                           "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
                           "object ::= \"{\" ws (string ws \":\" ws value (ws \",\" ws string ws \":\" ws value)*)? ws \"}\"\n"
                           "array ::= \"[\" ws (value (ws \",\" ws value)*)? ws \"]\"\n"
                           "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\"\n"
                           "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,15})? ([eE] [-+]? [0-9]{1,3})?\n"
                           "ws ::= [ \\n\\t]{0,8}\n";

static void deep_texts(void **state)
{
    (void)state;
    struct grammar *g = parse(json);
    struct matcher *m;
    assert_int_equal(matcher_create(g, NULL, &m, NULL), 0);
    const char *head = "{\"a\":";
    for (const char *p = head; *p; p++)
        assert_int_equal(matcher_byte(m, (unsigned char)*p, NULL), 1);
    enum { DEEP = 20000 }; /* more states than are kept */
    for (int i = 0; i < DEEP; i++)
        assert_int_equal(matcher_byte(m, '[', NULL), 1);
    assert_int_equal(matcher_least(m), DEEP + 1);
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(matcher_byte(m, '}', NULL), 0);
        assert_int_equal(matcher_byte(m, ']', NULL), 1);
    }
    assert_int_equal(matcher_byte(m, ']', NULL), 0);
    assert_int_equal(matcher_byte(m, '}', NULL), 1);
    assert_true(matcher_must_end(m));
    matcher_destroy(m);
    grammar_free(g);
}

/* Too many ways at once are an end, not a hang. */
static void budgets(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= a\na ::= \"x\" a a a \"y\" | \"x\" a a \"z\" | \"x\" a | \"x\"\n");
    struct matcher *m;
    struct err err = {0};
    int rc = 1;
    assert_int_equal(matcher_create(g, NULL, &m, NULL), 0);
    for (int i = 0; i < 1000 && rc == 1; i++)
        rc = matcher_byte(m, 'x', &err);
    assert_int_equal(rc, ERR_INCOMPLETE);
    assert_non_null(strstr(err.msg, "too many ways"));
    matcher_destroy(m);
    grammar_free(g);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The mask is what one token at a time says, all along a text that the mask leads. */
static void masks(void **state)
{
    (void)state;
    struct gguf *file;
    struct tok *t;
    struct err err = {0};
    assert_int_equal(gguf_open(t_shared("data/vocab/ggml-vocab-qwen2.gguf"), &file, &err), 0);
    assert_int_equal(tok_open(file, &t, &err), 0);
    struct grammar_vocab *v = grammar_vocab_new(t);
    struct grammar *g = parse(json);
    struct matcher *m;
    int n = tok_count(t), count;
    float *logits = calloc((size_t)n, sizeof *logits), *out = calloc((size_t)n, sizeof *out);
    struct buf text = BUF_INIT(1 << 20);
    assert_int_equal(matcher_create(g, v, &m, NULL), 0);
    uint32_t dice = 7;
    double slowest = 0, all = 0;
    int tokens = 0;
    for (; !matcher_must_end(m) && tokens < 400; tokens++) {
        uint32_t room = (uint32_t)(400 - tokens - 1);
        double t0 = now_us();
        assert_int_equal(matcher_mask(m, room, logits, out, &count, &err), 0);
        t0 = now_us() - t0;
        slowest = t0 > slowest ? t0 : slowest;
        all += t0;
        int seen = 0, pick = -1;
        for (int i = 0; i < n; i++) {
            bool masked = out[i] == 0;
            if (tokens < 12 || i % 37 == tokens % 37)
                if (masked != (matcher_allows(m, i, room, NULL) == 1))
                    fail_msg("token %d behind '%s'", i, buf_str(&text));
            if (!masked)
                continue;
            seen++;
            dice = dice * 1664525u + 1013904223u;
            if ((dice >> 8) % (uint32_t)seen == 0 && !tok_is_eog(t, i))
                pick = i;
        }
        assert_int_equal(seen, count);
        assert_true(pick >= 0);
        tok_decode(t, pick, false, &text);
        assert_int_equal(matcher_accept(m, pick, &err), 1);
    }
    print_message("%d tokens, a mask in %.0f us on average, %.0f at most\n", tokens, all / tokens, slowest);
    assert_true(matcher_can_end(m));
    assert_true(takes(g, buf_str(&text), text.len) == 'y');
    assert_int_equal(matcher_accept(m, tok_eos(t), NULL), 1);
    matcher_destroy(m);
    /* no room at all: what comes nearest to the end */
    assert_int_equal(matcher_create(g, v, &m, NULL), 0);
    for (int i = 0; !matcher_must_end(m) && i < 3; i++) {
        int pick = 0;
        assert_int_equal(matcher_mask(m, 0, logits, out, &count, &err), 0);
        assert_true(count > 0);
        while (out[pick] != 0)
            pick++;
        assert_int_equal(matcher_accept(m, pick, &err), 1);
    }
    assert_true(matcher_must_end(m));
    assert_int_equal(matcher_accept(m, 0, NULL), 0);
    matcher_destroy(m);
    grammar_free(g);
    grammar_vocab_free(v);
    free(logits);
    free(out);
    buf_finish(&text);
    tok_close(t);
    gguf_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),  cmocka_unit_test(mistakes), cmocka_unit_test(all_of_unicode), cmocka_unit_test(deep_texts),
        cmocka_unit_test(budgets), cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
