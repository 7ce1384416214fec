# SPDX-License-Identifier: Apache-2.0
"""The recorder's index, read while it grows, and whatever became of it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from sandbox.machine import recorder
from sandbox.machine.folder import World


@dataclass(frozen=True, slots=True)
class Cut:
    """A moment, and how much both consoles had then."""

    time_s: float  # since the machine's start
    normal: int
    secure: int

    def size(self, world: World) -> int:
        return self.normal if world is World.NORMAL else self.secure


class Index:
    """Gives each whole entry once; nothing, if there is no index that we understand."""

    def __init__(self, path: Path) -> None:
        # Kept open even if it is no index: only then does another file have another inode.
        self._file: FileIO | None = None
        self._rest = b""
        self._last = Cut(0.0, 0, 0)
        self.monotonic_ns: int | None = None
        self.started_at: float | None = None  # seconds since 1970
        with contextlib.suppress(FileNotFoundError):
            self._file = FileIO(path)
        with contextlib.suppress(ValueError):
            self.monotonic_ns, started_ns = recorder.read_header(self._take(recorder.HEADER.size))
            self.started_at = started_ns / 1e9

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _take(self, size: int = -1) -> bytes:
        return (self._file.read(size) or b"") if self._file is not None else b""

    def same_as(self, path: Path) -> bool:
        """Whether `path` is still this index."""
        try:
            now = path.stat()
        except FileNotFoundError:
            return self._file is None
        return self._file is not None and os.path.samestat(now, os.fstat(self._file.fileno()))

    def read(self) -> Iterator[Cut]:
        if self.monotonic_ns is None:
            return
        data = self._rest + self._take()
        whole = len(data) - len(data) % recorder.ENTRY.size
        self._rest = data[whole:]
        for at_ns, normal, secure in recorder.ENTRY.iter_unpack(data[:whole]):
            cut = Cut((at_ns - self.monotonic_ns) / 1e9, normal, secure)
            last = self._last
            # An entry that goes back in time, or takes bytes back, is damage.
            if cut.time_s >= last.time_s and normal >= last.normal and secure >= last.secure:
                self._last = cut
                yield cut
