# SPDX-License-Identifier: Apache-2.0
"""A photo's whole way: JPEG in, boxes out, against the golden results."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import big_photo
import cbor2
import goldens
import numpy as np
import pytest
from driver import Driver
from media_calls import FIXTURES, PHOTOS, infer, network_input, until_it_works
from PIL import Image

from sandbox.tee_abi import Status

MODEL = (FIXTURES / "models" / "ssdlite_mobilenet_v2_coco80_204_int8.tflite").read_bytes()
GOLDEN = {
    path.stem: json.loads(path.read_text()) for path in sorted((FIXTURES / "golden").glob("*.json"))
}
HERE = [name for name in GOLDEN if (PHOTOS / f"{name}.jpg").exists()]
# One of each kind; the others differ in their input only, which test_inputs has.
WHOLE_WAY = [
    "astronaut",
    "camera",
    "chelsea-exif6",
    "chelsea-exif5",
    "coffee-1x4000",
    "coffee-progressive",
    "china",
]


def photo(name: str) -> bytes:
    return (PHOTOS / f"{name}.jpg").read_bytes()


def assert_golden(encoded: bytes, golden: dict[str, Any]) -> None:
    result = cbor2.loads(encoded)
    assert result["output"].hex() == golden["outputs_sha256"]
    assert (result["width"], result["height"]) == (golden["width"], golden["height"])
    found, expected = result["detections"], golden["detections"]
    assert [d[0] for d in found] == [d["label"] for d in expected]
    for (_, class_id, score, box), wanted in zip(found, expected, strict=True):
        assert class_id == wanted["class_id"]
        assert score == pytest.approx(wanted["score"], abs=1e-4)
        assert box == pytest.approx(wanted["box"], abs=0.01)


def assert_golden_input(driver: Driver, name: str) -> None:
    tensor = network_input(driver, photo(name))
    assert isinstance(tensor, np.ndarray), tensor
    assert hashlib.sha256(tensor.tobytes()).hexdigest() == GOLDEN[name]["input_sha256"]


@pytest.mark.parametrize("name", HERE)
def test_inputs(native: Driver, name: str) -> None:
    assert_golden_input(native, name)


@pytest.mark.parametrize("name", HERE)
def test_inputs_on_arm64(arm64: Driver, name: str) -> None:
    assert_golden_input(arm64, name)


@pytest.mark.parametrize("name", WHOLE_WAY)
def test_golden(native: Driver, name: str) -> None:
    encoded = infer(native, MODEL, photo(name), piece=4099)
    assert isinstance(encoded, bytes), encoded
    assert_golden(encoded, GOLDEN[name])


def test_timings_and_identity(native: Driver) -> None:
    file = photo("chelsea-exif6")
    encoded = infer(native, MODEL, file, piece=1000)
    assert isinstance(encoded, bytes)
    result = cbor2.loads(encoded)
    # The test's clock moves a millisecond each time it is asked
    pushes = -(-len(file) // 1000)
    assert result["timings"] == {"jpeg_us": 1000 * pushes, "network_us": 1000, "boxes_us": 1000}
    assert result["request"] == bytes(32)
    assert result["model"] == {"name": "", "version": 0, "digest": bytes(32)}


def test_threshold(native: Driver) -> None:
    counts = []
    for permille in (50, 500, 990):
        encoded = infer(native, MODEL, photo("astronaut"), threshold_permille=permille)
        assert isinstance(encoded, bytes)
        scores = [score for _, _, score, _ in cbor2.loads(encoded)["detections"]]
        assert all(score >= permille / 1000 - 1e-6 for score in scores)
        assert scores == sorted(scores, reverse=True)
        counts.append(len(scores))
    assert counts[0] > counts[1] == 1 > counts[2] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chelsea.bad-truncated", Status.JPEG_TRUNCATED),
        ("chelsea.bad-empty", Status.JPEG_TRUNCATED),
        ("chelsea.bad-entropy", Status.JPEG_CORRUPT),
        ("chelsea.bad-cmyk", Status.JPEG_COLORSPACE),
    ],
)
def test_bad_photos(native: Driver, name: str, expected: Status) -> None:
    assert infer(native, MODEL, photo(name)) == expected


def test_large_progressive_photo(native: Driver, tmp_path: Path) -> None:
    """Its coefficients do not fit into the arena: the allocator has the room."""
    path = tmp_path / "progressive.jpg"
    big_photo.write(path, width=1500, height=1000, progressive=True)
    encoded = infer(native, MODEL, path.read_bytes(), piece=65496)
    assert isinstance(encoded, bytes), encoded
    assert_golden(encoded, goldens.result(path))


def test_progressive_photo_that_does_not_fit(native: Driver) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((2000, 3000, 3), np.uint8)).save(out, "JPEG", progressive=True)
    assert infer(native, MODEL, out.getvalue()) == Status.JPEG_PROGRESSIVE_TOO_LARGE


@pytest.mark.slow
def test_24_megapixels(native: Driver, tmp_path: Path) -> None:
    big_photo.write(tmp_path / "big.jpg")
    encoded = infer(native, MODEL, (tmp_path / "big.jpg").read_bytes(), piece=65496)
    assert isinstance(encoded, bytes), encoded
    result = cbor2.loads(encoded)
    assert (result["width"], result["height"]) == (6000, 4000)
    # It is coffee.jpg, ten times as large and noisy; test_media_jpeg.py compares every pixel
    (cup,) = result["detections"]
    (wanted,) = GOLDEN["coffee"]["detections"]
    assert cup[0] == wanted["label"]
    assert np.array(cup[3]) / 10 == pytest.approx(wanted["box"], abs=20)


def test_not_a_model(native: Driver) -> None:
    assert infer(native, b"nothing", photo("chelsea")) == Status.MODEL_MALFORMED


def test_every_failing_allocation(native: Driver) -> None:
    file = photo("coffee-1x1")
    for index in until_it_works(400):
        result = infer(native, MODEL, file, fail_allocation=index)
        if isinstance(result, bytes):
            assert index > 5
            assert_golden(result, GOLDEN["coffee-1x1"])
            break
        assert result == Status.NO_MEMORY
