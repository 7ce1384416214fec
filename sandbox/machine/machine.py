# SPDX-License-Identifier: Apache-2.0
"""One named machine: up, down, status, and a way in.

Any process may be the one that ends or asks, so what is known is in the machine's folder, and
what the folder says is checked against the processes that really run.
"""

import contextlib
import signal
import time
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox import paths
from sandbox.config import Config
from sandbox.errors import InfraError, UserError
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder, Phase, Record, check_name
from sandbox.machine.guest import Guest, GuestLines, answers

if TYPE_CHECKING:
    from sandbox.log import Progress
    from sandbox.machine.hold import Holder
    from sandbox.machine.qemu_v8 import Images

# How long each of three ways to end QEMU may take: asking, SIGTERM, SIGKILL.
_END_S = 4.0
_CONNECT_S = 20.0
_STILL_S = 0.3
_ABOUT_TO_RUN_S = 2.0
_LETTING_GO_S = 15.0


class State(StrEnum):
    DOWN = auto()
    STARTING = auto()  # by another process
    UP = auto()


@dataclass(frozen=True)
class Status:
    state: State
    record: Record | None = None  # unless it is down
    answers: bool = False  # the guest's agent is there
    remark: str | None = None
    holder: "Holder | None" = None  # the debugger that has it, if any
    stopped: bool = False  # by that debugger


class MachineDown(UserError):
    """The command needs a machine that is up."""


class Machine:
    def __init__(self, name: str, path: Path, *, qemu: str = "qemu-system-aarch64") -> None:
        self.name = check_name(name)
        self.folder = Folder(path)
        self._qemu = qemu

    @classmethod
    def named(cls, name: str | None = None) -> Self:
        """The machine of this name; without one, that of SANDBOX_MACHINE or the default."""
        config = Config.from_environment()
        name = check_name(name or config.machine)
        return cls(name, paths.machine_dir(name), qemu=config.qemu)

    @property
    def share(self) -> Path:
        """What the guest sees as GUEST_SHARE. The guest may write anything there, any time."""
        return self.folder.share

    def up(
        self,
        images: "Images",
        *,
        cores: int,
        memory_mib: int,
        timeout_s: float,
        progress: "Progress",
        encrypt_model: bool = False,
    ) -> tuple[Status, bool]:
        """Start it, unless it is up already: then, and only then, the second value is False.

        Interrupted or failed, it leaves no process and no file but the logs. `encrypt_model`:
        whether the images have a TA that seals models, for the record.
        """
        self.folder.create()
        # Another `up` of this machine may take all of its time; then ours has nothing to do.
        with self.folder.locked(Deadline(timeout_s + 3 * _END_S)):
            status = self._settled()
            if status.state is State.UP:
                return self._asked(status), False
            self.folder.create()
            # Imported late: it takes long, and most commands find the machine up.
            from sandbox.machine import start

            with progress.step("boot") as step:
                record = start.up(
                    self.name,
                    self.folder,
                    images,
                    qemu=self._qemu,
                    cores=cores,
                    memory_mib=memory_mib,
                    encrypt_model=encrypt_model,
                    deadline=Deadline(timeout_s),
                    step=step,
                    end=self._end,
                )
            return Status(State.UP, record, answers=True, remark=status.remark), True

    def down(self, *, wait_s: float = 30.0) -> bool:
        """End it if it runs; False if there was nothing to end."""
        if not self.folder.path.is_dir():
            return False
        with self.folder.locked(Deadline(wait_s)):
            record = self.folder.read()
            self._end(record)
            return record is not None

    def scrap(self, *, wait_s: float = 30.0) -> None:
        """End it, and the device that it was: the next `up` makes another one. Logs stay."""
        if self.folder.path.is_dir():
            with self.folder.locked(Deadline(wait_s)):
                self._end(self.folder.read())
                self.folder.scrap()

    def destroy(self, *, wait_s: float = 30.0) -> bool:
        """End it and remove all that is known of it; False if there was nothing."""
        if not self.folder.path.is_dir():
            return False
        with self.folder.locked(Deadline(wait_s)):
            self._end(self.folder.read())
            self.folder.remove()
        return True

    def status(self) -> Status:
        return self._asked(self._current())

    def _asked(self, status: Status) -> Status:
        if status.state is State.UP and status.record is not None:
            holder = self._holder()
            if holder is not None and self._stopped():
                return replace(status, holder=holder, stopped=True)
            token = self.folder.token.read_bytes()
            there = answers(status.record.agent_port, token, timeout_s=3.0)
            return replace(status, answers=there, holder=holder)
        return status

    def _holder(self) -> "Holder | None":
        # Imported late, as the control socket is: most commands meet no debugger.
        if not self.folder.holder.exists():
            return None
        from sandbox.machine import hold

        return hold.holder(self.folder)

    def _stopped(self, for_s: float = _STILL_S) -> bool:
        """Whether it stands still; asked only while a debugger holds it.

        A profiler stops it over and over, but never for so long.
        """
        from sandbox.machine import qmp

        deadline = Deadline(for_s)
        try:
            with qmp.connect(self.folder.qmp_socket, Deadline(_END_S)) as control:
                while not control.execute("query-status")["running"]:
                    if deadline.expired:
                        return True
                    time.sleep(_STILL_S / 10)
        except qmp.QmpError:
            pass
        return False

    def _current(self) -> Status:
        """The state, after what is stale was cleaned up; asks nobody but the host."""
        if not self.folder.path.is_dir():
            return Status(State.DOWN)
        status = self._judged()
        if status is not None:
            return status
        try:
            with self.folder.locked(Deadline(0.0)):
                return self._settled()
        except UserError:
            # Whoever holds the lock is about to change what we would say.
            return Status(State.STARTING, self.folder.read())

    def guest(self, timeout_s: float = _CONNECT_S) -> Guest:
        """A way to the guest: `with machine.guest() as guest:`."""
        record = self._running()
        return Guest(record.agent_port, self.folder.token.read_bytes(), timeout_s)

    def ssh_port(self) -> int:
        """Of this host, where the guest's SSH server is."""
        return self._running().ssh_port

    def _running(self) -> Record:
        """The record of a machine that is up and can answer."""
        status = self._current()
        if status.state is not State.UP or status.record is None:
            raise MachineDown(
                f"machine {self.name!r} is {status.state}"
                + (f": {status.remark}" if status.remark else ""),
                "`sandbox up` starts it.",
            )
        holder = self._holder()
        # It may be about to go on, as when a script sets breakpoints, or just be let go.
        if holder is not None and self._stopped(_ABOUT_TO_RUN_S if holder.alive else _LETTING_GO_S):
            from sandbox.machine.hold import MachineHeld

            raise MachineHeld(
                f"machine {self.name!r} stands still: {holder} has stopped it",
                "Let it go on there (`continue` in gdb), or end that debugger.",
            )
        return status.record

    @staticmethod
    def service(session: Guest) -> GuestLines:
        """A conversation with the client application's service: a line in, a line out."""
        from sandbox.machine.boot import CLIENT, SERVICE_SOCKET

        return session.lines([CLIENT, "call", "--socket", SERVICE_SOCKET])

    def _judged(self) -> Status | None:
        """What the record says, if what it says is still true; None if it is stale."""
        record = self.folder.read()
        if record is None:
            return Status(State.DOWN)
        if record.phase is Phase.UP and record.qemu is not None and record.qemu.alive():
            return Status(State.UP, record)
        if record.phase is Phase.STARTING and record.owner.alive():
            return Status(State.STARTING, record)
        return None

    def _settled(self) -> Status:
        """With the lock held: the state, after what is stale was cleaned up.

        Nobody else is starting it, or the lock would be theirs.
        """
        status = self._judged()
        if status is not None and status.state is not State.STARTING:
            return status
        record = self.folder.read()
        assert record is not None
        self._end(record)
        if record.phase is Phase.STARTING:
            remark = f"an interrupted start, by process {record.owner.pid}, was cleaned up"
        else:
            pid = record.qemu.pid if record.qemu else 0
            remark = f"QEMU, process {pid}, was gone: what it left was cleaned up"
        return Status(State.DOWN, remark=remark)

    def _end(self, record: Record | None) -> None:
        """End what runs and remove what belongs to it. Harmless when there is nothing."""
        from sandbox.machine import qmp

        qemu = record.qemu if record is not None else None
        # Asking works even for a QEMU that was started but not recorded any more.
        with contextlib.suppress(qmp.QmpError):
            with qmp.connect(self.folder.qmp_socket, Deadline(_END_S)) as control:
                control.execute("quit")
        if qemu is not None:
            for number in (None, signal.SIGTERM, signal.SIGKILL):
                if number is not None:
                    qemu.signal(number)
                if qemu.wait_gone(Deadline(_END_S)):
                    break
            else:
                raise InfraError(
                    f"QEMU, process {qemu.pid}, does not end, even when killed",
                    "The host's kernel holds it: `ps` and `dmesg` may tell why.",
                )
            qemu.reap()
        if record is not None and record.recorder is not None:
            if not record.recorder.wait_gone(Deadline(_END_S)):
                record.recorder.signal(signal.SIGKILL)
            record.recorder.reap()
        self.folder.clear()
