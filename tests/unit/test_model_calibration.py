# SPDX-License-Identifier: Apache-2.0
"""What a model is calibrated with, and what is said about the result; no TensorFlow here."""

import importlib.util
from pathlib import Path

import numpy as np
import preprocess
import pytest
from PIL import Image

from sandbox.commands import model_import
from sandbox.log import Running
from sandbox.model import calibration, keras_import, keras_worker
from sandbox.model.calibration import CalibrationError, Input
from sandbox.model.keras_import import Imported, Order, TensorflowMissing

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "fixtures/photos"
PICTURE = Input("image", (1, 20, 20, 3))


def all_samples(folder: Path, *inputs: Input) -> list[list[calibration.Array]]:
    return list(calibration.samples(calibration.files(folder), inputs, -1.0, 1.0))


@pytest.mark.parametrize("name", ["chelsea.jpg", "chelsea-exif6.jpg", "coffee-17x31.jpg"])
@pytest.mark.parametrize("size", [1, 13, 204, 300])
def test_photos_are_resized_as_the_ta_does(name: str, size: int) -> None:
    """The fixtures' script is what ta/core/resize.c is tested with."""
    pixels = preprocess.displayed(PHOTOS / name)
    wanted = preprocess.resized(pixels, size)
    assert np.array_equal(calibration.resized(pixels, size, size), wanted)


def test_a_resize_to_a_rectangle_keeps_what_is_where() -> None:
    pixels = np.zeros((40, 60, 1), np.uint8)
    pixels[:20, :30] = 200
    made = calibration.resized(pixels, 10, 20)
    assert made.shape == (10, 20, 1)
    assert made[0, 0, 0] == 200 and made[9, 0, 0] == made[0, 19, 0] == 0


def test_pixels_span_the_range(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ((sample,),) = all_samples(tmp_path, Input("x", (1, 8, 8, 3)))
    assert sample.dtype == np.float32 and sample.shape == (1, 8, 8, 3)
    assert sample[0, 0, 0, 0] == -1 and sample[0, 0, 7, 0] == 1


def test_a_grey_input_gets_grey_photos(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "red.png")
    ((sample,),) = all_samples(tmp_path, Input("x", (1, 4, 4, 1)))
    assert sample.shape == (1, 4, 4, 1)
    assert np.allclose(sample, 76 / 127.5 - 1)


def test_arrays_come_alone_or_many(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    np.save(tmp_path / "b.npy", np.full((4, 3, 2), 2, np.int16))
    found = all_samples(tmp_path, Input("x", (1, 3, 2)))
    assert [float(sample[0].mean()) for sample in found] == [1, 2, 2, 2, 2]
    assert all(sample[0].shape == (1, 3, 2) and sample[0].dtype == np.float32 for sample in found)


def test_several_inputs_come_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", b=np.zeros((2, 5)), a=np.ones((2, 3)))
    inputs = (Input("a", (1, 3)), Input("b", (1, 5)))
    found = all_samples(tmp_path, *inputs)
    assert [[array.shape for array in sample] for sample in found] == [[(1, 3), (1, 5)]] * 2


def bad_empty(folder: Path) -> str:
    (folder / "notes.txt").write_text("none")
    return "nothing to calibrate with"


def bad_photo(folder: Path) -> str:
    (folder / "a.jpg").write_bytes(b"\xff\xd8 not")
    return "a.jpg is no photo"


def bad_array(folder: Path) -> str:
    (folder / "a.npy").write_bytes(b"\x93NUMPY")
    return "a.npy is no array"


def bad_pickle(folder: Path) -> str:
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)
    return "a.npy is no array"


def bad_shape(folder: Path) -> str:
    np.save(folder / "a.npy", np.zeros((20, 20)))
    return r"a.npy: image has the shape \[20, 20\]"


def bad_type(folder: Path) -> str:
    np.save(folder / "a.npy", np.full((20, 20, 3), "x"))
    return "does not hold numbers"


def bad_name(folder: Path) -> str:
    np.savez(folder / "a.npz", picture=np.zeros((20, 20, 3)))
    return "a.npz has no array 'image'"


@pytest.mark.parametrize(
    "bend", [bad_empty, bad_photo, bad_array, bad_pickle, bad_shape, bad_type, bad_name]
)
def test_a_bad_folder_is_refused(bend, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    reason = bend(tmp_path)
    with pytest.raises(CalibrationError, match=reason):
        all_samples(tmp_path, PICTURE)


def test_photos_for_a_model_without_a_picture_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(CalibrationError, match=r"not one picture: x \[1, 640\]"):
        all_samples(tmp_path, Input("x", (1, 640)))


def test_inputs_take_the_size_that_is_asked_for() -> None:
    sizes = keras_worker._inputs([("x", (None, None, None, 3))], (96, 64))
    assert sizes == [Input("x", (1, 96, 64, 3))]
    assert keras_worker._inputs([("x", (None, 49, 10))], (40, 10))[0].shape == (1, 40, 10)
    assert keras_worker._inputs([("x", (8, 49, 10))], ())[0].shape == (1, 49, 10)
    with pytest.raises(keras_worker.UserError, match=r"\[\?, \?, 10\]: the TA needs every size"):
        keras_worker._inputs([("x", (None, None, 10))], ())
    with pytest.raises(keras_worker.UserError, match="--input-size has 3 numbers"):
        keras_worker._inputs([("x", (None, 10))], (1, 2, 3))


def test_agreement_counts() -> None:
    wanted = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    exact = keras_worker.agreement("y", wanted, wanted)
    assert (exact.snr_db, exact.same_best, exact.largest_error) == (None, 1.0, 0.0)
    other = keras_worker.agreement("y", wanted, wanted[::-1])
    assert (other.same_best, other.largest_error, other.span) == (0.0, 1.0, 1.0)
    assert other.snr_db == pytest.approx(10 * np.log10(0.5))
    imported = Imported((("x", (1, 2)),), 2, (exact, other))
    assert len(model_import.warnings(imported)) == 1
    assert len(keras_import.table(imported)) == 3


def test_without_tensorflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    order = Order("m.keras", "m.tflite", "photos", (), -1.0, 1.0, 10)
    with pytest.raises(TensorflowMissing) as caught:
        keras_import.run(order, Running("convert", 0))
    assert ".[import]" in (caught.value.hint or "") and caught.value.exit_code == 3


@pytest.mark.parametrize("word", ["", "0x3", "3x", "axb", "-3"])
def test_odd_sizes_are_refused(word: str) -> None:
    with pytest.raises(model_import.argparse.ArgumentTypeError):
        model_import.size(word)


@pytest.mark.parametrize("word", ["", "1", "1,0", "nan,nan", "0,1,2"])
def test_odd_ranges_are_refused(word: str) -> None:
    with pytest.raises(model_import.argparse.ArgumentTypeError):
        model_import.pixels(word)
