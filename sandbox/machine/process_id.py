# SPDX-License-Identifier: Apache-2.0
"""Name a process so that it is never mistaken for a later one with the same number."""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sandbox.machine.deadline import Deadline

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# proc(5): fields of /proc/PID/stat after the parenthesised name, counted from the state.
_START_TIME = 19


@dataclass(frozen=True)
class ProcessId:
    pid: int
    start_ticks: int  # since the host booted
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this number now, if any does."""
        fields = _stat(pid)
        if fields is None:
            return None
        return cls(pid, int(fields[_START_TIME]), _BOOT_ID.read_text().strip())

    @classmethod
    def mine(cls) -> Self:
        me = cls.of(os.getpid())
        assert me is not None
        return me

    def alive(self) -> bool:
        """Whether it still runs; one that ended but was not waited for does not."""
        return not self.wait_gone(Deadline(0.0))

    def signal(self, number: signal.Signals) -> None:
        """Harmless when the process is gone, even if its number was given to another."""
        with self._handle() as handle:
            if handle is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)

    def wait_gone(self, deadline: Deadline) -> bool:
        """Wait for its end, which wakes us at once; False if the time ran out first.

        The end is that of its last thread, when its ports and files are closed too. /proc calls a
        process a zombie as soon as the first has ended.
        """
        with self._handle() as handle:
            if handle is None:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(deadline.remaining_s * 1000))

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A file descriptor for this very process, or None when it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # Only now, while the handle keeps the number from meaning another process.
            yield handle if ProcessId.of(self.pid) == self else None
        finally:
            os.close(handle)

    def reap(self) -> None:
        """Forget a process that ended, if it was a child of this very process."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses: what follows the last one counts.
    return text.rpartition(")")[2].split()
