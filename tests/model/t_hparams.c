/*
 * Files that lie in their numbers: each hyperparameter of each kind of golden model is set to values that are too small, too large,
 * odd, or one off. The file is refused with a sentence, or it runs; it never ends the program, nor does an error of use come out,
 * which would mean that a block was built that its backend must refuse.
 */
#include "config.h"
#include "tests/t.h"

#include <stdbool.h>
#include <unistd.h>

#include "model/model.h"

static const char *const goldens[] = {"llama-tied-rope", "gemma3", "phi3", "qwen3moe", "deepseek2-v2-kvb", "deepseek3", "deepseek32", "deepseek4"};

struct place {
    long at; /* in the file */
    enum gguf_type type;
    char name[80];
};

#define MOST 120

/* The numbers of the architecture: of arrays the first two. */
static int find_places(const char *path, struct place *out)
{
    struct gguf *g;
    size_t head;
    int n = 0;
    assert_int_equal(gguf_open(path, &g, NULL), 0);
    const char *start = gguf_header(g, &head);
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        bool own = memcmp(kv->key.s, "tokenizer", 9) != 0 && memcmp(kv->key.s, "general", 7) != 0;
        if (!own || (kv->elem != GGUF_U32 && kv->elem != GGUF_I32 && kv->elem != GGUF_F32))
            continue;
        for (uint64_t k = 0; k < kv->count && k < 2; k++) {
            assert_true(n < MOST);
            out[n] = (struct place){(const char *)kv->data - start + 4 * (long)k, kv->elem, ""};
            memcpy(out[n++].name, kv->key.s, kv->key.n < 79 ? kv->key.n : 79);
        }
    }
    gguf_close(g);
    return n;
}

static void try_file(const char *path, const char *what)
{
    struct model *m = NULL;
    struct session *s = NULL;
    struct err err = {0};
    int32_t tokens[12] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
    int rc = model_open(path, &(struct model_conf){.n_threads = 1}, &m, &err);
    if (!rc)
        rc = session_create(m, &(struct session_conf){16, BK_KV_F16}, &s, &err);
    if (!rc)
        rc = session_sync(s, tokens, 12, NULL, NULL, NULL, &err);
    if (rc && rc != ERR_FORMAT && rc != ERR_NOMODEL)
        fail_msg("%s: %d %s", what, rc, err.msg);
    if (rc && (!err.msg[0] || strchr(err.msg, '\n')))
        fail_msg("%s: no sentence", what);
    session_destroy(s);
    model_close(m);
}

static void lies(void **state)
{
    static const uint32_t whole[] = {0, 1, 2, 3, 7, 16, 64, 255, 65536, 1 << 24, INT32_MAX, 0x80000000u, UINT32_MAX};
    static const float real[] = {0, -1, 1e-30f, 0.5f, 1e9f, 1e30f, 0x1p127f * 2};
    const char *golden = *state;
    char from[80], path[80], what[160];
    struct place place[MOST];
    snprintf(from, sizeof from, "goldens/%s.gguf", golden);
    snprintf(path, sizeof path, "t_hparams_%s_%d.gguf", golden, (int)getpid());
    int n = find_places(t_shared(from), place);
    FILE *in = fopen(t_shared(from), "rb"), *f = fopen(path, "wb+");
    assert_true(in && f && n > 5);
    for (int c; (c = getc(in)) != EOF;)
        putc(c, f);
    fclose(in);
    for (int i = 0; i < n; i++) {
        uint32_t old, value;
        size_t many = place[i].type == GGUF_F32 ? sizeof real / sizeof *real : sizeof whole / sizeof *whole + 2;
        assert_true(!fseek(f, place[i].at, SEEK_SET) && fread(&old, 4, 1, f) == 1);
        for (size_t k = 0; k <= many; k++) { /* the last one puts back what was there */
            value = k == many ? old : whole[k % (sizeof whole / sizeof *whole)];
            if (place[i].type == GGUF_F32 && k < many)
                memcpy(&value, &real[k], 4);
            else if (place[i].type != GGUF_F32 && k < many && k + 2 >= many)
                value = k + 1 == many ? old + 1 : old - 1;
            assert_true(!fseek(f, place[i].at, SEEK_SET) && fwrite(&value, 4, 1, f) == 1 && !fflush(f));
            snprintf(what, sizeof what, "%s: %s = 0x%08x", golden, place[i].name, value);
            if (k < many)
                try_file(path, what);
        }
    }
    fclose(f);
    unlink(path);
}

int main(void)
{
    enum { N = sizeof goldens / sizeof goldens[0] };
    struct CMUnitTest tests[N] = {{0}};
    for (int i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){goldens[i], lies, NULL, NULL, (void *)(uintptr_t)goldens[i]};
    return cmocka_run_group_tests_name("model/hparams", tests, NULL, NULL);
}
