# SPDX-License-Identifier: Apache-2.0
"""Pictures as a model takes them: 8-bit pixels of one size, grey or in colour."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from sandbox.errors import UserError

Pixels = npt.NDArray[np.uint8]
RAW = ".bin"
ARRAY = ".npy"
_MODES = {1: "L", 3: "RGB"}


class PictureError(UserError):
    """A file is no picture, or not one of the size that the model takes."""


@dataclass(frozen=True)
class Frame:
    """The size of a model's input."""

    height: int
    width: int
    channels: int

    @classmethod
    def of(cls, dims: tuple[int, ...]) -> "Frame | None":
        """1 x H x W, or 1 x H x W x C with C of 1 or 3; None: it takes no picture."""
        if len(dims) not in (3, 4) or dims[0] != 1:
            return None
        channels = dims[3] if len(dims) == 4 else 1
        return cls(dims[1], dims[2], channels) if channels in _MODES else None

    @property
    def described(self) -> str:
        colour = "grey" if self.channels == 1 else "RGB"
        return f"{self.width} x {self.height} {colour}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Picture:
    pixels: Pixels  # (h, w, c)
    resized_from: tuple[int, int] | None = None  # width and height


def load(path: Path, frame: Frame) -> Picture:
    """A picture that Pillow reads, upright; `.bin`, its pixels; `.npy`, an array of them."""
    if path.suffix == RAW:
        return _raw(path, frame)
    if path.suffix == ARRAY:
        return _array(path, frame)
    try:
        with warnings.catch_warnings():
            # A picture of too many pixels is an error, below; of bad EXIF data, none.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert(_MODES[frame.channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        raise PictureError(f"{path} is no picture: {error}", "PNG and JPEG are.") from error
    wanted = (frame.width, frame.height)
    was = None if image.size == wanted else image.size
    if was is not None:
        image = image.resize(wanted, Image.Resampling.BILINEAR)
    return Picture(np.asarray(image, np.uint8).reshape(frame.shape), was)


def _raw(path: Path, frame: Frame) -> Picture:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(data) != frame.height * frame.width * frame.channels:
        raise PictureError(
            f"{path} has {len(data)} bytes; the model takes {frame.described},"
            f" {frame.height * frame.width * frame.channels} bytes"
        )
    return Picture(np.frombuffer(data, np.uint8).reshape(frame.shape))


def _array(path: Path, frame: Frame) -> Picture:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise PictureError(f"{path} is no NumPy file", "numpy.save() writes .npy.") from error
    shapes = {frame.shape, (1, *frame.shape)}
    if frame.channels == 1:
        shapes |= {frame.shape[:2], (1, *frame.shape[:2])}
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape not in shapes:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several"
        raise PictureError(
            f"{path} is {found}, not uint8 {list(frame.shape)}",
            "`sandbox run` takes arrays of any type.",
        )
    return Picture(array.reshape(frame.shape))
