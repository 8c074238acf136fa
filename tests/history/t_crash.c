/* Processes: killed at any moment, two at a time, four at the start, and whose answer it is. */
#include "config.h"
#include "tests/history/th.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "history/impl.h"

/* What a child tells when something is committed. */
struct said {
    int64_t session, node;
    int turn, chunks;
    bool ended;
};

static int chunk_text(char *out, size_t size, int turn, int chunk)
{
    return snprintf(out, size, "chunk %d of turn %d %.*s;", chunk, turn, chunk * 37 % 200,
                    "....................................................................................................."
                    ".....................................................................................................");
}

static void must(int rc, const struct err *err)
{
    if (rc != 0) {
        fprintf(stderr, "child: %s\n", err->msg);
        _exit(1);
    }
}

/* Talks without end, and says what it has been told is saved. */
static void talk(int fd, int first_turn)
{
    struct hist *h;
    struct err err = {0};
    struct said s = {0};
    must(hist_open(th_db, false, &h, &err), &err);
    must(hist_session_new(h, &s.session, &err), &err);
    int64_t parent = 0;
    for (s.turn = first_turn;; s.turn++) {
        char text[300];
        int n = snprintf(text, sizeof text, "prompt %d", s.turn);
        must(hist_turn_begin(h, s.session, parent, text, (size_t)n, NULL, &s.node, &err), &err);
        s.chunks = 0;
        s.ended = false;
        if (write(fd, &s, sizeof s) != sizeof s)
            _exit(1);
        while (s.chunks < 1 + s.turn % 9) {
            n = chunk_text(text, sizeof text, s.turn, s.chunks);
            must(hist_append(h, s.node, s.chunks % 4 == 3 ? HIST_REASONING : HIST_TEXT, text, (size_t)n, &err), &err);
            s.chunks++;
            if (write(fd, &s, sizeof s) != sizeof s)
                _exit(1);
        }
        must(hist_turn_end(h, s.node, HIST_FINAL, NULL, &err), &err);
        s.ended = true;
        if (write(fd, &s, sizeof s) != sizeof s)
            _exit(1);
        parent = s.node;
    }
}

/* The node has what was acknowledged, perhaps one step more, in order. */
static void verify(struct hist *h, const struct said *s)
{
    struct hist_path p;
    char text[300];
    OK(hist_path_get(h, s->session, s->node, &p, E));
    assert_true(p.n >= 2);
    snprintf(text, sizeof text, "prompt %d", s->turn);
    assert_string_equal(th_text(&p.at[p.n - 2]), text);
    const struct hist_node *n = &p.at[p.n - 1];
    if (s->ended)
        assert_int_equal(n->state, HIST_FINAL);
    else
        assert_true(n->state == HIST_INTERRUPTED || n->state == HIST_FINAL);
    char all[4000] = "", want[4000] = "";
    for (size_t i = 0; i < n->n_parts; i++)
        memcpy(all + strlen(all), n->parts[i].text, n->parts[i].n + 1);
    for (int i = 0; i < s->chunks; i++)
        chunk_text(want + strlen(want), sizeof want - strlen(want), s->turn, i);
    if (strcmp(all, want) != 0) { /* committed, but killed before it was told */
        assert_false(s->ended);
        chunk_text(want + strlen(want), sizeof want - strlen(want), s->turn, s->chunks);
        assert_string_equal(all, want);
    }
    hist_path_finish(&p);
}

static void killed(void **state)
{
    (void)state;
    enum { ROUNDS = 50 };
    struct said *all = NULL;
    size_t n = 0;
    int turn = 1, interrupted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int fd[2], status;
        assert_int_equal(pipe(fd), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(fd[0]);
            talk(fd[1], turn);
        }
        close(fd[1]);
        size_t before = n;
        struct said s;
        int heard = 0, kill_after = 1 + (int)(th_random() % 8);
        while (read(fd[0], &s, sizeof s) == sizeof s) {
            if (n == before || all[n - 1].turn != s.turn) {
                all = realloc(all, (n + 1) * sizeof *all);
                n++;
            }
            all[n - 1] = s;
            turn = s.turn + 2; /* the next may have begun */
            if (++heard == kill_after) {
                usleep(th_random() % 10000);
                kill(pid, SIGKILL);
            }
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(fd[0]);
        assert_true(n > before);
        interrupted += !all[n - 1].ended;
        struct hist *h = th_open();
        for (size_t i = before; i < n; i++)
            verify(h, &all[i]);
        OK(hist_check(h, E));
        hist_close(h);
    }
    struct hist *h = th_open();
    for (size_t i = 0; i < n; i++)
        verify(h, &all[i]);
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, ROUNDS);
    hist_list_finish(&l);
    hist_close(h);
    assert_true(interrupted > 0);
    print_message("%zu turns, %d of %d kills inside an answer\n", n, interrupted, ROUNDS);
    free(all);
}

static enum hist_state state_of(struct hist *h, int64_t session, int64_t node)
{
    struct hist_path p;
    OK(hist_path_get(h, session, node, &p, E));
    enum hist_state s = p.at[p.n - 1].state;
    hist_path_finish(&p);
    return s;
}

/* A living process keeps its answer; a dead one, even one that nobody has waited for, does not. */
static void whose(void **state)
{
    (void)state;
    int fd[2];
    struct said s;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct hist *h;
        struct err err = {0};
        must(hist_open(th_db, false, &h, &err), &err);
        must(hist_session_new(h, &s.session, &err), &err);
        must(hist_turn_begin(h, s.session, 0, "who?", 4, NULL, &s.node, &err), &err);
        must(hist_append(h, s.node, HIST_TEXT, "the walrus", 10, &err), &err);
        if (write(fd[1], &s, sizeof s) != sizeof s)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(fd[0], &s, sizeof s), sizeof s);
    struct hist *h = th_open();
    struct hist_hits hits;
    assert_int_equal(state_of(h, s.session, s.node), HIST_STREAMING);
    th_turn(h, s.session, s.node, "meanwhile", "elsewhere"); /* a second writer makes a branch, or goes on */
    OK(hist_search(h, "walrus", 0, &hits, E));
    assert_int_equal(hits.n, 0);
    hist_hits_finish(&hits);
    hist_close(h);
    h = th_open();
    assert_int_equal(state_of(h, s.session, s.node), HIST_STREAMING);
    hist_close(h);
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* it stays a zombie */
    h = th_open();
    assert_int_equal(state_of(h, s.session, s.node), HIST_INTERRUPTED);
    OK(hist_search(h, "walrus", 0, &hits, E));
    assert_int_equal(hits.n, 1);
    hist_hits_finish(&hits);
    assert_int_equal(hist_append(h, s.node, HIST_TEXT, "x", 1, NULL), ERR_HISTORY);
    hist_close(h);
    waitpid(pid, NULL, 0);
    close(fd[0]);
    close(fd[1]);
}

static void alive(void **state)
{
    (void)state;
    struct owner me, o;
    int64_t now = clock_wall_ms();
    owner_self(&me);
    assert_int_equal(me.pid, getpid());
    assert_true(me.start > 0 && strlen(me.boot) == 36 && me.ns[0]);
    o = me;
    assert_true(owner_alive(&o, &me, now)); /* whatever the time of its last sign */
    o.start--;
    assert_false(owner_alive(&o, &me, now)); /* the number was used again */
    o = me;
    o.pid = 0x3fffffff;
    o.beat_ms = now;
    assert_false(owner_alive(&o, &me, now));
    o.ns[0] = '-'; /* in another namespace: by its last sign */
    assert_true(owner_alive(&o, &me, now + 1000));
    assert_false(owner_alive(&o, &me, now + 3600 * 1000));
    o = me;
    o.boot[0] = '-';
    snprintf(me.machine, sizeof me.machine, "m1");
    snprintf(o.machine, sizeof o.machine, "m1");
    o.beat_ms = now;
    assert_false(owner_alive(&o, &me, now)); /* this machine was started anew */
    snprintf(o.machine, sizeof o.machine, "m2");
    assert_true(owner_alive(&o, &me, now));
    assert_false(owner_alive(&o, &me, now + 3600 * 1000));
}

/* An answer that was called interrupted by mistake (no sign of life for an hour, from another machine) is taken back. */
static void taken_back(void **state)
{
    (void)state;
    struct hist *h = th_open(), *other;
    int64_t s = th_session(h), node;
    OK(hist_turn_begin(h, s, 0, "long", 4, NULL, &node, E));
    OK(hist_append(h, node, HIST_TEXT, "one ", 4, E));
    assert_int_equal(sqlite3_exec(h->db, "UPDATE owner SET boot = 'b', machine = 'm', beat_ms = 1", NULL, NULL, NULL), SQLITE_OK);
    OK(hist_open(th_db, false, &other, E));
    assert_int_equal(state_of(other, s, node), HIST_INTERRUPTED);
    OK(hist_append(h, node, HIST_TEXT, "two", 3, E));
    assert_int_equal(state_of(other, s, node), HIST_STREAMING);
    hist_close(other);
    OK(hist_open(th_db, false, &other, E));
    assert_int_equal(state_of(other, s, node), HIST_STREAMING);
    struct hist_path p;
    OK(hist_path_get(other, s, 0, &p, E));
    assert_string_equal(th_text(&p.at[1]), "one two");
    hist_path_finish(&p);
    hist_close(h); /* without an end */
    assert_int_equal(state_of(other, s, node), HIST_INTERRUPTED);
    struct hist_hits hits;
    OK(hist_search(other, "two", 0, &hits, E));
    assert_int_equal(hits.n, 1);
    hist_hits_finish(&hits);
    OK(hist_check(other, E));
    hist_close(other);
}

/* Several processes, one new file, short turns: no error, nothing lost, nothing double. */
static void together(void **state)
{
    (void)state;
    enum { PROCESSES = 4, TURNS = 40 };
    pid_t pid[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            struct hist *h;
            struct err err = {0};
            int64_t s, node = 0;
            must(hist_open(th_db, false, &h, &err), &err);
            must(hist_session_new(h, &s, &err), &err);
            for (int k = 0; k < TURNS; k++) {
                char text[60];
                int n = snprintf(text, sizeof text, "p%dk%d", i, k);
                must(hist_turn_begin(h, s, node, text, (size_t)n, NULL, &node, &err), &err);
                must(hist_append(h, node, HIST_TEXT, text, (size_t)n, &err), &err);
                must(hist_turn_end(h, node, HIST_FINAL, NULL, &err), &err);
                struct hist_list l;
                must(hist_session_list(h, false, 10, &l, &err), &err);
                hist_list_finish(&l);
            }
            hist_close(h);
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    struct hist *h = th_open();
    struct hist_list l;
    OK(hist_session_list(h, false, 0, &l, E));
    assert_int_equal(l.n, PROCESSES);
    for (size_t i = 0; i < l.n; i++) {
        struct hist_path p;
        int who;
        OK(hist_path_get(h, l.at[i].id, 0, &p, E));
        assert_int_equal(p.n, 2 * TURNS);
        assert_int_equal(sscanf(th_text(&p.at[0]), "p%dk0", &who), 1);
        for (size_t k = 0; k < p.n; k++) {
            char want[60];
            snprintf(want, sizeof want, "p%dk%zu", who, k / 2);
            assert_string_equal(th_text(&p.at[k]), want);
        }
        hist_path_finish(&p);
    }
    hist_list_finish(&l);
    OK(hist_check(h, E));
    hist_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {th_case(killed), th_case(whose), th_case(alive), th_case(taken_back), th_case(together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
