/*
 * Values of chat templates. See value.h.
 *
 * The arena is a list of chunks, filled from the front. Texts are slices of bytes; concatenation, which templates do in loops, appends in
 * place when the left side is the newest thing in its buffer (struct vtail) and copies into a buffer with room otherwise, so that
 * building a text of n bytes piece by piece costs O(n). Foreign bytes are marked by a second array beside the text, only where a text is mixed.
 */
#include "config.h"

#include "model/value_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#define CHUNK 32768
#define KEY_DEPTH 32 /* tuples in tuples, as keys */
#define KEY_PARTS 256
#define LINEAR 8     /* maps of up to so many members are searched from the front */

struct chunk {
    struct chunk *next;
    size_t pad; /* what follows is aligned to 16 */
};

struct vals {
    struct chunk *chunks;
    char *at;
    size_t left, used, max;
    bool over;
};

struct vals *vals_create(size_t max_bytes)
{
    struct vals *v = mem_zalloc(sizeof *v);
    v->max = max_bytes;
    return v;
}

void vals_destroy(struct vals *v)
{
    while (v && v->chunks) {
        struct chunk *next = v->chunks->next;
        free(v->chunks);
        v->chunks = next;
    }
    free(v);
}

bool vals_over(const struct vals *v)
{
    return v->over;
}

static void *chunk_add(struct vals *v, size_t n)
{
    struct chunk *c = mem_alloc(sizeof *c + n);
    c->next = v->chunks;
    v->chunks = c;
    return c + 1;
}

void *vals_alloc(struct vals *v, size_t n)
{
    if (n > v->max || v->used > v->max - n) {
        v->over = true;
        if (n > VALS_SMALL)
            return NULL;
    }
    size_t size = n ? (n + 15) & ~(size_t)15 : 16;
    v->used += size;
    if (size <= v->left) {
        void *p = v->at;
        v->at += size;
        v->left -= size;
        return p;
    }
    if (size > CHUNK / 4)
        return chunk_add(v, size);
    char *p = chunk_add(v, CHUNK);
    v->at = p + size;
    v->left = CHUNK - size;
    return p;
}

/* ---- texts ---- */

struct vstr *vstr_ref(struct vals *v, const char *s, size_t n, bool foreign)
{
    struct vstr *r = vals_alloc(v, sizeof *r);
    *r = (struct vstr){.s = n ? s : "", .n = n, .chars = n ? VSTR_UNCOUNTED : 0, .foreign = foreign};
    return r;
}

struct vstr *vstr_copy(struct vals *v, const char *s, size_t n, bool foreign)
{
    char *p = n ? vals_alloc(v, n) : NULL;
    if (n && !p)
        return NULL;
    if (n)
        memcpy(p, s, n);
    return vstr_ref(v, p, n, foreign);
}

struct vstr *vstr_sub(struct vals *v, const struct vstr *s, size_t from, size_t to)
{
    struct vstr *r = vstr_ref(v, s->s + from, to - from, s->foreign);
    r->safe = s->safe;
    if (s->tag)
        r->tag = s->tag + from;
    if (s->chars == s->n)
        r->chars = r->n;
    return r;
}

/* Bytes [from, from + n) of a tail are those of s: their tags. */
static void tail_tags(struct vtail *t, size_t from, const struct vstr *s)
{
    if (s->tag)
        memcpy(t->tag + from, s->tag, s->n);
    else
        memset(t->tag + from, s->foreign, s->n);
}

/* A buffer that begins with a, with room for more bytes. */
static struct vtail *tail_new(struct vals *v, const struct vstr *a, const struct vstr *b)
{
    struct vtail *t = vals_alloc(v, sizeof *t);
    size_t n = a->n + b->n;
    *t = (struct vtail){.n = a->n, .cap = a->tail || n > 256 ? n + a->n / 2 + 256 : n, .foreign = a->foreign};
    t->s = vals_alloc(v, t->cap);
    if (!t->s)
        return NULL;
    memcpy(t->s, a->s, a->n);
    if (a->tag) {
        t->tag = vals_alloc(v, t->cap);
        if (!t->tag)
            return NULL;
        tail_tags(t, 0, a);
    }
    return t;
}

struct vstr *vstr_join(struct vals *v, struct vstr *a, struct vstr *b)
{
    struct vtail *t = a->tail;
    if (a->n == 0 || b->n == 0)
        return a->n ? a : b;
    if (!t || t->n != a->n || t->s != a->s || t->cap - t->n < b->n)
        t = tail_new(v, a, b);
    if (!t)
        return NULL;
    if (!t->tag && (b->tag || b->foreign != t->foreign)) {
        t->tag = vals_alloc(v, t->cap);
        if (!t->tag)
            return NULL;
        memset(t->tag, t->foreign, t->n);
    }
    memcpy(t->s + t->n, b->s, b->n);
    if (t->tag)
        tail_tags(t, t->n, b);
    t->n += b->n;
    struct vstr *r = vstr_ref(v, t->s, t->n, t->foreign);
    r->tag = t->tag;
    r->tail = t;
    if (a->chars != VSTR_UNCOUNTED && b->chars != VSTR_UNCOUNTED)
        r->chars = a->chars + b->chars;
    return r;
}

size_t vstr_chars(struct vstr *s)
{
    if (s->chars == VSTR_UNCOUNTED) {
        size_t i = 0;
        for (uint64_t eight; s->n - i >= 8; i += 8) { /* most texts are ASCII */
            memcpy(&eight, s->s + i, 8);
            if (eight & 0x8080808080808080u)
                break;
        }
        s->chars = i + utf8_count(s->s + i, s->n - i);
    }
    return s->chars;
}

bool vstr_ascii(struct vstr *s)
{
    return vstr_chars(s) == s->n;
}

bool vstr_same(const struct vstr *a, const struct vstr *b)
{
    return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

int vstr_order(const struct vstr *a, const struct vstr *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int d = memcmp(a->s, b->s, n);
    return d ? d : (a->n > b->n) - (a->n < b->n);
}

bool vstr_is(const struct vstr *s, const char *text)
{
    return strlen(text) == s->n && memcmp(text, s->s, s->n) == 0;
}

bool vstr_any_foreign(const struct vstr *s)
{
    return s->n && (s->tag ? memchr(s->tag, 1, s->n) != NULL : s->foreign);
}

/* ---- lists ---- */

struct vlist *vlist_new(struct vals *v)
{
    struct vlist *l = vals_alloc(v, sizeof *l);
    *l = (struct vlist){0};
    return l;
}

bool vlist_room(struct vals *v, struct vlist *l, size_t more)
{
    if (l->cap - l->n >= more)
        return true;
    size_t cap = l->n + more > l->cap * 2 ? l->n + more : l->cap * 2;
    cap = cap < 4 ? 4 : cap;
    struct value *p = cap > SIZE_MAX / sizeof *p ? NULL : vals_alloc(v, cap * sizeof *p);
    if (!p) {
        v->over = true;
        return false;
    }
    if (l->n)
        memcpy(p, l->v, l->n * sizeof *p);
    l->v = p;
    l->cap = cap;
    return true;
}

bool vlist_push(struct vals *v, struct vlist *l, struct value item)
{
    if (!vlist_room(v, l, 1))
        return false;
    l->v[l->n++] = item;
    return true;
}

/* ---- maps ---- */

struct vmap *vmap_new(struct vals *v)
{
    struct vmap *m = vals_alloc(v, sizeof *m);
    /* Seeded, lest foreign keys meet in one place by intention. */
    *m = (struct vmap){.seed = (uint64_t)(uintptr_t)m ^ ((uint64_t)clock_mono_us() << 20)};
    return m;
}

static bool is_number(struct value v)
{
    return v.kind == VAL_BOOL || v.kind == VAL_INT || v.kind == VAL_FLOAT;
}

/* *left: of the parts that a tuple may have, in all. It may hold itself twice, and so on. */
static bool can_key(struct value k, int depth, int *left)
{
    if (k.kind == VAL_STR || k.kind == VAL_NONE || is_number(k))
        return true;
    if (k.kind != VAL_TUPLE || depth == KEY_DEPTH)
        return false;
    for (size_t i = 0; i < k.l->n; i++)
        if (--*left < 0 || !can_key(k.l->v[i], depth + 1, left))
            return false;
    return true;
}

bool vmap_can_key(struct value key)
{
    int left = KEY_PARTS;
    return can_key(key, 0, &left);
}

int val_number_order(struct value a, struct value b)
{
    if (a.kind != VAL_FLOAT && b.kind != VAL_FLOAT) {
        int64_t x = a.kind == VAL_BOOL ? a.b : a.i, y = b.kind == VAL_BOOL ? b.b : b.i;
        return (x > y) - (x < y);
    }
    if (a.kind == VAL_FLOAT && b.kind == VAL_FLOAT)
        return isnan(a.f) || isnan(b.f) ? 2 : (a.f > b.f) - (a.f < b.f);
    if (a.kind != VAL_FLOAT) {
        int d = val_number_order(b, a);
        return d == 2 ? 2 : -d;
    }
    /* a float with an integer: a double holds not every integer, so that the comparison is made in integers where it can be */
    int64_t y = b.kind == VAL_BOOL ? b.b : b.i;
    if (isnan(a.f))
        return 2;
    if (a.f >= 0x1p63)
        return 1;
    if (a.f < -0x1p63)
        return -1;
    int64_t x = (int64_t)a.f;
    double rest = a.f - (double)x;
    return x != y ? (x > y) - (x < y) : (rest > 0) - (rest < 0);
}

static uint64_t hash_of(uint64_t seed, struct value k)
{
    if (k.kind == VAL_STR)
        return XXH3_64bits_withSeed(k.s->s, k.s->n, seed);
    if (k.kind == VAL_NONE)
        return seed + 1;
    if (k.kind == VAL_TUPLE) {
        uint64_t h = seed ^ k.l->n;
        for (size_t i = 0; i < k.l->n; i++)
            h = h * 0x9E3779B97F4A7C15u + hash_of(seed, k.l->v[i]);
        return h;
    }
    int64_t i = k.kind == VAL_BOOL ? k.b : k.kind == VAL_INT ? k.i : 0;
    if (k.kind == VAL_FLOAT) {
        if (k.f >= -0x1p63 && k.f < 0x1p63 && (double)(int64_t)k.f == k.f)
            i = (int64_t)k.f;
        else
            memcpy(&i, &k.f, sizeof i);
    }
    return XXH3_64bits_withSeed(&i, sizeof i, seed);
}

static bool same_key(struct value a, struct value b)
{
    if (a.kind == VAL_STR || b.kind == VAL_STR)
        return a.kind == b.kind && vstr_same(a.s, b.s);
    if (is_number(a) && is_number(b))
        return val_number_order(a, b) == 0;
    if (a.kind != VAL_TUPLE || b.kind != VAL_TUPLE)
        return a.kind == b.kind;
    if (a.l->n != b.l->n)
        return false;
    for (size_t i = 0; i < a.l->n; i++)
        if (!same_key(a.l->v[i], b.l->v[i]))
            return false;
    return true;
}

static struct vpair *find(const struct vmap *m, struct value key, uint64_t hash)
{
    if (!m->index) {
        for (size_t i = 0; i < m->n; i++)
            if (m->e[i].hash == hash && same_key(m->e[i].key, key))
                return &m->e[i];
        return NULL;
    }
    for (size_t i = hash & (m->n_index - 1); m->index[i]; i = (i + 1) & (m->n_index - 1)) {
        struct vpair *e = &m->e[m->index[i] - 1];
        if (e->hash == hash && same_key(e->key, key))
            return e;
    }
    return NULL;
}

struct vpair *vmap_find(const struct vmap *m, struct value key)
{
    return find(m, key, hash_of(m->seed, key));
}

struct vpair *vmap_find_text(const struct vmap *m, const char *s, size_t n)
{
    struct vstr key = {.s = s, .n = n};
    return vmap_find(m, vstr_value(&key));
}

static void index_put(struct vmap *m, size_t pair)
{
    size_t i = m->e[pair].hash & (m->n_index - 1);
    while (m->index[i])
        i = (i + 1) & (m->n_index - 1);
    m->index[i] = (uint32_t)pair + 1;
}

static void index_fill(struct vmap *m)
{
    memset(m->index, 0, m->n_index * sizeof *m->index);
    for (size_t i = 0; i < m->n; i++)
        index_put(m, i);
}

static bool map_grow(struct vals *v, struct vmap *m)
{
    size_t cap = m->cap ? m->cap * 2 : 4;
    struct vpair *e = cap > UINT32_MAX ? NULL : vals_alloc(v, cap * sizeof *e);
    uint32_t *index = cap > LINEAR ? vals_alloc(v, 2 * cap * sizeof *index) : NULL;
    if (!e || (cap > LINEAR && !index)) {
        v->over = true;
        return false;
    }
    if (m->n)
        memcpy(e, m->e, m->n * sizeof *e);
    m->e = e;
    m->cap = cap;
    m->index = index;
    m->n_index = 2 * cap;
    if (index)
        index_fill(m);
    return true;
}

bool vmap_put(struct vals *v, struct vmap *m, struct value key, struct value item)
{
    uint64_t hash = hash_of(m->seed, key);
    struct vpair *e = find(m, key, hash);
    if (e) {
        e->val = item;
        return true;
    }
    if (m->n == m->cap && !map_grow(v, m))
        return false;
    m->e[m->n++] = (struct vpair){key, item, hash};
    if (m->index)
        index_put(m, m->n - 1);
    return true;
}

void vmap_remove(struct vmap *m, struct vpair *e)
{
    size_t i = (size_t)(e - m->e);
    memmove(e, e + 1, (m->n - i - 1) * sizeof *e);
    m->n--;
    if (m->index)
        index_fill(m);
}

/* ---- for the outside ---- */

struct value val_str(struct vals *v, const char *s, size_t n, bool foreign)
{
    struct vstr *r = vstr_copy(v, s, n, foreign);
    return vstr_value(r ? r : vstr_ref(v, "", 0, foreign));
}

struct value val_str_ref(struct vals *v, const char *s, size_t n, bool foreign)
{
    return vstr_value(vstr_ref(v, s, n, foreign));
}

struct value val_list(struct vals *v)
{
    struct value r = {.kind = VAL_LIST, .l = vlist_new(v)};
    r.l->frozen = true;
    return r;
}

void val_add(struct vals *v, struct value list, struct value item)
{
    vlist_push(v, list.l, item);
}

struct value val_map(struct vals *v)
{
    struct value r = {.kind = VAL_MAP, .m = vmap_new(v)};
    r.m->frozen = true;
    return r;
}

void val_set(struct vals *v, struct value map, const char *key, size_t n, bool foreign_key, struct value item)
{
    vmap_put(v, map.m, val_str(v, key, n, foreign_key), item);
}

struct value val_get(struct value map, const char *key)
{
    struct vpair *e = map.kind == VAL_MAP ? vmap_find_text(map.m, key, strlen(key)) : NULL;
    return e ? e->val : (struct value){0};
}

const char *val_text(struct value v, size_t *n)
{
    if (v.kind != VAL_STR)
        return NULL;
    *n = v.s->n;
    return v.s->s;
}
