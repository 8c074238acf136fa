#ifndef TESTS_MODEL_MKGGUF_H
#define TESTS_MODEL_MKGGUF_H
/* Writes small GGUF files in memory: mk_begin, metadata, mk_end; then b.data, b.len. Without tensors. */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "model/gguf.h"

struct mk_file {
    struct buf b;
    uint64_t n_kv;
};

static inline void mk_bytes(struct mk_file *f, const void *p, size_t n)
{
    buf_add(&f->b, p, n);
}

static inline void mk_u32(struct mk_file *f, uint32_t v)
{
    mk_bytes(f, &v, 4);
}

static inline void mk_u64(struct mk_file *f, uint64_t v)
{
    mk_bytes(f, &v, 8);
}

static inline void mk_str(struct mk_file *f, const char *s, size_t n)
{
    mk_u64(f, n);
    mk_bytes(f, s, n);
}

static inline void mk_kv(struct mk_file *f, const char *key, uint32_t type)
{
    mk_str(f, key, strlen(key));
    mk_u32(f, type);
    f->n_kv++;
}

static inline void mk_kv_str(struct mk_file *f, const char *key, const char *s)
{
    mk_kv(f, key, GGUF_STR);
    mk_str(f, s, strlen(s));
}

static inline void mk_kv_u32(struct mk_file *f, const char *key, uint32_t v)
{
    mk_kv(f, key, GGUF_U32);
    mk_u32(f, v);
}

static inline void mk_kv_arr(struct mk_file *f, const char *key, uint32_t elem, uint64_t n)
{
    mk_kv(f, key, GGUF_ARR);
    mk_u32(f, elem);
    mk_u64(f, n);
}

static inline void mk_begin(struct mk_file *f)
{
    *f = (struct mk_file){.b = BUF_INIT(1 << 26)};
    mk_bytes(f, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
}

static inline void mk_end(struct mk_file *f)
{
    memcpy(f->b.data + 16, &f->n_kv, 8);
    while (f->b.len % 32)
        buf_addch(&f->b, 0);
}

#endif
