/* UTF-8 and the sanitizer: known forms, every cut, and the promise that nothing but allowed bytes comes out. */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"
#include "base/sane.h"
#include "base/utf8.h"

static void check_sane(const char *in, size_t n, const char *want)
{
    struct buf out = BUF_INIT(1 << 20);
    sane_text(&out, in, n);
    assert_string_equal(buf_str(&out), want);
    for (size_t cut = 0; cut <= n; cut++) { /* a text cut anywhere, and then fed byte by byte, gives the same */
        struct sane st = {0};
        buf_reset(&out);
        sane_feed(&st, in, cut, &out);
        sane_feed(&st, in + cut, n - cut, &out);
        sane_flush(&st, &out);
        assert_string_equal(buf_str(&out), want);
    }
    struct sane st = {0};
    buf_reset(&out);
    for (size_t i = 0; i < n; i++)
        sane_feed(&st, in + i, 1, &out);
    sane_flush(&st, &out);
    assert_string_equal(buf_str(&out), want);
    buf_finish(&out);
}
#define SANE(in, want) check_sane(in, sizeof(in) - 1, want)

static void sanitizes(void **state)
{
    (void)state;
    SANE("plain\ttext\n", "plain\ttext\n");
    SANE("caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80");
    SANE("\x1b]52;c;aGk=\x07", "^[]52;c;aGk=^G");
    SANE("a\r\nb\rc\r", "a\nb\nc\n");
    SANE("\x00\x7f", "^@^?");
    SANE("\xC2\x9B" "31m", "\\x9b31m");
    SANE("\x9b" "31m", "\xEF\xBF\xBD" "31m");
    SANE("\xE4\xBD" "A", "\xEF\xBF\xBD" "A");
    SANE("\xE2\x80\xAE" "abc", "<U+202E>abc");
    SANE("\xF3\xA0\x81\x81", "<U+E0041>");
    SANE("\xEF\xBF\xBF\xEF\xBB\xBF", "<U+FFFF><U+FEFF>");
    SANE("e\xCC\x81", "e\xCC\x81");
    SANE("e\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81" "f",
         "e\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xEF\xBF\xBD" "f");
    /* the flag of Scotland, and the beginning of one */
    SANE("\xF0\x9F\x8F\xB4\xF3\xA0\x81\xA7\xF3\xA0\x81\xA2\xF3\xA0\x81\xB3\xF3\xA0\x81\xA3\xF3\xA0\x81\xB4\xF3\xA0\x81\xBF!",
         "\xF0\x9F\x8F\xB4\xF3\xA0\x81\xA7\xF3\xA0\x81\xA2\xF3\xA0\x81\xB3\xF3\xA0\x81\xA3\xF3\xA0\x81\xB4\xF3\xA0\x81\xBF!");
    SANE("\xF0\x9F\x8F\xB4\xF3\xA0\x81\xA7x", "\xF0\x9F\x8F\xB4<U+E0067>x");
}

static void lets_nothing_through(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1 << 22);
    uint64_t rng = 1;
    for (int round = 0; round < 2000; round++) {
        char in[64];
        size_t n = (size_t)(round % 64) + 1;
        for (size_t i = 0; i < n; i++) {
            rng = rng * 6364136223846793005u + 1442695040888963407u;
            in[i] = (char)(rng >> 56);
        }
        buf_reset(&out);
        sane_text(&out, in, n);
        assert_true(utf8_valid(buf_str(&out), out.len));
        for (size_t i = 0; i < out.len;) {
            size_t len;
            uint32_t cp = utf8_decode(out.data + i, out.len - i, &len);
            assert_true(cp == '\t' || cp == '\n' || (cp >= 0x20 && cp != 0x7F && !(cp >= 0x80 && cp < 0xA0)));
            i += len;
        }
        struct buf again = BUF_INIT(1 << 22); /* idempotent */
        sane_text(&again, buf_str(&out), out.len);
        assert_int_equal(again.len, out.len);
        buf_finish(&again);
    }
    buf_finish(&out);
}

static void decodes(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n, len;
        uint32_t cp;
    } cases[] = {
        {"A", 1, 1, 'A'},         {"\xC3\xA9", 2, 2, 0xE9},        {"\xC0\x80", 2, 1, UTF8_BAD},
        {"\xED\xA0\x80", 3, 1, UTF8_BAD}, {"\xF4\x90\x80\x80", 4, 1, UTF8_BAD}, {"\xF4\x8F\xBF\xBF", 4, 4, 0x10FFFF},
        {"\xE4\xBD", 2, 2, UTF8_PART},  {"\xE4\xBD" "A", 3, 2, UTF8_BAD}, {"\xFF", 1, 1, UTF8_BAD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len;
        assert_int_equal(utf8_decode(cases[i].s, cases[i].n, &len), cases[i].cp);
        assert_int_equal(len, cases[i].len);
    }
    struct buf out = BUF_INIT(100);
    assert_int_equal(utf8_repair(&out, "a\xE4\xBD\xFF" "b", 5), 2);
    assert_string_equal(buf_str(&out), "a\xEF\xBF\xBD\xEF\xBF\xBD" "b");
    buf_finish(&out);
    assert_int_equal(utf8_width(0x65E5), 2);
    assert_int_equal(utf8_width(0x301), 0);
}

static void waits_for_whole_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\xE4\xBDx\xF0\x9F\x98";
    size_t n = sizeof text - 1;
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            struct utf8_wait w = {0};
            struct buf out = BUF_INIT(100);
            utf8_feed(&w, text, a, &out);
            utf8_feed(&w, text + a, b - a, &out);
            utf8_feed(&w, text + b, n - b, &out);
            assert_int_equal(out.len, n - 3); /* the cut-off emoji still waits */
            utf8_flush(&w, &out);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, text, n);
            buf_finish(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sanitizes),
        cmocka_unit_test(lets_nothing_through),
        cmocka_unit_test(decodes),
        cmocka_unit_test(waits_for_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
