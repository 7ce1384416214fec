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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import GuestError
from sandbox.machine import sockets
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder, World

if TYPE_CHECKING:
    from pexpect.fdpexpect import fdspawn

# Escape sequences of terminals (ECMA-48), then any other control character, and those of Unicode
# that turn the direction of writing or end a line.
# Like the patterns below, both are compiled when there is a line.
_ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)"
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_PRIORITY = r"^<\d{1,4}>(?=\[ *\d)"
# A line without an end is cut here: the guest must not make us hold any amount of it.
_LINE_LIMIT = 4096
_READ_SIZE = 1 << 16
EXCERPT_LINES = 15
# After a bad line: how long a console must be quiet for its message to be whole, and the most that
# is waited for that.
_SETTLE_S = 0.3
_SETTLE_LIMIT_S = 3.0
# What an alarm carries, of both consoles: lines before the bad one, and from it on.
_LINES_BEFORE = 20
_LINES_AFTER = 600


class Trouble(StrEnum):
    """The names of bad patterns. docs/panics.md says what each means."""

    KERNEL_PANIC = "kernel panic"
    KERNEL_OOPS = "kernel oops"
    KERNEL_BUG = "kernel bug"
    KERNEL_STALL = "kernel stall"
    KERNEL_HANG = "kernel hang"
    OUT_OF_MEMORY = "out of memory"
    FIRMWARE_PANIC = "firmware panic"
    TEE_ASSERTION = "TEE assertion"
    TEE_PANIC = "TEE panic"
    TA_PANIC = "TA panic"
    LDELF_FAILURE = "ldelf failure"
    OUT_OF_SECURE_MEMORY = "out of secure memory"

    @property
    def fatal(self) -> bool:
        """Whether the machine is beyond help, so that nothing more can be waited for."""
        return self in _FATAL


_FATAL = {
    Trouble.KERNEL_PANIC,
    Trouble.FIRMWARE_PANIC,
    Trouble.TEE_ASSERTION,
    Trouble.TEE_PANIC,
}


@dataclass(frozen=True)
class BadPattern:
    name: Trouble
    world: World
    text: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        # When there is a line to try it on: together they take 10 ms to compile.
        return re.compile(self.text)


_FIRMWARE = (
    r"^PANIC (in EL3|at PC)|^ASSERT: (File )?\S+( Line |:)\d|^Unhandled (Interrupt )?Exception "
    r"(in|from) (EL3|lower EL)|^BACKTRACE: START: "
)
# Up to the first one of these and no further: what a guest prints must not make the search take
# longer than its length.
_TC = r"^(?>.*?TC:)"
_LD = r"^(?>.*?LD:)"
# Texts: Linux 6.12, OP-TEE 4.10 and TF-A 2.12 sources; OP-TEE/build's qemu-check-common.exp.
# A line is known by the first that fits, so the special ones come before the general.
BAD_PATTERNS = (
    BadPattern(Trouble.KERNEL_PANIC, World.NORMAL, r"Kernel panic - not syncing"),
    BadPattern(
        Trouble.KERNEL_STALL,
        World.NORMAL,
        r"^(?>.*?rcu: ).*?(detected (expedited )?stalls?\b|self-detected|kthread starved)"
        r"|soft lockup - CPU|detected hard LOCKUP",
    ),
    BadPattern(
        Trouble.KERNEL_OOPS,
        World.NORMAL,
        r"Unable to handle kernel |Internal error: |\bOops\b|SError Interrupt on CPU"
        r"|Unhandled \S+ \S+ \S+ exception on CPU",
    ),
    BadPattern(Trouble.KERNEL_BUG, World.NORMAL, r"kernel BUG at |\bBUG: "),
    BadPattern(Trouble.KERNEL_HANG, World.NORMAL, r"task \S+ blocked for more than \d+ seconds"),
    BadPattern(
        Trouble.OUT_OF_MEMORY,
        World.NORMAL,
        r"invoked oom-killer|Out of memory: Killed|Memory cgroup out of memory",
    ),
    # TF-A speaks on the normal console, and dumps registers on the secure one.
    BadPattern(Trouble.FIRMWARE_PANIC, World.NORMAL, _FIRMWARE),
    BadPattern(Trouble.FIRMWARE_PANIC, World.SECURE, _FIRMWARE),
    BadPattern(Trouble.TEE_ASSERTION, World.SECURE, _TC + r"(?>.*?\bassertion\b).* failed\b"),
    BadPattern(
        Trouble.TEE_PANIC,
        World.SECURE,
        _TC + r".*?( Panic\b|Core (data|prefetch|undef)-abort at|Dead canary at)",
    ),
    BadPattern(
        Trouble.TA_PANIC,
        World.SECURE,
        _TC + r".*?(TA panicked with code|User (mode|TA) (data|prefetch|undef)-abort at)",
    ),
    BadPattern(
        Trouble.OUT_OF_SECURE_MEMORY,
        World.SECURE,
        _TC + r".*?(Out of memory|Memory allocation failed: size|\b(failed with res:|Return error)"
        r" 0xffff000c|Page tables are not available|[Mm]em exhausted|tables exhausted)",
    ),
    BadPattern(
        Trouble.LDELF_FAILURE,
        World.SECURE,
        _TC + r".*?ldelf (\S+ ){0,4}(panicked|failed with res)|" + _LD + r".*? Panic\b",
    ),
)


def bad_pattern(world: World, text: str) -> BadPattern | None:
    """What this line of a console gives away, if anything."""
    for pattern in BAD_PATTERNS:
        if pattern.world is world and pattern.regex.search(text):
            return pattern
    return None


@dataclass(frozen=True)
class Line:
    world: World
    text: str


class ConsoleAlarm(GuestError):
    """A console showed that the guest is in trouble. `lines` are those around it, of both."""

    def __init__(self, trouble: Trouble, line: Line, lines: Sequence[Line], quoted: str) -> None:
        super().__init__("")
        self.trouble = trouble
        self.line = line
        self.lines = tuple(lines)
        self.quoted = quoted
        self.tell(quoted)

    def tell(self, text: str, hints: tuple[str, ...] = ()) -> None:
        """Say this about it: by default the ends of the consoles, better an explanation."""
        line = self.line
        self.message = f"{self.trouble} in the {line.world} world: {line.text.strip()}\n{text}"
        self.args = (self.message,)
        self.hints = hints


def clean(raw: bytes) -> str:
    """Text that is safe to print, of one line of a console."""
    text = re.sub(_ESCAPES, "", raw.rstrip(b"\r\n").decode(errors="replace"))
    return re.sub(_CONTROLS, "", text)


def _said(raw: bytes) -> str:
    """A line without the level that Linux puts before its own (console_msg_format=syslog)."""
    return re.sub(_PRIORITY, "", clean(raw))


def excerpt(path: Path, lines: int = EXCERPT_LINES) -> list[str]:
    """The last lines of a console log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - lines * _LINE_LIMIT))
            kept = deque(log, maxlen=lines)
    except FileNotFoundError:
        return []
    return [_said(raw) for raw in kept]


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

    def __init__(self, world: World, path: Path, begin: int = 0) -> None:
        self.world = world
        self._path = path
        self._offset = begin
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
                yield Line(self.world, _said(raw))
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
        line, self._rest = Line(self.world, _said(self._rest)), b""
        return line


class Watch:
    """Both consoles, searched for trouble during a boot, a command or a test."""

    def __init__(
        self,
        folder: Folder,
        begin: Mapping[World, int] | None = None,
        expected: Iterable[Trouble] = (),
    ) -> None:
        """From the first line on, or from what Folder.log_sizes() said at the time."""
        self._folder = folder
        self._expected = frozenset(expected)
        self._followers = [
            Follower(world, folder.log(world), begin[world] if begin else 0) for world in World
        ]
        self._recent: deque[Line] = deque(maxlen=_LINES_BEFORE)
        # The first bad line, and what is quoted with it.
        self._bad: tuple[Trouble, Line] | None = None
        self._quoted: list[Line] = []

    def close(self) -> None:
        for follower in self._followers:
            follower.close()

    @contextmanager
    def expecting(self, *names: str) -> Iterator[None]:
        """Where a bad pattern is what the caller wants to see, or at least does not mind."""
        before = self._expected
        self.look()
        self._expected = before | {Trouble(name) for name in names}
        try:
            yield
            self.look()
        finally:
            self._expected = before

    def lines(self) -> Iterator[Line]:
        """What both consoles said since the last call. Raises ConsoleAlarm at a bad line."""
        reading = self._read()
        for line in reading:
            if self._bad is not None:
                # What came with it belongs to its message.
                deque(reading, maxlen=0)
                raise self._alarm(*self._bad)
            yield line

    def look(self) -> None:
        """Take note of what both consoles said. Raises ConsoleAlarm if the machine is lost."""
        for _ in self._read():
            pass
        if self._bad is not None and self._bad[0].fatal:
            raise self._alarm(*self._bad)

    def check(self) -> None:
        """Raises ConsoleAlarm if there was any trouble until now."""
        self.look()
        if self._bad is not None:
            raise self._alarm(*self._bad)

    def _read(self) -> Iterator[Line]:
        for follower in self._followers:
            for line in follower.read():
                self._note(line)
                yield line

    def _note(self, line: Line) -> None:
        if self._bad is None:
            pattern = bad_pattern(line.world, line.text)
            if pattern is not None and pattern.name not in self._expected:
                self._bad = pattern.name, line
                self._quoted = list(self._recent)
        if self._bad is None:
            self._recent.append(line)
        elif len(self._quoted) < _LINES_BEFORE + _LINES_AFTER:
            self._quoted.append(line)

    def _alarm(self, trouble: Trouble, line: Line) -> ConsoleAlarm:
        # What explains it usually follows: registers, a call stack.
        deadline = Deadline(_SETTLE_LIMIT_S)
        while not deadline.expired:
            time.sleep(_SETTLE_S)
            if not list(self._read()):
                break
        return ConsoleAlarm(trouble, line, self._quoted, excerpts(self._folder, 2 * EXCERPT_LINES))


@contextmanager
def attached(folder: Folder, world: World, timeout_s: float = 10.0) -> Iterator["fdspawn"]:
    """Type into a console and expect its answers, with pexpect. One at a time per console.

    Read on while it is open: QEMU holds the guest when an attached reader falls behind.
    """
    from pexpect.fdpexpect import fdspawn

    with sockets.connect(folder.console_socket(world), timeout_s) as connection:
        connection.setblocking(True)
        yield fdspawn(connection.fileno(), timeout=timeout_s)
