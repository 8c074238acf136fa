/*
 * hadal fork, tag, pin, archive, purge: sessions as a collection.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "app/slash.h"
#include "base/mem.h"

struct changing {
    bool help, undo;
    char *title;
    int days;
};

static const struct opt help_only[] = {
    OPT_ROW_HELP(struct changing),
    {.name = NULL},
};

static const struct opt undo_opts[] = {
    {.name = "undo", .kind = OPT_FLAG, .at = offsetof(struct changing, undo), .help = "the other way round"},
    OPT_ROW_HELP(struct changing),
    {.name = NULL},
};

static const struct opt fork_opts[] = {
    {.name = "title", .letter = 't', .kind = OPT_TEXT, .at = offsetof(struct changing, title), .arg = "TITLE", .help = "its title (that of the session)"},
    OPT_ROW_HELP(struct changing),
    {.name = NULL},
};

static const struct opt purge_opts[] = {
    {.name = "days", .kind = OPT_INT, .at = offsetof(struct changing, days), .max = 36500, .arg = "N",
     .help = "only what was removed more than N days ago (0: all that was removed)"},
    OPT_ROW_HELP(struct changing),
    {.name = NULL},
};

/* What a command does to a session; says what it has done. */
typedef int doing(struct hist *h, const struct hist_session *s, const struct changing *o, const char *rest, struct err *err);

/* The session is the words, or with `first` the first word, the rest being `doing`'s. */
static int on_session(const struct cmd *c, int argc, char **argv, bool first, doing *run)
{
    struct changing o = {0};
    struct words w;
    int status;
    if (cmd_args(c, &o, argc, argv, &w, 0, -1, &status)) {
        struct hist *h = cmd_history(false, &status);
        struct words which = {w.at, first && w.n ? 1 : w.n};
        char *rest = words_join(w.at + which.n, w.n - which.n);
        struct hist_session s = {0};
        struct err e;
        int64_t id;
        if (h && (cmd_session(h, &which, false, &id, &e) || hist_session_get(h, id, &s, &e) || run(h, &s, &o, rest, &e)))
            status = report(&e);
        hist_session_finish(&s);
        free(rest);
        hist_close(h);
    }
    cmd_done(c, &o, &w);
    return status;
}

static void say(const struct hist_session *s, const char *what)
{
    char id[7];
    short_id(s->uid, id);
    notice("%s %s: %s", id, what, s->title);
}

static int do_fork(struct hist *h, const struct hist_session *s, const struct changing *o, const char *rest, struct err *err)
{
    struct hist_session made;
    int64_t id;
    (void)rest;
    int rc = hist_session_fork(h, s->id, 0, o->title, &id, err);
    if (rc == 0)
        rc = hist_session_get(h, id, &made, err);
    if (rc)
        return rc;
    say(&made, "is forked");
    hist_session_finish(&made);
    return 0;
}

static int do_tag(struct hist *h, const struct hist_session *s, const struct changing *o, const char *rest, struct err *err)
{
    struct hist_session now;
    (void)o;
    int rc = tags_change(h, s->id, rest, err);
    if (rc == 0)
        rc = hist_session_get(h, s->id, &now, err);
    if (rc)
        return rc;
    struct buf b = BUF_INIT(1 << 16);
    cmd_line(&b, now.tags);
    hist_session_finish(&now);
    if (b.len)
        buf_addch(&b, '\n');
    return cmd_out(&b) ? err_set(err, ERR_IO, "cannot write to standard output") : 0;
}

static int do_pin(struct hist *h, const struct hist_session *s, const struct changing *o, const char *rest, struct err *err)
{
    (void)rest;
    int rc = hist_session_pin(h, s->id, !o->undo, err);
    if (rc == 0)
        say(s, o->undo ? "is no longer pinned" : "is pinned");
    return rc;
}

static int do_archive(struct hist *h, const struct hist_session *s, const struct changing *o, const char *rest, struct err *err)
{
    (void)rest;
    int rc = hist_session_archive(h, s->id, !o->undo, err);
    if (rc == 0)
        say(s, o->undo ? "is back from the archive" : "is in the archive (until it is used again)");
    return rc;
}

static int run_fork(int argc, char **argv)
{
    return on_session(&cmd_fork, argc, argv, false, do_fork);
}

static int run_tag(int argc, char **argv)
{
    return on_session(&cmd_tag, argc, argv, true, do_tag);
}

static int run_pin(int argc, char **argv)
{
    return on_session(&cmd_pin, argc, argv, false, do_pin);
}

static int run_archive(int argc, char **argv)
{
    return on_session(&cmd_archive, argc, argv, false, do_archive);
}

static int run_purge(int argc, char **argv)
{
    struct changing o = {0};
    struct words w;
    int status, n = 0;
    if (cmd_args(&cmd_purge, &o, argc, argv, &w, 0, 0, &status)) {
        struct hist *h = cmd_history(false, &status);
        struct err e;
        if (h && hist_purge(h, (int64_t)o.days * 24 * 3600 * 1000, &n, &e))
            status = report(&e);
        else if (h)
            notice("%d session%s deleted for good", n, n == 1 ? "" : "s");
        hist_close(h);
    }
    cmd_done(&cmd_purge, &o, &w);
    return status;
}

#define MORE_SESSION "SESSION is a short id, or words of a title; left out it is the newest."

const struct cmd cmd_fork = {.name = "fork", .args = "[SESSION]", .help = "copy the way to a session's end into a new one", .opts = fork_opts,
                             .run = run_fork, .more = MORE_SESSION};
const struct cmd cmd_tag = {.name = "tag", .args = "[SESSION [TAG ...]]", .help = "show or add tags of a session", .opts = help_only, .run = run_tag,
                            .more = "SESSION is one word here: a short id, or a word of a title. -TAG, behind `--`, takes a tag away."};
const struct cmd cmd_pin = {.name = "pin", .args = "[SESSION]", .help = "keep a session at the top of the list", .opts = undo_opts, .run = run_pin,
                            .more = MORE_SESSION};
const struct cmd cmd_archive = {.name = "archive", .args = "[SESSION]", .help = "take a session out of the lists; it is still searched",
                                .opts = undo_opts, .run = run_archive, .more = MORE_SESSION};
const struct cmd cmd_purge = {.name = "purge", .args = "", .help = "delete for good what was removed", .opts = purge_opts, .run = run_purge,
                              .more = "The text is in no byte of the history afterwards."};
