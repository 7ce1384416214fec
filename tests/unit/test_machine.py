# SPDX-License-Identifier: Apache-2.0
"""The machine's life, with a fake QEMU that replays recorded consoles. Nothing boots."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sandbox.build import recipe
from sandbox.errors import GuestError, InfraError, UserError
from sandbox.log import SilentProgress
from sandbox.machine import console, qemu_v8, qmp, sockets
from sandbox.machine.boot import EVENTS, BootError, QemuError
from sandbox.machine.console import ConsoleAlarm
from sandbox.machine.deadline import Deadline
from sandbox.machine.folder import Phase, World
from sandbox.machine.guest import GuestCommandError, GuestTimeout
from sandbox.machine.machine import Machine, MachineDown, State, Status
from sandbox.machine.process_id import ProcessId

MakeQemu = Callable[..., str]
MakeMachine = Callable[..., Machine]


@dataclass(frozen=True)
class Images:
    flash: Path
    kernel: Path
    initrd: Path
    symbols: Mapping[str, Path] = field(default_factory=dict)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    made = Images(tmp_path / "flash.bin", tmp_path / "Image", tmp_path / "initrd.cpio")
    for path in (made.flash, made.kernel, made.initrd):
        path.write_bytes(b"x" * 1001)
    return made


def up(machine: Machine, images: Images, timeout_s: float = 30.0) -> tuple[Status, bool]:
    return machine.up(
        images, cores=2, memory_mib=512, timeout_s=timeout_s, progress=SilentProgress()
    )


def processes_with(text: str) -> list[int]:
    """Every process of this host that was given `text` as part of an argument."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = Deadline(timeout_s)
    while not condition():
        if deadline.expired:
            return False
        time.sleep(0.02)
    return True


def assert_nothing_left(machine: Machine) -> None:
    assert eventually(lambda: not processes_with(str(machine.folder.path)))
    left = {path.name for path in machine.folder.path.iterdir()}
    logs = {"normal.log", "secure.log", "qemu.log", "console.index", "runs"}
    assert left <= {"keys", "symbols", "flash.img", "storage", *logs}
    assert machine.status().state is State.DOWN


# The good life ----------------------------------------------------------------------------------


def test_up_status_exec_down(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    assert machine.status().state is State.DOWN
    status, started = up(machine, images)
    assert started and status.state is State.UP
    record = status.record
    assert record is not None and record.qemu is not None and record.qemu.alive()
    names = [stage.name for stage in record.stages]
    assert names[:3] == ["qemu", "firmware", "kernel"]
    assert sorted(names[3:-2]) == sorted(EVENTS[1:])
    assert names[-2:] == ["ta", "service"]
    assert all(stage.seconds >= 0 for stage in record.stages)
    assert record.ta == {"abi": 1, "version": "0.1.0", "cpu": ["dotprod", "i8mm"]}

    again = machine.status()
    assert again.state is State.UP and again.answers and again.record == record
    with machine.guest() as guest:
        assert guest.run(["echo", "two  words", "$HOME"], timeout_s=10).stdout == (
            b"two  words $HOME\n"
        )

    assert machine.down()
    assert not listening(record.ssh_port)
    assert_nothing_left(machine)
    assert not machine.down()


def test_second_up_is_harmless(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    first, started = up(machine, images)
    second, started_again = up(machine, images)
    assert (started, started_again) == (True, False)
    assert second.record == first.record
    # QEMU, and the recorder of its consoles.
    assert len(processes_with(str(machine.folder.path))) == 2


def test_another_process_can_end_it(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    up(machine, images)
    other = machines()  # knows nothing but the folder
    assert other.down()
    assert_nothing_left(machine)


def test_two_ups_at_once_start_one_machine(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    program = qemu()
    results: list[tuple[Status, bool]] = []
    threads = [
        threading.Thread(target=lambda: results.append(up(machines(program), images)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(started for _, started in results) == [False, True]
    assert results[0][0].record == results[1][0].record


def test_machines_with_other_names_are_apart(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    one, two = machines(qemu(), name="one"), machines(qemu(), name="two")
    up(one, images)
    up(two, images)
    one.down()
    assert one.status().state is State.DOWN
    assert two.status().state is State.UP and two.status().answers


def test_keys_survive_and_are_private(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines(qemu())
    up(machine, images)
    machine.down()
    keys = {path.name: path.read_bytes() for path in machine.folder.keys.iterdir()}
    up(machine, images)
    after = {path.name: path.read_bytes() for path in machine.folder.keys.iterdir()}
    # Who still listens from an earlier boot knows an earlier token.
    assert keys.pop("token") != after.pop("token")
    assert keys == after and set(keys) == {"client", "host"}
    for path in machine.folder.keys.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (machine.folder.path, machine.share, machine.folder.keys):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_deep_folder_with_commas_works(qemu: MakeQemu, tmp_path: Path, images: Images) -> None:
    # Far longer than the 107 bytes of a Unix socket's name.
    path = tmp_path.joinpath("a,b", *["deeper" * 10] * 3)
    machine = Machine("default", path, qemu=qemu())
    try:
        up(machine, images)
        with qmp.connect(machine.folder.qmp_socket, Deadline(5)) as control:
            assert control.execute("query-status") == {"status": "running"}
    finally:
        assert machine.down()


def test_console_can_be_typed_into(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    up(machine, images)
    with console.attached(machine.folder, World.NORMAL, timeout_s=5) as terminal:
        terminal.sendline("hello")
        terminal.expect_exact("hello")
    assert b"hello\n" in machine.folder.log(World.NORMAL).read_bytes()


# A bad start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("panic", ConsoleAlarm, "kernel panic in the normal world"),
        ("panic", ConsoleAlarm, "ret_from_fork"),  # the call stack after it is quoted too
        ("tee-panic", ConsoleAlarm, "TEE panic in the secure world: .* <alloc_stack>"),
        ("tee-panic", ConsoleAlarm, "Call stack:"),
        ("ta-panic", ConsoleAlarm, "TA panic in the secure world: .*0xffff0006"),
        ("dies", BootError, r"QEMU ended \(exit status 7\) while we waited for"),
        ("event-failed", BootError, "the guest reports: share: mount: mounting share failed"),
        ("no-ta", BootError, "the TA does not answer: TEEC_OpenSession: TEEC_ERROR_ITEM_NOT_FOUND"),
        ("no-client", BootError, "the guest has no cml-ca"),
        ("other-token", BootError, "is not this machine: it does not know its token"),
    ],
)
def test_a_bad_boot_gives_its_reason_and_both_consoles(
    mode: str,
    kind: type[GuestError],
    said: str,
    qemu: MakeQemu,
    machines: MakeMachine,
    images: Images,
) -> None:
    machine = machines(qemu(mode))
    with pytest.raises(kind, match=said) as caught:
        up(machine, images)
    message = caught.value.message
    for world in World:
        assert str(machine.folder.log(world)) in message
    assert "BL31: v2.12.1" in message and "I/TC: " in message
    assert caught.value.exit_code == 4 and caught.value.hints
    assert_nothing_left(machine)


def test_a_hang_tells_how_far_it_came(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines(qemu("hang"))
    began = time.monotonic()
    with pytest.raises(BootError) as caught:
        up(machine, images, timeout_s=2.0)
    assert time.monotonic() - began < 10
    reason = caught.value.message
    assert reason.startswith("no `init` within 2 s: the last that came was `firmware`")
    assert "QEMU is running" in reason
    assert "CPU9: failed to come online" in reason
    assert_nothing_left(machine)


def test_qemu_that_refuses_its_arguments(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines(qemu("exit"))
    with pytest.raises(QemuError, match=r"(?s)exit status 1.*unsupported machine type"):
        up(machine, images)
    assert_nothing_left(machine)


def test_qemu_that_is_not_there(machines: MakeMachine, images: Images) -> None:
    machine = machines("/nowhere/qemu-system-aarch64")
    with pytest.raises(InfraError, match="program not found"):
        up(machine, images)
    assert_nothing_left(machine)


def test_qemu_that_never_answers(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu("mute"))
    with pytest.raises(InfraError, match="did not answer"):
        up(machine, images, timeout_s=1.0)
    assert_nothing_left(machine)


def test_after_a_bad_boot_a_good_one_works(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    with pytest.raises(ConsoleAlarm):
        up(machines(qemu("panic")), images)
    status, started = up(machines(qemu()), images)
    assert started and status.state is State.UP


# Interruption -----------------------------------------------------------------------------------

STARTER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_machine import Images
from sandbox.__main__ import _terminate
from sandbox.log import SilentProgress
from sandbox.machine.machine import Machine
import signal
signal.signal(signal.SIGTERM, _terminate)
images = Images(*(Path(p) for p in {images!r}))
Machine("default", Path({path!r}), qemu={qemu!r}).up(
    images, cores=2, memory_mib=512, timeout_s=60, progress=SilentProgress()
)
"""


def start_and_signal(machine: Machine, images: Images, program: str, number: int) -> None:
    """Another process starts the machine and is sent a signal when the boot hangs."""
    script = STARTER.format(
        tests=str(Path(__file__).parent),
        images=[str(p) for p in (images.flash, images.kernel, images.initrd)],
        path=str(machine.folder.path),
        qemu=program,
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    log = machine.folder.log(World.NORMAL)
    assert eventually(lambda: log.exists() and b"CPU9" in log.read_bytes(), 30)
    assert machine.status().state is State.STARTING
    starter.send_signal(number)
    assert starter.wait(20) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing(
    number: int, qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines()
    start_and_signal(machine, images, qemu("hang"), number)
    assert not machine.folder.record.exists()  # undone by the one who was interrupted
    assert_nothing_left(machine)


def test_a_killed_start_leaves_no_process_and_the_rest_is_cleaned_up(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines()
    start_and_signal(machine, images, qemu("hang"), signal.SIGKILL)
    # Nobody runs any command of ours: QEMU's guard does it.
    assert eventually(lambda: not processes_with(str(machine.folder.path)))
    status = machine.status()
    assert status.state is State.DOWN and "interrupted start" in (status.remark or "")
    assert_nothing_left(machine)
    good = machines(qemu())
    assert up(good, images)[1]


# What outlives its processes --------------------------------------------------------------------


def test_a_qemu_that_died_is_noticed(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    status, _ = up(machine, images)
    assert status.record is not None and status.record.qemu is not None
    os.kill(status.record.qemu.pid, signal.SIGKILL)
    assert eventually(lambda: not status.record.qemu.alive())  # type: ignore[union-attr]
    with pytest.raises(MachineDown, match="was gone"):
        machine.guest()
    assert_nothing_left(machine)


def test_up_after_qemu_died_starts_afresh(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines(qemu())
    first, _ = up(machine, images)
    assert first.record is not None and first.record.qemu is not None
    os.kill(first.record.qemu.pid, signal.SIGKILL)
    assert eventually(lambda: machine.folder.read().qemu.alive() is False)  # type: ignore[union-attr]
    second, started = up(machine, images)
    assert started and second.record is not None and "was gone" in (second.remark or "")
    assert second.record.qemu != first.record.qemu


def test_a_reused_pid_is_not_killed(qemu: MakeQemu, machines: MakeMachine, images: Images) -> None:
    machine = machines(qemu())
    status, _ = up(machine, images)
    assert status.record is not None and status.record.qemu is not None
    os.kill(status.record.qemu.pid, signal.SIGKILL)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            # As if the number had come round: same pid, but started at another time.
            stranger = replace(status.record.qemu, pid=bystander.pid)
            machine.folder.write(replace(status.record, qemu=stranger))
            assert not stranger.alive()
            machine.down()
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert_nothing_left(machine)


def test_a_record_from_before_the_host_rebooted(
    qemu: MakeQemu, machines: MakeMachine, images: Images
) -> None:
    machine = machines(qemu())
    status, _ = up(machine, images)
    record = status.record
    machine.down()
    assert record is not None
    machine.folder.create()
    # The same number and even the same start time, but of another boot: this very process.
    mine = replace(ProcessId.mine(), boot_id="another")
    machine.folder.write(replace(record, qemu=mine))
    assert machine.status().state is State.DOWN
    assert_nothing_left(machine)


def test_a_stubborn_qemu_is_killed(
    qemu: MakeQemu, machines: MakeMachine, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.machine.machine._END_S", 0.3)
    machine = machines(qemu("stubborn"))
    status, _ = up(machine, images)
    assert status.record is not None and status.record.qemu is not None
    assert machine.down()
    assert not status.record.qemu.alive()
    assert_nothing_left(machine)


def test_a_record_nobody_understands(machines: MakeMachine) -> None:
    machine = machines()
    machine.folder.create()
    machine.folder.record.write_text('{"version": 99}')
    with pytest.raises(InfraError, match="cannot understand"):
        machine.status()
    machine.folder.record.unlink()


def test_down_waits_no_longer_than_told(machines: MakeMachine) -> None:
    machine = machines()
    machine.folder.create()
    with machine.folder.locked(Deadline(0)):
        with pytest.raises(UserError, match="is busy with this machine"):
            machines().down(wait_s=0.2)


# The guest --------------------------------------------------------------------------------------


@pytest.fixture
def running(qemu: MakeQemu, machines: MakeMachine, images: Images) -> Machine:
    machine = machines(qemu())
    up(machine, images)
    return machine


def test_exact_status_and_bytes(running: Machine) -> None:
    every = bytes(range(256)) * 700  # more than a frame, though less than a window
    with running.guest() as guest:
        for expected in (0, 1, 77, 255):
            assert guest.run(["sh", "-c", f"exit {expected}"], timeout_s=10).status == expected
        done = guest.run(["cat"], timeout_s=20, stdin=every)
        assert done.stdout == every
        done = guest.run(["sh", "-c", "cat >&2; echo out"], timeout_s=20, stdin=every)
        assert (done.stdout, done.stderr) == (b"out\n", every)
        hostile = ["printf", "%s|", "a b", "$(reboot)", "'", '"', "", "ä\n", "*"]
        assert guest.run(hostile, timeout_s=10).stdout.decode() == "|".join([*hostile[2:], ""])


def test_a_failing_command_is_reported(running: Machine) -> None:
    with running.guest() as guest:
        with pytest.raises(GuestCommandError, match="exit status 3: no such thing"):
            guest.run(["sh", "-c", "echo no such thing >&2; exit 3"], timeout_s=10, check=True)


def test_a_slow_command_is_given_up(running: Machine) -> None:
    with running.guest() as guest:
        began = time.monotonic()
        with pytest.raises(GuestTimeout, match="within 0 s|within 1 s"):
            guest.run(["sleep", "5"], timeout_s=0.5)
        assert time.monotonic() - began < 4


def test_a_command_that_reads_nothing(running: Machine) -> None:
    with running.guest() as guest:
        assert guest.run(["true"], timeout_s=10, stdin=bytes(1 << 20)).status == 0


def test_conversations_at_once(running: Machine) -> None:
    with running.guest() as guest:
        with guest.lines(["cat"]) as one, guest.lines(["cat"]) as two:
            one.send("to one")
            two.send("to two")
            assert (two.receive(5), one.receive(5)) == ("to two", "to one")
            with pytest.raises(GuestTimeout, match="no answer from cat"):
                one.receive(0.1)
        with guest.lines(["sh", "-c", "echo last words >&2"]) as gone:
            with pytest.raises(GuestError, match="ended without an answer: last words"):
                gone.receive(5)


# A process whose first thread is over while another still holds its files and ports.
HALF_ENDED = """
import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_lives_as_long_as_its_last_thread() -> None:
    command = [sys.executable, "-c", HALF_ENDED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        identity = ProcessId.of(child.pid)
        assert identity is not None
        stat = Path(f"/proc/{child.pid}/stat")
        assert eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        assert identity.alive() and not identity.wait_gone(Deadline(0.05))
        identity.signal(signal.SIGKILL)
        assert identity.wait_gone(Deadline(10)) and not identity.alive()
    assert not identity.alive()


# Pieces -----------------------------------------------------------------------------------------


def test_record_is_read_back_as_written(running: Machine) -> None:
    record = running.folder.read()
    assert record is not None and record.phase is Phase.UP
    assert type(record).from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("world", "text", "name"),
    [
        (
            World.NORMAL,
            "[    1.0] Kernel panic - not syncing: Attempted to kill init!",
            "kernel panic",
        ),
        (World.NORMAL, "Internal error: Oops: 0000000096000004 [#1] SMP", "kernel oops"),
        (World.NORMAL, "Unable to handle kernel NULL pointer dereference at 0000", "kernel oops"),
        (World.NORMAL, "kernel BUG at mm/slub.c:448!", "kernel bug"),
        (World.NORMAL, "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", "kernel stall"),
        (World.NORMAL, "rcu: INFO: rcu_preempt self-detected stall on CPU", "kernel stall"),
        (World.NORMAL, "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "kernel stall"),
        (World.NORMAL, "INFO: task cml-ca:99 blocked for more than 120 seconds.", "kernel hang"),
        (World.NORMAL, "Out of memory: Killed process 71 (cml-ca)", "out of memory"),
        (World.NORMAL, "PANIC in EL3.", "firmware panic"),
        (World.NORMAL, "ASSERT: plat/qemu/common/qemu_pm.c:12", "firmware panic"),
        (World.SECURE, "E/TC:0 0 assertion '!res' failed at core/x.c:1 <f>", "TEE assertion"),
        (World.SECURE, "E/TC:0 0 Panic 'unhandled' at core/kernel/abort.c:1 <f>", "TEE panic"),
        (World.SECURE, "E/TC:0 0 Core data-abort at address 0x8 (translation fault)", "TEE panic"),
        (World.SECURE, "E/TC:? 0 TA panicked with code 0xffff0006", "TA panic"),
        (World.SECURE, "E/TC:? 0 User mode data-abort at address 0x8", "TA panic"),
        (World.SECURE, "E/TC:0 0 Panic 'Out of memory' at core/mm/core_mmu.c:665", "TEE panic"),
        (
            World.SECURE,
            "E/TC:? 0 ldelf_init_with_ldelf:152 ldelf failed with res: 0xffff000f",
            "ldelf failure",
        ),
        (
            World.SECURE,
            "E/TC:? 0 ldelf_init_with_ldelf:152 ldelf failed with res: 0xffff000c",
            "out of secure memory",
        ),
        (World.NORMAL, "@sandbox ssh 3.23", ""),
        (World.NORMAL, "systemd: Panicked? no.", ""),
        (World.SECURE, "I/TC: Dynamic shared memory is enabled", ""),
        (World.SECURE, "I/TA: ssd: debugging session opened", ""),
    ],
)
def test_bad_patterns(
    world: World,
    text: str,
    name: str,
    machines: MakeMachine,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "_SETTLE_S", 0.0)
    machine = machines()
    machine.folder.create()
    watch = console.Watch(machine.folder)
    request.addfinalizer(watch.close)
    machine.folder.log(world).write_text(f"all is well\r\n{text}\r\n")
    if name == "":
        assert [line.text for line in watch.lines()] == ["all is well", text]
        return
    with pytest.raises(ConsoleAlarm, match=name) as caught:
        list(watch.lines())
    assert text in caught.value.message
    if name == "firmware panic":
        return  # TF-A may speak on either
    # The same words in the other world mean nothing.
    other = next(w for w in World if w is not world)
    machine.folder.log(world).unlink()
    machine.folder.log(other).write_text(f"{text}\r\n")
    assert [line.text for line in console.Watch(machine.folder).lines()] == [text]


def test_an_expected_pattern_is_let_through(machines: MakeMachine) -> None:
    machine = machines()
    machine.folder.create()
    watch = console.Watch(machine.folder)
    panic = "E/TC:? 0 TA panicked with code 0x0\n"
    with watch.expecting("TA panic"):
        machine.folder.log(World.SECURE).write_text(panic)
        assert len(list(watch.lines())) == 1
    with machine.folder.log(World.SECURE).open("a") as log:
        with watch.expecting("TA panic"):
            log.write(panic)
            log.flush()
        watch.check()
        log.write(panic)
        log.flush()
    watch.look()  # the machine goes on after it
    with pytest.raises(ConsoleAlarm):
        watch.check()
    with pytest.raises(ValueError), watch.expecting("no such name"):
        pass


def test_console_text_cannot_steer_a_terminal() -> None:
    raw = b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b5A\x08\x00bell\x07 tab\there \xff\r\n"
    broken = "\N{REPLACEMENT CHARACTER}"
    assert console.clean(raw) == f"red {broken}5Abell tab\there {broken}"


def test_follower_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    follower = console.Follower(World.NORMAL, path)
    assert list(follower.read()) == []
    path.write_bytes(b"one\r\ntw")
    assert [line.text for line in follower.read()] == ["one"]
    with path.open("ab") as log:
        log.write(b"o\nthree")
    assert [line.text for line in follower.read()] == ["two"]
    assert [line.text for line in follower.rest()] == ["three"]
    assert list(follower.rest()) == []
    path.write_bytes(b"new\n")  # another boot
    assert [line.text for line in follower.read()] == ["new"]
    path.write_bytes(b"y" * 100_000)  # a line without an end is not kept whole
    assert sum(len(line.text) for line in follower.read()) > 90_000
    follower.close()


@pytest.mark.parametrize(("available", "expected"), [(1, 2), (2, 2), (6, 6), (64, 8)])
def test_default_cores_follow_the_host(
    available: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(available)))
    assert qemu_v8.default_cores() == expected


def test_initrd_and_keys_meet_in_memory(tmp_path: Path, images: Images) -> None:
    access = tmp_path / "access.cpio"
    access.write_bytes(b"a" * 512)
    argv = qemu_v8.arguments(
        images,
        name="t",
        cores=2,
        memory_mib=512,
        access=access,
        flash=tmp_path / "flash,img",
        share=tmp_path,
        storage=tmp_path,
        logs={world: tmp_path / f"{world}.log" for world in World},
        sockets=qemu_v8.Sockets({World.NORMAL: 3, World.SECURE: 4}, 5),
    )
    # 1001 bytes of initrd, rounded up to 1004, then the keys.
    assert any(f"file={access},addr=0x480003ec" in word for word in argv)
    assert any("initrdmem=0x48000000,0x5ec" in word for word in argv)
    assert f"if=pflash,unit=0,format=raw,file={tmp_path}/flash,,img" in argv
    with pytest.raises(InfraError, match="too few"):
        qemu_v8.arguments(
            replace(images, initrd=_sparse(tmp_path / "big", 400 << 20)),
            name="t",
            cores=2,
            memory_mib=512,
            access=access,
            flash=tmp_path / "flash.img",
            share=tmp_path,
            storage=tmp_path,
            logs={world: tmp_path / f"{world}.log" for world in World},
            sockets=qemu_v8.Sockets({World.NORMAL: 3, World.SECURE: 4}, 5),
        )


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_qmp_refuses_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "qmp.sock"
    answers = [b"not json\n", b'{"QMP": {}}\n{"error": {"desc": "no such command"}}\n', b""]
    said = ["no JSON", "no such command", "hung up"]
    with sockets.listen(path) as server:
        for answer, words in zip(answers, said, strict=True):
            thread = threading.Thread(target=_answer_once, args=(server, answer))
            thread.start()
            with pytest.raises(qmp.QmpError, match=words):
                with qmp.connect(path, Deadline(5)):
                    pass
            thread.join(5)


def _answer_once(server: socket.socket, answer: bytes) -> None:
    client, _ = server.accept()
    with client:
        client.sendall(answer)
        if b"error" in answer:
            client.recv(4096)


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "-x", "a" * 49, "a b", "ä"])
def test_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no name for a machine"):
        Machine(name, tmp_path)


def test_board_agrees_with_the_firmware() -> None:
    """Where we put kernel and device tree is where TF-A was built to find them."""
    text = (Path(__file__).parents[2] / "optee-build" / "trusted-firmware.options").read_text()
    options = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#"
    )
    assert int(options["PRELOADED_BL33_BASE"], 16) == qemu_v8.QEMU_V8.kernel_address
    assert int(options["ARM_PRELOADED_DTB_BASE"], 16) == qemu_v8.QEMU_V8.ram_base
    assert recipe.core_slots(qemu_v8.MAX_CORES) >= qemu_v8.MAX_CORES
    with pytest.raises(UserError):
        recipe.core_slots(qemu_v8.MAX_CORES + 1)


def test_records_hold_no_secret(running: Machine) -> None:
    text = running.folder.record.read_text() + running.folder.qemu_log.read_text()
    client = (running.folder.keys / "client").read_text().splitlines()[2]
    assert client not in text
    assert (running.folder.keys / "host").read_bytes().hex() not in text
    json.loads(running.folder.record.read_text())
