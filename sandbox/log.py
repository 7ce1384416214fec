# SPDX-License-Identifier: Apache-2.0
"""What a person sees while something takes long: named steps, amounts, and the time each took."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

# A step shorter than this is not worth a line on a terminal that scrolls.
QUIET_S = 0.02
# How often the plain form repeats itself during a long step, so that a CI log shows life.
PLAIN_INTERVAL_S = 15.0


class Step(Protocol):
    """One running step. Both methods are cheap and may be called from any thread."""

    def update(self, detail: str) -> None:
        """Say what is being done right now."""

    def amount(self, done_bytes: int, total_bytes: int | None = None) -> None:
        """Say how many bytes are done, and of how many."""


class Progress(Protocol):
    """Where long work reports to. Steps may nest and may run in several threads."""

    def step(self, name: str) -> AbstractContextManager[Step]:
        """A named, timed step; leaving it, also by an exception, prints the time it took."""

    def note(self, text: str) -> None:
        """One line for the reader that is no step."""

    def printing(self) -> AbstractContextManager[None]:
        """While results are printed to standard output: a live display makes room for them."""

    def close(self) -> None:
        """Show nothing more, also of steps that other threads have still open."""


def mib(count_bytes: int) -> str:
    return f"{count_bytes / (1 << 20):.1f} MiB"


def _amount_text(done_bytes: int, total_bytes: int | None) -> str:
    if total_bytes is None:
        return mib(done_bytes)
    return f"{mib(done_bytes)} of {mib(total_bytes)}"


class _Running:
    """State of one step, shared by the implementations below."""

    def __init__(self, name: str, depth: int) -> None:
        self.name = name
        self.depth = depth
        self.started = time.monotonic()
        self.detail = ""
        self.size = ""
        self.inner_count = 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def title(self) -> str:
        return "  " * self.depth + self.name

    def update(self, detail: str) -> None:
        self.detail = detail

    def amount(self, done_bytes: int, total_bytes: int | None = None) -> None:
        self.size = _amount_text(done_bytes, total_bytes)


class SilentProgress:
    """For tests and for callers that print nothing but JSON."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        yield _Running(name, 0)

    def note(self, text: str) -> None:
        del text

    def printing(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        pass


class PlainProgress:
    """One line per event: for files, pipes and CI logs."""

    def __init__(self, out: TextIO, *, interval_s: float = PLAIN_INTERVAL_S) -> None:
        self._out = out
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._local = threading.local()
        self._closed = False

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        outer: _Running | None = getattr(self._local, "innermost", None)
        running = _Running(name, outer.depth + 1 if outer else 0)
        self._local.innermost = running
        if outer is not None:
            outer.inner_count += 1
        over = threading.Event()
        thread = threading.Thread(target=self._repeat, args=(running, over), daemon=True)
        thread.start()
        ending = "failed"
        try:
            yield running
            ending = "done"
        finally:
            over.set()
            thread.join()
            self._local.innermost = outer
            if outer is not None:
                outer.inner_count -= 1
            size = f" {running.size}," if running.size else ""
            if running.elapsed_s >= QUIET_S or ending == "failed":
                self.note(f"{running.title}: {ending},{size} {running.elapsed_s:.1f} s")

    def note(self, text: str) -> None:
        with self._lock:
            if not self._closed:
                print(text, file=self._out, flush=True)

    def printing(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _repeat(self, running: _Running, over: threading.Event) -> None:
        # The first line comes soon enough to tell what is being waited for.
        wait_s = min(1.0, self._interval_s)
        while not over.wait(wait_s):
            # A step within it tells more.
            if running.inner_count:
                continue
            parts = [p for p in (running.detail, running.size) if p]
            parts.append(f"{running.elapsed_s:.0f} s so far")
            self.note(f"{running.title}: {', '.join(parts)}")
            wait_s = self._interval_s


class RichProgress:
    """A live display on a terminal; each finished step leaves one line behind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._local = threading.local()
        self._steps: list[tuple[_Running, Spinner]] = []
        self._live: Live | None = None
        self._closed = False

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        depth: int = getattr(self._local, "depth", 0)
        running = _Running(name, depth)
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
    def _line(running: _Running) -> Text:
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


def progress_for(out: TextIO) -> Progress:
    """The live display on a terminal, plain lines anywhere else."""
    console = Console(file=out, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return RichProgress(console)
    return PlainProgress(out)
