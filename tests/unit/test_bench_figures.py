# SPDX-License-Identifier: Apache-2.0
"""`sandbox bench` without a machine: what is made of figures, and the contract with its TA."""

import hashlib
import json
import os
import re
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandbox import paths
from sandbox.bench import figures, measuring_ta, model_file, picture
from sandbox.bench.figures import Difference, Figure, figure, interleaved, quotient
from sandbox.bench.host_cpu import HostCpu
from sandbox.bench.layers import Layer, Measured, Peak, as_text, bar, groups
from sandbox.build import wheels
from sandbox.build.lock import LockError
from sandbox.commands import bench_report, bench_service
from sandbox.errors import InfraError, UserError

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
HEADER = (ROOT / "ta/include/cml_bench_ta.h").read_text()


# Figures ----------------------------------------------------------------------------------------


def test_a_quotient_is_that_of_the_medians() -> None:
    assert quotient(figure([3.0, 1.0, 2.0]), figure([4.0, 8.0, 5.0])) == 2.0 / 5.0


def test_what_was_not_measured_has_no_quotient() -> None:
    assert quotient(None, figure([1.0])) is None
    assert quotient(figure([1.0]), None) is None


def test_a_time_of_nothing_is_no_figure() -> None:
    with pytest.raises(AssertionError):
        figure([1.0, 0.0])
    with pytest.raises(AssertionError):
        figure([])


def test_spread_is_from_the_least_to_the_most() -> None:
    assert figure([2.0, 1.0, 4.0]).spread == 1.5


def test_each_has_its_turn_in_every_round_and_another_one_begins() -> None:
    order: list[str] = []

    def note(name: str) -> Any:
        return lambda: order.append(name) or float(len(order))

    found = interleaved({name: note(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    assert found["a"].samples == (1.0, 6.0, 8.0)


def test_differences_are_counted_in_steps_of_int8() -> None:
    expected = np.array([-128, 127, 0, 5], np.int8).tobytes()
    found = np.array([-128, -128, -1, 7], np.int8).tobytes()
    assert Difference.of(expected, found) == Difference(255, (255 + 1 + 2) / 4, 3 / 4)
    assert Difference.of(expected, expected) == Difference(0, 0.0, 0.0)
    with pytest.raises(ValueError):
        Difference.of(expected, found[:3])


def test_tables_have_numbers_to_the_right() -> None:
    text = figures.table(("name", "ms "), [("a", "1"), ("long", "100")])
    assert text == "name   ms\na       1\nlong  100"


def test_what_a_process_has_run_goes_up_with_what_it_does() -> None:
    cpu = HostCpu(os.getpid())

    def work() -> None:
        begin = time.process_time()
        while time.process_time() - begin < 0.05:
            pass

    assert cpu.spent(work) >= 0.04
    # Asleep, it takes next to nothing.
    assert cpu.spent(lambda: time.sleep(0.2)) < 0.15
    with pytest.raises(InfraError):
        HostCpu(1 << 30).seconds()


# Layers -----------------------------------------------------------------------------------------

SHAPES = {
    "pointwise": ((1, 4, 4, 8), (16, 1, 1, 8), (1, 4, 4, 16)),
    "conv": ((1, 4, 4, 8), (16, 3, 3, 8), (1, 4, 4, 16)),
    "depthwise": ((1, 4, 4, 8), (1, 3, 3, 8), (1, 4, 4, 8)),
    "add": ((1, 4, 4, 8), (1, 4, 4, 8), (1, 4, 4, 8)),
}
NAMES = {"pointwise": "CONV_2D", "conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "add": "ADD"}


def measured(kind: str, index: int, macs: int, *seconds: float) -> Measured:
    layer = Layer(index, NAMES[kind], macs, 1, False, SHAPES[kind])
    # Each takes half as much of the host's cores.
    return Measured(layer, figure(seconds), figure(value / 2 for value in seconds))


LAYERS = [
    measured("conv", 0, 4000, 2.0, 1.0, 3.0),
    measured("pointwise", 1, 6000, 1.0),
    measured("depthwise", 2, 1000, 1.0),
    measured("add", 3, 0, 0.5),
]
# 8000 and 10000 a second
PEAK = Peak(
    {"slow": figure([1 / 8000]), "fast": figure([1 / 10000, 1 / 9000, 1 / 12000])},
    {"slow": figure([1 / 40000]), "fast": figure([1 / 20000])},
)


def test_the_peak_is_the_best_loop() -> None:
    assert PEAK.name == "fast" and PEAK.rate == pytest.approx(10000)
    assert PEAK.cpu_rate == pytest.approx(40000)


def test_groups_add_up() -> None:
    found = groups(LAYERS)
    assert found["all"].macs == 11000 and found["all"].seconds == 4.5
    parts = ("pointwise", "other convolutions", "depthwise", "the rest")
    assert sum(found[name].macs for name in parts) == found["all"].macs
    assert sum(found[name].seconds for name in parts) == found["all"].seconds
    assert found["convolutions"].count == 3
    assert found["convolutions"].share(PEAK) == pytest.approx(11000 / 4.0 / 10000)
    assert found["pointwise"].share(PEAK) == pytest.approx(0.6)
    assert found["convolutions"].cpu_share(PEAK) == pytest.approx(11000 / 2.0 / 40000)


def test_a_kind_that_is_not_there_has_no_share() -> None:
    assert groups(LAYERS[3:])["pointwise"].share(PEAK) is None


def test_the_text_has_every_layer_and_the_peak() -> None:
    text = as_text(LAYERS, PEAK)
    for words in ("conv 3x3", "pointwise", "depthwise 3x3", "add", "4x4x8 > 4x4x16", "fast"):
        assert words in text, words


@pytest.mark.parametrize(("share", "length"), [(0, 0), (1, 30), (0.5, 15), (0.01, 1), (2, 30)])
def test_bars_are_as_long_as_their_share(share: float, length: int) -> None:
    assert len(bar(share)) == length


def test_drawings_are_xml_with_a_bar_for_each() -> None:
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(picture.layers(LAYERS, PEAK, "A & B < C"))
    # The background, a bar for each, and for all that count the dark part
    assert len(root.findall(f"{space}rect")) == 1 + len(LAYERS) + 3
    assert "A & B < C" in [text.text for text in root.findall(f"{space}text")]
    both = [("LiteRT", 0.4), ("ours", 0.2)]
    root = ElementTree.fromstring(picture.comparison(both, "title", "subtitle"))
    widths = [float(rect.get("width") or 0) for rect in root.findall(f"{space}rect")[1:]]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)


# The measuring TA -------------------------------------------------------------------------------


def test_the_mirror_of_the_abi_is_right() -> None:
    for name in ("LOAD", "LAYERS", "RUN", "PEAK", "INFER"):
        (number,) = re.findall(rf"#define TA_CML_BENCH_CMD_{name}\s+(\d+)", HEADER)
        assert getattr(measuring_ta, f"CMD_{name}") == int(number)
    for name, ours in (
        ("NAME_SIZE", measuring_ta.NAME_BYTES),
        ("SHAPES", measuring_ta.SHAPES),
        ("RANK", measuring_ta.RANK),
        ("NETWORK", measuring_ta.NETWORK),
    ):
        (number,) = re.findall(rf"#define CML_BENCH_{name}\s+(\w+)", HEADER)
        assert int(number, 0) == ours, name
    assert str(measuring_ta.UUID_) in HEADER
    assert f"BINARY := {measuring_ta.UUID_}" in (ROOT / "ta/bench/Makefile").read_text()
    assert (
        "TA_UUID			TA_CML_BENCH_UUID"
        in (ROOT / "ta/bench/user_ta_header_defines.h").read_text()
    )


def test_a_layer_is_read_as_the_ta_writes_it() -> None:
    shapes = [size for shape in SHAPES["pointwise"] for size in shape]
    data = measuring_ta.LAYER.pack(b"CONV_2D", 1 << 33, 5, 1, *shapes)
    layer = measuring_ta.layer(7, measuring_ta.LAYER.unpack(data))
    assert layer == Layer(7, "CONV_2D", 1 << 33, 5, True, SHAPES["pointwise"])
    assert layer.pointwise and layer.convolution


def test_the_measuring_ta_is_in_no_image() -> None:
    for path in (ROOT / "sandbox/build/images.py", ROOT / "Makefile"):
        assert "measuring_ta" not in path.read_text()


# Inputs -----------------------------------------------------------------------------------------


def test_the_locked_wheels_can_be_read() -> None:
    found = wheels.load(paths.project_dir() / "optee-build/wheels.toml")
    assert found["litert"].version in found["litert"].file
    assert all(len(wheel.sha256) == 64 and wheel.why for wheel in found.values())


GOOD_WHEEL = {
    "name": "a",
    "package": "a",
    "version": "1",
    "platform": "any",
    "python": "3.11",
    "why": "because",
    "file": "a-1.whl",
    "size": 1,
    "sha256": "0" * 64,
    "keep": ["*"],
}


@pytest.mark.parametrize(
    "change",
    [{"size": "1"}, {"sha256": "00"}, {"file": "../a.whl"}, {"extra": "x"}, {"keep": "x"}],
    ids=str,
)
def test_a_bad_list_of_wheels_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "wheels.toml"

    def write(table: dict[str, Any]) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        path.write_text("\n".join(["[[wheel]]", *lines]))

    write(GOOD_WHEEL)
    assert wheels.load(path)["a"].size == 1
    write(GOOD_WHEEL | change)
    with pytest.raises(LockError):
        wheels.load(path)


def schema_file() -> Path:
    module = pytest.importorskip("ai_edge_litert.schema_py_generated")
    return Path(module.__file__)


def test_biases_get_the_scales_that_follow_and_nothing_else_changes() -> None:
    before = MODEL.read_bytes()
    after = model_file.with_bias_scales(before, schema_file())
    from ai_edge_litert import schema_py_generated as schema

    def graph(data: bytes) -> tuple[Any, Any]:
        model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
        return model, model.subgraphs[0]

    (old, old_graph), (new, new_graph) = graph(before), graph(after)
    assert [bytes(b.data) if b.data is not None else b"" for b in old.buffers] == [
        bytes(b.data) if b.data is not None else b"" for b in new.buffers
    ]
    biases = 0
    for operator in new_graph.operators:
        if len(operator.inputs) != 3:
            continue
        source, weights, bias = (new_graph.tensors[i] for i in operator.inputs)
        scale = np.float32(source.quantization.scale[0]) * weights.quantization.scale
        assert np.array_equal(bias.quantization.scale, scale)
        assert not bias.quantization.zeroPoint.any()
        assert old_graph.tensors[operator.inputs[2]].quantization is None
        biases += 1
    assert biases == 88


def test_the_changed_model_computes_the_same_and_xnnpack_takes_all_of_it() -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    after = model_file.with_bias_scales(MODEL.read_bytes(), schema_file())
    rng = np.random.default_rng(1)
    photo = rng.integers(-128, 128, (1, 204, 204, 3), np.int8)

    def digest(model: bytes, resolver: Any) -> tuple[str, int]:
        running = interpreter.Interpreter(
            model_content=model, experimental_op_resolver_type=resolver, num_threads=1
        )
        running.allocate_tensors()
        running.set_tensor(running.get_input_details()[0]["index"], photo)
        running.invoke()
        outputs = [running.get_tensor(o["index"]) for o in running.get_output_details()]
        parts = [op["op_name"] for op in running._get_ops_details()].count("DELEGATE")
        return hashlib.sha256(b"".join(o.tobytes() for o in outputs)).hexdigest(), parts

    kinds = interpreter.OpResolverType
    assert digest(after, kinds.BUILTIN_REF) == digest(MODEL.read_bytes(), kinds.BUILTIN_REF)
    # Without, it takes the ten ADDs, each by itself.
    assert digest(MODEL.read_bytes(), kinds.BUILTIN)[1] == 10
    assert digest(after, kinds.BUILTIN)[1] == 1


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(UserError, match="flatbuffers") as caught:
        model_file.with_bias_scales(b"", Path("schema.py"))
    assert "[bench]" in caught.value.hints[0]


# The report -------------------------------------------------------------------------------------


def found() -> dict[str, Any]:
    """As bench_steps gives it."""

    def json_of(*samples: float) -> dict[str, Any]:
        return figure(samples).as_json()

    return {
        "command": ["sandbox", "bench", "--report"],
        "runs": 3,
        "model": "m.tflite",
        "photo": "p.jpg",
        "machine": {
            "host_cpu": "A processor",
            "host_cores": 2,
            "load_average": [0.1, 0.2, 0.3],
            "qemu": "QEMU 7.2",
            "acceleration": "tcg",
            "guest_cpu": "max",
            "guest_cores": 2,
        },
        "seconds": {
            name: None if name in ("reference1", "ta2") else json_of(0.4, 0.3)
            for name in bench_report.NAMES
        },
        "ratios": dict.fromkeys(bench_report.GOALS, 0.7) | {"ta2_vs_ta1": None},
        "ratios_of_host_cpu": {"tee_vs_ree": 1.01},
        "host_cpu_seconds": {"xnnpack1": json_of(0.3), "measuring_ta": json_of(0.2)},
        "groups": {name: group.as_json(PEAK) for name, group in groups(LAYERS).items()},
        "peak": PEAK.as_json(),
        "agreement": {"xnnpack1": Difference(3, 0.5, 0.25).as_json()},
        "secure_memory": {
            "size_bytes": 15 << 20,
            "optee_bytes": 1 << 20,
            "peak_bytes": {"1": 8 << 20, "4": None},
        },
        "service": {
            "phases": {"network": json_of(0.2), "boxes": json_of(0.001)},
            "workers": {"1": json_of(0.2), "2": None},
            "photos_per_s": {"1": 3.0, "2": 5.4},
            "memory": {"model_bytes": 100, "arena_bytes": 50, "tables_bytes": 5},
        },
        "remarks": ["ta2: not in this version"],
    }


def test_the_text_tells_what_was_and_what_was_not_measured() -> None:
    text = bench_report.text(found(), LAYERS, PEAK)
    for words in ("not measured", "TA, two workers / one worker", "5.40", "A processor", "7.00"):
        assert words in text, words
    assert "None" not in text and "nan" not in text


def test_goals_are_met_or_not() -> None:
    text = bench_report.text(found(), LAYERS, PEAK)
    (low,) = re.findall(r"^TA, one worker / XNNPACK, one thread .*$", text, re.M)
    (high,) = re.findall(r"^share of the peak, all convolutions .*$", text, re.M)
    assert low.endswith("no") and high.endswith("yes")


def test_the_page_keeps_what_is_around_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / bench_report.PAGE
    (tmp_path / bench_report.PEERS_PICTURE).parent.mkdir(parents=True)
    page.write_text(f"before\n{bench_report.BEGIN}\nold\n{bench_report.END}\nafter\n")
    monkeypatch.setattr(paths, "project_dir", lambda: tmp_path)

    class Subject:
        model_path = Path("m.tflite")

    written = bench_report.write(found(), LAYERS, PEAK, Subject())  # type: ignore[arg-type]
    assert {path.name for path in written} == {
        "performance.md",
        "bench.peers.svg",
        "bench.layers.svg",
    }
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| TA / the same engine in the normal world, one worker | 0.70 | 1.01 |" in text
    page.write_text("no place")
    with pytest.raises(UserError, match="no place"):
        bench_report.write(found(), LAYERS, PEAK, Subject())  # type: ignore[arg-type]


def test_the_page_has_a_place_for_the_figures() -> None:
    text = (ROOT / bench_report.PAGE).read_text()
    assert text.index(bench_report.BEGIN) < text.index(bench_report.END)


class Looking:
    """What Service stands on: a session, and who asks through it."""

    def __init__(self) -> None:
        self.count = 1

    def workers(self, count: int) -> None:
        self.count = count

    def detect(self, photo: bytes, threshold: float, timings_ms: dict[str, float]) -> None:
        timings_ms["network"] = 1000 / self.count


def test_each_photo_says_how_many_workers() -> None:
    looking = Looking()
    ours = bench_service.Service(looking, looking)  # type: ignore[arg-type]
    assert ours.network(b"", 2) == 0.5
    # One is not what a session begins with: it has to be said, too.
    assert ours.network(b"") == 1.0


def test_figures_are_what_json_can_say() -> None:
    assert json.loads(json.dumps(Figure((1.0, 2.0)).as_json()))["median"] == 1.5
