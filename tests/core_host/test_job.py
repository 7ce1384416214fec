# SPDX-License-Identifier: Apache-2.0
"""nn/job.c: several workers on one graph, some of whom do not come back in time."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from driver import Driver
from tflite_models import Conv, Model, Quantized, add_add, add_conv, reference

from sandbox.tee_abi import Status

SIDE, CHANNELS = 40, 24
ROUNDS = 8
# On a host that is busy with other things, helpers may not get a core before the photo is done.
MOST_ROUNDS = 400
CONV = Conv(
    out_channels=CHANNELS,
    kernel=(3, 3),
    strides=(1, 1),
    dilations=(1, 1),
    padding=schema.Padding.SAME,
    activation=0,
    spread=30.0,
    output_zero_point=1,
    weight_scales=(0.01,),
    per_channel=True,
    bias_bits=10,
)


@pytest.fixture(scope="module")
def threads(core_make: Callable[[str], Path]) -> Iterator[Driver]:
    """Under ThreadSanitizer."""
    with Driver([core_make("x86-tsan") / "x86-tsan" / "driver"]) as driver:
        yield driver


@pytest.fixture(scope="module")
def model() -> bytes:
    """Convolutions of many tiles, and additions, one of them in place."""
    rng = np.random.default_rng(1)
    made = Model()
    source = made.tensor([1, SIDE, SIDE, CHANNELS], [0.05], [3])
    made.graph.inputs = [source]
    for _ in range(4):
        output = add_conv(made, source, CONV, rng)
        assert output is not None
        source = add_add(made, source, output, 0, Quantized(0.06, -2))
    made.graph.outputs = [source]
    return made.pack()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return np.random.default_rng(2).integers(-128, 128, SIDE * SIDE * CHANNELS, np.int8).tobytes()


@pytest.fixture(scope="module")
def expected(model: bytes, photo: bytes) -> bytes:
    """What LiteRT computes, of course alone."""
    return reference(model, [photo])


def run(
    driver: Driver, model: bytes, data: bytes, *, helpers: int, halts: bool = False
) -> tuple[int, int, bytes]:
    """How many attempts it took, how many tiles helpers did, the outputs."""
    head = struct.pack("<4I", 0, helpers, halts, len(model))
    status, reply = driver.call("graph_job", head + model + data)
    assert status == Status.OK
    attempts, tiles = struct.unpack_from("<2I", reply)
    return attempts, tiles, reply[8:]


def test_nobody_helps(native: Driver, model: bytes, photo: bytes, expected: bytes) -> None:
    assert run(native, model, photo, helpers=0) == (1, 0, expected)


@pytest.mark.parametrize("helpers", [1, 2, 8])
def test_helpers_take_a_share(
    threads: Driver, model: bytes, photo: bytes, expected: bytes, helpers: int
) -> None:
    rounds = shares = 0
    while rounds < ROUNDS or (not shares and rounds < MOST_ROUNDS):
        _, tiles, found = run(threads, model, photo, helpers=helpers)
        assert found == expected
        rounds, shares = rounds + 1, shares + tiles
    assert shares > 0


def test_helpers_that_stop_anywhere(
    native: Driver, model: bytes, photo: bytes, expected: bytes
) -> None:
    """They have a tile, as a rule, which then has to be done anew."""
    rounds, most = 0, 1
    while rounds < ROUNDS or (most == 1 and rounds < MOST_ROUNDS):
        count, _, found = run(native, model, photo, helpers=8, halts=True)
        assert found == expected
        rounds, most = rounds + 1, max(most, count)
    assert most > 1, rounds
