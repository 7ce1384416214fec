# SPDX-License-Identifier: Apache-2.0
"""What tests of operators that move elements have in common."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    DTYPES,
    INT8,
    INT16,
    Array,
    Engine,
    add,
    refused,
)
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8
TYPES = sorted(DTYPES)
QUANTIZED = (INT8, UINT8, INT16)
NUMBERS = {np.dtype(dtype): type_ for type_, dtype in DTYPES.items()}
types = st.sampled_from(TYPES)


def options(name: str, **fields: Any) -> Any:
    """The schema's table of options of that name."""
    made = getattr(schema, f"{name}OptionsT")()
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def scale_of(type_: int, zero_point: int = 0, scale: float = 0.5) -> tuple[list[float], list[int]]:
    if type_ not in QUANTIZED:
        return [], []
    if type_ == UINT8:
        return [scale], [zero_point + 128]
    return [scale], [zero_point if type_ == INT8 else 0]


def numbers(*values: int, dtype: Any = np.int32) -> Array:
    return np.array(values, dtype)


def build(
    name: str,
    type_: int,
    sources: Sequence[Sequence[int]],
    constants: Sequence[Array],
    targets: Sequence[Sequence[int]],
    made: Any,
    *,
    version: int = 1,
    zero_point: int = 0,
    order: Sequence[int] | None = None,
) -> Model:
    """One operator: inputs of the graph, then constants (or in another order), to its outputs."""
    model = Model()
    scale = scale_of(type_, zero_point)
    inputs = [model.tensor(shape, *scale, type_=type_) for shape in sources]
    model.graph.inputs = list(inputs)
    for data in constants:
        kind = NUMBERS[data.dtype]
        inputs.append(model.tensor(data.shape, data=data, type_=kind))
    outputs = [model.tensor(shape, *scale, type_=type_) for shape in targets]
    if order is not None:
        inputs = [inputs[i] for i in order]
    add(model, name, inputs, outputs, made, version=version)
    model.graph.outputs = outputs
    return model


def assert_refused(
    engine: Engine, model: Model, status: Status, reason: str, op_index: int = 0
) -> None:
    found = refused(engine, model)
    assert (found.status, found.op_index) == (status, op_index), found.reason
    assert reason in found.reason
