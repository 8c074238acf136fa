/* The tree against a model of it: random prompts, new versions, moves, deletions, undone work; and what a large history costs. */
#include "config.h"
#include "tests/history/th.h"

#include "base/clock.h"
#include "history/impl.h"

enum { SESSIONS = 6, MAX_NODES = 4000 };

struct m_node {
    int64_t id, parent;
    int session;
    enum hist_role role;
    char text[24];
    int64_t last_child;
};

struct m_session {
    int64_t id, head;
    bool deleted;
    int64_t used; /* order of use */
};

struct world {
    struct m_session session[SESSIONS];
    struct m_node node[MAX_NODES];
    int n;
    int64_t clock;
};

static struct world w, saved;

static struct m_node *m_find(int64_t id)
{
    for (int i = 0; i < w.n; i++)
        if (w.node[i].id == id)
            return &w.node[i];
    return NULL;
}

static void m_lead(int64_t id)
{
    struct m_node *parent;
    for (struct m_node *n = m_find(id); n && (parent = m_find(n->parent)); n = parent)
        parent->last_child = n->id;
}

static void m_add(int session, int64_t id, int64_t parent, enum hist_role role, const char *text)
{
    assert_true(w.n < MAX_NODES);
    struct m_node *n = &w.node[w.n++];
    *n = (struct m_node){id, parent, session, role, "", 0};
    snprintf(n->text, sizeof n->text, "%s", text);
    w.session[session].head = id;
    m_lead(id);
}

static int64_t m_leaf(int64_t id)
{
    struct m_node *n = m_find(id);
    while (n->last_child)
        n = m_find(n->last_child);
    return n->id;
}

/* A random node of a session with this role (or any: -1), 0: none. */
static int64_t pick(int session, int role)
{
    int64_t found = 0;
    int seen = 0;
    for (int i = 0; i < w.n; i++)
        if (w.node[i].session == session && (role < 0 || w.node[i].role == (enum hist_role)role) && th_random() % (uint32_t)++seen == 0)
            found = w.node[i].id;
    return found;
}

static void compare_session(struct hist *h, int k)
{
    struct m_session *s = &w.session[k];
    struct hist_session info;
    struct hist_path p;
    int total = 0, leaves = 0;
    OK(hist_nodes(h, s->id, &p, E));
    for (int i = 0; i < w.n; i++) {
        struct m_node *n = &w.node[i];
        if (n->session != k)
            continue;
        struct hist_node *is = &p.at[total];
        assert_true((size_t)total < p.n);
        assert_true(is->id == n->id && is->parent == n->parent && is->role == n->role && is->state == HIST_FINAL);
        assert_string_equal(th_text(is), n->text);
        int version = 0, versions = 0;
        for (int j = 0; j < w.n; j++)
            if (w.node[j].session == k && w.node[j].parent == n->parent && w.node[j].role == n->role) {
                versions++;
                version += w.node[j].id <= n->id;
            }
        assert_true(is->version == version && is->n_versions == versions);
        total++;
        leaves += n->last_child == 0;
    }
    assert_int_equal(p.n, total);
    hist_path_finish(&p);
    OK(hist_session_get(h, s->id, &info, E));
    assert_int_equal(info.head, s->head);
    assert_int_equal(info.n_messages, total);
    assert_int_equal(info.n_branches, leaves);
    assert_int_equal(info.deleted_ms != 0, s->deleted);
    hist_session_finish(&info);
    OK(hist_path_get(h, s->id, 0, &p, E));
    int64_t at = s->head;
    for (size_t i = p.n; i-- > 0; at = m_find(at)->parent)
        assert_int_equal(p.at[i].id, at);
    assert_int_equal(at, 0);
    hist_path_finish(&p);
    if (s->head) {
        int64_t from = pick(k, -1), leaf;
        OK(hist_leaf(h, from, &leaf, E));
        assert_int_equal(leaf, m_leaf(from));
    }
}

static void compare(struct hist *h)
{
    struct hist_list l;
    for (int k = 0; k < SESSIONS; k++)
        compare_session(h, k);
    OK(hist_session_list(h, false, 0, &l, E));
    size_t n = 0;
    int64_t before = INT64_MAX;
    for (int k = 0; k < SESSIONS; k++)
        n += !w.session[k].deleted && w.session[k].used;
    assert_int_equal(l.n, n);
    for (size_t i = 0; i < l.n; i++)
        for (int k = 0; k < SESSIONS; k++)
            if (w.session[k].id == l.at[i].id) {
                assert_true(w.session[k].used < before);
                before = w.session[k].used;
            }
    hist_list_finish(&l);
}

/* One turn in the world and in history. prompt NULL: a new version of the answer to `parent`. */
static void turn(struct hist *h, int k, int64_t parent, const char *prompt)
{
    struct m_session *s = &w.session[k];
    int64_t user = 0, answer;
    char text[24];
    snprintf(text, sizeof text, "answer %u", th_random());
    OK(hist_turn_begin(h, s->id, parent, prompt, prompt ? strlen(prompt) : 0, &user, &answer, E));
    OK(hist_append(h, answer, HIST_TEXT, text, 3, E));
    OK(hist_append(h, answer, HIST_TEXT, text + 3, strlen(text) - 3, E));
    OK(hist_turn_end(h, answer, HIST_FINAL, NULL, E));
    if (prompt)
        m_add(k, user, parent, HIST_USER, prompt);
    m_add(k, answer, prompt ? user : parent, HIST_ASSISTANT, text);
    s->used = ++w.clock;
}

static void step(struct hist *h)
{
    int k = (int)(th_random() % SESSIONS);
    struct m_session *s = &w.session[k];
    char text[24];
    int64_t node;
    snprintf(text, sizeof text, "prompt %u", th_random());
    switch (th_random() % 8) {
    case 0:
    case 1: /* go on */
        turn(h, k, s->head, text);
        break;
    case 2: /* regenerate */
        if ((node = pick(k, HIST_USER)))
            turn(h, k, node, NULL);
        break;
    case 3: /* edit a prompt: below its parent */
        if ((node = pick(k, HIST_USER)))
            turn(h, k, m_find(node)->parent, text);
        break;
    case 4: /* go on from anywhere, without moving the head first */
        if ((node = pick(k, HIST_ASSISTANT)))
            turn(h, k, node, text);
        break;
    case 5:
        node = th_random() % 8 ? pick(k, -1) : 0;
        if (node || !pick(k, -1)) {
            OK(hist_head_set(h, s->id, node, E));
            s->head = node;
            m_lead(node);
        }
        break;
    case 6:
        OK(s->deleted ? hist_session_undelete(h, s->id, E) : hist_session_delete(h, s->id, E));
        s->deleted = !s->deleted;
        break;
    default: /* a message that is already there */
    {
        struct hist_part part = {HIST_TEXT, text, strlen(text)};
        int64_t parent = pick(k, -1);
        OK(hist_node_put(h, s->id, parent, HIST_TOOL, HIST_FINAL, 5, &part, 1, &node, E));
        OK(hist_head_set(h, s->id, node, E));
        m_add(k, node, parent, HIST_TOOL, text);
    }
    }
}

static void random_work(void **state)
{
    (void)state;
    struct hist *h = th_open();
    memset(&w, 0, sizeof w);
    for (int k = 0; k < SESSIONS; k++) {
        w.session[k].id = th_session(h);
        turn(h, k, 0, "begin");
    }
    for (int round = 0; round < 60; round++) {
        if (round % 3 == 0) {
            for (int i = 0; i < 8; i++)
                step(h);
        } else { /* several in one transaction; each second such is undone */
            saved = w;
            OK(hist_begin(h, E));
            for (int i = 0; i < 12; i++)
                step(h);
            if (round % 3 == 1) {
                OK(hist_commit(h, E));
            } else {
                hist_rollback(h);
                w = saved;
            }
        }
        compare(h);
        if (round % 20 == 10) {
            hist_close(h);
            h = th_open();
            compare(h);
        }
    }
    OK(hist_check(h, E));
    hist_close(h);
}

/* A clock that goes back does not put the newest session behind. */
static void clock_jumps(void **state)
{
    (void)state;
    struct hist *h = th_open();
    int64_t a = th_session(h), b = th_session(h), id;
    th_turn(h, a, 0, "one", "x");
    assert_int_equal(sqlite3_exec(h->db, "UPDATE session SET place = place + 1000000000, updated_ms = updated_ms + 1000000000", NULL, NULL, NULL),
                     SQLITE_OK);
    th_turn(h, b, 0, "two", "x");
    OK(hist_session_find(h, NULL, false, &id, E));
    assert_int_equal(id, b);
    th_turn(h, a, 0, "three", "x");
    OK(hist_session_find(h, NULL, false, &id, E));
    assert_int_equal(id, a);
    hist_close(h);
    char one[27], two[27];
    ulid_make(one, 1700000000000);
    for (int i = 0; i < 2000; i++) {
        ulid_make(two, 1700000000000 - i);
        assert_true(strcmp(one, two) < 0 && strlen(two) == 26);
        memcpy(one, two, sizeof one);
    }
    ulid_make(two, 1800000000000);
    assert_memory_equal(two, "01MCC5RM00", 10);
}

/* A chain that is long and a node that has many versions: nothing recurses, nothing is quadratic. */
static void long_and_wide(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct hist *h = th_open();
    int64_t s = th_session(h), at = 0, node, first = 0;
    struct hist_part part = {HIST_TEXT, (char *)(uintptr_t)"x", 1};
    OK(hist_begin(h, E));
    for (int i = 0; i < N; i++) {
        OK(hist_node_put(h, s, at, i % 2 ? HIST_ASSISTANT : HIST_USER, HIST_FINAL, i, &part, 1, &at, E));
        first = first ? first : at;
    }
    for (int i = 0; i < N; i++)
        OK(hist_node_put(h, s, first, HIST_ASSISTANT, HIST_FINAL, i, &part, 1, &node, E));
    OK(hist_head_set(h, s, at, E));
    OK(hist_commit(h, E));
    struct hist_path p;
    int64_t newest;
    OK(hist_session_find(h, NULL, false, &newest, E));
    assert_int_equal(newest, s);
    OK(hist_path_get(h, s, 0, &p, E));
    assert_int_equal(p.n, N);
    assert_int_equal(p.at[1].n_versions, N + 1);
    hist_path_finish(&p);
    int64_t before = clock_mono_us();
    OK(hist_nodes(h, s, &p, E));
    assert_int_equal(p.n, 2 * N);
    assert_int_equal(p.at[2 * N - 1].version, N + 1);
    hist_path_finish(&p);
    assert_true(clock_mono_us() - before < 2000000); /* quadratic would be minutes */
    int n;
    OK(hist_session_delete(h, s, E));
    OK(hist_purge(h, 0, &n, E));
    assert_int_equal(n, 1);
    hist_close(h);
}

/* 50,000 messages in 2,500 sessions: opening does not read them, and the list is there at once. */
static void large(void **state)
{
    (void)state;
    struct hist *h = th_open();
    char *why = NULL;
    if (sqlite3_exec(h->db,
                     "BEGIN;"
                     "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 2500)"
                     " INSERT INTO session(id, uid, title, created_ms, updated_ms, place)"
                     " SELECT n, printf('%026d', n), 'title ' || n, n, n, n FROM i;"
                     "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 50000)"
                     " INSERT INTO node(id, session_id, parent_id, last_child, role, state, created_ms)"
                     " SELECT n, (n - 1) / 20 + 1, iif(n % 20 = 1, NULL, n - 1), iif(n % 20 = 0, NULL, n + 1),"
                     "  iif(n % 2, 'user', 'assistant'), 'final', n FROM i;"
                     "INSERT INTO part(node_id, ord, kind, text) SELECT id, 0, 'text', zeroblob(800) FROM node;"
                     "UPDATE session SET head_id = id * 20;"
                     "COMMIT", NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    hist_close(h);
    int64_t best_open = INT64_MAX, best_list = INT64_MAX;
    for (int i = 0; i < 10; i++) {
        int64_t before = clock_mono_us();
        h = th_open();
        int64_t opened = clock_mono_us();
        struct hist_list l;
        OK(hist_session_list(h, false, 200, &l, E));
        int64_t listed = clock_mono_us();
        assert_int_equal(l.n, 200);
        assert_int_equal(l.at[0].id, 2500);
        assert_int_equal(l.at[0].n_messages, 20);
        assert_int_equal(l.at[0].n_branches, 1);
        hist_list_finish(&l);
        best_open = opened - before < best_open ? opened - before : best_open;
        best_list = listed - opened < best_list ? listed - opened : best_list;
        hist_close(h);
    }
    print_message("50,000 messages: open %d us, list of 200 %d us\n", (int)best_open, (int)best_list);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    assert_true(best_open < 5000 && best_list < 5000);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {th_case(random_work), th_case(clock_jumps), th_case(long_and_wide), th_case(large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
