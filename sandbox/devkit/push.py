# SPDX-License-Identifier: Apache-2.0
"""Put what was built into a running machine; the next session uses it, without a reboot.

OP-TEE asks tee-supplicant for a TA's file whenever it has no instance to open the session in, so
replacing the file is all there is to do. Each file is replaced as a whole: a session that is being
opened meanwhile gets the old one or the new one.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.devkit.build import Built, BuiltTa
from sandbox.devkit.elf import TaFlag
from sandbox.errors import UserError
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

TA_FOLDER = PurePosixPath("/lib/optee_armtz")
PROGRAM_FOLDER = PurePosixPath("/usr/bin")
LIBRARY_FOLDER = PurePosixPath("/usr/lib/aarch64-linux-gnu")
_TIMEOUT_S = 60.0


class PushError(UserError):
    """Something that was built has no place in the guest."""


@dataclass(frozen=True)
class PushedFile:
    path: PurePosixPath
    size_bytes: int


@dataclass(frozen=True)
class Pushed:
    files: tuple[PushedFile, ...]
    remarks: tuple[str, ...]  # TAs whose old code may go on running, and why


def push(machine: Machine, built: Built) -> Pushed:
    """Put TAs, programs and the libraries they need into the guest."""
    files: list[PushedFile] = []
    symbols = Symbols(machine.folder.symbols)
    with machine.guest() as guest:
        _check_names(guest, built)

        def put(path: PurePosixPath, data: bytes, mode: int) -> None:
            _put(guest, path, data, mode)
            files.append(PushedFile(path, len(data)))

        present = _listed(guest, LIBRARY_FOLDER) if built.libraries else set()
        for name, library in built.libraries.items():
            if name not in present or library.is_relative_to(built.work):
                put(LIBRARY_FOLDER / name, library.read_bytes(), 0o755)
        for program in built.programs:
            put(PROGRAM_FOLDER / program.name, program.read_bytes(), 0o755)
        for ta in built.tas:
            put(TA_FOLDER / f"{ta.uuid}.ta", ta.ta.read_bytes(), 0o444)
            symbols.add(str(ta.uuid), ta.elf)
    return Pushed(tuple(files), tuple(_remarks(built.tas)))


def _put(guest: Guest, path: PurePosixPath, data: bytes, mode: int) -> None:
    new = shlex.quote(f"{path}.new")
    script = f"cat >{new} && chmod {mode:o} {new} && mv {new} {shlex.quote(str(path))}"
    guest.run(["sh", "-c", script], timeout_s=_TIMEOUT_S, stdin=data, check=True)


def _check_names(guest: Guest, built: Built) -> None:
    """Programs of the guest's own are links to busybox: it needs them."""
    names = [program.name for program in built.programs]
    if not names:
        return
    script = 'for name; do [ -L "/usr/bin/$name" ] && echo "$name"; done; true'
    asked = guest.run(["sh", "-c", script, "sh", *names], timeout_s=_TIMEOUT_S, check=True)
    taken = {*asked.stdout.decode(errors="replace").split("\n"), "busybox"} & {*names}
    if taken:
        raise PushError(
            f"the guest has a program of its own called {sorted(taken)[0]}",
            "Give the client application another name in its makefile.",
        )


def _listed(guest: Guest, folder: PurePosixPath) -> set[str]:
    asked = guest.run(["ls", str(folder)], timeout_s=_TIMEOUT_S, check=True)
    return set(asked.stdout.decode(errors="replace").split("\n"))


def _remarks(tas: Iterable[BuiltTa]) -> Iterable[str]:
    """A TA with one instance for all goes on with the code it was loaded with."""
    for ta in tas:
        flags = ta.flags or TaFlag(0)
        if TaFlag.SINGLE_INSTANCE not in flags:
            continue
        if TaFlag.KEEP_ALIVE in flags:
            yield (
                f"{ta.name} has one instance that is kept alive: if it was loaded since the boot,"
                " sessions use the old code until the machine is started again"
            )
        else:
            yield (
                f"{ta.name} has one instance for all sessions: while one of them is open, further"
                " sessions use the old code too"
            )
