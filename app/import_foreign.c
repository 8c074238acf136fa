/*
 * Conversations of other programs, as their exports have them:
 *
 *   ChatGPT, conversations.json: a list of {"title", "create_time", "update_time", "current_node", "mapping": {ID: {"parent", "children",
 *     "message": null or {"author": {"role"}, "create_time", "content": {"content_type", "parts" or "text" or "thoughts"}, "metadata":
 *     {"model_slug"}}}}}; times are seconds.
 *   llama.cpp's web UI: {"conv": {"name", "lastModified", "currNode"}, "messages": [{"id", "parent", "role", "content", "timestamp", ..}]}, or a
 *     list of these; times are milliseconds.
 *
 * Both become the same list of found messages, and that a tree: what has no text is left out and its children stand below what was before it.
 * All of it is foreign: every member is looked at before it is used, what hangs on itself is refused, nothing recurses.
 */
#include "config.h"
#include "app/app.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/import.h"
#include "base/mem.h"

#define MAX_NODES 1000000
#define MAX_PARTS 1000
#define MAX_MS 253402300799999.0 /* the year 9999 */

struct found {
    const char *key, *parent; /* borrowed; parent NULL: a root */
    enum hist_role role;
    double ms;
    const char *model;        /* borrowed, or NULL */
    struct hist_part *parts;
    size_t n_parts;
    size_t first, next;       /* children: index + 1; 0: none */
    int64_t node;             /* once it is put; else that of what stands before it */
    bool put;
};

struct foreign {
    struct hist *h;
    struct err *err;
    struct found *at;
    size_t n;
    json_t *place; /* key to index */
    char (*numbers)[32]; /* texts of keys that are numbers */
    size_t n_numbers;
    const char *system;
};

static const char *string_of(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v) ? json_string_value(v) : NULL;
}

static double number_of(const json_t *j, const char *name, double unit)
{
    const json_t *v = json_object_get(j, name);
    double x = json_is_number(v) ? json_number_value(v) * unit : 0;
    return isfinite(x) && x > 0 && x < MAX_MS ? x : 0;
}

static void add_part(struct found *f, enum hist_kind kind, const char *text, size_t n)
{
    if (!n || f->n_parts >= MAX_PARTS)
        return;
    f->parts = mem_grow(f->parts, f->n_parts + 1, sizeof *f->parts);
    f->parts[f->n_parts++] = (struct hist_part){kind, mem_strndup(text, n), n};
}

static void add_json(struct found *f, enum hist_kind kind, const json_t *v)
{
    if (json_is_string(v))
        add_part(f, kind, json_string_value(v), json_string_length(v));
}

static bool role_of(const char *name, enum hist_role *out)
{
    for (int i = 0; name && hist_role_name(i); i++)
        if (strcmp(name, hist_role_name(i)) == 0) {
            *out = (enum hist_role)i;
            return true;
        }
    return false;
}

/* ---- ChatGPT ---- */

/* "parts" are texts, or objects for what is no text. */
static void chatgpt_content(struct found *f, const json_t *content)
{
    const json_t *parts = json_object_get(content, "parts"), *thoughts = json_object_get(content, "thoughts");
    const char *type = string_of(content, "content_type");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *p = json_array_get(parts, i);
        const char *what = string_of(p, "content_type");
        if (json_is_object(p))
            add_part(f, HIST_ATTACHMENT, what ? what : "attachment", what ? strlen(what) : 10);
        else
            add_json(f, HIST_TEXT, p);
    }
    for (size_t i = 0; i < json_array_size(thoughts); i++)
        add_json(f, HIST_REASONING, json_object_get(json_array_get(thoughts, i), "content"));
    add_json(f, type && strcmp(type, "execution_output") == 0 ? HIST_TOOL_RESULT : type && strcmp(type, "code") == 0 ? HIST_TOOL_CALL : HIST_TEXT,
             json_object_get(content, "text"));
}

static void chatgpt_node(struct found *f, const json_t *j)
{
    const json_t *message = json_object_get(j, "message");
    f->parent = string_of(j, "parent");
    if (!role_of(string_of(json_object_get(message, "author"), "role"), &f->role))
        return;
    f->ms = number_of(message, "create_time", 1000);
    f->model = string_of(json_object_get(message, "metadata"), "model_slug");
    if (!json_is_true(json_object_get(json_object_get(message, "metadata"), "is_visually_hidden_from_conversation")))
        chatgpt_content(f, json_object_get(message, "content"));
}

/* ---- llama.cpp ---- */

/* Ids are strings, or numbers in older versions. */
static const char *key_of(struct foreign *in, const json_t *v)
{
    if (json_is_string(v))
        return strlen(json_string_value(v)) == json_string_length(v) ? json_string_value(v) : NULL;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return NULL;
    char *out = in->numbers[in->n_numbers++];
    snprintf(out, sizeof in->numbers[0], "%lld", (long long)json_integer_value(v));
    return out;
}

static void llama_node(struct foreign *in, struct found *f, const json_t *j)
{
    const char *type = string_of(j, "type");
    const json_t *extra = json_object_get(j, "extra"), *content = json_object_get(j, "content");
    f->parent = key_of(in, json_object_get(j, "parent"));
    if ((type && strcmp(type, "root") == 0) || !role_of(string_of(j, "role"), &f->role))
        return;
    f->ms = number_of(j, "timestamp", 1);
    f->model = string_of(j, "model");
    for (size_t i = 0; i < json_array_size(extra); i++) {
        const char *name = string_of(json_array_get(extra, i), "name");
        add_part(f, HIST_ATTACHMENT, name ? name : "attachment", name ? strlen(name) : 10);
        add_json(f, HIST_ATTACHMENT, json_object_get(json_array_get(extra, i), "content"));
    }
    add_json(f, HIST_REASONING, json_object_get(j, "thinking"));
    add_json(f, HIST_REASONING, json_object_get(j, "reasoningContent"));
    add_json(f, HIST_TEXT, content);
}

/* ---- the tree ---- */

/* Puts the message below what stands before it, if there is anything in it. */
static int put(struct foreign *in, struct found *f, int64_t session, double otherwise)
{
    int64_t model;
    if (!f->n_parts)
        return 0;
    if (f->role == HIST_SYSTEM) { /* the session's, with us; of several the first counts */
        for (size_t i = 0; i < f->n_parts && !in->system; i++)
            if (f->parts[i].kind == HIST_TEXT && strlen(f->parts[i].text) == f->parts[i].n)
                in->system = f->parts[i].text;
        return 0;
    }
    int64_t before = f->node;
    int rc = hist_node_put(in->h, session, before, f->role, HIST_FINAL, (int64_t)(f->ms > 0 ? f->ms : otherwise), f->parts, f->n_parts, &f->node,
                           in->err);
    f->put = rc == 0;
    if (rc || !f->model || !*f->model || f->role != HIST_ASSISTANT)
        return rc;
    rc = hist_model_put(in->h, &(struct hist_model){.name = f->model}, &model, in->err);
    return rc ? rc : hist_gen_put(in->h, f->node, &(struct hist_gen){.model_id = model}, in->err);
}

/* Parents before children, the older child first: an explicit stack. */
static int put_all(struct foreign *in, int64_t session, double otherwise, size_t *n_seen)
{
    size_t *stack = mem_array(in->n + 1, sizeof *stack), depth = 0;
    int rc = 0;
    for (size_t i = in->n; i-- > 0;) {
        struct found *f = &in->at[i];
        const json_t *p = f->parent ? json_object_get(in->place, f->parent) : NULL;
        if (p) {
            struct found *above = &in->at[json_integer_value(p)];
            f->next = above->first;
            above->first = i + 1;
        } else {
            stack[depth++] = i;
        }
    }
    while (rc == 0 && depth) {
        struct found *f = &in->at[stack[--depth]];
        size_t from = depth;
        ++*n_seen;
        rc = put(in, f, session, otherwise);
        for (size_t k = f->first; k; k = in->at[k - 1].next) {
            in->at[k - 1].node = f->node;
            stack[depth++] = k - 1;
        }
        for (size_t i = from, j = depth; i + 1 < j; i++) {
            size_t x = stack[i];
            stack[i] = stack[--j];
            stack[j] = x;
        }
    }
    free(stack);
    return rc;
}

static int put_session(struct foreign *in, const char *title, double created, double updated, const char *current)
{
    int64_t id, head = 0;
    size_t seen = 0;
    double first = created;
    for (size_t i = 0; i < in->n; i++)
        if (in->at[i].ms > 0 && (first <= 0 || in->at[i].ms < first))
            first = in->at[i].ms;
    created = created > 0 ? created : first;
    updated = updated > created ? updated : created;
    struct hist_session s = {.title = (char *)(uintptr_t)(title ? title : ""), .title_src = (char *)(uintptr_t)(title && *title ? "user" : "auto"),
                             .created_ms = (int64_t)created, .updated_ms = (int64_t)updated};
    int rc = hist_session_put(in->h, &s, &id, in->err);
    if (rc == 0)
        rc = put_all(in, id, created, &seen);
    if (rc == 0 && in->system)
        rc = hist_session_set_system(in->h, id, in->system, in->err);
    if (rc == 0 && seen != in->n)
        rc = err_set(in->err, ERR_INPUT, "%zu of its messages hang on each other, none on a first one", in->n - seen);
    const json_t *place = current ? json_object_get(in->place, current) : NULL;
    if (place)
        head = in->at[json_integer_value(place)].node;
    for (size_t i = in->n; !head && i-- > 0;)
        if (in->at[i].put)
            head = in->at[i].node;
    return rc == 0 && head ? hist_head_set(in->h, id, head, in->err) : rc;
}

static void foreign_finish(struct foreign *in)
{
    for (size_t i = 0; i < in->n; i++) {
        for (size_t k = 0; k < in->at[i].n_parts; k++)
            free(in->at[i].parts[k].text);
        free(in->at[i].parts);
    }
    free(in->at);
    free(in->numbers);
    json_decref(in->place);
}

static int too_many(struct foreign *in, size_t n)
{
    return err_set(in->err, ERR_INPUT, "it has %zu messages, more than %d", n, MAX_NODES);
}

static int read_chatgpt(struct foreign *in, const json_t *j)
{
    const json_t *mapping = json_object_get(j, "mapping");
    const char *key;
    json_t *value;
    if (!json_is_object(mapping))
        return err_set(in->err, ERR_INPUT, "\"mapping\" is not an object");
    if (json_object_size(mapping) > MAX_NODES)
        return too_many(in, json_object_size(mapping));
    in->at = mem_zalloc((json_object_size(mapping) + 1) * sizeof *in->at);
    json_object_foreach((json_t *)(uintptr_t)mapping, key, value) {
        json_object_set_new(in->place, key, json_integer((json_int_t)in->n));
        in->at[in->n].key = key;
        chatgpt_node(&in->at[in->n++], value);
    }
    const char *current = string_of(j, "current_node");
    return put_session(in, string_of(j, "title"), number_of(j, "create_time", 1000), number_of(j, "update_time", 1000), current);
}

static int read_llama(struct foreign *in, const json_t *j)
{
    const json_t *conv = json_object_get(j, "conv"), *messages = json_object_get(j, "messages");
    size_t n = json_array_size(messages);
    if (!json_is_object(conv) || !json_is_array(messages))
        return err_set(in->err, ERR_INPUT, "\"conv\" is not an object, or \"messages\" not a list");
    if (n > MAX_NODES)
        return too_many(in, n);
    in->at = mem_zalloc((n + 1) * sizeof *in->at);
    in->numbers = mem_zalloc((2 * n + 2) * sizeof *in->numbers);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(messages, i);
        const char *key = key_of(in, json_object_get(m, "id"));
        if (!key)
            return err_set(in->err, ERR_INPUT, "message %zu has no \"id\"", i + 1);
        if (json_object_get(in->place, key))
            return err_set(in->err, ERR_INPUT, "message %zu has the \"id\" of another", i + 1);
        json_object_set_new(in->place, key, json_integer((json_int_t)in->n));
        in->at[in->n].key = key;
        llama_node(in, &in->at[in->n++], m);
    }
    const char *current = key_of(in, json_object_get(conv, "currNode"));
    return put_session(in, string_of(conv, "name"), 0, number_of(conv, "lastModified", 1), current);
}

bool import_is_foreign(const json_t *j)
{
    return json_object_get(j, "mapping") || json_object_get(j, "conv");
}

int import_foreign(struct hist *h, const json_t *j, struct err *err)
{
    struct foreign in = {.h = h, .err = err, .place = json_object()};
    int rc = json_object_get(j, "mapping") ? read_chatgpt(&in, j) : read_llama(&in, j);
    foreign_finish(&in);
    return rc;
}
