/*
 * Allocation that cannot fail. See mem.h.
 */
#include "config.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void *mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        BUG("out of memory");
    return p;
}

void *mem_zalloc(size_t n)
{
    return mem_array(n, 1);
}

void *mem_array(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        BUG("out of memory");
    return p;
}

void *mem_grow(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        BUG("allocation size overflows");
    p = realloc(p, bytes ? bytes : 1);
    if (!p)
        BUG("out of memory");
    return p;
}

char *mem_strdup(const char *s)
{
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n)
{
    char *p = mem_alloc(n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *p = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (n < 0)
        BUG("out of memory");
    return p;
}
