# SPDX-License-Identifier: Apache-2.0
"""The only place that starts programs: argument lists, never a shell string."""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.errors import InfraError

Argument = str | os.PathLike[str]
# Time a program gets to leave after SIGTERM before it is killed.
GRACE_S = 5.0
POLL_S = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Completed:
    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


class ProcessError(InfraError):
    """A program could not be started, failed, or took too long."""


def quoted(argv: Sequence[Argument]) -> str:
    """The command as a line that can be pasted into a shell."""
    return shlex.join(os.fspath(a) for a in argv)


def describe_status(program: str, status: int) -> str:
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"{program} was ended by {name}"
    return f"{program} failed with exit status {status}"


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, reading no more of it than needed."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def spawn(
    argv: Sequence[Argument],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    new_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; the caller owns it and must `end` it."""
    args = [os.fspath(a) for a in argv]
    _log.debug("starting: %s", quoted(args))
    try:
        return subprocess.Popen(
            args,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=new_session,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise ProcessError(f"cannot run {args[0]}: no folder {cwd}") from error
        raise ProcessError(
            f"program not found: {args[0]}", "`make setup` installs what the host lacks."
        ) from error
    except OSError as error:
        raise ProcessError(f"cannot start {args[0]}: {error.strerror}") from error


def end(process: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> int:
    """Ask a spawned program and its children to leave, then make them. Harmless when it is gone."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        try:
            return process.wait(grace_s)
        except subprocess.TimeoutExpired:
            continue
    raise ProcessError(f"process {process.pid} does not end, even when killed")


def run(
    argv: Sequence[Argument],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    log: Path | None = None,
    check: bool = True,
    poll: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a program to its end.

    With `log`, both its streams are appended there, after the command itself, and the tail of
    that file is shown when it fails; otherwise they are returned. `poll` is called about ten
    times a second. Interrupted or late, the program and its children are ended before this
    returns.
    """
    args = [os.fspath(a) for a in argv]
    with contextlib.ExitStack() as stack:
        sink: int | IO[bytes] = subprocess.PIPE
        if log is not None:
            sink = stack.enter_context(log.open("ab"))
            sink.write(f"$ {quoted(args)}\n".encode())
            sink.flush()
        source: int | IO[bytes] = subprocess.DEVNULL
        if stdin is not None:
            # Not a pipe: communicate() forgets what is left to write when it is called again.
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(stdin)
            source.seek(0)
        process = spawn(
            args,
            cwd=cwd,
            env=env,
            stdin=source,
            stdout=sink,
            stderr=subprocess.STDOUT if log is not None else subprocess.PIPE,
            pass_fds=pass_fds,
        )
        try:
            stdout, stderr = _communicate(process, timeout_s, poll)
        except subprocess.TimeoutExpired:
            end(process)
            raise ProcessError(
                f"{args[0]} did not finish within {timeout_s:.0f} s"
                + (f"\n{tail(log)}" if log is not None else ""),
                f"The command was: {quoted(args)}",
            ) from None
        except BaseException:
            end(process)
            raise
    done = Completed(tuple(args), process.returncode, stdout or b"", stderr or b"")
    if check and done.status != 0:
        output = tail(log) if log is not None else done.stderr.decode(errors="replace").strip()
        raise ProcessError(
            describe_status(args[0], done.status) + (f":\n{output}" if output else ""),
            f"The full log is {log}" if log is not None else f"The command was: {quoted(args)}",
        )
    return done


def foreground(
    argv: Sequence[Argument],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    timeout_s: float | None = None,
) -> int | None:
    """Run a program at our own terminal, with our input and output; Ctrl-C is for it alone.

    Its exit status, negative if a signal ended it; None if it took too long and was killed.
    """
    # A handler, unlike SIG_IGN, is not inherited by the program.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = spawn(argv, env=env, stdin=None, pass_fds=pass_fds, new_session=False)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _communicate(
    process: subprocess.Popen[bytes],
    timeout_s: float,
    poll: Callable[[], None] | None,
) -> tuple[bytes | None, bytes | None]:
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            return process.communicate(timeout=left_s if poll is None else min(left_s, POLL_S))
        except subprocess.TimeoutExpired:
            if poll is None or time.monotonic() >= deadline:
                raise
            poll()
