# SPDX-License-Identifier: Apache-2.0
"""Run commands in the guest and carry files: exact bytes, exact status, a limit on every wait."""

import contextlib
import shlex
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sandbox.errors import GuestError
from sandbox.machine import agent
from sandbox.machine.agent import (
    Command,
    Connection,
    GuestTimeout,
    GuestUnreachable,
    Terminal,
)
from sandbox.machine.deadline import Deadline

# An answer from the client application is one line of JSON, far shorter than this.
_LINE_LIMIT = 1 << 20
# What a command said last, to be quoted when it ends.
_WORDS_LIMIT = 1 << 14
_NOT_FOUND = 127
# What `get` takes, unless told otherwise: the guest may have files without an end.
_FILE_LIMIT = 256 << 20
_FILE_S = 60.0


class GuestCommandError(GuestError):
    """A command in the guest failed."""


@dataclass(frozen=True)
class Completed:
    argv: tuple[str, ...]
    status: int  # as a shell gives it: 128 and the signal's number if one ended it
    stdout: bytes
    stderr: bytes
    signal: int = 0


class GuestLines:
    """A running command that is spoken to line by line."""

    def __init__(self, connection: Connection, argv: Sequence[str]) -> None:
        self._what = argv[0]
        self._connection = connection
        self._buffer = bytearray()
        self._words = bytearray()
        self._command = Command(
            connection, argv, stdout=self._buffer.extend, stderr=self._words.extend
        )

    def send(self, line: str) -> None:
        assert "\n" not in line
        data = memoryview(line.encode() + b"\n")
        deadline = agent.start_deadline()
        try:
            while data and self._command.exit is None:
                part = data[: self._command.takes]
                self._command.feed(part)
                data = data[len(part) :]
                if data:
                    self._step(deadline)
            self._connection.flush(deadline)
        except TimeoutError as error:
            raise GuestTimeout(f"{self._what} does not read what it is sent") from error
        except GuestUnreachable as error:
            raise GuestUnreachable(f"{self._what} hung up{self._last_words()}") from error

    def receive(self, timeout_s: float) -> str:
        """The next line without its end; raises GuestError when there is none."""
        deadline = Deadline(timeout_s)
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LINE_LIMIT:
                raise GuestError(f"{self._what} sent a line without an end")
            try:
                ended = self._command.exit is not None
                if not ended:
                    self._step(deadline)
            except TimeoutError as error:
                raise GuestTimeout(
                    f"no answer from {self._what} within {timeout_s:.0f} s"
                ) from error
            except GuestUnreachable:
                ended = True
            if ended:
                raise GuestUnreachable(
                    f"{self._what} ended without an answer{self._last_words()}",
                    "`sandbox status` tells whether the machine still runs.",
                )
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer[:] = rest
        return line.decode(errors="replace")

    def close(self) -> None:
        """Ends it, if it still runs."""
        self._command.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, deadline: Deadline) -> None:
        self._command.step(deadline)
        del self._words[:-_WORDS_LIMIT]

    def _last_words(self) -> str:
        with contextlib.suppress(TimeoutError, GuestError):
            deadline = Deadline(0.5)
            while self._command.exit is None:
                self._step(deadline)
        words = self._words.decode(errors="replace").strip()
        return f": {words}" if words else ""


class Guest:
    """The guest of a machine. Threads may share one: each call has a connection of its own."""

    def __init__(self, port: int, token: bytes, timeout_s: float) -> None:
        self._port = port
        self._token = token
        self._timeout_s = timeout_s
        self._open: weakref.WeakSet[GuestLines] = weakref.WeakSet()

    def close(self) -> None:
        """Ends the conversations that are still open."""
        for lines in list(self._open):
            lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connection(
        self, deadline: Deadline | None, *, limit: int = agent.FRAME_MAX_SIZE
    ) -> Connection:
        """A new connection to the agent, proved to be this machine's."""
        within = deadline.within(self._timeout_s) if deadline else Deadline(self._timeout_s)
        return agent.connect(self._port, self._token, within, limit=limit)

    def lines(self, argv: Sequence[str], *, timeout_s: float = 10.0) -> GuestLines:
        """Start a command and talk to it line by line; close it when done."""
        deadline = Deadline(timeout_s)
        connection = self.connection(deadline)
        lines = GuestLines(connection, argv)
        self._open.add(lines)
        try:
            connection.flush(deadline)
        except TimeoutError as error:
            lines.close()
            raise GuestTimeout(f"cannot start {argv[0]} within {timeout_s:.0f} s") from error
        return lines

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        check: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command to its end. With `check`, any status but zero raises.

        `env` is added to what a login would have; `cwd` is /root if not given. A command that is
        not done in time is killed, with all that it started.
        """
        stdout, stderr = bytearray(), bytearray()
        ended = self._run(
            argv,
            timeout_s=timeout_s,
            stdin=stdin,
            stdout=stdout.extend,
            stderr=stderr.extend,
            env=env,
            cwd=cwd,
        )
        done = Completed(tuple(argv), ended.status, bytes(stdout), bytes(stderr), ended.signal)
        if check and done.status != 0:
            raise GuestCommandError(_failure(done))
        return done

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None,
        stdin: bytes | int,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> int:
        """Run a command, passing bytes on as they come, and return its exit status.

        Input comes from memory or from a file descriptor; one without an end keeps nobody: the
        command's own end is what counts.
        """
        return self._run(
            argv,
            timeout_s=timeout_s,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
        ).status

    def _run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None,
        stdin: bytes | int,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
        env: Mapping[str, str] | None,
        cwd: str | None,
    ) -> agent.Exit:
        deadline = Deadline(timeout_s) if timeout_s is not None else None
        with self.command(
            argv, deadline, stdout=stdout, stderr=stderr, env=env, cwd=cwd
        ) as command:
            return command.finish(stdin, deadline)

    @contextlib.contextmanager
    def command(
        self,
        argv: Sequence[str],
        deadline: Deadline | None,
        *,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        terminal: Terminal | None = None,
    ) -> Iterator[Command]:
        """A command to be fed, signalled and finished; it is killed if the body ends before it."""
        with self.connection(deadline) as connection:
            try:
                yield Command(
                    connection,
                    argv,
                    stdout=stdout,
                    stderr=stderr,
                    env=env,
                    cwd=cwd,
                    terminal=terminal,
                )
            except TimeoutError as error:
                assert deadline is not None
                raise GuestTimeout(
                    f"`{shlex.join(argv)}` did not finish within {deadline.limit_s:.0f} s",
                    "`sandbox logs` shows what both worlds said meanwhile.",
                ) from error
            except GuestUnreachable as error:
                raise GuestUnreachable(
                    f"the connection broke while `{shlex.join(argv)}` ran: {error.message}",
                    "`sandbox status` tells whether the machine still runs.",
                ) from error

    def put(self, path: str, data: bytes, mode: int, *, timeout_s: float = _FILE_S) -> None:
        """Write a file in the guest: it appears whole, with its mode, or not at all."""
        deadline = Deadline(timeout_s)
        rest = memoryview(data)
        what = f"cannot write {path} in the guest"
        with self._file(what, deadline) as connection:
            connection.send(agent.PUT, agent.u32(mode) + path.encode())
            while rest:
                connection.send(agent.DATA, rest[: agent.CHUNK])
                rest = rest[agent.CHUNK :]
                while connection.unsent > agent.WINDOW:
                    connection.wait(deadline)
            connection.send(agent.END)
            kind, payload = connection.receive(deadline)
            if kind == agent.FAILED:
                raise agent.refused(payload, what)

    def get(self, path: str, *, timeout_s: float = _FILE_S, max_bytes: int = _FILE_LIMIT) -> bytes:
        """The bytes of a regular file in the guest."""
        deadline = Deadline(timeout_s)
        data = bytearray()
        what = f"cannot read {path} in the guest"
        with self._file(what, deadline) as connection:
            connection.send(agent.GET, path.encode())
            while True:
                kind, payload = connection.receive(deadline)
                if kind == agent.END:
                    return bytes(data)
                if kind == agent.FAILED:
                    raise agent.refused(payload, what)
                data += payload
                if len(data) > max_bytes:
                    raise GuestError(f"{what}: it has more than {max_bytes} bytes")

    @contextlib.contextmanager
    def _file(self, what: str, deadline: Deadline) -> Iterator[Connection]:
        with self.connection(deadline) as connection:
            try:
                yield connection
            except TimeoutError as error:
                raise GuestTimeout(f"{what}: not done in {deadline.limit_s:.0f} s") from error


def _failure(done: Completed) -> str:
    words = (done.stderr or done.stdout).decode(errors="replace").strip()
    line = shlex.join(done.argv)
    if done.signal:
        return f"`{line}` was ended by signal {done.signal} in the guest"
    if done.status == _NOT_FOUND:
        words = words or "not found"
    return f"`{line}` failed in the guest with exit status {done.status}" + (
        f": {words[-2000:]}" if words else ""
    )


def answers(port: int, token: bytes, timeout_s: float) -> bool:
    """Whether this machine's agent is there."""
    try:
        agent.connect(port, token, Deadline(timeout_s)).close()
    except GuestError:
        return False
    return True
