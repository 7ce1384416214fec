# SPDX-License-Identifier: Apache-2.0
"""The driver's media commands (cmd_media.c has their payloads), in NumPy's terms."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from driver import Driver
from numpy.typing import NDArray

from sandbox.tee_abi import Status

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
PHOTOS = FIXTURES / "photos"

NO_FAILURE = -1
AMPLE_BYTES = 64 << 20


@dataclass(frozen=True)
class Decoded:
    pixels: NDArray[np.uint8]
    """(height, width, 3), as stored."""
    orientation: int
    peak_bytes: int


def decode(
    driver: Driver,
    file: bytes,
    *,
    pieces: Sequence[int] = (),
    limit_bytes: int = AMPLE_BYTES,
    fail_allocation: int = NO_FAILURE,
) -> Decoded | Status:
    """`pieces`: how many bytes are pushed at a time; the last repeats."""
    head = struct.pack("<QqI", limit_bytes, fail_allocation, len(pieces))
    head += struct.pack(f"<{len(pieces)}I", *pieces)
    status, reply = driver.call("jpeg", head + file)
    if status:
        return Status(status)
    width, height, orientation, peak = struct.unpack_from("<IIIQ", reply)
    pixels = np.frombuffer(reply, np.uint8, offset=20).reshape(height, width, 3)
    return Decoded(pixels, orientation, peak)


def resize(
    driver: Driver,
    pixels: NDArray[np.uint8],
    orientation: int,
    size: int,
    *,
    fail_allocation: int = NO_FAILURE,
) -> NDArray[np.int8] | Status:
    height, width, _ = pixels.shape
    head = struct.pack("<IIIIq", width, height, orientation, size, fail_allocation)
    status, reply = driver.call("resize", head + pixels.tobytes())
    if status:
        return Status(status)
    return np.frombuffer(reply, np.int8).reshape(size, size, 3)


def network_input(
    driver: Driver, file: bytes, *, size: int = 204, piece: int = 65496
) -> NDArray[np.int8] | Status:
    """Decoded, turned and resized in one go: rows that the resize skips are not made."""
    status, reply = driver.call("input", struct.pack("<II", size, piece) + file)
    if status:
        return Status(status)
    return np.frombuffer(reply, np.int8).reshape(size, size, 3)


@dataclass(frozen=True)
class Tensor:
    data: NDArray[np.int8]
    scale: float
    zero_point: int

    def packed(self) -> bytes:
        return (
            struct.pack("<fi4I", self.scale, self.zero_point, *self.data.shape)
            + self.data.tobytes()
        )


@dataclass(frozen=True)
class Box:
    class_id: int
    score: float
    box: tuple[float, float, float, float]


DETECTION = struct.Struct("<If4f")


def detect(
    driver: Driver,
    tensors: Sequence[Tensor],
    width: int,
    height: int,
    *,
    threshold_permille: int = 500,
    fail_allocation: int = NO_FAILURE,
) -> list[Box] | Status:
    """`tensors`: input, then outputs."""
    head = struct.pack("<qIII", fail_allocation, threshold_permille, width, height)
    status, reply = driver.call("ssd", head + b"".join(t.packed() for t in tensors))
    if status:
        return Status(status)
    return [Box(c, score, tuple(box)) for c, score, *box in DETECTION.iter_unpack(reply)]


def infer(
    driver: Driver,
    model: bytes,
    file: bytes,
    *,
    cpu: int = 0,
    threshold_permille: int = 500,
    piece: int = 65536,
    fail_allocation: int = NO_FAILURE,
) -> bytes | Status:
    """The CBOR of the result."""
    head = struct.pack("<qIIII", fail_allocation, cpu, threshold_permille, piece, len(model))
    status, reply = driver.call("infer", head + model + file)
    return Status(status) if status else reply


def until_it_works(bound: int = 10_000) -> Iterator[int]:
    """Allocations to fail, one after another; the caller leaves when none was reached."""
    yield from range(bound)
    raise AssertionError(f"still failing after {bound} allocations")
