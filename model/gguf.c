/*
 * GGUF files (spec: gguf). Little-endian throughout:
 *
 *   "GGUF", u32 version, u64 tensors, u64 keys
 *   keys:    string key, u32 type, value            string = u64 length, bytes
 *   tensors: string name, u32 dimensions, u64 each, u32 type, u64 offset
 *   padding to general.alignment, then the data section
 *
 * A cursor that knows what remains walks the directory once; every length is compared with what remains before it
 * is used, and sums and products go through base/num.h. What is allocated is the directory (in proportion to the file,
 * as a count is bounded by the bytes that so many entries need). Names are attacker-controlled: two hash tables with a
 * random seed find them. Values, names and tensor data are pointers into the map.
 *
 * A split model is several such files (NAME-00001-of-00003.gguf and on). The first holds the metadata; each is read and checked as
 * a file of its own, then the tensors of all stand in the first one's directory.
 *
 * The file may shrink or change while it is mapped. A SIGBUS handler puts zero pages under the lost part and sets a
 * flag, so the process goes on and gguf_unchanged() says no; lengths that are read again later are checked again.
 */
#include "config.h"
#include "model/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "model/limits.h"

struct table { /* open addressing over indices + 1 */
    uint32_t *slot;
    size_t mask;
};

struct gguf {
    char *path;      /* as given */
    char shown[168]; /* for messages: the end of a long path */
    const unsigned char *data;
    uint64_t size;
    bool mapped;
    int fd;
    struct stat st;
    int guard; /* index into the guarded maps, -1: none */
    uint32_t version;
    uint64_t align;
    uint64_t header_bytes;
    uint64_t seed;
    struct gguf_kv *kv;
    size_t n_kv;
    struct table kv_table;
    struct gguf_tensor *tensor;
    size_t n_tensors;
    struct table tensor_table;
    struct gguf **part; /* the other files of a split model, in order; their tensors are in ours */
    size_t n_parts;
};

/* ---- maps that may be lost under us ---- */

#define MAX_GUARDS (2 * LIMIT_PARTS)

static struct guard {
    _Atomic(uintptr_t) from, to; /* to == 0: free */
    atomic_bool lost;
} guards[MAX_GUARDS];
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction guard_old;
static long guard_page;

/* Runs on the faulting thread. Everything behind a lost page is lost too, so one map call serves the whole rest. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < MAX_GUARDS; i++) {
        uintptr_t from = atomic_load(&guards[i].from), to = atomic_load(&guards[i].to);
        if (at < from || at >= to)
            continue;
        uintptr_t page = at & ~((uintptr_t)guard_page - 1);
        atomic_store(&guards[i].lost, true);
        if (mmap((void *)page, to - page, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            break;
        errno = saved;
        return;
    }
    errno = saved;
    if (guard_old.sa_flags & SA_SIGINFO) {
        guard_old.sa_sigaction(sig, info, context);
    } else if (guard_old.sa_handler != SIG_DFL && guard_old.sa_handler != SIG_IGN) {
        guard_old.sa_handler(sig);
    } else {
        signal(SIGBUS, SIG_DFL); /* the access is repeated and ends the process */
    }
}

/* Each time, as someone else may have taken the signal since. Under guard_lock. */
static void guard_install(void)
{
    struct sigaction now, sa = {.sa_flags = SA_SIGINFO | SA_RESTART};
    guard_page = sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &now) || ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus))
        return;
    guard_old = now;
    sa.sa_sigaction = on_sigbus;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGBUS, &sa, NULL);
}

static int guard_add(const void *p, uint64_t n)
{
    uint64_t whole;
    int found = -1;
    pthread_mutex_lock(&guard_lock);
    guard_install();
    if (!num_align(n, (uint64_t)guard_page, &whole))
        whole = 0;
    for (int i = 0; whole && i < MAX_GUARDS && found < 0; i++) {
        if (atomic_load(&guards[i].to))
            continue;
        atomic_store(&guards[i].lost, false);
        atomic_store(&guards[i].from, (uintptr_t)p);
        atomic_store(&guards[i].to, (uintptr_t)p + whole);
        found = i;
    }
    pthread_mutex_unlock(&guard_lock);
    return found;
}

static void guard_drop(int i)
{
    if (i < 0)
        return;
    pthread_mutex_lock(&guard_lock);
    atomic_store(&guards[i].to, 0);
    pthread_mutex_unlock(&guard_lock);
}

/* ---- names in messages ---- */

struct shown {
    char s[88];
};

/* A foreign name, short enough for a sentence; a NUL in it must not end the sentence. */
static struct shown show(struct gguf_str str)
{
    struct shown r;
    size_t n = str.n > 72 ? 72 : str.n;
    for (size_t i = 0; i < n; i++)
        r.s[i] = str.s[i] ? str.s[i] : '?';
    snprintf(r.s + n, sizeof r.s - n, "%s", str.n > 72 ? "..." : "");
    return r;
}

static void set_shown(struct gguf *g, const char *path)
{
    size_t n = strlen(path);
    if (n < sizeof g->shown)
        memcpy(g->shown, path, n + 1);
    else
        snprintf(g->shown, sizeof g->shown, "...%s", path + n - (sizeof g->shown - 4));
}

/* ---- the cursor ---- */

struct cursor {
    const struct gguf *g;
    uint64_t pos;
    char where[128]; /* "key 3 of 20" and so on */
    struct err *err;
};

static int cut(struct cursor *c)
{
    return err_set(c->err, ERR_FORMAT, "%s: the file ends too early: it has %" PRIu64 " bytes and stops inside %s (an unfinished download?)",
                   c->g->shown, c->g->size, c->where);
}

static const unsigned char *take(struct cursor *c, uint64_t n)
{
    if (n > c->g->size - c->pos) {
        cut(c);
        return NULL;
    }
    const unsigned char *p = c->g->data + c->pos;
    c->pos += n; /* <= size, cannot wrap */
    return p;
}

static uint64_t left(const struct cursor *c)
{
    return c->g->size - c->pos;
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const unsigned char *p)
{
    return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

static int take_u32(struct cursor *c, uint32_t *out)
{
    const unsigned char *p = take(c, 4);
    if (!p)
        return ERR_FORMAT;
    *out = le32(p);
    return 0;
}

static int take_u64(struct cursor *c, uint64_t *out)
{
    const unsigned char *p = take(c, 8);
    if (!p)
        return ERR_FORMAT;
    *out = le64(p);
    return 0;
}

static int take_str(struct cursor *c, const char *what, uint64_t max, struct gguf_str *out)
{
    uint64_t at = c->pos, n;
    int rc = take_u64(c, &n);
    if (rc)
        return rc;
    if (n > left(c))
        return err_set(c->err, ERR_FORMAT, "%s: %s, %s at byte %" PRIu64 ": %" PRIu64 " bytes long, %" PRIu64 " bytes remain in the file",
                       c->g->shown, c->where, what, at, n, left(c));
    if (n > max)
        return err_set(c->err, ERR_FORMAT, "%s: %s, %s at byte %" PRIu64 ": %" PRIu64 " bytes long, at most %" PRIu64 " are accepted",
                       c->g->shown, c->where, what, at, n, max);
    const unsigned char *p = take(c, n);
    if (!p)
        return ERR_FORMAT;
    *out = (struct gguf_str){(const char *)p, (size_t)n};
    return 0;
}

/* ---- hash tables ---- */

static uint64_t hash(const struct gguf *g, struct gguf_str s)
{
    return XXH3_64bits_withSeed(s.s, s.n, g->seed);
}

static bool same(struct gguf_str a, struct gguf_str b)
{
    return a.n == b.n && !memcmp(a.s, b.s, a.n);
}

static void table_make(struct table *t, size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    t->slot = mem_array(size, sizeof *t->slot);
    t->mask = size - 1;
}

static struct gguf_str name_at(const struct gguf *g, const struct table *t, size_t i)
{
    return t == &g->kv_table ? g->kv[i].key : g->tensor[i].name;
}

/* The slot of a name: where it is, or the free slot where it would be. */
static uint32_t *table_slot(const struct gguf *g, const struct table *t, struct gguf_str s)
{
    size_t i = (size_t)hash(g, s) & t->mask;
    while (t->slot[i] && !same(name_at(g, t, t->slot[i] - 1), s))
        i = (i + 1) & t->mask;
    return &t->slot[i];
}

/* ---- the directory ---- */

static const struct {
    const char *name;
    unsigned bytes;
} types[] = {
    [GGUF_U8] = {"u8", 1},   [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},   [GGUF_I16] = {"i16", 2}, [GGUF_U32] = {"u32", 4},
    [GGUF_I32] = {"i32", 4}, [GGUF_F32] = {"f32", 4},   [GGUF_BOOL] = {"bool", 1}, [GGUF_STR] = {"string", 0}, [GGUF_ARR] = {"array", 0},
    [GGUF_U64] = {"u64", 8}, [GGUF_I64] = {"i64", 8},   [GGUF_F64] = {"f64", 8},
};
#define N_TYPES (sizeof types / sizeof types[0])

const char *gguf_type_name(enum gguf_type t)
{
    return (size_t)t < N_TYPES ? types[t].name : "unknown";
}

static int check_bools(struct cursor *c, const struct gguf_kv *kv)
{
    for (uint64_t i = 0; i < kv->count; i++)
        if (kv->data[i] > 1)
            return err_set(c->err, ERR_FORMAT, "%s: key \"%s\": a bool is %u; only 0 and 1 are accepted", c->g->shown,
                           show(kv->key).s, kv->data[i]);
    return 0;
}

/* n values of type kv->elem at the cursor. */
static int walk_values(struct cursor *c, struct gguf_kv *kv, uint64_t max_str)
{
    uint64_t unit = kv->elem == GGUF_STR ? 8 : types[kv->elem].bytes, bytes;
    if (!num_mul(kv->count, unit, &bytes) || bytes > left(c))
        return err_set(c->err, ERR_FORMAT,
                       "%s: key \"%s\" at byte %" PRIu64 ": %" PRIu64 " elements of type %s do not fit into the %" PRIu64
                       " bytes that remain in the file",
                       c->g->shown, show(kv->key).s, c->pos, kv->count, types[kv->elem].name, left(c));
    kv->data = c->g->data + c->pos;
    if (kv->elem == GGUF_STR) {
        struct gguf_str s;
        for (uint64_t i = 0; i < kv->count; i++) {
            int rc = take_str(c, "a string", max_str, &s);
            if (rc)
                return rc;
        }
    } else {
        take(c, bytes);
    }
    kv->end = c->g->data + c->pos;
    return kv->elem == GGUF_BOOL ? check_bools(c, kv) : 0;
}

static int read_kv(struct cursor *c, struct gguf *g, size_t i, uint64_t n)
{
    struct gguf_kv *kv = &g->kv[i];
    uint64_t at = c->pos;
    snprintf(c->where, sizeof c->where, "the metadata (key %zu of %" PRIu64 ")", i + 1, n);
    int rc = take_str(c, "the key", LIMIT_KEY, &kv->key);
    if (rc)
        return rc;
    if (!kv->key.n)
        return err_set(c->err, ERR_FORMAT, "%s: key %zu at byte %" PRIu64 " is empty", g->shown, i + 1, at);
    if (memchr(kv->key.s, 0, kv->key.n))
        return err_set(c->err, ERR_FORMAT, "%s: key %zu at byte %" PRIu64 " has a NUL byte in it", g->shown, i + 1, at);
    snprintf(c->where, sizeof c->where, "the metadata (key \"%s\")", show(kv->key).s);
    uint32_t type, elem;
    rc = take_u32(c, &type);
    if (rc)
        return rc;
    if (type >= N_TYPES)
        return err_set(c->err, ERR_FORMAT, "%s: key \"%s\" has the unknown value type %" PRIu32, g->shown, show(kv->key).s, type);
    kv->type = kv->elem = (enum gguf_type)type;
    kv->count = 1;
    if (kv->type != GGUF_ARR)
        return walk_values(c, kv, LIMIT_STRING);
    rc = take_u32(c, &elem);
    if (!rc)
        rc = take_u64(c, &kv->count);
    if (rc)
        return rc;
    if (elem >= N_TYPES || elem == GGUF_ARR)
        return err_set(c->err, ERR_FORMAT, "%s: key \"%s\" is an array of %s", g->shown, show(kv->key).s,
                       elem == GGUF_ARR ? "arrays, which are not accepted" : "an unknown type");
    if (kv->count > LIMIT_ARRAY)
        return err_set(c->err, ERR_FORMAT, "%s: key \"%s\" is an array of %" PRIu64 " elements, at most %" PRIu64 " are accepted", g->shown,
                       show(kv->key).s, kv->count, (uint64_t)LIMIT_ARRAY);
    kv->elem = (enum gguf_type)elem;
    return walk_values(c, kv, LIMIT_TOKEN);
}

static int read_kvs(struct cursor *c, struct gguf *g, uint64_t n)
{
    if (n > left(c) / 13 || n > LIMIT_KEYS)
        return err_set(c->err, ERR_FORMAT, "%s: the header announces %" PRIu64 " metadata keys, more than %s", g->shown, n,
                       n > left(c) / 13 ? "the file can hold (damaged, or an unfinished download)" : "the 65536 that are accepted");
    g->kv = mem_array((size_t)n + 1, sizeof *g->kv);
    table_make(&g->kv_table, (size_t)n);
    for (size_t i = 0; i < n; i++) {
        int rc = read_kv(c, g, i, n);
        if (rc)
            return rc;
        uint32_t *slot = table_slot(g, &g->kv_table, g->kv[i].key);
        if (*slot)
            return err_set(c->err, ERR_FORMAT, "%s: the key \"%s\" is there twice (keys %u and %zu)", g->shown, show(g->kv[i].key).s,
                           (unsigned)*slot, i + 1);
        *slot = (uint32_t)i + 1;
        g->n_kv = i + 1;
    }
    return 0;
}

static int read_alignment(struct cursor *c, struct gguf *g)
{
    g->align = 32;
    const struct gguf_kv *kv = gguf_find(g, "general.alignment");
    if (!kv)
        return 0;
    if (kv->type != GGUF_U32)
        return err_set(c->err, ERR_FORMAT, "%s: general.alignment is of type %s, u32 is wanted", g->shown, gguf_type_name(kv->type));
    uint64_t a = le32(kv->data);
    if (a < 8 || a > LIMIT_ALIGN || (a & (a - 1)))
        return err_set(c->err, ERR_FORMAT, "%s: general.alignment is %" PRIu64 "; a power of two from 8 to %d is wanted", g->shown, a,
                       LIMIT_ALIGN);
    g->align = a;
    return 0;
}

/* Dimensions and type: fills ne, type and bytes. */
static int read_shape(struct cursor *c, struct gguf *g, struct gguf_tensor *t, uint32_t n_dims)
{
    struct shown name = show(t->name);
    uint64_t count = 1;
    if (n_dims < 1 || n_dims > 4)
        return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\" has %" PRIu32 " dimensions; 1 to 4 are accepted", g->shown, name.s, n_dims);
    t->n_dims = (int)n_dims;
    for (int d = 0; d < 4; d++)
        t->ne[d] = 1;
    for (int d = 0; d < t->n_dims; d++) {
        uint64_t v;
        int rc = take_u64(c, &v);
        if (rc)
            return rc;
        if (v < 1 || v > INT64_MAX)
            return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\": dimension %d is %" PRId64 "; it must be at least 1", g->shown, name.s,
                           d + 1, (int64_t)v);
        if (!num_mul(count, v, &count) || count > INT64_MAX)
            return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\" has more elements than can be counted in 63 bits", g->shown, name.s);
        t->ne[d] = (int64_t)v;
    }
    int rc = take_u32(c, &t->type);
    if (rc)
        return rc;
    const struct qtraits *q = quant_traits(t->type);
    if (!q)
        return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\" has the type %" PRIu32 " (%s)", g->shown, name.s, t->type,
                       quant_refusal(t->type));
    if (t->ne[0] % q->elems)
        return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\": rows of %" PRId64 " elements are no whole number of %s blocks (%d)",
                       g->shown, name.s, t->ne[0], q->name, q->elems);
    uint64_t bytes;
    if (!num_mul((uint64_t)(t->ne[0] / q->elems), (uint64_t)q->bytes, &bytes) || !num_mul(bytes, (uint64_t)t->ne[1], &bytes) ||
        !num_mul(bytes, (uint64_t)t->ne[2], &bytes) || !num_mul(bytes, (uint64_t)t->ne[3], &bytes) || bytes > SIZE_MAX)
        return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\" has more bytes than can be counted in 64 bits", g->shown, name.s);
    t->bytes = (size_t)bytes;
    return 0;
}

static int read_tensor(struct cursor *c, struct gguf *g, size_t i, uint64_t n)
{
    struct gguf_tensor *t = &g->tensor[i];
    uint64_t at = c->pos;
    snprintf(c->where, sizeof c->where, "the tensor directory (tensor %zu of %" PRIu64 ")", i + 1, n);
    int rc = take_str(c, "the name", LIMIT_TENSOR_NAME, &t->name);
    if (rc)
        return rc;
    if (!t->name.n || memchr(t->name.s, 0, t->name.n))
        return err_set(c->err, ERR_FORMAT, "%s: the name of tensor %zu at byte %" PRIu64 " %s", g->shown, i + 1, at,
                       t->name.n ? "has a NUL byte in it" : "is empty");
    snprintf(c->where, sizeof c->where, "the tensor directory (tensor \"%s\")", show(t->name).s);
    uint32_t n_dims;
    rc = take_u32(c, &n_dims);
    if (!rc)
        rc = read_shape(c, g, t, n_dims);
    if (!rc)
        rc = take_u64(c, &t->offset);
    if (rc)
        return rc;
    if (t->offset % g->align)
        return err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\": the offset %" PRIu64 " is no multiple of the alignment %" PRIu64, g->shown,
                       show(t->name).s, t->offset, g->align);
    return 0;
}

static int read_tensors(struct cursor *c, struct gguf *g, uint64_t n)
{
    if (n > left(c) / 24 || n > LIMIT_TENSORS)
        return err_set(c->err, ERR_FORMAT, "%s: the header announces %" PRIu64 " tensors, more than %s", g->shown, n,
                       n > left(c) / 24 ? "the file can hold (damaged, or an unfinished download)" : "the 262144 that are accepted");
    g->tensor = mem_array((size_t)n + 1, sizeof *g->tensor);
    table_make(&g->tensor_table, (size_t)n);
    for (size_t i = 0; i < n; i++) {
        int rc = read_tensor(c, g, i, n);
        if (rc)
            return rc;
        uint32_t *slot = table_slot(g, &g->tensor_table, g->tensor[i].name);
        if (*slot)
            return err_set(c->err, ERR_FORMAT, "%s: the tensor \"%s\" is there twice (numbers %u and %zu)", g->shown,
                           show(g->tensor[i].name).s, (unsigned)*slot, i + 1);
        *slot = (uint32_t)i + 1;
        g->n_tensors = i + 1;
    }
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Every tensor lies inside the data section, and no two overlap. */
static int place_tensors(struct cursor *c, struct gguf *g)
{
    if (!g->n_tensors)
        return 0;
    uint64_t start, need = 0;
    const struct gguf_tensor *last = NULL;
    struct gguf_tensor **order = mem_array(g->n_tensors, sizeof *order);
    int rc = 0;
    if (!num_align(c->pos, g->align, &start)) {
        rc = err_set(c->err, ERR_FORMAT, "%s: the data section would begin behind 2^64", g->shown);
        goto out;
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensor[i];
        uint64_t end;
        order[i] = t;
        if (!num_add(t->offset, t->bytes, &end) || !num_add(end, start, &end)) {
            rc = err_set(c->err, ERR_FORMAT, "%s: tensor \"%s\": offset %" PRIu64 " plus %zu bytes lies behind 2^64", g->shown,
                         show(t->name).s, t->offset, t->bytes);
            goto out;
        }
        if (end > need) {
            need = end;
            last = t;
        }
    }
    if (need > g->size) {
        rc = err_set(c->err, ERR_FORMAT,
                     "%s: the file is truncated: it needs %" PRIu64 " bytes (to the end of tensor \"%s\") and has %" PRIu64
                     " (an unfinished download?)",
                     g->shown, need, show(last->name).s, g->size);
        goto out;
    }
    qsort(order, g->n_tensors, sizeof *order, by_offset);
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (i && order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes) { /* both sums were checked */
            rc = err_set(c->err, ERR_FORMAT, "%s: the tensors \"%s\" and \"%s\" overlap (offset %" PRIu64 ")", g->shown,
                         show(order[i - 1]->name).s, show(order[i]->name).s, order[i]->offset);
            goto out;
        }
        order[i]->data = g->data + start + order[i]->offset;
    }
out:
    free(order);
    return rc;
}

/* ---- what else a file of that name may be ---- */

static bool begins(const struct gguf *g, const char *s)
{
    size_t n = strlen(s);
    return g->size >= n && !strncasecmp((const char *)g->data, s, n);
}

static int not_gguf(const struct gguf *g, struct err *err)
{
    const char *what = NULL;
    size_t white = 0, zeros = 0, look = g->size < 512 ? (size_t)g->size : 512;
    while (white < look && strchr(" \t\r\n\xef\xbb\xbf", g->data[white]) && g->data[white])
        white++;
    while (zeros < look && !g->data[zeros])
        zeros++;
    if (begins(g, "version https://git-lfs"))
        what = "a Git LFS pointer, not the model itself: fetch the real file (git lfs pull, or download it from the site)";
    else if (white < look && g->data[white] == '<')
        what = "a web page (HTML), not a model: the download got an error or login page; use the file's direct link";
    else if (white < look && (g->data[white] == '{' || g->data[white] == '['))
        what = "JSON text, not a model (an error message of the download?)";
    else if (begins(g, "tjgg") || begins(g, "fmgg") || begins(g, "lmgg") || begins(g, "algg"))
        what = "in the old GGML format from before GGUF; get or convert a GGUF file";
    else if (begins(g, "PK\003\004"))
        what = "a zip archive (a PyTorch model?), not a GGUF file";
    else if (g->size > 9 && g->data[8] == '{')
        what = "a safetensors file, not a GGUF file; get or convert a GGUF file";
    else if (begins(g, "FUGG"))
        what = "a GGUF file with its magic in the wrong byte order (big-endian)";
    else if (look && zeros == look)
        what = "a file that begins with zeros: an unfinished download";
    if (what)
        return err_set(err, ERR_FORMAT, "%s is %s", g->shown, what);
    return err_set(err, ERR_FORMAT, "%s is not a GGUF file: it does not begin with \"GGUF\"", g->shown);
}

static int read_header(struct cursor *c, struct gguf *g)
{
    if (!g->size)
        return err_set(c->err, ERR_FORMAT, "%s is empty (an unfinished download?)", g->shown);
    if (g->size < 4 || memcmp(g->data, "GGUF", 4))
        return not_gguf(g, c->err);
    snprintf(c->where, sizeof c->where, "the header");
    c->pos = 4;
    uint64_t n_tensors, n_kv;
    int rc = take_u32(c, &g->version);
    if (rc)
        return rc;
    if (g->version && !(g->version & 0xffff))
        return err_set(c->err, ERR_FORMAT, "%s is a big-endian GGUF file; only little-endian ones are read", g->shown);
    if (g->version != 2 && g->version != 3)
        return err_set(c->err, ERR_FORMAT, "%s has GGUF version %" PRIu32 "; versions 2 and 3 are read", g->shown, g->version);
    rc = take_u64(c, &n_tensors);
    if (!rc)
        rc = take_u64(c, &n_kv);
    if (rc)
        return rc;
    if (n_tensors > INT64_MAX || n_kv > INT64_MAX)
        return err_set(c->err, ERR_FORMAT, "%s: the header's %s count is negative (%" PRId64 ")", g->shown,
                       n_tensors > INT64_MAX ? "tensor" : "key", (int64_t)(n_tensors > INT64_MAX ? n_tensors : n_kv));
    rc = read_kvs(c, g, n_kv);
    if (!rc)
        rc = read_alignment(c, g);
    if (!rc)
        rc = read_tensors(c, g, n_tensors);
    if (rc)
        return rc;
    if (c->pos > LIMIT_METADATA)
        return err_set(c->err, ERR_FORMAT, "%s: the metadata is %" PRIu64 " bytes long, at most %" PRIu64 " are accepted", g->shown, c->pos,
                       (uint64_t)LIMIT_METADATA);
    g->header_bytes = c->pos;
    return place_tensors(c, g);
}

/* ---- open and close ---- */

static struct gguf *fresh(const char *path)
{
    struct gguf *g = mem_zalloc(sizeof *g);
    g->fd = g->guard = -1;
    g->path = mem_strdup(path);
    set_shown(g, path);
    if (getrandom(&g->seed, sizeof g->seed, GRND_NONBLOCK) != sizeof g->seed)
        g->seed = (uint64_t)clock_mono_us() * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)g;
    return g;
}

static int parse(struct gguf *g, struct gguf **out, struct err *err)
{
    struct cursor c = {.g = g, .err = err};
    int rc = read_header(&c, g);
    if (!rc && g->guard >= 0 && atomic_load(&guards[g->guard].lost))
        rc = err_set(err, ERR_FORMAT, "%s became shorter while it was read", g->shown);
    if (rc) {
        gguf_close(g);
        return rc;
    }
    *out = g;
    return 0;
}

static int open_one(const char *path, struct gguf **out, struct err *err)
{
    struct gguf *g = fresh(path);
    int rc;
    g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0) {
        rc = err_sys(err, ERR_NOMODEL, "cannot open %s", g->shown);
        goto fail;
    }
    if (fstat(g->fd, &g->st)) {
        rc = err_sys(err, ERR_NOMODEL, "cannot look at %s", g->shown);
        goto fail;
    }
    if (!S_ISREG(g->st.st_mode)) {
        rc = err_set(err, ERR_NOMODEL, "%s is %s, not a model file", g->shown, S_ISDIR(g->st.st_mode) ? "a directory" : "no regular file");
        goto fail;
    }
    g->size = (uint64_t)g->st.st_size;
    if (g->size > SIZE_MAX / 2) {
        rc = err_set(err, ERR_NOMODEL, "%s is too large for this machine's addresses", g->shown);
        goto fail;
    }
    if (g->size) {
        void *p = mmap(NULL, (size_t)g->size, PROT_READ, MAP_SHARED, g->fd, 0);
        if (p == MAP_FAILED) {
            rc = err_sys(err, ERR_NOMODEL, "cannot map %s (%" PRIu64 " bytes)", g->shown, g->size);
            goto fail;
        }
        g->data = p;
        g->mapped = true;
        g->guard = guard_add(p, g->size);
    }
    return parse(g, out, err);
fail:
    gguf_close(g);
    return rc;
}

/* ---- split models ---- */

#define SPLIT_SUFFIX "-%05u-of-%05u.gguf"

/* The part's place: number, counted from 0, of how many. Not split: 0 of 1. */
static int split_place(const struct gguf *g, unsigned *no, unsigned *count, struct err *err)
{
    uint64_t n = 0, c = 1;
    int rc = gguf_get_u64(g, "split.no", UINT64_MAX, &n, err);
    if (rc >= 0)
        rc = gguf_get_u64(g, "split.count", UINT64_MAX, &c, err);
    if (rc < 0)
        return rc;
    if (c > LIMIT_PARTS)
        return err_set(err, ERR_FORMAT, "%s: split.count is %" PRIu64 ", at most %d are accepted", g->shown, c, LIMIT_PARTS);
    if (c > 1 && n >= c)
        return err_set(err, ERR_FORMAT, "%s: split.no is %" PRIu64 ", and the model has %" PRIu64 " parts", g->shown, n, c);
    *no = c > 1 ? (unsigned)n : 0;
    *count = c > 1 ? (unsigned)c : 1;
    return 0;
}

/* The file name of another part, made from that of part `no`; NULL when the name is not of the form. */
static char *part_path(const char *path, unsigned no, unsigned count, unsigned wanted)
{
    char now[40], then[40];
    size_t n = strlen(path), k = (size_t)snprintf(now, sizeof now, SPLIT_SUFFIX, no + 1, count);
    if (n < k || strcmp(path + n - k, now) != 0)
        return NULL;
    snprintf(then, sizeof then, SPLIT_SUFFIX, wanted + 1, count);
    return mem_printf("%.*s%s", (int)(n - k), path, then);
}

static int open_part(struct gguf *g, unsigned i, unsigned count, struct err *err)
{
    char *path = part_path(g->path, 0, count, i);
    struct gguf *p = NULL;
    unsigned no, of;
    int rc;
    if (!path)
        return err_set(err, ERR_FORMAT, "%s is the first of %u parts of a split model, but its name does not end in " SPLIT_SUFFIX, g->shown,
                       count, 1u, count);
    rc = open_one(path, &p, err);
    if (rc) {
        err_wrap(err, "part %u of %u of a split model", i + 1, count);
    } else if (!(rc = split_place(p, &no, &of, err))) {
        g->part[g->n_parts++] = p;
        if (no != i || of != count)
            rc = err_set(err, ERR_FORMAT, "%s says that it is part %u of %u, and part %u of %u is wanted", p->shown, no + 1, of, i + 1, count);
    } else {
        gguf_close(p);
    }
    free(path);
    return rc;
}

/* Brings the tensors of all parts into the first one's directory. */
static int join_parts(struct gguf *g, struct err *err)
{
    uint64_t total = g->n_tensors, told;
    for (size_t i = 0; i < g->n_parts; i++)
        total += g->part[i]->n_tensors; /* each at most LIMIT_TENSORS */
    told = total;
    int rc = gguf_get_u64(g, "split.tensors.count", UINT64_MAX, &told, err);
    if (rc < 0)
        return rc;
    if (told != total)
        return err_set(err, ERR_FORMAT, "%s: split.tensors.count is %" PRIu64 ", and the parts have %" PRIu64 " tensors", g->shown, told, total);
    if (total > LIMIT_TENSORS)
        return err_set(err, ERR_FORMAT, "%s: the parts have %" PRIu64 " tensors, at most %d are accepted", g->shown, total, LIMIT_TENSORS);
    struct table one = g->tensor_table;
    g->tensor = mem_grow(g->tensor, (size_t)total + 1, sizeof *g->tensor);
    table_make(&g->tensor_table, (size_t)total);
    free(one.slot);
    for (size_t i = 0; i < g->n_tensors; i++)
        *table_slot(g, &g->tensor_table, g->tensor[i].name) = (uint32_t)i + 1;
    for (size_t i = 0; i < g->n_parts; i++) {
        const struct gguf *p = g->part[i];
        for (size_t k = 0; k < p->n_tensors; k++) {
            uint32_t *slot = table_slot(g, &g->tensor_table, p->tensor[k].name);
            if (*slot)
                return err_set(err, ERR_FORMAT, "%s: the tensor \"%s\" is in an earlier part, too", p->shown, show(p->tensor[k].name).s);
            g->tensor[g->n_tensors++] = p->tensor[k];
            *slot = (uint32_t)g->n_tensors;
        }
    }
    return 0;
}

static int open_rest(struct gguf *g, struct err *err)
{
    unsigned no, count;
    int rc = split_place(g, &no, &count, err);
    if (rc || count == 1)
        return rc;
    if (no) {
        char *first = part_path(g->path, no, count, 0);
        rc = err_set(err, ERR_FORMAT, "%s is part %u of %u of a split model: open the first part%s%s", g->shown, no + 1, count,
                     first ? ", " : "", first ? first : "");
        free(first);
        return rc;
    }
    g->part = mem_array(count, sizeof *g->part);
    for (unsigned i = 1; !rc && i < count; i++)
        rc = open_part(g, i, count, err);
    return rc ? rc : join_parts(g, err);
}

int gguf_open(const char *path, struct gguf **out, struct err *err)
{
    struct gguf *g;
    int rc = open_one(path, &g, err);
    if (rc)
        return rc;
    rc = open_rest(g, err);
    if (rc)
        gguf_close(g);
    else
        *out = g;
    return rc;
}

int gguf_open_memory(const void *data, size_t n, const char *name, struct gguf **out, struct err *err)
{
    struct gguf *g = fresh(name);
    g->data = data;
    g->size = n;
    return parse(g, out, err);
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    if (g->mapped) {
        guard_drop(g->guard);
        munmap((void *)g->data, (size_t)g->size);
    }
    if (g->fd >= 0)
        close(g->fd);
    for (size_t i = 0; i < g->n_parts; i++)
        gguf_close(g->part[i]);
    free(g->part);
    free(g->kv);
    free(g->kv_table.slot);
    free(g->tensor);
    free(g->tensor_table.slot);
    free(g->path);
    free(g);
}

/* ---- looking ---- */

const char *gguf_path(const struct gguf *g)
{
    return g->path;
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

uint64_t gguf_file_bytes(const struct gguf *g)
{
    uint64_t n = g->size;
    for (size_t i = 0; i < g->n_parts; i++)
        n += g->part[i]->size;
    return n;
}

const void *gguf_header(const struct gguf *g, size_t *n)
{
    *n = (size_t)g->header_bytes;
    return g->data;
}

size_t gguf_n_kv(const struct gguf *g)
{
    return g->n_kv;
}

const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i)
{
    return i < g->n_kv ? &g->kv[i] : NULL;
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
    uint32_t i = *table_slot(g, &g->kv_table, (struct gguf_str){key, strlen(key)});
    return i ? &g->kv[i - 1] : NULL;
}

size_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensor[i] : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    uint32_t i = *table_slot(g, &g->tensor_table, (struct gguf_str){name, strlen(name)});
    return i ? &g->tensor[i - 1] : NULL;
}

/* One number of type t at p. */
static uint64_t int_at(enum gguf_type t, const unsigned char *p, bool *ok)
{
    int64_t v;
    *ok = true;
    switch (t) {
    case GGUF_U8:
    case GGUF_BOOL:
        return p[0];
    case GGUF_U16:
        return (uint64_t)p[0] | (uint64_t)p[1] << 8;
    case GGUF_U32:
        return le32(p);
    case GGUF_U64:
        return le64(p);
    case GGUF_I8:
        v = (int8_t)p[0];
        break;
    case GGUF_I16:
        v = (int16_t)((unsigned)p[0] | (unsigned)p[1] << 8);
        break;
    case GGUF_I32:
        v = (int32_t)le32(p);
        break;
    case GGUF_I64:
        v = (int64_t)le64(p);
        break;
    default:
        *ok = false;
        return 0;
    }
    *ok = v >= 0;
    return (uint64_t)v;
}

uint64_t gguf_elem_u64(const struct gguf_kv *kv, uint64_t i, bool *ok)
{
    *ok = false;
    if (i >= kv->count || kv->elem == GGUF_STR || kv->elem == GGUF_ARR)
        return 0;
    return int_at(kv->elem, kv->data + i * types[kv->elem].bytes, ok);
}

double gguf_elem_f64(const struct gguf_kv *kv, uint64_t i, bool *ok)
{
    *ok = false;
    if (i >= kv->count || kv->elem == GGUF_STR || kv->elem == GGUF_ARR)
        return 0;
    const unsigned char *p = kv->data + i * types[kv->elem].bytes;
    union {
        uint32_t u;
        float f;
    } s;
    union {
        uint64_t u;
        double d;
    } d;
    *ok = true;
    if (kv->elem == GGUF_F32) {
        s.u = le32(p);
        return s.f;
    }
    if (kv->elem == GGUF_F64) {
        d.u = le64(p);
        return d.d;
    }
    uint64_t u = int_at(kv->elem, p, ok);
    if (*ok)
        return (double)u;
    *ok = kv->elem != GGUF_BOOL;
    return (double)(int64_t)u;
}

static int wrong_type(const struct gguf *g, const struct gguf_kv *kv, const char *wanted, struct err *err)
{
    return err_set(err, ERR_FORMAT, "%s: the key \"%s\" is %s %s; %s is wanted", g->shown, show(kv->key).s,
                   kv->type == GGUF_ARR ? "an array of" : "of type", gguf_type_name(kv->elem), wanted);
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t max, uint64_t *out, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type == GGUF_ARR || kv->type == GGUF_STR || kv->type == GGUF_BOOL || kv->type == GGUF_F32 || kv->type == GGUF_F64)
        return wrong_type(g, kv, "a whole number", err);
    bool ok;
    uint64_t v = gguf_elem_u64(kv, 0, &ok);
    if (!ok)
        return err_set(err, ERR_FORMAT, "%s: %s is negative (%" PRId64 ")", g->shown, key, (int64_t)v);
    if (v > max)
        return err_set(err, ERR_FORMAT, "%s: %s is %" PRIu64 ", at most %" PRIu64 " is accepted", g->shown, key, v, max);
    *out = v;
    return 1;
}

int gguf_get_f64(const struct gguf *g, const char *key, double *out, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type == GGUF_ARR || kv->type == GGUF_STR || kv->type == GGUF_BOOL)
        return wrong_type(g, kv, "a number", err);
    bool ok;
    double v = gguf_elem_f64(kv, 0, &ok);
    if (!ok || !isfinite(v))
        return err_set(err, ERR_FORMAT, "%s: %s is %f; a finite number is wanted", g->shown, key, v);
    *out = v;
    return 1;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type != GGUF_BOOL && kv->type != GGUF_U8 && kv->type != GGUF_I8)
        return wrong_type(g, kv, "a bool", err);
    if (kv->data[0] > 1)
        return err_set(err, ERR_FORMAT, "%s: %s is %u; 0 or 1 is wanted", g->shown, key, kv->data[0]);
    *out = kv->data[0];
    return 1;
}

int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type != GGUF_STR)
        return wrong_type(g, kv, "a string", err);
    const unsigned char *p = NULL;
    if (!gguf_next_str(kv, &p, out))
        return err_set(err, ERR_FORMAT, "%s: %s changed while it was read", g->shown, key);
    return 1;
}

bool gguf_next_str(const struct gguf_kv *kv, const unsigned char **cursor, struct gguf_str *out)
{
    const unsigned char *p = *cursor ? *cursor : kv->data;
    if (kv->elem != GGUF_STR || kv->end - p < 8)
        return false;
    uint64_t n = le64(p);
    if (n > (uint64_t)(kv->end - p) - 8) /* was checked at open; the file may have changed since */
        return false;
    *out = (struct gguf_str){(const char *)p + 8, (size_t)n};
    *cursor = p + 8 + n;
    return true;
}

void gguf_drop_pages(const struct gguf *g, const struct gguf_tensor *t)
{
    if (!g->mapped || !t->data)
        return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)t->data + page - 1) & ~(page - 1), to = ((uintptr_t)t->data + t->bytes) & ~(page - 1);
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

static bool unchanged(const struct gguf *g)
{
    struct stat st;
    if (g->fd < 0)
        return true;
    if (g->guard >= 0 && atomic_load(&guards[g->guard].lost))
        return false;
    if (fstat(g->fd, &st) || st.st_size != g->st.st_size || st.st_mtim.tv_sec != g->st.st_mtim.tv_sec ||
        st.st_mtim.tv_nsec != g->st.st_mtim.tv_nsec)
        return false;
    if (stat(g->path, &st)) /* removed: what is mapped stays whole */
        return true;
    return st.st_dev == g->st.st_dev && st.st_ino == g->st.st_ino;
}

bool gguf_unchanged(const struct gguf *g)
{
    bool same_still = unchanged(g);
    for (size_t i = 0; i < g->n_parts; i++)
        same_still = same_still && unchanged(g->part[i]);
    return same_still;
}
