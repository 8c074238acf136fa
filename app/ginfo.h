#ifndef APP_GINFO_H
#define APP_GINFO_H
/*
 * What the header of a GGUF file tells of a model, also of one that this version cannot run: for `hadal info`, `models`, `doctor`.
 * Numbers that the file does not give are 0, texts NULL.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"
#include "model/model.h"

#define GINFO_TYPES 64

struct ginfo {
    char *name, *arch, *tokenizer, *pre; /* owned; repaired UTF-8, not sanitized */
    char *tmpl;                          /* owned: "smollm2", "unknown"; NULL: the file has none */
    const char *quant;                   /* the type that most bytes of matrices have; NULL: no tensors */
    struct {
        uint64_t tensors, bytes;
    } types[GINFO_TYPES]; /* by id of the type */
    uint64_t file_bytes, data_bytes, n_params, n_tensors, n_kv;
    uint64_t n_ctx_train, n_layer, n_embd, n_vocab;
    int n_ctx;             /* the context that a chat would have */
    uint64_t kv_bytes;     /* what that context takes; 0: not known for this architecture */
    struct model_need need; /* total 0: not known */
    int ctx_fits;          /* a shorter context with which it would fit; 0: none, or it fits */
    bool runs;
    struct err why_not;    /* when it does not run */
    uint64_t ram;          /* free now */
    bool fits;
};

void ginfo_read(const struct gguf *g, struct ginfo *out); /* with the context that a chat would have by itself */
void ginfo_read_ctx(const struct gguf *g, int n_ctx, int n_threads, struct ginfo *out); /* 0: as above; all cores */
/* "fits", "needs 5.0 GB, and 2.0 GB are free; --ctx 2048 would fit" */
void ginfo_fit_text(const struct ginfo *in, char *out, size_t size);
void ginfo_finish(struct ginfo *in);
/* "135 M", "7.2 B" */
void ginfo_params_text(uint64_t n, char out[24]);

#endif
