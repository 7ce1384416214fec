# SPDX-License-Identifier: Apache-2.0
"""A gdb stub of a machine that never executes anything: what is in its registers stays there."""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.machine import sockets

# As in QEMU's system-registers.xml.
NUMBERS = {"SCR_EL3": 179, "TTBR0_EL1": 72, "TPIDR_EL1": 175}


def framed(packet: bytes) -> bytes:
    return b"$%s#%02x" % (packet, sum(packet) & 0xFF)


@dataclass
class Core:
    pc: int
    el: int
    scr: int = 1  # the normal world
    lr: int = 0
    fp: int = 0
    ttbr0: int = 0
    tpidr: int = 0
    memory: Mapping[int, bytes] = field(default_factory=dict)

    def general(self) -> bytes:
        x = [0] * 31
        x[29], x[30] = self.fp, self.lr
        return struct.pack("<33QI", *x, 0x1000, self.pc, self.el << 2).hex().encode()

    def system(self, number: int) -> bytes:
        values = {"SCR_EL3": self.scr, "TTBR0_EL1": self.ttbr0, "TPIDR_EL1": self.tpidr}
        name = next(name for name, known in NUMBERS.items() if known == number)
        return values[name].to_bytes(8, "little").hex().encode()


def read(memory: Mapping[int, bytes], address: int, size: int) -> bytes:
    for start, data in memory.items():
        if start <= address and address + size <= start + len(data):
            return data[address - start :][:size].hex().encode()
    return b"E14"


class FakeStub:
    def __init__(
        self,
        cores: list[Core],
        physical: Mapping[int, bytes] | None = None,
        *,
        thread: str = "%02x",  # as p01.%02x, once a client has spoken of processes
    ) -> None:
        self.cores = cores
        self._thread = thread
        self.physical = physical or {}
        self.running = False
        self.detached = False
        self.stops = 0
        self.by_physical = False
        self._core = 0

    @contextmanager
    def listening(self, path: Path) -> Iterator[Path]:
        with sockets.listen(path) as server:
            thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
            thread.start()
            yield path
            thread.join(10.0)

    def _serve(self, server: socket.socket) -> None:
        with server.accept()[0] as client:
            # What connecting does: the machine stops.
            client.sendall(framed(b"T02thread:01;"))
            buffer = b""
            while data := client.recv(4096):
                if self.running:
                    # As QEMU: any byte stops it, and is gone.
                    self.running, data = False, data[1:]
                    self.stops += 1
                    client.sendall(framed(b"T02thread:01;"))
                buffer += data
                while (end := buffer.find(b"#")) >= 0 and len(buffer) >= end + 3:
                    packet = buffer[buffer.find(b"$") + 1 : end]
                    buffer = buffer[end + 3 :]
                    answer = self._answer(packet.decode())
                    if answer is not None:
                        client.sendall(b"+" + framed(answer))

    def _answer(self, packet: str) -> bytes | None:
        core = self.cores[self._core]
        if packet == "c":
            self.running = True
            return None
        if packet == "D":
            self.detached = True
            return b"OK"
        if packet == "qAttached":
            return b"1"
        if packet == "qfThreadInfo":
            return b"m" + (self._thread % 1).encode()
        if packet == "qsThreadInfo":
            # One at a time, as QEMU does.
            self._listed = getattr(self, "_listed", 1) + 1
            if self._listed > len(self.cores):
                return b"l"
            return b"m" + (self._thread % self._listed).encode()
        if packet.startswith("qXfer:features:read:system"):
            tags = "".join(
                f'<reg name="{name}" bitsize="64" regnum="{number}" group="cp_regs"/>'
                for name, number in NUMBERS.items()
            )
            return b"l" + tags.encode()
        if packet.startswith("qXfer:"):
            return b"l<target/>"
        if packet.startswith("Hg"):
            self._core = int(packet[2:], 16) - 1
            return b"OK"
        if packet == "g":
            return core.general()
        if packet.startswith("p"):
            return core.system(int(packet[1:], 16))
        if packet.startswith("Qqemu.PhyMemMode:"):
            self.by_physical = packet.endswith("1")
            return b"OK"
        if packet.startswith("m"):
            address, size = (int(part, 16) for part in packet[1:].split(","))
            return read(self.physical if self.by_physical else core.memory, address, size)
        return b""
