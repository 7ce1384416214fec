# SPDX-License-Identifier: Apache-2.0
"""What a panic printed, taken apart line by line: addresses and words, nothing looked up.

The lines are the guest's and are not trusted: whatever comes, nothing here raises, and nothing
grows beyond a limit. Formats: OP-TEE's abort.c, panic.c, assert.c, scall.c, ldelf; TF-A's
crash_reporting.S and backtrace.c; Linux's arm64 traps.c, process.c and die(). Lines of several
cores may alternate. OP-TEE's core numbers its lines (E/TC:core thread); ldelf does not (E/LD:), so
those are dealt out by what each dump lacks next.
"""

import re
from collections import deque
from dataclasses import dataclass, field

from sandbox.machine.console import Trouble, bad_pattern
from sandbox.machine.folder import World

LINE_LIMIT = 1024
LINES_LIMIT = 800
CALLS_LIMIT = 200
REGIONS_LIMIT = 128
OPEN_LIMIT = 8
# How far back the words are that a TA or ldelf says before it panics.
_WORDS_BEFORE = 3

# A frame of OP-TEE's log, maybe behind what a terminal program put before it. A '*' says that two
# cores wanted to print at once.
_OPTEE = re.compile(r"(?:^|[^A-Za-z])([UEIDFM])/([A-Za-z][\w-]{0,15}):(.*)$")
# "core thread " of the TEE core: "0 1 ", "? 0 ", "0   "; two digits on large machines.
_CORE = re.compile(r"(\?+|\d+) (?:(\d{1,3}) |  ?)? ?(.*)$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PLACED = re.compile(r"[A-Za-z_]\w*:\d+ ")

_TA_CODE = re.compile(r"TA panicked with code (0x[0-9a-fA-F]{1,8})")
_ABORT = re.compile(
    r"(User mode|User TA|Core) (data|prefetch|undef)-abort at address (0x[0-9a-fA-F]{1,16})"
    r"(?: \[tagged 0x[0-9a-fA-F]+\])?(?: \(([^)]{1,60})\))?"
)
_ASSERTION = re.compile(
    r"assertion '(.{1,400})' failed at (.{1,300}?):(\d{1,7}) (?:in |<)([\w.$]{1,120})"
)
_WORDS = re.compile(
    r"stack smashing detected|Undefined behavior .{1,200}|\[ASAN\]: access violation.{1,80}"
    r"|Dead canary at .{1,100}|Can't unwind invalid user stack .{1,40}|assertion failed"
)
_PANIC = re.compile(
    r"Panic(?: '(.{1,300})')?(?: at (.{1,300}?):(\d{1,7}) ?(?:<([\w.$]{1,120})>)?)?$"
)
_LOAD = re.compile(r"TEE load address @ (0x[0-9a-fA-F]{1,16})")
_STATUS = re.compile(r"Status of TA ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
_ARCH = re.compile(r"^\s*arch: (\w{1,16})")
_REGION = re.compile(
    r"region +(\d{1,4}): va (0x[0-9a-fA-F]{1,16}) pa 0x[0-9a-fA-F]+ size (0x[0-9a-fA-F]{1,16})"
    r"(?: flags (\S{1,8}))?(?: (?:\[(\d{1,3})\]|\((\w{1,16})\)))?"
)
_ELF = re.compile(
    r"^\s*\[(\d{1,3})\] ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r" @ (0x[0-9a-fA-F]{1,16})"
)
_CALL = re.compile(r"^\s*(0x[0-9a-fA-F]{1,16})\s*$")
_ESR = re.compile(r"^\s*(?:esr|fsr) (0x[0-9a-fA-F]{1,16})")
_CPU = re.compile(r"^\s*cpu #(\d{1,4})\b")
_REGISTERS = re.compile(
    r"\b(x\d{1,2}|r\d{1,2}|elr|sp_el0|sp|lr|pc|ip)\s+(?:0x)?([0-9a-fA-F]{8,16})\b"
)
_RESULT = re.compile(r"(?:failed with res:|Return error) (0x[0-9a-fA-F]{1,8})")
_FOR_TA = re.compile(r"Failed for TA ([0-9a-fA-F-]{36})")
_WANTED = re.compile(r"Memory allocation failed: size (\d{1,20})")

_KERNEL_PREFIX = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")
_KERNEL_CALL = re.compile(
    r"^\s+(?:\? )?([\w.$]{1,200})\+(0x[0-9a-f]{1,8})/(0x[0-9a-f]{1,8})(?: \[(\w{1,64})\b.*\])?"
    r"(?: \([A-Z]+\))?$"
)
_KERNEL_PC = re.compile(
    r"^(pc|lr) : (?:([\w.$]{1,200})\+(0x[0-9a-f]{1,8})/0x[0-9a-f]{1,8}(?: \[(\w{1,64})\b.*\])?"
    r"|(0x[0-9a-f]{1,16}))"
)
_KERNEL_REGISTERS = re.compile(r"\b(x\d{1,2}|sp) ?: ([0-9a-f]{8,16})\b")
_KERNEL_TASK = re.compile(r"^CPU: (\d{1,4}) (?:UID: \d+ )?PID: (\d{1,10}) Comm: (\S{1,64})")
_KERNEL_FAULT = re.compile(r"Unable to handle kernel (.{1,80}) at virtual address ([0-9a-f]{8,16})")
_KERNEL_ESR = re.compile(r"ESR = (0x[0-9a-f]{1,16})")
_KERNEL_END = re.compile(r"---\[ end (trace|Kernel panic)")

_EL3_REGISTER = re.compile(r"^([a-z]\w{1,15}) += 0x([0-9a-f]{1,16})$")
_EL3_PC = re.compile(r"^PANIC at PC : 0x([0-9a-f]{1,16})")
_EL3_CALL = re.compile(r"^\d{1,4}: EL\d: 0x([0-9a-f]{1,16})")
_EL3_PART = re.compile(r"^(BACKTRACE: |ERROR: |PANIC |Unhandled |ASSERT: )")


_LOADING = (Trouble.LDELF_FAILURE, Trouble.OUT_OF_SECURE_MEMORY)


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

    def keep(self, text: str) -> None:
        if len(self.lines) < LINES_LIMIT:
            self.lines.append(text)

    def call(self, address: int) -> None:
        if len(self.calls) < CALLS_LIMIT:
            self.calls.append(address)


def _number(text: str) -> int:
    return int(text, 16)


class Parser:
    """Feed it lines in order; it gives each dump once nothing more can belong to it."""

    def __init__(self) -> None:
        # By stream: "thread 0", "core 1", "kernel", "firmware".
        self._open: dict[str, Dump] = {}
        # TAs whose state ldelf prints now, the one that was fed last at the end.
        self._states: list[Dump] = []
        # Lines that may turn out to be the first words of a panic.
        self._before: deque[str] = deque(maxlen=_WORDS_BEFORE)
        self._kernel_stamped = False

    @property
    def pending(self) -> bool:
        """Whether a dump has begun that more lines may belong to."""
        return bool(self._open)

    def feed(self, text: str, world: World | None = None) -> list[Dump]:
        """One line; of a file in which nobody says which world speaks, `world` is None."""
        text = text[:LINE_LIMIT]
        if world is None:
            optee = _OPTEE.search(text) is not None
            world = World.SECURE if optee or self._is_firmware(text) else World.NORMAL
        if world is World.SECURE and (found := _OPTEE.search(text)):
            return self._optee(text, found[1], found[2], found[3])
        if self._is_firmware(text):
            return self._firmware(text, world)
        return self._kernel(text) if world is World.NORMAL else []

    def flush(self) -> list[Dump]:
        """All that has begun: the console has fallen silent, or the file has ended."""
        done = list(self._open.values())
        self._open.clear()
        self._states.clear()
        self._before.clear()
        return done

    def _begin(self, key: str, dump: Dump) -> list[Dump]:
        done = self._end(key)
        while len(self._open) >= OPEN_LIMIT:
            done += self._end(next(iter(self._open)))
        self._open[key] = dump
        return done

    def _end(self, key: str) -> list[Dump]:
        dump = self._open.pop(key, None)
        if dump is None:
            return []
        self._states = [other for other in self._states if other is not dump]
        return [dump]

    # OP-TEE --------------------------------------------------------------------------------------

    def _optee(self, text: str, level: str, who: str, rest: str) -> list[Dump]:
        if who == "LD":
            return self._ldelf(text, rest)
        if who != "TC":
            # Of a TA: what it says before it panics. It has no number, so it closes nothing.
            if _ASSERTION.search(rest) or _WORDS.search(rest):
                self._before.append(text)
            return []
        numbered = _CORE.match(rest) if level != "I" else None
        if numbered is None:
            return []
        core, thread, said = numbered.groups()
        key = f"thread {thread}" if thread is not None else f"core {core}"
        return self._core(key, text, said)

    def _core(self, key: str, text: str, said: str) -> list[Dump]:
        dump = self._open.get(key)
        pattern = bad_pattern(World.SECURE, text)
        if pattern is not None and (dump is None or not _continues(dump, pattern.name, said)):
            fresh = Dump(pattern.name, World.SECURE, said.strip(), key)
            before = list(self._before)
            self._before.clear()
            for line in before:
                fresh.keep(line)
                _take_words(fresh, line)
            done = self._begin(key, fresh)
            fresh.keep(text)
            _take(fresh, said)
            return done
        if dump is None:
            return []
        if _take(dump, said) or not said.strip():
            dump.keep(text)
            return []
        # The thread speaks of something else.
        return self._end(key)

    def _ldelf(self, text: str, said: str) -> list[Dump]:
        if found := _STATUS.search(said):
            return self._state_begins(text, said, found[1].lower())
        taker = self._whose(said, _UUID.search(text[: -len(said)] if said else text))
        if taker is not None:
            taker.keep(text)
            last = self._states[-1]
            if taker is not last:
                # Two cores print by turns.
                taker.mixed = last.mixed = True
            _take_state(taker, said)
            self._states.remove(taker)
            self._states.append(taker)
            return []
        if bad_pattern(World.SECURE, text) is not None or _PLACED.search(said):
            # Why it could not load a TA; the core then says that it failed.
            self._before.append(text)
        return []

    def _state_begins(self, text: str, said: str, ta: str) -> list[Dump]:
        done: list[Dump] = []
        # Threads print in the order in which they panicked, mostly.
        waiting = [dump for dump in self._open.values() if _wants_state(dump)]
        if len(waiting) > 1:
            for dump in waiting:
                dump.mixed = True
        if not waiting:
            # The beginning of the log is lost.
            key = f"TA {ta}"
            done = self._begin(key, Dump(Trouble.TA_PANIC, World.SECURE, said.strip(), key))
            waiting = [self._open[key]]
        waiting[0].ta = ta
        waiting[0].keep(text)
        self._states.append(waiting[0])
        return done

    def _whose(self, said: str, ta: re.Match[str] | None) -> Dump | None:
        """Of the states that are being printed, the one that this line goes on with."""
        states = [d for d in self._states if ta is None or d.ta == ta[0].lower()]
        if not states:
            return None
        if found := _CALL.match(said):
            address = _number(found[1])
            able = [d for d in reversed(states) if d.stack_began and _may_call(d, address)]
            # What lies in nobody's memory is a stack that was overwritten.
            rest = [states[-1]] if states[-1].stack_began else []
            return next(iter([*able, *rest]), None)
        # Of two that are equally far, the one that was fed longest ago.
        return next((dump for dump in states if _lacks(dump, said)), None)

    # TF-A ----------------------------------------------------------------------------------------

    def _is_firmware(self, text: str) -> bool:
        text = text.strip()
        pattern = bad_pattern(World.SECURE, text)
        if pattern is not None and pattern.name is Trouble.FIRMWARE_PANIC:
            return True
        if "firmware" not in self._open:
            return False
        return any(regex.match(text) for regex in (_EL3_REGISTER, _EL3_CALL, _EL3_PART, _EL3_PC))

    def _firmware(self, text: str, world: World) -> list[Dump]:
        done: list[Dump] = []
        said = text.strip()
        if "firmware" not in self._open:
            done = self._begin("firmware", Dump(Trouble.FIRMWARE_PANIC, world, said))
        dump = self._open["firmware"]
        dump.keep(text)
        if found := _EL3_REGISTER.match(said):
            dump.registers[found[1]] = _number(found[2])
            if found[1] == "esr_el3":
                dump.esr = _number(found[2])
        elif found := _EL3_PC.match(said):
            dump.registers["pc"] = _number(found[1])
        elif found := _EL3_CALL.match(said):
            dump.call(_number(found[1]))
        return done

    # Linux ---------------------------------------------------------------------------------------

    def _kernel(self, text: str) -> list[Dump]:
        stamp = _KERNEL_PREFIX.match(text)
        said = text[stamp.end() :] if stamp else text
        dump = self._open.get("kernel")
        pattern = bad_pattern(World.NORMAL, said)
        if pattern is not None and (dump is None or not _kernel_continues(dump, pattern.name)):
            dump = Dump(pattern.name, World.NORMAL, said.strip())
            done = self._begin("kernel", dump)
            self._kernel_stamped = stamp is not None
            dump.keep(text)
            _take_kernel(dump, said)
            return done
        if dump is None or (self._kernel_stamped and stamp is None):
            # Programs write to the same console.
            return []
        if pattern is None and dump.stack_began and dump.kernel_calls:
            if not _KERNEL_CALL.match(said) and not _of_kernel_dump(said):
                return self._end("kernel")
        dump.keep(text)
        if pattern is not None and pattern.name is Trouble.KERNEL_PANIC:
            # What began as an oops ends as this.
            dump.trouble = Trouble.KERNEL_PANIC
        _take_kernel(dump, said)
        if len(dump.lines) >= LINES_LIMIT or _KERNEL_END.search(said):
            # An oops may still become a panic.
            if dump.trouble is Trouble.KERNEL_PANIC or len(dump.lines) >= LINES_LIMIT:
                return self._end("kernel")
        return []


def _continues(dump: Dump, trouble: Trouble, said: str) -> bool:
    """Whether a line that could begin a dump is a part of the one that its thread prints."""
    if trouble is Trouble.TEE_PANIC and dump.trouble in (Trouble.TEE_PANIC, Trouble.TEE_ASSERTION):
        # An abort or assertion, its call stack, and then the panic that it leads to.
        return dump.panic is None and _PANIC.search(said) is not None
    return trouble in _LOADING and dump.trouble in _LOADING


def _take_words(dump: Dump, text: str) -> bool:
    if found := _ASSERTION.search(text):
        if dump.assertion is None:
            dump.assertion = Place(found[1], found[2], int(found[3]), found[4])
        return True
    words = _WORDS.search(text)
    said = words[0] if words else ""
    if dump.trouble in _LOADING and dump.ta is None and (about := _UUID.search(text)):
        dump.ta = about[0].lower()
    if not words and (frame := _OPTEE.search(text)) and frame[2] == "LD":
        said = frame[3].strip()
    if said and len(dump.words) < _WORDS_BEFORE:
        dump.words.append(said)
    return bool(said)


def _take(dump: Dump, said: str) -> bool:
    """A line of the TEE core: True if it is a part of a dump."""
    if found := _TA_CODE.search(said):
        dump.code = _number(found[1])
    elif found := _ABORT.search(said):
        dump.abort = Abort(found[1], found[2], _number(found[3]), found[4] or "")
    elif found := _RESULT.search(said):
        dump.code = _number(found[1])
        if who := _FOR_TA.search(said):
            dump.ta = who[1].lower()
    elif found := _WANTED.search(said):
        dump.wanted_bytes = int(found[1])
    elif found := _LOAD.search(said):
        dump.load_address = _number(found[1])
    elif found := _ESR.match(said):
        dump.esr = _number(found[1])
    elif found := _CPU.match(said):
        dump.cpu = int(found[1])
    elif _take_words(dump, said):
        pass
    elif found := _PANIC.match(said.strip()):
        dump.panic = Place(found[1] or "", found[2] or "", int(found[3] or 0), found[4] or "")
    elif said.strip() == "Call stack:":
        if not dump.stack_began:
            dump.stack_began = True
        elif dump.calls:
            # The second stack, of the panic that an abort leads to, says less.
            dump.stack_began = False
    elif found := _CALL.match(said):
        if dump.stack_began:
            dump.call(_number(found[1]))
    elif registers := _REGISTERS.findall(said):
        for name, value in registers:
            dump.registers.setdefault(name, _number(value))
    else:
        return bad_pattern(World.SECURE, f"E/TC:{dump.thread} {said}") is not None
    return True


def _wants_state(dump: Dump) -> bool:
    return dump.trouble is Trouble.TA_PANIC and dump.ta is None


def _lacks(dump: Dump, said: str) -> bool:
    """Whether a line of ldelf is what the state of this TA goes on with."""
    if _ARCH.match(said):
        return not dump.arch
    if found := _REGION.search(said):
        return int(found[1]) == len(dump.regions) and not dump.elves
    if found := _ELF.match(said):
        return int(found[1]) == len(dump.elves) and not dump.stack_began
    if said.strip() == "Call stack:":
        return not dump.stack_began
    return False


def _may_call(dump: Dump, address: int) -> bool:
    if not dump.calls and "elr" in dump.registers:
        return address == dump.registers["elr"]
    return any(address in region for region in dump.regions)


def _take_state(dump: Dump, said: str) -> None:
    if found := _ARCH.match(said):
        dump.arch = found[1]
    elif found := _REGION.search(said):
        if len(dump.regions) < REGIONS_LIMIT:
            elf = int(found[5]) if found[5] else None
            region = Region(
                _number(found[2]), _number(found[3]), found[4] or "", elf, found[6] or ""
            )
            dump.regions.append(region)
    elif found := _ELF.match(said):
        if len(dump.elves) < REGIONS_LIMIT:
            dump.elves[int(found[1])] = (found[2].lower(), _number(found[3]))
    elif said.strip() == "Call stack:":
        dump.stack_began = True
    elif found := _CALL.match(said):
        dump.call(_number(found[1]))


def _kernel_continues(dump: Dump, trouble: Trouble) -> bool:
    fatal = (Trouble.KERNEL_OOPS, Trouble.KERNEL_BUG, Trouble.KERNEL_PANIC)
    return dump.trouble is trouble or (dump.trouble in fatal and trouble in fatal)


def _of_kernel_dump(said: str) -> bool:
    return bool(
        _KERNEL_PC.match(said)
        or _KERNEL_REGISTERS.match(said)
        or _KERNEL_END.search(said)
        or said.startswith(("Code: ", "Call trace:", "Modules linked", "SMP: ", "Kernel Offset"))
        or said.startswith(("CPU features", "Memory Limit", "PHYS_OFFSET", "CPU: ", "Hardware"))
        or said.startswith(("pstate: ", "note: ", "Rebooting"))
    )


def _take_kernel(dump: Dump, said: str) -> None:
    if found := _KERNEL_CALL.match(said):
        if dump.stack_began and len(dump.kernel_calls) < CALLS_LIMIT:
            call = KernelCall(found[1], _number(found[2]), found[4] or "")
            dump.kernel_calls.append(call)
    elif found := _KERNEL_PC.match(said):
        if found[2]:
            dump.kernel_pc.setdefault(
                found[1], KernelCall(found[2], _number(found[3]), found[4] or "")
            )
        else:
            dump.registers.setdefault(found[1], _number(found[5]))
    elif said.startswith("Call trace:"):
        dump.stack_began = True
    elif found := _KERNEL_TASK.match(said):
        dump.cpu = int(found[1])
        dump.task = dump.task or f"{found[3]}, process {found[2]}"
    elif found := _KERNEL_FAULT.search(said):
        dump.abort = Abort("Kernel", "data", _number(found[2]), found[1])
    elif found := _KERNEL_ESR.search(said):
        dump.esr = _number(found[1])
    else:
        for name, value in _KERNEL_REGISTERS.findall(said):
            dump.registers.setdefault(name, _number(value))
