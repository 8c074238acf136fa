/* A history of 50,000 messages: needles are found, the list and each key of a filter take less than 50 ms. */
#include "config.h"
#include "tests/history/th.h"

#include <strings.h>
#include <time.h>

#include "tests/history/mkhist.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LIMIT_US 500000 /* sanitizers take their time */
#else
#define LIMIT_US 50000
#endif

/* Processor time, for other programs use the machine, too: nothing here waits for a disk. */
static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int make_once(void **state)
{
    struct err err = {0};
    if (th_setup(state) != 0)
        return -1;
    int64_t from = now_us();
    if (mkhist(th_db, 50000, 2500, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    printf("# made in %.1f s\n", (double)(now_us() - from) / 1e6);
    return 0;
}

/* The best of five runs. */
#define BEST(us, call)                                                                                                     \
    int64_t us = INT64_MAX;                                                                                                \
    for (int best_i = 0; best_i < 5; best_i++) {                                                                           \
        int64_t best_from = now_us();                                                                               \
        call;                                                                                                              \
        int64_t best_us = now_us() - best_from;                                                                     \
        us = best_us < us ? best_us : us;                                                                                  \
    }

static void listing(struct hist *h, struct hist_list *l)
{
    hist_list_finish(l);
    OK(hist_session_list_of(h, HIST_ACTIVE, 0, l, E));
    hist_list_sort(l, HIST_BY_TITLE);
}

static void list_is_quick(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct hist_list l = {0};
    BEST(us, listing(h, &l));
    printf("# list: %.1f ms\n", (double)us / 1e3);
    assert_int_equal(l.n, 2475);
    assert_true(us < LIMIT_US);
    for (int by = 0; hist_sort_name(by); by++) {
        hist_list_sort(&l, (enum hist_sort)by);
        for (size_t i = 1; i < l.n; i++) {
            const struct hist_session *a = &l.at[i - 1], *b = &l.at[i];
            assert_true(a->pinned >= b->pinned);
            if (a->pinned == b->pinned && by == HIST_BY_CREATED)
                assert_true(a->created_ms >= b->created_ms);
            if (a->pinned == b->pinned && by == HIST_BY_TITLE)
                assert_true(strcasecmp(a->title, b->title) <= 0);
        }
    }
    hist_list_finish(&l);
    hist_close(h);
}

static void filter_is_quick(void **state)
{
    static const char *const typed[] = {"memory of kar", "needle_7", "日本", "索引", "tag:work mi", "thread -mmap", "bel"};
    (void)state;
    struct hist *h = th_open();
    struct hist_list l = {0};
    OK(hist_session_list_of(h, HIST_ALL, 0, &l, E));
    bool *keep = calloc(l.n, 1);
    int64_t worst = 0;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        char text[80];
        for (size_t n = 1; n <= strlen(typed[i]); n++) {
            if (((unsigned char)typed[i][n] & 0xc0) == 0x80)
                continue;
            snprintf(text, sizeof text, "%.*s", (int)n, typed[i]);
            BEST(us, OK(hist_list_filter(h, text, &l, keep, E)));
            if (us > worst)
                printf("# filter \"%s\": %.1f ms\n", text, (double)us / 1e3);
            worst = us > worst ? us : worst;
        }
    }
    assert_true(worst < LIMIT_US);
    free(keep);
    hist_list_finish(&l);
    hist_close(h);
}

static void search_is_quick(void **state)
{
    static const char *const typed[] = {"the memory of kar", "needle_7", "索引", "what's up?", "memory model:qwen after:2025-06", "tag:work",
                                        "model:none", "-tag:x before:2025-02"};
    (void)state;
    struct hist *h = th_open();
    int64_t worst = 0;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        char text[80];
        for (size_t n = 1; n <= strlen(typed[i]); n++) {
            struct hist_hits l = {0};
            if (((unsigned char)typed[i][n] & 0xc0) == 0x80)
                continue;
            snprintf(text, sizeof text, "%.*s", (int)n, typed[i]);
            BEST(us, hist_hits_finish(&l); OK(hist_find(h, &(struct hist_find){.words = text, .limit = 100, .typing = true}, &l, E)));
            if (us > worst)
                printf("# search \"%s\": %.1f ms, %zu hits%s\n", text, (double)us / 1e3, l.n, l.newest ? ", newest" : "");
            worst = us > worst ? us : worst;
            hist_hits_finish(&l);
        }
    }
    assert_true(worst < LIMIT_US);
    hist_close(h);
}

/* What is found by a query: so many, the first in session `title_has` or anywhere. */
static void finds(struct hist *h, const char *words, size_t n, const char *snippet_has)
{
    struct hist_hits l = {0};
    OK(hist_find(h, &(struct hist_find){.words = words, .limit = 100, .typing = true}, &l, E));
    if (l.n != n)
        fail_msg("%s: %zu hits, not %zu", words, l.n, n);
    if (n && !strstr(l.at[0].snippet, snippet_has))
        fail_msg("%s: %s", words, l.at[0].snippet);
    hist_hits_finish(&l);
}

static void needles(void **state)
{
    (void)state;
    struct hist *h = th_open();
    finds(h, "needle_7", 1, "\x01needle_7\x02");
    finds(h, "needle_2 ", 1, "needle_2");
    finds(h, "needle_2", 11, "needle_2"); /* as one types: 2, 20 .. 29 */
    finds(h, "foo-bar-31 ", 1, "foo-bar-31");
    finds(h, "7f3c0012-aaaa-4bbb-8ccc-0123456789ab ", 1, "7f3c0012");
    finds(h, "what's up? needle_4 ", 1, "needle_4");
    finds(h, "索引", 10, "索引");
    finds(h, "引的", 10, "引的");
    finds(h, "\"what's up\" -needle_7 -needle_8", 48, "what's up");
    finds(h, "needle_7 in:thought", 0, "");
    finds(h, "needle_7 model:nothing", 0, "");
    finds(h, "model:none of:these", 0, "");
    hist_close(h);
}

/* Conditions keep what they say, and nothing else. */
static void conditions(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct hist_hits l = {0};
    OK(hist_find(h, &(struct hist_find){.words = "memory model:QWEN after:2025-06 before:2025-07 in:you", .limit = 0}, &l, E));
    assert_true(l.n > 100);
    for (size_t i = 0; i < l.n; i++) {
        assert_string_equal(l.at[i].model, "qwen3-14b");
        assert_int_equal(l.at[i].role, HIST_USER);
        assert_true(l.at[i].created_ms > INT64_C(1748600000000) && l.at[i].created_ms < INT64_C(1751500000000));
    }
    int64_t session = l.at[0].session;
    hist_hits_finish(&l);
    OK(hist_find(h, &(struct hist_find){.words = "the", .session = session, .limit = 5, .typing = true}, &l, E));
    assert_int_equal(l.n, 5);
    assert_true(l.more);
    for (size_t i = 0; i < l.n; i++)
        assert_int_equal(l.at[i].session, session);
    hist_hits_finish(&l);
    OK(hist_find(h, &(struct hist_find){.words = "tag:garden after:2026", .limit = 30}, &l, E));
    assert_int_equal(l.n, 30);
    for (size_t i = 0; i < l.n; i++)
        assert_int_equal(l.at[i].session % 20, 13); /* s % 20 == 12, ids from 1 */
    hist_hits_finish(&l);
    hist_close(h);
}

static void filters(void **state)
{
    static const struct {
        const char *words;
        size_t n;
    } want[] = {{"", 2500}, {"tag:work", 125}, {"tag:#WORK -is:archived", 125}, {"-tag:work -tag:garden", 2250}, {"is:pinned", 7}, {"is:archived", 25},
                {"日本", 50}, {"needle_7", 1}, {"need", 50}, {"needle_7 needle_8", 0}, {"model:qwen", 834}, {"after:2027", 0}, {"gard tag:garden", 125}};
    (void)state;
    struct hist *h = th_open();
    struct hist_list l = {0};
    OK(hist_session_list_of(h, HIST_ALL, 0, &l, E));
    bool *keep = calloc(l.n, 1);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        size_t n = 0;
        OK(hist_list_filter(h, want[i].words, &l, keep, E));
        for (size_t k = 0; k < l.n; k++)
            n += keep[k];
        if (n != want[i].n)
            fail_msg("%s: %zu, not %zu", want[i].words, n, want[i].n);
    }
    free(keep);
    hist_list_finish(&l);
    hist_close(h);
}

static void speeds(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct hist_usages l = {0};
    BEST(us, hist_usages_finish(&l); OK(hist_models_used(h, &l, E)));
    printf("# models: %.1f ms\n", (double)us / 1e3);
    assert_true(us < LIMIT_US);
    assert_int_equal(l.n, 3);
    int runs = 0;
    for (size_t i = 0; i < 3; i++) {
        runs += l.at[i].runs;
        assert_true(l.at[i].decode_tps > 19.9 && l.at[i].decode_tps < 20.1 && l.at[i].prefill_tps >= 600);
    }
    assert_int_equal(runs, 25000);
    hist_usages_finish(&l);
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needles),       cmocka_unit_test(conditions),    cmocka_unit_test(filters), cmocka_unit_test(speeds),
        cmocka_unit_test(list_is_quick), cmocka_unit_test(filter_is_quick), cmocka_unit_test(search_is_quick),
    };
    return cmocka_run_group_tests(tests, make_once, th_teardown);
}
