# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators of two inputs: arithmetic, comparisons, logic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    BOOL,
    DTYPES,
    FLOAT32,
    INT8,
    INT16,
    INT32,
    INT64,
    Array,
    Engine,
    add,
    check,
    draw_values,
    refused,
    relaxed,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
QUANTIZED = (INT8, UINT8, INT16)
FLT_MAX = np.finfo(np.float32).max

NONE = schema.ActivationFunctionType.NONE
ACTIVATIONS = (
    NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU_N1_TO_1,
    schema.ActivationFunctionType.RELU6,
)

OPTIONS = {
    "ADD": schema.AddOptionsT,
    "SUB": schema.SubOptionsT,
    "MUL": schema.MulOptionsT,
    "DIV": schema.DivOptionsT,
    "FLOOR_DIV": schema.FloorDivOptionsT,
    "FLOOR_MOD": schema.FloorModOptionsT,
    "MAXIMUM": schema.MaximumMinimumOptionsT,
    "MINIMUM": schema.MaximumMinimumOptionsT,
    "SQUARED_DIFFERENCE": schema.SquaredDifferenceOptionsT,
    "POW": schema.PowOptionsT,
    "EQUAL": schema.EqualOptionsT,
    "NOT_EQUAL": schema.NotEqualOptionsT,
    "GREATER": schema.GreaterOptionsT,
    "GREATER_EQUAL": schema.GreaterEqualOptionsT,
    "LESS": schema.LessOptionsT,
    "LESS_EQUAL": schema.LessEqualOptionsT,
    "LOGICAL_AND": schema.LogicalAndOptionsT,
    "LOGICAL_OR": schema.LogicalOrOptionsT,
}
SHAPE = (2, 3)


@st.composite
def broadcasts(draw: st.DrawFn, inputs: int = 2, max_rank: int = 6) -> tuple[tuple[int, ...], ...]:
    """Shapes that broadcast together: some sides 1, some outer ones left out, or all the same."""
    rank = draw(st.integers(0, max_rank))
    full = draw(st.lists(st.integers(1, 9 if rank < 4 else 3), min_size=rank, max_size=rank))
    if draw(st.booleans()):
        return (tuple(full),) * inputs
    found = []
    for _ in range(inputs):
        kept = [side if draw(st.booleans()) else 1 for side in full]
        found.append(tuple(kept[draw(st.integers(0, rank)) :]))
    return tuple(found)


@st.composite
def quantizations(draw: st.DrawFn, type_: int) -> tuple[list[float], list[int]]:
    """One scale and zero point, as LiteRT wants them for the type; nothing if it has none."""
    if type_ not in QUANTIZED:
        return [], []
    limits = np.iinfo(DTYPES[type_])
    ends = [limits.min, limits.min + 1, 0, limits.max - 1, limits.max]
    zero = draw(st.sampled_from(ends) | st.integers(limits.min, limits.max))
    if type_ == INT16:
        zero = 0
    return [float(np.float32(2.0 ** draw(st.floats(-7, -1))))], [zero]


def build(
    name: str,
    shapes: Sequence[Sequence[int]],
    types: Sequence[int],
    quantized: Sequence[tuple[Sequence[float], Sequence[int]]] = (),
    *,
    output: Sequence[int] | None = None,
    output_type: int | None = None,
    activation: int = NONE,
    version: int = 1,
    powers_of_two: bool = True,
) -> Model:
    """A model of the one operator. The last of `quantized` is the output's."""
    quantized = quantized or [((), ())] * 3
    model = Model()
    sources = [
        model.tensor(shape, *quantum, type_=type_)
        for shape, type_, quantum in zip(shapes, types, quantized, strict=False)
    ]
    if output is None:
        output = np.broadcast_shapes(*(tuple(shape) for shape in shapes))
    target = model.tensor(
        output, *quantized[-1], type_=types[-1] if output_type is None else output_type
    )
    options = OPTIONS[name]()
    if hasattr(options, "fusedActivationFunction"):
        options.fusedActivationFunction = activation
    if hasattr(options, "potScaleInt16"):
        options.potScaleInt16 = powers_of_two
    add(model, name, sources, [target], options, version=version)
    model.graph.inputs, model.graph.outputs = sources, [target]
    return model


def quantized_alike(type_: int, scale: float = 0.25) -> list[tuple[list[float], list[int]]]:
    return [([scale], [0])] * 3 if type_ in QUANTIZED else []


# Sums ---------------------------------------------------------------------------------------------

SUM_TYPES = (INT8, UINT8, INT16, FLOAT32, INT32, INT64)


@relaxed
@given(
    name=st.sampled_from(["ADD", "SUB"]),
    type_=st.sampled_from(SUM_TYPES),
    shapes=broadcasts(),
    activation=st.sampled_from(ACTIVATIONS),
    data=st.data(),
    seed=seeds,
)
def test_sums(
    engines: list[Engine],
    name: str,
    type_: int,
    shapes: tuple[tuple[int, ...], ...],
    activation: int,
    data: st.DataObject,
    seed: int,
) -> None:
    """General scales; of scales that are powers of two int16 has its own way."""
    quantized = [data.draw(quantizations(type_)) for _ in range(3)]
    model = build(name, shapes, [type_] * 2, quantized, activation=activation, powers_of_two=False)
    check(engines, model, np.random.default_rng(seed))


@relaxed
@given(
    name=st.sampled_from(["ADD", "SUB"]),
    shifts=st.sampled_from([(0, 0), (0, 1), (1, 0), (0, 5), (15, 0)]),
    power=st.integers(-20, 0),
    activation=st.sampled_from(ACTIVATIONS),
    shapes=broadcasts(),
    seed=seeds,
)
def test_sums_of_int16_of_scales_that_are_powers_of_two(
    engines: list[Engine],
    name: str,
    shifts: tuple[int, int],
    power: int,
    activation: int,
    shapes: tuple[tuple[int, ...], ...],
    seed: int,
) -> None:
    """LiteRT aborts if such an ADD is broadcast."""
    if name == "ADD":
        shapes = (shapes[0], shapes[0])
    quantized = [([2.0 ** (power - shift)], [0]) for shift in (*shifts, 0)]
    model = build(name, shapes, [INT16] * 2, quantized, activation=activation)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["ADD", "SUB"])
def test_sums_of_int16_of_one_scale_that_is_a_power_of_two_but_for_a_thousandth(
    engines: list[Engine], name: str
) -> None:
    for odd in (0.25 * 1.0006, 0.25 * 1.0008, 0.25 * 0.9994):
        model = build(name, [[300], [300]], [INT16] * 2, [([odd], [0]), *[([0.25], [0])] * 2])
        check(engines, model, np.random.default_rng(1))


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
def test_integers_wrap(engines: list[Engine], name: str) -> None:
    types = [INT32] if name == "SQUARED_DIFFERENCE" else [INT32, INT64]
    for type_ in types:
        limits = np.iinfo(DTYPES[type_])
        ends = np.array([limits.min, limits.min + 1, -1, 0, 1, limits.max], DTYPES[type_])
        inputs = [np.repeat(ends, 6), np.tile(ends, 6)]
        check(engines, build(name, [[36], [36]], [type_] * 2), inputs)


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV"])
def test_infinities_become_finite_and_nan_stays(engines: list[Engine], name: str) -> None:
    ends = np.array([-np.inf, -FLT_MAX, -2, -0.0, 0, 1e-40, 3, FLT_MAX, np.inf, np.nan], np.float32)
    inputs = [np.repeat(ends, 10), np.tile(ends, 10)]
    for activation in ACTIVATIONS:
        model = build(name, [[100], [100]], [FLOAT32] * 2, activation=activation)
        expected = check(engines, model, inputs)
        assert not np.isinf(expected[0]).any() and np.isnan(expected[0]).any()


# Products and quotients ---------------------------------------------------------------------------


@relaxed
@given(
    type_=st.sampled_from(SUM_TYPES),
    shapes=broadcasts(),
    activation=st.sampled_from(ACTIVATIONS),
    data=st.data(),
    seed=seeds,
)
def test_mul(
    engines: list[Engine],
    type_: int,
    shapes: tuple[tuple[int, ...], ...],
    activation: int,
    data: st.DataObject,
    seed: int,
) -> None:
    quantized = [data.draw(quantizations(type_)) for _ in range(3)]
    model = build("MUL", shapes, [type_] * 2, quantized, activation=activation)
    check(engines, model, np.random.default_rng(seed))


@relaxed
@given(
    power=st.floats(-40, 12),
    type_=st.sampled_from([INT8, UINT8, INT16]),
    seed=seeds,
)
def test_mul_by_factors_of_all_sizes(
    engines: list[Engine], power: float, type_: int, seed: int
) -> None:
    """From where nothing is left to where results are shifted out of 32 bits."""
    quantized = [([1.0], [0]), ([1.0], [0]), ([2.0**-power], [0])]
    model = build("MUL", [[50], [50]], [type_] * 2, quantized)
    check(engines, model, np.random.default_rng(seed))


def test_factors_of_products_are_rounded_as_floats(engines: list[Engine]) -> None:
    """They are computed in float: of int16, one product in some thousands shows it."""
    rng = np.random.default_rng(11)
    for a, b, c in np.float32(2 ** rng.uniform(-15, -8, (8, 3))):
        # The largest product is the largest value.
        quantized = [([float(scale)], [0]) for scale in (a, b, a * b * 32768 * (1 + c))]
        model = build("MUL", [[40000]] * 2, [INT16] * 2, quantized)
        check(engines, model, rng)


DIVISIONS = {"DIV": (FLOAT32, INT32), "FLOOR_DIV": (FLOAT32, INT32)} | {
    "FLOOR_MOD": (FLOAT32, INT32, INT64)
}


def divisors(values: Array) -> Array:
    """LiteRT fails when it divides an integer by 0."""
    return np.where(values == 0, np.ones_like(values), values)


@relaxed
@given(
    case=st.sampled_from([(name, type_) for name, types in DIVISIONS.items() for type_ in types]),
    shapes=broadcasts(),
    activation=st.sampled_from(ACTIVATIONS),
    small=st.booleans(),
    seed=seeds,
)
def test_divisions(
    engines: list[Engine],
    case: tuple[str, int],
    shapes: tuple[tuple[int, ...], ...],
    activation: int,
    small: bool,
    seed: int,
) -> None:
    name, type_ = case
    model = build(name, shapes, [type_] * 2, activation=activation)
    rng = np.random.default_rng(seed)
    inputs = [draw_values(model, tensor, rng) for tensor in model.graph.inputs]
    if small and type_ != FLOAT32:
        inputs[1] = np.sign(inputs[1]) * (inputs[1] % 7)
    check(engines, model, [inputs[0], divisors(inputs[1]).astype(inputs[1].dtype)])


def test_remainders_of_floats_are_exact(engines: list[Engine]) -> None:
    rng = np.random.default_rng(7)
    model = build("FLOOR_MOD", [[5000], [5000]], [FLOAT32] * 2)
    inputs = [rng.integers(0, 2**32, 5000, np.uint32).view(np.float32) for _ in range(2)]
    check(engines, model, inputs)
    ends = np.array([0, 1e-45, 1e-40, 1.2e-38, 0.3, 1, 3, 1e30, FLT_MAX, np.inf, np.nan])
    ends = np.concatenate([ends, -ends]).astype(np.float32)
    model = build("FLOOR_MOD", [[484], [484]], [FLOAT32] * 2)
    check(engines, model, [np.repeat(ends, 22), np.tile(ends, 22)])


@pytest.mark.parametrize("name", ["FLOOR_DIV", "FLOOR_MOD"])
def test_divisions_at_the_ends_of_int32(engines: list[Engine], name: str) -> None:
    ends = np.array([-(2**31), -(2**31) + 1, -7, -1, 1, 2, 7, 2**31 - 1], np.int32)
    inputs = [np.repeat(ends, 8), np.tile(ends, 8)]
    kept = ~((inputs[0] == -(2**31)) & (inputs[1] == -1))  # traps in LiteRT
    inputs = [values[kept] for values in inputs]
    check(engines, build(name, [[63], [63]], [INT32] * 2), inputs)


@pytest.mark.parametrize("name", DIVISIONS)
def test_what_litert_does_not_divide(engines: list[Engine], name: str) -> None:
    """An integer by 0 is 0; the least by -1 is the least, or as near as the bounds have it."""
    for type_ in DIVISIONS[name][1:]:
        least = np.iinfo(DTYPES[type_]).min
        a = np.array([5, 0, -5, least, least], DTYPES[type_])
        b = np.array([0, 0, 0, 0, -1], DTYPES[type_])
        last = {"DIV": 2**31 - 1, "FLOOR_DIV": least, "FLOOR_MOD": 0}[name]
        model = build(name, [[5], [5]], [type_] * 2).pack()
        for engine in engines:
            np.testing.assert_array_equal(engine.run(model, [a, b])[0], [0, 0, 0, 0, last])


@relaxed
@given(
    type_=st.sampled_from([INT8, FLOAT32, INT32]),
    shapes=broadcasts(),
    scale=st.floats(-2, 4),
    data=st.data(),
    seed=seeds,
)
def test_squared_difference(
    engines: list[Engine],
    type_: int,
    shapes: tuple[tuple[int, ...], ...],
    scale: float,
    data: st.DataObject,
    seed: int,
) -> None:
    quantized = [data.draw(quantizations(type_)) for _ in range(3)]
    if type_ == INT8:
        largest = max(quantized[0][0][0], quantized[1][0][0])
        quantized[2] = [largest**2 * 2.0**scale], quantized[2][1]
    model = build("SQUARED_DIFFERENCE", shapes, [type_] * 2, quantized)
    check(engines, model, np.random.default_rng(seed))


@relaxed
@given(
    name=st.sampled_from(["MAXIMUM", "MINIMUM"]),
    type_=st.sampled_from(SUM_TYPES),
    shapes=broadcasts(),
    data=st.data(),
    seed=seeds,
)
def test_extremes(
    engines: list[Engine],
    name: str,
    type_: int,
    shapes: tuple[tuple[int, ...], ...],
    data: st.DataObject,
    seed: int,
) -> None:
    """LiteRT compares quantised values as they are, of whatever scales."""
    quantized = [data.draw(quantizations(type_)) for _ in range(3)]
    model = build(name, shapes, [type_] * 2, quantized)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["MAXIMUM", "MINIMUM"])
def test_extremes_of_nan(engines: list[Engine], name: str) -> None:
    ends = np.array([-np.inf, -1, 0, 2, np.inf, np.nan], np.float32)
    inputs = [np.repeat(ends, 6), np.tile(ends, 6)]
    check(engines, build(name, [[36], [36]], [FLOAT32] * 2), inputs)


# Powers -------------------------------------------------------------------------------------------


@relaxed
@given(shapes=broadcasts(), seed=seeds)
def test_pow_of_floats(
    engines: list[Engine], shapes: tuple[tuple[int, ...], ...], seed: int
) -> None:
    model = build("POW", shapes, [FLOAT32] * 2)
    rng = np.random.default_rng(seed)
    base = rng.exponential(2, shapes[0]).astype(np.float32)
    exponent = rng.normal(0, 3, shapes[1]).astype(np.float32)
    check(engines, model, [base, exponent], rtol=1e-6)


def test_pow_by_one_exponent(engines: list[Engine]) -> None:
    """LiteRT multiplies if it is a whole number, or within 1e-5 of one: less exact than here."""
    base = np.random.default_rng(5).normal(0, 2, 200).astype(np.float32)
    for exponent in (-3, -2, -1, 0, 1, 2, 3, 4, 7, 10, 31, 0.5, 1.5):
        inputs = [
            base if exponent == int(exponent) else np.abs(base),
            np.array([exponent], np.float32),
        ]
        check(engines, build("POW", [[200], [1]], [FLOAT32] * 2), inputs, rtol=3e-6)


def test_pow_of_extreme_floats(engines: list[Engine]) -> None:
    ends = np.array([0, 1e-45, 1e-38, 0.5, 1, 1.5, 2, 3, 1e9, FLT_MAX, np.inf, np.nan])
    both = np.concatenate([ends, -ends]).astype(np.float32)
    model = build("POW", [[576], [576]], [FLOAT32] * 2)
    check(engines, model, [np.repeat(both, 24), np.tile(both, 24)], rtol=1e-6)


@relaxed
@given(shapes=broadcasts(), seed=seeds)
def test_pow_of_integers(
    engines: list[Engine], shapes: tuple[tuple[int, ...], ...], seed: int
) -> None:
    """What fits in 32 bits; LiteRT fails at exponents below 0."""
    rng = np.random.default_rng(seed)
    exponent = rng.integers(0, 10, shapes[1], np.int32)
    base = rng.integers(-10, 11, shapes[0], np.int32)
    check(engines, build("POW", shapes, [INT32] * 2), [base, exponent])


def test_what_litert_does_not_raise(engines: list[Engine]) -> None:
    base = np.array([2, 3, -3, 1, -1, -1, 0, 5, 2**31 - 1], np.int32)
    exponent = np.array([32, 31, 31, -5, -5, -4, -1, -1, 2**31 - 1], np.int32)
    wrapped = np.array([0, 3**31, -(3**31), 1, -1, 1, 0, 0, 2**31 - 1], np.int64)
    expected = wrapped.astype(np.int32)
    model = build("POW", [[9], [9]], [INT32] * 2).pack()
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model, [base, exponent])[0], expected)


# Comparisons and logic ----------------------------------------------------------------------------

COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
TO_BOOL = [
    *((name, type_) for name in COMPARISONS for type_ in (INT8, UINT8, FLOAT32, INT32, INT64)),
    *((name, BOOL) for name in ("EQUAL", "NOT_EQUAL", "LOGICAL_AND", "LOGICAL_OR")),
]


@relaxed
@given(
    case=st.sampled_from(TO_BOOL),
    shapes=broadcasts(),
    alike=st.booleans(),
    data=st.data(),
    seed=seeds,
)
def test_comparisons_and_logic(
    engines: list[Engine],
    case: tuple[str, int],
    shapes: tuple[tuple[int, ...], ...],
    alike: bool,
    data: st.DataObject,
    seed: int,
) -> None:
    """Many elements equal, of one scale or two."""
    name, type_ = case
    quantized = [data.draw(quantizations(type_)) for _ in range(2)]
    if alike:
        quantized[1] = quantized[0]
    model = build(name, shapes, [type_] * 2, [*quantized, ((), ())], output_type=BOOL)
    rng = np.random.default_rng(seed)
    inputs = [draw_values(model, tensor, rng) for tensor in model.graph.inputs]
    if type_ != BOOL and data.draw(st.booleans()):
        inputs = [(values % 3).astype(values.dtype) for values in inputs]
    check(engines, model, inputs)


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_pair_of_int8_compares_alike(engines: list[Engine], name: str) -> None:
    every = np.arange(-128, 128).astype(np.int8)
    for quantized in ([([0.3], [5]), ([0.7], [-9])], [([0.999], [127]), ([2.0**-20], [-128])]):
        shapes = [[256, 1], [256]]
        model = build(name, shapes, [INT8] * 2, [*quantized, ((), ())], output_type=BOOL)
        check(engines, model, [every[:, None], every])


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_of_nan(engines: list[Engine], name: str) -> None:
    ends = np.array([-np.inf, -1, -0.0, 0, 2, np.inf, np.nan], np.float32)
    inputs = [np.repeat(ends, 7), np.tile(ends, 7)]
    check(engines, build(name, [[49], [49]], [FLOAT32] * 2, output_type=BOOL), inputs)


@pytest.mark.parametrize("name", ["EQUAL", "NOT_EQUAL", "LOGICAL_AND", "LOGICAL_OR"])
def test_any_byte_but_0_is_true(engines: list[Engine], name: str) -> None:
    """A model's constant, or its caller, may say so."""
    a = np.array([0, 1, 2, 255, 2, 0], np.uint8)
    b = np.array([0, 2, 1, 2, 0, 128], np.uint8)
    true, also = a != 0, b != 0
    expected = {
        "EQUAL": true == also,
        "NOT_EQUAL": true != also,
        "LOGICAL_AND": true & also,
        "LOGICAL_OR": true | also,
    }[name]
    model = build(name, [[6], [6]], [BOOL] * 2).pack()
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model, [a, b])[0], expected)


# All of them --------------------------------------------------------------------------------------

VERSIONS = {
    "ADD": 5,
    "SUB": 5,
    "MUL": 7,
    "DIV": 2,
    "FLOOR_DIV": 3,
    "FLOOR_MOD": 2,
    "MAXIMUM": 4,
    "MINIMUM": 4,
    "SQUARED_DIFFERENCE": 2,
    "POW": 1,
    "EQUAL": 5,
    "NOT_EQUAL": 4,
    "GREATER": 2,
    "GREATER_EQUAL": 3,
    "LESS": 3,
    "LESS_EQUAL": 2,
    "LOGICAL_AND": 1,
    "LOGICAL_OR": 1,
}
ALL = sorted(VERSIONS)
TYPES = {
    **dict.fromkeys(ALL, {FLOAT32, INT32}),
    **dict.fromkeys(["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"], set(SUM_TYPES)),
    **dict.fromkeys(COMPARISONS, {INT8, UINT8, FLOAT32, INT32, INT64}),
    **dict.fromkeys(["EQUAL", "NOT_EQUAL"], {INT8, UINT8, FLOAT32, INT32, INT64, BOOL}),
    **dict.fromkeys(["LOGICAL_AND", "LOGICAL_OR"], {BOOL}),
    "FLOOR_MOD": {FLOAT32, INT32, INT64},
    "SQUARED_DIFFERENCE": {INT8, FLOAT32, INT32},
}


def plain(name: str, type_: int, **others: Any) -> Model:
    """Good, unless the others make it bad."""
    output_type = BOOL if (name, type_) in TO_BOOL else type_
    arguments: dict[str, Any] = {
        "shapes": [SHAPE] * 2,
        "types": [type_] * 2,
        "quantized": quantized_alike(type_),
        "output_type": output_type,
    }
    return build(name, **{**arguments, **others})


def status_of(engines: list[Engine], model: Model) -> Status:
    found = refused(engines[0], model)
    assert found.op_index == 0
    return found.status


@pytest.mark.parametrize("name", ALL)
def test_versions(engines: list[Engine], name: str) -> None:
    type_ = BOOL if name.startswith("LOGICAL") else INT32
    inputs = [np.ones(SHAPE, DTYPES[type_])] * 2
    check(engines, plain(name, type_, version=VERSIONS[name]), inputs)
    for version in (0, VERSIONS[name] + 1):
        model = plain(name, type_, version=version)
        assert status_of(engines, model) == Status.MODEL_UNSUPPORTED_OP


@pytest.mark.parametrize("name", ALL)
def test_types(engines: list[Engine], name: str) -> None:
    """One type for both inputs and the output; a comparison's output is bool."""
    others = {schema.TensorType.FLOAT64: 8, schema.TensorType.UINT32: 4}
    for type_ in [*DTYPES, *others]:
        if type_ not in TYPES[name]:
            model = plain(name, type_)
            source = model.tensor([2])
            model.graph.inputs, model.graph.outputs = [source], [source]
            for tensor in (0, 1):
                model.graph.tensors[tensor].buffer = len(model.model.buffers)
            model.model.buffers.append(schema.BufferT())
            size = np.dtype(DTYPES[type_]).itemsize if type_ in DTYPES else others[type_]
            model.model.buffers[-1].data = np.zeros(6 * size, np.uint8)
            assert status_of(engines, model) == Status.MODEL_UNSUPPORTED_TYPE
            continue
        model = plain(name, type_)
        assert engines[0].run(model.pack(), [np.ones(SHAPE, DTYPES[type_])] * 2)
        other = INT8 if type_ == FLOAT32 else FLOAT32
        for bad in (
            plain(name, type_, types=[type_, other], quantized=quantized_alike(INT8)),
            plain(name, type_, types=[other, type_], quantized=quantized_alike(INT8)),
            plain(name, type_, output_type=other, quantized=quantized_alike(INT8)),
            plain(name, type_, output_type=INT64 if type_ != INT64 else INT32),
        ):
            assert status_of(engines, bad) == Status.MODEL_UNSUPPORTED_TYPE


@pytest.mark.parametrize("name", ALL)
def test_shapes_that_do_not_go_together_are_refused(engines: list[Engine], name: str) -> None:
    for type_ in TYPES[name]:
        for shapes, output in (
            ([(2, 3), (2, 2)], (2, 3)),
            ([(2, 3), (3, 2)], (2, 3)),
            ([(2, 3), (2,)], (2, 3)),
            ([(2, 3), (2, 3)], (2, 4)),
            ([(2, 3), (2, 3)], (6,)),
            ([(2, 3), (1, 2, 3)], (2, 3)),
            ([(2, 1), (3,)], (2, 1)),
            ([(1,), (1,)], ()),
        ):
            model = plain(name, type_, shapes=shapes, output=output)
            assert status_of(engines, model) == Status.MODEL_SHAPE


@pytest.mark.parametrize("name", ["ADD", "MUL", "LESS", "POW", "FLOOR_MOD"])
def test_several_tiles_and_rows_across_their_ends(engines: list[Engine], name: str) -> None:
    output_type = BOOL if name == "LESS" else FLOAT32
    shapes = [(7, 1, 411, 5), (13, 1, 5)]
    model = build(name, shapes, [FLOAT32] * 2, output_type=output_type)
    rng = np.random.default_rng(3)
    inputs = [rng.exponential(3, shape).astype(np.float32) for shape in shapes]
    check(engines, model, inputs, rtol=1e-6)


RESCALED = {
    "ADD": (UINT8, INT16),
    "SUB": (INT8, UINT8, INT16),
    "MUL": (INT8, UINT8, INT16),
    "SQUARED_DIFFERENCE": (INT8,),
    **dict.fromkeys(COMPARISONS, (INT8, UINT8)),
}
GOOD = ([0.25], [0])


@pytest.mark.parametrize("name", RESCALED)
def test_tensors_that_are_not_quantised_are_refused(engines: list[Engine], name: str) -> None:
    for type_ in RESCALED[name]:
        for bad in (([], []), ([np.nan], [0]), ([0.0], [0]), ([0.1, 0.2], [0, 0]), ([1], [70000])):
            for which in range(2 if name in COMPARISONS else 3):
                quantized = [GOOD] * 3
                quantized[which] = bad
                model = plain(name, type_, quantized=quantized)
                assert status_of(engines, model) == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_int16_around_another_than_0_is_refused(engines: list[Engine], name: str) -> None:
    for which in range(3):
        quantized = [GOOD] * 3
        quantized[which] = ([0.25], [1])
        model = plain(name, INT16, quantized=quantized)
        assert status_of(engines, model) == Status.MODEL_QUANTIZATION


FAR_APART = [
    # Factors of 1 or more
    ("SUB", INT8, (1.0, 1.0, 2.0**-19)),
    ("SUB", UINT8, (1.0, 0.5, 2.0**-30)),
    ("ADD", UINT8, (0.5, 1.0, 2.0**-19)),
    ("ADD", INT16, (0.7, 0.7, 2.0**-15)),
    ("SUB", INT16, (0.7, 0.7, 2.0**-15)),
    ("SQUARED_DIFFERENCE", INT8, (1.0, 1.0, 2.0**-12)),
    # More than floats hold
    ("SUB", INT8, (2.0**127, 1.0, 1.0)),
    ("SUB", INT8, (2.0**120, 1.0, 2.0**120)),
    ("SQUARED_DIFFERENCE", INT8, (2.0**60, 2.0**60, 2.0**115)),
    ("MUL", INT8, (2.0**100, 2.0**100, 1.0)),
    ("MUL", INT8, (2.0**-100, 2.0**-100, 1.0)),
    ("MUL", INT8, (1.0, 1.0, 2.0**-30)),
    ("MUL", INT16, (2.0**100, 1.0, 2.0**70)),
    # Powers of two that are not shifted to the right, or both, or too far
    ("ADD", INT16, (0.5, 0.25, 0.25)),
    ("SUB", INT16, (0.25, 0.5, 0.25)),
    ("SUB", INT16, (0.25, 0.25, 0.5)),
    ("ADD", INT16, (1.0, 2.0**-16, 1.0)),
    ("SUB", INT16, (2.0**-149, 1.0, 1.0)),
    ("LESS", INT8, (1.0, 0.5, 1.0)),
    ("EQUAL", UINT8, (0.5, 3.0, 1.0)),
]


@pytest.mark.parametrize(("name", "type_", "scales"), FAR_APART)
def test_scales_too_far_apart_are_refused(
    engines: list[Engine], name: str, type_: int, scales: tuple[float, float, float]
) -> None:
    quantized = [([scale], [0]) for scale in scales]
    assert status_of(engines, plain(name, type_, quantized=quantized)) == Status.MODEL_QUANTIZATION


@pytest.mark.parametrize(
    ("name", "type_", "scales"),
    [
        ("SUB", INT8, (1.0, 1.0, 2.0**-19 * 1.001)),
        ("SUB", INT8, (2.0**-40, 1.0, 0.01)),
        ("ADD", INT16, (0.7, 0.7, 0.7 * 2.0**-14 * 1.001)),
        ("SQUARED_DIFFERENCE", INT8, (1.0, 1.0, 2.0**-12 * 1.001)),
        ("MUL", INT8, (1.0, 1.0, 2.0**-29.9)),
        ("GREATER", INT8, (1 - 2.0**-24, 2.0**-30, 1.0)),
    ],
)
def test_scales_just_not_too_far_apart(
    engines: list[Engine], name: str, type_: int, scales: tuple[float, float, float]
) -> None:
    quantized = [([float(np.float32(scale))], [0]) for scale in scales]
    model = plain(name, type_, shapes=[(300,)] * 2, quantized=quantized)
    check(engines, model, np.random.default_rng(9))


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV"])
def test_activations_that_are_not_fused_are_refused(engines: list[Engine], name: str) -> None:
    for type_ in TYPES[name]:
        for activation in (4, 5, 6, 127):
            model = plain(name, type_, activation=activation)
            assert status_of(engines, model) == Status.MODEL_UNSUPPORTED_OP
        if type_ in QUANTIZED:
            # 6 is beyond 32 bits. A factor of 1 is good for products.
            first = [1.0 if name == "MUL" else 1e-30]
            tiny = [(first, [0]), *[([1e-30], [0])] * 2]
            model = plain(name, type_, activation=ACTIVATIONS[3], quantized=tiny)
            assert status_of(engines, model) == Status.MODEL_UNSUPPORTED_OP


@pytest.mark.parametrize("name", ALL)
def test_options_of_another_operator_are_refused(engines: list[Engine], name: str) -> None:
    model = plain(name, BOOL if name.startswith("LOGICAL") else INT32)
    op = model.graph.operators[0]
    op.builtinOptionsType, op.builtinOptions = 17, schema.ReshapeOptionsT()
    assert status_of(engines, model) == Status.MODEL_MALFORMED


@pytest.mark.parametrize("name", ALL)
def test_constants_are_computed_while_preparing(engines: list[Engine], name: str) -> None:
    """And are the same as computed at run time."""
    type_ = BOOL if name.startswith("LOGICAL") else INT32
    values = [np.array([[3, 1, 0], [1, 1, 5]], DTYPES[type_]), np.array([2, 1, 4], DTYPES[type_])]
    model = plain(name, type_, shapes=[(2, 3), (3,)])
    expected = check(engines, model, values)[0]
    for tensor, value in zip(model.graph.inputs, values, strict=True):
        model.graph.tensors[tensor].buffer = len(model.model.buffers)
        model.model.buffers.append(schema.BufferT())
        model.model.buffers[-1].data = np.frombuffer(value.tobytes(), np.uint8)
    computed = model.graph.outputs[0]
    kind = model.graph.tensors[computed].type
    sources = [model.tensor((2, 3), type_=BOOL), model.tensor((2, 3), type_=kind)]
    target = model.tensor((2, 3), type_=kind)
    add(model, "SELECT", [sources[0], computed, sources[1]], [target], schema.SelectOptionsT())
    model.graph.inputs, model.graph.outputs = sources, [target]
    inputs = [np.ones((2, 3), np.bool_), np.zeros((2, 3), expected.dtype)]
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), inputs)[0], expected)
