#ifndef TESTS_HISTORY_TH_H
#define TESTS_HISTORY_TH_H
/* A database of its own for each case, in a directory that is removed at the end. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history/hist.h"
#include "tests/t.h"

static char th_dir[64], th_db[96];

#define OK(call)                                                                                                           \
    do {                                                                                                                   \
        struct err ok_err = {0};                                                                                           \
        int ok_rc = (call);                                                                                                \
        if (ok_rc != 0)                                                                                                    \
            fail_msg("%s: %d %s", #call, ok_rc, ok_err.msg);                                                               \
    } while (0)
#define E (&ok_err)

/* Numbers that are the same in each run. */
static inline uint32_t th_random(void)
{
    static uint32_t seed = 4242;
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static inline int th_setup(void **state)
{
    (void)state;
    snprintf(th_dir, sizeof th_dir, "/tmp/hadal-hist-XXXXXX");
    if (!mkdtemp(th_dir))
        return -1;
    snprintf(th_db, sizeof th_db, "%s/history.db", th_dir);
    return 0;
}

static inline int th_teardown(void **state)
{
    (void)state;
    DIR *d = opendir(th_dir);
    struct dirent *f;
    while (d && (f = readdir(d))) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", th_dir, f->d_name);
        if (f->d_name[0] != '.' && unlink(path) < 0)
            rmdir(path);
    }
    if (d)
        closedir(d);
    return rmdir(th_dir);
}

static inline struct hist *th_open(void)
{
    struct hist *h = NULL;
    OK(hist_open(th_db, false, &h, E));
    return h;
}

static inline int64_t th_session(struct hist *h)
{
    int64_t id = 0;
    OK(hist_session_new(h, &id, E));
    return id;
}

/* A prompt and its whole answer below `parent`; returns the answer's node. */
static inline int64_t th_turn(struct hist *h, int64_t session, int64_t parent, const char *prompt, const char *answer)
{
    int64_t user = 0, node = 0;
    OK(hist_turn_begin(h, session, parent, prompt, prompt ? strlen(prompt) : 0, &user, &node, E));
    if (*answer)
        OK(hist_append(h, node, HIST_TEXT, answer, strlen(answer), E));
    OK(hist_turn_end(h, node, HIST_FINAL, NULL, E));
    return node;
}

static inline const char *th_text(const struct hist_node *n)
{
    size_t len;
    return hist_node_text(n, &len);
}

#define th_case(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)

#endif
