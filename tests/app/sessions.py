"""ls, show, search, rename, rm, export, import: through the program. Scripted engine."""
import json
import os
import sqlite3
import p

ECHO = "read 0 5\necho\ndone\n"


def with_three(script=ECHO):
    h = p.Home(script)
    for q in ["Why is the sky blue?", "How deep is the sea?", "\u4e2d\u6587\u7d22\u5f15\u600e\u4e48\u7528"]:
        r = h.run(q)
        p.eq((r.returncode, r.err), (0, ""))
    return h


def ids(h, *args):
    return [s["id"] for s in h.json("ls", "--json", *args)]


def test_nothing_yet():
    with p.Home(ECHO) as h:
        for args, code, said in [(["ls"], 0, "no conversation yet"), (["show"], 6, "no session yet"), (["search", "x"], 0, "nothing found"),
                                 (["export"], 6, "no session yet"), (["ls", "--deleted"], 0, "nothing that was removed")]:
            r = h.run(*args)
            p.eq((r.returncode, r.out), (code, ""), args)
            p.has(r.err, said)
        p.eq(h.json("ls", "--json"), [])
        p.eq(h.json("search", "--json", "x"), [])
        assert not (h.dir / "data/hadal/history.db").exists(), "looking makes nothing"


def test_title():
    with p.Home(ECHO) as h:
        h.run("sort these", input=b"first line\nsecond\n")
        h.run("-c", "shorter", input=b"more\n")
        h.run(input=b"\n  only standard input\nand more\n")
        p.eq([s["title"] for s in h.json("ls", "--json")], ["only standard input", "sort these"])


def test_ls():
    with with_three() as h:
        lines = h.run("ls").out.splitlines()
        p.eq(len(lines), 3)
        p.has(lines[2], "Why is the sky blue?")
        sessions = h.json("ls", "--json")
        p.eq([s["title"] for s in sessions], ["\u4e2d\u6587\u7d22\u5f15\u600e\u4e48\u7528", "How deep is the sea?", "Why is the sky blue?"])
        for s, line in zip(sessions, lines):
            p.eq((s["messages"], s["branches"], s["id"]), (2, 1, s["uid"][-6:].lower()))
            assert line.split()[:3] == [s["id"], "now", "2"], line
        p.eq(len(h.run("ls", "--limit", "2").out.splitlines()), 2)
        p.eq(h.run("ls", "x").returncode, 2)
        before = (h.dir / "data/hadal/history.db").read_bytes()
        h.run("ls")
        p.eq((h.dir / "data/hadal/history.db").read_bytes(), before, "listing writes nothing")


def test_ls_on_a_terminal():
    """Titles are cut to the width, by columns; beyond 40 sessions the rest is named."""
    with p.Home(ECHO) as h:
        for title in ["x" * 200, "\u4e2d" * 200, "short", "e\u0301" * 100]:
            h.run(title)
        for columns in (80, 41):
            status, tty, _, _ = p.on_tty(h, "ls", columns=columns)
            lines = tty.decode().replace("\r", "").splitlines()
            p.eq((status, len(lines)), (0, 4))
            width = [sum(0 if c == "\u0301" else 2 if c == "\u4e2d" else 1 for c in line) for line in lines]
            p.eq((width[0], width[3], width[2] in (columns - 1, columns)), (columns, columns, True), str(width))
            p.eq([line.endswith("\u2026") for line in lines], [True, False, True, True])
        for i in range(38):
            h.run(f"number {i}")
        status, tty, _, _ = p.on_tty(h, "ls")
        lines = tty.decode().splitlines()
        p.eq(len(lines), 41)
        p.has(lines[-1], "there are more: hadal ls --limit 0")
        p.eq(len(h.run("ls").out.splitlines()), 42)


def test_show():
    with with_three() as h:
        sea = ids(h)[1]
        r = h.run("show", sea)
        for part in [sea, "How deep is the sea?", "you, now", "assistant, now"]:
            p.has(r.out, part)
        p.eq(h.run("show", "deep").out, r.out, "words of a title")
        p.eq(h.run("show", "sea", "deep").out, r.out)
        p.eq(h.run("show", "--last", sea).out, "How deep is the sea?\n")
        j = h.json("show", "--json", sea.upper())
        p.eq([(m["role"], m["state"], m["text"], m["version"], m["versions"]) for m in j["path"]],
             [("user", "final", "How deep is the sea?", 1, 1), ("assistant", "final", "How deep is the sea?", 1, 1)])
        p.eq(j["path"][1]["generation"]["stop"], "eog")
        p.eq(h.run("show", "zzzzzz").returncode, 6)
        r = h.run("show", "is the")
        p.eq(r.returncode, 6)
        p.has(r.err, "ambiguous")
    with p.Home('read 0 5\nthought "hm, hm"\ntext "42"\ndone\n') as h:
        h.run("--system", "Think.", "q")
        assert "hm, hm" not in h.run("show").out
        p.has(h.run("show", "--thoughts").out, "hm, hm\n\n42\n")
        p.has(h.run("show").out, "system\nThink.\n")
        p.eq(h.json("show", "--json")["path"][1]["thought"], "hm, hm")


def test_search():
    with with_three() as h:
        r = h.run("search", "sky")
        p.eq(r.returncode, 0)
        p.has(r.out, "Why is the sky blue?")
        assert "\x01" not in r.out and "\x1b" not in r.out
        hits = h.json("search", "--json", "is", "the")
        p.eq({x["title"] for x in hits}, {"Why is the sky blue?", "How deep is the sea?"})
        p.eq({x["role"] for x in hits}, {"user", "assistant"})
        assert all("\x01" not in x["snippet"] for x in hits)
        p.has(h.run("search", "\u7d22\u5f15").out, "\u4e2d\u6587")
        for odd in ['"', "a'b", "NEAR(", "*", "x AND", "-", "col:x", "what's up?", "6ba7b810-9dad-11d1", "(((", "\\"]:
            r = h.run("search", "--", odd)
            p.eq(r.returncode, 0, odd + r.err)
        p.eq(h.run("search").returncode, 2)
        p.eq(len(h.json("search", "--json", "--limit", "1", "is")), 1)


def test_rename_rm_undo():
    with with_three() as h:
        a, b, c = ids(h)
        r = h.run("rename", "One title")
        p.eq((r.returncode, r.out), (0, ""))
        p.has(r.err, f"{a} is now called: One title")
        h.run("rename", "sky", "Another", "title")
        p.eq([s["title"] for s in h.json("ls", "--json")], ["One title", "How deep is the sea?", "Another title"])
        p.eq(h.run("rename", " ").returncode, 2)
        p.eq(h.run("rename", "nothing-like-it", "x").returncode, 6)
        r = h.run("rm", "deep")
        p.eq(r.returncode, 0)
        p.has(r.err, f"{b} is removed: How deep is the sea? (for 30 days, hadal rm --undo {b} brings it back)")
        p.eq(ids(h), [a, c])
        p.eq(ids(h, "--deleted"), [b])
        p.eq(h.run("show", b).returncode, 6)
        p.eq(h.json("search", "--json", "sea"), [])
        p.eq(h.run("rm", b).returncode, 6)
        p.eq(h.run("rm", "--undo", b).returncode, 0)
        p.eq(sorted(ids(h)), sorted([a, b, c]))
        p.eq(len(h.json("search", "--json", "sea")), 2)
        p.eq(h.run("rm").returncode, 0, "the newest")
        p.eq(h.run("rm", "--undo").returncode, 0, "the one removed last")
        p.eq(sorted(ids(h)), sorted([a, b, c]))
        p.eq(h.run("rm", "--undo").returncode, 6)


def test_export_import():
    with with_three() as h:
        h.run("-c", "more \x1b[31m")
        a, b, c = ids(h)
        md = h.run("export", "sky")
        p.eq((md.returncode, md.err), (0, ""))
        p.has(md.out, "Why is the sky blue?")
        one = json.loads(h.run("export", a, "--format", "json").out)
        r = h.run("export", "--all", "-f", "json", "-o", "all.json")
        p.eq((r.returncode, r.out, r.err), (0, "", ""))
        path = h.dir / "all.json"
        everything = json.loads(path.read_text())
        p.eq((len(everything), path.stat().st_mode & 0o777), (3, 0o600))
        assert any(x == one or x.get("uid") == one.get("uid") for x in everything)
        p.eq(h.run("export", "--all").returncode, 0)
        p.eq(h.run("export", "sky", "-o", "-").out, md.out)
        for args in [["--format", "pdf"], ["--all", "--format", "html"], ["--all", "sky"]]:
            p.eq(h.run("export", *args).returncode, 2, args)
        p.eq(h.run("export", "-o", "nowhere/x").returncode, 1)
        with p.Home(ECHO) as other:
            r = other.run("import", str(path))
            p.eq(r.returncode, 0, r.err)
            p.has(r.err, "3 sessions imported")
            p.eq(sorted(s["title"] for s in other.json("ls", "--json")), sorted(s["title"] for s in h.json("ls", "--json")))
            p.eq([m["text"] for m in other.json("show", "--json", "sky")["path"]], [m["text"] for m in h.json("show", "--json", "sky")["path"]])
            p.eq(other.run("search", "--json", "sea").out.count('"node"'), h.run("search", "--json", "sea").out.count('"node"'))
            r = other.run("import", "-", input=json.dumps(one))
            p.eq(r.returncode, 0, r.err)
            p.has(r.err, "1 session imported")
            n = len(other.json("ls", "--json"))
            for text in ["", "{", "[]x", "42", '[{"title": 7}]', json.dumps([one, {"no": "session"}])]:
                r = other.run("import", "-", input=text)
                assert r.returncode not in (0,) or text == "[]", (text, r.err)
                p.eq(r.err.count("\n"), 1, text)
            p.eq(len(other.json("ls", "--json")), n, "all or nothing")
            p.eq(other.run("import", "/nowhere.json").returncode, 1)


def test_titles_are_sanitized():
    with p.Home(ECHO) as h:
        h.run("-p", "a\x1b]0;evil\x07\u202eb")
        h.run("rename", "t\x1b[2J\u009bx")
        for args in [["ls"], ["show"], ["search", "evil"], ["rm"], ["ls", "--deleted"], ["rm", "--undo"], ["ls", "--json"], ["show", "--json"],
                     ["search", "--json", "evil"], ["completion", "--words", "--", "show", ""]]:
            r = h.run(*args)
            p.eq(r.returncode, 0, r.err)
            for text in (r.out, r.err):
                assert not any(x in text for x in "\x1b\x07\u202e\u009b"), (args, text)


def test_locked_and_newer():
    with with_three() as h:
        db = h.dir / "data/hadal/history.db"
        c = sqlite3.connect(db, isolation_level=None)
        version = c.execute("PRAGMA user_version").fetchone()[0]
        c.execute(f"PRAGMA user_version = {version + 1}")
        c.close()
        before = db.read_bytes()
        r = h.run("ls")
        p.eq((r.returncode, len(r.out.splitlines())), (0, 3))
        p.eq(r.err.count("\n"), 1)
        r = h.run("a question")
        p.eq((r.returncode, r.out), (6, ""))
        for args in [["rm"], ["rename", "x"]]:
            p.eq(h.run(*args).returncode, 6, args)
        p.eq(db.read_bytes(), before)
        p.eq(h.run("-n", "a question").out, "a question\n")


def test_read_only_place():
    if os.geteuid() == 0:
        p.skip("root may write everywhere")
    with with_three() as h:
        (h.dir / "data/hadal").chmod(0o500)
        (h.dir / "data/hadal/history.db").chmod(0o400)
        try:
            p.eq(len(h.run("ls").out.splitlines()), 3)
            p.eq(h.run("q").returncode, 6)
        finally:
            (h.dir / "data/hadal").chmod(0o700)


def test_completing_sessions():
    with with_three() as h:
        a, b, c = ids(h)
        words = lambda *w: h.run("completion", "--words", "--", *w).out.splitlines()
        p.eq(words("show", ""), [f"{i}\t{t}" for i, t in [(s["id"], s["title"]) for s in h.json("ls", "--json")]])
        p.has("\n".join(words("-s", b[:2])), f"{b}\tHow deep is the sea?")
        p.eq([w for w in words("show", "how") if "deep" in w and "\t" not in w], ["How deep is the sea?"])
        h.run("rm", b)
        p.eq([w.split("\t")[0] for w in words("rm", "--undo", "")], [b])
        p.eq(len(words("rm", "")), 2)


def test_library():
    """fork, tag, pin, archive, purge."""
    with with_three() as h:
        r = h.run("tag", "deep", "sea", "#work")
        p.eq((r.returncode, r.out), (0, "sea work\n"), r.err)
        p.eq(h.run("tag", "deep", "--", "-work").out, "sea\n")
        p.eq(h.run("tag", "deep", "a,").returncode, 0)
        p.eq(h.run("tag", "deep", "x" * 70).returncode, 6)
        p.eq([s.get("tags") for s in h.json("ls", "--json")], [None, "a sea", None])
        r = h.run("fork", "deep", "--title", "shallow")
        p.eq(r.returncode, 0, r.err)
        p.has(r.err, "is forked: shallow")
        p.eq([s["title"] for s in h.json("ls", "--json")][:1], ["shallow"])
        p.has(h.run("show", "shallow").out, "How deep is the sea?")
        p.eq(len(h.json("search", "--json", "deep")), 2)
        p.eq(h.run("archive", "shallow").returncode, 0)
        p.eq(len(h.json("ls", "--json")), 3)
        p.eq([s["title"] for s in h.json("ls", "--json", "--archived")], ["shallow"])
        p.eq(h.run("archive", "--undo", "shallow").returncode, 0)
        p.eq(len(h.json("ls", "--json")), 4)
        p.eq(h.run("pin", "sky").returncode, 0)
        h.run("rm", "shallow")
        p.has(h.run("purge", "--days", "3").err, "0 sessions")
        p.has(h.run("purge").err, "1 session deleted")
        p.eq(h.json("ls", "--json", "--deleted"), [])
        p.eq(h.run("pin", "nothing like it").returncode, 6)


p.main(globals())
