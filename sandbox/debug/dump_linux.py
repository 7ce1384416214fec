# SPDX-License-Identifier: Apache-2.0
"""Lines of Linux 6.12 on arm64: traps.c, fault.c, process.c, dump_stack.c, die()."""

import re

from sandbox.debug.dump import CALLS_LIMIT, Abort, Dump, KernelCall, number
from sandbox.machine.console import Trouble

PREFIX = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")
CALL = re.compile(
    r"^\s+(?:\? )?([\w.$]{1,200})\+(0x[0-9a-f]{1,8})/(0x[0-9a-f]{1,8})(?: \[(\w{1,64})\b.*\])?"
    r"(?: \([A-Z]+\))?$"
)
_PC = re.compile(
    r"^(pc|lr) : (?:([\w.$]{1,200})\+(0x[0-9a-f]{1,8})/0x[0-9a-f]{1,8}(?: \[(\w{1,64})\b.*\])?"
    r"|(0x[0-9a-f]{1,16}))"
)
_REGISTERS = re.compile(r"\b(x\d{1,2}|sp) ?: ([0-9a-f]{8,16})\b")
_TASK = re.compile(r"^CPU: (\d{1,4}) (?:UID: \d+ )?PID: (\d{1,10}) Comm: (\S{1,64})")
_FAULT = re.compile(r"Unable to handle kernel (.{1,80}) at virtual address ([0-9a-f]{8,16})")
_ESR = re.compile(r"ESR = (0x[0-9a-f]{1,16})")
_KILLED = re.compile(r"[Oo]ut of memory: Killed process \d{1,10} \(.{1,64}?\)")
_END = re.compile(r"---\[ end (trace|Kernel panic)")


def continues(dump: Dump, trouble: Trouble) -> bool:
    fatal = (Trouble.KERNEL_OOPS, Trouble.KERNEL_BUG, Trouble.KERNEL_PANIC)
    return dump.trouble is trouble or (dump.trouble in fatal and trouble in fatal)


def goes_on(dump: Dump, said: str) -> bool:
    """Whether a line that begins nothing is still a part of the dump."""
    if dump.trouble is Trouble.OUT_OF_MEMORY or not dump.kernel_calls:
        return True
    return bool(
        CALL.match(said)
        or _PC.match(said)
        or _REGISTERS.match(said)
        or _END.search(said)
        or said.startswith(("Code: ", "Call trace:", "Modules linked", "SMP: ", "Kernel Offset"))
        or said.startswith(("CPU features", "Memory Limit", "PHYS_OFFSET", "CPU: ", "Hardware"))
        or said.startswith(("pstate: ", "note: ", "Rebooting"))
    )


def take(dump: Dump, said: str) -> None:
    if found := CALL.match(said):
        if dump.stack_began and len(dump.kernel_calls) < CALLS_LIMIT:
            call = KernelCall(found[1], number(found[2]), found[4] or "")
            dump.kernel_calls.append(call)
    elif found := _PC.match(said):
        if found[2]:
            dump.kernel_pc.setdefault(
                found[1], KernelCall(found[2], number(found[3]), found[4] or "")
            )
        else:
            dump.registers.setdefault(found[1], number(found[5]))
    elif said.startswith("Call trace:"):
        dump.stack_began = True
    elif _END.search(said):
        # An oops may still become a panic.
        dump.ended = dump.trouble is Trouble.KERNEL_PANIC
    elif found := _TASK.match(said):
        dump.cpu = int(found[1])
        dump.task = dump.task or f"{found[3]}, process {found[2]}"
    elif found := _FAULT.search(said):
        dump.abort = Abort("Kernel", "data", number(found[2]), found[1])
    elif found := _ESR.search(said):
        dump.esr = number(found[1])
    elif found := _KILLED.search(said):
        # Who it was comes last, behind tables of all memory.
        dump.title, dump.task, dump.ended = found[0], "", True
    else:
        for name, value in _REGISTERS.findall(said):
            dump.registers.setdefault(name, number(value))
