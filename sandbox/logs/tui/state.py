# SPDX-License-Identifier: Apache-2.0
"""The state line: asked for in a thread of its own, seldom, and with a limit on every wait."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from textual.message import Message

from sandbox.errors import SandboxError
from sandbox.logs.tui.messages import MachineState, SecureState, StateTold
from sandbox.machine.folder import Folder, Phase
from sandbox.machine.machine import Machine
from sandbox.tee import TEEContext
from sandbox.tee.stats import Memory, Pool, Stats

# What only the guest knows is asked for this often, what the host knows each second.
_ASK_EVERY_S = 5.0
_LOOK_EVERY_S = 1.0

_ANSWER_S = 3.0

# Raises SandboxError or OSError if nobody answers.
Ask = Callable[[], SecureState | None]


def look(folder: Folder) -> MachineState:
    """What the machine's folder tells; nothing is changed there, nobody is asked."""
    try:
        record = folder.read()
    except (SandboxError, OSError):
        return MachineState("unknown")
    if record is None:
        return MachineState("down")
    qemu = record.qemu
    if qemu is None or not qemu.alive():
        return MachineState("starting" if record.owner.alive() else "gone")
    return MachineState(
        "up" if record.phase is Phase.UP else "starting",
        record.cores,
        record.memory_mib,
        max(0.0, time.time() - record.started_at),
    )


class StateWatch:
    def __init__(self, folder: Folder, tell: Callable[[Message], object], ask: Ask) -> None:
        self._folder = folder
        self._tell = tell
        self._ask = ask
        self._over = threading.Event()
        self._answer: SecureState | None = None
        self._asking = threading.Thread(target=self._ask_on, daemon=True)
        self._looking = threading.Thread(target=self._look_on, daemon=True)

    def start(self) -> None:
        self._asking.start()
        self._looking.start()

    def stop(self) -> None:
        """Whoever waits for the guest is left to it: a daemon thread dies with the program."""
        self._over.set()

    def _look_on(self) -> None:
        while not self._over.is_set():
            state = look(self._folder)
            if state.state == "up":
                state = replace(state, secure=self._answer)
            self._tell(StateTold(state))
            self._over.wait(_LOOK_EVERY_S)

    def _ask_on(self) -> None:
        while not self._over.is_set():
            answer = None
            if look(self._folder).state == "up":
                with contextlib.suppress(SandboxError, OSError):
                    answer = self._ask()
            self._answer = answer
            self._over.wait(_ASK_EVERY_S)


def nobody() -> SecureState | None:
    """For a recording: what was is not written down."""
    return None


def optee(machine: Machine) -> Ask:
    """Ask OP-TEE of this machine. It waits for no TA, and a pseudo TA answers, which needs no
    memory of TAs."""

    def ask() -> SecureState:
        with TEEContext(machine, timeout_s=_ANSWER_S) as context, Stats(context) as stats:
            return SecureState(
                stats.loaded_count(), stats.memory(Pool.TA_RAM), stats.memory(Pool.CORE_HEAP)
            )

    return ask


def duration_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def state_text(state: MachineState) -> str:
    """One line; a dash where nobody tells."""

    def known(value: object) -> str:
        return "—" if value is None else str(value)

    up = "—" if state.up_s is None else duration_text(state.up_s)
    memory = "—" if state.memory_mib is None else f"{state.memory_mib} MiB"
    told = state.secure
    tas, ta_ram, heap = (told.tas, told.ta_ram, told.heap) if told else (None, None, None)
    return (
        f"{state.state}  up {up}  cores {known(state.cores)}  memory {memory}"
        f"  TAs {known(tas)}  TA RAM {_memory_text(ta_ram)}  heap {_memory_text(heap)}"
    )


def _memory_text(memory: Memory | None) -> str:
    if memory is None:
        return "—"
    used, peak, size = (number / 1024 for number in (memory.used, memory.peak, memory.size))
    return f"{used:.0f} KiB, peak {peak:.0f} of {size:.0f}"
