# SPDX-License-Identifier: Apache-2.0
"""The tutorials, command by command, as a newcomer types them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transcripts
from real_stack import ROOT


@pytest.mark.parametrize(("page", "machine"), [("README", "tutorial"), ("trust", "trust")])
def test_the_tutorial_is_true(page: str, machine: str, tmp_path: Path) -> None:
    text = (ROOT / f"docs/tutorial/{page}.md").read_text()
    transcript = list(transcripts.commands(text))
    shutil.rmtree(ROOT / "out" / machine, ignore_errors=True)
    # A newcomer's environment: their own state folder, and the tests' Python if there is no .venv.
    env = {
        "XDG_STATE_HOME": os.fspath(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    try:
        printed = transcripts.run(transcript, folder=ROOT, env=env, timeout_s=900)
    finally:
        # The tutorial ends its machine itself, if it comes so far.
        down = [sys.executable, "-m", "sandbox", "--machine", machine, "down"]
        subprocess.run(down, env={**os.environ, **env}, timeout=60, check=True)
    if wrong := list(transcripts.differences(transcript, printed)):
        pytest.fail("\n\n".join(wrong))
