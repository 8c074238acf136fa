/*
 * The architectures that run, as a table (spec: archs). Everything that differs between decoder-only nets and that a file's
 * metadata does not tell is a column; the rest comes from the file. HACKING.md shows how to add one.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "model/impl.h"

static const struct arch table[] = {
    {.name = "llama", .rope = BK_ROPE_NORM, .gating = BK_GATE_SOFTMAX, .expert_norm = true}, /* with experts: Mixtral */
    {.name = "qwen2", .rope = BK_ROPE_NEOX, .qkv_bias = true},
    {.name = "qwen3", .rope = BK_ROPE_NEOX, .qk_norm = true},
    {.name = "qwen2moe", .rope = BK_ROPE_NEOX, .qkv_bias = true, .gating = BK_GATE_SOFTMAX, .experts = true},
    {.name = "qwen3moe", .rope = BK_ROPE_NEOX, .qk_norm = true, .gating = BK_GATE_SOFTMAX, .experts = true, .expert_norm = true},
    {.name = "gemma", .rope = BK_ROPE_NEOX, .act = BK_GELU_TANH, .embed_sqrt = true},
    {.name = "gemma2", .rope = BK_ROPE_NEOX, .act = BK_GELU_TANH, .embed_sqrt = true, .post_norm = true, .window = true, .full_period = 2,
     .attn_softcap = 50, .final_softcap = 30, .wide_scale_layers = 46},
    {.name = "gemma3", .rope = BK_ROPE_NEOX, .act = BK_GELU_TANH, .embed_sqrt = true, .post_norm = true, .qk_norm = true, .window = true,
     .full_period = 6, .plain_local_rope = true, .local_rope_base = 10000, .wide_scale_layers = 62},
    {.name = "phi3", .rope = BK_ROPE_NEOX, .fused_up = true},
    {.name = "deepseek", .rope = BK_ROPE_NORM, .gating = BK_GATE_SOFTMAX, .experts = true},
    {.name = "deepseek2", .rope = BK_ROPE_NORM, .gating = BK_GATE_SOFTMAX, .mla = true},
    {.name = "deepseek32", .rope = BK_ROPE_NORM, .gating = BK_GATE_SIGMOID, .mla = true, .index = true},
    {.name = "deepseek4", .rope = BK_ROPE_NORM, .gating = BK_GATE_SQRT_SOFTPLUS, .experts = true, .expert_norm = true, .csa = true, .window = true,
     .plain_local_rope = true},
    {.name = "gpt-oss", .rope = BK_ROPE_NEOX, .act = BK_SWIGLU_OAI, .act_limit = 7, .qkv_bias = true, .sinks = true, .window = true, .full_period = 2,
     .exact_yarn = true, .ffn_norm = "post_attention_norm", .gating = BK_GATE_SOFTMAX_SELECTED, .experts = true, .router_bias = true},
    {.name = "granite", .rope = BK_ROPE_NORM, .scales = true},
    {.name = "granitemoe", .rope = BK_ROPE_NORM, .scales = true, .gating = BK_GATE_SOFTMAX_SELECTED, .experts = true},
    {.name = "olmo2", .rope = BK_ROPE_NEOX, .no_pre_norm = true, .post_norm = true, .qk_norm = true, .qk_norm_wide = true, .full_period = 4,
     .plain_local_rope = true},
    {.name = "glm4", .rope = BK_ROPE_NORM, .post_norm = true, .fused_up = true},
    {.name = "smollm3", .rope = BK_ROPE_NORM, .no_rope_period = 4},
};

const struct arch *arch_find(struct gguf_str name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strlen(table[i].name) == name.n && !memcmp(table[i].name, name.s, name.n))
            return &table[i];
    return NULL;
}

const char *arch_names(char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0] && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", table[i].name);
    return out;
}
