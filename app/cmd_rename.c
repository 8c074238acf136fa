/*
 * hadal rename [SESSION] TITLE.
 */
#include "config.h"
#include "app/cmd.h"

#include <string.h>

struct renaming {
    bool help;
};

static const struct opt opts[] = {
    OPT_ROW_HELP(struct renaming),
    {.name = NULL},
};

static int rename_it(struct hist *h, const struct words *w)
{
    struct words which = {w->at, w->n > 1 ? 1 : 0};
    char *title = words_join(w->at + which.n, w->n - which.n), short_text[7];
    struct hist_session s = {0};
    struct err e;
    int64_t id;
    int status = 0;
    if (!title[strspn(title, " \t\n")]) {
        err_set(&e, ERR_USAGE, "the title is empty");
        status = cmd_usage(&cmd_rename, &e);
    } else if (cmd_session(h, &which, false, &id, &e) || hist_session_rename(h, id, title, true, &e) || hist_session_get(h, id, &s, &e)) {
        status = report(&e);
    } else {
        short_id(s.uid, short_text);
        notice("%s is now called: %s", short_text, s.title);
    }
    hist_session_finish(&s);
    free(title);
    return status;
}

static int run(int argc, char **argv)
{
    struct renaming o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_rename, &o, argc, argv, &w, 1, -1, &status)) {
        struct hist *h = cmd_history(false, &status);
        if (h)
            status = rename_it(h, &w);
        hist_close(h);
    }
    cmd_done(&cmd_rename, &o, &w);
    return status;
}

const struct cmd cmd_rename = {.name = "rename", .args = "[SESSION] TITLE", .help = "give a session another title", .opts = opts, .run = run,
                               .more = "One word (or quoted text) is the title of the newest session; of several the first names the session."};
