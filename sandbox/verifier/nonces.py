# SPDX-License-Identifier: Apache-2.0
"""Challenges that were given out, and not answered yet."""

import os
import threading
import time
from collections.abc import Callable
from enum import StrEnum

from sandbox.verifier import errors

NONCE_BYTES = 32
_WAITING_MAX = 4096


class Answered(StrEnum):
    """What became of a nonce."""

    IN_TIME = "in time"
    TOO_LATE = "too late"
    BEFORE = "answered before, or never issued"


class Nonces:
    """Each nonce is good for one answer, within `lifetime_s` seconds; for any number of threads."""

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        # In the order of issue, so the oldest are found first.
        self._issued: dict[bytes, float] = {}

    def issue(self) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        with self._lock:
            # A day-old nonce still gets the answer "too late" for as long as there is room.
            while len(self._issued) >= _WAITING_MAX:
                oldest = next(iter(self._issued))
                if self._clock() - self._issued[oldest] <= self.lifetime_s:
                    raise errors.NonceRefused(
                        f"{_WAITING_MAX} challenges wait for their answers",
                        f"They expire after {self.lifetime_s:.0f} s each.",
                    )
                del self._issued[oldest]
            self._issued[nonce] = self._clock()
        return nonce

    def answer(self, nonce: bytes) -> Answered:
        """Take the nonce: whatever this says, the next answer to it is one too many."""
        with self._lock:
            issued_at = self._issued.pop(nonce, None)
            if issued_at is None:
                return Answered.BEFORE
            late = self._clock() - issued_at > self.lifetime_s
        return Answered.TOO_LATE if late else Answered.IN_TIME
