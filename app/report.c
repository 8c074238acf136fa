/*
 * Telling a person of errors and notices: the one place that does. Messages may hold foreign text (file names, metadata), so
 * each is made one sanitized line before the terminal sees it.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "base/log.h"
#include "base/sane.h"
#include "ui/line.h"

static void say(const char *text)
{
    struct buf b = BUF_INIT(1 << 16);
    sane_line(&b, text, strlen(text));
    log_say("said: %s", buf_str(&b));
    term_status("");
    term_say(TERM_ERR, "hadal: %s\n", buf_str(&b));
    buf_finish(&b);
}

int report(const struct err *err)
{
    if (err->msg[0])
        say(err->msg);
    return err_exit_status(err->code);
}

void notice(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(text);
}
