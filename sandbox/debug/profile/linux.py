# SPDX-License-Identifier: Apache-2.0
"""The guest's Linux as a sampler sees it: which process a core runs, where functions are.

The kernel says itself where its symbols are and how its virtual addresses map to memory
(/proc/kallsyms, /proc/kcore), and its image where the members of its structures are (BTF). All of
it is the guest's word: good for a profile, and for nothing that must be safe from the guest.
"""

import bisect
import os
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.debug.profile import btf
from sandbox.errors import GuestError
from sandbox.machine.console import clean
from sandbox.machine.guest import Guest

Ask = Callable[[Sequence[bytes]], list[bytes]]

_FACTS_S = 60.0
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_NO_ADDRESS = (1 << 64) - 1
_COMM_BYTES = 16
_CODE_KINDS = frozenset("tTwW")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# start-end rights offset device inode path: proc(5).
_MAPS_LINE = re.compile(
    r"(?P<start>[0-9a-f]{1,16})-(?P<end>[0-9a-f]{1,16}) (?P<rights>\S{4})"
    r" (?P<offset>[0-9a-f]{1,16}) \S+ \d+ *(?P<path>.*)"
)
# Each processor's copy of it points to the task that it runs: arch/arm64/kernel/process.c.
_CURRENT = "__entry_task"


class KernelError(GuestError):
    """The guest's kernel does not say what a profile needs to know of it."""


@dataclass(frozen=True)
class Task:
    """The process or kernel thread that Linux runs on a core."""

    pid: int  # of its process
    name: str


@dataclass(frozen=True)
class Mapping:
    """A stretch of virtual addresses."""

    start: int
    end: int
    target: int  # the physical address, or the offset in the file, of its start
    path: str = ""


class Kernel:
    """Symbols and memory of the running kernel."""

    def __init__(
        self, symbols: Iterable[tuple[int, str]], linear: Sequence[Mapping], members: dict[str, int]
    ) -> None:
        ordered = sorted(symbols)
        self._addresses = [address for address, _ in ordered]
        self._names = [name for _, name in ordered]
        self._linear = tuple(linear)
        self.members = members

    def function(self, address: int) -> str | None:
        """The function that an address is in; modules have their name behind it, in brackets."""
        index = bisect.bisect_right(self._addresses, address) - 1
        if index < 0 or address >> 63 == 0:
            return None
        return self._names[index]

    def physical(self, address: int) -> int | None:
        for part in self._linear:
            if part.start <= address < part.end:
                return part.target + address - part.start
        return None

    @classmethod
    def of(cls, guest: Guest, image: Path, kept: Path) -> "Kernel":
        """Ask a running guest. `image` is the kernel that it was booted from.

        Its words are kept in the folder `kept`, which is emptied at each boot: listing all
        symbols takes a guest a second.
        """

        def ask(path: str, *limit: str) -> bytes:
            argv = ["dd", f"if={path}", "bs=16384", *limit]
            return guest.run(argv, timeout_s=_FACTS_S, check=True).stdout

        paths = [kept / f"kernel.{part}" for part in ("modules", "kcore", "kallsyms")]
        known = all(path.is_file() for path in paths)
        try:
            modules = ask("/proc/modules")
        except GuestError:
            # It hangs; what it said before is still true of most.
            if not known:
                raise
            modules = paths[0].read_bytes()
        # Where modules are may have changed since.
        if not known or paths[0].read_bytes() != modules:
            # The kernel's tables, of which the first part has all that counts, and its symbols.
            answers = (modules, ask("/proc/kcore", "count=1"), ask("/proc/kallsyms"))
            for path, answer in zip(reversed(paths), reversed(answers), strict=True):
                new = path.with_suffix(f".{os.getpid()}")
                new.write_bytes(answer)
                new.replace(path)
        try:
            members = btf.offsets(image.read_bytes(), "task_struct", ("tgid", "comm"))
        except ValueError as error:
            raise KernelError(f"cannot understand {image}: {error}") from error
        return cls.parsed(paths[2].read_bytes(), paths[1].read_bytes(), members)

    @classmethod
    def parsed(cls, listing: bytes, core: bytes, members: dict[str, int]) -> "Kernel":
        symbols = []
        try:
            for line in filter(None, clean_lines(listing)):
                address, kind, name = line.split(" ", 2)
                if kind in _CODE_KINDS or name == _CURRENT:
                    symbols.append((int(address, 16), name))
            linear = list(_linear_map(core))
        except (ValueError, struct.error) as error:
            raise KernelError(f"cannot understand the guest's kernel: {error}") from error
        if not any(address for address, _ in symbols):
            raise KernelError("the guest's kernel keeps its symbols' addresses to itself")
        current = [address for address, name in symbols if name == _CURRENT]
        if not current or not linear:
            raise KernelError("the guest's kernel does not say which task a core runs")
        functions = [(address, name) for address, name in symbols if name != _CURRENT]
        return cls(functions, linear, {**members, _CURRENT: current[0]})


def executable(maps: bytes) -> Iterable[Mapping]:
    """The parts of /proc/PID/maps that hold code: the guest says so, in its format."""
    for line in clean_lines(maps):
        found = _MAPS_LINE.fullmatch(line)
        if found is not None and "x" in found["rights"]:
            start, end, offset = (int(found[name], 16) for name in ("start", "end", "offset"))
            yield Mapping(start, end, offset, found["path"])


def clean_lines(raw: bytes) -> Iterable[str]:
    """Lines that are safe to print, of many: `name<tab>[module]` becomes `name [module]`."""
    text = raw.decode(errors="replace").replace("\t", " ")
    return _CONTROLS.sub("", text).split("\n") if raw else []


def _linear_map(core: bytes) -> Iterable[Mapping]:
    """The parts of virtual memory whose physical address /proc/kcore knows."""
    header = _ELF_HEADER.unpack_from(core)
    offset, count = header[5], header[10]
    for index in range(count):
        kind, _, _, virtual, physical, _, size, _ = _PROGRAM_HEADER.unpack_from(
            core, offset + index * _PROGRAM_HEADER.size
        )
        if kind == _PT_LOAD and physical != _NO_ADDRESS:
            yield Mapping(virtual, virtual + size, physical)


class TaskReader:
    """Which task a core runs, read from outside.

    By physical addresses: a core that executes user code has no right to the kernel's memory, and
    the stub reads with the rights of the core.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def read(self, ask: Ask, *, per_cpu: int) -> Task | None:
        """`per_cpu` is what is added to a variable's address on that core: TPIDR_EL1."""
        members = self._kernel.members
        pointer = self._words(ask, ((members[_CURRENT] + per_cpu) & _NO_ADDRESS, 8))
        if pointer is None:
            return None
        task = int.from_bytes(pointer[0], "little")
        found = self._words(ask, (task + members["tgid"], 4), (task + members["comm"], _COMM_BYTES))
        if found is None:
            return None
        pid, name = found
        return Task(int.from_bytes(pid, "little"), clean(name.partition(b"\0")[0]))

    def _words(self, ask: Ask, *places: tuple[int, int]) -> list[bytes] | None:
        requests = [b"Qqemu.PhyMemMode:1"]
        for address, size in places:
            physical = self._kernel.physical(address)
            if physical is None:
                return None
            requests.append(b"m%x,%x" % (physical, size))
        # In one write with the rest, so that no end of ours can leave the stub in this mode.
        answers = ask((*requests, b"Qqemu.PhyMemMode:0"))[1:-1]
        try:
            return [bytes.fromhex(answer.decode("ascii")) for answer in answers]
        except ValueError:
            return None
