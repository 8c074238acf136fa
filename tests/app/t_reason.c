/*
 * Thoughts and answer are cut the same way however the stream comes in pieces.
 */
#include "config.h"

#include "app/reason.h"
#include "tests/t.h"

static void cut(const char *s, bool inside, size_t step, struct buf *thought, struct buf *text, int *thinking)
{
    struct reason r;
    reason_init(&r, inside);
    for (size_t i = 0, n = strlen(s); i < n; i += step)
        reason_feed(&r, s + i, n - i < step ? n - i : step, thought, text);
    *thinking = reason_thinking(&r);
    reason_flush(&r, thought, text);
}

static void cuts(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool inside;
        const char *thought, *text;
        int thinking; /* at the end */
    } cases[] = {
        {"hello", false, "", "hello", 0},
        {"", false, "", "", 0},
        {"<think>hm</think>yes", false, "hm", "yes", 0},
        {"\n <think>\n hm \n</think>\n\n yes \n", false, "hm \n", "yes \n", 0},
        {"hm</think>\nyes", true, "hm", "yes", 0},
        {"</think>yes", true, "", "yes", 0},
        {"<think></think>yes", false, "", "yes", 0},
        {"<think>hm", false, "hm", "", 1},
        {"<think>a < b, <</think >, </thin", false, "a < b, <</think >, </thin", "", 1},
        {"<think>a<</think>b", false, "a<", "b", 0},
        {"<thinking>", false, "", "<thinking>", 0},
        {"<think", false, "", "<think", 0},
        {" \n<", false, "", " \n<", 0},
        {" \n x", false, "", " \n x", 0},
        {"it is <think>not</think>", false, "", "it is <think>not</think>", 0}, /* only at the beginning */
        {"<think>a</think>b<think>c</think>", false, "a", "b<think>c</think>", 0},
        {"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n<think>", false, "",
         "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n<think>", 0}, /* more white space than is held back */
        {"< think>", false, "", "< think>", 0},
        {"<<think>", false, "", "<<think>", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 12; step++) {
            struct buf thought = BUF_INIT(1000), text = BUF_INIT(1000);
            int thinking;
            cut(cases[i].in, cases[i].inside, step, &thought, &text, &thinking);
            assert_string_equal(buf_str(&thought), cases[i].thought);
            assert_string_equal(buf_str(&text), cases[i].text);
            assert_int_equal(thinking, cases[i].thinking);
            buf_finish(&thought);
            buf_finish(&text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
