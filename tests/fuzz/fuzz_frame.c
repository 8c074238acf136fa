/*
 * Fuzz target: bytes as what the other process sent. The first byte says how the stream is cut into reads. Each frame that is accepted
 * must give a job, a cancellation or an event that is written as the same bytes again; a refusal must say why.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "app/frame.h"
#include "base/err.h"
#include "tests/fuzz/fuzz.h"

static void same(const struct frame *f, struct buf *b)
{
    ASSERT(!buf_over(b) && b->len == f->n + 8 && memcmp(b->data + 8, f->data, f->n) == 0);
}

/* False: the stream ends here. */
static bool one(const struct frame *f)
{
    struct buf b = BUF_INIT(FRAME_MAX);
    struct err err = {0};
    struct job *j;
    struct event *e;
    uint64_t id;
    int rc = 0;
    if (f->type == FRAME_JOB && (rc = frame_job(f, &j, &err)) == 0) {
        frame_put_job(&b, j);
        job_free(j);
    } else if (f->type == FRAME_CANCEL && (rc = frame_cancel(f, &id, &err)) == 0) {
        frame_put_cancel(&b, id);
    } else if (f->type == FRAME_EVENT && (rc = frame_event(f, &e, &err)) == 0) {
        frame_put_event(&b, e);
        event_free(e);
    } else {
        ASSERT(rc == ERR_IO && err.code == ERR_IO && err.msg[0]);
        return false;
    }
    same(f, &b);
    buf_finish(&b);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct frame_in in;
    struct frame f;
    struct err err = {0};
    if (n < 1)
        return 0;
    size_t step = data[0] ? data[0] : n;
    frame_in_init(&in);
    int rc = 0;
    for (size_t i = 1; i < n && rc == 0; i += step) {
        size_t k = n - i < step ? n - i : step;
        buf_drop(&in.b, in.at);
        in.at = 0;
        buf_add(&in.b, data + i, k);
        while ((rc = frame_take(&in, &f, &err)) > 0)
            if (!one(&f)) {
                rc = ERR_IO;
                break;
            }
    }
    frame_in_finish(&in);
    return 0;
}
