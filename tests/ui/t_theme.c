/* Themes: names, and what a terminal answers when it is asked for its background. */
#include "config.h"
#include "tests/t.h"

#include "ui/theme.h"

static void names(void **state)
{
    (void)state;
    enum theme t;
    for (int i = 0; i < 4; i++)
        assert_true(theme_parse(theme_name((enum theme)i), &t) && t == (enum theme)i);
    assert_false(theme_parse("blue", &t));
    for (int r = 0; r < ROLE_COUNT; r++)
        assert_true(theme_role(THEME_MONO, (enum role)r).fg == -1 && theme_role(THEME_MONO, (enum role)r).bg == -1);
}

static void answers(void **state)
{
    (void)state;
    bool light = false;
    assert_true(theme_answer("\x1b]11;rgb:ffff/ffff/dddd\a", &light) && light);
    assert_true(theme_answer("\x1b]11;rgb:1c1c/1c1c/1c1c\x1b\\", &light) && !light);
    assert_true(theme_answer("\x1b]11;rgba:f/f/f/f\a", &light) && light);
    assert_false(theme_answer("\x1b]11;rgb:ff/ff\a", &light));
    assert_false(theme_answer("\x1b]11;rgb:", &light));
    assert_false(theme_answer("\x1b[?1c", &light));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
