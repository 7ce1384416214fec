# SPDX-License-Identifier: Apache-2.0
"""The measurement of a TA: its signed file, and the read-only pages that OP-TEE maps of it.

    SHA-256( digest of the binaries | read-only regions, by size, then by their bytes )
    digest of the binaries = SHA-256( 32 zeros | the digest in the header of the .ta file )

The regions are those of OP-TEE's loader, ldelf (ldelf/ta_elf.c): the first page of the file, and
each segment that nobody may write, filled up with zeros to whole pages. Patch 0006's
core/pta/evidence/measure.c is the other side of this file.
"""

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from elftools.elf.constants import P_FLAGS
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from sandbox.devkit import signed
from sandbox.devkit.elf import DAMAGED
from sandbox.reference.core import MeasurementError

PAGE = 4096
# The secure memory of the machine has a quarter of it: no segment is larger.
_SEGMENT_LIMIT = 64 << 20
_SEGMENTS_LIMIT = 64
# struct ta_head: UUID, stack size, flags, and the entry of TAs from before 2018.
_HEAD = struct.Struct("<16sIIQ")
_NO_ENTRY = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class TaMeasurement:
    uuid: UUID
    sha256: bytes


@dataclass(frozen=True)
class _Segment:
    offset: int
    address: int
    file_size: int
    memory_size: int
    flags: int

    @property
    def end(self) -> int:
        return self.address + self.memory_size


def measure(path: Path) -> TaMeasurement:
    """Of a .ta file, as the machine would load it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MeasurementError(f"cannot read {path}: {error.strerror}") from error
    try:
        return parse(data)
    except ValueError as error:
        raise MeasurementError(f"{path} cannot be measured: {error}") from None


def parse(data: bytes) -> TaMeasurement:
    """The same for bytes; raises ValueError."""
    header = signed.parse(data)
    if header.encrypted:
        raise ValueError("it is encrypted, and its pages are not known without the key")
    binaries = hashlib.sha256(bytes(hashlib.sha256().digest_size) + header.digest).digest()
    image = data[len(data) - header.image_size :]
    try:
        found = sorted(_regions(image), key=lambda region: (len(region), region))
    except ValueError:
        raise
    except DAMAGED as error:
        raise ValueError(f"no sound ELF file: {error}") from None
    return TaMeasurement(header.uuid, hashlib.sha256(binaries + b"".join(found)).digest())


def _regions(image: bytes) -> Iterator[bytes]:
    elf = ELFFile(io.BytesIO(image))
    if elf.num_segments() > _SEGMENTS_LIMIT:
        raise ValueError(f"it has {elf.num_segments()} segments")
    needed = [
        vars(tag)["needed"]
        for segment in elf.iter_segments()
        if isinstance(segment, DynamicSegment)
        for tag in segment.iter_tags("DT_NEEDED")
    ]
    if needed:
        raise ValueError(f"it needs the library {needed[0]}: only TAs without can be measured")
    _check_head(elf)
    yield _padded(image[:PAGE])
    for segment in _mapped(elf):
        if not segment.flags & P_FLAGS.PF_W:
            if segment.offset + segment.file_size > len(image):
                raise ValueError("a segment ends beyond the file")
            yield _padded(image[segment.offset : segment.offset + segment.file_size])


def _check_head(elf: ELFFile) -> None:
    section = elf.get_section_by_name(".ta_head")
    head = section.data() if section is not None else b""
    if len(head) < _HEAD.size:
        raise ValueError("it has no .ta_head: a library?")
    if _HEAD.unpack_from(head)[3] != _NO_ENTRY:
        raise ValueError("it is of a form that OP-TEE maps in another way, from before 2018")


def _mapped(elf: ELFFile) -> list[_Segment]:
    """What ldelf makes of the segments (adjust_segments())."""
    made: list[_Segment] = []
    for found in elf.iter_segments("PT_LOAD"):
        segment = _Segment(
            found["p_offset"],
            found["p_vaddr"],
            found["p_filesz"],
            found["p_memsz"],
            found["p_flags"],
        )
        if max(segment.offset, segment.address, segment.memory_size) > _SEGMENT_LIMIT:
            raise ValueError("a segment is out of bounds")
        if (
            segment.file_size > segment.memory_size
            or segment.offset % PAGE != segment.address % PAGE
        ):
            raise ValueError("a segment is not as OP-TEE loads it")
        if not made:
            if segment.offset < PAGE:
                raise ValueError("a library, not a TA")
            made.append(segment)
            continue
        before = made[-1]
        into_page = segment.address % PAGE
        if segment.address - into_page < before.end:
            # In the last page of the one before: one region with the rights of both.
            made[-1] = replace(
                before,
                file_size=segment.address + segment.file_size - before.address,
                memory_size=segment.end - before.address,
                flags=before.flags | segment.flags,
            )
            continue
        made.append(
            replace(
                segment,
                offset=segment.offset - into_page,
                address=segment.address - into_page,
                file_size=segment.file_size + into_page,
                memory_size=segment.memory_size + into_page,
            )
        )
    return made


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % PAGE)
