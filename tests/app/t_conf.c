/*
 * Settings: the table, the command line, the config file, the environment, precedence, and which file a model's name means.
 */
#include "config.h"
#include "tests/t.h"

#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "app/opts.h"
#include "base/mem.h"
#include "base/path.h"

static char *root; /* a folder of this test's own; HOME and XDG_* point into it */

static char *inside(const char *name)
{
    return path_join(root, name);
}

static void put_file(const char *name, const char *text, size_t n)
{
    char *path = inside(name);
    char *dir = mem_strndup(path, (size_t)(path_base(path) - path));
    assert_int_equal(path_mkdirs(dir, NULL), 0);
    assert_int_equal(path_write_atomic(path, text, n, 0600, NULL), 0);
    free(dir);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    char text[] = "/tmp/t_conf.XXXXXX";
    assert_non_null(mkdtemp(text));
    root = mem_strdup(text);
    char *config = inside("config"), *data = inside("data");
    setenv("HOME", root, 1);
    setenv("XDG_CONFIG_HOME", config, 1);
    setenv("XDG_DATA_HOME", data, 1);
    free(config);
    free(data);
    for (const struct opt *o = opts_main; o->name; o++) {
        char *name = mem_printf("HADAL_%s", o->name);
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
        unsetenv(name);
        free(name);
    }
    unsetenv("ACCESSIBLE");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const files[] = {"config/hadal/config", "config/hadal", "config", "data/hadal/models/one-Q4.gguf",
                                        "data/hadal/models/two-Q8.gguf", "data/hadal/models/SmolLM2-135M-Instruct.Q4_1.gguf",
                                        "data/hadal/models", "data/hadal", "data", "here.gguf"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = inside(files[i]);
        remove(path);
        free(path);
    }
    int rc = rmdir(root);
    free(root);
    return rc;
}

/* Warnings of conf_load, one a line. */
static struct buf warnings = {.max = 65536};

static void on_warning(void *arg, const char *text)
{
    (void)arg;
    buf_addstr(&warnings, text);
    buf_addch(&warnings, '\n');
}

static void load(struct conf *c, const char *config)
{
    if (config)
        put_file("config/hadal/config", config, strlen(config));
    buf_reset(&warnings);
    conf_init(c);
    assert_int_equal(conf_load(c, on_warning, NULL, NULL), 0);
}

static void assert_near(float a, double b)
{
    assert_true(a > (float)b - 1e-6f && a < (float)b + 1e-6f);
}

/* ---- values ---- */

static void built_in(void **state)
{
    (void)state;
    struct conf c;
    load(&c, NULL);
    assert_int_equal(warnings.len, 0);
    assert_null(c.model);
    assert_null(c.system);
    assert_int_equal(c.n_ctx, 0);
    assert_false(c.seed_set);
    assert_near(c.sampler.temp, 0.8);
    assert_int_equal(c.sampler.top_k, 40);
    conf_finish(&c);
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool good;
    } rows[] = {
        {"temp", "0", true}, {"temp", "100", true}, {"temp", "100.1", false}, {"temp", "-0.1", false}, {"temp", "1e308", false},
        {"temp", "nan", false}, {"temp", "inf", false}, {"temp", "", false}, {"temp", "0,8", false}, {"temp", "0.8x", false}, {"temp", " 1", false},
        {"top-k", "0", true}, {"top-k", "1073741824", true}, {"top-k", "1073741825", false}, {"top-k", "-1", false}, {"top-k", "4.0", false},
        {"top-k", "0x10", false}, {"top-k", "99999999999999999999", false},
        {"top-p", "1", true}, {"top-p", "1.01", false}, {"min-p", "0", true}, {"min-p", "2", false},
        {"repeat-penalty", "0.01", true}, {"repeat-penalty", "0", false}, {"repeat-last", "16777216", true}, {"repeat-last", "16777217", false},
        {"seed", "0", true}, {"seed", "9223372036854775807", true}, {"seed", "9223372036854775808", false}, {"seed", "-1", false},
        {"seed", "random", true}, {"seed", "dice", false},
        {"ctx", "0", true}, {"ctx", "16777217", false}, {"threads", "1024", true}, {"threads", "1025", false}, {"max-tokens", "-5", false},
        {"stats", "yes", true}, {"stats", "off", true}, {"stats", "1", true}, {"stats", "maybe", false}, {"stats", "", false},
        {"samplers", "top_k,temp", true}, {"samplers", "top_k,topp", false}, {"logit-bias", "1+1,2-inf", true}, {"logit-bias", "the+1", false},
        {"dry-breakers", "a,\\n", true}, {"dry-breakers", "01234567890123456789012345678901234567890", false}, {"dry-last", "-1", true},
        {"no-such", "1", false}, {"tmp", "1", false},
    };
    struct conf c;
    conf_init(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = {0};
        int rc = conf_set(&c, rows[i].name, rows[i].value, &e);
        if ((rc == 0) != rows[i].good)
            fail_msg("%s = '%s': %s", rows[i].name, rows[i].value, rc ? e.msg : "taken");
        if (rc) {
            assert_int_equal(rc, ERR_USAGE);
            assert_non_null(strstr(e.msg, rows[i].name));
        }
    }
    /* What the table allows, the sampler takes, and the other way round. */
    static const struct {
        const char *name;
        size_t at;
        bool real;
    } both[] = {{"temp", offsetof(struct sampler_conf, temp), true},           {"top-k", offsetof(struct sampler_conf, top_k), false},
                {"top-p", offsetof(struct sampler_conf, top_p), true},         {"min-p", offsetof(struct sampler_conf, min_p), true},
                {"repeat-penalty", offsetof(struct sampler_conf, repeat_penalty), true},
                {"repeat-last", offsetof(struct sampler_conf, repeat_last), false},
                {"typical", offsetof(struct sampler_conf, typical), true},
                {"top-n-sigma", offsetof(struct sampler_conf, top_n_sigma), true},
                {"frequency-penalty", offsetof(struct sampler_conf, frequency_penalty), true},
                {"presence-penalty", offsetof(struct sampler_conf, presence_penalty), true},
                {"xtc-probability", offsetof(struct sampler_conf, xtc_probability), true},
                {"xtc-threshold", offsetof(struct sampler_conf, xtc_threshold), true},
                {"dry-multiplier", offsetof(struct sampler_conf, dry_multiplier), true},
                {"dry-base", offsetof(struct sampler_conf, dry_base), true},
                {"dry-allowed-length", offsetof(struct sampler_conf, dry_allowed_length), false},
                {"dry-last", offsetof(struct sampler_conf, dry_last), false},
                {"dyntemp-range", offsetof(struct sampler_conf, dyntemp_range), true},
                {"dyntemp-exponent", offsetof(struct sampler_conf, dyntemp_exponent), true},
                {"mirostat", offsetof(struct sampler_conf, mirostat), false},
                {"mirostat-tau", offsetof(struct sampler_conf, mirostat_tau), true},
                {"mirostat-eta", offsetof(struct sampler_conf, mirostat_eta), true}};
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        const struct opt *o = opts_find(opts_main, both[i].name, strlen(both[i].name));
        for (int edge = 0; edge < 4; edge++) {
            double step = both[i].real ? 0.001 : 1, v = (edge < 2 ? o->min : o->max) + (edge == 0 ? -step : edge == 3 ? step : 0);
            struct sampler_conf s = sampler_default();
            s.dry_multiplier = 1; /* else its base is not looked at */
            if (both[i].real)
                *(float *)(void *)((char *)&s + both[i].at) = (float)v;
            else
                *(int *)(void *)((char *)&s + both[i].at) = (int)v;
            if ((sampler_check(&s, NULL) == 0) != (edge == 1 || edge == 2))
                fail_msg("%s = %g: table and sampler differ", both[i].name, v);
        }
    }
    conf_finish(&c);
}

static void suggestions(void **state)
{
    (void)state;
    static const struct {
        const char *wrong, *right;
    } rows[] = {{"--modle", "--model"}, {"--jsn", "--json"}, {"--max-token", "--max-tokens"}, {"--tmep", "--temp"}, {"--no-steam", "--no-stream"},
                {"--repeat", "--repeat-penalty"}, {"--xyzzyplugh", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *wrong = mem_strdup(rows[i].wrong), name[] = "hadal";
        char *argv[] = {name, wrong, NULL};
        struct conf c;
        conf_init(&c);
        struct words w;
        struct err e = {0};
        assert_int_equal(opts_parse(opts_main, &c, 2, argv, &w, &e), ERR_USAGE);
        assert_non_null(strstr(e.msg, rows[i].wrong));
        if (rows[i].right ? !strstr(e.msg, rows[i].right) : strstr(e.msg, "mean") != NULL)
            fail_msg("%s", e.msg);
        free(wrong);
        conf_finish(&c);
    }
}

/* Splits at spaces; the result points into a static buffer. */
static int parse(struct conf *c, const char *line, struct words *w, struct err *e)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    snprintf(text, sizeof text, "hadal %s", line);
    for (char *save = NULL, *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
        argv[argc++] = s;
    argv[argc] = NULL;
    conf_init(c);
    return opts_parse(opts_main, c, argc, argv, w, e);
}

static void command_line(void **state)
{
    (void)state;
    struct conf c;
    struct words w;
    struct err e = {0};
    assert_int_equal(parse(&c, "-cn -mfoo.gguf why --temp=0 is -t 2 --json -- --stats", &w, &e), 0);
    assert_true(c.cont && c.no_save && c.json && !c.stats);
    assert_string_equal(c.model, "foo.gguf");
    assert_near(c.sampler.temp, 0);
    assert_int_equal(c.n_threads, 2);
    assert_int_equal(w.n, 3);
    assert_string_equal(w.at[0], "why");
    assert_string_equal(w.at[2], "--stats");
    free(w.at);
    conf_finish(&c);

    assert_int_equal(parse(&c, "--stats --stats=no -ofile - --seed 7 -s sky", &w, &e), 0);
    assert_false(c.stats);
    assert_string_equal(c.out_file, "file");
    assert_string_equal(c.session, "sky");
    assert_true(c.seed_set && c.sampler.seed == 7);
    assert_int_equal(w.n, 1); /* "-" is a word */
    free(w.at);
    conf_finish(&c);

    static const char *const bad[] = {"-m", "--model", "-z", "-cz", "--temp", "--temp hot", "--stats=perhaps", "--json=", "---", "--=x", "--mod x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(&c, bad[i], &w, &e) != ERR_USAGE)
            fail_msg("%s was taken", bad[i]);
        assert_null(w.at);
        conf_finish(&c);
    }
}

/* ---- sources ---- */

static void config_file(void **state)
{
    (void)state;
    struct conf c;
    load(&c, "\xef\xbb\xbf# a comment\n\n[chat]\nmodel = my model.gguf   # the usual one\r\n temp=0.25\nsystem = \"Say \\\"yes\\\" # twice\\n\" # why\n"
             "seed = 12\nstats = yes\n--top-k = 7\nline=on");
    assert_string_equal(buf_str(&warnings), "");
    assert_string_equal(c.model, "my model.gguf");
    assert_near(c.sampler.temp, 0.25);
    assert_string_equal(c.system, "Say \"yes\" # twice\n");
    assert_false(c.system_given);
    assert_true(c.seed_set && c.sampler.seed == 12 && c.stats && c.line);
    assert_int_equal(c.sampler.top_k, 7);
    conf_finish(&c);
}

static void config_errors(void **state)
{
    (void)state;
    struct conf c;
    load(&c, "temp = hot\nnonsense\nmodle = x\njson = yes\nsystem = \"open\nsystem = \"a\" b\ntop-k = 5\n");
    assert_int_equal(c.sampler.top_k, 5); /* the good line counts */
    assert_near(c.sampler.temp, 0.8);
    static const char *const want[] = {"hadal/config, line 1: temp takes", "line 2: no '='", "line 3: no setting is called modle (did you mean model?)",
                                       "line 4: json is for the command line alone", "line 5: the quotes of system", "line 6: the quotes"};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        if (!strstr(buf_str(&warnings), want[i]))
            fail_msg("not said: %s, but:\n%s", want[i], buf_str(&warnings));
    conf_finish(&c);

    put_file("config/hadal/config", "a\0b", 3);
    load(&c, NULL);
    assert_non_null(strstr(buf_str(&warnings), "is no text file"));
    conf_finish(&c);

    size_t n = (1 << 20) + 1;
    char *big = mem_alloc(n);
    memset(big, '#', n);
    put_file("config/hadal/config", big, n);
    load(&c, NULL);
    assert_non_null(strstr(buf_str(&warnings), "longer than 1048576 bytes"));
    conf_finish(&c);
    put_file("config/hadal/config", big, n - 1); /* one comment of exactly the limit */
    load(&c, NULL);
    assert_int_equal(warnings.len, 0);
    conf_finish(&c);
    free(big);

    char *path = inside("config/hadal/config");
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    load(&c, NULL);
    assert_non_null(strstr(buf_str(&warnings), "folder") ? "" : strstr(buf_str(&warnings), "directory"));
    conf_finish(&c);
    free(path);
}

static void precedence(void **state)
{
    (void)state;
    struct conf c;
    struct words w;
    setenv("HADAL_TOP_K", "2", 1);
    setenv("HADAL_MAX_TOKENS", "", 1); /* empty: not there */
    setenv("HADAL_TEMP", "cold", 1);
    load(&c, "top-k = 1\ntop-p = 0.1\nmin-p = 0.1\n");
    assert_int_equal(c.sampler.top_k, 2);
    assert_near(c.sampler.top_p, 0.1);
    assert_non_null(strstr(buf_str(&warnings), "HADAL_TEMP: temp takes a number from 0 to 100, not 'cold'"));
    char a0[] = "hadal", a1[] = "--top-k", a2[] = "3", a3[] = "--system", a4[] = "";
    char *argv[] = {a0, a1, a2, a3, a4, NULL};
    assert_int_equal(opts_parse(opts_main, &c, 5, argv, &w, NULL), 0);
    assert_int_equal(c.sampler.top_k, 3);
    assert_true(c.system_given);
    assert_string_equal(c.system, ""); /* an empty one is one */
    assert_int_equal(conf_set(&c, "top-k", "4", NULL), 0);
    assert_int_equal(c.sampler.top_k, 4);
    free(w.at);
    conf_finish(&c);
    unsetenv("HADAL_TOP_K");
    unsetenv("HADAL_TEMP");
    unsetenv("HADAL_MAX_TOKENS");

    setenv("ACCESSIBLE", "1", 1);
    load(&c, "");
    assert_true(c.plain);
    conf_finish(&c);
    setenv("HADAL_PLAIN", "no", 1);
    load(&c, "");
    assert_false(c.plain);
    conf_finish(&c);
}

static void settings(void **state)
{
    (void)state;
    struct conf c;
    conf_init(&c);
    int n = 0;
    const char *help, *name;
    struct buf value = BUF_INIT(256);
    for (; (name = conf_setting(&c, n, &help, &value)); n++) {
        assert_true(*help);
        if (value.len && conf_set(&c, name, buf_str(&value), NULL)) /* what is shown is taken again */
            fail_msg("%s = %s", name, buf_str(&value));
        buf_reset(&value);
    }
    assert_true(n > 8);
    assert_int_equal(conf_set(&c, "temp", "0.1", NULL), 0);
    for (int i = 0; i < n; i++)
        if (!strcmp(conf_setting(&c, i, NULL, NULL), "temp"))
            conf_setting(&c, i, NULL, &value);
    assert_string_equal(buf_str(&value), "0.1");
    buf_finish(&value);
    assert_int_equal(conf_set(&c, "template", "a\"b", NULL), 0);
    char *json = conf_params_json(&c, 9007199254740993);
    assert_string_equal(json, "{\"seed\":9007199254740993,\"ctx\":0,\"temp\":0.1,\"top_k\":40,\"top_p\":0.95,\"min_p\":0.05,\"repeat_penalty\":1,"
                              "\"repeat_last\":64,\"max_tokens\":0,\"template\":\"a\\\"b\"}");
    free(json);
    assert_int_equal(conf_set(&c, "xtc-probability", "0.5", NULL), 0);
    assert_int_equal(conf_set(&c, "samplers", "temp,xtc", NULL), 0);
    json = conf_params_json(&c, 1);
    assert_non_null(strstr(json, "\"xtc_probability\":0.5,"));
    assert_non_null(strstr(json, "\"samplers\":\"temp,xtc\""));
    free(json);
    conf_finish(&c);
    conf_init(&c);
    assert_int_equal(conf_set(&c, "temp", "0.1", NULL), 0);
    assert_int_equal(conf_set(&c, "samplers", "temp,xtc", NULL), 0);
    struct sampler_conf s = conf_sampler(&c);
    assert_true(s.order[0] == SAMPLER_TEMP && s.order[1] == SAMPLER_XTC && s.order[2] == 0 && s.temp == 0.1f && s.top_k == 40);
    /* a model's file: what a person set stays */
    s.temp = 0.6f;
    s.top_k = 20;
    conf_recommend(&c, &s, &c.sampler);
    assert_true(c.sampler.temp == 0.1f && c.sampler.top_k == 20);
    conf_finish(&c);
}

/* ---- models ---- */

static void expect_model(const char *name, const char *end, const char *message)
{
    char *path = NULL;
    struct err e = {0};
    int rc = conf_model_path(name, &path, &e);
    if (end) {
        if (rc)
            fail_msg("%s: %s", name ? name : "default", e.msg);
        size_t n = strlen(path), k = strlen(end);
        if (n < k || strcmp(path + n - k, end))
            fail_msg("%s is %s", name ? name : "default", path);
    } else {
        assert_int_equal(rc, ERR_NOMODEL);
        if (!strstr(e.msg, message))
            fail_msg("%s: %s", name ? name : "default", e.msg);
    }
    free(path);
}

static void models(void **state)
{
    (void)state;
    expect_model(NULL, NULL, "put a GGUF file into");
    expect_model("one", NULL, "no models are in");
    put_file("data/hadal/models/one-Q4.gguf", "x", 1);
    put_file("data/hadal/models/.hidden.gguf", "x", 1);
    expect_model(NULL, "/one-Q4.gguf", NULL); /* the only one */
    put_file("data/hadal/models/two-Q8.gguf", "x", 1);
    expect_model(NULL, NULL, "Choose one with -m: one-Q4.gguf, two-Q8.gguf");
    expect_model("one-Q4.gguf", "/models/one-Q4.gguf", NULL);
    expect_model("two-Q8", "/models/two-Q8.gguf", NULL);
    expect_model("TWO", "/models/two-Q8.gguf", NULL);
    expect_model("-Q", NULL, "could be several models: one-Q4.gguf, two-Q8.gguf");
    expect_model("three", NULL, "no model three; there are: one-Q4.gguf, two-Q8.gguf");
    put_file("data/hadal/models/SmolLM2-135M-Instruct.Q4_1.gguf", "x", 1);
    expect_model(NULL, "/SmolLM2-135M-Instruct.Q4_1.gguf", NULL);
    put_file("here.gguf", "x", 1);
    char *path = inside("here.gguf"), *gone = inside("gone.gguf");
    expect_model(path, "/here.gguf", NULL);
    expect_model(gone, NULL, "No such file");
    expect_model(root, NULL, "is a folder");
    free(path);
    free(gone);
    path = inside("data/hadal/models/.hidden.gguf");
    remove(path);
    free(path);
}

/* ---- what a person sees of a session ---- */

static void times_and_ids(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    const int64_t now = 1760000000000; /* Thu 2025-10-09 08:53:20 */
    static const struct {
        int64_t ago_s;
        const char *text;
    } rows[] = {{0, "now"}, {59, "now"}, {-30, "now"}, {60, "1 min"}, {3599, "59 min"}, {3600, "1 h"}, {86399, "23 h"}, {86400, "wed"},
                {5 * 86400, "sat"}, {6 * 86400, "3 Oct"}, {300 * 86400, "2024-12-13"}, {-7200, "9 Oct"}, {-400 * 86400, "2026-11-13"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[16];
        when_text(now - rows[i].ago_s * 1000, now, text);
        assert_string_equal(text, rows[i].text);
    }
    char text[16];
    when_text(INT64_MIN / 4, now, text);
    when_text(INT64_MAX / 4, now, text);
    char id[7];
    short_id("01HZX5K3V8Q9W7R2T4Y6ABCDEF", id);
    assert_string_equal(id, "abcdef");
    short_id("A", id);
    assert_string_equal(id, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        CASE(built_in), CASE(ranges),     CASE(suggestions), CASE(command_line), CASE(config_file),
        CASE(config_errors), CASE(precedence), CASE(settings),    CASE(models),       CASE(times_and_ids),
    };
    int rc = cmocka_run_group_tests_name("conf", tests, NULL, NULL);
    buf_finish(&warnings);
    return rc;
}
