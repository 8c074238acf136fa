/*
 * The full screen's tree of a session, and two of its messages compared: what ui/view_tree.c shows.
 */
#include "config.h"
#include "app/full.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ui/views.h"

static struct {
    struct hist_path all;
    struct tree_row *rows;
    char (*when)[16];
    char **names; /* of models; of the answers */
} tree;

static void forget(void)
{
    for (size_t i = 0; i < tree.all.n; i++)
        free(tree.names[i]);
    free(tree.names);
    free(tree.rows);
    free(tree.when);
    hist_path_finish(&tree.all);
    memset(&tree, 0, sizeof tree);
}

void full_tree_finish(void)
{
    forget();
}

static char *model_name(struct hist *h, int64_t node)
{
    struct hist_gen g;
    struct hist_model m;
    char *name = NULL;
    if (hist_gen_get(h, node, &g, NULL) != 1)
        return mem_strdup("answer");
    if (g.model_id && hist_model_get(h, g.model_id, &m, NULL) == 1) {
        name = mem_strdup(m.name);
        hist_model_finish(&m);
    }
    hist_gen_finish(&g);
    return name ? name : mem_strdup("answer");
}

static void nodes(void *arg, const struct tree_row **at, size_t *n, struct say *say)
{
    struct full *u = arg;
    struct err e;
    const struct hist_path *now = chat_path(u->f.chat);
    forget();
    *at = NULL;
    *n = 0;
    if (hist_nodes(u->f.h, chat_session(u->f.chat), &tree.all, &e)) {
        say->bad = true;
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        return;
    }
    tree.rows = mem_array(tree.all.n + 1, sizeof *tree.rows);
    tree.when = mem_array(tree.all.n + 1, sizeof *tree.when);
    tree.names = mem_array(tree.all.n + 1, sizeof *tree.names);
    for (size_t i = 0; i < tree.all.n; i++) {
        const struct hist_node *node = &tree.all.at[i];
        bool answer = node->role == HIST_ASSISTANT;
        size_t len;
        const char *text = hist_node_text(node, &len);
        text += strspn(text, " \n\t");
        tree.names[i] = answer ? model_name(u->f.h, node->id) : NULL;
        when_text(node->created_ms, clock_wall_ms(), tree.when[i]);
        tree.rows[i] = (struct tree_row){.id = node->id, .parent = node->parent, .who = answer ? tree.names[i] : node->role == HIST_USER ? "you" : "system",
                                         .when = tree.when[i], .text = node->n_parts <= 1 || len == 0 ? text : "", .answer = answer,
                                         .note = node->state == HIST_FINAL ? "" : node->state == HIST_STREAMING ? "being written" :
                                                 node->state == HIST_ERROR ? "error" : "stopped"};
        for (size_t k = 0; k < node->n_parts && !*tree.rows[i].text; k++)
            if (node->parts[k].kind == HIST_TEXT)
                tree.rows[i].text = node->parts[k].text + strspn(node->parts[k].text, " \n\t");
        for (size_t k = 0; k < now->n; k++)
            tree.rows[i].on_path |= now->at[k].id == node->id;
        tree.rows[i].head = now->n && now->at[now->n - 1].id == node->id;
    }
    *at = tree.rows;
    *n = tree.all.n;
}

/* "318 tokens, 21.4/s, first after 0.9 s, seed 7", and the parameters. */
static void numbers(struct hist *h, int64_t node, pane_add *add, void *to)
{
    struct hist_gen g;
    struct buf b = BUF_INIT(1 << 16);
    if (hist_gen_get(h, node, &g, NULL) != 1)
        return;
    buf_addf(&b, "%d tokens", g.n_out);
    if (g.decode_ms > 0 && g.n_out > 1)
        buf_addf(&b, ", %.1f/s", g.n_out * 1000.0 / g.decode_ms);
    buf_addf(&b, ", first after %.2f s, prompt %d tokens (%d reused), seed %" PRIu64, g.ttft_ms / 1000, g.n_prompt, g.n_cached, g.seed);
    json_t *params = g.params ? json_loads(g.params, 0, NULL) : NULL, *value;
    const char *name;
    const char *before = "\n";
    json_object_foreach(params, name, value) {
        if (!json_is_number(value) || strcmp(name, "seed") == 0)
            continue;
        buf_addf(&b, "%s%s %.6g", before, name, json_number_value(value));
        before = "  ";
    }
    json_decref(params);
    add(to, ROLE_DIM, buf_str(&b), b.len);
    buf_finish(&b);
    hist_gen_finish(&g);
}

static void preview(void *arg, int64_t id, pane_add *add, void *to)
{
    struct full *u = arg;
    for (size_t i = 0; i < tree.all.n; i++)
        if (tree.all.at[i].id == id) {
            full_preview_node(&tree.all.at[i], tree.names[i] ? tree.names[i] : "", add, to);
            if (tree.all.at[i].role == HIST_ASSISTANT)
                numbers(u->f.h, id, add, to);
        }
}

static bool go(void *arg, int64_t id, struct say *say)
{
    struct full *u = arg;
    (void)say;
    full_goto(u, chat_session(u->f.chat), id, NULL);
    return true;
}

static bool fork_here(void *arg, int64_t id, struct say *say)
{
    struct full *u = arg;
    struct err e;
    int64_t made;
    if (hist_session_fork(u->f.h, chat_session(u->f.chat), id, NULL, &made, &e)) {
        say->bad = true;
        snprintf(say->text, sizeof say->text, "%s", e.msg);
        return false;
    }
    full_open(u, made);
    full_say(u, ROLE_GOOD, "a new session with the way to this message");
    return true;
}

static void compare(void *arg, int64_t a, int64_t b)
{
    full_push(arg, view_compare(&(struct view_compare_conf){.arg = arg, .id = {a, b}, .preview = preview}));
}

void full_branches(struct full *u)
{
    if (!u->f.h || !chat_session(u->f.chat)) {
        full_say(u, ROLE_WARN, "this session has no branches yet");
        return;
    }
    full_push(u, view_tree(&(struct view_tree_conf){.arg = u, .title = "branches", .nodes = nodes, .preview = preview, .go = go, .fork = fork_here,
                                                    .compare = compare}));
}
