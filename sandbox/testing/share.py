# SPDX-License-Identifier: Apache-2.0
"""A folder that the host and the guest both see, for one test."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.machine import Machine


@dataclass(frozen=True)
class SharedFolder:
    """The same folder by its two names. The guest may put anything there, any time."""

    host: Path
    guest: PurePosixPath


@contextlib.contextmanager
def shared_folder(machine: Machine) -> Iterator[SharedFolder]:
    name = f"test-{secrets.token_hex(8)}"
    folder = SharedFolder(machine.share / name, PurePosixPath(GUEST_SHARE, name))
    folder.host.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder.host, ignore_errors=True)
