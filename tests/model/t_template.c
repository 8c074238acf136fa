/*
 * Chat templates as the engine uses them: messages in, a prompt and its spans out. The language itself is t_jinja's. The expected prompts were
 * rendered with Jinja2 (trim_blocks, lstrip_blocks) from the same template texts.
 */
#include "config.h"

#include "tests/t.h"

#include "base/mem.h"
#include "model/gguf.h"
#include "model/limits.h"
#include "model/template.h"

#define START "<|im_start|>"
#define END "<|im_end|>\n"
#define GEN START "assistant\n"
#define SMOLLM START "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face" END
#define QWEN START "system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant." END

static const char chatml_text[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static const char smollm_text[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
    "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

struct conv {
    int n;
    struct tmpl_msg m[6];
};
#define M(r, t) {r, t, sizeof(t) - 1}

static const struct conv convs[] = {
    {1, {M("user", "Hi")}},
    {4, {M("system", "Be brief."), M("user", "a\n\n"), M("assistant", " b "), M("user", "")}},
    {2, {M("user", "x"), M("system", "y")}},
    {1, {M("user", "<|im_end|>\n{{ 1 }}")}},
    {0, {{0}}},
    {5, {M("user", "q"), M("tool", "r1"), M("tool", "r2"), M("assistant", "z"), M("tool", "r3")}},
};

static struct tmpl *open_text(const char *s, size_t n, const char *name)
{
    struct tmpl *t = NULL;
    struct err err = {0};
    if (tmpl_open(s, n, &t, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(tmpl_name(t), name);
    return t;
}

static void check(const struct tmpl *t, const struct conv *c, bool gen, const char *want)
{
    struct buf b = BUF_INIT(1 << 20);
    struct tok_span *spans = NULL;
    size_t n_spans = 0, k = 0;
    struct err err = {0};
    buf_addstr(&b, "before");
    if (tmpl_render(t, c->m, (size_t)c->n, &(struct tmpl_vars){.add_generation_prompt = gen}, &b, &spans, &n_spans, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(buf_str(&b) + 6, want);
    /* Each message's text, unless it is empty, is one span, in order. */
    for (int i = 0; i < c->n; i++) {
        if (c->m[i].n == 0)
            continue;
        assert_true(k < n_spans);
        assert_int_equal(spans[k].to - spans[k].from, c->m[i].n);
        assert_memory_equal(b.data + spans[k].from, c->m[i].text, c->m[i].n);
        k++;
    }
    assert_int_equal(k, n_spans);
    free(spans);
    buf_finish(&b);
}

static void chatml(void **state)
{
    (void)state;
    static const char *const want[] = {
        START "user\nHi" END GEN,
        START "system\nBe brief." END START "user\na\n\n" END START "assistant\n b " END START "user\n" END GEN,
        START "user\nx" END START "system\ny" END GEN,
        START "user\n<|im_end|>\n{{ 1 }}" END GEN,
        GEN,
        START "user\nq" END START "tool\nr1" END START "tool\nr2" END START "assistant\nz" END START "tool\nr3" END GEN,
    };
    struct tmpl *named = open_text("chatml", 6, "chatml"), *text = open_text(chatml_text, sizeof chatml_text - 1, "chatml");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        check(named, &convs[i], true, want[i]);
        check(text, &convs[i], true, want[i]);
    }
    check(text, &convs[0], false, START "user\nHi" END);
    tmpl_close(named);
    tmpl_close(text);
    tmpl_close(NULL);
    assert_true(tmpl_builtin("chatml", 6));
    assert_false(tmpl_builtin("chatm", 5));
    assert_false(tmpl_builtin("chatml\n", 7));
}

static void smollm2(void **state)
{
    (void)state;
    static const char *const want[] = {
        SMOLLM START "user\nHi" END GEN,
        START "system\nBe brief." END START "user\na\n\n" END START "assistant\n b " END START "user\n" END GEN,
        SMOLLM START "user\nx" END START "system\ny" END GEN,
        SMOLLM START "user\n<|im_end|>\n{{ 1 }}" END GEN,
        GEN,
        SMOLLM START "user\nq" END START "tool\nr1" END START "tool\nr2" END START "assistant\nz" END START "tool\nr3" END GEN,
    };
    struct tmpl *t = open_text(smollm_text, sizeof smollm_text - 1, "chatml");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        check(t, &convs[i], true, want[i]);
    check(t, &convs[0], false, SMOLLM START "user\nHi" END);
    tmpl_close(t);
}

/* Variables: the tokens' texts, further ones, the clock. */
static void variables(void **state)
{
    (void)state;
    static const char text[] = "{{ bos_token }}[{{ eos_token }}]{% if tools is defined %}{{ tools|length }}{% endif %}"
                               "{{ ' thinks' if enable_thinking is defined and not enable_thinking }} {{ strftime_now('%d %b %Y') }}";
    struct tmpl *t = open_text(text, sizeof text - 1, "other");
    struct vals *v = vals_create(1 << 16);
    struct value extra = val_map(v);
    struct tm now = {.tm_year = 124, .tm_mon = 1, .tm_mday = 3};
    struct buf b = BUF_INIT(1000);
    assert_true(tmpl_uses(t, "enable_thinking") && tmpl_uses(t, "tools") && !tmpl_uses(t, "thinking") && !tmpl_uses(t, "length"));
    val_set(v, extra, "enable_thinking", 15, false, val_bool(false));
    val_set(v, extra, "bos_token", 9, false, val_str(v, "<B>", 3, false));
    assert_int_equal(tmpl_render(t, NULL, 0, &(struct tmpl_vars){.bos = "<s>", .now = &now}, &b, NULL, NULL, NULL), 0);
    assert_string_equal(buf_str(&b), "<s>[] 03 Feb 2024");
    buf_reset(&b);
    assert_int_equal(tmpl_render(t, NULL, 0, &(struct tmpl_vars){.bos = "<s>", .eos = "</s>", .extra = extra, .now = &now}, &b, NULL, NULL, NULL), 0);
    assert_string_equal(buf_str(&b), "<B>[</s>] thinks 03 Feb 2024");
    buf_reset(&b);
    assert_int_equal(tmpl_render(t, NULL, 0, &(struct tmpl_vars){0}, &b, NULL, NULL, NULL), 0); /* the clock of the house */
    assert_int_equal(b.len, strlen("[] 03 Feb 2024"));
    buf_finish(&b);
    vals_destroy(v);
    tmpl_close(t);
}

static void is_no_template(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where;
    } bad[] = {
        {"{{", "line 1, column 3"},
        {"{%", "line 1, column 3"},
        {"a\n {#", "line 2, column 2"},
        {"{{ 'a", "line 1, column 4"},
        {"{{ ) }}", "line 1, column 4"},
        {"\n\n  {% for message in messages %}x", "line 3, column 6"},
        {"{% if x %}\n{% endfor %}", "line 2, column 4"},
        {"\xC3\xA4\xC3\xA4 {{ a b }}", "line 1, column 9"},
        {"{% include 'a' %}", "not allowed"},
        {"{% raw %}", "line 1, column 1"},
    };
    struct tmpl *t = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        assert_int_equal(tmpl_open(bad[i].text, strlen(bad[i].text), &t, &err), ERR_FORMAT);
        assert_null(t);
        if (!strstr(err.msg, bad[i].where) || !strstr(err.msg, "--template chatml"))
            fail_msg("%s: %s", bad[i].text, err.msg);
    }
    /* size: the limit, and one byte more */
    char *big = mem_alloc(LIMIT_TMPL_SOURCE + 1);
    memset(big, 'a', LIMIT_TMPL_SOURCE + 1);
    assert_int_equal(tmpl_open(big, LIMIT_TMPL_SOURCE + 1, &t, NULL), ERR_FORMAT);
    assert_int_equal(tmpl_open(big, LIMIT_TMPL_SOURCE, &t, NULL), 0);
    tmpl_close(t);
    /* every cut of a template ends in a template or in an error */
    for (size_t i = 0; i < sizeof smollm_text - 1; i++)
        if (tmpl_open(smollm_text, i, &t, NULL) == 0)
            tmpl_close(t);
    free(big);
}

static void roles_and_limits(void **state)
{
    (void)state;
    struct tmpl *t = open_text("chatml", 6, "chatml");
    static const char *const bad[] = {"", "us er", "user\n", "<|im_end|>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tmpl_msg m = {bad[i], "x", 1};
        struct buf b = BUF_INIT(1000);
        struct err err = {0};
        assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &b, NULL, NULL, &err), ERR_INPUT);
        assert_non_null(strstr(err.msg, "message 1"));
        buf_finish(&b);
    }
    struct tmpl_msg m = {"user", "a\0b", 3};
    struct buf b = BUF_INIT(1000);
    assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &b, NULL, NULL, NULL), 0);
    assert_int_equal(b.len, 12 + 5 + 3 + 11);
    assert_memory_equal(b.data + 17, "a\0b", 3);
    buf_finish(&b);
    struct buf small = BUF_INIT(20);
    struct err err = {0};
    buf_addstr(&small, "kept");
    assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &small, NULL, NULL, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "20 bytes"));
    assert_string_equal(buf_str(&small), "kept");
    buf_finish(&small);
    tmpl_close(t);
    /* a role that no template knows is foreign, too */
    struct tok_span *spans = NULL;
    size_t n = 0;
    struct tmpl_msg odd = {"endoftext", "x", 1};
    static const char phi[] = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}";
    t = open_text(phi, sizeof phi - 1, "other");
    b = BUF_INIT(1000);
    assert_int_equal(tmpl_render(t, &odd, 1, &(struct tmpl_vars){0}, &b, &spans, &n, NULL), 0);
    assert_string_equal(buf_str(&b), "<|endoftext|>x");
    assert_int_equal(n, 2);
    assert_true(spans[0].from == 2 && spans[0].to == 11 && spans[1].from == 13 && spans[1].to == 14);
    free(spans);
    buf_finish(&b);
    tmpl_close(t);
}

static void refusals(void **state)
{
    (void)state;
    static const char text[] = "{% if messages[0].role == 'system' %}\n{{ raise_exception('System role not supported') }}{% endif %}"
                               "{{ messages[0].content.no.such }}";
    struct tmpl *t = open_text(text, sizeof text - 1, "other");
    struct tmpl_msg m = {"system", "x", 1};
    struct buf b = BUF_INIT(1000);
    struct err err = {0};
    assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &b, NULL, NULL, &err), ERR_INPUT);
    assert_string_equal(err.msg, "the chat template refuses this conversation: System role not supported");
    m.role = "user";
    assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &b, NULL, NULL, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "line 2, column 87: the string has no member 'no'"));
    assert_int_equal(b.len, 0);
    buf_finish(&b);
    tmpl_close(t);
}

/* ---- goldens ---- */

static struct tmpl *of_file(const char *file, const char *name)
{
    struct gguf *g;
    struct gguf_str s;
    struct err err = {0};
    if (gguf_open(t_shared(file), &g, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gguf_get_str(g, "tokenizer.chat_template", &s, &err), 1);
    struct tmpl *t = open_text(s.s, s.n, name);
    gguf_close(g);
    return t;
}

static void templates_of_files(void **state)
{
    (void)state;
    static const char *const want[] = {
        QWEN START "user\nHi" END GEN,
        START "system\nBe brief." END START "user\na\n\n" END START "assistant\n b " END START "user\n" END GEN,
        QWEN START "user\nx" END START "system\ny" END GEN,
        QWEN START "user\n<|im_end|>\n{{ 1 }}" END GEN,
        NULL,
        QWEN START "user\nq" END START "user\n<tool_response>\nr1\n</tool_response>\n<tool_response>\nr2\n</tool_response>" END START
        "assistant\nz" END START "user\n<tool_response>\nr3\n</tool_response>" END GEN,
    };
    struct tmpl *t = of_file("data/vocab/ggml-vocab-qwen2.gguf", "chatml");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (want[i])
            check(t, &convs[i], true, want[i]);
    struct buf b = BUF_INIT(100);
    assert_int_equal(tmpl_render(t, NULL, 0, &(struct tmpl_vars){0}, &b, NULL, NULL, NULL), ERR_FORMAT); /* it looks at messages[0] */
    tmpl_close(t);
    tmpl_close(of_file("data/vocab/ggml-vocab-smollm2.gguf", "chatml"));
    tmpl_close(of_file("goldens/llama.gguf", "chatml"));
    tmpl_close(of_file("goldens/quant-models/Q4_1.gguf", "chatml"));
}

/* What is wrong shows when it is read or when it is rendered, and is said either way. */
static void hostile_templates(void **state)
{
    (void)state;
    static const char *const names[] = {"endless-loop", "deep-1mb", "grows", "syntax"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[100];
        struct gguf *g;
        struct gguf_str s;
        struct err err = {0};
        struct tmpl *t = NULL;
        struct buf b = BUF_INIT(LIMIT_TMPL_OUTPUT);
        snprintf(file, sizeof file, "goldens/gguf-bad/template-%s.gguf", names[i]);
        if (gguf_open(t_shared(file), &g, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(gguf_get_str(g, "tokenizer.chat_template", &s, &err), 1);
        int rc = tmpl_open(s.s, s.n, &t, &err);
        if (rc == 0)
            rc = tmpl_render(t, convs[0].m, 1, &(struct tmpl_vars){0}, &b, NULL, NULL, &err);
        assert_int_equal(rc, ERR_FORMAT);
        assert_non_null(strstr(err.msg, "line 1"));
        assert_int_equal(b.len, 0);
        buf_finish(&b);
        tmpl_close(t);
        gguf_close(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chatml), cmocka_unit_test(smollm2), cmocka_unit_test(variables), cmocka_unit_test(is_no_template),
        cmocka_unit_test(roles_and_limits), cmocka_unit_test(refusals), cmocka_unit_test(templates_of_files), cmocka_unit_test(hostile_templates),
    };
    return cmocka_run_group_tests_name("model/template", tests, NULL, NULL);
}
