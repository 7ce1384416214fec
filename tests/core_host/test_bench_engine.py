# SPDX-License-Identifier: Apache-2.0
"""The measuring programs, natively under sanitizers and for arm64: they compute what they time."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from sandbox import process
from sandbox.build import sources
from sandbox.log import SilentProgress

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "fixtures/models/ssdlite_mobilenet_v2_coco80_204_int8.tflite"
PHOTO = ROOT / "fixtures/photos/astronaut.jpg"
SANITIZE = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
# Of tests/core_host/Makefile: how to run it, and how to build on its objects
KINDS = {
    "x86-asan": ([], {"STATIC": "", "EXTRA": SANITIZE}),
    "arm64": (["qemu-aarch64", "-cpu", "max"], {"CROSS_COMPILE": "aarch64-linux-gnu-"}),
}


class Engine:
    def __init__(self, argv: list[str]) -> None:
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.hello = self._line()

    def _line(self) -> Any:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def ask(self, *words: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture(scope="module", params=KINDS)
def argv(request: pytest.FixtureRequest, core_make: Callable[[str], Path]) -> list[str]:
    before, variables = KINDS[request.param]
    objects = core_make(request.param) / request.param
    build = objects / "bench"
    libjpeg = sources.unpacked("libjpeg-turbo", SilentProgress())
    make = ["make", "--silent", "-j2", "-C", os.fspath(ROOT / "benchmarks/guest")]
    cbor = sources.unpacked("tinycbor", SilentProgress())
    make += ["cml-bench-engine", f"O={build}", f"OBJECTS={objects}"]
    make += [f"LIBJPEG={libjpeg}", f"CBOR={cbor}"]
    make += [f"{key}={value}" for key, value in variables.items()]
    process.run(make, timeout_s=900)
    return [*before, os.fspath(build / "cml-bench-engine")]


@pytest.fixture
def engine(argv: list[str]) -> Iterator[Engine]:
    started = Engine([*argv, os.fspath(MODEL), os.fspath(PHOTO), "0"])
    yield started
    status, said = started.end()
    assert status == 0, said


def test_layers_add_up_to_the_graph(engine: Engine) -> None:
    layers = engine.ask("layers")["layers"]
    assert len(layers) == engine.hello["operators"] == 98
    assert sum(layer["macs"] for layer in layers) == engine.hello["macs"]
    for layer in layers:
        source, weights, output = layer["shapes"]
        pixels = output[1] * output[2]
        macs = {
            "CONV_2D": pixels * output[3] * weights[1] * weights[2] * source[3],
            "DEPTHWISE_CONV_2D": pixels * output[3] * weights[1] * weights[2],
            "ADD": 0,
        }
        assert layer["macs"] == macs[layer["name"]], layer


def test_outputs_are_those_of_the_reference_kernels(engine: Engine, tmp_path: Path) -> None:
    assert engine.ask("input", tmp_path / "input") == {}
    assert engine.ask("outputs", tmp_path / "outputs") == {}
    reference = Interpreter(
        os.fspath(MODEL), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    reference.allocate_tensors()
    photo = np.fromfile(tmp_path / "input", np.int8).reshape(1, 204, 204, 3)
    reference.set_tensor(reference.get_input_details()[0]["index"], photo)
    reference.invoke()
    expected = b"".join(
        reference.get_tensor(output["index"]).tobytes() for output in reference.get_output_details()
    )
    found = (tmp_path / "outputs").read_bytes()
    assert hashlib.sha256(found).hexdigest() == hashlib.sha256(expected).hexdigest()


def test_every_inner_loop_is_right_and_then_there_are_no_more(engine: Engine) -> None:
    """The program ends with an error if a product is wrong."""
    names = []
    for index in range(100):
        answer = engine.ask("peak", index, 1)
        if answer is None:
            break
        assert answer["rounds"] >= 1 and answer["us"] > 0
        assert answer["macs"] == 168 * 256 * 576
        names.append(answer["name"])
    assert len(set(names)) == len(names) >= 6


@pytest.mark.parametrize("words", ["network", "op 3", "jpeg", "resize"])
def test_a_time_is_at_least_as_long_as_asked_for(engine: Engine, words: str) -> None:
    answer = engine.ask(*words.split(), 2)
    assert answer["us"] >= 2000 and answer["rounds"] >= 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sing", "no such command"),
        ("op 98 1", "no operator 98"),
        ("network -1", "not a number"),
        ("network 99999999", "not a number"),
        ("op 1 2 3 4", "more than"),
        ("outputs /no/such/folder/x", "cannot write"),
    ],
)
def test_a_bad_command_ends_it_with_a_sentence(argv: list[str], line: str, said: str) -> None:
    started = Engine([*argv, os.fspath(MODEL), os.fspath(PHOTO), "0"])
    assert started.process.stdin is not None
    started.process.stdin.write(f"{line}\n")
    status, words = started.end()
    assert status == 1 and said in words


def test_a_bad_model_or_photo_ends_it_with_a_sentence(argv: list[str]) -> None:
    for arguments, said in (
        ([PHOTO, PHOTO, "0"], "MODEL_"),
        ([MODEL, MODEL, "0"], "JPEG_"),
        ([MODEL, "/no/such/photo", "0"], "cannot read"),
        ([MODEL], "usage"),
    ):
        done = subprocess.run(
            [*argv, *map(os.fspath, arguments)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1 and said in done.stderr, done.stderr
