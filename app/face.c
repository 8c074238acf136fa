/*
 * What the faces of a conversation, line by line and full screen, have in common: sessions, drafts, the beginning and the end. See face.h.
 */
#include "config.h"
#include "app/face.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "app/slash.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sane.h"
#include "ui/line.h"

#define LEAVE_US 2000000 /* how long the end of an answer may take when we leave */
#define RECENT 20        /* sessions among which an unsent first prompt is looked for */

bool face_is_blank(const char *s)
{
    return !s[strspn(s, " \t\n")];
}

int face_percent(const struct turn *t)
{
    return t->total ? (int)(100.0 * (double)(t->done < t->total ? t->done : t->total) / (double)t->total) : 0;
}

void face_model(void *arg, const struct event *e)
{
    struct face *f = arg;
    free(f->model);
    struct buf b = BUF_INIT(1 << 16);
    buf_addstr(&b, "  model    ");
    sane_line(&b, e->name ? e->name : "?", e->name ? strlen(e->name) : 1);
    if (e->quant && *e->quant && strcmp(e->quant, "none")) {
        buf_addch(&b, ' ');
        sane_line(&b, e->quant, strlen(e->quant));
    }
    if (e->engine && *e->engine) {
        buf_addstr(&b, "\n  engine   ");
        sane_line(&b, e->engine, strlen(e->engine));
    }
    buf_addch(&b, '\n');
    f->model = buf_take(&b);
}

bool face_begin(struct face *f, int rc, const struct err *err)
{
    if (rc) {
        report(err);
        return false;
    }
    f->turn = (struct turn){.phase = PHASE_WAIT, .began_us = clock_mono_us(), .quarter = -1};
    free(f->draft); /* a turn clears it in history */
    f->draft = mem_strdup("");
    f->draft_due_us = clock_mono_us() + FACE_DRAFT_REST_US;
    return true;
}

/* ---- sessions and drafts ---- */

void face_restore(struct face *f, const char *text)
{
    free(f->restore);
    f->restore = mem_strdup(text);
}

bool face_open(struct face *f, int64_t session)
{
    struct err e;
    struct hist_session s;
    face_save_draft(f); /* of the session that is left */
    if (chat_open(f->chat, session, &e)) {
        report(&e);
        return false;
    }
    f->edit = 0;
    free(f->draft);
    f->draft = mem_strdup("");
    if (session && f->h && !hist_session_get(f->h, session, &s, &e)) {
        if (s.draft && *s.draft) {
            free(f->draft);
            f->draft = mem_strdup(s.draft);
            face_restore(f, s.draft);
        }
        hist_session_finish(&s);
    }
    return true;
}

/* Where to go on: what -c or -s says, else a new session, or the one that was left before its first prompt was sent. */
int face_first_session(struct face *f, bool *go_on)
{
    struct err e;
    int64_t id;
    struct hist_list l;
    if (app_session(f->conf, f->h, &id, &e))
        return report(&e);
    *go_on = id != 0;
    if (!*go_on && f->h && !hist_session_list(f->h, false, RECENT, &l, NULL)) {
        for (size_t i = 0; !id && i < l.n; i++)
            if (!l.at[i].n_messages && l.at[i].draft && face_claim(l.at[i].id))
                id = l.at[i].id;
        hist_list_finish(&l);
    }
    return face_open(f, id) ? 0 : err_exit_status(ERR_HISTORY);
}

static void remember(void *arg, const char *text)
{
    (void)arg;
    prompt_remember(text);
}

void face_load_history(struct face *f, int most)
{
    if (f->h)
        hist_input_each(f->h, most, remember, NULL, NULL);
}

void face_settle(struct face *f)
{
    int64_t until = clock_mono_us() + LEAVE_US;
    if (chat_busy(f->chat))
        chat_stop(f->chat);
    while (chat_busy(f->chat) && clock_mono_us() < until) {
        struct pollfd p = {.fd = chat_fd(f->chat), .events = POLLIN};
        int ms = chat_timeout_ms(f->chat);
        poll(&p, 1, ms >= 0 && ms < 50 ? ms : 50);
        chat_work(f->chat);
    }
    chat_flush(f->chat);
}

void face_finish(struct face *f)
{
    slash_complete_finish();
    for (size_t i = 0; i < f->n_queue; i++)
        free(f->queue[i]);
    free(f->queue);
    for (size_t i = 0; i < f->n_notes; i++)
        free(f->notes[i]);
    free(f->notes);
    free(f->sent);
    free(f->draft);
    free(f->restore);
    free(f->model);
}
