# SPDX-License-Identifier: Apache-2.0
"""OP-TEE's own tests through `sandbox xtest`, on a machine of their own: they make TAs panic."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from real_stack import Ran, run_sandbox

from sandbox.xtest.cases import SAMPLE_CASES

MACHINE = "e2e-xtest"
# The TA of case 1012, and nobody else's.
SIMS_TA = "e6a33ed4-562b-463a-bb7e-ff5e15a493c8"
TAS = "/usr/lib/optee_armtz"


def sandbox(*args: str, timeout_s: float = 600.0) -> Ran:
    return run_sandbox("--machine", MACHINE, *args, timeout_s=timeout_s)


def guest(*argv: str) -> Ran:
    ran = sandbox("exec", "--timeout", "60", "--", *argv)
    assert ran.status == 0, ran.stderr
    return ran


@pytest.fixture(scope="module", autouse=True)
def up() -> Iterator[None]:
    ran = sandbox("up", timeout_s=1800.0)
    try:
        assert ran.status == 0, ran.stderr
        yield
    finally:
        down = sandbox("down")
    assert down.status == 0, down.stderr


def test_a_machine_that_is_down() -> None:
    ran = run_sandbox("--machine", "e2e-xtest-none", "xtest", "1001")
    assert ran.status == 2
    assert "`sandbox --machine e2e-xtest-none up`" in ran.stderr


def test_every_case_is_known_by_name() -> None:
    ran = sandbox("xtest", "--list", "--json")
    titles = {entry["case"]: entry["title"] for entry in ran.json["cases"]}
    assert len(titles) == 143
    assert titles["regression_1004"] == "Test User Crypt TA"
    assert set(titles) > SAMPLE_CASES


def test_the_sample_passes(tmp_path: Path) -> None:
    junit = tmp_path / "out" / "xtest.xml"
    ran = sandbox("xtest", "sample", "--json", "--junit", str(junit), timeout_s=1200.0)
    assert ran.status == 0, ran.stdout + ran.stderr
    said = ran.json
    assert said["passed"] and said["problem"] is None
    assert said["cases"] == len(SAMPLE_CASES)
    assert said["subtests"] > 5000
    assert (said["failed"], said["skipped"], said["failures"]) == (0, 0, [])
    assert said["comparison"] is None
    assert sum(group["cases"] for group in said["groups"]) == len(SAMPLE_CASES)
    (suite,) = ElementTree.parse(junit).getroot()
    assert suite.attrib["tests"] == str(len(SAMPLE_CASES))
    assert {element.attrib["name"].split()[0] for element in suite} == SAMPLE_CASES
    assert all(len(element) == 0 for element in suite)
    # The tests came into the machine that ran, and our own TA in it still answers.
    assert "bring xtest into the guest" in ran.stderr
    assert '"public_key"' in guest("cml-ca", "info").stdout


def test_a_smaller_run_names_what_it_lacks() -> None:
    cases = ["regression_1001", "regression_1004", "pkcs11_1000"]
    ran = sandbox("xtest", *cases, "--json")
    assert ran.status == 0, ran.stdout + ran.stderr
    comparison = ran.json["comparison"]
    assert set(comparison["missing"]) == SAMPLE_CASES - set(cases)
    assert not comparison["newly_failing"] and not comparison["newly_passing"]
    assert "bring xtest" not in ran.stderr


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = sandbox("xtest", "sample", "--junit", str(file / "xtest.xml"))
    assert ran.status == 3
    assert str(file) in ran.stderr
    assert "xtest:" not in ran.stderr


def test_a_case_whose_ta_is_missing_fails(tmp_path: Path) -> None:
    guest("mv", f"{TAS}/{SIMS_TA}.ta", "/root")
    junit = tmp_path / "xtest.xml"
    ran = sandbox("xtest", "regression_1004", "regression_1012", "--json", "--junit", str(junit))
    assert ran.status == 4
    said = ran.json
    assert not said["passed"] and said["problem"] is None
    assert (said["cases"], said["failed"]) == (2, 1)
    (failure,) = said["failures"]
    assert (failure["case"], failure["outcome"]) == ("regression_1012", "failed")
    assert "TEEC_ERROR_ITEM_NOT_FOUND" in failure["reason"]
    assert [part["name"] for part in failure["parts"]] == ["regression_1012.1"]
    assert any(SIMS_TA in line for line in failure["console"])
    assert said["comparison"]["newly_failing"] == ["regression_1012"]
    (element,) = ElementTree.parse(junit).iterfind(".//testcase[failure]")
    assert "TEEC_ERROR_ITEM_NOT_FOUND" in element.find("failure").attrib["message"]
    assert SIMS_TA in element.findtext("system-out", "")

    again = sandbox("xtest", "regression_1012")
    assert again.status == 4
    assert "still failing: regression_1012" in again.stdout
    assert "1 case, 1 subtest, 1 failed" in again.stdout

    guest("mv", f"/root/{SIMS_TA}.ta", TAS)
    repaired = sandbox("xtest", "regression_1012")
    assert repaired.status == 0, repaired.stdout
    assert "newly passing: regression_1012" in repaired.stdout


def test_a_hang_is_ended_and_its_case_named() -> None:
    """With tee-supplicant stopped, OP-TEE waits for the TA's file for ever."""
    guest("killall", "-STOP", "tee-supplicant")
    try:
        ran = sandbox(
            "xtest",
            "regression_1002",
            "regression_1012",
            "regression_2001",
            "--timeout",
            "6",
            "--json",
        )
    finally:
        guest("killall", "-CONT", "tee-supplicant")
    assert ran.status == 4
    said = ran.json
    assert said["problem"] == "xtest hangs: it has said nothing for 6 s"
    (failure,) = said["failures"]
    assert (failure["case"], failure["outcome"]) == ("regression_1012", "unfinished")
    assert said["subtests"] is None
    assert said["not_run"] == ["regression_2001"]
    assert said["comparison"]["newly_failing"] == ["regression_1012"]
    # It has left nothing behind, neither a process nor a session that is in the way.
    assert sandbox("exec", "--", "pidof", "xtest").status == 1
    assert sandbox("xtest", "regression_1012").status == 0
