/*
 * Fuzz target: bytes as what a terminal sends. The first byte says how the stream is cut into reads, the second how much time passes
 * between them. Every event is well formed, and after a second of silence nothing waits but an unfinished paste.
 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "ui/input.h"

static void drain(struct input *in, int64_t now)
{
    struct input_event e;
    while (input_next(in, &e, now)) {
        ASSERT(e.kind != INPUT_KEY || (e.name[0] && utf8_valid(e.name, strlen(e.name)) && e.n_bytes <= sizeof e.bytes));
        ASSERT(e.kind != INPUT_REPLY || e.text[0] == '\x1b');
        ASSERT(e.kind != INPUT_PASTE || !e.text || e.text[e.n] == 0);
        input_event_finish(&e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t step = data[0] ? data[0] : n;
    int64_t now = 0;
    struct input *in = input_create(25);
    for (size_t i = 2; i < n; i += step) {
        now += (int64_t)data[1] * 2000;
        drain(in, now);
        input_feed(in, (const char *)data + i, n - i < step ? n - i : step, now);
        drain(in, now);
    }
    for (int i = 0; i < 8; i++)
        drain(in, now += 1000000);
    ASSERT(input_timeout_ms(in, now) == -1);
    input_destroy(in);
    return 0;
}
