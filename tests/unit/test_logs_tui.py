# SPDX-License-Identifier: Apache-2.0
"""The terminal program, driven by textual's pilot: keys in, what is on the screen out."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from recordings import Writer
from rich.color import Color
from textual.pilot import Pilot
from textual.widgets import Input

from sandbox.errors import GuestError
from sandbox.logs.filters import Filter
from sandbox.logs.records import Level, Record, Source
from sandbox.logs.tui import listing as listing_module
from sandbox.logs.tui.app import LogsApp
from sandbox.logs.tui.listing import Listing
from sandbox.logs.tui.messages import MachineState, SecureState
from sandbox.logs.tui.state import duration_text, look, state_text
from sandbox.machine import runs
from sandbox.machine.folder import Folder, Phase, World
from sandbox.machine.folder import Record as MachineRecord
from sandbox.machine.process_id import ProcessId
from sandbox.tee.stats import Memory

N, S = World.NORMAL, World.SECURE
MATCH = Color.parse("#e5c07b")
UUID = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"
Body = Callable[[LogsApp, Pilot[None]], Awaitable[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "machines" / "m")
    folder.create()
    return folder


def write(folder: Folder) -> Writer:
    """Sixty lines by turns, and an error in each world."""
    writer = Writer(folder.path)
    for number in range(30):
        writer.say(N, f"[{number:12.6f}] normal {number}", at_s=number + 0.25)
        writer.say(S, f"[{number:12.6f}] I/TC: secure {number}", at_s=number + 0.75)
        if number == 9:
            writer.say(S, f"[{number:12.6f}] {UUID} E/TA: bad nine", at_s=number + 0.8)
        if number == 19:
            writer.say(N, f"[{number:12.6f}] Internal error: Oops", at_s=number + 0.8)
            writer.say(N, f"[{number:12.6f}] Internal error: more", at_s=number + 0.8)
    return writer


def drive(
    writer: Writer, body: Body, *, size: tuple[int, int] = (120, 24), **options: Any
) -> LogsApp:
    """Run the program without a terminal; it is shown the run as a live one, unless told so."""
    if "folder" not in options:
        options["folder"] = Folder(writer.recording.path)
    app = LogsApp("m", writer.recording, **options)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await body(app, pilot)

    asyncio.run(run())
    return app


def screen(app: LogsApp) -> list[str]:
    """What a person sees, line by line."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def shown(app: LogsApp) -> list[str]:
    """Only the lines of the consoles, without times and names."""
    lines = [re.match(r" +[\d.]+ \w+ +(?:ta \w+|\S+) +(.*?)\W*$", line) for line in screen(app)]
    return [line[1] for line in lines if line]


async def until(
    pilot: Pilot[None], condition: Callable[[], object], timeout_s: float = 120
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "\n".join(screen(pilot.app))  # type: ignore[arg-type]
        await pilot.pause(0.02)
    await pilot.pause()


async def loaded(app: LogsApp, pilot: Pilot[None], count: int = 63) -> None:
    await until(pilot, lambda: len([r for r in app.records if r.source != "sandbox"]) >= count)


def at_cursor(app: LogsApp) -> str:
    return app.view.listing.record(app.view.cursor).text


def test_it_follows(folder: Folder) -> None:
    writer = write(folder)

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        assert shown(app)[-2:] == ["normal 29", "I/TC: secure 29"]
        assert "following" in screen(app)[0]
        writer.say(S, "I/TC: one more")
        await until(pilot, lambda: shown(app)[-1] == "I/TC: one more")
        # Who looks at something is left alone.
        await pilot.press("up")
        writer.say(S, "I/TC: yet one more")
        await until(pilot, lambda: len(app.view.listing) == len(app.records) >= 65)
        assert "following" not in screen(app)[0] and at_cursor(app) == "I/TC: secure 29"
        await pilot.press("G")
        await until(pilot, lambda: shown(app)[-1] == "I/TC: yet one more")
        assert "following" in screen(app)[0]

    drive(writer, body)


def test_moving(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("home")
        assert shown(app)[0] == "normal 0" and at_cursor(app) == "normal 0"
        await pilot.press("j", "j", "k")
        assert at_cursor(app) == "I/TC: secure 0"
        await pilot.press("pagedown")
        assert app.view.cursor == 1 + 21
        await pilot.press("b")
        assert app.view.cursor == 1

    drive(write(folder), body)


def test_search_marks_and_jumps(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("home", "slash", *"NINE$", "enter")
        assert "not found" in screen(app)[0]
        await pilot.press("slash", *"nine$", "enter")
        assert at_cursor(app) == "E/TA: bad nine"
        await pilot.press("slash", *"secure 1", "enter")
        found = [at_cursor(app)]
        for _ in range(3):
            await pilot.press("n")
            found.append(at_cursor(app))
        assert found == [f"I/TC: secure {number}" for number in (10, 11, 12, 13)]
        await pilot.press("N")
        assert at_cursor(app) == "I/TC: secure 12"
        drawn = [segment for y in range(22) for segment in app.view.render_line(y)]
        marked = [s.text for s in drawn if s.style and s.style.bgcolor == MATCH]
        assert marked and set(marked) == {"secure 1"}
        await pilot.press("escape")
        assert "search" not in screen(app)[0]
        await pilot.press("slash", "(", "enter")
        assert "no regular expression" in screen(app)[0]

    drive(write(folder), body)


def test_jumping_to_errors_goes_by_blocks(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("home", "e")
        assert at_cursor(app) == "E/TA: bad nine"
        await pilot.press("e")
        assert at_cursor(app) == "Internal error: Oops"
        await pilot.press("E")
        assert at_cursor(app) == "E/TA: bad nine"
        await pilot.press("E")
        assert "from the last back" in screen(app)[0]

    drive(write(folder), body)


def test_filters(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("w")
        assert {r.world for r in map(app.view.listing.record, range(len(app.view.listing)))} == {N}
        await pilot.press("w")
        assert len(app.view.listing) == 31
        await pilot.press("l")
        assert shown(app)[0] == "E/TA: bad nine" and "error and worse" in screen(app)[0]
        await pilot.press("c", "ampersand", *"29$", "enter")
        assert shown(app) == ["normal 29", "I/TC: secure 29"]
        await pilot.press("c", "t", *UUID[:8], "enter")
        assert shown(app) == ["E/TA: bad nine"]
        # Sources: the first in the list is TF-A, the second the kernel.
        await pilot.press("c", "o", "down", "space", "enter")
        assert "only kernel" in screen(app)[0]
        assert {record.source for record in map(app.view.listing.record, range(32))} == {"kernel"}
        await pilot.press("c")
        assert len(app.view.listing) == len(app.records)

    drive(write(folder), body)


def test_what_was_asked_for_on_the_command_line_counts(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        assert len(app.view.listing) == 31

    drive(write(folder), body, wanted=Filter(worlds=frozenset({S})))


@pytest.mark.parametrize("width", [80, 200])
def test_split_by_world(folder: Folder, width: int) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("s")
        normal, secure = app.views
        assert {r.world for r in map(normal.listing.record, range(len(normal.listing)))} == {N}
        assert {r.world for r in map(secure.listing.record, range(len(secure.listing)))} == {S}
        assert app.query_one("#panes").has_class("narrow") == (width == 80)
        text = "\n".join(screen(app))
        assert "normal 29" in text and "I/TC: secure 29" in text
        # Both panes are at the same time, whichever is moved.
        await pilot.press("home")
        assert (normal.cursor, secure.cursor) == (0, 0)
        await pilot.press("tab", *["down"] * 5)
        assert app.view is secure
        assert secure.listing.record(secure.cursor).text == "I/TC: secure 5"
        assert normal.listing.record(normal.cursor).text == "normal 6"
        await pilot.press("s")
        assert len(app.views) == 1 and len(app.view.listing) == len(app.records)

    drive(write(folder), body, size=(width, 24))


def test_pause(folder: Folder) -> None:
    writer = write(folder)

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("p")
        writer.say(N, "[   99.000000] while it stood still")
        await until(pilot, lambda: "PAUSED, 1 new" in screen(app)[0])
        assert shown(app)[-1] == "I/TC: secure 29"
        await pilot.press("space")
        assert shown(app)[-1] == "while it stood still"

    drive(writer, body)


def test_help_and_leaving(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("question_mark")
        assert any("previous error" in line for line in screen(app))
        await pilot.press("escape")
        assert not any("previous error" in line for line in screen(app))
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    drive(write(folder), body, size=(100, 50))


def test_keys_are_text_while_one_types(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await pilot.press("slash", *"qsp?e", "tab")
        assert app.query_one(Input).value == "qsp?e" and not app.split
        await pilot.press("escape")
        assert not app.asking and app.view.has_focus

    drive(write(folder), body)


def test_a_new_run_takes_the_place(folder: Folder) -> None:
    writer = write(folder)

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        runs.keep(folder)
        Writer(folder.path).say(N, "NOTICE:  a new boot")
        await until(pilot, lambda: shown(app) == ["NOTICE:  a new boot"])
        assert "a new run" in screen(app)[0]

    drive(writer, body)


def test_it_attaches_to_nothing_and_waits(folder: Folder) -> None:
    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await pilot.pause(0.2)
        await pilot.press("e", "n", "slash", "x", "enter", "s", "up", "end", "s", "f")
        await until(pilot, lambda: "down" in screen(app)[-1])
        Writer(folder.path).say(N, "NOTICE:  first words")
        await until(pilot, lambda: shown(app) == ["NOTICE:  first words"])

    app = LogsApp("m", runs.live(folder), folder=folder)

    async def run() -> None:
        async with app.run_test(size=(120, 24)) as pilot:
            await body(app, pilot)

    asyncio.run(run())


def test_hostile_text_is_only_text(folder: Folder) -> None:
    writer = Writer(folder.path)
    writer.say(
        N, "[red]not red[/red] [bold", "\x1b[31mescape\x1b]0;title\x07", "[/] :smile: \t tab"
    )
    writer.write(S, b"I/TC: [@click=app.quit]click[/] \xff\xfe \xe2\x80\xae reversed\r\n")
    writer.write(S, "I/TC: 漢字 wide".encode() + b"\r\n" + b"X" * 5000 + b"\r\n")
    writer.look()

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot, 7)
        text = "\n".join(screen(app))
        for said in ("[red]not red[/red] [bold", "[/] :smile:", "[@click=app.quit]click[/]"):
            assert said in text
        assert "漢字 wide" in text and "title" not in text
        assert not {c for c in text if ord(c) < 32 and c != "\n"} and "\u202e" not in text
        await pilot.click("#merged", offset=(60, 3))
        assert app.is_running
        # A pattern with markup in it, in the bars.
        await pilot.press("slash", *"[[]red", "enter")
        assert "[[]red" in screen(app)[0]

    drive(writer, body)


def test_a_recording_is_shown_at_once_and_replayed_in_time(folder: Folder) -> None:
    writer = write(folder)

    async def at_once(app: LogsApp, pilot: Pilot[None]) -> None:
        await loaded(app, pilot)
        await until(pilot, lambda: "a recording of 0:29" in screen(app)[-1])

    drive(writer, at_once, folder=None)

    async def replayed(app: LogsApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: 0 < len(app.records))
        await pilot.press("p")
        await until(pilot, lambda: "PAUSED" in screen(app)[0])
        count = len(app.records)
        await pilot.pause(0.3)
        assert count == len(app.records) < 63
        assert "replay 0.5 times as fast" in screen(app)[-1]
        await pilot.press(*["greater_than_sign"] * 6, "p")
        await loaded(app, pilot)
        await until(pilot, lambda: "a recording" in screen(app)[-1])

    drive(writer, replayed, folder=None, replay=True, speed=0.5)


def test_a_hundred_thousand_lines(folder: Folder) -> None:
    writer = Writer(folder.path)
    for second in range(100):
        lines = [f"[{second:12.6f}] line {second * 1000 + number}" for number in range(1000)]
        writer.say(N, *lines, at_s=second + 1.0)

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(app.view.listing) == 100_000, 300)
        assert shown(app)[-1] == "line 99999"
        await pilot.press("home")
        assert shown(app)[0] == "line 0"
        await pilot.press("slash", *"line 77777$", "enter")
        assert at_cursor(app) == "line 77777" and "line 77777" in shown(app)
        # Only what is on the screen is drawn.
        drawn = []
        render = app.view.render_line
        app.view.render_line = lambda y: (drawn.append(y), render(y))[1]  # type: ignore
        await pilot.press("down")
        assert len(drawn) <= 3 * 24

    drive(writer, body)


def test_the_oldest_lines_go(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.logs.tui.app.LIMIT", 40)
    writer = write(folder)

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.records and app.records[-1].text == "I/TC: secure 29")
        assert len(app.records) <= 40 and len(app.view.listing) == len(app.records)
        assert shown(app)[-1] == "I/TC: secure 29"

    drive(writer, body)
    assert listing_module.LIMIT >= 100_000


# The state line ---------------------------------------------------------------------------------


def machine_record(phase: Phase, qemu: ProcessId | None, owner: ProcessId) -> MachineRecord:
    return MachineRecord(
        name="m", phase=phase, owner=owner, qemu=qemu, argv=(), cores=4, memory_mib=1024,
        acceleration="tcg", images={}, started_at=time.time() - 75.0,
    )  # fmt: skip


def test_the_state_is_looked_at_without_touching_anything(folder: Folder) -> None:
    me, gone = ProcessId.mine(), ProcessId(1, 1, "another boot")
    assert look(folder).state == "down"
    for phase, qemu, owner, state in [
        (Phase.UP, me, gone, "up"),
        (Phase.STARTING, me, me, "starting"),
        (Phase.STARTING, None, me, "starting"),
        (Phase.UP, gone, gone, "gone"),
    ]:
        folder.write(machine_record(phase, qemu, owner))
        assert look(folder).state == state
        assert folder.record.exists()
    folder.record.write_text("{")
    assert look(folder).state == "unknown"


SECURE = SecureState(2, Memory(102_400, 204_800, 14 << 20, 0, 0), Memory(1024, 2048, 4096, 0, 0))


def test_the_state_in_words() -> None:
    assert state_text(MachineState("down")) == (
        "down  up —  cores —  memory —  TAs —  TA RAM —  heap —"
    )
    assert state_text(MachineState("up", 4, 1024, 75.0, SECURE)) == (
        "up  up 1:15  cores 4  memory 1024 MiB  TAs 2"
        "  TA RAM 100 KiB, peak 200 of 14336  heap 1 KiB, peak 2 of 4"
    )
    assert duration_text(3 * 3600 + 62) == "3:01:02"


def test_a_guest_that_does_not_answer_costs_nothing_but_a_dash(folder: Folder) -> None:
    folder.write(machine_record(Phase.UP, ProcessId.mine(), ProcessId.mine()))
    asked = []

    def ask() -> SecureState:
        asked.append(1)
        raise GuestError("no answer")

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: asked and "TAs —" in screen(app)[-1])
        assert "cores 4" in screen(app)[-1]

    drive(write(folder), body, ask=ask)


def test_an_answer_is_shown_until_the_machine_is_gone(folder: Folder) -> None:
    folder.write(machine_record(Phase.UP, ProcessId.mine(), ProcessId.mine()))

    async def body(app: LogsApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "TAs 2" in screen(app)[-1])
        folder.record.unlink()
        await until(pilot, lambda: "down  up —" in screen(app)[-1])
        assert "TAs —" in screen(app)[-1]

    drive(write(folder), body, ask=lambda: SECURE)


# Without a terminal -----------------------------------------------------------------------------


def record(place: int, level: Level | None = None, source: Source = Source.OPTEE) -> Record:
    return Record(float(place), S, source, level, None, f"text {place}", "")


def test_listing_finds_its_way() -> None:
    error = Level.ERROR
    records = [
        record(0), record(1, error), record(2, error), record(3, error, Source.SANDBOX),
        record(4, error, Source.SANDBOX), record(5),
    ]  # fmt: skip
    listing = Listing(records)
    listing.update()
    assert [listing.next_error(at, 1) for at in range(6)] == [1, 3, 3, 1, 1, 1]
    assert [listing.next_error(at, -1) for at in range(6)] == [3, 3, 1, 1, 3, 3]
    listing.choose(Filter(sources={Source.SANDBOX}))
    assert listing.rows == [3, 4]
    assert [listing.row_of(place) for place in (0, 3, 4, 5)] == [0, 0, 1, 1]
    records.append(record(6, source=Source.SANDBOX))
    assert listing.update() == 1 and listing.rows == [3, 4, 6]
    empty = Listing([])
    assert empty.find(re.compile("x"), 0, 1) is None and empty.row_of(5) == 0
