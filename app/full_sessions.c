/*
 * The full screen's sessions and search: what ui/view_sessions.c and ui/view_search.c show, from history. What was listed last stays in one
 * place here until the next time: of each of these views there is one.
 */
#include "config.h"
#include "app/full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/slash.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ui/line.h"
#include "ui/views.h"

#define HITS 200

/* ---- previews ---- */

static void add_text(pane_add *add, void *to, enum role role, const char *text)
{
    add(to, role, text, strlen(text));
}

void full_preview_node(const struct hist_node *n, const char *name, pane_add *add, void *to)
{
    add_text(add, to, n->role == HIST_USER ? ROLE_USER : ROLE_MODEL, n->role == HIST_USER ? "you" : name);
    for (size_t i = 0; i < n->n_parts; i++) {
        const struct hist_part *p = &n->parts[i];
        const char *text = p->text;
        size_t len = p->n;
        while (len && *text == '\n') {
            text++;
            len--;
        }
        add(to, p->kind == HIST_REASONING ? ROLE_THOUGHT : p->kind == HIST_PART_ERROR ? ROLE_ALERT : ROLE_TEXT, text, len);
    }
    if (n->state == HIST_INTERRUPTED)
        add_text(add, to, ROLE_WARN, "(interrupted)");
}

/* The day and hour, of today the hour alone. */
static void day_text(int64_t ms, char out[24])
{
    time_t then = (time_t)(ms / 1000), now = time(NULL);
    struct tm a, b;
    if (!localtime_r(&then, &a) || !localtime_r(&now, &b))
        snprintf(out, 24, "?");
    else if (a.tm_yday == b.tm_yday && a.tm_year == b.tm_year)
        strftime(out, 24, "%H:%M", &a);
    else
        strftime(out, 24, a.tm_year == b.tm_year ? "%d %b %H:%M" : "%Y-%m-%d", &a);
}

static void preview_head(const struct hist_session *s, pane_add *add, void *to)
{
    char created[24];
    day_text(s->created_ms, created);
    add_text(add, to, ROLE_TITLE, *s->title ? s->title : "(untitled)");
    char *line = mem_printf("created %s, %d message%s, %d branch%s%s%s", created, s->n_messages, s->n_messages == 1 ? "" : "s", s->n_branches,
                            s->n_branches == 1 ? "" : "es", *s->tags ? "   tags: " : "", s->tags);
    add_text(add, to, ROLE_DIM, line);
    free(line);
    if (s->draft && *s->draft) {
        add_text(add, to, ROLE_WARN, "not sent yet:");
        add_text(add, to, ROLE_DIM, s->draft);
    }
    add(to, ROLE_TEXT, "", 0);
}

static void preview_session(void *arg, int64_t id, pane_add *add, void *to)
{
    struct full *u = arg;
    struct hist_session s;
    struct hist_path p;
    struct err e;
    if (hist_session_get(u->f.h, id, &s, &e)) {
        add_text(add, to, ROLE_ALERT, e.msg);
        return;
    }
    preview_head(&s, add, to);
    if (hist_path_get(u->f.h, id, 0, &p, &e)) {
        add_text(add, to, ROLE_ALERT, e.msg);
    } else {
        for (size_t i = 0; i < p.n; i++) {
            full_preview_node(&p.at[i], s.model ? s.model : "answer", add, to);
            add(to, ROLE_TEXT, "", 0);
        }
        hist_path_finish(&p);
    }
    hist_session_finish(&s);
}

/* ---- sessions ---- */

struct row_text {
    char when[16], note[32];
};

static struct {
    struct hist_list l;
    bool *keep;
    struct session_row *rows;
    struct row_text *texts;
    enum hist_sort sort;
    enum hist_which which;
    bool stale;
    int64_t *deleted; /* in this view, the last at the end */
    size_t n_deleted;
} lib;

static const char *which_name(enum hist_which w)
{
    return w == HIST_ACTIVE ? "all" : w == HIST_ARCHIVED ? "archive" : w == HIST_DELETED ? "deleted" : "all and archive";
}

static void reload(struct full *u, struct say *say)
{
    struct err e;
    struct hist_list l;
    if (hist_session_list_of(u->f.h, lib.which, 0, &l, &e)) {
        *say = (struct say){.bad = true};
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        return;
    }
    hist_list_finish(&lib.l);
    lib.l = l;
    hist_list_sort(&lib.l, lib.sort);
    lib.keep = mem_grow(lib.keep, l.n + 1, sizeof *lib.keep);
    lib.rows = mem_grow(lib.rows, l.n + 1, sizeof *lib.rows);
    lib.texts = mem_grow(lib.texts, l.n + 1, sizeof *lib.texts);
    lib.stale = false;
}

static void list_sessions(void *arg, const char *filter, struct sessions_data *out, struct say *say)
{
    struct full *u = arg;
    struct err e;
    int64_t now = clock_wall_ms(), here = chat_session(u->f.chat);
    if (lib.stale)
        reload(u, say);
    *out = (struct sessions_data){.at = lib.rows, .total = lib.l.n, .sort = hist_sort_name((int)lib.sort), .which = which_name(lib.which)};
    bool all = !filter[strspn(filter, " ")];
    if (!all && hist_list_filter(u->f.h, filter, &lib.l, lib.keep, &e)) {
        *say = (struct say){.bad = true};
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        all = true;
    }
    for (size_t i = 0; i < lib.l.n; i++) {
        const struct hist_session *s = &lib.l.at[i];
        struct row_text *t = &lib.texts[out->n];
        if (!all && !lib.keep[i])
            continue;
        when_text(s->deleted_ms ? s->deleted_ms : s->updated_ms, now, t->when);
        t->note[0] = 0;
        if (s->n_branches > 1)
            snprintf(t->note, sizeof t->note, "%d br", s->n_branches);
        char state = s->head_state == HIST_STREAMING ? '!' : s->head_state == HIST_INTERRUPTED ? 'i' : ' ';
        lib.rows[out->n++] = (struct session_row){.id = s->id, .title = *s->title || !s->draft ? s->title : s->draft, .model = s->model ? s->model : "",
                                                  .when = t->when, .note = t->note, .messages = s->n_messages, .state = state,
                                                  .pinned = s->pinned, .archived = s->archived_ms != 0, .here = s->id == here};
    }
}

static const struct hist_session *find(int64_t id)
{
    for (size_t i = 0; i < lib.l.n; i++)
        if (lib.l.at[i].id == id)
            return &lib.l.at[i];
    return NULL;
}

static int delete_session(struct full *u, int64_t id, struct err *e)
{
    int rc = hist_session_delete(u->f.h, id, e);
    if (rc)
        return rc;
    lib.deleted = mem_grow(lib.deleted, lib.n_deleted + 1, sizeof *lib.deleted);
    lib.deleted[lib.n_deleted++] = id;
    u->f.deleted = id;
    if (id == chat_session(u->f.chat))
        full_open(u, 0);
    return 0;
}

static int export_session_to(struct full *u, int64_t id, const char *name, struct say *say, struct err *e)
{
    char *path = NULL;
    size_t bytes = 0;
    int rc = export_to_file(u->f.h, id, name, &path, &bytes, e);
    if (rc == 0)
        snprintf(say->text, sizeof say->text, "%s, %zu bytes", path, bytes);
    free(path);
    return rc;
}

/* What happens to a session; 0, or an error. */
static int change(struct full *u, enum sessions_act act, int64_t id, const char *text, struct say *say, struct err *e)
{
    struct hist *h = u->f.h;
    const struct hist_session *s = find(id);
    int64_t fork;
    int rc = 0;
    switch (act) {
    case SESSIONS_RENAME:
        rc = text[strspn(text, " ")] ? hist_session_rename(h, id, text, true, e) : err_set(e, ERR_USAGE, "the title is empty");
        break;
    case SESSIONS_PIN: rc = s ? hist_session_pin(h, id, !s->pinned, e) : 0; break;
    case SESSIONS_ARCHIVE:
        rc = s ? hist_session_archive(h, id, !s->archived_ms, e) : 0;
        if (rc == 0 && s)
            snprintf(say->text, sizeof say->text, s->archived_ms ? "back from the archive" : "in the archive; A shows it, a brings it back");
        break;
    case SESSIONS_TAG: rc = tags_change(h, id, text, e); break;
    case SESSIONS_DELETE:
        rc = delete_session(u, id, e);
        if (rc == 0)
            snprintf(say->text, sizeof say->text, "deleted; u brings it back (for 30 days, /undelete too)");
        break;
    case SESSIONS_UNDO:
        if (!lib.n_deleted)
            return err_set(e, ERR_USAGE, "nothing was deleted here");
        rc = hist_session_undelete(h, lib.deleted[lib.n_deleted - 1], e);
        lib.n_deleted -= rc == 0;
        break;
    case SESSIONS_FORK:
        rc = hist_session_fork(h, id, 0, NULL, &fork, e);
        if (rc == 0)
            snprintf(say->text, sizeof say->text, "forked: a copy of the way to its end stands on top");
        break;
    case SESSIONS_EXPORT: rc = export_session_to(u, id, text, say, e); break;
    case SESSIONS_OPEN:
    case SESSIONS_NEW:
    case SESSIONS_SORT:
    case SESSIONS_WHICH: break;
    }
    return rc;
}

static bool act_on(void *arg, enum sessions_act act, int64_t id, const char *text, struct say *say)
{
    struct full *u = arg;
    struct err e = {0};
    if (act == SESSIONS_OPEN || act == SESSIONS_NEW) {
        full_open(u, act == SESSIONS_NEW ? 0 : id);
        return true;
    }
    if (act == SESSIONS_SORT)
        lib.sort = (enum hist_sort)((lib.sort + 1) % HIST_SORTS);
    else if (act == SESSIONS_WHICH)
        lib.which = lib.which == HIST_ACTIVE ? HIST_ARCHIVED : HIST_ACTIVE;
    else if (change(u, act, id, text, say, &e)) {
        say->bad = true;
        snprintf(say->text, sizeof say->text, "%s", e.msg);
    }
    lib.stale = true;
    full_title(u);
    return false;
}

static bool have_history(struct full *u)
{
    if (!u->f.h)
        full_say(u, ROLE_WARN, "nothing is saved in this chat (-n)");
    return u->f.h != NULL;
}

void full_sessions(struct full *u)
{
    if (!have_history(u))
        return;
    face_save_draft(&u->f);
    lib.stale = true;
    lib.which = HIST_ACTIVE;
    full_push(u, view_sessions(&(struct view_sessions_conf){.arg = u, .list = list_sessions, .preview = preview_session, .act = act_on}));
}

/* ---- search ---- */

static struct {
    struct hist_hits l;
    struct search_row *rows;
    char (*when)[24];
} found;

static void find_words(void *arg, const char *words, bool here, struct search_data *out, struct say *say)
{
    struct full *u = arg;
    struct err e;
    struct hist_hits l;
    int64_t from = clock_mono_us();
    const struct hist_find what = {.words = words, .session = here ? chat_session(u->f.chat) : 0, .limit = HITS, .typing = true};
    if (hist_find(u->f.h, &what, &l, &e)) {
        say->bad = true;
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        return;
    }
    hist_hits_finish(&found.l);
    found.l = l;
    found.rows = mem_grow(found.rows, l.n + 1, sizeof *found.rows);
    found.when = mem_grow(found.when, l.n + 1, sizeof *found.when);
    for (size_t i = 0; i < l.n; i++) {
        const struct hist_hit *hit = &found.l.at[i];
        day_text(hit->created_ms, found.when[i]);
        found.rows[i] = (struct search_row){.session = hit->session, .node = hit->node, .title = hit->title,
                                            .who = hit->role == HIST_USER ? "you" : hit->model ? hit->model : "answer", .when = found.when[i],
                                            .snippet = hit->snippet};
    }
    *out = (struct search_data){.at = found.rows, .n = l.n, .more = l.more, .newest = l.newest, .ms = (double)(clock_mono_us() - from) / 1000};
}

static void preview_hit(void *arg, int64_t node, pane_add *add, void *to)
{
    struct full *u = arg;
    struct hist_path p;
    struct err e;
    for (size_t i = 0; i < found.l.n; i++) {
        const struct hist_hit *hit = &found.l.at[i];
        if (hit->node != node)
            continue;
        if (hist_path_get(u->f.h, hit->session, node, &p, &e)) {
            add_text(add, to, ROLE_ALERT, e.msg);
            return;
        }
        full_preview_node(&p.at[p.n - 1], hit->model ? hit->model : "answer", add, to);
        hist_path_finish(&p);
        return;
    }
}

static void open_hit(void *arg, int64_t session, int64_t node, const char *needle)
{
    full_goto(arg, session, node, *needle ? needle : NULL);
}

void full_search(struct full *u, const char *words)
{
    if (have_history(u))
        full_push(u, view_search(&(struct view_search_conf){.arg = u, .here = chat_session(u->f.chat) != 0, .find = find_words,
                                                            .preview = preview_hit, .open = open_hit}, words));
}

void full_sessions_finish(void)
{
    hist_list_finish(&lib.l);
    free(lib.keep);
    free(lib.rows);
    free(lib.texts);
    free(lib.deleted);
    memset(&lib, 0, sizeof lib);
    hist_hits_finish(&found.l);
    free(found.rows);
    free(found.when);
    memset(&found, 0, sizeof found);
}
