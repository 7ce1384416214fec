# SPDX-License-Identifier: Apache-2.0
"""What tests of activation functions have in common."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    FLOAT32,
    INT8,
    INT16,
    Array,
    add,
)
from hypothesis import strategies as st
from tflite_models import Model

UINT8 = schema.TensorType.UINT8
BYTES = st.sampled_from([INT8, UINT8])

# Of a quantised tensor; None: not quantised
Quantization = tuple[float, int] | None


def one_input(
    name: str,
    shape: tuple[int, ...],
    source: Quantization,
    target: Quantization,
    type_: int = INT8,
    options: Any = None,
    *,
    version: int = 1,
    target_shape: tuple[int, ...] | None = None,
    target_type: int | None = None,
) -> Model:
    model = Model()
    tensors = [
        model.tensor(
            size, *(([q[0]], [q[1]]) if q else ()), type_=kind if kind is not None else type_
        )
        for size, q, kind in (
            (shape, source, type_),
            (target_shape or shape, target, target_type),
        )
    ]
    add(model, name, tensors[:1], tensors[1:], options, version=version)
    model.graph.inputs, model.graph.outputs = tensors[:1], tensors[1:]
    return model


def zero_point_of(type_: int, signed: int) -> int:
    """`signed` is one of INT8."""
    return signed + 128 if type_ == UINT8 else signed if type_ == INT8 else 0


def options_of(kind: Any, **values: Any) -> Any:
    options = kind()
    for name, value in values.items():
        setattr(options, name, value)
    return options


def every_value(type_: int) -> Array:
    """As many as a tensor of shape [values] has."""
    limits = np.iinfo({INT8: np.int8, UINT8: np.uint8, INT16: np.int16}[type_])
    return np.arange(limits.min, limits.max + 1).astype(limits.dtype)


def scales(low: float, high: float) -> st.SearchStrategy[float]:
    """Powers of two, and what is between them."""
    return st.floats(low, high).map(lambda power: float(np.float32(2.0**power))) | st.integers(
        int(low), int(high)
    ).map(lambda power: 2.0**power)


TO_ONE = {INT8: (1 / 256, -128), UINT8: (1 / 256, 0), INT16: (1 / 32768, 0), FLOAT32: None}


GELU = {
    approximate: options_of(schema.GeluOptionsT, approximate=approximate)
    for approximate in (False, True)
}


def table_model(
    name: str, type_: int, source: Quantization, target: Quantization, options: Any = None
) -> Model:
    return one_input(name, (256,), source, target, type_, options)
