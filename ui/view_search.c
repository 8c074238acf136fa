/*
 * Search in all that was ever said, as one types; the message that is selected below (from 100 columns on at the side), scrolled to the hit.
 * What is typed shows at once, the search runs in the tick behind it.
 */
#include "config.h"
#include "ui/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/pane.h"

#define WIDE 100

struct finder {
    struct view_search_conf c;
    struct search_data d;
    struct list list;
    struct field words;
    struct pane pane;
    struct say say;
    bool here; /* this session only */
    int preview_rows;
};

/* The first text that was hit in the selected row, for finding its place; "" where nothing was. */
static void needle(const struct finder *m, char *out, size_t n)
{
    const char *s = m->d.n ? strchr(m->d.at[m->list.at].snippet, '\x01') : NULL;
    size_t len = s ? strcspn(s + 1, "\x02") : 0;
    snprintf(out, n, "%.*s", (int)len, s ? s + 1 : "");
}

static void find(struct finder *m)
{
    m->say = (struct say){0};
    m->d = (struct search_data){0};
    if (field_text(&m->words)[strspn(field_text(&m->words), " ")])
        m->c.find(m->c.arg, field_text(&m->words), m->here, &m->d, &m->say);
    list_set(&m->list, m->d.n, 0);
    m->list.top = 0;
    pane_forget(&m->pane);
}

/* ---- drawing ---- */

/* The snippet, its hits marked; blanks for newlines. */
static void draw_snippet(struct surface *s, int y, int x, int end, const char *text, struct look look)
{
    while (*text && x < end) {
        size_t n = strcspn(text, "\x01\x02");
        x = surface_put(s, y, x, end, look, text, n);
        text += n;
        if (*text)
            look = *text++ == '\x01' ? (struct look){ROLE_HIT, LOOK_BOLD, 0} : (struct look){ROLE_DIM, 0, 0};
    }
}

static void draw_hit(const struct finder *m, struct surface *s, int y, struct area a, size_t i)
{
    const struct search_row *r = &m->d.at[i];
    bool here = i == m->list.at;
    int end = a.x + a.cols, when = end - text_columns(r->when, strlen(r->when)), who = a.cols >= 60 ? end - 28 : end;
    struct look dim = {here ? ROLE_SELECTED : ROLE_DIM, 0, 0};
    if (here)
        surface_blank(s, y, a.x, 1, a.cols, dim);
    surface_puts(s, y, a.x, end, dim, here ? ">" : " ");
    surface_fit(s, y, a.x + 3, who - 1, (struct look){here ? ROLE_SELECTED : ROLE_TEXT, LOOK_BOLD, 0}, *r->title ? r->title : "(untitled)");
    if (a.cols >= 60) {
        surface_fit(s, y, who, when - 1, dim, r->who);
        surface_puts(s, y, when, end, dim, r->when);
    }
    draw_snippet(s, y + 1, a.x + 3, end, r->snippet, (struct look){ROLE_DIM, 0, 0});
}

static void draw_list(struct finder *m, struct surface *s, struct area a)
{
    const char *typed = field_text(&m->words);
    list_fit(&m->list, a.rows / 2);
    int y = a.y;
    for (size_t i = m->list.top; i < m->d.n && y + 1 < a.y + a.rows; i++, y += 2)
        draw_hit(m, s, y, a, i);
    if (!m->d.n && a.rows > 0)
        surface_fit(s, y, a.x + 3, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, typed[strspn(typed, " ")] ? "nothing found" : "type what to look for");
}

static void draw_preview(struct finder *m, struct surface *s, struct area a)
{
    char text[200];
    m->preview_rows = a.rows;
    if (!m->d.n || a.rows < 1 || a.cols < 8)
        return;
    if (pane_wants(&m->pane, m->d.at[m->list.at].node, a.cols)) {
        m->c.preview(m->c.arg, m->d.at[m->list.at].node, pane_text, &m->pane);
        needle(m, text, sizeof text);
        pane_show(&m->pane, text, a.rows);
    }
    pane_draw(&m->pane, s, a);
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct finder *m = view_private(v);
    char right[80] = "";
    int y = a.y, foot = a.rows >= 14 ? 2 : a.rows >= 4 ? 1 : 0, x;
    if (field_text(&m->words)[0])
        snprintf(right, sizeof right, "%zu%s hit%s%s, %.0f ms", m->d.n, m->d.more ? "+" : "", m->d.n == 1 && !m->d.more ? "" : "s",
                 m->d.newest ? ", newest first" : "", m->d.ms);
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, m->here ? "search this session" : "search all sessions", right);
    x = surface_puts(s, y, a.x, a.x + a.cols, (struct look){ROLE_KEY, 0, 0}, "/ ");
    int body_y = y + 1 + (a.rows > 20), body = a.y + a.rows - foot - body_y;
    if (a.cols >= WIDE) {
        int list = a.cols / 2;
        draw_list(m, s, (struct area){body_y, a.x, body, list});
        draw_preview(m, s, (struct area){body_y, a.x + list + 2, body, a.cols - list - 2});
    } else if (body >= 12) {
        int list = body * 3 / 5;
        draw_list(m, s, (struct area){body_y, a.x, list, a.cols});
        pane_rule(s, body_y + list, a.x, a.cols);
        draw_preview(m, s, (struct area){body_y + list + 1, a.x, body - list - 1, a.cols});
    } else {
        draw_list(m, s, (struct area){body_y, a.x, body, a.cols});
    }
    int below = a.y + a.rows - foot;
    if (m->say.text[0] && foot == 2)
        say_draw(&m->say, s, below, a);
    else if (foot == 2)
        surface_fit(s, below, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0},
                    "words are ANDed  \"a phrase\"  -not  in:you|answer|thought  model:  after:  tag:");
    if (foot)
        view_keys(s, a.y + a.rows - 1, a,
                  m->c.here ? "Enter open at the message  Up/Down move  C-o this session only  Esc back" : "Enter open at the message  Up/Down move  Esc back");
    field_draw(&m->words, s, y, x, a.x + a.cols, true);
}

/* ---- keys ---- */

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct finder *m = view_private(v);
    char text[200];
    if (list_key(&m->list, e, false))
        return VIEW_DONE;
    if (key_is(e, "Enter")) {
        if (view_tick_ms(v) >= 0) {
            view_tick_in(v, -1);
            find(m);
        }
        if (!m->d.n)
            return VIEW_DONE;
        const struct search_row *r = &m->d.at[m->list.at];
        needle(m, text, sizeof text);
        m->c.open(m->c.arg, r->session, r->node, text);
        return VIEW_CLOSE;
    }
    if (key_is(e, "C-o") && m->c.here) {
        m->here = !m->here;
        find(m);
        return VIEW_DONE;
    }
    if (key_in(e, "Esc C-c C-g F3"))
        return VIEW_CLOSE;
    if (!field_key(&m->words, e))
        return VIEW_IGNORED;
    view_tick_in(v, 10);
    return VIEW_DONE;
}

static bool tick(struct view *v)
{
    find(view_private(v));
    return true;
}

static void finish(struct view *v)
{
    struct finder *m = view_private(v);
    pane_finish(&m->pane);
    field_finish(&m->words);
}

struct view *view_search(const struct view_search_conf *c, const char *words)
{
    static const struct view_ops ops = {.name = "search", .private_size = sizeof(struct finder), .finish = finish, .draw = draw, .key = key,
                                        .tick = tick};
    struct view *v = view_create(&ops);
    struct finder *m = view_private(v);
    m->c = *c;
    pane_init(&m->pane);
    field_set(&m->words, words);
    find(m);
    return v;
}
