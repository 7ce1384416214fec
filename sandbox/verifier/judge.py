# SPDX-License-Identifier: Apache-2.0
"""Each judgement of the verifier, one method a line of the appraisal."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cwt import COSE, COSEKey
from cwt.exceptions import CWTError

from sandbox.errors import UserError
from sandbox.verifier import chain as chains
from sandbox.verifier import errors
from sandbox.verifier.appraisal import (
    CONFIGURATION,
    DATA,
    EXECUTABLES,
    HARDWARE,
    INSTANCE,
    Appraisal,
    Check,
    Trust,
    Verdict,
)
from sandbox.verifier.evidence import IMPLEMENTATION_ID, PROFILE, DebugState, Evidence
from sandbox.verifier.nonces import Answered
from sandbox.verifier.policy import Policy
from sandbox.verifier.reference import Reference

_FORMAT = "a token of the profile"


class Judge:
    """One appraisal under way."""

    def __init__(self, policy: Policy, reference: Reference, at: datetime) -> None:
        self._checks: list[Check] = []
        self._vector: dict[str, Trust] = {}
        self._policy = policy
        self._reference = reference
        self._at = at

    def result(self, evidence: Evidence | None) -> Appraisal:
        return Appraisal(
            tuple(self._checks), dict(self._vector), self._policy.id, self._at, evidence
        )

    def _pass(self, name: str, expected: str, seen: str) -> None:
        self._checks.append(Check(name, expected, seen, Verdict.PASS))

    def _fail(self, name: str, expected: str, seen: str, failure: UserError) -> None:
        self._checks.append(Check(name, expected, seen, Verdict.FAIL, failure))

    def _judge(
        self,
        name: str,
        expected: str,
        seen: str,
        good: bool,
        failure: type[errors.AttestationRefused],
    ) -> bool:
        if good:
            self._pass(name, expected, seen)
        else:
            self._fail(name, expected, seen, failure(f"{name}: expected {expected}, saw {seen}"))
        return good

    def _claim(self, claim: str, value: Trust) -> None:
        """The worst that anything says about it."""
        self._vector[claim] = max(
            value, self._vector.get(claim, value), key=lambda trust: (trust.tier, trust)
        )

    # What follows is in the order of the checks ---------------------------------------------------

    def unreadable(self, error: errors.EvidenceError) -> Appraisal:
        self._fail("format", _FORMAT, error.message, error)
        self._claim(INSTANCE, Trust.UNEXPECTED_EVIDENCE)
        return self.result(None)

    def readable(self, evidence: Evidence) -> None:
        self._pass("format", _FORMAT, f"{len(evidence.token)} bytes")

    def profile(self, evidence: Evidence) -> bool:
        """Another profile's claims mean something else: nothing more is judged."""
        if not self._judge(
            "profile", PROFILE, evidence.profile, evidence.profile == PROFILE, errors.ProfileRefused
        ):
            self._claim(INSTANCE, Trust.UNEXPECTED_EVIDENCE)
            return False
        known = evidence.implementation_id == IMPLEMENTATION_ID
        if not self._judge(
            "implementation",
            f"{IMPLEMENTATION_ID.hex()[:16]}... (optee-sandbox qemu_v8)",
            f"{evidence.implementation_id.hex()[:16]}...",
            known,
            errors.ProfileRefused,
        ):
            self._claim(HARDWARE, Trust.UNRECOGNIZED)
        return True

    def signer(
        self,
        evidence: Evidence,
        chain: Sequence[x509.Certificate],
        roots: Sequence[x509.Certificate],
        crls: Sequence[x509.CertificateRevocationList] | None,
    ) -> bool:
        """Nothing that an unknown party says is judged."""
        wanted = "issued by the manufacturer, valid, for attestation"
        try:
            attester = chains.check(chain, roots, self._at)
        except errors.ChainRefused as error:
            self._fail("certificate", wanted, error.message, error)
            self._claim(INSTANCE, Trust.CRYPTO_FAILED)
            return self._rest_not_judged()
        self._pass("certificate", wanted, f"serial {attester.certificate.serial_number:x}")
        if not self._revocation(attester, crls):
            return self._rest_not_judged()
        if not self._judge(
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
        self._judge(
            "device", str(attester.device), str(evidence.device), same, errors.DeviceRefused
        )
        if self._policy.devices is not None:
            listed = f"one of {len(self._policy.devices)} in the policy"
            self._judge(
                "device listed", listed, str(evidence.device), allowed, errors.DeviceRefused
            )
        if not same:
            self._claim(INSTANCE, Trust.CONTRAINDICATED)
        else:
            self._claim(INSTANCE, Trust.APPROVED if allowed else Trust.UNRECOGNIZED)
        return True

    def _revocation(
        self, attester: chains.Attester, crls: Sequence[x509.CertificateRevocationList] | None
    ) -> bool:
        wanted = "on no list of its issuer"
        if crls is None:
            self._checks.append(Check("revocation", wanted, "no list is asked", Verdict.WARN))
            self._claim(INSTANCE, Trust.REVOCATION_UNKNOWN)
            return True
        try:
            until = chains.check_revocation(attester, crls, self._at)
        except errors.ChainRefused as error:
            self._fail("revocation", wanted, error.message, error)
            revoked = isinstance(error, chains.CertificateRevoked)
            self._claim(INSTANCE, Trust.CONTRAINDICATED if revoked else Trust.CRYPTO_FAILED)
            return False
        self._pass("revocation", wanted, f"known until {until:%Y-%m-%d}")
        return True

    def _rest_not_judged(self) -> bool:
        self._checks.append(
            Check("claims", "of a known device", "of an unknown one", Verdict.NOT_JUDGED)
        )
        return False

    def nonce(self, evidence: Evidence, nonce: bytes, answered: Answered | None) -> None:
        fresh = self._judge(
            "nonce", nonce.hex(), evidence.nonce.hex(), evidence.nonce == nonce, errors.NonceRefused
        )
        if answered is not None:
            fresh &= self._judge(
                "freshness",
                f"answered once, within {self._policy.max_age_s:.0f} s",
                answered.value,
                answered is Answered.IN_TIME,
                errors.NonceRefused,
            )
        if not fresh:
            # It says what was, if anything: whoever reads one claim alone is to see that.
            for claim in (INSTANCE, CONFIGURATION, EXECUTABLES):
                self._claim(claim, Trust.CRYPTO_FAILED)

    def boot(self, evidence: Evidence, bootseed: bytes | None) -> None:
        if bootseed is not None and not self._judge(
            "boot",
            f"{bootseed.hex()[:16]}...",
            f"{evidence.bootseed.hex()[:16]}...",
            evidence.bootseed == bootseed,
            errors.BootRefused,
        ):
            # Another life of the device than the one that was known.
            self._claim(INSTANCE, Trust.UNRECOGNIZED)

    def state(self, evidence: Evidence) -> None:
        allowed = self._policy.debug_allowed
        locked = evidence.debug is not DebugState.ENABLED
        good = self._judge(
            "debug",
            "allowed in any state" if allowed else "disabled",
            evidence.debug.words,
            allowed or locked,
            errors.DebugRefused,
        )
        low, high = (_SECURED, _DECOMMISSIONED) if allowed else (_SECURED, _SECURED + 0x1000)
        good &= self._judge(
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
        good = self._judge(
            "OP-TEE core",
            _one_of([f"{version} {digest.hex()[:16]}..." for version, digest in sorted(allowed)]),
            f"{seen[0]} {seen[1].hex()[:16]}...",
            seen in allowed,
            errors.MeasurementRefused,
        )
        self._claim(EXECUTABLES, Trust.APPROVED if good else Trust.UNRECOGNIZED_CODE)

    def ta(self, evidence: Evidence) -> None:
        rule = self._policy.rule(evidence.ta_uuid)
        if not self._judge(
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
        good = self._judge(
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
            good &= self._judge(
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
            self._pass("models", "any", f"{len(seen)}")
            return
        strangers = [digest.hex()[:16] for digest in seen if digest not in allowed]
        good = self._judge(
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
        self._pass("keys of the TA", "as the TA has", ", ".join(there) or "none")


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
