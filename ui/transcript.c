/*
 * The transcript. See transcript.h. Answers are laid out by ui/md.h as they come; prompts and thoughts are plain text.
 *
 * Invariant: `rows` and `thoughts` of a message fit `width` of the transcript while its `laid` says so; nothing is drawn before that.
 */
#include "config.h"
#include "ui/transcript.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "ui/md.h"

struct message {
    int64_t id;
    bool user, live, open; /* open: the thoughts are shown */
    char *name, *when, *thought_head, *note, *progress[2];
    enum role note_role;
    int version, n_versions;
    struct buf text;
    struct md *md;      /* of an answer, once it has been looked at */
    struct buf thought;
    struct rows rows, thoughts; /* of text and thought */
    int laid, thoughts_laid;    /* the width they are laid out for, 0: not */
};

struct transcript {
    struct message *at;
    size_t n;
    int width;
};

enum row_kind { KIND_HEAD, KIND_THOUGHT_HEAD, KIND_THOUGHT, KIND_TEXT, KIND_PROGRESS, KIND_NOTE, KIND_BLANK };

struct transcript *transcript_create(void)
{
    struct transcript *t = mem_zalloc(sizeof *t);
    t->width = 80;
    return t;
}

static void message_finish(struct message *m)
{
    free(m->name);
    free(m->when);
    free(m->thought_head);
    free(m->note);
    free(m->progress[0]);
    free(m->progress[1]);
    md_destroy(m->md);
    buf_finish(&m->text);
    buf_finish(&m->thought);
    rows_finish(&m->rows);
    rows_finish(&m->thoughts);
    *m = (struct message){0};
}

void transcript_destroy(struct transcript *t)
{
    if (!t)
        return;
    while (t->n)
        message_finish(&t->at[--t->n]);
    free(t->at);
    free(t);
}

void transcript_width(struct transcript *t, int width)
{
    t->width = width > 1 ? width : 1;
}

size_t transcript_n(const struct transcript *t)
{
    return t->n;
}

int64_t transcript_id(const struct transcript *t, size_t msg)
{
    return msg < t->n ? t->at[msg].id : 0;
}

bool transcript_is_user(const struct transcript *t, size_t msg)
{
    return msg < t->n && t->at[msg].user;
}

size_t transcript_find_id(const struct transcript *t, int64_t id)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->at[i].id == id)
            return i;
    return SIZE_MAX;
}

static void set(char **to, const char *s)
{
    char *copy = s && *s ? mem_strdup(s) : NULL;
    free(*to);
    *to = copy;
}

static void take(struct message *m, const struct chat_message *c)
{
    bool same = m->id == c->id && m->id && m->text.len == c->n && m->thought.len == c->n_thought && m->user == c->user;
    bool open = same && m->open;
    if (!same) {
        message_finish(m);
        m->text = m->thought = BUF_INIT(SIZE_MAX / 2);
        m->id = c->id;
        m->user = c->user;
        m->open = open;
        buf_add(&m->thought, c->thought, c->n_thought);
        buf_add(&m->text, c->text, c->n);
    }
    if (m->md && !c->live && m->live)
        md_end(m->md);
    m->live = c->live;
    m->version = c->version;
    m->n_versions = c->n_versions;
    m->note_role = c->note_role;
    set(&m->name, c->name);
    set(&m->when, c->when);
    set(&m->thought_head, c->thought_head);
    set(&m->note, c->note);
    if (!m->live) {
        set(&m->progress[0], NULL);
        set(&m->progress[1], NULL);
    }
}

void transcript_sync(struct transcript *t, const struct chat_message *c, size_t n)
{
    while (t->n > n)
        message_finish(&t->at[--t->n]);
    if (n > t->n) {
        t->at = mem_grow(t->at, n, sizeof *t->at);
        memset(t->at + t->n, 0, (n - t->n) * sizeof *t->at);
        t->n = n;
    }
    for (size_t i = 0; i < n; i++)
        take(&t->at[i], &c[i]);
}

/* ---- the live message ---- */

static struct message *live(struct transcript *t)
{
    return t->n && t->at[t->n - 1].live ? &t->at[t->n - 1] : NULL;
}

void transcript_text(struct transcript *t, const char *s, size_t n)
{
    struct message *m = live(t);
    if (!m)
        return;
    buf_add(&m->text, s, n);
    if (m->md)
        md_feed(m->md, s, n);
}

void transcript_thought(struct transcript *t, const char *s, size_t n)
{
    struct message *m = live(t);
    if (!m)
        return;
    buf_add(&m->thought, s, n);
    m->thoughts_laid = 0;
}

void transcript_progress(struct transcript *t, const char *one, const char *two)
{
    struct message *m = live(t);
    if (!m)
        return;
    set(&m->progress[0], one);
    set(&m->progress[1], two);
}

void transcript_done(struct transcript *t, const char *thought_head, const char *note, enum role role)
{
    struct message *m = live(t);
    if (!m)
        return;
    if (m->md)
        md_end(m->md);
    m->live = false;
    if (thought_head)
        set(&m->thought_head, thought_head);
    set(&m->note, note);
    m->note_role = role;
    set(&m->progress[0], NULL);
    set(&m->progress[1], NULL);
}

bool transcript_fold(struct transcript *t, size_t msg)
{
    if (msg >= t->n || !t->at[msg].thought.len)
        return false;
    t->at[msg].open = !t->at[msg].open;
    return true;
}

/* ---- layout ---- */

static const struct rows *text_rows(struct transcript *t, struct message *m)
{
    if (!m->user) {
        if (!m->md) {
            m->md = md_create(t->width);
            md_feed(m->md, buf_str(&m->text), m->text.len);
            if (!m->live)
                md_end(m->md);
        } else if (m->laid != t->width) {
            md_width(m->md, t->width);
        }
        m->laid = t->width;
        return md_rows(m->md);
    }
    if (m->laid != t->width) {
        rows_cut(&m->rows, 0);
        rows_add_plain(&m->rows, t->width, (struct look){0}, buf_str(&m->text), m->text.len);
        m->laid = t->width;
    }
    return &m->rows;
}

static const struct rows *thought_rows(struct transcript *t, struct message *m)
{
    if (m->thoughts_laid != t->width) {
        rows_cut(&m->thoughts, 0);
        rows_add_plain(&m->thoughts, t->width, (struct look){ROLE_THOUGHT, 0, 0}, buf_str(&m->thought), m->thought.len);
        m->thoughts_laid = t->width;
    }
    return &m->thoughts;
}

/* What row `row` of a message is; *i: its number among its kind. Beyond the last: KIND_BLANK, and *i the message's height. */
static enum row_kind kind_of(struct transcript *t, struct message *m, size_t row, size_t *i)
{
    size_t thoughts = m->open ? thought_rows(t, m)->n : 0, texts = text_rows(t, m)->n, progress = 0;
    for (int k = 0; k < 2; k++)
        progress += m->progress[k] != NULL;
    const struct {
        enum row_kind kind;
        size_t n;
    } parts[] = {{KIND_HEAD, 1}, {KIND_THOUGHT_HEAD, m->thought.len > 0}, {KIND_THOUGHT, thoughts}, {KIND_TEXT, texts},
                 {KIND_PROGRESS, progress}, {KIND_NOTE, m->note != NULL}, {KIND_BLANK, 1}};
    size_t height = 0;
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        if (row < height + parts[k].n) {
            *i = row - height;
            return parts[k].kind;
        }
        height += parts[k].n;
    }
    *i = height;
    return KIND_BLANK;
}

size_t transcript_height(struct transcript *t, size_t msg)
{
    size_t height;
    kind_of(t, &t->at[msg], SIZE_MAX, &height);
    return height;
}

bool spot_before(struct spot a, struct spot b)
{
    return a.msg < b.msg || (a.msg == b.msg && a.row < b.row);
}

size_t spot_down(struct transcript *t, struct spot *s, size_t rows)
{
    size_t went = 0;
    while (went < rows && s->msg < t->n) {
        size_t left = transcript_height(t, s->msg) - 1 - s->row;
        if (left >= rows - went) {
            s->row += rows - went;
            return rows;
        }
        if (s->msg + 1 >= t->n) {
            s->row += left;
            return went + left;
        }
        went += left + 1;
        s->msg++;
        s->row = 0;
    }
    return went;
}

size_t spot_up(struct transcript *t, struct spot *s, size_t rows)
{
    size_t went = 0;
    while (went < rows) {
        if (s->row >= rows - went) {
            s->row -= rows - went;
            return rows;
        }
        went += s->row;
        s->row = 0;
        if (s->msg == 0)
            return went;
        s->msg--;
        s->row = transcript_height(t, s->msg) - 1;
        went++;
    }
    return went;
}

size_t spot_distance(struct transcript *t, struct spot a, struct spot b, size_t most)
{
    size_t n = 0;
    while (a.msg < b.msg && n < most) {
        n += transcript_height(t, a.msg) - a.row;
        a.msg++;
        a.row = 0;
    }
    if (a.msg == b.msg && b.row > a.row)
        n += b.row - a.row;
    return n < most ? n : most;
}

/* ---- drawing ---- */

/* The last sentence or heading of running thoughts, for their one line. */
static void last_thought(const struct message *m, struct buf *out)
{
    const char *s = buf_str(&m->thought);
    size_t end = m->thought.len, from;
    while (end && isspace((unsigned char)s[end - 1]))
        end--;
    for (from = end; from && s[from - 1] != '\n'; from--)
        if (from > 1 && from < end && s[from - 1] == ' ' && strchr(".!?:", s[from - 2]) && end - from > 12)
            break;
    while (from < end && strchr("#*->", s[from]))
        from++;
    while (from < end && s[from] == ' ')
        from++;
    buf_add(out, s + from, end - from);
}

static void thought_head(const struct message *m, struct buf *out)
{
    buf_addf(out, "[%c] thought", m->open ? '-' : '+');
    if (m->thought_head)
        buf_addf(out, " %s", m->thought_head);
    if (m->live && !m->open && m->text.len == 0) {
        buf_addstr(out, "  ");
        last_thought(m, out);
    }
}

static void draw_head(const struct message *m, struct surface *s, int y, struct area a, bool selected)
{
    struct look look = {m->user ? ROLE_USER : ROLE_MODEL, 0, 0}, dim = {ROLE_DIM, 0, 0};
    if (selected)
        look = dim = (struct look){ROLE_SELECTED, 0, 0};
    char right[64];
    snprintf(right, sizeof right, "%s%.10s", "", m->when ? m->when : "");
    if (m->n_versions > 1)
        snprintf(right, sizeof right, "%d/%d  %.10s", m->version, m->n_versions, m->when ? m->when : "");
    int width = text_columns(right, strlen(right)), end = a.x + a.cols;
    bool both = width + 8 < a.cols;
    if (selected)
        surface_blank(s, y, a.x, 1, a.cols, look);
    surface_fit(s, y, a.x, both ? end - width - 1 : end, look, m->name ? m->name : m->user ? "you" : "answer");
    if (both)
        surface_puts(s, y, end - width, end, dim, right);
}

static const struct row *row_of(struct transcript *t, struct spot at)
{
    struct message *m = &t->at[at.msg];
    size_t i;
    switch (kind_of(t, m, at.row, &i)) {
    case KIND_THOUGHT: return &thought_rows(t, m)->at[i];
    case KIND_TEXT: return &text_rows(t, m)->at[i];
    case KIND_HEAD:
    case KIND_THOUGHT_HEAD:
    case KIND_PROGRESS:
    case KIND_NOTE:
    case KIND_BLANK: break;
    }
    return NULL;
}

static bool has_upper(const char *s)
{
    for (; *s; s++)
        if (isupper((unsigned char)*s))
            return true;
    return false;
}

static const char *find_in(const char *s, size_t n, const char *needle, size_t k)
{
    bool exact = has_upper(needle);
    for (size_t i = 0; k && i + k <= n; i++)
        if (exact ? !memcmp(s + i, needle, k) : !strncasecmp(s + i, needle, k))
            return s + i;
    return NULL;
}

/* The logical line that a row belongs to: its text, and where in it the row begins. */
static void logical_line(struct transcript *t, struct spot at, struct buf *line, size_t *row_at)
{
    struct spot first = at;
    const struct row *r = row_of(t, at);
    while (r && r->soft && first.row) {
        struct spot before = {first.msg, first.row - 1};
        const struct row *b = row_of(t, before);
        if (!b)
            break;
        r = b;
        first = before;
    }
    for (bool begin = true;; begin = false, first.row++) {
        r = row_of(t, first);
        if (!r || (!begin && !r->soft))
            break;
        for (uint32_t g = 0; !begin && g < r->gap; g++)
            buf_addch(line, ' ');
        if (first.row == at.row)
            *row_at = line->len;
        size_t hang = r->soft && r->hang <= r->n ? r->hang : 0;
        buf_add(line, r->text + hang, r->n - hang);
    }
}

static void draw_hits(struct transcript *t, struct spot at, struct surface *s, int y, struct area a, const char *needle)
{
    const struct row *r = row_of(t, at);
    size_t k = strlen(needle), row_at = 0;
    if (!r || !k)
        return;
    struct buf line = BUF_INIT(SIZE_MAX / 2);
    logical_line(t, at, &line, &row_at);
    size_t hang = r->soft && r->hang <= r->n ? r->hang : 0, row_end = row_at + r->n - hang;
    const char *p = buf_str(&line), *hit;
    for (size_t from = 0; (hit = find_in(p + from, line.len - from, needle, k)); from = (size_t)(hit - p) + k) {
        size_t begin = (size_t)(hit - p), end = begin + k;
        if (end <= row_at || begin >= row_end)
            continue;
        begin = begin > row_at ? begin - row_at + hang : hang;
        end = (end < row_end ? end : row_end) - row_at + hang;
        int x = a.x + text_columns(r->text, begin);
        surface_look(s, y, x, text_columns(r->text + begin, end - begin), (struct look){ROLE_HIT, 0, 0});
    }
    buf_finish(&line);
}

static void draw_row(struct message *m, const struct row *r, struct surface *s, int y, struct area a)
{
    uint16_t links[64] = {0};
    size_t most = 0;
    for (int i = 0; i < r->n_spans; i++)
        if (r->spans[i].look.link > most)
            most = r->spans[i].look.link;
    uint16_t *map = most <= 64 ? links : mem_array(most, sizeof *map);
    for (int i = 0; i < r->n_spans; i++) {
        size_t len = 0;
        int link = r->spans[i].look.link;
        const char *url = link && m->md ? md_link(m->md, link - 1, &len) : NULL;
        if (url)
            map[link - 1] = surface_link(s, url, len);
    }
    row_draw(r, s, y, a.x, a.x + a.cols, most ? map : NULL);
    if (map != links)
        free(map);
}

void transcript_draw(struct transcript *t, struct spot at, struct surface *s, int y, struct area a, const struct row_style *style)
{
    struct message *m = &t->at[at.msg];
    size_t i;
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    enum row_kind kind = kind_of(t, m, at.row, &i);
    switch (kind) {
    case KIND_HEAD:
        draw_head(m, s, y, a, style->selected);
        break;
    case KIND_THOUGHT_HEAD:
        thought_head(m, &b);
        surface_fit(s, y, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, buf_str(&b));
        break;
    case KIND_THOUGHT:
    case KIND_TEXT:
        draw_row(m, row_of(t, at), s, y, a);
        if (style->needle)
            draw_hits(t, at, s, y, a, style->needle);
        break;
    case KIND_PROGRESS:
        surface_fit(s, y, a.x, a.x + a.cols, (struct look){ROLE_DIM, 0, 0}, m->progress[m->progress[0] ? i : 1]);
        break;
    case KIND_NOTE:
        surface_fit(s, y, a.x, a.x + a.cols, (struct look){(uint8_t)m->note_role, 0, 0}, m->note);
        break;
    case KIND_BLANK:
        break;
    }
    buf_finish(&b);
}

void transcript_row_text(struct transcript *t, struct spot at, struct buf *out)
{
    struct message *m = &t->at[at.msg];
    const struct row *r = row_of(t, at);
    size_t i;
    enum row_kind kind = kind_of(t, m, at.row, &i);
    if (r)
        buf_add(out, r->text, r->n);
    else if (kind == KIND_HEAD)
        buf_addstr(out, m->name ? m->name : m->user ? "you" : "answer");
    else if (kind == KIND_THOUGHT_HEAD)
        thought_head(m, out);
    else if (kind == KIND_NOTE)
        buf_addstr(out, m->note);
    else if (kind == KIND_PROGRESS)
        buf_addstr(out, m->progress[m->progress[0] ? i : 1]);
}

/* ---- search ---- */

/* The needle begins in this row. */
static bool is_hit(struct transcript *t, struct spot at, const char *needle)
{
    const struct row *r = row_of(t, at);
    size_t k = strlen(needle), row_at = 0;
    if (!r || !k)
        return false;
    struct buf line = BUF_INIT(SIZE_MAX / 2);
    logical_line(t, at, &line, &row_at);
    size_t hang = r->soft && r->hang <= r->n ? r->hang : 0, row_end = row_at + r->n - hang, reach = row_end + k - 1;
    if (reach > line.len)
        reach = line.len;
    bool hit = find_in(buf_str(&line) + row_at, reach - row_at, needle, k) != NULL;
    buf_finish(&line);
    return hit;
}

bool transcript_search(struct transcript *t, struct spot from, bool back, const char *needle, struct spot *hit)
{
    struct spot at = from;
    while (t->n && (back ? spot_up(t, &at, 1) : spot_down(t, &at, 1)))
        if (is_hit(t, at, needle)) {
            *hit = at;
            return true;
        }
    return false;
}

/* ---- text ---- */

char *transcript_plain(struct transcript *t, size_t msg, bool source, size_t *n)
{
    struct message *m = &t->at[msg];
    *n = m->text.len;
    if (source || m->user)
        return mem_strndup(buf_str(&m->text), *n);
    struct buf out = BUF_INIT(SIZE_MAX / 2);
    const struct rows *rows = text_rows(t, m);
    rows_text(rows, 0, rows->n, buf_str(&m->text), &out);
    *n = out.len;
    return buf_take(&out);
}

int transcript_n_code(struct transcript *t, size_t msg)
{
    if (msg >= t->n || t->at[msg].user)
        return 0;
    text_rows(t, &t->at[msg]);
    return md_n_code(t->at[msg].md);
}

char *transcript_code(struct transcript *t, size_t msg, int i, size_t *n)
{
    const char *lang;
    if (i < 1 || i > transcript_n_code(t, msg))
        return NULL;
    return md_code(t->at[msg].md, i, n, &lang);
}
