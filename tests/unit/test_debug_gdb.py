# SPDX-License-Identifier: Apache-2.0
"""What stands around gdb: its machine interface, symbols of a kernel, one thread, launch files."""

import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from sandbox.cli import make_parser
from sandbox.commands import gdb as command
from sandbox.debug import gdb, rsp
from sandbox.debug.gdb import kernel, mi, one_thread, vscode
from sandbox.debug.gdb.target import NoSymbols, layout
from sandbox.errors import UserError
from sandbox.machine import sockets
from sandbox.machine.machine import Machine

# Lines --------------------------------------------------------------------------------------------

LINES: list[tuple[str, Any]] = [
    ('7^done,bkpt={number="1",addr="<MULTIPLE>",locations=[{number="1.1"},{number="1.2"}]}',
     {"bkpt": {"number": "1", "addr": "<MULTIPLE>",
               "locations": [{"number": "1.1"}, {"number": "1.2"}]}}),
    ('8^done,stack=[frame={level="0",func="f"},frame={level="1",func="g"}]',
     {"stack": [{"level": "0", "func": "f"}, {"level": "1", "func": "g"}]}),
    ('*stopped,reason="breakpoint-hit",bkptno="1",frame={args=[]},stopped-threads="all"',
     {"reason": "breakpoint-hit", "bkptno": "1", "frame": {"args": []}, "stopped-threads": "all"}),
    (r'9^error,msg="No symbol \"x\" in \\context.\n"', {"msg": 'No symbol "x" in \\context.\n'}),
    (r'9^done,value="\303\244 \t"', {"value": "ä \t"}),
    ("=library-unloaded", {}),
    ("10^done,list=[]", {"list": []}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "values"), LINES, ids=[line[:20] for line, _ in LINES])
def test_lines_of_the_machine_interface(line: str, values: Any) -> None:
    record = mi.parse(line + "\n")
    assert record is not None and record.values == values
    token = "".join(c for c in line[:2] if c.isdigit())
    assert record.token == (int(token) if token else None)


def test_streams_and_prompt() -> None:
    record = mi.parse(r'~"a line\n"')
    assert record is not None and (record.kind, record.text) == (mi.Kind.CONSOLE, "a line\n")
    assert mi.parse("(gdb) \n") is None


@pytest.mark.parametrize(
    "line", ["Traceback:", '~"open', "5^done,a", '5^done,a="x', "5^done,a={", '5^done,a="x"b="y"']
)
def test_lines_that_are_none(line: str) -> None:
    with pytest.raises(mi.NotMi):
        mi.parse(line)


# The kernel ---------------------------------------------------------------------------------------

LISTING = """\
ffff800080000000 T _text
ffff800080000100 t do_it
ffff800080000200 D table
ffff800080000300 t later
0000000000001000 A per_cpu
ffff80007b000000 t $x\t[optee]
ffff80007b000000 t optee_call\t[optee]
ffff80007b001000 d optee_data\t[optee]
nonsense
ffff80007b002000 t \x1b[31mred
"""


def test_an_elf_file_of_a_kernels_own_list() -> None:
    symbols = list(kernel.parse(LISTING))
    assert [s.name for s in symbols if s.module] == ["optee_call", "optee_data"]
    image = ELFFile(io.BytesIO(kernel.elf_file(symbols)))
    assert image["e_machine"] == "EM_AARCH64"
    table: Any = image.get_section_by_name(".symtab")
    found = {symbol.name: symbol for symbol in table.iter_symbols() if symbol.name}
    assert set(found) == {"_text", "do_it", "table", "later", "optee_call", "optee_data"}
    spans = []
    for name, symbol in found.items():
        section = image.get_section(symbol["st_shndx"])
        begin, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        spans.append((begin, end))
        assert begin <= symbol["st_value"] < end
        assert section.name.startswith(".data" if name in ("table", "optee_data") else ".text")
        assert ("optee" in section.name) == name.startswith("optee")
    ordered = sorted(set(spans))
    assert all(one[1] <= two[0] for one, two in zip(ordered, ordered[1:], strict=False))
    assert found["do_it"]["st_size"] == 0x100


# One thread ---------------------------------------------------------------------------------------


class FakeGdb(one_thread.Client):
    """Says what the test wants, and keeps what it is told."""

    def __init__(self, packets: list[bytes]) -> None:
        super().__init__()
        self._packets = packets
        self.told: list[bytes] = []

    def receive(self) -> bytes:
        if not self._packets:
            raise one_thread.Ended
        return self._packets.pop(0)

    def send(self, packet: bytes) -> None:
        self.told.append(packet)


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A stub with two cores; whatever resumes stops the second. It keeps what it is asked."""
    asked: list[bytes] = []
    stop = b"T05thread:p01.02;"
    answers = {b"qAttached": b"1", b"vCont;c": stop, b"vCont;s:1": stop}

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as client:
            buffer = b""
            while data := client.recv(4096):
                buffer += data
                while (start := buffer.find(b"$")) >= 0 and len(buffer) >= buffer.find(b"#") + 3:
                    packet = buffer[start + 1 : buffer.find(b"#")]
                    buffer = buffer[buffer.find(b"#") + 3 :]
                    asked.append(packet)
                    answer = answers.get(packet, b"OK")
                    # The sign that it was understood may come long before the answer.
                    client.sendall(b"+")
                    client.sendall(rsp.frame(answer))

    path = tmp_path / "gdb.sock"
    with sockets.listen(path) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield path, asked
        thread.join(10.0)


def test_gdb_sees_one_thread_that_is_the_core_that_stopped(
    stub: tuple[Path, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = stub
    client = FakeGdb(
        [b"qfThreadInfo", b"qsThreadInfo", b"Hg1", b"vCont;c", b"Hg1", b"vCont;s:1;c", b"D", b"k"]
    )
    reading, writing = os.pipe()
    with os.fdopen(reading) as silent, rsp.connect(path) as remote:
        monkeypatch.setattr("sys.stdin", silent)
        with pytest.raises(one_thread.Ended):
            one_thread.Proxy(client, remote).serve()
    os.close(writing)
    assert client.told[:4] == [b"m1", b"l", b"OK", b"T05thread:1;"]
    # The second core is meant from the stop on; `D` names the process; `k` is kept from QEMU.
    assert asked == [
        *(b"qAttached", b"Hg1", b"vCont;c", b"Hgp01.02"),
        *(b"Hgp01.02", b"vCont;s:p01.02;c", b"D;1"),
    ]


@pytest.mark.parametrize(("packet", "later"), [(b"vCont;s:1", True), (b"vCont;c", False)])
def test_a_wish_to_stop_that_a_step_has_swallowed_is_kept(
    stub: tuple[Path, list[bytes]], monkeypatch: pytest.MonkeyPatch, packet: bytes, later: bool
) -> None:
    path, _ = stub
    client = FakeGdb([packet])
    client.interrupt_later()
    reading, writing = os.pipe()
    with os.fdopen(reading) as silent, rsp.connect(path) as remote:
        monkeypatch.setattr("sys.stdin", silent)
        with pytest.raises(one_thread.Ended):
            one_thread.Proxy(client, remote).serve()
    os.close(writing)
    assert client.told == [b"T05thread:1;"]
    assert client.interrupts(wait=False) is later


def test_what_has_a_meaning_is_escaped() -> None:
    assert rsp.escaped(b"a#$*}b") == b"a}\x03}\x04}\x0a}]b"


# Targets and launch files -------------------------------------------------------------------------


def test_which_ta_is_meant(machines: Any) -> None:
    machine: Machine = machines()
    first, second = "1111aaaa-0000-4000-8000-000000000001", "1111bbbb-0000-4000-8000-000000000002"
    machine.folder.symbols.mkdir(parents=True)
    for name in (first, second):
        (machine.folder.symbols / f"{name}.elf").write_bytes(b"no ELF file")
    assert gdb.find(machine, gdb.Kind.TA, first.upper()).name == first
    assert gdb.find(machine, gdb.Kind.TA, "1111b").name == second
    with pytest.raises(NoSymbols, match="several TAs"):
        gdb.find(machine, gdb.Kind.TA, "1111")
    with pytest.raises(NoSymbols, match="no TA is called '../x'"):
        gdb.find(machine, gdb.Kind.TA, "../x")
    with pytest.raises(NoSymbols, match="no symbols of core"):
        gdb.find(machine, gdb.Kind.CORE)
    with pytest.raises(NoSymbols, match="is no ELF file"):
        layout(machine.folder.symbols / f"{first}.elf")


def test_what_is_ours_and_what_is_gdbs() -> None:
    def request(*words: str) -> command.Request:
        return command.request(make_parser(["gdb"]).parse_args(["gdb", *words]))

    wanted = request("--timeout", "3", "ta", "x", "--batch", "-ex", "break f", "--symbols", "e")
    assert (wanted.name, wanted.timeout_s, wanted.symbols) == ("x", 3.0, Path("e"))
    assert wanted.arguments == ("--batch", "-ex", "break f")
    wanted = request("core", "--timeout", "5", "--", "--timeout", "6")
    assert (wanted.timeout_s, wanted.arguments) == (5.0, ("--timeout", "6"))
    assert request("kernel", "--vscode").vscode == Path()
    with pytest.raises(UserError, match="which TA"):
        request("ta", "--batch")


def test_a_launch_file_with_comments_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    file = tmp_path / ".vscode" / "launch.json"
    text = '{ // mine\n"configurations": [] }\n'
    file.write_text(text)
    target = gdb.Target(gdb.Kind.CORE, tmp_path / "core.elf", "core")
    with pytest.raises(vscode.LaunchFileError, match="not plain JSON"):
        vscode.write(tmp_path, "default", target, None)
    assert file.read_text() == text and list(file.parent.iterdir()) == [file]
    file.write_text(json.dumps({"configurations": [], "inputs": [{"id": "a"}]}))
    vscode.write(tmp_path, "default", target, None)
    assert json.loads(file.read_text())["inputs"] == [{"id": "a"}]
