# SPDX-License-Identifier: Apache-2.0
"""What a panic printed, taken apart: addresses and words, nothing looked up."""

from dataclasses import dataclass, field

from sandbox.machine.console import Trouble
from sandbox.machine.folder import World

LINES_LIMIT = 800
CALLS_LIMIT = 200


@dataclass(frozen=True)
class Abort:
    """An exception: of user mode or of the core itself."""

    mode: str
    type: str  # data, prefetch, undef
    address: int
    fault: str  # as OP-TEE words it, "" if it says nothing


@dataclass(frozen=True)
class Place:
    """Where the source says it failed: the guest's word, never used to open a file."""

    text: str
    file: str
    line: int
    function: str


@dataclass(frozen=True)
class Region:
    address: int
    size: int
    flags: str
    elf: int | None  # which of the dump's ELF files
    name: str  # stack, ldelf, param

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


@dataclass(frozen=True)
class KernelCall:
    function: str
    offset: int
    module: str


@dataclass
class Dump:
    """One panic as it was printed."""

    trouble: Trouble
    world: World
    title: str  # the bad line, without its prefix
    thread: str = ""  # of OP-TEE: "0" if the line says so, else "core 0"
    lines: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # what was said just before, or besides
    code: int | None = None  # of a panic, or the TEE_Result of a failure
    abort: Abort | None = None
    assertion: Place | None = None
    panic: Place | None = None
    esr: int | None = None
    fsr: int | None = None  # of a core of 32 bits
    cpu: int | None = None
    registers: dict[str, int] = field(default_factory=dict)
    ta: str | None = None
    arch: str = ""
    regions: list[Region] = field(default_factory=list)
    elves: dict[int, tuple[str, int]] = field(default_factory=dict)
    load_address: int | None = None
    calls: list[int] = field(default_factory=list)
    kernel_calls: list[KernelCall] = field(default_factory=list)
    kernel_pc: dict[str, KernelCall] = field(default_factory=dict)
    task: str = ""
    wanted_bytes: int | None = None
    mixed: bool = False  # lines of another dump came between, and some may be swapped
    stack_began: bool = False
    ended: bool = False  # no more can come

    def keep(self, text: str) -> None:
        if len(self.lines) < LINES_LIMIT:
            self.lines.append(text)

    def call(self, address: int) -> None:
        if len(self.calls) < CALLS_LIMIT:
            self.calls.append(address)


def number(text: str) -> int:
    return int(text, 16)
