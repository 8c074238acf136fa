"""
The full screen on a pseudo-terminal: what reaches the terminal while it runs, and what is left when it ends, however it ends.
"""
import os
import pathlib
import random
import re
import signal
import termios
import time

import p
from person import Person, query, sound, turns, until

ECHO = "echo\ndone\n"
ALT_ON, ALT_OFF = b"\x1b[?1049h", b"\x1b[?1049l"
SLOW = "HADAL_SANITIZED 1" in (pathlib.Path(os.environ["BUILDDIR"]) / "config.h").read_text()


def full(home, *args, **kw):
    kw.setdefault("prompt", False)
    return Person(home, *args, full=True, **kw)


def ready(me):
    me.see("ready")


def draft(home):
    return [r[0] for r in query(home, "SELECT draft FROM session WHERE draft IS NOT NULL")]


def ends(me, status, left=""):
    """The program ends so; the terminal is as it was, the transcript on the normal screen."""
    p.eq(me.wait(), status, "status")
    p.eq(me.all.count(ALT_ON), 1)
    p.eq(me.all.count(ALT_OFF), 1)
    behind = me.all[me.all.rindex(ALT_OFF):]
    for mode in (b"\x1b[?2004l", b"\x1b[?1004l"):
        assert mode in me.all[me.all.index(ALT_ON):], mode
    if left:
        p.has(behind.decode(), left)
    return behind


def test_chat():
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        me.say("hello there")
        until(lambda: len(turns(h)) == 2 and turns(h)[1][1] == "final", "an answer")
        me.type("<c-d>")
        ends(me, 0, "hello there\r\n\r\nscripted\r\nhello there")
        sound(h)


def test_signals():
    for sig in (signal.SIGTERM, signal.SIGHUP):
        with p.Home("text \"It begins\"\nstall\n") as h, full(h) as me:
            ready(me)
            me.say("go")
            me.see("begins")
            me.process.send_signal(sig)
            ends(me, 128 + sig, "It begins")
            p.eq([t[1] for t in turns(h)], ["final", "interrupted"])


def test_faults():
    for sig in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
        if SLOW and sig == signal.SIGSEGV:
            continue  # the sanitizer's own handler
        with p.Home("text \"It begins\"\nstall\n") as h, full(h) as me:
            ready(me)
            me.say("go")
            me.see("begins")
            me.quiet()
            me.process.send_signal(sig)
            ends(me, 128 + sig, "It begins")
            sound(h)


def test_quit_key():
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        me.type("\x1c")
        ends(me, 128 + signal.SIGQUIT)


def test_terminal_gone():
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        me.type("not sent")
        me.quiet(0.6)
        os.close(me.fd)
        me.fd = os.open("/dev/null", os.O_RDONLY)
        p.eq(me.process.wait(15) in (0, 129, -1), True, "status")
        p.eq(draft(h), ["not sent"])


def test_interrupt():
    with p.Home("text \"It begins\"\nstall\n" + ECHO) as h, full(h) as me:
        ready(me)
        me.say("go")
        me.see("begins")
        began = time.monotonic()
        me.type("<c-c>")
        until(lambda: turns(h)[1][1] == "interrupted", "a stop")
        assert SLOW or time.monotonic() - began < 0.5
        me.type("a draft<c-c>")
        me.see("put aside")
        p.eq(query(h, "SELECT text FROM input_history ORDER BY id DESC LIMIT 1"), [("a draft",)])
        me.type("<c-c>")
        me.see("C-d leaves")
        me.type("<c-c>")
        ends(me, 0)


def test_typing_ahead():
    """What was typed before the program had the terminal, Enter included."""
    with p.Home(ECHO) as h, full(h) as me:
        me.type("typed ahead<enter>")
        ready(me)
        until(lambda: len(turns(h)) == 2 and turns(h)[1][1] == "final", "an answer")
        p.eq(turns(h)[0][2], "typed ahead")
        me.type("<c-d>")
        ends(me, 0)


def test_typing_while_loading():
    with p.Home("load 1500\n" + ECHO) as h, full(h) as me:
        ready(me)
        me.say("first")
        me.see("loading")
        keys = "".join(chr(97 + i % 26) for i in range(200))
        for i in range(0, 200, 7):
            me.type(keys[i:i + 7])
            time.sleep(0.005)
        me.type("<enter>")
        me.see("queue 1")
        until(lambda: len(turns(h)) == 4 and turns(h)[3][1] == "final", "both answers")
        p.eq(turns(h)[2][2], keys)
        me.type("<c-d>")
        ends(me, 0)


def test_draft_survives():
    with p.Home(ECHO) as h:
        with full(h) as me:
            ready(me)
            me.type("a thought\x1b\rin two lines")
            until(lambda: draft(h) == ["a thought\nin two lines"], "a saved draft")
            me.kill()
        with full(h) as me:
            me.see("in two lines")
            me.say("")
            until(lambda: len(turns(h)) == 2, "a turn")
            p.eq(turns(h)[0][2], "a thought\nin two lines")
            me.type("<c-d>")
            ends(me, 0)
        sound(h)


def test_killed_anywhere():
    """kill -9 at random moments: what was sent and what was answered is there, and of what was typed at most the last half second is not."""
    answer = " ".join(f"w{i}" for i in range(200))
    rounds = int(os.environ.get("HADAL_KILLS", "8"))
    dice = random.Random(7)
    for i in range(rounds):
        with p.Home(f"load 100\nread 150 200\nthought \"so\"\npace 5\ntext \"{answer}\"\ndone\n") as h:
            with full(h) as me:
                ready(me)
                typed = "".join(dice.choice("abc dé日") for _ in range(dice.randrange(1, 60)))
                me.type(typed)
                sent = i % 4 > 0
                if sent:
                    me.type("<enter>")
                    until(lambda: len(turns(h)) == 2, "a turn")
                    me.quiet(dice.random() * 1.2)
                    later = "later " * dice.randrange(1, 5)
                    me.type(later)
                    me.quiet(0.8)  # a draft is saved when the keys rest
                    if i % 4 == 3:
                        me.type("<enter>more")
                        me.quiet(0.8)
                else:
                    me.quiet(0.8)
                me.kill()
            h.run("ls")  # opened once more after the crash
            sound(h)
            if sent:
                got = turns(h)
                p.eq(got[0][2], typed, "the prompt")
                assert answer.startswith(got[1][2]), got[1]
                wanted = later + ("\nmore" if i % 4 == 3 else "")
                if i % 4 == 3 and len(got) > 2:  # the queue's turn had come
                    wanted = "more"
                p.eq(draft(h), [wanted], "the draft")
            else:
                p.eq(draft(h), [typed] if typed.strip() else draft(h), "the draft")
            with full(h, "-c") as me:
                me.see("w0" if sent and got[1][2] else "")
                me.quiet(0.3)
                me.kill()


def test_paste():
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        text = "".join("line %06d of a long text\n" % i for i in range(40000))
        data = ("\x1b[200~" + text + "\x1b[201~\r").encode()  # Enter right behind a paste is a newline
        for i in range(0, len(data), 4000):
            os.write(me.fd, data[i:i + 4000])
            me.pump(0)
        me.see("[paste 1: 40000 lines")
        me.quiet(0.3)
        p.eq(turns(h), [])
        me.type("<enter>")
        until(lambda: len(turns(h)) == 2, "a turn")
        p.eq(turns(h)[0][2], text[:-1])
        me.type("<c-c>")
        me.quiet()
        me.type("<c-d>")
        me.wait()


def test_first_frame():
    if SLOW:
        p.skip("a build with sanitizers")
    with p.Home(ECHO) as h:
        best = 1.0
        for _ in range(6):
            began = time.monotonic()
            with full(h) as me:
                me.type("x")
                while b"ready" not in me.all or b"> \x1b" not in me.all and b"x" not in me.all[me.all.index(b"ready"):]:
                    assert me.pump(5), "no first frame"
                best = min(best, time.monotonic() - began)
                me.kill()
        assert best < 0.05, f"first frame and echo after {best * 1000:.0f} ms"


def test_bytes_of_a_frame():
    words = "a rather ordinary sentence with words of every length that wraps now and then, and `code` as well. "
    with p.Home("pace 20\ntext \"" + words * 25 + "\"\ndone\n") as h, full(h, rows=40, cols=120) as me:
        ready(me)
        me.say("go")
        me.see("ordinary")
        begin = len(me.all)
        frames = 0
        end = time.monotonic() + 5
        while time.monotonic() < end:
            frames += me.pump(0.05)
        stream = me.all[begin:]
        assert frames > 100, frames
        for bad in (b"\x1b[2J", b"\x1b[J", b"\x1b[3J", ALT_ON, ALT_OFF):
            assert bad not in stream, bad
        assert len(stream) / frames < 200, f"{len(stream) / frames:.0f} bytes a frame"
        for mode in (b"?1000", b"?1002", b"?1003"):
            assert mode not in me.all
        me.kill()


HOSTILE = ["\x1b]52;c;aGFja2Vk\x07", "\x1b[2J\x1b[31mred", "\x9b5n", "\x1bP$qm\x1b\\", "\x1b]0;title\x07", "\u202eevil\u2066", "a\x08\x08b\x7f", "\x1b[?1049l"]


def test_hostile_text():
    for text in HOSTILE:
        escaped = "".join("\\x%02x" % b for b in text.encode("utf-8"))
        with p.Home(f"model {'m' + 'x'}\ntext \"AB{escaped}YZ\"\nthought \"{escaped}\"\ndone\n") as h, full(h) as me:
            ready(me)
            begin = len(me.all)
            me.say("go")
            until(lambda: len(turns(h)) == 2 and turns(h)[1][1] == "final", "an answer")
            me.quiet(0.3)
            me.type("<tab>")
            me.quiet(0.3)
            body = me.all[begin:]
            raw = text.encode("utf-8")
            if len(raw) > 3:
                assert raw not in body, text
            for bad in (b"\x1b]52", b"\x1b[2J", b"\x1b]0;", b"\x1bP", b"\xc2\x9b", "\u202e".encode(), ALT_OFF, b"\x07", b"\x1b[31m"):
                assert bad not in body, (text, bad)
            me.type("<c-d>")
            tail = ends(me, 0)
            assert b"\x1b]52" not in tail and b"\x1b[2J" not in tail


def test_terminals():
    for term in ("xterm-256color", "tmux-256color", "screen", "xterm", "linux", "vt100", "nonsense-terminal"):
        for rows, cols in ((24, 80), (5, 20), (1, 1), (100, 300)):
            for color in ({}, {"NO_COLOR": "1"}) if (rows, term) == (24, "xterm-256color") else ({},):
                with p.Home(ECHO) as h, full(h, rows=rows, cols=cols, TERM=term, **color) as me:
                    me.quiet(0.15)
                    me.type("hello<enter>")
                    until(lambda: len(turns(h)) == 2 and turns(h)[1][1] == "final", f"an answer on {term}")
                    me.quiet(0.1)
                    me.type("<c-d>")
                    p.eq(me.wait(), 0, f"{term} {rows}x{cols}")
                    if color:
                        p.eq(re.findall(rb"\x1b\[[0-9;]*[34][0-9][;m0-9]*m", me.all), [], "colours")
                    if term in ("linux", "vt100"):
                        for bad in (b"\x1b]", b"\x1b[?2004", b"\x1b[>"):
                            assert bad not in me.all, (term, bad)


def test_links():
    """Links of an answer are links where the terminal is known to have them, and web links only."""
    text = "See [the page](https://example.org/a?b=1) and [that](javascript:x) here.\\n"
    for env, want in (({"VTE_VERSION": "7000"}, True), ({"TERM": "linux", "VTE_VERSION": "7000"}, False), ({}, False)):
        with p.Home(f"text \"{text}\"\ndone\n") as h, full(h, **env) as me:
            ready(me)
            me.say("go")
            until(lambda: len(turns(h)) == 2 and turns(h)[1][1] == "final", "an answer")
            me.quiet(0.3)
            p.eq(b"\x1b]8;;https://example.org/a?b=1\x1b\\the page\x1b]8;;\x1b\\" in me.all, want, str(env))
            assert b"]8;;javascript" not in me.all
            me.type("<c-d>")
            p.eq(me.wait(), 0)


def test_stopped_from_outside():
    """SIGSTOP asks nobody; a shell then puts the terminal back as it wants it."""
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        me.type("half")
        me.see("half")
        me.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(me.tty, termios.TCSANOW, me.modes)
        me.process.send_signal(signal.SIGCONT)
        until(lambda: me.pump(0.05) and me.all.count(ALT_ON) == 2, "the terminal is not taken again")
        me.say(" whole")
        until(lambda: len(turns(h)) == 2, "a turn")
        p.eq(turns(h)[0][2], "half whole")
        me.type("<c-d>")
        p.eq(me.wait(), 0)


def test_line_by_line():
    for how in ({"TERM": "dumb"}, {"ACCESSIBLE": "1"}):
        with p.Home(ECHO) as h, full(h, **how) as me:
            me.see("you> ")
            assert ALT_ON not in me.all
            me.leave()
    with p.Home(ECHO) as h, full(h, "--plain") as me:
        me.see("you> ")
        me.leave()


def test_replies():
    with p.Home(ECHO) as h, full(h) as me:
        ready(me)
        me.type("\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?2026;2$y\x1b[?0u\x1b[?62;22c")
        me.quiet(0.3)
        p.has(me.all.decode("utf-8", "replace"), "\x1b[>1u")  # kitty keys, now that they are known
        me.type("one\x1b[13;2utwo\x1b[13u")
        until(lambda: len(turns(h)) == 2, "a turn")
        p.eq(turns(h)[0][2], "one\ntwo")
        p.has(me.all.decode("utf-8", "replace"), "\x1b[?2026h")
        me.type("\x1b[100;5u")
        ends(me, 0)
        p.has(me.all.decode("utf-8", "replace"), "\x1b[<u")


p.main(globals())
