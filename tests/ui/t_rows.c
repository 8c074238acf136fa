/* Rows: known texts, what must hold for any bytes at any width, copying, drawing, and that time grows with the text only. */
#include "config.h"
#include "tests/t.h"

#include <time.h>

#include "base/sane.h"
#include "base/utf8.h"
#include "ui/rows.h"

/* Rows as text: each on a line, "~" before a soft one, "|" behind it. */
static void dump(const struct rows *r, struct buf *out)
{
    for (size_t i = 0; i < r->n; i++) {
        buf_addstr(out, r->at[i].soft ? "~" : "");
        buf_add(out, r->at[i].text, r->at[i].n);
        buf_addstr(out, "|\n");
    }
}

static void expect(struct wrap_conf c, const char *text, const char *want)
{
    struct rows r;
    struct buf out = BUF_INIT(1 << 20);
    rows_init(&r);
    rows_add(&r, &c, text, strlen(text), NULL, 0, 0);
    dump(&r, &out);
    assert_string_equal(buf_str(&out), want);
    buf_reset(&out);
    rows_text(&r, 0, r.n, text, &out);
    assert_string_equal(buf_str(&out), text); /* copied, it is the source */
    buf_finish(&out);
    rows_finish(&r);
}

#define PROSE(w) ((struct wrap_conf){.width = (w), .words = true})
#define CODE(w) ((struct wrap_conf){.width = (w), .code = 1})

static void t_words(void **state)
{
    (void)state;
    expect(PROSE(10), "", "|\n");
    expect(PROSE(10), "one two three four", "one two|\n~three four|\n");
    expect(PROSE(10), "exactly te fit", "exactly te|\n~fit|\n");
    expect(PROSE(10), "one  two       three", "one  two|\n~three|\n");
    expect(PROSE(7), "one     two", "one|\n~two|\n");
    expect(PROSE(10), "  in front", "  in front|\n");
    expect(PROSE(10), "unbreakablelongword and", "unbreakabl|\n~elongword|\n~and|\n");
    expect(PROSE(10), "x unbreakablelongword", "x|\n~unbreakabl|\n~elongword|\n");
    expect(PROSE(5), "word     ", "word|\n");
    expect(PROSE(8), "word    ", "word    |\n");
    expect(PROSE(4), "        word", "    |\n~word|\n");
    expect(PROSE(1), "ab c", "a|\n~b|\n~c|\n");
    struct wrap_conf hang = {.width = 12, .indent = 2, .words = true};
    expect(hang, "- item one two three", "- item one|\n~  two three|\n");
    hang.indent = 9; /* too much: none */
    expect(hang, "- item one two three", "- item one|\n~two three|\n");
    expect(PROSE(10), "no\xC2\xA0" "break\xC2\xA0here", "no\xC2\xA0" "break\xC2\xA0h|\n~ere|\n");
}

static void t_wide(void **state)
{
    (void)state;
    expect(PROSE(10), "漢字漢字漢字", "漢字漢字漢|\n~字|\n");
    expect(PROSE(9), "漢字漢字漢字", "漢字漢字|\n~漢字|\n");
    expect(PROSE(10), "漢字漢字漢。字", "漢字漢字|\n~漢。字|\n");  /* no stop begins a row */
    expect(PROSE(10), "漢字漢字「漢字」", "漢字漢字|\n~「漢字」|\n"); /* and no bracket ends one */
    expect(PROSE(10), "漢字漢字漢). x", "漢字漢字|\n~漢). x|\n");
    expect(PROSE(8), "abc 漢字 def", "abc 漢字|\n~def|\n");
    expect(PROSE(1), "漢字", "漢|\n~字|\n"); /* too wide: alone */
    expect(CODE(3), "漢字x", "漢|\n~字x|\n");
    expect(PROSE(3), "e\xCC\x81" "e\xCC\x81" "e\xCC\x81" "e\xCC\x81", "e\xCC\x81" "e\xCC\x81" "e\xCC\x81|\n~e\xCC\x81|\n");
    expect(PROSE(4), "👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦👨‍👩‍👧‍👦|\n~👨‍👩‍👧‍👦|\n"); /* a family is one */
    expect(PROSE(4), "🇩🇪🇫🇷🇩🇪", "🇩🇪🇫🇷|\n~🇩🇪|\n");
}

static void t_code(void **state)
{
    (void)state;
    expect(CODE(20), "\tif (x)", "        if (x)|\n");
    expect(CODE(20), "ab\tc\td", "ab      c       d|\n");
    expect(CODE(10), "for (;;) x  = y;", "for (;;) x|\n~  = y;|\n"); /* blanks stay */
    expect(CODE(4), "\tx", "    |\n~x|\n");
}

/* What a terminal would obey is shown, and copied as it came. */
static void t_hostile(void **state)
{
    (void)state;
    expect(PROSE(20), "a\x1B[2Jb", "a^[[2Jb|\n");
    expect(PROSE(20), "a\xC2\x9B" "2Jb", "a\\x9b2Jb|\n");
    expect(PROSE(20), "a\xE2\x80\xAE" "b", "a<U+202E>b|\n");
    expect(PROSE(20), "a\xFF" "b\xE6\xBC", "a\xEF\xBF\xBD" "b\xEF\xBF\xBD|\n");
    expect(PROSE(20), "a\rb", "a b|\n");
    char flood[2 + 200 * 2 + 2] = "e";
    for (int i = 0; i < 200; i++)
        memcpy(flood + 1 + 2 * i, "\xCC\x81", 2);
    struct rows r;
    rows_init(&r);
    rows_add(&r, &PROSE(20), flood, strlen(flood), NULL, 0, 7);
    assert_int_equal(r.n, 1);
    assert_true(r.at[0].n < 32);
    assert_int_equal(r.at[0].from, 7);
    assert_int_equal(r.at[0].to, 7 + strlen(flood));
    rows_finish(&r);
}

static void t_spans(void **state)
{
    (void)state;
    struct rows r;
    const char *text = "one bold word and mo\x1Bre e\xCC\x81";
    struct row_span spans[] = {{4, 13, {.flags = LOOK_BOLD}}, {18, 21, {.role = ROLE_CODE}}, {24, 25, {.role = ROLE_LINK, .link = 1}}};
    rows_init(&r);
    rows_add(&r, &(struct wrap_conf){.width = 9, .indent = 2, .words = true}, text, strlen(text), spans, 3, 0);
    struct buf out = BUF_INIT(1 << 16);
    dump(&r, &out);
    assert_string_equal(buf_str(&out), "one bold|\n~  word|\n~  and|\n~  mo^[re|\n~  e\xCC\x81|\n");
    static const struct { uint32_t from, to; } want[] = {{4, 8}, {2, 6}, {0, 0}, {2, 6}, {2, 5}}; /* the mark goes with its base */
    for (size_t i = 0; i < r.n; i++) {
        assert_int_equal(r.at[i].n_spans, i != 2);
        if (i != 2) {
            assert_int_equal(r.at[i].spans[0].from, want[i].from);
            assert_int_equal(r.at[i].spans[0].to, want[i].to);
        }
    }
    /* drawn: looks where they belong, links by the table */
    struct surface *s = surface_create(5, 12);
    uint16_t links[] = {surface_link(s, "https://example.org/", 20)};
    for (int y = 0; y < 5; y++)
        row_draw(&r.at[y], s, y, 1, 12, links);
    buf_reset(&out);
    surface_dump(s, false, &out);
    assert_string_equal(buf_str(&out), " one bold\n   word\n   and\n   mo^[re\n   e\xCC\x81\n");
    assert_int_equal(surface_cell(s, 0, 4)->look.flags, 0);
    assert_int_equal(surface_cell(s, 0, 5)->look.flags, LOOK_BOLD);
    assert_int_equal(surface_cell(s, 1, 3)->look.flags, LOOK_BOLD);
    assert_int_equal(surface_cell(s, 3, 6)->look.role, ROLE_CODE);
    assert_int_equal(surface_cell(s, 4, 3)->look.role, ROLE_LINK);
    assert_int_equal(surface_cell(s, 4, 3)->look.link, links[0]);
    surface_destroy(s);
    buf_finish(&out);
    rows_finish(&r);
}

static void t_plain(void **state)
{
    (void)state;
    struct rows r;
    struct buf out = BUF_INIT(1 << 16);
    const char *text = "first line is long\r\n\n  in the second\tone\rthird\n";
    rows_init(&r);
    rows_add_plain(&r, 12, (struct look){.role = ROLE_USER}, text, strlen(text));
    dump(&r, &out);
    assert_string_equal(buf_str(&out), "first line|\n~is long|\n|\n  in the|\n~  second one|\nthird|\n");
    for (size_t i = 0; i < r.n; i++)
        assert_true(r.at[i].n == 0 || r.at[i].spans[0].look.role == ROLE_USER);
    buf_reset(&out);
    rows_text(&r, 0, r.n, text, &out);
    assert_string_equal(buf_str(&out), "first line is long\n\n  in the second\tone\nthird");
    buf_reset(&out);
    rows_text(&r, 1, 5, NULL, &out); /* a part, and without the source */
    assert_string_equal(buf_str(&out), "is long\n\n  in the second one");
    rows_cut(&r, 2);
    assert_int_equal(r.n, 2);
    buf_finish(&out);
    rows_finish(&r);
}

/* ---- any text ---- */

static uint64_t seed = 88172645463325252u;
static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void check(const struct rows *r, const char *text, size_t n, int width, bool words)
{
    struct buf out = BUF_INIT(1 << 20);
    size_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->at[i];
        assert_true(utf8_valid(row->text, row->n));
        for (size_t k = 0; k < row->n; k++)
            assert_true((unsigned char)row->text[k] >= 0x20 && row->text[k] != 0x7F);
        int columns;
        size_t first = row->n > row->hang ? text_cluster(row->text + row->hang, row->n - row->hang, &columns) : 0;
        assert_true(text_columns(row->text, row->n) <= width || row->hang + first == row->n);
        assert_true(row->from >= at && row->to >= row->from && row->to <= n);
        if (!words)
            assert_int_equal(row->from, at); /* nothing vanishes from code */
        at = row->to;
        uint32_t end = 0;
        for (int k = 0; k < row->n_spans; k++) {
            assert_true(row->spans[k].from >= end && row->spans[k].to > row->spans[k].from);
            end = row->spans[k].to;
        }
        assert_true(end <= row->n);
        assert_int_equal(row->soft, i > 0);
    }
    assert_int_equal(at, n);
    rows_text(r, 0, r->n, text, &out);
    assert_int_equal(out.len, n);
    assert_memory_equal(buf_str(&out), text, n);
    buf_finish(&out);
}

static void t_any(void **state)
{
    static const char *const bits[] = {"a", "word", " ", "   ", "\t", "longer-words", "ä", "漢", "字。", "「", "e\xCC\x81\xCC\x82", "\xCC\x81",
        "👨‍👩‍👧", "🇩🇪", "❤\xEF\xB8\x8F", "\x1B[0m", "\r", "\xFF", "\xE6\xBC", "\xE2\x80\xAE", "\xF0\x9F\x8F\xB4", "\xF3\xA0\x81\xA7", "\x01", "\xC2\x85", "ᄀ", "ᅡ", "\xE2\x80\x8D"};
    (void)state;
    for (int round = 0; round < 4000; round++) {
        struct buf b = BUF_INIT(1 << 20);
        for (uint32_t k = draw() % 30; k; k--)
            buf_addstr(&b, bits[draw() % (sizeof bits / sizeof *bits)]);
        struct row_span spans[4];
        int n_spans = 0;
        uint32_t at = 0;
        while (n_spans < 4 && at < b.len) {
            uint32_t from = at + draw() % 10, to = from + 1 + draw() % 10;
            if (to > b.len)
                break;
            spans[n_spans++] = (struct row_span){from, to, {.role = (uint8_t)(1 + draw() % 5)}};
            at = to;
        }
        struct wrap_conf c = {.width = 1 + (int)(draw() % 24), .indent = (int)(draw() % 6), .words = draw() % 2};
        struct rows r;
        rows_init(&r);
        rows_add(&r, &c, buf_str(&b), b.len, spans, n_spans, 0);
        check(&r, buf_str(&b), b.len, c.width, c.words);
        rows_finish(&r);
        buf_finish(&b);
    }
}

static double seconds(const char *unit, size_t bytes, int width)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    struct rows r;
    rows_init(&r);
    while (b.len < bytes)
        buf_addstr(&b, unit);
    clock_t t = clock(); /* of the processor: others run, too */
    rows_add(&r, &(struct wrap_conf){.width = width, .indent = 4, .words = true}, buf_str(&b), b.len, NULL, 0, 0);
    t = clock() - t;
    assert_true(r.n > 0);
    rows_finish(&r);
    buf_finish(&b);
    return (double)t / CLOCKS_PER_SEC;
}

static void t_large(void **state)
{
    (void)state;
    static const char *const units[] = {"x", " ", "ab cd ", "漢", "e\xCC\x81", "👨‍", "\x1B", "\xFF", "\t"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        double small = seconds(units[i], 1 << 17, 80), large = seconds(units[i], 1 << 20, 80);
        if (large > 0.2 && large > small * 8 * 4) /* eight times the text */
            fail_msg("\"%s\": %.3f s for 128 KB, %.3f s for 1 MB", units[i], small, large);
    }
    seconds("a b ", 1 << 18, 1);
    seconds("ab ", 1 << 18, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_words), cmocka_unit_test(t_wide), cmocka_unit_test(t_code), cmocka_unit_test(t_hostile),
        cmocka_unit_test(t_spans), cmocka_unit_test(t_plain), cmocka_unit_test(t_any), cmocka_unit_test(t_large),
    };
    return cmocka_run_group_tests_name("ui/rows", tests, NULL, NULL);
}
