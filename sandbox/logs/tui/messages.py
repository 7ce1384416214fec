# SPDX-License-Identifier: Apache-2.0
"""What threads tell the program, and its parts each other."""

from dataclasses import dataclass

from textual.message import Message

from sandbox.logs.records import Record
from sandbox.tee.stats import Memory


@dataclass
class LinesCame(Message):
    records: list[Record]


@dataclass
class RunBegan(Message):
    """What comes from here on is of another run than what came before."""

    started_at: float


@dataclass
class RunEnded(Message):
    """A recording has been shown to its end."""


@dataclass
class SourceFailed(Message):
    reason: str


@dataclass(frozen=True)
class SecureState:
    """What OP-TEE says of itself."""

    tas: int  # instances that are loaded; of a multi-instance TA, one for each session
    ta_ram: Memory
    heap: Memory


@dataclass(frozen=True)
class MachineState:
    """What is known; None where nobody tells."""

    state: str
    cores: int | None = None
    memory_mib: int | None = None
    up_s: float | None = None
    secure: SecureState | None = None


@dataclass
class StateTold(Message):
    state: MachineState


@dataclass
class CursorMoved(Message):
    """Of one pane, to this place among all lines."""

    pane: str
    place: int
