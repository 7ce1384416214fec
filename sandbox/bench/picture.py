# SPDX-License-Identifier: Apache-2.0
"""The drawings of docs/performance.md: bars, as SVG that any browser shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from sandbox.bench.layers import Measured, Peak

_WIDTH = 1000
_LEFT = 250  # where bars begin
_RIGHT = 150  # room behind the longest
_ROW = 15
_HEAD = 74
_FOOT = 16
_COLOURS = {
    "pointwise": "#4c78a8",
    "depthwise": "#f58518",
    "conv": "#54a24b",
    "": "#9d9d9d",
}


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    words: str  # behind the bar
    colour: str
    dark: float = 0.0  # the first part of the value, which is drawn so


def bars(title: str, subtitle: str, rows: Sequence[Bar]) -> str:
    return "".join(_document(title, subtitle, rows))


def _document(title: str, subtitle: str, rows: Sequence[Bar]) -> Iterator[str]:
    height = _HEAD + len(rows) * _ROW + _FOOT
    longest = max(row.value for row in rows)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" font-family="Verdana, DejaVu Sans, sans-serif"'
        ' font-size="10">\n<rect width="100%" height="100%" fill="#fdfdfc"/>\n'
        f'<text x="12" y="26" font-size="16" font-weight="bold">{escape(title)}</text>\n'
        f'<text x="12" y="46" fill="#555" font-size="11">{escape(subtitle)}</text>\n'
    )
    for number, row in enumerate(rows):
        y = _HEAD + number * _ROW
        width = row.value * scale
        yield (
            f'<text x="{_LEFT - 6}" y="{y + 10}" text-anchor="end">{escape(row.label)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_ROW - 3}"'
            f' fill="{row.colour}" fill-opacity="{0.45 if row.dark else 1}"/>'
        )
        if row.dark:
            yield (
                f'<rect x="{_LEFT}" y="{y}" width="{row.dark * scale:.1f}"'
                f' height="{_ROW - 3}" fill="{row.colour}"/>'
            )
        yield f'<text x="{_LEFT + width + 5:.1f}" y="{y + 10}" fill="#555">{escape(row.words)}'
        yield "</text>\n"
    yield "</svg>\n"


def layers(measured: Sequence[Measured], peak: Peak, title: str) -> str:
    """Each layer's time; the dark part is what it would take at the peak."""
    rows = []
    for each in measured:
        kind = each.layer.kind.split()[0]
        at_peak = each.layer.macs / peak.rate
        words = f"{each.time.median * 1e3:.2f} ms"
        if each.layer.macs:
            words += f", {100 * each.rate / peak.rate:.0f} %"
        rows.append(
            Bar(
                f"{each.layer.index} {each.layer.kind} {each.layer.shape}",
                each.time.median,
                words,
                _COLOURS.get(kind, _COLOURS[""]),
                min(at_peak, each.time.median),
            )
        )
    subtitle = (
        f"Dark: the time it would take at the peak, {peak.rate / 1e9:.2f} GMAC/s"
        f" ({peak.name}). Blue: pointwise, green: other convolutions, orange: depthwise."
    )
    return bars(title, subtitle, rows)


def comparison(seconds: Sequence[tuple[str, float]], title: str, subtitle: str) -> str:
    """Times side by side; ours are blue."""
    least = min(value for _, value in seconds)
    rows = [
        Bar(
            name,
            value,
            f"{value * 1e3:.0f} ms, {value / least:.2f}",
            _COLOURS["depthwise"] if "LiteRT" in name else _COLOURS["pointwise"],
        )
        for name, value in seconds
    ]
    return bars(title, subtitle, rows)
