# SPDX-License-Identifier: Apache-2.0
"""Panics explained, behind the lines that they are about."""

import time
from collections.abc import Iterable, Iterator

from sandbox.debug.panics import Explainer, Panic
from sandbox.logs.records import Level, Record, Source
from sandbox.machine.runs import Recording
from sandbox.machine.symbols import Symbols

# A panic whose end cannot be told is taken as whole when nothing came for so long.
_SILENCE_S = 0.5


class Explaining:
    """Passes records on, and adds lines of the source `sandbox`."""

    def __init__(self, recording: Recording) -> None:
        self._explainer = Explainer(Symbols(recording.symbols))
        self._time_s = 0.0
        self._last = time.monotonic()

    def feed(self, record: Record) -> Iterator[Record]:
        if self._explainer.pending and record.time_s - self._time_s >= _SILENCE_S:
            yield from self.flush()
        self._time_s = record.time_s
        self._last = time.monotonic()
        yield record
        yield from self._told(self._explainer.feed(record.raw, record.world))

    def silence(self) -> Iterator[Record]:
        """Nothing has come just now."""
        if self._explainer.pending and time.monotonic() - self._last >= _SILENCE_S:
            yield from self.flush()

    def flush(self) -> Iterator[Record]:
        yield from self._told(self._explainer.flush())

    def _told(self, panics: Iterable[Panic]) -> Iterator[Record]:
        for panic in panics:
            for line in panic.report().splitlines():
                yield Record(
                    self._time_s, panic.world, Source.SANDBOX, Level.ERROR, panic.ta, line, line
                )


def explained(records: Iterable[Record], recording: Recording) -> Iterator[Record]:
    explaining = Explaining(recording)
    for record in records:
        yield from explaining.feed(record)
    yield from explaining.flush()
