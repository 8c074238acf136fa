#ifndef MODEL_VALUE_H
#define MODEL_VALUE_H
/*
 * Values: what is handed to a chat template (messages, tools, variables), and what a template computes with.
 *
 * A value is 16 bytes and is copied freely; the text or the members it points to belong to an arena, struct vals, and live until that
 * is destroyed. There is no other ownership. Strings know which of their bytes are foreign: written by a person or by a model, not
 * by the template or by the program. That knowledge follows the bytes through every operation of a template, so that the rendered prompt can say
 * where no control token may be read.
 *
 * Lists and maps made here are for input: a template reads them but cannot change them. Maps keep their order. An arena has a maximum;
 * what does not fit is left out, and vals_over() says so: ask once, when all is built. Not for several threads at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum val_kind {
    VAL_ABSENT, /* no value at all: {0}, or what val_get did not find */
    VAL_UNDEF,
    VAL_NONE,
    VAL_BOOL,
    VAL_INT,
    VAL_FLOAT,
    VAL_STR,
    VAL_LIST,
    VAL_TUPLE,
    VAL_MAP,
    VAL_PRIVATE, /* the template engine's own kinds begin here */
};

struct vstr;
struct vlist;
struct vmap;

struct value {
    uint8_t kind; /* enum val_kind */
    union {
        bool b;
        int64_t i;
        double f;
        struct vstr *s;
        struct vlist *l;
        struct vmap *m;
        void *p;
    };
};

struct vals;
struct vals *vals_create(size_t max_bytes);
void vals_destroy(struct vals *v);
bool vals_over(const struct vals *v);

static inline struct value val_none(void)
{
    return (struct value){.kind = VAL_NONE};
}
static inline struct value val_bool(bool b)
{
    return (struct value){.kind = VAL_BOOL, .b = b};
}
static inline struct value val_int(int64_t i)
{
    return (struct value){.kind = VAL_INT, .i = i};
}
static inline struct value val_float(double f)
{
    return (struct value){.kind = VAL_FLOAT, .f = f};
}
/* `foreign`: no byte of it may ever become part of a control token. The text is copied; NUL bytes and bad UTF-8 are allowed. */
struct value val_str(struct vals *v, const char *s, size_t n, bool foreign);
/* The same without a copy: s must outlive the arena. */
struct value val_str_ref(struct vals *v, const char *s, size_t n, bool foreign);
struct value val_list(struct vals *v);
void val_add(struct vals *v, struct value list, struct value item);
struct value val_map(struct vals *v);
/* Sets or replaces a member; the key is copied. */
void val_set(struct vals *v, struct value map, const char *key, size_t n, bool foreign_key, struct value item);

/* The member of a map, or VAL_ABSENT (also when `map` is no map). */
struct value val_get(struct value map, const char *key);
/* The bytes of a string (NULL for anything else), not ended by a NUL. Borrowed from the arena. */
const char *val_text(struct value v, size_t *n);

#endif
