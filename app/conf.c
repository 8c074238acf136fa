/*
 * Settings: built-in values, config file, environment, and which file a model's name means. See conf.h; the table is app/opts.c.
 *
 * Config file: lines "key = value"; a key is an option's long name. '#' at the start of a line or behind white space begins a comment.
 * A value may stand in double quotes, in which \n, \t, \" and \\ are escapes. Headings in [brackets] are passed over. A bad line
 * is named and left out; the rest counts.
 */
#include "config.h"
#include "app/conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/opts.h"
#include "base/mem.h"
#include "base/path.h"
#include "app/schema.h"
#include "base/utf8.h"
#include "model/grammar.h"
#include "model/template.h"

#define CONFIG_MAX (1 << 20)
#define TEMPLATE_MAX (1 << 20)
#define GRAMMAR_MAX (4 << 20)
#define DEFAULT_MODEL "SmolLM2-135M-Instruct.Q4_1.gguf"

void conf_init(struct conf *c)
{
    memset(c, 0, sizeof *c);
    c->sampler = sampler_default();
}

void conf_finish(struct conf *c)
{
    opts_finish(opts_main, c);
    for (int i = 0; i < c->n_personas; i++) {
        free(c->personas[i].name);
        free(c->personas[i].text);
    }
    free(c->personas);
    c->personas = NULL;
    c->n_personas = 0;
}

const struct persona *conf_persona(const struct conf *c, const char *name)
{
    for (int i = 0; i < c->n_personas; i++)
        if (strcmp(c->personas[i].name, name) == 0)
            return &c->personas[i];
    return NULL;
}

/* One that is there already gets the new text. */
static int set_persona(struct conf *c, const char *name, const char *text, struct err *err)
{
    if (!*name || strpbrk(name, " \t") || !*text || strlen(text) > 1 << 20 || c->n_personas >= 1000)
        return err_set(err, ERR_USAGE, "persona.NAME takes a name of one word, and a text of at most a MiB");
    for (int i = 0; i < c->n_personas; i++)
        if (strcmp(c->personas[i].name, name) == 0) {
            free(c->personas[i].text);
            c->personas[i].text = mem_strdup(text);
            return 0;
        }
    c->personas = mem_grow(c->personas, (size_t)c->n_personas + 1, sizeof *c->personas);
    c->personas[c->n_personas++] = (struct persona){mem_strdup(name), mem_strdup(text)};
    return 0;
}

int conf_set(struct conf *c, const char *name, const char *value, struct err *err)
{
    const struct opt *o = opts_find(opts_main, name, strlen(name));
    if (o)
        return opt_store(o, c, "", value, err);
    const char *names[128];
    int n = 0;
    for (o = opts_main; o->name && n < 127; o++)
        if (o->where)
            names[n++] = o->name;
    names[n] = NULL;
    const char *near = opts_near(name, names);
    return near ? err_set(err, ERR_USAGE, "no setting is called %.60s (did you mean %s?)", name, near) :
                  err_set(err, ERR_USAGE, "no setting is called %.60s", name);
}

const char *conf_setting(const struct conf *c, int i, const char **help, struct buf *value)
{
    for (const struct opt *o = opts_main; o->name; o++) {
        if (!(o->where & OPT_SETTING) || i-- > 0)
            continue;
        if (help)
            *help = o->help;
        if (value)
            opt_show(o, c, value);
        return o->name;
    }
    return NULL;
}

void conf_recommend(const struct conf *c, const struct sampler_conf *from, struct sampler_conf *to)
{
    for (const struct opt *o = opts_main; o->name; o++) {
        const bool *gave = (const bool *)(const void *)((const char *)c + o->given_at);
        if (gave < c->gave || gave >= c->gave + SAMPLER_KEYS || *gave)
            continue;
        size_t at = o->at - offsetof(struct conf, sampler);
        memcpy((char *)to + at, (const char *)from + at, sizeof(float)); /* these are int and float */
    }
}

struct sampler_conf conf_sampler(const struct conf *c)
{
    struct sampler_conf s = c->sampler;
    sampler_order_parse(c->samplers ? c->samplers : "", s.order, NULL);
    return s;
}

/* ,"name":"text" */
static void add_text(struct buf *b, const char *name, const char *text)
{
    struct buf clean = BUF_INIT(SIZE_MAX); /* a path may hold any bytes */
    utf8_repair(&clean, text, strlen(text));
    json_t *s = json_string(buf_str(&clean));
    char *quoted = json_dumps(s, JSON_ENCODE_ANY);
    buf_addf(b, ",\"%s\":%s", name, quoted);
    free(quoted);
    json_decref(s);
    buf_finish(&clean);
}

char *conf_params_json(const struct conf *c, uint64_t seed)
{
    static const char *const always = " temp top-k top-p min-p repeat-penalty repeat-last max-tokens ctx ";
    struct conf none;
    struct buf b = BUF_INIT(SIZE_MAX), usual = BUF_INIT(SIZE_MAX);
    conf_init(&none);
    buf_addf(&b, "{\"seed\":%" PRIu64, seed);
    for (const struct opt *o = opts_main; o->name; o++) {
        char *word = mem_printf(" %s ", o->name), name[64];
        size_t sampler = offsetof(struct conf, sampler);
        bool shown = strstr(always, word) != NULL;
        free(word);
        if (!shown && (o->at < sampler || o->at >= sampler + sizeof c->sampler || o->kind == OPT_SEED))
            continue;
        struct buf value = BUF_INIT(64);
        buf_reset(&usual);
        opt_show(o, c, &value);
        opt_show(o, &none, &usual);
        snprintf(name, sizeof name, "%s", o->name);
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : *p;
        if (shown || strcmp(buf_str(&value), buf_str(&usual)))
            buf_addf(&b, ",\"%s\":%s", name, buf_str(&value));
        buf_finish(&value);
    }
    const struct {
        const char *name, *text;
    } texts[] = {{"template", c->tmpl}, {"grammar", c->grammar}, {"schema", c->schema}, {"samplers", c->samplers}, {"logit_bias", c->logit_bias}, {"dry_breakers", c->dry_breakers}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            add_text(&b, texts[i].name, texts[i].text);
    buf_addch(&b, '}');
    buf_finish(&usual);
    conf_finish(&none);
    return buf_take(&b);
}

/* ---- config file ---- */

struct source {
    void (*warn)(void *arg, const char *text);
    void *arg;
};

static void warn(const struct source *src, const char *where, const struct err *e)
{
    if (!src->warn)
        return;
    char *text = mem_printf("%s: %s", where, e->msg);
    src->warn(src->arg, text);
    free(text);
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = 0;
    return s;
}

/* Takes the value out of the rest of a line, in place: quotes and comment gone. NULL: the quotes do not end. */
static char *take_value(char *s)
{
    if (*s != '"') {
        for (char *p = s; *p; p++) {
            if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
                *p = 0;
                break;
            }
        }
        return trim(s);
    }
    char *to = s, *p = s + 1;
    for (; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            *to++ = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
        } else {
            *to++ = *p;
        }
    }
    if (!*p)
        return NULL;
    p++;
    p += strspn(p, " \t\r");
    if (*p && *p != '#')
        return NULL;
    *to = 0;
    return s;
}

/* One line of the config file; 0 or ERR_USAGE. */
static int config_line(struct conf *c, char *line, struct err *err)
{
    char *s = trim(line);
    if (!*s || *s == '#' || *s == ';' || *s == '[')
        return 0;
    char *eq = strchr(s, '=');
    if (!eq)
        return err_set(err, ERR_USAGE, "no '=' in '%.60s' (a line is: key = value)", s);
    *eq = 0;
    char *key = trim(s);
    if (!strncmp(key, "--", 2))
        key += 2;
    char *value = take_value(trim(eq + 1));
    if (!value)
        return err_set(err, ERR_USAGE, "the quotes of %.60s do not end, or text follows them", key);
    if (!strncmp(key, "persona.", 8))
        return set_persona(c, key + 8, value, err);
    const struct opt *o = opts_find(opts_main, key, strlen(key));
    if (o && !(o->where & OPT_CONFIG))
        return err_set(err, ERR_USAGE, "%s is for the command line alone", key);
    return conf_set(c, key, value, err);
}

/* NUL-free text of a file into lines. */
static void config_text(struct conf *c, const char *path, char *text, const struct source *src)
{
    int number = 0;
    if (!strncmp(text, "\xef\xbb\xbf", 3))
        text += 3;
    for (char *next; text; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = 0;
        number++;
        struct err e;
        if (config_line(c, text, &e)) {
            char *where = mem_printf("%s, line %d", path, number);
            warn(src, where, &e);
            free(where);
        }
    }
}

void conf_load_file(struct conf *c, void (*fn)(void *arg, const char *text), void *arg)
{
    struct source src = {fn, arg};
    struct err e;
    char *path = path_config("config", NULL);
    if (!path)
        return; /* no home: nothing to read */
    struct stat st;
    if (stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        free(path);
        return;
    }
    struct buf b = BUF_INIT(CONFIG_MAX);
    if (path_read(path, &b, &e))
        warn(&src, "settings", &e);
    else if (b.len && memchr(b.data, 0, b.len))
        err_set(&e, ERR_USAGE, "is no text file; it is left out"), warn(&src, path, &e);
    else if (b.len)
        config_text(c, path, b.data, &src);
    c->system_given = false; /* says: on the command line */
    buf_finish(&b);
    free(path);
}

/* ---- environment ---- */

static void load_environment(struct conf *c, const struct source *src)
{
    for (const struct opt *o = opts_main; o->name; o++) {
        if (!(o->where & OPT_CONFIG))
            continue;
        char *name = mem_printf("HADAL_%s", o->name);
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        const char *value = getenv(name);
        struct err e;
        if (value && *value && opt_store(o, c, "", value, &e))
            warn(src, name, &e);
        free(name);
    }
    const char *accessible = getenv("ACCESSIBLE"); /* what other programs for screen readers listen to */
    if (accessible && *accessible && strcmp(accessible, "0") && !getenv("HADAL_PLAIN"))
        c->plain = true;
    c->system_given = false;
}

int conf_load(struct conf *c, void (*fn)(void *arg, const char *text), void *arg, struct err *err)
{
    (void)err;
    conf_load_file(c, fn, arg);
    load_environment(c, &(struct source){fn, arg});
    return 0;
}

void conf_export(const struct conf *c)
{
    setenv("HADAL_EXACT", c->exact ? "1" : "0", 1);
}

/* ---- models ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_in_gguf(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && !strcasecmp(name + n - 5, ".gguf");
}

char **conf_models(char **dir, int *n, struct err *err)
{
    *n = 0;
    *dir = path_data("models", err);
    if (!*dir)
        return NULL;
    char **list = mem_array(1, sizeof *list);
    DIR *d = opendir(*dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !ends_in_gguf(e->d_name))
            continue;
        char *path = path_join(*dir, e->d_name);
        if (path_is_regular(path)) {
            list = mem_grow(list, (size_t)*n + 2, sizeof *list);
            list[(*n)++] = mem_strdup(e->d_name);
            list[*n] = NULL;
        }
        free(path);
    }
    if (d)
        closedir(d);
    qsort(list, (size_t)*n, sizeof *list, by_name);
    return list;
}

void conf_models_free(char **list)
{
    for (int i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

int conf_model_default(char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i], DEFAULT_MODEL))
            return i;
    return n == 1 ? 0 : -1;
}

/* "a, b, c" of those that hold `part` (all for NULL), at most 5 and the number of the others. */
static void name_some(char *const *list, const char *part, struct buf *out)
{
    int said = 0, more = 0;
    for (int i = 0; list[i]; i++) {
        if (part && !strcasestr(list[i], part))
            continue;
        if (said == 5) {
            more++;
            continue;
        }
        buf_addf(out, "%s%.60s", said++ ? ", " : "", list[i]);
    }
    if (more)
        buf_addf(out, " and %d more", more);
}

/* Index of the one that `name` means; -1: none, -2: several. */
static int find_model(char *const *list, int n, const char *name)
{
    char *full = mem_printf("%s.gguf", name);
    int found = -1;
    for (int i = 0; i < n && found < 0; i++)
        if (!strcmp(list[i], name) || !strcmp(list[i], full))
            found = i;
    for (int i = 0; i < n && found == -1; i++)
        if (!strcasecmp(list[i], name) || !strcasecmp(list[i], full))
            found = i;
    free(full);
    if (found >= 0)
        return found;
    for (int i = 0; i < n; i++)
        if (strcasestr(list[i], name))
            found = found == -1 ? i : -2;
    return found;
}

/* A path that was given as one. */
static int model_at(const char *name, char **path, struct err *err)
{
    struct stat st;
    if (stat(name, &st) < 0)
        return err_sys(err, ERR_NOMODEL, "no model file %.300s", name);
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_NOMODEL, "%.300s is a folder, not a model file", name);
    *path = mem_strdup(name);
    return 0;
}

int conf_model_path(const char *name, char **path, struct err *err)
{
    if (name && (strchr(name, '/') || path_is_regular(name)))
        return model_at(name, path, err);
    int n, i, rc = 0;
    char *dir;
    char **list = conf_models(&dir, &n, err);
    if (!list) {
        if (err)
            err->code = ERR_NOMODEL;
        return ERR_NOMODEL;
    }
    struct buf some = BUF_INIT(1024);
    i = name ? find_model(list, n, name) : conf_model_default(list, n);
    if (i >= 0) {
        *path = path_join(dir, list[i]);
    } else if (!n) {
        rc = name ? err_set(err, ERR_NOMODEL, "no model %.100s: there is no such file, and no models are in %.200s", name, dir) :
                    err_set(err, ERR_NOMODEL, "no model: put a GGUF file into %.200s, or name one with -m FILE", dir);
    } else if (name && i == -2) {
        name_some(list, name, &some);
        rc = err_set(err, ERR_NOMODEL, "%.100s could be several models: %s", name, buf_str(&some));
    } else {
        name_some(list, NULL, &some);
        rc = name ? err_set(err, ERR_NOMODEL, "no model %.100s; there are: %s", name, buf_str(&some)) :
                    err_set(err, ERR_NOMODEL, "which model? Choose one with -m: %s", buf_str(&some));
    }
    buf_finish(&some);
    conf_models_free(list);
    free(dir);
    return rc;
}

int conf_template(const char *name, char **out, struct err *err)
{
    *out = NULL;
    if (!name || !*name)
        return 0;
    if (path_is_regular(name)) {
        struct buf b = BUF_INIT(TEMPLATE_MAX);
        int rc = path_read(name, &b, err);
        if (!rc)
            *out = buf_take(&b);
        buf_finish(&b);
        return rc;
    }
    if (!tmpl_builtin(name, strlen(name)))
        return err_set(err, ERR_USAGE, "there is no template \"%.200s\": neither a file nor one that is built in (chatml)", name);
    *out = mem_strdup(name);
    return 0;
}

int conf_grammar(const struct conf *c, char **out, struct err *err)
{
    const char *path = c->grammar ? c->grammar : c->schema;
    struct buf text = BUF_INIT(GRAMMAR_MAX), gbnf = BUF_INIT(GRAMMAR_MAX);
    struct grammar *g;
    *out = NULL;
    if (!path)
        return 0;
    if (c->grammar && c->schema)
        return err_set(err, ERR_USAGE, "an answer is held to --grammar or to --schema, not to both");
    int rc = path_read(path, &text, err);
    if (rc) {
        buf_finish(&text);
        if (err)
            err->code = ERR_INPUT;
        return ERR_INPUT;
    }
    if (c->schema)
        rc = schema_to_grammar(buf_str(&text), text.len, &gbnf, err);
    else
        buf_add(&gbnf, text.data, text.len);
    if (!rc)
        rc = grammar_parse(buf_str(&gbnf), gbnf.len, &g, err);
    if (!rc) {
        grammar_free(g);
        *out = buf_take(&gbnf);
    } else {
        err_wrap(err, "%.300s", path);
    }
    buf_finish(&text);
    buf_finish(&gbnf);
    return rc;
}
