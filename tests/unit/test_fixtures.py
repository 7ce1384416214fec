# SPDX-License-Identifier: Apache-2.0
"""fixtures/ is what its manifests say; its references agree with other ways to say the same."""

import json
import warnings
from fractions import Fraction
from pathlib import Path

import big_photo
import goldens
import manifest
import numpy as np
import postprocess
import preprocess
import pytest
from ai_edge_litert import schema_py_generated as schema
from manifest import FIXTURES
from numpy.typing import NDArray
from PIL import Image

FOLDERS = ("models", "photos", "golden", "digits")
# What a clone has to carry.
MAX_BYTES = 12_000_000


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_in_the_manifest_and_unchanged(folder: str) -> None:
    known = manifest.entries(folder)
    here = {path.name for path in (FIXTURES / folder).iterdir()} - {manifest.MANIFEST}
    assert here == {name for name, entry in known.items() if "fetched_from" not in entry}
    for name, entry in known.items():
        assert entry["licence"] and entry["origin"]
        if "script" in entry:
            assert (FIXTURES / entry["script"]).is_file()
        if name in here:
            assert manifest.sha256(FIXTURES / folder / name) == entry["sha256"], name


def test_fixtures_are_small() -> None:
    files = (path for folder in FOLDERS for path in (FIXTURES / folder).iterdir())
    assert sum(path.stat().st_size for path in files) < MAX_BYTES


def test_bad_photos_are_named_for_what_is_bad() -> None:
    photos = manifest.photos()
    assert any(photo.bad for photo in photos) and not all(photo.bad for photo in photos)
    for photo in photos:
        assert (f".bad-{photo.bad}.jpg" in photo.name) == (photo.bad is not None)
        assert photo.golden.is_file() == (photo.bad is None), photo.name


def committed_good_photos() -> list[manifest.Photo]:
    return [p for p in manifest.photos() if p.bad is None and p.fetched_from is None]


@pytest.mark.parametrize("photo", committed_good_photos(), ids=lambda photo: photo.name)
def test_golden_is_reproduced(photo: manifest.Photo) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # chelsea-exif-lost.jpg
        assert goldens.result(photo.path()) == json.loads(photo.golden.read_text())


def test_every_exif_orientation_shows_the_same_cat() -> None:
    def box(orientation: int) -> tuple[str, NDArray[np.float64]]:
        golden = manifest.photo(f"chelsea-exif{orientation}.jpg").golden
        (found,) = json.loads(golden.read_text())["detections"]
        return found["label"], np.array(found["box"])

    label, upright = box(1)
    for orientation in range(2, 9):
        other_label, other = box(orientation)
        assert (other_label, np.abs(other - upright).max() < 12) == (label, True), orientation


def test_model_is_what_postprocess_expects() -> None:
    content = manifest.MODEL.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (graph,) = model.subgraphs
    (image,) = (graph.tensors[i] for i in graph.inputs)
    assert image.name == b"image"
    assert list(image.shape) == [1, postprocess.SIZE, postprocess.SIZE, 3]
    assert (image.quantization.scale[0], image.quantization.zeroPoint[0]) == (
        np.float32(1 / 127.5),
        -1,
    )
    outputs = [graph.tensors[i] for i in graph.outputs]
    assert [tensor.name.decode() for tensor in outputs] == [
        f"{kind}_{level}" for kind in ("box", "class") for level in range(6)
    ]
    assert [tuple(tensor.shape) for tensor in outputs] == postprocess.output_shapes()
    for tensor, expected in zip(outputs, postprocess.OUTPUT_QUANTIZATION, strict=True):
        assert tensor.quantization.scale[0] == np.float32(expected.scale)
        assert tensor.quantization.zeroPoint[0] == expected.zero_point
    assert {code.builtinCode for code in model.operatorCodes} == {
        schema.BuiltinOperator.ADD,
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    }


def test_constants_are_aligned_in_the_file() -> None:
    content = manifest.MODEL.read_bytes()
    found = 0
    for buffer in schema.ModelT.InitFromPackedBuf(content, 0).buffers:
        if buffer.data is not None and len(buffer.data) >= 4096:
            position = content.index(bytes(buffer.data))
            assert position % 16 == 0
            found += 1
    assert found > 50


def test_labels_are_cocos() -> None:
    names = manifest.labels()
    assert len(names) == len(set(names)) == postprocess.CLASSES
    assert [names[i] for i in (0, 1, 2, 16, 41, 79)] == [
        "person", "bicycle", "car", "dog", "cup", "toothbrush",
    ]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 3), (5, 5), (12, 11)])
def test_resize_equals_the_formula_in_fractions(height: int, width: int) -> None:
    """TensorFlow's legacy bilinear, one pixel at a time, as real interpolation and then floor."""
    size = 5
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    resized = preprocess.resized(pixels, size)
    for y in range(size):
        for x in range(size):
            at_y, at_x = Fraction(y * height, size), Fraction(x * width, size)
            for channel in range(3):
                plane = pixels[..., channel].tolist()
                assert resized[y, x, channel] == _bilinear(plane, at_y, at_x)


def _bilinear(plane: list[list[int]], y: Fraction, x: Fraction) -> int:
    top, left = int(y), int(x)
    below, right = min(top + 1, len(plane) - 1), min(left + 1, len(plane[0]) - 1)
    upper = plane[top][left] + (plane[top][right] - plane[top][left]) * (x - left)
    lower = plane[below][left] + (plane[below][right] - plane[below][left]) * (x - left)
    return int(upper + (lower - upper) * (y - top))


def test_resize_to_its_own_size_changes_nothing() -> None:
    path = manifest.photo("astronaut-204x204.jpg").path()
    displayed = preprocess.displayed(path)
    assert np.array_equal(preprocess.resized(displayed, 204), displayed)
    expected = displayed.astype(np.int16) - 128
    assert np.array_equal(preprocess.input_tensor(path, 204)[0], expected)


def test_anchor_sizes_are_those_of_the_original_model() -> None:
    """Rows of `Postprocessor/ExpandDims` in the package's weights: y1, x1, y2, x2 at 300x300."""
    first_cell = [
        (-0.02368421, -0.02368421, 0.07631579, 0.07631579),
        (-0.04439489, -0.11510557, 0.09702647, 0.16773716),
        (-0.11510557, -0.04439489, 0.16773716, 0.09702647),
    ]
    last_cell = [
        (0.02500001, 0.02500001, 0.97500002, 0.97500002),
        (0.16412428, -0.17175144, 0.83587575, 1.1717515),
        (-0.17175144, 0.16412428, 1.1717515, 0.83587575),
        (0.22575861, -0.3227241, 0.77424139, 1.3227241),
        (-0.32276523, 0.22577232, 1.32276523, 0.77422768),
        (0.01266029, 0.01266029, 0.98733974, 0.98733974),
    ]
    anchors = postprocess.anchors()
    assert anchors.shape == (933, 4)
    for ours, theirs in ((anchors[:3], first_cell), (anchors[-6:], last_cell)):
        y1, x1, y2, x2 = np.array(theirs).T
        sizes = np.stack([y2 - y1, x2 - x1], axis=1) * 300 / 204
        assert np.abs(ours[:, 2:] - sizes).max() < 1e-6
    assert np.allclose(anchors[-6:, :2], 0.5)


def random_outputs(seed: int, shift: int) -> list[NDArray[np.int8]]:
    """Any boxes; class logits lowered by `shift`, so that fewer are candidates."""
    random = np.random.default_rng(seed)
    boxes = [random.integers(-60, 60, shape) for shape in postprocess.output_shapes()[:6]]
    classes = [
        random.integers(-128, 128, shape) - shift for shape in postprocess.output_shapes()[6:]
    ]
    return [np.clip(tensor, -128, 127).astype(np.int8) for tensor in boxes + classes]


@pytest.mark.parametrize(("seed", "shift"), [(0, 0), (1, 60), (2, 84), (3, 85)])
def test_detect_equals_suppression_class_by_class(seed: int, shift: int) -> None:
    """The other way to say it: suppress within each class to the end, then take the best 100."""
    outputs = random_outputs(seed, shift)
    raw = np.concatenate([tensor.reshape(-1, 4) for tensor in outputs[:6]])
    boxes = postprocess.corners(postprocess.BOX.real(raw), postprocess.anchors())
    logits = np.concatenate([tensor.reshape(-1, 80) for tensor in outputs[6:]]).astype(int)
    clipped = np.clip(boxes, 0, 1)
    inside = np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    survivors = []
    for class_id in range(80):
        left = [a for a in range(933) if logits[a, class_id] >= 42 and inside[a]]
        left.sort(key=lambda a: (-logits[a, class_id], a))
        while left:
            best = left.pop(0)
            survivors.append((-logits[best, class_id], best, class_id))
            sides = np.minimum(boxes[best, 2:], boxes[left, 2:])
            sides = np.maximum(sides - np.maximum(boxes[best, :2], boxes[left, :2]), 0)
            shared = sides[:, 0] * sides[:, 1]
            iou = shared / (areas[best] + areas[left] - shared)
            left = [a for a, share in zip(left, iou, strict=True) if share <= 0.5]
    expected = [(class_id, anchor) for _, anchor, class_id in sorted(survivors)[:100]]
    found = postprocess.detect(outputs, 640, 480)
    assert [(one.class_id, one.anchor) for one in found] == expected
    assert len(found) == (100 if shift < 85 else len(expected))
    for one in found:
        x1, y1, x2, y2 = one.box
        assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480
        assert one.score >= 0.5


def test_threshold_is_inclusive_and_scores_may_be_equal() -> None:
    outputs = [np.full(shape, -128, np.int8) for shape in postprocess.output_shapes()]
    for box in outputs[:6]:
        box[:] = 0
    outputs[6][0, 5, 5, 80 + 7] = 42  # level 0, row 5, column 5, a = 1, class 7: exactly 0.5
    outputs[6][0, 2, 2, 3] = 41
    (found,) = postprocess.detect(outputs, 204, 204)
    assert (found.class_id, found.anchor, found.score) == (7, (5 * 13 + 5) * 3 + 1, 0.5)
    height, width = 60 / 2**0.5, 60 * 2**0.5
    assert found.box == pytest.approx(
        (102 - 16 - width / 2, 102 - 16 - height / 2, 102 - 16 + width / 2, 102 - 16 + height / 2)
    )
    outputs[6][0, 11, 11, 79] = outputs[6][0, 2, 2, 3] = 42
    assert [one.class_id for one in postprocess.detect(outputs, 204, 204)] == [3, 7, 79]


def test_boxes_that_are_nowhere_are_dropped() -> None:
    outputs = [np.full(shape, -128, np.int8) for shape in postprocess.output_shapes()]
    outputs[6][0, 0, 0, 0] = 127
    outputs[0][0, 0, 0, :4] = (-128, -128, 0, 0)  # a small box, far up and left of its anchor
    assert postprocess.detect(outputs, 10, 10) == []
    huge = (postprocess.Quantization(1e30, 0),) * 6 + (postprocess.CLASS,) * 6
    outputs[0][0, 0, 0, :4] = (0, 0, 127, 127)
    assert postprocess.detect(outputs, 10, 10, huge) == []


def test_big_photo_is_deterministic(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        big_photo.write(tmp_path / name, width=600, height=400)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    found = goldens.result(tmp_path / "a.jpg")
    assert [one["label"] for one in found["detections"]] == ["cup"]


def test_digits_are_those_held_out() -> None:
    """They are numbers that `sandbox run` takes, and no network was trained on them."""
    held_out = np.load(FIXTURES / "models" / "mnist_held_out.npz")
    for digit in range(10):
        with Image.open(FIXTURES / "digits" / f"{digit}.png") as opened:
            assert opened.mode == "L"
            pixels = np.asarray(opened)
        first = held_out["pixels"][held_out["labels"] == digit][0]
        np.testing.assert_array_equal(pixels, first)
