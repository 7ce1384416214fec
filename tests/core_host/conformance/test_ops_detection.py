# SPDX-License-Identifier: Apache-2.0
"""TFLite_Detection_PostProcess, a custom operator that LiteRT registers in BUILTIN_REF too."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import (
    FLOAT32,
    INT8,
    Array,
    Engine,
    add,
    reference,
    refused,
    relaxed,
    seeds,
)
from flatbuffers import flexbuffers
from graphs import prepare
from hypothesis import given
from hypothesis import strategies as st
from tflite_models import Model

from sandbox.tee_abi import Status

UINT8 = schema.TensorType.UINT8

OPTIONS: dict[str, Any] = {
    "max_detections": 5,
    "max_classes_per_detection": 1,
    "detections_per_class": 4,
    "use_regular_nms": False,
    "nms_score_threshold": 0.2,
    "nms_iou_threshold": 0.5,
    "num_classes": 3,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def flex(options: dict[str, Any], *, indirect: bool = False) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in options.items():
            builder.Key(key)
            if value is None:
                builder.Null()
            elif isinstance(value, bool):
                builder.Bool(value)
            elif isinstance(value, str):
                builder.String(value)
            elif isinstance(value, int):
                (builder.IndirectInt if indirect else builder.Int)(value)
            else:
                (builder.IndirectFloat if indirect else builder.Float)(value)
    return bytes(builder.Finish())


@dataclass
class Detector:
    """The operator alone; every field may be bent before build()."""

    options: dict[str, Any]
    anchors: Array
    background: bool = True
    code_size: int = 4
    encodings_type: int = FLOAT32
    classes_type: int = FLOAT32
    custom: bytes | None = None
    rows: int | None = None
    scalars: bool = False  # outputs, as far as the file says

    def build(self) -> Model:
        model = Model()
        boxes = len(self.anchors)
        columns = self.options["num_classes"] + self.background
        quantized = self.encodings_type != FLOAT32
        encodings = model.tensor(
            [1, boxes, self.code_size], *self.scale(quantized, 0.07, 120), type_=self.encodings_type
        )
        scores = model.tensor(
            [1, boxes, columns],
            *self.scale(self.classes_type != FLOAT32, 1 / 256, 0),
            type_=self.classes_type,
        )
        data = self.anchors.astype(np.float32)
        if quantized:
            data = np.clip(np.rint(self.anchors / 0.01) + 40, 40, 255).astype(np.uint8)
        anchors = model.tensor(
            [boxes, 4], *self.scale(quantized, 0.01, 40), data=data, type_=self.encodings_type
        )
        rows = self.rows
        if rows is None:
            rows = self.options["max_detections"] * self.options["max_classes_per_detection"]
        shapes = [[1, rows, 4], [1, rows], [1, rows], [1]]
        outputs = [model.tensor([] if self.scalars else shape, type_=FLOAT32) for shape in shapes]
        op = model.operator(
            schema.BuiltinOperator.CUSTOM, [encodings, scores, anchors], outputs, 0, None, version=1
        )
        model.model.operatorCodes[-1].customCode = b"TFLite_Detection_PostProcess"
        custom = flex(self.options) if self.custom is None else self.custom
        op.customOptions = np.frombuffer(custom, np.uint8)
        model.graph.inputs, model.graph.outputs = [encodings, scores], outputs
        return model

    @staticmethod
    def scale(
        quantized: bool, scale: float, zero_point: int
    ) -> tuple[Sequence[float], Sequence[int]]:
        return ([scale], [zero_point]) if quantized else ([], [])


def draw_anchors(rng: np.random.Generator, boxes: int) -> Array:
    """Few centres, so that boxes overlap."""
    centres = rng.choice([0.3, 0.35, 0.6, 0.7], (boxes, 2))
    return np.concatenate([centres, rng.uniform(0.1, 0.4, (boxes, 2))], axis=1)


def draw_inputs(model: Model, rng: np.random.Generator, *, ties: bool) -> list[Array]:
    inputs: list[Array] = []
    for index in model.graph.inputs:
        tensor = model.graph.tensors[index]
        shape = tuple(tensor.shape)
        if tensor.type == UINT8:
            values: Array = rng.integers(0, 256, shape).astype(np.uint8)
            if index == model.graph.inputs[1] and not ties:
                values = rng.permuted(np.arange(256, dtype=np.uint8))[: np.prod(shape)].reshape(
                    shape
                )
        elif index == model.graph.inputs[0]:
            values = (rng.standard_normal(shape) * 3).astype(np.float32)
        else:
            values = rng.uniform(0, 1, shape).astype(np.float32)
        inputs.append(values)
    return inputs


def check_detections(engines: Sequence[Engine], detector: Detector, inputs: Sequence[Array]) -> int:
    """Boxes to a float's last digits, all else exactly; LiteRT leaves what is behind unset."""
    packed = detector.build().pack()
    expected = reference(packed, inputs)
    count = int(expected[3][0])
    options = detector.options
    group = 1 if options["use_regular_nms"] else options["max_classes_per_detection"]
    used = np.zeros(options["max_detections"] * options["max_classes_per_detection"], np.bool_)
    for i in range(count):
        used[i * group : i * group + min(group, options["num_classes"])] = True
    for engine in engines:
        found = engine.run(packed, inputs)
        assert found[3] == expected[3]
        np.testing.assert_array_equal(found[1][0, used], expected[1][0, used])
        np.testing.assert_array_equal(found[2][0, used], expected[2][0, used])
        np.testing.assert_allclose(found[0][0, used], expected[0][0, used], rtol=1e-6, atol=1e-7)
        for i in range(3):
            assert not found[i][0, ~used].any()
    return count


@relaxed
@given(data=st.data(), seed=seeds)
def test_detections(engines: list[Engine], data: st.DataObject, seed: int) -> None:
    """Both kinds of suppression, of boxes that overlap and scores that are equal."""
    rng = np.random.default_rng(seed)
    categories = data.draw(st.integers(1, 3))
    regular = data.draw(st.booleans())
    options = OPTIONS | {
        "max_detections": data.draw(st.integers(1, 12)),
        "max_classes_per_detection": categories,
        "detections_per_class": data.draw(st.sampled_from([1, 3, 100])),
        "use_regular_nms": regular,
        "nms_score_threshold": data.draw(st.sampled_from([-1e30, 0.0, 0.3, 0.9, 2.0])),
        "nms_iou_threshold": data.draw(st.sampled_from([0.05, 0.5, 1.0])),
        "num_classes": data.draw(st.integers(1, 4)),
    }
    detector = Detector(
        options,
        draw_anchors(rng, data.draw(st.integers(1, 30))),
        background=data.draw(st.booleans()),
        code_size=data.draw(st.sampled_from([4, 6])),
        encodings_type=data.draw(st.sampled_from([FLOAT32, UINT8])),
        classes_type=data.draw(st.sampled_from([FLOAT32, UINT8])),
    )
    # Which of two classes of a box with equal scores comes first, the reference leaves open.
    inputs = draw_inputs(detector.build(), rng, ties=regular or categories == 1)
    check_detections(engines, detector, inputs)


def test_many_anchors(engines: list[Engine]) -> None:
    rng = np.random.default_rng(5)
    options = OPTIONS | {"max_detections": 40, "use_regular_nms": True, "num_classes": 20}
    detector = Detector(options, draw_anchors(rng, 700))
    inputs = draw_inputs(detector.build(), rng, ties=True)
    assert check_detections(engines, detector, inputs) == 40


def test_options_may_be_indirect_null_or_absent(engines: list[Engine]) -> None:
    rng = np.random.default_rng(6)
    options = OPTIONS | {"detections_per_class": None, "another": "text"}
    del options["use_regular_nms"]
    detector = Detector(OPTIONS, draw_anchors(rng, 20), custom=flex(options, indirect=True))
    check_detections(engines, detector, draw_inputs(detector.build(), rng, ties=True))


def test_outputs_whose_shapes_the_file_leaves_out(engines: list[Engine]) -> None:
    """As exporters of TensorFlow 2 write them: scalars. Also with an operator behind it."""
    rng = np.random.default_rng(8)
    detector = Detector(OPTIONS, draw_anchors(rng, 20), scalars=True)
    check_detections(engines, detector, draw_inputs(detector.build(), rng, ties=True))

    model = detector.build()
    boxes, flat = model.graph.outputs[0], model.tensor([20], type_=FLOAT32)
    add(model, "RESHAPE", [boxes], [flat], schema.ReshapeOptionsT())
    model.graph.outputs = [flat, *model.graph.outputs]
    inputs = draw_inputs(model, rng, ties=True)
    for engine in engines:
        found = engine.run(model.pack(), inputs)
        np.testing.assert_array_equal(found[0], found[1].ravel())


@pytest.mark.parametrize("twice", ["an output", "an input", "a constant"])
def test_a_scalar_that_is_something_else_too_is_refused(
    engines: list[Engine], detector: Detector, twice: str
) -> None:
    detector.scalars = True
    model = detector.build()
    operator = model.graph.operators[0]
    if twice == "an output":
        operator.outputs[0] = operator.outputs[1]
    elif twice == "an input":
        model.graph.inputs.append(operator.outputs[0])
    else:
        operator.outputs[0] = model.tensor([], data=np.zeros(1, np.float32), type_=FLOAT32)
        model.graph.outputs[0] = operator.outputs[0]
    expected = (Status.MODEL_MALFORMED, Status.MODEL_SHAPE)
    assert refused(engines[0], model).status in expected


def test_numbers_that_are_not_finite_do_no_harm(engines: list[Engine]) -> None:
    """LiteRT is not asked: only that nothing is read or written where it should not be."""
    rng = np.random.default_rng(7)
    wild = np.array([np.nan, np.inf, -np.inf, 3e38, 0.5], np.float32)
    for regular in (False, True):
        options = OPTIONS | {"use_regular_nms": regular, "max_classes_per_detection": 2}
        model = Detector(options, draw_anchors(rng, 20)).build()
        shapes = [model.graph.tensors[i].shape for i in model.graph.inputs]
        for engine in engines:
            found = engine.run(model.pack(), [rng.choice(wild, shape) for shape in shapes])
            assert 0 <= found[3][0] <= 5


# Refusals -----------------------------------------------------------------------------------------


@pytest.fixture
def detector() -> Detector:
    return Detector(dict(OPTIONS), draw_anchors(np.random.default_rng(1), 6))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_detections", 0),
        ("max_detections", -1),
        ("max_detections", 2**40),
        ("max_classes_per_detection", 0),
        ("detections_per_class", 0),
        ("nms_iou_threshold", 0.0),
        ("nms_iou_threshold", 1.5),
        ("nms_iou_threshold", float("nan")),
        ("nms_score_threshold", "0.5"),
        ("y_scale", 0.0),
        ("h_scale", float("inf")),
        ("w_scale", None),
        ("num_classes", 0),
        ("max_detections", 5.0),
    ],
)
def test_options_out_of_range_are_refused(
    engines: list[Engine], detector: Detector, key: str, value: Any
) -> None:
    detector.custom = flex(detector.options | {key: value})
    assert refused(engines[0], detector.build()).status == Status.MODEL_MALFORMED


def test_too_many_detections_are_refused(engines: list[Engine], detector: Detector) -> None:
    detector.rows = 5
    for options in (
        {"max_detections": 2**25},
        {"max_detections": 2**20, "max_classes_per_detection": 99},
    ):
        detector.custom = flex(detector.options | options)
        assert refused(engines[0], detector.build()).status == Status.MODEL_LIMIT


def test_classes_that_do_not_fit_the_scores_are_refused(
    engines: list[Engine], detector: Detector
) -> None:
    for classes in (2, 5):
        detector.custom = flex(detector.options | {"num_classes": classes})
        assert refused(engines[0], detector.build()).status == Status.MODEL_SHAPE


@pytest.mark.parametrize("code_size", [1, 3])
def test_short_encodings_are_refused(
    engines: list[Engine], detector: Detector, code_size: int
) -> None:
    detector.code_size = code_size
    assert refused(engines[0], detector.build()).status == Status.MODEL_SHAPE


def test_outputs_of_other_shapes_are_refused(engines: list[Engine], detector: Detector) -> None:
    for output in range(4):
        model = detector.build()
        model.graph.tensors[model.graph.outputs[output]].shape = [1, 7]
        assert refused(engines[0], model).status == Status.MODEL_SHAPE


def test_inputs_of_other_shapes_are_refused(engines: list[Engine], detector: Detector) -> None:
    for index, shape in ((0, [1, 7, 4]), (0, [2, 6, 4]), (0, [24]), (1, [1, 5, 4]), (1, [6, 4])):
        model = detector.build()
        model.graph.tensors[index].shape = shape
        assert refused(engines[0], model).status == Status.MODEL_SHAPE
    for shape in ([4, 6], [24], [1, 6, 4]):
        model = detector.build()
        model.graph.tensors[2].shape = shape
        assert refused(engines[0], model).status == Status.MODEL_SHAPE


def test_other_types_are_refused(engines: list[Engine], detector: Detector) -> None:
    for index in range(2):
        model = detector.build()
        model.graph.tensors[index].type = INT8
        assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE
    model = detector.build()
    model.graph.tensors[model.graph.outputs[2]].type = INT8
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


def test_unquantized_uint8_is_refused(engines: list[Engine], detector: Detector) -> None:
    detector.classes_type = detector.encodings_type = UINT8
    for index in range(3):
        model = detector.build()
        model.graph.tensors[index].quantization = None
        assert refused(engines[0], model).status == Status.MODEL_QUANTIZATION


def test_anchors_that_change_are_refused(engines: list[Engine], detector: Detector) -> None:
    model = detector.build()
    model.graph.tensors[2].buffer = 0
    model.graph.inputs.append(2)
    assert refused(engines[0], model).status == Status.MODEL_UNSUPPORTED_TYPE


@pytest.mark.parametrize(("place", "value"), [(2, -0.1), (3, -0.1), (0, np.nan), (3, np.inf)])
def test_bad_anchors_are_refused(
    engines: list[Engine], detector: Detector, place: int, value: float
) -> None:
    detector.anchors[3, place] = value
    assert refused(engines[0], detector.build()).status == Status.MODEL_MALFORMED


def test_endless_work_is_refused(engines: list[Engine], detector: Detector) -> None:
    detector.anchors = draw_anchors(np.random.default_rng(1), 60000)
    detector.options |= {"max_detections": 60000, "use_regular_nms": True}
    detector.options |= {"detections_per_class": 60000}
    assert refused(engines[0], detector.build()).status == Status.MODEL_LIMIT


# FlexBuffers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "custom",
    [b"\0", b"\0\0\0", b"\1\4\1", b"\0\x24\0", b"\0\x24\3", b"\xff\x24\1", b"\1\1\0\0\x24\1"],
)
def test_what_is_no_map_is_refused(
    engines: list[Engine], detector: Detector, custom: bytes
) -> None:
    detector.custom = custom
    assert refused(engines[0], detector.build()).status == Status.MODEL_MALFORMED


def test_missing_options_are_refused(engines: list[Engine], detector: Detector) -> None:
    model = detector.build()
    model.graph.operators[0].customOptions = None
    assert refused(engines[0], model).status == Status.MODEL_MALFORMED


def test_too_many_options_are_refused(engines: list[Engine], detector: Detector) -> None:
    detector.custom = flex(detector.options | {f"extra{i}": i for i in range(64)})
    assert refused(engines[0], detector.build()).status == Status.MODEL_MALFORMED


def test_spoilt_options_do_no_harm(engines: list[Engine], detector: Detector) -> None:
    """Each byte in turn, and each length: accepted or refused, never read beyond the end."""
    good = flex(detector.options)
    packed = detector.build().pack()
    at = packed.index(good)
    for place in range(len(good)):
        for value in (0, 0x7F, 0xFF, good[place] ^ 1, good[place] + 4 & 255):
            spoilt = packed[: at + place] + bytes([value]) + packed[at + place + 1 :]
            prepare(engines[0].driver, spoilt)
    assert struct.unpack_from("<I", packed, at - 4)[0] == len(good)
    for length in range(len(good)):
        prepare(engines[0].driver, packed[: at - 4] + struct.pack("<I", length) + packed[at:])
