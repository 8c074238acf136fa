/*
 * Themes. See theme.h. Few colours: most of the screen is the terminal's own text on its own background.
 */
#include "config.h"
#include "ui/theme.h"

#include <stdio.h>
#include <string.h>

#define NONE (-1)

static const struct theme_look dark[ROLE_COUNT] = {
    [ROLE_TEXT] = {NONE, NONE, NONE, NONE, 0},
    [ROLE_DIM] = {245, NONE, NONE, NONE, 0},
    [ROLE_TITLE] = {NONE, NONE, NONE, NONE, 0},
    [ROLE_STATUS] = {252, 236, NONE, NONE, 0},
    [ROLE_WARN] = {221, NONE, 3, NONE, 0},
    [ROLE_ALERT] = {203, NONE, 1, NONE, LOOK_BOLD},
    [ROLE_GOOD] = {114, NONE, 2, NONE, 0},
    [ROLE_USER] = {117, NONE, 6, NONE, LOOK_BOLD},
    [ROLE_MODEL] = {150, NONE, 2, NONE, LOOK_BOLD},
    [ROLE_THOUGHT] = {245, NONE, NONE, NONE, LOOK_ITALIC},
    [ROLE_HEADING] = {111, NONE, 4, NONE, LOOK_BOLD},
    [ROLE_QUOTE] = {109, NONE, 6, NONE, LOOK_ITALIC},
    [ROLE_LINK] = {75, NONE, 4, NONE, LOOK_UNDERLINE},
    [ROLE_CODE] = {180, NONE, 3, NONE, 0},
    [ROLE_RULE] = {240, NONE, NONE, NONE, 0},
    [ROLE_COMMENT] = {244, NONE, 4, NONE, 0},
    [ROLE_STRING] = {114, NONE, 2, NONE, 0},
    [ROLE_KEYWORD] = {176, NONE, 5, NONE, 0},
    [ROLE_NUMBER] = {80, NONE, 6, NONE, 0},
    [ROLE_HIT] = {16, 221, 0, 3, 0},
    [ROLE_SELECTED] = {NONE, 238, NONE, NONE, LOOK_BOLD},
    [ROLE_KEY] = {117, NONE, 6, NONE, 0},
};

static const struct theme_look light[ROLE_COUNT] = {
    [ROLE_TEXT] = {NONE, NONE, NONE, NONE, 0},
    [ROLE_DIM] = {242, NONE, NONE, NONE, 0},
    [ROLE_TITLE] = {NONE, NONE, NONE, NONE, 0},
    [ROLE_STATUS] = {237, 254, NONE, NONE, 0},
    [ROLE_WARN] = {130, NONE, 3, NONE, LOOK_BOLD},
    [ROLE_ALERT] = {160, NONE, 1, NONE, LOOK_BOLD},
    [ROLE_GOOD] = {28, NONE, 2, NONE, 0},
    [ROLE_USER] = {25, NONE, 4, NONE, LOOK_BOLD},
    [ROLE_MODEL] = {28, NONE, 2, NONE, LOOK_BOLD},
    [ROLE_THOUGHT] = {242, NONE, NONE, NONE, LOOK_ITALIC},
    [ROLE_HEADING] = {25, NONE, 4, NONE, LOOK_BOLD},
    [ROLE_QUOTE] = {30, NONE, 6, NONE, LOOK_ITALIC},
    [ROLE_LINK] = {26, NONE, 4, NONE, LOOK_UNDERLINE},
    [ROLE_CODE] = {94, NONE, 5, NONE, 0},
    [ROLE_RULE] = {250, NONE, NONE, NONE, 0},
    [ROLE_COMMENT] = {243, NONE, 4, NONE, 0},
    [ROLE_STRING] = {28, NONE, 2, NONE, 0},
    [ROLE_KEYWORD] = {90, NONE, 5, NONE, 0},
    [ROLE_NUMBER] = {30, NONE, 6, NONE, 0},
    [ROLE_HIT] = {16, 220, 0, 3, 0},
    [ROLE_SELECTED] = {NONE, 253, NONE, NONE, LOOK_BOLD},
    [ROLE_KEY] = {25, NONE, 4, NONE, 0},
};

/* What has a meaning without colour; also what 8 colours get in addition. */
static const unsigned char mono[ROLE_COUNT] = {
    [ROLE_DIM] = THEME_DIM, [ROLE_TITLE] = LOOK_BOLD, [ROLE_STATUS] = LOOK_REVERSE, [ROLE_WARN] = LOOK_BOLD, [ROLE_ALERT] = LOOK_BOLD | LOOK_REVERSE,
    [ROLE_USER] = LOOK_BOLD, [ROLE_MODEL] = LOOK_BOLD, [ROLE_THOUGHT] = THEME_DIM, [ROLE_HEADING] = LOOK_BOLD, [ROLE_QUOTE] = THEME_DIM,
    [ROLE_LINK] = LOOK_UNDERLINE, [ROLE_RULE] = THEME_DIM, [ROLE_COMMENT] = THEME_DIM, [ROLE_KEYWORD] = LOOK_BOLD, [ROLE_HIT] = LOOK_REVERSE,
    [ROLE_SELECTED] = LOOK_REVERSE, [ROLE_KEY] = LOOK_BOLD,
};

struct theme_look theme_role(enum theme t, enum role r)
{
    if (r >= ROLE_COUNT)
        r = ROLE_TEXT;
    struct theme_look l = t == THEME_LIGHT ? light[r] : dark[r];
    if (t == THEME_MONO)
        return (struct theme_look){NONE, NONE, NONE, NONE, mono[r]};
    return l;
}

static const char *const names[] = {[THEME_AUTO] = "auto", [THEME_DARK] = "dark", [THEME_LIGHT] = "light", [THEME_MONO] = "mono"};

bool theme_parse(const char *name, enum theme *out)
{
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], name)) {
            *out = (enum theme)i;
            return true;
        }
    return false;
}

const char *theme_name(enum theme t)
{
    return names[t];
}

/* One channel, as a part of 1: one to four hexadecimal digits. */
static bool channel(const char **p, double *out)
{
    unsigned value = 0, top = 0;
    int n = 0;
    for (; n < 4; n++, (*p)++) {
        char c = **p;
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) :
                         c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 16;
        if (digit == 16)
            break;
        value = value * 16 + digit;
        top = top * 16 + 15;
    }
    *out = n ? (double)value / top : 0;
    return n > 0;
}

bool theme_answer(const char *reply, bool *is_light)
{
    static const char want[] = "\x1b]11;rgb";
    double c[3];
    if (strncmp(reply, want, sizeof want - 1) != 0)
        return false;
    const char *p = reply + sizeof want - 1;
    p += *p == 'a'; /* rgba */
    if (*p++ != ':')
        return false;
    for (int i = 0; i < 3; i++)
        if (!channel(&p, &c[i]) || (i < 2 && *p++ != '/'))
            return false;
    *is_light = 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2] > 0.5;
    return true;
}
