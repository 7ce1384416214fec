# SPDX-License-Identifier: Apache-2.0
"""Streams that the TA seals: opened by Tink, by the TA's own reader, and written down by hand."""

import functools
import struct
from collections.abc import Sequence

import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stream import (
    ASSOCIATED,
    FIRST,
    HEADER,
    KEY,
    LENGTHS,
    MORE,
    PIECES,
    Stream,
    open_stream,
    text,
)

from sandbox.owner import sealed_file
from sandbox.owner.sealed_file import Header
from sandbox.owner.sealed_file import open_stream as tink_opens
from sandbox.tee_abi import Kind, Status

NEVER = -1


def seal(
    native: Driver,
    plain: bytes,
    *,
    announced: int | None = None,
    associated: bytes = ASSOCIATED,
    key: bytes = KEY,
    pieces: Sequence[int] = (),
    fail_allocation: int = NEVER,
    fail_crypto: int = NEVER,
    fail_sink: int = NEVER,
) -> tuple[Status, bytes]:
    sizes = b"".join(struct.pack("<I", size) for size in pieces)
    request = (
        struct.pack("<qqq", fail_allocation, fail_crypto, fail_sink)
        + key
        + struct.pack("<Q", len(plain) if announced is None else announced)
        + b"".join(struct.pack("<I", len(s)) + s for s in (associated, sizes))
        + plain
    )
    status, reply = native.call("seal_stream", request)
    return Status(status), reply


@pytest.mark.parametrize("length", LENGTHS)
def test_tink_and_the_reader_open_it(native: Driver, length: int) -> None:
    plain = text(length)
    status, sealed = seal(native, plain)
    assert status == Status.OK
    assert tink_opens(KEY, ASSOCIATED, sealed) == plain
    assert open_stream(native, sealed, length)[:2] == (Status.OK, plain)
    # Byte for byte what the format says, for this salt and this prefix.
    by_hand = Stream(salt=sealed[1:33], prefix=sealed[33:HEADER])
    assert sealed == by_hand.sealed(plain)
    assert len(sealed) == len(sealed_file.seal_stream(KEY, ASSOCIATED, plain))


@given(
    length=st.integers(1, FIRST + 3 * MORE),
    key=st.binary(min_size=32, max_size=32),
    pieces=PIECES,
)
@settings(max_examples=60, deadline=None)
def test_pieces_of_any_size(native: Driver, length: int, key: bytes, pieces: list[int]) -> None:
    plain = text(length)
    status, sealed = seal(native, plain, key=key, pieces=pieces)
    assert status == Status.OK
    assert tink_opens(key, ASSOCIATED, sealed) == plain


def test_a_sealed_model_is_one_of_its_owners(native: Driver) -> None:
    plain = text(FIRST + MORE + 5)
    subject = b"digits".ljust(32, b"\0")
    header = Header(Kind.MODEL, sealed_file.key_id(KEY), 7, len(plain), subject).pack()
    status, stream = seal(native, plain, associated=header)
    assert status == Status.OK
    assert sealed_file.open_model(KEY, header + stream) == plain


def test_each_stream_has_a_salt_of_its_own(native: Driver) -> None:
    salts = {seal(native, b"plain")[1][:HEADER] for _ in range(20)}
    assert len(salts) == 20


@pytest.mark.parametrize("length", [1, FIRST, FIRST + 1, FIRST + MORE])
def test_what_is_pushed_is_what_was_announced(native: Driver, length: int) -> None:
    plain = text(length)
    for wrong in (1, MORE):
        assert seal(native, plain, announced=length + wrong)[0] == Status.STREAM_LENGTH
    if length > 1:
        status, given = seal(native, plain, announced=length - 1)
        assert status == Status.STREAM_LENGTH
        assert len(given) == HEADER
        # In pieces: what came before is out, and the stream is over.
        assert seal(native, plain, announced=length - 1, pieces=[1000])[0] == Status.STREAM_LENGTH


def test_failures_leave_nothing(native: Driver) -> None:
    plain = text(FIRST + MORE + 1)
    assert seal(native, plain, fail_allocation=0)[0] == Status.NO_MEMORY
    for call in range(3):
        assert seal(native, plain, fail_sink=call)[0] == Status.STORAGE
    assert seal(native, plain, fail_sink=3)[0] == Status.OK
    failed = functools.partial(seal, native, plain)
    statuses = [failed(fail_crypto=call)[0] for call in range(40)]
    assert statuses[0] == Status.CRYPTO
    first_good = statuses.index(Status.OK)
    assert set(statuses[:first_good]) == {Status.CRYPTO}
    assert set(statuses[first_good:]) == {Status.OK}
