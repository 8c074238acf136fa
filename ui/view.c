/*
 * Views, and what they share: lists, one-line fields, heads. See view.h.
 */
#include "config.h"
#include "ui/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

struct view {
    const struct view_ops *ops;
    void *private;
    int rows, cols;   /* as last drawn */
    int64_t tick_us;  /* when the tick is due; 0: none */
};

struct view *view_create(const struct view_ops *ops)
{
    struct view *v = mem_zalloc(sizeof *v);
    v->ops = ops;
    v->private = mem_zalloc(ops->private_size ? ops->private_size : 1);
    return v;
}

void view_destroy(struct view *v)
{
    if (!v)
        return;
    if (v->ops->finish)
        v->ops->finish(v);
    free(v->private);
    free(v);
}

void *view_private(struct view *v)
{
    return v->private;
}

const char *view_name(const struct view *v)
{
    return v->ops->name;
}

void view_draw(struct view *v, struct surface *s, struct area a)
{
    if (v->ops->resized && (a.rows != v->rows || a.cols != v->cols))
        v->ops->resized(v, a.rows, a.cols);
    v->rows = a.rows;
    v->cols = a.cols;
    surface_blank(s, a.y, a.x, a.rows, a.cols, (struct look){0});
    surface_cursor(s, -1, -1);
    v->ops->draw(v, s, a);
}

enum view_did view_key(struct view *v, const struct input_event *e)
{
    return v->ops->key ? v->ops->key(v, e) : VIEW_IGNORED;
}

int view_rows_wanted(struct view *v, int cols)
{
    return v->ops->rows_wanted ? v->ops->rows_wanted(v, cols) : 0;
}

void view_tick_in(struct view *v, int ms)
{
    v->tick_us = ms < 0 ? 0 : clock_mono_us() + (int64_t)ms * 1000;
}

int view_tick_ms(const struct view *v)
{
    if (!v->tick_us)
        return -1;
    int64_t left = v->tick_us - clock_mono_us();
    return left > 0 ? (int)(left / 1000 + 1) : 0;
}

bool view_tick(struct view *v)
{
    return v->tick_us && clock_mono_us() >= v->tick_us && view_tick_now(v);
}

bool view_tick_now(struct view *v)
{
    v->tick_us = 0;
    return v->ops->tick && v->ops->tick(v);
}

/* ---- lists ---- */

void list_set(struct list *l, size_t n, size_t at)
{
    l->n = n;
    l->at = n ? (at < n ? at : n - 1) : 0;
    if (l->top >= n)
        l->top = l->at;
}

static void list_move(struct list *l, long by)
{
    if (!l->n)
        return;
    long to = (long)l->at + by, last = (long)l->n - 1;
    l->at = (size_t)(to < 0 ? 0 : to > last ? last : to);
}

bool list_key(struct list *l, const struct input_event *e, bool letters)
{
    long page = l->rows > 1 ? l->rows - 1 : 1;
    if (e->kind == INPUT_WHEEL)
        list_move(l, e->lines);
    else if (key_in(e, "Up C-p") || (letters && key_is(e, "k")))
        list_move(l, -1);
    else if (key_in(e, "Down C-n") || (letters && key_is(e, "j")))
        list_move(l, 1);
    else if (key_is(e, "PgUp"))
        list_move(l, -page);
    else if (key_is(e, "PgDn"))
        list_move(l, page);
    else if (letters && key_is(e, "C-u"))
        list_move(l, -(page + 1) / 2);
    else if (letters && key_is(e, "C-d"))
        list_move(l, (page + 1) / 2);
    else if (key_is(e, "C-Home") || (letters && key_in(e, "g Home")))
        l->at = 0;
    else if (key_is(e, "C-End") || (letters && key_in(e, "G End")))
        l->at = l->n ? l->n - 1 : 0;
    else
        return false;
    return true;
}

void list_fit(struct list *l, int rows)
{
    l->rows = rows > 1 ? rows : 1;
    size_t seen = (size_t)l->rows;
    if (l->at < l->top)
        l->top = l->at;
    else if (l->at >= l->top + seen)
        l->top = l->at - seen + 1;
    if (l->n <= seen)
        l->top = 0;
    else if (l->top > l->n - seen)
        l->top = l->n - seen;
}

/* ---- fields ---- */

void field_finish(struct field *f)
{
    free(f->text);
    *f = (struct field){0};
}

const char *field_text(const struct field *f)
{
    return f->text ? f->text : "";
}

/* Bytes [from, to) are replaced; control characters become blanks. */
static void field_replace(struct field *f, size_t from, size_t to, const char *s, size_t n)
{
    char *text = mem_alloc(f->n - (to - from) + n + 1);
    memcpy(text, field_text(f), from);
    for (size_t i = 0; i < n; i++)
        text[from + i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7F ? ' ' : s[i];
    memcpy(text + from + n, field_text(f) + to, f->n - to);
    f->n += n - (to - from);
    text[f->n] = 0;
    free(f->text);
    f->text = text;
    f->at = from + n;
}

void field_set(struct field *f, const char *text)
{
    field_replace(f, 0, f->n, text, strlen(text));
}

static size_t field_left(const struct field *f)
{
    size_t at = 0, before = 0;
    int columns;
    while (at < f->at) {
        before = at;
        at += text_cluster(f->text + at, f->n - at, &columns);
    }
    return before;
}

static size_t field_right(const struct field *f)
{
    int columns;
    return f->at < f->n ? f->at + text_cluster(f->text + f->at, f->n - f->at, &columns) : f->n;
}

static size_t field_word(const struct field *f)
{
    size_t at = f->at;
    while (at && f->text[at - 1] == ' ')
        at--;
    while (at && f->text[at - 1] != ' ')
        at--;
    return at;
}

#define FIELD_MAX ((size_t)64 << 10)

bool field_key(struct field *f, const struct input_event *e)
{
    if (e->kind == INPUT_PASTE) {
        struct buf good = BUF_INIT(SIZE_MAX / 2);
        utf8_repair(&good, e->text ? e->text : "", e->n < FIELD_MAX ? e->n : FIELD_MAX);
        if (f->n < FIELD_MAX)
            field_replace(f, f->at, f->at, buf_str(&good), good.len);
        buf_finish(&good);
    } else if (e->kind != INPUT_KEY) {
        return false;
    } else if (key_in(e, "Left C-b")) {
        f->at = field_left(f);
    } else if (key_in(e, "Right C-f")) {
        f->at = field_right(f);
    } else if (key_in(e, "Home C-a")) {
        f->at = 0;
    } else if (key_in(e, "End C-e")) {
        f->at = f->n;
    } else if (key_in(e, "Backspace C-h")) {
        field_replace(f, field_left(f), f->at, "", 0);
    } else if (key_in(e, "Delete C-d")) {
        size_t at = f->at;
        field_replace(f, at, field_right(f), "", 0);
    } else if (key_is(e, "C-k")) {
        field_replace(f, f->at, f->n, "", 0);
    } else if (key_is(e, "C-u")) {
        field_replace(f, 0, f->at, "", 0);
    } else if (key_is(e, "C-w")) {
        field_replace(f, field_word(f), f->at, "", 0);
    } else if (e->n_bytes && (unsigned char)e->bytes[0] >= 0x20 && e->bytes[0] != 0x7F) {
        if (f->n < FIELD_MAX)
            field_replace(f, f->at, f->at, e->bytes, e->n_bytes);
    } else {
        return false;
    }
    return true;
}

void field_draw(const struct field *f, struct surface *s, int y, int x, int end, bool cursor)
{
    const char *text = field_text(f);
    size_t from = 0;
    int columns, room = end - x;
    while (from < f->at && text_columns(text + from, f->at - from) >= room)
        from += text_cluster(text + from, f->n - from, &columns);
    surface_put(s, y, x, end, (struct look){0}, text + from, f->n - from);
    if (cursor && room > 0)
        surface_cursor(s, y, x + text_columns(text + from, f->at - from));
}

/* ---- heads ---- */

void view_head(struct surface *s, struct area a, const char *title, const char *right)
{
    int width = text_columns(right, strlen(right)), end = a.x + a.cols;
    bool both = width + 12 < a.cols;
    surface_fit(s, a.y, a.x, both && width ? end - width - 1 : end, (struct look){ROLE_TITLE, LOOK_BOLD, 0}, title);
    if (both)
        surface_puts(s, a.y, end - width, end, (struct look){ROLE_DIM, 0, 0}, right);
}

void view_keys(struct surface *s, int y, struct area a, const char *hints)
{
    int x = a.x, end = a.x + a.cols;
    for (const char *p = hints; *p;) {
        const char *stop = strstr(p, "  ");
        size_t n = stop ? (size_t)(stop - p) : strlen(p), key = strcspn(p, " ");
        if (key > n)
            key = n;
        if (x + text_columns(p, n) > end)
            return; /* the rest does not fit */
        x = surface_put(s, y, x, end, (struct look){ROLE_KEY, 0, 0}, p, key);
        x = surface_put(s, y, x, end, (struct look){ROLE_DIM, 0, 0}, p + key, n - key) + 2;
        p += n + (stop ? strspn(p + n, " ") : 0);
    }
}
