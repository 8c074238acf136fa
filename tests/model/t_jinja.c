/*
 * The template language: every case of the shared data (from Jinja2 itself), errors and where they are, templates that want too much, and where
 * foreign bytes go. All of it runs in threads of 256 KiB stack.
 */
#include "config.h"

#include "tests/t.h"

#include <pthread.h>
#include <time.h>

#include "app/jvalue.h"
#include "base/mem.h"
#include "model/limits.h"

#ifdef __SANITIZE_ADDRESS__
#define STACK (1 << 20) /* its frames are larger */
#else
#define STACK (256 << 10)
#endif

/* ---- one rendering, in a thread ---- */

struct job {
    const char *text;
    size_t n;
    const json_t *vars; /* or NULL */
    struct value values; /* instead, if a map */
    struct tm now;
    /* out */
    int rc; /* 0, ERR_FORMAT, ERR_INPUT */
    bool opened;
    struct buf out;
    struct tok_span *spans;
    size_t n_spans;
    struct tmpl_fault fault;
    struct err err;
};

static void *render_it(void *arg)
{
    struct job *j = arg;
    struct tmpl *t = NULL;
    struct vals *v = vals_create(64 << 20);
    j->out = BUF_INIT(LIMIT_TMPL_OUTPUT);
    j->spans = NULL;
    j->n_spans = 0;
    j->fault = (struct tmpl_fault){0};
    j->err = (struct err){0};
    j->rc = tmpl_open(j->text, j->n, &t, &j->err);
    j->opened = j->rc == 0;
    if (j->opened) {
        struct value vars = j->values.kind == VAL_MAP ? j->values : j->vars ? jvalue(v, j->vars, true) : val_map(v);
        j->rc = tmpl_render_vars(t, vars, &j->now, &j->out, &j->spans, &j->n_spans, &j->fault, &j->err);
    }
    tmpl_close(t);
    vals_destroy(v);
    return NULL;
}

static void in_thread(void *(*fn)(void *arg), void *arg)
{
    pthread_t t;
    pthread_attr_t a;
    pthread_attr_init(&a);
    assert_int_equal(pthread_attr_setstacksize(&a, STACK), 0);
    assert_int_equal(pthread_create(&t, &a, fn, arg), 0);
    pthread_join(t, NULL);
    pthread_attr_destroy(&a);
}

static void job_done(struct job *j)
{
    buf_finish(&j->out);
    free(j->spans);
}

/* A template without variables; job_done when read. */
static struct job render(const char *text)
{
    struct job j = {.text = text, .n = strlen(text)};
    in_thread(render_it, &j);
    return j;
}

/* The output, or failure of the test. */
static void gives(const char *text, const char *want)
{
    struct job j = render(text);
    if (j.rc || strcmp(buf_str(&j.out), want) != 0)
        fail_msg("%s: %s", text, j.rc ? j.err.msg : buf_str(&j.out));
    job_done(&j);
}

static struct tm midday(void)
{
    return (struct tm){.tm_year = 126, .tm_mon = 6, .tm_mday = 1, .tm_hour = 12, .tm_wday = 3, .tm_yday = 181};
}

/* Whether the rendering is what the case says: the same bytes; the text of what the template raises itself; any other failure as such. */
static bool as_expected(const struct job *j, const json_t *c)
{
    const json_t *out = json_object_get(c, "output");
    if (out)
        return j->rc == 0 && json_string_length(out) == j->out.len && memcmp(json_string_value(out), buf_str(&j->out), j->out.len) == 0;
    if (strcmp(json_string_value(json_object_get(c, "error_type")), "raise_exception") == 0)
        return j->rc == ERR_INPUT && j->fault.refused && strcmp(j->fault.text, json_string_value(json_object_get(c, "error"))) == 0;
    return j->rc != 0 && !j->fault.refused;
}

/* ---- the shared cases ---- */

/* What is left out on purpose. No published template uses any of it. */
static const struct {
    int id;
    const char *why;
} left_out[] = {
    {44, "integers have 64 bits"},
    {607, "pprint: a text for Python programmers"},
    {619, "striptags: HTML"},
    {641, "xmlattr: HTML"},
    {655, "random: a prompt that differs from itself"},
    {678, "pprint"},
    {686, "urlencode: the web"},
    {694, "urlencode"},
    {717, "filesizeformat"},
    {725, "prints the address of a Python object"},
    {738, "wordwrap"},
    {746, "filesizeformat"},
    {811, "str.translate"},
    {852, "str.encode: there are no byte strings"},
    {869, "dict.fromkeys"},
    {871, "methods of numbers"},
    {875, "methods of numbers"},
    {909, "prints a Python class"},
};

static const char *left_out_for(int id)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (left_out[i].id == id)
            return left_out[i].why;
    return NULL;
}

static void jinja_cases(void **state)
{
    (void)state;
    FILE *f = fopen(t_shared("data/jinja-cases.jsonl"), "r");
    char *line = NULL;
    size_t cap = 0, n = 0, bad = 0, out = 0;
    while (getline(&line, &cap, f) > 0) {
        json_t *c = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(c);
        const json_t *t = json_object_get(c, "template");
        struct job j = {.text = json_string_value(t), .n = json_string_length(t), .vars = json_object_get(c, "vars"), .now = midday()};
        int id = (int)json_integer_value(json_object_get(c, "id"));
        in_thread(render_it, &j);
        bool same = as_expected(&j, c);
        n++;
        if (left_out_for(id)) {
            out++;
            if (same || j.rc == 0) /* what we do not have must be said, not done otherwise */
                bad += id != 909;
        } else if (!same) {
            bad++;
            fprintf(stderr, "case %d: %s\n  gives %s\n", id, j.text, j.rc ? j.err.msg : buf_str(&j.out));
        }
        job_done(&j);
        json_decref(c);
    }
    free(line);
    fclose(f);
    assert_int_equal(bad, 0);
    assert_true(n > 1000);
    assert_true(out * 100 <= n * 8);
}

/* ---- published templates ---- */

#define MAX_TEMPLATES 64

static const char *const published[] = {
    "Apertus-8B-Instruct", "Bielik-11B-v3.0-Instruct", "CohereForAI-c4ai-command-r7b-12-2024-tool_use", "GLM-4.6", "GigaChat3-10B-A1.8B",
    "HuggingFaceTB-SmolLM3-3B", "Kimi-K2-Instruct", "LFM2-8B-A1B", "MiMo-VL", "Mistral-Small-3.2-24B-Instruct-2506",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "Qwen-QwQ-32B", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3-Coder", "Reka-Edge",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1",
    "deepseek-ai-DeepSeek-V3.2", "fireworks-ai-llama-3-firefunction-v2", "google-gemma-2-2b-it", "google-gemma-4-31B-it",
    "ibm-granite-granite-3.3-2B-Instruct", "llama-cpp-deepseek-r1", "meetkai-functionary-medium-v3.1", "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct", "microsoft-Phi-3.5-mini-instruct", "mistralai-Mistral-Nemo-Instruct-2407",
};
#define N_PUBLISHED (sizeof published / sizeof *published)

static char *file_text(const char *name, size_t *n)
{
    struct buf b = BUF_INIT(1 << 21);
    char part[4096];
    FILE *f = fopen(t_shared(name), "rb");
    for (size_t k; (k = fread(part, 1, sizeof part, f)) > 0;)
        buf_add(&b, part, k);
    fclose(f);
    *n = b.len;
    return buf_take(&b);
}

/* Template number i and its cases. */
static char *published_text(size_t i, size_t *n, json_t **cases)
{
    char name[200];
    size_t len;
    snprintf(name, sizeof name, "data/templates/expected/%s.json", published[i]);
    char *text = file_text(name, &len);
    *cases = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
    assert_non_null(*cases);
    free(text);
    snprintf(name, sizeof name, "data/templates/%s.jinja", published[i]);
    return file_text(name, n);
}

/* The variables of a case: vars, messages, tools. A new reference. */
static json_t *case_vars(const json_t *c)
{
    json_t *vars = json_deep_copy(json_object_get(c, "vars")), *tools = json_object_get(c, "tools");
    json_object_set(vars, "messages", json_object_get(c, "messages"));
    if (tools)
        json_object_set(vars, "tools", tools);
    return vars;
}

static struct tm case_now(const json_t *c)
{
    struct tm now = midday();
    const char *s = json_string_value(json_object_get(c, "now"));
    if (s)
        assert_string_equal(s, "2026-07-01T12:00:00");
    return now;
}

static void published_templates(void **state)
{
    (void)state;
    size_t bad = 0, all = 0;
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        size_t n, k;
        json_t *cases, *c;
        char *text = published_text(i, &n, &cases);
        json_array_foreach(cases, k, c) {
            json_t *vars = case_vars(c);
            struct job j = {.text = text, .n = n, .vars = vars, .now = case_now(c)};
            in_thread(render_it, &j);
            all++;
            if (!as_expected(&j, c)) {
                bad++;
                fprintf(stderr, "%s, %s: %s\n", published[i], json_string_value(json_object_get(c, "case")), j.rc ? j.err.msg : "other bytes");
            }
            job_done(&j);
            json_decref(vars);
        }
        json_decref(cases);
        free(text);
    }
    assert_int_equal(bad, 0);
    assert_true(all > 1500);
}

/* ---- errors ---- */

static void positions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line, column;
        const char *said;
    } cases[] = {
        {"{{ x.y }}", 1, 5, "'x' is undefined"},
        {"a\nb{{ {}.y.z }}", 2, 9, "the mapping has no member 'y'"},
        {"{{ [1][3].a }}", 1, 10, "the list has no element 3"},
        {"\n\n{{ 1 + 'a' }}", 3, 6, "'+' does not work between an integer and a string"},
        {"{{ 'a' | nosuch }}", 1, 10, "no filter 'nosuch'"},
        {"{{ 'a' is nosuch }}", 1, 11, "no test 'nosuch'"},
        {"{{ 1 // 0 }}", 1, 6, "division by zero"},
        {"{% for a, b in [[1]] %}{% endfor %}", 1, 8, "1 values for 2 names"},
        {"\xE6\x97\xA5{{ raise_exception('no') }}", 1, 20, "no"},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", 1, 35, "at most 1 arguments"},
        {"{{ 'x'|indent(-1)|int(base=99) }}", 1, 19, "no base 99"},
        {"{{ dict(1) }}", 1, 8, "cannot be iterated"},
        {"{{ m['a'] }}{% set m = 1 %}", 1, 5, "'m' is undefined"},
        {"{{ 5 in 6 }}", 1, 6, "cannot be iterated"},
        {"{{ {[1]: 2} }}", 1, 5, "cannot be the key"},
        {"{% set a.b = 1 %}", 1, 8, "'a' is undefined"},
        {"{{ 'x'.join([1]) }}", 1, 12, "expected a string, got an integer"},
        {"{{ strftime_now('%Q') }}", 1, 16, "does not know '%Q'"},
        {"{{ '{' | from_json }}", 1, 10, "no JSON at character 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j = render(cases[i].text);
        if (!j.rc || j.fault.line != cases[i].line || j.fault.column != cases[i].column || !strstr(j.fault.text, cases[i].said))
            fail_msg("%s: line %d, column %d: %s", cases[i].text, j.fault.line, j.fault.column, j.rc ? j.fault.text : buf_str(&j.out));
        assert_int_equal(j.out.len, 0);
        job_done(&j);
    }
}

/* What published exploits of template engines reach for. */
static void escapes(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ [].__class__.__base__ }}",
        "{{ {}.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__.os }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ config.items() }}",
        "{{ request.application.__globals__ }}",
        "{{ ''|attr('__class__')|attr('__mro__') }}",
        "{{ ()|attr('\\x5f\\x5fclass\\x5f\\x5f')|attr('x') }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{0[x]}'.format({'x': 1}) }}",
        "{{ '%(__class__)s' % 'x' }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends 'x' %}",
        "{{ open('/etc/passwd').read() }}",
        "{{ get_flashed_messages.__globals__ }}",
        "{{ range.__class__.x }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ strftime_now.__closure__[0] }}",
        "{% for x in [1] %}{{ loop.__class__.x }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.__call__.x }}",
        "{{ {}.get.__self__.x }}",
        "{{ [1]|map(attribute='__class__.__name__')|list }}",
        "{{ [1]|map('attr', '__class__')|map('attr', 'x')|list }}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j = render(cases[i]);
        if (j.rc == 0)
            fail_msg("%s gives %s", cases[i], buf_str(&j.out));
        job_done(&j);
    }
}

/* ---- too much ---- */

static char *repeated(const char *before, const char *s, size_t n, const char *middle, const char *t, size_t m, const char *behind)
{
    struct buf b = BUF_INIT(8 << 20);
    buf_addstr(&b, before);
    while (n--)
        buf_addstr(&b, s);
    buf_addstr(&b, middle);
    while (m--)
        buf_addstr(&b, t);
    buf_addstr(&b, behind);
    return buf_take(&b);
}

#define GROW(start, step) "{% set ns = namespace(x=" start ") %}{% for i in range(70000) %}{% set ns.x = " step " %}{% endfor %}"

static void bombs(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(10**18) %}{% endfor %}",
        "{% for i in range(-(2**62), 2**62) %}{% endfor %}",
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in [] %}{% endfor %}{{ a ~ a ~ a }}{% for c in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 'a' * 10**18 }}",
        "{{ 2**62 * 'ab' }}",
        "{{ [1] * 10**9 }}",
        "{{ ([0] * 10**6) * 100 }}",
        "{{ 10**19 }}",
        "{{ 2 ** 10**9 }}",
        "{% set ns = namespace(x=(1,)) %}{% for i in range(31) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=(1,)) %}{% for i in range(31) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {}.get(ns.x) }}{{ ns.x in {} }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 9223372036854775808 }}",
        GROW("'ab'", "ns.x + ns.x"),
        GROW("'ab'", "ns.x ~ ns.x"),
        GROW("[1]", "ns.x + ns.x"),
        GROW("'ab'", "ns.x.replace('a', ns.x)"),
        GROW("'ab'", "ns.x|replace('', ns.x)"),
        GROW("'ab'", "ns.x|indent(1000, true)"),
        GROW("'ab'", "ns.x.join(['1', '2', '3'])"),
        GROW("[]", "[ns.x]") "{{ ns.x }}",
        GROW("[]", "[ns.x]") "{{ ns.x|tojson }}",
        GROW("[]", "[ns.x]") "{{ ns.x == [ns.x] }}{{ ns.x < [ns.x] }}",
        GROW("1", "{'a': ns.x}") "{{ ns.x }}",
        "{% set ns = namespace(x=1, y=1) %}{% for i in range(500) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|string }}",
        "{% set ns = namespace(x=1, y=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}",
        "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
        "{% set d = {} %}{% set _ = d.update(a=d) %}{{ d }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% call m() %}{{ caller() }}{% endcall %}{% endcall %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x'.ljust(2**62) }}",
        "{{ '1'.zfill(10**9) }}",
        "{{ '\t'.expandtabs(10**12) }}",
        "{{ 'x'|center(10**9) }}",
        "{{ 'x'|indent(10**9, true) }}",
        "{{ [1]|tojson(indent=10**9) }}",
        "{{ [1]|batch(10**9, 0)|list }}",
        "{{ [1]|slice(10**9)|list }}",
        "{{ range(100000)|map('string')|map('center', 1000)|list|length }}",
        "{{ ['a' * 10**6] * 1000 | join }}",
        "{{ (['a' * 10**6] * 1000) | join }}",
        "{{ ('a,' * 10**6).split(',') | sort | unique | list | length }}{{ ('b,' * 10**7).split(',') }}",
        "{{ [1]|map('map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'string')|list }}"
        "{{ [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]|map('map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', 'map', "
        "'map', 'map', 'map', 'map', 'string')|list }}",
        "{% for i in range(100000) %}{% for j in range(9) %}{{ ('x' * 1000).rfind('y' * 500 ~ 'x') }}{% endfor %}{% endfor %}",
        "{% set s = 'ab' * 4000000 %}{% for i in range(1000) %}{{ s[i:-i or none] == s }}{{ s.count('ab') }}{% endfor %}",
        "{% set s = '\xC3\xA4' * 4000000 %}{% for i in range(1000) %}{{ s[3999999] }}{% endfor %}",
        "{% set d = {} %}{% for i in range(100000) %}{% set _ = d.update({i: i}) %}{% endfor %}{% for i in range(100000) %}{% set _ = d.pop(i) %}{% endfor %}",
        "{% set l = range(100000)|list %}{% for i in range(100000) %}{{ 100001 in l }}{% endfor %}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j = render(cases[i]);
        if (j.rc == 0)
            fail_msg("%s gives %zu bytes", cases[i], j.out.len);
        if (!j.err.msg[0] || j.out.len)
            fail_msg("%s says nothing", cases[i]);
        job_done(&j);
    }
}

/* Texts that nest: at most errors, and never the end of the stack. */
static void deep(void **state)
{
    (void)state;
    static const struct {
        const char *before, *s, *middle, *t, *behind;
        size_t fits; /* so many give no error */
    } cases[] = {
        {"{{ ", "(", "1", ")", " }}", 60},
        {"{{ ", "[", "1", "]", " }}", 60},
        {"{{ ", "{1:", "1", "}", " }}", 60},
        {"{{ ", "-", "1", "", " }}", 60},
        {"{{ ", "not ", "1", "", " }}", 100000},
        {"{{ ", "1 if 1 else ", "1", "", " }}", 50000},
        {"{{ ", "1 if 0 else ", "1", "", " }}", 50000},
        {"{{ 1 ", "", "", "+ 1", " }}", 100000},
        {"{{ 1 ", "", "", "and 1 ", " }}", 100000},
        {"{{ 1 ", "", "", "< 2 ", " }}", 1},
        {"{{ 'a' ", "", "", "~ 'a'", " }}", 100000},
        {"{{ 'a' ", "", "", "|trim", " }}", 100000},
        {"{{ [1", "", "", ",1", "] }}", 200000},
        {"{{ (1", "", "", ",1", ")|length }}", 200000},
        {"{{ dict(a=1", "", "", "", ")", 0},
        {"{{ f(", "f(", "1", ")", ") }}", 0},
        {"{{ x", "", "", "[1]", " }}", 0},
        {"{{ {}", "", "", ".a", " is defined }}", 1},
        {"{{ x", "", "", "()", " }}", 0},
        {"", "{% if 1 %}", "x", "{% endif %}", "", 120},
        {"", "{% for x in [1] %}", "x", "{% endfor %}", "", 120},
        {"", "{% set x %}", "x", "{% endset %}", "", 120},
        {"", "{% macro m() %}", "x", "{% endmacro %}", "", 120},
        {"", "{% filter upper %}", "x", "{% endfilter %}", "", 120},
        {"{% set ", "(", "a", ")", " = 1 %}", 60},
        {"{{ '", "[", "1", "]", "'|from_json }}", 60},
        {"", "{# ", "", "", "#}", 100000},
        {"{{ ", "{{ ", "", "", "", 0},
        {"", "{", "", "", "", 1},
    };
    static const size_t sizes[] = {1, 60, 120, 1000, 100000};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            char *text = repeated(cases[i].before, cases[i].s, *cases[i].s ? sizes[k] : 0, cases[i].middle, cases[i].t,
                                  *cases[i].t ? sizes[k] : 0, cases[i].behind);
            struct job j = render(text);
            if (sizes[k] <= cases[i].fits && strlen(text) <= LIMIT_TMPL_SOURCE && j.rc)
                fail_msg("%zu times %s%s: %s", sizes[k], cases[i].s, cases[i].t, j.err.msg);
            job_done(&j);
            free(text);
        }
}

/* What is below the limits goes well. */
static void large(void **state)
{
    (void)state;
    struct job j = render("{% for a in range(990) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}");
    assert_int_equal(j.rc, 0);
    assert_int_equal(j.out.len, 990000);
    job_done(&j);
    j = render("{{ 'a' * 16777216 }}");
    assert_int_equal(j.rc, 0);
    assert_int_equal(j.out.len, 16 << 20);
    job_done(&j);
    j = render("{{ 'a' * 16777216 }}b");
    assert_int_not_equal(j.rc, 0);
    job_done(&j);
    j = render("{% set ns = namespace(x='') %}{% for i in range(100000) %}{% set ns.x = ns.x ~ '0123456789' %}{% endfor %}{{ ns.x|length }}");
    assert_string_equal(buf_str(&j.out), "1000000");
    job_done(&j);
    gives("{% macro m(n) %}{% if n %}x{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(190)|length }}", "190");
    gives("{{ range(100000)|sum }}", "4999950000");
    gives("{{ -9223372036854775807 - 1 }} {{ 9223372036854775807 }}", "-9223372036854775808 9223372036854775807");
}

/* ---- what the data does not hold ---- */

static void language(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "2"},
        {"{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "12"},
        {"{% for i in [1,2,3] %}{% set x %}a{% if i == 2 %}{% continue %}{% endif %}b{% endset %}{{ x }}{{ i }}{% endfor %}", "ab1ab3"},
        {"{% for i in [1,2,3] %}{% with a = i %}{% if a == 2 %}{% break %}{% endif %}{{ a }}{% endwith %}{% else %}e{% endfor %}{{ a }}.", "1."},
        {"{% for i in [1] %}{% for j in [1,2] %}{% if j == 2 %}{% break %}{% endif %}{{ j }}{% endfor %}{{ loop.index }}{% endfor %}", "11"},
        {"{% for x in [1,2,3,4] if x % 2 == 0 %}{{ loop.index }}{{ x }}{{ loop.last }} {% endfor %}", "12False 24True "},
        {"{% for x in 'a\xC3\xA4z' %}{{ loop.previtem }}{{ x }}{{ loop.nextitem }}|{% endfor %}", "a\xC3\xA4|a\xC3\xA4z|\xC3\xA4z|"},
        {"{% for x in [1,1,2] %}{{ loop.changed(x) }} {% endfor %}", "True False True "},
        {"{% set l = [1, 2, 3] %}{% for x in l %}{% if x == 1 %}{% set _ = l.remove(2) %}{% endif %}{{ x }}{% endfor %}", "13"},
        {"{% set m = [1,2]|map('string') %}{{ m|join }}{{ m|join }}.", "12."},
        {"{{ 'yes' if []|select else 'no' }}", "yes"},
        {"{{ 'a' 'b' \"c\" }}", "abc"},
        {"{{ '\\U0001F600\\ud83d\\ude00\\101\\x41' }}", "\xF0\x9F\x98\x80\xF0\x9F\x98\x80" "AA"},
        {"{{ 1 < 2 < 3 == 3 }}{{ 1 < 2 > 5 }}{{ 1 in [1] in [[1]] }}", "TrueFalseTrue"},
        {"{{ (1, 2)|tojson }}{{ (1,) }}{{ () }}", "[1, 2](1,)()"},
        {"{{ 'x'|safe + '<' }}{{ '<' + 'x'|safe }}{{ '<' ~ 'x'|safe }}", "x&lt;&lt;x<x"},
        {"{{ 0.1 + 0.2 }} {{ 1e22 }} {{ 1e-5 }} {{ 123456789.0 }} {{ -0.0 }} {{ 1e16 }} {{ 5e-324 }}",
         "0.30000000000000004 1e+22 1e-05 123456789.0 -0.0 1e+16 5e-324"},
        {"{{ 7 // -2 }} {{ -7 // 2 }} {{ 7 % -2 }} {{ -7 % 2 }} {{ 7.5 // -2 }} {{ 7.5 % -2 }} {{ 2 ** -1 }} {{ 0 ** 0 }}",
         "-4 -4 -1 1 -4.0 -0.5 0.5 1"},
        {"{{ 9007199254740993 == 9007199254740992.0 }}{{ 9007199254740993 > 9007199254740992.0 }}{{ 1 == 1.0 }}{{ {1: 'a'}[true] }}",
         "FalseTrueTruea"},
        {"{{ '%-5s|%5.1f|%+d|%x|%%|%r' % ('a', 2.25, 3, 255, 'q') }}", "a    |  2.2|+3|ff|%|'q'"},
        {"{{ '%(a)s-%(b)03d' % {'a': 1, 'b': 2} }}", "1-002"},
        {"{{ '{:>4}|{:^5}|{:,}|{:.2f}|{:#x}|{!r}|{{}}|{n}'.format('a', 'b', 1234567, 2.5, 255, 'q', n=1) }}", "   a|  b  |1,234,567|2.50|0xff|'q'|{}|1"},
        {"{{ [3,1,2]|sort(reverse=true) }}{{ ['b','A']|sort }}{{ [{'a': 2}, {'a': 1}]|sort(attribute='a') }}",
         "[3, 2, 1]['A', 'b'][{'a': 1}, {'a': 2}]"},
        {"{{ [{'a': {'b': 1}}, {'a': {}}]|map(attribute='a.b', default='-')|join(',') }}", "1,-"},
        {"{% for g in [{'k': 'x', 'v': 1}, {'k': 'y', 'v': 2}, {'k': 'X', 'v': 3}]|groupby('k') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}", "x2y1"},
        {"{{ {'a': [1, {'b': none}], 'c': 'x\"y\\n'}|tojson(indent=2) }}",
         "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": \"x\\\"y\\n\"\n}"},
        {"{{ ' a,b ,c '.split(',') }}{{ 'a  b'.split() }}{{ 'a-b-c'.rsplit('-', 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ ' a b '.split(none, 1) }}",
         "[' a', 'b ', 'c ']['a', 'b']['a-b', 'c'][' a b', 'c']['a', 'b ']"},
        {"{{ 'a\\r\\nb\\x85c\\n'.splitlines() }}", "['a', 'b', 'c']"},
        {"{% call(a, b=2) m(1) %}{{ a }}{{ b }}{% endcall %}", NULL},
        {"{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(a, b=2) m(1) %}{{ a }}{{ b }}{% endcall %}", "[12]"},
        {"{% macro m() %}{{ varargs|join(',') }};{{ kwargs.items()|list }}{% endmacro %}{{ m(1, *[2, 3], k=4, **{'z': 5}) }}",
         "1,2,3;[('k', 4), ('z', 5)]"},
        {"{% filter upper|replace('A', 'b') %}a{{ 'c' }}{% endfilter %}", "bC"},
        {"{% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}", "123"},
        {"{% with a = 1, b = a %}{{ a }}{{ b is defined }}{% endwith %}", "1False"},
        {"{{ '\xEF\xBC\xA1\xC3\x9F'.lower() }}{{ '\xC3\x9F'.title() }}", "\xEF\xBD\x81\xC3\x9FSs"},
        {"a\r\n{% if 1 %}\r\nb\r{% endif %}\r\nc\n", "a\nb\nc"},
        {"{{ '%s' % 'a' if true }}{{ 1 if false }}|", "a|"},
        {"{{ x|default({'a': 1}, true) }}{{ ''|d('e', true) }}", "{'a': 1}e"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].want)
            gives(cases[i].text, cases[i].want);
}

/* What was given cannot be changed, what the template made can. */
static void given_is_kept(void **state)
{
    (void)state;
    static const char *const changes[] = {"l.append(1)", "l.clear()", "l.extend([1])", "l.insert(0, 1)", "l.pop()", "l.remove(1)", "l.reverse()", "l.sort()",
                                          "d.update({'z': 1})", "d.pop('a')", "d.clear()", "d.setdefault('z', 1)", "d.popitem()", "d.l.append(1)"};
    json_t *vars = json_loads("{\"l\": [1, 2], \"d\": {\"a\": 1, \"l\": []}}", 0, NULL);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[200];
        snprintf(text, sizeof text, "{{ %s }}", changes[i]);
        struct job j = {.text = text, .n = strlen(text), .vars = vars};
        in_thread(render_it, &j);
        assert_int_equal(j.rc, ERR_FORMAT);
        assert_non_null(strstr(j.err.msg, "given to the template"));
        job_done(&j);
        snprintf(text, sizeof text, "{%% set l = l|list %%}{%% set d = dict(d, l=[]) %%}{%% set _ = %s %%}ok", changes[i]);
        j = (struct job){.text = text, .n = strlen(text), .vars = vars};
        in_thread(render_it, &j);
        if (j.rc)
            fail_msg("%s: %s", text, j.err.msg);
        job_done(&j);
    }
    json_decref(vars);
}

/* Two renderings of one template at once: a compiled one is not written to. */
static void *render_often(void *arg)
{
    const struct tmpl *t = arg;
    struct tmpl_msg m[] = {{"user", "a \xC3\xA4", 4}, {"assistant", "b", 1}};
    for (int i = 0; i < 200; i++) {
        struct buf b = BUF_INIT(1000);
        if (tmpl_render(t, m, 2, &(struct tmpl_vars){0}, &b, NULL, NULL, NULL) || strcmp(buf_str(&b), "<A \xC3\x84:2><B:2>") != 0)
            return arg;
        buf_finish(&b);
    }
    return NULL;
}

static void shared_template(void **state)
{
    (void)state;
    static const char text[] = "{% for m in messages %}{{ '<' ~ m.content|upper ~ ':' ~ '\xC3\xA4\xC3\xB6'|length ~ '>' }}{% endfor %}";
    struct tmpl *t;
    pthread_t a, b;
    void *ra, *rb;
    assert_int_equal(tmpl_open(text, sizeof text - 1, &t, NULL), 0);
    assert_int_equal(pthread_create(&a, NULL, render_often, t), 0);
    assert_int_equal(pthread_create(&b, NULL, render_often, t), 0);
    pthread_join(a, &ra);
    pthread_join(b, &rb);
    assert_null(ra);
    assert_null(rb);
    tmpl_close(t);
}

/* ---- foreign bytes ---- */

/* x is the foreign text "ab c", d the foreign mapping {"k": "v<"}; F marks what has to be in a span. */
static void provenance(void **state)
{
    (void)state;
    static const struct {
        const char *text, *out, *tags;
    } cases[] = {
        {"<{{ x }}>", "<ab c>", ".FFFF."},
        {"{{ '<' + x + '>' }}", "<ab c>", ".FFFF."},
        {"{{ '<' ~ x ~ x ~ '>' }}", "<ab cab c>", ".FFFFFFFF."},
        {"{{ ('<' ~ x ~ '>')[1:-1] }}", "ab c", "FFFF"},
        {"{{ ('<' ~ x ~ '>')[::-1] }}", ">c ba<", ".FFFF."},
        {"{{ ('<' ~ x)[1] }}{{ ('<' ~ x)|first }}{{ ('<' ~ x)|last }}", "a<c", "F.F"},
        {"{{ (' ' ~ x ~ ' ')|trim }}", "ab c", "FFFF"},
        {"{{ ('[' ~ x ~ ']').strip('[]') }}", "ab c", "FFFF"},
        {"{{ ('<' ~ x).split('b')|join('-') }}", "<a- c", ".F.FF"},
        {"{{ ('<' ~ x ~ '>').split()[1] }}", "c>", "F."},
        {"{{ ('<' ~ x).partition('b')[0] }}", "<a", ".F"},
        {"{{ x.replace('b', '<>') }}", "a<> c", "F..FF"},
        {"{{ '<b>'.replace('b', x) }}", "<ab c>", ".FFFF."},
        {"{{ '<b>'|replace('b', x)|upper }}", "<AB C>", ".FFFF."},
        {"{{ ('\xC3\x9F' ~ x)|upper }}", "SSAB C", "..FFFF"},
        {"{{ ('<' ~ x ~ '>')|title }}{{ ('<' ~ x)|capitalize }}", "<Ab C><ab c", ".FFFF..FFFF"},
        {"{{ ('<' ~ x) * 2 }}", "<ab c<ab c", ".FFFF.FFFF"},
        {"{{ '<%s>%d' % (x, 1) }}", "<ab c>1", ".FFFF.."},
        {"{{ '<{}>{:>6}'.format(x, x) }}", "<ab c>  ab c", ".FFFF...FFFF"},
        {"{{ x.format() }}{{ x % () }}", "ab cab c", "FFFFFFFF"},
        {"{{ [x] }}", "['ab c']", "..FFFF.."},
        {"{{ d }}", "{'k': 'v<'}", "..F....FF.."},
        {"{{ d|tojson }}", "{\"k\": \"v<\"}", "..F....FF.."},
        {"{{ {'a': x}|tojson(indent=1) }}", "{\n \"a\": \"ab c\"\n}", ".........FFFF..."},
        {"{{ ('[\"<\", \"' ~ x ~ '\"]')|from_json|join }}", "<ab c", ".FFFF"},
        {"{{ ('\"\\\\n' ~ x ~ '\"')|from_json|tojson }}", "\"\\nab c\"", "...FFFF."},
        {"{{ d.v|escape }}{{ d.k|escape }}", "v&lt;", "FFFFF"},
        {"{{ 'x'|safe + d.k }}", "xv&lt;", ".FFFFF"},
        {"{% set y %}<{{ x }}>{% endset %}{{ y }}", "<ab c>", ".FFFF."},
        {"{% macro m(y) %}<{{ y }}{% endmacro %}{{ m(x)|upper }}", "<AB C", ".FFFF"},
        {"{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ x }}{% endcall %}", "<ab c>", ".FFFF."},
        {"{% filter upper %}a{{ x }}{% endfilter %}", "AAB C", ".FFFF"},
        {"{% for c in '<' ~ x %}{{ c }}{% endfor %}", "<ab c", ".FFFF"},
        {"{% set ns = namespace(s='') %}{% for i in [1,2,3] %}{% set ns.s = ns.s ~ '<' ~ x %}{% endfor %}{{ ns.s }}", "<ab c<ab c<ab c",
         ".FFFF.FFFF.FFFF"},
        {"{% set s = '<' ~ x %}{% set t = s ~ '1' %}{% set u = s ~ x %}{{ s }}{{ t }}{{ u }}", "<ab c<ab c1<ab cab c", ".FFFF.FFFF..FFFFFFFF"},
        {"{{ [x, '<']|sort|join }}{{ [x, x]|unique|join }}{{ {'a': x}.values()|join }}", "<ab cab cab c", ".FFFFFFFFFFFF"},
        {"{{ ('<' ~ x)|center(9) }}{{ x.ljust(6, '.') }}", "  <ab c  ab c..", "...FFFF..FFFF.."},
        {"{{ ('<\\n' ~ x)|indent(2) }}", "<\n  ab c", "....FFFF"},
        {"{{ ('<' ~ x)|truncate(5, true, '.', 0) }}{{ ('<' ~ x)|truncate(4, true, '.', 0) }}", "<ab c<ab.", ".FFFF.FF."},
        {"{{ [('<' ~ x)]|map('upper')|join }}{{ ('<' ~ x)|list|join }}{{ ('<' ~ x)|reverse }}", "<AB C<ab cc ba<", ".FFFF.FFFFFFFF."},
        {"{{ x|length }}{{ x == 'ab c' }}{{ '<b>' if x else '' }}", "4True<b>", "........"},
        {"{{ {x: 1}|items|first|first }}{{ {x: '<'}[x] }}", "ab c<", "FFFF."},
        {"{{ strftime_now('<%Y>') }}{{ strftime_now(x ~ '%Y') }}", "<2026>ab c2026", "......FFFFFFFF"},
        {"{{ (x ~ '<')|string|safe|trim }}{{ ('<' ~ x).removeprefix('<') }}", "ab c<ab c", "FFFF.FFFF"},
        {"{{ ('\t' ~ x ~ '\t').expandtabs(2) }}{{ ('-' ~ x).zfill(7) }}", "  ab c  -00ab c", "..FFFF.....FFFF"},
    };
    struct vals *v = vals_create(1 << 20);
    struct value vars = val_map(v), d = val_map(v);
    val_set(v, d, "k", 1, true, val_str(v, "v<", 2, true));
    val_set(v, vars, "x", 1, false, val_str(v, "ab c", 4, true));
    val_set(v, vars, "d", 1, false, d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j = {.text = cases[i].text, .n = strlen(cases[i].text), .values = vars, .now = midday()};
        in_thread(render_it, &j);
        if (j.rc || strcmp(buf_str(&j.out), cases[i].out) != 0)
            fail_msg("%s gives %s", cases[i].text, j.rc ? j.err.msg : buf_str(&j.out));
        char tags[200] = "";
        memset(tags, '.', j.out.len);
        for (size_t k = 0; k < j.n_spans; k++) {
            assert_true(j.spans[k].from < j.spans[k].to && j.spans[k].to <= j.out.len && (k == 0 || j.spans[k - 1].to < j.spans[k].from));
            memset(tags + j.spans[k].from, 'F', j.spans[k].to - j.spans[k].from);
        }
        if (strcmp(tags, cases[i].tags) != 0)
            fail_msg("%s\n gives %s\n tags  %s\n not   %s", cases[i].text, cases[i].out, tags, cases[i].tags);
        job_done(&j);
    }
    vals_destroy(v);
}

#define SIGN "\xEE\x80\x81" /* U+E001, which no template holds */

/* A copy in which every text that a person or a model wrote has the sign in it. */
static json_t *signed_copy(const json_t *j, const char *key)
{
    static const char *const program[] = {"role", "type", "name", "id", "tool_call_id"};
    if (json_is_string(j)) {
        for (size_t i = 0; i < sizeof program / sizeof *program; i++)
            if (key && strcmp(key, program[i]) == 0)
                return json_deep_copy(j);
        size_t n = json_string_length(j);
        const char *s = json_string_value(j);
        char *text = mem_printf(SIGN "%.*s" SIGN, (int)n, s);
        json_t *r = json_string(text);
        free(text);
        return r;
    }
    json_t *r = json_is_array(j) ? json_array() : json_is_object(j) ? json_object() : json_deep_copy(j), *x;
    size_t i;
    const char *k;
    json_array_foreach(j, i, x)
        json_array_append_new(r, signed_copy(x, key));
    json_object_foreach((json_t *)(uintptr_t)j, k, x)
        json_object_set_new(r, k, signed_copy(x, k));
    return r;
}

/* Wherever a message's text ends up in a published template's output, a span covers it. */
static void published_provenance(void **state)
{
    (void)state;
    size_t signs = 0;
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        size_t n, k, here = 0;
        json_t *cases, *c;
        char *text = published_text(i, &n, &cases);
        json_array_foreach(cases, k, c) {
            json_t *vars = case_vars(c), *messages = signed_copy(json_object_get(c, "messages"), NULL);
            if (json_object_get(c, "tools"))
                json_object_set_new(vars, "tools", signed_copy(json_object_get(c, "tools"), NULL));
            json_object_set_new(vars, "messages", messages);
            struct vals *v = vals_create(1 << 24);
            struct job j = {.text = text, .n = n, .values = jvalue(v, vars, false), .now = case_now(c)};
            val_set(v, j.values, "messages", 8, false, jvalue(v, messages, true));
            if (json_object_get(c, "tools"))
                val_set(v, j.values, "tools", 5, false, jvalue(v, json_object_get(vars, "tools"), true));
            in_thread(render_it, &j);
            size_t at = 0;
            for (const char *p = buf_str(&j.out); j.rc == 0 && (p = strstr(p, SIGN)); p += strlen(SIGN)) {
                size_t from = (size_t)(p - buf_str(&j.out));
                while (at < j.n_spans && j.spans[at].to < from + strlen(SIGN))
                    at++;
                if (at == j.n_spans || j.spans[at].from > from)
                    fail_msg("%s, %s: foreign text at %zu is in no span", published[i], json_string_value(json_object_get(c, "case")), from);
                here++;
            }
            job_done(&j);
            vals_destroy(v);
            json_decref(vars);
        }
        if (here == 0)
            fail_msg("%s: no text came through", published[i]);
        signs += here;
        json_decref(cases);
        free(text);
    }
    assert_true(signs > 5000);
}

/* ---- markers ---- */

/* Ids that are no text, in a prompt of one user message. SIZE_MAX: the template refuses. */
static size_t special_ids(const struct tmpl *t, const struct tok *tok, const json_t *vars, const char *content, size_t n)
{
    struct vals *v = vals_create(1 << 20);
    struct value all = jvalue(v, vars, false), list = val_list(v), m = val_map(v);
    struct buf b = BUF_INIT(1 << 20);
    struct tok_span *spans = NULL;
    size_t n_spans = 0, r = SIZE_MAX;
    struct tm now = midday();
    val_set(v, m, "role", 4, false, val_str(v, "user", 4, false));
    val_set(v, m, "content", 7, false, val_str(v, content, n, true));
    val_add(v, list, m);
    val_set(v, all, "messages", 8, false, list);
    if (tmpl_render_vars(t, all, &now, &b, &spans, &n_spans, NULL, NULL) == 0) {
        struct tok_ids ids = {0};
        tok_encode(tok, buf_str(&b), b.len, TOK_SPECIAL, spans, n_spans, &ids);
        r = 0;
        for (size_t i = 0; i < ids.n; i++)
            r += tok_kind(tok, ids.id[i]) != TOK_NORMAL && tok_kind(tok, ids.id[i]) != TOK_BYTE;
        free(ids.id);
    }
    free(spans);
    buf_finish(&b);
    vals_destroy(v);
    return r;
}

/* A user who writes a template's markers, or the vocabulary's tokens, says these words and nothing more. */
static void markers(void **state)
{
    (void)state;
    static const char *const vocabs[] = {"smollm2", "qwen2", "deepseek-v3"};
    size_t tried = 0, real = 0;
    for (size_t k = 0; k < 3; k++) {
        char name[100];
        struct gguf *g;
        struct tok *tok;
        snprintf(name, sizeof name, "data/vocab/ggml-vocab-%s.gguf", vocabs[k]);
        assert_int_equal(gguf_open(t_shared(name), &g, NULL), 0);
        assert_int_equal(tok_open(g, &tok, NULL), 0);
        for (size_t i = 0; i < N_PUBLISHED; i++) {
            size_t n;
            json_t *cases;
            struct tmpl *t;
            char *text = published_text(i, &n, &cases);
            const json_t *vars = json_object_get(json_array_get(cases, 0), "vars");
            assert_int_equal(tmpl_open(text, n, &t, NULL), 0);
            size_t plain = special_ids(t, tok, vars, "ab", 2);
            real += plain != SIZE_MAX ? plain : 0;
            for (size_t a = 0; a < n; a++) {
                size_t e = a + 1;
                if (text[a] != '<' && text[a] != '[')
                    continue;
                while (e < n && e - a < 40 && !strchr(" \n'\"{}<[]>", text[e]))
                    e++;
                if (e == n || (text[e] != '>' && text[e] != ']'))
                    continue;
                char *content = mem_printf("a%.*sb", (int)(e + 1 - a), text + a);
                size_t got = special_ids(t, tok, vars, content, strlen(content));
                if (got != plain)
                    fail_msg("%s, %s: %s gives %zu special tokens, not %zu", vocabs[k], published[i], content, got, plain);
                free(content);
                tried++;
                a = e;
            }
            tmpl_close(t);
            json_decref(cases);
            free(text);
        }
        /* and each of the vocabulary's own */
        struct tmpl *t;
        json_t *none = json_loads("{\"add_generation_prompt\": true}", 0, NULL);
        assert_int_equal(tmpl_open("chatml", 6, &t, NULL), 0);
        size_t plain = special_ids(t, tok, none, "ab", 2);
        for (int32_t id = 0; id < tok_count(tok); id++) {
            struct buf b = BUF_INIT(1000);
            if (tok_kind(tok, id) != TOK_CONTROL && tok_kind(tok, id) != TOK_USER)
                continue;
            buf_addstr(&b, "a");
            tok_decode(tok, id, true, &b);
            buf_addstr(&b, "b");
            assert_int_equal(special_ids(t, tok, none, buf_str(&b), b.len), plain);
            buf_finish(&b);
            tried++;
        }
        tmpl_close(t);
        json_decref(none);
        tok_close(tok);
        gguf_close(g);
    }
    assert_true(tried > 1000);
    assert_true(real > 30); /* of the templates' own there are some */
}

/* ---- values, and speed ---- */

/* A prompt that is all seams. */
static void seams(void **state)
{
    (void)state;
    struct vals *v = vals_create(1 << 20);
    struct value vars = val_map(v);
    val_set(v, vars, "x", 1, false, val_str(v, "a", 1, true));
    static const char *const texts[] = {"{{ (x ~ 'b') * 1048576 }}", "{{ (x ~ 'b') * 1048577 }}"};
    for (int i = 0; i < 2; i++) {
        struct job j = {.text = texts[i], .n = strlen(texts[i]), .values = vars};
        in_thread(render_it, &j);
        assert_int_equal(j.rc, i ? ERR_INPUT : 0);
        assert_int_equal(j.n_spans, i ? 0 : 1048576);
        assert_int_equal(j.out.len, i ? 0 : 2097152);
        job_done(&j);
    }
    vals_destroy(v);
}

static void values(void **state)
{
    (void)state;
    struct vals *v = vals_create(4096);
    struct value m = val_map(v), l = val_list(v);
    size_t n;
    val_set(v, m, "a", 1, false, val_int(1));
    val_set(v, m, "a", 1, false, val_int(2));
    val_set(v, m, "s", 1, false, val_str(v, "x\0y", 3, true));
    assert_int_equal(val_get(m, "a").i, 2);
    assert_int_equal(val_get(m, "b").kind, VAL_ABSENT);
    assert_int_equal(val_get(l, "a").kind, VAL_ABSENT);
    assert_memory_equal(val_text(val_get(m, "s"), &n), "x\0y", 3);
    assert_int_equal(n, 3);
    assert_null(val_text(m, &n));
    for (int i = 0; i < 50; i++)
        val_add(v, l, val_float(i));
    assert_false(vals_over(v));
    val_str(v, "", 0, false);
    char big[5000] = {0};
    assert_int_equal(val_text(val_str(v, big, sizeof big, false), &n)[0], 0);
    assert_int_equal(n, 0);
    assert_true(vals_over(v));
    vals_destroy(v);
    vals_destroy(NULL);
    /* many members: the index, and numbers that are equal */
    v = vals_create(1 << 20);
    m = val_map(v);
    for (int i = 0; i < 1000; i++) {
        char key[20];
        val_set(v, m, key, (size_t)snprintf(key, sizeof key, "k%d", i % 500), false, val_int(i));
    }
    for (int i = 0; i < 500; i++) {
        char key[20];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(val_get(m, key).i, 500 + i);
    }
    vals_destroy(v);
}

#ifndef __SANITIZE_ADDRESS__
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
#endif

/* 100 messages of 1000 bytes: under 2 ms of this thread's time, the best of 20. */
static void speed(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#else
    static char content[100][1000];
    struct tmpl_msg m[100];
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 1000; k++)
            content[i][k] = "the quick brown fox\n"[(k * 7 + i) % 20];
        m[i] = (struct tmpl_msg){i % 2 ? "assistant" : "user", content[i], sizeof content[i]};
    }
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        size_t n;
        json_t *cases;
        struct tmpl *t;
        double best = 1e9;
        char *text = published_text(i, &n, &cases);
        assert_int_equal(tmpl_open(text, n, &t, NULL), 0);
        for (int k = 0; k < 20; k++) {
            struct buf b = BUF_INIT(1 << 20);
            struct tok_span *spans = NULL;
            size_t n_spans;
            double from = cpu_ms();
            int rc = tmpl_render(t, m, 100, &(struct tmpl_vars){.add_generation_prompt = true, .bos = "<s>", .eos = "</s>"}, &b, &spans, &n_spans, NULL);
            double took = cpu_ms() - from;
            best = took < best ? took : best;
            assert_true(rc == 0 || strstr(published[i], "firefunction")); /* which wants functions */
            free(spans);
            buf_finish(&b);
        }
        if (best > 2)
            fail_msg("%s: %.2f ms", published[i], best);
        tmpl_close(t);
        json_decref(cases);
        free(text);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jinja_cases), cmocka_unit_test(published_templates), cmocka_unit_test(positions), cmocka_unit_test(escapes),
        cmocka_unit_test(bombs), cmocka_unit_test(deep), cmocka_unit_test(large), cmocka_unit_test(language), cmocka_unit_test(given_is_kept),
        cmocka_unit_test(shared_template), cmocka_unit_test(provenance), cmocka_unit_test(published_provenance), cmocka_unit_test(markers), cmocka_unit_test(seams),
        cmocka_unit_test(values), cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests_name("model/jinja", tests, NULL, NULL);
}
