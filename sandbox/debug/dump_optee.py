# SPDX-License-Identifier: Apache-2.0
"""Lines of OP-TEE's core, of ldelf and of TAs: abort.c, panic.c, assert.c, scall.c, ta_elf.c."""

import re

from sandbox.debug.dump import Abort, Dump, Place, Region, number
from sandbox.machine.console import Trouble, bad_pattern
from sandbox.machine.folder import World

REGIONS_LIMIT = 128
# How far back the words are that a TA or ldelf says before it panics.
WORDS_BEFORE = 3

# A frame of OP-TEE's log, maybe behind what a terminal program put before it. A '*' says that two
# cores wanted to print at once.
OPTEE = re.compile(r"(?:^|[^A-Za-z])([UEIDFM])/([A-Za-z][\w-]{0,15}):(.*)$")
# "core thread " of the TEE core: "0 1 ", "? 0 ", "0   "; two digits on large machines.
CORE = re.compile(r"(\?+|\d+) (?:(\d{1,3}) |  ?)? ?(.*)$")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PLACED = re.compile(r"[A-Za-z_]\w*:\d+ ")

_TA_CODE = re.compile(r"TA panicked with code (0x[0-9a-fA-F]{1,8})")
_ABORT = re.compile(
    r"(User mode|User TA|Core) (data|prefetch|undef)-abort at address (0x[0-9a-fA-F]{1,16})"
    r"(?: \[tagged 0x[0-9a-fA-F]+\])?(?: \(([^)]{1,60})\))?"
)
ASSERTION = re.compile(
    r"assertion '(.{1,400})' failed at (.{1,300}?):(\d{1,7}) (?:in |<)([\w.$]{1,120})"
)
WORDS = re.compile(
    r"stack smashing detected|Undefined behavior .{1,200}|\[ASAN\]: access violation.{1,80}"
    r"|Dead canary at .{1,100}|Can't unwind invalid user stack .{1,40}|assertion failed"
)
_PANIC = re.compile(
    r"Panic(?: '(.{1,300})')?(?: at (.{1,300}?):(\d{1,7}) ?(?:<([\w.$]{1,120})>)?)?$"
)
_LOAD = re.compile(r"TEE load address @ (0x[0-9a-fA-F]{1,16})")
STATUS = re.compile(r"Status of TA ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
_ARCH = re.compile(r"^\s*arch: (\w{1,16})")
_REGION = re.compile(
    r"region +(\d{1,4}): va (0x[0-9a-fA-F]{1,16}) pa 0x[0-9a-fA-F]+ size (0x[0-9a-fA-F]{1,16})"
    r"(?: flags (\S{1,8}))?(?: (?:\[(\d{1,3})\]|\((\w{1,16})\)))?"
)
_ELF = re.compile(
    r"^\s*\[(\d{1,3})\] ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r" @ (0x[0-9a-fA-F]{1,16})"
)
CALL = re.compile(r"^\s*(0x[0-9a-fA-F]{1,16})\s*$")
_STATUS_REGISTER = re.compile(r"^\s*(esr|fsr) (0x[0-9a-fA-F]{1,16})")
_CPU = re.compile(r"^\s*cpu #(\d{1,4})\b")
_REGISTERS = re.compile(
    r"\b(x\d{1,2}|r\d{1,2}|elr|sp_el0|sp|lr|pc|ip)\s+(?:0x)?([0-9a-fA-F]{8,16})\b"
)
_RESULT = re.compile(r"(?:failed with res:|Return error) (0x[0-9a-fA-F]{1,8})")
_FOR_TA = re.compile(r"Failed for TA ([0-9a-fA-F-]{36})")
_WANTED = re.compile(r"Memory allocation failed: size (\d{1,20})")


_LOADING = (Trouble.LDELF_FAILURE, Trouble.OUT_OF_SECURE_MEMORY)


def continues(dump: Dump, trouble: Trouble, said: str) -> bool:
    """Whether a line that could begin a dump is a part of the one that its thread prints."""
    if trouble is Trouble.TEE_PANIC and dump.trouble in (Trouble.TEE_PANIC, Trouble.TEE_ASSERTION):
        # An abort or assertion, its call stack, and then the panic that it leads to.
        return dump.panic is None and _PANIC.search(said) is not None
    return trouble in _LOADING and dump.trouble in _LOADING


def take_words(dump: Dump, text: str) -> bool:
    if found := ASSERTION.search(text):
        if dump.assertion is None:
            dump.assertion = Place(found[1], found[2], int(found[3]), found[4])
        return True
    words = WORDS.search(text)
    said = words[0] if words else ""
    if dump.trouble in _LOADING and dump.ta is None and (about := UUID.search(text)):
        dump.ta = about[0].lower()
    if not words and (frame := OPTEE.search(text)) and frame[2] == "LD":
        said = frame[3].strip()
    if said and len(dump.words) < WORDS_BEFORE:
        dump.words.append(said)
    return bool(said)


def take(dump: Dump, said: str) -> bool:
    """A line of the TEE core: True if it is a part of a dump."""
    if found := _TA_CODE.search(said):
        dump.code = number(found[1])
    elif found := _ABORT.search(said):
        dump.abort = Abort(found[1], found[2], number(found[3]), found[4] or "")
    elif found := _RESULT.search(said):
        dump.code = number(found[1])
        if who := _FOR_TA.search(said):
            dump.ta = who[1].lower()
    elif found := _WANTED.search(said):
        dump.wanted_bytes = int(found[1])
    elif found := _LOAD.search(said):
        dump.load_address = number(found[1])
    elif found := _STATUS_REGISTER.match(said):
        if found[1] == "esr":
            dump.esr = number(found[2])
        else:
            dump.fsr = number(found[2])
    elif found := _CPU.match(said):
        dump.cpu = int(found[1])
    elif take_words(dump, said):
        pass
    elif found := _PANIC.match(said.strip()):
        dump.panic = Place(found[1] or "", found[2] or "", int(found[3] or 0), found[4] or "")
    elif said.strip() == "Call stack:":
        if not dump.stack_began:
            dump.stack_began = True
        elif dump.calls:
            # The second stack, of the panic that an abort leads to, says less.
            dump.stack_began = False
    elif found := CALL.match(said):
        if dump.stack_began:
            dump.call(number(found[1]))
    elif registers := _REGISTERS.findall(said):
        for name, value in registers:
            dump.registers.setdefault(name, number(value))
    else:
        return bad_pattern(World.SECURE, f"E/TC:{dump.thread} {said}") is not None
    return True


def wants_state(dump: Dump) -> bool:
    return dump.trouble is Trouble.TA_PANIC and dump.ta is None


def lacks(dump: Dump, said: str) -> bool:
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


def may_call(dump: Dump, address: int) -> bool:
    if not dump.calls and "elr" in dump.registers:
        return address == dump.registers["elr"]
    return any(address in region for region in dump.regions)


def take_state(dump: Dump, said: str) -> None:
    if found := _ARCH.match(said):
        dump.arch = found[1]
    elif found := _REGION.search(said):
        if len(dump.regions) < REGIONS_LIMIT:
            elf = int(found[5]) if found[5] else None
            region = Region(number(found[2]), number(found[3]), found[4] or "", elf, found[6] or "")
            dump.regions.append(region)
    elif found := _ELF.match(said):
        if len(dump.elves) < REGIONS_LIMIT:
            dump.elves[int(found[1])] = (found[2].lower(), number(found[3]))
    elif said.strip() == "Call stack:":
        dump.stack_began = True
    elif found := CALL.match(said):
        dump.call(number(found[1]))
