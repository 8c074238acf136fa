/*
 * hadal show [SESSION]: a conversation as text, from its beginning to where it stands.
 */
#include "config.h"
#include "app/cmd.h"

#include <string.h>

#include "base/clock.h"
#include "base/sane.h"
#include "ui/line.h"

struct show {
    bool help, json, last, thoughts;
};

static const struct opt opts[] = {
    {.name = "last", .letter = 'l', .kind = OPT_FLAG, .at = offsetof(struct show, last), .help = "only the last answer, without a heading"},
    {.name = "thoughts", .kind = OPT_FLAG, .at = offsetof(struct show, thoughts), .help = "what the model thought, too"},
    OPT_ROW_JSON(struct show),
    OPT_ROW_HELP(struct show),
    {.name = NULL},
};

/* The texts of one kind joined; NULL when there is none. */
static json_t *parts_json(const struct hist_node *n, enum hist_kind kind)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    bool any = false;
    for (size_t i = 0; i < n->n_parts; i++)
        if (n->parts[i].kind == kind) {
            buf_add(&b, n->parts[i].text, n->parts[i].n);
            any = true;
        }
    json_t *j = any || kind == HIST_TEXT ? jtext_n(buf_str(&b), b.len) : NULL;
    buf_finish(&b);
    return j;
}

static json_t *node_json(struct hist *h, const struct hist_node *n)
{
    json_t *j = json_pack("{s:I, s:s, s:s, s:I, s:i, s:i, s:o}", "node", (json_int_t)n->id, "role", hist_role_name(n->role), "state", hist_state_name(n->state),
                          "created_ms", (json_int_t)n->created_ms, "version", n->version, "versions", n->n_versions, "text",
                          parts_json(n, HIST_TEXT));
    json_t *thought = parts_json(n, HIST_REASONING);
    if (thought)
        json_object_set_new(j, "thought", thought);
    struct hist_gen g = {0};
    if (n->role == HIST_ASSISTANT && hist_gen_get(h, n->id, &g, NULL) == 1) {
        json_t *params = g.params ? json_loads(g.params, 0, NULL) : NULL;
        json_object_set_new(j, "generation",
                            json_pack("{s:I, s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:o}", "seed", (json_int_t)g.seed, "params",
                                      params ? params : json_null(), "backend", jtext(g.backend), "engine", jtext(g.engine), "prompt_tokens",
                                      g.n_prompt, "cached_tokens", g.n_cached, "completion_tokens", g.n_out, "ttft_ms", jreal(g.ttft_ms, 3),
                                      "stop", jtext(g.stop)));
        hist_gen_finish(&g);
    }
    return j;
}

static void put_text(struct buf *b, const struct hist_node *n, enum hist_kind kind)
{
    for (size_t i = 0; i < n->n_parts; i++)
        if (n->parts[i].kind == kind)
            sane_text(b, n->parts[i].text, n->parts[i].n);
    if (b->len && b->data[b->len - 1] != '\n')
        buf_addch(b, '\n');
}

static void put_node(struct buf *b, const struct hist_node *n, const struct show *o, const char *on, const char *off)
{
    char when[16];
    when_text(n->created_ms, clock_wall_ms(), when);
    buf_addf(b, "%s%s, %s", on, n->role == HIST_USER ? "you" : hist_role_name(n->role), when);
    if (n->n_versions > 1)
        buf_addf(b, ", version %d of %d", n->version, n->n_versions);
    if (n->state != HIST_FINAL)
        buf_addf(b, ", %s", hist_state_name(n->state));
    buf_addf(b, "%s\n", off);
    if (o->thoughts) {
        size_t from = b->len;
        put_text(b, n, HIST_REASONING);
        if (b->len > from)
            buf_addch(b, '\n');
    }
    put_text(b, n, HIST_TEXT);
}

static int print_text(const struct hist_session *s, const struct hist_path *p, const struct show *o)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    const char *on = term_color(TERM_OUT) ? "\x1b[1m" : "", *off = *on ? "\x1b[0m" : "";
    if (o->last) {
        for (size_t i = p->n; i-- > 0;)
            if (p->at[i].role == HIST_ASSISTANT) {
                put_text(&b, &p->at[i], HIST_TEXT);
                break;
            }
        return cmd_out(&b);
    }
    char id[7];
    short_id(s->uid, id);
    buf_addf(&b, "%s%s  ", on, id);
    cmd_line(&b, s->title);
    if (s->model) {
        buf_addstr(&b, "  (");
        cmd_line(&b, s->model);
        buf_addch(&b, ')');
    }
    buf_addf(&b, "%s\n", off);
    if (s->system) {
        buf_addf(&b, "\n%ssystem%s\n", on, off);
        sane_text(&b, s->system, strlen(s->system));
        buf_addch(&b, '\n');
    }
    for (size_t i = 0; i < p->n; i++) {
        buf_addch(&b, '\n');
        put_node(&b, &p->at[i], o, on, off);
    }
    return cmd_out(&b);
}

static int print_json(struct hist *h, const struct hist_session *s, const struct hist_path *p)
{
    json_t *j = cmd_session_json(s), *list = json_array();
    json_object_set_new(j, "system", jtext(s->system));
    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(list, node_json(h, &p->at[i]));
    json_object_set_new(j, "path", list);
    return cmd_out_json(j);
}

static int run(int argc, char **argv)
{
    struct show o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_show, &o, argc, argv, &w, 0, -1, &status)) {
        struct hist *h = cmd_history(true, &status);
        struct hist_session s = {0};
        struct hist_path p = {0};
        struct err e;
        int64_t id;
        if (h && (cmd_session(h, &w, false, &id, &e) || hist_session_get(h, id, &s, &e) || hist_path_get(h, id, 0, &p, &e)))
            status = report(&e);
        else if (h)
            status = o.json ? print_json(h, &s, &p) : print_text(&s, &p, &o);
        hist_path_finish(&p);
        hist_session_finish(&s);
        hist_close(h);
    }
    cmd_done(&cmd_show, &o, &w);
    return status;
}

const struct cmd cmd_show = {.name = "show", .args = "[SESSION]", .help = "print a conversation", .opts = opts, .run = run,
                             .more = "SESSION is a short id, or words of a title; left out it is the newest. What is on other branches is in `hadal export`."};
