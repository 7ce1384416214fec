# SPDX-License-Identifier: Apache-2.0
"""Projects with trusted applications: built once in a session, pushed once in a boot."""

from pathlib import Path
from typing import Protocol

from sandbox.devkit.build import Built, Settings, build
from sandbox.devkit.push import push
from sandbox.log import Progress
from sandbox.machine.machine import Machine
from sandbox.machine.process_id import ProcessId


class BuildTa(Protocol):
    """What the fixtures `build_ta` and `push_ta` are."""

    def __call__(self, folder: Path | str, settings: Settings | None = None) -> Built: ...


class Builds:
    """Sources are taken to stay as they are while tests run."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[tuple[Path, Settings], Built] = {}

    def get(self, folder: Path | str, settings: Settings | None, progress: Progress) -> Built:
        key = (self._root / folder).resolve(), settings or Settings()
        # Of projects that were built long ago, the cache lets go.
        if key not in self._made or not self._made[key].work.is_dir():
            self._made[key] = build(key[0], progress, key[1])
        return self._made[key]


class Pushes:
    def __init__(self, machine: Machine, builds: BuildTa) -> None:
        self._machine = machine
        self._builds = builds
        self._qemu: ProcessId | None = None
        self._there: dict[str, Built] = {}  # by what it is called in the guest

    def __call__(self, folder: Path | str, settings: Settings | None = None) -> Built:
        built = self._builds(folder, settings)
        record = self._machine.folder.read()
        if record is None or record.qemu != self._qemu:
            self._qemu = record.qemu if record is not None else None
            self._there.clear()
        names = [*(str(ta.uuid) for ta in built.tas), *(path.name for path in built.programs)]
        if any(self._there.get(name) is not built for name in names):
            push(self._machine, built)
            self._there |= dict.fromkeys(names, built)
        return built
