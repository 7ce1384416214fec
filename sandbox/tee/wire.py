# SPDX-License-Identifier: Apache-2.0
"""Calls to the agent's TEE service (host/agent/tee_message.h), many at once over one connection."""

import itertools
import select
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sandbox.errors import GuestError
from sandbox.machine import agent
from sandbox.machine.agent import GuestTimeout, GuestUnreachable
from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest
from sandbox.tee.parameters import MEMORY_MAX_BYTES, PARAM_COUNT, Parameter, Wire

INITIALIZE = 0x30
OPEN = 0x31
INVOKE = 0x32
CLOSE = 0x33
CANCEL = 0x34
SHARE = 0x35
RELEASE = 0x36
WRITE = 0x37
READ = 0x38
DONE = 0xB0

FRAME_MAX_BYTES = MEMORY_MAX_BYTES + 4096
_HEAD = struct.Struct("<IIII16s")
_DONE_HEAD = struct.Struct("<IIII")
_PARAM = struct.Struct("<IIII")
_TEMPORARY_OUTPUTS = (0x6, 0x7)
_READ_SIZE = 1 << 18
_NO_UUID = UUID(int=0)
# A cancellation that comes before the call has reached the TEE is lost, so it is repeated.
_CANCEL_AGAIN_S = 0.2
# How long a cancelled call may take to come back; a TA need not heed it at all.
CANCEL_GRACE_S = 10.0


@dataclass(frozen=True)
class Reply:
    result: int
    origin: int
    value: int
    parameters: tuple[Wire, ...]
    data: bytes


class _Pending:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.reply: Reply | None = None
        self.error: GuestError | None = None


class Channel:
    """One connection: an agent's process with a TEEC context. Threads may share it."""

    def __init__(self, guest: Guest, timeout_s: float) -> None:
        deadline = Deadline(timeout_s)
        connection = guest.connection(deadline, limit=FRAME_MAX_BYTES)
        connection.flush(deadline)
        self._socket = connection.detach()
        self._socket.setblocking(True)
        self._numbers = itertools.count(1)
        self._send_lock = threading.Lock()
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._broken: GuestError | None = None
        self._reader = threading.Thread(target=self._read, name="sandbox-tee", daemon=True)
        self._reader.start()

    def close(self) -> None:
        self._break(GuestUnreachable("the TEE context is closed"))

    @property
    def broken(self) -> bool:
        return self._broken is not None

    def call(
        self,
        kind: int,
        what: str,
        timeout_s: float | None,
        *,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        uuid: UUID = _NO_UUID,
        parameters: Sequence[Parameter] = (),
        data: bytes = b"",
    ) -> Reply:
        """Raises GuestTimeout; then nothing more can be said over this channel, unless the call
        was an INVOKE, which is cancelled, and came back."""
        number = next(self._numbers) & 0xFFFFFFFF
        pending = _Pending()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._pending[number] = pending
        wires = [parameter.to_wire() for parameter in parameters]
        wires += [Wire(0)] * (PARAM_COUNT - len(wires))
        payload = b"".join(
            (
                _HEAD.pack(number, a, b, c, uuid.bytes),
                *(_PARAM.pack(wire.kind, wire.a, wire.b, wire.c) for wire in wires),
                *(wire.data for wire in wires),
                data,
            )
        )
        self._send(kind, payload)
        if not pending.done.wait(timeout_s) and not (
            kind == INVOKE and self._cancelled(number, pending)
        ):
            self._break(GuestUnreachable(f"{what} did not end, and the context was given up"))
            raise GuestTimeout(
                f"{what} did not end within {timeout_s:.0f} s"
                + (", nor when it was cancelled" if kind == INVOKE else ""),
                "The TA may still run; `sandbox logs` shows what both worlds say.",
            )
        if pending.error is not None:
            raise pending.error
        assert pending.reply is not None
        return pending.reply

    def _cancelled(self, number: int, pending: _Pending) -> bool:
        deadline = Deadline(CANCEL_GRACE_S)
        request = _HEAD.pack(number, 0, 0, 0, _NO_UUID.bytes) + bytes(PARAM_COUNT * _PARAM.size)
        while not deadline.expired:
            self._send(CANCEL, request)
            if pending.done.wait(deadline.within(_CANCEL_AGAIN_S).remaining_s):
                return True
        return False

    def _send(self, kind: int, payload: bytes) -> None:
        try:
            with self._send_lock:
                self._socket.sendall(agent.frame(kind, payload))
        except OSError as error:
            # The reader may know better why.
            self._reader.join(1.0)
            self._break(GuestUnreachable(f"the guest's agent is gone: {error.strerror}"))

    def _break(self, error: GuestError) -> None:
        """The first error counts; all who wait get it."""
        with self._lock:
            if self._broken is not None:
                return
            self._broken = error
            waiting, self._pending = self._pending, {}
        try:
            # Wakes the reader, who closes it.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        for pending in waiting.values():
            pending.error = error
            pending.done.set()

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        arrived = bytearray()
        with self._socket:
            while not self.broken:
                poll.poll()
                try:
                    data = self._socket.recv(_READ_SIZE)
                except OSError:
                    data = b""
                if not data:
                    self._break(GuestUnreachable("the guest's agent hung up"))
                    return
                arrived += data
                try:
                    self._take(arrived)
                except (GuestError, struct.error, ValueError) as error:
                    self._break(GuestUnreachable(f"the guest's agent talks nonsense: {error}"))

    def _take(self, arrived: bytearray) -> None:
        for kind, payload in agent.frames(arrived, FRAME_MAX_BYTES):
            if kind == agent.FAILED:
                raise agent.refused(payload, "the TEE service")
            if kind != DONE:
                raise ValueError(f"frame of type {kind:#x}")
            number, reply = _reply(payload)
            with self._lock:
                pending = self._pending.pop(number, None)
            if pending is not None:
                pending.reply = reply
                pending.done.set()


def _reply(payload: bytes) -> tuple[int, Reply]:
    number, result, origin, value = _DONE_HEAD.unpack_from(payload)
    at = _DONE_HEAD.size
    wires = [Wire(*_PARAM.unpack_from(payload, at + i * _PARAM.size)) for i in range(PARAM_COUNT)]
    at += PARAM_COUNT * _PARAM.size
    for i, wire in enumerate(wires):
        if wire.kind in _TEMPORARY_OUTPUTS:
            wires[i] = Wire(wire.kind, wire.a, wire.b, 0, payload[at : at + wire.c])
            at += wire.c
    return number, Reply(result, origin, value, tuple(wires), payload[at:])
