/*
 * A session as Markdown (the way to its head) or as JSON (all of it). The JSON is what import.c reads:
 *
 *   {"format": "hadal", "version": 1, "uid", "title", "title_src", "created_ms", "updated_ms", "archived_ms"?, "pinned", "system"?, "params"?,
 *    "draft"?, "head": id or null,
 *    "models": [{"name", "fingerprint", "arch"?, "quant"?, "ctx_train", "template_sha"?}],
 *    "nodes": [{"id", "parent": id or null, "role", "state", "created_ms", "parts": [{"kind", "text"}],
 *      "generation"?: {"model"?: place in models, "params"?, "seed", "backend"?, "engine"?, "n_prompt", "n_cached", "n_reason", "n_out",
 *        "load_ms", "prefill_ms", "ttft_ms", "decode_ms", "stop"?, "error"?}}]}
 *
 * Ids count from 1, parents stand before their children. A text that is not UTF-8 is {"bytes_hex": "..."} in place of the string; a
 * seed beyond 2^63 is a string. An answer that is being written is exported as interrupted, for so it is as a copy.
 */
#include "config.h"
#include "app/export.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "app/jtext.h"
#include "base/mem.h"
#include "base/sane.h"
#include "base/utf8.h"

bool export_format_parse(const char *name, enum export_format *out)
{
    if (strcasecmp(name, "md") == 0 || strcasecmp(name, "markdown") == 0)
        *out = EXPORT_MD;
    else if (strcasecmp(name, "json") == 0)
        *out = EXPORT_JSON;
    else if (strcasecmp(name, "html") == 0)
        *out = EXPORT_HTML;
    else
        return false;
    return true;
}

const char *export_format_name(enum export_format f)
{
    return f == EXPORT_MD ? "md" : f == EXPORT_JSON ? "json" : "html";
}

bool export_format_of(const char *file, enum export_format *out)
{
    const char *dot = strrchr(file, '.');
    return dot && export_format_parse(dot + 1, out);
}

/* ---- Markdown ---- */

/* Length of the run of backticks or tildes that begins a fence on this line, 0: none; *closes: nothing follows it. */
static size_t fence(const char *line, size_t n, char *mark, bool *closes)
{
    size_t i = 0, run = 0;
    while (i < n && i < 3 && line[i] == ' ')
        i++;
    *mark = i < n ? line[i] : 0;
    if (*mark != '`' && *mark != '~')
        return 0;
    while (i < n && line[i] == *mark) {
        i++;
        run++;
    }
    bool info = false;
    for (; i < n; i++) {
        if (*mark == '`' && line[i] == '`')
            return 0; /* code in a line of text */
        info |= line[i] != ' ' && line[i] != '\t' && line[i] != '\r';
    }
    *closes = !info;
    return run < 3 ? 0 : run;
}

/* Text ends a line, and a code block that it left open (a cut-off answer) does not swallow what follows. */
static void md_text(struct buf *out, const char *s, size_t n)
{
    size_t open = 0, len;
    char open_mark = 0;
    utf8_repair(out, s, n);
    if (n && s[n - 1] != '\n')
        buf_addch(out, '\n');
    for (const char *line = s, *end = s + n; line < end; line += len + 1) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        char mark;
        bool closes = false;
        len = (size_t)((newline ? newline : end) - line);
        size_t run = fence(line, len, &mark, &closes);
        if (!run)
            continue;
        if (!open) {
            open = run;
            open_mark = mark;
        } else if (mark == open_mark && run >= open && closes) {
            open = 0;
        }
    }
    for (size_t i = 0; i < open; i++)
        buf_addch(out, open_mark);
    if (open)
        buf_addch(out, '\n');
}

/* Folded, and quoted line by line, so that nothing in it can end it. */
static void md_thought(struct buf *out, const char *s, size_t n)
{
    static const char end_tag[] = "</details";
    buf_addstr(out, "<details><summary>Reasoning</summary>\n\n");
    struct buf text = BUF_INIT(SIZE_MAX);
    utf8_repair(&text, s, n);
    bool begin = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (begin)
            buf_addstr(out, c == '\n' ? ">" : "> ");
        if (c == '<' && strncasecmp(text.data + i, end_tag, sizeof end_tag - 1) == 0)
            buf_addstr(out, "&lt;");
        else
            buf_addch(out, c);
        begin = c == '\n';
    }
    if (!begin)
        buf_addch(out, '\n');
    buf_addstr(out, "\n</details>\n\n");
    buf_finish(&text);
}

void export_time(struct buf *out, int64_t ms)
{
    char text[32];
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (localtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm))
        buf_addstr(out, text);
}

/* A text part after another is one text; what is of another kind says so. */
static void md_node(struct buf *out, const struct hist_node *n, const char *model)
{
    static const char *const heading[] = {"System", "You", "Assistant", "Tool"};
    buf_addf(out, "\n## %s", heading[n->role]);
    if (model) {
        buf_addstr(out, " (");
        sane_line(out, model, strlen(model));
        buf_addch(out, ')');
    }
    buf_addstr(out, "\n\n");
    for (size_t i = 0; i < n->n_parts; i++) {
        const struct hist_part *p = &n->parts[i];
        if (p->kind == HIST_REASONING) {
            md_thought(out, p->text, p->n);
            continue;
        }
        if (p->kind != HIST_TEXT)
            buf_addf(out, "**%s**\n\n", p->kind == HIST_PART_ERROR ? "Error" : p->kind == HIST_ATTACHMENT ? "Attachment" :
                                        p->kind == HIST_TOOL_CALL  ? "Tool call" : "Tool result");
        md_text(out, p->text, p->n);
        if (i + 1 < n->n_parts)
            buf_addch(out, '\n');
    }
    if (n->state != HIST_FINAL)
        buf_addf(out, "\n*(%s)*\n", n->state == HIST_ERROR ? "ended by an error" : n->state == HIST_STREAMING ? "still being written" : "interrupted");
}

static void md_title(struct buf *out, const struct hist_session *s)
{
    char id[7];
    short_id(s->uid, id);
    buf_addstr(out, "# ");
    sane_line(out, *s->title ? s->title : "Untitled", strlen(*s->title ? s->title : "Untitled"));
    buf_addstr(out, "\n\n");
    if (s->model) {
        buf_addstr(out, "- Model: ");
        sane_line(out, s->model, strlen(s->model));
        buf_addch(out, '\n');
    }
    buf_addstr(out, "- Date: ");
    export_time(out, s->created_ms);
    if (s->updated_ms / 60000 != s->created_ms / 60000) {
        buf_addstr(out, ", last message ");
        export_time(out, s->updated_ms);
    }
    buf_addf(out, "\n- Session: %s\n", id);
    if (s->system) {
        buf_addstr(out, "\n## System\n\n");
        md_text(out, s->system, strlen(s->system));
    }
}

int export_other_model(struct hist *h, const struct hist_session *s, int64_t node, char **name, struct err *err)
{
    struct hist_gen g;
    struct hist_model m = {0};
    *name = NULL;
    int rc = hist_gen_get(h, node, &g, err);
    if (rc <= 0)
        return rc;
    rc = g.model_id ? hist_model_get(h, g.model_id, &m, err) : 0;
    hist_gen_finish(&g);
    if (rc > 0 && (!s->model || strcmp(s->model, m.name) != 0))
        *name = mem_strdup(m.name);
    hist_model_finish(&m);
    return rc < 0 ? rc : 0;
}

static int export_md(struct hist *h, const struct hist_session *s, struct buf *out, struct err *err)
{
    struct hist_path p;
    int rc = hist_path_get(h, s->id, 0, &p, err);
    if (rc != 0)
        return rc;
    md_title(out, s);
    for (size_t i = 0; rc == 0 && i < p.n; i++) {
        char *model;
        rc = export_other_model(h, s, p.at[i].id, &model, err);
        if (rc == 0)
            md_node(out, &p.at[i], model);
        free(model);
    }
    hist_path_finish(&p);
    return rc;
}

/* ---- JSON ---- */

static json_t *exact(const char *s, size_t n)
{
    if (utf8_valid(s, n))
        return json_stringn(s, n);
    struct buf hex = BUF_INIT(SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_addch(&hex, "0123456789abcdef"[(unsigned char)s[i] >> 4]);
        buf_addch(&hex, "0123456789abcdef"[(unsigned char)s[i] & 15]);
    }
    json_t *j = json_pack("{s:s}", "bytes_hex", buf_str(&hex));
    buf_finish(&hex);
    return j;
}

/* A member that is there only with a value. */
static void put_text(json_t *j, const char *name, const char *s)
{
    if (s)
        json_object_set_new(j, name, exact(s, strlen(s)));
}

/* JSON that stands in the database as text. */
static void put_json(json_t *j, const char *name, const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    if (value)
        json_object_set_new(j, name, value);
}

/* The models of a session, each once. */
struct models {
    int64_t *id;
    size_t n;
    json_t *list;
};

/* The place of a model in the list, -1: there is none. */
static int model_place(struct hist *h, struct models *all, int64_t id, int64_t *place, struct err *err)
{
    struct hist_model m;
    *place = -1;
    for (size_t i = 0; i < all->n; i++)
        if (all->id[i] == id)
            *place = (int64_t)i;
    if (!id || *place >= 0)
        return 0;
    int rc = hist_model_get(h, id, &m, err);
    if (rc <= 0)
        return rc;
    json_t *j = json_object();
    put_text(j, "name", m.name);
    put_text(j, "fingerprint", m.fingerprint);
    put_text(j, "arch", m.arch);
    put_text(j, "quant", m.quant);
    json_object_set_new(j, "ctx_train", json_integer(m.ctx_train));
    put_text(j, "template_sha", m.template_sha);
    json_array_append_new(all->list, j);
    all->id = mem_grow(all->id, all->n + 1, sizeof *all->id);
    *place = (int64_t)all->n;
    all->id[all->n++] = id;
    hist_model_finish(&m);
    return 0;
}

static int put_gen(struct hist *h, struct models *models, int64_t node, json_t *to, struct err *err)
{
    struct hist_gen g;
    int64_t place;
    int rc = hist_gen_get(h, node, &g, err);
    if (rc <= 0)
        return rc;
    rc = model_place(h, models, g.model_id, &place, err);
    json_t *j = json_object();
    if (place >= 0)
        json_object_set_new(j, "model", json_integer(place));
    put_json(j, "params", g.params);
    if (g.seed <= INT64_MAX) {
        json_object_set_new(j, "seed", json_integer((json_int_t)g.seed));
    } else {
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)g.seed);
        json_object_set_new(j, "seed", json_string(text));
    }
    put_text(j, "backend", g.backend);
    put_text(j, "engine", g.engine);
    json_object_set_new(j, "n_prompt", json_integer(g.n_prompt));
    json_object_set_new(j, "n_cached", json_integer(g.n_cached));
    json_object_set_new(j, "n_reason", json_integer(g.n_reason));
    json_object_set_new(j, "n_out", json_integer(g.n_out));
    json_object_set_new(j, "load_ms", jreal(g.load_ms, 3));
    json_object_set_new(j, "prefill_ms", jreal(g.prefill_ms, 3));
    json_object_set_new(j, "ttft_ms", jreal(g.ttft_ms, 3));
    json_object_set_new(j, "decode_ms", jreal(g.decode_ms, 3));
    put_text(j, "stop", g.stop);
    put_text(j, "error", g.error);
    json_object_set_new(to, "generation", j);
    hist_gen_finish(&g);
    return rc;
}

/* Parents stand before their children, so a parent's place is found among those before. */
static int64_t place_of(const struct hist_path *p, int64_t id)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->at[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return id && low < p->n && p->at[low].id == id ? (int64_t)low + 1 : 0;
}

static json_t *id_json(int64_t place)
{
    return place ? json_integer(place) : json_null();
}

static json_t *node_json(const struct hist_path *p, size_t i)
{
    const struct hist_node *n = &p->at[i];
    enum hist_state state = n->state == HIST_STREAMING ? HIST_INTERRUPTED : n->state;
    json_t *parts = json_array();
    for (size_t k = 0; k < n->n_parts; k++)
        json_array_append_new(parts, json_pack("{s:s, s:o}", "kind", hist_kind_name((int)n->parts[k].kind), "text",
                                               exact(n->parts[k].text, n->parts[k].n)));
    return json_pack("{s:I, s:o, s:s, s:s, s:I, s:o}", "id", (json_int_t)i + 1, "parent", id_json(place_of(p, n->parent)), "role",
                     hist_role_name((int)n->role), "state", hist_state_name((int)state), "created_ms", (json_int_t)n->created_ms, "parts", parts);
}

static int export_json(struct hist *h, const struct hist_session *s, struct buf *out, struct err *err)
{
    struct hist_path p;
    struct models models = {.list = json_array()};
    json_t *j = json_pack("{s:s, s:i, s:s, s:o, s:s, s:I, s:I}", "format", "hadal", "version", 1, "uid", s->uid, "title",
                          exact(s->title, strlen(s->title)), "title_src", s->title_src, "created_ms", (json_int_t)s->created_ms, "updated_ms",
                          (json_int_t)s->updated_ms);
    json_t *nodes = json_array();
    int rc = hist_nodes(h, s->id, &p, err);
    if (s->archived_ms)
        json_object_set_new(j, "archived_ms", json_integer(s->archived_ms));
    json_object_set_new(j, "pinned", json_boolean(s->pinned));
    put_text(j, "system", s->system);
    put_json(j, "params", s->params);
    put_text(j, "draft", s->draft);
    if (rc == 0) {
        json_object_set_new(j, "head", id_json(place_of(&p, s->head)));
        for (size_t i = 0; rc == 0 && i < p.n; i++) {
            json_t *node = node_json(&p, i);
            rc = put_gen(h, &models, p.at[i].id, node, err);
            json_array_append_new(nodes, node);
        }
        hist_path_finish(&p);
    }
    json_object_set_new(j, "models", models.list);
    json_object_set_new(j, "nodes", nodes);
    if (rc == 0)
        jput(out, j, true);
    json_decref(j);
    free(models.id);
    return rc;
}

int export_session(struct hist *h, int64_t session, enum export_format f, struct buf *out, struct err *err)
{
    struct hist_session s;
    int rc = hist_session_get(h, session, &s, err);
    if (rc != 0)
        return rc;
    rc = f == EXPORT_MD ? export_md(h, &s, out, err) : f == EXPORT_HTML ? export_html(h, &s, out, err) : export_json(h, &s, out, err);
    hist_session_finish(&s);
    if (rc == 0 && buf_over(out))
        rc = err_set(err, ERR_HISTORY, "the session is too long to export: more than %zu bytes", out->max);
    return rc;
}
