# SPDX-License-Identifier: Apache-2.0
"""Parameters of a call: up to four, each a value or a reference to memory, each with a direction.

A call leaves what it was given alone, and returns new ones with what came out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sandbox.tee.memory import SharedMemory

PARAM_COUNT = 4
# All temporary memrefs of a call together, and each shared memory: TEE_MEMORY_MAX_SIZE.
MEMORY_MAX_BYTES = 32 << 20
_U32_MAX = (1 << 32) - 1


def checked_u32(name: str, value: int) -> int:
    if not 0 <= value <= _U32_MAX:
        raise ValueError(f"{name} is {value}: must fit into 32 bits, without a sign")
    return value


def _checked_size(name: str, size: int) -> int:
    if not 0 <= size <= MEMORY_MAX_BYTES:
        raise ValueError(f"{name} is {size}: must be 0 to {MEMORY_MAX_BYTES}")
    return size


@dataclass(frozen=True)
class Wire:
    """A parameter as tee_message.h has it, and the bytes that it takes in."""

    kind: int
    a: int = 0
    b: int = 0
    c: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class ValueIn:
    a: int = 0
    b: int = 0
    kind: ClassVar[int] = 0x1

    def __post_init__(self) -> None:
        checked_u32("a", self.a)
        checked_u32("b", self.b)

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.a, self.b)

    def after(self, wire: Wire) -> "ValueIn":
        del wire
        return self


@dataclass(frozen=True)
class ValueOut:
    """Both numbers come from the TA; before the call they are zero."""

    a: int = 0
    b: int = 0
    kind: ClassVar[int] = 0x2

    def to_wire(self) -> Wire:
        return Wire(self.kind)

    def after(self, wire: Wire) -> "ValueOut":
        return ValueOut(wire.a, wire.b)


@dataclass(frozen=True)
class ValueInOut:
    a: int = 0
    b: int = 0
    kind: ClassVar[int] = 0x3

    def __post_init__(self) -> None:
        checked_u32("a", self.a)
        checked_u32("b", self.b)

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.a, self.b)

    def after(self, wire: Wire) -> "ValueInOut":
        return ValueInOut(wire.a, wire.b)


@dataclass(frozen=True)
class MemrefIn:
    """Bytes for the TA; None is the null reference, which is not the same as no bytes."""

    data: bytes | None
    kind: ClassVar[int] = 0x5

    def __post_init__(self) -> None:
        _checked_size("length of data", len(self.data or b""))

    def to_wire(self) -> Wire:
        if self.data is None:
            return Wire(self.kind, 0, 1)
        return Wire(self.kind, len(self.data), data=bytes(self.data))

    def after(self, wire: Wire) -> "MemrefIn":
        del wire
        return self


@dataclass(frozen=True)
class MemrefOut:
    """Room for `size` bytes, which are in `data` after the call. None: the null reference.

    Afterwards `needed` is the size that the TA asks for, which is larger than `size` when the
    result is SHORT_BUFFER.
    """

    size: int | None
    data: bytes = b""
    needed: int = field(default=0, compare=False)
    kind: ClassVar[int] = 0x6

    def __post_init__(self) -> None:
        _checked_size("size", self.size or 0)

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.size or 0, int(self.size is None))

    def after(self, wire: Wire) -> "MemrefOut":
        return replace(self, data=wire.data, needed=wire.a)


@dataclass(frozen=True)
class MemrefInOut:
    """Bytes that the TA may replace, by up to `size` (their own length, if not given)."""

    data: bytes
    size: int | None = None
    needed: int = field(default=0, compare=False)
    kind: ClassVar[int] = 0x7

    def __post_init__(self) -> None:
        _checked_size("length of data", len(self.data))
        if self.size is not None and _checked_size("size", self.size) < len(self.data):
            raise ValueError(f"size is {self.size}, and there are {len(self.data)} bytes")

    def to_wire(self) -> Wire:
        size = len(self.data) if self.size is None else self.size
        return Wire(self.kind, size, data=bytes(self.data).ljust(size, b"\0"))

    def after(self, wire: Wire) -> "MemrefInOut":
        size = len(self.data) if self.size is None else self.size
        return MemrefInOut(wire.data, max(size, len(wire.data)), wire.a)


@dataclass(frozen=True)
class MemrefWhole:
    """All of a shared memory, in the directions that it was made for."""

    memory: "SharedMemory"
    needed: int = field(default=0, compare=False)
    kind: ClassVar[int] = 0xC

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.memory.number, 0, self.memory.size)

    def after(self, wire: Wire) -> "MemrefWhole":
        return replace(self, needed=wire.c)


@dataclass(frozen=True)
class _MemrefPartial:
    memory: "SharedMemory"
    offset: int
    size: int
    needed: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        # Whether it lies inside the memory is for the TEE to say: a test may want to know.
        checked_u32("offset", self.offset)
        checked_u32("size", self.size)


class MemrefPartialIn(_MemrefPartial):
    """A part of a shared memory, for the TA to read."""

    kind: ClassVar[int] = 0xD

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.memory.number, self.offset, self.size)

    def after(self, wire: Wire) -> "MemrefPartialIn":
        del wire
        return self


class MemrefPartialOut(_MemrefPartial):
    """A part for the TA to write; afterwards `needed` is how much it wrote, or wants."""

    kind: ClassVar[int] = 0xE

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.memory.number, self.offset, self.size)

    def after(self, wire: Wire) -> "MemrefPartialOut":
        return replace(self, needed=wire.c)


class MemrefPartialInOut(_MemrefPartial):
    """A part to read and to write."""

    kind: ClassVar[int] = 0xF

    def to_wire(self) -> Wire:
        return Wire(self.kind, self.memory.number, self.offset, self.size)

    def after(self, wire: Wire) -> "MemrefPartialInOut":
        return replace(self, needed=wire.c)


Parameter = (
    ValueIn
    | ValueOut
    | ValueInOut
    | MemrefIn
    | MemrefOut
    | MemrefInOut
    | MemrefWhole
    | MemrefPartialIn
    | MemrefPartialOut
    | MemrefPartialInOut
)
MEMREF_OUTPUTS = (
    MemrefOut,
    MemrefInOut,
    MemrefWhole,
    MemrefPartialOut,
    MemrefPartialInOut,
)


def checked(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    if len(parameters) > PARAM_COUNT:
        raise ValueError(f"{len(parameters)} parameters: a call takes {PARAM_COUNT}")
    temporary = sum(p.to_wire().a for p in parameters if p.kind in (0x5, 0x6, 0x7))
    _checked_size("size of all memrefs", temporary)
    return tuple(parameters)
