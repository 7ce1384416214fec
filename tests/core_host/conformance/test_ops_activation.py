# SPDX-License-Identifier: Apache-2.0
"""Activation functions and what normalises rows: SOFTMAX, LOGISTIC, TANH, ...

8-bit operators of one input are tables of 256 results: a tensor of all values checks all of one.
"""

import math
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
    reference,
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


# LOGISTIC, TANH, ELU, GELU: functions of real numbers -------------------------------------------

GELU = {
    approximate: options_of(schema.GeluOptionsT, approximate=approximate)
    for approximate in (False, True)
}


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


def table_model(
    name: str, type_: int, source: Quantization, target: Quantization, options: Any = None
) -> Model:
    return one_input(name, (256,), source, target, type_, options)


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


# HARD_SWISH --------------------------------------------------------------------------------------


@relaxed
@given(
    type_=BYTES,
    scale=scales(-16, 8),
    zero=zero_points,
    ratio=scales(-6, 25),
    target_zero=zero_points,
)
def test_hard_swish_of_every_byte(
    engines: list[Engine], type_: int, scale: float, zero: int, ratio: float, target_zero: int
) -> None:
    """The output's scale is a 128th of the input's or more, or LiteRT refuses it."""
    source = (scale, zero_point_of(type_, zero))
    target = (float(np.float32(scale * ratio)), zero_point_of(type_, target_zero))
    model = table_model("HARD_SWISH", type_, source, target)
    check(engines, model, [every_value(type_)])


@relaxed
@given(shape=shapes(0, 6, 5), seed=seeds)
def test_hard_swish_of_floats(engines: list[Engine], shape: tuple[int, ...], seed: int) -> None:
    model = one_input("HARD_SWISH", shape, None, None, FLOAT32, schema.HardSwishOptionsT())
    check(engines, model, np.random.default_rng(seed), rtol=2e-7)


# LEAKY_RELU --------------------------------------------------------------------------------------

ALPHAS = st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0, 1.7, -0.25, -0.5, -1.3, 100.0]) | st.floats(
    -2, 2, width=32
)


def leaky(type_: int, source: Quantization, target: Quantization, alpha: float, *shape: int) -> Any:
    options = options_of(schema.LeakyReluOptionsT, alpha=alpha)
    return one_input("LEAKY_RELU", shape, source, target, type_, options, version=2)


@relaxed
@given(
    type_=st.sampled_from([INT8, UINT8, INT16]),
    scale=scales(-8, 8),
    zero=zero_points,
    target_scale=scales(-8, 8),
    target_zero=zero_points,
    alpha=ALPHAS,
)
def test_leaky_relu_of_every_value(
    engines: list[Engine],
    type_: int,
    scale: float,
    zero: int,
    target_scale: float,
    target_zero: int,
    alpha: float,
) -> None:
    values = every_value(type_)
    source = (scale, zero_point_of(type_, zero))
    target = (target_scale, zero_point_of(type_, target_zero))
    # A product beyond 32 bits is undefined in LiteRT.
    assume(np.abs(values.astype(np.float64)).max() * 2 * scale / target_scale * 101 < 2**31)
    check(engines, leaky(type_, source, target, alpha, len(values)), [values])


@pytest.mark.parametrize("alpha", [0.5, -0.5, -0.25, -1.5, -0.125])
@pytest.mark.parametrize("type_", [INT8, INT16])
def test_leaky_relu_rounds_halves_of_either_sign(
    engines: list[Engine], type_: int, alpha: float
) -> None:
    values = every_value(type_)
    check(engines, leaky(type_, (1.0, 0), (1.0, 0), alpha, len(values)), [values])
    check(engines, leaky(type_, (1.0, 0), (2.0, 0), alpha, len(values)), [values])


@relaxed
@given(shape=shapes(0, 6, 5), alpha=ALPHAS, seed=seeds)
def test_leaky_relu_of_floats(
    engines: list[Engine], shape: tuple[int, ...], alpha: float, seed: int
) -> None:
    check(engines, leaky(FLOAT32, None, None, alpha, *shape), np.random.default_rng(seed))


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), 1e38])
def test_leaky_relu_refuses_alphas(engines: list[Engine], alpha: float) -> None:
    model = leaky(INT8, (1.0, 0), (0.1, 0), alpha, 4)
    assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_elementwise_ones_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    for type_ in (INT8, INT16, FLOAT32):
        q = {INT8: (0.05, 3), INT16: (0.001, 0), FLOAT32: None}[type_]
        check(engines, leaky(type_, q, q, 0.3, 3, 123457), rng)
        model = one_input("LOGISTIC", (3, 123457), q, TO_ONE[type_], type_)
        check(engines, model, rng, rtol=5e-7, atol=2e-8)


# PRELU -------------------------------------------------------------------------------------------


def prelu(
    type_: int,
    shape: tuple[int, ...],
    alpha_shape: tuple[int, ...],
    source: Quantization = None,
    alpha: Quantization = None,
    target: Quantization = None,
    data: Array | None = None,
    *,
    alpha_type: int | None = None,
    target_shape: tuple[int, ...] | None = None,
) -> Model:
    """Alpha is an input of the graph if there is no data."""
    model = Model()
    model.graph.inputs = [model.tensor(shape, *([q] for q in source or ()), type_=type_)]
    slopes = model.tensor(
        alpha_shape,
        *([q] for q in alpha or ()),
        type_=type_ if alpha_type is None else alpha_type,
        data=data,
    )
    if data is None:
        model.graph.inputs.append(slopes)
    output = model.tensor(target_shape or shape, *([q] for q in target or ()), type_=type_)
    add(model, "PRELU", [model.graph.inputs[0], slopes], [output])
    model.graph.outputs = [output]
    return model


def broadcast_to(data: st.DataObject, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to it: leading axes left out, any of the others 1."""
    kept = shape[data.draw(st.integers(0, len(shape))) :]
    return tuple(data.draw(st.sampled_from([1, side])) for side in kept)


@relaxed
@given(
    shape=shapes(1, 4, 6),
    scale=scales(-8, 3),
    alpha_scale=scales(-10, 3),
    target_scale=scales(-8, 3),
    zeros=st.tuples(zero_points, zero_points, zero_points),
    constant=st.booleans(),
    data=st.data(),
    seed=seeds,
)
def test_prelu_of_bytes(
    engines: list[Engine],
    shape: tuple[int, ...],
    scale: float,
    alpha_scale: float,
    target_scale: float,
    zeros: tuple[int, int, int],
    constant: bool,
    data: st.DataObject,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    alpha_shape = broadcast_to(data, shape)
    # A product beyond 32 bits is undefined in LiteRT.
    assume(65025 * scale * max(alpha_scale, 1) / target_scale < 2**30)
    slopes = rng.integers(-128, 128, alpha_shape).astype(np.int8) if constant else None
    model = prelu(
        INT8,
        shape,
        alpha_shape,
        (scale, zeros[0]),
        (alpha_scale, zeros[1]),
        (target_scale, zeros[2]),
        slopes,
    )
    check(engines, model, rng)


@relaxed
@given(shape=shapes(1, 4, 6), data=st.data(), seed=seeds)
def test_prelu_of_floats(
    engines: list[Engine], shape: tuple[int, ...], data: st.DataObject, seed: int
) -> None:
    model = prelu(FLOAT32, shape, broadcast_to(data, shape))
    check(engines, model, np.random.default_rng(seed))


def test_prelu_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    q = (0.05, 3)
    check(engines, prelu(INT8, (1, 60, 50, 64), (1, 1, 64), q, (0.01, -7), q), rng)
    check(engines, prelu(FLOAT32, (1, 60, 50, 64), (1, 1, 64)), rng)


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (prelu(INT8, (2, 3), (3,), None, (0.1, 0), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (prelu(INT8, (2, 3), (3,), (0.1, 0), None, (0.1, 0)), Status.MODEL_QUANTIZATION),
        (prelu(INT8, (2, 3), (3,), (0.1, 0), (0.1, 0), None), Status.MODEL_QUANTIZATION),
        (prelu(INT8, (2, 3), (3,), (1e38, 0), (0.1, 0), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (prelu(INT8, (2, 3), (3,), (0.1, 0), (1e38, 0), (0.1, 0)), Status.MODEL_QUANTIZATION),
        (prelu(INT16, (2, 3), (3,), (0.1, 0), (0.1, 0), (0.1, 0)), Status.MODEL_UNSUPPORTED_TYPE),
        (prelu(FLOAT32, (2, 3), (3,), alpha_type=INT8), Status.MODEL_UNSUPPORTED_TYPE),
        (prelu(FLOAT32, (2, 3), (2,)), Status.MODEL_SHAPE),
        (prelu(FLOAT32, (2, 1), (2, 3)), Status.MODEL_SHAPE),
        (prelu(FLOAT32, (2, 1), (2, 3), target_shape=(2, 3)), Status.MODEL_SHAPE),
        (prelu(FLOAT32, (3,), (2, 3)), Status.MODEL_SHAPE),
        (prelu(FLOAT32, (2, 3), (3,), target_shape=(3, 2)), Status.MODEL_SHAPE),
    ],
)
def test_prelu_refuses(engines: list[Engine], model: Model, status: Status) -> None:
    assert refused(engines[0], model).status == status


# LOG_SOFTMAX -------------------------------------------------------------------------------------

LOGARITHMS = {INT8: (1 / 16, 127), FLOAT32: None}


def log_softmax(type_: int, shape: tuple[int, ...], source: Quantization, **more: Any) -> Model:
    options = schema.LogSoftmaxOptionsT()
    return one_input("LOG_SOFTMAX", shape, source, LOGARITHMS[type_], type_, options, **more)


@relaxed
@given(shape=shapes(1, 5, 7), scale=scales(-24, 8), zero=zero_points, seed=seeds)
def test_log_softmax_of_bytes(
    engines: list[Engine], shape: tuple[int, ...], scale: float, zero: int, seed: int
) -> None:
    model = log_softmax(INT8, shape, (scale, zero), version=2)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("scale", [1e-4, 0.003, 0.05, 0.1, 0.7, 15.9, 16.1, 31.9, 40.0, 1e30])
def test_log_softmax_of_every_difference(engines: list[Engine], scale: float) -> None:
    pairs = np.stack([np.full(256, 127, np.int8), every_value(INT8)], axis=1)
    check(engines, log_softmax(INT8, (256, 2), (scale, 0)), [pairs])
    check(engines, log_softmax(INT8, (256,), (scale, 0)), [every_value(INT8)])


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 23, 100, 511, 512, 1000, 2048, 4095])
def test_log_softmax_of_many(engines: list[Engine], depth: int) -> None:
    """Equal ones, whose logarithms are of all sizes; and any."""
    for scale in (0.001, 0.1):
        model = log_softmax(INT8, (2, depth), (scale, 3))
        check(engines, model, [np.full((2, depth), 7, np.int8)])
        check(engines, model, np.random.default_rng(depth))


@relaxed
@given(shape=shapes(1, 6, 5), seed=seeds)
def test_log_softmax_of_floats(engines: list[Engine], shape: tuple[int, ...], seed: int) -> None:
    model = log_softmax(FLOAT32, shape, None)
    check(engines, model, np.random.default_rng(seed), rtol=1e-6, atol=5e-7)


def test_log_softmax_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    check(engines, log_softmax(INT8, (3000, 91), (0.1, 3)), rng)
    check(engines, log_softmax(FLOAT32, (3000, 91), None), rng, rtol=1e-6, atol=1e-6)


# L2_NORMALIZATION --------------------------------------------------------------------------------

UNITS = {INT8: (1 / 128, 0), FLOAT32: None}


def l2_norm(type_: int, shape: tuple[int, ...], source: Quantization, **more: Any) -> Model:
    options = schema.L2NormOptionsT()
    return one_input("L2_NORMALIZATION", shape, source, UNITS[type_], type_, options, **more)


@relaxed
@given(
    shape=shapes(1, 5, 9),
    zero=zero_points,
    seed=seeds,
    spread=st.sampled_from([1, 2, 5, 128]),
)
def test_l2_normalization_of_bytes(
    engines: list[Engine], shape: tuple[int, ...], zero: int, seed: int, spread: int
) -> None:
    """Values near to the zero point too: sums of squares of 0 and 1 are cases of their own."""
    model = l2_norm(INT8, shape, (0.1, zero), version=2)
    values = zero + np.random.default_rng(seed).integers(-spread, spread, shape)
    check(engines, model, [values.clip(-128, 127).astype(np.int8)])


def test_l2_normalization_of_every_pair(engines: list[Engine]) -> None:
    first, second = np.meshgrid(every_value(INT8), every_value(INT8))
    pairs = np.stack([first, second], axis=-1)
    for zero in (-128, 0, 9):
        check(engines, l2_norm(INT8, (256, 256, 2), (0.1, zero)), [pairs])


@pytest.mark.parametrize("depth", [100, 8000, 8257, 20000, 32768])
def test_l2_normalization_of_many(engines: list[Engine], depth: int) -> None:
    """The sum of squares is up to 2^31 - 2^24."""
    model = l2_norm(INT8, (2, depth), (0.1, -128))
    check(engines, model, [np.full((2, depth), 127, np.int8)])
    check(engines, model, np.random.default_rng(depth))


@relaxed
@given(shape=shapes(1, 6, 5), seed=seeds, spread=st.sampled_from([0.0, 1e-8, 1e-6, 1.0, 1e10]))
def test_l2_normalization_of_floats(
    engines: list[Engine], shape: tuple[int, ...], seed: int, spread: float
) -> None:
    model = l2_norm(FLOAT32, shape, None)
    values = np.random.default_rng(seed).standard_normal(shape) * spread
    check(engines, model, [values.astype(np.float32)], rtol=1e-6)


def test_l2_normalization_in_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    check(engines, l2_norm(INT8, (5000, 91), (0.1, 3)), rng)
    check(engines, l2_norm(FLOAT32, (5000, 91), None), rng, rtol=2e-6)


def with_activation() -> Model:
    options = options_of(
        schema.L2NormOptionsT, fusedActivationFunction=schema.ActivationFunctionType.RELU
    )
    return one_input("L2_NORMALIZATION", (2, 3), (0.1, 0), (1 / 128, 0), INT8, options)


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (log_softmax(INT8, (), (0.1, 0)), Status.MODEL_SHAPE),
        (log_softmax(INT8, (4096,), (0.1, 0)), Status.MODEL_SHAPE),
        (log_softmax(INT8, (2, 3), None), Status.MODEL_QUANTIZATION),
        (log_softmax(INT8, (2, 3), (2.0**-26, 0)), Status.MODEL_QUANTIZATION),
        (
            one_input("LOG_SOFTMAX", (2, 3), (0.1, 0), (1 / 16, 126)),
            Status.MODEL_QUANTIZATION,
        ),
        (one_input("LOG_SOFTMAX", (2, 3), (0.1, 0), (0.06, 127)), Status.MODEL_QUANTIZATION),
        (l2_norm(FLOAT32, (), None), Status.MODEL_SHAPE),
        (l2_norm(INT8, (32769,), (0.1, 0)), Status.MODEL_SHAPE),
        (l2_norm(INT8, (2, 3), None), Status.MODEL_QUANTIZATION),
        (with_activation(), Status.MODEL_UNSUPPORTED_OP),
        (
            one_input("L2_NORMALIZATION", (2, 3), (0.1, 0), (1 / 128, 1)),
            Status.MODEL_QUANTIZATION,
        ),
        (
            one_input("L2_NORMALIZATION", (2, 3), (0.1, 0), (1 / 127, 0)),
            Status.MODEL_QUANTIZATION,
        ),
    ],
)
def test_rows_that_are_refused(engines: list[Engine], model: Model, status: Status) -> None:
    assert refused(engines[0], model).status == status


# One after another: all but the first lie where their inputs do ----------------------------------

CHAIN: list[tuple[str, Quantization, Any]] = [
    ("HARD_SWISH", (0.05, -100), schema.HardSwishOptionsT()),
    ("LEAKY_RELU", (0.04, -90), options_of(schema.LeakyReluOptionsT, alpha=0.3)),
    ("GELU", (0.03, -110), GELU[True]),
    ("LOG_SOFTMAX", (1 / 16, 127), schema.LogSoftmaxOptionsT()),
    ("L2_NORMALIZATION", (1 / 128, 0), schema.L2NormOptionsT()),
    ("LOGISTIC", (1 / 256, -128), None),
    ("SOFTMAX", (1 / 256, -128), options_of(schema.SoftmaxOptionsT, beta=9.0)),
    ("TANH", (1 / 128, 0), None),
]


@pytest.mark.parametrize("type_", [INT8, FLOAT32])
@pytest.mark.parametrize("branch", [None, *range(len(CHAIN))])
def test_a_chain_in_place(engines: list[Engine], type_: int, branch: int | None) -> None:
    """Or not, where something else reads the input too."""
    shape = (3, 50, 7)
    model = Model()

    def tensor(q: Quantization) -> int:
        return model.tensor(shape, *(([v] for v in q or ()) if type_ == INT8 else ()), type_=type_)

    source = tensor((0.1, -20))
    model.graph.inputs, model.graph.outputs = [source], []
    for i, (name, target, options) in enumerate(CHAIN):
        result = tensor(target)
        add(model, name, [source], [result], options)
        if branch == i:
            model.graph.outputs.append(result)
        source = result
    if source not in model.graph.outputs:
        model.graph.outputs.append(source)
    check(engines, model, np.random.default_rng(5), rtol=1e-5, atol=1e-6)


VERSIONS = {"SOFTMAX": 4, "LOGISTIC": 3, "TANH": 3, "HARD_SWISH": 1, "LEAKY_RELU": 2} | {
    "LOG_SOFTMAX": 2,
    "ELU": 1,
    "GELU": 3,
    "L2_NORMALIZATION": 2,
}


@pytest.mark.parametrize("name", VERSIONS)
def test_versions_are_those_of_litert(engines: list[Engine], name: str) -> None:
    """Of its optimised kernels, which have some that the reference has not."""
    options = next((options for op, _, options in CHAIN if op == name), None)
    latest = one_input(name, (2, 3), None, None, FLOAT32, options, version=VERSIONS[name])
    rng = np.random.default_rng(5)
    check(engines, latest, rng, resolver="builtin", rtol=1e-5, atol=1e-6)
    later = one_input(name, (2, 3), None, None, FLOAT32, options, version=VERSIONS[name] + 1)
    assert refused(engines[0], later).status == Status.MODEL_UNSUPPORTED_OP
    with pytest.raises(ValueError, match="version"):
        reference(later.pack(), [np.zeros((2, 3), np.float32)], "builtin")
