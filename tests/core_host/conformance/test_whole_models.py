# SPDX-License-Identifier: Apache-2.0
"""Networks that people bring, whole: from Keras, by TensorFlow's converter.

The files of fixtures/models/ that fixtures/make/models_keras.py makes; with TensorFlow (in a
Python that WHOLE_MODELS_PYTHON names, or in this one), the same made anew. int8 is equal to the
bit, float32 within FLOAT_BOUND; on every kind of processor, and in tiles that run in any order.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import manifest
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conformance import DOTPROD, DTYPES, I8MM, NEON, Array, Engine, reference
from driver import Driver
from graphs import Info, info
from reference_models import with_versions

from sandbox.tee_abi import Status

SCRIPT = "make/models_keras.py"
ENTRIES = {
    name: entry
    for name, entry in manifest.entries("models").items()
    if entry.get("script") == SCRIPT and name.endswith(".tflite")
}
MODELS = sorted(ENTRIES)
# Between any two engines, for outputs of up to about 1. Seen: 1.2e-7.
FLOAT_BOUND = 1e-6
# One step of int8, about: LiteRT's optimised kernels round otherwise in places.
OPTIMISED_BOUND = 0.01
MAKE_TIMEOUT_S = 900
RUNS = 3
FAST_SCALAR = 8
KERNELS = {
    "portable": 0,
    "neon": NEON,
    "dotprod": NEON | DOTPROD,
    "i8mm": NEON | DOTPROD | I8MM,
    "scalar": NEON | DOTPROD | I8MM | FAST_SCALAR,
}
SHUFFLE = 4711


def contents(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


@pytest.fixture
def every_engine(native: Driver, arm64: Driver, arm64_tiles: Driver) -> list[Engine]:
    return [
        Engine(native, 0),
        Engine(native, 0, SHUFFLE),
        *(Engine(arm64, cpu) for cpu in KERNELS.values()),
        *(Engine(arm64_tiles, cpu, SHUFFLE) for cpu in KERNELS.values()),
    ]


def draw(found: Info, rng: np.random.Generator) -> list[Array]:
    """Noise, or noise about a mean, so that deep layers see more than one kind of picture."""
    inputs: list[Array] = []
    for tensor in found.tensors[: found.inputs]:
        values = rng.random(tensor.dims) * rng.random() + rng.random() * 0.5
        if tensor.type == schema.TensorType.FLOAT32:
            inputs.append(values.astype(np.float32))
        else:
            limits = np.iinfo(DTYPES[tensor.type])
            values = values / tensor.scale + tensor.zero_point
            inputs.append(np.clip(values, limits.min, limits.max).astype(limits.dtype))
    return inputs


def compare(mine: Sequence[Array], theirs: Sequence[Array], engine: Engine) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        if other.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=0, atol=FLOAT_BOUND)
        else:
            np.testing.assert_array_equal(one, other, f"cpu {engine.cpu} shuffle {engine.shuffle}")


def check(engines: Sequence[Engine], model: bytes, entry: dict[str, Any]) -> None:
    judged = with_versions(model, entry.get("versions", {}))
    rng = np.random.default_rng(len(model))
    found = info(engines[0].driver, model)
    told_apart = set()
    for _ in range(RUNS):
        inputs = draw(found, rng)
        expected = reference(judged, inputs)
        told_apart.add(b"".join(output.tobytes() for output in expected))
        for engine in engines:
            compare(engine.run(model, inputs), expected, engine)
    # A network that says the same whatever it is given would hide any error.
    assert len(told_apart) > 1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_equals_the_reference(every_engine: list[Engine], name: str) -> None:
    check(every_engine, contents(manifest.FIXTURES / "models", name), ENTRIES[name])


def test_there_is_a_model_of_each_kind() -> None:
    kinds = {name.rpartition("_")[0] for name in MODELS}
    assert kinds >= {
        *("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite", "unet"),
        *("keyword_spotter", "autoencoder", "detector", "lstm_classifier", "rnn_classifier"),
        *("sine", "mnist_mlp", "mnist_cnn"),
    }


def accuracy(outputs: Array, labels: Array) -> float:
    return float(np.mean(outputs.reshape(len(labels), -1).argmax(axis=1) == labels))


@pytest.mark.parametrize(("name", "least"), [("mnist_mlp", 0.964), ("mnist_cnn", 0.950)])
def test_digits_held_out_are_read_as_litert_reads_them(
    arm64: Driver, name: str, least: float
) -> None:
    """500 digits that were not trained on: the same scores, so the same accuracy."""
    model = contents(manifest.FIXTURES / "models", f"{name}_int8.tflite")
    held_out = np.load(manifest.FIXTURES / "models" / "mnist_held_out.npz")
    labels = held_out["labels"]
    # Scale 1/255, zero point -128
    pictures = (held_out["pixels"].astype(np.int16) - 128).astype(np.int8)
    expected = np.stack([reference(model, [picture[None]])[0] for picture in pictures])
    engine = Engine(arm64, KERNELS["i8mm"])
    payload = np.array([engine.cpu, len(model)], np.uint32).tobytes() + model
    status, reply = arm64.call("graph_run", payload + pictures.tobytes())
    assert status == Status.OK
    mine = np.frombuffer(reply, np.int8).reshape(expected.shape)
    np.testing.assert_array_equal(mine, expected)
    assert accuracy(mine, labels) == accuracy(expected, labels) >= least


def python_with_tensorflow() -> str | None:
    if "WHOLE_MODELS_PYTHON" in os.environ:
        return os.environ["WHOLE_MODELS_PYTHON"]
    return sys.executable if importlib.util.find_spec("tensorflow") else None


def make(script: str, folder: Path) -> list[Path]:
    """What a script of fixtures/ makes."""
    python = python_with_tensorflow()
    if python is None:
        pytest.skip("no TensorFlow: WHOLE_MODELS_PYTHON names a Python with make/requirements.txt")
    done = subprocess.run(
        [python, os.fspath(manifest.FIXTURES / script), os.fspath(folder)],
        capture_output=True,
        text=True,
        timeout=MAKE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted(folder.glob("*.tflite"))


@pytest.mark.slow
def test_models_made_anew_equal_the_reference(every_engine: list[Engine], tmp_path: Path) -> None:
    """From nothing: Keras, packages fetched and verified, training, conversion."""
    made = make(SCRIPT, tmp_path)
    assert [path.name for path in made] == MODELS
    for path in made:
        check(every_engine, path.read_bytes(), ENTRIES[path.name])


@pytest.mark.slow
def test_every_layer_of_keras(native: Driver, arm64_tiles: Driver, tmp_path: Path) -> None:
    """Each in a model of its own: int8 to the bit, but for operators that the reference lacks."""
    engines = [Engine(native, 0), Engine(arm64_tiles, KERNELS["i8mm"], SHUFFLE)]
    made = make("make/layers_keras.py", tmp_path)
    assert len(made) > 150
    lacking = []
    for path in made:
        model = path.read_bytes()
        inputs = draw(info(native, model), np.random.default_rng(1))
        bound = 0.0 if path.stem.endswith("_int8") else FLOAT_BOUND
        try:
            expected = reference(model, inputs)
        except ValueError:
            expected = reference(model, inputs, "builtin")
            lacking.append(path.stem)
            bound = OPTIMISED_BOUND
        for engine in engines:
            for mine, theirs in zip(engine.run(model, inputs), expected, strict=True):
                assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=bound, err_msg=path.stem)
    assert len(lacking) < len(made) / 10, lacking
