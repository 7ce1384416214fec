# SPDX-License-Identifier: Apache-2.0
"""Stands in for QEMU: same arguments, same sockets, a recorded boot, an agent (fake_agent.py).

It understands as much of the command line as it needs, and takes the agent's token from the same
cpio archive that a real guest would unpack. FAKE_MODE says how it behaves:

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
    other-token     good, but its agent has a token of its own

FAKE_LINE_S is the pause between two lines of a console.
"""

import functools
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import fake_agent

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


def answer(secure: Console, argv: list[str]) -> tuple[int, bytes, bytes] | None:
    """What the guest's programs say; None: the host's own is run."""
    if argv == ["cml-ca", "info"]:
        if MODE == "ta-panic":
            secure.write(TA_PANIC)
            time.sleep(60)
        if MODE == "no-client":
            return 127, b"", b"cml-ca: not found\n"
        if MODE == "no-ta":
            return 1, b"", b"TEEC_OpenSession: TEEC_ERROR_ITEM_NOT_FOUND\n"
        return 0, json.dumps(INFO).encode() + b"\n", b""
    if "serve --socket" in " ".join(argv):
        return 0, b"", b""
    return None


def serve_qmp(server: socket.socket, port: int, ssh: int) -> None:
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
                        f"  TCP[HOST_FORWARD]  11       127.0.0.1 {ssh}   10.0.2.15    22\r\n"
                        f"  TCP[HOST_FORWARD]  12       127.0.0.1 {port}   10.0.2.15  4050\r\n"
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
    ssh = socket.create_server(("127.0.0.1", 0))  # greets nobody
    control = socket.socket(fileno=int(chardevs["qmp"]["fd"]))
    ports = (listener.getsockname()[1], ssh.getsockname()[1])
    threading.Thread(target=serve_qmp, args=(control, *ports), daemon=True).start()
    threading.Thread(target=replay, args=(consoles,), daemon=True).start()
    if MODE not in (*RECORDINGS, "mute"):
        token = files["etc/sandbox-agent/token"]
        if MODE == "other-token":
            token = os.urandom(len(token))
        fake_agent.serve(listener, token, functools.partial(answer, consoles["secure"]))
    threading.Event().wait()


if __name__ == "__main__":
    main()
