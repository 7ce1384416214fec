# SPDX-License-Identifier: Apache-2.0
"""What is kept of a machine: its folder, its record, its lock, its access keys.

machine.json            while it runs or starts: who started it, which QEMU, how
normal.log secure.log   both consoles of the last boot, from the first byte
console.index           when each part of them came (recorder.py)
qemu.log                what QEMU itself had to say
runs/                   the same files of earlier runs (runs.py)
symbols/                ELF files of what runs, or ran last, in the secure world (symbols.py)
normal.sock secure.sock qmp.sock    while it runs: consoles and control
access.cpio             while it runs: the keys and the token below, as the guest gets them
holder.json gdb.sock    while a debugger holds it: who (hold.py), and QEMU's gdb stub
xtest/                  results of the last runs of OP-TEE's tests (sandbox/xtest/history.py)
share/                  while it runs: what the guest sees at /mnt/share
keys/                   SSH keys of this machine, made once; the agent's token, new at each start
flash.img               the secure flash bank: firmware, device key, counter (flash.py)
storage/                OP-TEE's secure storage, as the normal world keeps it for it; in vault/
                        the sealed files of models in the TA's vault
"""

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from typing import Any, Self

from sandbox.errors import InfraError, UserError
from sandbox.machine.deadline import Deadline
from sandbox.machine.process_id import ProcessId

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}", re.ASCII)
_POLL_S = 0.05


class World(StrEnum):
    """The two sides of the device, each with a console of its own."""

    NORMAL = auto()
    SECURE = auto()


class Phase(StrEnum):
    STARTING = auto()
    UP = auto()


@dataclass(frozen=True)
class Stage:
    """One part of a start, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Record:
    """machine.json: enough to find, judge and end a machine that another process started."""

    name: str
    phase: Phase
    owner: ProcessId  # the `sandbox up` that starts it; its death ends the start
    qemu: ProcessId | None
    argv: tuple[str, ...]
    cores: int
    memory_mib: int
    acceleration: str
    images: dict[str, str]
    host_cores: int = 0  # that the starting process might use
    ssh_port: int = 0
    agent_port: int = 0
    started_at: float = 0.0  # seconds since 1970
    stages: tuple[Stage, ...] = ()
    ta: dict[str, Any] = field(default_factory=dict)  # what the TA says about itself
    recorder: ProcessId | None = None  # of the consoles: see recorder.py
    encrypt_model: bool = False  # its inference TA seals models, too: not for production

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        raw = json.loads(text)
        raw["phase"] = Phase(raw["phase"])
        raw["owner"] = ProcessId(**raw["owner"])
        raw["qemu"] = ProcessId(**raw["qemu"]) if raw["qemu"] else None
        raw["recorder"] = ProcessId(**raw["recorder"]) if raw.get("recorder") else None
        raw["argv"] = tuple(raw["argv"])
        raw["stages"] = tuple(Stage(**stage) for stage in raw["stages"])
        return cls(**raw)


class Folder:
    """Paths of one machine. Only its owner may enter: the sockets in it have no other guard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "machine.json"
        self.share = path / "share"
        self.keys = path / "keys"
        self.token = self.keys / "token"
        self.symbols = path / "symbols"
        self.access = path / "access.cpio"
        self.qmp_socket = path / "qmp.sock"
        self.gdb_socket = path / "gdb.sock"
        self.holder = path / "holder.json"
        self.qemu_log = path / "qemu.log"
        self.index = path / "console.index"
        self.runs = path / "runs"
        self.flash = path / "flash.img"
        self.storage = path / "storage"

    def log(self, world: World) -> Path:
        return self.path / f"{world}.log"

    def log_sizes(self) -> dict[World, int]:
        """How much both consoles have said until now."""
        sizes = dict.fromkeys(World, 0)
        for world in World:
            with contextlib.suppress(FileNotFoundError):
                sizes[world] = self.log(world).stat().st_size
        return sizes

    def console_socket(self, world: World) -> Path:
        return self.path / f"{world}.sock"

    def create(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.share.mkdir(mode=0o700, exist_ok=True)
        self.storage.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> None:
        """Remove what belongs to a running machine; the device and the last logs stay."""
        for world in World:
            self.console_socket(world).unlink(missing_ok=True)
        for path in (self.qmp_socket, self.gdb_socket, self.holder, self.access):
            path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            # Imported late: few commands end a machine.
            import shutil

            shutil.rmtree(self.share)
        # Last, so that an interruption on the way is seen and finished by the next command.
        self.record.unlink(missing_ok=True)
        self.record.with_suffix(".new").unlink(missing_ok=True)

    def scrap(self) -> None:
        """End the device: its key, its counter, and the storage that they open. Logs stay."""
        import shutil

        # The key first: without it the rest is worth nothing, whenever we are interrupted.
        for path in (self.flash, self.flash.with_suffix(".new")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.storage)

    def remove(self) -> None:
        """All of it."""
        import shutil

        self.scrap()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def read(self) -> Record | None:
        try:
            text = self.record.read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return Record.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise InfraError(
                f"cannot understand {self.record}: {error}",
                (
                    "Another version of the sandbox may have written it: use that one's `down`.",
                    f"Or end that machine's QEMU by hand and delete {self.record}.",
                ),
            ) from error

    def write(self, record: Record) -> None:
        """Whole or not at all, whenever we are interrupted."""
        new = self.record.with_suffix(".new")
        new.write_text(record.to_json())
        new.replace(self.record)

    @contextlib.contextmanager
    def locked(self, deadline: Deadline) -> Iterator[None]:
        """Keep other processes from starting or ending this machine at the same time.

        The lock is on the folder itself, so there is no lock file to be left behind.
        """
        handle = self._lock(deadline)
        try:
            yield
        finally:
            os.close(handle)

    def _lock(self, deadline: Deadline) -> int:
        while True:
            try:
                handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise UserError(
                    f"{self.path} is gone: the machine was destroyed meanwhile",
                    "`sandbox up` makes a new one.",
                ) from None
            try:
                self._wait_for(handle, deadline)
                # Who had it before may have removed the folder, and somebody made a new one.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), self.path.stat()):
                        return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _wait_for(self, handle: int, deadline: Deadline) -> None:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if deadline.expired:
                    raise self._busy(deadline) from None
                time.sleep(_POLL_S)

    def _busy(self, deadline: Deadline) -> UserError:
        record = self.read()
        who = f"process {record.owner.pid}" if record is not None else "another process"
        return UserError(
            f"{who} is busy with this machine, and still was after {deadline.limit_s:.0f} s",
            "Wait for it, or stop it with Ctrl-C where it runs (or `kill` and its number).",
        )


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"no name for a machine: {name!r}",
            "Up to 48 of a-z 0-9 _ . - and the first a letter or a digit.",
        )
    return name
