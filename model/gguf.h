#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H
/*
 * GGUF files, versions 2 and 3, mapped read-only. The file is hostile: every length is checked (base/num.h), nothing is
 * copied but the directory. One refusal is one sentence that names the file, the thing and its place.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/quant.h"

struct gguf;

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STR, GGUF_ARR, GGUF_U64, GGUF_I64, GGUF_F64
};

struct gguf_str {
    const char *s; /* points into the file: not NUL-terminated, any bytes */
    size_t n;
};

struct gguf_kv {
    struct gguf_str key;
    enum gguf_type type;      /* of the value; GGUF_ARR: an array */
    enum gguf_type elem;      /* of an array's elements */
    uint64_t count;           /* of an array's elements; 1 otherwise */
    const unsigned char *data; /* first byte of the value (array: of the first element; string: of its u64 length) */
    const unsigned char *end;  /* behind the last byte */
};

struct gguf_tensor {
    struct gguf_str name;
    int n_dims;
    int64_t ne[4];
    uint32_t type;
    uint64_t offset; /* from the start of its file's data section */
    const void *data;
    size_t bytes;
};

/* A split model (NAME-00001-of-00003.gguf) is opened by its first part; all must be there, beside it. */
int gguf_open(const char *path, struct gguf **out, struct err *err);
/* One file over memory (fuzzing, tests). The bytes are borrowed until close. */
int gguf_open_memory(const void *data, size_t n, const char *name, struct gguf **out, struct err *err);
void gguf_close(struct gguf *g);

const char *gguf_path(const struct gguf *g);
uint32_t gguf_version(const struct gguf *g);
uint64_t gguf_file_bytes(const struct gguf *g); /* of all parts */
/* The bytes before the (first part's) tensors' data: header, metadata, directory. Borrowed until close. */
const void *gguf_header(const struct gguf *g, size_t *n);
size_t gguf_n_kv(const struct gguf *g);
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i);
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key); /* NULL: absent */
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/*
 * Typed reading (spec: gguf 4). Each returns 1 when the key is there and fits, 0 when it is absent (*out untouched),
 * negative with *err when its type or value is wrong.
 */
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t max, uint64_t *out, struct err *err);
int gguf_get_f64(const struct gguf *g, const char *key, double *out, struct err *err);
int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *err);
int gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out, struct err *err);
/* Element i of an array (or the scalar itself when the key is no array); bounds are the caller's business. */
uint64_t gguf_elem_u64(const struct gguf_kv *kv, uint64_t i, bool *ok);
double gguf_elem_f64(const struct gguf_kv *kv, uint64_t i, bool *ok);
/* Walks a string array: cursor starts at NULL; false behind the last. */
bool gguf_next_str(const struct gguf_kv *kv, const unsigned char **cursor, struct gguf_str *out);
const char *gguf_type_name(enum gguf_type t);

/* Gives the mapped pages of a tensor back to the page cache (they are read again on use). */
void gguf_drop_pages(const struct gguf *g, const struct gguf_tensor *t);
/*
 * True while the file still is what was mapped (size, mtime, inode). A map whose file was cut short reads as zeros from
 * there on (gguf_open installs a SIGBUS handler for its maps and passes other faults on): ask this after long work.
 */
bool gguf_unchanged(const struct gguf *g);

#endif
