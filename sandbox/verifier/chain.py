# SPDX-License-Identifier: Apache-2.0
"""From an attestation key's certificate to the manufacturer: X.509 path validation.

pyca/cryptography validates the path (RFC 5280). What it would not say in a word is asked before:
a date, a revocation, a key usage.
"""

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from sandbox.verifier.errors import ChainError, ChainRefused

# What pyca/cryptography raises for certificates that make no sense.
X509_ERRORS = (
    ValueError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
FILE_MAX_BYTES = 1 << 20
_CHAIN_MAX = 8
SUBJECT_NAME = "attestation"


class CertificateRevoked(ChainRefused):
    """A certificate that its issuer has taken back."""


class RevocationUnknown(ChainRefused):
    """Nothing that can be relied on says whether a certificate was taken back."""


class CertificateExpired(ChainRefused):
    """A certificate outside of its validity."""


class CertificateUntrusted(ChainRefused):
    """No path from the certificate to a root that is trusted."""


class CertificateMisused(ChainRefused):
    """A certificate for something else than signing evidence."""


@dataclass(frozen=True)
class Attester:
    """Whose evidence a certificate lets us check."""

    key: ec.EllipticCurvePublicKey
    device: uuid.UUID
    # From the attestation key's to the manufacturer's own.
    path: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.path[0]


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Of a PEM file: the device's certificate first, then those between it and the root."""
    try:
        found = x509.load_pem_x509_certificates(_read(path))
    except X509_ERRORS as error:
        raise ChainError(f"{path}: no certificates in PEM: {error}") from error
    if len(found) > _CHAIN_MAX:
        raise ChainError(f"{path}: {len(found)} certificates; a chain has {_CHAIN_MAX} at most")
    return found


def load_crl(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(_read(path))
    except X509_ERRORS as error:
        raise ChainError(f"{path}: no certificate revocation list in PEM: {error}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ChainError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > FILE_MAX_BYTES:
        raise ChainError(f"{path} has more than {FILE_MAX_BYTES} bytes")
    return data


def check(
    chain: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> Attester:
    """Raises a ChainRefused that says why not; everything that fails in parsing is one, too.

    Whether a certificate was taken back is another question: `check_revocation`.
    """
    try:
        return _check(chain, roots, at)
    except X509_ERRORS as error:
        raise CertificateUntrusted(f"a certificate of the chain makes no sense: {error}") from error


def check_revocation(
    attester: Attester, crls: Sequence[x509.CertificateRevocationList], at: datetime
) -> datetime:
    """Each issuer of the path has a valid list, and none of the path is on it.

    Until when that is known. Raises a ChainRefused otherwise.
    """
    try:
        return min(
            (
                _check_crls(certificate, issuer, crls, at)
                for certificate, issuer in zip(attester.path, attester.path[1:], strict=False)
            ),
            # A certificate that is trusted by itself: nobody else takes it back.
            default=attester.certificate.not_valid_after_utc,
        )
    except X509_ERRORS as error:
        raise RevocationUnknown(f"a revocation list makes no sense: {error}") from error


def _check(
    chain: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> Attester:
    if not chain:
        raise CertificateUntrusted("there is no certificate of the attestation key")
    leaf = chain[0]
    for certificate in chain:
        _check_dates(certificate, at)
    try:
        path = (
            PolicyBuilder()
            .store(Store(list(roots)))
            .time(at.astimezone(UTC).replace(tzinfo=None))
            .max_chain_depth(_CHAIN_MAX)
            .extension_policies(
                ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_end_entity()
            )
            .build_client_verifier()
            .verify(leaf, list(chain[1:]))
            .chain
        )
    except VerificationError as error:
        _say_usage(leaf)
        raise CertificateUntrusted(f"no path to the manufacturer: {error}") from error
    _check_dates(path[-1], at)
    return _attester(tuple(path))


def _check_dates(certificate: x509.Certificate, at: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= at <= end:
        raise CertificateExpired(
            f"certificate of {_words(certificate.subject)} is valid from"
            f" {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
        )


def _words(name: x509.Name) -> str:
    """For a terminal: whoever made the certificate chose the characters."""
    text = name.rfc4514_string({NameOID.SERIAL_NUMBER: "serialNumber"})
    return "".join(c if c.isprintable() else "?" for c in text)


def _end_entity() -> ExtensionPolicy:
    """A certificate that is no CA's, for signatures, and for no use of another protocol.

    RFC 5280, section 4.2.1.12: an extended key usage limits what a key is for. None is for
    evidence, so whoever issued a certificate with one meant something else.
    """

    def usage(policy: Policy, certificate: x509.Certificate, value: x509.KeyUsage) -> None:
        del policy, certificate
        if not value.digital_signature or value.key_cert_sign:
            raise ValueError("key usage is not that of an attestation key")

    def constraints(
        policy: Policy, certificate: x509.Certificate, value: x509.BasicConstraints | None
    ) -> None:
        del policy, certificate
        if value is not None and value.ca:
            raise ValueError("a certificate authority's certificate")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, usage)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, constraints)
        .require_not_present(x509.ExtendedKeyUsage)
    )


def _say_usage(leaf: x509.Certificate) -> None:
    """The library says of a key usage only that a validator failed."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise CertificateMisused("the certificate does not say what its key is for") from None
    if not usage.digital_signature or usage.key_cert_sign:
        raise CertificateMisused("the certificate's key usage is not that of an attestation key")
    with contextlib.suppress(x509.ExtensionNotFound):
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        raise CertificateMisused(
            "the certificate's extended key usage is"
            f" {', '.join(use.dotted_string for use in uses)}: no attestation key has one"
        )


def _check_crls(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Sequence[x509.CertificateRevocationList],
    at: datetime,
) -> datetime:
    """Until when the issuer's lists are valid."""
    known: list[datetime] = []
    for crl in crls:
        if crl.issuer != issuer.subject:
            continue
        if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
            raise RevocationUnknown(f"the revocation list of {_words(crl.issuer)} is forged")
        # RFC 5280, section 5.2: a list whose critical extensions are not understood may be of a
        # part of the certificates only, or changes of another list.
        if any(extension.critical for extension in crl.extensions):
            raise RevocationUnknown(
                f"the revocation list of {_words(crl.issuer)} has a critical extension: it may"
                " not be of all certificates"
            )
        # Section 5.1.2.5: each has one.
        if crl.next_update_utc is None or crl.next_update_utc < at:
            raise RevocationUnknown(
                f"the revocation list of {_words(crl.issuer)} is of"
                f" {crl.last_update_utc:%Y-%m-%d}, and no longer valid"
            )
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise CertificateRevoked(f"certificate {certificate.serial_number:x} was revoked")
        known.append(crl.next_update_utc)
    if not known:
        raise RevocationUnknown(
            f"there is no revocation list of {_words(issuer.subject)}: the certificate may have"
            " been taken back",
            "Name its list with --crl; `--no-revocation` goes without, and the appraisal warns.",
        )
    return min(known)


def _attester(path: tuple[x509.Certificate, ...]) -> Attester:
    leaf = path[0]
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateMisused("the certificate's key is not on P-256")
    names = [a.value for a in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    serials = [a.value for a in leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    if names != [SUBJECT_NAME]:
        raise CertificateMisused(
            f"the certificate is of {names}, not of a key for {SUBJECT_NAME!r}"
        )
    if len(serials) != 1:
        raise CertificateMisused("the certificate's subject names no device")
    try:
        return Attester(key, uuid.UUID(str(serials[0])), path)
    except ValueError as error:
        raise CertificateMisused(
            f"the certificate's subject names no device: {serials[0]!r}"
        ) from error
