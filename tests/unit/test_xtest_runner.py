# SPDX-License-Identifier: Apache-2.0
"""xtest as it is run and watched, with a fake machine and a script in the place of xtest."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.log import SilentProgress
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine
from sandbox.xtest import runner
from sandbox.xtest.output import Reader, XtestError
from sandbox.xtest.results import Outcome, Run

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "xtest"
SELECTED = tuple(f"regression_{number}" for number in (1001, 1032, 4004, 4013))
TA_PANIC = "E/TC:? 0 TA panicked with code 0xffff0006"
CORE_PANIC = "E/TC:0 0 Panic at core/kernel/panic.c:28 <__do_panic>"

RunXtest = Callable[..., Run]


@dataclass(frozen=True)
class Images:
    flash: Path
    kernel: Path
    initrd: Path
    symbols: dict[str, Path] = field(default_factory=dict)


@pytest.fixture
def xtest(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qemu: Callable[..., str],
    machines: Callable[..., Machine],
) -> RunXtest:
    """Runs a shell script as xtest in a fake guest: $LOG is the secure world's console."""
    program = tmp_path / "bin" / "xtest"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    images = Images(tmp_path / "flash.bin", tmp_path / "Image", tmp_path / "initrd.cpio")
    for path in (images.flash, images.kernel, images.initrd):
        path.write_bytes(b"x")
    machine = machines(qemu())
    monkeypatch.setenv("LOG", str(machine.folder.log(World.SECURE)))
    monkeypatch.setattr(runner, "UNFINISHED", str(tmp_path / "unfinished"))
    monkeypatch.setenv("GOOD", str(RECORDINGS / "xtest.good.log"))
    machine.up(images, cores=2, memory_mib=512, timeout_s=60.0, progress=SilentProgress())
    record = machine.folder.read()
    assert record is not None and record.qemu is not None
    (tmp_path / "qemu.pid").write_text(str(record.qemu.pid))

    def run(
        script: str,
        *,
        silence_s: float = 60.0,
        everything: bool = False,
        report: Callable[[Reader], None] = lambda _: None,
    ) -> Run:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        with machine.guest() as guest:
            return runner.run(
                machine,
                guest,
                SELECTED,
                everything=everything,
                level=3,
                silence_s=silence_s,
                report=report,
            )

    return run


def test_a_run_is_followed_to_its_end(xtest: RunXtest) -> None:
    seen = []
    done = xtest('echo "$@" >&2; cat "$GOOD"', report=lambda reader: seen.append(reader.finished))
    assert done.passed and done.subtests == 17
    assert tuple(case.name for case in done.cases) == SELECTED == done.selected
    assert seen[-1] == done.cases
    assert done.began == pytest.approx(time.time(), abs=600.0) and done.seconds > 0


def test_xtest_is_told_what_to_run(xtest: RunXtest, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    for everything, words in ((False, " ".join(SELECTED)), (True, "")):
        xtest(f'echo "$@" >{asked}; cat "$GOOD"', everything=everything)
        assert asked.read_text().strip() == f"-t regression+pkcs11 -l 3 {words}".strip()


def test_a_ta_may_panic_and_the_case_keeps_its_lines(xtest: RunXtest) -> None:
    # The pause is for the order of two ways into this process; without it either may be first.
    script = f"""
        echo '* regression_1001 Core self tests'
        sleep 0.5
        echo '{TA_PANIC}' >>"$LOG"
        sleep 0.5
        echo '  regression_1001 FAILED'
        sed 's/regression_1001 OK/regression_1001 FAILED/; s/which 0/which 1/' "$GOOD" | tail -n 10
        exit 1
    """
    done = xtest(script)
    (failed,) = done.failures
    assert failed.name == "regression_1001" and failed.outcome is Outcome.FAILED
    assert failed.console == (f"secure: {TA_PANIC}",)


def test_a_core_panic_ends_the_run(xtest: RunXtest) -> None:
    script = f"""
        sed '/^  regression_1001 OK/q' "$GOOD"
        echo '* regression_1032 Register read-only shared memory'
        sleep 0.5
        echo '{CORE_PANIC}' >>"$LOG"
        echo 'E/TC:0 0 Call stack:' >>"$LOG"
        sleep 60
    """
    began = time.monotonic()
    done = xtest(script)
    assert time.monotonic() - began < 50.0
    assert not done.passed and "Panic at core/kernel/panic.c" in done.problem
    assert [(c.name, c.outcome) for c in done.failures] == [("regression_1032", Outcome.UNFINISHED)]
    assert done.failures[0].console[0] == f"secure: {CORE_PANIC}"
    assert "secure: E/TC:0 0 Call stack:" in done.failures[0].console
    assert done.not_run == SELECTED[2:]


def test_what_was_on_the_consoles_before_is_nobodys_fault(xtest: RunXtest) -> None:
    with open(os.environ["LOG"], "a") as log:
        log.write(f"{CORE_PANIC}\n")
    assert xtest('cat "$GOOD"').passed


def test_a_hang_is_ended_and_its_case_named(xtest: RunXtest, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"""
        sed '/^  regression_1001 OK/q' "$GOOD"
        echo '* regression_1032 Register read-only shared memory'
        echo $$ >{alive}
        sleep 300
        echo '  regression_1032 OK'
    """
    done = xtest(script, silence_s=1.0)
    assert "it has said nothing for 1 s" in done.problem
    (hung,) = done.failures
    assert (hung.name, hung.outcome) == ("regression_1032", Outcome.UNFINISHED)
    assert hung.reason == done.problem
    assert _gone(int(alive.read_text()))


def test_a_case_that_talks_for_ever_is_ended(xtest: RunXtest) -> None:
    script = """
        echo '* regression_1032 Register read-only shared memory'
        while :; do echo still here; sleep 0.05; done
    """
    done = xtest(script, silence_s=0.2)
    assert done.failures[0].name == "regression_1032"
    # A busy host may make it silent for that long.
    assert "within 4 s" in done.problem or "nothing for 0.2 s" in done.problem


def test_a_crash_names_the_case(xtest: RunXtest) -> None:
    done = xtest(
        "sed '/^  regression_1001 OK/q' \"$GOOD\"; echo '* regression_1032 Register'; kill -SEGV $$"
    )
    assert done.problem == "xtest ended too early, with exit status 139"
    assert [case.name for case in done.failures] == ["regression_1032"]
    assert done.not_run == SELECTED[2:]


def test_an_exit_status_that_its_summary_does_not_explain(xtest: RunXtest) -> None:
    assert "exit status 7, though no case failed" in xtest('cat "$GOOD"; exit 7').problem


def test_an_xtest_that_does_not_begin_is_an_error(xtest: RunXtest) -> None:
    with pytest.raises(XtestError, match="exit status 255 before any case: .*no TEE"):
        xtest("echo 'xtest: no TEE' >&2; exit 255")


def test_a_machine_that_ends_is_the_problem_of_a_case(xtest: RunXtest, tmp_path: Path) -> None:
    pid = (tmp_path / "qemu.pid").read_text()
    done = xtest(f"echo '* regression_1032 Register'; sleep 0.5; kill -KILL {pid}; sleep 60")
    assert done.failures[0].name == "regression_1032"
    assert "connection broke" in done.problem or "agent" in done.problem
    with pytest.raises(SandboxError):
        xtest('cat "$GOOD"')


def test_what_an_unfinished_run_left_is_cleared(xtest: RunXtest, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    told = f'echo "$1" >>{calls}; [ "$1" = --clear-storage ] && exit; cat "$GOOD"'
    xtest(told)
    xtest(f"{told} | head -n 20; kill -KILL $$")
    xtest(told)
    xtest(told)
    assert calls.read_text().split() == ["-t", "-t", "--clear-storage", "-t", "-t"]


def test_lines_of_any_length_and_bytes(xtest: RunXtest) -> None:
    script = """
        head -c 100000 /dev/zero
        printf '\\377\\033[31m\\r\\n'
        cat "$GOOD"
        printf 'no end of line'
    """
    assert xtest(script).passed


def _gone(pid: int) -> bool:
    for _ in range(200):
        try:
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
