# SPDX-License-Identifier: Apache-2.0
"""Measurements from files made here from the formats' texts; tests/e2e/test_evidence.py compares
them with what a machine says of itself."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import tiny_elf
from hypothesis import given
from hypothesis import strategies as st

from sandbox.commands import reference_values
from sandbox.devkit import signed
from sandbox.log import SilentProgress
from sandbox.reference import core, ta
from sandbox.reference.core import CoreValue, MeasurementError
from sandbox.reference.values import ReferenceValues, TaValue

NAME = UUID("8aaaf200-2450-11e4-abe2-0002a5d5c51b")
PAGE = 4096
READ, WRITE, EXECUTE = 4, 2, 1
NO_ENTRY = 0xFFFF_FFFF_FFFF_FFFF
CODE = b"\x11" * 5000
DATA = b"\x22" * 300


@dataclass(frozen=True)
class Segment:
    offset: int
    address: int
    data: bytes
    flags: int
    beyond: int = 0  # of memory that the file has nothing for
    kind: int = 1


def head(entry: int = NO_ENTRY) -> bytes:
    return struct.pack("<16sIIQ", NAME.bytes_le, 2048, 0, entry)


def elf(*segments: Segment, ta_head: bytes | None = head()) -> bytes:
    """Program headers, what they name, and a section .ta_head."""
    names = b"\0.ta_head\0.shstrtab\0"
    table = b"".join(
        struct.pack(
            "<IIQQQQQQ",
            *(s.kind, s.flags, s.offset, s.address, s.address),
            *(len(s.data), len(s.data) + s.beyond, PAGE),
        )
        for s in segments
    )
    end = max([s.offset + len(s.data) for s in segments] or [PAGE])
    head_bytes = ta_head or b""
    sections = bytes(64)
    sections += _section(1 if ta_head is not None else 0, 1, end, len(head_bytes))
    sections += _section(10, 3, end + len(head_bytes), len(names))
    at = end + len(head_bytes) + len(names)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(3, 183, 1, 0, 64, at, 0, 64, 56, len(segments), 64, 3, 2),
    )
    image = bytearray(end)
    image[: len(header + table)] = header + table
    for s in segments:
        image[s.offset : s.offset + len(s.data)] = s.data
    return bytes(image) + head_bytes + names + sections


def _section(name: int, kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, kind, 2, 0, offset, size, 0, 0, 8, 0)


def sign(image: bytes, *, kind: int = 1, version: int = 0) -> bytes:
    """As sign_encrypt.py does; nobody here looks at the signature."""
    header = struct.pack("<IIIIHH", 0x4F545348, kind, len(image), 0x70414930, 32, 256)
    named = NAME.bytes + struct.pack("<I", version)
    if kind == 2:
        named += struct.pack("<IIHH", 0x40000810, 0, 12, 16) + bytes(28)
    digest = hashlib.sha256(header + named + image).digest()
    return header + digest + bytes(256) + named + image


def expected(file: bytes, *regions: bytes) -> bytes:
    """`regions` in the order in which they are hashed, without what fills their pages."""
    binaries = hashlib.sha256(bytes(32) + file[20:52]).digest()
    padded = b"".join(region + bytes(-len(region) % PAGE) for region in regions)
    return hashlib.sha256(binaries + padded).digest()


TEXT = Segment(PAGE, 0, CODE, READ | EXECUTE)
RW = Segment(3 * PAGE, 2 * PAGE, DATA, READ | WRITE, beyond=10000)


def test_the_first_page_and_what_nobody_writes() -> None:
    image = elf(TEXT, RW)
    assert ta.parse(sign(image)) == ta.TaMeasurement(
        NAME, expected(sign(image), image[:PAGE], CODE)
    )


def test_smaller_regions_come_first_then_those_with_the_smaller_bytes() -> None:
    low, high, small = b"\x01" * 9000, b"\x7f" * 9000, b"\xff" * 20
    image = elf(
        Segment(PAGE, 0, high, READ | EXECUTE),
        Segment(4 * PAGE, 3 * PAGE, low, READ),
        Segment(7 * PAGE, 6 * PAGE, small, READ),
    )
    assert ta.parse(sign(image)).sha256 == expected(sign(image), image[:PAGE], small, low, high)


def test_segments_in_one_page_become_one_region() -> None:
    """With the rights of both: what can be written is not of the pages that are hashed."""
    constants = Segment(PAGE + 5000 + 8, 5000 + 8, b"\x33" * 100, READ)
    image = elf(TEXT, constants, RW)
    together = image[PAGE : PAGE + 5000 + 8 + 100]
    assert ta.parse(sign(image)).sha256 == expected(sign(image), image[:PAGE], together)
    image = elf(TEXT, Segment(PAGE + 5008, 5008, b"\x33" * 100, READ | WRITE))
    assert ta.parse(sign(image)).sha256 == expected(sign(image), image[:PAGE])


def test_a_segment_within_a_page_of_its_own_begins_with_the_page() -> None:
    image = elf(TEXT, Segment(3 * PAGE + 16, 2 * PAGE + 16, b"\x44" * 10, READ))
    whole = image[3 * PAGE : 3 * PAGE + 26]
    # Its zeros come before the "\x7fELF" of the other page.
    assert ta.parse(sign(image)).sha256 == expected(sign(image), whole, image[:PAGE], CODE)


def test_a_version_is_measured() -> None:
    image = elf(TEXT, RW)
    assert ta.parse(sign(image)) != ta.parse(sign(image, version=1))


@given(st.data())
def test_no_byte_of_an_image_changes_unnoticed(data: st.DataObject) -> None:
    image = bytearray(elf(TEXT, RW))
    at = data.draw(st.integers(0, len(image) - 1))
    image[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = ta.parse(sign(bytes(image)))
    except ValueError:
        return
    assert changed.sha256 != ta.parse(sign(elf(TEXT, RW))).sha256


@given(st.binary(max_size=600), st.integers(0, 64 + 56 * 2))
def test_hostile_headers_end_in_one_error(noise: bytes, at: int) -> None:
    image = bytearray(elf(TEXT, RW))
    image[at : at + len(noise)] = noise
    try:
        ta.parse(sign(bytes(image)))
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "ends within"),
        (sign(b""), "no sound ELF file"),
        (sign(b"\x7fELF"), "no sound ELF file"),
        (sign(elf(TEXT, RW), kind=2), "encrypted"),
        (sign(elf(TEXT, RW))[:-1], "bytes, the header says"),
        (sign(elf(TEXT, RW, ta_head=None)), "no .ta_head"),
        (sign(elf(TEXT, RW, ta_head=head()[:-1])), "no .ta_head"),
        (sign(elf(TEXT, RW, ta_head=head(0x1000))), "before 2018"),
        (sign(elf(Segment(512, 512, b"x", READ))), "a library"),
        (sign(elf(Segment(PAGE, 1, CODE, READ))), "not as OP-TEE loads it"),
        (sign(elf(Segment(PAGE, 1 << 40, CODE, READ))), "out of bounds"),
        (sign(elf(Segment(PAGE, 0, CODE, READ, beyond=1 << 40))), "out of bounds"),
        (sign(elf(*[TEXT] * 65)), "65 segments"),
    ],
)
def test_what_cannot_be_measured_says_why(tmp_path: Path, file: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ta.parse(file)
    path = tmp_path / "some.ta"
    path.write_bytes(file)
    with pytest.raises(MeasurementError, match=says):
        ta.measure(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="No such file"):
        ta.measure(tmp_path / "no.ta")
    with pytest.raises(MeasurementError, match="No such file"):
        core.measure(tmp_path / "no.bin", tmp_path / "no.elf")


# The core --------------------------------------------------------------------------------------

BASE = 0xE100000
SYMBOLS = {
    "__text_start": BASE,
    "__text_data_start": BASE + 0x20,
    "__text_data_end": BASE + 0x30,
    "trustedos_impl_version": BASE + 0x40,
    "__vcore_unpg_rx_end": BASE + 0x80,
    "__vcore_unpg_ro_start": BASE + 0x80,
    "__vcore_unpg_ro_end": BASE + 0xC0,
}
IMAGE = bytes(range(0x40)) + b"4.10\0" + bytes(range(0xBB)) * 2


def test_the_core_without_the_words_that_change() -> None:
    measured = core.parse(IMAGE, SYMBOLS)
    digest = hashlib.sha256(IMAGE[:0x20] + IMAGE[0x30:0xC0]).digest()
    assert measured == CoreValue("4.10", digest)
    for at in range(0x100):
        changed = bytearray(IMAGE)
        changed[at] ^= 1
        same = core.parse(bytes(changed), SYMBOLS).sha256 == digest
        assert same == (at in range(0x20, 0x30) or at >= 0xC0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"__text_data_end": None}, "no symbol __text_data_end"),
        ({"trustedos_impl_version": None}, "no symbol trustedos_impl_version"),
        ({"__vcore_unpg_ro_end": BASE + 0x10000}, "not within"),
        ({"__text_data_start": BASE - 1}, "not within"),
        ({"trustedos_impl_version": BASE - 1}, "no text"),
        ({"trustedos_impl_version": BASE + 0x44}, "no text"),
        ({"trustedos_impl_version": BASE + 0x10000}, "no text"),
    ],
)
def test_symbols_of_another_core(change: Mapping[str, int | None], says: str) -> None:
    symbols = {n: a for n, a in {**SYMBOLS, **change}.items() if a is not None}
    with pytest.raises(ValueError, match=says):
        core.parse(IMAGE, symbols)


def test_the_core_from_files(tmp_path: Path) -> None:
    image, linked = tmp_path / "tee-pager_v2.bin", tmp_path / "core.elf"
    image.write_bytes(IMAGE)
    linked.write_bytes(tiny_elf.make(IMAGE, {n: (a - BASE, 0) for n, a in SYMBOLS.items()}, BASE))
    assert core.measure(image, linked) == core.parse(IMAGE, SYMBOLS)
    linked.write_bytes(linked.read_bytes()[:200])
    with pytest.raises(MeasurementError, match="core.elf"):
        core.measure(image, linked)
    linked.write_bytes(b"text")
    with pytest.raises(MeasurementError, match="no sound ELF file"):
        core.measure(image, linked)


# The values ------------------------------------------------------------------------------------


def test_their_json() -> None:
    values = ReferenceValues(
        CoreValue("4.10", b"\x01" * 32), (TaValue(NAME, "hello", "1.0", b"\x02" * 32),)
    )
    assert values.as_json() == {
        "version": 1,
        "optee_core": {"version": "4.10", "sha256": "01" * 32},
        "tas": [{"uuid": str(NAME), "name": "hello", "version": "1.0", "sha256": "02" * 32}],
    }
    assert json.loads(json.dumps(values.as_json())) == values.as_json()


def test_a_ta_file_by_itself(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.ta"
    path.write_bytes(sign(elf(TEXT, RW)))
    (value,) = reference_values.others([path], SilentProgress())
    assert value == TaValue(NAME, str(NAME), "", ta.measure(path).sha256)
    assert signed.read(path).uuid == NAME
    path.with_suffix(".elf").write_bytes(elf(TEXT, RW))
    (beside,) = reference_values.others([path.with_suffix(".elf")], SilentProgress())
    assert beside == value


def test_an_elf_file_alone(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.elf"
    path.write_bytes(elf(TEXT, RW))
    with pytest.raises(MeasurementError, match="beside it"):
        list(reference_values.others([path], SilentProgress()))
