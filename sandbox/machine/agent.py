# SPDX-License-Identifier: Apache-2.0
"""Talk to the guest's agent (host/agent/): frames, the proof of who is who, running commands.

host/agent/protocol.h describes the protocol, and tests/unit/test_agent.py compares the two. One
connection serves one purpose, so whatever breaks it concerns nobody else. Everything here is in
one thread and waits with poll(), because threads and what they need would cost `sandbox exec` a
good part of its time to start.
"""

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sandbox.errors import GuestError, UserError
from sandbox.machine.deadline import Deadline

PROTOCOL_VERSION = 1
AGENT_PORT = 4050
ADDRESS = "127.0.0.1"

FRAME_HEADER_SIZE = 5
FRAME_MAX_SIZE = 128 * 1024
WINDOW = 256 * 1024
TOKEN_SIZE = NONCE_SIZE = PROOF_SIZE = 32

HELLO = 0x01
PROOF = 0x02
ARG = 0x10
ENV = 0x11
CWD = 0x12
TTY = 0x13
RUN = 0x14
STDIN = 0x15
STDIN_END = 0x16
SIGNAL = 0x17
RESIZE = 0x18
PUT = 0x20
GET = 0x21
DATA = 0x40
END = 0x41
CHALLENGE = 0x80
STDOUT = 0x90
STDERR = 0x91
CREDIT = 0x92
EXIT = 0x93
DONE = 0xA0
FAILED = 0xA1

# What goes into one frame, when there is much.
CHUNK = 1 << 16
_READ_SIZE = 1 << 18
_START_S = 30.0


class GuestUnreachable(GuestError):
    """The guest's agent does not answer, or is not the one of this machine."""


class GuestTimeout(GuestError):
    """The guest did not finish something in time."""


class GuestRefused(GuestError):
    """The guest's system refused what it was asked for."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


# Frames ----------------------------------------------------------------------------------------


def u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def from_u32(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))


def frame(kind: int, payload: bytes | memoryview = b"") -> bytes:
    return b"".join((kind.to_bytes(1), len(payload).to_bytes(4, "little"), payload))


def frames(arrived: bytearray, limit: int) -> Iterator[tuple[int, bytes]]:
    """Take the whole frames out of what has arrived."""
    at, end = 0, len(arrived)
    while end - at >= FRAME_HEADER_SIZE:
        length = int.from_bytes(arrived[at + 1 : at + FRAME_HEADER_SIZE], "little")
        if length > limit:
            raise GuestUnreachable("the guest's agent sent a frame that is too long")
        begin = at + FRAME_HEADER_SIZE
        if end - begin < length:
            break
        yield arrived[at], bytes(arrived[begin : begin + length])
        at = begin + length
    del arrived[:at]


class Connection:
    """Frames to the agent and from it. What arrives is kept until it is asked for."""

    def __init__(self, connected: socket.socket, limit: int = FRAME_MAX_SIZE) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._limit = limit
        self._arrived = bytearray()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._leaving = bytearray()
        self._over = False

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, kind: int, payload: bytes | memoryview = b"") -> None:
        """Queue a frame; whatever waits next sends it."""
        self._leaving += frame(kind, payload)

    @property
    def unsent(self) -> int:
        return len(self._leaving)

    def take(self) -> tuple[int, bytes] | None:
        """A frame that has arrived."""
        return self._frames.popleft() if self._frames else None

    def receive(self, deadline: Deadline) -> tuple[int, bytes]:
        """The next frame. FAILED, hanging up and the end of time are exceptions."""
        while (got := self.take()) is None:
            self.wait(deadline)
        return got

    def flush(self, deadline: Deadline) -> None:
        while self._leaving:
            self.wait(deadline)

    def wait(self, deadline: Deadline | None, others: Sequence[int] = ()) -> list[int]:
        """Send and receive what can be, after waiting for something; also for `others` to read.

        Returns which of the others can. Raises TimeoutError, and GuestUnreachable when the agent
        has hung up and all it said has been taken.
        """
        if self._over:
            raise GuestUnreachable("the guest's agent hung up")
        poll = select.poll()
        own = self._socket.fileno()
        poll.register(own, select.POLLIN | (select.POLLOUT if self._leaving else 0))
        for other in others:
            poll.register(other, select.POLLIN)
        ready = dict(poll.poll(None if deadline is None else deadline.remaining_s * 1000))
        if not ready and deadline is not None and deadline.expired:
            raise TimeoutError
        events = ready.pop(own, 0)
        try:
            if events & select.POLLOUT:
                del self._leaving[: self._socket.send(self._leaving)]
            if events & ~select.POLLOUT:
                self._read()
        except BlockingIOError:
            pass
        except OSError as error:
            self._leaving.clear()
            self._over = True
            if not self._frames:
                raise GuestUnreachable(f"the guest's agent is gone: {error.strerror}") from error
        return list(ready)

    def _read(self) -> None:
        data = self._socket.recv(_READ_SIZE)
        self._over = not data
        self._arrived += data
        self._frames.extend(frames(self._arrived, self._limit))

    def detach(self) -> socket.socket:
        """The socket itself, for who has another way to wait: nothing may have arrived yet."""
        assert not self._arrived and not self._frames and not self._leaving
        return self._socket


def refused(payload: bytes, what: str) -> GuestRefused:
    """What a FAILED says."""
    (number,) = from_u32(payload[:4])
    about = payload[4:].decode(errors="replace")
    reason = os.strerror(number) if number in errno.errorcode else f"error {number}"
    return GuestRefused(f"{what}: {about}: {reason}" if number else f"{what}: {about}", number)


def connect(
    port: int, token: bytes, deadline: Deadline, *, limit: int = FRAME_MAX_SIZE
) -> Connection:
    """A connection whose other end knows this machine's token, as it knows that we do."""
    # Not create_connection(), which loads tables of international domain names.
    connected = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connected.settimeout(max(deadline.remaining_s, 0.001))
    try:
        connected.connect((ADDRESS, port))
    except OSError as error:
        connected.close()
        raise GuestUnreachable(
            f"nothing answers at the guest's port {port}: {error.strerror or error}",
            "`sandbox status` tells whether it runs, `sandbox logs` what it said last.",
        ) from error
    connection = Connection(connected, limit)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours = os.urandom(NONCE_SIZE)
        connection.send(HELLO, u32(PROTOCOL_VERSION) + ours)
        connection.flush(deadline)
        # Imported late, while the guest makes its answer: it loads OpenSSL, which takes 3 ms.
        import hmac

        kind, payload = connection.receive(deadline)
        if kind == FAILED:
            raise refused(payload, "the guest's agent refused")
        nonces = ours + payload[:NONCE_SIZE]
        if kind != CHALLENGE or payload[NONCE_SIZE:] != hmac.digest(
            token, b"agent" + nonces, "sha256"
        ):
            raise GuestUnreachable(
                f"what listens at port {port} is not this machine: it does not know its token",
                "`sandbox down` and `sandbox up` start it afresh.",
            )
        connection.send(PROOF, hmac.digest(token, b"host" + nonces, "sha256"))
    except TimeoutError as error:
        connection.close()
        raise GuestUnreachable(
            f"the guest's agent does not answer within {deadline.limit_s:.0f} s",
            "`sandbox status` tells whether it runs, `sandbox logs` what it said last.",
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


# Commands --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terminal:
    rows: int
    columns: int


@dataclass(frozen=True)
class Exit:
    code: int
    signal: int  # that ended it, or 0

    @property
    def status(self) -> int:
        """As a shell gives it."""
        return 128 + self.signal if self.signal else self.code


Sink = Callable[[bytes], object]


class Command:
    """A command that runs in the guest. Closing it while it runs kills it, and its children."""

    def __init__(
        self,
        connection: Connection,
        argv: Sequence[str | bytes],
        *,
        stdout: Sink,
        stderr: Sink,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        terminal: Terminal | None = None,
    ) -> None:
        self._connection = connection
        self._stdout = stdout
        self._stderr = stderr
        self._credit = WINDOW
        self._what = os.fsdecode(argv[0])
        self.exit: Exit | None = None
        for name, value in (env or {}).items():
            connection.send(ENV, os.fsencode(f"{name}={value}"))
        if cwd is not None:
            connection.send(CWD, os.fsencode(cwd))
        if terminal is not None:
            connection.send(TTY, u32(terminal.rows, terminal.columns))
        for argument in map(os.fsencode, argv):
            if len(argument) >= FRAME_MAX_SIZE:
                raise UserError(
                    f"an argument of {self._what} has {len(argument)} bytes",
                    f"Linux takes {FRAME_MAX_SIZE - 1}; more fits through standard input.",
                )
            connection.send(ARG, argument)
        connection.send(RUN)

    def close(self) -> None:
        self._connection.close()

    def signal(self, number: int) -> None:
        """To the command and what it started."""
        self._connection.send(SIGNAL, u32(number))

    def resize(self, terminal: Terminal) -> None:
        self._connection.send(RESIZE, u32(terminal.rows, terminal.columns))

    @property
    def takes(self) -> int:
        """How many bytes of input there is room for now."""
        return self._credit if self._connection.unsent < WINDOW else 0

    def feed(self, data: bytes | memoryview) -> None:
        """Input; not more than it takes."""
        assert len(data) <= self._credit
        self._credit -= len(data)
        for at in range(0, len(data), CHUNK):
            self._connection.send(STDIN, data[at : at + CHUNK])

    def end_input(self) -> None:
        self._connection.send(STDIN_END)

    def step(self, deadline: Deadline | None, others: Sequence[int] = ()) -> list[int]:
        """Wait for something and deal with it; see Connection.wait."""
        ready: list[int] = []
        if not self._obey():
            ready = self._connection.wait(deadline, others)
            self._obey()
        return ready

    def _obey(self) -> bool:
        got = False
        while self.exit is None and (arrived := self._connection.take()) is not None:
            got = True
            kind, payload = arrived
            if kind == STDOUT:
                self._stdout(payload)
            elif kind == STDERR:
                self._stderr(payload)
            elif kind == CREDIT:
                self._credit += from_u32(payload)[0]
            elif kind == EXIT:
                code, number = from_u32(payload)
                self.exit = Exit(code, number)
            elif kind == FAILED:
                raise refused(payload, f"cannot start {self._what} in the guest")
            else:
                raise GuestUnreachable(f"the guest's agent sent a frame of unknown type {kind}")
        return got

    def finish(
        self,
        stdin: bytes | int,
        deadline: Deadline | None,
        watched: Mapping[int, Callable[[], object]] | None = None,
    ) -> Exit:
        """Pass on input, from memory or a file descriptor, and output until it ends.

        When one of the file descriptors in `watched` can be read, its function is called.
        Raises TimeoutError.
        """
        source = _Source(stdin)
        while self.exit is None:
            if not source.ended and (takes := self.takes):
                source.refill(min(takes, CHUNK))
            if source.chunk:
                self.feed(source.chunk)
                source.chunk = b""
            if source.ended and not source.told:
                source.told = True
                self.end_input()
            others = [*(watched or {}), *source.wanted(self.takes)]
            for ready in self.step(deadline, others):
                if watched and ready in watched:
                    watched[ready]()
                else:
                    source.readable = True
        return self.exit


class _Source:
    """Where a command's input comes from."""

    def __init__(self, stdin: bytes | int) -> None:
        self._fd = stdin if isinstance(stdin, int) else None
        self._rest = memoryview(b"" if isinstance(stdin, int) else stdin)
        self.chunk: bytes | memoryview = b""
        self.readable = False  # the file descriptor, without waiting
        self.ended = False
        self.told = False

    def refill(self, size: int) -> None:
        if self._fd is None:
            self.chunk, self._rest = self._rest[:size], self._rest[size:]
            self.ended = not self._rest
        elif self.readable:
            self.readable = False
            self.chunk = os.read(self._fd, size)
            self.ended = not self.chunk

    def wanted(self, takes: int) -> list[int]:
        return [self._fd] if self._fd is not None and not self.ended and takes else []


def start_deadline() -> Deadline:
    """To start a command that may itself run without a limit."""
    return Deadline(_START_S)
