# SPDX-License-Identifier: Apache-2.0
"""Appraisal policies: what a relying party accepts. TOML, each key checked: docs/verifier.md."""

import base64
import hashlib
import re
import tomllib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from sandbox.verifier import toml_lines
from sandbox.verifier.errors import PolicyError
from sandbox.verifier.reference import Reference
from sandbox.verifier.toml_lines import Place

VERSION = 1
FILE_MAX_BYTES = 1 << 20
MAX_AGE_S = 300
_MAX_AGE_LIMIT_S = 86_400
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
ANY, REFERENCE = "any", "reference"


@dataclass(frozen=True)
class CoreRule:
    version: str
    sha256: bytes


@dataclass(frozen=True)
class TaRule:
    """None: what the reference values say."""

    uuid: uuid.UUID
    name: str
    versions: frozenset[str] | None
    any_version: bool
    measurements: frozenset[bytes] | None


@dataclass(frozen=True)
class Policy:
    id: str
    max_age_s: float
    debug_allowed: bool
    devices: frozenset[uuid.UUID] | None  # None: any that the manufacturer endorsed
    cores: tuple[CoreRule, ...] | None  # None: what the reference values say
    models: frozenset[bytes] | None  # None: any
    tas: tuple[TaRule, ...]

    @staticmethod
    def from_toml(text: str) -> "Policy":
        return _Reader(text).policy()

    @staticmethod
    def load(path: Path) -> "Policy":
        try:
            with path.open("rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
            if len(data) > FILE_MAX_BYTES:
                raise PolicyError(f"{path} has more than {FILE_MAX_BYTES} bytes")
            text = data.decode()
        except OSError as error:
            raise PolicyError(
                f"cannot read {path}: {error.strerror}",
                "`sandbox verify --print-policy` prints one to begin with.",
            ) from error
        except UnicodeDecodeError as error:
            raise PolicyError(f"{path}: no UTF-8: {error.reason} at byte {error.start}") from error
        try:
            return Policy.from_toml(text)
        except PolicyError as error:
            raise PolicyError(f"{path}, {error.message}", error.hints) from error

    def rule(self, ta: uuid.UUID) -> TaRule | None:
        return next((rule for rule in self.tas if rule.uuid == ta), None)


def policy_id(text: str) -> str:
    """RFC 6920: names the policy by its content."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"ni:///sha-256;{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def default_toml(reference: Reference) -> str:
    """The policy for what the local build made; whoever has other needs begins with it."""
    parts = [_DEFAULT_HEAD]
    for ta in dict.fromkeys((entry.uuid, entry.name) for entry in reference.tas):
        parts.append(_DEFAULT_TA.format(uuid=ta[0], name=ta[1]))
    return "\n".join(parts)


_DEFAULT_HEAD = f"""\
# What may be relied on: an appraisal policy for `sandbox verify --policy`.
# docs/verifier.md explains every key; each one that is here is needed.
version = {VERSION}

[freshness]
# Seconds that may pass between the challenge and its answer.
max_age_s = {MAX_AGE_S}

[debug]
# The sandbox is an emulation, and says so in its evidence: dbgstat is "enabled". Whoever appraises
# real devices sets this to false.
allowed = true

[devices]
# "any": each device that the manufacturer endorsed. Or a list of UUIDs.
allowed = "any"

[optee_core]
# "reference": what the reference values list. Or a list: [{{ version = "4.10.0", sha256 = "..." }}]
allowed = "reference"

[models]
# "any", or a list of SHA-256 digests of models, in hexadecimal.
allowed = "any"
"""

_DEFAULT_TA = """\
[[ta]]
# {name}
uuid = "{uuid}"
# "any", "reference", or a list of versions.
versions = "reference"
# "reference", or a list of SHA-256 measurements of the TA's code, in hexadecimal.
measurements = "reference"
"""

_Value = TypeVar("_Value")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = toml_lines.lines(text)

    def policy(self) -> Policy:
        try:
            raw = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            # tomllib says the line itself.
            raise PolicyError(f"no TOML: {error}") from error
        sections = {"freshness", "debug", "devices", "optee_core", "models"}
        self._keys(raw, (), {"version", "ta", *sections}, {"id"})
        if raw["version"] != VERSION or isinstance(raw["version"], bool):
            self._fail(("version",), f"version {raw['version']!r}; this verifier knows {VERSION}")
        for section in sections:
            key = "max_age_s" if section == "freshness" else "allowed"
            if not isinstance(raw[section], dict):
                self._fail((section,), "no table")
            self._keys(raw[section], (section,), {key}, set())
        return Policy(
            id=self._text_at(raw["id"], ("id",)) if "id" in raw else policy_id(self._text),
            max_age_s=self._age(raw["freshness"]["max_age_s"]),
            debug_allowed=self._bool(raw["debug"]["allowed"], ("debug", "allowed")),
            devices=self._set(raw["devices"]["allowed"], ("devices", "allowed"), ANY, self._uuid),
            cores=self._cores(raw["optee_core"]["allowed"]),
            models=self._set(raw["models"]["allowed"], ("models", "allowed"), ANY, self._digest),
            tas=self._tas(raw["ta"]),
        )

    def _fail(self, place: Place, message: str) -> NoReturn:
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        line = toml_lines.line_of(self._lines, place)
        where = f"line {line}: {name.lstrip('.')}: " if place else f"line {line}: "
        raise PolicyError(f"{where}{message}", "docs/verifier.md has the schema of a policy.")

    def _keys(
        self, table: dict[str, object], place: Place, needed: set[str], allowed: set[str]
    ) -> None:
        for key in table:
            if key not in needed | allowed:
                known = ", ".join(sorted(needed | allowed))
                self._fail((*place, key), f"unknown key; there are {known}")
        for key in sorted(needed):
            if key not in table:
                self._fail(place, f"{key!r} is missing")

    def _age(self, value: object) -> float:
        place = ("freshness", "max_age_s")
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._fail(place, f"{value!r} is no number")
        if not 1 <= value <= _MAX_AGE_LIMIT_S:
            self._fail(place, f"{value} is not within 1 to {_MAX_AGE_LIMIT_S} seconds")
        return float(value)

    def _bool(self, value: object, place: Place) -> bool:
        if not isinstance(value, bool):
            self._fail(place, f"{value!r} is neither true nor false")
        return value

    def _text_at(self, value: object, place: Place) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 256:
            self._fail(place, f"{value!r} is no text of 1 to 256 characters")
        return value

    def _uuid(self, value: object, place: Place) -> uuid.UUID:
        text = self._text_at(value, place)
        try:
            return uuid.UUID(text)
        except ValueError:
            self._fail(place, f"{text!r} is no UUID")

    def _digest(self, value: object, place: Place) -> bytes:
        if not isinstance(value, str) or not _HEX_DIGEST.fullmatch(value):
            self._fail(place, f"{value!r} is not the 64 lower-case hexadecimal digits of a SHA-256")
        return bytes.fromhex(value)

    def _set(
        self,
        value: object,
        place: Place,
        word: str,
        read: Callable[[object, Place], _Value],
    ) -> frozenset[_Value] | None:
        """None for the word."""
        if value == word:
            return None
        return frozenset(read(item, place) for item in self._list(value, place, f'"{word}"'))

    def _list(self, value: object, place: Place, words: str) -> Sequence[object]:
        if not isinstance(value, list):
            self._fail(place, f"{value!r} is neither {words} nor a list")
        return value

    def _cores(self, value: object) -> tuple[CoreRule, ...] | None:
        place = ("optee_core", "allowed")
        if value == REFERENCE:
            return None
        rules = []
        for item in self._list(value, place, f'"{REFERENCE}"'):
            if not isinstance(item, dict) or set(item) != {"version", "sha256"}:
                self._fail(place, "each entry has version and sha256")
            rules.append(
                CoreRule(self._text_at(item["version"], place), self._digest(item["sha256"], place))
            )
        return tuple(rules)

    def _tas(self, value: object) -> tuple[TaRule, ...]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._fail(("ta",), "no array of tables: write [[ta]]")
        rules: list[TaRule] = []
        for number, item in enumerate(value):
            place: Place = ("ta", number)
            self._keys(item, place, {"uuid", "versions", "measurements"}, {"name"})
            rule = self._ta(item, place)
            if any(rule.uuid == other.uuid for other in rules):
                self._fail((*place, "uuid"), f"{rule.uuid} has an entry already")
            rules.append(rule)
        return tuple(rules)

    def _ta(self, item: dict[str, object], place: Place) -> TaRule:
        versions, measurements = item["versions"], item["measurements"]
        any_version = versions == ANY
        words = f'"{ANY}", "{REFERENCE}"'
        listed: frozenset[str] | None = None
        if not any_version and versions != REFERENCE:
            at = (*place, "versions")
            listed = frozenset(self._text_at(v, at) for v in self._list(versions, at, words))
        return TaRule(
            uuid=self._uuid(item["uuid"], (*place, "uuid")),
            name=self._text_at(item.get("name", "TA"), (*place, "name")),
            versions=listed,
            any_version=any_version,
            measurements=self._set(measurements, (*place, "measurements"), REFERENCE, self._digest),
        )
