# SPDX-License-Identifier: Apache-2.0
"""A profile as a flame graph: an SVG that a browser shows, with zoom and search in it.

Brendan Gregg's form: a frame's width is the share of time it was on the stack; what it calls
stands on it; from left to right is the alphabet and not time. Colours tell where code runs.
https://www.brendangregg.com/flamegraphs.html
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

from sandbox.debug.profile.stacks import PLACES, Frame, Kind, Profile

_WIDTH = 1200
_MARGIN = 12
_ROW = 18
_HEADER = 96
_FOOTER = 34
# Narrower frames would only be a blur; they are in the other formats.
_NARROWEST = 1.0
_FONT = 12
_LETTER = 7.0  # of that font, about
_TITLE_LETTERS = 90  # of a bigger one, beside the links

# Hue, saturation, lightness.
_COLOURS = {
    Kind.WORLD: (220, 8, 82),
    Kind.TA: (18, 88, 66),
    Kind.CORE: (280, 52, 75),
    Kind.FIRMWARE: (48, 82, 62),
    Kind.KERNEL: (205, 65, 71),
    Kind.USER: (125, 42, 68),
    Kind.IDLE: (0, 0, 90),
}
# Characters that XML 1.0 has no place for, whatever they are escaped to.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class _Node:
    frame: Frame
    count: int = 0
    children: dict[Frame, "_Node"] = field(default_factory=dict)


@dataclass(frozen=True)
class _Box:
    frame: Frame
    count: int
    x: float
    width: float
    depth: int


def svg(profile: Profile, title: str, *, by_core: bool = False, idle: bool = False) -> str:
    """The picture. Idle time is only told, unless it is to be drawn as well."""
    root = _tree(profile, by_core=by_core, idle=idle)
    boxes = list(_boxes(root))
    depth = max((box.depth for box in boxes), default=0)
    height = _HEADER + (depth + 1) * _ROW + _FOOTER
    base = height - _FOOTER - _ROW
    return "".join(_document(profile, root, boxes, title, height, base, idle=idle))


def _tree(profile: Profile, *, by_core: bool, idle: bool) -> _Node:
    root = _Node(Frame("all" if idle else "busy", Kind.WORLD))
    for frames, count in profile.counted(by_core=by_core):
        if frames[-1].kind is Kind.IDLE and not idle:
            continue
        root.count += count
        node = root
        for frame in frames:
            node = node.children.setdefault(frame, _Node(frame))
            node.count += count
    return root


def _boxes(root: _Node) -> Iterator[_Box]:
    if not root.count:
        return
    scale = (_WIDTH - 2 * _MARGIN) / root.count
    waiting: list[tuple[_Node, float, int]] = [(root, float(_MARGIN), 0)]
    while waiting:
        node, x, depth = waiting.pop()
        yield _Box(node.frame, node.count, x, node.count * scale, depth)
        for child in sorted(node.children.values(), key=lambda n: (n.frame.name, n.frame.kind)):
            if child.count * scale >= _NARROWEST:
                waiting.append((child, x, depth + 1))
            x += child.count * scale


def _document(
    profile: Profile,
    root: _Node,
    boxes: Iterable[_Box],
    title: str,
    height: int,
    base: int,
    *,
    idle: bool,
) -> Iterator[str]:
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" font-family="Verdana, DejaVu Sans, sans-serif"'
        f' font-size="{_FONT}">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#fdfdfc"/>\n'
        f'<text x="{_MARGIN}" y="26" font-size="18" font-weight="bold">'
        f"{_text(_cut(title, _TITLE_LETTERS))}</text>\n"
        f'<text x="{_MARGIN}" y="46" fill="#555">{_text(subtitle(profile))}</text>\n'
    )
    yield from _legend(profile, idle=idle)
    # The links work where scripts run: opened as a file, not inside a page.
    yield (
        f'<text id="reset" class="link" x="{_WIDTH - _MARGIN}" y="26" text-anchor="end"'
        ' visibility="hidden">reset zoom</text>\n'
        f'<text id="search" class="link" x="{_WIDTH - _MARGIN}" y="46" text-anchor="end">search'
        "</text>\n"
        f'<text id="detail" x="{_MARGIN}" y="{base + _ROW + 22}"> </text>\n<g id="frames">\n'
    )
    for box in boxes:
        yield _drawn(box, root.count, profile, base)
    yield f"</g>\n<script>//<![CDATA[\n{_SCRIPT}\n//]]></script>\n</svg>\n"


def subtitle(profile: Profile) -> str:
    total = len(profile.stacks)
    share = 100 * (total - profile.busy) / total if total else 0.0
    return (
        f"{profile.running_s:.1f} s of the machine's time, {profile.stops} samples of each of"
        f" {profile.cores} cores; the cores were idle for {share:.0f} %"
    )


def _legend(profile: Profile, *, idle: bool) -> Iterator[str]:
    places = profile.places()
    whole = sum(n for kind, n in places.items() if idle or kind is not Kind.IDLE)
    x = _MARGIN
    for kind in PLACES:
        if kind is Kind.IDLE and not idle:
            continue
        words = f"{kind} {100 * places[kind] / whole if whole else 0:.1f} %"
        yield (
            f'<rect x="{x}" y="62" width="14" height="14" rx="2" fill="{_colour(kind)}"/>'
            f'<text x="{x + 20}" y="74">{_text(words)}</text>\n'
        )
        x += 44 + round(len(words) * _LETTER)


def _drawn(box: _Box, whole: int, profile: Profile, base: int) -> str:
    y = base - box.depth * _ROW
    seconds = box.count * profile.core_s
    where = "" if box.frame.kind is Kind.WORLD else f", {box.frame.kind}"
    about = (
        f"{box.frame.name}{where}: {100 * box.count / whole:.2f} %,"
        f" {seconds:.3f} s of a core, {box.count} samples"
    )
    room = int((box.width - 6) / _LETTER)
    name = box.frame.name
    shown = _cut(name, room) if room >= 4 or len(name) <= room else ""
    return (
        f'<g class="f" data-n="{_text(name)}" data-d="{box.depth}">'
        f"<title>{_text(about)}</title>"
        f'<rect x="{box.x:.2f}" y="{y}" width="{box.width:.2f}" height="{_ROW - 1}"'
        f' fill="{_colour(box.frame.kind, name)}"/>'
        f'<text x="{box.x + 3:.2f}" y="{y + 13}">{_text(shown)}</text></g>\n'
    )


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 2]}.."


def _colour(kind: Kind, name: str = "") -> str:
    hue, saturation, lightness = _COLOURS[kind]
    if name and kind not in (Kind.WORLD, Kind.IDLE):
        # Neighbours should differ a little, and one function always look the same.
        lightness += zlib.crc32(name.encode(errors="replace")) % 11 - 5
    return f"hsl({hue},{saturation}%,{lightness}%)"


def _text(text: str) -> str:
    """Names come from the guest, and a browser executes what is in an SVG."""
    return escape(_NOT_XML.sub("?", text))


_STYLE = """
.f { cursor: pointer; } rect { rx: 1.5px; } .f:hover rect { stroke: #222; }
.f text { pointer-events: none; } .link { cursor: pointer; fill: #2457a8; }
"""

_SCRIPT = f"""
"use strict";
const W = {_WIDTH}, M = {_MARGIN}, LETTER = {_LETTER};
const frames = Array.from(document.querySelectorAll(".f"), g => ({{
  g, rect: g.querySelector("rect"), label: g.querySelector("text"),
  about: g.querySelector("title").textContent, name: g.dataset.n,
  d: +g.dataset.d,
}}));
for (const f of frames) {{
  f.x = +f.rect.getAttribute("x"); f.w = +f.rect.getAttribute("width");
}}
const detail = document.getElementById("detail");
const reset = document.getElementById("reset");
function place(frame, x, w) {{
  frame.rect.setAttribute("x", x); frame.rect.setAttribute("width", w);
  frame.label.setAttribute("x", x + 3);
  const room = Math.floor((w - 6) / LETTER);
  frame.label.textContent = frame.name.length <= room ? frame.name
    : room >= 4 ? frame.name.slice(0, room - 2) + ".." : "";
}}
function zoom(to) {{
  const scale = (W - 2 * M) / to.w, end = to.x + to.w;
  for (const f of frames) {{
    const below = f.d < to.d && f.x <= to.x + 0.02 && f.x + f.w >= end - 0.02;
    const above = f.d >= to.d && f.x >= to.x - 0.02 && f.x + f.w <= end + 0.02;
    f.g.style.display = below || above ? "" : "none";
    f.g.style.opacity = below ? 0.5 : 1;
    if (below) place(f, M, W - 2 * M);
    if (above) place(f, M + (f.x - to.x) * scale, f.w * scale);
  }}
  reset.setAttribute("visibility", to.d ? "visible" : "hidden");
}}
for (const f of frames) {{
  f.g.addEventListener("click", () => zoom(f));
  f.g.addEventListener("mouseenter", () => {{ detail.textContent = f.about; }});
}}
reset.addEventListener("click", () => frames.length && zoom(frames[0]));
document.getElementById("search").addEventListener("click", () => {{
  const word = prompt("Part of a function's name (empty: none)") || "";
  let found = 0;
  for (const f of frames) {{
    const hit = word && f.name.includes(word);
    found += hit;
    f.rect.style.fill = hit ? "#e5007d" : "";
  }}
  detail.textContent = word ? found + " frames contain " + word : "";
}});
"""
