# SPDX-License-Identifier: Apache-2.0
"""Ends what machines a test run leaves in its own state folder, however the run ended.

A test may start machines with the command `sandbox up`, which nobody guards: they are meant to
outlive the command. Run as a program, with that folder and the reading end of a pipe whose other
end only the test run holds: an end of file means that the run is over, or was killed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# What `down` may take for each machine, and some.
_SWEEP_S = 60.0


@contextlib.contextmanager
def swept(state: Path) -> Iterator[None]:
    """At the end of the block, or of this process, no machine in `state` runs."""
    from sandbox import process

    reading, writing = os.pipe()
    with os.fdopen(writing, "wb"), os.fdopen(reading, "rb") as other_end:
        argv = [sys.executable, "-m", __name__, os.fspath(state), str(other_end.fileno())]
        child = process.spawn(argv, pass_fds=(other_end.fileno(),))
        other_end.close()
        yield
    # It takes no signal but the last one.
    process.end(child, _SWEEP_S)


def main(state: Path, lifeline: int) -> None:
    # Ctrl-C goes to the whole terminal; our end is decided by the pipe alone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(lifeline, 1):
        pass
    # Only now: it takes long, and most runs leave nothing.
    from sandbox import paths
    from sandbox.machine.machine import Machine

    machines = state / paths.APP / "machines"
    for folder in sorted(machines.iterdir()) if machines.is_dir() else ():
        if Machine(folder.name, folder).down():
            print(f"machine {folder.name!r} was left running by a test; ended", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
