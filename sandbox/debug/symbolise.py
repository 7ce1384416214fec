# SPDX-License-Identifier: Apache-2.0
"""From addresses to functions, files and lines, with binutils' addr2line.

The ELF files are those of whoever asks; only the addresses are the guest's. A source file is only
ever opened because debug information names it, never because a console does.
"""

import contextlib
import functools
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from sandbox import paths, process

# The first that is installed; the plain one knows foreign machines only in some distributions.
_PROGRAMS = ("aarch64-linux-gnu-addr2line", "addr2line", "llvm-addr2line")
_TIMEOUT_S = 30.0
_SOURCE_LIMIT = 4 << 20
_PAGE = 4096
CONTEXT_LINES = 2
# What our own build cache calls the sources that it unpacked: a name and a hash.
_CACHED = re.compile(r"^.*/optee-sandbox/build/([\w.+-]+?)-[0-9a-f]{16}/")


class Elves(Protocol):
    """Where ELF files are found: `core`, `ldelf`, `bl31`, or the UUID of a TA."""

    def path(self, name: str) -> Path | None: ...


class ElfFiles:
    """ELF files and folders of them, as a user names them on a command line."""

    # What others call them.
    _ALIASES = {"core": ("core", "tee"), "ldelf": ("ldelf",), "bl31": ("bl31",)}

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places

    @functools.cached_property
    def _found(self) -> dict[str, Path]:
        """The first of each name; below folders too, as builds leave them."""
        found: dict[str, Path] = {}
        for place in self._places:
            for path in [place] if place.is_file() else sorted(place.rglob("*.elf")):
                found.setdefault(path.name, path)
        return found

    def path(self, name: str) -> Path | None:
        names = self._ALIASES.get(name, (name,))
        return next((self._found[f"{n}.elf"] for n in names if f"{n}.elf" in self._found), None)


class FirstOf:
    """Several places to look in, one after the other."""

    def __init__(self, *places: Elves) -> None:
        self._places = places

    def path(self, name: str) -> Path | None:
        return next((found for place in self._places if (found := place.path(name))), None)


@dataclass(frozen=True)
class SourceLine:
    number: int
    text: str
    marked: bool


@dataclass(frozen=True)
class Location:
    function: str | None
    file: str | None  # as a person would write it
    line: int | None
    path: Path | None  # on this machine, if it is here
    inlined: bool  # into the next


class Symboliser:
    def __init__(self, elves: Elves, roots: Sequence[Path] = ()) -> None:
        """`roots` are searched for sources whose debug information has relative paths."""
        self._elves = elves
        self._roots = (*roots, paths.project_dir())
        self._found: dict[tuple[Path, int], tuple[Location, ...]] = {}

    def elf(self, name: str) -> Path | None:
        return self._elves.path(name)

    def locate(self, elf: Path, addresses: Iterable[int]) -> dict[int, tuple[Location, ...]]:
        """Each address of the ELF file: the innermost inlined function first. Never raises."""
        wanted = dict.fromkeys(addresses)
        missing = [address for address in wanted if (elf, address) not in self._found]
        if missing:
            self._ask(elf, missing)
        return {address: self._found.get((elf, address), ()) for address in wanted}

    def _ask(self, elf: Path, addresses: list[int]) -> None:
        program = next((p for p in _PROGRAMS if shutil.which(p)), None)
        if program is None:
            return
        argv: list[process.Argument] = [
            program,
            "-a",
            "-f",
            "-i",
            "-C",
            "-e",
            elf,
            *(f"0x{a:x}" for a in addresses),
        ]
        try:
            done = process.run(argv, timeout_s=_TIMEOUT_S)
        except process.ProcessError:
            return
        groups: list[list[str]] = []
        for line in done.stdout.decode(errors="replace").splitlines():
            # C++ names have spaces and signs, but none is a number alone.
            if re.fullmatch(r"0x[0-9a-f]+", line):
                groups.append([])
            elif groups:
                groups[-1].append(line)
        for address, group in zip(addresses, groups, strict=False):
            pairs = list(zip(group[::2], group[1::2], strict=False))
            self._found[elf, address] = tuple(
                self._location(name, place, inlined=index + 1 < len(pairs))
                for index, (name, place) in enumerate(pairs)
                if name != "??"
            )

    def _location(self, name: str, place: str, *, inlined: bool) -> Location:
        place = re.sub(r" \(discriminator \d+\)$", "", place)
        file, _, number = place.rpartition(":")
        if file in ("", "??"):
            return Location(name, None, None, None, inlined)
        line = int(number) if number.isdigit() and int(number) > 0 else None
        path = self._source(file)
        return Location(name, self._shown(file, path), line, path, inlined)

    def _source(self, file: str) -> Path | None:
        path = Path(file)
        if path.is_absolute():
            return path if path.is_file() else None
        # A compiler that was told to forget where it ran may leave its folder in front.
        for skipped in range(len(path.parts)):
            for root in self._roots:
                candidate = root.joinpath(*path.parts[skipped:])
                # A name alone would be found anywhere.
                if len(path.parts) - skipped > 1 or len(path.parts) == 1:
                    if candidate.is_file():
                        return candidate
        return None

    def _shown(self, file: str, path: Path | None) -> str:
        if cached := _CACHED.match(file):
            return f"{cached[1]}/{file[cached.end() :]}"
        if path is not None:
            for root in (*self._roots, Path.cwd()):
                with contextlib.suppress(ValueError):
                    return str(path.resolve().relative_to(root.resolve()))
        return file


def excerpt(location: Location, context: int = CONTEXT_LINES) -> tuple[SourceLine, ...]:
    """Some lines of source around a location, if it is on this machine."""
    if location.path is None or location.line is None:
        return ()
    lines = _lines(location.path)
    first = max(1, location.line - context)
    return tuple(
        SourceLine(number, text, number == location.line)
        for number, text in enumerate(lines[first - 1 : location.line + context], first)
        if location.line <= len(lines)
    )


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _SOURCE_LIMIT:
            return []
        return path.read_text(errors="replace").expandtabs(4).splitlines()
    except OSError:
        return []


@functools.lru_cache(maxsize=64)
def _shape(elf: Path, stamp: int) -> tuple[int, int]:
    del stamp
    try:
        with elf.open("rb") as file:
            loads = [s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_LOAD"]
            if not loads:
                return 0, 0
            first = min(s["p_vaddr"] for s in loads)
            last = max(s["p_vaddr"] + s["p_memsz"] for s in loads)
    except (OSError, ELFError, ValueError, KeyError):
        return 0, 0
    return first, (last + _PAGE - 1) // _PAGE * _PAGE - first // _PAGE * _PAGE


def link_address(elf: Path) -> int:
    """The lowest address that the file is linked for: what a load address takes the place of."""
    return _shape(elf, _stamp(elf))[0]


def mapped_bytes(elf: Path) -> int:
    """How much of the address space the file takes when it is loaded; 0 if it is no ELF file."""
    return _shape(elf, _stamp(elf))[1]


def is_call(elf: Path, address: int) -> bool | None:
    """Whether an instruction of AArch64 code calls something; None if there is none."""
    word = _words(elf, _stamp(elf)).get(address)
    if word is None:
        return None
    # bl; blr, and blr with pointer authentication.
    return word >> 26 == 0b100101 or word & 0xFEFFF000 == 0xD63F0000


class _Text:
    """The code of an ELF file, by address."""

    def __init__(self, parts: list[tuple[int, bytes]]) -> None:
        self._parts = parts

    def get(self, address: int) -> int | None:
        for start, data in self._parts:
            if start <= address <= start + len(data) - 4 and address % 4 == 0:
                return int.from_bytes(data[address - start : address - start + 4], "little")
        return None


@functools.lru_cache(maxsize=8)
def _words(elf: Path, stamp: int) -> _Text:
    del stamp
    try:
        with elf.open("rb") as file:
            loads = [
                (s["p_vaddr"], s.data())
                for s in ELFFile(file).iter_segments()
                if s["p_type"] == "PT_LOAD" and s["p_flags"] & 1
            ]
    except (OSError, ELFError, ValueError, KeyError):
        return _Text([])
    return _Text(loads)


def _stamp(elf: Path) -> int:
    try:
        return elf.stat().st_mtime_ns
    except OSError:
        return 0
