# SPDX-License-Identifier: Apache-2.0
"""Key wrapping, against two other HPKE implementations and a published vector."""

import os
import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from driver import Driver
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

from sandbox.tee_abi import WRAPPED_KEY_BYTES, KeySlot, Status

PRIVATE = ec.generate_private_key(ec.SECP256R1())
SCALAR = PRIVATE.private_numbers().private_value.to_bytes(32, "big")
OTHER_SCALAR = (
    ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
)
PYCA = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
PYHPKE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
NO_FAILURE = -1

# The prime of P-256
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def sealed_by_pyca(info: bytes, plain: bytes) -> bytes:
    return PYCA.encrypt(plain, PRIVATE.public_key(), info=info)


def sealed_by_pyhpke(info: bytes, plain: bytes, aad: bytes = b"") -> bytes:
    recipient = KEMKey.from_pyca_cryptography_key(PRIVATE.public_key())
    enc, context = PYHPKE.create_sender_context(recipient, info=info)
    return bytes(enc + context.seal(plain, aad=aad))


def hpke_open(
    native: Driver,
    scalar: bytes,
    info: bytes,
    aad: bytes,
    message: bytes,
    *,
    fail_call: int = NO_FAILURE,
) -> tuple[int, bytes]:
    lengths = struct.pack("<q", fail_call) + scalar
    strings = b"".join(struct.pack("<I", len(s)) + s for s in (info, aad))
    return native.call("hpke_open", lengths + strings + message)


def unwrap(native: Driver, slot: int, wrapped: bytes, scalar: bytes = SCALAR) -> tuple[int, bytes]:
    return native.call("key_unwrap", scalar + struct.pack("<I", slot) + wrapped)


def test_published_vector(native: Driver) -> None:
    """RFC 9180's test-vectors.json: mode 0, KEM 16, KDF 1, AEAD 2, first encryption."""
    scalar = "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2"
    enc = (
        "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e"
        "0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0"
    )
    ciphertext = (
        "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f"
    )
    status, plain = hpke_open(
        native,
        bytes.fromhex(scalar),
        b"Ode on a Grecian Urn",
        b"Count-0",
        bytes.fromhex(enc + ciphertext),
    )
    assert (status, plain) == (Status.OK, b"Beauty is truth, truth beauty")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 500])
def test_what_pyhpke_seals_opens(native: Driver, length: int) -> None:
    info, aad, plain = os.urandom(length), os.urandom(length // 2), os.urandom(length)
    message = sealed_by_pyhpke(info, plain, aad)
    assert hpke_open(native, SCALAR, info, aad, message) == (Status.OK, plain)
    wrong = hpke_open(native, SCALAR, info, aad + b"!", message)
    assert wrong == (Status.KEY_UNWRAP, b"")


@pytest.mark.parametrize("slot", KeySlot)
@pytest.mark.parametrize("seal", [sealed_by_pyca, sealed_by_pyhpke])
def test_wrapped_key_opens_for_its_slot_only(
    native: Driver, seal: Callable[[bytes, bytes], bytes], slot: KeySlot
) -> None:
    key = os.urandom(32)
    wrapped = seal(b"cml-key-v1" + bytes([slot]), key)
    assert len(wrapped) == WRAPPED_KEY_BYTES
    assert unwrap(native, slot, wrapped) == (Status.OK, key)
    for other in {0, 1, 2, 3} - {slot}:
        assert unwrap(native, other, wrapped) == (Status.KEY_UNWRAP, bytes(32))


def test_wrapped_key_for_another_recipient_does_not_open(native: Driver) -> None:
    wrapped = sealed_by_pyca(b"cml-key-v1\1", os.urandom(32))
    assert unwrap(native, 1, wrapped, OTHER_SCALAR) == (Status.KEY_UNWRAP, bytes(32))


def test_every_altered_byte_is_noticed(native: Driver) -> None:
    wrapped = sealed_by_pyca(b"cml-key-v1\1", os.urandom(32))
    for position in range(len(wrapped)):
        altered = bytearray(wrapped)
        altered[position] ^= 0x01
        status, key = unwrap(native, 1, bytes(altered))
        # In enc (65 bytes) the point leaves the curve; after it, the tag does not fit.
        expected = Status.KEY_MALFORMED if position < 65 else Status.KEY_UNWRAP
        assert (position, status, key) == (position, expected, bytes(32))


@pytest.mark.parametrize("length", [0, 1, 65, 112, 114, 500])
def test_wrapped_key_of_another_length_is_malformed(native: Driver, length: int) -> None:
    wrapped = (sealed_by_pyca(b"cml-key-v1\1", os.urandom(32)) * 5)[:length]
    assert unwrap(native, 1, wrapped) == (Status.KEY_MALFORMED, bytes(32))


def test_what_is_no_point_is_malformed(native: Driver) -> None:
    good = sealed_by_pyca(b"cml-key-v1\1", os.urandom(32))
    x, y = good[1:33], good[33:65]
    points = {
        "zero": bytes(65),
        "origin": b"\4" + bytes(64),
        "hybrid form": bytes([6 + (y[-1] & 1)]) + x + y,
        "compressed form": bytes([2 + (y[-1] & 1)]) + x + y,
        "over the prime": b"\4" + b"\xff" * 64,
        "x is p": b"\4" + P.to_bytes(32, "big") + y,
        "off the curve": b"\4" + x + ((int.from_bytes(y, "big") + 1) % P).to_bytes(32, "big"),
    }
    for name, point in points.items():
        status, key = unwrap(native, 1, point + good[65:])
        assert (name, status, key) == (name, Status.KEY_MALFORMED, bytes(32))


def test_failures_of_the_cryptography_are_passed_on(native: Driver) -> None:
    message = sealed_by_pyca(b"", b"plain")
    calls = 0
    while True:
        status, plain = hpke_open(native, SCALAR, b"", b"", message, fail_call=calls)
        if status == Status.OK:
            break
        assert (status, plain) == (Status.NO_MEMORY, b"")
        calls += 1
    assert plain == b"plain"
    # Public key, ECDH, 2 for the shared secret, 5 for the schedule, cipher, opening it
    assert calls == 11


def test_point_encoding_is_the_one_that_is_told(native: Driver) -> None:
    """The recipient's own public key, which Decap() hashes, is the uncompressed point."""
    point = PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert len(point) == 65
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    message = PYCA.encrypt(b"k", public, info=b"i")
    assert hpke_open(native, SCALAR, b"i", b"", message) == (Status.OK, b"k")
