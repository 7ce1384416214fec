# SPDX-License-Identifier: Apache-2.0
"""A .tflite file, changed for a peer that wants more said in it than is needed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sandbox.errors import UserError

_FILE_IDENTIFIER = b"TFL3"


def _schema(path: Path) -> ModuleType:
    """The generated reader of .tflite files that comes with LiteRT."""
    spec = importlib.util.spec_from_file_location("sandbox_litert_schema", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def with_bias_scales(model: bytes, schema_file: Path) -> bytes:
    """The same model, with the scales of biases written out.

    They follow from those of input and weights, and our detector's file leaves them out. LiteRT's
    own kernels compute them; XNNPACK takes no convolution without, and leaves it to those.
    """
    try:
        import flatbuffers
        import numpy as np

        schema: Any = _schema(schema_file)
    except ImportError as error:
        raise UserError(
            f"--peers needs the Python package {error.name}",
            "`.venv/bin/python -m pip install --editable '.[bench]'` installs it.",
        ) from error
    root = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    for graph in root.subgraphs:
        for operator in graph.operators:
            if len(operator.inputs) != 3:
                continue
            source, weights, bias = (graph.tensors[index] for index in operator.inputs)
            if bias.type != schema.TensorType.INT32 or bias.quantization is not None:
                continue
            scale = np.float32(source.quantization.scale[0]) * np.asarray(
                weights.quantization.scale, np.float32
            )
            bias.quantization = schema.QuantizationParametersT(
                scale=scale, zeroPoint=np.zeros(len(scale), np.int64)
            )
    builder = flatbuffers.Builder(len(model) + (1 << 16))
    builder.Finish(root.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())
