# SPDX-License-Identifier: Apache-2.0
"""What can be debugged: a TA, OP-TEE's core, Linux; and where its symbols come from."""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path, PurePosixPath
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from sandbox.debug.gdb import kernel
from sandbox.errors import UserError
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_ENTRY = "TA_InvokeCommandEntryPoint"
# Folders that are in the path of every TA's sources, and name none.
_NAMELESS = {"ta", "src", "."}


class Kind(StrEnum):
    TA = auto()
    CORE = auto()
    KERNEL = auto()


@dataclass(frozen=True)
class Target:
    kind: Kind
    elf: Path
    name: str  # of a TA its UUID
    offset: int = 0  # of the kernel: from where it was linked

    def __str__(self) -> str:
        return f"ta {self.name}" if self.kind is Kind.TA else str(self.kind)


class NoSymbols(UserError):
    """There is no ELF file with the symbols of what was asked for."""


def find(machine: Machine, kind: Kind, name: str = "", symbols: Path | None = None) -> Target:
    """The target, ready to be debugged: for the kernel, the guest is asked where it lies."""
    if kind is Kind.KERNEL:
        image = kernel.prepare(machine, symbols)
        return Target(kind, image.elf, "kernel", image.offset)
    if symbols is not None and not symbols.is_file():
        raise NoSymbols(f"no file {symbols}")
    kept = Symbols(machine.folder.symbols)
    name = "core" if kind is Kind.CORE else _uuid(kept, name)
    elf = symbols or kept.path(name)
    if elf is None:
        raise NoSymbols(
            f"no symbols of {name}",
            (
                f"Known are: {', '.join(_known(kept)) or 'none'}.",
                "`sandbox ta push` keeps those of a TA; or name its unstripped ELF with --symbols.",
            ),
        )
    return Target(kind, elf.resolve(), name)


def layout(elf: Path) -> dict[str, Any]:
    """What inside.py has to know of an ELF file."""
    try:
        with elf.open("rb") as file:
            image = ELFFile(file)
            loads = [s for s in image.iter_segments() if s["p_type"] == "PT_LOAD"]
            text = image.get_section_by_name(".text")
            if text is None or not loads:
                raise NoSymbols(f"{elf} has no code")
            if not image.has_dwarf_info():
                raise NoSymbols(
                    f"{elf} was stripped", "Name the unstripped file: the build leaves both."
                )
            return {
                "path": str(elf),
                "text": text["sh_addr"],
                "size": max(s["p_vaddr"] + s["p_memsz"] for s in loads),
                "segments": [(s["p_vaddr"], s["p_offset"], s["p_filesz"]) for s in loads],
            }
    except ELFError as error:
        raise NoSymbols(f"{elf} is no ELF file: {error}") from error


def _uuid(kept: Symbols, name: str) -> str:
    """The TA that a person means by a UUID, the beginning of one, or the name of its folder."""
    wanted = name.lower()
    if _UUID.fullmatch(wanted):
        return wanted
    tas = [each for each in kept.names() if _UUID.fullmatch(each)]
    found = [each for each in tas if len(wanted) >= 4 and each.startswith(wanted)]
    found = found or [each for each in tas if _folder_of(kept.path(each)) == wanted]
    if len(found) == 1:
        return found[0]
    raise NoSymbols(
        f"{'several TAs are' if found else 'no TA is'} called {name!r}",
        f"Known are: {', '.join(_known(kept)) or 'none'}.",
    )


def _known(kept: Symbols) -> list[str]:
    known = []
    for name in kept.names():
        if _UUID.fullmatch(name):
            folder = _folder_of(kept.path(name))
            known.append(f"{folder} ({name})" if folder else name)
    return known


def _folder_of(elf: Path | None) -> str:
    """The folder of the source file that has the TA's entry point: what people call the TA."""
    if elf is None:
        return ""
    try:
        with elf.open("rb") as file:
            image = ELFFile(file)
            table: Any = image.get_section_by_name(".symtab")
            entries = table.get_symbol_by_name(_ENTRY) if table is not None else None
            if not entries or not image.has_dwarf_info():
                return ""
            dwarf = image.get_dwarf_info()
            ranges = dwarf.get_aranges()
            offset = ranges.cu_offset_at_addr(entries[0]["st_value"]) if ranges else None
            if offset is None:
                return ""
            top = dwarf.get_CU_at(offset).get_top_DIE()
            words = [
                top.attributes[key].value.decode(errors="replace")
                for key in ("DW_AT_comp_dir", "DW_AT_name")
                if key in top.attributes
            ]
    except (ELFError, OSError):
        return ""
    folders = [part for part in PurePosixPath(*words).parent.parts if part not in _NAMELESS]
    return folders[-1] if folders else ""


def uuid_bytes(name: str) -> bytes:
    """A UUID as a TEE_UUID lies in the memory of a little-endian machine."""
    return uuid.UUID(name).bytes_le
