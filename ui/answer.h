#ifndef UI_ANSWER_H
#define UI_ANSWER_H
/*
 * An answer's text as plain rows: what ui/md.h does, without Markdown.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/rows.h"

struct answer {
    struct buf b;
    struct rows r;
    int width;
    bool laid;
};

static inline struct answer *answer_create(int width)
{
    struct answer *m = mem_zalloc(sizeof *m);
    m->b = BUF_INIT(SIZE_MAX / 2);
    m->width = width;
    return m;
}

static inline void answer_destroy(struct answer *m)
{
    if (!m)
        return;
    buf_finish(&m->b);
    rows_finish(&m->r);
    free(m);
}

static inline void answer_feed(struct answer *m, const char *s, size_t n)
{
    buf_add(&m->b, s, n);
    m->laid = false;
}

static inline void answer_end(struct answer *m)
{
    (void)m;
}

static inline void answer_width(struct answer *m, int width)
{
    m->width = width;
    m->laid = false;
}

static inline const struct rows *answer_rows(struct answer *m)
{
    if (!m->laid) {
        rows_cut(&m->r, 0);
        rows_add_plain(&m->r, m->width, (struct look){0}, buf_str(&m->b), m->b.len);
        m->laid = true;
    }
    return &m->r;
}

static inline const char *answer_text(const struct answer *m, size_t *n)
{
    *n = m->b.len;
    return buf_str(&m->b);
}

static inline int answer_n_code(struct answer *m)
{
    (void)m;
    return 0;
}

static inline char *answer_code(struct answer *m, int i, size_t *n, const char **lang)
{
    (void)m;
    (void)i;
    *n = 0;
    *lang = "";
    return NULL;
}

static inline const char *answer_link(struct answer *m, int i, size_t *n)
{
    (void)m;
    (void)i;
    *n = 0;
    return NULL;
}

#endif
