/*
 * Slash commands on the library: /sessions /open /rename /delete /undelete /search.
 */
#include "config.h"
#include "app/slash.h"

#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/sane.h"
#include "base/utf8.h"
#include "ui/line.h"

#define LIST_DEFAULT 15
#define HITS 12

/* "k3x9ab  5 min    12  title", cut to the width of the terminal. */
static void session_line(const struct face *f, const struct hist_session *s)
{
    struct buf title = BUF_INIT(1 << 16);
    char id[7], when[16];
    short_id(s->uid, id);
    when_text(s->updated_ms, clock_wall_ms(), when);
    const char *name = *s->title ? s->title : s->draft ? s->draft : "(empty)";
    int room = term_columns(TERM_OUT) - 27;
    face_cut(&title, name, room > 12 ? room : 12, false);
    bool here = s->id == chat_session(f->chat);
    term_say(TERM_OUT, "%s %s  \x1b[2m%-10s %3d\x1b[0m  %s%s%s\n", here ? "*" : " ", id, when, s->n_messages, here ? "\x1b[1m" : "",
             buf_str(&title), here ? "\x1b[0m" : "");
    buf_finish(&title);
}

void slash_sessions(struct face *f, const char *arg)
{
    struct hist_list l;
    struct err e;
    uint64_t n = LIST_DEFAULT;
    if (*arg && (!num_parse_u64(arg, &n) || n == 0 || n > 1000000)) {
        face_note("/sessions takes how many to show: a number up to 1000000");
        return;
    }
    if (hist_session_list(f->h, false, (int)n + 1, &l, &e) < 0) {
        report(&e);
        return;
    }
    for (size_t i = 0; i < l.n && i < n; i++)
        session_line(f, &l.at[i]);
    if (!l.n)
        face_note("there is no session yet");
    else if (l.n > n)
        face_note("there are more; /sessions N shows the newest N, /search finds words");
    hist_list_finish(&l);
}

static void quoted_title(const struct hist_session *s, struct buf *out)
{
    char id[7];
    short_id(s->uid, id);
    buf_addch(out, '"');
    face_cut(out, *s->title ? s->title : id, 60, false);
    buf_addch(out, '"');
}

/* Its name on a line. */
static void say_session(struct face *f)
{
    struct buf name = BUF_INIT(1 << 16);
    face_session_name(f, &name);
    face_note("%s", buf_str(&name));
    buf_finish(&name);
}

static void open_and_show(struct face *f, int64_t id)
{
    if (!face_open(f, id))
        return;
    say_session(f);
    face_last_exchange(f);
}

void slash_open(struct face *f, const char *arg)
{
    struct err e;
    int64_t id;
    if (!*arg)
        face_note("/open takes a session's id or words of its title; /sessions lists them");
    else if (hist_session_find(f->h, arg, false, &id, &e))
        report(&e);
    else
        open_and_show(f, id);
}

void slash_rename(struct face *f, const char *arg)
{
    struct err e;
    int64_t id = chat_session(f->chat);
    if (!*arg)
        face_note("/rename takes the new title");
    else if (!id)
        face_note("this session begins with its first prompt; it can be renamed then");
    else if (hist_session_rename(f->h, id, arg, true, &e))
        report(&e);
    else
        say_session(f);
}

void slash_delete(struct face *f, const char *arg)
{
    struct err e;
    struct hist_session s;
    int64_t here = chat_session(f->chat), id = here;
    if (*arg && hist_session_find(f->h, arg, false, &id, &e)) {
        report(&e);
        return;
    }
    if (!id) {
        face_note("this session is empty; there is nothing to delete");
        return;
    }
    if (hist_session_get(f->h, id, &s, &e)) {
        report(&e);
        return;
    }
    struct buf name = BUF_INIT(1 << 16);
    quoted_title(&s, &name);
    if (hist_session_delete(f->h, id, &e)) {
        report(&e);
    } else if (id != here || face_open(f, 0)) {
        f->deleted = id;
        face_note("%s is deleted; /undelete brings it back", buf_str(&name));
    }
    buf_finish(&name);
    hist_session_finish(&s);
}

void slash_undelete(struct face *f, const char *arg)
{
    struct err e;
    int64_t id = f->deleted;
    if ((*arg || !id) && hist_session_find(f->h, *arg ? arg : NULL, true, &id, &e)) {
        report(&e);
        return;
    }
    if (hist_session_undelete(f->h, id, &e)) {
        report(&e);
        return;
    }
    f->deleted = 0;
    open_and_show(f, id);
}

/* A snippet with its hits in bold, on one line of so many columns. */
static void snippet(struct buf *out, const char *s, int columns)
{
    struct buf line = BUF_INIT(1 << 16);
    int width = 0;
    size_t len;
    while (*s) {
        size_t n = strcspn(s, "\x01\x02");
        buf_reset(&line);
        sane_line(&line, s, n);
        for (size_t i = 0; i < line.len; i += len) {
            width += utf8_width(utf8_decode(line.data + i, line.len - i, &len));
            if (width > columns - 3) {
                buf_add(out, line.data, i);
                buf_addstr(out, "...");
                buf_finish(&line);
                return;
            }
        }
        buf_add(out, buf_str(&line), line.len);
        s += n;
        if (*s)
            buf_addstr(out, *s++ == '\x01' ? "\x1b[0;1m" : "\x1b[0;2m");
    }
    buf_finish(&line);
}

void slash_search(struct face *f, const char *arg)
{
    struct err e;
    struct hist_hits l;
    if (!*arg) {
        face_note("/search takes the words to look for");
        return;
    }
    if (hist_search(f->h, arg, HITS, &l, &e) < 0) {
        report(&e);
        return;
    }
    for (size_t i = 0; i < l.n; i++) {
        const struct hist_hit *t = &l.at[i];
        struct buf b = BUF_INIT(1 << 16);
        if (i == 0 || t->session != l.at[i - 1].session) {
            char id[7], when[16];
            short_id(t->uid, id);
            when_text(t->created_ms, clock_wall_ms(), when);
            int room = term_columns(TERM_OUT) - 22;
            face_cut(&b, t->title, room > 12 ? room : 12, false);
            term_say(TERM_OUT, "  %s  \x1b[2m%-10s\x1b[0m %s\n", id, when, buf_str(&b));
            buf_reset(&b);
        }
        int width = term_columns(TERM_OUT) - 16;
        snippet(&b, t->snippet, width > 20 ? width : 20);
        term_say(TERM_OUT, "          \x1b[2m%s %s\x1b[0m\n", t->role == HIST_USER ? "you>" : "    ", buf_str(&b));
        buf_finish(&b);
    }
    if (!l.n)
        face_note("nothing found");
    else
        face_note("/open ID goes on with one");
    hist_hits_finish(&l);
}
