# SPDX-License-Identifier: Apache-2.0
"""Profiles: from a stub's registers to names, and from names to pictures, without QEMU."""

import json
import random
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_elf
from fake_stub import Core, FakeStub

from sandbox.commands import profile as command
from sandbox.commands.profile import Format
from sandbox.debug import rsp
from sandbox.debug.profile import btf, exports, flamegraph, linux
from sandbox.debug.profile.elf import Elf
from sandbox.debug.profile.linux import Kernel, Mapping, Task, TaskReader
from sandbox.debug.profile.resolve import Resolver
from sandbox.debug.profile.sampler import CODE_BYTES, Crossing, Place, Sample, Sampler, Samples
from sandbox.debug.profile.stacks import Frame, Kind, Profile, Stack
from sandbox.errors import UserError

WFI = bytes.fromhex("7f2003d5")
SECURE = 0  # SCR_EL3 without NS
SVG = "{http://www.w3.org/2000/svg}"


def code(seed: int, size: int = 0x1000) -> bytes:
    """Something that is nowhere else."""
    return random.Random(seed).randbytes(size)


def sampled(stub: FakeStub, tmp_path: Path, tasks: TaskReader | None = None) -> Samples:
    with stub.listening(tmp_path / "gdb.sock") as path, rsp.connect(path) as remote:
        taken = Sampler(remote, tasks, rate_hz=1000.0).run(lambda _: False, lambda _: None)
        remote.call(b"D")
    return taken


# --- the sampler -----------------------------------------------------------------------------


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


# --- names -----------------------------------------------------------------------------------

TA = "12345678-1234-1234-1234-123456789abc"
# `thread_scall_handler` begins with stp x29, x30, [sp, #-32]!
PUSH_32 = (0xA9BE7BFD).to_bytes(4, "little")
CORE_CODE = code(1)[:0x200] + PUSH_32 + code(2)[: 0x1000 - 0x204]
CORE_ELF = Elf(
    tiny_elf.make(
        CORE_CODE,
        {"syscall": (0x100, 0x100), "thread_scall_handler": (0x200, 0x100), "el0_svc": (0x300, 0)},
        0xE100000,
    )
)
TA_CODE = code(3)
TA_ELF = Elf(
    tiny_elf.make(TA_CODE, {"entry": (0, 0x100), "work": (0x100, 0x80), "svc": (0x200, 0x20)})
)
OTHER_ELF = Elf(tiny_elf.make(code(4) + TA_CODE[:0x200], {"other": (0, 0x1200)}))
TA_BASE, CORE_BASE = 0x4012_3000, 0x1_5000_0000


def resolver(**changes: object) -> Resolver:
    parts: dict[str, object] = {
        "images": {TA: TA_ELF, "core": CORE_ELF},
        "kernel": None,
        "processes": {},
        "programs": {},
        "titles": {},
    }
    return Resolver(**{**parts, **changes})  # type: ignore[arg-type]


def in_ta(offset: int, **changes: object) -> Sample:
    around = bytes(4) + TA_CODE[offset : offset + CODE_BYTES - 4]
    sample = Sample(0.0, 0, Place.TA, TA_BASE + offset, 0, around, asid=5)
    return replace(sample, **changes)  # type: ignore[arg-type]


def in_core(offset: int, **changes: object) -> Sample:
    around = bytes(4) + CORE_CODE[offset : offset + CODE_BYTES - 4]
    pc = 0xE100000 + CORE_BASE + offset
    return replace(Sample(0.0, 0, Place.CORE, pc, 0, around), **changes)  # type: ignore[arg-type]


def names(stack: Stack) -> list[str]:
    return [frame.name for frame in stack.frames]


def test_a_ta_is_found_by_its_code_wherever_it_is_loaded() -> None:
    sample = in_ta(0x140, frames=((0x8000, TA_BASE + 0x40),))
    (stack,) = resolver(titles={TA: "TA mine"}).stacks([sample])
    assert names(stack) == ["secure world", "TA mine", "entry", "work"]
    assert stack.place is Kind.TA


def test_code_that_nobody_knows_gets_no_name() -> None:
    alien = replace(in_ta(0x140), code=bytes(4) + code(99)[:60])
    unread = replace(in_ta(0x140), code=b"")
    for stack in resolver().stacks([alien, unread]):
        assert names(stack) == ["secure world", "TA [unknown]", "[unknown]"]


def test_code_that_two_tas_share_belongs_to_the_one_that_the_space_holds() -> None:
    images = {"other": OTHER_ELF, TA: TA_ELF, "core": CORE_ELF}
    shared, own = in_ta(0x100), in_ta(0x300)
    assert len([*OTHER_ELF.bases(shared.pc, shared.code[4:])]) == 1
    stacks = resolver(images=images).stacks([shared, own])
    assert [names(stack)[1] for stack in stacks] == [f"TA {TA}"] * 2


def test_a_caller_in_the_link_register_only_is_not_lost() -> None:
    # `work` has no frame: the chain begins with the caller of its caller.
    frames = ((0x8000, TA_BASE + 0x210),)
    leaf = in_ta(0x140, lr=TA_BASE + 0x20, frames=frames)
    assert names(resolver().stacks([leaf])[0])[2:] == ["svc", "entry", "work"]
    # `work` has a frame, and called something since: its link register points into itself.
    called = in_ta(0x140, lr=TA_BASE + 0x120, frames=frames)
    assert names(resolver().stacks([called])[0])[2:] == ["svc", "work"]
    # It has a frame, and called nothing yet: the register says what the frame says.
    fresh = in_ta(0x140, lr=TA_BASE + 0x210, frames=frames)
    assert names(resolver().stacks([fresh])[0])[2:] == ["svc", "work"]
    # The register holds anything: it is no address of code.
    other = in_ta(0x140, lr=0x1234, frames=frames)
    assert names(resolver().stacks([other])[0])[2:] == ["svc", "work"]


def test_a_system_call_stands_on_the_stack_of_the_ta_that_made_it() -> None:
    base = 0xE100000 + CORE_BASE
    saved = [TA_BASE + 0x204, *[0] * 16, TA_BASE + 0x150, 0]
    memory = bytes(32) + struct.pack("<19Q", *saved) + bytes(100)
    frames = (
        (0x9000, base + 0x210),  # returns into thread_scall_handler
        (0x9100, base + 0x304),  # returns into el0_svc
        (0x8000, TA_BASE + 0x40),  # the TA's own
    )
    call = in_core(0x140, frames=frames, crossing=Crossing(1, memory, b""), asid=4)
    running = in_ta(0x140, core=1)
    stack = resolver().stacks([running, call])[1]
    assert names(stack)[2:] == [
        "entry",
        "work",
        "svc",
        "el0_svc",
        "thread_scall_handler",
        "syscall",
    ]
    kinds = [frame.kind for frame in stack.frames]
    assert kinds == [Kind.WORLD, *[Kind.TA] * 4, *[Kind.CORE] * 3]
    # Alone it tells whose it is too, by the code that it returns to.
    told = replace(call, crossing=Crossing(1, memory, TA_CODE[0x3C:0x7C]))
    (stack,) = resolver().stacks([told])
    assert names(stack)[1:4] == [f"TA {TA}", "entry", "work"]
    # Of an address space that no TA was seen in, and for none at all.
    for asid in (0, 8):
        stack = resolver().stacks([running, replace(call, asid=asid)])[1]
        assert names(stack)[1:] == ["OP-TEE core", "el0_svc", "thread_scall_handler", "syscall"]


def test_entry_code_of_the_core_is_not_taken_for_the_whole_core() -> None:
    # Mapped a second time, where the TA's addresses would be within the core's.
    entry = in_core(0x140, frames=((0x8000, TA_BASE + 0x40),), asid=4)
    entry = replace(entry, pc=TA_BASE - 0x1000 + 0x140)
    whole = [in_core(0x140), in_core(0x150)]
    stack = resolver().stacks([in_ta(0x140), *whole, entry])[-1]
    assert names(stack) == ["secure world", f"TA {TA}", "syscall"]


def test_the_number_of_an_address_space_means_the_ta_that_was_seen_next_to_it() -> None:
    other = replace(in_ta(0x140), time_s=9.0, pc=0x7000_0140, code=bytes(4) + code(4)[0x140:0x17C])
    call = in_core(0x140, asid=4)
    resolve = resolver(images={TA: TA_ELF, "other": OTHER_ELF, "core": CORE_ELF})
    early, late = resolve.stacks([in_ta(0x140), call, replace(call, time_s=8.0), other])[1:3]
    assert (names(early)[1], names(late)[1]) == (f"TA {TA}", "TA other")


def test_idle_and_firmware_have_towers_of_their_own() -> None:
    bl31 = Elf(tiny_elf.make(code(7), {"psci": (0, 0x100)}, 0xE090000))
    firmware = Sample(0.0, 0, Place.FIRMWARE, 0xE090010, 0, bytes(4) + code(7)[0x10:0x4C])
    idle = Sample(0.0, 1, Place.KERNEL, 0, 0, WFI + bytes(60))
    stacks = resolver(images={"bl31": bl31}).stacks([firmware, idle])
    assert [names(stack) for stack in stacks] == [["TF-A", "psci"], ["idle"]]


def test_the_normal_world_by_process_and_function(kernel: Kernel) -> None:
    sample = Sample(
        0.0,
        0,
        Place.KERNEL,
        0xFFFF800080020010,
        0,
        bytes(64),
        frames=((0x8000, 0xFFFF800080010020), (0x8010, 0x400000), (0x8020, 0xFFFF800080010020)),
        task=Task(1, "init"),
    )
    (stack,) = resolver(kernel=kernel).stacks([sample])
    # What is no address of the kernel ends the chain.
    assert names(stack) == ["normal world", "init", "el1_interrupt", "schedule"]
    (stack,) = resolver().stacks([sample])
    assert names(stack) == ["normal world", "init", "[unknown]"]


def test_a_program_is_named_only_if_it_is_what_is_mapped() -> None:
    program, task = code(8), Task(5, "prog")
    elf = Elf(tiny_elf.make(program, {"main": (0, 0x100)}))
    processes = {
        task: [Mapping(0x5000, 0x6000, 0x1000, "/bin/prog"), Mapping(0x7000, 0x8000, 0, "")]
    }
    resolve = resolver(processes=processes, programs={"/bin/prog": elf})
    sample = Sample(0.0, 0, Place.USER, 0x5010, 0, bytes(4) + program[0x10:0x4C], task=task)
    other = replace(sample, code=bytes(64))
    beyond = replace(sample, pc=0x5200, code=bytes(4) + program[0x200:0x23C])
    nameless = replace(sample, pc=0x7010)
    unmapped = replace(sample, pc=0x9000)
    found = [names(s)[2:] for s in resolve.stacks([sample, other, beyond, nameless, unmapped])]
    assert found == [["main"], ["[unknown]"], ["[prog]"], ["[anonymous]"], ["[unknown]"]]


@pytest.mark.parametrize("size", [0, 3, 63, 70, 0x1010, 0x2000])
def test_an_elf_file_that_is_cut_has_no_names(size: int) -> None:
    whole = tiny_elf.make(TA_CODE, {"entry": (0, 0x100)})
    assert Elf(whole).function(0x10) == "entry"
    assert Elf(whole[:size]).function(0x10) is None


# --- pictures and tables ---------------------------------------------------------------------

HOSTILE = """<script>alert('"&;]]>')</script>\x1b\ud800\x00\n"""


def profile_of(*stacks: Stack, cores: int = 2) -> Profile:
    stops = max(1, len(stacks) // cores)
    return Profile(stacks, cores, stops, 0.01 * stops, 0.001 * stops)


def stack(*frames: str, kind: Kind = Kind.TA, core: int = 0) -> Stack:
    world = Frame("secure world", Kind.WORLD)
    return Stack(core, 0.0, (world, *(Frame(name, kind) for name in frames)))


IDLE = Stack(1, 0.0, (Frame("idle", Kind.IDLE),))


def test_shares_and_functions() -> None:
    seventy = [stack("TA", "main", "a")] * 7
    thirty = [stack("TA", "main", "b", "b")] * 3
    profile = profile_of(*seventy, *thirty, *[IDLE] * 10)
    assert profile.places()[Kind.TA] == 10 and profile.places(1)[Kind.IDLE] == 10
    assert profile.owners() == [(Frame("TA", Kind.TA), 10)]
    found = {f.frame.name: (f.self_count, f.total_count) for f in profile.functions()}
    # A function that calls itself was there once.
    assert found == {"a": (7, 7), "b": (3, 3), "main": (0, 10)}
    said = command.summary(profile)
    assert said["places"]["ta"] == {"percent": 50.0, "by_core": [100.0, 0.0]}
    assert [(f["name"], f["self_percent"]) for f in said["functions"]][:2] == [
        ("a", 70.0),
        ("b", 30.0),
    ]
    assert "70.0 %" in command.table(profile) and "main" not in command.table(profile)


def boxes(svg: str) -> dict[str, tuple[float, float, int]]:
    root = ElementTree.fromstring(svg)
    return {
        g.attrib["data-n"]: (
            float(g.attrib["data-x"]),
            float(g.attrib["data-w"]),
            int(g.attrib["data-d"]),
        )
        for g in root.iter(f"{SVG}g")
        if g.get("class") == "f"
    }


def test_the_width_of_a_frame_is_its_share() -> None:
    drawn = boxes(
        flamegraph.svg(profile_of(*[stack("TA", "a")] * 3, stack("TA", "b"), *[IDLE] * 4), "title")
    )
    whole = drawn["busy"][1]
    assert drawn["a"][1] == pytest.approx(0.75 * whole) and drawn["b"][1] == pytest.approx(
        whole / 4
    )
    assert drawn["b"][0] == pytest.approx(drawn["a"][0] + drawn["a"][1], abs=0.01)
    assert [drawn[name][2] for name in ("busy", "secure world", "TA", "a")] == [0, 1, 2, 3]
    assert "idle" not in drawn


def test_idle_time_and_cores_are_drawn_on_request() -> None:
    drawn = boxes(
        flamegraph.svg(profile_of(stack("TA", "a"), IDLE), "title", by_core=True, idle=True)
    )
    assert drawn["idle"][1] == pytest.approx(drawn["all"][1] / 2)
    assert drawn["core 0"][2] == drawn["core 1"][2] == 1


def test_nothing_that_the_guest_calls_a_function_gets_out_of_the_picture() -> None:
    profile = profile_of(stack(HOSTILE, "x" * 10_000))
    svg = flamegraph.svg(profile, HOSTILE)
    root = ElementTree.fromstring(svg.encode())
    assert len([*root.iter(f"{SVG}script")]) == 1
    assert svg.count("<script>") == 1 and svg.count("]]>") == 1
    assert "alert" not in next(root.iter(f"{SVG}script")).text  # type: ignore[operator]


def test_a_profile_without_busy_samples_is_a_picture_too() -> None:
    assert boxes(flamegraph.svg(profile_of(IDLE, IDLE), "idle")) == {}


def test_folded_stacks_have_one_line_each() -> None:
    text = exports.folded(profile_of(stack("TA", "a;b\nc"), stack("TA", "a;b\nc"), IDLE))
    assert text == "idle 1\nsecure world;TA;a:b c 2\n"
    assert "core 1;idle 1\n" in exports.folded(profile_of(IDLE), by_core=True)


def test_speedscope_has_all_cores_and_each() -> None:
    profile = profile_of(stack("TA", "a"), IDLE, stack("TA", "b"), IDLE)
    found = json.loads(exports.speedscope(profile, "title"))
    frames = [frame["name"] for frame in found["shared"]["frames"]]
    assert [p["name"] for p in found["profiles"]] == ["all cores", "core 0", "core 1"]
    for part in found["profiles"]:
        assert part["type"] == "sampled" and len(part["samples"]) == len(part["weights"])
        assert sum(part["weights"]) == pytest.approx(part["endValue"])
    core = [[frames[i] for i in s] for s in found["profiles"][1]["samples"]]
    assert core == [["secure world", "TA", "a"], ["secure world", "TA", "b"]]


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.svg", Format.SVG), ("b.folded", Format.FOLDED), ("c.json", Format.SPEEDSCOPE)],
)
def test_the_format_is_in_the_name(name: str, form: Format) -> None:
    assert Format.of(Path(name)) is form


def test_a_name_without_a_format() -> None:
    with pytest.raises(UserError, match="cannot tell the format"):
        Format.of(Path("profile.png"))
