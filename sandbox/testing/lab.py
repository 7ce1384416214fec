# SPDX-License-Identifier: Apache-2.0
"""Where a test run gets its machines from: what they are called, where they live, how they end."""

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from sandbox import paths
from sandbox.authority.manufacturer import ensure_endorsed
from sandbox.config import Config
from sandbox.errors import GuestError, UserError
from sandbox.log import SilentProgress
from sandbox.machine import flash, qemu_v8
from sandbox.machine.machine import Machine, State
from sandbox.machine.start import guarded
from sandbox.testing.bench import Bench

ImagesFor = Callable[[int], qemu_v8.Images]


class BootMachine(Protocol):
    """What the fixture `boot_machine` is: `with boot_machine(cores=4) as machine:`."""

    def __call__(self, *, cores: int | None = None) -> AbstractContextManager[Machine]: ...


@dataclass(frozen=True)
class Settings:
    name: str  # of the session's machine; the others are numbered after it
    state: Path | None = None  # where machines are kept; None is the user's own folder
    cores: int = 0  # 0 is as many as `sandbox up` takes
    adopt: bool = False  # the session's machine may be up already, and it stays up
    keep: bool = False  # every machine stays up

    def __post_init__(self) -> None:
        if not 0 <= self.cores <= qemu_v8.MAX_CORES:
            raise UserError(
                f"no machine has {self.cores} cores",
                f"--sandbox-cores, or sandbox_cores in the ini file: 1 to {qemu_v8.MAX_CORES}.",
            )

    @property
    def environment(self) -> dict[str, str]:
        """With these variables `sandbox` means the session's machine."""
        where = {} if self.state is None else {"XDG_STATE_HOME": os.fspath(self.state)}
        return {**where, "SANDBOX_MACHINE": self.name}

    def folder(self, name: str) -> Path:
        if self.state is None:
            return paths.machine_dir(name)
        return self.state / paths.APP / "machines" / name


class Lab:
    def __init__(self, settings: Settings, images_for: ImagesFor, bench: Bench) -> None:
        self._settings = settings
        self._images_for = images_for
        self._bench = bench
        self._count = 1
        self._config = Config.from_environment()

    @contextlib.contextmanager
    def session_machine(self) -> Iterator[Machine]:
        """The one that tests share; a test that breaks it gives the next one a new boot."""
        machine = self._machine(self._settings.name)
        if not self._settings.adopt:
            with self._booted(machine, None, lasting=True):
                yield machine
            return
        self._adopt(machine)
        with self._bench.watching(machine, lasting=True) as console:
            console.ready()
            yield machine

    @contextlib.contextmanager
    def machine(self, *, cores: int | None = None) -> Iterator[Machine]:
        """One more machine, which ends with the body."""
        self._count += 1
        machine = self._machine(f"{self._settings.name}-{self._count}")
        with self._booted(machine, cores, lasting=False):
            yield machine

    def _machine(self, name: str) -> Machine:
        return Machine(name, self._settings.folder(name), qemu=self._config.qemu)

    @contextlib.contextmanager
    def _booted(self, machine: Machine, cores: int | None, *, lasting: bool) -> Iterator[None]:
        if machine.status().state is not State.DOWN:
            raise UserError(
                f"machine {machine.name!r} is up already, perhaps since --sandbox-keep",
                (
                    f"`sandbox --machine {machine.name} down` ends it.",
                    f"--sandbox-machine {machine.name} uses it.",
                ),
            )
        with contextlib.ExitStack() as guard:

            def start() -> None:
                guard.close()
                # A device of its own, without what an earlier one stored.
                machine.scrap()
                pid = self._up(machine, cores)
                if not self._settings.keep:
                    guard.enter_context(guarded(pid))

            restart = start if lasting else None
            with self._bench.watching(machine, lasting=lasting, restart=restart) as console:
                try:
                    start()
                except BaseException:
                    # Whatever the consoles have to say of it is in this very error.
                    console.forget_alarm()
                    raise
                console.ready()
                try:
                    yield
                finally:
                    if not self._settings.keep:
                        machine.scrap()

    def _adopt(self, machine: Machine) -> None:
        before = machine.status()
        cores = self._settings.cores
        if before.record is not None and cores not in (0, before.record.cores):
            raise UserError(
                f"machine {machine.name!r} is up already, with {before.record.cores} cores",
                f"`sandbox --machine {machine.name} down`, or another --sandbox-cores.",
            )
        self._up(machine, before.record.cores if before.record is not None else None)

    def _up(self, machine: Machine, cores: int | None) -> int:
        """Returns QEMU's process number."""
        count = cores or self._settings.cores or qemu_v8.default_cores()
        images = self._images_for(count)
        status, started = machine.up(
            images,
            cores=count,
            memory_mib=self._config.memory_mib,
            timeout_s=self._config.boot_timeout_s,
            progress=SilentProgress(),
        )
        ensure_endorsed(
            flash.hardware_unique_key(machine.folder.flash),
            paths.manufacturer_dir(self._settings.state),
        )
        record = status.record
        assert record is not None and record.qemu is not None
        if not status.answers:
            raise GuestError(
                f"machine {machine.name!r} is up but does not answer",
                f"`sandbox --machine {machine.name} down` ends it.",
            )
        if not started and record.images != qemu_v8.image_paths(images):
            warnings.warn(
                f"machine {machine.name!r} was booted from other images than the sources would"
                f" give now; `sandbox --machine {machine.name} down` lets it be booted from those",
                stacklevel=2,
            )
        return record.qemu.pid


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, so that every machine is ended: unless somebody else
    has a use for it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
