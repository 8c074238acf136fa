/*
 * JSON that we print. See jtext.h. jansson escapes C0 and quotes; what else a terminal must not see stands only inside strings, because all
 * of JSON's own characters are ASCII: the finished text is walked once more and those code points are replaced by escapes.
 */
#include "config.h"
#include "app/jtext.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sane.h"
#include "base/utf8.h"

json_t *jtext_n(const char *s, size_t n)
{
    if (utf8_valid(s, n))
        return json_stringn(s, n);
    struct buf b = BUF_INIT(SIZE_MAX);
    utf8_repair(&b, s, n);
    json_t *j = json_stringn(buf_str(&b), b.len);
    buf_finish(&b);
    return j;
}

json_t *jtext(const char *s)
{
    return s ? jtext_n(s, strlen(s)) : json_null();
}

json_t *jreal(double x, int decimals)
{
    double scale = pow(10, decimals);
    return isfinite(x) ? json_real(round(x * scale) / scale) : json_null();
}

/* The sanitizer shows this character as something else. */
static bool acts(const char *s, size_t n)
{
    struct buf b = BUF_INIT(256);
    sane_text(&b, s, n);
    bool same = b.len == n && !memcmp(b.data, s, n);
    buf_finish(&b);
    return !same;
}

static void put_escape(struct buf *out, uint32_t cp)
{
    if (cp >= 0x10000) {
        cp -= 0x10000;
        buf_addf(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + (cp >> 10)), (unsigned)(0xdc00 + (cp & 0x3ff)));
    } else {
        buf_addf(out, "\\u%04x", (unsigned)cp);
    }
}

void jput(struct buf *out, const json_t *j, bool pretty)
{
    char *text = json_dumps(j, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9) | (pretty ? JSON_INDENT(2) : 0));
    size_t n = text ? strlen(text) : 0, len;
    for (size_t i = 0, from = 0; i <= n; i += len) {
        len = 1;
        unsigned char c = i < n ? (unsigned char)text[i] : 0;
        uint32_t cp = c;
        if (i < n && c >= 0x80)
            cp = utf8_decode(text + i, n - i, &len);
        bool bad = i < n && (c == 0x7f || (c >= 0x80 && acts(text + i, len)));
        if (bad || i == n) {
            buf_add(out, text + from, i - from);
            from = i + len;
        }
        if (bad)
            put_escape(out, cp);
    }
    buf_addch(out, '\n');
    free(text);
}
