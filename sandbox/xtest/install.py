# SPDX-License-Identifier: Apache-2.0
"""Bring xtest into a running machine: no reboot, so that what is tested is what runs."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sandbox.machine.boot import GUEST_SHARE
from sandbox.machine.guest import Guest

FOLDER = "/run/xtest"
# Names the archive that was unpacked. Gone after a reboot, as the files themselves are.
_MARKER = f"{FOLDER}/archive"
_UNPACK_S = 120.0
_UNPACK = f"""
set -e
mkdir -p {FOLDER}
cd /
busybox cpio -idu <"$1"
echo "$2" >{_MARKER}
"""


def installed(guest: Guest, archive: Path) -> bool:
    done = guest.run(["cat", _MARKER], timeout_s=30.0)
    return done.status == 0 and done.stdout.decode(errors="replace").strip() == _key(archive)


def install(guest: Guest, archive: Path, share: Path) -> None:
    """Unpack the archive in the guest."""
    with _shared(archive, share) as name:
        argv = ["sh", "-c", _UNPACK, "install", f"{GUEST_SHARE}/{name}", _key(archive)]
        guest.run(argv, timeout_s=_UNPACK_S, check=True)


def _key(archive: Path) -> str:
    # Results of a build lie in a folder that is named by their content.
    return archive.parent.name


@contextlib.contextmanager
def _shared(archive: Path, share: Path) -> Iterator[str]:
    """A copy in the share: the guest may write there, and the archive is everybody's."""
    handle, name = tempfile.mkstemp(prefix="xtest-", dir=share)
    try:
        with os.fdopen(handle, "wb") as copy, archive.open("rb") as original:
            shutil.copyfileobj(original, copy)
        yield Path(name).name
    finally:
        Path(name).unlink(missing_ok=True)
