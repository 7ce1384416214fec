# SPDX-License-Identifier: Apache-2.0
"""Owners' keys, and how one reaches the TA: the only module that knows the wrapping (HPKE)."""

import contextlib
import os
from pathlib import Path

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.errors import UserError
from sandbox.owner.sealed_file import KEY_BYTES
from sandbox.tee_abi import KeySlot

# DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: RFC 9180, as ta/core/hpke.h.
_SUITE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

Slot = KeySlot


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def wrap(key: bytes, slot: Slot, public_point: bytes) -> bytes:
    """`key` for the TA whose P-256 key is `public_point` (uncompressed), and for this slot only."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_point)
    except ValueError as error:
        raise UserError(f"the TA's public key is no point of P-256: {error}") from error
    return _SUITE.encrypt(key, public, info=b"cml-key-v1" + bytes([slot]))


def kept_key(path: Path) -> bytes:
    """The key in `path`, made there (mode 0600) at the first use."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(new_key())
            # Whoever links first wins; the others read that key.
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
        finally:
            temporary.unlink()
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise UserError(
            f"{path} holds {len(key)} bytes, not a key of {KEY_BYTES}",
            "Move it away: a new one is made, and what was sealed with the old one stays shut.",
        )
    return key
