# SPDX-License-Identifier: Apache-2.0
"""Make seeds/model.tar.xz: of each operator and type, the smallest model of the conformance suite.

Run it again when an operator or a type is added: `python tests/core_host/fuzz/make_seeds.py`.
"""

import io
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

HERE = Path(__file__).resolve().parent
SEEDS = HERE / "seeds" / "model.tar.xz"
CONFORMANCE = HERE.parent / "conformance"
EXAMPLES = 25
MAX_BYTES = 6000


def names(kinds: type) -> dict[int, str]:
    return {value: name for name, value in vars(kinds).items() if isinstance(value, int)}


OPERATORS = names(schema.BuiltinOperator)
TYPES = names(schema.TensorType)
found: dict[str, bytes] = {}


def keep(packed: bytes) -> None:
    model = schema.ModelT.InitFromPackedBuf(packed, 0)
    (graph,) = model.subgraphs
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if code.customCode:
            name = code.customCode.decode()
        used = [*operator.inputs[:2], *operator.outputs[:1]]
        types = [TYPES[graph.tensors[i].type] for i in used if i >= 0]
        key = "-".join([name, *types]).lower()
        if len(packed) < len(found.get(key, bytes(MAX_BYTES))):
            found[key] = packed


def main() -> int:
    sys.path[:0] = [str(CONFORMANCE), str(CONFORMANCE.parent)]
    import conformance
    from hypothesis import settings

    real_run = conformance.Engine.run

    def check(
        engines: Sequence[conformance.Engine], model: Any, inputs: Any, **tolerances: Any
    ) -> list[conformance.Array]:
        packed = model.pack()
        keep(packed)
        if not isinstance(inputs, Sequence):
            inputs = [conformance.draw_values(model, i, inputs) for i in model.graph.inputs]
        return conformance.reference(packed, inputs, tolerances.get("resolver", "ref"))

    def run(self: conformance.Engine, model: bytes, inputs: Any) -> list[conformance.Array]:
        outputs = real_run(self, model, inputs)
        keep(model)
        return outputs

    conformance.check = check
    conformance.Engine.run = run  # type: ignore[method-assign]
    conformance.relaxed = settings(conformance.relaxed, max_examples=EXAMPLES)
    # The same cases on every run
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=1", str(CONFORMANCE)]
    if pytest.main(arguments):
        return 1
    with tarfile.open(SEEDS, "w:xz", preset=9) as archive:
        for key, packed in sorted(found.items()):
            entry = tarfile.TarInfo(f"{key}.tflite")
            entry.size = len(packed)
            archive.addfile(entry, io.BytesIO(packed))
    print(f"{len(found)} models, {sum(map(len, found.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
