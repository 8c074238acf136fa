/*
 * Other programs and files, from the full screen: $EDITOR, the pager, a command that a message is piped into, a file it is saved to, the
 * clipboard. The terminal is given away for as long as such a program runs; it is started without a shell, but for the command line that a
 * person typed as one.
 */
#include "config.h"
#include "app/full.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "ui/editor.h"
#include "ui/line.h"
#include "ui/term.h"

#define EDIT_MAX ((size_t)64 << 20)
#define WORDS_MAX 32

extern char **environ;

/* The words of $EDITOR or $PAGER: a program and its arguments, parted by blanks. */
static void split(char *line, char **argv, const char *last)
{
    int n = 0;
    for (char *save = line; n < WORDS_MAX && *save;) {
        while (*save == ' ' || *save == '\t')
            *save++ = 0;
        if (!*save)
            break;
        argv[n++] = save;
        while (*save && *save != ' ' && *save != '\t')
            save++;
    }
    if (last)
        argv[n++] = (char *)(uintptr_t)last;
    argv[n] = NULL;
}

/* Runs it on the terminal; its exit status, or -1 with errno. `in`: its standard input, -1: the terminal. */
static int run(char *const *argv, int in, bool pause)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t defaults;
    pid_t pid;
    int status = -1, rc;
    term_release();
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    rc = posix_spawnp(&pid, argv[0], &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (rc == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    if (rc == 0 && pause) { /* so that what it wrote can be read */
        char c;
        term_say(TERM_OUT, "\n[Enter goes back to the chat]");
        while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n' && c != '\r') {
        }
    }
    term_take();
    errno = rc;
    return rc ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A file descriptor from which the text can be read. */
static int text_fd(const char *text, size_t n)
{
    int fd = memfd_create("message", MFD_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < n;) {
        ssize_t k = write(fd, text + at, n - at);
        if (k <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t)k;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static void tell(struct full *u, const char *program, int status)
{
    if (status < 0)
        full_say(u, ROLE_ALERT, "cannot start %s: %s", program, strerror(errno));
    else if (status)
        full_say(u, ROLE_WARN, "%s ended with status %d", program, status);
}

void full_editor(struct full *u)
{
    const char *name = getenv("VISUAL") && *getenv("VISUAL") ? getenv("VISUAL") : getenv("EDITOR");
    char *line = mem_strdup(name && *name ? name : "vi"), *argv[WORDS_MAX + 2], *draft = prompt_draft();
    const char *dir = getenv("TMPDIR");
    char *path = mem_printf("%s/hadal-prompt-XXXXXX", dir && *dir == '/' ? dir : "/tmp");
    struct err e;
    int fd = u->script ? -1 : mkstemp(path); /* 0600 */
    size_t n = strlen(draft);
    bool ok = fd >= 0 && write(fd, draft, n) == (ssize_t)n;
    if (fd >= 0)
        close(fd);
    if (!ok) {
        full_say(u, ROLE_ALERT, "cannot write %s for the editor: %s", path, strerror(errno));
    } else {
        struct buf b = BUF_INIT(EDIT_MAX);
        split(line, argv, path);
        int status = argv[0] == path ? -1 : run(argv, -1, false);
        tell(u, line, status);
        if (status == 0 && path_read(path, &b, &e)) {
            full_say(u, ROLE_ALERT, "%s", e.msg);
        } else if (status == 0) {
            while (b.len && b.data[b.len - 1] == '\n')
                b.data[--b.len] = 0;
            prompt_prefill(buf_str(&b));
        }
        buf_finish(&b);
    }
    if (fd >= 0)
        unlink(path);
    free(path);
    free(draft);
    free(line);
    u->dirty = true;
}

void full_pager(void *arg, const char *text, size_t n)
{
    struct full *u = arg;
    const char *name = getenv("PAGER");
    char *line = mem_strdup(name && *name ? name : "less"), *argv[WORDS_MAX + 2];
    int fd = text_fd(text, n);
    split(line, argv, NULL);
    if (fd >= 0 && argv[0] && !u->script)
        tell(u, line, run(argv, fd, false));
    if (fd >= 0)
        close(fd);
    free(line);
    u->dirty = true;
}

void full_pipe(void *arg, const char *command, const char *text, size_t n)
{
    struct full *u = arg;
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", mem_strdup(command), NULL};
    int fd = text_fd(text, n);
    if (fd >= 0 && !u->script)
        tell(u, command, run(argv, fd, true));
    if (fd >= 0)
        close(fd);
    free(argv[2]);
    u->dirty = true;
}

void full_save(void *arg, const char *path, const char *text, size_t n)
{
    struct full *u = arg;
    struct err e;
    const char *home = getenv("HOME");
    char *full = path[0] == '~' && path[1] == '/' && home ? path_join(home, path + 2) : mem_strdup(path), count[32];
    if (access(full, F_OK) == 0)
        full_say(u, ROLE_WARN, "%s exists already; name another file", full);
    else if (file_put(full, text, n, &e))
        full_say(u, ROLE_ALERT, "%s", e.msg);
    else
        full_say(u, ROLE_GOOD, "%s, %s bytes", full, count_text(n, count));
    free(full);
}

void full_copy(void *arg, const char *what, const char *text, size_t n)
{
    struct full *u = arg;
    char how[120];
    bool ok = term_copy(text, n, how);
    full_say(u, ok ? ROLE_GOOD : ROLE_WARN, "%s: %s", what, how);
}
