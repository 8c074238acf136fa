/*
 * Markdown: goldens (tests/ui/md: each .md has its rows at three widths in the .txt beside it; --write makes them anew, to be read before they are
 * committed), what must hold for any text in any pieces, and that time grows with the text only.
 */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/sane.h"
#include "base/utf8.h"
#include "ui/md.h"

static const char *const names[] = {"inline", "blocks", "lists", "code", "table", "hostile"};
#define N_NAMES (sizeof names / sizeof *names)
static const int widths[] = {80, 40, 20};

static void slurp(const char *name, const char *end, struct buf *out)
{
    char path[1024];
    const char *src = getenv("SRCDIR");
    snprintf(path, sizeof path, "%s/tests/ui/md/%s.%s", src ? src : ".", name, end);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing", path);
    char b[4096];
    for (size_t n; (n = fread(b, 1, sizeof b, f));)
        buf_add(out, b, n);
    fclose(f);
}

/* The rows drawn, with looks; codes and links below. */
static void dump(struct md *m, int width, struct buf *out)
{
    const struct rows *r = md_rows(m);
    struct surface *s = surface_create(r->n ? (int)r->n : 1, width);
    for (size_t y = 0; y < r->n; y++)
        row_draw(&r->at[y], s, (int)y, 0, width, NULL);
    surface_dump(s, true, out);
    surface_destroy(s);
    for (int i = 1; i <= md_n_code(m); i++) {
        const char *lang;
        size_t n;
        char *text = md_code(m, i, &n, &lang);
        buf_addf(out, "c%d \"", i);
        sane_line(out, lang, strlen(lang));
        buf_addf(out, "\" %zu bytes\n", n);
        free(text);
    }
}

static void golden(const char *name, struct buf *out)
{
    struct buf text = BUF_INIT(1 << 24);
    slurp(name, "md", &text);
    for (int w = 0; w < 3; w++) {
        struct md *m = md_create(widths[w]);
        md_feed(m, buf_str(&text), text.len);
        md_end(m);
        buf_addf(out, "==== %d columns ====\n", widths[w]);
        dump(m, widths[w], out);
        md_destroy(m);
    }
    buf_finish(&text);
}

static void t_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        struct buf want = BUF_INIT(1 << 24), got = BUF_INIT(1 << 24);
        slurp(names[i], "txt", &want);
        golden(names[i], &got);
        if (strcmp(buf_str(&got), buf_str(&want))) {
            size_t at = 0, line = 1;
            while (got.data[at] && got.data[at] == want.data[at])
                line += got.data[at++] == '\n';
            fail_msg("%s.txt differs at line %zu: \"%.60s\" instead of \"%.60s\"", names[i], line, got.data + at, want.data + at);
        }
        buf_finish(&want);
        buf_finish(&got);
    }
}

/* ---- any text, any pieces ---- */

static uint64_t seed = 88172645463325252u;
static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void check_rows(struct md *m, int width, size_t source)
{
    const struct rows *r = md_rows(m);
    size_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->at[i];
        assert_true(utf8_valid(row->text, row->n));
        for (size_t k = 0; k < row->n; k++)
            assert_true((unsigned char)row->text[k] >= 0x20 && row->text[k] != 0x7F);
        int columns;
        if (text_columns(row->text, row->n) > width) /* only one that cannot be parted */
            assert_true(row->n > row->hang && row->hang + text_cluster(row->text + row->hang, row->n - row->hang, &columns) == row->n);
        if (row->from < at || row->to < row->from || row->to > source)
            fail_msg("row %zu of %zu, \"%s\": source %zu to %zu after %zu, of %zu", i, r->n, row->text, row->from, row->to, at, source);
        at = row->from;
        assert_true(row->code >= 0 && row->code <= md_n_code(m));
        for (int k = 0; k < row->n_spans; k++) {
            size_t n;
            assert_true(row->spans[k].from < row->spans[k].to && row->spans[k].to <= row->n);
            assert_true(!k || row->spans[k].from >= row->spans[k - 1].to);
            assert_true(!row->spans[k].look.link || md_link(m, row->spans[k].look.link - 1, &n));
        }
    }
}

static void same(const struct rows *a, const struct rows *b, size_t n, const char *what)
{
    assert_true(a->n >= n && b->n >= n);
    for (size_t i = 0; i < n; i++)
        if (!row_equal(&a->at[i], &b->at[i]))
            fail_msg("%s: row %zu is \"%s\" (%zu to %zu), not \"%s\" (%zu to %zu)", what, i, a->at[i].text, a->at[i].from, a->at[i].to, b->at[i].text,
                     b->at[i].from, b->at[i].to);
}

/* In pieces of up to `most` bytes: the end is that of a fresh layout, and what was settled on the way never changed. */
static void in_pieces(const char *s, size_t n, int width, uint32_t most)
{
    struct md *whole = md_create(width), *m = md_create(width);
    md_feed(whole, s, n);
    md_end(whole);
    const struct rows *want = md_rows(whole);
    check_rows(whole, width, n);
    size_t before = 0;
    for (size_t i = 0; i < n;) {
        size_t k = 1 + draw() % most;
        k = k > n - i ? n - i : k;
        md_feed(m, s + i, k);
        i += k;
        if (draw() % 4 == 0) {
            size_t settled = md_settled(m);
            assert_true(settled >= before);
            same(md_rows(m), want, settled, "settled");
            check_rows(m, width, i);
            before = settled;
        }
    }
    md_end(m);
    same(md_rows(m), want, want->n, "at the end");
    assert_int_equal(md_rows(m)->n, want->n);
    assert_int_equal(md_n_code(m), md_n_code(whole));
    size_t len;
    assert_memory_equal(md_text(m, &len), s, n);
    assert_int_equal(len, n);
    md_width(m, width + 7);
    md_rows(m);
    md_width(m, width);
    same(md_rows(m), want, want->n, "after other widths");
    md_destroy(m);
    md_destroy(whole);
}

static void t_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        struct buf text = BUF_INIT(1 << 24);
        slurp(names[i], "md", &text);
        for (int w = 0; w < 3; w++) {
            in_pieces(buf_str(&text), text.len, widths[w], 1);
            in_pieces(buf_str(&text), text.len, widths[w], 9);
        }
        buf_finish(&text);
    }
}

static void t_any(void **state)
{
    static const char *const bits[] = {"\n", "\n", "\n\n", " ", "    ", "\t", "word", "two words", "*", "**", "_", "`", "```", "```c\n", "~~~", "\n```\n", "- ", "* ", "1. ",
        "2) ", "> ", "#", "## ", "|", "| a | b |\n", "|---|---|\n", "| 1 |", "--", "---", "===", "[", "](", ")", "http://x.y/", "<br>", "\\", "\\(", "\\)", "$", "$$", "&amp;", "&#27;",
        "\x1B[m", "\r\n", "\r", "漢字", "e\xCC\x81", "👩‍💻", "\xFF", "\xE6", "- [ ] ", "- [x] ", "![", "[a]: b", "\"", "~~", "  \n", "\xE2\x80\xAE", ":", "\v"};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct buf b = BUF_INIT(1 << 20);
        for (uint32_t k = draw() % 40; k; k--)
            buf_addstr(&b, bits[draw() % (sizeof bits / sizeof *bits)]);
        if (draw() % 20 == 0)
            buf_add(&b, "", 1);
        in_pieces(buf_str(&b), b.len, 1 + (int)(draw() % 40), 1 + draw() % 12);
        buf_finish(&b);
    }
}

/* ---- what one sees on the way ---- */

static void shown(struct md *m, struct buf *out)
{
    const struct rows *r = md_rows(m);
    buf_reset(out);
    for (size_t i = 0; i < r->n; i++) {
        buf_add(out, r->at[i].text, r->at[i].n);
        buf_addch(out, '\n');
    }
}

/* Byte by byte; what is shown may never hold one of the marks. */
static void never(const char *text, const char *const *marks)
{
    struct md *m = md_create(60);
    struct buf out = BUF_INIT(1 << 16);
    for (size_t i = 0; text[i]; i++) {
        md_feed(m, text + i, 1);
        shown(m, &out);
        for (int k = 0; marks[k]; k++)
            if (strstr(buf_str(&out), marks[k]))
                fail_msg("\"%s\" is shown after \"%.*s\"", buf_str(&out), (int)i + 1, text);
    }
    buf_finish(&out);
    md_destroy(m);
}

static void t_no_flash(void **state)
{
    (void)state;
    never("Some **bold words** and *italic ones* or ~~gone~~, ***both***, `code` and __under__.", (const char *const[]){"*", "~", "`", "_", NULL});
    never("- **Bold** item\n- *second*: `x`\n  - [x] done\n", (const char *const[]){"**", "`", "- ", NULL});
    never("## Heading with **bold** and `code`\n\n---\n\n> quote **bold**\n", (const char *const[]){"#", "**", "`", NULL});
    never("Text\n\n```c\nint x;\n```\nafter\n", (const char *const[]){"`", NULL});
    never("See [the page](https://example.org/a_(b)_c) there.", (const char *const[]){"](", "https", NULL});
    never("An ![image](a.png \"its title\") here &amp; there", (const char *const[]){"](", "png", "title", "&a", NULL});
    never("漢字 **太字** 漢字", (const char *const[]){"\xEF\xBF\xBD", "*", NULL});

    /* bold from its first letter on */
    struct md *m = md_create(40);
    md_feed(m, "a **b", 5);
    const struct rows *r = md_rows(m);
    assert_string_equal(r->at[0].text, "a b");
    assert_int_equal(r->at[0].n_spans, 1);
    assert_int_equal(r->at[0].spans[0].look.flags, LOOK_BOLD);
    md_end(m); /* it never ended: as it is */
    assert_string_equal(md_rows(m)->at[0].text, "a **b");
    md_feed(m, "** c", 4); /* but it goes on */
    assert_string_equal(md_rows(m)->at[0].text, "a b c");
    md_destroy(m);

    /* a table is text until it is closed; a fence is code from its first line on */
    m = md_create(40);
    struct buf out = BUF_INIT(1 << 16);
    md_feed(m, "| a | b |\n|---|---|\n| 1 | 2 |\n", 30);
    shown(m, &out);
    assert_string_equal(buf_str(&out), "| a | b |\n|---|---|\n| 1 | 2 |\n");
    md_feed(m, "\n```c\nint x", 11);
    shown(m, &out);
    assert_string_equal(buf_str(&out), "a  b\n-  -\n1  2\n\n-- c1 c --------------------------------\nint x\n");
    md_feed(m, " = 1;\n``", 8);
    shown(m, &out);
    assert_string_equal(buf_str(&out), "a  b\n-  -\n1  2\n\n-- c1 c --------------------------------\nint x = 1;\n");
    buf_finish(&out);
    md_destroy(m);
}

/* ---- code, links, copying ---- */

static void t_parts(void **state)
{
    (void)state;
    const char *text = "1. item\n   ```C++\n   int x;\n     y\n   ```\n\n> ```\n> quoted\n>   more\n> ```\n\n[a](http://a/?x&amp;y) ![b](b.png)\n\n```sh\nopen\n  fence";
    struct md *m = md_create(40);
    size_t n;
    const char *lang;
    md_feed(m, text, strlen(text));
    assert_int_equal(md_n_code(m), 3);
    static const char *const want[] = {"int x;\n  y\n", "quoted\n  more\n", "open\n  fence"}, *const langs[] = {"C++", "", "sh"};
    for (int i = 0; i < 3; i++) {
        char *code = md_code(m, i + 1, &n, &lang);
        assert_string_equal(code, want[i]);
        assert_int_equal(n, strlen(want[i]));
        assert_string_equal(lang, langs[i]);
        free(code);
    }
    assert_null(md_code(m, 0, &n, &lang));
    assert_null(md_code(m, 4, &n, &lang));
    assert_string_equal(md_link(m, 0, &n), "http://a/?x&y");
    assert_string_equal(md_link(m, 1, &n), "b.png");
    assert_null(md_link(m, 2, &n));
    md_destroy(m);

    text = "A paragraph that is long enough to be *wrapped*  here, twice even.\n\n```\n\tcode\twith tabs and more than forty columns\n```\n- item";
    m = md_create(40);
    md_feed(m, text, strlen(text));
    md_end(m);
    struct buf out = BUF_INIT(1 << 16);
    rows_text(md_rows(m), 0, md_rows(m)->n, md_text(m, &n), &out);
    assert_string_equal(buf_str(&out), "A paragraph that is long enough to be wrapped  here, twice even.\n\n\tcode\twith tabs and more than forty columns\n* item");
    buf_finish(&out);
    md_destroy(m);
}

/* ---- time ---- */

/* `front`, then `unit` again and again; `line`: with a blank line after so many bytes. */
static double seconds(const char *front, const char *unit, size_t bytes, size_t piece, size_t line)
{
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    struct md *m = md_create(80);
    buf_addstr(&b, front);
    for (size_t at = 0; b.len < bytes; at += strlen(unit)) {
        if (line && at + strlen(unit) > line) {
            buf_addstr(&b, "\n\n");
            at = 0;
        }
        buf_addstr(&b, unit);
    }
    int64_t t = clock_mono_us();
    for (size_t i = 0; i < b.len; i += piece) {
        md_feed(m, b.data + i, b.len - i < piece ? b.len - i : piece);
        md_rows(m);
    }
    md_end(m);
    md_rows(m);
    t = clock_mono_us() - t;
    md_destroy(m);
    buf_finish(&b);
    return (double)t / 1e6;
}

#ifdef HADAL_SANITIZED
#define SLOW 20.0
#else
#define SLOW 4.0
#endif

static void t_bombs(void **state)
{
    static const char *const units[] = {"*", "[", ">", "> ", "`", "``` ", "_", "~", "$", "\\(", "\\", "<", "&", "|", "#", "-", "- ", "1. ", "!", "![", "](", "a*b_", "**a ", "*a **a ",
        "[a](", "a](", "`a ", "`a``b```c````", "$a ", "$$ ", "&amp;", "http://a", "www.", "a@b", "x", " ", "\t", "\n", "- \n", "> \n", "    - ", "> - ", "|\n", "| a ", "[a]: b\n", "```\n",
        "~~~\n", "\r", "漢", "e\xCC\x81", "👨‍", "\xFF", "*a_ ", "<a ", "<!--", "<?", "a\n", "* * *\n", "> > > > > > > >\n", "- - - - - - - -\n", "\\[ a\n", "]", ")", "\"", "![[", "~~a "};
    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        double small = seconds("", units[i], 1 << 17, 1 << 14, 0), large = seconds("", units[i], 1 << 20, 1 << 14, 0);
        if (large > 1.0 && large > small * 8 * 4) /* eight times the text */
            fail_msg("\"%s\": %.3f s for 128 KB, %.3f s for 1 MB", units[i], small, large);
        double blocks = seconds("", units[i], 1 << 18, 1 << 14, 32000); /* eight of the largest block */
        if (blocks > SLOW)
            fail_msg("\"%s\": %.3f s for 256 KB in blocks of 32,000 bytes", units[i], blocks);
        if (getenv("SHOW_TIMES"))
            printf("%.3f %.3f %.3f %s\n", small, large, blocks, units[i]);
    }
    const char *table = "|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|\n|-|-|-|-|-|-|-|-|-|-|-|-|-|-|-|-|\n";
    double t = seconds(table, "|\n", 1 << 20, 1 << 14, 0);
    if (getenv("SHOW_TIMES"))
        printf("%-20s %.3f\n", "table", t);
    assert_true(t < 20);
}

static void t_speed(void **state)
{
    static const char unit[] =
        "## A heading\n\nA paragraph of **mixed** text with `code`, [a link](https://example.org/) and *emphasis* that goes on for some hundred "
        "bytes, as the ones in answers do. It has a second sentence, too, so that it wraps.\n\n- an item with **bold**: and some text behind it\n"
        "- another item\n  - a nested one with `code` in it\n\n```python\ndef f(x):\n    # a comment\n    return [i for i in range(x)]\n```\n\n"
        "| Name | Value |\n|------|------:|\n| one | 1 |\n| two | 2 |\n\n1. first\n2. second\n\n> quoted text\n\n";
    (void)state;
    double t = seconds("", unit, 100000, 4, 0);
    print_message("100 KB in pieces of 4 bytes: %.3f s\n", t);
#ifdef HADAL_SANITIZED
    assert_true(t < 20);
#else
    assert_true(t < 2); /* 0.5 s on a machine that does nothing else */
#endif
}

static int write_goldens(const char *folder)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        char path[1024];
        struct buf out = BUF_INIT(1 << 24);
        snprintf(path, sizeof path, "%s/%s.txt", folder, names[i]);
        golden(names[i], &out);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(buf_str(&out), 1, out.len, f) != out.len || fclose(f))
            return 1;
        buf_finish(&out);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--write"))
        return write_goldens(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_goldens), cmocka_unit_test(t_pieces), cmocka_unit_test(t_any),   cmocka_unit_test(t_no_flash),
        cmocka_unit_test(t_parts),   cmocka_unit_test(t_bombs),  cmocka_unit_test(t_speed),
    };
    return cmocka_run_group_tests_name("ui/md", tests, NULL, NULL);
}
