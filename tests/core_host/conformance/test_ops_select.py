# SPDX-License-Identifier: Apache-2.0
"""SELECT, SELECT_V2, ADD_N."""

from collections.abc import Sequence

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    BOOL,
    DTYPES,
    FLOAT32,
    INT8,
    INT32,
    INT64,
    Engine,
    add,
    check,
    refused,
    relaxed,
    seeds,
    shapes,
)
from hypothesis import given
from hypothesis import strategies as st
from test_ops_binary import broadcasts
from tflite_models import Model

from sandbox.tee_abi import Status

TYPES = sorted(DTYPES)


def select(
    name: str,
    three: Sequence[Sequence[int]],
    type_: int,
    output: Sequence[int] | None = None,
    *,
    types: Sequence[int] | None = None,
) -> Model:
    """`types`: of the condition, both inputs, and the output."""
    model = Model()
    types = types or (BOOL, type_, type_, type_)
    sources = [model.tensor(shape, type_=type_) for shape, type_ in zip(three, types, strict=False)]
    target = model.tensor(
        np.broadcast_shapes(*map(tuple, three)) if output is None else output, type_=types[3]
    )
    options = schema.SelectOptionsT() if name == "SELECT" else schema.SelectV2OptionsT()
    add(model, name, sources, [target], options)
    model.graph.inputs, model.graph.outputs = sources, [target]
    return model


@relaxed
@given(
    shape=shapes(1, 6, 4),
    type_=st.sampled_from(TYPES),
    rank=st.sampled_from(["scalar", "slices", "all"]),
    seed=seeds,
)
def test_select(
    engines: list[Engine], shape: tuple[int, ...], type_: int, rank: str, seed: int
) -> None:
    condition = {"scalar": (), "slices": shape[:1], "all": shape}[rank]
    model = select("SELECT", [condition, shape, shape], type_, shape)
    check(engines, model, np.random.default_rng(seed))


@relaxed
@given(three=broadcasts(3), type_=st.sampled_from(TYPES), seed=seeds)
def test_select_v2(
    engines: list[Engine], three: tuple[tuple[int, ...], ...], type_: int, seed: int
) -> None:
    model = select("SELECT_V2", three, type_)
    check(engines, model, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
def test_any_byte_but_0_selects(engines: list[Engine], name: str) -> None:
    model = select(name, [[4], [4], [4]], INT32).pack()
    inputs = [np.array([0, 1, 2, 255], np.uint8), np.full(4, 7, np.int32), np.full(4, 9, np.int32)]
    for engine in engines:
        np.testing.assert_array_equal(engine.run(model, inputs)[0], [9, 7, 7, 7])


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
@pytest.mark.parametrize("condition", [(), (0,), (0, 3)])
def test_nothing_to_select_from_is_refused(
    engines: list[Engine], name: str, condition: Sequence[int]
) -> None:
    """Preparing gets by sizes of 0."""
    if name == "SELECT_V2" and condition == (0,):
        return  # does not broadcast
    model = select(name, [condition, (0, 3), (0, 3)], INT8, (0, 3))
    for tensor in model.graph.inputs:
        model.graph.tensors[tensor].buffer = len(model.model.buffers)
    model.model.buffers.append(schema.BufferT())
    model.model.buffers[-1].data = np.ones(int(condition == ()), np.uint8)
    source = model.tensor([2])
    model.graph.inputs, model.graph.outputs = [source], [source]
    if condition == ():
        model.graph.tensors[1].buffer = model.graph.tensors[2].buffer = 0
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


SELECT_REFUSALS = [
    ("SELECT", [(3,), (2, 3), (2, 3)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT", [(2, 1), (2, 3), (2, 3)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT", [(1,), (2, 3), (2, 3)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT", [(1,), (), ()], (), Status.MODEL_SHAPE),
    ("SELECT", [(2,), (2, 3), (2, 1)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT", [(), (2, 3), (3,)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT", [(2,), (2, 3), (2, 3)], (2, 4), Status.MODEL_SHAPE),
    ("SELECT", [(2, 3), (2, 3), (2, 3)], (3, 2), Status.MODEL_SHAPE),
    ("SELECT_V2", [(2, 3), (2, 3), (2, 3)], (6,), Status.MODEL_SHAPE),
    ("SELECT_V2", [(2,), (2, 3), (2, 3)], (2, 3), Status.MODEL_SHAPE),
    ("SELECT_V2", [(3,), (2, 3), (4, 1, 1)], (2, 3), Status.MODEL_SHAPE),
]


@pytest.mark.parametrize(("name", "three", "output", "status"), SELECT_REFUSALS)
def test_shapes_that_do_not_go_together_are_refused(
    engines: list[Engine],
    name: str,
    three: Sequence[Sequence[int]],
    output: Sequence[int],
    status: Status,
) -> None:
    found = refused(engines[0], select(name, three, INT8, output))
    assert (found.status, found.op_index) == (status, 0)


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
@pytest.mark.parametrize(
    "types",
    [
        (INT8, INT8, INT8, INT8),
        (BOOL, INT8, INT32, INT8),
        (BOOL, INT32, INT8, INT8),
        (BOOL, INT8, INT8, INT32),
        (BOOL, INT8, INT8, INT64),
        (BOOL, INT32, INT32, INT8),
    ],
)
def test_types_to_select_from_that_differ_are_refused(
    engines: list[Engine], name: str, types: Sequence[int]
) -> None:
    found = refused(engines[0], select(name, [[2]] * 3, INT8, types=types))
    assert (found.status, found.op_index) == (Status.MODEL_UNSUPPORTED_TYPE, 0)


@pytest.mark.parametrize("type_", [schema.TensorType.FLOAT16, schema.TensorType.STRING])
def test_constants_of_other_types_are_not_selected_from(engines: list[Engine], type_: int) -> None:
    model = Model()
    condition = model.tensor([2], data=np.ones(2, np.uint8), type_=BOOL)
    both = [model.tensor([2], data=np.zeros(4, np.uint8), type_=type_) for _ in range(2)]
    target = model.tensor([2], type_=type_)
    source = model.tensor([2])
    add(model, "SELECT_V2", [condition, *both], [target], schema.SelectV2OptionsT())
    model.graph.inputs, model.graph.outputs = [source], [source]
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


# ADD_N --------------------------------------------------------------------------------------------


def add_n(
    inputs: Sequence[Sequence[int]],
    types: Sequence[int],
    output: Sequence[int],
    output_type: int,
) -> Model:
    model = Model()
    sources = [model.tensor(shape, type_=t) for shape, t in zip(inputs, types, strict=True)]
    target = model.tensor(output, type_=output_type)
    add(model, "ADD_N", sources, [target], schema.AddNOptionsT())
    model.graph.inputs, model.graph.outputs = sources, [target]
    return model


@relaxed
@given(
    shape=shapes(0, 6, 4),
    count=st.integers(2, 9),
    type_=st.sampled_from([FLOAT32, INT32]),
    seed=seeds,
)
def test_add_n(
    engines: list[Engine], shape: tuple[int, ...], count: int, type_: int, seed: int
) -> None:
    model = add_n([shape] * count, [type_] * count, shape, type_)
    check(engines, model, np.random.default_rng(seed), rtol=1e-6, atol=1e-5)


def test_add_n_of_many_elements_wraps(engines: list[Engine]) -> None:
    """Several tiles, and the last chunk of each is not full."""
    rng = np.random.default_rng(2)
    shape = [300, 1001]
    inputs = [rng.integers(-(2**31), 2**31, shape, np.int64).astype(np.int32) for _ in range(3)]
    check(engines, add_n([shape] * 3, [INT32] * 3, shape, INT32), inputs)


@pytest.mark.parametrize(
    ("inputs", "types", "output", "output_type", "status"),
    [
        ([[2], [2], [3]], [FLOAT32] * 3, [2], FLOAT32, Status.MODEL_SHAPE),
        ([[2], [2, 1]], [FLOAT32] * 2, [2], FLOAT32, Status.MODEL_SHAPE),
        ([[2], [2]], [FLOAT32] * 2, [3], FLOAT32, Status.MODEL_SHAPE),
        ([[2], [2]], [FLOAT32] * 2, [1, 2], FLOAT32, Status.MODEL_SHAPE),
        ([[2], [2]], [FLOAT32, INT32], [2], FLOAT32, Status.MODEL_UNSUPPORTED_TYPE),
        ([[2], [2]], [FLOAT32, INT8], [2], FLOAT32, Status.MODEL_UNSUPPORTED_TYPE),
        ([[2], [2]], [FLOAT32] * 2, [2], INT8, Status.MODEL_UNSUPPORTED_TYPE),
        ([[2], [2]], [INT8] * 2, [2], INT8, Status.MODEL_UNSUPPORTED_TYPE),
        ([[2]], [FLOAT32], [2], FLOAT32, Status.MODEL_MALFORMED),
    ],
)
def test_sums_that_do_not_go_together_are_refused(
    engines: list[Engine],
    inputs: Sequence[Sequence[int]],
    types: Sequence[int],
    output: Sequence[int],
    output_type: int,
    status: Status,
) -> None:
    found = refused(engines[0], add_n(inputs, types, output, output_type))
    assert (found.status, found.op_index) == (status, 0)


def test_an_absent_summand_is_refused(engines: list[Engine]) -> None:
    model = add_n([[2], [2], [2]], [FLOAT32] * 3, [2], FLOAT32)
    model.graph.operators[0].inputs[2] = -1
    assert refused(engines[0], model).status == Status.MODEL_MALFORMED
