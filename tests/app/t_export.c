/* Export and import: what goes out comes back the same, and what is not ours is refused whole. */
#include "config.h"
#include "tests/history/th.h"

#include "app/app.h"

static char *export(struct hist *h, int64_t id, enum export_format f)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    OK(export_session(h, id, f, &b, E));
    return buf_take(&b);
}

/* The same but for the uid. */
static void same_text(char *a, char *b)
{
    char *ua = strstr(a, "\"uid\": \""), *ub = strstr(b, "\"uid\": \"");
    assert_true(ua && ub && strncmp(ua, ub, 34) != 0);
    memset(ua + 8, 'X', 26);
    memset(ub + 8, 'X', 26);
    assert_string_equal(a, b);
}

static int64_t import(struct hist *h, const char *json)
{
    int64_t id = 0;
    int n = 0;
    OK(import_sessions(h, json, strlen(json), &n, E));
    assert_int_equal(n, 1);
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    for (size_t i = 0; i < l.n; i++)
        id = l.at[i].id > id ? l.at[i].id : id;
    hist_list_finish(&l);
    return id;
}

/* Branches, reasoning, bytes that are no text, provenance, an answer still being written. */
static int64_t build(struct hist *h)
{
    int64_t s, user, node, late, id;
    struct hist_model m = {.name = "tiny", .file = "/secret/tiny.gguf", .fingerprint = "f00", .arch = "llama", .quant = "Q4_1", .ctx_train = 2048};
    struct hist_gen g = {.params = "{\"temp\":0.8,\"stop\":[\"a\"]}", .seed = UINT64_MAX, .backend = "cpu", .engine = "hadal 0.1", .n_prompt = 12, .n_cached = 3,
                         .n_reason = 4, .n_out = 9, .load_ms = 0.25, .prefill_ms = 1.5, .ttft_ms = 2, .decode_ms = 100.125, .stop = "eog"};
    OK(hist_model_put(h, &m, &g.model_id, E));
    OK(hist_session_new(h, &s, E));
    OK(hist_session_set_system(h, s, "Be \"brief\" \xff\n", E));
    OK(hist_session_set_params(h, s, "{\"temp\":0.1}", E));
    OK(hist_turn_begin(h, s, 0, "nul \0 bad \xc3 ok ü \x1b[31m", 23, &user, &node, E));
    OK(hist_append(h, node, HIST_REASONING, "hm", 2, E));
    OK(hist_append(h, node, HIST_TEXT, "日本", 6, E));
    OK(hist_turn_end(h, node, HIST_FINAL, &g, E));
    m = (struct hist_model){.name = "other"};
    OK(hist_model_put(h, &m, &g.model_id, E));
    g.seed = 42;
    g.params = NULL;
    g.error = "it broke";
    OK(hist_turn_begin(h, s, user, NULL, 0, NULL, &node, E));
    OK(hist_turn_end(h, node, HIST_ERROR, &g, E));
    struct hist_part parts[] = {{HIST_TOOL_RESULT, (char *)(uintptr_t)"", 0}, {HIST_TEXT, (char *)(uintptr_t)"t\0t", 3}};
    OK(hist_node_put(h, s, node, HIST_TOOL, HIST_FINAL, 12345, parts, 2, &id, E));
    OK(hist_turn_begin(h, s, id, "last", 4, NULL, &late, E));
    OK(hist_append(h, late, HIST_TEXT, "half an ans", 11, E));
    OK(hist_draft_set(h, s, "next", E));
    OK(hist_session_rename(h, s, "Tïtle", true, E));
    OK(hist_head_set(h, s, node, E));
    return s;
}

static void round_trip(void **state)
{
    (void)state;
    struct hist *h = th_open(), *second;
    char other[120];
    snprintf(other, sizeof other, "%s/other.db", th_dir);
    int64_t s = build(h);
    char *a = export(h, s, EXPORT_JSON);
    assert_null(strstr(a, "secret"));
    assert_null(strchr(a, '\x1b'));
    OK(hist_open(other, false, &second, E));
    int64_t t = import(second, a);
    char *b = export(second, t, EXPORT_JSON);
    same_text(a, b);
    struct hist_session x, y;
    OK(hist_session_get(h, s, &x, E));
    OK(hist_session_get(second, t, &y, E));
    assert_true(x.n_messages == y.n_messages && x.n_branches == y.n_branches && x.created_ms == y.created_ms && x.updated_ms == y.updated_ms);
    assert_string_equal(x.system, y.system);
    hist_session_finish(&x);
    hist_session_finish(&y);
    struct hist_path p, q;
    OK(hist_nodes(h, s, &p, E));
    OK(hist_nodes(second, t, &q, E));
    assert_int_equal(p.n, q.n);
    for (size_t i = 0; i < p.n; i++) {
        assert_int_equal(p.at[i].n_parts, q.at[i].n_parts);
        assert_int_equal(q.at[i].state, p.at[i].state == HIST_STREAMING ? HIST_INTERRUPTED : p.at[i].state);
        for (size_t k = 0; k < p.at[i].n_parts; k++) {
            assert_int_equal(p.at[i].parts[k].n, q.at[i].parts[k].n);
            assert_memory_equal(p.at[i].parts[k].text, q.at[i].parts[k].text, p.at[i].parts[k].n);
        }
    }
    struct hist_gen g;
    assert_int_equal(hist_gen_get(second, q.at[1].id, &g, NULL), 1);
    assert_true(g.seed == UINT64_MAX && g.decode_ms == 100.125);
    hist_gen_finish(&g);
    hist_path_finish(&p);
    hist_path_finish(&q);
    struct hist_hits hits;
    OK(hist_search(second, "日本", 0, &hits, E));
    assert_int_equal(hits.n, 1);
    hist_hits_finish(&hits);
    /* Once more beside itself. */
    char *c = export(second, import(second, b), EXPORT_JSON);
    memcpy(strstr(b, "\"uid\": \"") + 8, "YYYYYYYYYYYYYYYYYYYYYYYYYY", 26);
    same_text(b, c);
    OK(hist_check(second, E));
    hist_close(second);
    hist_close(h);
    free(a);
    free(b);
    free(c);
}

#define HEAD "{\"format\":\"hadal\",\"version\":1,\"title\":\"t\","

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *why;
    } c[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"{} x", "not JSON"},
        {"{}", "no \"format\""},
        {"3", "not JSON"},
        {"[3]", "session 1: not a session"},
        {"{\"format\":\"other\",\"version\":1}", "no \"format\""},
        {"{\"format\":\"hadal\"}", "no \"version\""},
        {"{\"format\":\"hadal\",\"version\":2}", "version 2"},
        {"{\"format\":\"hadal\",\"version\":\"1\"}", "\"version\" is not a whole number"},
        {"{\"format\":\"hadal\",\"format\":\"hadal\",\"version\":1}", "not JSON"},
        {HEAD "\"pinned\":1}", "\"pinned\""},
        {HEAD "\"title_src\":\"cat\"}", "unknown \"cat\""},
        {HEAD "\"system\":5}", "\"system\""},
        {HEAD "\"system\":\"a\\u0000b\"}", "NUL"},
        {HEAD "\"system\":{\"bytes_hex\":\"0\"}}", "bytes_hex"},
        {HEAD "\"system\":{\"bytes_hex\":\"0g\"}}", "bad digit"},
        {HEAD "\"params\":[]}", "\"params\" is not an object"},
        {HEAD "\"created_ms\":-1}", "\"created_ms\""},
        {HEAD "\"created_ms\":1e5}", "\"created_ms\""},
        {HEAD "\"created_ms\":99999999999999999}", "\"created_ms\""},
        {HEAD "\"models\":{}}", "\"models\" is not a list"},
        {HEAD "\"models\":[7]}", "model 0 is not an object"},
        {HEAD "\"models\":[{\"fingerprint\":\"x\"}]}", "no \"name\""},
        {HEAD "\"nodes\":3}", "\"nodes\" is not a list"},
        {HEAD "\"nodes\":[3]}", "message 1: it is not an object"},
        {HEAD "\"nodes\":[{\"role\":\"user\"}]}", "message 1: its \"id\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\"},{\"id\":1,\"role\":\"user\"}]}", "message 2: its \"id\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parent\":1}]}", "parent 1 does not stand before it"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parent\":2},{\"id\":2,\"role\":\"user\",\"parent\":1}]}", "parent 2 does not stand before it"},
        {HEAD "\"nodes\":[{\"id\":5,\"role\":\"user\",\"parent\":4}]}", "parent 4 does not"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parent\":\"1\"}]}", "\"parent\" is not"},
        {HEAD "\"nodes\":[{\"id\":1}]}", "\"role\" is missing"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":3}]}", "\"role\" is not a string"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"robot\"}]}", "unknown \"robot\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"state\":\"lost\"}]}", "unknown \"lost\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parts\":{}}]}", "\"parts\" is not a list"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parts\":[1]}]}", "part 1 is not an object"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parts\":[{}]}]}", "part 1 has no \"text\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":[]}]}]}", "\"text\" is neither"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"parts\":[{\"kind\":\"x\",\"text\":\"\"}]}]}", "unknown \"x\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":1}]}", "\"generation\" is not an object"},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":{\"model\":0}}]}", "\"model\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":{\"seed\":-1}}]}", "\"seed\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":{\"seed\":\"18446744073709551616\"}}]}", "\"seed\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":{\"n_out\":4000000000}}]}", "\"n_out\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\",\"generation\":{\"ttft_ms\":-0.5}}]}", "\"ttft_ms\""},
        {HEAD "\"nodes\":[{\"id\":1,\"role\":\"user\"}],\"head\":2}", "head 2 is none"},
        {"[" HEAD "\"nodes\":[]}," HEAD "\"nodes\":[{\"id\":0}]}]", "session 2, message 1: "},
    };
    struct hist *h = th_open();
    struct hist_list l;
    struct err err;
    int n = -1;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        err = (struct err){0};
        assert_int_equal(import_sessions(h, c[i].json, strlen(c[i].json), &n, &err), ERR_INPUT);
        if (!strstr(err.msg, c[i].why) || strchr(err.msg, '\n'))
            fail_msg("%s: \"%s\" without \"%s\"", c[i].json, err.msg, c[i].why);
    }
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    assert_int_equal(import_sessions(h, deep, 200000, &n, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "nested"));
    free(deep);
    assert_int_equal(n, -1);
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 0);
    OK(import_sessions(h, "[]", 2, &n, E));
    assert_int_equal(n, 0);
    static const char two[] = "[" HEAD "\"later\":[{}],\"nodes\":[{\"id\":7,\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]}],\"head\":7}," HEAD "\"nodes\":[]}]";
    OK(import_sessions(h, two, sizeof two - 1, &n, E));
    assert_int_equal(n, 2);
    hist_close(h);
}

/* Any damage to a good export is taken or refused whole; the history stays sound. */
static void mutated(void **state)
{
    (void)state;
    struct hist *h = th_open();
    char *good = export(h, build(h), EXPORT_JSON), *bad = malloc(strlen(good) + 1);
    size_t n = strlen(good), had, taken = 0;
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    had = l.n;
    hist_list_finish(&l);
    for (int round = 0; round < 400; round++) {
        static const char bits[] = "\"\\{}[],:0123456789-eu x\xff";
        struct err err = {0};
        int in;
        memcpy(bad, good, n + 1);
        for (int i = 0; i < 1 + round % 4; i++)
            bad[th_random() % n] = bits[th_random() % (sizeof bits - 1)];
        if (import_sessions(h, bad, round % 10 ? n : th_random() % n, &in, &err) == 0)
            taken += (size_t)in;
        else if (!err.msg[0] || strchr(err.msg, '\n'))
            fail_msg("no sentence: %s", err.msg);
    }
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, had + taken);
    assert_true(taken > 5 && taken < 395);
    hist_list_finish(&l);
    OK(hist_check(h, E));
    hist_close(h);
    free(good);
    free(bad);
}

static void markdown(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    static const char json[] =
        "{\"format\":\"hadal\",\"version\":1,\"title\":\"Ti\\ntle\",\"created_ms\":1700000000000,\"updated_ms\":1700000100000,\"system\":\"Be brief.\","
        "\"models\":[{\"name\":\"tiny\"},{\"name\":\"big\"}],\"head\":4,\"nodes\":["
        "{\"id\":1,\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"Show me:\\n```c\\nint x;\\n```\"}]},"
        "{\"id\":2,\"parent\":1,\"role\":\"assistant\",\"parts\":[{\"kind\":\"reasoning\",\"text\":\"First\\n\\n</details> ```\\n\"},"
        "{\"kind\":\"text\",\"text\":\"Here ``x`` and\\n\\n~~~~ c\\n```\\n~~~\\nx = 1\"}],\"state\":\"interrupted\",\"generation\":{\"model\":1}},"
        "{\"id\":3,\"parent\":2,\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"bad\"},{\"kind\":\"attachment\",\"text\":\"file\\n\"}]},"
        "{\"id\":4,\"parent\":3,\"role\":\"assistant\",\"parts\":[{\"kind\":\"text\",\"text\":{\"bytes_hex\":\"61ff62\"}}],\"generation\":{\"model\":0}},"
        "{\"id\":5,\"parent\":3,\"role\":\"assistant\",\"parts\":[{\"kind\":\"text\",\"text\":\"elsewhere\"}]}]}";
    struct hist *h = th_open();
    int64_t id = import(h, json);
    char *md = export(h, id, EXPORT_MD), *at = strstr(md, "- Session: ");
    assert_non_null(at);
    memset(at + 11, 'x', 6);
    assert_string_equal(md, "# Ti tle\n\n"
                            "- Model: tiny\n"
                            "- Date: 2023-11-14 22:13, last message 2023-11-14 22:15\n"
                            "- Session: xxxxxx\n"
                            "\n## System\n\nBe brief.\n"
                            "\n## You\n\nShow me:\n```c\nint x;\n```\n"
                            "\n## Assistant (big)\n\n"
                            "<details><summary>Reasoning</summary>\n\n> First\n>\n> &lt;/details> ```\n\n</details>\n\n"
                            "Here ``x`` and\n\n~~~~ c\n```\n~~~\nx = 1\n~~~~\n"
                            "\n*(interrupted)*\n"
                            "\n## You\n\nbad\n\n**Attachment**\n\nfile\n"
                            "\n## Assistant\n\na\xef\xbf\xbd" "b\n");
    free(md);
    enum export_format f = EXPORT_JSON;
    assert_true(export_format_parse("md", &f) && f == EXPORT_MD && export_format_parse("JSON", &f) && f == EXPORT_JSON);
    assert_true(export_format_parse("html", &f) && f == EXPORT_HTML);
    assert_false(export_format_parse("pdf", &f));
    struct buf small = BUF_INIT(50);
    assert_int_equal(export_session(h, id, EXPORT_MD, &small, NULL), ERR_HISTORY);
    assert_int_equal(export_session(h, 999, EXPORT_MD, &small, NULL), ERR_HISTORY);
    buf_finish(&small);
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {th_case(round_trip), th_case(refused), th_case(mutated), th_case(markdown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
