/*
 * hadal logits: what the model says of every position, for tests and experiments.
 */
#include "config.h"
#include "app/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "model/model.h"
#include "ui/line.h"

struct logits {
    bool help, raw;
    char *model, *tokens, *kv;
    int chunk, last, n_ctx, n_threads;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct logits),
    {.name = "tokens", .kind = OPT_TEXT, .at = offsetof(struct logits, tokens), .arg = "1,2,3", .help = "the ids"},
    {.name = "chunk", .kind = OPT_INT, .at = offsetof(struct logits, chunk), .min = 1, .max = 1 << 20, .arg = "N",
     .help = "read N tokens at a time (512)"},
    {.name = "last", .kind = OPT_INT, .at = offsetof(struct logits, last), .max = 1 << 24, .arg = "N", .help = "only the last N positions (0: all)"},
    {.name = "ctx", .kind = OPT_INT, .at = offsetof(struct logits, n_ctx), .max = 1 << 24, .arg = "N",
     .help = "context in tokens (0: the model's, at most 4096)"},
    {.name = "threads", .letter = 't', .kind = OPT_INT, .at = offsetof(struct logits, n_threads), .max = 1024, .arg = "N",
     .help = "compute threads (0: one per core)"},
    {.name = "kv", .kind = OPT_TEXT, .at = offsetof(struct logits, kv), .arg = "f32|f16", .complete = "f32 f16", .help = "what the cache holds (f32)"},
    {.name = "raw", .kind = OPT_FLAG, .at = offsetof(struct logits, raw), .help = "rows of little-endian float32 instead of JSON"},
    OPT_ROW_HELP(struct logits),
    {.name = NULL},
};

static int parse_tokens(const char *text, int n_vocab, struct tok_ids *out, struct err *err)
{
    struct buf one = BUF_INIT(64);
    int rc = 0;
    for (const char *p = text; !rc; p++) {
        size_t n = strcspn(p, ",");
        uint64_t id;
        buf_reset(&one);
        buf_add(&one, p, n);
        if (!num_parse_u64(buf_str(&one), &id))
            rc = err_set(err, ERR_USAGE, "--tokens takes ids with commas between them, not '%.40s'", p);
        else if (id >= (uint64_t)n_vocab)
            rc = err_set(err, ERR_USAGE, "token %" PRIu64 " is not in the vocabulary (0 to %d)", id, n_vocab - 1);
        else
            tok_ids_add(out, (int32_t)id);
        p += n;
        if (!*p)
            break;
    }
    buf_finish(&one);
    return rc;
}

struct rows {
    int n_vocab, from; /* positions before `from` are not printed */
    bool raw, failed, any;
    struct buf b;
};

static void put_row(void *arg, int pos, const float *x)
{
    struct rows *r = arg;
    if (pos < r->from || r->failed)
        return;
    buf_reset(&r->b);
    if (r->raw) { /* the machines that this is built for are little-endian */
        buf_add(&r->b, x, (size_t)r->n_vocab * sizeof *x);
    } else {
        buf_addstr(&r->b, r->any ? ",\n[" : "{\"logits\":[\n[");
        for (int i = 0; i < r->n_vocab; i++) {
            if (isfinite(x[i]))
                buf_addf(&r->b, "%s%.9g", i ? "," : "", (double)x[i]);
            else
                buf_addf(&r->b, "%snull", i ? "," : "");
        }
        buf_addch(&r->b, ']');
    }
    r->any = true;
    r->failed = !term_raw(TERM_OUT, buf_str(&r->b), r->b.len);
}

static int eval(struct model *m, const struct logits *o, const struct tok_ids *ids, struct err *err)
{
    struct session *s = NULL;
    struct session_conf sc = {.n_ctx = o->n_ctx, .kv = o->kv && !strcmp(o->kv, "f16") ? BK_KV_F16 : BK_KV_F32};
    int rc = session_create(m, &sc, &s, err);
    struct rows r = {.n_vocab = model_info(m)->n_vocab, .from = o->last ? (int)ids->n - o->last : 0, .raw = o->raw, .b = BUF_INIT(SIZE_MAX)};
    if (!rc)
        rc = session_eval(s, ids->id, (int)ids->n, o->chunk, put_row, &r, err);
    if (!rc && !r.raw && !r.failed)
        r.failed = !term_raw(TERM_OUT, "\n]}\n", 4);
    if (!rc && r.failed && errno != EPIPE)
        rc = err_sys(err, ERR_IO, "cannot write to standard output");
    buf_finish(&r.b);
    session_destroy(s);
    return rc;
}

static int logits(const struct logits *o)
{
    struct conf c;
    struct err e;
    struct model *m = NULL;
    struct tok_ids ids = {0};
    char *path = NULL;
    int status;
    if (!o->tokens || (o->kv && strcmp(o->kv, "f32") && strcmp(o->kv, "f16"))) {
        err_set(&e, ERR_USAGE, o->tokens ? "--kv takes f32 or f16" : "--tokens is missing");
        return cmd_usage(&cmd_logits, &e);
    }
    cmd_conf(&c);
    int rc = conf_model_path(o->model ? o->model : c.model, &path, &e);
    if (!rc)
        rc = model_open(path, &(struct model_conf){.n_threads = o->n_threads, .n_ctx = o->n_ctx}, &m, &e);
    if (!rc)
        rc = parse_tokens(o->tokens, model_info(m)->n_vocab, &ids, &e);
    if (!rc)
        rc = eval(m, o, &ids, &e);
    status = rc ? report(&e) : 0;
    free(ids.id);
    free(path);
    model_close(m);
    conf_finish(&c);
    return status;
}

static int run(int argc, char **argv)
{
    struct logits o = {.chunk = 512};
    struct words w;
    int status;
    if (cmd_args(&cmd_logits, &o, argc, argv, &w, 0, 0, &status))
        status = logits(&o);
    cmd_done(&cmd_logits, &o, &w);
    return status;
}

const struct cmd cmd_logits = {.name = "logits", .args = "", .help = "print the model's logits behind each of the given tokens", .opts = opts, .run = run};
