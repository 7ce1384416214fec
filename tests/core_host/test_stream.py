# SPDX-License-Identifier: Apache-2.0
"""Sealed streams, against Tink and against the format written down by hand."""

import functools
import hashlib
import os
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.owner.sealed_file import seal_stream
from sandbox.tee_abi import Status

KEY = bytes(range(100, 132))
ASSOCIATED = bytes(range(48))
SEGMENT = 65536
HEADER = 40
TAG = 16
FIRST = SEGMENT - HEADER - TAG  # plaintext of the first segment
MORE = SEGMENT - TAG  # and of each further one
NEVER = -1

# What was collected can be shorter than one of these boundaries, or just longer.
LENGTHS = sorted(
    {1, 15, 16, 17, 1000}
    | {FIRST + n * MORE + d for n in range(4) for d in (-17, -16, -1, 0, 1, 16, 17)}
)


@functools.cache
def text(length: int, seed: int = 0) -> bytes:
    return random.Random(seed * 1_000_003 + length).randbytes(length)


def open_stream(
    native: Driver,
    sealed: bytes,
    plaintext_length: int,
    *,
    key: bytes = KEY,
    associated: bytes = ASSOCIATED,
    pieces: Sequence[int] = (),
    fail_allocation: int = NEVER,
    fail_crypto: int = NEVER,
    fail_sink: int = NEVER,
) -> tuple[Status, bytes, bytes]:
    """Status, plaintext that reached the sink, digest."""
    sizes = b"".join(struct.pack("<I", size) for size in pieces)
    request = (
        struct.pack("<qqq", fail_allocation, fail_crypto, fail_sink)
        + key
        + struct.pack("<Q", plaintext_length)
        + b"".join(struct.pack("<I", len(s)) + s for s in (associated, sizes))
        + sealed
    )
    status, reply = native.call("stream", request)
    (length,) = struct.unpack_from("<I", reply)
    assert len(reply) == 4 + length + 32
    return Status(status), reply[4 : 4 + length], reply[4 + length :]


@dataclass(frozen=True)
class Stream:
    """The format by hand, so that it can be bent: segments are sealed as they are told."""

    key: bytes = KEY
    associated: bytes = ASSOCIATED
    salt: bytes = bytes(range(32))
    prefix: bytes = bytes(range(200, 207))

    @property
    def header(self) -> bytes:
        return bytes([HEADER]) + self.salt + self.prefix

    def segment(self, number: int, plain: bytes, *, last: bool) -> bytes:
        segment_key = HKDF(
            algorithm=SHA256(), length=32, salt=self.salt, info=self.associated
        ).derive(self.key)
        nonce = self.prefix + struct.pack(">IB", number, last)
        return AESGCM(segment_key).encrypt(nonce, plain, None)

    def segments(self, plain: bytes) -> list[bytes]:
        ends = list(range(FIRST, len(plain), MORE)) + [len(plain)]
        begins = [0, *ends[:-1]]
        return [
            self.segment(i, plain[begin:end], last=end == len(plain))
            for i, (begin, end) in enumerate(zip(begins, ends, strict=True))
        ]

    def sealed(self, plain: bytes) -> bytes:
        return self.header + b"".join(self.segments(plain))


STREAM = Stream()
# Sizes that a stream comes in, in turn, again and again: small ones alone would take long.
PIECES = st.lists(
    st.one_of(st.integers(0, 50), st.integers(65000, 66000), st.integers(0, 200_000)),
    min_size=1,
    max_size=12,
).filter(lambda sizes: sum(sizes) > 500)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_tink_seals_opens(native: Driver, length: int) -> None:
    plain = text(length)
    sealed = seal_stream(KEY, ASSOCIATED, plain)
    assert open_stream(native, sealed, length) == (
        Status.OK,
        plain,
        hashlib.sha256(ASSOCIATED + sealed).digest(),
    )


@given(
    length=st.integers(1, FIRST + 3 * MORE),
    associated=st.binary(max_size=200),
    key=st.binary(min_size=32, max_size=32),
    pieces=PIECES,
)
@settings(max_examples=60, deadline=None)
def test_pieces_of_any_size(
    native: Driver, length: int, associated: bytes, key: bytes, pieces: list[int]
) -> None:
    plain = text(length)
    sealed = seal_stream(key, associated, plain)
    got = open_stream(native, sealed, length, key=key, associated=associated, pieces=pieces)
    assert got == (Status.OK, plain, hashlib.sha256(associated + sealed).digest())


def test_byte_by_byte(native: Driver) -> None:
    plain = text(FIRST + 100)
    assert open_stream(native, STREAM.sealed(plain), len(plain), pieces=[1])[:2] == (
        Status.OK,
        plain,
    )


@pytest.mark.parametrize("length", LENGTHS)
def test_stream_by_hand_is_what_tink_writes(native: Driver, length: int) -> None:
    """The hand-made streams below are good ones, bent in one place each."""
    plain = text(length)
    assert open_stream(native, STREAM.sealed(plain), length)[:2] == (Status.OK, plain)


@dataclass(frozen=True)
class Bad:
    """How a stream of 4 segments (0, 1, 2 full, 3 short) is bent, and what must be said."""

    status: Status
    bend: Callable[[list[bytes]], bytes]
    # Segments that were authentic and in place before the fault
    good: int
    why: str = ""


PLAIN = text(FIRST + 2 * MORE + 1000)
OTHER = Stream(salt=bytes(32))  # another stream of the same key and associated data


def joined(segments: Sequence[bytes]) -> bytes:
    return STREAM.header + b"".join(segments)


def flipped(segments: Sequence[bytes], number: int, position: int) -> bytes:
    bent = bytearray(segments[number])
    bent[position] ^= 0x80
    return joined([*segments[:number], bytes(bent), *segments[number + 1 :]])


BAD = {
    "nothing": Bad(Status.STREAM_TRUNCATED, lambda _: b"", 0),
    "header cut": Bad(Status.STREAM_TRUNCATED, lambda _: STREAM.header[:39], 0),
    "header only": Bad(Status.STREAM_TRUNCATED, lambda _: STREAM.header, 0),
    "header length 0": Bad(Status.STREAM_HEADER, lambda s: b"\0" + joined(s)[1:], 0),
    "header length 41": Bad(Status.STREAM_HEADER, lambda s: b"\x29" + joined(s)[1:], 0),
    "salt altered": Bad(Status.STREAM_CONTEXT, lambda s: b"\x28" + bytes(32) + joined(s)[33:], 0),
    "nonce prefix altered": Bad(
        Status.STREAM_CONTEXT, lambda s: joined(s)[:33] + bytes(7) + joined(s)[40:], 0
    ),
    "first segment altered at its first byte": Bad(
        Status.STREAM_CONTEXT, lambda s: flipped(s, 0, 0), 0
    ),
    "first segment altered in its tag": Bad(Status.STREAM_CONTEXT, lambda s: flipped(s, 0, -1), 0),
    "middle segment altered at its first byte": Bad(
        Status.STREAM_SPLICED, lambda s: flipped(s, 1, 0), 1
    ),
    "middle segment altered in its tag": Bad(Status.STREAM_SPLICED, lambda s: flipped(s, 2, -1), 2),
    "last segment altered at its first byte": Bad(
        Status.STREAM_SPLICED, lambda s: flipped(s, 3, 0), 3
    ),
    "last segment altered in its tag": Bad(Status.STREAM_SPLICED, lambda s: flipped(s, 3, -1), 3),
    "first segment cut": Bad(Status.STREAM_TRUNCATED, lambda s: joined(s)[:30000], 0),
    "first segment shorter than a tag": Bad(
        Status.STREAM_TRUNCATED, lambda s: joined(s)[: HEADER + 15], 0
    ),
    "ends after the first segment": Bad(Status.STREAM_TRUNCATED, lambda s: joined(s[:1]), 0),
    "ends after a middle segment": Bad(Status.STREAM_TRUNCATED, lambda s: joined(s[:3]), 2),
    "middle segment cut": Bad(Status.STREAM_TRUNCATED, lambda s: joined(s)[: SEGMENT + 7], 1),
    "last segment cut": Bad(Status.STREAM_TRUNCATED, lambda s: joined(s)[:-1], 3),
    "last segment cut to a tag": Bad(
        Status.STREAM_TRUNCATED, lambda s: joined([*s[:3], s[3][:16]]), 3
    ),
    "last segment shorter than a tag": Bad(
        Status.STREAM_TRUNCATED, lambda s: joined([*s[:3], s[3][:3]]), 3
    ),
    "a byte appended": Bad(Status.STREAM_EXTENDED, lambda s: joined(s) + b"\0", 3),
    "a segment's worth appended": Bad(
        Status.STREAM_EXTENDED, lambda s: joined(s) + bytes(2 * SEGMENT), 3
    ),
    "last segment repeated": Bad(Status.STREAM_EXTENDED, lambda s: joined([*s, s[3]]), 3),
    "stream repeated": Bad(Status.STREAM_EXTENDED, lambda s: joined(s) * 2, 3),
    "middle segments swapped": Bad(
        Status.STREAM_REORDERED, lambda s: joined([s[0], s[2], s[1], s[3]]), 1
    ),
    "middle segment repeated": Bad(
        Status.STREAM_REORDERED, lambda s: joined([s[0], s[1], s[1], s[3]]), 2
    ),
    "middle segment inserted again": Bad(
        Status.STREAM_REORDERED, lambda s: joined([s[0], s[1], s[1], s[2], s[3]]), 2
    ),
    "middle segment dropped": Bad(Status.STREAM_REORDERED, lambda s: joined([s[0], s[2], s[3]]), 1),
    "both middle segments dropped": Bad(Status.STREAM_REORDERED, lambda s: joined([s[0], s[3]]), 1),
    "last but one dropped": Bad(Status.STREAM_REORDERED, lambda s: joined([*s[:2], s[3]]), 2),
    "last segment moved to the middle": Bad(
        Status.STREAM_REORDERED, lambda s: joined([s[0], s[3], s[2], s[1]]), 1
    ),
    "first segment repeated": Bad(
        Status.STREAM_REORDERED, lambda s: joined([s[0], s[0], s[1], s[2], s[3]]), 1
    ),
    "first segment dropped": Bad(
        Status.STREAM_CONTEXT, lambda s: joined(s[1:]), 0, "nothing before it to compare with"
    ),
    "first segments swapped": Bad(
        Status.STREAM_CONTEXT, lambda s: joined([s[1], s[0], s[2], s[3]]), 0
    ),
    "middle segment of another stream": Bad(
        Status.STREAM_SPLICED,
        lambda s: joined([*s[:2], OTHER.segments(PLAIN)[2], s[3]]),
        2,
    ),
    "end of another stream": Bad(
        Status.STREAM_SPLICED, lambda s: joined([*s[:2], *OTHER.segments(PLAIN)[2:]]), 2
    ),
    "last segment of another stream": Bad(
        Status.STREAM_SPLICED, lambda s: joined([*s[:3], OTHER.segments(PLAIN)[3]]), 3
    ),
    "first segment of another stream": Bad(
        Status.STREAM_CONTEXT, lambda s: joined([OTHER.segments(PLAIN)[0], *s[1:]]), 0
    ),
    "middle segment sealed as the last": Bad(
        Status.STREAM_SPLICED,
        lambda s: joined([*s[:1], STREAM.segment(1, PLAIN[:MORE], last=True), *s[2:]]),
        1,
        "a full segment that says it is the last, where the header announces more",
    ),
    "sealed shorter than announced": Bad(
        Status.STREAM_LENGTH, lambda _: STREAM.sealed(PLAIN[:-1]), 3
    ),
    "sealed longer than announced": Bad(
        Status.STREAM_LENGTH, lambda _: STREAM.sealed(PLAIN + b"!"), 3
    ),
    "sealed a segment shorter than announced": Bad(
        Status.STREAM_LENGTH, lambda _: STREAM.sealed(PLAIN[:-1001]), 2
    ),
    "sealed a segment longer than announced": Bad(
        Status.STREAM_LENGTH, lambda _: STREAM.sealed(PLAIN + bytes(MORE)), 3
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("pieces", [(), (256 * 1024,), (4097, 65536, 1)])
def test_bad_stream_is_refused_by_name(native: Driver, name: str, pieces: Sequence[int]) -> None:
    bad = BAD[name]
    sealed = bad.bend(STREAM.segments(PLAIN))
    status, plain, digest = open_stream(native, sealed, len(PLAIN), pieces=pieces)
    assert status == bad.status
    assert plain == PLAIN[: max(0, bad.good * MORE - HEADER)]
    assert digest == bytes(32)


def test_wrong_key_wrong_associated_data(native: Driver) -> None:
    sealed = STREAM.sealed(PLAIN)
    for bent in ({"key": bytes(32)}, {"associated": ASSOCIATED[:-1] + b"!"}, {"associated": b""}):
        assert open_stream(native, sealed, len(PLAIN), **bent)[:2] == (Status.STREAM_CONTEXT, b"")


@pytest.mark.parametrize("length", [1, 100, FIRST])
def test_stream_of_one_segment(native: Driver, length: int) -> None:
    plain = text(length)
    good = STREAM.sealed(plain)
    wrong_flag = STREAM.header + STREAM.segment(0, plain, last=False)
    altered = good[:-1] + bytes([good[-1] ^ 1])
    for sealed, status in [
        (good + b"!", Status.STREAM_EXTENDED),
        (good + bytes(100_000), Status.STREAM_EXTENDED),
        (good[:-1], Status.STREAM_TRUNCATED),
        (altered, Status.STREAM_CONTEXT),
        # Not last, yet nothing follows and all is there: no sealer writes this.
        (wrong_flag, Status.STREAM_CONTEXT),
    ]:
        assert open_stream(native, sealed, length)[:2] == (status, b"")


def test_full_last_segment_followed_by_data(native: Driver) -> None:
    plain = text(FIRST + MORE)
    sealed = STREAM.sealed(plain)
    assert len(sealed) == 2 * SEGMENT
    assert open_stream(native, sealed, len(plain))[0] == Status.OK
    for extra in (b"!", bytes(SEGMENT), bytes(3 * SEGMENT)):
        got = open_stream(native, sealed + extra, len(plain))
        assert got[:2] == (Status.STREAM_EXTENDED, plain[:FIRST])


def test_empty_last_segment(native: Driver) -> None:
    """Tink writes none, yet its readers take one: so does this one."""
    plain = text(FIRST)
    sealed = (
        STREAM.header + STREAM.segment(0, plain, last=False) + STREAM.segment(1, b"", last=True)
    )
    assert open_stream(native, sealed, FIRST)[:2] == (Status.OK, plain)


def test_every_field_flipped(native: Driver) -> None:
    """One bit anywhere in a stream of two segments, at some hundred places."""
    plain = text(FIRST + 200)
    good = STREAM.sealed(plain)
    places = [*range(HEADER + 4), *range(SEGMENT - 20, SEGMENT + 4), *range(-20, 0)]
    for place in places:
        bent = bytearray(good)
        bent[place] ^= 0x04
        status, got, _ = open_stream(native, bytes(bent), len(plain))
        at = place % len(good)
        expected = Status.STREAM_SPLICED if at >= SEGMENT else Status.STREAM_CONTEXT
        assert (place, status) == (place, Status.STREAM_HEADER if at == 0 else expected)
        assert got == (plain[:FIRST] if at >= SEGMENT else b"")


def test_a_long_stream_is_diagnosed_in_bounded_time(native: Driver) -> None:
    """100 segments; the last two swapped ones are found among all."""
    plain = text(FIRST + 98 * MORE + 10)
    segments = STREAM.segments(plain)
    assert len(segments) == 100
    segments[50], segments[98] = segments[98], segments[50]
    status, got, _ = open_stream(native, joined(segments), len(plain))
    assert (status, len(got)) == (Status.STREAM_REORDERED, 50 * MORE - HEADER)


@given(data=st.binary(max_size=300), length=st.integers(1, (1 << 32) - 1))
@settings(max_examples=100, deadline=None)
def test_random_bytes_never_open(native: Driver, data: bytes, length: int) -> None:
    status, plain, _ = open_stream(native, b"\x28" + data, length)
    assert status != Status.OK
    assert plain == b""


@pytest.mark.parametrize("length", [0, 1 << 32])
def test_announced_length_out_of_contract(native: Driver, length: int) -> None:
    assert open_stream(native, STREAM.sealed(b"x"), length)[0] == Status.INTERNAL


def test_no_memory(native: Driver) -> None:
    got = open_stream(native, STREAM.sealed(PLAIN), len(PLAIN), fail_allocation=0)
    assert got[:2] == (Status.NO_MEMORY, b"")
    got = open_stream(native, STREAM.sealed(PLAIN), len(PLAIN), fail_allocation=1)
    assert got[0] == Status.OK


def test_every_failure_of_the_cryptography_ends_the_stream(native: Driver) -> None:
    sealed = STREAM.sealed(PLAIN)
    calls = 0
    while True:
        status, plain, _ = open_stream(native, sealed, len(PLAIN), fail_crypto=calls)
        if status == Status.OK:
            break
        assert PLAIN.startswith(plain)
        calls += 1
    # SHA-256 begin, associated data, header, 2 for the key, cipher, 2 a segment, digest
    assert calls == 1 + 1 + 1 + 2 + 1 + 2 * 4 + 1


def test_error_of_the_sink_ends_the_stream(native: Driver) -> None:
    for call in range(4):
        status, plain, _ = open_stream(native, STREAM.sealed(PLAIN), len(PLAIN), fail_sink=call)
        assert status == Status.JPEG_CORRUPT
        assert plain == PLAIN[: max(0, call * MORE - HEADER)]


def test_other_streams_of_the_same_key_open_too(native: Driver) -> None:
    for stream in (OTHER, replace(STREAM, prefix=os.urandom(7)), Stream(salt=os.urandom(32))):
        assert open_stream(native, stream.sealed(PLAIN), len(PLAIN))[:2] == (Status.OK, PLAIN)
