# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin as another project meets it: each test runs pytest on a project of its own.

Its machines are QEMU's stand-in (fake_qemu.py). After their boot they have nothing to say, so the
projects' tests write into the consoles' logs what shall be bad.
"""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sandbox.machine.deadline import Deadline

MakeQemu = Callable[..., str]

CONFTEST = '''
import pytest
from dataclasses import dataclass, field
from pathlib import Path
from sandbox.machine.folder import World

@dataclass(frozen=True)
class Images:
    flash: Path
    kernel: Path
    initrd: Path
    symbols: dict = field(default_factory=dict)

@pytest.fixture(scope="session")
def sandbox_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    made = Images(folder / "flash.bin", folder / "Image", folder / "initrd.cpio")
    for path in (made.flash, made.kernel, made.initrd):
        path.write_bytes(bytes(1001))
    return lambda cores: made

@pytest.fixture(scope="session")
def say():
    """Lets a world of a machine print a line."""
    def say(machine, text, world=World.SECURE):
        with machine.folder.log(world).open("a") as log:
            print(text, file=log)
    return say

def pid(machine):
    return machine.status().record.qemu.pid
'''
TA_PANIC = "E/TC:? 0 TA panicked with code 0xffff0006"
TA_PANICS = f'say(machine, "{TA_PANIC}")'
KERNEL_PANICS = 'say(machine, "Kernel panic - not syncing: on purpose", World.NORMAL)'


class Project:
    """A project in a folder of its own, with tests that use the plugin."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        self.path = pytester.path
        pytester.makeconftest(CONFTEST)

    def machines_are(self, program: str) -> None:
        self._monkeypatch.setenv("SANDBOX_QEMU", program)

    def write(self, **files: str) -> None:
        head = "import os, time, pytest\nfrom conftest import World, pid\n"
        self._pytester.makepyfile(
            **{name: head + textwrap.dedent(text) for name, text in files.items()}
        )

    def run(self, *args: str) -> pytest.RunResult:
        base = self.path / "base"
        return self._pytester.runpytest_subprocess(f"--basetemp={base}", *args, timeout=300)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """The same, without waiting for the end."""
        argv = [sys.executable, "-m", "pytest", f"--basetemp={self.path / 'base'}", *args]
        return subprocess.Popen(
            argv, cwd=self.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def machines(self) -> list[int]:
        """Processes of the stand-in that this project's runs have started."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"-serial" in argv and any(os.fsencode(self.path) in word for word in argv):
                found.append(int(entry.name))
        return found


@pytest.fixture
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, qemu: MakeQemu
) -> Iterator[Project]:
    made = Project(pytester, monkeypatch)
    made.machines_are(qemu())
    yield made
    for pid in made.machines():
        os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], bool], timeout_s: float = 120.0) -> bool:
    deadline = Deadline(timeout_s)
    while not condition():
        if deadline.expired:
            return False
        time.sleep(0.02)
    return True


# A machine for the session -----------------------------------------------------------------------


def test_each_machine_is_a_new_device_that_ends_with_it(project: Project) -> None:
    project.write(
        test_one="""
        from sandbox.machine.flash import hardware_unique_key

        def note(machine):
            folder = machine.folder
            assert list(folder.storage.iterdir()) == []
            (folder.storage / "dirf.db").write_text("sealed")
            open("keys", "a").write(hardware_unique_key(folder.flash).hex() + "\\n")

        def test_session(machine):
            note(machine)

        @pytest.mark.parametrize("n", range(2))
        def test_fresh(boot_machine, n):
            with boot_machine() as one, boot_machine() as other:
                note(one)
                note(other)
                folder = one.folder
            assert not folder.flash.exists() and not folder.storage.exists()
            assert folder.log(World.SECURE).exists()
        """,
    )
    project.run().assert_outcomes(passed=3)
    keys = (project.path / "keys").read_text().split()
    assert len(set(keys)) == len(keys) == 5
    assert [*project.path.rglob("flash.*g")] == [*project.path.rglob("dirf.db")] == []


def test_tests_share_a_machine_that_ends_with_them(project: Project) -> None:
    project.write(
        test_one="""
        def test_guest(machine, guest, share):
            assert machine.name == "pytest"
            open("pids", "a").write(f"{pid(machine)}\\n")
            assert guest.run(["echo", "a  b"], timeout_s=20, check=True).stdout == b"a  b\\n"
            (share.host / "x").write_text("x")
            assert share.host.parent == machine.share
            assert str(share.guest) == f"/mnt/share/{share.host.name}"
        """,
        test_two="""
        import subprocess, sys, json
        def test_command_means_the_same_machine(machine, sandbox_environment):
            open("pids", "a").write(f"{pid(machine)}\\n")
            assert not list(machine.share.iterdir())
            ran = subprocess.run(
                [sys.executable, "-m", "sandbox", "status", "--json"],
                env=os.environ | sandbox_environment, capture_output=True, check=True,
            )
            assert json.loads(ran.stdout)["qemu_pid"] == pid(machine)
        """,
    )
    project.run().assert_outcomes(passed=2)
    first, second = (project.path / "pids").read_text().split()
    assert first == second
    assert not project.machines()


def test_fresh_machines_are_the_tests_own(project: Project) -> None:
    project.write(
        test_it="""
        def test_fresh(fresh_machine, console_of, say):
            open("pids", "a").write(f"{pid(fresh_machine)}\\n")
            assert fresh_machine.name == "pytest-2"
            say(fresh_machine, "hello")
            assert console_of(fresh_machine).text() == "hello"

        def test_it_is_gone(machine):
            first = int(open("pids").read())
            assert not os.path.exists(f"/proc/{first}")

        def test_several(boot_machine, machine):
            with boot_machine() as one, boot_machine(cores=3) as three:
                assert len({pid(machine), pid(one), pid(three)}) == 3
                assert three.status().record.cores == 3
                gone = pid(three)
            assert not os.path.exists(f"/proc/{gone}")
            assert machine.status().answers
        """,
    )
    project.run("--sandbox-cores=1").assert_outcomes(passed=3)
    assert not project.machines()


def test_cores_by_ini_and_by_option(project: Project) -> None:
    project.write(
        test_it="""
        def test_cores(machine):
            open("cores", "a").write(f"{machine.status().record.cores} ")
        """
    )
    (project.path / "pytest.ini").write_text("[pytest]\nsandbox_cores = 3\n")
    project.run().assert_outcomes(passed=1)
    project.run("--sandbox-cores=2").assert_outcomes(passed=1)
    assert (project.path / "cores").read_text() == "3 2 "
    result = project.run("--sandbox-cores=17")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["UserError: no machine has 17 cores", "hint: *1 to 16*"])


def test_a_machine_that_is_up_is_used_and_left_up(project: Project) -> None:
    project.write(
        test_it="""
        def test_pid(machine):
            open("pids", "a").write(f"{pid(machine)} {machine.name} ")
        """
    )
    for _ in range(2):
        project.run("--sandbox-machine=mine").assert_outcomes(passed=1)
    first, name, second, _ = (project.path / "pids").read_text().split()
    assert (first, name) == (second, "mine")
    assert project.machines() == [int(first)]
    result = project.run("--sandbox-machine=mine", "--sandbox-cores=1")
    result.stdout.fnmatch_lines(["UserError: machine 'mine' is up already, with * cores"])


def test_machines_are_kept_on_request(project: Project) -> None:
    project.write(
        test_it="""
        def test_pids(machine, fresh_machine):
            open("pids", "w").write(f"{pid(machine)} {pid(fresh_machine)}")
        """
    )
    project.run("--sandbox-keep").assert_outcomes(passed=1)
    pids = [int(word) for word in (project.path / "pids").read_text().split()]
    assert sorted(project.machines()) == sorted(pids)
    # Never one that somebody may be looking at.
    result = project.run("--sandbox-keep")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["hint: `sandbox --machine pytest down` ends it."])
    status = [sys.executable, "-m", "sandbox", "--machine", "pytest", "status", "--json"]
    assert json.loads(subprocess.check_output(status))["qemu_pid"] in pids


# Consoles ----------------------------------------------------------------------------------------


def test_bad_patterns_fail_tests_unless_expected(project: Project) -> None:
    project.write(
        test_it=f"""
        def test_unexpected(machine, say):
            {TA_PANICS}

        def test_explained(machine, say):
            {TA_PANICS}
            assert 1 == 2

        def test_skipped(machine, say):
            {TA_PANICS}
            pytest.skip("not today")

        def test_expected(machine, console, say):
            with console.expecting("TA panic"):
                {TA_PANICS}

        def test_expected_too_early(machine, console, say):
            with console.expecting("TA panic"):
                {TA_PANICS}
            {TA_PANICS}

        def test_did_not_come(console):
            with console.expecting("TA panic", "kernel oops", timeout_s=0.1):
                pass

        def test_no_such(console):
            with console.expecting("TA panics"):
                pass

        @pytest.mark.sandbox_expects("TA panic")
        def test_marked(machine, say):
            {TA_PANICS}

        @pytest.mark.sandbox_expects("TA panic")
        def test_marked_in_vain(machine):
            pass

        @pytest.mark.sandbox_expects("TA panic")
        def test_marked_without_a_machine():
            pass

        def test_good(machine, say):
            say(machine, "all is well")
        """
    )
    result = project.run("-rA", "--tb=short")
    passed = {"test_expected", "test_marked", "test_good"}
    assert set(re.findall(r"^PASSED test_it.py::(\w+)", result.stdout.str(), re.M)) == passed
    result.assert_outcomes(passed=3, failed=7, errors=1)
    failures = blocks(result)
    unexpected = "TA panic in the secure world: " + TA_PANIC
    assert unexpected in failures["test_unexpected"]
    assert unexpected in failures["test_explained"] and "1 == 2" in failures["test_explained"]
    assert unexpected in failures["test_skipped"]
    assert unexpected in failures["test_expected_too_early"]
    assert "not seen within 0.1 s: TA panic, kernel oops" in failures["test_did_not_come"]
    assert "hint: There are: kernel panic, " in failures["test_no_such"]
    assert "but not seen: TA panic" in failures["test_marked_in_vain"]
    assert "on a test that uses no machine" in failures["test_marked_without_a_machine"]
    for text in failures.values():
        assert ("Console log of machine pytest" in text) == (TA_PANIC in text)


def blocks(result: pytest.RunResult) -> dict[str, str]:
    """What pytest prints of each failure or error, by the test's name."""
    # The summary repeats the messages, whole ones where pytest believes that CI reads them.
    details, _, _ = result.stdout.str().partition(" short test summary info =")
    parts = re.split(r"^_{3,} (?:ERROR at \w+ of )?(\w+) _{3,}$", details, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_wait_for(project: Project) -> None:
    project.write(
        test_it=f"""
        import threading
        from sandbox.machine.console import ConsoleAlarm
        from sandbox.testing.console import ConsoleTimeout

        def test_lines_of_earlier_tests_are_not_seen(machine, say):
            say(machine, "one 1")

        def test_found(machine, console, say):
            say(machine, "one 2")
            say(machine, "two 3", World.NORMAL)
            assert console.wait_for(r"two (\\d)").group(1) == "3"
            assert console.wait_for(r"one (\\d)", world=World.SECURE).group(1) == "2"
            # Each line is found once.
            with pytest.raises(ConsoleTimeout, match="(?s)secure world's.*one 2"):
                console.wait_for("one", world=World.SECURE, timeout_s=0.1)
            thread = threading.Timer(0.3, say, (machine, "one 4"))
            thread.start()
            assert console.wait_for(r"one (\\d)").group(1) == "4"
            thread.join()
            assert [line.text for line in console.lines(World.SECURE)] == ["one 2", "one 4"]
            assert console.text(World.NORMAL) == "two 3"

        def test_other_world(console, machine, say):
            say(machine, "here", World.NORMAL)
            with pytest.raises(ConsoleTimeout):
                console.wait_for("here", world=World.SECURE, timeout_s=0.1)

        def test_something_bad_ends_the_wait(console, machine, say):
            {TA_PANICS}
            with pytest.raises(ConsoleAlarm, match="TA panic"):
                console.wait_for("never", timeout_s=600)
        """
    )
    project.run().assert_outcomes(passed=4)


def test_what_comes_between_two_tests_is_told(project: Project) -> None:
    project.write(
        test_it=f"""
        def test_a(machine):
            pass

        def test_without_a_machine(request, say):
            # Behind the plugin's back: this test asks for no machine.
            import sandbox.machine.machine as rooms, gc
            machine, = (o for o in gc.get_objects() if isinstance(o, rooms.Machine))
            {TA_PANICS}

        def test_b(machine):
            pass

        def test_c(machine):
            pass
        """
    )
    result = project.run()
    result.assert_outcomes(passed=3, errors=1)
    told = blocks(result)["test_b"]
    assert "TA panic in the secure world" in told
    assert "It came after test_it.py::test_a, and before test_it.py::test_b." in told


def test_reports_of_failures_have_the_consoles(project: Project) -> None:
    project.write(
        test_it="""
        def test_fails(machine, say):
            say(machine, "from the secure world")
            for number in range(500):
                say(machine, f"line {number}")
            # What two worlds say between two looks of the recorder has no order.
            time.sleep(1.0)
            say(machine, "from \\x1b[31mLinux\\x1b[0m", World.NORMAL)
            assert False

        def test_passes(machine, say):
            say(machine, "nobody wants to know")

        @pytest.fixture
        def broken(machine, say):
            say(machine, "within setup")
            raise RuntimeError

        @pytest.fixture
        def breaking(machine, say):
            yield
            say(machine, "within teardown")
            raise RuntimeError

        def test_setup(broken):
            pass

        def test_teardown(breaking):
            pass
        """
    )
    result = project.run("--junitxml=out.xml", "--tb=short", "-rN")
    result.assert_outcomes(passed=2, failed=1, errors=2)
    shown = blocks(result)
    assert "from Linux" in shown["test_fails"] and "\x1b[31m" not in shown["test_fails"]
    # No more than can be read; the rest is where it says.
    assert "line 499" in shown["test_fails"] and "line 0\n" not in shown["test_fails"]
    left, folder = re.findall(r"\((\d+) lines before these are in (.*)\)", shown["test_fails"])[0]
    assert int(left) == 2
    assert "from the secure world" in Path(folder, "secure.log").read_text()
    assert "within setup" in shown["test_setup"]
    assert "within teardown" in shown["test_teardown"]
    assert "nobody wants to know" not in result.stdout.str()

    cases = {
        case.get("name"): {
            entry.get("name"): entry.get("value", "") for entry in case.iter("property")
        }
        for case in ElementTree.parse(project.path / "out.xml").iter("testcase")
    }
    log = "Console log of machine pytest"
    first, *_, last = cases["test_fails"][log].splitlines()
    assert last.endswith("normal console        from Linux") or "line 499" in last
    assert "from Linux" in cases["test_fails"][log]
    assert cases["test_passes"] == {}
    assert cases["test_setup"][log].endswith("within setup")
    assert cases["test_teardown"][log].endswith("within teardown")


# When machines fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("panic", "ConsoleAlarm: kernel panic in the normal world"),
        ("event-failed", "BootError: the guest reports: share: mount:"),
        ("exit", "QemuError: QEMU ended at once"),
    ],
)
def test_a_boot_that_fails_is_told_once(
    mode: str, words: str, project: Project, qemu: MakeQemu
) -> None:
    project.machines_are(qemu(mode))
    project.write(
        test_it="""
        def test_a(machine):
            pass

        def test_b(guest):
            pass

        def test_without():
            pass
        """
    )
    result = project.run("--junitxml=out.xml", "-rs")
    result.assert_outcomes(passed=1, errors=1, skipped=1)
    result.stdout.fnmatch_lines([f"*{words}*", "SKIPPED*the session's machine did not boot*"])
    assert "sandbox/machine/boot.py" not in result.stdout.str()
    error = ElementTree.parse(project.path / "out.xml").find(".//error")
    assert error is not None and words in (error.text or "")
    if mode != "exit":
        assert "Booting Trusted Firmware" in blocks(result)["test_a"]
    assert not project.machines()


def test_a_broken_machine_is_booted_anew(project: Project) -> None:
    project.write(
        test_it=f"""
        import signal
        from sandbox.machine.deadline import Deadline
        pids = []

        def test_a(machine, say):
            pids.append(pid(machine))
            {KERNEL_PANICS}

        def test_another(machine):
            assert pid(machine) not in pids
            pids.append(pid(machine))

        def test_the_same(machine):
            assert pid(machine) == pids[-1]
            qemu = machine.status().record.qemu
            qemu.signal(signal.SIGKILL)
            assert qemu.wait_gone(Deadline(20))

        def test_yet_another(machine, guest, console):
            assert pid(machine) not in pids
            assert guest.run(["true"], timeout_s=20).status == 0
            assert console.text() == ""
        """
    )
    result = project.run()
    result.assert_outcomes(passed=2, failed=2)
    assert "kernel panic" in blocks(result)["test_a"]
    assert "QEMU of machine 'pytest' ended" in blocks(result)["test_the_same"]
    assert not project.machines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_run_leaves_no_machine(
    project: Project, number: signal.Signals, workers: int
) -> None:
    test = """
        def test_it(machine, fresh_machine):
            open(f"started-{machine.name}", "w").close()
            time.sleep(600)
        """
    project.write(test_a=test, test_b=test)
    run = project.start(*(["-n", str(workers), "--dist=loadfile"] if workers else []))
    try:
        count = max(1, workers)
        assert eventually(lambda: len(list(project.path.glob("started-*"))) == count)
        assert len(project.machines()) == 2 * count
        run.send_signal(number)
        run.communicate(timeout=120)
    finally:
        run.kill()
    assert eventually(lambda: not project.machines())


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_machines_that_tests_start_by_themselves_are_ended(
    project: Project, number: signal.Signals | None
) -> None:
    """As the command `sandbox up` does it: nobody's child, nobody's guard."""
    project.write(
        test_it=f"""
        def test_it(machine, sandbox_images):
            from sandbox.log import SilentProgress
            from sandbox.machine.machine import Machine

            folder = machine.folder.path.with_name("other")
            other = Machine("other", folder, qemu=os.environ["SANDBOX_QEMU"])
            other.up(
                sandbox_images(1), cores=1, memory_mib=512, timeout_s=60, progress=SilentProgress()
            )
            open("started", "w").close()
            time.sleep({0 if number is None else 600})
        """
    )
    run = project.start()
    try:
        assert eventually((project.path / "started").exists)
        if number is not None:
            assert len(project.machines()) == 2
            run.send_signal(number)
        run.communicate(timeout=120)
    finally:
        run.kill()
    assert eventually(lambda: not project.machines())


def test_a_run_that_is_interrupted_within_a_boot_leaves_no_machine(
    project: Project, qemu: MakeQemu
) -> None:
    project.machines_are(qemu("hang"))
    project.write(test_it="def test_it(machine): pass")
    run = project.start()
    try:
        assert eventually(lambda: len(project.machines()) == 1)
        run.terminate()
        run.communicate(timeout=120)
    finally:
        run.kill()
    assert eventually(lambda: not project.machines())


def test_the_first_failure_ends_a_run_and_its_machine(project: Project) -> None:
    project.write(
        test_it="""
        def test_a(machine):
            assert False

        def test_b(machine):
            pass
        """
    )
    project.run("-x").assert_outcomes(failed=1)
    assert not project.machines()


# With other plugins, and without use -------------------------------------------------------------


def test_each_worker_of_xdist_has_a_machine(project: Project) -> None:
    test = f"""
        def test_name(machine, worker_id, guest):
            assert machine.name == f"pytest-{{worker_id}}"
            open(f"pid-{{worker_id}}", "w").write(str(pid(machine)))
            assert guest.run(["echo", "a"], timeout_s=20).stdout == b"a\\n"
            while len([name for name in os.listdir() if name.startswith("pid-")]) < 2:
                time.sleep(0.02)

        def test_bad(machine, say, fresh_machine):
            {TA_PANICS}
        """
    project.write(test_a=test, test_b=test)
    result = project.run("-n", "2", "--dist=loadfile", "--junitxml=out.xml")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*TA panic in the secure world*", "*Console log of machine pytest-gw*"]
    )
    pids = {path.read_text() for path in project.path.glob("pid-*")}
    assert len(pids) == 2
    assert not project.machines()
    properties = ElementTree.parse(project.path / "out.xml").findall(".//property")
    assert sum(TA_PANIC in entry.get("value", "") for entry in properties) == 2


def test_unused_it_costs_and_changes_nothing(project: Project) -> None:
    """Loaded by its entry point, it imports nothing of the sandbox's until it is needed."""
    (project.path / "conftest.py").unlink()
    project.write(test_it="")
    (project.path / "test_it.py").write_text(
        """
import signal, sys

def test_nothing_is_imported(request):
    assert request.config.pluginmanager.has_plugin("sandbox")
    ours = {name for name in sys.modules if name.partition(".")[0] == "sandbox"}
    assert ours == {"sandbox", "sandbox.testing", "sandbox.testing.plugin"}
    assert not {"rich", "cryptography", "paramiko", "elftools"} & set(sys.modules)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

def test_a_fixture_of_the_projects_own_wins(machine):
    assert machine == "lathe"
"""
    )
    (project.path / "conftest.py").write_text(
        """
import pytest

@pytest.fixture
def machine():
    return "lathe"
"""
    )
    project.run("--strict-markers").assert_outcomes(passed=2)
    project.run("-p", "no:sandbox", "-k", "own").assert_outcomes(passed=1, deselected=1)


def test_its_fixtures_are_explained(project: Project) -> None:
    project.write(test_it="")
    text = project.run("--fixtures").stdout.str()
    ours = text.partition("fixtures defined from sandbox.testing.plugin")[2]
    ours = re.split(r"^-+ fixtures defined", ours, flags=re.M)[0]
    names = re.findall(r"^(\w+)(?: \[.*\])? -- ", ours, re.M)
    assert "machine" in names
    assert "no docstring available" not in ours
    page = (Path(__file__).parents[2] / "docs/pytest.md").read_text()
    for name in names:
        assert f"`{name}`" in page, f"docs/pytest.md does not tell about {name}"
