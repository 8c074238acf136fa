#ifndef TESTS_HISTORY_MKHIST_H
#define TESTS_HISTORY_MKHIST_H
/* The generator behind mkhist.c, for tests that make such a history by themselves. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "history/hist.h"

#define MKHIST_START INT64_C(1735689600000) /* 1 January 2025; a session each 5 hours */
#define MKHIST_WORDS 6000

static uint64_t mkhist_state;

static inline uint32_t mkhist_random(uint32_t below)
{
    mkhist_state = mkhist_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((mkhist_state >> 33) % below);
}

/* The n-th word: common ones are real, the others made of syllables. */
static inline void mkhist_word(uint32_t n, char out[24])
{
    static const char *const common[] = {"the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "as", "with", "memory", "file", "read",
                                         "this", "write", "cache", "kernel", "error", "buffer", "thread", "value", "time", "thing", "mmap"};
    static const char *const part[] = {"ka", "ro", "mi", "te", "su", "no", "la", "ve", "du", "pi", "zo", "gra", "bel", "ter", "in", "ox"};
    if (n < sizeof common / sizeof common[0]) {
        snprintf(out, 24, "%s", common[n]);
        return;
    }
    snprintf(out, 24, "%s%s%s%s", part[n % 16], part[n / 16 % 16], part[n / 256 % 16], n & 1 ? "s" : "");
}

/* Words, with frequencies falling as 1/rank: the square of an even number is near enough. */
static inline void mkhist_text(struct buf *b, uint32_t words)
{
    char word[24];
    for (uint32_t i = 0; i < words; i++) {
        uint32_t r = mkhist_random(1000), n = mkhist_random(3) ? mkhist_random(26) : r * r / 1000 * MKHIST_WORDS / 1000;
        mkhist_word(n, word);
        buf_addf(b, "%s%s", i ? (i % 17 == 16 ? ".\n" : " ") : "", word);
    }
}

static inline int mkhist_session(struct hist *h, int s, int messages, int *made, const int64_t model[3], struct err *err)
{
    char title[80], one[24], two[24];
    int64_t id, node = 0, t = MKHIST_START + (int64_t)s * 5 * 3600 * 1000;
    mkhist_word(26 + mkhist_random(5000), one);
    mkhist_word(26 + mkhist_random(5000), two);
    snprintf(title, sizeof title, s % 50 == 7 ? "日本語 %s %s" : "%s and %s", one, two);
    struct hist_session row = {.title = title, .title_src = (char *)(uintptr_t) "user", .created_ms = t, .updated_ms = t + messages * 60000,
                               .pinned = s % 400 == 3, .archived_ms = s % 100 == 9 ? t + 1 : 0};
    int rc = hist_session_put(h, &row, &id, err);
    for (int i = 0; rc == 0 && i < messages; i++) {
        struct buf b = BUF_INIT(1 << 20);
        bool user = i % 2 == 0;
        mkhist_text(&b, user ? 8 + mkhist_random(40) : 20 + mkhist_random(120));
        if (*made % 1000 == 500)
            buf_addf(&b, "\nneedle_%d is here, foo-bar-%d, what's up? 7f3c%04d-aaaa-4bbb-8ccc-0123456789ab", *made / 1000, *made / 1000, *made / 1000);
        if (*made % 5000 == 1234)
            buf_addstr(&b, "\n这里讨论全文索引的用法");
        struct hist_part part = {HIST_TEXT, b.data, b.len};
        rc = hist_node_put(h, id, node, user ? HIST_USER : HIST_ASSISTANT, HIST_FINAL, t + i * 60000, &part, 1, &node, err);
        if (rc == 0 && !user) {
            struct hist_gen g = {.model_id = model[s % 3], .seed = (uint64_t)*made, .backend = "cpu", .engine = "mkhist", .n_prompt = 400,
                                 .n_cached = 100, .n_out = 200, .prefill_ms = 300 + s % 3 * 100, .decode_ms = 10000, .ttft_ms = 400, .stop = "eog"};
            rc = hist_gen_put(h, node, &g, err);
        }
        buf_finish(&b);
        ++*made;
    }
    if (rc == 0 && s % 10 == 2)
        rc = hist_tag_add(h, id, s % 20 == 2 ? "work" : "garden", err);
    return rc == 0 ? hist_head_set(h, id, node, err) : rc;
}

static inline int mkhist(const char *path, int messages, int sessions, struct err *err)
{
    static const char *const names[] = {"qwen3-14b", "smollm2-135m", "llama-3.1-8b"};
    struct hist *h;
    int64_t model[3];
    int made = 0;
    mkhist_state = 20260101;
    int rc = hist_open(path, false, &h, err);
    if (rc != 0)
        return rc;
    rc = hist_begin(h, err);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = hist_model_put(h, &(struct hist_model){.name = names[i], .fingerprint = names[i], .arch = "llama", .quant = "Q4_K", .ctx_train = 8192},
                            &model[i], err);
    for (int s = 0; rc == 0 && s < sessions; s++)
        rc = mkhist_session(h, s, messages / sessions + (s < messages % sessions), &made, model, err);
    if (rc == 0)
        rc = hist_commit(h, err);
    else
        hist_rollback(h);
    hist_close(h);
    return rc;
}

#endif
