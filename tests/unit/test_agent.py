# SPDX-License-Identifier: Apache-2.0
"""The host's side of the agent's protocol: numbers, frames, proofs, hostile answers."""

import hashlib
import hmac
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import GuestError
from sandbox.machine import agent
from sandbox.machine.agent import Command, Connection, GuestRefused, GuestUnreachable
from sandbox.machine.deadline import Deadline
from sandbox.tee import wire
from sandbox.tee.parameters import MEMORY_MAX_BYTES, PARAM_COUNT

AGENT = Path(__file__).parents[2] / "host" / "agent"
TOKEN = bytes(range(32))
LIMIT_S = 30.0


def numbers(header: str) -> dict[str, int]:
    """Macros whose value is a number, or a product of some."""
    text = (AGENT / header).read_text().replace("\\\n", " ")
    found = {}
    for name, value in re.findall(r"^#define[ \t]+(\w+)[ \t]+([^/\n]+)", text, re.MULTILINE):
        if re.fullmatch(r"[\s\d()*+xa-fA-F]+", value):
            found[name] = eval(value)
    return found


def test_numbers_are_the_agents() -> None:
    theirs = numbers("protocol.h")
    frames = {name[6:]: value for name, value in theirs.items() if name.startswith("FRAME_")}
    for name in ("HEADER_SIZE", "MAX_SIZE"):
        assert frames.pop(name) == getattr(agent, f"FRAME_{name}")
    for name, value in frames.items():
        if name.startswith("TEE_"):
            assert value == getattr(wire, name[4:]), name
        else:
            assert value == getattr(agent, name), name
    assert len(frames) == len(set(frames.values())) > 25
    for name in ("PROTOCOL_VERSION", "AGENT_PORT", "WINDOW", "TOKEN_SIZE", "NONCE_SIZE"):
        assert theirs[name] == getattr(agent, name)
    assert theirs["PROOF_SIZE"] == agent.PROOF_SIZE
    assert theirs["TEE_FRAME_MAX_SIZE"] == wire.FRAME_MAX_BYTES
    tee = numbers("tee_message.h")
    assert tee["TEE_MEMORY_MAX_SIZE"] == MEMORY_MAX_BYTES
    assert tee["TEE_PARAM_COUNT"] == PARAM_COUNT


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20),
    st.lists(st.integers(1, 50), min_size=1, max_size=100),
)
def test_frames_arrive_in_any_pieces(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    stream = b"".join(agent.frame(kind, payload) for kind, payload in sent)
    arrived, got = bytearray(), []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        arrived += stream[at : at + size]
        at, turn = at + size, turn + 1
        got += agent.frames(arrived, 300)
    assert got == sent and not arrived


def test_a_frame_too_long() -> None:
    head = agent.frame(agent.STDOUT, bytes(100))[:5]
    with pytest.raises(GuestUnreachable, match="too long"):
        list(agent.frames(bytearray(head), 99))
    assert list(agent.frames(bytearray(head), 100)) == []


# The other end ---------------------------------------------------------------------------------

Serve = Callable[[socket.socket], None]


@pytest.fixture
def listening(request: pytest.FixtureRequest) -> Iterator[Callable[[Serve], int]]:
    """Makes a port at which a function serves one connection."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def make(serve: Serve) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            connected, _ = listener.accept()
            with connected:
                serve(connected)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield make
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(LIMIT_S)


def exactly(connected: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connected.recv(size - len(data))
        assert part
        data += part
    return data


def test_the_proof_is_hmac_sha256_of_both_nonces(
    listening: Callable[[Serve], int],
) -> None:
    proofs = []

    def serve(connected: socket.socket) -> None:
        hello = exactly(connected, 5 + 4 + 32)
        assert hello[:9] == b"\x01\x24\0\0\0\x01\0\0\0"
        nonces = hello[9:] + b"n" * 32
        mine = hmac.new(TOKEN, b"agent" + nonces, hashlib.sha256).digest()
        connected.sendall(agent.frame(agent.CHALLENGE, b"n" * 32 + mine))
        proofs.append(exactly(connected, 5 + 32)[5:])
        proofs.append(hmac.new(TOKEN, b"host" + nonces, hashlib.sha256).digest())

    with agent.connect(listening(serve), TOKEN, Deadline(LIMIT_S)) as connection:
        connection.flush(Deadline(LIMIT_S))
        with pytest.raises(GuestUnreachable):
            connection.receive(Deadline(LIMIT_S))
    assert proofs[0] == proofs[1]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-dropbear\r\n" * 9, "too long"),
        (agent.frame(agent.CHALLENGE, b""), "does not know its token"),
        (agent.frame(agent.CHALLENGE, bytes(64)), "does not know its token"),
        (agent.frame(agent.STDOUT, bytes(64)), "does not know its token"),
        (agent.frame(agent.FAILED, agent.u32(0) + b"another version"), "another version"),
        (b"", "hung up"),
    ],
    ids=["ssh", "short", "zeros", "other", "failed", "silent"],
)
def test_a_stranger_at_the_port_gets_no_proof(
    answer: bytes, words: str, listening: Callable[[Serve], int]
) -> None:
    heard = []

    def serve(connected: socket.socket) -> None:
        exactly(connected, 5 + 4 + 32)
        connected.sendall(answer)
        connected.shutdown(socket.SHUT_WR)
        connected.settimeout(LIMIT_S)
        heard.append(connected.recv(1))

    port = listening(serve)
    with pytest.raises(GuestError, match=words):
        agent.connect(port, TOKEN, Deadline(LIMIT_S))


def test_one_that_does_not_answer(listening: Callable[[Serve], int]) -> None:
    over = threading.Event()
    port = listening(lambda _: bool(over.wait(LIMIT_S)) or None)
    with pytest.raises(GuestUnreachable, match="does not answer within"):
        agent.connect(port, TOKEN, Deadline(0.2))
    over.set()


def command(said: bytes, stdout: bytearray) -> Command:
    """A command whose agent says this and hangs up."""
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    made = Command(Connection(ours), ["x"], stdout=stdout.extend, stderr=stdout.extend)
    made._kept = theirs  # type: ignore[attr-defined]
    return made


def test_what_an_agent_may_say() -> None:
    out = bytearray()
    said = agent.frame(agent.STDOUT, b"one ") + agent.frame(agent.STDERR, b"two")
    ended = command(said + agent.frame(agent.EXIT, agent.u32(0, 11)), out)
    assert ended.finish(b"", Deadline(LIMIT_S)).status == 139 and out == b"one two"
    with pytest.raises(GuestUnreachable, match="hung up"):
        command(said, out).finish(b"", Deadline(LIMIT_S))
    with pytest.raises(GuestUnreachable, match="unknown type"):
        command(agent.frame(agent.TTY), out).finish(b"", Deadline(LIMIT_S))
    with pytest.raises(GuestRefused, match="x in the guest: cwd: No such file") as caught:
        failed = agent.frame(agent.FAILED, agent.u32(2) + b"cwd")
        command(failed, out).finish(b"", Deadline(LIMIT_S))
    assert caught.value.errno == 2


def test_input_waits_for_credit() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(LIMIT_S)
    data = bytes(agent.WINDOW + 1000)
    arrived, sizes = bytearray(), []

    def receive() -> None:
        arrived.extend(theirs.recv(1 << 16))
        frames = agent.frames(arrived, agent.FRAME_MAX_SIZE)
        sizes.extend(len(payload) for kind, payload in frames if kind == agent.STDIN)

    def serve() -> int:
        while sum(sizes) < agent.WINDOW:
            receive()
        theirs.settimeout(0.3)
        with pytest.raises(TimeoutError):
            receive()
        # Not a byte more came without credit.
        stopped_at = sum(sizes)
        theirs.settimeout(LIMIT_S)
        theirs.sendall(agent.frame(agent.CREDIT, agent.u32(5000)))
        while sum(sizes) < len(data):
            receive()
        theirs.sendall(agent.frame(agent.EXIT, agent.u32(3, 0)))
        return stopped_at

    with ours, theirs, ThreadPoolExecutor() as pool:
        serving = pool.submit(serve)
        out = bytearray()
        made = Command(Connection(ours), ["x"], stdout=out.extend, stderr=out.extend)
        assert made.finish(data, Deadline(LIMIT_S)).status == 3
        assert serving.result(LIMIT_S) == agent.WINDOW
