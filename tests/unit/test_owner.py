# SPDX-License-Identifier: Apache-2.0
"""The owners' side, against other implementations of the same formats."""

import hashlib
import itertools
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from PIL import Image

from sandbox.errors import UserError
from sandbox.owner import draw, keys, results, sealed_file
from sandbox.owner.results import Detection, Origin, ResultError
from sandbox.owner.sealed_file import SEGMENT_BYTES, Header, Kind, Sealed, SealedFileError

KEY = bytes(range(32))
MODEL = b"m" * 32
_numbers = itertools.count(1)


def photo_sealed(photo: bytes, threshold: float = 0.5) -> Sealed:
    return sealed_file.seal_photo(
        KEY, photo, score_threshold=threshold, sequence=next(_numbers), model_digest=MODEL, flags=0
    )


def segments_opened_by_hand(key: bytes, associated: bytes, stream: bytes) -> bytes:
    """The stream format as its specification says it, segment by segment."""
    assert stream[0] == 40
    salt, prefix = stream[1:33], stream[33:40]
    segment_key = sealed_file.HKDF(
        algorithm=sealed_file.SHA256(), length=32, salt=salt, info=associated
    ).derive(key)
    plain, offset, number = b"", 40, 0
    while offset < len(stream) or number == 0:
        end = min((number + 1) * SEGMENT_BYTES, len(stream))
        last = end == len(stream)
        nonce = prefix + number.to_bytes(4, "big") + bytes([last])
        plain += AESGCM(segment_key).decrypt(nonce, stream[offset:end], None)
        offset, number = end, number + 1
    return plain


@pytest.mark.parametrize("length", [1, 65479, 65480, 65481, 65480 + 65520, 65480 + 65521, 300_000])
def test_sealed_photo_is_a_tink_stream_bound_to_its_header(length: int) -> None:
    photo = os.urandom(length)
    sealed = photo_sealed(photo)
    header = Header.unpack(sealed.data)
    assert header == sealed.header
    assert header.kind is Kind.PHOTO
    assert header.plaintext_bytes == length
    assert header.score_threshold_permille == 500
    stream = sealed.data[sealed_file.HEADER_BYTES :]
    assert segments_opened_by_hand(KEY, sealed.data[:72], stream) == photo
    assert sealed_file.open_stream(KEY, sealed.data[:72], stream) == photo


def test_header_layout() -> None:
    header = Header(Kind.PHOTO, b"k" * 16, 0x0A0B, 0x0102030405, b"m" * 32, 321)
    assert header.pack() == (
        b"CML2\x01\x00\x01\x41"
        + b"k" * 16
        + b"\0\0\0\0\0\0\x0a\x0b"
        + b"\0\0\0\x01\x02\x03\x04\x05"
        + b"m" * 32
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"CML2", b"CML1" + bytes(68), b"CML2\x04" + bytes(67), b"CML2\x01\x04" + bytes(66)],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(SealedFileError):
        Header.unpack(data)


def test_stream_does_not_open_with_other_associated_data_or_when_altered() -> None:
    sealed = sealed_file.seal_model(KEY, os.urandom(100_000))
    with pytest.raises(SealedFileError):
        sealed_file.open_stream(KEY, b"other", sealed.stream)
    altered = bytearray(sealed.stream)
    altered[70_000] ^= 1
    with pytest.raises(SealedFileError):
        sealed_file.open_stream(KEY, sealed.header.pack(), bytes(altered))


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.001, 0.0004])
def test_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(SealedFileError):
        photo_sealed(b"x", threshold)


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "../etc", "ä", "a\0b"])
def test_what_is_no_name_for_a_model_is_refused(name: str) -> None:
    with pytest.raises(SealedFileError):
        sealed_file.seal_model(KEY, b"model", name=name)


@pytest.mark.parametrize("number", [0, -1, 1 << 64])
def test_versions_and_sequence_numbers_have_a_range(number: int) -> None:
    with pytest.raises(SealedFileError):
        sealed_file.seal_model(KEY, b"model", version=number)
    with pytest.raises(SealedFileError):
        sealed_file.seal_tensors(KEY, b"x", sequence=number, model_digest=MODEL)


def test_model_digest_of_another_size_is_refused() -> None:
    with pytest.raises(SealedFileError):
        sealed_file.seal_tensors(KEY, b"x", sequence=1, model_digest=b"m" * 31)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("ssdlite_mobilenet_v2_coco80_204_int8", "ssdlite_mobilenet_v2_coco80_204"),
        ("größe 2 (copy)", "gr-e-2-copy-"),
        ("...", "model"),
        ("", "model"),
    ],
)
def test_a_name_follows_from_what_a_file_is_called(stem: str, name: str) -> None:
    assert sealed_file.name_from(stem) == name.strip("-")


def test_sealing_nothing_or_too_much_is_refused() -> None:
    with pytest.raises(SealedFileError):
        photo_sealed(b"")
    with pytest.raises(SealedFileError):
        sealed_file.seal_model(KEY, bytes(sealed_file.MODEL_MAX_BYTES + 1))


def test_two_seals_of_one_photo_share_nothing() -> None:
    first = photo_sealed(b"same")
    second = photo_sealed(b"same")
    assert first.header.number != second.header.number
    assert first.stream != second.stream


def test_wrapped_key_says_which_challenge_it_answers() -> None:
    """What follows the challenge is COSE_Encrypt; test_cose.py opens it by another library."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    challenge = os.urandom(16)
    wrapped = keys.wrap(KEY, keys.Slot.DATA, public, challenge)
    assert wrapped[:16] == challenge
    assert cbor2.loads(wrapped[16:]).tag == 96
    assert KEY not in wrapped


def test_kept_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "owner" / "model.key"
    key = keys.kept_key(path)
    assert keys.kept_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["model.key"]
    path.write_bytes(b"short")
    with pytest.raises(UserError):
        keys.kept_key(path)


def result_map(request: Sealed) -> dict[str, Any]:
    return {
        "v": 2,
        "request": request.digest,
        "sequence": request.header.number,
        "model": {"name": "a-model", "version": 3, "digest": MODEL},
        "device": bytes(range(16)),
        "ta": "0.1.0",
        "counter": 5,
        "output": b"o" * 32,
        "width": 768,
        "height": 576,
        "timings": {"jpeg_us": 1, "network_us": 2, "boxes_us": 3},
        "detections": [["bicycle", 1, 0.5, [1.0, 2.0, 3.0, 4.0]]],
    }


def sealed_by_hand(key: bytes, aad: bytes, plain: bytes) -> bytes:
    """COSE_Encrypt0, RFC 9052 section 5.3, without a COSE library."""
    protected = cbor2.dumps({1: 3})
    structure = cbor2.dumps(["Encrypt0", protected, aad])
    nonce = os.urandom(12)
    cipher = AESGCM(sealed_file.derive(key, b"cml-result-v1", 32))
    sealed = cipher.encrypt(nonce, plain, structure)
    return cbor2.dumps(cbor2.CBORTag(16, [protected, {5: nonce}, sealed]))


def test_result_opens_for_its_request_only() -> None:
    request = photo_sealed(b"photo")
    other = photo_sealed(b"photo")
    aad = hashlib.sha256(request.data).digest()
    plain = cbor2.dumps(result_map(request)) + bytes(100)
    sealed = sealed_by_hand(KEY, aad, plain)
    result = results.open_result(KEY, request, sealed, None)
    assert result.detections == (Detection("bicycle", 1, 0.5, (1.0, 2.0, 3.0, 4.0)),)
    assert (result.width, result.height) == (768, 576)
    assert result.origin == Origin(
        aad,
        request.header.number,
        "a-model",
        3,
        MODEL,
        b"o" * 32,
        UUID(bytes=bytes(range(16))),
        "0.1.0",
        5,
    )
    for key, pairing in ((KEY, other), (bytes(32), request)):
        with pytest.raises(ResultError):
            results.open_result(key, pairing, sealed, None)
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 0x01
        with pytest.raises(ResultError):
            results.open_result(KEY, request, bytes(altered), None)


SYMMETRIC_ALG = bytes.fromhex("a10105")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x81" * 100_000,
        cbor2.dumps(cbor2.CBORTag(17, [SYMMETRIC_ALG, {}, b"", bytes(32)])),
        cbor2.dumps(cbor2.CBORTag(18, [b"\xa1\x01\x26", {}, b"", bytes(64)])),
        cbor2.dumps(cbor2.CBORTag(16, [b"\x00\x01\x03", {5: bytes(12)}, bytes(40)])),
        cbor2.dumps(cbor2.CBORTag(16, [b"\x81\x01\x03", {5: bytes(12)}, bytes(40)])),
        cbor2.dumps(cbor2.CBORTag(16, [b"\xa1\x01\x03", {5: bytes(12)}, 5])),
        cbor2.dumps(cbor2.CBORTag(16, [b"\xa1\x01\x03", {5: bytes(12)}, bytes(40)]))[:-1],
        bytes.fromhex("d08343a10103a1054c") + bytes(12) + b"\x81" * 100_000,
    ],
    ids=lambda message: bytes(message[:12]).hex() or "nothing",
)
def test_what_is_no_sealed_result_is_refused(message: bytes) -> None:
    """The normal world wrote it: whatever it is, it ends in one error and no other."""
    request = photo_sealed(b"jpeg")
    with pytest.raises(ResultError):
        results.open_result(KEY, request, message, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": b"x" * 32}, "another request"),
        ({"sequence": 1 << 40}, "another request"),
        ({"model": {"name": "a-model", "version": 3, "digest": b"x" * 32}}, "another model"),
    ],
)
def test_result_that_names_another_request_or_model_is_refused(
    change: dict[str, Any], said: str
) -> None:
    request = photo_sealed(b"photo")
    plain = cbor2.dumps({**result_map(request), **change})
    with pytest.raises(ResultError, match=said):
        results.open_result(KEY, request, sealed_by_hand(KEY, request.digest, plain), None)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"device": b"short"},
        {"counter": "5"},
        {"model": b"m" * 32},
        {"ta": 1},
        {"detections": None},
        {"detections": [["a", 1, 0.5, [1.0]]]},
        {"width": None},
    ],
)
def test_result_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    request = photo_sealed(b"photo")
    fields = {**result_map(request), **change}
    if change.get("width", 0) is None:
        del fields["width"]
    sealed = sealed_by_hand(KEY, request.digest, cbor2.dumps(fields))
    with pytest.raises(ResultError):
        results.open_result(KEY, request, sealed, None)


def test_picture_has_the_box_where_the_photo_as_displayed_has_it(tmp_path: Path) -> None:
    photo = tmp_path / "grey.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (600, 400), "grey").save(photo, exif=exif.tobytes())
    found = Detection("bicycle", 1, 0.99, (100.0, 200.0, 300.0, 500.0))
    picture = draw.annotated(photo, [found])
    assert picture.size == (400, 600)
    grey = picture.getpixel((10, 590))
    for edge in ((100, 300), (300, 300), (200, 200), (200, 500)):
        assert picture.getpixel(edge) != grey
    assert picture.getpixel((200, 350)) == grey


def test_a_tiny_photo_is_enlarged_and_boxes_at_the_edge_are_drawn(tmp_path: Path) -> None:
    photo = tmp_path / "dot.jpg"
    Image.new("L", (1, 1)).save(photo)
    found = Detection("dining table", 60, 0.5, (0.0, 0.0, 1.0, 1.0))
    assert min(draw.annotated(photo, [found]).size) >= 400
