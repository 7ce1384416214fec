# SPDX-License-Identifier: Apache-2.0
"""A verb that works with a running machine fails when a console shows trouble, and says what it is.

What a command prints is no proof that all is well: the TA that it called may have panicked, or the
kernel may have lost a lock. So both consoles are searched for bad patterns while it runs.
"""

import argparse
import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeGuard

from sandbox.errors import GuestError, SandboxError
from sandbox.machine.folder import Folder
from sandbox.machine.machine import Machine

if TYPE_CHECKING:
    from sandbox.machine.console import ConsoleAlarm, Trouble, Watch
    from sandbox.owner.service import Session

# How often the consoles are looked at for what ends the machine.
_TICK_S = 0.5
# Of one alarm: the first is the cause, more are rarely read.
_EXPLAINED_LIMIT = 4


@contextlib.contextmanager
def serving(machine: Machine) -> "Iterator[Session]":
    """The client application of a machine that is watched."""
    # Imported late: most verbs that watch a machine do without.
    from sandbox.machine.boot import GUEST_SHARE
    from sandbox.owner.service import Session

    with (
        watched(machine),
        machine.guest() as guest,
        Session(Machine.service(guest), GUEST_SHARE) as session,
    ):
        yield session


def add_allow(parser: argparse.ArgumentParser) -> None:
    """The switch for commands that provoke trouble on purpose."""
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        type=_trouble,
        metavar="TROUBLE",
        help='do not fail when a console shows this, for example "TA panic" (docs/panics.md has'
        " the names); may be given again",
    )


def _trouble(text: str) -> "Trouble":
    from sandbox.machine.console import Trouble

    try:
        return Trouble(text)
    except ValueError:
        names = ", ".join(repr(str(name)) for name in Trouble)
        raise argparse.ArgumentTypeError(f"{text!r} is none of {names}") from None


class _Watch:
    """A watch of both consoles from now on, made when one of them has said something.

    Most commands end before that, and do without the patterns, which take a while to load.
    """

    def __init__(self, folder: Folder, allowed: Collection["Trouble"]) -> None:
        self._folder = folder
        self._allowed = allowed
        self._begin = folder.log_sizes()
        self._made: Watch | None = None

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def look(self) -> None:
        if (watch := self._watch()) is not None:
            watch.look()

    def check(self) -> None:
        if (watch := self._watch()) is not None:
            watch.check()

    def _watch(self) -> "Watch | None":
        if self._made is None and self._folder.log_sizes() != self._begin:
            from sandbox.machine.console import Watch

            self._made = Watch(self._folder, self._begin, self._allowed)
        return self._made


@contextlib.contextmanager
def watched(machine: Machine, allowed: Collection["Trouble"] = ()) -> Iterator[None]:
    """Raises ConsoleAlarm at the end if there was trouble meanwhile; at once if all is lost."""
    with (
        explaining(machine),
        contextlib.closing(_Watch(machine.folder, allowed)) as watch,
    ):
        try:
            with _ticking(watch.look):
                yield
        except SandboxError as error:
            # If the consoles know the cause, that is what to tell.
            if not _is_alarm(error):
                watch.check()
            raise
        watch.check()


def _is_alarm(error: SandboxError) -> "TypeGuard[ConsoleAlarm]":
    from sandbox.machine.console import ConsoleAlarm

    return isinstance(error, ConsoleAlarm)


@contextlib.contextmanager
def explaining(machine: Machine) -> Iterator[None]:
    """An alarm that is raised within it leaves with its panics explained."""
    try:
        yield
    except GuestError as alarm:
        if not _is_alarm(alarm):
            raise
        # Imported late: this reads ELF files, and most commands see no panic.
        from sandbox.debug.panics import Explainer
        from sandbox.machine.symbols import Symbols

        panics = Explainer(Symbols(machine.folder.symbols)).explain(alarm.lines)
        if not panics:
            raise
        reports = [panic.report() for panic in panics[:_EXPLAINED_LIMIT]]
        hints = alarm.hints or (
            "`sandbox logs` has both consoles, `sandbox explain` explains all panics in them.",
            f'If this is meant to happen: --allow "{alarm.trouble}", where the verb has it.',
        )
        alarm.tell("\n\n".join([*reports, alarm.quoted] if alarm.hints else reports), hints)
        raise


@contextlib.contextmanager
def _ticking(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` twice a second; what it raises interrupts the command, as Ctrl-C would.

    A command waits in many ways, for a guest that may never answer again. The timer's signal ends
    each of them without a thread; other threads than the main one are only looked after at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tick(number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            look()
        except GuestError:
            # Once is enough: what it unwinds through is not to be interrupted again.
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
