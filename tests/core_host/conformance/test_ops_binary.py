# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators of two inputs: arithmetic, comparisons, logic."""

from collections.abc import Sequence

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
    dtype_of,
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
def broadcasts(
    draw: st.DrawFn, inputs: int = 2, max_rank: int = 6
) -> tuple[tuple[int, ...], ...]:
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
    pot: bool = True,
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
        options.potScaleInt16 = pot
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
    """General scales; pot_scale_int16 says nothing about these."""
    quantized = [data.draw(quantizations(type_)) for _ in range(3)]
    model = build(name, shapes, [type_] * 2, quantized, activation=activation, pot=False)
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
        inputs = [base if exponent == int(exponent) else np.abs(base), np.float32([exponent])]
        check(engines, build("POW", [[200], [1]], [FLOAT32] * 2), inputs, rtol=3e-6)


def test_pow_of_extreme_floats(engines: list[Engine]) -> None:
    ends = [0, 1e-45, 1e-38, 0.5, 1, 1.5, 2, 3, 1e9, FLT_MAX, np.inf, np.nan]
    both = np.float32(ends + [-end for end in ends])
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
