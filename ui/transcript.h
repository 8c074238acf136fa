#ifndef UI_TRANSCRIPT_H
#define UI_TRANSCRIPT_H
/*
 * The messages of a chat as rows of a width. Each message is laid out when one of its rows is first asked for, and again when its text or
 * the width has changed. A message is: its head, the head of its thoughts, the thoughts when open, its text, what it waits for, a note, and
 * a blank row behind it.
 */
#include "ui/rows.h"
#include "ui/view_chat.h"

struct transcript;
struct spot {
    size_t msg, row;
};

struct transcript *transcript_create(void);
void transcript_destroy(struct transcript *t);
void transcript_width(struct transcript *t, int width);
void transcript_sync(struct transcript *t, const struct chat_message *m, size_t n);
size_t transcript_n(const struct transcript *t);
size_t transcript_height(struct transcript *t, size_t msg);
size_t transcript_find_id(const struct transcript *t, int64_t id); /* SIZE_MAX: none */
int64_t transcript_id(const struct transcript *t, size_t msg);
bool transcript_is_user(const struct transcript *t, size_t msg);

/* The last message, while it is live. */
void transcript_text(struct transcript *t, const char *s, size_t n);
void transcript_thought(struct transcript *t, const char *s, size_t n);
void transcript_progress(struct transcript *t, const char *one, const char *two);
void transcript_done(struct transcript *t, const char *thought_head, const char *note, enum role role);

/* Opens or folds the thoughts; false: there are none. */
bool transcript_fold(struct transcript *t, size_t msg);

/* Moves by rows; stops at either end. Returns how far it went. */
size_t spot_down(struct transcript *t, struct spot *s, size_t rows);
size_t spot_up(struct transcript *t, struct spot *s, size_t rows);
/* From a to b, a <= b; counts no more than `most`. */
size_t spot_distance(struct transcript *t, struct spot a, struct spot b, size_t most);
bool spot_before(struct spot a, struct spot b);

struct row_style {
    bool selected;      /* the message that keys are about */
    const char *needle; /* what is looked for; NULL: nothing */
};
void transcript_draw(struct transcript *t, struct spot at, struct surface *s, int y, struct area a, const struct row_style *style);
/* The row as plain text. */
void transcript_row_text(struct transcript *t, struct spot at, struct buf *out);
/* The next row (behind `from`, or in front of it) in which the needle begins; letters match in both cases unless the needle has upper ones. */
bool transcript_search(struct transcript *t, struct spot from, bool back, const char *needle, struct spot *hit);

/* A message's text: as it is read, or its source. Owned by the caller. */
char *transcript_plain(struct transcript *t, size_t msg, bool source, size_t *n);
/* Code block i (from 1); NULL: there is none. Owned by the caller. */
char *transcript_code(struct transcript *t, size_t msg, int i, size_t *n);
int transcript_n_code(struct transcript *t, size_t msg);

#endif
