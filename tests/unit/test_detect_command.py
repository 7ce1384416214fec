# SPDX-License-Identifier: Apache-2.0
"""`sandbox detect` up to the machine, and what it makes of workers that fail."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.__main__ import main
from sandbox.commands import detect
from sandbox.commands.detect import Model, Outcome
from sandbox.commands.trust import Believed
from sandbox.errors import GuestError, UserError
from sandbox.log import SilentProgress
from sandbox.machine.machine import Machine

MODEL = Model("model", b"bytes", bytes(32))


@pytest.mark.parametrize("threshold", ["0", "2", "nan", "-1", "half"])
def test_a_threshold_out_of_range_is_refused(
    threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["detect", "photo.jpg", "--threshold", threshold])
    assert left.value.code == 2
    assert "0.001 to 1" in capsys.readouterr().err


def test_a_folder_is_no_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(tmp_path)]) == 2
    assert f"{tmp_path}/*.jpg" in capsys.readouterr().err


def test_where_no_picture_can_be_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.touch()
    assert main(["detect", str(photo), "--out", str(photo)]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    @contextmanager
    def guest(_: Machine) -> Iterator[None]:
        yield None

    monkeypatch.setattr(Machine, "guest", guest)
    return Machine("default", tmp_path)


def _detect(
    machine: Machine, count: int, report: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    return detect.detect(
        machine,
        [Path(f"{number}.jpg") for number in range(count)],
        MODEL,
        trusted=Believed(),
        threshold=0.5,
        sessions=2,
        progress=SilentProgress(),
        report=report,
    )


def test_each_outcome_is_reported_in_order_before_the_next_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Path] = []
    go_on = threading.Event()

    def work(index: int, *rest: object) -> None:
        if index:
            return
        (waiting,) = (given for given in rest if isinstance(given, queue.SimpleQueue))
        for number in range(3):
            if number == 2:
                assert go_on.wait(20)
            outcome = waiting.get_nowait()
            outcome.error = UserError("refused")
            outcome.done.set()

    def report(outcome: Outcome) -> None:
        reported.append(outcome.photo)
        if len(reported) == 2:
            go_on.set()

    monkeypatch.setattr(detect, "_work", work)
    assert [o.photo for o in _detect(machine, 3, report)] == reported
    assert [path.name for path in reported] == ["0.jpg", "1.jpg", "2.jpg"]


def test_photos_that_no_session_took_fail_with_the_reason(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "_work", lambda *_: GuestError("no room"))
    for outcome in _detect(machine, 2):
        assert outcome.error is not None and outcome.error.message == "no room"


def test_a_bug_in_a_worker_is_told_as_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "service", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        _detect(machine, 1)
