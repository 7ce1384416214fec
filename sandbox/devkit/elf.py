# SPDX-License-Identifier: Apache-2.0
"""What the ELF files of a TA and of a client application say about themselves."""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from uuid import UUID

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from sandbox.errors import UserError

# struct ta_head in user_ta_header.h: a TEE_UUID (three little-endian numbers and eight bytes),
# stack_size, flags.
_HEAD = struct.Struct("<16sII")
# struct user_ta_property: name, type, value; name and value are pointers.
_PROPERTY_SIZE = 24
_DESCRIPTION = b"gpd.ta.description"
_VERSION = b"gpd.ta.version"
_TEXT_LIMIT = 256
_DF_1_PIE = 0x08000000
# What the library raises on a damaged file, depending on where it stumbles.
DAMAGED = (
    *(ELFError, ConstructError, OSError, ValueError, LookupError, AttributeError, TypeError),
    *(ArithmeticError, MemoryError, RecursionError),
)


class ElfError(UserError):
    """An ELF file that was built is not for the guest, or damaged."""


class TaFlag(IntFlag):
    """Of TA_FLAGS, those that decide which instance serves a new session."""

    SINGLE_INSTANCE = 1 << 2
    MULTI_SESSION = 1 << 3
    KEEP_ALIVE = 1 << 4


@dataclass(frozen=True)
class TaHead:
    uuid: UUID
    flags: TaFlag


@dataclass(frozen=True)
class Program:
    """What can be executed, or loaded by a program, in the guest."""

    machine: str  # such as "AArch64"
    library: bool
    soname: str | None
    needed: tuple[str, ...]


def ta_head(path: Path) -> TaHead | None:
    """What the TA was compiled with; None if the file is a library for TAs."""
    with _opened(path) as elf:
        section = elf.get_section_by_name(".ta_head")
        if section is None:
            return None
        data: bytes = section.data()
    if len(data) < _HEAD.size:
        raise ElfError(f"{path}: its .ta_head has {len(data)} bytes")
    uuid, _, flags = _HEAD.unpack_from(data)
    return TaHead(UUID(bytes_le=uuid), TaFlag(flags & sum(TaFlag)))


def ta_description(path: Path) -> str | None:
    """TA_DESCRIPTION of user_ta_header_defines.h, found as the TA itself would find it."""
    return _ta_property(path, _DESCRIPTION)


def ta_version(path: Path) -> str | None:
    """The same for TA_VERSION."""
    return _ta_property(path, _VERSION)


def _ta_property(path: Path, name: bytes) -> str | None:
    try:
        with _opened(path) as elf:
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return None
            symbols = table.get_symbol_by_name("ta_props")
            if not symbols:
                return None
            start, size = symbols[0]["st_value"], symbols[0]["st_size"]
            pointers = dict(_relative(elf))
            for entry in range(start, start + min(size, 1 << 16), _PROPERTY_SIZE):
                if _text(elf, pointers.get(entry)) == name:
                    found = _text(elf, pointers.get(entry + 16))
                    return found.decode(errors="replace") if found else None
    except (OSError, UserError):
        pass
    return None


def program(path: Path) -> Program | None:
    """What a program or shared library is; None if the file is neither."""
    if not _is_elf(path):
        return None
    with _opened(path) as elf:
        kind = elf.header.e_type
        if kind not in ("ET_EXEC", "ET_DYN"):
            return None
        dynamic = elf.get_section_by_name(".dynamic")
        tags = list(dynamic.iter_tags()) if isinstance(dynamic, DynamicSection) else []
        flags = next((tag.entry.d_val for tag in tags if tag.entry.d_tag == "DT_FLAGS_1"), 0)
        starts = any(segment["p_type"] == "PT_INTERP" for segment in elf.iter_segments())
        soname = next((vars(tag)["soname"] for tag in tags if tag.entry.d_tag == "DT_SONAME"), None)
        return Program(
            elf.get_machine_arch(),
            library=kind == "ET_DYN" and not starts and not flags & _DF_1_PIE,
            soname=soname,
            needed=tuple(vars(tag)["needed"] for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        )


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ELFFile]:
    with path.open("rb") as file:
        try:
            yield ELFFile(file)
        except DAMAGED as error:
            raise ElfError(f"{path} is no sound ELF file: {error}") from error


def _relative(elf: ELFFile) -> Iterator[tuple[int, int]]:
    """Where a pointer is, and what it points at: a TA is linked to run at any address."""
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection) and section.is_RELA():
            for entry in section.iter_relocations():
                yield entry["r_offset"], entry["r_addend"]


def _text(elf: ELFFile, address: int | None) -> bytes | None:
    if address is None:
        return None
    for offset in elf.address_offsets(address, 1):
        elf.stream.seek(offset)
        return bytes(elf.stream.read(_TEXT_LIMIT)).split(b"\0")[0]
    return None
