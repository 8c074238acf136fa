#ifndef UI_VIEWS_H
#define UI_VIEWS_H
/*
 * The views beside the chat: each with its entry, the structs it shows, and the callbacks by which it asks for something. Strings that a
 * callback hands out are borrowed until its next call; what a person typed is copied by whoever keeps it. A `say` is one line for the
 * person about what was done or went wrong, "" for nothing.
 */
#include <stdint.h>

#include "base/buf.h"
#include "ui/view.h"

/* A text, wrapped, to scroll in. */
struct view *view_text(const char *title, const char *text, size_t n);

/* Receives a piece of a preview: whole lines in one look; a newline at its end is not needed. */
typedef void pane_add(void *to, enum role role, const char *text, size_t n);

struct say {
    char text[512];
    bool bad;
};

/* ---- sessions ---- */
struct session_row {
    int64_t id;
    const char *title, *model, *when, *note; /* note: "3 br", "interrupted"; "" for none */
    int messages;
    char state;   /* '!' an answer is being written, 'i' the last one was interrupted, ' ' */
    bool pinned, archived, here;
};
struct sessions_data {
    const struct session_row *at;
    size_t n, total;
    const char *sort, *which; /* "updated"; "all", "archive" */
};
enum sessions_act {
    SESSIONS_OPEN, SESSIONS_NEW, SESSIONS_RENAME, SESSIONS_PIN, SESSIONS_TAG, SESSIONS_ARCHIVE, SESSIONS_DELETE, SESSIONS_UNDO, SESSIONS_EXPORT,
    SESSIONS_FORK, SESSIONS_SORT, SESSIONS_WHICH
};
struct view_sessions_conf {
    void *arg;
    /* The rows that the filter keeps; where it could not be asked, say->text tells. */
    void (*list)(void *arg, const char *filter, struct sessions_data *out, struct say *say);
    void (*preview)(void *arg, int64_t id, pane_add *add, void *to);
    /* text: the new title, the tags ("c -gguf" adds one, takes one away), the file. True: done with this view. */
    bool (*act)(void *arg, enum sessions_act act, int64_t id, const char *text, struct say *say);
};
struct view *view_sessions(const struct view_sessions_conf *c);

/* ---- search ---- */
struct search_row {
    int64_t session, node;
    const char *title, *who, *when, *snippet; /* hits between \x01 and \x02 */
};
struct search_data {
    const struct search_row *at;
    size_t n;
    bool more, newest; /* there are more; newest first, not ranked */
    double ms;
};
struct view_search_conf {
    void *arg;
    bool here; /* there is a session that C-o restricts to */
    void (*find)(void *arg, const char *words, bool here, struct search_data *out, struct say *say);
    void (*preview)(void *arg, int64_t node, pane_add *add, void *to);
    /* needle: a text that was hit; the view goes away. */
    void (*open)(void *arg, int64_t session, int64_t node, const char *needle);
};
struct view *view_search(const struct view_search_conf *c, const char *words);

/* ---- the tree of a session ---- */
struct tree_row {
    int64_t id, parent; /* parents stand before their children; 0: a root */
    const char *who, *when, *text, *note; /* text: how it begins; note: "stopped", "" */
    bool answer, on_path, head;
};
struct view_tree_conf {
    void *arg;
    const char *title;
    void (*nodes)(void *arg, const struct tree_row **at, size_t *n, struct say *say);
    void (*preview)(void *arg, int64_t id, pane_add *add, void *to); /* also both sides of a comparison, with their numbers */
    bool (*go)(void *arg, int64_t id, struct say *say);   /* true: the view goes away */
    bool (*fork)(void *arg, int64_t id, struct say *say); /* a new session with the way to it */
    void (*compare)(void *arg, int64_t a, int64_t b);     /* shows view_compare */
};
struct view *view_tree(const struct view_tree_conf *c);
struct view_compare_conf {
    void *arg;
    int64_t id[2];
    void (*preview)(void *arg, int64_t id, pane_add *add, void *to);
};
struct view *view_compare(const struct view_compare_conf *c);

/* ---- models ---- */
struct model_row {
    const char *name, *quant, *size, *ctx, *fits, *used, *speed; /* as they are shown, "" for what is not known */
    bool here, bad; /* it answers now; it cannot be used */
};
struct view_models_conf {
    void *arg;
    const char *right; /* where they are, how much memory there is */
    void (*rows)(void *arg, const struct model_row **at, size_t *n, struct say *say);
    /* One more row is looked at (a file's header is read); false: all are. Called from the tick, so that the view comes at once. */
    bool (*more)(void *arg);
    void (*detail)(void *arg, size_t row, pane_add *add, void *to);
    bool (*use)(void *arg, size_t row, struct say *say); /* true: the view goes away */
};
struct view *view_models(const struct view_models_conf *c);

/* ---- settings ---- */
struct setting_row {
    const char *name, *value, *help;
    bool flag; /* yes or no */
};
struct view_settings_conf {
    void *arg;
    void (*rows)(void *arg, const struct setting_row **at, size_t *n);
    bool (*set)(void *arg, const char *name, const char *value, struct say *say); /* false: not taken, say tells why */
};
struct view *view_settings(const struct view_settings_conf *c);

/* ---- help ---- */
struct help_row {
    const char *section, *key, *help;
};
struct view *view_help(const struct help_row *at, size_t n, const char *right); /* copied */

#endif
