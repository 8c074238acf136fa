/*
 * Keys from a file and screens into files, for tests: HADAL_SCRIPT=FILE runs the full screen without a terminal. A line is a command; #
 * begins a comment:
 *
 *   size COLS ROWS     the screen, from here on (80 24)
 *   keys "..."         bytes as a terminal would send them; \n \r \t \" \\ and \xHH
 *   see TEXT           waits until the text stands on the screen (10 s at most: then the program ends with status 1)
 *   idle               waits until no answer is being written and nothing is queued
 *   dump FILE          the screen as text with its looks
 *   pause MS
 *
 * At the end of the file the program leaves as by Ctrl-D.
 */
#include "config.h"
#include "app/full.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/path.h"

#define PATIENCE_US 10000000
#define MAX_FILE ((size_t)4 << 20)

struct script {
    struct buf text;
    size_t at;
    int rows, cols;
    int64_t wait_until; /* of a pause; of what is to be seen */
    bool failed;
};

int script_open(struct script **out, struct err *err)
{
    const char *path = getenv("HADAL_SCRIPT");
    *out = NULL;
    if (!path || !*path)
        return 0;
    struct script *s = mem_zalloc(sizeof *s);
    s->text = BUF_INIT(MAX_FILE);
    s->rows = 24;
    s->cols = 80;
    int rc = path_read(path, &s->text, err);
    if (rc) {
        script_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void script_close(struct script *s)
{
    if (!s)
        return;
    buf_finish(&s->text);
    free(s);
}

void script_size(const struct script *s, int *rows, int *cols)
{
    *rows = s->rows;
    *cols = s->cols;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unquote(const char *s, struct buf *out)
{
    s += *s == '"';
    for (; *s && *s != '"'; s++) {
        if (*s != '\\' || !s[1]) {
            buf_addch(out, *s);
            continue;
        }
        s++;
        if (*s == 'x' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
            buf_addch(out, (char)(hex(s[1]) * 16 + hex(s[2])));
            s += 2;
        } else {
            buf_addch(out, *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s == 't' ? '\t' : *s);
        }
    }
}

static void complain(struct script *s, const char *line, const char *why)
{
    struct err e;
    err_set(&e, ERR_INPUT, "HADAL_SCRIPT: %.200s: %s", line, why);
    report(&e);
    s->failed = true;
}

static void dump(struct script *s, const char *path, const struct surface *screen)
{
    struct buf b = BUF_INIT((size_t)16 << 20);
    struct err e;
    surface_dump(screen, true, &b);
    if (file_put(path, buf_str(&b), b.len, &e))
        complain(s, path, e.msg);
    buf_finish(&b);
}

static bool stands_there(const struct surface *screen, const char *text)
{
    struct buf b = BUF_INIT((size_t)16 << 20);
    surface_dump(screen, false, &b);
    bool yes = strstr(buf_str(&b), text) != NULL;
    buf_finish(&b);
    return yes;
}

/* One command; false: it is not over yet. */
static bool step(struct script *s, const char *line, const struct surface *screen, bool idle, struct buf *keys)
{
    int64_t now = clock_mono_us();
    const char *arg = strchr(line, ' ');
    arg = arg ? arg + strspn(arg, " ") : "";
    if (!*line || *line == '#')
        return true;
    if (!strncmp(line, "size ", 5)) {
        if (sscanf(arg, "%d %d", &s->cols, &s->rows) != 2)
            complain(s, line, "takes columns and rows");
    } else if (!strncmp(line, "keys ", 5)) {
        unquote(arg, keys);
    } else if (!strncmp(line, "dump ", 5)) {
        dump(s, arg, screen);
    } else if (!strncmp(line, "pause ", 6) || !strncmp(line, "see ", 4) || !strcmp(line, "idle")) {
        uint64_t ms = 0;
        bool pause = *line == 'p';
        if (pause)
            num_parse_u64(arg, &ms);
        if (!s->wait_until)
            s->wait_until = now + (pause ? (int64_t)ms * 1000 : PATIENCE_US);
        bool over = pause ? now >= s->wait_until : *line == 's' ? stands_there(screen, arg) : idle;
        if (!over && now < s->wait_until)
            return false;
        if (!over)
            complain(s, line, "waited in vain");
        s->wait_until = 0;
    } else {
        complain(s, line, "no such command");
    }
    return true;
}

bool script_next(struct script *s, const struct surface *screen, bool idle, struct buf *keys, int *rows, int *cols)
{
    while (!s->failed && s->at < s->text.len && !keys->len) {
        const char *p = s->text.data + s->at;
        size_t n = strcspn(p, "\n");
        char *line = mem_strndup(p, n);
        int was_rows = s->rows, was_cols = s->cols;
        bool over = step(s, line, screen, idle, keys);
        free(line);
        if (!over)
            break;
        s->at += n + (p[n] == '\n');
        if (was_rows != s->rows || was_cols != s->cols)
            break; /* drawn first */
        if (keys->len)
            break;
    }
    *rows = s->rows;
    *cols = s->cols;
    return !s->failed && (s->at < s->text.len || keys->len);
}
