"""One shot and pipe: which face appears, what goes to which stream, every exit status, signals, early close, sessions. Scripted engine."""
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
import p

SKY = 'load 20\nread 20 12\ntext "Because of "\ntext "Rayleigh scattering."\ndone\n'
ECHO = 'read 0 5\necho\ndone\n'
SLOW = 'read 0 5\npace 20 1\ntext "' + "x" * 4000 + '"\ndone\n'


# ---- which face, which stream ----

def test_question_on_a_terminal():
    with p.Home(SKY) as h:
        status, tty, _, _ = p.on_tty(h, "why is", "the sky blue?")
        p.eq(status, 0, tty)
        assert tty.endswith(b"Because of Rayleigh scattering.\r\n"), tty
        r = h.json("show", "--json")
        p.eq([m["text"] for m in r["path"]], ["why is the sky blue?", "Because of Rayleigh scattering."])


def test_terminal_but_stdout_is_a_pipe():
    with p.Home(SKY) as h:
        status, tty, out, _ = p.on_tty(h, "why?", stdout="pipe")
        p.eq((status, out), (0, b"Because of Rayleigh scattering.\n"))
        status, tty, out, _ = p.on_tty(h, stdout="pipe")
        p.eq((status, out), (2, b""))
        p.has(tty.decode(), "a conversation needs a terminal")
        status, tty, out, _ = p.on_tty(h, "--json")
        p.eq(status, 2)
        p.has(tty.decode(), "there is no question")


def test_streams_of_a_pipe():
    with p.Home(ECHO) as h:
        for args, stdin, want in [
            (["q"], None, "q\n"), ([], "from stdin\n", "from stdin\n"), (["q"], "a\nb\n", "a\nb\n\nq\n"), (["q"], "no newline", "no newline\n\nq\n"),
            (["--question-first", "q"], "a\nb\n", "q\n\na\nb\n"), (["--no-stdin", "q"], "a\n", "q\n"), (["-p", "q"], "", "q\n"),
            (["-p", "ls"], None, "ls\n"), (["--", "ls", "-l"], None, "ls -l\n"), (["two", "--temp", "0", "words"], None, "two words\n"),
            (["q"], "  \n\n", "q\n"), ([], "\n \nx\n\n", "\n \nx\n"), ([""], "a\n", "a\n"), (["q"], "\ufeffa\r\n", "a\n\nq\n"),
        ]:
            r = h.run(*args, input=stdin)
            p.eq((r.returncode, r.out, r.err), (0, want, ""), f"{args} {stdin!r}")


def test_kinds_of_stdin():
    with p.Home(ECHO) as h:
        path = h.dir / "file"
        path.write_text("in a file\n")
        with open(path, "rb") as f:
            p.eq(h.run("q", stdin=f).out, "in a file\n\nq\n")
        a, b = socket.socketpair()
        b.sendall(b"in a socket")
        b.shutdown(socket.SHUT_WR)
        p.eq(h.run("q", stdin=a).out, "in a socket\n\nq\n")
        with open("/dev/zero", "rb") as f:  # a device is no text, and endless
            p.eq(h.run("q", stdin=f).out, "q\n")
        fd = os.open("/", os.O_RDONLY)
        p.eq(h.run("q", stdin=fd).out, "q\n")
        os.close(fd)


def test_nothing_to_ask():
    with p.Home(ECHO) as h:
        for args, stdin, said in [([], "", "standard input is empty"), ([], None, "standard input is empty"), ([], " \n\t\n", "standard input is empty"),
                                  ([""], None, "the question is empty"), (["  "], None, "the question is blank"), (["-p", ""], "", "is empty")]:
            r = h.run(*args, input=stdin)
            p.eq((r.returncode, r.out), (9, ""), f"{args} {stdin!r}")
            p.has(r.err, "hadal: there is nothing to ask: ")
            p.has(r.err, said)
        p.eq(h.run("--no-stdin", input="x").returncode, 2)
        assert not (h.dir / "data/hadal/history.db").exists(), "nothing was asked, nothing is made"


def test_usage():
    with p.Home(ECHO) as h:
        for args, said in [(["--jsn", "q"], "did you mean --json?"), (["--temp", "hot", "q"], "--temp takes a number from 0 to 100, not 'hot'"),
                           (["--top-k=1.5", "q"], "--top-k takes a whole number"), (["-m"], "-m needs a value"), (["--json", "--jsonl", "q"], "not both"),
                           (["-c", "-s", "x", "q"], "not both"), (["-n", "-c", "q"], "leave -n or -c out"), (["-p", "a", "b"], "twice"),
                           (["ls", "--josn"], "did you mean --json?"), (["rename"], "missing"), (["info", "a", "b"], "too much"),
                           (["--jsonl", "-o", "x", "q"], "--jsonl")]:
            r = h.run(*args)
            p.eq((r.returncode, r.out), (2, ""), f"{args} {r.err}")
            p.has(r.err, said)
            p.eq(r.err.count("\n"), 1, r.err)
        for args in [["--help"], ["-h"], ["help"], ["--version"], ["-V"], ["ls", "--help"], ["bench", "-h"], ["completion", "--help"]]:
            r = h.run(*args)
            p.eq((r.returncode, r.err), (0, ""), args)
            assert r.out, args
        assert max(map(len, h.run("--help").out.splitlines())) <= 80


def test_every_combination():
    """terminal or not, question or not, words on stdin or not."""
    with p.Home(ECHO) as h:
        for stdin in ["tty", "pipe", "null"]:
            for stdout in ["tty", "pipe"]:
                for stderr in ["tty", "pipe"]:
                    status, tty, out, err = p.on_tty(h, "q", stdin=stdin, stdout=stdout, stderr=stderr)
                    p.eq(status, 0, (stdin, stdout, stderr))
                    p.eq(out if stdout == "pipe" else tty.replace(b"\r\n", b"\n"), b"q\n", (stdin, stdout, stderr))
                    p.eq(err or b"", b"")
                    if stdin != "tty":
                        status, tty, out, err = p.on_tty(h, stdin=stdin, stdout=stdout, stderr=stderr)
                        p.eq((status, out or b""), (9, b""), (stdin, stdout, stderr))
                        p.has((tty if stderr == "tty" else err).decode(), "standard input is empty")


# ---- text in and out ----

def test_encodings():
    with p.Home(ECHO) as h:
        r = h.run("q", input=b"ok \xff\xfe x \xe4\xb8\n")
        p.eq((r.returncode, r.out), (0, "ok \ufffd\ufffd x \ufffd\n\nq\n"))
        p.has(r.err, "not UTF-8 in 3 places")
        p.eq(r.err.count("\n"), 1)
        r = h.run("--strict", "q", input=b"\xc0\x80")
        p.eq((r.returncode, r.out), (9, ""))
        p.has(r.err, "not UTF-8 in 2 places")
        for bom, name in [(b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\xff\xfe\0\0", "UTF-32")]:
            r = h.run("q", input=bom + "hi".encode("utf-16-le"))
            p.eq((r.returncode, r.out), (9, ""))
            p.has(r.err, f"is {name} text; make it UTF-8 first: iconv -f {name}")
        r = h.run("-n", "--raw", "q", input=b"a\0b\n")
        p.eq((r.returncode, r.raw), (0, b"a\0b\n\nq\n"), r.err)
        r = h.run("-n", b"q\xff")
        p.eq((r.returncode, r.out), (0, "q\ufffd\n"))


def test_answers_are_sanitized():
    with p.Home('read 0 5\ntext "a\\x1b]52;c;aGk=\\x07b\\x1b"\ntext "[31mc\\x0d\\nd"\ndone\n') as h:
        r = h.run("q")
        p.eq(r.raw, b"a^[]52;c;aGk=^Gb^[[31mc\nd\n")
        p.eq(h.run("--no-stream", "q").raw, r.raw)
        p.eq(h.run("--raw", "q").raw, b"a\x1b]52;c;aGk=\x07b\x1b[31mc\r\nd\n")
        r = h.run("--json", "q")
        assert not any(c < 32 and c != 10 or c == 127 for c in r.raw), r.raw
        p.eq(json.loads(r.out)["answer"], "a\x1b]52;c;aGk=\x07b\x1b[31mc\r\nd")
        r = h.run("show", "--last")
        p.eq(r.raw, b"a^[]52;c;aGk=^Gb^[[31mc\nd\n")
    with p.Home('read 0 5\ntext "\\xc2\\x9b\\xe2\\x80\\xae\\xf3\\xa0\\x81\\x81 \\xff \\xe4\\xb8\\xad"\ndone\n') as h:
        r = h.run("--json", "q")
        p.eq(json.loads(r.out)["answer"], "\u009b\u202e\U000e0041 \ufffd \u4e2d")
        p.has(r.out, "\\u009b\\u202e\\udb40\\udc41 \ufffd \u4e2d")


def test_a_newline_ends_the_answer():
    for text, want in [("x", b"x\n"), ("x\\n", b"x\n"), ("x\\n\\n", b"x\n\n")]:
        with p.Home(f'read 0 5\ntext "{text}"\ndone\n') as h:
            p.eq(h.run("q").raw, want)
            p.eq(h.run("--no-stream", "q").raw, want)
    with p.Home("read 0 5\ndone\n") as h:
        r = h.run("q")
        p.eq((r.returncode, r.raw), (0, b""))


# ---- forms ----

def test_json():
    with p.Home('model tiny\nload 5\nread 10 12 4\nthought "hm"\ntext "42"\ndone\n') as h:
        r = h.json("--json", "--seed", "7", "--temp", "0.25", "what?")
        p.eq((r["answer"], r["thought"], r["model"], r["seed"], r["stop"]), ("42", "hm", "tiny", 7, "eog"))
        p.eq((r["params"]["temp"], r["params"]["seed"]), (0.25, 7))
        p.eq((r["usage"]["prompt_tokens"], r["usage"]["cached_tokens"]), (12, 4))
        assert r["usage"]["completion_tokens"] >= 1
        for k in ["load_ms", "prefill_ms", "ttft_ms", "decode_ms", "tokens_per_second"]:
            assert k in r["timings"], k
        assert r["timings"]["ttft_ms"] >= 10, r["timings"]
        for k in ["fingerprint", "arch", "quant", "backend", "engine", "session", "node"]:
            assert k in r, k
        s = h.json("show", "--json")
        p.eq((s["uid"], s["path"][-1]["node"]), (r["session"], r["node"]))
        p.eq(s["path"][-1]["generation"]["seed"], 7)
        r = h.json("--json", "-n", "what?")
        p.eq((r["session"], r["node"]), (None, None))
        assert 0 <= r["seed"] < 2 ** 53, "a drawn seed that every JSON reader keeps exact"


def test_jsonl():
    with p.Home('model tiny\nload 30 1000\nread 30 12 4\nthought "hm"\ntext "4"\ntext "2"\ndone\n') as h:
        r = h.run("--jsonl", "what?")
        p.eq((r.returncode, r.err), (0, ""))
        events = [json.loads(line) for line in r.out.splitlines()]
        kinds = [e["event"] for e in events]
        p.eq((kinds[0], kinds[-1]), ("start", "end"))
        order = [k for i, k in enumerate(kinds) if i == 0 or kinds[i - 1] != k]
        p.eq(order, ["start", "load", "model", "prefill", "thought", "text", "end"])
        p.eq("".join(e["text"] for e in events if e["event"] == "text"), "42")
        p.eq((events[-1]["answer"], events[-1]["session"]), ("42", events[0]["session"]))
        p.eq([e for e in events if e["event"] == "prefill"][-1], {"event": "prefill", "done": 12, "total": 12, "cached": 4})


def test_output_file():
    with p.Home(SKY) as h:
        r = h.run("-o", "answer.txt", "why?")
        p.eq((r.returncode, r.out, r.err), (0, "", ""))
        path = h.dir / "answer.txt"
        p.eq(path.read_text(), "Because of Rayleigh scattering.\n")
        p.eq(path.stat().st_mode & 0o777, 0o600)
        path.chmod(0o644)
        (h.dir / "link").symlink_to("answer.txt")
        path.write_text("old")
        p.eq(h.run("-o", "link", "--json", "why?").returncode, 0)
        p.eq(json.loads(path.read_text())["answer"], "Because of Rayleigh scattering.")
        p.eq(path.stat().st_mode & 0o777, 0o644)
        assert (h.dir / "link").is_symlink()
        p.eq(h.run("-o", "-", "why?").out, "Because of Rayleigh scattering.\n")
        p.eq(h.run("-o", "/dev/null", "why?").returncode, 0)
        assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")
        r = h.run("-o", "/dev/full", "why?")
        p.eq(r.returncode, 1)
        p.has(r.err, "No space left")
        for bad, said in [("nowhere/x", "No such file"), (".", "is a directory")]:
            n = len(h.json("ls", "--json"))
            r = h.run("-o", bad, "why?")
            p.eq((r.returncode, r.out), (1, ""))
            p.has(r.err, said)
            p.eq(len(h.json("ls", "--json")), n, "refused before it was asked")


def test_output_file_of_an_answer_that_fails():
    with p.Home('read 0 5\ntext "half"\nerror io "the engine is tired"\n') as h:
        (h.dir / "f").write_text("old")
        r = h.run("-o", "f", "why?")
        p.eq((r.returncode, r.out, (h.dir / "f").read_text()), (8, "", "old"))
        p.has(r.err, "f is not written: the answer is not complete; what there is was saved: hadal show ")
        r = h.run("-n", "-o", "f", "why?")
        p.eq((r.returncode, r.out, (h.dir / "f").read_text()), (8, "half\n", "old"), "nothing is lost without a history, either")


# ---- ends ----

def test_exit_statuses():
    for script, status, said in [
        ('read 0 5\nerror io "broken"\n', 1, "broken"), ('error nomodel "no such model"\n', 3, "no such model"), ('error format "bad file"\n', 4, "bad file"),
        ('error toolong "5000 tokens do not fit into 4096"\n', 5, "5000 tokens do not fit into 4096"), ('error input "odd"\n', 9, "odd"),
        ('read 0 5\ndie\n', 1, "engine"), ('read 0 5\ntext "half"\ndie\n', 8, "engine"), ('read 0 5\ntext "half"\nerror io "broken"\n', 8, "broken"),
        ('context 64\nread 0 5\ntext "half"\ndone context\n', 8, "context of 64 tokens is full"),
    ]:
        with p.Home(script) as h:
            r = h.run("q")
            p.eq(r.returncode, status, script + r.err)
            p.has(r.err, said)
            p.eq(r.err.count("\n"), 1, r.err)
            p.eq(r.out, "half\n" if "half" in script else "")
            path = h.json("show", "--json")["path"]
            p.eq(path[0]["text"], "q", "the prompt is kept")
            p.eq(path[1]["text"] if len(path) > 1 else "", "half" if "half" in script else "")


def test_length_and_strict():
    with p.Home('read 0 5\npace 1 1\ntext "abcdefgh"\ndone\n') as h:
        r = h.run("--max-tokens", "3", "q")
        p.eq((r.returncode, r.out, r.err), (0, "abc\n", ""))
        r = h.run("--max-tokens", "3", "--strict", "q")
        p.eq((r.returncode, r.out), (8, "abc\n"))
        p.eq(h.json("--json", "--max-tokens", "3", "q")["stop"], "length")
        p.eq(h.run("--strict", "q").returncode, 0)


def test_history_cannot_be_used():
    with p.Home(SKY) as h:
        (h.dir / "data/hadal/history.db").mkdir(parents=True)
        r = h.run("why?")
        p.eq((r.returncode, r.out), (6, ""))
        p.has(r.err, "(-n goes on without saving)")
        p.eq(r.err.count("\n"), 1)
        r = h.run("-n", "why?")
        p.eq((r.returncode, r.out, r.err), (0, "Because of Rayleigh scattering.\n", ""))
    with p.Home(SKY) as h:
        (h.dir / "data/hadal/history.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
        before = (h.dir / "data/hadal/history.db").read_bytes()
        p.eq(h.run("why?").returncode, 6)
        p.eq(h.run("ls").returncode, 6)
        p.eq((h.dir / "data/hadal/history.db").read_bytes(), before, "a damaged file is not written to")


def test_no_home():
    with p.Home(SKY) as h:
        for k in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"]:
            del h.env[k]
        model = str(h.dir / "data/hadal/models/scripted.gguf")
        p.eq(h.run("-n", "-m", model, "why?").out, "Because of Rayleigh scattering.\n")
        r = h.run("-m", model, "why?")
        p.eq(r.returncode, 6)
        p.has(r.err, "HOME")
        p.eq(h.run("-n", "why?").returncode, 3)


# ---- streams that fail, signals ----

def wait_for(stream, n):
    got = b""
    while len(got) < n:
        got += os.read(stream.fileno(), n - len(got))
    return got


def last_answer(h):
    return h.json("show", "--json")["path"][-1]


def test_reader_that_leaves():
    with p.Home(SLOW) as h:
        for args, status in [([], 0), (["--strict"], 8), (["--jsonl"], 0)]:
            q = h.start(*args, "q")
            wait_for(q.stdout, 5)
            q.stdout.close()
            start = time.monotonic()
            p.eq(q.wait(timeout=p.TIMEOUT), status, args)
            assert time.monotonic() - start < 5
            p.eq(q.stderr.read(), b"", "quietly")
            a = last_answer(h)
            p.eq(a["state"], "interrupted")
            assert 5 <= len(a["text"]) < 4000 or "--jsonl" in args, a


def test_reader_that_leaves_before_the_first_word():
    with p.Home('load 5000\ntext "x"\ndone\n') as h:
        q = h.start("q")
        time.sleep(0.3)
        q.stdout.close()
        start = time.monotonic()
        p.eq(q.wait(timeout=p.TIMEOUT), 0)
        assert time.monotonic() - start < 3, "it did not wait for a word to find out"


def test_head():
    with p.Home('read 0 5\npace 1 2\ntext "1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n"\nstall\n') as h:
        r = subprocess.run(["bash", "-c", f'set -o pipefail; "{p.HADAL}" q | head -1; echo "${{PIPESTATUS[0]}}"'], env=h.env, capture_output=True, timeout=30)
        p.eq((r.stdout, r.stderr), (b"1\n0\n", b""))


def test_stdout_is_full():
    with p.Home(SLOW) as h, open("/dev/full", "wb") as full:
        for args in [[], ["--json"], ["--no-stream"], ["--jsonl"]]:
            script = SKY if args else SLOW
            h.script(script)
            r = h.run(*args, "q", stdout=full)
            p.eq(r.returncode, 1, args)
            p.has(r.err, "cannot write to standard output: No space left on device")
            p.eq(r.err.count("\n"), 1)
            if args in (["--json"], ["--no-stream"]):  # the others stop at the first word
                p.eq(last_answer(h)["text"], "Because of Rayleigh scattering.", "it is in the history")
        for args in [["ls"], ["--help"], ["--version"], ["show"]]:
            r = h.run(*args, stdout=full)
            p.eq(r.returncode, 1, args)


def test_closed_descriptors():
    with p.Home(SKY) as h:
        for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]:
            r = subprocess.run(["bash", "-c", f'exec "{p.HADAL}" why {closed}'], env=h.env, capture_output=True, timeout=30)
            p.eq(r.returncode, 0, closed)
            p.eq(r.stdout, b"" if ">&-" in closed.replace("2>&-", "") else b"Because of Rayleigh scattering.\n", closed)
            p.eq(last_answer(h)["text"], "Because of Rayleigh scattering.", closed)
        p.eq(h.run("doctor", "--json").returncode in (0, 1), True)


def interrupted(sig, status, args=()):
    with p.Home(SLOW) as h:
        q = h.start(*args, "q")
        first = wait_for(q.stdout, 5)
        time.sleep(0.2)
        start = time.monotonic()
        q.send_signal(sig)
        out, err = q.communicate(timeout=p.TIMEOUT)
        assert time.monotonic() - start < 3
        p.eq((q.returncode, err), (status, b""))
        assert out.endswith(b"x\n"), out[-20:]
        a = last_answer(h)
        p.eq(a["state"], "interrupted")
        p.eq(a["text"] + "\n", (first + out).decode(), "what was printed is what was saved")


def test_sigint():
    interrupted(signal.SIGINT, 130)


def test_sigterm():
    interrupted(signal.SIGTERM, 143)


def test_sighup():
    interrupted(signal.SIGHUP, 129)


def test_sigint_and_json():
    with p.Home(SLOW) as h:
        q = h.start("--json", "q")
        time.sleep(0.5)
        q.send_signal(signal.SIGINT)
        out, err = q.communicate(timeout=p.TIMEOUT)
        p.eq((q.returncode, err), (130, b""))
        r = json.loads(out)
        p.eq(r["stop"], "cancelled")
        p.eq(last_answer(h)["text"], r["answer"])


def test_sigint_twice():
    """An engine that does not even stop: the second SIGINT does not wait for it. The same signal twice at once counts once."""
    with p.Home() as h:
        endless = ("--ctx", "100000", "--logit-bias", "315-inf,316-inf,317-inf")  # no end, no end of a turn
        q = h.start("-m", p.shared("goldens/llama.gguf"), "--temp", "0", *endless, "q")
        wait_for(q.stdout, 20)
        engine = int(open(f"/proc/{q.pid}/task/{q.pid}/children").read().split()[0])
        os.kill(engine, signal.SIGSTOP)
        try:
            q.send_signal(signal.SIGINT)
            time.sleep(0.02)
            q.send_signal(signal.SIGINT)
            time.sleep(0.5)
            p.eq(q.poll(), None, "it waits for the engine")
            q.send_signal(signal.SIGINT)
            start = time.monotonic()
            q.wait(timeout=p.TIMEOUT)
            p.eq(q.returncode, 130)
            assert time.monotonic() - start < 2
        finally:
            os.kill(engine, signal.SIGKILL)
        q.communicate()
        h.run("rm", "--undo", "nothing")  # a writer marks what was cut off
        a = last_answer(h)
        p.eq((a["state"], len(a["text"]) > 0), ("interrupted", True))


def test_sigusr1():
    with p.Home('read 0 5\ntext "x"\nstall\n') as h:
        q = h.start("q")
        wait_for(q.stdout, 1)
        q.send_signal(signal.SIGUSR1)
        line = q.stderr.readline()
        p.has(line.decode(), "hadal: answering, ")
        q.send_signal(signal.SIGTERM)
        q.communicate(timeout=p.TIMEOUT)
        p.eq(q.returncode, 143)


def test_kill_loses_nothing():
    """kill -9 at 50 random moments, five programs at a time on one database."""
    answer = "".join(f"word{i} " for i in range(200))
    with p.Home(f'read 20 5\npace 10 7\ntext "{answer}"\ndone\n') as h:
        dice = random.Random(7)
        for batch in range(10):
            runs = [(f"number{batch}{i}", h.start(f"number{batch}{i} please"), dice.uniform(0.05, 1.5)) for i in range(5)]
            start = time.monotonic()
            for _, q, moment in sorted(runs, key=lambda r: r[2]):
                time.sleep(max(0, start + moment - time.monotonic()))
                q.kill()
            shown = {name: q.communicate()[0].decode() for name, q, _ in runs}
            h.run("rm", "--undo", "nothing")  # one that may write marks what was cut off
            for name, out in shown.items():
                if not out:
                    continue
                path = h.json("show", "--json", name)["path"]
                p.eq(path[0]["text"], f"{name} please")
                assert path[1]["state"] in ("interrupted", "final"), path
                kept = path[1]["text"]
                assert answer.startswith(kept), kept
                assert len(kept) >= min(len(out), len(answer)) - 7 * 120, "at most 1.2 s of text are lost, on a busy machine"
            assert sum(map(bool, shown.values())) > 1, "most were killed in the middle of an answer"
        p.eq(h.run("doctor", "--json").out.count('"history", "ok": true'), 1)


def test_history_that_fails_in_the_middle():
    with p.Home('read 0 5\npace 20 1\ntext "abcdefghijklmnopqrstuvwxyz"\ndone\n') as h:
        q = h.start("q")
        wait_for(q.stdout, 3)
        db = sqlite3.connect(h.dir / "data/hadal/history.db", isolation_level=None, timeout=10)
        db.execute("BEGIN EXCLUSIVE")
        out, err = q.communicate(timeout=p.TIMEOUT)
        p.eq((q.returncode, out), (6, b"defghijklmnopqrstuvwxyz\n"), "the answer goes on")
        p.has(err.decode(), "locked")
        db.execute("ROLLBACK")
        db.execute("BEGIN EXCLUSIVE")
        r = h.run("another")
        p.eq((r.returncode, r.out), (6, ""))
        p.has(r.err, "(-n goes on without saving)")
        db.close()


# ---- progress and statistics ----

def test_progress_only_on_a_terminal():
    script = 'load 700 90000000\nread 700 3000\ntext "done"\ndone\n'
    with p.Home(script) as h:
        r = h.run("q")
        p.eq((r.out, r.err), ("done\n", ""))
        status, tty, out, _ = p.on_tty(h, "q", stdout="pipe")
        p.eq((status, out), (0, b"done\n"))
        p.has(tty.decode(), "loading ")
        p.has(tty.decode(), " of 90 MB")
        p.has(tty.decode(), " of 3,000 tokens")
        assert tty.endswith(b"\r\x1b[K"), tty[-30:]
        status, tty, _, _ = p.on_tty(h, "q")
        assert tty.endswith(b"\r\x1b[Kdone\r\n"), tty[-40:]
        for kw in [dict(), dict(env={"ACCESSIBLE": "1"})]:
            status, tty, _, err = p.on_tty(h, *([] if kw else ["--plain"]), "q", **kw)
            assert b"\x1b" not in tty and tty.replace(b"\r\n", b"").count(b"\r") == 0, tty


def test_notices_do_not_stand_in_the_answer():
    with p.Home('context 100\nread 0 5\npace 1 1\ntext "' + "y" * 90 + '"\ndone\n') as h:
        status, tty, _, _ = p.on_tty(h, "q")
        p.eq(status, 0)
        lines = tty.replace(b"\r", b"").split(b"\n")
        p.eq(lines[0], b"y" * 90)
        p.eq(len(lines), 3, lines)
        assert lines[1].startswith(b"hadal: the chat fills 9"), lines
        p.eq(h.run("-n", "q").err, "", "nothing will go on from here")


def test_stats_and_verbose():
    with p.Home('model tiny\nread 5 1234 34\ntext "a b c"\nusage n_out 3\nusage decode_ms 1500\ndone\n') as h:
        r = h.run("--stats", "q")
        p.eq(r.out, "a b c\n")
        p.has(r.err, "[3 tokens, 2.0/s; prompt 1,234 tokens, 34 reused; ")
        p.eq(h.run("q").err, "")
        p.has(h.run("--verbose", "q").err, "hadal: tiny, ")


# ---- which session ----

def test_sessions():
    with p.Home("read 0 5\nmessages\ndone\n") as h:
        p.eq(h.run("-c", "q").returncode, 6)
        h.run("first question")
        h.run("second question")
        r = h.run("-c", "more")
        p.eq(r.out, "user: second question\nassistant: user: second question\n\nuser: more\n", r.err)
        r = h.run("-s", "first", "again")
        assert r.out.startswith("user: first question\n") and r.out.endswith("user: again\n"), r.out
        ids = [s["id"] for s in h.json("ls", "--json")]
        p.eq(len(ids), 2)
        assert h.run("-s", ids[1], "by id").out.startswith("user: second question\n")
        r = h.run("-s", "nonsense", "q")
        p.eq((r.returncode, r.out), (6, ""))
        r = h.run("-s", "question", "q")
        p.eq(r.returncode, 6)
        p.has(r.err, "ambiguous")
        before = h.run("ls").out
        p.eq(h.run("-n", "quiet").out, "user: quiet\n")
        p.eq(h.run("ls").out, before)
        r = h.run("--system", "Be terse.", "q")
        p.eq(r.out, "system: Be terse.\nuser: q\n")
        assert h.run("-c", "q2").out.startswith("system: Be terse.\n")
        assert h.run("-c", "--system", "Be long.", "q3").out.startswith("system: Be long.\n")


def test_config_and_environment():
    with p.Home("read 0 5\nmessages\ndone\n", config="system = From the file.\nno-save = yes\ntemp = 9\nbad line\n") as h:
        r = h.run("q")
        p.eq(r.out, "system: From the file.\nuser: q\n")
        p.has(r.err, "config/hadal/config, line 4: no '=' in 'bad line'")
        p.eq(r.err.count("\n"), 1)
        p.eq(h.json("ls", "--json"), [])
        h.env["HADAL_SYSTEM"] = "From outside."
        p.eq(h.run("--no-save=no", "q").out, "system: From outside.\nuser: q\n")
        p.eq(len(h.json("ls", "--json")), 1)
        p.eq(h.json("--json", "q")["params"]["temp"], 9)
        p.eq(h.json("--json", "--temp", "1", "q")["params"]["temp"], 1)


def test_many_at_once():
    with p.Home(SKY) as h:
        runs = [h.start(f"question {i}") for i in range(8)]
        for q in runs:
            out, err = q.communicate(timeout=p.TIMEOUT)
            p.eq((q.returncode, out, err), (0, b"Because of Rayleigh scattering.\n", b""))
        p.eq(len(h.json("ls", "--json")), 8)


p.main(globals())
