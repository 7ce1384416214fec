# SPDX-License-Identifier: Apache-2.0
"""The arena over time as a picture: each tensor a rectangle, as wide as it lives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from sandbox.model import lifetimes
from sandbox.model.lifetimes import BEFORE, Span
from sandbox.model.report import Report

_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 40, 20, 50
_WIDTH, _HEIGHT = 1000, 420
_HUES = 137.508  # degrees between neighbours: the golden angle
_MARKS = 4  # on the axis of bytes
_MARKED_STEPS = 12  # at most, on the axis of time


@dataclass(frozen=True)
class _Plot:
    report: Report

    @property
    def steps(self) -> int:
        """With the time before the first operator."""
        return len(self.report.operators) + 1

    @property
    def column(self) -> float:
        return _WIDTH / self.steps

    def x(self, step: int) -> float:
        return _LEFT + (step - BEFORE) * self.column

    def y(self, offset: float) -> float:
        return _TOP + _HEIGHT * (1 - offset / max(self.report.arena_bytes, 1))

    def rectangles(self, found: Sequence[Span]) -> Iterator[str]:
        for number, span in enumerate(found):
            # Outputs live on after the last operator.
            last = min(span.last, len(self.report.operators) - 1)
            top = self.y(span.offset + span.size_bytes)
            words = (
                f"{span.name}: {span.tensors[-1].described}, {span.size_bytes:,} bytes at"
                f" {span.offset:,}, steps {span.first} to {span.last}"
            )
            yield (
                f'<rect x="{self.x(span.first):.1f}" y="{top:.1f}"'
                f' width="{(last - span.first + 1) * self.column:.1f}"'
                f' height="{max(self.y(span.offset) - top, 0.5):.1f}" stroke="#333"'
                f' stroke-width="0.4" fill="hsl({number * _HUES % 360:.0f},60%,70%)">'
                f"<title>{escape(words)}</title></rect>"
            )

    def live_line(self, found: Sequence[Span]) -> str:
        points = []
        for step in range(BEFORE, self.steps - 1):
            y = self.y(lifetimes.live_bytes(found, step))
            points += [f"{self.x(step):.1f},{y:.1f}", f"{self.x(step + 1):.1f},{y:.1f}"]
        return (
            f'<polyline points="{" ".join(points)}" fill="none" stroke="#b00" stroke-width="1.5">'
            "<title>bytes that are alive</title></polyline>"
        )

    def axes(self) -> Iterator[str]:
        for mark in range(_MARKS + 1):
            offset = self.report.arena_bytes * mark / _MARKS
            yield (
                f'<text x="{_LEFT - 8}" y="{self.y(offset) + 4:.1f}" text-anchor="end">'
                f"{offset / 1024:,.0f} KiB</text>"
            )
        every = -(-self.steps // _MARKED_STEPS)
        for op in self.report.operators[::every]:
            middle = self.x(op.step) + self.column / 2
            yield (
                f'<text x="{middle:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">'
                f"#{op.index}<title>{escape(op.name)}</title></text>"
            )
        yield (
            f'<text x="{_LEFT}" y="{_TOP + _HEIGHT + 40}">operators in the order of running; red:'
            " bytes that are alive</text>"
        )


def render(report: Report, title: str) -> str:
    plot, found = _Plot(report), lifetimes.spans(report)
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            ' font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}: arena of'
            f" {report.arena_bytes:,} bytes, of which at least {report.lower_bound_bytes:,} are"
            " needed</text>",
            *plot.rectangles(found),
            plot.live_line(found),
            *plot.axes(),
            "</svg>\n",
        ]
    )
