# SPDX-License-Identifier: Apache-2.0
"""The owner's certificate authority: it certifies keys of TAs that the owner has to do with."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID, ObjectIdentifier

from sandbox import paths
from sandbox.authority.ca import Authority, Clock, key_digest, key_usage
from sandbox.authority.ledger import utc_now
from sandbox.errors import UserError

# What pyca/cryptography raises for a request that makes no sense.
_X509_ERRORS = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
CERTIFICATE_DAYS = 90
CSR_MAX_BYTES = 16384
# A CSR names the key of the TA by its label: docs/verifier.md.
USAGES = {
    "signing": key_usage(digital_signature=True),
    "wrapping": key_usage(key_agreement=True),
}


class CsrError(UserError):
    """A certificate signing request that is none, or asks for what is not issued."""


class CsrSignatureError(CsrError):
    """A certificate signing request that was not signed with the key that it names."""


@dataclass(frozen=True)
class Request:
    """A checked PKCS#10 request."""

    label: str
    device: uuid.UUID
    key: ec.EllipticCurvePublicKey

    @property
    def subject(self) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, self.label),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, str(self.device)),
            ]
        )


def read_request(data: bytes) -> Request:
    """`data`: a CSR in PEM or DER, made in the TA and carried here by the normal world."""
    if len(data) > CSR_MAX_BYTES:
        raise CsrError(f"a certificate signing request of {len(data)} bytes is too large")
    pem = data.lstrip().startswith(b"-----")
    try:
        csr = x509.load_pem_x509_csr(data) if pem else x509.load_der_x509_csr(data)
        key = csr.public_key()
        subject = [(attribute.oid, attribute.value) for attribute in csr.subject]
        algorithm = csr.signature_hash_algorithm
        asked = list(csr.extensions)
    except _X509_ERRORS as error:
        raise CsrError(f"no certificate signing request (PKCS#10): {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CsrError("the request is for a key that is not on P-256")
    if not isinstance(algorithm, SHA256):
        raise CsrError("the request is not signed with ECDSA and SHA-256")
    if not csr.is_signature_valid:
        raise CsrSignatureError(
            "the request's signature does not verify: whoever made it does not have the key",
            "Make it again: `sandbox keys csr` has the TA sign it.",
        )
    label = _only(subject, NameOID.COMMON_NAME, "common name")
    if label not in USAGES:
        raise CsrError(f"no certificates for keys {label!r}: there are {', '.join(USAGES)}")
    serial = _only(subject, NameOID.SERIAL_NUMBER, "serial number, the device's UUID")
    for extension in asked:
        if extension.value != USAGES[label]:
            raise CsrError(f"the request asks for an extension that is not issued: {extension.oid}")
    return Request(label, _uuid(serial), key)


def _only(
    subject: list[tuple[ObjectIdentifier, str | bytes]], oid: ObjectIdentifier, name: str
) -> str:
    found = [value for other, value in subject if other == oid]
    if len(found) != 1 or not isinstance(found[0], str):
        raise CsrError(f"the subject of the request has {len(found)} of: {name}")
    return found[0]


def _uuid(text: str) -> uuid.UUID:
    try:
        device = uuid.UUID(text)
    except ValueError:
        device = None
    # uuid.UUID() reads several spellings; a subject has one.
    if device is None or str(device) != text:
        raise CsrError(f"the request's serial number is no UUID: {text[:64]!r}")
    return device


class OwnerAuthority(Authority):
    def __init__(self, folder: Path | None = None, clock: Clock = utc_now) -> None:
        where = folder or paths.authority_dir() / "owner"
        super().__init__(where, "optee-sandbox owner", clock)

    def issue(
        self,
        csr: bytes,
        *,
        days: int = CERTIFICATE_DAYS,
        device: uuid.UUID | None = None,
        keys: Collection[ec.EllipticCurvePublicKey] | None = None,
    ) -> x509.Certificate:
        """A certificate for the key of a CSR.

        A CSR proves that its maker has the private key, and no more. `device` and `keys`, from an
        attestation that was affirmed, prove that this is a TA on that device: with both, the
        certificate says so (`ca.ATTESTED`).
        """
        request = read_request(csr)
        if device is not None and request.device != device:
            raise CsrError(
                f"the request is for device {request.device}, the evidence is of {device}"
            )
        if keys is not None and key_digest(request.key) not in map(key_digest, keys):
            raise CsrError("the request's key is none of those that the evidence names")
        usage = USAGES[request.label]
        return self.sign(
            request.subject,
            request.key,
            usage,
            timedelta(days=days),
            attested=device is not None and keys is not None,
        )


def issue(csr_pem: bytes) -> x509.Certificate:
    """By this user's authority, which is made now if there is none; nobody has seen evidence."""
    return OwnerAuthority().issue(csr_pem)
