#ifndef UI_THEME_H
#define UI_THEME_H
/*
 * Themes: what a role looks like. Colours are numbers of the terminal's palette, the first 16 of which are the person's own; -1 is the
 * terminal's default. A theme names both what it wants of 256 colours and what it takes when there are 8.
 */
#include <stdbool.h>

#include "ui/surface.h"

enum theme { THEME_AUTO, THEME_DARK, THEME_LIGHT, THEME_MONO };
enum { THEME_DIM = 32 }; /* beside LOOK_* */

struct theme_look {
    short fg, bg;   /* of 256 */
    short fg8, bg8; /* of 8 */
    unsigned char flags; /* LOOK_* and THEME_DIM */
};
/* t is not THEME_AUTO. */
struct theme_look theme_role(enum theme t, enum role r);
/* "auto", "dark", "light", "mono"; false: none of these. */
bool theme_parse(const char *name, enum theme *out);
const char *theme_name(enum theme t);
/* A terminal's answer to OSC 11: true, and whether its background is light. */
bool theme_answer(const char *reply, bool *light);

#endif
