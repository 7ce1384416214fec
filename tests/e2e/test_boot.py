# SPDX-License-Identifier: Apache-2.0
"""The machine as a user sees it."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_stack import run_sandbox

from sandbox import paths
from sandbox.machine.folder import World
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine


def test_up_twice_is_harmless(machine: Machine) -> None:
    before = machine.status().record
    again = run_sandbox("up", "--json")
    assert again.status == 0
    assert again.json["started"] is False
    assert machine.status().record == before


def test_all_cores_are_there_for_both_worlds(guest: Guest, machine: Machine) -> None:
    record = machine.status().record
    assert record is not None and record.cores >= 2
    assert int(guest.run(["nproc"], timeout_s=20.0).stdout) == record.cores
    secure = machine.folder.log(World.SECURE).read_text(errors="replace")
    assert "OP-TEE version: 4.10" in secure


def test_exec_gives_bytes_and_status_as_they_are(machine: Machine) -> None:
    del machine
    ran = run_sandbox("exec", "--", "sh", "-c", "printf 'a b\\n'; echo no >&2; exit 7")
    assert (ran.status, ran.stdout) == (7, "a b\n")
    assert ran.stderr.endswith("no\n")


def test_logs_have_both_worlds_from_the_first_byte(machine: Machine) -> None:
    del machine
    normal = run_sandbox("logs", "--world", "normal", "--lines", "100000")
    secure = run_sandbox("logs", "--world", "secure", "--lines", "100000")
    # TF-A's first line, the guest's own first and last event, and OP-TEE's first line.
    assert "NOTICE:  Booting Trusted Firmware" in normal.stdout.splitlines()[0]
    assert "@sandbox init" in normal.stdout
    assert "@sandbox ssh" in normal.stdout
    assert "OP-TEE version: 4.10" in secure.stdout


def test_status_is_json_for_scripts(machine: Machine) -> None:
    del machine
    status = run_sandbox("status", "--json")
    assert status.status == 0
    assert status.json["state"] == "up"


def test_secure_memory_is_out_of_the_normal_worlds_reach(guest: Guest) -> None:
    """QEMU itself refuses: the secure flash bank, and secure RAM."""

    def read(address: str) -> tuple[int, bytes]:
        done = guest.run(["sh", "-c", f"busybox devmem {address} 32; exit $?"], timeout_s=20.0)
        return done.status, done.stdout

    # What is the normal world's can be read this way: "QEMU", at its fw_cfg device.
    assert read("0x09020000") == (0, b"0x554D4551\n")
    for address in (
        "0x00000000",
        "0x03e00000",
        "0x03f00010",
        "0x0e000000",
        "0x0e100000",
        "0x0ef00000",
    ):
        status, said = read(address)
        assert status == 128 + signal.SIGBUS, (address, status, said)


def test_a_link_in_the_share_leads_nowhere(guest: Guest, machine: Machine, tmp_path: Path) -> None:
    """What the guest plants must not make the host read or write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    guest.run(["ln", "-s", os.fspath(victim), "/mnt/share/planted"], timeout_s=20.0)
    planted = machine.share / "planted"
    assert not planted.is_symlink()
    guest.run(["rm", "-f", "/mnt/share/planted"], timeout_s=20.0)
    assert victim.read_text() == "untouched"


@pytest.fixture
def second(machine: Machine) -> Iterator[str]:
    """The name of a machine beside the first."""
    name = f"{machine.name}-second"
    yield name
    run_sandbox("--machine", name, "destroy", "--yes")


def test_up_and_down_of_a_second_machine(second: str) -> None:
    """Of four cores, all in both worlds; afterwards no process, no port, no stale file."""
    name = second
    up = run_sandbox("--machine", name, "up", "--cores", "4", "--json")
    assert up.status == 0, up.stderr
    assert up.json["started"] is True
    stages = {stage["name"]: stage["seconds"] for stage in up.json["stages"]}
    assert {"share", "tee0", "tee-supplicant", "agent", "ta"} <= stages.keys()
    assert all(seconds >= 0 for seconds in stages.values())
    machine = Machine(name, paths.machine_dir(name))
    record = machine.status().record
    assert record is not None and record.qemu is not None
    ran = run_sandbox("--machine", name, "exec", "--", "nproc")
    assert ran.stdout == "4\n"
    listed = run_sandbox("--machine", name, "ta", "list", "--json").json["tas"]
    assert {ta["origin"] for ta in listed} == {"image"}
    secure = machine.folder.log(World.SECURE).read_text(errors="replace")
    for core in range(1, 4):
        assert f"Secondary CPU {core} initializing" in secure

    down = run_sandbox("--machine", name, "down")
    assert down.status == 0, down.stderr
    assert not record.qemu.alive()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", record.ssh_port)) == errno.ECONNREFUSED
    left = {path.name for path in machine.folder.path.iterdir()}
    # For whoever wants to know what happened, and to be the same machine next time.
    logs = {"normal.log", "secure.log", "qemu.log", "console.index"}
    assert left <= {"keys", "symbols", "flash.img", "storage", *logs}, left
    again = run_sandbox("--machine", name, "down")
    assert again.status == 0
    assert run_sandbox("--machine", name, "status", "--json").json["state"] == "down"
    destroy = run_sandbox("--machine", name, "destroy", "--yes")
    assert destroy.status == 0, destroy.stderr
    assert not machine.folder.path.exists()
