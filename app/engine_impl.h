#ifndef APP_ENGINE_IMPL_H
#define APP_ENGINE_IMPL_H
/*
 * What the implementations of app/engine.h share. engine.c keeps the promises to the face (one job at a time, one end for each job,
 * nothing behind it); an implementation makes events and hands them to engine_emit.
 */
#include "app/engine.h"

struct engine_ops {
    /* Moves the job in, also on failure. */
    int (*submit)(struct engine *e, struct job *j, struct err *err);
    void (*cancel)(struct engine *e);
    void (*work)(struct engine *e); /* reads, writes, looks at the clock; never blocks */
    int (*fd)(const struct engine *e);
    int (*timeout_ms)(const struct engine *e);
    int (*pid)(const struct engine *e);
    void (*destroy)(struct engine *e);
};

/* First member of every implementation. */
struct engine {
    const struct engine_ops *ops;
    uint64_t last_job;    /* id of the newest job */
    bool busy, cancelled; /* it runs; it was asked to stop */
    uint64_t text_bytes;  /* of its answer */
    struct gen_stats seen; /* what its events have told so far */
    struct event *first, **end; /* what the face has not taken yet */
};

int engine_proc_create(struct engine **out, struct err *err);
int engine_script_create(const char *file, struct engine **out, struct err *err);

/* Takes an event of the running job; anything else is dropped. False: the engine breaks the rules (a job of its own making, an endless answer). */
bool engine_emit(struct engine *e, struct event *ev);
/* Ends the running job, if any, for an engine that is gone: EV_CANCELLED when it was asked to stop, else EV_ERROR with this sentence. */
void engine_emit_death(struct engine *e, const char *text);
struct event *event_new(enum ev_kind kind, uint64_t job);

#endif
