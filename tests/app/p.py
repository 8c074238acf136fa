"""What the whole-process tests share: running hadal with private XDG folders, and printing results as cmocka does.

A test file defines functions whose names begin with test_, and ends with p.main(globals()). skip("why") leaves a case out, and says so.
"""
import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

HADAL = os.environ["HADAL"]
SRC = pathlib.Path(os.environ.get("SRCDIR", pathlib.Path(__file__).resolve().parents[2]))
SHARED = pathlib.Path(os.environ["HADAL_SHARED"]) if os.environ.get("HADAL_SHARED") not in (None, "", "none") else None
TIMEOUT = 60
# Run in the background of a plain shell, the tests inherit ignored signals, and hadal rightly leaves those ignored.
for sig in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)


class Skip(Exception):
    pass


def skip(why):
    raise Skip(why)


def shared(name):
    if SHARED is None or not (SHARED / name).exists():
        skip(f"no shared data {name}")
    return str(SHARED / name)


class Home:
    """A person's folders of this test alone. `script` is the scripted engine's timetable."""

    def __init__(self, script=None, config=None, **env):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hadal-test."))
        keep = ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TERM", "TMPDIR")
        self.env = {k: os.environ[k] for k in keep if k in os.environ}
        self.env.update(HOME=str(self.dir), LANG="C.UTF-8", XDG_DATA_HOME=str(self.dir / "data"), XDG_CONFIG_HOME=str(self.dir / "config"),
                        XDG_CACHE_HOME=str(self.dir / "cache"), XDG_STATE_HOME=str(self.dir / "state"))
        self.env.update(env)
        if script is not None:
            self.script(script)
        if config is not None:
            (self.dir / "config/hadal").mkdir(parents=True)
            (self.dir / "config/hadal/config").write_text(config)

    def script(self, text):
        (self.dir / "script").write_text(text)
        if not (self.dir / "data/hadal/models").exists():
            (self.dir / "data/hadal/models").mkdir(parents=True)
            (self.dir / "data/hadal/models/scripted.gguf").touch()  # the script answers for it
        self.env["HADAL_ENGINE"] = f"script:{self.dir / 'script'}"

    def model(self, name, source):
        """Puts a model into models/ (as a link)."""
        models = self.dir / "data/hadal/models"
        models.mkdir(parents=True, exist_ok=True)
        (models / name).symlink_to(source)

    def start(self, *args, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([HADAL, *args], env=self.env, cwd=self.dir, **kw)

    def run(self, *args, input=None, **kw):
        """input: bytes or text for a pipe; None: /dev/null. The result has .out and .err as text."""
        if isinstance(input, str):
            input = input.encode()
        if input is not None:
            kw["stdin"] = subprocess.PIPE
        p = self.start(*args, **kw)
        out, err = p.communicate(input, timeout=TIMEOUT)
        p.raw = out
        p.out = (out or b"").decode(errors="replace")
        p.err = (err or b"").decode(errors="replace")
        return p

    def json(self, *args, **kw):
        r = self.run(*args, **kw)
        assert r.returncode == 0, (args, r.returncode, r.err)
        return json.loads(r.out)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir, ignore_errors=True)


def on_tty(home, *args, stdin="tty", stdout="tty", stderr="tty", columns=80, env=None):
    """Runs with a terminal (one pty) on the streams that ask for it; others are pipes. (status, terminal bytes, stdout bytes, stderr bytes)"""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kinds = {"tty": slave, "pipe": subprocess.PIPE, "null": subprocess.DEVNULL}
    proc = subprocess.Popen([HADAL, *args], env={**home.env, "TERM": "xterm-256color", **(env or {})}, cwd=home.dir, start_new_session=True,
                            stdin=kinds[stdin], stdout=kinds[stdout], stderr=kinds[stderr])
    os.close(slave)
    if stdin == "pipe":
        proc.stdin.close()
    got = {master: b""}
    for f in (proc.stdout, proc.stderr):
        if f:
            got[f.fileno()] = b""
    open_fds = set(got)
    end = time.monotonic() + TIMEOUT
    while open_fds and time.monotonic() < end:
        for fd in select.select(list(open_fds), [], [], 0.05)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            got[fd] += data
            if not data:
                open_fds.discard(fd)
        if proc.poll() is not None and open_fds == {master} and not select.select([master], [], [], 0)[0]:
            break
    try:
        status = proc.wait(timeout=max(1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.wait()
        status = "timeout"
    os.close(master)
    return status, got[master], got.get(proc.stdout.fileno() if proc.stdout else -1), got.get(proc.stderr.fileno() if proc.stderr else -1)


def select_ready(stream):
    return bool(select.select([stream], [], [], 0)[0])


def eq(got, want, what=""):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def has(text, part, what=""):
    assert part in text, f"{what}: {part!r} is not in {text!r}"


def main(names):
    failed = 0
    for name, fn in list(names.items()):
        if not name.startswith("test_") or (len(sys.argv) > 1 and sys.argv[1] not in name):
            continue
        try:
            fn()
            print(f"[       OK ] {name[5:]}", flush=True)
        except Skip as s:
            print(f"[  SKIPPED ] {name[5:]}\n  {s}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"[  FAILED  ] {name[5:]}", flush=True)
    sys.exit(1 if failed else 0)
