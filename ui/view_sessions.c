/*
 * Sessions: an index with a preview, at its side from 100 columns on. The filter is asked for in the tick behind a key, so that
 * what is typed shows at once. What happens to a session is the callback's; afterwards the list is asked for again.
 */
#include "config.h"
#include "ui/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/pane.h"

#define WIDE 100

enum { ASK_FILTER = 100 }; /* beside enum sessions_act */

struct sessions {
    struct view_sessions_conf c;
    struct sessions_data d;
    struct list list;
    struct pane pane;
    struct asking ask;
    struct field filter;
    struct say say;
    int preview_rows;
    bool loaded;
};

static int64_t selected(const struct sessions *m)
{
    return m->d.n ? m->d.at[m->list.at].id : 0;
}

/* The list anew; the selection stays with its session. */
static void load(struct sessions *m)
{
    int64_t id = selected(m);
    size_t at = m->list.at;
    m->c.list(m->c.arg, field_text(&m->filter), &m->d, &m->say);
    for (size_t i = 0; i < m->d.n; i++)
        if (m->d.at[i].id == id || (!m->loaded && m->d.at[i].here))
            at = i;
    list_set(&m->list, m->d.n, at);
    m->loaded = true;
    pane_forget(&m->pane);
}

/* ---- drawing ---- */

static void draw_row(const struct sessions *m, struct surface *s, int y, struct area a, size_t i)
{
    const struct session_row *r = &m->d.at[i];
    bool here = i == m->list.at;
    char left[8], right[64], count[16];
    int end = a.x + a.cols, wide = a.cols >= 46;
    snprintf(left, sizeof left, "%c%c%c ", here ? '>' : ' ', r->pinned ? '*' : ' ', r->state);
    snprintf(count, sizeof count, "%d", r->messages);
    struct look dim = {here ? ROLE_SELECTED : ROLE_DIM, 0, 0};
    struct look look = {here ? ROLE_SELECTED : r->archived ? ROLE_DIM : ROLE_TEXT, r->here ? LOOK_BOLD : 0, 0};
    if (here)
        surface_blank(s, y, a.x, 1, a.cols, dim);
    int x = surface_puts(s, y, a.x, end, look, left);
    int when = end - 8, model = when - 13, msgs = model - 6, stop = wide ? msgs - 1 : end;
    int note = (int)strlen(r->note) < stop - x - 12 ? text_columns(r->note, strlen(r->note)) : 0;
    surface_fit(s, y, x, note ? stop - note - 1 : stop, look, *r->title ? r->title : "(untitled)");
    if (note)
        surface_puts(s, y, stop - note, stop, dim, r->note);
    if (!wide)
        return;
    snprintf(right, sizeof right, "%5s ", count);
    surface_puts(s, y, msgs, end, dim, right);
    surface_fit(s, y, model, when - 1, dim, r->model);
    surface_puts(s, y, end - text_columns(r->when, strlen(r->when)), end, dim, r->when);
}

static void draw_list(struct sessions *m, struct surface *s, struct area a)
{
    int y = a.y;
    if (a.rows > 4 && a.cols >= 46) {
        int end = a.x + a.cols;
        struct look dim = {ROLE_DIM, LOOK_UNDERLINE, 0};
        surface_blank(s, y, a.x, 1, a.cols, dim);
        surface_puts(s, y, a.x + 4, end, dim, "title");
        surface_puts(s, y, end - 26, end, dim, "msgs  model");
        surface_puts(s, y, end - 4, end, dim, "when");
        y++;
    }
    list_fit(&m->list, a.y + a.rows - y);
    for (size_t i = m->list.top; i < m->d.n && y < a.y + a.rows; i++, y++)
        draw_row(m, s, y, a, i);
    if (!m->d.n && a.rows > 0)
        surface_fit(s, y, a.x + 4, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, m->filter.n ? "nothing fits the filter" : "no conversation yet");
}

static void draw_preview(struct sessions *m, struct surface *s, struct area a)
{
    m->preview_rows = a.rows;
    if (!m->d.n || a.rows < 1 || a.cols < 8)
        return;
    if (pane_wants(&m->pane, selected(m), a.cols))
        m->c.preview(m->c.arg, selected(m), pane_text, &m->pane);
    pane_draw(&m->pane, s, a);
}

static void draw_foot(struct sessions *m, struct surface *s, struct area a, int y, int rows)
{
    if (m->ask.label)
        asking_draw(&m->ask, s, y, a);
    else if (m->say.text[0])
        say_draw(&m->say, s, y, a);
    else if (rows == 1)
        view_keys(s, y, a, "Enter open  / filter  q back");
    else
        surface_fit(s, y, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0},
                    "* pinned   ! being written   i interrupted   br branches   Space b: preview");
    if (rows < 3)
        return;
    view_keys(s, y + 1, a, a.cols < WIDE ? "Enter open  n new  / filter  r rename  f fork  a archive  p pin  t tag"
                                         : "Enter open  n new  / filter  r rename  f fork  a archive  p pin  t tag  d delete  u undo  x export  s sort");
    view_keys(s, y + 2, a, a.cols < WIDE ? "d delete  u undo  x export  s sort  A all or archive  q back" : "A all or archive  q back");
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct sessions *m = view_private(v);
    char title[80], right[160];
    int y = a.y, foot = a.rows >= 12 ? 3 : a.rows >= 3 ? 1 : 0;
    if (!m->loaded)
        load(m);
    snprintf(title, sizeof title, m->d.n == m->d.total ? "sessions  %zu" : "sessions  %zu   %zu shown", m->d.total, m->d.n);
    snprintf(right, sizeof right, "sort: %s   filter: %.100s", m->d.sort, m->filter.n ? field_text(&m->filter) : m->d.which);
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, title, right);
    int body = a.y + a.rows - foot - y;
    if (a.cols >= WIDE) {
        int list = a.cols * 3 / 5;
        draw_list(m, s, (struct area){y, a.x, body, list});
        draw_preview(m, s, (struct area){y, a.x + list + 2, body, a.cols - list - 2});
    } else if (body >= 12) {
        int list = body * 2 / 3;
        draw_list(m, s, (struct area){y, a.x, list, a.cols});
        pane_rule(s, y + list, a.x, a.cols);
        draw_preview(m, s, (struct area){y + list + 1, a.x, body - list - 1, a.cols});
    } else {
        draw_list(m, s, (struct area){y, a.x, body, a.cols});
    }
    if (foot)
        draw_foot(m, s, a, a.y + a.rows - foot, foot);
}

/* ---- keys ---- */

static bool act(struct view *v, int what, const char *text)
{
    struct sessions *m = view_private(v);
    m->say = (struct say){0};
    if (m->c.act(m->c.arg, (enum sessions_act)what, selected(m), text, &m->say))
        return true;
    struct say said = m->say;
    load(m);
    if (said.text[0])
        m->say = said;
    return false;
}

/* While a text is entered. */
static enum view_did key_asking(struct view *v, const struct input_event *e)
{
    struct sessions *m = view_private(v);
    bool filter = m->ask.what == ASK_FILTER, closes = false;
    if (filter && list_key(&m->list, e, false))
        return VIEW_DONE;
    switch (asking_key(&m->ask, e)) {
    case ASKING_LEFT:
        asking_end(&m->ask);
        if (filter) {
            field_set(&m->filter, "");
            load(m);
        }
        break;
    case ASKING_ENTERED:
        if (!filter)
            closes = act(v, m->ask.what, field_text(&m->ask.field));
        else if (view_tick_ms(v) >= 0) {
            view_tick_in(v, -1);
            load(m);
        }
        asking_end(&m->ask);
        break;
    case ASKING_ON:
        if (filter) {
            field_set(&m->filter, field_text(&m->ask.field));
            view_tick_in(v, 10);
        }
        break;
    }
    return closes ? VIEW_CLOSE : VIEW_DONE;
}

static void ask_tags(struct sessions *m)
{
    asking_begin(&m->ask, SESSIONS_TAG, "tag (-tag takes it away): ", "");
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    static const struct {
        const char *key;
        int act;
    } plain[] = {{"Enter", SESSIONS_OPEN}, {"p", SESSIONS_PIN}, {"a", SESSIONS_ARCHIVE}, {"d", SESSIONS_DELETE}, {"f", SESSIONS_FORK}};
    static const struct {
        const char *key;
        int act;
    } always[] = {{"n", SESSIONS_NEW}, {"u", SESSIONS_UNDO}, {"s", SESSIONS_SORT}, {"A", SESSIONS_WHICH}};
    struct sessions *m = view_private(v);
    if (m->ask.label)
        return key_asking(v, e);
    m->say.text[0] = 0;
    if (list_key(&m->list, e, true) || pane_key(&m->pane, e, m->preview_rows))
        return VIEW_DONE;
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (key_is(e, always[i].key))
            return act(v, always[i].act, NULL) ? VIEW_CLOSE : VIEW_DONE;
    for (size_t i = 0; m->d.n && i < sizeof plain / sizeof plain[0]; i++)
        if (key_is(e, plain[i].key))
            return act(v, plain[i].act, NULL) ? VIEW_CLOSE : VIEW_DONE;
    if (key_is(e, "/"))
        asking_begin(&m->ask, ASK_FILTER, "/ ", field_text(&m->filter));
    else if (key_is(e, "r") && m->d.n)
        asking_begin(&m->ask, SESSIONS_RENAME, "title: ", m->d.at[m->list.at].title);
    else if (key_is(e, "t") && m->d.n)
        ask_tags(m);
    else if (key_is(e, "x") && m->d.n)
        asking_begin(&m->ask, SESSIONS_EXPORT, "export to (.md, .json, .html): ", "");
    else if (key_in(e, "q C-c C-g F2"))
        return VIEW_CLOSE;
    else if (key_is(e, "Esc") && m->filter.n) {
        field_set(&m->filter, "");
        load(m);
    } else if (key_is(e, "Esc"))
        return VIEW_CLOSE;
    else
        return VIEW_IGNORED;
    return VIEW_DONE;
}

static bool tick(struct view *v)
{
    load(view_private(v));
    return true;
}

static void finish(struct view *v)
{
    struct sessions *m = view_private(v);
    pane_finish(&m->pane);
    field_finish(&m->filter);
    field_finish(&m->ask.field);
}

struct view *view_sessions(const struct view_sessions_conf *c)
{
    static const struct view_ops ops = {.name = "sessions", .private_size = sizeof(struct sessions), .finish = finish, .draw = draw, .key = key,
                                        .tick = tick};
    struct view *v = view_create(&ops);
    struct sessions *m = view_private(v);
    m->c = *c;
    pane_init(&m->pane);
    return v;
}
