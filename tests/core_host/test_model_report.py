# SPDX-License-Identifier: Apache-2.0
"""`sandbox model inspect`: what it derives from the engine's words agrees with the engine."""

import json
import random
from pathlib import Path

import bad_models
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_models import Conv, Model, Quantized, add_add, add_conv

from sandbox.__main__ import main
from sandbox.build import recipe
from sandbox.log import SilentProgress
from sandbox.model import lifetimes, profiles, report
from sandbox.model.lifetimes import Span
from sandbox.model.report import Cpu, ModelRefused, Place, Report

ROOT = Path(__file__).parents[2]
DETECTOR = ROOT / "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
ALIGN = 64
ALL = Cpu.NEON | Cpu.DOTPROD | Cpu.I8MM


@pytest.fixture(scope="session")
def program() -> Path:
    return recipe.model_report(SilentProgress())


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return tmp_path / "model.tflite"


def inspected(program: Path, path: Path, model: Model | bytes, cpu: Cpu = ALL) -> Report:
    path.write_bytes(model if isinstance(model, bytes) else model.pack())
    return report.inspect(program, path, cpu)


def assert_consistent(found: Report) -> list[Span]:
    """What was derived gives the engine's own bound, and its plan lets nothing overlap."""
    spans = lifetimes.spans(found)
    steps = len(found.operators)
    live = [lifetimes.live_bytes(spans, step) for step in range(lifetimes.BEFORE, steps + 1)]
    assert max(live) == found.lower_bound_bytes
    assert sum(op.macs for op in found.operators) == found.macs
    assert max((op.scratch_bytes for op in found.operators), default=0) == found.scratch_bytes
    for i, a in enumerate(spans):
        assert a.offset % ALIGN == 0
        assert a.offset + a.size_bytes <= found.arena_bytes
        for b in spans[:i]:
            apart = a.last < b.first or b.last < a.first
            beside = a.offset + a.size_bytes <= b.offset or b.offset + b.size_bytes <= a.offset
            assert apart or beside, (a, b)
    return spans


def test_the_detector(program: Path) -> None:
    found = report.inspect(program, DETECTOR, ALL, [report.UNLIMITED])
    assert_consistent(found)
    assert (found.file_bytes, found.macs) == (DETECTOR.stat().st_size, 349_844_400)
    assert found.constants_bytes == 4_379_728
    assert found.lower_bound_bytes == 1_248_480
    assert {op.kernel for op in found.operators} == {"i8mm", "neon"}
    assert [op.index for op in found.operators] == list(range(98))
    image = found.tensors[found.inputs[0]]
    assert (image.name, image.type, image.shape) == ("image", "int8", (1, 204, 204, 3))
    assert (image.scale, image.zero_point) == (pytest.approx(1 / 127.5), -1)
    assert found.detector is not None and found.detector.input_side == 204
    top = lifetimes.peaks(found, lifetimes.spans(found))[0]
    assert top.live_bytes == found.lower_bound_bytes
    assert sum(span.size_bytes for span in top.spans) == top.live_bytes


@pytest.mark.parametrize(
    ("cpu", "kernel"),
    [
        (Cpu.NEON, "neon"),
        (Cpu.NEON | Cpu.DOTPROD, "dotprod"),
        (ALL, "i8mm"),
        (ALL | Cpu.FAST_SCALAR, "scalar"),
        (Cpu(0), "scalar"),
    ],
)
def test_kernels_are_those_of_the_cpu(program: Path, cpu: Cpu, kernel: str) -> None:
    found = report.inspect(program, DETECTOR, cpu)
    assert {op.kernel for op in found.operators if op.name == "CONV_2D"} == {kernel}
    assert_consistent(found)


def web(seed: int) -> Model:
    """Sums and copies of tensors of many sizes, so that lifetimes cross."""
    draw = random.Random(seed)
    model = Model()
    side = 12
    start = model.tensor([1, side, side, 2], [0.1], [0])
    model.graph.inputs = [start]
    tensors = [start]
    for _ in range(draw.randint(2, 18)):
        kind = draw.choice(("add", "concat", "relu"))
        a = draw.choice(tensors)
        shape = list(model.graph.tensors[a].shape)
        if kind == "add":
            alike = [t for t in tensors if list(model.graph.tensors[t].shape) == shape]
            tensors.append(add_add(model, a, draw.choice(alike), 0, Quantized(0.1, 0)))
        elif kind == "concat" and shape[3] <= 64:
            output = model.tensor([*shape[:3], 2 * shape[3]], [0.1], [0])
            options = schema.ConcatenationOptionsT()
            options.axis = 3
            model.operator(2, [a, a], [output], 10, options, version=2)
            tensors.append(output)
        else:
            output = model.tensor(shape, [0.1], [0])
            model.operator(schema.BuiltinOperator.RELU, [a], [output], 0, None, version=2)
            tensors.append(output)
    model.graph.outputs = draw.sample(tensors[1:], min(2, len(tensors) - 1))
    return model


@pytest.mark.parametrize("seed", range(25))
def test_lifetimes_of_any_graph(program: Path, model_file: Path, seed: int) -> None:
    found = inspected(program, model_file, web(seed))
    assert_consistent(found)


def aligned_bound(found: Report) -> int:
    return lifetimes.aligned_bound(found, lifetimes.spans(found))


@pytest.mark.parametrize("seed", range(100, 120))
def test_the_plan_is_as_small_as_any(program: Path, model_file: Path, seed: int) -> None:
    found = inspected(program, model_file, web(seed))
    assert found.arena_bytes <= 1.02 * aligned_bound(found)


def test_a_small_tensor_between_large_ones_leaves_no_hole(program: Path, model_file: Path) -> None:
    """The beginning of MobileNetV1: placing the largest tensor first takes 17 % more."""
    rng = np.random.default_rng(1)
    model = Model()
    tensor = model.tensor([1, 96, 96, 3], [0.1], [0])
    model.graph.inputs = [tensor]
    for channels, stride in ((8, 2), (8, 1), (16, 1), (16, 2), (32, 1), (32, 1)):
        conv = Conv(
            out_channels=channels,
            kernel=(1, 1),
            strides=(stride, stride),
            dilations=(1, 1),
            padding=schema.Padding.SAME,
            activation=0,
            spread=64.0,
            output_zero_point=0,
            weight_scales=(0.01,),
            per_channel=False,
            bias_bits=15,
        )
        tensor = add_conv(model, tensor, conv, rng)
    model.graph.outputs = [tensor]
    found = inspected(program, model_file, model)
    assert found.arena_bytes == found.lower_bound_bytes == aligned_bound(found)


def test_what_is_computed_in_place_is_one_span(program: Path, model_file: Path) -> None:
    model = Model()
    tensors = [model.tensor([1, 8, 8, 4], [0.1], [0]) for _ in range(4)]
    for a, b in zip(tensors, tensors[1:], strict=False):
        model.operator(schema.BuiltinOperator.RELU, [a], [b], 0, None, version=2)
    model.graph.inputs, model.graph.outputs = [tensors[0]], [tensors[-1]]
    found = inspected(program, model_file, model)
    # The input itself stays as it was written.
    _, span = assert_consistent(found)
    assert [tensor.index for tensor in span.tensors] == tensors[1:]
    assert found.arena_bytes == 512


def test_what_is_computed_beforehand_takes_no_room(program: Path, model_file: Path) -> None:
    model = Model()
    constant = model.tensor([4], [0.1], [0], data=np.array([1, -2, 3, -4], np.int8))
    folded = model.tensor([4], [0.1], [0])
    start, end = (model.tensor([4], [0.1], [0]) for _ in range(2))
    model.operator(schema.BuiltinOperator.RELU, [constant], [folded], 0, None, version=2)
    options = schema.AddOptionsT()
    model.operator(0, [start, folded], [end], 11, options, version=2)
    model.graph.inputs, model.graph.outputs = [start], [end]
    found = inspected(program, model_file, model)
    assert_consistent(found)
    assert found.file_operators == 2
    assert [(op.index, op.name) for op in found.operators] == [(1, "ADD")]
    assert found.tensors[folded].place is Place.GRAPH
    assert found.not_detector == "MODEL_NOT_DETECTOR"


# Refusals -------------------------------------------------------------------------------------


def test_an_unsupported_operator_is_named(program: Path, model_file: Path) -> None:
    model = bad_models.base()
    end = model.graph.outputs[0]
    output = model.tensor([1], [0.1], [0])
    where = schema.BuiltinOperator.WHERE
    model.operator(where, [end], [output], 0, None, version=1)
    with pytest.raises(ModelRefused) as caught:
        inspected(program, model_file, model)
    assert caught.value.status == "MODEL_UNSUPPORTED_OP"
    assert "operator 3, WHERE (version 1)" in caught.value.message
    assert "docs/operators.md" in (caught.value.hint or "")


def test_all_unsupported_operators_are_told_of(program: Path, model_file: Path) -> None:
    model = bad_models.base()
    end = model.graph.outputs[0]
    for builtin in (schema.BuiltinOperator.WHERE, schema.BuiltinOperator.RFFT2D):
        for _ in range(2):
            output = model.tensor([1], [0.1], [0])
            model.operator(builtin, [end], [output], 0, None, version=1)
    model.operator(3, [end], [model.tensor([1])], 0, None, version=99)
    with pytest.raises(ModelRefused) as caught:
        inspected(program, model_file, model)
    assert caught.value.hints[0] == (
        "Not supported in this file: WHERE (version 1, #3), RFFT2D (version 1, #5),"
        " CONV_2D (version 99, #7)."
    )


def test_a_custom_operator_is_named_harmlessly(program: Path, model_file: Path) -> None:
    model = bad_models.base()
    output = model.tensor([1], [0.1], [0])
    model.operator(32, [model.graph.outputs[0]], [output], 0, None, version=1)
    model.model.operatorCodes[-1].customCode = b"My\x1b[31mOp"
    with pytest.raises(ModelRefused, match=r"CUSTOM My\?\[31mOp"):
        inspected(program, model_file, model)


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", "MODEL_MALFORMED"), (b"x", "MODEL_MALFORMED"), (bytes(4096), "MODEL_MALFORMED")],
)
def test_what_is_no_model_is_refused(
    program: Path, model_file: Path, content: bytes, status: str
) -> None:
    with pytest.raises(ModelRefused) as caught:
        inspected(program, model_file, content)
    assert caught.value.status == status


@pytest.mark.parametrize("cut", range(0, 3000, 97))
def test_a_damaged_model_is_refused_or_described(program: Path, model_file: Path, cut: int) -> None:
    """The program ends by itself, whatever the file: a crash would be another error."""
    data = bytearray(bad_models.base().pack())
    data[cut % len(data)] ^= 0xFF
    try:
        assert_consistent(inspected(program, model_file, bytes(data)))
    except ModelRefused:
        pass


# The command ----------------------------------------------------------------------------------


def test_the_command_prints_and_draws(
    tmp_path: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del program  # built before output is captured
    drawing = tmp_path / "arena.svg"
    assert main(["model", "inspect", str(DETECTOR), "--svg", str(drawing)]) == 0
    out = capsys.readouterr().out
    for words in ("DEPTHWISE_CONV_2D", "i8mm", "1,248,512", "at #4", "An SSD detector", "rpi3"):
        assert words in out
    svg = drawing.read_text()
    assert svg.startswith("<svg") and svg.count("<rect") == 100  # 99 tensors and the ground


def test_json_has_its_keys(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    del program
    assert main(["model", "inspect", str(DETECTOR), "--json", "--profile", "rpi3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *("model", "cpu", "bytes", "macs", "inputs", "outputs", "detector", "operators"),
        *("computed_once", "arena", "peaks", "fits", "advice"),
    }
    assert set(found["bytes"]) == {
        *("file", "constants", "tables", "arena", "lower_bound", "free_arena"),
        *("scratch_per_worker", "model", "board", "load_peak", "session", "photo_request"),
        *("tensors_request", "needed"),
    }
    (fit,) = found["fits"]
    assert fit["profile"] == "rpi3" and fit["requests"] == 1
    assert fit["progressive_photo"]["width"] % 16 == 0


def test_refusals_exit_with_2(
    model_file: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del program
    model_file.write_bytes(b"GIF89a")
    assert main(["model", "inspect", str(model_file)]) == 2
    assert "MODEL_MALFORMED" in capsys.readouterr().err
    assert main(["model", "inspect", str(model_file) + ".none"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_larger_rooms_take_larger_photos(program: Path) -> None:
    rooms = [7 << 20, 8 << 20, 11 << 20, report.UNLIMITED]
    detector = report.inspect(program, DETECTOR, ALL, rooms).detector
    assert detector is not None
    widths = [photo.width for photo in detector.progressive]
    assert widths == sorted(widths) and widths[0] > 0
    for photo in (*detector.progressive, *detector.baseline):
        assert photo.peak_bytes <= photo.limit_bytes
    # Baseline photos need a few rows only: the file format's limit of pixels comes first.
    assert detector.baseline[0].width * detector.baseline[0].height > 60e6


def test_photos_in_the_arena_alone_need_nothing_more(program: Path) -> None:
    limits = [report.ARENA_ALONE, report.UNLIMITED]
    detector = report.inspect(program, DETECTOR, ALL, limits).detector
    assert detector is not None
    for photo in detector.largest(report.ARENA_ALONE):
        assert photo is not None and photo.fits
        assert photo.peak_bytes <= detector.baseline[1].small_peak_bytes
    alone, unlimited = (detector.largest(limit)[1] for limit in limits)
    assert alone is not None and unlimited is not None
    # 3 bytes a pixel, of which 1.07 MiB are free: rows and Huffman tables take a little. Running
    # the network takes the input again, which is free while the photo is decoded.
    assert 0.75 * 1_123_648 < alone.width * alone.height * 3 < 1_123_648 + 131_072
    assert unlimited.width > 2 * alone.width


PAGE = 4096


def pages(count: int) -> int:
    return -(-count // PAGE) * PAGE


def test_what_sessions_share_and_what_a_request_takes(program: Path) -> None:
    """Step by step what docs/architecture.md says a model, a session and a request are."""
    found = report.inspect(program, DETECTOR, ALL, [report.UNLIMITED])
    assert found.model_bytes == pages(found.file_bytes) + pages(256 + found.tables_bytes)
    assert found.load_peak_bytes >= found.model_bytes + found.tables_bytes
    image = found.tensors[found.inputs[0]].size_bytes
    # One segment of the stream, sealed and not; the result of a photo, not sealed yet.
    stream, result = 2 * 65536, 16384
    least = pages(found.arena_bytes) + found.scratch_bytes + stream + image + result
    assert least < found.photo_request_bytes < least + 8 * PAGE
    # Outputs take their room in place of boxes.
    outputs = sum(found.tensors[index].size_bytes for index in found.outputs)
    least += outputs - result
    assert least < found.tensors_request_bytes < least + 8 * PAGE
    assert 0 < found.session_bytes < 64 << 10


def test_a_large_result_has_more_than_the_network(program: Path, model_file: Path) -> None:
    """Sealed, it takes the place of arena and stream; not sealed, it is there all the time."""
    model = Model()
    tensors = [model.tensor([1, 512, 512, 4], [0.1], [0]) for _ in range(2)]
    model.operator(schema.BuiltinOperator.RELU, [tensors[0]], [tensors[1]], 0, None, version=2)
    model.graph.inputs, model.graph.outputs = [tensors[0]], [tensors[1]]
    found = inspected(program, model_file, model)
    size = found.tensors[tensors[1]].size_bytes
    # Input and output in the arena, the kept input, the result.
    assert 4 * size < found.tensors_request_bytes < 4 * size + (256 << 10)


def test_a_result_that_is_too_large_is_no_request(program: Path, model_file: Path) -> None:
    """Two outputs of 10 MiB: each is one that the engine takes."""
    model = Model()
    start, *ends = [model.tensor([1, 1024, 1024, 10], [0.1], [0]) for _ in range(3)]
    for end in ends:
        model.operator(schema.BuiltinOperator.RELU, [start], [end], 0, None, version=2)
    model.graph.inputs, model.graph.outputs = [start], ends
    assert inspected(program, model_file, model).tensors_request_bytes == 0


def test_a_room_without_the_model_takes_no_photo(program: Path) -> None:
    room = profiles.room_bytes(profiles.named("corstone1000"))
    detector = report.inspect(program, DETECTOR, ALL, [room]).detector
    assert detector is not None and not detector.baseline[0].fits
