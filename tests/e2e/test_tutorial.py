# SPDX-License-Identifier: Apache-2.0
"""The tutorial, command by command, as a newcomer types it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transcripts
from real_stack import ROOT

TUTORIAL = ROOT / "docs/tutorial/README.md"
WORK = ROOT / "out/tutorial"


def test_the_tutorial_is_true(tmp_path: Path) -> None:
    transcript = list(transcripts.commands(TUTORIAL.read_text()))
    shutil.rmtree(WORK, ignore_errors=True)
    # A newcomer's environment: their own state folder, and the tests' Python if there is no .venv.
    env = {
        "XDG_STATE_HOME": os.fspath(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    try:
        printed = transcripts.run(transcript, folder=ROOT, env=env, timeout_s=900)
    finally:
        # The tutorial ends its machine itself, if it comes so far.
        down = [sys.executable, "-m", "sandbox", "--machine", "tutorial", "down"]
        subprocess.run(down, env={**os.environ, **env}, timeout=60, check=True)
    if wrong := list(transcripts.differences(transcript, printed)):
        pytest.fail("\n\n".join(wrong))
