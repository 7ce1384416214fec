# SPDX-License-Identifier: Apache-2.0
"""Figures: several samples of one thing, and what is said of them."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Samples of a time, in seconds, in the order in which they were taken."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        assert self.samples and min(self.samples) > 0, self.samples

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """From the least to the most, as a share of the median."""
        return (max(self.samples) - min(self.samples)) / self.median

    def as_json(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "least": min(self.samples),
            "most": max(self.samples),
            "spread": self.spread,
            "samples": list(self.samples),
        }


def figure(samples: Iterable[float]) -> Figure:
    return Figure(tuple(samples))


def quotient(above: Figure | None, below: Figure | None) -> float | None:
    """None if one of them could not be measured: a number that nobody measured helps nobody."""
    return None if above is None or below is None else above.median / below.median


def interleaved(
    what: Mapping[str, Callable[[], float]],
    rounds: int,
    tell: Callable[[int, str], None] = lambda _round, _name: None,
) -> dict[str, Figure]:
    """Each once a round, beginning with another one each time.

    So whatever else the host does meanwhile hits all of them, and the quotients less.
    """
    names = list(what)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names) if names else 0
        for name in [*names[first:], *names[:first]]:
            tell(turn, name)
            samples[name].append(what[name]())
    return {name: figure(taken) for name, taken in samples.items()}


@dataclass(frozen=True)
class Difference:
    """How far the int8 outputs of two engines are apart, in steps of their scales."""

    most: int
    mean: float
    share: float  # of the outputs that differ at all

    @classmethod
    def of(cls, expected: bytes, found: bytes) -> "Difference":
        if len(expected) != len(found) or not expected:
            raise ValueError(f"{len(expected)} and {len(found)} bytes cannot be compared")
        steps = [
            abs((a ^ 0x80) - (b ^ 0x80)) for a, b in zip(expected, found, strict=True) if a != b
        ]
        return cls(max(steps, default=0), sum(steps) / len(expected), len(steps) / len(expected))

    def as_json(self) -> dict[str, Any]:
        return {"most": self.most, "mean": self.mean, "share": self.share}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In columns, numbers to the right: a column is one of numbers if its head ends in a space."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i].strip()) for line in lines) for i in range(len(head))]
    text = []
    for line in lines:
        cells = [
            cell.strip().rjust(width) if title.endswith(" ") else cell.strip().ljust(width)
            for cell, width, title in zip(line, widths, head, strict=True)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
