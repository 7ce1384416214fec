# SPDX-License-Identifier: Apache-2.0
"""CONV_2D and DEPTHWISE_CONV_2D of float32 and int16 (int8: test_engine.py), TRANSPOSE_CONV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    DTYPES,
    FLOAT32,
    INT8,
    INT16,
    INT32,
    INT64,
    Engine,
    add,
    check,
    refused,
    relaxed,
    scales,
    seeds,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model, window

from sandbox.tee_abi import Status

TANH = 4
BIAS_TYPES = {FLOAT32: FLOAT32, INT16: INT64, INT8: INT32}
# Sums of a few dozen products of numbers about 4, in another order
TOLERANCES: dict[int, dict[str, float]] = {FLOAT32: {"rtol": 1e-5, "atol": 1e-4}}

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv:
    """One of the three operators, named as in the schema."""

    name: str = "CONV_2D"
    type_: int = FLOAT32
    batch: int = 1
    size: Pair = (5, 6)
    channels: int = 3
    out_channels: int = 4  # depthwise: not used
    multiplier: int = 1
    kernel: Pair = (3, 2)
    strides: Pair = (1, 1)
    dilations: Pair = (1, 1)
    padding: int = schema.Padding.SAME
    bias: bool = True
    bias_type: int = 0  # the option
    per_channel: bool = True
    activation: int = 0
    input_scale: float = 0.5
    weight_scale: float = 0.25
    zero_point: int = 0
    output_zero_point: int = 0
    spread: float = 1.0  # of outputs, about: 1 is half of the type's range
    more: Pair = (0, 0)  # transposed: of the output, beyond the least, modulo strides

    @property
    def depthwise(self) -> bool:
        return self.name == "DEPTHWISE_CONV_2D"

    @property
    def transposed(self) -> bool:
        return self.name == "TRANSPOSE_CONV"

    def out_size(self) -> list[int]:
        if not self.transposed:
            sides = zip(self.size, self.kernel, self.strides, self.dilations, strict=True)
            return [window(n, k, s, d, self.padding) for n, k, s, d in sides]
        valid = self.padding == schema.Padding.VALID
        sides = zip(self.size, self.kernel, self.strides, self.more, strict=True)
        return [(n - 1) * s + (k if valid else 1) + more % s for n, k, s, more in sides]

    def tensor(self, model: Model, shape: Sequence[int], scale: float, zero_point: int) -> int:
        if self.type_ == FLOAT32:
            return model.tensor(shape, type_=FLOAT32)
        point = zero_point if self.type_ == INT8 else 0
        return model.tensor(shape, [scale], [point], type_=self.type_)

    def weights(self, model: Model, rng: np.random.Generator) -> tuple[int, Any, int]:
        """The tensor, the scale of sums, and the number of output channels."""
        count = self.channels * self.multiplier if self.depthwise else self.out_channels
        shape, axis = (count, *self.kernel, self.channels), 0
        if self.depthwise:
            shape, axis = (1, *self.kernel, count), 3
        if self.type_ == FLOAT32:
            data = rng.standard_normal(shape).astype(np.float32)
            return model.tensor(shape, data=data, type_=FLOAT32), np.float32(1), count
        own = np.full(count, self.weight_scale, np.float32)
        own *= rng.choice(np.array([1, 0.5, 0.7], np.float32), count)
        own = own if self.per_channel else own[:1]
        tensor = model.tensor(
            shape, own, data=rng.integers(-128, 128, shape).astype(np.int8), axis=axis
        )
        return tensor, np.float32(self.input_scale) * own, count

    def options(self) -> Any:
        options: Any = schema.Conv2DOptionsT()
        if self.depthwise:
            options = schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = self.multiplier
        elif self.transposed:
            options = schema.TransposeConvOptionsT()
        options.padding = self.padding
        options.strideH, options.strideW = self.strides
        if not self.transposed:
            options.dilationHFactor, options.dilationWFactor = self.dilations
        options.fusedActivationFunction = self.activation
        if not self.depthwise:
            options.quantizedBiasType = self.bias_type
        return options

    def build(self, seed: int = 0) -> Model:
        rng = np.random.default_rng(seed)
        model = Model()
        shape = [self.batch, *self.size, self.channels]
        source = self.tensor(model, shape, self.input_scale, self.zero_point)
        weights, unit, count = self.weights(model, rng)
        patch = self.kernel[0] * self.kernel[1] * (1 if self.depthwise else self.channels)
        out_shape = [self.batch, *self.out_size(), count]
        inputs = [source, weights]
        if self.transposed:
            told = model.tensor([4], data=np.array(out_shape, np.int32), type_=INT32)
            inputs = [told, weights, source]
        if self.bias:
            wide = {FLOAT32: 1, INT8: 2048, INT16: 2048 * 256}[self.type_]
            type_ = BIAS_TYPES[self.type_]
            data = (rng.standard_normal(count) * wide * patch**0.5).astype(DTYPES[type_])
            quantised = [] if self.type_ == FLOAT32 else unit
            inputs.append(model.tensor([count], quantised, data=data, type_=type_))
        scale = float(np.max(unit)) * 64 * patch**0.5 / self.spread
        target = self.tensor(model, out_shape, scale, self.output_zero_point)
        add(model, self.name, inputs, [target], self.options(), version=4)
        model.graph.inputs, model.graph.outputs = [source], [target]
        return model


def pairs(first: int, last: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(first, last), st.integers(first, last))


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "batch": st.integers(1, 2),
    "size": pairs(1, 7),
    "channels": st.integers(1, 10),
    "out_channels": st.integers(1, 5),
    "kernel": pairs(1, 4),
    "strides": pairs(1, 3),
    "padding": st.integers(0, 1),
    "per_channel": st.booleans(),
    "activation": st.integers(0, 3),
    "input_scale": scales,
    "weight_scale": scales,
    "zero_point": zero_points,
    "output_zero_point": zero_points,
    "spread": st.floats(-6, 4).map(lambda power: 2.0**power),
}

convs = st.builds(
    Conv,
    name=st.just("CONV_2D"),
    type_=st.sampled_from([INT16, FLOAT32]),
    dilations=pairs(1, 3),
    bias_type=st.sampled_from([0, INT64]),
    **FIELDS,
).filter(lambda conv: min(conv.out_size()) > 0)
depthwises = st.builds(
    Conv,
    name=st.just("DEPTHWISE_CONV_2D"),
    type_=st.sampled_from([INT16, FLOAT32]),
    dilations=pairs(1, 3),
    multiplier=st.integers(1, 3),
    bias=st.booleans(),
    **FIELDS,
).filter(lambda conv: min(conv.out_size()) > 0)


def check_conv(engines: Sequence[Engine], conv: Conv, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    check(engines, conv.build(seed), rng, **TOLERANCES.get(conv.type_, {}))


@relaxed
@given(conv=convs, seed=seeds)
def test_conv_2d(engines: list[Engine], conv: Conv, seed: int) -> None:
    check_conv(engines, conv, seed)


@relaxed
@given(conv=depthwises, seed=seeds)
def test_depthwise_conv_2d(engines: list[Engine], conv: Conv, seed: int) -> None:
    check_conv(engines, conv, seed)


@pytest.mark.parametrize("type_", [INT16, FLOAT32])
@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_large_ones_fall_into_tiles(engines: list[Engine], name: str, type_: int) -> None:
    check_conv(engines, Conv(name, type_, 2, (31, 33), 24, 16, kernel=(3, 3)))


@pytest.mark.parametrize("type_", [INT16, FLOAT32])
def test_a_convolution_needs_no_bias(engines: list[Engine], type_: int) -> None:
    """LiteRT's does; so it is given a bias of 0, and the engine none."""
    model = Conv(type_=type_).build()
    bias = model.model.buffers[model.graph.tensors[2].buffer]
    bias.data = np.zeros_like(bias.data)
    source = np.random.default_rng(5).integers(-9, 9, (1, 5, 6, 3)).astype(DTYPES[type_])
    expected = check(engines, model, [source], **TOLERANCES.get(type_, {}))[0]
    model.graph.operators[0].inputs.pop()
    for engine in engines:
        found = engine.run(model.pack(), [source])[0]
        np.testing.assert_allclose(found, expected, **TOLERANCES.get(type_, {}))


@pytest.mark.parametrize("name", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_factors_of_int16_sums_stay_below_128(engines: list[Engine], name: str) -> None:
    """Results of more than 32 bits wrap before they are clamped to the output's type."""
    least = 64 * (3 * 2 * (3 if name == "CONV_2D" else 1)) ** 0.5
    check_conv(engines, Conv(name, INT16, per_channel=False, spread=127 * least))
    model = Conv(name, INT16, per_channel=False, spread=129 * least).build()
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_int16_sums_may_wrap(engines: list[Engine]) -> None:
    """What comes of it is not told by TFLite; here it is the same everywhere."""
    model = Conv(type_=INT16).build()
    bias = model.model.buffers[model.graph.tensors[2].buffer]
    bias.data = np.full(4, 2**63 - 1, np.int64).view(np.uint8)
    source = np.random.default_rng(6).integers(-9, 9, (1, 5, 6, 3)).astype(np.int16)
    results = [engine.run(model.pack(), [source])[0] for engine in engines]
    assert np.array_equal(results[0], results[1])


# TRANSPOSE_CONV ----------------------------------------------------------------------------------

transposed = st.builds(
    Conv,
    name=st.just("TRANSPOSE_CONV"),
    type_=st.sampled_from([INT8, INT16, FLOAT32]),
    bias=st.booleans(),
    more=pairs(0, 2),
    **FIELDS,
)


@relaxed
@given(conv=transposed, seed=seeds)
def test_transpose_conv(engines: list[Engine], conv: Conv, seed: int) -> None:
    check_conv(engines, conv, seed)


@pytest.mark.parametrize("type_", [INT8, INT16, FLOAT32])
def test_a_large_transposed_one_falls_into_tiles(engines: list[Engine], type_: int) -> None:
    conv = Conv("TRANSPOSE_CONV", type_, 2, (15, 14), 24, 16, kernel=(3, 3), strides=(2, 2))
    check_conv(engines, conv)


def test_strides_may_leave_out_pixels_of_the_output(engines: list[Engine]) -> None:
    """They get the bias alone; and the kernel may reach beyond every side."""
    for size in ((1, 1), (4, 3)):
        for kernel, strides in (((1, 1), (3, 4)), ((9, 8), (2, 3)), ((2, 9), (5, 1))):
            for padding in (0, 1):
                conv = Conv("TRANSPOSE_CONV", INT8, 1, size, 2, 3, 1, kernel, strides)
                check_conv(engines, replace(conv, padding=padding, zero_point=-77))


def tensor(model: Model, index: int) -> Any:
    return model.graph.tensors[index]


def options_of(model: Model) -> Any:
    return model.graph.operators[0].builtinOptions


Bend = Callable[[Model], Any]
REFUSALS: list[tuple[Conv, Bend, int, str]] = [
    (
        Conv(),
        lambda m: m.graph.operators[0].__setattr__("inputs", [0, 0, 2]),
        Status.MODEL_UNSUPPORTED_TYPE,
        "needs a constant",
    ),
    (
        Conv(channels=4),
        lambda m: m.graph.operators[0].__setattr__("inputs", [0, 1, 0]),
        Status.MODEL_UNSUPPORTED_TYPE,
        "needs a constant",
    ),
    (
        Conv(type_=INT16),
        lambda m: setattr(tensor(m, 2), "type", FLOAT32) or setattr(tensor(m, 2), "shape", [8]),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Conv(type_=INT16, bias=False),
        lambda m: setattr(tensor(m, 2), "type", INT8),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Conv(type_=INT16, bias_type=INT32, bias=False),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_TYPE,
        "32 bits",
    ),
    (
        Conv(type_=INT16),
        lambda m: setattr(tensor(m, 0).quantization, "zeroPoint", [1]),
        Status.MODEL_QUANTIZATION,
        "int16",
    ),
    (
        Conv(type_=INT16),
        lambda m: setattr(tensor(m, 3), "quantization", None),
        Status.MODEL_QUANTIZATION,
        "one scale",
    ),
    (
        Conv(type_=INT16),
        lambda m: setattr(tensor(m, 1).quantization, "scale", [1.0, 2.0]),
        Status.MODEL_QUANTIZATION,
        "zero points",
    ),
    (
        Conv(type_=INT16, name="DEPTHWISE_CONV_2D"),
        lambda m: setattr(tensor(m, 1).quantization, "quantizedDimension", 0),
        Status.MODEL_QUANTIZATION,
        "neither one scale",
    ),
    (Conv(activation=TANH), lambda m: None, Status.MODEL_UNSUPPORTED_OP, "activation"),
    (Conv(type_=INT16, activation=5), lambda m: None, Status.MODEL_UNSUPPORTED_OP, "activation"),
    (
        Conv(),
        lambda m: setattr(tensor(m, 3), "shape", [1, 5, 6, 5]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Conv(kernel=(2, 2), channels=4),
        lambda m: setattr(tensor(m, 1), "shape", [4, 4, 2, 2]),
        Status.MODEL_SHAPE,
        "input's channels",
    ),
    (
        Conv(name="DEPTHWISE_CONV_2D"),
        lambda m: setattr(options_of(m), "depthMultiplier", 2),
        Status.MODEL_SHAPE,
        "depth multiplier",
    ),
    (
        Conv(name="DEPTHWISE_CONV_2D", kernel=(1, 1)),
        lambda m: setattr(tensor(m, 1), "shape", [3]),
        Status.MODEL_SHAPE,
        "enough dimensions",
    ),
    (
        Conv(),
        lambda m: setattr(tensor(m, 0), "shape", [5, 6, 3]),
        Status.MODEL_SHAPE,
        "4 dimensions",
    ),
    (Conv(), lambda m: setattr(options_of(m), "strideH", 0), Status.MODEL_SHAPE, "below 1"),
    (
        Conv(),
        lambda m: setattr(options_of(m), "dilationWFactor", 1 << 30),
        Status.MODEL_LIMIT,
        "over 1024",
    ),
    (
        Conv(kernel=(6, 1), size=(6, 6)),
        lambda m: (
            setattr(options_of(m), "padding", 1) or setattr(options_of(m), "dilationHFactor", 2)
        ),
        Status.MODEL_SHAPE,
        "larger than its input",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(tensor(m, 2), "buffer", 0),
        Status.MODEL_MALFORMED,
        "before it is written",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(tensor(m, 2), "type", FLOAT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Conv(name="TRANSPOSE_CONV", type_=INT8),
        lambda m: setattr(tensor(m, 2), "shape", [4, 1]),
        Status.MODEL_SHAPE,
        "4 dimensions",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(tensor(m, 4), "shape", [1, 5, 6, 3]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Conv(name="TRANSPOSE_CONV", batch=2),
        lambda m: setattr(tensor(m, 0), "shape", [1, 5, 12, 3]),
        Status.MODEL_SHAPE,
        "input's batch",
    ),
    (
        Conv(name="TRANSPOSE_CONV", kernel=(2, 2), bias=False),
        lambda m: setattr(tensor(m, 1), "shape", [2, 4, 2, 3]),
        Status.MODEL_SHAPE,
        "weights' channels",
    ),
    (
        Conv(name="TRANSPOSE_CONV", kernel=(2, 3)),
        lambda m: setattr(tensor(m, 1), "shape", [4, 3, 3, 2]),
        Status.MODEL_SHAPE,
        "input's channels",
    ),
    (
        Conv(name="TRANSPOSE_CONV", type_=INT16, bias=False, bias_type=INT32),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_TYPE,
        "32 bits",
    ),
    (
        Conv(name="TRANSPOSE_CONV", type_=INT8, spread=1e12),
        lambda m: None,
        Status.MODEL_QUANTIZATION,
        "too small",
    ),
    (
        Conv(name="TRANSPOSE_CONV", activation=TANH),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_OP,
        "activation",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(options_of(m), "strideH", 2),
        Status.MODEL_SHAPE,
        "input's size",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(options_of(m), "strideW", -1),
        Status.MODEL_SHAPE,
        "below 1",
    ),
    (
        Conv(name="TRANSPOSE_CONV"),
        lambda m: setattr(options_of(m), "padding", 7),
        Status.MODEL_UNSUPPORTED_TYPE,
        "neither SAME nor VALID",
    ),
]


@pytest.mark.parametrize(("conv", "bend", "status", "reason"), REFUSALS)
def test_convolutions_refuse(
    engines: list[Engine], conv: Conv, bend: Bend, status: int, reason: str
) -> None:
    model = conv.build()
    bend(model)
    found = refused(engines[0], model)
    assert (found.status, found.op_index) == (status, 0), found
    assert reason in found.reason
