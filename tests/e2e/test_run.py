# SPDX-License-Identifier: Apache-2.0
"""sandbox run: whole models in the real TA, equal to LiteRT's reference kernels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import manifest
import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from real_stack import ROOT, Client, run_sandbox
from reference_models import with_versions

from sandbox.owner import keys, sealed_file
from sandbox.owner.results import ResultError, TensorResult, open_tensor_result
from sandbox.owner.sealed_file import Header, Sealed
from sandbox.owner.service import InputRefused, TaError
from sandbox.tee_abi import Kind

MODELS = ROOT / "fixtures/models"
# Floats: sums of other lengths in another order
TOLERANCE = 1e-4
RESULT_MAX_BYTES = 17 << 20
Array = npt.NDArray[Any]


def names() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.tflite"))


def reference(
    model: Path, inputs: list[Array] | None, seed: int = 1
) -> tuple[list[Array], list[Array]]:
    """Inputs (made up if none are given) and what LiteRT makes of them."""
    versions = manifest.entries("models")[model.name].get("versions", {})
    interpreter = Interpreter(
        model_content=with_versions(model.read_bytes(), versions),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    rng = np.random.default_rng(seed)
    used = []
    for index, detail in enumerate(interpreter.get_input_details()):
        shape, dtype = detail["shape"], detail["dtype"]
        if inputs is not None:
            value = inputs[index]
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            value = rng.integers(limits.min, limits.max + 1, shape, np.int64).astype(dtype)
        else:
            value = rng.standard_normal(shape).astype(dtype)
        interpreter.set_tensor(detail["index"], value)
        used.append(value)
    interpreter.invoke()
    return used, [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def ask(client: Client, sealed: Sealed) -> bytes:
    request = client.share.put(sealed.data, "request")
    answer = client.share.new_path("result")
    try:
        client.session.infer(request, answer)
        return client.share.take(answer, RESULT_MAX_BYTES)
    finally:
        client.share.drop(request)
        client.share.drop(answer)


def run(client: Client, inputs: bytes) -> TensorResult:
    sealed = client.seal_tensors(inputs)
    return open_tensor_result(client.data_key, sealed, ask(client, sealed), client.signer)


@pytest.fixture
def fresh(connect: Callable[[str], Client]) -> Client:
    client = connect("e2e-run")
    client.provision()
    return client


@pytest.mark.parametrize("name", names())
def test_a_whole_model_equals_the_reference(fresh: Client, name: str) -> None:
    model = MODELS / f"{name}.tflite"
    fresh.load(model.read_bytes())
    inputs, expected = reference(model, None)
    found = run(fresh, b"".join(value.tobytes() for value in inputs))
    assert found.origin.model_digest == fresh.session.info().model_digest
    assert len(found.outputs) == len(expected)
    for output, wanted in zip(found.outputs, expected, strict=True):
        assert output.dims == wanted.shape
        array = np.frombuffer(output.data, wanted.dtype).reshape(wanted.shape)
        if wanted.dtype == np.float32:
            np.testing.assert_allclose(array, wanted, rtol=TOLERANCE, atol=TOLERANCE)
        else:
            np.testing.assert_array_equal(array, wanted)


@pytest.fixture
def mnist(fresh: Client) -> Iterator[Client]:
    fresh.load((MODELS / "mnist_mlp_int8.tflite").read_bytes())
    yield fresh


def refused(client: Client, sealed: Sealed) -> str:
    with pytest.raises((TaError, InputRefused)) as caught:
        ask(client, sealed)
    assert isinstance(caught.value, TaError | InputRefused)
    return caught.value.status


def test_tensors_of_other_sizes(mnist: Client) -> None:
    for size in (1, 783, 785, 1 << 20):
        sealed = mnist.seal_tensors(bytes(size))
        assert refused(mnist, sealed) == "TENSORS_SIZE"
    run(mnist, bytes(784))


def test_headers_of_tensors(mnist: Client) -> None:
    identity = sealed_file.key_id(mnist.data_key)

    def sealed(kind: Kind, threshold: int, key: bytes = mnist.data_key) -> Sealed:
        number = next(mnist.sequence)
        header = Header(kind, identity, number, 784, mnist.model_digest, threshold)
        return Sealed(header, sealed_file.seal_stream(key, header.pack(), bytes(784)))

    assert refused(mnist, sealed(Kind.TENSORS, 500)) == "HEADER_MALFORMED"
    assert refused(mnist, sealed(Kind.MODEL, 0)) == "HEADER_MALFORMED"
    # The same bytes as a photo: this model is no detector.
    assert refused(mnist, sealed(Kind.PHOTO, 500)) == "MODEL_NOT_DETECTOR"
    assert refused(mnist, sealed(Kind.TENSORS, 0, bytes(32))) == "STREAM_CONTEXT"
    run(mnist, bytes(784))


def test_a_result_is_for_its_request(mnist: Client) -> None:
    one = mnist.seal_tensors(bytes(784))
    two = mnist.seal_tensors(bytes(784))
    answer = ask(mnist, one)
    open_tensor_result(mnist.data_key, one, answer, mnist.signer)
    for request, key in ((two, mnist.data_key), (one, keys.new_key())):
        with pytest.raises(ResultError, match="does not open"):
            open_tensor_result(key, request, answer, mnist.signer)


def test_a_detector_takes_tensors_and_photos(client: Client) -> None:
    inputs, expected = reference(MODELS / "ssdlite_mobilenet_v2_coco80_204_int8.tflite", None)
    found = run(client, inputs[0].tobytes())
    assert [output.data for output in found.outputs] == [value.tobytes() for value in expected]
    client.assert_works()


# As a user calls it --------------------------------------------------------------------------


def test_one_array_in_one_out(tmp_path: Path) -> None:
    model = MODELS / "mnist_cnn_int8.tflite"
    (value,), (expected,) = reference(model, None)
    np.save(tmp_path / "x.npy", value[0])
    ran = run_sandbox(
        "run", model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--json"
    )
    assert ran.status == 0, ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    assert ran.json["timings_ms"]["network"] >= 0
    assert ran.json["outputs"][0]["shape"] == list(expected.shape)


def test_real_numbers(tmp_path: Path) -> None:
    """The sine that tflite-micro's example draws, and digits, as probabilities."""
    xs = np.array([[1.5]], np.float32)
    np.save(tmp_path / "x.npy", xs)
    ran = run_sandbox("run", MODELS / "sine_f32.tflite", "--input", tmp_path / "x.npy")
    assert ran.status == 0, ran.stderr
    assert f"{reference(MODELS / 'sine_f32.tflite', [xs])[1][0].item():.3f}"[:4] in ran.stdout

    held_out = np.load(MODELS / "mnist_held_out.npz")
    image = next(array for array in held_out.values() if array.ndim >= 2)[0]
    model = MODELS / "mnist_mlp_int8.tflite"
    interpreter = Interpreter(model_path=str(model))
    (detail,) = interpreter.get_input_details()
    scale, zero = detail["quantization"]
    real = (image.reshape(detail["shape"]).astype(np.float64) - zero) * scale
    np.save(tmp_path / "digit.npy", real)
    asked: list[str | Path] = ["--input", tmp_path / "digit.npy", "--output", tmp_path / "y.npz"]
    ran = run_sandbox("run", model, *asked, "--dequantize")
    assert ran.status == 0, ran.stderr
    (probabilities,) = np.load(tmp_path / "y.npz").values()
    assert probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1, abs=0.05)


def test_what_run_refuses(tmp_path: Path) -> None:
    model = MODELS / "mnist_cnn_int8.tflite"
    np.save(tmp_path / "float.npy", np.zeros((28, 28, 1), np.float32))
    np.save(tmp_path / "small.npy", np.zeros((27, 28, 1), np.int8))
    np.savez(tmp_path / "named.npz", other=np.zeros((28, 28, 1), np.int8))
    (tmp_path / "text.npy").write_text("no array")
    for file, said in (
        ("float.npy", "--dequantize"),
        ("small.npy", "has the shape"),
        ("named.npz", "the model takes"),
        ("text.npy", "no NumPy file"),
        ("none.npy", "cannot read"),
    ):
        ran = run_sandbox("run", model, "--input", tmp_path / file)
        assert ran.status == 2, (file, ran)
        assert said in ran.stderr, (file, ran.stderr)
    ran = run_sandbox("run", tmp_path / "text.npy", "--input", tmp_path / "float.npy")
    assert ran.status == 2 and "MODEL_MALFORMED" in ran.stderr
    asked: list[str | Path] = ["--input", tmp_path / "float.npy", "--output", tmp_path / "y.txt"]
    assert run_sandbox("run", model, *asked).status == 2
