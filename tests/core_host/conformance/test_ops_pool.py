# SPDX-License-Identifier: Apache-2.0
"""AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D: exact in every type, float32 too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import FLOAT32, INT8, INT16, INT32, Engine, add, check, refused, relaxed, seeds
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model, window

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
ACTIVATIONS = [
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU_N1_TO_1,
    schema.ActivationFunctionType.RELU6,
]
KINDS = [
    (name, type_)
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
    for type_ in (INT8, INT16, UINT8, FLOAT32)
] + [("L2_POOL_2D", FLOAT32)]


@dataclass(frozen=True)
class Pool:
    name: str = "AVERAGE_POOL_2D"
    type: int = INT8
    shape: tuple[int, ...] = (1, 5, 4, 3)
    kernel: tuple[int, int] = (2, 2)
    strides: tuple[int, int] = (1, 1)
    padding: int = VALID
    activation: int = 0
    scale: float = 0.5
    zero_point: int = 0

    def model(
        self, target: Sequence[int] | None = None, target_zero_point: int | None = None
    ) -> Model:
        if target is None:
            sides = (
                window(self.shape[1 + i], self.kernel[i], self.strides[i], 1, self.padding)
                for i in range(2)
            )
            target = (self.shape[0], *sides, self.shape[3])
        if target_zero_point is None:
            target_zero_point = self.zero_point
        floats = self.type == FLOAT32
        scales = [] if floats else [self.scale]
        model = Model()
        source = model.tensor(
            self.shape, scales, [] if floats else [self.zero_point], type_=self.type
        )
        result = model.tensor(
            target, scales, [] if floats else [target_zero_point], type_=self.type
        )
        options = schema.Pool2DOptionsT()
        options.padding = self.padding
        options.strideH, options.strideW = self.strides
        options.filterHeight, options.filterWidth = self.kernel
        options.fusedActivationFunction = self.activation
        add(model, self.name, [source], [result], options)
        model.graph.inputs, model.graph.outputs = [source], [result]
        return model


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    name, type_ = draw(st.sampled_from(KINDS))
    padding = draw(st.sampled_from([SAME, VALID]))
    sides = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    largest = [9, 9] if padding == SAME else sides
    limits = np.iinfo({INT8: np.int8, UINT8: np.uint8}.get(type_, np.int16))
    zero_points = st.sampled_from([limits.min, limits.max]) | st.integers(limits.min, limits.max)
    return Pool(
        name=name,
        type=type_,
        shape=(draw(st.integers(1, 3)), *sides, draw(st.integers(1, 5) | st.integers(31, 70))),
        kernel=(draw(st.integers(1, largest[0])), draw(st.integers(1, largest[1]))),
        strides=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=padding,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        scale=draw(st.floats(-12, 2).map(lambda power: float(np.float32(2.0**power)))),
        zero_point=0 if type_ == FLOAT32 else draw(zero_points),
    )


@relaxed
@given(pool=pools(), seed=seeds)
def test_pools(engines: list[Engine], pool: Pool, seed: int) -> None:
    check(engines, pool.model(), np.random.default_rng(seed))


@pytest.mark.parametrize(("name", "type_"), KINDS)
@pytest.mark.parametrize("extreme", [-1, 1])
def test_the_extremes_of_a_type(engines: list[Engine], name: str, type_: int, extreme: int) -> None:
    """Also the largest float32, of which a sum is infinite, and is clamped."""
    pool = Pool(name, type_, (1, 30, 40, 2), kernel=(30, 40))
    dtype = {INT8: np.int8, INT16: np.int16, UINT8: np.uint8, FLOAT32: np.float32}[type_]
    limits = np.finfo(np.float32) if type_ == FLOAT32 else np.iinfo(dtype)
    value = np.full(pool.shape, limits.min if extreme < 0 else limits.max, dtype)
    check(engines, pool.model(), [value])


def test_halves_are_rounded_away_from_zero(engines: list[Engine]) -> None:
    value = np.array([[1, 2], [-1, -2], [0, -1], [0, 1], [127, 126], [-128, -127]], np.int8)
    pool = Pool(shape=(6, 1, 2, 1), kernel=(1, 2))
    [found] = check(engines, pool.model(), [value.reshape(pool.shape)])
    assert found.ravel().tolist() == [2, -2, -1, 1, 127, -128]


def test_a_kernel_larger_than_the_input_with_padding(engines: list[Engine]) -> None:
    pool = Pool(shape=(1, 3, 2, 2), kernel=(50, 1000), padding=SAME)
    check(engines, pool.model(), np.random.default_rng(1))


def test_strides_that_skip_pixels(engines: list[Engine]) -> None:
    for padding in (SAME, VALID):
        pool = Pool(shape=(2, 7, 9, 2), kernel=(1, 2), strides=(3, 5), padding=padding)
        check(engines, pool.model(), np.random.default_rng(1))


def test_many_tiles(engines: list[Engine]) -> None:
    pool = Pool(shape=(3, 32, 32, 33), kernel=(7, 7), padding=SAME)
    check(engines, pool.model(), np.random.default_rng(2))


@pytest.mark.parametrize(
    ("pool", "status"),
    [
        (Pool(strides=(0, 1)), Status.MODEL_SHAPE),
        (Pool(strides=(1, -1)), Status.MODEL_SHAPE),
        (Pool(strides=(1, 1025)), Status.MODEL_LIMIT),
        (Pool(kernel=(0, 1)), Status.MODEL_SHAPE),
        (Pool(kernel=(1, -3)), Status.MODEL_SHAPE),
        (Pool(kernel=(1, -(2**31))), Status.MODEL_SHAPE),
        (Pool(kernel=(6, 1)), Status.MODEL_SHAPE),
        (Pool(kernel=(1, 2**31 - 1), padding=SAME), Status.MODEL_LIMIT),
        (Pool(padding=2), Status.MODEL_UNSUPPORTED_TYPE),
        (Pool(activation=4), Status.MODEL_UNSUPPORTED_OP),
        (Pool(type=FLOAT32, activation=4), Status.MODEL_UNSUPPORTED_OP),
        (Pool(activation=3, scale=2.0**-40), Status.MODEL_UNSUPPORTED_OP),
        (Pool(type=INT32), Status.MODEL_UNSUPPORTED_TYPE),
        (Pool("L2_POOL_2D"), Status.MODEL_UNSUPPORTED_TYPE),
        (Pool(shape=(1, 5, 4)), Status.MODEL_SHAPE),
        (Pool(shape=(1, 1, 5, 4, 3)), Status.MODEL_SHAPE),
        (Pool(scale=0.0), Status.MODEL_QUANTIZATION),
        (Pool(shape=(1, 4096, 4096, 1), kernel=(999, 999), padding=SAME), Status.MODEL_LIMIT),
    ],
)
def test_refusals(engines: list[Engine], pool: Pool, status: Status) -> None:
    target = pool.shape if pool.padding == SAME else (1, 4, 3, 3)
    assert refused(engines[0], pool.model(target)).status == status


def test_outputs_that_are_not_what_is_computed_are_refused(engines: list[Engine]) -> None:
    for shape in ((1, 4, 3, 4), (1, 3, 3, 3), (2, 4, 3, 3), (4, 3, 3)):
        assert refused(engines[0], Pool().model(shape)).status == Status.MODEL_SHAPE
    found = refused(engines[0], Pool().model(target_zero_point=1))
    assert found.status == Status.MODEL_QUANTIZATION
    model = Pool().model()
    model.graph.tensors[1].type = INT16
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_a_model_without_options_is_refused(engines: list[Engine]) -> None:
    model = replace(Pool(), type=FLOAT32).model()
    model.graph.operators[0].builtinOptionsType = 0
    model.graph.operators[0].builtinOptions = None
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


def test_an_input_without_elements_is_refused(engines: list[Engine]) -> None:
    model = Pool().model()
    empty = model.tensor((1, 0, 4, 3), [0.5], [0])
    model.graph.operators[0].inputs = [empty]
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
