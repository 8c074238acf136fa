#ifndef APP_REASON_H
#define APP_REASON_H
/*
 * Reasoning models begin an answer with thoughts between <think> and </think>. Cuts a stream in two: the thoughts and the answer,
 * without the tags and the white space around them. Only at the beginning of an answer: later tags are text.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define REASON_OPEN "<think>"
#define REASON_CLOSE "</think>"

enum reason_state { REASON_START, REASON_ENTER, REASON_THOUGHT, REASON_LEAVE, REASON_TEXT };

struct reason {
    enum reason_state state;
    int matched;    /* bytes of the tag that have come */
    int blank;      /* REASON_START: bytes of white space before it */
    char space[32];
};

/* `inside`: the prompt ends with the opening tag. */
void reason_init(struct reason *r, bool inside);
void reason_feed(struct reason *r, const char *s, size_t n, struct buf *thought, struct buf *text);
/* What still waits goes where it belongs. */
void reason_flush(struct reason *r, struct buf *thought, struct buf *text);
static inline bool reason_thinking(const struct reason *r)
{
    return r->state == REASON_ENTER || r->state == REASON_THOUGHT;
}

#endif
