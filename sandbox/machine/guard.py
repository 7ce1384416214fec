# SPDX-License-Identifier: Apache-2.0
"""Ends a starting QEMU if the `sandbox up` that starts it is killed.

Run as a program, with a pidfd of QEMU and the reading end of a pipe whose other end only that
`sandbox up` holds. It writes a byte when QEMU may live on; an end of file without one means that
it died, by a signal that no handler sees. Standard library only, so that it is there at once.
"""

import contextlib
import os
import signal
import sys


def main(pidfd: int, lifeline: int) -> None:
    # Ctrl-C goes to the whole terminal; our end is decided by the pipe alone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not os.read(lifeline, 1):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
