#ifndef BASE_ERR_H
#define BASE_ERR_H
/*
 * Errors: how a function says what went wrong, and how the program stops when the program itself is wrong.
 *
 * A function that can fail for a reason a person should read takes `struct err *err` as its last parameter
 * (NULL is allowed: the code is returned, the text is dropped) and returns 0 or a negative enum err_code. On
 * success *err is untouched. The message is lower case, has no newline, names the thing and the limit, and is
 * fit to stand after "hadal: ". Foreign text (file names, metadata) may be in it byte for byte: whoever prints
 * it passes it through base/sane.h.
 */
#include <stddef.h>

/* Negative so that 0 is success. -code is the program's exit status for the first nine (man page, EXIT STATUS). */
enum err_code {
    ERR_IO = -1,         /* engine or I/O failure */
    ERR_USAGE = -2,      /* wrong use of the program or of a command */
    ERR_NOMODEL = -3,    /* no such model, or it does not fit */
    ERR_FORMAT = -4,     /* bad model file */
    ERR_TOOLONG = -5,    /* prompt longer than the context */
    ERR_HISTORY = -6,    /* history: locked, corrupt, no such session */
    ERR_REMOTE = -7,     /* remote endpoint */
    ERR_INCOMPLETE = -8, /* the answer is incomplete */
    ERR_INPUT = -9,      /* unusable input */
    ERR_CANCELLED = -10, /* stopped by the person; exit status 130 */
};

struct err {
    int code; /* enum err_code, 0: none */
    char msg[480];
};

/* Fills *err (if any) and returns `code`. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As err_set with ": " and strerror(errno) behind the text. */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "<text>: " in front of the message that is there; returns err->code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The process exit status for a return value of this kind: 0 for 0, -code, 130 for ERR_CANCELLED. */
int err_exit_status(int code);

/*
 * ASSERT is for what cannot be unless we are wrong (never for input); it stays on in release builds. DASSERT is
 * for inner loops and is compiled out unless HADAL_DEBUG is defined. BUG marks an impossible branch.
 */
void err_panic(const char *file, int line, const char *what) __attribute__((noreturn));
/* Called by err_panic before it prints, async-signal-safe: gives the terminal back. NULL: nothing. */
void err_on_panic(void (*fn)(void));

#define ASSERT(x) ((x) ? (void)0 : err_panic(__FILE__, __LINE__, #x))
#define BUG(text) err_panic(__FILE__, __LINE__, text)
#ifdef HADAL_DEBUG
#define DASSERT(x) ASSERT(x)
#else
#define DASSERT(x) ((void)0)
#endif

#endif
