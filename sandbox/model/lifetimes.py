# SPDX-License-Identifier: Apache-2.0
"""When each part of the arena is in use, and by what: the peak and its cause."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.model.report import Operator, Place, Report, Tensor

# The step of inputs, which are there before the first operator runs.
BEFORE = -1
_ALIGN = 64  # CML_MEMORY_ALIGN of ta/core/memory.h


@dataclass(frozen=True)
class Span:
    """Tensors that take one place of the arena in turn: each computed in the last one's place."""

    tensors: tuple[Tensor, ...]
    first: int  # steps, both included
    last: int

    @property
    def offset(self) -> int:
        return self.tensors[0].offset

    @property
    def size_bytes(self) -> int:
        return max(tensor.size_bytes for tensor in self.tensors)

    @property
    def name(self) -> str:
        return " = ".join(tensor.name for tensor in self.tensors)

    def lives_at(self, step: int) -> bool:
        return self.first <= step <= self.last


@dataclass(frozen=True)
class Peak:
    """A step at which more is alive than just before and after."""

    step: int
    live_bytes: int
    operator: Operator | None  # None: before the first one
    spans: tuple[Span, ...]  # the largest first


def spans(report: Report) -> list[Span]:
    """In the order of their beginning."""
    first, last = _uses(report)
    chains: list[list[int]] = []
    ends: dict[int, list[int]] = {}  # by the last tensor of a chain
    for index in sorted(first, key=lambda i: (first[i], i)):
        before = _computed_from(report, index, first, last)
        chain = ends.pop(before, None) if before is not None else None
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(index)
        ends[index] = chain
    return [
        Span(
            tuple(report.tensors[i] for i in chain),
            first[chain[0]],
            max(last[i] for i in chain),
        )
        for chain in chains
    ]


def _uses(report: Report) -> tuple[dict[int, int], dict[int, int]]:
    """First and last step of each tensor of the arena."""
    first = dict.fromkeys(report.inputs, BEFORE)
    last = dict(first)
    for op in report.operators:
        # State is there from its operator's beginning.
        for index in (*op.inputs, *op.outputs):
            if index >= 0 and report.tensors[index].place is Place.ARENA:
                first.setdefault(index, op.step)
                last[index] = op.step
    for index in report.outputs:
        if index in first:
            last[index] = len(report.operators)
    return first, last


def _computed_from(
    report: Report, index: int, first: dict[int, int], last: dict[int, int]
) -> int | None:
    """The tensor in whose place this one was computed: of the two, one ends where one begins."""
    step = first[index]
    if step == BEFORE or index not in report.operators[step].outputs:
        return None
    offset = report.tensors[index].offset
    for other in report.operators[step].inputs:
        if other in first and first[other] < step and last[other] == step:
            if report.tensors[other].offset == offset:
                return other
    return None


def live_bytes(found: Iterable[Span], step: int) -> int:
    return sum(span.size_bytes for span in found if span.lives_at(step))


def aligned_bound(report: Report, found: Sequence[Span]) -> int:
    """The most that is alive at once, in whole units of what the engine aligns to."""
    return max(
        sum(-(-span.size_bytes // _ALIGN) * _ALIGN for span in found if span.lives_at(step))
        for step in range(BEFORE, len(report.operators) + 1)
    )


def profile(found: Sequence[Span], steps: int) -> list[int]:
    """Live bytes at each step, from 0."""
    return [live_bytes(found, step) for step in range(steps)]


def peaks(report: Report, found: Sequence[Span]) -> list[Peak]:
    """The highest first; of a plateau, its first step."""
    steps = len(report.operators)
    live = [live_bytes(found, BEFORE), *profile(found, steps), 0]
    made = []
    for step in range(BEFORE, steps):
        here = live[step + 1]
        before = live[step] if step > BEFORE else 0
        if here > before and here >= live[step + 2]:
            alive = [span for span in found if span.lives_at(step)]
            alive.sort(key=lambda span: -span.size_bytes)
            operator = report.operators[step] if step >= 0 else None
            made.append(Peak(step, here, operator, tuple(alive)))
    return sorted(made, key=lambda peak: -peak.live_bytes)
