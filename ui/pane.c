/*
 * What views with a list and a preview share. See pane.h.
 */
#include "config.h"
#include "ui/pane.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define PANE_ROWS 4000 /* of a preview; it is not the place to read a book */

void pane_init(struct pane *p)
{
    *p = (struct pane){0};
    rows_init(&p->rows);
}

void pane_finish(struct pane *p)
{
    rows_finish(&p->rows);
}

void pane_forget(struct pane *p)
{
    p->width = 0;
}

bool pane_wants(struct pane *p, int64_t id, int width)
{
    if (p->id == id && p->width == width)
        return false;
    if (p->id != id || !p->width)
        p->top = 0;
    p->id = id;
    p->width = width;
    p->full = false;
    rows_cut(&p->rows, 0);
    return true;
}

void pane_text(void *pane, enum role role, const char *text, size_t n)
{
    struct pane *p = pane;
    size_t most = (size_t)PANE_ROWS * (size_t)(p->width > 0 ? p->width : 1) * 4;
    if (p->rows.n > PANE_ROWS) {
        p->full = true;
        return;
    }
    while (n && text[n - 1] == '\n')
        n--;
    if (n > most) {
        n = most;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    rows_add_plain(&p->rows, p->width > 1 ? p->width : 1, (struct look){(uint8_t)role, role == ROLE_TITLE ? LOOK_BOLD : 0, 0}, text, n);
    if (!n)
        rows_add(&p->rows, &(struct wrap_conf){.width = 1}, "", 0, NULL, 0, 0);
}

void pane_draw(struct pane *p, struct surface *s, struct area a)
{
    size_t seen = (size_t)(a.rows > 0 ? a.rows : 0), last = p->rows.n > seen ? p->rows.n - seen : 0;
    if (p->top > last)
        p->top = last;
    for (size_t i = 0; i < seen && p->top + i < p->rows.n; i++)
        row_draw(&p->rows.at[p->top + i], s, a.y + (int)i, a.x, a.x + a.cols, NULL);
}

bool pane_key(struct pane *p, const struct input_event *e, int rows)
{
    size_t page = (size_t)(rows > 2 ? rows - 1 : 1);
    if (key_in(e, "Space"))
        p->top += page;
    else if (key_is(e, "b"))
        p->top -= p->top < page ? p->top : page;
    else
        return false;
    return true;
}

/* Where the needle stands in the row, ASCII letters without case; n: not there. */
static size_t find_in(const struct row *r, const char *needle)
{
    size_t n = strlen(needle);
    for (size_t i = 0; n && i + n <= r->n; i++)
        if (strncasecmp(r->text + i, needle, n) == 0)
            return i;
    return r->n;
}

void pane_show(struct pane *p, const char *needle, int rows)
{
    bool first = true;
    uint32_t n = (uint32_t)strlen(needle);
    for (size_t i = 0; n && i < p->rows.n; i++) {
        struct row *r = &p->rows.at[i];
        uint32_t at = (uint32_t)find_in(r, needle);
        if (at == r->n)
            continue;
        if (first)
            p->top = i > (size_t)rows / 3 ? i - (size_t)rows / 3 : 0;
        first = false;
        struct look base = r->n_spans ? r->spans[0].look : (struct look){0};
        free(r->spans); /* a preview's row has one look */
        r->spans = mem_array(3, sizeof *r->spans);
        r->n_spans = 0;
        if (at)
            r->spans[r->n_spans++] = (struct row_span){0, at, base};
        r->spans[r->n_spans++] = (struct row_span){at, at + n, {ROLE_HIT, LOOK_BOLD, 0}};
        if (at + n < r->n)
            r->spans[r->n_spans++] = (struct row_span){at + n, (uint32_t)r->n, base};
    }
}

void pane_rule(struct surface *s, int y, int x, int cols)
{
    for (int i = 0; i < cols; i++)
        surface_puts(s, y, x + i, x + cols, (struct look){ROLE_RULE, 0, 0}, "-");
}

/* ---- asking ---- */

void asking_begin(struct asking *q, int what, const char *label, const char *text)
{
    q->what = what;
    q->label = label;
    field_set(&q->field, text);
}

void asking_end(struct asking *q)
{
    field_finish(&q->field);
    q->label = NULL;
}

enum asking_did asking_key(struct asking *q, const struct input_event *e)
{
    if (key_is(e, "Enter"))
        return ASKING_ENTERED;
    if (key_in(e, "Esc C-c C-g"))
        return ASKING_LEFT;
    field_key(&q->field, e);
    return ASKING_ON;
}

void asking_draw(const struct asking *q, struct surface *s, int y, struct area a)
{
    int x = surface_fit(s, y, a.x, a.x + a.cols, (struct look){ROLE_KEY, 0, 0}, q->label);
    field_draw(&q->field, s, y, x, a.x + a.cols, true);
}

void say_draw(const struct say *say, struct surface *s, int y, struct area a)
{
    surface_fit(s, y, a.x, a.x + a.cols, (struct look){say->bad ? ROLE_ALERT : ROLE_GOOD, 0, 0}, say->text);
}

bool pane_has(const char *text, const char *words)
{
    while (*(words += strspn(words, " "))) {
        size_t n = strcspn(words, " "), i = 0, len = strlen(text);
        while (i + n <= len && strncasecmp(text + i, words, n) != 0)
            i++;
        if (i + n > len)
            return false;
        words += n;
    }
    return true;
}
