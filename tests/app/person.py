"""
Plays a person in front of the line face: runs hadal on a pseudo-terminal, types, and looks at what comes out and at what stands in the
database. Time is the scripted engine's; every wait is for something that must appear, and ends when it does.
"""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import termios
import time

import p

KEYS = {"<up>": "\x1b[A", "<c-c>": "\x03", "<c-d>": "\x04", "<enter>": "\r", "<tab>": "\t", "<c-u>": "\x15"}
PATIENCE = 15  # seconds; sanitizers and a busy machine included


def query(home, sql, *args):
    """All rows; BLOBs as text."""
    db = sqlite3.connect(f"file:{home.dir}/data/hadal/history.db?mode=ro", uri=True, timeout=10)
    db.text_factory = lambda b: b.decode("utf-8", "backslashreplace")
    try:
        rows = db.execute(sql, args).fetchall()
    finally:
        db.close()
    return [tuple(c.decode("utf-8", "backslashreplace") if isinstance(c, bytes) else c for c in r) for r in rows]


def turns(home):
    """(role, state, text) of every message, oldest first."""
    return query(home, "SELECT n.role, n.state, coalesce((SELECT group_concat(CAST(p.text AS TEXT), '') FROM part p WHERE p.node_id = n.id"
                       " AND p.kind = 'text'), '') FROM node n WHERE n.role != 'system' ORDER BY n.id")


def sound(home):
    p.eq(query(home, "PRAGMA integrity_check"), [("ok",)])


def plain(data):
    """As text without escape sequences and carriage returns."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", data.decode("utf-8", "backslashreplace"))


class Person:
    """One run of the program; line by line, or full screen."""

    def __init__(self, home, *args, rows=24, cols=80, prompt=True, full=False, **env):
        self.all, self.seen, self.status = b"", 0, None
        environment = {"TERM": "xterm-256color", "INPUTRC": "/dev/null", **{k: v for k, v in home.env.items() if k != "TERM"}, **env}
        self.fd, tty = pty.openpty()
        fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.modes = termios.tcgetattr(tty)
        self.tty = tty
        self.process = subprocess.Popen([p.HADAL, *([] if full else ["--line"]), *args], env=environment, cwd=home.dir, stdin=tty, stdout=tty, stderr=tty, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.pid = self.process.pid
        if prompt:
            self.see("you> ")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
        os.close(self.tty)

    def pump(self, seconds):
        """Reads for at most so long; false: nothing came."""
        if not select.select([self.fd], [], [], max(0, seconds))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.all += data
        return bool(data)

    def type(self, text):
        for part in re.split(r"(<[a-z-]+>)", text):
            os.write(self.fd, KEYS.get(part, part).encode("utf-8", "surrogateescape"))

    def say(self, text):
        self.type(text + "<enter>")

    def text(self):
        return plain(re.sub(rb"\x1b(\[[0-9;?]*)?$", b"", self.all))

    def see(self, want):
        """Waits until this stands in the plain text behind the last thing seen."""
        end = time.monotonic() + PATIENCE
        while want not in self.text()[self.seen:]:
            left = end - time.monotonic()
            got = self.pump(left)
            if (left <= 0 or not got) and want not in self.text()[self.seen:]:
                raise AssertionError(f"never seen: {want!r}; after the last thing seen: {self.text()[self.seen:]!r}")
        self.seen = self.text().index(want, self.seen) + len(want)

    def ask(self, text, answer):
        """A prompt, its answer, and the next prompt."""
        self.say(text)
        self.see(answer)
        self.see("you> ")

    def quiet(self, seconds=0.15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(end - time.monotonic())

    def rest(self):
        self.quiet()
        return self.text()[self.seen:]

    def wait(self):
        """The exit status, 128 + n for a signal; the terminal is as it was."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"does not end; last: {self.all[-300:]!r}"
            self.pump(0.02)
        while self.pump(0.02):
            pass
        code = self.process.returncode
        if code != -signal.SIGKILL:
            p.eq(termios.tcgetattr(self.tty), self.modes, "terminal modes")
        return 128 - code if code < 0 else code

    def leave(self, want=0):
        self.type("<c-d>")
        got = self.wait()
        p.eq(got, want, f"exit status; last: {self.text()[-3000:]}")

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid, sig)
        return self.wait()


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Tmux:
    def __init__(self, home, command, rows=24, cols=80):
        self.bin = os.environ.get("TMUX_BIN") or shutil.which("tmux")
        if not self.bin or self.bin == "no":
            p.skip("no tmux")
        self.home, self.env = home, {**home.env, "TERM": "xterm-256color", "INPUTRC": "/dev/null", "SHELL": "/bin/sh", "PS1": "$ ", "LC_ALL": "C.UTF-8"}
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(cols), "-y", str(rows), command)

    def run(self, *args):
        r = subprocess.run([self.bin, "-S", str(self.home.dir / "tmux"), *args], env=self.env, cwd=self.home.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return r.stdout.decode()

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def screen(self):
        return self.run("capture-pane", "-p").rstrip("\n")

    def see(self, text):
        try:
            until(lambda: text in self.screen(), "")
        except AssertionError:
            raise AssertionError(f"never seen: {text!r} on\n{self.screen()}") from None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.run("kill-server")
        until(lambda: not self.run("list-sessions"), "tmux does not end")
