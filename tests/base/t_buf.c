/* Growing buffers: contents, the maximum, taking. */
#include "config.h"
#include "tests/t.h"

#include "base/buf.h"

static void adds(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    assert_string_equal(buf_str(&b), "");
    buf_addstr(&b, "ab");
    buf_addf(&b, "%d", 12);
    buf_addch(&b, '!');
    assert_string_equal(buf_str(&b), "ab12!");
    buf_drop(&b, 2);
    assert_string_equal(buf_str(&b), "12!");
    char *s = buf_take(&b);
    assert_string_equal(s, "12!");
    assert_int_equal(b.len, 0);
    free(s);
}

static void stops_at_the_maximum(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4);
    buf_addstr(&b, "1234");
    assert_false(buf_over(&b));
    buf_addch(&b, '5');
    assert_true(buf_over(&b));
    assert_string_equal(buf_str(&b), "1234");
    buf_reset(&b);
    assert_false(buf_over(&b));
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds), cmocka_unit_test(stops_at_the_maximum)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
