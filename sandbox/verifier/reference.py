# SPDX-License-Identifier: Apache-2.0
"""Reference values: which measurements a build has. `sandbox reference-values` writes them."""

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sandbox.verifier.errors import ReferenceValuesError

VERSION = 1
FILE_MAX_BYTES = 1 << 20
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class CoreReference:
    version: str
    sha256: bytes


@dataclass(frozen=True)
class TaReference:
    uuid: uuid.UUID
    name: str
    version: str
    sha256: bytes


@dataclass(frozen=True)
class Reference:
    core: CoreReference
    tas: tuple[TaReference, ...]

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        try:
            raw = json.loads(text, object_pairs_hook=_no_key_twice)
        except (ValueError, RecursionError) as error:
            raise ReferenceValuesError(f"reference values are no JSON: {error}") from error
        top = _object(raw, "reference values", {"version", "optee_core", "tas"})
        if top["version"] != VERSION or isinstance(top["version"], bool):
            raise ReferenceValuesError(
                f"reference values of version {top['version']!r}; this verifier knows {VERSION}"
            )
        core = _object(top["optee_core"], "optee_core", {"version", "sha256"})
        if not isinstance(top["tas"], list):
            raise ReferenceValuesError("tas: no array")
        return cls(
            CoreReference(
                _text(core["version"], "optee_core.version"),
                _digest(core["sha256"], "optee_core.sha256"),
            ),
            tuple(_ta(item, f"tas[{number}]") for number, item in enumerate(top["tas"])),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            with path.open("rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
        except OSError as error:
            raise ReferenceValuesError(
                f"cannot read {path}: {error.strerror}",
                "`sandbox reference-values` writes the values of the local build.",
            ) from error
        if len(data) > FILE_MAX_BYTES:
            raise ReferenceValuesError(f"{path} has more than {FILE_MAX_BYTES} bytes")
        try:
            return cls.from_json(data)
        except ReferenceValuesError as error:
            raise ReferenceValuesError(f"{path}: {error.message}") from error

    def measurements(self, ta: uuid.UUID) -> set[bytes]:
        return {entry.sha256 for entry in self.tas if entry.uuid == ta}

    def versions(self, ta: uuid.UUID) -> set[str]:
        """Empty: of no version."""
        return {entry.version for entry in self.tas if entry.uuid == ta}


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _object(value: object, where: str, keys: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ReferenceValuesError(f"{where}: no object")
    if set(value) != keys:
        wrong = ", ".join(sorted(set(value) ^ keys))
        raise ReferenceValuesError(f"{where}: missing or unknown: {wrong}")
    return value


def _text(value: object, where: str, *, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value) <= 256:
        raise ReferenceValuesError(f"{where}: no text of {least} to 256 characters")
    return value


def _digest(value: object, where: str) -> bytes:
    if not isinstance(value, str) or not _HEX_DIGEST.fullmatch(value):
        raise ReferenceValuesError(f"{where}: not the 64 hexadecimal digits of a SHA-256")
    return bytes.fromhex(value)


def _ta(value: object, where: str) -> TaReference:
    entry = _object(value, where, {"uuid", "name", "version", "sha256"})
    try:
        ta = uuid.UUID(_text(entry["uuid"], f"{where}.uuid"))
    except ValueError as error:
        raise ReferenceValuesError(f"{where}.uuid: no UUID") from error
    return TaReference(
        ta,
        _text(entry["name"], f"{where}.name"),
        # Empty: the build does not know it.
        _text(entry["version"], f"{where}.version", least=0),
        _digest(entry["sha256"], f"{where}.sha256"),
    )
