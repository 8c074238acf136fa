"""The full screen inside tmux, a terminal that shows what stands on it: sizes, suspending, copies, other programs."""
import re
import time

import p
from person import Tmux, turns, until

WORDS = " ".join(f"w{i}" for i in range(300))
ANSWER = "Two blocks:\\n\\n```c\\nint main(void)\\n{\\n\\treturn 0;\\n}\\n```\\n\\nand\\n\\n```sh\\necho \\\"two\\\"\\n```\\n"


def masked(screen):
    return re.sub(r"\b\d\d:\d\d\b|\d+\.\d tok/s|ttft \d+\.\d s", lambda m: "#" * len(m.group()), screen)


def test_resizes():
    """Hundreds of sizes while an answer comes end as a fresh start does."""
    with p.Home(f"pace 10\ntext \"{WORDS}\"\nusage n_used 400\ndone\n") as h:
        with Tmux(h, f"{p.HADAL}; sleep 60", rows=30, cols=90) as t:
            t.see("ready")
            t.keys("go on", "Enter")
            t.see("w3 ")
            end = time.monotonic() + 5
            for i in range(500):
                t.run("resize-window", "-x", str(20 + i * 37 % 130), "-y", str(3 + i * 11 % 50))
                if time.monotonic() > end:
                    break
            for cols, rows in ((1, 1), (300, 100), (90, 30)):
                t.run("resize-window", "-x", str(cols), "-y", str(rows))
            t.see("ready")
            t.see("w299")
            time.sleep(0.3)
            stormed = t.screen()
            t.keys("C-d")
            until(lambda: "ready" not in t.screen(), "the end")
        with Tmux(h, f"{p.HADAL} -c; sleep 60", rows=30, cols=90) as t:
            t.see("w299")
            time.sleep(0.2)
            fresh = t.screen()
        cut = [[line for line in masked(s).split("\n") if not line.startswith("ready")] for s in (stormed, fresh)]
        p.eq(cut[0], cut[1])


def test_suspend():
    with p.Home(f"pace 20\ntext \"{WORDS}\"\ndone\n") as h, Tmux(h, "/bin/bash --norc --noprofile -i") as t:
        t.keys(p.HADAL, "Enter")
        t.see("ready")
        t.keys("half")
        t.see("> half")
        t.keys("C-z")
        t.see("Stopped")
        t.keys("echo shell $((6 * 7))", "Enter")
        t.see("shell 42")
        t.keys("fg", "Enter")
        t.see("> half")
        t.keys(" full", "Enter")
        t.see("w5 ")
        t.keys("C-c")
        t.see("stopped after")
        t.keys("C-d")
        t.see("w5 ")  # the transcript, on the normal screen
        t.see("shell 42")
        t.keys("clear; stty -a", "Enter")
        t.see(" icanon")
        t.see(" echo ")
        p.eq(turns(h)[0][2], "half full")


def test_copies():
    with p.Home(f"text \"{ANSWER}\"\ndone\n") as h, Tmux(h, f"{p.HADAL}; sleep 60") as t:
        t.see("ready")
        t.keys("show me", "Enter")
        t.see("echo")
        t.keys("Escape")
        t.see("reading")
        t.keys("Y")
        t.see("to tmux's buffer")
        p.eq(t.run("show-buffer"), turns(h)[1][2])
        t.keys("c", "2")
        t.see("block c2: copied")
        p.eq(t.run("show-buffer").rstrip("\n"), "echo \"two\"")
        t.keys("c", "1")
        t.see("block c1: copied")
        p.eq(t.run("show-buffer").rstrip("\n"), "int main(void)\n{\n\treturn 0;\n}")
        t.keys("c", "3")
        t.see("this message has 2 code blocks")
        t.keys("K", "y")
        t.see("copied 7 bytes")
        p.eq(t.run("show-buffer"), "show me")
        t.keys("i")
        t.keys("C-x", "y")
        t.see("the answer: copied")
        p.has(t.run("show-buffer"), "return 0;")


def test_bars():
    """What is shown of reading is what the engine has said, and the time to go comes true."""
    with p.Home("read 3000 100000\necho\ndone\n") as h, Tmux(h, f"{p.HADAL}; sleep 60") as t:
        t.see("ready")
        t.keys("go", "Enter")
        t.see("/100,000")
        began, seen, left = time.monotonic(), [], []
        while time.monotonic() - began < 2:
            at, screen = time.monotonic() - began, t.screen()
            done, eta = re.search(r"([\d,]+)/100,000", screen), re.search(r"ETA (\d+) s", screen)
            seen.append((at, int(done.group(1).replace(",", ""))))
            if eta and at > 0.8:
                left.append((at, int(eta.group(1))))
            time.sleep(0.05)
        first_at, first = seen[0]
        for at, done in seen[1:]:  # as fast as the engine says, and at most a tick old
            assert abs((done - first) / 100000 - (at - first_at) / 3) < 0.13, (at, done, first)
        end = began + (100000 - first) / 100000 * 3
        assert left and all(abs(eta - (end - began - at)) <= 1 for at, eta in left), left
        t.keys("C-c")
        t.see("stopped")


def test_programs():
    with p.Home(f"text \"{ANSWER}\"\ndone\n") as h:
        editor = h.dir / "editor"
        editor.write_text("#!/bin/sh\nstat -c %a \"$1\" >mode\nprintf ' and more\\n\\n' >>\"$1\"\n")
        editor.chmod(0o700)
        h.env["EDITOR"], h.env["PAGER"] = str(editor), "cat"
        with Tmux(h, f"{p.HADAL}; sleep 60") as t:
            t.see("ready")
            t.keys("a draft")
            t.keys("C-x", "C-e")
            t.see("> a draft and more")
            p.eq((h.dir / "mode").read_text(), "600\n")
            t.keys("Enter")
            t.see("echo")
            p.eq(turns(h)[0][2], "a draft and more")
            t.keys("Escape")
            t.see("reading")
            t.keys("|")
            t.see("pipe to:")
            t.keys("wc -c >count", "Enter")
            t.see("[Enter goes back")
            t.keys("Enter")
            t.see("reading")
            p.eq((h.dir / "count").read_text().strip(), str(len(turns(h)[1][2])))
            t.keys("s")
            t.keys("answer.md", "Enter")
            t.see("answer.md, ")
            p.eq((h.dir / "answer.md").read_text(), turns(h)[1][2])
            t.keys("s")
            t.keys("answer.md", "Enter")
            t.see("exists already")
            t.keys("i")
            t.see("ready")


p.main(globals())
