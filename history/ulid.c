/*
 * ULIDs: 48 bits of time and 80 random bits as 26 characters that sort by time. Two of one millisecond (or after the clock went back)
 * made by one process still rise: the random part is counted up.
 */
#include "config.h"
#include "history/impl.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static void random_bytes(unsigned char *p, size_t n)
{
    while (n) {
        ssize_t k = getrandom(p, n, 0);
        if (k < 0 && errno != EINTR)
            BUG("getrandom");
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
}

void ulid_make(char out[27], int64_t now_ms)
{
    static unsigned char last[16]; /* big-endian: 6 bytes of time, 10 random */
    unsigned char next[16];
    uint64_t ms = now_ms > 0 ? (uint64_t)now_ms : 0;
    for (int i = 0; i < 6; i++)
        next[i] = (unsigned char)(ms >> (40 - 8 * i));
    random_bytes(next + 6, 10);
    if (memcmp(next, last, 6) <= 0) {
        memcpy(next, last, sizeof next);
        for (int i = 15; i >= 0 && ++next[i] == 0; i--)
            ;
    }
    memcpy(last, next, sizeof last);
    /* 26 characters of 5 bits hold 130 bits: two zero bits stand in front. */
    for (int i = 0; i < 26; i++) {
        int bit = 5 * i - 2, value = 0;
        for (int k = bit; k < bit + 5; k++)
            value = value << 1 | (k < 0 ? 0 : next[k / 8] >> (7 - k % 8) & 1);
        out[i] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[value];
    }
    out[26] = 0;
}
