/* Paths, careful files, strict numbers, errors. */
#include "config.h"
#include "tests/t.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/num.h"
#include "base/path.h"

static void finds_the_directories(void **state)
{
    (void)state;
    struct err err = {0};
    setenv("XDG_DATA_HOME", "/x", 1);
    char *p = path_data("history.db", &err);
    assert_string_equal(p, "/x/hadal/history.db");
    free(p);
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/h", 1);
    p = path_data("", &err);
    assert_string_equal(p, "/h/.local/share/hadal");
    free(p);
    setenv("HOME", "relative", 1);
    assert_null(path_config("config", &err));
    assert_int_equal(err.code, ERR_IO);
}

static void writes_whole_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/hadal-t-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct err err = {0};
    char *sub = path_join(dir, "a/b");
    assert_int_equal(path_mkdirs(sub, &err), 0);
    assert_int_equal(path_mkdirs(sub, &err), 0);
    char *file = path_join(sub, "f");
    assert_int_equal(path_write_atomic(file, "one", 3, 0600, &err), 0);
    assert_int_equal(path_write_atomic(file, "three", 5, 0600, &err), 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct buf b = BUF_INIT(5);
    assert_int_equal(path_read(file, &b, &err), 0);
    assert_string_equal(buf_str(&b), "three");
    buf_finish(&b);
    b = BUF_INIT(4);
    assert_int_equal(path_read(file, &b, &err), ERR_INPUT);
    buf_finish(&b);
    assert_int_equal(path_read(sub, &b, &err), ERR_IO);
    assert_int_equal(path_mkdirs(file, &err), ERR_IO);
    unlink(file);
    rmdir(sub);
    char *a = path_join(dir, "a");
    rmdir(a);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
    free(a);
    free(file);
    free(sub);
}

static void parses_numbers_strictly(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    double d;
    assert_true(num_parse_u64("18446744073709551615", &u));
    assert_true(u == UINT64_MAX);
    assert_false(num_parse_u64("18446744073709551616", &u));
    assert_false(num_parse_u64("-1", &u));
    assert_false(num_parse_u64(" 1", &u));
    assert_false(num_parse_u64("1x", &u));
    assert_false(num_parse_u64("", &u));
    assert_true(num_parse_i64("-5", &i));
    assert_int_equal(i, -5);
    assert_false(num_parse_i64("--5", &i));
    assert_true(num_parse_double("0.5", &d));
    assert_true(num_parse_double("-1e3", &d));
    assert_false(num_parse_double("nan", &d));
    assert_false(num_parse_double("inf", &d));
    assert_false(num_parse_double("1e999", &d));
    assert_false(num_parse_double("0,5", &d));
    uint64_t r = 7;
    assert_false(num_add(UINT64_MAX, 1, &r));
    assert_false(num_mul(UINT64_MAX, 2, &r));
    assert_false(num_align(UINT64_MAX, 32, &r));
    assert_int_equal(r, 7);
    assert_true(num_align(33, 32, &r));
    assert_int_equal(r, 64);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_FORMAT, "tensor %s", "x"), ERR_FORMAT);
    assert_int_equal(err_wrap(&err, "cannot load"), ERR_FORMAT);
    assert_string_equal(err.msg, "cannot load: tensor x");
    assert_int_equal(err_set(NULL, ERR_IO, "dropped"), ERR_IO);
    assert_int_equal(err_exit_status(0), 0);
    assert_int_equal(err_exit_status(ERR_TOOLONG), 5);
    assert_int_equal(err_exit_status(ERR_CANCELLED), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_directories),
        cmocka_unit_test(writes_whole_files),
        cmocka_unit_test(parses_numbers_strictly),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
