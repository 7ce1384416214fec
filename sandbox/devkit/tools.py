# SPDX-License-Identifier: Apache-2.0
"""Run make and cmake for somebody else's project, and keep what they say as they say it."""

import os
import select
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sandbox import process
from sandbox.build.recipe import CROSS
from sandbox.build.store import BuildError

TIMEOUT_S = 1200.0
_POLL_S = 0.1
_EXIT_POLL_S = 0.002
_CHUNK = 1 << 16
# The end of a flood is enough to see what went wrong.
OUTPUT_LIMIT = 1 << 20
# Of the environment that we were started in, what would change how a project is built: flags of an
# outer make, and tools for the host.
_FOREIGN = (
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "MAKEFILES", "GNUMAKEFLAGS"),
    *("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDADD", "LDLIBS", "ARFLAGS", "O", "V", "ARCH"),
    *("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "PKG_CONFIG_PATH"),
)
_TOOLS = {
    "CC": "gcc",
    "CXX": "g++",
    "CPP": "cpp",
    **{name.upper(): name for name in ("ld", "ar", "as", "nm", "ranlib", "strip")},
    **{name.upper(): name for name in ("objcopy", "objdump", "readelf")},
}


class CompileError(BuildError):
    """A project does not build; `output` is what its compiler said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output

    def __str__(self) -> str:
        return f"{self.message}\n{self.output}".rstrip()


class Stopped(Exception):
    """Somebody else gave up, and nobody waits for this program any more."""


def environment(*, colour: bool) -> dict[str, str]:
    """For make and cmake: the cross compiler under the names that makefiles use.

    In the environment, not on the command line: a makefile that sets its own CC keeps it.
    """
    kept = {k: v for k, v in os.environ.items() if k not in _FOREIGN}
    bin_dir = os.path.dirname(sys.executable)
    return kept | {
        **{name: CROSS + tool for name, tool in _TOOLS.items()},
        # OP-TEE's scripts need pyelftools and cryptography, which our interpreter has.
        "PATH": f"{bin_dir}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "LC_ALL": "C.UTF-8",
        # Tells compilers whether to use colours on what looks to them like a terminal.
        "TERM": (kept.get("TERM") or "xterm") if colour else "dumb",
    }


def run(
    argv: Sequence[process.Argument],
    what: str,
    *,
    cwd: Path,
    env: Mapping[str, str],
    stop: threading.Event,
) -> str:
    """Run a program to its end and return all it said; raises CompileError if it fails.

    It writes to a pseudo-terminal, or compilers would leave out their colours.
    """
    reading, writing = _terminal()
    said = bytearray()
    try:
        try:
            child = process.spawn(argv, cwd=cwd, env=env, stdout=writing, stderr=writing)
        finally:
            os.close(writing)
        try:
            for data in _said_by(child.poll, reading, stop):
                said += data
                del said[:-OUTPUT_LIMIT]
            status = child.poll()
        finally:
            process.end(child)
    finally:
        os.close(reading)
    output = said.decode(errors="replace")
    if status is None:
        raise CompileError(f"{what} was not built within {TIMEOUT_S:.0f} s", output)
    if status != 0:
        raise CompileError(f"{what} does not build", output)
    return output


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal that passes on each byte as it is: our end, and the program's."""
    reading, writing = os.openpty()
    attributes = termios.tcgetattr(writing)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(writing, termios.TCSANOW, attributes)
    return reading, writing


def _said_by(
    poll: Callable[[], int | None], reading: int, stop: threading.Event
) -> Iterator[bytes]:
    """What a program writes, until it ends or its time is over."""
    deadline = time.monotonic() + TIMEOUT_S
    ended = False
    while time.monotonic() < deadline:
        if stop.is_set():
            raise Stopped
        if select.select([reading], [], [], 0.0 if ended else _POLL_S)[0]:
            try:
                yield os.read(reading, _CHUNK)
                continue
            except OSError:  # EIO: nobody has the terminal open any more
                time.sleep(_EXIT_POLL_S)
        # Not at its last word: something it left in the background may hold the terminal.
        if ended:
            return
        ended = poll() is not None
