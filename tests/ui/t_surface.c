/* The cell grid: what text becomes, what stays clear at edges, links, dumps. */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"
#include "ui/surface.h"

static const struct look plain = {0}, dim = {ROLE_DIM, LOOK_BOLD, 0};

/* The first row as text. */
static const char *row(const struct surface *s, int y)
{
    static char out[4096];
    struct buf b = BUF_INIT(1 << 20);
    surface_dump(s, false, &b);
    char *p = b.data;
    while (y--)
        p = strchr(p, '\n') + 1;
    snprintf(out, sizeof out, "%.*s", (int)strcspn(p, "\n"), p);
    buf_finish(&b);
    return out;
}

/* Text put at column 0 of 20 gives this row and ends in this column; text_columns says the same. */
static void shows(const char *text, const char *want, int columns)
{
    struct surface *s = surface_create(1, 40);
    assert_int_equal(surface_put(s, 0, 0, 40, plain, text, strlen(text)), columns);
    assert_string_equal(row(s, 0), want);
    assert_int_equal(text_columns(text, strlen(text)), columns);
    surface_destroy(s);
}

static void what_text_becomes(void **state)
{
    (void)state;
    shows("plain", "plain", 5);
    shows("a\tb\nc", "a b c", 5);
    shows("\x1b[2J\x07", "^[[2J^G", 7);
    shows("\xc2\x9b", "\\x9b", 4);
    shows("a\xffz", "a\xef\xbf\xbdz", 3);
    shows("\xe2\x80\xae", "<U+202E>", 8);
    shows("日本", "日本", 4);
    shows("e\xcc\x81", "e\xcc\x81", 1);                                                     /* combining acute */
    shows("e\xcc\x81\xcc\x82\xcc\x83", "e\xcc\x81\xcc\x82", 1);                             /* at most two marks */
    shows("\xcc\x81", "\xe2\x97\x8c\xcc\x81", 1);                                           /* a mark alone */
    shows("👨‍👩‍👧‍👦!", "👨!", 3);                                                                  /* a family: its first */
    shows("👍🏽", "👍", 2);                                                                    /* skin tone */
    shows("❤️", "❤", 1);                                                                     /* variation selector */
    shows("🇩🇪🇫🇷", "🇩🇪🇫🇷", 4);                                                               /* flags */
    shows("한글", "한글", 4);
}

static void edges(void **state)
{
    (void)state;
    struct surface *s = surface_create(2, 6);
    assert_int_equal(surface_puts(s, 0, 0, 5, plain, "abc日本"), 5); /* the second does not fit before 5 */
    assert_string_equal(row(s, 0), "abc日");
    assert_int_equal(surface_puts(s, 1, 0, 99, plain, "abcde日"), 5);
    assert_string_equal(row(s, 1), "abcde");
    surface_puts(s, 0, 4, 6, plain, "x"); /* on the right half */
    assert_string_equal(row(s, 0), "abc x");
    surface_puts(s, 0, 0, 6, plain, "日本語");
    surface_puts(s, 0, 2, 3, plain, "y"); /* on a left half */
    assert_string_equal(row(s, 0), "日y 語");
    surface_blank(s, 0, 5, 1, 9, dim);
    assert_string_equal(row(s, 0), "日y");
    surface_put(s, -1, 0, 6, plain, "no", 2);
    surface_put(s, 9, -5, 6, plain, "no row", 6);
    surface_put(s, 1, -2, 6, plain, "abcXYZ", 6);
    assert_string_equal(row(s, 1), "cXYZe");
    surface_blank(s, -5, -5, 100, 100, plain);
    assert_string_equal(row(s, 0), "");
    surface_fit(s, 0, 0, 6, plain, "abcdefgh");
    assert_string_equal(row(s, 0), "abcd..");
    surface_resize(s, 0, -3);
    assert_int_equal(surface_rows(s), 1);
    assert_int_equal(surface_cols(s), 1);
    surface_destroy(s);
}

static void clusters(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t bytes;
        int columns;
    } table[] = {
        {"ab", 1, 1}, {"日本", 3, 2}, {"e\xcc\x81x", 3, 1}, {"👨‍👩‍👧‍👦x", 25, 2}, {"🇩🇪🇫🇷", 8, 2}, {"\r\nx", 2, 1}, {"\x1bx", 1, 2}, {"\xff\xff", 1, 1}, {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", 9, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int columns;
        assert_int_equal(text_cluster(table[i].s, strlen(table[i].s), &columns), table[i].bytes);
        assert_int_equal(columns, table[i].columns);
    }
}

static void links_and_dumps(void **state)
{
    (void)state;
    struct surface *s = surface_create(2, 12);
    uint16_t l = surface_link(s, "https://a.b/c", 13);
    assert_int_equal(l, 1);
    assert_int_equal(surface_link(s, "https://a.b/c", 13), 1);
    assert_int_equal(surface_link(s, "file:///etc/passwd", 18), 0);
    assert_int_equal(surface_link(s, "http://a\x1b]8", 11), 0);
    surface_puts(s, 0, 0, 12, dim, "ab");
    surface_puts(s, 0, 3, 12, (struct look){ROLE_LINK, LOOK_UNDERLINE, l}, "link");
    surface_look(s, 1, 0, 12, (struct look){ROLE_STATUS, LOOK_REVERSE, 0});
    struct buf b = BUF_INIT(1 << 16);
    surface_dump(s, true, &b);
    assert_string_equal(buf_str(&b), "ab link\n  @ 0-1 dim bold, 3-6 link underline <https://a.b/c>\n\n  @ 0-11 status reverse\n");
    buf_finish(&b);
    int y, x;
    surface_cursor(s, 1, 11);
    surface_get_cursor(s, &y, &x);
    assert_true(y == 1 && x == 11);
    surface_cursor(s, 1, 12);
    surface_get_cursor(s, &y, &x);
    assert_true(y == -1 && x == -1);
    surface_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_text_becomes), cmocka_unit_test(edges), cmocka_unit_test(clusters),
                                       cmocka_unit_test(links_and_dumps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
