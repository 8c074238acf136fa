/*
 * Settings of this chat, changed in place: Enter turns a flag over or asks for a value. They count from the next answer on.
 */
#include "config.h"
#include "ui/views.h"

#include <string.h>

#include "ui/pane.h"

struct settings {
    struct view_settings_conf c;
    const struct setting_row *at;
    size_t n;
    struct list list;
    struct asking ask;
    struct say say;
};

static void load(struct settings *m)
{
    m->c.rows(m->c.arg, &m->at, &m->n);
    list_set(&m->list, m->n, m->list.at);
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct settings *m = view_private(v);
    int y = a.y, foot = a.rows >= 3, end = a.x + a.cols;
    int name = 18, value = a.cols >= 60 ? a.x + name + 16 : end;
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, "settings", "from the next answer on");
    int body = a.y + a.rows - foot - y;
    list_fit(&m->list, body);
    for (size_t i = m->list.top, k = 0; i < m->n && (int)k < body; i++, k++, y++) {
        bool here = i == m->list.at;
        struct look look = {here ? ROLE_SELECTED : ROLE_TEXT, 0, 0}, dim = {here ? ROLE_SELECTED : ROLE_DIM, 0, 0};
        if (here)
            surface_blank(s, y, a.x, 1, a.cols, look);
        surface_puts(s, y, a.x, end, look, here ? ">" : " ");
        surface_fit(s, y, a.x + 2, a.x + name < end ? a.x + name - 1 : end, look, m->at[i].name);
        if (a.x + name < end)
            surface_fit(s, y, a.x + name, value < end ? value - 1 : end, (struct look){look.role, LOOK_BOLD, 0}, *m->at[i].value ? m->at[i].value : "-");
        if (value < end)
            surface_fit(s, y, value, end, dim, m->at[i].help);
    }
    int last = a.y + a.rows - 1;
    if (foot && m->ask.label)
        asking_draw(&m->ask, s, last, a);
    else if (foot && m->say.text[0])
        say_draw(&m->say, s, last, a);
    else if (foot)
        view_keys(s, last, a, "Enter change  j k move  q back");
}

static void set(struct settings *m, const char *value)
{
    m->say = (struct say){0};
    m->say.bad = !m->c.set(m->c.arg, m->at[m->list.at].name, value, &m->say);
    load(m);
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct settings *m = view_private(v);
    if (m->ask.label) {
        enum asking_did did = asking_key(&m->ask, e);
        if (did == ASKING_ENTERED)
            set(m, field_text(&m->ask.field));
        if (did == ASKING_LEFT || (did == ASKING_ENTERED && !m->say.bad))
            asking_end(&m->ask);
        else if (did == ASKING_ENTERED)
            m->ask.label = NULL; /* the message first; Enter asks again */
        return VIEW_DONE;
    }
    m->say.text[0] = 0;
    if (list_key(&m->list, e, true))
        return VIEW_DONE;
    if (key_in(e, "q Esc C-c C-g"))
        return VIEW_CLOSE;
    if (!key_in(e, "Enter e Space") || !m->n)
        return VIEW_IGNORED;
    const struct setting_row *r = &m->at[m->list.at];
    if (r->flag)
        set(m, strcmp(r->value, "yes") == 0 ? "no" : "yes");
    else
        asking_begin(&m->ask, 0, "value: ", m->say.bad ? field_text(&m->ask.field) : r->value);
    m->say.bad = false;
    return VIEW_DONE;
}

static void finish(struct view *v)
{
    struct settings *m = view_private(v);
    field_finish(&m->ask.field);
}

struct view *view_settings(const struct view_settings_conf *c)
{
    static const struct view_ops ops = {.name = "settings", .private_size = sizeof(struct settings), .finish = finish, .draw = draw, .key = key};
    struct view *v = view_create(&ops);
    struct settings *m = view_private(v);
    m->c = *c;
    load(m);
    return v;
}
