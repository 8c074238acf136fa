/*
 * The tree of a session, one line a message: what follows a message stands below it, and is indented only where there is more than one
 * answer or prompt to choose from. And two messages compared, side by side from 100 columns on, else one above the other.
 */
#include "config.h"
#include "ui/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"

#define WIDE 100

struct line {
    size_t row;
    char *rails; /* "|  `- " */
};

struct tree {
    struct view_tree_conf c;
    const struct tree_row *at;
    size_t n;
    struct line *lines; /* in the order of drawing */
    struct list list;
    struct pane pane;
    struct say say;
    int64_t marked;
    int preview_rows;
};

/* ---- laying out ---- */

/* Children as lists, so that no recursion is needed: what a person made may be deep. */
struct family {
    size_t first, next, last; /* index + 1; 0: none */
    size_t children;
};

static size_t index_of(const struct tree *m, int64_t id)
{
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (m->at[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < m->n && m->at[low].id == id ? low : m->n;
}

static void find_families(const struct tree *m, struct family *f) /* f[n] is the root's */
{
    for (size_t i = 0; i < m->n; i++) {
        size_t parent = m->at[i].parent ? index_of(m, m->at[i].parent) : m->n;
        struct family *p = &f[parent];
        if (p->last)
            f[p->last - 1].next = i + 1;
        else
            p->first = i + 1;
        p->last = i + 1;
        p->children++;
    }
}

#define RAILS_MAX 60 /* columns; deeper branches are drawn at this depth */

static void lay_out(struct tree *m)
{
    struct todo {
        size_t row;
        char *rails; /* of what is below it */
        const char *mark; /* of itself */
    } *stack = mem_array(m->n + 1, sizeof *stack);
    struct family *f = mem_zalloc((m->n + 1) * sizeof *f);
    size_t n = 0, depth = 0;
    find_families(m, f);
    m->lines = mem_array(m->n + 1, sizeof *m->lines);
    stack[depth++] = (struct todo){m->n, mem_strdup(""), ""};
    while (depth) {
        struct todo t = stack[--depth];
        if (t.row < m->n)
            m->lines[n++] = (struct line){t.row, mem_printf("%s%s", t.rails, t.mark)};
        const char *below = *t.mark == '|' ? "|  " : *t.mark ? "   " : "";
        char *rails = mem_printf("%s%s", t.rails, strlen(t.rails) + 3 <= RAILS_MAX ? below : "");
        size_t kids = f[t.row].children, from = depth;
        for (size_t k = f[t.row].first; k; k = f[k - 1].next)
            stack[depth++] = (struct todo){k - 1, mem_strdup(rails), kids == 1 ? "" : f[k - 1].next ? "|- " : "`- "};
        for (size_t i = from, j = depth; i + 1 < j; i++) { /* the first on top */
            struct todo x = stack[i];
            stack[i] = stack[--j];
            stack[j] = x;
        }
        free(rails);
        free(t.rails);
    }
    free(stack);
    free(f);
}

static void load(struct tree *m)
{
    m->c.nodes(m->c.arg, &m->at, &m->n, &m->say);
    lay_out(m);
    size_t at = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->at[m->lines[i].row].head)
            at = i;
    list_set(&m->list, m->n, at);
}

static const struct tree_row *row_at(const struct tree *m, size_t i)
{
    return &m->at[m->lines[i].row];
}

/* ---- drawing ---- */

static void draw_line(const struct tree *m, struct surface *s, int y, struct area a, size_t i)
{
    const struct tree_row *r = row_at(m, i);
    bool here = i == m->list.at;
    int end = a.x + a.cols, when = a.cols >= 40 ? end - text_columns(r->when, strlen(r->when)) : end, x;
    uint8_t flags = r->on_path ? LOOK_BOLD : 0;
    struct look dim = {here ? ROLE_SELECTED : ROLE_DIM, 0, 0};
    if (here)
        surface_blank(s, y, a.x, 1, a.cols, dim);
    surface_puts(s, y, a.x, end, dim, r->id == m->marked ? "+" : here ? ">" : " ");
    x = surface_puts(s, y, a.x + 2, end, dim, m->lines[i].rails);
    x = surface_fit(s, y, x, x + 14 < when ? x + 14 : when, (struct look){here ? ROLE_SELECTED : r->answer ? ROLE_MODEL : ROLE_USER, flags, 0}, r->who);
    int note = text_columns(r->note, strlen(r->note)), stop = when - 1;
    if (note && note + x + 16 < stop) {
        surface_puts(s, y, stop - note, stop, (struct look){here ? ROLE_SELECTED : ROLE_WARN, 0, 0}, r->note);
        stop -= note + 1;
    }
    if (x + 2 < stop)
        surface_fit(s, y, x + 2, stop, (struct look){here ? ROLE_SELECTED : ROLE_TEXT, flags, 0}, r->text);
    if (a.cols < 40)
        return;
    if (r->head)
        surface_puts(s, y, stop, when, dim, "<");
    surface_puts(s, y, when, end, dim, r->when);
}

static void draw_preview(struct tree *m, struct surface *s, struct area a)
{
    m->preview_rows = a.rows;
    if (!m->n || a.rows < 1 || a.cols < 8)
        return;
    if (pane_wants(&m->pane, row_at(m, m->list.at)->id, a.cols))
        m->c.preview(m->c.arg, row_at(m, m->list.at)->id, pane_text, &m->pane);
    pane_draw(&m->pane, s, a);
}

static void draw_list(struct tree *m, struct surface *s, struct area a)
{
    list_fit(&m->list, a.rows);
    for (size_t i = m->list.top, k = 0; i < m->n && k < (size_t)(a.rows > 0 ? a.rows : 0); i++, k++)
        draw_line(m, s, a.y + (int)k, a, i);
    if (!m->n && a.rows > 0)
        surface_fit(s, a.y, a.x + 2, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, "this session is empty");
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct tree *m = view_private(v);
    char right[60];
    int y = a.y, foot = a.rows >= 4;
    snprintf(right, sizeof right, "%zu message%s", m->n, m->n == 1 ? "" : "s");
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, m->c.title, right);
    int body = a.y + a.rows - foot - y;
    if (a.cols >= WIDE) {
        int list = a.cols * 11 / 20;
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
    if (foot && m->say.text[0])
        say_draw(&m->say, s, a.y + a.rows - 1, a);
    else if (foot)
        view_keys(s, a.y + a.rows - 1, a, "Enter go there  m mark  d compare with it  f fork  [ ] versions  q back");
}

/* ---- keys ---- */

/* The next message, or the one before, with the same parent. */
static void to_version(struct tree *m, int by)
{
    const struct tree_row *now = row_at(m, m->list.at);
    for (size_t i = m->list.at; by < 0 ? i-- > 0 : ++i < m->n;)
        if (row_at(m, i)->parent == now->parent) {
            m->list.at = i;
            return;
        }
}

static void compare(struct tree *m)
{
    int64_t here = row_at(m, m->list.at)->id;
    if (!m->marked || m->marked == here)
        snprintf(m->say.text, sizeof m->say.text, "m marks a message; d on another one compares the two");
    else
        m->c.compare(m->c.arg, m->marked, here);
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct tree *m = view_private(v);
    m->say = (struct say){0};
    if (list_key(&m->list, e, true) || pane_key(&m->pane, e, m->preview_rows))
        return VIEW_DONE;
    if (key_in(e, "q Esc C-c C-g"))
        return VIEW_CLOSE;
    if (!m->n)
        return VIEW_IGNORED;
    int64_t id = row_at(m, m->list.at)->id;
    if (key_is(e, "Enter"))
        return m->c.go(m->c.arg, id, &m->say) ? VIEW_CLOSE : VIEW_DONE;
    if (key_is(e, "f"))
        return m->c.fork(m->c.arg, id, &m->say) ? VIEW_CLOSE : VIEW_DONE;
    if (key_is(e, "m"))
        m->marked = m->marked == id ? 0 : id;
    else if (key_is(e, "d"))
        compare(m);
    else if (key_in(e, "[ ]"))
        to_version(m, key_is(e, "[") ? -1 : 1);
    else
        return VIEW_IGNORED;
    return VIEW_DONE;
}

static void finish(struct view *v)
{
    struct tree *m = view_private(v);
    for (size_t i = 0; i < m->n; i++)
        free(m->lines[i].rails);
    free(m->lines);
    pane_finish(&m->pane);
}

struct view *view_tree(const struct view_tree_conf *c)
{
    static const struct view_ops ops = {.name = "tree", .private_size = sizeof(struct tree), .finish = finish, .draw = draw, .key = key};
    struct view *v = view_create(&ops);
    struct tree *m = view_private(v);
    m->c = *c;
    pane_init(&m->pane);
    load(m);
    return v;
}

/* ---- two messages ---- */

struct pair {
    struct view_compare_conf c;
    struct pane pane[2];
    int rows;
};

static void draw_side(struct pair *m, int i, struct surface *s, struct area a)
{
    if (a.rows < 1 || a.cols < 1)
        return;
    if (pane_wants(&m->pane[i], m->c.id[i], a.cols))
        m->c.preview(m->c.arg, m->c.id[i], pane_text, &m->pane[i]);
    pane_draw(&m->pane[i], s, a);
    m->rows = a.rows;
}

static void pair_draw(struct view *v, struct surface *s, struct area a)
{
    struct pair *m = view_private(v);
    int y = a.y, foot = a.rows >= 4, body;
    if (a.rows > 4)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, "two messages", "");
    body = a.y + a.rows - foot - y;
    if (a.cols >= WIDE) {
        int half = (a.cols - 3) / 2;
        for (int i = 0; i < body; i++)
            surface_puts(s, y + i, a.x + half + 1, a.x + a.cols, (struct look){ROLE_RULE, 0, 0}, "|");
        draw_side(m, 0, s, (struct area){y, a.x, body, half});
        draw_side(m, 1, s, (struct area){y, a.x + half + 3, body, a.cols - half - 3});
    } else {
        int half = (body - 1) / 2;
        draw_side(m, 0, s, (struct area){y, a.x, half, a.cols});
        pane_rule(s, y + half, a.x, a.cols);
        draw_side(m, 1, s, (struct area){y + half + 1, a.x, body - half - 1, a.cols});
    }
    if (foot)
        view_keys(s, a.y + a.rows - 1, a, "j k Space b scroll  q back");
}

static enum view_did pair_key(struct view *v, const struct input_event *e)
{
    struct pair *m = view_private(v);
    if (key_in(e, "q Esc C-c C-g d"))
        return VIEW_CLOSE;
    for (int i = 0; i < 2; i++) {
        struct list l = {.n = m->pane[i].rows.n, .at = m->pane[i].top, .rows = m->rows};
        if (pane_key(&m->pane[i], e, m->rows))
            continue;
        if (!list_key(&l, e, true))
            return VIEW_IGNORED;
        m->pane[i].top = l.at;
    }
    return VIEW_DONE;
}

static void pair_finish(struct view *v)
{
    struct pair *m = view_private(v);
    pane_finish(&m->pane[0]);
    pane_finish(&m->pane[1]);
}

struct view *view_compare(const struct view_compare_conf *c)
{
    static const struct view_ops ops = {.name = "compare", .private_size = sizeof(struct pair), .finish = pair_finish, .draw = pair_draw,
                                        .key = pair_key};
    struct view *v = view_create(&ops);
    struct pair *m = view_private(v);
    m->c = *c;
    pane_init(&m->pane[0]);
    pane_init(&m->pane[1]);
    return v;
}
