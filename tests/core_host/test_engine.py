# SPDX-License-Identifier: Apache-2.0
"""The engine against LiteRT's reference kernels: every output byte equal, on every kernel."""

import struct
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from driver import Driver
from graphs import info
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tflite_models import Conv, Model, Quantized, add_add, add_conv, reference

from sandbox import paths
from sandbox.tee_abi import Status

NEON, DOTPROD, I8MM, FAST_SCALAR = 1, 2, 4, 8
ARM64_CPUS = {
    "portable": 0,
    "neon": NEON,
    "dotprod": NEON | DOTPROD,
    "i8mm": NEON | DOTPROD | I8MM,
    "scalar": NEON | DOTPROD | I8MM | FAST_SCALAR,
}
DETECTOR = (
    paths.project_dir() / "fixtures" / "models" / "ssdlite_mobilenet_v2_coco80_204_int8.tflite"
)
# What a plan of the detector's arena may be above the largest live set: alignment.
ARENA_SLACK_BYTES = 4096

relaxed = settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Engine:
    """One kernel family."""

    driver: Driver
    cpu: int

    def run(self, model: bytes, inputs: list[bytes]) -> bytes:
        payload = struct.pack("<II", self.cpu, len(model)) + model + b"".join(inputs)
        status, reply = self.driver.call("graph_run", payload)
        assert status == Status.OK, (Status(status), reply[8:])
        return reply


@pytest.fixture(params=["x86", *ARM64_CPUS])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "x86":
        return Engine(request.getfixturevalue("native"), 0)
    return Engine(request.getfixturevalue("arm64"), ARM64_CPUS[request.param])


@pytest.fixture
def engines(native: Driver, arm64: Driver) -> list[Engine]:
    """All of them, for generated models: the reference runs once a model."""
    return [Engine(native, 0), *(Engine(arm64, cpu) for cpu in ARM64_CPUS.values())]


def bytes_of(rng: np.random.Generator, count: int) -> bytes:
    return rng.integers(-128, 128, count).astype(np.int8).tobytes()


def check(engines: list[Engine], model: Model, rng: np.random.Generator) -> None:
    """Two inputs, one after the other: a second run must not see the first."""
    shape = model.graph.tensors[model.graph.inputs[0]].shape
    inputs = [bytes_of(rng, int(np.prod(shape))) for _ in range(2)]
    packed = model.pack()
    expected = reference(packed, inputs)
    for engine in engines:
        assert engine.run(packed, inputs) == expected, f"cpu {engine.cpu}"


seeds = st.integers(0, 2**32 - 1)
zero_points = st.sampled_from([-128, -127, -1, 0, 5, 127]) | st.integers(-128, 127)
activations = st.sampled_from([0, 1, 2, 3])  # none, ReLU, ReLU -1 to 1, ReLU6
# Even numbers, and what is just off a kernel's group of 8 or 16
near_groups = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40]
channels = st.sampled_from(near_groups) | st.integers(1, 50)
scales = st.floats(-9, 1).map(lambda power: float(np.float32(2.0**power)))
# Mostly such that outputs are neither all 0 nor all saturated; and far beyond, where shifts wrap.
spreads = (st.floats(2, 7) | st.floats(2, 7) | st.floats(-20, 25)).map(lambda power: 2.0**power)


@st.composite
def convs(draw: st.DrawFn, *, depthwise: bool) -> Conv:
    return Conv(
        out_channels=draw(channels),
        kernel=(draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        dilations=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=draw(st.sampled_from([schema.Padding.SAME, schema.Padding.VALID])),
        activation=draw(activations),
        spread=draw(spreads),
        output_zero_point=draw(zero_points),
        weight_scales=tuple(draw(st.lists(scales, min_size=1, max_size=5))),
        per_channel=draw(st.booleans()),
        bias_bits=draw(st.sampled_from([None, 8, 15, 15, 29, 31])),
        depth_multiplier=draw(st.sampled_from([1, 1, 1, 2, 3])) if depthwise else None,
        narrow=draw(st.sampled_from([True, True, False])),
        saturated=draw(st.sampled_from([False, False, True])),
    )


def start(height: int, width: int, depth: int, source: Quantized) -> tuple[Model, int]:
    model = Model()
    tensor = model.tensor([1, height, width, depth], [source.scale], [source.zero_point])
    model.graph.inputs = [tensor]
    return model, tensor


@relaxed
@given(
    conv=convs(depthwise=False) | convs(depthwise=True),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12), channels),
    source=st.builds(Quantized, scales, zero_points),
    seed=seeds,
)
def test_one_convolution_is_exact(
    engines: list[Engine],
    conv: Conv,
    size: tuple[int, int, int],
    source: Quantized,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    model, tensor = start(*size, source)
    output = add_conv(model, tensor, conv, rng)
    assume(output is not None)
    model.graph.outputs = [output]
    check(engines, model, rng)


@relaxed
@given(
    conv=convs(depthwise=True),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 20), st.integers(8, 40)),
    source=st.builds(Quantized, scales, zero_points),
    seed=seeds,
)
def test_depthwise_of_3_by_3_is_exact(
    engines: list[Engine],
    conv: Conv,
    strides: tuple[int, int],
    size: tuple[int, int, int],
    source: Quantized,
    seed: int,
) -> None:
    """What networks for devices have, and a kernel of its own."""
    conv = replace(conv, kernel=(3, 3), strides=strides, dilations=(1, 1), depth_multiplier=1)
    rng = np.random.default_rng(seed)
    model, tensor = start(*size, source)
    output = add_conv(model, tensor, conv, rng)
    assume(output is not None)
    model.graph.outputs = [output]
    check(engines, model, rng)


@relaxed
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6), channels),
    sources=st.tuples(*[st.builds(Quantized, scales, zero_points)] * 2),
    output_factor=st.floats(-18.5, 6).map(lambda power: 2.0**power),
    zero_point=zero_points,
    activation=activations,
    shape=st.sampled_from(["equal", "scalar", "channel", "row", "column", "rank 1", "rank 0"]),
    swapped=st.booleans(),
    seed=seeds,
)
def test_one_addition_is_exact(
    engines: list[Engine],
    size: tuple[int, int, int],
    sources: tuple[Quantized, Quantized],
    output_factor: float,
    zero_point: int,
    activation: int,
    shape: str,
    swapped: bool,
    seed: int,
) -> None:
    """Of the input and of a constant, which is of the same shape or is broadcast."""
    rng = np.random.default_rng(seed)
    height, width, depth = size
    model, a = start(height, width, depth, sources[0])
    other = {
        "equal": [1, height, width, depth],
        "scalar": [1, 1, 1, 1],
        "channel": [1, 1, 1, depth],
        "row": [1, height, 1, 1],
        "column": [1, 1, width, depth],
        "rank 1": [depth],
        "rank 0": [],
    }[shape]
    values = rng.integers(-128, 128, other).astype(np.int8)
    b = model.tensor(other, [sources[1].scale], [sources[1].zero_point], data=values)
    # LiteRT aborts where twice the larger scale over 2^20 output scales is not below 1.
    scale = 2 * max(sources[0].scale, sources[1].scale) * output_factor
    pair = (b, a) if swapped else (a, b)
    model.graph.outputs = [add_add(model, *pair, activation, Quantized(scale, zero_point))]
    check(engines, model, rng)


@relaxed
@given(
    steps=st.lists(
        st.tuples(convs(depthwise=False) | convs(depthwise=True), st.booleans()),
        min_size=2,
        max_size=6,
    ),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9), st.integers(1, 17)),
    source=st.builds(Quantized, scales, zero_points),
    seed=seeds,
)
def test_chains_are_exact(
    engines: list[Engine],
    steps: list[tuple[Conv, bool]],
    size: tuple[int, int, int],
    source: Quantized,
    seed: int,
) -> None:
    """Several operators: tensors share the arena, and some outlive others as outputs."""
    rng = np.random.default_rng(seed)
    model, tensor = start(*size, source)
    outputs = []
    for conv, is_output in steps:
        shape = model.graph.tensors[tensor].shape
        if shape[3] > 64:
            conv = replace(conv, depth_multiplier=None, out_channels=8)
        # Scales multiply along a chain, and must stay far from what a float holds.
        conv = replace(conv, spread=min(max(conv.spread, 4), 128))
        following = add_conv(model, tensor, conv, rng)
        if following is None:
            continue
        if model.graph.tensors[following].shape == shape:
            scale = max(model.graph.tensors[i].quantization.scale[0] for i in (tensor, following))
            following = add_add(model, tensor, following, conv.activation, Quantized(scale, 3))
        tensor = following
        if is_output:
            outputs.append(tensor)
    assume(tensor != model.graph.inputs[0])
    model.graph.outputs = sorted({*outputs, tensor})
    check(engines, model, rng)


@pytest.mark.parametrize("depthwise", [False, True])
def test_no_bias_is_a_bias_of_zeros(engine: Engine, depthwise: bool) -> None:
    """LiteRT does not run a CONV_2D without a bias; the schema allows it."""
    rng = np.random.default_rng(1)
    model, tensor = start(5, 5, 9, Quantized(0.1, 7))
    conv = Conv(
        out_channels=9,
        kernel=(3, 3),
        strides=(1, 1),
        dilations=(1, 1),
        padding=schema.Padding.SAME,
        activation=0,
        spread=60.0,
        output_zero_point=-4,
        weight_scales=(0.01, 0.02),
        per_channel=True,
        bias_bits=None,
        depth_multiplier=1 if depthwise else None,
    )
    output = add_conv(model, tensor, conv, rng)
    model.graph.outputs = [output]
    inputs = [bytes_of(rng, 5 * 5 * 9)]
    expected = reference(model.pack(), inputs)
    op = model.graph.operators[0]
    assert len(op.inputs) == (2 if depthwise else 3)
    for absent in ([], [-1]):
        op.inputs = op.inputs[:2] + absent
        assert engine.run(model.pack(), inputs) == expected


@pytest.mark.parametrize("value", [-128, 127])
def test_extreme_weights_and_inputs_are_exact(engine: Engine, value: int) -> None:
    """Sums of products of -128 and -128: what 16 bits do not hold."""
    rng = np.random.default_rng(2)
    for depthwise in (False, True):
        model, tensor = start(4, 4, 32, Quantized(1.0, 127))
        conv = Conv(
            out_channels=16,
            kernel=(3, 3),
            strides=(1, 1),
            dilations=(1, 1),
            padding=schema.Padding.SAME,
            activation=0,
            spread=20.0,
            output_zero_point=0,
            weight_scales=(1.0,),
            per_channel=False,
            bias_bits=15,
            depth_multiplier=1 if depthwise else None,
        )
        output = add_conv(model, tensor, conv, rng)
        weights = model.graph.tensors[model.graph.operators[0].inputs[1]]
        data = np.full(int(np.prod(weights.shape)), value, np.int8)
        model.model.buffers[weights.buffer].data = data.view(np.uint8)
        model.graph.outputs = [output]
        packed = model.pack()
        inputs = [np.full(4 * 4 * 32, extreme, np.int8).tobytes() for extreme in (-128, 127)]
        assert engine.run(packed, inputs) == reference(packed, inputs)


@pytest.mark.parametrize("bits", [31, 30, 29, 28])
@pytest.mark.parametrize("zero_point", [-128, 127])
@pytest.mark.parametrize("depthwise", [False, True])
def test_extreme_biases_are_exact(
    engine: Engine, bits: int, zero_point: int, depthwise: bool
) -> None:
    """Accumulators at the ends of 32 bits, and on both sides of 3 * 2^29; every right shift."""
    rng = np.random.default_rng(4)
    end = 2**bits
    ends = [end - 1, -end, end // 4 * 3, end // 2, -end // 2, end // 4, 1, -1]
    kernel, patch = ((3, 3), 9) if depthwise else ((1, 1), 8)
    for shift in range(1, 32):
        model, tensor = start(3, 3, 8, Quantized(1.0, 0))
        conv = Conv(
            out_channels=8,
            kernel=kernel,
            strides=(1, 1),
            dilations=(1, 1),
            padding=schema.Padding.SAME,
            activation=shift % 2,
            # Of a factor of 0.9 * 2^-shift
            spread=4096 * patch**0.5 * 0.9 * 2.0**-shift,
            output_zero_point=zero_point,
            weight_scales=(1.0,),
            per_channel=False,
            bias_bits=15,
            depth_multiplier=1 if depthwise else None,
        )
        output = add_conv(model, tensor, conv, rng)
        bias = model.graph.tensors[model.graph.operators[0].inputs[2]]
        model.model.buffers[bias.buffer].data = np.array(ends, np.int32).view(np.uint8)
        model.graph.outputs = [output]
        packed = model.pack()
        inputs = [bytes(9 * 8), bytes_of(rng, 9 * 8)]
        assert engine.run(packed, inputs) == reference(packed, inputs), shift


def test_the_detector_is_exact(engine: Engine) -> None:
    model = DETECTOR.read_bytes()
    rng = np.random.default_rng(3)
    smooth = np.linspace(-128, 127, 204 * 204 * 3).astype(np.int8).tobytes()
    inputs = [bytes_of(rng, 204 * 204 * 3), smooth]
    assert engine.run(model, inputs) == reference(model, inputs)


def test_the_detector_fits_its_arena(native: Driver) -> None:
    found = info(native, DETECTOR.read_bytes())
    assert found.macs == 349_844_400
    assert found.arena_lower_bound == 1_248_480  # the largest live set: models.md
    assert found.arena <= found.arena_lower_bound + ARENA_SLACK_BYTES
    assert found.size < 500_000
    assert found.operators == 98
    assert found.tensors[0].dims == (1, 204, 204, 3)
    assert len(found.tensors) == 13


def test_every_allocation_may_fail(engine: Engine) -> None:
    """The driver aborts if anything stays allocated after a failure."""
    model = DETECTOR.read_bytes()
    status, reply = engine.driver.call("graph_starve", struct.pack("<I", engine.cpu) + model)
    assert status == Status.OK
    statuses = [value for (value,) in struct.iter_unpack("<I", reply)]
    assert statuses == [Status.NO_MEMORY] * (len(statuses) - 1) + [Status.OK]
    assert 5 <= len(statuses) < 60


def measured(driver: Driver, cpu: int) -> int:
    status, reply = driver.call("measure_cpu", struct.pack("<I", cpu))
    assert status == Status.OK
    (found,) = struct.unpack("<I", reply)
    return int(found)


@pytest.mark.parametrize("cpu", [NEON, NEON | DOTPROD, NEON | DOTPROD | I8MM])
def test_plain_multiplication_is_fast_under_emulation(arm64: Driver, cpu: int) -> None:
    """By a factor of two and more, so that a busy machine does not matter."""
    assert measured(arm64, cpu) == cpu | FAST_SCALAR


def test_without_vectors_nothing_is_measured(native: Driver, arm64: Driver) -> None:
    assert measured(native, 0) == measured(arm64, 0) == 0
