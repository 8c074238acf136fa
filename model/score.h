#ifndef MODEL_SCORE_H
#define MODEL_SCORE_H
/*
 * How well a model foretells a text. Perplexity is defined as llama-perplexity does: the text's tokens are cut into chunks of n_ctx, each
 * read by itself (where the tokenizer asks for BOS it stands in front of the text, and in place of the first token of each chunk); what
 * follows the positions n_ctx / 2 .. n_ctx - 2 of a chunk is scored. What is left over behind the last whole chunk is not read.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/model.h"

struct score_conf {
    int n_ctx;          /* tokens of a chunk, at least 4 */
    int n_chunks;       /* at most so many; 0: all */
    enum bk_kv_type kv;
    /* Chunks that are done and the perplexity so far, also while a chunk is read; false stops with ERR_CANCELLED. May be NULL. */
    bool (*progress)(void *arg, int done, int total, double ppl);
    void *arg;
};

struct score_mean {
    double mean, error; /* the standard error of the mean */
};

struct score {
    size_t n_text;         /* tokens of the text */
    int n_chunks;
    size_t n;              /* tokens that were scored */
    struct score_mean nll; /* natural log */
    double ppl, ppl_error;
    /* Against another model (n_ref 0: there was none). KL: of the reference from this model, in nats. */
    size_t n_ref;
    struct score_mean ref_nll, nll_more; /* nll_more: of this model's less the reference's */
    struct score_mean kl;
    double kl_max, kl_median, kl_90, kl_99, kl_999; /* shares in percent: 90, 99, 99.9 */
    struct score_mean same_top;          /* share of positions at which both have the same likeliest token */
};

/* The text's tokens as they are cut into chunks. */
void score_tokens(const struct model *m, const char *text, size_t n, struct tok_ids *out);
/* ref may be NULL. ERR_INPUT: the text is shorter than a chunk; the models have not the same tokens. */
int score_text(struct model *m, struct model *ref, const char *text, size_t n, const struct score_conf *conf, struct score *out, struct err *err);

/* The natural log of the sum of exp(x), in double. */
double score_logsumexp(const float *x, int n);
/* KL(p || q) in nats of the distributions that these logits give. */
double score_kl(const float *p, const float *q, int n);

#endif
