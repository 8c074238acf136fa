/*
 * hadal ls: the sessions, newest first.
 */
#include "config.h"
#include "app/cmd.h"

#include "base/clock.h"
#include "ui/line.h"

#define TTY_LIMIT 40 /* rows on a terminal, when no limit is given */

struct ls {
    bool help, json, deleted, archived, limit_given;
    int limit;
};

static const struct opt opts[] = {
    {.name = "deleted", .kind = OPT_FLAG, .at = offsetof(struct ls, deleted), .help = "those that were removed and can come back"},
    {.name = "archived", .kind = OPT_FLAG, .at = offsetof(struct ls, archived), .help = "those in the archive"},
    {.name = "limit", .letter = 'l', .kind = OPT_INT, .at = offsetof(struct ls, limit), .given_at = offsetof(struct ls, limit_given),
     .max = 1 << 30, .arg = "N", .help = "at most N (0: all; on a terminal 40 unless said)"},
    OPT_ROW_JSON(struct ls),
    OPT_ROW_HELP(struct ls),
    {.name = NULL},
};

json_t *cmd_session_json(const struct hist_session *s)
{
    char id[7];
    short_id(s->uid, id);
    json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:I, s:I}", "id", id, "uid", s->uid, "title", jtext(s->title), "model", jtext(s->model),
                          "messages", s->n_messages, "branches", s->n_branches, "created_ms", (json_int_t)s->created_ms, "updated_ms",
                          (json_int_t)s->updated_ms);
    if (s->tags && *s->tags)
        json_object_set_new(j, "tags", jtext(s->tags));
    if (s->archived_ms)
        json_object_set_new(j, "archived_ms", json_integer((json_int_t)s->archived_ms));
    if (s->deleted_ms)
        json_object_set_new(j, "deleted_ms", json_integer((json_int_t)s->deleted_ms));
    return j;
}

static int print_json(const struct hist_list *l)
{
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(all, cmd_session_json(&l->at[i]));
    return cmd_out_json(all);
}

static int print_table(const struct hist_list *l)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    int columns = cmd_out_tty() ? term_columns(TERM_OUT) : 0;
    int64_t now = clock_wall_ms();
    for (size_t i = 0; i < l->n; i++) {
        const struct hist_session *s = &l->at[i];
        char id[7], when[16];
        short_id(s->uid, id);
        when_text(s->deleted_ms ? s->deleted_ms : s->updated_ms, now, when);
        buf_addf(&b, "%s  %10s  %4d  ", id, when, s->n_messages);
        if (columns > 40)
            cmd_cut(&b, s->title, columns - 26);
        else
            cmd_line(&b, s->title);
        buf_addch(&b, '\n');
    }
    return cmd_out(&b);
}

static int run(int argc, char **argv)
{
    struct ls o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_ls, &o, argc, argv, &w, 0, 0, &status)) {
        struct hist *h = cmd_history(true, &status);
        struct hist_list l = {0};
        struct err e;
        int limit = o.limit_given || o.json || !cmd_out_tty() ? o.limit : TTY_LIMIT;
        if (h && hist_session_list_of(h, o.deleted ? HIST_DELETED : o.archived ? HIST_ARCHIVED : HIST_ACTIVE, limit ? limit + 1 : 0, &l, &e)) {
            status = report(&e);
        } else if (h) {
            struct hist_list shown = l;
            if (limit && l.n > (size_t)limit)
                shown.n = (size_t)limit;
            status = o.json ? print_json(&shown) : print_table(&shown);
            if (!o.json && !l.n)
                notice(o.deleted ? "nothing that was removed is left" : o.archived ? "the archive is empty" : "no conversation yet");
            if (!o.json && l.n > shown.n && !o.limit_given)
                notice("there are more: hadal ls --limit 0");
        }
        hist_list_finish(&l);
        hist_close(h);
    }
    cmd_done(&cmd_ls, &o, &w);
    return status;
}

const struct cmd cmd_ls = {.name = "ls", .args = "", .help = "list the sessions, newest first: id, when, messages, title", .opts = opts, .run = run};
