# SPDX-License-Identifier: Apache-2.0
"""SHAPE, RANK, FILL, ZEROS_LIKE, RANGE: what shapes tell, and what is made from nothing."""

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
    Engine,
    add,
    check,
    reference,
    refused,
    relaxed,
    seeds,
    shapes,
)
from graphs import info
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

TYPES = sorted(DTYPES)
UINT8 = schema.TensorType.UINT8
SCALED = {INT8: ([0.5], [-3]), UINT8: ([0.25], [130]), INT16: ([0.5], [0])}


def activation(model: Model, shape: tuple[int, ...], type_: int) -> int:
    """A tensor, quantised if its type usually is."""
    return model.tensor(shape, *SCALED.get(type_, ()), type_=type_)


def constant(model: Model, values: Any, type_: int = INT32) -> int:
    data = np.asarray(values, DTYPES[type_])
    return model.tensor(data.shape, data=data, type_=type_)


def add_shape(model: Model, source: int, out_type: int) -> int:
    target = model.tensor([len(model.graph.tensors[source].shape)], type_=out_type)
    options = schema.ShapeOptionsT()
    options.outType = out_type
    add(model, "SHAPE", [source], [target], options)
    return target


def add_fill(model: Model, dims: int, value: int, shape: tuple[int, ...], type_: int) -> int:
    target = activation(model, shape, type_)
    add(model, "FILL", [dims, value], [target], schema.FillOptionsT())
    return target


@relaxed
@given(
    shape=shapes(1, 6, 5),
    type_=st.sampled_from(TYPES),
    out_type=st.sampled_from([INT32, INT64]),
    seed=seeds,
)
def test_shape_and_rank_are_known_before_the_run(
    engines: list[Engine], shape: tuple[int, ...], type_: int, out_type: int, seed: int
) -> None:
    model = Model()
    source = activation(model, shape, type_)
    target = add_shape(model, source, out_type)
    rank = model.tensor([], type_=INT32)
    add(model, "RANK", [source], [rank], schema.RankOptionsT())
    model.graph.inputs, model.graph.outputs = [source], [target, rank]
    check(engines, model, np.random.default_rng(seed))
    assert info(engines[0].driver, model.pack()).operators == 0


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=st.sampled_from(TYPES),
    dims_type=st.sampled_from([INT32, INT64]),
    known=st.booleans(),
    seed=seeds,
)
def test_fill(
    engines: list[Engine],
    shape: tuple[int, ...],
    type_: int,
    dims_type: int,
    known: bool,
    seed: int,
) -> None:
    model = Model()
    dims = constant(model, shape, dims_type)
    value = activation(model, (), type_)
    if known:
        unused, value = value, activation(model, (), type_)
        data = np.random.default_rng(seed).integers(0, 2, ()).astype(DTYPES[type_])
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        model.graph.tensors[value].buffer = len(model.model.buffers)
        model.model.buffers.append(buffer)
        model.graph.inputs = [unused]
    else:
        model.graph.inputs = [value]
    model.graph.outputs = [add_fill(model, dims, value, shape, type_)]
    check(engines, model, np.random.default_rng(seed))
    assert info(engines[0].driver, model.pack()).operators == (0 if known else 1)


def test_fill_of_no_dimension_gives_a_scalar(engines: list[Engine]) -> None:
    model = Model()
    value = model.tensor([], type_=FLOAT32)
    target = add_fill(model, constant(model, [], INT32), value, (), FLOAT32)
    model.graph.inputs, model.graph.outputs = [value], [target]
    packed = model.pack()
    for engine in engines:  # LiteRT takes an empty constant for one that is not there
        assert engine.run(packed, [np.float32(2.5)])[0] == np.float32(2.5)


@relaxed
@given(shape=shapes(1, 6, 5), type_=st.sampled_from([FLOAT32, INT32, INT64]), seed=seeds)
def test_zeros_like(engines: list[Engine], shape: tuple[int, ...], type_: int, seed: int) -> None:
    model = Model()
    source = model.tensor(shape, type_=type_)
    target = model.tensor(shape, type_=type_)
    add(model, "ZEROS_LIKE", [source], [target], schema.ZerosLikeOptionsT())
    model.graph.inputs, model.graph.outputs = [source], [target]
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("count", [1024, 1025, 600000])
def test_zeros_are_made_while_preparing_only_if_few(engines: list[Engine], count: int) -> None:
    """And in several tiles, if many."""
    model = Model()
    source, target = (model.tensor([count], type_=FLOAT32) for _ in range(2))
    filled = model.tensor([count], type_=FLOAT32)
    value = model.tensor([], type_=FLOAT32)
    add(model, "ZEROS_LIKE", [source], [target], schema.ZerosLikeOptionsT())
    add(model, "FILL", [constant(model, [count]), value], [filled], schema.FillOptionsT())
    model.graph.inputs, model.graph.outputs = [source, value], [target, filled]
    check(engines, model, np.random.default_rng(count))
    assert info(engines[0].driver, model.pack()).operators == (1 if count == 1024 else 2)


def range_model(values: tuple[Any, Any, Any], type_: int, count: int) -> Model:
    model = Model()
    source = model.tensor([1], type_=INT32)
    target = model.tensor([count], type_=type_)
    add(
        model,
        "RANGE",
        [constant(model, v, type_) for v in values],
        [target],
        schema.RangeOptionsT(),
    )
    model.graph.inputs, model.graph.outputs = [source], [target]
    return model


def range_count(values: tuple[Any, Any, Any], type_: int) -> int:
    start, limit, delta = (DTYPES[type_](v) for v in values)
    if type_ == FLOAT32:
        return int(np.ceil(np.abs((limit - start) / delta)))
    return len(range(int(start), int(limit), int(delta)))


@relaxed
@given(
    start=st.integers(-1000, 1000),
    delta=st.integers(-40, 40).filter(bool),
    steps=st.integers(1, 60),
    less=st.integers(0, 39),
    type_=st.sampled_from([INT32, INT64]),
)
def test_range_of_integers(
    engines: list[Engine], start: int, delta: int, steps: int, less: int, type_: int
) -> None:
    limit = start + delta * steps - np.sign(delta) * min(less, abs(delta) - 1)
    values = (start, limit, delta)
    model = range_model(values, type_, range_count(values, type_))
    check(engines, model, np.random.default_rng(0))
    assert info(engines[0].driver, model.pack()).operators == 0


@relaxed
@given(
    start=st.floats(-100, 100, width=32),
    delta=st.floats(2.0**-6, 50, width=32),
    steps=st.floats(0.5, 300, width=32),
    down=st.booleans(),
)
def test_range_of_floats(
    engines: list[Engine], start: float, delta: float, steps: float, down: bool
) -> None:
    """To the bit: rounded once a step."""
    delta = -delta if down else delta
    values = (start, float(np.float32(start + delta * steps)), delta)
    count = range_count(values, FLOAT32)
    if count:
        check(engines, range_model(values, FLOAT32, count), np.random.default_rng(0))


def test_range_at_the_limits_of_integers(engines: list[Engine]) -> None:
    """LiteRT computes the length in as many bits and overflows, so the truth is from Python."""
    for type_ in (INT32, INT64):
        limits = np.iinfo(DTYPES[type_])
        for values in (
            (limits.min, limits.max, limits.max // 2),
            (limits.max, limits.min, limits.min),
            (limits.max - 1, limits.max, limits.max),
            (limits.max, limits.min, limits.min // 3),
        ):
            expected = np.array(range(*(int(v) for v in values)), DTYPES[type_])
            packed = range_model(values, type_, len(expected)).pack()
            for engine in engines:
                found = engine.run(packed, [np.zeros(1, np.int32)])[0]
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape_type", [INT32, INT64])
def test_reshape_to_the_shape_of_another_tensor_folds_away(
    engines: list[Engine], shape_type: int
) -> None:
    """SHAPE disappears; so does RESHAPE, if what it is given is a constant."""
    rng = np.random.default_rng(1)
    model = Model()
    like = model.tensor([2, 3, 4], type_=FLOAT32)
    source = model.tensor([6, 4], type_=FLOAT32)
    fixed = constant(model, rng.standard_normal((24,)), FLOAT32)
    told = add_shape(model, like, shape_type)
    if shape_type == INT64:  # LiteRT's RESHAPE takes int32 only
        model.graph.inputs, model.graph.outputs = [like], [told]
        check(engines, model, rng)
        return
    targets = []
    for tensor in (source, fixed):
        targets.append(model.tensor([2, 3, 4], type_=FLOAT32))
        add(model, "RESHAPE", [tensor, told], [targets[-1]])
    model.graph.inputs, model.graph.outputs = [like, source], targets
    check(engines, model, rng)
    assert info(engines[0].driver, model.pack()).operators == 1


@pytest.mark.parametrize("shape_type", [INT32, INT64])
def test_fill_of_a_known_shape_folds_away(engines: list[Engine], shape_type: int) -> None:
    """SHAPE, FILL with a constant, SHAPE of that, and RESHAPE to it: one RESHAPE is left."""
    model = Model()
    like = model.tensor([2, 3, 4], type_=INT32)
    value = constant(model, 7)
    ones = add_fill(model, add_shape(model, like, shape_type), value, (2, 3, 4), INT32)
    told = add_shape(model, ones, INT32)
    target = model.tensor([2, 3, 4], type_=INT32)
    add(model, "RESHAPE", [like, told], [target])
    model.graph.inputs, model.graph.outputs = [like], [target, ones, told]
    check(engines, model, np.random.default_rng(2))
    assert info(engines[0].driver, model.pack()).operators == 1


def test_a_shape_that_is_known_does_not_keep_its_tensor(engines: list[Engine]) -> None:
    """What only SHAPE reads besides may still be overwritten: the arena is no larger for it."""
    arenas = []
    for shapes_too in (False, True):
        model = Model()
        source = model.tensor([], type_=FLOAT32)
        told = constant(model, [4, 64])
        tensor = add_fill(model, told, source, (4, 64), FLOAT32)
        for _ in range(4):
            if shapes_too:
                told = add_shape(model, tensor, INT32)
            target = model.tensor([4, 64], type_=FLOAT32)
            add(model, "RESHAPE", [tensor, told], [target])
            tensor = target
        model.graph.inputs, model.graph.outputs = [source], [tensor]
        check(engines, model, np.random.default_rng(3))
        found = info(engines[0].driver, model.pack())
        assert found.operators == 5
        arenas.append(found.arena)
    assert arenas[0] == arenas[1]


# Refusals ----------------------------------------------------------------------------------------


def one(
    name: str, inputs: list[int], output: int, options: Any, model: Model, source: int
) -> Model:
    add(model, name, inputs, [output], options)
    model.graph.inputs, model.graph.outputs = [source], [output]
    return model


def shape_of(shape: tuple[int, ...], out_type: int, type_: int, target: tuple[int, ...]) -> Model:
    model = Model()
    source = model.tensor(shape, type_=FLOAT32)
    options = schema.ShapeOptionsT()
    options.outType = out_type
    return one("SHAPE", [source], model.tensor(target, type_=type_), options, model, source)


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (shape_of((2, 3), FLOAT32, FLOAT32, (2,)), Status.MODEL_UNSUPPORTED_TYPE),
        (shape_of((2, 3), INT16, INT16, (2,)), Status.MODEL_UNSUPPORTED_TYPE),
        (shape_of((2, 3), INT32, INT64, (2,)), Status.MODEL_UNSUPPORTED_TYPE),
        (shape_of((2, 3), INT32, INT32, (3,)), Status.MODEL_SHAPE),
        (shape_of((2, 3), INT32, INT32, (1, 2)), Status.MODEL_SHAPE),
        (shape_of((), INT32, INT32, (0,)), Status.MODEL_SHAPE),
    ],
)
def test_a_shape_that_is_not_what_it_should_be_is_refused(
    engines: list[Engine], model: Model, status: Status
) -> None:
    assert refused(engines[0], model).status == status


def test_a_shape_without_options_is_refused(engines: list[Engine]) -> None:
    model = shape_of((2, 3), INT32, INT32, (2,))
    model.graph.operators[0].builtinOptionsType = 0
    model.graph.operators[0].builtinOptions = None
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_a_shape_written_over_the_input_is_refused(engines: list[Engine]) -> None:
    model = Model()
    source = model.tensor([1], type_=INT32)
    options = schema.ShapeOptionsT()
    options.outType = INT32
    one("SHAPE", [source], source, options, model, source)
    assert refused(engines[0], model).status == Status.MODEL_MALFORMED


@pytest.mark.parametrize(
    ("type_", "shape", "status"),
    [(INT64, (), Status.MODEL_UNSUPPORTED_TYPE), (INT32, (1,), Status.MODEL_SHAPE)],
)
def test_a_rank_that_is_not_an_int32_scalar_is_refused(
    engines: list[Engine], type_: int, shape: tuple[int, ...], status: Status
) -> None:
    model = Model()
    source = model.tensor([2, 3], type_=FLOAT32)
    target = model.tensor(shape, type_=type_)
    one("RANK", [source], target, schema.RankOptionsT(), model, source)
    assert refused(engines[0], model).status == status


def fill_of(
    dims: Any,
    shape: tuple[int, ...],
    *,
    dims_type: int = INT32,
    value_shape: tuple[int, ...] = (),
    types: tuple[int, int] = (FLOAT32, FLOAT32),
    scale: float = 0.5,
) -> Model:
    model = Model()
    value = activation(model, value_shape, types[0])
    if dims is None:
        told = model.tensor([len(shape)], type_=dims_type)
    else:
        told = constant(model, dims, dims_type)
    target = activation(model, shape, types[1])
    if types[1] in SCALED:
        model.graph.tensors[target].quantization.scale = [scale]
    one("FILL", [told, value], target, schema.FillOptionsT(), model, value)
    if dims is None:
        model.graph.inputs = [value, told]
    return model


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (fill_of(None, (2, 3)), Status.MODEL_UNSUPPORTED_TYPE),
        (fill_of([2, 3], (3, 2)), Status.MODEL_SHAPE),
        (fill_of([6], (2, 3)), Status.MODEL_SHAPE),
        (fill_of([2, 3, 1], (2, 3)), Status.MODEL_SHAPE),
        (fill_of([-2, -3], (2, 3)), Status.MODEL_SHAPE),
        (fill_of([2**32 + 2], (2,), dims_type=INT64), Status.MODEL_SHAPE),
        (fill_of([-(2**31)], (1,)), Status.MODEL_SHAPE),
        (fill_of([0], (0,)), Status.MODEL_SHAPE),
        (fill_of([[2], [3]], (2, 3)), Status.MODEL_SHAPE),
        (fill_of(2, (2,)), Status.MODEL_SHAPE),
        (fill_of([2, 3], (2, 3), dims_type=FLOAT32), Status.MODEL_UNSUPPORTED_TYPE),
        (fill_of([2], (2,), value_shape=(1,)), Status.MODEL_SHAPE),
        (fill_of([2], (2,), value_shape=(2,)), Status.MODEL_SHAPE),
        (fill_of([2], (2,), types=(INT32, FLOAT32)), Status.MODEL_UNSUPPORTED_TYPE),
        (fill_of([2], (2,), types=(INT8, FLOAT32)), Status.MODEL_UNSUPPORTED_TYPE),
        (fill_of([2], (2,), types=(INT8, INT8), scale=0.25), Status.MODEL_QUANTIZATION),
        (fill_of([2], (2,), types=(INT16, INT16), scale=0.25), Status.MODEL_QUANTIZATION),
    ],
)
def test_a_fill_that_does_not_fit_is_refused(
    engines: list[Engine], model: Model, status: Status
) -> None:
    assert refused(engines[0], model).status == status


def test_a_fill_with_a_string_is_refused(engines: list[Engine]) -> None:
    """Types without a size never get as far as being copied."""
    for type_ in (schema.TensorType.STRING, schema.TensorType.FLOAT16):
        model = Model()
        source = model.tensor([1], type_=INT32)
        value = model.tensor([], data=np.zeros(2, np.uint8), type_=type_)
        target = model.tensor([2], type_=type_)
        add(model, "FILL", [constant(model, [2]), value], [target], schema.FillOptionsT())
        model.graph.inputs, model.graph.outputs = [source], [target]
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    ("types", "shape", "status"),
    [
        ((INT8, INT8), (2,), Status.MODEL_UNSUPPORTED_TYPE),
        ((BOOL, BOOL), (2,), Status.MODEL_UNSUPPORTED_TYPE),
        ((FLOAT32, INT32), (2,), Status.MODEL_UNSUPPORTED_TYPE),
        ((INT32, INT32), (3,), Status.MODEL_SHAPE),
        ((INT32, INT32), (1, 2), Status.MODEL_SHAPE),
    ],
)
def test_zeros_of_another_kind_are_refused(
    engines: list[Engine], types: tuple[int, int], shape: tuple[int, ...], status: Status
) -> None:
    model = Model()
    source = activation(model, (2,), types[0])
    target = activation(model, shape, types[1])
    one("ZEROS_LIKE", [source], target, schema.ZerosLikeOptionsT(), model, source)
    assert refused(engines[0], model).status == status


@pytest.mark.parametrize(
    ("values", "type_", "count"),
    [
        ((0, 5, 1), INT32, 4),
        ((0, 5, 1), INT32, 6),
        ((0, 5, 0), INT32, 1),
        ((0, 5, -1), INT32, 5),
        ((5, 0, 1), INT32, 5),
        ((-(2**31), 2**31 - 1, 1), INT32, 2**24),
        ((-(2**63), 2**63 - 1, 1), INT64, 1),
        ((0, 5, 1), FLOAT32, 4),
        ((0, 5, 0), FLOAT32, 1),
        ((0, 0, 0), FLOAT32, 1),
        ((0, 5, -1), FLOAT32, 5),
        ((0, np.inf, 1), FLOAT32, 2**24),
        ((0, 5, np.inf), FLOAT32, 1),
        ((np.nan, 5, 1), FLOAT32, 5),
        ((0, np.nan, 1), FLOAT32, 5),
        ((0, 5, np.nan), FLOAT32, 5),
        ((0, 3e38, 1e-38), FLOAT32, 5),
    ],
)
def test_a_range_of_another_length_is_refused(
    engines: list[Engine], values: tuple[Any, Any, Any], type_: int, count: int
) -> None:
    assert refused(engines[0], range_model(values, type_, count)).status == Status.MODEL_SHAPE


def test_a_range_of_other_things_is_refused(engines: list[Engine]) -> None:
    def change(model: Model, index: int, tensor: int) -> Model:
        model.graph.operators[0].inputs[index] = tensor
        return model

    def build() -> Model:
        return range_model((0, 5, 1), INT32, 5)

    for index in range(3):
        model = build()
        change(model, index, constant(model, 5, INT64))
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
        model = build()
        change(model, index, constant(model, [5, 5]))
        assert refused(engines[0], model).status == Status.MODEL_SHAPE
        model = build()
        unknown = model.tensor([], type_=INT32)
        change(model, index, unknown)
        model.graph.inputs = [unknown]
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = build()
    model.graph.tensors[1].shape = [5, 1]
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
    model = range_model((0, 1, 1), INT16, 1)
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_litert_fills_as_many_as_it_is_told(engines: list[Engine]) -> None:
    """The output's shape in the file is not decisive there, but here it is."""
    model = fill_of([2, 3], (3, 2))
    assert reference(model.pack(), [np.float32(1)])[0].shape == (2, 3)
    assert refused(engines[0], model).status == Status.MODEL_SHAPE
