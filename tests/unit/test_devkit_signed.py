# SPDX-License-Identifier: Apache-2.0
"""Headers of .ta files, good ones and hostile ones, made here from the format's text."""

import hashlib
import struct
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.devkit import signed
from sandbox.devkit.signed import SignedTa, TaFileError

NAME = UUID("8aaaf200-2450-11e4-abe2-0002a5d5c51b")
IMAGE = b"\x7fELF and so on"
SIGNATURE = bytes(256)


def shdr(kind: int, image_size: int, magic: int = 0x4F545348) -> bytes:
    return struct.pack("<IIIIHH", magic, kind, image_size, 0x70414930, 32, len(SIGNATURE))


def ta(image: bytes = IMAGE, *, kind: int = 1, version: int = 3, extra: bytes = b"") -> bytes:
    """`extra` comes between the name and the image, as what encryption adds."""
    header = shdr(kind, len(image))
    named = NAME.bytes + struct.pack("<I", version) + extra
    digest = hashlib.sha256(header + named + image).digest()
    return header + digest + SIGNATURE + named + image


def subkey(name: bytes = b"", key: bytes = b"key") -> bytes:
    body = bytes(16) + struct.pack("<IIIII", len(name), 0, 0, 0, 0) + key
    return shdr(3, len(body)) + bytes(32) + SIGNATURE + body + name


def digest_of(signed_by_no_subkey: bytes) -> bytes:
    """Where struct shdr says it is."""
    return signed_by_no_subkey[20:52]


EMPTY = ta(b"", version=0xFFFFFFFF)
ENCRYPTED = ta(kind=2, extra=struct.pack("<IIHH", 0x40000810, 0, 12, 16) + bytes(28))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ta(), SignedTa(NAME, 3, False, len(IMAGE), digest_of(ta()))),
        (EMPTY, SignedTa(NAME, 0xFFFFFFFF, False, 0, digest_of(EMPTY))),
        (ENCRYPTED, SignedTa(NAME, 3, True, len(IMAGE), digest_of(ENCRYPTED))),
        (subkey() + ta(), SignedTa(NAME, 3, False, len(IMAGE), digest_of(ta()))),
        (
            subkey(b"one") + subkey(b"two") + ENCRYPTED,
            SignedTa(NAME, 3, True, len(IMAGE), digest_of(ENCRYPTED)),
        ),
    ],
    ids=["plain", "empty", "encrypted", "subkey", "subkeys"],
)
def test_good(data: bytes, found: SignedTa) -> None:
    assert signed.parse(data) == found


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends within"),
        (b"\x7fELF" + bytes(300), "magic number is 0x464c457f"),
        (ta(kind=0), "image type is 0"),
        (ta(kind=9), "image type is 9"),
        (ta() + b"x", "image has 15 bytes, the header says 14"),
        (ta().replace(b"and", b"AND"), "SHA-256"),
        (ta().replace(NAME.bytes, bytes(16)), "SHA-256"),
        (subkey() * 17 + ta(), "more than 16 subkeys"),
        (shdr(3, 35) + bytes(32) + SIGNATURE + bytes(100), "a subkey of 35 bytes"),
        (shdr(3, 0xFFFFFFFF) + bytes(32) + SIGNATURE + bytes(100), "ends within"),
        (shdr(1, 0xFFFFFFFF) + bytes(32) + SIGNATURE + bytes(100), "the header says 4294967295"),
        (subkey(b"name")[:-1], "ends within"),
    ],
)
def test_bad(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        signed.parse(data)
    path = tmp_path / f"{NAME}.ta"
    path.write_bytes(data)
    with pytest.raises(TaFileError, match=reason):
        signed.read(path)


@pytest.mark.parametrize("data", [ta(), ENCRYPTED, subkey(b"name") + ta()])
def test_cut_anywhere(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(ValueError):
            signed.parse(data[:length])


def test_each_altered_byte_is_noticed_but_in_the_signature() -> None:
    """Which OP-TEE verifies: it has the key."""
    data = ta()
    free = range(20 + 32, 20 + 32 + len(SIGNATURE))
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 0x10
        if place in free:
            assert signed.parse(bytes(altered)).uuid == NAME
        else:
            with pytest.raises(ValueError):
                signed.parse(bytes(altered))


@given(st.binary(max_size=400), st.sampled_from([b"", shdr(1, 40), shdr(2, 40), shdr(3, 40)]))
def test_anything_else_is_refused(data: bytes, start: bytes) -> None:
    with pytest.raises(ValueError):
        signed.parse(start + data)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.ta"
    with path.open("wb") as file:
        file.truncate(signed.SIZE_LIMIT + 2)
    with pytest.raises(TaFileError, match="larger than 64 MiB"):
        signed.read(path)
    with pytest.raises(TaFileError, match="No such file"):
        signed.read(tmp_path / "none.ta")
