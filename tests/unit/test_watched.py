# SPDX-License-Identifier: Apache-2.0
"""Commands that fail because a console shows trouble, and the verb that explains. Nothing boots."""

import io
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import __main__ as front
from sandbox import paths
from sandbox.commands.watched import explaining, watched
from sandbox.errors import GuestError
from sandbox.machine.console import ConsoleAlarm, Line, Trouble
from sandbox.machine.folder import World
from sandbox.machine.machine import Machine

RECORDED = Path(__file__).parent / "panics"
LIMIT_S = 20.0


@pytest.fixture
def machine(machines: Callable[..., Machine]) -> Machine:
    made = machines()
    made.folder.create()
    for world in World:
        made.folder.log(world).write_text("before\n")
    return made


def says(machine: Machine, name: str, world: World = World.SECURE) -> None:
    with machine.folder.log(world).open("a") as log:
        log.write((RECORDED / f"{name}.log").read_text())


def test_a_command_on_a_quiet_machine(machine: Machine) -> None:
    says(machine, "ta_null_write")  # before it
    with watched(machine):
        pass
    with pytest.raises(ValueError, match="its own"), watched(machine):
        raise ValueError("its own")


def test_a_panic_fails_a_command_that_succeeded(machine: Machine) -> None:
    with pytest.raises(ConsoleAlarm) as caught, watched(machine):
        says(machine, "ta_null_write")
        finished = True
    assert finished, "a TA's panic lets the command finish"
    alarm = caught.value
    assert alarm.exit_code == 4 and alarm.trouble is Trouble.TA_PANIC
    assert "wrote to a NULL pointer (0x0)" in alarm.message and "no symbols of TA" in alarm.message
    assert any("sandbox explain" in hint for hint in alarm.hints)


def test_a_panic_is_the_reason_of_a_command_that_failed(machine: Machine) -> None:
    with pytest.raises(ConsoleAlarm, match="TA panic") as caught, watched(machine):
        says(machine, "ta_assert")
        raise GuestError("TEE_ERROR_TARGET_DEAD")
    assert isinstance(caught.value.__context__, GuestError)
    with pytest.raises(GuestError, match="something else"), watched(machine):
        raise GuestError("something else")


def test_what_is_allowed_fails_nothing(machine: Machine) -> None:
    with watched(machine, [Trouble.TA_PANIC]):
        says(machine, "ta_null_write")
    with pytest.raises(ConsoleAlarm, match="ldelf failure"):
        with watched(machine, [Trouble.TA_PANIC]):
            says(machine, "ta_null_write")
            says(machine, "ldelf_failure")


def test_a_lost_machine_ends_a_command_that_waits_for_it(machine: Machine) -> None:
    threading.Timer(0.3, says, (machine, "kernel_panic", World.NORMAL)).start()
    began = time.monotonic()
    with pytest.raises(ConsoleAlarm, match="sysrq_handle_crash") as caught, watched(machine):
        threading.Event().wait(LIMIT_S)
    assert time.monotonic() - began < LIMIT_S
    assert caught.value.trouble.fatal
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_in_another_thread_the_end_is_when_it_is_noticed(machine: Machine) -> None:
    alarms: list[ConsoleAlarm] = []

    def work() -> None:
        try:
            with watched(machine):
                says(machine, "tee_abort")
        except ConsoleAlarm as alarm:
            alarms.append(alarm)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LIMIT_S)
    assert [alarm.trouble for alarm in alarms] == [Trouble.TEE_PANIC]


def test_an_alarm_that_nobody_can_explain_keeps_its_excerpts(machine: Machine) -> None:
    line = Line(World.SECURE, "no panic")
    with pytest.raises(ConsoleAlarm, match="no panic\nthe excerpts"), explaining(machine):
        raise ConsoleAlarm(Trouble.TA_PANIC, line, [line], "the excerpts")


# sandbox explain --------------------------------------------------------------------------------


def test_explain_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(["explain", str(RECORDED / "ta_null_write.log")]) == 0
    out = capsys.readouterr().out
    assert out == (RECORDED / "ta_null_write.txt").read_text()


def test_explain_both_worlds_from_one_serial_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one = (RECORDED / "kernel_oops.log").read_bytes()
    other = (RECORDED / "ta_smash.log").read_bytes()
    # A terminal program's time, and lines that alternate.
    lines = [b"14:03:11 " + line for line in other.splitlines()]
    log = tmp_path / "uart.log"
    log.write_bytes(one + b"\n".join(lines) + b"\r\n")
    with log.open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        assert front.main(["explain", "-", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(panic["trouble"] for panic in found) == ["TA panic", "kernel oops"]
    frames = {panic["trouble"]: panic["frames"] for panic in found}
    assert frames["kernel oops"][0]["function"] == "prepare_to_swait_event+0xd0"


def test_explain_the_machine_that_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(["explain"]) == 2
    assert "never started" in capsys.readouterr().err
    machine = Machine("default", paths.machine_dir("default"))
    machine.folder.create()
    machine.folder.log(World.NORMAL).write_text("all is well\n")
    assert front.main(["explain"]) == 0
    assert capsys.readouterr().out == "no panic in these lines\n"
    says(machine, "ta_divide")
    assert front.main(["explain"]) == 0
    assert "ran into a trap (brk #1000)" in capsys.readouterr().out


def test_explain_what_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert front.main(["explain", str(tmp_path / "none.log")]) == 2
    assert "No such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        front.main(["explain", "--symbols", str(tmp_path / "none")])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        front.main(["exec", "--allow", "panic", "--", "true"])
    assert caught.value.code == 2 and "'TA panic'" in capsys.readouterr().err
