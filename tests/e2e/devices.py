# SPDX-License-Identifier: Apache-2.0
"""Machines of a test's own: they go down and up, lose their power, and get other storage.

A power cut is SIGKILL for QEMU. What the host's files hold then is what they hold while QEMU is
stopped (SIGSTOP): what it wrote is in the page cache, what it was about to write is nowhere. So a
moment can be recorded without ending the machine, and many of them in one go.
"""

import contextlib
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandbox.log import SilentProgress
from sandbox.machine import flash
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.machine.process_id import ProcessId
from sandbox.machine.start import guarded
from sandbox.testing.lab import ImagesFor

LOOK_S = 0.0005
# All threads of a stopped process: each ends the system call that it is in.
STOP_S = 5.0
_LARGE = 1 << 18


@dataclass(frozen=True)
class Moment:
    """What a power cut would leave: the storage's files, and the programmed counter."""

    files: dict[str, bytes]  # by their paths in the storage
    counter: bytes

    @property
    def count(self) -> int:
        return _programmed(self.counter)

    def names(self) -> set[str]:
        return set(self.files)


class Device:
    """A machine that is switched off, cut off, and on again."""

    def __init__(self, machine: Machine, images_for: ImagesFor) -> None:
        self.machine = machine
        self.folder = machine.folder
        self.storage = machine.folder.storage
        self._images_for = images_for
        self._guard = contextlib.ExitStack()
        self._qemu: ProcessId | None = None

    def boot(self) -> None:
        status, started = self.machine.up(
            self._images_for(2),
            cores=2,
            memory_mib=512,
            timeout_s=180.0,
            progress=SilentProgress(),
        )
        assert started and status.record is not None and status.record.qemu is not None
        self._qemu = status.record.qemu
        self._guard.enter_context(guarded(self._qemu.pid))

    def down(self) -> None:
        self._guard.close()
        self.machine.down()

    @property
    def qemu(self) -> ProcessId:
        assert self._qemu is not None
        return self._qemu

    def cut_off(self) -> None:
        self.qemu.signal(signal.SIGKILL)

    def kill(self) -> None:
        """A power cut."""
        self.cut_off()
        self.down()

    @property
    def secure_log(self) -> str:
        return self.folder.log(World.SECURE).read_text(errors="replace")

    def counter_at_boot(self) -> int:
        found = re.search(r"OTP: monotonic counter at (\d+) of 8388608", self.secure_log)
        assert found, self.secure_log
        return int(found[1])

    def counter(self) -> int:
        """Programmed bits of the flash."""
        return _programmed(self._counter_bytes())

    def _counter_bytes(self) -> bytes:
        with self.folder.flash.open("rb") as bank:
            bank.seek(flash.OTP)
            return bank.read(flash.COUNTER_SIZE)

    def restore(self, folder: Path) -> None:
        """As an attacker puts another folder there: its content; it itself stays mounted."""
        self._clear()
        shutil.copytree(folder, self.storage, dirs_exist_ok=True)

    def _clear(self) -> None:
        for path in self.storage.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextlib.contextmanager
    def put_right_after(self) -> Iterator[None]:
        """The storage's files, whatever the body does to them, are back at the end."""
        with tempfile.TemporaryDirectory() as folder:
            good = Path(folder, "good")
            shutil.copytree(self.storage, good)
            try:
                yield
            finally:
                self.restore(good)

    # Moments -------------------------------------------------------------------------------

    def put_back(self, moment: Moment) -> None:
        """The machine is off: it is as if its power had been cut then."""
        self._clear()
        for name, data in moment.files.items():
            path = self.storage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with self.folder.flash.open("r+b") as bank:
            bank.seek(flash.OTP)
            bank.write(moment.counter)

    def _running(self) -> ProcessId | None:
        record = self.folder.read()
        return None if record is None else record.qemu

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[Moment]]:
        """Each moment, in the body, after which something in the storage had changed.

        The list is whole when the body has ended, which may begin with a boot.
        """
        self.folder.create()
        moments: list[Moment] = []
        reader = _Reader(self.storage)
        end = threading.Event()

        def watch() -> None:
            seen = reader.signs()
            while not end.is_set():
                qemu = None if reader.signs() == seen else self._running()
                if qemu is None:
                    time.sleep(LOOK_S)
                    continue
                qemu.signal(signal.SIGSTOP)
                try:
                    _wait_stopped(qemu.pid)
                    seen = reader.signs()
                    moments.append(Moment(reader.content(), self._counter_bytes()))
                finally:
                    qemu.signal(signal.SIGCONT)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield moments
        finally:
            end.set()
            thread.join(2 * STOP_S)
            assert not thread.is_alive()


def _programmed(counter: bytes) -> int:
    return sum(8 - byte.bit_count() for byte in counter)


class _Reader:
    """Of a folder: a file that is as it was is in memory once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._large: dict[tuple[str, int, int], bytes] = {}

    def content(self) -> dict[str, bytes]:
        return {name: self._read(path, name) for name, path in self._files()}

    def signs(self) -> dict[str, object]:
        """What has changed if anything has. The clock of files is a coarse one, so of small ones it
        is what is in them; of large ones, each megabyte."""
        found: dict[str, object] = {}
        for name, path in self._files():
            with contextlib.suppress(FileNotFoundError):
                size = path.stat().st_size
                found[name] = path.read_bytes() if size < _LARGE else size >> 20
        return found

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                yield os.fspath(path.relative_to(self._folder)), path

    def _read(self, path: Path, name: str) -> bytes:
        stat = path.stat()
        if stat.st_size < _LARGE:
            return path.read_bytes()
        key = (name, stat.st_size, stat.st_mtime_ns)
        return self._large.setdefault(key, path.read_bytes())


def _wait_stopped(pid: int) -> None:
    deadline = time.monotonic() + STOP_S
    tasks = Path(f"/proc/{pid}/task")
    while True:
        states = {
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()
        }
        if states <= {"T", "t"}:
            return
        assert time.monotonic() < deadline, states
        time.sleep(LOOK_S)


D = TypeVar("D", bound=Device)


@contextlib.contextmanager
def devices(state: Path, kind: Callable[[Machine], D]) -> Iterator[Callable[[str], D]]:
    """Makes devices by their names; they are off, and destroyed at the end."""
    with contextlib.ExitStack() as stack:

        def make(name: str) -> D:
            machine = Machine(name, state / name)
            device = kind(machine)
            stack.callback(machine.destroy)
            stack.callback(device.down)
            return device

        yield make
