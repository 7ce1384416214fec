# SPDX-License-Identifier: Apache-2.0
"""Progress: every step says how long it took, in a file and on a terminal."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from sandbox.live import RichProgress
from sandbox.log import PlainProgress, progress_for


def test_plain_steps_say_what_how_much_and_how_long() -> None:
    out = io.StringIO()
    progress = PlainProgress(out)
    with progress.step("download") as step:
        step.amount(3 << 20, 4 << 20)
        time.sleep(0.03)
    assert re.fullmatch(r"download: done, 3\.0 MiB of 4\.0 MiB, \d+\.\d s\n", out.getvalue())


def test_plain_step_that_fails_says_so_and_lets_the_error_through() -> None:
    out = io.StringIO()
    progress = PlainProgress(out)
    with pytest.raises(KeyError), progress.step("build"):
        raise KeyError
    assert out.getvalue().startswith("build: failed, ")


def test_plain_long_step_shows_life_but_only_the_innermost() -> None:
    out = io.StringIO()
    progress = PlainProgress(out, interval_s=0.05)
    with progress.step("outer"), progress.step("inner") as step:
        step.update("CC main.c")
        deadline = time.monotonic() + 20
        while out.getvalue().count("so far") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    lines = out.getvalue().splitlines()
    assert sum("so far" in line for line in lines) >= 2
    assert not any(line.startswith("outer") and "so far" in line for line in lines)
    assert re.fullmatch(r"  inner: CC main\.c, \d+ s so far", lines[0])
    assert [line.split(":")[0] for line in lines[-2:]] == ["  inner", "outer"]


def test_steps_of_two_threads_do_not_nest() -> None:
    out = io.StringIO()
    progress = PlainProgress(out)

    def other() -> None:
        with progress.step("other"):
            time.sleep(0.05)

    with progress.step("main"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert [line.split(":")[0] for line in out.getvalue().splitlines()] == ["other", "main"]


def test_terminal_keeps_one_line_for_each_step() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, highlight=False)
    progress = RichProgress(console)
    with pytest.raises(KeyError), progress.step("outer"):
        with progress.step("inner") as step:
            step.amount(1 << 20)
            time.sleep(0.03)
        raise KeyError
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert re.search(r"✓   inner  1\.0 MiB  \d+\.\d s", shown)
    assert re.search(r"✗ outer  \d+\.\d s", shown)


def test_file_gets_plain_lines_and_no_escapes() -> None:
    out = io.StringIO()
    with progress_for(out).step("step"):
        time.sleep(0.03)
    assert out.getvalue().startswith("step: done")
    assert "\x1b" not in out.getvalue()


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich asks the environment what a terminal can do; whoever runs the tests may have none."""
    monkeypatch.setenv("TERM", "xterm-256color")


def _terminal() -> tuple[io.StringIO, RichProgress]:
    out = io.StringIO()
    return out, RichProgress(Console(file=out, force_terminal=True, width=100))


def test_a_live_display_is_drawn_while_a_step_begins_or_ends() -> None:
    """rich draws under its own lock, which a step asks for under ours: one must not need both."""
    _, progress = _terminal()
    with progress.step("boot"), progress._lock:
        drawing = threading.Thread(target=progress._render, daemon=True)
        drawing.start()
        drawing.join(20)
        assert not drawing.is_alive()


def test_a_live_display_makes_room_for_results() -> None:
    out, progress = _terminal()
    with progress.step("boot"):
        with progress.printing():
            before = len(out.getvalue())
            time.sleep(0.3)
            assert len(out.getvalue()) == before
        deadline = time.monotonic() + 20
        while "boot" not in out.getvalue()[before:] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "boot" in out.getvalue()[before:]


def test_what_is_printed_goes_where_it_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    out, progress = _terminal()
    with progress.step("boot"):
        with progress.printing():
            print("to a file")
        print("and this")
    assert capsys.readouterr().out == "to a file\nand this\n"
    assert "to a file" not in out.getvalue() and "and this" not in out.getvalue()


def test_nothing_is_shown_after_the_end() -> None:
    """A thread that an interrupted command left behind does not write over the prompt."""
    plain_out = io.StringIO()
    plain = PlainProgress(plain_out)
    with plain.step("boot"):
        plain.close()
        time.sleep(0.03)
    assert plain_out.getvalue() == ""
    out, rich = _terminal()
    with rich.step("boot"):
        rich.close()
        before = out.getvalue()
        with rich.step("login"):
            time.sleep(0.3)
    assert out.getvalue() == before and before.endswith("\x1b[2K")
