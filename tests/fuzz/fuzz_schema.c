/* Fuzz target: bytes as a JSON schema. What comes out must be a grammar that parses and that can be begun; a refusal must say why. */
#include "config.h"

#include "app/schema.h"
#include "base/err.h"
#include "model/grammar.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf b = BUF_INIT(32u << 20);
    struct err err = {0};
    struct grammar *g;
    struct matcher *m;
    int rc = schema_to_grammar((const char *)data, n, &b, &err);
    ASSERT(rc == 0 || (rc == ERR_INPUT && err.msg[0]));
    if (!rc) {
        ASSERT(grammar_parse(buf_str(&b), b.len, &g, &err) == 0);
        if (matcher_create(g, NULL, &m, &err) == 0) {
            matcher_byte(m, '{', &err);
            matcher_destroy(m);
        }
        grammar_free(g);
    }
    buf_finish(&b);
    return 0;
}
