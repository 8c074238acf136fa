"""The line face when something dies: the program, the engine, the terminal. Nothing that was acknowledged is lost."""
import os
import random
import shutil
import signal
import sqlite3
import time

import p
from person import Person, query, sound, turns, until

WORDS = " ".join(f"word{i}" for i in range(200))
SLOW = f"pace 10\ntext \"{WORDS}\"\ndone\n"
LOST_MS = 450  # text that came so long before the end is in the database (it is appended every 300 ms)


def last_answer(home):
    return [t for t in turns(home) if t[0] == "assistant"][-1]


def test_kill_9_in_the_middle_of_an_answer():
    with p.Home(SLOW) as h:
        with Person(h) as me:
            me.say("tell me")
            me.see("word60 ")
            me.say("a queued prompt")
            me.type("and a draft")
            me.quiet(0.6)
            shown = me.text()
            p.eq(me.kill(), 137)
        with Person(h, "-c") as me:
            me.see("tell me\n")
            me.see("word60")
            me.see("[stopped here; /regen answers again]")
            me.see("a queued prompt")  # both wait in the line
            me.see("and a draft")
            role, state, text = last_answer(h)
            p.eq(state, "interrupted")
            p.eq(WORDS.startswith(text), True)
            p.eq(len(text) >= shown.index("word60"), True)
            me.type("<c-c>")
            me.see("you> ")
            me.say("/regen")
            me.see("word1")
            me.type("<c-c>")
            me.see("[stopped after")
            me.see("you> ")
            me.leave()
        sound(h)


def test_kill_9_at_50_random_moments():
    rng = random.Random(50)
    with p.Home(f"read 15 100\npace 5\ntext \"{WORDS}\"\ndone\n") as h:
        known = {}
        for i in range(50):
            with Person(h, "-c" if i else "--line") as me:
                prompt = f"prompt number {i}"
                me.type(prompt)
                me.see(str(i))
                me.type("<enter>")
                seen = []  # (when, how much of the answer)
                end = time.monotonic() + (rng.uniform(0.5, 0.8) if i % 6 == 5 else rng.uniform(0, 0.2))
                start = me.seen
                while time.monotonic() < end:
                    me.pump(end - time.monotonic())
                    text = me.text()[start:]
                    at = text.find("word0")
                    if at >= 0:
                        seen.append((time.monotonic(), " ".join(text[at:].split("[")[0].split())))
                me.kill()
                died = time.monotonic()
            if not seen:
                continue
            # The answer had begun: so the prompt is there, and what was shown a while ago.
            old = [s for when, s in seen if died - when > LOST_MS / 1000]
            known[prompt] = old[-1] if old else ""
        rows = turns(h)
        sound(h)
        p.eq(len(known) > 15 and len([s for s in known.values() if s]) > 3, True, known)
        for prompt, shown in known.items():
            at = rows.index(("user", "final", prompt))
            role, state, text = rows[at + 1]
            p.eq(role, "assistant")
            p.eq(text.startswith(shown) and WORDS.startswith(text), True, (prompt, shown, text))
        with Person(h, "-c") as me:  # the last writer is dead now, too
            me.leave()
        p.eq(query(h, "SELECT count(*) FROM node WHERE state = 'streaming'"), [(0,)])
        p.eq(query(h, "SELECT count(*) FROM node WHERE role = 'user'")[0][0], len([r for r in rows if r[0] == "user"]))


def test_engine_dies_in_each_state():
    script = ("load 400\ndie\n" "load 50\nread 100 300\ndie 11\n" "pace 5\ntext \"a part of it\"\ndie\n" "thought \"hm\"\ndie\n" "text \"all is well\"\ndone\n")
    with p.Home(script) as h, Person(h) as me:
        for prompt, said in (("first", "the prompt is saved"), ("second", "the prompt is saved"), ("third", "what was answered is saved"), ("fourth", "the prompt is saved")):
            me.say(prompt)
            me.see("hadal: ")
            me.see(f"[{said}; /regen tries again, the engine starts by itself]")
            me.see("you> ")
        me.say("fifth")
        me.see("all is well")
        me.see("you> ")
        me.leave()
        p.eq([t[1:] for t in turns(h) if t[0] == "assistant"],
             [("error", ""), ("error", ""), ("error", "a part of it"), ("error", ""), ("final", "all is well")])


def engine_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(c) for c in f.read().split()]
    except FileNotFoundError:
        p.skip("this kernel does not tell a process's children")


def is_dead(pid):
    """All its threads are gone, so that its files are closed, too."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except FileNotFoundError:
        return True


def test_real_engine_killed():
    model = p.shared("goldens/llama.gguf")
    with p.Home() as h:
        shutil.copy(model, h.dir / "m.gguf")
        with Person(h, "-m", "./m.gguf", "--template", "chatml", "--temp", "0", "--max-tokens", "20") as me:
            me.say("hello")
            me.see(" tokens")
            me.see("you> ")
            pid, = engine_of(me.pid)
            os.kill(pid, signal.SIGKILL)  # between two answers
            until(lambda: is_dead(pid), "the engine is alive")
            me.say("again")
            me.see(" tokens")
            me.see("you> ")
            p.eq([t[1] for t in turns(h) if t[0] == "assistant"], ["final", "final"])
            os.kill(engine_of(me.pid)[0], signal.SIGSTOP)  # hangs: Ctrl-C works all the same
            me.say("third")
            me.quiet(0.3)
            me.type("<c-c>")
            me.see("[stopped")
            me.see("you> ")
            me.say("fourth")
            me.see(" tokens")
            me.see("you> ")
            me.leave()
        sound(h)


def test_signals():
    for sig, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with p.Home(SLOW) as h, Person(h) as me:
            me.say("tell me")
            me.see("word5 ")
            p.eq(me.kill(sig), status)
            p.eq(last_answer(h)[1], "interrupted")
            p.has(last_answer(h)[2], "word5")
    for sig in (signal.SIGQUIT, signal.SIGSEGV, signal.SIGABRT):
        with p.Home(SLOW) as h, Person(h, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_abort=0") as me:
            me.say("tell me")
            me.see("word5 ")
            p.eq(me.kill(sig), 128 + sig)  # the terminal is given back: wait() looks
            p.has(me.all.decode(), "\x1b[?2004l")
    with p.Home(SLOW) as h, Person(h) as me:
        me.say("tell me")
        me.see("word5 ")
        os.kill(me.pid, signal.SIGINT)  # as Ctrl-C
        me.see("[stopped after")
        me.see("you> ")
        me.leave()


def test_the_terminal_goes_away():
    with p.Home(SLOW) as h:
        me = Person(h)
        me.say("tell me")
        me.see("word5 ")
        os.close(me.tty)
        os.close(me.fd)
        until(lambda: me.process.poll() is not None, "it goes on without a terminal")
        p.eq(me.process.returncode, 129)
        p.eq(last_answer(h)[1], "interrupted")
        p.has(last_answer(h)[2], "word5")


def test_leaving_in_the_middle():
    with p.Home(SLOW) as h, Person(h) as me:
        me.say("tell me")
        me.see("word5 ")
        me.leave()
        p.eq(last_answer(h)[1], "interrupted")


def test_database_is_locked():
    with p.Home("text \"fine\"\ndone\n") as h, Person(h) as me:
        me.say("first")
        me.see("fine")
        me.see("you> ")
        db = sqlite3.connect(f"{h.dir}/data/hadal/history.db", isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        me.say("precious words")
        me.see("hadal: ")
        me.see("you> precious words")  # not sent, not lost
        db.execute("ROLLBACK")
        db.close()
        me.type("<enter>")
        me.see("fine")
        me.see("you> ")
        me.leave()
        p.eq([t[2] for t in turns(h)], ["first", "fine", "precious words", "fine"])


p.main(globals())
