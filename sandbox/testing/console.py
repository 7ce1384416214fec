# SPDX-License-Identifier: Apache-2.0
"""What a machine's two consoles say during a test, what of it is bad, and what was expected."""

import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox.debug.panics import Explainer
from sandbox.errors import GuestError, UserError
from sandbox.logs import explain
from sandbox.logs.reader import Reader
from sandbox.logs.records import Record
from sandbox.machine import runs
from sandbox.machine.console import ConsoleAlarm, Follower, Line, Trouble, bad_pattern
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

_POLL_S = 0.02
# After a bad line the rest of the message may still be on its way: until nothing came for so long.
_SETTLE_S = 0.3
_SETTLE_LIMIT_S = 3.0
# Of each console, how much a message quotes.
_QUOTED_LINES = 30
# What an alarm carries of both consoles, for its explanation.
_LINES_BEFORE = 20
_LINES_AFTER = 600
# Of one alarm: the first is the cause, more are rarely read.
_EXPLAINED_LIMIT = 4


class ConsoleTimeout(GuestError):
    """A test waited for something on a console, and it did not come."""


@dataclass(frozen=True)
class Expectation:
    """Bad patterns that a test provokes, and those of them that came."""

    troubles: frozenset[Trouble]
    came: set[Trouble] = field(default_factory=set)

    @classmethod
    def of(cls, names: Iterable[str]) -> "Expectation":
        try:
            return cls(frozenset(map(Trouble, names)))
        except ValueError as error:
            known = ", ".join(Trouble)
            raise UserError(f"no such bad pattern: {error}", f"There are: {known}.") from error

    @property
    def missing(self) -> str:
        """What did not come, as text; empty when all did."""
        return ", ".join(sorted(self.troubles - self.came))


class Console:
    """Both consoles of one machine since the test began; the fixture `console` gives it."""

    def __init__(self, machine: Machine, expectation: Expectation) -> None:
        self.machine = machine
        # Tests may have threads.
        self._lock = threading.RLock()
        self._followers = [Follower(world, machine.folder.log(world)) for world in World]
        self._lines: list[Line] = []
        # Of each world, the first line that wait_for looks at. Not one for both: how their lines
        # lie among each other is a matter of when they were read.
        self._places = dict.fromkeys(World, 0)
        self._bad: list[tuple[int, Trouble]] = []  # by their places: unexpected, not told yet
        self._expectations = [expectation]
        self._fatal = False
        # The same lines as records are for reports; what is found above has to be found at once.
        self._reader: Reader | None = None
        self._records: list[Record] = []
        self._closed = False

    def lines(self, world: World | None = None) -> list[Line]:
        """The lines since the test began, without control characters.

        Those of one world are in order; between the worlds it is as they were read.
        """
        with self._lock:
            self._read()
            return [line for line in self._lines if world in (None, line.world)]

    def text(self, world: World | None = None) -> str:
        """The same as one text."""
        return "\n".join(line.text for line in self.lines(world))

    def records(self) -> list[Record]:
        """The same of both worlds in the order of time, each with its time, source and level;
        panics are explained behind their lines."""
        with self._lock:
            self._record()
            return list(explain.explained(self._records, runs.live(self.machine.folder)))

    def wait_for(
        self, regex: str | re.Pattern[str], *, world: World | None = None, timeout_s: float = 30.0
    ) -> re.Match[str]:
        """Wait for a line in which `regex` is found, and return the match.

        Lines count from the beginning of the test; the one found, and those of its world before
        it, are not looked at by the next call. Raises ConsoleTimeout, or ConsoleAlarm as soon as
        something bad comes that was not expected.
        """
        wanted = re.compile(regex)
        deadline = Deadline(timeout_s)
        while True:
            # Asked before the consoles are: then whatever came in time is found.
            expired = deadline.expired
            with self._lock:
                self._read()
                for place, line in enumerate(self._lines):
                    if world not in (None, line.world) or place < self._places[line.world]:
                        continue
                    if found := wanted.search(line.text):
                        self._places[line.world] = place + 1
                        return found
            if alarm := self.alarm():
                raise alarm
            if expired:
                where = f"the {world} world's console" if world else "either console"
                raise ConsoleTimeout(
                    f"no line with {wanted.pattern!r} on {where} within {timeout_s:g} s\n"
                    + self._quoted(self.lines(world)[-_QUOTED_LINES:])
                )
            time.sleep(_POLL_S)

    @contextmanager
    def expecting(self, *names: str, timeout_s: float = 10.0) -> Iterator[None]:
        """Within it every bad pattern named must come, and fails nothing.

        At the end it waits for what is still missing, and raises ConsoleTimeout.
        """
        expectation = Expectation.of(names)
        with self._lock:
            self._read()
            self._expectations.append(expectation)
        try:
            yield
            deadline = Deadline(timeout_s)
            while self.still_missing(expectation):
                if deadline.expired:
                    raise ConsoleTimeout(
                        f"expected, but not seen within {timeout_s:g} s: {expectation.missing}\n"
                        + self._quoted(self.lines()[-_QUOTED_LINES:])
                    )
                time.sleep(_POLL_S)
            self._settle()
        finally:
            with self._lock:
                self._read()
                self._expectations.remove(expectation)

    # For the plugin ------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Whether there is no QEMU any more."""
        record = self.machine.folder.read()
        return record is None or record.qemu is None or not record.qemu.alive()

    @property
    def broken(self) -> bool:
        """Whether the machine is of no more use."""
        return self._fatal or self.gone

    def ready(self) -> None:
        """The machine has booted."""
        with self._lock:
            self.forget()
            # Busybox asks for Enter in a line without an end; the next one is not part of that.
            for follower in self._followers:
                list(follower.rest())

    def begin(self, expectation: Expectation) -> None:
        """A test begins."""
        with self._lock:
            self.forget()
            self._expectations = [expectation]

    def forget(self) -> None:
        """What came before this is of no interest."""
        with self._lock:
            self.forget_alarm()
            self._lines.clear()
            self._record()
            self._records.clear()
            self._fatal = False
            self._places = dict.fromkeys(World, 0)

    def forget_alarm(self) -> None:
        """What came before this is known to be bad."""
        with self._lock:
            self._read()
            self._bad.clear()

    def close(self) -> None:
        """The machine is down: nothing more comes. What came is kept."""
        with self._lock:
            self._read()
            for follower in self._followers:
                for line in follower.rest():
                    self._add(line)
                follower.close()
            self._record()
            if self._reader is not None:
                self._reader.close()
            self._closed = True

    def still_missing(self, expectation: Expectation) -> str:
        with self._lock:
            self._read()
            return expectation.missing

    def alarm(self) -> ConsoleAlarm | None:
        """The first that is bad and was not expected, if anything came since this was called."""
        with self._lock:
            self._read()
            if not self._bad:
                return None
        self._settle()
        with self._lock:
            (place, trouble), *_ = self._bad
            self._bad.clear()
            lines = self._lines[max(0, place - _LINES_BEFORE) : place + _LINES_AFTER]
            quoted = self._quoted(self._lines[place : place + _QUOTED_LINES])
            alarm = ConsoleAlarm(trouble, self._lines[place], lines, quoted)
        panics = Explainer(Symbols(self.machine.folder.symbols)).explain(alarm.lines)
        if panics:
            alarm.tell("\n\n".join(panic.report() for panic in panics[:_EXPLAINED_LIMIT]))
        return alarm

    def _settle(self) -> None:
        deadline, count = Deadline(_SETTLE_LIMIT_S), -1
        while count != len(self._lines) and not deadline.expired:
            count = len(self._lines)
            time.sleep(_SETTLE_S)
            with self._lock:
                self._read()

    def _read(self) -> None:
        if self._closed:
            return
        for follower in self._followers:
            for line in follower.read():
                self._add(line)

    def _record(self) -> None:
        if self._closed:
            return
        if self._reader is None or self._reader.replaced():
            if self._reader is not None:
                self._records += self._reader.finish()
                self._reader.close()
            self._reader = Reader(runs.live(self.machine.folder))
        self._records += self._reader.finish()

    def _add(self, line: Line) -> None:
        self._lines.append(line)
        if (pattern := bad_pattern(line.world, line.text)) is None:
            return
        trouble = pattern.name
        self._fatal |= trouble.fatal
        expecting = [each for each in self._expectations if trouble in each.troubles]
        for expectation in expecting:
            expectation.came.add(trouble)
        if not expecting:
            self._bad.append((len(self._lines) - 1, trouble))

    @staticmethod
    def _quoted(lines: Iterable[Line]) -> str:
        return "\n".join(f"  {line.text}" for line in lines)
