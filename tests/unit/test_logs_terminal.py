# SPDX-License-Identifier: Apache-2.0
"""The terminal program in a true terminal (tmux): what a person types and sees, and how it ends."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from recordings import Writer

from sandbox import paths
from sandbox.machine import runs
from sandbox.machine.folder import Folder, World

ROOT = Path(__file__).parents[2]
N, S = World.NORMAL, World.SECURE


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, socket: Path, width: int, height: int) -> None:
        tmux = shutil.which("tmux")
        if tmux is None:
            if os.environ.get("CI"):
                pytest.fail("tmux is missing: optee-build/host-packages-test.txt names it")
            pytest.skip("tmux is missing")
        self._program, self._socket, self._opened = tmux, socket, 0
        self._size = ["-x", str(width), "-y", str(height)]
        self.open()

    def open(self) -> None:
        # A socket for each server: the last one may not have let go of its own yet.
        self._opened += 1
        self._tmux = [self._program, "-S", f"{self._socket}-{self._opened}"]
        # A size in the environment would hide that of the terminal.
        shell = ["env", "-u", "COLUMNS", "-u", "LINES", "PS1=READY$ ", "TERM=screen-256color", "sh"]
        self._run("-f", os.devnull, "new-session", "-d", *self._size, *shell)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, timeout=180, check=True
        )
        return done.stdout

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait_for(self, text: str, *, gone: bool = False, timeout_s: float = 180.0) -> str:
        deadline = time.monotonic() + timeout_s
        while (text in (screen := self.screen())) == gone:
            assert time.monotonic() < deadline, f"{text!r}:\n{screen}"
            time.sleep(0.05)
        return screen

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], stderr=subprocess.DEVNULL, timeout=180)


def is_ours(process: Path) -> bool:
    """A terminal program of this test that still runs."""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        home = os.fsencode(os.environ["HOME"])
        return b"--tui" in words and b"HOME=" + home in (process / "environ").read_bytes()
    except OSError:
        return False


def programs() -> list[Path]:
    return [process for process in Path("/proc").iterdir() if is_ours(process)]


def all_end() -> bool:
    deadline = time.monotonic() + 20.0
    while programs() and time.monotonic() < deadline:
        time.sleep(0.1)
    return not programs()


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    # After `home`: the shell in it must see the test's folders.
    del home
    terminal = Terminal(tmp_path / "tmux", 110, 24)
    yield terminal
    terminal.close()
    assert all_end()


@pytest.fixture
def writer(home: Path) -> Writer:
    folder = Folder(paths.machine_dir("default"))
    folder.create()
    writer = Writer(folder.path)
    for number in range(40):
        writer.say(N, f"[{number:12.6f}] normal {number}", at_s=number + 0.25)
        writer.say(S, f"[{number:12.6f}] I/TC: secure {number}", at_s=number + 0.75)
        if number == 12:
            writer.say(S, f"[{number:12.6f}] E/TC:0 0 something bad [red]", at_s=number + 0.8)
    return writer


def start(terminal: Terminal, *words: str) -> None:
    command = [sys.executable, "-m", "sandbox", "logs", "--tui", *words]
    terminal.type(f"cd {ROOT} && {' '.join(command)}; echo status $?")
    terminal.press("Enter")


def test_a_session(writer: Writer, terminal: Terminal) -> None:
    start(terminal)
    screen = terminal.wait_for("I/TC: secure 39")
    assert "line 81 of 81" in screen and "following" in screen
    assert "default: down  up —" in screen.splitlines()[-1]

    terminal.press("e")
    screen = terminal.wait_for("something bad [red]")
    assert "line 27 of 81" in screen

    terminal.type("/secure 3")
    terminal.wait_for("secure 3")
    terminal.press("Enter")
    terminal.wait_for("search 'secure 3'")
    terminal.press("n")
    terminal.wait_for("line 65 of 81")

    terminal.press("w", "w")
    screen = terminal.wait_for("normal 3", gone=True)
    assert screen.startswith(" secure  ·") and "I/TC: secure 3" in screen
    terminal.press("c", "s")
    terminal.wait_for("normal | secure")
    screen = terminal.wait_for(" normal 33")
    assert "I/TC: secure 3" in screen

    terminal.press("?")
    terminal.wait_for("leave: the machine does not notice")
    terminal.press("Escape")
    terminal.wait_for("leave: the machine does not notice", gone=True)
    terminal.resize(60, 12)
    terminal.press("s", "G")
    terminal.wait_for("secure 39")
    terminal.resize(180, 40)
    terminal.wait_for("TAs —  TA RAM —  heap —")

    # While it is open: more lines, the end of the machine, and a new run.
    writer.say(N, "[   77.000000] while you look")
    terminal.wait_for("while you look")
    runs.keep(Folder(writer.recording.path))
    Writer(writer.recording.path).say(N, "NOTICE:  a new boot")
    screen = terminal.wait_for("a new boot")
    assert "while you look" not in screen

    terminal.press("q")
    terminal.wait_for("status 0")


def test_a_replay(writer: Writer, terminal: Terminal) -> None:
    start(terminal, "--replay", "--speed", "1")
    terminal.wait_for("normal 1")
    terminal.press("p")
    screen = terminal.wait_for("PAUSED")
    assert "replay 1 times as fast" in screen
    terminal.press("p", ">", ">", ">", ">", ">")
    terminal.wait_for("a recording of 0:39")
    terminal.press("q")
    terminal.wait_for("status 0")


@pytest.mark.parametrize("keys", ["C-c", "C-q"])
def test_it_can_be_interrupted(writer: Writer, terminal: Terminal, keys: str) -> None:
    start(terminal)
    terminal.wait_for("I/TC: secure 39")
    terminal.press(keys)
    # The shell's screen is as it was.
    screen = terminal.wait_for("status 0")
    assert "secure 39" not in screen and "READY$" in screen


def test_a_killed_one_leaves_the_recording_alone(writer: Writer, terminal: Terminal) -> None:
    start(terminal)
    terminal.wait_for("I/TC: secure 39")
    before = writer.recording.log(S).read_bytes()
    # The window is closed, and the program with it.
    assert programs()
    terminal.close()
    assert all_end()
    assert writer.recording.log(S).read_bytes() == before
    terminal.open()
    start(terminal)
    terminal.wait_for("I/TC: secure 39")


def test_without_a_terminal_it_says_so(writer: Writer) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "sandbox", "logs", "--tui"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ran.returncode == 2 and "needs a terminal" in ran.stderr
