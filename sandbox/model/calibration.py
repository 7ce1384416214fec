# SPDX-License-Identifier: Apache-2.0
"""What a model is shown while it is quantised: photos as the TA would make them, or arrays.

Imported where NumPy is at hand: it comes with TensorFlow (the extra `import`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sandbox.errors import UserError

Array = NDArray[Any]

_PHOTOS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_ARRAYS = {".npy", ".npz"}
# Rank, channels of a picture (n, h, w, c)
_PICTURE_RANK, _PICTURE_CHANNELS = 4, (1, 3)


class CalibrationError(UserError):
    """A calibration folder, or a file in it, does not go with the model."""


@dataclass(frozen=True)
class Input:
    """Of a model, with a batch of 1."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_picture(self) -> bool:
        return len(self.shape) == _PICTURE_RANK and self.shape[3] in _PICTURE_CHANNELS


def files(folder: Path) -> list[Path]:
    """In the order of their names."""
    if not folder.is_dir():
        raise CalibrationError(f"no folder {folder}")
    found = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in _PHOTOS | _ARRAYS]
    if not found:
        raise CalibrationError(
            f"{folder} has nothing to calibrate with",
            f"Put photos ({' '.join(sorted(_PHOTOS))}) or arrays ({' '.join(sorted(_ARRAYS))}) of"
            " the kind that the model will see into it: a hundred is plenty.",
        )
    return found


def samples(
    paths: Sequence[Path], inputs: Sequence[Input], low: float, high: float
) -> Iterator[list[Array]]:
    """float32, one array for each input; pixels 0 to 255 become `low` to `high`."""
    for path in paths:
        if path.suffix.lower() in _PHOTOS:
            yield [_photo(path, _only(path, inputs), low, high)]
        else:
            yield from _arrays(path, inputs)


def _only(path: Path, inputs: Sequence[Input]) -> Input:
    if len(inputs) != 1 or not inputs[0].is_picture:
        shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)
        raise CalibrationError(
            f"{path.name} is a photo, and the model's inputs are not one picture: {shapes}",
            "Calibrate with .npy files of the input's shape, or .npz files with an array for each"
            " input, by its name.",
        )
    return inputs[0]


def _photo(path: Path, to: Input, low: float, high: float) -> Array:
    _, height, width, channels = to.shape
    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
            pixels = np.asarray(turned, np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CalibrationError(f"{path.name} is no photo that can be read: {error}") from error
    pixels = resized(pixels.reshape(*pixels.shape[:2], channels), height, width)
    return (pixels.astype(np.float32) * ((high - low) / 255) + low).astype(np.float32)[None]


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """As ta/core/resize.c: (h, w, c) stretched, bilinear without anti-aliasing, floored."""
    y0, y1, y_weight = _taps(pixels.shape[0], height)
    x0, x1, x_weight = _taps(pixels.shape[1], width)
    across = x_weight[None, :, None]

    def row(of: NDArray[np.int64]) -> NDArray[np.int64]:
        taken = pixels[of].astype(np.int64)
        mixed: NDArray[np.int64] = taken[:, x0] * (width - across) + taken[:, x1] * across
        return mixed

    down = y_weight[:, None, None]
    value = row(y0) * (height - down) + row(y1) * down
    return (value // (width * height)).astype(np.uint8)


def _taps(source: int, size: int) -> tuple[NDArray[np.int64], ...]:
    """For each output index, the two inputs it lies between, and the second one's weight."""
    at = np.arange(size, dtype=np.int64) * source
    return at // size, np.minimum(at // size + 1, source - 1), at % size


def _arrays(path: Path, inputs: Sequence[Input]) -> Iterator[list[Array]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        named = dict(loaded.items()) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except (OSError, ValueError, EOFError) as error:
        raise CalibrationError(f"{path.name} is no array that can be read: {error}") from error
    if not isinstance(named, Mapping):
        if len(inputs) != 1:
            raise CalibrationError(
                f"{path.name} is one array, and the model has {len(inputs)} inputs",
                f"Make .npz files, with arrays named {', '.join(one.name for one in inputs)}.",
            )
        named = {inputs[0].name: named}
    batches = [_batch(path, one, named) for one in inputs]
    counts = {len(batch) for batch in batches}
    if len(counts) != 1:
        raise CalibrationError(f"{path.name} has not the same number of samples for each input")
    for i in range(counts.pop()):
        yield [batch[i][None] for batch in batches]


def _batch(path: Path, to: Input, named: Mapping[str, Array]) -> Array:
    """(samples, ...): a file may hold one sample, with or without its batch of 1, or many."""
    if to.name not in named:
        raise CalibrationError(
            f"{path.name} has no array {to.name!r}", f"It has {', '.join(named) or 'none'}."
        )
    array = named[to.name]
    sample = to.shape[1:]
    if array.shape == sample:
        array = array[None]
    if array.shape[1:] != sample or array.ndim != len(to.shape):
        raise CalibrationError(
            f"{path.name}: {to.name} has the shape {list(array.shape)}, not {list(sample)}, alone"
            " or one after another"
        )
    if array.dtype.kind not in "fiub":
        raise CalibrationError(f"{path.name}: {to.name} does not hold numbers")
    return array.astype(np.float32)
