/*
 * hadal bench: how fast a model is read and written here.
 *
 * ppN reads N random tokens, tgN feeds N random tokens one at a time; "@D": with D tokens in the cache before. Filling the cache is fillD.
 * --json prints an object a test, {"test","n_prompt","n_gen","depth","threads","ts":[tokens per second ...]}, behind a first {"load_s"}.
 * --paced is for running two programs in turn: before each repetition {"ready": test} is written and a line on stdin waited for, behind it
 * comes {"test","ts":[one]}; nothing is computed in between.
 */
#include "config.h"
#include "app/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/ginfo.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/model.h"
#include "ui/line.h"

#define MAX_LIST 32
#define MAX_TOKENS (1 << 24)
#define WARM_UP 16

struct bench {
    bool help, json, paced;
    char *model, *prompts, *gens, *depths;
    int n_threads, repeats;
};

static const struct opt opts[] = {
    OPT_ROW_MODEL(struct bench),
    {.name = "prompt", .letter = 'p', .kind = OPT_TEXT, .at = offsetof(struct bench, prompts), .arg = "N,...", .help = "tokens to read (512; 0: none)"},
    {.name = "gen", .letter = 'n', .kind = OPT_TEXT, .at = offsetof(struct bench, gens), .arg = "N,...", .help = "tokens to write (128; 0: none)"},
    {.name = "depth", .letter = 'd', .kind = OPT_TEXT, .at = offsetof(struct bench, depths), .arg = "N,...",
     .help = "tokens in the cache before (0)"},
    {.name = "threads", .letter = 't', .kind = OPT_INT, .at = offsetof(struct bench, n_threads), .max = 1024, .arg = "N",
     .help = "compute threads (0: one per core)"},
    {.name = "repeat", .letter = 'r', .kind = OPT_INT, .at = offsetof(struct bench, repeats), .min = 1, .max = 1000, .arg = "N",
     .help = "repetitions of each test (3)"},
    {.name = "json", .kind = OPT_FLAG, .at = offsetof(struct bench, json), .help = "one JSON object a test"},
    {.name = "paced", .kind = OPT_FLAG, .at = offsetof(struct bench, paced), .help = "wait for a line on standard input before each repetition"},
    OPT_ROW_HELP(struct bench),
    {.name = NULL},
};

struct list {
    int at[MAX_LIST];
    int n;
};

struct work {
    const struct bench *o;
    struct model *m;
    struct session *s;
    int32_t *tokens; /* the timeline */
    uint64_t rng;
    struct err err;
};

static int parse_list(const char *name, const char *text, bool zero, struct list *out, struct err *err)
{
    struct buf one = BUF_INIT(64);
    int rc = 0;
    for (const char *p = text; !rc; p++) {
        size_t n = strcspn(p, ",");
        uint64_t v;
        buf_reset(&one);
        buf_add(&one, p, n);
        if (!num_parse_u64(buf_str(&one), &v) || v > MAX_TOKENS)
            rc = err_set(err, ERR_USAGE, "--%s takes numbers up to %d with commas between them, not '%.40s'", name, MAX_TOKENS, text);
        else if (out->n == MAX_LIST)
            rc = err_set(err, ERR_USAGE, "--%s takes at most %d numbers", name, MAX_LIST);
        else if (v || zero)
            out->at[out->n++] = (int)v;
        p += n;
        if (!*p)
            break;
    }
    buf_finish(&one);
    return rc;
}

static int most(const struct list *l, int least)
{
    for (int i = 0; i < l->n; i++)
        least = l->at[i] > least ? l->at[i] : least;
    return least;
}

static int32_t random_token(struct work *w)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (int32_t)((w->rng >> 16) % (uint64_t)model_info(w->m)->n_vocab);
}

/* Reads n random tokens behind what is there. */
static int read_tokens(struct work *w, int n)
{
    int have = session_len(w->s);
    for (int i = 0; i < n; i++)
        w->tokens[have + i] = random_token(w);
    return session_sync(w->s, w->tokens, have + n, NULL, NULL, NULL, &w->err);
}

static int write_tokens(struct work *w, int n)
{
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        rc = session_step(w->s, random_token(w), NULL, NULL, &w->err);
    return rc;
}

/* ---- output ---- */

static int say(struct work *w, struct buf *b)
{
    bool ok = term_raw(TERM_OUT, buf_str(b), b->len);
    buf_finish(b);
    return ok ? 0 : err_sys(&w->err, ERR_IO, "cannot write to standard output");
}

/* Waits for a line; false: stdin has ended. */
static bool go_ahead(void)
{
    char c;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        if (c == '\n')
            return true;
    }
}

/* Runs fn(n) when told to. 0 and *ts, or negative; ERR_CANCELLED: nobody tells any more. */
static int timed(struct work *w, const char *test, int (*fn)(struct work *w, int n), int n, double *ts)
{
    struct buf b = BUF_INIT(4096);
    int rc;
    if (w->o->paced) {
        buf_addf(&b, "{\"ready\": \"%s\"}\n", test);
        if ((rc = say(w, &b)))
            return rc;
        if (!go_ahead())
            return ERR_CANCELLED;
    }
    int64_t t0 = clock_mono_us();
    if ((rc = fn(w, n)))
        return rc;
    double s = (double)(clock_mono_us() - t0) / 1e6;
    *ts = n / (s > 0 ? s : 1e-6);
    if (!w->o->paced)
        return 0;
    buf_addf(&b, "{\"test\": \"%s\", \"ts\": [%.3f]}\n", test, *ts);
    return say(w, &b);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int tell(struct work *w, const char *test, int n_prompt, int n_gen, int depth, double *ts, int n)
{
    struct buf b = BUF_INIT(1 << 20);
    if (w->o->paced)
        return 0;
    if (w->o->json) {
        buf_addf(&b, "{\"test\": \"%s\", \"n_prompt\": %d, \"n_gen\": %d, \"depth\": %d, \"threads\": %d, \"ts\": [", test, n_prompt, n_gen, depth,
                 w->o->n_threads);
        for (int i = 0; i < n; i++)
            buf_addf(&b, "%s%.3f", i ? ", " : "", ts[i]);
        buf_addstr(&b, "]}\n");
    } else {
        qsort(ts, (size_t)n, sizeof *ts, by_value);
        double median = n % 2 ? ts[n / 2] : (ts[n / 2 - 1] + ts[n / 2]) / 2;
        buf_addf(&b, "%-16s %12.2f", test, median);
        if (n > 1)
            buf_addf(&b, "   %.2f to %.2f, %d runs", ts[0], ts[n - 1], n);
        buf_addch(&b, '\n');
    }
    return say(w, &b);
}

static int one_test(struct work *w, bool prompt, int n, int depth)
{
    char test[64];
    double *ts = mem_array((size_t)w->o->repeats, sizeof *ts);
    struct buf name = BUF_INIT(sizeof test - 1);
    buf_addf(&name, depth ? "%s%d@%d" : "%s%d", prompt ? "pp" : "tg", n, depth);
    int rc = 0;
    for (int r = 0; r < w->o->repeats && !rc; r++) {
        rc = timed(w, buf_str(&name), prompt ? read_tokens : write_tokens, n, &ts[r]);
        session_rewind(w->s, depth);
    }
    if (!rc)
        rc = tell(w, buf_str(&name), prompt ? n : 0, prompt ? 0 : n, depth, ts, w->o->repeats);
    buf_finish(&name);
    free(ts);
    return rc;
}

static int all_tests(struct work *w, const struct list *p, const struct list *g, const struct list *d)
{
    int rc = read_tokens(w, WARM_UP);
    for (int i = 0; i < d->n && !rc; i++) {
        int depth = d->at[i];
        session_rewind(w->s, 0);
        if (depth) {
            char test[32];
            double ts = 0;
            snprintf(test, sizeof test, "fill%d", depth);
            rc = timed(w, test, read_tokens, depth, &ts);
            if (!rc)
                rc = tell(w, test, depth, 0, 0, &ts, 1);
        }
        for (int k = 0; k < p->n && !rc; k++)
            rc = one_test(w, true, p->at[k], depth);
        for (int k = 0; k < g->n && !rc; k++)
            rc = one_test(w, false, g->at[k], depth);
    }
    return rc;
}

static int head(struct work *w, double load_s)
{
    struct buf b = BUF_INIT(65536);
    if (w->o->json || w->o->paced) {
        buf_addf(&b, "{\"load_s\": %.4f}\n", load_s);
    } else {
        const struct model_info *in = model_info(w->m);
        char params[24], bytes[24];
        ginfo_params_text(in->n_params, params);
        cmd_line(&b, in->name);
        buf_addf(&b, ", %s, %s, %s, %s\n", in->arch, params, in->quant, ram_text(in->file_bytes, bytes));
        cmd_line(&b, in->backend_text);
        buf_addf(&b, "; loaded in %.2f s\n\n%-16s %12s\n", load_s, "test", "tokens/s");
    }
    return say(w, &b);
}

static int bench(struct bench *o)
{
    struct work w = {.o = o, .rng = 0x9E3779B97F4A7C15u};
    struct list p = {.n = 0}, g = {.n = 0}, d = {.n = 0};
    struct conf c;
    char *path = NULL;
    if (parse_list("prompt", o->prompts ? o->prompts : "512", false, &p, &w.err) || parse_list("gen", o->gens ? o->gens : "128", false, &g, &w.err) ||
        parse_list("depth", o->depths ? o->depths : "0", true, &d, &w.err))
        return cmd_usage(&cmd_bench, &w.err);
    int longest = most(&g, most(&p, WARM_UP)), n_ctx = most(&d, 0) + longest + 8;
    cmd_conf(&c);
    if (!o->n_threads)
        o->n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int64_t t0 = clock_mono_us();
    int rc = conf_model_path(o->model ? o->model : c.model, &path, &w.err);
    if (!rc)
        rc = model_open(path, &(struct model_conf){.n_threads = o->n_threads, .n_ctx = n_ctx}, &w.m, &w.err);
    if (!rc)
        rc = session_create(w.m, &(struct session_conf){.n_ctx = n_ctx, .kv = BK_KV_F16}, &w.s, &w.err);
    w.tokens = mem_array((size_t)n_ctx, sizeof *w.tokens);
    if (!rc)
        rc = head(&w, (double)(clock_mono_us() - t0) / 1e6);
    if (!rc)
        rc = all_tests(&w, &p, &g, &d);
    free(w.tokens);
    session_destroy(w.s);
    model_close(w.m);
    free(path);
    conf_finish(&c);
    return rc == ERR_CANCELLED ? 0 : rc ? report(&w.err) : 0;
}

static int run(int argc, char **argv)
{
    struct bench o = {.repeats = 3};
    struct words w;
    int status;
    if (cmd_args(&cmd_bench, &o, argc, argv, &w, 0, 0, &status))
        status = bench(&o);
    cmd_done(&cmd_bench, &o, &w);
    return status;
}

const struct cmd cmd_bench = {.name = "bench", .args = "", .help = "measure how fast a model reads (pp) and writes (tg) here", .opts = opts, .run = run,
                              .more = "ppN: N tokens read at once; tgN: N tokens one by one; @D: behind D tokens; fillD: reading those."};
