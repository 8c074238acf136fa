/*
 * Runs a fuzz target without a fuzzer: over the files of its corpus (tests/fuzz/corpus/NAME) and, where the shared data is, over the
 * goldens that suit it; each file as it is, cut at many places, and with a few hundred small changes from a fixed seed. A
 * target that finds something wrong does not come back, so that the program's status tells.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fuzz/fuzz.h"

#define MAX_FILE 65536
#define CHANGES 300

static uint64_t seed = 88172645463325252u;

static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

/* A copy of exactly n bytes, so that a sanitizer sees reads behind it. */
static void one(const uint8_t *data, size_t n)
{
    uint8_t *p = mem_alloc(n ? n : 1);
    memcpy(p, data, n);
    LLVMFuzzerTestOneInput(p, n);
    free(p);
}

static void around(uint8_t *data, size_t n)
{
    one(data, n);
    size_t step = n / 200 + 1;
    for (size_t i = 0; i < n; i += step)
        one(data, i);
    for (int k = 0; n && k < CHANGES; k++) {
        size_t at[3];
        uint8_t was[3];
        int c = 1 + (int)(draw() % 3);
        for (int i = 0; i < c; i++) {
            static const uint8_t odd[] = {0, 1, 0x7F, 0x80, 0xFF, '<', ' ', '\n'};
            uint32_t r = draw();
            at[i] = draw() % n;
            was[i] = data[at[i]];
            data[at[i]] = r & 256 ? odd[(r >> 9) % sizeof odd] : (uint8_t)r;
        }
        one(data, n);
        while (c--)
            data[at[c]] = was[c];
    }
}

static int folder(const char *path)
{
    static uint8_t data[MAX_FILE];
    DIR *d = opendir(path);
    int files = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char file[2048];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(file, "rb");
        if (!f)
            continue;
        size_t n = fread(data, 1, sizeof data, f);
        fclose(f);
        around(data, n);
        files++;
    }
    if (d)
        closedir(d);
    return files;
}

int main(int argc, char **argv)
{
    const char *src = getenv("SRCDIR"), *shared = getenv("HADAL_SHARED"), *name = strstr(argv[0], "fuzz_");
    char path[1024];
    if (argc > 1) { /* one file: to look at a finding */
        static uint8_t data[1 << 20];
        FILE *f = fopen(argv[1], "rb");
        if (!f)
            return 1;
        size_t n = fread(data, 1, sizeof data, f);
        fclose(f);
        one(data, n);
        return 0;
    }
    name = name ? name + strlen("fuzz_") : "none";
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", src ? src : ".", name);
    int files = folder(path);
    if (files == 0) {
        printf("[  FAILED  ] fuzz_%s: no corpus in %s\n", name, path);
        return 1;
    }
    printf("[       OK ] fuzz_%s: %d files of the corpus\n", name, files);
    if (strcmp(name, "gguf") == 0) {
        snprintf(path, sizeof path, "%s/goldens/gguf-bad", shared ? shared : "");
        files = shared && *shared ? folder(path) : 0;
        printf(files ? "[       OK ] fuzz_%s: shared goldens\n" : "[  SKIPPED ] fuzz_%s: shared goldens\n", name);
    }
    return 0;
}
