/*
 * The chat view. See view_chat.h. From above: header, transcript, what is said once, queue, candidates of a completion, status line, input
 * box. Each takes what it needs; the transcript has the rest.
 *
 * Two modes. Writing: keys go to the editor, but for those that scroll. Reading: letters move, search, copy; a one-line field asks for what is
 * looked for, piped into, saved to. The transcript follows its end until a person scrolls up; then `top` stays where it is.
 */
#include "config.h"
#include "ui/view_chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/editor.h"
#include "ui/line.h"
#include "ui/transcript.h"

#define BITS_MAX 10
#define POPUP_ROWS 8
#define QUEUE_ROWS 3
#define MANY 99999

enum ask { ASK_NOTHING, ASK_SEARCH, ASK_SEARCH_BACK, ASK_PIPE, ASK_SAVE };

struct chat_view {
    struct view_chat_conf conf;
    struct transcript *t;
    bool follow, reading, bare;
    struct spot top, end_seen; /* end_seen: the end when following stopped */
    size_t selected;
    int rows, cols; /* of the transcript, as last drawn */
    char *title, *right, *empty, *label, *said, *needle;
    enum role said_role;
    struct status_bit bits[BITS_MAX];
    int n_bits;
    char **queue;
    size_t n_queue;
    bool back, wants_digit, popup_off;
    struct spot hit;
    enum ask ask;
    struct field field;
};

static void set(char **to, const char *s)
{
    char *copy = mem_strdup(s);
    free(*to);
    *to = copy;
}

/* ---- where the transcript stands ---- */

static struct spot last_spot(struct transcript *t)
{
    size_t n = transcript_n(t);
    return n ? (struct spot){n - 1, transcript_height(t, n - 1) - 1} : (struct spot){0, 0};
}

/* Where the top is when the end is seen; a transcript that is shorter begins at the top. */
static struct spot end_top(struct chat_view *c)
{
    struct spot s = last_spot(c->t);
    if (c->rows > 1)
        spot_up(c->t, &s, (size_t)c->rows - 1);
    else if (s.row)
        s.row--; /* no room for the blank behind it */
    return s;
}

static void follow(struct chat_view *c)
{
    c->follow = true;
}

static void unfollow(struct chat_view *c)
{
    if (c->follow)
        c->end_seen = last_spot(c->t);
    c->follow = false;
}

/* After the messages or the size have changed: top is a spot that exists. */
static void settle(struct chat_view *c)
{
    size_t n = transcript_n(c->t);
    if (c->selected >= n)
        c->selected = n ? n - 1 : 0;
    if (!n || c->follow) {
        c->top = n ? end_top(c) : (struct spot){0, 0};
        return;
    }
    if (c->top.msg >= n)
        c->top = (struct spot){n - 1, 0};
    size_t height = transcript_height(c->t, c->top.msg);
    if (c->top.row >= height)
        c->top.row = height - 1;
}

static void scroll(struct chat_view *c, long by)
{
    if (!transcript_n(c->t))
        return;
    settle(c);
    if (by < 0) {
        struct spot before = c->top;
        unfollow(c);
        spot_up(c->t, &c->top, (size_t)-by);
        if (before.msg == c->top.msg && before.row == c->top.row && !spot_before(c->top, end_top(c)))
            follow(c); /* nothing is above: all of it is seen */
    } else if (!c->follow) {
        spot_down(c->t, &c->top, (size_t)by);
        if (!spot_before(c->top, end_top(c)))
            follow(c);
    }
}

static bool is_seen(struct chat_view *c, size_t msg)
{
    settle(c);
    struct spot bottom = c->top;
    spot_down(c->t, &bottom, c->rows > 0 ? (size_t)c->rows - 1 : 0);
    return msg >= c->top.msg && msg <= bottom.msg;
}

/* The message that keys are about is one that is seen. */
static void select_seen(struct chat_view *c)
{
    if (!transcript_n(c->t) || is_seen(c, c->selected))
        return;
    struct spot bottom = c->top;
    spot_down(c->t, &bottom, c->rows > 0 ? (size_t)c->rows - 1 : 0);
    c->selected = c->selected < c->top.msg ? c->top.msg : bottom.msg;
}

static void show_spot(struct chat_view *c, struct spot s, size_t above)
{
    unfollow(c);
    c->top = s;
    spot_up(c->t, &c->top, above);
    if (!spot_before(c->top, end_top(c)))
        follow(c);
}

static void go_message(struct chat_view *c, bool down)
{
    size_t n = transcript_n(c->t);
    if (!n)
        return;
    if (down && c->selected + 1 < n)
        c->selected++;
    else if (!down && c->selected)
        c->selected--;
    show_spot(c, (struct spot){c->selected, 0}, 0);
}

/* ---- what is known from outside ---- */

void view_chat_sync(struct view *v, const struct chat_message *m, size_t n)
{
    struct chat_view *c = view_private(v);
    transcript_sync(c->t, m, n);
    settle(c);
}

void view_chat_text(struct view *v, const char *s, size_t n)
{
    struct chat_view *c = view_private(v);
    transcript_text(c->t, s, n);
}

void view_chat_thought(struct view *v, const char *s, size_t n)
{
    struct chat_view *c = view_private(v);
    transcript_thought(c->t, s, n);
}

void view_chat_progress(struct view *v, const char *one, const char *two)
{
    struct chat_view *c = view_private(v);
    transcript_progress(c->t, one, two);
}

void view_chat_done(struct view *v, const char *thought_head, const char *note, enum role note_role)
{
    struct chat_view *c = view_private(v);
    transcript_done(c->t, thought_head, note, note_role);
}

void view_chat_title(struct view *v, const char *title, const char *right, const char *empty)
{
    struct chat_view *c = view_private(v);
    set(&c->title, title);
    set(&c->right, right);
    set(&c->empty, empty);
}

void view_chat_status(struct view *v, const struct status_bit *bits, int n)
{
    struct chat_view *c = view_private(v);
    c->n_bits = n < BITS_MAX ? n : BITS_MAX;
    memcpy(c->bits, bits, (size_t)c->n_bits * sizeof *bits);
}

static void drop_queue(struct chat_view *c)
{
    while (c->n_queue)
        free(c->queue[--c->n_queue]);
}

void view_chat_queue(struct view *v, char *const *queue, size_t n)
{
    struct chat_view *c = view_private(v);
    drop_queue(c);
    c->queue = mem_grow(c->queue, n ? n : 1, sizeof *c->queue);
    for (; c->n_queue < n; c->n_queue++)
        c->queue[c->n_queue] = mem_strndup(queue[c->n_queue], strnlen(queue[c->n_queue], 500));
}

void view_chat_say(struct view *v, const char *text, enum role role)
{
    struct chat_view *c = view_private(v);
    set(&c->said, *text ? text : NULL);
    c->said_role = role;
}

void view_chat_label(struct view *v, const char *label)
{
    struct chat_view *c = view_private(v);
    set(&c->label, label);
}

bool view_chat_reading(const struct view *v)
{
    const struct chat_view *c = view_private((struct view *)(uintptr_t)v);
    return c->reading;
}

void view_chat_write(struct view *v)
{
    struct chat_view *c = view_private(v);
    c->reading = c->bare = false;
    c->ask = ASK_NOTHING;
    follow(c);
}

static void fold_message(struct chat_view *c, size_t msg)
{
    if (!transcript_fold(c->t, msg))
        set(&c->said, "no thoughts stand here");
    settle(c);
}

void view_chat_fold(struct view *v)
{
    struct chat_view *c = view_private(v);
    for (size_t i = transcript_n(c->t); i-- > 0;)
        if (!transcript_is_user(c->t, i)) {
            fold_message(c, i);
            return;
        }
}

void view_chat_bare(struct view *v)
{
    struct chat_view *c = view_private(v);
    c->bare = !c->bare;
}

void view_chat_goto(struct view *v, int64_t id, const char *needle)
{
    struct chat_view *c = view_private(v);
    size_t i = transcript_find_id(c->t, id);
    if (i == SIZE_MAX)
        return;
    struct spot at = {i, 0}, hit;
    c->selected = i;
    set(&c->needle, needle && *needle ? needle : NULL);
    if (c->needle && transcript_search(c->t, at, false, c->needle, &hit) && hit.msg == i)
        at = hit;
    c->hit = at;
    c->reading = true;
    show_spot(c, at, at.row ? (size_t)(c->rows > 3 ? c->rows / 3 : 0) : 0);
}

int64_t view_chat_selected(const struct view *v)
{
    const struct chat_view *c = view_private((struct view *)(uintptr_t)v);
    return transcript_id(c->t, c->selected);
}

char *view_chat_answer(struct view *v, bool source, size_t *n)
{
    struct chat_view *c = view_private(v);
    for (size_t i = transcript_n(c->t); i-- > 0;)
        if (!transcript_is_user(c->t, i))
            return transcript_plain(c->t, i, source, n);
    return NULL;
}

void view_chat_screen(struct view *v, struct buf *out)
{
    struct chat_view *c = view_private(v);
    struct spot s = c->top;
    for (int y = 0; y < c->rows && s.msg < transcript_n(c->t); y++) {
        transcript_row_text(c->t, s, out);
        buf_addch(out, '\n');
        if (!spot_down(c->t, &s, 1))
            break;
    }
}

/* ---- drawing ---- */

static void draw_transcript(struct chat_view *c, struct surface *s, struct area a)
{
    c->rows = a.rows;
    c->cols = a.cols;
    transcript_width(c->t, a.cols);
    settle(c);
    if (!transcript_n(c->t)) {
        int y = a.y;
        for (const char *p = c->empty ? c->empty : ""; *p && y < a.y + a.rows; y++) {
            size_t n = strcspn(p, "\n");
            surface_put(s, y, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, p, n);
            p += n + (p[n] == '\n');
        }
        return;
    }
    struct spot at = c->top;
    for (int y = 0; y < a.rows; y++) {
        const struct row_style style = {.selected = c->reading && at.msg == c->selected, .needle = c->reading ? c->needle : NULL};
        transcript_draw(c->t, at, s, a.y + y, a, &style);
        if (!spot_down(c->t, &at, 1))
            break;
    }
}

static void draw_status(const struct chat_view *c, struct surface *s, int y, struct area a)
{
    struct look bar = {ROLE_STATUS, 0, 0};
    int x = a.x, end = a.x + a.cols, right = 0;
    surface_blank(s, y, a.x, 1, a.cols, bar);
    const struct status_bit *last = c->n_bits > 1 ? &c->bits[c->n_bits - 1] : NULL;
    for (int i = 0; i < c->n_bits - (last != NULL); i++) {
        const struct status_bit *b = &c->bits[i];
        int width = text_columns(b->text, strlen(b->text));
        if (!width)
            continue;
        if (x + width > end && x > a.x)
            break; /* dropped from the right */
        bool loud = b->role == ROLE_WARN || b->role == ROLE_ALERT;
        x = surface_fit(s, y, x, end, loud ? (struct look){(uint8_t)b->role, LOOK_REVERSE, 0} : bar, b->text) + 2;
    }
    right = last ? text_columns(last->text, strlen(last->text)) : 0;
    if (right && x + right <= end) {
        bool loud = last->role == ROLE_WARN || last->role == ROLE_ALERT;
        surface_puts(s, y, end - right, end, loud ? (struct look){(uint8_t)last->role, LOOK_REVERSE, 0} : bar, last->text);
    }
}

static void draw_queue(const struct chat_view *c, struct surface *s, int y, struct area a, int rows)
{
    for (int i = 0; i < rows; i++) {
        char head[32];
        const char *keys = "C-x q edit, C-x k drop";
        struct look dim = {ROLE_DIM, 0, 0};
        size_t k = c->n_queue > (size_t)rows ? c->n_queue - (size_t)rows + (size_t)i : (size_t)i;
        bool newest = k + 1 == c->n_queue && a.cols >= 60;
        int end = a.x + a.cols - (newest ? (int)strlen(keys) + 1 : 0);
        snprintf(head, sizeof head, "queued %zu: ", k + 1);
        int x = surface_puts(s, y + i, a.x, end, dim, head);
        surface_fit(s, y + i, x, end, (struct look){0}, c->queue[k]);
        if (newest)
            surface_puts(s, y + i, end + 1, a.x + a.cols, dim, keys);
    }
}

/* Candidates: i-th, or NULL. */
static const char *candidate(const struct chat_view *c, const struct editor_view *e, int i)
{
    if (e->n_matches)
        return (size_t)i < e->n_matches ? e->matches[i] : NULL;
    if (c->popup_off || !c->conf.hint || e->n == 0 || e->text[0] != '/' || *e->prompt)
        return NULL;
    return c->conf.hint(c->conf.arg, e->text, i);
}

static int popup_rows(const struct chat_view *c, const struct editor_view *e, int room)
{
    int n = 0;
    if (c->reading || c->ask)
        return 0;
    while (n < POPUP_ROWS && n < room && candidate(c, e, n))
        n++;
    return n;
}

static void draw_popup(const struct chat_view *c, const struct editor_view *e, struct surface *s, int y, struct area a, int rows)
{
    for (int i = 0; i < rows; i++) {
        const char *text = candidate(c, e, i);
        size_t key = strcspn(text, " ");
        if (i == rows - 1 && candidate(c, e, rows)) {
            surface_puts(s, y + i, a.x + 2, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, "..");
            return;
        }
        int x = surface_put(s, y + i, a.x + 2, a.x + a.cols, (struct look){ROLE_KEY, 0, 0}, text, key);
        surface_put(s, y + i, x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, text + key, strlen(text + key));
    }
}

static const char *ask_label(enum ask ask)
{
    static const char *const labels[] = {"", "/", "?", "pipe to: ", "save as: "};
    return labels[ask];
}

/* The input box in `rows` rows from y. */
static void draw_input(struct chat_view *c, const struct editor_view *e, const struct edit_rows *r, struct surface *s, int y, struct area a, int rows)
{
    struct look dim = {ROLE_DIM, 0, 0};
    int end = a.x + a.cols;
    if (c->ask) {
        int x = surface_puts(s, y, a.x, end, (struct look){ROLE_KEY, 0, 0}, ask_label(c->ask));
        field_draw(&c->field, s, y, x, end, true);
        return;
    }
    if (*e->prompt) { /* readline asks for something */
        int x = surface_puts(s, y, a.x, end, (struct look){ROLE_KEY, 0, 0}, e->prompt);
        surface_put(s, y, x, end, (struct look){0}, e->text, e->n);
        x += text_columns(e->text, e->at);
        surface_cursor(s, y, x < end ? x : end - 1);
        return;
    }
    const char *label = c->label ? c->label : "> ";
    int indent = text_columns(label, strlen(label));
    size_t first = r->y >= (size_t)rows ? r->y - (size_t)rows + 1 : 0;
    for (int i = 0; i < rows && first + (size_t)i < r->n; i++) {
        const struct edit_row *row = &r->at[first + (size_t)i];
        if (first + (size_t)i == 0)
            surface_puts(s, y + i, a.x, end, c->reading ? dim : (struct look){ROLE_USER, 0, 0}, label);
        surface_put(s, y + i, a.x + indent, end, c->reading ? dim : (struct look){0}, e->text + row->from, row->to - row->from);
    }
    if (!c->reading)
        surface_cursor(s, y + (int)(r->y - first), a.x + indent + r->x < end ? a.x + indent + r->x : end - 1);
}

static void said_text(struct chat_view *c, struct buf *out)
{
    if (c->said) {
        buf_addstr(out, c->said);
        return;
    }
    if (c->follow || !transcript_n(c->t))
        return;
    size_t fresh = spot_distance(c->t, c->end_seen, last_spot(c->t), MANY);
    if (fresh)
        buf_addf(out, "%zu new line%s, End to follow", fresh, fresh == 1 ? "" : "s");
}

static void draw_tiny(struct chat_view *c, const struct editor_view *e, struct surface *s, struct area a)
{
    struct edit_rows r;
    edit_layout(&r, e->text, e->n, e->at, a.cols - 2);
    if (a.rows > 1)
        surface_fit(s, a.y, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, c->said ? c->said : c->n_bits ? c->bits[0].text : "");
    draw_input(c, e, &r, s, a.y + a.rows - 1, a, 1);
    edit_rows_finish(&r);
}

static void draw(struct view *v, struct surface *s, struct area a)
{
    struct chat_view *c = view_private(v);
    struct editor_view e;
    editor_look(&e);
    int indent = text_columns(c->label ? c->label : "> ", strlen(c->label ? c->label : "> "));
    editor_width(a.cols - indent);
    if (c->bare) {
        draw_transcript(c, s, a);
        return;
    }
    if (a.rows < 4 || a.cols < 20) {
        draw_tiny(c, &e, s, a);
        return;
    }
    struct edit_rows r;
    edit_layout(&r, e.text, e.n, e.at, a.cols - indent);
    int most = a.rows / 3 > 0 ? a.rows / 3 : 1, room = a.rows;
    int input = c->ask || *e.prompt ? 1 : (int)(r.n < (size_t)most ? r.n : (size_t)most);
    bool head = a.rows >= 12 && a.cols >= 60;
    room -= input + 1 + head;
    struct buf said = BUF_INIT(SIZE_MAX / 2);
    said_text(c, &said);
    int said_rows = said.len > 0 && room > 1;
    room -= said_rows;
    int queue = c->n_queue < QUEUE_ROWS ? (int)c->n_queue : QUEUE_ROWS;
    if (queue > room - 1)
        queue = room > 1 ? room - 1 : 0;
    room -= queue;
    int popup = popup_rows(c, &e, room - 1);
    room -= popup;
    int y = a.y;
    if (head)
        view_head(s, (struct area){y++, a.x, 1, a.cols}, c->title ? c->title : "", c->right ? c->right : "");
    draw_transcript(c, s, (struct area){y, a.x, room, a.cols});
    y += room;
    if (said_rows)
        surface_fit(s, y++, a.x, a.x + a.cols, (struct look){c->said ? (uint8_t)c->said_role : ROLE_GOOD, 0, 0}, buf_str(&said));
    draw_queue(c, s, y, a, queue);
    y += queue;
    draw_popup(c, &e, s, y, a, popup);
    y += popup;
    draw_status(c, s, y++, a);
    draw_input(c, &e, &r, s, y, a, input);
    edit_rows_finish(&r);
    buf_finish(&said);
}

/* ---- keys ---- */

static void look_for(struct chat_view *c, bool back)
{
    struct spot from = c->hit, hit;
    if (!c->needle) {
        set(&c->said, "/ asks what to look for");
        return;
    }
    settle(c);
    if (!is_seen(c, from.msg) || from.msg >= transcript_n(c->t) || from.row >= transcript_height(c->t, from.msg))
        from = c->top;
    bool found = transcript_search(c->t, from, back, c->needle, &hit);
    if (!found) { /* once more from the other end */
        from = back ? last_spot(c->t) : (struct spot){0, 0};
        found = transcript_search(c->t, from, back, c->needle, &hit);
        if (found) {
            set(&c->said, back ? "searched on from the end" : "searched on from the beginning");
            c->said_role = ROLE_GOOD;
        }
    }
    if (found) {
        c->hit = hit;
        c->selected = hit.msg;
        show_spot(c, hit, c->rows > 3 ? (size_t)c->rows / 3 : 0);
    } else {
        char *text = mem_printf("not found: %s", c->needle);
        set(&c->said, text);
        c->said_role = ROLE_WARN;
        free(text);
    }
}

/* The selected message as text, to one of the callbacks. */
static void with_text(struct chat_view *c, bool source, const char *what, const char *arg)
{
    size_t n;
    if (!transcript_n(c->t))
        return;
    char *text = transcript_plain(c->t, c->selected, source, &n);
    if (!strcmp(what, "copy"))
        c->conf.copy(c->conf.arg, source ? "the message's Markdown" : "the message", text, n);
    else if (!strcmp(what, "pager"))
        c->conf.pager(c->conf.arg, text, n);
    else if (!strcmp(what, "pipe"))
        c->conf.pipe(c->conf.arg, arg, text, n);
    else
        c->conf.save(c->conf.arg, arg, text, n);
    free(text);
}

static void copy_block(struct chat_view *c, int i)
{
    size_t n;
    char *text = transcript_code(c->t, c->selected, i, &n), what[32];
    if (!text) {
        int have = transcript_n_code(c->t, c->selected);
        text = have ? mem_printf("this message has %d code block%s", have, have == 1 ? "" : "s") : mem_strdup("no code stands in this message");
        set(&c->said, text);
    } else {
        snprintf(what, sizeof what, "block c%d", i);
        c->conf.copy(c->conf.arg, what, text, n);
    }
    free(text);
}

static enum view_did field_keys(struct chat_view *c, const struct input_event *e)
{
    if (key_in(e, "Esc C-g C-c") || (key_in(e, "Backspace C-h") && !c->field.n)) {
        c->ask = ASK_NOTHING;
    } else if (key_in(e, "Enter C-j")) {
        enum ask ask = c->ask;
        char *text = mem_strdup(field_text(&c->field));
        c->ask = ASK_NOTHING;
        if (!*text) {
            /* nothing was asked for */
        } else if (ask == ASK_PIPE) {
            with_text(c, true, "pipe", text);
        } else if (ask == ASK_SAVE) {
            with_text(c, true, "save", text);
        } else {
            set(&c->needle, text);
            c->back = ask == ASK_SEARCH_BACK;
            settle(c);
            c->hit = c->top;
            if (!c->back && c->hit.row)
                c->hit.row--;
            look_for(c, c->back);
        }
        free(text);
    } else {
        field_key(&c->field, e);
    }
    return VIEW_DONE;
}

static void ask_for(struct chat_view *c, enum ask ask)
{
    c->ask = ask;
    field_set(&c->field, "");
}

/* Keys of reading mode that move. */
static bool reading_moves(struct chat_view *c, const struct input_event *e)
{
    long page = c->rows > 2 ? c->rows - 1 : 1;
    if (key_in(e, "j Down C-e C-n Enter"))
        scroll(c, 1);
    else if (key_in(e, "k Up C-y C-p"))
        scroll(c, -1);
    else if (key_is(e, "C-d"))
        scroll(c, (page + 1) / 2);
    else if (key_is(e, "C-u"))
        scroll(c, -(page + 1) / 2);
    else if (key_in(e, "Space PgDn C-f S-PgDn"))
        scroll(c, page);
    else if (key_in(e, "b PgUp C-b S-PgUp"))
        scroll(c, -page);
    else if (key_in(e, "g Home C-Home <"))
        show_spot(c, (struct spot){0, 0}, 0);
    else if (key_in(e, "G End C-End >"))
        follow(c);
    else if (e->kind == INPUT_WHEEL)
        scroll(c, e->lines);
    else
        return false;
    select_seen(c);
    return true;
}

static enum view_did reading_keys(struct view *v, struct chat_view *c, const struct input_event *e)
{
    static const struct {
        const char *keys, *command;
    } commands[] = {{"[", "version-prev"}, {"]", "version-next"}, {"e", "edit-message"}, {"r", "regen-message"}, {"f", "fork"}, {"p", "pin"},
                    {"d", "delete"}, {"!", "log"}, {"h", "help"}};
    if (c->wants_digit) {
        c->wants_digit = false;
        if (e->kind == INPUT_KEY && e->name[0] >= '1' && e->name[0] <= '9' && !e->name[1]) {
            copy_block(c, e->name[0] - '0');
            return VIEW_DONE;
        }
    }
    if (reading_moves(c, e))
        return VIEW_DONE;
    if (e->kind == INPUT_PASTE) {
        view_chat_write(v);
        editor_paste(e->text ? e->text : "", e->n);
        return VIEW_DONE;
    }
    if (key_in(e, "i q Esc"))
        view_chat_write(v);
    else if (key_is(e, "J"))
        go_message(c, true);
    else if (key_is(e, "K"))
        go_message(c, false);
    else if (key_is(e, "/"))
        ask_for(c, ASK_SEARCH);
    else if (key_is(e, "?"))
        ask_for(c, ASK_SEARCH_BACK);
    else if (key_is(e, "n"))
        look_for(c, c->back);
    else if (key_is(e, "N"))
        look_for(c, !c->back);
    else if (key_in(e, "Tab z"))
        fold_message(c, c->selected);
    else if (key_is(e, "y"))
        with_text(c, false, "copy", NULL);
    else if (key_is(e, "Y"))
        with_text(c, true, "copy", NULL);
    else if (key_is(e, "c"))
        c->wants_digit = true;
    else if (key_is(e, "|"))
        ask_for(c, ASK_PIPE);
    else if (key_is(e, "s"))
        ask_for(c, ASK_SAVE);
    else if (key_is(e, "v"))
        with_text(c, true, "pager", NULL);
    else if (key_is(e, ":")) {
        char *draft = prompt_draft();
        view_chat_write(v);
        if (!*draft)
            prompt_prefill("/");
        free(draft);
    } else {
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (key_is(e, commands[i].keys)) {
                c->conf.command(c->conf.arg, commands[i].command);
                return VIEW_DONE;
            }
        return VIEW_IGNORED;
    }
    return VIEW_DONE;
}

static void begin_reading(struct chat_view *c)
{
    c->reading = true;
    c->selected = transcript_n(c->t) ? transcript_n(c->t) - 1 : 0;
    select_seen(c);
}

static enum view_did writing_keys(struct chat_view *c, const struct input_event *e)
{
    struct editor_view look;
    long page = c->rows > 2 ? c->rows - 1 : 1;
    editor_look(&look);
    if (e->kind == INPUT_PASTE) {
        if (e->text)
            editor_paste(e->text, e->n);
        else
            set(&c->said, "the paste was left out: it is longer than 64 MB");
    } else if (e->kind == INPUT_WHEEL) {
        scroll(c, e->lines);
    } else if (key_is(e, "PgUp")) {
        scroll(c, -page);
    } else if (key_is(e, "PgDn")) {
        scroll(c, page);
    } else if (key_is(e, "C-Home")) {
        show_spot(c, (struct spot){0, 0}, 0);
    } else if (key_is(e, "C-End") || (key_is(e, "End") && !c->follow)) {
        follow(c);
    } else if (key_is(e, "S-PgUp")) {
        begin_reading(c);
        scroll(c, -page);
        select_seen(c);
    } else if (key_is(e, "Esc") && !editor_wants_escape()) {
        if (candidate(c, &look, 0))
            c->popup_off = true;
        else if (!c->conf.esc_ignored)
            begin_reading(c);
    } else if (key_is(e, "Tab") && !look.n && !look.prefix) {
        for (size_t i = transcript_n(c->t); i-- > 0;)
            if (!transcript_is_user(c->t, i)) {
                fold_message(c, i);
                break;
            }
    } else {
        c->popup_off = c->popup_off && look.n > 0;
        editor_key(e);
    }
    return VIEW_DONE;
}

static enum view_did key(struct view *v, const struct input_event *e)
{
    struct chat_view *c = view_private(v);
    set(&c->said, NULL);
    if (c->ask)
        return field_keys(c, e);
    if (c->bare && !reading_moves(c, e)) {
        c->bare = false;
        return VIEW_DONE;
    }
    if (c->bare)
        return VIEW_DONE;
    return c->reading ? reading_keys(v, c, e) : writing_keys(c, e);
}

static void finish(struct view *v)
{
    struct chat_view *c = view_private(v);
    transcript_destroy(c->t);
    drop_queue(c);
    free(c->queue);
    char **texts[] = {&c->title, &c->right, &c->empty, &c->label, &c->said, &c->needle};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(*texts[i]);
    field_finish(&c->field);
}

struct view *view_chat(const struct view_chat_conf *conf)
{
    static const struct view_ops ops = {.name = "chat", .private_size = sizeof(struct chat_view), .finish = finish, .draw = draw, .key = key};
    struct view *v = view_create(&ops);
    struct chat_view *c = view_private(v);
    c->conf = *conf;
    c->t = transcript_create();
    c->follow = true;
    return v;
}
