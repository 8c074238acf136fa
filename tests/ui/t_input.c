/* The input layer: bytes in, events out, written as text: "Up" for a key, "[paste text]", "[focus in]", "[wheel -3]", "[reply ..]". */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"
#include "base/mem.h"
#include "ui/input.h"

static int64_t now;

static void drain(struct input *in, struct buf *out)
{
    struct input_event e;
    while (input_next(in, &e, now)) {
        buf_addstr(out, out->len ? " " : "");
        switch (e.kind) {
        case INPUT_KEY: buf_addf(out, "%s%s", !strcmp(e.name, " ") ? "Space" : e.name, e.burst ? "!" : ""); break;
        case INPUT_PASTE: buf_addf(out, "[paste %s]", e.text ? e.text : "(too long)"); break;
        case INPUT_WHEEL: buf_addf(out, "[wheel %d]", e.lines); break;
        case INPUT_FOCUS_IN: buf_addstr(out, "[focus in]"); break;
        case INPUT_FOCUS_OUT: buf_addstr(out, "[focus out]"); break;
        case INPUT_REPLY: buf_addf(out, "[reply %s]", e.text + 1); break;
        }
        input_event_finish(&e);
    }
}

/* Reads, each separated by "|" in `bytes`, come 1 ms after each other (with "@" in front: a second later); then nothing for a second. */
static char *events(const char *bytes, size_t n)
{
    struct input *in = input_create(25);
    struct buf out = BUF_INIT(1 << 24);
    now += 10000000;
    for (size_t at = 0; at < n;) {
        const char *bar = memchr(bytes + at, '|', n - at);
        size_t len = bar ? (size_t)(bar - bytes) - at : n - at;
        bool late = len && bytes[at] == '@';
        now += late ? 1000000 : 1000;
        if (late)
            drain(in, &out);
        input_feed(in, bytes + at + late, len - late, now);
        drain(in, &out);
        at += len + (bar != NULL);
    }
    for (int i = 0; i < 10 && input_timeout_ms(in, now) >= 0; i++) {
        now += (int64_t)input_timeout_ms(in, now) * 1000;
        drain(in, &out);
    }
    assert_int_equal(input_timeout_ms(in, now), -1);
    input_destroy(in);
    return out.len ? buf_take(&out) : mem_strdup("");
}

static void gives(const char *bytes, const char *want)
{
    char *got = events(bytes, strlen(bytes));
    assert_string_equal(got, want);
    free(got);
}

static void keys(void **state)
{
    (void)state;
    gives("aä日 \r\n\t\x7f\x08\x01\x1f\x1c", "a ä 日 Space Enter C-j Tab Backspace C-h C-a C-_ C-\\");
    gives("\x1b[A|\x1bOB|\x1b[1;5C\x1b[1;2D\x1b[H\x1b[4~\x1b[5~\x1b[6;3~", "Up Down C-Right S-Left Home End PgUp M-PgDn");
    gives("\x1bOP\x1b[12~\x1b[24~\x1b[1;2R\x1b[Z", "F1 F2 F12 S-F3 S-Tab");
    gives("\x1b""b\x1b\r\x1b\x7f\x1bä\x1b\x02", "M-b M-Enter M-Backspace M-ä C-M-b");
    gives("\x1b[27;5;97~\x1b[13;2u\x1b[97;5u\x1b[27u\x1b[105;5u\x1b[98;3u\x1b[228u\x1b[13u\x1b[9;2u", "C-a S-Enter C-a Esc Tab M-b ä Enter S-Tab");
    gives("\x1b[<0;1;2M\x1b[M!!!x\x1b[57358u", "x"); /* no mouse, no lock keys */
}

static void escape_by_time(void **state)
{
    (void)state;
    gives("\x1b", "Esc");
    gives("\x1b|@b", "Esc b");
    gives("\x1b|b", "M-b");
    gives("\x1b\x1b[A", "Esc Up");
    gives("\x1b[", "M-[");
    gives("\x1b[|A", "Up");
    gives("\x1bO", "M-O");
    gives("\x1b[1;5", "");
    struct input *in = input_create(25);
    input_feed(in, "\x1b", 1, 1000);
    assert_in_range(input_timeout_ms(in, 1000), 25, 26);
    input_destroy(in);
}

static void characters_in_pieces(void **state)
{
    (void)state;
    gives("\xe6|\x97|\xa5", "日");
    gives("\xe6\x97|@x", "\xef\xbf\xbd x");
    gives("\xff\xc0\xaf\xc2\x9b", "\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd");
}

static void pastes(void **state)
{
    (void)state;
    gives("\x1b[200~a\rb\tc\x1b[201~", "[paste a\rb\tc]");
    gives("\x1b[200~a\x1b[200~b\x1b[201~", "[paste ab]");
    gives("\x1b[201~x", "x");
    gives("\x1b[200~\x1b[A\x03\x1b[201|~", "[paste \x1b[A\x03]");
    gives("\x1b[200~never|\x03|x", "[paste never] x!");
    /* the marker cut at any byte */
    static const char whole[] = "x\x1b[200~a\xc3\xa4\nb\x1b[201~";
    for (size_t i = 1; i < sizeof whole - 1; i++)
        for (size_t k = i; k < sizeof whole - 1; k++) {
            struct buf b = BUF_INIT(100);
            buf_add(&b, whole, i);
            buf_addch(&b, '|');
            buf_add(&b, whole + i, k - i);
            if (k > i)
                buf_addch(&b, '|');
            buf_add(&b, whole + k, sizeof whole - 1 - k);
            gives(buf_str(&b), "x [paste aä\nb]");
            buf_finish(&b);
        }
}

static void behind_a_paste(void **state)
{
    (void)state;
    gives("\x1b[200~a\x1b[201~\rrm\r", "[paste a] Enter! r! m! Enter!");
    gives("\x1b[200~a\x1b[201~\x18\x1b[A\x04z", "[paste a] z!");
    gives("\x1b[200~a\x1b[201~|@\r", "[paste a] Enter");
}

static void long_pastes(void **state)
{
    (void)state;
    size_t n = (size_t)1 << 20;
    struct buf b = BUF_INIT(200 << 20);
    buf_addstr(&b, "\x1b[200~");
    for (size_t i = 0; i < n; i++)
        buf_addch(&b, (char)('a' + i % 26));
    buf_addstr(&b, "\x1b[201~");
    struct input *in = input_create(25);
    struct input_event e;
    int got = 0;
    for (size_t at = 0; at < b.len; at += 4096) {
        input_feed(in, b.data + at, b.len - at < 4096 ? b.len - at : 4096, ++now);
        while (input_next(in, &e, now)) {
            got++;
            assert_int_equal(e.kind, INPUT_PASTE);
            assert_int_equal(e.n, n);
            assert_memory_equal(e.text, b.data + 6, n);
            input_event_finish(&e);
        }
    }
    assert_int_equal(got, 1);
    input_destroy(in);
    buf_finish(&b);
}

static void wheel_focus_replies(void **state)
{
    (void)state;
    gives("\x1b[A\x1b[A\x1b[A", "[wheel -3]");
    gives("\x1bOB\x1bOB", "[wheel 2]");
    gives("\x1b[A|\x1b[A", "Up Up");
    gives("\x1b[I\x1b[O", "[focus in] [focus out]");
    gives("\x1b[?62;4c\x1b[?2026;2$y", "[reply [?62;4c] [reply [?2026;2$y]");
    gives("\x1b]11;rgb:1/2/3\x1b\\x\x1b]11;rgb:1/2/3\ax", "[reply ]11;rgb:1/2/3\x1b\\] x [reply ]11;rgb:1/2/3\a] x");
    gives("\x1bP1$r|more\x1b|\\x", "[reply P1$rmore\x1b\\] x");
    gives("\x1b]11;rgb", "");
    gives("\x1b]x\x1b[Ay", "[reply ]x] Up y");
}

/* Everything that may come, cut anywhere: it ends, and no event holds a control byte where none belongs. */
static void hostile(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        char bytes[400];
        static const char likely[] = "\x1b\x1b\x1b[[[]]P_O0123456789;:<=>?~uAMcIO\a\\\r\xc3\xa4\xe6\x9b|";
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (seed >> 16) % 4 ? likely[(seed >> 18) % (sizeof likely - 1)] : (char)(seed >> 20);
        }
        free(events(bytes, sizeof bytes));
    }
    struct input *in = input_create(25);
    struct input_event e;
    input_feed(in, "\x1b]", 2, 0);
    for (int i = 0; i < 2000; i++) { /* a reply without an end holds nothing up */
        input_feed(in, "0123456789", 10, 0);
        while (input_next(in, &e, 0))
            input_event_finish(&e);
    }
    input_feed(in, "\ax", 2, 0);
    assert_true(input_next(in, &e, 0) && !strcmp(e.name, "x"));
    input_destroy(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys), cmocka_unit_test(escape_by_time), cmocka_unit_test(characters_in_pieces), cmocka_unit_test(pastes),
        cmocka_unit_test(behind_a_paste), cmocka_unit_test(long_pastes), cmocka_unit_test(wheel_focus_replies), cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
