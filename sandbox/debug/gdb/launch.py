# SPDX-License-Identifier: Apache-2.0
"""How gdb is started on a machine: its arguments, and what inside.py is told."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import paths, process
from sandbox.debug import stub
from sandbox.debug.gdb import one_thread
from sandbox.debug.gdb.target import Kind, NoSymbols, Target, layout, uuid_bytes
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

PROGRAM = "gdb-multiarch"
# Not a module of ours: only gdb can import what it imports.
_INSIDE = Path(__file__).parent / "scripts" / "inside.py"
_SETTINGS = (
    "set architecture aarch64",
    # Nobody may be there to press Enter.
    "set pagination off",
    # Of code without a description of its frames, gdb may find callers without end.
    "set backtrace limit 256",
    # For -exec-interrupt; it must be set before there is a target.
    "set mi-async on",
    "set remotetimeout 20",
)


@dataclass(frozen=True)
class Command:
    """gdb, ready to be started while the stub is open."""

    argv: tuple[process.Argument, ...]
    environment: dict[str, str]
    handles: tuple[int, ...]


@contextlib.contextmanager
def prepared(machine: Machine, target: Target, arguments: Sequence[str] = ()) -> Iterator[Command]:
    """Open the stub and say how to start gdb. It connects by itself, which stops the machine."""
    told = _told(machine, target)
    with stub.opened(machine, f"sandbox gdb {target}") as socket:
        # A socket's path may be too long for gdb, as for anybody: see sockets.py.
        folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            told["remote"] = f"/proc/self/fd/{folder}/{socket.name}"
            if target.kind is Kind.TA:
                proxy = [sys.executable, "-I", "-m", one_thread.__name__, os.fspath(socket.parent)]
                told["remote"] = f"| exec {process.quoted(proxy)}"
            yield Command(
                (PROGRAM, "-q", "-x", _INSIDE, *arguments),
                {**os.environ, "SANDBOX_GDB": json.dumps(told)},
                (folder,),
            )
        finally:
            os.close(folder)


def _told(machine: Machine, target: Target) -> dict[str, Any]:
    told: dict[str, Any] = {
        "target": str(target.kind),
        "settings": [*_SETTINGS, f"directory {paths.project_dir()}"],
        "welcome": f"machine {machine.name!r} stands still; `continue` lets it run",
    }
    if target.kind is Kind.KERNEL:
        told["kernel"] = {"path": str(target.elf), "offset": target.offset, "text": 0}
        return told
    core = Symbols(machine.folder.symbols).path("core")
    if target.kind is Kind.CORE:
        core = target.elf
    if core is None:
        raise NoSymbols("no symbols of OP-TEE", "`sandbox down` and `sandbox up` keep them.")
    told["core"] = layout(core)
    if target.kind is Kind.TA:
        uuid = uuid_bytes(target.name).hex()
        told["ta"] = {**layout(target.elf), "uuid": uuid, "name": target.name}
    return told
