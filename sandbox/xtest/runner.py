# SPDX-License-Identifier: Apache-2.0
"""Run xtest in the guest, and watch it and both consoles until it ends or is ended."""

import contextlib
import time
from collections.abc import Callable, Sequence

from sandbox.errors import GuestError
from sandbox.machine.agent import Command
from sandbox.machine.console import ConsoleAlarm, Trouble, Watch, clean
from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.xtest import install
from sandbox.xtest.cases import SUITES
from sandbox.xtest.output import Reader, XtestError
from sandbox.xtest.results import Run

# What cases provoke on purpose: TAs that panic, cannot be loaded, or ask for too much. What is
# worse, of OP-TEE itself or of Linux, ends the run.
EXPECTED = (Trouble.TA_PANIC, Trouble.LDELF_FAILURE, Trouble.OUT_OF_SECURE_MEMORY)

# There while xtest runs. One that was ended leaves objects in secure storage, on which the next
# would stumble.
UNFINISHED = f"{install.FOLDER}/unfinished"
_XTEST = """
[ ! -e "$0" ] || xtest --clear-storage
: >"$0"
xtest "$@"
status=$?
[ $status -ge 128 ] || rm "$0"
exit $status
"""

_START_S = 30.0
_POLL_S = 0.05
# A case that goes on talking may take as many times the limit of silence.
_CASE_TIMES = 20
# Of one line, and of all: xtest needs a few thousand short ones.
_LINE_BYTES = 4096
_LINES = 1_000_000
_LAST_WORDS = 5


class _Output:
    """What xtest prints, in lines, and when it came."""

    def __init__(self) -> None:
        self._rest = b""
        self.lines: list[str] = []  # that nobody has taken yet
        self.last = time.monotonic()

    def feed(self, data: bytes) -> None:
        self.last = time.monotonic()
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            whole.append(self._rest)
            self._rest = b""
        self.lines += [clean(raw[:_LINE_BYTES]) for raw in whole]

    def end(self) -> None:
        if self._rest:
            self.feed(b"\n")


def run(
    machine: Machine,
    guest: Guest,
    selected: Sequence[str],
    *,
    everything: bool,
    level: int,
    silence_s: float,
    report: Callable[[Reader], None],
) -> Run:
    """Run these cases; `report` is called whenever something may have happened.

    A case that fails, hangs or takes the machine with it is in the result, not an exception.
    """
    # xtest looks for each word anywhere in a case's name; no word is all.
    words = () if everything else tuple(selected)
    argv = ["sh", "-c", _XTEST, UNFINISHED, "-t", "+".join(SUITES), "-l", str(level), *words]
    reader = Reader()
    began, began_at = time.time(), time.monotonic()
    try:
        with (
            contextlib.closing(Watch(machine.folder, machine.folder.log_sizes())) as watch,
            watch.expecting(*EXPECTED),
            # Closing it ends what still runs in the guest.
            guest.connection(Deadline(_START_S)) as connection,
        ):
            output = _Output()
            command = Command(connection, argv, stdout=output.feed, stderr=output.feed)
            command.end_input()
            problem = _follow(command, output, reader, watch, silence_s, report)
    except ConsoleAlarm as alarm:
        for line in alarm.lines[alarm.lines.index(alarm.line) :]:
            reader.console(f"{line.world}: {line.text}")
        problem = alarm.message.splitlines()[0]
    reader.unfinished(problem, time.monotonic())
    report(reader)
    return reader.run(
        began=began,
        seconds=time.monotonic() - began_at,
        selected=tuple(selected),
        problem=problem,
    )


def _follow(
    command: Command,
    output: _Output,
    reader: Reader,
    watch: Watch,
    silence_s: float,
    report: Callable[[Reader], None],
) -> str:
    """Read to the end. Returns why it was no good end, or nothing."""
    last_words: list[str] = []
    count = 0
    while command.exit is None:
        try:
            command.step(Deadline(_POLL_S))
        except TimeoutError:
            pass
        except GuestError as error:
            if not reader.begun:
                raise
            return error.message
        if command.exit is not None:
            output.end()
        # What the consoles said belongs to the case that runs until the next line is read.
        for line in watch.lines():
            reader.console(f"{line.world}: {line.text}")
        for text in output.lines:
            reader.line(text, output.last)
        count += len(output.lines)
        last_words = [*last_words, *output.lines][-_LAST_WORDS:]
        output.lines.clear()
        report(reader)
        if problem := _endless(output, reader, count, silence_s):
            return problem
    status = command.exit.status
    if not reader.begun and not reader.complete:
        raise XtestError(
            f"xtest ended with exit status {status} before any case: {' / '.join(last_words)}",
            "`sandbox logs` has what both worlds said.",
        )
    if not reader.complete:
        return f"xtest ended too early, with exit status {status}"
    if status != 0 and not any(case.bad for case in reader.finished):
        return f"xtest ended with exit status {status}, though no case failed"
    return ""


def _endless(output: _Output, reader: Reader, count: int, silence_s: float) -> str:
    now = time.monotonic()
    if count > _LINES:
        return "xtest prints without an end"
    if now - output.last > silence_s:
        return f"xtest hangs: it has said nothing for {silence_s:g} s"
    if reader.began is not None and now - reader.began > silence_s * _CASE_TIMES:
        return f"the case has not ended within {silence_s * _CASE_TIMES:g} s"
    return ""
