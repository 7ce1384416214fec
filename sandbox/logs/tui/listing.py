# SPDX-License-Identifier: Apache-2.0
"""The lines that a pane shows, and where things are in it. No terminal in here."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

from sandbox.logs.filters import Filter
from sandbox.logs.records import Level, Record, Source

# Beyond this the oldest go: a pane may be open for days.
LIMIT = 400_000


class Listing:
    """Rows are places in `records`, in order."""

    def __init__(self, records: Sequence[Record], wanted: Filter | None = None) -> None:
        self.records = records
        self.wanted = wanted or Filter()
        self.rows: list[int] = []
        self._seen = 0

    def __len__(self) -> int:
        return len(self.rows)

    def record(self, row: int) -> Record:
        return self.records[self.rows[row]]

    def update(self) -> int:
        """Take in what was added to the records. How many rows came."""
        before = len(self.rows)
        lets = self.wanted.lets
        for place in range(self._seen, len(self.records)):
            if lets(self.records[place]):
                self.rows.append(place)
        self._seen = len(self.records)
        return len(self.rows) - before

    def choose(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.renew()

    def renew(self) -> None:
        """The records, or what is wanted of them, are others now."""
        self.rows = []
        self._seen = 0
        self.update()

    def row_of(self, place: int) -> int:
        """The row at this place in the records, or the next one; the last if there is none."""
        return max(0, min(bisect_left(self.rows, place), len(self.rows) - 1))

    def find(self, pattern: re.Pattern[str], row: int, step: int) -> int | None:
        """The next row with this text after `row`, or before it; round the end if need be."""
        return self._search(row, step, lambda at: bool(pattern.search(self.record(at).text)))

    def next_error(self, row: int, step: int) -> int | None:
        """Where the next block of errors, or the explanation of one, begins."""
        return self._search(row, step, self._begins_error)

    def _begins_error(self, row: int) -> bool:
        record = self.record(row)
        if record.level is not Level.ERROR:
            return False
        before = self.record(row - 1) if row else None
        if before is None or before.level is not Level.ERROR:
            return True
        return record.source is Source.SANDBOX and before.source is not Source.SANDBOX

    def _search(self, row: int, step: int, fits: Callable[[int], bool]) -> int | None:
        count = len(self.rows)
        for distance in range(1, count + 1):
            at = (row + step * distance) % count
            if fits(at):
                return at
        return None
