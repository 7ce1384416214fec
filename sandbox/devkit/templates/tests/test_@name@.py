# SPDX-License-Identifier: 0BSD
"""Calls the TA @name@ as a client would. `machine` is a fixture of the sandbox's pytest plugin."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.devkit.build import build
from sandbox.devkit.push import push
from sandbox.log import SilentProgress
from sandbox.machine.machine import Machine
from sandbox.tee import (
    MemrefIn,
    MemrefOut,
    Session,
    TEEContext,
    TeeError,
    TeeOrigin,
    TeeResult,
    ValueIn,
    ValueOut,
)

PROJECT = Path(__file__).parents[1]
# As in ta/include/@name@_ta.h.
UUID = "@uuid@"
CMD_ADD = 0
CMD_DIGEST = 1


@pytest.fixture(scope="module")
def context(machine: Machine) -> Iterator[TEEContext]:
    """The TEE of a machine that has the TA as it is in this folder."""
    push(machine, build(PROJECT, SilentProgress()))
    with TEEContext(machine) as context:
        yield context


@pytest.fixture
def session(context: TEEContext) -> Iterator[Session]:
    with context.open_session(UUID) as session:
        yield session


def add(session: Session, number: int) -> int:
    _, total = session.invoke(CMD_ADD, (ValueIn(number), ValueOut()))
    return total.a


def test_numbers_add_up(session: Session) -> None:
    assert [add(session, number) for number in (1, 2, 39)] == [1, 3, 42]


def test_each_session_has_its_own_total(context: TEEContext, session: Session) -> None:
    add(session, 5)
    with context.open_session(UUID) as other:
        assert add(other, 1) == 1
    assert add(session, 0) == 5


def test_an_overflow_changes_nothing(session: Session) -> None:
    add(session, 0xFFFFFFFF)
    with pytest.raises(TeeError) as refused:
        add(session, 1)
    assert (refused.value.result, refused.value.origin) == (
        TeeResult.OVERFLOW,
        TeeOrigin.TRUSTED_APP,
    )
    assert add(session, 0) == 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"hello", bytes(100_000)], ids=["none", "few", "many"])
def test_digest(session: Session, data: bytes) -> None:
    _, digest = session.invoke(CMD_DIGEST, (MemrefIn(data), MemrefOut(32)))
    assert digest.data == hashlib.sha256(data).digest()


def test_a_short_buffer_is_told_what_is_needed(session: Session) -> None:
    with pytest.raises(TeeError) as refused:
        session.invoke(CMD_DIGEST, (MemrefIn(b"hello"), MemrefOut(31)))
    assert refused.value.result is TeeResult.SHORT_BUFFER
    assert refused.value.needed_bytes == 32


@pytest.mark.parametrize("command", [CMD_ADD, CMD_DIGEST])
def test_other_parameters_are_refused(session: Session, command: int) -> None:
    with pytest.raises(TeeError) as refused:
        session.invoke(command, (ValueOut(), MemrefIn(b"hello")))
    assert refused.value.result is TeeResult.BAD_PARAMETERS


def test_a_command_that_does_not_exist(session: Session) -> None:
    with pytest.raises(TeeError) as refused:
        session.invoke(99)
    assert refused.value.result is TeeResult.NOT_SUPPORTED
