# SPDX-License-Identifier: Apache-2.0
"""The network layer by layer: what each costs, and how far it is from what the machine can do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.bench.figures import Figure, table

_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
_BAR = 30


@dataclass(frozen=True)
class Layer:
    """An operator, as it was prepared."""

    index: int
    name: str
    macs: int
    tiles: int
    packed: bool
    # Of two inputs and the output: innermost last, 0 where there is none
    shapes: tuple[tuple[int, ...], ...]

    @property
    def convolution(self) -> bool:
        return self.name in _CONVOLUTIONS

    @property
    def pointwise(self) -> bool:
        return self.name == "CONV_2D" and self.shapes[1][1:3] == (1, 1)

    @property
    def kind(self) -> str:
        if self.pointwise:
            return "pointwise"
        kernel = "x".join(str(size) for size in self.shapes[1][1:3])
        short = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise"}.get(self.name)
        return f"{short} {kernel}" if short else self.name.lower()

    @property
    def shape(self) -> str:
        def words(shape: Sequence[int]) -> str:
            return "x".join(str(size) for size in shape[1:])

        return f"{words(self.shapes[0])} > {words(self.shapes[2])}"


@dataclass(frozen=True)
class Peak:
    """Of each inner loop that this processor can run, the seconds of a multiply-accumulate."""

    loops: dict[str, Figure]
    cpu: dict[str, Figure]  # the same, of the host's cores

    @property
    def name(self) -> str:
        return min(self.loops, key=lambda name: self.loops[name].median)

    @property
    def rate(self) -> float:
        """Multiply-accumulates a second."""
        return 1 / self.loops[self.name].median

    @property
    def cpu_rate(self) -> float:
        """Multiply-accumulates in a second of the host's cores, by the loop that is best there."""
        return 1 / min(each.median for each in self.cpu.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "macs_per_s": self.rate,
            "macs_per_host_cpu_s": self.cpu_rate,
            "loops": [
                {"name": name, "macs_per_s": 1 / each.median, "spread": each.spread}
                for name, each in self.loops.items()
            ],
        }


@dataclass(frozen=True)
class Measured:
    layer: Layer
    time: Figure
    cpu: Figure  # of the host's cores

    @property
    def rate(self) -> float:
        return self.layer.macs / self.time.median

    def as_json(self, peak: Peak) -> dict[str, Any]:
        layer = self.layer
        return {
            "index": layer.index,
            "operator": layer.name,
            "kind": layer.kind,
            "shapes": [list(shape) for shape in layer.shapes],
            "tiles": layer.tiles,
            "packed": layer.packed,
            "macs": layer.macs,
            "seconds": self.time.as_json(),
            "host_cpu_seconds": self.cpu.as_json(),
            "macs_per_s": self.rate,
            "peak_share": self.rate / peak.rate,
        }


@dataclass(frozen=True)
class Group:
    """Layers of one kind, together."""

    count: int
    macs: int
    seconds: float
    cpu: float  # of the host's cores

    @classmethod
    def of(cls, layers: Iterable[Measured]) -> "Group":
        chosen = list(layers)
        return cls(
            len(chosen),
            sum(each.layer.macs for each in chosen),
            sum(each.time.median for each in chosen),
            sum(each.cpu.median for each in chosen),
        )

    def share(self, peak: Peak) -> float | None:
        """Of the peak; None if there is no such layer."""
        return self.macs / self.seconds / peak.rate if self.count else None

    def cpu_share(self, peak: Peak) -> float | None:
        """The same, both by what they take of the host's cores."""
        return self.macs / self.cpu / peak.cpu_rate if self.count else None

    def as_json(self, peak: Peak) -> dict[str, Any]:
        return {
            "count": self.count,
            "macs": self.macs,
            "seconds": self.seconds,
            "host_cpu_seconds": self.cpu,
            "peak_share": self.share(peak),
            "peak_share_of_host_cpu": self.cpu_share(peak),
        }


def groups(layers: Sequence[Measured]) -> dict[str, Group]:
    """By what they are; `convolutions` and `pointwise` are those of the ratios."""
    found = {
        "all": Group.of(layers),
        "convolutions": Group.of(each for each in layers if each.layer.convolution),
        "pointwise": Group.of(each for each in layers if each.layer.pointwise),
        "other convolutions": Group.of(
            each for each in layers if each.layer.name == "CONV_2D" and not each.layer.pointwise
        ),
        "depthwise": Group.of(each for each in layers if each.layer.name == "DEPTHWISE_CONV_2D"),
        "the rest": Group.of(each for each in layers if not each.layer.convolution),
    }
    return found


def bar(share: float, width: int = _BAR) -> str:
    """A bar of eighths of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


def as_text(layers: Sequence[Measured], peak: Peak) -> str:
    longest = max(each.time.median for each in layers)
    rows = []
    for each in layers:
        known = each.layer.macs > 0
        rows.append(
            (
                str(each.layer.index),
                each.layer.kind,
                each.layer.shape,
                f"{each.time.median * 1e3:.2f}",
                f"{100 * each.time.spread:.0f} %",
                f"{each.cpu.median * 1e3:.2f}",
                f"{each.layer.macs / 1e6:.2f}" if known else "",
                f"{each.rate / 1e9:.2f}" if known else "",
                f"{100 * each.rate / peak.rate:.0f} %" if known else "",
                bar(each.time.median / longest),
            )
        )
    head = (
        "# ",
        "layer",
        "shape",
        "ms ",
        "spread ",
        "host CPU ",
        "M MACs ",
        "GMAC/s ",
        "of peak ",
        "",
    )
    sums = [
        (
            name,
            str(group.count),
            f"{group.seconds * 1e3:.1f}",
            f"{group.macs / 1e6:.1f}",
            f"{group.macs / group.seconds / 1e9:.2f}",
            f"{100 * (group.share(peak) or 0):.0f} %",
            f"{group.cpu * 1e3:.1f}",
            f"{100 * (group.cpu_share(peak) or 0):.0f} %",
        )
        for name, group in groups(layers).items()
        if group.count
    ]
    best = (
        f"peak: {peak.rate / 1e9:.2f} GMAC/s, {peak.name};"
        f" {peak.cpu_rate / 1e9:.2f} in a second of the host's cores"
    )
    sum_head = (
        "layers",
        "count ",
        "ms ",
        "M MACs ",
        "GMAC/s ",
        "of peak ",
        "host CPU, ms ",
        "of its peak ",
    )
    return f"{table(head, rows)}\n\n{table(sum_head, sums)}\n\n{best}"
