# SPDX-License-Identifier: Apache-2.0
"""Build results: built once, found again, whole or not there; and the programs that make them."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from sandbox import paths, process
from sandbox.build import recipe, store
from sandbox.errors import UserError
from sandbox.log import SilentProgress

PROGRESS = SilentProgress()


def _write(work: store.Work) -> None:
    (work.folder / "a").write_text("a")


def test_built_once_and_found_again() -> None:
    calls = []

    def build(work: store.Work) -> None:
        calls.append(work.folder)
        (work.folder / "out").write_text("result")

    first = store.result("thing", {"version": "1"}, build, PROGRESS)
    assert (first / "out").read_text() == "result"
    assert store.result("thing", {"version": "1"}, build, PROGRESS) == first
    assert len(calls) == 1
    other = store.result("thing", {"version": "2"}, build, PROGRESS)
    assert other != first and len(calls) == 2


def test_changed_recipe_is_another_result() -> None:
    def build_one(work: store.Work) -> None:
        (work.folder / "out").write_text("one")

    def build_two(work: store.Work) -> None:
        (work.folder / "out").write_text("two")

    first = store.result("thing", {}, build_one, PROGRESS)
    second = store.result("thing", {}, build_two, PROGRESS)
    assert first != second
    assert (second / "out").read_text() == "two"


def test_manifest_says_what_went_in() -> None:
    folder = store.result("thing", {"options": {"A": "1"}}, _write, PROGRESS)
    manifest = store.manifest(folder)
    assert manifest["name"] == "thing"
    assert manifest["parts"]["options"] == {"A": "1"}
    assert folder.name == f"thing-{manifest['key']}"


def test_failure_leaves_nothing_but_its_log() -> None:
    def build(work: store.Work) -> None:
        (work.folder / "half").write_text("half")
        work.run(["sh", "-c", "echo last words; exit 3"], timeout_s=30)

    with pytest.raises(process.ProcessError) as caught:
        store.result("thing", {}, build, PROGRESS)
    assert "failed with exit status 3" in caught.value.message
    assert "last words" in caught.value.message
    log = Path((caught.value.hint or "").removeprefix("The full log is "))
    assert "last words" in log.read_text()
    assert not list(paths.build_cache_dir().glob("thing-*"))
    assert not list(paths.build_cache_dir().glob(".thing-*.new"))


def test_leftovers_of_a_killed_build_do_no_harm() -> None:
    folder = store.result("thing", {}, _write, PROGRESS)
    half = folder.with_name(f".{folder.name}.new")
    folder.rename(half)
    (half / "junk").write_text("junk")
    again = store.result("thing", {}, _write, PROGRESS)
    assert again == folder
    assert not (again / "junk").exists()
    assert not half.exists()


def test_two_at_once_build_once() -> None:
    calls = []
    results = []

    def build(work: store.Work) -> None:
        calls.append(threading.get_ident())
        time.sleep(0.3)
        (work.folder / "a").write_text("a")

    def run() -> None:
        results.append(store.result("thing", {}, build, PROGRESS))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(calls) == 1
    assert len(set(results)) == 1 and len(results) == 3


KILLED = """
import sys
from pathlib import Path
from sandbox.build import store
from sandbox.log import SilentProgress
from test_build_store import slow_build
store.result("slow", {}, slow_build, SilentProgress())
"""


def slow_build(work: store.Work) -> None:
    (work.folder / "made").write_text("made")
    script = 'echo begun; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done; touch "$0"'
    if not (paths.cache_dir() / "again").exists():
        work.run(["sh", "-c", script, paths.cache_dir() / "orphan-ended"], timeout_s=60)


def test_killed_build_is_waited_for_and_done_again() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    killed = process.spawn([sys.executable, "-c", KILLED], env=env)
    try:
        deadline = time.monotonic() + 60
        logs = paths.build_cache_dir() / "logs"
        while not any("\nbegun" in log.read_text() for log in logs.glob("slow-*.log")):
            assert killed.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        killed.kill()
        killed.wait(20)
    (paths.cache_dir() / "again").touch()
    folder = store.result("slow", {}, slow_build, PROGRESS)
    assert (folder / "made").is_file()
    # The killed one's program would have written into the same folder.
    assert (paths.cache_dir() / "orphan-ended").exists()
    assert not list(paths.build_cache_dir().glob(".slow-*.new"))


def test_old_results_make_room_and_used_ones_stay() -> None:
    folders = []
    for version in range(store.KEPT_RESULTS):
        folders.append(store.result("thing", {"version": version}, _write, PROGRESS))
        os.utime(folders[-1], (version + 1, version + 1))
    other = store.result("thing-else", {}, _write, PROGRESS)
    assert store.result("thing", {"version": 0}, _write, PROGRESS) == folders[0]
    newest = store.result("thing", {"version": "new"}, _write, PROGRESS)
    assert [folder.is_dir() for folder in folders] == [True, False] + [True] * (len(folders) - 2)
    assert newest.is_dir() and other.is_dir()
    assert not list(paths.build_cache_dir().glob(".*.old"))


def test_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = ["sh", "-c", "echo begun; sleep 60"]
    started = time.monotonic()
    with pytest.raises(process.ProcessError) as caught:
        process.run(argv, timeout_s=1.0, log=log)
    assert time.monotonic() - started < 20
    assert "did not finish within 1 s" in caught.value.message
    assert "begun" in caught.value.message


def test_children_of_a_program_are_ended_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = f"(sleep 2; touch {mark}) & wait"
    with pytest.raises(process.ProcessError):
        process.run(["sh", "-c", script], timeout_s=0.3)
    time.sleep(2.5)
    assert not mark.exists()


def test_program_that_is_not_there_names_the_remedy() -> None:
    with pytest.raises(process.ProcessError) as caught:
        process.run(["no-such-program-here"], timeout_s=5)
    assert "program not found: no-such-program-here" in caught.value.message
    assert "make setup" in (caught.value.hint or "")


def test_signal_is_named() -> None:
    with pytest.raises(process.ProcessError, match="was ended by SIGKILL"):
        process.run(["sh", "-c", "kill -9 $$"], timeout_s=10)


def test_poll_is_called_and_nothing_is_lost() -> None:
    polls = []
    # Slow to read as well: the input does not fit into a pipe.
    code = "import sys,time; time.sleep(.5); sys.stdout.buffer.write(sys.stdin.buffer.read())"
    data = bytes(range(256)) * 4000
    done = process.run(
        [sys.executable, "-c", code], timeout_s=30, stdin=data, poll=lambda: polls.append(1)
    )
    assert done.stdout == data
    assert len(polls) >= 3


def test_missing_compiler_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    recipe._tools.cache_clear()
    try:
        with pytest.raises(recipe.ToolMissing, match="is not installed"):
            recipe._tools()
    finally:
        recipe._tools.cache_clear()


@pytest.mark.parametrize(("cores", "slots"), [(1, 8), (2, 8), (8, 8), (9, 16), (16, 16)])
def test_core_slots(cores: int, slots: int) -> None:
    assert recipe.core_slots(cores) == slots


@pytest.mark.parametrize("cores", [0, -1, 17])
def test_core_count_out_of_range(cores: int) -> None:
    with pytest.raises(UserError):
        recipe.core_slots(cores)


def test_options_are_read_with_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optee-build").mkdir()
    file = tmp_path / "optee-build" / "x.options"
    file.write_text("# why\nA=1\n\nB={slots}\nC=a=b\n")
    monkeypatch.setattr(paths, "project_dir", lambda: tmp_path)
    assert recipe._options("x", {"slots": "8"}) == {"A": "1", "B": "8", "C": "a=b"}
    for bad in ("A\n", "=1\n", "A=1\nA=2\n"):
        file.write_text(bad)
        with pytest.raises(UserError, match="expected NAME=VALUE"):
            recipe._options("x", {})


def test_project_options_give_a_reason_each() -> None:
    """Every option follows a comment, directly or after others that share it."""
    for path in sorted((paths.project_dir() / "optee-build").glob("*.options")):
        explained = False
        for line in path.read_text().splitlines():
            if not line:
                explained = False
            elif line.startswith("#"):
                explained = True
            else:
                assert explained or "=" not in line, f"{path.name}: {line}"


def test_tree_digest_sees_every_change(tmp_path: Path) -> None:
    (tmp_path / "t" / "deep").mkdir(parents=True)
    (tmp_path / "t" / "deep" / "f").write_text("1")
    before = store.tree_digest([tmp_path / "t"])
    assert list(before) == ["t/deep/f"]
    (tmp_path / "t" / "deep" / "f").write_text("2")
    changed = store.tree_digest([tmp_path / "t"])
    (tmp_path / "t" / "g").touch()
    added = store.tree_digest([tmp_path / "t"])
    assert len({json.dumps(d) for d in (before, changed, added)}) == 3


def test_a_folder_that_make_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    with SilentProgress().step("build") as step:
        work = store.Work(folder, tmp_path / "log", step, 0)
        with pytest.raises(UserError, match="' '"):
            recipe._make(tmp_path, {}, work)
