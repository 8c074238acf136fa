#ifndef APP_FRAME_H
#define APP_FRAME_H
/*
 * What crosses the socket between face and engine: frames, each a header (magic, version, type, length) and a payload. Both
 * sides treat the other as hostile: every length, count and number is checked, and what is allocated is never
 * more than a small multiple of the bytes that have come. A bad frame is an error, after which the stream is of no use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/engine.h"
#include "base/buf.h"
#include "base/err.h"

#define FRAME_VERSION 3
#define FRAME_MAX (320u << 20)      /* payload of a job or a rendered prompt */
#define FRAME_MAX_SMALL (1u << 20)  /* of everything else */
#define FRAME_MAX_MESSAGES (1 << 20) /* of a job */

enum frame_type { FRAME_JOB = 1, FRAME_CANCEL, FRAME_EVENT };

struct frame {
    enum frame_type type;
    const unsigned char *data; /* payload, borrowed */
    size_t n;
};

/* Each appends one frame. Too large for a frame or for `out`: buf_over(out), nothing is appended. */
void frame_put_job(struct buf *out, const struct job *j);
void frame_put_cancel(struct buf *out, uint64_t job);
void frame_put_event(struct buf *out, const struct event *e);

/*
 * The first frame in p[0..n): 1 and *used bytes when it is whole, 0 when more bytes must come, ERR_IO when this is no frame of
 * ours (known as soon as the header is there).
 */
int frame_next(const void *p, size_t n, struct frame *f, size_t *used, struct err *err);
/* The payload as what its type says; 0, or ERR_IO with nothing made. */
int frame_job(const struct frame *f, struct job **out, struct err *err);
int frame_cancel(const struct frame *f, uint64_t *job, struct err *err);
int frame_event(const struct frame *f, struct event **out, struct err *err);

/*
 * The bytes of one direction of a socket. frame_recv reads once: bytes read, 0 at the end, -1 with errno (EAGAIN: nothing there now).
 * frame_take gives the next frame that has wholly come (as frame_next); it is borrowed until the next call.
 */
struct frame_in {
    struct buf b;
    size_t at; /* bytes of b that were taken */
};
void frame_in_init(struct frame_in *in);
void frame_in_finish(struct frame_in *in);
long frame_recv(int fd, struct frame_in *in);
int frame_take(struct frame_in *in, struct frame *f, struct err *err);
/* Append to out.b with frame_put_*. */
struct frame_out {
    struct buf b;
    size_t at; /* bytes of b that are written */
};
void frame_out_init(struct frame_out *out);
void frame_out_finish(struct frame_out *out);
/* Writes what waits: true when all is out (out is empty again); false with errno (EAGAIN: later). Never raises SIGPIPE. */
bool frame_send(int fd, struct frame_out *out);

#endif
