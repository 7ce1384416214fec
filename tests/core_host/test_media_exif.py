# SPDX-License-Identifier: Apache-2.0
"""The orientation of a photo, against Pillow's getexif()."""

import io
import random
import struct
import warnings

import numpy as np
import pytest
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from media_calls import Decoded, decode
from PIL import Image

ORIENTATION = 0x0112
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def jpeg(*app1: bytes) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(out, "JPEG")
    file = out.getvalue()
    segments = [struct.pack(">HH", 0xFFE1, len(data) + 2) + data for data in app1]
    return file[:2] + b"".join(segments) + file[2:]


def pillow_orientation(file: bytes) -> int:
    """What exif_transpose() would go by; nothing where getexif() breaks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(file)) as image:
                value = image.getexif().get(ORIENTATION, 1)
        except (SyntaxError, struct.error, OverflowError):
            return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orientation(driver: Driver, file: bytes, piece: int = 1 << 20) -> int:
    decoded = decode(driver, file, pieces=[piece])
    assert isinstance(decoded, Decoded), decoded
    return decoded.orientation


def tiff(entries: list[tuple[int, int, int, bytes]], *, order: str = "<", magic: int = 42) -> bytes:
    """One directory at offset 8; values over 4 bytes behind it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", magic, 8)
    directory = struct.pack(order + "H", len(entries))
    data = b""
    data_at = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        directory += struct.pack(order + "HHL", tag, kind, count)
        if len(value) > 4:
            directory += struct.pack(order + "L", data_at + len(data))
            data += value
        else:
            directory += value.ljust(4, b"\0")
    return head + directory + struct.pack(order + "L", 0) + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", [*range(10), 255, 256, 65535])
def test_every_value(native: Driver, order: str, value: int) -> None:
    exif = b"Exif\0\0" + tiff([(ORIENTATION, 3, 1, struct.pack(order + "H", value))], order=order)
    file = jpeg(exif)
    assert orientation(native, file) == pillow_orientation(file)
    assert orientation(native, file) == (value if 1 <= value <= 8 else 1)
    assert orientation(native, file, piece=1) == orientation(native, file)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (1, b"\6"),
        (2, b"6"),
        (3, b"\6\0\7\0"),
        (3, b"\6\0\7\0\10\0"),
        (4, b"\6\0\0\0"),
        (4, b"\6\0\0\1"),
        (6, b"\6"),
        (6, b"\xfa"),
        (7, b"\6"),
        (8, b"\6\0"),
        (8, b"\xff\xff"),
        (9, b"\6\0\0\0"),
        (13, b"\6\0\0\0"),
        (16, b"\6\0\0\0\0\0\0\0"),
        (16, b"\6\0\0\0\0\0\0\1"),
        (0, b"\6\0"),
        (14, b"\6\0"),
        (255, b"\6\0"),
    ],
)
def test_every_type(native: Driver, kind: int, value: bytes) -> None:
    count = len(value) // SIZES.get(kind, 1)
    file = jpeg(b"Exif\0\0" + tiff([(ORIENTATION, kind, count, value)]))
    assert orientation(native, file) == pillow_orientation(file)


SIX = tiff([(ORIENTATION, 3, 1, b"\6\0")])
THREE = tiff([(ORIENTATION, 3, 1, b"\3\0")])
XMP = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], 1),
        ([b"Exif\0\0" + SIX], 6),
        ([b"Exif\0\0Exif\0\0" + SIX], 6),
        ([b"Exif\0\1" + SIX], 1),
        ([b"Exif\0\0"], 1),
        ([b"Exif"], 1),
        ([b""], 1),
        ([b"Exif\0\0" + SIX, b"Exif\0\0" + THREE], 6),
        ([b"Exif\0\0" + tiff([]), b"Exif\0\0" + THREE], 1),
        ([b"Exif\0\0" + b"II\0*" + SIX[4:]], 6),
        ([b"Exif\0\0" + b"JJ*\0" + SIX[4:]], 1),
        # The first entry of a tag counts
        ([b"Exif\0\0" + tiff([(ORIENTATION, 3, 1, b"\6\0"), (ORIENTATION, 3, 1, b"\3\0")])], 6),
        # An entry without value does not
        ([b"Exif\0\0" + tiff([(ORIENTATION, 3, 0, b""), (ORIENTATION, 3, 1, b"\3\0")])], 3),
        # A value outside the file ends the directory, one too large for it is passed over
        ([b"Exif\0\0" + tiff([(271, 2, 30, b"\xf0\0\0\0"), (ORIENTATION, 3, 1, b"\6\0")])], 1),
        ([b"Exif\0\0" + tiff([(271, 2, 9999, b"\xf0\0\0\0"), (ORIENTATION, 3, 1, b"\6\0")])], 6),
        ([XMP + b'<x tiff:Orientation="6"/>'], 6),
        ([XMP + b"<tiff:Orientation>8</tiff:Orientation>"], 8),
        ([XMP + b'tiff:Orientation=\'8\' tiff:Orientation="x" tiff:Orientation="3"'], 3),
        ([XMP + b'tiff:Orientation="9" tiff:Orientation="3"'], 1),
        ([XMP + b'tiff:Orientation="'], 1),
        ([XMP + b"tiff:Orientation"], 1),
        ([XMP], 1),
        # The last XMP counts, and EXIF before any
        ([XMP + b'tiff:Orientation="3"', XMP + b'tiff:Orientation="6"'], 6),
        ([XMP + b'tiff:Orientation="3"', XMP + b"nothing"], 1),
        ([XMP + b'tiff:Orientation="3"', b"Exif\0\0" + SIX], 6),
        ([b"Exif\0\0" + tiff([]), XMP + b'tiff:Orientation="3"'], 3),
        ([b"Exif\0\0" + tiff([(ORIENTATION, 3, 1, b"\x63\0")]), XMP + b'tiff:Orientation="3"'], 1),
    ],
)
def test_segments(native: Driver, segments: list[bytes], expected: int) -> None:
    file = jpeg(*segments)
    assert orientation(native, file) == expected
    assert pillow_orientation(file) == expected


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([ORIENTATION, ORIENTATION, 256, 271, 34665]),
        # Not 5, 10, 11, 12: Pillow takes 6.0 for an orientation, we take integers
        st.sampled_from([1, 2, 3, 3, 3, 4, 6, 7, 8, 9, 13, 14]),
        st.integers(0, 12),
        st.binary(min_size=0, max_size=12),
    ),
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(
    entries=ENTRIES, order=st.sampled_from("<>"), cut=st.integers(0, 200), seed=st.integers(0, 999)
)
def test_made_directories(
    native: Driver,
    entries: list[tuple[int, int, int, bytes]],
    order: str,
    cut: int,
    seed: int,
) -> None:
    data = bytearray(tiff(entries, order=order))
    source = random.Random(seed)
    if source.random() < 0.5 and len(data) > 10:
        # Not the types: see ENTRIES
        data[source.choice([4, 5, 6, 7, 8, 9, len(data) - 1])] = source.randrange(40)
    file = jpeg(b"Exif\0\0" + bytes(data[: max(cut, 4)]))
    assert orientation(native, file) == pillow_orientation(file)
