#ifndef MODEL_VALUE_PRIV_H
#define MODEL_VALUE_PRIV_H
/*
 * What values are made of: for value.c and the template engine (jinja*.c) alone. See value.h for the idea.
 *
 * A text is never changed after it was made, so that parts of it share its bytes. Memory comes from the arena and goes with it. Requests of
 * up to VALS_SMALL bytes always succeed (who makes many asks vals_over); larger ones fail when the maximum would be passed.
 */
#include "model/value.h"

#define VALS_SMALL 512
#define VSTR_UNCOUNTED SIZE_MAX

/* The bytes behind a text that grew by concatenation: another text may be put behind it in place, if nobody did before. */
struct vtail {
    char *s;
    uint8_t *tag; /* NULL: as `foreign` says */
    size_t n, cap;
    bool foreign;
};

struct vstr {
    const char *s;
    const uint8_t *tag; /* 1: foreign, for each byte; NULL: all are as `foreign` says */
    size_t n;           /* bytes */
    size_t chars;       /* code points, or VSTR_UNCOUNTED */
    struct vtail *tail;
    bool foreign;
    bool safe; /* from the filters safe and escape: adding a text that is not escapes that one */
};

struct vlist {
    struct value *v;
    size_t n, cap;
    bool frozen; /* given from outside: a template cannot change it */
    bool group;  /* a pair that groupby made: its members have names, too */
};

struct vpair {
    struct value key, val;
    uint64_t hash;
};

/* Pairs in the order of insertion; `index` (open addressing, pair number + 1) is there once there are more than a few. */
struct vmap {
    struct vpair *e;
    uint32_t *index;
    size_t n, cap, n_index;
    uint64_t seed;
    bool frozen;
};

void *vals_alloc(struct vals *v, size_t n); /* 16-byte aligned, not cleared; NULL: over the maximum (never for n <= VALS_SMALL) */

/* Texts. Those that return NULL do so when the arena is over its maximum. */
struct vstr *vstr_ref(struct vals *v, const char *s, size_t n, bool foreign);
struct vstr *vstr_copy(struct vals *v, const char *s, size_t n, bool foreign);
struct vstr *vstr_sub(struct vals *v, const struct vstr *s, size_t from, size_t to); /* bytes [from, to), shared */
struct vstr *vstr_join(struct vals *v, struct vstr *a, struct vstr *b);                /* a, then b */
size_t vstr_chars(struct vstr *s);                                                   /* counts once */
bool vstr_ascii(struct vstr *s);                                                     /* each byte is a character */
bool vstr_same(const struct vstr *a, const struct vstr *b);
int vstr_order(const struct vstr *a, const struct vstr *b); /* by code points: < 0, 0, > 0 */
bool vstr_is(const struct vstr *s, const char *text);
bool vstr_any_foreign(const struct vstr *s);

static inline struct value vstr_value(struct vstr *s)
{
    return (struct value){.kind = VAL_STR, .s = s};
}

struct vlist *vlist_new(struct vals *v);
bool vlist_push(struct vals *v, struct vlist *l, struct value item); /* false: over the maximum */
bool vlist_room(struct vals *v, struct vlist *l, size_t more);
struct vmap *vmap_new(struct vals *v);
/* Numbers, texts, none, and tuples of such can be keys; 1, 1.0 and true are the same. */
bool vmap_can_key(struct value key);
struct vpair *vmap_find(const struct vmap *m, struct value key); /* key must be fit */
struct vpair *vmap_find_text(const struct vmap *m, const char *s, size_t n);
bool vmap_put(struct vals *v, struct vmap *m, struct value key, struct value item); /* false: over the maximum */
void vmap_remove(struct vmap *m, struct vpair *e);
/* Two numbers (bool, int, float) by their true values: < 0, 0, > 0, or 2 where one is no number (NaN). */
int val_number_order(struct value a, struct value b);

#endif
