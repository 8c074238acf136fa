#ifndef APP_SLASH_H
#define APP_SLASH_H
/*
 * Commands of a chat: lines that begin with a slash. One table (app/slash.c) makes /help, the completion and the dispatch. A new one is
 * a function, in a file of its own when it is long, and a row.
 */
#include <stdbool.h>

#include "app/face.h"

enum slash_arg { ARG_NONE, ARG_TEXT, ARG_SESSION, ARG_DELETED, ARG_SETTING, ARG_MODEL, ARG_EXPORT };

struct slash {
    const char *name; /* without the slash */
    const char *args; /* as /help shows them */
    const char *help; /* one line */
    enum slash_arg kind;
    bool needs_history;
    void (*run)(struct face *f, const char *arg); /* arg: the rest of the line, trimmed; "" when there is none */
};

const struct slash *slash_at(int i); /* NULL behind the last */

/*
 * What a line is. SLASH_TEXT: a prompt (*text is where it begins in the line: a path such as /etc/hosts, or "//x" for "/x").
 * SLASH_RUN: a command, it has run. SLASH_BAD: begins with a slash and is no command; the person has been told.
 */
enum slash_is { SLASH_TEXT, SLASH_RUN, SLASH_BAD };
enum slash_is slash_line(struct face *f, const char *line, const char **text);

/* Completion, as ui/line.h asks for it. */
char *slash_complete(struct face *f, const char *line, int start, const char *word, int i);
void slash_complete_finish(void); /* frees what it remembers between calls */

/* ---- app/slash_chat.c: the conversation ---- */
void slash_new(struct face *f, const char *arg);
void slash_regen(struct face *f, const char *arg);
void slash_edit(struct face *f, const char *arg);
void slash_system(struct face *f, const char *arg);
void slash_persona(struct face *f, const char *arg);
void slash_thought(struct face *f, const char *arg);
void slash_raw(struct face *f, const char *arg);

/* ---- app/slash_sessions.c: the library ---- */
void slash_sessions(struct face *f, const char *arg);
void slash_open(struct face *f, const char *arg);
void slash_rename(struct face *f, const char *arg);
void slash_delete(struct face *f, const char *arg);
void slash_undelete(struct face *f, const char *arg);
void slash_search(struct face *f, const char *arg);
void slash_fork(struct face *f, const char *arg); /* these four: app/slash_library.c */
void slash_tag(struct face *f, const char *arg);
void slash_pin(struct face *f, const char *arg);
void slash_archive(struct face *f, const char *arg);
/* "work -old": adds tags and takes them away. */
int tags_change(struct hist *h, int64_t session, const char *text, struct err *err);
void slash_export(struct face *f, const char *arg); /* app/slash_export.c */

void slash_keys(struct face *f, const char *arg); /* app/keys.c */

/* ---- app/slash_set.c: settings and numbers ---- */
void slash_set(struct face *f, const char *arg);
void slash_params(struct face *f, const char *arg);
void slash_model(struct face *f, const char *arg);
void slash_stats(struct face *f, const char *arg);

#endif
