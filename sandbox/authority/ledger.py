# SPDX-License-Identifier: Apache-2.0
"""One authority's folder: its key, its certificate, and what it issued.

key.pem           the private key, mode 0600
certificate.pem   its own certificate, which relying parties trust
issued.json       one entry for each certificate issued: what a CRL is made from
issued/           the certificates themselves, by serial number

Whoever changes something holds a lock on the folder; each file is replaced whole, or not at all.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.errors import HostError


class AuthorityDamaged(HostError):
    """The files of a certificate authority are not what it wrote."""


@dataclass(frozen=True)
class Entry:
    serial: str  # hexadecimal
    subject: str  # RFC 4514
    key: str  # SHA-256 of the SubjectPublicKeyInfo, hexadecimal
    not_after: int  # seconds since 1970
    renews: str | None = None  # serial of an earlier certificate for the same key and subject
    revoked_at: int | None = None
    reason: str | None = None
    attested: bool = False

    @classmethod
    def from_json(cls, raw: object) -> Self:
        if not isinstance(raw, dict):
            raise TypeError("an entry is no object")
        entry = cls(**raw)
        texts = (entry.serial, entry.subject, entry.key)
        numbers = (entry.not_after, entry.revoked_at or 0, entry.attested)
        if not all(isinstance(text, str) for text in texts) or not all(
            isinstance(number, int) for number in numbers
        ):
            raise TypeError(f"an entry is of other types: {raw}")
        int(entry.serial, 16)
        return entry

    @property
    def number(self) -> int:
        return int(self.serial, 16)

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and now.timestamp() < self.not_after


class Ledger:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = folder / "key.pem"
        self._certificate = folder / "certificate.pem"
        self._index = folder / "issued.json"
        self._issued = folder / "issued"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process at a time makes the keys, issues or revokes; each takes milliseconds."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @property
    def begun(self) -> bool:
        # Written last.
        return self._certificate.exists()

    def begin(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._issued.mkdir(mode=0o700, exist_ok=True)
        _write(self._key, pem)
        _write(self._certificate, certificate.public_bytes(Encoding.PEM))

    def key(self) -> ec.EllipticCurvePrivateKey:
        with self._damage(self._key):
            key = load_pem_private_key(self._key.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError("not an elliptic curve key")
            return key

    def certificate(self) -> x509.Certificate:
        with self._damage(self._certificate):
            return x509.load_pem_x509_certificate(self._certificate.read_bytes())

    def entries(self) -> list[Entry]:
        with self._damage(self._index):
            try:
                text = self._index.read_text()
            except FileNotFoundError:
                return []
            return [Entry.from_json(raw) for raw in json.loads(text)]

    def issued(self, entry: Entry) -> x509.Certificate:
        path = self._path(entry)
        with self._damage(path):
            return x509.load_pem_x509_certificate(path.read_bytes())

    def add(self, certificate: x509.Certificate, entry: Entry) -> None:
        # First: an entry whose certificate is not there would be damage; the reverse is nothing.
        _write(self._path(entry), certificate.public_bytes(Encoding.PEM))
        self.write([*self.entries(), entry])

    def write(self, entries: list[Entry]) -> None:
        _write(self._index, json.dumps([asdict(entry) for entry in entries], indent=1).encode())

    def _path(self, entry: Entry) -> Path:
        return self._issued / f"{entry.number:040x}.pem"

    @contextlib.contextmanager
    def _damage(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityDamaged(
                f"cannot use {path}: {error}",
                (
                    "Put the file back from a backup.",
                    f"Or delete {self.folder}: a new authority is made, and nobody who trusted"
                    " the old one trusts what it issues.",
                ),
            ) from error


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    new.replace(path)


def utc_now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
