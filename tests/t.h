#ifndef TESTS_T_H
#define TESTS_T_H
/* What every cmocka program includes. Goldens: t_shared("goldens/llama.gguf") is a path, or the case is skipped without the shared data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Path below the shared data (static buffers, 8 in turn); skips the running case when there is none. */
static inline const char *t_shared(const char *name)
{
    static char path[8][1024];
    static int turn;
    const char *root = getenv("HADAL_SHARED");
    if (!root || !*root)
        skip();
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    FILE *f = fopen(p, "rb");
    if (!f)
        skip();
    fclose(f);
    return p;
}

#endif
