# SPDX-License-Identifier: Apache-2.0
"""Start QEMU for a machine and see it through its boot.

Apart from machine.py, because most commands find the machine up and can do without all this.
"""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sandbox import cpio, process
from sandbox.log import Step
from sandbox.machine import agent, flash, keys, qemu_v8, recorder, runs, sockets
from sandbox.machine.boot import Boot
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder, Phase, Record, World
from sandbox.machine.process_id import ProcessId
from sandbox.machine.symbols import Symbols

_GUARD = Path(__file__).with_name("guard.py")
_RECORDER = Path(recorder.__file__)
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

# Its exit status, once it has one.
Poll = Callable[[], int | None]


def up(
    name: str,
    folder: Folder,
    images: qemu_v8.Images,
    *,
    qemu: str,
    cores: int,
    memory_mib: int,
    encrypt_model: bool,
    deadline: Deadline,
    step: Step,
    end: Callable[[Record | None], None],
) -> Record:
    """The record of a machine that is up. If this raises, `end` has undone what was done."""
    token = _access(folder)
    flash.prepare(folder.flash, images.flash)
    runs.keep(folder)
    Symbols(folder.symbols).start_afresh(images.symbols)
    record = Record(
        name=name,
        phase=Phase.STARTING,
        owner=ProcessId.mine(),
        qemu=None,
        argv=(),
        cores=cores,
        memory_mib=memory_mib,
        host_cores=qemu_v8.host_cores(),
        acceleration=qemu_v8.ACCELERATION,
        images=qemu_v8.image_paths(images),
        started_at=time.time(),
        encrypt_model=encrypt_model,
    )
    with _undone(end) as latest, contextlib.ExitStack() as ours:
        consoles = {
            world: ours.enter_context(sockets.listen(folder.console_socket(world)))
            for world in World
        }
        control = ours.enter_context(sockets.listen(folder.qmp_socket))
        inherited = qemu_v8.Sockets(
            {world: console.fileno() for world, console in consoles.items()}, control.fileno()
        )
        argv = [qemu]
        argv += qemu_v8.arguments(
            images,
            name=name,
            cores=cores,
            memory_mib=memory_mib,
            access=folder.access,
            flash=folder.flash,
            share=folder.share,
            storage=folder.storage,
            logs={world: folder.log(world) for world in World},
            sockets=inherited,
        )
        # Written before there is a process, so that none is ever unaccounted for.
        record = latest(replace(record, argv=tuple(argv)))
        folder.write(record)
        pid, poll = _spawn(folder, argv, inherited.fds)
        ours.close()
        record = latest(replace(record, qemu=ProcessId.of(pid)))
        folder.write(record)
        with guarded(pid):
            record = latest(replace(record, recorder=_record(folder, pid)))
            folder.write(record)
            assert record.qemu is not None
            boot = Boot(folder, record.qemu, poll, deadline, step)
            info = boot.run(token)
            record = latest(
                replace(
                    record,
                    phase=Phase.UP,
                    ssh_port=boot.ports[qemu_v8.SSH_PORT],
                    agent_port=boot.ports[agent.AGENT_PORT],
                    stages=tuple(boot.stages),
                    ta={key: info[key] for key in ("abi", "version", "cpu") if key in info},
                )
            )
            folder.write(record)
    return record


def _access(folder: Folder) -> bytes:
    """Write what lets the host in, as the guest gets it; returns the agent's token."""
    access = keys.ensure(folder.keys)
    token = keys.new_token(folder.token)
    archive = io.BytesIO()
    cpio.write(archive, [*access.guest_files(), *keys.token_files(token)])
    folder.access.write_bytes(archive.getvalue())
    folder.access.chmod(0o600)
    return token


@contextlib.contextmanager
def _undone(end: Callable[[Record | None], None]) -> Iterator[Callable[[Record], Record]]:
    """Calls `end` when the body raises, with the last record that was noted."""
    noted: list[Record] = []

    def latest(record: Record) -> Record:
        noted.append(record)
        return record

    try:
        yield latest
    except BaseException:
        # A second Ctrl-C must not undo the undoing; every wait in it has a limit.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            end(noted[-1] if noted else None)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        raise


def _spawn(folder: Folder, argv: Sequence[str], fds: Sequence[int]) -> tuple[int, Poll]:
    recorder.begin(folder.index)
    with folder.qemu_log.open("wb") as log:
        log.write(f"$ {process.quoted(argv)}\n".encode())
        log.flush()
        child = process.spawn(argv, stdout=log, stderr=log, pass_fds=fds)
    return child.pid, child.poll


def _record(folder: Folder, pid: int) -> ProcessId | None:
    """Have the times of what this QEMU prints written down, for as long as it lives."""
    handle = os.pidfd_open(pid)
    try:
        argv = [sys.executable, "-I", "-S", os.fspath(_RECORDER), str(handle)]
        argv += map(os.fspath, (*map(folder.log, World), folder.index))
        # Not our own output: whoever waits for its end would wait for the machine's.
        with folder.qemu_log.open("ab") as log:
            child = process.spawn(argv, stdout=log, stderr=log, pass_fds=[handle])
    finally:
        os.close(handle)
    return ProcessId.of(child.pid)


@contextlib.contextmanager
def guarded(pid: int) -> Iterator[None]:
    """See guard.py: even SIGKILL, at us, leaves no QEMU behind."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as lifeline, os.fdopen(reading, "rb") as other_end:
        handle = os.pidfd_open(pid)
        try:
            argv = [sys.executable, "-I", "-S", os.fspath(_GUARD)]
            argv += [str(handle), str(other_end.fileno())]
            guard = process.spawn(argv, pass_fds=(handle, other_end.fileno()))
        finally:
            os.close(handle)
        try:
            yield
            # Not reached when the body raises: then QEMU shall end, and the guard may help.
            with contextlib.suppress(BrokenPipeError):
                lifeline.write(b".")
        finally:
            lifeline.close()
            process.end(guard)
