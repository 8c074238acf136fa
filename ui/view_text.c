/*
 * A text to look at: what a command has to say when it is longer than a line, help, the log. Scrolls as less does. See views.h.
 */
#include "config.h"
#include "ui/views.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/rows.h"

struct text_view {
    char *title, *text;
    size_t n;
    struct rows rows;
    struct list list; /* of rows; only its top matters */
    int width;
};

static void resized(struct view *v, int rows, int cols)
{
    struct text_view *t = view_private(v);
    t->list.rows = rows > 2 ? rows - 2 : 1;
    if (cols == t->width)
        return;
    t->width = cols;
    rows_cut(&t->rows, 0);
    rows_add_plain(&t->rows, cols > 1 ? cols : 1, (struct look){0}, t->text, t->n);
}

static size_t last_top(const struct text_view *t)
{
    size_t seen = (size_t)(t->list.rows > 0 ? t->list.rows : 1);
    return t->rows.n > seen ? t->rows.n - seen : 0;
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct text_view *t = view_private(v);
    int body = a.rows > 2 ? a.rows - 2 : a.rows, y = a.y;
    t->list.rows = body;
    if (t->list.top > last_top(t))
        t->list.top = last_top(t);
    if (a.rows > 2)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, t->title, t->rows.n > (size_t)body ? "j k Space b scroll" : "");
    for (int i = 0; i < body && t->list.top + (size_t)i < t->rows.n; i++)
        row_draw(&t->rows.at[t->list.top + (size_t)i], s, y + i, a.x, a.x + a.cols, NULL);
    if (a.rows > 2)
        view_keys(s, a.y + a.rows - 1, a, "q back");
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct text_view *t = view_private(v);
    size_t page = (size_t)(t->list.rows > 1 ? t->list.rows - 1 : 1), top = t->list.top, last = last_top(t);
    if (key_in(e, "q Esc C-c C-g i"))
        return VIEW_CLOSE;
    if (key_in(e, "j Down C-n Enter"))
        top++;
    else if (key_in(e, "k Up C-p"))
        top -= top > 0;
    else if (key_in(e, "Space PgDn C-f"))
        top += page;
    else if (key_in(e, "b PgUp C-b"))
        top -= top < page ? top : page;
    else if (key_in(e, "g Home"))
        top = 0;
    else if (key_in(e, "G End"))
        top = last;
    else if (e->kind == INPUT_WHEEL)
        top = e->lines < 0 && top < (size_t)-e->lines ? 0 : (size_t)((long)top + e->lines);
    else
        return VIEW_IGNORED;
    t->list.top = top < last ? top : last;
    return VIEW_DONE;
}

static void finish(struct view *v)
{
    struct text_view *t = view_private(v);
    free(t->title);
    free(t->text);
    rows_finish(&t->rows);
}

struct view *view_text(const char *title, const char *text, size_t n)
{
    static const struct view_ops ops = {.name = "text", .private_size = sizeof(struct text_view), .finish = finish, .draw = draw, .key = key,
                                        .resized = resized};
    struct view *v = view_create(&ops);
    struct text_view *t = view_private(v);
    t->title = mem_strdup(title);
    t->text = mem_strndup(text, n);
    t->n = n;
    rows_init(&t->rows);
    return v;
}
