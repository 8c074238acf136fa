/*
 * Fuzz target: bytes as a grammar. One that is taken is walked from its beginning with bytes of the input: what the matcher says of the end
 * must hold, and a byte that is refused must change nothing. A refusal must say where.
 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "model/grammar.h"
#include "tests/fuzz/fuzz.h"

#define STEPS 24

static void walk(const struct grammar *g, const uint8_t *data, size_t n)
{
    struct matcher *m;
    struct err err = {0};
    if (matcher_create(g, NULL, &m, &err)) {
        ASSERT(err.code == ERR_INCOMPLETE);
        return;
    }
    for (int i = 0; i < STEPS && !matcher_must_end(m); i++) {
        uint32_t least = matcher_least(m);
        ASSERT((least == 0) == matcher_can_end(m));
        int rc = 0;
        for (int k = 0; k < 256 && rc == 0; k++) {
            rc = matcher_byte(m, (unsigned char)(data[(size_t)i % n] + k), &err);
            ASSERT(rc != 0 || matcher_least(m) == least);
        }
        ASSERT(rc == 1 || rc == ERR_INCOMPLETE); /* where it does not end, something goes on */
        if (rc < 0)
            break;
    }
    matcher_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct grammar *g;
    struct err err = {0};
    int rc = grammar_parse((const char *)data, n, &g, &err);
    ASSERT(rc == 0 || (rc == ERR_INPUT && (strncmp(err.msg, "line ", 5) == 0 || n > 1000000)));
    if (!rc) {
        walk(g, data, n);
        grammar_free(g);
    }
    return 0;
}
