#ifndef APP_CHAT_H
#define APP_CHAT_H
/*
 * The chat controller: ties history and engine together, knows no terminal. It commits the prompt before the engine is asked,
 * appends the answer to history at least every 300 ms, keeps what there is when anything dies, and tells the face by callbacks.
 * One thread; nothing blocks (history writes are single small transactions). A history that refuses in the middle of an answer
 * (locked, full) does not stop it: the face is told once, and the text is saved when it can be. Callbacks come from chat_work only,
 * but for notices; they may call anything here but chat_destroy.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/conf.h"
#include "app/engine.h"
#include "base/err.h"
#include "history/hist.h"

struct chat;

/* What the face hears. Any member may be NULL. Text is raw (not sanitized). */
struct chat_face {
    void *arg;
    void (*load)(void *arg, uint64_t done, uint64_t total);
    void (*prefill)(void *arg, int done, int total, int reused);
    void (*text)(void *arg, const char *s, size_t n);
    void (*thought)(void *arg, const char *s, size_t n);
    void (*prompt)(void *arg, const char *s, size_t n);
    void (*model)(void *arg, const struct event *e);
    /* The turn is over: state (final, interrupted, error), the event that ended it. History already has it. Also the end of chat_raw. */
    void (*end)(void *arg, enum hist_state state, const struct event *e);
    void (*notice)(void *arg, const char *text); /* one line worth saying: "history: disk is full; this answer is not saved" */
    void (*full)(void *arg, const char *text);   /* one line that says that the context fills up; NULL: a notice */
};

/*
 * h NULL: nothing is saved. conf is borrowed and read at each turn (so /set works). The engine is made inside.
 */
int chat_create(const struct conf *conf, struct hist *h, const struct chat_face *face, struct chat **out, struct err *err);
void chat_destroy(struct chat *c); /* an answer that still comes is kept as interrupted; before hist_close */

/*
 * Which session; 0: a new one at the next send. Loads the path to its head. A new session takes the settings' system prompt and keeps it;
 * one that is opened has its own, but for the first one opened when --system stood on the command line with it.
 */
int chat_open(struct chat *c, int64_t session, struct err *err);
int64_t chat_session(const struct chat *c); /* 0: not yet in history */
/* The messages from the root to the head, as they stand (also unsaved ones). Borrowed until the next call that changes the chat. */
const struct hist_path *chat_path(const struct chat *c);
const char *chat_system(const struct chat *c); /* or NULL */
int chat_set_system(struct chat *c, const char *text, struct err *err);

/*
 * Says `text`: committed before this returns 0; then the answer streams. Anything else: nothing was sent, nor kept, the text is the caller's
 * still (ERR_HISTORY, ERR_NOMODEL, ...). A prompt that then turns out too long for the context (end with ERR_TOOLONG) stays in
 * history as a branch, and the chat stands where it was before (the first prompt of a session stays in its place).
 */
int chat_send(struct chat *c, const char *text, size_t n, struct err *err);
/* A sibling of the last answer. */
int chat_regen(struct chat *c, struct err *err);
/* A sibling of the n-th latest prompt (1: the last) with new text; then its answer. */
int chat_edit(struct chat *c, int nth, const char *text, size_t n, struct err *err);
/* The exact prompt that would be sent now (callback prompt), nothing is generated. */
int chat_raw(struct chat *c, struct err *err);
bool chat_busy(const struct chat *c);
int chat_tokens(const struct chat *c); /* of the answer so far, thoughts included */
void chat_stop(struct chat *c); /* the answer ends as interrupted, and is kept */
/* Saves what waits, and waits for a lock if it must; for the end of the program (chat_destroy does it, too). */
void chat_flush(struct chat *c);
bool chat_saved(const struct chat *c); /* history has all of it, or is not wanted */
const struct gen_stats *chat_stats(const struct chat *c); /* of the last turn, or NULL */
uint64_t chat_seed(const struct chat *c);                 /* of the last turn */
const struct sampler_conf *chat_sampling(const struct chat *c); /* as the engine used it, or NULL */
char *chat_params(const struct chat *c);                  /* its settings, as JSON; owned by the caller */

/* For the face's poll loop. */
int chat_fd(const struct chat *c);         /* -1: none now */
int chat_timeout_ms(const struct chat *c); /* -1: none */
void chat_work(struct chat *c);            /* call when fd is readable or the time is over */

#endif
