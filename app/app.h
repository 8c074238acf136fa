#ifndef APP_APP_H
#define APP_APP_H
/*
 * What the files of app/ share: the program's parts, each with its entry, and the few things that all of them use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/conf.h"
#include "base/buf.h"
#include "base/err.h"
#include "history/hist.h"

/* ---- reporting (app/report.c): the one place that tells a person of an error ---- */
/* "hadal: <text>" on stderr, sanitized; returns the exit status of err->code. */
int report(const struct err *err);
/* "hadal: <text>" on stderr, sanitized: a notice, nothing failed. */
void notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- signals (app/sig.c) ---- */
/*
 * Blocks nothing and ends nothing by itself: SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGUSR1, SIGTSTP and SIGCONT (those that `tty` asks for)
 * are written to a pipe that a poll loop reads; SIGPIPE is ignored. Fatal faults call `restore` (async-signal-safe, may be NULL) first.
 */
int sig_open(bool tty, void (*restore)(void), struct err *err); /* the descriptor to poll, or negative enum err_code */
int sig_take(void);  /* the next signal that has come, 0: none */
void sig_close(void);

/* ---- history ---- */
/* As the settings ask: *out is NULL with -n. A notice of hist_open (newer schema, read-only) is said on stderr. */
int app_history(const struct conf *c, bool read_only, struct hist **out, struct err *err);
/* report() of what stood in the way of a prompt; where it was the history, with the hint that -n does without. */
int app_failed(const struct err *err);
/* The session that -c or -s names; *id 0: a new one. */
int app_session(const struct conf *c, struct hist *h, int64_t *id, struct err *err);
/* The short id that a person sees and types: the last 6 characters of a ULID, lower case. */
void short_id(const char *uid, char out[7]);
/* "now", "5 min", "3 h", "tue", "14 Aug", "2025-03-01": when something was, seen from now. Both in milliseconds since 1970. */
void when_text(int64_t then_ms, int64_t now_ms, char out[16]);
/* "8,932" */
const char *count_text(uint64_t n, char out[32]);

/* ---- faces: each owns its poll loop and returns the exit status ---- */
/* conf is the program's (the line face changes it by /set); h may be NULL. */
int face_once(struct conf *conf, struct hist *h, const char *prompt, size_t n); /* one answer; `prompt` is the whole question, stdin included */
int face_line(struct conf *conf, struct hist *h);
int face_full(struct conf *conf, struct hist *h); /* -1: this terminal cannot, and has been told */

/*
 * Writes a file that the person named: whole or not at all (a link is followed), or straight into what is no
 * regular file.
 */
int file_put(const char *path, const void *data, size_t n, struct err *err);
/* Whether file_put could, as far as can be told before. */
int file_check(const char *path, struct err *err);

/* ---- the engine process: `hadal --engine-fd N` ---- */
int engine_main(int fd);

/* ---- export and import (app/export.c, app/import.c), used by sub-commands and by slash commands ---- */
enum export_format { EXPORT_MD, EXPORT_JSON, EXPORT_HTML };
const char *export_format_name(enum export_format f); /* "md": how a file of it ends */
/* By how a file's name ends; false: it does not tell, *out stays. */
bool export_format_of(const char *file, enum export_format *out);
/*
 * Writes a session to a file, as a person asked for it: "[md|json|html] [FILE]"; without a file into hadal-ID.md. One that exists is left alone. *path is
 * the caller's, also after a failure.
 */
int export_to_file(struct hist *h, int64_t session, const char *arg, char **path, size_t *bytes, struct err *err);
/* false: no such format. */
bool export_format_parse(const char *name, enum export_format *out);
/* Appends a session: Markdown or HTML of the path to its head, or JSON of the whole tree with every answer's provenance (what import reads). */
int export_session(struct hist *h, int64_t session, enum export_format f, struct buf *out, struct err *err);
/* Reads our own JSON, ChatGPT's conversations.json or that of llama.cpp's web UI: one session or an array of them. *n gets how many came in. All or nothing. */
int import_sessions(struct hist *h, const char *json, size_t len, int *n, struct err *err);

/* ---- sub-commands (one file each: app/cmd_ls.c ...; the table is app/cmd.c) ---- */
struct opt;
struct cmd {
    const char *name;
    const char *args; /* as --help and the man page show them: "[SESSION]" */
    const char *help; /* one line */
    const char *more; /* a paragraph for --help, or NULL */
    const struct opt *opts; /* its options (app/opts.h) */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};
const struct cmd *cmd_find(const char *name); /* NULL: not a sub-command */
const struct cmd *cmd_at(int i);              /* NULL behind the last */

#endif
