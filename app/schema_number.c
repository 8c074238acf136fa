/*
 * Numbers between bounds as digits. With k decimals a number is a whole one of 10^-k, so one function is enough: the digit strings from a to b,
 * with a point k places before their end. Numbers between bounds have at most 15 digits and at most 3 decimals more than the bounds.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/schema_impl.h"

#define MOST 999999999999999LL /* 15 digits */
#define DECIMALS 3

/* Digits lo[i..n) to hi[i..n), which agree before i. The point stands behind the digit number `point`. */
static void digits(const char *lo, const char *hi, int i, int n, int point, struct buf *out)
{
    for (; i < n && lo[i] == hi[i]; i++)
        buf_addf(out, "%s\"%c\" ", i == point ? "\".\" " : "", lo[i]);
    if (i == n)
        return;
    if (i == point)
        buf_addstr(out, "\".\" ");
    bool low = true, high = true; /* the rest of the bounds is no bound */
    for (int k = i + 1; k < n; k++) {
        low = low && lo[k] == '0';
        high = high && hi[k] == '9';
    }
    char from = low ? lo[i] : (char)(lo[i] + 1), to = high ? hi[i] : (char)(hi[i] - 1), edge[24];
    bool any = false;
    buf_addch(out, '(');
    if (from <= to) {
        buf_addf(out, "[%c-%c] ", from, to);
        for (int k = i + 1; k < n; k++)
            buf_addstr(out, k == point ? "\".\" [0-9] " : "[0-9] ");
        any = true;
    }
    if (!low) { /* lo's digit, then from lo on */
        buf_addf(out, "%s\"%c\" ", any ? "| " : "", lo[i]);
        memset(edge, '9', sizeof edge);
        memcpy(edge, lo, (size_t)i + 1);
        digits(lo, edge, i + 1, n, point, out);
        any = true;
    }
    if (!high) {
        buf_addf(out, "%s\"%c\" ", any ? "| " : "", hi[i]);
        memset(edge, '0', sizeof edge);
        memcpy(edge, hi, (size_t)i + 1);
        digits(edge, hi, i + 1, n, point, out);
    }
    buf_addstr(out, ") ");
}

/* a to b, 0 <= a <= b, in 10^-k: one alternative for each number of digits. */
static void not_negative(long long a, long long b, int k, const char *sign, int *n, struct buf *out)
{
    long long top = 9; /* the largest with so many digits */
    for (int len = 1; len <= 17; len++, top = top * 10 + 9) {
        if (len < k + 1)
            continue; /* 0.05 has a digit before its point */
        long long least = len == k + 1 ? 0 : top / 10 + 1, lo = a > least ? a : least, hi = b < top ? b : top;
        char x[24], y[24];
        if (lo > hi)
            continue;
        snprintf(x, sizeof x, "%0*lld", len, lo);
        snprintf(y, sizeof y, "%0*lld", len, hi);
        buf_addf(out, "%s%s", (*n)++ ? " | " : "", sign);
        digits(x, y, 0, len, k ? len - k : -1, out);
    }
}

static void between(long long a, long long b, int k, int *n, struct buf *out)
{
    if (a < 0)
        not_negative(b < 0 ? -b : 1, -a, k, "\"-\" ", n, out);
    if (b >= 0)
        not_negative(a > 0 ? a : 0, b, k, "", n, out);
}

/* x * 10^k, and the nearest whole number where x means that (0.1 * 10 is 1). */
static double scaled(double x, int k)
{
    double v = x * pow(10, k), r = round(v);
    return fabs(v - r) <= 1e-9 * fmax(1, fabs(v)) ? r : v;
}

/* A bound of s; false: there is none. */
static bool bound(struct making *m, const json_t *s, const char *key, const char *open_key, double none, double *x, bool *open)
{
    const json_t *v = json_object_get(s, key), *o = json_object_get(s, open_key);
    if ((v && !json_is_number(v)) || (o && !json_is_number(o))) {
        schema_fail(m, "%s is no number", v && !json_is_number(v) ? key : open_key);
        return false;
    }
    *x = none;
    *open = false;
    if (v)
        *x = json_number_value(v);
    if (o && (!v || (none < 0 ? json_number_value(o) >= *x : json_number_value(o) <= *x))) {
        *x = json_number_value(o);
        *open = true;
    }
    return v || o;
}

void schema_number(struct making *m, const json_t *s, bool whole, struct buf *out)
{
    double lo, hi;
    bool lo_open, hi_open, low = bound(m, s, "minimum", "exclusiveMinimum", -(double)MOST, &lo, &lo_open),
                           high = bound(m, s, "maximum", "exclusiveMaximum", (double)MOST, &hi, &hi_open);
    if (m->rc)
        return;
    if (!low && !high) {
        buf_addstr(out, whole ? "integer" : "number");
        return;
    }
    int n = 0, most = 0;
    while (!whole && most < 6 && ((low && scaled(lo, most) != round(scaled(lo, most))) || (high && scaled(hi, most) != round(scaled(hi, most)))))
        most++;
    most = whole ? 0 : most + DECIMALS;
    buf_addch(out, '(');
    for (int k = 0; k <= most; k++) {
        double limit = (double)MOST, a = scaled(lo, k), b = scaled(hi, k);
        a = lo_open ? floor(a) + 1 : ceil(a);
        b = hi_open ? ceil(b) - 1 : floor(b);
        a = a < -limit ? -limit : a;
        b = b > limit ? limit : b;
        if (a <= b && a <= limit && b >= -limit)
            between((long long)a, (long long)b, k, &n, out);
    }
    if (!n) {
        if (!m->reason) {
            m->reason = buf_take(&m->path);
            buf_addstr(&m->path, m->reason);
        }
        buf_addstr(out, "never");
    }
    buf_addch(out, ')');
}
