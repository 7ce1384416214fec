# SPDX-License-Identifier: Apache-2.0
"""host/agent/ on this machine, under sanitizers: the real program, and a TEE that is a fake."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from sandbox import paths, process
from sandbox.machine import agent
from sandbox.machine.agent import GuestRefused, GuestTimeout, GuestUnreachable
from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest
from sandbox.tee import (
    Login,
    MemrefIn,
    MemrefInOut,
    MemrefOut,
    MemrefPartialIn,
    MemrefPartialInOut,
    MemrefWhole,
    Session,
    TEEContext,
    TeeError,
    TeeOrigin,
    TeeResult,
    ValueIn,
    ValueInOut,
    ValueOut,
    wire,
)

LIMIT_S = 60.0
TA = UUID(int=1)
ADD_ONE, WAIT, PANIC, SHORT, FAIL, LIE = range(6)
FUZZ_DIR = Path(__file__).parent / "fuzz"
FUZZ_S = float(os.environ.get("FUZZ_SECONDS", "6"))


class Agent:
    """A running one; also stands for the machine that a TEEContext wants."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.token = os.urandom(agent.TOKEN_SIZE)
        (folder / "token").write_bytes(self.token)
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as log:
            self.process = process.spawn(
                [program, f"--token={folder / 'token'}", "--address=127.0.0.1"]
                + ["--port=0", "--foreground"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                # A fork of a process with threads would confuse it; here only the child has some.
                env={**os.environ, "TSAN_OPTIONS": "die_after_fork=0"},
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def guest(self) -> Guest:
        return Guest(self.port, self.token, LIMIT_S)

    def connection(self) -> agent.Connection:
        return agent.connect(self.port, self.token, Deadline(LIMIT_S))

    def close(self) -> None:
        assert self.process.poll() is None, self.stderr.read_text()
        # Who still lingers ends by itself soon after.
        process.end(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def running(program: Path, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(program, tmp_path)
    yield made
    made.close()
    # Of the sanitizers; each connection's process writes there too.
    assert made.stderr.read_text() == ""


@pytest.fixture
def guest(running: Agent) -> Guest:
    return running.guest()


# Commands --------------------------------------------------------------------------------------


def test_commands(guest: Guest, tmp_path: Path) -> None:
    done = guest.run(["sh", "-c", "cat; echo no >&2; exit 7"], timeout_s=LIMIT_S, stdin=b"\0\xff")
    assert (done.status, done.stdout, done.stderr) == (7, b"\0\xff", b"no\n")
    assert guest.run(["sh", "-c", "kill -9 $$"], timeout_s=LIMIT_S).signal == 9
    assert guest.run(["no-such-program"], timeout_s=LIMIT_S).status == 127
    assert guest.run([os.fspath(tmp_path)], timeout_s=LIMIT_S).status == 126
    env = {"B": "two words", "HOME": "/"}
    done = guest.run(["env"], timeout_s=LIMIT_S, env=env, cwd="/")
    lines = done.stdout.decode().splitlines()
    assert {"B=two words", "HOME=/", "USER=root"} <= set(lines) and len(lines) == 6
    with pytest.raises(GuestTimeout):
        guest.run(["sleep", "1000"], timeout_s=0.3)


def test_streams(guest: Guest) -> None:
    data = os.urandom(5_000_000)
    done = guest.run(["sh", "-c", "tee /dev/stderr"], timeout_s=LIMIT_S, stdin=data)
    assert done.stdout == data and done.stderr == data
    assert guest.run(["true"], timeout_s=LIMIT_S, stdin=data).status == 0
    done = guest.run(["sh", "-c", "exec <&-; sleep 0.2; echo x"], timeout_s=LIMIT_S, stdin=data)
    assert done.stdout == b"x\n"


def test_a_command_dies_with_its_host(running: Agent, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script = f"exec 3>{fifo}; echo ready; (sleep 1000) & sleep 1000"
        with running.guest().lines(["sh", "-c", script]) as lines:
            assert lines.receive(LIMIT_S) == "ready"
            assert not select.select([reader], [], [], 0.1)[0]
        # End of file: nobody has the other end any more.
        assert select.select([reader], [], [], LIMIT_S)[0]
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_a_terminal(running: Agent) -> None:
    out = bytearray()
    with running.connection() as connection:
        command = agent.Command(
            connection,
            ["sh", "-c", "stty size; read line; stty size; sleep 1000"],
            stdout=out.extend,
            stderr=out.extend,
            terminal=agent.Terminal(11, 22),
        )
        deadline = Deadline(LIMIT_S)
        while b"11 22" not in out:
            command.step(deadline)
        command.resize(agent.Terminal(33, 44))
        command.feed(b"\n")
        while b"33 44" not in out:
            command.step(deadline)
        command.feed(b"\x03")
        while command.exit is None:
            command.step(deadline)
        assert command.exit.status == 128 + signal.SIGINT


def test_files(guest: Guest, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", os.urandom(1_000_000)):
        guest.put(os.fspath(path), data, 0o750)
        assert path.read_bytes() == data and path.stat().st_mode & 0o7777 == 0o750
        assert guest.get(os.fspath(path)) == data
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for bad in (fifo, tmp_path, tmp_path / "no" / "where"):
        with pytest.raises(GuestRefused):
            guest.get(os.fspath(bad))
    with pytest.raises(GuestRefused):
        guest.put(os.fspath(tmp_path / "no" / "where"), bytes(1_000_000), 0o600)
    assert {p.name for p in tmp_path.iterdir()} == {"token", "stderr", "file", "fifo"}


# The TEE ---------------------------------------------------------------------------------------


@pytest.fixture
def context(running: Agent) -> Iterator[TEEContext]:
    with TEEContext(running) as made:  # type: ignore[arg-type]
        yield made


@pytest.fixture
def session(context: TEEContext) -> Iterator[Session]:
    with context.open_session(TA) as made:
        yield made


def test_parameters(session: Session) -> None:
    data = os.urandom(100_000)
    more = bytes((byte + 1) & 0xFF for byte in data)
    _, out = session.invoke(ADD_ONE, (MemrefIn(data), MemrefOut(200_000)))
    assert out.data == more and out.needed == len(data)
    value, _, inout = session.invoke(
        ADD_ONE, (ValueInOut(1, 0xFFFFFFFF), MemrefIn(data), MemrefInOut(b"", len(data)))
    )
    assert (value.a, value.b) == (0xFFFFFFFF, 1) and inout.data == more
    (out_value,) = session.invoke(ADD_ONE, (ValueOut(),))
    assert (out_value.a, out_value.b) == (0, 0)
    for empty in (MemrefIn(b""), MemrefIn(None)):
        _, out = session.invoke(ADD_ONE, (empty, MemrefOut(3)))
        assert out.data == (b"" if empty.data is not None else b"\0\0\0")


def test_shared_memory(context: TEEContext, session: Session) -> None:
    with context.allocate(5000) as one, context.register(b"abc" * 1000) as two:
        session.invoke(ADD_ONE, (MemrefPartialIn(two, 3, 300), MemrefPartialInOut(one, 7, 400)))
        assert one.read(301, 6) == b"\0" + b"bcd" * 100 and one.read(1, 307) == b"\0"
        _, whole = session.invoke(ADD_ONE, (MemrefIn(b"xyz"), MemrefWhole(one)))
        assert whole.needed == 3 and one.read(3) == b"yz{"


def test_results(context: TEEContext, session: Session) -> None:
    with pytest.raises(TeeError) as caught:
        session.invoke(SHORT, (MemrefOut(10),))
    assert caught.value.needed_bytes == 1000
    with pytest.raises(TeeError) as caught:
        session.invoke(FAIL, (ValueIn(0x80001234, 2),))
    assert (caught.value.result, caught.value.origin) == (0x80001234, TeeOrigin.COMMS)
    # A driver that lies about sizes gets no byte out of the agent.
    (out,) = session.invoke(LIE, (MemrefOut(10),))
    assert out.data == b""
    with pytest.raises(TeeError, match="ITEM_NOT_FOUND"):
        context.open_session(UUID(int=2))
    opened = context.open_session(TA, (ValueOut(),), login=Login.GROUP, group=77)
    assert opened.opened_with == (ValueOut(77, 0),)
    opened.close()
    with context.open_session(TA) as other:
        for _ in range(2):
            with pytest.raises(TeeError) as caught:
                other.invoke(PANIC)
            assert caught.value.result is TeeResult.TARGET_DEAD


def test_cancellation(session: Session) -> None:
    with pytest.raises(TeeError) as caught:
        session.invoke(WAIT, timeout_s=0.2)
    assert caught.value.result is TeeResult.CANCEL
    session.invoke(ADD_ONE)


def test_a_call_that_runs_keeps_its_session(context: TEEContext) -> None:
    session = context.open_session(TA)
    waiting = threading.Thread(
        target=lambda: pytest.raises(TeeError, session.invoke, WAIT, timeout_s=2.0)
    )
    waiting.start()
    # Until the call has begun, closing works: then there is a new one to close.
    with pytest.raises(TeeError) as caught:
        while waiting.is_alive():
            session.close()
    assert (caught.value.result, caught.value.origin) == (TeeResult.BUSY, TeeOrigin.API)
    waiting.join(LIMIT_S)


def test_hanging_up_in_the_middle_of_a_call(running: Agent) -> None:
    context = TEEContext(running)  # type: ignore[arg-type]
    session = context.open_session(TA)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            session.invoke(WAIT)
        except GuestUnreachable as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    context.close()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(errors) == 3


def test_more_than_there_is_room_for(context: TEEContext) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(128):
            stack.enter_context(context.open_session(TA))
        with pytest.raises(TeeError, match="OUT_OF_MEMORY"):
            context.open_session(TA)
    with contextlib.ExitStack() as stack:
        for _ in range(256):
            stack.enter_context(context.allocate(1))
        with pytest.raises(TeeError, match="OUT_OF_MEMORY"):
            context.allocate(1)


# A host that keeps no rules --------------------------------------------------------------------


def hung_up(connection: agent.Connection) -> bool:
    """Whether the agent ends the connection, whatever it says before."""
    try:
        while True:
            connection.receive(Deadline(LIMIT_S))
    except GuestUnreachable:
        return True


PARAMS = bytes(64)
BAD_STARTS = {
    "unknown": [(0x7F, b"")],
    "too long": [(agent.ARG, b"x" * (agent.FRAME_MAX_SIZE + 1))],
    "not begun": [(agent.STDIN, b"x")],
    "no argv": [(agent.CWD, b"/"), (agent.RUN, b"")],
    "no name": [(agent.ENV, b"=x"), (agent.RUN, b"")],
    "short tty": [(agent.TTY, b"\0"), (agent.RUN, b"")],
    "huge tty": [(agent.TTY, b"\xff" * 8), (agent.RUN, b"")],
    "odd put": [(agent.PUT, b"\0")],
    "bad mode": [(agent.PUT, b"\xff\xff\xff\xff/x")],
    "nul in get": [(agent.GET, b"/etc/pass\0wd")],
    "short tee": [(wire.INITIALIZE, bytes(95))],
    "tee not begun": [(wire.INVOKE, bytes(96))],
    "tee type": [(wire.INITIALIZE, bytes(96)), (wire.OPEN, bytes(32) + b"\x04" + bytes(63))],
    "tee data": [
        (wire.INITIALIZE, bytes(96)),
        (wire.OPEN, bytes(32) + struct.pack("<IIII", 5, 100, 0, 0) + bytes(48) + b"x" * 99),
    ],
    "tee size": [
        (wire.INITIALIZE, bytes(96)),
        (wire.OPEN, bytes(32) + struct.pack("<IIII", 6, 0xFFFFFFFF, 0, 0) * 4),
    ],
    "tee close": [
        (wire.INITIALIZE, bytes(96)),
        (wire.CLOSE, bytes(32) + struct.pack("<IIII", 5, 1000, 0, 0) + bytes(48)),
    ],
}


@pytest.mark.parametrize("name", BAD_STARTS)
def test_frames_out_of_place(name: str, running: Agent) -> None:
    with running.connection() as connection:
        for kind, payload in BAD_STARTS[name]:
            connection.send(kind, payload)
        connection.flush(Deadline(LIMIT_S))
        assert hung_up(connection)
    assert running.guest().run(["true"], timeout_s=LIMIT_S).status == 0


@pytest.mark.parametrize(
    "frames",
    [
        [(agent.STDIN, bytes(agent.CHUNK))] * 9,  # more than there is credit for
        [(agent.STDIN_END, b""), (agent.STDIN, b"x")],
        [(agent.SIGNAL, b"\1")],
        [(agent.RESIZE, b"")],
        [(agent.ARG, b"late")],
    ],
    ids=["credit", "after the end", "signal", "resize", "late"],
)
def test_a_running_command_and_frames_that_may_not_be(
    frames: list[tuple[int, bytes]], running: Agent
) -> None:
    with running.connection() as connection:
        for kind, payload in [(agent.ARG, b"sleep"), (agent.ARG, b"1000"), (agent.RUN, b"")]:
            connection.send(kind, payload)
        for kind, payload in frames:
            connection.send(kind, payload)
        assert hung_up(connection)


def test_random_frames(running: Agent) -> None:
    """Of all kinds, in any order, with odd contents: no sanitizer complains, and it serves on."""
    source = random.Random(1)
    kinds = [
        *(agent.ARG, agent.ENV, agent.CWD, agent.TTY, agent.RUN, agent.STDIN, agent.STDIN_END),
        *(agent.SIGNAL, agent.RESIZE, agent.GET, agent.DATA, agent.END),
        *range(wire.INITIALIZE, wire.READ + 1),
    ]
    payloads = [b"", b"true", b"A=b", bytes(8), bytes(96), b"\0\0\0\0", b"\xff" * 96]
    for _ in range(60):
        with running.connection() as connection:
            connection.send(source.choice(kinds[:4] + [wire.INITIALIZE]), source.choice(payloads))
            for _ in range(12):
                connection.send(source.choice(kinds), source.choice(payloads))
            with contextlib.suppress(GuestUnreachable):
                connection.flush(Deadline(LIMIT_S))
                connection.wait(Deadline(LIMIT_S))
    assert running.guest().run(["true"], timeout_s=LIMIT_S).status == 0


def test_strangers(running: Agent) -> None:
    hello = agent.frame(agent.HELLO, agent.u32(agent.PROTOCOL_VERSION) + bytes(32))
    for said in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 100, hello + hello, hello[:10], b""):
        with socket.create_connection(("127.0.0.1", running.port), LIMIT_S) as connected:
            connected.sendall(said)
            connected.shutdown(socket.SHUT_WR)
            heard = b""
            while part := connected.recv(4096):
                heard += part
        assert len(heard) in (0, len(agent.frame(agent.CHALLENGE, bytes(64))))
    other = agent.u32(99) + bytes(32)
    with socket.create_connection(("127.0.0.1", running.port), LIMIT_S) as connected:
        connected.sendall(agent.frame(agent.HELLO, other))
        assert b"another version" in connected.recv(4096)
    assert running.guest().run(["true"], timeout_s=LIMIT_S).status == 0


# Parsers ---------------------------------------------------------------------------------------


def seeds(name: str) -> Iterator[bytes]:
    frames = b"".join(agent.frame(kind, b"x" * kind) for kind in range(1, 40))
    if name == "fuzz_frames":
        yield from (bytes([piece]) + frames for piece in (0, 7, 255))
    else:
        value = struct.pack("<IIII", 3, 1, 2, 0)
        memref = struct.pack("<IIII", 7, 5, 0, 0)
        for kind in (wire.OPEN, wire.INVOKE):
            yield bytes([kind]) + bytes(32) + value + memref * 2 + bytes(16) + b"helloworld"


@pytest.mark.parametrize("target", sorted(path.stem for path in FUZZ_DIR.glob("fuzz_*.c")))
def test_fuzz(target: str, fuzzers: Path, tmp_path: Path) -> None:
    for number, seed in enumerate(seeds(target)):
        (tmp_path / f"seed{number}").write_bytes(seed)
    kept = paths.project_dir() / "out" / "fuzz"
    kept.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [fuzzers / target, f"-max_total_time={FUZZ_S:.0f}", "-max_len=4096", "-timeout=20"]
        + [f"-artifact_prefix={kept}/{target}-", "-print_final_stats=1", tmp_path],
        capture_output=True,
        timeout=FUZZ_S + LIMIT_S,
    )
    report = done.stderr.decode(errors="replace")
    assert done.returncode == 0, report[-6000:]
    found = re.search(r"number_of_executed_units:\s*(\d+)", report)
    assert found and int(found[1]) > 10 * FUZZ_S
