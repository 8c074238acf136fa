/*
 * Models: what is there, whether it fits, how fast it was here. Files are looked at one a tick, so the view comes at once.
 */
#include "config.h"
#include "ui/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"

struct models {
    struct view_models_conf c;
    char *right;
    const struct model_row *at;
    size_t n, *shown, n_shown; /* rows that the filter keeps */
    struct list list;
    struct field filter;
    struct pane pane;
    struct say say;
    bool loaded;
};

static void load(struct models *m)
{
    bool first = !m->loaded;
    size_t was = m->n_shown ? m->shown[m->list.at] : 0, at = 0;
    m->c.rows(m->c.arg, &m->at, &m->n, &m->say);
    m->shown = mem_grow(m->shown, m->n + 1, sizeof *m->shown);
    m->n_shown = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct model_row *r = &m->at[i];
        char all[400];
        snprintf(all, sizeof all, "%.200s %.60s %.60s", r->name, r->quant, r->fits);
        if (!pane_has(all, field_text(&m->filter)))
            continue;
        if (i == was || (first && r->here))
            at = m->n_shown;
        m->shown[m->n_shown++] = i;
    }
    list_set(&m->list, m->n_shown, at);
    m->loaded = true;
    pane_forget(&m->pane);
}

static void column(struct surface *s, int y, int x, int end, struct look look, const char *text, bool right)
{
    int n = text_columns(text, strlen(text));
    surface_fit(s, y, right && x + n < end ? end - n : x, end, look, text);
}

static void draw_row(const struct models *m, struct surface *s, int y, struct area a, const struct model_row *r, int kind) /* 0, 1: selected, 2: heading */
{
    int end = a.x + a.cols, x = end - 5;
    struct look look = {kind == 1 ? ROLE_SELECTED : kind == 2 ? ROLE_DIM : r->bad ? ROLE_DIM : ROLE_TEXT, kind == 2 ? LOOK_UNDERLINE : r->here ? LOOK_BOLD : 0, 0};
    (void)m;
    if (kind)
        surface_blank(s, y, a.x, 1, a.cols, look);
    surface_puts(s, y, a.x, end, look, kind == 1 ? ">" : r->here ? "*" : " ");
    if (a.cols < 60) {
        surface_fit(s, y, a.x + 2, end, look, r->name);
        return;
    }
    column(s, y, x, end, look, r->used, true);
    if (a.cols >= 100) {
        column(s, y, x - 15, x - 1, look, r->speed, true);
        x -= 15;
    }
    int fits = a.cols >= 100 ? 30 : 17;
    column(s, y, x - fits - 1, x - 1, look, r->fits, false);
    x -= fits + 1;
    column(s, y, x - 6, x - 1, look, r->ctx, true);
    column(s, y, x - 15, x - 7, look, r->size, true);
    column(s, y, x - 24, x - 16, look, r->quant, false);
    surface_fit(s, y, a.x + 2, x - 25, look, r->name);
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    static const struct model_row heading = {"name", "quant", "size", "ctx", "fits", "used", "last speed", false, false};
    struct models *m = view_private(v);
    int y = a.y, foot = a.rows >= 6, detail = a.rows >= 16 ? 7 : 0, x;
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, "models", m->right);
    x = surface_puts(s, y, a.x, a.x + a.cols, (struct look){ROLE_KEY, 0, 0}, "/ ");
    int field_y = y++;
    if (a.rows > 8)
        draw_row(m, s, y++, a, &heading, 2);
    int body = a.y + a.rows - foot - (detail ? detail + 1 : 0) - y;
    list_fit(&m->list, body);
    for (size_t i = m->list.top, k = 0; i < m->n_shown && (int)k < body; i++, k++)
        draw_row(m, s, y + (int)k, a, &m->at[m->shown[i]], i == m->list.at);
    if (!m->n_shown && body > 0)
        surface_fit(s, y, a.x + 2, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, m->n ? "nothing fits the filter" : "no models here: put GGUF files into the folder above");
    y += body > 0 ? body : 0;
    if (detail && m->n_shown) {
        size_t row = m->shown[m->list.at];
        pane_rule(s, y, a.x, a.cols);
        if (pane_wants(&m->pane, (int64_t)row + 1, a.cols))
            m->c.detail(m->c.arg, row, pane_text, &m->pane);
        pane_draw(&m->pane, s, (struct area){y + 1, a.x, detail, a.cols});
    }
    if (foot && m->say.text[0])
        say_draw(&m->say, s, a.y + a.rows - 1, a);
    else if (foot)
        view_keys(s, a.y + a.rows - 1, a, "Enter use it from here on  Up/Down move  Esc back");
    field_draw(&m->filter, s, field_y, x, a.x + a.cols, true);
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct models *m = view_private(v);
    m->say = (struct say){0};
    if (list_key(&m->list, e, false))
        return VIEW_DONE;
    if (key_is(e, "Enter"))
        return m->n_shown && m->c.use(m->c.arg, m->shown[m->list.at], &m->say) ? VIEW_CLOSE : VIEW_DONE;
    if (key_in(e, "Esc C-c C-g F4"))
        return VIEW_CLOSE;
    if (!field_key(&m->filter, e))
        return VIEW_IGNORED;
    load(m);
    return VIEW_DONE;
}

static bool tick(struct view *v)
{
    struct models *m = view_private(v);
    bool more = m->c.more(m->c.arg);
    load(m);
    view_tick_in(v, more ? 1 : -1);
    return true;
}

static void finish(struct view *v)
{
    struct models *m = view_private(v);
    free(m->right);
    free(m->shown);
    field_finish(&m->filter);
    pane_finish(&m->pane);
}

struct view *view_models(const struct view_models_conf *c)
{
    static const struct view_ops ops = {.name = "models", .private_size = sizeof(struct models), .finish = finish, .draw = draw, .key = key,
                                        .tick = tick};
    struct view *v = view_create(&ops);
    struct models *m = view_private(v);
    m->c = *c;
    m->right = mem_strdup(c->right);
    pane_init(&m->pane);
    load(m);
    view_tick_in(v, 0);
    return v;
}
