# SPDX-License-Identifier: Apache-2.0
"""One pane of lines: draws only those that are on the screen, however many there are."""

import re
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from sandbox.logs import format as formatted
from sandbox.logs.records import Level, Record, Source
from sandbox.logs.tui.listing import Listing
from sandbox.logs.tui.messages import CursorMoved
from sandbox.machine.folder import World

_DIM = Style(color="#8a8a8a")
_CURSOR = Style(bgcolor="#2d3f5e")
_UNFOCUSED_CURSOR = Style(bgcolor="#303030")
_MATCH = Style(color="#000000", bgcolor="#e5c07b")
_WORLDS = {World.NORMAL: Style(color="#5fd7d7"), World.SECURE: Style(color="#d787d7")}
_LEVELS = {
    Level.ERROR: Style(color="#ff6b6b", bold=True),
    Level.WARNING: Style(color="#e5c07b"),
    Level.NOTICE: Style(color="#98c379"),
    Level.DEBUG: _DIM,
    Level.FLOW: _DIM,
}
_EXPLANATION = Style(color="#f0f0f0")
_EXPLANATION_ROW = Style(bgcolor="#3a1a1a")
_PLAIN = Style()
# From here on the world has its name, below it a letter.
_WIDE = 100


class LogView(ScrollView, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("left,h", "sideways(-8)", "Left", show=False),
        Binding("right", "sideways(8)", "Right", show=False),
    ]

    def __init__(self, listing: Listing, *, id: str) -> None:
        super().__init__(id=id)
        self.listing = listing
        self.cursor = 0
        self.following = True
        self.pattern: re.Pattern[str] | None = None
        self.started_at: float | None = None  # set: show the time of day
        self._widest = 0
        self._measured = 0

    # What changes ---------------------------------------------------------------------------

    def update(self) -> None:
        """Records were added."""
        self.listing.update()
        self._measure()
        if self.following:
            self._go(len(self.listing) - 1, follow=True)
        self.refresh()

    def renew(self) -> None:
        """What is shown is something else now."""
        place = self.listing.rows[self.cursor] if self.cursor < len(self.listing) else 0
        self.listing.renew()
        self._measured = self._widest = 0
        self._measure()
        last = len(self.listing) - 1
        self._go(last if self.following else self.listing.row_of(place), follow=self.following)
        self.refresh()

    def go(self, row: int) -> None:
        """Put the cursor there, by hand: at the end, and only there, it follows again."""
        self._go(row, follow=row >= len(self.listing) - 1)
        if self.listing.rows:
            self.post_message(CursorMoved(str(self.id), self.listing.rows[self.cursor]))

    def show_place(self, place: int) -> None:
        """Where the other pane is."""
        if self.listing.rows:
            self._go(self.listing.row_of(place), follow=False)

    def follow(self) -> None:
        self._go(len(self.listing) - 1, follow=True)

    def _go(self, row: int, *, follow: bool) -> None:
        self.cursor = max(0, min(row, len(self.listing) - 1))
        self.following = follow
        height = self.scrollable_content_region.height or 1
        top = self.scroll_offset.y
        if follow:
            top = self.cursor - height + 1
        elif not top - height <= self.cursor < top + 2 * height:
            # From afar: with what is around it.
            top = self.cursor - height // 2
        elif self.cursor < top:
            top = self.cursor
        elif self.cursor >= top + height:
            top = self.cursor - height + 1
        self.scroll_to(y=top, animate=False, immediate=True)
        self.refresh()

    def _measure(self) -> None:
        for row in range(self._measured, len(self.listing)):
            self._widest = max(self._widest, len(self.listing.record(row).text))
        self._measured = len(self.listing)
        # Cells: no character takes more than two.
        self.virtual_size = Size(self._head_width + self._widest, len(self.listing))

    # What is drawn --------------------------------------------------------------------------

    @property
    def _wide(self) -> bool:
        return self.size.width >= _WIDE

    @property
    def _head_width(self) -> int:
        return (12 if self.started_at is None else 16) + (7 if self._wide else 2) + 16

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        width = self.size.width
        if row >= len(self.listing):
            return Strip.blank(width)
        record = self.listing.record(row)
        strip = Strip([*self._head(record), *self._text(record)])
        left = self.scroll_offset.x
        strip = strip.crop_extend(left, left + width, _PLAIN)
        if row == self.cursor:
            return strip.apply_style(_CURSOR if self.has_focus else _UNFOCUSED_CURSOR)
        if record.source is Source.SANDBOX:
            return strip.apply_style(_EXPLANATION_ROW)
        return strip

    def _head(self, record: Record) -> list[Segment]:
        when = formatted.time_text(record, self.started_at)
        if self.started_at is not None:
            when = when[11:26]
        world = f"{record.world:<6}" if self._wide else str(record.world)[0].upper()
        who = f"{formatted.source_name(record):<14.14}"
        colour = _WORLDS[record.world]
        return [Segment(f"{when} ", _DIM), Segment(f"{world} {who} ", colour)]

    def _text(self, record: Record) -> list[Segment]:
        # Segments are drawn as they are: nothing in the text is markup.
        text = record.text.replace("\t", "    ")
        style = _LEVELS.get(record.level, _PLAIN) if record.level else _PLAIN
        if record.source is Source.SANDBOX:
            style = _EXPLANATION
        segments, at = [], 0
        for found in self.pattern.finditer(text) if self.pattern else ():
            if found.end() > found.start():
                segments.append(Segment(text[at : found.start()], style))
                segments.append(Segment(found[0], _MATCH))
                at = found.end()
        return [*segments, Segment(text[at:], style)]

    # Keys and mouse -------------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        self.go(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.go(self.cursor + pages * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self.go(0)

    def action_last(self) -> None:
        self.go(len(self.listing) - 1)

    def action_sideways(self, columns: int) -> None:
        self.scroll_to(x=max(0, self.scroll_offset.x + columns), animate=False)

    def on_click(self, event: Click) -> None:
        self.go(self.scroll_offset.y + event.y)

    def on_mouse_scroll_up(self) -> None:
        self.go(self.cursor - 3)

    def on_mouse_scroll_down(self) -> None:
        self.go(self.cursor + 3)

    def on_resize(self) -> None:
        self._measure()
        # The new height is known only then.
        self.call_after_refresh(lambda: self._go(self.cursor, follow=self.following))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
