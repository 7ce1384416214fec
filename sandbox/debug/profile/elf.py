# SPDX-License-Identifier: Apache-2.0
"""Functions and machine code of one ELF file."""

import bisect
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PAGE = 4096
_EXECUTE = 1  # PF_X
_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym
_CODE_TYPES = (0, 2, 10)  # STT_NOTYPE, STT_FUNC, STT_GNU_IFUNC


@dataclass(frozen=True)
class Segment:
    """A stretch of an ELF file that is loaded and executed."""

    address: int
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)


class Elf:
    """An ELF file that may be hostile: what cannot be understood of it is left out."""

    def __init__(self, data: bytes) -> None:
        # Imported late: most commands can do without.
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection

        self.segments: tuple[Segment, ...] = ()
        functions: dict[int, tuple[int, str]] = {}
        try:
            file = ELFFile(io.BytesIO(data))
            self.segments = tuple(
                Segment(part["p_vaddr"], part["p_offset"], part.data())
                for part in file.iter_segments("PT_LOAD")
                if part["p_flags"] & _EXECUTE
            )
            for name in (".symtab", ".dynsym"):
                table = file.get_section_by_name(name)
                if isinstance(table, SymbolTableSection):
                    names = table.stringtable.data()
                    functions.update(self._functions_of(table.data(), names, functions))
        except (ELFError, ValueError, KeyError, TypeError, OverflowError, struct.error):
            pass
        self._starts = sorted(functions)
        self._functions = [functions[start] for start in self._starts]

    def _functions_of(
        self, table: bytes, names: bytes, known: Mapping[int, tuple[int, str]]
    ) -> Iterator[tuple[int, tuple[int, str]]]:
        """Those of a symbol table. Not by the library: it takes a second for ten thousand."""
        for name, info, _, section, address, size in _SYMBOL.iter_unpack(table):
            if info & 15 not in _CODE_TYPES or not section or not self._executed(address):
                continue
            text = names[name : names.find(b"\0", name)].decode(errors="replace")
            # $x and $d tell code from data; labels of assembler have no type.
            if text and not text.startswith(("$", ".L")):
                yield address, max(known.get(address, (0, "")), (size, text))

    def _executed(self, address: int) -> bool:
        return any(part.address <= address < part.end for part in self.segments)

    def function(self, address: int) -> str | None:
        """The function that an address of the file is in."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or not self._executed(address):
            return None
        size, name = self._functions[index]
        # Assembler's have no size: they go on to the next.
        return name if not size or address < self._starts[index] + size else None

    def start(self, name: str) -> int | None:
        for address, (_, other) in zip(self._starts, self._functions, strict=True):
            if other == name:
                return address
        return None

    def code(self, address: int, size: int) -> bytes:
        for part in self.segments:
            if part.address <= address < part.end:
                return part.data[address - part.address :][:size]
        return b""

    def at_offset(self, offset: int) -> int | None:
        """The address of a byte of the file."""
        for part in self.segments:
            if part.offset <= offset < part.offset + len(part.data):
                return part.address + offset - part.offset
        return None

    def bases(self, address: int, code: bytes) -> Iterator[int]:
        """How far from its own addresses this file may be loaded, if `code` is at `address`.

        Loaders move whole pages.
        """
        for part in self.segments:
            found = part.data.find(code)
            while found >= 0:
                base = address - (part.address + found)
                if base % _PAGE == 0:
                    yield base
                found = part.data.find(code, found + 1)
