/*
 * The man page against the program's tables: every option and command is in it as it is in the program, and nothing else is.
 */
#include "config.h"
#include "tests/t.h"

#include "app/app.h"
#include "app/opts.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/path.h"

static struct buf page = {.max = 1 << 20};

static int read_page(void **state)
{
    (void)state;
    const char *src = getenv("SRCDIR");
    char *path = path_join(src ? src : ".", "man/hadal.1");
    int rc = path_read(path, &page, NULL);
    free(path);
    return rc;
}

static int free_page(void **state)
{
    (void)state;
    buf_finish(&page);
    return 0;
}

/* The text from the line that begins with `from` up to the next that begins with one of the ends; owned by the caller; NULL: absent. */
static char *stretch(const char *from, const char *const *ends)
{
    const char *at = strstr(buf_str(&page), from);
    if (!at)
        return NULL;
    const char *stop = buf_str(&page) + page.len;
    for (int i = 0; ends[i]; i++) {
        const char *e = strstr(at + 1, ends[i]);
        if (e && e < stop)
            stop = e;
    }
    return mem_strndup(at, (size_t)(stop - at));
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

/* ".It Fl m , Fl -model Ar MODEL" */
static char *item(const struct opt *o)
{
    struct buf b = BUF_INIT(1024);
    buf_addstr(&b, "\n.It ");
    if (o->letter)
        buf_addf(&b, "Fl %c , ", o->letter);
    buf_addf(&b, "Fl -%s", o->name);
    if (o->arg)
        buf_addf(&b, " Ar %s", o->arg);
    buf_addch(&b, '\n');
    return buf_take(&b);
}

static void options(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n.Sh ", NULL};
    char *section = stretch("\n.Sh OPTIONS", ends);
    assert_non_null(section);
    int n = 0;
    for (const struct opt *o = opts_main; o->name; o++, n++) {
        char *line = item(o), *heading = o->group ? mem_printf("\n.Ss %s\n", o->group) : NULL;
        if (!strstr(section, line))
            fail_msg("OPTIONS has no%s", line);
        if (heading && !strstr(section, heading))
            fail_msg("OPTIONS has no%s", heading);
        free(line);
        free(heading);
    }
    assert_int_equal(count(section, "\n.It Fl "), n);
    free(section);
}

/* Options of one run are named as such, and only they. */
static void config_keys(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n.It ", NULL};
    char *file = stretch("\n.It Pa ~/.config/hadal/config", ends);
    assert_non_null(file);
    for (const struct opt *o = opts_main; o->name; o++) {
        char *flag = mem_printf("-%s ", o->name);
        bool said = strstr(file, flag) != NULL, about = !strcmp(o->name, "help") || !strcmp(o->name, "version");
        if (!about && said == !!(o->where & OPT_CONFIG))
            fail_msg("--%s: the config file takes it: %s; the man page: %s", o->name, o->where & OPT_CONFIG ? "yes" : "no", said ? "no" : "yes");
        free(flag);
    }
    free(file);
}

static void commands(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n.It ", "\n.El", NULL};
    int n = 0;
    for (; cmd_at(n); n++) {
        const struct cmd *c = cmd_at(n);
        char *at = mem_printf("\n.It Cm %s%s", c->name, opts_find(c->opts, "help", 4) == c->opts && !*c->args ? "\n" : " ");
        char *text = stretch(at, ends);
        if (!text)
            fail_msg("COMMANDS has no%s", at);
        int flags = 0;
        for (const struct opt *o = c->opts; o->name; o++) {
            char *flag = mem_printf("Fl -%s%s%s", o->name, o->arg && *o->arg >= 'A' && *o->arg <= 'Z' ? " Ar " : "",
                                    o->arg && *o->arg >= 'A' && *o->arg <= 'Z' ? o->arg : "");
            char *letter = mem_printf("Fl %c | Fl -%s", o->letter, o->name);
            bool help = !strcmp(o->name, "help");
            if (!help && !strstr(text, flag))
                fail_msg("%s: no %s in:%s", c->name, flag, text);
            if (!help && o->letter && !strstr(text, letter))
                fail_msg("%s: no %s in:%s", c->name, letter, text);
            flags += !help;
            free(flag);
            free(letter);
        }
        char *eol = strchr(text + 1, '\n');
        if (eol)
            *eol = 0; /* the line of the item */
        if (count(text, "Fl -") > flags)
            fail_msg("%s: an option that it does not have in:%s", c->name, text);
        for (const char *p = c->args; *p;) {
            size_t k = strcspn(p, " []|");
            char *word = mem_strndup(p, k);
            if (k && !strstr(text, word))
                fail_msg("%s: no %s in:%s", c->name, word, text);
            free(word);
            p += k + (p[k] != 0);
        }
        free(at);
        free(text);
    }
    assert_int_equal(count(buf_str(&page), "\n.It Cm "), n);
}

/* Tables that cannot be meant. */
static void tables(void **state)
{
    (void)state;
    for (int i = -1; i < 0 || cmd_at(i); i++) {
        const struct opt *t = i < 0 ? opts_main : cmd_at(i)->opts;
        assert_non_null(opts_find(t, "help", 4));
        for (const struct opt *o = t; o->name; o++) {
            if (opts_find(t, o->name, strlen(o->name)) != o)
                fail_msg("--%s is there twice", o->name);
            for (const struct opt *p = t; p < o; p++)
                if (o->letter && p->letter == o->letter)
                    fail_msg("-%c is --%s and --%s", o->letter, p->name, o->name);
            if ((o->kind == OPT_FLAG) != !o->arg)
                fail_msg("--%s: a flag has no value, the others have", o->name);
            if ((o->kind == OPT_INT || o->kind == OPT_REAL) && o->min >= o->max)
                fail_msg("--%s has no range", o->name);
        }
        if (i >= 0 && cmd_find(cmd_at(i)->name) != cmd_at(i))
            fail_msg("%s is there twice", cmd_at(i)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(options), cmocka_unit_test(config_keys), cmocka_unit_test(commands), cmocka_unit_test(tables)};
    return cmocka_run_group_tests_name("man", tests, read_page, free_page);
}
