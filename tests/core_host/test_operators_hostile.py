# SPDX-License-Identifier: Apache-2.0
"""Every operator where it goes wrong: what fuzzing starts from, cut short, bent, out of memory."""

import random
import struct

import pytest
import seeds
from ai_edge_litert import schema_py_generated as schema
from driver import Driver
from graphs import Info, Refused, prepare
from test_operators_page import operators

from sandbox.tee_abi import Status

MODELS = seeds.models()
# One of each operator
SAMPLE = sorted({name.partition("-")[0]: name for name in MODELS}.values())
# Words of a model that are replaced, each in a copy of its own
BENT_WORDS = 24
EVERY_KERNEL = 7  # NEON, dot product, matrix multiply
SHUFFLE = 4711
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
def test_a_bent_model_is_refused_by_name_or_runs(
    native: Driver, arm64_tiles: Driver, name: str
) -> None:
    """By every kernel alike: integers are the same whoever computes them, in whatever order."""
    rng = random.Random(name)
    for _ in range(BENT_WORDS):
        bent = bytearray(MODELS[name])
        struct.pack_into("<I", bent, rng.randrange(1, len(bent) // 4) * 4, rng.choice(EXTREMES))
        model = bytes(bent)
        found = prepare(native, model)
        assert prepare_alike(arm64_tiles, model, found)
        if isinstance(found, Refused):
            assert found.status.name.startswith("MODEL_") and found.reason
            continue
        inputs = rng.randbytes(sum(tensor.size for tensor in found.tensors[: found.inputs]))
        status, outputs = native.call(
            "graph_run", struct.pack("<II", 0, len(model)) + model + inputs
        )
        assert status == Status.OK
        if any(tensor.type == schema.TensorType.FLOAT32 for tensor in found.tensors):
            continue
        head = struct.pack("<III", SHUFFLE, EVERY_KERNEL, len(model))
        assert arm64_tiles.call("graph_shuffled", head + model + inputs) == (status, outputs)


def prepare_alike(driver: Driver, model: bytes, expected: Info | Refused) -> bool:
    found = prepare(driver, model, EVERY_KERNEL)
    if isinstance(expected, Refused):
        return found == expected
    return isinstance(found, Info) and found.tensors == expected.tensors
