# SPDX-License-Identifier: Apache-2.0
"""TEEC_Context and TEEC_Session.

A context is a process of the agent's in the guest, which calls libteec. When it is closed, or
Python ends in whatever way, that process ends too, and Linux closes the sessions it had.
"""

import threading
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Self, TypeVarTuple, overload
from uuid import UUID

from sandbox.machine.machine import Machine
from sandbox.tee import wire
from sandbox.tee.memory import MemoryUse, SharedMemory
from sandbox.tee.parameters import MEMORY_MAX_BYTES, Parameter, checked, checked_u32
from sandbox.tee.results import TeeError
from sandbox.tee.wire import Channel, Reply

_TIMEOUT_S = 60.0
Given = TypeVarTuple("Given")


class Login(IntEnum):
    """Who the TA is told that its client is. Linux's driver refuses those with APPLICATION."""

    PUBLIC = 0
    USER = 1
    GROUP = 2
    APPLICATION = 4
    USER_APPLICATION = 5
    GROUP_APPLICATION = 6


def _checked(reply: Reply, what: str, given: tuple[Parameter, ...] = ()) -> tuple[Parameter, ...]:
    """The parameters after the call."""
    after = tuple(
        parameter.after(wire) for parameter, wire in zip(given, reply.parameters, strict=False)
    )
    if reply.result:
        raise TeeError(reply.result, reply.origin, what, after)
    return after


class TEEContext:
    """A connection to a machine's TEE. Threads may share it, and each may have sessions."""

    def __init__(
        self, machine: Machine, name: str | None = None, *, timeout_s: float = 20.0
    ) -> None:
        self._channel = Channel(machine.guest(), timeout_s)
        what = f"connecting to the TEE {name or ''}".rstrip()
        try:
            data = (name or "").encode()
            _checked(self._channel.call(wire.INITIALIZE, what, timeout_s, data=data), what)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes its sessions and shared memories too."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_session(
        self,
        uuid: UUID | str,
        parameters: Sequence[Parameter] = (),
        *,
        login: Login = Login.PUBLIC,
        group: int = 0,
        timeout_s: float | None = _TIMEOUT_S,
    ) -> "Session":
        """Load the TA if it is not, and open a session; its answers are `session.opened_with`."""
        uuid = uuid if isinstance(uuid, UUID) else UUID(uuid)
        given = checked(parameters)
        what = f"open_session({uuid})"
        reply = self._channel.call(
            wire.OPEN,
            what,
            timeout_s,
            a=login,
            b=checked_u32("group", group),
            uuid=uuid,
            parameters=given,
        )
        return Session(self._channel, uuid, reply.value, _checked(reply, what, given))

    def allocate(self, size: int, use: MemoryUse = MemoryUse.BOTH) -> SharedMemory:
        """TEEC_AllocateSharedMemory."""
        return self._share(size, use, registered=False)

    def register(self, data: bytes | int, use: MemoryUse = MemoryUse.BOTH) -> SharedMemory:
        """TEEC_RegisterSharedMemory, of memory that holds `data`, or that many zeros."""
        size = data if isinstance(data, int) else len(data)
        memory = self._share(size, use, registered=True)
        if not isinstance(data, int):
            memory.write(data)
        return memory

    def _share(self, size: int, use: MemoryUse, *, registered: bool) -> SharedMemory:
        if not 0 < size <= MEMORY_MAX_BYTES:
            raise ValueError(f"size is {size}: must be 1 to {MEMORY_MAX_BYTES}")
        what = f"sharing {size} bytes"
        reply = self._channel.call(
            wire.SHARE, what, _TIMEOUT_S, a=int(registered), b=int(use), c=size
        )
        _checked(reply, what)
        return SharedMemory(self._channel, reply.value, size)


class Session:
    """An open session of a TA; `with` closes it."""

    def __init__(
        self, channel: Channel, uuid: UUID, number: int, opened_with: tuple[Parameter, ...]
    ) -> None:
        self._channel = channel
        self._number = number
        self._lock = threading.Lock()
        self._closed = False
        self.uuid = uuid
        self.opened_with = opened_with

    # A tuple of no known length fits both, and both then say the same.
    @overload
    def invoke(  # type: ignore[overload-overlap]
        self, command: int, parameters: tuple[*Given], *, timeout_s: float | None = ...
    ) -> tuple[*Given]: ...

    @overload
    def invoke(
        self,
        command: int,
        parameters: Sequence[Parameter] = ...,
        *,
        timeout_s: float | None = ...,
    ) -> tuple[Parameter, ...]: ...

    def invoke(
        self,
        command: int,
        parameters: Sequence[Any] = (),
        *,
        timeout_s: float | None = _TIMEOUT_S,
    ) -> tuple[Any, ...]:
        """Call the TA, and return the parameters as they are then: of a tuple, each of its type.

        A call that takes longer than `timeout_s` is asked to stop, as TEEC_RequestCancellation
        does. A TA that heeds it answers CANCEL, which is raised like any other result; one that
        ends by itself soon has answered; one that does neither makes this a GuestTimeout, and the
        context useless.
        """
        if self._closed:
            raise ValueError(f"the session with {self.uuid} is closed")
        given = checked(parameters)
        checked_u32("command", command)
        what = f"invoke({command:#x}) of {self.uuid}"
        reply = self._channel.call(
            wire.INVOKE, what, timeout_s, a=self._number, b=command, parameters=given
        )
        return _checked(reply, what, given)

    def close(self) -> None:
        """Harmless when it is closed, or its context is."""
        with self._lock:
            if self._closed or self._channel.broken:
                return
            what = f"closing the session with {self.uuid}"
            _checked(self._channel.call(wire.CLOSE, what, _TIMEOUT_S, a=self._number), what)
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
