/*
 * The program's entry: what kind of run this is. The engine process (--engine-fd N), a sub-command (the first word), or a conversation: then
 * the settings are read and a face is chosen, by where stdin and stdout lead and whether there is a question (the table is at choose()).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "app/cmd.h"
#include "app/question.h"
#include "base/log.h"
#include "base/num.h"
#include "ui/line.h"

/* A closed 0, 1 or 2 would be given to the next file that is opened: to the database, in the worst case. */
static bool open_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

static int print_version(void)
{
    struct buf b = BUF_INIT(4096);
    buf_addf(&b, "%s\nLicence GPL-3.0-or-later: free software, without any warranty.\n", PACKAGE_STRING);
    return cmd_out(&b);
}

static int print_help(void)
{
    struct buf b = BUF_INIT(65536);
    buf_addstr(&b, "usage: hadal [OPTION]... [QUESTION]\n"
                   "       hadal COMMAND [ARGUMENT]...\n"
                   "\n"
                   "Chat with an open language model on this machine. With a question it is\n"
                   "answered and hadal ends; standard input, when it is a pipe or a file, stands in\n"
                   "front of the question. Without one, on a terminal, a conversation begins.\n"
                   "\n"
                   "  hadal                                   a conversation\n"
                   "  hadal \"why is the sky blue?\"            one answer\n"
                   "  git diff | hadal \"write a commit message\"\n"
                   "  hadal -c \"shorter\"                      go on with the newest session\n"
                   "\n"
                   "Commands (hadal COMMAND --help tells more; `hadal -- ls` asks \"ls\"):\n");
    for (int i = 0; cmd_at(i); i++)
        buf_addf(&b, "  %-11s %s\n", cmd_at(i)->name, cmd_at(i)->help);
    buf_addch(&b, '\n');
    opts_help(opts_main, &b);
    buf_addstr(&b, "\nSettings: hadal/config in $XDG_CONFIG_HOME (~/.config), then HADAL_NAME in the\n"
                   "environment, then the command line. More is in hadal(1).\n");
    return cmd_out(&b);
}

/* What cannot go together. */
static int check(const struct conf *c, const struct words *w, struct err *err)
{
    if (c->prompt && w->n)
        return err_set(err, ERR_USAGE, "the question is there twice: as -p and as '%.60s'", w->at[0]);
    if (c->json && c->jsonl)
        return err_set(err, ERR_USAGE, "--json or --jsonl, not both");
    if (c->jsonl && c->out_file)
        return err_set(err, ERR_USAGE, "--jsonl prints events as they happen; -o is for --json");
    if (c->cont && c->session)
        return err_set(err, ERR_USAGE, "-c or -s, not both");
    if (c->no_save && (c->cont || c->session))
        return err_set(err, ERR_USAGE, "with -n there is no session to go on with: leave -n or %s out", c->cont ? "-c" : "-s");
    return 0;
}

/* The full screen, where there is one. */
static int face_chat(struct conf *c, struct hist *h, bool scripted)
{
    int status = -1;
    if (scripted || (!c->line && !c->plain && !term_is_dumb()))
        status = face_full(c, h);
    return status < 0 ? face_line(c, h) : status;
}

/*
 * stdin      stdout    question    what happens
 * terminal   terminal  none        a conversation: full screen, or line by line
 * terminal   any       given       one answer
 * terminal   other     none        usage, 2 (nobody could see a prompt)
 * other      any       any         one answer; stdin, when it is a pipe, a file or a socket, stands in front of the question
 *
 * Nothing to ask (an empty stdin, a blank question) is unusable input, 9.
 */
static int choose(struct conf *c)
{
    struct err e;
    struct hist *h = NULL;
    bool in = isatty(STDIN_FILENO), out = term_is_tty(TERM_OUT), scripted = getenv("HADAL_SCRIPT") != NULL;
    if (!scripted && !c->prompt && (in ? !out || c->json || c->jsonl || c->out_file : c->no_stdin)) {
        err_set(&e, ERR_USAGE, in && out ? "there is no question to answer (--json, --jsonl and -o are for one answer)" :
                               in        ? "there is no question, and a conversation needs a terminal: hadal \"...\"" :
                                           "there is no question: hadal --no-stdin \"...\"");
        return report(&e);
    }
    bool chat = !c->prompt && (in || scripted);
    struct buf question = BUF_INIT(0);
    int status;
    if (!chat && question_read(c, &question, &e))
        status = report(&e);
    else if (app_history(c, false, &h, &e))
        status = app_failed(&e);
    else
        status = chat ? face_chat(c, h, scripted) : face_once(c, h, buf_str(&question), question.len);
    buf_finish(&question);
    hist_close(h);
    return status;
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    notice("%s", text);
}

static int converse(int argc, char **argv)
{
    struct conf c;
    struct words w;
    struct err e;
    int status;
    conf_init(&c);
    conf_load(&c, warn, NULL, NULL);
    if (opts_parse(opts_main, &c, argc, argv, &w, &e) || (!c.help && !c.version && check(&c, &w, &e))) {
        status = report(&e);
    } else if (c.help) {
        status = print_help();
    } else if (c.version) {
        status = print_version();
    } else {
        term_plain(c.plain);
        conf_export(&c);
        if (w.n)
            c.prompt = words_join(w.at, w.n);
        status = choose(&c);
    }
    free(w.at);
    conf_finish(&c);
    return status;
}

int main(int argc, char **argv)
{
    uint64_t fd;
    umask(077);
    if (!open_standard())
        return 1;
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers in JSON and in settings have a point */
    signal(SIGPIPE, SIG_IGN);   /* a reader that leaves is an error of write() */
    log_open(NULL);
    if (argc == 3 && !strcmp(argv[1], "--engine-fd") && num_parse_u64(argv[2], &fd) && fd < 1 << 20)
        return engine_main((int)fd);
    if (argc == 2 && !strcmp(argv[1], "help"))
        return print_help();
    const struct cmd *cmd = argc > 1 ? cmd_find(argv[1]) : NULL;
    return cmd ? cmd->run(argc - 1, argv + 1) : converse(argc, argv);
}
