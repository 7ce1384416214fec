# SPDX-License-Identifier: Apache-2.0
"""Both worlds in one stream, on the real stack."""

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_stack import ROOT, run_sandbox

from sandbox.logs import reader
from sandbox.logs.records import Level, Record, Source
from sandbox.machine import runs
from sandbox.machine.folder import World
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine

TALK = "6e1d0b74-8f25-4c93-b05a-27d94e61f318"


@pytest.fixture(scope="module")
def talk(machine: Machine) -> str:
    """A TA that says what it is told, and its client, in the guest."""
    del machine
    pushed = run_sandbox("ta", "push", str(Path(__file__).with_name("talk_ta")), timeout_s=300.0)
    assert pushed.status == 0, pushed.stderr
    return "talk"


@contextlib.contextmanager
def busy_host(processes: int) -> Iterator[None]:
    """Nobody gets the host's cores just when he wants them."""
    with contextlib.ExitStack() as stack:
        for _ in range(processes):
            loop = [sys.executable, "-c", "while True: pass"]
            stack.callback(stack.enter_context(subprocess.Popen(loop)).kill)
        yield


def records(machine: Machine) -> list[Record]:
    return list(reader.read(runs.live(machine.folder)))


def said_since(machine: Machine, before: int, timeout_s: float = 30.0) -> list[Record]:
    """What came after the first `before` records, once nothing more comes."""
    deadline = time.monotonic() + timeout_s
    count = -1
    while (found := records(machine)) and len(found) != count:
        assert time.monotonic() < deadline
        count = len(found)
        time.sleep(0.2)
    return found[before:]


def test_each_part_of_the_stack_speaks_under_its_name(machine: Machine) -> None:
    found = records(machine)
    first = {}
    for record in found:
        first.setdefault(record.source, record)
    assert first[Source.TF_A].text == "NOTICE:  Booting Trusted Firmware"
    assert first[Source.TF_A].level is Level.NOTICE
    assert {first[source].world for source in (Source.TF_A, Source.KERNEL)} == {World.NORMAL}
    assert first[Source.OPTEE].world is World.SECURE
    assert first[Source.CML_CA].text.startswith("cml-ca: serving")
    assert Source.AGENT in first
    times = [record.time_s for record in found]
    assert times == sorted(times) and times[0] > 0

    def place(text: str) -> int:
        return next(n for n, record in enumerate(found) if text in record.text)

    # Each was caused by the one before, from one world to the other and back. Linux may print
    # what it says some time after it was said, so its lines stand only where they were awaited.
    chain = [
        "BL31: Built", "OP-TEE version", "Primary CPU switching to normal world boot",
        "@sandbox init", "Dynamic shared memory is enabled",
        "optee: dynamic shared memory is enabled", "cml-ca: serving",
    ]  # fmt: skip
    places = [place(text) for text in chain]
    assert places == sorted(places), list(zip(chain, places, strict=True))


@pytest.mark.parametrize("busy", [0, 3])
def test_worlds_that_speak_by_turns(machine: Machine, guest: Guest, talk: str, busy: int) -> None:
    """400 lines, each caused by the one before, also on a host that has no time for us."""
    before = len(records(machine))
    with busy_host(busy):
        guest.run([talk, "turns", "200"], timeout_s=60.0)
    said = [
        int(record.text.rpartition(" ")[2])
        for record in said_since(machine, before)
        if record.text.startswith(("talk ", "I/TA: talk ", "I/TA:  talk "))
    ]
    assert said == list(range(400))


def test_what_a_ta_says_bears_its_name(machine: Machine, guest: Guest, talk: str) -> None:
    before = len(records(machine))
    guest.run([talk, "lie"], timeout_s=60.0)
    guest.run([talk, "pieces", "20"], timeout_s=60.0)
    lines = [r for r in said_since(machine, before) if r.world is World.SECURE and r.ta == TALK]
    assert all(line.source is Source.TA for line in lines)
    assert any("a lie" in line.text for line in lines)
    pieces = [f"piece {number} of a line" for number in range(20)]
    assert [line.text for line in lines if line.text.startswith("piece")] == pieces
    chosen = run_sandbox("logs", "--ta", TALK[:8], "--grep", "^piece", "--json")
    assert [json.loads(line)["text"] for line in chosen.stdout.splitlines()] == pieces


def test_tas_at_once_do_not_tear_each_others_lines(
    machine: Machine, guest: Guest, talk: str
) -> None:
    before = len(records(machine))
    script = f"{talk} pieces 50 & {talk} pieces 50 & wait"
    guest.run(["sh", "-c", script], timeout_s=60.0)
    said = [r.raw for r in said_since(machine, before) if r.ta == TALK]
    # A line that another TA's cut short goes on in a line of its own: no line has two of them.
    assert said and all(line.count(TALK) == 1 and line.count("piece") <= 1 for line in said)
    assert sum("piece" in line for line in said) == 100


def test_tee_supplicant_speaks_too(machine: Machine, guest: Guest) -> None:
    script = "for fd in 1 2; do readlink /proc/$(pidof tee-supplicant)/fd/$fd; done"
    where = guest.run(["sh", "-c", script], timeout_s=20.0)
    assert where.stdout == b"/dev/kmsg\n/dev/kmsg\n"
    before = len(records(machine))
    # A second one finds the device taken, and says so.
    guest.run(["sh", "-c", "tee-supplicant /dev/teepriv0 >/dev/kmsg; true"], timeout_s=20.0)
    (said,) = [r for r in said_since(machine, before) if "TEES" in r.raw]
    assert (said.source, said.level) == (Source.TEE_SUPPLICANT, Level.ERROR)


def test_follow(machine: Machine, guest: Guest) -> None:
    del machine
    command = [sys.executable, "-m", "sandbox", "logs", "--follow", "--lines", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            found: dict[str, Any] = {}
            deadline = time.monotonic() + 60.0
            while not found:
                assert time.monotonic() < deadline
                # Until it has begun to follow, it passes over what comes.
                guest.run(["sh", "-c", "echo cml-ca: hello >/dev/kmsg"], timeout_s=20.0)
                if select.select([follower.stdout], [], [], 0.3)[0]:
                    found = json.loads(follower.stdout.readline())
            assert found["source"] == "cml-ca" and found["text"] == "cml-ca: hello"
        finally:
            follower.terminate()
