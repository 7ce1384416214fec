# SPDX-License-Identifier: Apache-2.0
"""Stands in for QEMU: same arguments, same sockets, a recorded boot, a real SSH server.

It understands as much of the command line as it needs, and takes the SSH keys from the same cpio
archive that a real guest would unpack. FAKE_MODE says how it behaves:

    good            replays a good boot and then serves until it is ended
    panic           replays a boot that ends in a kernel panic
    hang            replays a boot that stops (TF-A for 8 cores, started with 10)
    tee-panic       replays a boot in which OP-TEE panics (no room for 32 threads' stacks)
    exit            complains and exits, as QEMU does about a bad argument
    dies            exits in the middle of a good boot, after it was asked for the port
    ta-panic        a good boot, but the TA panics when it is asked
    no-ta           `cml-ca info` fails
    no-client       the image has no cml-ca
    event-failed    the guest's init reports that it cannot mount the share
    mute            never answers on its control socket
    stubborn        good, but ignores `quit` and SIGTERM
    other-host-key  good, but its SSH server has a key of its own

FAKE_LINE_S is the pause between two lines of a console.
"""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

CONSOLES = Path(__file__).parents[2] / "fixtures" / "consoles"
MODE = os.environ["FAKE_MODE"]
LINE_S = float(os.environ.get("FAKE_LINE_S", "0.002"))
RECORDINGS = {
    "panic": "boot.bad-kernel-panic",
    "hang": "boot.bad-cores-offline",
    "tee-panic": "boot.bad-tee-panic",
}
TA_PANIC = b"E/TC:? 0 TA panicked with code 0xffff0006\r\n"
PORT_TOLD = threading.Event()
INFO = {"ok": True, "abi": 1, "version": "0.1.0", "cpu": ["dotprod", "i8mm"]}


class Console:
    """A chardev: a listening socket that it was handed, and a log file."""

    def __init__(self, options: dict[str, str]) -> None:
        self.server = socket.socket(fileno=int(options["fd"]))
        self.log = open(options["logfile"], "wb", buffering=0)
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self.server.accept()
            self.clients.append(client)
            threading.Thread(target=self._echo, args=(client,), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        # What is typed comes back, as from a terminal.
        while data := client.recv(4096):
            self.write(data)

    def write(self, data: bytes) -> None:
        self.log.write(data)
        for client in self.clients:
            client.sendall(data)


def options(value: str) -> dict[str, str]:
    parts = re.split(r"(?<!,),(?!,)", value)
    return dict(part.replace(",,", ",").partition("=")[::2] for part in parts)


def parse(argv: list[str]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for flag, value in zip(argv, argv[1:], strict=False):
        if flag in ("-chardev", "-device", "-netdev"):
            found.setdefault(flag, []).append(options(value))
    return found


def cpio_files(data: bytes) -> dict[str, bytes]:
    files, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        at += (110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return files
        files[name] = data[at : at + size]
        at += (size + 3) & ~3


def replay(consoles: dict[str, Console]) -> None:
    name = RECORDINGS.get(MODE, "boot.good")
    secure = (CONSOLES / f"{name}.secure.log").read_bytes().splitlines(keepends=True)
    normal = (CONSOLES / f"{name}.normal.log").read_bytes().splitlines(keepends=True)
    for line in secure:
        consoles["secure"].write(line)
        time.sleep(LINE_S)
    for number, line in enumerate(normal):
        if MODE == "dies" and number == len(normal) // 2:
            PORT_TOLD.wait()
            time.sleep(0.1)
            os._exit(7)
        if MODE == "event-failed" and b"@sandbox share" in line:
            line = b"@sandbox failed share: mount: mounting share failed: No such device\r\n"
        consoles["normal"].write(line)
        time.sleep(LINE_S)


def serve_ssh(listener: socket.socket, files: dict[str, bytes], secure: Console) -> None:
    # Imported late: modes without SSH start faster.
    import paramiko
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from paramiko.common import MSG_CHANNEL_REQUEST

    stored = files["etc/dropbear/dropbear_ed25519_host_key"]
    assert stored[:15] == b"\0\0\0\x0bssh-ed25519" and len(stored) == 15 + 4 + 64
    private = Ed25519PrivateKey.from_private_bytes(stored[19:51])
    assert private.public_key().public_bytes_raw() == stored[51:]
    if MODE == "other-host-key":
        private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    key = paramiko.Ed25519Key.from_private_key(io.StringIO(pem.decode()))
    allowed = files["root/.ssh/authorized_keys"].split()[1].decode()

    class Server(paramiko.ServerInterface):
        def check_auth_publickey(self, username: str, offered: paramiko.PKey) -> int:
            good = username == "root" and offered.get_base64() == allowed
            return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

        def get_allowed_auths(self, _username: str) -> str:
            return "publickey"

        def check_channel_request(self, _kind: str, _chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED

        def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
            asked.append((channel, command))
            return True

    asked: list[tuple[paramiko.Channel, bytes]] = []

    def on_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
        channel._handle_request(message)
        # Only now is the request acknowledged: a command must not be over before.
        while asked:
            threading.Thread(target=execute, args=(*asked.pop(), secure), daemon=True).start()

    class Transport(paramiko.Transport):
        _channel_handler_table = {
            **paramiko.Transport._channel_handler_table,
            MSG_CHANNEL_REQUEST: on_request,
        }

    while True:
        client, _ = listener.accept()
        transport = Transport(client)
        transport.add_server_key(key)
        try:
            transport.start_server(server=Server())
        except (paramiko.SSHException, EOFError, OSError):
            continue


def execute(channel: Any, command: bytes, secure: Console) -> None:
    if command == b"cml-ca info":
        status = 0
        if MODE == "ta-panic":
            secure.write(TA_PANIC)
            time.sleep(60)
        elif MODE == "no-client":
            channel.sendall_stderr(b"sh: cml-ca: not found\n")
            status = 127
        elif MODE == "no-ta":
            channel.sendall_stderr(b"TEEC_OpenSession: TEEC_ERROR_ITEM_NOT_FOUND\n")
            status = 1
        else:
            channel.sendall(json.dumps(INFO).encode() + b"\n")
    elif b"serve --socket" in command:
        status = 0
    else:
        # A real shell, so that quoting, bytes and exit statuses are tested for what they are.
        child = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        pumps = [
            threading.Thread(target=pump, args=(child.stdout, channel.sendall)),
            threading.Thread(target=pump, args=(child.stderr, channel.sendall_stderr)),
        ]
        threading.Thread(target=feed, args=(channel, child.stdin), daemon=True).start()
        for thread in pumps:
            thread.start()
        status = child.wait()
        for thread in pumps:
            thread.join()
    channel.send_exit_status(status)
    channel.close()


def pump(source: IO[bytes], sink: Callable[[bytes], object]) -> None:
    while data := os.read(source.fileno(), 65536):
        sink(data)


def feed(channel: Any, sink: IO[bytes]) -> None:
    try:
        while data := channel.recv(65536):
            sink.write(data)
            sink.flush()
        sink.close()
    except OSError:
        pass


def serve_qmp(server: socket.socket, port: int) -> None:
    while True:
        client, _ = server.accept()
        if MODE == "mute":
            continue
        with client, client.makefile("rwb", buffering=0) as stream:
            stream.write(b'{"QMP": {"version": {}, "capabilities": []}}\n')
            while line := stream.readline():
                command = json.loads(line)["execute"]
                # QEMU sends events whenever it likes, also before a reply.
                stream.write(b'{"event": "RTC_CHANGE", "data": {}}\n')
                reply: object = {}
                if command == "human-monitor-command":
                    reply = (
                        "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port\r\n"
                        f"  TCP[HOST_FORWARD]  11       127.0.0.1 {port}   10.0.2.15    22\r\n"
                    )
                elif command == "query-status":
                    reply = {"status": "running"}
                stream.write(json.dumps({"return": reply}).encode() + b"\n")
                if command == "human-monitor-command":
                    PORT_TOLD.set()
                if command == "quit" and MODE != "stubborn":
                    os._exit(0)


def main() -> None:
    arguments = parse(sys.argv[1:])
    if MODE == "exit":
        print("qemu-system-aarch64: -machine virt: unsupported machine type", file=sys.stderr)
        sys.exit(1)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    chardevs = {entry["id"]: entry for entry in arguments["-chardev"]}
    consoles = {world: Console(chardevs[world]) for world in ("normal", "secure")}
    access = [d for d in arguments["-device"] if d.get("file", "").endswith("access.cpio")]
    files = cpio_files(Path(access[0]["file"]).read_bytes())
    listener = socket.create_server(("127.0.0.1", 0))
    control = socket.socket(fileno=int(chardevs["qmp"]["fd"]))
    port = listener.getsockname()[1]
    threading.Thread(target=serve_qmp, args=(control, port), daemon=True).start()
    threading.Thread(target=replay, args=(consoles,), daemon=True).start()
    if MODE not in (*RECORDINGS, "mute"):
        serve_ssh(listener, files, consoles["secure"])
    threading.Event().wait()


if __name__ == "__main__":
    main()
