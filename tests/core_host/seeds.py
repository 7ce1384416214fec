# SPDX-License-Identifier: Apache-2.0
"""Models to start from: fuzz/seeds/model.tar.xz, which fuzz/make_seeds.py makes.

Of each operator and type the smallest model of the conformance suite, by name.
"""

import functools
import tarfile
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from tflite_models import Builder

ARCHIVE = Path(__file__).parent / "fuzz" / "seeds" / "model.tar.xz"


@functools.cache
def models() -> dict[str, bytes]:
    found = {}
    with tarfile.open(ARCHIVE) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            found[entry.name.removesuffix(".tflite")] = file.read()
    return found


def with_constants_elsewhere(model: bytes, shift: int) -> bytes:
    """As Python's flatbuffers writes it: constants start at multiples of 4."""
    moved = schema.ModelT.InitFromPackedBuf(model, 0)
    moved.description = bytes(shift)
    builder = flatbuffers.Builder(1024)
    builder.Finish(moved.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_open_shapes(model: bytes) -> bytes:
    """As converters leave a model for any batch: of what operators compute, no size is known."""
    opened = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = opened.subgraphs
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            rank = 0 if tensor.shape is None else len(tensor.shape)
            tensor.shape = [1] * rank
            tensor.shapeSignature = [-1] * rank
    builder = Builder(1024)
    builder.Finish(opened.Pack(builder), b"TFL3")
    return bytes(builder.Output())
