# SPDX-License-Identifier: Apache-2.0
"""A tree of folders whose files are links to another tree's, as X11's `lndir` makes.

The makefiles of client applications write their objects beside the sources. In a shadow tree
they do so without touching the sources, and without meeting objects of another compiler there.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from sandbox.errors import UserError

FILE_LIMIT = 20_000
_OBJECTS = {".o", ".lo", ".d", ".ko", ".ta", ".cmd"}
_HEADERS = {".h", ".hh", ".hpp", ".hxx", ".inc", ".mk"}


def update(source: Path, shadow: Path) -> None:
    """Make `shadow` show what is in `source` now; what was built in it stays."""
    shown = set()
    for path in _files(source):
        inside = path.relative_to(source)
        shown.add(inside)
        link = shadow / inside
        if link.is_symlink() and os.readlink(link) == os.fspath(path):
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    for folder, _, names in os.walk(shadow):
        for name in names:
            path = Path(folder, name)
            if path.is_symlink() and path.relative_to(shadow) not in shown and _ours(path, source):
                path.unlink()


def header_digest(source: Path) -> str:
    """Changes when a header or makefile does, comes or goes."""
    digest = hashlib.sha256()
    for path in _files(source):
        if path.suffix in _HEADERS or path.name.lower().endswith("makefile"):
            status = path.stat()
            digest.update(f"{path}\0{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def built(shadow: Path) -> Iterator[Path]:
    """Files that are there without a source: what the makefiles made."""
    for folder, _, names in os.walk(shadow):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _ours(link: Path, source: Path) -> bool:
    return Path(os.readlink(link)).is_relative_to(source)


def _files(source: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not _is_object(path):
                count += 1
                if count > FILE_LIMIT:
                    raise UserError(
                        f"more than {FILE_LIMIT} files in {source}",
                        "Give the folder of the TA's project, not one further up.",
                    )
                yield path


def _is_object(path: Path) -> bool:
    """Whether it is something that the makefile should make here."""
    if path.suffix in _OBJECTS:
        return True
    if not os.access(path, os.X_OK) or ".so" in path.suffixes:
        return False
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"\x7fELF"
