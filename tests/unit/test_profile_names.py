# SPDX-License-Identifier: Apache-2.0
"""From the addresses of a sample to names: images found by their code, frames, system calls."""

import random
import struct
from dataclasses import replace

import pytest
import tiny_elf

from sandbox.debug.profile.elf import Elf
from sandbox.debug.profile.linux import Kernel, Mapping, Task
from sandbox.debug.profile.resolve import Resolver
from sandbox.debug.profile.sampler import CODE_BYTES, Crossing, Place, Sample
from sandbox.debug.profile.stacks import Kind, Stack

WFI = bytes.fromhex("7f2003d5")


def code(seed: int, size: int = 0x1000) -> bytes:
    """Something that is nowhere else."""
    return random.Random(seed).randbytes(size)


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
        "title": "TA {}".format,
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
    (stack,) = resolver(title=lambda _: "TA mine").stacks([sample])
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


def test_the_normal_world_by_process_and_function() -> None:
    functions = [(0xFFFF800080010000, "el1_interrupt"), (0xFFFF800080020000, "schedule")]
    kernel = Kernel(functions, [], {})
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
