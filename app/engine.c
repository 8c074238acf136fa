/*
 * Engines: the choice of the implementation, and the promises that hold for all of them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/engine_impl.h"

#define MAX_ANSWER (64u << 20) /* bytes of one answer, thoughts included */

int engine_create(struct engine **out, struct err *err)
{
    const char *which = getenv("HADAL_ENGINE");
    if (!which || !*which)
        return engine_proc_create(out, err);
    if (strncmp(which, "script:", 7) == 0 && which[7])
        return engine_script_create(which + 7, out, err);
    return err_set(err, ERR_USAGE, "HADAL_ENGINE is \"%s\"; it can be script:FILE", which);
}

void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    struct event *ev = e->first;
    while (ev) {
        struct event *next = ev->next;
        event_free(ev);
        ev = next;
    }
    e->ops->destroy(e);
}

int engine_fd(const struct engine *e)
{
    return e->ops->fd(e);
}

int engine_timeout_ms(const struct engine *e)
{
    return e->first ? 0 : e->ops->timeout_ms(e);
}

int engine_pid(const struct engine *e)
{
    return e->ops->pid(e);
}

int engine_submit(struct engine *e, struct job *j, struct err *err)
{
    if (e->busy) {
        job_free(j);
        return err_set(err, ERR_USAGE, "the engine is busy: one answer at a time");
    }
    j->id = ++e->last_job;
    e->cancelled = false;
    e->text_bytes = 0;
    e->seen = (struct gen_stats){0};
    int rc = e->ops->submit(e, j, err);
    e->busy = rc == 0;
    return rc;
}

bool engine_busy(const struct engine *e)
{
    return e->busy;
}

void engine_cancel(struct engine *e)
{
    if (!e->busy || e->cancelled)
        return;
    e->cancelled = true;
    e->ops->cancel(e);
}

static void look(struct gen_stats *seen, const struct event *ev)
{
    if (ev->kind == EV_MODEL) {
        seen->n_ctx = ev->n_ctx;
    } else if (ev->kind == EV_PREFILL) {
        seen->n_prompt = ev->total < INT32_MAX ? (int)ev->total : INT32_MAX;
        seen->n_cached = ev->reused;
    } else if (ev->kind == EV_TEXT || ev->kind == EV_THOUGHT) {
        seen->n_out = ev->done < INT32_MAX ? (int)ev->done : INT32_MAX;
        seen->n_used = ev->total < INT32_MAX ? (int)ev->total : INT32_MAX;
    }
}

bool engine_emit(struct engine *e, struct event *ev)
{
    bool ours = e->busy && ev->job == e->last_job, old = ev->job <= e->last_job;
    bool text = ev->kind == EV_TEXT || ev->kind == EV_THOUGHT, endless = text && ev->n > MAX_ANSWER - e->text_bytes;
    if (!ours || endless) {
        event_free(ev);
        return old && !endless;
    }
    e->text_bytes += text ? ev->n : 0;
    look(&e->seen, ev);
    if (ev->kind >= EV_DONE)
        e->busy = false;
    if (!e->first)
        e->end = &e->first;
    ev->next = NULL;
    *e->end = ev;
    e->end = &ev->next;
    return true;
}

void engine_emit_death(struct engine *e, const char *text)
{
    if (!e->busy)
        return;
    struct event *ev = event_new(e->cancelled ? EV_CANCELLED : EV_ERROR, e->last_job);
    ev->stats = e->seen;
    ev->died = !e->cancelled;
    snprintf(ev->stop, sizeof ev->stop, "%s", e->cancelled ? "cancelled" : "error");
    if (!e->cancelled)
        err_set(&ev->err, ERR_IO, "%s", text);
    engine_emit(e, ev);
}

struct event *engine_poll(struct engine *e)
{
    e->ops->work(e);
    struct event *list = e->first;
    e->first = NULL;
    return list;
}
