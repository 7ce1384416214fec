# SPDX-License-Identifier: Apache-2.0
"""QEMU's gdb stub, opened on a running machine and closed again: `with opened(machine, ...)`.

A client that connects to the stub stops the machine, and breakpoints outlive their client: QEMU
7.2 would stop at one with nobody there to continue. So closing is the work of a process of its own
(keeper.py), which does it however the holder ends.
"""

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

from sandbox import process
from sandbox.debug import rsp
from sandbox.errors import InfraError
from sandbox.machine import hold, qmp, sockets
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Folder
from sandbox.machine.machine import Machine, MachineDown, State

_CHARDEV = "gdb"
_OPEN_S = 10.0
_CLOSE_S = 20.0


class StubError(InfraError):
    """QEMU did not open its gdb stub, or the machine could not be let go."""


@contextlib.contextmanager
def opened(machine: Machine, what: str) -> Iterator[Path]:
    """The stub's Unix socket, for one client after another; nobody else has it meanwhile.

    `what` tells other people who holds the machine, as in "sandbox gdb ta". Afterwards the machine
    runs, without breakpoints, also if this process was killed.
    """
    if machine.status().state is not State.UP:
        raise MachineDown(f"machine {machine.name!r} is not up", "`sandbox up` starts it.")
    folder = machine.folder
    with hold.taken(folder, what) as lock, _kept(folder, lock):
        with qmp.connect(folder.qmp_socket, Deadline(_OPEN_S)) as control:
            _offer(control, folder)
        yield folder.gdb_socket


def release(folder: Folder) -> None:
    """Cut off whoever is connected, remove breakpoints, let the machine run, close the stub."""
    deadline = Deadline(_CLOSE_S / 2)
    with qmp.connect(folder.qmp_socket, deadline) as control:
        _offer(control, folder)
        with rsp.connect(folder.gdb_socket, deadline.remaining_s) as remote:
            # With the process's number: QEMU remembers whether the last client spoke of processes.
            if remote.call(b"D;1") != b"OK":
                raise StubError("QEMU's gdb stub does not let go")
        control.monitor("gdbserver none")
        folder.gdb_socket.unlink(missing_ok=True)
        if not control.execute("query-status")["running"]:
            control.execute("cont")


def _offer(control: qmp.Qmp, folder: Folder) -> None:
    # A path may be too long for QEMU, so it is handed a socket that listens already.
    with sockets.listen(folder.gdb_socket) as server:
        control.monitor("gdbserver none")
        control.give(_CHARDEV, server.fileno())
        address = {"type": "fd", "data": {"str": _CHARDEV}}
        backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
        control.execute("chardev-add", id=_CHARDEV, backend=backend)
        answer = control.monitor(f"gdbserver chardev:{_CHARDEV}")
    if not answer.startswith("Waiting for gdb connection"):
        raise StubError(f"QEMU did not open its gdb stub: {answer}")


@contextlib.contextmanager
def _kept(folder: Folder, lock: int) -> Iterator[None]:
    """A keeper that releases the machine when the body ends, or this process does."""
    reading, writing = os.pipe()
    answer, answering = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as lifeline, os.fdopen(answer, "rb") as answers:
        try:
            argv = [sys.executable, "-I", "-m", "sandbox.debug.keeper", os.fspath(folder.path)]
            keeper = process.spawn(argv, stdin=reading, stdout=answering, pass_fds=(lock,))
        finally:
            os.close(reading)
            os.close(answering)
        try:
            yield
        finally:
            lifeline.close()
            complaint = "it took too long"
            if select.select([answers], [], [], _CLOSE_S)[0]:
                complaint = answers.read().decode(errors="replace").strip()
            process.end(keeper)
    if complaint:
        raise StubError(
            f"the machine may stand still: {complaint}",
            "`sandbox down` and `sandbox up` start it afresh.",
        )
