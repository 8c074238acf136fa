/*
 * JSON schema to grammar. Every schema becomes an expression; objects, arrays, references and alternatives become rules of their own, r1,
 * r2 ... A $ref is a rule by its pointer, made once and later, from a list: that is how a schema that holds itself ends.
 *
 * A schema that nothing satisfies becomes the rule `never`, which never ends; the grammar leaves out what cannot end, so that an optional
 * member of that kind is never written, and a whole schema of that kind is refused by the grammar's own check.
 *
 * A keyword that would need more than a grammar is refused, not passed over: what comes out must be valid.
 */
#include "config.h"
#include "app/schema.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/schema_impl.h"
#include "base/mem.h"
#include "model/grammar.h"

#define MAX_DEPTH 64    /* of schemas in one another, without references */
#define MAX_RULES 20000
#define MAX_COUNT 10000 /* items, members, characters */

/*
 * What does not stand in strings as it is: for JSON, and because a terminal and a pipe get such characters only as numbers (base/sane.h),
 * which would be no JSON any more.
 */
#define NOT_PLAIN                                                                                                                        \
    "\"\\\\\\x00-\\x1F\\x7F-\\x9F\\u00AD\\u061C\\u180E\\u200E\\u200F\\u2028-\\u202E\\u2060-\\u206F\\uE000-\\uF8FF\\uFDD0-\\uFDEF\\uFEFF\\uFFF0-\\uFFFF" \
    "\\U000E0000-\\U0010FFFF"

static void schema(struct making *m, const json_t *s, struct buf *out);

void schema_fail(struct making *m, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!m->rc)
        m->rc = err_set(m->err, ERR_INPUT, "at #%.150s: %s", buf_str(&m->path), text);
}

/* ---- where we are ---- */

static size_t enter(struct making *m, const char *key)
{
    size_t before = m->path.len;
    buf_addch(&m->path, '/');
    for (; *key; key++) {
        if (*key == '~' || *key == '/')
            buf_addstr(&m->path, *key == '~' ? "~0" : "~1");
        else
            buf_addch(&m->path, *key);
    }
    return before;
}

static void leave(struct making *m, size_t before)
{
    m->path.len = before;
    if (m->path.data)
        m->path.data[before] = 0;
}

static void inside(struct making *m, const char *key, const json_t *s, struct buf *out)
{
    size_t before = enter(m, key);
    schema(m, s, out);
    leave(m, before);
}

static void inside_nth(struct making *m, const char *key, size_t i, const json_t *s, struct buf *out)
{
    char nth[24];
    size_t before = enter(m, key);
    snprintf(nth, sizeof nth, "%zu", i);
    inside(m, nth, s, out);
    leave(m, before);
}

/* ---- pieces ---- */

void schema_literal(struct buf *out, const char *s, size_t n)
{
    buf_addch(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_addf(out, "\\x%02X", c);
        else
            buf_addch(out, (char)c);
    }
    buf_addch(out, '"');
}

/* A new rule of this body; its name goes to out. */
static void put_rule(struct making *m, const char *body, struct buf *out)
{
    if (++m->n_rules > MAX_RULES)
        schema_fail(m, "the schema is too large");
    buf_addf(&m->rules, "r%d ::= %s\n", m->n_rules, body);
    buf_addf(out, "r%d", m->n_rules);
}

static void never(struct making *m, struct buf *out)
{
    if (!m->reason)
        m->reason = mem_strdup(buf_str(&m->path));
    buf_addstr(out, "never");
}

static void json_text(struct buf *out, const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    schema_literal(out, text, strlen(text));
    free(text);
}

/* A count of the schema; false: it is not there, or wrong (told). */
static bool count_of(struct making *m, const json_t *s, const char *key, int *out)
{
    const json_t *v = json_object_get(s, key);
    if (!v)
        return false;
    double x = json_number_value(v);
    if (!json_is_number(v) || x < 0 || x != floor(x)) {
        schema_fail(m, "%s is no whole number from 0 on", key);
        return false;
    }
    if (x > MAX_COUNT && (!strncmp(key, "min", 3))) {
        schema_fail(m, "%s is above 10000", key);
        return false;
    }
    *out = x > MAX_COUNT ? MAX_COUNT : (int)x;
    return true;
}

/* ---- types ---- */

static bool is_type(const json_t *v, const char *type)
{
    return (!strcmp(type, "null") && json_is_null(v)) || (!strcmp(type, "boolean") && json_is_boolean(v)) || (!strcmp(type, "string") && json_is_string(v)) ||
           (!strcmp(type, "object") && json_is_object(v)) || (!strcmp(type, "array") && json_is_array(v)) || (!strcmp(type, "number") && json_is_number(v)) ||
           (!strcmp(type, "integer") && json_is_number(v) && json_number_value(v) == floor(json_number_value(v)));
}

/* Does the value of an enumeration fit the other keywords, as far as these are about one value? */
static bool fits(struct making *m, const json_t *v, const json_t *s)
{
    const json_t *type = json_object_get(s, "type");
    bool good = !type || (json_is_string(type) && is_type(v, json_string_value(type)));
    for (size_t i = 0; !good && i < json_array_size(type); i++)
        good = json_is_string(json_array_get(type, i)) && is_type(v, json_string_value(json_array_get(type, i)));
    if (json_is_number(v)) {
        double x = json_number_value(v);
        const json_t *b;
        good = good && !((b = json_object_get(s, "minimum")) && x < json_number_value(b)) && !((b = json_object_get(s, "maximum")) && x > json_number_value(b)) &&
               !((b = json_object_get(s, "exclusiveMinimum")) && x <= json_number_value(b)) &&
               !((b = json_object_get(s, "exclusiveMaximum")) && x >= json_number_value(b));
    }
    if (json_is_string(v)) {
        int chars = 0, k;
        for (const char *p = json_string_value(v); *p; p++)
            chars += ((unsigned char)*p & 0xC0) != 0x80;
        good = good && !(count_of(m, s, "minLength", &k) && chars < k) && !(count_of(m, s, "maxLength", &k) && chars > k);
        if (json_object_get(s, "pattern") || json_object_get(s, "format"))
            schema_fail(m, "%s beside enum or const cannot be held", "pattern or format");
    }
    if (json_is_object(v) || json_is_array(v)) {
        static const char *const keys[] = {"properties", "required", "items", "prefixItems", "minItems", "maxItems", "additionalProperties"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (json_object_get(s, keys[i]))
                schema_fail(m, "%s beside enum or const cannot be held", keys[i]);
    }
    return good;
}

static void enumeration(struct making *m, const json_t *s, struct buf *out)
{
    const json_t *list = json_object_get(s, "enum"), *one = json_object_get(s, "const");
    int n = 0;
    if (list && (!json_is_array(list) || !json_array_size(list)))
        schema_fail(m, "%s is no array of values", "enum");
    buf_addch(out, '(');
    for (size_t i = 0; i < (list ? json_array_size(list) : 1) && !m->rc; i++) {
        const json_t *v = list ? json_array_get(list, i) : one;
        if ((list && one && !json_equal(v, one)) || !fits(m, v, s))
            continue;
        buf_addstr(out, n++ ? " | " : "");
        json_text(out, v);
    }
    if (!n)
        never(m, out);
    buf_addch(out, ')');
}

static void string(struct making *m, const json_t *s, struct buf *out)
{
    static const struct {
        const char *name, *rule;
    } formats[] = {{"date", "date"}, {"time", "time"}, {"date-time", "date \"T\" time"}, {"uuid", "uuid"}};
    const json_t *pattern = json_object_get(s, "pattern"), *format = json_object_get(s, "format");
    const char *rule = NULL, *why;
    int min = 0, max = -1;
    bool lengths = count_of(m, s, "minLength", &min) | count_of(m, s, "maxLength", &max);
    for (size_t i = 0; i < sizeof formats / sizeof *formats && json_is_string(format); i++)
        if (!strcmp(json_string_value(format), formats[i].name))
            rule = formats[i].rule;
    if ((rule != NULL) + (pattern != NULL) + lengths > 1)
        schema_fail(m, "only one of pattern, format and lengths can be held at a time");
    if (pattern && !json_is_string(pattern))
        schema_fail(m, "%s is no text", "pattern");
    if (m->rc)
        return;
    if (max >= 0 && max < min) {
        never(m, out);
        return;
    }
    buf_addstr(out, "\"\\\"\" ");
    if (rule)
        buf_addstr(out, rule);
    else if (pattern && !schema_pattern(json_string_value(pattern), out, &why))
        schema_fail(m, "the pattern has %s", why);
    else if (!pattern && max == 0)
        buf_addstr(out, "\"\"");
    else if (!pattern && max >= 0)
        buf_addf(out, "char{%d,%d}", min, max);
    else if (!pattern)
        buf_addf(out, min ? "char{%d,}" : "char*", min);
    buf_addstr(out, " \"\\\"\"");
}

/* ---- objects ---- */

/* The schema of members without one of their own; NULL: there may be none. */
static const json_t *additional(const json_t *s)
{
    static const char *const about[] = {"properties", "required"};
    const json_t *a = json_object_get(s, "additionalProperties");
    if (a)
        return json_is_false(a) ? NULL : a;
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(s, about[i]))
            return NULL; /* those that are named are enough */
    return json_true();
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t char_bytes(const char *s)
{
    unsigned char c = (unsigned char)*s;
    return c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
}

/* Keys behind the common beginning of names[0..n), `at` bytes long, other than these names: plain characters, then the quote. */
static void other_keys(struct making *m, const char **names, size_t n, size_t at, int depth, struct buf *out)
{
    struct buf body = BUF_INIT(SCHEMA_MAX);
    bool name_ends = n && !names[0][at];
    size_t first = name_ends;
    if (depth > MAX_DEPTH * 4)
        schema_fail(m, "%s has a name that is too long", "properties");
    buf_addstr(&body, name_ends ? "" : "\"\\\"\" | ");
    buf_addstr(&body, "[^" NOT_PLAIN);
    for (size_t i = first; i < n; i++)
        if (i == first || memcmp(names[i] + at, names[i - 1] + at, char_bytes(names[i] + at))) {
            if (strchr("]^-[", names[i][at]))
                buf_addch(&body, '\\');
            if ((unsigned char)names[i][at] >= 0x20 && names[i][at] != '"' && names[i][at] != '\\')
                buf_add(&body, names[i] + at, char_bytes(names[i] + at));
            else
                body.len -= strchr("]^-[", names[i][at]) ? 1 : 0;
        }
    buf_addstr(&body, "] plain* \"\\\"\"");
    for (size_t i = first, to; i < n && !m->rc; i = to) {
        size_t k = char_bytes(names[i] + at);
        for (to = i + 1; to < n && !memcmp(names[to] + at, names[i] + at, k);)
            to++;
        if ((unsigned char)names[i][at] < 0x20 || names[i][at] == '"' || names[i][at] == '\\')
            continue; /* these stand in escapes, which other keys do not have */
        buf_addstr(&body, " | ");
        schema_literal(&body, names[i] + at, k);
        buf_addch(&body, ' ');
        other_keys(m, names + i, to - i, at + k, depth + 1, &body);
    }
    put_rule(m, buf_str(&body), out);
    buf_finish(&body);
}

struct member {
    const char *name;
    const json_t *schema;
    bool required;
};

static bool is_required(const json_t *s, const char *name)
{
    const json_t *list = json_object_get(s, "required");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)) && !strcmp(json_string_value(json_array_get(list, i)), name))
            return true;
    return false;
}

/* Members in their order: those of properties, then what is required beyond them. */
static struct member *members_of(struct making *m, const json_t *s, size_t *n)
{
    const json_t *properties = json_object_get(s, "properties"), *required = json_object_get(s, "required"), *more = additional(s), *v;
    const char *key;
    if ((properties && !json_is_object(properties)) || (required && !json_is_array(required)))
        schema_fail(m, "%s", properties && !json_is_object(properties) ? "properties is no object" : "required is no array");
    struct member *list = mem_array(json_object_size(properties) + json_array_size(required) + 1, sizeof *list);
    *n = 0;
    json_object_foreach((json_t *)properties, key, v)
        list[(*n)++] = (struct member){key, v, is_required(s, key)};
    for (size_t i = 0; i < json_array_size(required) && !m->rc; i++) {
        const char *name = json_string_value(json_array_get(required, i));
        bool known = false;
        if (!name)
            schema_fail(m, "%s has a name that is no text", "required");
        for (size_t k = 0; name && k < *n; k++)
            known = known || !strcmp(list[k].name, name);
        if (name && !known)
            list[(*n)++] = (struct member){name, json_object_get(s, "additionalProperties") ? more ? more : json_false() : json_true(), true};
    }
    if (*n > MAX_COUNT)
        schema_fail(m, "%s has more than 10000 members", "properties");
    return list;
}

/*
 * The members from the i-th on are rules in pairs: with a comma in front (something stands before) and without. Made from the last one
 * backwards, so that each names the two behind it.
 */
static void object(struct making *m, const json_t *s, struct buf *out)
{
    size_t n;
    struct member *list = members_of(m, s, &n);
    const json_t *more = additional(s);
    struct buf first = BUF_INIT(SCHEMA_MAX), rest = BUF_INIT(SCHEMA_MAX), pair = BUF_INIT(SCHEMA_MAX), body = BUF_INIT(SCHEMA_MAX);
    buf_addstr(&first, "\"\"");
    buf_addstr(&rest, "\"\"");
    if (more && !m->rc) {
        const char **names = mem_array(n + 1, sizeof *names);
        for (size_t i = 0; i < n; i++)
            names[i] = list[i].name;
        qsort(names, n, sizeof *names, by_text);
        buf_addstr(&body, "\"\\\"\" ");
        other_keys(m, names, n, 0, 0, &body);
        buf_addstr(&body, " \":\" ws ");
        inside(m, "additionalProperties", more, &body);
        put_rule(m, buf_str(&body), &pair);
        buf_reset(&first);
        buf_reset(&rest);
        buf_addf(&first, "(%s (\",\" ws %s)*)?", buf_str(&pair), buf_str(&pair));
        buf_addf(&rest, "(\",\" ws %s)*", buf_str(&pair));
        free(names);
    }
    size_t before = enter(m, "properties");
    for (size_t i = n; i-- > 0 && !m->rc;) {
        json_t *key = json_string(list[i].name);
        buf_reset(&pair);
        buf_reset(&body);
        json_text(&body, key);
        buf_addstr(&body, " \":\" ws ");
        inside(m, list[i].name, list[i].schema, &body);
        put_rule(m, buf_str(&body), &pair);
        json_decref(key);
        buf_reset(&body);
        buf_addf(&body, "%s %s%s%s", buf_str(&pair), buf_str(&rest), list[i].required ? "" : " | ", list[i].required ? "" : buf_str(&first));
        buf_reset(&first);
        put_rule(m, buf_str(&body), &first);
        buf_reset(&body);
        buf_addf(&body, "\",\" ws %s %s%s%s", buf_str(&pair), buf_str(&rest), list[i].required ? "" : " | ", list[i].required ? "" : buf_str(&rest));
        buf_reset(&rest);
        put_rule(m, buf_str(&body), &rest);
    }
    leave(m, before);
    buf_addf(out, "(\"{\" ws %s ws \"}\")", buf_str(&first));
    buf_finish(&first);
    buf_finish(&rest);
    buf_finish(&pair);
    buf_finish(&body);
    free(list);
}

/* ---- arrays ---- */

static void array(struct making *m, const json_t *s, struct buf *out)
{
    const json_t *prefix = json_object_get(s, "prefixItems"), *items = json_object_get(s, "items");
    if (json_is_array(items) && !prefix) { /* as it was written before 2020 */
        prefix = items;
        items = json_object_get(s, "additionalItems");
    }
    int min = 0, max = -1, p = (int)json_array_size(prefix);
    count_of(m, s, "minItems", &min);
    count_of(m, s, "maxItems", &max);
    if (prefix && !json_is_array(prefix))
        schema_fail(m, "%s is no array", "prefixItems");
    if (p > MAX_COUNT)
        schema_fail(m, "%s has more than 10000 schemas", "prefixItems");
    if (m->rc)
        return;
    if (max >= 0 && max < min) {
        never(m, out);
        return;
    }
    p = max >= 0 && p > max ? max : p;
    if (json_is_false(items) || (p && !items && min <= p)) { /* nothing behind the named ones */
        if (min > p) {
            never(m, out);
            return;
        }
        max = p;
    }
    struct buf item = BUF_INIT(SCHEMA_MAX), one = BUF_INIT(SCHEMA_MAX);
    if (max < 0 || max > p) {
        inside(m, "items", items ? items : json_true(), &one);
        put_rule(m, buf_str(&one), &item);
    }
    buf_addstr(out, "(\"[\" ws ");
    for (int i = 0; i < p && !m->rc; i++) {
        buf_addstr(out, i ? " \",\" ws " : "");
        inside_nth(m, json_object_get(s, "prefixItems") ? "prefixItems" : "items", (size_t)i, json_array_get(prefix, (size_t)i), out);
    }
    int least = min > p ? min - p : 0, most = max < 0 ? -1 : max - p; /* items behind those */
    if (most != 0) {
        char times[32];
        int lead = p ? 0 : 1; /* the first one has no comma */
        if (most < 0)
            snprintf(times, sizeof times, "{%d,}", least > lead ? least - lead : 0);
        else
            snprintf(times, sizeof times, "{%d,%d}", least > lead ? least - lead : 0, most - lead);
        if (lead)
            buf_addf(out, "(%s (\",\" ws %s)%s)%s", buf_str(&item), buf_str(&item), times, least ? "" : "?");
        else
            buf_addf(out, " (\",\" ws %s)%s", buf_str(&item), times);
    }
    buf_addstr(out, " ws \"]\")");
    buf_finish(&item);
    buf_finish(&one);
}

/* ---- references ---- */

/* What the pointer behind '#' names in the document, or NULL. */
static const json_t *resolve(const struct making *m, const char *ref)
{
    const json_t *at = m->root;
    char *copy = mem_strdup(ref), *to = copy;
    for (const char *p = ref; *p; p++) { /* %41 */
        unsigned v;
        if (*p == '%' && p[1] && p[2] && sscanf(p + 1, "%2x", &v) == 1 && v) {
            *to++ = (char)v;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    for (char *p = copy; at && *p;) {
        if (*p++ != '/') {
            at = NULL;
            break;
        }
        char *end = p + strcspn(p, "/"), stop = *end, *out = p;
        *end = 0;
        for (char *q = p; *q; q++) {
            bool tilde = *q == '~' && (q[1] == '0' || q[1] == '1');
            *out++ = !tilde ? *q : *++q == '0' ? '~' : '/';
        }
        *out = 0;
        at = json_is_array(at) ? (*p >= '0' && *p <= '9' ? json_array_get(at, (size_t)strtoul(p, NULL, 10)) : NULL) : json_object_get(at, p);
        *end = stop;
        p = end;
    }
    free(copy);
    return at;
}

static const json_t *target(struct making *m, const json_t *s)
{
    const char *ref = json_string_value(json_object_get(s, "$ref"));
    if (!ref || *ref != '#') {
        schema_fail(m, "$ref '%.100s' leads out of the document", ref ? ref : "");
        return json_true();
    }
    const json_t *to = resolve(m, ref + 1);
    if (!to)
        schema_fail(m, "$ref '%.100s' leads to nothing", ref);
    return to ? to : json_true();
}

/* A rule by the schema that it stands for. */
static void reference(struct making *m, const json_t *s, struct buf *out)
{
    const json_t *to = target(m, s);
    size_t i = 0;
    while (i < m->n_refs && m->refs[i].schema != to)
        i++;
    if (i == m->n_refs) {
        m->refs = mem_grow(m->refs, m->n_refs + 1, sizeof *m->refs);
        m->refs[m->n_refs++] = (struct schema_ref){to, mem_strdup(json_string_value(json_object_get(s, "$ref")) ? json_string_value(json_object_get(s, "$ref")) + 1 : "")};
        if (m->n_refs > MAX_COUNT)
            schema_fail(m, "more than 10000 references");
    }
    buf_addf(out, "ref%zu", i);
}

/* ---- several schemas at once ---- */

static bool is_note(const char *key)
{
    static const char *const notes[] = {"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated",
                                        "readOnly", "writeOnly", "$anchor", "contentMediaType", "contentEncoding", "$vocabulary", "id"};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (!strcmp(key, notes[i]))
            return true;
    return false;
}

/* Both types, where a number is an integer, too. NULL: there is none. Owned by the caller. */
static json_t *both_types(const json_t *a, const json_t *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < (json_is_array(a) ? json_array_size(a) : 1); i++)
        for (size_t k = 0; k < (json_is_array(b) ? json_array_size(b) : 1); k++) {
            const char *x = json_string_value(json_is_array(a) ? json_array_get(a, i) : a), *y = json_string_value(json_is_array(b) ? json_array_get(b, k) : b);
            if (!x || !y)
                continue;
            if (!strcmp(x, y) || (!strcmp(x, "integer") && !strcmp(y, "number")))
                json_array_append_new(list, json_string(x));
            else if (!strcmp(x, "number") && !strcmp(y, "integer"))
                json_array_append_new(list, json_string(y));
        }
    return list;
}

static json_t *all_of(const json_t *a, const json_t *b)
{
    json_t *o = json_object(), *list = json_array();
    json_array_append(list, (json_t *)a);
    json_array_append(list, (json_t *)b);
    json_object_set_new(o, "allOf", list);
    return o;
}

static void merge_key(struct making *m, json_t *into, const char *key, json_t *v)
{
    json_t *have = json_object_get(into, key), *x;
    const char *name;
    size_t i;
    if (!have || json_equal(have, v)) {
        json_object_set(into, key, v);
    } else if (!strcmp(key, "type")) {
        json_object_set_new(into, key, both_types(have, v));
    } else if (!strcmp(key, "properties") && json_is_object(have) && json_is_object(v)) {
        json_t *all = json_copy(have);
        json_object_foreach(v, name, x) {
            json_t *old = json_object_get(all, name);
            json_object_set_new(all, name, old && !json_equal(old, x) ? all_of(old, x) : json_incref(x));
        }
        json_object_set_new(into, key, all);
    } else if (!strcmp(key, "required") || !strcmp(key, "allOf")) {
        json_t *all = json_copy(have);
        json_array_foreach(v, i, x)
            json_array_append(all, x);
        json_object_set_new(into, key, all);
    } else if (!strcmp(key, "enum")) {
        json_t *both = json_array();
        json_array_foreach(v, i, x)
            for (size_t k = 0; k < json_array_size(have); k++)
                if (json_equal(json_array_get(have, k), x))
                    json_array_append(both, x);
        if (!json_array_size(both))
            json_object_set_new(into, "false", json_true());
        else
            json_object_set(into, key, both);
        json_decref(both);
    } else if (!strncmp(key, "min", 3) || !strcmp(key, "exclusiveMinimum")) {
        if (json_number_value(v) > json_number_value(have))
            json_object_set(into, key, v);
    } else if (!strncmp(key, "max", 3) || !strcmp(key, "exclusiveMaximum")) {
        if (json_number_value(v) < json_number_value(have))
            json_object_set(into, key, v);
    } else if (!strcmp(key, "items") || !strcmp(key, "additionalProperties")) {
        json_object_set_new(into, key, all_of(have, v));
    } else if (!strcmp(key, "const")) {
        json_object_set_new(into, "false", json_true());
    } else {
        schema_fail(m, "two different values of %s cannot be held at once", key);
    }
}

/* Makes `closed`, which allows no members but its own, refuse those that only `other` names. */
static void close_members(json_t *closed, const json_t *properties, const json_t *other)
{
    json_t *all = properties ? json_copy((json_t *)properties) : json_object(), *x;
    const char *name;
    json_object_foreach((json_t *)other, name, x)
        if (!json_object_get(properties, name))
            json_object_set_new(all, name, json_false());
    json_object_set_new(closed, "properties", all);
}

/* Takes what `from` asks into `into`. References and allOf in it are followed. */
static void merge(struct making *m, json_t *into, const json_t *from, int depth)
{
    const char *key;
    json_t *v;
    const json_t *parts = json_object_get(from, "allOf");
    if (depth > MAX_DEPTH)
        schema_fail(m, "allOf or $ref go round in a circle");
    if (json_is_false(from))
        json_object_set_new(into, "false", json_true());
    else if (!json_is_true(from) && !json_is_object(from))
        schema_fail(m, "a schema is an object, true or false");
    if (parts && !json_is_array(parts))
        schema_fail(m, "allOf is no array of schemas");
    if (m->rc || !json_is_object(from))
        return;
    json_t *own = json_object();
    json_object_foreach((json_t *)from, key, v)
        if (!is_note(key) && strcmp(key, "$ref") && strcmp(key, "allOf"))
            json_object_set(own, key, v);
    if (json_object_get(from, "$ref"))
        merge(m, into, target(m, from), depth + 1);
    for (size_t i = 0; i < json_array_size(parts); i++)
        merge(m, into, json_array_get(parts, i), depth + 1);
    json_t *mine = json_incref(json_object_get(own, "properties")), *theirs = json_incref(json_object_get(into, "properties"));
    if (json_is_false(json_object_get(into, "additionalProperties")) && mine)
        close_members(into, theirs, mine);
    if (json_is_false(json_object_get(own, "additionalProperties")) && theirs)
        close_members(own, mine, theirs);
    json_decref(mine);
    json_decref(theirs);
    json_object_foreach(own, key, v)
        merge_key(m, into, key, v);
    json_decref(own);
}

/* A schema that lives as long as the making does. */
static const json_t *keep(struct making *m, json_t *s)
{
    json_array_append_new(m->made, s);
    return s;
}

static void alternatives(struct making *m, const json_t *s, const char *key, struct buf *out)
{
    const json_t *list = json_object_get(s, key);
    struct buf body = BUF_INIT(SCHEMA_MAX);
    if (!json_is_array(list) || !json_array_size(list))
        schema_fail(m, "%s is no array of schemas", key);
    json_t *rest = json_copy((json_t *)s);
    json_object_del(rest, key);
    for (size_t i = 0; i < json_array_size(list) && !m->rc; i++) {
        json_t *one = json_object();
        merge(m, one, rest, 0);
        bool alone = json_object_size(one) == 0;
        if (!alone)
            merge(m, one, json_array_get(list, i), 0);
        buf_addstr(&body, i ? " | " : "");
        inside_nth(m, key, i, alone ? json_array_get(list, i) : keep(m, json_incref(one)), &body);
        json_decref(one);
    }
    json_decref(rest);
    put_rule(m, buf_str(&body), out);
    buf_finish(&body);
}

/* ---- any schema ---- */

static void refuse_unknown(struct making *m, const json_t *s)
{
    static const char *const no[] = {"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties", "propertyNames",
                                     "minProperties", "maxProperties", "contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems",
                                     "$dynamicRef", "$recursiveRef"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (json_object_get(s, no[i]))
            schema_fail(m, "%s cannot be held by a grammar", no[i]);
    if (json_is_true(json_object_get(s, "uniqueItems")))
        schema_fail(m, "%s cannot be held by a grammar", "uniqueItems");
    const json_t *of = json_object_get(s, "multipleOf");
    if (of && json_number_value(of) != 1)
        schema_fail(m, "%s cannot be held by a grammar", "multipleOf");
}

/* The type that keywords speak of, where none is given. */
static const char *type_meant(const json_t *s)
{
    static const struct {
        const char *key, *type;
    } rows[] = {{"properties", "object"}, {"required", "object"}, {"additionalProperties", "object"}, {"items", "array"}, {"prefixItems", "array"},
                {"minItems", "array"}, {"maxItems", "array"}, {"minLength", "string"}, {"maxLength", "string"}, {"pattern", "string"}, {"format", "string"},
                {"minimum", "number"}, {"maximum", "number"}, {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"}, {"multipleOf", "integer"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (json_object_get(s, rows[i].key))
            return rows[i].type;
    return NULL;
}

static void of_type(struct making *m, const json_t *s, const char *type, struct buf *out)
{
    const json_t *of = json_object_get(s, "multipleOf");
    if (!strcmp(type, "object"))
        object(m, s, out);
    else if (!strcmp(type, "array"))
        array(m, s, out);
    else if (!strcmp(type, "string"))
        string(m, s, out);
    else if (!strcmp(type, "integer") || !strcmp(type, "number"))
        schema_number(m, s, of || !strcmp(type, "integer"), out);
    else if (!strcmp(type, "boolean"))
        buf_addstr(out, "(\"true\" | \"false\")");
    else if (!strcmp(type, "null"))
        buf_addstr(out, "\"null\"");
    else
        schema_fail(m, "there is no type '%.40s'", type);
}

static void one_schema(struct making *m, const json_t *s, struct buf *out)
{
    const json_t *type = json_object_get(s, "type");
    refuse_unknown(m, s);
    if (m->rc)
        return;
    if (json_object_get(s, "false")) { /* from merging */
        never(m, out);
    } else if (json_object_get(s, "anyOf")) {
        alternatives(m, s, "anyOf", out);
    } else if (json_object_get(s, "oneOf")) {
        alternatives(m, s, "oneOf", out);
    } else if (json_object_get(s, "enum") || json_object_get(s, "const")) {
        enumeration(m, s, out);
    } else if (json_is_array(type)) {
        buf_addch(out, '(');
        for (size_t i = 0; i < json_array_size(type) && !m->rc; i++) {
            const char *t = json_string_value(json_array_get(type, i));
            buf_addstr(out, i ? " | " : "");
            of_type(m, s, t ? t : "?", out);
        }
        if (!json_array_size(type))
            never(m, out);
        buf_addch(out, ')');
    } else if (type && !json_is_string(type)) {
        schema_fail(m, "%s is neither a text nor an array", "type");
    } else if (type || type_meant(s)) {
        of_type(m, s, type ? json_string_value(type) : type_meant(s), out);
    } else {
        buf_addstr(out, "value");
    }
}

static void schema(struct making *m, const json_t *s, struct buf *out)
{
    if (m->rc)
        return;
    if (++m->depth > MAX_DEPTH)
        schema_fail(m, "schemas are too deep in one another");
    if (json_is_false(s)) {
        never(m, out);
    } else if (json_is_true(s)) {
        buf_addstr(out, "value");
    } else if (!json_is_object(s)) {
        schema_fail(m, "a schema is an object, true or false");
    } else if (json_object_get(s, "$ref") || json_object_get(s, "allOf")) {
        bool alone = json_object_get(s, "$ref") != NULL;
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)s, key, v)
            alone = alone && (is_note(key) || !strcmp(key, "$ref"));
        if (alone) {
            reference(m, s, out);
        } else {
            json_t *one = json_object();
            merge(m, one, s, 0);
            one_schema(m, keep(m, one), out);
        }
    } else {
        one_schema(m, s, out);
    }
    m->depth--;
}

/* What all grammars of schemas share. Times are of 24 hours, dates of the calendar, without 29 February. */
static const char common[] =
    "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n"
    "never ::= \"!\" never\n"
    "value ::= any-object | any-array | any-string | number | \"true\" | \"false\" | \"null\"\n"
    "any-object ::= \"{\" ws (any-string \":\" ws value (\",\" ws any-string \":\" ws value)*)? ws \"}\"\n"
    "any-array ::= \"[\" ws (value (\",\" ws value)*)? ws \"]\"\n"
    "any-string ::= \"\\\"\" char* \"\\\"\"\n"
    "plain ::= [^" NOT_PLAIN "]\n"
    "char ::= plain | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] hex hex hex | [dD] [0-7] hex hex))\n"
    "hex ::= [0-9a-fA-F]\n"
    "digits ::= \"0\" | [1-9] [0-9]{0,14}\n"
    "integer ::= \"-\"? digits\n"
    "number ::= \"-\"? digits (\".\" [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?\n"
    "date ::= [0-9]{4} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | "
    "\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))\n"
    "clock ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9]\n"
    "time ::= clock \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? (\"Z\" | [-+] clock)\n"
    "uuid ::= hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}\n";

int schema_to_grammar(const char *text, size_t n, struct buf *out, struct err *err)
{
    json_error_t je;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!root)
        return err_set(err, ERR_INPUT, "line %d, column %d: this is no JSON: %s", je.line, je.column, je.text);
    struct making m = {.root = root, .rules = BUF_INIT(SCHEMA_MAX), .path = BUF_INIT(65536), .made = json_array(), .err = err};
    struct buf body = BUF_INIT(SCHEMA_MAX);
    schema(&m, root, &body);
    buf_addf(&m.rules, "root ::= %s\n", buf_str(&body));
    for (size_t i = 0; i < m.n_refs && !m.rc; i++) { /* more may come */
        buf_reset(&body);
        buf_reset(&m.path);
        buf_addstr(&m.path, m.refs[i].path);
        schema(&m, m.refs[i].schema, &body);
        buf_addf(&m.rules, "ref%zu ::= %s\n", i, buf_str(&body));
    }
    if (!m.rc && (buf_over(&m.rules) || buf_over(&body)))
        m.rc = err_set(err, ERR_INPUT, "the schema is too large");
    if (!m.rc) {
        struct grammar *g;
        struct err e = {0};
        buf_addstr(&m.rules, common);
        m.rc = grammar_parse(buf_str(&m.rules), m.rules.len, &g, &e);
        if (!m.rc)
            grammar_free(g);
        else if (strstr(e.msg, "no text satisfies"))
            err_set(err, ERR_INPUT, "no text satisfies the schema (look at #%.200s)", m.reason ? m.reason : "");
        else
            err_set(err, ERR_INPUT, "the schema is too large, or refers to itself and nothing else: %s", e.msg);
    }
    if (!m.rc)
        buf_add(out, m.rules.data, m.rules.len);
    for (size_t i = 0; i < m.n_refs; i++)
        free(m.refs[i].path);
    free(m.refs);
    free(m.reason);
    buf_finish(&body);
    buf_finish(&m.rules);
    buf_finish(&m.path);
    json_decref(m.made);
    json_decref(root);
    return m.rc;
}
