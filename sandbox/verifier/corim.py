# SPDX-License-Identifier: Apache-2.0
"""Reference values and endorsements for other verifiers: CoRIM (draft-ietf-rats-corim-11).

In the way of the PSA profile (draft-fdb-rats-psa-endorsements), which Veraison takes: a class for
the implementation id, a measurement of each software component by name, an attestation key of
each device.
"""

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey

from sandbox.verifier.evidence import CORE_COMPONENT, IMPLEMENTATION_ID, TA_COMPONENT, UEID_RANDOM
from sandbox.verifier.reference import Reference

PROFILE = "tag:arm.com,2025:psa#1.0.0"
VENDOR, MODEL = "optee-sandbox", "qemu_v8"
CONTENT_TYPE = "application/rim+cbor"

# CBOR tags, section 11 of the draft; 32 is a URI.
_URI = 32
_CORIM, _COMID = 501, 506
_UEID, _KEY_PEM, _BYTES = 550, 554, 560
_COMPONENT = "psa.software-component"
# The "Named Information Hash Algorithm" registry, by number.
_SHA256 = 1
_ES256 = -7
# Names of what is in here follow from what is in here, so that an export is reproducible.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tag:optee-sandbox.example,2026:corim")


def export(
    reference: Reference, endorsements: Mapping[uuid.UUID, x509.Certificate] | None = None
) -> bytes:
    """An unsigned CoRIM of the reference values, and of the attestation keys of these devices."""
    tags = [_comid("reference values", {0: _reference_triples(reference)})]
    if endorsements:
        triples = [_key_triple(device, endorsements[device]) for device in sorted(endorsements)]
        tags.append(_comid("attestation keys", {3: triples}))
    content = b"".join(tag.value for tag in tags)
    corim = {
        0: _identifier("corim", content),
        1: tags,
        3: cbor2.CBORTag(_URI, PROFILE),
        5: [_entity([1])],
    }
    return _encode(cbor2.CBORTag(_CORIM, corim))


def sign(corim: bytes, key: ec.EllipticCurvePrivateKey, signer: str) -> bytes:
    """COSE_Sign1 around an unsigned CoRIM (section 4.2); ES256."""
    numbers = key.private_numbers()
    public = numbers.public_numbers
    cose_key = COSEKey.new(
        {
            1: 2,
            3: _ES256,
            -1: 1,
            -2: public.x.to_bytes(32, "big"),
            -3: public.y.to_bytes(32, "big"),
            -4: numbers.private_value.to_bytes(32, "big"),
        }
    )
    meta = _encode({0: {0: signer}})
    protected = {1: _ES256, 3: CONTENT_TYPE, 8: meta}
    signed: bytes = COSE.new().encode_and_sign(corim, cose_key, protected=protected)
    return signed


def _encode(item: object) -> bytes:
    return cbor2.dumps(item, canonical=True)


def _identifier(kind: str, content: bytes) -> bytes:
    """A UUID for this content."""
    return uuid.uuid5(_NAMESPACE, f"{kind} {hashlib.sha256(content).hexdigest()}").bytes


def _entity(roles: Sequence[int]) -> dict[int, Any]:
    return {0: VENDOR, 2: list(roles)}


def _comid(name: str, triples: dict[int, Any]) -> cbor2.CBORTag:
    comid = {
        1: {0: _identifier(name, _encode(triples))},
        # The creator of the tag, and of what it describes.
        2: [_entity([0, 1])],
        4: triples,
    }
    return cbor2.CBORTag(_COMID, _encode(comid))


def _class() -> dict[int, Any]:
    return {0: cbor2.CBORTag(_BYTES, IMPLEMENTATION_ID), 1: VENDOR, 2: MODEL}


def _reference_triples(reference: Reference) -> list[Any]:
    """One for each TA: evidence is of OP-TEE core and of the TA that asked, and of no other."""
    core = _measurement(CORE_COMPONENT, reference.core.version, reference.core.sha256)
    tas = [_measurement(TA_COMPONENT, ta.version, ta.sha256) for ta in reference.tas]
    return [[{0: _class()}, [core, ta]] for ta in tas] or [[{0: _class()}, [core]]]


def _measurement(name: str, version: str, sha256: bytes) -> dict[int, Any]:
    """`name` is the component's measurement type, as in the token."""
    return {0: _COMPONENT, 1: {0: {0: version}, 2: [[_SHA256, sha256]], 11: name}}


def _key_triple(device: uuid.UUID, certificate: x509.Certificate) -> list[Any]:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    instance = cbor2.CBORTag(_UEID, bytes([UEID_RANDOM]) + device.bytes)
    # RFC 7468 or base64 alone: Veraison takes both.
    key = cbor2.CBORTag(_KEY_PEM, base64.b64encode(spki).decode())
    return [{0: _class(), 1: instance}, [key]]
