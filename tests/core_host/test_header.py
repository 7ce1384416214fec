# SPDX-License-Identifier: Apache-2.0
"""Headers of sealed files, HKDF and key ids."""

import os
import struct
from dataclasses import astuple, dataclass, replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.tee_abi import (
    HEADER_BYTES,
    HEADER_FORMAT,
    MODEL_MAX_BYTES,
    PHOTO_MAX_BYTES,
    TENSORS_MAX_BYTES,
    Kind,
    Status,
)


@dataclass(frozen=True)
class Fields:
    magic: bytes = b"CML2"
    kind: int = Kind.PHOTO
    flags: int = 0
    threshold: int = 500
    key_id: bytes = bytes(range(16))
    number: int = 7
    length: int = 1000
    subject: bytes = bytes(range(16, 48))

    def pack(self) -> bytes:
        return struct.pack(HEADER_FORMAT, *astuple(self))


PHOTO = Fields()
MODEL = Fields(kind=Kind.MODEL, threshold=0, subject=b"a-Model_1.0".ljust(32, b"\0"))
TENSORS = Fields(kind=Kind.TENSORS, threshold=0)


def parse(native: Driver, data: bytes, kind: Kind) -> tuple[int, bytes]:
    return native.call("header", struct.pack("<I", kind) + data)


@pytest.mark.parametrize(
    "fields",
    [
        PHOTO,
        MODEL,
        replace(PHOTO, threshold=1),
        replace(PHOTO, threshold=1000),
        replace(PHOTO, length=1),
        replace(PHOTO, length=PHOTO_MAX_BYTES),
        replace(MODEL, length=MODEL_MAX_BYTES),
        replace(PHOTO, flags=1),
        replace(TENSORS, flags=3),
        replace(PHOTO, number=1),
        replace(PHOTO, number=(1 << 64) - 1),
        replace(PHOTO, subject=bytes(32)),
        replace(MODEL, number=(1 << 64) - 1),
        replace(MODEL, subject=b"m" + bytes(31)),
        replace(MODEL, subject=b"0123456789abcdefghijklmnopqrsTUV"),
        TENSORS,
        replace(TENSORS, length=TENSORS_MAX_BYTES),
    ],
)
def test_good_header_is_read_field_by_field(native: Driver, fields: Fields) -> None:
    status, reply = parse(native, fields.pack(), Kind(fields.kind))
    assert status == Status.OK
    is_model = fields.kind == Kind.MODEL
    assert reply == (
        struct.pack("<IQ", fields.threshold, fields.length)
        + struct.pack("<QQ", *((fields.number, 0) if is_model else (0, fields.number)))
        + fields.key_id
        + (bytes(32) if is_model else fields.subject)
        + (fields.subject if is_model else bytes(32))
        + b"\0"
        + fields.pack()
    )


@pytest.mark.parametrize(
    ("fields", "expected", "status"),
    [
        (replace(PHOTO, magic=b"CML1"), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, magic=b"\0ML1"), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, kind=0), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, kind=4), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, kind=255), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, flags=2), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, flags=4), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(TENSORS, flags=0x81), Kind.TENSORS, Status.HEADER_MALFORMED),
        (replace(MODEL, flags=1), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(PHOTO, threshold=0), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, threshold=1001), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(PHOTO, length=0), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(MODEL, threshold=1), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(PHOTO, number=0), Kind.PHOTO, Status.HEADER_MALFORMED),
        (replace(TENSORS, number=0), Kind.TENSORS, Status.HEADER_MALFORMED),
        (replace(MODEL, number=0), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, subject=bytes(32)), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, subject=b"a" + bytes(30) + b"b"), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, subject=b"a b" + bytes(29)), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, subject=b"../x" + bytes(28)), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, subject=b"\xc3\xa4" + bytes(30)), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(MODEL, length=0), Kind.MODEL, Status.HEADER_MALFORMED),
        (replace(TENSORS, threshold=1), Kind.TENSORS, Status.HEADER_MALFORMED),
        (replace(TENSORS, length=0), Kind.TENSORS, Status.HEADER_MALFORMED),
        (replace(TENSORS, length=TENSORS_MAX_BYTES + 1), Kind.TENSORS, Status.HEADER_LIMIT),
        (TENSORS, Kind.PHOTO, Status.HEADER_KIND),
        (PHOTO, Kind.TENSORS, Status.HEADER_KIND),
        (PHOTO, Kind.MODEL, Status.HEADER_KIND),
        (MODEL, Kind.PHOTO, Status.HEADER_KIND),
        (replace(PHOTO, length=PHOTO_MAX_BYTES + 1), Kind.PHOTO, Status.HEADER_LIMIT),
        (replace(MODEL, length=MODEL_MAX_BYTES + 1), Kind.MODEL, Status.HEADER_LIMIT),
        (replace(PHOTO, length=1 << 32), Kind.PHOTO, Status.HEADER_LIMIT),
        (replace(PHOTO, length=(1 << 64) - 1), Kind.PHOTO, Status.HEADER_LIMIT),
    ],
)
def test_bad_header_is_refused_by_name(
    native: Driver, fields: Fields, expected: Kind, status: Status
) -> None:
    assert parse(native, fields.pack(), expected) == (status, b"")


@pytest.mark.parametrize("length", [0, 1, 4, HEADER_BYTES - 1, HEADER_BYTES + 1, 1000])
def test_header_of_another_length_is_malformed(native: Driver, length: int) -> None:
    data = (PHOTO.pack() * 21)[:length]
    assert parse(native, data, Kind.PHOTO) == (Status.HEADER_MALFORMED, b"")


@given(data=st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
@settings(max_examples=200, deadline=None)
def test_random_headers_are_refused_or_whole(native: Driver, data: bytes) -> None:
    status, reply = parse(native, b"CML2\x01\0" + data[6:], Kind.PHOTO)
    assert status in (Status.OK, Status.HEADER_MALFORMED, Status.HEADER_LIMIT)
    assert len(reply) == (0 if status else 28 + 16 + 32 + 33 + HEADER_BYTES)


def hkdf(native: Driver, ikm: bytes, salt: bytes, info: bytes, length: int) -> tuple[int, bytes]:
    def string(data: bytes) -> bytes:
        return struct.pack("<I", len(data)) + data

    return native.call("hkdf", string(salt) + string(info) + struct.pack("<I", length) + ikm)


# RFC 5869, A.1 to A.3
@pytest.mark.parametrize(
    ("ikm", "salt", "info", "okm"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x00, 0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_vectors_of_rfc_5869(native: Driver, ikm: str, salt: str, info: str, okm: str) -> None:
    expected = bytes.fromhex(okm)
    got = hkdf(native, bytes.fromhex(ikm), bytes.fromhex(salt), bytes.fromhex(info), len(expected))
    assert got == (Status.OK, expected)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 65, 255 * 32])
def test_hkdf_of_every_length(native: Driver, length: int) -> None:
    ikm, salt, info = os.urandom(32), os.urandom(32), os.urandom(48)
    expected = b""
    if length:
        expected = HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)
    assert hkdf(native, ikm, salt, info, length) == (Status.OK, expected)


def test_hkdf_over_its_limit_is_refused(native: Driver) -> None:
    assert hkdf(native, b"k" * 32, b"", b"", 255 * 32 + 1) == (Status.INTERNAL, b"")


def test_key_id(native: Driver) -> None:
    key = os.urandom(32)
    expected = HKDF(algorithm=SHA256(), length=16, salt=None, info=b"cml-key-id-v1").derive(key)
    assert native.call("key_id", key) == (Status.OK, expected)
