# SPDX-License-Identifier: Apache-2.0
"""sandbox logs, on consoles that were recorded."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from recordings import Writer

from sandbox import paths
from sandbox.__main__ import main
from sandbox.log import SilentProgress
from sandbox.logs import reader
from sandbox.logs.cuts import Index
from sandbox.machine import runs
from sandbox.machine.folder import Folder, World
from sandbox.machine.machine import Machine

ROOT = Path(__file__).parents[2]
UUID = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"
N, S = World.NORMAL, World.SECURE


@pytest.fixture
def writer(home: Path) -> Writer:
    folder = Folder(paths.machine_dir("default"))
    folder.create()
    writer = Writer(folder.path)
    writer.say(N, "NOTICE:  BL1", at_s=0.125)
    writer.say(S, "[    0.040793] I/TC: one", at_s=0.25)
    writer.say(N, "\x1b[31m[    0.100000] red\x1b[m", at_s=0.5)
    writer.say(S, f"[    0.800000] {UUID} E/TA: two", at_s=1.0)
    writer.write(N, b"half")
    writer.look(1.5)
    return writer


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["logs", *words]) == 0
    return capsys.readouterr().out


def test_both_worlds_in_order(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == (
        "    0.125000 normal tf-a           NOTICE:  BL1\n"
        "    0.250000 secure optee          I/TC: one\n"
        "    0.500000 normal kernel         red\n"
        "    1.000000 secure ta 2f6a3c5e    E/TA: two\n"
        "    1.500000 normal console        half\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--world", "secure"], ["I/TC: one", "E/TA: two"]),
        (["--world", "secure", "--lines", "1"], ["E/TA: two"]),
        (["--lines", "2"], ["E/TA: two", "half"]),
        (["--lines", "0"], []),
        (["--source", "tf-a", "--source", "kernel"], ["NOTICE:  BL1", "red"]),
        (["--level", "notice"], ["NOTICE:  BL1", "E/TA: two"]),
        (["--ta", "2F6A3C5E"], ["E/TA: two"]),
        (["--ta", "0000"], []),
        (["--grep", "o[ n]|lf$"], ["I/TC: one", "half"]),
        (["--since", "@0.6"], ["E/TA: two", "half"]),
        (["--since", "0.4s"], ["half"]),
        (["--since", "1h"], ["NOTICE:  BL1", "I/TC: one", "red", "E/TA: two", "half"]),
    ],
    ids=" ".join,
)
def test_only_what_was_asked_for(
    writer: Writer, capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]
) -> None:
    lines = [json.loads(line)["text"] for line in printed(capsys, "--json", *words).splitlines()]
    assert lines == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--world", "third"], ["--source", "nobody"], ["--level", "bad"], ["--ta", "xyz"],
        ["--grep", "("], ["--since", "soon"], ["--lines", "-1"], ["--speed", "0"],
        ["--json", "--raw"], ["--follow", "--replay"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(writer: Writer, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["logs", *words])
    assert ended.value.code == 2


def test_json(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in printed(capsys, "--json", "--source", "ta").splitlines()]
    at = lines[0].pop("at")
    assert at.endswith("+00:00") and len(at) == 32
    assert lines == [
        {
            "time_s": 1.0,
            "world": "secure",
            "source": "ta",
            "level": "error",
            "ta": UUID,
            "text": "E/TA: two",
        }
    ]


def test_raw(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--raw", "--world", "secure") == (
        f"[    0.040793] I/TC: one\n[    0.800000] {UUID} E/TA: two\n"
    )


def test_absolute_times(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "--absolute").splitlines()[0]
    year = time.strftime("%Y-%m-")
    assert first.startswith(year) and first.endswith(" normal tf-a           NOTICE:  BL1")


def test_no_machine_ever(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs"]) == 2
    assert "never started" in capsys.readouterr().err


# Runs -------------------------------------------------------------------------------------------


def test_earlier_runs(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(writer.recording.path)
    name = writer.recording.name()
    runs.keep(folder)
    time.sleep(0.002)
    Writer(folder.path).say(N, "NOTICE:  a later one")
    listed = printed(capsys, "--list-runs").splitlines()
    assert [line.split()[0] for line in listed] == ["-1", "0"] and name in listed[0]
    described = [json.loads(x) for x in printed(capsys, "--list-runs", "--json").splitlines()]
    assert [d["run"] for d in described] == [-1, 0] and described[0]["name"] == name
    assert "later" in printed(capsys)
    assert "later" in printed(capsys, "--run", "0")
    assert printed(capsys, "--run", "-1").count("\n") == 5
    assert printed(capsys, "--run", name).count("\n") == 5
    for wrong in ("-2", "1", "../x", "20000101-000000.000"):
        assert main(["logs", "--run", wrong]) == 2
    assert main(["logs", "--run", "-1", "--follow"]) == 2


def test_replay(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert printed(capsys, "--replay", "--speed", "5").count("\n") == 5
    # From 0.125 s to 1.5 s, five times as fast.
    assert time.monotonic() - began >= 1.375 / 5


# As a process -----------------------------------------------------------------------------------

LOGS = [sys.executable, "-m", "sandbox", "logs"]


def test_follow_prints_what_comes(writer: Writer) -> None:
    command = [*LOGS, "--follow", "--lines", "1", "--raw"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            assert follower.stdout.readline() == f"[    0.800000] {UUID} E/TA: two\n"
            writer.say(S, "I/TC: three")
            writer.say(N, " a line")
            assert {follower.stdout.readline() for _ in range(2)} == {
                "I/TC: three\n",
                "half a line\n",
            }
            # A new boot: other files under the same names.
            runs.keep(Folder(writer.recording.path))
            Writer(writer.recording.path).say(S, "I/TC: a new boot")
            assert follower.stdout.readline() == "I/TC: a new boot\n"
        finally:
            follower.terminate()
    assert follower.wait(60) == 128 + 15


def on_a_terminal(*words: str, **environment: str) -> bytes:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*LOGS, *words], cwd=ROOT, stdout=theirs, env={**os.environ, **environment}
    ) as printer:
        os.close(theirs)
        said = b""
        try:
            while data := os.read(ours, 65536):
                said += data
        except OSError:
            pass
        os.close(ours)
        assert printer.wait(120) == 0
    return said


def test_colours_on_a_terminal(writer: Writer) -> None:
    said = on_a_terminal()
    assert b"\x1b[1;31mE/TA: two\x1b[m" in said
    # The guest's own colours never get there.
    assert b"\x1b[31m" not in said and b"red" in said
    assert b"\x1b" not in on_a_terminal(NO_COLOR="1")


def test_a_reader_that_leaves_early(writer: Writer) -> None:
    writer.say(S, *["I/TC: a line"] * 50_000)
    reading, writing = os.pipe()
    with subprocess.Popen(LOGS, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE) as printer:
        os.close(writing)
        os.read(reading, 100)
        os.close(reading)
        assert printer.stderr is not None
        assert printer.stderr.read() == b""
        assert printer.wait(120) == 128 + 13


# The whole, with a fake QEMU ---------------------------------------------------------------------


def test_a_machine_records_itself_and_keeps_its_runs(
    qemu: Callable[..., str], machines: Callable[..., Machine], tmp_path: Path
) -> None:
    machine = machines(qemu())
    image = tmp_path / "image"
    image.write_bytes(b"x")
    images = SimpleNamespace(flash=image, kernel=image, initrd=image, symbols={})
    for _ in range(2):
        machine.up(images, cores=2, memory_mib=512, timeout_s=120.0, progress=SilentProgress())
        record = machine.folder.read()
        assert record is not None and record.recorder is not None and record.recorder.alive()
        machine.down()
        assert not record.recorder.alive()
    (first,), last = runs.kept(machine.folder), runs.live(machine.folder)
    for recording in (first, last):
        index = Index(recording.index)
        cuts = list(index.read())
        index.close()
        for world in World:
            assert cuts[-1].size(world) == recording.log(world).stat().st_size > 0
        found = list(reader.read(recording))
        assert {record.world for record in found} == set(World)
        assert 0 < found[0].time_s <= found[-1].time_s < 120.0


def test_a_recorder_that_is_killed_hurts_nothing(
    qemu: Callable[..., str], machines: Callable[..., Machine], tmp_path: Path
) -> None:
    machine = machines(qemu())
    image = tmp_path / "image"
    image.write_bytes(b"x")
    images = SimpleNamespace(flash=image, kernel=image, initrd=image, symbols={})
    machine.up(images, cores=2, memory_mib=512, timeout_s=120.0, progress=SilentProgress())
    record = machine.folder.read()
    assert record is not None and record.recorder is not None
    record.recorder.signal(signal.SIGKILL)
    with machine.guest() as guest:
        assert guest.run(["true"], timeout_s=60).status == 0
    assert machine.status().answers
    assert {r.world for r in reader.read(runs.live(machine.folder))} == set(World)
    assert machine.down()
