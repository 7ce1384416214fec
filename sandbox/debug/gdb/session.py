# SPDX-License-Identifier: Apache-2.0
"""gdb for programs: break, wait, look, go on. Every wait has a limit.

with gdb.attach(machine, "ta", UUID) as session:
    session.breakpoint("TA_InvokeCommandEntryPoint")
    session.cont()
    ...  # something calls the TA
    session.wait_stop(30.0)
    assert session.evaluate("cmd_id") == "0"
    session.cont()
"""

import contextlib
import os
import select
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from sandbox import process
from sandbox.debug.gdb import launch, mi
from sandbox.debug.gdb.target import Kind, find
from sandbox.errors import GuestError, UserError
from sandbox.machine.deadline import Deadline
from sandbox.machine.machine import Machine

# The first of them waits for gdb to read symbols and to connect.
_REQUEST_S = 60.0
_LEAVE_S = 5.0
_INTERRUPT_S = 10.0
_CHUNK = 1 << 16
_LOG_LINES = 20


class GdbError(UserError):
    """gdb refused a command, or ended."""


class GdbTimeout(GuestError):
    """gdb did not report a stop, or did not answer, in time."""


@dataclass(frozen=True)
class Frame:
    address: int
    function: str
    file: str
    line: int

    @classmethod
    def of(cls, values: dict[str, str]) -> Self:
        return cls(
            int(values.get("addr", "0"), 16),
            values.get("func", "??"),
            values.get("fullname") or values.get("file", ""),
            int(values.get("line", "0")),
        )


@dataclass(frozen=True)
class Stop:
    reason: str  # as gdb has it: breakpoint-hit, end-stepping-range, function-finished...
    frame: Frame
    breakpoint: int | None
    value: str | None  # what a function returned that was finished


class Gdb:
    """A gdb that is connected to a machine; get one with `attach`. The machine stands still until
    `cont`, and whenever `wait_stop` has returned."""

    def __init__(self, command: launch.Command) -> None:
        self._token = 0
        self._buffer = b""
        self._stops: deque[Stop] = deque()
        self._console: list[str] = []
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        reading, theirs = os.pipe()
        ours, writing = os.pipe()
        self._output = os.fdopen(reading, "rb", buffering=0)
        self._input = os.fdopen(writing, "wb", buffering=0)
        try:
            self._process = process.spawn(
                [*command.argv, "--interpreter=mi3", "-nx"],
                env=command.environment,
                stdin=ours,
                stdout=theirs,
                stderr=theirs,
                pass_fds=command.handles,
            )
        except BaseException:
            self._input.close()
            self._output.close()
            raise
        finally:
            os.close(ours)
            os.close(theirs)

    def close(self) -> None:
        """End gdb. Whoever opened the stub lets the machine go on."""
        with contextlib.suppress(OSError, GdbError, GdbTimeout):
            self._send("-gdb-exit")
            self._wait_for_end(Deadline(_LEAVE_S))
        process.end(self._process)
        self._input.close()
        self._output.close()

    def breakpoint(
        self, location: str, *, condition: str | None = None, temporary: bool = False
    ) -> int:
        """Set one, at what gdb takes after `break`; its number."""
        words = ["-break-insert"]
        if temporary:
            words.append("-t")
        if condition is not None:
            words += ["-c", mi.quoted(condition)]
        made = self.request(f"{' '.join(words)} {mi.quoted(location)}")["bkpt"]
        return int(made["number"])

    def delete(self, breakpoint: int) -> None:
        self.request(f"-break-delete {breakpoint}")

    def cont(self) -> None:
        """Let the machine run."""
        self._stops.clear()
        self.request("-exec-continue")

    def finish(self, timeout_s: float) -> Stop:
        """Run until the current function returns."""
        return self._run("-exec-finish", timeout_s)

    def step(self, timeout_s: float) -> Stop:
        """Run to another line, into functions."""
        return self._run("-exec-step", timeout_s)

    def next(self, timeout_s: float) -> Stop:
        """Run to another line of this function."""
        return self._run("-exec-next", timeout_s)

    def interrupt(self, timeout_s: float) -> Stop:
        """Stop the machine where it is; if a core is in the TA that is debugged, it is shown."""
        deadline = Deadline(timeout_s)
        self._stops.clear()
        while not self._stops:
            # QEMU forgets the wish if something else stops the machine in the same moment, as
            # what gdb does for itself.
            self.request("-exec-interrupt")
            with contextlib.suppress(GdbTimeout):
                self._take_until_stopped(deadline.within(_INTERRUPT_S))
            if deadline.expired and not self._stops:
                raise GdbTimeout(f"gdb did not stop the machine within {timeout_s:.0f} s")
        stop = self._stops.popleft()
        return replace(stop, frame=Frame.of(self.request("-stack-info-frame")["frame"]))

    def wait_stop(self, timeout_s: float) -> Stop:
        """The next stop, or the one that has been since `cont`."""
        self._take_until_stopped(Deadline(timeout_s))
        return self._stops.popleft()

    def evaluate(self, expression: str) -> str:
        """What gdb's `print` shows after the equals sign."""
        command = f"-data-evaluate-expression {mi.quoted(expression)}"
        return str(self.request(command)["value"])

    def backtrace(self) -> list[Frame]:
        """Innermost first."""
        stack: list[dict[str, str]] = self.request("-stack-list-frames")["stack"]
        return [Frame.of(values) for values in stack]

    def locals(self) -> dict[str, str]:
        """Arguments and variables of the current function, by name."""
        found = self.request("-stack-list-variables --all-values")["variables"]
        return {each["name"]: each.get("value", "") for each in found}

    def execute(self, command: str, timeout_s: float = _REQUEST_S) -> str:
        """Any other command of gdb's; what it prints."""
        self._console.clear()
        self.request(f"-interpreter-exec console {mi.quoted(command)}", timeout_s)
        return "".join(self._console)

    def request(self, command: str, timeout_s: float = _REQUEST_S) -> dict[str, Any]:
        """A command of the machine interface, and its result."""
        self._token += 1
        self._send(f"{self._token}{command}")
        deadline = Deadline(timeout_s)
        while True:
            record = self._take(deadline, f"gdb did not answer `{command}`")
            if record.kind is mi.Kind.RESULT and record.token == self._token:
                break
        if record.name == "error":
            raise GdbError(f"gdb: {record.values.get('msg', 'refused')}")
        return record.values

    def settle(self) -> None:
        """Wait until it is connected: gdb answers when it has done with inside.py."""
        if self.evaluate("$_sandbox_ready") != "1":
            raise self._gone()
        self._stops.clear()

    def _run(self, command: str, timeout_s: float) -> Stop:
        self._stops.clear()
        self.request(command)
        return self.wait_stop(timeout_s)

    def _take_until_stopped(self, deadline: Deadline) -> None:
        while not self._stops:
            self._take(deadline, "no breakpoint was hit")

    def _send(self, line: str) -> None:
        assert "\n" not in line
        try:
            self._input.write(line.encode() + b"\n")
        except OSError as error:
            raise self._gone() from error

    def _take(self, deadline: Deadline, complaint: str) -> mi.Record:
        """The next record; stops and what is printed are kept on the way."""
        while True:
            record = self._parsed(self._line(deadline, complaint))
            if record is None:
                continue
            if record.kind is mi.Kind.CONSOLE:
                self._console.append(record.text)
            elif record.kind is mi.Kind.EXECUTION and record.name == "stopped":
                self._stops.append(_stop(record.values))
            return record

    def _parsed(self, line: str) -> mi.Record | None:
        try:
            record = mi.parse(line)
        except mi.NotMi:
            # What gdb or its Python says on standard error.
            self._log.append(line)
            return None
        if record is not None and record.kind in (mi.Kind.LOG, mi.Kind.CONSOLE):
            self._log.append(record.text.rstrip("\n"))
        return record

    def _line(self, deadline: Deadline, complaint: str) -> str:
        while b"\n" not in self._buffer:
            if not select.select([self._output], [], [], deadline.remaining_s)[0]:
                raise GdbTimeout(
                    f"{complaint} within {deadline.limit_s:.0f} s",
                    "`sandbox status` tells whether the machine runs.",
                )
            data = self._output.read(_CHUNK)
            if not data:
                raise self._gone()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _wait_for_end(self, deadline: Deadline) -> None:
        while True:
            self._line(deadline, "gdb did not leave")

    def _gone(self) -> GdbError:
        said = "\n".join(self._log)
        return GdbError("gdb ended" + (f":\n{said}" if said else ""))


def _stop(values: dict[str, Any]) -> Stop:
    number = values.get("bkptno")
    return Stop(
        values.get("reason", ""),
        Frame.of(values.get("frame", {})),
        int(number) if number else None,
        values.get("return-value"),
    )


@contextlib.contextmanager
def attach(
    machine: Machine, kind: Kind | str, name: str = "", symbols: Path | None = None
) -> Iterator[Gdb]:
    """gdb on a TA (by UUID, or the name of its folder), the core or the kernel.

    The machine stands still when the body begins, and runs after it, however it ends.
    """
    target = find(machine, Kind(kind), name, symbols)
    with launch.prepared(machine, target) as command:
        gdb = Gdb(command)
        try:
            gdb.settle()
            yield gdb
        finally:
            gdb.close()
