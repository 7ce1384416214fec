# SPDX-License-Identifier: 0BSD
"""Calls the TA @name@ as a client would. Its fixtures are those of the sandbox's pytest plugin."""

import hashlib
from pathlib import Path

import pytest

from sandbox.tee import MemrefIn, MemrefOut, TeeError, TeeOrigin, TeeResult, ValueIn, ValueOut

PROJECT = Path(__file__).parents[1]
# As in ta/include/@name@_ta.h.
CMD_ADD = 0
CMD_DIGEST = 1


@pytest.fixture
def open_session(push_ta, tee_session):
    """Opens sessions with the TA as it is in this folder."""
    (ta,) = push_ta(PROJECT).tas
    return lambda: tee_session(ta.uuid)


@pytest.fixture
def session(open_session):
    return open_session()


def add(session, number):
    _, total = session.invoke(CMD_ADD, (ValueIn(number), ValueOut()))
    return total.a


def test_numbers_add_up(session):
    assert [add(session, number) for number in (1, 2, 39)] == [1, 3, 42]


def test_each_session_has_its_own_total(session, open_session):
    add(session, 5)
    assert add(open_session(), 1) == 1
    assert add(session, 0) == 5


def test_an_overflow_changes_nothing(session):
    add(session, 0xFFFFFFFF)
    with pytest.raises(TeeError) as refused:
        add(session, 1)
    assert refused.value.result is TeeResult.OVERFLOW
    assert refused.value.origin is TeeOrigin.TRUSTED_APP
    assert add(session, 0) == 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"hello", bytes(100_000)], ids=["none", "few", "many"])
def test_digest(session, data):
    _, digest = session.invoke(CMD_DIGEST, (MemrefIn(data), MemrefOut(32)))
    assert digest.data == hashlib.sha256(data).digest()


@pytest.mark.parametrize("size", [31, None], ids=["short", "null"])
def test_too_little_room_is_told_what_is_needed(session, size):
    with pytest.raises(TeeError) as refused:
        session.invoke(CMD_DIGEST, (MemrefIn(b"hello"), MemrefOut(size)))
    assert refused.value.result is TeeResult.SHORT_BUFFER
    assert refused.value.needed_bytes == 32


@pytest.mark.parametrize("command", [CMD_ADD, CMD_DIGEST])
def test_other_parameters_are_refused(session, command):
    with pytest.raises(TeeError) as refused:
        session.invoke(command, (ValueOut(), MemrefIn(b"hello")))
    assert refused.value.result is TeeResult.BAD_PARAMETERS


def test_a_command_that_does_not_exist(session):
    with pytest.raises(TeeError) as refused:
        session.invoke(99)
    assert refused.value.result is TeeResult.NOT_SUPPORTED
