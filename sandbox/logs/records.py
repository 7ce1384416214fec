# SPDX-License-Identifier: Apache-2.0
"""What a line of a console is made into."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sandbox.machine.folder import World


class Source(StrEnum):
    """Who printed it, as far as the line itself tells."""

    TF_A = "tf-a"
    KERNEL = "kernel"
    TEE_SUPPLICANT = "tee-supplicant"
    CML_CA = "cml-ca"
    AGENT = "agent"
    CONSOLE = "console"  # other text
    OPTEE = "optee"
    LDELF = "ldelf"
    TA = "ta"
    SANDBOX = "sandbox"  # on no console: what a panic means (explain.py)


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"
    INFO = "info"
    DEBUG = "debug"
    FLOW = "flow"

    @property
    def severity(self) -> int:
        """0 is the worst."""
        return _SEVERITY[self]


_SEVERITY = {level: number for number, level in enumerate(Level)}


@dataclass(frozen=True, slots=True)
class Record:
    """One line. Its texts hold nothing that could steer a terminal."""

    time_s: float  # since the machine's start, on the host's CLOCK_MONOTONIC
    world: World
    source: Source
    level: Level | None  # Linux's console does not tell it
    ta: str | None  # UUID of the TA that printed it, or that OP-TEE names in it
    text: str  # without the time and the TA that the console has before it
    raw: str  # as it was on the console

    def as_json(self) -> dict[str, Any]:
        return {
            "time_s": round(self.time_s, 6),
            "world": str(self.world),
            "source": str(self.source),
            "level": str(self.level) if self.level else None,
            "ta": self.ta,
            "text": self.text,
        }
