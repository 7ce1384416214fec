# SPDX-License-Identifier: Apache-2.0
"""ARG_MAX, ARG_MIN, ONE_HOT, EMBEDDING_LOOKUP, CUMSUM, TOPK_V2: indices, and along an axis."""

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
    shapes,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

TYPES = sorted(DTYPES)
UINT8 = schema.TensorType.UINT8
MALFORMED, SHAPE = Status.MODEL_MALFORMED, Status.MODEL_SHAPE
TYPE, QUANTIZATION = Status.MODEL_UNSUPPORTED_TYPE, Status.MODEL_QUANTIZATION


def activation(model: Model, shape: Sequence[int], type_: int) -> int:
    if type_ in (INT8, UINT8, INT16):
        return model.tensor(shape, [0.5], [0 if type_ == INT16 else 3], type_=type_)
    return model.tensor(shape, type_=type_)


def constant(model: Model, values: Any, type_: int = INT32) -> int:
    data = np.asarray(values, DTYPES[type_])
    return model.tensor(data.shape, data=data, type_=type_)


def argument(model: Model, values: Any, type_: int = INT32) -> int:
    """A constant, or if there are no values, an input."""
    if values is not None:
        return constant(model, values, type_)
    model.graph.inputs.append(model.tensor([], type_=type_))
    return model.graph.inputs[-1]


def few_values(model: Model, rng: np.random.Generator) -> list[Array]:
    """Inputs with many equal elements."""
    found = []
    for tensor in model.graph.inputs:
        values = draw_values(model, tensor, rng)
        if values.dtype != np.bool_ and rng.integers(2):
            values = rng.integers(0, 3, values.shape).astype(values.dtype)
        found.append(values)
    return found


# ARG_MAX, ARG_MIN --------------------------------------------------------------------------------


def arg_model(
    name: str,
    shape: Sequence[int],
    target: Sequence[int],
    axis: Any,
    *,
    type_: int = FLOAT32,
    axis_type: int = INT32,
    output_type: int = INT32,
    option: int | None = None,
) -> Model:
    model = Model()
    source = activation(model, shape, type_)
    model.graph.inputs = [source]
    output = model.tensor(target, type_=output_type)
    options: Any = schema.ArgMaxOptionsT() if name == "ARG_MAX" else schema.ArgMinOptionsT()
    options.outputType = output_type if option is None else option
    add(model, name, [source, argument(model, axis, axis_type)], [output], options)
    model.graph.outputs = [output]
    return model


@relaxed
@given(
    name=st.sampled_from(["ARG_MAX", "ARG_MIN"]),
    shape=shapes(1, 6, 5),
    type_=st.sampled_from([FLOAT32, UINT8, INT8, INT32, BOOL]),
    axis_types=st.tuples(st.sampled_from([INT32, INT64]), st.sampled_from([INT32, INT64])),
    vector=st.booleans(),
    data=st.data(),
    seed=seeds,
)
def test_arg_max_and_arg_min(
    engines: list[Engine],
    name: str,
    shape: tuple[int, ...],
    type_: int,
    axis_types: tuple[int, int],
    vector: bool,
    data: st.DataObject,
    seed: int,
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    target = list(shape)
    del target[axis]
    model = arg_model(
        name,
        shape,
        target,
        [axis] if vector else axis,
        type_=type_,
        axis_type=axis_types[0],
        output_type=axis_types[1],
    )
    check(engines, model, few_values(model, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", ["ARG_MAX", "ARG_MIN"])
def test_extremes_of_infinities_and_of_both_zeros(engines: list[Engine], name: str) -> None:
    inf = np.inf
    rows = [[-0.0, 0.0, -0.0], [0.0, -0.0, 0.0], [-inf, -inf, inf], [inf, inf, -inf]]
    model = arg_model(name, [len(rows), 3], [len(rows)], 1)
    check(engines, model, [np.array(rows, np.float32)])


def test_extremes_of_what_is_no_number(engines: list[Engine]) -> None:
    """The first counts if it is none. LiteRT's answer depends on which axis it is."""
    nan = np.nan
    rows = [[nan, 1, 2], [1, nan, 2], [2, nan, 1], [nan, nan, nan], [2, 1, nan]]
    for name, expected in (("ARG_MAX", [0, 2, 0, 0, 0]), ("ARG_MIN", [0, 0, 2, 0, 1])):
        packed = arg_model(name, [5, 3], [5], 1).pack()
        for engine in engines:
            assert engine.run(packed, [np.array(rows, np.float32)])[0].tolist() == expected


def test_arg_max_in_several_tiles(engines: list[Engine]) -> None:
    """As a segmentation asks for: the class of each point."""
    model = arg_model("ARG_MAX", [1, 129, 129, 21], [1, 129, 129], -1, type_=INT8)
    check(engines, model, np.random.default_rng(6))
    model = arg_model("ARG_MIN", [3, 21, 20000], [3, 20000], 1, output_type=INT64)
    check(engines, model, np.random.default_rng(7))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"axis": None}, TYPE),
        ({"axis": 2}, SHAPE),
        ({"axis": -3}, SHAPE),
        ({"axis": 2**31 - 1}, SHAPE),
        ({"axis": 2**32, "axis_type": INT64}, SHAPE),
        ({"axis": -(2**63), "axis_type": INT64}, SHAPE),
        ({"axis": [1, 1]}, SHAPE),
        ({"axis": np.zeros(0)}, SHAPE),
        ({"axis": 1, "axis_type": FLOAT32}, TYPE),
        ({"axis": 0}, SHAPE),
        ({"target": [2, 1]}, SHAPE),
        ({"target": [3]}, SHAPE),
        ({"shape": [], "axis": 0}, SHAPE),
        ({"option": INT64}, TYPE),
        ({"option": 0}, TYPE),
        ({"output_type": INT16}, TYPE),
        ({"output_type": FLOAT32}, TYPE),
        ({"type_": INT16}, TYPE),
        ({"type_": INT64}, TYPE),
    ],
)
@pytest.mark.parametrize("name", ["ARG_MAX", "ARG_MIN"])
def test_an_extreme_that_is_not_there_is_refused(
    engines: list[Engine], name: str, changes: dict[str, Any], status: Status
) -> None:
    arguments = {"shape": [2, 3], "target": [2], "axis": 1} | changes
    assert refused(engines[0], arg_model(name, **arguments)).status == status


def test_an_extreme_of_nothing_is_refused(engines: list[Engine]) -> None:
    """A constant may be empty, though the output is not."""
    model = arg_model("ARG_MAX", [2, 3], [5], 0)
    model.graph.operators[0].inputs[0] = model.tensor([0, 5], type_=FLOAT32)
    assert refused(engines[0], model).status == SHAPE


# ONE_HOT -----------------------------------------------------------------------------------------


def one_hot_model(
    shape: Sequence[int],
    target: Sequence[int],
    depth: Any,
    axis: int,
    *,
    type_: int = FLOAT32,
    values: tuple[Sequence[int], Sequence[int]] = ((), ()),
    indices_type: int = INT32,
    depth_type: int = INT32,
    output_type: int | None = None,
) -> Model:
    model = Model()
    indices = model.tensor(shape, type_=indices_type)
    model.graph.inputs = [indices]
    told = argument(model, depth, depth_type)
    on_off = [activation(model, value, type_) for value in values]
    model.graph.inputs += on_off
    output = activation(model, target, type_ if output_type is None else output_type)
    options = schema.OneHotOptionsT()
    options.axis = axis
    add(model, "ONE_HOT", [indices, told, *on_off], [output], options)
    model.graph.outputs = [output]
    return model


@relaxed
@given(
    shape=shapes(1, 5, 4),
    depth=st.integers(1, 6),
    type_=st.sampled_from([t for t in TYPES if t != INT16]),
    indices_type=st.sampled_from([INT32, INT64]),
    vectors=st.booleans(),
    data=st.data(),
    seed=seeds,
)
def test_one_hot(
    engines: list[Engine],
    shape: tuple[int, ...],
    depth: int,
    type_: int,
    indices_type: int,
    vectors: bool,
    data: st.DataObject,
    seed: int,
) -> None:
    """With indices that are out of range too."""
    axis = data.draw(st.integers(-1, len(shape)))
    target = list(shape)
    target.insert(len(shape) if axis < 0 else axis, depth)
    one: Sequence[int] = (1,) if vectors else ()
    model = one_hot_model(
        shape, target, depth, axis, type_=type_, values=(one, one), indices_type=indices_type
    )
    rng = np.random.default_rng(seed)
    inputs = [draw_values(model, tensor, rng) for tensor in model.graph.inputs]
    inputs[0] = rng.integers(-2, depth + 2, shape).astype(DTYPES[indices_type])
    check(engines, model, inputs)


@pytest.mark.parametrize("type_", [INT32, INT64])
def test_one_hot_of_indices_at_their_limits(engines: list[Engine], type_: int) -> None:
    """Of int64, LiteRT looks at the lower half alone."""
    limits = np.iinfo(DTYPES[type_])
    indices = [limits.min, limits.max, -1, 3, 2, 0]
    if type_ == INT64:
        indices += [2**31, -(2**31), 2**32 + 1, -(2**32) + 2, 2**32 + 3]
    model = one_hot_model([len(indices)], [len(indices), 3], 3, -1, indices_type=type_)
    check(engines, model, [np.array(indices, DTYPES[type_]), np.float32(5), np.float32(-1)])


def test_one_hot_of_a_scalar_and_of_int16(engines: list[Engine]) -> None:
    """LiteRT has not the latter."""
    model = one_hot_model((), [4], 4, 0)
    check(engines, model, [np.int32(2), np.float32(1), np.float32(0)])
    model = one_hot_model((), [4], 4, 0, type_=INT16)
    for engine in engines:
        found = engine.run(model.pack(), [np.int32(2), np.int16(300), np.int16(-7)])[0]
        assert found.tolist() == [-7, -7, 300, -7]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"depth": None}, TYPE),
        ({"depth": 5}, SHAPE),
        ({"depth": -4}, SHAPE),
        ({"depth": 2**32 + 4, "depth_type": INT64}, SHAPE),
        ({"depth": [4, 4]}, SHAPE),
        ({"depth": 4.0, "depth_type": FLOAT32}, TYPE),
        ({"depth": 0, "target": [2, 3, 0]}, SHAPE),
        ({"axis": -2}, SHAPE),
        ({"axis": 3}, SHAPE),
        ({"axis": 0}, SHAPE),
        ({"axis": 2**31 - 1}, SHAPE),
        ({"axis": -(2**31)}, SHAPE),
        ({"target": [2, 3]}, SHAPE),
        ({"target": [2, 4, 3]}, SHAPE),
        ({"shape": [1] * 6, "target": [1] * 6, "depth": 1}, SHAPE),
        ({"values": ([2], [])}, SHAPE),
        ({"values": ([], [2])}, SHAPE),
        ({"indices_type": FLOAT32}, TYPE),
        ({"indices_type": INT8}, TYPE),
        ({"output_type": INT32}, TYPE),
    ],
)
def test_a_one_hot_that_does_not_fit_is_refused(
    engines: list[Engine], changes: dict[str, Any], status: Status
) -> None:
    arguments = {"shape": [2, 3], "target": [2, 3, 4], "depth": 4, "axis": -1} | changes
    assert refused(engines[0], one_hot_model(**arguments)).status == status


def test_an_empty_on_or_off_is_refused(engines: list[Engine]) -> None:
    for index in (2, 3):
        model = one_hot_model([2], [2, 4], 4, -1)
        model.graph.operators[0].inputs[index] = model.tensor([0], type_=FLOAT32)
        assert refused(engines[0], model).status == SHAPE


# EMBEDDING_LOOKUP --------------------------------------------------------------------------------


def lookup_model(
    count: Sequence[int],
    table: Sequence[int],
    target: Sequence[int],
    *,
    types: tuple[int, int] = (FLOAT32, FLOAT32),
    indices_type: int = INT32,
    scales: Sequence[float] | None = None,
    zero_point: int = 0,
    seed: int | None = None,
) -> Model:
    """The table is a constant if there is a seed to make it from."""
    model = Model()
    indices = model.tensor(count, type_=indices_type)
    data = None
    if seed is not None:
        data = np.random.default_rng(seed).integers(-100, 100, table).astype(DTYPES[types[0]])
    if scales is None:
        scales = [0.5] if types[0] in (INT8, UINT8, INT16) else []
    rows = model.tensor(
        table, scales, [zero_point] * len(scales), data=data, type_=types[0], axis=0
    )
    output = activation(model, target, types[1])
    add(model, "EMBEDDING_LOOKUP", [indices, rows], [output], version=1 if seed is None else 3)
    model.graph.inputs = [indices] + ([rows] if data is None else [])
    model.graph.outputs = [output]
    return model


@relaxed
@given(
    count=st.integers(1, 7),
    table=shapes(2, 5, 5),
    kind=st.sampled_from([*((t, t) for t in TYPES), (INT8, FLOAT32)]),
    known=st.booleans(),
    per_row=st.booleans(),
    seed=seeds,
)
def test_embedding_lookup(
    engines: list[Engine],
    count: int,
    table: tuple[int, ...],
    kind: tuple[int, int],
    known: bool,
    per_row: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    scales = None
    if kind == (INT8, FLOAT32):
        scales = (2.0 ** rng.uniform(-8, 1, table[0] if per_row else 1)).astype(np.float32)
    model = lookup_model(
        [count],
        table,
        [count, *table[1:]],
        types=kind,
        scales=scales,
        seed=seed if known else None,
    )
    inputs = [draw_values(model, tensor, rng) for tensor in model.graph.inputs]
    inputs[0] = rng.integers(0, table[0], count).astype(np.int32)
    check(engines, model, inputs)


@pytest.mark.parametrize("types", [(FLOAT32, FLOAT32), (INT8, INT8), (INT8, FLOAT32)])
def test_rows_that_the_table_does_not_have_are_zero(
    engines: list[Engine], types: tuple[int, int]
) -> None:
    """LiteRT's run fails there."""
    model = lookup_model([7], [3, 4], [7, 4], types=types, seed=1, scales=[1.0])
    indices = np.array([0, -1, 3, 2, 2**31 - 1, -(2**31), 1], np.int32)
    inside = np.array([0, 0, 0, 2, 2, 2, 1], np.int32)
    expected = check(engines, model, [inside])[0].copy()
    expected[[1, 2, 4, 5]] = 0
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model.pack(), [indices])[0], expected)


def test_lookup_in_several_tiles(engines: list[Engine]) -> None:
    model = lookup_model([900], [50, 640], [900, 640], types=(INT8, FLOAT32), seed=2)
    check(engines, model, [np.random.default_rng(8).integers(0, 50, 900).astype(np.int32)])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"target": [3, 4]}, SHAPE),
        ({"target": [2, 5]}, SHAPE),
        ({"target": [2, 2, 2]}, SHAPE),
        ({"count": [2, 1]}, SHAPE),
        ({"count": []}, SHAPE),
        ({"table": [3], "target": [2]}, SHAPE),
        ({"table": [], "target": [2]}, SHAPE),
        ({"indices_type": INT64}, TYPE),
        ({"indices_type": FLOAT32}, TYPE),
        ({"types": (FLOAT32, INT32)}, TYPE),
        ({"types": (UINT8, FLOAT32)}, TYPE),
        ({"types": (INT16, FLOAT32)}, TYPE),
        ({"types": (INT8, FLOAT32), "scales": []}, QUANTIZATION),
        ({"types": (INT8, FLOAT32), "scales": [0.5, 0.5]}, QUANTIZATION),
        ({"types": (INT8, FLOAT32), "scales": [0.5, -0.5, 0.5]}, QUANTIZATION),
        ({"types": (INT8, FLOAT32), "scales": [np.nan]}, QUANTIZATION),
        ({"types": (INT8, FLOAT32), "zero_point": 1}, QUANTIZATION),
        ({"types": (INT8, FLOAT32), "scales": [0.5] * 3, "zero_point": 1}, QUANTIZATION),
    ],
)
def test_a_lookup_that_does_not_fit_is_refused(
    engines: list[Engine], changes: dict[str, Any], status: Status
) -> None:
    arguments: dict[str, Any] = {"count": [2], "table": [3, 4], "target": [2, 4]}
    assert refused(engines[0], lookup_model(**arguments | changes)).status == status


def test_an_empty_table_is_refused(engines: list[Engine]) -> None:
    model = lookup_model([2], [3, 4], [2, 4])
    model.graph.operators[0].inputs[1] = model.tensor([0, 4], type_=FLOAT32)
    assert refused(engines[0], model).status == SHAPE


# CUMSUM ------------------------------------------------------------------------------------------


def cumsum_model(
    shape: Sequence[int],
    axis: Any,
    *,
    exclusive: bool = False,
    reverse: bool = False,
    types: tuple[int, int] = (FLOAT32, FLOAT32),
    target: Sequence[int] | None = None,
    axis_type: int = INT32,
) -> Model:
    model = Model()
    source = activation(model, shape, types[0])
    model.graph.inputs = [source]
    output = activation(model, shape if target is None else target, types[1])
    options = schema.CumsumOptionsT()
    options.exclusive, options.reverse = exclusive, reverse
    add(model, "CUMSUM", [source, argument(model, axis, axis_type)], [output], options)
    model.graph.outputs = [output]
    return model


@relaxed
@given(
    shape=shapes(1, 6, 5),
    type_=st.sampled_from([FLOAT32, INT32, INT64]),
    exclusive=st.booleans(),
    reverse=st.booleans(),
    data=st.data(),
    seed=seeds,
)
def test_cumsum(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    exclusive: bool,
    reverse: bool,
    data: st.DataObject,
    seed: int,
) -> None:
    """Floats too to the bit: they are summed in the same order."""
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    model = cumsum_model(shape, axis, exclusive=exclusive, reverse=reverse, types=(type_, type_))
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("type_", [INT32, INT64])
def test_cumsum_wraps(engines: list[Engine], type_: int) -> None:
    limits = np.iinfo(DTYPES[type_])
    values = np.array([[limits.max, 1, limits.max, 2], [limits.min, -1, -1, 3]], DTYPES[type_])
    model = cumsum_model([2, 4], 1, types=(type_, type_))
    for engine in engines:  # LiteRT leaves it undefined
        found = engine.run(model.pack(), [values])[0]
        np.testing.assert_array_equal(found, np.cumsum(values, 1, DTYPES[type_]))


def test_cumsum_in_several_tiles(engines: list[Engine]) -> None:
    for axis in (0, 1, 2):
        model = cumsum_model([80, 90, 100], axis, exclusive=axis == 1, reverse=axis > 0)
        check(engines, model, np.random.default_rng(axis))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"axis": None}, TYPE),
        ({"axis": 2}, SHAPE),
        ({"axis": -3}, SHAPE),
        ({"axis": [0, 1]}, SHAPE),
        ({"axis": 0, "axis_type": FLOAT32}, TYPE),
        ({"shape": []}, SHAPE),
        ({"target": [3, 2]}, SHAPE),
        ({"target": [6]}, SHAPE),
        ({"types": (INT8, INT8)}, TYPE),
        ({"types": (BOOL, BOOL)}, TYPE),
        ({"types": (FLOAT32, INT32)}, TYPE),
        ({"types": (INT32, INT64)}, TYPE),
    ],
)
def test_a_cumsum_that_does_not_fit_is_refused(
    engines: list[Engine], changes: dict[str, Any], status: Status
) -> None:
    arguments: dict[str, Any] = {"shape": [2, 3], "axis": 0}
    assert refused(engines[0], cumsum_model(**arguments | changes)).status == status


# TOPK_V2 -----------------------------------------------------------------------------------------


def topk_model(
    shape: Sequence[int],
    k: Any,
    *,
    types: tuple[int, int] = (FLOAT32, FLOAT32),
    targets: tuple[Sequence[int], Sequence[int]] | None = None,
    k_type: int = INT32,
    indices_type: int = INT32,
) -> Model:
    model = Model()
    source = activation(model, shape, types[0])
    model.graph.inputs = [source]
    told = argument(model, k, k_type)
    targets = targets or ([*shape[:-1], int(k)],) * 2
    outputs = [
        activation(model, targets[0], types[1]),
        model.tensor(targets[1], type_=indices_type),
    ]
    add(model, "TOPK_V2", [source, told], outputs, schema.TopKV2OptionsT(), version=2)
    model.graph.outputs = outputs
    return model


@relaxed
@given(
    shape=shapes(1, 3, 5),
    size=st.integers(1, 40),
    type_=st.sampled_from([t for t in TYPES if t != BOOL]),
    data=st.data(),
    seed=seeds,
)
def test_topk(
    engines: list[Engine],
    shape: tuple[int, ...],
    size: int,
    type_: int,
    data: st.DataObject,
    seed: int,
) -> None:
    """The first of equals comes first."""
    k = data.draw(st.integers(1, size))
    model = topk_model([*shape, size], k, types=(type_, type_))
    check(engines, model, few_values(model, np.random.default_rng(seed)))


def test_topk_of_a_vector_at_the_limits(engines: list[Engine]) -> None:
    for type_ in (INT8, UINT8, INT16, INT32, INT64):
        limits = np.iinfo(DTYPES[type_])
        values = np.array([limits.min, limits.max, 0, limits.max, limits.min], DTYPES[type_])
        check(engines, topk_model([5], 5, types=(type_, type_)), [values])
    values = np.array([-0.0, np.inf, 0.0, -np.inf, -0.0, np.inf, 1e-45, -1e-45], np.float32)
    check(engines, topk_model([8], 8), [values])


def test_topk_of_what_is_no_number_stays_within_the_row(engines: list[Engine]) -> None:
    """In some order: LiteRT's own is undefined then."""
    rng = np.random.default_rng(9)
    values = rng.standard_normal((40, 17)).astype(np.float32)
    values[rng.integers(0, 3, values.shape) == 0] = np.nan
    for k in (1, 5, 17):
        packed = topk_model([40, 17], k).pack()
        for engine in engines:
            found, indices = engine.run(packed, [values])
            np.testing.assert_array_equal(found, np.take_along_axis(values, indices, 1))
            assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("k", [1, 100, 5000])
def test_topk_in_several_tiles(engines: list[Engine], k: int) -> None:
    model = topk_model([20, 5000], k)
    check(engines, model, few_values(model, np.random.default_rng(k)))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"k": None}, TYPE),
        ({"k": 4, "targets": ([2, 4], [2, 4])}, SHAPE),
        ({"k": -1}, SHAPE),
        ({"k": 0, "targets": ([2, 0], [2, 0])}, SHAPE),
        ({"k": [2, 2]}, SHAPE),
        ({"k": 2**32 + 2, "k_type": INT64}, SHAPE),
        ({"k": 2, "k_type": FLOAT32}, TYPE),
        ({"k": 1}, SHAPE),
        ({"targets": ([2, 2], [2, 1])}, SHAPE),
        ({"targets": ([2, 2], [4])}, SHAPE),
        ({"targets": ([2, 3], [2, 2])}, SHAPE),
        ({"shape": []}, SHAPE),
        ({"types": (BOOL, BOOL)}, TYPE),
        ({"types": (FLOAT32, INT32)}, TYPE),
        ({"indices_type": INT64}, TYPE),
        ({"indices_type": INT16}, TYPE),
    ],
)
def test_a_topk_that_does_not_fit_is_refused(
    engines: list[Engine], changes: dict[str, Any], status: Status
) -> None:
    arguments: dict[str, Any] = {"shape": [2, 3], "k": 2, "targets": ([2, 2], [2, 2])}
    assert refused(engines[0], topk_model(**arguments | changes)).status == status


def test_topk_written_twice_to_one_tensor_is_refused(engines: list[Engine]) -> None:
    model = topk_model([2, 3], 2, types=(INT32, INT32))
    model.graph.operators[0].outputs[1] = model.graph.operators[0].outputs[0]
    assert refused(engines[0], model).status == MALFORMED


def test_topk_of_nothing_is_refused(engines: list[Engine]) -> None:
    model = topk_model([2, 3], 2)
    model.graph.operators[0].inputs[0] = model.tensor([2, 0], type_=FLOAT32)
    assert refused(engines[0], model).status == SHAPE
