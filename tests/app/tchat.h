#ifndef TESTS_APP_TCHAT_H
#define TESTS_APP_TCHAT_H
/* A face for tests of chats: it writes down what it hears, and turns a poll loop. One chat at a time. */
#include <poll.h>

#include "app/chat.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tests/history/th.h"

static struct heard {
    char order[100];     /* l r t T p m e, runs as one letter */
    char text[4000], thought[400], prompt[400], notice[2000];
    int notices, ends;
    enum hist_state state;
    struct event end;
    int64_t ended_us;
} heard;

static inline void letter(char c)
{
    size_t n = strlen(heard.order);
    if (n + 1 < sizeof heard.order && !(n && heard.order[n - 1] == c)) {
        heard.order[n] = c;
        heard.order[n + 1] = 0;
    }
}

static inline void on_load(void *arg, uint64_t done, uint64_t total)
{
    assert_ptr_equal(arg, &heard);
    assert_true(done <= total);
    letter('l');
}
static inline void on_prefill(void *arg, int done, int total, int reused)
{
    (void)arg;
    assert_true(reused <= done && done <= total);
    letter('r');
}
static inline void add(char *to, size_t size, const char *s, size_t n)
{
    size_t have = strlen(to);
    if (have + n < size) {
        memcpy(to + have, s, n);
        to[have + n] = 0;
    }
}
static inline void on_text(void *arg, const char *s, size_t n)
{
    (void)arg;
    letter('t');
    add(heard.text, sizeof heard.text, s, n);
}
static inline void on_thought(void *arg, const char *s, size_t n)
{
    (void)arg;
    letter('T');
    add(heard.thought, sizeof heard.thought, s, n);
}
static inline void on_prompt(void *arg, const char *s, size_t n)
{
    (void)arg;
    letter('p');
    add(heard.prompt, sizeof heard.prompt, s, n);
}
static inline void on_model(void *arg, const struct event *e)
{
    (void)arg;
    assert_non_null(e->name);
    letter('m');
}
static inline void on_end(void *arg, enum hist_state state, const struct event *e)
{
    (void)arg;
    letter('e');
    heard.ends++;
    heard.state = state;
    heard.end = *e;
    heard.ended_us = clock_mono_us();
}
static inline void on_notice(void *arg, const char *text)
{
    (void)arg;
    heard.notices++;
    add(heard.notice, sizeof heard.notice, text, strlen(text));
    add(heard.notice, sizeof heard.notice, "\n", 1);
}

static const struct chat_face face = {.arg = &heard, .load = on_load, .prefill = on_prefill, .text = on_text, .thought = on_thought,
                                      .prompt = on_prompt, .model = on_model, .end = on_end, .notice = on_notice};
static struct conf conf;

static inline void leave(struct chat *c, struct hist *h)
{
    chat_destroy(c);
    hist_close(h);
    conf_finish(&conf);
}

/* One turn of a poll loop. */
static inline void turn(struct chat *c, int wait_ms)
{
    int t = chat_timeout_ms(c);
    struct pollfd p = {.fd = chat_fd(c), .events = POLLIN};
    poll(&p, 1, t >= 0 && t < wait_ms ? t : wait_ms);
    chat_work(c);
}

static inline void run_for(struct chat *c, int ms)
{
    for (int64_t end = clock_mono_us() + ms * 1000; clock_mono_us() < end;)
        turn(c, 5);
    turn(c, 0); /* what is due by now, however busy the machine was */
}

static inline void to_end(struct chat *c)
{
    int64_t t0 = clock_mono_us();
    while (chat_busy(c)) {
        turn(c, 50);
        assert_true(clock_mono_us() - t0 < 10000000);
    }
}

static inline void begin(struct chat *c, const char *text)
{
    memset(&heard, 0, sizeof heard);
    OK(chat_send(c, text, strlen(text), E));
}

static inline void ask(struct chat *c, const char *text)
{
    begin(c, text);
    to_end(c);
    assert_int_equal(heard.ends, 1);
}

static inline const struct hist_node *nth(const struct chat *c, size_t i)
{
    assert_true(i < chat_path(c)->n);
    return &chat_path(c)->at[i];
}

static inline const char *text_of(const struct hist_node *n)
{
    size_t len;
    return hist_node_text(n, &len);
}

/* What another process would read: the state of the last node, its text in *text (static). */
static inline enum hist_state stored(struct chat *c, const char **text, size_t *n_nodes)
{
    static char copy[4000];
    struct hist *h;
    struct hist_path p;
    OK(hist_open(th_db, true, &h, E));
    OK(hist_path_get(h, chat_session(c), 0, &p, E));
    enum hist_state state = p.n ? p.at[p.n - 1].state : HIST_FINAL;
    snprintf(copy, sizeof copy, "%s", p.n ? text_of(&p.at[p.n - 1]) : "");
    *text = copy;
    if (n_nodes)
        *n_nodes = p.n;
    hist_path_finish(&p);
    hist_close(h);
    return state;
}

#endif
