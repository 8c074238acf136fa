#ifndef UI_VIEW_CHAT_H
#define UI_VIEW_CHAT_H
/*
 * The chat: header, transcript, queue, status line, input box (ui/editor.h, which must be open). It knows messages, not where they come
 * from; app/face_full.c tells it what there is, and hears what is wanted.
 */
#include "ui/view.h"

struct view_chat_conf {
    void *arg;
    bool esc_ignored;
    /* From reading mode, or a command. text: what is copied, piped, saved; owned by the caller. */
    void (*copy)(void *arg, const char *what, const char *text, size_t n); /* what: "the answer", "block c2" */
    void (*pipe)(void *arg, const char *command, const char *text, size_t n);
    void (*pager)(void *arg, const char *text, size_t n);
    void (*save)(void *arg, const char *path, const char *text, size_t n);
    void (*command)(void *arg, const char *name); /* "help", "version-next", ...; see face_full.c */
    /* What may complete the input as it stands, one line each ("/help  this list"); i-th or NULL. For the popup. */
    const char *(*hint)(void *arg, const char *line, int i);
};

struct chat_message {
    int64_t id;
    bool user;
    const char *name;     /* "you", "smollm2 Q4_1" */
    const char *when;     /* "09:41" */
    int version, n_versions;
    const char *text, *thought;
    size_t n, n_thought;
    const char *thought_head; /* "9.8 s, 212 tokens"; NULL: made from the thought */
    const char *note;     /* below it: "stopped here"; NULL: none */
    enum role note_role;
    bool live;            /* more comes: view_chat_text, view_chat_thought */
};

struct view *view_chat(const struct view_chat_conf *c);
/* All messages there are. Those that were there (same id, version and length) keep their layout and folds. */
void view_chat_sync(struct view *v, const struct chat_message *m, size_t n);
/* More of the live message, the last one. */
void view_chat_text(struct view *v, const char *s, size_t n);
void view_chat_thought(struct view *v, const char *s, size_t n);
/* What the live message waits for: up to two lines, "" for none. */
void view_chat_progress(struct view *v, const char *one, const char *two);
/* The live message is complete. */
void view_chat_done(struct view *v, const char *thought_head, const char *note, enum role note_role);

void view_chat_title(struct view *v, const char *title, const char *right, const char *empty); /* empty: shown while there are no messages */
struct status_bit {
    char text[100];
    enum role role;
};
void view_chat_status(struct view *v, const struct status_bit *bits, int n); /* the last one stands at the right */
void view_chat_queue(struct view *v, char *const *queue, size_t n);
void view_chat_say(struct view *v, const char *text, enum role role); /* a line until the next key; "" takes it away */
void view_chat_label(struct view *v, const char *label); /* in front of the input: "> ", "edit> " */

bool view_chat_reading(const struct view *v);
void view_chat_write(struct view *v);  /* out of reading mode, following */
void view_chat_fold(struct view *v);   /* the thoughts of the newest answer */
void view_chat_bare(struct view *v);   /* on, off */
/* Shows the message and, when needle is given, the row with it. */
void view_chat_goto(struct view *v, int64_t id, const char *needle);
/* The message that keys of reading mode are about; 0: none. */
int64_t view_chat_selected(const struct view *v);
/* The answer that is newest, as text; owned by the caller; NULL: none. */
char *view_chat_answer(struct view *v, bool source, size_t *n);
/* What stands in the transcript now, as lines of text. */
void view_chat_screen(struct view *v, struct buf *out);

#endif
