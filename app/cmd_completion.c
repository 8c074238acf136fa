/*
 * hadal completion SHELL: a script for the shell; and hadal completion --words -- WORD...: what may stand where the last word ends. The
 * scripts only ask this program, so that they know every option, command, model and session there is.
 *
 * Output of --words: a candidate a line, with a tab and a description behind it where there is one; the line ":files" stands for file names.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SESSIONS_MAX 200

struct completing {
    bool help, words;
};

static const struct opt opts[] = {
    {.name = "words", .kind = OPT_FLAG, .at = offsetof(struct completing, words), .help = "for the scripts: what may stand where the last of the words ends"},
    OPT_ROW_HELP(struct completing),
    {.name = NULL},
};

static const char script_bash[] =
    "_hadal() {\n"
    "    local line\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        if [ \"$line\" = :files ]; then\n"
    "            compopt -o filenames\n"
    "            while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -f -- \"$2\")\n"
    "        else\n"
    "            line=${line%%$'\\t'*}\n"
    "            [[ $line != *' '* ]] || line=$(printf %q \"$line\")\n"
    "            COMPREPLY+=(\"$line\")\n"
    "        fi\n"
    "    done < <(\"$1\" completion --words -- \"${COMP_WORDS[@]:1:COMP_CWORD-1}\" \"$2\" 2>/dev/null)\n"
    "}\n"
    "complete -F _hadal hadal\n";

static const char script_zsh[] =
    "#compdef hadal\n"
    "_hadal() {\n"
    "    local line\n"
    "    local -a found\n"
    "    for line in \"${(@f)$($words[1] completion --words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "        if [[ $line == :files ]]; then\n"
    "            _files\n"
    "        elif [[ -n $line ]]; then\n"
    "            line=${line//:/\\\\:}\n"
    "            found+=(\"${line/$'\\t'/:}\")\n"
    "        fi\n"
    "    done\n"
    "    (( $#found )) && _describe hadal found\n"
    "}\n"
    "if [[ $funcstack[1] == _hadal ]]; then _hadal \"$@\"; else compdef _hadal hadal; fi\n";

static const char script_fish[] =
    "function __hadal_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l word (commandline -ct)\n"
    "    for line in ($words[1] completion --words -- $words[2..] \"$word\" 2>/dev/null)\n"
    "        if test $line = :files\n"
    "            __fish_complete_path \"$word\"\n"
    "        else\n"
    "            echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c hadal -f -a '(__hadal_complete)'\n";

/* What is typed, and where the candidates go. */
struct ask {
    const char *word;   /* the last word, without "--name=" */
    const char *before; /* that "--name=", or "" */
    struct buf *out;
};

static void offer(const struct ask *a, const char *text, const char *about)
{
    if (strncasecmp(text, a->word, strlen(a->word)) != 0)
        return;
    buf_addstr(a->out, a->before);
    cmd_line(a->out, text);
    if (about && *about) {
        buf_addch(a->out, '\t');
        cmd_line(a->out, about);
    }
    buf_addch(a->out, '\n');
}

static void offer_models(const struct ask *a)
{
    char *dir;
    int n;
    char **list = conf_models(&dir, &n, NULL);
    for (int i = 0; i < n; i++)
        offer(a, list[i], NULL);
    conf_models_free(list);
    free(dir);
}

static void offer_sessions(const struct ask *a, bool deleted)
{
    struct hist *h = NULL;
    struct hist_list l = {0};
    struct conf c;
    conf_init(&c);
    if (!app_history(&c, true, &h, NULL) && !hist_session_list(h, deleted, SESSIONS_MAX, &l, NULL)) {
        for (size_t i = 0; i < l.n; i++) {
            char id[7];
            short_id(l.at[i].uid, id);
            offer(a, id, l.at[i].title);
        }
        /* A title is offered once something is typed: all of them would hide the ids. */
        for (size_t i = 0; i < l.n && *a->word; i++)
            if (*l.at[i].title)
                offer(a, l.at[i].title, NULL);
    }
    hist_list_finish(&l);
    hist_close(h);
    conf_finish(&c);
}

/* `what`: a struct opt's complete. */
static void offer_kinds(const struct ask *a, const char *what)
{
    struct buf one = BUF_INIT(256);
    for (size_t n; what && *what; what += n + (what[n] == ' ')) {
        n = strcspn(what, " ");
        buf_reset(&one);
        buf_add(&one, what, n);
        const char *kind = buf_str(&one);
        if (!strcmp(kind, "models"))
            offer_models(a);
        else if (!strcmp(kind, "files"))
            buf_addstr(a->out, ":files\n");
        else if (!strcmp(kind, "sessions") || !strcmp(kind, "deleted"))
            offer_sessions(a, *kind == 'd');
        else
            offer(a, kind, NULL);
    }
    buf_finish(&one);
}

static void offer_options(const struct ask *a, const struct opt *table)
{
    struct buf name = BUF_INIT(256);
    for (const struct opt *o = table; o->name; o++) {
        buf_reset(&name);
        buf_addf(&name, "--%s", o->name);
        offer(a, buf_str(&name), o->help);
    }
    buf_finish(&name);
}

/* The option of `table` that `arg` is and that takes its value from the next word; NULL: it is none. */
static const struct opt *wants_value(const struct opt *table, const char *arg)
{
    if (arg[0] != '-' || !arg[1])
        return NULL;
    const struct opt *o = NULL;
    if (arg[1] == '-')
        o = opts_find(table, arg + 2, strlen(arg + 2));
    else
        for (const struct opt *p = table; p->name; p++)
            if (p->letter == arg[strlen(arg) - 1])
                o = p;
    return o && o->kind != OPT_FLAG ? o : NULL;
}

/* What the words (not options) of a command are. */
static const char *word_kind(const struct cmd *c, char *const *words, int n)
{
    if (!strcmp(c->name, "completion"))
        return "bash zsh fish";
    if (!strcmp(c->name, "rm"))
        for (int i = 1; i < n; i++)
            if (!strcmp(words[i], "--undo"))
                return "deleted";
    return strstr(c->args, "[SESSION]") ? "sessions" : strstr(c->args, "MODEL") ? "models files" : strstr(c->args, "FILE") ? "files" : NULL;
}

/* words[0..n): the command line behind "hadal"; the last is being typed. */
static void complete(char *const *words, int n, struct buf *out)
{
    struct ask a = {words[n - 1], "", out};
    const struct cmd *c = n > 1 ? cmd_find(words[0]) : NULL;
    const struct opt *table = c ? c->opts : opts_main, *o;
    char *before = NULL, *eq = strchr(words[n - 1], '=');
    for (int i = c ? 1 : 0; i < n - 1; i++)
        if (!strcmp(words[i], "--"))
            return;
    if (n > 1 && (o = wants_value(table, words[n - 2]))) {
        offer_kinds(&a, o->complete);
    } else if (!strncmp(a.word, "--", 2) && eq) {
        o = opts_find(table, a.word + 2, (size_t)(eq - a.word - 2));
        struct buf b = BUF_INIT(4096);
        buf_add(&b, a.word, (size_t)(eq + 1 - a.word));
        a.before = before = buf_take(&b);
        a.word = eq + 1;
        if (o)
            offer_kinds(&a, o->kind == OPT_FLAG ? "yes no" : o->complete);
    } else if (a.word[0] == '-') {
        offer_options(&a, table);
    } else if (c) {
        offer_kinds(&a, word_kind(c, words, n - 1));
    } else if (n == 1) {
        for (int i = 0; cmd_at(i); i++)
            offer(&a, cmd_at(i)->name, cmd_at(i)->help);
    }
    free(before);
}

static int run(int argc, char **argv)
{
    static const struct {
        const char *name, *text;
    } shells[] = {{"bash", script_bash}, {"zsh", script_zsh}, {"fish", script_fish}};
    struct completing o = {0};
    struct words w;
    int status;
    if (cmd_args(&cmd_completion, &o, argc, argv, &w, 0, -1, &status)) {
        struct buf b = BUF_INIT(SIZE_MAX);
        struct err e;
        bool found = o.words;
        if (o.words && w.n)
            complete(w.at, w.n, &b);
        for (size_t i = 0; !o.words && w.n == 1 && i < sizeof shells / sizeof shells[0]; i++)
            if (!strcmp(w.at[0], shells[i].name)) {
                buf_addstr(&b, shells[i].text);
                found = true;
            }
        if (found) {
            status = cmd_out(&b);
        } else {
            err_set(&e, ERR_USAGE, "which shell: bash, zsh or fish?");
            status = cmd_usage(&cmd_completion, &e);
        }
        buf_finish(&b);
    }
    cmd_done(&cmd_completion, &o, &w);
    return status;
}

const struct cmd cmd_completion = {.name = "completion", .args = "bash|zsh|fish", .help = "print a completion script for the shell", .opts = opts, .run = run,
                                   .more = "bash: eval \"$(hadal completion bash)\" in ~/.bashrc;\nzsh: the same in ~/.zshrc behind compinit;\n"
                                           "fish: hadal completion fish >~/.config/fish/completions/hadal.fish"};
