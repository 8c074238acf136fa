#ifndef APP_CMD_H
#define APP_CMD_H
/*
 * What the sub-commands share. A command is a file cmd_NAME.c with its option struct, its table, its run function and, at the end, its
 * struct cmd; its row is in cmd.c.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "app/app.h"
#include "app/jtext.h"
#include "app/opts.h"
#include "model/gguf.h"
#include "model/tok.h"

extern const struct cmd cmd_ls, cmd_show, cmd_search, cmd_rename, cmd_rm, cmd_fork, cmd_tag, cmd_pin, cmd_archive, cmd_purge, cmd_export, cmd_import, cmd_models, cmd_info, cmd_doctor,
    cmd_completion, cmd_tokenize, cmd_detokenize, cmd_render, cmd_logits, cmd_eval, cmd_bench, cmd_sample;

/* Rows that many tables have. `type` has `bool help`, `bool json`, `char *model`. */
#define OPT_ROW_HELP(type) {.name = "help", .letter = 'h', .kind = OPT_FLAG, .at = offsetof(type, help), .help = "this text"}
#define OPT_ROW_JSON(type) {.name = "json", .kind = OPT_FLAG, .at = offsetof(type, json), .help = "as JSON"}
#define OPT_ROW_MODEL(type)                                                                                                              \
    {.name = "model", .letter = 'm', .kind = OPT_TEXT, .at = offsetof(type, model), .arg = "MODEL", .complete = "models files",                \
     .help = "a GGUF file, or the name of one in models/"}

/*
 * Parses a command's line into `base` (its options) and w; at least `min` and at most `max` words (-1: any number). False: nothing more
 * to do, *status is the exit status (--help was printed, or the mistake was told).
 */
bool cmd_args(const struct cmd *c, void *base, int argc, char **argv, struct words *w, int min, int max, int *status);
void cmd_done(const struct cmd *c, void *base, struct words *w); /* frees what cmd_args filled */
/* "hadal: ..." and a hint at `hadal NAME --help`; the exit status. */
int cmd_usage(const struct cmd *c, const struct err *err);

char *words_join(char *const *at, int n); /* by spaces; owned by the caller */

/* Prints b (already sanitized, or ours) to stdout and frees it: 0, or 1 when stdout cannot take it. A reader that left is no failure. */
int cmd_out(struct buf *b);
int cmd_out_json(json_t *j); /* takes the reference; indented on a terminal, else one line */
void cmd_line(struct buf *out, const char *s); /* foreign text, one line, sanitized */
void cmd_cut(struct buf *out, const char *s, int columns); /* the same, at most so wide */
bool cmd_out_tty(void);

/* The settings of file and environment (bad lines are told). */
void cmd_conf(struct conf *c);
/* History for a command; NULL: told, *status set. */
struct hist *cmd_history(bool read_only, int *status);
/* The session that the words name (none: the newest). */
int cmd_session(struct hist *h, const struct words *w, bool deleted, int64_t *id, struct err *err);
json_t *cmd_session_json(const struct hist_session *s); /* as ls and show print it */
/* -m, or the model of the settings, as an open file. */
int cmd_gguf(const char *model, struct gguf **out, struct err *err);
/* All of stdin (limit 1 GiB). */
int cmd_stdin(struct buf *b, struct err *err);

#endif
