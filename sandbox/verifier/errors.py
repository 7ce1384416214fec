# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with evidence, with what it is judged by, and with the device it is of."""

from sandbox.errors import UserError


class EvidenceError(UserError):
    """Bytes that are no evidence as docs/verifier.md says it. Nobody has authenticated them yet."""


class EvidenceTruncated(EvidenceError):
    """The CBOR ends before it is complete."""


class EvidenceTrailing(EvidenceError):
    """Bytes follow the token."""


class EvidenceTooLarge(EvidenceError):
    """More bytes than a token has."""


class EvidenceDuplicate(EvidenceError):
    """A map has a key twice: two readers could see two tokens."""


class EvidenceIndefinite(EvidenceError):
    """An item of indefinite length."""


class EvidenceNotShortest(EvidenceError):
    """A number or length that is not written in its shortest form."""


class EvidenceNesting(EvidenceError):
    """Items within items, deeper than a token has them."""


class EvidenceType(EvidenceError):
    """An item of another type, size or range than the profile says."""


class EvidenceAlgorithm(EvidenceError):
    """Signed with another algorithm than ES256, or by headers that are not understood."""


class EvidenceMissing(EvidenceError):
    """A claim that the profile demands is not there."""


class ReferenceValuesError(UserError):
    """Reference values that do not follow their format."""


class PolicyError(UserError):
    """An appraisal policy that does not follow its schema."""


class ChainError(UserError):
    """A file that should have certificates or a revocation list, and has not."""


class AttestationRefused(UserError):
    """Evidence that was understood, and must not be relied on."""


class ProfileRefused(AttestationRefused):
    """Evidence of another profile, or of another implementation."""


class ChainRefused(AttestationRefused):
    """The certificate of the attestation key does not lead to the manufacturer."""


class SignatureRefused(AttestationRefused):
    """The token was not signed with the device's attestation key, or was altered."""


class DeviceRefused(AttestationRefused):
    """Another device than the certificate's, or one that the policy does not allow."""


class NonceRefused(AttestationRefused):
    """The evidence does not answer this challenge, or answers it too late, or again."""


class BootRefused(AttestationRefused):
    """The device has booted since, or is another one."""


class DebugRefused(AttestationRefused):
    """A device in a debug state that the policy does not allow."""


class MeasurementRefused(AttestationRefused):
    """Code that the reference values and the policy do not list."""


class VersionRefused(AttestationRefused):
    """A version that the policy does not list."""


class ModelUnlisted(AttestationRefused):
    """A model that the policy does not list."""


class KeyRefused(AttestationRefused):
    """Evidence that names no key of the TA where one is needed."""
