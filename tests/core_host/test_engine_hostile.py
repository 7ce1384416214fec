# SPDX-License-Identifier: Apache-2.0
"""Models that lie: each is refused by name, and none does harm.

The driver runs under ASan and UBSan, the model ends at an inaccessible page, and a refused model
that leaves memory allocated ends the driver.
"""

import random
import struct

import pytest
from bad_models import BENT_BYTES, LIES, Lie, at, base, packed
from driver import Driver
from graphs import Refused, info, prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.tee_abi import Status


def test_the_base_model_is_good(native: Driver) -> None:
    info(native, base().pack())


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.why)
def test_a_lie_is_refused_by_name(native: Driver, lie: Lie) -> None:
    model = base()
    lie.bend(model)
    refused = prepare(native, model.pack())
    assert isinstance(refused, Refused)
    assert (refused.status, refused.op_index) == (lie.status, lie.op_index), refused.reason
    assert lie.reason in refused.reason


@pytest.mark.parametrize("why", BENT_BYTES)
def test_a_bent_flatbuffer_is_malformed(native: Driver, why: str) -> None:
    refused = prepare(native, BENT_BYTES[why]())
    assert isinstance(refused, Refused)
    assert refused.status == Status.MODEL_MALFORMED, refused.reason
    assert "flatbuffer" in refused.reason


def run(driver: Driver, model: bytes) -> Status:
    """Prepares, and runs it if it is good. Whatever happens has a name."""
    found = prepare(driver, model)
    if isinstance(found, Refused):
        assert found.status.name.startswith("MODEL_"), found
        assert found.reason
        return found.status
    size = sum(tensor.size for tensor in found.tensors[: found.inputs])
    payload = struct.pack("<II", 0, len(model)) + model + bytes(size)
    assert driver.call("graph_run", payload)[0] == Status.OK
    return Status.OK


def test_every_truncation_is_refused(native: Driver) -> None:
    """What is last in the file is read too, but for the padding that may follow it."""
    model = packed()
    accepted = [n for n in range(len(model)) if run(native, model[:n]) == Status.OK]
    assert not [n for n in accepted if n < len(model) - 16]


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=8)
)
def test_flipped_bits_do_no_harm(native: Driver, flips: list[tuple[int, int]]) -> None:
    model = bytearray(packed())
    for place, bits in flips:
        model[place % len(model)] ^= bits
    run(native, bytes(model))


@pytest.mark.parametrize("seed", range(8))
def test_numbers_replaced_by_extremes_do_no_harm(native: Driver, seed: int) -> None:
    """Each aligned 32-bit word in turn, and some at random: lengths, offsets, indices, sizes."""
    rng = random.Random(seed)
    extremes = [0, 1, 2, 0x7F, 0x80, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    statuses = set()
    for pos in range(4 * (seed % 8), len(packed()) - 4, 32):
        statuses.add(run(native, at(pos, "<I", rng.choice(extremes))))
    assert Status.OK in statuses
    assert Status.MODEL_MALFORMED in statuses
