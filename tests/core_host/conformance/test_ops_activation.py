# SPDX-License-Identifier: Apache-2.0
"""SOFTMAX, LOGISTIC, TANH, ELU, GELU."""

import math
from typing import Any

import numpy as np
import pytest
from activations import (
    BYTES,
    GELU,
    TO_ONE,
    UINT8,
    Quantization,
    every_value,
    one_input,
    options_of,
    scales,
    table_model,
    zero_point_of,
)
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    FLOAT32,
    INT8,
    INT16,
    INT32,
    Array,
    Engine,
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

# SOFTMAX -----------------------------------------------------------------------------------------


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


# LOGISTIC, TANH, ELU, GELU: functions of real numbers -------------------------------------------


def real_function(name: str, x: Array, approximate: bool = False) -> Array:
    """In double."""
    x = x.astype(np.float64)
    with np.errstate(over="ignore"):
        if name == "LOGISTIC":
            return 1 / (1 + np.exp(-x))
        if name == "TANH":
            return np.tanh(x)
        if name == "ELU":
            return np.where(x < 0, np.expm1(x), x)
        if approximate:
            return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x / 2 * np.vectorize(math.erfc)(-x / np.sqrt(2))


def near_a_tie(exact: Array, scale: float) -> bool:
    """A result is so near to the middle of two steps that a last digit of libm decides."""
    steps = np.clip(np.abs(exact) / scale, 0, 300)
    away = np.abs(steps - np.floor(steps) - 0.5)
    return bool(((away != 0) & (away < 1e-6 * steps)).any())


@relaxed
@given(
    name=st.sampled_from(["LOGISTIC", "TANH", "ELU", "GELU"]),
    type_=BYTES,
    scale=scales(-12, 2),
    zero=zero_points,
    target_scale=scales(-10, 1),
    target_zero=zero_points,
    approximate=st.booleans(),
)
def test_functions_of_every_byte(
    engines: list[Engine],
    name: str,
    type_: int,
    scale: float,
    zero: int,
    target_scale: float,
    target_zero: int,
    approximate: bool,
) -> None:
    """ELU is not in LiteRT's reference: its optimised kernels have the same table."""
    if name == "ELU":
        type_ = INT8
    if name == "LOGISTIC":
        target_scale = 1 / 256
    zero = zero_point_of(type_, zero)
    values = every_value(type_)
    x = np.float32(scale) * (values.astype(np.int32) - zero).astype(np.float32)
    assume(not near_a_tie(real_function(name, x, approximate), target_scale))
    model = table_model(
        name,
        type_,
        (scale, zero),
        (target_scale, zero_point_of(type_, target_zero)),
        GELU[approximate] if name == "GELU" else None,
    )
    check(engines, model, [values], resolver="builtin" if name == "ELU" else "ref")


@pytest.mark.parametrize("name", ["LOGISTIC", "TANH", "ELU", "GELU"])
@pytest.mark.parametrize("scale", [1e-30, 1e30, 3e38])
@pytest.mark.parametrize("target_scale", [1e-45, 1e-30, 1e30])
def test_functions_of_bytes_at_the_ends_of_float(
    engines: list[Engine], name: str, scale: float, target_scale: float
) -> None:
    """Beyond 32 bits, or not a number, LiteRT's conversions are undefined: no comparison."""
    target = (1 / 256, 0) if name == "LOGISTIC" else (target_scale, 0)
    options = GELU[True] if name == "GELU" else None
    model = table_model(name, INT8, (scale, 5), target, options).pack()
    found = [engine.run(model, [every_value(INT8)])[0] for engine in engines]
    assert all((each == found[0]).all() for each in found)


@relaxed
@given(
    name=st.sampled_from(["LOGISTIC", "TANH", "ELU", "GELU"]),
    shape=shapes(0, 6, 5),
    approximate=st.booleans(),
    spread=st.sampled_from([1e-3, 1.0, 4.0, 30.0]),
    seed=seeds,
)
def test_functions_of_floats(
    engines: list[Engine],
    name: str,
    shape: tuple[int, ...],
    approximate: bool,
    spread: float,
    seed: int,
) -> None:
    """LiteRT computes GELU and ELU with Eigen's functions, which are right to some 1e-6.

    ELU is not in LiteRT's reference: it is compared to the optimised kernel.
    Its reference takes exp(x) for LOGISTIC below -9, which is up to 1e-4 of it too much.
    """
    model = one_input(
        name, shape, None, None, FLOAT32, GELU[approximate] if name == "GELU" else None
    )
    values = (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)
    resolver = "builtin" if name == "ELU" else "ref"
    rtol, atol = {
        "LOGISTIC": (5e-7, 2e-8),
        "TANH": (5e-7, 1e-38),
        "ELU": (2e-6, 0),
        # 1 + tanh() loses the digits of what is negative, in LiteRT and here.
        "GELU": (1e-6, 2e-6) if approximate else (4e-6, 1e-9),
    }[name]
    check(engines, model, [values], resolver=resolver, rtol=rtol, atol=atol)


def test_floats_at_their_ends(engines: list[Engine]) -> None:
    ends = np.array([0, -0.0, 1e-40, -1e-40, 88, -88, 104, -104, 3e38, -3e38], np.float32)
    many = np.append(ends, [np.float32(np.inf), -np.float32(np.inf)]).astype(np.float32)
    for name in ("LOGISTIC", "TANH", "ELU"):
        resolver = "builtin" if name == "ELU" else "ref"
        model = one_input(name, many.shape, None, None, FLOAT32)
        check(engines, model, [many], resolver=resolver, rtol=5e-7, atol=1e-38)


def test_gelu_is_right_to_six_digits(engines: list[Engine]) -> None:
    """Of negative numbers too, where 1 + erf() would lose them."""
    values = np.linspace(-12, 6, 40001).astype(np.float32)
    model = one_input("GELU", values.shape, None, None, FLOAT32, GELU[False])
    exact = real_function("GELU", values)
    for engine in engines:
        (found,) = engine.run(model.pack(), [values])
        np.testing.assert_allclose(found, exact, rtol=2e-5, atol=1e-37)
        near = np.abs(values) < 4
        np.testing.assert_allclose(found[near], exact[near], rtol=2e-6)


@relaxed
@given(
    name=st.sampled_from(["LOGISTIC", "TANH"]),
    scale=scales(-43, 2)
    | st.sampled_from([2.0**-12, 2.0**-11, 2.0**-12 * 1.0005, 2.0**-11 * 0.9994, 2.0**-12 * 1.002]),
)
def test_functions_of_every_16_bit_number(engines: list[Engine], name: str, scale: float) -> None:
    model = one_input(name, (65536,), (scale, 0), (1 / 32768, 0), INT16)
    check(engines, model, [every_value(INT16)])


@pytest.mark.parametrize("name", ["LOGISTIC", "TANH"])
@pytest.mark.parametrize("scale", [256 / 12288, 512 / 12288, 128 / 12288, 32768 / 12288, 5.33])
def test_every_entry_of_the_16_bit_table(engines: list[Engine], name: str, scale: float) -> None:
    """Elements are whole entries, or halves."""
    model = one_input(name, (65536,), (scale, 0), (1 / 32768, 0), INT16)
    check(engines, model, [every_value(INT16)])


@pytest.mark.parametrize(
    ("name", "type_", "source", "target"),
    [
        ("LOGISTIC", INT8, (0.1, 0), (1 / 255, -128)),
        ("LOGISTIC", UINT8, (0.1, 0), (1 / 128, 0)),
        ("LOGISTIC", INT16, (0.1, 0), (1 / 32767, 0)),
        ("LOGISTIC", INT16, (0.1, 1), (1 / 32768, 0)),
        ("LOGISTIC", INT16, (6.0, 0), (1 / 32768, 0)),
        ("LOGISTIC", INT16, (2.0**-46, 0), (1 / 32768, 0)),
        ("TANH", INT16, (1e38, 0), (1 / 32768, 0)),
        ("TANH", INT16, (0.1, 0), (1 / 16384, 0)),
        ("TANH", INT16, (0.1, 0), (1 / 32000, 0)),
        ("TANH", INT8, None, (1 / 128, 0)),
        ("TANH", INT8, (0.1, 0), None),
        ("ELU", INT8, (0.1, 0), None),
        ("GELU", INT8, None, (0.1, 0)),
        ("HARD_SWISH", INT8, None, (0.1, 0)),
        ("HARD_SWISH", INT8, (20.0, 0), (0.1, 0)),
        ("HARD_SWISH", INT8, (1e8, 0), (1e8, 0)),
        ("LEAKY_RELU", INT8, None, (0.1, 0)),
        ("LEAKY_RELU", INT8, (1e38, 0), (1e-38, 0)),
        ("LEAKY_RELU", INT16, (0.1, 0), (0.1, 1)),
    ],
)
def test_quantisation_that_is_refused(
    engines: list[Engine], name: str, type_: int, source: Quantization, target: Quantization
) -> None:
    model = one_input(name, (2, 3), source, target, type_)
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


ALL_TYPES = {INT8, UINT8, INT16, FLOAT32}
TYPES = {
    "SOFTMAX": ALL_TYPES,
    "LOGISTIC": ALL_TYPES,
    "TANH": ALL_TYPES,
    "LEAKY_RELU": ALL_TYPES,
    "HARD_SWISH": {INT8, UINT8, FLOAT32},
    "ELU": {INT8, FLOAT32},
    "GELU": {INT8, UINT8, FLOAT32},
    "LOG_SOFTMAX": {INT8, FLOAT32},
    "L2_NORMALIZATION": {INT8, FLOAT32},
}


@pytest.mark.parametrize("name", TYPES)
def test_types_and_shapes_that_are_refused(engines: list[Engine], name: str) -> None:
    for type_ in {INT8, UINT8, INT16, FLOAT32, INT32} - TYPES[name]:
        model = one_input(name, (2, 3), (0.1, 0), (0.1, 0), type_)
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = one_input(name, (2, 3), (0.1, 0), (0.1, 0), INT8, target_type=INT16)
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = one_input(name, (2, 3), (0.1, 0), (0.1, 0), INT8, target_shape=(6,))
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
