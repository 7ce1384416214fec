# SPDX-License-Identifier: Apache-2.0
"""What came out of judging evidence: checks, a trustworthiness vector, what follows from them.

The vector and its values are those of draft-ietf-rats-ar4si.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.errors import UserError
from sandbox.verifier import errors
from sandbox.verifier.evidence import Evidence


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    # The relying party has said that it goes without.
    WARN = "warning"
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


def tier_of(value: int) -> Tier:
    """AR4SI, section 2.3.2: -1 to 1, then 2 to 31 and -2 to -32, and so on."""
    rank = value if value >= -1 else max(Tier.AFFIRMING, -value - 1)
    return [tier for tier in Tier if tier <= max(rank, 0)][-1]


class Trust(IntEnum):
    """Of trustworthiness claims, AR4SI section 2.3.4; what a value means depends on the claim.

    A negative value has a reason of the verifier's own, in the tiers as the positive ones.
    """

    REVOCATION_UNKNOWN = -33

    UNEXPECTED_EVIDENCE = 1
    APPROVED = 2
    UNRECOGNIZED_CODE = 33
    CONTRAINDICATED = 96
    UNRECOGNIZED = 97
    CRYPTO_FAILED = 99

    @property
    def tier(self) -> Tier:
        return tier_of(self)


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
    vector: dict[str, Trust]
    policy_id: str
    at: datetime
    # None: the bytes could not be decoded. Its claims are as good as the checks say.
    evidence: Evidence | None = field(repr=False)

    @property
    def tier(self) -> Tier:
        if any(check.verdict is Verdict.FAIL for check in self.checks):
            return Tier.CONTRAINDICATED
        if not self.vector:
            return Tier.NONE
        return max(value.tier for value in self.vector.values())

    @property
    def affirming(self) -> bool:
        return self.tier is Tier.AFFIRMING

    @property
    def good(self) -> bool:
        """All holds; but for what the relying party itself goes without, where it warns."""
        return self.tier in (Tier.AFFIRMING, Tier.WARNING)

    def raise_for_status(self) -> None:
        """Raises what the first check that failed says."""
        for check in self.checks:
            if check.failure is not None:
                raise check.failure
        if not self.good:
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
