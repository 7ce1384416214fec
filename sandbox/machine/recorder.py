# SPDX-License-Identifier: Apache-2.0
"""Writes down when each part of the two consoles came, until QEMU ends.

Run as a program, once for each start: recorder.py PIDFD NORMAL.LOG SECURE.LOG CONSOLE.INDEX, with
a pidfd of QEMU and an index that `begin` has made. QEMU itself writes the consoles; this only looks
at how long they are, and may die without harm. Standard library only, so that it is there at once.

The index is a header and then one entry for each look, all little-endian:

    header  8s magic, u64 CLOCK_MONOTONIC ns and u64 ns since 1970 when the machine was started
    entry   u64 CLOCK_MONOTONIC ns, u64 and u64 bytes in the normal and the secure world's console

Each entry is a consistent cut: there was a moment at which both consoles had just these lengths. So
what one has in an earlier entry than the other did come earlier.
"""

import contextlib
import ctypes
import os
import select
import signal
import struct
import sys
import time

MAGIC = b"CMLIDX1\n"
HEADER = struct.Struct("<8sQQ")
ENTRY = struct.Struct("<QQQ")
# Time between two looks, while the consoles are busy: a line of text takes the UART about 0.1 ms.
SHORTEST_S = 0.001
# For each MiB that the index has, looks are half as frequent: it grows with the logarithm of time.
_HALVED_EVERY = 1 << 20
_LONGEST_S = 60.0
_LOOKS = 100

_IN_MODIFY = 0x2  # inotify(7)


def begin(index: str | os.PathLike[str]) -> None:
    """Make a new index: time zero is now."""
    with open(index, "wb") as made:
        made.write(HEADER.pack(MAGIC, time.monotonic_ns(), time.time_ns()))


def read_header(data: bytes) -> tuple[int, int]:
    """Both clocks at the start. Raises ValueError if this is no index, or of another version."""
    if len(data) < HEADER.size or data[: len(MAGIC)] != MAGIC:
        raise ValueError("no index of consoles")
    _, monotonic_ns, real_ns = HEADER.unpack_from(data)
    return monotonic_ns, real_ns


def _sizes(normal: int, secure: int) -> tuple[int, int]:
    """How long both are at one and the same moment."""
    first = os.fstat(normal).st_size
    for _ in range(_LOOKS):
        between = os.fstat(secure).st_size
        again = os.fstat(normal).st_size
        if again == first:
            break
        first = again
    return first, between


def _watched(*fds: int) -> int:
    """A file descriptor that is readable after one of these open files was written to."""
    libc = ctypes.CDLL(None, use_errno=True)
    notify: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if notify < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    for fd in fds:
        # By descriptor, not by name: the files may be moved while we start.
        if libc.inotify_add_watch(notify, f"/proc/self/fd/{fd}".encode(), _IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
    return notify


def record(pidfd: int, normal: int, secure: int, index: int) -> None:
    notify = _watched(normal, secure)
    last = (0, 0)

    def look() -> None:
        nonlocal last
        if (now := _sizes(normal, secure)) != last:
            os.write(index, ENTRY.pack(time.monotonic_ns(), *now))
            last = now

    ended = False
    while not ended:
        with contextlib.suppress(BlockingIOError):
            os.read(notify, 1 << 16)
        look()
        pause_s = SHORTEST_S * 2.0 ** (os.fstat(index).st_size / _HALVED_EVERY)
        # The end of QEMU cuts the pause short, and is followed by one more look.
        ended = bool(select.select([pidfd], [], [], min(pause_s, _LONGEST_S))[0])
        ended = ended or pidfd in select.select([pidfd, notify], [], [])[0]
    look()


def main(pidfd: str, *paths: str) -> None:
    # Ctrl-C goes to the whole terminal; our end is that of QEMU.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    normal, secure = (os.open(path, os.O_RDONLY | os.O_CREAT, 0o600) for path in paths[:2])
    index = os.open(paths[2], os.O_WRONLY | os.O_APPEND)
    record(int(pidfd), normal, secure, index)


if __name__ == "__main__":
    main(*sys.argv[1:])
