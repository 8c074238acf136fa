#ifndef APP_FULL_H
#define APP_FULL_H
/*
 * The full-screen face, as its files (app/face_full.c, app/full_*.c) see it. Screens beside the chat are views (ui/view.h), made by
 * app/full_NAME.c, which supplies their data, and put on the stack by full_push.
 */
#include "app/face.h"
#include "ui/input.h"
#include "ui/theme.h"
#include "ui/view.h"
#include "ui/view_chat.h"
#include "ui/views.h"

#define FULL_STACK 8

struct script;

/* What is told of a message beside its text, kept so that history is asked once. */
struct full_known {
    int64_t id; /* 0: nothing yet */
    enum hist_state state;
    char when[16], *name, *thought, *note;
    enum role note_role;
};

struct full {
    struct face f; /* the first: slash commands know this much */
    struct view *chat, *stack[FULL_STACK]; /* stack: over the chat, the last on top */
    int n_stack;
    struct input *in;
    struct surface *s;
    struct script *script;    /* HADAL_SCRIPT: keys from a file, no terminal */
    bool dirty;               /* draw now */
    bool fresh;               /* draw when FRAME_US have passed since the last time */
    int64_t painted_us;
    bool history_there;       /* what was typed before is in the editor */
    int64_t since_us;         /* processor time at the last look at the keys */
    size_t typed_ahead;       /* bytes that came before the terminal was ours: Enter is a newline in them */
    bool unfocused;           /* the terminal has said so */
    int64_t interrupt_us;     /* the last Ctrl-C that had nothing to do */
    char *model;              /* short name of what answers */
    int n_ctx, n_prompt;      /* of the running turn, 0: not known yet */
    int64_t phase_us, first_us; /* when the phase began; the turn's first text */
    uint64_t phase_done;      /* what was done then */
    int64_t thought_node;     /* whose thoughts took thought_ms; 0: nobody's */
    double thought_ms;
    struct buf raw;           /* of /raw, until its end */
    struct full_known *known; /* of the path's nodes, in their places */
    size_t n_known;
};

/* Puts a view over the others (takes it); full_pop takes the top one away. */
void full_push(struct full *u, struct view *v);
void full_pop(struct full *u);
void full_say(struct full *u, enum role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void full_command(struct full *u, const char *name); /* of EDITOR_COMMANDS, or of reading mode */
void full_slash(struct full *u, const char *line);   /* a slash command, as if it were typed; what it says is shown */
void full_sync(struct full *u);                      /* the transcript shows the chat's path */
void full_open(struct full *u, int64_t session);     /* goes on with a session (0: a new one) */
/* Opens the session of a message, on the branch that has it, and shows it, with the needle's row in sight. */
void full_goto(struct full *u, int64_t session, int64_t node, const char *needle);

/* ---- app/full_status.c ---- */
void full_status(struct full *u); /* header, status line and progress, before drawing */
void full_title(struct full *u);
void full_model_name(const struct full *u, struct buf *out); /* what answers, or will */

/* ---- app/full_ext.c: other programs ---- */
void full_editor(struct full *u);
void full_pager(void *u, const char *text, size_t n);
void full_pipe(void *u, const char *command, const char *text, size_t n);
void full_save(void *u, const char *path, const char *text, size_t n);
void full_copy(void *u, const char *what, const char *text, size_t n);

/* ---- app/full_sessions.c, full_tree.c, full_models.c, keys.c: the views beside the chat ---- */
void full_sessions(struct full *u);
void full_search(struct full *u, const char *words);
void full_branches(struct full *u);
void full_models(struct full *u);
void full_settings(struct full *u);
void full_help(struct full *u);
/* What they keep between calls is freed. */
void full_sessions_finish(void);
void full_tree_finish(void);
void full_models_finish(void);
/* A message as a preview; name: whose answer it is. */
void full_preview_node(const struct hist_node *n, const char *name, pane_add *add, void *to);

/* ---- app/full_script.c ---- */
/* The script that HADAL_SCRIPT names; *out NULL: there is none. */
int script_open(struct script **out, struct err *err);
void script_close(struct script *s);
void script_size(const struct script *s, int *rows, int *cols);
/* What is to come next: bytes of keys into `keys` (0: none now). `idle`: no turn runs and nothing is queued. False: the script is over. */
bool script_next(struct script *s, const struct surface *screen, bool idle, struct buf *keys, int *rows, int *cols);

#endif
