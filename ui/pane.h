#ifndef UI_PANE_H
#define UI_PANE_H
/*
 * What the views with a list and a preview share: the preview itself, a rule, a line that asks for a text, words of a filter.
 */
#include <stdint.h>

#include "ui/rows.h"
#include "ui/views.h"

/* A preview, laid out once for what it shows and its width. */
struct pane {
    struct rows rows;
    int64_t id;
    int width;
    size_t top;
    bool full; /* what came is more than is shown */
};
void pane_init(struct pane *p);
void pane_finish(struct pane *p);
void pane_forget(struct pane *p); /* what it shows has changed */
/* Is it to be filled for this? Then it is empty. */
bool pane_wants(struct pane *p, int64_t id, int width);
void pane_text(void *pane, enum role role, const char *text, size_t n); /* a pane_add */
void pane_draw(struct pane *p, struct surface *s, struct area a);
/* Space, b: true when it was one. */
bool pane_key(struct pane *p, const struct input_event *e, int rows);
/* The first row with the text stands in the upper third, the text marked. */
void pane_show(struct pane *p, const char *needle, int rows);

void pane_rule(struct surface *s, int y, int x, int cols);

/* A line that asks for a text, below. */
struct asking {
    const char *label; /* NULL: nothing is asked */
    struct field field;
    int what;
};
void asking_begin(struct asking *q, int what, const char *label, const char *text);
void asking_end(struct asking *q);
enum asking_did { ASKING_ON, ASKING_ENTERED, ASKING_LEFT };
enum asking_did asking_key(struct asking *q, const struct input_event *e);
void asking_draw(const struct asking *q, struct surface *s, int y, struct area a);
void say_draw(const struct say *say, struct surface *s, int y, struct area a);

/* All words of the filter stand in the text, ASCII letters without case. */
bool pane_has(const char *text, const char *words);

#endif
