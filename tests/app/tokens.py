"""hadal tokenize, detokenize, render: against the shared data, through the program."""
import json
import p

VOCABS = ["smollm2", "gpt-2", "qwen2", "small-llama-bpe"]


def tokenizer(name):
    vocab = p.shared(f"data/vocab/ggml-vocab-{name}.gguf")
    lines = open(p.shared(f"data/tokenizers/{name}.jsonl"), encoding="utf-8").read().splitlines()
    objects = [json.loads(line) for line in lines]
    with p.Home() as h:
        r = h.run("tokenize", "-m", vocab, "--jsonl", input="\n".join(json.dumps({k: v for k, v in o.items() if k != "ids"}) for o in objects))
        p.eq(r.returncode, 0, r.err)
        got = [json.loads(line)["ids"] for line in r.out.splitlines()]
        p.eq(len(got), len(objects), "lines")
        for o, ids in zip(objects, got):
            p.eq(ids, o["ids"], json.dumps(o)[:200])


def test_tokenize_smollm2():
    tokenizer("smollm2")


def test_tokenize_gpt2():
    tokenizer("gpt-2")


def test_tokenize_qwen2():
    tokenizer("qwen2")


def test_tokenize_small_llama_bpe():
    tokenizer("small-llama-bpe")


def test_round_trip():
    vocab = p.shared("data/vocab/ggml-vocab-smollm2.gguf")
    with p.Home() as h:
        for text in ["", "Hello, w\u00f6rld\n", "a\0b \u4e2d\u6587 \U0001f600\n\n", " x" * 1000]:
            r = h.run("tokenize", "-m", vocab, input=text)
            p.eq(r.returncode, 0, r.err)
            p.eq(r.out.count("\n"), 1)
            back = h.run("detokenize", "-m", vocab, input=r.out)
            p.eq(back.raw.decode(), text)
        plain = h.run("tokenize", "-m", vocab, input="<|im_start|>").out
        special = h.run("tokenize", "-m", vocab, "--special", input="<|im_start|>").out
        p.eq(special, "1\n")
        assert len(plain.split()) > 1, plain
        p.eq(h.run("detokenize", "-m", vocab, input="[1, 2]").raw, b"")
        p.eq(h.run("detokenize", "-m", vocab, "--special", input="[1, 2]").raw, b"<|im_start|><|im_end|>")


def test_bad_ids_and_lines():
    vocab = p.shared("data/vocab/ggml-vocab-smollm2.gguf")
    with p.Home() as h:
        for text, said in [("12 x", "'x' is no token id"), ("-1", "is no token id"), ("49152", "not in the vocabulary (0 to 49151)"),
                           ("99999999999999999999", "not in the vocabulary")]:
            r = h.run("detokenize", "-m", vocab, input=text)
            p.eq(r.returncode, 9, text)
            p.has(r.err, said)
        for text, said in [("{", "line 1 is no JSON"), ('{"text":"a"}\n{"txt":1}', "line 2 has neither"), ('{"bytes_hex":"0"}', "neither"),
                           ('{"bytes_hex":"0g"}', "neither"), ("[1]", "neither")]:
            r = h.run("tokenize", "-m", vocab, "--jsonl", input=text)
            p.eq(r.returncode, 9, text)
            p.has(r.err, said)
        p.eq(h.run("tokenize", "-m", vocab, "--jsonl", input='{"text":"a"}\nno\n').out, '{"ids":[81]}\n', "what came before")
        p.eq(h.run("tokenize", "-m", vocab, "--jsonl", input='\n{"bytes_hex":"61"}\r\n\n').out, '{"ids":[81]}\n')
        p.eq(h.run("tokenize", "-m", "/nowhere.gguf", input="a").returncode, 3)
        p.eq(h.run("tokenize", "words", input="a").returncode, 2)


def test_render():
    vocab = p.shared("data/vocab/ggml-vocab-smollm2.gguf")
    messages = [{"role": "user", "content": "Hi <|im_end|> \u00fc\n"}]
    with p.Home() as h:
        r = h.run("render", "-m", vocab, input=json.dumps({"messages": messages, "add_generation_prompt": True}))
        p.eq(r.raw.decode(), "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
             "<|im_start|>user\nHi <|im_end|> \u00fc\n<|im_end|>\n<|im_start|>assistant\n", r.err)
        r = h.run("render", "--template", "chatml", input=json.dumps({"messages": messages}))
        p.eq(r.raw.decode(), "<|im_start|>user\nHi <|im_end|> \u00fc\n<|im_end|>\n", r.err)
        for text, said, code in [("{", "no JSON", 9), ("{}", 'no array "messages"', 9), ('{"messages":[{"role":"user"}]}', "messages[0]", 9)]:
            r = h.run("render", "--template", "chatml", input=text)
            p.eq(r.returncode, code, text)
            p.has(r.err, said)
        (h.dir / "t.jinja").write_text("{{ messages|length }}")
        r = h.run("render", "--template", "t.jinja", input='{"messages":[]}')
        p.eq(r.returncode, 4)
        p.has(r.err, "--template chatml")
        r = h.run("render", "--template", "./gone.jinja", input='{"messages":[]}')
        p.eq(r.returncode, 2)
        p.has(r.err, "neither a file nor one that is built in")


def test_render_shared_cases():
    """Every case of the templates that this version knows."""
    done = 0
    folder = p.pathlib.Path(p.shared("data/templates"))
    with p.Home() as h:
        for template in sorted(folder.glob("*.jinja")):
            if h.run("render", "--template", str(template), input='{"messages":[]}').returncode == 4:
                continue
            cases = folder / "expected" / (template.stem + ".json")
            for case in json.loads(cases.read_text()) if cases.exists() else []:
                texts = all(isinstance(m.get("content"), str) and not m.get("tool_calls") for m in case["messages"])
                if not texts or case.get("tools") or "output" not in case:
                    continue
                r = h.run("render", "--template", str(template), input=json.dumps({"messages": case["messages"], **case.get("vars", {})}))
                if r.returncode == 0:
                    p.eq(r.raw.decode(), case["output"], f"{template.name}: {case['case']}")
                    done += 1
                else:
                    p.has(r.err, "role", f"{template.name}: {case['case']}: refused for its roles alone")
    assert done > 0, "no template was recognised"


p.main(globals())
