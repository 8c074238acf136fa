/*
 * Numbers in text, parsed strictly. See num.h.
 */
#include "config.h"
#include "base/num.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

bool num_parse_u64(const char *s, uint64_t *out)
{
    if (!isdigit((unsigned char)*s))
        return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

bool num_parse_i64(const char *s, int64_t *out)
{
    if (!isdigit((unsigned char)s[0]) && !(s[0] == '-' && isdigit((unsigned char)s[1])))
        return false;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

bool num_parse_double(const char *s, double *out)
{
    static locale_t c_locale;
    if (!c_locale)
        c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const char *p = s;
    if (*p == '-')
        p++;
    if (!isdigit((unsigned char)*p) && *p != '.')
        return false;
    char *end;
    double v = strtod_l(s, &end, c_locale);
    if (*end || !isfinite(v))
        return false;
    *out = v;
    return true;
}
