# SPDX-License-Identifier: Apache-2.0
"""ruff and mypy find nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda command: " ".join(command[:2]),
)
def test_linter(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "code", "finding"),
    [
        (["ruff", "check"], "import os\n", "F401"),
        (["mypy", "--strict"], "def f(x):\n    return x\n", "no-untyped-def"),
    ],
    ids=["ruff", "mypy"],
)
def test_linter_would_find_something(
    command: list[str], code: str, finding: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(code)
    config = ["--config", "pyproject.toml"] if command[0] == "ruff" else []
    done = subprocess.run(
        [sys.executable, "-m", *command, *config, str(bad)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0 and finding in done.stdout
