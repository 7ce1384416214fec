# SPDX-License-Identifier: Apache-2.0
"""Sealed results, against cwt (COSE) and against RFC 9052 by hand."""

import os
import struct

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cwt import COSE, COSEKey
from cwt.exceptions import CWTError
from driver import Driver

from sandbox.owner import cose
from sandbox.tee_abi import RESULT_MAX_BYTES, TENSORS_MAX_BYTES, RequestFlag, Status

DATA_KEY = os.urandom(32)
SCALAR = 0x1234567890
SIGNER = ec.derive_private_key(SCALAR, ec.SECP256R1()).public_key()
AAD = os.urandom(32)


def result_key(data_key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"cml-result-v1").derive(data_key)


def seal(
    native: Driver, plain: bytes, aad: bytes = AAD, room: int = RESULT_MAX_BYTES, flags: int = 0
) -> tuple[int, bytes]:
    request = struct.pack("<II", room, flags) + DATA_KEY + SCALAR.to_bytes(32, "big")
    return native.call("result_seal", request + struct.pack("<I", len(aad)) + aad + plain)


def cose_key(key: bytes) -> COSEKey:
    return COSEKey.new({1: 4, 3: 3, -1: key})


# Around the sizes at which CBOR's length of a byte string grows: 24 and 256, tag included
@pytest.mark.parametrize("length", [0, 1, 7, 8, 239, 240, 255, 256, 1000, 16000])
def test_opens_as_cose_encrypt0(native: Driver, length: int) -> None:
    plain = os.urandom(length)
    status, message = seal(native, plain)
    assert status == Status.OK
    opened = COSE.new().decode(message, cose_key(result_key(DATA_KEY)), external_aad=AAD)
    assert opened == plain

    tagged = cbor2.loads(message)
    assert tagged.tag == 16
    protected, unprotected, ciphertext = tagged.value
    assert cbor2.loads(protected) == {1: 3}
    assert list(unprotected) == [5]
    assert len(unprotected[5]) == 12
    structure = cbor2.dumps(["Encrypt0", protected, AAD])
    by_hand = AESGCM(result_key(DATA_KEY)).decrypt(unprotected[5], ciphertext, structure)
    assert by_hand == plain
    # Shortest form throughout
    assert cbor2.dumps(tagged) == message


@pytest.mark.parametrize("length", [0, 1, 23, 24, 32])
def test_external_aad_of_every_length(native: Driver, length: int) -> None:
    aad = os.urandom(length)
    status, message = seal(native, b"plain", aad)
    assert status == Status.OK
    key = cose_key(result_key(DATA_KEY))
    assert COSE.new().decode(message, key, external_aad=aad) == b"plain"
    with pytest.raises(CWTError):
        COSE.new().decode(message, key, external_aad=aad + b"!")


def test_other_keys_do_not_open(native: Driver) -> None:
    _, message = seal(native, b"plain")
    for key in (DATA_KEY, result_key(os.urandom(32))):
        with pytest.raises(CWTError):
            COSE.new().decode(message, cose_key(key), external_aad=AAD)


def test_each_seal_has_its_own_nonce(native: Driver) -> None:
    nonces = {cbor2.loads(seal(native, b"same")[1]).value[1][5] for _ in range(50)}
    assert len(nonces) == 50


def test_room(native: Driver) -> None:
    """One byte too little writes nothing at all (the driver's block is exact, under ASan)."""
    needed = len(seal(native, bytes(100))[1])
    assert seal(native, bytes(100), room=needed)[0] == Status.OK
    for room in (0, 1, 8, 20, needed - 1):
        assert seal(native, bytes(100), room=room) == (Status.INTERNAL, b"")


def test_limits(native: Driver) -> None:
    assert seal(native, b"", os.urandom(257)) == (Status.INTERNAL, b"")
    room = TENSORS_MAX_BYTES + 4096
    assert seal(native, bytes(TENSORS_MAX_BYTES + 1), room=room) == (Status.INTERNAL, b"")
    for size in (65535, 65536, TENSORS_MAX_BYTES):
        assert seal(native, bytes(size), room=room)[0] == Status.OK


@pytest.mark.parametrize("flags", [RequestFlag.SIGNED, RequestFlag.SIGNED | RequestFlag.CLEAR])
@pytest.mark.parametrize("length", [0, 100, 255, 256, 16000])
def test_signed_results_open_at_the_owners(native: Driver, flags: RequestFlag, length: int) -> None:
    plain = os.urandom(length)
    status, message = seal(native, plain, flags=flags)
    assert status == Status.OK
    assert len(message) <= length + 192  # CML_RESULT_SEAL_SIZE
    key = None if RequestFlag.CLEAR in flags else result_key(DATA_KEY)
    opened = cose.open_result(message, key=key, signer=SIGNER, external_aad=AAD)
    assert opened == plain
    other = ec.derive_private_key(SCALAR + 1, ec.SECP256R1()).public_key()
    for bent in ({"signer": other}, {"external_aad": bytes(32)}):
        with pytest.raises(cose.CoseError):
            cose.open_result(message, **{"key": key, "signer": SIGNER, "external_aad": AAD, **bent})
    needed = len(message)
    assert seal(native, plain, room=needed, flags=flags)[0] == Status.OK
    for room in (0, 100, needed - 1):
        assert seal(native, plain, room=room, flags=flags) == (Status.INTERNAL, b"")


def test_a_result_that_is_neither_signed_nor_encrypted_is_not_made(native: Driver) -> None:
    assert seal(native, b"plain", flags=RequestFlag.CLEAR) == (Status.INTERNAL, b"")
