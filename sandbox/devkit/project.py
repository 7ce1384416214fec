# SPDX-License-Identifier: Apache-2.0
"""Write a new project: a TA, its client application, and a test.

The templates are files of this package, in templates/: the two languages' own files, and those
that are the same for both. In their text and in their names, @name@ stands for the project.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

from sandbox.errors import UserError

TEMPLATES = Path(__file__).with_name("templates")
# A part of C identifiers and of file names, also with _ta and _CMD_ behind it.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_UNNAMED = re.compile(r"@\w+@")


class ProjectError(UserError):
    """A new project cannot be written as asked."""


class Language(StrEnum):
    C = "c"
    CPP = "cpp"


@dataclass(frozen=True)
class Project:
    folder: Path
    uuid: UUID
    files: tuple[Path, ...]


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ProjectError(
            f"no name for a TA: {name!r}",
            "Up to 32 of a-z 0-9 _ and the first a letter: it becomes a part of C names.",
        )
    return name


def new(name: str, parent: Path, language: Language, uuid: UUID | None = None) -> Project:
    """Write the project `name` into a folder of that name; what is there is never touched."""
    check_name(name)
    folder = parent / name
    uuid = uuid or uuid4()
    values = {"name": name, "NAME": name.upper(), "uuid": str(uuid), "uuid_c": _in_c(uuid)}
    try:
        folder.mkdir()
    except FileExistsError:
        raise ProjectError(f"{folder} is there already", "Take another name.") from None
    except FileNotFoundError:
        raise ProjectError(f"{parent}: no such folder") from None
    try:
        files = [
            _write(path, folder / _filled(inside, values), values)
            for path, inside in _templates(language)
        ]
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Project(folder, uuid, tuple(sorted(files)))


def _templates(language: Language) -> Iterator[tuple[Path, str]]:
    """Each template, and where it goes in the project."""
    others = {TEMPLATES / other for other in Language if other is not language}
    for path in sorted(TEMPLATES.rglob("*")):
        if path.is_file() and not others & {*path.parents} and "__pycache__" not in path.parts:
            own = TEMPLATES / language
            inside = path.relative_to(own if own in path.parents else TEMPLATES)
            # A template with a dot in front would be left out of packages, and be heeded by git.
            yield path, ".gitignore" if str(inside) == "gitignore" else str(inside)


def _write(template: Path, path: Path, values: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_filled(template.read_text(), values))
    return path


def _filled(text: str, values: dict[str, str]) -> str:
    return _UNNAMED.sub(lambda match: values[match[0].strip("@")], text)


def _in_c(uuid: UUID) -> str:
    """As the initialiser of a TEE_UUID and of a TEEC_UUID, on two lines."""
    low, mid, high = f"0x{uuid.time_low:08x}", f"0x{uuid.time_mid:04x}", uuid.time_hi_version
    rest = ", ".join(f"0x{byte:02x}" for byte in uuid.bytes[8:])
    return f"{low}, {mid}, 0x{high:04x}, \\\n\t\t{{ {rest} }}"
