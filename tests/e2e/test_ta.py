# SPDX-License-Identifier: Apache-2.0
"""Anybody's TA: built with its own makefiles, pushed into the running machine, used by the next
session. The trees in examples/ have the layout and the makefiles of OP-TEE's own examples."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID, uuid4

import pytest
from real_stack import ROOT, run_sandbox

from sandbox.devkit import build, elf
from sandbox.devkit.push import push
from sandbox.devkit.signed import TaFileError
from sandbox.log import SilentProgress
from sandbox.machine.guest import Guest
from sandbox.machine.machine import Machine
from sandbox.machine.symbols import Symbols
from sandbox.tee import Session, TEEContext, ValueOut

EXAMPLES = ROOT / "tests/e2e/examples"
HELLO = UUID("e2e00001-4d6c-4c83-9c27-2f1d7a3c5b01")
COUNTER = UUID("e2e00002-4d6c-4c83-9c27-2f1d7a3c5b02")
LIBRARY = UUID("e2e00003-4d6c-4c83-9c27-2f1d7a3c5b03")
USER = UUID("e2e00004-4d6c-4c83-9c27-2f1d7a3c5b04")
OTHER = UUID("e2e00009-4d6c-4c83-9c27-2f1d7a3c5b09")
BIN = "/usr/bin/optee_example_"
TA = "/lib/optee_armtz/"
# Of each line that a watching `sandbox` prints: a build and a push on a busy host.
LINE_S = 120.0


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return copied("hello_world", tmp_path)


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / name, folder / name))


def save(path: Path, text: str) -> None:
    """As editors do: another file, which takes the place of the old one."""
    other = path.with_name(f"{path.name}~")
    other.write_text(text)
    other.replace(path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, path
    save(path, text.replace(old, new))


def set_answer(hello: Path, old: str, new: str) -> None:
    edit(hello / "ta/include/hello_world_ta.h", f"ANSWER\t\t{old}", f"ANSWER\t\t{new}")


def built(folder: Path, **settings: Any) -> build.Built:
    return build.build(folder, SilentProgress(), build.Settings(**settings))


def answer(session: Session) -> int:
    (out,) = session.invoke(0, (ValueOut(),))
    return out.a


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Build and push -----------------------------------------------------------------------------------


def test_the_next_session_has_the_new_code(machine: Machine, guest: Guest, hello: Path) -> None:
    """And the client, whose makefile does not know that it includes the header, is built anew."""
    push(machine, built(hello))
    with TEEContext(machine) as context, context.open_session(HELLO) as before:
        assert answer(before) == 41
        set_answer(hello, "41", "42")
        pushed = push(machine, built(hello))
        assert pushed.remarks == ()
        with context.open_session(HELLO) as after:
            assert answer(after) == 42
        # It began with the old code, and keeps it.
        assert answer(before) == 41
    assert guest.run([f"{BIN}hello_world"], timeout_s=60.0).stdout == b"42 of 42\n"
    # What debuggers will read is what the guest now runs.
    symbols = Symbols(machine.folder.symbols).path(str(HELLO))
    assert symbols is not None and symbols.read_bytes() == built(hello).tas[0].elf.read_bytes()


def test_a_tree_of_many(machine: Machine, guest: Guest, tmp_path: Path) -> None:
    """Makefiles and CMake, TAs alone, a library for TAs; and nothing is written among them."""
    tree = Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))
    before = contents(tree)
    ran = run_sandbox("ta", "push", tree, "--json")
    assert ran.status == 0, ran.stderr
    assert contents(tree) == before

    tas = {UUID(ta["uuid"]): ta for ta in ran.json["tas"]}
    assert set(tas) == {HELLO, COUNTER, LIBRARY, USER}
    assert tas[COUNTER]["flags"] == ["single_instance", "multi_session", "keep_alive"]
    assert tas[LIBRARY]["flags"] is None
    assert tas[HELLO]["description"] == "Says a number"
    files = {file["path"]: file["size_bytes"] for file in ran.json["files"]}
    assert set(files) == {
        f"{BIN}hello_world",
        f"{BIN}counter",
        *(f"{TA}{uuid}.ta" for uuid in tas),
    }
    for path, size in files.items():
        mode = "444" if path.startswith(TA) else "755"
        said = guest.run(["stat", "-c", "%a %s", path], timeout_s=20.0, check=True).stdout
        assert said.decode().split() == [mode, str(size)]

    with TEEContext(machine) as context, context.open_session(USER) as session:
        assert answer(session) == 7
    assert guest.run([f"{BIN}counter"], timeout_s=60.0).status == 0

    listed = run_sandbox("ta", "list", "--json").json["tas"]
    origins = {UUID(ta["uuid"]): ta["origin"] for ta in listed}
    assert {origins[uuid] for uuid in tas} == {"pushed"}


def test_one_instance_that_is_kept_keeps_its_code(machine: Machine, tmp_path: Path) -> None:
    """Which `ta push` says, and only then."""
    counter = copied("counter", tmp_path)
    # One that cannot be loaded already, by another test or an earlier run.
    uuid = UUID(f"{uuid4().hex[:8]}-4d6c-4c83-9c27-2f1d7a3c5b02")
    edit(counter / "ta/Makefile", str(COUNTER), str(uuid))
    header = counter / "ta/include/counter_ta.h"
    edit(header, "e2e00002", f"{uuid.time_low:08x}")
    assert push(machine, built(counter)).remarks == ()
    with TEEContext(machine) as context:
        with context.open_session(uuid) as session:
            first = answer(session)
        edit(header, "STEP\t\t1", "STEP\t\t100")
        (remark,) = push(machine, built(counter)).remarks
        assert "kept alive" in remark and "old code" in remark
        with context.open_session(uuid) as session:
            assert answer(session) == first + 1


def test_a_changed_uuid_leaves_nothing_of_the_old(hello: Path) -> None:
    assert [ta.uuid for ta in built(hello).tas] == [HELLO]
    edit(hello / "ta/Makefile", str(HELLO), str(OTHER))
    with pytest.raises(TaFileError, match=f"{OTHER}.*{HELLO}"):
        built(hello)
    header = hello / "ta/include/hello_world_ta.h"
    header.write_text(header.read_text().replace("e2e00001", "e2e00009").replace("0x01", "0x09"))
    assert [ta.uuid for ta in built(hello).tas] == [OTHER]
    # tee-supplicant would look for a name in lower case.
    edit(hello / "ta/Makefile", str(OTHER), str(OTHER).upper())
    with pytest.raises(TaFileError, match=f"{str(OTHER).upper()}.ta was signed as {OTHER}"):
        built(hello)


def test_a_second_build_makes_nothing_anew(hello: Path) -> None:
    def times() -> dict[Path, int]:
        first = built(hello)
        found = [first.tas[0].ta, first.tas[0].ta.parent / "hello_world_ta.o", *first.programs]
        return {path: path.stat().st_mtime_ns for path in found}

    first = times()
    assert times() == first
    main = hello / "host/main.c"
    main.write_text(main.read_text().replace("%u of %d", "%u and %d"))
    changed = times()
    assert [path.name for path in first if first[path] != changed[path]] == [
        "optee_example_hello_world"
    ]


def test_debuggers_get_code_that_is_not_optimised(hello: Path) -> None:
    """Of a `ta` folder alone, too."""
    made = built(hello / "ta", optimize=False)
    assert made.programs == ()
    (ta,) = made.tas
    assert ta.name == "hello_world"
    asked = subprocess.run(
        ["aarch64-linux-gnu-readelf", "--debug-dump=info", ta.elf.parent / "hello_world_ta.o"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    producer = next(line for line in asked.stdout.splitlines() if "DW_AT_producer" in line)
    levels = [option for option in producer.split() if option.startswith("-O")]
    assert levels[-1] == "-O0" and "-Os" in levels


# What goes wrong ----------------------------------------------------------------------------------


def test_compiler_errors_are_shown_as_they_are(
    hello: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    push(machine, built(hello))
    source = hello / "ta/hello_world_ta.c"
    edit(source, "TA_HELLO_WORLD_ANSWER;", "no_such_number;")
    line = 1 + source.read_text().partition("no_such_number")[0].count("\n")
    edit(hello / "host/main.c", "return 0;", "return no_such_status;")
    ran = run_sandbox("ta", "push", hello, "--json")
    assert ran.status == 3
    assert ran.json["error"]["name"] == "CompileError"
    assert f"make: Entering directory '{hello / 'ta'}'\n" in ran.stderr
    assert f"hello_world_ta.c:{line}:" in ran.stderr and "no_such_number" in ran.stderr
    assert "main.c:" in ran.stderr and "no_such_status" in ran.stderr
    assert "\033[" not in ran.stderr
    last = ran.stderr.splitlines()[-1]
    assert last == "sandbox: ta does not build; host does not build"
    with pytest.raises(build.CompileError) as coloured:
        built(hello, colour=True)
    assert "\033[" in coloured.value.output
    # The machine has what it had.
    with TEEContext(machine) as context, context.open_session(HELLO) as session:
        assert answer(session) == 41


def test_a_client_for_the_host_is_refused(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "main.c").write_text("int main(void) { return 0; }\n")
    (host / "Makefile").write_text("CC = gcc\nclient: main.c\n\t$(CC) -o $@ $<\n")
    with pytest.raises(elf.ElfError, match="client was built for x64, not for the guest's AArch64"):
        built(tmp_path)
    # With the compiler left to the environment, the same makefile is right.
    (host / "Makefile").write_text("client: main.c\n\t$(CC) -o $@ $<\n")
    assert [path.name for path in built(tmp_path).programs] == ["client"]


def test_the_guests_own_programs_are_safe(hello: Path, machine: Machine, guest: Guest) -> None:
    edit(hello / "host/Makefile", "BINARY = optee_example_hello_world", "BINARY = ls")
    ran = run_sandbox("ta", "push", hello, "--json")
    assert ran.status == 2 and ran.json["error"]["name"] == "PushError"
    assert guest.run(["ls", "/"], timeout_s=20.0).status == 0


def test_without_a_machine(hello: Path) -> None:
    ran = run_sandbox("ta", "push", hello, "--json", "--machine", "nobody")
    assert ran.status == 2 and ran.json["error"]["name"] == "MachineDown"


def test_without_a_project(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        ran = run_sandbox("ta", "build", folder, "--json")
        assert ran.status == 2 and ran.json["error"]["name"] == "TreeError"


# New projects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--cpp"]], ids=["c", "cpp"])
def test_a_new_project_is_whole(options: list[str], machine: Machine, tmp_path: Path) -> None:
    """It builds without a warning, its client runs, and its own test passes."""
    assert run_sandbox("ta", "new", "fresh", "--into", tmp_path, *options).status == 0
    project = tmp_path / "fresh"
    before = contents(project)
    ran = run_sandbox("ta", "run", project, "--", "one", "two words")
    assert ran.status == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        f"{hashlib.sha256(text.encode()).hexdigest()}  {text} ({total} bytes so far)"
        for text, total in (("one", 3), ("two words", 12))
    ]
    assert "warning" not in ran.stderr
    assert contents(project) == before

    # One machine for all of us.
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [*argv, f"--sandbox-machine={machine.name}"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed" in done.stdout
    ran = run_sandbox("ta", "new", "fresh", "--into", tmp_path, "--json")
    assert ran.status == 2


# Again whenever a file is saved -------------------------------------------------------------------


class Watching:
    """A `sandbox ta push --watch --json`, line by line."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)

    def cycle(self) -> Any:
        return json.loads(self._lines.get(timeout=LINE_S))


@contextlib.contextmanager
def watching(*args: str | Path) -> Iterator[Watching]:
    child = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "ta", "push", "--watch", "--json", *map(os.fspath, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # pytest may have been started with it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield Watching(child)
    finally:
        child.kill()
        child.wait(30)


def test_watch(machine: Machine, hello: Path) -> None:
    """Each save is a build, a push and a run; an error ends nothing, Ctrl-C everything."""
    command = "optee_example_hello_world >/tmp/answer"
    with watching(hello, "--run", command) as watch:
        first = watch.cycle()
        assert first["saved"] == [] and len(first["files"]) == 2
        assert first["run"] == {**first["run"], "command": command, "status": 0}

        set_answer(hello, "41", "43")
        second = watch.cycle()
        assert second["saved"] == ["hello_world_ta.h"] and second["run"]["status"] == 0
        with machine.guest() as guest:
            assert guest.get("/tmp/answer") == b"43 of 43\n"

        source = hello / "ta/hello_world_ta.c"
        good = source.read_text()
        save(source, "not C\n" + good)
        assert watch.cycle()["error"]["name"] == "CompileError"
        save(source, good.replace("ANSWER;", "ANSWER + 1;"))
        assert watch.cycle()["run"]["status"] == 0
        with machine.guest() as guest:
            assert guest.get("/tmp/answer") == b"44 of 43\n"

        watch.child.send_signal(signal.SIGINT)
        assert watch.child.wait(60) == 0
