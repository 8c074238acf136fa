/*
 * Blocks of R rows into tiles, and one row back. The layouts are at the top of mat_impl.h. Everything is moved as dwords: dword i of row
 * r goes to lane r of vector i. Only the fifth bits are rearranged: four elements' bits into a byte as the kernels use them.
 */
#include "config.h"
#include "kernels/mat_impl.h"

#include <string.h>

#define ONES 0x01010101u

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

/*
 * Fifth bits of 32 elements (bit e: element e) to a plane dword: bit i of byte b is element 4i + b, bit 4 + i is element 16 + 4i + b. Each
 * half is a 4x4 bit matrix that is transposed: two swaps at distance 3 and 6.
 */
static uint32_t transpose4(uint32_t h)
{
    uint32_t t = (h ^ h >> 3) & 0x0A0A0A0A;
    h ^= t ^ t << 3;
    t = (h ^ h >> 6) & 0x00CC00CC;
    return h ^ t ^ t << 6;
}

static uint32_t plane_of(uint32_t h)
{
    h = transpose4(h); /* nibble b of each half: bits i of elements 4i + b */
    uint32_t plane = 0;
    for (int b = 0; b < 4; b++)
        plane |= ((h >> 4 * b & 15) | (h >> (16 + 4 * b) & 15) << 4) << 8 * b;
    return plane;
}

static uint32_t plane_back(uint32_t plane)
{
    uint32_t h = 0;
    for (int b = 0; b < 4; b++)
        h |= (plane >> 8 * b & 15) << 4 * b | (plane >> (8 * b + 4) & 15) << (16 + 4 * b);
    return transpose4(h);
}

/* Plane of the sub-blocks 2p, 2p + 1 of Q5_K for the four dwords of qh at `qh`. */
static uint32_t plane_k(const uint8_t *qh, int p)
{
    uint32_t plane = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t v = u32(qh + 4 * i) >> 2 * p;
        plane |= (v & ONES) << i | (v >> 1 & ONES) << (4 + i);
    }
    return plane;
}

/* n dwords at `at` of each row's block to n vectors; returns what is behind them. */
static inline uint8_t *dwords(uint8_t *dst, const uint8_t *const *src, int tile, int at, int n, uint32_t flip)
{
    for (int i = 0; i < n; i++)
        for (int r = 0; r < tile; r++)
            put32(dst + 4 * (i * tile + r), u32(src[r] + at + 4 * i) ^ flip);
    return dst + 4 * n * tile;
}

static inline uint8_t *halves(uint8_t *dst, const uint8_t *const *src, int tile, int at)
{
    for (int r = 0; r < tile; r++)
        memcpy(dst + 2 * r, src[r] + at, 2);
    return dst + 2 * tile;
}

static inline void pack_block(enum qtype type, int tile, uint32_t flip, const uint8_t *const *src, uint8_t *dst)
{
    dst = halves(dst, src, tile, type == Q_Q6_K ? 208 : 0);
    switch (type) {
    case Q_Q4_0:
        dwords(dst, src, tile, 2, 4, 0);
        break;
    case Q_Q4_1:
        dst = halves(dst, src, tile, 2);
        dwords(dst, src, tile, 4, 4, 0);
        break;
    case Q_Q5_0:
    case Q_Q5_1: {
        int at = type == Q_Q5_0 ? 2 : 4;
        if (type == Q_Q5_1)
            dst = halves(dst, src, tile, 2);
        for (int r = 0; r < tile; r++)
            put32(dst + 4 * r, plane_of(u32(src[r] + at)));
        dwords(dst + 4 * tile, src, tile, at + 4, 4, 0);
        break;
    }
    case Q_Q8_0:
        dwords(dst, src, tile, 2, 8, flip);
        break;
    case Q_Q4_K:
        dst = halves(dst, src, tile, 2);
        dwords(dst, src, tile, 4, 35, 0);
        break;
    case Q_Q5_K:
        dst = halves(dst, src, tile, 2);
        dst = dwords(dst, src, tile, 4, 3, 0);
        for (int i = 0; i < 8; i++) {
            for (int r = 0; r < tile; r++)
                put32(dst + 4 * r, plane_k(src[r] + 16 + 16 * (i % 2), i / 2));
            dst = dwords(dst + 4 * tile, src, tile, 48 + 16 * i, 4, 0);
        }
        break;
    default: /* Q6_K */
        dst = dwords(dst, src, tile, 192, 4, 0);
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < 8; i++) {
                dst = dwords(dst, src, tile, 64 * h + 4 * i, 1, 0);
                dst = dwords(dst, src, tile, 64 * h + 32 + 4 * i, 1, 0);
                dst = dwords(dst, src, tile, 128 + 32 * h + 4 * i, 1, 0);
            }
    }
}

static inline __attribute__((always_inline)) void pack_tile(enum qtype type, int tile, uint32_t flip, const uint8_t **src, const int *step, int blocks, uint8_t *dst)
{
    int size = tile * quant_traits(type)->bytes;
    for (int b = 0; b < blocks; b++, dst += size) {
        pack_block(type, tile, flip, src, dst);
        for (int r = 0; r < tile; r++)
            src[r] += step[r];
    }
}

void mat_pack_tile(enum qtype type, int tile, bool flip, const uint8_t *src, size_t row_bytes, int n, int blocks, void *dst)
{
    static const uint8_t zeros[256];
    const uint8_t *rows[MAT_PANEL];
    int step[MAT_PANEL], bytes = quant_traits(type)->bytes;
    for (int r = 0; r < tile; r++) {
        rows[r] = r < n ? src + (size_t)r * row_bytes : zeros;
        step[r] = r < n ? bytes : 0;
    }
    if (tile == 16) /* so that both get loops of a constant length */
        pack_tile(type, 16, flip ? 0x80808080u : 0, rows, step, blocks, dst);
    else
        pack_tile(type, 8, flip ? 0x80808080u : 0, rows, step, blocks, dst);
}

/* ---- back ---- */

struct lane {
    const uint8_t *at; /* the next vector */
    int tile, row;
};

static void lane_half(struct lane *l, uint8_t *dst)
{
    memcpy(dst, l->at + 2 * l->row, 2);
    l->at += 2 * l->tile;
}

static void lane_dwords(struct lane *l, uint8_t *dst, int n, uint32_t flip)
{
    for (int i = 0; i < n; i++, l->at += 4 * l->tile)
        put32(dst + 4 * i, u32(l->at + 4 * l->row) ^ flip);
}

void mat_unpack_block(enum qtype type, int tile, bool flip, const void *src, int row, uint8_t *dst)
{
    struct lane l = {.at = src, .tile = tile, .row = row};
    uint8_t plane[4];
    lane_half(&l, type == Q_Q6_K ? dst + 208 : dst);
    switch (type) {
    case Q_Q4_0:
        lane_dwords(&l, dst + 2, 4, 0);
        break;
    case Q_Q4_1:
        lane_half(&l, dst + 2);
        lane_dwords(&l, dst + 4, 4, 0);
        break;
    case Q_Q5_0:
    case Q_Q5_1: {
        int at = type == Q_Q5_0 ? 2 : 4;
        if (type == Q_Q5_1)
            lane_half(&l, dst + 2);
        lane_dwords(&l, plane, 1, 0);
        put32(dst + at, plane_back(u32(plane)));
        lane_dwords(&l, dst + at + 4, 4, 0);
        break;
    }
    case Q_Q8_0:
        lane_dwords(&l, dst + 2, 8, flip ? 0x80808080u : 0);
        break;
    case Q_Q4_K:
        lane_half(&l, dst + 2);
        lane_dwords(&l, dst + 4, 35, 0);
        break;
    case Q_Q5_K:
        lane_half(&l, dst + 2);
        lane_dwords(&l, dst + 4, 3, 0);
        memset(dst + 16, 0, 32);
        for (int i = 0; i < 8; i++) {
            lane_dwords(&l, plane, 1, 0);
            for (int e = 0; e < 16; e++) {
                int p = plane[e % 4] >> e / 4;
                dst[16 + 16 * (i % 2) + e] |= (uint8_t)(((p & 1) | (p >> 4 & 1) << 1) << 2 * (i / 2));
            }
            lane_dwords(&l, dst + 48 + 16 * i, 4, 0);
        }
        break;
    default: /* Q6_K */
        lane_dwords(&l, dst + 192, 4, 0);
        for (int i = 0; i < 16; i++) {
            lane_dwords(&l, dst + 64 * (i / 8) + 4 * (i % 8), 1, 0);
            lane_dwords(&l, dst + 64 * (i / 8) + 32 + 4 * (i % 8), 1, 0);
            lane_dwords(&l, dst + 128 + 4 * i, 1, 0);
        }
    }
}
