# SPDX-License-Identifier: Apache-2.0
"""ta/core as a process (driver.h has the protocol)."""

import os
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

Argument = str | os.PathLike[str]

CALL_TIMEOUT_S = 120.0
EXIT_TIMEOUT_S = 60.0
REPORT_MAX_CHARS = 6000


class DriverDied(AssertionError):
    """The driver ended by itself: a sanitizer report, a crash, or out of time."""


class Driver:
    """One that died is started anew for the next call, so that one bug fails one test."""

    def __init__(self, argv: Sequence[Argument]) -> None:
        self._argv = [os.fspath(arg) for arg in argv]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"},
        )

    def call(
        self, name: str, payload: bytes = b"", *, timeout_s: float = CALL_TIMEOUT_S
    ) -> tuple[int, bytes]:
        """Status (a cml_status value) and reply payload."""
        assert self._process.stdin and self._process.stdout
        encoded = name.encode()
        body = bytes([len(encoded)]) + encoded + payload
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(struct.pack("<I", len(body)) + body)
            self._process.stdin.flush()
            head = self._process.stdout.read(4)
            if len(head) < 4:
                self._died(name)
            (length,) = struct.unpack("<I", head)
            reply = self._process.stdout.read(length)
            if len(reply) < length:
                self._died(name)
        except BrokenPipeError:
            self._died(name)
        finally:
            watchdog.cancel()
        (status,) = struct.unpack_from("<I", reply)
        return status, reply[4:]

    def _died(self, name: str) -> NoReturn:
        status, report = self._end()
        self._process = self._start()
        raise DriverDied(f"driver ended with {status} in {name!r}:\n{report}")

    def _end(self) -> tuple[int, str]:
        assert self._process.stdin and self._process.stderr and self._process.stdout
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        watchdog = threading.Timer(EXIT_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            report = self._process.stderr.read().decode(errors="replace")
            status = self._process.wait()
        finally:
            watchdog.cancel()
        self._process.stdout.close()
        self._process.stderr.close()
        return status, report[-REPORT_MAX_CHARS:]

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End of input ends the driver; leaks are reported then."""
        status, report = self._end()
        if status and value is None:
            raise DriverDied(f"driver ended with {status}:\n{report}")


def native_argv(build: Path) -> list[Argument]:
    return [build / "x86-asan" / "driver"]


def arm64_argv(build: Path, variant: str = "arm64") -> list[Argument]:
    return ["qemu-aarch64", "-cpu", "max", build / variant / "driver"]
