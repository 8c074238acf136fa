/* Colour of code: known lines of each language, spans that cover any line once and in order, states that end, and linear time. */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"
#include "base/clock.h"
#include "ui/code.h"

/* A letter a byte: c comment, s string, k keyword, n number, + - good and alert, . nothing. */
static void letters(const struct code_lang *l, struct code_state *st, const char *s, size_t n, struct buf *out)
{
    static struct code_spans spans;
    code_line(l, st, s, n, &spans);
    uint32_t at = 0;
    for (int i = 0; i < spans.n; i++) {
        const struct row_span *p = &spans.at[i];
        assert_int_equal(p->from, at);
        assert_true(p->to > p->from);
        at = p->to;
        char c = p->look.role == ROLE_COMMENT ? 'c' : p->look.role == ROLE_STRING ? 's' : p->look.role == ROLE_KEYWORD ? 'k' :
                 p->look.role == ROLE_NUMBER ? 'n' : p->look.role == ROLE_GOOD ? '+' : p->look.role == ROLE_ALERT ? '-' : '.';
        for (uint32_t k = p->from; k < p->to; k++)
            buf_addch(out, c);
    }
    assert_int_equal(at, n);
}

/* Lines in turn: text, then letters. */
static void expect(const char *lang, const char *const *lines)
{
    const struct code_lang *l = code_lang(lang, strlen(lang));
    struct code_state st = {0};
    assert_true(l || !strcmp(lang, "none"));
    for (int i = 0; lines[i]; i += 2) {
        struct buf out = BUF_INIT(1 << 16);
        letters(l, &st, lines[i], strlen(lines[i]), &out);
        if (strcmp(buf_str(&out), lines[i + 1]))
            fail_msg("%s:\n%s\n%s\n%s was expected", lang, lines[i], buf_str(&out), lines[i + 1]);
        buf_finish(&out);
    }
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void t_c_like(void **state)
{
    (void)state;
    expect("none", LINES("int x; // 1", "..........."));
    expect("c", LINES("#include <a.h>", "kkkkkkkk......",
                      "int x = 0x1F; // one", "kkk.....nnnn..cccccc",
                      "char *s = \"a\\\"b\"; c = 'x'; d = '\\'';", "kkkk......ssssss......sss......ssss.",
                      "a /* one", "..cccccc", "two", "ccc", "three */ return 1.5e-3f;", "cccccccc.kkkkkk.nnnnnnn.",
                      "x = \"never ends", "....sssssssssss", "y", ".", "integer", "......."));
    expect("C++", LINES("auto p = new T<int>; // x", "kkkk.....kkk...kkk...cccc"));
    expect("javascript", LINES("const a = `one", "kkkkk.....ssss", "two`; let b = 'c'", "ssss..kkk.....sss", "f(x => 1_000n)", "....." "..nnnnnn."));
    expect("ts", LINES("export type A = string;", "kkkkkk.kkkk.....kkkkkk."));
    expect("java", LINES("@Override public int f() { return 'a'; }", "kkkkkkkkk.kkkkkk.kkk.......kkkkkk.sss..."));
    expect("go", LINES("s := `raw", ".....ssss", "x` // c", "ss.cccc"));
    expect("rust", LINES("fn f<'a>(x: &'a str) -> char { 'x' }", "kk..............kkk.....kkkk...sss..", "let s = \"over", "kkk.....sssss", "lines\";", "ssssss."));
}

static void t_scripts(void **state)
{
    (void)state;
    expect("Python", LINES("def f(x): # c", "kkk.......ccc", "s = '''one", "....ssssss", "# two", "sssss", "''' + \"x\"", "sss...sss", "@cache", "kkkkkk", "x = 'it\\'s'", "....sssssss"));
    expect("bash", LINES("if [ -f a#b ]; then # c", "kk.............kkkk.ccc", "echo \"one", "kkkk.ssss", "two\" 'a\\'", "ssss.ssss",
                         "cat <<'EOF' > x", "......sssss....", "if $x", "sssss", "EOF", "sss", "fi", "kk"));
    expect("sql", LINES("SELECT 'it''s', 1 -- c", "kkkkkk.sssssss..n.cccc"));
    expect("lua", LINES("local x = [[one", "kkkkk.....sssss", "two]] --[[ c", "sssss.cccccc", "c ]] end", "cccc.kkk", "-- if", "ccccc"));
    expect("rb", LINES("def f; puts \"a\" # c", "kkk....kkkk.sss.ccc"));
}

static void t_data(void **state)
{
    (void)state;
    expect("json", LINES("{\"a\": \"b\", \"c\" : [1.5, true]}", ".kkk..sss..kkk....nnn..kkkk.."));
    expect("html", LINES("<p class=\"x\">a &amp; b</p>", "kk.......sssk..nnnnn..kkkk", "<!-- one", "cccccccc", "two --> <br/>", "ccccccc.kkk.k"));
    expect("css", LINES("a { color: red; /* c */ width: 10px }", "....kkkkk.......ccccccc.kkkkk..nnnn.."));
    expect("diff", LINES("--- a", "ccccc", "+++ b", "ccccc", "@@ -1 +1 @@", "kkkkkkkkkkk", "-old", "----", "+new", "++++", " same", "....."));
    expect("make", LINES("all: x # c", "kkk....ccc", "CFLAGS += -O2", "kkkkkk.......", "\tcc -c x", "........"));
    expect("yaml", LINES("a-b: \"c\" # d", "kkk..sss.ccc", "  - x: true", "....k..kkkk", "url: http://a#b", "kkk............"));
    expect("toml", LINES("[a.b]", "kkkkk", "x = 12 # c", "k...nn.ccc"));
    expect("ini", LINES("[s]", "kkk", "; c", "ccc", "k=v", "k.."));
}

static void t_names(void **state)
{
    static const char *const all[] = {"c", "cpp", "python", "py", "js", "typescript", "java", "go", "rust", "sh", "bash", "sql", "json", "html", "xml", "css", "lua", "ruby",
        "diff", "make", "Makefile", "yaml", "yml", "toml", "ini"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_non_null(code_lang(all[i], strlen(all[i])));
    assert_null(code_lang("", 0));
    assert_null(code_lang("c py", 4));
    assert_null(code_lang("brainfuck", 9));
    assert_string_equal(code_lang_name(code_lang("C++", 3)), "c++");
    assert_string_equal(code_lang_name(NULL), "");
}

/* Any bytes: the spans cover the line (letters asserts it); no time bomb. */
static void t_any(void **state)
{
    static const char *const names[] = {"c", "c#", "python", "js", "java", "go", "rust", "swift", "sh", "sql", "json", "html", "css", "lua", "ruby", "perl",
        "haskell", "lisp", "diff", "make", "yaml", "toml", "ini"};
    static const char *const bits[] = {"\"", "'", "`", "\\", "/*", "*/", "//", "#", "--", "[[", "]]", "<", ">", "<!--", "-->", "'''", "\"\"\"", "<<E", "E", "@", "- ", ":", "=", " ",
        "\t", "if", "x", "1", "0x", ".", "e+", "\xC3\xA4", "\xFF", "[", "]", "{-", "=begin", "&", ";", "$"};
    uint32_t r = 7;
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const struct code_lang *l = code_lang(names[k], strlen(names[k]));
        struct code_state st = {0};
        for (int round = 0; round < 300; round++) {
            struct buf b = BUF_INIT(1 << 16), out = BUF_INIT(1 << 16);
            for (int i = round % 12; i; i--) {
                r = r * 1664525u + 1013904223u;
                buf_addstr(&b, bits[(r >> 16) % (sizeof bits / sizeof *bits)]);
            }
            char *exact = malloc(b.len ? b.len : 1); /* so that a sanitizer sees reads behind it */
            memcpy(exact, buf_str(&b), b.len);
            letters(l, &st, exact, b.len, &out);
            free(exact);
            buf_finish(&b);
            buf_finish(&out);
        }
        for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
            struct code_spans spans = {0};
            struct buf b = BUF_INIT(1 << 24);
            while (b.len < 1 << 16)
                buf_addstr(&b, bits[i]);
            st = (struct code_state){0};
            int64_t t = clock_mono_us();
            code_line(l, &st, buf_str(&b), b.len, &spans);
            t = clock_mono_us() - t;
            if (t > 1000000)
                fail_msg("%s: 64 KB of \"%s\" took %d ms", names[k], bits[i], (int)(t / 1000));
            free(spans.at);
            buf_finish(&b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_c_like), cmocka_unit_test(t_scripts), cmocka_unit_test(t_data), cmocka_unit_test(t_names), cmocka_unit_test(t_any),
    };
    return cmocka_run_group_tests_name("ui/code", tests, NULL, NULL);
}
