# SPDX-License-Identifier: Apache-2.0
"""The devkit room without a compiler and without a machine."""

import os
import random
import re
import shutil
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from sandbox import __main__
from sandbox.commands import ta_watch
from sandbox.devkit import elf, guest_tas, project, push, shadow, tools, tree, watch
from sandbox.devkit.build import BuiltTa
from sandbox.devkit.elf import ElfError, TaFlag
from sandbox.devkit.guest_tas import GuestTa, Origin
from sandbox.devkit.project import Language, ProjectError
from sandbox.devkit.tools import CompileError
from sandbox.devkit.tree import HostKind, TreeError
from sandbox.errors import UserError
from sandbox.machine.guest import Completed

ROOT = Path(__file__).parents[2]


def write(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# What there is to build ---------------------------------------------------------------------------


def found(folder: Path) -> tuple[list[str], list[tuple[str, HostKind]]]:
    """TAs and clients, by their paths; a library for TAs has a star."""
    there = tree.find(folder)
    tas = [str(ta.path.relative_to(folder)) + "*" * ta.library for ta in there.tas]
    return tas, [(str(host.path.relative_to(folder)), host.kind) for host in there.hosts]


def test_one_project(tmp_path: Path) -> None:
    write(tmp_path, "Makefile", "ta/Makefile", "ta/sub.mk", "host/Makefile", "host/main.c")
    assert found(tmp_path) == (["ta"], [("host", HostKind.MAKE)])
    assert tree.find(tmp_path / "ta").tas[0].path == tmp_path / "ta"


def test_many_projects(tmp_path: Path) -> None:
    write(tmp_path, "CMakeLists.txt", "a/ta/Makefile", "a/ta/sub.mk", "a/CMakeLists.txt")
    write(tmp_path, "b/ta/Makefile", "b/ta/sub.mk", "b/host/Makefile", "b/CMakeLists.txt")
    write(tmp_path, "c/host/CMakeLists.txt", "d/e/ta/one/Makefile", "d/e/ta/one/sub.mk")
    write(tmp_path, "d/e/ta/lib/sub.mk")
    write(tmp_path, "d/e/ta/lib/Makefile", text="SHLIBNAME = libone\n")
    assert found(tmp_path) == (
        ["d/e/ta/lib*", "a/ta", "b/ta", "d/e/ta/one"],
        [("a", HostKind.CMAKE), ("b/host", HostKind.MAKE), ("c/host", HostKind.CMAKE)],
    )


def test_a_client_alone(tmp_path: Path) -> None:
    write(tmp_path, "Makefile", text="LDADD += -lteec\n")
    assert found(tmp_path) == ([], [(".", HostKind.MAKE)])


def test_what_is_no_project(tmp_path: Path) -> None:
    write(tmp_path, "Makefile", ".hidden/ta/Makefile", ".hidden/ta/sub.mk", "docs/sub.mk")
    write(tmp_path, "1/2/3/4/5/ta/Makefile", "1/2/3/4/5/ta/sub.mk")
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(TreeError, match="nothing to build"):
        tree.find(tmp_path)
    with pytest.raises(TreeError, match="no such folder"):
        tree.find(tmp_path / "Makefile")


# Shadow trees -------------------------------------------------------------------------------------


def links(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink()}


def test_a_shadow_follows_its_tree(tmp_path: Path) -> None:
    source, there = tmp_path / "source", tmp_path / "shadow"
    write(source, "host/main.c", "host/main.o", "ta/include/a.h", ".git/config", "lib/libx.a")
    shutil.copy2(sys.executable, source / "host/client")
    shutil.copy2(sys.executable, source / "lib/libx.so.1")
    script = source / "host/generate.sh"
    write(source, "host/generate.sh", text="#!/bin/sh\n")
    script.chmod(0o755)
    shadow.update(source, there)
    shown = {"host/main.c", "host/generate.sh", "ta/include/a.h", "lib/libx.a", "lib/libx.so.1"}
    assert links(there) == shown
    # What is built there stays, and the sources do not see it.
    write(there, "host/main.o", "host/out/client")
    (source / "host/main.c").rename(source / "host/client.c")
    shadow.update(source, there)
    assert links(there) == shown - {"host/main.c"} | {"host/client.c"}
    assert {path.name for path in shadow.built(there)} == {"main.o", "client"}
    assert (there / "host/client.c").resolve() == source / "host/client.c"
    # A source that takes the place of something built.
    write(source, "host/out/client")
    shadow.update(source, there)
    assert (there / "host/out/client").is_symlink()


def test_headers_and_makefiles_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, "host/main.c", "ta/include/a.h", "host/Makefile")
    first = shadow.header_digest(tmp_path)
    write(tmp_path, "host/main.c", text="int x;")
    assert shadow.header_digest(tmp_path) == first
    digests = {first}
    for change in (
        lambda: write(tmp_path, "ta/include/a.h", text="1"),
        lambda: os.utime(tmp_path / "ta/include/a.h", (1, 1)),
        lambda: write(tmp_path, "ta/include/b.h"),
        lambda: (tmp_path / "ta/include/b.h").unlink() or os.utime(tmp_path / "host/Makefile"),
    ):
        change()
        digests.add(shadow.header_digest(tmp_path))
    assert len(digests) == 5


def test_a_home_folder_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "FILE_LIMIT", 3)
    write(tmp_path, *"abcd")
    with pytest.raises(UserError, match="more than 3 files"):
        shadow.update(tmp_path, tmp_path.parent / "shadow")


# Running make -------------------------------------------------------------------------------------


def ran(script: str, *, colour: bool = False, stop: threading.Event | None = None) -> str:
    env = tools.environment(colour=colour)
    stop = stop or threading.Event()
    return tools.run(["sh", "-c", script], "it", cwd=Path("/"), env=env, stop=stop)


def test_what_a_program_says_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert ran("echo one; echo two >&2; printf three") == "one\ntwo\nthree"
    assert len(ran("yes | head -c 3000000")) == tools.OUTPUT_LIMIT
    # A terminal, so that compilers use colours; but a dumb one unless they are wanted.
    assert ran("test -t 2 && echo $TERM") == "dumb\n"
    assert ran("echo $TERM", colour=True) != "dumb\n"


def test_a_failure_has_the_programs_words() -> None:
    with pytest.raises(CompileError, match="it does not build") as failed:
        ran("echo main.c:1: error: no; exit 2")
    assert failed.value.output == "main.c:1: error: no\n"
    assert failed.value.message == "it does not build"
    assert "main.c:1" in str(failed.value)


def test_what_a_program_leaves_running_keeps_nobody() -> None:
    began = time.monotonic()
    assert ran("sleep 300 & echo done") == "done\n"
    assert time.monotonic() - began < 200


def test_a_program_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    stop = threading.Event()
    script = f"echo $$ >{tmp_path}/pid; exec sleep 300"

    def end() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(tools.Stopped):
        ran(script, stop=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_foreign_environment_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "clang")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    monkeypatch.setenv("CFLAGS", "-m32")
    monkeypatch.setenv("MY_OWN", "kept")
    env = tools.environment(colour=False)
    assert env["CC"] == "aarch64-linux-gnu-gcc" and env["CXX"] == "aarch64-linux-gnu-g++"
    assert not {"MAKEFLAGS", "CFLAGS"} & {*env} and env["MY_OWN"] == "kept"


# ELF files ----------------------------------------------------------------------------------------


def test_programs_and_libraries() -> None:
    program = elf.program(Path(sys.executable).resolve())
    assert program is not None and not program.library and "libc.so.6" in program.needed
    assert elf.program(Path(__file__)) is None


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Whatever is damaged: never another error."""
    good = Path("/bin/true").read_bytes()
    chance = random.Random(1)
    path = tmp_path / "damaged"
    for _ in range(150):
        data = bytearray(good)
        for _ in range(8):
            # The headers lie at both ends.
            place = chance.randrange(400)
            data[place if chance.random() < 0.5 else -place - 1] = chance.randrange(256)
        data[:4] = b"\x7fELF"
        path.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)
        for read in (elf.program, elf.ta_head, elf.ta_description):
            try:
                read(path)
            except ElfError as error:
                assert str(path) in error.message


# What is told of a push ---------------------------------------------------------------------------


def ta_with(flags: TaFlag | None) -> BuiltTa:
    return BuiltTa(UUID(int=7), Path("x.ta"), Path("x.elf"), "mine", None, flags, 0)


SINGLE = TaFlag.SINGLE_INSTANCE | TaFlag.MULTI_SESSION


@pytest.mark.parametrize(
    ("flags", "loaded", "words"),
    [
        (TaFlag(0), {7: 3}, None),
        (None, {7: 3}, None),
        (TaFlag.KEEP_ALIVE, {7: 3}, None),  # means nothing alone
        (SINGLE, {}, None),
        (SINGLE, {8: 1}, None),
        (SINGLE, {7: 3}, "3 open sessions: sessions use the old code until all its sessions"),
        (SINGLE, None, "if it is loaded now: sessions use the old code until all its sessions"),
        (SINGLE | TaFlag.KEEP_ALIVE, {7: 0}, "is loaded and kept alive: .* started again"),
        (SINGLE | TaFlag.KEEP_ALIVE, None, "if it is loaded now: .* started again"),
    ],
)
def test_old_code_that_goes_on_is_told(
    flags: TaFlag | None,
    loaded: dict[int, int] | None,
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = None if loaded is None else {UUID(int=n): count for n, count in loaded.items()}
    monkeypatch.setattr(push, "_loaded", lambda _machine: known)
    remarks = list(push._remarks(SimpleNamespace(), [ta_with(flags)]))  # type: ignore[arg-type]
    if words is None:
        assert remarks == []
    else:
        assert len(remarks) == 1 and re.search(f"^mine .*{words}", remarks[0])


class FakeMachine:
    """Answers every command in the guest with the same bytes."""

    def __init__(self, folder: Path, stdout: bytes) -> None:
        self.folder = SimpleNamespace(symbols=folder)
        self._stdout = stdout

    @contextmanager
    def guest(self) -> Iterator["FakeMachine"]:
        yield self

    def run(self, argv: list[str], **_: Any) -> Completed:
        return Completed(tuple(argv), 0, self._stdout, b"")


def test_the_guests_list_is_not_trusted(tmp_path: Path) -> None:
    name = uuid4()
    lines = [
        f"{name}.ta 100 0".encode(),
        f"{name}.ta 100 1700000000".encode(),
        b"../../etc/passwd.ta 1 0",
        b"\x1b]0;title\x07.ta 1 0",
        f"{name}.ta -1 0".encode(),
        f"{name}.ta 99999999999999999999 0".encode(),
        b"*.ta",
        b"",
    ]
    machine: Any = FakeMachine(tmp_path, b"\n".join(lines))
    assert guest_tas.tas(machine) == [
        GuestTa(name, 100, Origin.IMAGE, None),
        GuestTa(name, 100, Origin.PUSHED, None),
    ]


# New projects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_new(language: Language, tmp_path: Path) -> None:
    made = project.new("counter_2", tmp_path, language)
    names = {str(path.relative_to(made.folder)) for path in made.files}
    suffix = "cpp" if language is Language.CPP else "c"
    assert names == {
        *(".gitignore", "README.md", "tests/test_counter_2.py"),
        *("host/Makefile", f"host/main.{suffix}"),
        *("ta/Makefile", "ta/sub.mk", "ta/user_ta_header_defines.h", f"ta/counter_2_ta.{suffix}"),
        "ta/include/counter_2_ta.h",
    }
    assert {p for p in made.folder.rglob("*") if p.is_file()} == set(made.files)
    for path in made.files:
        assert not re.search(r"@\w*(name|NAME|uuid)\w*@", path.read_text()), path
    header = (made.folder / "ta/include/counter_2_ta.h").read_text()
    assert re.search(r"#define TA_COUNTER_2_CMD_ADD\s+0$", header, re.MULTILINE)
    numbers = re.findall(r"0x([0-9a-f]+)", header.partition("UUID")[2].partition("}")[0])
    assert UUID("".join(numbers)) == made.uuid
    assert f"BINARY := {made.uuid}" in (made.folder / "ta/Makefile").read_text()
    tree.find(made.folder)
    assert project.new("other", tmp_path, language).uuid != made.uuid


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a/b", "../a", "a b", "ä", "a" * 33, "a\n"])
def test_new_with_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no name for a TA"):
        project.new(name, tmp_path, Language.C)
    assert list(tmp_path.glob("a*")) == []


def test_new_touches_nothing_that_is_there(tmp_path: Path) -> None:
    write(tmp_path, "mine/precious")
    with pytest.raises(ProjectError, match="is there already"):
        project.new("mine", tmp_path, Language.C)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]
    with pytest.raises(ProjectError, match="no such folder"):
        project.new("mine", tmp_path / "nowhere", Language.C)


def test_new_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project, "_write", fails)
    with pytest.raises(OSError):
        project.new("mine", tmp_path, Language.C)
    assert not (tmp_path / "mine").exists()


def test_the_templates_are_part_of_the_package() -> None:
    """Patterns of packages do not match names that begin with a dot."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert data["package-data"]["sandbox.devkit"] == ["templates/**"]
    files = [path for path in project.TEMPLATES.rglob("*") if "__pycache__" not in path.parts]
    assert len(files) > 10
    assert not any(part.startswith(".") for p in files for part in p.relative_to(ROOT).parts)


# Saved files --------------------------------------------------------------------------------------


def test_saves_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, "ta/a.c", ".git/index")
    saves = watch.saves(tmp_path)
    try:
        assert next(saves) == frozenset()
        write(tmp_path, ".git/index", "ta/a.c~", "ta/.a.c.swp", text="x")
        write(tmp_path, "ta/a.c", text="x")
        assert next(saves) == {tmp_path / "ta/a.c"}
        # Also while nobody waits, and in a folder that was not there.
        write(tmp_path, "host/new.c", text="x")
        time.sleep(0.3)
        got = set(next(saves))
        while tmp_path / "host/new.c" not in got and tmp_path / "host" not in got:
            got |= next(saves)
    finally:
        saves.close()  # type: ignore[attr-defined]
    assert not any("watch" in thread.name for thread in threading.enumerate())


def test_a_folder_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(watch.saves(tmp_path / "nowhere"))


def test_what_the_guest_says_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ta_watch._CleanLines(sys.stdout)
    for piece in (b"on", b"e\ntw\x1b[2Jo\nthr", b"ee", b"\x07" * 5000):
        lines.write(piece)
    lines.end()
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


# The command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["build", "push", "run", "new", "list"])
def test_each_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        __main__.main(["ta", verb, "--help"])
    assert left.value.code == 0
    assert f"sandbox ta {verb}" in capsys.readouterr().out.partition("Example")[2]


@pytest.mark.parametrize(
    "argv", [[], ["push"], ["push", ".", "--set", "x"], ["push", ".", "--set", "=y"], ["new"]]
)
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        __main__.main(["ta", *argv])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_run_goes_with_watch(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["ta", "push", ".", "--run", "ls"]) == 2
    assert "--watch" in capsys.readouterr().err


def test_the_machine_may_be_named_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--machine", "x", "ta", "list"], ["ta", "list", "--machine", "x"]):
        assert __main__.main(argv) == 2
        assert "machine 'x' is down" in capsys.readouterr().err
