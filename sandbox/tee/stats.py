# SPDX-License-Identifier: Apache-2.0
"""What OP-TEE's stats PTA tells: memory of the secure world, and which TAs are loaded.

Format: OP-TEE's lib/libutee/include/pta_stats.h; OP-TEE has it with CFG_WITH_STATS, CFG_TA_STATS.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from sandbox.tee.context import Session, TEEContext
from sandbox.tee.parameters import MemrefOut, ValueIn, ValueOut
from sandbox.tee.results import TeeError, TeeOrigin, TeeResult

STATS_UUID = UUID("d96a5b40-e2c7-b1af-8794-1002a5d5c61b")
_CMD_ALLOC_STATS = 1
_CMD_TA_STATS = 3
_CMD_GET_TIME = 4

# description, sum of squares, allocated, max, size, failures, biggest failure, in use at it
_ALLOC = struct.Struct("<32sQIIIIII")
# UUID as TEE_UUID has it, panicked, sessions, padding; its heap follows
_TA = struct.Struct("<IHH8sII")
_TA_ENTRY = _TA.size + _ALLOC.size
_ATTEMPTS = 5


class Pool(IntEnum):
    CORE_HEAP = 1  # OP-TEE's own heap: sessions, objects, what is mapped
    TA_RAM = 3  # where TAs are


@dataclass(frozen=True)
class Memory:
    """Of one allocator, in bytes."""

    used: int
    peak: int
    size: int
    failures: int  # requests that could not be met
    biggest_failure: int


@dataclass(frozen=True)
class LoadedTa:
    uuid: UUID
    panicked: bool
    sessions: int
    heap: Memory


@dataclass(frozen=True)
class Times:
    """Seconds as the two worlds count them."""

    ree_s: float
    tee_s: float


class Stats:
    """A session with the stats PTA; `with` closes it."""

    def __init__(self, context: TEEContext) -> None:
        self._session: Session = context.open_session(STATS_UUID)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> "Stats":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def memory(self, pool: Pool, *, reset: bool = False) -> Memory:
        """`reset`: the next answer's peak counts from now on."""
        asked = (ValueIn(pool, int(reset)), MemrefOut(_ALLOC.size))
        _, out = self._session.invoke(_CMD_ALLOC_STATS, asked)
        return _memory(out.data)

    def loaded_count(self) -> int:
        """How many instances of TAs are loaded, PTAs aside. Unlike `loaded_tas`, it waits for none:
        OP-TEE says how much room an answer would take."""
        try:
            self._session.invoke(_CMD_TA_STATS, (MemrefOut(4),))
        except TeeError as error:
            if error.result is TeeResult.ITEM_NOT_FOUND:
                return 0
            if error.needed_bytes is None:
                raise
            return error.needed_bytes // _TA_ENTRY
        raise TeeError(TeeResult.GENERIC, TeeOrigin.TEE, "an answer that has no room")

    def loaded_tas(self, *, timeout_s: float = 60.0) -> tuple[LoadedTa, ...]:
        """Every TA that is loaded, PTAs aside, with its heap.

        OP-TEE asks each TA, and so waits for a command that runs in it.
        """
        room = 8
        for _ in range(_ATTEMPTS):
            asked = MemrefOut(room * _TA_ENTRY)
            try:
                (got,) = self._session.invoke(_CMD_TA_STATS, (asked,), timeout_s=timeout_s)
            except TeeError as error:
                if error.result is TeeResult.ITEM_NOT_FOUND:
                    return ()
                if error.needed_bytes is None:
                    raise
                # Others may be opened meanwhile.
                room = error.needed_bytes // _TA_ENTRY + 4
                continue
            starts = range(0, len(got.data), _TA_ENTRY)
            return tuple(_loaded_ta(got.data[at : at + _TA_ENTRY]) for at in starts)
        raise TeeError(
            TeeResult.SHORT_BUFFER, TeeOrigin.TEE, "TAs come faster than they can be listed"
        )

    def times(self) -> Times:
        ree, tee = self._session.invoke(_CMD_GET_TIME, (ValueOut(), ValueOut()))
        return Times(ree.a + ree.b / 1000, tee.a + tee.b / 1000)


def _memory(data: bytes) -> Memory:
    _, _, used, peak, size, failures, biggest, _ = _ALLOC.unpack(data)
    return Memory(used, peak, size, failures, biggest)


def _loaded_ta(data: bytes) -> LoadedTa:
    low, mid, high, node, panicked, sessions = _TA.unpack_from(data)
    uuid = UUID(bytes=struct.pack(">IHH8s", low, mid, high, node))
    return LoadedTa(uuid, bool(panicked), sessions, _memory(data[_TA.size :]))
