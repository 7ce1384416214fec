# SPDX-License-Identifier: Apache-2.0
"""`sandbox model import`, with the real converter where TensorFlow is (the extra `import`)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import bad_models
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from tflite_models import reference

from sandbox.__main__ import main
from sandbox.build import recipe
from sandbox.log import SilentProgress
from sandbox.model import report, slim
from sandbox.model.report import Cpu

TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
with_tensorflow = pytest.mark.skipif(
    not TENSORFLOW, reason="TensorFlow is not installed: pip install -e '.[import]'"
)
KERAS_TIMEOUT_S = 300.0

# Made in a process of its own: TensorFlow and LiteRT in one have been seen to quarrel.
MAKE = """
import sys, keras
from keras import layers as L
keras.utils.set_random_seed(7)
a = L.Input((24, 24, 3), name="photo")
x = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(a)
x = L.DepthwiseConv2D(3, padding="same")(x)
x = L.ReLU(6)(x)
x = L.Conv2D(12, 1, activation="relu")(x)
pooled = L.GlobalAveragePooling2D()(x)
classes = L.Dense(5, name="classes")(pooled)
where = L.Dense(5, activation="sigmoid", name="where")(pooled)
model = keras.Model(a, {"classes": classes, "where": where})
model.save("model.keras")
model.save("model.h5")
model.export("saved", verbose=False)
flat = keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
flat.save("flat.keras")
first, second = L.Input((6,), name="zeta"), L.Input((6,), name="alpha")
both = L.Concatenate()([L.Dense(4)(first), L.Dense(4, activation="relu")(second)])
two = keras.Model([first, second], [L.Dense(3, name="late")(both), L.Dense(3, name="early")(both)])
two.save("two.keras")
words = keras.Sequential([L.Input((5,), dtype="int32"), L.Embedding(9, 4), L.Flatten()])
words.save("words.keras")
odd = keras.Sequential([L.Input((6,)), L.Lambda(lambda t: t)])
odd.save("lambda.keras")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keras")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", MAKE],
        cwd=made,
        env=environment,
        capture_output=True,
        timeout=KERAS_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    photos = made / "photos"
    photos.mkdir()
    rng = np.random.default_rng(3)
    for i in range(12):
        coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((40, 30)).save(photos / f"{i}.png")
    return made


def run_import(folder: Path, source: str, *options: str) -> int:
    argv = ["model", "import", str(folder / source), "--out", str(folder / "out.tflite")]
    return main([*argv, "--calibration", str(folder / "photos"), "--json", *options])


@with_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize("source", ["model.keras", "model.h5", "saved"])
def test_a_model_is_converted_and_checked(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(folder, source) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["samples"] == 12
    assert [one["name"] for one in told["agreements"]] == ["classes", "where"]
    for one in told["agreements"]:
        assert one["shape"] == [1, 5]
        assert one["snr_db"] > 20
    found = report.inspect(recipe.model_report(SilentProgress()), folder / "out.tflite", Cpu.NEON)
    ends = [found.tensors[i] for i in (*found.inputs, *found.outputs)]
    assert [end.type for end in ends] == ["int8"] * 3
    assert [end.name for end in ends] == ["photo", "classes", "where"]
    assert ends[0].shape == (1, 24, 24, 3)
    assert {op.name for op in found.operators} >= {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN"}


@with_tensorflow
@pytest.mark.slow
def test_another_size_is_built(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_import(folder, "model.keras", "--input-size", "40x32") == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == [["photo", [1, 40, 32, 3]]]


@with_tensorflow
@pytest.mark.slow
def test_inputs_and_outputs_keep_their_names(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(2)
    wide, narrow = rng.normal(size=(40, 6)) * 50, rng.normal(size=(40, 6))
    np.savez(tmp_path / "a.npz", zeta=wide, alpha=narrow)
    assert run_import(folder, "two.keras", "--calibration", str(tmp_path)) == 0
    told = json.loads(capsys.readouterr().out)
    assert [name for name, _ in told["inputs"]] == ["zeta", "alpha"]
    assert [one["name"] for one in told["agreements"]] == ["late", "early"]
    assert all(one["snr_db"] > 15 for one in told["agreements"])
    found = report.inspect(recipe.model_report(SilentProgress()), folder / "out.tflite", Cpu.NEON)
    scale = {found.tensors[i].name: found.tensors[i].scale for i in found.inputs}
    assert scale["zeta"] > 10 * scale["alpha"]


@with_tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("flat.keras", ("--input-size", "9x9"), "cannot be rebuilt"),
        ("model.keras", ("--input-size", "9"), "--input-size has 1 numbers"),
        ("lambda.keras", (), "Keras cannot load lambda.keras"),
        ("none.keras", (), "no file"),
        ("words.keras", (), "int32: only models with float32 inputs"),
        ("photos", (), "no SavedModel"),
        ("photos/0.png", (), "neither a Keras file"),
    ],
)
def test_what_cannot_be_converted_is_named(
    folder: Path,
    source: str,
    options: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "out.tflite").unlink(missing_ok=True)
    assert run_import(folder, source, *options) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["name"] == "ConversionFailed" and words in error["message"]
    assert not (folder / "out.tflite").exists()


def test_slim_files_compute_the_same() -> None:
    model = bad_models.base().pack()
    rng = np.random.default_rng(1)
    inputs = [rng.integers(-128, 128, (6, 6, 4)).astype(np.int8).tobytes() for _ in range(3)]
    names = ["image"], ["sum", "rest"]
    made = slim.slimmed(schema, model, *names)
    assert len(made) < len(model)
    assert reference(made, inputs) == reference(model, inputs)
    read = schema.ModelT.InitFromPackedBuf(made, 0)
    (graph,) = read.subgraphs
    kept = {i: t.name for i, t in enumerate(graph.tensors) if t.name}
    assert [kept[i] for i in graph.inputs] == [b"image"]
    assert len(kept) == 3
