# SPDX-License-Identifier: Apache-2.0
"""The lock file: every input with its version, size and sha256, and why it is there.

optee-build/inputs.toml is read, checked and written here and nowhere else, always in the same
form, so that an update shows up as a small diff.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.errors import UserError

HEADER = """\
# Everything that is fetched to build and boot a sandbox, pinned by size and sha256.
# Written by `sandbox inputs update [NAME...]`; edit `why`, `suite`, `via` and `keep` by hand.
#
#   kind     deb: a binary package.  source: the upstream tarball, and with it Debian's patches.
#            tarball: the upstream tarball alone (no source package, or its patches are not wanted).
#   suite    the Debian suite in which `sandbox inputs update` looks for a newer version
#   via      a metapackage whose dependency names the package (the kernel's name has its version)
#   keep     unpack only what matches these patterns
#   path     where the archive keeps the file, below the mirror's address
"""


class Kind(StrEnum):
    DEB = "deb"
    SOURCE = "source"
    TARBALL = "tarball"


class LockError(UserError):
    """The lock file cannot be read, or says something that cannot be."""


@dataclass(frozen=True)
class InputFile:
    path: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Input:
    name: str
    kind: Kind
    package: str
    version: str
    suite: str
    why: str
    files: tuple[InputFile, ...]
    arch: str = ""
    via: str = ""
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    path: Path
    inputs: tuple[Input, ...]

    def input(self, name: str) -> Input:
        for entry in self.inputs:
            if entry.name == name:
                return entry
        raise LockError(
            f"no input {name!r} in {self.path}",
            "Known inputs: " + ", ".join(entry.name for entry in self.inputs),
        )

    def replaced(self, updated: Iterable[Input]) -> "Lock":
        by_name = {entry.name: entry for entry in updated}
        return Lock(self.path, tuple(by_name.get(e.name, e) for e in self.inputs))


_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUITE = re.compile(r"[a-z][a-z0-9-]*")
# Debian policy 5.6.12, with the epoch.
_VERSION = re.compile(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*")


def load(path: Path) -> Lock:
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise LockError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise LockError(f"{path} is not valid TOML: {error}") from error
    tables = data.pop("input", None)
    if data or not isinstance(tables, list) or not tables:
        raise LockError(f"{path}: expected [[input]] tables and nothing else")
    inputs = tuple(_input(path, index, table) for index, table in enumerate(tables, 1))
    for entry in inputs:
        if sum(entry.name == other.name for other in inputs) > 1:
            raise LockError(f"{path}: two inputs are called {entry.name!r}")
    return Lock(path, inputs)


def _input(path: Path, index: int, table: Any) -> Input:
    where = f"{path}: input {table.get('name', index) if isinstance(table, dict) else index}"
    if not isinstance(table, dict):
        raise LockError(f"{where}: not a table")
    known = {"name", "kind", "package", "version", "suite", "why", "file", "arch", "via", "keep"}
    if unknown := set(table) - known:
        raise LockError(f"{where}: unknown key {sorted(unknown)[0]!r}")
    text = {
        "name": _text(where, table, "name", _NAME),
        "package": _text(where, table, "package", _NAME),
        "version": _text(where, table, "version", _VERSION),
        "suite": _text(where, table, "suite", _SUITE),
        "why": _text(where, table, "why", None),
    }
    try:
        kind = Kind(table.get("kind", ""))
    except ValueError:
        raise LockError(f"{where}: kind must be one of {', '.join(Kind)}") from None
    arch = via = ""
    if kind is Kind.DEB:
        arch = _text(where, table, "arch", _NAME)
        via = _text(where, table, "via", _NAME) if "via" in table else ""
    elif "arch" in table or "via" in table:
        raise LockError(f"{where}: only a deb has an arch or a via")
    keep = table.get("keep", [])
    if not isinstance(keep, list) or not all(isinstance(k, str) and k for k in keep):
        raise LockError(f"{where}: keep must be a list of patterns")
    tables = table.get("file")
    if not isinstance(tables, list) or not tables:
        raise LockError(f"{where}: needs at least one [[input.file]]")
    files = tuple(_file(where, entry) for entry in tables)
    expected = 2 if kind is Kind.SOURCE else 1
    if len(files) != expected:
        raise LockError(f"{where}: a {kind} has {expected} file(s), not {len(files)}")
    return Input(kind=kind, arch=arch, via=via, keep=tuple(keep), files=files, **text)


def _file(where: str, table: Any) -> InputFile:
    if not isinstance(table, dict) or set(table) != {"path", "size", "sha256"}:
        raise LockError(f"{where}: a file has a path, a size and a sha256")
    path = _text(where, table, "path", None)
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not path.startswith("pool/"):
        raise LockError(f"{where}: {path!r} is not a path in the archive's pool")
    size = table["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise LockError(f"{where}: the size of {pure.name} must be a positive number of bytes")
    return InputFile(path, size, _text(where, table, "sha256", _DIGEST))


def _text(where: str, table: dict[str, Any], key: str, pattern: re.Pattern[str] | None) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise LockError(f"{where}: {key} is missing or not a text")
    if pattern is not None and not pattern.fullmatch(value):
        raise LockError(f"{where}: {value!r} is no valid {key}")
    return value


def render(lock: Lock) -> str:
    """The lock file's text; `load` of it gives the same lock again."""
    lines = [HEADER]
    for entry in lock.inputs:
        lines.append("[[input]]")
        for key in ("name", "kind", "package", "arch", "version", "suite", "via", "why"):
            if value := getattr(entry, key):
                lines.append(f"{key} = {_quoted(value)}")
        if entry.keep:
            lines.append("keep = [")
            lines += [f"    {_quoted(pattern)}," for pattern in entry.keep]
            lines.append("]")
        for file in entry.files:
            lines.append("[[input.file]]")
            lines.append(f"path = {_quoted(file.path)}")
            lines.append(f"size = {file.size_bytes}")
            lines.append(f"sha256 = {_quoted(file.sha256)}")
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # A JSON string without control characters is a TOML basic string.
    return json.dumps(str(text), ensure_ascii=False)


def save(lock: Lock) -> None:
    temporary = lock.path.with_suffix(".toml.new")
    temporary.write_text(render(lock))
    temporary.replace(lock.path)
