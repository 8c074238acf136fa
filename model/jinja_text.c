/*
 * Values as text and text as values: str() and repr() as Python writes them, JSON both ways, numbers. What is
 * nested is walked by recursion up to LIMIT_TMPL_NEST. Strings keep the tags of their bytes; what stands around them is the program's.
 */
#include "config.h"

#include "model/jinja.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/num.h"
#include "base/utf8.h"

/* ---- numbers ---- */

/*
 * The shortest decimal that reads back as f, as repr() writes it: with an exponent if that is below -4 or above 15. Digits come from
 * printf's %e, whose point depends on the locale and is passed over.
 */
size_t text_float(double f, char out[32])
{
    char e[40], digits[20];
    int n = 0, exp10;
    if (!isfinite(f))
        return (size_t)snprintf(out, 32, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    for (int prec = 0; prec < 17; prec++) {
        snprintf(e, sizeof e, "%.*e", prec, fabs(f));
        if (strtod(e, NULL) == fabs(f))
            break;
    }
    char *p = e, *o = out;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    exp10 = (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (signbit(f))
        *o++ = '-';
    bool exponent = exp10 < -4 || exp10 > 15;
    int whole = exponent ? 0 : exp10; /* the digit before the point that is last */
    if (whole < 0) {
        *o++ = '0';
        *o++ = '.';
        for (int i = -1; i > whole; i--)
            *o++ = '0';
        memcpy(o, digits, (size_t)n);
        o += n;
    }
    for (int i = 0; whole >= 0 && (i <= whole || i < n); i++) {
        *o++ = i < n ? digits[i] : '0';
        if (i == whole && (i + 1 < n || !exponent))
            *o++ = '.';
    }
    if (o[-1] == '.')
        *o++ = '0';
    if (exponent)
        o += snprintf(o, 8, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
    *o = 0;
    return (size_t)(o - out);
}

/* Digits with single underscores between them, at s[i..n), copied without these; where they end. */
static size_t take_digits(const char *s, size_t i, size_t n, char *out, size_t *k)
{
    while (i < n && s[i] >= '0' && s[i] <= '9') {
        out[(*k)++] = s[i++];
        if (i + 1 < n && s[i] == '_' && s[i + 1] >= '0' && s[i + 1] <= '9')
            i++;
    }
    return i;
}

bool text_to_float(const char *s, size_t n, double *out)
{
    char buf[400];
    size_t i = 0, k = 0, start;
    if (n >= sizeof buf)
        return false;
    bool minus = n && s[0] == '-';
    if (n && (s[0] == '-' || s[0] == '+'))
        i++;
    for (size_t c = i; c < n; c++)
        buf[c - i] = (char)(s[c] | 0x20);
    if ((n - i == 3 && memcmp(buf, "inf", 3) == 0) || (n - i == 8 && memcmp(buf, "infinity", 8) == 0)) {
        *out = minus ? -INFINITY : INFINITY;
        return true;
    }
    if (n - i == 3 && memcmp(buf, "nan", 3) == 0) {
        *out = NAN;
        return true;
    }
    if (minus)
        buf[k++] = '-';
    start = k;
    i = take_digits(s, i, n, buf, &k);
    if (i < n && s[i] == '.') {
        buf[k++] = '.';
        i = take_digits(s, i + 1, n, buf, &k);
    }
    if (k == start || (k == start + 1 && buf[start] == '.'))
        return false;
    if (i < n && (s[i] | 0x20) == 'e') {
        buf[k++] = 'e';
        if (++i < n && (s[i] == '-' || s[i] == '+'))
            buf[k++] = s[i++];
        start = k;
        i = take_digits(s, i, n, buf, &k);
        if (k == start)
            return false;
    }
    buf[k] = 0;
    if (i != n)
        return false;
    if (!num_parse_double(buf, out)) /* a number it is, so it is too large */
        *out = minus ? -INFINITY : INFINITY;
    return true;
}

int text_to_int(const char *s, size_t n, int base, int64_t *out)
{
    size_t i = n && (s[0] == '-' || s[0] == '+');
    bool minus = i && s[0] == '-', any = false, over = false;
    int64_t r = 0;
    char c = n - i > 2 && s[i] == '0' ? (char)(s[i + 1] | 0x20) : 0;
    int prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    if (prefix && (base == prefix || base == 0)) {
        base = prefix;
        i += 2;
        if (s[i] == '_')
            i++;
    } else if (base == 0) {
        base = 10;
    }
    for (; i < n; i++) {
        int d = s[i] >= '0' && s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z' ? (s[i] | 0x20) - 'a' + 10 : 99;
        if (s[i] == '_' && any && i + 1 < n && s[i - 1] != '_')
            continue;
        if (d >= base)
            return 0;
        any = true;
        over = over || __builtin_mul_overflow(r, base, &r) || __builtin_sub_overflow(r, d, &r); /* negative: the longer side */
    }
    over = over || (!minus && __builtin_sub_overflow(0, r, &r));
    *out = r;
    return !any ? 0 : over ? -1 : 1;
}

/* ---- str() and repr() ---- */

static bool printable(uint32_t cp)
{
    if (cp < 0x7F)
        return cp >= 0x20;
    utf8proc_category_t k = cp > 0x10FFFF ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)cp);
    return !(k == UTF8PROC_CATEGORY_CN || k >= UTF8PROC_CATEGORY_ZS);
}

static bool out_escape(struct rt *rt, uint32_t cp, bool foreign)
{
    char s[16];
    const char *p = cp && cp < 0x80 ? strchr("\nn\rr\tt", (int)cp) : NULL;
    int n;
    if (p)
        n = snprintf(s, sizeof s, "\\%c", p[1]);
    else if (cp < 0x100)
        n = snprintf(s, sizeof s, "\\x%02x", cp);
    else
        n = snprintf(s, sizeof s, cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return out_bytes(rt, s, (size_t)n, foreign);
}

static bool repr_str(struct rt *rt, const struct vstr *s)
{
    char quote[2] = "'";
    size_t from = 0, len;
    if (s->n && memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n))
        quote[0] = '"';
    if (!out_cstr(rt, quote) || !rt_spend(rt, COST_CHARS(s->n)))
        return false;
    for (size_t i = 0; i < s->n; i += len) {
        uint32_t cp = utf8_decode(s->s + i, s->n - i, &len);
        bool foreign = s->tag ? s->tag[i] : s->foreign;
        if (cp == '\\' || cp == (uint32_t)quote[0]) {
            if (!out_part(rt, s, from, i) || !out_bytes(rt, "\\", 1, foreign))
                return false;
            from = i;
        } else if (cp < UTF8_PART && !printable(cp)) {
            if (!out_part(rt, s, from, i) || !out_escape(rt, cp, foreign))
                return false;
            from = i + len;
        }
    }
    return out_part(rt, s, from, s->n) && out_cstr(rt, quote);
}

static bool repr(struct rt *rt, struct value v, int depth);

static bool repr_items(struct rt *rt, const struct vlist *l, const char *open, const char *close, int depth)
{
    if (!out_cstr(rt, open))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if ((i && !out_cstr(rt, ", ")) || !repr(rt, l->v[i], depth + 1))
            return false;
    return out_cstr(rt, close);
}

static bool repr_map(struct rt *rt, const struct vmap *m, int depth)
{
    if (!out_cstr(rt, "{"))
        return false;
    for (size_t i = 0; i < m->n; i++)
        if ((i && !out_cstr(rt, ", ")) || !repr(rt, m->e[i].key, depth + 1) || !out_cstr(rt, ": ") || !repr(rt, m->e[i].val, depth + 1))
            return false;
    return out_cstr(rt, "}");
}

static bool repr_number(struct rt *rt, struct value v)
{
    char s[32];
    if (v.kind == VAL_FLOAT)
        return out_bytes(rt, s, text_float(v.f, s), false);
    return out_bytes(rt, s, (size_t)snprintf(s, sizeof s, "%lld", (long long)v.i), false);
}

static bool repr_range(struct rt *rt, const struct range *r)
{
    char s[100];
    int n = snprintf(s, sizeof s, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
    if (r->step != 1)
        n += snprintf(s + n, sizeof s - (size_t)n, ", %lld", (long long)r->step);
    return out_bytes(rt, s, (size_t)n, false) && out_cstr(rt, ")");
}

static bool repr_view(struct rt *rt, struct value v, int depth)
{
    char what = ((const struct view *)v.p)->what;
    struct vlist *l;
    return op_items(rt, v, &l) && repr_items(rt, l, what == 'k' ? "dict_keys([" : what == 'v' ? "dict_values([" : "dict_items([", "])", depth);
}

static bool repr(struct rt *rt, struct value v, int depth)
{
    if (depth > LIMIT_TMPL_NEST)
        return rt_fail(rt, "values in values, more than %d deep", LIMIT_TMPL_NEST);
    if (!rt_spend(rt, 1))
        return false;
    switch ((int)v.kind) {
    case VAL_STR:
        return repr_str(rt, v.s);
    case VAL_UNDEF:
        return out_cstr(rt, "Undefined");
    case VAL_NONE:
        return out_cstr(rt, "None");
    case VAL_BOOL:
        return out_cstr(rt, v.b ? "True" : "False");
    case VAL_INT:
    case VAL_FLOAT:
        return repr_number(rt, v);
    case VAL_LIST:
        return repr_items(rt, v.l, "[", "]", depth);
    case VAL_TUPLE:
        return repr_items(rt, v.l, "(", v.l->n == 1 ? ",)" : ")", depth);
    case VAL_MAP:
        return repr_map(rt, v.m, depth);
    case VAL_RANGE:
        return repr_range(rt, v.p);
    case VAL_VIEW:
        return repr_view(rt, v, depth);
    case VAL_NS:
        return out_cstr(rt, "<Namespace ") && repr_map(rt, v.m, depth) && out_cstr(rt, ">");
    case VAL_MACRO:
        return out_cstr(rt, "<Macro ") && repr_str(rt, ((const struct closure *)v.p)->proto->name) && out_cstr(rt, ">");
    case VAL_FUNC:
        return out_cstr(rt, "<function ") && out_cstr(rt, ((const struct builtin *)v.p)->name) && out_cstr(rt, ">");
    default:
        return out_cstr(rt, "<") && out_cstr(rt, op_type(v)) && out_cstr(rt, ">");
    }
}

bool out_repr(struct rt *rt, struct value v)
{
    return repr(rt, v, 0);
}

bool out_value(struct rt *rt, struct value v)
{
    return v.kind == VAL_STR ? out_str(rt, v.s) : v.kind == VAL_UNDEF || repr(rt, v, 0);
}
