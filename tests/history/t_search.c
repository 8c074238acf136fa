/* Search: what is found, what is safe, how it ranks; deleting, undoing and purging. */
#include "config.h"
#include "tests/history/th.h"

#include "base/clock.h"
#include "history/impl.h"

static size_t hits(struct hist *h, const char *words)
{
    struct hist_hits l;
    OK(hist_search(h, words, 0, &l, E));
    size_t n = l.n;
    hist_hits_finish(&l);
    return n;
}

static void needles(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h);
    int64_t a = th_turn(h, s, 0, "Wie heißt die Bäckerei in Köln?", "Le café près de l'Élysée, foo-bar(baz) and snake_case_word.");
    a = th_turn(h, s, a, "数据库的索引怎么工作？", "索引让查询更快。日本語のテキスト検索も。한국어 문장입니다 𠮷野家 ภาษาไทยง่าย");
    a = th_turn(h, s, a, "id 123e4567-e89b-12d3-a456-426614174000 what's up? 100% \"quoted\" C++ -x", "ΑΒΓ Привет résumé naïve cafe\u0301s");
    static const char *const found[] = {
        "baeckerei",  /* not: folding is not transliteration */
        "backerei", "BÄCKEREI", "koln", "elysee", "cafe", "foo-bar", "foo-bar(baz)", "snake_case_word", "索引", "数据库", "库的", "引",
        "日本語", "テキスト", "検索も", "한국", "국어 문장", "𠮷野", "ภาษา", "ไทย", "123e4567-e89b-12d3-a456-426614174000", "a456-426614174000",
        "what's up?", "100%", "\"quoted\"", "c++", "привет", "αβγ", "resume", "naive", "snake_case*", "bäck*", "\"près de\"", "-x", "--x",
        "索引 更快", "foo \u3000 bar", "cafés", "\"数据库的索引怎么工作\"", "c++ ?", "café? !", "quoted \"", "\"quoted", "foo\"bar",
    };
    assert_int_equal(hits(h, found[0]), 0);
    for (size_t i = 1; i < sizeof found / sizeof found[0]; i++)
        if (hits(h, found[i]) == 0)
            fail_msg("not found: %s", found[i]);
    static const char *const missing[] = {
        "", " ", "?", "\"", "\"\"", "-", "*", "snake", "foo -bar", "\"de près\"", "据数", "foo zebra", "NEAR(foo bar)", "title : foo", "cafe -elysee -cafes",
        "foo OR zebra", "\xff\xfe", "--", "- -", "\x01",
    };
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (hits(h, missing[i]) != 0)
            fail_msg("found: %s", missing[i]);
    assert_int_equal(hits(h, "cafe"), 1);
    assert_int_equal(hits(h, "cafe -foo"), 0);
    assert_int_equal(hits(h, "cafe -\"not there\""), 1);
    assert_int_equal(hits(h, "-foo -zebra"), 0); /* nothing but exclusions: they are words */
    hist_close(h);
}

/* Anything typed is safe: no SQL or FTS5 error, whatever the bytes. */
static void anything(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h);
    th_turn(h, s, 0, "a b c AND OR NOT NEAR", "\"x\" (y) {z} ^w - + : * 漢字");
    static const char bits[] = "\"\"**()-+:^{}\\'; AND OR NOT NEAR ab\xe6\xbc\xa2\xff\x80\xc3\n\t%_";
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t n = 0;
        for (size_t want = th_random() % 32; n < want; n++)
            text[n] = bits[th_random() % (sizeof bits - 1)];
        text[n] = 0;
        struct hist_hits l;
        struct err err = {0};
        if (hist_search(h, text, 5, &l, &err) != 0)
            fail_msg("\"%s\": %s", text, err.msg);
        hist_hits_finish(&l);
        int64_t id;
        if (hist_session_find(h, text, false, &id, &err) != 0 && strncmp(err.msg, "history", 7) == 0)
            fail_msg("\"%s\": %s", text, err.msg);
    }
    struct buf long_one = BUF_INIT(1 << 22);
    for (int i = 0; i < 20000; i++)
        buf_addf(&long_one, "%sw%d ", i % 3 ? "" : "-", i);
    assert_int_equal(hits(h, buf_str(&long_one)), 0);
    buf_reset(&long_one);
    for (int i = 0; i < 300000; i++)
        buf_addch(&long_one, i % 2 ? 'a' : '-');
    assert_int_equal(hits(h, buf_str(&long_one)), 0);
    buf_finish(&long_one);
    hist_close(h);
}

static void ranks(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct hist_hits l;
    int64_t thought = th_session(h), said = th_session(h), asked = th_session(h), named = th_session(h), node, user;
    OK(hist_turn_begin(h, thought, 0, "one", 3, &user, &node, E));
    OK(hist_append(h, node, HIST_REASONING, "the kingfisher dives here", 25, E));
    OK(hist_append(h, node, HIST_TEXT, "some other words", 16, E));
    OK(hist_turn_end(h, node, HIST_FINAL, NULL, E));
    int64_t answer = th_turn(h, said, 0, "two", "the kingfisher dives here");
    th_turn(h, asked, 0, "seven more words\nthe kingfisher dives here", "four");
    th_turn(h, named, 0, "three", "five");
    OK(hist_session_rename(h, named, "kingfisher", true, E));
    OK(hist_search(h, "kingfisher", 0, &l, E));
    assert_int_equal(l.n, 4);
    assert_int_equal(l.at[0].session, named);
    assert_int_equal(l.at[1].session, asked);
    assert_int_equal(l.at[1].role, HIST_USER);
    assert_string_equal(l.at[1].title, "seven more words");
    assert_int_equal(l.at[2].session, said);
    assert_int_equal(l.at[2].node, answer);
    assert_int_equal(l.at[2].role, HIST_ASSISTANT);
    assert_string_equal(l.at[2].snippet, "the \x01kingfisher\x02 dives here");
    assert_int_equal(l.at[3].node, node);
    assert_int_equal(strlen(l.at[0].uid), 26);
    hist_hits_finish(&l);
    OK(hist_search(h, "kingfisher", 2, &l, E));
    assert_int_equal(l.n, 2);
    hist_hits_finish(&l);
    th_turn(h, said, answer, "x", "从前有座山，山里有座庙");
    OK(hist_search(h, "山里", 0, &l, E));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.at[0].snippet, "从前有座山，\x01山里\x02有座庙");
    hist_hits_finish(&l);
    OK(hist_session_rename(h, named, "heron", true, E));
    assert_int_equal(hits(h, "kingfisher"), 3);
    assert_int_equal(hits(h, "heron"), 1);
    hist_close(h);
}

static void titles(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *title;
    } c[] = {
        {"\n\n  hello \t there  \nmore", "hello there"},
        {"a\x1b[31mb\x07 c", "a [31mb c"},
        {"123456789 123456789 123456789 123456789 123456789 123456789 ", "123456789 123456789 123456789 123456789 123456789 123456789"},
        {"123456789 123456789 123456789 123456789 123456789 123456789 123", "123456789 123456789 123456789 123456789 123456789 123456789…"},
        {"123456789 123456789 123456789 123456789 123456789 1234567890", "123456789 123456789 123456789 123456789 123456789 1234567890"},
        {"123456789 123456789 123456789 123456789 123456789 12345678901", "123456789 123456789 123456789 123456789 123456789…"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"},
        {"一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五", "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九…"},
        {" \n \t ", ""},
        {"bad \xff\xfe bytes", "bad bytes"},
    };
    struct hist *h = th_open();
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        int64_t s = th_session(h);
        struct hist_session info;
        th_turn(h, s, 0, c[i].prompt, "x");
        OK(hist_session_get(h, s, &info, E));
        assert_string_equal(info.title, c[i].title);
        hist_session_finish(&info);
    }
    hist_close(h);
}

static bool in_file(const char *path, const char *what)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *all = malloc(n + 1);
    assert_int_equal(fread(all, 1, n, f), n);
    fclose(f);
    bool found = n && memmem(all, n, what, strlen(what));
    free(all);
    return found;
}

static void delete_undo(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t s = th_session(h), id;
    int n;
    th_turn(h, s, 0, "find the axolotl", "here");
    OK(hist_session_delete(h, s, E));
    OK(hist_session_delete(h, s, E));
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 0);
    OK(hist_session_list(h, true, 0, &l, E));
    assert_int_equal(l.n, 1);
    assert_true(l.at[0].deleted_ms > 0);
    hist_list_finish(&l);
    assert_int_equal(hits(h, "axolotl"), 0);
    assert_int_equal(hist_session_find(h, "axolotl", false, &id, NULL), ERR_HISTORY);
    assert_int_equal(hist_session_find(h, NULL, false, &id, NULL), ERR_HISTORY);
    OK(hist_session_find(h, "axolotl", true, &id, E));
    OK(hist_session_find(h, NULL, true, &id, E));
    OK(hist_purge(h, HIST_KEEP_MS, &n, E)); /* not so long ago */
    assert_int_equal(n, 0);
    OK(hist_session_undelete(h, id, E));
    assert_int_equal(hits(h, "axolotl"), 1);
    assert_int_equal(hist_session_delete(h, 999, NULL), ERR_HISTORY);
    assert_int_equal(hist_session_undelete(h, 999, NULL), ERR_HISTORY);
    /* Later, at the end of some run. */
    int64_t young = th_session(h);
    struct hist_session info;
    th_turn(h, young, 0, "a younger one", "x");
    OK(hist_session_delete(h, s, E));
    OK(hist_session_delete(h, young, E));
    for (int days = 31; days < 40; days += 8) {
        char sql[100];
        snprintf(sql, sizeof sql, "UPDATE session SET deleted_ms = %lld WHERE id = %lld", (long long)(clock_wall_ms() - days * INT64_C(86400000)),
                 (long long)s);
        assert_int_equal(sqlite3_exec(h->db, sql, NULL, NULL, NULL), SQLITE_OK);
        hist_close(h);
        h = th_open();
        assert_int_equal(hist_session_get(h, s, &info, NULL), days == 31 ? 0 : ERR_HISTORY);
        if (days == 31)
            hist_session_finish(&info);
    }
    OK(hist_session_undelete(h, young, E));
    hist_close(h);
}

/* Every byte of what is purged is gone, wherever the pages were moved; the rest is there. */
static void purge_leaves_nothing(void **state)
{
    (void)state;
    enum { SESSIONS = 120 };
    int64_t id[SESSIONS], parent[SESSIONS] = {0};
    char text[4000], word[32], journal[120];
    int n;
    struct hist *h = th_open();
    OK(hist_begin(h, E));
    for (int i = 0; i < SESSIONS; i++)
        id[i] = th_session(h);
    OK(hist_commit(h, E));
    for (int round = 0; round < 4; round++) {
        OK(hist_begin(h, E));
        for (int i = 0; i < SESSIONS; i++) {
            size_t len = th_random() % (i % 10 ? 300 : 2500), at = 0;
            for (size_t k = 0; k < len / 10; k++)
                at += (size_t)snprintf(text + at, sizeof text - at, "canary%03dq%u ", i, th_random() % 16);
            text[at] = 0;
            parent[i] = th_turn(h, id[i], parent[i], text, text);
        }
        OK(hist_commit(h, E));
        OK(hist_draft_set(h, id[round], "canary in a draft", E));
        OK(hist_session_set_system(h, id[round], "canary as a system prompt", E));
    }
    for (int i = 0; i < SESSIONS; i++)
        if (i % 3 != 0)
            OK(hist_session_delete(h, id[i], E));
    OK(hist_purge(h, 0, &n, E));
    assert_int_equal(n, SESSIONS * 2 / 3);
    snprintf(journal, sizeof journal, "%s-journal", th_db);
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(word, sizeof word, "canary%03d", i);
        assert_int_equal(in_file(th_db, word), i % 3 == 0);
        assert_false(in_file(journal, word));
        assert_int_equal(hits(h, word), 0); /* not a whole word */
        snprintf(word, sizeof word, "canary%03d*", i);
        assert_int_equal(hits(h, word) > 0, i % 3 == 0);
    }
    OK(hist_check(h, E));
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {th_case(needles),     th_case(anything),    th_case(ranks), th_case(titles),
                                       th_case(delete_undo), th_case(purge_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
