# SPDX-License-Identifier: Apache-2.0
"""Evidence: an Entity Attestation Token (RFC 9711) as a CWT, decoded and checked in form.

    COSE_Sign1 (tag 18) = [ {1: -7}, {4: UEID}, payload, signature ]

The payload's claims are in docs/verifier.md. What `decode` returns is well formed, and nothing
more: whether it was signed by a device, and whether it should be relied on, appraisal.py says.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.verifier import errors, strict_cbor

PROFILE = "tag:optee-sandbox.example,2026:evidence#1"
IMPLEMENTATION_ID = hashlib.sha256(b"optee-sandbox qemu_v8").digest()
TOKEN_MAX_BYTES = 16384
NONCE_BYTES = range(8, 65)
DIGEST_BYTES = 32
UEID_RANDOM = 1

_COSE_SIGN1 = 18
_ES256 = -7
_SIGNATURE_BYTES = 64
_ALG, _KID = 1, 4

CORE_COMPONENT = "OP-TEE core"
TA_COMPONENT = "TA"
_COMPONENTS_MAX = 16
_MODELS_MAX = 64


class Claim(IntEnum):
    """CWT claims: of RFC 8392, 8747, 9711, 9783, and private ones of our profile."""

    CNF = 8
    NONCE = 10
    UEID = 256
    DBGSTAT = 263
    PROFILE = 265
    SUBMODS = 266
    BOOTSEED = 268
    SW_NAME = 270
    SW_VERSION = 271
    LIFECYCLE = 2395
    IMPLEMENTATION_ID = 2396
    COMPONENTS = 2399
    TA_UUID = -75001
    SIGNING_KEY = -75011
    MODELS = -75012
    CHALLENGE = -75013


class DebugState(IntEnum):
    """RFC 9711, section 4.2.9."""

    ENABLED = 0
    DISABLED = 1
    DISABLED_SINCE_BOOT = 2
    DISABLED_PERMANENTLY = 3
    DISABLED_FULLY_AND_PERMANENTLY = 4

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")


class Component(IntEnum):
    """Keys of a PSA software component, RFC 9783, section 4.4.1."""

    TYPE = 1
    MEASUREMENT = 2
    VERSION = 4
    ALGORITHM = 6


@dataclass(frozen=True)
class SoftwareComponent:
    type: str
    measurement: bytes
    version: str | None


@dataclass(frozen=True)
class TaClaims:
    """What the TA says of itself; as true as its measurement is known."""

    name: str | None = None
    version: str | None = None
    wrapping_key: ec.EllipticCurvePublicKey | None = None
    signing_key: ec.EllipticCurvePublicKey | None = None
    models: tuple[bytes, ...] = ()
    challenge: bytes | None = None
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Evidence:
    token: bytes = field(repr=False)
    kid: bytes | None
    profile: str
    nonce: bytes
    device: uuid.UUID
    bootseed: bytes
    debug: DebugState
    lifecycle: int
    implementation_id: bytes
    core: SoftwareComponent
    ta_code: SoftwareComponent
    ta_uuid: uuid.UUID
    ta: TaClaims
    # Labels of claims that the profile does not know: shown, and otherwise ignored (RFC 9711).
    unknown: tuple[Any, ...] = ()

    @property
    def ueid(self) -> bytes:
        return bytes([UEID_RANDOM]) + self.device.bytes


def decode(token: bytes) -> Evidence:
    """Every other input than a token of the profile ends in one EvidenceError."""
    if len(token) > TOKEN_MAX_BYTES:
        raise errors.EvidenceTooLarge(f"{len(token)} bytes; a token has {TOKEN_MAX_BYTES} at most")
    message = strict_cbor.loads(token, tag=_COSE_SIGN1)
    if not isinstance(message, list) or len(message) != 4:
        raise errors.EvidenceType("a COSE_Sign1 is an array of four")
    protected, unprotected, payload, signature = message
    _check_protected(protected)
    kid = _kid(unprotected)
    if not isinstance(signature, bytes) or len(signature) != _SIGNATURE_BYTES:
        raise errors.EvidenceType(f"an ES256 signature has {_SIGNATURE_BYTES} bytes")
    if not isinstance(payload, bytes):
        raise errors.EvidenceType("the payload of the COSE_Sign1 is not in the token")
    claims = _Claims("the token", strict_cbor.loads(payload))
    return _evidence(token, kid, claims)


def _check_protected(protected: object) -> None:
    if not isinstance(protected, bytes):
        raise errors.EvidenceType("the protected header is no byte string")
    headers = strict_cbor.loads(protected) if protected else {}
    # Anything else in it could be critical to somebody (RFC 9052, section 3.1).
    if headers != {_ALG: _ES256}:
        raise errors.EvidenceAlgorithm(
            f"the protected header is {headers!r}, not {{1: -7}} (ES256)"
        )


def _kid(unprotected: object) -> bytes | None:
    if not isinstance(unprotected, dict):
        raise errors.EvidenceType("the unprotected header is no map")
    if set(unprotected) - {_KID}:
        raise errors.EvidenceAlgorithm("the unprotected header has more than a key id")
    kid = unprotected.get(_KID)
    if kid is not None and not isinstance(kid, bytes):
        raise errors.EvidenceType("the key id is no byte string")
    return kid


_Value = TypeVar("_Value")


class _Claims:
    """A map of claims that are taken one by one, each with its type and size."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise errors.EvidenceType(f"{where}: no map")
        self._where = where
        self._left = dict(value)

    def optional(self, claim: IntEnum, read: Callable[[object], _Value]) -> _Value | None:
        if claim.value not in self._left:
            return None
        value = self._left.pop(claim.value)
        try:
            return read(value)
        except (TypeError, ValueError) as error:
            raise errors.EvidenceType(
                f"{self._where}: claim {claim.name.lower()} ({claim.value}): {error}"
            ) from error

    def required(self, claim: IntEnum, read: Callable[[object], _Value]) -> _Value:
        if claim.value not in self._left:
            raise errors.EvidenceMissing(
                f"{self._where}: no claim {claim.name.lower()} ({claim.value})"
            )
        value = self.optional(claim, read)
        assert value is not None
        return value

    @property
    def unknown(self) -> tuple[Any, ...]:
        return tuple(self._left)


def _evidence(token: bytes, kid: bytes | None, claims: _Claims) -> Evidence:
    # First: another profile's claims may have other types.
    profile = claims.required(Claim.PROFILE, _text)
    components = claims.required(Claim.COMPONENTS, _components)
    submods = claims.optional(Claim.SUBMODS, _submods)
    return Evidence(
        token=token,
        kid=kid,
        profile=profile,
        nonce=claims.required(Claim.NONCE, _sized(NONCE_BYTES)),
        device=claims.required(Claim.UEID, _ueid),
        bootseed=claims.required(Claim.BOOTSEED, _digest),
        debug=claims.required(Claim.DBGSTAT, lambda value: DebugState(_number(value))),
        lifecycle=claims.required(Claim.LIFECYCLE, _lifecycle),
        implementation_id=claims.required(Claim.IMPLEMENTATION_ID, _digest),
        core=_component(components, CORE_COMPONENT),
        ta_code=_component(components, TA_COMPONENT),
        ta_uuid=claims.required(Claim.TA_UUID, _uuid),
        ta=submods or TaClaims(),
        unknown=claims.unknown,
    )


def _component(components: list[SoftwareComponent], kind: str) -> SoftwareComponent:
    found = [component for component in components if component.type == kind]
    if not found:
        raise errors.EvidenceMissing(f"the token: no software component {kind!r}")
    if len(found) > 1:
        raise errors.EvidenceDuplicate(f"the token has the software component {kind!r} twice")
    return found[0]


# What each claim is made of -----------------------------------------------------------------------


def _number(value: object) -> int:
    # bool is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("no number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    if len(value) > 256:
        raise ValueError("a text of more than 256 characters")
    # It will be shown to people, on terminals.
    if not value.isprintable():
        raise ValueError("a text with control characters")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("no byte string")
    return value


def _sized(sizes: range) -> Callable[[object], bytes]:
    def read(value: object) -> bytes:
        data = _bytes(value)
        if len(data) not in sizes:
            raise ValueError(f"{len(data)} bytes, not {sizes.start} to {sizes.stop - 1}")
        return data

    return read


_digest = _sized(range(DIGEST_BYTES, DIGEST_BYTES + 1))
_octets_16 = _sized(range(16, 17))


def _ueid(value: object) -> uuid.UUID:
    data = _bytes(value)
    if len(data) != 17 or data[0] != UEID_RANDOM:
        raise ValueError("not 01 and the 16 bytes of the device's UUID")
    return uuid.UUID(bytes=data[1:])


def _uuid(value: object) -> uuid.UUID:
    return uuid.UUID(bytes=_octets_16(value))


def _lifecycle(value: object) -> int:
    number = _number(value)
    if not 0 <= number <= 0xFFFF:
        raise ValueError("not of 16 bits")
    return number


def _components(value: object) -> list[SoftwareComponent]:
    if not isinstance(value, list) or not 1 <= len(value) <= _COMPONENTS_MAX:
        raise TypeError(f"no array of 1 to {_COMPONENTS_MAX} software components")
    found = []
    for number, item in enumerate(value):
        claims = _Claims(f"software component {number}", item)
        claims.required(Component.ALGORITHM, _sha256)
        found.append(
            SoftwareComponent(
                claims.required(Component.TYPE, _text),
                claims.required(Component.MEASUREMENT, _digest),
                claims.optional(Component.VERSION, _text),
            )
        )
    return found


def _sha256(value: object) -> str:
    if value != "sha-256":
        raise ValueError("measured with another function than sha-256")
    return "sha-256"


def _submods(value: object) -> TaClaims:
    if not isinstance(value, dict) or set(value) != {"ta"}:
        raise ValueError('not one submodule "ta"')
    claims = _Claims("submodule ta", value["ta"])
    return TaClaims(
        name=claims.optional(Claim.SW_NAME, _text),
        version=claims.optional(Claim.SW_VERSION, _version),
        wrapping_key=claims.optional(Claim.CNF, _confirmation),
        signing_key=claims.optional(Claim.SIGNING_KEY, cose_key),
        models=claims.optional(Claim.MODELS, _models) or (),
        challenge=claims.optional(Claim.CHALLENGE, _octets_16),
        unknown=claims.unknown,
    )


def _version(value: object) -> str:
    """RFC 9711, section 4.2.7: [text, ? scheme]; the text alone is understood too."""
    if isinstance(value, list) and 1 <= len(value) <= 2:
        return _text(value[0])
    return _text(value)


def _models(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > _MODELS_MAX:
        raise TypeError(f"no array of up to {_MODELS_MAX} digests")
    return tuple(_digest(item) for item in value)


def _confirmation(value: object) -> ec.EllipticCurvePublicKey:
    """RFC 8747: the key that whoever is attested can prove to have."""
    if not isinstance(value, dict) or set(value) != {1}:
        raise ValueError("a confirmation that is not one COSE_Key")
    return cose_key(value[1])


def thumbprint(key: ec.EllipticCurvePublicKey) -> bytes:
    """RFC 9679, with SHA-256: the key id by which COSE messages name the key."""
    numbers = key.public_numbers()
    point = {-2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    return hashlib.sha256(cbor2.dumps({1: 2, -1: 1, **point}, canonical=True)).digest()


def cose_key(value: object) -> ec.EllipticCurvePublicKey:
    """A public key on P-256, RFC 9053, section 7.1."""
    if not isinstance(value, dict):
        raise TypeError("a COSE_Key is a map")
    kty, curve, x, y = (value.get(label) for label in (1, -1, -2, -3))
    if _number(kty) != 2 or _number(curve) != 1 or -4 in value:
        raise ValueError("no public key on P-256 (kty 2, crv 1)")
    number = ec.EllipticCurvePublicNumbers(
        int.from_bytes(_digest(x), "big"), int.from_bytes(_digest(y), "big"), ec.SECP256R1()
    )
    # ValueError for what is not on the curve.
    return number.public_key()
