# SPDX-License-Identifier: Apache-2.0
"""Profiles of work whose shares are known, in both worlds; and what is left when one is killed."""

import math
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_stack import ROOT, Ran, run_sandbox

from sandbox.machine import hold
from sandbox.machine.machine import Machine

BUSY = ROOT / "tests/e2e/busy_ta"
BUSY_TA = "TA 0b6d7c1e Works in known shares"
# Some two seconds of work on an idle host, so hundreds of samples.
ROUNDS = "1500"


@pytest.fixture(scope="module", autouse=True)
def busy(machine: Machine) -> None:
    del machine
    pushed = run_sandbox("ta", "push", BUSY)
    assert pushed.status == 0, pushed.stderr


def profiled(*args: str | Path) -> Ran:
    ran = run_sandbox("profile", *args)
    assert ran.status == 0, ran.stderr
    return ran


def functions(table: dict[str, Any]) -> dict[str, Any]:
    return {f["name"]: f for f in table["functions"]}


@pytest.mark.parametrize(
    ("where", "place", "owner"), [("ta", "ta", BUSY_TA), ("here", "user", "busy")]
)
def test_the_shares_of_known_work(where: str, place: str, owner: str) -> None:
    table = profiled("--json", "--", "busy", where, ROUNDS).json
    found = functions(table)
    assert found["work_seventy"]["place"] == found["work_thirty"]["place"] == place
    assert found["work_seventy"]["owner"] == owner
    work = found["work_seventy"]["self_percent"] + found["work_thirty"]["self_percent"]
    samples = work / 100 * table["busy_samples"]
    # Some 250; a host that has no time for us takes fewer. Five sigmas are beyond any luck.
    assert samples >= 20
    share = found["work_seventy"]["self_percent"] / work
    assert share == pytest.approx(0.7, abs=5 * math.sqrt(0.7 * 0.3 / samples))
    # Each is rounded to a hundredth.
    assert found["work_rounds"]["total_percent"] >= work - 0.02
    # It was all on one core, and nearly all of that one's time.
    assert max(table["places"][place]["by_core"]) > 30
    assert table["owners"][0]["name"] == owner


def test_a_system_call_is_shown_on_the_stack_of_its_ta(tmp_path: Path) -> None:
    out = tmp_path / "hash.folded"
    profiled("--out", out, "--", "busy", "hash", ROUNDS)
    calls = [
        line
        for line in out.read_text().splitlines()
        if line.startswith(f"secure world;{BUSY_TA};") and ";thread_scall_handler;" in line
    ]
    assert calls
    hashing = [line for line in calls if ";hash_rounds;TEE_DigestUpdate;" in line]
    count = sum(int(line.rpartition(" ")[2]) for line in hashing)
    # The way into the core is not the work: that is done in the hash function.
    assert sum(int(c.rpartition(" ")[2]) for c in hashing if "sha512" in c) > count / 2 > 2


def test_a_picture_and_an_exit_status(tmp_path: Path) -> None:
    out = tmp_path / "new" / "profile.svg"
    ran = run_sandbox(
        "profile", "--out", out, "--", "sh", "-c", "echo said; busy here 1000; exit 7"
    )
    assert ran.status == 7, ran.stderr
    assert ran.stdout.startswith("said\n") and "who was busy" in ran.stdout
    titles = [e.text for e in ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}title")]
    assert any(title and title.startswith("work_seventy, ") for title in titles)


def test_a_command_on_the_host_is_about_the_same_machine(machine: Machine) -> None:
    say = "import os; print(os.environ['SANDBOX_MACHINE']); raise SystemExit(5)"
    ran = run_sandbox("profile", "--host", "--", sys.executable, "-c", say)
    assert ran.status == 5 and ran.stdout.startswith(f"{machine.name}\n")


@pytest.fixture
def long_profile(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    """One that has begun to stop the machine, and has long to go."""
    argv = [sys.executable, "-m", "sandbox", "profile", "--seconds", "600", "--rate", "1000"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 120
            while hold.holder(machine.folder) is None:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            # Wherever in a sample that is.
            time.sleep(0.5)
            yield process
        finally:
            process.kill()
            process.wait(60)
            until_nobody_holds(machine)


def until_nobody_holds(machine: Machine) -> None:
    deadline = time.monotonic() + 60
    while hold.holder(machine.folder) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs_by_itself(machine: Machine) -> None:
    until_nobody_holds(machine)
    ran = run_sandbox("exec", "--timeout", "60", "--", "echo", "alive")
    assert (ran.status, ran.stdout) == (0, "alive\n"), ran.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_machine_runs_on_when_the_profiler_is_ended(
    number: signal.Signals, machine: Machine, long_profile: subprocess.Popen[bytes]
) -> None:
    long_profile.send_signal(number)
    long_profile.wait(60)
    runs_by_itself(machine)


def test_the_machine_is_there_for_others_meanwhile(
    long_profile: subprocess.Popen[bytes],
) -> None:
    ran = run_sandbox("exec", "--timeout", "60", "--", "echo", "alive")
    assert (ran.status, ran.stdout) == (0, "alive\n"), ran.stderr
    assert run_sandbox("profile", "--seconds", "1").status == 2
    assert long_profile.poll() is None
