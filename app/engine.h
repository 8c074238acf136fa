#ifndef APP_ENGINE_H
#define APP_ENGINE_H
/*
 * Engines, as the face sees them: submit a job, cancel it, collect events. Every accepted job ends in exactly one of
 * EV_DONE, EV_CANCELLED, EV_ERROR, and nothing follows it. Nothing here blocks. Implementations: the engine process
 * (this binary with --engine-fd N) and the scripted engine of the tests (HADAL_ENGINE=script:FILE).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/sampler.h"

struct engine;

struct job_msg {
    int role;    /* enum hist_role values: 0 system, 1 user, 2 assistant */
    char *text;  /* owned by the job */
    size_t n;
};

/* One turn. Owns all it needs. */
struct job {
    uint64_t id;         /* set by engine_submit */
    char *model_path;
    char *tmpl;          /* NULL: the model's own; "chatml"; or the text of a template */
    int n_ctx, n_threads;
    struct job_msg *msgs;
    size_t n_msgs;
    struct sampler_conf sampler; /* the seed is set */
    unsigned given;      /* bit 1 << enum sampler_key: the model's file does not change it */
    char *logit_bias, *dry_breakers; /* as the options; NULL: none; the usual ones */
    char *grammar;       /* GBNF, or NULL */
    int max_tokens;      /* 0: no limit but the context */
    bool prompt_only;    /* only render and tokenize: EV_PROMPT, then EV_DONE (/raw) */
};
struct job *job_new(void);
void job_add(struct job *j, int role, const char *text, size_t n); /* copies */
void job_free(struct job *j);

enum ev_kind { EV_MODEL, EV_LOAD, EV_PREFILL, EV_TEXT, EV_THOUGHT, EV_PROMPT, EV_DONE, EV_CANCELLED, EV_ERROR };

struct gen_stats {
    int n_prompt, n_cached, n_out, n_ctx, n_used; /* tokens; n_out: thoughts too; n_used: positions of the context in use */
    int n_reason;                                 /* of n_out: thoughts */
    double load_ms, prefill_ms, ttft_ms, decode_ms; /* ttft: from the job's arrival to the first text */
};

struct event {
    enum ev_kind kind;
    uint64_t job;
    /* EV_MODEL, once per job: behind EV_LOAD, before anything else of it */
    char *name, *fingerprint, *arch, *quant, *backend, *template_sha, *engine; /* engine: "hadal 0.1 AVX-512" */
    int n_ctx_train, n_ctx; /* n_ctx: positions that this job may use */
    struct sampler_conf sampler; /* as it is used, with what the model's file recommends */
    /* EV_LOAD bytes; EV_PREFILL tokens; EV_TEXT, EV_THOUGHT: tokens of the answer so far, positions of the context in use */
    uint64_t done, total;
    int reused;
    /* EV_TEXT, EV_THOUGHT: whole UTF-8 sequences (bad bytes unchanged); EV_PROMPT: the rendered prompt */
    char *text;
    size_t n;
    /* EV_DONE, EV_CANCELLED, EV_ERROR */
    char stop[16];       /* "eog", "length", "context", "cancelled", "error" */
    struct gen_stats stats;
    struct err err;      /* EV_ERROR; err.code ERR_TOOLONG, ERR_FORMAT, ... ; engine died: ERR_IO, died set */
    bool died;
    struct event *next;
};
void event_free(struct event *e); /* one */

/* Chooses by HADAL_ENGINE. Starts nothing yet: the process is made by the first submit and again after it died. */
int engine_create(struct engine **out, struct err *err);
/* Asks the process to leave, waits up to 2 s, then kills it. NULL is fine. */
void engine_destroy(struct engine *e);
/* To poll for reading; -1 while no process runs. */
int engine_fd(const struct engine *e);
/* For poll: milliseconds until engine_poll should be called even without input (scripted engine); -1: no need. */
int engine_timeout_ms(const struct engine *e);
/* Moves the job in (also on failure: freed). One at a time: ERR_USAGE while one runs. */
int engine_submit(struct engine *e, struct job *j, struct err *err);
bool engine_busy(const struct engine *e);
void engine_cancel(struct engine *e); /* the running job; more calls do nothing */
/* What has come since the last call: a list, oldest first; NULL: nothing. Owned by the caller. Notices a dead process. */
struct event *engine_poll(struct engine *e);
int engine_pid(const struct engine *e); /* -1: none */

#endif
