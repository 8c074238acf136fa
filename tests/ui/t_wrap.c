/* Wrapping at words: known texts, and what must hold for any text, however it is cut into pieces. */
#include "config.h"
#include "tests/t.h"

#include "base/sane.h"
#include "base/utf8.h"
#include "ui/wrap.h"

static void wrap(const char *s, size_t piece, int columns, struct buf *out)
{
    struct wrap w = {0};
    size_t n = strlen(s), len;
    for (size_t i = 0; i < n;) { /* pieces of whole characters */
        size_t k = 0;
        do {
            utf8_decode(s + i + k, n - i - k, &len);
            k += len;
        } while (k < piece && i + k < n);
        wrap_feed(&w, s + i, k, columns, out);
        i += k;
    }
    wrap_flush(&w, columns, out);
}

static void expect(const char *s, int columns, const char *want)
{
    for (size_t piece = 1; piece < 40; piece += 3) {
        struct buf out = BUF_INIT(1 << 16);
        wrap(s, piece, columns, &out);
        assert_string_equal(buf_str(&out), want);
        buf_finish(&out);
    }
}

static void t_known(void **state)
{
    (void)state;
    expect("", 10, "");
    expect("one two three four", 10, "one two\nthree four");
    expect("exactly te fit", 10, "exactly te\nfit"); /* a full row */
    expect("a  b   \n\n  c", 10, "a  b\n\n  c");
    expect("unbreakablelongword and", 10, "unbreakablelongword\nand");
    expect("x unbreakablelongword", 10, "x\nunbreakablelongword");
    expect("- item one two three\nnext line goes", 12, "- item one\n  two three\nnext line\ngoes");
    expect("  12. item one two three", 16, "  12. item one\n      two three");
    expect("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97", 10,
           "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\n\xe5\xad\x97");
    expect("```c\nint a_long_line = of_code(1, 2);\n```\nand then prose", 12, "```c\nint a_long_line = of_code(1, 2);\n```\nand then\nprose");
    expect("a\tb c", 10, "a\tb\nc");
}

/* The words stay what they are; no row is too wide but for a single word. */
static void t_any(void **state)
{
    static const char *const bits[] = {"a", "word", " ", "  ", "\n", "longer-words", "\xc3\xa4\xc3\xb6", "\xe6\xbc\xa2", "-", "1.", "e\xcc\x81", "\t"};
    (void)state;
    unsigned r = 12345;
    for (int round = 0; round < 3000; round++) {
        struct buf s = BUF_INIT(1 << 16), out = BUF_INIT(1 << 16), again = BUF_INIT(1 << 16), a = BUF_INIT(1 << 16), b = BUF_INIT(1 << 16);
        int columns = 8 + round % 40;
        for (int i = 0; i < 40; i++) {
            r = r * 1103515245u + 12345u;
            buf_addstr(&s, bits[(r >> 16) % (sizeof bits / sizeof *bits)]);
        }
        wrap(buf_str(&s), 1 + (size_t)round % 7, columns, &out);
        wrap(buf_str(&s), 1000, columns, &again);
        assert_string_equal(buf_str(&out), buf_str(&again));
        const struct buf *texts[] = {&s, &out};
        struct buf *bare[] = {&a, &b};
        for (int k = 0; k < 2; k++)
            for (const char *p = buf_str(texts[k]); *p; p++)
                if (!strchr(" \n\t", *p))
                    buf_addch(bare[k], *p);
        assert_string_equal(buf_str(&a), buf_str(&b));
        for (const char *line = buf_str(&out); line;) {
            const char *end = strchr(line, '\n');
            size_t n = end ? (size_t)(end - line) : strlen(line), len;
            int width = 0;
            for (size_t i = 0; i < n; i += len) {
                uint32_t c = utf8_decode(line + i, n - i, &len);
                width = c == '\t' ? (width / 8 + 1) * 8 : width + utf8_width(c);
            }
            size_t blanks = strspn(line, " \t-1.");
            if (width > columns && memchr(line + blanks, ' ', n > blanks ? n - blanks : 0) && !memchr(line, '\t', n))
                assert_string_equal(buf_str(&s), buf_str(&out)); /* prints both */
            line = end ? end + 1 : NULL;
        }
        buf_finish(&s), buf_finish(&out), buf_finish(&again), buf_finish(&a), buf_finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(t_known), cmocka_unit_test(t_any)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
