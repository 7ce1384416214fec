# SPDX-License-Identifier: Apache-2.0
"""Put what was built into a running machine; the next session uses it, without a reboot.

OP-TEE asks tee-supplicant for a TA's file whenever it has no instance to open the session in, so
replacing the file is all there is to do; only a TA with one instance for all sessions may be loaded
still, with its old code, which is told. Each file is replaced as a whole: a session that is being
opened meanwhile gets the old one or the new one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from sandbox.devkit.build import Built, BuiltTa
from sandbox.devkit.elf import TaFlag
from sandbox.errors import GuestError, UserError
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols
from sandbox.tee import TEEContext
from sandbox.tee.stats import Stats

TA_FOLDER = PurePosixPath("/lib/optee_armtz")
PROGRAM_FOLDER = PurePosixPath("/usr/bin")
LIBRARY_FOLDER = PurePosixPath("/usr/lib/aarch64-linux-gnu")
_TIMEOUT_S = 60.0
_STATS_S = 5.0


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
            guest.put(str(path), data, mode)
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
    return Pushed(tuple(files), tuple(_remarks(machine, built.tas)))


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


def _remarks(machine: Machine, tas: Iterable[BuiltTa]) -> Iterator[str]:
    """A TA with one instance for all goes on with the code it was loaded with."""
    single = [ta for ta in tas if TaFlag.SINGLE_INSTANCE in (ta.flags or TaFlag(0))]
    loaded = _loaded(machine) if single else {}
    for ta in single:
        if loaded is not None and ta.uuid not in loaded:
            continue
        kept = TaFlag.KEEP_ALIVE in (ta.flags or TaFlag(0))
        if loaded is None:
            state = "has one instance for all; if it is loaded now"
        elif kept:
            state = "is loaded and kept alive"
        else:
            state = f"has one instance for all, and {loaded[ta.uuid]} open sessions"
        until = "the machine is started again" if kept else "all its sessions are closed"
        yield f"{ta.name} {state}: sessions use the old code until {until}"


def _loaded(machine: Machine) -> dict[UUID, int] | None:
    """How many sessions each loaded TA has; None if OP-TEE cannot tell, being too busy."""
    try:
        with TEEContext(machine) as context, Stats(context) as stats:
            return {ta.uuid: ta.sessions for ta in stats.loaded_tas(timeout_s=_STATS_S)}
    except GuestError:
        return None
