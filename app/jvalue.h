#ifndef APP_JVALUE_H
#define APP_JVALUE_H
/*
 * JSON to the values of chat templates. Strings are foreign (model/value.h) if `foreign` says so, but for roles that templates know.
 * JSON from outside has a depth that jansson bounds.
 */
#include <jansson.h>
#include <string.h>

#include "model/template.h"
#include "model/value.h"

static inline struct value jvalue(struct vals *v, const json_t *j, bool foreign)
{
    switch (json_typeof(j)) {
    case JSON_TRUE:
    case JSON_FALSE:
        return val_bool(json_is_true(j));
    case JSON_INTEGER:
        return val_int(json_integer_value(j));
    case JSON_REAL:
        return val_float(json_real_value(j));
    case JSON_STRING:
        return val_str(v, json_string_value(j), json_string_length(j), foreign);
    case JSON_ARRAY: {
        struct value l = val_list(v);
        size_t i;
        json_t *x;
        json_array_foreach(j, i, x)
            val_add(v, l, jvalue(v, x, foreign));
        return l;
    }
    case JSON_OBJECT: {
        struct value m = val_map(v);
        const char *key;
        json_t *x;
        json_object_foreach((json_t *)(uintptr_t)j, key, x) {
            bool role = strcmp(key, "role") == 0 && json_is_string(x) && tmpl_known_role(json_string_value(x), json_string_length(x));
            val_set(v, m, key, strlen(key), foreign, jvalue(v, x, foreign && !role));
        }
        return m;
    }
    default:
        return val_none();
    }
}

#endif
