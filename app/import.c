/*
 * Reads the JSON that export.c writes (its form stands there), from anyone: every member is looked at before it is used, and all of it is one
 * transaction. Members that are not known are passed over, so that a later version can add some. What does not fit is refused
 * with its place: "session 2, message 7: ...".
 */
#include "config.h"
#include "app/app.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/import.h"
#include "app/jtext.h"
#include "base/mem.h"
#include "base/num.h"

#define MAX_DEPTH 64
#define MAX_SESSIONS 100000
#define MAX_NODES 1000000 /* of a session */
#define MAX_PARTS 1000    /* of a message */
#define MAX_MODELS 10000
#define MAX_MS 253402300799999 /* the year 9999 */

struct import {
    struct hist *h;
    struct err *err;
    size_t session, node; /* where we are, from 1; 0: not in one */
};

static int refuse(struct import *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct import *in, const char *fmt, ...)
{
    char text[240];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (in->node)
        return err_set(in->err, ERR_INPUT, "session %zu, message %zu: %s", in->session, in->node, text);
    if (in->session)
        return err_set(in->err, ERR_INPUT, "session %zu: %s", in->session, text);
    return err_set(in->err, ERR_INPUT, "%s", text);
}

/* ---- members ---- */

/* A whole number in a range; one that is missing or null is `none`. */
static int get_int(struct import *in, const json_t *j, const char *name, int64_t min, int64_t max, int64_t none, int64_t *out)
{
    const json_t *v = json_object_get(j, name);
    *out = none;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return refuse(in, "\"%s\" is not a whole number from %lld to %lld", name, (long long)min, (long long)max);
    *out = json_integer_value(v);
    return 0;
}

static int get_count(struct import *in, const json_t *j, const char *name, int *out)
{
    int64_t v;
    int rc = get_int(in, j, name, 0, INT_MAX, 0, &v);
    *out = (int)v;
    return rc;
}

static int get_real(struct import *in, const json_t *j, const char *name, double *out)
{
    const json_t *v = json_object_get(j, name);
    *out = 0;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_number(v) || !(json_number_value(v) >= 0) || !isfinite(json_number_value(v)))
        return refuse(in, "\"%s\" is not a number of milliseconds", name);
    *out = json_number_value(v);
    return 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A text that may be given as bytes. NULL when there is none; owned by the caller. */
static int get_bytes(struct import *in, const json_t *j, const char *name, char **out, size_t *n)
{
    const json_t *v = json_object_get(j, name), *hex = json_object_get(v, "bytes_hex");
    *out = NULL;
    *n = 0;
    if (!v || json_is_null(v))
        return 0;
    if (json_is_string(v)) {
        *n = json_string_length(v);
        *out = mem_strndup(json_string_value(v), *n);
        return 0;
    }
    if (!json_is_string(hex) || json_string_length(hex) % 2)
        return refuse(in, "\"%s\" is neither a string nor {\"bytes_hex\": \"...\"}", name);
    const char *s = json_string_value(hex);
    *n = json_string_length(hex) / 2;
    char *to = mem_alloc(*n + 1);
    for (size_t i = 0; i < *n; i++) {
        int high = digit(s[2 * i]), low = digit(s[2 * i + 1]);
        if (high < 0 || low < 0) {
            free(to);
            return refuse(in, "\"%s\" has a bad digit in its \"bytes_hex\"", name);
        }
        to[i] = (char)(high << 4 | low);
    }
    to[*n] = 0;
    *out = to;
    return 0;
}

/* As get_bytes, without NUL bytes. */
static int get_text(struct import *in, const json_t *j, const char *name, char **out)
{
    size_t n;
    int rc = get_bytes(in, j, name, out, &n);
    if (rc == 0 && *out && strlen(*out) != n) {
        free(*out);
        *out = NULL;
        rc = refuse(in, "\"%s\" has a NUL byte in it", name);
    }
    return rc;
}

/* The number of a word; missing: `none`, -1: must be there. */
static int get_word(struct import *in, const json_t *j, const char *name, const char *(*word)(int), int none, int *out)
{
    const json_t *v = json_object_get(j, name);
    *out = none;
    if (!v && none >= 0)
        return 0;
    for (int i = 0; json_is_string(v) && word(i); i++)
        if (strcmp(word(i), json_string_value(v)) == 0) {
            *out = i;
            return 0;
        }
    return refuse(in, "\"%s\" is %s%.60s%s", name, json_is_string(v) ? "the unknown \"" : v ? "not a string" : "missing",
                  json_is_string(v) ? json_string_value(v) : "", json_is_string(v) ? "\"" : "");
}

/* An object, as text; owned by the caller. */
static int get_object(struct import *in, const json_t *j, const char *name, char **out)
{
    const json_t *v = json_object_get(j, name);
    *out = NULL;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_object(v))
        return refuse(in, "\"%s\" is not an object", name);
    *out = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(17));
    return 0;
}

static int get_list(struct import *in, const json_t *j, const char *name, size_t max, const json_t **out)
{
    *out = json_object_get(j, name);
    if (*out && !json_is_array(*out))
        return refuse(in, "\"%s\" is not a list", name);
    if (json_array_size(*out) > max)
        return refuse(in, "\"%s\" has %zu entries, more than %zu", name, json_array_size(*out), max);
    return 0;
}

/* ---- a session ---- */

static int read_models(struct import *in, const json_t *list, int64_t *id)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *j = json_array_get(list, i);
        char *name = NULL, *fingerprint = NULL, *arch = NULL, *quant = NULL, *sha = NULL;
        int ctx = 0;
        if (!json_is_object(j))
            rc = refuse(in, "model %zu is not an object", i);
        if (!rc && !(rc = get_text(in, j, "name", &name)) && !(rc = get_text(in, j, "fingerprint", &fingerprint)) &&
            !(rc = get_text(in, j, "arch", &arch)) && !(rc = get_text(in, j, "quant", &quant)) &&
            !(rc = get_text(in, j, "template_sha", &sha)) && !(rc = get_count(in, j, "ctx_train", &ctx)))
            rc = !name ? refuse(in, "model %zu has no \"name\"", i) :
                         hist_model_put(in->h, &(struct hist_model){name, NULL, fingerprint, arch, quant, sha, ctx}, &id[i], in->err);
        free(name);
        free(fingerprint);
        free(arch);
        free(quant);
        free(sha);
    }
    return rc;
}

static int get_seed(struct import *in, const json_t *j, uint64_t *out)
{
    const json_t *v = json_object_get(j, "seed");
    *out = 0;
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        *out = (uint64_t)json_integer_value(v);
    else if (v && (!json_is_string(v) || !num_parse_u64(json_string_value(v), out)))
        return refuse(in, "\"seed\" is not a whole number of 64 bits");
    return 0;
}

static int read_gen(struct import *in, const json_t *j, const int64_t *model, size_t n_models, int64_t node)
{
    struct hist_gen g = {0};
    char *params = NULL, *backend = NULL, *engine = NULL, *stop = NULL, *error = NULL;
    int64_t place = -1;
    int rc = json_is_object(j) ? 0 : refuse(in, "\"generation\" is not an object");
    if (!rc && !(rc = get_int(in, j, "model", 0, (int64_t)n_models - 1, -1, &place)) && !(rc = get_object(in, j, "params", &params)) &&
        !(rc = get_seed(in, j, &g.seed)) && !(rc = get_text(in, j, "backend", &backend)) && !(rc = get_text(in, j, "engine", &engine)) &&
        !(rc = get_count(in, j, "n_prompt", &g.n_prompt)) && !(rc = get_count(in, j, "n_cached", &g.n_cached)) &&
        !(rc = get_count(in, j, "n_reason", &g.n_reason)) && !(rc = get_count(in, j, "n_out", &g.n_out)) &&
        !(rc = get_real(in, j, "load_ms", &g.load_ms)) && !(rc = get_real(in, j, "prefill_ms", &g.prefill_ms)) &&
        !(rc = get_real(in, j, "ttft_ms", &g.ttft_ms)) && !(rc = get_real(in, j, "decode_ms", &g.decode_ms)) &&
        !(rc = get_text(in, j, "stop", &stop)) && !(rc = get_text(in, j, "error", &error))) {
        g.model_id = place >= 0 ? model[place] : 0;
        g.params = params;
        g.backend = backend;
        g.engine = engine;
        g.stop = stop;
        g.error = error;
        rc = hist_gen_put(in->h, node, &g, in->err);
    }
    free(params);
    free(backend);
    free(engine);
    free(stop);
    free(error);
    return rc;
}

static int read_parts(struct import *in, const json_t *list, struct hist_part *part, size_t *n)
{
    int rc = 0, kind;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *j = json_array_get(list, i);
        rc = json_is_object(j) ? get_word(in, j, "kind", hist_kind_name, HIST_TEXT, &kind) : refuse(in, "part %zu is not an object", i + 1);
        if (rc == 0)
            rc = get_bytes(in, j, "text", &part[i].text, &part[i].n);
        if (rc != 0)
            break;
        part[i].kind = (enum hist_kind)kind;
        *n = i + 1;
        if (!part[i].text)
            rc = refuse(in, "part %zu has no \"text\"", i + 1);
    }
    return rc;
}

/* Ids of the file rise; what they became stands at the same place. */
struct ids {
    int64_t *file, *node;
    size_t n;
};

static int64_t find(const struct ids *ids, int64_t id)
{
    size_t low = 0, high = ids->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ids->file[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ids->n && ids->file[low] == id ? ids->node[low] : 0;
}

static int read_node(struct import *in, const json_t *j, int64_t session, const int64_t *model, size_t n_models, struct ids *ids)
{
    int64_t id, parent, created, node = 0, below = 0;
    int role, state;
    const json_t *list, *gen = json_object_get(j, "generation");
    if (!json_is_object(j))
        return refuse(in, "it is not an object");
    int rc = get_int(in, j, "id", 1, INT64_MAX, 0, &id);
    if (!rc && (!id || (ids->n && id <= ids->file[ids->n - 1])))
        rc = refuse(in, "its \"id\" is not larger than the one before");
    if (!rc)
        rc = get_int(in, j, "parent", 1, INT64_MAX, 0, &parent);
    if (!rc && parent && !(below = find(ids, parent)))
        rc = refuse(in, "its parent %lld does not stand before it", (long long)parent);
    if (rc || (rc = get_word(in, j, "role", hist_role_name, -1, &role)) || (rc = get_word(in, j, "state", hist_state_name, HIST_FINAL, &state)) ||
        (rc = get_int(in, j, "created_ms", 0, MAX_MS, 0, &created)) || (rc = get_list(in, j, "parts", MAX_PARTS, &list)))
        return rc;
    size_t n = 0;
    struct hist_part *part = mem_array(json_array_size(list), sizeof *part);
    rc = read_parts(in, list, part, &n);
    if (rc == 0) /* nobody is writing the copy */
        rc = hist_node_put(in->h, session, below, (enum hist_role)role, state == HIST_STREAMING ? HIST_INTERRUPTED : (enum hist_state)state, created,
                           part, n, &node, in->err);
    if (rc == 0 && gen && !json_is_null(gen))
        rc = read_gen(in, gen, model, n_models, node);
    for (size_t i = 0; i < n; i++)
        free(part[i].text);
    free(part);
    ids->file[ids->n] = id;
    ids->node[ids->n++] = node;
    return rc;
}

static const char *title_src(int i)
{
    static const char *const word[] = {"auto", "model", "user"};
    return i >= 0 && i < 3 ? word[i] : NULL;
}

/* The head of the session: title, times, settings. */
static int read_session(struct import *in, const json_t *j, int64_t *id)
{
    struct hist_session s = {0};
    const json_t *pinned = json_object_get(j, "pinned");
    int src, rc;
    if (pinned && !json_is_boolean(pinned))
        return refuse(in, "\"pinned\" is not true or false");
    s.pinned = json_is_true(pinned);
    if (!(rc = get_text(in, j, "title", &s.title)) && !(rc = get_word(in, j, "title_src", title_src, 0, &src)) &&
        !(rc = get_text(in, j, "system", &s.system)) && !(rc = get_object(in, j, "params", &s.params)) &&
        !(rc = get_text(in, j, "draft", &s.draft)) && !(rc = get_int(in, j, "created_ms", 0, MAX_MS, 0, &s.created_ms)) &&
        !(rc = get_int(in, j, "updated_ms", 0, MAX_MS, s.created_ms, &s.updated_ms)) &&
        !(rc = get_int(in, j, "archived_ms", 0, MAX_MS, 0, &s.archived_ms))) {
        s.title_src = mem_strdup(title_src(src));
        rc = hist_session_put(in->h, &s, id, in->err);
    }
    hist_session_finish(&s);
    return rc;
}

static int import_one(struct import *in, const json_t *j)
{
    int64_t version, head, session;
    const json_t *format = json_object_get(j, "format"), *models, *nodes;
    if (import_is_foreign(j)) {
        struct err e;
        int rc = import_foreign(in->h, j, &e);
        return rc == ERR_INPUT ? refuse(in, "%s", e.msg) : rc ? err_set(in->err, e.code, "%s", e.msg) : 0;
    }
    if (!json_is_object(j) || !json_is_string(format) || strcmp(json_string_value(format), "hadal") != 0)
        return refuse(in, "not a session that hadal exported (no \"format\": \"hadal\"), nor one of ChatGPT or llama.cpp");
    int rc = get_int(in, j, "version", 1, INT64_MAX, 0, &version);
    if (!rc && version != 1)
        rc = version ? refuse(in, "written in version %lld of the format, and this hadal knows 1", (long long)version) : refuse(in, "it has no \"version\"");
    if (rc || (rc = get_list(in, j, "models", MAX_MODELS, &models)) || (rc = get_list(in, j, "nodes", MAX_NODES, &nodes)) ||
        (rc = get_int(in, j, "head", 1, INT64_MAX, 0, &head)) || (rc = read_session(in, j, &session)))
        return rc;
    size_t n_models = json_array_size(models), n = json_array_size(nodes);
    int64_t *model = mem_array(n_models, sizeof *model);
    struct ids ids = {mem_array(n, sizeof *ids.file), mem_array(n, sizeof *ids.node), 0};
    rc = read_models(in, models, model);
    for (in->node = 1; rc == 0 && in->node <= n; in->node++)
        rc = read_node(in, json_array_get(nodes, in->node - 1), session, model, n_models, &ids);
    in->node = 0;
    if (rc == 0 && head)
        rc = find(&ids, head) ? hist_head_set(in->h, session, find(&ids, head), in->err) :
                                refuse(in, "its head %lld is none of its messages", (long long)head);
    free(model);
    free(ids.file);
    free(ids.node);
    return rc;
}

/* ---- the whole ---- */

/* How deep brackets nest, without trusting anything. */
static int depth(const char *s, size_t n)
{
    int at = 0, most = 0;
    bool string = false;
    for (size_t i = 0; i < n; i++) {
        if (string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                string = false;
        } else if (s[i] == '"') {
            string = true;
        } else if (s[i] == '{' || s[i] == '[') {
            most = ++at > most ? at : most;
        } else if (s[i] == '}' || s[i] == ']') {
            at--;
        }
    }
    return most;
}

int import_sessions(struct hist *h, const char *json, size_t len, int *n, struct err *err)
{
    struct import in = {h, err, 0, 0};
    json_error_t bad;
    if (depth(json, len) > MAX_DEPTH)
        return refuse(&in, "not an export: nested deeper than %d levels", MAX_DEPTH);
    json_t *all = json_loadb(json, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &bad);
    if (!all)
        return refuse(&in, "not JSON: line %d, column %d: %.100s", bad.line, bad.column, bad.text);
    size_t count = json_is_array(all) ? json_array_size(all) : 1;
    int rc = count > MAX_SESSIONS ? refuse(&in, "%zu sessions, more than %d", count, MAX_SESSIONS) : hist_begin(h, err);
    if (rc == 0) {
        for (in.session = 1; rc == 0 && in.session <= count; in.session++)
            rc = import_one(&in, json_is_array(all) ? json_array_get(all, in.session - 1) : all);
        if (rc == 0)
            rc = hist_commit(h, err);
        else
            hist_rollback(h);
    }
    json_decref(all);
    if (rc == 0)
        *n = (int)count;
    return rc;
}
