# SPDX-License-Identifier: Apache-2.0
"""No test here touches the real home folder, and every machine that one starts is ended."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.machine.machine import Machine

FAKE_QEMU = Path(__file__).with_name("fake_qemu.py")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in [name for name in os.environ if name.startswith(("XDG_", "SANDBOX_"))]:
        monkeypatch.delenv(variable)
    return home


@pytest.fixture
def qemu(tmp_path: Path) -> Callable[..., str]:
    """Makes a program that behaves like QEMU, in a mode that fake_qemu.py describes."""

    def make(mode: str = "good", **settings: str) -> str:
        # Modes travel in the program, not in the environment, so that two can differ.
        program = tmp_path / f"qemu-{mode}"
        words = " ".join(f"FAKE_{key.upper()}='{value}'" for key, value in settings.items())
        program.write_text(
            f'#!/bin/sh\nFAKE_MODE={mode} {words} exec {sys.executable} {FAKE_QEMU} "$@"\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)

    return make


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Makes Machine objects; whatever they started is ended after the test."""
    made: list[Machine] = []

    def make(qemu: str = "/bin/false", name: str = "default") -> Machine:
        machine = Machine(name, tmp_path / "state" / "machines" / name, qemu=qemu)
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.down()
