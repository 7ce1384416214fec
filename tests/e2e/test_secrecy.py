# SPDX-License-Identifier: Apache-2.0
"""Known secrets are looked for where the normal world can look, and not found.

The search itself is tested by things that must be there: ciphertext, and a string that a guest
process holds.
"""

import mmap
import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from real_stack import MODEL, ROOT, Client

from sandbox.machine import qmp
from sandbox.machine.deadline import Deadline
from sandbox.machine.flash import hardware_unique_key
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.owner import sealed_file
from sandbox.owner.results import open_result

# Where QEMU's virt board has its RAM; all of it is the normal world's.
RAM_BASE = 0x40000000


PAGE_BYTES = 4096


class Memory:
    """All RAM of the normal world, without pages of zeros that have only such pages beside them. So
    what begins or ends on an empty page is there, and nothing that is looked for is all zeros."""

    def __init__(self, whole: mmap.mmap) -> None:
        pages = np.frombuffer(whole, np.uint64).reshape(-1, PAGE_BYTES // 8)
        used = pages.any(axis=1)
        beside = used.copy()
        beside[1:] |= used[:-1]
        beside[:-1] |= used[1:]
        self._kept = np.flatnonzero(beside)
        self._data = pages[self._kept].tobytes()

    def find(self, pattern: bytes) -> int:
        """Its address, or -1."""
        at = self._data.find(pattern)
        if at < 0:
            return at
        return RAM_BASE + int(self._kept[at // PAGE_BYTES]) * PAGE_BYTES + at % PAGE_BYTES


def normal_world_memory(machine: Machine, memory_mib: int, path: Path) -> Memory:
    with qmp.connect(machine.folder.qmp_socket, Deadline(120.0)) as control:
        control.execute("pmemsave", val=RAM_BASE, size=memory_mib << 20, filename=os.fspath(path))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        path.unlink()
        assert len(whole) == memory_mib << 20
        return Memory(whole)


def test_memory_without_its_empty_pages(tmp_path: Path) -> None:
    pages = [bytes(PAGE_BYTES)] * 9
    pages[2] = bytes(PAGE_BYTES - 4) + b"abcd"
    pages[7] = b"efgh" + bytes(PAGE_BYTES - 4)
    path = tmp_path / "memory"
    path.write_bytes(b"".join(pages))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        memory = Memory(whole)
    assert memory.find(b"bcd" + bytes(8)) == RAM_BASE + 3 * PAGE_BYTES - 3
    assert memory.find(bytes(8) + b"ef") == RAM_BASE + 7 * PAGE_BYTES - 8
    assert memory.find(b"gh" + bytes(8)) == RAM_BASE + 7 * PAGE_BYTES + 2
    assert memory.find(b"dcba") == -1


def pieces(data: bytes, count: int, size: int = 32) -> list[bytes]:
    """Samples spread over `data`, none of them uniform."""
    step = max(1, (len(data) - size) // count)
    found = [data[at : at + size] for at in range(0, len(data) - size, step)]
    return [piece for piece in found if len(set(piece)) > 8][:count]


def test_no_secret_is_in_the_normal_world(
    client: Client, machine: Machine, guest: Guest, tmp_path: Path
) -> None:
    photo_path = ROOT / "fixtures/photos/astronaut.jpg"
    photo = photo_path.read_bytes()
    sealed = client.seal(photo)
    # The sealed files stay in the share this time: they are what the search has to find.
    request = client.share.put(sealed.data, "photo")
    answer = client.share.new_path("result")
    client.session.infer(request, answer)
    sealed_result = answer.read_bytes()
    result = open_result(client.data_key, sealed, sealed_result, client.signer)
    assert result.detections

    model = MODEL.read_bytes()
    with Image.open(photo_path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    box = result.detections[0].box
    secrets = {
        "hardware unique key": [hardware_unique_key(machine.folder.flash)],
        "data key": [client.data_key],
        "model key": [client.model_key],
        "result key": [sealed_file.derive(client.data_key, b"cml-result-v1", 32)],
        "weights": pieces(model, 40),
        "photo, as JPEG": pieces(photo, 40),
        "photo, as pixels": pieces(pixels[200:220].tobytes(), 20),
        "boxes": [
            b"\x84" + b"".join(b"\xfa" + struct.pack(">f", edge) for edge in box),
            struct.pack("<4f", *box),
            struct.pack("<4d", *box),
        ],
    }
    assert all(found for found in secrets.values())

    marker = os.urandom(24).hex()
    # A guest process that holds a known string while memory is read.
    script = f"kept={marker}; echo here; read line; echo $kept"
    with guest.lines(["sh", "-c", script]) as holder:
        assert holder.receive(30.0) == "here"
        record = machine.status().record
        assert record is not None
        memory = normal_world_memory(machine, record.memory_mib, tmp_path / "memory")
        holder.send("go")
        assert holder.receive(30.0) == marker

    # Of what passed through, other programs have got some pages since.
    expected = {
        "a string in a process": [marker.encode()],
        "the sealed photo": pieces(sealed.stream, 100),
        "the sealed result": pieces(sealed_result, 20),
    }
    for what, patterns in expected.items():
        assert any(memory.find(pattern) >= 0 for pattern in patterns), (
            f"the search does not even find {what}"
        )
    for what, patterns in secrets.items():
        for pattern in patterns:
            at = memory.find(pattern)
            assert at < 0, f"{what} is in the normal world's memory at {at:#x}"

    files = [path for path in machine.folder.path.rglob("*") if path.is_file()]
    logs = [path for path in files if path.suffix == ".log"]
    shared = [path for path in files if machine.share in path.parents]
    stored = [path for path in files if machine.folder.storage in path.parents]
    assert len(logs) >= 2 and shared and stored
    for path in {*logs, *shared, *stored}:
        data = path.read_bytes()
        for what, patterns in secrets.items():
            for pattern in patterns:
                assert pattern not in data, f"{what} is in {path}"
                assert pattern.hex().encode() not in data.lower(), f"{what} is in {path}, as hex"
    for word in {found.label for found in result.detections}:
        for log in logs:
            assert word.encode() not in log.read_bytes(), f"label {word} is in {log}"
    client.share.drop(request)
    client.share.drop(answer)


def test_the_size_of_a_result_tells_nothing(client: Client) -> None:
    """Ten boxes or more, one, none: the normal world sees the same size."""
    photo = (ROOT / "fixtures/photos/astronaut.jpg").read_bytes()
    counts, sizes = set(), set()
    for threshold in (0.01, 0.6, 1.0):
        sealed = client.seal(photo, score_threshold=threshold)
        answer = client.infer_bytes(sealed.data)
        counts.add(len(open_result(client.data_key, sealed, answer, client.signer).detections))
        sizes.add(len(answer))
    assert len(counts) == 3
    assert len(sizes) == 1


def test_no_key_is_on_a_command_line(guest: Guest, client: Client) -> None:
    command_lines = guest.run(
        ["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"], timeout_s=20.0
    ).stdout
    assert b"cml-ca" in command_lines
    for key in (client.data_key, client.model_key):
        assert key not in command_lines
        assert key.hex().encode() not in command_lines.lower()
