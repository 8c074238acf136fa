#ifndef UI_TERM_H
#define UI_TERM_H
/*
 * The full screen: the only file behind this header includes curses. A surface is shown as a difference to what stands on the screen.
 * Input does not pass here (ui/input.h reads raw bytes), but replies of the terminal are told to term_reply.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ui/surface.h"
#include "ui/theme.h"

/*
 * Takes the terminal: alternate screen, raw mode, pastes and focus reported. ERR_USAGE, and nothing changed, when stdin or stdout is no
 * terminal, or one that cannot place its cursor (unknown ones are taken for xterm-256color first). Signal handlers that stand keep standing.
 */
int term_open(enum theme theme, struct err *err);
void term_close(void);   /* gives it back, prints the farewell */
void term_restore(void); /* the same, async-signal-safe, and final */
/* What stands on the normal screen behind the program: sanitized text of whole lines; copied (at most 64 KiB). */
void term_farewell(const char *text, size_t n);
void term_size(int *rows, int *cols);
bool term_resized(void); /* looks at the size; true: it is another */
void term_show(const struct surface *s);
bool term_congested(void); /* what was shown last is still on its way: skip a frame */
void term_redraw(void);  /* the next term_show draws all */
void term_theme(enum theme theme);
enum theme term_theme_now(void); /* never THEME_AUTO */
bool term_reply(const char *s);  /* a reply of the terminal; true: something looks different now */
/* Gives the terminal to another program (a shell, $EDITOR) and takes it again. */
void term_release(void);
void term_take(void);
void term_continue(void); /* SIGCONT came: takes it again if it was put back meanwhile */
void term_suspend(void); /* released, the process group stopped; taken again when it goes on */
/*
 * Puts text into the person's clipboard, by tmux's buffer or OSC 52; whether it arrives there only the terminal knows. *what gets a sentence of
 * what was done; false: nothing was.
 */
bool term_copy(const char *s, size_t n, char what[120]);
void term_title(const char *fixed); /* our own words only */
void term_notify(const char *fixed); /* to a person who looks elsewhere: by OSC 9, 777 or the bell */
const char *term_library(void); /* "ncurses 6.4", for `hadal doctor` */

#endif
