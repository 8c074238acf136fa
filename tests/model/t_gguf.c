/* GGUF reading: the hostile files of the goldens, truncation at every byte, count bombs, limits, type confusion, files that are something else. */
#include "config.h"
#include "tests/t.h"

#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "model/gguf.h"
#include "model/limits.h"

/* ---- writing ---- */

static void u32(struct buf *b, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_addch(b, (char)(v >> 8 * i));
}

static void u64(struct buf *b, uint64_t v)
{
    u32(b, (uint32_t)v);
    u32(b, (uint32_t)(v >> 32));
}

static void str(struct buf *b, const char *s, size_t n)
{
    u64(b, n);
    buf_add(b, s, n);
}

static void head(struct buf *b, uint64_t tensors, uint64_t keys)
{
    buf_addstr(b, "GGUF");
    u32(b, 3);
    u64(b, tensors);
    u64(b, keys);
}

static void key(struct buf *b, const char *name, enum gguf_type t)
{
    str(b, name, strlen(name));
    u32(b, t);
}

/* Opens a copy of exactly n bytes, so that a sanitizer sees every byte too far. */
static int try_bytes(const void *p, size_t n, struct err *err)
{
    struct gguf *g = NULL;
    char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    *err = (struct err){0};
    int rc = gguf_open_memory(copy, n, "test.gguf", &g, err);
    if (!rc) {
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, i);
            assert_true((const char *)t->data >= copy && (const char *)t->data + t->bytes <= copy + n);
        }
        gguf_close(g);
    } else {
        assert_true(err->code == rc && err->msg[0] && !strchr(err->msg, '\n'));
    }
    free(copy);
    return rc;
}

static int try_buf(struct buf *b, struct err *err)
{
    assert_false(buf_over(b));
    return try_bytes(b->data, b->len, err);
}

static void slurp(const char *path, struct buf *b)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, f)))
        buf_add(b, part, n);
    fclose(f);
    assert_false(buf_over(b));
}

/* ---- cases ---- */

static void hostile_files(void **state)
{
    (void)state;
    json_error_t je;
    json_t *index = json_load_file(t_shared("goldens/gguf-bad/INDEX.json"), 0, &je), *e;
    assert_non_null(index);
    size_t i;
    json_array_foreach(index, i, e) {
        const char *name = json_string_value(json_object_get(e, "name"));
        const char *stage = json_string_value(json_object_get(e, "stage"));
        char path[256];
        snprintf(path, sizeof path, "goldens/gguf-bad/%s", name);
        /* What only the architecture, the tokenizer or the template can refuse is a good container. */
        bool container = (!strcmp(stage, "header") || !strcmp(stage, "metadata") || !strcmp(stage, "tensors") || !strcmp(stage, "truncated")) &&
                         strncmp(name, "arch-", 5);
        struct gguf *g = NULL;
        struct err err = {0};
        int64_t t0 = clock_mono_us();
        int rc = gguf_open(t_shared(path), &g, &err);
        if ((rc < 0) != container)
            fail_msg("%s: rc %d, %s", name, rc, err.msg);
        assert_true(clock_mono_us() - t0 < 1000000);
        if (rc < 0) {
            assert_true(strstr(err.msg, name) && !strchr(err.msg, '\n'));
            if (!strncmp(name, "big-endian", 10))
                assert_non_null(strstr(err.msg, "big-endian"));
            if (!strcmp(name, "cut-data.gguf"))
                assert_true(strstr(err.msg, "9712") && strstr(err.msg, "needs"));
        }
        gguf_close(g);
    }
    assert_true(i >= 80);
    json_decref(index);
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    struct err err;
    slurp(t_shared("goldens/gguf-bad/good-minimal.gguf"), &b);
    struct gguf *g;
    assert_int_equal(gguf_open_memory(b.data, b.len, "x", &g, &err), 0);
    size_t header = b.len;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        size_t at = (size_t)((const char *)gguf_tensor_at(g, i)->data - b.data);
        header = at < header ? at : header;
    }
    gguf_close(g);
    assert_true(header > 1000 && header < b.len);
    for (size_t n = 0; n <= header; n++)
        assert_int_equal(try_bytes(b.data, n, &err), ERR_FORMAT);
    assert_int_equal(try_bytes(b.data, b.len, &err), 0);
    buf_finish(&b);
}

static void count_bombs(void **state)
{
    (void)state;
    static const uint64_t bombs[] = {0, 1, 0x7fffffff, 0x80000000u, UINT32_MAX, (uint64_t)1 << 40, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                     UINT64_MAX / 8, UINT64_MAX / 13, UINT64_MAX / 24 + 1, UINT64_MAX - 7, UINT64_MAX};
    struct buf b = BUF_INIT(1 << 20);
    struct err err;
    slurp(t_shared("goldens/gguf-bad/good-minimal.gguf"), &b);
    int64_t t0 = clock_mono_us();
    int refused = 0;
    for (size_t at = 4; at < 5200; at++) {
        unsigned char keep[8];
        memcpy(keep, b.data + at, 8);
        /* Every place with one or two, the places where fields surely are with all. */
        for (size_t k = 0; k < sizeof bombs / sizeof bombs[0]; k++) {
            if (at > 64 && k != at % 13 && k != (at + 5) % 13)
                continue;
            memcpy(b.data + at, &bombs[k], 8);
            refused += try_bytes(b.data, b.len, &err) < 0;
        }
        memcpy(b.data + at, keep, 8);
    }
    assert_true(refused > 2000);
    assert_true(clock_mono_us() - t0 < 60000000);
    buf_finish(&b);
}

/* Each value type under a key: every getter answers or refuses, none of them crashes. */
static void type_confusion(void **state)
{
    (void)state;
    for (int t = 0; t <= GGUF_F64; t++) {
        for (int array = 0; array < 2; array++) {
            struct buf b = BUF_INIT(4096);
            head(&b, 0, 1);
            key(&b, "k", array ? GGUF_ARR : (enum gguf_type)t);
            if (array) {
                u32(&b, (uint32_t)t);
                u64(&b, 2);
            }
            for (int i = 0; i <= array; i++) {
                static const int size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
                if (t == GGUF_STR)
                    str(&b, "1", 1);
                for (int k = 0; k < size[t]; k++)
                    buf_addch(&b, k == 0 ? 1 : 0);
            }
            struct gguf *g = NULL;
            struct err err = {0};
            int rc = gguf_open_memory(b.data, b.len, "x", &g, &err);
            assert_int_equal(rc, t == GGUF_ARR ? ERR_FORMAT : 0);
            if (!rc) {
                uint64_t u = 77;
                double d = 77;
                bool bo, ok;
                struct gguf_str s;
                bool whole = !array && t != GGUF_F32 && t != GGUF_F64 && t != GGUF_BOOL && t != GGUF_STR;
                bool real = whole || (!array && (t == GGUF_F32 || t == GGUF_F64));
                assert_int_equal(gguf_get_u64(g, "k", 100, &u, &err), whole ? 1 : ERR_FORMAT);
                assert_int_equal(u, whole ? 1 : 77);
                assert_int_equal(gguf_get_f64(g, "k", &d, &err), real ? 1 : ERR_FORMAT);
                assert_int_equal(gguf_get_bool(g, "k", &bo, &err), !array && (t == GGUF_BOOL || t == GGUF_U8 || t == GGUF_I8) ? 1 : ERR_FORMAT);
                assert_int_equal(gguf_get_str(g, "k", &s, &err), !array && t == GGUF_STR ? 1 : ERR_FORMAT);
                assert_int_equal(gguf_get_u64(g, "absent", 100, &u, &err), 0);
                const struct gguf_kv *kv = gguf_find(g, "k");
                gguf_elem_u64(kv, 0, &ok);
                assert_int_equal(ok, t != GGUF_STR && t != GGUF_F32 && t != GGUF_F64);
                gguf_elem_u64(kv, 2, &ok);
                assert_false(ok);
                gguf_elem_f64(kv, UINT64_MAX, &ok);
                assert_false(ok);
                const unsigned char *c = NULL;
                int n = 0;
                while (gguf_next_str(kv, &c, &s))
                    n++;
                assert_int_equal(n, t == GGUF_STR ? 1 + array : 0);
            }
            gguf_close(g);
            buf_finish(&b);
        }
    }
}

static void numbers(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4096);
    head(&b, 0, 3);
    key(&b, "neg", GGUF_I32);
    u32(&b, (uint32_t)-5);
    key(&b, "nan", GGUF_F32);
    u32(&b, 0x7fc00000);
    key(&b, "big", GGUF_U64);
    u64(&b, UINT64_MAX);
    struct gguf *g;
    struct err err = {0};
    uint64_t u;
    double d;
    assert_int_equal(gguf_open_memory(b.data, b.len, "x", &g, &err), 0);
    assert_int_equal(gguf_get_u64(g, "neg", 100, &u, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "-5"));
    assert_int_equal(gguf_get_f64(g, "neg", &d, &err), 1);
    assert_true(d == -5);
    assert_int_equal(gguf_get_f64(g, "nan", &d, &err), ERR_FORMAT);
    assert_int_equal(gguf_get_u64(g, "big", UINT64_MAX - 1, &u, &err), ERR_FORMAT);
    assert_int_equal(gguf_get_u64(g, "big", UINT64_MAX, &u, &err), 1);
    gguf_close(g);
    buf_finish(&b);
}

static void something_else(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } files[] = {
        {"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"},
        {"\n  <html>", "web page"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"},
        {"{\"error\":\"Repository not found\"}", "JSON"},
        {"PK\003\004 archive", "zip"},
        {"tjgg\001", "old GGML"},
        {"", "empty"},
        {"GGUF", "ends too early"},
        {"some words", "does not begin"},
        {"\x1b[31mred", "does not begin"},
    };
    struct err err;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_equal(try_bytes(files[i].text, strlen(files[i].text), &err), ERR_FORMAT);
        if (!strstr(err.msg, files[i].says))
            fail_msg("%zu: %s", i, err.msg);
    }
    char zeros[4096] = {0};
    assert_int_equal(try_bytes(zeros, sizeof zeros, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "unfinished"));
    struct gguf *g;
    assert_int_equal(gguf_open("/nonexistent/m.gguf", &g, &err), ERR_NOMODEL);
    assert_int_equal(gguf_open("/", &g, &err), ERR_NOMODEL);
    assert_non_null(strstr(err.msg, "directory"));
    assert_int_equal(gguf_open("/dev/null", &g, &err), ERR_NOMODEL);
}

/* At each limit it loads, one behind it is refused. */
static void limits(void **state)
{
    (void)state;
    struct err err;
    char *big = calloc(1, LIMIT_STRING + 1);
    for (int over = 0; over < 2; over++) {
        struct buf b = BUF_INIT((size_t)1 << 28);
        int want = over ? ERR_FORMAT : 0;
        memset(big, 'k', LIMIT_KEY + 1);
        head(&b, 0, 1); /* key */
        str(&b, big, (size_t)(LIMIT_KEY + over));
        u32(&b, GGUF_U8);
        buf_addch(&b, 1);
        assert_int_equal(try_buf(&b, &err), want);
        buf_reset(&b);
        head(&b, 0, 1); /* string */
        key(&b, "s", GGUF_STR);
        str(&b, big, (size_t)(LIMIT_STRING + over));
        assert_int_equal(try_buf(&b, &err), want);
        buf_reset(&b);
        head(&b, 0, 1); /* string of an array */
        key(&b, "s", GGUF_ARR);
        u32(&b, GGUF_STR);
        u64(&b, 1);
        str(&b, big, (size_t)(LIMIT_TOKEN + over));
        assert_int_equal(try_buf(&b, &err), want);
        buf_reset(&b);
        head(&b, 0, (uint64_t)(LIMIT_KEYS + over)); /* keys */
        for (int i = 0; i < LIMIT_KEYS + over; i++) {
            char name[16];
            snprintf(name, sizeof name, "k%d", i);
            key(&b, name, GGUF_U8);
            buf_addch(&b, 1);
        }
        assert_int_equal(try_buf(&b, &err), want);
        buf_reset(&b);
        for (int align = 4; align <= 2 * LIMIT_ALIGN; align *= 2) { /* alignment */
            head(&b, 0, 1);
            key(&b, "general.alignment", GGUF_U32);
            u32(&b, (uint32_t)(align + over));
            assert_int_equal(try_buf(&b, &err), align >= 8 && align <= LIMIT_ALIGN ? want : ERR_FORMAT);
            buf_reset(&b);
        }
        head(&b, (uint64_t)(LIMIT_TENSORS + over), 0); /* tensors: 8 floats each */
        for (int i = 0; i < LIMIT_TENSORS + over; i++) {
            char name[16];
            snprintf(name, sizeof name, "t%d", i);
            str(&b, name, strlen(name));
            u32(&b, 1);
            u64(&b, 8);
            u32(&b, Q_F32);
            u64(&b, (uint64_t)i * 32);
        }
        size_t header = b.len;
        while (b.len < (header + 31) / 32 * 32 + (size_t)(LIMIT_TENSORS + over) * 32)
            buf_add(&b, big + LIMIT_KEY + 1, 32 - b.len % 32);
        assert_int_equal(try_buf(&b, &err), want);
        buf_finish(&b);
    }
    free(big);
    for (int over = 0; over < 2; over++) { /* array elements: zero pages cost nothing */
        size_t n = 64 + LIMIT_ARRAY + 1;
        char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(p != MAP_FAILED);
        struct buf b = BUF_INIT(64);
        head(&b, 0, 1);
        key(&b, "a", GGUF_ARR);
        u32(&b, GGUF_U8);
        u64(&b, (uint64_t)(LIMIT_ARRAY + over));
        memcpy(p, b.data, b.len);
        struct gguf *g = NULL;
        assert_int_equal(gguf_open_memory(p, n, "x", &g, &err), over ? ERR_FORMAT : 0);
        gguf_close(g);
        buf_finish(&b);
        munmap(p, n);
    }
}

/* The file shrinks while it is mapped: zeros, a flag, no signal. */
static void shrinks(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    struct err err = {0};
    slurp(t_shared("goldens/gguf-bad/good-minimal.gguf"), &b);
    char path[] = "t_gguf_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, b.data, b.len) == (ssize_t)b.len);
    struct gguf *g;
    assert_int_equal(gguf_open(path, &g, &err), 0);
    assert_true(gguf_unchanged(g));
    assert_int_equal(ftruncate(fd, 100), 0);
    unsigned sum = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        for (size_t k = 0; k < t->bytes; k++)
            sum += ((const unsigned char *)t->data)[k];
    }
    assert_int_equal(sum, 0);
    assert_false(gguf_unchanged(g));
    gguf_find(g, "tokenizer.ggml.tokens"); /* must end */
    gguf_close(g);
    close(fd);
    unlink(path);
    buf_finish(&b);
}

/* ---- split models ---- */

static void raw_kv(struct buf *b, const struct gguf_kv *kv)
{
    str(b, kv->key.s, kv->key.n);
    u32(b, kv->type);
    if (kv->type == GGUF_ARR) {
        u32(b, kv->elem);
        u64(b, kv->count);
    }
    buf_add(b, kv->data, (size_t)(kv->end - kv->data));
}

static void pad(struct buf *b)
{
    while (b->len % 32)
        buf_addch(b, 0);
}

struct split {
    char dir[32], path[3][64];
    unsigned no[3], count[3];  /* what the parts say */
    unsigned total;            /* split.tensors.count */
    bool twice;                /* part 3 has a tensor of part 2 as well */
};

/* Writes goldens/llama.gguf as three parts; the first has no tensors. */
static void write_split(struct split *s, const struct gguf *g)
{
    size_t n = gguf_n_tensors(g);
    for (unsigned p = 0; p < 3; p++) {
        struct buf b = BUF_INIT(1 << 22);
        size_t from = p == 0 ? 0 : p == 1 ? 0 : s->twice ? n / 2 - 1 : n / 2, to = p == 0 ? 0 : p == 1 ? n / 2 : n;
        head(&b, to - from, 3 + (p ? 0 : gguf_n_kv(g)));
        for (size_t i = 0; !p && i < gguf_n_kv(g); i++)
            raw_kv(&b, gguf_kv_at(g, i));
        key(&b, "split.no", GGUF_U16);
        buf_add(&b, (uint16_t[]){(uint16_t)s->no[p]}, 2);
        key(&b, "split.count", GGUF_U32);
        u32(&b, s->count[p]);
        key(&b, "split.tensors.count", GGUF_I32);
        u32(&b, s->total);
        uint64_t at = 0;
        for (size_t i = from; i < to; i++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, i);
            str(&b, t->name.s, t->name.n);
            u32(&b, (uint32_t)t->n_dims);
            for (int d = 0; d < t->n_dims; d++)
                u64(&b, (uint64_t)t->ne[d]);
            u32(&b, t->type);
            u64(&b, at);
            at += (t->bytes + 31) / 32 * 32;
        }
        pad(&b);
        for (size_t i = from; i < to; i++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, i);
            buf_add(&b, t->data, t->bytes);
            pad(&b);
        }
        snprintf(s->path[p], sizeof s->path[p], "%s/m-%05u-of-00003.gguf", s->dir, p + 1);
        FILE *f = fopen(s->path[p], "wb");
        assert_true(f && fwrite(b.data, 1, b.len, f) == b.len && fclose(f) == 0);
        buf_finish(&b);
    }
}

static void split_refused(struct split *s, const struct gguf *g, unsigned first, int code, const char *word, const char *word2)
{
    struct err err = {0};
    struct gguf *bad = NULL;
    write_split(s, g);
    assert_int_equal(gguf_open(s->path[first], &bad, &err), code);
    assert_null(bad);
    if (!strstr(err.msg, word) || !strstr(err.msg, word2))
        fail_msg("%s", err.msg);
    *s = (struct split){.no = {0, 1, 2}, .count = {3, 3, 3}, .total = (unsigned)gguf_n_tensors(g)};
    strcpy(s->dir, "t_gguf_split");
}

static void split_models(void **state)
{
    (void)state;
    struct gguf *one, *all;
    struct err err = {0};
    assert_int_equal(gguf_open(t_shared("goldens/llama.gguf"), &one, &err), 0);
    unsigned n = (unsigned)gguf_n_tensors(one);
    struct split s = {.dir = "t_gguf_split", .no = {0, 1, 2}, .count = {3, 3, 3}, .total = n};
    mkdir(s.dir, 0755);
    write_split(&s, one);
    if (gguf_open(s.path[0], &all, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(gguf_n_tensors(all), n);
    assert_true(gguf_file_bytes(all) > gguf_file_bytes(one));
    for (size_t i = 0; i < n; i++) {
        const struct gguf_tensor *a = gguf_tensor_at(one, i);
        char name[80] = "";
        memcpy(name, a->name.s, a->name.n);
        const struct gguf_tensor *b = gguf_tensor(all, name);
        assert_non_null(b);
        assert_int_equal(a->bytes, b->bytes);
        gguf_drop_pages(all, b);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    assert_true(gguf_unchanged(all));
    assert_int_equal(truncate(s.path[2], 64), 0);
    assert_false(gguf_unchanged(all));
    gguf_close(all);

    split_refused(&s, one, 1, ERR_FORMAT, "is part 2 of 3 of a split model", "m-00001-of-00003.gguf");
    s.no[2] = 1;
    split_refused(&s, one, 0, ERR_FORMAT, "m-00003-of-00003.gguf says that it is part 2 of 3", "part 3 of 3 is wanted");
    s.count[1] = 4;
    split_refused(&s, one, 0, ERR_FORMAT, "m-00002-of-00003.gguf says that it is part 2 of 4", "wanted");
    s.count[0] = s.count[1] = 2; /* the name says 3 */
    split_refused(&s, one, 0, ERR_FORMAT, "its name does not end in -00001-of-00002.gguf", "first of 2 parts");
    s.total = n + 1;
    split_refused(&s, one, 0, ERR_FORMAT, "split.tensors.count is", "and the parts have");
    s.twice = true;
    s.total = n + 1;
    split_refused(&s, one, 0, ERR_FORMAT, "is in an earlier part, too", "m-00003");
    s.no[0] = 7;
    split_refused(&s, one, 0, ERR_FORMAT, "split.no is 7", "3 parts");
    s.count[0] = 70000;
    split_refused(&s, one, 0, ERR_FORMAT, "split.count is 70000", "1000");

    /* a part that is missing or cut is named */
    write_split(&s, one);
    assert_int_equal(truncate(s.path[1], 500), 0);
    assert_int_equal(gguf_open(s.path[0], &all, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "part 2 of 3"));
    assert_non_null(strstr(err.msg, "m-00002-of-00003.gguf"));
    unlink(s.path[1]);
    assert_int_equal(gguf_open(s.path[0], &all, &err), ERR_NOMODEL);
    assert_non_null(strstr(err.msg, "part 2 of 3"));
    assert_non_null(strstr(err.msg, "m-00002-of-00003.gguf"));
    unlink(s.path[0]);
    unlink(s.path[2]);
    rmdir(s.dir);
    gguf_close(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files), cmocka_unit_test(cut_at_every_byte), cmocka_unit_test(count_bombs),
        cmocka_unit_test(type_confusion), cmocka_unit_test(numbers),          cmocka_unit_test(something_else),
        cmocka_unit_test(limits),         cmocka_unit_test(shrinks),
        cmocka_unit_test(split_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
