# SPDX-License-Identifier: Apache-2.0
"""Run commands in the guest over SSH: exact bytes, exact exit status, a limit on every wait."""

import contextlib
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sandbox.errors import GuestError
from sandbox.machine.deadline import Deadline
from sandbox.machine.keys import AccessKeys

if TYPE_CHECKING:
    import paramiko

USER = "root"
ADDRESS = "127.0.0.1"
# An answer from the client application is one line of JSON, far shorter than this.
_LINE_LIMIT = 1 << 20
_CHUNK = 1 << 16
# What paramiko raises on a connection that is gone, depending on where it notices.
_BROKEN = (OSError, EOFError)
_NOT_FOUND = 127
# To start a command that may itself run without a limit.
_START_S = 30.0


class GuestUnreachable(GuestError):
    """The guest's SSH server does not answer, or is not the one this machine was given."""


class GuestTimeout(GuestError):
    """A command in the guest did not finish in time."""


class GuestCommandError(GuestError):
    """A command in the guest failed."""


@dataclass(frozen=True)
class Completed:
    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


class GuestLines:
    """A running command that is spoken to line by line."""

    def __init__(self, channel: "paramiko.Channel", what: str) -> None:
        self._channel = channel
        self._what = what
        self._buffer = b""

    def send(self, line: str) -> None:
        assert "\n" not in line
        self._channel.settimeout(_START_S)
        try:
            self._channel.sendall(line.encode() + b"\n")
        except _BROKEN as error:
            raise GuestUnreachable(f"{self._what} hung up{self._last_words()}") from error

    def receive(self, timeout_s: float) -> str:
        """The next line without its end; raises GuestError when there is none."""
        deadline = Deadline(timeout_s)
        while b"\n" not in self._buffer:
            self._channel.settimeout(max(deadline.remaining_s, 0.001))
            try:
                data = self._channel.recv(_CHUNK)
            except TimeoutError as error:
                raise GuestTimeout(
                    f"no answer from {self._what} within {timeout_s:.0f} s"
                ) from error
            except _BROKEN:
                data = b""
            if not data:
                raise GuestUnreachable(
                    f"{self._what} ended without an answer{self._last_words()}",
                    "`sandbox status` tells whether the machine still runs.",
                )
            self._buffer += data
            if len(self._buffer) > _LINE_LIMIT:
                raise GuestError(f"{self._what} sent a line without an end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _last_words(self) -> str:
        self._channel.settimeout(0.5)
        with contextlib.suppress(*_BROKEN):
            if words := self._channel.recv_stderr(_CHUNK):
                return f": {words.decode(errors='replace').strip()}"
        return ""


class Guest:
    """A connection to a machine's guest; open one with `connect`."""

    def __init__(self, transport: "paramiko.Transport") -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.close()

    def _start(self, argv: Sequence[str], deadline: Deadline) -> "paramiko.Channel":
        import paramiko

        try:
            channel = self._transport.open_session(timeout=max(deadline.remaining_s, 0.001))
            channel.settimeout(max(deadline.remaining_s, 0.001))
            # SSH carries one string and the guest's shell splits it again: quoted, so that each
            # argument arrives as it is.
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise GuestUnreachable(f"cannot start {argv[0]} in the guest: {error}") from error
        return channel

    def lines(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> GuestLines:
        """Start a command and talk to it line by line; close it when done."""
        return GuestLines(self._start(argv, Deadline(timeout_s)), argv[0])

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        check: bool = False,
    ) -> Completed:
        """Run a command to its end. With `check`, any status but zero raises."""
        stdout, stderr = bytearray(), bytearray()
        source: Iterator[bytes] = iter([stdin] if stdin else [])
        status = self.stream(
            argv, timeout_s=timeout_s, stdin=source, stdout=stdout.extend, stderr=stderr.extend
        )
        done = Completed(tuple(argv), status, bytes(stdout), bytes(stderr))
        if check and status != 0:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()
            if status == _NOT_FOUND:
                words = words or "not found"
            raise GuestCommandError(
                f"`{shlex.join(argv)}` failed in the guest with exit status {status}"
                + (f": {words[-2000:]}" if words else "")
            )
        return done

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None,
        stdin: Iterator[bytes],
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
    ) -> int:
        """Run a command, passing bytes on as they come, and return its exit status.

        `stdout` is called in this thread and `stderr` in another.
        """
        deadline = Deadline(timeout_s) if timeout_s is not None else None
        channel = self._start(argv, deadline or Deadline(_START_S))
        with contextlib.closing(channel):
            channel.settimeout(None)
            errors = threading.Thread(target=_pump, args=(channel.recv_stderr, stderr), daemon=True)
            errors.start()
            threading.Thread(target=_feed, args=(channel, stdin), daemon=True).start()
            try:
                while True:
                    channel.settimeout(_left(deadline))
                    data = channel.recv(_CHUNK)
                    if not data:
                        break
                    stdout(data)
                errors.join(_left(deadline))
                if not channel.status_event.wait(_left(deadline)):
                    raise TimeoutError
            except TimeoutError as error:
                raise GuestTimeout(
                    f"`{shlex.join(argv)}` did not finish within {timeout_s:.0f} s",
                    "`sandbox logs` shows what both worlds said meanwhile.",
                ) from error
            except _BROKEN as error:
                raise self._lost(argv) from error
            return self._status(channel, argv)

    def _lost(self, argv: Sequence[str]) -> GuestUnreachable:
        return GuestUnreachable(
            f"the connection broke while `{shlex.join(argv)}` ran",
            "`sandbox status` tells whether the machine still runs.",
        )

    def _status(self, channel: "paramiko.Channel", argv: Sequence[str]) -> int:
        status: int = channel.recv_exit_status()
        if status < 0:
            if not self._transport.is_active():
                raise self._lost(argv)
            raise GuestCommandError(f"`{shlex.join(argv)}` was ended by a signal in the guest")
        return status


def _left(deadline: Deadline | None) -> float | None:
    # Zero would mean "do not wait at all", and another error.
    return max(deadline.remaining_s, 0.001) if deadline is not None else None


def _pump(read: Callable[[int], bytes], sink: Callable[[bytes], object]) -> None:
    with contextlib.suppress(*_BROKEN):
        while data := read(_CHUNK):
            sink(data)


def _feed(channel: "paramiko.Channel", source: Iterator[bytes]) -> None:
    # A command may end, or close its input, before it read everything: not an error.
    with contextlib.suppress(*_BROKEN):
        for chunk in source:
            channel.sendall(chunk)
        channel.shutdown_write()


@contextlib.contextmanager
def connect(port: int, keys: AccessKeys, timeout_s: float) -> Iterator[Guest]:
    """Log in with this machine's key, to the server that holds this machine's host key."""
    # Imported late: it takes a tenth of a second, which most commands can do without.
    import paramiko

    deadline = Deadline(timeout_s)
    transport = None
    try:
        stream = socket.create_connection((ADDRESS, port), max(deadline.remaining_s, 0.001))
        transport = paramiko.Transport(stream)
        # The guest computes all this in emulation: the cheapest that is still sound. Nobody but
        # the host's own processes can listen on the way.
        options = transport.get_security_options()
        options.kex = ("curve25519-sha256@libssh.org",)
        options.ciphers = ("aes128-ctr",)
        transport.banner_timeout = transport.auth_timeout = timeout_s
        transport.start_client(timeout=max(deadline.remaining_s, 0.001))
        shown = transport.get_remote_server_key()
        if shown.asbytes() != keys.host_public_blob:
            raise GuestUnreachable(
                f"what listens at port {port} is not this machine: it has another host key",
                "`sandbox down` and `sandbox up` start it afresh.",
            )
        transport.auth_publickey(USER, paramiko.Ed25519Key.from_private_key_file(str(keys.client)))
    except (paramiko.SSHException, OSError, EOFError) as error:
        if transport is not None:
            transport.close()
        raise GuestUnreachable(
            f"cannot log in to the guest at port {port}: {error or type(error).__name__}",
            "`sandbox status` tells whether it runs, `sandbox logs` what it said last.",
        ) from error
    except BaseException:
        if transport is not None:
            transport.close()
        raise
    try:
        yield Guest(transport)
    finally:
        transport.close()


def banner(port: int, timeout_s: float) -> bool:
    """Whether an SSH server in the guest greets: the cheapest sign of life."""
    try:
        with socket.create_connection((ADDRESS, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
