/*
 * Jobs and events as values.
 */
#include "config.h"

#include <stdlib.h>

#include "app/engine_impl.h"
#include "base/mem.h"

struct job *job_new(void)
{
    return mem_zalloc(sizeof(struct job));
}

void job_add(struct job *j, int role, const char *text, size_t n)
{
    /* grows at powers of two */
    if ((j->n_msgs & (j->n_msgs - 1)) == 0)
        j->msgs = mem_grow(j->msgs, j->n_msgs ? j->n_msgs * 2 : 1, sizeof *j->msgs);
    j->msgs[j->n_msgs++] = (struct job_msg){role, mem_strndup(text, n), n};
}

void job_free(struct job *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->n_msgs; i++)
        free(j->msgs[i].text);
    free(j->msgs);
    free(j->model_path);
    free(j->tmpl);
    free(j->logit_bias);
    free(j->dry_breakers);
    free(j->grammar);
    free(j);
}

struct event *event_new(enum ev_kind kind, uint64_t job)
{
    struct event *e = mem_zalloc(sizeof *e);
    e->kind = kind;
    e->job = job;
    return e;
}

void event_free(struct event *e)
{
    if (!e)
        return;
    free(e->name);
    free(e->fingerprint);
    free(e->arch);
    free(e->quant);
    free(e->backend);
    free(e->template_sha);
    free(e->engine);
    free(e->text);
    free(e);
}
