# SPDX-License-Identifier: Apache-2.0
"""Symbols of the guest's Linux, at the addresses that it drew for itself at boot.

Debian's kernel package has none. The running kernel names its own functions and variables in
/proc/kallsyms, those of modules too: from these a small ELF file is written. It has names and
addresses; source lines and types it has not. Whoever has the vmlinux of the same build, as in
Debian's -dbg package, gets those too.
"""

import itertools
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from sandbox.errors import GuestError, UserError
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

_TIMEOUT_S = 60.0
_START = "_text"
_LINE = re.compile(r"([0-9a-f]{16}) ([A-Za-z?]) ([!-~]+)(?:\s+\[([!-~]+)\])?", re.ASCII)
# Nothing says how long the last function of a module is.
_LAST_BYTES = 4096
# ELF-64: elf(5).
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_TOP = (1 << 64) - 1
_EXEC, _AARCH64 = 2, 183
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_WRITE, _ALLOC, _EXECINSTR = 1, 2, 4
_GLOBAL, _OBJECT, _FUNCTION = 1 << 4, 1, 2


class KernelSymbolsError(GuestError):
    """The guest's kernel does not tell its symbols, or they are not those of the file given."""


@dataclass(frozen=True)
class Symbol:
    address: int
    kind: str  # as nm(1) has it
    name: str
    module: str  # "" is the kernel itself

    @property
    def is_code(self) -> bool:
        return self.kind in "tTwW"


@dataclass(frozen=True)
class Image:
    elf: Path
    offset: int


def prepare(machine: Machine, vmlinux: Path | None = None) -> Image:
    """The file with the kernel's symbols, and how far the kernel is from where the file says."""
    with machine.guest() as guest:
        listing = guest.run(["cat", "/proc/kallsyms"], timeout_s=_TIMEOUT_S).stdout
        notes = guest.run(["cat", "/sys/kernel/notes"], timeout_s=_TIMEOUT_S).stdout
    symbols = list(parse(listing.decode(errors="replace")))
    start = next((s.address for s in symbols if s.name == _START and not s.module), 0)
    if not start:
        raise KernelSymbolsError("/proc/kallsyms in the guest names no addresses")
    if vmlinux is not None:
        return Image(vmlinux.resolve(), start - _linked_at(vmlinux, notes))
    kept = Symbols(machine.folder.symbols)
    new = machine.folder.symbols / "kernel.new-elf"
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new.write_bytes(elf_file(symbols))
    new.replace(kept.folder / "kernel.elf")
    return Image(kept.folder / "kernel.elf", 0)


def parse(listing: str) -> Iterator[Symbol]:
    """The lines of /proc/kallsyms: address, kind, name, and the module if there is one."""
    for line in listing.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            address, kind, name, module = match.groups()
            # Marks of code and data within functions, and per-CPU offsets, are no addresses.
            if not name.startswith("$") and int(address, 16) >> 63:
                yield Symbol(int(address, 16), kind, name, module or "")


def elf_file(symbols: Iterable[Symbol]) -> bytes:
    """An ELF file of symbols alone: sections without content say where code and data lie."""
    names, strings = _Strings(), _Strings()
    sections = [_SECTION.pack(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    table = bytearray(_SYMBOL.size)
    ordered = sorted(symbols, key=lambda symbol: symbol.address)
    parts = [list(part) for _, part in itertools.groupby(ordered, lambda s: (s.module, s.is_code))]
    ends = [part[0].address for part in parts[1:]] + [_TOP]
    for index, (part, end) in enumerate(zip(parts, ends, strict=True), 1):
        first = part[0]
        low, high = first.address, min(end, part[-1].address + _LAST_BYTES)
        title = (".text" if first.is_code else ".data") + (f".{first.module}" * bool(first.module))
        flags = _ALLOC | (_EXECINSTR if first.is_code else _WRITE)
        sections.append(
            _SECTION.pack(names.add(title), _NOBITS, flags, low, 0, high - low, 0, 0, 4, 0)
        )
        info = _GLOBAL | (_FUNCTION if first.is_code else _OBJECT)
        following = [*(symbol.address for symbol in part[1:]), high]
        for symbol, after in zip(part, following, strict=True):
            size = after - symbol.address
            table += _SYMBOL.pack(strings.add(symbol.name), info, 0, index, symbol.address, size)
    count = len(sections) + 3
    at = _HEADER.size
    for title, kind, link, info, size, content in (
        (".symtab", _SYMTAB, count - 2, 1, _SYMBOL.size, bytes(table)),
        (".strtab", _STRTAB, 0, 0, 0, strings.content),
        (".shstrtab", _STRTAB, 0, 0, 0, b""),
    ):
        name = names.add(title)
        data = content or names.content
        sections.append(_SECTION.pack(name, kind, 0, 0, at, len(data), link, info, 8, size))
        at += len(data)
    magic = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = _HEADER.pack(
        *(magic, _EXEC, _AARCH64, 1, 0, 0, at, 0),
        *(_HEADER.size, 0, 0, _SECTION.size, count, count - 1),
    )
    return b"".join((header, bytes(table), strings.content, names.content, *sections))


class _Strings:
    """A string table: names one after the other, each ended by a zero byte."""

    def __init__(self) -> None:
        self._content = bytearray(1)

    def add(self, name: str) -> int:
        at = len(self._content)
        self._content += name.encode() + b"\0"
        return at

    @property
    def content(self) -> bytes:
        return bytes(self._content)


def _linked_at(vmlinux: Path, notes: bytes) -> int:
    """Where this file has the kernel's start; the file must be of the build that runs."""
    try:
        with vmlinux.open("rb") as file:
            image = ELFFile(file)
            section = image.get_section_by_name(".notes")
            table: Any = image.get_section_by_name(".symtab")
            found = table.get_symbol_by_name(_START) if table is not None else None
            # The notes hold the build's ID: the linker's hash of all that it linked.
            if section is None or not found:
                raise UserError(f"{vmlinux} is no vmlinux: it has no notes or no {_START}")
            same = section.data() == notes
            start: int = found[0]["st_value"]
    except (ELFError, OSError) as error:
        raise UserError(f"cannot read {vmlinux}: {error}") from error
    if not same:
        raise KernelSymbolsError(
            f"{vmlinux} is of another build than the kernel that runs",
            "`sandbox exec -- uname -v` names the build.",
        )
    return start
