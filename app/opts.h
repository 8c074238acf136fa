#ifndef APP_OPTS_H
#define APP_OPTS_H
/*
 * Options as data. One table (opts_main, app/opts.c) feeds the command line, the config file, the environment, /set, --help, the
 * completions and the test of the man page; each sub-command has a small table of its own in the same form.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum opt_kind {
    OPT_FLAG, /* bool; no value, or "=yes", "=no" */
    OPT_TEXT, /* char *, owned; "" gives NULL */
    OPT_WORD, /* char *, owned; "" stays "" */
    OPT_INT,  /* int */
    OPT_REAL, /* float */
    OPT_SEED, /* uint64_t, or "random" */
};

enum {
    OPT_CONFIG = 1,  /* also a key of the config file and HADAL_NAME in the environment */
    OPT_SETTING = 2, /* also /set in a chat */
};

struct opt {
    const char *name; /* long name, without "--"; NULL ends a table */
    char letter;      /* 0: none */
    enum opt_kind kind;
    unsigned where;
    size_t at;        /* offset of the value in the struct that is filled */
    size_t given_at;  /* offset of a bool that says that it was given; 0: none (no table has one first) */
    double min, max;  /* OPT_INT, OPT_REAL; a TEXT's max: bytes */
    const char *arg;  /* as --help shows the value: "N"; NULL for flags */
    const char *complete; /* for the completions: kinds ("models", "sessions", "deleted", "files") and plain words, with spaces between */
    const char *help;     /* one line, lower case, no full stop */
    int (*check)(const char *value, struct err *err); /* TEXT, WORD: refuses what has not the right form; NULL: any text */
    const char *group;    /* heading in --help in front of this one; NULL: goes on */
};

/* The words of a command line that are no options, and where they were. Points into argv. */
struct words {
    char **at; /* owned array of borrowed strings */
    int n;
};

extern const struct opt opts_main[]; /* fills struct conf */

const struct opt *opts_find(const struct opt *table, const char *name, size_t n); /* NULL: none */

/*
 * Stores one value with checks. `dash` is put in front of the name in a message ("--" on the command line, "" in a file).
 * value NULL: a flag without value. ERR_USAGE.
 */
int opt_store(const struct opt *o, void *base, const char *dash, const char *value, struct err *err);
/* The value as text that opt_store takes. */
void opt_show(const struct opt *o, const void *base, struct buf *out);
/* Frees the texts of a filled struct. */
void opts_finish(const struct opt *table, void *base);

/*
 * Parses argv[1..argc). Options and words may be mixed; "--" ends the options; letters may be bundled. ERR_USAGE with one sentence, with a
 * suggestion where one is near. words->at is owned by the caller (free).
 */
int opts_parse(const struct opt *table, void *base, int argc, char **argv, struct words *words, struct err *err);

/* The lines of --help for a table, wrapped at 80 columns. */
void opts_help(const struct opt *table, struct buf *out);
/* Appends a text in lines of at most 80 columns, of which the later ones are indented, and a newline. "\n" in it begins a line. */
void opts_wrap(struct buf *out, int indent, const char *text);
/* The name nearest to `word` among names (NULL-terminated), or NULL when none is near. */
const char *opts_near(const char *word, const char *const *names);

#endif
