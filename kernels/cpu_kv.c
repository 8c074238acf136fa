/*
 * The KV cache of the CPU backend: one map of pages; a page is BK_PAGE positions of all layers, so that it is copied, written
 * out and read back as one run of bytes, and memory is taken only as far as a timeline goes.
 *
 *   page: for each layer, for each key/value head: K (d_k, BK_PAGE), V (BK_PAGE, d_vp), f16 or f32 (vec.h);
 *         then (d_extra, BK_PAGE) f32 that the layer's block lays out
 *
 * K has positions in the lanes: the scores of 16 positions come out of one register without a horizontal sum.
 */
#include "config.h"
#include "kernels/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/num.h"

static size_t element(enum bk_kv_type t)
{
    return t == BK_KV_F16 ? 2 : 4;
}

/* Bytes of one layer in a page; 0: out of range. */
static uint64_t layer_bytes(const struct bk_kv_layer *l, enum bk_kv_type type)
{
    uint64_t d, n;
    if (l->n_kv < 1 || l->d_k < 1 || l->d_v < 1 || l->d_extra < 0)
        return 0;
    d = (uint64_t)l->d_k + ((uint64_t)l->d_v + VEC_PAD - 1) / VEC_PAD * VEC_PAD;
    if (!num_mul(d * BK_PAGE * element(type), (uint64_t)l->n_kv, &n) || !num_add(n, (uint64_t)l->d_extra * BK_PAGE * sizeof(float), &n))
        return 0;
    return n;
}

static bool page_bytes(const struct bk_kv_conf *conf, uint64_t *out)
{
    uint64_t sum = 0;
    for (int i = 0; i < conf->n_layer; i++) {
        uint64_t n = layer_bytes(&conf->layers[i], conf->type);
        if (!n || !num_add(sum, n, &sum))
            return false;
    }
    *out = sum;
    return conf->n_layer > 0 && conf->n_ctx > 0;
}

uint64_t cpu_kv_bytes(const struct bk_kv_conf *conf)
{
    uint64_t page, all;
    if (!page_bytes(conf, &page) || !num_mul(page, ((uint64_t)conf->n_ctx + BK_PAGE - 1) / BK_PAGE, &all))
        return UINT64_MAX;
    return all;
}

int cpu_kv_create(struct bk *b, const struct bk_kv_conf *conf, struct bk_kv **out, struct err *err)
{
    uint64_t page = 0, all = cpu_kv_bytes(conf);
    if (!page_bytes(conf, &page) || all > SIZE_MAX / 2)
        return err_set(err, ERR_USAGE, "a cache of %d positions and %d layers cannot be made", conf->n_ctx, conf->n_layer);
    void *mem = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return err_sys(err, ERR_NOMODEL, "no memory for a cache of %d positions, %zu MB", conf->n_ctx, (size_t)all >> 20);
    madvise(mem, all, MADV_HUGEPAGE);
    struct bk_kv *kv = mem_zalloc(sizeof *kv);
    *kv = (struct bk_kv){.b = b, .next = b->caches, .type = conf->type, .n_ctx = conf->n_ctx, .n_layer = conf->n_layer,
                         .n_pages = (conf->n_ctx - 1) / BK_PAGE + 1, .page_bytes = page, .map_bytes = all, .mem = mem};
    kv->layer = mem_array((size_t)conf->n_layer, sizeof *kv->layer);
    kv->at = mem_array((size_t)conf->n_layer, sizeof *kv->at);
    memcpy(kv->layer, conf->layers, (size_t)conf->n_layer * sizeof *kv->layer);
    for (int i = 1; i < conf->n_layer; i++)
        kv->at[i] = kv->at[i - 1] + layer_bytes(&conf->layers[i - 1], conf->type);
    b->caches = kv;
    *out = kv;
    return 0;
}

void cpu_kv_destroy(struct bk_kv *kv)
{
    if (!kv)
        return;
    for (struct bk_kv **p = &kv->b->caches; *p; p = &(*p)->next)
        if (*p == kv) {
            *p = kv->next;
            break;
        }
    if (kv->b->kv == kv)
        kv->b->kv = NULL;
    munmap(kv->mem, kv->map_bytes);
    free(kv->layer);
    free(kv->at);
    free(kv);
}

size_t cpu_kv_page_bytes(const struct bk_kv *kv)
{
    return kv->page_bytes;
}

static char *page_at(const struct bk_kv *kv, int page)
{
    return kv->mem + (size_t)page * kv->page_bytes;
}

float *cpu_extra(const struct bk_kv *kv, int layer, int page)
{
    const struct bk_kv_layer *l = &kv->layer[layer];
    size_t bytes = layer_bytes(l, kv->type) - (size_t)l->d_extra * BK_PAGE * sizeof(float);
    return (float *)(void *)(page_at(kv, page) + kv->at[layer] + bytes);
}

/* A page that can be read: it holds a position that was filled. */
static int check_page(const struct bk_kv *kv, int page, struct err *err)
{
    if (page < 0 || (int64_t)page * BK_PAGE >= kv->filled)
        return err_set(err, ERR_USAGE, "page %d of the cache is not filled: it has %d positions", page, kv->filled);
    return 0;
}

/* A page can be filled when those before it are; positions from `limit` on are not. */
static int fill_page(struct bk_kv *kv, int page, int limit, struct err *err)
{
    if (page < 0 || page >= kv->n_pages || (int64_t)page * BK_PAGE > kv->filled)
        return err_set(err, ERR_USAGE, "page %d of the cache cannot be filled: it has %d pages, %d positions are filled", page, kv->n_pages,
                       kv->filled);
    int end = kv->n_ctx - page * BK_PAGE < BK_PAGE ? kv->n_ctx : page * BK_PAGE + BK_PAGE;
    end = end < limit ? end : limit;
    kv->filled = end > kv->filled ? end : kv->filled;
    return 0;
}

int cpu_kv_copy(struct bk_kv *dst, const struct bk_kv *src, int page, struct err *err)
{
    if (dst->type != src->type || dst->n_layer != src->n_layer ||
        memcmp(dst->layer, src->layer, (size_t)src->n_layer * sizeof *src->layer) != 0)
        return err_set(err, ERR_USAGE, "a page cannot be copied between caches of different shape");
    int rc = check_page(src, page, err);
    if (!rc)
        rc = fill_page(dst, page, src->filled, err);
    if (!rc)
        memmove(page_at(dst, page), page_at(src, page), src->page_bytes);
    return rc;
}

int cpu_kv_read(const struct bk_kv *kv, int page, void *dst, struct err *err)
{
    int rc = check_page(kv, page, err);
    if (!rc)
        memcpy(dst, page_at(kv, page), kv->page_bytes);
    return rc;
}

int cpu_kv_write(struct bk_kv *kv, int page, const void *src, struct err *err)
{
    int rc = fill_page(kv, page, kv->n_ctx, err);
    if (!rc)
        memcpy(page_at(kv, page), src, kv->page_bytes);
    return rc;
}
