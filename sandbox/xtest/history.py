# SPDX-License-Identifier: Apache-2.0
"""Earlier runs on a machine: its folder xtest/, and how a run compares with them."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import UserError
from sandbox.xtest.results import Case, Run

KEPT = 30
# Less than this is the host's mood, not OP-TEE's.
_SLOWER_BY_S = 1.0
_SLOWER_TIMES = 1.5


@dataclass(frozen=True)
class Slower:
    name: str
    before_s: float
    now_s: float


@dataclass(frozen=True)
class Comparison:
    """Each case with the last time that it ran; `missing` is what the last run had besides."""

    before: float  # when the last run began
    newly_failing: tuple[str, ...]
    newly_passing: tuple[str, ...]
    still_failing: tuple[str, ...]
    missing: tuple[str, ...]
    slower: tuple[Slower, ...]  # information: a busy host is enough


class History:
    def __init__(self, machine_folder: Path) -> None:
        self._path = machine_folder / "xtest"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One xtest at a time: they share objects in secure storage."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    "xtest runs on this machine already, for another process",
                    "Wait for it, or stop it with Ctrl-C where it runs.",
                ) from None
            yield
        finally:
            os.close(handle)

    def runs(self) -> tuple[Run, ...]:
        """From the oldest to the last."""
        found = []
        for path in self._files():
            # Another version's, or cut off by a full disk: as if it was not there.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                found.append(Run.from_json(path.read_text()))
        return tuple(found)

    def add(self, run: Run) -> None:
        files = self._files()
        number = int(files[-1].stem) + 1 if files else 1
        path = self._path / f"{number:06}.json"
        new = path.with_suffix(".new")
        new.write_text(run.to_json())
        new.replace(path)
        for old in files[: max(0, len(files) + 1 - KEPT)]:
            old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._path.glob("*.json") if path.stem.isdecimal())


def last_of_each(runs: Iterable[Run]) -> dict[str, Case]:
    """Each case as it was when it ran last."""
    return {case.name: case for run in runs for case in run.cases}


def compare(run: Run, earlier: Sequence[Run]) -> Comparison | None:
    if not earlier:
        return None
    before = last_of_each(earlier)
    known = [(before[case.name], case) for case in run.cases if case.name in before]
    ran = {case.name for case in run.cases}
    return Comparison(
        earlier[-1].began,
        tuple(now.name for then, now in known if now.bad and not then.bad),
        tuple(now.name for then, now in known if then.bad and not now.bad),
        tuple(now.name for then, now in known if then.bad and now.bad),
        tuple(case.name for case in earlier[-1].cases if case.name not in ran),
        tuple(
            Slower(now.name, then.seconds, now.seconds)
            for then, now in known
            if not now.bad and not then.bad and _slower(then.seconds, now.seconds)
        ),
    )


def _slower(before_s: float, now_s: float) -> bool:
    return now_s > before_s + _SLOWER_BY_S and now_s > before_s * _SLOWER_TIMES
