# SPDX-License-Identifier: Apache-2.0
"""Panics explained: dumps recorded on the real stack, dumps of code compiled here, mangled ones.

REGEN=1 writes the explanations of the recorded dumps anew; look at the difference.
"""

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.debug import dump, parser, symbolise
from sandbox.debug.codes import panic_code, result, syndrome
from sandbox.debug.panics import Explainer, Panic
from sandbox.debug.symbolise import ElfFiles, FirstOf
from sandbox.machine.console import BAD_PATTERNS, Trouble, bad_pattern, clean
from sandbox.machine.folder import World

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "panics"
LOGS = sorted(RECORDED.glob("*.log"))
CRASH = RECORDED / "crash.cpp"
UUID = "0f1e2d3c-4b5a-4987-8675-a4b3c2d1e0f9"
NOTHING = ElfFiles([])


def explained(text: str, explainer: Explainer | None = None) -> list[Panic]:
    explainer = explainer or Explainer(NOTHING)
    lines = [clean(raw) for raw in text.encode(errors="replace").split(b"\n")]
    return [p for line in lines for p in explainer.feed(line)] + explainer.flush()


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.log").read_text()


# Recorded dumps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS, ids=lambda p: p.stem)
def test_recorded_dump_is_explained_without_symbols(log: Path) -> None:
    text = "\n\n".join(panic.report() for panic in explained(log.read_text())) + "\n"
    golden = log.with_suffix(".txt")
    if os.environ.get("REGEN") or not golden.exists():
        golden.write_text(text)
        assert os.environ.get("REGEN"), f"{golden.name} was not there, and is written now"
    assert text == golden.read_text()


@pytest.mark.parametrize("log", LOGS, ids=lambda p: p.stem)
def test_recorded_dump_is_one_panic_with_all_its_lines(log: Path) -> None:
    said = [line for line in log.read_text().splitlines() if line.strip()]
    (panic,) = explained(log.read_text())
    # What is no part of it: the words around it.
    loose = [line for line in said if clean(line.encode()) not in panic.lines]
    around = r"sysrq: (Trigger|Manual)|Halting CPU|exited with irqs|E/TC:\S \d $"
    assert all(re.search(around, line) for line in loose), loose
    wanted = log.stem.split("_")[0]
    kinds = {
        "ta": {Trouble.TA_PANIC},
        "tee": {Trouble.TEE_PANIC},
        "kernel": {Trouble.KERNEL_OOPS, Trouble.KERNEL_PANIC},
        "firmware": {Trouble.FIRMWARE_PANIC},
        "ldelf": {Trouble.LDELF_FAILURE},
        "out": {Trouble.OUT_OF_SECURE_MEMORY, Trouble.OUT_OF_MEMORY},
    }
    assert panic.trouble in kinds[wanted]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ta_null_write", "wrote to a NULL pointer (0x0)"),
        ("ta_null_read", "read from a NULL pointer (0x10)"),
        ("ta_recursion", "stack overflow"),
        # The gap below the stack is drawn at random, and may be none.
        ("ta_recursion_data", "stack overflow"),
        ("ta_smash", "a local array was written past its end"),
        ("ta_divide", "ran into a trap (brk #1000)"),
        ("ta_assert", "assertion 'number == 42' failed in asserting()"),
        ("ta_panic", "a TA panicked with 0x1234abcd"),
        ("ta_jump", "jumped to 0xdead0000, which is no code"),
        ("tee_abort", "OP-TEE's core: prefetch abort at 0x10"),
        ("tee_no_otp", "OP-TEE's core panicked: no valid OTP in init_flash_otp()"),
        ("kernel_panic", "Kernel panic - not syncing: sysrq triggered crash"),
        ("kernel_oops", "Unable to handle kernel NULL pointer dereference"),
        ("out_of_memory", "Out of memory: Killed process 167 (sleep)"),
        ("firmware_panic", "Trusted Firmware-A stopped: PANIC in EL3"),
    ],
)
def test_headline(name: str, said: str) -> None:
    (panic,) = explained(recorded(name))
    assert panic.headline.startswith(said)


def test_the_world_that_speaks_may_be_told() -> None:
    """A program in the normal world cannot pass for a TA."""
    explainer = Explainer(NOTHING)
    for line in recorded("ta_null_write").splitlines():
        assert explainer.feed(line, World.NORMAL) == []
    assert explainer.flush() == []


def test_a_dump_is_whole_when_its_thread_goes_on() -> None:
    explainer = Explainer(NOTHING)
    for line in recorded("ta_null_write").splitlines():
        assert explainer.feed(line, World.SECURE) == []
    assert explainer.pending
    (panic,) = explainer.feed("E/TC:? 0 something_else:12 all is well", World.SECURE)
    assert not explainer.pending and len(panic.frames) == 3


def test_each_bad_pattern_is_explained() -> None:
    """What fails a command has an explanation, even if it is cut after its first line."""
    first = {
        Trouble.KERNEL_STALL: "rcu: INFO: rcu_sched self-detected stall on CPU",
        Trouble.KERNEL_HANG: "INFO: task cml-ca:99 blocked for more than 120 seconds.",
        Trouble.KERNEL_BUG: "kernel BUG at mm/slub.c:448!",
        Trouble.TEE_ASSERTION: "E/TC:0 0 assertion '!res' failed at core/x.c:1 <f>",
    }
    for log in LOGS:
        (panic,) = explained(log.read_text())
        bad = [line for line in panic.lines if Trouble(panic.trouble)]
        first.setdefault(panic.trouble, "\n".join(bad))
    assert set(first) == set(Trouble) == {pattern.name for pattern in BAD_PATTERNS}
    for trouble, line in first.items():
        (panic,) = explained(line)
        assert panic.trouble is trouble and panic.meaning and str(trouble) in panic.report()


def test_an_assertion_of_the_core_and_the_panic_after_it_are_one() -> None:
    lines = [
        "E/TC:0 0 assertion 'refc == 1' failed at core/mm/mobj.c:77 <mobj_put>",
        "E/TC:0 0 Panic at core/kernel/assert.c:28 <_assert_break>",
        "E/TC:0 0 TEE load address @ 0x83861000",
        "E/TC:0 0 Call stack:",
        "E/TC:0 0  0x838691ac",
    ]
    (panic,) = explained("\n".join(lines))
    assert panic.trouble is Trouble.TEE_ASSERTION and len(panic.lines) == 5
    assert "'refc == 1' failed in mobj_put() at core/mm/mobj.c:77" in panic.headline


def test_the_core_says_who_wanted_memory() -> None:
    (panic,) = explained("E/TC:? 0 print_oom:181 Memory allocation failed: size 4096 context 0x8")
    assert panic.trouble is Trouble.OUT_OF_SECURE_MEMORY and "4096 bytes" in panic.headline


# Compiled here -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Crash:
    """An ELF file, and addresses in it, found without addr2line."""

    elf: Path
    fault: int
    call: int
    size: int

    def dump(self, base: int = 0x40066000, *, thread: int = 0, uuid: str = UUID) -> list[str]:
        first = recorded("ta_null_write").splitlines()
        registers = [line for line in first if re.search(r"E/TC:\? 0 .*(esr|cpu|x\d|abort)", line)]
        registers = [line.replace("? 0 ", f"? {thread} ", 1) for line in registers]
        fault, call = base + self.fault, base + self.call
        registers = [
            re.sub(r"x30 \w+ elr \w+", f"x30 {call + 4:016x} elr {fault:016x}", line)
            for line in registers
        ]
        return [
            *registers,
            f"E/LD:  Status of TA {uuid}",
            "E/LD:   arch: aarch64",
            "E/LD:  region  0: va 0x40015000 pa 0x0e258000 size 0x002000 flags rw-s (stack)",
            f"E/LD:  region  1: va 0x{base:x} pa 0x0e232000 size 0x{self.size:06x} flags r-xs [0]",
            f"E/LD:   [0] {uuid} @ 0x{base:x}",
            "E/LD:  Call stack:",
            f"E/LD:   0x{fault:x}",
            f"E/LD:   0x{call:x}",
        ]


def line_of(name: str, source: Path = CRASH) -> int:
    lines = source.read_text().splitlines()
    return next(n for n, text in enumerate(lines, 1) if f"MARK({name})" in text)


def addresses(elf: ELFFile, line: int) -> Iterator[int]:
    """Of all instructions that debug information gives this line."""
    for unit in elf.get_dwarf_info().iter_CUs():
        states = [e.state for e in elf.get_dwarf_info().line_program_for_CU(unit).get_entries()]
        states = [state for state in states if state is not None]
        for now, then in zip(states, states[1:], strict=False):
            if now.line == line and not now.end_sequence:
                yield from range(now.address, then.address, 4)


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Crash:
    path = tmp_path_factory.mktemp("symbols") / f"{UUID}.elf"
    command = ["aarch64-linux-gnu-g++", "-g", "-O2", "-shared", "-fPIC", "-nostdlib"]
    command += ["-Wl,-z,max-page-size=4096,--build-id=none", "-o", str(path), str(CRASH)]
    subprocess.run(command, check=True, timeout=60)
    with path.open("rb") as file:
        elf = ELFFile(file)
        text = elf.get_section_by_name(".text")

        def word(address: int) -> int:
            at = address - text["sh_addr"]
            return int.from_bytes(text.data()[at : at + 4], "little")

        # str w1, [x0]: 0xb9...; bl: 0x94...
        fault = next(a for a in addresses(elf, line_of("store")) if word(a) >> 24 == 0xB9)
        call = next(a for a in addresses(elf, line_of("entry")) if word(a) >> 26 == 0b100101)
    return Crash(path, fault, call, symbolise.mapped_bytes(path))


def test_functions_files_and_lines(crash: Crash) -> None:
    (panic,) = explained("\n".join(crash.dump()), Explainer(ElfFiles([crash.elf.parent])))
    store, update, entry = panic.frames
    assert store.function == "device::Sensor::store(int)" and store.inlined
    assert update.function == "void device::update<long>(device::Sensor&, long)"
    assert entry.function == "entry" and not entry.inlined
    for frame, name in ((store, "store"), (update, "update"), (entry, "entry")):
        assert (frame.line, frame.file) == (line_of(name), str(CRASH.relative_to(ROOT)))
        (marked,) = [line for line in frame.source if line.marked]
        assert f"MARK({name})" in marked.text
    assert panic.culprit == 0 and panic.ta == UUID and panic.remarks == ()
    report = panic.report()
    assert f"{line_of('store'):>5} |         *target = value; // MARK(store)" in report
    pc, lr = panic.registers[:2]
    assert (pc.name, lr.name) == ("pc", "lr") and lr.symbol.startswith("entry ")


def test_the_caller_that_only_the_link_register_knows(crash: Crash) -> None:
    """A leaf function has not saved where it returns to, so the call stack lacks its caller."""
    lines = crash.dump()[:-1]
    (panic,) = explained("\n".join(lines), Explainer(ElfFiles([crash.elf])))
    assert [frame.function for frame in panic.frames][-1] == "entry"


def test_an_elf_of_another_build_is_noticed(crash: Crash, tmp_path: Path) -> None:
    other = tmp_path / "other.cpp"
    other.write_text('extern "C" int before(int x) { return x * 3; }\n' + CRASH.read_text())
    elf = tmp_path / crash.elf.name
    command = ["aarch64-linux-gnu-g++", "-g", "-O0", "-shared", "-fPIC", "-nostdlib"]
    subprocess.run([*command, "-o", elf, other], check=True, timeout=60)
    (panic,) = explained("\n".join(crash.dump()), Explainer(ElfFiles([tmp_path])))
    assert any("another build" in remark for remark in panic.remarks)


def test_stripped_and_missing_symbols_say_what_to_do(crash: Crash, tmp_path: Path) -> None:
    text = "\n".join(crash.dump())
    (panic,) = explained(text)
    assert any("sandbox explain --symbols" in remark for remark in panic.remarks)
    stripped = tmp_path / crash.elf.name
    command = ["aarch64-linux-gnu-objcopy", "--strip-all", os.fspath(crash.elf)]
    subprocess.run([*command, os.fspath(stripped)], check=True, timeout=60)
    (panic,) = explained(text, Explainer(ElfFiles([tmp_path])))
    assert any("no line numbers" in remark for remark in panic.remarks)
    stripped.write_text("no ELF file at all")
    (panic,) = explained(text, Explainer(ElfFiles([tmp_path])))
    assert len(panic.frames) >= 2


def test_sources_are_found_below_the_given_folders(crash: Crash, tmp_path: Path) -> None:
    mapped = tmp_path / "elf" / crash.elf.name
    mapped.parent.mkdir()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "crash.cpp").write_text(CRASH.read_text())
    command = ["aarch64-linux-gnu-g++", "-g", "-O2", "-shared", "-fPIC", "-nostdlib"]
    command += ["-Wl,-z,max-page-size=4096,--build-id=none", f"-ffile-prefix-map={RECORDED}=deep"]
    argv = [*command, "-o", os.fspath(mapped), CRASH.name]
    subprocess.run(argv, cwd=RECORDED, check=True, timeout=60)
    text = "\n".join(crash.dump())
    (panic,) = explained(text, Explainer(ElfFiles([mapped]), [tmp_path / "src"]))
    assert panic.frames[0].file == "deep/crash.cpp" and panic.frames[0].source
    (panic,) = explained(text, Explainer(ElfFiles([mapped])))
    assert panic.frames[0].line == line_of("store") and not panic.frames[0].source


CORE_C = """
static volatile int *target;
void fault(void) { *target = 1; }
__attribute__((noinline)) int handler(void) { fault(); return 2; }
int _start(void) { return handler() + 1; }
"""


def test_the_core_is_found_where_it_was_moved_to(tmp_path: Path) -> None:
    """OP-TEE is linked for one address and runs at another; TF-A stays where it is."""
    (tmp_path / "core.c").write_text(CORE_C)
    elf = tmp_path / "tee.elf"
    command = ["aarch64-linux-gnu-gcc", "-g", "-O1", "-fno-inline", "-static", "-nostdlib"]
    command += ["-Wl,-Ttext-segment=0xe100000", "-o", os.fspath(elf), "core.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    names = subprocess.run(
        ["aarch64-linux-gnu-nm", elf], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    found = {name: int(value, 16) for value, _, name in map(str.split, names.splitlines())}
    moved = 0x83861000 - symbolise.link_address(elf)
    lines = [
        "E/TC:0 0 Core data-abort at address 0x0 (translation fault)",
        "E/TC:0 0  esr 0x96000046  ttbr0 0x1   ttbr1 0x00000000   cidr 0x0",
        "E/TC:0 0 TEE load address @ 0x83861000",
        "E/TC:0 0 Call stack:",
        f"E/TC:0 0  0x{found['fault'] + moved:08x}",
        f"E/TC:0 0  0x{found['handler'] + moved:08x}",
    ]
    (panic,) = explained("\n".join(lines), Explainer(ElfFiles([tmp_path])))
    assert [frame.function for frame in panic.frames] == ["fault", "handler"]
    assert [frame.line for frame in panic.frames] == [3, 4]
    assert "0x0 (a NULL pointer) in fault() at" in panic.headline
    elf.rename(tmp_path / "bl31.elf")
    text = f"PANIC at PC : 0x{found['handler']:016x}"
    (panic,) = explained(text, Explainer(ElfFiles([tmp_path])))
    assert panic.frames[0].function == "handler"


def test_a_dump_of_32_bits() -> None:
    lines = [
        "E/TC:0 0 User mode data-abort at address 0x4 (translation fault)",
        "E/TC:0 0  fsr 0x00000805  ttbr0 0x0e17406a  ttbr1 0x0e16c06a  cidr 0x1",
        "E/TC:0 0  cpu #0          cpsr 0x60000030",
        "E/TC:0 0  r0 0x00000000      r4 0x00000001    r8 0x00000000   r12 0x00000000",
        "E/TC:0 0  r1 0x00000001      r5 0x00000002    r9 0x00000000    sp 0x00102f60",
        "E/TC:0 0  r2 0x00000003      r6 0x00000004   r10 0x00000000    lr 0x0011a2c5",
        "E/TC:0 0  r3 0x00000005      r7 0x00102f60   r11 0x00000000    pc 0x0011a2b0",
    ]
    (panic,) = explained("\n".join(lines))
    assert panic.headline == "wrote to a NULL pointer (0x4)"
    assert "translation fault: nothing is mapped there (level 1)" in panic.meaning[0]
    values = {register.name: register.value for register in panic.registers}
    assert (values["pc"], values["r7"], len(values)) == (0x11A2B0, 0x102F60, 16)


def test_modules_of_linux_have_names() -> None:
    lines = [
        "[    5.1] Unable to handle kernel paging request at virtual address ffff800081000000",
        "[    5.1] Internal error: Oops: 0000000096000047 [#1] SMP",
        "[    5.1] pc : optee_do_call_with_arg+0x5c/0x2a0 [optee]",
        "[    5.1] Call trace:",
        "[    5.1]  optee_do_call_with_arg+0x5c/0x2a0 [optee] (P)",
        "[    5.1]  tee_ioctl+0x10c/0x1f8 [tee]",
        "a program prints in between",
        "[    5.1] ---[ end trace 0000000000000000 ]---",
        "[    5.2] Kernel panic - not syncing: Oops: Fatal exception",
        "[    5.2] ---[ end Kernel panic - not syncing: Oops: Fatal exception ]---",
    ]
    (panic,) = explained("\n".join(lines))
    assert panic.trouble is Trouble.KERNEL_PANIC and len(panic.lines) == len(lines) - 1
    assert [frame.image for frame in panic.frames] == ["optee", "tee"]
    assert "in optee_do_call_with_arg()" in panic.headline


# Two at a time -----------------------------------------------------------------------------------


OTHER = UUID.replace("0f1e", "ffff")


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(st.booleans(), max_size=120))
def test_two_cores_may_print_by_turns(crash: Crash, turns: list[bool]) -> None:
    """Each panic has its own registers, memory and calls, however the lines alternate."""
    streams = [
        crash.dump(0x40066000, thread=0),
        crash.dump(0x70055000, thread=1, uuid=OTHER),
    ]
    streams = [
        [f"{uuid} {line}" if "E/LD" in line else line for line in lines]
        for uuid, lines in zip((UUID, OTHER), streams, strict=True)
    ]
    merged: list[str] = []
    for turn in [*turns, *([True] * 100), *([False] * 100)]:
        if streams[turn]:
            merged.append(streams[turn].pop(0))
    panics = explained("\n".join(merged), Explainer(NOTHING))
    assert len(panics) == 2 and {panic.ta for panic in panics} == {UUID, OTHER}
    for panic in panics:
        base = 0x40066000 if panic.ta == UUID else 0x70055000
        values = {register.name: register.value for register in panic.registers}
        assert [f.address for f in panic.frames] == [base + crash.fault, base + crash.call]
        swapped = any("several cores" in remark for remark in panic.remarks)
        assert swapped or values["pc"] == base + crash.fault


# Hostile lines -----------------------------------------------------------------------------------


WHOLE = [line for log in LOGS for line in log.read_text().splitlines()]
fragments = st.sampled_from(WHOLE).flatmap(
    lambda line: st.one_of(
        st.just(line),
        st.integers(0, len(line)).map(lambda cut: line[:cut]),
        st.integers(0, len(line)).map(lambda cut: line[cut:]),
        st.tuples(st.integers(0, len(line)), st.text(max_size=8)).map(
            lambda t: line[: t[0]] + t[1] + line[t[0] :]
        ),
    )
)


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.one_of(fragments, st.text(max_size=80)), max_size=80), told=st.booleans())
def test_nothing_that_is_printed_makes_it_fail(lines: Sequence[str], told: bool) -> None:
    explainer = Explainer(NOTHING)
    panics = [
        panic for line in lines for panic in explainer.feed(line, World.SECURE if told else None)
    ] + explainer.flush()
    assert sum(len(panic.lines) for panic in panics) <= len(lines)
    for panic in panics:
        assert panic.report() and panic.as_json()


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_shuffled_dump_is_still_bounded(data: st.DataObject) -> None:
    lines = data.draw(st.permutations(WHOLE))
    reader = parser.Parser()
    dumps = [found for line in lines for found in reader.feed(line)] + reader.flush()
    assert sum(len(found.lines) for found in dumps) <= len(lines)


def test_a_flood_is_bounded() -> None:
    reader = parser.Parser()
    began = "E/TC:? 0 TA panicked with code 0x0"
    assert reader.feed(began) == []
    for number in range(3_000):
        reader.feed("E/TC:? 0  x0  0000000000001234 x1  " + "f" * (number % 5000))
        reader.feed(f"E/TC:? {number % 200} TA panicked with code 0x1")
    found = reader.flush()
    assert len(found) <= parser.OPEN_LIMIT
    assert all(len(one.lines) <= dump.LINES_LIMIT for one in found)
    assert all(len(line) <= parser.LINE_LIMIT for one in found for line in one.lines)


@pytest.mark.parametrize(
    "piece",
    ["TC:", "E/TC:0 0 ", "TC: assertion ", "TC:ldelf ", "LD: ", "rcu: ", "rcu: detected ", "Oops"]
    + ["Unhandled a b ", "task ", "Failed for TA ", "assertion 'x' failed at ", "region  ", "x1 "],
)
def test_a_line_made_to_be_searched_for_long(piece: str) -> None:
    """Were a search to take the square or cube of a line's length, this would not end."""
    lines = [(piece * 4096)[:4096], (piece + "a " * 4096)[:4096]]
    for line in (*lines, *((piece * 40 + tail)[:4096] for tail in (" " * 4096, "\t0x1" * 4096))):
        for world in World:
            for _ in range(50):
                bad_pattern(world, line)
        explained("\n".join([line] * 20))


def test_files_that_a_console_names_are_not_opened(tmp_path: Path, crash: Crash) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the owner's key\n" * 9)
    lines = [
        f"E/TA:  assertion 'x' failed at {secret}:3 in f()",
        *crash.dump(),
        f"E/LD:   [1] ../../../..{secret} @ 0x40000000",
        f"E/TC:0 0 Panic 'no' at {secret}:2 <f>",
    ]
    lines = [line.replace("User mode data-abort", "TA panicked with code 0x0 ") for line in lines]
    for panic in explained("\n".join(lines), Explainer(ElfFiles([tmp_path, crash.elf.parent]))):
        assert "owner's key" not in panic.report()


def test_names_of_elf_files_cannot_lead_astray(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.elf").write_text("")
    (tmp_path / "in" / "tee.elf").write_text("")
    elves = FirstOf(ElfFiles([tmp_path / "in"]))
    assert elves.path("../out") is None and elves.path("out") is None
    assert elves.path("core") == tmp_path / "in" / "tee.elf"
    # As builds leave them, in folders of folders.
    assert ElfFiles([tmp_path]).path("core") == tmp_path / "in" / "tee.elf"
    assert ElfFiles([tmp_path / "in" / "tee.elf"]).path("core") is not None


# Codes -------------------------------------------------------------------------------------------


def test_codes_have_names() -> None:
    assert panic_code(0xFFFF0006).name == "TEE_ERROR_BAD_PARAMETERS"
    assert panic_code(0x0C05).name == "TEE_ResetOperation"
    assert panic_code(0x0104).name == "TA_InvokeCommandEntryPoint"
    assert panic_code(0x1C04).name == panic_code(0x0C00).name == "" == panic_code(0x1234).name
    assert result(0xFFFF000C).name == "TEE_ERROR_OUT_OF_MEMORY" and result(5).name == ""


@pytest.mark.parametrize(
    ("esr", "write", "cause"),
    [
        (0x92000045, True, "translation fault"),
        (0x92000005, False, "translation fault"),
        (0x9200004F, True, "permission fault"),
        (0x92000021, False, "not aligned"),
        (0x82000006, None, "translation fault"),
        (0x92000011, False, "MTE"),
        (0x02000000, None, ""),
    ],
)
def test_syndromes(esr: int, write: bool | None, cause: str) -> None:
    fault = syndrome(esr)
    assert fault.write is write and cause in fault.cause
    assert syndrome(0xF20003E8).trap == 1000


# The document ------------------------------------------------------------------------------------


def test_each_trouble_is_documented_and_nothing_else_is() -> None:
    text = (ROOT / "docs" / "panics.md").read_text()
    table = re.findall(r"^\| `([^`]+)` \| (normal|secure|both) \| (yes|no) \|", text, re.MULTILINE)
    worlds = {
        name: {pattern.world for pattern in BAD_PATTERNS if pattern.name is name}
        for name in Trouble
    }
    expected = {
        (
            str(name),
            "both" if len(found) == 2 else str(next(iter(found))),
            "yes" if name.fatal else "no",
        )
        for name, found in worlds.items()
    }
    assert set(table) == expected
