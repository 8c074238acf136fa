/*
 * All keys and commands, in one table: the help view and /keys come from it (man/hadal.1 tells of them in its own words). Rows for
 * writing and reading stand here, those of the program's commands in ui/editor.h and app/slash.c.
 */
#include "config.h"
#include "app/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/slash.h"
#include "base/mem.h"
#include "ui/editor.h"
#include "ui/line.h"

static const struct help_row fixed[] = {
    {"Writing", "Enter", "send; while an answer runs: queue"},
    {"Writing", "M-Enter C-j", "a new line; also \\ and Enter"},
    {"Writing", "Up Down", "a row; at the edge: what was typed before"},
    {"Writing", "C-r", "search what was typed before"},
    {"Writing", "Tab", "complete; in an empty box: open or fold the thoughts"},
    {"Writing", "PgUp PgDn", "scroll; C-Home C-End to either end"},
    {"Writing", "Esc", "read (in vi mode: from the command mode)"},
    {"Writing", "C-c", "stop the answer; then put the draft aside; twice: leave"},
    {"Writing", "C-d", "leave, in an empty box; everything is saved"},
    {"Writing", "C-z C-l", "suspend, redraw"},
    {"Reading", "j k Up Down", "a line"},
    {"Reading", "Space b PgUp PgDn", "a page; C-d C-u half of one"},
    {"Reading", "g G", "the beginning, the end"},
    {"Reading", "J K", "the next, the previous message"},
    {"Reading", "/ ? n N", "search, on and back"},
    {"Reading", "Tab z", "open or fold the thoughts"},
    {"Reading", "y Y", "copy the message: text, Markdown"},
    {"Reading", "c1 .. c9", "copy code block c1 .. c9"},
    {"Reading", "| v s", "pipe, view in $PAGER, save to a file"},
    {"Reading", "e r", "edit the prompt, answer again"},
    {"Reading", "[ ]", "the previous, the next version"},
    {"Reading", ":", "a command"},
    {"Reading", "i q Esc", "back to writing"},
    {"Sessions", "Enter n", "open; begin a new one"},
    {"Sessions", "/", "filter: words of titles, tags and texts, tag: model: after: before: is:pinned"},
    {"Sessions", "r t p a", "rename; tag (-tag takes it away); pin; to or from the archive"},
    {"Sessions", "d u", "delete; bring back what was deleted"},
    {"Sessions", "f x", "fork; export (the name's end says which form)"},
    {"Sessions", "s A", "another order; all or the archive"},
    {"Sessions", "Space b", "scroll the preview"},
    {"Search", "Enter", "open at the message"},
    {"Search", "C-o", "this session only"},
    {"Branches", "Enter f", "go there; fork from there"},
    {"Branches", "m d", "mark; compare with the marked one"},
    {"Branches", "[ ]", "the previous, the next version"},
    {"Models", "Enter", "use it from here on"},
    {"Settings", "Enter", "change"},
    {"Any screen", "q Esc", "back"},
};

size_t keys_rows(struct help_row **out)
{
    const struct editor_command *c;
    const struct slash *s;
    size_t n = 0, n_fixed = sizeof fixed / sizeof fixed[0], most = n_fixed;
    for (int i = 0; editor_command_at(i); i++)
        most++;
    for (int i = 0; slash_at(i); i++)
        most++;
    struct help_row *rows = mem_array(most, sizeof *rows);
    for (size_t i = 0; i < n_fixed; i++) {
        if (i && strcmp(fixed[i].section, "Reading") == 0 && strcmp(fixed[i - 1].section, "Writing") == 0)
            for (int k = 0; (c = editor_command_at(k)); k++)
                rows[n++] = (struct help_row){"Anywhere in the chat", mem_strdup(c->key), c->help};
        rows[n++] = (struct help_row){fixed[i].section, mem_strdup(fixed[i].key), fixed[i].help};
    }
    for (int i = 0; (s = slash_at(i)); i++)
        rows[n++] = (struct help_row){"Commands", mem_printf("/%s%s%s", s->name, *s->args ? " " : "", s->args), s->help};
    *out = rows;
    return n;
}

void keys_free(struct help_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((char *)(uintptr_t)rows[i].key);
    free(rows);
}

void slash_keys(struct face *f, const char *arg)
{
    struct help_row *rows;
    size_t n = keys_rows(&rows);
    (void)f;
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(rows[i].section, "Commands"))
            continue;
        if (!i || strcmp(rows[i].section, rows[i - 1].section) != 0)
            term_say(TERM_OUT, "%s\x1b[1m%s\x1b[0m\n", i ? "\n" : "", rows[i].section);
        term_say(TERM_OUT, "  %-20s  \x1b[2m%s\x1b[0m\n", rows[i].key, rows[i].help);
    }
    keys_free(rows, n);
}
