#ifndef BASE_NUM_H
#define BASE_NUM_H
/*
 * Checked arithmetic on sizes that come from a file, a frame or a person: the only way such numbers are added or
 * multiplied. Each returns false, and leaves *out alone, when the true result does not fit. And strict parsing of
 * numbers in text (the whole string must be the number; no sign for unsigned, no white space).
 */
#include <stdbool.h>
#include <stdint.h>

static inline bool num_add(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool num_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of `align`, a power of two. */
static inline bool num_align(uint64_t a, uint64_t align, uint64_t *out)
{
    uint64_t r;
    if (!num_add(a, align - 1, &r))
        return false;
    *out = r & ~(align - 1);
    return true;
}

bool num_parse_u64(const char *s, uint64_t *out);
bool num_parse_i64(const char *s, int64_t *out);
bool num_parse_double(const char *s, double *out); /* finite only, '.' as the point in every locale */

#endif
