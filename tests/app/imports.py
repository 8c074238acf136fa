"""Sessions of other programs: ChatGPT's export, llama.cpp's web UI, llm's logs.db. Made-up files, whole and broken; HTML out."""
import copy
import json
import random
import sqlite3

import p

ECHO = "read 0 5\necho\ndone\n"


def message(role, *parts, kind="text", **more):
    return {"author": {"role": role}, "create_time": 1700000000.5, "content": {"content_type": kind, "parts": list(parts)}, "metadata": {}, **more}


def chatgpt():
    node = {
        "root": {"id": "root", "message": None, "parent": None, "children": ["sys"]},
        "sys": {"id": "sys", "message": message("system", ""), "parent": "root", "children": ["q"]},
        "q": {"id": "q", "message": message("user", "Where do pelicans sleep?"), "parent": "sys", "children": ["a1", "a2"]},
        "a1": {"id": "a1", "message": message("assistant", "On the ground."), "parent": "q", "children": []},
        "a2": {"id": "a2", "message": message("assistant", "Near the water.", metadata={"model_slug": "gpt-4o"}), "parent": "q", "children": ["q2"]},
        "q2": {"id": "q2", "message": message("user", {"content_type": "image_asset_pointer"}, "And this one?", kind="multimodal_text"),
               "parent": "a2", "children": ["t"]},
        "t": {"id": "t", "message": {"author": {"role": "assistant"}, "create_time": 1700000009, "metadata": {},
                                     "content": {"content_type": "thoughts", "thoughts": [{"content": "A bird."}]}}, "parent": "q2", "children": ["a3"]},
        "a3": {"id": "a3", "message": message("assistant", "That is a heron\x1b[31m."), "parent": "t", "children": []},
    }
    return [{"title": "Birds", "create_time": 1700000000.1, "update_time": 1700000010.2, "current_node": "a3", "mapping": node}]


def llama():
    def m(i, parent, role, content, **more):
        return {"id": i, "convId": "c", "parent": parent, "children": [], "role": role, "content": content, "timestamp": 1700000000000 + i, **more}
    return {"conv": {"id": "c", "name": "Knots", "lastModified": 1700000005000, "currNode": 5},
            "messages": [m(1, -1, "system", "", type="root"), m(2, 1, "user", "Which knot for a hitch?"), m(3, 2, "assistant", "A bowline."),
                         m(4, 2, "assistant", "A clove hitch.", thinking="Hitch, not loop.", model="qwen3.gguf"),
                         m(5, 4, "user", "Thanks", extra=[{"type": "TEXT", "name": "notes.txt", "content": "rope"}])]}


def logs(path, rows=(("c1", "Tea"), ("c2", None)), extra=""):
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE conversations(id TEXT PRIMARY KEY, name TEXT, model TEXT);"
                     "CREATE TABLE responses(id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, response TEXT, conversation_id TEXT,"
                     " duration_ms INTEGER, datetime_utc TEXT);" + extra)
    for i, (c, name) in enumerate(rows):
        db.execute("INSERT INTO conversations VALUES(?, ?, 'gpt-4')", (c, name))
        for k in range(2):
            db.execute("INSERT INTO responses VALUES(?, 'gpt-4', ?, ?, ?, ?, 1200, ?)",
                       (f"r{i}{k}", f"prompt {i} {k}", "be kind", f"answer {i} {k}", c, f"2024-03-0{i + 1}T10:0{k}:00.250"))
    db.commit()
    db.close()


def bring(h, name, data):
    (h.dir / name).write_text(data if isinstance(data, str) else json.dumps(data))
    return h.run("import", str(h.dir / name))


def exported(h, title):
    return json.loads(h.run("export", "--format", "json", title).out)


def texts(s):
    by = {n["id"]: n for n in s["nodes"]}
    path, at = [], s["head"]
    while at:
        path.insert(0, (by[at]["role"], [q["text"] for q in by[at]["parts"]]))
        at = by[at]["parent"]
    return path


def test_chatgpt():
    with p.Home(ECHO) as h:
        r = bring(h, "conversations.json", chatgpt())
        p.eq((r.returncode, r.out), (0, ""), r.err)
        p.has(r.err, "1 session imported")
        s = exported(h, "Birds")
        p.eq(len(s["nodes"]), 6)
        p.eq(texts(s), [("user", ["Where do pelicans sleep?"]), ("assistant", ["Near the water."]),
                        ("user", ["image_asset_pointer", "And this one?"]), ("assistant", ["A bird."]), ("assistant", ["That is a heron\x1b[31m."])])
        p.eq((s["created_ms"], s["updated_ms"], s["title_src"]), (1700000000100, 1700000010200, "user"))
        p.eq([m["name"] for m in s["models"]], ["gpt-4o"])
        p.eq(len(h.json("search", "--json", "pelicans")), 1)


def test_llama():
    with p.Home(ECHO) as h:
        p.eq(bring(h, "one.json", llama()).returncode, 0)
        p.eq(bring(h, "many.json", [llama(), llama()]).returncode, 0)
        p.eq(len(h.json("ls", "--json")), 3)
        one = h.json("ls", "--json")[0]["id"]
        s = exported(h, one)
        p.eq(texts(s), [("user", ["Which knot for a hitch?"]), ("assistant", ["Hitch, not loop.", "A clove hitch."]), ("user", ["notes.txt", "rope", "Thanks"])])
        p.eq(len(s["nodes"]), 4)


def test_llm():
    with p.Home(ECHO) as h:
        logs(h.dir / "logs.db")
        before = (h.dir / "logs.db").read_bytes()
        r = h.run("import", str(h.dir / "logs.db"))
        p.eq(r.returncode, 0, r.err)
        p.has(r.err, "2 sessions imported")
        p.eq((h.dir / "logs.db").read_bytes(), before)
        s = exported(h, "Tea")
        p.eq(texts(s), [("user", ["prompt 0 0"]), ("assistant", ["answer 0 0"]), ("user", ["prompt 0 1"]), ("assistant", ["answer 0 1"])])
        p.eq((s["system"], s["created_ms"], s["models"][0]["name"]), ("be kind", 1709287200250, "gpt-4"))


def refused(h, name, data, said):
    r = bring(h, name, data)
    assert r.returncode not in (0, 1, -6, -11), (name, r.returncode, r.err)
    p.has(r.err, said)
    p.eq(len(r.err.strip().splitlines()), 1, r.err)


def test_broken():
    with p.Home(ECHO) as h:
        loop = chatgpt()
        loop[0]["mapping"]["q"]["parent"] = "a3"
        refused(h, "a", loop, "hang on each other")
        own = chatgpt()
        own[0]["mapping"]["q"]["parent"] = "q"
        refused(h, "b", own, "hang on each other")
        refused(h, "c", [{"mapping": 3}], "not an object")
        twice = llama()
        twice["messages"].append(twice["messages"][1])
        refused(h, "d", twice, "the \"id\" of another")
        refused(h, "e", {"conv": {}, "messages": {}}, "not a list")
        refused(h, "f", json.dumps(chatgpt())[:-40], "not JSON")
        refused(h, "g", [llama(), {"x": 1}], "session 2")
        p.eq(h.json("ls", "--json"), [], "nothing of it is kept")


def test_hostile_database():
    with p.Home(ECHO) as h:
        for name, sql in [("view", "DROP TABLE responses; CREATE VIEW responses AS SELECT 1 AS id"), ("less", "DROP TABLE conversations"),
                          ("endless", "DROP TABLE responses; CREATE VIEW responses AS WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c)"
                           " SELECT id FROM c")]:
            path = h.dir / f"{name}.db"
            logs(path, (), sql)
            r = h.run("import", str(path))
            assert r.returncode not in (0, 1) and r.returncode > 0, (name, r.returncode)
            p.has(r.err, "logs.db")
        logs(h.dir / "whole.db")
        whole = bytearray((h.dir / "whole.db").read_bytes())
        rnd = random.Random(7)
        for i in range(30):
            bad = bytearray(whole)
            for _ in range(20):
                bad[rnd.randrange(100, len(bad))] = rnd.randrange(256)
            (h.dir / "bad.db").write_bytes(bad)
            r = h.run("import", str(h.dir / "bad.db"))
            assert r.returncode >= 0 and r.returncode < 100, (i, r.returncode, r.err)
        p.eq(h.run("doctor").returncode in (0, 1), True)


def test_mutated():
    """Whatever stands where: a sentence or an import, never a crash."""
    with p.Home(ECHO) as h:
        rnd = random.Random(3)
        odd = [None, 3, -1, 1e308, "", "x" * 100, "q", [], {}, [[]], True, {"parts": [1, None, "a\0b"]}]

        def walk(j):
            if isinstance(j, dict) and j and rnd.random() < 0.8:
                k = rnd.choice(list(j))
                if rnd.random() < 0.4:
                    j[k] = rnd.choice(odd)
                else:
                    walk(j[k])
            elif isinstance(j, list) and j:
                i = rnd.randrange(len(j))
                if rnd.random() < 0.4:
                    j[i] = rnd.choice(odd)
                else:
                    walk(j[i])
        for i in range(40):
            data = copy.deepcopy(chatgpt() if i % 2 else [llama()])
            for _ in range(3):
                walk(data)
            r = bring(h, "m.json", data)
            assert 0 <= r.returncode < 100 and len(r.err.strip().splitlines()) == 1, (i, r.returncode, r.err, data)


def test_html():
    with p.Home(ECHO) as h:
        evil = "<script>alert(1)</script> & \"quotes\" \x07\n```c\nint a<b>;\n```\nend `x`"
        h.run(evil)
        page = h.run("export", "--format", "html").out
        assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
        assert "<script" not in page and "http://" not in page and "https://" not in page
        p.has(page, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;")
        p.has(page, "<pre><code>int a&lt;b&gt;;\n</code></pre>")
        assert "\x07" not in page
        r = h.run("export", "-o", str(h.dir / "x.html"))
        p.eq(r.returncode, 0, r.err)
        p.has((h.dir / "x.html").read_text(), "Content-Security-Policy")


p.main(globals())
