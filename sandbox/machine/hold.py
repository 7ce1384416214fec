# SPDX-License-Identifier: Apache-2.0
"""Who holds the machine in a debugger: a file in its folder, locked for as long as they do.

The lock is the truth, and ends with the last process that has it open; the text says who.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Self

from sandbox.errors import UserError
from sandbox.machine.folder import Folder
from sandbox.machine.process_id import ProcessId


class MachineHeld(UserError):
    """A debugger or profiler holds the machine."""


@dataclass(frozen=True)
class Holder:
    pid: int
    what: str  # as a person would say it: "sandbox gdb ta"
    since: float  # seconds since 1970

    @classmethod
    def from_json(cls, text: str) -> Self:
        raw = json.loads(text)
        return cls(int(raw["pid"]), str(raw["what"]), float(raw["since"]))

    @property
    def alive(self) -> bool:
        """If not, what it left behind lets the machine go (debug/keeper.py)."""
        process = ProcessId.of(self.pid)
        return process is not None and process.alive()

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid})"


@contextlib.contextmanager
def taken(folder: Folder, what: str) -> Iterator[int]:
    """Hold the machine; a child that is passed the file descriptor holds it too."""
    handle = os.open(folder.holder, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineHeld(
                f"the machine is held by {holder(folder) or 'another debugger'}",
                "QEMU serves one debugger at a time: end that one first.",
            ) from None
        mine = Holder(os.getpid(), what, time.time())
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(mine)).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def holder(folder: Folder) -> Holder | None:
    """Who holds the machine now, if anybody does."""
    try:
        handle = os.open(folder.holder, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(handle) as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return Holder.from_json(file.read())
            # It was just taken, and not written yet.
            return Holder(0, "a debugger", time.time())
        return None
