# SPDX-License-Identifier: Apache-2.0
"""Resize against NumPy's integers, for every orientation."""

import io

import numpy as np
import preprocess
import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from media_calls import network_input, resize, until_it_works
from numpy.typing import NDArray
from PIL import Image

from sandbox.tee_abi import Status

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def reference(pixels: NDArray[np.uint8], orientation: int, size: int) -> NDArray[np.int8]:
    image = Image.fromarray(pixels)
    if orientation in TRANSPOSE:
        image = image.transpose(TRANSPOSE[orientation])
    return (preprocess.resized(np.asarray(image), size).astype(np.int16) - 128).astype(np.int8)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    orientation=st.integers(1, 8),
    size=st.integers(1, 230),
    seed=st.integers(0, 999),
)
def test_made_pictures(
    native: Driver, width: int, height: int, orientation: int, size: int, seed: int
) -> None:
    pixels = noise(width, height, seed)
    np.testing.assert_array_equal(
        resize(native, pixels, orientation, size), reference(pixels, orientation, size)
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    size=st.integers(1, 150),
    piece=st.integers(1, 5000),
    options=st.fixed_dictionaries(
        {
            "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
            "progressive": st.booleans(),
            "restart_marker_blocks": st.integers(0, 3),
        }
    ),
    grey=st.booleans(),
)
def test_decoding_the_rows_that_are_wanted(
    native: Driver,
    width: int,
    height: int,
    size: int,
    piece: int,
    options: dict[str, object],
    grey: bool,
) -> None:
    out = io.BytesIO()
    image = Image.fromarray(noise(width, height))
    (image.convert("L") if grey else image).save(out, "JPEG", **options)
    with Image.open(out) as decoded:
        pixels = np.asarray(decoded.convert("RGB"), np.uint8)
    np.testing.assert_array_equal(
        network_input(native, out.getvalue(), size=size, piece=piece), reference(pixels, 1, size)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("width", "height"), [(204, 204), (1, 1), (16384, 1), (1, 16384), (203, 408), (3, 700)]
)
def test_sizes(native: Driver, width: int, height: int, orientation: int) -> None:
    pixels = noise(width, height)
    np.testing.assert_array_equal(
        resize(native, pixels, orientation, 204), reference(pixels, orientation, 204)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_on_arm64(arm64: Driver, orientation: int) -> None:
    pixels = noise(301, 150)
    np.testing.assert_array_equal(
        resize(arm64, pixels, orientation, 204), reference(pixels, orientation, 204)
    )


@pytest.mark.parametrize("size", [1, 1023, 1024])
def test_extremes_do_not_overflow(native: Driver, size: int) -> None:
    white = np.full((7, 5, 3), 255, np.uint8)
    np.testing.assert_array_equal(resize(native, white, 1, size), np.full((size, size, 3), 127))
    assert (resize(native, white * 0, 1, size) == np.full((size, size, 3), -128)).all()


@pytest.mark.parametrize(("orientation", "size"), [(0, 204), (9, 204), (1, 0), (1, 1025)])
def test_refuses(native: Driver, orientation: int, size: int) -> None:
    assert resize(native, noise(4, 4), orientation, size) == Status.INTERNAL


def test_every_failing_allocation(native: Driver) -> None:
    for index in until_it_works(10):
        result = resize(native, noise(9, 9), 1, 16, fail_allocation=index)
        if not isinstance(result, Status):
            assert index == 5
            break
        assert result == Status.NO_MEMORY
