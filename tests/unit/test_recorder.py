# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process of its own, and what is kept of runs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.logs.cuts import Cut, Index
from sandbox.machine import recorder, runs
from sandbox.machine.folder import Folder, World
from sandbox.machine.runs import Recording

RECORDER = recorder.__file__


class Consoles:
    """Two logs and a process that stands for QEMU."""

    def __init__(self, path: Path) -> None:
        self.recording = Recording(path)
        recorder.begin(self.recording.index)
        self.logs = {w: self.recording.log(w).open("ab", buffering=0) for w in World}
        self.qemu = subprocess.Popen(["sleep", "600"])
        handle = os.pidfd_open(self.qemu.pid)
        argv = [sys.executable, "-I", "-S", RECORDER, str(handle)]
        argv += [str(self.recording.log(w)) for w in World] + [str(self.recording.index)]
        self.recorder = subprocess.Popen(argv, pass_fds=[handle])
        os.close(handle)

    def close(self) -> None:
        for process in (self.qemu, self.recorder):
            process.kill()
            process.wait()
        for log in self.logs.values():
            log.close()

    def cuts(self) -> list[Cut]:
        index = Index(self.recording.index)
        found = list(index.read())
        index.close()
        return found

    def wait_for(self, normal: int, secure: int) -> Cut:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if (cuts := self.cuts()) and (cuts[-1].normal, cuts[-1].secure) == (normal, secure):
                return cuts[-1]
            time.sleep(0.005)
        raise AssertionError(self.cuts())


@pytest.fixture
def consoles(tmp_path: Path) -> Iterator[Consoles]:
    made = Consoles(tmp_path)
    yield made
    made.close()


def test_it_says_what_came_when(consoles: Consoles) -> None:
    consoles.logs[World.NORMAL].write(b"12345")
    first = consoles.wait_for(5, 0)
    consoles.logs[World.SECURE].write(b"1234567")
    second = consoles.wait_for(5, 7)
    now_s = Index(consoles.recording.index).monotonic_ns
    assert now_s is not None and 0 < first.time_s < second.time_s
    assert second.time_s < (time.monotonic_ns() - now_s) / 1e9


def test_it_ends_with_qemu_and_misses_nothing(consoles: Consoles) -> None:
    consoles.logs[World.NORMAL].write(b"1")
    consoles.wait_for(1, 0)
    consoles.logs[World.NORMAL].write(b"last words")
    consoles.qemu.kill()
    consoles.qemu.wait()
    assert consoles.recorder.wait(120) == 0
    assert (consoles.cuts()[-1].normal, consoles.cuts()[-1].secure) == (11, 0)


def test_it_sleeps_while_nobody_speaks(consoles: Consoles) -> None:
    consoles.logs[World.NORMAL].write(b"1")
    consoles.wait_for(1, 0)

    def used_ticks() -> int:
        fields = Path(f"/proc/{consoles.recorder.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used_ticks()
    time.sleep(0.5)
    assert used_ticks() - before <= 1


def test_every_entry_is_a_moment_that_was(consoles: Consoles) -> None:
    """One writes by turns: then in no entry may the second have more than the first."""
    pieces = 3000

    def write() -> None:
        for _ in range(pieces):
            consoles.logs[World.NORMAL].write(b"n")
            consoles.logs[World.SECURE].write(b"s")

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    consoles.wait_for(pieces, pieces)
    assert all(cut.secure <= cut.normal <= cut.secure + 1 for cut in consoles.cuts())


def test_the_index_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The more it has, the less often it grows."""
    pauses = []

    def select(fds: list[int], *_: object) -> tuple[list[int], list[int], list[int]]:
        if len(_) > 2:
            pauses.append(_[2])
        return ([fds[0]], [], [])

    monkeypatch.setattr(recorder.select, "select", select)
    index = os.open(tmp_path / "index", os.O_RDWR | os.O_CREAT)
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    for mib in (0, 1, 4, 10, 100):
        os.truncate(index, mib << 20)
        recorder.record(0, log, log, index)
    assert pauses == pytest.approx([0.001, 0.002, 0.016, 1.024, 60.0])
    os.close(index)
    os.close(log)


# Runs -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "machines" / "m")
    folder.create()
    return folder


def run(folder: Folder, started_ns: int, size: int = 10) -> None:
    folder.log(World.NORMAL).write_bytes(b"n" * size)
    folder.log(World.SECURE).write_bytes(b"")
    folder.qemu_log.write_bytes(b"$ qemu\n")
    folder.symbols.mkdir(exist_ok=True)
    (folder.symbols / "core.elf").write_bytes(b"ELF")
    folder.index.write_bytes(recorder.HEADER.pack(recorder.MAGIC, 1, started_ns))


def test_a_new_run_keeps_the_last(folder: Folder) -> None:
    run(folder, 1_795_266_439_123_456_789)
    runs.keep(folder)
    (kept,) = runs.kept(folder)
    assert kept.path.name == "20261121-130719.123"
    assert {p.name for p in kept.path.iterdir()} == {
        "normal.log", "secure.log", "qemu.log", "console.index", "symbols",
    }  # fmt: skip
    assert kept.name() == kept.path.name
    assert {p.name for p in folder.path.iterdir()} == {"share", "storage", "runs"}
    runs.keep(folder)
    assert len(runs.kept(folder)) == 1


def test_a_run_that_said_nothing_is_not_kept(folder: Folder) -> None:
    run(folder, 10**18, size=0)
    runs.keep(folder)
    assert runs.kept(folder) == []
    assert {p.name for p in folder.path.iterdir()} == {"share", "storage"}


def test_runs_are_bounded_in_number(folder: Folder) -> None:
    for number in range(runs.KEPT + 3):
        run(folder, (1_700_000_000 + number) * 10**9)
        runs.keep(folder)
    names = [kept.path.name for kept in runs.kept(folder)]
    assert len(names) == runs.KEPT and names == sorted(names)
    assert names[-1] == "20231114-221332.000"


def test_runs_are_bounded_in_size(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_BYTES", 10_000)
    for number in range(4):
        run(folder, (1_700_000_000 + number) * 10**9, size=4_000)
        runs.keep(folder)
    assert len(runs.kept(folder)) == 2
    run(folder, 1_800_000_000 * 10**9, size=50_000)
    runs.keep(folder)
    # The last is kept whole, whatever it takes.
    assert [kept.size_bytes > 50_000 for kept in runs.kept(folder)] == [True]


def test_a_keeping_that_was_interrupted_goes_on(folder: Folder) -> None:
    run(folder, 1_700_000_000 * 10**9)
    to = folder.runs / "20231114-221320.000"
    to.mkdir(parents=True)
    folder.log(World.NORMAL).rename(to / "normal.log")
    folder.log(World.SECURE).write_bytes(b"I/TC: x\n")
    runs.keep(folder)
    (kept,) = runs.kept(folder)
    assert kept.log(World.NORMAL).exists() and kept.log(World.SECURE).exists()
