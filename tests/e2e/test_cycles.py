# SPDX-License-Identifier: Apache-2.0
"""Up and down leave nothing; benchmarks/cycles.py does it a hundred times."""

import subprocess
import sys

from real_stack import ROOT


def test_up_and_down_leave_nothing() -> None:
    command = [sys.executable, ROOT / "benchmarks/cycles.py", "--count", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 cycles, none failed, nothing was left" in done.stdout
