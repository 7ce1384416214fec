# SPDX-License-Identifier: Apache-2.0
"""Samples of all cores of a running machine, through QEMU's gdb stub.

A sample stops the machine, reads a few registers and the chain of frame pointers of each core, and
lets it go on: a fraction of a millisecond, in which the guest's clocks stand still too. Nothing in
the guest takes part, so both worlds, interrupts and the firmware are seen alike.

A core stops between two blocks of translated code, so a sample may be late by a block: a straight
piece of code, most often of a dozen instructions.
"""

import random
import re
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sandbox.debug.profile.linux import Task, TaskReader
from sandbox.debug.rsp import Remote, RemoteError

# Registers that `g` returns: x0 to x30, sp, pc, cpsr; QEMU's aarch64-core.xml.
_GENERAL = struct.Struct("<33QI")
_AARCH32 = 1 << 4  # PSTATE.nRW
_SCR_NS = 1  # SCR_EL3.NS: the levels below 3 are those of the normal world
_XFER_BYTES = 0xF00
_RECORD = struct.Struct("<QQ")  # a frame record: the caller's frame pointer, the return address
_PAGE = 4096
_WINDOW = 512  # bytes of stack read at once
_MAX_FRAMES = 96
# A caller's frame is not farther than this, unless the stack was changed.
_SAME_STACK = 1 << 17
_MAX_STACKS = 4
# Code that is read with each sample, from the instruction before the program counter.
CODE_BYTES = 64
_WFI = (0xD503207F).to_bytes(4, "little")


class Place(StrEnum):
    """Exception level and world."""

    USER = "EL0"
    KERNEL = "EL1"
    HYPERVISOR = "EL2"
    TA = "S-EL0"
    CORE = "S-EL1"
    SPM = "S-EL2"
    FIRMWARE = "EL3"

    @property
    def secure(self) -> bool:
        return self in _SECURE


_NORMAL_PLACES = (Place.USER, Place.KERNEL, Place.HYPERVISOR, Place.FIRMWARE)
_SECURE_PLACES = (Place.TA, Place.CORE, Place.SPM, Place.FIRMWARE)
_SECURE = frozenset(_SECURE_PLACES)


@dataclass(frozen=True)
class Crossing:
    """Where a chain of frames leaves one stack for another, as at a system call."""

    frame: int  # the number of the last on the first stack
    memory: bytes  # from that frame on
    code: bytes  # from the instruction before the next frame's return address


@dataclass(frozen=True)
class Sample:
    """What one core was doing at one moment. Addresses are virtual, and nothing has a name yet."""

    time_s: float  # since the first, in the machine's running time
    core: int
    place: Place
    pc: int
    lr: int
    code: bytes  # from pc - 4; empty if it could not be read
    frames: tuple[tuple[int, int], ...] = ()  # frame pointer and return address, innermost first
    crossing: Crossing | None = None  # the first
    asid: int = 0  # which address space OP-TEE has mapped, in the secure world
    task: Task | None = None

    @property
    def idle(self) -> bool:
        """The core waits for an interrupt."""
        return self.code[:4] == _WFI


@dataclass(frozen=True)
class Samples:
    samples: tuple[Sample, ...]
    cores: int
    stops: int  # how often the machine was stopped: each gives a sample of each core
    running_s: float  # time for which the machine ran
    stopped_s: float  # time for which it was stopped to be sampled


@dataclass(frozen=True)
class _Registers:
    x: tuple[int, ...]
    sp: int
    pc: int
    cpsr: int
    scr: int
    ttbr0: int
    tpidr_el1: int

    @property
    def place(self) -> Place:
        level = 0 if self.cpsr & _AARCH32 else self.cpsr >> 2 & 3
        return (_NORMAL_PLACES if self.scr & _SCR_NS else _SECURE_PLACES)[level]


class Sampler:
    def __init__(self, remote: Remote, tasks: TaskReader | None, rate_hz: float) -> None:
        """For a machine that stands still, as it does when `remote` has just been connected."""
        self._remote = remote
        self._tasks = tasks
        self._period_s = 1 / rate_hz
        self._cores = _cores(remote)
        numbers = _system_registers(remote)
        try:
            self._system = [
                b"p%x" % numbers[name] for name in ("SCR_EL3", "TTBR0_EL1", "TPIDR_EL1")
            ]
        except KeyError as error:
            raise RemoteError(f"QEMU's gdb stub does not show the register {error}") from error

    def run(self, going_on: Callable[[float], bool], seen: Callable[[Sample], object]) -> Samples:
        """Sample once, and on while `going_on(seconds so far)`; show each sample to `seen`.

        The machine stands still before and after.
        """
        samples: list[Sample] = []
        running_s = stopped_s = 0.0
        stops = 0
        while not stops or going_on(running_s):
            self._remote.send(b"c")
            resumed = time.perf_counter()
            # Not at equal distances: else they might keep step with a timer of the guest.
            time.sleep(self._period_s * random.uniform(0.5, 1.5))
            self._stop()
            stopped = time.perf_counter()
            running_s += stopped - resumed
            stops += 1
            taken = self._all_cores(running_s)
            for sample in taken:
                seen(sample)
            samples += taken
            stopped_s += time.perf_counter() - stopped
        return Samples(tuple(samples), len(self._cores), stops, running_s, stopped_s)

    def _stop(self) -> None:
        reply = self._remote.interrupt()
        if reply[:1] not in (b"T", b"S"):
            raise RemoteError(f"the machine did not stop: {reply[:40]!r}")

    def _all_cores(self, time_s: float) -> list[Sample]:
        questions = [
            question for core in self._cores for question in (b"Hg%x" % core, b"g", *self._system)
        ]
        answers = self._ask(questions)
        width = len(questions) // len(self._cores)
        cores = [
            _registers(answers[first + 1 : first + width])
            for first in range(0, len(answers), width)
        ]
        return [
            self._sample(time_s, index, core, registers)
            for index, (core, registers) in enumerate(zip(self._cores, cores, strict=True))
        ]

    def _sample(self, time_s: float, index: int, core: int, registers: _Registers) -> Sample:
        place, fp = registers.place, registers.x[29]
        _, code, window = (
            _memory(answer)
            for answer in self._ask(
                (b"Hg%x" % core, _read(registers.pc - 4, CODE_BYTES), _read(fp, _room(fp)))
            )
        )
        if not code:
            # The stub reads all or nothing, and here a mapping begins or ends.
            room = min(CODE_BYTES - 4, _PAGE - registers.pc % _PAGE)
            before, after = self._ask((_read(registers.pc - 4, 4), _read(registers.pc, room)))
            code = _memory(before).rjust(4, b"\0") + _memory(after)
        sample = Sample(time_s, index, place, registers.pc, registers.x[30], code)
        if sample.idle:
            return sample
        frames, crossing = self._chain(fp, window)
        task = None
        if self._tasks is not None and place in (Place.USER, Place.KERNEL):
            task = self._tasks.read(self._ask, per_cpu=registers.tpidr_el1)
        return Sample(
            time_s,
            index,
            place,
            registers.pc,
            registers.x[30],
            code,
            frames,
            crossing,
            registers.ttbr0 >> 48 if place.secure else 0,
            task,
        )

    def _chain(self, fp: int, window: bytes) -> tuple[tuple[tuple[int, int], ...], Crossing | None]:
        """Frame records, while there are any. What they say may be anything: user code is free."""
        base, frames = fp, list[tuple[int, int]]()
        last_of_stack: list[int] = []
        seen = set[int]()
        while fp and fp % 8 == 0 and fp not in seen and len(frames) < _MAX_FRAMES:
            if not 0 <= fp - base <= len(window) - _RECORD.size:
                base, window = fp, _memory(self._ask((_read(fp, _room(fp)),))[0])
                if len(window) < _RECORD.size:
                    break
            seen.add(fp)
            outer, address = _RECORD.unpack_from(window, fp - base)
            if not address:
                break
            frames.append((fp, address))
            if outer and not 0 < outer - fp < _SAME_STACK:
                last_of_stack.append(len(frames) - 1)
                if len(last_of_stack) == _MAX_STACKS:
                    break
            fp = outer
        if not last_of_stack or last_of_stack[0] + 1 == len(frames):
            return tuple(frames), None
        return tuple(frames), self._crossing(frames, last_of_stack[0])

    def _crossing(self, frames: Sequence[tuple[int, int]], number: int) -> Crossing:
        fp, outer_return = frames[number][0], frames[number + 1][1]
        room = _room(fp)
        memory, more, code = (
            _memory(answer)
            for answer in self._ask(
                (
                    _read(fp, room),
                    # The stack may end with the page.
                    _read(fp + room, _WINDOW - room or 1),
                    _read(outer_return - 4, CODE_BYTES),
                )
            )
        )
        return Crossing(number, memory + more, code)

    def _ask(self, questions: Sequence[bytes]) -> list[bytes]:
        return self._remote.call_all(questions)


def _cores(remote: Remote) -> list[int]:
    """The stub's numbers for the cores: it shows each as a thread."""
    names = remote.threads()
    try:
        # `p01.01` if the stub has ever had a client that spoke of processes, else `01`.
        found = [int(name.rpartition(b".")[2], 16) for name in names]
    except ValueError:
        found = []
    if not found:
        raise RemoteError(f"QEMU's gdb stub names no cores: {b','.join(names)[:40]!r}")
    return found


def _system_registers(remote: Remote) -> dict[str, int]:
    """Those that `p` can read, by QEMU's names."""
    # The stub has only the general ones until it was asked for the whole description.
    _document(remote, "target.xml")
    text = _document(remote, "system-registers.xml")
    pairs = re.findall(r'<reg name="([^"]+)"[^>]* regnum="(\d+)"', text)
    return {name: int(number) for name, number in pairs}


def _document(remote: Remote, name: str) -> str:
    text = b""
    while True:
        request = b"qXfer:features:read:%b:%x,%x" % (name.encode(), len(text), _XFER_BYTES)
        reply = remote.call(request)
        text += reply[1:]
        if reply[:1] == b"l":
            return text.decode(errors="replace")
        if reply[:1] != b"m" or len(reply) == 1 or len(text) > 1 << 20:
            raise RemoteError(f"QEMU's gdb stub has no {name}: {reply[:40]!r}")


def _registers(answers: Sequence[bytes]) -> _Registers:
    general, *system = answers
    try:
        *x, sp, pc, cpsr = _GENERAL.unpack_from(bytes.fromhex(general.decode("ascii")))
        values = [int.from_bytes(bytes.fromhex(s.decode("ascii")), "little") for s in system]
        return _Registers(tuple(x), sp, pc, cpsr, *values)
    except (ValueError, TypeError, struct.error) as error:
        raise RemoteError(f"no registers of AArch64: {general[:40]!r}") from error


def _room(address: int) -> int:
    """How much to read: the stub reads all or nothing, and the next page may not be there."""
    return min(_WINDOW, _PAGE - address % _PAGE)


def _read(address: int, size: int) -> bytes:
    return b"m%x,%x" % (address & (1 << 64) - 1, size)


def _memory(answer: bytes) -> bytes:
    """What an `m` read; nothing where nothing is mapped."""
    try:
        return bytes.fromhex(answer.decode("ascii"))
    except ValueError:
        return b""
