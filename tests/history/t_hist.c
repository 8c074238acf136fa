/* History: sessions, turns, the tree, provenance, drafts, prompts typed before, finding a session. */
#include "config.h"
#include "tests/history/th.h"

#include "base/clock.h"

static void a_turn(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h), user, node;
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 0); /* nothing is in it yet */
    OK(hist_draft_set(h, s, "Why is", E));
    OK(hist_turn_begin(h, s, 0, "  \n Why is the sky blue?\nSay it shortly.", 41, &user, &node, E));
    OK(hist_append(h, node, HIST_REASONING, "They ask ", 9, E));
    OK(hist_append(h, node, HIST_REASONING, "about light.", 12, E));
    OK(hist_append(h, node, HIST_TEXT, "Air scatters ", 13, E));
    OK(hist_append(h, node, HIST_TEXT, "\0\xff\x80 blue", 8, E));

    struct hist_path p;
    OK(hist_path_get(h, s, 0, &p, E));
    assert_int_equal(p.n, 2);
    assert_int_equal(p.at[0].id, user);
    assert_int_equal(p.at[0].role, HIST_USER);
    assert_int_equal(p.at[0].state, HIST_FINAL);
    assert_int_equal(p.at[0].parent, 0);
    assert_int_equal(p.at[1].parent, user);
    assert_int_equal(p.at[1].state, HIST_STREAMING);
    assert_int_equal(p.at[1].n_parts, 2);
    assert_int_equal(p.at[1].parts[0].kind, HIST_REASONING);
    assert_string_equal(p.at[1].parts[0].text, "They ask about light.");
    size_t n;
    const char *text = hist_node_text(&p.at[1], &n);
    assert_int_equal(n, 21);
    assert_memory_equal(text, "Air scatters \0\xff\x80 blue", 22);
    hist_path_finish(&p);

    struct hist_gen g = {.params = "{\"temp\":0.5}", .seed = UINT64_MAX - 6, .backend = "cpu", .engine = "hadal", .n_prompt = 12, .n_cached = 3,
                         .n_reason = 4, .n_out = 9, .load_ms = 0.25, .prefill_ms = 1.5, .ttft_ms = 2, .decode_ms = 100.125, .stop = "eog"};
    struct hist_model m = {.name = "tiny", .file = "tiny.gguf", .fingerprint = "f00", .arch = "llama", .quant = "Q4_1", .ctx_train = 2048};
    OK(hist_model_put(h, &m, &g.model_id, E));
    OK(hist_turn_end(h, node, HIST_FINAL, &g, E));
    assert_int_equal(hist_append(h, node, HIST_TEXT, "x", 1, NULL), ERR_HISTORY);
    assert_int_equal(hist_turn_end(h, node, HIST_FINAL, NULL, NULL), ERR_HISTORY);

    struct hist_gen back;
    assert_int_equal(hist_gen_get(h, node, &back, NULL), 1);
    assert_string_equal(back.params, g.params);
    assert_true(back.seed == g.seed && back.decode_ms == g.decode_ms && back.model_id == g.model_id && back.n_out == 9 && !back.error);
    hist_gen_finish(&back);
    assert_int_equal(hist_gen_get(h, user, &back, NULL), 0);

    struct hist_session info;
    OK(hist_session_get(h, s, &info, E));
    assert_string_equal(info.title, "Why is the sky blue?");
    assert_string_equal(info.title_src, "auto");
    assert_string_equal(info.model, "tiny");
    assert_int_equal(info.n_messages, 2);
    assert_int_equal(info.n_branches, 1);
    assert_int_equal(info.head, node);
    assert_null(info.draft);
    assert_true(info.created_ms > 0 && info.updated_ms >= info.created_ms && info.updated_ms <= clock_wall_ms());
    hist_session_finish(&info);
    hist_close(h);
}

static void versions(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h), leaf;
    int64_t a1 = th_turn(h, s, 0, "one", "first");
    struct hist_path p;
    OK(hist_path_get(h, s, 0, &p, E));
    int64_t u1 = p.at[0].id;
    hist_path_finish(&p);
    int64_t b1 = th_turn(h, s, a1, "two", "second");
    int64_t a2 = th_turn(h, s, u1, NULL, "another first"); /* regenerated */
    int64_t c1 = th_turn(h, s, 0, "one, differently", "third"); /* the first prompt edited */
    OK(hist_path_get(h, s, 0, &p, E));
    assert_int_equal(p.n, 2);
    assert_int_equal(p.at[0].version, 2);
    assert_int_equal(p.at[0].n_versions, 2);
    assert_string_equal(th_text(&p.at[1]), "third");
    hist_path_finish(&p);
    OK(hist_path_get(h, s, a2, &p, E));
    assert_int_equal(p.at[1].version, 2);
    assert_int_equal(p.at[1].n_versions, 2);
    hist_path_finish(&p);
    OK(hist_nodes(h, s, &p, E));
    assert_int_equal(p.n, 7);
    for (size_t i = 0; i < p.n; i++)
        assert_true(p.at[i].parent < p.at[i].id);
    assert_int_equal(p.at[4].id, a2);
    assert_int_equal(p.at[4].version, 2);
    hist_path_finish(&p);
    /* Back to the first prompt: the way that was gone last. */
    OK(hist_leaf(h, u1, &leaf, E));
    assert_int_equal(leaf, a2);
    OK(hist_head_set(h, s, b1, E));
    OK(hist_leaf(h, u1, &leaf, E));
    assert_int_equal(leaf, b1);
    OK(hist_head_set(h, s, 0, E));
    OK(hist_path_get(h, s, 0, &p, E));
    assert_int_equal(p.n, 0);
    hist_path_finish(&p);
    struct hist_session info;
    OK(hist_session_get(h, s, &info, E));
    assert_int_equal(info.n_messages, 7);
    assert_int_equal(info.n_branches, 3);
    assert_int_equal(info.head, 0);
    hist_session_finish(&info);
    /* What belongs elsewhere is refused. */
    int64_t other = th_session(h), node;
    struct err err = {0};
    assert_int_equal(hist_head_set(h, other, b1, &err), ERR_HISTORY);
    assert_int_equal(hist_turn_begin(h, other, c1, "x", 1, NULL, &node, &err), ERR_HISTORY);
    assert_int_equal(hist_turn_begin(h, 9999, 0, "x", 1, NULL, &node, &err), ERR_HISTORY);
    assert_string_equal(err.msg, "no such session");
    assert_int_equal(hist_path_get(h, other, b1, &p, &err), ERR_HISTORY);
    hist_close(h);
}

static void lists(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t a = th_session(h), b = th_session(h), c = th_session(h), id;
    th_turn(h, a, 0, "sort these words", "x");
    th_turn(h, b, 0, "Ein Café in Köln", "x");
    th_turn(h, c, 0, "sort", "x");
    struct hist_list l;
    OK(hist_session_list(h, false, 2, &l, E));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.at[0].id, c);
    assert_int_equal(l.at[1].id, b);
    char uid[27], low[27], suffix[7];
    memcpy(uid, l.at[1].uid, sizeof uid);
    hist_list_finish(&l);
    for (int i = 0; i < 27; i++)
        low[i] = (char)(uid[i] >= 'A' ? uid[i] + 32 : uid[i]);
    memcpy(suffix, low + 20, 7);

    OK(hist_session_find(h, NULL, false, &id, E));
    assert_int_equal(id, c);
    OK(hist_session_find(h, suffix, false, &id, E));
    assert_int_equal(id, b);
    OK(hist_session_find(h, uid, false, &id, E));
    assert_int_equal(id, b);
    OK(hist_session_find(h, "koln cafe", false, &id, E));
    assert_int_equal(id, b);
    OK(hist_session_find(h, "these wor", false, &id, E));
    assert_int_equal(id, a);
    OK(hist_session_find(h, "SORT", false, &id, E)); /* exactly a title */
    assert_int_equal(id, c);
    struct err err = {0};
    assert_int_equal(hist_session_find(h, "so", false, &id, &err), ERR_HISTORY);
    assert_non_null(strstr(err.msg, "ambiguous"));
    assert_non_null(strstr(err.msg, "sort these words"));
    assert_int_equal(hist_session_find(h, "zebra", false, &id, &err), ERR_HISTORY);
    assert_non_null(strstr(err.msg, "zebra"));
    assert_int_equal(hist_session_find(h, "?*\"'(", false, &id, &err), ERR_HISTORY);

    OK(hist_session_rename(h, a, "Alphabet", true, E));
    OK(hist_session_find(h, "alphabet", false, &id, E));
    assert_int_equal(id, a);
    OK(hist_session_rename(h, a, "not this", false, E));
    OK(hist_session_find(h, "sort", false, &id, E));
    assert_int_equal(id, c);
    th_turn(h, a, 0, "more", "x"); /* a person's title stays */
    OK(hist_session_find(h, "", false, &id, E));
    assert_int_equal(id, a);
    struct hist_session info;
    OK(hist_session_get(h, a, &info, E));
    assert_string_equal(info.title, "Alphabet");
    assert_string_equal(info.title_src, "user");
    hist_session_finish(&info);
    hist_close(h);
}

static void settings(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h);
    OK(hist_session_set_system(h, s, "Be brief.", E));
    OK(hist_session_set_params(h, s, "{\"temp\":0}", E));
    OK(hist_draft_set(h, s, "half a tho", E));
    hist_close(h);
    h = th_open(); /* a session with a draft is not empty */
    struct hist_session info;
    OK(hist_session_get(h, s, &info, E));
    assert_string_equal(info.system, "Be brief.");
    assert_string_equal(info.params, "{\"temp\":0}");
    assert_string_equal(info.draft, "half a tho");
    hist_session_finish(&info);
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 1);
    hist_list_finish(&l);
    assert_int_equal(hist_session_set_params(h, s, "{nonsense", NULL), ERR_HISTORY);
    OK(hist_session_set_system(h, s, NULL, E));
    OK(hist_draft_set(h, s, NULL, E));
    OK(hist_session_get(h, s, &info, E));
    assert_null(info.system);
    assert_null(info.draft);
    hist_session_finish(&info);
    int64_t empty = th_session(h), undone;
    OK(hist_begin(h, E));
    undone = th_session(h);
    hist_rollback(h);
    struct hist *other = th_open(); /* gets the same id */
    assert_int_equal(th_session(other), undone);
    hist_close(h);
    int64_t node;
    OK(hist_turn_begin(other, undone, 0, "x", 1, NULL, &node, E));
    hist_close(other);
    h = th_open();
    assert_int_equal(hist_session_get(h, empty, &info, NULL), ERR_HISTORY);
    hist_close(h);
}

static void count(void *arg, const char *text)
{
    char *all = arg;
    snprintf(all + strlen(all), 200 - strlen(all), "%s|", text);
}

static void inputs(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h), t = th_session(h);
    char all[200] = "";
    OK(hist_input_add(h, 0, "a draft", E));
    th_turn(h, s, 0, "one", "x");
    th_turn(h, s, 0, "one", "x");
    th_turn(h, t, 0, "two\nlines", "x");
    OK(hist_input_each(h, 2, count, all, E));
    assert_string_equal(all, "one|two\nlines|");
    OK(hist_session_delete(h, t, E));
    all[0] = 0;
    OK(hist_input_each(h, 0, count, all, E));
    assert_string_equal(all, "a draft|one|");
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {th_case(a_turn), th_case(versions), th_case(lists), th_case(settings), th_case(inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
