# SPDX-License-Identifier: Apache-2.0
"""The agent in a real guest: commands, terminals, files; and SSH beside it."""

import contextlib
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pexpect
import pytest
from real_stack import ROOT, run_sandbox

from sandbox.errors import GuestError, UserError
from sandbox.machine import agent
from sandbox.machine.agent import GuestRefused, GuestTimeout, GuestUnreachable
from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest, GuestCommandError
from sandbox.machine.machine import Machine

LIMIT_S = 120.0


def sandbox(*words: str) -> list[str]:
    return [sys.executable, "-m", "sandbox", *words]


@contextlib.contextmanager
def running(*words: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """`sandbox exec`, which is ended with the test whatever happens."""
    child = subprocess.Popen(
        sandbox("exec", *words),
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def gone(guest: Guest, marker: str) -> bool:
    """Whether no process of the guest has this in its command line, in a while."""
    deadline = Deadline(LIMIT_S)
    script = 'for p in /proc/[0-9]*; do [ $p != /proc/$$ ] && tr "\\0" " " <$p/cmdline; echo; done'
    while not deadline.expired:
        listed = guest.run(["sh", "-c", script], timeout_s=LIMIT_S).stdout.decode()
        if marker not in listed:
            return True
        time.sleep(0.1)
    return False


# Commands --------------------------------------------------------------------------------------


def test_arguments_arrive_as_they_are(guest: Guest) -> None:
    hostile = ["a b", "", "$(reboot)", "'", '"', "\n", "*", "ä", "-n", "\\"]
    done = guest.run(["printf", "%s|", *hostile], timeout_s=LIMIT_S)
    assert done.stdout.decode() == "".join(f"{word}|" for word in hostile)
    long = "x" * 100_000
    done = guest.run(["sh", "-c", "echo ${#0} $#", long, *["y" * 50] * 2000], timeout_s=LIMIT_S)
    assert done.stdout == b"100000 2000\n"
    with pytest.raises(UserError, match="131072 bytes"):
        guest.run(["true", "x" * 131072], timeout_s=LIMIT_S)
    with pytest.raises(GuestRefused, match="too long"):
        guest.run(["true", *["x" * 100_000] * 30], timeout_s=LIMIT_S)
    with pytest.raises(GuestRefused, match="Invalid argument"):
        guest.run(["true", "nul\0inside"], timeout_s=LIMIT_S)


def test_how_a_command_ends(guest: Guest) -> None:
    def status(*argv: str) -> tuple[int, int]:
        done = guest.run(argv, timeout_s=LIMIT_S)
        return done.status, done.signal

    for code in (0, 1, 77, 255):
        assert status("sh", "-c", f"exit {code}") == (code, 0)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE):
        assert status("sh", "-c", f"kill -{number} $$") == (128 + number, number)
    assert status("no-such-program") == (127, 0)
    assert status("/no/such/program") == (127, 0)
    assert status("/etc/passwd") == (126, 0)
    with pytest.raises(GuestCommandError, match="no-such-program: not found"):
        guest.run(["no-such-program"], timeout_s=LIMIT_S, check=True)
    with pytest.raises(GuestCommandError, match="signal 15"):
        guest.run(["sh", "-c", "kill $$"], timeout_s=LIMIT_S, check=True)


def test_where_and_with_what_it_runs(guest: Guest) -> None:
    script = "pwd; echo $HOME $USER $PATH $NEW"
    done = guest.run(
        ["sh", "-c", script], timeout_s=LIMIT_S, cwd="/tmp", env={"NEW": "a b", "USER": "me"}
    )
    assert done.stdout == b"/tmp\n/root me /usr/sbin:/usr/bin a b\n"
    status = guest.run(["cat", "/proc/self/status"], timeout_s=LIMIT_S).stdout.decode()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    # No signal is blocked or ignored, as a program expects at its start.
    for name in ("SigBlk", "SigIgn"):
        assert int(fields[name], 16) == 0
    files = guest.run(["ls", "/proc/self/fd"], timeout_s=LIMIT_S).stdout.split()
    assert files == [b"0", b"1", b"2", b"3"]  # the last is ls's own
    assert guest.run(["pwd"], timeout_s=LIMIT_S).stdout == b"/root\n"
    with pytest.raises(GuestRefused, match="working directory: No such file"):
        guest.run(["true"], timeout_s=LIMIT_S, cwd="/nowhere")


def test_a_stream_both_ways(guest: Guest) -> None:
    """More than all buffers on the way together; and standard error is its own stream."""
    data = os.urandom(1 << 20) * 6
    done = guest.run(["sh", "-c", "tee /dev/stderr"], timeout_s=LIMIT_S, stdin=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(done.stderr).digest() == hashlib.sha256(data).digest()


def test_input_that_nobody_reads(guest: Guest) -> None:
    data = bytes(2 << 20)
    assert guest.run(["true"], timeout_s=LIMIT_S, stdin=data).status == 0
    done = guest.run(["sh", "-c", "exec <&-; echo closed"], timeout_s=LIMIT_S, stdin=data)
    assert done.stdout == b"closed\n"
    done = guest.run(["head", "-c", "3"], timeout_s=LIMIT_S, stdin=b"abcdef")
    assert done.stdout == b"abc"


def test_what_a_command_leaves_behind_holds_nobody(guest: Guest) -> None:
    began = time.monotonic()
    done = guest.run(["sh", "-c", "sleep 1000 & echo started"], timeout_s=LIMIT_S)
    assert done.stdout == b"started\n"
    assert time.monotonic() - began < LIMIT_S
    guest.run(["killall", "sleep"], timeout_s=LIMIT_S)


def test_a_late_command_is_killed_with_its_children(guest: Guest) -> None:
    marker = "12345.25"
    with pytest.raises(GuestTimeout):
        guest.run(["sh", "-c", f"sleep {marker} & sleep {marker}; true"], timeout_s=1.0)
    assert gone(guest, f"sleep {marker}")


def test_conversations(guest: Guest) -> None:
    with guest.lines(["cat"]) as one, guest.lines(["cat"]) as two:
        one.send("to one")
        two.send("to two" + "x" * 500_000)
        assert two.receive(LIMIT_S).startswith("to two")
        assert one.receive(LIMIT_S) == "to one"
    with guest.lines(["sh", "-c", "read line; echo last words >&2"]) as gone_soon:
        gone_soon.send("go")
        with pytest.raises(GuestUnreachable, match="last words"):
            gone_soon.receive(LIMIT_S)


def test_many_at_once(guest: Guest) -> None:
    answers: list[bytes] = []

    def work(number: int) -> None:
        answers.append(guest.run(["echo", str(number)], timeout_s=LIMIT_S).stdout)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(answers) == sorted(b"%d\n" % number for number in range(20))


# The command line ------------------------------------------------------------------------------


def test_exec_passes_bytes_on(machine: Machine) -> None:
    every = bytes(range(256)) * 1000
    done = subprocess.run(
        sandbox("exec", "--", "sh", "-c", "cat; echo no >&2; exit 7"),
        cwd=ROOT,
        input=every,
        capture_output=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, every, b"no\n")
    ran = run_sandbox("exec", "--env", "A=b c", "--cwd", "/tmp", "--", "sh", "-c", "echo $A; pwd")
    assert (ran.status, ran.stdout) == (0, "b c\n/tmp\n")
    assert run_sandbox("exec", "--env", "=x", "--", "true").status == 2
    assert run_sandbox("exec", "--tty", "--", "true").status == 2
    assert run_sandbox("exec", "--timeout", "1", "--", "sleep", "100").status == 4
    del machine


def test_ctrl_c_interrupts_the_command(guest: Guest) -> None:
    script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    with running("--", "sh", "-c", script) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=LIMIT_S)[0] == b"interrupted\n"
        assert child.returncode == 5
    with running("--", "sh", "-c", "echo ready; exec sleep 1234.5") as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(LIMIT_S) == 130
    assert gone(guest, "sleep 1234.5")


def test_a_second_ctrl_c_kills_it(guest: Guest) -> None:
    script = "trap 'echo once' INT; echo ready; while :; do sleep 0.1; done; : 5432.1"
    with running("--", "sh", "-c", script) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == b"once\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(LIMIT_S) == 130
    assert gone(guest, "5432.1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_whose_host_dies_is_killed(number: signal.Signals, guest: Guest) -> None:
    with running("--", "sh", "-c", "echo ready; exec sleep 2345.6") as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(number)
        child.wait(LIMIT_S)
    assert gone(guest, "sleep 2345.6")


def test_a_terminal(machine: Machine) -> None:
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "sandbox", "exec", "--tty", "--", "sh"],
        cwd=ROOT,
        env={**os.environ, "TERM": "vt100"},
        dimensions=(33, 99),
        timeout=LIMIT_S,
    )
    try:
        terminal.expect("# ")
        terminal.sendline("tty; stty size; echo $TERM")
        terminal.expect(r"/dev/pts/\d+\r\n33 99\r\nvt100\r\n")
        terminal.setwinsize(44, 88)
        # The shell's prompt says that the last command is over.
        deadline = Deadline(LIMIT_S)
        while not deadline.expired:
            terminal.sendline("stty size")
            if terminal.expect([r"44 88\r\n", r"33 99\r\n"]) == 0:
                break
        # Ctrl-C is the guest's.
        terminal.sendline("sleep 1000")
        terminal.expect("sleep 1000\r\n")
        deadline = Deadline(LIMIT_S)
        while not deadline.expired:
            terminal.send("\x03")
            if terminal.expect(["# ", pexpect.TIMEOUT], timeout=1.0) == 0:
                break
        terminal.sendline("exit 9")
        terminal.expect(pexpect.EOF)
        terminal.wait()
    finally:
        terminal.close(force=True)
    assert terminal.exitstatus == 9
    del machine


# Files -----------------------------------------------------------------------------------------


def test_files_there_and_back(guest: Guest) -> None:
    for data in (b"", b"x", os.urandom(3 << 20)):
        guest.put("/tmp/put", data, 0o640)
        assert guest.get("/tmp/put") == data
        stat = guest.run(["stat", "-c", "%a %s", "/tmp/put"], timeout_s=LIMIT_S).stdout.decode()
        assert stat == f"640 {len(data)}\n"
    assert b"CapEff" in guest.get("/proc/self/status")
    listed = guest.run(["sh", "-c", "ls /tmp | grep put"], timeout_s=LIMIT_S).stdout
    assert listed == b"put\n"


def test_a_program_that_runs_is_replaced(guest: Guest) -> None:
    guest.put("/tmp/program", b"#!/bin/sh\necho one; read line; echo one still\n", 0o755)
    with guest.lines(["/tmp/program"]) as first:
        assert first.receive(LIMIT_S) == "one"
        guest.put("/tmp/program", b"#!/bin/sh\necho two\n", 0o755)
        assert guest.run(["/tmp/program"], timeout_s=LIMIT_S).stdout == b"two\n"
        first.send("")
        assert first.receive(LIMIT_S) == "one still"


def test_files_that_cannot_be(guest: Guest) -> None:
    for path, words in (("/no/where", "No such file"), ("/tmp", "Is a directory|exists")):
        with pytest.raises(GuestRefused, match=words):
            guest.put(path, b"x" * 1_000_000, 0o644)
    bad = (("/no/where", "No such file"), ("/tmp", "directory"), ("/dev/zero", "Invalid argument"))
    for path, words in bad:
        with pytest.raises(GuestRefused, match=words):
            guest.get(path)
    guest.put("/tmp/long", bytes(200_000), 0o600)
    with pytest.raises(GuestError, match="more than 1000 bytes"):
        guest.get("/tmp/long", max_bytes=1000)
    assert b".new" not in guest.run(["ls", "/tmp", "/"], timeout_s=LIMIT_S).stdout


# Who may ---------------------------------------------------------------------------------------


def test_only_who_knows_the_token_is_served(machine: Machine) -> None:
    record = machine.status().record
    assert record is not None
    with pytest.raises(GuestUnreachable, match="does not know its token"):
        agent.connect(record.agent_port, bytes(agent.TOKEN_SIZE), Deadline(LIMIT_S))
    # One that is told the agent's proof, and then lies about its own, gets nothing either.
    true_digest = hmac.digest
    token = machine.folder.token.read_bytes()

    def digest(key: bytes, text: bytes, name: str) -> bytes:
        return bytes(agent.PROOF_SIZE) if text[:4] == b"host" else true_digest(key, text, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hmac, "digest", digest)
        with agent.connect(record.agent_port, token, Deadline(LIMIT_S)) as connection:
            connection.send(agent.ARG, b"id")
            connection.send(agent.RUN)
            with pytest.raises(GuestUnreachable):
                connection.receive(Deadline(LIMIT_S))


def test_ssh_for_people(machine: Machine, tmp_path: Path) -> None:
    ran = run_sandbox("ssh", "--", "echo to $USER; exit 6")
    assert (ran.status, ran.stdout) == (6, "to root\n")
    config = tmp_path / "config"
    config.write_text(run_sandbox("ssh", "--config").stdout)
    done = subprocess.run(
        ["ssh", "-F", config, f"sandbox-{machine.name}", "cat"],
        input=b"through the config",
        capture_output=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stdout) == (0, b"through the config"), done.stderr


def test_scp_there_and_back(machine: Machine, tmp_path: Path) -> None:
    config, folder = tmp_path / "config", tmp_path / "folder"
    config.write_text(run_sandbox("ssh", "--config").stdout)
    folder.mkdir()
    (folder / "a file").write_bytes(os.urandom(300_000))
    there, scp = f"sandbox-{machine.name}:/tmp/scp", ["scp", "-q", "-r", "-F", config]
    for argv in ([folder, there], [there, tmp_path / "back"]):
        done = subprocess.run([*scp, *argv], capture_output=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back/a file").read_bytes() == (folder / "a file").read_bytes()


def test_ssh_with_another_client(machine: Machine) -> None:
    record = machine.status().record
    assert record is not None
    known = (machine.folder.keys / "known_hosts", machine.folder.keys / "client")
    with paramiko.SSHClient() as client:
        client.load_host_keys(os.fspath(known[0]))
        transport_key = client.get_host_keys()[f"sandbox-{machine.name}"]["ssh-ed25519"]
        name = f"[127.0.0.1]:{record.ssh_port}"
        client.get_host_keys().add(name, "ssh-ed25519", transport_key)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        key = paramiko.Ed25519Key.from_private_key_file(os.fspath(known[1]))
        client.connect(
            "127.0.0.1", record.ssh_port, "root", pkey=key, timeout=LIMIT_S, allow_agent=False
        )
        # Kept: dropbear hangs up a terminal at the end of its input.
        stdin, out, _ = client.exec_command("tty", get_pty=True, timeout=LIMIT_S)
        assert out.read().startswith(b"/dev/pts/")
        assert out.channel.recv_exit_status() == 0
        stdin.close()
