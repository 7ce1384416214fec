# SPDX-License-Identifier: Apache-2.0
"""CONCATENATION, PACK, SPLIT, SPLIT_V, UNPACK, PAD, PADV2, MIRROR_PAD."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conformance import (
    BOOL,
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
    shapes,
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from moving import (
    TYPES,
    UINT8,
    assert_refused,
    build,
    numbers,
    options,
    scale_of,
    types,
)
from tflite_models import Model

from sandbox.tee_abi import Status

# CONCATENATION, PACK ------------------------------------------------------------------------------


def concatenation(
    type_: int, sides: Sequence[int], shape: Sequence[int], axis: int, zero_point: int = 0
) -> Model:
    """Inputs of these sides in dimension `axis`, and otherwise of that shape."""
    at = axis % len(shape)
    sources = [[*shape[:at], side, *shape[at + 1 :]] for side in sides]
    target = [*shape[:at], sum(sides), *shape[at + 1 :]]
    made = options("Concatenation", axis=axis, fusedActivationFunction=0)
    return build(
        "CONCATENATION", type_, sources, [], [target], made, version=2, zero_point=zero_point
    )


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=types,
    sides=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    axis=st.integers(-6, 5),
    zero_point=zero_points,
    seed=seeds,
)
def test_concatenation(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    sides: list[int],
    axis: int,
    zero_point: int,
    seed: int,
) -> None:
    """Of up to five tensors, in any dimension."""
    if not -len(shape) <= axis < len(shape):
        axis %= len(shape)
    model = concatenation(type_, sides, shape, axis, zero_point)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("type_", [INT8, FLOAT32])
@pytest.mark.parametrize(
    ("shape", "axis"), [((1, 80, 80, 64), 3), ((1, 80, 80, 64), 1), ((700000, 1), 1)]
)
def test_concatenation_of_large_tensors(
    engines: list[Engine], type_: int, shape: tuple[int, ...], axis: int
) -> None:
    """They fall into several tiles, where there are rows."""
    sides = [shape[axis], 1, 3]
    check(engines, concatenation(type_, sides, shape, axis), np.random.default_rng(1))


def test_concatenation_of_a_constant(engines: list[Engine]) -> None:
    """And of one tensor twice."""
    model = Model()
    source = model.tensor([2, 3], [0.5], [7])
    fixed = model.tensor([2, 1], [0.5], [7], data=np.array([[-128], [127]], np.int8))
    target = model.tensor([2, 7], [0.5], [7])
    made = options("Concatenation", axis=-1, fusedActivationFunction=0)
    add(model, "CONCATENATION", [source, fixed, source], [target], made, version=2)
    model.graph.inputs, model.graph.outputs = [source], [target]
    check(engines, model, np.random.default_rng(2))


def test_shapes_are_computed_while_preparing_even_of_nothing(engines: list[Engine]) -> None:
    """A shape cut to nothing, joined with another, and used: empty constants are allowed."""
    model = Model()
    source = model.tensor([2, 3], type_=FLOAT32)
    shape = model.tensor([2], data=numbers(2, 3), type_=INT32)
    zero = model.tensor([1], data=numbers(0), type_=INT32)
    one = model.tensor([1], data=numbers(1), type_=INT32)
    rest = model.tensor([1], data=numbers(6), type_=INT32)
    nothing = model.tensor([0], type_=INT32)
    joined = model.tensor([1], type_=INT32)
    target = model.tensor([6], type_=FLOAT32)
    made = options("StridedSlice", beginMask=0, endMask=0)
    add(model, "STRIDED_SLICE", [shape, zero, zero, one], [nothing], made)
    made = options("Concatenation", axis=0, fusedActivationFunction=0)
    add(model, "CONCATENATION", [nothing, rest], [joined], made)
    made = options("Reshape")
    made.newShape = None
    add(model, "RESHAPE", [source, joined], [target], made)
    model.graph.inputs, model.graph.outputs = [source], [target]
    check(engines, model, np.random.default_rng(3))


@pytest.mark.parametrize(
    ("type_", "other"),
    [(INT8, ([0.25], [0])), (INT8, ([0.5], [1])), (UINT8, ([0.25], [128])), (INT16, ([0.25], [0]))],
)
@pytest.mark.parametrize("name", ["CONCATENATION", "PACK"])
def test_tensors_of_different_scales_are_not_joined(
    engines: list[Engine], name: str, type_: int, other: tuple[list[float], list[int]]
) -> None:
    """LiteRT refuses int8 too; uint8 it would rescale, which is not done here."""
    model = Model()
    inputs = [model.tensor([2, 3], *scale_of(type_), type_=type_)]
    inputs.append(model.tensor([2, 3], *other, type_=type_))
    if name == "PACK":
        made, shape = options("Pack", axis=0, valuesCount=2), [2, 2, 3]
    else:
        made, shape = options("Concatenation", axis=0), [4, 3]
    target = model.tensor(shape, *scale_of(type_), type_=type_)
    add(model, name, inputs, [target], made)
    model.graph.inputs, model.graph.outputs = inputs, [target]
    assert_refused(engines[0], model, Status.MODEL_QUANTIZATION, "same scale")


def test_bad_concatenations_are_refused(engines: list[Engine]) -> None:
    engine = engines[0]

    def one(bend: Any, status: Status, reason: str) -> None:
        model = concatenation(INT8, [1, 2], [2, 2, 3], 1)
        bend(model.graph)
        assert_refused(engine, model, status, reason)

    def axis(value: int) -> Any:
        return lambda graph: setattr(graph.operators[0].builtinOptions, "axis", value)

    def shape(tensor: int, value: list[int]) -> Any:
        return lambda graph: setattr(graph.tensors[tensor], "shape", value)

    def absent(graph: Any) -> None:
        graph.operators[0].inputs = [0, -1]

    def activation(graph: Any) -> None:
        graph.operators[0].builtinOptions.fusedActivationFunction = 1

    def type_(graph: Any) -> None:
        graph.tensors[1].type = UINT8

    one(axis(3), Status.MODEL_SHAPE, "axis")
    one(axis(-4), Status.MODEL_SHAPE, "axis")
    one(axis(-(2**31)), Status.MODEL_SHAPE, "axis")
    one(axis(0), Status.MODEL_SHAPE, "differ")
    one(shape(0, [2, 1, 4]), Status.MODEL_SHAPE, "differ")
    one(shape(0, [1, 3]), Status.MODEL_SHAPE, "differ")
    one(shape(2, [2, 4, 3]), Status.MODEL_SHAPE, "computes")
    one(shape(2, [2, 2, 3]), Status.MODEL_SHAPE, "computes")
    one(absent, Status.MODEL_MALFORMED, "lacks")
    one(activation, Status.MODEL_UNSUPPORTED_OP, "activation")
    one(type_, Status.MODEL_UNSUPPORTED_TYPE, "types")


@relaxed
@given(
    shape=shapes(0, 5, 4),
    type_=st.sampled_from([t for t in TYPES if t != BOOL]),
    count=st.integers(1, 5),
    axis=st.integers(-6, 5),
    zero_point=zero_points,
    seed=seeds,
)
def test_pack(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    count: int,
    axis: int,
    zero_point: int,
    seed: int,
) -> None:
    """Also of scalars. LiteRT has it for all types but bool."""
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        axis %= rank
    target = list(shape)
    target.insert(axis % rank, count)
    made = options("Pack", axis=axis, valuesCount=count)
    model = build("PACK", type_, [shape] * count, [], [target], made, zero_point=zero_point)
    check(engines, model, np.random.default_rng(seed))


def test_bad_packs_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "axis": 0,
            "count": 2,
            "sources": [[2, 3], [2, 3]],
            "target": [2, 2, 3],
        } | fields
        made = options("Pack", axis=values["axis"], valuesCount=values["count"])
        model = build("PACK", INT8, values["sources"], [], [values["target"]], made)
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "axis", axis=3)
    one(Status.MODEL_SHAPE, "axis", axis=-4)
    one(Status.MODEL_MALFORMED, "options", count=3)
    one(Status.MODEL_SHAPE, "differ", sources=[[2, 3], [3, 2]])
    one(Status.MODEL_SHAPE, "computes", target=[2, 3, 2])
    one(Status.MODEL_SHAPE, "computes", axis=1, target=[2, 2, 4])
    one(Status.MODEL_LIMIT, "6", sources=[[1] * 6] * 2, target=[2, 1, 1, 1, 1, 1])


# SPLIT, SPLIT_V, UNPACK ---------------------------------------------------------------------------


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=st.sampled_from([t for t in TYPES if t != BOOL]),
    parts=st.integers(1, 5),
    axis=st.integers(-6, 5),
    seed=seeds,
)
def test_split(
    engines: list[Engine], shape: tuple[int, ...], type_: int, parts: int, axis: int, seed: int
) -> None:
    """LiteRT has it for all types but bool."""
    if not -len(shape) <= axis < len(shape):
        axis %= len(shape)
    part = list(shape)
    whole = list(shape)
    whole[axis] *= parts
    where = np.array(axis, np.int32)
    made = options("Split", numSplits=parts)
    model = build("SPLIT", type_, [whole], [where], [part] * parts, made, order=[1, 0], version=2)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("axis", [1, 3])
def test_split_of_a_large_tensor(engines: list[Engine], axis: int) -> None:
    whole = [1, 64, 64, 96]
    part = list(whole)
    part[axis] //= 2
    model = build(
        "SPLIT",
        INT8,
        [whole],
        [np.array(axis, np.int32)],
        [part, part],
        options("Split", numSplits=2),
        order=[1, 0],
        version=2,
    )
    check(engines, model, np.random.default_rng(4))


def test_bad_splits_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "axis": numbers(1),
            "count": 2,
            "targets": [[2, 2], [2, 2]],
        } | fields
        made = options("Split", numSplits=values["count"])
        model = build(
            "SPLIT", INT8, [[2, 4]], [values["axis"]], values["targets"], made, order=[1, 0]
        )
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "axis", axis=numbers(2))
    one(Status.MODEL_SHAPE, "axis", axis=numbers(-3))
    one(Status.MODEL_SHAPE, "axis", axis=numbers(2**62, dtype=np.int64))
    one(Status.MODEL_SHAPE, "as many numbers", axis=numbers(1, 1))
    one(Status.MODEL_UNSUPPORTED_TYPE, "int32", axis=np.array([1], np.float32))
    one(Status.MODEL_MALFORMED, "options", count=3)
    one(Status.MODEL_SHAPE, "differ", targets=[[2, 2], [1, 2]])
    one(Status.MODEL_SHAPE, "its size", targets=[[2, 2], [2, 1]])
    one(Status.MODEL_SHAPE, "equal size", targets=[[2, 3], [2, 1]])


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=st.sampled_from([t for t in TYPES if t != BOOL]),
    sides=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    axis=st.integers(-6, 5),
    left=st.booleans(),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=seeds,
)
def test_split_v(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    sides: list[int],
    axis: int,
    left: bool,
    dtype: type,
    seed: int,
) -> None:
    """One size may be left to the operator. LiteRT has it for all types but bool."""
    if not -len(shape) <= axis < len(shape):
        axis %= len(shape)
    whole = list(shape)
    whole[axis] = sum(sides)
    parts = [[side if i == axis % len(shape) else n for i, n in enumerate(shape)] for side in sides]
    told = numbers(*sides, dtype=dtype)
    if left:
        told[seed % len(sides)] = -1
    made = options("SplitV", numSplits=len(sides))
    where = np.array(axis, np.int32)
    model = build("SPLIT_V", type_, [whole], [told, where], parts, made)
    check(engines, model, np.random.default_rng(seed))


def test_bad_splits_to_sizes_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "sizes": numbers(1, 3),
            "axis": numbers(1),
            "count": 2,
            "targets": [[2, 1], [2, 3]],
        } | fields
        made = options("SplitV", numSplits=values["count"])
        constants = [values["sizes"], values["axis"]]
        model = build("SPLIT_V", INT8, [[2, 4]], constants, values["targets"], made)
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "axis", axis=numbers(2))
    one(Status.MODEL_MALFORMED, "options", count=1)
    one(Status.MODEL_SHAPE, "as many sizes", sizes=numbers(1, 2, 1))
    one(Status.MODEL_SHAPE, "size of a part", sizes=numbers(3, 1))
    one(Status.MODEL_SHAPE, "size of a part", sizes=numbers(-1, -1))
    one(Status.MODEL_SHAPE, "size of a part", sizes=numbers(2**32 + 1, 3, dtype=np.int64))
    one(Status.MODEL_UNSUPPORTED_TYPE, "int32", sizes=np.array([1, 3], np.float32))
    one(Status.MODEL_SHAPE, "its size", targets=[[2, 1], [2, 2]])


@relaxed
@given(
    shape=shapes(0, 5, 4),
    type_=st.sampled_from([t for t in TYPES if t != INT64]),
    count=st.integers(1, 5),
    axis=st.integers(-6, 5),
    zero_point=zero_points,
    seed=seeds,
)
def test_unpack(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    count: int,
    axis: int,
    zero_point: int,
    seed: int,
) -> None:
    """Also to scalars. LiteRT has it for all types but int64."""
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        axis %= rank
    whole = list(shape)
    whole.insert(axis % rank, count)
    made = options("Unpack", axis=axis, num=count)
    model = build("UNPACK", type_, [whole], [], [shape] * count, made, zero_point=zero_point)
    check(engines, model, np.random.default_rng(seed))


def test_bad_unpacks_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "axis": 0,
            "count": 2,
            "source": [2, 3],
            "targets": [[3], [3]],
        } | fields
        made = options("Unpack", axis=values["axis"], num=values["count"])
        model = build("UNPACK", INT8, [values["source"]], [], values["targets"], made)
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "axis", axis=2)
    one(Status.MODEL_SHAPE, "axis", axis=-3)
    one(Status.MODEL_SHAPE, "axis", source=[])
    one(Status.MODEL_MALFORMED, "options", count=3)
    one(Status.MODEL_SHAPE, "each part", axis=1)
    one(Status.MODEL_SHAPE, "computes", targets=[[3], [2]])
    one(Status.MODEL_SHAPE, "computes", targets=[[3], [1, 3]])

    model = build("UNPACK", INT8, [[2, 3]], [], [[3], [3]], options("Unpack", axis=0, num=2))
    model.graph.tensors[2].quantization.scale = [0.25]
    assert_refused(engines[0], model, Status.MODEL_QUANTIZATION, "same scale")


# PAD, PADV2, MIRROR_PAD ---------------------------------------------------------------------------


def padded(shape: Sequence[int], borders: Array) -> list[int]:
    return [int(n + sum(border)) for n, border in zip(shape, borders, strict=True)]


@st.composite
def borders(draw: st.DrawFn, rank: int, most: Sequence[int] | None = None) -> Array:
    """Two for each dimension, often 0; int32 or int64."""
    limits = most or [4] * rank
    rows = [
        [draw(st.sampled_from([0, 0, min(1, n), n]) | st.integers(0, n)) for _ in range(2)]
        for n in limits
    ]
    dtype = draw(st.sampled_from([np.int32, np.int64]))
    return np.array(rows, dtype).reshape(rank, 2)


@relaxed
@given(shape=shapes(1, 5, 4), type_=types, data=st.data(), zero_point=zero_points, seed=seeds)
def test_pad(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    data: st.DataObject,
    zero_point: int,
    seed: int,
) -> None:
    """With what is 0: the zero point."""
    around = data.draw(borders(len(shape)))
    model = build(
        "PAD",
        type_,
        [shape],
        [around],
        [padded(shape, around)],
        options("Pad"),
        version=2,
        zero_point=zero_point,
    )
    check(engines, model, np.random.default_rng(seed))


@relaxed
@given(
    shape=shapes(1, 5, 4),
    type_=types,
    data=st.data(),
    zero_point=zero_points,
    constant=st.booleans(),
    seed=seeds,
)
def test_padv2(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    data: st.DataObject,
    zero_point: int,
    constant: bool,
    seed: int,
) -> None:
    """With a value that is a constant, or comes when the model is run."""
    rng = np.random.default_rng(seed)
    around = data.draw(borders(len(shape)))
    model = build(
        "PADV2",
        type_,
        [shape],
        [around],
        [padded(shape, around)],
        options("PadV2"),
        version=2,
        zero_point=zero_point,
    )
    scale = scale_of(type_, zero_point)
    value = model.tensor([1], *scale, type_=type_)
    if constant:
        drawn = draw_values(model, value, rng)
        value = model.tensor([1], *scale, type_=type_, data=drawn)
    else:
        model.graph.inputs.append(value)
    model.graph.operators[0].inputs.append(value)
    check(engines, model, rng)


@pytest.mark.parametrize("type_", [INT8, FLOAT32])
@pytest.mark.parametrize("around", [[[0, 0], [1, 2], [3, 4], [0, 0]], [[0, 0]] * 3 + [[5, 6]]])
def test_pad_of_a_large_tensor(engines: list[Engine], type_: int, around: list[list[int]]) -> None:
    shape = [1, 80, 80, 64]
    told = np.array(around, np.int32)
    model = build("PAD", type_, [shape], [told], [padded(shape, told)], options("Pad"), version=2)
    check(engines, model, np.random.default_rng(5))


def test_bad_pads_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "source": [2, 3],
            "borders": np.array([[1, 1], [0, 2]], np.int32),
            "target": [4, 5],
        } | fields
        for name in ("PAD", "MIRROR_PAD"):
            made = options("Pad") if name == "PAD" else options("MirrorPad", mode=1)
            told = values["borders"]
            model = build(name, INT8, [values["source"]], [told], [values["target"]], made)
            assert_refused(engines[0], model, status, reason)

    def of(*rows: Sequence[int], dtype: Any = np.int32) -> Array:
        return np.array(rows, dtype)

    one(Status.MODEL_SHAPE, "border", borders=of([-1, 3], [0, 2]))
    one(Status.MODEL_SHAPE, "border", borders=of([3, -1], [0, 2]))
    one(Status.MODEL_SHAPE, "border", borders=of([2**63 - 1, 1], [0, 2], dtype=np.int64))
    one(Status.MODEL_SHAPE, "border", borders=of([2**32 + 1, 1], [0, 2], dtype=np.int64))
    one(Status.MODEL_SHAPE, "border", borders=of([2**31 - 1, 2**31 - 1], [0, 2]))
    one(Status.MODEL_SHAPE, "two for each", borders=numbers(1, 1, 0, 2))
    one(Status.MODEL_SHAPE, "two for each", borders=of([1], [1], [0], [2]))
    one(Status.MODEL_SHAPE, "as many numbers", borders=of([1, 1]))
    one(Status.MODEL_SHAPE, "two for each", target=[4, 5, 1])
    one(Status.MODEL_SHAPE, "computes", target=[4, 4])
    one(Status.MODEL_SHAPE, "computes", target=[5, 4])
    one(Status.MODEL_UNSUPPORTED_TYPE, "int32", borders=of([1, 1], [0, 2], dtype=np.float32))


def test_pads_that_only_some_refuse(engines: list[Engine]) -> None:
    """More dimensions than LiteRT's kernel has; no scale; values that do not fit."""
    rows = np.ones((6, 2), np.int32)
    model = build("PAD", INT8, [[1] * 6], [rows], [[3] * 6], options("Pad"))
    assert_refused(engines[0], model, Status.MODEL_LIMIT, "5")

    rows = np.ones((1, 2), np.int32)
    model = build("PAD", INT8, [[2]], [rows], [[4]], options("Pad"))
    for tensor in model.graph.tensors:
        tensor.quantization = None
    assert_refused(engines[0], model, Status.MODEL_QUANTIZATION, "scale")

    def version_2(value: Array, type_: int, scale: float) -> Model:
        model = build("PADV2", INT8, [[2]], [rows], [[4]], options("PadV2"))
        made = model.tensor(value.shape, [scale], [0], data=value, type_=type_)
        model.graph.operators[0].inputs.append(made)
        return model

    for value, type_, scale, status in (
        (numbers(3, dtype=np.int8), INT8, 0.25, Status.MODEL_QUANTIZATION),
        (numbers(3, 4, dtype=np.int8), INT8, 0.5, Status.MODEL_SHAPE),
        (numbers(3), INT32, 0.5, Status.MODEL_UNSUPPORTED_TYPE),
    ):
        assert refused(engines[0], version_2(value, type_, scale)).status == status


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=types,
    mode=st.sampled_from([0, 1]),
    data=st.data(),
    zero_point=zero_points,
    seed=seeds,
)
def test_mirror_pad(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    mode: int,
    data: st.DataObject,
    zero_point: int,
    seed: int,
) -> None:
    """REFLECT and SYMMETRIC, up to the widest border."""
    around = data.draw(borders(len(shape), [n - (mode == 0) for n in shape]))
    model = build(
        "MIRROR_PAD",
        type_,
        [shape],
        [around],
        [padded(shape, around)],
        options("MirrorPad", mode=mode),
        zero_point=zero_point,
    )
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize(("mode", "border"), [(0, 2), (1, 3)])
def test_mirrors_wider_than_the_tensor_are_refused(
    engines: list[Engine], mode: int, border: int
) -> None:
    for row in ([border, 0], [0, border]):
        made = options("MirrorPad", mode=mode)
        told = np.array([row], np.int32)
        model = build("MIRROR_PAD", INT8, [[2]], [told], [[2 + border]], made)
        assert_refused(engines[0], model, Status.MODEL_SHAPE, "wider")


def test_other_mirrors_are_refused(engines: list[Engine]) -> None:
    told = np.array([[1, 1]], np.int32)
    model = build("MIRROR_PAD", INT8, [[2]], [told], [[4]], options("MirrorPad", mode=2))
    assert_refused(engines[0], model, Status.MODEL_UNSUPPORTED_OP, "mode")
    model = build("MIRROR_PAD", INT8, [[2]], [told], [[4]], options("MirrorPad", mode=0))
    model.graph.tensors[2].quantization.scale = [0.25]
    assert_refused(engines[0], model, Status.MODEL_QUANTIZATION, "same scale")
