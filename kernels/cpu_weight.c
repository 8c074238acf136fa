/*
 * Weights of the CPU backend: registered as tensors of the file, then packed into one arena (huge pages where the system
 * has them) in order of registration, which is about the order of use. Rows of a matrix are packed by all threads; after each stretch
 * the caller hears how many bytes of tensors are done, so that it can give their pages back and memory peaks near one copy.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

#define STRETCH ((size_t)8 << 20) /* bytes packed between two reports */
#define TOUCH ((size_t)32 << 20)  /* bytes of the arena that are fetched from the system at once */
#define HUGE_PAGE ((size_t)2 << 20)
#define ALIGN 64

int cpu_weight(struct bk *b, const struct bk_tensor *t, enum bk_use use, struct bk_weight **out, struct err *err)
{
    const struct qtraits *q = quant_traits(t->type);
    if (b->ready)
        return err_set(err, ERR_USAGE, "%s comes too late: the weights are packed", t->name);
    if (!q || !q->decode)
        return err_set(err, ERR_FORMAT, "%s is of type %s, which this version cannot compute with", t->name,
                       q ? q->name : quant_refusal((uint32_t)t->type));
    if ((t->ne[2] > 1 && use != BK_EXPERTS) || t->ne[3] > 1 || t->ne[0] < 1 || t->ne[1] < 1 || t->ne[2] < 1 || t->ne[0] > INT_MAX ||
        t->ne[1] > INT_MAX - MAT_PANEL || t->ne[2] > INT_MAX)
        return err_set(err, ERR_FORMAT, "%s has a shape that is no matrix of 1 to %d columns and rows", t->name, INT_MAX);
    size_t row = quant_row_bytes(t->type, t->ne[0]);
    if (!row || t->bytes / row / (size_t)t->ne[1] < (size_t)t->ne[2])
        return err_set(err, ERR_FORMAT, "%s has %zu bytes, too few for its shape", t->name, t->bytes);
    if (use != BK_VECTOR && use != BK_EMBED && !mat_bytes(b->isa, t->type, (int)t->ne[1], (int)t->ne[0]))
        return err_set(err, ERR_FORMAT, "%s is of type %s, which this version cannot multiply", t->name, q->name);
    struct bk_weight *w = mem_zalloc(sizeof *w);
    w->use = use;
    w->type = t->type;
    w->rows = (int)t->ne[1];
    w->cols = (int)t->ne[0];
    w->n = (int)t->ne[2];
    if (use == BK_EXPERTS)
        w->stack = mem_array((size_t)w->n, sizeof *w->stack);
    w->src = t->data;
    w->src_bytes = t->bytes;
    *b->weights_end = w;
    b->weights_end = &w->next;
    *out = w;
    return 0;
}

static bool packed(const struct bk_weight *w)
{
    return w->use == BK_MATRIX || w->use == BK_EMBED_HEAD || w->use == BK_EXPERTS;
}

/* Bytes of one matrix in the arena. */
static size_t mat_part(const struct bk *b, const struct bk_weight *w)
{
    return (mat_bytes(b->isa, w->type, w->rows, w->cols) + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t arena_part(const struct bk *b, const struct bk_weight *w)
{
    size_t n = 0;
    if (packed(w))
        n = mat_part(b, w) * (size_t)w->n; /* no more than twice the file's bytes, and a panel */
    else if (w->use == BK_VECTOR)
        n = (size_t)w->rows * (size_t)w->cols * sizeof(float);
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int make_arena(struct bk *b, struct err *err)
{
    size_t total = 0;
    for (struct bk_weight *w = b->weights; w; w = w->next)
        if (__builtin_add_overflow(total, arena_part(b, w), &total))
            return err_set(err, ERR_NOMODEL, "the weights are larger than memory can be");
    if (!total)
        return 0;
    void *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_sys(err, ERR_NOMODEL, "no memory for %zu MB of weights", total >> 20);
    madvise(p, total, MADV_HUGEPAGE);
    b->arena = p;
    b->arena_bytes = total;
    for (struct bk_weight *w = b->weights; w; w = w->next) {
        if (packed(w))
            for (int i = 0; i < w->n; i++)
                mat_init(w->stack ? &w->stack[i] : &w->mat, b->isa, w->type, w->rows, w->cols, (char *)p + mat_part(b, w) * (size_t)i);
        else if (w->use == BK_VECTOR)
            w->vec = p;
        p = (char *)p + arena_part(b, w);
    }
    return 0;
}

/* New memory is cleared by the system on the first touch, which takes longer than packing: all threads do it, a huge page each. */
struct touch {
    struct bk *b;
    size_t from, to; /* of the arena */
};

static void touch_pages(void *arg, int ith, int nth)
{
    (void)nth;
    struct touch *t = arg;
    cpu_start(t->b, ith);
    struct cpu_items it = cpu_items(t->b, 0, ith, (int)((t->to - t->from + HUGE_PAGE - 1) / HUGE_PAGE));
    for (int i; (i = cpu_next(&it)) >= 0;) {
        size_t at = t->from + (size_t)i * HUGE_PAGE, end = at + HUGE_PAGE < t->to ? at + HUGE_PAGE : t->to;
        for (; at < end; at += 4096) { /* written, but not changed */
            volatile char *p = (volatile char *)t->b->arena + at;
            *p = *p;
        }
    }
}

struct pack {
    struct bk *b;
    struct mat *m;
    const void *src;
    int r0, r1;
};

static void pack_rows(void *arg, int ith, int nth)
{
    (void)nth;
    struct pack *p = arg;
    cpu_start(p->b, ith);
    struct cpu_items it = cpu_items(p->b, 0, ith, (p->r1 - p->r0 + MAT_PANEL - 1) / MAT_PANEL);
    for (int i; (i = cpu_next(&it)) >= 0;) {
        int r = p->r0 + i * MAT_PANEL, end = r + MAT_PANEL < p->r1 ? r + MAT_PANEL : p->r1;
        mat_pack(p->m, p->src, r, end);
    }
}

struct report {
    bk_progress fn;
    void *arg;
    uint64_t done, total;
};

/* Packs all matrices of a weight, a stretch after the other. */
static bool pack_all(struct bk *b, struct bk_weight *w, struct touch *front, struct report *rep)
{
    size_t row = quant_row_bytes(w->type, w->cols), step = STRETCH / row / MAT_PANEL * MAT_PANEL;
    step = step < MAT_PANEL ? MAT_PANEL : step > (size_t)w->rows ? (size_t)w->rows : step;
    uint64_t done = 0;
    for (int i = 0; i < w->n; i++)
        for (int r = 0; r < w->rows; r += (int)step) {
            int r1 = (size_t)(w->rows - r) < step ? w->rows : r + (int)step;
            struct pack p = {b, w->stack ? &w->stack[i] : &w->mat, (const char *)w->src + row * (size_t)w->rows * (size_t)i, r, r1};
            if (done && rep->fn && !rep->fn(rep->arg, rep->done + done, rep->total))
                return false;
            size_t end = (size_t)((char *)p.m->data - (char *)b->arena) + p.m->bytes / (size_t)w->rows * (size_t)r1;
            for (; front->to < end && front->to < b->arena_bytes; front->from = front->to) {
                front->to = b->arena_bytes - front->from < TOUCH ? b->arena_bytes : front->from + TOUCH;
                cpu_run(b, touch_pages, front);
            }
            cpu_run(b, pack_rows, &p);
            done += row * (size_t)(r1 - r);
        }
    return true;
}

int cpu_weights_ready(struct bk *b, bk_progress progress, void *arg, struct err *err)
{
    struct report rep = {.fn = progress, .arg = arg};
    struct touch front = {.b = b};
    if (b->ready)
        return err_set(err, ERR_USAGE, "the weights are packed already");
    int rc = make_arena(b, err);
    if (rc)
        return rc;
    for (struct bk_weight *w = b->weights; w; w = w->next)
        rep.total += w->src_bytes;
    for (struct bk_weight *w = b->weights; w; w = w->next) {
        size_t row = quant_row_bytes(w->type, w->cols);
        if (w->use == BK_VECTOR)
            for (int r = 0; r < w->rows; r++)
                quant_traits(w->type)->decode((const char *)w->src + (size_t)r * row, w->vec + (size_t)r * (size_t)w->cols, w->cols);
        if (packed(w) && !pack_all(b, w, &front, &rep))
            return err_set(err, ERR_CANCELLED, "stopped");
        rep.done += w->src_bytes;
        if (progress && !progress(arg, rep.done, rep.total))
            return err_set(err, ERR_CANCELLED, "stopped");
        if (w->use != BK_EMBED)
            w->src = NULL;
    }
    b->ready = true;
    return 0;
}

void cpu_weights_free(struct bk *b)
{
    while (b->weights) {
        struct bk_weight *w = b->weights;
        b->weights = w->next;
        free(w->stack);
        free(w);
    }
    if (b->arena)
        munmap(b->arena, b->arena_bytes);
}
