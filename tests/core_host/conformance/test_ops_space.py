# SPDX-License-Identifier: Apache-2.0
"""SPACE_TO_DEPTH, DEPTH_TO_SPACE, SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND."""

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
    zero_points,
)
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

TYPES = sorted(DTYPES)
UINT8 = schema.TensorType.UINT8
# LiteRT's SPACE_TO_DEPTH and DEPTH_TO_SPACE lack these; they are as much of a copy.
DEPTH_LACKS = (BOOL, INT16)


def activation(model: Model, shape: Sequence[int], type_: int, zero_point: int = 0) -> int:
    if type_ == UINT8:
        zero_point += 128
    if type_ in (INT8, UINT8, INT16):
        return model.tensor(shape, [0.5], [zero_point], type_=type_)
    return model.tensor(shape, type_=type_)


def constant(model: Model, values: Any, type_: int = INT32) -> int:
    data = np.asarray(values, DTYPES[type_])
    return model.tensor(data.shape, data=data, type_=type_)


def depth_model(
    name: str, shape: Sequence[int], target: Sequence[int], block: int, types: tuple[int, int]
) -> Model:
    model = Model()
    source = activation(model, shape, types[0])
    output = activation(model, target, types[1])
    options: Any = getattr(
        schema, "SpaceToDepthOptionsT" if name == "SPACE_TO_DEPTH" else "DepthToSpaceOptionsT"
    )()
    options.blockSize = block
    add(model, name, [source], [output], options)
    model.graph.inputs, model.graph.outputs = [source], [output]
    return model


def to_depth(wide: Array, block: int) -> Array:
    batch, height, width, depth = wide.shape
    parts = wide.reshape(batch, height // block, block, width // block, block, depth)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // block, width // block, -1)


def check_depth(engines: list[Engine], wide: tuple[int, ...], block: int, type_: int) -> None:
    """Both ways."""
    deep = (wide[0], wide[1] // block, wide[2] // block, wide[3] * block * block)
    there = depth_model("SPACE_TO_DEPTH", wide, deep, block, (type_, type_))
    back = depth_model("DEPTH_TO_SPACE", deep, wide, block, (type_, type_))
    values = draw_values(there, 0, np.random.default_rng(0))
    moved = to_depth(values, block)
    if type_ not in DEPTH_LACKS:
        check(engines, there, [values])
        check(engines, back, [moved])
        return
    for engine in engines:
        np.testing.assert_array_equal(engine.run(there.pack(), [values])[0], moved)
        np.testing.assert_array_equal(engine.run(back.pack(), [moved])[0], values)


@relaxed
@given(
    deep=st.tuples(*(st.integers(1, n) for n in (3, 5, 5, 4))),
    block=st.integers(1, 4),
    type_=st.sampled_from(TYPES),
)
def test_space_to_depth_and_back(
    engines: list[Engine], deep: tuple[int, ...], block: int, type_: int
) -> None:
    batch, height, width, depth = deep
    check_depth(engines, (batch, height * block, width * block, depth), block, type_)


def test_space_to_depth_in_several_tiles(engines: list[Engine]) -> None:
    check_depth(engines, (2, 512, 512, 2), 2, INT8)
    check_depth(engines, (1, 768, 1024, 1), 256, FLOAT32)


@pytest.mark.parametrize(
    ("wide", "deep", "block", "types", "status"),
    [
        ((1, 4, 4, 3), (1, 2, 2, 12), 0, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), -2, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), 2**31 - 1, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), -(2**31), (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), 3, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 5, 4, 3), (1, 2, 2, 12), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 5, 3), (1, 2, 2, 12), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 13), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((2, 4, 4, 3), (1, 2, 2, 12), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((4, 4, 3), (2, 2, 12), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 1, 4, 4, 3), (1, 1, 2, 2, 12), 2, (INT8, INT8), Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), 2, (INT8, UINT8), Status.MODEL_UNSUPPORTED_TYPE),
        ((1, 4, 4, 3), (1, 2, 2, 12), 2, (INT8, FLOAT32), Status.MODEL_UNSUPPORTED_TYPE),
    ],
)
def test_blocks_that_do_not_fit_are_refused(
    engines: list[Engine],
    wide: tuple[int, ...],
    deep: tuple[int, ...],
    block: int,
    types: tuple[int, int],
    status: Status,
) -> None:
    there = depth_model("SPACE_TO_DEPTH", wide, deep, block, types)
    back = depth_model("DEPTH_TO_SPACE", deep, wide, block, types)
    assert refused(engines[0], there).status == status
    assert refused(engines[0], back).status == status


def test_blocks_without_options_are_refused(engines: list[Engine]) -> None:
    for name in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"):
        model = depth_model(name, (1, 2, 2, 1), (1, 2, 2, 1), 1, (INT8, INT8))
        model.graph.operators[0].builtinOptionsType = 0
        model.graph.operators[0].builtinOptions = None
        assert refused(engines[0], model).status == Status.MODEL_SHAPE


# Batches -----------------------------------------------------------------------------------------


def batch_model(
    name: str,
    shape: Sequence[int],
    target: Sequence[int],
    block: Any,
    margins: Any,
    *,
    type_: int = INT8,
    zero_point: int = 0,
    argument_type: int = INT32,
) -> Model:
    model = Model()
    source = activation(model, shape, type_, zero_point)
    output = activation(model, target, type_, zero_point)
    inputs = [source]
    model.graph.inputs, model.graph.outputs = [source], [output]
    for values in (block, margins):
        if values is None:
            inputs.append(model.tensor([2], type_=INT32))
            model.graph.inputs.append(inputs[-1])
        else:
            inputs.append(constant(model, values, argument_type))
    options = {
        "SPACE_TO_BATCH_ND": schema.SpaceToBatchNDOptionsT,
        "BATCH_TO_SPACE_ND": schema.BatchToSpaceNDOptionsT,
    }[name]()
    add(model, name, inputs, [output], options)
    return model


@relaxed
@given(
    batch=st.integers(1, 3),
    cells=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 5), st.integers(0, 5)),
        min_size=1,
        max_size=2,
    ),
    depth=st.integers(1, 4),
    type_=st.sampled_from(TYPES),
    zero_point=zero_points,
    seed=seeds,
)
def test_space_to_batch_and_back(
    engines: list[Engine],
    batch: int,
    cells: list[tuple[int, int, int, int]],
    depth: int,
    type_: int,
    zero_point: int,
    seed: int,
) -> None:
    """Of one or two spatial dimensions, each of so many cells of a block, less the margins."""
    zero_point = 0 if type_ == INT16 else zero_point
    block = [size for _, size, _, _ in cells]
    margins = []
    plain = [batch]
    for count, size, before, after in cells:
        before = min(before, count * size - 1)
        after = min(after, count * size - 1 - before)
        margins.append([before, after])
        plain.append(count * size - before - after)
    batched = [batch * int(np.prod(block)), *(count for count, _, _, _ in cells), depth]
    plain.append(depth)
    rng = np.random.default_rng(seed)
    for name, source, target in (
        ("SPACE_TO_BATCH_ND", plain, batched),
        ("BATCH_TO_SPACE_ND", batched, plain),
    ):
        model = batch_model(
            name, source, target, block, margins, type_=type_, zero_point=zero_point
        )
        check(engines, model, rng)


def test_margins_wider_than_a_block_are_all_padding(engines: list[Engine]) -> None:
    rng = np.random.default_rng(4)
    args: Any = ([2, 2], [[7, 4], [0, 9]])
    check(engines, batch_model("SPACE_TO_BATCH_ND", [1, 1, 1, 2], [4, 6, 5, 2], *args), rng)
    check(engines, batch_model("BATCH_TO_SPACE_ND", [4, 6, 5, 2], [1, 1, 1, 2], *args), rng)


def test_space_to_batch_in_several_tiles(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    args: Any = ([2, 3], [[1, 1], [2, 1]])
    plain, batched = [2, 254, 300, 8], [12, 128, 101, 8]
    check(engines, batch_model("SPACE_TO_BATCH_ND", plain, batched, *args, zero_point=9), rng)
    check(engines, batch_model("BATCH_TO_SPACE_ND", batched, plain, *args, zero_point=9), rng)


ZERO = [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("plain", "batched", "block", "margins", "status"),
    [
        ((1, 4, 4, 3), (4, 2, 2, 3), None, ZERO, Status.MODEL_UNSUPPORTED_TYPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], None, Status.MODEL_UNSUPPORTED_TYPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2, 1], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], [[0, 0]], Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [0, 2], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [-2, -2], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2**24, 2**24], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2**31 - 1, 2**31 - 1], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [1, 4], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], [[-1, 1], [0, 0]], Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], [[0, 0], [1, -1]], Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], [[0, 0], [0, 1]], Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3), [2, 2], [[2**31 - 1] * 2] * 2, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 4), [2, 2], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (3, 2, 2, 3), [2, 2], ZERO, Status.MODEL_SHAPE),
        ((1, 4, 4, 3), (4, 2, 2, 3, 1), [2, 2], ZERO, Status.MODEL_SHAPE),
        ((1, 4), (1, 4), [], np.zeros((0, 2)), Status.MODEL_SHAPE),
        ((1, 4, 4, 3, 1), (4, 2, 2, 3, 1), [2, 2, 1], [[0, 0]] * 3, Status.MODEL_SHAPE),
    ],
)
def test_batches_that_do_not_fit_are_refused(
    engines: list[Engine],
    plain: tuple[int, ...],
    batched: tuple[int, ...],
    block: Any,
    margins: Any,
    status: Status,
) -> None:
    there = batch_model("SPACE_TO_BATCH_ND", plain, batched, block, margins)
    back = batch_model("BATCH_TO_SPACE_ND", batched, plain, block, margins)
    assert refused(engines[0], there).status == status
    assert refused(engines[0], back).status == status


def test_a_block_that_64_bits_hold_is_refused(engines: list[Engine]) -> None:
    model = batch_model(
        "SPACE_TO_BATCH_ND",
        (1, 4, 4, 3),
        (4, 2, 2, 3),
        [2**32 + 2, 2],
        ZERO,
        argument_type=INT64,
    )
    assert refused(engines[0], model).status == Status.MODEL_SHAPE


@pytest.mark.parametrize("name", ["SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"])
def test_batches_of_another_type_or_quantisation_are_refused(
    engines: list[Engine], name: str
) -> None:
    def build(type_: int, zero_point: int = 0) -> Model:
        return batch_model(
            name, (1, 2, 2, 1), (1, 2, 2, 1), [1, 1], ZERO, type_=type_, zero_point=zero_point
        )

    for type_ in (INT8, UINT8, INT16):
        model = build(type_)
        model.graph.tensors[1].quantization.scale = [0.25]
        assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION
        model = build(type_)
        model.graph.tensors[1].quantization.zeroPoint = [1]
        assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION
        model = build(type_)
        model.graph.tensors[0].quantization = None
        assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION
    assert refused(engines[0], build(INT16, 1)).status == Status.MODEL_QUANTIZATION
    model = build(INT32)
    model.graph.tensors[1].type = FLOAT32
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = build(INT32)
    model.graph.tensors[3].type = FLOAT32
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
