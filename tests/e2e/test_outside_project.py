# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin in a project that is not ours: docs/pytest.md's own examples, and a failure."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from real_stack import ROOT

CRASHES = """
def test_crash(push_ta, tee_session):
    tee_session(push_ta("adder").tas[0].uuid).invoke(1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The examples in a folder, each in the file that it names."""
    page = (ROOT / "docs/pytest.md").read_text()
    examples = re.findall(r"^```python\n(# (test_\w+\.py)\n.*?)^```$", page, re.M | re.S)
    assert [name for _, name in examples] == ["test_hello.py", "test_adder.py", "test_debug.py"]
    for text, name in examples:
        (tmp_path / name).write_text(text)
    shutil.copytree(ROOT / "tests/e2e/adder", tmp_path / "adder")
    (tmp_path / "test_last.py").write_text(CRASHES)
    return tmp_path


def test_the_documentations_examples(project: Path) -> None:
    """With a boot of its own, as anybody's run has."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "SANDBOX_MACHINE", "XDG_STATE_HOME"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--basetemp={project / 'base'}", "--junitxml=out.xml"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 8 passed" in done.stdout, done.stdout

    # The failure has the line of the source that panicked, on the terminal and in the XML.
    cases = ElementTree.parse(project / "out.xml").findall(".//testcase")
    assert len(cases) == 9
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert failed.get("name") == "test_crash"
    told = failed.findtext("failure") or ""
    log = {entry.get("name"): entry.get("value") for entry in failed.iter("property")}
    said = log["Console log of machine pytest"] or ""
    for text in (done.stdout, told, said):
        assert "TA panic" in text
        assert re.search(r"adder\.c:\d+", text), text
        assert "TEE_Panic(0xdead)" in text
    assert "TARGET_DEAD" in told
    # Where the test called us, not where we raised it.
    assert "test_last.py:3: TeeError" in told and "def invoke" not in told
    # Nothing of the tests before it.
    assert "the sum is 5" not in said

    # QEMU was started with paths below the project's folder.
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert os.fsencode(project) not in entry.read_bytes()
        except OSError:
            continue
