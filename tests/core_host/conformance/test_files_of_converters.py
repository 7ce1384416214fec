# SPDX-License-Identifier: Apache-2.0
"""Files as converters write them: shapes left open for any batch, constants at any place.

Of what operators compute, the file has dimensions of 1 and a signature of -1; the engine computes
the shapes, as LiteRT does when it allocates tensors. The models are those that fuzzing starts from.
"""

import numpy as np
import pytest
import seeds
from ai_edge_litert import schema_py_generated as schema
from conformance import DTYPES, FLOAT32, INT32, Array, Engine, add
from driver import Driver
from graphs import Info, Refused, info, prepare
from tflite_models import Model

from sandbox.tee_abi import Status

# A RESHAPE that is not told a shape; a tensor of no elements, which nobody has to write.
FROM_THE_FILE = {"reshape-float32-float32", "concatenation-int32-int32-int32"}


def inputs_for(found: Info) -> list[Array]:
    rng = np.random.default_rng(1)
    return [
        rng.standard_normal(tensor.dims).astype(np.float32)
        if tensor.type == FLOAT32
        else rng.integers(0, 2, tensor.dims).astype(DTYPES[tensor.type])
        for tensor in found.tensors[: found.inputs]
    ]


@pytest.mark.parametrize("name", sorted(seeds.models().keys() - FROM_THE_FILE))
def test_shapes_that_the_file_leaves_open_are_computed(native: Driver, name: str) -> None:
    model = seeds.models()[name]
    engine = Engine(native, 0)
    inputs = inputs_for(info(native, model))
    opened = engine.run(seeds.with_open_shapes(model), inputs)
    for mine, theirs in zip(opened, engine.run(model, inputs), strict=True):
        assert mine.shape == theirs.shape
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", sorted(name for name in seeds.models() if "int64" in name))
def test_constants_may_lie_anywhere(native: Driver, name: str) -> None:
    """The schema asks for multiples of 16; what uses Python's flatbuffers writes others."""
    model = seeds.models()[name]
    engine = Engine(native, 0)
    inputs = inputs_for(info(native, model))
    expected = engine.run(model, inputs)
    for shift in (0, 4):  # one of them off multiples of 8
        moved = engine.run(seeds.with_constants_elsewhere(model, shift), inputs)
        for mine, theirs in zip(moved, expected, strict=True):
            assert mine.tobytes() == theirs.tobytes()


def reshaped(shape: list[int], output: list[int], signature: list[int] | None) -> Model:
    model = Model()
    source = model.tensor([2, 3, 4], type_=FLOAT32)
    wanted = model.tensor([len(shape)], data=np.array(shape, np.int32), type_=INT32)
    target = model.tensor(output, type_=FLOAT32)
    model.graph.tensors[target].shapeSignature = signature
    add(model, "RESHAPE", [source, wanted], [target], schema.ReshapeOptionsT())
    model.graph.inputs, model.graph.outputs = [source], [target]
    return model


@pytest.mark.parametrize(
    ("shape", "computed"),
    [([-1, 4], (6, 4)), ([24], (24,)), ([4, -1, 1], (4, 6, 1)), ([1, 1, 2, 3, 2, 2], None)],
)
def test_reshape_infers(native: Driver, shape: list[int], computed: tuple[int, ...] | None) -> None:
    found = info(native, reshaped(shape, [1], [-1]).pack())
    assert found.tensors[1].dims == (computed or tuple(shape))


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ([5, -1], Status.MODEL_SHAPE),
        ([-1, -1], Status.MODEL_SHAPE),
        ([0, -1], Status.MODEL_SHAPE),
        ([-2, 12], Status.MODEL_SHAPE),
        ([7], Status.MODEL_SHAPE),
        ([2, 3, 4, 1, 1, 1, 1], Status.MODEL_LIMIT),
        ([1 << 24, 1 << 24], Status.MODEL_LIMIT),
    ],
)
def test_a_reshape_into_nonsense_is_refused(
    native: Driver, shape: list[int], status: Status
) -> None:
    refusal = prepare(native, reshaped(shape, [1], [-1]).pack())
    assert isinstance(refusal, Refused)
    assert refusal.status == status


def test_a_shape_that_is_not_left_open_has_to_be_right(native: Driver) -> None:
    for signature in (None, [1], [0]):
        refusal = prepare(native, reshaped([-1, 4], [1], signature).pack())
        assert isinstance(refusal, Refused)
        assert refusal.status == Status.MODEL_SHAPE


def test_an_open_tensor_that_is_there_already_keeps_its_size(native: Driver) -> None:
    """The graph's input, and what was written before: memory was given out for them."""
    model = reshaped([24], [1], [-1])
    model.graph.tensors[0].shapeSignature = [-1, 3, 4]
    wanted, target = model.graph.operators[0].inputs[1], model.graph.outputs[0]
    add(model, "RESHAPE", [target, wanted], [0], schema.ReshapeOptionsT())
    refusal = prepare(native, model.pack())
    assert isinstance(refusal, Refused)
    assert "written twice" in refusal.reason
