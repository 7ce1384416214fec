# SPDX-License-Identifier: Apache-2.0
"""A run again, at the speed at which it was."""

import time
from collections.abc import Callable, Iterable, Iterator

from sandbox.logs.records import Record


def replay(
    records: Iterable[Record],
    speed: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Record]:
    """Give each when its time has come, measured from the first."""
    zero: float | None = None
    for record in records:
        if zero is None:
            zero = clock() - record.time_s / speed
        ahead_s = zero + record.time_s / speed - clock()
        if ahead_s > 0:
            sleep(ahead_s)
        yield record
