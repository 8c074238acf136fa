"""info, models, doctor, completion, logits, bench: through the program."""
import json
import math
import os
import resource
import struct
import subprocess
import time
import p


def test_info():
    with p.Home() as h:
        r = h.json("info", "--json", p.shared("goldens/llama.gguf"))
        p.eq((r["arch"], r["runs"], r["template"], r["tokenizer"], r["pre"], r["vocabulary"]), ("llama", True, "chatml", "gpt2", "gpt-2", 320))
        p.eq((r["quant"], r["context_length"], r["memory"]["fits"]), ("F32", r["context_length"], True))
        p.eq(sum(t["bytes"] for t in r["types"]), r["memory"]["weights"])
        text = h.run("info", p.shared("goldens/llama.gguf"))
        p.eq((text.returncode, text.err), (0, ""))
        for part in ["llama, ", "F32 100.0 %", "gpt2/gpt-2, 320 tokens", "chatml", "it fits"]:
            p.has(text.out, part)
        r = h.json("info", "--json", p.shared("goldens/deepseek4.gguf"))  # an architecture that does not run yet
        p.eq((r["arch"], r["vocabulary"]), ("deepseek4", 320))
        if not r["runs"]:
            p.has(r["why_not"], "deepseek4")
            p.has(h.run("info", p.shared("goldens/deepseek4.gguf")).out, "does not run:")
        r = h.json("info", "--json", p.shared("data/vocab/ggml-vocab-qwen2.gguf"))
        p.eq((r["runs"], r["quant"], r["tensors"], r["pre"]), (False, None, 0, "qwen2"))


def test_sample():
    with p.Home() as h:
        lines = open(p.shared("data/samplers.jsonl")).read()
        r = h.run("sample", "--jsonl", input=lines)
        p.eq((r.returncode, r.err), (0, ""))
        cases, got = lines.splitlines(), r.out.splitlines()
        p.eq(len(got), len(cases))
        for case, line in zip(cases, got):
            case, line = json.loads(case), json.loads(line)
            p.eq(line["ids"], case["expect"]["ids"], case["id"])
            assert all(abs(a - b) < 1e-5 for a, b in zip(line["probs"], case["expect"]["probs"])), case["id"]


def test_sample_of_bad_lines():
    good = '{"logits":[1,2],"params":{"samplers":[{"type":"top_k","k":1}]},"last_tokens":[]}'
    with p.Home() as h:
        for bad, part in [("{", "no JSON"), ("[1]", "logits"), ('{"logits":[]}', "logits"), ('{"logits":["a"]}', "logits[0]"), ('{"logits":[1]}', "samplers"),
                          ('{"logits":[1],"params":{"samplers":[{"type":"luck"}]}}', "'luck'"), ('{"logits":[null],"params":{"samplers":[]}}', "numeric"),
                          ('{"logits":[1],"params":{"samplers":[{"type":"logit_bias","bias":[[1,2]]}]}}', "no token 1")]:
            r = h.run("sample", input=good + "\n\n" + bad + "\n")
            assert r.returncode in (1, 2, 9) and r.err.startswith("hadal: line 3: ") and part in r.err, (bad, r.returncode, r.err)
            p.eq(json.loads(r.out), {"ids": [1], "probs": [1]})


def test_sampling_options():
    """They reach the model: what is asked for is what is stored, and a token that is not there is an error."""
    with p.Home() as h:
        model = p.shared("goldens/llama.gguf")
        ask = ["-m", model, "--template", "chatml", "--max-tokens", "8", "--json"]
        more = ["--seed", "5", "--temp", "3", "--samplers", "top_k,temp", "--logit-bias", "65-inf", "--dry-multiplier", "1", "--mirostat-tau", "4"]
        a, b = h.json(*ask, *more, "x"), h.json(*ask, *more, "x")
        p.eq(a["answer"], b["answer"])
        for key, value in [("samplers", "top_k,temp"), ("logit_bias", "65-inf"), ("dry_multiplier", 1), ("mirostat_tau", 4), ("seed", 5)]:
            p.eq(a["params"][key], value, key)
        r = h.run(*ask, "--logit-bias", "320+1", "x")
        p.eq(r.returncode, 2)
        p.has(r.err + r.out, "there is no token 320 (0 to 319)")
        for args, part in [(["--samplers", "top_k,best"], "no sampler is called 'best'"), (["--logit-bias", "x+1"], "a bias is a token's number"),
                           (["--mirostat", "3"], "--mirostat takes a whole number from 0 to 2"), (["--xtc-probability", "2"], "--xtc-probability")]:
            r = h.run(*ask, *args, "x")
            p.eq((r.returncode, r.out), (2, ""))
            p.has(r.err, part)


def test_info_of_bad_files():
    folder = p.pathlib.Path(p.shared("goldens/gguf-bad"))
    with p.Home() as h:
        n = 0
        for f in sorted(folder.rglob("*.gguf")):
            r = h.run("info", str(f))
            assert r.returncode in (0, 4), (f.name, r.returncode, r.err)
            if r.returncode == 4:
                p.eq((r.out, r.err.count("\n")), ("", 1), f.name)
                n += 1
        assert n > 5
        (h.dir / "empty.gguf").touch()
        p.eq(h.run("info", "./empty.gguf").returncode, 4)
        p.eq(h.run("info", "./none.gguf").returncode, 3)
        os.mkfifo(h.dir / "fifo.gguf")
        assert h.run("info", "./fifo.gguf").returncode in (1, 3, 4)


def test_foreign_text_is_sanitized():
    """A name in the metadata and in the file system that would act on a terminal."""
    def kv(key, text):
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IQ", 8, len(text)) + text
    evil = b"x\x1b[2J\x9b\xe2\x80\xae"
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + kv("general.architecture", evil) + kv("general.name", evil)
    with p.Home() as h:
        models = h.dir / "data/hadal/models"
        models.mkdir(parents=True)
        name = b"a\x1b]0;t\x07\n.gguf"
        (p.pathlib.Path(os.fsdecode(os.fsencode(str(models)) + b"/" + name))).write_bytes(data)
        for args in [("models",), ("info",), ("doctor",), ("info", "--json"), ("models", "--json"), ("doctor", "--json"), ("completion", "--words", "--", "-m", "")]:
            r = h.run(*args)
            for stream in (r.raw, r.err.encode()):
                assert not any((c < 32 and c != 10) or c == 127 for c in stream), (args, stream)
                for bad in ["\u009b", "\u202e"]:
                    assert bad not in stream.decode(), (args, bad)


def test_models():
    with p.Home() as h:
        r = h.run("models")
        p.eq((r.returncode, r.out), (0, ""))
        p.has(r.err, "put GGUF files into")
        p.eq(h.json("models", "--json"), [])
        h.model("one.gguf", p.shared("goldens/llama.gguf"))
        h.model("two.gguf", p.shared("goldens/qwen2.gguf"))
        (h.dir / "data/hadal/models/bad.gguf").write_text("no model")
        r = h.json("models", "--json")
        p.eq([(m["name"], m["default"], m["error"] is None) for m in r], [("bad.gguf", False, False), ("one.gguf", False, True), ("two.gguf", False, True)])
        h.env["HADAL_MODEL"] = "two"
        p.eq([m["default"] for m in h.json("models", "--json")], [False, False, True])
        r = h.run("models").out
        p.has(r, "* two.gguf")
        p.has(r, "is not a GGUF file")
        p.eq(h.json("info", "--json")["arch"], "qwen2", "the settings' model")
        p.eq(h.json("info", "--json", "ONE")["arch"], "llama")


def test_doctor():
    with p.Home(config="temp = 0.5\n") as h:
        h.model("one.gguf", p.shared("goldens/llama.gguf"))
        r = h.run("doctor")
        p.eq((r.returncode, r.err), (0, ""), r.out)
        for part in ["hadal 0", "SQLite", "readline", "all is well", "none yet", "config: temp = 0.5", "threads"]:
            p.has(r.out, part)
        h.env.update(HADAL_TOP_K="7", LANG="C")
        r = h.run("doctor", "--json")
        p.eq(r.returncode, 1)
        found = json.loads(r.out)
        p.eq([f["check"] for f in found if not f["ok"]], ["locale"])
        assert any("environment: top-k = 7" in f["detail"] for f in found), found
    with p.Home(config="temp = hot\n") as h:
        (h.dir / "data/hadal").mkdir(parents=True)
        (h.dir / "data/hadal/history.db").write_bytes(b"no database at all, but long enough" * 99)
        r = h.run("doctor", "--json")
        p.eq(r.returncode, 1)
        p.eq(sorted(f["check"] for f in json.loads(r.out) if not f["ok"]), ["history", "model", "settings"])


# ---- completion ----

def words(h, *typed):
    r = h.run("completion", "--words", "--", *typed)
    p.eq((r.returncode, r.err), (0, ""))
    return [line.split("\t")[0] for line in r.out.splitlines()]


def test_completion_words():
    with p.Home() as h:
        h.model("one.gguf", p.shared("goldens/llama.gguf"))
        p.eq(words(h, "re"), ["rename", "render"])
        assert {"ls", "show", "bench"} <= set(words(h, ""))
        p.eq(words(h, "--top"), ["--top-k", "--top-p", "--top-n-sigma"])
        p.eq(words(h, "-m", ""), ["one.gguf", ":files"])
        p.eq(words(h, "-nm", "o"), ["one.gguf", ":files"])
        p.eq(words(h, "--model=o"), ["--model=one.gguf", ":files"])
        p.eq(words(h, "--stats="), ["--stats=yes", "--stats=no"])
        p.eq(words(h, "-o", ""), [":files"])
        p.eq(words(h, "why", "is"), [])
        p.eq(words(h, "--", "--j"), [])
        p.eq(words(h, "ls", "--j"), ["--json"])
        p.eq(words(h, "export", "--format", ""), ["md", "json", "html"])
        p.eq(words(h, "completion", "f"), ["fish"])
        p.eq(words(h, "import", ""), [":files"])
        p.eq(words(h, "info", ""), ["one.gguf", ":files"])
        p.eq(words(h, "logits", "--kv", "f"), ["f32", "f16"])
        p.eq(words(h, "show", ""), [])
        assert not (h.dir / "data/hadal/history.db").exists(), "completing makes nothing"


def test_completion_in_bash():
    with p.Home() as h:
        h.model("one two.gguf", p.shared("goldens/llama.gguf"))
        (h.dir / "a file").touch()
        script = f'''
            eval "$("{p.HADAL}" completion bash)" || exit 1
            try() {{ COMP_WORDS=("{p.HADAL}" "$@"); COMP_CWORD=$#; _hadal "{p.HADAL}" "${{!#}}" "" 2>/dev/null; printf '[%s]' "${{COMPREPLY[@]}}"; echo; }}
            try rena; try --no-s; try -o a; try -m o; try ls ""
        '''
        r = subprocess.run(["bash", "-c", script], env=h.env, cwd=h.dir, capture_output=True, text=True, timeout=60)
        p.eq(r.stdout.splitlines(), ["[rename]", "[--no-save][--no-stdin][--no-stream]", "[a file]", "[one\\ two.gguf]", "[]"], r.stderr)


def test_completion_scripts():
    with p.Home() as h:
        for shell in ["bash", "zsh", "fish"]:
            r = h.run("completion", shell)
            p.eq(r.returncode, 0)
            p.has(r.out, "completion --words")
            if p.shutil.which(shell):
                subprocess.run([shell, "-n", "/dev/stdin"], input=r.out, text=True, check=True, timeout=60)
        for args in [[], ["tcsh"], ["bash", "zsh"]]:
            p.eq(h.run("completion", *args).returncode, 2)


# ---- numbers ----

def golden(h, name, *args):
    model, want = p.shared(f"goldens/{name}.gguf"), json.load(open(p.shared(f"goldens/{name}.json")))
    for seq in want["sequences"]:
        ids = ",".join(map(str, seq["tokens"]))
        n = len(seq["logits"])
        r = h.run("logits", "-m", model, "--tokens", ids, "--last", str(n), "--ctx", str(seq["n_ctx"]), *args)
        p.eq((r.returncode, r.err), (0, ""))
        rows = json.loads(r.out)["logits"]
        p.eq((len(rows), len(rows[0])), (n, len(seq["logits"][0])))
        top = max(abs(x) for row in seq["logits"] for x in row)
        worst = max(abs(a - b) for x, y in zip(rows, seq["logits"]) for a, b in zip(x, y)) / top
        assert worst < 1e-4, (name, args, worst)


def test_logits_golden():
    with p.Home() as h:
        golden(h, "llama")
        golden(h, "llama", "--chunk", "3", "-t", "1")
        golden(h, "llama-tied-rope")


def test_logits_forms():
    model = p.shared("goldens/llama.gguf")
    with p.Home() as h:
        r = h.run("logits", "-m", model, "--tokens", "1,2,3")
        rows = json.loads(r.out)["logits"]
        raw = h.run("logits", "-m", model, "--tokens", "1,2,3", "--raw").raw
        p.eq(len(raw), 3 * 320 * 4)
        flat = struct.unpack(f"<{3 * 320}f", raw)
        p.eq([struct.unpack("<f", struct.pack("<f", x))[0] for row in rows for x in row], list(flat), "nine digits are exact")
        p.eq(h.run("logits", "-m", model, "--tokens", "1,2,3", "--raw", "--last", "1").raw, raw[-320 * 4:])
        half = json.loads(h.run("logits", "-m", model, "--tokens", "1,2,3", "--kv", "f16").out)["logits"]
        assert 0 < max(abs(a - b) for x, y in zip(rows, half) for a, b in zip(x, y)) < 0.1
        for args, code, said in [(["--tokens", "1,,2"], 2, "ids with commas"), (["--tokens", "320"], 2, "not in the vocabulary (0 to 319)"), ([], 2, "missing"),
                                 (["--tokens", "1", "--kv", "q8"], 2, "f32 or f16"), (["--tokens", "1,2,3,4", "--ctx", "3"], 5, "3"),
                                 (["--tokens", "1,"], 2, "ids with commas"), (["--tokens", "-1"], 2, "")]:
            r = h.run("logits", "-m", model, *args)
            p.eq((r.returncode, r.out), (code, ""), f"{args} {r.err}")
            p.has(r.err, said)
        p.eq(h.run("logits", "-m", p.shared("data/vocab/ggml-vocab-gpt-2.gguf"), "--tokens", "1").returncode, 4)


def huge(source, path):
    """A file of 70 billion weights, nearly all of it a hole: the metadata of a small one with other numbers."""
    d = bytearray(open(source, "rb").read())
    d_model, ff, layers, heads, kv = 8192, 28672, 80, 64, 8
    for key, value in [("embedding_length", d_model), ("feed_forward_length", ff), ("block_count", layers), ("attention.head_count", heads),
                       ("attention.head_count_kv", kv), ("attention.key_length", 128), ("attention.value_length", 128), ("rope.dimension_count", 128)]:
        at = d.find(b"llama." + key.encode() + b"\x04\x00\x00\x00")
        if at >= 0:
            struct.pack_into("<I", d, at + len(key) + 10, value)
    n_kv, at = struct.unpack_from("<Q", d, 16)[0], 24
    size = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    text = lambda i: i + 8 + struct.unpack_from("<Q", d, i)[0]
    for _ in range(n_kv):
        at = text(at)
        kind, at = struct.unpack_from("<I", d, at)[0], at + 4
        count = 1
        if kind == 9:
            kind, count = struct.unpack_from("<IQ", d, at)
            at += 12
        for _ in range(count):
            at = text(at) if kind == 8 else at + size[kind]
    tensors = [("token_embd.weight", (d_model, 320)), ("output.weight", (d_model, 320)), ("output_norm.weight", (d_model,))]
    for i in range(layers):
        tensors += [(f"blk.{i}.{n}.weight", s) for n, s in [("attn_norm", (d_model,)), ("ffn_norm", (d_model,)), ("attn_q", (d_model, d_model)),
                    ("attn_k", (d_model, 128 * kv)), ("attn_v", (d_model, 128 * kv)), ("attn_output", (d_model, d_model)), ("ffn_gate", (d_model, ff)),
                    ("ffn_up", (d_model, ff)), ("ffn_down", (ff, d_model))]]
    struct.pack_into("<Q", d, 8, len(tensors))
    head, offset = d[:at], 0
    for name, shape in tensors:
        head += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", 0 if len(shape) == 1 else 8, offset)  # F32, Q8_0
        bytes_ = shape[0] * 4 if len(shape) == 1 else shape[0] // 32 * 34 * shape[1]
        offset += (bytes_ + 31) // 32 * 32
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32))
        f.truncate((len(head) + 31) // 32 * 32 + offset)


def test_fit():
    golden = p.shared("goldens/llama.gguf")
    with p.Home() as h:
        m = h.json("info", "--json", "--ctx", "1000", golden)
        of = m["memory"]
        p.eq((of["context"], of["fits"], of["context_that_fits"]), (1000, True, None))
        p.eq(of["total"], of["weights"] + of["context_bytes"] + of["buffers"])
        assert h.json("info", "--json", "--ctx", "2000", golden)["memory"]["context_bytes"] > 1.9 * of["context_bytes"]
        assert m["tokens_per_second"] > 0
        text = h.run("info", "--ctx", "1000", golden).out
        for part in ["a context of 1000 tokens", "buffers", "it fits", "tokens a second"]:
            p.has(text, part)
        # A context that is too long: what would fit is told, and it does fit.
        long = h.json("info", "--json", "--ctx", str(1 << 24), golden)["memory"]
        if not long["fits"]:
            assert 256 <= long["context_that_fits"] < 1 << 24
        # A large model: refused with the numbers, with no byte of its weights read.
        huge(golden, h.dir / "huge.gguf")
        free = h.json("info", "--json", "huge.gguf")["memory"]
        if free["free"] > 60e9:
            p.skip("this machine could hold a model of 73 GB")
        p.eq((free["fits"], free["context_that_fits"], 70e9 < free["weights"] < 80e9), (False, None, True))
        text = h.run("info", "huge.gguf").out
        p.has(text, "it does not fit: 7")
        p.has(text, "fewer bits")
        for args in [["-n", "-m", "huge.gguf", "hi"], ["bench", "-m", "huge.gguf"], ["logits", "-m", "huge.gguf", "--tokens", "1"]]:
            t0 = time.monotonic()
            r = h.run(*args)
            p.eq((r.returncode, r.out), (3, ""), r.err)
            for part in ["does not fit: it needs 7", "weights 7", "a context of", "buffers", "of memory are free"]:
                p.has(r.err, part)
            assert time.monotonic() - t0 < 20
        assert os.stat(h.dir / "huge.gguf").st_blocks * 512 < 1 << 20
        h.model("huge.gguf", h.dir / "huge.gguf")
        p.has(h.run("models").out, "it does not fit")
        p.eq([(x["fits"], x["tokens_per_second"]) for x in h.json("models", "--json")], [(False, None)])


def test_fit_under_a_limit():
    """What a limit of the address space leaves is what counts."""
    golden = p.shared("goldens/llama.gguf")
    if "sanitize" in p.HADAL or b"__asan" in open(p.HADAL, "rb").read():
        p.skip("the sanitizer's own memory")
    with p.Home() as h:
        need = h.json("info", "--json", "--ctx", str(1 << 22), golden)["memory"]["total"]
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (need, need))
        r = h.run("logits", "-m", golden, "--tokens", "1", "--ctx", str(1 << 22), "-t", "1", preexec_fn=limit)
        p.eq((r.returncode, r.out), (3, ""), r.err)
        p.has(r.err, "would fit")
        fits = h.json("info", "--json", "--ctx", str(1 << 22), golden, preexec_fn=limit)["memory"]
        assert not fits["fits"] and fits["free"] < need and fits["context_that_fits"] >= 256
        r = h.run("logits", "-m", golden, "--tokens", "1", "--kv", "f16", "--ctx", str(fits["context_that_fits"] // 2), "-t", "1",
                  preexec_fn=limit)
        p.eq(r.returncode, 0, r.err)


def test_eval():
    model, text = p.shared("goldens/qwen2.gguf"), "the rain in Spain falls 12 times, <|im_start|>" * 20
    with p.Home() as h:
        (h.dir / "text").write_text(text)
        r = h.json("eval", "-m", model, "--text", "text", "--ctx", "40", "--json")
        ids = [int(x) for x in h.run("tokenize", "-m", model, input=text).out.split()]
        p.eq((r["text_tokens"], r["ctx"], r["chunks"], r["scored"]), (len(ids), 40, len(ids) // 40, len(ids) // 40 * 19))
        nll = []  # by the logits that another command prints
        for c in range(r["chunks"]):
            part = ids[40 * c:40 * c + 40]
            rows = json.loads(h.run("logits", "-m", model, "--tokens", ",".join(map(str, part)), "--kv", "f16").out)["logits"]
            nll += [math.log(sum(map(math.exp, rows[j]))) - rows[j][part[j + 1]] for j in range(20, 39)]
        mean = sum(nll) / len(nll)
        error = (sum((x - mean) ** 2 for x in nll) / len(nll) / (len(nll) - 1)) ** 0.5
        for got, want in [(r["nll"], mean), (r["nll_error"], error), (r["perplexity"], math.exp(mean)), (r["perplexity_error"], math.exp(mean) * error)]:
            assert abs(got / want - 1) < 1e-6, (got, want)
        one = h.json("eval", "-m", model, "--text", "-", "--ctx", "40", "--chunks", "1", "--json", "--against", model, input=text)
        p.eq((one["chunks"], one["against"]["kl"]["mean"], one["against"]["same_top"]), (1, 0, 1))
        out = h.run("eval", "-m", model, "--text", "text", "--ctx", "40", "--against", model)
        p.eq((out.returncode, out.err), (0, ""))
        for part in [f"perplexity     {r['perplexity']:.4f} +/- ", "KL divergence  0.000e+00", "same likeliest 100.00 %"]:
            p.has(out.out, part)
        other = p.shared("goldens/quant-models/Q8_0.gguf")
        for args, code, said in [([], 2, "--text is missing"), (["--text", "none"], 1, "none"), (["--text", "text", "--ctx", "3"], 2, "ctx"),
                                 (["--text", "text", "--ctx", "4096"], 9, "fewer than a chunk of 4096"), (["--text", "text", "--kv", "q8"], 2, "f32 or f16"),
                                 (["--text", "text", "--ctx", "40", "--against", other], 9, "cannot be compared"),
                                 (["--text", "text", "--against", "nowhere.gguf"], 3, "nowhere")]:
            r = h.run("eval", "-m", model, *args)
            p.eq((r.returncode, r.out), (code, ""), f"{args} {r.err}")
            p.has(r.err, said)


def test_eval_progress():
    """On a terminal only, and gone at the end."""
    model = p.shared("goldens/deepseek4.gguf")
    with p.Home() as h:
        (h.dir / "text").write_text("one two three four " * 2000)
        status, tty, out, _ = p.on_tty(h, "eval", "-m", model, "--text", "text", "--ctx", "512", "--chunks", "16", "-t", "1", stdout="pipe")
        p.eq(status, 0)
        p.has(tty.decode(), " of 16, perplexity so far ")
        p.has(out.decode(), "perplexity")


def test_bench():
    model = p.shared("goldens/llama.gguf")
    tests = ["-p", "8,0,4", "-n", "3", "-d", "0,5", "-t", "1", "-r", "2"]
    with p.Home() as h:
        lines = [json.loads(line) for line in h.run("bench", "-m", model, *tests, "--json").out.splitlines()]
        p.eq(list(lines[0]), ["load_s"])
        p.eq([(o["test"], o["n_prompt"], o["n_gen"], o["depth"], o["threads"], len(o["ts"])) for o in lines[1:]],
             [("pp8", 8, 0, 0, 1, 2), ("pp4", 4, 0, 0, 1, 2), ("tg3", 0, 3, 0, 1, 2), ("fill5", 5, 0, 0, 1, 1), ("pp8@5", 8, 0, 5, 1, 2),
              ("pp4@5", 4, 0, 5, 1, 2), ("tg3@5", 0, 3, 5, 1, 2)])
        assert all(x > 0 for o in lines[1:] for x in o["ts"])
        table = h.run("bench", "-m", model, *tests).out
        for part in ["tokens/s", "pp8@5", "2 runs", "fill5"]:
            p.has(table, part)
        for args in [["-p", "x"], ["-d", "1,"], ["-r", "0"], ["-n", "99999999999"]]:
            p.eq(h.run("bench", "-m", model, *args).returncode, 2, args)


def test_bench_paced():
    model = p.shared("goldens/llama.gguf")
    with p.Home() as h:
        q = h.start("bench", "-m", model, "-p", "8", "-n", "2", "-d", "0,5", "-t", "1", "-r", "2", "--paced", stdin=subprocess.PIPE)
        p.eq(list(json.loads(q.stdout.readline())), ["load_s"])
        seen = []
        while True:
            line = q.stdout.readline()
            if not line:
                break
            o = json.loads(line)
            time.sleep(0.01)
            assert not p.select_ready(q.stdout), "nothing is said unasked"
            q.stdin.write(b"\n")
            q.stdin.flush()
            done = json.loads(q.stdout.readline())
            p.eq((done["test"], len(done["ts"])), (o["ready"], 1))
            seen.append(o["ready"])
        p.eq(seen, ["pp8", "pp8", "tg2", "tg2", "fill5", "pp8@5", "pp8@5", "tg2@5", "tg2@5"])
        p.eq(q.wait(timeout=p.TIMEOUT), 0)
        q.communicate()
        r = h.run("bench", "-m", model, "-p", "8", "-n", "0", "--paced", input="")
        p.eq((r.returncode, r.err), (0, ""), "nobody tells it to go on")


def test_ratio_tool():
    """The tool that compares two programs understands both."""
    ratio, model = p.shared("tools/ratio.py"), p.shared("goldens/llama.gguf")
    with p.Home() as h:
        me = f"{p.HADAL} bench -m {model} -p 8 -n 2 -d 0,4 -t 1 -r 2 --paced"
        r = subprocess.run([p.sys.executable, ratio, model, "--a", me, "--b", me, "--json"], env=h.env, capture_output=True, text=True, timeout=120)
        p.eq(r.returncode, 0, r.stderr)
        p.eq([o["test"] for o in json.loads(r.stdout)], ["pp8", "tg2", "fill4", "pp8@4", "tg2@4"])


p.main(globals())
