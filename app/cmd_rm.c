/*
 * hadal rm [SESSION]: removes a session; for 30 days it can come back.
 */
#include "config.h"
#include "app/cmd.h"

struct removing {
    bool help, undo;
};

static const struct opt opts[] = {
    {.name = "undo", .kind = OPT_FLAG, .at = offsetof(struct removing, undo), .help = "bring a removed session back (none named: the one removed last)"},
    OPT_ROW_HELP(struct removing),
    {.name = NULL},
};

static int remove_it(struct hist *h, const struct words *w, bool undo)
{
    struct hist_session s = {0};
    struct err e;
    int64_t id;
    int status = 0;
    if (cmd_session(h, w, undo, &id, &e) || hist_session_get(h, id, &s, &e) ||
        (undo ? hist_session_undelete(h, id, &e) : hist_session_delete(h, id, &e))) {
        status = report(&e);
    } else {
        char text[7];
        short_id(s.uid, text);
        if (undo)
            notice("%s is back: %s", text, s.title);
        else
            notice("%s is removed: %s (for 30 days, hadal rm --undo %s brings it back)", text, s.title, text);
    }
    hist_session_finish(&s);
    return status;
}

static int run(int argc, char **argv)
{
    struct removing o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_rm, &o, argc, argv, &w, 0, -1, &status)) {
        struct hist *h = cmd_history(false, &status);
        if (h)
            status = remove_it(h, &w, o.undo);
        hist_close(h);
    }
    cmd_done(&cmd_rm, &o, &w);
    return status;
}

const struct cmd cmd_rm = {.name = "rm", .args = "[SESSION]", .help = "remove a session (it can come back for 30 days)", .opts = opts, .run = run,
                           .more = "SESSION is a short id, or words of a title; left out it is the newest."};
