# SPDX-License-Identifier: Apache-2.0
"""Activation functions and what normalises rows: SOFTMAX, LOGISTIC, TANH, ...

8-bit operators of one input are tables of 256 results: a tensor of all values checks all of one.
"""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    FLOAT32,
    INT8,
    INT16,
    INT32,
    Array,
    Engine,
    add,
    check,
    refused,
    relaxed,
    seeds,
    shapes,
    zero_points,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
BYTES = st.sampled_from([INT8, UINT8])

# Of a quantised tensor; None: not quantised
Quantization = tuple[float, int] | None


def one_input(
    name: str,
    shape: tuple[int, ...],
    source: Quantization,
    target: Quantization,
    type_: int = INT8,
    options: Any = None,
    *,
    version: int = 1,
    target_shape: tuple[int, ...] | None = None,
    target_type: int | None = None,
) -> Model:
    model = Model()
    tensors = [
        model.tensor(
            size, *(([q[0]], [q[1]]) if q else ()), type_=kind if kind is not None else type_
        )
        for size, q, kind in (
            (shape, source, type_),
            (target_shape or shape, target, target_type),
        )
    ]
    add(model, name, tensors[:1], tensors[1:], options, version=version)
    model.graph.inputs, model.graph.outputs = tensors[:1], tensors[1:]
    return model


def zero_point_of(type_: int, signed: int) -> int:
    """`signed` is one of INT8."""
    return signed + 128 if type_ == UINT8 else signed if type_ == INT8 else 0


def options_of(kind: Any, **values: Any) -> Any:
    options = kind()
    for name, value in values.items():
        setattr(options, name, value)
    return options


def every_value(type_: int) -> Array:
    """As many as a tensor of shape [values] has."""
    limits = np.iinfo({INT8: np.int8, UINT8: np.uint8, INT16: np.int16}[type_])
    return np.arange(limits.min, limits.max + 1).astype(limits.dtype)


def scales(low: float, high: float) -> st.SearchStrategy[float]:
    """Powers of two, and what is between them."""
    return st.floats(low, high).map(lambda power: float(np.float32(2.0**power))) | st.integers(
        int(low), int(high)
    ).map(lambda power: 2.0**power)


# SOFTMAX -----------------------------------------------------------------------------------------

TO_ONE = {INT8: (1 / 256, -128), UINT8: (1 / 256, 0), INT16: (1 / 32768, 0), FLOAT32: None}


def softmax(
    type_: int, shape: tuple[int, ...], beta: float, source: Quantization, **more: Any
) -> Model:
    options = options_of(schema.SoftmaxOptionsT, beta=beta)
    return one_input("SOFTMAX", shape, source, TO_ONE[type_], type_, options, **more)


@relaxed
@given(
    shape=shapes(1, 5, 7),
    type_=BYTES,
    scale=scales(-24, 6),
    zero=zero_points,
    beta=st.sampled_from([1.0, 0.7, 2.0]) | scales(-1, 6),
    seed=seeds,
)
def test_softmax_of_bytes(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    scale: float,
    zero: int,
    beta: float,
    seed: int,
) -> None:
    model = softmax(type_, shape, beta, (scale, zero_point_of(type_, zero)), version=2)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("scale", [1e-4, 0.003, 0.05, 0.1, 0.7, 15.9, 16.1, 31.9, 40.0, 1e30])
def test_softmax_of_every_difference(engines: list[Engine], scale: float) -> None:
    """Rows of the greatest and one other, and of all values at once."""
    model = softmax(INT8, (256, 2), 1.0, (scale, 0))
    pairs = np.stack([np.full(256, 127, np.int8), every_value(INT8)], axis=1)
    check(engines, model, [pairs])
    check(engines, softmax(INT8, (256,), 1.0, (scale, 0)), [every_value(INT8)])


@pytest.mark.parametrize("depth", [1, 2, 255, 256, 511])
def test_softmax_of_many_that_are_equal(engines: list[Engine], depth: int) -> None:
    """From 512 on LiteRT's reference aborts: each result is then below half of a unit."""
    model = softmax(INT8, (2, depth), 1.0, (0.1, 3))
    check(engines, model, [np.full((2, depth), 7, np.int8)])


@pytest.mark.parametrize("depth", [512, 1024, 4096, 5000])
def test_softmax_of_more_than_the_reference_can(engines: list[Engine], depth: int) -> None:
    """All round to 0. A sum of 4096 or more would not fit in TFLite's accumulator."""
    model = softmax(INT8, (1, depth), 1.0, (0.1, 3))
    for engine in engines:
        (found,) = engine.run(model.pack(), [np.full((1, depth), 7, np.int8)])
        assert (found == -128).all()


@relaxed
@given(
    shape=shapes(1, 4, 9),
    scale=scales(-20, 2),
    beta=st.sampled_from([1.0, 0.5, 3.0]),
    seed=seeds,
    spread=st.sampled_from([1, 16, 256, 32768]),
)
def test_softmax_of_16_bits(
    engines: list[Engine], shape: tuple[int, ...], scale: float, beta: float, seed: int, spread: int
) -> None:
    model = softmax(INT16, shape, beta, (scale, 0), version=3)
    values = np.random.default_rng(seed).integers(-spread, spread, shape).astype(np.int16)
    check(engines, model, [values])


def test_softmax_of_16_bits_of_every_difference(engines: list[Engine]) -> None:
    pairs = np.stack([np.full(65536, 32767, np.int16), every_value(INT16)], axis=1)
    for scale in (10 / 65535, 0.001, 1 / 4096):
        check(engines, softmax(INT16, (65536, 2), 1.0, (scale, 0)), [pairs])
    check(engines, softmax(INT16, (65536,), 1.0, (2.0**-13, 0)), [every_value(INT16)])


@relaxed
@given(shape=shapes(1, 6, 5), beta=st.sampled_from([1.0, 0.3, 5.0, 0.0, -1.0]), seed=seeds)
def test_softmax_of_floats(
    engines: list[Engine], shape: tuple[int, ...], beta: float, seed: int
) -> None:
    model = softmax(FLOAT32, shape, beta, None)
    check(engines, model, np.random.default_rng(seed), rtol=2e-6, atol=1e-37)


def test_softmax_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    check(engines, softmax(INT8, (3000, 91), 1.0, (0.1, 3)), rng)
    check(engines, softmax(INT16, (3000, 91), 1.0, (0.0001, 0)), rng)
    check(engines, softmax(FLOAT32, (3000, 91), 1.0, None), rng, rtol=2e-6)


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (softmax(INT8, (), 1.0, (0.1, 0)), Status.MODEL_SHAPE),
        (softmax(INT8, (2, 3), 1.0, None), Status.MODEL_QUANTIZATION),
        (softmax(INT8, (2, 3), 0.0, (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT8, (2, 3), -1.0, (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT8, (2, 3), float("nan"), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT8, (2, 3), 1.0, (2.0**-26, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (2, 3), float("inf"), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (2, 3), float("nan"), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (2, 3), -1.0, (0.1, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (2, 3), 1.0, (1e30, 0)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (2, 3), 1.0, (0.1, 1)), Status.MODEL_QUANTIZATION),
        (softmax(INT16, (1, 1, 1, 2, 3), 1.0, (0.1, 0)), Status.MODEL_SHAPE),
        (softmax(INT16, (65537,), 1.0, (0.1, 0)), Status.MODEL_SHAPE),
        (softmax(INT8, (2, 3), 1.0, (0.1, 0), target_shape=(3, 2)), Status.MODEL_SHAPE),
        (
            softmax(INT8, (2, 3), 1.0, (0.1, 0), target_type=INT16),
            Status.MODEL_UNSUPPORTED_TYPE,
        ),
        (
            one_input("SOFTMAX", (2, 3), None, None, INT32, schema.SoftmaxOptionsT()),
            Status.MODEL_UNSUPPORTED_TYPE,
        ),
    ],
)
def test_softmax_refuses(engines: list[Engine], model: Model, status: Status) -> None:
    assert refused(engines[0], model).status == status


@pytest.mark.parametrize(
    ("type_", "target"),
    [
        (INT8, (1 / 256, -127)),
        (INT8, (1.01 / 256, -128)),
        (UINT8, (1 / 256, 1)),
        (INT16, (1 / 256, 0)),
        (INT8, None),
    ],
)
def test_softmax_refuses_other_outputs(
    engines: list[Engine], type_: int, target: Quantization
) -> None:
    options = options_of(schema.SoftmaxOptionsT, beta=1.0)
    model = one_input("SOFTMAX", (2, 3), (0.1, 0), target, type_, options)
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION
