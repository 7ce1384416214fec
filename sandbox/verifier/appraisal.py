# SPDX-License-Identifier: Apache-2.0
"""The verifier: evidence, judged by certificates, a nonce, reference values and a policy.

Each judgement is a `Check`; together they are an `Appraisal`, with the trustworthiness vector of
draft-ietf-rats-ar4si. Nothing here raises because of bad evidence: `raise_for_status()` does.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cwt import COSE, COSEKey
from cwt.exceptions import CWTError

from sandbox.errors import UserError
from sandbox.verifier import chain as chains
from sandbox.verifier import errors
from sandbox.verifier.evidence import (
    IMPLEMENTATION_ID,
    PROFILE,
    DebugState,
    Evidence,
    decode,
)
from sandbox.verifier.nonces import Answered, Nonces
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    NOT_JUDGED = "not judged"


class Tier(IntEnum):
    """AR4SI, section 2.3.2: the least of each."""

    NONE = 0
    AFFIRMING = 2
    WARNING = 32
    CONTRAINDICATED = 96

    @property
    def word(self) -> str:
        return self.name.lower()


class Trust(IntEnum):
    """Of trustworthiness claims, AR4SI section 2.3.4; what a value means depends on the claim."""

    UNEXPECTED_EVIDENCE = 1
    APPROVED = 2
    UNRECOGNIZED_CODE = 33
    CONTRAINDICATED = 96
    UNRECOGNIZED = 97
    CRYPTO_FAILED = 99


# Claims of the vector that this verifier makes. It makes none about hardware but that it is not
# ours: an emulator passed no verification of being genuine.
INSTANCE, CONFIGURATION, EXECUTABLES = "instance-identity", "configuration", "executables"
HARDWARE, DATA = "hardware", "sourced-data"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what the relying party wants, what the evidence has."""

    name: str
    expected: str
    seen: str
    verdict: Verdict
    failure: UserError | None = None

    def as_json(self) -> dict[str, str]:
        described = {
            "check": self.name,
            "expected": self.expected,
            "seen": self.seen,
            "verdict": self.verdict.value,
        }
        if self.failure is not None:
            described["error"] = self.failure.name
        return described


@dataclass(frozen=True)
class Appraisal:
    checks: tuple[Check, ...]
    vector: dict[str, int]
    policy_id: str
    at: datetime
    # None: the bytes could not be decoded. Its claims are as good as the checks say.
    evidence: Evidence | None = field(repr=False)

    @property
    def tier(self) -> Tier:
        if any(check.verdict is Verdict.FAIL for check in self.checks):
            return Tier.CONTRAINDICATED
        worst = max(self.vector.values(), default=Trust.UNEXPECTED_EVIDENCE)
        tiers = [tier for tier in Tier if tier <= worst]
        return tiers[-1]

    @property
    def affirming(self) -> bool:
        return self.tier is Tier.AFFIRMING

    def raise_for_status(self) -> None:
        """Raises what the first check that failed says."""
        for check in self.checks:
            if check.failure is not None:
                raise check.failure
        if not self.affirming:
            raise errors.AttestationRefused(f"the appraisal is {self.tier.word}")

    @property
    def accepted(self) -> Evidence:
        """The evidence, if it may be relied on."""
        self.raise_for_status()
        assert self.evidence is not None
        return self.evidence

    @property
    def wrapping_key(self) -> ec.EllipticCurvePublicKey:
        """What keys for the TA are wrapped to."""
        return self._key("wrapping", self.accepted.ta.wrapping_key)

    @property
    def signing_key(self) -> ec.EllipticCurvePublicKey:
        """What the TA signs its results with."""
        return self._key("signing", self.accepted.ta.signing_key)

    @staticmethod
    def _key(name: str, key: ec.EllipticCurvePublicKey | None) -> ec.EllipticCurvePublicKey:
        if key is None:
            raise errors.KeyRefused(
                f"the evidence names no {name} key",
                "Only evidence that the inference TA asked for does.",
            )
        return key

    def as_json(self) -> dict[str, object]:
        return {
            "status": self.tier.word,
            "trustworthiness_vector": self.vector,
            "policy": self.policy_id,
            "checks": [check.as_json() for check in self.checks],
        }


def utc_now() -> datetime:
    return datetime.now(UTC)


class Verifier:
    """Appraises evidence of devices that `roots` endorse.

    `endorsements` finds the certificate chain of a device, by its UUID; `appraise` may be given
    another. With `nonces`, each nonce is good once and for as long as the policy says.
    """

    def __init__(
        self,
        policy: Policy,
        reference: Reference,
        roots: Sequence[x509.Certificate],
        *,
        endorsements: Callable[[uuid.UUID], Sequence[x509.Certificate]] = lambda _: (),
        crls: Sequence[x509.CertificateRevocationList] = (),
        nonces: Nonces | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.policy = policy
        self._reference = reference
        self._roots = roots
        self._endorsements = endorsements
        self._crls = crls
        self._nonces = nonces
        self._clock = clock

    def challenge(self) -> bytes:
        """A new nonce, which the next evidence has to have."""
        if self._nonces is None:
            self._nonces = Nonces(self.policy.max_age_s)
        return self._nonces.issue()

    def appraise(
        self,
        evidence: bytes,
        nonce: bytes,
        *,
        chain: Sequence[x509.Certificate] | None = None,
        bootseed: bytes | None = None,
    ) -> Appraisal:
        """`bootseed`: of earlier evidence, if the device must not have booted since."""
        answered = self._nonces.answer(nonce) if self._nonces is not None else None
        run = _Run(self.policy, self._reference, self._clock())
        try:
            decoded = decode(evidence)
        except errors.EvidenceError as error:
            run.fail("format", "a token of the profile", error.message, error)
            run.vector[INSTANCE] = Trust.UNEXPECTED_EVIDENCE
            return run.result(None)
        run.passed("format", "a token of the profile", f"{len(evidence)} bytes")
        if run.profile(decoded):
            found = chain if chain is not None else self._endorsements(decoded.device)
            if run.crypto(decoded, found, self._roots, self._crls):
                run.nonce(decoded, nonce, answered)
                run.boot(decoded, bootseed)
                run.state(decoded)
                run.core(decoded)
                run.ta(decoded)
                run.models(decoded)
                run.keys(decoded)
        return run.result(decoded)


class _Run:
    """One appraisal under way."""

    def __init__(self, policy: Policy, reference: Reference, at: datetime) -> None:
        self.checks: list[Check] = []
        self.vector: dict[str, int] = {}
        self._policy = policy
        self._reference = reference
        self._at = at

    def result(self, evidence: Evidence | None) -> Appraisal:
        return Appraisal(tuple(self.checks), dict(self.vector), self._policy.id, self._at, evidence)

    def passed(self, name: str, expected: str, seen: str) -> None:
        self.checks.append(Check(name, expected, seen, Verdict.PASS))

    def fail(self, name: str, expected: str, seen: str, failure: UserError) -> None:
        self.checks.append(Check(name, expected, seen, Verdict.FAIL, failure))

    def judge(
        self,
        name: str,
        expected: str,
        seen: str,
        good: bool,
        failure: type[errors.AttestationRefused],
    ) -> bool:
        if good:
            self.passed(name, expected, seen)
        else:
            self.fail(name, expected, seen, failure(f"{name}: expected {expected}, saw {seen}"))
        return good

    def _claim(self, claim: str, value: Trust) -> None:
        """The worst that anything says about it."""
        self.vector[claim] = max(value, self.vector.get(claim, 0))

    # What follows is in the order of the checks ---------------------------------------------------

    def profile(self, evidence: Evidence) -> bool:
        """Another profile's claims mean something else: nothing more is judged."""
        if not self.judge(
            "profile", PROFILE, evidence.profile, evidence.profile == PROFILE, errors.ProfileRefused
        ):
            self._claim(INSTANCE, Trust.UNEXPECTED_EVIDENCE)
            return False
        known = evidence.implementation_id == IMPLEMENTATION_ID
        if not self.judge(
            "implementation",
            f"{IMPLEMENTATION_ID.hex()[:16]}... (optee-sandbox qemu_v8)",
            f"{evidence.implementation_id.hex()[:16]}...",
            known,
            errors.ProfileRefused,
        ):
            self._claim(HARDWARE, Trust.UNRECOGNIZED)
        return True

    def crypto(
        self,
        evidence: Evidence,
        chain: Sequence[x509.Certificate],
        roots: Sequence[x509.Certificate],
        crls: Sequence[x509.CertificateRevocationList],
    ) -> bool:
        """Nothing that an unknown party says is judged."""
        wanted = "issued by the manufacturer, valid, for attestation"
        try:
            attester = chains.check(chain, roots, crls, self._at)
        except errors.ChainRefused as error:
            self.fail("certificate", wanted, error.message, error)
            revoked = isinstance(error, chains.CertificateRevoked)
            self._claim(INSTANCE, Trust.CONTRAINDICATED if revoked else Trust.CRYPTO_FAILED)
            return self._rest_not_judged()
        self.passed("certificate", wanted, f"serial {attester.certificate.serial_number:x}")
        if not self.judge(
            "signature",
            "ES256 by the attestation key",
            "verifies" if _signed_by(evidence, attester.key) else "does not verify",
            _signed_by(evidence, attester.key),
            errors.SignatureRefused,
        ):
            self._claim(INSTANCE, Trust.CRYPTO_FAILED)
            return self._rest_not_judged()
        # The key says whose evidence it is; the token has to say the same, everywhere.
        same = evidence.device == attester.device and evidence.kid in (None, evidence.ueid)
        allowed = self._policy.devices is None or evidence.device in self._policy.devices
        self.judge("device", str(attester.device), str(evidence.device), same, errors.DeviceRefused)
        if self._policy.devices is not None:
            listed = f"one of {len(self._policy.devices)} in the policy"
            self.judge("device listed", listed, str(evidence.device), allowed, errors.DeviceRefused)
        if not same:
            self._claim(INSTANCE, Trust.CONTRAINDICATED)
        else:
            self._claim(INSTANCE, Trust.APPROVED if allowed else Trust.UNRECOGNIZED)
        return True

    def _rest_not_judged(self) -> bool:
        self.checks.append(
            Check("claims", "of a known device", "of an unknown one", Verdict.NOT_JUDGED)
        )
        return False

    def nonce(self, evidence: Evidence, nonce: bytes, answered: Answered | None) -> None:
        self.judge(
            "nonce", nonce.hex(), evidence.nonce.hex(), evidence.nonce == nonce, errors.NonceRefused
        )
        if answered is not None:
            self.judge(
                "freshness",
                f"answered once, within {self._policy.max_age_s:.0f} s",
                answered.value,
                answered is Answered.IN_TIME,
                errors.NonceRefused,
            )

    def boot(self, evidence: Evidence, bootseed: bytes | None) -> None:
        if bootseed is not None:
            self.judge(
                "boot",
                f"{bootseed.hex()[:16]}...",
                f"{evidence.bootseed.hex()[:16]}...",
                evidence.bootseed == bootseed,
                errors.BootRefused,
            )

    def state(self, evidence: Evidence) -> None:
        allowed = self._policy.debug_allowed
        locked = evidence.debug is not DebugState.ENABLED
        good = self.judge(
            "debug",
            "allowed in any state" if allowed else "disabled",
            evidence.debug.words,
            allowed or locked,
            errors.DebugRefused,
        )
        low, high = (_SECURED, _DECOMMISSIONED) if allowed else (_SECURED, _SECURED + 0x1000)
        good &= self.judge(
            "lifecycle",
            "secured, or open for debugging" if allowed else "secured",
            _lifecycle_words(evidence.lifecycle),
            low <= evidence.lifecycle < high and _assigned(evidence.lifecycle),
            errors.DebugRefused,
        )
        self._claim(CONFIGURATION, Trust.APPROVED if good else Trust.CONTRAINDICATED)

    def core(self, evidence: Evidence) -> None:
        rules = self._policy.cores
        allowed = (
            {(self._reference.core.version, self._reference.core.sha256)}
            if rules is None
            else {(rule.version, rule.sha256) for rule in rules}
        )
        seen = (evidence.core.version or "of no version", evidence.core.measurement)
        good = self.judge(
            "OP-TEE core",
            _one_of([f"{version} {digest.hex()[:16]}..." for version, digest in sorted(allowed)]),
            f"{seen[0]} {seen[1].hex()[:16]}...",
            seen in allowed,
            errors.MeasurementRefused,
        )
        self._claim(EXECUTABLES, Trust.APPROVED if good else Trust.UNRECOGNIZED_CODE)

    def ta(self, evidence: Evidence) -> None:
        rule = self._policy.rule(evidence.ta_uuid)
        if not self.judge(
            "TA",
            _one_of([str(listed.uuid) for listed in self._policy.tas]),
            str(evidence.ta_uuid),
            rule is not None,
            errors.MeasurementRefused,
        ):
            self._claim(EXECUTABLES, Trust.UNRECOGNIZED_CODE)
            return
        assert rule is not None
        measurements = (
            self._reference.measurements(rule.uuid)
            if rule.measurements is None
            else rule.measurements
        )
        good = self.judge(
            "TA code",
            _one_of([f"{digest.hex()[:16]}..." for digest in sorted(measurements)]),
            f"{evidence.ta_code.measurement.hex()[:16]}...",
            evidence.ta_code.measurement in measurements,
            errors.MeasurementRefused,
        )
        if not rule.any_version:
            versions = (
                self._reference.versions(rule.uuid) if rule.versions is None else rule.versions
            )
            good &= self.judge(
                "TA version",
                _one_of([version or "none" for version in sorted(versions)]),
                evidence.ta.version or "none",
                (evidence.ta.version or "") in versions,
                errors.VersionRefused,
            )
        self._claim(EXECUTABLES, Trust.APPROVED if good else Trust.UNRECOGNIZED_CODE)

    def models(self, evidence: Evidence) -> None:
        allowed, seen = self._policy.models, evidence.ta.models
        if allowed is None:
            self.passed("models", "any", f"{len(seen)}")
            return
        strangers = [digest.hex()[:16] for digest in seen if digest not in allowed]
        good = self.judge(
            "models",
            f"only the {len(allowed)} in the policy",
            f"not listed: {', '.join(strangers)}" if strangers else f"{len(seen)}, all listed",
            not strangers,
            errors.ModelUnlisted,
        )
        self._claim(DATA, Trust.APPROVED if good else Trust.CONTRAINDICATED)

    def keys(self, evidence: Evidence) -> None:
        """Not every TA has keys: whoever needs one asks for it, and is refused then."""
        names = {"wrapping": evidence.ta.wrapping_key, "signing": evidence.ta.signing_key}
        there = [name for name, key in names.items() if key is not None]
        self.passed("keys of the TA", "as the TA has", ", ".join(there) or "none")


# RFC 9783, section 4.3.1: states begin at these numbers.
_SECURED, _DECOMMISSIONED = 0x3000, 0x6000
_LIFECYCLE = (
    "unknown",
    "assembly and test",
    "PSA RoT provisioning",
    "secured",
    "non-PSA RoT debug",
    "recoverable PSA RoT debug",
    "decommissioned",
)


def _assigned(lifecycle: int) -> bool:
    """A state has 256 numbers, the rest is nobody's."""
    return lifecycle >> 12 < len(_LIFECYCLE) and lifecycle & 0xFFF < 0x100


def _lifecycle_words(lifecycle: int) -> str:
    state = _LIFECYCLE[lifecycle >> 12] if _assigned(lifecycle) else "no state"
    return f"{state} (0x{lifecycle:04x})"


def _one_of(words: Sequence[str]) -> str:
    if not words:
        return "none is allowed"
    shown = ", ".join(words[:3])
    return shown if len(words) <= 3 else f"{shown} or {len(words) - 3} more"


def _signed_by(evidence: Evidence, key: ec.EllipticCurvePublicKey) -> bool:
    """The form of the token is known: `decode` has looked through it."""
    numbers = key.public_numbers()
    parameters = {
        1: 2,
        3: -7,
        -1: 1,
        -2: numbers.x.to_bytes(32, "big"),
        -3: numbers.y.to_bytes(32, "big"),
    }
    if evidence.kid is not None:
        # cwt looks for a key of this id; which key it has to be, the certificate says.
        parameters[2] = evidence.kid
    try:
        COSE.new().decode(evidence.token, COSEKey.new(parameters))
    except (CWTError, ValueError):
        return False
    return True
