/*
 * hadal search WORDS: where something was said.
 */
#include "config.h"
#include "app/cmd.h"

#include <string.h>

#include "base/clock.h"
#include "base/sane.h"
#include "ui/line.h"

struct search {
    bool help, json;
    int limit;
};

static const struct opt opts[] = {
    {.name = "limit", .letter = 'l', .kind = OPT_INT, .at = offsetof(struct search, limit), .min = 1, .max = 10000, .arg = "N",
     .help = "at most N places (20)"},
    OPT_ROW_JSON(struct search),
    OPT_ROW_HELP(struct search),
    {.name = NULL},
};

/* The snippet with its hits between `on` and `off`, sanitized, on one line. */
static void put_snippet(struct buf *b, const char *s, const char *on, const char *off)
{
    while (*s) {
        size_t n = strcspn(s, "\x01\x02");
        sane_line(b, s, n);
        s += n;
        if (*s)
            buf_addstr(b, *s++ == 1 ? on : off);
    }
}

static int print_json(const struct hist_hits *l)
{
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++) {
        const struct hist_hit *t = &l->at[i];
        char id[7];
        short_id(t->uid, id);
        struct buf plain = BUF_INIT(SIZE_MAX);
        for (const char *p = t->snippet; *p; p++)
            if (*p != 1 && *p != 2)
                buf_addch(&plain, *p);
        json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:I, s:s, s:I, s:o}", "id", id, "uid", t->uid, "title", jtext(t->title), "node",
                                             (json_int_t)t->node, "role", t->role == HIST_USER ? "user" : "assistant", "created_ms",
                                             (json_int_t)t->created_ms, "snippet", jtext(buf_str(&plain))));
        buf_finish(&plain);
    }
    return cmd_out_json(all);
}

static int print_text(const struct hist_hits *l)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    bool color = term_color(TERM_OUT);
    int64_t now = clock_wall_ms();
    for (size_t i = 0; i < l->n; i++) {
        const struct hist_hit *t = &l->at[i];
        char id[7], when[16];
        short_id(t->uid, id);
        when_text(t->created_ms, now, when);
        if (!i || strcmp(t->uid, l->at[i - 1].uid)) {
            buf_addf(&b, "%s%s%s  ", i ? "\n" : "", color ? "\x1b[1m" : "", id);
            cmd_line(&b, t->title);
            buf_addf(&b, "%s\n", color ? "\x1b[0m" : "");
        }
        buf_addf(&b, "  %s, %s: ", t->role == HIST_USER ? "you" : "answer", when);
        put_snippet(&b, t->snippet, color ? "\x1b[1m" : "", color ? "\x1b[0m" : "");
        buf_addch(&b, '\n');
    }
    return cmd_out(&b);
}

static int run(int argc, char **argv)
{
    struct search o = {.limit = 20};
    struct words w;
    int status;
    if (cmd_args(&cmd_search, &o, argc, argv, &w, 1, -1, &status)) {
        struct hist *h = cmd_history(true, &status);
        struct hist_hits l = {0};
        struct err e;
        char *words = words_join(w.at, w.n);
        if (h && hist_search(h, words, o.limit, &l, &e))
            status = report(&e);
        else if (h)
            status = o.json ? print_json(&l) : print_text(&l);
        if (h && !status && !l.n && !o.json)
            notice("nothing found");
        free(words);
        hist_hits_finish(&l);
        hist_close(h);
    }
    cmd_done(&cmd_search, &o, &w);
    return status;
}

const struct cmd cmd_search = {.name = "search", .args = "WORDS", .help = "find what was said", .opts = opts, .run = run,
                               .more = "All words must be there; \"a phrase\" in quotes stays together; -word must not be there (behind `--`)."};
