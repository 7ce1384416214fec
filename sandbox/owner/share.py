# SPDX-License-Identifier: Apache-2.0
"""The folder that both worlds see. The guest may put anything there, any time, by any name."""

import os
import secrets
import stat
from pathlib import Path

from sandbox.errors import GuestError


class ShareError(GuestError):
    """Something in the share is not what it has to be."""


class Share:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_path(self, suffix: str) -> Path:
        """A name that nobody can have guessed and taken."""
        return self.folder / f"{secrets.token_hex(16)}.{suffix}"

    def put(self, data: bytes, suffix: str) -> Path:
        path = self.new_path(suffix)
        # Exclusive, and through no link: what is there already is not ours.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise ShareError(f"cannot write {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return path

    def take(self, path: Path, limit: int) -> bytes:
        """Read a regular file of at most `limit` bytes, and remove it."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            raise ShareError(f"cannot read {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ShareError(f"{path} is no regular file")
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ShareError(f"{path} has more than {limit} bytes")
        self.drop(path)
        return data

    def drop(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ShareError(f"cannot remove {path}: {error.strerror}") from error
