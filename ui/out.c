/*
 * Output: the one place that writes to stdout and stderr. Each stream has its own sanitizer state, so that an escape sequence or a
 * character cut between two chunks is still seen, and remembers its first failure, so that a caller may look at the last call only.
 *
 * The status line stands at the start of a line on the terminal, has no newline behind it, and is never as wide as the terminal (a full
 * row would wrap). Whatever is written next to that terminal, by either stream, takes it away first; so it never mixes with text and
 * never stays in the scrollback. It is not drawn while text stands in the row.
 */
#include "config.h"
#include "ui/line.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/sane.h"
#include "base/utf8.h"
#include "ui/wrap.h"

#define SAY_MAX ((size_t)64 << 20)
#define COLUMNS_MAX 10000

static struct stream {
    int fd;
    struct sane sane;
    struct wrap wrap;
    int failed;       /* errno of the first failure */
    bool mid;         /* the last byte written was no newline */
} streams[] = {{.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};

static bool plain;
static struct buf *caught; /* where output goes instead; NULL: nowhere else */
static int caught_columns;
static int status_width; /* columns of the status line that stands there, 0: none */
static struct buf status_text = {.max = 4096};

/* All of it, or false with errno. */
static bool write_all(struct stream *s, const char *p, size_t n)
{
    if (caught) {
        buf_add(caught, p, n);
        if (n)
            s->mid = p[n - 1] != '\n';
        return true;
    }
    while (n && !s->failed) {
        ssize_t k = write(s->fd, p, n);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
            s->mid = p[-1] != '\n';
        } else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd w = {.fd = s->fd, .events = POLLOUT};
            if (poll(&w, 1, -1) < 0 && errno != EINTR)
                s->failed = errno;
        } else if (k == 0 || errno != EINTR) {
            s->failed = k == 0 ? EIO : errno;
        }
    }
    if (s->failed)
        errno = s->failed;
    return !s->failed;
}

bool term_is_dumb(void)
{
    const char *t = getenv("TERM");
    return !t || !*t || !strcmp(t, "dumb");
}

bool term_is_tty(enum term_stream st)
{
    return isatty(streams[st].fd) == 1;
}

int term_columns(enum term_stream st)
{
    struct winsize w;
    if (caught)
        return caught_columns;
    if (ioctl(streams[st].fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    uint64_t n;
    const char *env = getenv("COLUMNS");
    return env && num_parse_u64(env, &n) && n > 0 && n <= COLUMNS_MAX ? (int)n : 80;
}

static bool env_set(const char *name)
{
    const char *v = getenv(name);
    return v && *v;
}

bool term_color(enum term_stream st)
{
    if (plain || caught || env_set("NO_COLOR"))
        return false;
    if (env_set("CLICOLOR_FORCE") && strcmp(getenv("CLICOLOR_FORCE"), "0"))
        return true;
    return term_is_tty(st) && !term_is_dumb();
}

void term_catch(struct buf *b, int columns)
{
    caught = b;
    caught_columns = columns;
}

bool term_at_start(enum term_stream st)
{
    const struct stream *s = &streams[st];
    return !s->mid && !s->wrap.n && !s->sane.n;
}

void term_plain(bool on)
{
    term_status("");
    plain = on;
}

/* Takes the status line away, before something else is written to the terminal. */
static void status_clear(void)
{
    if (!status_width)
        return;
    struct stream *s = &streams[TERM_ERR];
    struct buf b = BUF_INIT(COLUMNS_MAX + 8);
    if (term_is_dumb())
        buf_addf(&b, "\r%*s\r", status_width, "");
    else
        buf_addstr(&b, "\r\x1b[K");
    status_width = 0;
    buf_reset(&status_text);
    write_all(s, buf_str(&b), b.len);
    s->mid = false;
    buf_finish(&b);
}

static bool emit(enum term_stream st, const char *p, size_t n)
{
    if (n && status_width && (st == TERM_ERR || term_is_tty(st)))
        status_clear();
    return write_all(&streams[st], p, n);
}

static bool put_text(enum term_stream st, const char *s, size_t n, bool prose)
{
    struct stream *to = &streams[st];
    struct buf b = BUF_INIT(SAY_MAX), wrapped = BUF_INIT(SAY_MAX);
    int columns = prose ? term_columns(st) : 0;
    bool ok = true;
    /* In pieces, so that the buffer's maximum is never reached: one byte becomes at most eight. */
    while (n && ok) {
        size_t k = n < 65536 ? n : 65536;
        sane_feed(&to->sane, s, k, &b);
        if (prose)
            wrap_feed(&to->wrap, buf_str(&b), b.len, columns, &wrapped);
        ok = prose ? emit(st, buf_str(&wrapped), wrapped.len) : emit(st, buf_str(&b), b.len);
        buf_reset(&b);
        buf_reset(&wrapped);
        s += k;
        n -= k;
    }
    buf_finish(&b);
    buf_finish(&wrapped);
    return ok && emit(st, "", 0);
}

bool term_text(enum term_stream st, const char *s, size_t n)
{
    return put_text(st, s, n, false);
}

bool term_prose(enum term_stream st, const char *s, size_t n)
{
    return put_text(st, s, n, !plain && term_is_tty(st));
}

bool term_prose_pause(enum term_stream st)
{
    struct buf b = BUF_INIT(SAY_MAX);
    wrap_pause(&streams[st].wrap, term_columns(st), &b);
    bool ok = emit(st, buf_str(&b), b.len);
    buf_finish(&b);
    return ok;
}

bool term_text_end(enum term_stream st)
{
    struct buf b = BUF_INIT(SAY_MAX), all = BUF_INIT(SAY_MAX);
    int columns = term_columns(st);
    sane_flush(&streams[st].sane, &b);
    wrap_feed(&streams[st].wrap, buf_str(&b), b.len, columns, &all);
    wrap_flush(&streams[st].wrap, columns, &all);
    bool ok = emit(st, buf_str(&all), all.len);
    buf_finish(&b);
    buf_finish(&all);
    return ok;
}

/* Removes SGR sequences in place. */
static void drop_sgr(struct buf *b)
{
    size_t to = 0;
    for (size_t i = 0; i < b->len;) {
        if (b->data[i] == '\x1b' && i + 1 < b->len && b->data[i + 1] == '[') {
            size_t j = i + 2;
            while (j < b->len && ((b->data[j] >= '0' && b->data[j] <= '9') || b->data[j] == ';'))
                j++;
            if (j < b->len && b->data[j] == 'm') {
                i = j + 1;
                continue;
            }
        }
        b->data[to++] = b->data[i++];
    }
    b->len = to;
}

bool term_say(enum term_stream st, const char *fmt, ...)
{
    va_list ap;
    char *text;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return false;
    struct buf b = {.data = text, .len = (size_t)n, .cap = (size_t)n + 1, .max = SAY_MAX};
    if (!term_color(st))
        drop_sgr(&b);
    bool ok = emit(st, buf_str(&b), b.len);
    buf_finish(&b);
    return ok;
}

bool term_raw(enum term_stream st, const void *p, size_t n)
{
    return emit(st, p, n);
}

/* Bytes of s that fit into `room` columns; *width gets the columns they take. */
static size_t fit(const char *s, size_t n, int room, int *width)
{
    size_t at = 0, len;
    for (*width = 0; at < n; at += len) {
        int w = utf8_width(utf8_decode(s + at, n - at, &len));
        if (*width + w > room)
            break;
        *width += w;
    }
    return at;
}

void term_status(const char *text)
{
    struct stream *s = &streams[TERM_ERR];
    if (!*text) {
        status_clear();
        return;
    }
    if (plain || caught || !term_is_tty(TERM_ERR) || s->mid || (streams[TERM_OUT].mid && term_is_tty(TERM_OUT)))
        return;
    struct buf line = BUF_INIT(65536), out = BUF_INIT(65536);
    sane_line(&line, text, strlen(text));
    int width;
    size_t n = fit(buf_str(&line), line.len, term_columns(TERM_ERR) - 1, &width);
    if (status_width && status_text.len == n && !memcmp(buf_str(&status_text), buf_str(&line), n))
        goto done;
    const char *dim = term_color(TERM_ERR) ? "\x1b[2m" : "";
    buf_addf(&out, "%s%s%.*s%s", status_width ? "\r" : "", dim, (int)n, buf_str(&line), *dim ? "\x1b[0m" : "");
    /* The rest of what stood there. */
    if (width < status_width && term_is_dumb())
        buf_addf(&out, "%*s", status_width - width, "");
    else if (width < status_width)
        buf_addstr(&out, "\x1b[K");
    status_width = width > status_width || !term_is_dumb() ? width : status_width;
    buf_reset(&status_text);
    buf_add(&status_text, buf_str(&line), n);
    write_all(s, buf_str(&out), out.len);
    s->mid = false;
done:
    buf_finish(&line);
    buf_finish(&out);
}
