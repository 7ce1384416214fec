# SPDX-License-Identifier: Apache-2.0
"""Samples of a machine, and what its Linux tells about itself, without QEMU."""

import random
import struct
from pathlib import Path
from typing import cast

import pytest
from fake_stub import Core, FakeStub

from sandbox.debug import rsp
from sandbox.debug.profile import btf, linux
from sandbox.debug.profile.linux import Kernel, Mapping, Task, TaskReader
from sandbox.debug.profile.sampler import CODE_BYTES, Crossing, Place, Sample, Sampler, Samples
from sandbox.machine.guest import Completed, Guest, GuestUnreachable

WFI = bytes.fromhex("7f2003d5")
SECURE = 0  # SCR_EL3 without NS


def code(seed: int, size: int = 0x1000) -> bytes:
    """Something that is nowhere else."""
    return random.Random(seed).randbytes(size)


def sampled(stub: FakeStub, tmp_path: Path, tasks: TaskReader | None = None) -> Samples:
    with stub.listening(tmp_path / "gdb.sock") as path, rsp.connect(path) as remote:
        taken = Sampler(remote, tasks, rate_hz=1000.0).run(lambda _: False, lambda _: None)
        remote.call(b"D")
    return taken


def test_each_stop_gives_a_sample_of_each_core_and_lets_the_machine_run_on(
    tmp_path: Path,
) -> None:
    stub = FakeStub([Core(0x1000, 3), Core(0x2000, 0, SECURE), Core(0x3000, 1, SECURE)])
    seen: list[Sample] = []
    with stub.listening(tmp_path / "gdb.sock") as path, rsp.connect(path) as remote:
        sampler = Sampler(remote, None, rate_hz=1000.0)
        taken = sampler.run(lambda _: len(seen) < 12, seen.append)
        assert not stub.running
        remote.call(b"D")
    assert taken.stops == stub.stops == 4 and taken.cores == 3
    assert seen == list(taken.samples)
    assert [s.place for s in taken.samples[:3]] == [Place.FIRMWARE, Place.TA, Place.CORE]
    assert [s.core for s in taken.samples] == [0, 1, 2] * 4
    assert taken.running_s > 0 and taken.stopped_s > 0 and stub.detached


def test_a_stub_that_was_told_of_processes_names_its_cores_otherwise(tmp_path: Path) -> None:
    stub = FakeStub([Core(0x1000, 3), Core(0x2000, 3)], thread="p01.%02x")
    assert {sample.core for sample in sampled(stub, tmp_path).samples} == {0, 1}


@pytest.mark.parametrize(
    ("el", "scr", "place"),
    [
        (0, 1, Place.USER),
        (1, 1, Place.KERNEL),
        (2, 1, Place.HYPERVISOR),
        (3, 1, Place.FIRMWARE),
        (0, 0, Place.TA),
        (1, 0x234, Place.CORE),
        (3, 0, Place.FIRMWARE),
    ],
)
def test_the_place_is_the_exception_level_and_the_world(
    el: int, scr: int, place: Place, tmp_path: Path
) -> None:
    taken = sampled(FakeStub([Core(0x1000, el, scr)]), tmp_path)
    assert taken.samples[0].place is place


def test_a_core_that_waits_for_an_interrupt_is_idle(tmp_path: Path) -> None:
    waits = Core(0x1004, 1, memory={0x1000: WFI + bytes(CODE_BYTES)})
    works = Core(0x1004, 1, memory={0x1000: bytes(4) + WFI + bytes(CODE_BYTES)})
    assert [s.idle for s in sampled(FakeStub([waits, works]), tmp_path).samples] == [True, False]


def test_code_is_read_up_to_the_ends_of_its_mapping(tmp_path: Path) -> None:
    page = {0x1000: code(1)}
    cores = [Core(pc, 1, memory=page) for pc in (0x1000, 0x1004, 0x1FF0, 0x3000)]
    found = [sample.code for sample in sampled(FakeStub(cores), tmp_path).samples]
    assert found[0] == bytes(4) + page[0x1000][:60]
    assert found[1] == page[0x1000][:64]
    assert found[2] == page[0x1000][0xFEC:]
    assert found[3] == bytes(4)


def record(outer: int, address: int) -> bytes:
    return struct.pack("<QQ", outer, address)


@pytest.mark.parametrize(
    ("stack", "returns"),
    [
        (record(0x8020, 0x11) + bytes(16) + record(0, 0x22) + bytes(16), [0x11, 0x22]),
        # It ends at an address of zero, though there is an outer frame.
        (record(0x8010, 0) + record(0, 0x22), []),
        # A frame that is its own caller, and two that call each other.
        (record(0x8000, 0x11), [0x11]),
        (record(0x8010, 0x11) + record(0x8000, 0x22), [0x11, 0x22]),
        # Frame pointers that are none.
        (record(0x8009, 0x11) + bytes(16), [0x11]),
        (record(0xFFFF_FFFF_FFFF_FFF8, 0x11), [0x11]),
    ],
)
def test_a_chain_of_frames_ends_whatever_it_says(
    stack: bytes, returns: list[int], tmp_path: Path
) -> None:
    core = Core(0x1004, 1, fp=0x8000, memory={0x8000: stack.ljust(0x1000, b"\0")})
    taken = sampled(FakeStub([core]), tmp_path)
    assert [address for _, address in taken.samples[0].frames] == returns


def test_a_chain_is_followed_over_pages_and_cut_when_it_is_endless(tmp_path: Path) -> None:
    stack = b"".join(record(0x8FF0 + 16 * n + 16, n + 1) for n in range(500))
    memory = {0x8000: bytes(0xFF0) + stack.ljust(0x3000, b"\0")}
    taken = sampled(FakeStub([Core(0x1004, 1, fp=0x8FF0, memory=memory)]), tmp_path)
    returns = [address for _, address in taken.samples[0].frames]
    assert returns == list(range(1, 97))


def test_where_a_chain_leaves_its_stack_memory_and_code_are_kept(tmp_path: Path) -> None:
    inner = bytes(32) + record(0x4000, 0x22) + code(5)[:64]
    text = code(6)[:CODE_BYTES]
    # The stack ends where its page does, and the next page is not there.
    memory = {
        0xA000 - len(inner): inner,
        0x4000: record(0, 0x50004).ljust(0x1000, b"\0"),
        0x50000: text,
    }
    fp = 0xA000 - len(inner)
    inner = record(fp + 32, 0x11) + inner[16:]
    memory[fp] = inner
    (sample,) = sampled(FakeStub([Core(0x1004, 1, SECURE, fp=fp, memory=memory)]), tmp_path).samples
    assert [address for _, address in sample.frames] == [0x11, 0x22, 0x50004]
    assert sample.crossing == Crossing(1, inner[32:], text)


# --- Linux -----------------------------------------------------------------------------------

KALLSYMS = b"""\
ffff800080000000 T _text
ffff800080010000 t el1_interrupt
ffff800080020000 T schedule
ffff800081000000 D __entry_task
ffff80007a000000 t optee_open\t[optee]
"""
PER_CPU = 0x10_0000


def kcore(*parts: tuple[int, int, int]) -> bytes:
    headers = b"".join(
        struct.pack("<IIQQQQQQ", 1, 7, 0, virtual, physical, size, size, 0)
        for virtual, physical, size in parts
    )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(4, 183, 1, 0, 64, 0, 0, 64, 56, len(parts), 0, 0, 0),
    )
    return header + headers


@pytest.fixture
def kernel() -> Kernel:
    core = kcore(
        (0xFFFF800080000000, 0x4400_0000, 0x400_0000),
        (0xFFFF900000000000, (1 << 64) - 1, 0x1000),
        (0xFFF0000000000000, 0x4000_0000, 0x4000_0000),
    )
    return Kernel.parsed(KALLSYMS, core, {"tgid": 0x10, "comm": 0x20})


def test_functions_of_the_kernel_and_of_modules(kernel: Kernel) -> None:
    assert kernel.function(0xFFFF800080020000) == "schedule"
    assert kernel.function(0xFFFF80008001FFFF) == "el1_interrupt"
    assert kernel.function(0xFFFF80007A000010) == "optee_open [optee]"
    assert kernel.function(0xFFFF000000000000) is None
    assert kernel.function(0x400000) is None


def test_only_what_has_a_physical_address_has_one(kernel: Kernel) -> None:
    assert kernel.physical(0xFFF0000000001000) == 0x4000_1000
    assert kernel.physical(0xFFFF900000000000) is None
    assert kernel.physical(0) is None


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"words\n",
        b"zzzz T _text\n",
        b"0000000000000000 T _text\n0000000000000000 D __entry_task\n",
        b"ffff800080000000 T _text\n",
    ],
    ids=["empty", "short", "no-number", "hidden", "no-task"],
)
def test_a_kernel_that_does_not_tell_its_symbols(listing: bytes) -> None:
    with pytest.raises(linux.KernelError):
        Kernel.parsed(listing, kcore((0, 0, 1)), {})


@pytest.mark.parametrize("core", [b"", b"\x7fELF", kcore((1, 2, 3))[:-8]])
def test_a_kcore_that_is_cut(core: bytes) -> None:
    with pytest.raises(linux.KernelError):
        Kernel.parsed(KALLSYMS, core, {})


def test_the_task_of_a_core_is_read_by_physical_addresses(kernel: Kernel, tmp_path: Path) -> None:
    task = 0xFFF0000000002000
    pointer = 0x4400_0000 + 0x100_0000 + PER_CPU
    stub = FakeStub(
        [Core(0x400000, 0, tpidr=PER_CPU), Core(0x400000, 0, tpidr=PER_CPU + 0x1000)],
        physical={
            pointer: task.to_bytes(8, "little"),
            0x4000_2000: bytes(0x10)
            + (77).to_bytes(4, "little")
            + bytes(12)
            + b"na\x1b[1mme\0x".ljust(16),
        },
    )
    taken = sampled(stub, tmp_path, TaskReader(kernel))
    # The name is the guest's, and cleaned; where there is none, nothing is made up.
    assert [s.task for s in taken.samples] == [Task(77, "name"), None]
    assert not stub.by_physical


class Answers:
    """A guest whose files say these things."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.hangs = False

    def run(self, argv: list[str], **_: object) -> Completed:
        self.asked.append(argv[1].removeprefix("if="))
        if self.hangs:
            raise GuestUnreachable("no answer")
        return Completed(tuple(argv), 0, self.files[self.asked[-1]], b"", None)


def test_a_kernel_is_asked_once_unless_its_modules_change(tmp_path: Path) -> None:
    image, kept = tmp_path / "Image", tmp_path / "kept"
    image.write_bytes(btf_section())
    kept.mkdir()
    core = kcore((0xFFF0000000000000, 0x4000_0000, 0x4000_0000))
    files = {"/proc/modules": b"tee 1\n", "/proc/kcore": core, "/proc/kallsyms": KALLSYMS}
    guest = Answers(files)
    for modules, asked in ((b"tee 1\n", 3), (b"tee 1\n", 1), (b"9p 1\n", 3)):
        guest.asked.clear()
        files["/proc/modules"] = modules
        kernel = Kernel.of(cast(Guest, guest), image, kept)
        assert len(guest.asked) == asked
        assert kernel.function(0xFFFF800080020000) == "schedule"
        assert (kernel.members["tgid"], kernel.members["comm"]) == (0x10, 0x20)
    guest.hangs = True
    assert Kernel.of(cast(Guest, guest), image, kept).function(0xFFFF800080020000) == "schedule"
    with pytest.raises(GuestUnreachable):
        Kernel.of(cast(Guest, guest), image, tmp_path)
    image.write_bytes(b"no types")
    with pytest.raises(linux.KernelError, match="BTF"):
        Kernel.of(cast(Guest, guest), image, kept)
    assert {path.name for path in kept.iterdir()} == {
        f"kernel.{part}" for part in ("modules", "kcore", "kallsyms")
    }


MAPS = b"""\
00400000-005cc000 r-xp 00000000 00:02 31                                 /usr/bin/busybox
005d8000-005e0000 r--p 001d8000 00:02 31                                 /usr/bin/busybox
ffff8000-ffff9000 r-xp 00002000 00:02 32 /with space/lib
ffffb50c9000-ffffb50cb000 r-xp 00000000 00:00 0                          [vdso]
ffffb50cc000-ffffb50cd000 rwxp 00000000 00:00 0
not a line of it
"""


def test_executable_mappings_of_a_process() -> None:
    assert list(linux.executable(MAPS)) == [
        Mapping(0x400000, 0x5CC000, 0, "/usr/bin/busybox"),
        Mapping(0xFFFF8000, 0xFFFF9000, 0x2000, "/with space/lib"),
        Mapping(0xFFFFB50C9000, 0xFFFFB50CB000, 0, "[vdso]"),
        Mapping(0xFFFFB50CC000, 0xFFFFB50CD000, 0, ""),
    ]


def btf_section() -> bytes:
    strings = b"\0int\0task_struct\0comm\0tgid\0other\0"
    at = {name: strings.index(b"\0" + name + b"\0") + 1 for name in strings.split(b"\0") if name}
    members = struct.pack("<III", at[b"comm"], 1, 0x20 * 8) + struct.pack(
        "<III", at[b"tgid"], 1, 8 << 24 | 0x10 * 8
    )
    types = struct.pack("<IIII", at[b"int"], 1 << 24, 4, 0)
    types += struct.pack("<III", at[b"other"], 4 << 24 | 1, 8) + struct.pack("<III", 0, 1, 0)
    types += struct.pack("<III", at[b"task_struct"], 1 << 31 | 4 << 24 | 2, 64) + members
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return b"kernel" * 100 + header + types + strings


def test_offsets_of_members_from_a_kernel_image() -> None:
    found = btf.offsets(btf_section(), "task_struct", ("tgid", "comm"))
    assert found == {"tgid": 0x10, "comm": 0x20}


@pytest.mark.parametrize(
    "image",
    [b"", btf_section()[:-60], btf_section()[:650], btf_section().replace(b"tgid", b"dgit")],
)
def test_an_image_without_the_types(image: bytes) -> None:
    with pytest.raises(ValueError):
        btf.offsets(image, "task_struct", ("tgid", "comm"))
