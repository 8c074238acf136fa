/*
 * The input box: keys as a terminal sends them, and what then stands in the box. A table: bytes, then the text with the cursor as "|". Sent
 * texts are collected in `sent`, commands in `asked`.
 */
#include "config.h"
#include "tests/t.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/editor.h"
#include "ui/line.h"

static struct buf sent, asked;
static bool ended;

static void on_submit(void *arg, char *text)
{
    (void)arg;
    buf_addf(&sent, "<%s>", text);
    free(text);
}

static void on_eof(void *arg)
{
    (void)arg;
    ended = true;
}

static void on_command(void *arg, const char *name)
{
    (void)arg;
    buf_addf(&asked, "<%s>", name);
}

static char *on_complete(void *arg, const char *line, int start, const char *word, int i)
{
    static const char *const all[] = {"/help", "/hello", "/quit"};
    (void)arg;
    (void)line;
    for (size_t k = 0; start == 0 && k < sizeof all / sizeof *all; k++)
        if (!strncmp(all[k], word, strlen(word)) && i-- == 0)
            return mem_strdup(all[k]);
    return NULL;
}

static char rc[] = "/tmp/hadal-editor-XXXXXX";

static void begin(const char *inputrc)
{
    FILE *f = fopen(rc, "w");
    assert_non_null(f);
    fputs(inputrc, f);
    fclose(f);
    const struct editor_conf c = {.submit = on_submit, .eof = on_eof, .command = on_command, .complete = on_complete};
    sent = asked = BUF_INIT(64 << 20);
    ended = false;
    assert_int_equal(editor_open(&c), 0);
    editor_width(20);
}

static void end(void)
{
    editor_close();
    buf_finish(&sent);
    buf_finish(&asked);
}

static int64_t now;

static void type(const char *bytes, size_t n)
{
    struct input *in = input_create(25);
    struct input_event e;
    now += 10000000;
    input_feed(in, bytes, n, now);
    for (int i = 0; i < 2; i++, now += 1000000)
        while (input_next(in, &e, now)) {
            if (e.kind == INPUT_PASTE)
                editor_paste(e.text, e.n);
            else if (e.kind == INPUT_KEY)
                editor_key(&e);
            input_event_finish(&e);
        }
    input_destroy(in);
}

static const char *box(void)
{
    static char out[4096];
    struct editor_view v;
    editor_look(&v);
    snprintf(out, sizeof out, "%.*s|%s", (int)v.at, v.text, v.text + v.at);
    return out;
}

struct row {
    const char *keys, *box;
};

/* Each row begins with an empty box. */
static void table(const struct row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(editor_stash());
        const char *pause = strchr(r[i].keys, '#'); /* a second */
        type(r[i].keys, pause ? (size_t)(pause - r[i].keys) : strlen(r[i].keys));
        if (pause)
            type(pause + 1, strlen(pause + 1));
        if (strcmp(box(), r[i].box) != 0)
            fail_msg("row %zu: got \"%s\", want \"%s\"", i, box(), r[i].box);
    }
}

static void emacs(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"hello\x01\x06x", "hx|ello"},
        {"one two\x17", "one |"},
        {"one two\x17\x19\x19", "one twotwo|"},
        {"one two\x1b""bX\x1f", "one |two"},
        {"ab\x1b[D\x1b[DX\x1b[F!", "Xab!|"},
        {"ab\x1b[D\x7f", "|b"},
        {"ab\x01\x04", "|b"},
        {"日本語\x1b[D\x1b[D", "日|本語"},
        {"日本語\x7f", "日本|"},
        {"a👨‍👩‍👧‍👦b\x1b[D\x1b[D", "a|👨‍👩‍👧‍👦b"},
        {"a👨‍👩‍👧‍👦\x7f", "a|"},
        {"e\xcc\x81x\x1b[D\x1b[D", "|e\xcc\x81x"},
        {"e\xcc\x81\x7f", "|"},
        {"🇩🇪🇫🇷\x7f", "🇩🇪|"},
        {"a\xff""b", "a\xef\xbf\xbd""b|"},
        {"a\nb", "a\nb|"},
        {"a\x1b\rb", "a\nb|"},
        {"a\\\rb", "a\nb|"},
        {"abc\x1b[3~\x02\x02\x1b[3~", "a|c"},
        {"ab cd\x1b[1;5D", "ab |cd"},
        {"\x1b[200~x\ty\r\nz\x1b[201~", "x\ty\nz|"},
        {"\x1b[200~abc\x1b[201~#\x1f", "|"},
        {"\x1b[200~rm\x1b[201~\r", "rm\n|"},
        {"x\x1b[200~a\x1b[31m\xc2\x9b\x1b[201~", "xa[31m|"},
        {"/he\t", "/hel|"},
        {"/q\t", "/quit |"},
        {"x\x1b[57;9Zy", "xy|"},
        {"\x1b""3x", "xxx|"},
        {"\x11\x01z", "\x01z|"},
    };
    begin("");
    table(rows, sizeof rows / sizeof *rows);
    end();
}

static void vi(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"hello\x1b", "hell|o"},
        {"one two\x1b", "one tw|o"},
    };
    begin("set editing-mode vi\n");
    table(rows, 2);
    end();
    begin("set editing-mode vi\n");
    type("one two\x1b", 8);
    type("bdw", 3);
    assert_string_equal(box(), "one| ");
    type("u", 1);
    type("0x", 2);
    assert_string_equal(box(), "|ne two");
    type("A!\x1b", 3);
    assert_string_equal(box(), "ne two|!");
    assert_false(editor_wants_escape());
    type("a日本\x1b", 8);
    type("hl", 2);
    assert_string_equal(box(), "ne two!日|本");
    type("\r", 1);
    assert_string_equal(buf_str(&sent), "<ne two!日本>");
    assert_true(editor_wants_escape()); /* the next one begins in insert mode */
    type("x", 1);
    assert_string_equal(box(), "x|");
    end();
}

static void history(void **state)
{
    (void)state;
    begin("");
    prompt_remember("first");
    prompt_remember("second\nline");
    type("draft\x1b[A", 8);
    assert_string_equal(box(), "second\nline|");
    type("\x1b[A", 3);
    assert_string_equal(box(), "seco|nd\nline");
    type("\x1b[A", 3);
    assert_string_equal(box(), "first|");
    type("\x1b[B", 3);
    type("\x1b[B", 3);
    type("\x1b[B", 3);
    assert_string_equal(box(), "draft|");
    type("\x1b[A\r", 4);
    assert_string_equal(buf_str(&sent), "<second\nline>");
    assert_string_equal(box(), "draft|"); /* what was typed before is there again */
    type("\x15\x12" "fir", 5);
    struct editor_view v;
    editor_look(&v);
    assert_non_null(strstr(v.prompt, "reverse-i-search"));
    assert_string_equal(box(), "|first");
    type("\r", 1);
    assert_string_equal(buf_str(&sent), "<second\nline><first>");
    end();
}

static void rows_and_columns(void **state)
{
    (void)state;
    begin("");
    type("one two three four five six", 27);
    type("\x1b[A", 3);
    assert_string_equal(box(), "one two |three four five six");
    type("\x1b[B", 3);
    assert_string_equal(box(), "one two three four five six|");
    struct edit_rows r;
    edit_layout(&r, "ab\n\ncd", 6, 3, 10);
    assert_int_equal(r.n, 3);
    assert_true(r.y == 1 && r.x == 0);
    edit_rows_finish(&r);
    edit_layout(&r, "abcd", 4, 4, 4); /* the cursor has a place */
    assert_true(r.n == 2 && r.y == 1 && r.x == 0);
    edit_rows_finish(&r);
    edit_layout(&r, "日本語", 9, 6, 5);
    assert_true(r.n == 2 && r.y == 1 && r.x == 0);
    edit_rows_finish(&r);
    edit_layout(&r, "", 0, 0, 1);
    assert_true(r.n == 1 && r.y == 0 && r.x == 0);
    edit_rows_finish(&r);
    end();
}

static void sending(void **state)
{
    (void)state;
    begin("");
    type("one\r", 4);
    type("  \r", 3);
    type("two\nlines\n\n\r", 12);
    assert_string_equal(buf_str(&sent), "<one><  ><two\nlines>");
    type("\x04", 1);
    assert_true(ended);
    type("x\x01\x18s\x18\x05\x18yz", 9);
    assert_string_equal(buf_str(&asked), "<sessions><editor><copy>");
    assert_string_equal(box(), "z|x");
    char *text = editor_stash();
    assert_string_equal(text, "zx");
    free(text);
    assert_string_equal(box(), "|");
    assert_null(editor_stash());
    type("\x1b[A", 3);
    assert_string_equal(box(), "zx|");
    end();
}

static void pastes(void **state)
{
    (void)state;
    size_t n = (size_t)1 << 20;
    begin("");
    struct buf b = BUF_INIT(4 << 20);
    buf_addstr(&b, "a \x1b[200~");
    for (size_t i = 0; i < n; i++)
        buf_addch(&b, i % 64 == 63 ? '\n' : (char)('a' + i % 26));
    buf_addstr(&b, "\x1b[201~");
    type(b.data, b.len);
    assert_string_equal(box(), "a [paste 1: 16384 lines, 1048576 characters]|");
    type("\r", 1); /* a second later */
    assert_int_equal(sent.len, 2 + 2 + n - 1);
    assert_memory_equal(sent.data + 3, b.data + 8, n - 1);
    buf_finish(&b);
    end();
}

static void inputrc(void **state)
{
    (void)state;
    begin("$if hadal\n\"\\C-t\": hadal-sessions\n$endif\n\"\\C-xs\": end-of-line\n\"\\C-j\": beginning-of-line\n\"\\C-o\": \"macro\"\n\"\\C-]\": backward-char\n");
    type("ab\x14", 3);
    type("\x02\x18s!", 4);
    type("\x0f", 1);
    assert_string_equal(box(), "ab!macro|");
    assert_string_equal(buf_str(&asked), "<sessions>");
    type("日\x1d", 4);
    assert_string_equal(box(), "ab!macro|日");
    type("\n", 1);
    assert_string_equal(box(), "|ab!macro日");
    end();
}

int main(void)
{
    int fd = mkstemp(rc);
    if (fd < 0)
        return 1;
    close(fd);
    setenv("INPUTRC", rc, 1);
    /* Readline reads inputrc once in a process: a process for each. */
    const struct CMUnitTest groups[3][5] = {
        {cmocka_unit_test(emacs), cmocka_unit_test(history), cmocka_unit_test(rows_and_columns), cmocka_unit_test(sending), cmocka_unit_test(pastes)},
        {cmocka_unit_test(vi)},
        {cmocka_unit_test(inputrc)},
    };
    int failed = 0;
    for (int g = 0; g < 3; g++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            exit(_cmocka_run_group_tests("editor", groups[g], g ? 1 : 5, NULL, NULL));
        int status = 1;
        waitpid(pid, &status, 0);
        failed += status != 0;
    }
    unlink(rc);
    return failed;
}
