/*
 * The table of options, and what reads it: command line, values, --help. See opts.h.
 *
 * A new option is one row here, one field in struct conf (app/conf.h) and one item in man/hadal.1 (a test compares the two).
 */
#include "config.h"
#include "app/opts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "app/conf.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/sampler_conf.h"

#define AT(field) .at = offsetof(struct conf, field)
#define GAVE(key) .given_at = offsetof(struct conf, gave) + SAMPLER_KEY_##key * sizeof(bool)
#define GIVEN(field) .given_at = offsetof(struct conf, field)
#define BOTH (OPT_CONFIG | OPT_SETTING)

static int check_order(const char *value, struct err *err)
{
    return sampler_order_parse(value, NULL, err);
}

static int check_biases(const char *value, struct err *err)
{
    return sampler_biases(value, NULL, err);
}

static int check_breakers(const char *value, struct err *err)
{
    return sampler_breakers(value, NULL, NULL, err);
}

const struct opt opts_main[] = {
    {.group = "Model", .name = "model", .letter = 'm', .kind = OPT_TEXT, .where = BOTH, AT(model), .arg = "MODEL", .complete = "models files",
     .help = "a GGUF file, or the name of one in models/"},
    {.name = "ctx", .kind = OPT_INT, .where = BOTH, AT(n_ctx), .max = 1 << 24, .arg = "N",
     .help = "context in tokens (0: the model's, at most 4096)"},
    {.name = "threads", .letter = 't', .kind = OPT_INT, .where = BOTH, AT(n_threads), .max = 1024, .arg = "N",
     .help = "compute threads (0: one per core)"},
    {.name = "exact", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(exact), .help = "never OpenBLAS: the same bits however a text is cut"},
    {.name = "template", .kind = OPT_TEXT, .where = BOTH, AT(tmpl), .arg = "NAME|FILE", .complete = "chatml files",
     .help = "chat template instead of the model's own: chatml, or a file"},
    {.name = "system", .kind = OPT_WORD, .where = OPT_CONFIG, AT(system), GIVEN(system_given), .max = 1 << 20, .arg = "TEXT",
     .help = "system prompt; an empty one switches the model's default off"},

    {.group = "Conversation", .name = "continue", .letter = 'c', .kind = OPT_FLAG, AT(cont), .help = "go on with the newest session"},
    {.name = "session", .letter = 's', .kind = OPT_TEXT, AT(session), .arg = "SESSION", .complete = "sessions",
     .help = "go on with this one: short id, or words of its title"},
    {.name = "no-save", .letter = 'n', .kind = OPT_FLAG, .where = OPT_CONFIG, AT(no_save), .help = "write nothing into the history"},
    {.name = "prompt", .letter = 'p', .kind = OPT_WORD, AT(prompt), .arg = "TEXT", .help = "the question, instead of words behind the options"},
    {.name = "no-stdin", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(no_stdin), .help = "leave standard input alone"},
    {.name = "question-first", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(question_first),
     .help = "the question in front of standard input, not behind it"},

    {.group = "Sampling", .name = "temp", .kind = OPT_REAL, .where = BOTH, AT(sampler.temp), GAVE(TEMP), .max = 100, .arg = "X",
     .help = "temperature; 0 always takes the likeliest token"},
    {.name = "top-k", .kind = OPT_INT, .where = BOTH, AT(sampler.top_k), GAVE(TOP_K), .max = 1 << 30, .arg = "N",
     .help = "only the N likeliest tokens (0: off)"},
    {.name = "top-p", .kind = OPT_REAL, .where = BOTH, AT(sampler.top_p), GAVE(TOP_P), .max = 1, .arg = "X",
     .help = "only the likeliest tokens that add up to X (1: off)"},
    {.name = "min-p", .kind = OPT_REAL, .where = BOTH, AT(sampler.min_p), GAVE(MIN_P), .max = 1, .arg = "X",
     .help = "only tokens at least X times as likely as the likeliest (0: off)"},
    {.name = "typical", .kind = OPT_REAL, .where = BOTH, AT(sampler.typical), .max = 1, .arg = "X",
     .help = "only tokens of about the usual surprise that add up to X (1: off)"},
    {.name = "top-n-sigma", .kind = OPT_REAL, .where = BOTH, AT(sampler.top_n_sigma), .max = 100, .arg = "X",
     .help = "only tokens within X standard deviations of the likeliest (0: off)"},
    {.name = "repeat-penalty", .kind = OPT_REAL, .where = BOTH, AT(sampler.repeat_penalty), GAVE(REPEAT), .min = 0.01, .max = 100, .arg = "X",
     .help = "makes tokens that stand in the text less likely (1: off)"},
    {.name = "repeat-last", .kind = OPT_INT, .where = BOTH, AT(sampler.repeat_last), GAVE(REPEAT_LAST), .max = 1 << 24, .arg = "N",
     .help = "how many of the last tokens the penalty looks at"},
    {.name = "frequency-penalty", .kind = OPT_REAL, .where = BOTH, AT(sampler.frequency_penalty), .min = -100, .max = 100, .arg = "X",
     .help = "takes X off a token's logit each time it stands there (0: off)"},
    {.name = "presence-penalty", .kind = OPT_REAL, .where = BOTH, AT(sampler.presence_penalty), .min = -100, .max = 100, .arg = "X",
     .help = "takes X off the logit of a token that stands there (0: off)"},
    {.name = "dry-multiplier", .kind = OPT_REAL, .where = BOTH, AT(sampler.dry_multiplier), .max = 100, .arg = "X",
     .help = "DRY, against repeated sequences: how strong (0: off)"},
    {.name = "dry-base", .kind = OPT_REAL, .where = BOTH, AT(sampler.dry_base), .min = 1, .max = 100, .arg = "X",
     .help = "how much stronger with each token more"},
    {.name = "dry-allowed-length", .kind = OPT_INT, .where = BOTH, AT(sampler.dry_allowed_length), .max = 1 << 24, .arg = "N",
     .help = "shorter repetitions are free"},
    {.name = "dry-last", .kind = OPT_INT, .where = BOTH, AT(sampler.dry_last), .min = -1, .max = 1 << 24, .arg = "N",
     .help = "how many of the last tokens DRY looks at (-1: all)"},
    {.name = "dry-breakers", .kind = OPT_WORD, .where = BOTH, AT(dry_breakers), .max = 4096, .arg = "LIST", .check = check_breakers,
     .help = "texts that end a repetition, between commas (\\n,:,\",*)"},
    {.name = "xtc-probability", .kind = OPT_REAL, .where = BOTH, AT(sampler.xtc_probability), GAVE(XTC_PROBABILITY), .max = 1, .arg = "X",
     .help = "how often the likeliest tokens are left out (0: off)"},
    {.name = "xtc-threshold", .kind = OPT_REAL, .where = BOTH, AT(sampler.xtc_threshold), GAVE(XTC_THRESHOLD), .max = 1, .arg = "X",
     .help = "XTC leaves out all but one of those this likely"},
    {.name = "dyntemp-range", .kind = OPT_REAL, .where = BOTH, AT(sampler.dyntemp_range), .max = 100, .arg = "X",
     .help = "temperature within X of --temp, by how sure the model is (0: off)"},
    {.name = "dyntemp-exponent", .kind = OPT_REAL, .where = BOTH, AT(sampler.dyntemp_exponent), .max = 100, .arg = "X",
     .help = "how it follows the entropy"},
    {.name = "mirostat", .kind = OPT_INT, .where = BOTH, AT(sampler.mirostat), GAVE(MIROSTAT), .max = 2, .arg = "N",
     .help = "keeps the surprise even, by version 1 or 2, instead of top-k and its like (0: off)"},
    {.name = "mirostat-tau", .kind = OPT_REAL, .where = BOTH, AT(sampler.mirostat_tau), GAVE(MIROSTAT_TAU), .max = 100, .arg = "X",
     .help = "the surprise it aims at, in bits"},
    {.name = "mirostat-eta", .kind = OPT_REAL, .where = BOTH, AT(sampler.mirostat_eta), GAVE(MIROSTAT_ETA), .max = 1, .arg = "X",
     .help = "how fast it learns"},
    {.name = "logit-bias", .kind = OPT_TEXT, .where = BOTH, AT(logit_bias), .max = 65536, .arg = "LIST", .check = check_biases,
     .help = "more or less of single tokens, by number: 15043+1.5,42-inf"},
    {.name = "samplers", .kind = OPT_TEXT, .where = BOTH, AT(samplers), .max = 1024, .arg = "LIST", .check = check_order,
     .complete = "penalties dry top_n_sigma top_k typical top_p min_p xtc temp",
     .help = "which steps run, in their order: temp,top_k,min_p"},
    {.name = "seed", .kind = OPT_SEED, .where = BOTH, AT(sampler.seed), GIVEN(seed_set), .arg = "N|random",
     .help = "for the same answer again; random: a new one each time"},
    {.name = "grammar", .kind = OPT_TEXT, .where = BOTH, AT(grammar), .arg = "FILE", .complete = "files",
     .help = "holds the answer to a grammar in GBNF"},
    {.name = "schema", .kind = OPT_TEXT, .where = BOTH, AT(schema), .arg = "FILE", .complete = "files",
     .help = "holds the answer to a JSON schema"},
    {.name = "max-tokens", .kind = OPT_INT, .where = BOTH, AT(max_tokens), .max = 1 << 24, .arg = "N",
     .help = "end an answer after N tokens (0: when it is finished)"},

    {.group = "Output", .name = "output", .letter = 'o', .kind = OPT_TEXT, AT(out_file), .arg = "FILE", .complete = "files",
     .help = "write the answer to FILE, whole or not at all"},
    {.name = "no-stream", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(no_stream), .help = "print the answer when it is complete"},
    {.name = "json", .kind = OPT_FLAG, AT(json), .help = "one JSON object: answer, seed, tokens, timings ..."},
    {.name = "jsonl", .kind = OPT_FLAG, AT(jsonl), .help = "one JSON object an event, as it happens"},
    {.name = "raw", .kind = OPT_FLAG, AT(raw), .help = "the model's bytes as they are, control characters included"},
    {.name = "stats", .kind = OPT_FLAG, .where = BOTH, AT(stats), .help = "tokens and speed on standard error"},
    {.name = "strict", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(strict),
     .help = "an answer cut off by length and input that is not UTF-8 are failures"},
    {.name = "verbose", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(verbose), .help = "say which model and backend are used"},
    {.name = "theme", .kind = OPT_TEXT, .where = BOTH, AT(theme), .arg = "NAME", .complete = "auto dark light mono",
     .help = "colours of the full screen: auto, dark, light or mono"},
    {.name = "line", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(line), .help = "chat line by line, with readline"},
    {.name = "plain", .kind = OPT_FLAG, .where = OPT_CONFIG, AT(plain),
     .help = "for screen readers: no colour, nothing that moves, words for progress"},

    {.group = "About", .name = "help", .letter = 'h', .kind = OPT_FLAG, AT(help), .help = "this text"},
    {.name = "version", .letter = 'V', .kind = OPT_FLAG, AT(version), .help = "version and licence"},
    {.name = NULL},
};

const struct opt *opts_find(const struct opt *table, const char *name, size_t n)
{
    for (const struct opt *o = table; o->name; o++)
        if (strlen(o->name) == n && !memcmp(o->name, name, n))
            return o;
    return NULL;
}

static const struct opt *find_letter(const struct opt *table, char c)
{
    for (const struct opt *o = table; o->name; o++)
        if (o->letter == c)
            return o;
    return NULL;
}

/* ---- values ---- */

static bool parse_yes_no(const char *s, bool *out)
{
    static const char *const yes[] = {"yes", "true", "on", "1", NULL}, *const no[] = {"no", "false", "off", "0", NULL};
    for (int i = 0; yes[i]; i++) {
        if (!strcmp(s, yes[i]))
            return *out = true, true;
        if (!strcmp(s, no[i]))
            return *out = false, true;
    }
    return false;
}

/* The shortest text that gives the same float again. */
static void show_float(float x, struct buf *out)
{
    for (int digits = 6; digits <= 9; digits++) {
        struct buf b = BUF_INIT(64);
        buf_addf(&b, "%.*g", digits, (double)x);
        double d = 0;
        bool same = num_parse_double(buf_str(&b), &d) && (float)d == x;
        if (same || digits == 9)
            buf_addstr(out, buf_str(&b));
        buf_finish(&b);
        if (same)
            return;
    }
}

static int bad_value(const struct opt *o, const char *dash, const char *value, struct err *err)
{
    switch (o->kind) {
    case OPT_FLAG:
        return err_set(err, ERR_USAGE, "%s%s takes yes or no, not '%.60s'", dash, o->name, value);
    case OPT_INT:
        return err_set(err, ERR_USAGE, "%s%s takes a whole number from %.0f to %.0f, not '%.60s'", dash, o->name, o->min, o->max, value);
    case OPT_REAL:
        return err_set(err, ERR_USAGE, "%s%s takes a number from %g to %g, not '%.60s'", dash, o->name, o->min, o->max, value);
    case OPT_SEED:
        return err_set(err, ERR_USAGE, "%s%s takes a whole number from 0 to %lld, or random, not '%.60s'", dash, o->name,
                       (long long)INT64_MAX, value);
    case OPT_TEXT:
    case OPT_WORD:
        break;
    }
    return err_set(err, ERR_USAGE, "%s%s takes at most %.0f bytes, not %zu", dash, o->name, o->max, strlen(value));
}

int opt_store(const struct opt *o, void *base, const char *dash, const char *value, struct err *err)
{
    char *at = (char *)base + o->at;
    bool flag = true, given = true;
    int64_t i;
    uint64_t u = 0;
    double d;
    switch (o->kind) {
    case OPT_FLAG:
        if (value && !parse_yes_no(value, &flag))
            return bad_value(o, dash, value, err);
        *(bool *)(void *)at = flag;
        break;
    case OPT_TEXT:
    case OPT_WORD:
        if (o->max > 0 && (double)strlen(value) > o->max)
            return bad_value(o, dash, value, err);
        if (o->check && o->check(value, err)) {
            err_wrap(err, "%s%s", dash, o->name);
            return ERR_USAGE;
        }
        free(*(char **)(void *)at);
        *(char **)(void *)at = o->kind == OPT_TEXT && !*value ? NULL : mem_strdup(value);
        break;
    case OPT_INT:
        if (!num_parse_i64(value, &i) || (double)i < o->min || (double)i > o->max)
            return bad_value(o, dash, value, err);
        *(int *)(void *)at = (int)i;
        break;
    case OPT_REAL:
        if (!num_parse_double(value, &d) || d < o->min || d > o->max)
            return bad_value(o, dash, value, err);
        *(float *)(void *)at = (float)d;
        break;
    case OPT_SEED:
        given = strcmp(value, "random") != 0;
        if (given && (!num_parse_u64(value, &u) || u > INT64_MAX))
            return bad_value(o, dash, value, err);
        *(uint64_t *)(void *)at = u;
        break;
    }
    if (o->given_at)
        *(bool *)(void *)((char *)base + o->given_at) = given;
    return 0;
}

void opt_show(const struct opt *o, const void *base, struct buf *out)
{
    const char *at = (const char *)base + o->at;
    const char *text;
    switch (o->kind) {
    case OPT_FLAG:
        buf_addstr(out, *(const bool *)(const void *)at ? "yes" : "no");
        break;
    case OPT_TEXT:
    case OPT_WORD:
        text = *(char *const *)(const void *)at;
        buf_addstr(out, text ? text : "");
        break;
    case OPT_INT:
        buf_addf(out, "%d", *(const int *)(const void *)at);
        break;
    case OPT_REAL:
        show_float(*(const float *)(const void *)at, out);
        break;
    case OPT_SEED:
        if (o->given_at && !*(const bool *)(const void *)((const char *)base + o->given_at))
            buf_addstr(out, "random");
        else
            buf_addf(out, "%llu", (unsigned long long)*(const uint64_t *)(const void *)at);
        break;
    }
}

void opts_finish(const struct opt *table, void *base)
{
    for (const struct opt *o = table; o->name; o++) {
        if (o->kind != OPT_TEXT && o->kind != OPT_WORD)
            continue;
        char **at = (char **)(void *)((char *)base + o->at);
        free(*at);
        *at = NULL;
    }
}

/* ---- near names ---- */

#define NEAR_MAX 40

/* How many letters must be changed, added, left out or swapped with their neighbour. */
static int distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > NEAR_MAX || m > NEAR_MAX)
        return NEAR_MAX;
    int d[NEAR_MAX + 1][NEAR_MAX + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *opts_near(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t n = strlen(word);
    int best_d = n < 4 ? 2 : n < 8 ? 3 : 4; /* one less is allowed */
    for (int i = 0; names[i]; i++) {
        int d = distance(word, names[i]);
        if (n >= 3 && !strncmp(word, names[i], n))
            d = 1; /* a beginning */
        if (d < best_d) {
            best_d = d;
            best = names[i];
        }
    }
    return best;
}

static int unknown(const struct opt *table, const char *name, struct err *err)
{
    const char *names[128];
    int n = 0;
    for (const struct opt *o = table; o->name && n < 127; o++)
        names[n++] = o->name;
    names[n] = NULL;
    const char *near = opts_near(name, names);
    if (near)
        return err_set(err, ERR_USAGE, "unknown option --%.60s (did you mean --%s?)", name, near);
    return err_set(err, ERR_USAGE, "unknown option --%.60s (--help lists them)", name);
}

/* ---- the command line ---- */

static int long_option(const struct opt *table, void *base, int argc, char **argv, int *i, struct err *err)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct opt *o = opts_find(table, name, n);
    if (!o) {
        char *alone = mem_strndup(name, n);
        int rc = unknown(table, alone, err);
        free(alone);
        return rc;
    }
    const char *value = eq ? eq + 1 : NULL;
    if (!value && o->kind != OPT_FLAG) {
        if (*i + 1 >= argc)
            return err_set(err, ERR_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
        value = argv[++*i];
    }
    return opt_store(o, base, "--", value, err);
}

static int letters(const struct opt *table, void *base, int argc, char **argv, int *i, struct err *err)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        const struct opt *o = find_letter(table, *p);
        if (!o)
            return err_set(err, ERR_USAGE, "unknown option -%.*s (--help lists them)", (unsigned char)*p < 0x80 ? 1 : 4, p);
        int rc;
        if (o->kind == OPT_FLAG) {
            rc = opt_store(o, base, "--", NULL, err);
        } else {
            const char *value = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
            if (!value)
                return err_set(err, ERR_USAGE, "-%c needs a value: -%c %s", *p, *p, o->arg);
            return opt_store(o, base, "--", value, err);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int opts_parse(const struct opt *table, void *base, int argc, char **argv, struct words *words, struct err *err)
{
    words->n = 0;
    words->at = mem_array((size_t)argc + 1, sizeof *words->at);
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        int rc = 0;
        if (only_words || argv[i][0] != '-' || !argv[i][1])
            words->at[words->n++] = argv[i];
        else if (!strcmp(argv[i], "--"))
            only_words = true;
        else if (argv[i][1] == '-')
            rc = long_option(table, base, argc, argv, &i, err);
        else
            rc = letters(table, base, argc, argv, &i, err);
        if (rc) {
            free(words->at);
            *words = (struct words){NULL, 0};
            return rc;
        }
    }
    return 0;
}

/* ---- --help ---- */

#define HELP_COLUMN 26
#define HELP_WIDTH 80

void opts_wrap(struct buf *out, int indent, const char *text)
{
    int at = indent;
    while (*text) {
        size_t n = strcspn(text, " \n");
        bool fresh = at == indent;
        if (!fresh && at + 1 + (int)n > HELP_WIDTH) {
            buf_addf(out, "\n%*s", indent, "");
            at = indent;
        } else if (!fresh) {
            buf_addch(out, ' ');
            at++;
        }
        buf_add(out, text, n);
        at += (int)n;
        text += n;
        if (*text == '\n') {
            buf_addf(out, "\n%*s", indent, "");
            at = indent;
        }
        text += *text != 0;
    }
    buf_addch(out, '\n');
}

void opts_help(const struct opt *table, struct buf *out)
{
    for (const struct opt *o = table; o->name; o++) {
        if (o->group)
            buf_addf(out, "%s%s:\n", o == table ? "" : "\n", o->group);
        size_t from = out->len;
        if (o->letter)
            buf_addf(out, "  -%c, --%s", o->letter, o->name);
        else
            buf_addf(out, "      --%s", o->name);
        if (o->arg)
            buf_addf(out, " %s", o->arg);
        int at = (int)(out->len - from);
        if (at + 2 > HELP_COLUMN) {
            buf_addch(out, '\n');
            at = 0;
        }
        buf_addf(out, "%*s", HELP_COLUMN - at, "");
        opts_wrap(out, HELP_COLUMN, o->help);
    }
}
