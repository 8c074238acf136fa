/*
 * Which process writes an answer, and is it alive? A pid alone says little: pids are used again, and mean nothing in another
 * namespace or on another machine. So the start time goes with it, and where the process cannot be asked, its last sign of life counts.
 */
#include "config.h"
#include "history/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENT_MS (INT64_C(3600) * 1000)

/* The first line of a small file, "" when there is none. */
static void first_line(const char *path, char *out, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, out, n - 1);
    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

/* State and start time from /proc/PID/stat: behind the name, which may hold anything. start 0: not known. */
static char process_state(int64_t pid, int64_t *start)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    first_line(path, text, sizeof text);
    *start = 0;
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ')
        return 0;
    char state = p[2];
    int field = 2;
    for (p++; *p && field < 22; p++)
        field += *p == ' ';
    *start = strtoll(p, NULL, 10);
    return state;
}

void owner_self(struct owner *o)
{
    *o = (struct owner){.pid = getpid()};
    process_state(o->pid, &o->start);
    first_line("/proc/sys/kernel/random/boot_id", o->boot, sizeof o->boot);
    first_line("/etc/machine-id", o->machine, sizeof o->machine);
    ssize_t n = readlink("/proc/self/ns/pid", o->ns, sizeof o->ns - 1);
    o->ns[n > 0 ? n : 0] = 0;
}

bool owner_alive(const struct owner *o, const struct owner *self, int64_t now_ms)
{
    if (strcmp(o->boot, self->boot) != 0) {
        if (self->machine[0] && strcmp(o->machine, self->machine) == 0)
            return false; /* this machine, before it was started anew */
    } else if (strcmp(o->ns, self->ns) == 0) {
        int64_t start;
        char state = process_state(o->pid, &start);
        if (state)
            return state != 'Z' && state != 'X' && start == o->start;
        if (self->start || (kill((pid_t)o->pid, 0) < 0 && errno == ESRCH))
            return false;
    }
    return now_ms - o->beat_ms < SILENT_MS;
}
