# SPDX-License-Identifier: Apache-2.0
"""Makes recordings as QEMU and the recorder write them, said by said."""

import time
from pathlib import Path

from sandbox.machine import recorder
from sandbox.machine.folder import World
from sandbox.machine.runs import Recording


class Writer:
    """A machine that speaks: each `say` is one entry of the index, unless it is told not to be."""

    def __init__(self, path: Path, *, index: bool = True) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.recording = Recording(path)
        self.zero_ns = time.monotonic_ns()
        self.at_s = 0.0
        self.sizes = {world: 0 for world in World}
        for world in World:
            self.recording.log(world).write_bytes(b"")
        if index:
            self.recording.index.write_bytes(
                recorder.HEADER.pack(recorder.MAGIC, self.zero_ns, time.time_ns())
            )

    def write(self, world: World, data: bytes) -> None:
        with self.recording.log(world).open("ab") as log:
            log.write(data)
        self.sizes[world] += len(data)

    def look(self, at_s: float | None = None) -> None:
        self.at_s = self.at_s + 0.01 if at_s is None else at_s
        with self.recording.index.open("ab") as index:
            at_ns = self.zero_ns + round(self.at_s * 1e9)
            index.write(recorder.ENTRY.pack(at_ns, *(self.sizes[world] for world in World)))

    def say(self, world: World, *lines: str, at_s: float | None = None) -> None:
        for line in lines:
            self.write(world, line.encode() + b"\r\n")
        self.look(at_s)
