# SPDX-License-Identifier: Apache-2.0
"""Unix sockets in folders of any depth.

The name of a Unix socket may have 107 bytes, less than many a home folder needs. Linux resolves
/proc/self/fd/N/name through an open folder N, and that name is always short: unix(7), proc(5).
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Bind and listen, replacing what is at `path`. Only the owner may connect: see Folder."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            server.bind(name)
        server.listen(8)
    except BaseException:
        server.close()
        raise
    return server


def connect(path: Path, timeout_s: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout_s)
    try:
        with _short(path) as name:
            client.connect(name)
    except BaseException:
        client.close()
        raise
    return client
