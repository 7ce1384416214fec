# SPDX-License-Identifier: Apache-2.0
"""Stands between gdb and QEMU's stub, and shows gdb one thread: the core that stopped last.

The stub shows each core as a thread. But what runs in a TA may come back from the normal world on
another core than it left it on. gdb's `finish`, `next` and `step` wait for their thread, and would
wait for ever. Seen as one thread it cannot get lost.

`monitor core N` shows another core.

Run by gdb, as `target remote | PROGRAM`, with the machine's folder as its argument.
"""

import contextlib
import os
import re
import select
import signal
import sys
from pathlib import Path

from sandbox.debug import rsp
from sandbox.errors import SandboxError
from sandbox.machine.folder import Folder

_INTERRUPT = b"\x03"
# A number, or since a client spoke of processes, pPROCESS.NUMBER.
_STOPPED_THREAD = re.compile(rb"(?<=thread:)(p[0-9a-f]+\.)?([0-9a-f]+)")
_RESUMES = (b"vCont;", b"c", b"s", b"C", b"S")
_INTERRUPTED = b"T02"  # SIGINT
_KILLS = (b"k", b"vKill")
_OUR_THREAD = b"1"
_MONITOR = b"qRcmd,"
_CORE = b"core "
_CHUNK = 1 << 16


class Ended(Exception):
    """gdb has hung up."""


class Client:
    """gdb, at our standard input and output."""

    def __init__(self) -> None:
        self._buffer = b""
        self._interrupt = False

    def receive(self) -> bytes:
        while True:
            start = self._buffer.find(b"$")
            end = self._buffer.find(b"#", start)
            if 0 <= start < end and len(self._buffer) >= end + 3:
                # Meant for a machine that has stopped in this moment to go on at once, as gdb has
                # it do to get past a breakpoint: it shall not get lost.
                self._interrupt |= _INTERRUPT in self._buffer[:start]
                packet, self._buffer = self._buffer[start + 1 : end], self._buffer[end + 3 :]
                self._write(b"+")
                return packet
            self._fill()

    def interrupts(self, *, wait: bool) -> bool:
        """Whether gdb wants the machine to stop: while it runs, gdb has nothing else to say."""
        if wait:
            self._fill()
        found = self._interrupt or _INTERRUPT in self._buffer
        if found:
            self._buffer, self._interrupt = b"", False
        return found

    def interrupt_later(self) -> None:
        """When gdb next has the machine run."""
        self._interrupt = True

    def send(self, packet: bytes) -> None:
        self._write(rsp.frame(rsp.escaped(packet)))

    def _fill(self) -> None:
        data = os.read(sys.stdin.fileno(), _CHUNK)
        if not data:
            raise Ended
        self._buffer += data

    @staticmethod
    def _write(data: bytes) -> None:
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]


class Proxy:
    def __init__(self, client: Client, remote: rsp.Remote) -> None:
        self._client = client
        self._remote = remote
        self._core = _OUR_THREAD  # the one that is shown

    def serve(self) -> None:
        while True:
            packet = self._client.receive()
            if packet.startswith(_KILLS):
                raise Ended  # QEMU would end with the machine
            if packet == b"qfThreadInfo":
                self._client.send(b"m" + _OUR_THREAD)
            elif packet == b"qsThreadInfo":
                self._client.send(b"l")
            elif packet.startswith(b"qSupported"):
                # Of one process only, whatever QEMU remembers of earlier clients.
                reply = self._remote.call(packet.replace(b"multiprocess+;", b""))
                self._client.send(reply.replace(b";multiprocess+", b""))
            elif packet == b"D":
                self._client.send(self._remote.call(b"D;1"))
            elif packet == b"qC":
                self._client.send(b"QC" + _OUR_THREAD)
            elif packet.startswith(_MONITOR + _CORE.hex().encode()):
                self._client.send(self._show(bytes.fromhex(packet[len(_MONITOR) :].decode())))
            elif packet.startswith(_RESUMES):
                self._remote.send(self._outwards(packet))
                self._wait(step=packet.startswith((b"vCont;s", b"s")))
            else:
                self._client.send(self._inwards(self._remote.call(self._outwards(packet))))

    def _wait(self, *, step: bool) -> None:
        """Until the machine stops, by itself or because gdb wants it to."""
        asked = self._client.interrupts(wait=False)
        if asked:
            self._remote.interrupt_soon()
        while True:
            ready, _, _ = select.select([sys.stdin, self._remote], [], [])
            if self._remote in ready and (reply := self._remote.arrived()) is not None:
                # The step was done before QEMU could be asked to stop, and it forgets the wish.
                if asked and step and not reply.startswith(_INTERRUPTED):
                    self._client.interrupt_later()
                self._client.send(self._inwards(reply))
                return
            if sys.stdin in ready and self._client.interrupts(wait=True):
                asked = True
                self._remote.interrupt_soon()

    def _show(self, command: bytes) -> bytes:
        cores = self._remote.threads()
        number = command.removeprefix(_CORE).strip()
        if not number.isdigit() or int(number) >= len(cores):
            return b"E01"
        self._core = cores[int(number)]
        return self._remote.call(b"Hg" + self._core)

    def _outwards(self, packet: bytes) -> bytes:
        """Our thread is the core that it stands for."""
        if packet[:2] in (b"Hg", b"Hc"):
            return packet[:2] + self._named(packet[2:])
        if packet[:1] == b"T":
            return b"T" + self._named(packet[1:])
        if packet.startswith(b"qThreadExtraInfo,"):
            return b"qThreadExtraInfo," + self._named(packet.partition(b",")[2])
        if packet.startswith(b"vCont;"):
            actions = [action.partition(b":") for action in packet.split(b";")[1:]]
            return b"vCont" + b"".join(
                b";" + verb + colon + self._named(thread) for verb, colon, thread in actions
            )
        return packet

    def _named(self, thread: bytes) -> bytes:
        return self._core if thread == _OUR_THREAD else thread

    def _inwards(self, reply: bytes) -> bytes:
        """After a stop, the core that stopped is the one to show."""
        if reply[:1] not in (b"T", b"S"):
            return reply
        if match := _STOPPED_THREAD.search(reply):
            self._core = match[0]
            # gdb believes that it has chosen this thread already.
            self._remote.call(b"Hg" + self._core)
        return _STOPPED_THREAD.sub(_OUR_THREAD, reply)


def main(folder: Folder) -> None:
    # Ctrl-C goes to the whole terminal, and is gdb's to understand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with contextlib.suppress(Ended), rsp.connect(folder.gdb_socket) as remote:
            Proxy(Client(), remote).serve()
    except SandboxError as error:
        print(error.message, file=sys.stderr)


if __name__ == "__main__":
    main(Folder(Path(sys.argv[1])))
