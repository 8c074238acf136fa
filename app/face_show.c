/*
 * What the line face writes besides answers: notes, numbers, names, old messages. See face.h.
 */
#include "config.h"
#include "app/face.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sane.h"
#include "base/utf8.h"
#include "ui/line.h"

void face_short_count(uint64_t n, char out[16])
{
    if (n < 1000)
        snprintf(out, 16, "%d", (int)n);
    else if (n < 9950)
        snprintf(out, 16, "%.1fk", (double)n / 1000);
    else
        snprintf(out, 16, "%llu%s", (unsigned long long)(n < 999500 ? (n + 500) / 1000 : (n + 500000) / 1000000), n < 999500 ? "k" : "M");
}

void face_note(const char *fmt, ...)
{
    va_list ap;
    char *text;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    struct buf line = BUF_INIT(1 << 20);
    sane_line(&line, text, (size_t)n);
    struct buf whole = BUF_INIT(1 << 21);
    buf_addf(&whole, "[%s]", buf_str(&line));
    term_say(TERM_OUT, "\x1b[2m");
    term_prose(TERM_OUT, buf_str(&whole), whole.len);
    term_text_end(TERM_OUT);
    term_say(TERM_OUT, "\x1b[0m\n");
    buf_finish(&whole);
    buf_finish(&line);
    free(text);
}

void face_text(const char *s, size_t n)
{
    while (n && s[n - 1] == '\n')
        n--;
    term_text(TERM_OUT, s, n);
    term_text_end(TERM_OUT);
    term_say(TERM_OUT, "\n");
}

void face_prose(const char *s, size_t n)
{
    while (n && s[n - 1] == '\n')
        n--;
    term_prose(TERM_OUT, s, n);
    term_text_end(TERM_OUT);
    term_say(TERM_OUT, "\n");
}

void face_cut(struct buf *out, const char *s, int columns, bool pad)
{
    struct buf line = BUF_INIT(1 << 20);
    sane_line(&line, s, strlen(s));
    const char *p = buf_str(&line);
    size_t len, fits = 0, at = 0;
    int width = 0, fits_width = 0;
    for (; at < line.len && width <= columns; at += len) {
        width += utf8_width(utf8_decode(p + at, line.len - at, &len));
        if (width <= columns - 3) {
            fits = at + len;
            fits_width = width;
        }
    }
    if (width > columns) {
        buf_add(out, p, fits);
        buf_addstr(out, "...");
        width = fits_width + 3;
    } else {
        buf_add(out, p, line.len);
    }
    if (pad && width < columns)
        buf_addf(out, "%*s", columns - width, "");
    buf_finish(&line);
}

const struct hist_node *face_last_prompt(const struct face *f)
{
    const struct hist_path *p = chat_path(f->chat);
    for (size_t i = p->n; i-- > 0;)
        if (p->at[i].role == HIST_USER)
            return &p->at[i];
    return NULL;
}

void face_session_name(struct face *f, struct buf *out)
{
    struct hist_session s;
    int64_t id = chat_session(f->chat);
    if (!f->h)
        buf_addstr(out, "not saved");
    else if (!id || hist_session_get(f->h, id, &s, NULL))
        buf_addstr(out, "a new session");
    else {
        char short_name[7];
        short_id(s.uid, short_name);
        if (*s.title) {
            buf_addstr(out, "session \"");
            face_cut(out, s.title, 48, false);
            buf_addch(out, '"');
        } else {
            buf_addf(out, s.n_messages ? "session %s" : "a new session", short_name);
        }
        hist_session_finish(&s);
    }
}

void face_last_exchange(struct face *f)
{
    const struct hist_path *p = chat_path(f->chat);
    const struct hist_node *prompt = face_last_prompt(f);
    size_t len;
    if (!prompt)
        return;
    const char *s = hist_node_text(prompt, &len);
    term_say(TERM_OUT, "\n\x1b[1myou>\x1b[0m ");
    face_text(s, len);
    const struct hist_node *answer = &p->at[p->n - 1];
    if (answer->role != HIST_ASSISTANT)
        return;
    s = hist_node_text(answer, &len);
    while (len && *s == '\n') {
        s++;
        len--;
    }
    if (len)
        face_prose(s, len);
    if (answer->state == HIST_INTERRUPTED)
        face_note("stopped here; /regen answers again");
    else if (answer->state == HIST_ERROR)
        face_note("an error ended this answer; /regen answers again");
}
