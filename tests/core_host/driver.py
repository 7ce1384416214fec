# SPDX-License-Identifier: Apache-2.0
"""ta/core as a process (driver.h has the protocol)."""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


class DriverDied(AssertionError):
    """The driver ended by itself: a sanitizer report or a crash."""


class Driver:
    def __init__(self, argv: Sequence[str | os.PathLike[str]]) -> None:
        self._process = subprocess.Popen(
            [os.fspath(arg) for arg in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"},
        )

    def call(self, name: str, payload: bytes = b"") -> tuple[int, bytes]:
        """Status (a cml_status value) and reply payload."""
        assert self._process.stdin and self._process.stdout
        encoded = name.encode()
        body = bytes([len(encoded)]) + encoded + payload
        try:
            self._process.stdin.write(struct.pack("<I", len(body)) + body)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._died(name)
        head = self._process.stdout.read(4)
        if len(head) < 4:
            self._died(name)
        (length,) = struct.unpack("<I", head)
        reply = self._process.stdout.read(length)
        if len(reply) < length:
            self._died(name)
        (status,) = struct.unpack_from("<I", reply)
        return status, reply[4:]

    def _died(self, name: str) -> None:
        assert self._process.stderr
        report = self._process.stderr.read().decode(errors="replace")
        status = self._process.wait(timeout=30)
        raise DriverDied(f"driver ended with {status} in {name!r}:\n{report[-6000:]}")

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End of input ends the driver; leaks are reported then."""
        assert self._process.stdin and self._process.stderr and self._process.stdout
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        report = self._process.stderr.read().decode(errors="replace")
        status = self._process.wait(timeout=60)
        self._process.stdout.close()
        self._process.stderr.close()
        if status and value is None:
            raise DriverDied(f"driver ended with {status}:\n{report[-6000:]}")


def native(build: Path) -> Driver:
    return Driver([build / "x86-asan" / "driver"])


def arm64(build: Path) -> Driver:
    """NEON kernels, under user-mode emulation of a CPU that has them all."""
    return Driver(["qemu-aarch64", "-cpu", "max", build / "arm64" / "driver"])
