# SPDX-License-Identifier: Apache-2.0
"""The CBOR of a result, against cbor2 and the owner's reader."""

import os
import struct
from uuid import UUID

import cbor2
import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from media_calls import DETECTION, FIXTURES

from sandbox.owner.results import Origin, Result
from sandbox.tee_abi import RESULT_MAX_BYTES, Status

LABELS = (FIXTURES / "models" / "coco80.labels.txt").read_text().splitlines()
SEAL_BYTES = 192  # CML_RESULT_SEAL_SIZE

REQUEST, MODEL, OUTPUT = os.urandom(32), os.urandom(32), os.urandom(32)
DEVICE = os.urandom(16)
# The longest that there can be
SEQUENCE, COUNTER, VERSION = (1 << 64) - 1, (1 << 64) - 2, (1 << 64) - 3
NAME = "a-name.of_32_characters-at-most."

FLOATS = st.floats(0, 1e6, width=32)
DETECTIONS = st.lists(
    st.tuples(st.integers(0, 79), FLOATS, FLOATS, FLOATS, FLOATS, FLOATS), max_size=100
)
UINTS = st.integers(0, 2**32 - 1)


def encode(
    driver: Driver,
    numbers: tuple[int, int, int, int, int],
    detections: list[tuple[int, float, float, float, float, float]],
    room: int = RESULT_MAX_BYTES,
) -> bytes | Status:
    payload = struct.pack("<I", room) + struct.pack("<QQQ", SEQUENCE, COUNTER, VERSION)
    payload += REQUEST + MODEL + OUTPUT + DEVICE
    payload += struct.pack("<5I", *numbers)
    payload += b"".join(DETECTION.pack(*detection) for detection in detections)
    status, reply = driver.call("result", payload)
    return Status(status) if status else reply


@settings(max_examples=100, deadline=None)
@given(numbers=st.tuples(UINTS, UINTS, UINTS, UINTS, UINTS), detections=DETECTIONS)
def test_encodes_what_the_document_says(
    native: Driver,
    numbers: tuple[int, int, int, int, int],
    detections: list[tuple[int, float, float, float, float, float]],
) -> None:
    encoded = encode(native, numbers, detections)
    assert isinstance(encoded, bytes), encoded
    width, height, jpeg_us, network_us, boxes_us = numbers
    assert cbor2.loads(encoded) == {
        "v": 2,
        "request": REQUEST,
        "sequence": SEQUENCE,
        "model": {"name": NAME, "version": VERSION, "digest": MODEL},
        "device": DEVICE,
        "ta": "1.2.3",
        "counter": COUNTER,
        "output": OUTPUT,
        "width": width,
        "height": height,
        "timings": {"jpeg_us": jpeg_us, "network_us": network_us, "boxes_us": boxes_us},
        "detections": [
            [LABELS[class_id], class_id, score, list(box)] for class_id, score, *box in detections
        ],
    }


def test_owner_reads_it(native: Driver) -> None:
    encoded = encode(native, (640, 480, 1, 2, 3), [(1, 0.5, 1.0, 2.0, 3.0, 4.0)])
    assert isinstance(encoded, bytes)
    result = Result.from_cbor(encoded)
    assert (result.width, result.height) == (640, 480)
    assert result.origin == Origin(
        REQUEST, SEQUENCE, NAME, VERSION, MODEL, OUTPUT, UUID(bytes=DEVICE), "1.2.3", COUNTER
    )
    (found,) = result.detections
    assert (found.label, found.score) == ("bicycle", 0.5)
    assert tuple(found.box) == (1.0, 2.0, 3.0, 4.0)


def test_floats_are_single_precision(native: Driver) -> None:
    encoded = encode(native, (1, 1, 0, 0, 0), [(0, 0.5, 1.0, 2.0, 3.0, 4.0)])
    assert isinstance(encoded, bytes)
    assert encoded.endswith(
        bytes.fromhex("8466706572736f6e00fa3f00000084fa3f800000fa40000000fa40400000fa40800000")
    )


def longest() -> list[tuple[int, float, float, float, float, float]]:
    label = max(range(80), key=lambda c: (len(LABELS[c]), c))
    return [(label, 0.1, 0.1, 0.1, 0.1, 0.1)] * 100


def test_the_longest_fits_sealed(native: Driver) -> None:
    encoded = encode(native, (2**32 - 1,) * 5, longest())
    assert isinstance(encoded, bytes)
    assert len(encoded) + SEAL_BYTES <= RESULT_MAX_BYTES


@pytest.mark.parametrize("count", [0, 1, 23, 24, 100])
def test_too_little_room(native: Driver, count: int) -> None:
    numbers = (640, 480, 1, 2, 3)
    whole = encode(native, numbers, longest()[:count])
    assert isinstance(whole, bytes)
    assert encode(native, numbers, longest()[:count], room=len(whole)) == whole
    for room in {0, 1, 17, len(whole) // 2, len(whole) - 1}:
        assert encode(native, numbers, longest()[:count], room=room) == Status.INTERNAL


def test_no_such_label(native: Driver) -> None:
    assert encode(native, (1, 1, 0, 0, 0), [(80, 0.5, 0, 0, 1, 1)]) == Status.INTERNAL
