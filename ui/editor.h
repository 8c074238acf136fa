#ifndef UI_EDITOR_H
#define UI_EDITOR_H
/*
 * The input box of the full screen: GNU readline as an editor without a display (ui/prompt.c, beside the line face's prompt; only one of
 * the two at a time). Keys come from ui/input.h, whole; what stands in the line is looked at with editor_look and drawn by a view.
 * prompt_draft, prompt_prefill and prompt_remember (ui/line.h) work on it, too.
 *
 * The user's inputrc applies. What it does not bind and we need is bound: Enter sends, M-Enter, C-j and a backslash before Enter make a new
 * line; motion goes by grapheme; Up and Down go by row, and to the history from the first and the last one. Commands of the program
 * are readline functions, "hadal-sessions" and so on, on the C-x map: inputrc can bind them elsewhere.
 */
#include <stdbool.h>
#include <stddef.h>

#include "ui/input.h"

struct editor_conf {
    void *arg;
    bool enter_newline; /* Enter makes a new line, M-Enter sends */
    void (*submit)(void *arg, char *text); /* labels of pastes opened, newlines at the end taken off; owned by the callee; the box is empty */
    void (*eof)(void *arg);                /* Ctrl-D in an empty box */
    void (*command)(void *arg, const char *name); /* "sessions": a command of the program */
    char *(*complete)(void *arg, const char *line, int start, const char *word, int i); /* as in ui/line.h */
};
int editor_open(const struct editor_conf *c);
void editor_close(void);
void editor_width(int columns);                 /* of the rows, for Up and Down */
/* A key. A lone Esc goes to readline only where it wants one: editor_wants_escape. */
void editor_key(const struct input_event *e);
void editor_paste(const char *s, size_t n);
bool editor_wants_escape(void);
/* Takes the text out of the box into the history; NULL: there was none. Owned by the caller. Ends whatever was half typed. */
char *editor_stash(void);
void editor_open_labels(void);                  /* pastes shown by a label become text */

struct editor_view {
    const char *text; /* borrowed until the next call; no control characters but tab and newline */
    size_t n, at;     /* the cursor, in bytes */
    const char *prompt; /* of a search or an argument, "" otherwise */
    char **matches;   /* of a completion; NULL: none. Gone with the next key */
    size_t n_matches;
    bool vi, vi_command;
    bool prefix;      /* in the middle of a key sequence (C-x) */
};
void editor_look(struct editor_view *v);

/*
 * Commands of the program: C name, readline's name (behind "hadal-"), readline's key sequence, the key for humans, what it does. None takes a
 * key of readline's own C-x map.
 */
#define EDITOR_COMMANDS \
    X(help, "help", "\\C-x?", "F1, C-x ?", "help") \
    X(sessions, "sessions", "\\C-xs", "F2, C-x s", "sessions") \
    X(search, "search", "\\C-x/", "F3, C-x /", "search all sessions") \
    X(models, "models", "\\C-xm", "F4, C-x m", "models") \
    X(branches, "branches", "\\C-xb", "C-x b", "the tree of branches") \
    X(settings, "settings", "\\C-xp", "C-x p", "settings") \
    X(new, "new", "\\C-xn", "C-x n", "a new session") \
    X(fold, "fold", "\\C-xt", "C-x t", "open or fold the thoughts") \
    X(copy, "copy", "\\C-xy", "C-x y", "copy the last answer") \
    X(bare, "bare", "\\C-xl", "C-x l", "only the transcript on the screen") \
    X(queue, "queue-edit", "\\C-xq", "C-x q", "take the newest queued prompt back into the box") \
    X(drop, "queue-drop", "\\C-xk", "C-x k", "drop the newest queued prompt") \
    X(regen, "regen", "\\C-xr", "C-x r", "answer the last prompt again") \
    X(editor, "editor", "\\C-x\\C-e", "C-x C-e", "edit the prompt in $EDITOR") \
    X(paste, "open-paste", "\\C-xv", "C-x v", "open the pastes that are shown by a label")

/* The commands: name, its key for humans ("C-x s"), what it does; NULL behind the last. */
struct editor_command {
    const char *name, *key, *help;
};
const struct editor_command *editor_command_at(int i);

/* ---- layout (ui/editor.c) ---- */
struct edit_row {
    size_t from, to; /* bytes; a newline or blank at which it ends is not in it */
};
struct edit_rows {
    struct edit_row *at;
    size_t n, y; /* y: the row of the cursor */
    int x;       /* its column */
};
/* Rows of at most `width` columns, wrapped at words; always one more than nothing. */
void edit_layout(struct edit_rows *r, const char *text, size_t n, size_t cursor, int width);
void edit_rows_finish(struct edit_rows *r);
/* The byte in row y that stands at column x or before it. */
size_t edit_row_byte(const struct edit_rows *r, const char *text, size_t y, int x);

#endif
