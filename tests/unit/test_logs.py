# SPDX-License-Identifier: Apache-2.0
"""sandbox logs, on consoles that were recorded."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import paths
from sandbox.__main__ import main
from sandbox.machine.folder import Folder, World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(home: Path) -> Folder:
    folder = Folder(paths.machine_dir("default"))
    folder.create()
    folder.log(World.NORMAL).write_bytes(b"NOTICE:  BL1\r\n\x1b[31m[    0.1] red\x1b[m\r\nhalf")
    folder.log(World.SECURE).write_bytes(b"I/TC: one\r\nI/TC: two\r\n")
    return folder


def test_both_worlds(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs"]) == 0
    assert capsys.readouterr().out == (
        "normal | NOTICE:  BL1\n"
        "normal | [    0.1] red\n"
        "normal | half\n"
        "secure | I/TC: one\n"
        "secure | I/TC: two\n"
    )


def test_one_world_and_the_last_lines(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--world", "secure"]) == 0
    assert capsys.readouterr().out == "I/TC: one\nI/TC: two\n"
    assert main(["logs", "--lines", "1"]) == 0
    assert capsys.readouterr().out == "normal | half\nsecure | I/TC: two\n"
    assert main(["logs", "--lines", "0"]) == 0
    assert capsys.readouterr().out == ""


def test_json(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "--json", "--world", "normal"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"world": "normal", "text": "NOTICE:  BL1"},
        {"world": "normal", "text": "[    0.1] red"},
        {"world": "normal", "text": "half"},
    ]


def test_no_machine_ever(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs"]) == 2
    assert "never started" in capsys.readouterr().err


def test_follow_prints_what_comes(folder: Folder) -> None:
    command = [sys.executable, "-m", "sandbox", "logs", "--follow", "--lines", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            seen = [follower.stdout.readline() for _ in range(2)]
            assert seen == ["normal | [    0.1] red\n", "secure | I/TC: two\n"]
            with folder.log(World.SECURE).open("ab") as log:
                log.write(b"I/TC: three\r\n")
            assert follower.stdout.readline() == "secure | I/TC: three\n"
            with folder.log(World.NORMAL).open("ab") as log:
                log.write(b" a line\r\n")
            assert follower.stdout.readline() == "normal | half a line\n"
            # A new boot: other files under the same names.
            folder.log(World.SECURE).unlink()
            folder.log(World.SECURE).write_bytes(b"I/TC: a new boot, with a longer log\r\n" * 2)
            assert "a new boot" in follower.stdout.readline()
        finally:
            follower.terminate()
    assert follower.wait(10) == 128 + 15


def test_a_reader_that_leaves_early(folder: Folder) -> None:
    folder.log(World.SECURE).write_bytes(b"I/TC: a line\r\n" * 50_000)
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "logs"],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as printer:
        os.close(writing)
        time.sleep(0.2)
        os.close(reading)
        assert printer.stderr is not None
        assert printer.stderr.read() == b""
        assert printer.wait(20) == 128 + 13
