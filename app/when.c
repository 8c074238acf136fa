/*
 * How things are shown to a person: a session's short id, when something was, large numbers.
 */
#include "config.h"
#include "app/app.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void short_id(const char *uid, char out[7])
{
    size_t n = strlen(uid);
    snprintf(out, 7, "%s", uid + (n > 6 ? n - 6 : 0));
    for (char *p = out; *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

void when_text(int64_t then_ms, int64_t now_ms, char out[16])
{
    static const char *const day[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    static const char *const month[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t ago = (now_ms - then_ms) / 1000;
    time_t then = (time_t)(then_ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm t, n;
    if (!localtime_r(&then, &t) || !localtime_r(&now, &n))
        snprintf(out, 16, "?");
    else if (ago >= -60 && ago < 60)
        snprintf(out, 16, "now");
    else if (ago >= 60 && ago < 3600)
        snprintf(out, 16, "%d min", (int)(ago / 60));
    else if (ago >= 3600 && ago < 24 * 3600)
        snprintf(out, 16, "%d h", (int)(ago / 3600));
    else if (ago > 0 && ago < 6 * 24 * 3600)
        snprintf(out, 16, "%s", day[t.tm_wday]);
    else if (t.tm_year == n.tm_year)
        snprintf(out, 16, "%d %s", t.tm_mday, month[t.tm_mon]);
    else if (!strftime(out, 16, "%Y-%m-%d", &t))
        snprintf(out, 16, "?");
}

const char *count_text(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), to = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[to++] = ',';
        out[to++] = digits[i];
    }
    out[to] = 0;
    return out;
}
