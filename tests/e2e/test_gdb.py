# SPDX-License-Identifier: Apache-2.0
"""gdb on the real stack: TAs that are loaded later, OP-TEE, Linux, all of them moved at random."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import cbor2
import pytest
import transcripts
from real_stack import ROOT, run_sandbox

from sandbox.build import recipe
from sandbox.debug import gdb
from sandbox.log import SilentProgress
from sandbox.machine import hold
from sandbox.machine.deadline import Deadline
from sandbox.machine.machine import Machine
from sandbox.tee import MemrefOut, Session, TEEContext, ValueInOut
from sandbox.tee_abi import ABI_VERSION, INFO_MAX_BYTES, TA_UUID, Command

WAIT_S = 60.0
ENTRY = "TA_InvokeCommandEntryPoint"
UUID = str(TA_UUID)
BUSY_UUID = uuid.UUID("0b6d7c1e-52f3-4a8e-91d4-3c7a58e206bf")
BUSY_WORK = 0

Call = Callable[[], "Future[Any]"]


def asked(session: Session) -> Any:
    """What the TA says of itself."""
    (out,) = session.invoke(Command.INFO, (MemrefOut(INFO_MAX_BYTES),))
    return cbor2.loads(out.data)


@contextlib.contextmanager
def opened(machine: Machine) -> Iterator[Session]:
    with TEEContext(machine) as context, context.open_session(TA_UUID) as session:
        yield session


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def call(machine: Machine, threads: ThreadPoolExecutor) -> Call:
    """Open a session of its own, ask, close it, while the test goes on."""

    def ask() -> Any:
        with opened(machine) as session:
            return asked(session)

    return lambda: threads.submit(ask)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = Deadline(WAIT_S)
    while not condition():
        if deadline.expired:
            return False
        time.sleep(0.05)
    return True


def assert_runs(machine: Machine) -> None:
    """Nobody holds the machine, and both worlds answer."""
    status = machine.status()
    assert status.holder is None and status.answers
    with opened(machine) as session:
        assert asked(session)["abi"] == ABI_VERSION


def test_a_ta_that_is_loaded_later(machine: Machine, call: Call) -> None:
    places = set()
    with gdb.attach(machine, "ta", "inference") as session:
        session.breakpoint(ENTRY)
        # The TA is placed anew for each. That eight draw one of 128 places is not to be feared.
        for _ in range(8):
            if len(places) > 1:
                break
            session.cont()
            answer = call()
            stop = session.wait_stop(WAIT_S)
            assert stop.reason == "breakpoint-hit" and stop.frame.function == ENTRY
            assert Path(stop.frame.file).name == "entry.c" and Path(stop.frame.file).is_file()
            assert "return" in session.execute(f"list {ENTRY}") and stop.frame.line > 0
            names = [frame.function for frame in session.backtrace()]
            assert names[0] == ENTRY and "entry_invoke_command" in names and "__ta_entry" in names
            assert int(session.locals()["cmd_id"]) == Command.INFO
            assert session.evaluate("params[0].memref.size") == str(INFO_MAX_BYTES)
            key = "((struct cml_session *)session_ctx)->data_key"
            assert session.evaluate(f"sizeof({key}) > 0") == "1"
            done = session.finish(WAIT_S)
            assert done.frame.function == "entry_invoke_command" and done.value == "0"
            places.add(stop.frame.address)
            session.cont()
            assert answer.result(WAIT_S)["abi"] == ABI_VERSION
            session.interrupt(WAIT_S)
    assert len(places) > 1
    assert_runs(machine)


def test_sessions_side_by_side(machine: Machine, threads: ThreadPoolExecutor) -> None:
    """Those that are there before gdb is; their instances mostly overlap, as addresses go."""
    with opened(machine) as first, opened(machine) as second:
        with gdb.attach(machine, "ta", UUID) as session:
            session.breakpoint(ENTRY, condition=f"cmd_id == {Command.INFO}")
            contexts = []
            for client in (first, second, first, second):
                session.cont()
                answer = threads.submit(asked, client)
                assert session.wait_stop(WAIT_S).frame.function == ENTRY
                contexts.append(session.evaluate("(unsigned long)$TTBR0_EL1 >> 48"))
                session.cont()
                assert answer.result(WAIT_S)["abi"] == ABI_VERSION
                session.interrupt(WAIT_S)
        # Each in its own address space.
        assert contexts[0] == contexts[2] != contexts[1] == contexts[3]


def test_stepping_through_a_ta(machine: Machine, call: Call) -> None:
    with gdb.attach(machine, "ta", UUID) as session:
        session.breakpoint(ENTRY)
        session.cont()
        answer = call()
        line = session.wait_stop(WAIT_S).frame.line
        following = session.next(WAIT_S)
        assert following.frame.function == ENTRY and following.frame.line > line
        for _ in range(8):
            inner = session.step(WAIT_S)
            if inner.frame.function != ENTRY:
                break
        assert inner.frame.function not in (ENTRY, "??")
        session.cont()
        assert answer.result(WAIT_S)["abi"] == ABI_VERSION


def test_a_ta_that_runs_and_does_not_end(machine: Machine, threads: ThreadPoolExecutor) -> None:
    pushed = run_sandbox("ta", "push", ROOT / "tests/e2e/busy_ta")
    assert pushed.status == 0, pushed.stderr
    with TEEContext(machine) as context, context.open_session(BUSY_UUID) as client:
        rounds = (ValueInOut(2**32 - 1, 0),)
        answer = threads.submit(client.invoke, BUSY_WORK, rounds, timeout_s=600)
        with gdb.attach(machine, "ta", "busy_ta") as session:

            def found() -> bool:
                session.cont()
                return session.interrupt(WAIT_S).frame.function.startswith("work_")

            assert eventually(found)
            frames = session.backtrace()
            assert frames[0].file.endswith("work.h") and ENTRY in [f.function for f in frames]
            # Have it return at once: gdb's `return` wants to begin in a function of its own.
            number = session.breakpoint("work_thirty")
            session.cont()
            assert session.wait_stop(WAIT_S).frame.function == "work_thirty"
            session.delete(number)
            both = f"gdb.execute('frame function {ENTRY}'); gdb.execute('return (TEE_Result)0')"
            session.execute(f"python {both}")
            session.cont()
            answer.result(WAIT_S)


def test_the_core(machine: Machine, call: Call) -> None:
    with gdb.attach(machine, gdb.Kind.CORE) as session:
        number = session.breakpoint("tee_ta_invoke_command")
        session.cont()
        answer = call()
        stop = session.wait_stop(WAIT_S)
        assert stop.breakpoint == number and stop.frame.function == "tee_ta_invoke_command"
        assert stop.frame.file.endswith("core/kernel/tee_ta_manager.c") and stop.frame.line > 0
        assert int(session.evaluate("cmd")) == Command.INFO
        assert "__tee_entry_std" in [frame.function for frame in session.backtrace()]
        session.delete(number)
        session.cont()
        assert answer.result(WAIT_S)["abi"] == ABI_VERSION
    assert_runs(machine)


def test_the_stack_below_a_system_call_of_a_ta(machine: Machine, call: Call) -> None:
    """OP-TEE's assembler describes no frames: without help gdb finds the same one for ever."""
    with gdb.attach(machine, gdb.Kind.CORE) as session:
        number = session.breakpoint("syscall_log")
        other = session.breakpoint("syscall_get_property")
        session.cont()
        answer = call()
        session.wait_stop(WAIT_S)
        names = [frame.function for frame in session.backtrace()]
        assert names[1] == "scall_do_call" and names.count("scall_do_call") == 1, names
        assert "el0_svc" in names
        session.delete(number)
        session.delete(other)
        session.cont()
        answer.result(WAIT_S)


def test_linux(machine: Machine, call: Call) -> None:
    with gdb.attach(machine, gdb.Kind.KERNEL) as session:
        number = session.breakpoint("optee_smc_do_call_with_arg")
        session.cont()
        answer = call()
        assert session.wait_stop(WAIT_S).frame.function == "optee_smc_do_call_with_arg"
        names = [frame.function for frame in session.backtrace()]
        assert len(names) > 1 and "??" not in names[:2], names
        session.delete(number)
        session.cont()
        assert answer.result(WAIT_S)["abi"] == ABI_VERSION


def test_a_vmlinux_of_another_build_is_refused(machine: Machine) -> None:
    ran = run_sandbox("gdb", "kernel", "--symbols", machine.folder.symbols / "core.elf")
    assert ran.status == 2 and "is no vmlinux" in ran.stderr


# The command line -------------------------------------------------------------------------------


@contextlib.contextmanager
def started(*args: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """`sandbox gdb` without a terminal; its standard input stays open."""
    argv = [sys.executable, "-m", "sandbox", "gdb", *map(os.fspath, args)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        with limited(process):
            yield process


@contextlib.contextmanager
def limited(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Whoever waits for its output does not wait for ever."""
    timer = threading.Timer(3 * WAIT_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        process.kill()


def read_until(stream: IO[str] | None, word: str) -> None:
    assert stream is not None
    for line in stream:
        if word in line:
            return
    raise AssertionError(f"gdb ended without {word!r}")


def test_without_a_terminal(machine: Machine, call: Call) -> None:
    script = ["--batch", "-ex", f"break {ENTRY}", "-ex", r"echo armed\n", "-ex", "continue"]
    script += ["-ex", "print cmd_id", "-ex", "backtrace", "-ex", "detach"]
    with started("ta", UUID[:8], "--timeout", str(WAIT_S), *script) as process:
        read_until(process.stdout, "armed")
        # From here on the call waits, or meets the breakpoint.
        assert eventually(lambda: not machine.status().stopped)
        answer = call()
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait(WAIT_S) == 0, said
    assert f"$1 = {int(Command.INFO)}" in said and "entry.c:" in said and "#1 " in said
    assert answer.result(WAIT_S)["abi"] == ABI_VERSION
    assert_runs(machine)


def test_the_exit_status_is_gdbs_and_a_limit_is_kept(machine: Machine) -> None:
    ran = run_sandbox("gdb", "ta", UUID, "--batch", "-ex", "print no_such_symbol")
    assert ran.status == 1 and "no_such_symbol" in ran.stderr
    ran = run_sandbox("gdb", "--timeout", "2", "core", "--batch", "-ex", "continue")
    assert ran.status == 4 and "was not done after 2 s" in ran.stderr
    ran = run_sandbox("gdb", "ta", "no-such-ta")
    assert ran.status == 2 and "inference" in ran.stderr
    assert_runs(machine)


@pytest.mark.parametrize("victim", ["sandbox", "gdb"])
def test_who_stops_the_machine_is_told_and_may_be_killed(machine: Machine, victim: str) -> None:
    with started("ta", UUID, "-ex", f"break {ENTRY}", "-ex", r"echo armed\n") as process:
        read_until(process.stdout, "armed")
        status = run_sandbox("status", "--json").json
        assert status["state"] == "up" and status["answers"] is False
        assert status["debugger"]["stopped"] and status["debugger"]["pid"] == process.pid
        ran = run_sandbox("exec", "--", "true")
        assert ran.status == 2 and f"sandbox gdb ta {UUID}" in ran.stderr
        assert run_sandbox("gdb", "core", "--batch").status == 2
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        debuggers = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text()[:3] == "gdb"]
        assert len(debuggers) == 1
        os.kill(process.pid if victim == "sandbox" else int(debuggers[0]), signal.SIGKILL)
        assert eventually(lambda: hold.holder(machine.folder) is None)
    # Had the breakpoint stayed, this call would stop the machine for good.
    assert_runs(machine)


def test_no_symbols_are_older_than_the_checkout() -> None:
    # gdb would warn that the sources are newer than what was built of them.
    source = ROOT / "ta/inference/entry.c"
    os.utime(source)
    for elf in recipe.symbols(2, SilentProgress()).values():
        assert elf.stat().st_mtime_ns >= source.stat().st_mtime_ns, elf


def test_the_transcripts_of_the_page(tmp_path: Path) -> None:
    """In a machine where no other session of the TA is open: gdb would tell of each."""
    own = ("--machine", "gdb-page")
    transcript = list(transcripts.commands((ROOT / "docs/debugging.md").read_text()))
    env = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SANDBOX_MACHINE": own[1],
    }
    assert run_sandbox(*own, "up").status == 0
    try:
        printed = transcripts.run(transcript, folder=tmp_path, env=env, timeout_s=300.0)
        assert run_sandbox(*own, "exec", "--", "cml-ca", "info").status == 0
    finally:
        assert run_sandbox(*own, "down").status == 0
    wrong = list(transcripts.differences(transcript, printed))
    assert not wrong, "\n\n".join(wrong)


def test_a_launch_file_for_vs_code(machine: Machine, call: Call, tmp_path: Path) -> None:
    place = tmp_path / ".vscode"
    place.mkdir()
    other = {"name": "mine", "type": "python", "request": "launch"}
    (place / "launch.json").write_text(json.dumps({"configurations": [other], "version": "0.2.0"}))
    for _ in range(2):
        ran = run_sandbox("gdb", "ta", "inference", "--vscode", tmp_path)
        assert ran.status == 0, ran.stderr
    configurations = json.loads((place / "launch.json").read_text())["configurations"]
    assert len(configurations) == 2 and configurations[0] == other
    made = configurations[1]
    assert made["type"] == "cppdbg" and Path(made["program"]).is_file()
    script = made["miDebuggerPath"].replace("${workspaceFolder}", str(tmp_path))
    # What the extension runs, and what it then says.
    with (
        subprocess.Popen(
            [script, "--interpreter=mi"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        limited(process),
    ):
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"1001-break-insert -f {ENTRY}\n1002-exec-continue\n")
        process.stdin.flush()
        read_until(process.stdout, "1001^done,bkpt=")
        read_until(process.stdout, "1002^running")
        answer = call()
        read_until(process.stdout, '*stopped,reason="breakpoint-hit"')
        process.stdin.write("1003-exec-continue\n1004-exec-interrupt\n")
        process.stdin.flush()
        read_until(process.stdout, "1003^running")
        read_until(process.stdout, "*stopped,")
        process.stdin.write("1005-gdb-exit\n")
        process.stdin.flush()
        read_until(process.stdout, "1005^exit")
        assert process.wait(WAIT_S) == 0
    assert answer.result(WAIT_S)["abi"] == ABI_VERSION
    assert_runs(machine)
