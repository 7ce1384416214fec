# SPDX-License-Identifier: Apache-2.0
"""An ELF file with code and symbols, and nothing else."""

import struct
from collections.abc import Mapping


def make(code: bytes, functions: Mapping[str, tuple[int, int]], address: int = 0) -> bytes:
    """`functions`: start and size of each, from the begin of the code."""
    names = b"\0"
    symbols = bytes(24)
    for name, (start, size) in functions.items():
        # STT_FUNC if it has a size, else a label; global; in section 1.
        info = 0x12 if size else 0x10
        symbols += struct.pack("<IBBHQQ", len(names), info, 0, 1, address + start, size)
        names += name.encode() + b"\0"
    sections = b"\0.text\0.symtab\0.strtab\0"
    at = 0x1000
    parts = (code, symbols, names, sections)
    starts = [at + sum(len(p) for p in parts[:n]) for n in range(len(parts))]
    table = bytes(64)
    table += _section(1, 1, starts[0], len(code), address, flags=6)
    table += _section(7, 2, starts[1], len(symbols), link=3, entry=24, info=1)
    table += _section(15, 3, starts[2], len(names))
    table += _section(15, 3, starts[3], len(sections))
    end = starts[3] + len(sections)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(3, 183, 1, address, 64, end, 0, 64, 56, 1, 64, 5, 4),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, at, address, address, len(code), len(code), 0x1000)
    return (header + segment).ljust(at, b"\0") + b"".join(parts) + table


def _section(
    name: int,
    kind: int,
    offset: int,
    size: int,
    address: int = 0,
    *,
    flags: int = 0,
    link: int = 0,
    info: int = 0,
    entry: int = 0,
) -> bytes:
    return struct.pack(
        "<IIQQQQIIQQ", name, kind, flags, address, offset, size, link, info, 8, entry
    )
