# SPDX-License-Identifier: Apache-2.0
"""Owners' keys, and how one reaches the TA."""

import contextlib
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.errors import UserError
from sandbox.owner import cose
from sandbox.owner.sealed_file import KEY_BYTES
from sandbox.tee_abi import KeySlot

Slot = KeySlot


class KeyFileError(UserError):
    """A key file cannot be used, or cannot be made."""


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


def make_key_file(path: Path) -> bytes:
    """A new key in a new file, which only this user can read."""
    key = new_key()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists already", "A key that is overwritten opens nothing any more."
        ) from error
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    return key


def read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"others than its owner may use the key in {path}",
            f"`chmod 600 {path}`, if nobody has read it by now; else make another key.",
        )
    if len(key) != KEY_BYTES:
        more = "more" if len(key) > KEY_BYTES else str(len(key))
        raise KeyFileError(
            f"{path} is no key: it has {more} bytes, not {KEY_BYTES}",
            "`sandbox store-key --new FILE` makes one.",
        )
    return key
