#ifndef APP_CONF_H
#define APP_CONF_H
/*
 * Settings. One table of options (app/opts.c) feeds the command line, the config file, the environment, --help, the man page and the
 * completions. Precedence: built-in < config file < HADAL_* environment < command line < /set in a chat.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/sampler_conf.h"

struct conf {
    /* what to talk to */
    char *model;        /* -m: path or a name in models/; NULL: the default model */
    char *tmpl;         /* --template: name or file; NULL: the model's own */
    char *system;       /* --system; NULL: the template's default */
    int n_ctx;          /* --ctx; 0: the model's, at most 4096 */
    int n_threads;      /* -t; 0: one per core */
    bool exact;         /* --exact: conf_export puts it where the kernels look */
    int max_tokens;     /* --max-tokens; 0: until the end or the context is full */
    struct sampler_conf sampler; /* its order is not used: see samplers */
    bool gave[SAMPLER_KEYS];    /* a person set this: the model's recommendation does not count */
    char *samplers;     /* --samplers; NULL: the usual order */
    char *logit_bias, *dry_breakers; /* NULL: none; the usual ones */
    char *grammar, *schema; /* --grammar, --schema: files */
    bool seed_set;      /* else a fresh seed is drawn for each answer and stored */
    bool system_given;  /* --system on this command line: it also replaces that of a session that goes on */
    /* which conversation */
    bool cont;          /* -c */
    char *session;      /* -s */
    bool no_save;       /* -n */
    /* how it comes out */
    bool json, jsonl, no_stream, stats, line, plain, raw, strict, verbose, no_stdin, question_first;
    char *theme;        /* --theme; NULL: auto, by what the terminal answers */
    char *out_file;     /* -o */
    char *prompt;       /* -p TEXT, or the words of the command line joined by spaces; NULL: none */
    bool help, version;
    struct persona {
        char *name, *text;
    } *personas; /* persona.NAME of the config file: named system prompts */
    int n_personas;
};

/* Built-in values. */
void conf_init(struct conf *c);
void conf_finish(struct conf *c);
/* Sets one setting by its long name ("top-k") from text, with range checks; used by every source and by /set.
 * ERR_USAGE with a sentence that names the setting and what it takes. */
int conf_set(struct conf *c, const char *name, const char *value, struct err *err);
/* Config file and environment. A bad line is reported through `warn` with file and line, and does not stop the program. */
int conf_load(struct conf *c, void (*warn)(void *arg, const char *text), void *arg, struct err *err);
/* What lower rooms and the engine read in the environment (HADAL_EXACT). Once the settings are complete. */
void conf_export(const struct conf *c);
const struct persona *conf_persona(const struct conf *c, const char *name); /* NULL: none */
/* The config file alone. */
void conf_load_file(struct conf *c, void (*warn)(void *arg, const char *text), void *arg);
/* The sampler as a job has it: with the order. */
struct sampler_conf conf_sampler(const struct conf *c);
/* Takes over the values of the settings that nobody gave. */
void conf_recommend(const struct conf *c, const struct sampler_conf *from, struct sampler_conf *to);
/* The sampler, limits and template settings as a JSON object (stored with each answer). Owned by the caller. */
char *conf_params_json(const struct conf *c, uint64_t seed);
/* Names of the settings /set knows, for help and completion: i = 0.. until NULL; *help, *value (formatted into buf). */
const char *conf_setting(const struct conf *c, int i, const char **help, struct buf *value);

/* Resolves -m to a file: a path, a name (with or without .gguf) in $XDG_DATA_HOME/hadal/models/ (its unique part is enough), or
 * NULL: the default model there, else the only one. ERR_NOMODEL with what is there and what to do. Owned by the caller. */
int conf_model_path(const char *name, char **path, struct err *err);
/* What --template names: the text of a file, or the name of one that is built in ("chatml"); NULL for NULL. Owned by the caller. */
int conf_template(const char *name, char **out, struct err *err);
/* What --grammar or --schema ask of an answer, as GBNF that was checked; NULL: nothing. Owned by the caller. ERR_INPUT, ERR_USAGE. */
int conf_grammar(const struct conf *c, char **out, struct err *err);
/* The names of the files in models/, sorted, NULL behind the last; *dir: the folder. Both owned by the caller. NULL: there is no home. */
char **conf_models(char **dir, int *n, struct err *err);
void conf_models_free(char **list);
int conf_model_default(char *const *list, int n); /* index of the one that no -m means; -1: none */

#endif
