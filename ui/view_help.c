/*
 * Help: all keys and commands, a filter as one types.
 */
#include "config.h"
#include "ui/views.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"

struct help {
    struct help_row *rows; /* strings owned */
    size_t n;
    char *right;
    size_t *shown, n_shown; /* index + 1 of a row; 0: the heading of the next one */
    struct list list;       /* only its top matters */
    struct field filter;
    bool filtering;
};

static void fill(struct help *m)
{
    const char *section = NULL;
    m->n_shown = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct help_row *r = &m->rows[i];
        char *all = mem_printf("%s %s %s", r->section, r->key, r->help);
        if (pane_has(all, field_text(&m->filter))) {
            if (!section || strcmp(section, r->section) != 0)
                m->shown[m->n_shown++] = 0;
            section = r->section;
            m->shown[m->n_shown++] = i + 1;
        }
        free(all);
    }
    m->list.top = 0;
}

static size_t last_top(const struct help *m)
{
    size_t seen = (size_t)(m->list.rows > 0 ? m->list.rows : 1);
    return m->n_shown > seen ? m->n_shown - seen : 0;
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct help *m = view_private(v);
    int y = a.y, end = a.x + a.cols, foot = a.rows >= 3, wide = a.cols >= 60 ? 26 : 16;
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, "help", m->right);
    m->list.rows = a.y + a.rows - foot - y;
    if (m->list.top > last_top(m))
        m->list.top = last_top(m);
    for (size_t i = m->list.top; i < m->n_shown && y < a.y + a.rows - foot; i++, y++) {
        if (!m->shown[i]) {
            const struct help_row *next = &m->rows[m->shown[i + 1] - 1];
            surface_fit(s, y, a.x, end, (struct look){ROLE_HEADING, LOOK_BOLD, 0}, next->section);
            continue;
        }
        const struct help_row *r = &m->rows[m->shown[i] - 1];
        int x = surface_fit(s, y, a.x + 2, end, (struct look){ROLE_KEY, 0, 0}, r->key);
        surface_fit(s, y, x < a.x + wide - 1 ? a.x + wide : x + 2, end, (struct look){0}, r->help);
    }
    if (!m->n_shown)
        surface_fit(s, y, a.x + 2, end, (struct look){ROLE_DIM, 0, 0}, "nothing fits the filter");
    y = a.y + a.rows - 1;
    if (foot && m->filtering)
        field_draw(&m->filter, s, y, surface_puts(s, y, a.x, end, (struct look){ROLE_KEY, 0, 0}, "/ "), end, true);
    else if (foot)
        view_keys(s, y, a, "/ filter  j k Space b scroll  q back");
}

static bool scroll(struct help *m, const struct input_event *e, bool letters)
{
    struct list l = {.n = last_top(m) + 1, .at = m->list.top, .rows = m->list.rows};
    size_t page = (size_t)(l.rows > 2 ? l.rows - 1 : 1);
    if (letters && key_in(e, "Space"))
        l.at = l.at + page < l.n ? l.at + page : l.n - 1;
    else if (letters && key_is(e, "b"))
        l.at -= l.at < page ? l.at : page;
    else if (!list_key(&l, e, letters))
        return false;
    m->list.top = l.at;
    return true;
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct help *m = view_private(v);
    if (scroll(m, e, !m->filtering))
        return VIEW_DONE;
    if (m->filtering) {
        if (key_is(e, "Enter"))
            m->filtering = false;
        else if (key_in(e, "Esc C-c C-g")) {
            m->filtering = false;
            field_set(&m->filter, "");
            fill(m);
        } else if (field_key(&m->filter, e))
            fill(m);
        return VIEW_DONE;
    }
    if (key_is(e, "/"))
        m->filtering = true;
    else if (key_in(e, "q Esc C-c C-g F1 h ?"))
        return VIEW_CLOSE;
    else
        return VIEW_IGNORED;
    return VIEW_DONE;
}

static void finish(struct view *v)
{
    struct help *m = view_private(v);
    for (size_t i = 0; i < m->n; i++) {
        free((char *)(uintptr_t)m->rows[i].section);
        free((char *)(uintptr_t)m->rows[i].key);
        free((char *)(uintptr_t)m->rows[i].help);
    }
    free(m->rows);
    free(m->right);
    free(m->shown);
    field_finish(&m->filter);
}

struct view *view_help(const struct help_row *at, size_t n, const char *right)
{
    static const struct view_ops ops = {.name = "help", .private_size = sizeof(struct help), .finish = finish, .draw = draw, .key = key};
    struct view *v = view_create(&ops);
    struct help *m = view_private(v);
    m->rows = mem_array(n + 1, sizeof *m->rows);
    m->shown = mem_array(2 * n + 1, sizeof *m->shown);
    m->n = n;
    m->right = mem_strdup(right);
    for (size_t i = 0; i < n; i++)
        m->rows[i] = (struct help_row){mem_strdup(at[i].section), mem_strdup(at[i].key), mem_strdup(at[i].help)};
    fill(m);
    return v;
}
