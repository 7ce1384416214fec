# SPDX-License-Identifier: Apache-2.0
"""JPEG decoding against Pillow, pushed in pieces; bad files by name; memory."""

import io
import random
import struct
import tomllib
from collections.abc import Sequence
from pathlib import Path

import big_photo
import numpy as np
import preprocess
import pytest
from bad_photos import BAD
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from media_calls import PHOTOS, Decoded, decode, network_input, until_it_works
from numpy.typing import NDArray
from PIL import Image, ImageFile

from sandbox.tee_abi import Status

# Pillow's guess of how large a file can get is too small for noise with restart markers.
ImageFile.MAXBLOCK = 1 << 22

MANIFEST = tomllib.loads((PHOTOS / "MANIFEST.toml").read_text())
# Some are fetched at set-up and lie elsewhere
GOOD = sorted(
    name for name, entry in MANIFEST.items() if "bad" not in entry and (PHOTOS / name).exists()
)

BAD_PHOTOS = sorted(name for name, entry in MANIFEST.items() if "bad" in entry)


def rgb(file: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def jpeg(pixels: NDArray[np.uint8], **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def photo(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Edges, smooth colour and noise."""
    source = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 3 + y, 255 - y * 2, (x ^ y) * 5], axis=2)
    noise = source.integers(-40, 41, (height, width, 3))
    return np.clip(smooth % 256 + noise, 0, 255).astype(np.uint8)


def assert_as_pillow(driver: Driver, file: bytes, pieces: Sequence[int] = ()) -> Decoded:
    decoded = decode(driver, file, pieces=pieces)
    assert isinstance(decoded, Decoded), decoded
    np.testing.assert_array_equal(decoded.pixels, rgb(file))
    return decoded


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def insert(file: bytes, extra: bytes) -> bytes:
    """Behind the SOI."""
    return file[:2] + extra + file[2:]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", GOOD)
def test_fixture_photos(native: Driver, name: str) -> None:
    source = random.Random(name)
    pieces = [source.choice([1, 2, 3, 17, 600, 5000, 65496]) for _ in range(60)]
    assert_as_pillow(native, (PHOTOS / name).read_bytes(), pieces)


@pytest.mark.parametrize("name", BAD_PHOTOS)
@pytest.mark.parametrize("piece", [1, 1000, 1 << 20])
def test_bad_photos_are_refused_by_name(native: Driver, name: str, piece: int) -> None:
    file = (PHOTOS / name).read_bytes()
    assert decode(native, file, pieces=[piece]) == BAD[MANIFEST[name]["bad"]]


FORMATS = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
        "restart_marker_blocks": st.integers(0, 9),
        "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        "keep_rgb": st.booleans(),
    }
)


def saved(width: int, height: int, seed: int, grey: bool, options: dict[str, object]) -> bytes:
    pixels = photo(width, height, seed)
    if options["keep_rgb"]:
        options = {**options, "subsampling": "4:4:4"}
    return jpeg(pixels[:, :, 0] if grey else pixels, **options)


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    seed=st.integers(0, 1000),
    grey=st.booleans(),
    options=FORMATS,
    pieces=st.lists(st.integers(1, 4000), max_size=40),
)
def test_made_photos(
    native: Driver,
    width: int,
    height: int,
    seed: int,
    grey: bool,
    options: dict[str, object],
    pieces: list[int],
) -> None:
    assert_as_pillow(native, saved(width, height, seed, grey, options), pieces)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (17, 200), (199, 31)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_made_photos_on_arm64(
    arm64: Driver, size: tuple[int, int], subsampling: str, progressive: bool
) -> None:
    file = jpeg(photo(*size), subsampling=subsampling, progressive=progressive)
    assert_as_pillow(arm64, file, [777])


def test_one_byte_at_a_time(native: Driver) -> None:
    for progressive in (False, True):
        file = jpeg(photo(40, 30), progressive=progressive, restart_marker_blocks=3)
        assert_as_pillow(native, file, [1])


@pytest.mark.parametrize("piece", [1, 777, 1 << 20])
def test_largest_segments(native: Driver, piece: int) -> None:
    plain = jpeg(photo(20, 20))
    app1 = segment(0xE1, b"Exif\0\0" + bytes(65533 - 6))
    comment = segment(0xFE, bytes(65533))
    tables = segment(0xDB, (b"\x03" + bytes(range(1, 65))) * 1008)
    # libjpeg reads a DQT again from its start each time bytes come
    extra = app1 + comment + (tables if piece > 1 else b"")
    assert_as_pillow(native, insert(plain, extra), [piece])


def test_many_segments_take_no_memory(native: Driver) -> None:
    """Extended XMP and ICC profiles: megabytes before the picture."""
    plain = jpeg(photo(20, 20))
    extra = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60000)) * 40
    extra += segment(0xE2, b"ICC_PROFILE\0" + bytes(60000)) * 40
    without = assert_as_pillow(native, plain)
    assert assert_as_pillow(native, insert(plain, extra), [65496]).peak_bytes == without.peak_bytes


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", None),
        (b"\xff\xd9", None),
        (b"\xff\xff\xff\xd9", None),
        (bytes(100) + b"\xff\xd9", None),  # some cameras pad
        (bytes(100), None),
        (b"\xff\xd9" + b"anything at all \xff\xd8\xff", None),
        (bytes(10) + b"scan data" + b"\xff\xd9", Status.JPEG_CORRUPT),
        (bytes(10) + b"\xff\x00" + b"\xff\xd9", Status.JPEG_CORRUPT),
    ],
)
def test_what_follows_the_last_row(native: Driver, tail: bytes, expected: Status | None) -> None:
    plain = jpeg(photo(40, 30))
    assert plain.endswith(b"\xff\xd9")
    # libjpeg reads some bytes ahead: without any marker they have to come from somewhere
    file = plain[:-2] + (tail if tail else b"\xff\xd9")
    for piece in (1, 9, 1 << 20):
        result = decode(native, file, pieces=[piece])
        if expected is None:
            assert isinstance(result, Decoded), (tail, piece, result)
            np.testing.assert_array_equal(result.pixels, rgb(plain))
        else:
            assert result == expected


@pytest.mark.parametrize("progressive", [False, True])
def test_every_truncation(native: Driver, progressive: bool) -> None:
    file = jpeg(photo(33, 18), progressive=progressive)
    whole = rgb(file)
    for length in range(len(file) - 2):
        result = decode(native, file[:length])
        # The last byte of entropy-coded data may be nothing but padding bits
        if isinstance(result, Decoded):
            assert not progressive and length >= len(file) - 4
            np.testing.assert_array_equal(result.pixels, whole)
        else:
            assert result == Status.JPEG_TRUNCATED, length


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_is_named_or_harmless(native: Driver, progressive: bool) -> None:
    file = jpeg(photo(33, 18), progressive=progressive, restart_marker_blocks=4)
    source = random.Random(progressive)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(file)
        for _ in range(source.choice([1, 1, 2, 8])):
            damaged[source.randrange(len(file))] = source.randrange(256)
        result = decode(native, bytes(damaged), pieces=[source.randrange(1, 900)])
        if isinstance(result, Status):
            assert result.name.startswith("JPEG_") or result == Status.NO_MEMORY, result
            refused += 1
    assert refused > 300


def test_fill_bytes_without_end(native: Driver) -> None:
    assert decode(native, b"\xff\xd8" + b"\xff" * (1 << 20)) == Status.JPEG_CORRUPT


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (16384, 1, None),
        (1, 16384, None),
        (16385, 1, Status.JPEG_TOO_LARGE),
        (1, 16385, Status.JPEG_TOO_LARGE),
        (65535, 1, Status.JPEG_TOO_LARGE),
        (8193, 8192, Status.JPEG_TOO_LARGE),
        (8192, 8192, Status.JPEG_TRUNCATED),
    ],
)
def test_size_limits(native: Driver, width: int, height: int, expected: Status | None) -> None:
    if expected is None:
        assert_as_pillow(native, jpeg(photo(width, height)))
        return
    file = jpeg(photo(8, 8))
    at = file.index(b"\xff\xc0") + 5
    file = file[:at] + struct.pack(">HH", height, width) + file[at + 4 : -2]
    assert decode(native, file) == expected


def scan(start: int, high: int, low: int) -> bytes:
    """One component, one block, one coefficient: 0 (an EOB code of one bit, then padding)."""
    parameters = bytes([1, 1, 0x00, start, start, high << 4 | low])
    return segment(0xDA, parameters) + b"\x7f"


def scans_without_end(count: int) -> bytes:
    """A valid progressive file of 8 by 8 grey pixels in `count` scans, at most 819."""
    one_code = bytes([1]) + bytes(15) + b"\0"
    scans = [scan(0, 0, 0)]
    for low in range(12, -1, -1):
        scans += [scan(k, 0 if low == 12 else low + 1, low) for k in range(1, 64)]
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + bytes([1] * 64))
        + segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + bytes([1, 0x11, 0]))
        + segment(0xC4, b"\x00" + one_code + b"\x10" + one_code)
        + b"".join(scans[:count])
        + b"\xff\xd9"
    )


def test_scans_are_limited(native: Driver) -> None:
    decoded = decode(native, scans_without_end(100))
    assert isinstance(decoded, Decoded)
    assert (decoded.pixels == 128).all()
    assert decode(native, scans_without_end(101)) == Status.JPEG_TOO_LARGE
    assert decode(native, scans_without_end(819)) == Status.JPEG_TOO_LARGE


def test_memory_does_not_grow_with_height(native: Driver) -> None:
    peaks = [
        assert_as_pillow(native, jpeg(photo(300, height), subsampling="4:2:0")).peak_bytes
        for height in (200, 400, 800)
    ]
    assert len(set(peaks)) == 1


def test_memory_limit(native: Driver) -> None:
    baseline = jpeg(photo(640, 480), subsampling="4:2:0")
    progressive = jpeg(photo(640, 480), subsampling="4:2:0", progressive=True)
    need = assert_as_pillow(native, baseline).peak_bytes
    assert need < 150_000
    assert isinstance(decode(native, baseline, limit_bytes=need), Decoded)
    assert decode(native, baseline, limit_bytes=need - 8000) == Status.NO_MEMORY
    assert decode(native, baseline, limit_bytes=1000) == Status.NO_MEMORY

    # 2 bytes a coefficient, 1.5 coefficients a pixel
    need = assert_as_pillow(native, progressive).peak_bytes
    assert 640 * 480 * 3 < need < 640 * 480 * 3 + 150_000
    too_large = Status.JPEG_PROGRESSIVE_TOO_LARGE
    for limit in (need - 8000, need // 2, 250_000):
        assert decode(native, progressive, limit_bytes=limit) == too_large
    # What no memory would be enough for is said before the data is read
    assert decode(native, progressive[:2000], limit_bytes=need // 2) == too_large


ALLOCATIONS = 40  # more than decoding a small photo makes


@pytest.mark.parametrize("progressive", [False, True])
def test_every_failing_allocation(native: Driver, progressive: bool) -> None:
    """The driver aborts when a block leaks. libjpeg asks for less where a large request fails."""
    file = jpeg(photo(64, 64), progressive=progressive)
    refused = 0
    expected = {Status.NO_MEMORY, Status.JPEG_PROGRESSIVE_TOO_LARGE}
    for index in until_it_works():
        result = decode(native, file, fail_allocation=index, pieces=[1000])
        if isinstance(result, Decoded):
            np.testing.assert_array_equal(result.pixels, rgb(file))
            # Not the end yet: libjpeg recovers from some
            if index > ALLOCATIONS:
                break
        else:
            assert result in expected if progressive else result == Status.NO_MEMORY
            refused += 1
    assert refused >= 5


@pytest.mark.slow
def test_24_megapixels(native: Driver, tmp_path: Path) -> None:
    big_photo.write(tmp_path / "big.jpg")
    file = (tmp_path / "big.jpg").read_bytes()
    decoded = assert_as_pillow(native, file, [65496])
    assert decoded.pixels.shape == (4000, 6000, 3)
    assert decoded.peak_bytes < 700_000
    tensor = network_input(native, file)
    expected = preprocess.input_tensor(tmp_path / "big.jpg", 204)[0]
    np.testing.assert_array_equal(tensor, expected)
