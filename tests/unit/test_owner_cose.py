# SPDX-License-Identifier: Apache-2.0
"""sandbox/owner/cose.py with messages and keys from cwt and from by hand, and with bent ones.

What the TA makes of its messages, and makes for it, is in tests/core_host/test_cose.py.
"""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSEKey
from hypothesis import given
from hypothesis import strategies as st

from sandbox.owner import cose
from sandbox.owner.cose import CoseError

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PRIVATE.public_key()
OTHER = ec.generate_private_key(ec.SECP256R1())
KEY = os.urandom(32)
AAD = b"bound to this"
ES256, A256GCM = cbor2.dumps({1: -7}), cbor2.dumps({1: 3})


def signed(
    payload: bytes = b"payload",
    aad: bytes = AAD,
    private: ec.EllipticCurvePrivateKey = PRIVATE,
    header: dict[Any, Any] | None = None,
) -> list[Any]:
    """By hand, from RFC 9052, 4.4."""
    structure = cbor2.dumps(["Signature1", ES256, aad, payload])
    r, s = decode_dss_signature(private.sign(structure, ec.ECDSA(SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    kid = {4: cose.thumbprint(private.public_key())}
    return [ES256, kid if header is None else header, payload, signature]


def encrypted(plain: bytes = b"plain", aad: bytes = AAD, key: bytes = KEY) -> list[Any]:
    """By hand, from RFC 9052, 5.3."""
    iv = os.urandom(12)
    sealed = AESGCM(key).encrypt(iv, plain, cbor2.dumps(["Encrypt0", A256GCM, aad]))
    return [A256GCM, {5: iv}, sealed]


def pack(tag: int, fields: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, fields))


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65535, 65536])
def test_messages_by_hand(length: int) -> None:
    content = os.urandom(length)
    result = cose.verify1(pack(18, signed(content)), PUBLIC, AAD)
    assert result == cose.Signed(content, cose.thumbprint(PUBLIC), None)
    assert cose.decrypt0(pack(16, encrypted(content)), KEY, AAD) == content


def test_both_layers_or_one_or_none() -> None:
    inner = pack(18, signed())
    both = pack(16, encrypted(inner))
    outer = pack(16, encrypted(b"payload"))
    for message, key, signer in (
        (both, KEY, PUBLIC),
        (outer, KEY, None),
        (inner, None, PUBLIC),
        (b"payload", None, None),
    ):
        opened = cose.open_result(message, key=key, signer=signer, external_aad=AAD)
        assert opened == b"payload"


def test_a_message_cannot_have_fewer_layers_than_asked_for() -> None:
    inner = pack(18, signed())
    both = pack(16, encrypted(inner))
    for message, key, signer in (
        (inner, KEY, PUBLIC),
        (b"payload", KEY, PUBLIC),
        (b"payload", None, PUBLIC),
        (pack(16, encrypted(b"payload")), KEY, PUBLIC),
        (both, None, PUBLIC),
    ):
        with pytest.raises(CoseError):
            cose.open_result(message, key=key, signer=signer, external_aad=AAD)


def test_other_keys_and_other_bindings() -> None:
    sign1, encrypt0 = pack(18, signed()), pack(16, encrypted())
    with pytest.raises(CoseError, match="another key"):
        cose.verify1(sign1, OTHER.public_key(), AAD)
    with pytest.raises(CoseError, match="signature is wrong"):
        cose.verify1(sign1, PUBLIC, b"")
    forged = signed(private=OTHER, header={4: cose.thumbprint(PUBLIC)})
    with pytest.raises(CoseError, match="signature is wrong"):
        cose.verify1(pack(18, forged), PUBLIC, AAD)
    for key, aad in ((os.urandom(32), AAD), (KEY, b"")):
        with pytest.raises(CoseError, match="does not open"):
            cose.decrypt0(encrypt0, key, aad)


def test_certificate_in_the_header() -> None:
    header = {4: cose.thumbprint(PUBLIC), 33: b"certificate"}
    result = cose.verify1(pack(18, signed(header=header)), PUBLIC, AAD)
    assert result.certificate == b"certificate"


def bent(good: list[Any], tag: int) -> list[bytes]:
    found = [pack(other, good) for other in (16, 17, 18, 96, 97, 98) if other != tag]
    found += [cbor2.dumps(good), pack(tag, good[:-1]), pack(tag, [*good, b""]), pack(tag, {})]
    for position in range(len(good)):
        for other in (None, 1, "text", b"", [], {}, cbor2.dumps({})):
            if other != good[position]:
                found.append(pack(tag, [*good[:position], other, *good[position + 1 :]]))
    for header in ({}, {1: 3}, {**good[1], 1: -7}, {**good[1], 2: [1]}, {**good[1], 99: b""}):
        found.append(pack(tag, [good[0], header, *good[2:]]))
    message = pack(tag, good)
    found += [message[:length] for length in range(len(message))]
    found += [message + b"\0", message[:1] + b"\x98" + bytes([len(good)]) + message[2:]]
    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 1 << (position % 8)
        found.append(bytes(altered))
    return found


def test_bent_messages() -> None:
    count = 0
    for message in bent(signed(), 18):
        with pytest.raises(CoseError):
            cose.verify1(message, PUBLIC, AAD)
        count += 1
    for message in bent(encrypted(), 16):
        with pytest.raises(CoseError):
            cose.decrypt0(message, KEY, AAD)
        count += 1
    assert count > 350


def test_longer_heads_are_refused() -> None:
    fields = signed()
    message = pack(18, fields)
    head = message.index(b"\x47payload")
    for longer in ("5807", "590007", "5a00000007", "5b0000000000000007", "5f47"):
        rest = message[head + 1 :]
        if longer == "5f47":
            rest = b"payload\xff" + rest[7:]
        other = message[:head] + bytes.fromhex(longer) + rest
        assert cbor2.loads(other).value == fields
        with pytest.raises(CoseError):
            cose.verify1(other, PUBLIC, AAD)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", bytes.fromhex("d08343a10103a1054c"), bytes.fromhex("d28443a10126")):
        with pytest.raises(CoseError):
            cose.decrypt0(start + data, KEY, AAD)
        with pytest.raises(CoseError):
            cose.verify1(start + data, PUBLIC, AAD)


# RFC 9679, 6
EXAMPLE = bytes.fromhex(
    "a40102200121582065eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"
    "2258201e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"
)


def test_published_thumbprint() -> None:
    expected = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    assert cose.thumbprint(cose.decode_key(EXAMPLE)).hex() == expected


def test_forms_of_a_key() -> None:
    for _ in range(50):
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        assert cose.decode_key(cose.encode_key(key)) == key
        assert cose.from_jwk(cose.to_jwk(key)) == key
        assert cose.from_pem(cose.to_pem(key)) == key
        # cwt reads our JWK as the same key
        assert COSEKey.from_jwk(cose.to_jwk(key)).to_dict()[-2] == cose.encode_key(key)[8:40]
    jwk = json.loads(cose.to_jwk(PUBLIC))
    assert sorted(jwk) == ["crv", "kid", "kty", "x", "y"]
    assert base64.urlsafe_b64decode(jwk["kid"] + "=") == cose.thumbprint(PUBLIC)


def key_map() -> dict[Any, Any]:
    decoded: dict[Any, Any] = cbor2.loads(EXAMPLE)
    return decoded


@pytest.mark.parametrize(
    "data",
    [
        b"",
        EXAMPLE[:-1],
        EXAMPLE + b"\0",
        cbor2.dumps({**key_map(), 3: -7}),
        cbor2.dumps({**key_map(), -1: 2}),
        cbor2.dumps({**key_map(), -3: True}),
        cbor2.dumps({**key_map(), -3: bytes(32)}),
        cbor2.dumps({**key_map(), -2: b"\xff" * 32}),
        cbor2.dumps(dict(reversed(key_map().items()))),
        b"\xbf" + EXAMPLE[1:] + b"\xff",
    ],
)
def test_bent_key(data: bytes) -> None:
    with pytest.raises(CoseError):
        cose.decode_key(data)


def test_key_in_another_item() -> None:
    assert cose.key_from_map(key_map()) == cose.decode_key(EXAMPLE)
    good = key_map()
    bent: list[object] = [None, b"", [], {}, {**good, 3: -7}, {**good, 1: 1}, {**good, -1: 2}]
    for label in good:
        bent.append({name: value for name, value in good.items() if name != label})
        bent += [{**good, label: other} for other in (None, True, 1.0, "text", b"", bytes(32), [])]
    bent += [{**good, -2: good[-2] + b"\0"}, {**good, -3: good[-3][1:]}]
    for fields in bent:
        with pytest.raises(CoseError):
            cose.key_from_map(fields)


def change_jwk(**changes: Any) -> str:
    jwk = {**json.loads(cose.to_jwk(PUBLIC)), **changes}
    return json.dumps({name: value for name, value in jwk.items() if value is not None})


@pytest.mark.parametrize(
    "make",
    [
        lambda: "",
        lambda: "{",
        lambda: "[]",
        lambda: "[" * 100000,
        lambda: change_jwk(kty="RSA"),
        lambda: change_jwk(crv="P-384"),
        lambda: change_jwk(crv=None),
        lambda: change_jwk(x=None),
        lambda: change_jwk(y=7),
        lambda: change_jwk(x=""),
        lambda: change_jwk(x="A" * 43),
        lambda: change_jwk(x="A" * 42 + "B"),
        lambda: change_jwk(y="+" * 43),
        lambda: change_jwk(y="ä" * 43),
        lambda: change_jwk(d="A" * 43),
    ],
)
def test_bent_jwk(make: Callable[[], str]) -> None:
    with pytest.raises(CoseError):
        cose.from_jwk(make())


def test_bent_pem() -> None:
    def pem(key: Any) -> str:
        text: str = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return text

    others = [
        "",
        "hello",
        cose.to_pem(PUBLIC)[:80],
        pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
        pem(ed25519.Ed25519PrivateKey.generate().public_key()),
    ]
    for text in others:
        with pytest.raises(CoseError):
            cose.from_pem(text)


def test_only_p256_is_encoded() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    encoders: list[Callable[[ec.EllipticCurvePublicKey], object]] = [
        cose.encode_key,
        cose.thumbprint,
        cose.to_jwk,
        cose.to_pem,
    ]
    for encode in encoders:
        with pytest.raises(CoseError):
            encode(other)


def test_key_message_has_a_key_of_32_bytes() -> None:
    for length in (0, 16, 31, 33):
        with pytest.raises(ValueError, match="32"):
            cose.key_message(bytes(length), 1, PUBLIC)
    tagged = cbor2.loads(cose.key_message(KEY, 1, PUBLIC, bytes(16)))
    assert tagged.tag == 96
    assert tagged.value[3][0][1][4] == cose.thumbprint(PUBLIC)
