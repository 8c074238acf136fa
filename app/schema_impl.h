#ifndef APP_SCHEMA_IMPL_H
#define APP_SCHEMA_IMPL_H
/* What the files of app/schema*.c share. */
#include <jansson.h>

#include "app/schema.h"

#define SCHEMA_MAX (16u << 20) /* bytes of a grammar */

struct schema_ref {
    const json_t *schema;
    char *path;
};

/* A grammar while it is made. */
struct making {
    const json_t *root;
    struct buf rules, path; /* path: JSON pointer of where we are */
    struct schema_ref *refs;
    size_t n_refs;
    json_t *made;           /* schemas that were merged */
    char *reason;           /* pointer of the first schema that nothing satisfies */
    int n_rules, depth, rc;
    struct err *err;
};

/* "at #/pointer: ...", the first one counts; of several counts. */
void schema_fail(struct making *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A number within the bounds of s. */
void schema_number(struct making *m, const json_t *s, bool whole, struct buf *out);

#endif
