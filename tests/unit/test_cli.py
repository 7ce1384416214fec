# SPDX-License-Identifier: Apache-2.0
"""The command line as a person and a script see it, on a machine that is not there."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect
import pytest

from sandbox import paths
from sandbox.__main__ import main
from sandbox.authority.manufacturer import Manufacturer
from sandbox.build import images
from sandbox.cli import VERBS, make_parser
from sandbox.config import ENVIRONMENT, Config
from sandbox.errors import GuestError, InfraError, SandboxError, UserError
from sandbox.machine.machine import Machine

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    """Somebody who types this."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Prepared:
    flash: Path
    kernel: Path
    initrd: Path
    symbols: Mapping[str, Path] = field(default_factory=dict)
    ta_dev_kit: Path = Path("/dev-kit")
    manifest: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str) -> tuple[int, str, str]:
        try:
            status = main(argv)
        except SystemExit as left:  # argparse
            status = int(left.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """The build has its own tests: here it hands out three small files."""
    prepared = Prepared(tmp_path / "flash.bin", tmp_path / "Image", tmp_path / "initrd.cpio")
    for path in (prepared.flash, prepared.kernel, prepared.initrd):
        path.write_bytes(b"x")
    monkeypatch.setattr(images, "prepare", lambda _cores, _progress, **_: prepared)
    return prepared


@pytest.fixture
def fake(
    built: Prepared, qemu: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    def choose(mode: str) -> None:
        monkeypatch.setenv("SANDBOX_QEMU", qemu(mode))

    choose("good")
    yield choose
    for folder in paths.machine_dir("default").parent.glob("*"):
        Machine(folder.name, folder).down()


# Help -------------------------------------------------------------------------------------------


def test_help_names_every_verb_exit_code_and_variable(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    for word in (*VERBS, *ENVIRONMENT, "exit codes:", "first steps:"):
        assert word in out
    for kind in (UserError, InfraError, GuestError):
        assert f"\n  {kind.exit_code}  " in out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, run: Run) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0
    assert out.startswith(f"usage: sandbox {verb}")
    assert "--machine" in out and "--debug" in out


def test_a_verb_as_a_value_does_not_hide_the_verb(run: Run) -> None:
    status, out, _ = run("--machine", "up", "status", "--json")
    assert status == 0 and json.loads(out)["machine"] == "up"


def test_quick_verbs_load_no_slow_library() -> None:
    script = (
        "import sys; from sandbox.__main__ import main; main(['status']);"
        " assert not {'tink', 'cwt', 'PIL', 'paramiko'} & set(sys.modules), 'slow'"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


# Each takes 3 ms or more to load; together they would double the time that exec takes.
SLOW = {
    *("rich", "cryptography", "paramiko", "elftools", "pexpect", "importlib.metadata"),
    *("subprocess", "logging", "stringprep", "ctypes", "email", "sandbox.machine.start"),
}


def test_exec_loads_next_to_nothing(fake: Callable[[str], None]) -> None:
    assert main(["up"]) == 0
    script = (
        "import sys; from sandbox.__main__ import main\n"
        "assert main(['exec', '--', 'true']) == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert SLOW & set(done.stdout.decode().split()) == set()


def test_version(run: Run) -> None:
    status, out, _ = run("--version")
    assert status == 0 and out.startswith("sandbox ")


@pytest.mark.parametrize("argv", [[], ["fly"], ["up", "--cores", "0"], ["up", "--cores", "x"]])
def test_wrong_usage_is_2(argv: list[str], run: Run) -> None:
    status, _, err = run(*argv)
    assert status == 2 and err.startswith("usage: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(shell: str, run: Run) -> None:
    status, out, _ = run("completion", shell)
    assert status == 0
    for word in (*VERBS, "cores", "follow"):
        assert word in out
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=out.encode(), check=True)


def test_verbs_are_the_modules_that_are_there() -> None:
    helpers = {"__init__", "context", "report", "ta_steps", "ta_watch", "watched"}
    helpers |= {"model_import", "model_inspect", "model_vault", "keys_authority", "verify_steps"}
    helpers |= {"corim_file", "endorsing", "keys_device", "trust"}
    helpers |= {"bench_peers", "bench_report", "bench_service", "bench_steps"}
    modules = {p.stem for p in (ROOT / "sandbox" / "commands").glob("*.py")} - helpers
    assert modules == {verb.replace("-", "_") for verb in VERBS}
    assert make_parser().prog == "sandbox"


# A machine's life -------------------------------------------------------------------------------

# What scripts may rely on. A change here is a change of the interface: see CHANGELOG.
STATUS_UP = {
    "machine": str,
    "state": str,
    "answers": bool,
    "debugger": type(None),
    "remark": type(None),
    "cores": int,
    "host_cores": int,
    "acceleration": str,
    "memory_mib": int,
    "started_at": float,
    "qemu_pid": int,
    "ssh_port": int,
    "ta": dict,
    "encrypt_model": bool,
    "images": dict,
    "stages": list,
    "paths": dict,
}
PATHS = {"folder", "share", "ssh_key", "normal_log", "secure_log", "qemu_log"}


def kinds(described: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in described.items()}


def test_json_of_a_machine_is_frozen(run: Run, fake: Callable[[str], None]) -> None:
    down = {key: type(None) for key in STATUS_UP}
    down |= {"machine": str, "state": str, "paths": dict}
    status, out, _ = run("status", "--json")
    described = json.loads(out)
    assert status == 0 and kinds(described) == down
    assert described["state"] == "down" and set(described["paths"]) == PATHS

    status, out, _ = run("up", "--cores", "1", "--json")
    described = json.loads(out)
    assert status == 0 and kinds(described) == STATUS_UP | {"started": bool, "outdated": bool}
    assert (described["started"], described["outdated"]) == (True, False)
    assert described["stages"][0]["name"] == "images"
    assert all(kinds(stage) == {"name": str, "seconds": float} for stage in described["stages"])
    assert set(described["images"]) == {"flash", "kernel", "initrd"}

    status, out, _ = run("status", "--json")
    described = json.loads(out)
    assert status == 0 and kinds(described) == STATUS_UP
    assert described["state"] == "up" and described["answers"] is True
    assert described["cores"] == 1 and set(described["paths"]) == PATHS

    assert json.loads(run("down", "--json")[1]) == {
        "machine": "default",
        "state": "down",
        "ended": True,
    }
    assert json.loads(run("down", "--json")[1])["ended"] is False


def test_up_twice_and_down_for_people(run: Run, fake: Callable[[str], None]) -> None:
    status, out, err = run("up")
    assert status == 0 and "machine 'default' is up" in out
    for stage in ("images", "firmware", "kernel", "tee-supplicant", "ta", "total"):
        assert stage in out
    assert "boot: done" in err
    status, out, _ = run("up")
    assert status == 0 and out == "machine 'default' is up already\n"
    status, out, _ = run("status")
    assert status == 0
    for words in ("default, up", "answers", "version 0.1.0, CPU dotprod i8mm", "the start took"):
        assert words in out
    assert run("down")[1] == "machine 'default' is down\n"
    assert run("down")[1] == "machine 'default' was down already\n"


def test_destroy_asks_first(
    run: Run, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paths.machine_dir("default")
    assert run("destroy")[:2] == (0, "machine 'default' was not there\n")
    assert run("up")[0] == 0

    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    status, _, err = run("destroy")
    assert status == 2 and "Nobody is there to ask" in err and "destroy --yes" in err
    for answer in ("n\n", "\n", "", "yesterday\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        status, _, err = run("destroy")
        assert status == 2 and "was kept" in err
    assert folder.is_dir() and run("status")[0] == 0

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    status, out, err = run("destroy")
    assert (status, out) == (0, "machine 'default' is destroyed\n")
    assert "its keys and its secure storage for good? [y/N]" in err
    assert not folder.exists()


def test_a_device_is_endorsed_when_it_is_made_and_revoked_when_it_ends(
    run: Run, fake: Callable[[str], None]
) -> None:
    for argv in (("up",), ("up",), ("down",), ("up",)):
        assert run(*argv)[0] == 0
        (first,) = Manufacturer().certificates()
    assert run("destroy", "--yes")[0] == 0
    assert Manufacturer().certificates() == []
    (entry,) = Manufacturer().crl()
    assert entry.serial_number == first.serial_number
    assert run("destroy", "--yes")[0] == run("up")[0] == 0
    (second,) = Manufacturer().certificates()
    assert second.subject != first.subject


def test_destroy_for_scripts(run: Run, fake: Callable[[str], None]) -> None:
    gone = {"machine": "default", "state": "down"}
    assert run("up")[0] == 0
    assert json.loads(run("destroy", "--yes", "--json")[1]) == {**gone, "destroyed": True}
    assert json.loads(run("destroy", "--yes", "--json")[1]) == {**gone, "destroyed": False}


def test_more_cores_than_the_host_has_is_said(
    run: Run, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    assert (
        "4, each on a thread of its own, which share the host's 2" in run("up", "--cores", "4")[1]
    )
    assert "which share the host's 2" in run("status")[1]


def test_up_with_other_cores_is_refused(run: Run, fake: Callable[[str], None]) -> None:
    assert run("up", "--cores", "1")[0] == 0
    status, _, err = run("up", "--cores", "2")
    assert status == 2 and "up already, with 1 cores" in err and "sandbox down" in err
    assert run("up", "--cores", "1")[0] == 0


def test_up_with_a_ta_that_seals_is_recorded_and_said(
    run: Run, fake: Callable[[str], None], built: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def prepare(_cores: int, _progress: object, *, encrypt_model: bool) -> Prepared:
        asked.append(encrypt_model)
        return built

    monkeypatch.setattr(images, "prepare", prepare)
    status, out, _ = run("up", "--encrypt-model")
    assert status == 0 and "not for production" in out
    assert json.loads(run("status", "--json")[1])["encrypt_model"] is True
    assert "not for production" in run("status")[1]
    # It is what it is, until it is started anew; and then it is the default.
    status, out, _ = run("up")
    assert status == 0 and "not for production" in out
    run("down")
    status, out, _ = run("up")
    assert status == 0 and "production" not in out
    assert asked == [True, True, False]
    status, _, err = run("up", "--encrypt-model")
    assert status == 2 and "seals no models" in err
    assert json.loads(run("status", "--json")[1])["encrypt_model"] is False


def test_up_tells_when_the_sources_moved_on(
    run: Run, fake: Callable[[str], None], built: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("up")
    newer = Prepared(built.flash, built.kernel, built.initrd.with_name("newer.cpio"))
    monkeypatch.setattr(images, "prepare", lambda _cores, _progress, **_: newer)
    status, out, _ = run("up")
    assert status == 0 and "from other images" in out
    assert json.loads(run("up", "--json")[1])["outdated"] is True


def test_machine_is_named_before_or_behind_the_verb(
    run: Run, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("up", "--machine", "second")
    assert json.loads(run("--machine", "second", "status", "--json")[1])["state"] == "up"
    assert json.loads(run("status", "--json")[1])["state"] == "down"
    monkeypatch.setenv("SANDBOX_MACHINE", "second")
    assert json.loads(run("status", "--json")[1])["state"] == "up"
    assert json.loads(run("--machine", "third", "status", "--json")[1])["machine"] == "third"


# Commands in the guest --------------------------------------------------------------------------


def test_exec_is_exact(
    fake: Callable[[str], None], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["up"]) == 0
    capfdbinary.readouterr()
    assert main(["exec", "--", "printf", "%s,%s\\n", "a b", "-n"]) == 0
    assert capfdbinary.readouterr() == (b"a b,-n\n", b"")
    assert main(["exec", "sh", "-c", "echo oops >&2; exit 42"]) == 42
    assert capfdbinary.readouterr() == (b"", b"oops\n")


def test_exec_passes_standard_input(fake: Callable[[str], None], home: Path) -> None:
    assert main(["up"]) == 0
    data = bytes(range(256)) * 1000
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "exec", "--", "cat"],
        input=data,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


def test_exec_without_a_machine(run: Run) -> None:
    status, out, err = run("exec", "--", "true")
    assert (status, out) == (2, "")
    assert err == "sandbox: machine 'default' is down\n  `sandbox up` starts it.\n"
    status, _, err = run("exec")
    assert status == 2 and "no command given" in err


# Failures ---------------------------------------------------------------------------------------


def test_a_failed_boot_is_4_with_both_consoles(run: Run, fake: Callable[[str], None]) -> None:
    fake("panic")
    status, out, err = run("up")
    assert (status, out) == (4, "")
    assert "kernel panic in the normal world" in err
    assert "Things to try:" in err and "`sandbox logs`" in err
    assert "Traceback" not in err
    # What it said can be read afterwards.
    assert "Kernel panic - not syncing" in run("logs", "--world", "normal")[1]


def test_a_failure_as_json(run: Run, fake: Callable[[str], None]) -> None:
    fake("exit")
    status, out, _ = run("up", "--json")
    assert status == 3
    error = json.loads(out)["error"]
    assert error["name"] == "QemuError" and "unsupported machine type" in error["message"]
    assert kinds(error) == {"name": str, "message": str, "hint": str}


def test_a_hint_means_the_machine_that_was_named(run: Run) -> None:
    assert "`sandbox up` starts it." in run("exec", "--", "true")[2]
    status, out, err = run("--machine", "other", "exec", "--", "true")
    assert status == 2 and "`sandbox --machine other up` starts it." in err


@pytest.mark.parametrize(
    ("key", "value"),
    [("SANDBOX_BOOT_TIMEOUT_S", "soon"), ("SANDBOX_MEMORY_MIB", "1"), ("SANDBOX_MACHINE", "../x")],
)
def test_bad_settings_are_2(
    key: str, value: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, value)
    status, out, err = run("status")
    assert (status, out) == (2, "") and value in err


def _raiser(error: BaseException) -> Callable[..., Any]:
    def prepare(*_: object, **__: object) -> None:
        raise error

    return prepare


def test_a_bug_is_1_and_has_a_traceback_only_on_demand(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "prepare", _raiser(RuntimeError("never seen")))
    status, _, err = run("up")
    assert status == 1 and "a bug: RuntimeError: never seen" in err and "Traceback" not in err
    with pytest.raises(RuntimeError):
        main(["up", "--debug"])


def test_debug_shows_the_traceback_of_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "prepare", _raiser(InfraError("no network", ("one", "two"))))
    status, _, err = run("up")
    assert (status, err) == (3, "sandbox: no network\nThings to try:\n  - one\n  - two\n")
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "--debug", "exec", "--", "true"],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 2 and b"Traceback" in done.stderr


def test_what_the_host_refuses_is_no_bug(
    run: Run, fake: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    status, out, err = run("up", "--json")
    assert status == 3 and "cannot use" in err and "XDG_STATE_HOME" in err
    assert json.loads(out)["error"]["name"] == "HostError"
    with pytest.raises(NotADirectoryError):
        main(["up", "--debug"])


def test_up_tells_when_the_machine_does_not_answer(
    run: Run, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("up")
    assert json.loads(run("up", "--json")[1])["answers"] is True
    monkeypatch.setattr("sandbox.machine.machine.answers", lambda *_, timeout_s: False)
    status, out, _ = run("up")
    assert status == 0 and "does not answer" in out


def test_ctrl_c_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "prepare", _raiser(KeyboardInterrupt()))
    status, _, err = run("up")
    assert (status, err) == (130, "sandbox: interrupted\n")


def test_settings_come_from_the_environment() -> None:
    assert Config.from_environment({}) == Config()
    custom = Config.from_environment({"SANDBOX_MEMORY_MIB": "2048", "SANDBOX_QEMU": "/opt/qemu"})
    assert (custom.memory_mib, custom.qemu) == (2048, "/opt/qemu")
    mentioned = {name for name in ENVIRONMENT if name.startswith("SANDBOX_")}
    source = (ROOT / "sandbox" / "config.py").read_text()
    assert all(source.count(f'"{name}"') >= 2 for name in mentioned)


def test_every_error_has_an_exit_code_of_its_family() -> None:
    queue: list[type[SandboxError]] = [SandboxError]
    while queue:
        kind = queue.pop()
        queue += kind.__subclasses__()
        assert kind.exit_code in (1, 2, 3, 4)


def test_a_terminal_is_needed_for_a_console(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    status, _, err = run("console")
    assert status == 2 and "no terminal" in err


def test_a_console_is_typed_into_and_left(fake: Callable[[str], None]) -> None:
    assert main(["up"]) == 0
    terminal = pexpect.spawn(sys.executable, ["-m", "sandbox", "console"], cwd=ROOT, timeout=20)
    try:
        terminal.expect_exact("normal world of 'default'; Ctrl-] leaves")
        terminal.send("typed\r")
        terminal.expect_exact("typed\r")  # the fake QEMU echoes, as a shell would
        terminal.send("\x1d")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close()
    assert terminal.exitstatus == 0
    assert b"typed\r" in Path(paths.machine_dir("default") / "normal.log").read_bytes()
