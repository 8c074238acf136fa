/*
 * The sanitizer. See sane.h for the policy. It decides character by character; only three things need to look ahead: the rest of a UTF-8
 * sequence, the LF behind a CR, and the tag characters behind a black flag. All of these wait in `tail`, so a text cut anywhere gives
 * the same bytes as the whole (tested at every cut).
 */
#include "config.h"
#include "base/sane.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/err.h"
#include "base/utf8.h"

#define MARKS_MAX 8
#define FLAG 0x1F3F4u
#define TAG_END 0xE007Fu

/* The three subdivision flags, as the tag letters that follow U+1F3F4. */
static const char *const flags[] = {"gbeng", "gbsct", "gbwls"};

static bool is_bidi(uint32_t cp)
{
    return (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200E || cp == 0x200F || cp == 0x061C;
}

/* Shown by number instead of drawn: what is invisible, reorders text, or is no character. */
static bool is_shown_by_number(uint32_t cp)
{
    if (is_bidi(cp) || (cp >= 0xE0000 && cp <= 0xE0FFF) || (cp & 0xFFFE) == 0xFFFE || (cp >= 0xFDD0 && cp <= 0xFDEF))
        return true;
    if (cp == 0xFEFF || cp == 0x2028 || cp == 0x2029 || cp == 0x00AD || cp == 0x180E || (cp >= 0x2060 && cp <= 0x2064) ||
        (cp >= 0x206A && cp <= 0x206F) || (cp >= 0xFFF9 && cp <= 0xFFFB))
        return true;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return false;
    }
}

static bool is_mark(uint32_t cp)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_MC;
}

static void put(struct sane *st, struct buf *out, const char *s, size_t n)
{
    st->marks = 0;
    buf_add(out, s, n);
}

/* One decided character of n bytes at s. */
static void character(struct sane *st, struct buf *out, uint32_t cp, const char *s, size_t n)
{
    char text[16];
    if (cp >= UTF8_PART) {
        put(st, out, "\xEF\xBF\xBD", 3);
    } else if (cp == '\r') {
        put(st, out, "\n", 1);
    } else if (cp == '\n' || cp == '\t' || (cp >= 0x20 && cp < 0x7F)) {
        put(st, out, s, n);
    } else if (cp < 0x20 || cp == 0x7F) {
        text[0] = '^';
        text[1] = (char)(cp ^ 0x40);
        put(st, out, text, 2);
    } else if (cp < 0xA0) {
        put(st, out, text, (size_t)snprintf(text, sizeof text, "\\x%02x", (unsigned)cp));
    } else if (is_shown_by_number(cp)) {
        put(st, out, text, (size_t)snprintf(text, sizeof text, "<U+%04X>", (unsigned)cp));
    } else if (is_mark(cp)) {
        if (st->marks < MARKS_MAX)
            buf_add(out, s, n);
        else if (st->marks == MARKS_MAX)
            buf_addstr(out, "\xEF\xBF\xBD");
        if (st->marks <= MARKS_MAX)
            st->marks++;
    } else {
        put(st, out, s, n);
    }
}

/* Writes what is decided at s (n bytes, more may come unless `last`) and returns its bytes; 0: wait for more. */
static size_t step(struct sane *st, struct buf *out, const char *s, size_t n, bool last)
{
    size_t len;
    uint32_t cp = utf8_decode(s, n, &len);
    if (cp == UTF8_PART && !last)
        return 0;
    if (cp == '\r') {
        if (n == 1 && !last)
            return 0;
        if (n > 1 && s[1] == '\n')
            len = 2;
    } else if (cp == FLAG) {
        /* a flag: 5 tag letters and the end tag, 4 bytes each; anything else is decided alone */
        for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
            char seq[28];
            size_t m = utf8_encode(FLAG, seq);
            for (int i = 0; i < 5; i++)
                m += utf8_encode(0xE0000u + (unsigned char)flags[f][i], seq + m);
            m += utf8_encode(TAG_END, seq + m);
            size_t have = n < m ? n : m;
            if (memcmp(s, seq, have))
                continue;
            if (have < m) {
                if (!last)
                    return 0;
                continue;
            }
            put(st, out, s, m);
            return m;
        }
    }
    character(st, out, cp, s, len);
    return len;
}

/* A run of printable ASCII, newlines and tabs: the common case, copied at once. */
static size_t plain_run(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && ((s[i] >= 0x20 && s[i] < 0x7F) || s[i] == '\n' || s[i] == '\t'))
        i++;
    return i;
}

void sane_feed(struct sane *st, const char *s, size_t n, struct buf *out)
{
    while (n) {
        size_t len = 0;
        if (st->n == 0) {
            len = plain_run(s, n);
            if (len)
                put(st, out, s, len);
            else
                len = step(st, out, s, n, false);
            s += len;
            n -= len;
            if (len)
                continue;
        }
        /* undecided: grow the tail byte by byte until its front is decided */
        ASSERT(st->n < (int)sizeof st->tail);
        st->tail[st->n++] = *s++;
        n--;
        while (st->n && (len = step(st, out, st->tail, (size_t)st->n, false)) > 0) {
            memmove(st->tail, st->tail + len, (size_t)st->n - len);
            st->n -= (int)len;
        }
    }
}

void sane_flush(struct sane *st, struct buf *out)
{
    int at = 0;
    while (at < st->n)
        at += (int)step(st, out, st->tail + at, (size_t)(st->n - at), true);
    st->n = 0;
}

void sane_text(struct buf *out, const char *s, size_t n)
{
    struct sane st = {0};
    sane_feed(&st, s, n, out);
    sane_flush(&st, out);
}

void sane_line(struct buf *out, const char *s, size_t n)
{
    size_t from = out->len;
    sane_text(out, s, n);
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\t')
            out->data[i] = ' ';
}
