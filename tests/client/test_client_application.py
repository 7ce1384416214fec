# SPDX-License-Identifier: Apache-2.0
"""host/ on this machine, under sanitizers, with a TEE that does as it is told (fake_teec.c)."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import native_build
import pytest

from sandbox import paths, process
from sandbox.tee_abi import ERROR_BASE, PUSH_MAX_BYTES, Status

HERE = Path(__file__).parent
HEADER = bytes(range(72))
INFO = {
    "abi": 1,
    "version": "0.1.0",
    "cpu": ["neon", "dotprod"],
    "challenge": bytes(range(16)),
    "data_key_id": None,
    "model_key_id": b"\xff" * 16,
    "model": {"digest": bytes(32), "size": 4_562_608, "arena": 1_248_704, "tables": 358_848},
    "memory": {"used": 1 << 40, "peak": 0},
}
INFO_JSON = {
    **INFO,
    "challenge": bytes(range(16)).hex(),
    "model_key_id": "ff" * 16,
    "model": {"digest": "00" * 32, "size": 4_562_608, "arena": 1_248_704, "tables": 358_848},
}
# Long enough for a busy machine; nothing waits for it when all is well.
TIMEOUT_S = 60.0

SANITIZERS = {"asan": "-fsanitize=address,undefined", "tsan": "-fsanitize=thread"}


@pytest.fixture(scope="session", params=SANITIZERS)
def program(request: pytest.FixtureRequest) -> Path:
    """`cml-ca`, built by its own makefile."""
    project = paths.project_dir()
    return native_build.build(
        project / "out" / "client" / request.param / "cml-ca",
        "host",
        HERE / "fake_teec.c",
        SANITIZERS[request.param],
        [project / "ta/include"],
    )


class Line:
    """A connection to the service, as `cml-ca call` has one."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(os.fspath(path))
        self._file = self._socket.makefile("rb")

    def send(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._file.readline())
        return reply

    def ask(self, line: str) -> dict[str, Any]:
        self.send(line)
        return self.receive()

    def good(self, line: str) -> dict[str, Any]:
        reply = self.ask(line)
        assert reply["ok"] is True, reply
        return reply

    def error(self, line: str) -> str:
        reply = self.ask(line)
        assert reply["ok"] is False, reply
        return str(reply["error"])

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Service:
    def __init__(self, program: Path, folder: Path, env: dict[str, str]) -> None:
        self.share = folder / "share"
        self.share.mkdir()
        self.vault = folder / "vault"
        self.socket = folder / "socket"
        info = folder / "info"
        info.write_bytes(cbor2.dumps(INFO))
        self.stderr = folder / "stderr"
        self._lines: list[Line] = []
        self.env = {**os.environ, "FAKE_TEE_INFO": os.fspath(info), **env}
        self.process = process.spawn(
            [
                program,
                "serve",
                f"--socket={self.socket}",
                f"--share={self.share}",
                f"--vault={self.vault}",
            ],
            env=self.env,
            stderr=self.stderr.open("wb"),
        )
        deadline = time.monotonic() + TIMEOUT_S
        while not self.stderr.read_text().endswith(f"on {self.socket}\n"):
            assert self.process.poll() is None, self.stderr.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def connect(self) -> Line:
        self._lines.append(Line(self.socket))
        return self._lines[-1]

    def attached(self, name: str) -> Line:
        line = self.connect()
        line.good(f"attach {name}")
        return line

    def file(self, name: str, data: bytes) -> Path:
        path = self.share / name
        path.write_bytes(data)
        return path

    def infer(self, line: Line, words: str) -> bytes:
        photo = self.file(f"photo-{id(line)}", HEADER + words.encode())
        result = self.share / f"result-{id(line)}"
        line.good(f"infer {photo} {result}")
        return result.read_bytes()

    def end(self) -> None:
        """It ends when told, says nothing bad, and leaves no socket."""
        for line in self._lines:
            line.close()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(TIMEOUT_S)
        said = self.stderr.read_text()
        assert "Sanitizer" not in said, said
        assert status == 0, said
        assert not self.socket.exists()


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def make(**env: str) -> Service:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Service(program, folder, env))
        return started[-1]

    yield make
    for service in started:
        service.end()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()


def test_info_prints_what_the_ta_says(program: Path, tmp_path: Path) -> None:
    info = tmp_path / "info"
    info.write_bytes(cbor2.dumps(INFO))
    env = {**os.environ, "FAKE_TEE_INFO": os.fspath(info)}
    ran = subprocess.run([program, "info"], env=env, capture_output=True, check=True)
    assert json.loads(ran.stdout) == INFO_JSON


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xa1",
        b"\x80",
        cbor2.dumps({1: 2}),
        cbor2.dumps({"a": -1}),
        cbor2.dumps({"a": 1.5}),
        cbor2.dumps({"a": [[[[[]]]]]}),
        cbor2.dumps({"a": 1}) + b"\0",
        cbor2.dumps(INFO)[:-1],
        b"\xbf\xff",
        b"\xa1\x61a\x9b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\xa1\x7b" + b"\xff" * 8,
        b"\xa1\x61a\x1c",
        b"\xa1\x61a\xf8\x16",
    ],
)
def test_info_that_makes_no_sense_is_an_error(program: Path, tmp_path: Path, said: bytes) -> None:
    info = tmp_path / "info"
    info.write_bytes(said)
    env = {**os.environ, "FAKE_TEE_INFO": os.fspath(info)}
    ran = subprocess.run([program, "info"], env=env, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, b""), ran.stderr
    assert b"makes no sense" in ran.stderr


def test_text_is_escaped(program: Path, tmp_path: Path) -> None:
    info = tmp_path / "info"
    info.write_bytes(cbor2.dumps({'a"\\\n': "\x01\x7fé", "b": [True, False, None, []], "c": {}}))
    env = {**os.environ, "FAKE_TEE_INFO": os.fspath(info)}
    ran = subprocess.run([program, "info"], env=env, capture_output=True, check=True)
    # Two bytes of UTF-8, neither of which is ASCII
    expected = {'a"\\\n': "\x01\x7f\ufffd\ufffd", "b": [True, False, None, []], "c": {}}
    assert json.loads(ran.stdout) == expected


def test_info_names_what_failed(program: Path) -> None:
    env = {**os.environ, "FAKE_TEE_SESSIONS": "0"}
    ran = subprocess.run([program, "info"], env=env, capture_output=True, check=False)
    assert ran.returncode == 1
    expected = b"OPEN_SESSION: TEE_ERROR_OUT_OF_MEMORY (0xffff000c) from TEE_ORIGIN_TEE"
    assert expected in ran.stderr


def test_usage(program: Path) -> None:
    ran = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("Usage: cml-ca")
    for words in ([], ["no-such"], ["info", "more"], ["--no-such"]):
        ran = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "--help" in ran.stderr


def test_every_request_is_in_the_help(program: Path) -> None:
    ran = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    known = re.findall(
        r'^\t\{ "(\w+)", \d', (HERE.parents[1] / "host/requests.c").read_text(), re.M
    )
    assert len(known) == 20
    for name in known:
        assert re.search(rf"^  {name} ", ran.stdout, re.M), name


def test_attach_opens_a_session_once(service: Service) -> None:
    line = service.connect()
    reply = line.good("attach one")
    assert reply["opened"] is True
    assert {key: reply[key] for key in INFO_JSON} == INFO_JSON
    line.close()
    again = service.connect().good("attach one")
    assert again["opened"] is False


@pytest.mark.parametrize(
    "size",
    [0, 1, 100, PUSH_MAX_BYTES - 72, PUSH_MAX_BYTES, PUSH_MAX_BYTES + 1, 3 * PUSH_MAX_BYTES + 7],
)
def test_files_arrive_whole_and_in_order(service: Service, size: int) -> None:
    data = HEADER + b"echo" + os.urandom(size)
    line = service.attached("one")
    photo, result = service.file("photo", data), service.share / "result"
    if len(data) > PUSH_MAX_BYTES:
        # The fake's result is the file, and a result has to fit into the buffer.
        digest = bytearray(32)
        for i, byte in enumerate(data):
            digest[i % 32] ^= byte
        assert line.good(f"model {photo}")["digest"] == digest.hex()
        return
    reply = line.good(f"infer {photo} {result}")
    assert result.read_bytes() == data
    assert reply["size"] == len(data)
    assert set(reply["ms"]) == {"read", "push", "finish", "result"}
    assert [p.name for p in service.share.iterdir() if p.name.startswith(".")] == []


def test_short_files_reach_the_ta_as_they_are(service: Service) -> None:
    line = service.attached("one")
    for size in (0, 1, 47):
        photo = service.file("photo", bytes(size))
        reply = line.ask(f"infer {photo} {service.share / 'result'}")
        assert reply["error"] == "HEADER_MALFORMED"
        assert reply["command"] == "INFER_BEGIN"
        assert reply["code"] == f"{ERROR_BASE + Status.HEADER_MALFORMED:#x}"
        assert reply["origin"] == "TEE_ORIGIN_TRUSTED_APP"


def test_keys(service: Service) -> None:
    line = service.attached("one")
    message = os.urandom(300)
    for slot in ("data", "model", "stored"):
        reply = line.good(f"key {slot} {service.file('k', message)}")
        assert reply["challenge"] == message[:16].hex()
    for size in (0, 299, 301, 300_000):
        assert line.error(f"key data {service.file('k', bytes(size))}") == "COSE_MALFORMED"
    assert line.error(f"key other {service.share / 'k'}") == "CA_REQUEST"


def test_keys_that_the_device_keeps(service: Service) -> None:
    line = service.attached("one")
    identity = b"0123456701234567".hex()
    assert line.good("keys")["keys"] == [identity]
    line.good(f"forget {identity}")
    assert line.error(f"forget {'00' * 16}") == "KEY_UNKNOWN"
    for wrong in ("00" * 15, "00" * 17, "zz" * 16, "0" * 31):
        assert line.error(f"forget {wrong}") == "CA_REQUEST"
    assert line.good("describe")["description"] == b"d".hex() * 75


@pytest.mark.parametrize(
    "size", [0, 1, PUSH_MAX_BYTES // 4 - 1, PUSH_MAX_BYTES // 4, PUSH_MAX_BYTES + 7, 3_000_000]
)
def test_a_model_is_encrypted_piece_by_piece(service: Service, size: int) -> None:
    line = service.attached("one")
    plain = os.urandom(size)
    answer = service.share / "sealed"
    reply = line.good(f"encrypt {service.file('m', HEADER + plain)} {answer}")
    turned = bytes(byte ^ 0xFF for byte in plain)
    assert answer.read_bytes() == HEADER + b"\x28" + bytes(39) + turned
    assert reply["size"] == 72 + 40 + size


def test_a_model_that_is_not_encrypted(service: Service) -> None:
    line = service.attached("one")
    answer = service.share / "sealed"
    for content, name in (
        (bytes(100), "ENCRYPT_ABSENT"),
        (HEADER[:-1], "HEADER_MALFORMED"),
        (b"", "HEADER_MALFORMED"),
        (bytes(16 << 20) + b"!", "CA_FILE"),
    ):
        assert line.error(f"encrypt {service.file('m', content)} {answer}") == name
        assert not answer.exists()
    assert line.error(f"encrypt {service.share / 'none'} {answer}") == "CA_FILE"
    assert line.error(f"encrypt {service.file('m', HEADER)} /etc/sealed") == "CA_PATH"


def test_evidence(service: Service) -> None:
    line = service.attached("one")
    for size in (8, 32, 64):
        nonce = os.urandom(size).hex()
        assert line.good(f"attest {nonce}")["token"] == nonce
    for nonce in ("00" * 7, "00" * 65, "0" * 17, "zz" * 8, "AB" * 8, "-1" * 8, "0x" * 8):
        assert line.error(f"attest {nonce}") == "CA_REQUEST"


def test_keys_of_the_ta(service: Service) -> None:
    line = service.attached("one")
    for number, name in ((1, "wrapping"), (2, "signing")):
        assert line.good(f"own-key {name}")["cose_key"] == f"{number:02x}" * 75
        assert line.good(f"csr {name}")["csr"] == f"{number:02x}" * 75
        assert line.good(f"rotate {name}")["generation"] == number << 32 | 7
    for request in ("own-key", "csr", "rotate"):
        assert line.error(f"{request} sealing") == "CA_REQUEST"


@pytest.mark.parametrize(
    ("code", "name"),
    [(ERROR_BASE + s, s.name) for s in Status if s not in (Status.OK, Status.NO_MEMORY)]
    + [(0xFFFF0006, "TEE_ERROR_BAD_PARAMETERS"), (0x12345678, "UNKNOWN")],
)
def test_every_error_has_its_name(service: Service, code: int, name: str) -> None:
    line = service.attached("one")
    photo = service.file("photo", HEADER + f"fail {code:x}".encode())
    reply = line.ask(f"infer {photo} {service.share / 'result'}")
    assert reply["error"] == name
    assert int(reply["code"], 16) == code
    assert reply["command"] == "INFER_FINISH"
    assert service.infer(line, "echo") == HEADER + b"echo"


def test_paths_lead_into_the_share_or_nowhere(service: Service, tmp_path: Path) -> None:
    line = service.attached("one")
    outside = tmp_path / "outside"
    outside.write_bytes(HEADER)
    (service.share / "link").symlink_to(outside)
    (service.share / "folder").mkdir()
    (service.share / "folder" / "file").write_bytes(HEADER)
    os.mkfifo(service.share / "fifo")
    good = service.file("good", HEADER + b"echo")
    share = service.share
    for path in (
        outside,
        "/etc/passwd",
        "good",
        f"{share}/../outside",
        f"{share}/folder/file",
        f"{share}/folder",
        f"{share}/.hidden",
        f"{share}/.",
        f"{share}/..",
        f"{share}/",
        f"{share}x/good",
        f"{share}/fifo",
    ):
        assert line.error(f"model {path}") == "CA_PATH", path
        assert line.error(f"key data {path}") == "CA_PATH", path
    for path in (f"{share}/link", f"{share}/missing"):
        assert line.error(f"model {path}") == "CA_FILE"
    for path in (outside, f"{share}/.hidden", f"{share}/folder/new", f"{share}/../new"):
        assert line.error(f"infer {good} {path}") == "CA_PATH", path
    assert outside.read_bytes() == HEADER
    # A link in the place of the result is replaced, not followed.
    line.good(f"infer {good} {share}/link")
    assert outside.read_bytes() == HEADER
    assert not (share / "link").is_symlink()


def test_requests_that_make_no_sense(service: Service) -> None:
    line = service.connect()
    for request in ("", " ", "nothing", "ATTACH one", "attach", "attach a b", "info now", "x " * 9):
        assert line.error(request) == "CA_REQUEST", request
    assert line.error("attach " + "n" * 64) == "CA_REQUEST"
    for request in ("info", "model /x", "infer /x /y", "key data /x"):
        assert line.error(request) == "CA_NO_SESSION"
    line.good("detach")
    line.good("attach " + "n" * 63)


def test_a_line_without_end_is_not_kept(service: Service) -> None:
    line = service.connect()
    line.send("x" * 2000)
    with pytest.raises((json.JSONDecodeError, ConnectionError)):
        line.receive()
    service.attached("one").good("info")


def test_several_requests_in_one_piece_are_answered_in_order(service: Service) -> None:
    line = service.connect()
    line.send("attach one\ninfo\nnothing\ndetach")
    answers = [line.receive() for _ in range(4)]
    assert [a["ok"] for a in answers] == [True, True, False, True]


def test_one_connection_at_a_time_holds_a_session(service: Service) -> None:
    first = service.attached("one")
    second = service.connect()
    second.send("attach one")
    # Other names are not in its way.
    service.attached("two")
    time.sleep(0.3)
    second._socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        second.receive()
    second.close()

    third = service.connect()
    third.send("attach one")
    first.close()
    assert third.receive()["opened"] is False


def test_sessions_run_at_the_same_time_each_on_its_core(service: Service) -> None:
    cores = os.cpu_count() or 1
    lines = [service.connect() for _ in range(3)]
    placed = [line.good(f"attach s{i}")["core"] for i, line in enumerate(lines)]
    assert placed == [i % cores for i in range(3)]
    allowed = os.sched_getaffinity(0)
    for line, core in zip(lines, placed, strict=True):
        if core in allowed:
            assert service.infer(line, "core") == f"{core} ".encode()

    began = time.monotonic()
    threads = [threading.Thread(target=service.infer, args=(line, "wait 1500")) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert time.monotonic() - began < 3 * 1.5


def test_idle_sessions_give_way_oldest_first(start: Callable[..., Service]) -> None:
    service = start(FAKE_TEE_SESSIONS="3")
    for name in ("a", "b", "c"):
        service.attached(name).good("detach")
    # `a` was used last now: `b` is the oldest.
    opened = {}
    for name in ("a", "d", "a", "c", "b"):
        line = service.connect()
        opened[name] = line.good(f"attach {name}")["opened"]
        line.good("detach")
    assert opened == {"a": False, "d": True, "c": False, "b": True}


def test_sessions_that_are_held_do_not_give_way(start: Callable[..., Service]) -> None:
    service = start(FAKE_TEE_SESSIONS="2")
    held = [service.attached("a"), service.attached("b")]
    reply = service.connect().ask("attach c")
    assert (reply["error"], reply["command"]) == ("TEE_ERROR_OUT_OF_MEMORY", "OPEN_SESSION")
    for line in held:
        line.good("info")
    held[0].good("detach")
    assert service.connect().good("attach c")["opened"] is True


def test_a_full_table_makes_idle_sessions_give_way(service: Service) -> None:
    """64 names, more than which the table does not hold (SESSIONS_MAX_COUNT)."""
    line = service.connect()
    for number in range(64):
        assert line.good(f"attach {number}")["opened"] is True
    line.good("detach")
    assert line.good("attach another")["opened"] is True
    # Only the session that was idle longest has gone.
    assert line.good("attach 1")["opened"] is False
    assert line.good("attach 0")["opened"] is True


def test_a_model_makes_idle_sessions_give_way(start: Callable[..., Service]) -> None:
    service = start(FAKE_TEE_MODELS="1")
    model = service.file("model", HEADER + bytes(1000))
    first, second = service.attached("a"), service.attached("b")
    first.good(f"model {model}")
    reply = second.ask(f"model {model}")
    assert (reply["error"], reply["command"]) == ("NO_MEMORY", "MODEL_BEGIN")
    first.good("detach")
    second.good(f"model {model}")
    assert first.good("attach a")["opened"] is True


def test_close(service: Service) -> None:
    first, second = service.attached("a"), service.connect()
    first.good("close a")
    assert first.error("info") == "CA_NO_SESSION"
    assert second.good("attach a")["opened"] is True
    second.good("detach")
    first.good("close a")
    first.good("close never-there")
    assert second.good("attach a")["opened"] is True


def test_a_panic_ends_the_session_and_no_other(service: Service) -> None:
    line, other = service.attached("a"), service.attached("b")
    photo = service.file("photo", HEADER + b"panic")
    reply = line.ask(f"infer {photo} {service.share / 'result'}")
    assert reply["error"] == "TEE_ERROR_TARGET_DEAD"
    assert "panicked" in reply["message"]
    assert line.error("info") == "CA_NO_SESSION"
    other.good("info")
    assert line.good("attach a")["opened"] is True
    assert service.infer(line, "echo") == HEADER + b"echo"


def test_a_client_that_hangs_up_lets_its_session_go(service: Service) -> None:
    line = service.attached("a")
    photo = service.file("photo", HEADER + b"wait 300")
    line.send(f"infer {photo} {service.share / 'result'}")
    line.close()
    assert service.connect().good("attach a")["opened"] is False


def test_many_connections_at_once(service: Service) -> None:
    failures: list[BaseException] = []

    def use(name: str) -> None:
        try:
            for _ in range(10):
                line = Line(service.socket)
                line.good(f"attach {name}")
                line.good("info")
                line.close()
        except BaseException as error:  # noqa: BLE001 - shown below, in the main thread
            failures.append(error)

    threads = [threading.Thread(target=use, args=(f"s{i % 3}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert failures == []


def test_call_carries_lines(service: Service, program: Path) -> None:
    ran = subprocess.run(
        [program, "call", f"--socket={service.socket}"],
        input=b"attach one\ninfo\nclose one\n",
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert [json.loads(line)["ok"] for line in ran.stdout.splitlines()] == [True] * 3


def test_call_without_a_service(program: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / ("long" * 50)):
        ran = subprocess.run(
            [program, "call", f"--socket={path}"], input=b"", capture_output=True, check=False
        )
        assert ran.returncode == 1
        assert os.fsencode(path) in ran.stderr


def test_a_second_service_does_not_take_the_socket(service: Service, program: Path) -> None:
    argv = [program, "serve", f"--socket={service.socket}", f"--share={service.share}"]
    ran = subprocess.run(argv, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert ran.returncode == 1
    assert b"in use" in ran.stderr
    service.attached("one").good("info")


def test_a_socket_that_was_left_behind_is_replaced(
    start: Callable[..., Service], program: Path
) -> None:
    first = start()
    first.process.kill()
    first.process.wait(TIMEOUT_S)
    assert first.socket.exists()
    argv = [program, "serve", f"--socket={first.socket}", f"--share={first.share}"]
    again = process.spawn(argv, env=first.env, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                Line(first.socket).good("attach one")
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    finally:
        first.process = again


# The vault -------------------------------------------------------------------------------------

# Of the fake TEE
VAULT_ID = b"01234567".hex()


def sealed_model(size: int = 1000) -> bytes:
    return HEADER + b"\x28" + os.urandom(39 + size)


def salt(model: bytes) -> str:
    return model[73:105].hex()


def stored(service: Service) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (service.vault / VAULT_ID).iterdir()}


@pytest.mark.parametrize("size", [0, 65536 - 112, PUSH_MAX_BYTES, 3 * PUSH_MAX_BYTES + 7])
def test_what_is_stored_has_a_file_and_what_was_has_none(service: Service, size: int) -> None:
    line = service.attached("one")
    assert line.good("models")["models"] == []
    older, newer = sealed_model(size), sealed_model(size)
    line.good(f"store {service.file('older', older)}")
    assert stored(service) == {salt(older): older}
    (service.vault / VAULT_ID / ".part").write_bytes(b"left behind")
    (service.vault / VAULT_ID / "anything").write_bytes(b"left behind")
    line.good(f"store {service.file('newer', newer)}")
    assert stored(service) == {salt(newer): newer}
    assert line.good("models") == {
        "ok": True,
        "vault": VAULT_ID,
        "models": [{"file": salt(newer)}],
    }
    line.good("remove name")
    assert stored(service) == {}
    assert line.error("activate name") == "MODEL_UNKNOWN"


def test_a_model_that_the_ta_does_not_store_leaves_nothing(start: Callable[..., Service]) -> None:
    service = start(FAKE_TEE_STORE=f"{ERROR_BASE + Status.MODEL_ROLLBACK:x}")
    line = service.attached("one")
    assert line.error(f"store {service.file('model', sealed_model())}") == "MODEL_ROLLBACK"
    assert stored(service) == {}
    assert line.error(f"store {service.file('short', sealed_model()[:100])}") == "CA_FILE"


def test_a_model_is_loaded_from_the_vault(service: Service) -> None:
    line = service.attached("one")
    model = sealed_model(PUSH_MAX_BYTES)
    sent = line.good(f"model {service.file('model', model)}")
    line.good(f"store {service.share / 'model'}")
    loaded = line.good(f"vault {salt(model)}")
    assert loaded["digest"] == sent["digest"]
    # A model of the share is one of the share again.
    assert line.good(f"model {service.share / 'model'}")["digest"] == sent["digest"]


def test_a_file_that_is_not_what_it_is_called_is_named(service: Service) -> None:
    line = service.attached("one")
    model = sealed_model()
    line.good(f"store {service.file('model', model)}")
    path = service.vault / VAULT_ID / salt(model)
    for content in (sealed_model(), model[:111], b""):
        path.write_bytes(content)
        assert line.error(f"vault {salt(model)}") == "CA_VAULT_FILE"
    path.unlink()
    assert line.error(f"vault {salt(model)}") == "CA_VAULT_FILE"
    path.symlink_to(service.share / "model")
    assert line.error(f"vault {salt(model)}") == "CA_VAULT_FILE"
    for name in ("../" + "a" * 61, "A" * 64, "a" * 63, "a" * 65):
        assert line.error(f"vault {name}") == "CA_REQUEST"
    assert line.error(f"remove {'n' * 33}") == "CA_REQUEST"


def test_a_vault_that_cannot_be_written_is_said(start: Callable[..., Service]) -> None:
    service = start()
    service.vault.write_bytes(b"no folder")
    line = service.attached("one")
    assert line.error(f"store {service.file('model', sealed_model())}") == "CA_FILE"
