# SPDX-License-Identifier: Apache-2.0
"""Owners' keys, and how one reaches the TA."""

import contextlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.errors import UserError
from sandbox.owner import cose
from sandbox.owner.sealed_file import KEY_BYTES
from sandbox.tee_abi import KeySlot

Slot = KeySlot


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def wrap(key: bytes, slot: Slot, to: ec.EllipticCurvePublicKey, challenge: bytes) -> bytes:
    """`key` for the TA whose wrapping key is `to`, for this slot, once: see `challenge`.

    `challenge` is the session's, and is said beside the message, so that a replay has its name.
    """
    return challenge + cose.key_message(key, slot, to, challenge)


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
