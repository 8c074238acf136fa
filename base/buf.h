#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * A growing byte buffer that is born with a maximum. `data` always has a NUL behind `len` bytes (data may be NULL
 * while len is 0: use buf_str). Adding beyond the maximum sets `over` and drops the whole addition; the caller
 * checks buf_over() once at the end, as with ferror().
 */
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len, cap, max;
    bool over;
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_init(struct buf *b, size_t max);
void buf_finish(struct buf *b); /* frees; b is empty and usable again */
void buf_reset(struct buf *b);  /* len = 0, keeps the memory */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addstr(struct buf *b, const char *s);
void buf_addch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n); /* removes the first n bytes */
bool buf_over(const struct buf *b);
const char *buf_str(const struct buf *b); /* borrowed, never NULL */
char *buf_take(struct buf *b);            /* the string, owned by the caller; b is empty */

#endif
