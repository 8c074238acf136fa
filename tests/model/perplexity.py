#!/usr/bin/env python3
"""Perplexity of a model by hadal and by llama.cpp, on the same chunks of the same text: `make perplexity`, or

    PEER tests/model/perplexity.py HADAL MODEL [--text FILE] [--chunks 32] [--ctx 512] [--within 0.003]

PEER is a python3 that has llama-cpp-python. Without --text the text is this project's own documents and some of its source. Prints both,
how far they are apart, and one line in cmocka's form; status 1 when that is more than --within.
"""
import argparse
import ctypes
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

SRC = pathlib.Path(__file__).resolve().parents[2]
OWN_TEXT = ["HACKING.md", "COPYING", "man/hadal.1", "model/tok_pre.c", "app/chat.c"]


class Peer:
    def __init__(self, llama_cpp, path, n_ctx, threads):
        self.l = l = llama_cpp
        self.quiet = l.llama_log_callback(lambda level, text, data: None)
        l.llama_log_set(self.quiet, ctypes.c_void_p(0))
        l.llama_backend_init()
        self.model = l.llama_model_load_from_file(path.encode(), l.llama_model_default_params())
        assert self.model, f"llama.cpp cannot load {path}"
        par = l.llama_context_default_params()
        par.n_ctx = par.n_batch = n_ctx
        par.n_threads = par.n_threads_batch = threads
        self.ctx = l.llama_init_from_model(self.model, par)
        self.vocab = l.llama_model_get_vocab(self.model)
        self.n_vocab = l.llama_vocab_n_tokens(self.vocab)
        self.batch = l.llama_batch_init(n_ctx, 0, 1)
        self.n_ctx = n_ctx

    def tokens(self, text):
        data = text.encode()
        out = (self.l.llama_token * (len(data) + 8))()
        n = self.l.llama_tokenize(self.vocab, data, len(data), out, len(out), True, False)
        assert n > 0
        return list(out[:n])

    def chunk(self, tokens, np):
        """Sum of the negative log probabilities of what follows the positions n_ctx / 2 .. n_ctx - 2, and their number."""
        first, b = self.n_ctx // 2, self.batch
        b.n_tokens = self.n_ctx
        for i, t in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, i, 1, int(i >= first)
            b.seq_id[i][0] = 0
        self.l.llama_memory_clear(self.l.llama_get_memory(self.ctx), True)
        assert self.l.llama_decode(self.ctx, b) == 0
        nll = 0.0
        for i in range(first, self.n_ctx - 1):
            x = np.ctypeslib.as_array(self.l.llama_get_logits_ith(self.ctx, i), (self.n_vocab,)).astype(np.float64)
            nll += x.max() + math.log(np.exp(x - x.max()).sum()) - x[tokens[i + 1]]
        return nll, self.n_ctx - 1 - first

    def perplexity(self, text, chunks):
        import numpy as np
        ids = self.tokens(text)
        bos = self.l.llama_vocab_bos(self.vocab) if self.l.llama_vocab_get_add_bos(self.vocab) else None
        chunks = min(chunks, len(ids) // self.n_ctx)
        total = count = 0
        for c in range(chunks):
            part = ids[c * self.n_ctx:(c + 1) * self.n_ctx]
            if bos is not None:
                part[0] = bos
            nll, n = self.chunk(part, np)
            total, count = total + nll, count + n
        return math.exp(total / count), chunks, count, len(ids)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("hadal")
    a.add_argument("model")
    a.add_argument("--text")
    a.add_argument("--chunks", type=int, default=32)
    a.add_argument("--ctx", type=int, default=512)
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--within", type=float, default=0.003)
    o = a.parse_args()
    name = "perplexity_" + pathlib.Path(o.model).name
    try:
        import llama_cpp
    except ImportError:
        print(f"[  SKIPPED ] {name} (llama-cpp-python is not in this python: PEER names one)")
        return 0
    if not os.path.exists(o.model):
        print(f"[  SKIPPED ] {name} (not there: make models)")
        return 0
    text = pathlib.Path(o.text).read_text(errors="replace") if o.text else "\n".join((SRC / f).read_text() for f in OWN_TEXT)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write(text)
        f.flush()
        r = subprocess.run([o.hadal, "eval", "-m", o.model, "--text", f.name, "--ctx", str(o.ctx), "--chunks", str(o.chunks), "--json",
                            "--threads", str(o.threads)], stdout=subprocess.PIPE, check=True)
    ours = json.loads(r.stdout)
    theirs, chunks, count, n_text = Peer(llama_cpp, o.model, o.ctx, o.threads).perplexity(text, o.chunks)
    same_text = (chunks, count, n_text) == (ours["chunks"], ours["scored"], ours["text_tokens"])
    apart = ours["perplexity"] / theirs - 1
    print(f"{name}: hadal {ours['perplexity']:.5f} +/- {ours['perplexity_error']:.3f}, llama.cpp {theirs:.5f}, {100 * apart:+.4f} %, "
          f"{ours['chunks']} chunks, {ours['scored']} tokens")
    if not same_text:
        print(f"the texts were cut differently: {(chunks, count, n_text)} and {(ours['chunks'], ours['scored'], ours['text_tokens'])}")
    good = same_text and abs(apart) <= o.within
    print(f"[       OK ] {name}" if good else f"[  FAILED  ] {name}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
