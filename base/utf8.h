#ifndef BASE_UTF8_H
#define BASE_UTF8_H
/*
 * UTF-8 as the Unicode standard defines it (no overlong forms, no surrogates, at most U+10FFFF; table 3-7).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define UTF8_BAD 0xFFFFFFFFu  /* not a character */
#define UTF8_PART 0xFFFFFFFEu /* a good beginning, cut off by the end of the bytes */

/*
 * Decodes one code point at s (n > 0 bytes are there). *len gets the bytes consumed (>= 1): of the character, or, for
 * UTF8_BAD and UTF8_PART, of the maximal subpart that one U+FFFD stands for.
 */
uint32_t utf8_decode(const char *s, size_t n, size_t *len);
size_t utf8_encode(uint32_t cp, char out[4]); /* bytes written, 1..4; cp must be a scalar value */
bool utf8_valid(const char *s, size_t n);
size_t utf8_count(const char *s, size_t n); /* code points, each bad subpart counting one */
/* Appends s with every bad subpart replaced by U+FFFD; returns how many were replaced. */
size_t utf8_repair(struct buf *out, const char *s, size_t n);
/* Terminal columns of one code point: 0, 1 or 2 (from Unicode data, not from the locale). */
int utf8_width(uint32_t cp);

/*
 * Bytes in, whole sequences out: what a model says may end in the middle of a character. utf8_feed appends the
 * bytes to `out` as they are, except that an incomplete tail (at most 3 bytes) waits for the next call; utf8_flush
 * appends what still waits. Bad bytes pass unchanged (history keeps them; base/sane.h makes them visible).
 */
struct utf8_wait {
    char tail[4];
    int n;
};
void utf8_feed(struct utf8_wait *w, const char *s, size_t n, struct buf *out);
void utf8_flush(struct utf8_wait *w, struct buf *out);

#endif
