# SPDX-License-Identifier: Apache-2.0
"""The guest's agent, on the host and without a TEE: for a fake QEMU.

It runs commands with a real shell's environment, so that arguments, bytes and exit statuses are
tested for what they are. tests/agent tests the real one.
"""

import contextlib
import hmac
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import IO

from sandbox.machine import agent

# Answers for a command, or None to have it run.
Answer = Callable[[list[str]], tuple[int, bytes, bytes] | None]


class HungUp(Exception):
    pass


class Peer:
    """One connection, from the guest's side."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lock = threading.Lock()

    def receive(self) -> tuple[int, bytes]:
        kind, length = struct.unpack("<BI", self._exactly(5))
        return kind, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise HungUp
            data += part
        return data

    def send(self, kind: int, payload: bytes = b"") -> None:
        with self._lock:
            self._socket.sendall(agent.frame(kind, payload))

    def linger(self) -> None:
        """The host closes first, as with the real one: what was said last is not lost."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(agent.CHUNK):
            pass


def serve(listener: socket.socket, token: bytes, answer: Answer) -> None:
    while True:
        connected, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(connected, token, answer), daemon=True).start()


def _serve_one(connected: socket.socket, token: bytes, answer: Answer) -> None:
    with connected:
        peer = Peer(connected)
        try:
            if _handshake(peer, token):
                _service(peer, answer)
        except (HungUp, OSError):
            pass


def _handshake(peer: Peer, token: bytes) -> bool:
    kind, hello = peer.receive()
    assert kind == agent.HELLO and hello[:4] == agent.u32(agent.PROTOCOL_VERSION)
    own = os.urandom(agent.NONCE_SIZE)
    nonces = hello[4:] + own
    peer.send(agent.CHALLENGE, own + hmac.digest(token, b"agent" + nonces, "sha256"))
    kind, proof = peer.receive()
    return kind == agent.PROOF and proof == hmac.digest(token, b"host" + nonces, "sha256")


def _service(peer: Peer, answer: Answer) -> None:
    argv: list[str] = []
    env = dict(os.environ)
    cwd = None
    while True:
        kind, payload = peer.receive()
        if kind == agent.ARG:
            argv.append(os.fsdecode(payload))
        elif kind == agent.ENV:
            name, _, value = os.fsdecode(payload).partition("=")
            env[name] = value
        elif kind == agent.CWD:
            cwd = os.fsdecode(payload)
        elif kind == agent.RUN:
            break
        else:
            raise AssertionError(f"the fake agent only runs commands, not {kind:#x}")
    canned = answer(argv)
    if canned is not None:
        status, stdout, stderr = canned
        peer.send(agent.STDOUT, stdout)
        peer.send(agent.STDERR, stderr)
        peer.send(agent.EXIT, agent.u32(status, 0))
        peer.linger()
        return
    child = subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    pumps = [
        threading.Thread(target=_pump, args=(peer, agent.STDOUT, child.stdout)),
        threading.Thread(target=_pump, args=(peer, agent.STDERR, child.stderr)),
    ]
    # It reads what the host sends to the last byte, so there is nothing to linger for.
    obeying = threading.Thread(target=_obey, args=(peer, child), daemon=True)
    obeying.start()
    for thread in pumps:
        thread.start()
    status = child.wait()
    for thread in pumps:
        thread.join()
    peer.send(agent.EXIT, agent.u32(max(status, 0), max(-status, 0)))
    obeying.join()


def _pump(peer: Peer, kind: int, source: IO[bytes]) -> None:
    try:
        while data := os.read(source.fileno(), agent.CHUNK):
            peer.send(kind, data)
    except OSError:
        pass


def _obey(peer: Peer, child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    try:
        while True:
            kind, payload = peer.receive()
            if kind == agent.STDIN:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(payload)
                    child.stdin.flush()
                peer.send(agent.CREDIT, agent.u32(len(payload)))
            elif kind == agent.STDIN_END:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()
            elif kind == agent.SIGNAL:
                os.killpg(child.pid, int.from_bytes(payload, "little"))
    except (HungUp, OSError):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
