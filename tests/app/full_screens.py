"""
Golden screens: keys from a script, screens as text with their looks, compared with tests/screens/. No terminal is involved. What changes from
run to run (the hour, speeds) is masked. HADAL_WRITE_SCREENS=1 writes them anew; then look at the difference.
"""
import os
import re

import p

ANSWER = ("text \"Because the file's pages are still in the kernel page cache. With `MAP_PRIVATE` and no writes, each tensor page is backed by "
          "the file itself:\\n\\n```c\\nvoid *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);\\nif (p == MAP_FAILED) die(\\\"mmap\\\");\\n```\\n\\n"
          "* first load: storage speed, about 6 GB/s\\n* second load: memory speed\\n\\nCheck it with 日本語 and \"")
THOUGHT = "thought \"The person asks about the page cache. Checking the alignment rule.\"\n"
QUESTION = "keys \"Why is loading a 90 GB file with mmap faster the second time?\\r\"\n"
SIZES = {"80x24": "80 24", "120x40": "120 40", "40x10": "40 10"}


def mask(text):
    text = re.sub(r"\b\d\d:\d\d\b", "HH:MM", text)
    text = re.sub(r"\d+\.\d tok/s", "N tok/s", text)
    text = re.sub(r"ttft \d+\.\d s", "ttft N s", text)
    text = re.sub(r"thought \d+\.\d s", "thought N s", text)
    return re.sub(r"thinking \d+ s", "thinking N s", text)


def screen(name, engine, script, sizes=("80x24", "120x40"), config=None):
    for size in sizes:
        with p.Home(engine, config=config, TZ="UTC") as h:
            (h.dir / "keys").write_text(f"size {SIZES[size]}\n{script}dump {h.dir}/out\n")
            h.env["HADAL_SCRIPT"] = str(h.dir / "keys")
            h.env["INPUTRC"] = "/dev/null"
            r = h.run()
            p.eq((r.returncode, r.err), (0, ""), name)
            got = mask((h.dir / "out").read_text())
        path = p.SRC / "tests/screens" / f"{name}-{size}.txt"
        if os.environ.get("HADAL_WRITE_SCREENS"):
            path.write_text(got)
        want = path.read_text()
        if got != want:
            print(got)
        p.eq(got, want, f"{name} at {size}")


ALL = ("80x24", "120x40", "40x10")


def test_empty():
    screen("chat-empty", "echo\n", "", ALL)


def test_answering():
    screen("chat-answering", THOUGHT + ANSWER + "\nusage n_out 90\nstall\n", QUESTION + "see 日本語\nkeys \"and what changes if I use\\nO_DIRECT\"\npause 30\n", ALL)


def test_answered():
    screen("chat-answered", "read 0 900\n" + THOUGHT + ANSWER + "\ndone\n", QUESTION + "idle\nkeys \"\\t\"\n", ALL)


def test_queue():
    screen("chat-queue", "text \"one\"\nstall\n", "keys \"first\\r\"\nsee one\nkeys \"second, which is queued\\rthird\\rdraft\"\n", ALL)


def test_reading():
    screen("chat-reading", THOUGHT + ANSWER + "\ndone\n",
           QUESTION + "idle\nkeys \"\\x1b\"\npause 60\nkeys \"/load\\r\"\npause 60\n")


def test_stopped():
    screen("chat-stopped", "text \"It begins\"\nstall\n", "keys \"go\\r\"\nsee It begins\nkeys \"\\x03\"\nidle\n")


def test_failed():
    screen("chat-failed", "error io \"the disk is on fire\"\n", "keys \"go\\r\"\nidle\n")


def test_too_long():
    screen("chat-too-long", "error toolong \"the prompt has 9000 tokens, the context holds 4096\"\n", "keys \"a long story\\r\"\nidle\n")


def test_context_full():
    screen("chat-context", "context 1000\nread 0 960\ntext \"a b c\"\nusage n_used 970\nusage n_ctx 1000\ndone context\n", "keys \"go\\r\"\nidle\n", ALL)


def test_commands():
    screen("chat-commands", "echo\n", "keys \"/s\"\n")


def test_unknown_command():
    screen("chat-unknown", "echo\n", "keys \"/sesions\\r\"\n")


def test_help():
    screen("help", "echo\n", "keys \"\\x1bOP\"\n")


def test_tiny():
    with p.Home("text \"hello\"\nstall\n") as h:
        (h.dir / "keys").write_text("size 19 3\nkeys \"go\\r\"\nsee answering\nkeys \"more\"\n" + f"dump {h.dir}/out\nsize 1 1\nkeys \"x\"\ndump {h.dir}/one\n")
        h.env["HADAL_SCRIPT"] = str(h.dir / "keys")
        p.eq(h.run().returncode, 0)
        p.eq((h.dir / "out").read_text().splitlines()[0], "answering")
        p.has((h.dir / "out").read_text(), "> more")


p.main(globals())
