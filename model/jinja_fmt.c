/*
 * Formatting in templates: the % operator, str.format, strftime_now. The forms are Python's; there is no way from a format to attributes or items of
 * what is formatted. Numbers are written without the locale.
 */
#include "config.h"

#include "model/jinja.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PRECISION 100
#define MAX_WIDTH 10000
#define NUMBER 600 /* bytes that any number fits in */

struct spec {
    struct vstr *fill; /* NULL: blanks */
    char align;        /* < > ^ =, or 0 */
    char sign;         /* + or blank: what positive numbers get */
    char group;        /* between thousands, or 0 */
    bool alt, zero;
    int width, prec; /* prec < 0: none */
    char type;       /* 0: by the value */
};

/* A positive finite number: digits as %e, %f or %g, with '.' as the point. */
static void float_digits(char *out, char type, bool alt, int prec, double f)
{
    char lower = (char)(type | 0x20);
    if (lower == 'f')
        snprintf(out, NUMBER, alt ? "%#.*f" : "%.*f", prec, f);
    else if (lower == 'e')
        snprintf(out, NUMBER, alt ? "%#.*e" : "%.*e", prec, f);
    else
        snprintf(out, NUMBER, alt ? "%#.*g" : "%.*g", prec, f);
    const char *point = localeconv()->decimal_point;
    size_t n = strlen(point);
    char *p = n ? strstr(out, point) : NULL;
    if (p && strcmp(point, ".") != 0) {
        *p = '.';
        memmove(p + 1, p + n, strlen(p + n) + 1);
    }
    for (p = out; type != lower && *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
}

static void int_digits(char *out, char type, uint64_t u)
{
    char buf[72];
    int base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10, n = 0;
    do {
        buf[n++] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % (unsigned)base];
        u /= (unsigned)base;
    } while (u);
    for (int i = 0; i < n; i++)
        out[i] = buf[n - 1 - i];
    out[n] = 0;
}

/* Puts `group` between the thousands of the whole part. */
static void group_digits(char *s, char group)
{
    char buf[NUMBER];
    size_t n = strspn(s, "0123456789"), k = 0;
    if (n == 0 || n + n / 3 + strlen(s + n) + 1 >= sizeof buf)
        return;
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf[k++] = group;
        buf[k++] = s[i];
    }
    memcpy(buf + k, s + n, strlen(s + n) + 1);
    memcpy(s, buf, strlen(buf) + 1);
}

static bool repeat(struct rt *rt, const struct vstr *fill, int64_t n)
{
    while (n-- > 0)
        if (!(fill ? out_str(rt, fill) : out_bytes(rt, " ", 1, false)))
            return false;
    return true;
}

/* head (a sign, a prefix) and body, in the width; `=` puts the padding between them. */
static bool padded(struct rt *rt, const struct spec *sp, const char *head, struct vstr *body, char align)
{
    int64_t n = sp->width - (int64_t)strlen(head) - (int64_t)vstr_chars(body);
    int64_t before = n <= 0 ? 0 : align == '>' ? n : align == '^' ? n / 2 : 0, middle = n > 0 && align == '=' ? n : 0;
    return repeat(rt, sp->fill, before) && out_cstr(rt, head) && repeat(rt, sp->fill, middle) && out_str(rt, body) &&
           repeat(rt, sp->fill, n - before - middle);
}

static bool put_number(struct rt *rt, const struct spec *given, struct value v)
{
    struct spec sp = *given;
    char digits[NUMBER], head[4] = "";
    bool minus, whole = v.kind != VAL_FLOAT;
    if (!sp.type)
        sp.type = whole ? 'd' : sp.prec < 0 ? 'r' : 'g';
    if (strchr("bdoxXn", sp.type) ? !whole : !strchr("eEfFgG%r", sp.type))
        return rt_fail(rt, "the format '%c' does not fit %s", sp.type, op_a(v));
    if (strchr("bdoxXn", sp.type)) {
        int64_t i = v.kind == VAL_BOOL ? v.b : v.i;
        minus = i < 0;
        int_digits(digits, sp.type, minus ? 0 - (uint64_t)i : (uint64_t)i);
        if (sp.alt && strchr("boxX", sp.type))
            snprintf(head, sizeof head, "0%c", sp.type);
    } else {
        double f = whole ? (double)(v.kind == VAL_BOOL ? v.b : v.i) : v.f;
        minus = signbit(f) && !isnan(f);
        f = sp.type == '%' ? fabs(f) * 100 : fabs(f);
        if (!isfinite(f) || sp.type == 'r')
            text_float(f, digits);
        else
            float_digits(digits, sp.type == '%' ? 'f' : sp.type, sp.alt, sp.prec < 0 ? 6 : sp.prec, f);
        if (sp.type == '%')
            memcpy(digits + strlen(digits), "%", 2);
    }
    if (sp.group)
        group_digits(digits, sp.group);
    char sign[8];
    snprintf(sign, sizeof sign, "%s%s", minus ? "-" : sp.sign == '+' ? "+" : sp.sign == ' ' ? " " : "", head);
    if (sp.zero && !sp.align) {
        sp.align = '=';
        sp.fill = vstr_ref(rt->vals, "0", 1, false);
    }
    return padded(rt, &sp, sign, vstr_ref(rt->vals, digits, strlen(digits), false), sp.align ? sp.align : '>');
}

static bool put_str(struct rt *rt, const struct spec *sp, struct vstr *s)
{
    if (sp->prec >= 0 && (size_t)sp->prec < vstr_chars(s))
        s = vstr_sub(rt->vals, s, 0, op_char_at(s, (size_t)sp->prec));
    return padded(rt, sp, "", s, sp->align ? sp->align : '<') && rt_spend(rt, COST_CHARS(s->n));
}

/* A decimal number at s[*i]; false: it is beyond `max`. */
static bool number_at(const struct vstr *s, size_t *i, int max, int *out)
{
    for (*out = 0; *i < s->n && s->s[*i] >= '0' && s->s[*i] <= '9'; (*i)++) {
        *out = *out * 10 + s->s[*i] - '0';
        if (*out > max)
            return false;
    }
    return true;
}

static bool too_wide(struct rt *rt)
{
    return rt_fail(rt, "a format asks for a width beyond %d or a precision beyond %d", MAX_WIDTH, MAX_PRECISION);
}

/* ---- the % operator ---- */

struct percent {
    struct vstr *fmt;
    size_t i;
    const struct value *v;
    size_t n, used;
    struct value map;
};

static bool take(struct rt *rt, struct percent *p, struct value *out)
{
    if (p->used == p->n)
        return rt_fail(rt, "not enough values for the format");
    *out = p->v[p->used++];
    return true;
}

/* A width or precision: digits, or the next value. */
static bool percent_size(struct rt *rt, struct percent *p, int max, int *out)
{
    struct value v;
    int64_t i;
    if (p->i >= p->fmt->n || p->fmt->s[p->i] != '*')
        return number_at(p->fmt, &p->i, max, out) || too_wide(rt);
    p->i++;
    if (!take(rt, p, &v) || !op_int(rt, v, &i))
        return false;
    if (i < -max || i > max)
        return too_wide(rt);
    *out = (int)i;
    return true;
}

static bool percent_value(struct rt *rt, const struct spec *given, char type, bool safe, struct value v)
{
    struct spec sp = *given;
    struct vstr *s;
    size_t mark = rt->n;
    sp.align = sp.align ? sp.align : sp.zero ? 0 : '>';
    if (type == 's' || type == 'r' || type == 'a') {
        sp.align = sp.align ? sp.align : '>';
        if (type == 's' ? !rt_str(rt, v, &s) : !out_repr(rt, v) || !(s = out_take(rt, mark)))
            return false;
        return (!safe || str_escape(rt, s, &s)) && put_str(rt, &sp, s);
    }
    if (!strchr("diuxXoeEfFgG", type))
        return rt_fail(rt, "the format '%%%c' is not supported", type);
    if (!op_number(v))
        return v.kind == VAL_UNDEF ? rt_absent(rt, v) : rt_fail(rt, "the format '%%%c' takes a number, not %s", type, op_a(v));
    bool whole = strchr("diuxXo", type) != NULL;
    if (whole && v.kind == VAL_FLOAT) {
        if (strchr("xXo", type) || !(fabs(v.f) < 0x1p63))
            return rt_fail(rt, "the format '%%%c' takes an integer", type);
        v = val_int((int64_t)v.f);
    }
    sp.type = strchr("iu", type) ? 'd' : type;
    return put_number(rt, &sp, v);
}

/* One conversion; p->i is behind the '%'. */
static bool percent_one(struct rt *rt, struct percent *p)
{
    struct spec sp = {.prec = -1};
    struct value v = {0};
    const char *s = p->fmt->s;
    if (p->i < p->fmt->n && s[p->i] == '(') {
        size_t end = str_find(s, p->i, p->fmt->n, ")", 1);
        if (p->map.kind != VAL_MAP || end == SIZE_MAX)
            return rt_fail(rt, "a format with names takes a mapping");
        const struct vpair *e = vmap_find_text(p->map.m, s + p->i + 1, end - p->i - 1);
        if (!e)
            return rt_fail(rt, "the mapping has no '%.*s'", (int)(end - p->i - 1 > 100 ? 100 : end - p->i - 1), s + p->i + 1);
        v = e->val;
        p->i = end + 1;
        p->used = p->n;
    }
    for (; p->i < p->fmt->n && s[p->i] && strchr("-+ #0", s[p->i]); p->i++)
        switch (s[p->i]) {
        case '-':
            sp.align = '<';
            break;
        case '#':
            sp.alt = true;
            break;
        case '0':
            sp.zero = true;
            break;
        default:
            sp.sign = sp.sign == '+' ? '+' : s[p->i];
        }
    if (!percent_size(rt, p, MAX_WIDTH, &sp.width))
        return false;
    if (sp.width < 0) {
        sp.align = '<';
        sp.width = -sp.width;
    }
    if (p->i < p->fmt->n && s[p->i] == '.') {
        p->i++;
        if (!percent_size(rt, p, MAX_PRECISION, &sp.prec))
            return false;
        sp.prec = sp.prec < 0 ? 0 : sp.prec;
    }
    while (p->i < p->fmt->n && s[p->i] && strchr("hlL", s[p->i]))
        p->i++;
    if (p->i == p->fmt->n)
        return rt_fail(rt, "the format ends behind a '%%'");
    char type = s[p->i++];
    if (type == '%')
        return out_cstr(rt, "%");
    return (v.kind != VAL_ABSENT || take(rt, p, &v)) && percent_value(rt, &sp, type, p->fmt->safe, v);
}

bool text_percent(struct rt *rt, struct vstr *fmt, const struct value *v, size_t n, struct value map, struct value *out)
{
    struct percent p = {.fmt = fmt, .v = v, .n = n, .map = map};
    size_t mark = rt->n;
    while (p.i < fmt->n) {
        size_t at = str_find(fmt->s, p.i, fmt->n, "%", 1);
        size_t to = at == SIZE_MAX ? fmt->n : at;
        if (!rt_spend(rt, 1) || !out_part(rt, fmt, p.i, to))
            return false;
        p.i = to + 1;
        if (to < fmt->n && !percent_one(rt, &p))
            return false;
    }
    bool may_stay = map.kind == VAL_MAP || map.kind == VAL_LIST || map.kind == VAL_RANGE || map.kind == VAL_UNDEF; /* as Python has it */
    if (p.used < n && !may_stay)
        return rt_fail(rt, "%zu values for a format that takes %zu", n, p.used);
    return out_done(rt, mark, out) && str_mark(rt, fmt->safe, out);
}

/* ---- str.format ---- */

/* What stands between ':' and '}'. */
static bool read_spec(struct rt *rt, const struct vstr *s, struct spec *sp)
{
    size_t i = 0, next = s->n ? op_next_char(s, 0) : 0;
    *sp = (struct spec){.prec = -1};
    if (next < s->n && strchr("<>=^", s->s[next]) && s->s[next]) {
        sp->fill = vstr_sub(rt->vals, s, 0, next);
        sp->align = s->s[next];
        i = next + 1;
    } else if (s->n && s->s[0] && strchr("<>=^", s->s[0])) {
        sp->align = s->s[i++];
    }
    if (i < s->n && s->s[i] && strchr("+- ", s->s[i]))
        sp->sign = s->s[i++];
    if (i < s->n && s->s[i] == '#')
        sp->alt = s->s[i++] != 0;
    if (i < s->n && s->s[i] == '0')
        sp->zero = s->s[i++] != 0;
    if (!number_at(s, &i, MAX_WIDTH, &sp->width))
        return too_wide(rt);
    if (i < s->n && (s->s[i] == ',' || s->s[i] == '_'))
        sp->group = s->s[i++];
    if (i < s->n && s->s[i] == '.') {
        i++;
        if (!number_at(s, &i, MAX_PRECISION, &sp->prec))
            return too_wide(rt);
    }
    if (i < s->n && s->s[i] && strchr("sbdoxXneEfFgG%", s->s[i]))
        sp->type = s->s[i++];
    return i == s->n || rt_fail(rt, "the format '%.*s' is not supported", SHOW(s));
}

/* The value that a field names: a number, a name, or nothing for the next. */
static bool field_value(struct rt *rt, const struct vstr *name, const struct call *c, size_t *next, struct value *out)
{
    size_t i = 0;
    int k = 0;
    if (name->n == 0) {
        k = (int)(*next)++;
    } else if (name->s[0] >= '0' && name->s[0] <= '9') {
        if (!number_at(name, &i, 10000, &k) || i != name->n)
            return rt_fail(rt, "the field '%.*s' is not supported", SHOW(name));
    } else {
        for (size_t x = 0; x < c->n_k; x++)
            if (vstr_same(c->k[x].name, name)) {
                *out = c->k[x].v;
                return true;
            }
        return rt_fail(rt, "format() got no '%.*s'", SHOW(name));
    }
    if ((size_t)k >= c->n)
        return rt_fail(rt, "format() has no argument %d", k);
    *out = c->v[k];
    return true;
}

/* {name!conversion:spec}, without the braces. */
static bool field(struct rt *rt, const struct vstr *s, const struct call *c, size_t *next)
{
    size_t colon = str_find(s->s, 0, s->n, ":", 1), head = colon == SIZE_MAX ? s->n : colon, mark = rt->n;
    size_t bang = str_find(s->s, 0, head, "!", 1);
    struct vstr *rest = vstr_sub(rt->vals, s, colon == SIZE_MAX ? s->n : colon + 1, s->n);
    struct value v = {0};
    struct spec sp;
    if (!field_value(rt, vstr_sub(rt->vals, s, 0, bang == SIZE_MAX ? head : bang), c, next, &v) || !read_spec(rt, rest, &sp))
        return false;
    if (bang != SIZE_MAX) {
        char how = bang + 2 == head ? s->s[bang + 1] : 0;
        if (how != 's' && how != 'r')
            return rt_fail(rt, "the field '%.*s' is not supported", SHOW(s));
        if (how == 'r' ? !out_repr(rt, v) : !out_value(rt, v))
            return false;
        if (!out_done(rt, mark, &v))
            return false;
    }
    if ((v.kind == VAL_INT || v.kind == VAL_FLOAT || (v.kind == VAL_BOOL && sp.type)) && sp.type != 's')
        return put_number(rt, &sp, v);
    if (sp.type && sp.type != 's')
        return rt_fail(rt, "the format '%c' does not fit %s", sp.type, op_a(v));
    struct vstr *text;
    if (sp.type == 's' && v.kind != VAL_STR)
        return rt_fail(rt, "the format 's' does not fit %s", op_a(v));
    return rt_str(rt, v, &text) && (!s->safe || str_escape(rt, text, &text)) && put_str(rt, &sp, text);
}

bool text_format(struct rt *rt, struct vstr *fmt, const struct call *c, struct value *out)
{
    size_t mark = rt->n, next = 0;
    for (size_t i = 0; i < fmt->n;) {
        char b = fmt->s[i];
        if (!rt_spend(rt, 1))
            return false;
        if (b != '{' && b != '}') {
            size_t to = i;
            while (to < fmt->n && fmt->s[to] != '{' && fmt->s[to] != '}')
                to++;
            if (!out_part(rt, fmt, i, to))
                return false;
            i = to;
        } else if (i + 1 < fmt->n && fmt->s[i + 1] == b) {
            if (!out_part(rt, fmt, i, i + 1))
                return false;
            i += 2;
        } else {
            size_t end = b == '{' ? str_find(fmt->s, i, fmt->n, "}", 1) : SIZE_MAX;
            if (end == SIZE_MAX)
                return rt_fail(rt, "a single '%c' in a format", b);
            if (!field(rt, vstr_sub(rt->vals, fmt, i + 1, end), c, &next))
                return false;
            i = end + 1;
        }
    }
    return out_done(rt, mark, out) && str_mark(rt, fmt->safe, out);
}

/* ---- strftime ---- */

static int week(const struct tm *t, int first) /* first: the weekday that weeks begin with */
{
    return (t->tm_yday + 7 - (t->tm_wday + 7 - first) % 7) / 7;
}

/* One conversion of strftime with English names; false: unknown. */
static bool time_part(const struct tm *t, char c, bool bare, char *s, size_t n)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March", "April", "May", "June",
                                         "July", "August", "September", "October", "November", "December"};
    const char *day = days[t->tm_wday % 7], *month = months[t->tm_mon % 12];
    int hour12 = t->tm_hour % 12 ? t->tm_hour % 12 : 12, year = t->tm_year + 1900, width = bare ? 1 : 2;
    static const char numbers[] = "dHIMSmyUWj";
    const int values[] = {t->tm_mday, t->tm_hour, hour12, t->tm_min, t->tm_sec, t->tm_mon + 1, year % 100, week(t, 0), week(t, 1), t->tm_yday + 1};
    const char *p = c ? strchr(numbers, c) : NULL;
    if (p) {
        snprintf(s, n, "%0*d", c == 'j' && !bare ? 3 : width, values[p - numbers]);
        return true;
    }
    switch (c) {
    case 'a':
    case 'A':
        snprintf(s, n, "%.*s", c == 'a' ? 3 : 20, day);
        return true;
    case 'b':
    case 'h':
    case 'B':
        snprintf(s, n, "%.*s", c == 'B' ? 20 : 3, month);
        return true;
    case 'e':
        snprintf(s, n, "%*d", width, t->tm_mday);
        return true;
    case 'k':
    case 'l':
        snprintf(s, n, "%*d", width, c == 'k' ? t->tm_hour : hour12);
        return true;
    case 'p':
        snprintf(s, n, "%s", t->tm_hour < 12 ? "AM" : "PM");
        return true;
    case 'Y':
        snprintf(s, n, "%d", year);
        return true;
    case 'C':
        snprintf(s, n, "%02d", year / 100);
        return true;
    case 'u':
    case 'w':
        snprintf(s, n, "%d", c == 'u' && t->tm_wday == 0 ? 7 : t->tm_wday);
        return true;
    case 'f':
        snprintf(s, n, "000000");
        return true;
    case 'F':
        snprintf(s, n, "%d-%02d-%02d", year, t->tm_mon + 1, t->tm_mday);
        return true;
    case 'D':
    case 'x':
        snprintf(s, n, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday, year % 100);
        return true;
    case 'R':
        snprintf(s, n, "%02d:%02d", t->tm_hour, t->tm_min);
        return true;
    case 'T':
    case 'X':
        snprintf(s, n, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec);
        return true;
    case 'c':
        snprintf(s, n, "%.3s %.3s %2d %02d:%02d:%02d %d", day, month, t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec, year);
        return true;
    case 'n':
    case 't':
    case '%':
        snprintf(s, n, "%c", c == 'n' ? '\n' : c == 't' ? '\t' : '%');
        return true;
    case 'z':
    case 'Z':
        *s = 0;
        return true;
    default:
        return false;
    }
}

bool text_time(struct rt *rt, const struct vstr *fmt, struct value *out)
{
    size_t mark = rt->n, from = 0;
    bool foreign = vstr_any_foreign(fmt);
    for (size_t i = 0; i + 1 < fmt->n; i++) {
        char s[80];
        if (fmt->s[i] != '%')
            continue;
        bool bare = fmt->s[i + 1] == '-';
        size_t end = i + 1 + bare;
        if (end >= fmt->n || !time_part(rt->now, fmt->s[end], bare, s, sizeof s))
            return rt_fail(rt, "strftime_now does not know '%.*s'", (int)(end + 1 - i > fmt->n - i ? fmt->n - i : end + 1 - i), fmt->s + i);
        if (!rt_spend(rt, 1) || !out_part(rt, fmt, from, i) || !out_bytes(rt, s, strlen(s), foreign))
            return false;
        from = end + 1;
        i = end;
    }
    return out_part(rt, fmt, from, fmt->n) && out_done(rt, mark, out);
}
