#ifndef UI_VIEW_H
#define UI_VIEW_H
/*
 * A view: one screen, or a part of one (sessions, search, tree, models, help, settings, the chat itself). An ops table and private data;
 * nothing of the terminal, of history or of the engine: what it shows comes in as plain structs, what a person wants goes out by the
 * callbacks that its maker handed over. app/face_full.c keeps a stack of views, draws the top one and gives it the keys.
 *
 * Writing one (ui/view_NAME.c, its entry `struct view *view_NAME(const struct NAME_conf *)` in ui/views.h): a private struct, the ops, and
 *
 *     struct view *v = view_create(&ops);
 *     struct mine *m = view_private(v);
 *
 * Its data are supplied by app/full_NAME.c. Drawing is cheap and happens often (each key, each token while it is on top): lay out in
 * resized() or when the data change, keep it, and draw only what is seen. Nothing may take longer than 5 ms.
 */
#include <stdbool.h>
#include <stddef.h>

#include "ui/input.h"
#include "ui/surface.h"

struct view;

/* A part of a surface. */
struct area {
    int y, x, rows, cols;
};

enum view_did {
    VIEW_IGNORED, /* not a key of this view: global keys (F1.., C-x ..) come to their turn */
    VIEW_DONE,    /* taken; the view is drawn again */
    VIEW_CLOSE,   /* taken; the view goes away */
};

struct view_ops {
    const char *name;    /* "sessions"; also for dumps */
    size_t private_size; /* zeroed before the maker fills it in */
    void (*finish)(struct view *v); /* frees what the private struct owns; may be NULL */
    /* Draws all of the area (it is blank before), and puts the cursor (surface_cursor) if text is entered. */
    void (*draw)(struct view *v, struct surface *s, struct area a);
    /* One key or paste. Ctrl-C, Ctrl-Z, Ctrl-L and F-keys come here first, too. */
    enum view_did (*key)(struct view *v, const struct input_event *e);
    /* Another size, before the next draw; may be NULL (draw sees the area each time). */
    void (*resized)(struct view *v, int rows, int cols);
    /* Called when view_tick_ms has passed (preview, search as one types); returns whether to draw. May be NULL. */
    bool (*tick)(struct view *v);
    /* Rows that it wants of `cols` columns, for a panel or popup; NULL: the whole screen. */
    int (*rows_wanted)(struct view *v, int cols);
};

struct view *view_create(const struct view_ops *ops);
void view_destroy(struct view *v);
void *view_private(struct view *v);
const char *view_name(const struct view *v);

void view_draw(struct view *v, struct surface *s, struct area a); /* blanks the area, then draws */
enum view_did view_key(struct view *v, const struct input_event *e);
int view_rows_wanted(struct view *v, int cols); /* 0: the whole screen */
/* Asks for tick() in ms milliseconds from now (-1: none). */
void view_tick_in(struct view *v, int ms);
/* For the loop: milliseconds until the tick, -1: none; view_tick calls it when it is due and says whether to draw. */
int view_tick_ms(const struct view *v);
bool view_tick(struct view *v);
bool view_tick_now(struct view *v); /* whether due or not: tests do not wait */

/*
 * ---- what views share ----
 * Where the selection is in a list of n rows of which `rows` are seen, and the first that is seen.
 */
struct list {
    size_t n, at, top;
    int rows; /* as last drawn */
};
void list_set(struct list *l, size_t n, size_t at);
/* j k Up Down C-n C-p g G Home End PgUp PgDn C-u C-d: true when it was one of these. `letters`: j k g G too (not while text is entered). */
bool list_key(struct list *l, const struct input_event *e, bool letters);
/* Call before drawing: makes the selection visible. */
void list_fit(struct list *l, int rows);

/* A line of text that is entered (a filter, a title). Starts zeroed. */
struct field {
    char *text; /* owned; NULL: empty */
    size_t n, at;
};
void field_finish(struct field *f);
void field_set(struct field *f, const char *text);
const char *field_text(const struct field *f); /* never NULL */
/* Characters, pastes (newlines become spaces), Backspace Delete Left Right Home End C-a C-e C-b C-f C-h C-d C-k C-u C-w: true when it was one. */
bool field_key(struct field *f, const struct input_event *e);
/* Draws it in columns [x, end), scrolled so that the cursor is seen; puts the cursor when `cursor`. */
void field_draw(const struct field *f, struct surface *s, int y, int x, int end, bool cursor);

/* A row at the top: title at the left in ROLE_TITLE, `right` at the right, dim. And key hints at the bottom: "Enter open  n new": the first
 * word of each pair (separated by two blanks) is drawn as a key. */
void view_head(struct surface *s, struct area a, const char *title, const char *right);
void view_keys(struct surface *s, int y, struct area a, const char *hints);

#endif
