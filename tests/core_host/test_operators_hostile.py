# SPDX-License-Identifier: Apache-2.0
"""Every operator where it goes wrong: what fuzzing starts from, cut short, bent, out of memory."""

import random
import struct

import pytest
import seeds
from driver import Driver
from graphs import Refused, prepare
from test_operators_page import operators

from sandbox.tee_abi import Status

MODELS = seeds.models()
# One of each operator
SAMPLE = sorted({name.partition("-")[0]: name for name in MODELS}.values())
# Words of a model that are replaced, each in a copy of its own
BENT_WORDS = 24
EXTREMES = (0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def test_every_operator_is_among_the_seeds(native: Driver) -> None:
    known = {name.lower() for name, *_ in operators(native)}
    assert {name.partition("-")[0] for name in MODELS} >= known


@pytest.mark.parametrize("name", SAMPLE)
def test_out_of_memory_nothing_stays_behind(native: Driver, name: str) -> None:
    status, reply = native.call("graph_starve", struct.pack("<I", 0) + MODELS[name])
    assert status == Status.OK
    found = [Status(code) for (code,) in struct.iter_unpack("<I", reply)]
    assert set(found[:-1]) == {Status.NO_MEMORY} and found[-1] == Status.OK


@pytest.mark.parametrize("name", SAMPLE)
def test_a_bent_model_is_refused_by_name_or_runs(native: Driver, name: str) -> None:
    rng = random.Random(name)
    for _ in range(BENT_WORDS):
        model = bytearray(MODELS[name])
        struct.pack_into("<I", model, rng.randrange(1, len(model) // 4) * 4, rng.choice(EXTREMES))
        payload = struct.pack("<II", 0, len(model)) + bytes(model)
        found = prepare(native, bytes(model))
        if isinstance(found, Refused):
            assert found.status.name.startswith("MODEL_") and found.reason
            continue
        size = sum(tensor.size for tensor in found.tensors[: found.inputs])
        status, _ = native.call("graph_run", payload + bytes(rng.randbytes(size)))
        assert status == Status.OK
