# SPDX-License-Identifier: Apache-2.0
"""Handwritten digits, read inside the secure world: the 784-512-256-128-10 perceptron."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from real_stack import ROOT, Client, run_sandbox

from sandbox.owner.results import open_tensor_result

MODEL = ROOT / "fixtures/models/mnist_mlp_int8.tflite"
DIGITS = ROOT / "fixtures/digits"


def picture(digit: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(DIGITS / f"{digit}.png") as opened:
        return np.asarray(opened, np.uint8)


def test_each_digit_is_read(connect: Callable[[str], Client]) -> None:
    client = connect("digits")
    client.provision()
    client.load(MODEL.read_bytes())
    read = []
    for digit in range(10):
        # Scale 1/255, zero point -128
        sealed = client.seal_tensors(
            (picture(digit).astype(np.int16) - 128).astype(np.int8).tobytes()
        )
        result = open_tensor_result(client.data_key, sealed, client.infer_bytes(sealed.data))
        (scores,) = result.outputs
        read.append(int(np.frombuffer(scores.data, np.int8).argmax()))
    assert read == list(range(10))


def test_a_digit_as_the_page_has_it(tmp_path: Path) -> None:
    """fixtures/README.md"""
    np.save(tmp_path / "7.npy", picture(7).astype("f4")[None] / 255)
    answer = tmp_path / "scores.npy"
    given = ["--input", tmp_path / "7.npy", "--output", answer, "--dequantize"]
    ran = run_sandbox("run", MODEL, *given)
    assert ran.status == 0, ran.stderr
    assert np.load(answer).argmax() == 7
