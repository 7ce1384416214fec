# SPDX-License-Identifier: Apache-2.0
"""COSE messages of ta/core, both ways with cwt and with pycose, and against published vectors."""

import hashlib
import hmac
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cwt import COSE, COSEKey, Recipient
from cwt.exceptions import CWTError
from driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st
from pycose.algorithms import A256GCM, EcdhEsA256KW
from pycose.headers import IV, KID, Algorithm, StaticKey
from pycose.keys import EC2Key, SymmetricKey
from pycose.keys.curves import P256
from pycose.messages import Enc0Message, EncMessage, Sign1Message
from pycose.messages.recipient import KeyAgreementWithKeyWrap

from sandbox.owner import cose
from sandbox.tee_abi import Status

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PRIVATE.public_key()
OTHER = ec.generate_private_key(ec.SECP256R1())
AAD = b"bound to this"
NO_FAILURE = -1
CHALLENGE = bytes(range(16))


def scalar_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


def xy(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return b"\4" + b"".join(xy(key))


def cose_key_map(key: ec.EllipticCurvePublicKey) -> dict[int, Any]:
    x, y = xy(key)
    return {1: 2, -1: 1, -2: x, -3: y}


def kid_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """By hand: not with the code that is tested."""
    return hashlib.sha256(cbor2.dumps(cose_key_map(key), canonical=True)).digest()


def string(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def encrypt_open(
    native: Driver,
    message: bytes,
    aad: bytes = AAD,
    *,
    key: ec.EllipticCurvePrivateKey = PRIVATE,
    room: int = 4096,
    fail_call: int = NO_FAILURE,
) -> tuple[int, bytes]:
    head = struct.pack("<qI", fail_call, room) + scalar_of(key)
    return native.call("encrypt_open", head + string(aad) + message)


def by_cwt(
    plain: bytes,
    aad: bytes = AAD,
    *,
    to: ec.EllipticCurvePublicKey = PUBLIC,
    context: Any = None,
    kid: bytes | None = None,
) -> bytes:
    recipient = Recipient.new(
        protected={1: -31},
        unprotected={4: kid or kid_of(to)},
        recipient_key=COSEKey.new(cose_key_map(to)),
        context=context or {"alg": "A256KW"},
    )
    content_key = COSEKey.generate_symmetric_key(alg="A256GCM")
    return COSE.new().encode(
        plain, content_key, protected={1: 3}, recipients=[recipient], external_aad=aad
    )


def pycose_public(key: ec.EllipticCurvePublicKey) -> EC2Key:
    x, y = xy(key)
    return EC2Key(crv=P256, x=x, y=y)


def by_pycose(plain: bytes, aad: bytes = AAD, *, to: ec.EllipticCurvePublicKey = PUBLIC) -> bytes:
    recipient = KeyAgreementWithKeyWrap(phdr={Algorithm: EcdhEsA256KW}, uhdr={KID: kid_of(to)})
    recipient.local_attrs = {StaticKey: pycose_public(to)}
    message = EncMessage(
        phdr={Algorithm: A256GCM},
        uhdr={IV: os.urandom(12)},
        payload=plain,
        external_aad=aad,
        recipients=[recipient],
    )
    return message.encode()


SEALERS = [cose.encrypt, by_cwt, by_pycose]


def seal_with(seal: Callable[..., bytes], plain: bytes, aad: bytes = AAD) -> bytes:
    return seal(plain, PUBLIC, aad) if seal is cose.encrypt else seal(plain, aad)


@pytest.mark.parametrize("length", [0, 1, 32, 500, 4000])
@pytest.mark.parametrize("seal", SEALERS)
def test_what_python_seals_opens(native: Driver, seal: Callable[..., bytes], length: int) -> None:
    plain = os.urandom(length)
    message = seal_with(seal, plain)
    assert encrypt_open(native, message) == (Status.OK, plain)
    assert encrypt_open(native, message, AAD + b"!") == (Status.COSE_OPEN, b"")
    assert encrypt_open(native, message, b"") == (Status.COSE_OPEN, b"")
    assert encrypt_open(native, message, key=OTHER) == (Status.COSE_RECIPIENT, b"")
    assert encrypt_open(native, message, room=length) == (Status.OK, plain)
    if length:
        assert encrypt_open(native, message, room=length - 1) == (Status.COSE_LIMIT, b"")


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 257])
def test_external_aad_of_every_length(native: Driver, length: int) -> None:
    aad = os.urandom(length)
    expected = (Status.OK, b"plain") if length <= 256 else (Status.INTERNAL, b"")
    assert encrypt_open(native, by_cwt(b"plain", aad), aad) == expected


def test_owners_encryption_opens_with_pycose() -> None:
    """And so the two Python libraries agree on the context of the key derivation."""
    message = EncMessage.decode(cose.encrypt(b"plain", PUBLIC, AAD))
    message.external_aad = AAD
    (recipient,) = message.recipients
    x, y = xy(PUBLIC)
    recipient.key = EC2Key(crv=P256, x=x, y=y, d=scalar_of(PRIVATE))
    assert message.decrypt(recipient) == b"plain"


def test_kdf_context_is_rfc_9053s(native: Driver) -> None:
    """Other algorithm, party, key length or protected header: another key, so nothing opens."""
    protected = cbor2.dumps({1: -31})
    good = [-5, [None] * 3, [None] * 3, [256, protected]]
    assert encrypt_open(native, by_cwt(b"p", context=good)) == (Status.OK, b"p")
    others = [
        [-5, [b"u", None, None], [None] * 3, [256, protected]],
        [-5, [None] * 3, [None, b"n", None], [256, protected]],
        [-5, [None] * 3, [None] * 3, [256, protected, b"other"]],
        [-5, [None] * 3, [None] * 3, [128, protected]],
        [-5, [None] * 3, [None] * 3, [256, cbor2.dumps({})]],
        [3, [None] * 3, [None] * 3, [256, protected]],
    ]
    for context in others:
        result = encrypt_open(native, by_cwt(b"p", context=context))
        assert (context, result) == (context, (Status.COSE_UNWRAP, b""))


# github.com/cose-wg/Examples, ecdh-wrap-examples/p256-wrap-256-01: recipient, ephemeral key, KEK
EXAMPLE_D = "aff907c99f9ad3aae6c4cdf21122bce2bd68b5283e6907154ad911840fa208cf"
EXAMPLE_EPHEMERAL = (
    "3fc1141f492fdb3b33122be61b31bafd860798db190e07831fb7a2e42713f4ca",
    "fc09d3def88ea52953b51f48955bfac1ac79b4286f0673519a4a71fc18b62869",
)
EXAMPLE_SECRET = "8bed545f07a7f39bd7179403c94e7d9862d0a5630217c289b8b4d953490d6d9e"
EXAMPLE_CONTEXT = "842483f6f6f683f6f6f68219010044a101381e"
EXAMPLE_KEK = "185e6208b1e0abee41fcd0890318ffe5320b5fb2d66b4976f7a51a9493e5b502"
EXAMPLE_WRAPPED = "e00e25b58aeadde5a475f1d69d2a2c199e5c1f231c5b164a"
EXAMPLE_CONTENT_KEY = "b2353161740aacf1f7163647984b522a"


def test_published_key_agreement(native: Driver) -> None:
    private = ec.derive_private_key(int(EXAMPLE_D, 16), ec.SECP256R1())
    assert xy(private.public_key()) == (EXAMPLE_X, EXAMPLE_Y)
    x, y = (bytes.fromhex(number) for number in EXAMPLE_EPHEMERAL)
    ephemeral = {1: 2, -1: 1, -2: x, -3: y}
    kek = bytes.fromhex(EXAMPLE_KEK)
    unwrapped = native.call("aes_kw", kek + bytes.fromhex(EXAMPLE_WRAPPED))
    assert unwrapped == (Status.OK, bytes.fromhex(EXAMPLE_CONTENT_KEY))
    derived = string(b"") + string(bytes.fromhex(EXAMPLE_CONTEXT)) + struct.pack("<I", 32)
    assert native.call("hkdf", derived + bytes.fromhex(EXAMPLE_SECRET)) == (Status.OK, kek)

    # The example's content is A128GCM's. With a content key of ours, wrapped with its KEK, the
    # message opens exactly if the same KEK comes of the two keys.
    content_key, iv, protected = os.urandom(32), os.urandom(12), cbor2.dumps({1: 3})
    structure = cbor2.dumps(["Encrypt", protected, AAD])
    recipient = [
        cbor2.dumps({1: -31}),
        {4: kid_of(private.public_key()), -1: ephemeral},
        aes_key_wrap(kek, content_key),
    ]
    sealed = AESGCM(content_key).encrypt(iv, b"content", structure)
    message = cbor2.dumps(cbor2.CBORTag(96, [protected, {5: iv}, sealed, [recipient]]))
    assert encrypt_open(native, message, key=private) == (Status.OK, b"content")


def test_failures_of_the_cryptography_are_passed_on(native: Driver) -> None:
    message = by_cwt(b"plain")
    calls = 0
    while (opened := encrypt_open(native, message, fail_call=calls))[0] != Status.OK:
        assert opened == (Status.NO_MEMORY, b"")
        calls += 1
    assert opened[1] == b"plain"
    # ECDH, 2 for the derivation, the wrapping cipher and its 24 blocks, the content's cipher twice
    assert calls == 1 + 2 + 25 + 2


# How a message can be bent: a path into the decoded message, and what stands there then.
# The path goes through the byte strings that hold headers, too.
GOOD = by_cwt(os.urandom(32))
MALFORMED, HEADER = Status.COSE_MALFORMED, Status.COSE_HEADER
ALGORITHM, KEY = Status.COSE_ALGORITHM, Status.COSE_KEY
ANOTHER_TYPE: list[Any] = [None, True, 1.5, "text", 7, b"bytes", [], {}, cbor2.CBORTag(1, 2)]


def parts() -> dict[str, Any]:
    """The message as Python's values, with names for what the tests alter."""
    body_protected, body, sealed, ((protected, unprotected, wrapped),) = cbor2.loads(GOOD).value
    return {
        "tag": 96,
        "body_protected": body_protected,
        "body": body,
        "sealed": sealed,
        "protected": protected,
        "unprotected": unprotected,
        "wrapped": wrapped,
    }


def joined(parts: dict[str, Any]) -> bytes:
    recipients = parts.get(
        "recipients", [[parts["protected"], parts["unprotected"], parts["wrapped"]]]
    )
    body = [parts["body_protected"], parts["body"], parts["sealed"], recipients]
    return cbor2.dumps(cbor2.CBORTag(parts["tag"], parts.get("array", body)))


def test_taken_apart_and_joined_it_opens(native: Driver) -> None:
    assert encrypt_open(native, joined(parts()))[0] == Status.OK


def bent() -> Iterator[tuple[str, dict[str, Any], set[int]]]:
    good = parts()
    key = good["unprotected"][-1]
    for field in ("body_protected", "sealed", "protected", "wrapped"):
        for other in ANOTHER_TYPE:
            if not isinstance(other, bytes):
                yield f"{field}: {other!r}", {field: other}, {MALFORMED}
    for field in ("body", "unprotected", "recipients", "array"):
        for other in ANOTHER_TYPE:
            yield f"{field}: {other!r}", {field: other}, {MALFORMED, HEADER}
    for tag in (16, 17, 18, 95, 97, 98, 0, 2, 55799):
        yield f"tag {tag}", {"tag": tag}, {MALFORMED}
    for field, alg in (("body_protected", 3), ("protected", -31)):
        for header, expected in (
            ({}, {HEADER}),
            ({1: alg, 4: b"k"}, {HEADER}),
            ({2: [1], 1: alg}, {HEADER}),
            ({5: b"i" * 12}, {HEADER}),
            ({1: alg + 1}, {ALGORITHM}),
            ({1: -6}, {ALGORITHM}),
            ({1: "A256GCM"}, {MALFORMED}),
            ({1: None}, {MALFORMED}),
            ({"1": alg}, {MALFORMED}),
            ([1, alg], {MALFORMED}),
            (alg, {MALFORMED}),
        ):
            yield f"{field} {header}", {field: cbor2.dumps(header)}, expected
        yield f"{field} empty", {field: b""}, {HEADER}
        yield f"{field} junk after", {field: cbor2.dumps({1: alg}) + b"\0"}, {MALFORMED}
        twice = b"\xa2" + 2 * cbor2.dumps({1: alg})[1:]
        yield f"{field} twice", {field: twice}, {HEADER}
    iv = good["body"][5]
    for body, expected in (
        ({}, {HEADER}),
        ({5: iv[:-1]}, {HEADER}),
        ({5: iv + b"\0"}, {HEADER}),
        ({5: b""}, {HEADER}),
        ({5: "x" * 12}, {MALFORMED}),
        ({6: iv}, {HEADER}),
        ({5: iv, 6: b"p"}, {HEADER}),
        ({5: iv, 1: 3}, {HEADER}),
        ({5: iv, "x": 1}, {HEADER}),
    ):
        yield f"body {list(body)}", {"body": body}, expected
    kid = good["unprotected"][4]
    for unprotected, expected in (
        ({}, {HEADER}),
        ({4: kid}, {HEADER}),
        ({-1: key}, {HEADER}),
        ({4: kid, -2: key}, {HEADER}),
        ({4: kid, -1: key, 1: -31}, {HEADER}),
        ({4: kid, -1: key, 33: b"c"}, {HEADER}),
        ({4: kid, -1: key, "x": 1}, {MALFORMED}),
        ({4: kid[:-1], -1: key}, {Status.COSE_RECIPIENT}),
        ({4: kid + b"\0", -1: key}, {Status.COSE_RECIPIENT}),
        ({4: b"", -1: key}, {Status.COSE_RECIPIENT}),
        ({4: 1, -1: key}, {MALFORMED}),
        ({4: "kid", -1: key}, {MALFORMED}),
    ):
        yield f"unprotected {list(unprotected)}", {"unprotected": unprotected}, expected
    for name, bent_key, expected in bent_keys(key):
        yield f"ephemeral {name}", {"unprotected": {4: kid, -1: bent_key}}, expected
    recipient = [good["protected"], good["unprotected"], good["wrapped"]]
    for recipients in ([], [recipient] * 2, [recipient[:2]], [[*recipient, []]], [[]], recipient):
        yield f"{len(recipients)} recipients", {"recipients": recipients}, {MALFORMED}
    body = [good["body_protected"], good["body"], good["sealed"], [recipient]]
    for array in (body[:3], [*body, b""], [body], body[::-1]):
        yield f"array of {len(array)}", {"array": array}, {MALFORMED}
    for cut in (0, 8, 16, 39, 41, 48):
        yield f"wrapped of {cut}", {"wrapped": bytes(cut)}, {MALFORMED}
    for length in (0, 1, 15):
        yield f"sealed of {length}", {"sealed": bytes(length)}, {MALFORMED}
    yield "sealed of 16", {"sealed": bytes(16)}, {Status.COSE_OPEN}


def bent_keys(key: dict[int, Any]) -> Iterator[tuple[str, Any, set[int]]]:
    for label in key:
        yield f"without {label}", {k: v for k, v in key.items() if k != label}, {KEY}
        for other in ANOTHER_TYPE:
            yield f"{label}: {other!r}", {**key, label: other}, {KEY, MALFORMED}
    yield "with alg", {**key, 3: -31}, {KEY}
    yield "with kid", {**key, 2: b"k"}, {KEY}
    yield "private", {**key, -4: bytes(32)}, {KEY}
    yield "with text", {**key, "x": 1}, {MALFORMED, KEY}
    yield "of OKP", {**key, 1: 1}, {KEY}
    yield "of P-384", {**key, -1: 2}, {KEY}
    yield "compressed", {**key, -3: True}, {KEY, MALFORMED}
    yield "origin", {**key, -2: bytes(32), -3: bytes(32)}, {KEY}
    yield "x is p", {**key, -2: P.to_bytes(32, "big")}, {KEY}
    yield "off the curve", {**key, -3: key[-3][:-1] + bytes([key[-3][-1] ^ 1])}, {KEY}
    yield "short x", {**key, -2: key[-2][1:]}, {KEY}
    yield "long y", {**key, -3: b"\0" + key[-3]}, {KEY}


@pytest.mark.parametrize("case", list(bent()), ids=lambda case: case[0])
def test_bent_message_is_named(native: Driver, case: tuple[str, dict[str, Any], set[int]]) -> None:
    _, change, expected = case
    status, plain = encrypt_open(native, joined({**parts(), **change}))
    assert (status in expected, plain) == (True, b""), Status(status)


def test_order_of_header_parameters_does_not_matter(native: Driver) -> None:
    good = parts()
    unprotected = dict(reversed(good["unprotected"].items()))
    unprotected[-1] = dict(reversed(unprotected[-1].items()))
    message = joined({**good, "unprotected": unprotected})
    assert message != GOOD
    assert encrypt_open(native, message)[0] == Status.OK


def test_parameters_that_come_twice(native: Driver) -> None:
    """cbor2 does not write such maps, so the bytes are put together here."""
    good = parts()
    kid = cbor2.dumps({4: good["unprotected"][4]})[1:]
    key = cbor2.dumps({-1: good["unprotected"][-1]})[1:]
    map_of = GOOD.index(b"\xa2" + kid)
    assert GOOD[map_of:].startswith(b"\xa2" + kid + key)
    rest = GOOD[map_of + 1 + len(kid) + len(key) :]
    for pairs in (kid + kid, key + key):
        assert encrypt_open(native, GOOD[:map_of] + b"\xa2" + pairs + rest)[0] == HEADER
    for pairs in (kid + kid + key, kid + key + key):
        assert encrypt_open(native, GOOD[:map_of] + b"\xa3" + pairs + rest)[0] == HEADER
    twice = key[:1] + b"\xa5" + key[2:] + cbor2.dumps({1: 2})[1:]
    assert encrypt_open(native, GOOD[:map_of] + b"\xa2" + kid + twice + rest)[0] == KEY


def test_every_cut_and_every_extension_is_malformed(native: Driver) -> None:
    for length in range(len(GOOD)):
        assert encrypt_open(native, GOOD[:length]) == (MALFORMED, b"")
    for more in (b"\0", b"\xf6", GOOD):
        assert encrypt_open(native, GOOD + more) == (MALFORMED, b"")


def test_every_flipped_bit_is_noticed(native: Driver) -> None:
    for position in range(len(GOOD)):
        for bit in range(8):
            altered = bytearray(GOOD)
            altered[position] ^= 1 << bit
            status, plain = encrypt_open(native, bytes(altered))
            assert (position, plain) == (position, b"")
            assert Status(status).name.startswith("COSE_")


def test_only_the_deterministic_encoding_is_read(native: Driver) -> None:
    """Longer heads and indefinite lengths, item by item: none of them opens."""
    found = 0
    for position, head, longer in long_heads(GOOD):
        assert cbor2.loads(longer), "still well-formed"
        status, _ = encrypt_open(native, longer)
        assert (position, head, status) == (position, head, MALFORMED)
        found += 1
    assert found > 40


def long_heads(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each head of the message in each longer form; chunked strings, indefinite containers."""
    decoder_positions = list(heads(message))
    for position in decoder_positions:
        first = message[position]
        major, info = first >> 5, first & 31
        size = 0 if info < 24 else 1 << (info - 24)
        number = info if info < 24 else int.from_bytes(message[position + 1 :][:size], "big")
        after = message[position + 1 + size :]
        for longer in (1, 2, 4, 8):
            if longer > size:
                head = bytes([major << 5 | (23 + longer.bit_length())])
                yield (
                    position,
                    first,
                    message[:position] + head + number.to_bytes(longer, "big") + after,
                )
        if major == 2:
            rest = bytes([first]) + message[position + 1 : position + 1 + size] + after[:number]
            yield position, first, message[:position] + b"\x5f" + rest + b"\xff" + after[number:]


def heads(message: bytes, position: int = 0, count: int = 1) -> Iterator[int]:
    """Where items begin, found by a reader of 20 lines that is not the one that is tested."""
    pending = count
    while pending:
        pending -= 1
        yield position
        major, info = message[position] >> 5, message[position] & 31
        size = 0 if info < 24 else 1 << (info - 24)
        number = info if info < 24 else int.from_bytes(message[position + 1 :][:size], "big")
        position += 1 + size
        if major in (2, 3):
            position += number
        elif major == 4:
            pending += number
        elif major == 5:
            pending += 2 * number
        elif major == 6:
            pending += 1


def test_nesting_ends(native: Driver) -> None:
    for bytes_of_it in (b"\x81", b"\xa1\x01", b"\xd8\x60\x84", b"\xc1", b"\x9f", b"\xd8\x60"):
        assert encrypt_open(native, bytes_of_it * 20000) == (MALFORMED, b"")
    for huge in ("9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "9affffffff"):
        for start in (b"", b"\xd8\x60", b"\xd8\x60\x84"):
            assert encrypt_open(native, start + bytes.fromhex(huge))[0] == MALFORMED


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused(native: Driver, data: bytes) -> None:
    status, plain = encrypt_open(native, data)
    assert Status(status).name.startswith("COSE_")
    assert plain == b""


# RFC 9679, 6: the example and its thumbprint
EXAMPLE_X = bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
EXAMPLE_Y = bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
EXAMPLE_THUMBPRINT = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"


def test_published_thumbprint(native: Driver) -> None:
    encoded = cbor2.dumps({1: 2, -1: 1, -2: EXAMPLE_X, -3: EXAMPLE_Y})
    status, reply = native.call("cose_key", encoded)
    assert status == Status.OK
    assert reply[:65] == b"\4" + EXAMPLE_X + EXAMPLE_Y
    assert reply[65:-32] == encoded
    assert reply[-32:].hex() == EXAMPLE_THUMBPRINT
    assert cose.thumbprint(cose.decode_key(encoded)).hex() == EXAMPLE_THUMBPRINT


def test_keys_of_other_implementations(native: Driver) -> None:
    for _ in range(20):
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        status, reply = native.call("cose_key", pycose_public(public).encode())
        assert (status, reply[:65]) == (Status.OK, point_of(public))
        assert reply[65:-32] == cose.encode_key(public)
        assert dict(COSEKey.new(cbor2.loads(reply[65:-32])).to_dict())[-2] == xy(public)[0]
        assert reply[-32:] == kid_of(public) == cose.thumbprint(public)


@pytest.mark.parametrize("case", list(bent_keys(cose_key_map(PUBLIC))), ids=lambda case: case[0])
def test_bent_key_is_named(native: Driver, case: tuple[str, Any, set[int]]) -> None:
    _, key, expected = case
    status, reply = native.call("cose_key", cbor2.dumps(key))
    assert (status in expected, reply) == (True, b""), Status(status)


def test_key_that_is_cut_or_followed(native: Driver) -> None:
    encoded = cose.encode_key(PUBLIC)
    for length in range(len(encoded)):
        assert native.call("cose_key", encoded[:length])[0] == MALFORMED
    assert native.call("cose_key", encoded + b"\0")[0] == MALFORMED


# RFC 3394, 4.3, 4.5 and 4.6: one key, data of 128, 192 and 256 bits
RFC_3394_KEK = bytes(range(32))
RFC_3394_DATA = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
RFC_3394 = {
    16: "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7",
    24: "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1",
    32: "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
}


@pytest.mark.parametrize("length", RFC_3394)
def test_published_key_wraps(native: Driver, length: int) -> None:
    wrapped = bytes.fromhex(RFC_3394[length])
    assert native.call("aes_kw", RFC_3394_KEK + wrapped) == (
        Status.OK,
        RFC_3394_DATA[:length],
    )


def test_key_wraps_of_another_implementation(native: Driver) -> None:
    for length in range(16, 72, 8):
        kek, key = os.urandom(32), os.urandom(length)
        wrapped = aes_key_wrap(kek, key)
        assert native.call("aes_kw", kek + wrapped) == (Status.OK, key)
        refused = (Status.COSE_UNWRAP, b"")
        assert native.call("aes_kw", os.urandom(32) + wrapped) == refused
        for bit in range(0, 8 * len(wrapped), 7):
            altered = bytearray(wrapped)
            altered[bit // 8] ^= 1 << bit % 8
            assert native.call("aes_kw", kek + altered) == refused


def test_key_wraps_with_another_check_value(native: Driver) -> None:
    """RFC 3394's algorithm with another initial value, as RFC 5649's has one."""

    def wrap(kek: bytes, key: bytes, initial: bytes) -> bytes:
        aes = Cipher(algorithms.AES(kek), modes.ECB()).encryptor()
        halves = [key[i : i + 8] for i in range(0, len(key), 8)]
        first = initial
        for step in range(6 * len(halves)):
            block = aes.update(first + halves[step % len(halves)])
            first = (int.from_bytes(block[:8], "big") ^ (step + 1)).to_bytes(8, "big")
            halves[step % len(halves)] = block[8:]
        return first + b"".join(halves)

    kek, key = os.urandom(32), os.urandom(32)
    assert native.call("aes_kw", kek + wrap(kek, key, b"\xa6" * 8)) == (Status.OK, key)
    others = [bytes.fromhex("a65959a600000020"), bytes(8), b"\xa6" * 7 + b"\xa7"]
    for initial in others:
        refused = native.call("aes_kw", kek + wrap(kek, key, initial))
        assert refused == (Status.COSE_UNWRAP, b"")


def test_key_wraps_of_wrong_lengths(native: Driver) -> None:
    for length in [*range(24), 25, 31, 33, 79, 80, 100]:
        assert native.call("aes_kw", RFC_3394_KEK + bytes(length))[0] == Status.COSE_UNWRAP


def sign1(
    native: Driver,
    payload: bytes,
    aad: bytes = AAD,
    *,
    certificate: bytes = b"",
    in_place: bool = False,
    room: int = 70000,
    fail_call: int = NO_FAILURE,
) -> tuple[int, bytes]:
    head = struct.pack("<qII", fail_call, room, in_place) + scalar_of(PRIVATE)
    return native.call("sign1", head + string(aad) + string(certificate) + payload)


def encrypt0(
    native: Driver,
    key: bytes,
    plain: bytes,
    aad: bytes = AAD,
    *,
    in_place: bool = False,
    room: int = 70000,
    fail_call: int = NO_FAILURE,
) -> tuple[int, bytes]:
    head = struct.pack("<qII", fail_call, room, in_place) + key
    return native.call("encrypt0", head + string(aad) + plain)


LENGTHS = [0, 1, 7, 8, 23, 24, 239, 240, 255, 256, 65519, 65520, 65535, 65536]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_signed_verifies_everywhere(native: Driver, length: int, in_place: bool) -> None:
    payload = os.urandom(length)
    status, message = sign1(native, payload, in_place=in_place)
    assert status == Status.OK
    assert cose.verify1(message, PUBLIC, AAD) == cose.Signed(payload, kid_of(PUBLIC), None)

    by_cwt_key = COSEKey.new({**cose_key_map(PUBLIC), 3: -7, 2: kid_of(PUBLIC)})
    assert COSE.new().decode(message, by_cwt_key, external_aad=AAD) == payload
    with pytest.raises(CWTError):
        COSE.new().decode(message, by_cwt_key, external_aad=AAD + b"!")

    parsed = Sign1Message.decode(message)
    parsed.key = pycose_public(PUBLIC)
    parsed.external_aad = AAD
    assert parsed.verify_signature()
    parsed.external_aad = b""
    assert not parsed.verify_signature()

    tagged = cbor2.loads(message)
    assert (tagged.tag, tagged.value[1]) == (18, {4: kid_of(PUBLIC)})
    assert cbor2.dumps(tagged, canonical=True) == message


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_encrypted_opens_everywhere(native: Driver, length: int, in_place: bool) -> None:
    plain, key = os.urandom(length), os.urandom(32)
    status, message = encrypt0(native, key, plain, in_place=in_place)
    assert status == Status.OK
    assert cose.decrypt0(message, key, AAD) == plain

    parsed = Enc0Message.decode(message)
    parsed.key = SymmetricKey(k=key)
    parsed.external_aad = AAD
    assert parsed.decrypt() == plain
    parsed.external_aad = b""
    with pytest.raises(InvalidTag):
        parsed.decrypt()
    assert cbor2.dumps(cbor2.loads(message), canonical=True) == message


@pytest.mark.parametrize("length", [1, 23, 24, 300, 2000])
def test_certificate_goes_along(native: Driver, length: int) -> None:
    certificate = os.urandom(length)
    status, message = sign1(native, b"payload", certificate=certificate)
    assert status == Status.OK
    signed = cose.verify1(message, PUBLIC, AAD)
    assert signed == cose.Signed(b"payload", kid_of(PUBLIC), certificate)
    assert cbor2.loads(message).value[1] == {4: kid_of(PUBLIC), 33: certificate}
    parsed = Sign1Message.decode(message)
    parsed.key, parsed.external_aad = pycose_public(PUBLIC), AAD
    assert parsed.verify_signature()


def test_room_of_messages(native: Driver) -> None:
    """One byte too little writes nothing at all (the driver's block is exact, under ASan)."""
    for make in (sign1, lambda n, p, room=70000: encrypt0(n, bytes(32), p, room=room)):
        needed = len(make(native, b"payload")[1])
        assert make(native, b"payload", room=needed)[0] == Status.OK
        for room in (0, 1, 40, needed - 1):
            assert make(native, b"payload", room=room) == (Status.INTERNAL, b"")
    assert sign1(native, b"p", bytes(257)) == (Status.INTERNAL, b"")
    assert encrypt0(native, bytes(32), b"p", bytes(257)) == (Status.INTERNAL, b"")
    assert sign1(native, b"p", bytes(256))[0] == Status.OK
    assert encrypt0(native, bytes(32), b"p", bytes(256))[0] == Status.OK


def test_failures_when_messages_are_made(native: Driver) -> None:
    def count(make: Callable[[int], tuple[int, bytes]]) -> int:
        calls = 0
        while (made := make(calls))[0] != Status.OK:
            assert made == (Status.NO_MEMORY, b"")
            calls += 1
        return calls

    # Hash: made, five pieces, its end; signature
    assert count(lambda call: sign1(native, b"p", fail_call=call)) == 8
    # IV, cipher, encryption
    assert count(lambda call: encrypt0(native, bytes(32), b"p", fail_call=call)) == 3


def hkdf_by_hand(seed: bytes, info: bytes, salt: bytes = bytes(32)) -> bytes:
    prk = hmac.digest(salt, seed, "sha256")
    return hmac.digest(prk, info + b"\1", "sha256")


def p256_key(
    native: Driver, seed: bytes, label: bytes, salt: bytes = b"", fail_call: int = NO_FAILURE
) -> tuple[int, bytes]:
    head = struct.pack("<q", fail_call) + seed + struct.pack("<I", len(salt)) + salt
    return native.call("keys_p256", head + label)


@pytest.mark.parametrize("salt", [b"", bytes(range(32)), b"s" * 64])
@pytest.mark.parametrize("label", [b"wrapping", b"signing", b"x", b"y" * 64])
def test_keys_come_from_seeds(native: Driver, label: bytes, salt: bytes) -> None:
    seed = os.urandom(32)
    status, reply = p256_key(native, seed, label, salt)
    assert status == Status.OK
    expected = hkdf_by_hand(seed, label + b"\0", salt)
    assert reply[:32] == expected
    private = ec.derive_private_key(int.from_bytes(expected, "big"), ec.SECP256R1())
    assert reply[32:] == point_of(private.public_key())

    symmetric = native.call("keys_symmetric", seed + label)
    assert symmetric == (Status.OK, hkdf_by_hand(seed, label))
    assert native.call("keys_symmetric", seed + label + b"2")[1] != symmetric[1]


@pytest.mark.parametrize("label", [b"", b"y" * 65])
def test_labels_have_1_to_64_bytes(native: Driver, label: bytes) -> None:
    assert p256_key(native, bytes(32), label) == (Status.INTERNAL, b"")
    assert native.call("keys_symmetric", bytes(32) + label) == (Status.INTERNAL, b"")


def test_failures_when_keys_are_derived(native: Driver) -> None:
    calls = 0
    while (made := p256_key(native, bytes(32), b"label", b"salt", calls))[0] != Status.OK:
        assert made == (Status.NO_MEMORY, b"")
        calls += 1
    # Scalar: 2; key: 2 for the scalar again, and one; public point
    assert calls == 2 + 3 + 1


def key_message_open(
    native: Driver, message: bytes, slot: int = 1, challenge: bytes = CHALLENGE
) -> tuple[int, bytes]:
    head = scalar_of(PRIVATE) + struct.pack("<I", slot)
    return native.call("key_message", head + string(challenge) + message)


@pytest.mark.parametrize("challenge", [b"", b"c", CHALLENGE, bytes(32)])
@pytest.mark.parametrize("slot", [0, 1, 2, 23])
def test_key_message_is_for_one_slot_and_challenge(
    native: Driver, slot: int, challenge: bytes
) -> None:
    key = os.urandom(32)
    message = cose.key_message(key, slot, PUBLIC, challenge)
    refused = (Status.COSE_OPEN, bytes(32))
    assert key_message_open(native, message, slot, challenge) == (Status.OK, key)
    assert key_message_open(native, message, slot ^ 1, challenge) == refused
    assert key_message_open(native, message, slot, b"another") == refused
    aad = cbor2.dumps(["cml-key-v2", slot, challenge])
    for other in (by_cwt(key, aad), by_pycose(key, aad)):
        assert key_message_open(native, other, slot, challenge) == (Status.OK, key)


def test_key_messages_of_other_sizes(native: Driver) -> None:
    aad = cbor2.dumps(["cml-key-v2", 1, CHALLENGE])
    for length, expected in ((0, MALFORMED), (31, MALFORMED), (33, Status.COSE_LIMIT)):
        message = by_cwt(bytes(length), aad)
        assert key_message_open(native, message) == (expected, bytes(32))
    assert key_message_open(native, by_cwt(bytes(600), aad))[0] == Status.COSE_LIMIT
    assert key_message_open(native, GOOD, 24) == (Status.INTERNAL, bytes(32))
    assert key_message_open(native, GOOD, 1, bytes(33)) == (Status.INTERNAL, bytes(32))
