"""The line face: prompts, answers, commands."""
import json
import os
import re

import p
from person import KEYS, Person, plain, query, turns

ECHO = "model Scripted-7B\ntext \"You said: \"\necho\nusage n_out 318\nusage decode_ms 14900\ndone\n"
SLOW = "model Scripted-7B\npace 20\ntext \"one two three four five six seven eight nine ten eleven twelve thirteen\\n\"\ndone\n"


def test_question_and_answer():
    with p.Home(ECHO) as h, Person(h) as me:
        p.has(me.text(), "hadal 0.1, scripted, a new session. /help, Ctrl-D quits.\n\nyou> ")
        me.say("häuser 漢字?")
        me.see("You said: häuser 漢字?\n")
        me.see("[318 tokens, 21.3/s, context ")
        me.see("you> ")
        p.eq(turns(h), [("user", "final", "häuser 漢字?"), ("assistant", "final", "You said: häuser 漢字?")])
        me.say("")
        me.say("   ")
        me.ask("more", "You said: more")
        me.ask("two\\<enter>lines", "You said: two\nlines")
        p.eq(turns(h)[4][2], "two\nlines")
        me.leave()


def test_stop_keeps_what_came():
    with p.Home("text \"the beginning\"\nstall\n") as h, Person(h) as me:
        me.say("go")
        me.see("the beginning")
        me.type("kept")
        me.type("<c-c>")
        me.see("[stopped after ")
        me.see("you> kept")
        p.eq(turns(h), [("user", "final", "go"), ("assistant", "interrupted", "the beginning")])
        me.type("<c-u><c-c>")
        me.see("[Ctrl-D leaves, /help lists the commands]")
        me.see("you> ")
        me.leave()


def test_typing_while_it_answers():
    with p.Home(SLOW + ECHO) as h, Person(h) as me:
        me.say("go")
        me.see("one two")
        me.say("queued question")
        me.type("and a draft")
        me.see("thirteen\n")
        me.see("you> queued question\n")
        me.see("You said: queued question")
        me.see("you> and a draft")
        shown = me.text()
        p.has(shown, "one two three four five six seven eight nine ten eleven twelve thirteen\n")  # not a key in between
        me.say("!")
        me.see("one two")
        me.type("<c-c>")
        me.see("you> ")
        p.eq([t[2] for t in turns(h) if t[0] == "user"], ["go", "queued question", "and a draft!"])
        me.leave()


def test_queued_is_said():
    with p.Home("load 500\n" + ECHO) as h, Person(h) as me:
        me.say("first")
        me.say("second")
        me.see("[queued: second]")
        me.see("You said: first")
        me.see("You said: second")
        me.see("you> ")
        me.leave()


def test_commands_are_queued_too():
    with p.Home("wait 300\n" + ECHO) as h, Person(h) as me:
        me.say("question")
        me.say("/edit")
        me.say("next question")
        me.say("/zzz")
        me.see("edit> question")
        me.type("<c-c>")  # then the queue goes on
        me.see("left as it was")
        me.see("you> next question\n")
        me.see("You said: next question")
        me.see("no command /zzz")
        me.see("you> /zzz")
        me.type("<c-u>")
        me.leave()
        p.eq([t[2] for t in turns(h) if t[0] == "user"], ["question", "next question"])


def test_help_and_manual():
    with p.Home(ECHO) as h, Person(h) as me:
        me.say("/help")
        me.see("everything is saved.")
        me.see("you> ")
        shown = re.findall(r"^  (/[a-z]+)", me.text(), re.M)
        manual = re.findall(r"^\.It Ic (/[a-z]+)", (p.SRC / "man/hadal.1").read_text(), re.M)
        p.eq(len(shown) > 15, True)
        p.eq(manual, shown)
        me.leave()


def test_status_line():
    with p.Home("load 700 100000000\nread 600 214 120\nthought \"let me see now\"\nwait 300\ntext \"done.\"\ndone\n") as h, Person(h) as me:
        me.say("go")
        me.see("loading ")
        me.see(" of 100 MB")
        me.type("typed")
        me.see("you> typed")
        me.see("reading 214 tokens, ")
        me.see("120 reused")
        me.see("[thinking, 0.")
        me.see("/thought shows it]")
        me.see("done.\n")
        me.see("you> typed")
        for line in me.all.decode().split("\n"):
            for row in line.split("\r"):
                p.eq(len(plain(row.encode())) <= 80, True, row)
        me.type("<c-u>")
        me.say("/thought")
        me.see("let me see now")
        me.see("you> ")
        me.leave()


def test_regen_and_edit():
    with p.Home("text \"A1\"\ndone\ntext \"A2\"\ndone\necho\ndone\n") as h, Person(h) as me:
        me.say("/regen")
        me.see("there is no answer yet")
        me.see("you> ")
        me.ask("question", "A1")
        me.ask("/regen", "A2")
        me.say("/edit")
        me.see("edit> question")
        me.say(" changed")
        me.see("question changed\n[")
        me.see("you> ")
        p.eq([t[::2] for t in turns(h)],
             [("user", "question"), ("assistant", "A1"), ("assistant", "A2"), ("user", "question changed"), ("assistant", "question changed")])
        p.eq(query(h, "SELECT count(DISTINCT parent_id IS NULL) FROM node WHERE role = 'user'"), [(1,)])
        # An empty line, or Ctrl-C, leaves it as it was.
        for how in ("<c-u><enter>", "<c-c>"):
            me.say("/edit 1")
            me.see("edit> question changed")
            me.type(how)
            me.see("left as it was")
            me.see("you> ")
        me.say("/edit 9")
        me.see("there is only 1 prompt above")
        me.say("/edit zero")
        me.see("/edit takes a number")
        p.eq(len(turns(h)), 5)
        me.leave()


def test_sessions():
    with p.Home(ECHO) as h, Person(h) as me:
        me.ask("the first subject", "You said")
        me.say("/rename Whales and ships")
        me.see("[session \"Whales and ships\"]")
        me.say("/new")
        me.see("[a new session]")
        me.ask("another matter", "You said")
        me.say("/sessions")
        me.see("another matter")
        me.see("Whales and ships")
        me.see("you> ")
        me.say("/open whales")
        me.see("[session \"Whales and ships\"]")
        me.see("the first subject")
        me.see("You said: the first subject")
        me.see("you> ")
        me.say("/open whales and t<tab>")
        me.see("no session has this id or these words")
        me.say("/open An<tab><enter>")
        me.see("\"another matter\"")
        me.say("/delete whales")
        me.see("\"Whales and ships\" is deleted; /undelete brings it back")
        me.see("you> ")
        me.say("/open whales")
        me.see("no session has")
        me.say("/undelete")
        me.see("[session \"Whales and ships\"]")
        me.see("you> ")
        me.say("/delete")  # this one
        me.see("is deleted")
        me.ask("a third", "You said")
        me.say("/undelete whales")
        me.see("[session \"Whales and ships\"]")
        me.say("/search subject")
        me.see("Whales and ships")
        me.see("you>")
        me.say("/search nowhere-to-be-found")
        me.see("[nothing found]")
        me.leave()
        p.eq(query(h, "SELECT count(*) FROM session WHERE deleted_ms IS NULL"), [(3,)])
    with p.Home(ECHO) as h, Person(h) as me:
        for line, want in (("/sessions", "there is no session yet"), ("/delete", "nothing to delete"), ("/rename x", "begins with its first prompt"),
                           ("/export", "nothing to export"), ("/undelete", "no session is deleted"), ("/open", "/open takes"), ("/thought", "no answer yet"),
                           ("/stats", "no answer yet"), ("/edit", "no prompt to edit yet"), ("/sessions many", "/sessions takes")):
            me.say(line)
            me.see(want)
            me.see("you> ")
        me.leave()


def test_going_on():
    with p.Home(ECHO) as h:
        with Person(h) as me:
            me.ask("remember me", "You said")
            me.leave()
        with Person(h, "-c") as me:
            me.see("remember me\nYou said: remember me\n\nyou> ")
            p.has(me.text(), "session \"remember me\"")
            me.type("<up>")
            me.see("remember me")
            me.type("<enter>")
            me.see("You said: remember me")
            me.see("you> ")
            me.leave()
        p.eq(len(turns(h)), 4)
        p.eq(query(h, "SELECT count(*) FROM session"), [(1,)])


def test_commands_that_are_none():
    with p.Home(ECHO) as h, Person(h) as me:
        me.say("/sesions please")
        me.see("no command /sesions; did you mean /sessions?")
        me.see("you> /sesions please")
        me.type("<c-u>")
        me.say("/zzz")
        me.see("/help lists them")
        me.see("you> /zzz")
        me.type("<c-u>")
        me.say("/quit now")
        me.see("/quit takes nothing behind it")
        me.ask("/etc/hosts is a file", "You said: /etc/hosts is a file")
        me.ask("//help me", "You said: /help me")
        me.ask("1 / 2", "You said: 1 / 2")
        me.say("/quit")
        p.eq(me.wait(), 0)
        p.eq([t[2] for t in turns(h) if t[0] == "user"], ["/etc/hosts is a file", "/help me", "1 / 2"])


def test_completion():
    with p.Home(ECHO) as h, Person(h) as me:
        me.type("/se<tab>")
        me.see("/se")
        me.type("<tab><tab>")
        me.see("/sessions  /search    /set")
        me.type("t tem<tab>")  # temp and template
        me.see("/set tem")
        me.say(" 1.5")
        me.see("[temp 1.5]")
        me.type("x")
        me.type("<c-c>")
        me.see("you> ")
        me.type("/set stats y<tab><enter>")
        me.see("[stats yes]")
        me.type("/mod<tab>scr<tab><enter>")
        me.see("scripted.gguf answers from here on")
        me.ask("for a session", "You said")
        me.type("/exp<tab>js<tab>./out.json<enter>")
        me.see("out.json")
        me.leave()


def test_settings():
    with p.Home("messages\nusage n_out 7\nusage decode_ms 70\ndone\n") as h, Person(h) as me:
        me.say("/set temp 0.25")
        me.see("[temp 0.25]")
        me.say("/set temp")
        me.see("[temp 0.25]")
        me.say("/set top-k = 7")
        me.see("[top-k 7]")
        me.say("/set temp 1000")
        me.see("hadal: temp takes a number from 0 to 100, not '1000'")
        me.say("/set temperature 1")
        me.see("no setting is called temperature")
        me.say("/set json yes")
        me.see("cannot be changed in a chat")
        me.say("/set model nosuch")
        me.see("no model nosuch")
        me.say("/params")
        me.see("temp                0.25")
        me.see("you> ")
        me.say("/system You are a duck.")
        me.see("the system prompt is set")
        me.say("/system")
        me.see("You are a duck.")
        me.see("you> ")
        me.ask("hi", "system: You are a duck.\nuser: hi")
        p.eq(query(h, "SELECT json_extract(params, '$.temp'), json_extract(params, '$.top_k') FROM generation"), [(0.25, 7)])
        p.eq(query(h, "SELECT system FROM session"), [("You are a duck.",)])
        me.say("/stats")
        me.see("answer   7 tokens in 0.07 s (100.0/s)")
        me.see("ended    by itself")
        me.say("/system -")
        me.see("no system prompt")
        me.see("you> ")
        me.say("more")
        me.see("user: hi")
        me.see("you> ")
        p.eq("duck" in turns(h)[3][2].split("user: hi")[0], False)
        me.leave()


def test_raw_and_export():
    with p.Home(ECHO) as h, Person(h) as me:
        me.ask("show me", "You said: show me")
        me.say("/raw")
        me.see("show me")
        me.see(" tokens")
        me.see("you> ")
        p.eq(len(turns(h)), 2)
        me.say("/export")
        me.see("[hadal-")
        me.see(".md, ")
        name, = [f.name for f in h.dir.iterdir() if f.suffix == ".md"]
        p.has((h.dir / name).read_text(), "You said: show me")
        me.say(f"/export {name}")
        me.see("exists already; name another file")
        me.say("/export json it's here.json")
        me.see("[it's here.json, ")
        p.has(json.dumps(json.loads((h.dir / "it's here.json").read_text())), "You said: show me")
        me.say("/export no/such/folder.md")
        me.see("hadal: ")
        me.see("you> ")
        me.leave()


def test_nothing_saved():
    with p.Home(ECHO) as h, Person(h, "-n") as me:
        p.has(me.text(), ", not saved. ")
        me.ask("secret", "You said: secret")
        me.ask("/regen", "You said: secret")
        for command in ("sessions", "open x", "rename x", "delete", "undelete", "search x", "export"):
            me.say("/" + command)
            me.see(f"nothing is saved in this chat (-n), so /{command.split()[0]} has nothing to work on")
        me.say("/edit")
        me.see("edit> secret")
        me.type("<c-c>")
        me.see("you> ")
        me.type("draft")
        me.quiet(0.6)
        me.type("<c-u>")
        me.leave()
        p.eq((h.dir / "data/hadal/history.db").exists(), False)


def test_errors_of_the_engine():
    with p.Home("error toolong \"prompt of 9000 tokens, the context holds 4096\"\nerror io \"disk on fire\"\n" + ECHO) as h, Person(h) as me:
        me.say("too long a prompt")
        me.see("hadal: prompt of 9000 tokens, the context holds 4096")
        me.see("> too long a prompt")  # to be shortened
        me.say("<c-u>short")
        me.see("hadal: disk on fire")
        me.see("[the prompt is saved; /regen tries again]")
        me.see("you> ")
        me.ask("/regen", "You said: short")
        me.leave()


def test_draft():
    with p.Home(ECHO) as h:
        with Person(h) as me:  # before there is a session
            me.type("half a thought")
            me.see("half a thought")
            p.eq(me.kill(15), 143)
        with Person(h) as me:
            me.see("half a thought")
            p.has(me.text(), "a new session")
            me.ask(" more", "You said: half a thought more")
            me.type("unsent")
            me.quiet(0.7)
            me.kill()
        with Person(h) as me:
            p.eq("unsent" in me.rest(), False)  # another session
            me.leave()
        with Person(h, "-c") as me:
            me.see("unsent")
            me.type("<c-c>")  # goes into the history of prompts
            me.see("you> ")
            me.type("<up>")
            me.see("unsent")
            me.type("<c-u>")
            me.quiet(0.6)
            me.leave()
        with Person(h, "-c") as me:
            me.see("thought more\n\nyou> ")
            p.eq(me.rest(), "")
            me.type("<up>")
            me.see("unsent")
            me.type("<c-u>")
            me.leave()
        with Person(h) as me:  # typed and wiped: nothing stays
            me.type("x")
            me.quiet(0.7)
            me.type("<c-u>")
            me.leave()
        p.eq(query(h, "SELECT count(*) FROM session"), [(1,)])


def test_drafts_of_two_at_once():
    with p.Home(ECHO) as h, Person(h) as one:
        one.type("of the first")
        one.quiet(0.7)
        with Person(h) as two:
            p.eq(two.rest(), "")  # not the other's
            two.type("of the second")
            two.quiet(0.7)
            two.kill(15)
        one.ask("!", "You said: of the first!")
        with Person(h) as three:
            three.see("of the second")
            three.type("<c-u>")
            three.quiet(0.7)
            three.leave()
        one.leave()
        p.eq(len(query(h, "SELECT id FROM session")), 1)


def test_typing_before_the_prompt():
    with p.Home(ECHO) as h, Person(h, prompt=False) as me:
        me.type("early " * 30 + "bird\n")
        me.see("You said: " + "early " * 5)
        me.see("tokens")
        me.see("you> ")
        p.eq(turns(h)[0][2], "early " * 30 + "bird")
        me.leave()


def test_typing_behind_the_end():
    for end in ("<c-d>", "/quit<enter>"):
        with p.Home(ECHO) as h, Person(h) as me:
            os.write(me.fd, (KEYS.get(end) or "/quit\r").encode() + b"rm -rf precious\rmore")
            p.eq(me.wait(), 0)
            p.eq(turns(h), [])


def test_no_model():
    with p.Home() as h, Person(h) as me:
        p.has(me.text(), ", no model, ")
        me.see("")
        p.has(me.text(), "hadal: no model: put a GGUF file into ")
        me.say("hello?")
        me.see("hadal: no model")
        me.see("you> hello?")  # not sent, not lost
        me.type("<c-u>")
        me.say("/model")
        me.see("no models are in ")
        me.leave()
        p.eq(turns(h), [])


p.main(globals())
