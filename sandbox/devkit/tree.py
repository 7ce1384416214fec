# SPDX-License-Identifier: Apache-2.0
"""What there is to build below a folder, by the layout that OP-TEE's own examples have.

A folder with a Makefile and a sub.mk is one that OP-TEE's TA dev kit builds: a TA, or a library
for TAs. The client application is a folder `host` beside it, with a Makefile or a CMakeLists.txt,
or a CMakeLists.txt one level up.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path

from sandbox.errors import UserError

# Enough for optee_examples/NAME/ta and for a repository that has these somewhere inside.
DEPTH = 4
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_LIBRARY = re.compile(r"^\s*(?:SH)?LIBNAME\s*[:?]?=", re.MULTILINE)
_CLIENT = re.compile(r"\b(?:l?teec|TEEC_\w+)\b")


class TreeError(UserError):
    """A folder has nothing in it that could be built, or not in the layout of OP-TEE's examples."""


class HostKind(StrEnum):
    MAKE = auto()
    CMAKE = auto()


@dataclass(frozen=True)
class TaFolder:
    path: Path
    library: bool  # a library for TAs: built before them


@dataclass(frozen=True)
class HostFolder:
    path: Path
    kind: HostKind


@dataclass(frozen=True)
class Tree:
    root: Path  # real, absolute
    tas: tuple[TaFolder, ...]  # libraries first
    hosts: tuple[HostFolder, ...]

    def relative(self, path: Path) -> str:
        """How a message calls a folder of the tree."""
        inside = os.fspath(path.relative_to(self.root))
        return self.root.name if inside == "." else inside


def makefile(folder: Path) -> Path | None:
    """The one that make would take."""
    return next((path for name in MAKEFILES if (path := folder / name).is_file()), None)


def real(folder: Path) -> Path:
    if not folder.is_dir():
        raise TreeError(f"{folder}: no such folder", "`sandbox ta new NAME` writes a project.")
    return folder.resolve()


def find(folder: Path) -> Tree:
    root = real(folder)
    tas: list[TaFolder] = []
    hosts: list[HostFolder] = []
    for here in _folders(root, DEPTH):
        found = makefile(here)
        if found is not None and (here / "sub.mk").is_file():
            tas.append(TaFolder(here, _LIBRARY.search(_text(found)) is not None))
        elif here == root and found is not None and _is_client(found):
            hosts.append(HostFolder(here, HostKind.MAKE))
        elif host := _host_of(here):
            hosts.append(host)
    if not tas and not hosts:
        raise TreeError(
            f"nothing to build in {folder}",
            (
                "A TA is a folder with a Makefile and a sub.mk, its client a folder `host`"
                " beside it.",
                "`sandbox ta new NAME` writes such a project.",
            ),
        )
    tas.sort(key=lambda ta: (not ta.library, ta.path))
    return Tree(root, tuple(tas), tuple(hosts))


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield from _folders(entry, depth - 1)


def _host_of(folder: Path) -> HostFolder | None:
    """The client application that belongs to this folder: its Makefile, if it has both."""
    host = folder / "host"
    if makefile(host) is not None:
        return HostFolder(host, HostKind.MAKE)
    if (host / "CMakeLists.txt").is_file():
        return HostFolder(host, HostKind.CMAKE)
    if (folder / "CMakeLists.txt").is_file() and (host.is_dir() or (folder / "ta").is_dir()):
        return HostFolder(folder, HostKind.CMAKE)
    return None


def _is_client(path: Path) -> bool:
    return _CLIENT.search(_text(path)) is not None


def _text(path: Path) -> str:
    return path.read_text(errors="replace")
