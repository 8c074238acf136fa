#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H
/*
 * A model: file, hyperparameters, weights in a backend, tokenizer; and a session: one token timeline over KV pages.
 * All calls from one thread (the generation thread). Nothing here knows of screens, databases or JSON.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kernels/backend.h"
#include "model/gguf.h"
#include "model/tok.h"

struct model;

struct model_conf {
    int n_threads;        /* 0: one per core the process may use */
    bk_progress progress; /* of loading, bytes; may be NULL */
    void *arg;
    int n_ctx;            /* the context that will be wanted, 0: as session_create; together they must fit */
};

int model_open(const char *path, const struct model_conf *conf, struct model **out, struct err *err);
void model_close(struct model *m);

/* Whether model_open would take the file, as far as can be told without its weights: kind, architecture, tokenizer, tensor types. */
int model_check(const struct gguf *g, struct err *err);
/* Bytes of a cache of n_ctx positions (what session_create will take), from the header alone. */
int model_kv_bytes(const struct gguf *g, int n_ctx, enum bk_kv_type kv, uint64_t *out, struct err *err);

#define MODEL_TYPES 64
#define MODEL_MAX_BATCH 512    /* tokens that are read at once */
#define MODEL_DEFAULT_CTX 4096 /* at most, where no one asks for another context */

/* What a model takes in memory with a context of n_ctx (f16), and what is free. */
struct model_need {
    int n_ctx, n_threads, n_layer;
    uint64_t weights, kv, buffers, total, free;
    bool fits;
    uint64_t token_bytes[MODEL_TYPES]; /* of weights that one token reads, by type */
};
/* From the header alone; no weights are read. n_ctx 0: as session_create; n_threads 0: all cores. */
int model_need(const struct gguf *g, int n_ctx, int n_threads, struct model_need *out, struct err *err);
/* The longest context, below the one of `n`, with which it would fit; 0: none of at least 256. */
int model_fitting_ctx(const struct gguf *g, const struct model_need *n);
/* ERR_NOMODEL with all the numbers, and what to choose instead. */
int model_refuse(const struct gguf *g, const struct model_need *n, struct err *err);
/* Tokens a second that it will write, short contexts; measures how fast weights can be read (some 100 ms; once a type in a run). 0: unknown. */
double model_speed(const struct model_need *n);
int model_cores(void); /* that this process may use */

/* Bytes of memory that can still be had: the least of MemAvailable, the control group's limit, and RLIMIT_AS. */
uint64_t ram_free(void);
/* "1.9 GB" */
const char *ram_text(uint64_t bytes, char out[24]);

/* What a person wants to know of a model. Strings are valid UTF-8 (repaired), owned by the model. */
struct model_info {
    const char *name;        /* general.name or the file's */
    const char *path;
    const char *arch;
    const char *quant;       /* of most weights by bytes: "Q4_1" */
    char fingerprint[33];    /* hex; of header, size and a sample of the data */
    char template_sha[65];   /* hex SHA-256 or XXH128 of the template's text; "" when none */
    uint64_t file_bytes, n_params;
    int n_ctx_train, n_layer, n_embd, n_vocab;
    const char *backend;     /* "cpu" */
    const char *backend_text; /* describe() */
};
const struct model_info *model_info(const struct model *m);
const struct tok *model_tok(const struct model *m);
const struct gguf *model_gguf(const struct model *m);
/* tokenizer.chat_template, or an empty string. */
struct gguf_str model_template(const struct model *m);

struct session;
struct session_conf {
    int n_ctx;              /* 0: min(training context, 4096) */
    enum bk_kv_type kv;
};

/* Progress of reading a prompt: positions; false stops with ERR_CANCELLED (what was read stays). Called between layers too
 * (done unchanged), at least every 50 ms. */
typedef bool (*session_progress)(void *arg, int done, int total);

/* ERR_NOMODEL when the memory for the cache is not there (both numbers in the message). */
int session_create(struct model *m, const struct session_conf *conf, struct session **out, struct err *err);
void session_destroy(struct session *s);
int session_ctx(const struct session *s);
int session_len(const struct session *s);
const int32_t *session_tokens(const struct session *s);
/*
 * Makes the timeline equal to tokens[0..n): keeps the longest common prefix, forgets the rest, reads what is missing.
 * *reused gets the positions that were kept. n >= 1; the last position is always computed, so logits are there.
 * ERR_TOOLONG with both numbers when n > n_ctx: nothing changes.
 */
int session_sync(struct session *s, const int32_t *tokens, int n, int *reused, session_progress progress, void *arg,
                 struct err *err);
/* Appends one token. ERR_TOOLONG when the context is full. */
int session_step(struct session *s, int32_t token, session_progress progress, void *arg, struct err *err);
/* Forgets positions n and later; logits are gone until the next sync or step. */
void session_rewind(struct session *s, int n);
/* n_vocab logits of the last position; borrowed until the next call. */
const float *session_logits(const struct session *s);
/* Appends tokens in chunks of `chunk` and hands the logits of every position to row(); for `hadal logits` and tests. */
int session_eval(struct session *s, const int32_t *tokens, int n, int chunk, void (*row)(void *arg, int pos, const float *logits),
                 void *arg, struct err *err);
/* Bytes of the KV cache. */
uint64_t session_kv_bytes(const struct session *s);

#endif
