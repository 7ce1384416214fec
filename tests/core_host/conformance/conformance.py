# SPDX-License-Identifier: Apache-2.0
"""One operator, or a few, in the engine and in LiteRT: the same inputs, the same outputs.

LiteRT's reference kernels decide (BUILTIN_REF). Where they lack an operator, LiteRT's optimised
ones do, without a delegate: `resolver="builtin"`, and the test says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from driver import Driver
from graphs import Refused, info, prepare
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

Array = npt.NDArray[Any]

relaxed = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DTYPES: dict[int, type] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT8: np.int8,
}
INT8, INT16, FLOAT32 = schema.TensorType.INT8, schema.TensorType.INT16, schema.TensorType.FLOAT32
INT32, INT64, BOOL = schema.TensorType.INT32, schema.TensorType.INT64, schema.TensorType.BOOL
NEON, DOTPROD, I8MM, FAST_SCALAR = 1, 2, 4, 8


@dataclass(frozen=True)
class Engine:
    driver: Driver
    cpu: int
    shuffle: int = 0
    """A seed: tiles in another order, as several workers might. 0: in order."""

    def run(self, model: bytes, inputs: Sequence[Array]) -> list[Array]:
        payload = np.array([self.cpu, len(model)], np.uint32).tobytes() + model
        payload += b"".join(np.ascontiguousarray(array).tobytes() for array in inputs)
        if self.shuffle:
            payload = np.uint32(self.shuffle).tobytes() + payload
        status, reply = self.driver.call("graph_shuffled" if self.shuffle else "graph_run", payload)
        assert status == Status.OK, (Status(status), reply[8:])
        found = info(self.driver, model, self.cpu)
        outputs, at = [], 0
        for tensor in found.tensors[found.inputs :]:
            flat = np.frombuffer(
                reply,
                DTYPES[tensor.type],
                count=tensor.size // np.dtype(DTYPES[tensor.type]).itemsize,
                offset=at,
            )
            outputs.append(flat.reshape(tensor.dims))
            at += tensor.size
        assert at == len(reply)
        return outputs


def add(
    model: Model,
    name: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    options: Any = None,
    *,
    version: int = 1,
) -> None:
    """Append the operator that the schema calls `name`; options are a ...OptionsT, or None."""
    kind = 0
    if options is not None:
        kind = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    model.operator(
        getattr(schema.BuiltinOperator, name), inputs, outputs, kind, options, version=version
    )


def dtype_of(model: Model, tensor: int) -> type:
    return DTYPES[model.graph.tensors[tensor].type]


def draw_values(model: Model, tensor: int, rng: np.random.Generator) -> Array:
    """Values all over the range of an integer type; floats from a normal distribution times 4."""
    shape = tuple(model.graph.tensors[tensor].shape)
    dtype = dtype_of(model, tensor)
    if dtype is np.float32:
        return (rng.standard_normal(shape) * 4).astype(np.float32)
    if dtype is np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype in (np.int8, np.uint8, np.int16):
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    return rng.integers(-1000, 1001, shape).astype(dtype)


def reference(model: bytes, inputs: Sequence[Array], resolver: str = "ref") -> list[Array]:
    types = {
        "ref": OpResolverType.BUILTIN_REF,
        "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=types[resolver])
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()]


def check(
    engines: Sequence[Engine],
    model: Model,
    inputs: Sequence[Array] | np.random.Generator,
    *,
    resolver: str = "ref",
    rtol: float = 0.0,
    atol: float = 0.0,
) -> list[Array]:
    """Run `model` on all engines and in LiteRT; equal to the bit unless a tolerance is given.

    Tolerances are for float32 alone. A generator draws an input for each of the graph's inputs.
    Returns LiteRT's outputs.
    """
    packed = model.pack()
    if isinstance(inputs, np.random.Generator):
        inputs = [draw_values(model, tensor, inputs) for tensor in model.graph.inputs]
    expected = reference(packed, inputs, resolver)
    for engine in engines:
        found = engine.run(packed, inputs)
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
            if theirs.dtype == np.float32:
                np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol)
            else:
                np.testing.assert_array_equal(mine, theirs, f"cpu {engine.cpu}")
    return expected


def refused(engine: Engine, model: Model) -> Refused:
    """How the engine refuses it."""
    found = prepare(engine.driver, model.pack(), engine.cpu)
    assert isinstance(found, Refused), "it was accepted"
    return found


# What strategies have in common ------------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)
scales = st.floats(-8, 1).map(lambda power: float(np.float32(2.0**power)))
zero_points = st.sampled_from([-128, -127, -1, 0, 5, 127]) | st.integers(-128, 127)


def shapes(
    min_rank: int = 1, max_rank: int = 4, max_side: int = 9
) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, max_side), min_size=min_rank, max_size=max_rank).map(tuple)


Build = Callable[[Model], Sequence[int]]
