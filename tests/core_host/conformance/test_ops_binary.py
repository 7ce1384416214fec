# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators of two inputs: arithmetic, comparisons, logic."""

from collections.abc import Sequence

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
