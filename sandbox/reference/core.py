# SPDX-License-Identifier: Apache-2.0
"""The measurement of OP-TEE's core: its code and constants, as they were linked.

At boot OP-TEE hashes its read-only memory and takes back what the relocation to a random address
has changed in it: what is left are the bytes of tee-pager_v2.bin. The linker's symbols say which.
Patch 0006's core/pta/evidence/measure.c is the other side of this file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from sandbox.devkit.elf import DAMAGED
from sandbox.errors import UserError

_START = "__text_start"
# Hashed one after the other; between the first two are words that the boot code writes.
_PARTS = (
    (_START, "__text_data_start"),
    ("__text_data_end", "__vcore_unpg_rx_end"),
    ("__vcore_unpg_ro_start", "__vcore_unpg_ro_end"),
)
_VERSION = "trustedos_impl_version"
_VERSION_LIMIT = 128


class MeasurementError(UserError):
    """A file from which no measurement can be made."""


@dataclass(frozen=True)
class CoreValue:
    version: str
    sha256: bytes


def measure(image: Path, elf: Path) -> CoreValue:
    """`image` is tee-pager_v2.bin, `elf` the core that it was made from, with its symbols."""
    try:
        data = image.read_bytes()
        symbols = _symbols(elf)
    except OSError as error:
        raise MeasurementError(f"cannot read {error.filename}: {error.strerror}") from error
    try:
        return parse(data, symbols)
    except ValueError as error:
        raise MeasurementError(f"{elf} is not the core in {image}: {error}") from None


def parse(image: bytes, symbols: Mapping[str, int]) -> CoreValue:
    """The same for bytes, and addresses by name; raises ValueError."""
    wanted = {_VERSION, *(name for part in _PARTS for name in part)}
    if missing := sorted(wanted - symbols.keys()):
        raise ValueError(f"no symbol {missing[0]}")
    base = symbols[_START]
    digest = hashlib.sha256()
    for first, last in _PARTS:
        start, end = symbols[first] - base, symbols[last] - base
        if not 0 <= start <= end <= len(image):
            raise ValueError(f"{first} to {last} is not within its {len(image)} bytes")
        digest.update(image[start:end])
    at = symbols[_VERSION] - base
    version, end_of_text, _ = image[max(at, 0) : at + _VERSION_LIMIT].partition(b"\0")
    if at < 0 or not version or not end_of_text:
        raise ValueError(f"no text at {_VERSION}")
    return CoreValue(version.decode(errors="replace"), digest.digest())


def _symbols(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        try:
            table = ELFFile(file).get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise MeasurementError(f"{path} has no symbols")
            return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
        except DAMAGED as error:
            raise MeasurementError(f"{path} is no sound ELF file: {error}") from error
