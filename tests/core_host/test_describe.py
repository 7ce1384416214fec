# SPDX-License-Identifier: Apache-2.0
"""What the TA says of a model's inputs, against what LiteRT says of the same file."""

import struct
from pathlib import Path

import cbor2
import pytest
from ai_edge_litert.interpreter import Interpreter
from driver import Driver

from sandbox.model.schema import type_name
from sandbox.tee_abi import DESCRIPTION_MAX_BYTES, Status

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
SOURCE, DIGEST = bytes(range(112)), bytes(range(32))
# What COSE_Sign1 takes of the room in the TA (cmd_describe.c)
ROOM = DESCRIPTION_MAX_BYTES - 192


def describe(native: Driver, model: bytes, room: int = ROOM) -> tuple[Status, bytes]:
    head = struct.pack("<III", 0, room, len(SOURCE)) + SOURCE + DIGEST
    status, reply = native.call("graph_describe", head + model)
    return Status(status), reply


@pytest.mark.parametrize(
    "name", ["mnist_mlp_int8", "mnist_cnn_int8", "attention_f32", "mobilenet_v1_int8", "sine_f32"]
)
def test_inputs_are_as_litert_has_them(native: Driver, name: str) -> None:
    path = MODELS / f"{name}.tflite"
    status, encoded = describe(native, path.read_bytes())
    assert status == Status.OK
    found = cbor2.loads(encoded)
    assert (found["v"], found["source"], found["digest"]) == (1, SOURCE, DIGEST)
    details = Interpreter(model_path=str(path)).get_input_details()
    assert len(found["inputs"]) == len(details)
    for one, detail in zip(found["inputs"], details, strict=True):
        assert one["dims"] == list(detail["shape"])
        assert type_name(one["type"]) == detail["dtype"].__name__
        scale, zero_point = detail["quantization"]
        assert one["scale"] == pytest.approx(scale, rel=1e-7)
        assert one["zero_point"] == zero_point


def test_a_description_that_has_no_room(native: Driver) -> None:
    model = (MODELS / "mnist_mlp_int8.tflite").read_bytes()
    whole = len(describe(native, model)[1])
    assert describe(native, model, whole)[0] == Status.OK
    for room in (1, 100, whole - 1):
        assert describe(native, model, room) == (Status.MODEL_LIMIT, b"")
