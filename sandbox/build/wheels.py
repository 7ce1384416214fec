# SPDX-License-Identifier: Apache-2.0
"""Python wheels for the guest's processor: optee-build/wheels.toml pins them, pip fetches them."""

import fnmatch
import shutil
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sandbox import paths, process
from sandbox.build import store
from sandbox.build.archive import InputUnavailable
from sandbox.build.lock import InputFile, LockError
from sandbox.build.sources import cached_path
from sandbox.log import Progress

_DOWNLOAD_S = 600.0


@dataclass(frozen=True)
class Wheel:
    name: str
    package: str
    version: str
    platform: str
    python: str
    why: str
    file: str
    size: int
    sha256: str
    keep: list[str]

    @property
    def cached(self) -> Path:
        return cached_path(InputFile(self.file, self.size, self.sha256))


def _lock_path() -> Path:
    return paths.project_dir() / "optee-build" / "wheels.toml"


def load(path: Path) -> dict[str, Wheel]:
    """By name."""
    try:
        tables = tomllib.loads(path.read_text())["wheel"]
        wheels = [_wheel(path, table) for table in tables]
    except OSError as error:
        raise LockError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LockError(f"{path} is no list of [[wheel]] tables: {error}") from error
    return {wheel.name: wheel for wheel in wheels}


def _wheel(path: Path, table: dict[str, Any]) -> Wheel:
    types = {field.name: list if field.name == "keep" else field.type for field in fields(Wheel)}
    if set(table) != set(types):
        odd = sorted(set(table) ^ set(types))[0]
        raise LockError(f"{path}: wheel {table.get('name')}: {odd!r} is missing, or not known")
    for name, kind in types.items():
        assert isinstance(kind, type)
        if type(table[name]) is not kind:
            raise LockError(f"{path}: wheel {table.get('name')}: {name} is no {kind.__name__}")
    if "/" in table["file"] or len(table["sha256"]) != 64:
        raise LockError(f"{path}: wheel {table['name']}: file or sha256 cannot be")
    return Wheel(**table)


def unpacked(name: str, progress: Progress) -> Path:
    """The tree of a wheel, cached; it is fetched if it has to be."""
    wheels = load(_lock_path())
    if name not in wheels:
        raise LockError(f"no wheel {name!r} in {_lock_path()}", "Known: " + ", ".join(wheels))
    wheel = wheels[name]
    parts = {"file": wheel.file, "sha256": wheel.sha256, "keep": wheel.keep}

    def build(work: store.Work) -> None:
        with zipfile.ZipFile(wheel.cached) as archive:
            for inside in archive.namelist():
                if any(fnmatch.fnmatchcase(inside, pattern) for pattern in wheel.keep):
                    archive.extract(inside, work.folder)

    return store.result(
        f"wheel-{name}",
        parts,
        build,
        progress,
        f"unpack {wheel.package} {wheel.version}",
        needs=lambda: _fetch(wheel, progress),
    )


def _fetch(wheel: Wheel, progress: Progress) -> None:
    if wheel.cached.is_file() and store.file_digest(wheel.cached) == wheel.sha256:
        return
    wheel.cached.parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.step(f"download {wheel.file}"),
        tempfile.TemporaryDirectory(dir=wheel.cached.parent) as folder,
    ):
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        argv: list[process.Argument] = [sys.executable, "-m", "pip", "download", "--quiet"]
        argv += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", wanted]
        argv += ["--platform", wheel.platform, "--python-version", wheel.python]
        argv += ["--disable-pip-version-check", "--dest", folder]
        try:
            process.run(argv, timeout_s=_DOWNLOAD_S)
        except process.ProcessError as error:
            raise InputUnavailable(
                f"cannot fetch {wheel.file}: {error.message}",
                "pip gets it from the package index that it is set up with; it has to be reached"
                " once, later it is in the cache.",
            ) from error
        found = Path(folder) / wheel.file
        if not found.is_file() or store.file_digest(found) != wheel.sha256:
            raise InputUnavailable(f"pip fetched something else than {wheel.file}")
        shutil.move(found, wheel.cached)
