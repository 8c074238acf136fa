/*
 * hadal tokenize: text to token ids, and hadal detokenize: ids to bytes. The tokenizer alone is opened: files that hold only a vocabulary
 * are enough.
 */
#include "config.h"
#include "app/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct tokenizing {
    bool help, special, jsonl;
    char *model;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct tokenizing),
    {.name = "special", .kind = OPT_FLAG, .at = offsetof(struct tokenizing, special), .help = "special tokens in the text are parsed"},
    {.name = "jsonl", .kind = OPT_FLAG, .at = offsetof(struct tokenizing, jsonl),
     .help = "an object {\"text\" or \"bytes_hex\", \"special\"} a line in, {\"ids\"} a line out"},
    OPT_ROW_HELP(struct tokenizing),
    {.name = NULL},
};

static const struct opt opts_back[] = {
    OPT_ROW_MODEL(struct tokenizing),
    {.name = "special", .kind = OPT_FLAG, .at = offsetof(struct tokenizing, special), .help = "special tokens are written, too"},
    OPT_ROW_HELP(struct tokenizing),
    {.name = NULL},
};

static bool from_hex(const char *s, size_t n, struct buf *out)
{
    if (n % 2)
        return false;
    for (size_t i = 0; i < n; i += 2) {
        int v = 0;
        for (size_t k = i; k < i + 2; k++) {
            if (!isxdigit((unsigned char)s[k]))
                return false;
            int c = tolower((unsigned char)s[k]);
            v = v * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
        }
        buf_addch(out, (char)v);
    }
    return true;
}

static void put_ids(struct buf *out, const struct tok_ids *ids, const char *between)
{
    for (size_t i = 0; i < ids->n; i++)
        buf_addf(out, "%s%" PRId32, i ? between : "", ids->id[i]);
}

/* One line of --jsonl. */
static int one_object(const struct tok *t, const char *line, size_t n, size_t number, bool special, struct buf *out, struct err *err)
{
    json_error_t je;
    json_t *j = json_loadb(line, n, JSON_ALLOW_NUL, &je);
    json_t *text = json_object_get(j, "text"), *hex = json_object_get(j, "bytes_hex"), *sp = json_object_get(j, "special");
    struct buf bytes = BUF_INIT(SIZE_MAX);
    int rc = 0;
    if (!j)
        rc = err_set(err, ERR_INPUT, "line %zu is no JSON object: %s", number, je.text);
    else if (json_is_string(text))
        buf_add(&bytes, json_string_value(text), json_string_length(text));
    else if (!json_is_string(hex) || !from_hex(json_string_value(hex), json_string_length(hex), &bytes))
        rc = err_set(err, ERR_INPUT, "line %zu has neither \"text\" nor \"bytes_hex\" (pairs of hexadecimal digits)", number);
    if (!rc) {
        struct tok_ids ids = {0};
        tok_encode(t, buf_str(&bytes), bytes.len, (sp ? json_is_true(sp) : special) ? TOK_SPECIAL : 0, NULL, 0, &ids);
        buf_addstr(out, "{\"ids\":[");
        put_ids(out, &ids, ",");
        buf_addstr(out, "]}\n");
        free(ids.id);
    }
    buf_finish(&bytes);
    json_decref(j);
    return rc;
}

static int objects(const struct tok *t, const struct buf *in, bool special, struct buf *out, struct err *err)
{
    const char *p = buf_str(in), *end = p + in->len;
    for (size_t number = 1; p < end; number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        if (n && strspn(p, " \t\r") < n) {
            int rc = one_object(t, p, n, number, special, out, err);
            if (rc)
                return rc;
        }
        p += n + 1;
    }
    return 0;
}

static void one_text(const struct tok *t, const struct buf *in, bool special, struct buf *out)
{
    struct tok_ids ids = {0};
    tok_encode(t, buf_str(in), in->len, special ? TOK_SPECIAL : 0, NULL, 0, &ids);
    put_ids(out, &ids, " ");
    buf_addch(out, '\n');
    free(ids.id);
}

/* Ids between white space, commas and brackets. */
static int read_ids(const struct tok *t, const struct buf *in, struct tok_ids *ids, struct err *err)
{
    for (const char *p = buf_str(in), *end = p + in->len; p < end;) {
        if (isspace((unsigned char)*p) || strchr(",[]", *p ? *p : 'x')) {
            p++;
            continue;
        }
        char *after;
        errno = 0;
        long long id = isdigit((unsigned char)*p) ? strtoll(p, &after, 10) : -1;
        if (id < 0)
            return err_set(err, ERR_INPUT, "'%.20s' is no token id", p);
        if (errno || id >= tok_count(t))
            return err_set(err, ERR_INPUT, "token %.20s is not in the vocabulary (0 to %d)", p, tok_count(t) - 1);
        tok_ids_add(ids, (int32_t)id);
        p = after;
    }
    return 0;
}

static int bytes_of_ids(const struct tok *t, const struct buf *in, bool special, struct buf *out, struct err *err)
{
    struct tok_ids ids = {0};
    int rc = read_ids(t, in, &ids, err);
    if (!rc)
        tok_decode_all(t, ids.id, ids.n, special, out);
    free(ids.id);
    return rc;
}

static int run_both(const struct cmd *c, int argc, char **argv)
{
    struct tokenizing o = {0};
    struct words w;
    int status;
    if (cmd_args(c, &o, argc, argv, &w, 0, 0, &status)) {
        struct gguf *g = NULL;
        struct tok *t = NULL;
        struct buf in = {0}, out = BUF_INIT(SIZE_MAX);
        struct err e;
        int rc = cmd_gguf(o.model, &g, &e);
        if (!rc)
            rc = tok_open(g, &t, &e);
        if (!rc)
            rc = cmd_stdin(&in, &e);
        if (!rc && c == &cmd_detokenize)
            rc = bytes_of_ids(t, &in, o.special, &out, &e);
        else if (!rc && o.jsonl)
            rc = objects(t, &in, o.special, &out, &e);
        else if (!rc)
            one_text(t, &in, o.special, &out);
        /* What was made before a bad line is given, then the line is named. */
        status = cmd_out(&out);
        if (rc)
            status = report(&e);
        buf_finish(&in);
        tok_close(t);
        gguf_close(g);
    }
    cmd_done(c, &o, &w);
    return status;
}

static int run(int argc, char **argv)
{
    return run_both(&cmd_tokenize, argc, argv);
}

static int run_back(int argc, char **argv)
{
    return run_both(&cmd_detokenize, argc, argv);
}

const struct cmd cmd_tokenize = {.name = "tokenize", .args = "", .help = "turn standard input into token ids, on one line", .opts = opts, .run = run,
                                 .more = "No token is added at the beginning or the end. A file that holds only a vocabulary is enough."};
const struct cmd cmd_detokenize = {.name = "detokenize", .args = "", .help = "turn token ids on standard input into bytes", .opts = opts_back,
                                   .run = run_back, .more = "Ids stand between white space, commas or brackets."};
