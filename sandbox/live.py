# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal, drawn by rich. sandbox.log loads this when there is something to show."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sandbox.log import QUIET_S, Running, Step


class RichProgress:
    """A live display on a terminal; each finished step leaves one line behind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._local = threading.local()
        self._steps: list[tuple[Running, Spinner]] = []
        self._live: Live | None = None
        self._closed = False

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        depth: int = getattr(self._local, "depth", 0)
        running = Running(name, depth)
        self._local.depth = depth + 1
        entry = (running, Spinner("dots"))
        with self._lock:
            self._steps.append(entry)
            self._show()
        mark = "[red]✗[/]"
        try:
            yield running
            mark = "[green]✓[/]"
        finally:
            self._local.depth = depth
            with self._lock:
                self._steps.remove(entry)
                if not self._closed and (running.elapsed_s >= QUIET_S or "✗" in mark):
                    self._console.print(f"{mark} ", self._line(running), sep="", end="\n")
                if not self._steps:
                    self._hide()

    def note(self, text: str) -> None:
        self._console.print(Text(text))

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        with self._lock:
            self._hide()
            try:
                yield
            finally:
                self._show()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._hide()

    def _show(self) -> None:
        if self._steps and self._live is None and not self._closed:
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=8,
                transient=True,
                # Else what is printed meanwhile goes to the terminal, also if it is meant for a
                # file.
                redirect_stdout=False,
            )
            self._live.start()

    def _hide(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    @staticmethod
    def _line(running: Running) -> Text:
        line = Text(running.title)
        if running.size:
            line.append(f"  {running.size}", style="dim")
        line.append(f"  {running.elapsed_s:.1f} s", style="cyan")
        return line

    def _render(self) -> Group:
        # Called with rich's lock held, which others ask for while they hold ours: so not ours too.
        rows = []
        for running, spinner in tuple(self._steps):
            grid = Table.grid(padding=(0, 1))
            line = self._line(running)
            if running.detail:
                line.append(f"  {running.detail}", style="dim")
            grid.add_row(spinner, line)
            rows.append(grid)
        return Group(*rows)


def progress(out: TextIO) -> RichProgress | None:
    """The live display, if `out` is a terminal that can show it."""
    console = Console(file=out, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return RichProgress(console)
    return None
