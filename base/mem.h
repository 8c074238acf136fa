#ifndef BASE_MEM_H
#define BASE_MEM_H
/*
 * Small allocations cannot fail (they panic); large ones (weights, KV cache, whole prompts) use malloc or mmap
 * directly and report an error. Sizes that come from a file go through base/num.h first.
 */
#include <stddef.h>

void *mem_alloc(size_t n);                            /* n bytes, not cleared; owned by the caller, free() */
void *mem_zalloc(size_t n);                           /* n bytes, cleared */
void *mem_array(size_t n, size_t size);               /* n * size bytes, cleared, product checked */
void *mem_grow(void *p, size_t n, size_t size);       /* realloc to n * size bytes, product checked */
char *mem_strdup(const char *s);                      /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);           /* n bytes and a NUL */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
