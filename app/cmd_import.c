/*
 * hadal import FILE: brings exported sessions back in, all of them or none.
 */
#include "config.h"
#include "app/cmd.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"

#define IMPORT_MAX ((size_t)1 << 30)

struct importing {
    bool help;
};

static const struct opt opts[] = {
    OPT_ROW_HELP(struct importing),
    {.name = NULL},
};

/* Does the file begin as an SQLite database does? */
static bool is_sqlite(const char *file)
{
    char head[16] = "";
    struct stat st; /* a pipe would lose what is read here */
    FILE *f = strcmp(file, "-") && stat(file, &st) == 0 && S_ISREG(st.st_mode) ? fopen(file, "rbe") : NULL;
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    return n == sizeof head && memcmp(head, "SQLite format 3", sizeof head) == 0;
}

static int run(int argc, char **argv)
{
    struct importing o = {0};
    struct words w;
    int status;
    struct buf b = BUF_INIT(IMPORT_MAX);
    if (cmd_args(&cmd_import, &o, argc, argv, &w, 1, 1, &status)) {
        struct err e;
        struct hist *h = NULL;
        int n = 0;
        const char *file = w.at[0];
        bool llm = is_sqlite(file);
        if (!llm && (!strcmp(file, "-") ? cmd_stdin(&b, &e) : path_read(file, &b, &e))) {
            status = report(&e);
        } else if ((h = cmd_history(false, &status))) {
            if (llm ? hist_import_llm(h, file, &n, &e) : import_sessions(h, buf_str(&b), b.len, &n, &e)) {
                if (!llm)
                    err_wrap(&e, "%.200s", file);
                status = report(&e);
            } else {
                notice("%d session%s imported", n, n == 1 ? "" : "s");
            }
        }
        hist_close(h);
    }
    buf_finish(&b);
    cmd_done(&cmd_import, &o, &w);
    return status;
}

const struct cmd cmd_import = {.name = "import", .args = "FILE", .help = "read sessions of hadal, ChatGPT, llama.cpp's web UI, or llm",
                               .opts = opts, .run = run};
