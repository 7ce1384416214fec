# SPDX-License-Identifier: Apache-2.0
"""docs/operators.md says what the table in the engine says. REGEN=1 writes it."""

import os
import struct

from driver import Driver

from sandbox import paths
from sandbox.tee_abi import Status

PAGE = paths.project_dir() / "docs" / "operators.md"
# enum cml_types
TYPES = ("int8", "int16", "float32", "int32", "int64", "uint8", "bool")

HEAD = (
    "# Operators of TensorFlow Lite that run in the TA\n\n"
    "Made from the engine's own table (`ta/core/nn/op_table.c`) by `REGEN=1 make core-test`; a test"
    " compares the two. Types are those of the first input. A model with any other operator,"
    " version or type is refused when it is loaded, with the operator's place in the model and the"
    " reason ([errors](errors.md)).\n\n"
    "Integer results equal those of LiteRT's reference kernels bit for bit, but for what the notes"
    " say; `tests/core_host/conformance` compares each operator with LiteRT on generated cases."
    " float32 results of sums may differ in the last digits. Operators whose inputs are constants"
    " are computed once, when the model is loaded. Of a model for any batch, whose file leaves"
    " shapes open, the batch is 1 and shapes are computed. Weights may be float16; dynamic range"
    " quantisation (float32 activations, int8 weights) is refused. The TA takes detectors only as"
    " yet, whatever operators they are made of.\n\n"
    "| operator | types | newest version | notes |\n|---|---|---|---|\n"
)


def operators(driver: Driver) -> list[tuple[str, int, int, str]]:
    status, reply = driver.call("graph_ops", b"")
    assert status == Status.OK
    found, at = [], 0
    while at < len(reply):
        _, version, types = struct.unpack_from("<iII", reply, at)
        name, notes, _ = reply[at + 12 :].split(b"\0", 2)
        found.append((name.decode(), version, types, notes.decode()))
        at += 12 + len(name) + len(notes) + 2
    return found


def test_the_page_is_the_table(native: Driver) -> None:
    lines = []
    for name, version, types, notes in sorted(operators(native)):
        spelled = " ".join(text for bit, text in enumerate(TYPES) if types >> bit & 1)
        lines.append(f"| {name} | {spelled} | {version} | {notes} |\n")
    text = f"{HEAD}{''.join(lines)}\n{len(lines)} operators.\n"
    if os.environ.get("REGEN"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
