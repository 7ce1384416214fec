# SPDX-License-Identifier: Apache-2.0
"""Named stacks, how often each was seen, and what that says: shares and top functions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Where a function runs; a picture gives each a colour."""

    WORLD = "world"
    TA = "TA (S-EL0)"
    CORE = "OP-TEE core (S-EL1)"
    FIRMWARE = "TF-A (EL3)"
    KERNEL = "Linux (EL1)"
    USER = "programs (EL0)"
    IDLE = "idle"


# Where time may be spent, in the order of a table.
PLACES = (Kind.TA, Kind.CORE, Kind.FIRMWARE, Kind.KERNEL, Kind.USER, Kind.IDLE)


@dataclass(frozen=True)
class Frame:
    name: str
    kind: Kind


@dataclass(frozen=True)
class Stack:
    """What one core was doing at one moment, outermost first."""

    core: int
    time_s: float
    frames: tuple[Frame, ...]

    @property
    def place(self) -> Kind:
        return self.frames[-1].kind


@dataclass(frozen=True)
class Function:
    """One function's part in all samples."""

    frame: Frame
    owner: str  # the TA, program or other part of the system it was seen in
    self_count: int  # samples that were in it
    total_count: int  # samples that were in it, or in what it called


@dataclass(frozen=True)
class Profile:
    stacks: tuple[Stack, ...]
    cores: int
    stops: int
    running_s: float
    stopped_s: float

    @property
    def busy(self) -> int:
        return sum(stack.place is not Kind.IDLE for stack in self.stacks)

    @property
    def core_s(self) -> float:
        """Seconds of one core that a sample stands for."""
        return self.running_s / self.stops if self.stops else 0.0

    def places(self, core: int | None = None) -> dict[Kind, int]:
        counts = Counter(s.place for s in self.stacks if core is None or s.core == core)
        return {place: counts[place] for place in PLACES}

    def owners(self) -> list[tuple[Frame, int]]:
        """TAs, programs and the rest of the busy system, the busiest first.

        A core that serves a TA's system call is counted for the TA.
        """
        counts: Counter[str] = Counter()
        kinds: dict[str, Kind] = {}
        for stack in self.stacks:
            if stack.place is not Kind.IDLE:
                frame = _owner(stack)
                counts[frame.name] += 1
                # A process is in the kernel now and then.
                kinds[frame.name] = max(kinds.get(frame.name, frame.kind), frame.kind)
        return [(Frame(name, kinds[name]), count) for name, count in counts.most_common()]

    def functions(self) -> list[Function]:
        """Every function that was seen, by the time spent in itself."""
        own: Counter[tuple[Frame, str]] = Counter()
        total: Counter[tuple[Frame, str]] = Counter()
        for stack in self.stacks:
            if stack.place is Kind.IDLE:
                continue
            owner = _owner(stack)
            inside = [(f, owner.name) for f in stack.frames[1:] if f is not owner]
            total.update(set(inside))
            if inside:
                own[inside[-1]] += 1
        found = [
            Function(frame, owner, own[(frame, owner)], n) for (frame, owner), n in total.items()
        ]
        return sorted(found, key=lambda f: (-f.self_count, -f.total_count, f.frame.name))

    def counted(self, *, by_core: bool = False) -> Iterator[tuple[tuple[Frame, ...], int]]:
        """Each different stack and how often it was seen."""
        counts: Counter[tuple[Frame, ...]] = Counter()
        for stack in self.stacks:
            root = (Frame(f"core {stack.core}", Kind.WORLD),) if by_core else ()
            counts[root + stack.frames] += 1
        yield from counts.items()


def _owner(stack: Stack) -> Frame:
    """The frame that says whose time it is: below the worlds, or TF-A itself."""
    return stack.frames[1] if stack.frames[0].kind is Kind.WORLD else stack.frames[0]
