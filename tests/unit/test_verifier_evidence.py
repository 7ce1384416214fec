# SPDX-License-Identifier: Apache-2.0
"""Evidence is decoded strictly: each wrong form has its own error, and nothing else escapes."""

import random
from typing import Any

import cbor2
import evidence_maker
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from evidence_maker import GONE, evidence, sign
from hypothesis import given, settings
from hypothesis import strategies as st
from pycose.algorithms import Es256, Es384
from pycose.headers import KID, Algorithm

from sandbox.verifier import errors, strict_cbor
from sandbox.verifier.evidence import DebugState, Evidence, decode, thumbprint

SCALAR = evidence_maker.private_scalar(evidence_maker.HUK)
TA = evidence_maker.ta_claims()


def test_evidence_of_another_implementation_is_understood() -> None:
    found = decode(evidence())
    assert found.profile == evidence_maker.PROFILE
    assert found.nonce == evidence_maker.NONCE
    assert found.device.bytes == evidence_maker.device_id(evidence_maker.HUK)
    assert found.ueid == found.kid
    assert found.bootseed == evidence_maker.BOOTSEED
    assert found.debug is DebugState.ENABLED
    assert found.lifecycle == 0x5000
    assert (found.core.version, found.core.measurement) == ("4.10.0", evidence_maker.CORE_SHA256)
    assert (found.ta_code.version, found.ta_code.measurement) == (None, evidence_maker.TA_SHA256)
    assert found.ta_uuid.bytes == evidence_maker.TA_UUID
    assert (found.ta.name, found.ta.version) == ("inference", "0.1.0")
    assert found.ta.models == (evidence_maker.MODEL,)
    assert found.ta.challenge == bytes(16)
    keys = [ec.derive_private_key(n, ec.SECP256R1()).public_key() for n in (11, 12)]
    assert [found.ta.wrapping_key, found.ta.signing_key] == keys
    assert found.unknown == found.ta.unknown == ()


def test_a_ta_need_not_say_anything_of_itself() -> None:
    assert decode(evidence({266: GONE})).ta.wrapping_key is None
    assert decode(evidence(ta=dict.fromkeys(TA, GONE))).ta.models == ()
    assert decode(evidence(ta={271: "0.1.0"})).ta.version == "0.1.0"


def test_what_a_ta_says_may_be_as_deep_as_op_tee_lets_it_be() -> None:
    """Patch 0006: the map of its claims is the first of eight."""
    claim: Any = 7
    for _ in range(7):
        claim = [claim]
    assert decode(evidence(ta={-70000: claim})).ta.unknown == (-70000,)


def test_thumbprint_is_that_of_rfc_9679() -> None:
    """Section 6: the key of RFC 9052's appendix C."""
    point = (
        "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"
        "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"
    )
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex("04" + point))
    expected = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    assert thumbprint(key).hex() == expected


def test_unknown_claims_are_listed() -> None:
    found = decode(evidence({-70000: 1, "vendor": "x"}, ta={99: None}))
    assert set(found.unknown) == {-70000, "vendor"} and found.ta.unknown == (99,)


# One error each ---------------------------------------------------------------------------------


def payload(changes: dict[Any, Any]) -> bytes:
    return cbor2.dumps(evidence_maker.altered(evidence_maker.claims(), changes))


def with_payload(data: bytes) -> bytes:
    return sign(data, SCALAR, unprotected={KID: b"k"})


def components(*items: Any) -> bytes:
    return evidence({2399: list(items)})


def message(*parts: Any, tag: int = 18) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, list(parts)))


CORE, CODE = evidence_maker.claims()[2399]
KEY = evidence_maker.cose_key(ec.derive_private_key(11, ec.SECP256R1()))
GOOD = payload({})
ES256 = cbor2.dumps({1: -7})
SIGNATURE = bytes(64)
DEEP = b"\x81" * 14 + b"\x00"
# The map of the payload with one entry more, which the first byte counts.
TWICE = bytes([GOOD[0] + 1]) + GOOD[1:] + cbor2.dumps(10) + cbor2.dumps(bytes(32))

WRONG: dict[str, tuple[type[errors.EvidenceError], bytes]] = {
    "nothing": (errors.EvidenceTruncated, b""),
    "cut-in-the-tag": (errors.EvidenceTruncated, evidence()[:0] + b"\xd8"),
    "cut-in-the-signature": (errors.EvidenceTruncated, evidence()[:-1]),
    "cut-in-the-payload": (errors.EvidenceTruncated, with_payload(GOOD[:-1])),
    "long-array": (errors.EvidenceTruncated, b"\xd2\x9b" + b"\xff" * 8),
    "long-text": (errors.EvidenceTruncated, b"\xd2\x7a\xff\xff\xff\xff"),
    "trailing": (errors.EvidenceTrailing, evidence() + b"\0"),
    "trailing-payload": (errors.EvidenceTrailing, with_payload(GOOD + b"\0")),
    "trailing-header": (errors.EvidenceTrailing, message(ES256 + b"\0", {}, GOOD, SIGNATURE)),
    "large": (errors.EvidenceTooLarge, evidence({-70000: bytes(20_000)})),
    "duplicate": (errors.EvidenceDuplicate, with_payload(TWICE)),
    # Two texts that are no UTF-8: nothing may decode them on the way to the refusal.
    "duplicate-no-utf8": (errors.EvidenceDuplicate, with_payload(b"\xa2\x61\xff\0\x61\xff\0")),
    "duplicate-component": (errors.EvidenceDuplicate, components(CORE, CODE, CODE)),
    "duplicate-header": (
        errors.EvidenceDuplicate,
        message(bytes.fromhex("a201260126"), {}, GOOD, SIGNATURE),
    ),
    "indefinite-map": (errors.EvidenceIndefinite, with_payload(b"\xbf" + GOOD[1:] + b"\xff")),
    "indefinite-array": (errors.EvidenceIndefinite, b"\xd2\x9f" + evidence()[2:] + b"\xff"),
    "indefinite-bytes": (errors.EvidenceIndefinite, with_payload(b"\xa1\x0a\x5f\x41\x00\xff")),
    "not-shortest": (errors.EvidenceNotShortest, with_payload(b"\xa1\x18\x0a\x00")),
    "not-shortest-tag": (errors.EvidenceNotShortest, b"\xd8\x12" + evidence()[1:]),
    "deep": (errors.EvidenceNesting, with_payload(b"\xa1\x0a" + DEEP)),
    "very-deep": (errors.EvidenceNesting, b"\xd2" + b"\x81" * 10_000),
    "no-tag": (errors.EvidenceType, evidence()[1:]),
    "mac": (errors.EvidenceType, message(ES256, {}, GOOD, SIGNATURE, tag=17)),
    "cwt-tag": (errors.EvidenceType, b"\xd8\x3d" + evidence()),
    "three": (errors.EvidenceType, message(ES256, {}, GOOD)),
    "no-array": (errors.EvidenceType, cbor2.dumps(cbor2.CBORTag(18, {}))),
    "protected-map": (errors.EvidenceType, message({1: -7}, {}, GOOD, SIGNATURE)),
    "unprotected-array": (errors.EvidenceType, message(ES256, [], GOOD, SIGNATURE)),
    "detached": (errors.EvidenceType, message(ES256, {}, None, SIGNATURE)),
    "short-signature": (errors.EvidenceType, message(ES256, {}, GOOD, bytes(63))),
    "kid-text": (errors.EvidenceType, message(ES256, {4: "k"}, GOOD, SIGNATURE)),
    "payload-array": (errors.EvidenceType, with_payload(b"\x80")),
    "payload-text-not-utf8": (errors.EvidenceType, with_payload(b"\xa1\x0a\x61\xff")),
    "key-bytes": (errors.EvidenceType, with_payload(b"\xa1\x41\x0a\x00")),
    "float": (errors.EvidenceType, evidence({263: 0.0})),
    "undefined": (errors.EvidenceType, with_payload(b"\xa1\x0a\xf7")),
    "tagged-claim": (errors.EvidenceType, evidence({10: cbor2.CBORTag(24, bytes(32))})),
    "nonce-text": (errors.EvidenceType, evidence({10: "nonce"})),
    "nonce-short": (errors.EvidenceType, evidence({10: bytes(7)})),
    "nonce-long": (errors.EvidenceType, evidence({10: bytes(65)})),
    "nonces": (errors.EvidenceType, evidence({10: [bytes(32)]})),
    "ueid-short": (errors.EvidenceType, evidence({256: b"\x01" + bytes(15)})),
    "ueid-imei": (errors.EvidenceType, evidence({256: b"\x03" + bytes(16)})),
    "profile-number": (errors.EvidenceType, evidence({265: 1})),
    "profile-long": (errors.EvidenceType, evidence({265: "x" * 300})),
    "name-of-control": (errors.EvidenceType, evidence(ta={270: "in\x1b[2Jference"})),
    "version-of-control": (errors.EvidenceType, components({**CORE, 4: "4\n"}, CODE)),
    "bootseed": (errors.EvidenceType, evidence({268: bytes(31)})),
    "dbgstat-true": (errors.EvidenceType, evidence({263: True})),
    "dbgstat-5": (errors.EvidenceType, evidence({263: 5})),
    "lifecycle": (errors.EvidenceType, evidence({2395: 1 << 16})),
    "lifecycle-negative": (errors.EvidenceType, evidence({2395: -1})),
    "implementation": (errors.EvidenceType, evidence({2396: bytes(16)})),
    "components-map": (errors.EvidenceType, evidence({2399: {}})),
    "components-none": (errors.EvidenceType, components()),
    "components-many": (errors.EvidenceType, components(*[CORE] * 17)),
    "component-number": (errors.EvidenceType, components(CORE, 1)),
    "component-sha512": (errors.EvidenceType, components(CORE, {**CODE, 6: "sha-512"})),
    "component-short": (errors.EvidenceType, components(CORE, {**CODE, 2: bytes(20)})),
    "uuid": (errors.EvidenceType, evidence({-75001: bytes(17)})),
    "uuid-text": (errors.EvidenceType, evidence({-75001: "x" * 16})),
    "submods-other": (errors.EvidenceType, evidence({266: {"ta": {}, "tb": {}}})),
    "submods-bytes": (errors.EvidenceType, evidence({266: {"ta": b""}})),
    "version": (errors.EvidenceType, evidence(ta={271: []})),
    "version-number": (errors.EvidenceType, evidence(ta={271: [1]})),
    "cnf-kid": (errors.EvidenceType, evidence(ta={8: {3: b"kid"}})),
    "cnf-two": (errors.EvidenceType, evidence(ta={8: {1: KEY, 3: b"kid"}})),
    "cnf-private": (errors.EvidenceType, evidence(ta={8: {1: {**KEY, -4: bytes(32)}}})),
    "cnf-p384": (errors.EvidenceType, evidence(ta={8: {1: {**KEY, -1: 2}}})),
    "cnf-okp": (errors.EvidenceType, evidence(ta={8: {1: {**KEY, 1: 1}}})),
    "cnf-off-curve": (errors.EvidenceType, evidence(ta={8: {1: {**KEY, -3: bytes(32)}}})),
    "cnf-compressed": (errors.EvidenceType, evidence(ta={8: {1: {**KEY, -3: True}}})),
    "signing-key": (errors.EvidenceType, evidence(ta={-75011: b""})),
    "models": (errors.EvidenceType, evidence(ta={-75012: [bytes(31)]})),
    "models-many": (errors.EvidenceType, evidence(ta={-75012: [bytes(32)] * 65})),
    "challenge": (errors.EvidenceType, evidence(ta={-75013: bytes(15)})),
    "es384": (
        errors.EvidenceAlgorithm,
        message(cbor2.dumps({1: Es384.identifier}), {}, GOOD, SIGNATURE),
    ),
    "no-algorithm": (errors.EvidenceAlgorithm, message(b"", {}, GOOD, SIGNATURE)),
    "algorithm-unprotected": (errors.EvidenceAlgorithm, message(b"", {1: -7}, GOOD, SIGNATURE)),
    "critical": (
        errors.EvidenceAlgorithm,
        message(cbor2.dumps({1: -7, 2: [99]}), {}, GOOD, SIGNATURE),
    ),
    "key-in-header": (errors.EvidenceAlgorithm, message(ES256, {-70000: KEY}, GOOD, SIGNATURE)),
    "no-core": (errors.EvidenceMissing, components(CODE)),
    "no-ta": (errors.EvidenceMissing, components(CORE)),
    "component-no-algorithm": (
        errors.EvidenceMissing,
        components(CORE, {k: v for k, v in CODE.items() if k != 6}),
    ),
    **{
        f"no-claim-{claim}": (errors.EvidenceMissing, evidence({claim: GONE}))
        for claim in evidence_maker.claims()
        if claim != 266
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_form_has_its_error(name: str) -> None:
    kind, token = WRONG[name]
    with pytest.raises(errors.EvidenceError) as raised:
        decode(token)
    assert type(raised.value) is kind, raised.value


def test_every_error_of_form_is_met_above() -> None:
    assert {kind for kind, _ in WRONG.values()} == set(errors.EvidenceError.__subclasses__())


def test_a_well_formed_token_by_hand_is_accepted() -> None:
    """What the table above builds its messages from is good, but for what it changes."""
    assert decode(message(ES256, {}, GOOD, SIGNATURE)).kid is None
    assert decode(sign(GOOD, SCALAR, protected={Algorithm: Es256})).kid is None


# Whatever arrives -------------------------------------------------------------------------------


def outcome(token: bytes) -> Evidence | errors.EvidenceError:
    try:
        return decode(token)
    except errors.EvidenceError as error:
        return error


TOKEN = evidence()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_other_exception_escapes_an_altered_token(data: st.DataObject) -> None:
    token = bytearray(TOKEN)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "set", "cut", "copy", "insert"]))
        at = data.draw(st.integers(0, max(0, len(token) - 1)))
        if kind == "flip" and token:
            token[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "set" and token:
            token[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del token[at : at + data.draw(st.integers(1, 40))]
        elif kind == "copy":
            token[at:at] = token[at : at + data.draw(st.integers(1, 40))]
        else:
            token[at:at] = data.draw(st.binary(max_size=9))
    outcome(bytes(token))


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.binary(max_size=40),
    st.text(max_size=10),
    st.floats(),
)
_keys = st.one_of(st.sampled_from([1, 2, 4, 6, 8, 10, 256, 263, 265, 266, -75001, "ta"]), _leaves)
_items = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(_keys, inner, max_size=5),
        inner.map(lambda value: cbor2.CBORTag(18, value)),
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(evidence_maker.claims(), key=str)), _items)
@settings(max_examples=120, deadline=None)
def test_no_other_exception_escapes_a_claim_of_any_kind(claim: int, value: Any) -> None:
    outcome(evidence({claim: value}))
    outcome(evidence({266: {"ta": {claim: value, 8: {1: value}}}}))


@given(st.binary(max_size=200))
@settings(max_examples=120, deadline=None)
def test_no_other_exception_escapes_any_bytes(data: bytes) -> None:
    for token in (data, b"\xd2\x84" + data, with_payload(data)):
        outcome(token)


# Items as no encoder writes them: texts that are no UTF-8, and the same key again.
_raw_items = st.one_of(
    st.binary(max_size=2).map(lambda text: bytes([0x60 | len(text)]) + text),
    st.binary(max_size=2).map(lambda data: bytes([0x40 | len(data)]) + data),
    st.sampled_from([b"\0", b"\x20", b"\xf6", b"\xf7", b"\xf9\0\0", b"\xa0", b"\x61\xff"]),
)


@given(st.lists(_raw_items, max_size=6), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_other_exception_escapes_a_map_of_any_items(items: list[bytes], twice: bool) -> None:
    entries = items * 2 if twice else items
    raw = bytes([0xA0 | len(entries)]) + b"".join(item + b"\0" for item in entries)
    outcome(with_payload(raw))
    outcome(message(ES256, {}, GOOD, SIGNATURE).replace(b"\xa0", raw, 1))


def test_every_byte_altered_and_every_cut() -> None:
    chance = random.Random(1)
    for at in range(len(TOKEN)):
        assert isinstance(outcome(TOKEN[:at]), errors.EvidenceTruncated)
        other = (TOKEN[at] + chance.randrange(1, 256)) & 0xFF
        outcome(TOKEN[:at] + bytes([other]) + TOKEN[at + 1 :])


@given(_items)
@settings(max_examples=300, deadline=None)
def test_what_passes_the_strict_reader_is_what_cbor2_reads(item: Any) -> None:
    data = cbor2.dumps(item)
    try:
        found = strict_cbor.loads(data)
    except errors.EvidenceError:
        return
    assert found == cbor2.loads(data)
    # Definite and shortest: one encoding for one value, but for the order of keys.
    assert len(cbor2.dumps(found, canonical=True)) == len(data)
