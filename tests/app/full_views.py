"""
The views beside the chat, on a real history: what their keys do to it. Keys from a script, no terminal.
"""
import p

ECHO = "read 0 5\necho\ndone\n"


def play(h, script):
    (h.dir / "keys").write_text("size 110 30\n" + script)
    r = run(h)
    p.eq((r.returncode, r.err), (0, ""), script)


def run(h):
    h.env["HADAL_SCRIPT"] = str(h.dir / "keys")
    h.env["INPUTRC"] = "/dev/null"
    r = h.run()
    del h.env["HADAL_SCRIPT"]
    return r


def three():
    h = p.Home(ECHO)
    for q in ["Why is the sky blue?", "How deep is the sea?", "Where do pelicans sleep?"]:
        h.run(q)
    return h


def test_sessions():
    with three() as h:
        play(h, "keys \"\\x1bOQ\"\nsee pelicans\nkeys \"jp\"\npause 20\nkeys \"tocean\\r\"\npause 20\nkeys \"r\\x15The deep\\r\"\nsee The deep\n"
             f"keys \"x{h.dir}/deep.html\\r\"\nsee bytes\nkeys \"q\"\n")
        s = [s for s in h.json("ls", "--json") if s["title"] == "The deep"]
        p.eq([x["tags"] for x in s], ["ocean"])
        p.has((h.dir / "deep.html").read_text(), "How deep is the sea?")
        play(h, "keys \"\\x1bOQ\"\nsee pelicans\nkeys \"/pelic\"\nsee 1 shown\nkeys \"\\ra\"\nsee archive\nkeys \"q\"\n")
        p.eq([s["title"] for s in h.json("ls", "--json", "--archived")], ["Where do pelicans sleep?"])
        play(h, "keys \"\\x1bOQ\"\nsee The deep\nkeys \"d\"\nsee deleted;\nkeys \"u\"\nsee The deep\nkeys \"jd\"\nsee deleted;\nkeys \"q\"\n")
        p.eq([s["title"] for s in h.json("ls", "--json", "--deleted")], ["Why is the sky blue?"])
        p.eq([s["title"] for s in h.json("ls", "--json")], ["The deep"])


def test_search():
    with three() as h:
        play(h, "keys \"\\x1bOR\"\nsee type what\nkeys \"deep\"\nsee hits\nkeys \"\\r\"\nsee How deep is the sea?\n"
             f"dump {h.dir}/out\nkeys \"iand then\"\nkeys \"\\r\"\nidle\n")
        p.eq([(s["title"], s["messages"]) for s in h.json("ls", "--json")][0], ("How deep is the sea?", 4))


def test_tree():
    with three() as h:
        play(h, "keys \"first\\r\"\nidle\nkeys \"/regen\\r\"\nidle\nkeys \"\\x18\"\nkeys \"b\"\nsee branches\nkeys \"gjmjd\"\nsee two messages\n"
             "keys \"q\"\nsee branches\nkeys \"gj\\r\"\nsee 1/2\nkeys \"isecond\\r\"\nidle\n"
             "keys \"\\x18\"\nkeys \"b\"\nsee second\nkeys \"gf\"\nsee a new session\n")
        s = [(s["title"], s["messages"], s["branches"]) for s in h.json("ls", "--json")]
        p.eq(s[:2], [("first", 1, 1), ("first", 5, 2)])


def test_settings():
    with three() as h:
        play(h, "keys \"\\x18\"\nkeys \"p\"\nsee settings\nkeys \"jjjj\\r\\x15\"\nkeys \"0.25\\r\"\nsee 0.25\nkeys \"q\"\nkeys \"hello\\r\"\nidle\n")
        h.run("export", "--format", "json", "-o", str(h.dir / "x.json"))
        p.has((h.dir / "x.json").read_text(), "\"temp\": 0.25")


def test_persona():
    with p.Home(ECHO, config="persona.poet = answer in verse\npersona.clerk = be dry\npersona.a b = no\npersona. = no\n") as h:
        (h.dir / "keys").write_text("size 100 24\nkeys \"/persona\\r\"\nsee answer in verse\nkeys \"q\"\nkeys \"/persona poet\\r\"\nsee from here on\n"
                                    "keys \"hello\\r\"\nidle\nkeys \"/persona nobody\\r\"\nsee no persona of this name\n")
        r = run(h)
        p.eq(r.returncode, 0)
        p.eq(r.err.count("persona.NAME takes"), 2, r.err)
        h.run("export", "--format", "json", "-o", str(h.dir / "x.json"))
        p.has((h.dir / "x.json").read_text(), "\"system\": \"answer in verse\"")


def test_nothing_saved():
    with p.Home(ECHO) as h:
        (h.dir / "keys").write_text("keys \"\\x1bOQ\"\nsee nothing is saved\nkeys \"\\x1bOR\"\nsee nothing is saved\nkeys \"\\x1bOS\"\nsee models\nkeys \"\\x1b\"\n")
        h.env["HADAL_SCRIPT"] = str(h.dir / "keys")
        r = h.run("-n")
        p.eq((r.returncode, r.err), (0, ""))


p.main(globals())
