# SPDX-License-Identifier: Apache-2.0
"""What a converter writes and running does not need is left out: the TA keeps the whole file.

Names stay on inputs and outputs only, and may be given; equal vectors (a zero point for each
channel) are written once; metadata goes. Constants are aligned as the schema asks. `schema` is the
module that TensorFlow generates from it: its classes are not typed.
"""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

_ALIGNMENT = 16
_IDENTIFIER = b"TFL3"


def slimmed(schema: Any, content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The same network, its inputs and outputs by these names."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        # Control flow: the TA will refuse it, by name.
        return content
    (graph,) = model.subgraphs
    names = dict(zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True))
    for index, tensor in enumerate(graph.tensors):
        tensor.name = names.get(index)
        tensor.shapeSignature = None
        if tensor.quantization is not None:
            tensor.quantization.min = tensor.quantization.max = None
    model.metadata = model.metadataBuffer = model.signatureDefs = None
    used = {tensor.buffer for tensor in graph.tensors}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes each vector of numbers and each string once. Bytes are constants: aligned."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802 - flatbuffers' name
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = self._vector(x)
        return self._written[key]

    def _vector(self, x: Any) -> int:
        if x.dtype != np.uint8:
            return int(super().CreateNumpyVector(x))
        content = x.tobytes()
        self.StartVector(1, len(content), _ALIGNMENT)
        self.head -= len(content)
        self.Bytes[self.head : self.head + len(content)] = content
        return int(self.EndVector())
