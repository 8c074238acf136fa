/*
 * Slash commands on settings and numbers: /set /params /model /stats.
 */
#include "config.h"
#include "app/slash.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/opts.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sane.h"
#include "ui/line.h"

/* The value of a setting that may be changed here; false: there is none of this name. */
static bool value_of(const struct face *f, const char *name, struct buf *value)
{
    const char *n;
    for (int i = 0; (n = conf_setting(f->conf, i, NULL, value)); i++) {
        if (!strcmp(n, name))
            return true;
        buf_reset(value);
    }
    return false;
}

static void choose_model(struct face *f, const char *name)
{
    struct err e;
    char *path = NULL;
    if (conf_model_path(name, &path, &e) || conf_set(f->conf, "model", path, &e))
        report(&e);
    else
        face_note("%s answers from here on", path_base(path));
    free(path);
}

void slash_set(struct face *f, const char *arg)
{
    struct err e;
    size_t n = strcspn(arg, " \t=");
    char *name = mem_strndup(arg, n);
    const char *value = arg + n + strspn(arg + n, " \t");
    if (*value == '=')
        value += 1 + strspn(value + 1, " \t");
    struct buf now = BUF_INIT(1 << 20);
    if (!*arg) {
        face_note("/set takes a name and a value; /params shows all settings");
    } else if (!value_of(f, name, &now)) {
        if (!strcmp(name, "system"))
            face_note("/system sets the system prompt");
        else if (opts_find(opts_main, name, n))
            face_note("%s cannot be changed in a chat; /params shows what can", name);
        else if (conf_set(f->conf, name, value, &e))
            report(&e);
    } else if (!*value) {
        face_note("%s %s", name, now.len ? buf_str(&now) : "is not set");
    } else if (!strcmp(name, "model")) {
        choose_model(f, value);
    } else if (conf_set(f->conf, name, value, &e)) {
        report(&e);
    } else {
        buf_reset(&now);
        value_of(f, name, &now);
        face_note("%s %s", name, buf_str(&now));
    }
    buf_finish(&now);
    free(name);
}

void slash_params(struct face *f, const char *arg)
{
    const char *name, *help = "";
    struct buf value = BUF_INIT(1 << 20);
    int wide = 6, names = 0, room;
    struct conf shown_conf = *f->conf; /* with what the model in use recommends */
    (void)arg;
    if (chat_sampling(f->chat))
        conf_recommend(f->conf, chat_sampling(f->chat), &shown_conf.sampler);
    for (int i = 0; (name = conf_setting(&shown_conf, i, NULL, &value)); i++) {
        wide = (int)value.len > wide ? (int)value.len : wide;
        names = (int)strlen(name) > names ? (int)strlen(name) : names;
        buf_reset(&value);
    }
    wide = wide < 14 ? wide : 14;
    room = term_columns(TERM_OUT) - 6 - names - wide;
    for (int i = 0; (name = conf_setting(&shown_conf, i, &help, &value)); i++) {
        struct buf shown = BUF_INIT(1 << 16), cut = BUF_INIT(1 << 16);
        face_cut(&shown, value.len ? buf_str(&value) : "-", wide, true);
        face_cut(&cut, help, room > 20 ? room : 20, false);
        term_say(TERM_OUT, "  %-*s  %s  \x1b[2m%s\x1b[0m\n", names, name, buf_str(&shown), buf_str(&cut));
        buf_finish(&cut);
        buf_finish(&shown);
        buf_reset(&value);
    }
    buf_finish(&value);
}

void slash_model(struct face *f, const char *arg)
{
    if (*arg) {
        choose_model(f, arg);
        return;
    }
    struct err e;
    int n;
    char *dir, *now = NULL;
    char **list = conf_models(&dir, &n, &e);
    if (!list) {
        report(&e);
        return;
    }
    bool known = conf_model_path(f->conf->model, &now, NULL) == 0, listed = false;
    for (int i = 0; i < n; i++) {
        char *path = path_join(dir, list[i]);
        struct buf clean = BUF_INIT(1 << 16);
        bool here = known && !strcmp(path, now);
        listed |= here;
        sane_line(&clean, list[i], strlen(list[i]));
        term_say(TERM_OUT, "%s %s%s%s\n", here ? "*" : " ", here ? "\x1b[1m" : "", buf_str(&clean), here ? "\x1b[0m" : "");
        buf_finish(&clean);
        free(path);
    }
    if (known && !listed)
        face_note("in use: %s", now);
    else if (!n)
        face_note("no models are in %s", dir);
    free(now);
    free(dir);
    conf_models_free(list);
}

/* ---- /stats ---- */

static const char *how_it_ended(const struct turn *t)
{
    static const char *const table[][2] = {
        {"eog", "by itself"},          {"length", "at max-tokens"},     {"context", "the context is full"},
        {"cancelled", "stopped"},      {"error", "by an error"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(t->stop, table[i][0]))
            return table[i][1];
    return t->stop;
}

static void per_second(struct buf *b, int n, double ms)
{
    if (n > 0 && ms > 0)
        buf_addf(b, " (%.1f/s)", n * 1000.0 / ms);
}

void slash_stats(struct face *f, const char *arg)
{
    const struct gen_stats *s = chat_stats(f->chat);
    (void)arg;
    if (!s) {
        face_note("there is no answer yet");
        return;
    }
    char a[32], c[32];
    struct buf b = BUF_INIT(4096);
    if (f->model)
        term_say(TERM_OUT, "%s", f->model);
    count_text((uint64_t)s->n_prompt, a);
    buf_addf(&b, "  prompt   %s tokens", a);
    if (s->n_cached) {
        count_text((uint64_t)s->n_cached, a);
        buf_addf(&b, ", %s of them reused", a);
    }
    buf_addf(&b, ", read in %.2f s", s->prefill_ms / 1000);
    per_second(&b, s->n_prompt - s->n_cached, s->prefill_ms);
    count_text((uint64_t)s->n_out, a);
    buf_addf(&b, "\n  answer   %s tokens in %.2f s", a, s->decode_ms / 1000);
    per_second(&b, s->n_out, s->decode_ms);
    buf_addf(&b, ", the first after %.2f s\n", s->ttft_ms / 1000);
    if (s->n_reason) {
        count_text((uint64_t)s->n_reason, a);
        buf_addf(&b, "  thought  %s tokens of these\n", a);
    }
    count_text((uint64_t)s->n_used, a);
    count_text((uint64_t)s->n_ctx, c);
    buf_addf(&b, "  context  %s of %s tokens\n", a, c);
    if (s->load_ms > 0)
        buf_addf(&b, "  loading  %.2f s\n", s->load_ms / 1000);
    buf_addf(&b, "  seed     %" PRIu64 "\n  ended    ", chat_seed(f->chat));
    sane_line(&b, how_it_ended(&f->turn), strlen(how_it_ended(&f->turn)));
    term_say(TERM_OUT, "%s\n", buf_str(&b));
    buf_finish(&b);
}
