/*
 * The log file. One write(2) an entry, so that lines of several threads and processes do not mix. See log.h.
 */
#include "config.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sane.h"

static int log_fd = -1;

void log_open(const char *path)
{
    if (!path)
        path = getenv("HADAL_LOG");
    if (!path || !*path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        if (log_fd >= 0)
            close(log_fd);
        log_fd = fd;
    }
}

void log_say(const char *fmt, ...)
{
    if (log_fd < 0)
        return;
    char text[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &tm);
    struct buf line = BUF_INIT(16384);
    buf_addf(&line, "%04d-%02d-%02d %02d:%02d:%02d.%03ld %d ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
             tm.tm_sec, t.tv_nsec / 1000000, (int)getpid());
    sane_line(&line, text, strlen(text));
    buf_addch(&line, '\n');
    if (write(log_fd, line.data, line.len) < 0) {
        close(log_fd); /* a full disk: the log is not worth a message */
        log_fd = -1;
    }
    buf_finish(&line);
}
