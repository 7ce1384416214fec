# SPDX-License-Identifier: Apache-2.0
"""A time limit that is passed along, so that nested waits share one."""

import time


class Deadline:
    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._end = time.monotonic() + limit_s

    @property
    def remaining_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining_s == 0.0

    def within(self, limit_s: float) -> "Deadline":
        """A deadline for one part: `limit_s` from now, but never later than this one."""
        return Deadline(min(limit_s, self.remaining_s))
