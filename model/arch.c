/*
 * The architectures that run, as a table (spec: archs 3, 4). Everything that differs between dense decoder-only nets and
 * that a file's metadata does not tell is a column; the rest comes from the file.
 */
#include "config.h"

#include <string.h>

#include "model/impl.h"

static const struct arch table[] = {
    {.name = "llama", .rope = BK_ROPE_NORM, .act = BK_SILU},
    {.name = "qwen2", .rope = BK_ROPE_NEOX, .act = BK_SILU, .qkv_bias = true},
    {.name = "qwen3", .rope = BK_ROPE_NEOX, .act = BK_SILU, .qk_norm = true},
};

const struct arch *arch_find(struct gguf_str name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strlen(table[i].name) == name.n && !memcmp(table[i].name, name.s, name.n))
            return &table[i];
    return NULL;
}

const char *arch_names(void)
{
    return "llama, qwen2, qwen3";
}
