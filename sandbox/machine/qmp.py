# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol: one JSON object a line, a reply for each command, events in between.

https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sandbox.errors import InfraError
from sandbox.machine import sockets
from sandbox.machine.deadline import Deadline


class QmpError(InfraError):
    """QEMU does not answer on its control socket, or refused a command."""


class Qmp:
    """A connection; open one with `connect`."""

    def __init__(self, path: Path, deadline: Deadline) -> None:
        self._deadline = deadline
        self._buffer = b""
        try:
            self._socket = sockets.connect(path, max(deadline.remaining_s, 0.001))
        except OSError as error:
            raise QmpError(f"cannot reach QEMU at {path}: {error}") from error

    def close(self) -> None:
        self._socket.close()

    def negotiate(self) -> None:
        if "QMP" not in self._receive():
            raise QmpError("QEMU's control socket did not greet")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        return self._execute(command, arguments, ())

    def give(self, name: str, handle: int) -> None:
        """Hand QEMU a copy of an open file descriptor, for commands that name it."""
        self._execute("getfd", {"fdname": name}, (handle,))

    def monitor(self, line: str) -> str:
        """A command of the monitor for people, where the protocol has none; its answer's text."""
        text: str = self.execute("human-monitor-command", **{"command-line": line})
        return text.strip()

    def _execute(self, command: str, arguments: object, handles: Sequence[int]) -> Any:
        message = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        try:
            # sendmsg(2) may take less than all; the descriptors go with the first byte.
            sent = socket.send_fds(self._socket, [message], handles)
            if sent < len(message):
                self._socket.sendall(message[sent:])
        except OSError as error:
            raise QmpError(f"QEMU hung up before `{command}`: {error}") from error
        while True:
            reply = self._receive()
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise QmpError(f"QEMU refused `{command}`: {reply['error'].get('desc')}")

    def _receive(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            # A timeout of zero would mean "do not block", and another error.
            self._socket.settimeout(max(self._deadline.remaining_s, 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise QmpError(
                    f"QEMU did not answer within {self._deadline.limit_s:.0f} s"
                ) from error
            except OSError as error:
                raise QmpError(f"QEMU hung up: {error}") from error
            if not data:
                raise QmpError("QEMU hung up")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise QmpError("QEMU's control socket sent no JSON") from error
        return message


@contextlib.contextmanager
def connect(path: Path, deadline: Deadline) -> Iterator[Qmp]:
    """A ready connection. QEMU serves one at a time, so hold it briefly."""
    qmp = Qmp(path, deadline)
    try:
        qmp.negotiate()
        yield qmp
    finally:
        qmp.close()
