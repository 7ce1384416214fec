# SPDX-License-Identifier: Apache-2.0
"""COSE on the owner's side: key messages out, results in, and public keys in their forms.

The cryptography and the structures are cwt's. What comes from outside has been authenticated by
nobody when it is first read, so it is taken apart here, byte for byte as docs/wire-formats.md has
it, before a library sees it. Which layers a result must have is the caller's to say, never the
message's.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from cwt import COSE, COSEKey, Recipient
from cwt.cose_key_interface import COSEKeyInterface
from cwt.exceptions import CWTError

from sandbox.errors import GuestError

THUMBPRINT_BYTES = 32
KEY_BYTES = 32
# Headers (RFC 9052, 3.1; RFC 9360, 2), algorithms and key parameters (RFC 9053)
_ALG, _KID, _IV = 1, 4, 5
_ES256, _A256GCM, _ECDH_ES_A256KW = -7, 3, -31
_KTY, _KEY_ALG, _CRV, _X, _Y, _K = 1, 3, -1, -2, -3, -1
_EC2, _SYMMETRIC, _P256 = 2, 4, 1
_COORDINATE_BYTES = 32
_IV_BYTES, _TAG_BYTES, _SIGNATURE_BYTES = 12, 16, 64
_KEY_PURPOSE = "cml-key-v2"

# 16([<< {1: 3} >>, {5: a string of 12 bytes
_ENCRYPT0_BEGIN = bytes.fromhex("d08343a10103a1054c")
# 18([<< {1: -7} >>
_SIGN1_BEGIN = bytes.fromhex("d28443a10126")
# {4: a string of 32 bytes, alone or with 33: certificate after it
_KID_ALONE = bytes.fromhex("a1045820")
_KID_AND_MORE = bytes.fromhex("a2045820")
_X5CHAIN = bytes.fromhex("1821")
# {1: 2, -1: 1, -2: a string of 32 bytes; -3: another
_KEY_BEGIN = bytes.fromhex("a401022001215820")
_KEY_Y = bytes.fromhex("225820")


class CoseError(GuestError):
    """A COSE message or key that is not what it has to be, or does not open."""


class _Reader:
    """Takes bytes apart from the front; whatever is not as asked for is an error."""

    def __init__(self, data: bytes, what: str) -> None:
        self._rest = data
        self._what = what

    def _fail(self) -> CoseError:
        return CoseError(f"this is no {self._what} of docs/wire-formats.md")

    def next_is(self, start: bytes) -> bool:
        return self._rest.startswith(start)

    def expect(self, start: bytes) -> None:
        if not self.next_is(start):
            raise self._fail()
        self._rest = self._rest[len(start) :]

    def take(self, length: int) -> bytes:
        if len(self._rest) < length:
            raise self._fail()
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def byte_string(self) -> bytes:
        """Of any length, with the shortest head (RFC 8949, 4.2.1)."""
        (first,) = self.take(1)
        if first >> 5 != 2 or first & 31 > 26:
            raise self._fail()
        length = first & 31
        if length >= 24:
            size = 1 << (length - 24)
            length = int.from_bytes(self.take(size), "big")
            if length < (24 if size == 1 else 1 << (4 * size)):
                raise self._fail()
        return self.take(length)

    def end(self) -> None:
        if self._rest:
            raise self._fail()


def _coordinates(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    if not isinstance(key.curve, ec.SECP256R1):
        raise CoseError(f"a key of {key.curve.name}; only P-256 is used here")
    numbers = key.public_numbers()
    x, y = (number.to_bytes(_COORDINATE_BYTES, "big") for number in (numbers.x, numbers.y))
    return x, y


def _public_key(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y)
    except ValueError as error:
        raise CoseError("the key is no point of P-256") from error


def encode_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """COSE_Key (RFC 9052, 7), the four parameters that make the key, deterministically encoded."""
    x, y = _coordinates(key)
    return _KEY_BEGIN + x + _KEY_Y + y


def decode_key(data: bytes) -> ec.EllipticCurvePublicKey:
    reader = _Reader(data, "COSE_Key")
    reader.expect(_KEY_BEGIN)
    x = reader.take(_COORDINATE_BYTES)
    reader.expect(_KEY_Y)
    y = reader.take(_COORDINATE_BYTES)
    reader.end()
    return _public_key(x, y)


def key_from_map(fields: object) -> ec.EllipticCurvePublicKey:
    """The same for one that is part of another item, decoded: the claim `cnf`, for example."""
    if not isinstance(fields, Mapping):
        raise CoseError("this is no COSE_Key: not a map")
    x, y = fields.get(_X), fields.get(_Y)
    if not isinstance(x, bytes) or not isinstance(y, bytes):
        raise CoseError("the COSE_Key has no coordinates")
    # To Python, True and 1.0 equal 1.
    exact = all(type(part) in (int, bytes) for pair in fields.items() for part in pair)
    if not exact or dict(fields) != {_KTY: _EC2, _CRV: _P256, _X: x, _Y: y}:
        raise CoseError("the COSE_Key is none of P-256 alone")
    if (len(x), len(y)) != (_COORDINATE_BYTES, _COORDINATE_BYTES):
        raise CoseError("the COSE_Key's coordinates are not of P-256's size")
    return _public_key(x, y)


def thumbprint(key: ec.EllipticCurvePublicKey) -> bytes:
    """SHA-256 COSE Key thumbprint (RFC 9679): the `kid` of this key in messages."""
    return hashlib.sha256(encode_key(key)).digest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_jwk(key: ec.EllipticCurvePublicKey) -> str:
    """JSON Web Key (RFC 7517); `kid` is the COSE thumbprint in base64url."""
    x, y = _coordinates(key)
    jwk = {"kty": "EC", "crv": "P-256", "x": _base64url(x), "y": _base64url(y)}
    return json.dumps({**jwk, "kid": _base64url(thumbprint(key))})


def _jwk_coordinate(jwk: dict[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    # 32 bytes are 43 characters: nothing is taken that another reader might read otherwise
    if not isinstance(text, str) or len(text) != 43 or not text.isascii():
        raise CoseError(f"the JWK's {name!r} is no coordinate of P-256 in base64url")
    try:
        data = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise CoseError(f"the JWK's {name!r} is not base64url: {error}") from error
    if _base64url(data) != text:
        raise CoseError(f"the JWK's {name!r} is not base64url")
    return data


def from_jwk(text: str) -> ec.EllipticCurvePublicKey:
    try:
        jwk = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CoseError("this is no JWK: not JSON") from error
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise CoseError("this is no JWK of a P-256 key")
    if "d" in jwk:
        raise CoseError("this JWK is a private key; only public ones are taken")
    return _public_key(_jwk_coordinate(jwk, "x"), _jwk_coordinate(jwk, "y"))


def to_pem(key: ec.EllipticCurvePublicKey) -> str:
    """SubjectPublicKeyInfo (RFC 5280), as OpenSSL reads it."""
    _coordinates(key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def from_pem(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CoseError(f"this is no public key in PEM: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CoseError("this PEM is no key of P-256")
    _coordinates(key)
    return key


def _cose_key(
    key: ec.EllipticCurvePublicKey, alg: int, kid: bytes | None = None
) -> COSEKeyInterface:
    x, y = _coordinates(key)
    fields: dict[int, object] = {_KTY: _EC2, _KEY_ALG: alg, _CRV: _P256, _X: x, _Y: y}
    if kid is not None:
        fields[2] = kid
    return COSEKey.new(fields)


def _symmetric(key: bytes) -> COSEKeyInterface:
    return COSEKey.new({_KTY: _SYMMETRIC, _KEY_ALG: _A256GCM, _K: key})


def encrypt(plain: bytes, to: ec.EllipticCurvePublicKey, external_aad: bytes = b"") -> bytes:
    """COSE_Encrypt for one recipient: ECDH-ES + A256KW, A256GCM."""
    recipient = Recipient.new(
        protected={_ALG: _ECDH_ES_A256KW},
        unprotected={_KID: thumbprint(to)},
        recipient_key=_cose_key(to, _ECDH_ES_A256KW),
        context={"alg": "A256KW"},
    )
    message: bytes = COSE.new().encode(
        plain,
        _symmetric(os.urandom(KEY_BYTES)),
        protected={_ALG: _A256GCM},
        unprotected={_IV: os.urandom(_IV_BYTES)},
        recipients=[recipient],
        external_aad=external_aad,
    )
    return message


def key_message(
    key: bytes, slot: int, to: ec.EllipticCurvePublicKey, challenge: bytes = b""
) -> bytes:
    """`key` for the TA whose wrapping key is `to`; it opens in this slot, with this challenge."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {KEY_BYTES} bytes, not of {len(key)}")
    return encrypt(key, to, cbor2.dumps([_KEY_PURPOSE, slot, challenge]))


def decrypt0(message: bytes, key: bytes, external_aad: bytes = b"") -> bytes:
    """The content of a COSE_Encrypt0 with A256GCM."""
    reader = _Reader(message, "COSE_Encrypt0")
    reader.expect(_ENCRYPT0_BEGIN)
    reader.take(_IV_BYTES)
    if len(reader.byte_string()) < _TAG_BYTES:
        raise CoseError("the COSE_Encrypt0 is too short to be authentic")
    reader.end()
    try:
        plain: bytes = COSE.new().decode(message, _symmetric(key), external_aad=external_aad)
    except (CWTError, ValueError) as error:
        raise CoseError(
            "the COSE_Encrypt0 does not open: it was altered, or belongs to something else"
        ) from error
    return plain


@dataclass(frozen=True)
class Signed:
    """What a verified COSE_Sign1 says."""

    payload: bytes
    kid: bytes
    # Of the header x5chain, in DER: not authenticated, and not looked at here
    certificate: bytes | None


def verify1(message: bytes, key: ec.EllipticCurvePublicKey, external_aad: bytes = b"") -> Signed:
    """A COSE_Sign1 with ES256 by `key`."""
    reader = _Reader(message, "COSE_Sign1")
    reader.expect(_SIGN1_BEGIN)
    has_certificate = reader.next_is(_KID_AND_MORE)
    reader.expect(_KID_AND_MORE if has_certificate else _KID_ALONE)
    kid = reader.take(THUMBPRINT_BYTES)
    certificate = None
    if has_certificate:
        reader.expect(_X5CHAIN)
        certificate = reader.byte_string()
    payload = reader.byte_string()
    if len(reader.byte_string()) != _SIGNATURE_BYTES:
        raise CoseError("the COSE_Sign1's signature is not of ES256's size")
    reader.end()
    if kid != thumbprint(key):
        raise CoseError("the COSE_Sign1 is by another key than expected, as its kid says")
    try:
        verified = COSE.new().decode(
            message, _cose_key(key, _ES256, kid), external_aad=external_aad
        )
    except (CWTError, ValueError) as error:
        raise CoseError(
            "the COSE_Sign1's signature is wrong: it was altered, or belongs to something else"
        ) from error
    if verified != payload:
        raise CoseError("the COSE_Sign1 was read in two ways")
    return Signed(payload, kid, certificate)


def open_result(
    message: bytes,
    *,
    key: bytes | None,
    signer: ec.EllipticCurvePublicKey | None,
    external_aad: bytes = b"",
) -> bytes:
    """COSE_Encrypt0 (if `key`) around COSE_Sign1 (if `signer`) around what is returned.

    Both layers are bound to `external_aad`.
    """
    if key is not None:
        message = decrypt0(message, key, external_aad)
    if signer is not None:
        message = verify1(message, signer, external_aad).payload
    return message
