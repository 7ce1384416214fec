# SPDX-License-Identifier: Apache-2.0
"""What is kept of runs: the last one in the machine's folder, those before it under runs/.

A recording has the same files in both places, so whoever reads the one can read the other.
"""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import recorder
from sandbox.machine.folder import Folder, World

KEPT = 10
# The oldest go first when all of them together have more; the last always stays whole.
KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class Recording:
    """One run of a machine, from its start until its end or until now."""

    path: Path

    def log(self, world: World) -> Path:
        return self.path / f"{world}.log"

    @property
    def index(self) -> Path:
        return self.path / "console.index"

    @property
    def qemu_log(self) -> Path:
        return self.path / "qemu.log"

    @property
    def symbols(self) -> Path:
        return self.path / "symbols"

    @property
    def exists(self) -> bool:
        return any(self.log(world).exists() for world in World)

    @property
    def size_bytes(self) -> int:
        return sum(size for _, size in _files(self.path))

    def started_at(self) -> float:
        """Seconds since 1970; from the files' dates if there is no index."""
        with contextlib.suppress(OSError, ValueError):
            with self.index.open("rb") as index:
                return recorder.read_header(index.read(recorder.HEADER.size))[1] / 1e9
        dates = [log.stat().st_mtime for log in map(self.log, World) if log.exists()]
        return min(dates, default=0.0)

    def name(self) -> str:
        """What it is called under runs/: when it started, in UTC, so that names sort by time."""
        at = datetime.datetime.fromtimestamp(self.started_at(), datetime.UTC)
        return at.strftime("%Y%m%d-%H%M%S.") + f"{at.microsecond // 1000:03}"


def live(folder: Folder) -> Recording:
    """The run that is, or that was last."""
    return Recording(folder.path)


def kept(folder: Folder) -> list[Recording]:
    """Those before it, the oldest first."""
    return [Recording(path) for path in sorted(folder.runs.glob("*")) if path.is_dir()]


def keep(folder: Folder) -> None:
    """Make room for a new run: what the last one left gets a folder of its own."""
    import shutil

    last = live(folder)
    parts = [*map(last.log, World), last.qemu_log, last.symbols, last.index]
    if any(log.exists() and log.stat().st_size for log in map(last.log, World)):
        to = folder.runs / last.name()
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The index, which the name is from, goes last: if we are stopped, the next start goes on.
        for part in parts:
            with contextlib.suppress(FileNotFoundError):
                part.rename(to / part.name)
    for part in parts:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    runs = kept(folder)
    sizes = [run.size_bytes for run in runs]
    while len(runs) > KEPT or (len(runs) > 1 and sum(sizes) > KEPT_BYTES):
        shutil.rmtree(runs.pop(0).path)
        sizes.pop(0)


def _files(path: Path) -> Iterator[tuple[Path, int]]:
    for file in path.rglob("*"):
        # Symbols of the image are links into the cache: not ours to count.
        if file.is_file() and not file.is_symlink():
            yield file, file.stat().st_size
