# SPDX-License-Identifier: Apache-2.0
"""Attestation results: EAR (draft-ietf-rats-ear-04) as a JWT, signed with the verifier's key."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.verifier.appraisal import Appraisal
from sandbox.verifier.evidence import Evidence

PROFILE = "tag:ietf.org,2026:rats/ear#04"
DEVELOPER = "tag:optee-sandbox.example,2026:verifier"
BUILD = "sandbox verify 1"
# The only attester: OP-TEE core, for the TA whose code it measured.
SUBMOD = "optee"
LIFETIME_S = 3600


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """RFC 7518, section 6.2: what relying parties check an EAR with."""
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _base64url(numbers.x.to_bytes(32, "big")),
        "y": _base64url(numbers.y.to_bytes(32, "big")),
    }


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638."""
    canonical = json.dumps(jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def claims(appraisal: Appraisal) -> dict[str, Any]:
    """The claims set, before it is signed."""
    issued_at = int(appraisal.at.timestamp())
    judged: dict[str, Any] = {
        "ear_status": appraisal.tier.word,
        "ear_trustworthiness_vector": appraisal.vector,
        "ear_appraisal_policy_ids": [appraisal.policy_id],
        "ear_verifier_claims": {"checks": [check.as_json() for check in appraisal.checks]},
    }
    if appraisal.evidence is not None:
        judged["eat_nonce"] = _base64url(appraisal.evidence.nonce)
        judged["ear_attester_claims"] = attester_claims(appraisal.evidence)
    return {
        "eat_profile": PROFILE,
        "iat": issued_at,
        "exp": issued_at + LIFETIME_S,
        "ear_verifier_id": {"developer": DEVELOPER, "build": BUILD},
        "ear_status": appraisal.tier.word,
        "submods": {SUBMOD: judged},
    }


def attester_claims(evidence: Evidence) -> dict[str, Any]:
    """Claims of the evidence by their names in RFC 9711, bytes in base64url."""
    ta = evidence.ta
    described: dict[str, Any] = {
        "eat_profile": evidence.profile,
        "ueid": _base64url(evidence.ueid),
        "bootseed": _base64url(evidence.bootseed),
        "dbgstat": evidence.debug.words.replace(" ", "-"),
        "ta_uuid": str(evidence.ta_uuid),
        "swname": ta.name,
        "swversion": [ta.version] if ta.version is not None else None,
        "cnf": {"jwk": jwk(ta.wrapping_key)} if ta.wrapping_key is not None else None,
        "models": [_base64url(model) for model in ta.models],
    }
    return {name: value for name, value in described.items() if value is not None}


def sign(appraisal: Appraisal, key: ec.EllipticCurvePrivateKey) -> str:
    """The JWT; its key id is the RFC 7638 thumbprint of the verifier's key."""
    # Imported late: few want a result for others.
    import jwt

    headers = {"kid": thumbprint(key.public_key()), "typ": "eat+jwt"}
    return jwt.encode(claims(appraisal), key, algorithm="ES256", headers=headers)
