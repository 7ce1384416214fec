# SPDX-License-Identifier: Apache-2.0
"""The machines that are up while a test runs: what they say is held against that test."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sandbox.errors import GuestError
from sandbox.logs.format import line
from sandbox.machine.deadline import Deadline
from sandbox.machine.machine import Machine
from sandbox.testing.console import Console, Expectation

# The last of each machine; all are in its folder.
_EVIDENCE_LINES = 500
_POLL_S = 0.02


@dataclass(frozen=True)
class Section:
    """Something to show with a failed test."""

    title: str
    text: str


class MachineGone(GuestError):
    """The machine that tests share ended in the middle of one."""


@dataclass(eq=False)
class _Place:
    console: Console
    lasting: bool  # no test may end it
    restart: Callable[[], None] | None
    closed: bool = False
    gone: bool = False  # and told

    def alarm(self) -> GuestError | None:
        alarm = self.console.alarm()
        if alarm is None and self.lasting and not self.closed and not self.gone:
            self.gone = self.console.gone
            if self.gone:
                name, log = self.console.machine.name, self.console.machine.folder.qemu_log
                return MachineGone(
                    f"QEMU of machine {name!r} ended", f"Its own words are in {log}."
                )
        return alarm


class Bench:
    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._expectation = Expectation.of(())
        self._test = "no test"

    def begin(self, test: str, expected: Iterable[str]) -> None:
        """A test begins; `expected` are the bad patterns that it provokes, by its marker.

        A machine that the one before has broken is started again, if it knows how.
        """
        late, before = self.alarms(), self._test
        self._test, self._expectation = test, Expectation.of(expected)
        # Those that ended were kept for the report of the test that they ended in.
        self._places = [place for place in self._places if not place.closed]
        for place in self._places:
            if place.restart is not None and place.console.broken:
                place.restart()
            place.console.begin(self._expectation)
            place.gone = False
        for alarm in late:
            alarm.add_note(f"It came after {before}, and before {test}.")
            raise alarm

    @contextlib.contextmanager
    def watching(
        self,
        machine: Machine,
        *,
        lasting: bool = False,
        restart: Callable[[], None] | None = None,
    ) -> Iterator[Console]:
        """While this is open, what the machine says counts."""
        place = _Place(Console(machine, self._expectation), lasting, restart)
        self._places.append(place)
        try:
            yield place.console
        finally:
            place.console.close()
            place.closed = True

    def console(self, machine: Machine) -> Console:
        """The console of a machine under watch."""
        return next(p.console for p in reversed(self._places) if p.console.machine is machine)

    def alarms(self) -> list[GuestError]:
        """Of each machine, what is bad, was not expected, and was not told before."""
        return [alarm for place in self._places if (alarm := place.alarm())]

    def missing(self, timeout_s: float = 10.0) -> str:
        """What the test's marker names and no machine has shown in time; empty if nothing."""
        deadline = Deadline(timeout_s)
        while self._still_missing() and not deadline.expired:
            time.sleep(_POLL_S)
        return self._still_missing()

    def _still_missing(self) -> str:
        for place in self._places:
            place.console.still_missing(self._expectation)
        return self._expectation.missing

    def evidence(self) -> list[Section]:
        """What each machine said since the test began."""
        return [
            Section(f"Console log of machine {place.console.machine.name}", text)
            for place in self._places
            if (text := _evidence(place.console))
        ]


def _evidence(console: Console) -> str:
    try:
        records = console.records()
    except Exception as error:
        # A report that fails would end the whole run.
        return f"(not to be had: {error!r})"
    kept = [line(record) for record in records[-_EVIDENCE_LINES:]]
    if left := len(records) - len(kept):
        kept.insert(0, f"({left} lines before these are in {console.machine.folder.path})")
    return "\n".join(kept)
