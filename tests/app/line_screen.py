"""What reaches the terminal: nothing of the model's but text, nothing too wide, nothing that moves with --plain; and a run inside tmux."""
import fcntl
import os
import re
import signal
import sqlite3
import struct
import termios

import p
from person import Person, Tmux, plain, turns, until

ECHO = "text \"You said: \"\necho\ndone\n"
# What our own output may hold: colour, erase, readline's cursor movements and insertions, bracketed paste.
ALLOWED = re.compile(rb"\x1b\[[0-9;]*[mKJ]|\x1b\[[0-9]*[ABCDPG@]|\x1b\[\?2004[hl]|\x1b\[[0-9;]*H|\x1b\(B|\x1b\[\?1[hl]|\x1b[=>]")
HOSTILE = ("a\x1b]52;c;aGFja2Vk\x07b\x1b[2Jc\x1b[?1049hd\x1bP1$r\x1b\\e\x1b_apc\x1b\\f\x1bcg\x9bh\x9d8;;http://x\x9ci\x07j\x08k\x0el\rm"
           "n\u202eo\u2066p\U000e0041q\x7fr\x00s\x1b")


def quote(text, raw=b""):
    """A script's string of the bytes of a text (C1 as characters) and some more."""
    return "\"" + "".join(f"\\x{b:02x}" for b in text.encode() + raw) + "\""


def harmless(me):
    rest = ALLOWED.sub(b"", me.all)
    bad = [b for b in rest if (b < 0x20 and b not in b"\r\n\t\x08\x07") or b == 0x7F]
    p.eq(bad, [], rest[-400:])
    text = rest.decode()  # valid, too
    p.eq([c for c in text if 0x80 <= ord(c) < 0xA0 or c in "\u202e\u2066" or ord(c) == 0xE0041], [])
    return rest


def test_hostile_model():
    raw = bytes([0x9B, 0x32, 0x4A, 0xFF, 0xC3])
    script = "".join(f"pace 0 {size}\nmodel evil\nthought {quote(HOSTILE)}\ntext {quote(HOSTILE, raw)}\ndone\n" for size in (1, 2, 3, 7, 100))
    script += f"error io {quote(HOSTILE)}\ntext \"fine\"\ndone\n"
    with p.Home(script) as h, Person(h, cols=200) as me:
        for i in range(5):
            me.say(f"go {i}")
            me.see("^[]52;c;aGFja2Vk^Gb^[[2Jc^[[?1049hd")
            me.see("n<U+202E>o<U+2066>p<U+E0041>q^?r^@s^[")
            me.see("you> ")
        me.say("/thought")
        me.see("^[]52;c;")
        me.see("you> ")
        me.say("an error")
        me.see("hadal: a^[]52")
        me.see("you> ")
        me.say("/raw")
        me.see("you> ")
        p.eq(harmless(me).count(b"\x07"), 0)
        me.leave()
        p.eq(turns(h)[1][2].encode("utf-8", "surrogateescape").startswith(b"a\x1b]52"), True)  # history has it as it came


def test_hostile_history():
    with p.Home(ECHO) as h:
        with Person(h) as me:
            me.ask("subject matter", "You said")
            me.leave()
        db = sqlite3.connect(f"{h.dir}/data/hadal/history.db")
        db.execute("UPDATE session SET title = ?, system = ?", (HOSTILE, HOSTILE))
        db.execute("UPDATE part SET text = ?", ((HOSTILE + " subject").encode(),))
        db.execute("INSERT INTO input_history(text, used_ms) VALUES(?, 1)", (HOSTILE.replace("\0", ""),))
        db.commit()
        db.close()
        with Person(h, "-c", cols=150) as me:
            me.see("r^@s^[ subject\n\nyou> ")
            for line in ("/sessions", "/search subject", "/system", "/thought"):
                me.say(line)
                me.see("you> ")
            me.type("/open <tab><tab>")
            me.quiet()
            me.type("<c-u>/edit<enter>")
            me.see("edit> ")
            me.quiet()
            me.type("<c-u><enter>")
            me.see("left as it was")
            me.see("you> ")
            me.type("<up><up><up><up><up><up>")
            me.quiet()
            harmless(me)
            me.type("<c-u>")
            me.leave()


def test_terminals_and_sizes():
    script = "load 200\nread 200 4000 12\nthought \"one two\"\nwait 100\npace 1\n" + "text \"" + "many words in a row, and häuser 漢字漢字 more; " * 8 + "\"\ndone\n"
    with p.Home(script) as h:
        for term, rows, cols in (("xterm-256color", 24, 80), ("tmux-256color", 60, 200), ("screen", 5, 20), ("linux", 24, 80), ("vt100", 24, 40),
                                 ("dumb", 24, 80), ("nonsense", 24, 80), ("xterm", 1, 1), ("xterm", 2, 7)):
            with Person(h, TERM=term, rows=rows, cols=cols, prompt=cols > 20) as me:
                if cols <= 20:
                    me.quiet(0.3)
                me.say("go")
                until(lambda: me.pump(0.01) and b"tokens" in me.all[-300:], f"no end on {term}")
                me.quiet(0.05)
                for row in map(plain, re.split(rb"[\r\n]", me.all)):
                    width = sum(2 if 0x3000 <= ord(c) < 0xA000 else 1 for c in row)
                    if cols >= 40 and "you>" not in row and not row.startswith(("hadal", "[")):
                        p.eq(width <= cols, True, (term, row))
                me.leave()


def test_dumb():
    with p.Home("load 300\npace 2\n" + ECHO) as h, Person(h, TERM="dumb") as me:
        me.ask("hello", "You said: hello")
        me.say("/help")
        me.see("you> ")
        me.leave()
        p.eq(b"\x1b" in me.all, False)


def test_no_color():
    with p.Home(ECHO) as h, Person(h, NO_COLOR="1") as me:
        me.ask("hello", "You said: hello")
        me.say("/sessions")
        me.see("hello")
        me.leave()
        p.eq([m for m in re.findall(rb"\x1b\[[0-9;]*m", me.all) if m not in (b"\x1b[0m", b"\x1b[m")], [])


def test_plain():
    script = "load 300 1000000\nread 300 2000\nthought \"let me see\"\npace 1\ntext \"" + "a rather long line of words " * 12 + "\\nend\"\ndone\n"
    for how in ({"args": ("--plain",)}, {"ACCESSIBLE": "1"}):
        with p.Home(script) as h, Person(h, *how.pop("args", ()), **how) as me:
            me.say("first question")
            me.see("[loading the model]\n")
            me.say("second question")
            me.see("[queued: second question]\n")
            me.see("[75 %]\n[reading 2,000 tokens]\n[25 %]\n[50 %]\n[75 %]\n[thinking]\n")
            me.see("[thinking, ")
            me.see("a rather long line of words " * 12 + "\nend\n[")  # no line is cut
            me.see("you> second question\n")
            me.see("[loading the model]\n[25 %]\n[50 %]\n[75 %]\n[reading 2,000 tokens]\n[25 %]\n[50 %]\n[75 %]\n[thinking]\n")
            me.see("\nend\n[")
            me.see("you> ")
            me.say("/help")
            me.see("you> ")
            me.leave()
            p.eq(set(re.findall(rb"\x1b.[^a-zA-Z]*.", me.all)) - {b"\x1b[?2004h", b"\x1b[0m", b"\x1b[?2004l"}, set())
            p.eq(re.search(rb"\r(?!\n)", me.all), None)
            p.eq(b"\b" in me.all, False)
            p.eq(me.all.count(b"\a"), 2)


def test_resize_storm():
    with p.Home("pace 4\ntext \"" + "some words to wrap " * 60 + "\"\ndone\n") as h, Person(h) as me:
        me.type("typed text that is a little longer than some of the widths that follow")
        for i in range(100):
            fcntl.ioctl(me.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 5 + i % 40, 10 + i % 90, 0, 0))
            os.kill(me.pid, signal.SIGWINCH)
            me.pump(0)
        me.type("<enter>")
        me.see("some")
        for i in range(100):
            fcntl.ioctl(me.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 5 + i % 40, 10 + i % 90, 0, 0))
            me.pump(0.003)
        fcntl.ioctl(me.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        me.see("tokens")
        me.see("you> ")
        me.leave()
        p.eq(turns(h)[0][2], "typed text that is a little longer than some of the widths that follow")


# ---- inside tmux ----

def test_tmux():
    script = ("model Scripted-7B\n"
              "text \"O_DIRECT bypasses the page cache, so the second load costs the same as the first unless your own buffers survive.\\n\\n"
              "- first load: storage speed\\n- second load: the same\\n\"\nusage n_out 42\nusage n_used 300\ndone\npace 15\ntext \"one two three four five six seven eight nine ten\"\nstall\ndone\n"
              "text \"again\"\nusage n_out 1\nusage n_used 320\ndone\n")
    with p.Home(script) as h, Tmux(h, f"{p.HADAL} --line; sleep 60") as t:
        t.see("you>")
        t.keys("what changes with O_DIRECT?", "Enter")
        t.see("[42 tokens")
        t.keys("count", "Enter")
        t.see("three")
        t.keys("C-c")
        t.see("[stopped after")
        t.keys("/regen", "Enter")
        t.see("again")
        t.see("[1 token")
        shown = re.sub(r"stopped after .*\]", "stopped]", t.screen())
        shown = re.sub(r"one two three[a-z ]*", "one two three ...", shown)
        p.eq(shown, """hadal 0.1, scripted, a new session. /help, Ctrl-D quits.

you> what changes with O_DIRECT?
O_DIRECT bypasses the page cache, so the second load costs the same as the first
unless your own buffers survive.

- first load: storage speed
- second load: the same
[42 tokens, context 300 of 4.1k]

you> count
one two three ...
[stopped]

you> /regen
again
[1 token, context 320 of 4.1k]

you>""")
        t.keys("C-d")
        t.see("you> ")


def test_tmux_suspend():
    with p.Home("pace 20\ntext \"" + " ".join(f"w{i}" for i in range(100)) + "\"\ndone\n") as h, Tmux(h, "/bin/bash --norc --noprofile -i") as t:
        t.keys(f"{p.HADAL} --line", "Enter")
        t.see("you>")
        t.keys("half")
        t.see("you> half")
        t.keys("C-z")
        t.see("Stopped")
        t.keys("echo shell $((6 * 7))", "Enter")
        t.see("shell 42")
        t.keys("fg", "Enter")
        t.keys(" full", "Enter")
        t.see("half full")
        t.see("w5 ")
        t.keys("C-z")
        until(lambda: t.screen().count("Stopped") == 2, "not stopped in the middle of an answer")
        t.keys("fg", "Enter")
        t.see("w99")
        t.see("[100 tokens")
        t.keys("C-d")
        until(lambda: t.screen().endswith("$"), "no shell again")
        t.keys("clear; stty -a", "Enter")
        t.see(" icanon")
        t.see(" echo ")
        p.eq(turns(h)[0][2], "half full")


p.main(globals())
