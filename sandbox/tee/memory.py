# SPDX-License-Identifier: Apache-2.0
"""Shared memory: bytes that both worlds see, and that stay from one call to the next."""

from enum import IntFlag
from typing import Self

from sandbox.tee import wire
from sandbox.tee.results import TeeError
from sandbox.tee.wire import Channel

_TIMEOUT_S = 60.0


class MemoryUse(IntFlag):
    """What a TA may do with it."""

    INPUT = 1
    OUTPUT = 2
    BOTH = 3


class SharedMemory:
    """Made by TEEContext.allocate or TEEContext.register; released at the end of its block."""

    def __init__(self, channel: Channel, number: int, size: int) -> None:
        self._channel = channel
        self.number = number
        self.size = size
        self._released = False

    def write(self, data: bytes, offset: int = 0) -> None:
        """Also while a TA uses it: nothing keeps the worlds from racing for real either."""
        self._check(offset, len(data))
        self._call(wire.WRITE, "writing to", b=offset, data=data)

    def read(self, size: int | None = None, offset: int = 0) -> bytes:
        size = self.size - offset if size is None else size
        self._check(offset, size)
        return self._call(wire.READ, "reading", b=offset, c=size).data

    def release(self) -> None:
        if self._released or self._channel.broken:
            return
        self._call(wire.RELEASE, "releasing")
        self._released = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _check(self, offset: int, size: int) -> None:
        if self._released:
            raise ValueError("this shared memory was released")
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ValueError(f"bytes {offset} to {offset + size} of {self.size}")

    def _call(
        self, kind: int, what: str, *, b: int = 0, c: int = 0, data: bytes = b""
    ) -> wire.Reply:
        what = f"{what} a shared memory"
        reply = self._channel.call(kind, what, _TIMEOUT_S, a=self.number, b=b, c=c, data=data)
        if reply.result:
            raise TeeError(reply.result, reply.origin, what)
        return reply
