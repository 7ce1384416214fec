# SPDX-License-Identifier: Apache-2.0
"""Panics on the real stack, each provoked and explained: function, file, line, what it means."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from real_stack import ROOT, run_sandbox

from sandbox import paths
from sandbox.debug.panics import Explainer, Panic
from sandbox.machine.console import Follower, Trouble
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols
from sandbox.tee import MemrefPartialOut, TEEContext, TeeError, TeeResult, ValueInOut

SOURCE = Path(__file__).parent / "panic_ta" / "panic_ta.c"
TA = UUID("6b1f0c5e-7d24-4c1b-9f0a-2e8d3a94c7b1")
FRESH = "e2e-panics"
SESSIONS_MAX = 60
REGISTERED_MAX = 6


@dataclass(frozen=True)
class Case:
    command: str
    said: str  # in the headline
    function: str = ""  # the first that is not of a library; the command's name, if none is given
    meaning: str = ""

    @property
    def mark(self) -> str:
        return self.command.lower()


# Functions are called as their commands are.
CASES = [
    Case("PANIC", r"TEE_Panic\(0xffff0006\), TEE_ERROR_BAD_PARAMETERS, was called", "panicking"),
    Case("API", r"TEE_ResetTransientObject\(\) panicked with .*TEE_ERROR_BAD_STATE"),
    Case("API_STATE", r"TEE_CipherInit\(\) panicked with 0x0", meaning="programmer errors"),
    Case("API_HANDLE", r"read from 0x[0-9a-f]+ in TEE_ResetOperation\(\), called in"),
    Case("NULL_WRITE", r"wrote to a NULL pointer \(0x0\)"),
    Case("NULL_READ", r"read from a NULL pointer \(0x10\)", meaning="offset 16"),
    Case("CONST_WRITE", r"wrote to 0x", meaning="constant data of the TA"),
    Case("BAD_FREE", r"assertion .* failed in bget_buf_size", meaning="heap's own records"),
    Case("DOUBLE_FREE", r"assertion .* failed in brel", meaning="freed twice"),
    Case("RECURSION", r"stack overflow", meaning="used up its stack"),
    Case("SMASH", r"a local array was written past its end"),
    Case("UNDEFINED", r"undefined instruction"),
    Case("DIVIDE", r"ran into a trap \(brk #1000\)", meaning="division"),
    Case("ASSERT", r"assertion 'number == 42' failed in asserting\(\)", "asserting"),
    Case("JUMP", r"jumped to 0xdead0000, which is no code"),
    Case("CHAIN", r"wrote to a NULL pointer \(0x10\)", "innermost"),
    Case("UNALIGNED", r"read from 0x", meaning="must be aligned"),
]
MARKS = {"CHAIN": "innermost"}


def commands() -> dict[str, int]:
    text = SOURCE.read_text()
    body = text[text.index("enum command {") :].partition("}")[0]
    return {name: number for number, name in enumerate(re.findall(r"CMD_(\w+),", body))}


def line_of(mark: str) -> int:
    lines = SOURCE.read_text().splitlines()
    (line,) = (n for n, text in enumerate(lines, 1) if f"MARK({mark})" in text)
    return line


@pytest.fixture(scope="module")
def pushed(machine: Machine) -> Machine:
    ran = run_sandbox("ta", "push", SOURCE.parent)
    assert ran.status == 0, ran.stderr
    return machine


@pytest.fixture
def context(pushed: Machine) -> Iterator[TEEContext]:
    with TEEContext(pushed) as made:
        yield made


class Said:
    """What the secure world has said since this was made, explained."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        begin = machine.folder.log_sizes()[World.SECURE]
        self._follower = Follower(World.SECURE, machine.folder.log(World.SECURE), begin)

    def panics(self) -> list[Panic]:
        explainer = Explainer(Symbols(self._machine.folder.symbols))
        return explainer.explain(self._follower.read())


def provoke(context: TEEContext, command: str, value: int = 0) -> None:
    with context.open_session(TA) as session:
        with pytest.raises(TeeError) as dead:
            session.invoke(commands()[command], (ValueInOut(value, 0),))
    assert dead.value.result is TeeResult.TARGET_DEAD


@pytest.mark.sandbox_expects("TA panic")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mark)
def test_a_panic_is_explained(case: Case, context: TEEContext, machine: Machine) -> None:
    said = Said(machine)
    provoke(context, case.command, 0xFFFF0006 if case.command == "PANIC" else 7)
    (panic,) = said.panics()
    assert panic.trouble is Trouble.TA_PANIC and panic.ta == str(TA)
    assert re.match(case.said, panic.headline), panic.report()
    assert case.meaning in " ".join(panic.meaning)
    assert panic.remarks == (), panic.report()
    assert panic.culprit is not None
    culprit = panic.frames[panic.culprit]
    mark = MARKS.get(case.command, case.mark)
    functions = [frame.function for frame in panic.frames]
    assert culprit.function == (case.function or case.mark)
    assert culprit.file == str(SOURCE.relative_to(ROOT))
    if case.command == "RECURSION":
        # Anywhere in it: where the stack ends is a matter of luck, and what lies below it. If the
        # TA's data does, nobody can follow the stack any more.
        lost = any("is overwritten" in text for text in panic.meaning)
        assert functions.count("recursion") > (0 if lost else 20)
        return
    assert culprit.line == line_of(mark), panic.report()
    (marked,) = [line for line in culprit.source if line.marked]
    assert f"MARK({mark})" in marked.text
    assert "TA_InvokeCommandEntryPoint" in functions
    if case.command == "CHAIN":
        chain = panic.frames[: functions.index("TA_InvokeCommandEntryPoint")]
        assert [f.function for f in chain] == ["innermost", "inlined", "link_of_chain", "chain"]
        assert [f.inlined for f in chain] == [True, True, False, False]
        assert [f.line for f in chain] == [line_of(str(f.function)) for f in chain]


@pytest.mark.sandbox_expects("TA panic")
def test_two_instances_panic_at_the_same_time(pushed: Machine) -> None:
    said = Said(pushed)
    ready = threading.Barrier(2, timeout=60)
    failures: list[BaseException] = []

    def work(command: str) -> None:
        try:
            with TEEContext(pushed) as context, context.open_session(TA) as session:
                ready.wait()
                with pytest.raises(TeeError):
                    session.invoke(commands()[command], (ValueInOut(7, 0),))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(c,)) for c in ("NULL_WRITE", "DIVIDE")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    panics = said.panics()
    swapped = any("several cores" in remark for panic in panics for remark in panic.remarks)
    found = {panic.frames[0].function for panic in panics}
    assert len(panics) == 2 and (swapped or found == {"null_write", "divide"})


@pytest.mark.sandbox_expects("out of secure memory")
def test_out_of_secure_memory(context: TEEContext, machine: Machine) -> None:
    said = Said(machine)
    sessions = []
    try:
        with pytest.raises(TeeError) as full:
            for _ in range(SESSIONS_MAX):
                sessions.append(context.open_session(TA))
    finally:
        for session in sessions:
            session.close()
    assert full.value.result is TeeResult.OUT_OF_MEMORY
    (panic, *_) = said.panics()
    assert panic.trouble is Trouble.OUT_OF_SECURE_MEMORY and panic.ta == str(TA)
    # Given back: the next session has room.
    with context.open_session(TA) as session:
        session.invoke(commands()["NOTHING"], (ValueInOut(0, 0),))


@pytest.mark.sandbox_expects("out of secure memory")
def test_the_heap_of_the_core_is_full(context: TEEContext, machine: Machine) -> None:
    said = Said(machine)
    with contextlib.ExitStack() as stack, context.open_session(TA) as session:
        with pytest.raises(TeeError):
            for _ in range(REGISTERED_MAX):
                memory = stack.enter_context(context.allocate(32 << 20))
                session.invoke(commands()["NOTHING"], (MemrefPartialOut(memory, 0, 16),))
    (panic, *_) = said.panics()
    assert panic.trouble is Trouble.OUT_OF_SECURE_MEMORY, panic.report()
    assert panic.culprit is not None and panic.remarks == ()
    # Whichever of the two asks for what is not there any more
    function = panic.frames[panic.culprit].function
    assert function in ("mobj_reg_shm_alloc", "msg_param_mobj_from_noncontig")


@pytest.mark.sandbox_expects("ldelf failure")
def test_a_ta_that_is_not_there(context: TEEContext, machine: Machine) -> None:
    said = Said(machine)
    nobody = uuid4()
    with pytest.raises(TeeError):
        context.open_session(nobody)
    (panic,) = said.panics()
    assert panic.trouble is Trouble.LDELF_FAILURE and panic.ta == str(nobody)
    assert "There is no such TA" in " ".join(panic.meaning)


@pytest.mark.sandbox_expects("TA panic")
@pytest.mark.parametrize(("switches", "status"), [((), 4), (("--allow", "TA panic"), 0)])
def test_a_command_fails_although_it_succeeded(
    switches: tuple[str, ...], status: int, context: TEEContext, machine: Machine
) -> None:
    """Whoever's TA it was: the machine is searched."""
    # The command tells that it runs, and ends when it is told to.
    flag = machine.share / "runs"
    asked = "touch /mnt/share/runs; while [ -e /mnt/share/runs ]; do sleep 0.1; done; echo fine"
    results = []

    def command() -> None:
        argv = ("exec", "--timeout", "120", *switches, "--", "sh", "-c", asked)
        results.append(run_sandbox(*argv))

    thread = threading.Thread(target=command)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not flag.exists():
            assert time.monotonic() < deadline, "the command did not start"
            time.sleep(0.02)
        provoke(context, "NULL_WRITE")
    finally:
        flag.unlink(missing_ok=True)
        thread.join(150)
    (ran,) = results
    assert (ran.status, ran.stdout) == (status, "fine\n"), ran.stderr
    if status:
        assert "TA panic: wrote to a NULL pointer (0x0) in null_write()" in ran.stderr
        assert f"panic_ta.c:{line_of('null_write')}" in ran.stderr


@pytest.mark.sandbox_expects("TA panic")
def test_explain_finds_it_again(context: TEEContext) -> None:
    provoke(context, "CHAIN")
    ran = run_sandbox("explain", "--json")
    assert ran.status == 0, ran.stderr
    last = ran.json_lines[-1]
    assert last["frames"][last["culprit"]]["function"] == "innermost"


def test_a_kernel_panic_ends_a_command_at_once() -> None:
    """On a machine of its own: it does not survive."""
    named = ("--machine", FRESH)
    try:
        up = run_sandbox(*named, "up")
        assert up.status == 0, up.stderr
        # No time limit: it would wait for ever.
        ran = run_sandbox(
            *named, "exec", "--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep inf"
        )
        assert ran.status == 4
        assert "kernel panic in the normal world" in ran.stderr
        assert "sysrq_handle_crash+0x" in ran.stderr
    finally:
        run_sandbox(*named, "down")
    # The consoles stay, and so do the symbols.
    explained = run_sandbox(*named, "explain").stdout
    assert "Kernel panic - not syncing: sysrq triggered crash" in explained
    assert Symbols(paths.machine_dir(FRESH) / "symbols").path("core") is not None
