# SPDX-License-Identifier: Apache-2.0
"""OP-TEE patches 0004, 0013 and 0014: what instances of one TA share, and that nobody else does."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from sandbox.machine.machine import Machine
from sandbox.tee import Session, TEEContext, TeeError, TeeResult, ValueIn, ValueOut
from sandbox.tee.stats import Pool, Stats

TA = UUID("4be0c9a1-27d5-4d3e-8f6c-90b1e2a7d354")
OTHER_TA = UUID("4be0c9a1-27d5-4d3e-8f6c-90b1e2a7d355")
CREATE, MAP, UNMAP, FILL, LOOK, CLOSE, PANIC, UNMAP_AT, NUMBER, COUNT = range(10)
MIB = 1 << 20
QUOTA = 11 * MIB
NAME = ValueIn(0x01234567, 0x89ABCDEF)
Open = Callable[[UUID], Session]


@pytest.fixture(scope="module")
def pushed(push_ta: Callable[[Path], object], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same TA twice, under two UUIDs."""
    folder = Path(__file__).with_name("memory_ta")
    push_ta(folder)
    other = tmp_path_factory.mktemp("other") / "memory_ta"
    shutil.copytree(folder, other)
    for path, was, becomes in (
        (other / "ta/Makefile", str(TA), str(OTHER_TA)),
        (other / "memory_ta.h", "0xd3, 0x54", "0xd3, 0x55"),
    ):
        text = path.read_text()
        assert was in text
        path.write_text(text.replace(was, becomes))
    push_ta(other)


@pytest.fixture
def context(machine: Machine) -> Iterator[TEEContext]:
    with TEEContext(machine) as made:
        yield made


@pytest.fixture
def instance(pushed: None, context: TEEContext) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:
        yield lambda uuid: stack.enter_context(context.open_session(uuid))


def used(context: TEEContext, pool: Pool = Pool.TA_RAM) -> int:
    with Stats(context) as stats:
        return stats.memory(pool).used


def create(session: Session, size: int, name: ValueIn = NAME) -> None:
    session.invoke(CREATE, (name, ValueIn(size)))


def map_block(session: Session, name: ValueIn = NAME) -> int:
    _, size = session.invoke(MAP, (name, ValueOut()))
    return size.a


def look(session: Session) -> tuple[int, int]:
    (out,) = session.invoke(LOOK, (ValueOut(),))
    return out.a, out.b


def refused(session: Session, command: int, *params: ValueIn | ValueOut) -> TeeResult:
    with pytest.raises(TeeError) as caught:
        session.invoke(command, params)
    return caught.value.result


def test_instances_see_the_same_bytes(instance: Open) -> None:
    one, two = instance(TA), instance(TA)
    create(one, MIB + 1)
    assert look(one) == (0, 0)
    assert map_block(two) == MIB + 4096
    two.invoke(FILL, (ValueIn(7),))
    assert look(one) == (7, 7)
    # It stays for as long as one has it.
    one.invoke(UNMAP)
    assert look(two) == (7, 7)
    assert map_block(one) == MIB + 4096
    assert look(one) == (7, 7)


def test_a_name_is_given_once(instance: Open) -> None:
    one, two = instance(TA), instance(TA)
    create(one, 4096)
    assert refused(two, CREATE, NAME, ValueIn(4096)) is TeeResult.ACCESS_CONFLICT
    one.invoke(UNMAP)
    create(two, 4096)


def test_another_ta_finds_nothing(instance: Open) -> None:
    one, other = instance(TA), instance(OTHER_TA)
    create(one, 4096)
    one.invoke(FILL, (ValueIn(0x5A),))
    assert refused(other, MAP, NAME, ValueOut()) is TeeResult.ITEM_NOT_FOUND
    # The name is its own, too: another block.
    create(other, 4096)
    assert look(other) == (0, 0)
    assert look(one) == (0x5A, 0x5A)


def test_other_code_of_the_same_uuid_finds_nothing(
    push_ta: Callable[[Path], object], instance: Open, tmp_path: Path
) -> None:
    """Whoever has the key that TAs are signed with can give his own code any UUID."""
    one = instance(TA)
    create(one, 4096)
    one.invoke(FILL, (ValueIn(0x5A),))
    other = tmp_path / "memory_ta"
    shutil.copytree(Path(__file__).with_name("memory_ta"), other)
    path = other / "ta/memory_ta.c"
    was, becomes = "TEE_ERROR_NOT_SUPPORTED", "TEE_ERROR_NOT_IMPLEMENTED"
    text = path.read_text()
    assert text.count(was) == 1
    path.write_text(text.replace(was, becomes))
    push_ta(other)
    try:
        evil = instance(TA)
        # It is the other code, and the first session goes on with its own.
        assert refused(evil, 99) is TeeResult.NOT_IMPLEMENTED
        assert refused(one, 99) is TeeResult.NOT_SUPPORTED
        assert refused(evil, MAP, NAME, ValueOut()) is TeeResult.ITEM_NOT_FOUND
        # Nor can it be there first, under a name that the TA will look for.
        create(evil, 4096)
        second = ValueIn(2, 2)
        create(instance(TA), 4096, second)
        assert refused(one, MAP, second, ValueOut()) is TeeResult.ITEM_NOT_FOUND
        assert look(evil) == (0, 0)
        assert look(one) == (0x5A, 0x5A)
    finally:
        push_ta(Path(__file__).with_name("memory_ta"))
    again = instance(TA)
    assert map_block(again) == 4096
    assert look(again) == (0x5A, 0x5A)


def test_the_quota_is_of_all_blocks_of_a_ta(instance: Open, context: TEEContext) -> None:
    one, two, other = instance(TA), instance(TA), instance(OTHER_TA)
    before = used(context)
    for size in (QUOTA + 1, 0xFFFFFFFF):
        assert refused(one, CREATE, NAME, ValueIn(size)) is TeeResult.OUT_OF_MEMORY
    assert refused(one, CREATE, NAME, ValueIn(0)) is TeeResult.BAD_PARAMETERS
    assert used(context) == before
    create(one, 6 * MIB)
    rest = ValueIn(0, 2)
    assert refused(two, CREATE, rest, ValueIn(5 * MIB + 1)) is TeeResult.OUT_OF_MEMORY
    assert used(context) == before + 6 * MIB
    # Another TA's is not touched by it.
    create(other, MIB)
    create(two, MIB, rest)


def test_nothing_is_left_when_the_last_one_goes(instance: Open, context: TEEContext) -> None:
    one, two = instance(TA), instance(TA)
    before, heap = used(context), used(context, Pool.CORE_HEAP)
    for _ in range(20):
        create(one, 2 * MIB)
        one.invoke(FILL, (ValueIn(0xA5),))
        assert map_block(two) == 2 * MIB
        assert used(context) == before + 2 * MIB
        one.invoke(UNMAP)
        two.invoke(UNMAP)
        assert used(context) == before
    assert used(context, Pool.CORE_HEAP) <= heap
    assert refused(one, MAP, NAME, ValueOut()) is TeeResult.ITEM_NOT_FOUND


def test_a_block_of_many_pieces(instance: Open, context: TEEContext) -> None:
    """Memory is free in many places, in none of them enough; as it is after TAs came and went."""
    before, heap = used(context), used(context, Pool.CORE_HEAP)
    keeps, goes = instance(TA), instance(TA)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(context.open_session(uuid))
            for _ in range(12)
            for uuid in (TA, OTHER_TA)
        ]
        pairs = list(zip(opened[::2], opened[1::2], strict=True))
        # Filled up by turns with what goes and what stays...
        with pytest.raises(TeeError) as caught:
            for number, (leaves, stays) in enumerate(pairs):
                create(leaves, MIB, ValueIn(1, number))
                create(stays, MIB // 4, ValueIn(1, number))
        assert caught.value.result is TeeResult.OUT_OF_MEMORY
        for leaves, _ in pairs[:number]:
            leaves.close()
        with Stats(context) as stats:
            free = stats.memory(Pool.TA_RAM)
        # ... no gap has more than a block of one and what its sessions took.
        assert number > 4
        size = number * MIB
        assert free.size - free.used > size > 3 * MIB
        create(keeps, size)
        assert look(keeps) == (0, 0)
        keeps.invoke(NUMBER)
        assert map_block(goes) == size
        (count,) = goes.invoke(COUNT, (ValueOut(),))
        assert count.a == size // 4096
        goes.invoke(FILL, (ValueIn(3),))
        assert look(keeps) == (3, 3)
        goes.invoke(UNMAP)
        keeps.invoke(UNMAP)
        create(keeps, size)
        assert look(keeps) == (0, 0)
    keeps.close()
    goes.close()
    assert used(context) == before
    assert used(context, Pool.CORE_HEAP) <= heap


def test_closing_an_instance_lets_go(pushed: None, context: TEEContext, instance: Open) -> None:
    two = instance(TA)
    before = used(context)
    with context.open_session(TA) as one:
        create(one, MIB)
        map_block(two)
    assert look(two) == (0, 0)
    two.invoke(UNMAP)
    assert used(context) == before


@pytest.mark.sandbox_expects("TA panic")
def test_an_instance_that_panics_leaves_nothing(context: TEEContext, instance: Open) -> None:
    two = instance(TA)
    before = used(context)
    one = context.open_session(TA)
    create(one, 3 * MIB)
    one.invoke(FILL, (ValueIn(1),))
    assert refused(one, PANIC) is TeeResult.TARGET_DEAD
    with contextlib.suppress(TeeError):
        one.close()
    assert refused(two, MAP, NAME, ValueOut()) is TeeResult.ITEM_NOT_FOUND
    assert used(context) == before
    create(two, MIB)
    assert look(two) == (0, 0)


def test_who_closes_the_session_loses_the_block(instance: Open, context: TEEContext) -> None:
    """Its pages stay mapped, wiped, and are nobody else's until it ends."""
    before = used(context)
    one, two = instance(TA), instance(TA)
    base = used(context)
    create(one, MIB)
    one.invoke(FILL, (ValueIn(9),))
    one.invoke(CLOSE)
    assert look(one) == (0, 0)
    assert refused(two, MAP, NAME, ValueOut()) is TeeResult.ITEM_NOT_FOUND
    assert used(context) == base + MIB
    create(two, MIB)
    two.invoke(FILL, (ValueIn(4),))
    assert look(one) == (0, 0)
    one.close()
    two.close()
    assert used(context) == before


def test_what_was_not_mapped_is_not_unmapped(instance: Open) -> None:
    one = instance(TA)
    create(one, 4096)
    for address in (ValueIn(0, 0), ValueIn(0, 0x1000), ValueIn(0xFFFFFFFF, 0xFFFFF000)):
        assert refused(one, UNMAP_AT, address) is TeeResult.ITEM_NOT_FOUND
    one.invoke(UNMAP)
    assert refused(one, UNMAP) is TeeResult.ITEM_NOT_FOUND


def test_the_normal_world_cannot_call_it(context: TEEContext) -> None:
    with pytest.raises(TeeError) as caught:
        context.open_session(UUID("6e6f1a34-90c5-4b0a-8f21-5d6b0c9e47d3"))
    assert caught.value.result is TeeResult.ACCESS_DENIED
