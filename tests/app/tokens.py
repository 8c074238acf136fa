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
        for text, said, code in [("{", "no JSON", 9), ("{}", 'no array "messages"', 9), ('{"messages":[{"role":"user"}]}', "messages[0]", 9),
                                 ('{"messages":[{"content":"a"}]}', "messages[0]", 9), ('{"messages":[], "now": "noon"}', '"now"', 9),
                                 ('{"messages":[{"role":"user","content":["a"]}]}', "line 1, column", 4)]:
            r = h.run("render", "--template", "chatml", input=text)
            p.eq(r.returncode, code, text)
            p.has(r.err, said)
            p.eq(r.out, "", text)
        for name, text, out, said, code in [("t.jinja", "{{ messages|length }} {{ strftime_now('%H') }}", "0 12", "", 0),
                                            ("bad.jinja", "\n{% if %}", "", "line 2, column 7", 4),
                                            ("no.jinja", "{{ raise_exception('not with me') }}", "", "refuses this conversation: not with me", 9),
                                            ("loop.jinja", "{% for i in range(9999) %}{% for i in range(9999) %}{% endfor %}{% endfor %}", "", "passes", 4)]:
            (h.dir / name).write_text(text)
            r = h.run("render", "--template", name, input='{"messages":[], "now": "2026-07-01T12:00:00"}')
            p.eq((r.out, r.returncode), (out, code), r.err)
            p.has(r.err, said)
        p.eq(h.run("render", "--template", "./gone.jinja", input='{"messages":[]}').returncode, 2)


def same(case, made):
    """What --jsonl gave is what the case says; of errors, only the text of raise_exception counts."""
    if "output" in case:
        return made.get("output") == case["output"]
    return "error" in made and (case["error_type"] != "raise_exception" or made["error"] == case["error"])


def jsonl(h, lines):
    r = h.run("render", "--jsonl", input="".join(json.dumps(x) + "\n" for x in lines))
    p.eq(r.returncode, 0, r.err)
    made = [json.loads(x) for x in r.out.splitlines()]
    p.eq(len(made), len(lines))
    return made


def test_render_published_templates():
    folder = p.pathlib.Path(p.shared("data/templates"))
    cases, lines = [], []
    for template in sorted(folder.glob("*.jinja")):
        for case in json.loads((folder / "expected" / (template.stem + ".json")).read_text()):
            given = {"messages": case["messages"], **({"tools": case["tools"]} if "tools" in case else {})}
            cases.append((template.name, case))
            lines.append({"template": template.read_bytes().decode(), "vars": {**case["vars"], **given}, "now": case.get("now")})
    with p.Home() as h:
        for (name, case), made in zip(cases, jsonl(h, lines)):
            assert same(case, made), f"{name}: {case['case']}: {str(made)[:300]}"
        # and one of each by the other way in
        for name in sorted({name for name, case in cases}):
            case, line = next((c, x) for (n, c), x in zip(cases, lines) if n == name and "output" in c)
            r = h.run("render", "--template", str(folder / name), input=json.dumps({**line["vars"], "now": line["now"]}))
            p.eq((r.raw.decode(), r.returncode), (case["output"], 0), f"{name}: {case['case']}: {r.err}")


def test_render_jsonl():
    cases = [json.loads(x) for x in open(p.shared("data/jinja-cases.jsonl"))]
    with p.Home() as h:
        made = jsonl(h, [{"template": c["template"], "vars": c["vars"], "now": "2026-07-01T12:00:00"} for c in cases])
        other = [c["id"] for c, m in zip(cases, made) if not same(c, m)]
        assert len(other) * 100 <= 2 * len(cases), f"{other} differ"
        p.eq(jsonl(h, [{"template": "{{ a }}\u00fc\n\n", "vars": {"a": "\u001b\u0000"}}, {"template": "{{"}, {"vars": {}},
                       {"template": "x"}, {"template": "{{ raise_exception('\u00fc') }}"}]),
             [{"output": "\u001b\u0000\u00fc\n"}, {"error": "chat template, line 1, column 3: the template ends inside a tag; --template chatml uses ChatML in its place"},
              {"error": 'there is no "template"'}, {"output": "x"}, {"error": "\u00fc"}])
        r = h.run("render", "--jsonl", input='{"template":"a"}\n\n[1]\n')
        p.eq((r.out, r.returncode), ('{"output": "a"}\n', 9))
        p.has(r.err, "line 3")
        r = h.run("render", "--jsonl", "--template", "chatml", input='{"vars":{"messages":[{"role":"user","content":"a"}]}}')
        p.eq(json.loads(r.out), {"output": "<|im_start|>user\na<|im_end|>\n"})


p.main(globals())
