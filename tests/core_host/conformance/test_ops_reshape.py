# SPDX-License-Identifier: Apache-2.0
"""RESHAPE, SQUEEZE, EXPAND_DIMS."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import DTYPES, INT32, Engine, add, check, refused, relaxed, seeds, shapes
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

TYPES = sorted(DTYPES)


@relaxed
@given(shape=shapes(1, 5, 5), type_=st.sampled_from(TYPES), data=st.data(), seed=seeds)
def test_reshape(
    engines: list[Engine], shape: tuple[int, ...], type_: int, data: st.DataObject, seed: int
) -> None:
    """To all kinds of shapes, told by an input, with the original in use afterwards or not."""
    count = int(np.prod(shape))
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    first = data.draw(st.sampled_from(divisors))
    wanted = data.draw(st.sampled_from([(first, count // first), (count,), (1, first, -1)]))
    becomes = tuple(count // first if n == -1 else n for n in wanted)
    model = Model()
    source = model.tensor(shape, type_=type_)
    told = model.tensor([len(wanted)], data=np.array(wanted, np.int32), type_=INT32)
    target = model.tensor(becomes, type_=type_)
    options = schema.ReshapeOptionsT()
    options.newShape = None
    add(model, "RESHAPE", [source, told], [target], options)
    model.graph.inputs = [source]
    model.graph.outputs = data.draw(st.sampled_from([[target], [target, source]]))
    if source in model.graph.outputs:
        return  # LiteRT's own outputs cannot be inputs; the engine refuses that too
    check(engines, model, np.random.default_rng(seed))


def test_a_shape_of_other_size_is_refused(engines: list[Engine]) -> None:
    model = Model()
    source = model.tensor([2, 3], type_=INT32)
    target = model.tensor([7], type_=INT32)
    add(model, "RESHAPE", [source], [target], schema.ReshapeOptionsT())
    model.graph.inputs, model.graph.outputs = [source], [target]
    found = refused(engines[0], model)
    assert (found.status, found.op_index) == (Status.MODEL_SHAPE, 0)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_expand_dims_and_back(engines: list[Engine], axis: int) -> None:
    rng = np.random.default_rng(3)
    model = Model()
    source = model.tensor([3, 4], [0.5], [3])
    where = model.tensor([1], data=np.array([axis], np.int32), type_=INT32)
    shape = list(np.expand_dims(np.zeros((3, 4)), axis).shape)
    middle = model.tensor(shape, [0.5], [3])
    target = model.tensor([3, 4], [0.5], [3])
    add(model, "EXPAND_DIMS", [source, where], [middle], schema.ExpandDimsOptionsT())
    options = schema.SqueezeOptionsT()
    options.squeezeDims = [axis % 3]
    add(model, "SQUEEZE", [middle], [target], options)
    model.graph.inputs, model.graph.outputs = [source], [target]
    check(engines, model, rng)
