/* Tags, pins, the archive, forks; a history of the first schema. */
#include "config.h"
#include "tests/history/th.h"

#include "history/impl.h"

static struct hist_session get(struct hist *h, int64_t id)
{
    struct hist_session s = {0};
    OK(hist_session_get(h, id, &s, E));
    return s;
}

static void has_tags(struct hist *h, int64_t id, const char *want)
{
    struct hist_session s = get(h, id);
    assert_string_equal(s.tags, want);
    hist_session_finish(&s);
}

static void tags(void **state)
{
    static const char *const bad[] = {"", "#", "two words", "a,b", "tab\t", "\xff", "x\u3000y",
                                      "a23456789b23456789c23456789d23456789e23456789f23456789g2345678901"};
    (void)state;
    struct hist *h = th_open();
    struct err err = {0};
    struct hist_tags t;
    int64_t a = th_session(h), b = th_session(h);
    th_turn(h, a, 0, "one", "1");
    th_turn(h, b, 0, "two", "2");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(hist_tag_add(h, a, bad[i], &err), ERR_HISTORY);
    assert_int_equal(hist_tag_add(h, 999, "x", &err), ERR_HISTORY);
    OK(hist_tag_add(h, a, "work", E));
    OK(hist_tag_add(h, a, "#WORK", E)); /* is there */
    OK(hist_tag_add(h, a, "日本", E));
    OK(hist_tag_add(h, a, "c", E));
    OK(hist_tag_add(h, b, "work", E));
    has_tags(h, a, "c work 日本");
    OK(hist_tags_get(h, 0, &t, E));
    assert_int_equal(t.n, 3);
    assert_string_equal(t.at[0], "work");
    hist_tags_finish(&t);
    OK(hist_tag_remove(h, a, "Work", E));
    OK(hist_tag_remove(h, a, "never", E));
    has_tags(h, a, "c 日本");
    OK(hist_session_delete(h, b, E));
    OK(hist_tags_get(h, 0, &t, E)); /* of what is not deleted */
    assert_int_equal(t.n, 2);
    hist_tags_finish(&t);
    OK(hist_tags_get(h, b, &t, E));
    assert_int_equal(t.n, 1);
    hist_tags_finish(&t);
    hist_close(h);
}

static void pin_and_archive(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct err err = {0};
    struct hist_list l;
    int64_t a = th_session(h), b = th_session(h), found;
    th_turn(h, a, 0, "older pelican", "1");
    th_turn(h, b, 0, "newer walrus", "2");
    OK(hist_session_pin(h, a, true, E));
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.at[0].id, b); /* as it was */
    hist_list_sort(&l, HIST_BY_UPDATED);
    assert_int_equal(l.at[0].id, a);
    assert_true(l.at[0].pinned);
    hist_list_finish(&l);
    OK(hist_session_archive(h, b, true, E));
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 1);
    hist_list_finish(&l);
    OK(hist_session_list_of(h, HIST_ARCHIVED, 0, &l, E));
    assert_true(l.n == 1 && l.at[0].id == b && l.at[0].archived_ms > 0);
    hist_list_finish(&l);
    OK(hist_session_find(h, NULL, false, &found, E)); /* the newest is not in the archive */
    assert_int_equal(found, a);
    OK(hist_session_find(h, "walrus", false, &found, E));
    assert_int_equal(found, b);
    th_turn(h, b, 0, "again", "3"); /* what is used comes back */
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 2);
    hist_list_finish(&l);
    assert_int_equal(hist_session_pin(h, 999, true, &err), ERR_HISTORY);
    assert_int_equal(hist_session_archive(h, 999, true, &err), ERR_HISTORY);
    hist_close(h);
}

static size_t hits(struct hist *h, const char *words, int64_t session)
{
    struct hist_hits l;
    OK(hist_find(h, &(struct hist_find){.words = words, .session = session}, &l, E));
    size_t n = l.n;
    hist_hits_finish(&l);
    return n;
}

static void forks(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct err err = {0};
    struct hist_path p;
    struct hist_gen g;
    int64_t s = th_session(h), first, other, fork, again, model;
    OK(hist_model_put(h, &(struct hist_model){.name = "m", .fingerprint = "f"}, &model, E));
    first = th_turn(h, s, 0, "tell of the kingfisher", "it dives");
    th_turn(h, s, first, "and the heron", "it waits");
    other = th_turn(h, s, first, "and the stork", "it claps");
    OK(hist_gen_put(h, other, &(struct hist_gen){.model_id = model, .seed = 7, .n_out = 3, .stop = "eog"}, E));
    OK(hist_session_set_system(h, s, "be brief", E));
    assert_int_equal(hist_session_fork(h, s, 999, NULL, &fork, &err), ERR_HISTORY);
    OK(hist_session_fork(h, s, 0, NULL, &fork, E));
    OK(hist_path_get(h, fork, 0, &p, E));
    assert_int_equal(p.n, 4);
    assert_string_equal(th_text(&p.at[3]), "it claps");
    assert_true(p.at[3].session == fork && p.at[3].n_versions == 1);
    assert_int_equal(hist_gen_get(h, p.at[3].id, &g, &err), 1);
    assert_true(g.seed == 7 && g.model_id == model);
    hist_gen_finish(&g);
    int64_t copied = p.at[1].id;
    hist_path_finish(&p);
    struct hist_session f = get(h, fork), o = get(h, s);
    assert_string_equal(f.title, o.title);
    assert_string_equal(f.system, "be brief");
    assert_string_equal(f.model, "m");
    assert_true(f.from_session == s && f.from_node == other && f.head_state == HIST_FINAL);
    hist_session_finish(&f);
    hist_session_finish(&o);
    /* A fork in the middle, of a fork, with a title; what is not on its way is not in it. */
    OK(hist_session_fork(h, fork, copied, "birds, again", &again, E));
    OK(hist_path_get(h, again, 0, &p, E));
    assert_int_equal(p.n, 2);
    hist_path_finish(&p);
    /* Search shows what is copied once, while the original is there; in the fork itself always. */
    assert_int_equal(hits(h, "kingfisher", 0), 1);
    assert_int_equal(hits(h, "kingfisher", again), 1);
    OK(hist_session_delete(h, s, E));
    assert_int_equal(hits(h, "kingfisher", 0), 2);
    int n;
    OK(hist_purge(h, 0, &n, E));
    assert_int_equal(hits(h, "stork", 0), 1);
    OK(hist_check(h, E));
    int64_t empty = th_session(h);
    assert_int_equal(hist_session_fork(h, empty, 0, NULL, &fork, &err), ERR_HISTORY);
    hist_close(h);
}

/* What the first version of the program wrote, opened by this one, also by who only looks. */
static void first_schema(void **state)
{
    (void)state;
    static const char data[] =
        "INSERT INTO session(id, uid, title, created_ms, updated_ms, place, head_id) VALUES(1, '01234567890123456789012345', 'sea', 1, 2, 2, 1);"
        "INSERT INTO node(id, session_id, role, state, created_ms) VALUES(1, 1, 'user', 'final', 1);"
        "INSERT INTO part(node_id, ord, kind, text) VALUES(1, 0, 'text', CAST('the old pelican' AS BLOB));"
        "INSERT INTO doc VALUES(1, 'sea', 'the old pelican', '', '');"
        "INSERT INTO doc_fts(rowid, title, prompt, answer, reasoning) SELECT * FROM doc";
    sqlite3 *db;
    assert_int_equal(sqlite3_open(th_db, &db), SQLITE_OK);
    struct hist raw = {.db = db, .path = th_db}, *h;
    OK(schema_upgrade(&raw, schema_steps, 1, E));
    assert_int_equal(sqlite3_exec(db, data, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    OK(hist_open(th_db, true, &h, E));
    assert_true(hist_read_only(h));
    assert_int_equal(hits(h, "pelican", 0), 1);
    assert_int_equal(hits(h, "pe*", 0), 1);
    has_tags(h, 1, "");
    hist_close(h);
    char copy[120];
    snprintf(copy, sizeof copy, "%s.v1", th_db);
    assert_int_equal(access(copy, F_OK), 0);
    h = th_open();
    OK(hist_tag_add(h, 1, "bird", E));
    has_tags(h, 1, "bird");
    OK(hist_check(h, E));
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        th_case(tags), th_case(pin_and_archive), th_case(forks), th_case(first_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
