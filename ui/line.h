#ifndef UI_LINE_H
#define UI_LINE_H
/*
 * What the line face needs of a terminal: GNU readline in callback mode (ui/prompt.c alone includes it) and sanitized output
 * (ui/out.c). It knows nothing of chats: app/face_line.c drives it.
 */
#include <stdbool.h>
#include <stddef.h>

/*
 * ---- output (out.c): the only writer to stdout/stderr while a face runs ----
 * What returns bool returns false, with errno set, once the stream is closed (EPIPE) or cannot take more (ENOSPC, EIO, ...), and then always.
 */
enum term_stream { TERM_OUT, TERM_ERR };
/* Foreign text, sanitized across chunks of the same stream. */
bool term_text(enum term_stream st, const char *s, size_t n);
/* The same, wrapped at words where the stream is a terminal (not with --plain): for prose; begins at the start of a line. */
bool term_prose(enum term_stream st, const char *s, size_t n);
bool term_prose_pause(enum term_stream st); /* no more comes for now: shows the word that waits for its end */
/* Ends a sanitized text: what still waits is written. */
bool term_text_end(enum term_stream st);
/* Our own words, not sanitized: may hold SGR, which is left out where there is no colour. */
bool term_say(enum term_stream st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Bytes as they are: only for --raw, --json and files. */
bool term_raw(enum term_stream st, const void *p, size_t n);
bool term_is_tty(enum term_stream st);
bool term_is_dumb(void);               /* by TERM: no escape sequences */
int term_columns(enum term_stream st); /* 80 when unknown */
bool term_color(enum term_stream st);  /* tty, TERM not dumb, NO_COLOR unset; or CLICOLOR_FORCE */
bool term_at_start(enum term_stream st); /* nothing written yet, or the last byte was a newline; and no text waits */
/* --plain: no colour, no status line; until now only what the environment says. */
void term_plain(bool on);
/* What is written to either stream goes into b, wrapped to so many columns and without SGR; NULL: to the streams again. */
struct buf;
void term_catch(struct buf *b, int width);
/*
 * One progress line on stderr that replaces itself, cut to the width; only when stderr is a terminal, and when the cursor stands at
 * the start of a line; "" removes it. Any other output to the terminal removes it first. Sanitized; no SGR.
 */
void term_status(const char *text);

/*
 * ---- input (prompt.c) ----
 * Between prompt_open and prompt_close the terminal does not echo: keys go to readline, which draws only while the prompt is shown. While
 * it is hidden the line is edited all the same, unseen, and a whole input is delivered at once; the next prompt_show shows what stands there.
 * The callbacks come out of prompt_read and prompt_interrupt, and may call anything here.
 */
struct prompt_conf {
    const char *name;   /* rl_readline_name: "hadal" */
    bool plain;         /* no escape sequences */
    void *arg;
    /*
     * A whole input, multi-line joined by \n, valid UTF-8; owned by the callee. NULL: end of input (Ctrl-D). The prompt is hidden then, the
     * cursor at the start of a line.
     */
    void (*line)(void *arg, char *text);
    void (*interrupt)(void *arg);                   /* Ctrl-C on an empty line, or while the prompt is hidden (whatever stands in the line stays) */
    void (*discard)(void *arg, const char *text);   /* Ctrl-C took this text out of the line (already remembered; the prompt is hidden); may be NULL */
    /* Completion: the i-th word that may stand where text[0..n) ends; NULL ends the list. `start` is the word's offset in the line. Owned by prompt.c (malloc). */
    char *(*complete)(void *arg, const char *line, int start, const char *word, int i);
};
const char *prompt_library(void); /* "readline 8.2", for `hadal doctor` */
int prompt_open(const struct prompt_conf *c); /* 0, or -1 when stdin is no terminal */
void prompt_close(void);                      /* gives the terminal back; async-signal-safe part in prompt_restore */
void prompt_restore(void);                    /* async-signal-safe */
void prompt_show(const char *prompt);         /* at the start of a line. \1 and \2 in it enclose what has no width (SGR) */
void prompt_hide(void);                       /* before output: the edited line is kept, typing goes on into it */
bool prompt_shown(void);
void prompt_read(void);                       /* stdin is readable */
void prompt_interrupt(void);                  /* SIGINT came: as the key Ctrl-C */
void prompt_remember(const char *text);       /* an entry of the Up-key history */
void prompt_prefill(const char *text);        /* puts text into the line (edit, draft) in place of what is there */
char *prompt_draft(void);                     /* what stands in the line, "" when empty; owned by the caller */
void prompt_winch(void);
void prompt_suspend(void);                    /* SIGTSTP came: gives the terminal back and stops the process group */
void prompt_resume(void);                     /* SIGCONT came: takes the terminal again if it is ours */

#endif
