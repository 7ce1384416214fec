# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of one level: it makes its key at first use, issues, renews, revokes.

X.509 as RFC 5280 has it, P-256 and SHA-256 throughout.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from sandbox.authority.ledger import Entry, Ledger, utc_now
from sandbox.errors import UserError

ROOT_YEARS = 20
CRL_DAYS = 7
# Two hosts' clocks may differ by this much.
_CLOCK_SKEW = timedelta(minutes=5)
REASONS = tuple(
    flag.value
    for flag in x509.ReasonFlags
    # The last one is for CRLs that build on others (RFC 5280, section 5.3.1).
    if flag not in (x509.ReasonFlags.remove_from_crl, x509.ReasonFlags.certificate_hold)
)

# A certificate policy (RFC 5280, section 4.2.1.4), of the arc that any UUID has (X.667): evidence
# that was affirmed named this key. Of a certificate without it nobody has seen evidence.
ATTESTED = x509.ObjectIdentifier("2.25.39794210331594484657139137837913101775")

# After these the same key may be certified again: nothing is wrong with the key.
_KEY_IS_GOOD = {"superseded", "affiliationChanged", "cessationOfOperation"}

Clock = Callable[[], datetime]


class CertificateUnknown(UserError):
    """This authority issued no such certificate."""


class KeyRevoked(UserError):
    """A certificate was asked for a key whose certificate was revoked."""


def key_usage(*, digital_signature: bool = False, key_agreement: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def subject_text(name: x509.Name) -> str:
    """RFC 4514, which has no short name for a serial number."""
    return name.rfc4514_string({NameOID.SERIAL_NUMBER: "serialNumber"})


def _from_timestamp(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class Authority:
    def __init__(self, folder: Path, name: str, clock: Clock = utc_now) -> None:
        """`name` is the common name of the root certificate, if it has to be made."""
        self._ledger = Ledger(folder)
        self._name = name
        self._clock = clock

    @property
    def folder(self) -> Path:
        return self._ledger.folder

    def certificate(self) -> x509.Certificate:
        """The root: what relying parties trust."""
        if not self._ledger.begun:
            with self._ledger.locked():
                self._begin()
        return self._ledger.certificate()

    def _begin(self) -> None:
        if self._ledger.begun:
            return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        now = self._clock()
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=365 * ROOT_YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, SHA256())
        )
        self._ledger.begin(key, certificate)

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        usage: x509.KeyUsage,
        lifetime: timedelta | None,
        *,
        reuse: bool = False,
        attested: bool = False,
    ) -> x509.Certificate:
        """A certificate for `key`, as long as the root at most; None: as long as the root.

        With `reuse`, one that is valid and says the same is handed out again. `attested` is said in
        the certificate: see `ATTESTED`.
        """
        with self._ledger.locked():
            self._begin()
            now = self._clock()
            digest, named = key_digest(key), subject_text(subject)
            earlier = [entry for entry in self._ledger.entries() if entry.key == digest]
            revoked = next(
                (e for e in earlier if e.revoked_at is not None and e.reason not in _KEY_IS_GOOD),
                None,
            )
            if revoked is not None:
                raise KeyRevoked(
                    f"the certificate {revoked.serial} for this key was revoked ({revoked.reason})",
                    "A key that was revoked gets no other certificate: make a new one.",
                )
            same = [entry for entry in earlier if entry.subject == named and entry.valid(now)]
            if reuse and same:
                return self._ledger.issued(same[-1])
            certificate = self._build(subject, key, usage, lifetime, now, attested=attested)
            entry = Entry(
                serial=f"{certificate.serial_number:x}",
                subject=named,
                key=digest,
                not_after=int(certificate.not_valid_after_utc.timestamp()),
                renews=same[-1].serial if same else None,
                attested=attested,
            )
            self._ledger.add(certificate, entry)
            return certificate

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        usage: x509.KeyUsage,
        lifetime: timedelta | None,
        now: datetime,
        *,
        attested: bool,
    ) -> x509.Certificate:
        root = self._ledger.certificate()
        end = root.not_valid_after_utc
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(end if lifetime is None else min(end, now + lifetime))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
        )
        if attested:
            policies = x509.CertificatePolicies([x509.PolicyInformation(ATTESTED, None)])
            builder = builder.add_extension(policies, critical=False)
        return builder.sign(self._ledger.key(), SHA256())

    def issued(self) -> list[Entry]:
        return self._ledger.entries() if self._ledger.begun else []

    def certificates(self) -> list[x509.Certificate]:
        """All that were issued and are valid now."""
        now = self._clock()
        return [self._ledger.issued(entry) for entry in self.issued() if entry.valid(now)]

    def newest(self, subject: str) -> x509.Certificate | None:
        """Of this subject (RFC 4514): the newest that is valid, or else the newest."""
        found = [entry for entry in self.issued() if entry.subject == subject]
        if not found:
            return None
        valid = [entry for entry in found if entry.valid(self._clock())]
        return self._ledger.issued((valid or found)[-1])

    def revoke(self, serial: int, reason: str = "unspecified") -> Entry:
        """From the next CRL on the certificate is refused; revoking twice changes nothing."""
        flag = x509.ReasonFlags(reason)
        with self._ledger.locked():
            entries = self._ledger.entries()
            entry = next((entry for entry in entries if entry.number == serial), None)
            if entry is None:
                raise CertificateUnknown(
                    f"no certificate of serial number {serial:x} was issued here",
                    f"{self._ledger.folder} has what was issued.",
                )
            if entry.revoked_at is None:
                revoked = dataclasses.replace(
                    entry, revoked_at=int(self._clock().timestamp()), reason=flag.value
                )
                self._ledger.write([revoked if e is entry else e for e in entries])
                return revoked
            return entry

    def crl(self) -> x509.CertificateRevocationList:
        """What is revoked now, for the next week (RFC 5280, section 5)."""
        with self._ledger.locked():
            self._begin()
            root, now = self._ledger.certificate(), self._clock()
            identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(root.subject)
                .last_update(now)
                .next_update(now + timedelta(days=CRL_DAYS))
                # Grows with time, which is all that the number is for.
                .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                    critical=False,
                )
            )
            for entry in self._ledger.entries():
                if entry.revoked_at is None:
                    continue
                revoked = (
                    x509.RevokedCertificateBuilder()
                    .serial_number(entry.number)
                    .revocation_date(_from_timestamp(entry.revoked_at))
                )
                reason = x509.ReasonFlags(entry.reason)
                # RFC 5280, section 5.3.1: "unspecified" is said by saying nothing.
                if reason is not x509.ReasonFlags.unspecified:
                    revoked = revoked.add_extension(x509.CRLReason(reason), critical=False)
                builder = builder.add_revoked_certificate(revoked.build())
            return builder.sign(self._ledger.key(), SHA256())
