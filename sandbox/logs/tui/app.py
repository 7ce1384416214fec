# SPDX-License-Identifier: Apache-2.0
"""The program: panes, keys, and the lines below them."""

import re
import sys
import termios
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Key
from textual.widgets import Input, Static

from sandbox.logs.filters import Filter, pattern
from sandbox.logs.records import Level, Record, Source
from sandbox.logs.tui.listing import LIMIT, Listing
from sandbox.logs.tui.messages import (
    CursorMoved,
    LinesCame,
    MachineState,
    RunBegan,
    RunEnded,
    SourceFailed,
    StateTold,
)
from sandbox.logs.tui.screens import HelpScreen, SourcesScreen
from sandbox.logs.tui.source import Following, Replaying
from sandbox.logs.tui.state import Ask, StateWatch, duration_text, look, nobody, state_text
from sandbox.logs.tui.view import LogView
from sandbox.machine.folder import Folder, World
from sandbox.machine.runs import Recording

_WORLDS: tuple[frozenset[World], ...] = (
    frozenset(),
    frozenset({World.NORMAL}),
    frozenset({World.SECURE}),
)
_LEVELS: tuple[Level | None, ...] = (
    None,
    Level.ERROR,
    Level.WARNING,
    Level.NOTICE,
    Level.INFO,
    Level.DEBUG,
)
_PROMPTS = {"search": "search: ", "text": "only lines with: ", "ta": "only the TA: "}


class LogsApp(App[None]):
    CSS = """
    Screen { layers: below above; }
    #panes { height: 1fr; }
    #panes.split { layout: horizontal; }
    #panes.split.narrow { layout: vertical; }
    LogView { height: 1fr; width: 1fr; overflow-x: hidden; overflow-y: scroll; }
    #secure { display: none; }
    #panes.split #secure { display: block; border-left: solid $panel; }
    #panes.split.narrow #secure { border-left: none; border-top: solid $panel; }
    .bar { height: 1; width: 100%; }
    #chosen { background: $panel; }
    #state { background: $primary-background; }
    #ask { display: none; height: 1; border: none; padding: 0; }
    HelpScreen, SourcesScreen { align: center middle; }
    #help, #sources { width: 84; height: auto; max-height: 100%; padding: 0 1;
        background: $surface; border: round $primary; overflow-y: auto; }
    #sources { width: 50; }
    """
    ENABLE_COMMAND_PALETTE = False
    TITLE = "sandbox logs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Quit", priority=False),
        Binding("question_mark", "help", "Help"),
        Binding("slash", "ask('search')", "Search", priority=True),
        Binding("n", "search(1)", "Next"),
        Binding("N", "search(-1)", "Previous"),
        Binding("escape", "forget", "Forget the search"),
        Binding("e", "error(1)", "Next error"),
        Binding("E", "error(-1)", "Previous error"),
        Binding("f", "follow", "Follow"),
        Binding("p,space", "pause", "Pause"),
        Binding("a", "absolute", "Times"),
        Binding("w", "world", "World"),
        Binding("l", "level", "Level"),
        Binding("o", "sources", "Sources"),
        Binding("ampersand", "ask('text')", "Text", priority=True),
        Binding("t", "ask('ta')", "TA", priority=True),
        Binding("c", "everything", "Everything"),
        Binding("s", "split", "Split"),
        Binding("tab", "other", "Other pane", priority=True),
        Binding("less_than_sign", "faster(-1)", "Slower"),
        Binding("greater_than_sign", "faster(1)", "Faster"),
    ]

    def __init__(
        self,
        name: str,
        recording: Recording,
        *,
        folder: Folder | None = None,
        replay: bool = False,
        speed: float | None = None,
        wanted: Filter | None = None,
        ask: Ask = nobody,
    ) -> None:
        """`folder` is of the machine, if it is its present run that is shown."""
        super().__init__()
        self._name = name
        self.records: list[Record] = []
        self.wanted = wanted or Filter()
        self.paused = False
        self._waiting: list[Record] = []
        self._state = look(folder) if folder else MachineState("recorded")
        self._ended = False
        self._asked = ""
        self._pattern: re.Pattern[str] | None = None
        self._note = ""
        self._started_at = 0.0
        self._source: Following | Replaying
        if folder is None or replay:
            self._source = Replaying(recording, self.post_message, speed if replay else None)
        else:
            self._source = Following(recording, self.post_message)
        self._watch = StateWatch(folder, self.post_message, ask) if folder else None

    # Parts ----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(id="chosen", classes="bar", markup=False)
        with Container(id="panes"):
            yield LogView(Listing(self.records), id="merged")
            yield LogView(Listing(self.records), id="secure")
        yield Input(id="ask", compact=True)
        yield Static(id="state", classes="bar", markup=False)

    def on_mount(self) -> None:
        self.query_one("#merged", LogView).focus()
        self._choose(self.wanted)
        self._source.start()
        if self._watch is not None:
            self._watch.start()
        self.set_interval(1.0, self._tell)
        self.set_interval(1.0, self._end_with_terminal)

    def _end_with_terminal(self) -> None:
        """Of one that is gone, the driver would read nothing for ever, at full speed."""
        if self.is_headless:
            return
        try:
            termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
        except (termios.error, OSError, ValueError):
            self.exit()

    def on_unmount(self) -> None:
        self._source.stop()
        if self._watch is not None:
            self._watch.stop()

    @property
    def split(self) -> bool:
        return self.query_one("#panes").has_class("split")

    @property
    def views(self) -> list[LogView]:
        both = list(self.query(LogView))
        return both if self.split else both[:1]

    @property
    def view(self) -> LogView:
        """The pane that keys go to."""
        return next((view for view in self.views if view.has_focus), self.views[0])

    # What comes -----------------------------------------------------------------------------

    @on(LinesCame)
    def _lines(self, message: LinesCame) -> None:
        if self.paused and isinstance(self._source, Following):
            self._waiting += message.records
        else:
            self._add(message.records)
        self._tell()

    def _add(self, records: list[Record]) -> None:
        self.records += records
        if len(self.records) > LIMIT:
            del self.records[: len(self.records) - LIMIT * 3 // 4]
            for view in self.views:
                view.renew()
        for view in self.views:
            view.update()

    @on(RunBegan)
    def _run_began(self, message: RunBegan) -> None:
        if self.records or self._waiting:
            self._note = "a new run"
        self._started_at = message.started_at
        self._waiting.clear()
        self.records.clear()
        self._renew()

    @on(RunEnded)
    def _run_ended(self) -> None:
        self._ended = True
        self._tell()

    @on(SourceFailed)
    def _failed(self, message: SourceFailed) -> None:
        self._note = message.reason
        self._tell()

    @on(StateTold)
    def _state_told(self, message: StateTold) -> None:
        self._state = message.state
        self._tell()

    @on(CursorMoved)
    def _moved(self, message: CursorMoved) -> None:
        for view in self.views:
            if view.id != message.pane:
                view.show_place(message.place)
        self._tell()

    # What is shown --------------------------------------------------------------------------

    def _choose(self, wanted: Filter) -> None:
        self.wanted = wanted
        merged, secure = self.query(LogView)
        if self.split:
            merged.listing.wanted = replace(wanted, worlds=frozenset({World.NORMAL}))
            secure.listing.wanted = replace(wanted, worlds=frozenset({World.SECURE}))
        else:
            merged.listing.wanted = wanted
        self._renew()

    def _renew(self) -> None:
        for view in self.views:
            view.pattern = self._pattern
            view.renew()
        self._tell()

    def _tell(self) -> None:
        self.query_one("#chosen", Static).update(self._chosen_text())
        self.query_one("#state", Static).update(f" {self._name}: {self._state_text()}")

    def _chosen_text(self) -> str:
        wanted, view = self.wanted, self.view
        parts = ["normal | secure" if self.split else " + ".join(wanted.worlds or World)]
        if wanted.level:
            parts.append(f"{wanted.level} and worse")
        if wanted.sources:
            parts.append("only " + ", ".join(sorted(wanted.sources)))
        if wanted.ta:
            parts.append(f"TA {wanted.ta}")
        if wanted.text:
            parts.append(f"with {wanted.text.pattern!r}")
        if self._pattern:
            parts.append(f"search {self._pattern.pattern!r}")
        parts.append(f"line {min(view.cursor + 1, len(view.listing))} of {len(view.listing)}")
        if self.paused:
            parts.append(f"PAUSED, {len(self._waiting)} new" if self._waiting else "PAUSED")
        elif view.following and not self._ended:
            parts.append("following")
        if self._note:
            parts.append(self._note)
        return " " + "  ·  ".join(parts) + "  ·  ? help"

    def _state_text(self) -> str:
        source = self._source
        if isinstance(source, Replaying):
            if source.speed is None or self._ended:
                return f"a recording of {duration_text(source.end_s)}"
            place = f"{duration_text(source.now_s)} of {duration_text(source.end_s)}"
            return f"replay {source.speed:g} times as fast, {place}"
        return state_text(self._state)

    # Keys -----------------------------------------------------------------------------------

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    def action_follow(self) -> None:
        for view in self.views:
            if view.following:
                view.following = False
            else:
                view.follow()
        self._tell()

    def action_pause(self) -> None:
        self.paused = not self.paused
        if isinstance(self._source, Replaying):
            self._source.paused = self.paused
        elif not self.paused:
            waiting, self._waiting = self._waiting, []
            self._add(waiting)
        self._tell()

    def action_faster(self, steps: int) -> None:
        if isinstance(self._source, Replaying):
            self._source.faster(steps)
            self._tell()

    def action_absolute(self) -> None:
        for view in self.query(LogView):
            view.started_at = self._started_at if view.started_at is None else None
            view.refresh()

    def action_world(self) -> None:
        at = _WORLDS.index(self.wanted.worlds) if self.wanted.worlds in _WORLDS else 0
        self._choose(replace(self.wanted, worlds=_WORLDS[(at + 1) % len(_WORLDS)]))

    def action_level(self) -> None:
        at = _LEVELS.index(self.wanted.level) if self.wanted.level in _LEVELS else 0
        self._choose(replace(self.wanted, level=_LEVELS[(at + 1) % len(_LEVELS)]))

    def action_sources(self) -> None:
        def take(chosen: frozenset[Source] | None) -> None:
            if chosen is not None:
                self._choose(replace(self.wanted, sources=chosen))

        self.push_screen(SourcesScreen(frozenset(self.wanted.sources)), take)

    def action_everything(self) -> None:
        self._choose(Filter())

    def action_split(self) -> None:
        panes = self.query_one("#panes")
        panes.toggle_class("split")
        panes.set_class(self.size.width < 160, "narrow")
        if not self.split:
            self.query_one("#merged", LogView).focus()
        self._choose(self.wanted)

    def action_other(self) -> None:
        views = self.views
        views[(views.index(self.view) + 1) % len(views)].focus()

    def action_error(self, step: int) -> None:
        view = self.view
        self._jump(view.listing.next_error(view.cursor, step), step, "no error")

    def action_search(self, step: int) -> None:
        if self._pattern is None:
            return
        view = self.view
        self._jump(view.listing.find(self._pattern, view.cursor, step), step, "not found")

    def _jump(self, row: int | None, step: int, otherwise: str) -> None:
        self._note = otherwise
        if row is not None:
            on = (row - self.view.cursor) * step > 0
            self._note = "" if on else "from the first on" if step > 0 else "from the last back"
            self.view.go(row)
        self._tell()

    def action_forget(self) -> None:
        self._pattern = None
        self._note = ""
        for view in self.views:
            view.pattern = None
            view.refresh()
        self._tell()

    # What is typed --------------------------------------------------------------------------

    def action_ask(self, what: str) -> None:
        self._asked = what
        box = self.query_one("#ask", Input)
        box.value = ""
        box.placeholder = f"{_PROMPTS[what]} (Enter takes, Esc leaves)"
        box.display = True
        # At once, as the binding has priority too: what was typed behind it is for the box.
        self.screen.set_focus(box)

    @property
    def asking(self) -> bool:
        return self.query_one("#ask").display

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return not (action in ("ask", "other") and self.asking)

    def on_key(self, event: Key) -> None:
        self._note = ""
        if event.key == "escape" and self.asking:
            self._close_ask()
            event.stop()

    def _close_ask(self) -> None:
        self.query_one("#ask").display = False
        self.views[0].focus()

    @on(Input.Submitted, "#ask")
    def _typed(self, event: Input.Submitted) -> None:
        self._close_ask()
        text = event.value
        if self._asked == "ta":
            self._choose(replace(self.wanted, ta=text.lower() or None))
            return
        try:
            # As less does: capitals matter if one is typed.
            flags = re.IGNORECASE if text == text.lower() else re.NOFLAG
            found = pattern(text, flags) if text else None
        except re.error as error:
            self._note = f"no regular expression: {error}"
            self._tell()
            return
        if self._asked == "text":
            self._choose(replace(self.wanted, text=found))
        else:
            self._pattern = found
            for view in self.views:
                view.pattern = found
                view.refresh()
            self.action_search(1)
            self._tell()
