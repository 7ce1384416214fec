# SPDX-License-Identifier: Apache-2.0
"""Which TAs there are in a running machine, and where each is from."""

import re
from dataclasses import dataclass
from enum import StrEnum, auto
from uuid import UUID

from sandbox.devkit.elf import ta_description
from sandbox.devkit.push import TA_FOLDER
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols

# Name, size and time of change; a name that is no UUID is nobody's TA.
_LINE = re.compile(rb"([0-9a-f-]{36})\.ta ([0-9]{1,12}) ([0-9]{1,12})")
_SCRIPT = "cd {} && for ta in *.ta; do stat -c '%n %s %Y' \"$ta\"; done"
_TIMEOUT_S = 30.0


class Origin(StrEnum):
    IMAGE = auto()
    PUSHED = auto()  # or put there by hand


@dataclass(frozen=True)
class GuestTa:
    uuid: UUID
    size_bytes: int
    origin: Origin
    description: str | None  # from the machine's symbols


def tas(machine: Machine) -> list[GuestTa]:
    """Those in the guest's folder of TAs; OP-TEE has more within itself, as pseudo TAs."""
    with machine.guest() as guest:
        asked = guest.run(["sh", "-c", _SCRIPT.format(TA_FOLDER)], timeout_s=_TIMEOUT_S, check=True)
    symbols = Symbols(machine.folder.symbols)
    found = []
    for line in asked.stdout.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name = match[1].decode()
        unstripped = symbols.path(name)
        found.append(
            GuestTa(
                UUID(name),
                int(match[2]),
                # All files of an image have the time zero.
                Origin.PUSHED if int(match[3]) else Origin.IMAGE,
                ta_description(unstripped) if unstripped is not None else None,
            )
        )
    return found
