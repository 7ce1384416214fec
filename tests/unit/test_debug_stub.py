# SPDX-License-Identifier: Apache-2.0
"""Who holds a machine, and the protocol with QEMU's stub, without QEMU."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.debug import rsp
from sandbox.machine import hold, sockets
from sandbox.machine.folder import Folder

HOLD = """
import sys
from pathlib import Path
from sandbox.machine import hold
from sandbox.machine.folder import Folder
with hold.taken(Folder(Path(sys.argv[1])), "a test"):
    print("held", flush=True)
    sys.stdin.read()
"""


def frame(packet: bytes) -> bytes:
    return b"$%s#%02x" % (packet, sum(packet) & 0xFF)


def test_a_held_machine_names_its_holder_until_that_one_is_killed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert hold.holder(folder) is None
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        holder = hold.holder(folder)
        assert holder is not None and (holder.pid, holder.what) == (other.pid, "a test")
        with pytest.raises(hold.MachineHeld, match=rf"a test \(process {other.pid}\)"):
            with hold.taken(folder, "another"):
                pass
        other.kill()
    assert hold.holder(folder) is None
    with hold.taken(folder, "another"):
        holder = hold.holder(folder)
        assert holder is not None and holder.pid == os.getpid()
    assert hold.holder(folder) is None


def test_a_child_that_was_passed_the_lock_holds_on(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with hold.taken(folder, "a parent") as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
    assert hold.holder(folder) is not None
    child.communicate()
    assert hold.holder(folder) is None


@pytest.fixture
def stub(tmp_path: Path) -> Callable[[list[bytes]], Path]:
    """A stub that says these things as soon as somebody connects, and listens until they go."""
    path = tmp_path / "gdb.sock"

    def serve(server: socket.socket, said: list[bytes]) -> None:
        with server, server.accept()[0] as client:
            for part in said:
                client.sendall(part)
            while client.recv(4096):
                pass

    def make(said: list[bytes]) -> Path:
        server = sockets.listen(path)
        threading.Thread(target=serve, args=(server, said), daemon=True).start()
        return path

    return make


def test_the_stop_that_connecting_causes_is_no_answer(
    stub: Callable[[list[bytes]], Path],
) -> None:
    stop = frame(b"T02thread:01;")
    path = stub([stop, b"+", frame(b"1"), b"+$mp01.01,p01", b".02#" + b"%02x" % 0xD7])
    with rsp.connect(path, 10.0) as remote:
        with pytest.raises(rsp.RemoteError, match="checksum"):
            remote.call(b"qfThreadInfo")


def test_escaped_bytes_come_back_as_they_were(stub: Callable[[list[bytes]], Path]) -> None:
    path = stub([frame(b"1"), b"+", frame(b"l}\x03}\x04}]x")])
    with rsp.connect(path, 10.0) as remote:
        assert remote.call(b"qXfer:features:read:target.xml:0,ffb") == b"l#$}x"


def test_a_stub_that_hangs_up_or_is_silent(
    stub: Callable[[list[bytes]], Path], tmp_path: Path
) -> None:
    with pytest.raises(rsp.RemoteError, match="cannot reach"):
        rsp.Remote(tmp_path / "nothing.sock", 1.0)
    with rsp.connect(stub([frame(b"1")]), 10.0) as remote:
        remote.send(b"c")
        with pytest.raises(rsp.RemoteError, match="did not answer within 0 s"):
            remote.receive(timeout_s=0.05)
    server, client = socket.socketpair()
    del client
    path = tmp_path / "short.sock"
    with sockets.listen(path) as listening, server:
        remote = rsp.Remote(path, 5.0)
        listening.accept()[0].close()
        with pytest.raises(rsp.RemoteError, match="hung up"):
            remote.call(b"?")
        remote.close()
