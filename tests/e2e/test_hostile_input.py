# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad input, refused by name; after each, the same session still works.

That no TA and no kernel has panicked is checked after every test, by the pytest plugin.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import big_photo
import cbor2
import pytest
from bad_photos import BAD
from cryptography.hazmat.primitives.asymmetric import ec
from real_stack import MODEL, ROOT, Client, golden

from sandbox.errors import SandboxError
from sandbox.machine.machine import Machine
from sandbox.owner import keys, sealed_file
from sandbox.owner.results import ResultError, open_result
from sandbox.owner.sealed_file import HEADER_BYTES, SEGMENT_BYTES, Sealed
from sandbox.owner.service import InputRefused, TaError
from sandbox.tee_abi import RequestFlag

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
    wrapped = client.wrap(os.urandom(32), keys.Slot.MODEL)
    assert refused(lambda: client.provision_bytes("data", wrapped)) == "COSE_OPEN"
    client.assert_works()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda message: flipped(message, len(message) - 1), "COSE_UNWRAP"),
        (lambda message: flipped(message, 45), "COSE_OPEN"),
        (lambda message: message[:-1], "COSE_MALFORMED"),
        (lambda message: message + b"x", "COSE_MALFORMED"),
        (lambda message: message[:16], "COSE_MALFORMED"),
        (lambda message: b"", "COSE_MALFORMED"),
        (lambda message: message + bytes(600), "COSE_LIMIT"),
        (lambda message: flipped(message, 3), "KEY_REPLAYED"),
    ],
    ids=["wrapped", "content", "short", "long", "challenge", "empty", "limit", "other-challenge"],
)
def test_altered_key_message(client: Client, change: Callable[[bytes], bytes], status: str) -> None:
    message = client.wrap(os.urandom(32), keys.Slot.DATA)
    assert refused(lambda: client.provision_bytes("data", change(message))) == status
    client.assert_works()


def test_key_message_answers_one_challenge_of_one_session(
    client: Client, connect: Callable[[str], Client]
) -> None:
    """What the normal world recorded installs no key again, here or elsewhere."""
    first, second = connect("e2e-first"), connect("e2e-second")
    recorded = first.wrap(first.data_key, keys.Slot.DATA)
    first.provision_bytes("data", recorded)
    assert refused(lambda: first.provision_bytes("data", recorded)) == "KEY_REPLAYED"
    assert refused(lambda: second.provision_bytes("data", recorded)) == "KEY_REPLAYED"
    # With the challenge that is asked for written over it, it is no answer to it.
    assert refused(lambda: second.provision_bytes("data", second.challenge + recorded[16:])) == (
        "COSE_OPEN"
    )
    first.share_model(client)
    first.assert_works()


def test_key_message_for_another_key(client: Client) -> None:
    """As after a rotation, or from a normal world that names a key of its own."""
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    message = keys.wrap(os.urandom(32), keys.Slot.DATA, other, client.challenge)
    assert refused(lambda: client.provision_bytes("data", message)) == "COSE_RECIPIENT"
    client.assert_works()


@pytest.mark.parametrize("flags", [0, 1, 3])
def test_result_in_the_form_that_was_asked_for(client: Client, flags: int) -> None:
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    sealed = sealed_file.seal_photo(
        client.data_key,
        photo,
        score_threshold=0.5,
        sequence=next(client.sequence),
        model_digest=client.model_digest,
        flags=flags,
    )
    answer = client.infer_bytes(sealed.data)
    result = open_result(client.data_key, sealed, answer, client.signer)
    assert result.origin.output_digest.hex() == golden("chelsea")["outputs_sha256"]
    # Tag 18 is COSE_Sign1, 16 COSE_Encrypt0.
    assert cbor2.loads(answer).tag == (18 if flags & RequestFlag.CLEAR else 16)
    if flags & RequestFlag.SIGNED:
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        with pytest.raises(ResultError):
            open_result(client.data_key, sealed, answer, other)


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


def test_photo_before_key_or_model(client: Client, connect: Callable[[str], Client]) -> None:
    fresh = connect("e2e-fresh")
    photo = (PHOTOS / "chelsea.jpg").read_bytes()
    assert refused(lambda: fresh.infer(photo)) in {"KEY_MISSING", "MODEL_MISSING"}
    fresh.provision()
    assert refused(lambda: fresh.infer(photo)) == "MODEL_MISSING"
    fresh.share_model(client)
    fresh.assert_works()


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


def test_photo_of_another_session(client: Client, connect: Callable[[str], Client]) -> None:
    """What was sealed for one session opens in no other."""
    first, second = connect("e2e-mine"), connect("e2e-yours")
    first.provision()
    second.share_model(client)
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
        open_result(client.data_key, first, flipped(answer, len(answer) // 2), client.signer)
