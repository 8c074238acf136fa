#!/usr/bin/env python3
"""Writes archs.json: what the authors' code (transformers, float64) computes for the nets of t_arch.c.

    t_arch --write DIR && archs.py DIR > archs.json

Needs torch and transformers; made with 2.2.2 and 4.57.1. Tensors and keys are turned back into what the converters of
llama.cpp make them from: q and k rows of the interleaved architectures, the 1 that is added to Gemma's norms, stacked experts.
"""
import json
import os
import struct
import sys

import torch
import transformers as T

FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def read_gguf(path):
    data = open(path, "rb").read()
    at = 8

    def num(fmt):
        nonlocal at
        v = struct.unpack_from("<" + fmt, data, at)[0]
        at += struct.calcsize("<" + fmt)
        return v

    def text():
        nonlocal at
        n = num("Q")
        at += n
        return data[at - n:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, n = num("I"), num("Q")
            return [value(kind) for _ in range(n)]
        return num(FORMATS[kind])

    n_tensors, n_keys = num("Q"), num("Q")
    keys, infos, tensors = {}, [], {}
    for _ in range(n_keys):
        name = text()
        keys[name] = value(num("I"))
    for _ in range(n_tensors):
        name = text()
        dims = [num("Q") for _ in range(num("I"))]
        num("I")
        infos.append((name, dims[::-1], num("Q")))
    start = (at + 31) // 32 * 32
    for name, shape, offset in infos:
        count = 1
        for d in shape:
            count *= d
        values = torch.frombuffer(bytearray(data[start + offset:start + offset + 4 * count]), dtype=torch.float32)
        tensors[name] = values.reshape(shape).double()
    return keys, tensors


class Net:
    def __init__(self, path):
        self.keys, self.t = read_gguf(path)
        self.arch = self.keys["general.architecture"]
        self.used = set()

    def key(self, name, default=None):
        return self.keys.get(self.arch + "." + name, default)

    def get(self, name):
        self.used.add(name)
        return self.t[name]

    def config(self, **more):
        c = dict(hidden_size=64, vocab_size=64, num_hidden_layers=self.key("block_count"), num_attention_heads=4, num_key_value_heads=2,
                 intermediate_size=self.key("feed_forward_length", self.key("expert_feed_forward_length")), max_position_embeddings=64,
                 rms_norm_eps=1e-5, rope_theta=self.key("rope.freq_base", 10000.0), tie_word_embeddings="output.weight" not in self.t,
                 head_dim=16, pad_token_id=None, bos_token_id=None, eos_token_id=None, attn_implementation="eager")
        c.update(more)
        return c


def unpermute(w, heads):
    """Rows (heads, d/2, 2) back to (heads, 2, d/2)."""
    return w.reshape(heads, -1, 2, w.shape[-1]).transpose(1, 2).reshape(w.shape)


def attention(net, out, i, interleaved=False):
    """The four projections and their biases."""
    for g, h in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_output", "o_proj")):
        w = net.get(f"blk.{i}.{g}.weight")
        if interleaved and g in ("attn_q", "attn_k"):
            w = unpermute(w, 4 if g == "attn_q" else 2)
        out[f"model.layers.{i}.self_attn.{h}.weight"] = w
        if f"blk.{i}.{g}.bias" in net.t:
            out[f"model.layers.{i}.self_attn.{h}.bias"] = net.get(f"blk.{i}.{g}.bias")


def build(net, cls, config, rename, interleaved=False, norm_less=0.0, experts=None):
    """A model of class `cls`; rename: names in a block of the file to names in a layer of the model."""
    out = {"model.embed_tokens.weight": net.get("token_embd.weight"), "model.norm.weight": net.get("output_norm.weight") - norm_less}
    out["lm_head.weight"] = net.get("output.weight") if "output.weight" in net.t else out["model.embed_tokens.weight"]
    for i in range(net.key("block_count")):
        if f"blk.{i}.attn_q.weight" in net.t:
            attention(net, out, i, interleaved)
        for g, h in rename.items():
            w = net.get(f"blk.{i}.{g}")
            out[f"model.layers.{i}.{h}"] = w - norm_less if "norm" in g else w
        if experts:
            experts(net, out, i)
    model = cls(config).double().eval()
    missing, unexpected = model.load_state_dict(out, strict=False)
    assert not unexpected, unexpected
    assert not missing, missing
    return model


LLAMA = {"attn_norm.weight": "input_layernorm.weight", "ffn_norm.weight": "post_attention_layernorm.weight"}
FFN = {"ffn_gate.weight": "mlp.gate_proj.weight", "ffn_up.weight": "mlp.up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight"}


def gemma(net):
    return build(net, T.GemmaForCausalLM, T.GemmaConfig(**net.config(hidden_activation="gelu_pytorch_tanh")), LLAMA | FFN, norm_less=1.0)


def gemma2(net):
    c = T.Gemma2Config(**net.config(hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=16, sliding_window=7, attn_logit_softcapping=3.0,
                                    final_logit_softcapping=5.0))
    names = FFN | {"attn_norm.weight": "input_layernorm.weight", "post_attention_norm.weight": "post_attention_layernorm.weight",
                   "ffn_norm.weight": "pre_feedforward_layernorm.weight", "post_ffw_norm.weight": "post_feedforward_layernorm.weight"}
    return build(net, T.Gemma2ForCausalLM, c, names, norm_less=1.0)


OLMO = FFN | {"attn_q_norm.weight": "self_attn.q_norm.weight", "attn_k_norm.weight": "self_attn.k_norm.weight",
              "post_attention_norm.weight": "post_attention_layernorm.weight", "post_ffw_norm.weight": "post_feedforward_layernorm.weight"}


def olmo2(net):
    return build(net, T.Olmo2ForCausalLM, T.Olmo2Config(**net.config()), OLMO)


def olmo3(net):
    c = T.Olmo3Config(**net.config(sliding_window=7, layer_types=[("full" if (i + 1) % 4 == 0 else "sliding") + "_attention" for i in range(5)],
                                   rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)))
    return build(net, T.Olmo3ForCausalLM, c, OLMO)


def granite_scales(net):
    return dict(embedding_multiplier=net.key("embedding_scale"), residual_multiplier=net.key("residual_scale"), logits_scaling=net.key("logit_scale"),
                attention_multiplier=net.key("attention.scale"))


def granite(net):
    return build(net, T.GraniteForCausalLM, T.GraniteConfig(**net.config(**granite_scales(net))), LLAMA | FFN, interleaved=True)


def granitemoe(net):
    def experts(net, out, i):
        m = f"model.layers.{i}.block_sparse_moe."
        out[m + "router.layer.weight"] = net.get(f"blk.{i}.ffn_gate_inp.weight")
        out[m + "input_linear.weight"] = torch.cat([net.get(f"blk.{i}.ffn_gate_exps.weight"), net.get(f"blk.{i}.ffn_up_exps.weight")], 1)
        out[m + "output_linear.weight"] = net.get(f"blk.{i}.ffn_down_exps.weight")
    c = T.GraniteMoeConfig(**net.config(num_local_experts=8, num_experts_per_tok=3, **granite_scales(net)))
    return build(net, T.GraniteMoeForCausalLM, c, LLAMA, interleaved=True, experts=experts)


def glm4(net):
    names = {"attn_norm.weight": "input_layernorm.weight", "post_attention_norm.weight": "post_self_attn_layernorm.weight",
             "ffn_norm.weight": "post_attention_layernorm.weight", "post_ffw_norm.weight": "post_mlp_layernorm.weight",
             "ffn_up.weight": "mlp.gate_up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight"}
    return build(net, T.Glm4ForCausalLM, T.Glm4Config(**net.config(partial_rotary_factor=0.5, attention_bias=True)), names)


def smollm3(net):
    return build(net, T.SmolLM3ForCausalLM, T.SmolLM3Config(**net.config(no_rope_layer_interval=4, use_sliding_window=False)), LLAMA | FFN, interleaved=True)


def mixtral(net):
    def experts(net, out, i):
        m = f"model.layers.{i}.block_sparse_moe."
        out[m + "gate.weight"] = net.get(f"blk.{i}.ffn_gate_inp.weight")
        for g, h in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
            for e, w in enumerate(net.get(f"blk.{i}.ffn_{g}_exps.weight")):
                out[m + f"experts.{e}.{h}.weight"] = w
    c = T.MixtralConfig(**net.config(num_local_experts=8, num_experts_per_tok=3, sliding_window=None))
    return build(net, T.MixtralForCausalLM, c, LLAMA, interleaved=True, experts=experts)


def mistral(net):
    return build(net, T.MistralForCausalLM, T.MistralConfig(**net.config(sliding_window=7)), LLAMA | FFN, interleaved=True)


def qwen2moe(net):
    def experts(net, out, i):
        m = f"model.layers.{i}.mlp."
        out[m + "gate.weight"] = net.get(f"blk.{i}.ffn_gate_inp.weight")
        out[m + "shared_expert_gate.weight"] = net.get(f"blk.{i}.ffn_gate_inp_shexp.weight").reshape(1, -1)
        for g in ("gate", "up", "down"):
            out[m + f"shared_expert.{g}_proj.weight"] = net.get(f"blk.{i}.ffn_{g}_shexp.weight")
            for e, w in enumerate(net.get(f"blk.{i}.ffn_{g}_exps.weight")):
                out[m + f"experts.{e}.{g}_proj.weight"] = w
    c = T.Qwen2MoeConfig(**net.config(num_experts=8, num_experts_per_tok=3, moe_intermediate_size=32, shared_expert_intermediate_size=96,
                                      norm_topk_prob=False))
    return build(net, T.Qwen2MoeForCausalLM, c, LLAMA, experts=experts)


class DeepseekMoe(torch.nn.Module):
    """DeepSeek's first mixture, which transformers has not: softmax, the weights of the best as they are, shared experts without a gate."""

    def __init__(self, net, i):
        super().__init__()
        self.router = net.get(f"blk.{i}.ffn_gate_inp.weight")
        self.scale = net.key("expert_weights_scale")
        self.w = [net.get(f"blk.{i}.ffn_{g}_exps.weight") for g in ("gate", "up", "down")]
        self.shared = [net.get(f"blk.{i}.ffn_{g}_shexp.weight") for g in ("gate", "up", "down")]

    @staticmethod
    def swiglu(x, gate, up, down):
        return down @ (torch.nn.functional.silu(gate @ x) * (up @ x))

    def forward(self, x):
        out = torch.empty_like(x)
        for b, t in torch.cartesian_prod(*map(torch.arange, x.shape[:2])):
            n = x[b, t]
            p = (self.router @ n).softmax(-1)
            y = self.swiglu(n, *self.shared)
            for e in p.topk(3).indices:
                y = y + self.scale * p[e] * self.swiglu(n, *(w[e] for w in self.w))
            out[b, t] = y
        return out


def deepseek(net):
    first = {g: h for g, h in (LLAMA | FFN).items()}
    net.keys["deepseek.block_count"] = 1
    one = build(net, T.LlamaForCausalLM, T.LlamaConfig(**net.config()), first, interleaved=True)
    net.keys["deepseek.block_count"] = 3
    model = T.LlamaForCausalLM(T.LlamaConfig(**net.config())).double().eval()
    state = dict(one.state_dict())
    for i in (1, 2):
        attention(net, state, i, interleaved=True)
        for g, h in LLAMA.items():
            state[f"model.layers.{i}.{h}"] = net.get(f"blk.{i}.{g}")
        model.model.layers[i].mlp = DeepseekMoe(net, i)
    model.load_state_dict(state)
    for g in ("gate_inp", "gate_exps", "up_exps", "down_exps", "gate_shexp", "up_shexp", "down_shexp"):
        net.used.add(f"blk.0.ffn_{g}.weight")
    return model


def gpt_oss(net):
    def experts(net, out, i):
        m = f"model.layers.{i}.mlp."

        def both(gate, up):  # gate and up take turns
            return torch.stack([gate, up], -1).flatten(-2)
        out[m + "router.weight"] = net.get(f"blk.{i}.ffn_gate_inp.weight")
        out[m + "router.bias"] = net.get(f"blk.{i}.ffn_gate_inp.bias")
        out[m + "experts.gate_up_proj"] = both(*(net.get(f"blk.{i}.ffn_{g}_exps.weight").transpose(1, 2) for g in ("gate", "up")))
        out[m + "experts.gate_up_proj_bias"] = both(*(net.get(f"blk.{i}.ffn_{g}_exps.bias") for g in ("gate", "up")))
        out[m + "experts.down_proj"] = net.get(f"blk.{i}.ffn_down_exps.weight").transpose(1, 2)
        out[m + "experts.down_proj_bias"] = net.get(f"blk.{i}.ffn_down_exps.bias")
    c = T.GptOssConfig(**net.config(num_local_experts=8, num_experts_per_tok=3, sliding_window=7, rope_scaling=dict(
        rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False, original_max_position_embeddings=4096)))
    names = {"attn_norm.weight": "input_layernorm.weight", "post_attention_norm.weight": "post_attention_layernorm.weight",
             "attn_sinks.weight": "self_attn.sinks"}
    return build(net, T.GptOssForCausalLM, c, names, experts=experts)


def phi3(net):
    c = T.Phi3Config(**net.config(partial_rotary_factor=0.75, original_max_position_embeddings=net.key("rope.scaling.original_context_length"),
                                  rope_scaling=dict(type="longrope", short_factor=net.get("rope_factors_short.weight").tolist(),
                                                    long_factor=net.get("rope_factors_long.weight").tolist()), sliding_window=None))
    names = LLAMA | {"attn_qkv.weight": "self_attn.qkv_proj.weight", "attn_output.weight": "self_attn.o_proj.weight",
                     "ffn_up.weight": "mlp.gate_up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight"}
    return build(net, T.Phi3ForCausalLM, c, names)


NETS = {"gemma": gemma, "gemma2": gemma2, "olmo2": olmo2, "olmo3": olmo3, "granite": granite, "granitemoe": granitemoe, "glm4": glm4,
        "smollm3": smollm3, "mixtral": mixtral, "mistral": mistral, "qwen2moe": qwen2moe, "deepseek": deepseek, "gpt-oss": gpt_oss, "phi3-short": phi3, "phi3-long": phi3}


def main():
    torch.set_default_dtype(torch.float64)
    tokens = [(i * i * 7 + i * 3 + 11) % 64 for i in range(40)]
    lines = []
    for name, make in NETS.items():
        net = Net(os.path.join(sys.argv[1], name + ".gguf"))
        model = make(net)
        unused = set(net.t) - net.used
        assert not unused, unused
        with torch.no_grad():
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        rows = {str(p): [float("%.7g" % v) for v in logits[p]] for p in (5, 19, 39)}
        n_ctx = 40 if name == "phi3-short" else 64
        lines.append('"%s": %s' % (name, json.dumps(dict(tokens=tokens, n_ctx=n_ctx, rows=rows))))
        print(name, "done, largest logit", float(logits.abs().max()), file=sys.stderr)
    print("{\n" + ",\n".join(lines) + "\n}")


main()
