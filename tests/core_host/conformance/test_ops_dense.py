# SPDX-License-Identifier: Apache-2.0
"""FULLY_CONNECTED, BATCH_MATMUL.

LiteRT's reference kernel multiplies int8 sums of FULLY_CONNECTED by a double, and rounds once;
its optimised one does not. Convolutions have two roundings in fixed point.
"""

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
    shapes,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

RELU, RELU_N1_TO_1, RELU6, TANH = 1, 2, 3, 4

# FULLY_CONNECTED ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    type_: int = INT8
    rows: tuple[int, ...] = (2,)  # the input's dimensions before the last
    depth: int = 5
    units: int = 3
    keep_dims: bool = False
    bias: int | None = INT32  # its type
    bias_type: int = 0  # the option
    per_channel: bool = True
    activation: int = 0
    input_scale: float = 0.5
    weight_scale: float = 0.25
    zero_point: int = 0
    output_zero_point: int = 0
    spread: float = 1.0  # of outputs, about: 1 is half of the type's range

    def build(self, seed: int = 0) -> Model:
        rng = np.random.default_rng(seed)
        model = Model()
        self.add_to(model, rng)
        return model

    def tensor(self, model: Model, shape: Sequence[int], scale: float, zero_point: int) -> int:
        if self.type_ == FLOAT32:
            return model.tensor(shape, type_=FLOAT32)
        point = zero_point if self.type_ == INT8 else 0
        return model.tensor(shape, [scale], [point], type_=self.type_)

    def add_to(self, model: Model, rng: np.random.Generator) -> None:
        batch = int(np.prod(self.rows))
        source = self.tensor(model, [*self.rows, self.depth], self.input_scale, self.zero_point)
        inputs = [source]
        wide = 1 if self.type_ == INT8 else 256
        unit = np.float32(self.input_scale)
        if self.type_ == FLOAT32:
            weights = rng.standard_normal((self.units, self.depth)).astype(np.float32)
            inputs.append(model.tensor(weights.shape, data=weights, type_=FLOAT32))
        else:
            weights = rng.integers(-128, 128, (self.units, self.depth)).astype(np.int8)
            own = np.full(self.units, self.weight_scale, np.float32)
            own *= rng.choice(np.array([1, 0.5, 0.7], np.float32), self.units)
            own = own if self.per_channel else own[:1]
            inputs.append(model.tensor(weights.shape, own, data=weights))
            unit = unit * own
        if self.bias is not None:
            values = rng.standard_normal(self.units) * (
                1 if self.type_ == FLOAT32 else 2048 * wide * self.depth**0.5
            )
            data = values.astype(DTYPES[self.bias])
            quantised = [] if self.type_ == FLOAT32 else unit
            inputs.append(model.tensor([self.units], quantised, data=data, type_=self.bias))
        shape = [*self.rows, self.units] if self.keep_dims else [batch, self.units]
        scale = float(np.max(unit)) * 64 * self.depth**0.5 / self.spread
        target = self.tensor(model, shape, scale, self.output_zero_point)
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = self.keep_dims
        options.fusedActivationFunction = self.activation
        options.quantizedBiasType = self.bias_type
        add(model, "FULLY_CONNECTED", inputs, [target], options, version=9)
        model.graph.inputs, model.graph.outputs = [source], [target]


SUMS = [(INT8, None, 0), (INT8, INT32, 0), (INT16, None, 0), (INT16, INT64, 0)]
SUMS += [(INT16, INT64, INT64), (INT16, INT32, INT32), (INT16, None, INT32)]
SUMS += [(FLOAT32, None, 0), (FLOAT32, FLOAT32, 0)]

denses = st.builds(
    lambda kinds, **fields: Dense(type_=kinds[0], bias=kinds[1], bias_type=kinds[2], **fields),
    st.sampled_from(SUMS),
    rows=shapes(1, 3, 4),
    depth=st.integers(1, 40),
    units=st.integers(1, 9),
    keep_dims=st.booleans(),
    per_channel=st.booleans(),
    activation=st.integers(0, 3),
    input_scale=scales,
    weight_scale=scales,
    zero_point=zero_points,
    output_zero_point=zero_points,
    spread=st.floats(-6, 4).map(lambda power: 2.0**power),
)


def check_dense(engines: Sequence[Engine], dense: Dense, seed: int) -> None:
    # Sums of up to 40 products of numbers about 4, in another order
    tolerance = {"rtol": 1e-5, "atol": 1e-4} if dense.type_ == FLOAT32 else {}
    check(engines, dense.build(seed), np.random.default_rng(seed), **tolerance)


@relaxed
@given(dense=denses, seed=seeds)
def test_fully_connected(engines: list[Engine], dense: Dense, seed: int) -> None:
    check_dense(engines, dense, seed)


@pytest.mark.parametrize("type_", [INT8, INT16, FLOAT32])
def test_a_large_layer_falls_into_tiles(engines: list[Engine], type_: int) -> None:
    bias = {INT8: INT32, INT16: INT64, FLOAT32: FLOAT32}[type_]
    dense = Dense(type_=type_, rows=(3,), depth=700, units=501, bias=bias)
    tolerance = {"rtol": 1e-4, "atol": 1e-3} if type_ == FLOAT32 else {}
    check(engines, dense.build(1), np.random.default_rng(1), **tolerance)


def test_a_batch_comes_of_rows_of_another_length(engines: list[Engine]) -> None:
    """Without keep_num_dims the input is one sequence of elements."""
    model = Dense(rows=(2, 6), depth=2, units=3).build()
    model.graph.tensors[0].shape = [4, 3, 2]
    check(engines, model, np.random.default_rng(2))
    model.graph.tensors[0].shape = [8, 3]
    check(engines, model, np.random.default_rng(2))


def test_a_missing_bias_may_be_told_by_minus_one(engines: list[Engine]) -> None:
    model = Dense(bias=None).build()
    model.graph.operators[0].inputs.append(-1)
    check(engines, model, np.random.default_rng(3))


def test_halves_round_away_from_zero(engines: list[Engine]) -> None:
    for scale in (0.5, 0.25, 0.125):
        model = Model()
        source = model.tensor([256, 1], [scale], [0])
        weights = model.tensor([1, 1], [1.0], data=np.array([1], np.int8))
        target = model.tensor([256, 1], [1.0], [0])
        options = schema.FullyConnectedOptionsT()
        add(model, "FULLY_CONNECTED", [source, weights], [target], options)
        model.graph.inputs, model.graph.outputs = [source], [target]
        check(engines, model, [np.arange(-128, 128).astype(np.int8)[:, None]])


@pytest.mark.parametrize("version", [1, 14])
def test_versions_of_fully_connected(engines: list[Engine], version: int) -> None:
    model = Dense().build()
    model.model.operatorCodes[0].version = version
    check(engines, model, np.random.default_rng(4))
    model.model.operatorCodes[0].version = 15
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_OP


def test_sums_that_leave_32_bits_do_no_harm(engines: list[Engine]) -> None:
    """What comes of them is not told by TFLite; here it is the same everywhere."""
    for dense in (Dense(), Dense(type_=INT16, bias=INT64), Dense(type_=INT16, bias=INT32)):
        bias_type = INT32 if dense == Dense(type_=INT16, bias=INT32) else 0
        model = replace(dense, bias_type=bias_type, spread=1e30).build()
        bias = model.model.buffers[model.graph.tensors[2].buffer]
        bias.data = np.full(bias.data.size, 0x7F, np.uint8)
        packed = model.pack()
        dtype = DTYPES[dense.type_]
        low = np.full((2, 5), np.iinfo(dtype).min, dtype)
        results = [engine.run(packed, [low])[0] for engine in engines]
        assert all(np.array_equal(results[0], result) for result in results[1:])


Bend = Callable[[Model], Any]


def tensor(model: Model, index: int) -> Any:
    return model.graph.tensors[index]


def options_of(model: Model) -> Any:
    return model.graph.operators[0].builtinOptions


REFUSALS: list[tuple[Dense, Bend, int, str]] = [
    (
        Dense(bias=None),
        lambda m: setattr(tensor(m, 0), "type", FLOAT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "dynamic range",
    ),
    (Dense(), lambda m: setattr(tensor(m, 1), "buffer", 0), Status.MODEL_MALFORMED, "read before"),
    (
        Dense(),
        lambda m: m.graph.operators[0].__setattr__("inputs", [0, 0]),
        Status.MODEL_UNSUPPORTED_TYPE,
        "needs a constant",
    ),
    (
        Dense(bias=None),
        lambda m: setattr(tensor(m, 1), "shape", [3, 5, 1]),
        Status.MODEL_SHAPE,
        "2 dimensions",
    ),
    (
        Dense(type_=FLOAT32, depth=1, units=1, bias=None),
        lambda m: setattr(tensor(m, 1), "shape", []),
        Status.MODEL_SHAPE,
        "enough dimensions",
    ),
    (
        Dense(bias=None, per_channel=False),
        lambda m: setattr(tensor(m, 1), "shape", [5, 3]),
        Status.MODEL_SHAPE,
        "whole rows",
    ),
    (
        Dense(bias=None, keep_dims=True),
        lambda m: setattr(tensor(m, 0), "shape", [5, 2]),
        Status.MODEL_SHAPE,
        "last dimension",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 3), "shape", [3, 2]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Dense(rows=(2, 1), keep_dims=True),
        lambda m: setattr(tensor(m, 3), "shape", [2, 3]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 2), "shape", [1, 3]),
        Status.MODEL_SHAPE,
        "one value a channel",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 2), "type", FLOAT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 3), "type", INT16),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 3).quantization, "scale", []),
        Status.MODEL_QUANTIZATION,
        "one scale",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 0), "quantization", None),
        Status.MODEL_QUANTIZATION,
        "one scale",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 1), "quantization", None),
        Status.MODEL_QUANTIZATION,
        "neither one scale",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 1).quantization, "quantizedDimension", 1),
        Status.MODEL_QUANTIZATION,
        "neither one scale",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 1).quantization, "zeroPoint", [0, 1, 0]),
        Status.MODEL_QUANTIZATION,
        "zero point",
    ),
    (
        Dense(per_channel=False),
        lambda m: setattr(tensor(m, 2).quantization, "scale", [1e9]),
        Status.MODEL_QUANTIZATION,
        "input's times",
    ),
    (
        Dense(),
        lambda m: setattr(tensor(m, 2).quantization, "scale", [0.125] * 2),
        Status.MODEL_QUANTIZATION,
        "",
    ),
    (
        Dense(type_=INT16, bias=INT64),
        lambda m: setattr(tensor(m, 0).quantization, "zeroPoint", [1]),
        Status.MODEL_QUANTIZATION,
        "int16",
    ),
    (
        Dense(type_=INT16, bias=INT64),
        lambda m: setattr(tensor(m, 3).quantization, "zeroPoint", [-1]),
        Status.MODEL_QUANTIZATION,
        "int16",
    ),
    (
        Dense(type_=INT16, bias=INT64, bias_type=INT32),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    # LiteRT reads it as int64, beyond its end.
    (
        Dense(type_=INT16, bias=INT32),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Dense(type_=INT16, bias=INT32, bias_type=INT16),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_TYPE,
        "neither int32 nor int64",
    ),
    (Dense(activation=TANH), lambda m: None, Status.MODEL_UNSUPPORTED_OP, "activation"),
    (
        Dense(type_=FLOAT32, bias=None, activation=TANH),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_OP,
        "activation",
    ),
    (
        Dense(type_=INT16, bias=None, activation=-1),
        lambda m: None,
        Status.MODEL_UNSUPPORTED_OP,
        "activation",
    ),
    (
        Dense(),
        lambda m: setattr(options_of(m), "weightsFormat", 1),
        Status.MODEL_UNSUPPORTED_OP,
        "shuffled",
    ),
]


@pytest.mark.parametrize(("dense", "bend", "status", "reason"), REFUSALS)
def test_fully_connected_refuses(
    engines: list[Engine], dense: Dense, bend: Bend, status: int, reason: str
) -> None:
    model = dense.build()
    bend(model)
    found = refused(engines[0], model)
    assert (found.status, found.op_index) == (status, 0), found
    assert reason in found.reason


def test_weights_without_elements_are_refused(engines: list[Engine]) -> None:
    model = Dense(bias=None).build()
    tensor(model, 1).shape = [3, 0]
    tensor(model, 1).buffer = 0
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


# BATCH_MATMUL ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    type_: int = INT8
    batches: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    rows: int = 3
    depth: int = 4
    columns: int = 5
    adj_x: bool = False
    adj_y: bool = False
    constant: int | None = None  # which side is one
    input_scales: tuple[float, float] = (0.5, 0.25)
    points: tuple[int, int, int] = (0, 0, 0)
    spread: float = 1.0

    def shapes(self) -> list[list[int]]:
        x, y = [self.rows, self.depth], [self.depth, self.columns]
        return [
            [*self.batches[0], *(x[::-1] if self.adj_x else x)],
            [*self.batches[1], *(y[::-1] if self.adj_y else y)],
            [*np.broadcast_shapes(*self.batches), self.rows, self.columns],
        ]

    def build(self, seed: int = 0) -> Model:
        rng = np.random.default_rng(seed)
        model = Model()
        unit = self.input_scales[0] * self.input_scales[1]
        wide = 256 if self.type_ == INT16 else 1
        scale = unit * 128 * wide * self.depth**0.5 / self.spread
        own_scales = [*self.input_scales, scale]
        for i, shape in enumerate(self.shapes()):
            quantised: list[Any] = [[own_scales[i]], [self.points[i] if wide == 1 else 0]]
            data = None
            if self.type_ == FLOAT32:
                quantised = []
            if i == self.constant:
                data = rng.integers(-128, 128, shape).astype(DTYPES[self.type_]) * wide
            model.tensor(shape, *quantised, data=data, type_=self.type_)
        options = schema.BatchMatMulOptionsT()
        options.adjX, options.adjY = self.adj_x, self.adj_y
        add(model, "BATCH_MATMUL", [0, 1], [2], options, version=4)
        model.graph.inputs = [i for i in (0, 1) if i != self.constant]
        model.graph.outputs = [2]
        return model


@st.composite
def batches(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of both sides, that broadcast."""
    both = draw(shapes(0, 3, 3))
    sides = []
    for _ in range(2):
        own = tuple(draw(st.sampled_from([1, n])) for n in both)
        sides.append(own[draw(st.integers(0, len(own))) :])
    return sides[0], sides[1]


products = st.builds(
    Product,
    type_=st.sampled_from([INT8, INT16, FLOAT32]),
    batches=batches(),
    rows=st.integers(1, 6),
    depth=st.integers(1, 20),
    columns=st.integers(1, 6) | st.integers(60, 70),
    adj_x=st.booleans(),
    adj_y=st.booleans(),
    constant=st.sampled_from([None, 0, 1]),
    input_scales=st.tuples(scales, scales),
    points=st.tuples(zero_points, zero_points, zero_points),
    spread=st.floats(-6, 4).map(lambda power: 2.0**power),
)


def check_product(engines: Sequence[Engine], product: Product, seed: int = 0) -> None:
    # Constants of float32 are up to 128.
    tolerance = {"rtol": 1e-5, "atol": 1e-2} if product.type_ == FLOAT32 else {}
    check(engines, product.build(seed), np.random.default_rng(seed), **tolerance)


@relaxed
@given(product=products, seed=seeds)
def test_batch_matmul(engines: list[Engine], product: Product, seed: int) -> None:
    check_product(engines, product, seed)


@pytest.mark.parametrize("type_", [INT8, INT16, FLOAT32])
@pytest.mark.parametrize("adj_y", [False, True])
def test_a_large_product_falls_into_tiles(engines: list[Engine], type_: int, adj_y: bool) -> None:
    batch = ((2, 1, 3), (2, 1))
    check_product(engines, Product(type_, batch, 65, 130, 67, adj_y=adj_y))


def test_infinities_are_left_as_they_are(engines: list[Engine]) -> None:
    model = Product(FLOAT32, rows=1, depth=2, columns=2).build()
    x = np.array([[1, np.inf]], np.float32)
    y = np.array([[1, np.inf], [2, -1]], np.float32)
    check(engines, model, [x, y])


@pytest.mark.parametrize("version", [1, 4])
def test_versions_of_batch_matmul(engines: list[Engine], version: int) -> None:
    model = Product(FLOAT32).build()
    model.model.operatorCodes[0].version = version
    check(engines, model, np.random.default_rng(4), rtol=1e-5, atol=1e-4)


PRODUCT_REFUSALS: list[tuple[Product, Bend, int, str]] = [
    (
        Product(),
        lambda m: setattr(tensor(m, 0), "type", INT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "neither int8, int16 nor float32",
    ),
    (
        Product(INT16),
        lambda m: setattr(tensor(m, 1).quantization, "zeroPoint", [3]),
        Status.MODEL_QUANTIZATION,
        "int16",
    ),
    (
        Product(INT16, spread=1e7),
        lambda m: None,
        Status.MODEL_QUANTIZATION,
        "too far",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 1), "type", FLOAT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 2), "type", INT32),
        Status.MODEL_UNSUPPORTED_TYPE,
        "go together",
    ),
    (
        Product(rows=4),
        lambda m: setattr(tensor(m, 0), "shape", [4]),
        Status.MODEL_SHAPE,
        "2 to 5",
    ),
    (
        Product(batches=((1, 1, 1, 1), (1, 1, 1, 1))),
        lambda m: None,
        Status.MODEL_SHAPE,
        "2 to 5",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 0), "shape", [4, 3]),
        Status.MODEL_SHAPE,
        "fit each other",
    ),
    (
        Product(adj_y=True),
        lambda m: setattr(options_of(m), "adjY", False),
        Status.MODEL_SHAPE,
        "fit each other",
    ),
    (
        Product(batches=((2,), (2,))),
        lambda m: setattr(tensor(m, 1), "shape", [3, 4, 5]),
        Status.MODEL_SHAPE,
        "broadcast",
    ),
    (
        Product(batches=((2,), (1,))),
        lambda m: setattr(tensor(m, 2), "shape", [1, 3, 5]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 2), "shape", [1, 3, 5]),
        Status.MODEL_SHAPE,
        "what the operator computes",
    ),
    (
        Product(constant=1),
        lambda m: setattr(tensor(m, 1), "shape", [4, 0]) or setattr(tensor(m, 1), "buffer", 0),
        Status.MODEL_SHAPE,
        "without elements",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 1).quantization, "scale", [0.25, 0.5]),
        Status.MODEL_QUANTIZATION,
        "one scale",
    ),
    (
        Product(),
        lambda m: setattr(tensor(m, 2), "quantization", None),
        Status.MODEL_QUANTIZATION,
        "one scale",
    ),
    (
        Product(spread=1e12),
        lambda m: None,
        Status.MODEL_QUANTIZATION,
        "too far",
    ),
    (
        Product(input_scales=(1e-30, 1e-30)),
        lambda m: setattr(tensor(m, 2).quantization, "scale", [1.0]),
        Status.MODEL_QUANTIZATION,
        "too far",
    ),
]


@pytest.mark.parametrize(("product", "bend", "status", "reason"), PRODUCT_REFUSALS)
def test_batch_matmul_refuses(
    engines: list[Engine], product: Product, bend: Bend, status: int, reason: str
) -> None:
    model = product.build()
    bend(model)
    found = refused(engines[0], model)
    assert (found.status, found.op_index) == (status, 0), found
    assert reason in found.reason


def test_products_may_depend_on_constants_alone(engines: list[Engine]) -> None:
    """They are computed while preparing, and are weights of what follows."""
    rng = np.random.default_rng(8)
    model = Model()
    values = [rng.standard_normal(s).astype(np.float32) for s in ((4, 3), (3, 5))]
    for value in values:
        model.tensor(value.shape, data=value, type_=FLOAT32)
    for shape in ([4, 5], [2, 5], [2, 4]):
        model.tensor(shape, type_=FLOAT32)
    add(model, "BATCH_MATMUL", [0, 1], [2], schema.BatchMatMulOptionsT())
    add(model, "FULLY_CONNECTED", [3, 2], [4], schema.FullyConnectedOptionsT())
    model.graph.inputs, model.graph.outputs = [3], [4]
    source = rng.standard_normal((2, 5)).astype(np.float32)
    for engine in engines:
        found = engine.run(model.pack(), [source])[0]
        expected = source @ (values[0] @ values[1]).T
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
