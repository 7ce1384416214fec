# SPDX-License-Identifier: Apache-2.0
"""What a person sees while something takes long: named steps, amounts, and the time each took."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

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


class Running:
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
        yield Running(name, 0)

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
        outer: Running | None = getattr(self._local, "innermost", None)
        running = Running(name, outer.depth + 1 if outer else 0)
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

    def _repeat(self, running: Running, over: threading.Event) -> None:
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


class DeferredProgress:
    """Made into a real one by the first step or note: a display costs a tenth of a second to load.

    What only prints its result, or runs a command in the guest, never needs one.
    """

    def __init__(self, make: Callable[[], Progress]) -> None:
        self._make = make
        self._made: Progress | None = None
        self._lock = threading.Lock()

    def _real(self) -> Progress:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def step(self, name: str) -> AbstractContextManager[Step]:
        return self._real().step(name)

    def note(self, text: str) -> None:
        self._real().note(text)

    def printing(self) -> AbstractContextManager[None]:
        return self._made.printing() if self._made is not None else contextlib.nullcontext()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


def progress_for(out: TextIO) -> Progress:
    """The live display on a terminal, plain lines anywhere else."""

    def make() -> Progress:
        from sandbox import live

        return live.progress(out) or PlainProgress(out)

    return DeferredProgress(make)
