# SPDX-License-Identifier: Apache-2.0
"""SLICE, STRIDED_SLICE, TRANSPOSE, REVERSE_V2, GATHER, GATHER_ND, TILE, BROADCAST_TO."""

from collections.abc import Sequence
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
    Array,
    Engine,
    add,
    check,
    draw_values,
    refused,
    relaxed,
    seeds,
    shapes,
)
from hypothesis import given
from hypothesis import strategies as st
from moving import (
    NUMBERS,
    assert_refused,
    build,
    numbers,
    options,
    types,
)
from tflite_models import Model

from sandbox.tee_abi import Status

# SLICE, STRIDED_SLICE -----------------------------------------------------------------------------


@relaxed
@given(
    shape=shapes(1, 6, 5),
    type_=types,
    data=st.data(),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=seeds,
)
def test_slice(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    data: st.DataObject,
    dtype: type,
    seed: int,
) -> None:
    begin = [data.draw(st.integers(0, n - 1)) for n in shape]
    size = [
        data.draw(st.just(-1) | st.integers(1, n - b)) for n, b in zip(shape, begin, strict=True)
    ]
    target = [n - b if s < 0 else s for n, b, s in zip(shape, begin, size, strict=True)]
    told = [numbers(*begin, dtype=dtype), numbers(*size, dtype=dtype)]
    model = build("SLICE", type_, [shape], told, [target], options("Slice"), version=2)
    check(engines, model, np.random.default_rng(seed))


def test_bad_slices_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "begin": numbers(1, 0),
            "size": numbers(1, 2),
            "target": [1, 2],
        } | fields
        told = [values["begin"], values["size"]]
        model = build("SLICE", INT8, [[2, 3]], told, [values["target"]], options("Slice"))
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "within", begin=numbers(-1, 0))
    one(Status.MODEL_SHAPE, "within", begin=numbers(3, 0))
    one(Status.MODEL_SHAPE, "within", begin=numbers(2**63 - 1, 0, dtype=np.int64))
    one(Status.MODEL_SHAPE, "within", begin=numbers(-(2**63), 0, dtype=np.int64))
    one(Status.MODEL_SHAPE, "within", size=numbers(2, 2))
    one(Status.MODEL_SHAPE, "within", size=numbers(1, -2))
    one(Status.MODEL_SHAPE, "within", size=numbers(1, 2**32 + 2, dtype=np.int64))
    one(Status.MODEL_SHAPE, "as many numbers", size=numbers(1))
    one(Status.MODEL_SHAPE, "as many numbers", begin=numbers(1, 0, 0))
    one(Status.MODEL_SHAPE, "computes", target=[1, 3])
    one(Status.MODEL_SHAPE, "computes", target=[2])


SLICES = "beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask"


def strided_slice(
    type_: int,
    shape: Sequence[int],
    specs: Sequence[tuple[int, int, int]],
    target: Sequence[int],
    **fields: Any,
) -> Model:
    made = options("StridedSlice", **(dict.fromkeys(SLICES, 0) | fields))
    told = [numbers(*column) for column in zip(*specs, strict=True)]
    return build("STRIDED_SLICE", type_, [shape], told, [target], made, version=1)


@st.composite
def slices(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[int, int, int]], dict[str, int]]:
    """A shape, a begin, end and stride for each dimension, and masks; not empty."""
    shape = draw(shapes(1, 5, 6))
    specs: list[tuple[int, int, int]] = []
    masks = dict.fromkeys(SLICES, 0)
    whole = draw(st.none() | st.tuples(st.integers(0, 5), st.integers(1, 3)))
    added = draw(st.integers(0, 6 - len(shape)))
    d = 0
    # LiteRT and TensorFlow differ in an ellipsis of no dimension: it stands for one or more.
    while d < len(shape) or added:
        bit = 1 << len(specs)
        anything = (draw(st.integers(-9, 9)), draw(st.integers(-9, 9)), 1)
        if whole and whole[0] <= len(specs) and d < len(shape):
            masks["ellipsisMask"] |= bit
            d = min(len(shape), d + whole[1])
            whole = None
            specs.append(anything)
            continue
        if added and (d == len(shape) or draw(st.booleans())):
            masks["newAxisMask"] |= bit
            added -= 1
            specs.append(anything)
            continue
        n = shape[d]
        d += 1
        if draw(st.integers(0, 3)) == 0:
            masks["shrinkAxisMask"] |= bit
            specs.append((draw(st.integers(-n, n - 1)), draw(st.integers(-9, 9)), 1))
            continue
        stride = draw(st.sampled_from([1, 1, -1, 2, -2, 3, -3, 100, -100]))
        first, last = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        if (first > last) == (stride > 0) and first != last:
            first, last = last, first
        past = last + (1 if stride > 0 else -1)
        if past < 0 or draw(st.integers(0, 3)) == 0:
            masks["endMask"] |= bit
            past = draw(st.integers(-9, 9))
        elif draw(st.booleans()) and past < n:
            past -= n
        if draw(st.integers(0, 3)) == 0:
            masks["beginMask"] |= bit
            first = draw(st.integers(-9, 9))
        elif draw(st.booleans()):
            first -= n
        specs.append((first, past, stride))
    return shape, specs, masks


def sliced(
    shape: Sequence[int], specs: Sequence[tuple[int, int, int]], masks: dict[str, int]
) -> tuple[int, ...]:
    """The shape that NumPy gives it."""
    index: list[Any] = []
    for i, (begin, end, stride) in enumerate(specs):
        begins, ends, ellipsis, new, shrink = (masks[name] >> i & 1 for name in SLICES)
        if ellipsis:
            index.append(Ellipsis)
        elif new:
            index.append(None)
        elif shrink:
            index.append(begin)
        else:
            index.append(slice(None if begins else begin, None if ends else end, stride))
    return np.zeros(shape, np.int8)[tuple(index)].shape


@relaxed
@given(made=slices(), type_=types, seed=seeds)
def test_strided_slice(engines: list[Engine], made: Any, type_: int, seed: int) -> None:
    """All masks, strides of both signs, indices from both ends."""
    shape, specs, masks = made
    target = sliced(shape, specs, masks)
    if len(target) > 6 or 0 in target:
        return
    model = strided_slice(type_, shape, specs, target, **masks)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("shape", "specs", "masks"),
    [
        ([5], [(-100, 100, 1)], {}),
        ([5], [(100, -100, -1)], {}),
        ([5], [(100, -100, -2)], {}),
        ([5], [(0, 5, 2**31 - 1)], {}),
        ([5], [(4, 0, 1 - 2**31)], {}),
        ([5, 4], [(1, 2, 1), (0, 0, 1)], {"shrinkAxisMask": 1, "endMask": 2}),
        ([2, 3, 4], [(0, 0, 1), (1, 2, 1)], {"ellipsisMask": 1, "shrinkAxisMask": 2}),
        ([2, 3, 4], [(0, 0, 1), (1, 3, 1)], {"ellipsisMask": 1}),
        ([2, 3], [(0, 0, 1), (0, 0, 1)], {"ellipsisMask": 1, "newAxisMask": 2}),
        ([80, 80, 64], [(0, 0, -1), (0, 0, 2), (1, 64, 3)], {"beginMask": 3, "endMask": 3}),
    ],
)
def test_strided_slices_of_note(
    engines: list[Engine],
    shape: list[int],
    specs: list[tuple[int, int, int]],
    masks: dict[str, int],
) -> None:
    target = sliced(shape, specs, dict.fromkeys(SLICES, 0) | masks)
    model = strided_slice(FLOAT32, shape, specs, target, **masks)
    check(engines, model, np.random.default_rng(6))


def test_strided_slice_whose_ends_are_counted_from_the_beginnings(engines: list[Engine]) -> None:
    model = strided_slice(INT8, [6, 5], [(1, 3, 1), (-4, 2, 1)], [3, 2], offset=True)
    check(engines, model, np.random.default_rng(7))


def test_a_strided_slice_may_say_nothing_of_the_last_dimensions(engines: list[Engine]) -> None:
    """LiteRT 2.3 reads beyond the lists here: what is right is told by NumPy."""
    model = strided_slice(INT32, [3, 4], [(1, 3, 1)], [2, 4])
    value = np.arange(12, dtype=np.int32).reshape(3, 4)
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), [value])[0], value[1:3])


def test_bad_strided_slices_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, specs: Any, target: Any, **fields: Any) -> None:
        model = strided_slice(INT8, [4, 3], specs, target, **fields)
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "stride", [(0, 4, 0)], [4, 3])
    one(Status.MODEL_SHAPE, "stride", [(3, 0, -(2**31))], [1, 3])
    one(Status.MODEL_SHAPE, "no dimension", [(0, 1, 1)] * 3, [1, 1], ellipsisMask=2)
    one(Status.MODEL_SHAPE, "does not have", [(4, 5, 1)], [3], shrinkAxisMask=1)
    one(Status.MODEL_SHAPE, "does not have", [(-5, 5, 1)], [3], shrinkAxisMask=1)
    one(Status.MODEL_SHAPE, "does not have", [(0, 1, -1)], [3], shrinkAxisMask=1)
    one(Status.MODEL_SHAPE, "does not have", [(9, 1, 1)], [3], shrinkAxisMask=1, beginMask=1)
    one(Status.MODEL_SHAPE, "more dimensions", [(0, 1, 1)] * 3, [1, 1])
    one(Status.MODEL_LIMIT, "13", [(0, 1, 1)] * 14, [1, 1])
    one(Status.MODEL_LIMIT, "6", [(0, 1, 1)] * 7, [1, 1], newAxisMask=127)
    one(Status.MODEL_MALFORMED, "ellipsis", [(0, 1, 1)] * 2, [4, 3], ellipsisMask=3)
    one(Status.MODEL_SHAPE, "computes", [(0, 3, 2)], [3, 3])
    one(Status.MODEL_SHAPE, "no elements", [(3, 3, 1)], [0, 3])
    model = strided_slice(INT8, [4, 3], [(0, 1, 1)], [1, 3])
    model.graph.tensors[2].shape = [1, 1, 1]
    model.graph.tensors[3].shape = [0]
    model.graph.tensors[3].buffer = 0
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


# TRANSPOSE, REVERSE_V2 ----------------------------------------------------------------------------


@relaxed
@given(shape=shapes(1, 6, 5), type_=types, data=st.data(), seed=seeds)
def test_transpose(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    target = [shape[i] for i in order]
    told = numbers(*(i - len(shape) if seed >> i & 1 else i for i in order))
    model = build("TRANSPOSE", type_, [shape], [told], [target], options("Transpose"), version=2)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("type_", [INT8, FLOAT32, INT16])
@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((1, 80, 80, 64), (0, 3, 1, 2)),
        ((1, 64, 80, 80), (0, 2, 3, 1)),
        ((640, 3, 31), (1, 2, 0)),
        ((61, 67, 71), (2, 1, 0)),
        ((2, 33, 65, 17), (0, 1, 3, 2)),
        ((300, 700), (1, 0)),
        ((5, 4, 300, 3), (0, 2, 1, 3)),
    ],
)
def test_transpose_of_large_tensors(
    engines: list[Engine], type_: int, shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    target = [shape[i] for i in order]
    model = build(
        "TRANSPOSE", type_, [shape], [numbers(*order)], [target], options("Transpose"), version=2
    )
    check(engines, model, np.random.default_rng(8))


def test_bad_transposes_are_refused(engines: list[Engine]) -> None:
    def one(reason: str, told: Array, target: Sequence[int] = (3, 2)) -> None:
        model = build("TRANSPOSE", INT8, [[2, 3]], [told], [target], options("Transpose"))
        assert_refused(engines[0], model, Status.MODEL_SHAPE, reason)

    one("axis", numbers(1, 2))
    one("axis", numbers(-3, 0))
    one("axis", numbers(2**31 - 1, -(2**31)))
    one("twice", numbers(1, 1))
    one("twice", numbers(1, -1))
    one("as many numbers", numbers(0, 1, 2))
    one("as many numbers", numbers(0))
    one("computes", numbers(1, 0), (2, 3))


def test_an_order_that_is_not_constant_is_refused(engines: list[Engine]) -> None:
    model = build("TRANSPOSE", INT8, [[2, 3]], [], [[3, 2]], options("Transpose"))
    order = model.tensor([2], type_=INT32)
    model.graph.operators[0].inputs.append(order)
    model.graph.inputs.append(order)
    assert_refused(engines[0], model, Status.MODEL_UNSUPPORTED_TYPE, "constant")


@relaxed
@given(shape=shapes(1, 6, 5), type_=types, data=st.data(), seed=seeds)
def test_reverse_v2(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    """LiteRT has it for dimensions that are neighbours."""
    rank = len(shape)
    first = data.draw(st.integers(0, rank - 1))
    last = data.draw(st.integers(first, rank - 1))
    axes = data.draw(st.permutations(range(first, last + 1)))
    told = numbers(*(i - rank if seed >> i & 1 else i for i in axes))
    model = build("REVERSE_V2", type_, [shape], [told], [shape], options("ReverseV2"))
    check(engines, model, np.random.default_rng(seed))


def test_dimensions_apart_are_reversed_too(engines: list[Engine]) -> None:
    """LiteRT does not have it: what is right is told by NumPy."""
    model = build("REVERSE_V2", INT32, [[3, 4, 5]], [numbers(0, -1)], [[3, 4, 5]], None)
    value = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), [value])[0], value[::-1, :, ::-1])


def test_bad_reversals_are_refused(engines: list[Engine]) -> None:
    def one(reason: str, told: Array, target: Sequence[int] = (2, 3)) -> None:
        model = build("REVERSE_V2", INT8, [[2, 3]], [told], [target], options("ReverseV2"))
        assert_refused(engines[0], model, Status.MODEL_SHAPE, reason)

    one("axis", numbers(2))
    one("axis", numbers(-3))
    one("twice", numbers(1, -1))
    one("more axes", numbers(0, 1, 0))
    one("computes", numbers(0), (3, 2))


# GATHER, GATHER_ND --------------------------------------------------------------------------------

index_types = st.sampled_from([INT16, INT32, INT64])


def gather(
    name: str,
    type_: int,
    shape: Sequence[int],
    indices: Array,
    target: Sequence[int],
    made: Any,
    *,
    constant: bool = False,
) -> Model:
    """Indices are the second input of the graph, or a constant."""
    told = [indices] if constant else []
    model = build(name, type_, [shape], told, [target], made, version=4 if name == "GATHER" else 3)
    if not constant:
        source = model.tensor(indices.shape, type_=NUMBERS[indices.dtype])
        model.graph.operators[0].inputs.append(source)
        model.graph.inputs.append(source)
    return model


@relaxed
@given(
    batch=shapes(0, 2, 3),
    outer=shapes(0, 2, 3),
    dim=st.integers(1, 5),
    inner=shapes(0, 2, 4),
    places=shapes(0, 2, 4),
    type_=types,
    index_type=index_types,
    from_end=st.tuples(st.booleans(), st.booleans()),
    constant=st.booleans(),
    seed=seeds,
)
def test_gather(
    engines: list[Engine],
    batch: tuple[int, ...],
    outer: tuple[int, ...],
    dim: int,
    inner: tuple[int, ...],
    places: tuple[int, ...],
    type_: int,
    index_type: int,
    from_end: tuple[bool, bool],
    constant: bool,
    seed: int,
) -> None:
    """In any dimension, in batches, with indices that are constants or not."""
    rng = np.random.default_rng(seed)
    shape = (*batch, *outer, dim, *inner)
    target = (*batch, *outer, *places, *inner)
    if len(shape) > 6 or len(target) > 6 or not batch + places:
        return
    indices = rng.integers(0, dim, batch + places).astype(DTYPES[index_type])
    axis = len(batch) + len(outer) - (len(shape) if from_end[0] else 0)
    # -0 is not the end.
    dims = len(batch) - (indices.ndim if from_end[1] and places else 0)
    made = options("Gather", axis=axis, batchDims=dims)
    model = gather("GATHER", type_, shape, indices, target, made, constant=constant)
    values = [draw_values(model, 0, rng)]
    check(engines, model, values if constant else [*values, indices])


def test_gather_of_a_large_table(engines: list[Engine]) -> None:
    rng = np.random.default_rng(9)
    indices = rng.integers(0, 1000, (20, 50)).astype(np.int32)
    made = options("Gather", axis=0, batchDims=0)
    model = gather("GATHER", FLOAT32, [1000, 301], indices, [20, 50, 301], made)
    check(engines, model, [draw_values(model, 0, rng), indices])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_gather_with_an_index_out_of_range(engines: list[Engine], dtype: type) -> None:
    """LiteRT stops with an error. Here it gives zeros if it comes of the run."""
    limits = np.iinfo(dtype)
    indices = np.array([2, -1, 3, limits.min, 0, limits.max], dtype)
    value = np.arange(1, 7, dtype=np.int32).reshape(2, 3)
    expected = np.zeros((2, 6), np.int32)
    expected[:, [0, 4]] = value[:, [2, 0]]
    made = options("Gather", axis=1, batchDims=0)
    model = gather("GATHER", INT32, [2, 3], indices, [2, 6], made)
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), [value, indices])[0], expected)
    for bad in indices[[1, 2, 3, 5]]:
        fixed = np.full(6, bad, dtype)
        model = gather("GATHER", INT32, [2, 3], fixed, [2, 6], made, constant=True)
        assert_refused(engines[0], model, Status.MODEL_SHAPE, "not within")


def test_bad_gathers_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "axis": 1,
            "batch": 0,
            "indices": numbers(0, 1),
            "source": [2, 3],
            "target": [2, 2],
        } | fields
        made = options("Gather", axis=values["axis"], batchDims=values["batch"])
        source, target = values["source"], values["target"]
        model = gather("GATHER", INT8, source, values["indices"], target, made)
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "axis", axis=2)
    one(Status.MODEL_SHAPE, "axis", axis=-3)
    one(Status.MODEL_SHAPE, "as the batch", batch=2)
    one(Status.MODEL_SHAPE, "as the batch", batch=-2)
    one(Status.MODEL_SHAPE, "as the batch", batch=-(2**31))
    one(Status.MODEL_SHAPE, "batch's", axis=0, batch=1)
    one(Status.MODEL_SHAPE, "batches", batch=1, indices=numbers(0, 1, 2), target=[2])
    one(Status.MODEL_SHAPE, "computes", target=[2, 3])
    one(Status.MODEL_SHAPE, "computes", target=[2])
    deep = numbers(0).reshape([1] * 6)
    one(Status.MODEL_SHAPE, "computes", indices=deep, target=[2, 1, 1, 1, 1, 1])
    one(Status.MODEL_UNSUPPORTED_TYPE, "indices", indices=numbers(0, 1, dtype=np.int8))
    one(Status.MODEL_UNSUPPORTED_TYPE, "indices", indices=np.array([0, 1], np.float32))


@relaxed
@given(
    outer=shapes(1, 3, 4),
    inner=shapes(0, 3, 4),
    places=shapes(0, 2, 4),
    type_=types,
    index_type=index_types,
    constant=st.booleans(),
    seed=seeds,
)
def test_gather_nd(
    engines: list[Engine],
    outer: tuple[int, ...],
    inner: tuple[int, ...],
    places: tuple[int, ...],
    type_: int,
    index_type: int,
    constant: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shape = [*outer, *inner]
    target = [*places, *inner]
    indices = rng.integers(0, outer, (*places, len(outer))).astype(DTYPES[index_type])
    model = gather(
        "GATHER_ND", type_, shape, indices, target, options("GatherNd"), constant=constant
    )
    values = [draw_values(model, 0, rng)]
    check(engines, model, values if constant else [*values, indices])


def test_gather_nd_with_an_index_out_of_range(engines: list[Engine]) -> None:
    """LiteRT stops with an error. Here it gives zeros if it comes of the run."""
    places = [[1, 2], [-1, 2], [1, 3], [2, 0], [0, -1], [-(2**31), 2**31 - 1], [0, 0]]
    indices = np.array(places, np.int32)
    value = np.arange(1, 13, dtype=np.int32).reshape(2, 3, 2)
    expected = np.zeros((7, 2), np.int32)
    expected[0], expected[6] = value[1, 2], value[0, 0]
    model = gather("GATHER_ND", INT32, [2, 3, 2], indices, [7, 2], options("GatherNd"))
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), [value, indices])[0], expected)
    for bad in places[1:6]:
        fixed = np.array([bad], np.int32)
        made = options("GatherNd")
        model = gather("GATHER_ND", INT32, [2, 3, 2], fixed, [1, 2], made, constant=True)
        assert_refused(engines[0], model, Status.MODEL_SHAPE, "not within")


def test_bad_gathers_nd_are_refused(engines: list[Engine]) -> None:
    def one(status: Status, reason: str, indices: Array, target: Sequence[int]) -> None:
        model = gather("GATHER_ND", INT8, [2, 3], indices, target, options("GatherNd"))
        assert_refused(engines[0], model, status, reason)

    one(Status.MODEL_SHAPE, "more dimensions", np.zeros((2, 3), np.int32), [2])
    one(Status.MODEL_SHAPE, "of none", np.array(0, np.int32), [2, 3])
    one(Status.MODEL_SHAPE, "computes", np.zeros((2, 2), np.int32), [2, 1])
    one(Status.MODEL_SHAPE, "computes", np.zeros((2, 1), np.int32), [2, 2])
    one(Status.MODEL_UNSUPPORTED_TYPE, "indices", np.zeros((2, 1), np.uint8), [2, 3])


# TILE, BROADCAST_TO -------------------------------------------------------------------------------


@relaxed
@given(
    shape=shapes(1, 6, 3),
    type_=types,
    data=st.data(),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=seeds,
)
def test_tile(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    data: st.DataObject,
    dtype: type,
    seed: int,
) -> None:
    times = [data.draw(st.integers(1, 3)) for _ in shape]
    target = [n * t for n, t in zip(shape, times, strict=True)]
    told = numbers(*times, dtype=dtype)
    model = build("TILE", type_, [shape], [told], [target], options("Tile"), version=2)
    check(engines, model, np.random.default_rng(seed))


def test_bad_tiles_are_refused(engines: list[Engine]) -> None:
    def one(reason: str, told: Array, target: Sequence[int] = (4, 3)) -> None:
        model = build("TILE", INT8, [[2, 3]], [told], [target], options("Tile"))
        assert_refused(engines[0], model, Status.MODEL_SHAPE, reason)

    one("repeated", numbers(-2, 1))
    one("repeated", numbers(2**31 - 1, 1))
    one("repeated", numbers(2**63 - 1, 1, dtype=np.int64))
    one("repeated", numbers(2**32 + 2, 1, dtype=np.int64))
    one("as many numbers", numbers(2))
    one("computes", numbers(2, 1), (4, 6))
    one("no elements", numbers(0, 1), (0, 3))


@relaxed
@given(
    shape=shapes(0, 6, 4),
    type_=types,
    data=st.data(),
    dtype=st.sampled_from([np.int32, np.int64]),
    seed=seeds,
)
def test_broadcast_to(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    data: st.DataObject,
    dtype: type,
    seed: int,
) -> None:
    extra = data.draw(st.lists(st.integers(1, 4), max_size=6 - len(shape)))
    source = [data.draw(st.sampled_from([1, n])) for n in shape]
    target = [*extra, *shape]
    if not target:
        return
    told = numbers(*target, dtype=dtype)
    made = options("BroadcastTo")
    model = build("BROADCAST_TO", type_, [source], [told], [target], made, version=2)
    check(engines, model, np.random.default_rng(seed))


def test_bad_broadcasts_are_refused(engines: list[Engine]) -> None:
    def one(reason: str, told: Array, target: Sequence[int] = (4, 3)) -> None:
        made = options("BroadcastTo")
        model = build("BROADCAST_TO", INT8, [[1, 3]], [told], [target], made, version=2)
        assert_refused(engines[0], model, Status.MODEL_SHAPE, reason)

    one("computes", numbers(4, 6))
    one("computes", numbers(2**32 + 4, 3, dtype=np.int64))
    one("computes", numbers(-1, 3))
    one("cannot be", numbers(4, 6), (4, 6))
    one("as many numbers", numbers(3))
    one("as many numbers", numbers(1, 4, 3))
    one("more dimensions", numbers(3), (3,))


# Of constants, and of nothing ---------------------------------------------------------------------


def one_of_each() -> dict[str, Model]:
    """A model for each operator, whose input is of shape [2, 3, 4]."""
    shape = [2, 3, 4]
    around = np.array([[0, 1], [1, 1], [0, 0]], np.int32)
    where = np.array(1, np.int32)
    joined = options("Concatenation", axis=1, fusedActivationFunction=0)
    thirds = [[2, 1, 4]] * 3
    last = numbers(2, 3)
    pairs = np.array([[0, 1], [1, 2]], np.int32)
    cut = strided_slice(INT8, shape, [(1, 0, 1), (-1, 0, -2)], [2, 4], endMask=2, shrinkAxisMask=1)
    made = [
        build("CONCATENATION", INT8, [shape, shape], [], [[2, 6, 4]], joined),
        build("PACK", INT8, [shape, shape], [], [[2, 2, 3, 4]], options("Pack", valuesCount=2)),
        build("SPLIT", INT8, [shape], [where], thirds, options("Split", numSplits=3), order=[1, 0]),
        build(
            "SPLIT_V",
            INT8,
            [shape],
            [numbers(1, -1), where],
            [[2, 1, 4], [2, 2, 4]],
            options("SplitV", numSplits=2),
        ),
        build("UNPACK", INT8, [shape], [], [[2, 4]] * 3, options("Unpack", axis=1, num=3)),
        build("PAD", INT8, [shape], [around], [[3, 5, 4]], options("Pad"), zero_point=5),
        build("MIRROR_PAD", INT8, [shape], [around], [[3, 5, 4]], options("MirrorPad", mode=1)),
        build(
            "SLICE",
            INT8,
            [shape],
            [numbers(0, 1, 2), numbers(1, 2, -1)],
            [[1, 2, 2]],
            options("Slice"),
        ),
        cut,
        build("TRANSPOSE", INT8, [shape], [numbers(2, 0, 1)], [[4, 2, 3]], options("Transpose")),
        build("REVERSE_V2", INT8, [shape], [numbers(1, 2)], [shape], options("ReverseV2")),
        build("GATHER", INT8, [shape], [last], [[2, 3, 2]], options("Gather", axis=2, batchDims=0)),
        build("GATHER_ND", INT8, [shape], [pairs], [[2, 4]], options("GatherNd")),
        build("TILE", INT8, [shape], [numbers(1, 2, 3)], [[2, 6, 12]], options("Tile")),
        build(
            "BROADCAST_TO",
            INT8,
            [shape],
            [numbers(2, 2, 3, 4)],
            [[2, 2, 3, 4]],
            options("BroadcastTo"),
            version=2,
        ),
    ]
    return {model_name(model): model for model in made}


def model_name(model: Model) -> str:
    code = model.model.operatorCodes[0].builtinCode
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return str(names[code])


@pytest.mark.parametrize("name", list(one_of_each()))
def test_constants_are_moved_while_preparing(engines: list[Engine], name: str) -> None:
    """What the operator computes is then an output, and an input that nobody reads is there too."""
    rng = np.random.default_rng(10)
    model = one_of_each()[name]
    check(engines, model, rng)
    for tensor in model.graph.inputs:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(draw_values(model, tensor, rng).tobytes(), np.uint8)
        model.graph.tensors[tensor].buffer = len(model.model.buffers)
        model.model.buffers.append(buffer)
    model.graph.inputs = [model.tensor([1], type_=FLOAT32)]
    check(engines, model, rng)


def test_what_does_not_move_anything_stays_where_it_is(engines: list[Engine]) -> None:
    """Between operators that do: the result lies where the input was, if nobody else reads it."""
    shape = [1, 4, 5]
    for shared in (False, True):
        model = Model()
        tensors = [model.tensor([1, 5, 4]), *(model.tensor(shape) for _ in range(7))]
        zeros = model.tensor([3], data=numbers(0, 0, 0), type_=INT32)
        ones = model.tensor([3], data=numbers(1, 1, 1), type_=INT32)
        told = model.tensor([3], data=numbers(*shape), type_=INT32)
        turned = model.tensor([3], data=numbers(0, 2, 1), type_=INT32)
        order = model.tensor([3], data=numbers(1, 0, 2), type_=INT32)
        one = model.tensor([1], data=numbers(0), type_=INT32)
        back = model.tensor([1], data=numbers(2), type_=INT32)
        tensors[4] = model.tensor([4, 1, 5])
        steps: list[tuple[str, list[int], Any]] = [
            ("TRANSPOSE", [turned], options("Transpose")),
            ("SLICE", [zeros, told], options("Slice")),
            ("TILE", [ones], options("Tile")),
            ("TRANSPOSE", [order], options("Transpose")),
            ("TRANSPOSE", [order], options("Transpose")),
            ("REVERSE_V2", [one], options("ReverseV2")),
            ("REVERSE_V2", [back], options("ReverseV2")),
        ]
        for i, (name, constants, made) in enumerate(steps):
            add(model, name, [tensors[i], *constants], [tensors[i + 1]], made)
        model.graph.inputs = tensors[:1]
        model.graph.outputs = [tensors[7], tensors[3]] if shared else [tensors[7]]
        check(engines, model, np.random.default_rng(11))


def test_constants_without_elements_are_moved_too(engines: list[Engine]) -> None:
    """By nothing: LiteRT cannot have most of these. The result is joined with something."""
    empty = np.zeros((2, 0, 3), np.int32)
    huge = 1 << 24
    cases: list[tuple[str, list[Array], list[int], Any]] = [
        ("TRANSPOSE", [numbers(2, 1, 0)], [3, 0, 2], None),
        ("REVERSE_V2", [numbers(0, 1, 2)], [2, 0, 3], None),
        ("SLICE", [numbers(1, 0, 0), numbers(1, 0, -1)], [1, 0, 3], None),
        ("TILE", [numbers(2, 5, 1)], [4, 0, 3], None),
        ("TILE", [numbers(huge // 2, 1, huge // 3)], [huge, 0, huge // 3 * 3], None),
        ("BROADCAST_TO", [numbers(huge // 2, 2, 0, 3)], [huge // 2, 2, 0, 3], None),
        ("PACK", [], [2, 1, 0, 3], options("Pack", axis=1, valuesCount=1)),
        ("UNPACK", [], [2, 0], None),
    ]
    for name, constants, shape, made in cases:
        model = Model()
        inputs = [model.tensor(empty.shape, data=empty, type_=INT32)]
        inputs += [model.tensor(data.shape, data=data, type_=INT32) for data in constants]
        outputs = [model.tensor(shape, type_=INT32)]
        if name == "UNPACK":
            made = options("Unpack", axis=2, num=3)
            outputs += [model.tensor(shape, type_=INT32) for _ in range(2)]
        add(model, name, inputs, outputs, made, version=2 if name == "BROADCAST_TO" else 1)
        source = model.tensor([3, 1], type_=INT32)
        target = model.tensor([1, 3], type_=INT32)
        told = model.tensor([2], data=numbers(1, 3), type_=INT32)
        add(model, "RESHAPE", [source, told], [target])
        model.graph.inputs, model.graph.outputs = [source], [target]
        for engine in engines:
            value = np.arange(3, dtype=np.int32).reshape(3, 1)
            np.testing.assert_array_equal(engine.run(model.pack(), [value])[0], value.T)


def test_constants_of_unknown_types_are_not_moved(engines: list[Engine]) -> None:
    for name, model in one_of_each().items():
        data = np.zeros(24, np.int64)
        strange = model.tensor([2, 3, 4], data=data, type_=schema.TensorType.COMPLEX64)
        inputs = model.graph.operators[0].inputs
        inputs[1 if name == "SPLIT" else 0] = strange
        assert_refused(engines[0], model, Status.MODEL_UNSUPPORTED_TYPE, "type")
