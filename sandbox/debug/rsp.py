# SPDX-License-Identifier: Apache-2.0
"""gdb's remote serial protocol, as far as we speak it ourselves: `$packet#checksum`, `+`.

https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.errors import InfraError
from sandbox.machine import sockets
from sandbox.machine.deadline import Deadline

_INTERRUPT = b"\x03"
_ESCAPE = 0x7D  # the next byte has bit 5 inverted
_SPECIAL = re.compile(rb"[#$*}]")


class RemoteError(InfraError):
    """QEMU's gdb stub hung up, was silent, or said what is not in the protocol."""


class Remote:
    """A connection to a stub; open one with `connect`. While it is open the machine stands still,
    unless it was told to continue."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._buffer = b""
        try:
            self._socket = sockets.connect(path, timeout_s)
        except OSError as error:
            raise RemoteError(f"cannot reach QEMU's gdb stub at {path}: {error}") from error

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For select(2)."""
        return self._socket.fileno()

    def settle(self) -> None:
        """QEMU announces the stop that connecting caused, if the machine ran: drop that."""
        self.send(b"qAttached")
        while self.receive() not in (b"0", b"1"):
            pass

    def call(self, packet: bytes) -> bytes:
        """One request, one answer."""
        self.send(packet)
        return self.receive()

    def call_all(self, packets: Sequence[bytes]) -> list[bytes]:
        """Several requests in one write, then an answer to each: one round trip."""
        self._write(b"".join(frame(packet) for packet in packets))
        return [self.receive() for _ in packets]

    def threads(self) -> list[bytes]:
        """The stub's names of its threads: QEMU's cores, in their order."""
        names: list[bytes] = []
        reply = self.call(b"qfThreadInfo")
        while reply[:1] == b"m":
            names += reply[1:].split(b",")
            reply = self.call(b"qsThreadInfo")
        return names

    def interrupt(self) -> bytes:
        """Stop the machine that was told to continue; what the stub says of it."""
        self.interrupt_soon()
        return self.receive()

    def interrupt_soon(self) -> None:
        """The same; what the stub says of it is yet to be received."""
        self._write(_INTERRUPT)

    def send(self, packet: bytes) -> None:
        self._write(frame(packet))

    def receive(self, timeout_s: float | None = None) -> bytes:
        """The next packet; after `c` that is the next stop."""
        deadline = Deadline(self._timeout_s if timeout_s is None else timeout_s)
        while (packet := self._packet()) is None:
            self._fill(deadline)
        return packet

    def arrived(self) -> bytes | None:
        """What select(2) told of: a packet, or only a part or a sign of life."""
        self._fill(Deadline(self._timeout_s))
        return self._packet()

    def _packet(self) -> bytes | None:
        start = self._buffer.find(b"$")
        end = self._buffer.find(b"#", start)
        if not 0 <= start < end or len(self._buffer) < end + 3:
            return None
        packet = self._buffer[start + 1 : end]
        checksum, self._buffer = self._buffer[end + 1 : end + 3], self._buffer[end + 3 :]
        if checksum != b"%02x" % (sum(packet) & 0xFF):
            raise RemoteError("QEMU's gdb stub sent a packet with a wrong checksum")
        self._write(b"+")
        return _unescaped(packet)

    def _fill(self, deadline: Deadline) -> None:
        self._socket.settimeout(max(deadline.remaining_s, 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError as error:
            raise RemoteError(
                f"QEMU's gdb stub did not answer within {deadline.limit_s:.0f} s"
            ) from error
        except OSError as error:
            raise RemoteError(f"QEMU's gdb stub hung up: {error}") from error
        if not data:
            raise RemoteError("QEMU's gdb stub hung up")
        self._buffer += data

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise RemoteError(f"QEMU's gdb stub hung up: {error}") from error


def frame(packet: bytes) -> bytes:
    """A packet as it travels."""
    return b"$%s#%02x" % (packet, sum(packet) & 0xFF)


def escaped(packet: bytes) -> bytes:
    """Without the bytes that have a meaning of their own."""
    return _SPECIAL.sub(lambda match: bytes((_ESCAPE, match[0][0] ^ 0x20)), packet)


def _unescaped(packet: bytes) -> bytes:
    # Most have none, and some are thousands of bytes.
    if _ESCAPE not in packet:
        return packet
    plain, escaped = bytearray(), False
    for byte in packet:
        if escaped:
            plain.append(byte ^ 0x20)
        elif byte != _ESCAPE:
            plain.append(byte)
        escaped = byte == _ESCAPE and not escaped
    return bytes(plain)


@contextlib.contextmanager
def connect(path: Path, timeout_s: float = 10.0) -> Iterator[Remote]:
    """A connection to a machine that it has stopped. `D` lets it go on and removes breakpoints."""
    remote = Remote(path, timeout_s)
    try:
        remote.settle()
        yield remote
    finally:
        remote.close()
