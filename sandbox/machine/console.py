# SPDX-License-Identifier: Apache-2.0
"""The two consoles: read as they grow, watched for trouble, quoted when something fails.

QEMU writes both to files from the first byte, and those are what we follow: a reader that is slow
or late then never holds up the guest. The guest is not trusted, so nothing it prints reaches a
terminal with its control characters.
"""

import os
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import GuestError
from sandbox.machine import sockets
from sandbox.machine.folder import Folder, World

if TYPE_CHECKING:
    from pexpect.fdpexpect import fdspawn

# Escape sequences of terminals (ECMA-48), then any other control character.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A line without an end is cut here: the guest must not make us hold any amount of it.
_LINE_LIMIT = 4096
_READ_SIZE = 1 << 16
EXCERPT_LINES = 15
# After the first bad line, how long the rest of the message may take.
_SETTLE_S = 0.3


@dataclass(frozen=True)
class BadPattern:
    name: str
    world: World
    regex: re.Pattern[str]


def _bad(name: str, world: World, regex: str) -> BadPattern:
    return BadPattern(name, world, re.compile(regex))


# Texts: Linux 6.12, OP-TEE 4.10 and TF-A 2.12 sources; OP-TEE/build's qemu-check-common.exp.
BAD_PATTERNS = (
    _bad("kernel panic", World.NORMAL, r"Kernel panic - not syncing"),
    _bad("kernel oops", World.NORMAL, r"Internal error: |\bOops\b|Unable to handle kernel"),
    _bad("kernel bug", World.NORMAL, r"kernel BUG at |\bBUG: "),
    _bad("kernel stall", World.NORMAL, r"rcu.*(detected stalls?|self-detected)|soft lockup"),
    _bad("kernel hang", World.NORMAL, r"task \S+ blocked for more than \d+ seconds"),
    _bad("out of memory", World.NORMAL, r"Out of memory: Killed|invoked oom-killer"),
    _bad("firmware panic", World.NORMAL, r"PANIC (in EL3|at PC)|ASSERT: |Unhandled .*Exception "),
    _bad("TEE assertion", World.SECURE, r"TC:.*assertion.*failed at"),
    _bad("TEE panic", World.SECURE, r"TC:.*\bPanic\b|Core (data|prefetch|undef)-abort at"),
    _bad("TA panic", World.SECURE, r"TA panicked|User mode (data|prefetch|undef)-abort at"),
    _bad("TEE out of memory", World.SECURE, r"TC:.*Out of memory"),
)


class ConsoleAlarm(GuestError):
    """A console showed that the guest is in trouble."""


@dataclass(frozen=True)
class Line:
    world: World
    text: str


def clean(raw: bytes) -> str:
    """Text that is safe to print, of one line of a console."""
    text = _ESCAPES.sub("", raw.rstrip(b"\r\n").decode(errors="replace"))
    return _CONTROLS.sub("", text)


def excerpt(path: Path, lines: int = EXCERPT_LINES) -> list[str]:
    """The last lines of a console log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - lines * _LINE_LIMIT))
            kept = deque(log, maxlen=lines)
    except FileNotFoundError:
        return []
    return [clean(raw) for raw in kept]


def excerpts(folder: Folder, lines: int = EXCERPT_LINES) -> str:
    """The ends of both consoles, for the message of a failure."""
    parts = []
    for world in World:
        path = folder.log(world)
        text = excerpt(path, lines)
        title = f"the {world} world's console ends with" if text else f"nothing from {world} world"
        parts.append("\n".join([f"--- {title} ({path})", *(f"  {line}" for line in text)]))
    return "\n".join(parts)


class Follower:
    """The lines of one console, each given once, through any number of boots."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self._path = path
        self._offset = 0
        self._rest = b""
        # Kept open: only then does another file under this name have another inode.
        self._log: FileIO | None = None

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def read(self) -> Iterator[Line]:
        """What came since the last call, up to the last complete line."""
        while True:
            if self._log is None:
                try:
                    self._log = FileIO(self._path)
                except FileNotFoundError:
                    return
                self._log.seek(self._offset)
            yield from self._drain(self._log)
            if not self._replaced(self._log):
                return
            yield from self.rest()
            self.close()
            self._offset = 0

    def _drain(self, log: FileIO) -> Iterator[Line]:
        while data := log.read(_READ_SIZE):
            self._offset += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for raw in whole:
                yield Line(self.world, clean(raw))
            if len(self._rest) > _LINE_LIMIT:
                yield self._flush()

    def _replaced(self, log: FileIO) -> bool:
        """Whether a new boot began: with a new file, or with the old one made empty."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return not os.path.samestat(now, os.fstat(log.fileno())) or now.st_size < self._offset

    def rest(self) -> Iterator[Line]:
        """An unfinished line, when no more is expected."""
        if self._rest:
            yield self._flush()

    def _flush(self) -> Line:
        line, self._rest = Line(self.world, clean(self._rest)), b""
        return line


class Watch:
    """Both consoles during a wait: gives their lines and raises at the first bad one."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._armed = set(BAD_PATTERNS)
        self._followers = [Follower(world, folder.log(world)) for world in World]

    def close(self) -> None:
        for follower in self._followers:
            follower.close()

    @contextmanager
    def expecting(self, *names: str) -> Iterator[None]:
        """Where a bad pattern is what the caller wants to see."""
        removed = {pattern for pattern in self._armed if pattern.name in names}
        self._armed -= removed
        try:
            yield
        finally:
            self._armed |= removed

    def lines(self) -> Iterator[Line]:
        """What both consoles said since the last call. Raises ConsoleAlarm."""
        for follower in self._followers:
            for line in follower.read():
                self._check(line)
                yield line

    def _check(self, line: Line) -> None:
        for pattern in self._armed:
            if pattern.world == line.world and pattern.regex.search(line.text):
                # What explains it usually follows: registers, a call stack.
                time.sleep(_SETTLE_S)
                raise ConsoleAlarm(
                    f"{pattern.name} in the {line.world} world: {line.text.strip()}\n"
                    + excerpts(self._folder, 2 * EXCERPT_LINES)
                )


@contextmanager
def attached(folder: Folder, world: World, timeout_s: float = 10.0) -> Iterator["fdspawn"]:
    """Type into a console and expect its answers, with pexpect. One at a time per console.

    Read on while it is open: QEMU holds the guest when an attached reader falls behind.
    """
    from pexpect.fdpexpect import fdspawn

    with sockets.connect(folder.console_socket(world), timeout_s) as connection:
        connection.setblocking(True)
        yield fdspawn(connection.fileno(), timeout=timeout_s)
