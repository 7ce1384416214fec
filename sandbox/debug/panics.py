# SPDX-License-Identifier: Apache-2.0
"""Panics of both worlds, explained: who, where in the source, what it means, what to look at.

    explainer = Explainer(machine.symbols)
    for line in lines:
        for panic in explainer.feed(line.text, line.world):
            print(panic.report())
    for panic in explainer.flush():  # the console has fallen silent, or the file has ended
        print(panic.report())

parser.py takes the lines apart, symbolise.py finds functions and lines, advice.py finds the words.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.debug import advice
from sandbox.debug.codes import Code
from sandbox.debug.dump import Dump
from sandbox.debug.parser import Parser
from sandbox.debug.stack import Frame, Register, Stack
from sandbox.debug.symbolise import Elves, Symboliser
from sandbox.machine.console import Line, Trouble
from sandbox.machine.folder import World

# A guest may print any number of panics; these many get their symbols looked up.
SYMBOLISED_LIMIT = 100
_FRAMES_SHOWN = 24


@dataclass(frozen=True)
class Panic:
    """One panic, abort, oops or the like, as a person wants to read it."""

    trouble: Trouble
    world: World
    headline: str  # one sentence
    ta: str | None  # UUID
    code: Code | None
    meaning: tuple[str, ...]  # paragraphs: what it usually means
    advice: tuple[str, ...]  # what to look at
    registers: tuple[Register, ...]  # pc and lr first
    frames: tuple[Frame, ...]  # innermost first
    culprit: int | None  # which frame is the first that is not of a library
    remarks: tuple[str, ...]  # what is missing here, and how to get it
    lines: tuple[str, ...]  # of the console

    def report(self, *, registers: bool = True) -> str:
        """Plain text, of many lines."""
        out = [f"{self.trouble}: {self.headline}"]
        if self.ta is not None:
            out.append(f"  TA {self.ta}")
        if self.code is not None:
            out.append(f"  code {self.code}")
        out += [_wrapped(text, "  ") for text in self.meaning]
        if self.advice:
            out += ["  look at:", *(_wrapped(text, "    - ") for text in self.advice)]
        if self.frames:
            out += ["  call stack:", *_stack_text(self.frames, self.culprit)]
        if registers and self.registers:
            out += ["  registers:", *_registers_text(self.registers)]
        out += [_wrapped(text, "  note: ") for text in self.remarks]
        return "\n".join(out)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Explainer:
    """Lines of consoles in, panics out. Never raises for what the lines say."""

    def __init__(self, elves: Elves, roots: Sequence[Path] = ()) -> None:
        """`elves` is a machine's `Symbols`, or `symbolise.ElfFiles`; `roots` have sources."""
        self._parser = Parser()
        self._symboliser = Symboliser(elves, roots)
        self._left = SYMBOLISED_LIMIT

    @property
    def pending(self) -> bool:
        """Whether a panic has begun: `flush` when nothing more comes for a moment."""
        return self._parser.pending

    def feed(self, text: str, world: World | None = None) -> list[Panic]:
        """One line, without colours and control characters. The panics that are whole now."""
        return [self._explained(dump) for dump in self._parser.feed(text, world)]

    def flush(self) -> list[Panic]:
        """What has begun is taken as whole."""
        return [self._explained(dump) for dump in self._parser.flush()]

    def explain(self, lines: Iterable[Line]) -> list[Panic]:
        """All panics of these lines."""
        return [panic for line in lines for panic in self.feed(line.text, line.world)] + (
            self.flush()
        )

    def _explained(self, dump: Dump) -> Panic:
        self._left -= 1
        stack = Stack(dump, self._symboliser if self._left >= 0 else None)
        frames, culprit = stack.frames(), stack.culprit()
        words = advice.words(dump, stack)
        return Panic(
            dump.trouble,
            dump.world,
            words.headline,
            dump.ta,
            words.code,
            tuple(words.meaning),
            tuple(words.advice),
            stack.registers(),
            frames,
            culprit,
            stack.remarks(),
            tuple(dump.lines),
        )


def _wrapped(text: str, begin: str) -> str:
    return textwrap.fill(
        text, 100, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False
    )


def _stack_text(frames: Sequence[Frame], culprit: int | None) -> list[str]:
    out: list[str] = []
    shown = index = 0
    while index < len(frames) and shown < _FRAMES_SHOWN:
        frame = frames[index]
        again = _repeats(frames, index)
        out.append(f"    #{index:<2} {frame}")
        if index == culprit or (culprit is None and index == 0):
            out += [
                f"      {'>' if line.marked else ' '} {line.number:>5} | {line.text}"
                for line in frame.source
            ]
        if again > 1:
            out.append(f"        ... the same {again} times more")
        index += 1 + (again if again > 1 else 0)
        shown += 1
    if index < len(frames):
        out.append(f"    ... and {len(frames) - index} more")
    return out


def _repeats(frames: Sequence[Frame], index: int) -> int:
    """How many frames after this one are the same call again: recursion."""
    count = 0
    while index + 1 + count < len(frames) and frames[index + 1 + count] == frames[index]:
        count += 1
    return count


def _registers_text(registers: Sequence[Register]) -> list[str]:
    named = [r for r in registers if r.name in ("pc", "lr", "sp")]
    out = [f"    {r.name:<3} {r.value:016x}  {r.symbol}".rstrip() for r in named]
    rest = [r for r in registers if r not in named]
    width = max((len(r.name) for r in rest), default=0)
    columns = 4 if width <= 3 else 3
    cells = [f"{r.name:<{width}} {r.value:016x}" for r in rest]
    return out + ["    " + "  ".join(cells[i : i + columns]) for i in range(0, len(rest), columns)]
