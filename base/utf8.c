/*
 * UTF-8 decoding by the Unicode standard's table 3-7 (well-formed byte sequences), so that every ill-formed stretch is cut into maximal
 * subparts in the one way that other careful programs cut it. See utf8.h.
 */
#include "config.h"
#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

#include "base/err.h"

/* The allowed range of the second byte and the length, by the first byte. False: no sequence begins with it. */
static bool lead(unsigned char c, int *len, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c >= 0xC2 && c <= 0xDF) {
        *len = 2;
    } else if (c >= 0xE0 && c <= 0xEF) {
        *len = 3;
        if (c == 0xE0)
            *lo = 0xA0;
        else if (c == 0xED)
            *hi = 0x9F;
    } else if (c >= 0xF0 && c <= 0xF4) {
        *len = 4;
        if (c == 0xF0)
            *lo = 0x90;
        else if (c == 0xF4)
            *hi = 0x8F;
    } else {
        return false;
    }
    return true;
}

uint32_t utf8_decode(const char *s, size_t n, size_t *len)
{
    const unsigned char *p = (const unsigned char *)s;
    ASSERT(n > 0);
    *len = 1;
    if (p[0] < 0x80)
        return p[0];
    int want;
    unsigned char lo, hi;
    if (!lead(p[0], &want, &lo, &hi))
        return UTF8_BAD;
    uint32_t cp = p[0] & (0x7Fu >> want);
    for (int i = 1; i < want; i++) {
        if ((size_t)i >= n)
            return UTF8_PART;
        if (p[i] < lo || p[i] > hi)
            return UTF8_BAD;
        cp = cp << 6 | (p[i] & 0x3F);
        *len = (size_t)i + 1;
        lo = 0x80;
        hi = 0xBF;
    }
    return cp;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(const char *s, size_t n)
{
    while (n) {
        size_t len;
        if (utf8_decode(s, n, &len) >= UTF8_PART)
            return false;
        s += len;
        n -= len;
    }
    return true;
}

size_t utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    while (n) {
        size_t len;
        utf8_decode(s, n, &len);
        s += len;
        n -= len;
        count++;
    }
    return count;
}

size_t utf8_repair(struct buf *out, const char *s, size_t n)
{
    size_t bad = 0, from = 0, i = 0;
    while (i < n) {
        size_t len;
        if (utf8_decode(s + i, n - i, &len) >= UTF8_PART) {
            buf_add(out, s + from, i - from);
            buf_addstr(out, "\xEF\xBF\xBD");
            bad++;
            from = i + len;
        }
        i += len;
    }
    buf_add(out, s + from, n - from);
    return bad;
}

int utf8_width(uint32_t cp)
{
    if (cp >= UTF8_PART)
        return 1;
    if ((cp >= 0x1160 && cp <= 0x11FF) || (cp >= 0xD7B0 && cp <= 0xD7FF))
        return 0; /* the vowel and the final consonant of a Hangul syllable stand within the first one's columns */
    int w = utf8proc_charwidth((utf8proc_int32_t)cp);
    return w < 0 ? 0 : w > 2 ? 2 : w;
}

void utf8_feed(struct utf8_wait *w, const char *s, size_t n, struct buf *out)
{
    while (w->n && n) { /* complete, or give up, the sequence that waits */
        char seq[8];
        size_t take = n < 4 ? n : 4, len;
        memcpy(seq, w->tail, (size_t)w->n);
        memcpy(seq + w->n, s, take);
        uint32_t cp = utf8_decode(seq, (size_t)w->n + take, &len);
        if (cp == UTF8_PART) { /* so all of s fits into the tail */
            memcpy(w->tail + w->n, s, n);
            w->n += (int)n;
            return;
        }
        if (len < (size_t)w->n) {
            buf_add(out, w->tail, len);
            memmove(w->tail, w->tail + len, (size_t)w->n - len);
            w->n -= (int)len;
            continue;
        }
        buf_add(out, seq, len);
        s += len - (size_t)w->n;
        n -= len - (size_t)w->n;
        w->n = 0;
    }
    size_t back = n < 3 ? n : 3; /* an incomplete tail begins in the last three bytes */
    for (size_t i = back; i > 0; i--) {
        size_t len;
        if (utf8_decode(s + n - i, i, &len) == UTF8_PART && len == i) {
            buf_add(out, s, n - i);
            memcpy(w->tail, s + n - i, i);
            w->n = (int)i;
            return;
        }
    }
    buf_add(out, s, n);
}

void utf8_flush(struct utf8_wait *w, struct buf *out)
{
    buf_add(out, w->tail, (size_t)w->n);
    w->n = 0;
}
