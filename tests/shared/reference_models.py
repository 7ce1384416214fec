# SPDX-License-Identifier: Apache-2.0
"""Models as LiteRT's reference kernels take them."""

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def with_versions(model: bytes, versions: dict[str, int]) -> bytes:
    """With versions of operators that the reference kernels list; they compute the same."""
    if not versions:
        return model
    bent: Any = schema.ModelT.InitFromPackedBuf(model, 0)
    for code in bent.operatorCodes:
        for name, version in versions.items():
            if code.builtinCode == getattr(schema.BuiltinOperator, name):
                code.version = version
    builder = flatbuffers.Builder(1024)
    builder.Finish(bent.Pack(builder), b"TFL3")
    return bytes(builder.Output())
