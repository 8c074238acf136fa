/*
 * The chat controller with the scripted engine and a database of its own for each case: every state of an answer, stopped and killed in
 * each; a history that fails before, during and at the end; versions; and what the face hears.
 */
#include "config.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/app/tchat.h"

static struct chat *script(struct hist *h, const char *text)
{
    char path[200], var[220];
    struct chat *c = NULL;
    snprintf(path, sizeof path, "%s/script", th_dir);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    snprintf(var, sizeof var, "script:%s", path);
    setenv("HADAL_ENGINE", var, 1);
    conf_init(&conf);
    free(conf.model);
    conf.model = mem_strdup(path); /* any file: the scripted engine has no use for it */
    OK(chat_create(&conf, h, &face, &c, E));
    memset(&heard, 0, sizeof heard);
    return c;
}

/* ---- answers ---- */

static void an_answer_is_kept(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "model tiny\nload 20\nread 20 10 4\nthought \"hm\"\npace 5\ntext \"one two three\"\ndone length\n");
    struct hist_gen g;
    struct hist_session s;
    assert_int_equal(chat_session(c), 0);
    assert_null(chat_stats(c));
    ask(c, "count to three");
    assert_string_equal(heard.order, "lmrTte");
    assert_int_equal(heard.state, HIST_FINAL);
    assert_string_equal(heard.end.stop, "length");
    assert_string_equal(heard.text, "one two three");
    assert_string_equal(heard.thought, "hm");
    assert_int_equal(heard.notices, 0);
    assert_int_equal(chat_stats(c)->n_out, 4);
    assert_int_equal(chat_path(c)->n, 2);
    assert_string_equal(text_of(nth(c, 0)), "count to three");
    assert_string_equal(text_of(nth(c, 1)), "one two three");
    assert_int_equal(nth(c, 1)->n_parts, 2);
    assert_int_equal(nth(c, 1)->parts[0].kind, HIST_REASONING);
    const char *text;
    size_t n;
    assert_int_equal(stored(c, &text, &n), HIST_FINAL);
    assert_string_equal(text, "one two three");
    assert_int_equal(n, 2);
    /* and what makes it reproducible */
    assert_int_equal(hist_gen_get(h, nth(c, 1)->id, &g, NULL), 1);
    assert_int_equal(g.seed, chat_seed(c));
    char seed[40];
    snprintf(seed, sizeof seed, "\"seed\":%llu", (unsigned long long)chat_seed(c));
    assert_non_null(strstr(g.params, seed));
    assert_string_equal(g.stop, "length");
    assert_null(g.error);
    assert_int_equal(g.n_prompt, 10);
    assert_int_equal(g.n_cached, 4);
    assert_int_equal(g.n_out, 4);
    assert_int_equal(g.n_reason, 1);
    assert_string_equal(g.backend, "script");
    assert_true(g.model_id > 0);
    hist_gen_finish(&g);
    OK(hist_session_get(h, chat_session(c), &s, E));
    assert_string_equal(s.title, "count to three");
    assert_string_equal(s.model, "tiny");
    hist_session_finish(&s);
    /* another answer has another seed, unless one is set */
    uint64_t seed1 = chat_seed(c);
    ask(c, "again");
    assert_int_not_equal(chat_seed(c), seed1);
    conf.seed_set = true;
    conf.sampler.seed = 7;
    ask(c, "again");
    assert_int_equal(chat_seed(c), 7);
    leave(c, h);
}

static void it_is_written_as_it_comes(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "wait 60\npace 20 1\ntext \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\"\n");
    const char *text;
    size_t n;
    begin(c, "say the letters");
    assert_int_equal(stored(c, &text, &n), HIST_STREAMING); /* before the engine says a thing */
    assert_int_equal(n, 2);
    assert_string_equal(text, "");
    while (chat_busy(c)) {
        size_t before = strlen(heard.text);
        run_for(c, 310);
        if (!chat_busy(c))
            break;
        assert_int_equal(stored(c, &text, NULL), HIST_STREAMING);
        assert_true(strlen(text) >= before); /* what was said 310 ms ago is there */
        assert_memory_equal(text, heard.text, strlen(text));
    }
    assert_int_equal(stored(c, &text, NULL), HIST_FINAL);
    assert_string_equal(text, heard.text);
    leave(c, h);
}

static const struct {
    const char *name, *before, *text;
} states[] = {
    {"load", "load 60000\n", ""},
    {"read", "read 60000 100\n", ""},
    {"text", "text \"partial \"\npace 15\ntext \"a b c d e f g h i j k l m n o p q\"\n", "partial "},
    {"thought", "thought \"let me\"\npace 15\nthought \"a b c d e f g h i j k l m n o p q\"\n", ""},
    {"stall", "text \"partial \"\nstall\n", "partial "},
};

static void stopped_in_each_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct hist *h = th_open();
        char file[1000];
        struct hist_gen g;
        const char *text;
        snprintf(file, sizeof file, "%sdone\necho\ndone\n", states[i].before);
        struct chat *c = script(h, file);
        begin(c, "go");
        run_for(c, 60);
        assert_true(chat_busy(c));
        struct err err = {0};
        assert_int_equal(chat_send(c, "x", 1, &err), ERR_USAGE); /* one at a time */
        assert_int_equal(chat_regen(c, &err), ERR_USAGE);
        assert_int_equal(chat_open(c, 0, &err), ERR_USAGE);
        int64_t t0 = clock_mono_us();
        chat_stop(c);
        chat_stop(c);
        to_end(c);
        assert_true(heard.ended_us - t0 < 250000); /* wanted: 100 ms; the machine may be busy */
        assert_int_equal(heard.state, HIST_INTERRUPTED);
        assert_string_equal(heard.end.stop, "cancelled");
        assert_memory_equal(heard.text, states[i].text, strlen(states[i].text));
        assert_int_equal(stored(c, &text, NULL), HIST_INTERRUPTED);
        assert_string_equal(text, heard.text);
        assert_int_equal(hist_gen_get(h, nth(c, 1)->id, &g, NULL), 1);
        assert_string_equal(g.stop, "cancelled");
        hist_gen_finish(&g);
        ask(c, "next");
        assert_string_equal(heard.text, "next");
        leave(c, h);
        unlink(th_db);
    }
}

static void dead_in_each_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        char file[1000], *p;
        struct hist_gen g;
        const char *text;
        snprintf(file, sizeof file, "%sdie 11\nmessages\ndone\n", states[i].before);
        while ((p = strstr(file, "60000"))) /* the times of this round are short */
            memcpy(p, "00020", 5);
        if (strstr(file, "stall"))
            continue; /* ends only when it is stopped */
        struct hist *h = th_open();
        struct chat *c = script(h, file);
        ask(c, "go");
        assert_int_equal(heard.state, HIST_ERROR);
        assert_true(heard.end.died);
        assert_int_equal(heard.end.err.code, ERR_IO);
        assert_memory_equal(heard.text, states[i].text, strlen(states[i].text));
        assert_int_equal(stored(c, &text, NULL), HIST_ERROR);
        assert_string_equal(text, heard.text);
        assert_int_equal(hist_gen_get(h, nth(c, 1)->id, &g, NULL), 1);
        assert_string_equal(g.stop, "error");
        assert_non_null(strstr(g.error, "signal 11"));
        hist_gen_finish(&g);
        char sent[5000];
        snprintf(sent, sizeof sent, "user: go\n%s%s%suser: next\n", *text ? "assistant: " : "", text, *text ? "\n" : "");
        ask(c, "next"); /* sees what there was of the answer */
        assert_string_equal(heard.text, sent);
        assert_int_equal(heard.state, HIST_FINAL);
        leave(c, h);
        unlink(th_db);
    }
}

static void the_program_ends_in_the_middle(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "text \"par\"\nwait 20\ntext \"tial\"\nstall\n");
    begin(c, "go");
    run_for(c, 60);
    int64_t session = chat_session(c), node = nth(c, 1)->id;
    struct hist_path p;
    struct hist_gen g;
    chat_destroy(c);
    OK(hist_path_get(h, session, 0, &p, E));
    assert_int_equal(p.at[1].state, HIST_INTERRUPTED);
    assert_string_equal(text_of(&p.at[1]), "partial");
    assert_int_equal(hist_gen_get(h, node, &g, NULL), 1);
    assert_string_equal(g.stop, "cancelled");
    hist_gen_finish(&g);
    hist_path_finish(&p);
    hist_close(h);
    conf_finish(&conf);
    chat_destroy(NULL);
}

/* What a killed program had shown: a report of its child over a pipe. */
struct shown {
    int64_t us;
    char text[8]; /* "" : the prompt is accepted */
};

static int shown_fd;

static void show(const char *s, size_t n)
{
    struct shown sh = {.us = clock_mono_us()};
    memcpy(sh.text, s, n < sizeof sh.text ? n : sizeof sh.text - 1);
    if (write(shown_fd, &sh, sizeof sh) < 0)
        _exit(1);
}

static void show_text(void *arg, const char *s, size_t n)
{
    (void)arg;
    show(s, n);
}

static void live(int fd)
{
    struct chat_face f = {.text = show_text};
    struct chat *c = script(th_open(), "wait 10\nread 20 100\npace 25 3\n"
                                       "text \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\"\nwait 30\n");
    shown_fd = fd;
    chat_destroy(c);
    struct hist *h = th_open();
    if (chat_create(&conf, h, &f, &c, NULL))
        _exit(1);
    for (;;) {
        if (chat_send(c, "letters", 7, NULL))
            _exit(1);
        show("", 0);
        while (chat_busy(c))
            turn(c, 50);
    }
}

/*
 * How much of the report of this pipe must be in the database: prompts accepted, and of the last answer the text shown 300 ms before the
 * last that was shown (not before the death: on a busy machine the program may not have run since).
 */
static int must_be_there(int fd, char *text, size_t size)
{
    static struct shown all[4000];
    int n = 0, first = 0, prompts = 0;
    while (n < 4000 && read(fd, &all[n], sizeof all[n]) == sizeof all[n])
        n++;
    for (int i = 0; i < n; i++)
        if (!all[i].text[0]) {
            prompts++;
            first = i + 1;
        }
    *text = 0;
    for (int i = first; i < n && all[i].us < all[n - 1].us - 300000; i++)
        add(text, size, all[i].text, strlen(all[i].text));
    return prompts;
}

/* Fifty programs, killed at any moment: every prompt that was accepted is there, and all text but the newest. */
static void killed_at_any_moment(void **state)
{
    (void)state;
    enum { ROUNDS = 5, AT_ONCE = 10 };
    char dir[sizeof th_db];
    size_t checked = 0;
    snprintf(dir, sizeof dir, "%s", th_dir);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid[AT_ONCE];
        int fd[AT_ONCE][2];
        for (int k = 0; k < AT_ONCE; k++) {
            snprintf(th_db, sizeof th_db, "%.40s/%d", dir, k);
            assert_int_equal(pipe(fd[k]), 0);
            pid[k] = fork();
            if (pid[k] == 0)
                live(fd[k][1]);
            close(fd[k][1]);
        }
        for (int k = 0; k < AT_ONCE; k++) {
            usleep((useconds_t)(20000 + rand() % 100000));
            kill(pid[k], SIGKILL);
            waitpid(pid[k], NULL, 0);
        }
        for (int k = 0; k < AT_ONCE; k++) {
            char text[1000];
            size_t len;
            struct hist *h;
            struct hist_path p = {0};
            int64_t session = 0;
            snprintf(th_db, sizeof th_db, "%.40s/%d", dir, k);
            int prompts = must_be_there(fd[k][0], text, sizeof text);
            close(fd[k][0]);
            OK(hist_open(th_db, false, &h, E));
            if (hist_session_find(h, NULL, false, &session, NULL) == 0)
                OK(hist_path_get(h, session, 0, &p, E));
            assert_in_range(p.n, prompts * 2, prompts * 2 + 2);
            for (size_t i = 0; i < p.n; i++) {
                const char *was = hist_node_text(&p.at[i], &len);
                if (i % 2 == 0)
                    assert_string_equal(was, "letters");
                else if (i + 1 == (size_t)prompts * 2)
                    assert_memory_equal(was, text, strlen(text));
                if (i + 1 < p.n)
                    assert_int_equal(p.at[i].state, HIST_FINAL);
                else
                    assert_true(p.at[i].state == HIST_INTERRUPTED || p.at[i].state == HIST_FINAL);
            }
            checked += strlen(text);
            hist_path_finish(&p);
            OK(hist_check(h, E));
            hist_close(h);
            unlink(th_db);
        }
    }
    assert_true(checked > 100); /* bytes of half-written answers: the moments were what they should be */
}

/* ---- a history that fails ---- */

static sqlite3 *lock_db(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(th_db, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void unlock_db(sqlite3 *db)
{
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
}

static void locked_in_the_middle(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "text \"one \"\nwait 100\npace 25\ntext \"two three four five six seven eight nine ten a b c d e f g h i j k l m n o p q r s t u v w x y z "
                               "two three four five six seven eight nine ten a b c d e f g h i j k l m n o p q r s t u v w x y z\"\n");
    const char *text;
    begin(c, "count");
    run_for(c, 50);
    sqlite3 *db = lock_db();
    run_for(c, 900);
    assert_int_equal(heard.notices, 1);
    assert_non_null(strstr(heard.notice, "locked"));
    assert_non_null(strstr(heard.notice, "the answer goes on"));
    size_t so_far = strlen(heard.text);
    assert_true(so_far > 30); /* 900 ms, less the waits for the lock */
    unlock_db(db);
    run_for(c, 1200);
    assert_non_null(strstr(heard.notice, "saved again"));
    to_end(c);
    assert_int_equal(heard.notices, 2);
    assert_int_equal(heard.state, HIST_FINAL);
    assert_int_equal(stored(c, &text, NULL), HIST_FINAL);
    assert_string_equal(text, heard.text);
    leave(c, h);
}

static void locked_at_the_end(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "text \"one\"\nwait 100\ntext \" two\"\n");
    const char *text;
    begin(c, "count");
    run_for(c, 30);
    sqlite3 *db = lock_db();
    to_end(c);
    assert_int_equal(heard.ends, 1);
    assert_int_equal(heard.notices, 1);
    assert_non_null(strstr(heard.notice, "not saved yet"));
    unlock_db(db);
    int t = chat_timeout_ms(c);
    assert_in_range(t, 0, 1000); /* it tries again by itself */
    run_for(c, 1100);
    assert_int_equal(stored(c, &text, NULL), HIST_FINAL);
    assert_string_equal(text, "one two");
    assert_int_equal(chat_timeout_ms(c), -1);
    leave(c, h);
}

static void locked_before(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "messages\n");
    struct err err = {0};
    hist_set_wait(h, 50);
    sqlite3 *db = lock_db();
    assert_int_equal(chat_send(c, "hello", 5, &err), ERR_HISTORY);
    assert_non_null(strstr(err.msg, "locked"));
    assert_false(chat_busy(c));
    assert_int_equal(chat_path(c)->n, 0);
    assert_int_equal(chat_session(c), 0);
    unlock_db(db);
    ask(c, "hello");
    assert_string_equal(heard.text, "user: hello\n"); /* once */
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 1);
    hist_list_finish(&l);
    leave(c, h);
}

/* Files of this process cannot grow beyond what the database is now. */
static void disk_full(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "text \"one\"\nwait 50\npace 5 1000\necho\ndone\necho\n");
    char *big = mem_alloc(200001);
    struct rlimit was, now;
    struct stat st;
    const char *text;
    struct err err = {0};
    for (int i = 0; i < 200000; i++)
        big[i] = (char)('a' + i % 26);
    big[200000] = 0;
    conf.n_ctx = 1000000;
    signal(SIGXFSZ, SIG_IGN);
    begin(c, big);
    run_for(c, 20);
    chat_flush(c);
    stat(th_db, &st);
    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    now.rlim_cur = (rlim_t)st.st_size;
    setrlimit(RLIMIT_FSIZE, &now);
    to_end(c);
    assert_int_equal(heard.state, HIST_FINAL);
    assert_int_equal(heard.notices, 1);
    assert_int_equal(text_of(nth(c, 1))[0], 'o');
    /* nothing is sent while it cannot be saved */
    assert_int_equal(chat_send(c, "next", 4, &err), ERR_HISTORY);
    assert_int_equal(chat_path(c)->n, 2);
    setrlimit(RLIMIT_FSIZE, &was);
    ask(c, "next");
    assert_string_equal(heard.text, "next");
    assert_int_equal(stored(c, &text, NULL), HIST_FINAL);
    struct hist_path p;
    OK(hist_path_get(h, chat_session(c), 0, &p, E));
    size_t len;
    assert_int_equal(p.n, 4);
    assert_memory_equal(hist_node_text(&p.at[1], &len), "oneabc", 6);
    assert_int_equal(len, 200003); /* none of the first answer is lost */
    hist_path_finish(&p);
    free(big);
    leave(c, h);
}

static void read_only(void **state)
{
    (void)state;
    struct hist *h = th_open();
    hist_close(h);
    OK(hist_open(th_db, true, &h, E));
    struct chat *c = script(h, "text \"a\"\n");
    struct err err = {0};
    assert_int_equal(chat_send(c, "hello", 5, &err), ERR_HISTORY);
    assert_true(err.msg[0]);
    leave(c, h);
}

/* ---- versions ---- */

static void versions_with(struct hist *h)
{
    struct chat *c = script(h, "messages\n");
    struct err err = {0};
    assert_int_equal(chat_regen(c, &err), ERR_USAGE);
    assert_int_equal(chat_edit(c, 1, "x", 1, &err), ERR_USAGE);
    assert_int_equal(chat_raw(c, &err), ERR_USAGE);
    assert_int_equal(chat_send(c, "", 0, &err), ERR_INPUT);
    ask(c, "first");
    ask(c, "second");
    assert_string_equal(heard.text, "user: first\nassistant: user: first\n\nuser: second\n");
    int64_t answer = nth(c, 3)->id, prompt = nth(c, 2)->id;

    memset(&heard, 0, sizeof heard);
    OK(chat_regen(c, E));
    to_end(c);
    assert_string_equal(heard.text, "user: first\nassistant: user: first\n\nuser: second\n");
    assert_int_equal(chat_path(c)->n, 4);
    assert_int_equal(nth(c, 2)->id, prompt);
    assert_int_not_equal(nth(c, 3)->id, answer);
    assert_int_equal(nth(c, 3)->version, 2);
    assert_int_equal(nth(c, 3)->n_versions, 2);

    memset(&heard, 0, sizeof heard);
    OK(chat_edit(c, 1, "zweite", 6, E));
    to_end(c);
    assert_string_equal(heard.text, "user: first\nassistant: user: first\n\nuser: zweite\n");
    assert_int_equal(chat_path(c)->n, 4);
    assert_int_equal(nth(c, 2)->version, 2);
    assert_int_equal(nth(c, 3)->version, 1);

    memset(&heard, 0, sizeof heard);
    OK(chat_edit(c, 2, text_of(nth(c, 0)), 3, E)); /* text that the chat itself owns */
    to_end(c);
    assert_string_equal(heard.text, "user: fir\n");
    assert_int_equal(chat_path(c)->n, 2);
    assert_int_equal(nth(c, 0)->version, 2);
    assert_int_equal(chat_edit(c, 2, "x", 1, &err), ERR_USAGE);
    assert_int_equal(chat_edit(c, 0, "x", 1, &err), ERR_USAGE);
    assert_int_equal(chat_edit(c, 1, "", 0, &err), ERR_INPUT);

    memset(&heard, 0, sizeof heard);
    OK(chat_raw(c, E));
    to_end(c);
    assert_string_equal(heard.order, "mpe");
    assert_non_null(strstr(heard.prompt, "<|im_start|>user\nfir<|im_end|>\n"));
    assert_int_equal(chat_path(c)->n, 2);
    if (h) {
        struct hist_path p; /* everything is still there */
        OK(hist_nodes(h, chat_session(c), &p, E));
        assert_int_equal(p.n, 9);
        hist_path_finish(&p);
    }
    leave(c, h);
}

static void versions_saved(void **state)
{
    (void)state;
    versions_with(th_open());
}

static void versions_unsaved(void **state)
{
    (void)state;
    versions_with(NULL);
}

static void sessions(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "messages\n");
    struct err err = {0};
    struct hist_session s;
    conf.system = mem_strdup("be brief");
    ask(c, "one");
    assert_string_equal(heard.text, "system: be brief\nuser: one\n");
    int64_t first = chat_session(c);
    OK(hist_session_get(h, first, &s, E));
    assert_string_equal(s.system, "be brief"); /* belongs to the session from now on */
    hist_session_finish(&s);
    OK(chat_open(c, 0, E));
    assert_int_equal(chat_path(c)->n, 0);
    OK(chat_set_system(c, "be long", E));
    ask(c, "two");
    assert_string_equal(heard.text, "system: be long\nuser: two\n");
    int64_t second = chat_session(c);
    assert_int_not_equal(second, first);
    free(conf.system);
    conf.system = mem_strdup("other");
    OK(chat_open(c, first, E));
    assert_int_equal(chat_path(c)->n, 2);
    assert_string_equal(chat_system(c), "be brief");
    ask(c, "three");
    assert_non_null(strstr(heard.text, "system: be brief\nuser: one\n"));
    OK(chat_set_system(c, NULL, E));
    ask(c, "four");
    assert_memory_equal(heard.text, "user: one\n", 10);
    OK(chat_open(c, second, E));
    assert_string_equal(chat_system(c), "be long");
    assert_int_equal(chat_open(c, 999, &err), ERR_HISTORY);
    assert_int_equal(chat_session(c), second);
    chat_destroy(c);
    conf_finish(&conf);
    /* given on the command line with the session: replaces what the session has, of this one only */
    c = script(h, "messages\n");
    free(conf.system);
    conf.system = mem_strdup("from the command line");
    conf.system_given = true;
    OK(chat_open(c, first, E));
    ask(c, "five");
    assert_non_null(strstr(heard.text, "system: from the command line\n"));
    OK(hist_session_get(h, first, &s, E));
    assert_string_equal(s.system, "from the command line");
    hist_session_finish(&s);
    OK(chat_open(c, second, E));
    assert_string_equal(chat_system(c), "be long");
    leave(c, h);
    c = script(NULL, "messages\n");
    assert_int_equal(chat_open(c, 1, &err), ERR_HISTORY);
    leave(c, NULL);
}

/* ---- limits ---- */

static void a_full_context_is_announced(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "context 100\nread 0 70\ntext \"a\"\nusage n_used 71\ndone\n"
                               "read 0 81\ntext \"b\"\nusage n_used 82\ndone\n"
                               "read 0 83\ntext \"c\"\nusage n_used 84\ndone\n"
                               "read 0 90\npace 1 1\ntext \"dddddddddd\"\nusage n_used 100\ndone context\n"
                               "read 0 10\ntext \"e\"\nusage n_used 12\ndone\n"
                               "read 0 96\ntext \"f\"\ndone\n");
    ask(c, "1");
    assert_int_equal(heard.notices, 0);
    ask(c, "2");
    assert_int_equal(heard.notices, 1);
    assert_non_null(strstr(heard.notice, "81 %"));
    assert_non_null(strstr(heard.notice, "81 of 100"));
    ask(c, "3");
    assert_int_equal(heard.notices, 0); /* said once */
    ask(c, "4");
    assert_int_equal(heard.notices, 1); /* and before it is full */
    assert_non_null(strstr(heard.notice, "95 of 100"));
    assert_string_equal(heard.end.stop, "context");
    assert_int_equal(heard.state, HIST_FINAL);
    OK(chat_open(c, 0, E));
    ask(c, "5");
    assert_int_equal(heard.notices, 0);
    ask(c, "6");
    assert_int_equal(heard.notices, 1);
    leave(c, h);
}

static void a_prompt_too_long_is_out_of_the_way(void **state)
{
    (void)state;
    for (int saved = 0; saved < 2; saved++) {
        struct hist *h = saved ? th_open() : NULL;
        struct chat *c = script(h, "error toolong \"5000 tokens, 4096 fit\"\nmessages\ndone\nerror toolong \"5000 tokens, 4096 fit\"\nmessages\n");
        ask(c, "much too long"); /* the first one stays: there is nothing before it */
        assert_int_equal(heard.state, HIST_ERROR);
        assert_int_equal(heard.end.err.code, ERR_TOOLONG);
        assert_int_equal(chat_path(c)->n, 2);
        memset(&heard, 0, sizeof heard);
        OK(chat_edit(c, 1, "short", 5, E));
        to_end(c);
        assert_string_equal(heard.text, "user: short\n");
        ask(c, "much too long again");
        assert_int_equal(heard.state, HIST_ERROR);
        assert_int_equal(chat_path(c)->n, 2);
        ask(c, "next");
        assert_string_equal(heard.text, "user: short\nassistant: user: short\n\nuser: next\n");
        if (h) {
            struct hist_path p;
            OK(hist_nodes(h, chat_session(c), &p, E));
            assert_int_equal(p.n, 8); /* lost is nothing */
            hist_path_finish(&p);
        }
        leave(c, h);
    }
}

static void refused_before_anything_is_kept(void **state)
{
    (void)state;
    struct hist *h = th_open();
    struct chat *c = script(h, "text \"a\"\n");
    struct err err = {0};
    struct hist_list l;
    free(conf.model);
    conf.model = mem_strdup("/no/such/model.gguf");
    assert_int_equal(chat_send(c, "x", 1, &err), ERR_NOMODEL);
    free(conf.model);
    conf.model = mem_strdup(th_db);
    conf.tmpl = mem_strdup("nonsense");
    assert_int_equal(chat_send(c, "x", 1, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "nonsense"));
    free(conf.tmpl);
    conf.tmpl = mem_strdup("chatml");
    assert_int_equal(chat_path(c)->n, 0);
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, 0);
    hist_list_finish(&l);
    ask(c, "x");
    assert_int_equal(heard.state, HIST_FINAL);
    leave(c, h);
}

/* No descriptor is left for the engine's socket. */
static void no_engine(void **state)
{
    (void)state;
    struct chat *c = script(NULL, "");
    struct rlimit was, now;
    chat_destroy(c);
    unsetenv("HADAL_ENGINE");
    OK(chat_create(&conf, NULL, &face, &c, E));
    int fds[64], n = 0;
    getrlimit(RLIMIT_NOFILE, &was);
    now = was;
    now.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &now);
    while (n < 64 && (fds[n] = dup(0)) >= 0)
        n++;
    begin(c, "hello");
    while (n > 0)
        close(fds[--n]);
    setrlimit(RLIMIT_NOFILE, &was);
    assert_int_equal(chat_fd(c), -1);
    assert_int_equal(chat_timeout_ms(c), 0);
    to_end(c);
    assert_int_equal(heard.state, HIST_ERROR);
    assert_non_null(strstr(heard.end.err.msg, "cannot start the engine"));
    assert_int_equal(nth(c, 1)->state, HIST_ERROR);
    leave(c, NULL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_answer_is_kept),     CASE(it_is_written_as_it_comes), CASE(stopped_in_each_state),
        CASE(dead_in_each_state),    CASE(the_program_ends_in_the_middle), CASE(locked_in_the_middle),
        CASE(locked_at_the_end),     CASE(locked_before),             CASE(disk_full),
        CASE(killed_at_any_moment),  CASE(read_only),             CASE(versions_saved),            CASE(versions_unsaved),
        CASE(sessions),              CASE(a_full_context_is_announced), CASE(a_prompt_too_long_is_out_of_the_way),
        CASE(refused_before_anything_is_kept), CASE(no_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
