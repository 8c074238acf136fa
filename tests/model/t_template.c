/*
 * Chat templates. The expected prompts were rendered with Jinja2 (trim_blocks, lstrip_blocks) from the same template texts.
 */
#include "config.h"

#include "tests/t.h"

#include <jansson.h>

#include "base/mem.h"
#include "model/gguf.h"
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
    size_t n_spans = 0;
    struct err err = {0};
    buf_addstr(&b, "before");
    if (tmpl_render(t, c->m, (size_t)c->n, &(struct tmpl_vars){.add_generation_prompt = gen}, &b, &spans, &n_spans, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(buf_str(&b) + 6, want);
    /* Each message's text is one span, in order. */
    assert_int_equal(n_spans, c->n);
    for (int i = 0; i < c->n; i++) {
        assert_int_equal(spans[i].to - spans[i].from, c->m[i].n);
        assert_memory_equal(b.data + spans[i].from, c->m[i].text, c->m[i].n);
    }
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
    struct tmpl *t = open_text(smollm_text, sizeof smollm_text - 1, "smollm2");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        check(t, &convs[i], true, want[i]);
    check(t, &convs[0], false, SMOLLM START "user\nHi" END);
    tmpl_close(t);
}

static void qwen25(void **state)
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
    struct tmpl *t = open_text("qwen2.5", 7, "qwen2.5");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (want[i])
            check(t, &convs[i], true, want[i]);
    struct buf b = BUF_INIT(100);
    struct err err = {0};
    assert_int_equal(tmpl_render(t, NULL, 0, &(struct tmpl_vars){0}, &b, NULL, NULL, &err), ERR_INPUT);
    tmpl_close(t);
}

/* The same program written in other ways is the same template. */
static void other_spellings(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{%- for message in messages -%}\n{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n{{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}\n",
        "{% for message in messages %}\n<|im_start|>{{ message['role'] + '\\n' }}{{ message['content'] }}<|im_end|>\n  {% endfor %}\n"
        "  {% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}\n",
        "{# a comment #}\r\n{% for message in messages %}\r\n<|im_start|>{{ message[\"role\"] ~ \"\\n\" }}{{ message['content'] }}<|im_end|>\r\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}",
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% for message in messages %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        tmpl_close(open_text(same[i], strlen(same[i]), "chatml"));
}

static void refuse(const char *s, size_t n)
{
    struct tmpl *t = NULL;
    struct err err = {0};
    assert_int_equal(tmpl_open(s, n, &t, &err), ERR_FORMAT);
    assert_null(t);
    assert_non_null(strstr(err.msg, "--template chatml"));
}

/* A small difference in meaning is another template. */
static void others_are_refused(void **state)
{
    (void)state;
    static const char *const others[] = {
        "", "chatm", "hello", "{", "{{", "{%", "{#", "{{ 'a", "{{ 'a\\", "{{ ) }}", "{% for message in messages %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if not add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}",
        "{% for message in messages %}{{'<|im_start|>' + 'message[role]' + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{{ '{%for message in messages%}<|im_start|>{{message [ \\'role\\' ]}}\n{{message [ \\'content\\' ]}}<|im_end|>\n{%endfor%}"
        "{%if add_generation_prompt%}<|im_start|>assistant\n{%endif%}' }}",
        "{% raw %}{% for message in messages %}{% endraw %}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        refuse(others[i], strlen(others[i]));
    refuse("chatml\0", 7);
    size_t n = 1 << 20;
    char *deep = mem_alloc(n);
    memset(deep, '(', n);
    memcpy(deep, "{{", 2);
    refuse(deep, n);
    refuse(deep, 60000);
    memset(deep, '{', n);
    refuse(deep, 60000);
    free(deep);
    /* every cut of a known one */
    for (size_t i = 7; i < sizeof smollm_text - 1; i++)
        refuse(smollm_text, i);
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
    assert_int_equal(tmpl_render(t, &m, 1, &(struct tmpl_vars){0}, &small, NULL, NULL, NULL), ERR_INPUT);
    buf_finish(&small);
    tmpl_close(t);
}

/* ---- goldens ---- */

static void of_file(const char *file, const char *name)
{
    struct gguf *g;
    struct gguf_str s;
    struct err err = {0};
    if (gguf_open(t_shared(file), &g, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gguf_get_str(g, "tokenizer.chat_template", &s, &err), 1);
    tmpl_close(open_text(s.s, s.n, name));
    gguf_close(g);
}

static void templates_of_files(void **state)
{
    (void)state;
    of_file("data/vocab/ggml-vocab-smollm2.gguf", "smollm2");
    of_file("data/vocab/ggml-vocab-qwen2.gguf", "qwen2.5");
    of_file("goldens/llama.gguf", "chatml");
    of_file("goldens/quant-models/Q4_1.gguf", "chatml");
}

static void hostile_templates(void **state)
{
    (void)state;
    static const char *const names[] = {"endless-loop", "deep-1mb", "grows", "syntax"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[100];
        struct gguf *g;
        struct gguf_str s;
        struct err err = {0};
        snprintf(file, sizeof file, "goldens/gguf-bad/template-%s.gguf", names[i]);
        if (gguf_open(t_shared(file), &g, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(gguf_get_str(g, "tokenizer.chat_template", &s, &err), 1);
        refuse(s.s, s.n);
        gguf_close(g);
    }
}

/* data/templates/expected: the cases without tools. */
static void expected_qwen(void **state)
{
    (void)state;
    json_error_t je;
    json_t *all = json_load_file(t_shared("data/templates/expected/Qwen-Qwen2.5-7B-Instruct.json"), 0, &je);
    assert_non_null(all);
    FILE *f = fopen(t_shared("data/templates/Qwen-Qwen2.5-7B-Instruct.jinja"), "rb");
    static char text[65536];
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct tmpl *t = open_text(text, n, "qwen2.5");
    int done = 0;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i), *msgs = json_object_get(c, "messages"), *vars = json_object_get(c, "vars");
        struct conv conv = {0};
        bool fits = !json_object_get(c, "tools") && json_object_get(c, "output") && json_array_size(msgs) <= 6;
        for (size_t k = 0; fits && k < json_array_size(msgs); k++) {
            const json_t *m = json_array_get(msgs, k), *text_j = json_object_get(m, "content");
            fits = json_is_string(text_j) && !json_object_get(m, "tool_calls");
            const char *role = json_string_value(json_object_get(m, "role"));
            fits = fits && strcmp(role, "narrator") != 0 && strcmp(role, "developer") != 0; /* have no span: not rendered */
            conv.m[conv.n++] = (struct tmpl_msg){role, json_string_value(text_j), json_string_length(text_j)};
        }
        if (!fits)
            continue;
        check(t, &conv, json_is_true(json_object_get(vars, "add_generation_prompt")), json_string_value(json_object_get(c, "output")));
        done++;
    }
    assert_true(done >= 20);
    tmpl_close(t);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chatml), cmocka_unit_test(smollm2), cmocka_unit_test(qwen25), cmocka_unit_test(other_spellings),
        cmocka_unit_test(others_are_refused), cmocka_unit_test(roles_and_limits), cmocka_unit_test(templates_of_files),
        cmocka_unit_test(hostile_templates), cmocka_unit_test(expected_qwen),
    };
    return cmocka_run_group_tests_name("model/template", tests, NULL, NULL);
}
