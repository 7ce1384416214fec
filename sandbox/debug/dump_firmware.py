# SPDX-License-Identifier: Apache-2.0
"""Lines of TF-A in EL3: crash_reporting.S, debug.S, backtrace.c."""

import re

from sandbox.debug.dump import Dump, number
from sandbox.machine.console import Trouble, bad_pattern
from sandbox.machine.folder import World

_REGISTER = re.compile(r"^([a-z]\w{1,15}) += 0x([0-9a-f]{1,16})$")
_PC = re.compile(r"^PANIC at PC : 0x([0-9a-f]{1,16})")
_CALL = re.compile(r"^\d{1,4}: EL\d: 0x([0-9a-f]{1,16})")
_PART = re.compile(r"^(BACKTRACE: |ERROR: |PANIC |Unhandled |ASSERT: )")


def begins(said: str) -> bool:
    pattern = bad_pattern(World.SECURE, said)
    return pattern is not None and pattern.name is Trouble.FIRMWARE_PANIC


def is_part(said: str) -> bool:
    return any(regex.match(said) for regex in (_REGISTER, _CALL, _PART, _PC))


def take(dump: Dump, said: str) -> None:
    if found := _REGISTER.match(said):
        dump.registers[found[1]] = number(found[2])
        if found[1] == "esr_el3":
            dump.esr = number(found[2])
    elif found := _PC.match(said):
        dump.registers["pc"] = number(found[1])
    elif found := _CALL.match(said):
        dump.call(number(found[1]))
