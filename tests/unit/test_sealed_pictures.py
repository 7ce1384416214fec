# SPDX-License-Identifier: Apache-2.0
"""What `sandbox infer` reads before anything is sent: key files, pictures, labels, descriptions."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from test_owner_cose import pack
from test_owner_cose import signed as by_hand

from sandbox.commands.infer import Port, real_range
from sandbox.commands.store_key import identity
from sandbox.errors import UserError
from sandbox.model import arrays, labels
from sandbox.owner import keys, pictures, sealed_file
from sandbox.owner.client import SealedModel
from sandbox.owner.description import DescriptionError, open_description
from sandbox.owner.keys import KeyFileError
from sandbox.owner.pictures import Frame, PictureError
from sandbox.owner.sealed_file import SealedFileError

GREY, COLOUR = Frame(28, 20, 1), Frame(28, 20, 3)


# Keys -------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_for_one_user(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        key = keys.make_key_file(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.read_key_file(path) == key and len(key) == 32
    with pytest.raises(KeyFileError, match="exists already"):
        keys.make_key_file(path)
    assert path.read_bytes() == key
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="exists already"):
        keys.make_key_file(link)


@pytest.mark.parametrize(("content", "said"), [(b"", "0"), (b"k" * 31, "31"), (b"k" * 64, "more")])
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=f"has {said} bytes"):
        keys.read_key_file(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_use(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keys.make_key_file(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="others"):
        keys.read_key_file(path)
    with pytest.raises(KeyFileError, match="cannot read"):
        keys.read_key_file(tmp_path / "none")


def test_a_sealed_model_and_its_key() -> None:
    key, other = os.urandom(32), os.urandom(32)
    data = sealed_file.seal_model(key, b"model", name="m", version=2).data
    assert SealedModel("m", data, key).header.number == SealedModel("m", data).header.number == 2
    assert sealed_file.open_model(key, data) == b"model"
    for bad, given in ((data, other), (b"CML1" + data[4:], key), (data[:71], key)):
        with pytest.raises(SealedFileError):
            SealedModel("m", bad, given)
    photo = sealed_file.seal_tensors(key, b"x", sequence=1, model_digest=bytes(32)).data
    with pytest.raises(SealedFileError, match="no model"):
        SealedModel("m", photo)
    with pytest.raises(SealedFileError):
        sealed_file.open_model(key, photo)
    with pytest.raises(SealedFileError):
        sealed_file.open_model(other, data)


@pytest.mark.parametrize("text", ["", "00" * 15, "00" * 17, "zz" * 16])
def test_key_ids_that_are_none(text: str) -> None:
    with pytest.raises(Exception, match="16 bytes"):
        identity(text)


# Pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "frame"),
    [
        ((1, 28, 20), GREY),
        ((1, 28, 20, 1), GREY),
        ((1, 28, 20, 3), COLOUR),
        ((2, 28, 20), None),
        ((1, 28, 20, 4), None),
        ((1, 784), None),
        ((28, 20), None),
        ((1, 1, 28, 20, 1), None),
    ],
)
def test_which_inputs_take_pictures(dims: tuple[int, ...], frame: Frame | None) -> None:
    assert Frame.of(dims) == frame


def noise(frame: Frame) -> pictures.Pixels:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, frame.shape, np.uint8)


def test_the_same_pixels_from_each_kind_of_file(tmp_path: Path) -> None:
    for frame in (GREY, COLOUR):
        pixels = noise(frame)
        Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
        (tmp_path / "a.bin").write_bytes(pixels.tobytes())
        np.save(tmp_path / "a.npy", pixels)
        np.save(tmp_path / "b.npy", pixels[np.newaxis])
        for name in ("a.png", "a.bin", "a.npy", "b.npy"):
            loaded = pictures.load(tmp_path / name, frame)
            assert loaded.resized_from is None
            np.testing.assert_array_equal(loaded.pixels, pixels)


def test_a_picture_is_made_to_fit(tmp_path: Path) -> None:
    red = Image.new("RGB", (40, 56), (255, 0, 0))
    red.save(tmp_path / "red.png")
    grey = pictures.load(tmp_path / "red.png", GREY)
    assert grey.resized_from == (40, 56) and grey.pixels.shape == (28, 20, 1)
    # ITU-R 601-2: 299/1000 of red
    assert set(grey.pixels.reshape(-1)) == {76}
    # Lying on its side, by EXIF: upright it has the size, and the white is on top.
    side = Image.new("L", (28, 20), 0)
    side.paste(255, (0, 0, 14, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    side.save(tmp_path / "side.png", exif=exif)
    upright = pictures.load(tmp_path / "side.png", GREY)
    assert upright.resized_from is None
    assert upright.pixels[0].min() == 255 and upright.pixels[-1].max() == 0


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    good = io.BytesIO()
    Image.fromarray(noise(GREY).squeeze()).save(good, "PNG")
    (tmp_path / "cut.png").write_bytes(good.getvalue()[:300])
    (tmp_path / "short.bin").write_bytes(bytes(559))
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "float.npy", np.zeros((28, 20), np.float32))
    np.save(tmp_path / "turned.npy", np.zeros((20, 28), np.uint8))
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    names = ("text.png", "cut.png", "short.bin", "text.npy", "float.npy", "turned.npy")
    for name in (*names, "pickle.npy"):
        with pytest.raises(PictureError):
            pictures.load(tmp_path / name, GREY)
    for name in ("none.png", "none.bin", "none.npy"):
        with pytest.raises(UserError, match="cannot read"):
            pictures.load(tmp_path / name, GREY)


PIXELS = np.array([0, 1, 127, 128, 255], np.uint8)


@pytest.mark.parametrize(
    ("kind", "scale", "zero_point", "limits", "expected"),
    [
        ("int8", 1 / 255, -128, None, [-128, -127, -1, 0, 127]),
        ("int8", 1 / 255, -128, (0.0, 1.0), [-128, -127, -1, 0, 127]),
        # A model that was made for -1 to 1: halves go to even steps
        ("int8", 2 / 255, -1, (-1.0, 1.0), [-128, -127, -1, -1, 127]),
        ("int8", 2 / 255, -1, None, [-128, -127, -1, 0, 127]),
        ("uint8", 1 / 255, 0, None, [0, 1, 127, 128, 255]),
        ("float32", 0.0, 0, None, [0, 1 / 255, 127 / 255, 128 / 255, 1]),
        ("float32", 0.0, 0, (-1.0, 1.0), [-1, -253 / 255, -1 / 255, 1 / 255, 1]),
        ("int16", 1 / 32767, 0, None, [0, 128, 16319, 16448, 32767]),
    ],
)
def test_pixels_stand_for_numbers(
    kind: str,
    scale: float,
    zero_point: int,
    limits: tuple[float, float] | None,
    expected: list[float],
) -> None:
    port = Port("x", kind, (1, 5), scale, zero_point)
    found = np.frombuffer(arrays.from_pixels(port, PIXELS, limits), kind)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ranges() -> None:
    assert real_range("-1,1") == (-1.0, 1.0)
    for text in ("", "1", "1,1", "a,b", "0,inf", "nan,1", "0;1"):
        with pytest.raises(Exception, match="two numbers"):
            real_range(text)
    with pytest.raises(UserError, match="takes no pictures"):
        arrays.from_pixels(Port("x", "int32", (1, 5), 0.0, 0), PIXELS, None)


# Labels -----------------------------------------------------------------------------------------


def packed(**files: bytes) -> bytes:
    archive = io.BytesIO(b"model" * 100)
    with zipfile.ZipFile(archive, "a") as writer:
        for name, data in files.items():
            writer.writestr(f"{name}.txt", data)
    return archive.getvalue()


def test_labels_behind_a_model() -> None:
    model = packed(anchors=b"1\n", labels="Katze\n\x1b[2JHund\r\nKäfer\n".encode())
    assert labels.of_model(model, 3) == ("Katze", "?[2JHund", "Käfer")
    assert labels.of_model(model, 4) == ()
    for broken in (b"", b"model", model[:-30], model[:520] + bytes(20) + model[540:]):
        assert labels.of_model(broken, 3) in ((), ("Katze", "?[2JHund", "Käfer"))


# Descriptions -----------------------------------------------------------------------------------

SIGNER = ec.generate_private_key(ec.SECP256R1())
SOURCE = bytes(range(112))
INPUT: dict[str, Any] = {"type": 9, "dims": [1, 28, 28], "scale": 0.5, "zero_point": -128}
GOOD: dict[str, Any] = {"v": 1, "source": SOURCE, "digest": bytes(32), "inputs": [INPUT]}


def signed(
    payload: bytes, purpose: bytes = b"cml-model-v1", by: ec.EllipticCurvePrivateKey = SIGNER
) -> bytes:
    return pack(18, by_hand(payload, purpose, by))


def test_a_description_is_read() -> None:
    message = signed(cbor2.dumps(GOOD))
    found = open_description(message, SIGNER.public_key(), SOURCE)
    assert found.digest == bytes(32)
    (one,) = found.inputs
    assert (one.type, one.dims, one.scale, one.zero_point) == (9, (1, 28, 28), 0.5, -128)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"source": SOURCE[:-1]},
        {"source": bytes(112)},
        {"digest": bytes(31)},
        {"digest": "0" * 32},
        {"inputs": 5},
        {"inputs": [5]},
        {"inputs": [{}]},
        {"inputs": [{**INPUT, "dims": [1, -28, 28]}]},
        {"inputs": [{**INPUT, "dims": [1, 2.0]}]},
        {"inputs": [{**INPUT, "dims": [1] * 9}]},
        {"inputs": [{**INPUT, "scale": "1"}]},
        {"inputs": [{**INPUT, "zero_point": None}]},
    ],
)
def test_a_description_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(DescriptionError):
        open_description(signed(cbor2.dumps({**GOOD, **change})), SIGNER.public_key(), SOURCE)


def test_a_description_by_somebody_else() -> None:
    payload = cbor2.dumps(GOOD)
    other = ec.generate_private_key(ec.SECP256R1())
    for message in (
        signed(payload, by=other),
        signed(payload, b"cml-model-v2"),
        # A result is bound to a request's digest.
        signed(payload, bytes(32)),
        signed(b"\xff"),
        signed(b""),
        b"",
        b"\xff" * 50,
    ):
        with pytest.raises(DescriptionError):
            open_description(message, SIGNER.public_key(), SOURCE)
