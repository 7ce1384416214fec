# SPDX-License-Identifier: Apache-2.0
"""What opens over the lines: help, and the choice of sources."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import SelectionList, Static

from sandbox.logs.records import Source

HELP = """\
Move                                    Show only
 ↑ ↓ j k      one line                   w   both worlds, normal, secure
 PgUp PgDn b  one page                   l   all levels, error, warning, ...
 Home g       first                      o   chosen sources
 End G        last, and follow           &   lines with a text
 ← → h        sideways                   t   one TA, by its UUID's beginning
 Tab          the other pane             c   everything again

Find                                    How
 /            a regular expression       f   follow on, off
 n N          next, previous             p   pause on, off (Space)
 Esc          forget it                  s   one pane, or one for each world
 e E          next, previous error,      a   time of day, or since the start
              panic or explanation       < > slower, faster replay

 ?  this help           q  leave: the machine does not notice

Cyan is the normal world, magenta the secure world. Errors are bright red.
Lines on dark red are the sandbox's own: panics explained."""


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,space", "dismiss", "Close", show=False)
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(HELP, markup=False)


class SourcesScreen(ModalScreen[frozenset[Source] | None]):
    """The chosen ones; None if it was left with Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False),
        Binding("enter", "take", "Take", show=False, priority=True),
    ]

    def __init__(self, chosen: frozenset[Source]) -> None:
        super().__init__()
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with Vertical(id="sources"):
            yield Static("Sources: Space marks, Enter takes, Esc leaves", markup=False)
            yield SelectionList[Source](
                *((str(source), source, source in self._chosen) for source in Source)
            )

    def action_take(self) -> None:
        self.dismiss(frozenset(self.query_one(SelectionList).selected))

    def action_leave(self) -> None:
        self.dismiss(None)
