/*
 * The question of a one-shot run. See question.h. Nothing is cut: what is too long is refused with both numbers.
 */
#include "config.h"
#include "app/question.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "base/utf8.h"
#include "ui/line.h"

#define MESSAGE_MAX ((size_t)256 << 20) /* bytes (design: reliability 6) */
#define SAY_AFTER_MS 1000

static bool is_readable_kind(void)
{
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* stdin up to its end, behind what is in b. A person who waits is told what for. */
static int read_stdin(struct buf *b, struct err *err)
{
    static char chunk[1 << 16];
    size_t total = 0;
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&p, 1, SAY_AFTER_MS) == 0)
            term_status("waiting for standard input (--no-stdin leaves it alone)");
        ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            term_status("");
            return n == 0 ? 0 : err_sys(err, ERR_IO, "cannot read standard input");
        }
        total += (size_t)n;
        if (total <= b->max)
            buf_add(b, chunk, (size_t)n);
        if (total > b->max || buf_over(b))
            return err_set(err, ERR_INPUT, "standard input is longer than the %zu MiB that a message may have", MESSAGE_MAX >> 20);
    }
}

/* Text in another encoding, by its byte order mark. */
static int check_encoding(const char *s, size_t n, struct err *err)
{
    const char *name = NULL;
    if (n >= 4 && (!memcmp(s, "\xff\xfe\0", 4) || !memcmp(s, "\0\0\xfe\xff", 4)))
        name = "UTF-32";
    else if (n >= 2 && (!memcmp(s, "\xff\xfe", 2) || !memcmp(s, "\xfe\xff", 2)))
        name = "UTF-16";
    return name ? err_set(err, ERR_INPUT, "standard input is %s text; make it UTF-8 first: iconv -f %s -t UTF-8", name, name) : 0;
}

/* Replaces what is not UTF-8. */
static int repair(const struct conf *c, struct buf *b, struct err *err)
{
    if (utf8_valid(buf_str(b), b->len))
        return 0;
    struct buf fixed = BUF_INIT(3 * MESSAGE_MAX);
    size_t n = utf8_repair(&fixed, buf_str(b), b->len);
    if (c->strict) {
        buf_finish(&fixed);
        return err_set(err, ERR_INPUT, "the input is not UTF-8 in %zu place%s (without --strict each becomes U+FFFD)", n, n == 1 ? "" : "s");
    }
    notice("the input is not UTF-8 in %zu place%s; each became U+FFFD", n, n == 1 ? "" : "s");
    buf_finish(b);
    *b = fixed;
    return 0;
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", s[i]) || !s[i])
            return false;
    return true;
}

/* Line ends at the end of b are taken off. */
static void chomp(struct buf *b)
{
    while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\r'))
        b->data[--b->len] = 0;
}

int question_read(const struct conf *c, struct buf *out, struct err *err)
{
    buf_init(out, MESSAGE_MAX);
    const char *q = c->prompt && !is_blank(c->prompt, strlen(c->prompt)) ? c->prompt : NULL;
    int rc = 0;
    if (!c->no_stdin && is_readable_kind()) {
        if (q && c->question_first)
            buf_addf(out, "%s\n\n", q);
        size_t from = out->len;
        rc = read_stdin(out, err);
        if (!rc)
            rc = check_encoding(buf_str(out) + from, out->len - from, err);
        if (!rc && out->len - from >= 3 && !memcmp(out->data + from, "\xef\xbb\xbf", 3)) { /* a signature, no text */
            memmove(out->data + from, out->data + from + 3, out->len - from - 3 + 1);
            out->len -= 3;
        }
        if (!rc && is_blank(buf_str(out) + from, out->len - from))
            buf_reset(out);
    }
    if (rc)
        return rc;
    chomp(out);
    if (q && !(out->len && c->question_first))
        buf_addf(out, "%s%s", out->len ? "\n\n" : "", q);
    if (buf_over(out))
        return err_set(err, ERR_INPUT, "the message is longer than %zu MiB", MESSAGE_MAX >> 20);
    if (!out->len)
        return err_set(err, ERR_INPUT, "there is nothing to ask: %s", c->prompt && !*c->prompt ? "the question is empty" :
                       c->prompt ? "the question is blank" : c->no_stdin ? "no question was given" : "standard input is empty");
    return repair(c, out, err);
}
