# SPDX-License-Identifier: Apache-2.0
"""HARD_SWISH, LEAKY_RELU, PRELU, LOG_SOFTMAX, L2_NORMALIZATION, and chains of such."""

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
