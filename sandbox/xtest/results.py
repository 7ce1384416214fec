# SPDX-License-Identifier: Apache-2.0
"""What a run of xtest came to."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum, auto
from typing import Any, Self

from sandbox.xtest import cases


class Outcome(StrEnum):
    PASSED = auto()
    FAILED = auto()
    SKIPPED = auto()  # xtest found that this machine cannot do it
    UNFINISHED = auto()  # xtest ended, or was ended, in it


@dataclass(frozen=True)
class Excerpt:
    """A part of a case that failed, and what xtest printed in it."""

    name: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    outcome: Outcome
    seconds: float
    parts: int = 0  # that xtest names, as regression_1004.2
    reason: str = ""  # why it did not pass, in a line
    # Only of a case that failed or did not finish:
    excerpts: tuple[Excerpt, ...] = ()
    console: tuple[str, ...] = ()  # of both worlds, while it ran

    @property
    def bad(self) -> bool:
        return self.outcome in (Outcome.FAILED, Outcome.UNFINISHED)


@dataclass(frozen=True)
class Run:
    began: float  # seconds since 1970
    seconds: float
    selected: tuple[str, ...]
    cases: tuple[Case, ...]  # as far as xtest came
    subtests: int | None  # checks, as xtest counts them in the end
    failed_subtests: int | None
    problem: str = ""  # why it is not to be trusted whole: xtest hung, died, contradicts itself

    @property
    def failures(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.bad)

    @property
    def passed(self) -> bool:
        return not self.failures and not self.problem

    @property
    def not_run(self) -> tuple[str, ...]:
        """What was asked for and did not begin."""
        ran = {case.name for case in self.cases}
        return tuple(name for name in self.selected if name not in ran)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        raw: dict[str, Any] = json.loads(text)
        raw["selected"] = tuple(raw["selected"])
        raw["cases"] = tuple(_case(case) for case in raw["cases"])
        return cls(**raw)


def _case(raw: dict[str, Any]) -> Case:
    excerpts = (Excerpt(e["name"], e["title"], tuple(e["lines"])) for e in raw.pop("excerpts"))
    outcome, console = Outcome(raw.pop("outcome")), tuple(raw.pop("console"))
    return Case(**raw, outcome=outcome, excerpts=tuple(excerpts), console=console)


@dataclass(frozen=True)
class Group:
    """A row of the table of a run."""

    name: str
    cases: int
    failed: int
    skipped: int
    parts: int
    seconds: float


def groups(results: Iterable[Case]) -> tuple[Group, ...]:
    """In the order in which they ran."""
    found: dict[str, list[Case]] = {}
    for case in results:
        found.setdefault(cases.group(case.name), []).append(case)
    return tuple(
        Group(
            name,
            len(members),
            sum(case.bad for case in members),
            sum(case.outcome is Outcome.SKIPPED for case in members),
            sum(case.parts for case in members),
            round(sum(case.seconds for case in members), 3),
        )
        for name, members in found.items()
    )
