/*
 * Thoughts and answer. See reason.h. A byte at a time: a tag's first character occurs in it only once, so a failed match never
 * needs more than a look at the byte that failed it.
 */
#include "config.h"
#include "app/reason.h"

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void reason_init(struct reason *r, bool inside)
{
    *r = (struct reason){.state = inside ? REASON_ENTER : REASON_START};
}

/* No opening tag: what was held back is text. */
static void give_up_start(struct reason *r, struct buf *text)
{
    buf_add(text, r->space, (size_t)r->blank);
    buf_add(text, REASON_OPEN, (size_t)r->matched);
    r->state = REASON_TEXT;
    r->matched = 0;
}

static void start(struct reason *r, char c, struct buf *text)
{
    if (blank(c) && !r->matched && r->blank < (int)sizeof r->space) {
        r->space[r->blank++] = c;
    } else if (c == REASON_OPEN[r->matched]) {
        if (!REASON_OPEN[++r->matched]) {
            r->state = REASON_ENTER;
            r->matched = 0;
        }
    } else {
        give_up_start(r, text);
        buf_addch(text, c);
    }
}

static void thought(struct reason *r, char c, struct buf *out)
{
    if (c == REASON_CLOSE[r->matched]) {
        if (!REASON_CLOSE[++r->matched]) {
            r->state = REASON_LEAVE;
            r->matched = 0;
        }
        return;
    }
    buf_add(out, REASON_CLOSE, (size_t)r->matched);
    r->matched = c == REASON_CLOSE[0];
    if (!r->matched)
        buf_addch(out, c);
}

void reason_feed(struct reason *r, const char *s, size_t n, struct buf *thoughts, struct buf *text)
{
    for (size_t i = 0; i < n; i++) {
        switch (r->state) {
        case REASON_START:
            start(r, s[i], text);
            break;
        case REASON_ENTER:
            if (blank(s[i]))
                break;
            r->state = REASON_THOUGHT;
            /* fall through */
        case REASON_THOUGHT:
            thought(r, s[i], thoughts);
            break;
        case REASON_LEAVE:
            if (blank(s[i]))
                break;
            r->state = REASON_TEXT;
            /* fall through */
        case REASON_TEXT:
            buf_add(text, s + i, n - i);
            return;
        }
    }
}

void reason_flush(struct reason *r, struct buf *thoughts, struct buf *text)
{
    if (r->state == REASON_START)
        give_up_start(r, text);
    else if (r->state == REASON_THOUGHT)
        buf_add(thoughts, REASON_CLOSE, (size_t)r->matched);
    r->matched = 0;
}
