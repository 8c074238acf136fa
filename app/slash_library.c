/*
 * Slash commands on the library as a collection: /fork /tag /pin /archive.
 */
#include "config.h"
#include "app/slash.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sane.h"

/* This session, or none with a word to the person; false. */
static bool this_session(struct face *f, struct hist_session *s)
{
    struct err e;
    int64_t id = chat_session(f->chat);
    if (!id) {
        face_note("this session begins with its first prompt");
        return false;
    }
    if (hist_session_get(f->h, id, s, &e) == 0)
        return true;
    report(&e);
    return false;
}

void slash_fork(struct face *f, const char *arg)
{
    struct err e;
    int64_t made, id = chat_session(f->chat);
    if (!id)
        face_note("this session is empty; there is nothing to fork");
    else if (chat_busy(f->chat))
        face_note("an answer is still being written; stop it first");
    else if (hist_session_fork(f->h, id, 0, *arg ? arg : NULL, &made, &e))
        report(&e);
    else if (face_open(f, made))
        face_note("a new session from here; the other one is as it was");
}

int tags_change(struct hist *h, int64_t session, const char *text, struct err *err)
{
    char *copy = mem_strdup(text), *at = copy, *word;
    int rc = 0;
    while (rc == 0 && (word = strtok_r(at, " ,\t", &at)))
        rc = *word == '-' ? hist_tag_remove(h, session, word + 1, err) : hist_tag_add(h, session, word, err);
    free(copy);
    return rc;
}

void slash_tag(struct face *f, const char *arg)
{
    struct err e;
    struct hist_session s;
    if (!this_session(f, &s))
        return;
    int64_t id = s.id;
    hist_session_finish(&s);
    if (*arg && tags_change(f->h, id, arg, &e)) {
        report(&e);
    } else if (this_session(f, &s)) {
        struct buf b = BUF_INIT(1 << 16);
        sane_line(&b, s.tags, strlen(s.tags));
        face_note("%s%s", b.len ? "tags: " : "no tags", buf_str(&b));
        buf_finish(&b);
        hist_session_finish(&s);
    }
}

void slash_pin(struct face *f, const char *arg)
{
    struct err e;
    struct hist_session s;
    (void)arg;
    if (!this_session(f, &s))
        return;
    if (hist_session_pin(f->h, s.id, !s.pinned, &e))
        report(&e);
    else
        face_note(s.pinned ? "no longer pinned" : "pinned: it stands at the top of the list");
    hist_session_finish(&s);
}

void slash_archive(struct face *f, const char *arg)
{
    struct err e;
    struct hist_session s;
    int64_t id;
    if (*arg && hist_session_find(f->h, arg, false, &id, &e)) {
        report(&e);
        return;
    }
    if (*arg ? hist_session_get(f->h, id, &s, &e) != 0 : !this_session(f, &s)) {
        if (*arg)
            report(&e);
        return;
    }
    if (hist_session_archive(f->h, s.id, !s.archived_ms, &e))
        report(&e);
    else
        face_note(s.archived_ms ? "back from the archive" : "in the archive, until it is used again");
    hist_session_finish(&s);
}
