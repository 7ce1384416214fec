# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad input, refused by name; after each, the same session still works.

That no TA and no kernel has panicked is checked after every test, by the pytest plugin.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import big_photo
import pytest
from bad_photos import BAD
from real_stack import MODEL, ROOT, Client

from sandbox.errors import SandboxError
from sandbox.machine.machine import Machine
from sandbox.owner import keys, sealed_file
from sandbox.owner.sealed_file import HEADER_BYTES, SEGMENT_BYTES, Sealed
from sandbox.owner.service import InputRefused, TaError

PHOTOS = ROOT / "fixtures/photos"


def refused(act: Callable[[], object]) -> str:
    with pytest.raises((TaError, InputRefused)) as caught:
        act()
    return caught.value.status


def segments(sealed: Sealed) -> list[bytes]:
    """The stream's header, then its segments."""
    stream = sealed.stream
    cuts = [0, 40, *range(SEGMENT_BYTES, len(stream), SEGMENT_BYTES), len(stream)]
    return [stream[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]


def rebuilt(sealed: Sealed, parts: list[bytes]) -> bytes:
    return sealed.header.pack() + b"".join(parts)


def long_photo() -> bytes:
    """A good photo of several segments: what follows the picture is ignored."""
    return (PHOTOS / "chelsea.jpg").read_bytes() + os.urandom(4 * SEGMENT_BYTES)


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0x10
    return bytes(changed)


def truncated(client: Client, sealed: Sealed) -> bytes:
    return rebuilt(sealed, segments(sealed)[:-1])


def cut_inside_a_segment(client: Client, sealed: Sealed) -> bytes:
    return sealed.data[:-1000]


def without_the_middle(client: Client, sealed: Sealed) -> bytes:
    parts = segments(sealed)
    return rebuilt(sealed, parts[:2] + parts[3:])


def with_two_swapped(client: Client, sealed: Sealed) -> bytes:
    parts = segments(sealed)
    parts[2], parts[3] = parts[3], parts[2]
    return rebuilt(sealed, parts)


def with_one_twice(client: Client, sealed: Sealed) -> bytes:
    parts = segments(sealed)
    return rebuilt(sealed, parts[:3] + [parts[2]] + parts[3:])


def with_one_of_another_stream(client: Client, sealed: Sealed) -> bytes:
    parts, other = segments(sealed), segments(client.seal(long_photo()))
    return rebuilt(sealed, parts[:2] + [other[2]] + parts[3:])


def extended(client: Client, sealed: Sealed) -> bytes:
    parts = segments(sealed)
    parts[-1] = parts[-1]
    return rebuilt(sealed, parts) + os.urandom(SEGMENT_BYTES)


def altered_first(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, HEADER_BYTES + 40)


def altered_middle(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, HEADER_BYTES + SEGMENT_BYTES + 5)


def altered_tag(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, len(sealed.data) - 1)


def altered_salt(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, HEADER_BYTES + 1)


def altered_stream_header(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, HEADER_BYTES)


def of_another_request(client: Client, sealed: Sealed) -> bytes:
    """Other associated data: the header of another request with the same key."""
    other = client.seal(long_photo())
    return other.header.pack() + sealed.stream


def with_another_threshold(client: Client, sealed: Sealed) -> bytes:
    return flipped(sealed.data, 7)


def of_another_key(client: Client, sealed: Sealed) -> bytes:
    client.data_key, kept = os.urandom(32), client.data_key
    try:
        return client.seal(b"x").data
    finally:
        client.data_key = kept


def of_another_key_with_our_key_id(client: Client, sealed: Sealed) -> bytes:
    header = sealed.header.pack()
    return header + sealed_file.seal_stream(os.urandom(32), header, long_photo())


def shorter_than_announced(client: Client, sealed: Sealed) -> bytes:
    header = replace(sealed.header, plaintext_bytes=5000).pack()
    return header + sealed_file.seal_stream(client.data_key, header, os.urandom(4999))


def longer_than_announced(client: Client, sealed: Sealed) -> bytes:
    header = replace(sealed.header, plaintext_bytes=5000).pack()
    return header + sealed_file.seal_stream(client.data_key, header, os.urandom(5001))


def nothing_but_a_header(client: Client, sealed: Sealed) -> bytes:
    return sealed.header.pack()


def too_large(client: Client, sealed: Sealed) -> bytes:
    header = replace(sealed.header, plaintext_bytes=(64 << 20) + 1)
    return header.pack() + sealed.stream


def with_another_magic(client: Client, sealed: Sealed) -> bytes:
    return b"CML1" + sealed.data[4:]


def a_model(client: Client, sealed: Sealed) -> bytes:
    return sealed_file.seal_model(client.data_key, b"x" * 100).data


@pytest.mark.parametrize(
    ("tamper", "status"),
    [
        (truncated, "STREAM_TRUNCATED"),
        (cut_inside_a_segment, "STREAM_TRUNCATED"),
        (nothing_but_a_header, "STREAM_TRUNCATED"),
        (without_the_middle, "STREAM_REORDERED"),
        (with_two_swapped, "STREAM_REORDERED"),
        (with_one_twice, "STREAM_REORDERED"),
        (with_one_of_another_stream, "STREAM_SPLICED"),
        (extended, "STREAM_EXTENDED"),
        (altered_first, "STREAM_CONTEXT"),
        (altered_salt, "STREAM_CONTEXT"),
        (of_another_request, "STREAM_CONTEXT"),
        (with_another_threshold, "STREAM_CONTEXT"),
        (of_another_key_with_our_key_id, "STREAM_CONTEXT"),
        (altered_middle, "STREAM_SPLICED"),
        (altered_tag, "STREAM_SPLICED"),
        (altered_stream_header, "STREAM_HEADER"),
        (of_another_key, "STREAM_WRONG_KEY"),
        (shorter_than_announced, "STREAM_LENGTH"),
        (longer_than_announced, "STREAM_LENGTH"),
        (too_large, "HEADER_LIMIT"),
        (with_another_magic, "HEADER_MALFORMED"),
        (a_model, "HEADER_KIND"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_tampered_photo(
    client: Client, tamper: Callable[[Client, Sealed], bytes], status: str
) -> None:
    bad = tamper(client, client.seal(long_photo()))
    assert refused(lambda: client.infer_bytes(bad)) == status
    client.assert_works()


def test_every_bad_photo_has_its_error() -> None:
    reasons = {path.name.split(".bad-")[1].removesuffix(".jpg") for path in PHOTOS.glob("*.bad-*")}
    assert reasons == set(BAD)


# An empty file has nothing to seal: the owner's side refuses it.
@pytest.mark.parametrize("reason", sorted(set(BAD) - {"empty"}))
def test_bad_photo(client: Client, reason: str) -> None:
    (path,) = PHOTOS.glob(f"*.bad-{reason}.jpg")
    assert refused(lambda: client.infer(path.read_bytes())) == BAD[reason].name
    client.assert_works()


def test_progressive_photo_that_does_not_fit(client: Client, tmp_path: Path) -> None:
    photo = tmp_path / "progressive.jpg"
    big_photo.write(photo, width=3000, height=2000, progressive=True)
    assert refused(lambda: client.infer(photo.read_bytes())) == "JPEG_PROGRESSIVE_TOO_LARGE"
    client.assert_works()


def test_key_for_the_other_slot(client: Client) -> None:
    wrapped = keys.wrap(os.urandom(32), keys.Slot.MODEL, client.info.public_key)
    assert refused(lambda: client.provision_bytes("data", wrapped)) == "KEY_UNWRAP"
    client.assert_works()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda wrapped: flipped(wrapped, 112), "KEY_UNWRAP"),
        (lambda wrapped: flipped(wrapped, 70), "KEY_UNWRAP"),
        (lambda wrapped: flipped(wrapped, 40), "KEY_MALFORMED"),
        (lambda wrapped: b"\x04" + bytes(64) + wrapped[65:], "KEY_MALFORMED"),
        (lambda wrapped: wrapped[:-1], "KEY_MALFORMED"),
        (lambda wrapped: wrapped + b"x", "KEY_MALFORMED"),
        (lambda wrapped: b"", "KEY_MALFORMED"),
    ],
    ids=["tag", "ciphertext", "point", "no-point", "short", "long", "empty"],
)
def test_altered_wrapped_key(client: Client, change: Callable[[bytes], bytes], status: str) -> None:
    wrapped = keys.wrap(os.urandom(32), keys.Slot.DATA, client.info.public_key)
    assert refused(lambda: client.provision_bytes("data", change(wrapped))) == status
    client.assert_works()


def test_photo_that_was_served_is_not_served_again(client: Client) -> None:
    """What the normal world recorded: the same bytes, and any that were sealed before them."""
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    first, second = client.seal(photo), client.seal(photo)
    client.infer_bytes(second.data)
    assert refused(lambda: client.infer_bytes(second.data)) == "REQUEST_REPLAYED"
    assert refused(lambda: client.infer_bytes(first.data)) == "REQUEST_REPLAYED"
    client.assert_works()


def test_photo_that_was_refused_uses_up_no_number(client: Client) -> None:
    """What fails on its way may be sent again: nobody has got a result for it."""
    sealed = client.seal((PHOTOS / "chelsea.jpg").read_bytes())
    assert refused(lambda: client.infer_bytes(truncated(client, sealed))) == "STREAM_TRUNCATED"
    highest = replace(sealed.header, number=(1 << 64) - 1)
    assert refused(lambda: client.infer_bytes(highest.pack() + sealed.stream)) == "STREAM_CONTEXT"
    client.infer_bytes(sealed.data)
    client.assert_works()


def test_photo_for_another_model(client: Client) -> None:
    """Sealed for the eyes of one model: no other sees it, whichever the normal world loads."""
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    ours, client.model_digest = client.model_digest, os.urandom(32)
    try:
        sealed = client.seal(photo)
    finally:
        client.model_digest = ours
    assert refused(lambda: client.infer_bytes(sealed.data)) == "REQUEST_MODEL"
    # The header does not let itself be changed.
    renamed = replace(sealed.header, subject=ours).pack() + sealed.stream
    assert refused(lambda: client.infer_bytes(renamed)) == "STREAM_CONTEXT"
    client.assert_works()


def test_results_have_numbers_of_their_own(client: Client) -> None:
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    origins = [client.infer(photo).origin for _ in range(3)]
    counters = [origin.counter for origin in origins]
    assert counters == sorted(set(counters))
    assert {origin.device for origin in origins} == {client.info.device}
    assert {origin.model_digest for origin in origins} == {client.model_digest}


def test_photo_before_key_or_model(connect: Callable[[str], Client]) -> None:
    client = connect("e2e-fresh")
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    assert refused(lambda: client.infer(photo)) in {"KEY_MISSING", "MODEL_MISSING"}
    client.provision()
    assert refused(lambda: client.infer(photo)) == "MODEL_MISSING"
    client.load()
    client.assert_works()


def model_cut(model: bytes) -> bytes:
    return model[: len(model) // 2]


def model_of_noise(model: bytes) -> bytes:
    return os.urandom(len(model))


def model_with_a_wild_root(model: bytes) -> bytes:
    return b"\xff\xff\xff\x7f" + model[4:]


def model_of_zeros(model: bytes) -> bytes:
    return bytes(len(model))


def tiny_model(model: bytes) -> bytes:
    return b"T"


@pytest.mark.parametrize(
    "spoil",
    [model_cut, model_of_noise, model_with_a_wild_root, model_of_zeros, tiny_model],
    ids=lambda value: value.__name__,
)
def test_malformed_model(client: Client, spoil: Callable[[bytes], bytes]) -> None:
    assert refused(lambda: client.load(spoil(MODEL.read_bytes()))) == "MODEL_MALFORMED"
    # BEGIN dropped the model that was there: loading again makes the session whole.
    client.load()
    client.assert_works()


def test_tampered_model(client: Client) -> None:
    sealed = sealed_file.seal_model(client.model_key, MODEL.read_bytes())
    swapped = with_two_swapped(client, sealed)
    assert refused(lambda: client.load_bytes(swapped)) == "STREAM_REORDERED"
    assert refused(lambda: client.load_bytes(truncated(client, sealed))) == "STREAM_TRUNCATED"
    foreign = sealed_file.seal_model(os.urandom(32), MODEL.read_bytes())
    assert refused(lambda: client.load_bytes(foreign.data)) == "STREAM_WRONG_KEY"
    client.load()
    client.assert_works()


def test_photo_of_another_session(connect: Callable[[str], Client]) -> None:
    """What was sealed for one session opens in no other."""
    first, second = connect("e2e-mine"), connect("e2e-yours")
    first.provision()
    second.provision()
    second.load()
    sealed = first.seal((PHOTOS / "chelsea.jpg").read_bytes())
    assert refused(lambda: second.infer_bytes(sealed.data)) == "STREAM_WRONG_KEY"
    second.assert_works()


def test_client_that_hangs_up_in_the_middle(machine: Machine, client: Client) -> None:
    """A request whose owner goes away does not keep the machine from the next one."""
    with machine.guest() as guest:
        lines = Machine.service(guest)
        lines.send("attach e2e-hangs-up")
        lines.receive(60.0)
        lines.send("info")
        lines.close()
    client.assert_works()


def test_paths_outside_of_the_share_are_not_opened(machine: Machine, client: Client) -> None:
    with machine.guest() as guest:
        lines = Machine.service(guest)
        try:
            lines.send("attach e2e-paths")
            lines.receive(60.0)
            for path in ("/etc/passwd", "/mnt/share/../../etc/passwd", "../etc/passwd"):
                lines.send(f"model {path}")
                assert '"ok":false' in lines.receive(30.0).replace(" ", "")
            lines.send("close e2e-paths")
            lines.receive(30.0)
        finally:
            lines.close()
    client.assert_works()


def test_a_result_that_was_swapped_is_not_accepted(client: Client) -> None:
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    first = client.seal(photo)
    answer = client.infer_bytes(first.data)
    with pytest.raises(SandboxError):
        from sandbox.owner.results import open_result

        open_result(client.data_key, first, flipped(answer, len(answer) // 2))
