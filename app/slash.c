/*
 * The table of slash commands, what is one, and completion. See slash.h.
 */
#include "config.h"
#include "app/slash.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "app/opts.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sane.h"
#include "ui/line.h"

static void slash_help(struct face *f, const char *arg);

static void slash_quit(struct face *f, const char *arg)
{
    (void)arg;
    f->leave = 0;
}

static const struct slash table[] = {
    {"help", "", "this list", ARG_NONE, false, slash_help},
    {"new", "", "begin a new session", ARG_NONE, false, slash_new},
    {"sessions", "[N]", "the newest sessions", ARG_NONE, true, slash_sessions},
    {"open", "SESSION", "go on with one: its id, or words of its title", ARG_SESSION, true, slash_open},
    {"rename", "TITLE", "give this session a title", ARG_TEXT, true, slash_rename},
    {"delete", "[SESSION]", "delete this session, or another one", ARG_SESSION, true, slash_delete},
    {"undelete", "[SESSION]", "bring a deleted session back (for 30 days)", ARG_DELETED, true, slash_undelete},
    {"fork", "[TITLE]", "go on in a new session from here", ARG_TEXT, true, slash_fork},
    {"tag", "[TAG ...]", "show or add tags; -TAG takes one away", ARG_TEXT, true, slash_tag},
    {"pin", "", "keep this session at the top of the list, or no longer", ARG_NONE, true, slash_pin},
    {"archive", "[SESSION]", "take a session out of the lists, or back into them", ARG_SESSION, true, slash_archive},
    {"search", "WORDS", "find words in all sessions", ARG_TEXT, true, slash_search},
    {"export", "[md|json|html] [FILE]", "write this session to a file", ARG_EXPORT, true, slash_export},
    {"regen", "", "answer the last prompt once more", ARG_NONE, false, slash_regen},
    {"edit", "[N]", "change the last (the N-th latest) prompt", ARG_NONE, false, slash_edit},
    {"system", "[TEXT|-]", "show, set or take away the system prompt", ARG_TEXT, false, slash_system},
    {"persona", "[NAME]", "show the personas of the config file, or take one's system prompt", ARG_TEXT, false, slash_persona},
    {"thought", "", "the reasoning behind the last answer", ARG_NONE, false, slash_thought},
    {"model", "[NAME]", "show the models, or choose one", ARG_MODEL, false, slash_model},
    {"set", "NAME [VALUE]", "change a setting for this chat", ARG_SETTING, false, slash_set},
    {"params", "", "all settings", ARG_NONE, false, slash_params},
    {"stats", "", "what the last answer took", ARG_NONE, false, slash_stats},
    {"raw", "", "the exact prompt that the model would see now", ARG_NONE, false, slash_raw},
    {"keys", "", "the keys of the full screen", ARG_NONE, false, slash_keys},
    {"quit", "", "leave", ARG_NONE, false, slash_quit},
};
#define N_TABLE ((int)(sizeof table / sizeof *table))

const struct slash *slash_at(int i)
{
    return i >= 0 && i < N_TABLE ? &table[i] : NULL;
}

static const struct slash *find(const char *name, size_t n)
{
    for (int i = 0; i < N_TABLE; i++)
        if (strlen(table[i].name) == n && !memcmp(table[i].name, name, n))
            return &table[i];
    return NULL;
}

static void slash_help(struct face *f, const char *arg)
{
    (void)f;
    (void)arg;
    for (int i = 0; i < N_TABLE; i++) {
        char left[64];
        snprintf(left, sizeof left, "/%s %s", table[i].name, table[i].args);
        term_say(TERM_OUT, "  %-24s  \x1b[2m%s\x1b[0m\n", left, table[i].help);
    }
    term_say(TERM_OUT, "\n  A \\ at the end of a line goes on in the next one; a paste keeps its lines.\n"
                       "  //text sends /text. Tab completes commands. Up brings back what was typed.\n"
                       "  Ctrl-C stops an answer and keeps it. Ctrl-D leaves; everything is saved.\n");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

enum slash_is slash_line(struct face *f, const char *line, const char **text)
{
    *text = line;
    if (line[0] != '/')
        return SLASH_TEXT;
    if (line[1] == '/') {
        *text = line + 1;
        return SLASH_TEXT;
    }
    size_t n = 0;
    while (line[1 + n] && !is_space(line[1 + n])) {
        if (line[1 + n] == '/')
            return SLASH_TEXT; /* a path */
        n++;
    }
    const struct slash *s = find(line + 1, n);
    if (!s) {
        const char *names[N_TABLE + 1];
        for (int i = 0; i < N_TABLE; i++)
            names[i] = table[i].name;
        names[N_TABLE] = NULL;
        char *word = mem_strndup(line + 1, n);
        const char *near = n ? opts_near(word, names) : NULL;
        if (near)
            face_note("no command /%s; did you mean /%s? (//%s sends it as text)", word, near, word);
        else
            face_note("no command /%s; /help lists them, //%s sends it as text", word, word);
        free(word);
        return SLASH_BAD;
    }
    const char *p = line + 1 + n;
    while (is_space(*p))
        p++;
    char *arg = mem_strdup(p);
    for (size_t k = strlen(arg); k && is_space(arg[k - 1]);)
        arg[--k] = 0;
    if (s->needs_history && !f->h)
        face_note("nothing is saved in this chat (-n), so /%s has nothing to work on", s->name);
    else if (*arg && !*s->args)
        face_note("/%s takes nothing behind it", s->name);
    else
        s->run(f, arg);
    free(arg);
    return SLASH_RUN;
}

/* ---- completion ---- */

/* What fits, made when the first is asked for. */
static struct {
    char **at;
    int n;
} found;

static void add_word(char *owned)
{
    for (int i = 0; i < found.n; i++)
        if (!strcmp(found.at[i], owned)) {
            free(owned);
            return;
        }
    found.at = mem_grow(found.at, (size_t)found.n + 1, sizeof *found.at);
    found.at[found.n++] = owned;
}

static void clear_found(void)
{
    for (int i = 0; i < found.n; i++)
        free(found.at[i]);
    found.n = 0;
}

void slash_complete_finish(void)
{
    clear_found();
    free(found.at);
    found.at = NULL;
}

static void add_if(const char *name, const char *word)
{
    if (!strncmp(name, word, strlen(word)))
        add_word(mem_strdup(name));
}

/* Titles that begin with what was typed so far (`typed`, of which the word at `off` is to be completed), and short ids. */
static void add_sessions(struct face *f, bool deleted, const char *typed, size_t off)
{
    struct hist_list l;
    if (!f->h || hist_session_list(f->h, deleted, 0, &l, NULL) < 0)
        return;
    size_t n = strlen(typed);
    for (size_t i = 0; i < l.n; i++) {
        struct buf title = BUF_INIT(1 << 16);
        char id[7];
        short_id(l.at[i].uid, id);
        sane_line(&title, l.at[i].title, strlen(l.at[i].title));
        if (title.len > off && !strncasecmp(buf_str(&title), typed, n))
            add_word(mem_strdup(title.data + off));
        else if (off == 0 && !strncasecmp(id, typed, n))
            add_word(mem_strdup(id));
        buf_finish(&title);
    }
    hist_list_finish(&l);
}

static void add_models(const char *word)
{
    int n;
    char *dir;
    char **list = conf_models(&dir, &n, NULL);
    for (int i = 0; list && i < n; i++)
        add_if(list[i], word);
    if (list) {
        conf_models_free(list);
        free(dir);
    }
}

static void add_files(const char *word)
{
    const char *slash = strrchr(word, '/');
    char *folder = slash ? mem_strndup(word, (size_t)(slash - word) + 1) : mem_strdup("");
    const char *name = slash ? slash + 1 : word;
    DIR *d = opendir(*folder ? folder : ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        if ((e->d_name[0] == '.' && name[0] != '.') || strncmp(e->d_name, name, strlen(name)) || strpbrk(e->d_name, " \t\n"))
            continue;
        struct stat st;
        char *path = mem_printf("%s%s", folder, e->d_name);
        bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        struct buf clean = BUF_INIT(1 << 16);
        sane_line(&clean, path, strlen(path));
        if (!strcmp(buf_str(&clean), path)) /* what cannot be shown is not offered */
            add_word(mem_printf("%s%s", path, is_dir ? "/" : ""));
        buf_finish(&clean);
        free(path);
    }
    if (d)
        closedir(d);
    free(folder);
}

static void add_settings(struct face *f, const char *word)
{
    const char *name;
    for (int i = 0; (name = conf_setting(f->conf, i, NULL, NULL)); i++)
        add_if(name, word);
}

/* What may stand for the value of a setting. */
static void add_values(const char *setting, size_t n, const char *word)
{
    const struct opt *o = opts_find(opts_main, setting, n);
    if (!o)
        return;
    if (o->kind == OPT_FLAG) {
        add_if("yes", word);
        add_if("no", word);
    } else if (o->kind == OPT_SEED) {
        add_if("random", word);
    } else if (o->complete && !strcmp(o->complete, "models")) {
        add_models(word);
    } else if (o->complete && !strcmp(o->complete, "files")) {
        add_files(word);
    }
}

/* The word at `start` of the line, in the arguments of a command that begin at `args`. */
static void add_arguments(struct face *f, const struct slash *s, const char *line, size_t args, size_t start, const char *word)
{
    size_t first = strcspn(line + args, " \t");
    char *typed = mem_strndup(line + args, start - args + strlen(word));
    switch (s->kind) {
    case ARG_SESSION:
    case ARG_DELETED:
        add_sessions(f, s->kind == ARG_DELETED, typed, start - args);
        break;
    case ARG_SETTING:
        if (start == args)
            add_settings(f, word);
        else
            add_values(line + args, first, word);
        break;
    case ARG_MODEL:
        add_models(word);
        break;
    case ARG_EXPORT:
        if (start == args) {
            add_if("md", word);
            add_if("json", word);
            add_if("html", word);
        }
        if (start != args || *word)
            add_files(word);
        break;
    case ARG_NONE:
    case ARG_TEXT:
        break;
    }
    free(typed);
}

char *slash_complete(struct face *f, const char *line, int start, const char *word, int i)
{
    if (line[0] != '/' || f->edit)
        return NULL;
    if (i == 0) {
        clear_found();
        size_t n = strcspn(line, " \t\n");
        const struct slash *s = find(line + 1, n - 1);
        size_t args = n + strspn(line + n, " \t");
        if (start == 0 && *word) {
            for (int k = 0; k < N_TABLE; k++)
                if (!strncmp(table[k].name, word + 1, strlen(word + 1)))
                    add_word(mem_printf("/%s", table[k].name));
        } else if (s && (size_t)start >= args) {
            add_arguments(f, s, line, args, (size_t)start, word);
        }
    }
    return i < found.n ? mem_strdup(found.at[i]) : NULL;
}
