# SPDX-License-Identifier: Apache-2.0
"""One stream out of two consoles.

What the recorder saw at different times is in the order of those times: that holds for every line.
What it saw at once, one or some milliseconds' worth, is put in order by the times that the lines
themselves carry. Linux and OP-TEE take theirs from one counter, but Linux counts from a later zero;
the guest's agent prints both clocks in one line, from which the distance is known.

In either console lines stay in the order in which they are there, whatever times they carry.
"""

import heapq
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from sandbox.logs.cuts import Cut, Index
from sandbox.logs.explain import Explaining
from sandbox.logs.parse import Parsed, messages, parse
from sandbox.logs.records import Record
from sandbox.machine.console import clean
from sandbox.machine.folder import World
from sandbox.machine.runs import Recording

_READ_SIZE = 1 << 20
# The guest must not make us hold any amount of a line.
_LINE_LIMIT = 4096
# host/agent/main.c: that many lines tell of both clocks.
_TELLINGS = 2
# How long a line that has no end yet holds up what came after it.
_PATIENCE_S = 0.3
# How much longer than this a console may grow while its index does not: the recorder is dead.
_INDEX_PATIENCE_S = 2.0


class Clocks:
    """What the guest's clocks show, on the host's.

    A line cannot be seen before it was printed, so the smallest difference ever seen is the best
    guess of what lies between two clocks; what Linux and OP-TEE say is exact when the guest told.
    """

    def __init__(self) -> None:
        self._offsets: dict[World, float] = {}
        self._later: float | None = None  # Linux's zero after the counter's
        self._tellings = 0

    def told(self, line: Parsed) -> None:
        """The agent tells as it starts, before anything of a user's runs. Linux may have been late
        in taking its time, never early."""
        if line.counter_s is not None and line.stamp_s is not None and self._tellings < _TELLINGS:
            self._tellings += 1
            later = line.counter_s - line.stamp_s
            self._later = later if self._later is None else max(self._later, later)

    def observe(self, world: World, line: Parsed, seen_s: float) -> None:
        if line.stamp_s is not None and math.isfinite(seen_s):
            offset = seen_s - line.stamp_s
            self._offsets[world] = min(self._offsets.get(world, offset), offset)

    def host_s(self, world: World, stamp_s: float) -> float:
        secure = self._offsets.get(World.SECURE)
        normal = self._offsets.get(World.NORMAL)
        if self._later is not None:
            # Both tell of the same clock.
            guesses = [] if secure is None else [secure]
            guesses += [] if normal is None else [normal - self._later]
            zero = min(guesses, default=0.0)
            return zero + stamp_s + (self._later if world is World.NORMAL else 0.0)
        return stamp_s + self._offsets.get(world, 0.0)


@dataclass(slots=True)
class _Line:
    start: int  # of its first byte, in the console
    parsed: Parsed


class _Console:
    """The lines of one console, each with its place."""

    def __init__(self, world: World, path: Path, clocks: Clocks) -> None:
        self.world = world
        self._path = path
        self._clocks = clocks
        self._file: FileIO | None = None
        self._rest = b""
        self._rest_start = 0
        self.lines: deque[_Line] = deque()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def size(self) -> int:
        """Of what was read."""
        return self._rest_start + len(self._rest)

    @property
    def open_line_start(self) -> int | None:
        return self._rest_start if self._rest else None

    def read(self) -> None:
        if self._file is None:
            try:
                self._file = FileIO(self._path)
            except FileNotFoundError:
                return
        while data := self._file.read(_READ_SIZE):
            at = self._rest_start
            *whole, self._rest = (self._rest + data).split(b"\n")
            for raw in whole:
                self._add(at, raw)
                at += len(raw) + 1
            self._rest_start = at
            while len(self._rest) > _LINE_LIMIT:
                self._add(self._rest_start, self._rest[:_LINE_LIMIT])
                self._rest = self._rest[_LINE_LIMIT:]
                self._rest_start += _LINE_LIMIT

    def replaced(self) -> bool:
        """Whether another file, or another beginning, is there now."""
        if self._file is None:
            return False
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(now, os.fstat(self._file.fileno())) or now.st_size < self.size

    def finish(self) -> None:
        """What has no end gets one."""
        if self._rest:
            self._add(self._rest_start, self._rest)
            self._rest_start += len(self._rest)
            self._rest = b""

    def take(self, before: int) -> list[_Line]:
        """Whole lines that begin before this place."""
        taken = []
        while self.lines and self.lines[0].start < before:
            taken.append(self.lines.popleft())
        return taken

    def _add(self, start: int, raw: bytes) -> None:
        for at in range(0, max(len(raw), 1), _LINE_LIMIT):
            for inside, message in messages(self.world, raw[at : at + _LINE_LIMIT]):
                parsed = parse(self.world, clean(message))
                self.lines.append(_Line(start + at + inside, parsed))
                self._clocks.told(parsed)


class Reader:
    """The records of one run, each given once, as they come."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._index = Index(recording.index)
        self._clocks = Clocks()
        self._consoles = [_Console(w, recording.log(w), self._clocks) for w in World]
        self._cuts: deque[Cut] = deque()
        self._last = Cut(0.0, 0, 0)
        self._given_s = 0.0
        self._waiting_since: float | None = None
        self._unindexed_since: float | None = None

    def close(self) -> None:
        self._index.close()
        for console in self._consoles:
            console.close()

    @property
    def started_at(self) -> float:
        """Seconds since 1970."""
        return self._index.started_at or self.recording.started_at()

    @property
    def last_s(self) -> float:
        """When the last record that was given was printed."""
        return self._given_s

    def now_s(self) -> float:
        """The present, on the records' clock."""
        if self._index.monotonic_ns is None:
            return time.time() - self.started_at
        return (time.monotonic_ns() - self._index.monotonic_ns) / 1e9

    def replaced(self) -> bool:
        """Whether a new run has taken this one's place."""
        return not self._index.same_as(self.recording.index) or any(
            console.replaced() for console in self._consoles
        )

    def read(self) -> Iterator[Record]:
        """What came since the last call, but for a line that is still being printed."""
        yield from self._read(_PATIENCE_S)
        yield from self._without_index()

    def finish(self) -> Iterator[Record]:
        """The rest, when no more is expected, or not now."""
        yield from self._read(0.0)
        for console in self._consoles:
            console.finish()
        yield from self._batch(self._rest_cut(self._end_s()))

    def _read(self, patience_s: float) -> Iterator[Record]:
        # The index first: then what it tells of is there.
        self._cuts.extend(self._index.read())
        for console in self._consoles:
            console.read()
        while self._cuts:
            if self._held_up(self._cuts[0], patience_s):
                return
            yield from self._batch(self._cuts.popleft())

    def _held_up(self, cut: Cut, patience_s: float) -> bool:
        open_lines = [console.open_line_start for console in self._consoles]
        if all(
            start is None or start >= cut.size(console.world)
            for start, console in zip(open_lines, self._consoles, strict=True)
        ):
            self._waiting_since = None
            return False
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since < patience_s

    def _without_index(self) -> Iterator[Record]:
        """While nobody tells when the consoles grow, what has come is taken to come now."""
        if not any(console.lines for console in self._consoles):
            self._unindexed_since = None
            return
        now = time.monotonic()
        if self._unindexed_since is None:
            self._unindexed_since = now
        if now - self._unindexed_since >= _INDEX_PATIENCE_S:
            yield from self._batch(self._rest_cut(self.now_s()))

    def _rest_cut(self, time_s: float) -> Cut:
        normal, secure = (console.size for console in self._consoles)
        return Cut(max(time_s, self._last.time_s), normal, secure)

    def _end_s(self) -> float:
        """When the last of what the index does not tell of was printed, at the latest."""
        if self._index.started_at is None:
            return math.inf
        dates = [path.stat().st_mtime for path in map(self.recording.log, World) if path.exists()]
        return max(dates, default=0.0) - self._index.started_at

    def _batch(self, cut: Cut) -> Iterator[Record]:
        """What came between the last cut and this one, in order."""
        parts = [
            [line.parsed for line in console.take(cut.size(console.world))]
            for console in self._consoles
        ]
        for console, lines in zip(self._consoles, parts, strict=True):
            for line in lines:
                self._clocks.observe(console.world, line, cut.time_s)
        ordered = list(
            heapq.merge(
                *(
                    self._keyed(console.world, lines)
                    for console, lines in zip(self._consoles, parts, strict=True)
                ),
                key=lambda item: item[0],
            )
        )
        yield from self._timed(ordered, cut)
        self._last = cut
        self._unindexed_since = None

    def _keyed(self, world: World, lines: list[Parsed]) -> Iterator[tuple[float, World, Parsed]]:
        key = -math.inf
        for line in lines:
            if line.stamp_s is not None:
                key = max(key, self._clocks.host_s(world, line.stamp_s))
            yield key, world, line

    def _timed(self, ordered: list[tuple[float, World, Parsed]], cut: Cut) -> Iterator[Record]:
        """A line without a time of its own was seen at the cut, and before the next line."""
        times = []
        latest = cut.time_s
        for key, _, line in reversed(ordered):
            if line.stamp_s is not None:
                latest = min(latest, key)
            times.append(latest)
        for (_, world, line), latest in zip(ordered, reversed(times), strict=True):
            if math.isfinite(latest):
                self._given_s = max(self._given_s, self._last.time_s, latest)
            yield Record(
                self._given_s, world, line.source, line.level, line.ta, line.text, line.raw
            )


def read(recording: Recording) -> Iterator[Record]:
    """All of one run, from its start until now."""
    reader = Reader(recording)
    try:
        yield from reader.finish()
    finally:
        reader.close()


@dataclass(frozen=True, slots=True)
class Came:
    """What `follow` found: None when there is nothing new just now."""

    reader: Reader
    record: Record | None


def follow(recording: Recording, poll_s: float = 0.05, *, explain: bool = True) -> Iterator[Came]:
    """All of this run, and of those that take its place."""
    while True:
        reader = Reader(recording)
        explaining = Explaining(recording)
        try:
            while not reader.replaced():
                for record in reader.read():
                    for told in explaining.feed(record) if explain else (record,):
                        yield Came(reader, told)
                for told in explaining.silence():
                    yield Came(reader, told)
                yield Came(reader, None)
                time.sleep(poll_s)
            for record in reader.finish():
                for told in explaining.feed(record) if explain else (record,):
                    yield Came(reader, told)
            for told in explaining.flush():
                yield Came(reader, told)
        finally:
            reader.close()
