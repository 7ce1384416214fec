# SPDX-License-Identifier: Apache-2.0
"""The verifier's own signing keys: P-256, in a file that only its owner reads."""

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox.errors import HostError


class SigningKeyDamaged(HostError):
    """The file of a signing key has something else in it."""


def kept_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in `path`, made there at the first use."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            # Whoever links first wins; the others use that key.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
        finally:
            temporary.unlink()
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise TypeError("not a key on P-256")
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyDamaged(
            f"cannot use {path}: {error}",
            "Move it away: a new one is made, and nobody who knew the old one knows it.",
        ) from error
    return key
