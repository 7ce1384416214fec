# SPDX-License-Identifier: Apache-2.0
"""OP-TEE's own tests through `sandbox xtest`, on a machine of their own: they make TAs panic."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from real_stack import Ran, run_sandbox

from sandbox.machine.deadline import Deadline
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.xtest.cases import SAMPLE_CASES

# The TA of case 1012, and nobody else's.
SIMS_TA = "e6a33ed4-562b-463a-bb7e-ff5e15a493c8"
TAS = "/usr/lib/optee_armtz"

RunXtest = Callable[..., Ran]


@pytest.fixture(scope="module")
def machine(boot_machine: Callable[[], AbstractContextManager[Machine]]) -> Iterator[Machine]:
    with boot_machine() as machine:
        yield machine


@pytest.fixture
def xtest(machine: Machine) -> RunXtest:
    def run(*words: str, timeout_s: float = 600.0) -> Ran:
        return run_sandbox("--machine", machine.name, "xtest", *words, timeout_s=timeout_s)

    return run


def run_in(guest: Guest, *argv: str) -> bytes:
    return guest.run(argv, timeout_s=60.0, check=True).stdout


def test_a_machine_that_is_down() -> None:
    ran = run_sandbox("--machine", "xtest-none", "xtest", "1001")
    assert ran.status == 2
    assert "`sandbox --machine xtest-none up`" in ran.stderr


def test_every_case_is_known_by_name() -> None:
    ran = run_sandbox("xtest", "--list", "--json")
    titles = {entry["case"]: entry["title"] for entry in ran.json["cases"]}
    assert len(titles) == 143
    assert titles["regression_1004"] == "Test User Crypt TA"
    assert set(titles) > SAMPLE_CASES


# Case 1001 asks the core for 256 MiB, 1007 and 1021 have TAs that panic.
@pytest.mark.sandbox_expects("TA panic", "out of secure memory", "ldelf failure")
def test_the_sample_passes(xtest: RunXtest, guest: Guest, tmp_path: Path) -> None:
    junit = tmp_path / "out" / "xtest.xml"
    ran = xtest("sample", "--json", "--junit", str(junit), timeout_s=1200.0)
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
    assert b"challenge" in run_in(guest, "cml-ca", "info")


def test_a_smaller_run_names_what_it_lacks(xtest: RunXtest) -> None:
    cases = ["regression_1002", "regression_1004", "pkcs11_1000"]
    ran = xtest(*cases, "--json")
    assert ran.status == 0, ran.stdout + ran.stderr
    comparison = ran.json["comparison"]
    assert set(comparison["missing"]) == SAMPLE_CASES - set(cases)
    assert not comparison["newly_failing"] and not comparison["newly_passing"]
    assert "bring xtest" not in ran.stderr


def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    xtest: RunXtest, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = xtest("sample", "--junit", str(file / "xtest.xml"))
    assert ran.status == 3
    assert str(file) in ran.stderr
    assert "xtest:" not in ran.stderr


@pytest.mark.sandbox_expects("ldelf failure")
def test_a_case_whose_ta_is_missing_fails(xtest: RunXtest, guest: Guest, tmp_path: Path) -> None:
    run_in(guest, "mv", f"{TAS}/{SIMS_TA}.ta", "/root")
    junit = tmp_path / "xtest.xml"
    ran = xtest("regression_1004", "regression_1012", "--json", "--junit", str(junit))
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
    told = element.find("failure")
    assert told is not None and "TEEC_ERROR_ITEM_NOT_FOUND" in told.attrib["message"]
    assert SIMS_TA in element.findtext("system-out", "")

    again = xtest("regression_1012")
    assert again.status == 4
    assert "still failing: regression_1012" in again.stdout
    assert "1 case, 1 subtest, 1 failed" in again.stdout

    run_in(guest, "mv", f"/root/{SIMS_TA}.ta", TAS)
    repaired = xtest("regression_1012")
    assert repaired.status == 0, repaired.stdout
    assert "newly passing: regression_1012" in repaired.stdout


# What OP-TEE makes of a call whose client was killed while it waited for tee-supplicant.
@pytest.mark.sandbox_expects("ldelf failure")
def test_a_hang_is_ended_and_its_case_named(xtest: RunXtest, guest: Guest) -> None:
    """With tee-supplicant stopped, OP-TEE waits for the TA's file for ever."""
    cases = ["regression_1002", "regression_1012", "regression_2001"]
    run_in(guest, "killall", "-STOP", "tee-supplicant")
    try:
        ran = xtest(*cases, "--timeout", "6", "--json")
    finally:
        run_in(guest, "killall", "-CONT", "tee-supplicant")
    assert ran.status == 4
    said = ran.json
    assert said["problem"] == "xtest hangs: it has said nothing for 6 s"
    (failure,) = said["failures"]
    assert (failure["case"], failure["outcome"]) == ("regression_1012", "unfinished")
    assert said["subtests"] is None
    assert said["not_run"] == ["regression_2001"]
    assert said["comparison"]["newly_failing"] == ["regression_1012"]
    # It has left nothing behind, neither a process nor a session that is in the way.
    deadline = Deadline(60.0)
    while guest.run(["pidof", "xtest"], timeout_s=60.0).status == 0:
        assert not deadline.expired
    assert xtest("regression_1012").status == 0
