"""--grammar and --schema through the program: the answer always keeps to them, or the exit status says so."""
import json
import os
import pathlib
import re
import p

PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 24}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
                                           "member": {"type": "boolean"}}, "required": ["name", "age", "member"], "additionalProperties": False}
SEEDS = int(os.environ.get("HADAL_TEST_SEEDS", "20"))


def check_person(text):
    v = json.loads(text)
    assert list(v) == ["name", "age", "member"], v
    assert isinstance(v["name"], str) and len(v["name"]) <= 24, v
    assert type(v["age"]) is int and 0 <= v["age"] <= 130, v
    assert isinstance(v["member"], bool), v


def put(h, name, text):
    (h.dir / name).write_text(text if isinstance(text, str) else json.dumps(text))
    return str(h.dir / name)


def ask(h, *args, status=0, prompt="Invent a person."):
    r = h.run("-n", *args, prompt)
    p.eq(r.returncode, status, (args, r.err))
    return r


def test_random_weights_give_valid_json():
    """A model that knows nothing still keeps to the schema, and to the tokens that it may use."""
    with p.Home() as h:
        model = ["-m", p.shared("goldens/llama.gguf"), "--template", "chatml", "--raw", "--schema", put(h, "person.json", PERSON)]
        for seed in range(SEEDS):
            check_person(ask(h, *model, "--seed", str(seed), "--temp", "1.5").out)
        for tokens in (60, 80, 120):  # it ends in time
            r = ask(h, *model, "--seed", "1", "--max-tokens", str(tokens))
            check_person(r.out)
        check_person(ask(h, *model, "--temp", "0").out)
        check_person(ask(h, *model, "--mirostat", "2").out)
        free = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {}}}, "required": ["a", "b"]}
        for seed in range(5):  # strings without end, anything in anything
            v = json.loads(ask(h, *model[:5], "--schema", put(h, "free.json", free), "--seed", str(seed), "--ctx", "256").out)
            p.eq(list(v), ["a", "b"])


def test_same_seed_same_answer():
    with p.Home() as h:
        model = ["-m", p.shared("goldens/llama.gguf"), "--template", "chatml", "--seed", "9", "--schema", put(h, "person.json", PERSON), "--json"]
        a, b = (json.loads(ask(h, *model).out) for _ in range(2))
        p.eq(a["answer"], b["answer"])
        p.eq(a["params"]["schema"], str(h.dir / "person.json"))


def test_grammar():
    with p.Home() as h:
        model = ["-m", p.shared("goldens/llama.gguf"), "--template", "chatml"]
        g = put(h, "g", 'root ::= word (" " word){1,3} "."\nword ::= [a-z]{2,5}\n')
        for seed in range(5):
            out = ask(h, *model, "--grammar", g, "--seed", str(seed)).out
            assert re.fullmatch(r"[a-z]{2,5}( [a-z]{2,5}){1,3}\.\n?", out), out
        r = ask(h, *model, "--grammar", put(h, "long", 'root ::= "a"{30}'), "--max-tokens", "4", status=8)  # cannot end in time
        p.has(r.err, "before it is what the grammar asks for")


def test_bad_files():
    with p.Home() as h:
        model = ["-m", p.shared("goldens/llama.gguf"), "--template", "chatml"]
        for option, text, part in [("--grammar", 'root ::= "a', "line 1, column 10: the quotes"), ("--schema", "{", "line 1, column"),
                                   ("--schema", '{"items": {"type": "x"}}', "at #/items: there is no type 'x'"), ("--schema", "false", "no text satisfies the schema")]:
            r = ask(h, *model, option, put(h, "f", text), status=9)
            p.eq(r.out, "")
            p.has(r.err, part)
            p.eq(r.err.count("\n"), 1)
        p.has(ask(h, *model, "--grammar", str(h.dir / "none"), status=9).err, "No such file")
        both = ["--grammar", put(h, "g", 'root ::= "a"'), "--schema", put(h, "s", "true")]
        p.has(ask(h, *model, *both, status=2).err, "not to both")


def test_default_model():
    """The model that ./quickstart gets: three typed fields, valid for every seed (HADAL_TEST_SEEDS=100 for a hundred)."""
    home = pathlib.Path(os.environ.get("XDG_DATA_HOME") or pathlib.Path.home() / ".local/share")
    model = home / "hadal/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.exists():
        p.skip("no default model")
    with p.Home() as h:
        s = put(h, "person.json", PERSON)
        for seed in range(SEEDS):
            check_person(ask(h, "-m", str(model), "--schema", s, "--seed", str(seed), prompt="Invent a customer: JSON with name, age and member.").out)


p.main(globals())
