/*
 * What a person is told: one sanitized line on standard error, and the exit status.
 */
#include "config.h"

#include <unistd.h>

#include "app/app.h"
#include "tests/t.h"

static int saved, p[2];

static void catch(void)
{
    saved = dup(2);
    assert_int_equal(pipe(p), 0);
    dup2(p[1], 2);
}

static const char *caught(void)
{
    static char text[5000];
    dup2(saved, 2);
    close(saved);
    close(p[1]);
    ssize_t n = read(p[0], text, sizeof text - 1);
    close(p[0]);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void one_line(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_FORMAT, "bad \x1b]0;title\a\nfile \xff");
    catch();
    int status = report(&err);
    assert_string_equal(caught(), "hadal: bad ^[]0;title^G file \xEF\xBF\xBD\n");
    assert_int_equal(status, 4);
    catch();
    notice("%d of %s", 3, "\x1b[2J");
    assert_string_equal(caught(), "hadal: 3 of ^[[2J\n");
}

static void nothing_to_say(void **state)
{
    (void)state;
    struct err err = {.code = ERR_CANCELLED};
    catch();
    int status = report(&err);
    assert_string_equal(caught(), "");
    assert_int_equal(status, 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_line), cmocka_unit_test(nothing_to_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
