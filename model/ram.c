/*
 * How much memory can still be had. Asked before large allocations, so that a model or a cache that does not fit is
 * refused with both numbers and not ended by the kernel.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/impl.h"

/* The number in a one-number file ("max" and absent give UINT64_MAX). */
static uint64_t number_in(const char *path)
{
    uint64_t v = UINT64_MAX;
    FILE *f = fopen(path, "re");
    if (!f)
        return v;
    if (fscanf(f, "%" SCNu64, &v) != 1)
        v = UINT64_MAX;
    fclose(f);
    return v;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t ram_free(void)
{
    uint64_t r = UINT64_MAX, kb;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    if (f) {
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kb) == 1)
                r = kb * 1024;
        fclose(f);
    }
    /* The control group of a container; its page cache counts as used, so only anonymous memory is taken off. */
    uint64_t max = number_in("/sys/fs/cgroup/memory.max");
    if (max != UINT64_MAX) {
        uint64_t anon = 0;
        f = fopen("/sys/fs/cgroup/memory.stat", "re");
        if (f) {
            while (fgets(line, sizeof line, f))
                if (sscanf(line, "anon %" SCNu64, &anon) == 1)
                    break;
            fclose(f);
        }
        r = least(r, max > anon ? max - anon : 0);
    }
    struct rlimit lim;
    if (!getrlimit(RLIMIT_AS, &lim) && lim.rlim_cur != RLIM_INFINITY) {
        uint64_t pages = number_in("/proc/self/statm"), used = 0;
        if (pages != UINT64_MAX)
            used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        r = least(r, lim.rlim_cur > used ? lim.rlim_cur - used : 0);
    }
    return r;
}

const char *ram_text(uint64_t bytes, char out[24])
{
    if (bytes >= 10000000000u)
        snprintf(out, 24, "%.0f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000000)
        snprintf(out, 24, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        snprintf(out, 24, "%.0f MB", (double)bytes / 1e6);
    else
        snprintf(out, 24, "%.0f KB", (double)bytes / 1e3);
    return out;
}
